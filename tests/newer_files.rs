//! Files that a later version of libibt has stored in another form, for example encrypted: their names have a further
//! word. They are left alone, and a snapshot that only a later version can read keeps all that it may need.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ibt::error::Kind;
use ibt::job::{Keep, Options, Overwrite, Problem, ProblemKind, Report, Select, Silent};
use ibt::stamp::{Stamp, Time};
use ibt::store::callbacks::Refusal;
use support::memory::Trouble;
use support::series::KEY;
use support::*;

/// Whether the report has a problem of the state with this name, of the kind for files of a later version.
fn names_state(report: &Report, state: &str) -> bool {
    let is_it = |problem: &Problem| {
        (problem.kind, problem.file.as_deref()) == (ProblemKind::Unsupported, Some(state))
    };
    report.problems.iter().any(is_it)
}

/// The names of the files that the report notes as copies of states.
fn copies(report: &Report) -> Vec<&str> {
    let notes = report.problems.iter().filter(|problem| problem.kind == ProblemKind::Leftover);
    notes.filter_map(|problem| problem.file.as_deref()).collect()
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
    wrapped.iter().for_each(|name| fs::write(series.store.join(name), "sealed").unwrap());
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
    let state = format!("{KEY}.state.{old}.json.age");
    for name in [&format!("{KEY}.retired.{old}.json"), &state] {
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

/// A copy of a state keeps only that state: without it, the copy would be a snapshot that nobody can read.
#[test]
fn a_copy_beside_a_state_is_noted_and_keeps_nothing_else() {
    for end in ["json.zst.bak", "json.copy"] {
        let mut series = Series::with_two_snapshots();
        let stamp = series.points[1].stamp;
        let plain = format!("{KEY}.state.{stamp}.json.zst");
        let copy = format!("{KEY}.state.{stamp}.{end}");
        fs::copy(series.store.join(&plain), series.store.join(&copy)).unwrap();
        assert_eq!(copies(&series.list().whole()), [&copy]);
        assert_eq!(copies(&series.verify(&series.options).whole()), [&copy]);
        series.assert_every_point_restores();
        let report = series.full().whole();
        series.keep(&report);
        let newest = format!(".{}.", series.points[2].stamp);
        for _ in 0..2 {
            let report = series.prune(&last_one(&series)).whole();
            assert_eq!(copies(&report), [&copy]);
            let old: BTreeSet<_> =
                series.stored().into_keys().filter(|name| !name.contains(&newest)).collect();
            let mark = format!("{KEY}.retired.{stamp}.json");
            assert_eq!(old, BTreeSet::from([copy.clone(), plain.clone(), mark]));
            assert_eq!(copies(&series.list().whole()), [&copy]);
            series.assert_newest_is_the_source();
        }
        series.write("c", "more");
        series.incremental().whole();
        series.assert_newest_is_the_source();
        fs::remove_file(series.store.join(&copy)).unwrap();
        series.prune(&series.keeping(Keep { last: 2, ..Keep::NONE })).whole();
        assert!(series.stored().into_keys().all(|name| !name.contains(&stamp.to_string())));
        series.verify(&series.options).whole();
    }
}

/// Wherever the newest state is damaged: the other form of it may be whole.
#[test]
fn a_damaged_newest_state_is_not_passed_over_if_it_is_there_in_another_form() {
    let series = Series::with_two_snapshots();
    // So many entries that the summary has a frame of its own, which may be whole if an entry is damaged.
    (0..40).for_each(|n| drop(series.write(&format!("more/{n}"), noise(n, 700))));
    series.incremental().whole();
    let plain = series.newest("state");
    let name = plain.file_name().unwrap().to_str().unwrap();
    let (mut passed_over, mut copied) = (0, 0);
    for at in (5..fs::metadata(&plain).unwrap().len()).step_by(251) {
        let fork = series.fork();
        let twin = &fork.twin;
        fs::remove_dir_all(twin.cache()).unwrap();
        stored::flip(&twin.store.join(name), at);
        let is_passed_over = |report: &Report| {
            let is_it = |problem: &Problem| {
                (problem.kind, problem.file.as_deref()) == (ProblemKind::Damaged, Some(name))
            };
            report.problems.iter().any(is_it)
        };
        let alone = twin.fork().twin.incremental();
        if alone.result.is_err() || !is_passed_over(&alone.report) {
            continue;
        }
        passed_over += 1;
        let copy = format!("{name}.age");
        fs::write(twin.store.join(&copy), "sealed").unwrap();
        let stored = twin.stored();
        for refused in [twin.incremental(), twin.full(), twin.consolidate(), twin.rebuild_cache()] {
            let error = refused.refused(Kind::Format);
            assert!(error.to_string().contains(&copy), "{at}: {error}");
        }
        twin.restore(Select::Newest, &twin.beside("refused")).refused(Kind::Corrupt);
        let listed = twin.list().ok();
        let is_copy = copies(&listed).contains(&&*copy);
        assert!(names_state(&listed, &copy) != is_copy, "{at}: {listed:#?}");
        copied += u32::from(is_copy);
        assert_eq!(twin.stored(), stored, "something was changed");
    }
    assert!(passed_over > 5 && copied > 3, "{passed_over}, {copied}");
}

/// Another program may copy states while a backup runs, also the state that the backup has just written. At that moment
/// the states may not be readable.
#[test]
fn a_copy_that_appears_meanwhile_is_no_other_snapshot() {
    let series = Series::over(Memory::without(&["lock"]));
    let mut series = Series { options: Options { allow_unlocked: true, ..series.options.clone() }, ..series };
    series.write("a", noise(1, 60_000));
    series.snapshot();
    let memory = series.memory.clone().unwrap();
    // States are copied at each listing. After the listing of the number `unread`, no read works before another call.
    let copying = |unread: u32| {
        let (objects, lists) = (memory.clone(), Arc::new(AtomicU32::new(0)));
        let (count, mut fails) = (lists.clone(), false);
        memory.disturb(move |function, _| {
            if function == "list" {
                let states = objects.objects().into_iter().filter(|(name, _)| name.ends_with(".json.zst"));
                states.for_each(|(name, bytes)| objects.put(&format!("{name}.bak"), &bytes));
                fails = count.fetch_add(1, Ordering::Relaxed) + 1 == unread;
            }
            fails &= ["list", "read"].contains(&function);
            match fails && function == "read" {
                true => Trouble::Refused(Refusal { status: -77, os_code: libc::EIO, reason: None }),
                false => Trouble::None,
            }
        });
        lists
    };
    let lists = copying(0);
    series.write("a", noise(2, 60_000));
    let report = series.incremental().whole();
    series.keep(&report);
    // The last listing: after the state got its name.
    copying(lists.load(Ordering::Relaxed));
    series.write("a", noise(10, 60_000));
    let report = series.incremental().whole();
    series.keep(&report);
    copying(0);
    series.consolidate().whole();
    // A snapshot of a later version is another one.
    let objects = memory.clone();
    let later = format!("{KEY}.state.20991231T000000.000000Z.json.age");
    let name = later.clone();
    memory.disturb(move |function, _| {
        if function == "commit" {
            objects.put(&name, b"sealed");
        }
        Trouble::None
    });
    series.write("a", noise(3, 60_000));
    series.incremental().refused(Kind::Busy);
    memory.mend();
    memory.remove(&later);
    series.assert_every_point_restores();
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
    let later = Stamp::of_clock(Time::now().plus_secs(30 * 86_400)).to_string();
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

/// Snapshots are selected by their dates. The stamp may be later than the date, so that a snapshot which only a later
/// version can read may be the newest one of an earlier time, too.
#[test]
fn a_time_selects_no_older_snapshot_than_one_that_may_be_of_that_time() {
    let series = Series::with_two_snapshots();
    let in_days = |days: i64| Time::now().plus_secs(days * 86_400);
    let dest = series.beside("restored");
    let selected = |time: Time| series.restore(Select::AsOf(time), &dest);
    // The stamp does not say when the snapshot was made.
    let moved = Stamp::of_clock(in_days(30)).moved_behind().unwrap();
    let state = series.store.join(format!("{KEY}.state.{moved}.json.age"));
    fs::write(&state, "sealed").unwrap();
    selected(Time::now()).refused(Kind::Format);
    selected(in_days(31)).refused(Kind::Format);
    fs::remove_file(&state).unwrap();

    // A snapshot that was made now has a later stamp than one whose date is later.
    let archive = series.store.join(format!("{KEY}.full.{}.tar.zst", Stamp::of_clock(in_days(30))));
    fs::write(&archive, "of a clock that was wrong").unwrap();
    let stamp = series.incremental().whole().snapshot.unwrap();
    fs::remove_file(&archive).unwrap();
    assert!(stamp.is_moved() && stamp.to_time() > in_days(29));
    let earlier = Stamp::of_clock(in_days(20));
    fs::write(series.store.join(format!("{KEY}.state.{earlier}.json.age")), "sealed").unwrap();
    selected(in_days(21)).refused(Kind::Format);
    selected(in_days(19)).whole();
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
