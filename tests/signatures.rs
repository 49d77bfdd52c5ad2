//! Damaged SigVaults, and states with wrong ranges of signatures. The next increment still stores the right content,
//! and needs no more memory than a signature of the file may use.

mod support;

use std::cell::Cell;
use std::fs;

use ibt::error::Kind;
use ibt::job::{Codec, Counter, ProblemKind, Select};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;
use support::allocated::{CountingAllocator, within};
use support::changes::{changed, changes, odd_numbers};
use support::series::{counter, problem_paths, remove};
use support::*;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Length of the files that have signatures.
const LEN: usize = 270_000;
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
/// Returns whether there is one.
#[track_caller]
fn assert_increment_is_right(twin: &Series, kinds: &[Kind]) -> bool {
    let outcome = within(INCREMENT, || twin.incremental());
    if let Err(error) = outcome.result {
        assert!(kinds.contains(&error.kind), "{error}");
        return false;
    }
    let dest = twin.beside("restored");
    twin.restore(Select::Newest, &dest).whole();
    assert_same_facts(&facts(&twin.source), &facts(&dest));
    remove(&dest);
    true
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

/// A wrong range of a signature.
#[derive(Clone, Debug)]
enum Lie {
    /// Inside of an archive.
    Inside(Index, Index, Index),
    /// Any numbers.
    Odd(u64, u64, u64),
}

fn lies() -> impl Strategy<Value = Lie> {
    let place = any::<Index>;
    prop_oneof![
        5 => (place(), place(), place()).prop_map(|(archive, offset, len)| Lie::Inside(archive, offset, len)),
        1 => (0..5u64, odd_numbers(), odd_numbers()).prop_map(|(archive, offset, len)| Lie::Odd(archive, offset, len)),
    ]
}

impl Lie {
    /// The range as states spell it.
    fn range(&self, archives: &[Value]) -> String {
        match self {
            Lie::Inside(archive, offset, len) => {
                let archive = archive.index(archives.len());
                let stream = archives[archive]["stream"].as_u64().unwrap() as usize;
                let offset = offset.index(stream);
                format!("[{archive},{offset},{}]", 1 + len.index(stream - offset))
            }
            Lie::Odd(archive, offset, len) => format!("[{archive},{offset},{len}]"),
        }
    }
}

#[test]
fn a_state_that_lies_about_signatures_costs_no_increment() {
    let series = with_signatures(Codec::None);
    let (made, refused) = (Cell::new(0), Cell::new(0));
    let archives = stored::file(&series.newest("state"))["archives"].clone();
    proptest!(cases(48), |(lies in vec(prop_oneof![9 => vec(lies(), 1..3), 1 => Just(vec![])], 1..4))| {
        let fork = series.fork();
        let state = fork.twin.newest("state");
        let mut text = String::from_utf8(fs::read(&state).unwrap()).unwrap();
        let mut from = 0;
        for lie in &lies {
            let key = "\"sig\":{\"content\":[";
            let Some(at) = text[from..].find(key) else { break };
            let start = from + at + key.len();
            let end = start + text[start..].find("],\"hash\"").unwrap();
            let ranges: Vec<_> = lie.iter().map(|lie| lie.range(archives.as_array().unwrap())).collect();
            text.replace_range(start..end, &ranges.join(","));
            from = start;
        }
        prop_assert!(from > 0);
        fs::write(&state, stored::reseal(text.as_bytes())).unwrap();
        fs::remove_dir_all(fork.twin.cache()).unwrap();
        let kinds = [Kind::Corrupt, Kind::Format, Kind::Limit];
        let count = if assert_increment_is_right(&fork.twin, &kinds) { &made } else { &refused };
        count.set(count.get() + 1);
        fork.assert_point_restores(0);
    });
    // A range beyond its archive is refused with the state. Others lead to bytes that are no signature, and cost
    // nothing.
    let (made, refused) = (made.get(), refused.get());
    assert!(made >= 10 && refused >= 10, "{made} increments, {refused} refused");
}

/// A full with a long file and a short one, whose SigVault is damaged in the store.
fn with_a_damaged_vault() -> Series {
    let mut series = Series::new();
    series.write("long", noise(1, 3_000_000));
    series.write("short", noise(2, 600_000));
    series.snapshot();
    let vault = series.newest("sigvault");
    let mut bad = fs::read(&vault).unwrap();
    bad[1000] ^= 1;
    fs::write(vault, bad).unwrap();
    series
}

/// Gives the file other times, with the same content.
fn touch(series: &Series, path: &str) {
    let file = fs::OpenOptions::new().write(true).open(series.source.join(path)).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000)).unwrap();
}

/// The problems that a verify finds in the newest snapshot, without those of older ones.
fn problems_of_newest(series: &Series, report: &ibt::job::Report) -> Vec<ibt::job::Problem> {
    let verified = series.verify(&series.options).partial();
    verified.problems.into_iter().filter(|problem| problem.snapshot == report.snapshot).collect()
}

#[test]
fn a_touched_file_with_a_damaged_signature_is_signed_again() {
    for delta in [ibt::job::DeltaMode::Contents, ibt::job::DeltaMode::Signatures] {
        let mut series = with_a_damaged_vault();
        series.options.delta = delta;
        fs::remove_dir_all(series.cache()).unwrap();
        touch(&series, "long");
        let report = series.incremental().partial();
        assert_eq!(problem_paths(&report, ProblemKind::Damaged), ["long"]);
        assert_eq!(problem_paths(&report, ProblemKind::Healed), ["long"]);
        // The content was not stored again.
        assert!(!report.files.iter().any(|file| file.name.contains(".created.")), "{:?}", report.files);
        let lost: Vec<_> = problems_of_newest(&series, &report).into_iter().map(|p| p.path).collect();
        assert!(!lost.contains(&Some(b"long".into())), "{lost:?}");
        series.write("long", [noise(1, 3_000_000), noise(3, 10)].concat());
        let (_, added) = series.increment();
        assert!(!added.contains_key("created") && added["updated"] < 5000, "{added:?}");
    }
}

#[test]
fn a_vault_that_is_damaged_in_the_store_is_read_from_the_cache() {
    // The signature of a short file is first read for the delta of the new signature.
    for changed in [["long", "short"].as_slice(), &["short"]] {
        let mut series = with_a_damaged_vault();
        let vault = series.newest("sigvault");
        let change = |series: &Series, seed: u64| {
            for path in changed {
                let old = fs::read(series.source.join(path)).unwrap();
                series.write(path, [old, noise(seed, 10)].concat());
            }
        };
        change(&series, 3);
        let report = series.incremental().partial();
        let [problem] = &report.problems[..] else { panic!("{:?}", report.problems) };
        assert_eq!((problem.kind, &problem.path), (ProblemKind::Damaged, &None));
        assert_eq!(problem.file.as_deref(), vault.file_name().unwrap().to_str());
        assert!(!report.files.iter().any(|file| file.name.contains(".created.")), "{:?}", report.files);
        assert_eq!(counter(&report, Counter::Modified), changed.len() as u64);
        // The new signatures need nothing of the damaged SigVault.
        let lost: Vec<_> = problems_of_newest(&series, &report).into_iter().filter_map(|p| p.path).collect();
        assert!(changed.iter().all(|path| !lost.contains(&path.as_bytes().to_vec())), "{lost:?}");
        fs::remove_dir_all(series.cache()).unwrap();
        change(&series, 4);
        let (_, added) = series.increment();
        assert!(!added.contains_key("created"), "{added:?}");
    }
}
