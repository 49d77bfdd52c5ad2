//! Restores in place with `delete_extra`. Entries that the backup did not store stay, whatever the reason was.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use ibt::error::Kind;
use ibt::job::{Counter, Options, Overwrite, ProblemKind, Select, Silent};
use proptest::collection::vec;
use proptest::prelude::*;
use support::series::{KEY, Outcome, counter, problem_paths};
use support::tools::{
    Mount, as_ordinary_user, child_role, set_mode, set_temporary_directory, this_test_again,
};
use support::*;

fn restore(series: &Series, dry_run: bool, dest: &Path) -> Outcome {
    let options = Options {
        delete_extra: true,
        overwrite: Overwrite::IfDifferent,
        dry_run,
        excludes: Vec::new(),
        ..series.options.clone()
    };
    series.restore_with(&options, dest, &mut Silent)
}

/// A kind of entry that a backup does not store.
#[derive(Clone, Debug)]
enum NotStored {
    /// An exclude pattern matches the name.
    Excluded,
    ExcludedDir,
    Socket,
    /// A file without any permission.
    Closed,
    /// A directory that can be entered but not listed.
    Unlisted,
    /// A directory that can be listed but not entered.
    Locked,
    Cache,
}

fn odd() -> impl Strategy<Value = (String, NotStored)> {
    use NotStored::*;
    let what = prop::sample::select(vec![Excluded, ExcludedDir, Socket, Closed, Unlisted, Locked, Cache]);
    ("[abc](/[abc]){0,2}", what)
}

/// Makes an entry of this kind at `path`. The returned listener must live as long as its socket.
fn make(root: &Path, path: &str, not_stored: &NotStored) -> Option<UnixListener> {
    let path = root.join(path);
    let _ = fs::create_dir_all(path.parent().unwrap());
    let filled = |dir: &Path, name: &str| {
        let _ = fs::create_dir(dir).and_then(|()| fs::write(dir.join(name), "precious"));
    };
    match not_stored {
        NotStored::Excluded => drop(fs::write(path.with_extension("o"), "precious")),
        NotStored::ExcludedDir => filled(&path.with_extension("o"), "f"),
        NotStored::Socket => return UnixListener::bind(path).ok(),
        NotStored::Closed => {
            if fs::File::create_new(&path).is_ok() {
                fs::write(&path, "precious").unwrap();
                set_mode(&path, 0);
            }
        }
        NotStored::Unlisted | NotStored::Locked => {
            filled(&path, "f");
            if path.is_dir() {
                set_mode(&path, if matches!(not_stored, NotStored::Locked) { 0o400 } else { 0o300 });
            }
        }
        NotStored::Cache => {
            filled(&path, "cached");
            let tag = "Signature: 8a477f597d28d172789f06886806bc55";
            let _ = fs::write(path.join("CACHEDIR.TAG"), tag);
        }
    }
    None
}

/// The paths of all entries that the user can see in a tree.
fn seen(root: &Path) -> Vec<u8> {
    tools::output(tools::command("find", ["."]).current_dir(root)).stdout
}

/// After a backup of any source with any exclusions, an immediate restore in place removes nothing, and a dry
/// run predicts this.
#[test]
fn restoring_in_place_removes_nothing() {
    if !as_ordinary_user("restoring_in_place_removes_nothing") {
        return;
    }
    let files = vec("[abc](/[abc]){0,2}", 0..6);
    proptest!(cases(24), |(odds in vec(odd(), 1..8), later in vec(odd(), 0..4), files in files)| {
        let mut series = Series::new();
        series.options.excludes = vec![b"*.o".to_vec()];
        series.options.skip_cache_dirs = true;
        series.options.allow_empty = true;
        let mut sockets = Vec::new();
        for (round, odds) in [odds, later].iter().enumerate() {
            for (path, odd) in odds {
                sockets.extend(make(&series.source, path, odd));
            }
            for file in &files {
                let path = series.source.join(format!("{file}{round}"));
                let _ = fs::create_dir_all(path.parent().unwrap());
                let _ = fs::write(path, "content");
            }
            if round == 0 { series.full() } else { series.incremental() }.ok();
        }
        let before = seen(&series.source);
        for dry_run in [true, false] {
            let report = restore(&series, dry_run, &series.source).ok();
            prop_assert_eq!(counter(&report, Counter::Deleted), 0);
        }
        prop_assert_eq!(String::from_utf8(seen(&series.source)), String::from_utf8(before));
        run(tools::command("chmod", ["-R", "u+rwX"]).arg(&series.source));
        for (path, facts) in facts(&series.source) {
            prop_assert!(!path.ends_with(b".o") || facts.kind == "dir" || facts.size == 8);
        }
    });
}

/// More unreadable files than a state lists as problems. One directory has too many of them to be listed by
/// name, and one has few.
#[test]
fn what_could_not_be_read_stays_however_much_it_is() {
    if !as_ordinary_user("what_could_not_be_read_stays_however_much_it_is") {
        return;
    }
    let series = Series::new();
    let many = series.source.join("many");
    fs::create_dir(&many).unwrap();
    let names: Vec<_> = (0..10_050).map(|n| many.join(format!("{n}"))).collect();
    let few = ["few/a", "few/z"].map(|name| series.write(name, "precious"));
    for name in &names {
        fs::write(name, "precious").unwrap();
    }
    names.iter().chain(&few).for_each(|path| set_mode(path, 0));
    series.write("few/m", "readable");
    series.full().partial();
    series.incremental().partial();
    series.write("few/extra", "extra");
    let report = restore(&series, false, &series.source).partial();
    assert_eq!(problem_paths(&report, ProblemKind::Obstructed), ["few", "many"]);
    assert!(names.iter().chain(&few).all(|path| path.exists()));
    assert!(!series.source.join("few/extra").exists());
    // A consolidated snapshot knows the same files.
    series.consolidate().ok();
    restore(&series, false, &series.source).partial();
    assert!(names.iter().chain(&few).all(|path| path.exists()));
}

/// A file became a directory that the backup could not look at, so the backup kept the last version of the file. The
/// directory may hold data that is in no snapshot, so a restore does not replace it by that version.
#[test]
fn what_the_backup_could_not_look_at_does_not_make_way() {
    if !as_ordinary_user("what_the_backup_could_not_look_at_does_not_make_way") {
        return;
    }
    let series = Series::new();
    let was_file = series.write("d/x", "a file");
    series.full().whole();
    fs::remove_file(was_file).unwrap();
    let precious = series.write("d/x/precious", "in no snapshot");
    // The directory can be listed, but its entries cannot be looked at.
    set_mode(&series.source.join("d"), 0o400);
    series.incremental().partial();
    set_mode(&series.source.join("d"), 0o700);
    for dry_run in [true, false] {
        let options =
            Options { overwrite: Overwrite::Always, delete_extra: true, dry_run, ..series.options.clone() };
        let report = series.restore_with(&options, &series.source, &mut Silent).partial();
        assert!(problem_paths(&report, ProblemKind::Obstructed).contains(&"d/x".to_string()), "{report:#?}");
        set_mode(&series.source.join("d"), 0o700);
        assert!(precious.exists());
    }
}

/// Entries that the caller chose to leave out are reported as notes, one for each directory.
#[test]
fn what_was_left_out_is_told_and_no_loss() {
    let mut series = Series::new();
    series.options.excludes = vec![b"*.o".to_vec(), b"build/".to_vec()];
    for path in ["d/a.c", "d/a.o", "d/b.o", "build/x", "e/f"] {
        series.write(path, "precious");
    }
    series.full().whole();
    series.write("d/extra", "extra");
    for dry_run in [true, false] {
        let report = restore(&series, dry_run, &series.source).whole();
        assert_eq!(problem_paths(&report, ProblemKind::Skipped), ["", "d"]);
        assert_eq!(counter(&report, Counter::Deleted), 1);
    }
    assert!(["d/a.o", "d/b.o", "build/x"].iter().all(|path| series.source.join(path).exists()));
}

/// A restore does not remove anything in a file system that the backup did not enter, nor in its mount point if it is
/// not mounted now.
#[test]
fn what_was_on_another_file_system_stays() {
    let mut series = Series::new();
    series.options.one_file_system = true;
    for path in ["mnt/below", "f"] {
        series.write(path, "content");
    }
    {
        let Some(_mount) = Mount::tmpfs(&series.source.join("mnt"), "size=1m") else {
            return skip("mounting is not allowed here");
        };
        series.write("mnt/disk", "precious");
        series.full().whole();
        restore(&series, false, &series.source).ok();
        assert!(series.source.join("mnt/disk").exists());
    }
    restore(&series, false, &series.source).whole();
    assert!(series.source.join("mnt/below").exists());
}

/// A series whose store and cache lie in the source.
fn with_store_inside() -> Series {
    let mut series = Series::new();
    series.memory = None;
    fs::create_dir(series.source.join("home")).unwrap();
    series.store = series.source.join("home/store");
    series.options.cache_dir = Some(series.source.join("home/cache"));
    series.write("home/doc", noise(1, 300_000));
    series
}

fn compare(series: &Series) -> Outcome {
    series.silently(&series.options, |store, job| ibt::inspect::compare(store, KEY, &series.source, job))
}

/// A backup whose source contains the store stores neither the store nor the cache, under any name.
#[test]
fn a_backup_leaves_its_own_store_and_cache_out() {
    let mut series = with_store_inside();
    series.full().whole();
    // The store is opened through a symbolic link.
    symlink(&series.store, series.beside("link")).unwrap();
    series.store = series.beside("link");
    let again = series.source.join("again");
    fs::create_dir(&again).unwrap();
    let bound = Mount::bind(&series.source.join("home/store"), &again);
    let mut notes = vec!["home/cache", "home/store"];
    if bound.is_some() {
        notes.insert(0, "again");
    }
    for _ in 0..3 {
        let report = series.incremental().whole();
        assert_eq!(problem_paths(&report, ProblemKind::Skipped), notes);
        let entries = if bound.is_some() { 3 } else { 4 };
        assert_eq!(counter(&report, Counter::Entries), entries);
    }
    let sizes: u64 = series.stored().values().sum();
    assert!(sizes < 400_000, "the store has grown to {sizes} bytes");
    let report = compare(&series).whole();
    assert_eq!(problem_paths(&report, ProblemKind::Skipped), notes);
    let differ = [Counter::Created, Counter::Deleted, Counter::Modified].map(|which| counter(&report, which));
    assert_eq!(differ, [0; 3]);
    // Metadata is not compared: each backup changes the mtime of `home`, where the store and the cache lie.
    series.restore(Select::Newest, &series.beside("restored")).whole();
    assert!(!series.beside("restored/home/store").exists());
}

/// A snapshot may contain the store if it was made into another store. The next snapshot counts these entries
/// as deleted.
#[test]
fn a_store_that_was_stored_is_deleted_and_not_stored_again() {
    let mut series = with_store_inside();
    series.full().whole();
    let other = series.beside("other");
    let inside = std::mem::replace(&mut series.store, other);
    series.full().whole();
    run(tools::command("cp", ["-a"]).arg(&series.store).arg(series.beside("copy")));
    fs::remove_dir_all(&inside).unwrap();
    fs::rename(series.beside("copy"), &inside).unwrap();
    series.store = inside;
    let report = series.incremental().whole();
    assert_eq!(counter(&report, Counter::Entries), 3);
    assert!(counter(&report, Counter::Deleted) > 3);
}

#[test]
fn a_store_is_no_source_of_its_own() {
    let mut series = Series::new();
    series.memory = None;
    series.write("f", "content");
    series.store = series.source.clone();
    series.full().refused(Kind::InvalidArg);
    assert!(
        !fs::read_dir(&series.source)
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().contains(".state.") })
    );
}

/// A protected path is left out like the store: only the caller knows where the caller's own storage lies.
#[test]
fn a_protected_path_is_left_out() {
    let mut series = Series::new();
    series.write("d/f", "content");
    series.write("mine/f", "content");
    series.options.protected = vec![series.source.join("mine")];
    let report = series.full().whole();
    assert_eq!(problem_paths(&report, ProblemKind::Skipped), ["mine"]);
    assert_eq!(counter(&report, Counter::Entries), 3);
    series.options.protected = vec![series.source.join("mistyped")];
    let error = series.full().refused(Kind::Io);
    assert!(error.to_string().contains("mistyped"), "{error}");
}

/// A destination that contains files which must not be lost.
struct Around {
    series: Series,
    home: PathBuf,
}

/// A snapshot of a few files, and a destination that contains the store, the cache, another backup's store
/// and a protected directory. `at` is the path of the store in the destination.
fn around(at: &str) -> Around {
    let mut series = Series::new();
    series.memory = None;
    series.write("doc/f", "content");
    let home = series.beside("home");
    fs::create_dir_all(home.join(at).parent().unwrap()).unwrap();
    series.store = home.join(at);
    series.options.cache_dir = Some(home.join("a/cache"));
    series.options.protected = vec![home.join("mine/objects")];
    for path in ["mine/objects/x", "mine/extra", "b/extra"] {
        fs::create_dir_all(home.join(path).parent().unwrap()).unwrap();
        fs::write(home.join(path), "precious").unwrap();
    }
    fs::create_dir_all(home.join("a")).unwrap();
    series.full().whole();
    let other = Series { store: home.join("other/store"), memory: None, ..Series::new() };
    other.write("f", "content");
    fs::create_dir(home.join("other")).unwrap();
    other.full().whole();
    fs::write(home.join("other/extra"), "extra").unwrap();
    Around { series, home }
}

impl Around {
    fn precious(&self) -> Vec<PathBuf> {
        let dirs = [
            &self.series.store,
            &self.home.join("a/cache"),
            &self.home.join("other/store"),
            &self.home.join("mine/objects"),
        ];
        let files = dirs.iter().flat_map(|dir| walkdir::WalkDir::new(dir).follow_root_links(true));
        files
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.extension().is_none_or(|ext| ext != "lock"))
            .collect()
    }

    /// Restores to the destination, first as a dry run. Returns the paths that are reported to stay.
    fn restored(&self) -> Vec<String> {
        let before = self.precious();
        assert!(before.len() > 8, "{before:?}");
        let foretold = restore(&self.series, true, &self.home).partial();
        let report = restore(&self.series, false, &self.home).partial();
        let stay = problem_paths(&report, ProblemKind::Obstructed);
        assert_eq!(problem_paths(&foretold, ProblemKind::Obstructed), stay);
        assert_eq!(counter(&foretold, Counter::Deleted), counter(&report, Counter::Deleted));
        assert_eq!(self.precious(), before);
        self.series.verify(&self.series.options).whole();
        stay
    }
}

/// Extra entries are removed, but not the store of the restore, the cache, another backup's store and
/// protected paths. The directories that contain these stay, and lose their other entries.
#[test]
fn a_restore_does_not_remove_what_it_needs() {
    let around = around("b/c/store");
    let stay = around.restored();
    assert_eq!(stay, ["a/cache", "b/c/store", "mine/objects", "other/store"]);
    for extra in ["b/extra", "mine/extra", "other/extra"] {
        assert!(!around.home.join(extra).exists(), "{extra}");
    }
    assert_eq!(fs::read(around.home.join("doc/f")).unwrap(), b"content");
}

/// Without the temporary directory, no more temporary files can be made. So the directory stays, and loses its other
/// entries.
#[test]
fn a_restore_does_not_remove_its_temporary_directory() {
    const TEST: &str = "a_restore_does_not_remove_its_temporary_directory";
    if !as_ordinary_user(TEST) {
        return;
    }
    if child_role().is_none() {
        // The temporary directory belongs to the whole process, so a child process changes it.
        run(&mut this_test_again(&std::env::current_exe().unwrap(), TEST, "temporary directory"));
        return;
    }
    let series = Series::new();
    series.write("f", "content");
    series.full().whole();
    let extra = series.source.join("extra");
    let extras = ["left", "other/left", "temporary/left", "temporary/deep/left"].map(|name| extra.join(name));
    for path in &extras {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "extra").unwrap();
    }
    set_temporary_directory(&extra.join("temporary"));
    // Files can be made in it, but it cannot be listed. A dry run changes no modes.
    set_mode(&extra.join("temporary"), 0o300);
    for dry_run in [true, false] {
        let report = restore(&series, dry_run, &series.source).partial();
        assert_eq!(problem_paths(&report, ProblemKind::Obstructed), ["extra/temporary"]);
    }
    set_mode(&extra.join("temporary"), 0o700);
    assert_eq!(String::from_utf8(seen(&extra)).unwrap(), ".\n./temporary\n");
    assert_eq!(fs::read(series.source.join("f")).unwrap(), b"content");
}

/// The store is protected under each name: a link that leads to it stays, and so does a directory mounted
/// from it.
#[test]
fn a_restore_does_not_remove_what_leads_to_its_store() {
    let mut around = around("b/c/store");
    symlink("c", around.home.join("b/link")).unwrap();
    around.series.store = around.home.join("b/link/store");
    fs::create_dir_all(around.home.join("d/bound")).unwrap();
    let bound = Mount::bind(&around.home.join("b/c"), &around.home.join("d/bound"));
    let mut expected = vec!["a/cache", "b/c/store", "b/link", "mine/objects", "other/store"];
    if bound.is_some() {
        expected.insert(3, "d/bound");
    }
    assert_eq!(around.restored(), expected);
    assert!(around.home.join("b/link/store").exists());
}

/// An entry is not restored if its path is the store or lies in it, or if a directory above the store would
/// have to go.
#[test]
fn nothing_is_restored_over_the_store() {
    for (entry, stays) in [
        ("b/c/store", "b/c/store"),
        ("b/c/store/tree.state.x", "b/c/store"),
        ("b/c/store/below/f", "b/c/store"),
        ("b/c", "b/c"),
        ("b", "b"),
    ] {
        for overwrite in [Overwrite::Always, Overwrite::Keep] {
            let around = around("b/c/store");
            around.series.write(entry, "of the snapshot");
            around.series.incremental().whole();
            let before = around.precious();
            for delete_extra in [false, true] {
                for dry_run in [true, false] {
                    let options =
                        Options { delete_extra, overwrite, dry_run, ..around.series.options.clone() };
                    let outcome = around.series.restore_with(&options, &around.home, &mut Silent);
                    let stay = problem_paths(&outcome.ok(), ProblemKind::Obstructed);
                    let kept = overwrite == Overwrite::Keep && entry.starts_with(stays) && entry.len() < 4;
                    assert!(kept || stay.iter().any(|path| path == stays), "{entry} {overwrite:?}: {stay:?}");
                    assert_eq!(around.precious(), before, "{entry} {overwrite:?}");
                }
            }
        }
    }
}

/// Another backup's store lies in a directory that the snapshot contains.
#[test]
fn a_directory_of_the_snapshot_that_became_a_store_loses_nothing() {
    let mut series = Series::new();
    series.write("d/f", "content");
    series.snapshot();
    let other = Series { store: series.source.join("d"), memory: None, ..Series::new() };
    other.write("f", "content");
    other.full().whole();
    let before = other.stored();
    let report = restore(&series, false, &series.source).partial();
    assert_eq!(problem_paths(&report, ProblemKind::Obstructed), ["d"]);
    assert_eq!(other.stored(), before);
}

#[test]
fn a_store_is_no_destination() {
    let around = around("b/c/store");
    for inside in ["", "sub"] {
        let dest = around.series.store.join(inside);
        fs::create_dir_all(&dest).unwrap();
        restore(&around.series, false, &dest).refused(Kind::InvalidArg);
    }
    around.series.verify(&around.series.options).whole();
}
