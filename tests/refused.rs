//! Destinations that refuse single entries or every entry: the listed problems, the restored entries, and the errors
//! that end the call.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use ibt::entry::Entry;
use ibt::error::Kind;
use ibt::job::{
    Flow, Observer, OnFileError, Options, Overwrite, Phase, ProblemKind, Progress, Select, Silent, meta,
};
use support::nobody::NOBODY;
use support::series::problem_paths;
use support::tools::{Mount, child_role, command, output, run, set_mode, this_test_again};
use support::*;

fn over(series: &Series) -> Options {
    Options { overwrite: Overwrite::Always, ..series.options.clone() }
}

/// A source with one example of everything that FAT and similar file systems lack, and files around these examples.
fn full_of_odd_entries() -> Series {
    let series = Series::new();
    for file in ["a", "d/1", "d/2", "z/deep/file", "Readme", "readme"] {
        series.write(file, file);
    }
    series.write("large", noise(1, 1_500_000));
    series.write("d/a:b", "no such name");
    series.write("q?/below", "its directory has no such name");
    series.write("q?/below2/file", "its directory has no such name");
    symlink("a", series.source.join("link")).unwrap();
    fs::hard_link(series.source.join("a"), series.source.join("hard")).unwrap();
    run(&mut command("mkfifo", [series.source.join("fifo")]));
    series
}

/// A file system without links, FIFOs, colons and case. The same entries are listed and restored in a new tree, an
/// empty directory and an existing tree.
#[test]
fn what_a_destination_refuses_costs_that_entry_only() {
    let series = full_of_odd_entries();
    series.full().whole();
    let place = series.beside("place");
    fs::create_dir(&place).unwrap();
    let Some(_mount) = Mount::exfat(&series.beside("image"), &place) else {
        return skip("there is no exFAT here, or mounting is not allowed");
    };
    let (new, empty, existing) = (place.join("new"), place.join("empty"), place.join("existing"));
    fs::create_dir(&empty).unwrap();
    fs::create_dir(&existing).unwrap();
    fs::write(existing.join("own"), "own").unwrap();
    let plain = Options { restore_metadata: Some(meta::SPECIAL), ..series.options.clone() };
    let overwriting = Options { overwrite: Overwrite::Always, ..plain.clone() };
    for (dest, options) in [(&new, &plain), (&empty, &plain), (&existing, &overwriting)] {
        let report = series.restore_with(options, dest, &mut Silent).partial();
        let (mut obstructed, mut metadata) =
            (problem_paths(&report, ProblemKind::Obstructed), problem_paths(&report, ProblemKind::Metadata));
        obstructed.extend(metadata.iter().filter(|path| *path == "fifo").cloned());
        metadata.retain(|path| path != "fifo");
        obstructed.sort();
        assert_eq!(obstructed, ["d/a:b", "fifo", "link", "q?", "readme"], "{dest:?}");
        assert_eq!(metadata, ["hard"], "{dest:?}");
        for file in ["a", "d/1", "d/2", "z/deep/file", "Readme"] {
            assert_eq!(fs::read(dest.join(file)).unwrap(), file.as_bytes(), "{dest:?}");
        }
        assert_eq!(fs::read(dest.join("hard")).unwrap(), b"a", "{dest:?}");
        assert_eq!(fs::read(dest.join("large")).unwrap(), noise(1, 1_500_000), "{dest:?}");
        // This exFAT driver refuses a FIFO, but makes an empty file of that name.
        let names = fs::read_dir(dest).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<_> = names.filter(|name| name != "fifo").collect();
        assert_eq!(names.len(), if *dest == existing { 7 } else { 6 }, "{names:?} {:#?}", report.problems);
    }
    assert_eq!(fs::read_dir(&place).unwrap().count(), 3, "a temporary tree was left");
    let stopping = Options { on_file_error: OnFileError::Stop, ..plain };
    let other = place.join("other");
    series.restore_with(&stopping, &other, &mut Silent).refused(Kind::Io);
    assert!(!other.exists());
}

/// Removes the destination, or the temporary tree, after the first reported entry.
struct Remove<'p>(&'p Path, bool);

impl Observer for Remove<'_> {
    fn change(&mut self, _: u32, _: Option<&Entry>, _: Option<&Entry>) -> Flow {
        if !std::mem::replace(&mut self.1, true) {
            let built = fs::read_dir(self.0).unwrap().map(|entry| entry.unwrap().path());
            let built: Vec<_> = built.filter(|path| path.to_str().unwrap().contains("dest")).collect();
            let temp = fs::read_dir(self.0).unwrap().map(|entry| entry.unwrap().path());
            let temp = temp.filter(|path| path.to_str().unwrap().contains(".ibt-tmp-restore"));
            for path in built.into_iter().chain(temp) {
                // Other threads may still write into the tree.
                while path.exists() {
                    let _ = fs::remove_dir_all(&path);
                }
            }
        }
        Flow::Continue
    }
}

/// A destination that is gone takes no entry any more. The result is one error, and not a list of all entries.
#[test]
fn a_destination_that_is_gone_ends_the_restore() {
    let series = Series::new();
    for index in 0..40 {
        series.write(&format!("{index:02}"), noise(index, 300_000));
    }
    series.full().whole();
    let place = series.beside("place");
    for existing in [false, true] {
        fs::create_dir_all(&place).unwrap();
        let (dest, mut options) = (place.join("dest"), series.options.clone());
        if existing {
            fs::create_dir(&dest).unwrap();
            options = over(&series);
        }
        let outcome = series.restore_with(&options, &dest, &mut Remove(&place, false));
        let listed = outcome.report.problems.len();
        outcome.refused(Kind::Io);
        assert!(listed <= 1, "{listed} problems");
    }
}

/// With `leave_partial`, the entries that were restored before the file system was full stay complete. The same
/// restore over them completes the tree.
#[test]
fn what_was_restored_before_an_error_stays_if_asked_for() {
    let series = Series::new();
    for index in 0..20 {
        series.write(&format!("d/{index:02}"), noise(index, 300_000));
    }
    series.full().whole();
    let place = series.beside("place");
    fs::create_dir(&place).unwrap();
    let Some(room) = Mount::tmpfs(&place, "size=3m") else {
        return skip("mounting is not allowed here");
    };
    let leaving = Options { leave_partial: true, ..series.options.clone() };
    for empty in [false, true] {
        let dest = place.join("dest");
        for options in [&series.options, &leaving] {
            if empty {
                fs::create_dir_all(&dest).unwrap();
            }
            let error = series.restore_with(options, &dest, &mut Silent).refused(Kind::Io);
            assert_eq!(error.os_code, libc::ENOSPC, "{error}");
            let left = walkdir::WalkDir::new(&place).min_depth(1).into_iter().count();
            assert!(options.leave_partial || left == usize::from(empty), "{left} left");
        }
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
        let files: Vec<_> =
            fs::read_dir(dest.join("d")).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() > 5, "{files:?}");
        for file in &files {
            let of_source = series.source.join(file.strip_prefix(&dest).unwrap());
            assert!(fs::read(file).unwrap() == fs::read(of_source).unwrap(), "{file:?}");
        }
        room.remount("size=64m");
        series.restore_with(&over(&series), &dest, &mut Silent).whole();
        assert_same_tree(&series.source, &dest);
        fs::remove_dir_all(&dest).unwrap();
        room.remount("size=3m");
    }
}

/// An empty directory of another owner that every user may write. Its own metadata cannot be set: that is a problem,
/// and the restored entries stay.
#[test]
fn an_empty_destination_of_another_owner_is_filled() {
    if is_root() {
        for mode in [0o777, 0o1777] {
            fill_another_s(mode);
        }
    } else {
        skip("another owner takes root");
    }
}

fn fill_another_s(mode: u32) {
    let series = Series::new();
    series.write("d/file", "content");
    set_mode(&series.source, 0o755);
    series.full().whole();
    let dest = series.beside("dest");
    fs::create_dir(&dest).unwrap();
    set_mode(&dest, mode);
    run(command("chmod", ["-R", "a+rwX"]).arg(series.dir.path()));
    set_mode(&dest, mode);
    let outcome = as_nobody(|| series.restore_with(&series.options, &dest, &mut Silent));
    let report = outcome.partial();
    assert!(report.problems.iter().all(|problem| problem.kind == ProblemKind::Metadata), "{report:#?}");
    assert_eq!(fs::read(dest.join("d/file")).unwrap(), b"content");
    assert_eq!(fs::read_dir(&dest).unwrap().count(), 1);
    assert_eq!(fs::metadata(&dest).unwrap().uid(), 0);
}

/// A destination with nothing but the empty `lost+found` that `mkfs` makes counts as empty. It does not count as
/// empty if the `lost+found` holds a file, lies in another place than the root of a file system, or is not a
/// directory of root: a restore could do harm there.
#[test]
fn an_empty_lost_and_found_leaves_a_file_system_empty() {
    let mut series = Series::new();
    series.write("d/file", "content");
    series.write("lost+found/#1", "of the snapshot");
    series.snapshot();
    let dest = series.beside("dest");
    let lost = dest.join("lost+found");
    fs::create_dir_all(&lost).unwrap();
    let restore = || series.restore_with(&series.options, &dest, &mut Silent);
    restore().refused(Kind::Exists);
    let Some(_mount) = Mount::tmpfs(&dest, "size=8m") else { return skip("mounting is not allowed here") };
    fs::write(&lost, "").unwrap();
    restore().refused(Kind::Exists);
    fs::remove_file(&lost).unwrap();
    fs::create_dir(&lost).unwrap();
    fs::write(lost.join("#12"), "precious").unwrap();
    restore().refused(Kind::Exists);
    fs::remove_file(lost.join("#12")).unwrap();
    std::os::unix::fs::chown(&lost, Some(NOBODY), None).unwrap();
    restore().refused(Kind::Exists);
    std::os::unix::fs::chown(&lost, Some(0), None).unwrap();
    fs::create_dir(dest.join("other")).unwrap();
    restore().refused(Kind::Exists);
    fs::remove_dir(dest.join("other")).unwrap();
    restore().whole();
    series.points[0].kept.assert_is(&dest);
}

/// A `lost+found` that this user cannot read is accepted as well.
#[test]
fn a_closed_lost_and_found_leaves_a_file_system_empty() {
    let series = Series::new();
    series.write("d/file", "content");
    series.full().whole();
    let dest = series.beside("dest");
    fs::create_dir(&dest).unwrap();
    let Some(_mount) = Mount::tmpfs(&dest, "size=8m") else { return skip("mounting is not allowed here") };
    let lost = dest.join("lost+found");
    fs::create_dir(&lost).unwrap();
    fs::write(lost.join("#12"), "precious").unwrap();
    run(command("chmod", ["-R", "a+rwX"]).arg(series.dir.path()));
    set_mode(&lost, 0o700);
    let outcome = as_nobody(|| series.restore_with(&series.options, &dest, &mut Silent));
    outcome.partial();
    assert_eq!(fs::read(dest.join("d/file")).unwrap(), b"content");
    assert_eq!(fs::read(lost.join("#12")).unwrap(), b"precious");
}

/// Calls a function when a phase begins, and returns a flow.
struct AtPhase<F>(Phase, Option<F>, Flow);

impl<F: FnOnce()> Observer for AtPhase<F> {
    fn progress(&mut self, now: &Progress) -> Flow {
        let act = if now.phase == self.0 { self.1.take() } else { None };
        act.map_or(Flow::Continue, |act| {
            act();
            self.2
        })
    }
}

/// Everything below `dest` except its root, with modes and times.
fn entries(dest: &Path) -> Vec<(PathBuf, u32, i64)> {
    let walk = walkdir::WalkDir::new(dest).min_depth(1).sort_by_file_name().into_iter().map(Result::unwrap);
    let seen = walk.map(|entry| {
        let meta = entry.path().symlink_metadata().unwrap();
        (entry.into_path(), meta.mode(), if meta.is_dir() { meta.mtime() } else { 0 })
    });
    seen.collect()
}

/// A restore to an empty file system fails while the restored entries move to their places, because another process has
/// taken a name, or it is cancelled after that. It removes its entries again, also from the `lost+found` of `mkfs`,
/// which is then as it was.
#[test]
fn a_restore_that_fails_takes_back_what_it_put_into_lost_and_found() {
    let series = Series::new();
    for file in ["a/f", "lost+found/#1", "lost+found/#2", "lost+found/d/#3", "z/f"] {
        series.write(file, "of the snapshot");
    }
    set_mode(&series.source.join("lost+found"), 0o751);
    series.full().whole();
    let dest = series.beside("dest");
    fs::create_dir(&dest).unwrap();
    // The order of a listing, and so of the moves, depends on the file system.
    for taken in [Some("a"), Some("z"), Some("lost+found/#1"), Some("lost+found/#2"), None] {
        let Some(_mount) = Mount::tmpfs(&dest, "size=8m") else {
            return skip("mounting is not allowed here");
        };
        fs::create_dir(dest.join("lost+found")).unwrap();
        set_mode(&dest.join("lost+found"), 0o700);
        run(command("touch", ["-d", "2001-02-03"]).arg(dest.join("lost+found")));
        let mut before = Vec::new();
        let outcome = match taken {
            Some(taken) => {
                // The number of entries is known when the first file is restored, and no child has moved yet.
                let put = || {
                    fs::write(dest.join(taken), "theirs").unwrap();
                    before = entries(&dest);
                    before.retain(|(path, ..)| !path.to_str().unwrap().contains(".ibt-tmp"));
                };
                let outcome = series.restore_with(
                    &series.options,
                    &dest,
                    &mut AtPhase(Phase::Restore, Some(put), Flow::Continue),
                );
                let error = outcome.result.unwrap_err();
                assert_eq!(error.kind, Kind::Exists, "{error}");
                assert!(!error.to_string().contains("not as it was"), "{error}");
                None
            }
            None => {
                before = entries(&dest);
                let mut cancel = AtPhase(Phase::Commit, Some(|| ()), Flow::Cancel);
                Some(series.restore_with(&series.options, &dest, &mut cancel))
            }
        };
        outcome.map(|outcome| outcome.refused(Kind::Cancelled));
        assert_eq!(entries(&dest), before, "{taken:?}");
    }
}

/// On a file system where inode numbers prove nothing, an entry that may belong to another program stays, and the error
/// names it.
#[test]
fn what_may_be_anothers_is_not_taken_back() {
    let series = Series::new();
    for file in ["a", "b", "c"] {
        series.write(file, "of the snapshot");
    }
    series.full().whole();
    let dest = series.beside("dest");
    fs::create_dir(&dest).unwrap();
    let Some(_mount) = Mount::exfat(&series.beside("image"), &dest) else {
        return skip("there is no exFAT here, or mounting is not allowed");
    };
    let replace = || {
        fs::remove_file(dest.join("b")).unwrap();
        fs::write(dest.join("b"), "theirs").unwrap();
    };
    let options = Options { restore_metadata: Some(0), ..series.options.clone() };
    let mut observer = AtPhase(Phase::Commit, Some(replace), Flow::Cancel);
    let error = series.restore_with(&options, &dest, &mut observer).refused(Kind::Cancelled);
    let left: Vec<_> = fs::read_dir(&dest).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["b"]);
    assert_eq!(fs::read(dest.join("b")).unwrap(), b"theirs");
    assert!(error.to_string().contains("not as it was: b:"), "{error}");
}

/// File systems without ACLs give many different errors when one is removed. That loses nothing, because there is none.
#[test]
fn an_acl_that_is_not_there_need_not_be_removed() {
    let test = "an_acl_that_is_not_there_need_not_be_removed";
    if let Some(dir) = child_role() {
        let dir = Path::new(&dir);
        let mut series = Series::new();
        series.store = dir.join("store");
        for dest in ["new", "empty"] {
            series.restore(Select::Newest, &dir.join(dest)).whole();
        }
        return;
    }
    if !output(&mut command("strace", ["-o", "/dev/null", "true"])).status.success() {
        return skip("strace may not trace here");
    }
    for code in ["EINVAL", "EIO", "EPERM", "EROFS", "ENOSPC"] {
        let series = Series { memory: None, ..Series::new() };
        series.write("d/f", "content");
        series.full().whole();
        let empty = series.dir.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let again =
            this_test_again(&std::env::current_exe().unwrap(), test, series.dir.path().to_str().unwrap());
        let mut strace =
            command("strace", ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fremovexattr", "-e"]);
        strace.arg(format!("inject=fremovexattr:error={code}"));
        strace.arg("--").arg(again.get_program()).args(again.get_args());
        strace.envs(again.get_envs().filter_map(|(name, value)| Some((name, value?))));
        run(&mut strace);
        assert_eq!(fs::read(empty.join("d/f")).unwrap(), b"content", "{code}");
    }
}
