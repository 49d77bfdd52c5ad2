//! A locked key and a cancelled operation are reported at once, and leave no trace.

mod support;

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ibt::entry::Entry;
use ibt::error::Kind;
use ibt::job::{Cancel, Counter, Flow, Observer, Options, Overwrite, ProblemKind, Progress, Select, Silent};
use ibt::store::{DirStore, LockMode, Store};
use support::series::{KEY, around, one_full, refused};
use support::tools::{tag_of_name, temp_of};
use support::*;

/// Takes an open-file-description lock on the key's lock file, as another process would.
fn lock(series: &Series, kind: libc::c_int) -> fs::File {
    let path = series.store.join(format!("{KEY}.lock"));
    let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    // SAFETY: an all-zero flock is valid: the range is the whole file, and no process is named.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = kind as libc::c_short;
    // SAFETY: the descriptor is open, and the pointer is valid during the call.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &range) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    file
}

#[test]
fn a_locked_key_is_busy() {
    let series = one_full();
    if series.memory.is_some() {
        return skip("this store has no lock file");
    }
    let held = lock(&series, libc::F_WRLCK);
    for operation in [Series::full, Series::incremental, Series::consolidate, |series: &Series| {
        series.restore(Select::Newest, &series.beside("restored"))
    }] {
        refused(&series, Kind::Busy, operation);
    }
    drop(held);
    series.incremental().whole();
}

/// If the first backup fails, a store that did not exist is not created, and an existing store stays.
#[test]
fn a_backup_that_fails_makes_no_store() {
    for existing in [false, true] {
        let series = Series::new();
        series.write("file", "content");
        if series.memory.is_some() {
            return skip("this store is no directory");
        }
        if existing {
            fs::create_dir(&series.store).unwrap();
        }
        let mut observer = CancelAt { at: 1, calls: 0, flag: None };
        let outcome = series.run(&series.options, &Cancel::default(), &mut observer, |store, job| {
            ibt::backup::full(store, &series.source, job)
        });
        outcome.refused(Kind::Cancelled);
        assert_eq!(series.store.exists(), existing);
        series.full().whole();
    }
}

/// Two processes use a new store at once, and one of them gives up: the store stays.
#[test]
fn a_store_that_others_came_to_use_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (mut one, mut other) = (DirStore::open(&path), DirStore::open(&path));
    let first = one.lock("a", LockMode::Delete).unwrap();
    let second = other.lock("b", LockMode::Delete).unwrap();
    drop(first);
    assert!(path.join("b.lock").exists());
    assert_eq!(other.lock("b", LockMode::Delete).map(drop).unwrap_err().kind, Kind::Busy);
    drop(second);
    let third = one.lock("a", LockMode::Delete).unwrap();
    assert!(path.join("a.lock").exists());
    drop(third);
}

/// If the store is removed meanwhile, a handle creates it again, like a new handle.
#[test]
fn a_store_that_was_removed_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut store = DirStore::open(&path);
    for _ in 0..2 {
        let lock = store.lock("a", LockMode::Delete).unwrap();
        let name = "a.state.20261122T220530.123456Z.json";
        assert!(store.list("").unwrap().is_empty());
        store.create(name).unwrap().publish().unwrap();
        assert_eq!(store.list("a.").unwrap().len(), 1);
        drop(lock);
        fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn who_waits_for_a_lock_gets_it() {
    let mut series = one_full();
    if series.memory.is_some() {
        return skip("this store has no lock file");
    }
    series.options.lock_wait_ms = 30_000;
    let held = lock(&series, libc::F_WRLCK);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            drop(held);
        });
        series.incremental().whole();
    });
    series.options.lock_wait_ms = 50;
    let _held = lock(&series, libc::F_WRLCK);
    refused(&series, Kind::Busy, Series::incremental);
}

/// Counts callbacks. At callback number `at` it cancels through `flag`, or by its answer if there is no flag.
struct CancelAt {
    at: u32,
    calls: u32,
    flag: Option<Cancel>,
}

impl CancelAt {
    fn call(&mut self) -> Flow {
        self.calls += 1;
        match &self.flag {
            _ if self.calls != self.at => Flow::Continue,
            Some(flag) => {
                flag.request();
                Flow::Continue
            }
            None => Flow::Cancel,
        }
    }
}

impl Observer for CancelAt {
    fn progress(&mut self, _: &Progress) -> Flow {
        self.call()
    }
    fn change(&mut self, _: u32, _: Option<&Entry>, _: Option<&Entry>) -> Flow {
        self.call()
    }
}

/// An operation that can be cancelled. The first three write a snapshot, the last a tree.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Work {
    Full,
    Incremental,
    Consolidate,
    Restore,
}

fn cancelled_at(series: &Series, work: Work, at: u32, by_flag: bool) -> (Outcome, u32) {
    let flag = Cancel::default();
    let mut observer = CancelAt { at, calls: 0, flag: by_flag.then(|| flag.clone()) };
    let dest = series.beside("restored");
    let outcome = series.run(&series.options, &flag, &mut observer, |store, job| match work {
        Work::Full => ibt::backup::full(store, &series.source, job),
        Work::Incremental => ibt::backup::incremental(store, &series.source, job),
        Work::Consolidate => ibt::retain::consolidate(store, KEY, job),
        Work::Restore => ibt::restore::restore(store, KEY, &dest, job),
    });
    (outcome, observer.calls)
}

/// Counts the callbacks of a run in a fork without a cancel. The clock triggers some callbacks, so this is
/// the lowest count of three runs.
fn callbacks(series: &Series, work: Work) -> u32 {
    let one_run = |_| {
        let (outcome, calls) = cancelled_at(&series.fork().twin, work, 0, false);
        outcome.whole();
        calls
    };
    (0..3).map(one_run).min().unwrap()
}

/// More callbacks than any run has.
const CALLBACKS_MAX: u32 = 400;

fn sweep(work: Work, by_flag: bool) {
    let mut series = one_full();
    for index in 0..12 {
        series.write(&format!("more/{index}"), noise(index, 20_000));
    }
    if work == Work::Consolidate {
        series.snapshot();
    }
    let all = callbacks(&series, work);
    let mut cancelled = 0;
    for at in 1..=CALLBACKS_MAX {
        let before = around(&series);
        let (outcome, calls) = cancelled_at(&series, work, at, by_flag);
        let Err(error) = &outcome.result else {
            // The run had fewer callbacks, or the snapshot was committed before the flag was set.
            if calls < at || (by_flag && work != Work::Restore) {
                break;
            }
            panic!("{work:?}: not cancelled by callback {at}");
        };
        assert_eq!(error.kind, Kind::Cancelled, "{error}");
        assert_eq!(around(&series), before, "{work:?} cancelled at {at} left something");
        cancelled += 1;
    }
    assert!(cancelled < CALLBACKS_MAX, "{work:?}: it never succeeded");
    assert!(all > 0 && cancelled * 2 >= all, "{work:?}: {cancelled} callbacks of {all} cancelled it");
    series.points.clear();
    series.full().whole();
    let _ = fs::remove_dir_all(series.beside("restored"));
    series.assert_newest_is_the_source();
}

#[test]
fn a_full_cancelled_at_any_callback_leaves_no_trace() {
    sweep(Work::Full, false);
    sweep(Work::Full, true);
}

#[test]
fn an_increment_cancelled_at_any_callback_leaves_no_trace() {
    sweep(Work::Incremental, false);
    sweep(Work::Incremental, true);
}

#[test]
fn a_consolidation_cancelled_at_any_callback_leaves_no_trace() {
    sweep(Work::Consolidate, false);
    sweep(Work::Consolidate, true);
}

#[test]
fn a_restore_cancelled_at_any_callback_leaves_no_trace() {
    sweep(Work::Restore, false);
    sweep(Work::Restore, true);
}

#[test]
fn what_is_cancelled_before_it_starts_does_nothing() {
    let mut series = one_full();
    let flag = Cancel::default();
    flag.request();
    let options = Options { key: Some(KEY.into()), ..series.options.clone() };
    let dest = series.beside("restored");
    refused(&series, Kind::Cancelled, |series| {
        series.run(&options, &flag, &mut Silent, |store, job| ibt::backup::full(store, &series.source, job))
    });
    refused(&series, Kind::Cancelled, |series| {
        series.run(&options, &flag, &mut Silent, |store, job| {
            ibt::backup::incremental(store, &series.source, job)
        })
    });
    refused(&series, Kind::Cancelled, |series| {
        series.run(&options, &flag, &mut Silent, |store, job| ibt::restore::restore(store, KEY, &dest, job))
    });
    series.snapshot();
    series.assert_every_point_restores();
}

fn ino(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

fn left_tree(at: PathBuf) -> PathBuf {
    fs::create_dir_all(at.join("d")).unwrap();
    fs::write(at.join("d/half"), "half").unwrap();
    at
}

/// The next restore to a destination removes all left-overs of killed restores to that destination, and no
/// others.
#[test]
fn left_overs_of_killed_restores_go_with_the_next_of_the_same_destination() {
    let mut series = Series::new();
    series.write("d/file", "content");
    series.snapshot();
    let beside = tag_of_name("dest");
    let dest = series.beside("dest");
    for existing in [None, Some(Overwrite::Never), Some(Overwrite::Always)] {
        let (mine, other) = (series.beside(&temp_of(beside, 1)), series.beside(&temp_of(beside + 1, 1)));
        let (mut mine, mut others) = (vec![left_tree(mine)], vec![left_tree(other)]);
        if existing.is_some() {
            fs::create_dir(&dest).unwrap();
            mine.push(left_tree(dest.join(temp_of(ino(&dest), 7))));
        }
        if existing == Some(Overwrite::Always) {
            fs::create_dir(dest.join("d")).unwrap();
            for (tag, all) in [(ino(&dest), &mut mine), (ino(&dest) + 1, &mut others)] {
                let path = dest.join("d").join(temp_of(tag, 9));
                fs::write(&path, "half").unwrap();
                all.push(path);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let overwrite = existing.unwrap_or_default();
        let options =
            Options { overwrite, delete_extra: overwrite != Overwrite::Never, ..series.options.clone() };
        let outcome = series.restore_with(&options, &dest, &mut Silent);
        outcome.whole();
        assert!(mine.iter().all(|path| !path.exists()), "{mine:?}");
        assert!(others.iter().all(|path| path.exists()), "{others:?}");
        if overwrite == Overwrite::Never {
            series.points[0].kept.assert_is(&dest);
        }
        assert_eq!(fs::read(dest.join("d/file")).unwrap(), b"content");
        others
            .iter()
            .filter(|path| !path.starts_with(&dest))
            .for_each(|path| fs::remove_dir_all(path).unwrap());
        fs::remove_dir_all(&dest).unwrap();
    }
}

/// Runs a second restore to the same destination during the first.
struct Meanwhile<'p> {
    series: &'p Series,
    dest: &'p Path,
    overwrite: Overwrite,
    met: bool,
}

impl Observer for Meanwhile<'_> {
    fn change(&mut self, _: u32, _: Option<&Entry>, _: Option<&Entry>) -> Flow {
        if !std::mem::replace(&mut self.met, true) {
            let options = Options { overwrite: self.overwrite, ..self.series.options.clone() };
            let outcome = self.series.restore_with(&options, self.dest, &mut Silent);
            if let Err(error) = outcome.result {
                assert_eq!((error.kind, self.overwrite), (Kind::Exists, Overwrite::Never), "{error}");
            }
        }
        Flow::Continue
    }
}

/// Several restores to one destination at once do not remove each other's files.
#[test]
fn restores_at_once_do_not_take_each_other_for_left_overs() {
    let mut series = Series::new();
    for index in 0..30 {
        series.write(&format!("d{}/{index}", index % 3), noise(index, 5_000));
    }
    series.snapshot();
    let dest = series.beside("dest");
    for overwrite in [Overwrite::Never, Overwrite::Always] {
        fs::create_dir(&dest).unwrap();
        let mut observer = Meanwhile { series: &series, dest: &dest, overwrite, met: false };
        let options = Options { overwrite, ..series.options.clone() };
        let outcome = series.restore_with(&options, &dest, &mut observer);
        assert!(observer.met);
        outcome.ok();
        assert_same_tree(&series.source, &dest);
        fs::remove_dir_all(&dest).unwrap();
    }
}

/// A backup does not store the left-overs of a restore, and a comparison does not report them as new entries. Both list
/// them as problems, but are not partial.
#[test]
fn left_overs_of_restores_are_not_backed_up() {
    let series = Series::new();
    series.write("d/file", "content");
    left_tree(series.source.join(temp_of(1, 2)));
    series.write(&format!("d/{}", temp_of(3, 4)), "half");
    series.write(&format!("d/{}x", temp_of(3, 4)), "a name of somebody else's");
    let named = [temp_of(1, 2), format!("d/{}", temp_of(3, 4))];
    let report = series.full().whole();
    let mut skipped = series::problem_paths(&report, ProblemKind::Skipped);
    skipped.sort();
    assert_eq!(skipped, named);
    assert_eq!(series::counter(&report, Counter::Entries), 4);
    let compared = series.run(&series.options, &Cancel::default(), &mut Silent, |store, job| {
        ibt::inspect::compare(store, KEY, &series.source, job)
    });
    let report = compared.whole();
    assert_eq!(series::problem_paths(&report, ProblemKind::Skipped).len(), 2);
    assert_eq!(series::counter(&report, Counter::Created), 0);
}
