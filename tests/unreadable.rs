//! Stored files that cannot be read now, and stored files that were read and do not verify. Only files of the second
//! kind are damaged, and only a damaged newest snapshot may be replaced by an older snapshot.

mod support;

use std::fs;

use ibt::error::{Error, Kind, Result};
use ibt::inspect;
use ibt::job::{Job, Keep, Options, ProblemKind, Select};
use ibt::retain;
use ibt::stamp::{Stamp, Time};
use ibt::store::Store;
use support::failing::Failing;
use support::series::KEY;
use support::{Outcome, Series, noise};

/// A full and two increments.
fn three_snapshots() -> Series {
    let mut series = Series::new();
    series.write("a", noise(1, 60_000));
    series.snapshot();
    for round in 2..4 {
        series.write("a", [noise(1, 50_000), noise(round, 9_000)].concat());
        series.write(&format!("new{round}"), noise(10 + round, 3_000));
        series.snapshot();
    }
    series
}

/// Errors of a store that cannot hand over a file: from the system, from a callback, from missing memory.
fn refusals() -> [Error; 4] {
    let system = |code| Error::io("read", b"x", &std::io::Error::from_raw_os_error(code));
    let own = Error::own("read", &std::io::Error::from_raw_os_error(libc::ENOMEM));
    [system(libc::EIO), system(libc::EACCES), Error::new(Kind::Storage, "read", "the network is down"), own]
}

type Operation = fn(&mut dyn Store, &Series, &mut Job) -> Result<()>;

/// Runs an operation on a store that returns `error` for every read of a file whose name contains `part`.
fn failing(series: &Series, part: &str, error: &Error, options: &Options, operation: Operation) -> Outcome {
    series
        .silently(options, |store, job| operation(&mut Failing::new(store, part, error.clone()), series, job))
}

fn state_of(stamp: Stamp) -> String {
    format!(".state.{stamp}")
}

/// The labels of a state that cannot be read now are unknown. Only an operation that selects the state fails.
#[test]
fn a_state_that_cannot_be_read_now_spoils_no_selection_by_labels_of_another_one() {
    let series = three_snapshots();
    let label = ibt::job::WantedLabel { name: "a".into(), value: None };
    let mut series =
        Series { options: Options { label_filters: vec![], ..series.options.clone() }, ..series };
    series.options.labels.insert("a".into(), "b".into());
    let report = series.full().whole();
    series.keep(&report);
    series.options.labels.clear();
    let options = Options { label_filters: vec![label], ..series.options.clone() };
    let restore: Operation = |store, series, job| {
        let dest = series.beside("restored");
        ibt::restore::restore(store, KEY, &dest, job)?;
        support::series::remove(&dest);
        Ok(())
    };
    for error in &refusals()[..3] {
        let (oldest, newest) = (state_of(series.points[0].stamp), state_of(series.points[3].stamp));
        let report = failing(&series, &oldest, error, &options, restore).whole();
        assert_eq!(report.snapshot, Some(series.points[3].stamp));
        failing(&series, &newest, error, &options, restore).refused(error.kind);
    }
}

#[test]
fn a_newest_state_that_cannot_be_read_now_is_never_replaced_by_an_older_one() {
    let series = three_snapshots();
    let operations: [(&str, Operation); 4] = [
        ("full", |store, series, job| ibt::backup::full(store, &series.source, job)),
        ("increment", |store, series, job| ibt::backup::incremental(store, &series.source, job)),
        ("consolidate", |store, _, job| retain::consolidate(store, KEY, job)),
        ("rebuild", |store, _, job| retain::rebuild_cache(store, KEY, job)),
    ];
    let newest = state_of(series.points[2].stamp);
    let stored = series.stored();
    for error in refusals() {
        for (name, operation) in operations {
            let outcome = failing(&series, &newest, &error, &series.options, operation);
            let told = outcome.refused(error.kind);
            assert!(told.to_string().contains(&newest), "{name}: {told}");
            assert!(outcome_is_quiet(&outcome_problems(&series, &newest, &error, operation)), "{name}");
            assert_eq!(series.stored(), stored, "{name}: {error}");
        }
    }
    series.assert_every_point_restores();
}

/// The kinds of the problems that an operation lists before it fails.
fn outcome_problems(series: &Series, part: &str, error: &Error, operation: Operation) -> Vec<ProblemKind> {
    let outcome = failing(series, part, error, &series.options, operation);
    outcome.report.problems.iter().map(|problem| problem.kind).collect()
}

fn outcome_is_quiet(problems: &[ProblemKind]) -> bool {
    !problems.contains(&ProblemKind::Damaged)
}

#[test]
fn nothing_is_pruned_while_a_state_cannot_be_read() {
    let series = three_snapshots();
    let stored = series.stored();
    let rules = series.keeping(Keep { last: 1, ..Keep::default() });
    let first = series.selecting(Select::Exactly(series.points[0].stamp));
    for error in refusals() {
        for unread in 0..3 {
            let part = state_of(series.points[unread].stamp);
            let prune: Operation = |store, _, job| retain::prune(store, KEY, job);
            failing(&series, &part, &error, &rules, prune).refused(error.kind);
            assert_eq!(series.stored(), stored, "{error}");
        }
    }
    let part = state_of(series.points[0].stamp);
    // An error of this process, here a lack of memory, says nothing about any file.
    let own = refusals()[3].clone();
    failing(&series, &part, &own, &first, |store, _, job| retain::prune(store, KEY, job)).refused(own.kind);
    assert_eq!(series.stored(), stored);
    // A user can name a snapshot to remove, also one whose state is lost for good. While another state cannot be read,
    // every file stays.
    let unsupported = Error::new(Kind::Unsupported, "read", "it is on a tape in a safe");
    for error in refusals().into_iter().filter(|error| !error.is_own).chain([unsupported]) {
        for unread in 0..3 {
            let mut fork = series.fork().twin;
            fork.options = series.options.clone();
            let part = state_of(series.points[unread].stamp);
            failing(&fork, &part, &error, &first, |store, _, job| retain::prune(store, KEY, job)).ok();
            let listed: Vec<_> =
                fork.list().whole().snapshots.iter().map(|snapshot| snapshot.stamp).collect();
            assert_eq!(listed, [series.points[1].stamp, series.points[2].stamp], "{error}");
            let gone: Vec<_> = stored.keys().filter(|name| !fork.stored().contains_key(*name)).collect();
            assert_eq!(gone.iter().any(|name| name.contains(&part)), unread == 0, "{error}: {gone:?}");
            assert!(gone.is_empty() || unread == 0, "{error}: {gone:?}");
            let dest = fork.beside("restored");
            for point in &series.points[1..] {
                fork.restore(Select::Exactly(point.stamp), &dest).whole();
                support::assert_same_facts(&point.kept.facts, &support::facts(&dest));
                support::series::remove(&dest);
            }
        }
    }
}

#[test]
fn a_list_and_a_verify_tell_the_others_and_end_with_the_error() {
    let series = three_snapshots();
    let operations: [Operation; 4] = [
        |store, _, job| inspect::list(store, Some(KEY), job),
        |store, _, job| inspect::list(store, None, job),
        |store, _, job| inspect::verify(store, Some(KEY), job),
        |store, _, job| inspect::verify(store, None, job),
    ];
    for error in &refusals()[..2] {
        for operation in operations {
            for index in 0..3 {
                let part = state_of(series.points[index].stamp);
                let outcome = failing(&series, &part, error, &series.options, operation);
                assert_eq!(outcome.report.snapshots.len(), 2);
                let kinds: Vec<_> = outcome.report.problems.iter().map(|problem| problem.kind).collect();
                assert_eq!(kinds, [ProblemKind::Unreadable]);
                assert_eq!(outcome.refused(Kind::Io).os_code, error.os_code);
            }
        }
    }
}

#[test]
fn an_archive_that_cannot_be_read_now_is_not_damaged() {
    let series = three_snapshots();
    for error in &refusals()[..2] {
        for part in [".full.", ".created.", ".updated.", ".sigvault."] {
            let verify: Operation = |store, _, job| inspect::verify(store, Some(KEY), job);
            let outcome = failing(&series, part, error, &series.options, verify);
            assert!(!outcome.report.problems.is_empty());
            assert!(outcome.report.problems.iter().all(|problem| problem.kind == ProblemKind::Unreadable));
            assert_eq!(outcome.refused(Kind::Io).os_code, error.os_code);
            let restore: Operation =
                |store, series, job| ibt::restore::restore(store, KEY, &series.beside("out"), job);
            let report = failing(&series, part, error, &series.options, restore).ok();
            assert!(report.problems.iter().all(|problem| problem.kind == ProblemKind::Unreadable));
            assert_eq!(report.is_partial(), part != ".sigvault.");
            support::series::remove(&series.beside("out"));
        }
    }
}

/// Writes a file under a name of the key, for example the name of a state from the year 2999.
fn plant(series: &Series, name: &str, bytes: &[u8]) {
    fs::write(series.store.join(format!("{KEY}.{name}")), bytes).unwrap();
}

#[test]
fn foreign_files_from_the_far_future_hold_nothing_up_and_lead_no_stamp_there() {
    for bytes in [&b""[..], b"garbage", b"{\"format\":\"other\"}\n", &noise(9, 5000)] {
        for name in [
            "state.29990101T000000.000000Z.json.zst",
            "state.99991231T235959.999999Z.json",
            "full.99991231T235959.999999Z.tar.zst",
            "sigvault.29990101T000000.000000Z.tar",
        ] {
            let mut series = three_snapshots();
            plant(&series, name, bytes);
            series.write("b", "more");
            let report = series.incremental().ok();
            series.keep(&report);
            assert!(report.snapshot.unwrap() < Stamp::from_time(Time::now().plus_secs(60)), "{name}");
            let consolidated = series.consolidate().ok();
            assert!(consolidated.snapshot.unwrap() < Stamp::from_time(Time::now().plus_secs(60)), "{name}");
            assert!(series.full().ok().snapshot.unwrap() > consolidated.snapshot.unwrap());
            series.assert_every_point_restores();
            // Readers of the newest snapshot are not held up either.
            series.assert_newest_is_the_source();
        }
    }
}

#[test]
fn a_damaged_newest_state_names_the_snapshot_that_would_do() {
    let series = three_snapshots();
    fs::write(series.newest("state"), b"garbage").unwrap();
    let error = series.restore(Select::Newest, &series.beside("out")).refused(Kind::Corrupt);
    let advice = format!("ibt --at {}", series.points[1].stamp);
    assert!(error.to_string().contains(&advice), "{error}");
    series.assert_point_restores(1);
    fs::write(series.store.join(format!("{KEY}{}.json.zst", state_of(series.points[1].stamp))), b"").unwrap();
    let error = series.restore(Select::Newest, &series.beside("out")).refused(Kind::Corrupt);
    assert!(error.to_string().contains(&format!("ibt --at {}", series.points[0].stamp)), "{error}");
}
