//! A restore gives the same result with any number of threads: the tree, the reported changes and their order, the
//! lost files, and the files that remain after an error.

mod support;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use ibt::entry::Entry;
use ibt::error::{Error, Kind};
use ibt::job::{Cancel, Codec, Counter, Flow, Job, Observer, Options, Report};
use ibt::store::{DirStore, Store};
use proptest::prelude::*;
use support::forward::forward;
use support::series::{KEY, counter};
use support::*;

const THREADS: [u32; 3] = [1, 2, 4];

/// Remembers the reported changes, and cancels at one of them.
#[derive(Default)]
struct ChangesUntil {
    changes: Vec<(u32, Vec<u8>)>,
    cancel_at: Option<usize>,
}

impl Observer for ChangesUntil {
    fn change(&mut self, what: u32, before: Option<&Entry>, after: Option<&Entry>) -> Flow {
        assert_ne!(self.cancel_at, Some(self.changes.len()), "changes after it was cancelled");
        self.changes.push((what, after.or(before).unwrap().path.as_bytes().to_vec()));
        match self.cancel_at {
            Some(at) if at == self.changes.len() => Flow::Cancel,
            _ => Flow::Continue,
        }
    }
}

fn restore(series: &Series, threads: u32, dest: &Path, changes: &mut ChangesUntil) -> series::Outcome {
    let options = Options { threads, ..series.options.clone() };
    series.restore_with(&options, dest, changes)
}

/// Everything that a restore reports and leaves.
#[derive(Debug, PartialEq)]
struct Said {
    result: Result<(), String>,
    changes: Vec<(u32, Vec<u8>)>,
    counters: Vec<u64>,
    problems: Vec<String>,
    tree: support::facts::TreeFacts,
}

fn said(series: &Series, threads: u32) -> Said {
    let (dest, mut changes) = (series.beside("dest"), ChangesUntil::default());
    let outcome = restore(series, threads, &dest, &mut changes);
    let counters =
        [Counter::Created, Counter::Restored, Counter::BytesRead, Counter::BytesWritten, Counter::Problems];
    let report: &Report = &outcome.report;
    let mut tree = Default::default();
    if dest.exists() {
        tree = facts(&dest);
        series::remove(&dest);
    }
    Said {
        result: outcome.result.map_err(|error| error.to_string()),
        changes: changes.changes,
        counters: counters.into_iter().map(|which| counter(report, which)).collect(),
        problems: report.problems.iter().map(|problem| format!("{problem:?}")).collect(),
        tree,
    }
}

fn assert_threads_agree(series: &Series) -> Said {
    let one = said(series, THREADS[0]);
    for threads in &THREADS[1..] {
        assert_eq!(one, said(series, *threads), "{threads} threads");
    }
    one
}

/// Every archive in the store except SigVaults.
fn archives(series: &Series) -> Vec<std::path::PathBuf> {
    let names = series.stored().into_keys();
    let archives =
        names.filter(|name| [".full.", ".created.", ".updated."].iter().any(|kind| name.contains(kind)));
    archives.map(|name| series.store.join(name)).collect()
}

proptest! {
    #![proptest_config(cases(16))]

    /// The result does not depend on the number of threads, for a whole store and for a store with a flipped byte in
    /// each archive. No restored file has a wrong byte.
    #[test]
    fn any_number_of_threads_restores_the_same(
        codec in prop_oneof![Just(Codec::Zstd(1)), Just(Codec::None)],
        tree in trees(40), rounds in proptest::collection::vec(edits(8), 0..3), at in any::<prop::sample::Index>(),
    ) {
        let mut series = Series::new();
        tree.make(&series.source);
        series.options.codec = codec;
        series.options.allow_empty = true;
        series.snapshot();
        for round in &rounds {
            round.iter().for_each(|edit| edit.apply(&series.source));
            series.snapshot();
        }
        let whole = assert_threads_agree(&series);
        prop_assert_eq!(&whole.result, &Ok(()));
        prop_assert_eq!(&whole.tree, &series.points.last().unwrap().kept.facts);
        for archive in archives(&series) {
            let mut bytes = fs::read(&archive).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 0x10;
            fs::write(&archive, bytes).unwrap();
        }
        let damaged = assert_threads_agree(&series);
        for (path, one) in &damaged.tree {
            prop_assert_eq!(&one.hash, &whole.tree[path].hash, "{:?}", String::from_utf8_lossy(path));
        }
    }
}

/// Many directories, many small files, some files of several frames, hard and symbolic links between them, and two
/// rounds of deltas.
fn many() -> Series {
    let mut series = Series::new();
    series.write("big", noise(1, 9_000_000));
    for dir in 0..30 {
        for file in 0..30 {
            series.write(&format!("d{dir}/f{file}"), noise(dir * 100 + file, 2000 + file as usize * 100));
        }
        series.write(&format!("d{dir}/larger"), noise(dir, 300_000));
    }
    series.write("empty", "");
    fs::hard_link(series.source.join("d3/f3"), series.source.join("d3/f3 too")).unwrap();
    fs::hard_link(series.source.join("d3/f4"), series.source.join("z")).unwrap();
    std::os::unix::fs::symlink("d3", series.source.join("link")).unwrap();
    series.snapshot();
    for round in 0..2 {
        for dir in (0..30).step_by(2) {
            let path = format!("d{dir}/larger");
            let mut bytes = fs::read(series.source.join(&path)).unwrap();
            bytes.splice(round * 1000..round * 1000, *b"inserted");
            series.write(&path, bytes);
        }
        series.snapshot();
    }
    series
}

#[test]
fn a_tree_of_many_batches_restores_the_same() {
    let series = many();
    let whole = assert_threads_agree(&series);
    assert_same_facts(&series.points.last().unwrap().kept.facts, &whole.tree);
    let files: Vec<_> = whole.changes.iter().map(|(_, path)| path.clone()).collect();
    let mut sorted = files.clone();
    sorted.sort_by(|a, b| ibt::entry::compare_paths(a, b));
    let linked = |path: &[u8]| [&b"d3/f3 too"[..], b"z", b"link"].contains(&path);
    sorted.retain(|path| !linked(path));
    assert_eq!(files[..sorted.len()], sorted, "not changes in the order of the entries");
}

/// One frame in the middle is damaged. Exactly its files are lost, in path order.
#[test]
fn a_damaged_frame_costs_the_same_files() {
    let series = many();
    let full = archives(&series).into_iter().find(|path| path.to_string_lossy().contains(".full.")).unwrap();
    let mut bytes = fs::read(&full).unwrap();
    let middle = bytes.len() * 3 / 4;
    bytes[middle] ^= 1;
    fs::write(&full, bytes).unwrap();
    let said = assert_threads_agree(&series);
    assert!(said.problems.len() > 5 && said.tree.len() > 500, "{} lost", said.problems.len());
    let why: BTreeSet<_> =
        said.problems.iter().map(|changes| &changes[changes.find("offset").unwrap()..]).collect();
    assert_eq!(why.len(), 1, "each is changes why: {why:?}");
}

/// After the caller cancels, no further change is reported and no file remains.
#[test]
fn cancelled_at_any_change_nothing_is_left() {
    let mut series = Series::new();
    // There are more directories than one batch may hold open.
    for file in 0..300 {
        series.write(&format!("d{}/f{file:03}", file / 2), noise(file, 100));
    }
    series.snapshot();
    let dest = series.beside("dest");
    let before = series::around(&series);
    for threads in [1, 4] {
        for at in (1..).step_by(41) {
            let mut changes = ChangesUntil { cancel_at: Some(at), ..ChangesUntil::default() };
            let outcome = restore(&series, threads, &dest, &mut changes);
            if outcome.result.is_ok() {
                assert!(at > 450);
                series::remove(&dest);
                break;
            }
            outcome.refused(Kind::Cancelled);
            assert_eq!(series::around(&series), before, "cancelled at change {at}");
        }
    }
}

/// A directory store that counts the bytes read from its archives, and that fails at one of these reads.
struct Watched {
    inner: DirStore,
    read: Rc<Cell<u64>>,
    reads_left: u64,
}

impl Watched {
    fn new(series: &Series, reads_left: u64) -> Watched {
        Watched { inner: DirStore::open(&series.store), read: Rc::default(), reads_left }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Watched {
    fn read_at(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        if !name.contains(".state.") {
            if self.reads_left == 0 {
                return Err(Error::new(Kind::Storage, "read", "the store is out of order"));
            }
            self.reads_left -= 1;
            self.read.set(self.read.get() + buf.len() as u64);
        }
        self.inner.read_at(name, offset, buf)
    }

    forward!(inner: require check_exists list create sync delete locks sweep_drafts links places);
}

/// The store fails at the first read, then at the second, and so on. Each time the restore fails, and reports the same
/// entries with one thread as with four. No file remains.
#[test]
fn a_store_that_fails_ends_the_restore_alike() {
    let series = many();
    let dest = series.beside("dest");
    let before = series::around(&series);
    let run = |threads, reads| {
        let options = Options { threads, ..series.options.clone() };
        let (mut changes, mut store) = (ChangesUntil::default(), Watched::new(&series, reads));
        let mut job = Job::new(&options, &Cancel::default(), &mut changes);
        let result = ibt::restore::restore(&mut store, KEY, &dest, &mut job);
        (result.map_err(|error| (error.kind, error.to_string())), changes.changes)
    };
    for reads in 0.. {
        let one = run(1, reads);
        if one.0.is_ok() {
            assert!(reads > 10 && one.1.len() > 900);
            return series::remove(&dest);
        }
        assert_eq!(one.0.as_ref().unwrap_err().0, Kind::Storage);
        assert_eq!(one, run(4, reads), "{reads} reads");
        // The entries between "big" and the first file with deltas need no read of their own.
        let changes = |path: &[u8]| one.1.iter().any(|(_, changes)| changes == path);
        assert!(changes(b"d0/f9") || !changes(b"big"), "{reads} reads");
        assert_eq!(series::around(&series), before, "{reads} reads");
    }
}

/// Compares the bytes read from the archives with the bytes of the reported files.
struct Ahead {
    read: Rc<Cell<u64>>,
    changes: u64,
    most: u64,
}

impl Observer for Ahead {
    fn change(&mut self, _: u32, _: Option<&Entry>, after: Option<&Entry>) -> Flow {
        self.most = self.most.max(self.read.get().saturating_sub(self.changes));
        self.changes += after.map_or(0, Entry::size);
        Flow::Continue
    }
}

/// With any number of threads, the bytes that are read and not yet written are limited, independent of the size of
/// the tree.
#[test]
fn reading_ahead_is_bounded() {
    let mut series = Series::new();
    for file in 0..120 {
        series.write(&format!("f{file:03}"), noise(file, 600_000));
    }
    series.snapshot();
    let options = Options { threads: 16, ..series.options.clone() };
    let mut store = Watched::new(&series, u64::MAX);
    let mut ahead = Ahead { read: store.read.clone(), changes: 0, most: 0 };
    let mut job = Job::new(&options, &Cancel::default(), &mut ahead);
    let dest = series.beside("dest");
    ibt::restore::restore(&mut store, KEY, &dest, &mut job).unwrap();
    assert_eq!(ahead.changes, 120 * 600_000);
    assert!(store.read.get() < 75_000_000, "a frame was fetched twice");
    assert!((8 << 20..44 << 20).contains(&ahead.most), "{} bytes ahead", ahead.most);
}
