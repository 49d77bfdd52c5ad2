//! Sources that cannot be read or that change, and lost caches and archives. A backup goes on, reports the problem,
//! and never takes a file that it could not see for a deleted file.

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ibt::error::Kind;
use ibt::job::{Cancel, Flow, Observer, Phase, ProblemKind, Progress, Report, Select};
use support::series::problem_paths;
use support::tools::{as_ordinary_user, set_mode, set_temporary_directory};
use support::*;

fn dirty(series: &Series, path: &str) -> bool {
    let entry = stored::entry(&stored::parse(&series.newest("state")), path);
    entry["at"]["dirty"] == true
}

/// Restores the newest snapshot and opens its closed directories, to look inside.
fn restored(series: &Series) -> std::path::PathBuf {
    let dest = series.beside("restored");
    let report = series.restore(Select::Newest, &dest).ok();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    run(tools::command("chmod", ["-R", "u+rwX"]).arg(&dest));
    dest
}

/// The source is removed when the store is listed: the backup has opened the source, and then cannot list it. The
/// backup makes no empty snapshot and does not blame a mount. It returns the error of the listing with the path.
#[test]
fn a_root_that_cannot_be_listed_any_more_is_an_error() {
    for increment in [false, true] {
        let mut series = Series::new();
        if series.is_remote() {
            return; // `EachCall` is a directory
        }
        series.write("file", "content");
        if increment {
            series.snapshot();
        }
        let states =
            |series: &Series| series.stored().into_keys().filter(|name| name.contains(".state.")).count();
        let before = states(&series);
        let source = series.source.clone();
        let mut store = EachCall::new(&series, move |call| {
            if call == "list" && source.exists() {
                fs::remove_dir_all(&source).unwrap();
            }
            Fate::Goes
        });
        let outcome = store.run(&series.options, &Cancel::default(), |store, job| match increment {
            true => ibt::backup::incremental(store, &series.source, job),
            false => ibt::backup::full(store, &series.source, job),
        });
        let error = outcome.refused(Kind::Io);
        assert_eq!((error.os_code, error.op.as_str()), (libc::ENOENT, "list the source"), "{error}");
        assert!(error.to_string().contains(series.source.to_str().unwrap()), "{error}");
        assert_eq!(states(&series), before);
    }
}

/// Calls a function before files are read.
struct BeforeReading<F>(F);

impl<F: FnMut()> Observer for BeforeReading<F> {
    fn progress(&mut self, now: &Progress) -> Flow {
        if now.phase == Phase::Read && now.done_entries == 0 {
            (self.0)();
        }
        Flow::Continue
    }
}

/// Between the walk and the reading, one name of a hard-link set becomes another file. That name gets its own
/// content, and not the content of the set's first stored name. With `in_place`, the content of the set's inode
/// changes as well.
#[test]
fn a_further_name_of_a_set_is_looked_at_again() {
    for in_place in [false, true] {
        let series = Series::new();
        let (first, second, third) =
            (series.write("a", "one"), series.source.join("b"), series.source.join("c"));
        for name in [&second, &third] {
            fs::hard_link(&first, name).unwrap();
        }
        let mut change = BeforeReading(|| {
            fs::remove_file(&second).unwrap();
            fs::write(&second, "two").unwrap();
            if in_place {
                fs::write(&first, "1").unwrap();
            }
        });
        let outcome = series.run(&series.options, &Cancel::default(), &mut change, |store, job| {
            ibt::backup::full(store, &series.source, job)
        });
        outcome.ok();
        let dest = restored(&series);
        assert_eq!(fs::read(dest.join("b")).unwrap(), b"two");
        for name in ["a", "c"] {
            assert_eq!(
                fs::read(dest.join(name)).unwrap(),
                fs::read(series.source.join(name)).unwrap(),
                "{name}"
            );
        }
        assert_eq!(fs::metadata(dest.join("a")).unwrap().nlink(), 2);
    }
}

/// Changes the mode of a set's first name after that name was stored.
struct Touch<'p>(&'p Path);

impl Observer for Touch<'_> {
    fn change(&mut self, _: u32, _: Option<&ibt::entry::Entry>, after: Option<&ibt::entry::Entry>) -> Flow {
        if after.is_some_and(|entry| entry.path.as_bytes() == b"a") {
            set_mode(self.0, 0o640);
        }
        Flow::Continue
    }
}

/// A change of the set's inode during the backup, for example another link, does not separate the names. It costs at
/// most one more copy of the content.
#[test]
fn names_of_a_set_stay_linked_when_its_inode_changes() {
    let series = Series::new();
    let first = series.write("a", noise(1, 300_000));
    for name in ["b", "c", "d", "e"] {
        fs::hard_link(&first, series.source.join(name)).unwrap();
    }
    let outcome = series.run(&series.options, &Cancel::default(), &mut Touch(&first), |store, job| {
        ibt::backup::full(store, &series.source, job)
    });
    outcome.ok();
    let dest = restored(&series);
    assert_eq!(fs::metadata(dest.join("a")).unwrap().nlink(), 5);
    assert!(fs::metadata(series.newest("full")).unwrap().len() < 700_000);
}

#[test]
fn an_unreadable_file_is_carried_forward() {
    if !as_ordinary_user("an_unreadable_file_is_carried_forward") {
        return;
    }
    let mut series = Series::new();
    let secret = series.write("secret", "as it was");
    series.write("other", "one");
    series.snapshot();
    set_mode(&secret, 0);
    series.write("other", "two");
    let report = series.incremental().partial();
    assert_eq!(problem_paths(&report, ProblemKind::Unreadable), ["secret"]);
    assert!(dirty(&series, "secret") && !dirty(&series, "other"));
    let dest = restored(&series);
    assert_eq!(fs::read(dest.join("secret")).unwrap(), b"as it was");
    assert_eq!(fs::read(dest.join("other")).unwrap(), b"two");
    series::remove(&dest);

    // The problem is reported again while it lasts. When the file can be read again, the snapshot is whole.
    let report = series.incremental().partial();
    assert_eq!(problem_paths(&report, ProblemKind::Unreadable), ["secret"]);
    set_mode(&secret, 0o600);
    series.snapshot();
    assert!(!dirty(&series, "secret"));
    series.assert_newest_is_the_source();
}

#[test]
fn a_file_never_readable_is_listed_and_left_out() {
    if !as_ordinary_user("a_file_never_readable_is_listed_and_left_out") {
        return;
    }
    let series = Series::new();
    set_mode(&series.write("secret", "nobody knows"), 0);
    series.write("other", "one");
    let report = series.full().partial();
    assert_eq!(problem_paths(&report, ProblemKind::Unreadable), ["secret"]);
    let problem = &report.problems[0];
    assert_eq!(problem.os_code, libc::EACCES, "{problem:?}");
    let dest = restored(&series);
    assert_eq!(facts(&dest).keys().collect::<Vec<_>>(), [&b""[..], b"other"]);
}

#[test]
fn an_unreadable_directory_is_carried_forward_with_all_below() {
    if !as_ordinary_user("an_unreadable_directory_is_carried_forward_with_all_below") {
        return;
    }
    let mut series = Series::new();
    series.write("closed/a", noise(1, 50_000));
    series.write("closed/deep/b", "below");
    series.write("closed-not", "beside");
    series.snapshot();
    set_mode(&series.source.join("closed"), 0);
    let report = series.incremental().partial();
    assert!(problem_paths(&report, ProblemKind::Unreadable).contains(&"closed".to_string()));
    assert_eq!(report.counters.get(ibt::job::Counter::Deleted), 0);
    for path in ["closed/a", "closed/deep", "closed/deep/b"] {
        assert!(dirty(&series, path), "{path}");
    }
    let dest = restored(&series);
    assert_eq!(fs::read(dest.join("closed/a")).unwrap(), noise(1, 50_000));
    assert_eq!(fs::read(dest.join("closed/deep/b")).unwrap(), b"below");
    series::remove(&dest);
    set_mode(&series.source.join("closed"), 0o755);
    fs::remove_file(series.source.join("closed/deep/b")).unwrap();
    series.snapshot();
    series.assert_newest_is_the_source();
}

#[test]
fn stopping_at_file_errors_stops_at_an_unreadable_file() {
    if !as_ordinary_user("stopping_at_file_errors_stops_at_an_unreadable_file") {
        return;
    }
    let mut series = Series::new();
    let secret = series.write("secret", "as it was");
    series.snapshot();
    set_mode(&secret, 0);
    series.options.on_file_error = ibt::job::OnFileError::Stop;
    let before = series.stored();
    let error = series.incremental().refused(ibt::error::Kind::Io);
    assert!(error.to_string().contains("secret"), "{error}");
    assert_eq!(series.stored(), before);
}

/// Sets a flag when it is dropped, so that a failing test does not wait for its thread for ever.
struct SetWhenDone<'a>(&'a AtomicBool);

impl Drop for SetWhenDone<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Backs up `f` while a thread repeats `change`. Returns the report of the backup.
fn backup_during(series: &Series, change: impl Fn(&fs::File, u64) + Sync) -> Report {
    let path = series.source.join("f");
    let stop = AtomicBool::new(false);
    let started = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                change(&file, round);
                started.store(true, Ordering::Relaxed);
                round += 1;
                std::thread::sleep(Duration::from_micros(300));
            }
        });
        while !started.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let _stop = SetWhenDone(&stop);
        let outcome = if series.points.is_empty() { series.full() } else { series.incremental() };
        outcome.ok()
    })
}

fn assert_stored_dirty_but_consistent(series: &Series, report: &Report) {
    assert!(report.is_partial(), "the changes were not noticed");
    assert_eq!(problem_paths(report, ProblemKind::Changed), ["f"]);
    assert!(dirty(series, "f"));
    let entry = stored::entry(&stored::parse(&series.newest("state")), "f");
    let dest = restored(series);
    let bytes = fs::read(dest.join("f")).unwrap();
    assert_eq!(Some(bytes.len() as u64), entry["size"].as_u64());
    assert_eq!(stored::b3sum(&bytes), entry["hash"].as_str().unwrap());
    series::remove(&dest);
}

#[test]
fn a_file_rewritten_while_it_is_read_is_stored_dirty() {
    let mut series = Series::new();
    series.write("f", noise(1, 12_000_000));
    series.write("other", "still");
    let rewrite =
        |file: &fs::File, round| file.write_all_at(&noise(round, 100), (round * 7919) % 11_000_000).unwrap();
    let report = backup_during(&series, rewrite);
    assert_stored_dirty_but_consistent(&series, &report);
    series.keep(&report);
    let report = backup_during(&series, rewrite);
    assert_stored_dirty_but_consistent(&series, &report);
    // The file does not change any more. It is read again, although nothing has changed since.
    series.snapshot();
    assert!(!dirty(&series, "f"));
    series.assert_newest_is_the_source();
}

#[test]
fn a_file_growing_while_it_is_read_is_stored_dirty() {
    let series = Series::new();
    series.write("f", noise(1, 12_000_000));
    let report = backup_during(&series, |mut file, round| {
        let end = fs::metadata(series.source.join("f")).unwrap().len();
        file.write_all_at(&noise(round, 500), end).unwrap();
        file.flush().unwrap();
    });
    assert_stored_dirty_but_consistent(&series, &report);
}

#[test]
fn a_file_shrinking_while_it_is_read_is_stored_dirty() {
    let series = Series::new();
    series.write("f", noise(1, 12_000_000));
    let shrink = |file: &fs::File, round: u64| {
        file.set_len(11_000_000 - (round % 2) * 1_000_000).unwrap();
        file.set_len(12_000_000).unwrap();
    };
    // On a busy machine, an attempt may fall between two changes.
    let noticed = (0..20).find_map(|_| Some(backup_during(&series, shrink)).filter(Report::is_partial));
    let report = noticed.expect("the changes were not noticed");
    assert_eq!(problem_paths(&report, ProblemKind::Changed), ["f"]);
    restored(&series);
}

/// Files appear and disappear during the walk. The backup goes on, and older snapshots stay whole.
#[test]
fn a_restless_directory_is_backed_up() {
    let mut series = Series::new();
    for index in 0..200 {
        series.write(&format!("d/{index}"), noise(index, 2000));
    }
    series.snapshot();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0u64;
            while !stop.load(Ordering::Relaxed) {
                let path = series.source.join(format!("d/{}", round * 31 % 200));
                let _ = fs::remove_file(&path);
                let _ = fs::write(&path, noise(round, 2000));
                round += 1;
            }
        });
        let _stop = SetWhenDone(&stop);
        for _ in 0..5 {
            series.incremental().ok();
            let dest = series.beside("restored");
            let report = series.restore(Select::Newest, &dest).ok();
            assert!(report.problems.is_empty(), "{:?}", report.problems);
            series::remove(&dest);
        }
    });
    series.assert_every_point_restores();
    series.snapshot();
    series.assert_newest_is_the_source();
}

/// A series with one large file that has just grown a little.
fn one_grown_file() -> Series {
    let mut series = Series::new();
    let mut bytes = noise(1, 300_000);
    series.write("f", &bytes);
    series.write("untouched", noise(2, 300_000));
    series.snapshot();
    bytes.extend_from_slice(b"and a little more");
    series.write("f", &bytes);
    series
}

#[track_caller]
fn assert_increment_is_small_and_right(series: &mut Series) {
    let (_, added) = series.increment();
    assert!(!added.contains_key("created"), "{added:?}");
    assert!(added["updated"] < 10_000, "{added:?}");
    series.assert_every_point_restores();
}

#[test]
fn an_increment_without_its_cache_is_as_small() {
    let mut series = one_grown_file();
    let _ = fs::remove_dir_all(series.cache());
    assert_increment_is_small_and_right(&mut series);
}

#[test]
fn an_increment_with_a_damaged_cache_is_as_small() {
    for damage in [spoil, cut, empty] {
        let mut series = one_grown_file();
        let mut spoilt = 0;
        for entry in walkdir::WalkDir::new(series.cache()).into_iter().filter_map(Result::ok) {
            if entry.file_type().is_file() {
                damage(entry.path());
                spoilt += 1;
            }
        }
        assert!(spoilt > 0, "the cache holds nothing");
        assert_increment_is_small_and_right(&mut series);
    }
}

fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes.get_mut(middle).into_iter().for_each(|byte| *byte ^= 0x55);
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn empty(path: &Path) {
    fs::write(path, "").unwrap();
}

#[test]
fn an_increment_with_a_read_only_cache_is_as_small() {
    if !as_ordinary_user("an_increment_with_a_read_only_cache_is_as_small") {
        return;
    }
    let mut series = one_grown_file();
    run(tools::command("chmod", ["-R", "a-w"]).arg(series.cache()));
    assert_increment_is_small_and_right(&mut series);
    run(tools::command("chmod", ["-R", "u+w"]).arg(series.cache()));
}

#[test]
fn an_increment_whose_cache_cannot_be_a_directory_is_as_small() {
    let mut series = one_grown_file();
    let _ = fs::remove_dir_all(series.cache());
    fs::write(series.cache(), "a file stands here").unwrap();
    assert_increment_is_small_and_right(&mut series);
}

/// SigVaults are missing in the cache and in the store. The backup makes the signature again from the archives.
#[test]
fn an_increment_without_any_sigvault_is_right() {
    let series = one_grown_file();
    let _ = fs::remove_dir_all(series.cache());
    series.lose("sigvault");
    series.incremental().ok();
    series.assert_newest_is_the_source();
}

#[test]
fn an_increment_stores_again_what_an_archive_lost_held() {
    let series = one_grown_file();
    series.lose("full");
    series.incremental().ok();
    series.assert_newest_is_the_source();
    let lost = series.restore(Select::Exactly(series.points[0].stamp), &series.beside("lost")).partial();
    assert_eq!(problem_paths(&lost, ProblemKind::Missing), ["f", "untouched"]);
}

#[test]
fn an_increment_stores_again_what_lost_deltas_held() {
    let mut series = one_grown_file();
    series.increment();
    series.lose("updated");
    series.incremental().ok();
    series.assert_newest_is_the_source();
    series.assert_point_restores(0);
}

/// Missing space for temporary files says nothing about stored files, so the newest snapshot does not count as
/// damaged.
#[test]
fn without_room_for_temporary_files_nothing_counts_as_damaged() {
    if let Some(room) = tools::child_role() {
        let mut series = Series::new();
        let (source, store) = room.split_once(':').unwrap();
        (series.source, series.store) = (source.into(), store.into());
        series.options.codec = ibt::job::Codec::None;
        // From here on, no temporary file can be made.
        set_temporary_directory(Path::new("/nonexistent"));
        for outcome in [series.incremental(), series.full()] {
            let error = outcome.refused(Kind::Io);
            assert!(error.is_own && error.op.contains("temporary file"), "{error}");
        }
        return;
    }
    let mut series = Series::new();
    series.options.codec = ibt::job::Codec::None;
    // More entries than a state's document may hold in memory.
    for number in 0..20_000 {
        series.write(&format!("{number:0>240}"), "");
    }
    series.full().whole();
    let room = format!("{}:{}", series.source.display(), series.store.display());
    let states = || series.stored().into_keys().filter(|name| name.contains(".state.")).count();
    let binary = std::env::current_exe().unwrap();
    let test = "without_room_for_temporary_files_nothing_counts_as_damaged";
    tools::run(&mut tools::this_test_again(&binary, test, &room));
    assert_eq!(states(), 1);
}
