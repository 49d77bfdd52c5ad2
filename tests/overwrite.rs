//! Restores over an existing tree: files that are replaced, files that stay, and the report of both. A file is never
//! half written.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use ibt::entry::Entry;
use ibt::error::{Error, Kind};
use ibt::job::{Cancel, Counter, Flow, Observer, Options, Overwrite, ProblemKind, Progress, Silent, change};
use proptest::prelude::*;
use support::series::{KEY, counter, problem_paths};
use support::tools::{Mount, as_ordinary_user, child_role, command, run, set_mode, skip, this_test_again};
use support::tree::set_mtime;
use support::*;

fn restore(series: &Series, options: &Options, dest: &Path, observer: &mut dyn Observer) -> series::Outcome {
    series.restore_with(options, dest, observer)
}

fn policy(series: &Series, overwrite: Overwrite) -> Options {
    Options { overwrite, ..series.options.clone() }
}

fn mirror(series: &Series) -> Options {
    Options { delete_extra: true, ..policy(series, Overwrite::Always) }
}

/// A copy of the current source, next to it.
fn copy(series: &Series) -> PathBuf {
    let dest = series.beside("dest");
    run(command("cp", ["-a"]).arg(&series.source).arg(&dest));
    dest
}

/// Inode and change time of every file. Any write changes one of the two.
fn touched(root: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let walk = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap);
    walk.map(|entry| {
        let meta = entry.path().symlink_metadata().unwrap();
        (entry.path().to_path_buf(), (meta.ino(), meta.ctime(), meta.ctime_nsec()))
    })
    .collect()
}

fn forget_holes(all: &mut support::facts::TreeFacts) {
    for one in all.values_mut() {
        one.holes.clear();
        one.blocks.0 = 0;
    }
}

/// Facts without holes: a file with the right content stays even if its holes differ.
fn content_of(root: &Path) -> support::facts::TreeFacts {
    let mut all = facts(root);
    forget_holes(&mut all);
    all
}

proptest! {
    #![proptest_config(cases(24))]

    /// Any tree becomes the snapshot if everything is replaced and extra entries are removed. A dry run reports the
    /// same changes before and writes nothing. A second restore changes nothing.
    #[test]
    fn any_tree_becomes_the_snapshot(tree in trees(20), round in edits(10), other in trees(8), edited in any::<bool>()) {
        let mut series = Series::new();
        tree.make(&series.source);
        series.snapshot();
        let dest = match edited {
            true => copy(&series),
            false => series.beside("dest"),
        };
        if edited {
            round.iter().for_each(|edit| edit.apply(&dest));
        } else {
            fs::create_dir(&dest).unwrap();
            other.make(&dest);
        }
        let before = (facts(&dest), touched(&dest));
        let [mut foretold, mut reported, mut again] = std::array::from_fn(|_| ReportedChanges::default());
        let dry = Options { dry_run: true, ..mirror(&series) };
        restore(&series, &dry, &dest, &mut foretold).whole();
        prop_assert!(before == (facts(&dest), touched(&dest)), "a dry run touched the destination");
        restore(&series, &mirror(&series), &dest, &mut reported).whole();
        let mut wanted = series.points[0].kept.facts.clone();
        forget_holes(&mut wanted);
        assert_same_facts(&wanted, &content_of(&dest));
        assert_same_attributes(&series.points[0].kept.copy, &dest);
        prop_assert_eq!(foretold.sorted(), reported.sorted());
        let before = touched(&dest);
        restore(&series, &mirror(&series), &dest, &mut again).whole();
        // A directory's time is set again, which changes its change time.
        let files = |all: BTreeMap<PathBuf, _>| all.into_iter().filter(|(p, _)| !p.is_dir() || p.is_symlink()).collect::<Vec<_>>();
        prop_assert_eq!(files(before), files(touched(&dest)));
        prop_assert_eq!(again.0, vec![]);
    }

    /// Existing files stay as they are, and missing files are restored.
    #[test]
    fn what_is_kept_is_kept(tree in trees(16), round in edits(6)) {
        let mut series = Series::new();
        tree.make(&series.source);
        series.snapshot();
        let dest = copy(&series);
        round.iter().for_each(|edit| edit.apply(&dest));
        let before = content_of(&dest);
        restore(&series, &policy(&series, Overwrite::Keep), &dest, &mut Silent).whole();
        let after = content_of(&dest);
        for (path, facts) in &before {
            let (mut then, mut now) = (facts.clone(), after[path].clone());
            for one in [&mut then, &mut now] {
                one.linked_with = None;
                if one.kind == "dir" {
                    // A new entry in a directory changes the directory's time.
                    one.mtime = (0, 0);
                    one.size = 0;
                }
            }
            prop_assert_eq!(then, now, "{:?}", String::from_utf8_lossy(path));
        }
        for (path, facts) in &series.points[0].kept.facts {
            let mut above = (1..path.len()).filter(|&at| path[at] == b'/').map(|at| &path[..at]);
            let hidden = above.any(|dir| before.get(dir).is_some_and(|one| one.kind != "dir"));
            if !before.contains_key(path) && !hidden {
                prop_assert_eq!(&facts.hash, &after[path].hash, "{:?}", String::from_utf8_lossy(path));
            }
        }
    }
}

/// A series with one snapshot, and a copy of its source as the destination.
fn with_copy(files: &[(&str, &str)]) -> (Series, PathBuf) {
    let mut series = Series::new();
    for (path, content) in files {
        series.write(path, content);
    }
    series.snapshot();
    let dest = copy(&series);
    (series, dest)
}

#[test]
fn a_destination_that_is_not_empty_needs_a_policy() {
    let (series, dest) = with_copy(&[("a", "1")]);
    for dry_run in [false, true] {
        let options = Options { dry_run, ..series.options.clone() };
        restore(&series, &options, &dest, &mut Silent).refused(Kind::Exists);
    }
    let file = series.beside("file");
    fs::write(&file, "in the way").unwrap();
    restore(&series, &mirror(&series), &file, &mut Silent).refused(Kind::Exists);
    assert_eq!(fs::read(&file).unwrap(), b"in the way");
}

#[test]
fn a_dry_run_for_a_destination_that_is_not_there_makes_none() {
    let (series, _) = with_copy(&[("a/b", "1")]);
    let dest = series.beside("new");
    let mut reported = ReportedChanges::default();
    let options = Options { dry_run: true, ..series.options.clone() };
    restore(&series, &options, &dest, &mut reported).whole();
    let paths: Vec<_> = reported.0.iter().map(|(what, path)| (*what, &path[..])).collect();
    assert_eq!(paths, [(change::CREATED, &b""[..]), (change::CREATED, b"a"), (change::CREATED, b"a/b")]);
    assert!(!dest.exists() && series::around(&series).keys().all(|path| !path.ends_with("new")));
}

/// Two files and a link of the destination would be replaced by directories. A dry run must not look for anything
/// below them.
#[test]
fn a_dry_run_looks_for_nothing_below_what_would_make_way() {
    let (mut series, dest) = with_copy(&[("a/f", "1"), ("b", "1"), ("c/f", "1"), ("d/e/f", "1")]);
    // A restore makes links after everything else.
    symlink("f", series.source.join("a/link")).unwrap();
    series.snapshot();
    for dir in ["a", "c"] {
        fs::remove_dir_all(dest.join(dir)).unwrap();
        fs::write(dest.join(dir), "a file").unwrap();
    }
    fs::remove_dir_all(dest.join("d")).unwrap();
    symlink("elsewhere", dest.join("d")).unwrap();
    let (mut foretold, mut reported) = (ReportedChanges::default(), ReportedChanges::default());
    let dry = Options { dry_run: true, ..mirror(&series) };
    restore(&series, &dry, &dest, &mut foretold).whole();
    restore(&series, &mirror(&series), &dest, &mut reported).whole();
    assert_eq!(foretold.sorted(), reported.sorted());
}

/// In the destination, `a` and `b` are names of one inode. Once `a` is replaced, `b` is right as it is. A dry run must
/// foresee that.
#[test]
fn a_dry_run_counts_the_names_that_would_go() {
    let (series, dest) = with_copy(&[("a", "1"), ("b", "2"), ("c/f", "3")]);
    fs::remove_file(dest.join("a")).unwrap();
    fs::hard_link(dest.join("b"), dest.join("a")).unwrap();
    let (mut foretold, mut reported) = (ReportedChanges::default(), ReportedChanges::default());
    let dry = Options { dry_run: true, ..mirror(&series) };
    restore(&series, &dry, &dest, &mut foretold).whole();
    restore(&series, &mirror(&series), &dest, &mut reported).whole();
    assert!(
        !reported.0.iter().any(|(what, path)| *path == b"b" && what & change::CONTENT != 0),
        "{:?}",
        reported.0
    );
    assert_eq!(foretold.sorted(), reported.sorted());
}

#[test]
fn if_older_goes_by_the_modification_time() {
    let (series, dest) = with_copy(&[("older", "snapshot"), ("newer", "snapshot"), ("same", "snapshot")]);
    let time = fs::metadata(series.source.join("older")).unwrap();
    for (name, by) in [("older", -10), ("newer", 10), ("same", 0)] {
        fs::write(dest.join(name), "edited").unwrap();
        let time = fs::metadata(series.source.join(name)).unwrap_or_else(|_| time.clone());
        set_mtime(&dest.join(name), (time.mtime() + by, time.mtime_nsec() as u32));
    }
    let mut reported = ReportedChanges::default();
    let report = restore(&series, &policy(&series, Overwrite::IfOlder), &dest, &mut reported).whole();
    let read = |name: &str| fs::read_to_string(dest.join(name)).unwrap();
    assert_eq!([read("older"), read("newer"), read("same")], ["snapshot", "edited", "edited"]);
    let reported = reported.sorted();
    assert!(reported.contains(&(change::CONTENT, b"older".to_vec())), "{reported:?}");
    assert!(reported.contains(&(change::KEPT, b"newer".to_vec())), "{reported:?}");
    assert_eq!(counter(&report, Counter::Modified), 1);
}

/// One policy believes size and time, the other policy does not.
#[test]
fn if_different_believes_size_and_time() {
    let (series, dest) = with_copy(&[("secret", "original")]);
    let meta = fs::metadata(dest.join("secret")).unwrap();
    fs::write(dest.join("secret"), "tampered").unwrap();
    set_mtime(&dest.join("secret"), (meta.mtime(), meta.mtime_nsec() as u32));
    let read = || fs::read_to_string(dest.join("secret")).unwrap();
    restore(&series, &policy(&series, Overwrite::IfDifferent), &dest, &mut Silent).whole();
    assert_eq!(read(), "tampered");
    restore(&series, &policy(&series, Overwrite::Always), &dest, &mut Silent).whole();
    assert_eq!(read(), "original");
}

#[test]
fn what_is_extra_stays_unless_it_is_to_go() {
    let (series, dest) = with_copy(&[("a", "1")]);
    fs::create_dir(dest.join("extra")).unwrap();
    fs::write(dest.join("extra/file"), "2").unwrap();
    restore(&series, &policy(&series, Overwrite::Always), &dest, &mut Silent).whole();
    assert!(dest.join("extra/file").exists());
    let mut reported = ReportedChanges::default();
    let report = restore(&series, &mirror(&series), &dest, &mut reported).whole();
    assert!(!dest.join("extra").exists());
    let deleted = |path: &[u8]| (change::DELETED, path.to_vec());
    assert!(reported.0.contains(&deleted(b"extra")) && reported.0.contains(&deleted(b"extra/file")));
    assert_eq!(counter(&report, Counter::Deleted), 2);
}

/// A file system that is mounted on an empty directory of the snapshot was not part of the backup. If the snapshot
/// has entries below the directory, the mount point is like any other directory.
#[test]
fn what_is_mounted_is_not_extra() {
    let (mut series, dest) = with_copy(&[("mnt/keep", "1"), ("seen/f", "1"), ("f", "1")]);
    fs::remove_file(series.source.join("mnt/keep")).unwrap();
    series.snapshot();
    fs::create_dir_all(dest.join("extra/below/mnt")).unwrap();
    fs::remove_file(dest.join("f")).unwrap();
    fs::create_dir_all(dest.join("f/mnt")).unwrap();
    let mounted: Vec<_> =
        ["mnt", "seen", "extra/below/mnt", "f/mnt"].map(|at| Mount::tmpfs(&dest.join(at), "size=1m")).into();
    if mounted.iter().any(Option::is_none) {
        return skip("mounting is not allowed here");
    }
    for extra in ["mnt/disk", "seen/g", "extra/below/mnt/disk", "f/mnt/disk"] {
        fs::write(dest.join(extra), "2").unwrap();
    }
    let mut reported = ReportedChanges::default();
    let outcome = restore(&series, &mirror(&series), &dest, &mut reported);
    assert_eq!(problem_paths(&outcome.report, ProblemKind::Obstructed), ["extra/below/mnt", "f", "mnt"]);
    for disk in ["mnt/disk", "extra/below/mnt/disk", "f/mnt/disk"] {
        assert!(dest.join(disk).exists(), "{disk}");
    }
    assert!(!dest.join("seen/g").exists() && dest.join("seen/f").exists());
    assert!(!reported.0.iter().any(|(_, path)| path.ends_with(b"disk")), "{:?}", reported.0);
}

/// If a restore changes anything in a file system that is mounted below the destination, even if only the metadata of a
/// directory, it syncs that file system. It syncs the destination's own file system once.
#[test]
fn file_systems_below_the_destination_are_synced() {
    let test = "file_systems_below_the_destination_are_synced";
    if let Some(dir) = child_role() {
        let (mut series, dest) = (Series::new(), Path::new(&dir).join("dest"));
        series.store = Path::new(&dir).join("store");
        restore(&series, &mirror(&series), &dest, &mut Silent).whole();
        return;
    }
    if !support::tools::output(&mut command("strace", ["-o", "/dev/null", "true"])).status.success() {
        return skip("strace may not trace here");
    }
    let (series, dest) = with_copy(&[("mnt/d/e/f", "1"), ("d/f", "1")]);
    if series.memory.is_some() {
        return skip("this store is no directory, which another process could open");
    }
    let Some(_mounted) = Mount::tmpfs(&dest.join("mnt"), "size=1m") else {
        return skip("mounting is not allowed here");
    };
    run(command("cp", ["-a"]).arg(series.source.join("mnt/d")).arg(dest.join("mnt")));
    set_mtime(&dest.join("mnt/d/e"), (1, 0));
    let dir = series.dir.path().to_str().unwrap();
    let again = this_test_again(&std::env::current_exe().unwrap(), test, dir);
    let log = series.beside("log");
    let mut strace = command("strace", ["-f", "-qq", "-y", "-e", "trace=syncfs", "-o"]);
    strace.arg(&log).arg("--").arg(again.get_program()).args(again.get_args());
    strace.envs(again.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run(&mut strace);
    let log = fs::read_to_string(&log).unwrap();
    let synced: Vec<_> = log.lines().filter_map(|line| line.split_once("/dest")?.1.split_once('>')).collect();
    let below = synced.iter().filter(|(path, _)| path.starts_with("/mnt")).count();
    assert_eq!((synced.len(), below), (2, 1), "{log}");
}

/// Files in a directory that the backup could not list are not known to be extra.
#[test]
fn what_the_backup_could_not_see_is_not_extra() {
    if !as_ordinary_user("what_the_backup_could_not_see_is_not_extra") {
        return;
    }
    let series = Series::new();
    series.write("secret/f", "1");
    series.write("seen/f", "1");
    // A directory that only shows its names, and a file that cannot be read.
    series.write("listed/f", "1");
    series.write("seen/closed", "1");
    set_mode(&series.source.join("seen/closed"), 0o000);
    set_mode(&series.source.join("listed"), 0o400);
    set_mode(&series.source.join("secret"), 0o000);
    assert!(series.full().ok().status() > 0);
    set_mode(&series.source.join("secret"), 0o700);
    set_mode(&series.source.join("listed"), 0o700);
    set_mode(&series.source.join("seen/closed"), 0o600);
    let dest = copy(&series);
    fs::write(dest.join("seen/extra"), "2").unwrap();
    let outcome = restore(&series, &mirror(&series), &dest, &mut Silent);
    set_mode(&dest.join("secret"), 0o700);
    set_mode(&dest.join("listed"), 0o700);
    let obstructed = problem_paths(&outcome.report, ProblemKind::Obstructed);
    assert_eq!(obstructed, ["listed", "secret", "seen"]);
    for there in ["secret/f", "listed/f", "seen/closed"] {
        assert!(dest.join(there).exists(), "{there}");
    }
    assert!(!dest.join("seen/extra").exists());
}

/// An extra directory that cannot be listed is removed, and does not end the restore.
#[test]
fn an_unreadable_extra_directory_goes_like_any_other() {
    if !as_ordinary_user("an_unreadable_extra_directory_goes_like_any_other") {
        return;
    }
    let (series, dest) = with_copy(&[("f", "1")]);
    fs::create_dir_all(dest.join("extra/closed")).unwrap();
    fs::write(dest.join("extra/closed/f"), "2").unwrap();
    set_mode(&dest.join("extra/closed"), 0o000);
    restore(&series, &mirror(&series), &dest, &mut Silent).whole();
    assert!(!dest.join("extra").exists());
}

/// On a file system that ignores case, entries do not replace each other. A file that has another spelling of an
/// entry's name is not extra.
#[test]
fn names_that_differ_in_case_do_not_merge() {
    let (series, dest) = with_copy(&[
        ("d/Makefile", "1"),
        ("d/makefile", "2"),
        ("e/readme", "3"),
        ("other", "4"),
        ("г/фото", "5"),
    ]);
    fs::remove_dir_all(&dest).unwrap();
    fs::create_dir(&dest).unwrap();
    let Some(_mount) = Mount::exfat(&series.beside("image"), &dest) else {
        return skip("there is no exFAT here, or mounting is not allowed");
    };
    fs::create_dir(dest.join("e")).unwrap();
    fs::write(dest.join("e/README"), "mine").unwrap();
    fs::create_dir(dest.join("г")).unwrap();
    fs::write(dest.join("г/ФОТО"), "mine").unwrap();
    let options = Options { restore_metadata: Some(0), ..mirror(&series) };
    let outcome = restore(&series, &options, &dest, &mut Silent);
    let obstructed = problem_paths(&outcome.report, ProblemKind::Obstructed);
    assert_eq!(obstructed, ["d/makefile", "e", "e/readme", "г", "г/фото"]);
    assert!(outcome.report.problems[0].message.contains("Makefile"), "{:?}", outcome.report.problems);
    assert_eq!(fs::read(dest.join("d/Makefile")).unwrap(), b"1");
    assert_eq!(fs::read(dest.join("e/README")).unwrap(), b"mine");
    assert_eq!(fs::read(dest.join("г/ФОТО")).unwrap(), b"mine");
    assert_eq!(fs::read(dest.join("other")).unwrap(), b"4");
}

/// Files that the filters do not select stay, also if the snapshot does not have them.
#[test]
fn only_what_the_filters_mean_is_removed() {
    let (series, dest) = with_copy(&[("d/a.c", "1"), ("d/b.h", "1"), ("e/a.c", "1")]);
    for extra in ["d/x.c", "d/x.h", "x.c", "new/x.c", "new/x.h"] {
        fs::create_dir_all(dest.join(extra).parent().unwrap()).unwrap();
        fs::write(dest.join(extra), "extra").unwrap();
    }
    fs::write(dest.join("d/b.h"), "edited").unwrap();
    let mut options = mirror(&series);
    options.includes = vec![b"**/*.c".to_vec()];
    restore(&series, &options, &dest, &mut Silent).whole();
    let left: Vec<_> =
        facts(&dest).into_iter().filter(|(_, one)| one.kind == "file").map(|(path, _)| path).collect();
    let left: Vec<_> = left.iter().map(|path| std::str::from_utf8(path).unwrap()).collect();
    assert_eq!(left, ["d/a.c", "d/b.h", "d/x.h", "e/a.c", "new/x.h"]);
    assert_eq!(fs::read(dest.join("d/b.h")).unwrap(), b"edited");
}

/// A directory that is not empty is not replaced by a file of the same name, unless extra entries are removed.
#[test]
fn a_full_directory_in_the_way_is_a_problem() {
    let (series, dest) = with_copy(&[("name", "file"), ("other", "file")]);
    fs::remove_file(dest.join("name")).unwrap();
    fs::create_dir(dest.join("name")).unwrap();
    fs::write(dest.join("name/inside"), "precious").unwrap();
    fs::write(dest.join("other"), "edited").unwrap();
    let report = restore(&series, &policy(&series, Overwrite::Always), &dest, &mut Silent).partial();
    assert_eq!(problem_paths(&report, ProblemKind::Obstructed), ["name"]);
    assert_eq!(fs::read(dest.join("name/inside")).unwrap(), b"precious");
    assert_eq!(fs::read(dest.join("other")).unwrap(), b"file");
    assert_eq!(fs::read_dir(&dest).unwrap().count(), 2, "a temporary file was left");
    restore(&series, &mirror(&series), &dest, &mut Silent).whole();
    assert_eq!(fs::read(dest.join("name")).unwrap(), b"file");
}

/// A symbolic link in the destination is replaced and not followed.
#[test]
fn links_in_the_destination_lead_nowhere() {
    let (series, dest) = with_copy(&[("d/file", "snapshot"), ("f", "snapshot")]);
    let outside = series.beside("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "outside").unwrap();
    fs::remove_dir_all(dest.join("d")).unwrap();
    fs::remove_file(dest.join("f")).unwrap();
    symlink(&outside, dest.join("d")).unwrap();
    symlink(outside.join("file"), dest.join("f")).unwrap();
    restore(&series, &policy(&series, Overwrite::Always), &dest, &mut Silent).whole();
    assert_eq!(fs::read(outside.join("file")).unwrap(), b"outside");
    series.points[0].kept.assert_is(&dest);
}

/// However the names were linked before, the names of one set are linked afterwards, and names of different sets are
/// not.
#[test]
fn hard_links_end_up_as_in_the_snapshot() {
    let mut series = Series::new();
    for name in ["a", "c", "e"] {
        series.write(name, "the same content");
    }
    for (from, to) in [("a", "b"), ("c", "d")] {
        fs::hard_link(series.source.join(from), series.source.join(to)).unwrap();
    }
    let meta = fs::metadata(series.source.join("a")).unwrap();
    for name in ["a", "c", "e"] {
        set_mtime(&series.source.join(name), (meta.mtime(), 0));
    }
    series.snapshot();
    // Every way to link five names: each is a file of its own, another file, or a link to a name before it.
    let choice = |ties: usize, index: usize| ties / 5usize.pow(index as u32) % 5;
    let is_new = |ties: &usize| (0..5).all(|index| choice(*ties, index) <= index + 1);
    for ties in (0..5usize.pow(5)).filter(is_new) {
        let dest = series.beside("dest");
        fs::create_dir(&dest).unwrap();
        for (index, name) in ["a", "b", "c", "d", "e"].iter().enumerate() {
            let with = choice(ties, index);
            let first = ["a", "b", "c", "d", "e"][with.min(index)];
            if with < index {
                fs::hard_link(dest.join(first), dest.join(name)).unwrap();
            } else if with == index {
                fs::write(dest.join(name), "the same content").unwrap();
                set_mtime(&dest.join(name), (meta.mtime(), 0));
            } else {
                fs::write(dest.join(name), "something else").unwrap();
            }
        }
        restore(&series, &policy(&series, Overwrite::Always), &dest, &mut Silent).whole();
        assert_same_facts(&series.points[0].kept.facts, &facts(&dest));
        series::remove(&dest);
    }
}

/// A file that stays because of its size and time may have wrong content. A missing name of its set must not be
/// linked to it before the file was read.
#[test]
fn a_missing_name_is_linked_to_what_the_snapshot_has() {
    let mut series = Series::new();
    series.write("a", "right");
    set_mode(&series.source.join("a"), 0o640);
    set_mtime(&series.source.join("a"), (1_700_000_000, 5));
    for name in ["b", "c"] {
        fs::hard_link(series.source.join("a"), series.source.join(name)).unwrap();
    }
    series.snapshot();
    for overwrite in [Overwrite::Keep, Overwrite::IfOlder, Overwrite::IfDifferent, Overwrite::Always] {
        for (content, mode) in [("wrong", 0o640), ("right", 0o600), ("right", 0o640)] {
            let dest = series.beside("dest");
            fs::create_dir(&dest).unwrap();
            fs::write(dest.join("a"), content).unwrap();
            set_mode(&dest.join("a"), mode);
            set_mtime(&dest.join("a"), (1_700_000_000, 5));
            let before = touched(&dest);
            restore(&series, &policy(&series, overwrite), &dest, &mut Silent).whole();
            let case = format!("{overwrite:?}, {content}, {mode:o}");
            let inode = |name: &str| fs::metadata(dest.join(name)).unwrap().ino();
            let stays = matches!(overwrite, Overwrite::Keep | Overwrite::IfOlder);
            let is_right = (content, mode) == ("right", 0o640);
            assert_eq!(inode("a") == inode("b"), is_right || !stays, "{case}");
            if stays && !is_right {
                assert_eq!(before[&dest.join("a")], touched(&dest)[&dest.join("a")], "{case}");
            }
            if !stays {
                assert_same_facts(&series.points[0].kept.facts, &facts(&dest));
            }
            for name in ["b", "c"] {
                assert_eq!(fs::read(dest.join(name)).unwrap(), b"right", "{case}");
                assert_eq!(fs::metadata(dest.join(name)).unwrap().mode() & 0o777, 0o640, "{case}");
            }
            assert_eq!(inode("b"), inode("c"), "{case}");
            series::remove(&dest);
        }
    }
}

/// The names of a set and a name outside of the destination are linked in every possible way. The tree becomes the
/// snapshot, and the file outside keeps its metadata.
#[test]
fn what_has_a_name_outside_keeps_its_metadata() {
    let mut series = Series::new();
    series.write("a", "the same content");
    set_mode(&series.source.join("a"), 0o640);
    set_mtime(&series.source.join("a"), (1_700_000_000, 5));
    for name in ["b", "c"] {
        fs::hard_link(series.source.join("a"), series.source.join(name)).unwrap();
    }
    series.snapshot();
    for overwrite in [Overwrite::Always, Overwrite::IfDifferent] {
        // Each name is missing, a file of its own, or a further name of the file outside.
        for ties in 0..27 {
            let (dest, outside) = (series.beside("dest"), series.beside("outside"));
            fs::create_dir(&dest).unwrap();
            fs::write(&outside, "the same content").unwrap();
            set_mode(&outside, 0o600);
            for (index, name) in ["a", "b", "c"].iter().enumerate() {
                match ties / 3usize.pow(index as u32) % 3 {
                    0 => {}
                    1 => fs::write(dest.join(name), "the same content").unwrap(),
                    _ => fs::hard_link(&outside, dest.join(name)).unwrap(),
                }
            }
            let mtime = fs::metadata(&outside).unwrap().modified().unwrap();
            restore(&series, &policy(&series, overwrite), &dest, &mut Silent).whole();
            assert_same_facts(&series.points[0].kept.facts, &facts(&dest));
            let after = fs::metadata(&outside).unwrap();
            assert_eq!((after.mode() & 0o777, after.modified().unwrap()), (0o600, mtime), "{ties}");
            series::remove(&dest);
            fs::remove_file(&outside).unwrap();
        }
    }
}

/// A comparison does not report a name outside of the destination, and a restore writes no file because of it.
/// Different metadata is not set on the inode that has the name outside.
#[test]
fn names_outside_of_the_destination_do_not_matter() {
    let (series, dest) = with_copy(&[("a", "1"), ("b", "2"), ("c", "3")]);
    for name in ["a", "b"] {
        fs::hard_link(dest.join(name), series.beside(name)).unwrap();
    }
    set_mode(&dest.join("b"), 0o600);
    set_mode(&series.source.join("b"), 0o640);
    series.incremental().whole();
    let compared = series.run(&series.options, &Cancel::default(), &mut Silent, |store, job| {
        ibt::inspect::compare(store, KEY, &dest, job)
    });
    let compared = compared.whole();
    assert_eq!((counter(&compared, Counter::Metadata), counter(&compared, Counter::Modified)), (1, 0));
    let before = touched(&dest);
    for dry_run in [true, false] {
        let mut reported = ReportedChanges::default();
        let options = Options { dry_run, ..mirror(&series) };
        restore(&series, &options, &dest, &mut reported).whole();
        assert_eq!(reported.sorted(), [(change::CONTENT, b"b".to_vec())]);
    }
    let after = touched(&dest);
    assert_eq!(before[&dest.join("a")], after[&dest.join("a")]);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(dest.join("b")), mode(series.beside("b"))), (0o640, 0o600));
}

/// Cancels after this many changes.
struct StopAfter(u32);

impl Observer for StopAfter {
    fn progress(&mut self, _: &Progress) -> Flow {
        Flow::Continue
    }

    fn change(&mut self, _: u32, _: Option<&Entry>, _: Option<&Entry>) -> Flow {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 { Flow::Cancel } else { Flow::Continue }
    }
}

/// After a cancelled restore, each file has its old or its new content, and no other file remains.
#[test]
fn a_cancelled_restore_leaves_each_file_old_or_new() {
    let names = ["a", "b", "c/d", "c/e", "f"];
    let files: Vec<_> = names.iter().map(|name| (*name, "new")).collect();
    let (series, dest) = with_copy(&files);
    for stop in 1.. {
        names.iter().for_each(|name| fs::write(dest.join(name), "the old one").unwrap());
        let outcome = restore(&series, &mirror(&series), &dest, &mut StopAfter(stop));
        for name in names {
            let found = fs::read_to_string(dest.join(name)).unwrap();
            assert!(found == "new" || found == "the old one", "{name}: {found}");
        }
        assert_eq!(facts(&dest).len(), names.len() + 2);
        match outcome.result {
            Err(error) => assert_eq!(error.kind, Kind::Cancelled),
            Ok(()) => return assert!(stop > 5),
        }
    }
}

/// A content that cannot be restored does not replace the existing file.
#[test]
fn a_lost_content_leaves_the_old_file() {
    let (series, dest) = with_copy(&[("a", "content"), ("b", "content of b")]);
    series.lose("full");
    fs::write(dest.join("a"), "edited").unwrap();
    let report = restore(&series, &mirror(&series), &dest, &mut Silent).partial();
    assert_eq!(problem_paths(&report, ProblemKind::Missing), ["a"]);
    assert_eq!(fs::read(dest.join("a")).unwrap(), b"edited");
    assert_eq!(fs::read_dir(&dest).unwrap().count(), 2);
}

/// Read-only directories and files of the same ordinary user are no obstacle.
#[test]
fn permissions_in_the_destination() {
    if !as_ordinary_user("permissions_in_the_destination") {
        return;
    }
    let (series, dest) = with_copy(&[("d/file", "snapshot"), ("e/file", "snapshot")]);
    fs::write(dest.join("d/file"), "edited").unwrap();
    set_mode(&dest.join("d/file"), 0);
    set_mode(&dest.join("d"), 0o555);
    restore(&series, &mirror(&series), &dest, &mut Silent).whole();
    series.points[0].kept.assert_is(&dest);
}

/// Modes of directories whose owner lacks some rights.
const CLOSED: [u32; 4] = [0o000, 0o300, 0o500, 0o555];

/// A snapshot with one directory for each of those modes, and a destination that equals it, except that each
/// directory lacks one file and has one extra file.
fn closed_directories() -> (Series, PathBuf) {
    let series = Series::new();
    let names = CLOSED.map(|mode| format!("{mode:03o}"));
    for name in &names {
        series.write(&format!("{name}/missing"), "snapshot");
        series.write(&format!("{name}/unreadable"), "snapshot");
        fs::create_dir(series.source.join(format!("{name}/inner"))).unwrap();
    }
    series.full().whole();
    let dest = series.beside("dest");
    restore(&series, &mirror(&series), &dest, &mut Silent).whole();
    for (name, mode) in names.iter().zip(CLOSED) {
        fs::remove_file(dest.join(name).join("missing")).unwrap();
        fs::write(dest.join(name).join("extra"), "extra").unwrap();
        set_mode(&dest.join(name).join("unreadable"), 0);
        set_mode(&dest.join(name), mode);
    }
    (series, dest)
}

/// Directories that their owner has closed are opened during the restore and closed again afterwards.
#[test]
fn closed_directories_are_no_obstacle_to_their_owner() {
    if !as_ordinary_user("closed_directories_are_no_obstacle_to_their_owner") {
        return;
    }
    let mode_of = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    let all_but_modes = ibt::job::meta::ALL & !(ibt::job::meta::OWNER | ibt::job::meta::MODE);
    for overwrite in [Overwrite::Always, Overwrite::IfDifferent, Overwrite::IfOlder, Overwrite::Keep] {
        for delete_extra in [false, true] {
            let (series, dest) = closed_directories();
            let wanted = Some(all_but_modes);
            let options = Options { delete_extra, restore_metadata: wanted, ..policy(&series, overwrite) };
            let dry = Options { dry_run: true, ..options.clone() };
            restore(&series, &dry, &dest, &mut Silent).result.unwrap();
            let modes = || CLOSED.map(|mode| mode_of(&dest.join(format!("{mode:03o}"))));
            assert_eq!(modes(), CLOSED, "a dry run");
            restore(&series, &options, &dest, &mut StopAfter(3)).refused(Kind::Cancelled);
            assert_eq!(modes(), CLOSED, "after a cancelled run");
            restore(&series, &options, &dest, &mut Silent).whole();
            assert_eq!(modes(), CLOSED);
            for mode in CLOSED {
                let dir = dest.join(format!("{mode:03o}"));
                set_mode(&dir, 0o700);
                assert_eq!(fs::read(dir.join("missing")).unwrap(), b"snapshot", "{mode:o}");
                assert_eq!(dir.join("extra").exists(), !delete_extra, "{mode:o}");
                assert_eq!(mode_of(&dir.join("unreadable")), 0);
            }
            // If modes are restored, the directories get the snapshot's modes.
            CLOSED.iter().for_each(|&mode| set_mode(&dest.join(format!("{mode:03o}")), mode));
            restore(&series, &mirror(&series), &dest, &mut Silent).whole();
            assert_eq!(modes(), [0o755; 4]);
        }
    }
}

/// A file that its owner may not read is still compared, and is not written again.
#[test]
fn an_unreadable_file_that_is_right_stays() {
    if !as_ordinary_user("an_unreadable_file_that_is_right_stays") {
        return;
    }
    let (series, dest) = with_copy(&[("f", "snapshot")]);
    let before = touched(&dest)[&dest.join("f")].0;
    set_mode(&dest.join("f"), 0);
    restore(&series, &mirror(&series), &dest, &mut Silent).whole();
    assert_eq!(touched(&dest)[&dest.join("f")].0, before, "another inode");
    series.points[0].kept.assert_is(&dest);
}

/// New files inherit the default ACL of their directory. The restore replaces it by the snapshot's attributes.
#[test]
fn inherited_acls_are_not_the_snapshot_s() {
    let (series, dest) = with_copy(&[("d/file", "snapshot")]);
    fs::remove_file(dest.join("d/file")).unwrap();
    run(command("setfacl", ["-m", "d:u:1234:rwx", "-m", "u:1234:rwx"]).arg(dest.join("d")));
    restore(&series, &mirror(&series), &dest, &mut Silent).whole();
    series.points[0].kept.assert_is(&dest);
}

fn partial(series: &Series, options: Options, dest: &Path) -> Result<Vec<String>, Error> {
    restore(series, &options, dest, &mut Silent).result?;
    let names = facts(dest).into_keys().map(|path| String::from_utf8(path).unwrap()).collect();
    series::remove(dest);
    Ok(names)
}

/// A small selection is kept in memory, and a large one is searched again. Both restore the same.
#[test]
fn a_large_part_restores_like_a_small_one() {
    let mut series = Series::new();
    for file in 0..1200 {
        series.write(&format!("d/e/{file:04}"), format!("file {file}"));
        series.write(&format!("f/{file:04}"), "not meant");
    }
    series.snapshot();
    for (glob, files) in [("d/e/0*", 1000), ("d/e/00*", 100), ("d/*/*", 1200), ("d/e/0[0-8]*", 900)] {
        let options = Options { includes: vec![glob.into()], ..series.options.clone() };
        let (dest, mut reported) = (series.beside("part"), ReportedChanges::default());
        let report = restore(&series, &options, &dest, &mut reported).whole();
        let wanted = |path: &[u8]| path.starts_with(b"d/e/") || [&b""[..], b"d", b"d/e"].contains(&path);
        let found = facts(&dest);
        assert_eq!(found.len(), files + 3, "{glob}");
        assert!(found.iter().all(|(path, one)| wanted(path)
            && (one.kind == "dir" || one.hash == series.points[0].kept.facts[path].hash)));
        assert_eq!(reported.0.len() as u64, counter(&report, Counter::Created));
        series::remove(&dest);
    }
}

#[test]
fn a_part_of_a_snapshot_comes_with_the_directories_that_lead_there() {
    let (series, _) = with_copy(&[("a/b/c", "1"), ("a/b/d", "2"), ("a/e", "3"), ("f", "4")]);
    let dest = series.beside("part");
    let with = |includes: &[&str], paths: &[&str], root: &str| Options {
        includes: includes.iter().map(|glob| glob.as_bytes().to_vec()).collect(),
        paths: paths.iter().map(|path| ibt::entry::Path::new(*path).unwrap()).collect(),
        root: ibt::entry::Path::new(root).unwrap(),
        ..series.options.clone()
    };
    let part = |options| partial(&series, options, &dest).unwrap();
    assert_eq!(part(with(&["a/*/c"], &[], "")), ["", "a", "a/b", "a/b/c"]);
    assert_eq!(part(with(&[], &["a/b"], "")), ["", "a", "a/b", "a/b/c", "a/b/d"]);
    assert_eq!(part(with(&["f"], &["a/e"], "")), ["", "a", "a/e", "f"]);
    assert_eq!(part(with(&[], &[], "a")), ["", "b", "b/c", "b/d", "e"]);
    assert_eq!(part(with(&["**/c"], &[], "a/b")), ["", "c"]);
    for (options, missing) in [
        (with(&["a/e", "*.no"], &[], ""), "*.no"),
        (with(&[], &["a/no"], ""), "a/no"),
        (with(&[], &["f"], "a"), "f"),
        (with(&[], &[], "no"), "no"),
        (with(&[], &[], "f"), "f"),
    ] {
        let error = partial(&series, options, &dest).unwrap_err();
        assert_eq!(
            (error.kind, error.path.as_deref()),
            (Kind::NotFound, Some(missing.as_bytes())),
            "{error}"
        );
        assert!(!dest.exists());
    }
}

proptest! {
    #![proptest_config(cases(24))]

    /// A directory that is restored as the destination, and a path that is restored alone, equal the source.
    #[test]
    fn parts_are_what_they_were(tree in trees(20), which in any::<prop::sample::Index>(), as_root in any::<bool>()) {
        let mut series = Series::new();
        tree.make(&series.source);
        series.snapshot();
        let all = &series.points[0].kept.facts;
        let dirs: Vec<_> = all.iter().filter(|(_, one)| !as_root || one.kind == "dir").map(|(path, _)| path).collect();
        let path = ibt::entry::Path::new(which.get(&dirs).as_slice()).unwrap();
        let mut options = series.options.clone();
        if as_root {
            options.root = path.clone();
        } else if !path.is_root() {
            options.paths = vec![path.clone()];
        }
        let dest = series.beside("part");
        restore(&series, &options, &dest, &mut Silent).whole();
        let found = facts(&dest);
        let below = |one: &&Vec<u8>| ibt::entry::Path::new(one.as_slice()).unwrap().is_within(path.as_bytes());
        let strip = |one: &[u8]| match as_root && !path.is_root() {
            true => one.get(path.as_bytes().len() + 1..).unwrap_or_default().to_vec(),
            false => one.to_vec(),
        };
        let wanted: Vec<_> = all.keys().filter(below).collect();
        for one in &wanted {
            let (mut then, mut now) = (all[*one].clone(), found[&strip(one)].clone());
            then.linked_with = None;
            now.linked_with = None;
            prop_assert_eq!(then, now, "{:?}", String::from_utf8_lossy(one));
        }
        let above = if as_root || path.is_root() { 0 } else { 1 + path.as_bytes().iter().filter(|&&b| b == b'/').count() };
        prop_assert_eq!(found.len(), wanted.len() + above);
        series::remove(&dest);
    }
}
