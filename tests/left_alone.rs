//! Restoring in place and removing what is extra: what the backup did not store, whatever the reason, stays.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use ibt::error::Kind;
use ibt::job::{Cancel, Counter, Options, Overwrite, ProblemKind, Select, Silent};
use proptest::collection::vec;
use proptest::prelude::*;
use support::series::{counter, problem_paths, Outcome, KEY};
use support::tools::{as_ordinary_user, set_mode, Mount};
use support::*;

fn restore(series: &Series, dry_run: bool, dest: &Path) -> Outcome {
    let options = Options {
        delete_extra: true,
        overwrite: Overwrite::IfDifferent,
        dry_run,
        excludes: Vec::new(),
        ..series.options.clone()
    };
    series.run(&options, &Cancel::default(), &mut Silent, |store, job| {
        ibt::restore::restore(store, KEY, dest, job)
    })
}

/// Something that a backup does not store.
#[derive(Clone, Debug)]
enum Odd {
    /// Matched by a pattern.
    Excluded,
    ExcludedDir,
    Socket,
    /// A file without any permission.
    Closed,
    /// A directory that can be entered and not listed.
    Unlisted,
    /// A directory that can be listed and not entered.
    Locked,
    Cache,
}

fn odd() -> impl Strategy<Value = (String, Odd)> {
    use Odd::*;
    let what = prop::sample::select(vec![Excluded, ExcludedDir, Socket, Closed, Unlisted, Locked, Cache]);
    ("[abc](/[abc]){0,2}", what)
}

/// Makes something odd at `path`; gives what must live as long as it.
fn make(root: &Path, path: &str, odd: &Odd) -> Option<UnixListener> {
    let path = root.join(path);
    let _ = fs::create_dir_all(path.parent().unwrap());
    let filled = |dir: &Path, name: &str| {
        let _ = fs::create_dir(dir).and_then(|()| fs::write(dir.join(name), "precious"));
    };
    match odd {
        Odd::Excluded => drop(fs::write(path.with_extension("o"), "precious")),
        Odd::ExcludedDir => filled(&path.with_extension("o"), "f"),
        Odd::Socket => return UnixListener::bind(path).ok(),
        Odd::Closed => {
            if fs::File::create_new(&path).is_ok() {
                fs::write(&path, "precious").unwrap();
                set_mode(&path, 0);
            }
        }
        Odd::Unlisted | Odd::Locked => {
            filled(&path, "f");
            if path.is_dir() {
                set_mode(&path, if matches!(odd, Odd::Locked) { 0o400 } else { 0o300 });
            }
        }
        Odd::Cache => {
            filled(&path, "cached");
            let tag = "Signature: 8a477f597d28d172789f06886806bc55";
            let _ = fs::write(path.join("CACHEDIR.TAG"), tag);
        }
    }
    None
}

/// The paths of all that can be seen of a tree.
fn seen(root: &Path) -> Vec<u8> {
    tools::output(tools::command("find", ["."]).current_dir(root)).stdout
}

/// However a source looks and whatever a backup is told to leave out of it: restoring in place what was
/// backed up a moment ago removes nothing, and a dry run says so.
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

/// More unreadable files than a state lists problems, in a directory that has more of them than are listed by
/// name, and in one that has few.
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
    // One made from the store alone knows the same.
    series.consolidate().ok();
    restore(&series, false, &series.source).partial();
    assert!(names.iter().chain(&few).all(|path| path.exists()));
}

/// What was left out because the caller wanted it so is a note, one for each directory.
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

/// Of another file system that was not entered nothing is extra, wherever it was mounted then.
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

/// A series whose store and cache lie in its source.
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
    series.run(&series.options, &Cancel::default(), &mut Silent, |store, job| {
        ibt::maintain::compare(store, KEY, &series.source, job)
    })
}

/// A store within its source does not store itself, nor the cache, whatever name it has there.
#[test]
fn a_backup_leaves_its_own_store_and_cache_out() {
    let mut series = with_store_inside();
    series.full().whole();
    // By a link, as the command line may name it.
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
    // The parent of store and cache changes with every backup: its time is its own.
    series.restore(Select::Newest, &series.beside("restored")).whole();
    assert!(!series.beside("restored/home/store").exists());
}

/// A snapshot that has the store in it, as one of another store may, is one whose next has not.
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
    assert!(!fs::read_dir(&series.source)
        .unwrap()
        .any(|entry| { entry.unwrap().file_name().to_string_lossy().contains(".state.") }));
}

/// What the caller protects is left out like the store: only the caller knows where a storage of its own lies.
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
