//! Header and summary are read alone, with few reads of the store, and with a digest of their own.

use super::*;
use crate::format::ReadAt;

/// A file that counts the calls of its readers and the bytes that they got.
struct Counted<'f> {
    file: &'f [u8],
    calls: usize,
    bytes: usize,
}

impl ReadAt for Counted<'_> {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let read = self.file.read_at(offset, buf)?;
        (self.calls, self.bytes) = (self.calls + 1, self.bytes + read);
        Ok(read)
    }
}

/// The summary of a file, the number of reads, and the number of bytes read.
fn summary(file: &[u8], codec: Codec) -> (Result<StateSummary>, usize, usize) {
    let mut counted = Counted { file, calls: 0, bytes: 0 };
    let read = StateSummary::read(&mut counted, "s.json", file.len() as u64, codec != Codec::None);
    (read, counted.calls, counted.bytes)
}

/// The root, and `count` files whose lines do not compress well.
fn many(count: u32) -> Vec<Entry> {
    let mut entries = vec![entry(b"", Node::Dir)];
    for n in 0..count {
        let hash = Hash(*blake3::hash(&n.to_le_bytes()).as_bytes());
        let mut next = file(format!("file {n:08}").as_bytes(), 12);
        next.node = Node::File(File { size: 12, hash, holes: Vec::new() });
        entries.push(next);
    }
    entries
}

/// The trailer without the fields that a summary does not have.
fn end_of(trailer: &Trailer) -> Trailer {
    Trailer { problems: Vec::new(), omissions: Arc::default(), ..trailer.clone() }
}

#[test]
fn a_summary_takes_one_or_two_reads_however_long_the_state_is() {
    for codec in [Codec::None, Codec::Zstd(1)] {
        for (count, calls_max) in [(0, 1), (20, 1), (10_000, 2)] {
            let file = write(&many(count), codec).0.out;
            let whole =
                StateSummary::verify(&mut &file[..], "s.json", file.len() as u64, codec != Codec::None);
            let whole = whole.unwrap();
            let (read, calls, bytes) = summary(&file, codec);
            let read = read.unwrap();
            assert_eq!((&*read.header, &*read.trailer), (&*whole.header, &end_of(&whole.trailer)));
            assert_eq!(read.trailer.totals.problems, 2);
            assert!(
                calls <= calls_max && bytes <= 140 << 10,
                "{codec:?}, {count}: {calls} reads of {bytes} bytes"
            );
        }
    }
}

#[test]
fn frames_hold_whole_lines_and_the_summary_stands_alone() {
    let file = write(&many(10_000), Codec::Zstd(1)).0.out;
    let index = crate::format::FrameIndex::open(&mut &file[..], "s", file.len() as u64, true).unwrap();
    let frames: Vec<_> = (0..index.count())
        .map(|number| index.fetch(&mut &file[..], number).unwrap().bytes().unwrap().to_vec())
        .collect();
    assert!(frames.len() > 5 && frames.iter().all(|frame| frame.ends_with(b"\n")));
    assert!(frames[0].ends_with(b"\"entries\":[\n") && !frames[1].is_empty());
    assert!(frames.last().unwrap().starts_with(b"\"archives\":["));
    let middle = &frames[1..frames.len() - 2];
    let short = crate::format::SHORT_FRAME_LEN;
    assert!(middle.iter().all(|frame| (short..short + 1000).contains(&frame.len())));
}

/// Damage in the summary is always found. Damage elsewhere is not, if the file is not compressed: only reading all of
/// the state finds it.
#[test]
fn a_changed_summary_is_refused() {
    let file = plain(&small());
    let text = std::str::from_utf8(&file).unwrap();
    let header = text.find("\"entries\":[\n").unwrap() + 12;
    let end = text.rfind("\"archives\":[").unwrap();
    for at in 0..file.len() {
        let mut bad = file.clone();
        bad[at] ^= 1;
        // The LF before the summary belongs to it, because the summary must begin a line.
        let is_summary = at < header || at + 1 >= end;
        // The digest's own digits are not covered.
        let is_digest = file.len() - at <= 67 && file.len() - at > 3;
        let read = summary(&bad, Codec::None).0;
        match is_digest {
            true => assert!(
                read.is_err() || read.unwrap().trailer.digest != open(&file).unwrap().trailer().digest
            ),
            false => assert_eq!(read.is_err(), is_summary, "byte {at}"),
        }
        assert!(open(&bad).is_err());
    }
    for len in 0..file.len() {
        assert!(summary(&file[..len], Codec::None).0.is_err(), "cut at {len}");
    }
    let packed = write(&small(), Codec::Zstd(1)).0.out;
    for len in (0..packed.len()).filter(|&len| len != table_start(&packed)) {
        assert!(summary(&packed[..len], Codec::Zstd(1)).0.is_err(), "cut at {len}");
    }
}

#[test]
fn a_state_that_another_tool_compressed_has_the_same_summary() {
    let document = plain(&many(5000));
    let expected = summary(&document, Codec::None).0.unwrap();
    let pool = Arc::new(Pool::new(1).unwrap());
    let framed = |len| {
        let mut writer = FrameWriter::new(Vec::new(), Codec::Zstd(1), pool.clone()).with_frame_len(len);
        writer.write(&document).unwrap();
        writer.finish().unwrap().out
    };
    let one = zstd::encode_all(&document[..], 1).unwrap();
    for file in [one, framed(100), framed(4 << 20), framed(4093)] {
        let read = summary(&file, Codec::Zstd(1)).0.unwrap();
        let (read, expected) = ((read.header, read.trailer), (&expected.header, &expected.trailer));
        assert_eq!((&read.0, &end_of(&read.1)), (expected.0, &**expected.1));
    }
}

#[test]
fn a_summary_of_a_newer_version_is_called_so() {
    let newer = |document: Vec<u8>| {
        let error = summary(&document, Codec::None).0.unwrap_err();
        assert!(error.kind == Kind::Format && error.detail == "made by a newer libibt", "{error}");
    };
    let text = String::from_utf8(plain(&small())).unwrap();
    newer(sealed(&text.replace("\"needs\":[]", "\"needs\":[\"[wings]\"]")));
    let second = text.replace("\"version\":1", "\"version\":2");
    newer(sealed_digest(&second));
    newer(sealed_digest(
        &second.replace("\"entries\":[", "\"things\":{").replace("\"archives\"", "\"files\""),
    ));
}
