//! Temporary files and directories that killed restores left. Several machines may use one destination, so the next
//! restore to it removes only left-overs that are surely not in use.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ibt::error::Kind;
use ibt::job::{Cancel, Job, Options, Overwrite, ProblemKind, Report, Silent};
use ibt::platform::MachineMark;
use ibt::store::DirStore;
use support::series::{KEY, problem_paths};
use support::tools::{
    Mount, child_role, command, faketime, marked_temp_of, tag_of_name, temp_of, this_test_again,
};
use support::*;

const OTHER: &str = "1111111122222222";

/// The mark of this machine before its last start. `None` if this machine has no name of its own.
fn earlier_boot() -> Option<String> {
    let machine = MachineMark::here().to_string()[..8].to_string();
    (machine != "00000000").then(|| format!("{machine}22222222"))
}

fn one_file() -> Series {
    let series = Series { memory: None, ..Series::new() };
    series.write("d/file", "content");
    series.full().whole();
    series
}

/// Makes a left-over directory, or with `is_file` a left-over file.
fn leave(path: PathBuf, is_file: bool) -> PathBuf {
    let file = if is_file { path.clone() } else { path.join("d/half") };
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, "half").unwrap();
    path
}

fn over(series: &Series) -> Options {
    Options { overwrite: Overwrite::Always, ..series.options.clone() }
}

/// The left-overs beside `dest` and in it, a directory and a file each.
fn left_by(mark: &str, dest: &Path) -> [PathBuf; 4] {
    fs::create_dir_all(dest.join("d")).unwrap();
    let inside = fs::metadata(dest).unwrap().ino();
    let beside = dest.with_file_name(marked_temp_of(tag_of_name("dest"), mark, 1));
    let in_dest = |random| dest.join("d").join(marked_temp_of(inside, mark, random));
    [
        leave(beside, false),
        leave(dest.join(marked_temp_of(inside, mark, 2)), false),
        leave(in_dest(3), false),
        leave(in_dest(4), true),
    ]
}

fn kept(report: &Report) -> usize {
    problem_paths(report, ProblemKind::Leftover).len()
}

/// Restores with a clock that is ahead by `days`, as a process of its own. Returns the number of left-overs that were
/// listed.
fn restore_after(days: u32, test: &str, series: &Series) -> usize {
    let mut child =
        this_test_again(&std::env::current_exe().unwrap(), test, series.dir.path().to_str().unwrap());
    child.env("LD_PRELOAD", faketime().unwrap());
    child.envs([("FAKETIME", format!("+{days}d")), ("NO_FAKE_STAT", "1".to_string())]);
    let said = String::from_utf8(run(&mut child)).unwrap();
    said.lines().find_map(|line| line.split_once("listed: ")).expect("an answer").1.trim().parse().unwrap()
}

/// The part of [`restore_after`] in the child process.
fn restore_in_child(dir: &Path) {
    let options = Options { overwrite: Overwrite::Always, ..Options::default() };
    let (cancel, mut silent) = (Cancel::default(), Silent);
    let mut job = Job::new(&options, &cancel, &mut silent);
    let mut store = DirStore::open(dir.join("store"));
    ibt::restore::restore(&mut store, KEY, &dir.join("dest"), &mut job).unwrap();
    println!("listed: {}", kept(&job.report));
}

/// The locks of another machine may be invisible here. So its left-overs stay until they are a week old, and longer if
/// a lock on them is seen.
#[test]
fn what_another_machine_left_stays_for_a_week() {
    let test = "what_another_machine_left_stays_for_a_week";
    if let Some(dir) = child_role() {
        return restore_in_child(Path::new(&dir));
    }
    let series = one_file();
    let dest = series.beside("dest");
    let left = left_by(OTHER, &dest);
    let report = series.restore_with(&over(&series), &dest, &mut Silent).whole();
    let mut listed = problem_paths(&report, ProblemKind::Leftover);
    listed.sort();
    let mut expected: Vec<_> = left[1..].iter().map(|path| path.strip_prefix(&dest).unwrap()).collect();
    expected.push(&left[0]);
    let mut expected: Vec<_> = expected.iter().map(|path| path.to_str().unwrap()).collect();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    let messages = || report.problems.iter().map(|problem| &problem.message);
    assert!(messages().all(|message| message.contains("another machine")), "{report:#?}");
    assert!(left.iter().all(|path| path.exists()), "{left:?}");
    if faketime().is_none() {
        return skip("there is no libfaketime here");
    }
    assert_eq!(restore_after(6, test, &series), 4);
    assert!(left.iter().all(|path| path.exists()), "{left:?}");
    let held = ibt::platform::Dir::open(&left[0]).unwrap();
    ibt::platform::hold_dir(&held).unwrap();
    assert_eq!(restore_after(8, test, &series), 1);
    assert_eq!(left.map(|path| path.exists()), [true, false, false, false]);
    drop(held);
    assert_eq!(restore_after(8, test, &series), 0);
}

/// An empty destination counts as empty only without the work of another machine.
#[test]
fn a_destination_where_another_machine_may_work_is_not_empty() {
    let series = one_file();
    let dest = series.beside("dest");
    fs::create_dir(&dest).unwrap();
    let name = marked_temp_of(fs::metadata(&dest).unwrap().ino(), OTHER, 1);
    let left = leave(dest.join(&name), false);
    let error = series.restore_with(&series.options, &dest, &mut Silent).refused(Kind::Exists).to_string();
    assert!(error.contains(&name) && error.contains("another machine"), "{error}");
    assert!(left.join("d/half").exists());
}

/// On a local file system, no restore from before the last start of this machine runs any more.
#[test]
fn what_was_left_before_the_last_start_goes() {
    let Some(mark) = earlier_boot() else { return skip("this machine has no name of its own") };
    let series = one_file();
    let dest = series.beside("dest");
    let left = left_by(&mark, &dest);
    assert_eq!(kept(&series.restore_with(&over(&series), &dest, &mut Silent).whole()), 0);
    assert!(left.iter().all(|path| !path.exists()), "{left:?}");
}

/// A file system of FUSE shows the locks of this machine, but not those of others. There even a restart of this machine
/// proves nothing, because two machines may have the same name.
#[test]
fn on_a_file_system_of_others_only_this_boot_is_recognized() {
    let series = one_file();
    let place = series.beside("place");
    fs::create_dir(&place).unwrap();
    let Some(_mount) = Mount::exfat(&series.beside("image"), &place) else {
        return skip("there is no exFAT here, or mounting is not allowed");
    };
    let dest = place.join("dest");
    let beside = |name: String| place.join(name);
    let tag = tag_of_name("dest");
    let own = leave(beside(temp_of(tag, 1)), false);
    let in_use = leave(beside(temp_of(tag, 2)), false);
    let others: Vec<_> = [Some(OTHER.to_string()), earlier_boot()].into_iter().flatten().collect();
    let others: Vec<_> =
        others.iter().map(|mark| leave(beside(marked_temp_of(tag, mark, 3)), false)).collect();
    let held = ibt::platform::Dir::open(&in_use).unwrap();
    ibt::platform::hold_dir(&held).unwrap();
    let plain = Options { restore_metadata: Some(0), ..over(&series) };
    let report = series.restore_with(&plain, &dest, &mut Silent).whole();
    assert_eq!(kept(&report), 1 + others.len(), "{report:#?}");
    assert!(!own.exists() && in_use.exists() && others.iter().all(|path| path.exists()));
    // exFAT has no ctime, so the mtimes show the time of the last change. One young file keeps a left-over.
    let age = |path: &Path| drop(run(command("touch", ["-d", "8 days ago"]).arg(path)));
    for other in &others {
        for path in [other.join("d"), other.clone()] {
            age(&path);
        }
    }
    let listed = || kept(&series.restore_with(&plain, &dest, &mut Silent).whole());
    assert_eq!(listed(), 1 + others.len());
    age(&others[0].join("d/half"));
    assert_eq!(listed(), others.len());
    assert!(!others[0].exists() && others[1..].iter().all(|path| path.exists()));
}

/// A left-over with a mount in it cannot be removed. It keeps its name, and the report lists it.
#[test]
fn what_cannot_be_removed_keeps_its_name() {
    let series = one_file();
    let dest = series.beside("dest");
    let left = leave(series.beside(&temp_of(tag_of_name("dest"), 1)), false);
    fs::create_dir(left.join("mount")).unwrap();
    let Some(_mount) = Mount::tmpfs(&left.join("mount"), "size=1m") else {
        return skip("mounting is not allowed here");
    };
    fs::write(left.join("mount/f"), "precious").unwrap();
    let report = series.restore_with(&over(&series), &dest, &mut Silent).whole();
    assert_eq!(problem_paths(&report, ProblemKind::Leftover), [left.to_str().unwrap()]);
    assert!(left.join("mount/f").exists());
}
