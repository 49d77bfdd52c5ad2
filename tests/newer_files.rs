//! Files that a later version of libibt has stored in another form, for example encrypted: their names have a further
//! word. They are left alone, and a snapshot that only a later version can read keeps all that it may need.

mod support;

use std::fs;

use ibt::error::Kind;
use ibt::job::{Keep, Options, Overwrite, Problem, ProblemKind, Report, Select, Silent};
use ibt::stamp::{Stamp, Time};
use support::series::KEY;
use support::*;

/// Whether the report has a problem of the state with this name, of the kind for files of a later version.
fn names_state(report: &Report, state: &str) -> bool {
    let is_it = |problem: &Problem| {
        (problem.kind, problem.file.as_deref()) == (ProblemKind::Unsupported, Some(state))
    };
    report.problems.iter().any(is_it)
}

fn last_one(series: &Series) -> Options {
    series.keeping(Keep { last: 1, ..Keep::NONE })
}

/// While one of the files is a state, it may need any archive and any state.
#[test]
fn files_with_a_suffix_are_left_alone() {
    let mut series = Series::with_two_snapshots();
    series.write("c", noise(9, 500));
    series.snapshot();
    let stamp = series.points[1].stamp;
    let wrapped = ["full", "created", "sigvault"].map(|kind| format!("{KEY}.{kind}.{stamp}.tar.zst.age"));
    let state = format!("{KEY}.state.{stamp}.json.zst.age");
    wrapped.iter().chain([&state]).for_each(|name| fs::write(series.store.join(name), "sealed").unwrap());
    series.list().whole();
    series.verify(&series.options).whole();
    series.write("d", "more");
    series.snapshot();
    series.assert_every_point_restores();
    // No snapshot needs this archive.
    let orphan = format!("{KEY}.created.20200101T000000.000000Z.tar.zst");
    fs::write(series.store.join(&orphan), "of a killed run").unwrap();
    // The newer version removed another snapshot, whose state is a layer of one that only it can read.
    let old = "20200102T000000.000000Z";
    for name in [format!("{KEY}.retired.{old}.json"), format!("{KEY}.state.{old}.json.age")] {
        fs::write(series.store.join(name), "sealed").unwrap();
    }
    let before = series.stored();
    assert!(names_state(&series.prune(&last_one(&series)).partial(), &state));
    let after = series.stored();
    let gone = before.keys().filter(|name| !after.contains_key(*name)).collect::<Vec<_>>();
    assert_eq!(gone, Vec::<&String>::new(), "something was removed");
    assert_eq!(series.list().whole().snapshots.len(), 1);
    series.assert_newest_is_the_source();

    fs::remove_file(series.store.join(&state)).unwrap();
    fs::remove_file(series.store.join(format!("{KEY}.state.{old}.json.age"))).unwrap();
    series.prune(&last_one(&series)).whole();
    let after = series.stored();
    assert!(wrapped.iter().all(|name| after.contains_key(name)) && !after.contains_key(&orphan));
    series.assert_newest_is_the_source();
    series.consolidate().whole();
    series.assert_newest_is_the_source();

    // A directory with such a file is the store of other backups.
    let dest = series.beside("over");
    fs::create_dir_all(dest.join("backups")).unwrap();
    fs::write(dest.join("backups").join(&wrapped[0]), "sealed").unwrap();
    let (overwrite, delete_extra) = (Overwrite::IfDifferent, true);
    let options = Options { overwrite, delete_extra, ..series.options.clone() };
    series.restore_with(&options, &dest, &mut Silent).partial();
    assert!(dest.join("backups").join(&wrapped[0]).exists());
}

/// Nothing that needs the newest snapshot goes on with an older one.
#[track_caller]
fn assert_refused(series: &Series) {
    series.restore(Select::Newest, &series.beside("refused")).refused(Kind::Format);
    series.incremental().refused(Kind::Format);
    series.full().refused(Kind::Format);
    series.consolidate().refused(Kind::Format);
    series.rebuild_cache().refused(Kind::Format);
}

#[test]
fn no_older_snapshot_takes_the_place_of_a_newest_one_with_a_suffix() {
    let mut series = Series::with_two_snapshots();
    let later = Stamp::from_time(Time::now().plus_secs(30 * 86_400)).to_string();
    for suffix in ["json.zst.age", "json.age"] {
        let state = format!("{KEY}.state.{later}.{suffix}");
        fs::write(series.store.join(&state), "sealed").unwrap();
        let stored = series.stored();
        let dest = series.beside("restored");
        assert_refused(&series);
        for report in [series.list().partial(), series.verify(&series.options).partial()] {
            assert!(names_state(&report, &state));
            assert_eq!(report.snapshots.len(), 2);
        }
        let as_of = |time| Select::AsOf(Time::now().plus_secs(time));
        series.restore(as_of(31 * 86_400), &dest).refused(Kind::Format);
        series.restore(Select::Exactly(Stamp::parse(&later).unwrap()), &dest).refused(Kind::Format);
        series.restore(as_of(29 * 86_400), &dest).whole();
        fs::remove_dir_all(&dest).unwrap();
        assert_eq!(series.stored(), stored, "something was changed");
        // A snapshot that is selected by its stamp is restored.
        let select = Select::Exactly(series.points[1].stamp);
        series.restore_with(&Options { select, ..series.options.clone() }, &dest, &mut Silent).whole();
        fs::remove_dir_all(&dest).unwrap();
        fs::remove_file(series.store.join(&state)).unwrap();
    }
    // A mark says that the snapshot is removed.
    for name in [format!("{KEY}.state.{later}.json.age"), format!("{KEY}.retired.{later}.json")] {
        fs::write(series.store.join(name), "sealed").unwrap();
    }
    series.write("d", "more");
    series.snapshot();
    assert!(series.points.last().unwrap().stamp.to_string() > later, "a stamp before a later one");
    series.assert_every_point_restores();
}

/// A damaged newest snapshot is passed over, but not one that only a later version can read.
#[test]
fn a_damaged_snapshot_does_not_hide_one_of_a_later_version() {
    let mut series = Series::with_two_snapshots();
    series.write("c", noise(9, 500));
    series.snapshot();
    let between = series.points[1].stamp.moved_behind().unwrap();
    fs::remove_dir_all(series.cache()).unwrap();
    stored::flip(&series.newest("state"), 20);
    series.fork().twin.incremental().ok();
    fs::write(series.store.join(format!("{KEY}.state.{between}.json.zst.age")), "sealed").unwrap();
    series.incremental().refused(Kind::Format);
    series.consolidate().refused(Kind::Format);
    series.full().refused(Kind::Format);
}

/// A key may have no snapshot that this version can read.
#[test]
fn a_key_with_snapshots_of_a_later_version_only_is_listed() {
    let series = Series::new();
    series.write("a", "a file");
    fs::create_dir(&series.store).unwrap();
    let stamp = "20260102T000000.000000Z";
    let state = format!("{KEY}.state.{stamp}.json.zst.age");
    for end in ["", ".00002.age"] {
        fs::write(series.store.join(format!("{KEY}.full.{stamp}.tar.zst{end}")), "sealed").unwrap();
    }
    fs::write(series.store.join(&state), "sealed").unwrap();
    let stored = series.stored();
    assert_refused(&series);
    let of = |key: Option<&'static str>| {
        [
            series.silently(&series.options, |store, job| ibt::inspect::list(store, key, job)).partial(),
            series.silently(&series.options, |store, job| ibt::inspect::verify(store, key, job)).partial(),
        ]
    };
    let pruned = series.prune(&last_one(&series)).partial();
    for report in of(None).into_iter().chain(of(Some(KEY))).chain([pruned]) {
        assert!(names_state(&report, &state), "{report:#?}");
        assert!(report.snapshots.is_empty());
    }
    let keys = ibt::inspect::keys(&mut ibt::store::DirStore::open(&series.store)).unwrap();
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), [(KEY.to_string(), 1)]);
    assert_eq!(series.stored(), stored);
    // Nothing is left of the snapshot when a mark says that it is removed.
    fs::write(series.store.join(format!("{KEY}.retired.{stamp}.json")), "removed").unwrap();
    series.list().refused(Kind::NotFound);
    series.full().whole();
    series.assert_newest_is_the_source();
}

/// The user may have moved a state to another disk and left a symbolic link.
#[test]
fn a_link_with_the_name_of_such_a_state_keeps_archives_and_marks() {
    let series = Series::with_two_snapshots();
    let stamp = "20260102T000000.000000Z";
    let state = format!("{KEY}.state.{stamp}.json.zst.age");
    let (orphan, mark) = (format!("{KEY}.full.{stamp}.tar.zst"), format!("{KEY}.retired.{stamp}.json"));
    [&orphan, &mark].iter().for_each(|name| fs::write(series.store.join(name), "sealed").unwrap());
    std::os::unix::fs::symlink("/elsewhere/state", series.store.join(&state)).unwrap();
    let report = series.prune(&last_one(&series)).partial();
    assert!(report.problems.iter().any(|problem| problem.file.as_deref() == Some(&*state)));
    let after = series.stored();
    assert!(after.contains_key(&orphan) && after.contains_key(&mark), "{after:?}");
    fs::remove_file(series.store.join(&state)).unwrap();
    series.prune(&last_one(&series)).whole();
    let after = series.stored();
    assert!(!after.contains_key(&orphan) && !after.contains_key(&mark), "{after:?}");
    series.assert_newest_is_the_source();
}

#[test]
fn a_storage_of_functions_lists_such_files_too() {
    let series = Series::over(Memory::default());
    series.write("a", noise(1, 60_000));
    series.full().whole();
    series.write("a", noise(2, 60_000));
    series.incremental().whole();
    let memory = series.memory.clone().unwrap();
    let stamp = "20260102T000000.000000Z";
    let (state, orphan) = (format!("{KEY}.state.{stamp}.json.age"), format!("{KEY}.full.{stamp}.tar.zst"));
    [&state, &orphan].iter().for_each(|name| memory.put(name, b"sealed"));
    let before = series.stored();
    assert!(names_state(&series.prune(&last_one(&series)).partial(), &state));
    let after = series.stored();
    assert!(before.keys().all(|name| after.contains_key(name)), "{after:?}");
    memory.remove(&state);
    series.prune(&last_one(&series)).whole();
    assert!(!series.stored().contains_key(&orphan));
    series.assert_newest_is_the_source();
}
