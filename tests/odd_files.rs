//! Files under the names of a store that are no regular files: FIFOs, devices, symbolic links, sockets and
//! directories. The library opens none of them and takes none for a backup file. Messages name the kind of file.

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use ibt::error::{Error, Kind};
use ibt::inspect;
use ibt::job::{Cancel, Job, Level, Observer, Options, ProblemKind, Report, Select, Silent};
use ibt::retain;
use ibt::store::{DirStore, LockMode, Store, lock};
use support::series::{KEY, refused, remove};
use support::tools::{child_role, command, faketime, run, this_test_again};
use support::{Outcome, Series, as_nobody, is_root, skip};

type Operation<'a> = &'a dyn Fn(&mut dyn Store, &mut Job) -> Result<(), Error>;
type Writer = (&'static str, fn(&Series) -> Outcome);

/// The word for a kind of file in messages, and a function that makes such a file.
type Oddity = (&'static str, fn(&Path));

fn oddities() -> Vec<Oddity> {
    let mut oddities: Vec<Oddity> = vec![
        ("FIFO", |path| drop(run(command("mkfifo", [""; 0]).arg(path)))),
        ("symbolic link", |path| symlink("/dev/zero", path).unwrap()),
        ("directory", |path| fs::create_dir(path).unwrap()),
        ("socket", |path| {
            // The path of a socket may have at most 107 bytes.
            let near = tempfile::tempdir().unwrap();
            UnixListener::bind(near.path().join("s")).unwrap();
            run(command("mv", [""; 0]).arg(near.path().join("s")).arg(path));
        }),
    ];
    if is_root() {
        oddities.push(("character device", |path| {
            drop(run(command("mknod", [""; 0]).arg(path).args(["c", "1", "5"])))
        }));
    } else {
        skip("only root can make a device under a name of the store");
    }
    oddities
}

#[test]
fn what_stands_under_an_archive_s_name_is_told_and_never_opened() {
    let series = Series::with_two_snapshots();
    for (word, plant) in oddities() {
        for kind in ["full", "updated", "sigvault"] {
            let fork = series.fork();
            let path = fork.twin.newest(kind);
            fs::remove_file(&path).unwrap();
            plant(&path);
            let report = fork.twin.verify(&fork.twin.options).partial();
            let told = format!("it is a {word}, not a regular file");
            assert!(report.problems.iter().any(|problem| problem.message.contains(&told)), "{report:#?}");
            let restored = fork.twin.restore(Select::Newest, &fork.twin.beside("out")).ok();
            assert_eq!(restored.is_partial(), kind != "sigvault", "{word} {kind}");
            fork.twin.list().partial();
            fork.twin.incremental().ok();
            fork.twin.full().ok();
            fork.twin.assert_newest_is_the_source();
        }
    }
}

#[test]
fn what_stands_under_a_state_s_name_is_no_snapshot() {
    let series = Series::with_two_snapshots();
    for (word, plant) in oddities() {
        let fork = series.fork();
        let path = fork.twin.newest("state");
        fs::remove_file(&path).unwrap();
        plant(&path);
        let told = |report: Report, snapshots: usize| {
            let [problem] = &report.problems[..] else { panic!("{word}: {report:#?}") };
            assert_eq!(problem.file.as_deref(), path.file_name().unwrap().to_str());
            assert_eq!(problem.snapshot, Some(series.points[1].stamp));
            assert!(problem.message.contains(&format!("it is a {word}, ")), "{}", problem.message);
            assert_eq!(report.snapshots.len(), snapshots, "{word}");
        };
        let twin = &fork.twin;
        told(twin.list().partial(), 1);
        told(twin.silently(&twin.options, |store, job| inspect::list(store, None, job)).partial(), 1);
        told(twin.verify(&twin.options).partial(), 1);
        told(twin.silently(&twin.options, |store, job| inspect::verify(store, None, job)).partial(), 1);
        // The other snapshot alone is whole.
        let first = twin.selecting(Select::Exactly(series.points[0].stamp));
        twin.verify(&first).whole();
        twin.silently(&first, |store, job| inspect::list(store, Some(KEY), job)).whole();
        fork.assert_point_restores(0);
        fork.twin.incremental().ok();
        fork.twin.assert_newest_is_the_source();
    }
}

/// Collects the messages of level `Warn` and above.
#[derive(Default)]
struct Log(String);

impl Observer for Log {
    fn wants_changes(&self) -> bool {
        false
    }
    fn log(&mut self, level: Level, message: &str) {
        if level <= Level::Warn {
            self.0 += message;
        }
    }
}

/// Runs every operation that only reads. Each must succeed and must log that it works without a lock, and why.
fn assert_readers_go_on(series: &Series, why: &str) {
    let dest = series.beside("out");
    let readers: [(&str, Operation); 6] = [
        ("restore", &|store, job| ibt::restore::restore(store, KEY, &dest, job)),
        ("list", &|store, job| inspect::list(store, Some(KEY), job)),
        ("verify", &|store, job| inspect::verify(store, None, job)),
        ("browse", &|store, job| inspect::Snapshot::open(store, KEY, job).map(drop)),
        ("compare", &|store, job| inspect::compare(store, KEY, &series.source, job)),
        ("rebuild", &|store, job| retain::rebuild_cache(store, KEY, job)),
    ];
    for (name, reader) in readers {
        let mut log = Log::default();
        let report = series
            .run(&series.options, &Cancel::default(), &mut log, |store, job| reader(store, job))
            .whole();
        let [note] = &report.problems[..] else { panic!("{name}: {report:#?}") };
        assert!(note.kind == ProblemKind::Unlocked && note.message.contains(why), "{name}: {note:#?}");
        assert!(log.0.contains(why) && log.0.contains("without a lock"), "{name}: {}", log.0);
    }
    remove(&dest);
}

fn writers() -> [Writer; 4] {
    [
        ("full", Series::full),
        ("increment", Series::incremental),
        ("consolidate", Series::consolidate),
        ("prune", |series| {
            let options =
                Options { allow_empty: true, ..series.selecting(Select::Exactly(series.points[0].stamp)) };
            series.prune(&options)
        }),
    ]
}

#[test]
fn what_stands_under_a_lock_s_name_holds_up_no_reader_and_is_told_to_writers() {
    let series = Series::with_two_snapshots();
    for (word, plant) in oddities() {
        let path = series.store.join(format!("{KEY}.lock"));
        fs::remove_file(&path).unwrap();
        plant(&path);
        assert_readers_go_on(&series, word);
        for (name, writer) in writers() {
            let error = refused(&series, Kind::Unsupported, writer);
            let told = error.to_string();
            assert!(
                told.contains(word) && told.contains(".lock") && told.contains("--no-lock"),
                "{name}: {told}"
            );
        }
        let mut fork = series.fork();
        fork.twin.options.allow_unlocked = true;
        fork.twin.incremental().whole();
        fork.twin.assert_newest_is_the_source();
        let is_dir = fs::symlink_metadata(&path).unwrap().is_dir();
        if is_dir {
            fs::remove_dir(&path).unwrap()
        } else {
            fs::remove_file(&path).unwrap()
        }
        fs::write(&path, "").unwrap();
    }
}

#[test]
fn a_waiting_prune_goes_before_others_that_come_later() {
    let series = Series::with_two_snapshots();
    let open = || DirStore::open(&series.store);
    let first = open().lock(KEY, LockMode::Read).unwrap();
    // A prune that does not wait leaves no trace.
    assert_eq!(open().lock(KEY, LockMode::Delete).err().unwrap().kind, Kind::Busy);
    let second = open().lock(KEY, LockMode::Read).unwrap();
    let mut turn = open().take_turn(KEY).unwrap().unwrap();
    assert!(open().take_turn(KEY).unwrap().is_none(), "two prunes have the turn");
    turn.keep_others_out(true);
    for mode in [LockMode::Read, LockMode::Write] {
        let error = open().lock(KEY, mode).err().unwrap();
        assert!(
            error.kind == Kind::Busy && error.to_string().contains("a prune of this key waits"),
            "{error}"
        );
    }
    turn.keep_others_out(false);
    open().lock(KEY, LockMode::Read).unwrap();
    open().lock(KEY, LockMode::Write).unwrap();
    turn.keep_others_out(true);
    drop((first, second));
    let prune = open().lock(KEY, LockMode::Delete).unwrap();
    drop((prune, turn));
    open().lock(KEY, LockMode::Read).unwrap();
}

#[test]
fn a_prune_that_waits_gets_the_key_however_many_read_and_write() {
    let series = Series::with_two_snapshots();
    let options = Options { lock_wait_ms: 20_000, ..series.options.clone() };
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                // Each reader takes its next lock before it gives up its last one, so the key is never free.
                let mut held = None;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let next = DirStore::open(&series.store).lock(KEY, LockMode::Read).ok();
                    drop(std::mem::replace(&mut held, next));
                    std::thread::sleep(std::time::Duration::from_millis(3));
                }
                drop(held);
            });
        }
        // One backup follows the other. Sometimes the next one waits while the last one still has the key.
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let held = DirStore::open(&series.store).lock(KEY, LockMode::Write).ok();
                    std::thread::sleep(std::time::Duration::from_millis(3));
                    drop(held);
                }
            });
        }
        std::thread::sleep(std::time::Duration::from_millis(30));
        let mut silent = Silent;
        let mut job = Job::new(&options, &Cancel::default(), &mut silent);
        let locked = lock(&mut DirStore::open(&series.store), KEY, LockMode::Delete, &mut job);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        locked.unwrap();
    });
}

/// Two prunes wait, so that one prune could keep readers out while the other lets them in.
#[test]
fn readers_get_in_while_prunes_wait_for_one_that_takes_long() {
    let series = Series::with_two_snapshots();
    let options = |lock_wait_ms| Options { lock_wait_ms, ..series.options.clone() };
    let long = DirStore::open(&series.store).lock(KEY, LockMode::Read).unwrap();
    let take = |mode, wait, cancel: &Cancel| {
        let (options, mut silent) = (options(wait), Silent);
        let mut job = Job::new(&options, cancel, &mut silent);
        lock(&mut DirStore::open(&series.store), KEY, mode, &mut job).map(drop).map_err(|error| error.kind)
    };
    let stop = Cancel::default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(take(LockMode::Delete, -1, &stop), Err(Kind::Cancelled)));
        }
        let kept_out = || take(LockMode::Read, 0, &Cancel::default()) == Err(Kind::Busy);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let until = |wanted: bool| {
            let mut is_so = kept_out() == wanted;
            while !is_so && std::time::Instant::now() < deadline {
                std::thread::sleep(std::time::Duration::from_millis(5));
                is_so = kept_out() == wanted;
            }
            is_so
        };
        let seen = [until(true), until(false), until(true)];
        let waited = take(LockMode::Read, 60_000, &Cancel::default());
        stop.request();
        assert_eq!((seen, waited), ([true; 3], Ok(())));
    });
    drop(long);
}

#[test]
fn a_store_that_is_not_there_is_not_found() {
    let series = Series::new();
    series.write("a", "a");
    let dest = series.beside("out");
    let operations: [Operation; 8] = [
        &|store, job| ibt::restore::restore(store, KEY, &dest, job),
        &|store, job| inspect::list(store, None, job),
        &|store, job| inspect::list(store, Some(KEY), job),
        &|store, job| inspect::verify(store, None, job),
        &|store, job| inspect::Snapshot::open(store, KEY, job).map(drop),
        &|store, job| inspect::compare(store, KEY, &series.source, job),
        &|store, job| retain::consolidate(store, KEY, job),
        &|store, job| retain::rebuild_cache(store, KEY, job),
    ];
    for operation in operations {
        let error = refused(&series, Kind::NotFound, |series| {
            series.silently(&series.options, |store, job| operation(store, job))
        });
        assert_eq!(error.path.as_deref(), series.store.to_str().map(str::as_bytes), "{error}");
    }
    let prune = series.selecting(Select::Exactly(ibt::stamp::Stamp::from_time(Default::default())));
    refused(&series, Kind::NotFound, |series| series.prune(&prune));
}

/// Temporary files that killed runs leave in a store and in a cache.
#[test]
fn drafts_that_nobody_writes_are_swept_and_others_stay() {
    let mut series = Series::with_two_snapshots();
    let root = series.cache();
    let hex = |digit: &str| digit.repeat(32);
    let abandoned_series = root.join(hex("a"));
    let foreign = root.join("pictures");
    [&abandoned_series, &foreign].iter().for_each(|dir| fs::create_dir(dir).unwrap());
    let killed = abandoned_series.join(format!(".ibt-tmp-{}", hex("0")));
    let holding = root.join(hex("b"));
    fs::create_dir(&holding).unwrap();
    let written = holding.join(format!(".ibt-tmp-{}", hex("1")));
    let other = foreign.join(format!(".ibt-tmp-{}", hex("2")));
    [&killed, &written, &other].iter().for_each(|path| fs::write(path, "x").unwrap());
    let old = series.store.join(".ibt-tmp-other.full.20200101T000000.000000Z.tar.zst");
    let young = series.store.join(".ibt-tmp-other.full.20200101T000000.000001Z.tar.zst");
    let held_old = series.store.join(".ibt-tmp-other.full.20200101T000000.000002Z.tar.zst");
    [&old, &young, &held_old].iter().for_each(|path| fs::write(path, "x").unwrap());
    let hold = |path: &Path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        assert!(ibt::platform::try_lock(&file, ibt::platform::LockPart::Key, true).unwrap());
        file
    };
    let held = (hold(&written), hold(&held_old));
    series.write("c", "c");
    series.snapshot();
    assert!(!killed.exists() && !abandoned_series.exists(), "a killed run's draft stays in the cache");
    assert!(written.exists() && other.exists());
    assert!(old.exists() && young.exists() && held_old.exists(), "drafts of another key that are young");
    drop(held);
    series.write("c", "cc");
    series.snapshot();
    assert!(!written.exists() && other.exists());
}

/// A young temporary file that no process has locked may belong to a run that is still active. Only a caller with the
/// lock of its key knows that the run was killed. A sealed file is still held.
#[test]
fn young_drafts_are_swept_where_their_key_is_locked_alone() {
    let series = Series::with_two_snapshots();
    let name = |key: &str, micros: u32| format!("{key}.full.20200101T000000.00000{micros}Z.tar.zst");
    let young = series.store.join(format!(".ibt-tmp-{}", name(KEY, 0)));
    let other = series.store.join(format!(".ibt-tmp-{}", name("other", 0)));
    let unparsable = series.store.join(".ibt-tmp-of-another-version");
    [&young, &other, &unparsable].iter().for_each(|path| fs::write(path, "x").unwrap());
    // No run has made this directory, whose name is that of another part.
    fs::create_dir(series.store.join(format!(".ibt-tmp-{}.00002", name(KEY, 0)))).unwrap();
    let open = || DirStore::open(&series.store);
    let mut drafts: Vec<_> = [1, 2].iter().map(|at| open().create(&name(KEY, *at)).unwrap()).collect();
    drafts[1].write(b"x").unwrap();
    drafts[1].seal().unwrap();
    assert_eq!(open().sweep_drafts(None).unwrap(), [""; 0], "nothing is locked");
    assert_eq!(open().sweep_drafts(Some("another")).unwrap(), [""; 0]);
    assert_eq!(open().sweep_drafts(Some(KEY)).unwrap(), [young.file_name().unwrap().to_str().unwrap()]);
    assert!(other.exists() && unparsable.exists());
    for draft in drafts {
        draft.publish().unwrap();
    }
}

/// In a sticky directory, nobody else can remove the file of a user.
#[test]
fn a_draft_that_cannot_be_removed_is_noted() {
    if !is_root() {
        return skip("only root can give a file to another user");
    }
    let series = as_nobody(Series::with_two_snapshots);
    std::os::unix::fs::chown(&series.store, Some(0), Some(0)).unwrap();
    fs::set_permissions(&series.store, fs::Permissions::from_mode(0o1777)).unwrap();
    let draft = format!(".ibt-tmp-{KEY}.full.20200101T000000.000000Z.tar.zst");
    fs::write(series.store.join(&draft), "x").unwrap();
    let report = as_nobody(|| series.incremental().whole());
    let notes: Vec<_> = report.problems.iter().map(|note| (note.kind, note.file.as_deref())).collect();
    assert_eq!(notes, [(ProblemKind::Leftover, Some(&*draft))]);
    assert!(report.problems[0].message.contains("no snapshot needs it"), "{:?}", report.problems);
    assert!(series.store.join(&draft).exists());
}

/// An old temporary file may belong to a slow writer. It goes only if nobody holds it, or another part of the same
/// run's archives. If this process cannot see locks, it goes after one day.
#[test]
fn old_drafts_of_other_keys_are_swept_unless_somebody_holds_them() {
    let test = "old_drafts_of_other_keys_are_swept_unless_somebody_holds_them";
    if let Some(dir) = child_role() {
        let swept = DirStore::open(&dir).sweep_drafts(Some(KEY)).unwrap();
        return println!("swept: {}", swept.join(" "));
    }
    let Some(faketime) = faketime() else { return skip("there is no libfaketime here") };
    let dir = tempfile::tempdir().unwrap();
    let draft = |at: &str| format!(".ibt-tmp-other.full.20200101T000000.00000{at}");
    let killed = ["0Z.tar.zst", "0Z.tar.zst.00002"].map(draft).join(" ");
    let at_work = ["1Z.tar.zst", "1Z.tar.zst.00002"].map(draft);
    let drafts = killed.split(' ').chain(at_work.iter().map(String::as_str));
    drafts.for_each(|draft| fs::write(dir.path().join(draft), "x").unwrap());
    // A backup of the ancestor, of a directory whose name begins as the names of drafts do.
    let ancestor = dir.path().join(".ibt-tmp-docs.full.2013-12-15T10:30:05.001200.tgz");
    fs::write(&ancestor, "x").unwrap();
    let held = fs::File::options().write(true).open(dir.path().join(&at_work[1])).unwrap();
    assert!(ibt::platform::try_lock(&held, ibt::platform::LockPart::Key, true).unwrap());
    for (clock, expected) in [("+23h", ""), ("+25h", &*killed)] {
        let binary = std::env::current_exe().unwrap();
        let mut child = this_test_again(&binary, test, dir.path().to_str().unwrap());
        child.envs([("LD_PRELOAD", &*faketime), ("FAKETIME", clock), ("NO_FAKE_STAT", "1")]);
        let said = String::from_utf8(run(&mut child)).unwrap();
        let swept = said.lines().find_map(|line| line.split_once("swept:")).expect("an answer").1;
        let mut swept: Vec<_> = swept.split_whitespace().collect();
        swept.sort_unstable();
        assert_eq!(swept.join(" "), expected, "{clock}");
    }
    assert!(at_work.iter().all(|draft| dir.path().join(draft).exists()) && ancestor.exists());
}

#[test]
fn a_relative_store_stays_where_it_was_opened() {
    // The current directory belongs to the whole process, so a child process changes it.
    if let Some(dir) = child_role() {
        std::env::set_current_dir(&dir).unwrap();
        let mut store = DirStore::open("store");
        std::env::set_current_dir("/").unwrap();
        let options = Options { cache_dir: Some(Path::new(&dir).join("cache")), ..Options::default() };
        let (cancel, mut silent) = (Cancel::default(), Silent);
        let mut job = Job::new(&options, &cancel, &mut silent);
        ibt::backup::full(&mut store, &Path::new(&dir).join(KEY), &mut job).unwrap();
        return;
    }
    let series = Series::new();
    series.write("a", "a");
    let test = "a_relative_store_stays_where_it_was_opened";
    run(&mut this_test_again(&std::env::current_exe().unwrap(), test, series.dir.path().to_str().unwrap()));
    assert_eq!(series.stored().len(), 3);
    series.assert_newest_is_the_source();
}

#[test]
fn a_listing_of_all_keys_lists_the_store_once() {
    let series = Series::with_two_snapshots();
    for index in 0..40 {
        let options = Options { key: Some(format!("key{index}")), ..series.options.clone() };
        series.silently(&options, |store, job| ibt::backup::full(store, &series.source, job)).whole();
    }
    let operations: [Operation; 2] =
        [&|store, job| inspect::list(store, None, job), &|store, job| inspect::verify(store, None, job)];
    for operation in operations {
        let mut listings = 0;
        let report = series
            .silently(&series.options, |store, job| {
                let mut failing =
                    support::failing::Failing::new(store, "/", Error::new(Kind::Io, "read", "never"));
                let done = operation(&mut failing, job);
                listings = failing.listings;
                done
            })
            .whole();
        assert_eq!((report.snapshots.len(), listings), (42, 1));
    }
}

#[test]
fn a_lost_archive_is_told_by_a_list_and_by_every_increment_that_needs_it() {
    let mut series = Series::with_two_snapshots();
    series.lose("full");
    let lost = |outcome: Outcome| {
        let report = outcome.partial();
        assert!(!report.problems.is_empty());
        let of_archive = report.problems.iter().filter(|problem| problem.path.is_none());
        let told: Vec<_> = of_archive.map(|problem| (problem.kind, problem.snapshot)).collect();
        // A content that was stored again needs no cure.
        let mut losses = report.problems.iter().filter(|problem| problem.kind != ProblemKind::Healed);
        assert!(losses.all(|problem| problem.message.contains("new full backup")), "{report:#?}");
        told
    };
    let stamps = || series.points.iter().map(|point| Some(point.stamp));
    let expected: Vec<_> = stamps().map(|stamp| (ProblemKind::Missing, stamp)).collect();
    assert_eq!(lost(series.list()), expected);
    // Problems of files name the cure as well.
    lost(series.verify(&series.options));
    lost(series.restore(Select::Newest, &series.beside("out")));
    assert_eq!(lost(series.incremental()), [(ProblemKind::Missing, None)]);
    series.points.clear();
    series.snapshot();
    series.assert_newest_is_the_source();
}

/// A library for `LD_PRELOAD`. Every lock fails with the error number in `LOCK_ERRNO`.
const NO_LOCKS: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
static int pass(const char *name, int fd, int command, void *argument)
{
    int (*real)(int, int, ...) = dlsym(RTLD_NEXT, name);
    if (command == F_OFD_SETLK) { errno = atoi(getenv("LOCK_ERRNO")); return -1; }
    return real(fd, command, argument);
}
#define DEFINE(name) int name(int fd, int command, ...) \
{ va_list list; va_start(list, command); void *a = va_arg(list, void *); va_end(list); return pass(#name, fd, command, a); }
DEFINE(fcntl)
DEFINE(fcntl64)
"#;

#[test]
fn where_nothing_can_be_locked_readers_go_on_and_writers_ask() {
    if let Some(dir) = child_role() {
        let mut series = Series::new();
        let (dir, source) = dir.split_once('\n').unwrap();
        (series.source, series.store) = (source.into(), Path::new(dir).join("store"));
        assert_readers_go_on(&series, "has no locks");
        for (name, writer) in &writers()[..3] {
            let error = refused(&series, Kind::Unsupported, writer);
            assert!(error.to_string().contains("--no-lock"), "{name}: {error}");
        }
        series.store = series.beside("new");
        refused(&series, Kind::Unsupported, Series::full);
        assert!(!series.store.exists(), "a store that nothing came of stays");
        series.store = Path::new(dir).join("store");
        series.options.allow_unlocked = true;
        // Without locks it is unknown whether a process is writing the temporary file.
        let draft = series.store.join(format!(".ibt-tmp-{KEY}.full.20200101T000000.000000Z.tar.zst"));
        fs::write(&draft, "x").unwrap();
        series.incremental().whole();
        series.consolidate().whole();
        series.prune(&series.keeping(ibt::job::Keep { last: 1, ..Default::default() })).whole();
        assert!(draft.exists(), "a draft that may be written goes");
        series.assert_newest_is_the_source();
        return;
    }
    let series = Series::with_two_snapshots();
    let (source, shim) = (series.beside("shim.c"), series.beside("shim.so"));
    fs::write(&source, NO_LOCKS).unwrap();
    let mut compiler = command("cc", ["-shared", "-fPIC", "-o"]);
    if !compiler.arg(&shim).arg(&source).arg("-ldl").status().is_ok_and(|status| status.success()) {
        return skip("no C compiler for a library that refuses locks");
    }
    let test = "where_nothing_can_be_locked_readers_go_on_and_writers_ask";
    for code in [libc::ENOLCK, libc::ENOSYS, libc::EOPNOTSUPP, libc::EINVAL, libc::EBADF] {
        let fork = series.fork();
        let role = format!("{}\n{}", fork.twin.dir.path().display(), series.source.display());
        let mut child = this_test_again(&std::env::current_exe().unwrap(), test, &role);
        run(child.env("LD_PRELOAD", &shim).env("LOCK_ERRNO", code.to_string()));
    }
}

/// NFS answers ESTALE for an open directory that was removed. Then the path is looked up again, and may lead to another
/// directory now.
#[test]
fn an_open_store_that_became_stale_is_opened_again() {
    let test = "an_open_store_that_became_stale_is_opened_again";
    if let Some(dir) = child_role() {
        let store = Path::new(&dir).join("store");
        let mut open = DirStore::open(&store);
        assert_eq!(open.list("").unwrap().len(), 3);
        fs::rename(&store, Path::new(&dir).join("moved")).unwrap();
        fs::create_dir(&store).unwrap();
        return println!("listed: {}", open.list("").unwrap().len());
    }
    if !support::tools::output(&mut command("strace", ["-o", "/dev/null", "true"])).status.success() {
        return skip("strace may not trace here");
    }
    for (stale, expected) in [(true, "listed: 0"), (false, "listed: 3")] {
        let series = Series { memory: None, ..Series::new() };
        series.write("a", "a");
        series.full().whole();
        let again =
            this_test_again(&std::env::current_exe().unwrap(), test, series.dir.path().to_str().unwrap());
        let mut strace = command("strace", ["-f", "-qq", "-o", "/dev/null", "-P"]);
        // The path of the open directory at the time of the call.
        strace.arg(series.store.canonicalize().unwrap().with_file_name("moved"));
        if stale {
            strace.args(["-e", "trace=fstat", "-e", "inject=fstat:error=ESTALE:when=1"]);
        }
        strace.arg("--").arg(again.get_program()).args(again.get_args());
        strace.envs(again.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let said = String::from_utf8(run(&mut strace)).unwrap();
        assert!(said.contains(expected), "{stale}: {said}");
    }
}
