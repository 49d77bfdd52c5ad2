//! Removals of a restore, and the things that a restore must keep: mount points, files that it cannot see, the only
//! good copy of a content, and trees that an earlier restore left on request.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ibt::entry::Entry;
use ibt::error::Kind;
use ibt::job::{Cancel, Counter, Flow, Observer, Options, Overwrite, ProblemKind, Silent};
use support::series::{KEY, Outcome, counter, problem_paths};
use support::tools::{Mount, as_ordinary_user, command, set_mode, tag_of_name, temp_of};
use support::*;

fn restore(series: &Series, options: &Options, dest: &Path, observer: &mut dyn Observer) -> Outcome {
    series
        .run(options, &Cancel::default(), observer, |store, job| ibt::restore::restore(store, KEY, dest, job))
}

fn mirror(series: &Series) -> Options {
    Options { delete_extra: true, overwrite: Overwrite::Always, ..series.options.clone() }
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Restores as a dry run and then for real. Both must list the same obstructed paths.
#[track_caller]
fn obstructed(series: &Series, options: &Options, dest: &Path) -> Vec<String> {
    let dry = Options { dry_run: true, ..options.clone() };
    let foretold = restore(series, &dry, dest, &mut Silent).ok();
    let report = restore(series, options, dest, &mut Silent).ok();
    let paths = problem_paths(&report, ProblemKind::Obstructed);
    assert_eq!(problem_paths(&foretold, ProblemKind::Obstructed), paths);
    assert_eq!(counter(&foretold, Counter::Deleted), counter(&report, Counter::Deleted));
    paths
}

/// A mount of the same file system has the same device number as the directory around it.
#[test]
fn what_is_mounted_from_the_same_file_system_is_not_extra() {
    let series = Series::new();
    for dir in ["bound", "seen", "d"] {
        fs::create_dir(series.source.join(dir)).unwrap();
    }
    for file in ["seen/f", "d/f", "way", "clear"] {
        series.write(file, "snapshot");
    }
    series.full().whole();
    let (dest, other) = (series.beside("dest"), series.beside("other"));
    for name in ["bound", "seen", "extra", "way"] {
        write(&other.join(name).join("disk"), "precious");
    }
    let at = ["bound", "seen", "extra/below/mnt", "way/below/mnt"].map(|path| dest.join(path));
    at.iter().for_each(|path| fs::create_dir_all(path).unwrap());
    for path in ["d/extra", "extra/plain", "extra/file", "way/file", "way/plain"] {
        write(&dest.join(path), "old");
    }
    let mut bound: Vec<_> = at.iter().zip(["bound", "seen", "extra", "way"]).collect::<Vec<_>>();
    let mut mounts: Vec<_> = bound.drain(..).map(|(at, name)| Mount::bind(&other.join(name), at)).collect();
    for file in ["extra/file", "way/file"] {
        mounts.push(Mount::bind(&other.join("bound/disk"), &dest.join(file)));
    }
    if mounts.iter().any(Option::is_none) {
        return skip("mounting is not allowed here");
    }
    let paths = obstructed(&series, &mirror(&series), &dest);
    assert_eq!(paths, ["bound", "extra/below/mnt", "extra/file", "way"]);
    for path in ["bound/disk", "extra/below/mnt/disk", "way/below/mnt/disk", "way/plain", "extra/file"] {
        assert!(dest.join(path).exists(), "{path}");
    }
    // The snapshot has entries below `seen`.
    assert!(dest.join("seen/f").exists() && !dest.join("seen/disk").exists());
    assert!(!dest.join("d/extra").exists() && !dest.join("extra/plain").exists());
}

/// A directory that a file must replace contains a mounted file. The whole directory stays.
#[test]
fn a_mounted_file_does_not_make_way() {
    let series = Series::new();
    series.write("way", "snapshot");
    series.full().whole();
    let (dest, other) = (series.beside("dest"), series.beside("other"));
    fs::write(&other, "precious").unwrap();
    for path in ["way/file", "way/plain", "way/a/plain"] {
        write(&dest.join(path), "old");
    }
    let Some(_bound) = Mount::bind(&other, &dest.join("way/file")) else {
        return skip("mounting is not allowed here");
    };
    assert_eq!(obstructed(&series, &mirror(&series), &dest), ["way"]);
    for path in ["way/file", "way/plain", "way/a/plain"] {
        assert!(dest.join(path).exists(), "{path}");
    }
}

/// The files and directories below `root` with their modes.
fn modes(root: &Path) -> BTreeMap<PathBuf, u32> {
    let entries = walkdir::WalkDir::new(root).into_iter().map(|entry| entry.unwrap());
    let mode = |entry: &walkdir::DirEntry| entry.metadata().unwrap().mode();
    entries.map(|entry| (entry.path().to_path_buf(), mode(&entry))).collect()
}

/// A directory that its owner has closed, with the store of another backup in it.
#[test]
fn what_is_in_a_closed_directory_stays_as_in_an_open_one() {
    if !as_ordinary_user("what_is_in_a_closed_directory_stays_as_in_an_open_one") {
        return;
    }
    for closed in [0o000, 0o300, 0o400, 0o500] {
        let series = Series::new();
        series.write("f", "snapshot");
        series.full().whole();
        let dest = series.beside("dest");
        for place in ["extra", "f"] {
            let store = dest.join(place).join("closed/inner/store");
            fs::create_dir_all(&store).unwrap();
            let other = Series { store, memory: None, ..Series::new() };
            other.write("f", "content");
            other.full().whole();
        }
        let before = modes(&dest);
        let dirs = ["extra/closed/inner", "extra/closed", "f/closed/inner", "f/closed"];
        dirs.iter().for_each(|dir| set_mode(&dest.join(dir), closed));
        let report = restore(&series, &mirror(&series), &dest, &mut Silent).partial();
        let paths = problem_paths(&report, ProblemKind::Obstructed);
        assert_eq!(paths, ["extra/closed/inner/store", "f"], "{closed:03o}");
        for dir in dirs.iter().rev() {
            let now = fs::metadata(dest.join(dir)).unwrap().mode() & 0o7777;
            assert_eq!(now, closed, "{dir}");
            set_mode(&dest.join(dir), 0o755);
        }
        assert_eq!(modes(&dest), before);
    }
}

/// A directory of another owner that this user can neither list nor open. It lies in a directory that should be
/// removed or replaced.
#[test]
fn what_cannot_be_seen_stays_with_all_that_is_around_it() {
    if !is_root() {
        return skip("another owner takes root");
    }
    let series = Series::new();
    series.write("f", "snapshot");
    series.full().whole();
    let dest = series.beside("dest");
    for path in ["extra/closed/f", "extra/g", "f/closed/f", "f/g"] {
        write(&dest.join(path), "old");
    }
    run(command("chown", ["-R", "65534:65534"]).arg(series.dir.path()));
    for closed in ["extra/closed", "f/closed"] {
        run(command("chown", ["-R", "0:0"]).arg(dest.join(closed)));
        set_mode(&dest.join(closed), 0o700);
    }
    let before = modes(&dest);
    let options = Options { cache_dir: None, ..mirror(&series) };
    let paths = std::thread::scope(|scope| {
        let run = || {
            // SAFETY: no memory is passed. The raw calls change this thread only, unlike the functions of libc.
            unsafe {
                libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>());
                libc::syscall(libc::SYS_setresgid, 65534, 65534, 65534);
                libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534);
            }
            obstructed(&series, &options, &dest)
        };
        scope.spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    assert_eq!(paths, ["extra/closed", "f"]);
    let mut after = modes(&dest);
    after.insert(dest.join("extra/g"), before[&dest.join("extra/g")]);
    assert_eq!(after, before);
    assert!(!dest.join("extra/g").exists());
}

/// If the store has lost a content, the old name of a moved file may be its only good copy.
#[test]
fn nothing_is_removed_where_a_content_was_lost() {
    for linked in [false, true] {
        let series = Series::new();
        series.write("new/file", noise(1, 50_000));
        if linked {
            fs::hard_link(series.source.join("new/file"), series.source.join("new/link")).unwrap();
        }
        std::os::unix::fs::symlink("new", series.source.join("way")).unwrap();
        std::os::unix::fs::symlink("new", series.source.join("empty")).unwrap();
        series.full().whole();
        let dest = series.beside("dest");
        fs::create_dir_all(dest.join("empty")).unwrap();
        for old in ["old", "way"] {
            fs::create_dir_all(dest.join(old)).unwrap();
            fs::write(dest.join(old).join("file"), noise(1, 50_000)).unwrap();
        }
        series.lose("full");
        let report = restore(&series, &mirror(&series), &dest, &mut Silent).partial();
        assert_eq!(counter(&report, Counter::Deleted), 0);
        assert_eq!(problem_paths(&report, ProblemKind::Obstructed), ["", "way"]);
        for old in ["old", "way"] {
            assert_eq!(fs::read(dest.join(old).join("file")).unwrap(), noise(1, 50_000));
        }
        assert!(dest.join("empty").is_symlink());
    }
}

/// Calls a function at the first reported change, and returns this flow.
struct AtFirst<F>(Option<F>, Flow);

impl<F: FnOnce()> Observer for AtFirst<F> {
    fn change(&mut self, _: u32, _: Option<&Entry>, _: Option<&Entry>) -> Flow {
        match self.0.take() {
            Some(act) => {
                act();
                self.1
            }
            None => Flow::Continue,
        }
    }
}

/// The paths in a directory whose names start with `start`.
fn named(dir: &Path, start: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(start)).collect()
}

/// Waits until new files are old enough to count as left-overs for the next restore.
fn age() {
    std::thread::sleep(std::time::Duration::from_millis(60));
}

/// Another process takes the destination's name, or a name in the destination, during the restore. The restored tree
/// gets a name of its own. The error contains that name, and no later restore removes the tree.
#[test]
fn what_cannot_have_its_name_is_left_under_another() {
    for (empty, flow) in
        [(false, Flow::Continue), (false, Flow::Cancel), (true, Flow::Continue), (true, Flow::Cancel)]
    {
        let series = Series::new();
        for index in 0..5 {
            series.write(&format!("d/{index}"), noise(index, 20_000));
        }
        series.full().whole();
        let place = series.beside("place");
        let dest = place.join("dest");
        fs::create_dir_all(if empty { &dest } else { &place }).unwrap();
        let leaving = Options { leave_partial: true, ..series.options.clone() };
        let meanwhile = || write(&dest.join("d/theirs"), "theirs");
        let error = match restore(&series, &leaving, &dest, &mut AtFirst(Some(meanwhile), flow)).result {
            Err(error) => error,
            Ok(()) => panic!("the name was taken"),
        };
        assert!(matches!(error.kind, Kind::Exists | Kind::Cancelled), "{error}");
        let holder = if empty { &dest } else { &place };
        let [left] = &named(holder, "ibt-partial-")[..] else { panic!("{error}: nothing is left") };
        let name = left.file_name().unwrap().to_str().unwrap();
        assert!(error.to_string().contains(name), "{error} does not tell {name}");
        let kept = || walkdir::WalkDir::new(left).into_iter().filter_map(Result::ok).count();
        let before = kept();
        assert!(before > 1);
        if flow == Flow::Continue && !empty {
            assert_same_tree(&series.source, left);
        }
        age();
        let over = Options { overwrite: Overwrite::Always, ..series.options.clone() };
        restore(&series, &over, &dest, &mut Silent).whole();
        assert_eq!(kept(), before);
        assert!(named(holder, ".ibt-tmp-restore-").is_empty());
        assert_eq!(fs::read(dest.join("d/theirs")).unwrap(), b"theirs");
    }
}

/// If the tree cannot be renamed, it stays under its temporary name, and no later restore removes it.
#[test]
fn what_can_have_no_other_name_is_no_left_over() {
    if !as_ordinary_user("what_can_have_no_other_name_is_no_left_over") {
        return;
    }
    for flow in [Flow::Continue, Flow::Cancel] {
        let series = Series::new();
        series.write("d/file", "content");
        series.full().whole();
        let place = series.beside("place");
        let dest = place.join("dest");
        fs::create_dir(&place).unwrap();
        let leaving = Options { leave_partial: true, ..series.options.clone() };
        let close = || set_mode(&place, 0o555);
        let outcome = restore(&series, &leaving, &dest, &mut AtFirst(Some(close), flow));
        let error = outcome.result.unwrap_err();
        set_mode(&place, 0o755);
        let [left] = &named(&place, ".ibt-tmp-restore-")[..] else { panic!("{error}: nothing is left") };
        assert!(error.to_string().contains(left.file_name().unwrap().to_str().unwrap()), "{error}");
        age();
        restore(&series, &series.options, &dest, &mut Silent).whole();
        assert!(left.join("d").exists());
    }
}

/// The roots of file systems share their inode number. Suppose that one file system is mounted in another. A
/// temporary name of a restore into the inner file system is no left-over of a restore into the outer one.
#[test]
fn what_works_on_another_file_system_is_no_left_over() {
    let series = Series::new();
    series.write("data/file", "content");
    series.full().whole();
    let dest = series.beside("dest");
    fs::create_dir(&dest).unwrap();
    let Some(_outer) = Mount::tmpfs(&dest, "size=1m") else { return skip("mounting is not allowed here") };
    fs::create_dir(dest.join("data")).unwrap();
    let Some(_inner) = Mount::tmpfs(&dest.join("data"), "size=1m") else {
        return skip("mounting is not allowed here");
    };
    let tag = fs::metadata(&dest).unwrap().ino();
    assert_eq!(fs::metadata(dest.join("data")).unwrap().ino(), tag);
    let (own, other) = (dest.join(temp_of(tag, 1)), dest.join("data").join(temp_of(tag, 2)));
    write(&own, "half");
    write(&other, "half");
    write(&dest.join("data").join(temp_of(tag + 1, 3)), "of another destination");
    age();
    let report = restore(&series, &mirror(&series), &dest, &mut Silent).whole();
    assert!(!own.exists());
    assert!(other.exists());
    assert_eq!(problem_paths(&report, ProblemKind::Leftover), [format!("data/{}", temp_of(tag, 2))]);
}

/// A temporary directory that may belong to a running restore stays, beside the destination and in it, and is listed.
#[test]
fn left_overs_that_stay_are_told() {
    let series = Series::new();
    series.write("d/file", "content");
    series.full().whole();
    let dest = series.beside("dest");
    let beside = series.beside(&temp_of(tag_of_name("dest"), 1));
    fs::create_dir_all(dest.join("d")).unwrap();
    let inside = dest.join("d").join(temp_of(fs::metadata(&dest).unwrap().ino(), 2));
    let mut held = Vec::new();
    for path in [&beside, &inside] {
        write(&path.join("half"), "half");
        let dir = ibt::platform::Dir::open(path).unwrap();
        ibt::platform::hold_dir(&dir).unwrap();
        held.push(dir);
    }
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_string();
    let report = restore(&series, &mirror(&series), &dest, &mut Silent).whole();
    let told = problem_paths(&report, ProblemKind::Leftover);
    assert_eq!(told, [beside.to_str().unwrap().to_string(), format!("d/{}", name(&inside))]);
    drop(held);
    // A child process that another test forks also holds the locks, until it executes its program.
    for _ in 0..200 {
        let report = restore(&series, &mirror(&series), &dest, &mut Silent).whole();
        if problem_paths(&report, ProblemKind::Leftover).is_empty() {
            break;
        }
        age();
    }
    assert!(!beside.exists() && !inside.exists());
}

/// exFAT has names of 255 UTF-16 units, which take up to 765 bytes. No snapshot has such a name.
#[test]
fn a_name_that_no_snapshot_can_have_stays_and_the_restore_is_finished() {
    let series = Series::new();
    series.write("d/f", "snapshot");
    series.full().whole();
    let dest = series.beside("dest");
    fs::create_dir(&dest).unwrap();
    let Some(_mount) = Mount::exfat(&series.beside("image"), &dest) else {
        return skip("there is no exFAT here, or mounting is not allowed");
    };
    let long = "\u{6f22}".repeat(90);
    write(&dest.join("d").join(&long), "x");
    for includes in [vec![], vec![b"**/*".to_vec()]] {
        let report = restore(&series, &Options { includes, ..mirror(&series) }, &dest, &mut Silent).ok();
        let told = problem_paths(&report, ProblemKind::Obstructed);
        assert!(told.iter().any(|path| path == "d"), "{told:?}");
        assert!(dest.join("d").join(&long).exists());
        assert_eq!(fs::read(dest.join("d/f")).unwrap(), b"snapshot");
    }
}

/// With a glob, a restore enters extra directories to look for names that match. It lists those that it must not enter.
#[test]
fn extra_directories_that_a_glob_must_not_enter_are_listed() {
    let series = Series::new();
    series.write("f.tmp", "snapshot");
    series.full().whole();
    let dest = series.beside("dest");
    for path in
        ["extra/a.tmp", "extra/own/b.tmp", "store/k.state.20260101T000000.000000Z.json.zst", "store/c.tmp"]
    {
        write(&dest.join(path), "x");
    }
    let left = "ibt-partial-0123456789abcdef";
    write(&dest.join(left).join("d.tmp"), "x");
    let options = Options {
        includes: vec![b"**/*.tmp".to_vec()],
        protected: vec![dest.join("extra/own")],
        ..mirror(&series)
    };
    assert_eq!(obstructed(&series, &options, &dest), ["extra/own", left, "store"]);
    assert!(!dest.join("extra/a.tmp").exists());
    for path in ["extra/own/b.tmp", "store/c.tmp", &format!("{left}/d.tmp")] {
        assert!(dest.join(path).exists(), "{path}");
    }
    // Without a glob these directories stay as well.
    let options = Options { includes: vec![], ..options };
    assert_eq!(obstructed(&series, &options, &dest), ["extra/own", left, "store"]);
}

/// Every backup file makes its directory a store: also an archive without a state, and a file of a first backup that
/// was killed or still runs. A lock file alone does not: other programs use such names too.
#[test]
fn a_directory_with_any_backup_file_stays() {
    let stamp = "20260101T000000.000000Z";
    let files = [
        ("created", format!("k.created.{stamp}.tar.zst")),
        ("draft", format!(".ibt-tmp-k.full.{stamp}.tar.zst")),
        ("full", format!("k.full.{stamp}.tar.zst")),
        ("part", format!("k.full.{stamp}.tar.00002")),
        ("sigvault", format!("k.sigvault.{stamp}.tar.zst")),
        ("state", format!("k.state.{stamp}.json")),
        ("updated", format!("k.updated.{stamp}.tar.zst")),
    ];
    let series = Series::new();
    for path in ["f.tmp", "seen/f.tmp", "way"] {
        series.write(path, "snapshot");
    }
    series.full().whole();
    for includes in [vec![], vec![b"**/*.tmp".to_vec()]] {
        let dest = series.beside("dest");
        let mut expected: Vec<_> = files.iter().map(|(dir, _)| dir.to_string()).collect();
        for (dir, name) in files.iter().chain([&("extra", "k.lock".to_string())]) {
            write(&dest.join(dir).join(name), "precious");
            write(&dest.join(dir).join("other.tmp"), "precious");
        }
        // Directories that the snapshot has, or where it has a file.
        write(&dest.join("seen").join(&files[2].1), "precious");
        write(&dest.join("seen/other.tmp"), "precious");
        expected.push("seen".to_string());
        if includes.is_empty() {
            write(&dest.join("way").join(&files[2].1), "precious");
            expected.push("way".to_string());
        }
        expected.sort();
        let options = Options { includes, ..mirror(&series) };
        let mut paths = obstructed(&series, &options, &dest);
        paths.sort();
        assert_eq!(paths, expected);
        for (dir, name) in files.iter().chain([&("seen", files[2].1.clone())]) {
            assert!(dest.join(dir).join(name).exists(), "{name}");
            assert!(dest.join(dir).join("other.tmp").exists(), "{name}");
        }
        assert!(!dest.join("extra/other.tmp").exists());
        fs::remove_dir_all(&dest).unwrap();
    }
}
