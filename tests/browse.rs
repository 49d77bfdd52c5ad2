//! Browsing a snapshot: listing its entries, and reading any range of its files.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use ibt::entry::{Entry, File, Hash, Metadata, Node, Path, Place, compare_paths};
use ibt::error::{Error, Kind};
use ibt::format::{FrameWriter, Header, Made, SnapshotKind, StateWriter, Totals};
use ibt::inspect::Snapshot;
use ibt::job::{Cancel, Codec, Flow, Select, Silent};
use ibt::pool::Pool;
use ibt::stamp::{Stamp, Time};
use ibt::store::{DirStore, Store};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use support::forward::forward;
use support::series::KEY;
use support::*;

fn path(bytes: impl AsRef<[u8]>) -> Path {
    Path::new(bytes.as_ref()).unwrap()
}

fn try_open(series: &Series, store: &mut dyn Store, select: Select) -> Result<Snapshot, Error> {
    let options = ibt::job::Options { select, ..series.options.clone() };
    let mut silent = Silent;
    let cancel = Cancel::default();
    let mut job = ibt::job::Job::new(&options, &cancel, &mut silent);
    Snapshot::open(store, KEY, &mut job)
}

fn open(series: &Series, select: Select) -> (Snapshot, DirStore) {
    let mut store = DirStore::open(&series.store);
    let snapshot = try_open(series, &mut store, select).unwrap();
    (snapshot, store)
}

fn list(snapshot: &mut Snapshot, dir: &Path, depth: u32) -> Vec<Entry> {
    let mut entries = Vec::new();
    let each = &mut |entry: &Entry| {
        entries.push(entry.clone());
        Flow::Continue
    };
    snapshot.list(dir, depth, each).unwrap();
    entries
}

/// The entries from the place of `snapshot` to its end, one at a time.
fn pulled(snapshot: &mut Snapshot) -> Vec<Entry> {
    std::iter::from_fn(|| snapshot.next_entry().unwrap()).collect()
}

fn read(
    snapshot: &mut Snapshot,
    store: &mut dyn Store,
    file: &Path,
    offset: u64,
    len: u64,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let sink = &mut |piece: &[u8]| {
        assert!(!piece.is_empty());
        bytes.extend_from_slice(piece);
        Flow::Continue
    };
    snapshot.read(store, file, offset, len, sink).map(|()| bytes)
}

/// The paths that a list of `dir` down to `depth` must give. `paths` are all paths, in any order.
fn expected<'p>(paths: impl Iterator<Item = &'p [u8]>, dir: &Path, depth: u32) -> Vec<&'p [u8]> {
    let names = |path: &[u8]| path.split(|&b| b == b'/').filter(|name| !name.is_empty()).count();
    let base = names(dir.as_bytes());
    let below = |path: &&[u8]| {
        dir.is_root()
            || *path == dir.as_bytes()
            || path.strip_prefix(dir.as_bytes()).is_some_and(|rest| rest[0] == b'/')
    };
    let mut found: Vec<_> = paths.filter(below).filter(|path| names(path) - base <= depth as usize).collect();
    found.sort_by(|a, b| compare_paths(a, b));
    found
}

/// Ranges of a file of `len` bytes, as (offset, length): some at its ends, and one for each pair of shares in `at`.
fn parts(len: u64, at: &[(f64, f64)]) -> Vec<(u64, u64)> {
    let ends =
        [(0, u64::MAX), (0, len), (0, 0), (len, 5), (len.saturating_add(7), u64::MAX), (len / 2, u64::MAX)];
    let share = |part: f64| (part * len as f64) as u64;
    ends.into_iter().chain(at.iter().map(|(from, part)| (share(*from), share(*part)))).collect()
}

proptest! {
    #![proptest_config(cases(16))]

    /// Lists each directory with several depths, and reads ranges of each file, in each snapshot.
    #[test]
    fn a_snapshot_shows_what_was_backed_up(
        tree in trees(24), rounds in vec(edits(8), 0..4), codec in prop_oneof![Just(Codec::Zstd(1)), Just(Codec::None)],
        places in vec((0.0..1.0f64, 0.0..1.0f64), 6),
    ) {
        let mut series = Series::new();
        series.options.codec = codec;
        series.options.allow_empty = true;
        tree.make(&series.source);
        series.snapshot();
        for round in &rounds {
            round.iter().for_each(|edit| edit.apply(&series.source));
            series.snapshot();
        }
        for point in &series.points {
            let (mut snapshot, mut store) = open(&series, Select::Exactly(point.stamp));
            prop_assert_eq!(snapshot.stamp(), point.stamp);
            let all = list(&mut snapshot, &path(""), u32::MAX);
            prop_assert_eq!(&pulled(&mut snapshot), &all);
            prop_assert_eq!(snapshot.next_entry().unwrap(), None);
            snapshot.rewind();
            prop_assert_eq!(snapshot.next_entry().unwrap(), all.first().cloned());
            snapshot.rewind();
            let facts = &point.kept.facts;
            for (name, fact) in facts {
                let at = path(name);
                for depth in [0, 1, 2, u32::MAX] {
                    let found = list(&mut snapshot, &at, depth);
                    let found: Vec<_> = found.iter().map(|entry| entry.path.as_bytes()).collect();
                    prop_assert_eq!(found, expected(facts.keys().map(|name| &name[..]), &at, depth));
                }
                let entry = list(&mut snapshot, &at, 0).pop().unwrap();
                prop_assert_eq!((entry.node.file_type().word(), entry.size()), (fact.kind, fact.size));
                if fact.kind != "file" {
                    let refused = read(&mut snapshot, &mut store, &at, 0, 1).unwrap_err();
                    prop_assert_eq!(refused.kind, Kind::InvalidArg);
                    continue;
                }
                let bytes = fs::read(facts::join(&point.kept.copy, name)).unwrap();
                for (from, len) in parts(fact.size, &places) {
                    let got = read(&mut snapshot, &mut store, &at, from, len).unwrap();
                    let end = from.saturating_add(len).min(fact.size);
                    let wanted = &bytes[from.min(end) as usize..end as usize];
                    prop_assert!(got == wanted, "{:?}: {len} bytes from {from}", at);
                }
            }
        }
    }

    /// A list jumps over lines that it does not show, and never over a line that it shows.
    #[test]
    fn lists_of_large_trees_read_few_lines(
        paths in btree_set("[ab](/[a-d.]{1,2}){0,7}", 0..1500).prop_map(usable), at in any::<prop::sample::Index>(),
    ) {
        let series = Series::new();
        synthetic(&series, paths.iter().map(|path| path.as_bytes()));
        let (mut snapshot, _) = open(&series, Select::Newest);
        let all = || paths.iter().map(|path| path.as_bytes());
        let some = paths.iter().nth(at.index(paths.len())).unwrap();
        for at in [path(""), path("a"), path(some)] {
            for depth in [0, 1, 2, 3, u32::MAX] {
                let wanted = expected(all(), &at, depth);
                if wanted.is_empty() {
                    let absent = snapshot.list(&at, depth, &mut |_| Flow::Continue).unwrap_err();
                    prop_assert_eq!(absent.kind, Kind::NotFound);
                    continue;
                }
                let before = snapshot.lines_read();
                let found = list(&mut snapshot, &at, depth);
                let read = snapshot.lines_read() - before;
                let found: Vec<_> = found.iter().map(|entry| entry.path.as_bytes()).collect();
                prop_assert!(read <= 2 + (found.len() as u64 + 1) * (1 + snapshot.lines_per_jump()));
                prop_assert_eq!(found, wanted);
            }
        }
    }
}

/// The paths that are valid for entries, and all directories above them.
fn usable(paths: BTreeSet<String>) -> BTreeSet<String> {
    let mut all = BTreeSet::from([String::new()]);
    for path in paths.into_iter().filter(|path| Path::new(path.as_bytes()).is_ok()) {
        all.extend(path.match_indices('/').map(|(at, _)| path[..at].to_string()));
        all.insert(path);
    }
    all
}

/// Writes a state with these paths, without a backup, as the only snapshot of the store. A path with other paths below
/// it is a directory, and every other path is an empty file.
fn synthetic<'p>(series: &Series, paths: impl Iterator<Item = &'p [u8]>) {
    let stamp = Stamp::parse("20261122T220530.123456Z").unwrap();
    let header = Header {
        key: KEY.into(),
        series: "0123456789abcdef0123456789abcdef".into(),
        host: "here".into(),
        snapshot: stamp,
        kind: SnapshotKind::Full,
        seq: 1,
        source: b"/tree".to_vec(),
        library: "a test".into(),
        scanned_at: Time::now(),
        made_at: Time::now(),
        parent: None,
        inodes_unstable: false,
        labels: Default::default(),
        layers: Vec::new(),
        needs: Vec::new(),
        unknown: Vec::new(),
    };
    let frames = FrameWriter::new(Vec::new(), Codec::Zstd(1), Arc::new(Pool::new(1).unwrap()));
    let mut writer = StateWriter::new(frames, &header).unwrap();
    let mut sorted: Vec<_> = paths.collect();
    sorted.sort_by(|a, b| compare_paths(a, b));
    let empty = File { size: 0, hash: blake3::hash(b"").into(), holes: Vec::new() };
    for (index, at) in sorted.iter().enumerate() {
        let holds = |next: &&[u8]| path(next).parent() == Some(at);
        let is_dir = at.is_empty() || sorted.get(index + 1).is_some_and(holds);
        let node = if is_dir { Node::Dir } else { Node::File(empty.clone()) };
        let (meta, place) = (Metadata::default(), Place::default());
        let entry = Entry::new(path(at), node, meta, place);
        writer.entry(&entry).unwrap();
    }
    let made = Made { totals: &Totals::default(), problems: &[], finished_at: Time::now() };
    let state = writer.finish(&[], &made).unwrap().file;
    fs::create_dir_all(&series.store).unwrap();
    fs::write(series.store.join(format!("{KEY}.state.{stamp}.json.zst")), state.out).unwrap();
}

#[test]
fn one_directory_of_many_entries_costs_a_few_lines() {
    let series = Series::new();
    let files = (0..400).flat_map(|dir| (0..500).map(move |file| format!("d{dir:03}/sub/file {file:03}")));
    let paths = usable(files.collect());
    synthetic(&series, paths.iter().map(|path| path.as_bytes()));
    let (mut snapshot, _) = open(&series, Select::Newest);
    assert_eq!(snapshot.lines_read(), 0);
    assert_eq!(list(&mut snapshot, &path("d200/sub"), 1).len(), 501);
    assert!(snapshot.lines_read() < 501 + 2 * snapshot.lines_per_jump(), "{}", snapshot.lines_read());
    let before = snapshot.lines_read();
    assert_eq!(list(&mut snapshot, &path(""), 1).len(), 401);
    let read = snapshot.lines_read() - before;
    assert!(read < 402 * (1 + snapshot.lines_per_jump()), "{read} of 200,801 lines");
    assert!(snapshot.index_bytes() < 1 << 20, "{}", snapshot.index_bytes());

    // Pulling entries and listing directories by turns.
    let mut count = 0;
    let mut before: Option<Entry> = None;
    while let Some(entry) = snapshot.next_entry().unwrap() {
        assert!(before.as_ref().is_none_or(|before| before.path < entry.path));
        count += 1;
        if count % 20_000 == 0 {
            assert_eq!(list(&mut snapshot, &path("d200/sub"), 1).len(), 501);
        }
        before = Some(entry);
    }
    assert_eq!(count, 200_801);
}

/// A store that counts the bytes that are read from it.
struct Counting {
    store: DirStore,
    read: u64,
}

#[deny(clippy::missing_trait_methods)]
impl Store for Counting {
    fn read_at(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let got = self.store.read_at(name, offset, buf)?;
        self.read += got as u64;
        Ok(got)
    }

    forward!(store: require check_exists list create sync delete locks sweep_drafts links places);
}

fn counting(series: &Series) -> (Snapshot, Counting) {
    let mut store = Counting { store: DirStore::open(&series.store), read: 0 };
    let snapshot = try_open(series, &mut store, Select::Newest).unwrap();
    store.read = 0;
    (snapshot, store)
}

const FRAME: u64 = 4 << 20;

/// Writes a file of 160 MiB, which zstd compresses to about a third.
fn write_big(series: &Series) -> u64 {
    let mut bytes = noise(3, 16 << 20);
    for half in bytes.chunks_mut(4096) {
        half[1400..].fill(b'x');
    }
    let big = bytes.repeat(10);
    series.write("big", &big);
    big.len() as u64
}

#[test]
fn a_small_file_of_a_large_archive_costs_a_frame() {
    for codec in [Codec::None, Codec::Zstd(1)] {
        let mut series = Series::new();
        series.options.codec = codec;
        let len = write_big(&series);
        series.write("small", "only this");
        series.full().whole();
        assert!(fs::metadata(series.newest("full")).unwrap().len() > 40 << 20);
        let (mut snapshot, mut store) = counting(&series);
        assert_eq!(read(&mut snapshot, &mut store, &path("small"), 0, u64::MAX).unwrap(), b"only this");
        assert!(store.read < FRAME + (64 << 10), "{} bytes were read for 9", store.read);
        store.read = 0;
        let part = read(&mut snapshot, &mut store, &path("big"), len / 2, 10).unwrap();
        assert_eq!(part, noise(3, 10));
        assert!(store.read <= FRAME, "{} bytes were read for 10", store.read);
    }
}

/// Reads a file in small steps, like a file system.
#[test]
fn reading_on_in_a_file_reads_no_frame_twice() {
    let mut series = Series::new();
    series.options.codec = Codec::None;
    let bytes = noise(5, 60 << 20);
    series.write("f", &bytes);
    series.full().whole();
    let (mut snapshot, mut store) = counting(&series);
    const STEP: usize = 128 << 10;
    for (index, wanted) in bytes.chunks(STEP).enumerate() {
        let offset = (index * STEP) as u64;
        let got = read(&mut snapshot, &mut store, &path("f"), offset, STEP as u64).unwrap();
        assert!(got == wanted, "at {offset}");
    }
    assert!(store.read < (60 << 20) + FRAME, "{} bytes were read", store.read);
}

/// The delta is larger than the frames that are kept in memory. Even so, no range may read all of it again.
#[test]
fn deltas_are_read_once_for_all_parts_of_a_file() {
    let mut series = Series::new();
    series.options.codec = Codec::None;
    let mut bytes = noise(5, 80 << 20);
    series.write("f", &bytes);
    series.full().whole();
    bytes.splice(10 << 20..10 << 20, noise(6, 56 << 20));
    series.write("f", &bytes);
    series.incremental().whole();
    let delta = fs::metadata(series.newest("updated")).unwrap().len();
    let (mut snapshot, mut store) = counting(&series);
    for offset in (0..40 << 20).step_by(5 << 20) {
        let got = read(&mut snapshot, &mut store, &path("f"), offset as u64, 1000).unwrap();
        assert!(got == bytes[offset..offset + 1000], "at {offset}");
    }
    assert!(store.read < delta + 10 * FRAME, "{} bytes were read, the delta has {delta}", store.read);
}

#[test]
fn holes_are_zeros_and_are_not_read() {
    let mut series = Series::new();
    let sparse = fs::File::create(series.source.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 1 << 30).unwrap();
    sparse.set_len(2 << 30).unwrap();
    series.snapshot();
    let (mut snapshot, mut store) = open(&series, Select::Newest);
    let got = read(&mut snapshot, &mut store, &path("sparse"), (1 << 30) - 3, 12).unwrap();
    assert_eq!(got, b"\0\0\0middle\0\0\0");
    assert_eq!(read(&mut snapshot, &mut store, &path("sparse"), (2 << 30) - 4, 9).unwrap(), [0; 4]);
    let mut len = 0;
    let mut sink = |piece: &[u8]| {
        len += piece.len() as u64;
        Flow::Continue
    };
    snapshot.read(&mut store, &path("sparse"), 0, u64::MAX, &mut sink).unwrap();
    assert_eq!(len, 2 << 30);
}

#[test]
fn a_callback_may_end_it_early() {
    let mut series = Series::new();
    series.write("a", noise(1, 9 << 20));
    series.write("b", "x");
    series.snapshot();
    let (mut snapshot, mut store) = open(&series, Select::Newest);
    for (flow, wanted) in [(Flow::Stop, None), (Flow::Cancel, Some(Kind::Cancelled))] {
        let mut calls = 0;
        let listed = snapshot.list(&Path::root(), 1, &mut |_| {
            calls += 1;
            flow
        });
        assert_eq!((calls, listed.err().map(|error| error.kind)), (1, wanted));
        let mut calls = 0;
        let mut sink = |_: &[u8]| {
            calls += 1;
            flow
        };
        let done = snapshot.read(&mut store, &path("a"), 0, u64::MAX, &mut sink);
        assert_eq!((calls, done.err().map(|error| error.kind)), (1, wanted));
    }
    assert_eq!(read(&mut snapshot, &mut store, &path("a"), 0, u64::MAX).unwrap(), noise(1, 9 << 20));
}

#[test]
fn what_is_not_there_is_named() {
    let series = series::one_full();
    let (mut snapshot, mut store) = open(&series, Select::Newest);
    for absent in ["0", "dir/b", "dir/c/below", "zzz", "b\n"] {
        let error = snapshot.list(&path(absent), 1, &mut |_| Flow::Continue).unwrap_err();
        assert_eq!((error.kind, error.path.as_deref()), (Kind::NotFound, Some(absent.as_bytes())));
        let error = read(&mut snapshot, &mut store, &path(absent), 0, 1).unwrap_err();
        assert_eq!((error.kind, error.path.as_deref()), (Kind::NotFound, Some(absent.as_bytes())));
    }
    assert_eq!(list(&mut snapshot, &path("dir/c"), 7).len(), 1);
}

#[test]
fn only_the_expected_snapshot_is_opened() {
    let mut series = series::one_full();
    let digest = open(&series, Select::Newest).0.tree_digest();
    series.options.expected_digest = Some(digest);
    open(&series, Select::Newest);
    series.options.expected_digest = Some(Hash([7; 32]));
    let mut store = DirStore::open(&series.store);
    let refused = try_open(&series, &mut store, Select::Newest).err().map(|error| error.kind);
    assert_eq!(refused, Some(Kind::Mismatch));
    series.options.expected_digest = None;
    let later = Select::Exactly(Stamp::parse("20991231T235959.000000Z").unwrap());
    assert_eq!(try_open(&series, &mut store, later).err().map(|error| error.kind), Some(Kind::NotFound));
}

/// Also refuses a state whose digests are right, but where an entry names an archive that does not exist.
#[test]
fn a_damaged_state_is_not_opened() {
    let series = series::one_full();
    let state = series.newest("state");
    stored::forge(&state, "\"content\":[[0,", "\"content\":[[9,");
    let error = try_open(&series, &mut DirStore::open(&series.store), Select::Newest).err().unwrap();
    assert_eq!(error.kind, Kind::Corrupt, "{error}");
    let mut bytes = fs::read(&state).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&state, bytes).unwrap();
    let error = try_open(&series, &mut DirStore::open(&series.store), Select::Newest).err().unwrap();
    assert_eq!(error.kind, Kind::Corrupt, "{error}");
}

#[test]
fn a_damaged_archive_is_told_by_whoever_reads_it() {
    for codec in [Codec::Zstd(1), Codec::None] {
        let mut series = Series::new();
        series.options.codec = codec;
        series.write("1", "before");
        series.write("2", noise(2, 12 << 20));
        series.write("3", "after");
        series.snapshot();
        let archive = series.newest("full");
        let mut bytes = fs::read(&archive).unwrap();
        bytes[6 << 20] ^= 1;
        fs::write(&archive, bytes).unwrap();
        let (mut snapshot, mut store) = open(&series, Select::Newest);
        assert_eq!(read(&mut snapshot, &mut store, &path("1"), 0, u64::MAX).unwrap(), b"before");
        assert_eq!(read(&mut snapshot, &mut store, &path("3"), 0, u64::MAX).unwrap(), b"after");
        assert_eq!(read(&mut snapshot, &mut store, &path("2"), 0, 9).unwrap(), noise(2, 9));
        let error = read(&mut snapshot, &mut store, &path("2"), 0, u64::MAX).unwrap_err();
        assert_eq!(error.kind, Kind::Corrupt, "{error}");
        let name = archive.file_name().unwrap().to_str().unwrap();
        assert!(error.to_string().contains(name) && error.to_string().contains("offset"), "{error}");
        fs::remove_file(&archive).unwrap();
        let (mut snapshot, mut store) = open(&series, Select::Newest);
        assert_eq!(list(&mut snapshot, &Path::root(), 1).len(), 4);
        let error = read(&mut snapshot, &mut store, &path("1"), 0, 1).unwrap_err();
        assert_eq!((error.kind, error.path.as_deref()), (Kind::Missing, Some(name.as_bytes())));
    }
}
