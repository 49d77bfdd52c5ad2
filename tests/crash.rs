//! Operations that are killed at a system call, that get an error from the system, or that run out of disk space. Each
//! older snapshot must restore, and the next backup must work without help. strace(1) kills the process or injects the
//! error, and shows the order of the calls.

mod support;
#[path = "crash/tracing.rs"]
mod tracing;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ibt::error::Kind;
use ibt::job::{Keep, Overwrite, Select};
use support::facts::TreeFacts;
use support::series::{Fork, remove, stored};
use support::tools::{Mount, child_role, number_from_env, set_mode};
use support::tree::set_mtime;
use support::*;
use tracing::{Call, Task, Tracer};

/// The process that strace runs. It does one operation and records the result. Does nothing in a normal test run.
#[test]
fn child() {
    if let Some(role) = child_role() {
        tracing::act(&role);
    }
}

/// A full, an increment, and a source that has changed again.
fn two_snapshots() -> Series {
    let mut series = Series::new();
    let mut bytes = noise(1, 60_000);
    series.write("grows", &bytes);
    for index in 0..6 {
        series.write(&format!("dir/{index}"), prose(index, 3000));
    }
    series.snapshot();
    bytes.extend_from_slice(b"more");
    series.write("grows", &bytes);
    series.snapshot();
    bytes.extend_from_slice(b"and more");
    series.write("grows", &bytes);
    series.write("dir/new", "new");
    fs::remove_file(series.source.join("dir/3")).unwrap();
    series
}

/// Asserts after any fault in `fork`'s store: the old snapshots restore, and the next backup works.
#[track_caller]
fn assert_recovers(fork: &Fork, what: &str) {
    for index in 0..fork.points.len() {
        fork.assert_point_restores(index);
    }
    let outcome = if fork.points.is_empty() { fork.twin.full() } else { fork.twin.incremental() };
    assert!(outcome.result.is_ok() && !outcome.report.is_partial(), "{what}: {outcome:?}");
    fork.twin.assert_newest_is_the_source();
    let left: Vec<_> = fork.twin.stored().into_keys().filter(|name| name.starts_with(".ibt-tmp")).collect();
    assert!(left.is_empty(), "{what}: {left:?}");
}

/// Chooses the calls to interrupt: at most `IBT_TEST_KILLS` calls of each name, and three times as many of the calls
/// that commit (`rename`, `fsync`).
fn worth_a_kill(calls: &[Call]) -> Vec<(String, usize)> {
    let most = number_from_env("IBT_TEST_KILLS").unwrap_or(5) as usize;
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for call in calls {
        by_name.entry(&call.name).or_default().push(call.number);
    }
    let mut chosen = Vec::new();
    for (name, mut numbers) in by_name {
        numbers.sort_unstable();
        numbers.dedup();
        let most = if name.starts_with("rename") || name.starts_with("fsync") { 3 * most } else { most };
        let step = numbers.len().div_ceil(most).max(1);
        chosen.extend(numbers.into_iter().step_by(step).map(|number| (name.to_string(), number)));
    }
    chosen
}

fn kill_everywhere(series: &Series, operation: &str, check: impl Fn(&Fork, &str)) {
    kill_everywhere_after(series, operation, |_| {}, check);
}

/// Kills the operation at many calls, each time in a new copy of the store, after `prepare` made it ready.
fn kill_everywhere_after(
    series: &Series,
    operation: &str,
    prepare: impl Fn(&Fork),
    check: impl Fn(&Fork, &str),
) {
    let Some(tracer) = Tracer::new() else { return };
    let rehearsal = series.fork();
    prepare(&rehearsal);
    let calls = tracer.trace(&Task::of(&rehearsal.twin, operation));
    let chosen = worth_a_kill(&calls);
    assert!(chosen.len() > 10, "{} calls seen", calls.len());
    let mut killed = 0;
    for (name, number) in chosen {
        let fork = series.fork();
        prepare(&fork);
        let died =
            tracer.inject(&Task::of(&fork.twin, operation), &format!("{name}:signal=SIGKILL:when={number}"));
        killed += usize::from(died.is_none());
        check(&fork, &format!("{operation} killed at {name} {number}"));
    }
    assert!(killed > 5, "only {killed} were killed");
}

#[test]
fn an_increment_killed_at_any_call_hurts_nothing() {
    kill_everywhere(&two_snapshots(), "incremental", assert_recovers);
}

#[test]
fn a_first_full_killed_at_any_call_hurts_nothing() {
    let series = Series::new();
    series.write("a", noise(1, 30_000));
    series.write("b", "b");
    kill_everywhere(&series, "full", assert_recovers);
}

/// Like [`assert_recovers`]. The next prune then leaves exactly the archives that states name.
#[track_caller]
fn assert_leaves_no_part(fork: &Fork, what: &str) {
    assert_recovers(fork, what);
    fork.twin.prune(&fork.twin.keeping(Keep { last: 9, ..Keep::default() })).whole();
    let states = fork.twin.stored().into_keys().filter(|name| name.contains(".state."));
    let states = states.map(|name| stored::parse(&fork.twin.store.join(name)));
    let archives = states.flat_map(|state| state["archives"].as_array().unwrap().clone());
    let files = archives.flat_map(|archive| stored::files(&archive));
    let named: BTreeSet<_> = files.map(|file| fork.twin.store.join(file["name"].as_str().unwrap())).collect();
    assert_eq!(BTreeSet::from_iter(fork.twin.archives()), named, "{what}");
}

#[test]
fn a_backup_in_parts_killed_at_any_call_leaves_no_part() {
    let series = Series::new();
    series.write("a", noise(1, 60_000));
    series.write("b", "b");
    kill_everywhere(&series, "full in parts", assert_leaves_no_part);
    kill_everywhere(&two_snapshots(), "incremental in parts", assert_leaves_no_part);
}

#[test]
fn a_consolidation_killed_at_any_call_leaves_the_old_chain() {
    kill_everywhere(&two_snapshots(), "consolidate", assert_recovers);
}

/// A killed restore leaves the whole tree or none, and at most one temporary directory. The next restore works.
#[test]
fn a_restore_killed_at_any_call_leaves_no_half_tree() {
    let series = two_snapshots();
    let newest = &series.points[1];
    kill_everywhere(&series, "restore", |fork, what| {
        let dest = fork.twin.beside("dest");
        if dest.exists() {
            let said = facts::differences(&newest.kept.facts, &facts(&dest));
            assert!(said.is_empty(), "{what}: {said}");
            remove(&dest);
        }
        let around = stored(fork.twin.dir.path()).into_keys();
        let left: Vec<_> = around.filter(|name| !["store", "cache", "outcome"].contains(&&**name)).collect();
        assert!(left.len() <= 1 && left.iter().all(|name| name.starts_with(".ibt-tmp")), "{what}: {left:?}");
        fork.twin.restore(Select::Newest, &dest).whole();
        newest.kept.assert_is(&dest);
        let left = stored(fork.twin.dir.path()).into_keys().find(|name| name.starts_with(".ibt-tmp"));
        assert_eq!(left, None, "{what}: the next restore left it");
    });
}

/// Two snapshots that differ in every way in which a restore changes a tree.
fn two_trees() -> Series {
    let mut series = Series::new();
    for (name, seed) in [("changed", 1), ("dir/changed", 2), ("gone/file", 3), ("same", 4)] {
        series.write(name, noise(seed, 20_000));
    }
    series.write("becomes/file", "a directory becomes a file");
    series.write("small", "old");
    let (dir, link) = (series.source.join("dir"), series.source.join("link"));
    fs::hard_link(dir.join("changed"), &link).unwrap();
    std::os::unix::fs::symlink("small", series.source.join("way")).unwrap();
    series.snapshot();
    series.write("changed", noise(5, 30_000));
    series.write("dir/changed", noise(6, 20_000));
    series.write("dir/new", "new");
    series.write("small", "new");
    fs::remove_dir_all(series.source.join("gone")).unwrap();
    fs::remove_dir_all(series.source.join("becomes")).unwrap();
    series.write("becomes", "a file");
    fs::remove_file(series.source.join("way")).unwrap();
    std::os::unix::fs::symlink("dir", series.source.join("way")).unwrap();
    set_mtime(&series.source.join("same"), (1_700_000_000, 0));
    series.snapshot();
    series
}

/// Asserts that each entry of the tree `dest` is an old or a new one, and that no file or link that both trees have
/// is absent.
#[track_caller]
fn assert_old_or_new(old: &TreeFacts, new: &TreeFacts, dest: &Path, what: &str) {
    let found = facts(dest);
    let content = |facts: &facts::Facts| (facts.kind, facts.hash, facts.target.clone());
    for (path, entry) in found.iter().filter(|(path, _)| !is_temporary(path)) {
        let text = String::from_utf8_lossy(path);
        let known = [old.get(path), new.get(path)];
        assert!(known.iter().flatten().any(|known| content(known) == content(entry)), "{what}: {text}");
    }
    let is_absent = |path: &&Vec<u8>| new.contains_key(*path) && !found.contains_key(*path);
    let absent = old.iter().filter(|(path, old)| old.kind == new.get(*path).map_or("", |new| new.kind));
    let absent = absent.map(|(path, _)| path).filter(is_absent).map(|path| String::from_utf8_lossy(path));
    let absent: Vec<_> = absent.collect();
    assert!(absent.is_empty(), "{what}: {absent:?} are absent");
}

/// Whether a path is, or lies in, a temporary file or directory of a restore.
fn is_temporary(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(|name| name.starts_with(b".ibt-tmp"))
}

/// The tree of the first snapshot, as the destination of a restore.
fn put_old_tree(fork: &Fork) {
    let dest = fork.twin.beside("dest");
    fork.twin.restore(Select::Exactly(fork.points[0].stamp), &dest).whole();
}

/// The same restore again makes the tree right, and leaves nothing temporary.
#[track_caller]
fn assert_mirror_recovers(fork: &Fork, what: &str) {
    let (old, new) = (&fork.points[0].kept.facts, &fork.points[1].kept.facts);
    let dest = fork.twin.beside("dest");
    assert_old_or_new(old, new, &dest, what);
    // A restore removes only temporary files that are surely older than itself: by 20 ms.
    std::thread::sleep(std::time::Duration::from_millis(40));
    tracing::mirror(&fork.twin, &dest).whole();
    let said = facts::differences(new, &facts(&dest));
    assert!(said.is_empty(), "{what}: after the next restore:\n{said}");
}

#[test]
fn a_restore_over_a_tree_killed_at_any_call_leaves_old_or_new_files() {
    kill_everywhere_after(&two_trees(), "mirror", put_old_tree, assert_mirror_recovers);
}

/// Damages the middle of an archive: the increment with heal then stores contents again.
fn damage_full(fork: &Fork) {
    let path = fork.twin.newest("full");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_heal_killed_at_any_call_leaves_the_next_one_to_heal() {
    kill_everywhere_after(&two_snapshots(), "heal", damage_full, |fork, what| {
        let outcome = tracing::heal(&fork.twin);
        assert!(outcome.result.is_ok(), "{what}: {outcome:?}");
        fork.twin.assert_newest_is_the_source();
        let left = fork.twin.stored().into_keys().find(|name| name.starts_with(".ibt-tmp"));
        assert_eq!(left, None, "{what}");
    });
}

#[test]
fn a_rebuild_of_the_cache_killed_at_any_call_hurts_nothing() {
    let lose_cache = |fork: &Fork| fs::remove_dir_all(fork.twin.cache()).unwrap();
    kill_everywhere_after(&two_snapshots(), "rebuild", lose_cache, assert_recovers);
}

/// All archives are durable before a state names them, and the state is durable before the backup reports
/// success.
#[test]
fn archives_are_durable_before_the_state_stands() {
    let Some(tracer) = Tracer::new() else { return };
    let series = two_snapshots();
    let before = series.stored();
    let calls = tracer.trace(&Task::of(&series, "incremental"));
    let is_sync = |call: &Call| call.name == "fsync" || call.name == "fdatasync";
    let synced_before =
        |at: usize, path: &Path| calls[..at].iter().any(|call| is_sync(call) && call.is_of(path));
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    for (at, call) in calls.iter().enumerate() {
        let Some((from, to)) = call.renames() else { continue };
        // The cache gives its copies the same names later, without a sync.
        let Ok(name) = to.strip_prefix(&series.store) else { continue };
        let name = name.to_str().unwrap().to_string();
        assert!(synced_before(at, &from), "{name} was named before it was durable");
        named.insert(name, at);
    }
    let added: Vec<_> = series.stored().into_keys().filter(|name| !before.contains_key(name)).collect();
    assert_eq!(named.keys().collect::<Vec<_>>(), added.iter().collect::<Vec<_>>());
    let (state, archives): (Vec<_>, Vec<_>) = named.iter().partition(|(name, _)| name.contains(".state."));
    let (state, last) = (*state[0].1, archives.iter().map(|(_, at)| **at).max().unwrap());
    assert!(last < state, "the state was named before an archive");
    let directory_synced = |from: usize, to: usize| {
        calls[from..to].iter().any(|call| call.name == "fsync" && call.is_of(&series.store))
    };
    assert!(directory_synced(last, state), "the archives' names were not durable before the state's");
    assert!(directory_synced(state, calls.len()), "the state's name was not durable at the end");
}

/// In an existing tree, no name may lead to content that a power cut can take away. Under each policy, a file
/// is written, then made durable, then named.
#[test]
fn a_restore_over_a_tree_names_files_that_are_durable() {
    let Some(tracer) = Tracer::new() else { return };
    let mut series = Series::new();
    let sizes = [0, 1, 4096, 100_000, 3_000_000];
    for size in sizes {
        series.write(&format!("new/{size}"), noise(size, size as usize));
        series.write(&format!("old/{size}"), noise(size, size as usize));
    }
    let sparse = fs::File::create(series.write("new/sparse", "data")).unwrap();
    sparse.write_at(b"data", 300_000).unwrap();
    fs::hard_link(series.source.join("new/4096"), series.source.join("new/link")).unwrap();
    series.snapshot();
    let dest = series.beside("dest");
    for (operation, overwrite) in tracing::POLICIES {
        fs::create_dir_all(dest.join("old")).unwrap();
        for size in sizes {
            let old = dest.join(format!("old/{size}"));
            fs::write(&old, format!("the old {size}")).unwrap();
            set_mtime(&old, (1, 0));
        }
        let calls = tracer.trace(&Task::of(&series, operation));
        let mut named = 0;
        for (at, call) in calls.iter().enumerate() {
            let Some((from, to)) = call.renames().filter(|(_, to)| to.starts_with(&dest)) else { continue };
            let filled = calls[..at].iter().rposition(|call| call.fills(&from)).unwrap_or(0);
            let durable = calls[filled..at].iter().any(|call| {
                (call.name == "syncfs" && call.is_below(&dest))
                    || (call.name.starts_with("f") && call.name.ends_with("sync") && call.is_of(&from))
            });
            let linked = call.name.starts_with("link");
            assert!(linked || durable || to.ends_with("link"), "{operation}: {to:?} was not durable");
            named += usize::from(!linked);
        }
        let replaced = if overwrite == Overwrite::Keep { 0 } else { sizes.len() };
        // Two more: the sparse file and the link.
        assert_eq!(named, sizes.len() + replaced + 2, "{operation}");
        let syncs = calls.iter().filter(|call| call.name.contains("sync") && call.name != "sync_file_range");
        assert!(syncs.count() < named, "{operation}: a sync for each file");
        remove(&dest);
    }
}

/// Nobody else reads or runs a file before it is complete. A file is made with mode 0600, and a directory with mode
/// 0700. After a file got its mode, nothing is written to it.
#[test]
fn a_restored_file_is_private_until_it_is_complete() {
    let Some(tracer) = Tracer::new() else { return };
    let mut series = Series::new();
    let sizes = [0, 1, 40_000, 3_000_000];
    for (number, size) in sizes.into_iter().enumerate() {
        let path = series.write(&format!("open/{size}"), noise(number as u64, size));
        set_mode(&path, [0o777, 0o4755, 0o644, 0o606][number]);
    }
    set_mode(&series.source.join("open"), 0o777);
    series.snapshot();
    let dest = series.beside("dest");
    for operation in ["restore", "restore over always"] {
        let calls = tracer.trace(&Task::of(&series, operation));
        let (mut files, mut open) = (0, 0);
        for (at, call) in calls.iter().enumerate() {
            let Some((path, mode)) = call.makes().filter(|(path, _)| is_beside(path, &dest)) else {
                continue;
            };
            if call.name.starts_with("mkdir") {
                assert_eq!(mode, 0o700, "{operation}: {call:?}");
                continue;
            }
            assert_eq!(mode, 0o600, "{operation}: {call:?}");
            files += 1;
            let later = &calls[at..];
            let set =
                later.iter().position(|call| call.sets_mode_of(&path).is_some_and(|mode| mode != 0o600));
            let Some(set) = set else { continue };
            open += 1;
            assert!(
                !later[set..].iter().any(|call| call.fills(&path)),
                "{operation}: {path:?} is written after its mode"
            );
        }
        assert!(
            files >= sizes.len() && open >= sizes.len(),
            "{operation}: {files} files, {open} with a mode"
        );
        fs::read_dir(dest.join("open"))
            .unwrap()
            .for_each(|entry| fs::write(entry.unwrap().path(), "old").unwrap());
    }
}

/// Whether a path lies in the directory of `dest`, and not in the cache or in the store.
fn is_beside(path: &Path, dest: &Path) -> bool {
    let beside = path.strip_prefix(dest.parent().unwrap()).ok().and_then(|below| below.components().next());
    beside.is_some_and(|first| {
        let first = first.as_os_str().to_string_lossy();
        first == "dest" || first.starts_with(".ibt-tmp-restore-")
    })
}

/// The system reports a write-back error only to descriptors that were open at that time. So the descriptor
/// that syncs a file system must be opened before the restore writes there.
#[test]
fn a_restore_syncs_by_descriptors_that_hear_of_every_error() {
    let Some(tracer) = Tracer::new() else { return };
    let mut series = Series::new();
    for name in ["a/1", "b/2", "mnt/c/3", "mnt/d/4", "x/5"] {
        series.write(name, name);
    }
    series.snapshot();
    let dest = series.beside("dest");
    let mnt = dest.join("mnt");
    fs::create_dir_all(&mnt).unwrap();
    let Some(_mounted) = Mount::tmpfs(&mnt, "size=1m") else {
        return skip("mounting is not allowed here");
    };
    let calls = tracer.trace(&Task::of(&series, "restore over always"));
    let mut synced = 0;
    for (at, call) in calls.iter().enumerate() {
        if call.name != "syncfs" || !call.is_below(&dest) {
            continue;
        }
        let on_it = |other: &&Call| other.is_below(&dest) && other.is_below(&mnt) == call.is_below(&mnt);
        // The destination's root is opened before all others, by a call that is not traced.
        let opened = tracing::opening(&calls[..at], call).unwrap_or(0);
        let last = calls[..at].iter().rposition(|call| call.name == "syncfs" && on_it(&call));
        let missed = last.map_or(0, |last| last + 1)..opened.max(last.map_or(0, |last| last + 1));
        let written = calls[missed].iter().filter(on_it).find(|call| call.fills_any());
        assert!(written.is_none(), "{call:?}, opened by call {opened}, misses errors of {written:?}");
        synced += 1;
    }
    // On each of the two file systems: one sync for the waiting files, and one for everything else.
    assert_eq!(synced, 4);
}

/// Asserts after a prune that was stopped: each snapshot is whole or gone, and the next prune completes the
/// work.
#[track_caller]
fn assert_prune_recovers(fork: &Fork, what: &str) {
    let listed = fork.twin.list().whole().snapshots;
    let newest = fork.points.len() - 1;
    for (index, point) in fork.points.iter().enumerate() {
        let there = listed.iter().any(|snapshot| snapshot.stamp == point.stamp);
        assert!(there || index < newest, "{what}: the newest is gone");
        if there {
            fork.assert_point_restores(index);
        }
    }
    fork.twin.prune(&fork.twin.keeping(Keep { last: 1, ..Keep::default() })).whole();
    let newest_state = stored::parse(&fork.twin.newest("state"));
    let archives = newest_state["archives"].as_array().unwrap().len();
    assert_eq!(fork.twin.stored().len(), archives + 1, "{what}: {:?}", fork.twin.stored());
    fork.assert_point_restores(newest);
    fork.twin.incremental().whole();
    fork.twin.assert_newest_is_the_source();
}

/// Two snapshots, a newer full, and left-over files of a killed backup: a prune removes some of each kind.
fn much_to_prune() -> Series {
    let mut series = two_snapshots();
    let report = series.full().whole();
    series.keep(&report);
    fs::write(series.store.join("tree.created.20200101T000000.000000Z.tar.zst"), "left over").unwrap();
    fs::write(series.store.join(".ibt-tmp-tree.created.20200101T000000.000000Z.tar.zst"), "").unwrap();
    series
}

#[test]
fn a_prune_killed_at_any_call_hurts_nothing() {
    kill_everywhere(&much_to_prune(), "prune", assert_prune_recovers);
}

/// If a call fails once, the prune fails or works around the failure.
#[test]
fn a_prune_whose_calls_fail_hurts_nothing() {
    let Some(tracer) = Tracer::new() else { return };
    let series = much_to_prune();
    let rehearsal = series.fork();
    let calls = tracer.trace(&Task::of(&rehearsal.twin, "prune"));
    let mut met: BTreeMap<_, usize> = ["unlinkat", "fsync", "getdents64"].map(|name| (name, 0)).into();
    for (name, number) in worth_a_kill(&calls) {
        let Some(met) = met.get_mut(&*name) else { continue };
        let fork = series.fork();
        let fault = format!("{name}:error=EIO:when={number}");
        let outcome = tracer.inject(&Task::of(&fork.twin, "prune"), &fault);
        let outcome = outcome.unwrap_or_else(|| panic!("{fault}: crashed"));
        let known = ["ok", "partial", "Io 5", tracing::MISSED];
        assert!(known.contains(&&*outcome), "{fault}: {outcome}");
        assert!(name != "fsync" || outcome == "Io 5" || outcome == tracing::MISSED, "{fault}: {outcome}");
        *met += usize::from(outcome != tracing::MISSED);
        assert_prune_recovers(&fork, &fault);
    }
    assert!(met.values().all(|&met| met > 0), "calls that a fault met: {met:?}");
}

/// A prune unlinks an archive only after it is durable that no state names the archive.
#[test]
fn a_prune_makes_it_durable_that_states_are_gone_before_their_archives_go() {
    let Some(tracer) = Tracer::new() else { return };
    let series = much_to_prune();
    let before = series.stored();
    let calls = tracer.trace(&Task::of(&series, "prune"));
    let mut unlinked: Vec<(usize, String)> = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        let Some(path) = call.unlinks() else { continue };
        let Ok(name) = path.strip_prefix(&series.store) else { continue };
        let name = name.to_str().unwrap().to_string();
        if !name.starts_with(".ibt-tmp") {
            unlinked.push((at, name));
        }
    }
    let gone: Vec<_> = before.keys().filter(|name| !series.stored().contains_key(*name)).collect();
    assert_eq!(unlinked.len() + 1, gone.len(), "{unlinked:?} {gone:?}");
    let (states, archives): (Vec<_>, Vec<_>) =
        unlinked.iter().partition(|(_, name)| name.contains(".state."));
    // A newer state may need an older one.
    assert!(states.len() == 2 && states[0].1 > states[1].1, "the newest first: {states:?}");
    let directory_synced = |from: usize, to: usize| {
        calls[from..to].iter().any(|call| call.name == "fsync" && call.is_of(&series.store))
    };
    let (last_state, first, last) = (states[1].0, archives[0].0, archives[archives.len() - 1].0);
    assert!(last_state < first && directory_synced(last_state, first));
    assert!(directory_synced(last, calls.len()));
}

#[test]
fn an_fsync_that_fails_fails_the_backup() {
    let Some(tracer) = Tracer::new() else { return };
    let series = two_snapshots();
    let rehearsal = series.fork();
    let calls = tracer.trace(&Task::of(&rehearsal.twin, "incremental"));
    let syncs = calls.iter().filter(|call| call.name == "fsync" || call.name == "fdatasync");
    let of_store: Vec<_> = syncs.filter(|call| call.is_below(&rehearsal.twin.store)).collect();
    assert!(of_store.len() >= 4, "{of_store:?}");
    for call in of_store {
        let fork = series.fork();
        let fault = format!("{}:error=EIO:when={}", call.name, call.number);
        let outcome = tracer.inject(&Task::of(&fork.twin, "incremental"), &fault);
        assert_eq!(outcome.as_deref(), Some("Io 5"), "{fault}");
        assert_recovers(&fork, &fault);
    }
}

/// The numbers of the getdents64 calls that list a directory of the source.
fn listings(tracer: &Tracer, series: &Series, operation: &str) -> Vec<usize> {
    let rehearsal = series.fork();
    let calls = tracer.trace(&Task::of(&rehearsal.twin, operation));
    let of_source = |call: &&Call| call.name == "getdents64" && call.is_below(&rehearsal.twin.source);
    let mut numbers: Vec<_> = calls.iter().filter(of_source).map(|call| call.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert!(numbers.len() >= 3, "{numbers:?}");
    numbers
}

/// When a listing breaks off, no entry counts as deleted, and an empty listing makes no snapshot.
#[test]
fn listings_that_break_off_lose_nothing() {
    let Some(tracer) = Tracer::new() else { return };
    let mut series = Series::new();
    // More names than one call lists.
    for index in 0..400 {
        series.write(&format!("dir/{index}-{}", "n".repeat(200)), "x");
    }
    series.snapshot();
    let mut partial = 0;
    for number in listings(&tracer, &series, "incremental") {
        let fork = series.fork();
        let fault = format!("getdents64:error=EIO:when={number}");
        let outcome = tracer.inject(&Task::of(&fork.twin, "incremental"), &fault);
        let known = ["ok", "partial", "Io 5", tracing::MISSED];
        assert!(outcome.as_deref().is_some_and(|outcome| known.contains(&outcome)), "{fault}: {outcome:?}");
        partial += usize::from(outcome.as_deref() == Some("partial"));
        fork.twin.assert_newest_is_the_source();
    }
    assert!(partial > 0, "no listing broke off");
    let mut refused = 0;
    for number in listings(&tracer, &series, "full") {
        let fork = series.fork();
        fs::remove_dir_all(&fork.twin.store).unwrap();
        let fault = format!("getdents64:error=EIO:when={number}");
        let outcome = tracer.inject(&Task::of(&fork.twin, "full"), &fault);
        refused += usize::from(outcome.as_deref() == Some("Io 5"));
        if fork.twin.store.exists() && fork.twin.stored().keys().any(|name| name.contains(".state.")) {
            let entries = stored::parse(&fork.twin.newest("state"))["entries"].as_array().unwrap().len();
            assert!(entries > 1, "{fault}: {outcome:?}");
        }
    }
    // strace counts the calls of each thread separately, and the walk lists the root in a thread of its own.
    // `trouble.rs` tests a root that is gone before the walk lists it.
    assert!(refused > 1, "no listing of the root failed");
}

/// Each call that can fail fails once. The result is an error of the right kind or success, never a crash or
/// a loss.
#[test]
fn calls_that_fail_are_errors_and_hurt_nothing() {
    let Some(tracer) = Tracer::new() else { return };
    let series = two_snapshots();
    let rehearsal = series.fork();
    let calls = tracer.trace(&Task::of(&rehearsal.twin, "incremental"));
    let (mut met, mut failed) = (0, 0);
    for (name, number) in worth_a_kill(&calls) {
        let error = match &*name {
            "openat" | "openat2" => "EMFILE",
            "write" | "pwrite64" | "fallocate" | "ftruncate" | "mkdirat" => "ENOSPC",
            "close" => "EIO",
            name if name.starts_with("rename") || name.starts_with("link") => "EIO",
            _ => continue,
        };
        let fork = series.fork();
        let fault = format!("{name}:error={error}:when={number}");
        let outcome = tracer.inject(&Task::of(&fork.twin, "incremental"), &fault);
        let outcome = outcome.unwrap_or_else(|| panic!("{fault}: crashed"));
        if outcome == tracing::MISSED {
            continue;
        }
        met += 1;
        if outcome != "ok" && outcome != "partial" {
            failed += 1;
            assert!(outcome.starts_with("Io ") || outcome.starts_with("Busy "), "{fault}: {outcome}");
            let left: Vec<_> =
                fork.twin.stored().into_keys().filter(|name| name.starts_with(".ibt-tmp")).collect();
            // The failed call may be the one that closes the temporary file.
            assert!(left.is_empty() || name == "close", "{fault}: {left:?}");
        }
        assert_recovers(&fork, &fault);
    }
    assert!(met >= 10 && failed >= 5, "{met} faults met a call, and {failed} of them failed the backup");
}

/// Makes a backup to a file system that the mount `options` make too small. The backup must fail without a trace, and
/// succeed after a remount with the options `more`.
fn run_out_of_room(options: &str, more: &str) {
    let series = Series::new();
    fs::create_dir(&series.store).unwrap();
    let Some(room) = Mount::tmpfs(&series.store, options) else {
        return skip("mounting is not allowed here");
    };
    series.write("large", noise(1, 6_000_000));
    let error = series.full().refused(Kind::Io);
    assert_eq!(error.os_code, libc::ENOSPC, "{error}");
    assert!(series.stored().is_empty(), "{:?}", series.stored());
    room.remount(more);
    series.full().whole();
    series.assert_newest_is_the_source();
}

#[test]
fn a_full_disk_is_an_error_and_leaves_no_trace() {
    run_out_of_room("size=3m", "size=64m");
}

#[test]
fn a_disk_without_inodes_is_an_error_and_leaves_no_trace() {
    run_out_of_room("size=64m,nr_inodes=3", "nr_inodes=1000");
}

#[test]
fn a_full_disk_fails_a_restore_without_a_trace() {
    let series = Series::new();
    series.write("large", noise(1, 6_000_000));
    series.full().whole();
    let place = series.beside("small");
    fs::create_dir(&place).unwrap();
    let Some(room) = Mount::tmpfs(&place, "size=3m") else {
        return skip("mounting is not allowed here");
    };
    let error = series.restore(Select::Newest, &place.join("dest")).refused(Kind::Io);
    assert_eq!(error.os_code, libc::ENOSPC, "{error}");
    assert!(stored(&place).is_empty(), "{:?}", stored(&place));
    drop(room);
}

/// An error for one entry costs only that entry: it is reported, and all others are restored. An error that
/// would hit each entry ends the restore, and nothing is left.
#[test]
fn a_refused_link_costs_the_link_unless_everything_is_refused() {
    let Some(tracer) = Tracer::new() else { return };
    let mut series = two_snapshots();
    std::os::unix::fs::symlink("grows", series.source.join("dir/link")).unwrap();
    series.snapshot();
    let rest = series.points[2].kept.facts.len() - 1;
    let of_one = "EACCES EPERM EINVAL EILSEQ ENAMETOOLONG EFBIG EROFS ENOSYS EOPNOTSUPP EMLINK EDQUOT EIO ENOENT ENOTDIR \
                  EEXIST EBADMSG EREMOTEIO ESTALE EOVERFLOW";
    for code in of_one.split_whitespace() {
        let fork = series.fork();
        let outcome = tracer.inject(&Task::of(&fork.twin, "restore"), &format!("symlinkat:error={code}"));
        assert_eq!(outcome.as_deref(), Some("partial"), "{code}");
        assert_eq!(facts(&fork.twin.beside("dest")).len(), rest, "{code}");
    }
    for code in ["ENOSPC", "ENOMEM", "EMFILE", "ENFILE"] {
        let fork = series.fork();
        let outcome = tracer.inject(&Task::of(&fork.twin, "restore"), &format!("symlinkat:error={code}"));
        assert!(outcome.as_ref().is_some_and(|outcome| outcome.starts_with("Io ")), "{code}: {outcome:?}");
        assert!(!fork.twin.beside("dest").exists(), "{code}");
    }
}

#[test]
fn a_read_only_store_is_an_error_for_writers_only() {
    let series = Series::new();
    fs::create_dir(&series.store).unwrap();
    let Some(room) = Mount::tmpfs(&series.store, "size=64m") else {
        return skip("mounting is not allowed here");
    };
    series.write("a", noise(1, 10_000));
    series.full().whole();
    room.remount("ro");
    let error = series.incremental().refused(Kind::Io);
    assert_eq!(error.os_code, libc::EROFS, "{error}");
    series.assert_newest_is_the_source();
}

/// Several writers use one key at once. Each succeeds or gets `Busy`, and each snapshot is whole.
#[test]
fn writers_at_once_work_or_are_busy() {
    let series = two_snapshots();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        // Each writer gets a Series of its own, because their caches differ.
        let forks: Vec<_> = (0..8).map(|_| series.fork()).collect();
        let store = &series.store;
        let writers: Vec<_> = forks
            .into_iter()
            .map(|mut fork| {
                fork.twin.store = store.clone();
                scope.spawn(move || (0..4).map(|_| fork.twin.incremental()).collect::<Vec<_>>())
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let done = outcomes.iter().filter(|outcome| outcome.result.is_ok()).count();
    for error in outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err()) {
        assert_eq!(error.kind, Kind::Busy, "{error}");
    }
    assert!(done >= 1);
    assert_eq!(series.list().whole().snapshots.len(), 2 + done);
    series.assert_every_point_restores();
    series.assert_newest_is_the_source();
}
