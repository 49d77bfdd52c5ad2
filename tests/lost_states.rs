//! States that are not where they belong: moved out of the store, copied beside themselves under another name, renamed.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ibt::error::Kind;
use ibt::inspect;
use ibt::job::{Keep, Problem, ProblemKind, Report};
use ibt::stamp::Stamp;
use ibt::store::{DirStore, LockMode, Store};
use support::series::{KEY, one_full};
use support::*;

type Look = (&'static str, fn(&Series) -> Outcome);

/// The operations that look at all snapshots of the key, or of the store.
const LOOKS: [Look; 4] = [
    ("list the key", Series::list),
    ("list all", |series| series.silently(&series.options, |store, job| inspect::list(store, None, job))),
    ("verify the key", |series| series.verify(&series.options)),
    ("verify all", |series| series.silently(&series.options, |store, job| inspect::verify(store, None, job))),
];

/// Each look finds no loss, and `snapshots` snapshots. Returns the notes of each.
#[track_caller]
fn looks(series: &Series, snapshots: usize) -> Vec<Vec<Problem>> {
    let look = |(what, look): Look| {
        let Report { problems, snapshots: found, .. } = look(series).whole();
        assert_eq!(found.len(), snapshots, "{what}: {problems:#?}");
        problems
    };
    LOOKS.map(look).into_iter().collect()
}

#[track_caller]
fn assert_no_notes(series: &Series, snapshots: usize) {
    assert!(looks(series, snapshots).iter().all(Vec::is_empty));
}

/// One note of each look, which names the lost state and every file that is left of its backup.
#[track_caller]
fn assert_noted(series: &Series, snapshots: usize, lost: Stamp, left: &BTreeMap<String, u64>) {
    for problems in looks(series, snapshots) {
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert_note(&problems[0], lost, left);
    }
}

#[track_caller]
fn assert_note(problem: &Problem, lost: Stamp, left: &BTreeMap<String, u64>) {
    assert_eq!((problem.kind, problem.status), (ProblemKind::Leftover, Kind::Missing), "{problem:#?}");
    assert_eq!(problem.snapshot, Some(lost));
    assert!(problem.message.contains(&format!("{KEY}.state.{lost}.json.zst")), "{problem:#?}");
    for archive in left.keys().filter(|name| name.contains(&lost.to_string())) {
        assert!(problem.message.contains(&**archive), "{archive}: {problem:#?}");
    }
}

/// Moves the newest state out of the store. Returns a function that puts it back.
fn move_away(series: &Series) -> impl Fn() + use<> {
    let (state, away) = (series.newest("state"), series.beside("away"));
    fs::rename(&state, &away).unwrap();
    move || fs::rename(&away, &state).unwrap()
}

#[test]
fn archives_without_their_state_are_noted() {
    let series = Series::with_two_snapshots();
    assert_no_notes(&series, 2);
    let back = move_away(&series);
    assert_noted(&series, 1, series.points[1].stamp, &series.stored());
    back();
    assert_no_notes(&series, 2);
    // Another backup is made meanwhile: the archives are then older than the newest snapshot.
    let back = move_away(&series);
    series.write("c", "new");
    series.incremental().whole();
    assert_noted(&series, 2, series.points[1].stamp, &series.stored());
    back();
    assert_no_notes(&series, 3);
    series.assert_every_point_restores();
}

#[test]
fn the_archives_of_the_only_snapshot_are_noted() {
    let series = one_full();
    let stamp = series.points[0].stamp;
    let back = move_away(&series);
    for (what, look) in LOOKS {
        let outcome = look(&series);
        assert_eq!(outcome.report.problems.len(), 1, "{what}: {outcome:#?}");
        assert_note(&outcome.report.problems[0], stamp, &series.stored());
        match what {
            "list the key" | "verify the key" => drop(outcome.refused(Kind::NotFound)),
            _ => assert!(outcome.whole().snapshots.is_empty()),
        }
    }
    back();
    assert_no_notes(&series, 1);
}

/// A backup publishes its archives before its state.
#[test]
fn archives_of_a_backup_that_may_be_running_are_not_noted() {
    let series = Series::with_two_snapshots();
    let back = move_away(&series);
    let mut store = DirStore::open(&series.store);
    let lock = store.lock(KEY, LockMode::Write).unwrap();
    assert_no_notes(&series, 1);
    drop(lock);
    assert_noted(&series, 1, series.points[1].stamp, &series.stored());
    // Archives that are older than the newest snapshot are not those of a running backup.
    series.write("c", "new");
    series.incremental().whole();
    let _lock = store.lock(KEY, LockMode::Write).unwrap();
    assert_noted(&series, 2, series.points[1].stamp, &series.stored());
    back();
    assert_no_notes(&series, 3);
}

/// A prune keeps archives whose snapshots it removed, if others need them.
#[test]
fn needed_archives_of_removed_snapshots_are_not_noted() {
    let series = Series::with_two_snapshots();
    series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })).whole();
    assert!(series.stored().keys().any(|name| name.contains(&series.points[0].stamp.to_string())));
    assert_no_notes(&series, 1);
}

/// Archives that a damaged state may need are not noted.
#[test]
fn archives_beside_a_damaged_state_are_not_noted() {
    let series = Series::with_two_snapshots();
    series.write("c", "new");
    series.incremental().whole();
    fs::remove_file(series.store.join(format!("{KEY}.state.{}.json.zst", series.points[1].stamp))).unwrap();
    fs::write(series.newest("state"), "damaged").unwrap();
    for (what, look) in LOOKS {
        let problems = look(&series).partial().problems;
        assert!(
            problems.iter().all(|problem| problem.kind != ProblemKind::Leftover),
            "{what}: {problems:#?}"
        );
    }
}

fn copy_of(store: &Path, name: &str) {
    fs::copy(store.join(name), store.join(format!("copy of {name}"))).unwrap();
}

fn keys(series: &Series) -> Vec<(String, u64)> {
    inspect::keys(&mut DirStore::open(&series.store)).unwrap().into_iter().collect()
}

#[test]
fn a_copy_of_a_state_is_no_other_key() {
    let series = Series::with_two_snapshots();
    let before = series.stored();
    for what in [".state.", "."] {
        before.keys().filter(|name| name.contains(what)).for_each(|name| copy_of(&series.store, name));
        for (number, problems) in looks(&series, 2).into_iter().enumerate() {
            // Two looks are at the key alone.
            let copies = if LOOKS[number].0.ends_with("all") { 2 } else { 0 };
            assert_eq!(problems.len(), copies, "{}: {problems:#?}", LOOKS[number].0);
            for problem in problems {
                assert_eq!(problem.kind, ProblemKind::Leftover, "{problem:#?}");
                assert!(problem.message.contains("is a copy of tree.state."), "{problem:#?}");
            }
        }
        assert_eq!(keys(&series), [(KEY.to_string(), 2)]);
    }
    series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })).whole();
    // The originals are gone now: the copies may be all that is left.
    assert_eq!(keys(&series).len(), 2);
}

/// A user renamed the files of a key.
#[test]
fn a_renamed_state_is_a_problem_that_names_its_own_name() {
    let series = one_full();
    let own = series.newest("state").file_name().unwrap().to_str().unwrap().to_string();
    let renamed = own.replacen(KEY, "new", 1);
    fs::rename(series.store.join(&own), series.store.join(&renamed)).unwrap();
    for all in [1, 3] {
        let problems = LOOKS[all].1(&series).partial().problems;
        assert!(problems.iter().any(|problem| problem.kind == ProblemKind::Damaged
            && problem.file.as_ref() == Some(&renamed)
            && problem.message.contains(&format!("its own name is {own}"))));
    }
    assert_eq!(keys(&series), [("new".to_string(), 1)]);
}
