//! The backups of the Python ancestor: a chain that an independent script made of tar, json and rdiff is imported, and
//! each snapshot restores the tree that the script had kept.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use ibt::error::{Error, Kind};
use ibt::job::{
    Cancel, Job, Keep, Options, Overwrite, ProblemKind, Report, ReportedSnapshot, Select, Silent,
};
use ibt::stamp::{Stamp, Time};
use ibt::store::{CallbackStore, DirStore, Store};
use proptest::prelude::*;
use support::series::Series;
use support::*;
use tempfile::TempDir;

const KEY: &str = "docs";
const SOURCE: &[u8] = b"/home/me/docs";

/// A chain of the ancestor, and a place for a store of libibt.
struct Fixture {
    dir: TempDir,
}

impl Fixture {
    fn made(args: &[&str]) -> Fixture {
        let dir = tempfile::Builder::new().prefix("ibt-test-").tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ancestor_chain.py");
        run(Command::new("python3").arg(script).arg(args[0]).arg(dir.path()).args(&args[1..]));
        fs::create_dir(dir.path().join("tmp")).unwrap();
        Fixture { dir }
    }

    fn random(seed: u64, points: usize) -> Fixture {
        Fixture::made(&["random", &seed.to_string(), &points.to_string()])
    }

    fn broken(kind: &str) -> Fixture {
        Fixture::made(&["broken", kind])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn ancestor(&self) -> DirStore {
        DirStore::open(self.path("store"))
    }

    fn options(&self) -> Options {
        Options { cache_dir: Some(self.path("cache")), threads: 2, ..Options::default() }
    }

    fn stamps(&self) -> Vec<Stamp> {
        let text = fs::read_to_string(self.path("stamps")).unwrap();
        text.lines().map(|line| Stamp::parse(line).unwrap()).collect()
    }

    /// Imports the chain into `to`, which may be the store of the chain itself.
    fn import_with(&self, to: &str, options: &Options) -> (Result<(), Error>, Report) {
        let (mut store, mut from) = (DirStore::open(self.path(to)), self.ancestor());
        let from: Option<&mut dyn Store> = if to == "store" { None } else { Some(&mut from) };
        run_job(options, |job| ibt::ancestor::import(&mut store, from, KEY, job))
    }

    #[track_caller]
    fn import(&self, to: &str) -> Report {
        let (result, report) = self.import_with(to, &self.options());
        result.unwrap_or_else(|error| panic!("{error}"));
        assert!(!report.is_partial() || !is_root(), "{:#?}", report.problems);
        report
    }

    /// Restores a snapshot of the store `from` to a new directory.
    fn restore(&self, from: &str, stamp: Stamp) -> PathBuf {
        let dest = self.path(&format!("restored-{from}-{stamp}"));
        let options = Options { select: Select::Exactly(stamp), ..self.options() };
        let mut store = DirStore::open(self.path(from));
        let (result, report) = run_job(&options, |job| ibt::ancestor::restore(&mut store, KEY, &dest, job));
        assert_eq!(report.snapshot, Some(stamp));
        result.unwrap_or_else(|error| panic!("{error}"));
        dest
    }

    /// The snapshots and the ancestor's backups in the store `name`.
    fn list(&self, name: &str, key: Option<&str>) -> Vec<ReportedSnapshot> {
        let mut store = DirStore::open(self.path(name));
        let (result, report) = run_job(&self.options(), |job| ibt::ancestor::list(&mut store, key, job));
        result.unwrap_or_else(|error| panic!("{error}"));
        assert!(!report.is_partial(), "{:#?}", report.problems);
        report.snapshots
    }

    /// The stamps of the snapshots in the store `name`, which must all verify.
    fn snapshots(&self, name: &str) -> Vec<Stamp> {
        let mut store = DirStore::open(self.path(name));
        if !self.path(name).exists() {
            return Vec::new();
        }
        let (result, report) = run_job(&self.options(), |job| ibt::inspect::verify(&mut store, None, job));
        result.unwrap_or_else(|error| panic!("{error}"));
        assert!(!report.is_partial(), "{:#?}", report.problems);
        report.snapshots.iter().map(|snapshot| snapshot.stamp).collect()
    }

    #[track_caller]
    fn assert_point(&self, restored: &Path, number: usize) {
        let kept = self.path("points").join(number.to_string());
        let times = fs::read_to_string(kept.with_extension("json")).unwrap();
        let times: BTreeMap<String, i128> = serde_json::from_str(&times).unwrap();
        let (found, expected) = (tree_of(restored), tree_of(&kept));
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "point {number}");
        for (path, node) in &found {
            assert_eq!(node, &expected[path], "{path} of point {number}");
            if let Node::File(_) = node {
                let meta = fs::metadata(restored.join(path)).unwrap();
                let time = Time { secs: meta.mtime(), nanos: meta.mtime_nsec() as u32 };
                assert_eq!(time.to_nanos(), times[path], "the time of {path} of point {number}");
            }
        }
    }

    /// The files of the ancestor, to see that nothing changes them.
    fn ancestor_files(&self) -> BTreeMap<String, Vec<u8>> {
        let files = fs::read_dir(self.path("store")).unwrap().map(Result::unwrap);
        let files =
            files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()));
        files.filter(|(name, _)| name.ends_with(".tgz") || name.contains("T10:30")).collect()
    }
}

fn run_job(
    options: &Options,
    work: impl FnOnce(&mut Job) -> Result<(), Error>,
) -> (Result<(), Error>, Report) {
    let (cancel, mut silent) = (Cancel::default(), Silent);
    let mut job = Job::new(options, &cancel, &mut silent);
    let result = work(&mut job);
    (result, job.report)
}

/// The parts of an entry that the ancestor's format has for every point: type, content, permissions of files, and the
/// target of a link.
#[derive(Debug, PartialEq)]
enum Node {
    Dir,
    File((u32, Vec<u8>)),
    Symlink(PathBuf),
}

fn tree_of(root: &Path) -> BTreeMap<String, Node> {
    let entries = walkdir::WalkDir::new(root).min_depth(1).into_iter().map(Result::unwrap);
    let node = |entry: &walkdir::DirEntry| match entry.file_type() {
        kind if kind.is_dir() => Node::Dir,
        kind if kind.is_symlink() => Node::Symlink(fs::read_link(entry.path()).unwrap()),
        _ => {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
            Node::File((mode, fs::read(entry.path()).unwrap()))
        }
    };
    let path =
        |entry: &walkdir::DirEntry| entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_string();
    entries.map(|entry| (path(&entry), node(&entry))).collect()
}

proptest! {
    #![proptest_config(cases(6))]

    #[test]
    fn every_point_of_a_random_chain_is_listed_and_restored(seed: u64, points in 1..6usize) {
        let fixture = Fixture::random(seed, points);
        let before = fixture.ancestor_files();
        let stamps = fixture.stamps();
        for key in [None, Some(KEY)] {
            let listed = fixture.list("store", key);
            prop_assert_eq!(listed.iter().map(|one| one.stamp).collect::<Vec<_>>(), stamps.clone());
            prop_assert!(listed.iter().all(|one| one.kind.starts_with("ancestor-") && one.digest.is_none()));
            prop_assert!(listed.iter().all(|one| one.source == SOURCE && one.key == KEY));
        }
        for (number, stamp) in stamps.iter().enumerate() {
            fixture.assert_point(&fixture.restore("store", *stamp), number);
        }
        prop_assert!(before == fixture.ancestor_files(), "a file of the ancestor changed");
        prop_assert_eq!(fs::read_dir(fixture.path("store")).unwrap().count(), before.len());
    }

    #[test]
    fn every_point_of_a_random_chain_is_imported(seed: u64, points in 1..7usize, same_store: bool) {
        let fixture = Fixture::random(seed, points);
        let before = fixture.ancestor_files();
        let to = if same_store { "store" } else { "new" };
        let report = fixture.import(to);
        let stamps = fixture.stamps();
        prop_assert_eq!(report.snapshots.iter().map(|one| one.stamp).collect::<Vec<_>>(), stamps.clone());
        prop_assert_eq!(fixture.snapshots(to), stamps.clone());
        for (number, stamp) in stamps.iter().enumerate() {
            fixture.assert_point(&fixture.restore(to, *stamp), number);
            prop_assert_eq!(report.snapshots[number].date, *stamp);
            prop_assert_eq!(&report.snapshots[number].source[..], SOURCE);
            // A reader that knows no stamps of libibt finds the ancestor's date in the state.
            let state = fixture.path(to).join(format!("{KEY}.state.{stamp}.json.zst"));
            let made_at = stored::parse(&state)["made_at"].as_str().unwrap().to_string();
            prop_assert_eq!(Time::parse(&made_at), Some(stamp.to_time()));
        }
        let listed = fixture.list("store", None);
        prop_assert_eq!(listed.iter().map(|one| one.stamp).collect::<Vec<_>>(), stamps);
        prop_assert!(listed.iter().all(|one| one.kind.starts_with("ancestor-") != same_store));
        prop_assert!(before == fixture.ancestor_files(), "a file of the ancestor changed");
    }
}

#[test]
fn a_restore_of_a_point_has_the_options_of_every_restore() {
    let fixture = Fixture::broken("nothing");
    let stamps = fixture.stamps();
    let mut store = fixture.ancestor();
    let restore = |store: &mut DirStore, options: &Options, dest: &str| {
        run_job(options, |job| ibt::ancestor::restore(store, KEY, &fixture.path(dest), job))
    };
    // The newest point, and the last one made until a time.
    restore(&mut store, &fixture.options(), "newest").0.unwrap();
    fixture.assert_point(&fixture.path("newest"), 1);
    let as_of = Select::AsOf(stamps[1].to_time().plus_secs(-1));
    restore(&mut store, &Options { select: as_of, ..fixture.options() }, "older").0.unwrap();
    fixture.assert_point(&fixture.path("older"), 0);
    // A part of it, and over an existing tree.
    let part = Options { includes: vec![b"dir/**".to_vec()], ..fixture.options() };
    let (result, report) = restore(&mut store, &part, "part");
    result.unwrap();
    assert_eq!(tree_of(&fixture.path("part")).into_keys().collect::<Vec<_>>(), ["dir", "dir/b"]);
    assert_eq!(report.files.len(), 5, "{:?}", report.files);
    let over = Options { overwrite: Overwrite::Always, delete_extra: true, ..fixture.options() };
    restore(&mut store, &over, "older").0.unwrap();
    fixture.assert_point(&fixture.path("older"), 1);
    // Nothing is written over the files of the ancestor.
    let error = restore(&mut store, &over, "store").0.unwrap_err();
    assert_eq!(error.kind, Kind::InvalidArg, "{error}");
    let other = Options { select: Select::Exactly(Stamp::from_time(Time::now())), ..fixture.options() };
    assert_eq!(restore(&mut store, &other, "none").0.unwrap_err().kind, Kind::NotFound);
    assert!(!fixture.path("none").exists());
}

#[test]
fn the_ancestors_files_do_not_hide_snapshots_of_the_same_key() {
    let fixture = Fixture::broken("nothing");
    let options = Options { key: Some(KEY.to_string()), ..fixture.options() };
    let mut store = fixture.ancestor();
    let source = fixture.path("tree");
    let error = run_job(&options, |job| ibt::backup::incremental(&mut store, &source, job)).0.unwrap_err();
    assert!(error.to_string().contains("ibt import docs"), "{error}");
    let error = run_job(&options, |job| ibt::retain::consolidate(&mut store, KEY, job)).0.unwrap_err();
    assert!(error.kind == Kind::NotFound && error.to_string().contains("ibt import docs"), "{error}");
    fs::write(source.join("of libibt"), "").unwrap();
    run_job(&options, |job| ibt::backup::full(&mut store, &source, job)).0.unwrap();
    let kinds: Vec<_> = fixture.list("store", Some(KEY)).iter().map(|one| one.kind).collect();
    assert_eq!(kinds, ["ancestor-full", "ancestor-incremental", "full"]);
    assert_eq!(ibt::inspect::keys(&mut store).unwrap()[KEY], 3);
    let newest = fixture.path("newest");
    run_job(&fixture.options(), |job| ibt::ancestor::restore(&mut store, KEY, &newest, job)).0.unwrap();
    assert!(newest.join("of libibt").exists());
    fixture.assert_point(&fixture.restore("store", fixture.stamps()[0]), 0);
    // Only the ancestor's backups have this directory.
    fs::remove_dir_all(source.join("dir")).unwrap();
    run_job(&options, |job| ibt::backup::incremental(&mut store, &source, job)).0.unwrap();
    let part = Options { root: ibt::entry::Path::new("dir").unwrap(), ..fixture.options() };
    let none = fixture.path("none");
    let error = run_job(&part, |job| ibt::ancestor::restore(&mut store, KEY, &none, job)).0.unwrap_err();
    assert!(error.kind == Kind::NotFound && !none.exists(), "{error}");
    // A prune removes no file of the ancestor.
    let before = fixture.ancestor_files();
    run_job(&options, |job| ibt::backup::full(&mut store, &source, job)).0.unwrap();
    let keep = Options { keep: Keep { last: 1, ..Keep::NONE }, ..fixture.options() };
    let (result, report) = run_job(&keep, |job| ibt::retain::prune(&mut store, KEY, job));
    result.unwrap();
    assert!(!report.files.is_empty() && before == fixture.ancestor_files());
}

/// Checks that `series` still has the files of the ancestor as they were.
#[track_caller]
fn assert_kept(series: &Series, files: &BTreeMap<String, Vec<u8>>, after: &str) {
    let objects = series.memory.as_ref().map(|memory| memory.objects());
    for (name, bytes) in files {
        let found = match &objects {
            Some(objects) => objects.get(name).cloned(),
            None => fs::read(series.store.join(name)).ok(),
        };
        assert!(found.as_ref() == Some(bytes), "{name} after {after}");
    }
}

#[test]
fn no_operation_of_libibt_changes_or_misjudges_a_file_of_the_ancestor() {
    let fixture = Fixture::broken("nothing");
    let old_stamps = fixture.stamps();
    for mut series in [partials::in_directory(), partials::in_memory()] {
        series.options.key = Some(series::KEY.into());
        let mut files = BTreeMap::new();
        for (name, bytes) in fixture.ancestor_files() {
            let name = name.strip_prefix(KEY).unwrap();
            files.insert(format!("{}{name}", series::KEY), bytes.clone());
            // Keys that could pass for drafts, or for files of libibt.
            files.insert(
                format!(".ibt-tmp-{}.state.20261122T220530.123456Z.json{name}", series::KEY),
                bytes.clone(),
            );
            files.insert(format!("{}.state.20261122T220530.123456Z.json{name}", series::KEY), bytes);
        }
        fs::create_dir_all(&series.store).unwrap();
        files.iter().for_each(|(name, bytes)| series.replace(name, Some(bytes)));
        series.verify(&series.options).refused(Kind::NotFound);
        series.consolidate().refused(Kind::NotFound);
        series.rebuild_cache().refused(Kind::NotFound);
        series.incremental().refused(Kind::NotFound);
        let last = |last| series.keeping(Keep { last, ..Keep::NONE });
        series.prune(&last(1)).refused(Kind::NotFound);
        assert_kept(&series, &files, "operations that found nothing");
        // A full that did not end leaves a partial state; the next one goes on from it.
        partials::fill(&series);
        partials::cancel_at(&series, 25);
        partials::the_partial(&series);
        assert_kept(&series, &files, "a full that did not end");
        partials::go_on(&series, partials::TOTAL);
        assert_kept(&series, &files, "a full");
        series.write("dir/00", "changed");
        series.incremental().whole();
        series.consolidate().whole();
        series.rebuild_cache().whole();
        assert_kept(&series, &files, "a consolidation");
        assert_eq!(series.verify(&series.options).whole().snapshots.len(), 3);
        let listed =
            series.silently(&series.options, |store, job| ibt::ancestor::list(store, Some(series::KEY), job));
        let listed = listed.whole();
        assert!(listed.problems.is_empty(), "{:?}", listed.problems);
        let kinds: Vec<_> = listed.snapshots.iter().map(|one| one.kind).collect();
        assert_eq!(kinds, ["ancestor-full", "ancestor-incremental", "full", "incremental", "full"]);
        assert_eq!(listed.snapshots[..2].iter().map(|one| one.stamp).collect::<Vec<_>>(), old_stamps);
        let pruned = series.prune(&last(1)).whole();
        assert_kept(&series, &files, "a prune");
        let newest = pruned.snapshots.last().unwrap().stamp;
        let newest = Options { allow_empty: true, ..series.selecting(Select::Exactly(newest)) };
        series.prune(&newest).whole();
        assert_kept(&series, &files, "a prune of every snapshot");
        series.restore(Select::Newest, &series.beside("restored")).refused(Kind::NotFound);
        let left = series.stored();
        assert!(left.keys().all(|name| files.contains_key(name) || name.ends_with(".lock")), "{left:?}");
    }
}

#[test]
fn a_fault_in_a_chain_is_listed_and_hides_no_other_key() {
    let fixture = Fixture::broken("two states of one moment");
    let options = Options { key: Some("other".to_string()), ..fixture.options() };
    let mut store = fixture.ancestor();
    run_job(&options, |job| ibt::backup::full(&mut store, &fixture.path("tree"), job)).0.unwrap();
    let (result, report) = run_job(&fixture.options(), |job| ibt::ancestor::list(&mut store, None, job));
    result.unwrap();
    assert_eq!(report.snapshots.len(), 1);
    assert_eq!(report.problems.len(), 1);
    assert_eq!(report.problems[0].kind, ProblemKind::Damaged);
    let error = run_job(&fixture.options(), |job| {
        ibt::ancestor::restore(&mut store, KEY, &fixture.path("dest"), job)
    });
    assert_eq!(error.0.unwrap_err().kind, Kind::Corrupt);
}

#[test]
fn an_import_that_was_interrupted_goes_on() {
    let fixture = Fixture::random(7, 6);
    let stamps = fixture.stamps();
    // Only the files of the first points are there at first.
    let aside = fixture.path("aside");
    fs::create_dir(&aside).unwrap();
    let late: Vec<_> = fixture
        .ancestor_files()
        .into_keys()
        .filter(|name| {
            name.contains("2013-12-04") || name.contains("2013-12-05") || name.contains("2013-12-06")
        })
        .collect();
    late.iter().for_each(|name| fs::rename(fixture.path("store").join(name), aside.join(name)).unwrap());
    assert_eq!(fixture.import("new").snapshots.len(), 3);
    assert!(fixture.import("new").snapshots.is_empty());
    late.iter().for_each(|name| fs::rename(aside.join(name), fixture.path("store").join(name)).unwrap());
    assert_eq!(fixture.import("new").snapshots.len(), 3);
    assert_eq!(fixture.snapshots("new"), stamps);
    (0..6).for_each(|number| fixture.assert_point(&fixture.restore("new", stamps[number]), number));
}

#[test]
fn an_imported_chain_goes_on_with_ordinary_backups() {
    let fixture = Fixture::random(3, 4);
    fixture.import("new");
    let source = fixture.path("tree");
    fs::write(source.join("later"), "of libibt").unwrap();
    let options = Options {
        key: Some(KEY.to_string()),
        source_name: Some(SOURCE.to_vec()),
        allow_source_change: false,
        ..fixture.options()
    };
    let mut store = DirStore::open(fixture.path("new"));
    let (result, report) = run_job(&options, |job| ibt::backup::incremental(&mut store, &source, job));
    result.unwrap();
    let restored = fixture.restore("new", report.snapshot.unwrap());
    assert_eq!(tree_of(&restored), tree_of(&source));
    assert_eq!(fixture.snapshots("new").len(), 5);
}

#[test]
fn a_chain_is_imported_out_of_the_callers_storage() {
    let fixture = Fixture::random(5, 3);
    let memory = Memory::default();
    for (name, bytes) in fixture.ancestor_files() {
        memory.put(&name, &bytes);
    }
    let mut from = CallbackStore::new(std::sync::Arc::new(memory));
    let mut store = DirStore::open(fixture.path("new"));
    let (result, _) =
        run_job(&fixture.options(), |job| ibt::ancestor::import(&mut store, Some(&mut from), KEY, job));
    result.unwrap();
    let stamps = fixture.stamps();
    assert_eq!(fixture.snapshots("new"), stamps);
    (0..3).for_each(|number| fixture.assert_point(&fixture.restore("new", stamps[number]), number));
}

#[test]
fn files_that_a_killed_run_left_are_named_and_kept() {
    let fixture = Fixture::broken("nothing");
    let left = format!("docs.full.{}.tar.zst", fixture.stamps()[1]);
    fs::create_dir(fixture.path("new")).unwrap();
    fs::write(fixture.path("new").join(&left), "of a killed run").unwrap();
    let (result, report) = fixture.import_with("new", &fixture.options());
    let error = result.unwrap_err();
    assert!(error.kind == Kind::Mismatch && error.to_string().contains(&left), "{error}");
    assert!(report.snapshots.is_empty());
    assert_eq!(fs::read(fixture.path("new").join(&left)).unwrap(), b"of a killed run");
    // The prune that the message names makes room.
    assert!(error.to_string().contains("prune"), "{error}");
    let prune = Options { keep: Keep { last: 1, ..Keep::NONE }, allow_empty: true, ..fixture.options() };
    let mut store = DirStore::open(fixture.path("new"));
    run_job(&prune, |job| ibt::retain::prune(&mut store, KEY, job)).0.unwrap();
    assert_eq!(fixture.import("new").snapshots.len(), 2);
}

#[test]
fn a_key_with_later_snapshots_is_refused() {
    let fixture = Fixture::random(11, 2);
    let options = Options { key: Some(KEY.to_string()), ..fixture.options() };
    let mut store = DirStore::open(fixture.path("new"));
    run_job(&options, |job| ibt::backup::full(&mut store, &fixture.path("tree"), job)).0.unwrap();
    let before = fixture.snapshots("new");
    let error = fixture.import_with("new", &fixture.options()).0.unwrap_err();
    assert_eq!(error.kind, Kind::Mismatch, "{error}");
    assert_eq!(fixture.snapshots("new"), before);
    let other = Options { key: Some("old-docs".to_string()), ..fixture.options() };
    fixture.import_with("new", &other).0.unwrap();
    assert_eq!(fixture.snapshots("new").len(), 3);
}

#[test]
fn a_key_without_backups_of_the_ancestor_is_not_found() {
    let fixture = Fixture::broken("nothing");
    let mut store = DirStore::open(fixture.path("store"));
    let (result, _) = run_job(&fixture.options(), |job| ibt::ancestor::import(&mut store, None, "doc", job));
    assert_eq!(result.unwrap_err().kind, Kind::NotFound);
    assert_eq!(fixture.snapshots("store"), []);
}

/// The kinds of faults that the script makes, each with the kind of the error and a part of the name of the file that
/// the error names.
const FAULTS: &[(&str, Kind, &str)] = &[
    ("full gone", Kind::Missing, ".state.2013-12-01"),
    ("created gone", Kind::Missing, ".state.2013-12-02"),
    ("updated gone", Kind::Missing, "docs."),
    ("state of the full gone", Kind::Missing, ".full."),
    ("state of the increment gone", Kind::Missing, ".created."),
    ("full cut short", Kind::Corrupt, ".full."),
    ("full without its last bytes", Kind::Corrupt, ".full."),
    ("full empty", Kind::Corrupt, ".full."),
    ("created cut short", Kind::Corrupt, ".created."),
    ("updated cut short", Kind::Corrupt, ".updated."),
    ("full flipped", Kind::Corrupt, ".full."),
    ("full with a tail", Kind::Corrupt, ".full."),
    ("full has a wrong checksum", Kind::Corrupt, ".full."),
    ("full has no end", Kind::Corrupt, ".full."),
    ("full has half an end", Kind::Corrupt, ".full."),
    ("full has bytes after its end", Kind::Corrupt, ".full."),
    ("full is no gzip", Kind::Corrupt, ".full."),
    ("full has ..", Kind::Corrupt, ".full."),
    ("full has .. inside", Kind::Corrupt, ".full."),
    ("full has an absolute name", Kind::Corrupt, ".full."),
    ("full has a name twice", Kind::Corrupt, ".full."),
    ("full has a directory twice", Kind::Corrupt, ".full."),
    ("full has an entry below a file", Kind::Corrupt, ".full."),
    ("full has a hard link outside", Kind::Corrupt, ".full."),
    ("full has a hard link to nothing", Kind::Corrupt, ".full."),
    ("full has a name that is not UTF-8", Kind::Corrupt, ".full."),
    ("full has an unknown type", Kind::Corrupt, ".full."),
    ("created has ..", Kind::Corrupt, ".created."),
    ("created has a name twice", Kind::Corrupt, ".created."),
    ("created has an unknown file", Kind::Corrupt, ".created."),
    ("created has a directory", Kind::Corrupt, ".created."),
    ("updated has ..", Kind::Corrupt, ".updated."),
    ("updated has a name twice", Kind::Corrupt, ".updated."),
    ("updated has an unknown file", Kind::Corrupt, ".updated."),
    ("updated has an unchanged file", Kind::Corrupt, ".updated."),
    ("delta is noise", Kind::Corrupt, ".updated."),
    ("delta is cut short", Kind::Corrupt, ".updated."),
    ("delta has a tail", Kind::Corrupt, ".updated."),
    ("delta is empty", Kind::Corrupt, ".updated."),
    ("delta copies from beyond", Kind::Corrupt, ".updated."),
    ("state is no JSON", Kind::Corrupt, ".state."),
    ("state is a list", Kind::Corrupt, ".state."),
    ("state has no files", Kind::Corrupt, ".state."),
    ("state has a number as file", Kind::Corrupt, ".state."),
    ("state has a file twice", Kind::Corrupt, ".state."),
    ("state has ..", Kind::Corrupt, ".state."),
    ("state has an absolute file", Kind::Corrupt, ".state."),
    ("state has a file below a file", Kind::Corrupt, ".state."),
    ("state has a time as text", Kind::Corrupt, ".state."),
    ("state has a time that is no number", Kind::Corrupt, ".state."),
    ("state has a time far away", Kind::Corrupt, ".state."),
    ("state has a file that no archive has", Kind::Missing, ".created."),
    ("state of the full has a file that it lacks", Kind::Missing, ".full."),
    ("state has a half pair", Kind::Corrupt, ".state."),
    ("two states of one moment", Kind::Corrupt, ".state."),
];

#[test]
fn a_chain_with_a_fault_is_refused_and_the_error_names_the_file() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ancestor_chain.py");
    let kinds = run(Command::new("python3").arg(script).arg("kinds"));
    let kinds: BTreeSet<_> =
        std::str::from_utf8(&kinds).unwrap().lines().filter(|kind| *kind != "nothing").collect();
    assert_eq!(kinds, FAULTS.iter().map(|(fault, ..)| *fault).collect(), "the faults of the script");
    for (fault, kind, file) in FAULTS {
        let fixture = Fixture::broken(fault);
        let before = fixture.ancestor_files();
        let error = match fixture.import_with("new", &fixture.options()) {
            (Err(error), _) => error,
            (Ok(()), _) => panic!("{fault}: imported"),
        };
        assert_eq!(error.kind, *kind, "{fault}: {error}");
        assert!(error.to_string().contains(file), "{fault}: {error}");
        // The points before the fault may be there, and each of them is whole.
        let made = fixture.snapshots("new");
        assert_eq!(made, fixture.stamps()[..made.len()], "{fault}");
        made.iter().enumerate().for_each(|(number, stamp)| {
            fixture.assert_point(&fixture.restore("new", *stamp), number);
        });
        assert!(before == fixture.ancestor_files(), "{fault}");
        assert!(!fixture.path("evil").exists() && !Path::new("/evil").exists(), "{fault}");
    }
}

#[test]
fn the_chain_without_a_fault_is_imported() {
    let fixture = Fixture::broken("nothing");
    let report = fixture.import("new");
    assert_eq!(report.snapshots.iter().map(|one| one.kind).collect::<Vec<_>>(), ["full", "incremental"]);
    let stamps = fixture.stamps();
    (0..2).for_each(|number| fixture.assert_point(&fixture.restore("new", stamps[number]), number));
}
