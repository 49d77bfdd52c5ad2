use std::sync::Arc;

use proptest::prelude::*;

use super::reader::FrameReader;
use super::*;
use crate::entry::Hash;
use crate::error::{Error, Kind, Result};
use crate::format::ReadAt;
use crate::job::Codec;
use crate::pool::Pool;

fn pack(data: &[u8], codec: Codec) -> Written<Vec<u8>> {
    pack_in(data, codec, FRAME_LEN)
}

fn pack_in(data: &[u8], codec: Codec, frame_len: usize) -> Written<Vec<u8>> {
    let pool = Arc::new(Pool::new(2).unwrap());
    let mut writer = FrameWriter::new(Vec::new(), codec, pool).with_frame_len(frame_len);
    for piece in data.chunks(1_000_003) {
        writer.write(piece).unwrap();
    }
    writer.finish().unwrap()
}

fn open(file: &[u8]) -> Result<FrameReader> {
    FrameReader::open(&mut &*file, "f.zst", file.len() as u64, true)
}

/// Bytes that differ from place to place and compress a little.
fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|n| ((n * n / 77) ^ (n >> 9)) as u8).collect()
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// A file of the stored bytes `frames` and a seek table with any entries, frame count and descriptor. An
/// entry of `table` is the stored and the uncompressed size of a frame.
fn forged(frames: &[u8], table: &[(u32, u32)], count: u32, descriptor: u8) -> Vec<u8> {
    let mut out = frames.to_vec();
    out.extend_from_slice(&0x184D_2A5Eu32.to_le_bytes());
    out.extend_from_slice(&(table.len() as u32 * 8 + 9).to_le_bytes());
    for (stored, plain) in table {
        out.extend_from_slice(&stored.to_le_bytes());
        out.extend_from_slice(&plain.to_le_bytes());
    }
    out.extend_from_slice(&count.to_le_bytes());
    out.push(descriptor);
    out.extend_from_slice(&0x8F92_EAB1u32.to_le_bytes());
    out
}

fn refused(file: &[u8], word: &str) {
    let error = open(file).map(drop).unwrap_err();
    assert_eq!(error.kind, Kind::Corrupt, "{error}");
    let text = error.to_string();
    assert!(text.contains("f.zst") && text.contains("offset") && text.contains(word), "{text}");
}

#[test]
fn a_stream_comes_in_order_up_to_the_first_bad_frame_whether_or_not_frames_are_decoded_ahead() {
    let data = sample(5 * SHORT_FRAME_LEN + 99);
    let mut file = pack_in(&data, Codec::Zstd(1), SHORT_FRAME_LEN).out;
    let pool = Pool::new(2).unwrap();
    let stream = |file: &[u8], pool: Option<&Pool>| {
        let mut got = Vec::new();
        let read = read_stream(&mut &*file, "f.zst", file.len() as u64, true, pool, &mut |piece| {
            got.extend_from_slice(piece);
            Ok(())
        });
        (read, got)
    };
    for pool in [None, Some(&pool)] {
        let (read, got) = stream(&file, pool);
        assert!(read.is_ok() && got == data);
    }
    let third =
        file.windows(4).enumerate().filter(|(_, magic)| magic == b"\x28\xb5\x2f\xfd").nth(2).unwrap().0;
    file[third + 100] ^= 0xff;
    for pool in [None, Some(&pool)] {
        let (read, got) = stream(&file, pool);
        assert_eq!(read.unwrap_err().kind, Kind::Corrupt);
        assert!(got == data[..2 * SHORT_FRAME_LEN], "{}", got.len());
    }
}

/// A file whose read number `fails` fails. `reads` counts the reads so far; 0 for `fails` means that none
/// fails.
struct Failing<'f> {
    file: &'f [u8],
    fails: usize,
    kind: Kind,
    reads: usize,
}

impl ReadAt for Failing<'_> {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.reads += 1;
        match self.reads == self.fails {
            true => Err(Error::new(self.kind, "read", "deliberate")),
            false => self.file.read_at(offset, buf),
        }
    }
}

/// Reads a file as a stream. Returns the result, the bytes of the stream that came, and the reads of the store.
fn streamed(file: &[u8], compressed: bool, (fails, kind): (usize, Kind)) -> (Result<()>, Vec<u8>, usize) {
    let pool = Pool::new(1).unwrap();
    let mut source = Failing { file, fails, kind, reads: 0 };
    let mut got = Vec::new();
    let read = read_stream(&mut source, "f.zst", file.len() as u64, compressed, Some(&pool), &mut |piece| {
        got.extend_from_slice(piece);
        Ok(())
    });
    (read, got, source.reads)
}

#[test]
fn a_stream_takes_one_read_for_each_4_mib_and_one_for_the_seek_table() {
    let whole = noise(10 << 20);
    for (len, reads_plain, reads_compressed) in [(100, 1, 1), (3 << 20, 1, 1), (10 << 20, 3, 4)] {
        let data = &whole[..len];
        let (read, got, reads) = streamed(data, false, (0, Kind::Io));
        assert!(read.is_ok() && got == data);
        assert_eq!(reads, reads_plain, "{len} bytes");
        let file = pack_in(data, Codec::Zstd(1), SHORT_FRAME_LEN).out;
        let (read, got, reads) = streamed(&file, true, (0, Kind::Io));
        assert!(read.is_ok() && got == data);
        assert_eq!(reads, reads_compressed, "{len} bytes, compressed");
    }
}

#[test]
fn a_store_that_fails_while_a_frame_is_fetched_ahead_is_not_asked_again() {
    const WINDOW: usize = 4 << 20;
    let data = sample(3 * WINDOW);
    for fails in 1..=3 {
        let (read, got, reads) = streamed(&data, false, (fails, Kind::Storage));
        assert_eq!((read.unwrap_err().kind, reads), (Kind::Storage, fails));
        assert_eq!(got.len(), (fails - 1) * WINDOW, "the frames before are handed out");
    }
}

/// A store may find damage by itself, and the next read of the same bytes may work.
#[test]
fn a_read_that_fails_once_makes_no_wrong_bytes() {
    let data = noise(10 << 20);
    let packed = pack_in(&data, Codec::Zstd(1), SHORT_FRAME_LEN).out;
    for (file, compressed) in [(&data, false), (&packed, true)] {
        for kind in [Kind::Corrupt, Kind::Io] {
            for fails in 1..=4 {
                let (read, got, reads) = streamed(file, compressed, (fails, kind));
                assert!(data.starts_with(&got), "wrong bytes: {kind:?}, read {fails}");
                match read {
                    Ok(()) => assert!(fails > reads && got.len() == data.len()),
                    Err(error) => assert_eq!((error.kind, &*error.detail), (kind, "deliberate")),
                }
            }
        }
    }
}

#[test]
fn any_range_is_read_back_from_either_codec() {
    let data = sample(2 * FRAME_LEN + 12_345);
    let kinds =
        [(Codec::Zstd(1), FRAME_LEN), (Codec::Zstd(1), SHORT_FRAME_LEN), (Codec::None, SHORT_FRAME_LEN)];
    for (codec, frame_len) in kinds {
        let written = pack_in(&data, codec, frame_len);
        assert_eq!(written.size, written.out.len() as u64);
        assert_eq!(written.stream, data.len() as u64);
        assert_eq!(written.digest, blake3::hash(&written.out).into());
        let compressed = codec != Codec::None;
        let mut source = &written.out[..];
        let mut reader = FrameReader::open(&mut source, "f", written.size, compressed).unwrap();
        let frames = data.len().div_ceil(frame_len);
        assert_eq!((reader.stream_len(), reader.index().count()), (data.len() as u64, frames));
        let edge = frame_len;
        for (from, to) in [(0, 1), (edge - 1, edge + 1), (edge, 2 * edge), (5, data.len()), (edge, edge)] {
            let mut buf = vec![0; to - from];
            reader.read_exact(&mut source, from as u64, &mut buf).unwrap();
            assert!(buf == data[from..to], "{codec:?} {from}..{to}");
        }
        let error = reader.read_exact(&mut source, data.len() as u64 - 1, &mut [0; 2]).unwrap_err();
        assert_eq!(error.kind, Kind::Corrupt);
        assert!(reader.read(&mut source, u64::MAX, 2, &mut |_| Ok(())).is_err());
        let mut handed_out = 0;
        let mut each = |piece: &[u8]| {
            handed_out += piece.len();
            Ok(())
        };
        assert!(reader.read(&mut source, data.len() as u64 - 1, 2, &mut each).is_err());
        assert_eq!(handed_out, 0);
        assert_eq!(reader.index().locate(data.len() as u64), None);
    }
}

#[test]
fn an_empty_stream_is_a_file_too() {
    let written = pack(b"", Codec::Zstd(3));
    assert_eq!(written.size, 17);
    assert_eq!(open(&written.out).unwrap().stream_len(), 0);
}

#[test]
fn fetched_frames_are_decoded_on_other_threads() {
    let data = sample(FRAME_LEN + 1);
    let written = pack(&data, Codec::Zstd(3));
    let mut source = &written.out[..];
    let index = FrameIndex::open(&mut source, "f", written.size, true).unwrap();
    let pool = Pool::new(2).unwrap();
    let pending: Vec<_> = (0..index.count())
        .map(|frame| {
            let frame = index.fetch(&mut source, frame).unwrap();
            pool.run(move || frame.bytes())
        })
        .collect();
    let whole: Vec<u8> = pending.into_iter().flat_map(|p| p.wait().unwrap().to_vec()).collect();
    assert!(whole == data);
}

#[test]
fn a_sink_that_fails_fails_the_writer() {
    struct Full;
    impl crate::format::Sink for Full {
        fn write(&mut self, _: &[u8]) -> Result<()> {
            Err(Error::new(Kind::Io, "write", "no space"))
        }
    }
    for codec in [Codec::Zstd(1), Codec::None] {
        let mut writer = FrameWriter::new(Full, codec, Arc::new(Pool::new(1).unwrap()));
        let result = writer.write(&[7; 100]).and_then(|()| writer.finish().map(drop));
        assert_eq!(result.unwrap_err().kind, Kind::Io);
    }
}

#[test]
fn the_cache_drops_what_was_used_least_recently() {
    let mut cache = FrameCache::new(2);
    let of = |bytes: Vec<u8>| Arc::new(Frame::new("f".into(), 0, bytes.len(), false, bytes));
    let frame = |n: u8| of(vec![n; FRAME_LEN]);
    let first = |found: Option<Arc<Frame>>| found.unwrap().bytes().unwrap()[0];
    cache.put(1, 0, frame(1));
    cache.put(2, 0, frame(2));
    assert!(cache.get(1, 0).is_some());
    cache.put(1, 1, frame(3));
    assert!(cache.get(2, 0).is_none());
    assert_eq!(first(cache.get(1, 0)), 1);
    assert_eq!(first(cache.get(1, 1)), 3);
    cache.put(9, 9, of(vec![0; 5 * FRAME_LEN]));
    assert!(cache.get(9, 9).is_some() && cache.get(1, 1).is_none());
}

#[test]
fn tables_that_lie_are_refused() {
    let frame = zstd::bulk::compress(&[1; 1000], 3).unwrap();
    let len = frame.len() as u32;
    assert!(open(&forged(&frame, &[(len, 1000)], 1, 0)).is_ok());
    refused(b"", "too short");
    refused(&[0; 16], "too short");
    refused(&[0; 100], "no seek table");
    refused(&forged(&frame, &[(len, 1000)], u32::MAX, 0), "does not fit");
    refused(&forged(&frame, &[(len, 1000)], 2, 0), "");
    refused(&forged(&frame, &[(len, 1000)], 0, 0), "header is damaged");
    refused(&forged(&frame, &[(len, 1000)], 1, 0x04), "no seek table");
    refused(&forged(&frame, &[(len, 1000)], 1, 0x80), "");
    refused(&forged(&frame, &[(len, 1000), (0, 5)], 2, 0), "empty frame");
    refused(&forged(&frame, &[(len, 0)], 1, 0), "empty frame");
    refused(&forged(&frame, &[(len - 1, 1000)], 1, 0), "add up");
    refused(&forged(&frame, &[(u32::MAX, 1000)], 1, 0), "64 MiB");
    refused(&forged(&frame, &[(len, u32::MAX)], 1, 0), "64 MiB");
    let concatenated = [pack(b"a", Codec::Zstd(1)).out, pack(b"b", Codec::Zstd(1)).out].concat();
    refused(&concatenated, "add up");
    let size = concatenated.len() as u64 + 50;
    let error = FrameIndex::open(&mut &concatenated[..], "f.zst", size, true).unwrap_err();
    assert_eq!(error.kind, Kind::Corrupt);
}

#[test]
fn frames_that_lie_are_refused() {
    let bomb = zstd::bulk::compress(&vec![0; 1 << 30], 1).unwrap();
    let short = zstd::bulk::compress(&[1; 10], 1).unwrap();
    let mut wide = short.clone();
    wide[4] &= !0x20;
    wide[5] = 18 << 3;
    for (frame, plain) in [(bomb, 1000), (short.clone(), 11), (wide, 10), (b"not a frame".to_vec(), 10)] {
        let file = forged(&frame, &[(frame.len() as u32, plain)], 1, 0);
        let mut reader = open(&file).unwrap();
        let error = reader.read(&mut &file[..], 0, 1, &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.kind, Kind::Corrupt, "{error}");
    }
}

#[test]
fn a_table_with_checksums_is_read() {
    let frame = zstd::bulk::compress(&[1; 1000], 3).unwrap();
    let mut file = frame.clone();
    file.extend_from_slice(&0x184D_2A5Eu32.to_le_bytes());
    for word in [21, frame.len() as u32, 1000, 0xdead_beef, 1] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.push(0x80);
    file.extend_from_slice(&0x8F92_EAB1u32.to_le_bytes());
    assert_eq!(open(&file).unwrap().stream_len(), 1000);
}

proptest! {
    /// A small file with one bit flipped or its end cut off: reading all of it gives the right bytes or an
    /// error.
    #[test]
    fn damage_is_never_read_as_data(at in any::<prop::sample::Index>(), bit in 0..8u32, cut: bool) {
        let data = sample(3000);
        let mut file = pack(&data, Codec::Zstd(3)).out;
        let at = at.index(file.len());
        if cut { file.truncate(at) } else { file[at] ^= 1 << bit }
        if let Ok(mut reader) = open(&file) {
            let mut buf = vec![0; reader.stream_len().min(1 << 20) as usize];
            if reader.read_exact(&mut &file[..], 0, &mut buf).is_ok() {
                prop_assert_eq!(buf, data);
            }
        }
    }
}

/// The cache holds at most 256 frames, even if all of them are short, because a lookup goes through all frames.
#[test]
fn a_cache_of_short_frames_is_short() {
    let written = pack(&[1; 2000], Codec::None);
    let index = FrameIndex::open(&mut &written.out[..], "f", written.size, false).unwrap();
    let frame = Arc::new(index.fetch(&mut &written.out[..], 0).unwrap());
    let mut cache = FrameCache::default();
    for number in 0..1000 {
        cache.put(0, number, frame.clone());
    }
    let held = (0..1000).filter(|&number| cache.get(0, number).is_some()).count();
    assert_eq!(held, 256);
}

/// Writes a stream in parts. Returns the parts too.
fn pack_in_parts(data: &[u8], codec: Codec, frame_len: usize, size: u64) -> Written<Vec<Vec<u8>>> {
    let pool = Arc::new(Pool::new(2).unwrap());
    let writer = FrameWriter::new(Vec::new(), codec, pool).with_frame_len(frame_len);
    let mut writer = writer.with_parts(size);
    for piece in data.chunks(10_007) {
        writer.write(piece).unwrap();
    }
    writer.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Without their seek tables, the parts joined are the file in one piece without its table. Each part can be read
    /// alone, and is full: the next frame would not fit.
    #[test]
    fn parts_joined_are_the_file_but_for_the_seek_tables(
        len in 1..200_000usize, frame_len in 1000..5000usize, more in 0..30_000u64, plain: bool, noisy: bool,
    ) {
        let mut data = sample(len);
        if noisy {
            blake3::Hasher::new().finalize_xof().fill(&mut data);
        }
        let codec = if plain { Codec::None } else { Codec::Zstd(1) };
        let size_max = 4 * frame_len as u64 + more;
        let whole = pack_in(&data, codec, frame_len);
        let written = pack_in_parts(&data, codec, frame_len, size_max);
        prop_assert_eq!((written.stream, written.size), (len as u64, written.out.concat().len() as u64));
        prop_assert_eq!(written.digest, Hash::from(blake3::hash(&written.out.concat())));
        if written.out.len() == 1 {
            prop_assert!(written.parts.is_empty() && written.out[0] == whole.out);
            prop_assert!(whole.size <= size_max);
            return Ok(());
        }
        prop_assert!(written.parts.len() == written.out.len() && whole.size > size_max);
        let (mut frames, mut at) = (Vec::new(), 0);
        let last = |index: &FrameIndex| index.stored(index.count() - 1).end as usize;
        let mut room = Vec::new();
        for (part, bytes) in written.parts.iter().zip(&written.out) {
            prop_assert_eq!((part.size, part.digest), (bytes.len() as u64, blake3::hash(bytes).into()));
            prop_assert!(part.size <= size_max && part.stream > 0);
            let index = FrameIndex::open(&mut &bytes[..], "f", part.size, !plain).unwrap();
            prop_assert_eq!(index.stream_len(), part.stream);
            let mut got = Vec::new();
            index.read(&mut &bytes[..], &mut FrameCache::new(1), 0, 0, part.stream, &mut |piece| {
                got.extend_from_slice(piece);
                Ok(())
            }).unwrap();
            prop_assert!(got == data[at..at + got.len()]);
            at += got.len();
            frames.extend_from_slice(&bytes[..last(&index)]);
            room.push((size_max - part.size, index.stored(0).end));
        }
        prop_assert_eq!(at, len);
        let index = FrameIndex::open(&mut &whole.out[..], "f", whole.size, !plain).unwrap();
        prop_assert!(frames == whole.out[..last(&index)]);
        if !plain {
            prop_assert!(room.windows(2).all(|pair| pair[0].0 < pair[1].1 + 8), "{:?}", room);
        }
    }
}

/// Incompressible frames are a little longer stored than plain. Also the smallest parts are never longer than they may
/// be.
#[test]
fn parts_of_the_smallest_size_hold_several_frames() {
    let mut data = vec![0; 1 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut data);
    for codec in [Codec::Zstd(1), Codec::None] {
        let written = pack_in_parts(&data, codec, FRAME_LEN, PART_SIZE_MIN);
        assert!(written.parts.iter().all(|part| part.size <= PART_SIZE_MIN));
        let full = written.parts.iter().filter(|part| part.size > PART_SIZE_MIN / 2).count();
        assert!(full + 1 >= written.parts.len() && written.parts.len() < 25, "{:?}", written.parts);
    }
}
