//! How much a verify reads: everything, the presence of archives, or one part of everything.

mod support;

use std::collections::BTreeSet;
use std::fs;

use ibt::job::{Counter, Options, ProblemKind, Report, VerifyScope};
use support::odd::OddStore;
use support::series::{KEY, counter};
use support::stored::flip;
use support::*;

/// Three snapshots with contents in several archives, deltas, signatures and contents that snapshots share.
fn three_snapshots() -> Series {
    let mut series = Series::new();
    for index in 0..30 {
        series.write(&format!("small-{index}"), noise(index, 1_000 + 10 * index as usize));
    }
    series.write("large", noise(101, 18_000_000));
    series.write("zlate", noise(102, 3_000_000));
    let mut bytes = noise(100, 200_000);
    for round in 0..3 {
        bytes.splice(100_000..100_000, noise(200 + round, 500));
        series.write("grows", &bytes);
        series.write(&format!("new-{round}"), noise(300 + round, 5_000));
        series.snapshot();
    }
    series
}

fn scoped(series: &Series, verify: VerifyScope) -> Options {
    Options { verify, ..series.options.clone() }
}

fn verify(series: &Series, verify: VerifyScope) -> Report {
    series.verify(&scoped(series, verify)).ok()
}

fn part(number: u32, parts: u32) -> VerifyScope {
    VerifyScope::Part { number, parts }
}

/// The lost contents and signatures of a report: snapshot, path and message.
fn lost(report: &Report) -> BTreeSet<String> {
    let entries = report.problems.iter().filter(|problem| problem.path.is_some());
    entries.map(|p| format!("{:?} {:?} {}", p.snapshot, p.path, p.message)).collect()
}

/// Bytes of archives and states that a verify reads from the store.
fn bytes_read(series: &Series, scope: VerifyScope) -> (u64, u64) {
    let mut store = OddStore::new(series);
    store.run(&scoped(series, scope), |store, job| ibt::inspect::verify(store, Some(KEY), job)).whole();
    let of_states = |states: bool| {
        let files = store.read.iter().filter(|(name, _)| name.contains(".state.") == states);
        files.map(|(_, bytes)| bytes).sum::<u64>()
    };
    (of_states(false), of_states(true))
}

#[test]
fn all_parts_together_find_every_loss_and_each_part_finds_its_own() {
    let series = three_snapshots();
    let mut in_parts = 0;
    for archive in series.archives() {
        let good = fs::read(&archive).unwrap();
        for at in [0, 4, 7].map(|eighth| eighth * good.len() as u64 / 8) {
            flip(&archive, at);
            let wanted = lost(&verify(&series, VerifyScope::Contents));
            for parts in [2, 3] {
                let mut found = BTreeSet::new();
                for number in 1..=parts {
                    let of_part = lost(&verify(&series, part(number, parts)));
                    assert!(found.is_disjoint(&of_part), "a loss belongs to two parts");
                    in_parts += usize::from(!of_part.is_empty() && of_part != wanted);
                    found.extend(of_part);
                }
                assert_eq!(found, wanted, "{} at {at}, {parts} parts", archive.display());
            }
            fs::write(&archive, &good).unwrap();
        }
    }
    // One frame of the full backup has the end of "large", which begins in the first slice, and the beginning of
    // "zlate".
    assert!(in_parts >= 4, "losses fell into different parts {in_parts} times");
}

#[test]
fn the_parts_share_the_reading() {
    let series = Series::new();
    for index in 0..20 {
        series.write(&format!("file-{index}"), noise(index, 4_800_000));
    }
    series.full().whole();
    let archived = series.archives().iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    let read: Vec<u64> = (1..=3).map(|number| bytes_read(&series, part(number, 3)).0).collect();
    // 96 MB are six slices. A content that begins in a slice ends in the next one, and frames are read whole.
    assert!(
        read.iter().all(|&read| (archived / 4..archived / 2).contains(&read)),
        "{read:?} of {archived} bytes"
    );
}

#[test]
fn presence_reads_no_archive_and_finds_what_is_gone_or_has_another_size() {
    let series = three_snapshots();
    let (archived, states) = bytes_read(&series, VerifyScope::Presence);
    assert!((archived, states > 0) == (0, true), "{archived} bytes of archives, {states} of states");
    let report = series.verify(&scoped(&series, VerifyScope::Presence)).whole();
    assert_eq!((report.snapshots.len(), counter(&report, Counter::Entries)), (3, 0));

    for archive in series.archives() {
        let good = fs::read(&archive).unwrap();
        let problems = |kind: ProblemKind| {
            let report = verify(&series, VerifyScope::Presence);
            let archive = archive.file_name().unwrap().to_str();
            let of_archive =
                report.problems.iter().filter(|p| p.file.as_deref() == archive && p.kind == kind);
            assert_eq!(of_archive.clone().count(), report.problems.len(), "{:?}", report.problems);
            of_archive.map(|p| p.snapshot.unwrap()).collect::<BTreeSet<_>>()
        };
        flip(&archive, good.len() as u64 / 2);
        assert_eq!(problems(ProblemKind::Damaged).len(), 0, "it reads no bytes of archives");
        let full = verify(&series, VerifyScope::Contents);
        let all: BTreeSet<_> = full.problems.iter().map(|problem| problem.snapshot.unwrap()).collect();

        fs::write(&archive, &good[1..]).unwrap();
        assert_eq!(problems(ProblemKind::Damaged), all, "{}", archive.display());
        fs::remove_file(&archive).unwrap();
        assert_eq!(problems(ProblemKind::Missing), all, "{}", archive.display());
        fs::write(&archive, &good).unwrap();
    }
}

/// A store whose list lacks an archive that is there: the archive was stored after the list was made.
#[test]
fn an_archive_that_the_list_lacks_is_looked_at() {
    let series = three_snapshots();
    for scope in [VerifyScope::Presence, part(1, 2), part(2, 2)] {
        let mut store = OddStore::new(&series);
        store.unlisted = Some(".full.");
        store.run(&scoped(&series, scope), |store, job| ibt::inspect::verify(store, Some(KEY), job)).whole();
    }
}
