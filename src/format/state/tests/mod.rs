mod hard_links;
mod layers;
mod parts;
mod recorded;
mod summary;

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::entry::{
    Entry, File, HardLink, InodeFlags, Metadata, Node, Path, Place, Range, SigHash, SigRef, UnknownNode,
};
use crate::error::{Error, Kind, Result};
use crate::format::{FrameWriter, ReadAt, Written};
use crate::job::Codec;
use crate::pool::Pool;

/// Runs a property `normally` times, or `IBT_TEST_CASES` times if that variable is set for a longer run.
fn cases(normally: u32) -> ProptestConfig {
    let longer = std::env::var("IBT_TEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig::with_cases(longer.unwrap_or(normally))
}

fn stamp() -> Stamp {
    Stamp::parse("20261122T220530.123456Z").unwrap()
}

fn header() -> Header {
    Header {
        key: "docs".into(),
        series: "9f0c9f0c9f0c9f0c9f0c9f0c9f0c9f0c".into(),
        host: "atlas".into(),
        snapshot: stamp(),
        kind: SnapshotKind::Incremental,
        seq: 3,
        source: b"/home/me/d\xff".to_vec(),
        library: "ibt 0.1.0".into(),
        scanned_at: Time { secs: 1_763_848_000, nanos: 123_456_789 },
        made_at: Time { secs: 1_763_848_001, nanos: 0 },
        parent: Some(ParentRef { snapshot: stamp(), tree: Hash([7; 32]) }),
        inodes_unstable: true,
        labels: [("tag".into(), "a \"b\"\n\"layers\":[ é".into()), ("\u{e9}".into(), String::new())].into(),
        layers: Vec::new(),
        needs: Vec::new(),
        unknown: vec![("later".into(), "[1e400,\"\\ud800\"]".into())],
    }
}

fn archives() -> Vec<ArchiveRef> {
    let archive = |name: &str, kind| ArchiveRef {
        name: format!("docs.{name}.20261122T220530.123456Z.tar.zst"),
        kind,
        size: 77,
        stream: 1 << 20,
        digest: Hash([1; 32]),
        parts: Vec::new(),
    };
    vec![archive("full", BackupFileKind::Full), archive("sigvault", BackupFileKind::SigVault)]
}

fn entry(path: &[u8], node: Node) -> Entry {
    let meta = Metadata { mode: Some(0o755), uid: Some(0), gid: Some(0), ..Metadata::default() };
    let place = Place { ino: Some(1 << 60), ..Place::default() };
    let path = Path::new(path).unwrap();
    Entry::new(path, node, meta, place)
}

fn file(path: &[u8], size: u64) -> Entry {
    let node = Node::File(File { size, hash: Hash([2; 32]), holes: Vec::new() });
    let mut entry = entry(path, node);
    entry.place.content = vec![Range { archive: 0, offset: 512, len: size }];
    entry
}

fn small() -> Vec<Entry> {
    vec![
        entry(b"", Node::Dir),
        file(b"a\"\\\n", 12),
        entry(b"d", Node::Dir),
        entry(b"d/\xff", Node::Symlink(b"../%x".to_vec())),
        entry(b"d-", Node::Fifo),
    ]
}

fn frames(codec: Codec) -> FrameWriter<Vec<u8>> {
    FrameWriter::new(Vec::new(), codec, Arc::new(Pool::new(1).unwrap()))
}

fn write(entries: &[Entry], codec: Codec) -> (Written<Vec<u8>>, Hash) {
    let mut writer = StateWriter::new(frames(codec), &header()).unwrap();
    for entry in entries {
        writer.entry(entry).unwrap();
    }
    let problem =
        StateProblem { path: Some(b"x\n".to_vec()), status: "skipped".into(), message: "m\"".into() };
    let whole = StateProblem { path: None, status: "clock".into(), message: "\u{1}".into() };
    let totals = Totals { created: 4, metadata: 2, ..Totals::default() };
    let made =
        Made { totals: &totals, problems: &[problem, whole], finished_at: Time { secs: -1, nanos: 5 } };
    let written = writer.finish(&archives(), &made).unwrap();
    (written.file, written.tree)
}

fn made_with(problems: &[StateProblem]) -> Made<'_> {
    const NONE: &Totals = &Totals {
        entries: 0,
        bytes: 0,
        created: 0,
        modified: 0,
        unchanged: 0,
        moved: 0,
        deleted: 0,
        metadata: 0,
        problems: 0,
    };
    Made { totals: NONE, problems, finished_at: Time::default() }
}

/// Always reads the same file, for any snapshot and size.
struct OneFile<'f> {
    source: &'f mut dyn ReadAt,
    name: &'f str,
    size: u64,
    compressed: bool,
}

impl StateFiles for OneFile<'_> {
    fn read(&mut self, _: Stamp, _: u64, read: &mut dyn FnMut(StoredState<'_>) -> Result<()>) -> Result<()> {
        let OneFile { source, name, size, compressed } = self;
        read(StoredState {
            source: &mut **source,
            name,
            size: *size,
            compressed: *compressed,
            meanwhile: &mut || (),
        })
    }
}

fn open_alone(
    source: &mut dyn ReadAt,
    name: &str,
    size: u64,
    compressed: bool,
    pool: &Pool,
) -> Result<StateReader> {
    StateReader::open(stamp(), size, pool, None, &mut OneFile { source, name, size, compressed })
}

fn open_part_alone(
    source: &mut dyn ReadAt,
    name: &str,
    size: u64,
    compressed: bool,
    pool: &Pool,
    selector: PathSelector<'_>,
) -> Result<StateReader> {
    StateReader::open(stamp(), size, pool, Some(selector), &mut OneFile { source, name, size, compressed })
}

fn plain(entries: &[Entry]) -> Vec<u8> {
    write(entries, Codec::None).0.out
}

fn open(document: &[u8]) -> Result<StateReader> {
    open_alone(&mut &*document, "s.json", document.len() as u64, false, &Pool::new(1).unwrap())
}

fn read(document: &[u8]) -> Result<Vec<Entry>> {
    open(document)?.entries()?.collect()
}

/// The changed document with valid digests: all of them are computed again.
fn sealed(document: &str) -> Vec<u8> {
    let body = document.split_at(document.rfind("\"summary\":").unwrap()).0;
    let logical: String = body
        .lines()
        .skip_while(|line| *line != "\"entries\":[")
        .skip(1)
        .take_while(|line| *line != "],")
        .map(|line| format!("{}\n", line.split(",\"at\":{").next().unwrap()))
        .collect();
    let tree = Hash::from(blake3::hash(logical.as_bytes())).to_string();
    let at = body.rfind("\"tree\":\"").unwrap() + 8;
    let body = format!("{}{tree}{}", &body[..at], &body[at + tree.len()..]);
    let header = body.split_once("\"entries\":[\n").map_or("", |(before, _)| before);
    let end = body.rfind("\n\"archives\":[").map_or("", |at| &body[at + 1..]);
    let summary = Hash::from(blake3::hash(format!("{header}\"entries\":[\n{end}").as_bytes()));
    sealed_digest(&format!("{body}\"summary\":\"{summary}\",\n{}", "0".repeat(DIGEST_LINE_LEN)))
}

/// The state of [`small`] with the first `from` replaced by `to`, and with valid digests.
fn forged(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(plain(&small())).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    sealed(&text.replacen(from, to, 1))
}

fn refused(document: &[u8], word: &str) -> Error {
    let error = read(document).expect_err(word);
    assert!(error.to_string().contains(word) && error.to_string().contains("s.json"), "{error}");
    error
}

#[test]
fn the_document_looks_as_documented() {
    let mut db = file(b"db", 777);
    db.place.content =
        vec![Range { archive: 0, offset: 1536, len: 777 }, Range { archive: 0, offset: 9000, len: 90 }];
    db.place.sig = Some(SigRef {
        content: vec![Range { archive: 1, offset: 512, len: 99 }],
        hash: SigHash::Blake3([0xab; 16]),
    });
    db.place.dirty = true;
    db.meta.user = Some("me".into());
    db.meta.xattrs = vec![(b"user.%".to_vec(), b"hi".to_vec())];
    db.meta.flags = InodeFlags::of_words(&["append", "future", "nodump"]).unwrap();
    db.meta.project = u32::MAX;
    db.place.btime = Some(Time { secs: -1, nanos: 5 });
    let mut line = Vec::new();
    write_entry_line(&db, &mut line);
    let expected = format!(
        "{{\"path\":\"db\",\"type\":\"file\",\"mode\":\"0755\",\"uid\":0,\"gid\":0,\"user\":\"me\",\
         \"mtime\":\"0.000000000\",\"xattrs\":{{\"user.%25\":\"aGk=\"}},\
         \"flags\":[\"append\",\"future\",\"nodump\"],\"project\":4294967295,\"size\":777,\"hash\":\"{}\",\
         \"at\":{{\"ino\":\"1152921504606846976\",\"ctime\":\"0.000000000\",\"btime\":\"-1.000000005\",\
         \"content\":[[0,1536,777],[0,9000,90]],\
         \"sig\":{{\"content\":[[1,512,99]],\"hash\":\"blake3:{}\"}},\"dirty\":true}}}}",
        Hash([2; 32]),
        "ab".repeat(16)
    );
    assert_eq!(String::from_utf8(line.clone()).unwrap(), expected);
    assert_eq!(parse_entry_line(&line).unwrap(), db);
    let text = String::from_utf8(plain(&small())).unwrap();
    assert!(text.starts_with("{\"format\":\"ibt-state\",\"version\":1,\"needs\":[],\"key\":\"docs\","));
    serde_json::from_str::<serde::de::IgnoredAny>(&text).unwrap();
}

#[test]
fn a_state_is_read_back_whole_and_again() {
    for codec in [Codec::None, Codec::Zstd(3)] {
        let (written, tree) = write(&small(), codec);
        let mut source = &written.out[..];
        let mut state =
            open_alone(&mut source, "s", written.size, codec != Codec::None, &Pool::new(1).unwrap()).unwrap();
        assert_eq!(**state.header(), header());
        let trailer = state.trailer().clone();
        assert_eq!((trailer.tree, &trailer.archives), (tree, &archives()));
        assert_eq!((trailer.totals.entries, trailer.totals.bytes, trailer.totals.created), (5, 12, 4));
        assert_eq!(trailer.problems[0].path.as_deref(), Some(&b"x\n"[..]));
        assert_eq!(trailer.problems[1].message, "\u{1}");
        assert_eq!(trailer.finished_at, Time { secs: -1, nanos: 5 });
        let summary = StateSummary::verify(&mut source, "s", written.size, codec != Codec::None).unwrap();
        assert_eq!((&*summary.trailer, &*summary.header), (&*trailer, &header()));
        for _ in 0..2 {
            assert_eq!(state.entries().unwrap().collect::<Result<Vec<_>>>().unwrap(), small());
        }
        let mut entries = state.entries().unwrap();
        let third = entries.nth(2).unwrap().unwrap();
        let offset = entries.offset();
        assert_eq!(state.entries_from(offset).unwrap().next().unwrap().unwrap(), third);
    }
}

#[test]
fn the_tree_digest_is_independent_of_places_and_compression() {
    let mut moved = small();
    moved[1].place.content[0].offset = 4096;
    moved[2].place.dirty = true;
    let (_, tree) = write(&small(), Codec::None);
    assert_eq!(write(&moved, Codec::Zstd(1)).1, tree);
    moved[1].meta.uid = Some(5);
    assert_ne!(write(&moved, Codec::None).1, tree);
}

#[test]
fn every_truncation_and_every_flipped_bit_is_an_error() {
    for codec in [Codec::None, Codec::Zstd(3)] {
        let good = write(&small(), codec).0.out;
        let open = |bytes: &[u8]| {
            open_alone(&mut &*bytes, "s", bytes.len() as u64, codec != Codec::None, &Pool::new(1).unwrap())
                .map(drop)
        };
        open(&good).unwrap();
        for len in 0..good.len() {
            // A file cut right before its seek table is still a whole zstd file with a valid digest.
            let whole = codec != Codec::None && len == table_start(&good);
            assert_eq!(open(&good[..len]).is_ok(), whole, "cut at {len}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            if let Err(error) = open(&bad) {
                // A flipped bit in the version number makes another version.
                let version = codec == Codec::None && error.kind == Kind::Format;
                assert!(version || error.kind == Kind::Corrupt, "{error}");
            } else {
                // Some bits of a compressed file have no meaning, such as unused bits of a frame's
                // descriptor.
                assert_ne!(codec, Codec::None, "bit {bit}");
                assert_eq!(unpacked(&bad), unpacked(&good), "bit {bit}");
            }
        }
        let longer = [&good[..], b"\n"].concat();
        assert!(open(&longer).is_err());
    }
}

/// The offset of the seek table in a file of two frames: the header of the state, and the rest. The table is a header,
/// two entries and a footer.
fn table_start(file: &[u8]) -> usize {
    file.len() - (8 + 2 * 8 + 9)
}

fn unpacked(file: &[u8]) -> Vec<Entry> {
    let mut state = open_alone(&mut &*file, "s", file.len() as u64, true, &Pool::new(1).unwrap()).unwrap();

    state.entries().unwrap().collect::<Result<Vec<_>>>().unwrap()
}

#[test]
fn what_a_newer_version_wrote_is_called_so() {
    let newer = |document: &str| {
        let error = refused(&sealed_digest(document), "made by a newer libibt");
        assert_eq!(error.kind, Kind::Format);
    };
    let text = String::from_utf8(plain(&small())).unwrap();
    let wings = text.replace("\"needs\":[]", "\"needs\":[\"[wings]\",\"\\\"]\"]");
    newer(std::str::from_utf8(&sealed(&wings)).unwrap());
    // The feature may be another digest.
    assert_eq!(refused(wings.as_bytes(), "made by a newer libibt").kind, Kind::Format);
    let second = text.replace("\"version\":1", "\"version\":2");
    newer(&second);
    newer(&second.replace("\"entries\":[", "\"things\":{"));
    assert_eq!(refused(&forged("ibt-state", "other"), "not a state").kind, Kind::Format);
}

/// The changed document with a valid digest in its last line.
fn sealed_digest(document: &str) -> Vec<u8> {
    let body = &document[..document.len() - DIGEST_LINE_LEN];
    format!("{body}\"digest\":\"{}\"}}\n", Hash::from(blake3::hash(body.as_bytes()))).into_bytes()
}

#[test]
fn hostile_headers_and_trailers_are_refused() {
    for (from, to) in [
        ("\"host\":\"atlas\"", "\"host\":\"atlas\",\"host\":\"b\""),
        ("\"host\":\"atlas\"", "\"host\":\"\\ud800\""),
        ("\"seq\":3", "\"seq\":18446744073709551616"),
        ("\"seq\":3", "\"seq\":1e400"),
        ("\"seq\":3", "\"seq\":-3"),
        ("\"key\":\"docs\"", "\"key\":\"../docs\""),
        ("9f0c9f0c", "9F0C9f0c"),
        ("incremental", "sideways"),
        ("20261122T220530.123456Z", "20261322T220530.123456Z"),
        ("1763848000.123456789", "1763848000.12345678"),
        ("\"name\":\"docs", "\"name\":\"../docs"),
        ("\"name\":\"docs", "\"name\":\".docs"),
        ("\"kind\":\"sigvault\"", "\"kind\":\"state\""),
        ("\"stream\":1048576", "\"stream\":null"),
        ("\"entries\":5", "\"entries\":6"),
        ("\"problems\":[", "\"problems\":[7,"),
        ("\"totals\"", "\"totale\""),
        // Repeated keys: a reader that uses the last of two equal keys would see another state.
        ("\"finished_at\"", "\"entries\":[],\"finished_at\""),
        ("\"finished_at\"", "\"\\u0065ntries\":[],\"finished_at\""),
        ("\"finished_at\"", "\"source\":\"/other\",\"finished_at\""),
        ("\"finished_at\"", "\"later\":0,\"finished_at\""),
        ("\"finished_at\"", "\"inodes\":0,\"finished_at\""),
        ("\"finished_at\"", "\"digest\":0,\"finished_at\""),
        ("\"finished_at\"", "\"x\":{\"a\":0,\"a\":0},\"finished_at\""),
        ("\"name\":\"docs", "\"x\":{\"a\":0,\"a\":0},\"name\":\"docs"),
        ("\"name\":\"docs", "\"size\":1,\"name\":\"docs"),
        ("\"later\":", "\"archives\":[],\"later\":"),
        ("\"later\":", "\"digest\":0,\"later\":"),
        ("\"later\":", "\"entries\":0,\"later\":"),
        ("\"later\":", "\"omitted\":0,\"later\":"),
        ("\"later\":", "\"x\":[{\"a\":0,\"a\":0}],\"later\":"),
        (",\n\"entries\":[", "\n\"entries\":["),
        (",\n\"summary\":", "\n\"summary\":"),
        ("\"problems\":2", "\"problems\":3"),
        ("\"problems\":2", "\"problem\":2"),
    ] {
        assert_eq!(refused(&forged(from, to), "").kind, Kind::Corrupt, "{to}");
    }
    let wrong_tree = String::from_utf8(plain(&small())).unwrap().replace("\"uid\":0", "\"uid\":1");
    refused(&sealed_digest(&wrong_tree), "tree digest");
    let mut source = &plain(&small())[..];
    let size = source.len() as u64;
    let other = "docs.state.20261122T220530.123457Z.json";
    assert_eq!(
        open_alone(&mut source, other, size, false, &Pool::new(1).unwrap()).unwrap_err().kind,
        Kind::Corrupt
    );
}

#[test]
fn hostile_entry_lines_are_refused_by_number() {
    let size = "\"size\":12,";
    let content = "\"content\":[[0,512,12]]";
    let deltas = format!("\"content\":[[0,512,12]{}]", ",[0,0,5]".repeat(65));
    for (from, to, word) in [
        (size, "\"size\":18446744073709551616,", "line 9"),
        (size, "\"size\":1e400,", "line 9"),
        (size, "\"size\":12.0,", "line 9"),
        (size, "\"size\":12,\"size\":12,", "repeated or out of order"),
        (size, "", "fields missing"),
        (size, "\"size\":13,", "not as long"),
        ("\"uid\":0", "\"uid\":4294967296", "line 8"),
        ("\"mode\":\"0755\",\"uid\":0", "\"uid\":0,\"mode\":\"0755\"", "out of order"),
        ("\"mode\":\"0755\"", "\"mode\":\"10755\"", "octal"),
        ("\"type\":\"fifo\"", "\"type\":\"so cket\"", "word of a type"),
        ("\"type\":\"fifo\"", "\"type\":\"\"", "word of a type"),
        ("blake3:0202", "blake4:020\\u0032", "expected a hash"),
        ("blake3:0202", "blake3:20", "expected a hash"),
        ("blake3:0202", "Blake3:0202", "expected a hash"),
        ("blake3:0202", "blake4:0A02", "expected a hash"),
        ("blake3:0202", "blake4:020", "expected a hash"),
        ("blake3:0202", ":0202", "expected a hash"),
        ("\"type\":\"fifo\"", "\"type\":\"symlink\"", "of another type"),
        ("\"path\":\"d-\"", "\"path\":\"d\\ud800\"", "line 12"),
        ("\"path\":\"d-\"", "\"path\":\"d%2D\"", "relative path"),
        ("\"path\":\"d-\"", "\"path\":\"d%00\"", "relative path"),
        ("\"path\":\"d-\"", "\"path\":\"../d\"", "relative path"),
        ("\"path\":\"d-\"", "\"path\":\"/d\"", "relative path"),
        ("\"path\":\"d-\"", "\"path\":\"c\"", "out of order"),
        ("\"path\":\"d-\"", "\"path\":\"d/%FF\"", "repeated"),
        ("\"path\":\"d-\"", "\"path\":\"e/f\"", "parent is missing"),
        ("\"path\":\"d-\"", "\"path\":\"d/%FF/f\"", "not a directory"),
        ("\"path\":\"\"", "\"path\":\"0\"", "root"),
        ("../%25x", "%00", "NUL"),
        (content, "\"content\":[[0,1048565,12]]", "past its archive's end"),
        (content, "\"content\":[[0,18446744073709551615,12]]", "past 2^64"),
        (content, "\"content\":[[2,512,12]]", "does not name"),
        (content, "\"content\":[[4294967296,512,12]]", "line 9"),
        (content, "\"content\":[]", "without ranges"),
        (content, "\"content\":[[0,512,12],[0,0,0]]", "empty range"),
        (content, "\"content\":[[0,512,12,1]]", "line 9"),
        (content, &deltas, "more than 65"),
        (content, &format!("{content},\"sig\":{{\"content\":[[1,0,9]]}}"), "hash"),
        (
            content,
            &format!("{content},\"sig\":{{\"content\":[],\"hash\":\"{}\"}}", "0".repeat(32)),
            "without ranges",
        ),
        (content, &format!("\"x\":1,{content}"), "out of order"),
        (content, &format!("{content},\"x\":1,\"x\":1"), "repeated"),
        ("\"ino\":\"", "\"ino\":\"0", "line 8"),
        ("\"ino\":\"", "\"ino\":\"\",\"ino\":\"", "line 8"),
        ("\"type\":\"dir\"", "\"type\":\"dir\" 5", "line 8"),
        (",\"at\":{", ",\"x\":{\"y\":1,\"at\":{}},\"at\":{", "\"at\" inside"),
        ("\"size\":12,", "\"size\":12,\"holes\":[],\"holes\":[],", "line 9"),
        ("},\n{\"path\":\"d-\"", "}\n{\"path\":\"d-\"", "no comma"),
        ("},\n{\"path\":\"d-\"", "}},\n{\"path\":\"d-\"", "line 11"),
    ] {
        refused(&forged(from, to), word);
    }
}

#[test]
fn hostile_holes_are_refused() {
    for holes in [
        "[[0,0]]",
        "[[0,13]]",
        "[[5,2],[3,1]]",
        "[[0,2],[2,2]]",
        "[[18446744073709551615,2]]",
        "[[0,12],[3,18446744073709551615]]",
    ] {
        let hash = Hash([2; 32]);
        let from = format!("\"size\":12,\"hash\":\"{hash}\"");
        refused(&forged(&from, &format!("{from},\"holes\":{holes}")), "holes");
    }
}

#[test]
fn lines_without_end_and_deep_nesting_are_refused() {
    let zeros = vec![b'0'; LINE_MAX + 2 * DIGEST_LINE_LEN];
    refused(&sealed_digest(std::str::from_utf8(&zeros).unwrap()), "16 MiB");
    let deep = format!("\"path\":\"{}\"", "d-/".repeat(200_000));
    refused(&forged("\"path\":\"d-\"", &deep), "relative path");
    let nested = |depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let with = |depth| forged(",\"at\":{", &format!(",\"x\":{},\"at\":{{", nested(depth)));
    refused(&with(100_000), "nested more than 100 deep");
    assert_eq!(read(&with(NESTING_MAX)).unwrap()[0].unknown[0].1, nested(NESTING_MAX));
}

#[test]
fn a_writer_that_breaks_the_rules_is_told_so() {
    let mut writer = StateWriter::new(frames(Codec::None), &header()).unwrap();
    let mut bug = |entry: &Entry| assert_eq!(writer.entry(entry).unwrap_err().kind, Kind::Panic);
    bug(&file(b"a", 1));
    let mut bad = entry(b"", Node::Dir);
    bad.meta.mode = Some(0o10000);
    bug(&bad);
    let finish = |writer: StateWriter<Vec<u8>>, archives: &[ArchiveRef]| {
        writer.finish(archives, &made_with(&[])).map(drop)
    };
    assert!(finish(writer, &archives()).is_err());
    let mut writer = StateWriter::new(frames(Codec::None), &header()).unwrap();
    writer.entry(&entry(b"", Node::Dir)).unwrap();
    writer.entry(&file(b"a", 1)).unwrap();
    assert!(finish(writer, &[]).is_err());
}

#[test]
fn too_many_problems_are_cut_off_not_refused() {
    let mut writer = StateWriter::new(frames(Codec::None), &header()).unwrap();
    writer.entry(&entry(b"", Node::Dir)).unwrap();
    let problem = StateProblem { path: None, status: "s".into(), message: "m".repeat(100) };
    let many = vec![problem; PROBLEMS_MAX + 1];
    let written = writer.finish(&[], &made_with(&many)).unwrap().file;
    assert_eq!(open(&written.out).unwrap().trailer().problems.len(), PROBLEMS_MAX);
}

/// Any bytes except NUL; bytes that must be escaped occur often.
fn any_name(max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(b'a'), Just(b'"'), Just(b'\\'), Just(b'%'), Just(b'\n'), 1..=255u8], 1..max)
}

fn any_time() -> impl Strategy<Value = Time> {
    (any::<i64>(), 0..1_000_000_000u32).prop_map(|(secs, nanos)| Time { secs, nanos })
}

/// Numbers of 64 bits and of up to 128 bits.
fn any_large() -> impl Strategy<Value = u128> {
    (any::<u128>(), 0..128u32).prop_map(|(number, shift)| number >> shift)
}

fn any_unknown() -> impl Strategy<Value = Unknown> {
    let value =
        prop_oneof![Just("1e400"), Just("{\"a\" : [null,\"\\ud800\"]}"), Just("\"x\""), Just("-0.10")];
    proptest::collection::btree_map("x[a\"\n\u{e9}]{0,3}", value.prop_map(String::from), 0..3)
        .prop_map(|map| map.into_iter().collect())
}

fn any_meta() -> impl Strategy<Value = Metadata> {
    let names = (any::<Option<String>>(), any::<Option<String>>());
    let xattrs = proptest::collection::btree_map(any_name(9), vec(any::<u8>(), 0..20), 0..4);
    let words = prop_oneof![Just("append"), Just("archive"), Just("nocow"), Just("sync"), Just("z-1")];
    let words = proptest::collection::btree_set(words, 0..4);
    let mode = proptest::option::weighted(0.9, 0..0o10000u32);
    (mode, any::<Option<u32>>(), any::<Option<u32>>(), names, any_time(), xattrs, words, any::<Option<u32>>())
        .prop_map(|(mode, uid, gid, (user, group), mtime, xattrs, words, project)| {
            let xattrs = xattrs.into_iter().collect();
            let flags = InodeFlags::of_words(&words.into_iter().collect::<Vec<_>>()).unwrap();
            let project = project.unwrap_or(0);
            Metadata { mode, uid, gid, user, group, mtime, xattrs, flags, project }
        })
}

fn any_file() -> impl Strategy<Value = (Node, Place)> {
    let holes = proptest::collection::btree_set(1..1000u64, 0..8);
    let deltas = vec((0..2u32, 0..9999u64, 1..99u64), 0..65);
    (holes, 1000..1100u64, deltas, any::<[u8; 32]>(), any::<[u8; 16]>(), any::<u16>()).prop_map(
        |(cuts, size, deltas, hash, sig, bits)| {
            let cuts: Vec<u64> = cuts.into_iter().collect();
            let holes = cuts.chunks_exact(2).map(|c| (c[0], c[1] - c[0])).collect();
            let file = File { size, hash: Hash(hash), holes };
            let mut content = vec![Range { archive: 0, offset: 512, len: file.data_len() }];
            content.extend(deltas.iter().map(|&(archive, offset, len)| Range { archive, offset, len }));
            let hash = match bits & 16 {
                0 => SigHash::Blake3(sig),
                _ => SigHash::Unknown("sha4-512:00ff".into()),
            };
            let sig = (bits & 8 != 0).then(|| SigRef { content: content.clone(), hash });
            (Node::File(file), Place { content, sig, ..Place::default() })
        },
    )
}

/// Types of a later version, and files whose hash has an algorithm of a later version.
fn any_unknown_node() -> impl Strategy<Value = (Node, Place)> {
    const FIELDS: [&str; 4] = [
        "",
        ",\"target\":[1e400]",
        ",\"size\":7,\"hash\":{\"x\":1},\"rdev\":null",
        ",\"holes\":\"\",\"path of\":\"\\u0007\\\"\"",
    ];
    let range = (0..2u32, 0..9999u64, 1..99u64);
    let range = range.prop_map(|(archive, offset, len)| Range { archive, offset, len });
    let sig = (vec(range.clone(), 1..3), any::<[u8; 16]>());
    let sig = sig.prop_map(|(content, hash)| SigRef { content, hash: SigHash::Blake3(hash) });
    let words = prop::sample::select(&["door", "socket", "0-9"][..]);
    let door = (words, prop::sample::select(&FIELDS[..]), vec(range, 0..3), proptest::option::of(sig));
    let door = door.prop_map(|(word, fields, content, sig)| {
        let node = UnknownNode { word: word.into(), fields: fields.into() };
        (Node::Unknown(Box::new(node)), Place { content, sig, ..Place::default() })
    });
    let file = any_file().prop_map(|(node, place)| {
        let Node::File(file) = node else { unreachable!() };
        let fields = format!(",\"size\":{},\"hash\":\"sha4-512:00ff\"", file.data_len());
        (Node::Unknown(Box::new(UnknownNode { word: "file".into(), fields })), place)
    });
    prop_oneof![door, file]
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let node = prop_oneof![
        Just((Node::Dir, Place::default())),
        Just((Node::Fifo, Place::default())),
        any_name(40).prop_map(|target| (Node::Symlink(target), Place::default())),
        any_large().prop_map(|rdev| (Node::Char(rdev), Place::default())),
        any_large().prop_map(|rdev| (Node::Block(rdev), Place::default())),
        any_file(),
        any_file(),
        any_unknown_node(),
    ];
    let place =
        (proptest::option::of(any_large()), any_time(), proptest::option::of(any_time()), any::<bool>());
    let path = || any_name(12).prop_filter_map("not a path", |bytes| Path::new(bytes).ok());
    let path = (path(), path(), 0..4u8).prop_map(|(path, first, role)| match role {
        0 => (path, HardLink::First),
        1 if first < path => (path, HardLink::Further(first)),
        _ => (path, HardLink::Single),
    });
    (path, node, any_meta(), place, any_unknown(), any_unknown()).prop_map(
        |((path, link), (node, place), meta, (ino, ctime, btime, dirty), unknown, unknown_place)| Entry {
            path,
            link: if node == Node::Dir { HardLink::Single } else { link },
            meta: match node {
                Node::File(_) | Node::Dir | Node::Unknown(_) => meta,
                _ => Metadata { flags: InodeFlags::default(), project: 0, ..meta },
            },
            place: Place { ino, ctime, btime, dirty, ..place },
            unknown: match &node {
                // All unknown fields before a hard link belong to an unknown type.
                Node::Unknown(node) if node.word != "file" => Unknown::new(),
                _ => unknown,
            },
            node,
            unknown_place,
        },
    )
}

/// The root and some direct children of it, of any type.
fn any_tree() -> impl Strategy<Value = Vec<Entry>> {
    vec(any_entry(), 0..12).prop_map(|entries| {
        let flat = entries.into_iter().filter(|e| !e.path.as_bytes().contains(&b'/'));
        let named: std::collections::BTreeMap<_, _> = flat.map(|e| (e.path.clone(), e)).collect();
        hard_links::with_right_links([entry(b"", Node::Dir)].into_iter().chain(named.into_values()))
    })
}

proptest! {
    #[test]
    fn any_entry_survives_its_line(entry in any_entry()) {
        let mut line = Vec::new();
        write_entry_line(&entry, &mut line);
        prop_assert!(!line.contains(&b'\n'));
        prop_assert_eq!(parse_entry_line(&line).unwrap(), entry);
    }

    #[test]
    fn any_tree_survives_its_state(tree in any_tree()) {
        let (written, digest) = write(&tree, Codec::Zstd(1));
        let mut state = open_alone(&mut &written.out[..], "s", written.size, true, &Pool::new(1).unwrap()).unwrap();
        prop_assert_eq!(state.trailer().tree, digest);
        prop_assert_eq!(state.entries().unwrap().collect::<Result<Vec<_>>>().unwrap(), tree);
    }

    /// A part of a state has the selected entries, all directories and all first names.
    #[test]
    fn any_part_of_a_state(tree in any_tree(), below: u8, codec in prop_oneof![Just(Codec::None), Just(Codec::Zstd(1))]) {
        let (written, digest) = write(&tree, codec);
        let pool = Pool::new(1).unwrap();
        let part = |bytes: &[u8], selector: PathSelector<'_>| {
            open_part_alone(&mut &*bytes, "s", bytes.len() as u64, codec != Codec::None, &pool, selector)
        };
        let is_meant = |path: &[u8]| path.last().is_some_and(|&last| last < below);
        let mut state = part(&written.out, &mut { is_meant }).unwrap();
        prop_assert_eq!(state.trailer().tree, digest);
        let kept = state.entries().unwrap().collect::<Result<Vec<_>>>().unwrap();
        let kept_always = |e: &Entry| e.node == Node::Dir || e.link == HardLink::First;
        let needed = |e: &&Entry| kept_always(e) || is_meant(e.path.as_bytes());
        prop_assert_eq!(kept.iter().collect::<Vec<_>>(), tree.iter().filter(needed).collect::<Vec<_>>());
        prop_assert!(part(&written.out[1..], &mut |_| false).is_err());
    }

    /// Reading a damaged line never panics: the line is refused, or it is the line of another entry.
    #[test]
    fn a_damaged_line_never_panics(entry in any_entry(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut line = Vec::new();
        write_entry_line(&entry, &mut line);
        let at = at.index(line.len());
        line[at] = byte;
        if let Ok(other) = parse_entry_line(&line) {
            let mut again = Vec::new();
            write_entry_line(&other, &mut again);
            prop_assert_eq!(parse_entry_line(&again).unwrap(), other);
        }
    }
}
