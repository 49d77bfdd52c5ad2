//! Other programs change things during an operation: they swap files between the passes of a backup, put
//! files into a destination, and set ACLs around it. No content may be stored or restored under the name of
//! another file, and no file of other users may be changed.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ibt::error::Kind;
use ibt::job::{
    Cancel, Counter, Flow, Observer, Options, Overwrite, Phase, ProblemKind, Progress, Select, change,
};
use support::nobody::NOBODY;
use support::series::{Outcome, one_full, problem_paths};
use support::tools::{command, run, set_mode};
use support::*;

#[test]
fn a_linked_file_replaced_between_the_passes_lends_its_bytes_to_no_other_name() {
    let series = Series::new();
    series.write("0-first", "reported first");
    let linked = series.write("a", "the old content");
    fs::hard_link(&linked, series.source.join("b")).unwrap();
    let fresh = series.beside("fresh");
    fs::write(&fresh, "a new content, saved by rename").unwrap();
    let mut swap = AtChange::any("0-first", || fs::rename(&fresh, &linked).unwrap());
    let made = series.run(&series.options, &Cancel::default(), &mut swap, |store, job| {
        ibt::backup::full(store, &series.source, job)
    });
    made.ok();
    let dest = series.beside("restored");
    series.restore(Select::Newest, &dest).ok();
    assert_eq!(fs::read(dest.join("a")).unwrap(), b"a new content, saved by rename");
    assert_eq!(fs::read(dest.join("b")).unwrap(), b"the old content");
}

#[test]
fn a_file_moved_to_either_side_is_moved_and_not_deleted() {
    for to in ["a", "z"] {
        let mut series = Series::new();
        series.write("m", vec![7; 20_000]);
        series.snapshot();
        fs::rename(series.source.join("m"), series.source.join(to)).unwrap();
        let (report, _) = series.increment();
        let count = |which| report.counters.get(which);
        assert_eq!(
            (count(Counter::Moved), count(Counter::Deleted), count(Counter::Created)),
            (1, 0, 0),
            "{to}"
        );
        series.assert_newest_is_the_source();
    }
}

#[test]
fn what_others_put_into_an_empty_destination_survives_a_failed_restore() {
    let series = one_full();
    let dest = series.beside("dest");
    fs::create_dir(&dest).unwrap();
    let mine = dest.join("a");
    let mut put = AtChange::any("a", || fs::write(&mine, "mine").unwrap());
    let outcome = series.restore_with(&series.options, &dest, &mut put);
    outcome.refused(Kind::Exists);
    let left: Vec<_> = fs::read_dir(&dest).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["a"]);
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
}

/// Cancels when the given phase begins.
struct CancelAt(Phase);

impl Observer for CancelAt {
    fn progress(&mut self, now: &Progress) -> Flow {
        if now.phase == self.0 { Flow::Cancel } else { Flow::Continue }
    }
}

#[test]
fn an_empty_destination_is_as_it_was_after_a_cancelled_restore() {
    let mut series = Series::new();
    series.write("dir/file", "content");
    fs::set_permissions(&series.source, fs::Permissions::from_mode(0o555)).unwrap();
    series.snapshot();
    let dest = series.beside("dest");
    fs::create_dir(&dest).unwrap();
    fs::set_permissions(&dest, fs::Permissions::from_mode(0o751)).unwrap();
    let before = fs::metadata(&dest).unwrap();
    let outcome = series.restore_with(&series.options, &dest, &mut CancelAt(Phase::Commit));
    outcome.refused(Kind::Cancelled);
    let after = fs::metadata(&dest).unwrap();
    assert_eq!((after.mode(), after.mtime()), (before.mode(), before.mtime()));
    assert_eq!(fs::read_dir(&dest).unwrap().count(), 0);
    fs::set_permissions(&series.source, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_default_acl_around_the_destination_gives_nobody_a_right() {
    let mut series = Series::new();
    series.write("secret", "for the owner and the group");
    series.snapshot();
    let place = series.beside("place");
    fs::create_dir(&place).unwrap();
    if !tools::output(tools::command("setfacl", ["-d", "-m", "u:65534:rwx"]).arg(&place)).status.success() {
        return skip("no ACLs here");
    }
    let inside = place.join("inside");
    fs::create_dir(&inside).unwrap();
    for dest in [place.join("beside"), inside] {
        series.restore(Select::Newest, &dest).whole();
        assert_same_tree(&series.source, &dest);
    }
}

#[test]
fn setgid_without_its_group_is_dropped() {
    if !is_root() {
        return skip("only root can choose groups");
    }
    let mut series = Series::new();
    let program = series.write("program", "of another group");
    std::os::unix::fs::chown(&program, Some(0), Some(12)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o2755)).unwrap();
    series.snapshot();
    let dest = series.beside("restored");
    let everything_but_owners = ibt::job::meta::ALL & !ibt::job::meta::OWNER;
    let options = Options { restore_metadata: Some(everything_but_owners), ..series.options.clone() };
    let outcome = series.restore_with(&options, &dest, &mut ibt::job::Silent);
    outcome.whole();
    let restored = fs::metadata(dest.join("program")).unwrap();
    assert_eq!((restored.gid(), restored.mode() & 0o7777), (0, 0o755));
}

#[test]
fn deletions_are_told_once_each_and_in_path_order() {
    let mut series = Series::new();
    let names = ["e", "b", "d", "a", "c"];
    names.iter().for_each(|name| drop(series.write(name, name.repeat(100))));
    series.snapshot();
    names.iter().for_each(|name| fs::remove_file(series.source.join(name)).unwrap());
    series.write("new", "one file");
    let mut reported = ReportedChanges::default();
    let made = series.run(&series.options, &Cancel::default(), &mut reported, |store, job| {
        ibt::backup::incremental(store, &series.source, job)
    });
    made.whole();
    let deleted: Vec<_> =
        reported.0.iter().filter(|(what, _)| *what == change::DELETED).map(|(_, path)| path).collect();
    assert_eq!(deleted, [b"a", b"b", b"c", b"d", b"e"]);
}

fn over(series: &Series, dest: &Path, observer: &mut dyn Observer) -> Outcome {
    let options = Options { overwrite: Overwrite::Always, ..series.options.clone() };
    series.restore_with(&options, dest, observer)
}

/// Makes the user `nobody` the owner of `path`. If `path` is a directory, this user may then rename its entries.
fn give(path: &Path) {
    std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
}

fn owner_and_mode(path: &Path) -> (u32, u32) {
    let now = path.symlink_metadata().unwrap();
    (now.uid(), now.mode() & 0o7777)
}

/// The user `nobody` exchanges a directory that the restore has just made or compared for a directory of root. The
/// restore must not give root's directory to that user.
#[test]
fn a_directory_that_was_swapped_in_is_not_given_away() {
    if !is_root() {
        return skip("only root has something to give away");
    }
    for is_there in [false, true] {
        let mut series = Series::new();
        series.write("d/file", "restored");
        series.write("z", "last");
        let _ = ["d", "d/file", "z", ""].map(|path| give(&series.source.join(path)));
        fs::set_permissions(series.source.join("d"), fs::Permissions::from_mode(0o777)).unwrap();
        series.snapshot();
        let dest = series.beside("dest");
        fs::create_dir(&dest).unwrap();
        give(&dest);
        let (name, roots) = (dest.join("d"), dest.join("roots"));
        if is_there {
            fs::create_dir(&name).unwrap();
            give(&name);
        }
        fs::create_dir(&roots).unwrap();
        fs::set_permissions(&roots, fs::Permissions::from_mode(0o700)).unwrap();
        set_mode(series.dir.path(), 0o755);
        let swap = || {
            as_nobody(|| {
                fs::rename(&name, dest.join("mine")).unwrap();
                fs::rename(&roots, &name).unwrap();
            })
        };
        let outcome = over(&series, &dest, &mut AtChange::any("d", swap));
        assert_eq!(owner_and_mode(&name), (0, 0o700), "there before: {is_there}");
        assert_eq!(fs::read_dir(&name).unwrap().count(), 0, "there before: {is_there}");
        let obstructed = problem_paths(&outcome.partial(), ProblemKind::Obstructed);
        assert!(obstructed.contains(&"d".to_string()), "{obstructed:?}");
        assert_eq!(fs::read(dest.join("z")).unwrap(), b"last");
    }
}

/// The user `nobody` renames hard links to a file of root to the temporary names of a restore, which makes symbolic
/// links, FIFOs and files there. The restore must not give root's file to that user.
#[test]
fn a_file_that_was_swapped_in_is_not_given_away() {
    if !is_root() {
        return skip("only root has something to give away");
    }
    let mut series = Series::new();
    for index in 0..150 {
        let name = series.source.join(format!("link{index}"));
        std::os::unix::fs::symlink("somewhere", &name).unwrap();
        give(&name);
        let name = series.source.join(format!("fifo{index}"));
        run(command("mkfifo", ["-m", "666"]).arg(&name));
        give(&name);
        give(&series.write(&format!("file{index}"), format!("of the snapshot {index}")));
    }
    give(&series.source);
    series.snapshot();
    set_mode(series.dir.path(), 0o755);
    let secret = series.beside("secret");
    fs::write(&secret, "root's").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let dest = series.beside("dest");
    let stop = AtomicBool::new(false);
    let mut swaps = 0;
    for round in 0..8 {
        fs::create_dir(&dest).unwrap();
        give(&dest);
        let links: Vec<_> = (0..2000).map(|index| dest.join(format!("bait{round}-{index}"))).collect();
        links.iter().for_each(|link| fs::hard_link(&secret, link).unwrap());
        stop.store(false, Ordering::Relaxed);
        std::thread::scope(|scope| {
            let swapper = scope.spawn(|| as_nobody(|| swap_temporary_names(&dest, &links, &stop)));
            let outcome = over(&series, &dest, &mut ibt::job::Silent);
            stop.store(true, Ordering::Relaxed);
            outcome.result.unwrap();
            swaps += swapper.join().unwrap();
        });
        assert_eq!(owner_and_mode(&secret), (0, 0o600), "round {round}");
        assert_eq!(fs::read(&secret).unwrap(), b"root's");
        series::remove(&dest);
    }
    assert!(swaps >= SWAPS_MIN, "only {swaps} hard links took temporary names");
}

/// The fewest hard links that take a temporary name of the restore in a useful run of the test.
const SWAPS_MIN: usize = 20;

/// Renames `links`, one after the other, to the temporary names of the restore, as fast as possible. Returns how many
/// took the name of a temporary file that was there a moment before.
fn swap_temporary_names(dest: &Path, links: &[PathBuf], stop: &AtomicBool) -> usize {
    let mut links = links.iter();
    let mut temps: Vec<PathBuf> = Vec::new();
    let mut last_look = Instant::now();
    let mut swaps = 0;
    while !stop.load(Ordering::Relaxed) {
        if temps.is_empty() {
            let names = fs::read_dir(dest).unwrap().filter_map(|entry| Some(entry.ok()?.path()));
            temps.extend(names.filter(|path| path.to_string_lossy().contains(".ibt-tmp-restore-")));
        }
        // Several entries use the same temporary name, one after the other.
        let Some(temp) = temps.iter().find(|temp| temp.symlink_metadata().is_ok()) else {
            if last_look.elapsed() > Duration::from_millis(2) {
                temps.clear();
                last_look = Instant::now();
            }
            continue;
        };
        let Some(link) = links.next() else { break };
        swaps += usize::from(fs::rename(link, temp).is_ok());
    }
    swaps
}
