//! A source, a store and a cache in a temporary directory, and the engine's operations on them.
//!
//! The store is a directory. In the test binary `callback_store` the store is a [`Memory`], reached through
//! `store::callbacks`. That binary includes whole test files, which work with both stores.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ibt::error::{Error, Kind};
use ibt::job::{Cancel, Counter, Job, Keep, Observer, Options, ProblemKind, Report, Select, Silent};
use ibt::stamp::Stamp;
use ibt::store::{CallbackStore, DirStore, Store};
use tempfile::TempDir;

use super::kept::Kept;
use super::memory::Memory;
use super::tools::{command, noise, run};

/// The key of each [`Series`]: the last component of the source's path.
pub const KEY: &str = "tree";

/// The result of an operation, and its report.
#[derive(Debug)]
pub struct Outcome {
    pub result: Result<(), Error>,
    pub report: Report,
}

impl Outcome {
    /// The report of a success, which may be partial.
    #[track_caller]
    pub fn ok(self) -> Report {
        match self.result {
            Ok(()) => self.report,
            Err(error) => panic!("{error} ({:?})", error.kind),
        }
    }

    /// The report of a success without losses.
    #[track_caller]
    pub fn whole(self) -> Report {
        let report = self.ok();
        assert!(!report.is_partial(), "partial: {:#?}", report.problems);
        report
    }

    /// The report of a partial success.
    #[track_caller]
    pub fn partial(self) -> Report {
        let report = self.ok();
        assert!(report.is_partial(), "should be partial: {report:#?}");
        report
    }

    /// The error, which must be of `kind`.
    #[track_caller]
    pub fn refused(self, kind: Kind) -> Error {
        match self.result {
            Ok(()) => panic!("should be refused with {kind:?}: {:#?}", self.report),
            Err(error) => {
                assert_eq!(error.kind, kind, "{error}");
                error
            }
        }
    }
}

/// A snapshot, and the source at that time, as [`Series::keep`] recorded them.
pub struct Point {
    pub stamp: Stamp,
    pub kept: Kept,
}

/// Opens a store.
pub type Opens = Box<dyn Fn() -> Box<dyn Store> + Send + Sync>;

pub struct Series {
    pub dir: TempDir,
    pub source: PathBuf,
    /// The path of the store, if it is a directory.
    pub store: PathBuf,
    /// The store, if it is not a directory.
    pub memory: Option<Arc<Memory>>,
    /// Opens the store, if it is neither of them.
    pub opens: Option<Opens>,
    pub options: Options,
    pub points: Vec<Point>,
}

impl Series {
    /// A series with an empty source and no store yet.
    pub fn new() -> Series {
        let over_callbacks = env!("CARGO_CRATE_NAME") == "callback_store";
        Series { memory: over_callbacks.then(Arc::default), ..Series::in_a_directory() }
    }

    /// A series whose store is `memory`.
    pub fn over(memory: Memory) -> Series {
        Series { memory: Some(Arc::new(memory)), ..Series::in_a_directory() }
    }

    /// A series whose store is the one that `opens` opens for each operation.
    pub fn opening(opens: impl Fn() -> Box<dyn Store> + Send + Sync + 'static) -> Series {
        Series { opens: Some(Box::new(opens)), ..Series::in_a_directory() }
    }

    fn in_a_directory() -> Series {
        let dir = tempfile::Builder::new().prefix("ibt-test-").tempdir().unwrap();
        let source = dir.path().join(KEY);
        fs::create_dir(&source).unwrap();
        let options = Options {
            cache_dir: Some(dir.path().join("cache")),
            threads: 2,
            codec: ibt::job::Codec::Zstd(1),
            ..Options::default()
        };
        let store = dir.path().join("store");
        Series { source, store, memory: None, opens: None, options, points: Vec::new(), dir }
    }

    /// A path beside the source and the store.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn cache(&self) -> PathBuf {
        self.options.cache_dir.clone().unwrap()
    }

    /// Writes a file of the source, and creates the directories above it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.source.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn full(&self) -> Outcome {
        self.silently(&self.options, |store, job| ibt::backup::full(store, &self.source, job))
    }

    pub fn incremental(&self) -> Outcome {
        self.silently(&self.options, |store, job| ibt::backup::incremental(store, &self.source, job))
    }

    /// Restores the selected snapshot to `dest`.
    pub fn restore(&self, select: Select, dest: &Path) -> Outcome {
        let options = Options { select, ..self.options.clone() };
        self.restore_with(&options, dest, &mut Silent)
    }

    /// Restores with `options`, and reports to `observer`.
    pub fn restore_with(&self, options: &Options, dest: &Path, observer: &mut dyn Observer) -> Outcome {
        self.run(options, &Cancel::default(), observer, |store, job| {
            ibt::restore::restore(store, KEY, dest, job)
        })
    }

    pub fn list(&self) -> Outcome {
        self.silently(&self.options, |store, job| ibt::inspect::list(store, Some(KEY), job))
    }

    pub fn consolidate(&self) -> Outcome {
        self.silently(&self.options, |store, job| ibt::retain::consolidate(store, KEY, job))
    }

    pub fn rebuild_cache(&self) -> Outcome {
        self.silently(&self.options, |store, job| ibt::retain::rebuild_cache(store, KEY, job))
    }

    /// Prunes with `options`, which say which snapshots to keep or remove.
    pub fn prune(&self, options: &Options) -> Outcome {
        self.silently(options, |store, job| ibt::retain::prune(store, KEY, job))
    }

    /// Verifies the snapshots of this series that `options` select.
    pub fn verify(&self, options: &Options) -> Outcome {
        self.silently(options, |store, job| ibt::inspect::verify(store, Some(KEY), job))
    }

    /// The options of this series, with rules for a prune.
    pub fn keeping(&self, keep: Keep) -> Options {
        Options { keep, ..self.options.clone() }
    }

    /// The options of this series, with a selected snapshot.
    pub fn selecting(&self, select: Select) -> Options {
        Options { select, ..self.options.clone() }
    }

    fn open(&self) -> Box<dyn Store> {
        match (&self.opens, &self.memory) {
            (Some(opens), _) => opens(),
            (None, Some(memory)) => Box::new(CallbackStore::new(memory.clone())),
            (None, None) => Box::new(DirStore::open(&self.store)),
        }
    }

    /// Runs an operation on the store with the given options, cancel flag and observer.
    pub fn run(
        &self,
        options: &Options,
        cancel: &Cancel,
        observer: &mut dyn Observer,
        operation: impl FnOnce(&mut dyn Store, &mut Job) -> Result<(), Error>,
    ) -> Outcome {
        let mut store = self.open();
        store.watch(cancel);
        let mut job = Job::new(options, cancel, observer);
        let result = operation(&mut *store, &mut job);
        if let Some(memory) = &self.memory {
            memory.assert_balanced();
        }
        Outcome { result, report: job.report }
    }

    /// Runs an operation without a cancel and without an observer.
    pub fn silently(
        &self,
        options: &Options,
        operation: impl FnOnce(&mut dyn Store, &mut Job) -> Result<(), Error>,
    ) -> Outcome {
        self.run(options, &Cancel::default(), &mut Silent, operation)
    }

    /// Uses the store of another series from now on.
    pub fn share_store_of(&mut self, other: &Series) {
        self.store = other.store.clone();
        self.memory = other.memory.clone();
    }

    /// A full and an increment with an archive of each kind: `a` grows, `b` is new.
    pub fn with_two_snapshots() -> Series {
        let mut series = Series::new();
        series.write("a", noise(1, 60_000));
        series.snapshot();
        series.write("a", [noise(1, 60_000), noise(2, 500)].concat());
        series.write("b", noise(3, 500));
        series.snapshot();
        series
    }

    /// Makes a full if there is no snapshot yet, and otherwise an increment. Keeps a copy of the source.
    #[track_caller]
    pub fn snapshot(&mut self) -> Report {
        let outcome = if self.points.is_empty() { self.full() } else { self.incremental() };
        let report = outcome.whole();
        self.keep(&report);
        report
    }

    /// Keeps a copy of the source as it is now, for the snapshot in `report`.
    #[track_caller]
    pub fn keep(&mut self, report: &Report) {
        let stamp = report.snapshot.expect("a backup reports its snapshot");
        let kept = Kept::new(&self.source, &self.beside(&format!("kept-{stamp}")));
        self.points.push(Point { stamp, kept });
    }

    /// Restores each kept snapshot and compares the tree with the kept copy.
    #[track_caller]
    pub fn assert_every_point_restores(&self) {
        for index in 0..self.points.len() {
            self.assert_point_restores(index);
        }
    }

    #[track_caller]
    pub fn assert_point_restores(&self, index: usize) {
        let point = &self.points[index];
        let dest = self.beside("restored");
        self.restore(Select::Exactly(point.stamp), &dest).whole();
        point.kept.assert_is(&dest);
        remove(&dest);
    }

    /// Restores the newest snapshot, which must succeed without losses.
    #[track_caller]
    pub fn assert_newest_is_whole(&self) {
        let dest = self.beside("restored");
        self.restore(Select::Newest, &dest).whole();
        remove(&dest);
    }

    /// Restores the newest snapshot and compares the tree with the source as it is now.
    #[track_caller]
    pub fn assert_newest_is_the_source(&self) {
        let dest = self.beside("restored");
        self.restore(Select::Newest, &dest).whole();
        super::assert_same_tree(&self.source, &dest);
        remove(&dest);
    }

    /// Names and sizes of all files in the store, except lock files.
    pub fn stored(&self) -> BTreeMap<String, u64> {
        let size = |(name, bytes): (String, Vec<u8>)| (name, bytes.len() as u64);
        match (&self.opens, &self.memory) {
            (Some(_), _) => {
                let objects = self.open().list("").unwrap();
                objects.into_iter().map(|object| (object.name, object.size)).collect()
            }
            (None, Some(memory)) => memory.objects().into_iter().map(size).collect(),
            (None, None) => stored(&self.store),
        }
    }

    /// True if the store is not a directory that the test reads and writes by itself.
    pub fn is_remote(&self) -> bool {
        self.opens.is_some() || self.memory.is_some()
    }

    /// The content of a stored file.
    #[track_caller]
    pub fn object(&self, name: &str) -> Vec<u8> {
        match (&self.opens, &self.memory) {
            (Some(_), _) => {
                let mut bytes = vec![0; self.stored()[name] as usize];
                let read = self.open().read_at(name, 0, &mut bytes).unwrap();
                assert_eq!(read, bytes.len(), "{name} has another size");
                bytes
            }
            (None, Some(memory)) => memory.objects()[name].clone(),
            (None, None) => fs::read(self.store.join(name)).unwrap(),
        }
    }

    /// Writes a stored file, new or in place of an old one, or removes it, without the engine.
    #[track_caller]
    pub fn replace(&self, name: &str, bytes: Option<&[u8]>) {
        match (&self.opens, &self.memory, bytes) {
            (Some(_), _, bytes) => {
                let mut store = self.open();
                store.delete(name).unwrap();
                let Some(bytes) = bytes else { return };
                let mut draft = store.create(name).unwrap();
                draft.write(bytes).unwrap();
                draft.seal().unwrap();
                draft.publish().unwrap();
            }
            (None, Some(memory), Some(bytes)) => memory.put(name, bytes),
            (None, Some(memory), None) => memory.remove(name),
            (None, None, Some(bytes)) => fs::write(self.store.join(name), bytes).unwrap(),
            (None, None, None) => fs::remove_file(self.store.join(name)).unwrap(),
        }
    }

    /// The paths of all archives in a store that is a directory.
    pub fn archives(&self) -> Vec<PathBuf> {
        let names = self.stored().into_keys().filter(|name| name.contains(".tar"));
        names.map(|name| self.store.join(name)).collect()
    }

    /// The files that are new in the store or have another size than in `before`: their kinds (the second part of the
    /// name, for example "updated") and sizes. Fails if two such files are of one kind.
    #[track_caller]
    pub fn added(&self, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        let mut added = BTreeMap::new();
        for (name, size) in self.stored() {
            if before.get(&name) != Some(&size) {
                let kind = name.split('.').nth(1).unwrap_or_default().to_string();
                assert!(added.insert(kind, size).is_none(), "two files of one kind: {name}");
            }
        }
        added
    }

    /// Makes an increment. Returns its report and the sizes of the new files, by kind.
    #[track_caller]
    pub fn increment(&mut self) -> (Report, BTreeMap<String, u64>) {
        let before = self.stored();
        let report = self.snapshot();
        let added = self.added(&before);
        (report, added)
    }

    #[track_caller]
    fn newest_name(&self, kind: &str) -> String {
        let start = format!("{KEY}.{kind}.");
        let name = self.stored().into_keys().rfind(|name| name.starts_with(&start));
        name.unwrap_or_else(|| panic!("no {kind} in the store"))
    }

    /// The path of a file of the newest snapshot; `kind` is "state", "full", "created" and so on. If the
    /// store is not a directory, this is the path of a copy.
    #[track_caller]
    pub fn newest(&self, kind: &str) -> PathBuf {
        let name = self.newest_name(kind);
        if !self.is_remote() {
            return self.store.join(name);
        }
        let copies = self.beside("copies");
        fs::create_dir_all(&copies).unwrap();
        // A state may have older states as layers.
        let names = self.stored().into_keys().filter(|other| *other == name || other.contains(".state."));
        names.for_each(|name| fs::write(copies.join(&name), self.object(&name)).unwrap());
        copies.join(name)
    }

    /// Removes one file of the newest snapshot from the store.
    #[track_caller]
    pub fn lose(&self, kind: &str) {
        self.replace(&self.newest_name(kind), None);
    }

    /// A copy of the store and the cache. The source and the kept snapshots are shared with `self`.
    pub fn fork(&self) -> Fork<'_> {
        let mut twin = Series::new();
        fs::remove_dir(&twin.source).unwrap();
        for (from, to) in [(&self.store, &twin.store), (&self.cache(), &twin.cache())] {
            if from.exists() {
                run(command("cp", ["-a"]).arg(from).arg(to));
            }
        }
        if let (Some(memory), Some(copy)) = (&self.memory, &twin.memory) {
            memory.objects().iter().for_each(|(name, bytes)| copy.put(name, bytes));
        }
        twin.source = self.source.clone();
        twin.options = Options { cache_dir: twin.options.cache_dir.clone(), ..self.options.clone() };
        Fork { twin, points: &self.points }
    }
}

/// A copy of the store and the cache of a [`Series`], with the same source.
pub struct Fork<'a> {
    pub twin: Series,
    pub points: &'a [Point],
}

impl Fork<'_> {
    #[track_caller]
    pub fn assert_point_restores(&self, index: usize) {
        let dest = self.twin.beside("restored");
        self.twin.restore(Select::Exactly(self.points[index].stamp), &dest).whole();
        super::assert_same_facts(&self.points[index].kept.facts, &super::facts(&dest));
        remove(&dest);
    }
}

/// Names and sizes of all files in a store, except lock files; empty if there is no store.
pub fn stored(store: &Path) -> BTreeMap<String, u64> {
    let Ok(entries) = fs::read_dir(store) else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".lock") {
            found.insert(name, fs::symlink_metadata(entry.path()).unwrap().len());
        }
    }
    found
}

/// A series with a source of a few files and one full backup.
pub fn one_full() -> Series {
    let mut series = Series::new();
    series.write("a", super::noise(1, 40_000));
    series.write("b", "small");
    series.write("dir/c", "smaller");
    series.snapshot();
    series
}

/// Paths and sizes in the series' directory and its store, except the cache and lock files. A refusal must
/// not change them.
pub fn around(series: &Series) -> BTreeMap<PathBuf, u64> {
    let walk = walkdir::WalkDir::new(series.dir.path()).into_iter().filter_map(Result::ok);
    let counts =
        |path: &Path| !path.starts_with(series.cache()) && path.extension().is_none_or(|ext| ext != "lock");
    walk.filter(|entry| counts(entry.path()))
        .map(|entry| {
            let size = if entry.file_type().is_file() { entry.metadata().unwrap().len() } else { 0 };
            (entry.into_path(), size)
        })
        .chain(series.stored().into_iter().map(|(name, size)| (series.store.join(name), size)))
        .collect()
}

/// Runs `operation`, which must fail with `kind` and leave no trace.
#[track_caller]
pub fn refused(series: &Series, kind: Kind, operation: impl FnOnce(&Series) -> Outcome) -> Error {
    let before = around(series);
    let error = operation(series).refused(kind);
    assert_eq!(around(series), before, "{error}: something was written");
    assert!(!error.to_string().contains('\n'), "more than a line: {error}");
    error
}

/// Removes a tree, even if the modes of its directories forbid that.
pub fn remove(tree: &Path) {
    if !super::is_root() {
        run(command("chmod", ["-R", "u+rwX"]).arg(tree));
    }
    fs::remove_dir_all(tree).unwrap();
}

#[track_caller]
pub fn counter(report: &Report, which: Counter) -> u64 {
    report.counters.get(which)
}

/// The paths of the report's problems of one kind, sorted.
pub fn problem_paths(report: &Report, kind: ProblemKind) -> Vec<String> {
    let of_kind = report.problems.iter().filter(|problem| problem.kind == kind);
    let mut paths: Vec<_> = of_kind
        .map(|problem| String::from_utf8_lossy(problem.path.as_deref().unwrap_or_default()).into_owned())
        .collect();
    paths.sort();
    paths
}
