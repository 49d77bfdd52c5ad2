//! Backups that make no snapshot: dry runs, and increments without changes.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ibt::backup;
use ibt::entry::Entry;
use ibt::error::{Kind, Result};
use ibt::job::{
    Cancel, Counter, DeltaMode, Flow, Job, Observer, Options, ProblemKind, Report, Select, Silent,
};
use ibt::store::{DirAccess, DirStore, LockMode, Store};
use support::layered::layered_chain;
use support::series::{KEY, remove};
use support::*;

/// Collects the changes, each as its bits and its path.
#[derive(Default)]
struct Changes(Vec<(u32, Vec<u8>)>);

impl Observer for Changes {
    fn change(&mut self, what: u32, before: Option<&Entry>, after: Option<&Entry>) -> Flow {
        let path = after.or(before).unwrap().path.as_bytes().to_vec();
        self.0.push((what, path));
        Flow::Continue
    }
}

type Backup = fn(&mut dyn Store, &Path, &mut Job) -> Result<()>;

/// Makes a backup, and returns its report and its changes.
fn make(series: &Series, backup: Backup, options: &Options, access: DirAccess) -> (Report, Changes) {
    let mut changes = Changes::default();
    let mut store = DirStore::open_with(&series.store, access).unwrap();
    let mut job = Job::new(options, &Cancel::default(), &mut changes);
    backup(&mut store, &series.source, &mut job).unwrap();
    (job.report, changes)
}

/// Everything below a directory: for each path the inode, the size, the mtime and the ctime.
fn everything(dir: &Path) -> BTreeMap<PathBuf, (u64, u64, i64, i64, i64)> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        let Ok(meta) = fs::symlink_metadata(&dir) else { continue };
        all.insert(dir.clone(), (meta.ino(), meta.size(), meta.mtime(), meta.ctime(), meta.ctime_nsec()));
        if meta.is_dir() {
            dirs.extend(fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    all
}

const COUNTERS: [Counter; 9] = [
    Counter::Entries,
    Counter::Created,
    Counter::Modified,
    Counter::Unchanged,
    Counter::Moved,
    Counter::Deleted,
    Counter::Metadata,
    Counter::BytesRead,
    Counter::Bytes,
];

/// Makes a dry run and then the backup itself. The dry run changes nothing in the store and the cache, and its report
/// agrees with that of the backup.
fn assert_forecast(series: &Series, backup: Backup, options: &Options, what: &str) {
    let dry_options = Options { dry_run: true, ..options.clone() };
    let access = if series.store.exists() { DirAccess::Read } else { DirAccess::Create };
    let (store, cache) = (everything(&series.store), everything(&series.cache()));
    let (dry, told) = make(series, backup, &dry_options, access);
    assert_eq!(everything(&series.store), store, "{what}");
    assert_eq!(everything(&series.cache()), cache, "{what}");
    assert!(dry.snapshot.is_none() && dry.digest.is_none(), "{what}: {dry:#?}");
    let (real, done) = make(series, backup, options, DirAccess::Create);
    assert_eq!(told.0, done.0, "{what}");
    for counter in COUNTERS {
        assert_eq!(dry.counters.get(counter), real.counters.get(counter), "{what}: {counter:?}");
    }
    let kinds = |report: &Report| report.files.iter().map(|file| file.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&dry), kinds(&real), "{what}");
    for (dry, real) in dry.files.iter().zip(&real.files) {
        // A state has stamps and times, which compress differently.
        let slack = if dry.kind == "state" { 64 } else { 0 };
        assert!(dry.size.abs_diff(real.size) <= slack, "{what}: {dry:?}, {real:?}");
        assert!(dry.path.is_none(), "{what}: {dry:?}");
    }
}

/// Edits of every kind: contents, metadata, new, moved and deleted files, links.
fn edit(series: &Series, round: u64) {
    let file = |name: &str| series.source.join(name);
    let mut long = noise(7, 300_000);
    long[100_000..100_100].copy_from_slice(&noise(round, 100));
    series.write("long", long);
    series.write("dir/small", format!("round {round}"));
    series.write(&format!("dir/new {round}"), noise(100 + round, 5_000));
    fs::set_permissions(file("mode"), fs::Permissions::from_mode(0o600 + round as u32 % 2)).unwrap();
    fs::rename(file(&format!("moved {round}")), file(&format!("moved {}", round + 1))).unwrap();
    if round > 1 {
        fs::remove_file(file(&format!("dir/new {}", round - 1))).unwrap();
    }
}

fn damage_cached_vaults(series: &Series) {
    let copies =
        everything(&series.cache()).into_keys().filter(|path| path.to_string_lossy().contains("sigvault"));
    let damaged =
        copies.map(|path| fs::write(&path, vec![0; fs::metadata(&path).unwrap().len() as usize]).unwrap());
    assert!(damaged.count() > 0);
}

#[test]
fn a_dry_run_reports_what_the_backup_then_does_and_writes_nothing() {
    let series = Series::new();
    series.write("mode", "");
    series.write("dir/stays", noise(1, 20_000));
    series.write("moved 0", noise(2, 270_000));
    fs::hard_link(series.source.join("dir/stays"), series.source.join("link")).unwrap();
    edit(&series, 0);
    assert_forecast(&series, backup::full, &series.options, "the first full");
    let deltas = [DeltaMode::Contents, DeltaMode::Signatures, DeltaMode::Signatures, DeltaMode::Auto];
    for (round, delta) in (1..).zip(deltas) {
        edit(&series, round);
        match round {
            // Signatures are then read from the store, and a real increment puts them into the cache.
            2 => remove(&series.cache()),
            // A real increment removes damaged copies.
            3 => damage_cached_vaults(&series),
            _ => {}
        }
        let options = Options { delta, ..series.options.clone() };
        assert_forecast(&series, backup::incremental, &options, &format!("round {round}"));
        series.assert_newest_is_the_source();
    }
    fs::remove_file(series.store.join(format!("{KEY}.lock"))).unwrap();
    assert_forecast(&series, backup::incremental, &series.options, "nothing changed, and no lock file");
    assert_forecast(&series, backup::full, &series.options, "another full");
}

/// Nothing is repaired, neither in the store nor in the cache.
#[test]
fn a_dry_run_puts_no_lost_layer_back() {
    let series = layered_chain();
    for damages in [false, true] {
        let fork = series.fork();
        let twin = &fork.twin;
        let layer = twin.state_of(series.points[1].stamp);
        match damages {
            true => fs::write(&layer, "damaged").unwrap(),
            false => fs::remove_file(&layer).unwrap(),
        }
        let before = (everything(&twin.store), everything(&twin.cache()));
        let options = Options { dry_run: true, ..twin.options.clone() };
        let (report, _) = make(twin, backup::incremental, &options, DirAccess::Read);
        assert_eq!((everything(&twin.store), everything(&twin.cache())), before);
        assert_eq!(report.files[0].name, layer.file_name().unwrap().to_str().unwrap());
    }
}

/// A dry run is a reader: it excludes prunes, and runs beside a backup.
#[test]
fn a_dry_run_excludes_only_prunes() {
    let series = Series::with_two_snapshots();
    let options = Options { dry_run: true, lock_wait_ms: 0, ..series.options.clone() };
    let lock = |mode| DirStore::open(&series.store).lock(KEY, mode);
    for (mode, works) in [(LockMode::Write, true), (LockMode::Read, true), (LockMode::Delete, false)] {
        let _held = lock(mode).unwrap();
        let made = series.silently(&options, |store, job| backup::incremental(store, &series.source, job));
        assert_eq!(made.result.is_ok(), works, "{mode:?}: {:?}", made.result);
    }
    let _forecast = lock(LockMode::Forecast).unwrap();
    drop(lock(LockMode::Write).unwrap());
    assert!(lock(LockMode::Delete).is_err());
}

fn skipping(series: &Series) -> Options {
    Options { skip_unchanged: true, ..series.options.clone() }
}

fn increment(series: &Series, options: &Options) -> Outcome {
    series.run(options, &Cancel::default(), &mut Silent, |store, job| {
        backup::incremental(store, &series.source, job)
    })
}

/// Makes an increment that makes no snapshot.
fn assert_skipped(series: &Series, options: &Options, what: &str) {
    let (before, newest) = (everything(&series.store), series.list().ok());
    let newest = newest.snapshots.last().unwrap();
    let report = increment(series, options).whole();
    assert_eq!((report.snapshot, report.digest), (Some(newest.stamp), newest.digest), "{what}");
    assert!(report.files.is_empty(), "{what}: {report:#?}");
    assert_eq!(everything(&series.store), before, "{what}");
}

/// Makes an increment that makes a snapshot.
fn assert_made(series: &Series, options: &Options, what: &str) -> Report {
    let states =
        || series.stored().into_keys().filter(|name| name.contains(".state.")).collect::<BTreeSet<_>>();
    let before = states();
    let report = increment(series, options).ok();
    let made = report.snapshot.unwrap().to_string();
    assert!(!before.iter().any(|name| name.contains(&made)), "{what}");
    assert!(states().iter().any(|name| name.contains(&made)), "{what}");
    assert!(!report.files.is_empty(), "{what}");
    report
}

#[test]
fn an_increment_without_changes_makes_no_snapshot_if_that_is_wanted() {
    let series = Series::with_two_snapshots();
    let skip = skipping(&series);
    for detect in [ibt::job::Detect::Metadata, ibt::job::Detect::Content] {
        assert_skipped(&series, &Options { detect, ..skip.clone() }, "nothing changed");
    }
    let dry = Options { dry_run: true, ..skip.clone() };
    assert_skipped(&series, &dry, "the dry run");
    // Without the option, and for a full, there is always a snapshot.
    assert_made(&series, &series.options, "without the option");
    let full = series.silently(&skip, |store, job| backup::full(store, &series.source, job)).whole();
    assert!(!full.files.is_empty());
    assert_skipped(&series, &skip, "after a full");
}

#[test]
fn every_change_makes_a_snapshot() {
    let series = Series::with_two_snapshots();
    let file = |name: &str| series.source.join(name);
    series.write("d/x", "x");
    series.write("d/y", "y");
    let skip = skipping(&series);
    assert_made(&series, &skip, "new files");
    assert_skipped(&series, &skip, "the same files");
    let changes: [(&str, &dyn Fn()); 8] = [
        ("content", &|| drop(series.write("d/x", "z"))),
        ("mode", &|| fs::set_permissions(file("d/x"), fs::Permissions::from_mode(0o640)).unwrap()),
        ("mode of a directory", &|| {
            fs::set_permissions(file("d"), fs::Permissions::from_mode(0o750)).unwrap()
        }),
        ("hard link", &|| fs::hard_link(file("d/x"), file("d/link")).unwrap()),
        ("empty directory", &|| fs::create_dir(file("d/new")).unwrap()),
        ("moved", &|| fs::rename(file("d/y"), file("d/y2")).unwrap()),
        ("deleted", &|| fs::remove_file(file("d/y2")).unwrap()),
        ("another type", &|| {
            fs::remove_file(file("d/link")).unwrap();
            std::os::unix::fs::symlink("x", file("d/link")).unwrap();
        }),
    ];
    for (what, change) in changes {
        change();
        assert_made(&series, &skip, what);
        series.assert_newest_is_the_source();
        assert_skipped(&series, &skip, what);
    }
    // A change right after an increment that made no snapshot is found by the next one.
    series.write("d/x", "?");
    assert_made(&series, &skip, "a change of the same length");
    series.assert_newest_is_the_source();
}

#[test]
fn what_the_state_says_beside_its_entries_makes_a_snapshot_too() {
    let series = Series::with_two_snapshots();
    let skip = skipping(&series);
    increment(&series, &skip).whole();
    assert_skipped(&series, &skip, "nothing changed");
    // Labels.
    let labels = [("why".to_string(), "test".to_string())].into();
    let labelled = Options { labels, ..skip.clone() };
    assert_made(&series, &labelled, "a label");
    assert_skipped(&series, &labelled, "the same label");
    assert_made(&series, &skip, "no label");
    // Entries that are left out.
    let excluding = Options { excludes: vec![b"absent".to_vec()], ..skip.clone() };
    assert_skipped(&series, &excluding, "a pattern that matches nothing");
    series.write("left out", "");
    let excluding = Options { excludes: vec![b"left out".to_vec()], ..skip.clone() };
    assert_made(&series, &excluding, "an entry that is left out, and the time of its directory");
    assert_skipped(&series, &excluding, "the same entry");
    // The entries are the same, but the state says that the backup may have left out any other entry of the root.
    let paths = ["a", "b"].map(|path| ibt::entry::Path::new(path).unwrap());
    let listing = Options { source_paths: Arc::new(paths.to_vec()), ..skip.clone() };
    let report = assert_made(&series, &listing, "other entries that may have been left out");
    assert_eq!(report.counters.get(Counter::Unchanged), report.counters.get(Counter::Entries));
    assert_skipped(&series, &listing, "the same list");
    assert_made(&series, &skip, "nothing is left out");
    // Another host.
    let moved = Options { host: Some("elsewhere".into()), allow_source_change: true, ..skip.clone() };
    assert_made(&series, &moved, "another host");
    assert_skipped(&series, &moved, "the same other host");
}

#[test]
fn a_loss_that_is_known_makes_a_snapshot() {
    let series = Series::with_two_snapshots();
    let skip = skipping(&series);
    increment(&series, &skip).whole();
    assert_skipped(&series, &skip, "nothing changed");
    series.lose("full");
    let report = assert_made(&series, &skip, "an archive is gone");
    assert!(report.problems.iter().any(|problem| problem.kind == ProblemKind::Missing), "{report:#?}");
    assert_skipped(&series, &skip, "its contents are stored again");
    series.restore(Select::Newest, &series.beside("restored")).whole();
    // A layer that the store lost is put back, and the snapshot is made.
    let chain = layered_chain();
    chain.incremental().whole();
    let skip = skipping(&chain);
    assert_skipped(&chain, &skip, "nothing changed");
    fs::remove_file(chain.state_of(chain.points[1].stamp)).unwrap();
    assert_made(&chain, &skip, "a layer is gone");
    assert!(chain.state_of(chain.points[1].stamp).exists());
}

/// Without locks, a prune may remove the parent at any moment. An increment that makes no snapshot names one that
/// exists when it ends.
#[test]
fn without_locks_a_skipped_increment_names_a_snapshot_that_exists() {
    let series = Series::with_two_snapshots();
    let options = Options { allow_unlocked: true, ..skipping(&series) };
    for number in 1.. {
        let fork = series.fork();
        let parent = fork.twin.newest("state");
        let (calls, at) = (std::rc::Rc::new(std::cell::Cell::new(0)), number);
        let counted = calls.clone();
        let mut store = EachCall::new(&fork.twin, move |_| {
            counted.set(counted.get() + 1);
            if counted.get() == at {
                let _ = fs::remove_file(&parent);
            }
            Fate::Goes
        });
        store.has_locks = false;
        let options = Options { cache_dir: fork.twin.options.cache_dir.clone(), ..options.clone() };
        let made = store
            .run(&options, &Cancel::default(), |store, job| backup::incremental(store, &series.source, job));
        if calls.get() < number {
            assert!(number > 3, "the parent is still there: {:?}", made.result);
            return;
        }
        if made.result.is_ok() {
            let named = made.report.snapshot.unwrap();
            let listed = fork.twin.list().whole().snapshots;
            assert!(listed.iter().any(|snapshot| snapshot.stamp == named), "call {number}: {named} is gone");
        }
    }
}

/// The dry run takes no lock for writing, which such a store cannot give.
#[test]
fn a_dry_run_needs_no_locks() {
    let series = Series::with_two_snapshots();
    for operation in [backup::full, backup::incremental] {
        let mut store = EachCall::new(&series, |_| Fate::Goes);
        store.has_locks = false;
        let options = Options { dry_run: true, ..series.options.clone() };
        let made =
            store.run(&options, &Cancel::default(), |store, job| operation(store, &series.source, job));
        let kinds: Vec<_> = made.whole().problems.iter().map(|problem| problem.kind).collect();
        assert_eq!(kinds, [ProblemKind::Unlocked]);
        let made = store
            .run(&series.options, &Cancel::default(), |store, job| operation(store, &series.source, job));
        made.refused(Kind::Unsupported);
    }
}
