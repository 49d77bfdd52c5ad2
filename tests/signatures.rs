//! Damaged SigVaults, and states with wrong ranges of signatures. The next increment still stores the right content,
//! and needs no more memory than a signature of the file may use.

mod support;

use std::fs;

use ibt::error::Kind;
use ibt::job::{Codec, Select};
use proptest::collection::vec;
use proptest::prelude::*;
use support::allocated::{CountingAllocator, within};
use support::changes::{changed, changes, odd_numbers};
use support::series::remove;
use support::*;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Length of the files that have signatures.
const LEN: usize = 60_000;
/// Memory of the main thread during an increment, without the signatures: buffers of archives and states.
const INCREMENT: usize = 64 << 20;

/// Two snapshots of files with signatures. The files have changed since then.
fn with_signatures(codec: Codec) -> Series {
    let mut series = Series::new();
    series.options.codec = codec;
    for round in 0..3u64 {
        for file in 0..4u64 {
            series.write(&format!("f{file}"), [noise(file, LEN), noise(round, 300)].concat());
        }
        if round < 2 {
            series.snapshot();
        }
    }
    series
}

/// Makes an increment, which may be refused with one of these kinds. Otherwise its snapshot restores as the source.
#[track_caller]
fn assert_increment_is_right(twin: &Series, kinds: &[Kind]) {
    let outcome = within(INCREMENT, || twin.incremental());
    if let Err(error) = outcome.result {
        return assert!(kinds.contains(&error.kind), "{error}");
    }
    let dest = twin.beside("restored");
    twin.restore(Select::Newest, &dest).whole();
    assert_same_facts(&facts(&twin.source), &facts(&dest));
    remove(&dest);
}

#[test]
fn a_damaged_sigvault_costs_no_increment() {
    let all = [Codec::None, Codec::Zstd(1)].map(with_signatures);
    proptest!(cases(32), |(which in 0..2usize, kept: bool, of_cache: bool, store in changes(), cache in changes())| {
        let fork = all[which].fork();
        let vault = fork.twin.newest("sigvault");
        fs::write(&vault, changed(fs::read(&vault).unwrap(), &store)).unwrap();
        let series = fs::read_dir(fork.twin.cache()).unwrap().next().unwrap().unwrap().path();
        let copy = series.join(vault.file_name().unwrap());
        match kept {
            true => fs::write(&copy, changed(fs::read(&copy).unwrap(), &cache)).unwrap(),
            false => fs::remove_file(&copy).unwrap(),
        }
        if of_cache {
            // The cache's replacement for a SigVault that the store lost.
            let stand_in = series.join(format!("{}.stream", vault.file_name().unwrap().to_str().unwrap()));
            fs::write(stand_in, changed(noise(1, 5000), &cache)).unwrap();
        }
        assert_increment_is_right(&fork.twin, &[]);
        // Damaged and missing signatures are made again.
        fork.twin.rebuild_cache().ok();
        assert_increment_is_right(&fork.twin, &[]);
        (0..2).for_each(|index| fork.assert_point_restores(index));
    });
}

#[test]
fn a_state_that_lies_about_signatures_costs_no_increment() {
    let series = with_signatures(Codec::None);
    let range = (0..5u64, prop_oneof![odd_numbers(), (0..100u64).prop_map(|n| n * 512)], odd_numbers());
    proptest!(cases(48), |(lies in vec(vec(range, 0..4), 1..4))| {
        let fork = series.fork();
        let state = fork.twin.newest("state");
        let mut text = String::from_utf8(fs::read(&state).unwrap()).unwrap();
        let mut from = 0;
        for lie in &lies {
            let key = "\"sig\":{\"content\":[";
            let Some(at) = text[from..].find(key) else { break };
            let start = from + at + key.len();
            let end = start + text[start..].find("],\"hash\"").unwrap();
            let ranges: Vec<_> = lie.iter().map(|(archive, offset, len)| format!("[{archive},{offset},{len}]")).collect();
            text.replace_range(start..end, &ranges.join(","));
            from = start;
        }
        prop_assert!(from > 0);
        fs::write(&state, stored::reseal(text.as_bytes())).unwrap();
        fs::remove_dir_all(fork.twin.cache()).unwrap();
        let kinds = [Kind::Corrupt, Kind::Format, Kind::Limit];
        assert_increment_is_right(&fork.twin, &kinds);
        fork.assert_point_restores(0);
    });
}
