//! Increments store a signature as a delta of the old one. The signature stays that of rdiff through a chain of
//! increments, and a damaged or hostile part of it costs no content.

mod support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ibt::error::Kind;
use ibt::job::{Codec, DeltaMode, ProblemKind, Report};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;
use support::series::problem_paths;
use support::tools::command;
use support::*;

const BLOCK: usize = 2048;

/// rdiff's signature of a file of at most 256 MiB.
fn rdiff_signature(file: &Path, to: &Path) -> Vec<u8> {
    let block = BLOCK.to_string();
    let args = ["-f", "-H", "blake2", "-R", "rabinkarp", "-S", "16", "-b", &block, "signature"];
    run(command("rdiff", args).arg(file).arg(to));
    fs::read(to).unwrap()
}

/// The ranges of the signature of `f` in the newest snapshot.
fn parts(series: &Series) -> Vec<Value> {
    let state = stored::parse(&series.newest("state"));
    let sig = &stored::entry(&state, "f")["at"]["sig"];
    sig["content"].as_array().unwrap_or_else(|| panic!("no signature")).clone()
}

#[track_caller]
fn assert_signature_is_rdiff_s(series: &Series) {
    let state = stored::parse(&series.newest("state"));
    let ours = stored::signature(&series.store, &state, &stored::entry(&state, "f")["at"]["sig"]);
    let theirs = rdiff_signature(&series.source.join("f"), &series.beside("signature"));
    assert!(ours == theirs, "{} bytes, not rdiff's {}", ours.len(), theirs.len());
}

/// An edit of a file: bytes that are replaced by others, at an offset that may be a multiple of a block.
#[derive(Clone, Debug)]
struct Splice {
    at: Index,
    removed: usize,
    inserted: usize,
    in_blocks: bool,
}

impl Splice {
    fn apply(&self, seed: u64, bytes: &mut Vec<u8>) {
        let (at, unit) = match self.in_blocks {
            true => (self.at.index(bytes.len() / BLOCK + 1) * BLOCK, BLOCK),
            false => (self.at.index(bytes.len() + 1), 1),
        };
        let end = (at + self.removed * unit).min(bytes.len());
        bytes.splice(at..end, noise(seed, self.inserted * unit));
    }
}

fn splices() -> impl Strategy<Value = Splice> {
    let splice = |(at, removed, inserted, in_blocks)| Splice { at, removed, inserted, in_blocks };
    (any::<Index>(), 0..4usize, 0..4usize, any::<bool>()).prop_map(splice)
}

proptest! {
    #![proptest_config(cases(4))]

    #[test]
    fn the_signature_stays_that_of_rdiff_through_a_long_chain(
        len in 300_000..500_000usize, rounds in vec(vec(splices(), 1..4), 13), by_signatures in any::<bool>(),
    ) {
        let mut series = Series::new();
        series.options.delta = if by_signatures { DeltaMode::Signatures } else { DeltaMode::Contents };
        let mut bytes = noise(0, len);
        series.write("f", &bytes);
        series.snapshot();
        let mut deltas = 0;
        for (round, edits) in rounds.iter().enumerate() {
            edits.iter().for_each(|edit| edit.apply(round as u64 + 1, &mut bytes));
            series.write("f", &bytes);
            series.snapshot();
            assert_signature_is_rdiff_s(&series);
            deltas += usize::from(parts(&series).len() > 1);
        }
        prop_assert!(deltas > 0, "no delta of a signature");
        // An increment without a cache reads the same signatures.
        fs::remove_dir_all(series.cache()).unwrap();
        bytes.push(1);
        series.write("f", &bytes);
        series.snapshot();
        assert_signature_is_rdiff_s(&series);
        series.verify(&series.options).whole();
        (0..series.points.len()).step_by(5).for_each(|index| series.assert_point_restores(index));
    }
}

/// The signature of the file has 655,372 bytes.
#[test]
fn one_block_of_a_large_file_costs_few_bytes() {
    let series = Series::new();
    let path = series.write("f", noise(1, 64 << 20));
    series.full().whole();
    for round in 1..10u64 {
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.write_all_at(&noise(round, BLOCK), round * 5_000_000 / BLOCK as u64 * BLOCK as u64).unwrap();
        drop(file);
        let before = series.stored();
        series.incremental().whole();
        let added = series.added(&before)["sigvault"];
        match round {
            1..9 => assert!(added < 400, "round {round}: {added} bytes"),
            _ => assert!(added > 650_000, "nine deltas"),
        }
    }
    assert_signature_is_rdiff_s(&series);
}

/// A file with a whole signature and a delta of it, which has changed since the last snapshot.
fn with_a_delta(delta: DeltaMode) -> Series {
    let mut series = Series::new();
    series.options.codec = Codec::None;
    series.options.delta = delta;
    let mut bytes = noise(1, 300_000);
    for round in 0..3 {
        bytes[100_000 * round] ^= 1;
        bytes.extend_from_slice(b"more");
        series.write("f", &bytes);
        if round < 2 {
            series.snapshot();
        }
    }
    assert_eq!(parts(&series).len(), 2);
    series
}

/// Replaces the bytes of a part of the newest signature of `f`, and removes the cache.
fn replace(series: &Series, which: usize, change: impl FnOnce(&mut [u8])) {
    let state = stored::parse(&series.newest("state"));
    let part = &parts(series)[which];
    let number = |index: usize| part[index].as_u64().unwrap() as usize;
    let path: PathBuf = series.store.join(state["archives"][number(0)]["name"].as_str().unwrap());
    let mut archive = fs::read(&path).unwrap();
    change(&mut archive[number(1)..][..number(2)]);
    fs::write(path, archive).unwrap();
    fs::remove_dir_all(series.cache()).unwrap();
}

/// Verify names the file. An increment reports it, and stores a whole signature. By signatures it stores the file
/// whole. Returns the report of the increment.
#[track_caller]
fn assert_costs_no_content(twin: &Series) -> Report {
    let report = twin.verify(&twin.options).partial();
    assert!(problem_paths(&report, ProblemKind::Damaged).contains(&"f".to_string()), "{report:#?}");
    let before = twin.stored();
    let report = twin.incremental().partial();
    assert_eq!(problem_paths(&report, ProblemKind::Damaged), ["f"], "{report:#?}");
    assert!(report.problems.iter().all(|problem| problem.status == Kind::Corrupt), "{report:#?}");
    let content = if twin.options.delta == DeltaMode::Signatures { "created" } else { "updated" };
    assert!(twin.added(&before).contains_key(content));
    assert_eq!(parts(twin).len(), 1);
    assert_signature_is_rdiff_s(twin);
    twin.assert_newest_is_the_source();
    twin.incremental().whole();
    report
}

#[test]
fn a_damaged_part_of_a_signature_costs_no_content() {
    for delta in [DeltaMode::Signatures, DeltaMode::Contents] {
        let series = with_a_delta(delta);
        for which in [0, 1] {
            for at in [0, 30] {
                let fork = series.fork();
                replace(&fork.twin, which, |bytes| bytes[at] ^= 0x10);
                assert_costs_no_content(&fork.twin);
            }
        }
    }
}

/// The lost SigVault holds the whole signature, or the delta.
#[test]
fn a_lost_sigvault_costs_no_content() {
    let series = with_a_delta(DeltaMode::Signatures);
    for which in [0, 1] {
        let fork = series.fork();
        let vaults: Vec<_> =
            fork.twin.stored().into_keys().filter(|name| name.contains(".sigvault.")).collect();
        fs::remove_file(fork.twin.store.join(&vaults[which])).unwrap();
        fs::remove_dir_all(fork.twin.cache()).unwrap();
        let before = fork.twin.stored();
        fork.twin.incremental().partial();
        assert!(fork.twin.added(&before).contains_key("created"));
        assert_eq!(parts(&fork.twin).len(), 1);
        fork.twin.assert_newest_is_the_source();
        fork.twin.incremental().whole();
    }
}

#[test]
fn hostile_deltas_of_signatures_cost_no_content() {
    let series = with_a_delta(DeltaMode::Signatures);
    let whole = parts(&series)[0][2].as_u64().unwrap();
    let copy = |offset: u64, len: u64| [&[0x54][..], &offset.to_be_bytes(), &len.to_be_bytes()].concat();
    // A literal that fills the delta up to its end.
    let fill = |commands: &[u8], len: usize| {
        let rest = len - 4 - commands.len() - 2;
        [&[0x72, 0x73, 0x02, 0x36][..], commands, &[rest as u8], &vec![0; rest], &[0]].concat()
    };
    let hostile = [
        ("copies beyond the signature", copy(whole - 1, 2)),
        ("copies from far away", copy(u64::MAX - 1, 2)),
        ("makes more than any signature", copy(0, whole).repeat(2)),
        ("copies nothing", copy(0, 0)),
        ("makes another signature", copy(0, 12)),
        ("has an unknown command", vec![0xff]),
    ];
    for (what, commands) in hostile {
        let fork = series.fork();
        replace(&fork.twin, 1, |bytes| {
            let delta = fill(&commands, bytes.len());
            bytes.copy_from_slice(&delta);
        });
        println!("a delta that {what}");
        assert_costs_no_content(&fork.twin);
    }
}

/// States that claim impossible lengths: the signature is not read, even if the archives are valid.
#[test]
fn a_signature_with_impossible_lengths_is_not_used() {
    let series = with_a_delta(DeltaMode::Signatures);
    let [whole, delta] = &parts(&series)[..] else { panic!("two parts") };
    let number = |part: &Value, index: usize| part[index].as_u64().unwrap();
    let text = stored::file(&series.newest("state"));
    let line = &stored::entry(&text, "f")["at"]["sig"]["content"];
    let with = |first: (u64, u64), second: (u64, u64)| {
        let mut forged = line.clone();
        (forged[0][1], forged[0][2]) = (first.0.into(), first.1.into());
        (forged[1][1], forged[1][2]) = (second.0.into(), second.1.into());
        forged.to_string()
    };
    let (w, d) = ((number(whole, 1), number(whole, 2)), (number(delta, 1), number(delta, 2)));
    for (what, reason, forged) in [
        ("a delta of more than half of the signature", "more than half of it", with((w.0, 2 * d.1 - 2), d)),
        ("a part of the whole signature", "signature", with((w.0, 12 + 10 * 20), d)),
        ("a part of the delta", "signature", with(w, (d.0, d.1 - 1))),
    ] {
        let fork = series.fork();
        let state = fork.twin.newest("state");
        let document = String::from_utf8(stored::document(&state)).unwrap();
        let sig = |content: &str| format!("\"sig\":{{\"content\":{content}");
        assert!(document.contains(&sig(&line.to_string())), "{document}");
        let document = document.replacen(&sig(&line.to_string()), &sig(&forged), 1);
        fs::write(&state, stored::reseal(document.as_bytes())).unwrap();
        fs::remove_dir_all(fork.twin.cache()).unwrap();
        println!("{what}");
        let report = assert_costs_no_content(&fork.twin);
        assert!(report.problems.iter().all(|problem| problem.message.contains(reason)), "{report:#?}");
    }
}
