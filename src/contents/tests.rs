//! The cost of reading contents, counted in bytes of decoded frames, and the correctness of every way to read them.

use std::fs;
use std::sync::Arc;

use proptest::prelude::*;

use crate::entry::{Entry, File, Hash, Metadata, Node, Path, Place, Range};
use crate::error::{Error, Kind};
use crate::format::names::BackupFileKind;
use crate::format::{ArchiveFile, ArchiveRef, FrameWriter, WrittenPart, part_name, read_stream};
use crate::job::{Cancel, Codec};
use crate::pool::Pool;
use crate::store::DirStore;

use super::by_frame;
use super::layout::Layout;
use super::prefetch::Prefetch;
use super::read_cost::ReadCost;
use super::reader::{Contents, ReadLimits};

/// Commands of a delta: a literal, or a copy of `.1` bytes from offset `.0` of the basis.
#[derive(Clone, Debug)]
enum Edit {
    Literal(Vec<u8>),
    Copy(u64, u64),
}

fn delta(edits: &[Edit]) -> Vec<u8> {
    let mut delta = b"rs\x026".to_vec();
    for edit in edits {
        match edit {
            Edit::Literal(bytes) => {
                delta.push(0x42);
                delta.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
                delta.extend_from_slice(bytes);
            }
            Edit::Copy(offset, len) => {
                delta.push(0x54);
                delta.extend_from_slice(&offset.to_be_bytes());
                delta.extend_from_slice(&len.to_be_bytes());
            }
        }
    }
    delta.push(0);
    delta
}

fn apply(basis: &[u8], edits: &[Edit]) -> Vec<u8> {
    let bytes = |edit: &Edit| match edit {
        Edit::Literal(bytes) => bytes.clone(),
        Edit::Copy(offset, len) => basis[*offset as usize..(offset + len) as usize].to_vec(),
    };
    edits.iter().flat_map(bytes).collect()
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// A store with a whole copy in one archive and deltas in another archive.
struct Fixture {
    _dir: tempfile::TempDir,
    store: DirStore,
    archives: Vec<ArchiveRef>,
    entry: Entry,
    /// Bytes of both archives' streams.
    streams: u64,
}

impl Fixture {
    fn new(
        whole: &[u8],
        deltas: &[Vec<u8>],
        (len, hash): (u64, Hash),
        frame_len: usize,
        codec: Codec,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        fs::create_dir(&store).unwrap();
        let pool = Arc::new(Pool::new(1).unwrap());
        let end = if codec == Codec::None { "tar" } else { "tar.zst" };
        let (joined, mut at) = (deltas.concat(), 0);
        let mut archives = Vec::new();
        for (kind, bytes) in [(BackupFileKind::Full, whole), (BackupFileKind::Updated, &joined[..])] {
            let mut writer = FrameWriter::new(Vec::new(), codec, pool.clone()).with_frame_len(frame_len);
            writer.write(bytes).unwrap();
            let written = writer.finish().unwrap();
            let name = format!("k.{}.20261101T000000.000000Z.{end}", kind.word());
            fs::write(store.join(&name), &written.out).unwrap();
            let (size, stream, digest) = (written.size, written.stream, written.digest);
            archives.push(ArchiveRef { name, kind, size, stream, digest, parts: Vec::new() });
        }
        let mut content = vec![Range { archive: 0, offset: 0, len: whole.len() as u64 }];
        for delta in deltas {
            content.push(Range { archive: 1, offset: at, len: delta.len() as u64 });
            at += delta.len() as u64;
        }
        let node = Node::File(File { size: len, hash, holes: Vec::new() });
        let place = Place { content, ..Place::default() };
        let entry = Entry::new(Path::new("f").unwrap(), node, Metadata::default(), place);
        let streams = archives.iter().map(|archive| archive.stream).sum();
        Fixture { store: DirStore::open(store), _dir: dir, archives, entry, streams }
    }

    /// Makes a fixture with one delta for each list of edits. Returns the content too.
    fn edited(whole: &[u8], rounds: &[Vec<Edit>], frame_len: usize, codec: Codec) -> (Self, Vec<u8>) {
        let content = rounds.iter().fold(whole.to_vec(), |basis, edits| apply(&basis, edits));
        let deltas: Vec<_> = rounds.iter().map(|edits| delta(edits)).collect();
        let expected = (content.len() as u64, blake3::hash(&content).into());
        (Fixture::new(whole, &deltas, expected, frame_len, codec), content)
    }

    /// Stores the same streams again, in parts of at most four frames and some bytes.
    fn in_parts(mut self, frame_len: usize) -> Self {
        let pool = Arc::new(Pool::new(1).unwrap());
        let store = self._dir.path().join("store");
        for archive in &mut self.archives {
            let codec = if archive.files()[0].compressed() { Codec::Zstd(1) } else { Codec::None };
            let (whole, mut stream) = (fs::read(store.join(&archive.name)).unwrap(), Vec::new());
            read_stream(
                &mut &*whole,
                &archive.name,
                archive.size,
                codec != Codec::None,
                None,
                &mut |bytes| {
                    stream.extend_from_slice(bytes);
                    Ok(())
                },
            )
            .unwrap();
            let mut writer = FrameWriter::new(Vec::<Vec<u8>>::new(), codec, pool.clone())
                .with_frame_len(frame_len)
                .with_parts(4 * frame_len as u64 + 50);
            writer.write(&stream).unwrap();
            let written = writer.finish().unwrap();
            assert!(written.out.len() > 1 || stream.len() <= 4 * frame_len);
            let part = |((number, part), bytes): ((u32, WrittenPart), &Vec<u8>)| {
                let WrittenPart { size, stream, digest } = part;
                let name = part_name(&archive.name, number);
                fs::write(store.join(&name), bytes).unwrap();
                ArchiveFile { name, kind: archive.kind, size, stream, digest }
            };
            let parts = (1..).zip(written.parts).zip(&written.out).map(part).collect();
            *archive = ArchiveRef { size: written.size, digest: written.digest, parts, ..archive.clone() };
        }
        self
    }

    fn contents(&self, limits: ReadLimits) -> Contents {
        Contents::within(&self.archives, limits)
    }

    /// Reads the content. Returns it and the number of decoded bytes of frames.
    fn read(&mut self, limits: ReadLimits) -> (Vec<u8>, u64) {
        let mut contents = self.contents(limits);
        let mut got = Vec::new();
        let mut sink = |bytes: &[u8]| {
            got.extend_from_slice(bytes);
            Ok(())
        };
        contents.read(&mut self.store, &self.entry, &mut sink).unwrap().unwrap();
        (got, contents.fetched)
    }

    /// Reads `len` bytes of the content at `offset`.
    fn part(&mut self, layout: &mut Layout, contents: &mut Contents, offset: u64, len: u64) -> Vec<u8> {
        let mut got = Vec::new();
        let mut sink = |bytes: &[u8]| {
            got.extend_from_slice(bytes);
            Ok(())
        };
        layout.read(contents, &mut self.store, offset, len, &mut sink).unwrap();
        got
    }
}

/// Limits that keep one frame, and that choose another reading order for any repetition.
fn tight() -> ReadLimits {
    ReadLimits { frames: 0, repeated: 0, decoded_max: 0, ..ReadLimits::default() }
}

/// Copies of the content's blocks of `block` bytes, in a mixed order.
fn shuffled(len: usize, block: usize) -> Vec<Edit> {
    let count = len / block;
    // 7919 is a prime and divides no count used here, so every block occurs once.
    let copy = |n: usize| Edit::Copy((n * 7919 % count * block) as u64, block as u64);
    (0..count).map(copy).collect()
}

fn rounds() -> impl Strategy<Value = Vec<Vec<(bool, u16, u16)>>> {
    proptest::collection::vec(proptest::collection::vec(any::<(bool, u16, u16)>(), 1..30), 1..5)
}

/// Makes edits out of random numbers, with all copies inside their basis.
fn fitting(whole: &[u8], rounds: &[Vec<(bool, u16, u16)>]) -> Vec<Vec<Edit>> {
    let mut len = whole.len() as u64;
    let mut all = Vec::new();
    for round in rounds {
        let edit = |&(literal, a, b): &(bool, u16, u16)| match literal || len == 0 {
            true => Edit::Literal(a.to_be_bytes().repeat(1 + b as usize % 40)),
            false => {
                let offset = u64::from(a) % len;
                Edit::Copy(offset, 1 + u64::from(b) % (len - offset).min(3000))
            }
        };
        let edits: Vec<Edit> = round.iter().map(edit).collect();
        let made = |edit: &Edit| match edit {
            Edit::Literal(bytes) => bytes.len() as u64,
            Edit::Copy(_, len) => *len,
        };
        len = edits.iter().map(made).sum();
        all.push(edits);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn every_way_to_a_content_gives_its_bytes_and_costs_no_more_than_all_frames_once_or_twice(
        len in 1..20_000usize, rounds in rounds(), frame_len in 1..4000usize, plain: bool,
        pieces_max in prop_oneof![1..20usize, Just(usize::MAX)],
        memory_max in prop_oneof![Just(0), 0..5000u64, Just(u64::MAX)],
        parts in proptest::collection::vec((any::<u16>(), 1..5000u64), 10), in_parts: bool,
    ) {
        let whole = noise(len);
        let codec = if plain { Codec::None } else { Codec::Zstd(1) };
        let (mut fixture, expected) = Fixture::edited(&whole, &fitting(&whole, &rounds), frame_len, codec);
        if in_parts {
            fixture = fixture.in_parts(frame_len);
        }
        let limits = ReadLimits { pieces_max, memory_max, ..tight() };
        let (got, fetched) = fixture.read(limits);
        prop_assert!(got == expected);
        // Without compression, frames are longer than these streams.
        if pieces_max == usize::MAX && !plain {
            prop_assert!(fetched <= 3 * fixture.streams + 2 * (frame_len * rounds.len()) as u64, "{fetched}");
        }
        let mut contents = fixture.contents(limits);
        let entry = fixture.entry.clone();
        let mut layout = Layout::of(&mut contents, &mut fixture.store, &entry).unwrap();
        for (offset, len) in parts {
            let from = (offset as usize).min(expected.len());
            let end = (from + len as usize).min(expected.len());
            let got = fixture.part(&mut layout, &mut contents, u64::from(offset), len);
            prop_assert!(got == expected[from..end], "{len} from {offset}");
        }
    }

    #[test]
    fn what_reading_in_order_decodes_is_foretold(
        len in 1..20_000usize, pieces in proptest::collection::vec(any::<(u16, u16)>(), 1..60),
        frame_len in 1..4000usize, frames in 0..2usize, in_parts: bool,
    ) {
        let whole = noise(len);
        let expected = (len as u64, blake3::hash(&whole).into());
        let mut fixture = Fixture::new(&whole, &[], expected, frame_len, Codec::Zstd(1));
        if in_parts {
            fixture = fixture.in_parts(frame_len);
        }
        let limits = ReadLimits { frames, ..tight() };
        let range = |(offset, piece): (u16, u16)| {
            let offset = u64::from(offset) % len as u64;
            Range { archive: 0, offset, len: (1 + u64::from(piece) % 3000).min(len as u64 - offset) }
        };
        let pieces: Vec<_> = pieces.into_iter().map(range).collect();
        let mut contents = fixture.contents(limits);
        let foretold = ReadCost::of(&mut contents, &mut fixture.store, pieces.iter().copied()).unwrap();
        prop_assert_eq!(contents.fetched, 0);
        contents.each(&mut fixture.store, pieces.iter().copied(), &mut |_| Ok(())).unwrap();
        prop_assert_eq!(foretold.decoded, contents.fetched);
    }

    #[test]
    fn pieces_are_put_together_without_a_temporary_file_too(
        len in 1..20_000usize, edits in proptest::collection::vec(any::<(bool, u16, u16)>(), 1..40),
        frame_len in 1..4000usize, memory_max in 1..5000u64,
    ) {
        let whole = noise(len);
        let edits: Vec<_> = edits.into_iter().map(|(_, a, b)| (false, a, b)).collect();
        let rounds = fitting(&whole, &[edits]);
        let (mut fixture, expected) = Fixture::edited(&whole, &rounds, frame_len, Codec::Zstd(1));
        let mut contents = fixture.contents(ReadLimits { memory_max, ..tight() });
        let range = |edit: &Edit| match edit {
            Edit::Copy(offset, len) => Range { archive: 0, offset: *offset, len: *len },
            Edit::Literal(_) => unreachable!(),
        };
        let (placed, _) = by_frame::place(rounds[0].iter().map(range));
        let mut got = Vec::new();
        by_frame::read_in_parts(&mut contents, &mut fixture.store, placed, &mut |bytes| {
            got.extend_from_slice(bytes);
            Ok(())
        }).unwrap();
        prop_assert!(got == expected);
    }
}

#[test]
fn frames_of_later_parts_are_fetched_ahead() {
    let (whole, len) = (noise(40 << 10), 40 << 10);
    let expected = (len, blake3::hash(&whole).into());
    let mut fixture = Fixture::new(&whole, &[], expected, 1 << 10, Codec::Zstd(1)).in_parts(1 << 10);
    assert!(fixture.archives[0].parts.len() > 10);
    let pool = Arc::new(Pool::new(1).unwrap());
    let mut contents = fixture.contents(ReadLimits::default()).with_pool(pool);
    let archives = contents.archives().clone();
    let mut frames = Prefetch::new(archives.in_files(Range { archive: 0, offset: 0, len }));
    frames.follow((0, 0), &mut contents, &mut fixture.store).unwrap();
    // The frame 0 of the first part is the reader's own.
    assert_eq!(contents.fetched, len - (1 << 10));
}

#[test]
fn blocks_that_moved_around_are_read_with_each_frame_decoded_once() {
    let whole = noise(1 << 20);
    let edits = shuffled(whole.len(), 512);
    for frame_len in [4096, 1 << 16] {
        let (mut fixture, expected) =
            Fixture::edited(&whole, std::slice::from_ref(&edits), frame_len, Codec::Zstd(1));
        for memory_max in [0, u64::MAX] {
            let (got, fetched) = fixture.read(ReadLimits { memory_max, ..tight() });
            assert!(got == expected);
            assert!(fetched <= fixture.streams + 4 * frame_len as u64, "{fetched} of {}", fixture.streams);
        }
        // In the content's order, each of the 2,048 blocks costs one frame.
        let (got, fetched) = fixture.read(ReadLimits { repeated: u64::MAX, ..tight() });
        assert!(got == expected && fetched > 2000 * frame_len as u64, "{fetched}");
    }
}

#[test]
fn blocks_that_are_asked_for_one_by_one_are_put_together_before_it_costs_too_much() {
    let whole = noise(1 << 20);
    let frame_len = 1 << 16;
    let (mut fixture, expected) =
        Fixture::edited(&whole, &[shuffled(whole.len(), 512)], frame_len, Codec::Zstd(1));
    let mut contents = fixture.contents(tight());
    let entry = fixture.entry.clone();
    let mut layout = Layout::of(&mut contents, &mut fixture.store, &entry).unwrap();
    fixture.part(&mut layout, &mut contents, 5000, 100);
    assert!(contents.fetched <= 4 * frame_len as u64, "{} for a hundred bytes", contents.fetched);
    // Each part lies in other frames than the part before.
    for part in 0..expected.len() / 100 {
        let at = part * 7919 % (expected.len() / 100) * 100;
        let got = fixture.part(&mut layout, &mut contents, at as u64, 100);
        assert!(got == expected[at..(at + 100).min(expected.len())]);
    }
    // The budget, and each stream decoded once more.
    let most = 3 * fixture.streams + (32 << 22) + 4 * frame_len as u64;
    assert!(contents.fetched <= most, "{} of {most}", contents.fetched);
}

#[test]
fn many_copies_of_all_cost_its_frames_once() {
    let whole = noise(200_000);
    let copies = vec![Edit::Copy(0, 200_000); 300];
    let (mut fixture, expected) = Fixture::edited(&whole, &[copies], 4096, Codec::Zstd(1));
    for memory_max in [0, u64::MAX] {
        let (got, fetched) = fixture.read(ReadLimits { memory_max, ..tight() });
        assert!(got == expected);
        assert!(fetched <= fixture.streams + 2 * 4096, "{fetched}");
    }
}

#[test]
fn frames_of_one_byte_are_neither_held_nor_fetched_again() {
    let whole = noise(100_000);
    let expected = (100_000, blake3::hash(&whole).into());
    let mut fixture = Fixture::new(&whole, &[], expected, 1, Codec::Zstd(1));
    let mut contents = fixture.contents(ReadLimits::default());
    assert!(contents.gather(&mut fixture.store, &fixture.entry).unwrap().is_none());
    assert_eq!(contents.fetched, 0);
    let (got, fetched) = fixture.read(ReadLimits::default());
    assert!(got == whole && fetched == 100_000, "{fetched}");
}

/// Deltas of a few bytes that make gigabytes, and a last delta that keeps only 1,000 bytes.
fn bomb() -> (Vec<u8>, Vec<Vec<u8>>) {
    let whole = noise(1000);
    let grown = delta(&vec![Edit::Copy(0, 1000); 2000]);
    let vast = delta(&vec![Edit::Copy(0, 2_000_000); 2000]);
    (whole, vec![grown, vast, delta(&[Edit::Copy(3_999_999_500, 500), Edit::Copy(0, 500)])])
}

#[test]
fn versions_between_the_first_and_the_last_are_never_made() {
    let (whole, deltas) = bomb();
    let content = [&whole[500..], &whole[..500]].concat();
    let expected = (1000, blake3::hash(&content).into());
    let mut fixture = Fixture::new(&whole, &deltas, expected, 4096, Codec::Zstd(1));
    let (got, fetched) = fixture.read(ReadLimits::default());
    assert!(got == content);
    // The deltas are read twice, for the plan and for their commands. The whole copy is read too.
    assert!(fetched <= 2 * fixture.streams + (6 * 4096), "{fetched} of {}", fixture.streams);
    let [whole, deltas @ ..] = &fixture.entry.place.content[..] else { panic!() };
    let mut contents = fixture.contents(ReadLimits::default());
    let chain = contents.chain(&mut fixture.store, &fixture.entry, whole, deltas).unwrap();
    assert!(chain.stored_len() <= 8 * fixture.archives[1].stream);
}

#[test]
fn deltas_that_are_longer_than_their_content_are_refused() {
    let whole = noise(1000);
    let mut long = delta(&vec![Edit::Copy(0, 1); (32 << 20) / 17]);
    long.pop();
    long.extend_from_slice(&delta(&[Edit::Literal(noise(40))])[4..]);
    let mut fixture = Fixture::new(&whole, &[long], (1000, Hash([0; 32])), 4096, Codec::Zstd(1));
    let mut contents = fixture.contents(ReadLimits::default());
    let error = contents.read(&mut fixture.store, &fixture.entry, &mut |_| Ok(())).unwrap().unwrap_err();
    assert!(error.kind == Kind::Corrupt && error.detail.contains("more than"), "{error}");
    assert_eq!(contents.fetched, 0);
}

#[test]
fn a_cancelled_call_fetches_no_more_frames() {
    let (whole, deltas) = bomb();
    let mut fixture = Fixture::new(&whole, &deltas, (1000, Hash([0; 32])), 4096, Codec::Zstd(1));
    let cancel = Cancel::default();
    cancel.request();
    let mut contents = fixture.contents(ReadLimits::default()).with_cancel(&cancel);
    let error: Error = contents.read(&mut fixture.store, &fixture.entry, &mut |_| Ok(())).unwrap_err();
    assert_eq!((error.kind, contents.fetched), (Kind::Cancelled, 0));
}

/// Small contents that alternate between more frames than are kept, as after files were moved between directories.
#[test]
fn contents_that_lie_by_turns_in_many_frames_decode_each_frame_twice() {
    let (frame_len, frames, len) = (1 << 16, 24, 100);
    let whole = noise(frames * frame_len);
    let mut fixture = Fixture::new(&whole, &[], (0, Hash([0; 32])), frame_len, Codec::Zstd(1));
    let entry = fixture.entry.clone();
    // The contents of the first round lie in two frames each.
    let places =
        (0..20).flat_map(|round| (1..=frames).map(move |frame| frame * frame_len - 50 - round * 2000));
    for (decoded_max, least, most) in [(0, 20, 22), (1 << 30, 1, 2), (whole.len() as u64 / 2, 2, 22)] {
        let mut contents = fixture.contents(ReadLimits { decoded_max, ..tight() });
        for at in places.clone() {
            let len = len.min(whole.len() - at);
            let content = vec![Range { archive: 0, offset: at as u64, len: len as u64 }];
            let entry = Entry { place: Place { content, ..Place::default() }, ..entry.clone() };
            let fetched = contents.gather(&mut fixture.store, &entry).unwrap().unwrap();
            let made = fetched.make(&entry, contents.archives()).unwrap().unwrap();
            let made: Vec<u8> = made.iter().flat_map(|bytes| bytes.as_ref().to_vec()).collect();
            assert!(made == whole[at..at + len]);
            let mut read = Vec::new();
            let mut sink = |bytes: &[u8]| {
                read.extend_from_slice(bytes);
                Ok(())
            };
            contents.read(&mut fixture.store, &entry, &mut sink).unwrap().unwrap();
            assert!(read == made);
        }
        let decoded = contents.fetched / whole.len() as u64;
        assert!((least..=most).contains(&decoded), "{decoded} times with {decoded_max}");
    }
}
