//! Two operations on one key at the same time. The tests check which pairs run beside each other, and that both
//! results are right.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use ibt::entry::Hash;
use ibt::error::{Error, Kind};
use ibt::job::{Cancel, Job, Keep, Options, ProblemKind, Select};
use ibt::store::{DirStore, LockMode, Object, Store};
use ibt::{backup, inspect, restore, retain};
use support::facts::TreeFacts;
use support::forward::forward;
use support::series::{KEY, remove};
use support::tools::{child_role, this_test_again};
use support::*;

/// The operations, by their names in the table of docs/abi.md.
const OPERATIONS: [&str; 10] = [
    "full",
    "incremental",
    "restore",
    "compare",
    "list",
    "verify",
    "prune",
    "consolidate",
    "rebuild cache",
    "snapshot open",
];

fn options(series: &Series) -> Options {
    let keep = Keep { last: 3, ..Keep::default() };
    Options { lock_wait_ms: 0, ..series.keeping(keep) }
}

fn act(name: &str, series: &Series, dest: &Path, store: &mut dyn Store, job: &mut Job) -> Result<(), Error> {
    match name {
        "full" => backup::full(store, &series.source, job),
        "incremental" => backup::incremental(store, &series.source, job),
        "restore" => restore::restore(store, KEY, dest, job),
        "compare" => inspect::compare(store, KEY, &series.source, job),
        "list" => inspect::list(store, Some(KEY), job),
        "verify" => inspect::verify(store, Some(KEY), job),
        "prune" => retain::prune(store, KEY, job),
        "consolidate" => retain::consolidate(store, KEY, job),
        "rebuild cache" => retain::rebuild_cache(store, KEY, job),
        "snapshot open" => inspect::Snapshot::open(store, KEY, job).map(drop),
        _ => panic!("there is no operation {name}"),
    }
}

fn run_one(name: &str, series: &Series, options: &Options, dest: &Path) -> Outcome {
    series.silently(options, |store, job| act(name, series, dest, store, job))
}

/// True while some operation has the key.
fn is_locked(store: &Path) -> bool {
    DirStore::open(store).lock(KEY, LockMode::Delete).is_err()
}

/// Runs an operation, and stops it at call number `at` of the calls that it makes while it has the key. Sends a
/// message when the operation stops, and continues after a message arrives. Also returns the number of these calls.
fn run_held(
    name: &str,
    series: &Series,
    at: u32,
    dest: &Path,
    (held, go_on): (Sender<()>, Receiver<()>),
) -> (Outcome, u32) {
    let calls = Arc::new(AtomicU32::new(0));
    let (seen, path) = (Arc::clone(&calls), series.store.clone());
    let mut store = EachCall::new(series, move |_| {
        let has_key = seen.load(Ordering::Relaxed) > at || is_locked(&path);
        if has_key && seen.fetch_add(1, Ordering::Relaxed) == at {
            held.send(()).unwrap();
            go_on.recv().unwrap();
        }
        Fate::Goes
    });
    let outcome =
        store.run(&options(series), &Cancel::default(), |store, job| act(name, series, dest, store, job));
    (outcome, calls.load(Ordering::Relaxed))
}

/// The table in docs/abi.md: for each pair, whether both run at the same time.
fn table() -> BTreeMap<(&'static str, &'static str), bool> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/abi.md")).unwrap();
    let section = text.split("\n## Who waits for whom\n").nth(1).unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows[0][1..], OPERATIONS);
    let mut found = BTreeMap::new();
    for (row, first) in rows[2..].iter().zip(OPERATIONS) {
        assert_eq!(row[0], first);
        for (cell, second) in row[1..].iter().zip(OPERATIONS) {
            assert!(["+", "-"].contains(cell), "{first}, {second}: {cell}");
            found.insert((first, second), *cell == "+");
        }
    }
    assert_eq!(found.len(), OPERATIONS.len() * OPERATIONS.len());
    found
}

/// The reason in the error of an operation that `first` excludes.
fn reason(first: &str) -> &'static str {
    match first {
        "full" | "incremental" | "consolidate" => "a backup or a consolidation of this key is running",
        "prune" => "a prune of this key is running",
        _ => "an operation that reads this key is running",
    }
}

/// Runs `second` while `first` is stopped at a call.
fn assert_pair(series: &Series, first: &str, second: &str, at: u32, both_run: bool) {
    let what = format!("{second} beside {first}, stopped at call {at}");
    let dests = ["one", "two"].map(|name| series.beside(name));
    std::thread::scope(|scope| {
        let (to_test, held) = channel();
        let (go_on, to_first) = channel();
        let dest = &dests[0];
        let running = scope.spawn(move || run_held(first, series, at, dest, (to_test, to_first)));
        held.recv().unwrap_or_else(|_| panic!("{what}: it did not stop"));
        let outcome = run_one(second, series, &options(series), &dests[1]);
        match both_run {
            true => drop(outcome.whole()),
            false => {
                let error = outcome.refused(Kind::Busy);
                assert!(error.to_string().contains(reason(first)), "{what}: {error}");
                let waiting = Options { lock_wait_ms: 60_000, ..options(series) };
                let dest = &dests[1];
                let waiting = scope.spawn(move || run_one(second, series, &waiting, dest));
                go_on.send(()).unwrap();
                waiting.join().unwrap().whole();
            }
        }
        let _ = go_on.send(());
        running.join().unwrap().0.whole();
    });
    for (dest, name) in dests.iter().zip([first, second]) {
        assert_eq!(dest.exists(), name == "restore", "{what}");
        if dest.exists() {
            assert_same_tree(&series.source, dest);
            remove(dest);
        }
    }
}

/// The number of calls of the store that an operation makes while it has the key.
fn run_rehearsal(name: &str, series: &Series) -> u32 {
    let (to_test, _held) = channel();
    let (_go_on, to_first) = channel();
    let dest = series.beside("rehearsal");
    let (outcome, calls) = run_held(name, &series.fork().twin, u32::MAX, &dest, (to_test, to_first));
    outcome.whole();
    if dest.exists() {
        remove(&dest);
    }
    calls
}

#[test]
fn each_pair_of_operations_runs_beside_each_other_as_the_table_says() {
    let mut series = Series::with_two_snapshots();
    series.write("c", noise(4, 30_000));
    series.snapshot();
    let table = table();
    for first in OPERATIONS {
        for second in OPERATIONS {
            let both_run = table[&(first, second)];
            assert_pair(&series, first, second, 0, both_run);
            // Each pair changes the store, and so the number of calls of the next operation.
            let calls = run_rehearsal(first, &series);
            assert_pair(&series, first, second, calls / 2, both_run);
        }
    }
    series.verify(&series.options).whole();
}

/// An operation of a key excludes no operation of another key.
#[test]
fn keys_do_not_exclude_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let open = || DirStore::open(dir.path().join("store"));
    let modes = [LockMode::Read, LockMode::Write, LockMode::Delete];
    for (one, other) in modes.iter().flat_map(|one| modes.iter().map(move |other| (*one, *other))) {
        let _held = open().lock("a", one).unwrap();
        open().lock("b", other).unwrap();
    }
}

/// The source of the next snapshot: a file grows, one is rewritten, and one comes and goes.
fn change_source(series: &Series, step: u32) {
    let mut grown = std::fs::read(series.source.join("grows")).unwrap_or_default();
    grown.extend_from_slice(&noise(u64::from(step), 3_000));
    series.write("grows", &grown);
    series.write("again", noise(u64::from(step) + 1_000, 20_000));
    let passing = series.source.join("d/passing");
    match step % 2 {
        0 => drop(std::fs::remove_file(passing)),
        _ => drop(series.write("d/passing", noise(7, 500))),
    }
}

/// The trees of all snapshots, by their digests.
type Trees = Mutex<BTreeMap<[u8; 32], TreeFacts>>;

fn tree_of(trees: &Trees, digest: Hash) -> TreeFacts {
    // A snapshot can be restored a moment before its backup returns.
    for _ in 0..6_000 {
        if let Some(facts) = trees.lock().unwrap().get(&digest.0) {
            return facts.clone();
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("no backup made the tree {digest}");
}

/// Restores the newest snapshot again and again, and runs the other readers. Each restored tree is that of a backup.
fn read_until(done: &AtomicBool, series: &Series, options: &Options, name: &str, trees: &Trees) -> u32 {
    let (dest, mut rounds) = (series.beside(name), 0);
    while !done.load(Ordering::Relaxed) {
        let report = run_one("restore", series, options, &dest).whole();
        assert_same_facts(&tree_of(trees, report.digest.unwrap()), &facts(&dest));
        remove(&dest);
        let other = ["list", "verify", "snapshot open", "rebuild cache"][rounds as usize % 4];
        run_one(other, series, options, &dest).whole();
        rounds += 1;
    }
    rounds
}

/// Makes snapshots of a changing source, and keeps the tree of each.
fn write(series: &Series, options: &Options, steps: std::ops::Range<u32>, trees: &Trees) {
    for step in steps {
        change_source(series, step);
        let tree = facts(&series.source);
        let name = if step % 4 == 0 { "full" } else { "incremental" };
        let report = run_one(name, series, options, Path::new("")).whole();
        trees.lock().unwrap().insert(report.digest.unwrap().0, tree);
    }
}

/// Readers and writers work at once; with `prunes`, a prune does too, and all of them wait for the key.
fn all_at_once(prunes: bool) {
    let series = Series::new();
    let trees = Trees::default();
    // Readers get the key without waiting where nobody prunes.
    let wait = if prunes { 60_000 } else { 0 };
    let readers = Options { lock_wait_ms: wait, ..series.options.clone() };
    // A prune that does not wait for a restore removes files that the restore is reading.
    let keep = Keep { last: 1, ..Keep::default() };
    let writers = Options { lock_wait_ms: 60_000, ..series.keeping(keep) };
    write(&series, &writers, 0..2, &trees);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading: Vec<_> = ["r1", "r2"]
            .map(|name| {
                let (done, series, readers, trees) = (&done, &series, &readers, &trees);
                scope.spawn(move || read_until(done, series, readers, name, trees))
            })
            .into();
        let others = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                run_one("consolidate", &series, &writers, Path::new("")).whole();
                if prunes {
                    run_one("prune", &series, &writers, Path::new("")).whole();
                }
            }
        });
        let finished = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            write(&series, &writers, 2..22, &trees);
        }));
        done.store(true, Ordering::Relaxed);
        others.join().unwrap();
        for reader in reading {
            assert!(reader.join().unwrap() > 0, "a reader did nothing");
        }
        finished.unwrap();
    });
    series.verify(&series.options).whole();
    series.assert_newest_is_the_source();
}

#[test]
fn readers_beside_backups_are_never_busy_and_restore_exactly() {
    all_at_once(false);
}

#[test]
fn readers_beside_backups_and_prunes_restore_exactly() {
    all_at_once(true);
}

/// A store whose first list does not have some files, as if a backup published them while the store was listed.
struct LateFiles {
    inner: DirStore,
    late: Option<Vec<String>>,
}

#[deny(clippy::missing_trait_methods)]
impl Store for LateFiles {
    forward!(inner: require check_exists create sync delete locks sweep_drafts links places);

    fn list(&mut self, prefix: &str) -> Result<Vec<Object>, Error> {
        let late = self.late.take().unwrap_or_default();
        Ok(self.inner.list(prefix)?.into_iter().filter(|object| !late.contains(&object.name)).collect())
    }

    fn read_at(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        self.inner.read_at(name, offset, buf)
    }
}

/// A list of a directory may contain a file that was made while the list ran, and lack another file that was made
/// before that.
#[test]
fn a_snapshot_that_is_listed_before_what_it_needs_is_whole() {
    let series = support::layered::layered_chain();
    let newest = series.newest("state").file_name().unwrap().to_str().unwrap().to_string();
    let stamp = series.points.last().unwrap().stamp.to_string();
    let older = &series.points[series.points.len() - 2].stamp.to_string();
    let needed = |name: &String| *name != newest && (name.contains(&stamp) || name.contains(older));
    let late: Vec<String> = series.stored().into_keys().filter(needed).collect();
    assert!(late.iter().any(|name| name.contains(".state.")) && late.len() > 2, "{late:?}");
    let dest = series.beside("dest");
    for name in ["restore", "compare", "list", "verify", "rebuild cache", "snapshot open"] {
        let (options, mut silent) = (options(&series), ibt::job::Silent);
        let mut store = LateFiles { inner: DirStore::open(&series.store), late: Some(late.clone()) };
        let mut job = Job::new(&options, &Cancel::default(), &mut silent);
        act(name, &series, &dest, &mut store, &mut job).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(job.report.problems.is_empty(), "{name}: {:#?}", job.report.problems);
        assert!(store.late.is_none(), "{name} listed nothing");
        let states = job.report.files.iter().filter(|file| file.kind == "state").count();
        assert!(name != "restore" || states == needed_states(&series), "{name}: {:#?}", job.report.files);
    }
    series.points.last().unwrap().kept.assert_is(&dest);
}

/// The number of state files that the newest snapshot needs.
fn needed_states(series: &Series) -> usize {
    let report = series.restore(Select::Newest, &series.beside("other")).whole();
    remove(&series.beside("other"));
    report.files.iter().filter(|file| file.kind == "state").count()
}

/// The archives of a running backup are no left-overs.
#[test]
fn a_dry_run_beside_a_backup_does_not_say_that_its_archives_would_go() {
    let series = Series::with_two_snapshots();
    let calls = run_rehearsal("incremental", &series);
    let mut seen = 0;
    // The rehearsal stores nothing, so it has fewer calls.
    for at in calls.saturating_sub(8)..calls + 30 {
        let fork = series.fork();
        let twin = &fork.twin;
        twin.write("a", noise(u64::from(at), 30_000));
        std::thread::scope(|scope| {
            let (to_test, held) = channel();
            let (go_on, to_first) = channel();
            let dest = Path::new("");
            let running = scope.spawn(move || run_held("incremental", twin, at, dest, (to_test, to_first)));
            if held.recv().is_ok() {
                let before = twin.stored();
                let report = twin.prune(&Options { dry_run: true, ..options(twin) }).ok();
                assert!(report.files.is_empty(), "{at}: {:#?}", report.files);
                seen += report.problems.len();
                assert_eq!(twin.stored(), before);
                go_on.send(()).unwrap();
            }
            running.join().unwrap().0.whole();
        });
    }
    assert!(seen > 0, "no archive was there before its state");
}

/// A snapshot that was opened can be read while later backups run.
#[test]
fn an_open_snapshot_is_read_beside_backups() {
    let series = Series::with_two_snapshots();
    let content = std::fs::read(series.source.join("a")).unwrap();
    let (options, cancel) = (options(&series), Cancel::default());
    let mut silent = ibt::job::Silent;
    let mut store = DirStore::open(&series.store);
    let mut job = Job::new(&options, &cancel, &mut silent);
    let mut snapshot = inspect::Snapshot::open(&mut store, KEY, &mut job).unwrap();
    for step in 0..3 {
        series.write("a", noise(step, 50_000));
        series.incremental().whole();
        series.consolidate().whole();
        let mut read = Vec::new();
        let path = ibt::entry::Path::new(b"a".to_vec()).unwrap();
        let mut sink = |bytes: &[u8]| {
            read.extend_from_slice(bytes);
            ibt::job::Flow::Continue
        };
        snapshot.read(&mut store, &path, 0, u64::MAX, &mut sink).unwrap();
        assert!(read == content, "step {step}");
    }
}

/// A first backup that fails removes the store that it made, unless a reader holds the lock of a key.
#[test]
fn a_store_made_in_vain_stays_while_a_reader_has_its_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let open = || DirStore::open(&path);
    for reader_is_there in [true, false] {
        let mut first = open();
        let backup = first.lock(KEY, LockMode::Write).unwrap();
        let reader = reader_is_there.then(|| open().lock(KEY, LockMode::Read).unwrap());
        drop(backup);
        assert_eq!(path.exists(), reader_is_there);
        if reader_is_there {
            assert_eq!(open().lock(KEY, LockMode::Delete).err().unwrap().kind, Kind::Busy);
            drop(reader);
            std::fs::remove_dir_all(&path).unwrap();
        }
    }
}

/// Holds the lock until it is killed.
#[test]
fn a_reader_that_is_killed_leaves_nothing_that_excludes_others() {
    if let Some(store) = child_role() {
        let _held = DirStore::open(&store).lock(KEY, LockMode::Read).unwrap();
        println!("held");
        // The input ends if the parent does.
        let _ = std::io::stdin().lines().next();
        return;
    }
    let series = Series::with_two_snapshots();
    let before = support::series::stored(&series.store);
    let binary = std::env::current_exe().unwrap();
    let test = "a_reader_that_is_killed_leaves_nothing_that_excludes_others";
    let mut reader = this_test_again(&binary, test, series.store.to_str().unwrap())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(reader.stdout.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().ends_with("held")));
    run_one("prune", &series, &options(&series), Path::new("")).refused(Kind::Busy);
    run_one("incremental", &series, &options(&series), Path::new("")).whole();
    reader.kill().unwrap();
    reader.wait().unwrap();
    let select = Select::Exactly(series.points[0].stamp);
    series.prune(&series.selecting(select)).whole();
    assert!(support::series::stored(&series.store).len() > before.len() - 3);
    series.assert_newest_is_the_source();
}

/// The handle that created the store's directory looks at the end of each backup whether the directory is unused. It
/// must not exclude a reader for that.
#[test]
fn a_backup_that_ends_excludes_no_reader() {
    let series = Series::with_two_snapshots();
    let path = series.beside("created");
    let mut creator = DirStore::open(&path);
    let first = creator.lock(KEY, LockMode::Write).unwrap();
    for (name, _) in series.stored() {
        std::fs::copy(series.store.join(&name), path.join(&name)).unwrap();
    }
    drop(first);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..10_000 {
                drop(creator.lock(KEY, LockMode::Write).unwrap());
            }
            ended.store(true, Ordering::Relaxed);
        });
        let mut reader = DirStore::open(&path);
        while !ended.load(Ordering::Relaxed) {
            drop(reader.lock(KEY, LockMode::Read).unwrap());
        }
    });
}

/// A reader that may not open the lock file reports that it has no lock, because other users may have the right to
/// write.
#[test]
fn a_reader_that_may_not_open_the_lock_file_says_so_and_a_writer_fails() {
    let series = Series::with_two_snapshots();
    let lock = series.store.join(format!("{KEY}.lock"));
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    [series.store.parent().unwrap(), &series.store].into_iter().for_each(|dir| set(dir, 0o755));
    series.stored().keys().for_each(|name| set(&series.store.join(name), 0o644));
    for (is_there, mode) in [(true, 0o755), (false, 0o555)] {
        if is_there {
            set(&lock, 0);
        } else {
            std::fs::remove_file(&lock).unwrap();
        }
        set(&series.store, mode);
        as_nobody(|| {
            for name in ["list", "verify", "snapshot open"] {
                let report = run_one(name, &series, &options(&series), Path::new("")).whole();
                let [note] = &report.problems[..] else { panic!("{name}: {report:#?}") };
                assert!(note.kind == ProblemKind::Unlocked, "{name}: {note:#?}");
                assert!(note.message.contains(".lock") && note.message.contains("ermission"), "{note:#?}");
            }
            let error = DirStore::open(&series.store).lock(KEY, LockMode::Write).err().unwrap();
            assert!(error.kind == Kind::Io && error.os_code == libc::EACCES, "{error}");
        });
    }
    set(&series.store, 0o700);
}
