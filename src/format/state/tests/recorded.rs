//! Entry lines: each has one spelling, is read field by field, and is carried into another state.

use super::*;
use crate::format::state::intake::Intake;
use crate::state::Facts;

/// A change to a line.
#[derive(Clone, Debug)]
enum Damage {
    Byte(u8),
    Insert(&'static str),
    Delete(usize),
    /// Inserts a copy of this many bytes of the line at another position.
    Repeat(usize, prop::sample::Index),
    /// Replaces every occurrence of the first text with the second.
    Replace(&'static str, &'static str),
}

/// Texts that often break a rule when they are inserted into a line.
const INSERTS: [&str; 29] = [
    " ",
    "\\u0061",
    "\\/",
    ",\"x\":{\"y\":[1 ,2]}",
    "\t",
    "\\",
    "\"",
    "\\u0041",
    "\\n",
    "%41",
    "%C3",
    "%2f",
    "%00",
    "%",
    "/",
    "//",
    ".",
    "..",
    "../",
    "0",
    "-",
    "1.5",
    "1e3",
    ",",
    "[",
    "}",
    "\u{e9}",
    "\u{7f}",
    "99999999999999999999",
];
const REPLACES: [(&str, &str); 50] = [
    (":", " : "),
    ("a", "\\u0061"),
    ("/", "\\/"),
    (",\"at\":{", ",\"x\":{\"a\":1,\"a\":1},\"at\":{"),
    (",\"at\":{", ",\"x\":{\"a\" :1},\"at\":{"),
    ("}}", ",\"uid\":0}}"),
    ("\"uid\":", "\"uid\":0"),
    ("\"rdev\":\"", "\"rdev\":\"0"),
    ("\"ino\":\"", "\"ino\":\"0"),
    ("\"path\":\"", "\"path\":\"../"),
    ("\"uid\":0", "\"uid\":00"),
    ("\"uid\":", "\"uid\": "),
    ("\"uid\":", "\"uid\":4294967296"),
    ("\"uid\":", "\"uid\":-"),
    ("\"uid\":", "\"gid\":"),
    ("\"mode\":\"0", "\"mode\":\"8"),
    ("\"mode\":\"", "\"mode\":\"1"),
    ("\"size\":", "\"size\":18446744073709551616"),
    ("\"size\":", "\"size\":1844674407370955161"),
    ("\"size\":", "\"size\":0"),
    ("\"mtime\":\"", "\"mtime\":\"-"),
    ("\"mtime\":\"", "\"mtime\":\"0"),
    ("\"ctime\":\"-", "\"ctime\":\"+"),
    ("\"ctime\":\"", "\"ctime\":\"9223372036854775808"),
    ("\"type\":\"file\"", "\"type\":\"dir\""),
    ("\"type\":\"dir\"", "\"type\":\"fifo\""),
    ("\"type\":\"fifo\"", "\"type\":\"socket\""),
    ("\"type\":\"char\"", "\"type\":\"block\""),
    ("blake3:", "blake3"),
    ("a", "A"),
    ("\"at\":{", "\"at\":{\"x\":1,"),
    (",\"at\":{", ",\"x\":{\"at\":{}},\"at\":{"),
    ("\"content\":[", "\"content\":[[0,0,0],"),
    ("\"content\":", "\"content\":[],\"x\":"),
    ("\"sig\":{", "\"sig\":{\"content\":[],"),
    ("\"holes\":[", "\"holes\":[[0,1],"),
    ("\"holes\":[[", "\"holes\":[],\"y\":[["),
    ("=\"", "\""),
    ("=", "=="),
    ("\"dirty\":true", "\"dirty\":false"),
    ("\"link\":\"", "\"link\":\"/"),
    ("\"linked\":true", "\"linked\":false"),
    (",\"linked\":true", ",\"linked\":true,\"link\":\"\""),
    (",\"mtime\":", ",\"linked\":true,\"mtime\":"),
    (",\"at\":", ",\"linked\":true,\"at\":"),
    (",\"at\":", ",\"link\":\"a\",\"at\":"),
    ("\"xattrs\":{", "\"xattrs\":{\"%25\":\"AB==\","),
    ("\"flags\":[", "\"flags\":[\"zz\","),
    ("\"project\":", "\"project\":0"),
    ("\"btime\":\"", "\"btime\":\"0"),
];

/// An entry without unknown fields, and with few characters that need escapes.
fn any_simple_entry() -> impl Strategy<Value = Entry> {
    (any_entry(), "[a-c%\u{e9}\n]{1,4}").prop_map(|(entry, path)| Entry {
        path: Path::new(path).unwrap(),
        meta: Metadata { user: Some("me".into()), group: None, ..entry.meta },
        unknown: Unknown::new(),
        unknown_place: Unknown::new(),
        // The entry has another path now, which may be before the first name.
        link: if let HardLink::Further(_) = entry.link { HardLink::First } else { entry.link },
        ..entry
    })
}

fn any_damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<u8>().prop_map(Damage::Byte),
        (b'!'..b'~').prop_map(Damage::Byte),
        prop::sample::select(&INSERTS[..]).prop_map(Damage::Insert),
        (1..40usize).prop_map(Damage::Delete),
        (1..80usize, any::<prop::sample::Index>()).prop_map(|(len, to)| Damage::Repeat(len, to)),
        prop::sample::select(&REPLACES[..]).prop_map(|(from, to)| Damage::Replace(from, to)),
        prop::sample::select(&REPLACES[..]).prop_map(|(from, to)| Damage::Replace(from, to)),
    ]
}

fn damage(line: &mut Vec<u8>, what: &Damage, at: prop::sample::Index) {
    if line.is_empty() {
        return;
    }
    let at = at.index(line.len());
    match what {
        Damage::Byte(byte) => line[at] = *byte,
        Damage::Insert(text) => drop(line.splice(at..at, text.bytes())),
        Damage::Delete(len) => drop(line.drain(at..(at + len).min(line.len()))),
        Damage::Repeat(len, to) => {
            let piece = line[at..(at + len).min(line.len())].to_vec();
            let to = to.index(line.len());
            line.splice(to..to, piece);
        }
        Damage::Replace(from, to) => {
            let text = String::from_utf8_lossy(line).replace(from, to);
            *line = text.into_bytes();
        }
    }
}

fn line_of(entry: &Entry) -> Vec<u8> {
    let mut line = Vec::new();
    write_entry_line(entry, &mut line);
    line
}

fn renumbered(mut entry: Entry, map: impl Fn(u32) -> u32) -> Entry {
    let sig = entry.place.sig.iter_mut().flat_map(|sig| &mut sig.content);
    for range in entry.place.content.iter_mut().chain(sig) {
        range.archive = map(range.archive);
    }
    entry
}

/// The document with the entries that `add` writes, and with enough archives for all their ranges.
fn document(add: impl FnOnce(&mut StateWriter<Vec<u8>>) -> Result<()>) -> Vec<u8> {
    let mut writer = StateWriter::new(frames(Codec::None), &header()).unwrap();
    add(&mut writer).unwrap();
    let archive = archives().remove(0);
    let many = vec![ArchiveRef { stream: u64::MAX, ..archive }; 300];
    writer.finish(&many, &made_with(&[])).unwrap().file.out
}

/// A root directory, and the `entries` that have no `/` in their path, in order.
fn tree(entries: Vec<Entry>) -> Vec<Entry> {
    let flat = entries.into_iter().filter(|e| !e.path.as_bytes().contains(&b'/'));
    let mut tree = vec![entry(b"", Node::Dir)];
    let named: std::collections::BTreeMap<_, _> = flat.map(|e| (e.path.clone(), e)).collect();
    tree.extend(named.into_values());
    hard_links::with_right_links(tree)
}

/// Checks that every field of the line, read by itself, is the field of the entry.
fn assert_tells(recorded: &Recorded, entry: &Entry) {
    assert_eq!(recorded.path(), entry.path.as_bytes());
    assert_eq!(recorded.file_type(), entry.node.file_type());
    assert_eq!((recorded.is_dir(), recorded.is_file()), (entry.node == Node::Dir, entry.file().is_some()));
    assert_eq!(recorded.size(), entry.size());
    assert_eq!(recorded.facts(), Facts::of(entry));
    assert_eq!(recorded.link_set(), entry.link_set());
    assert_eq!(recorded.is_linked(), entry.link != HardLink::Single);
    assert_eq!(recorded.content(), entry.place.content);
    assert_eq!(recorded.sig(), entry.place.sig.as_ref().map(|sig| &sig.content[..]));
    assert_eq!(recorded.entry().unwrap(), *entry);
}

/// Other spellings of the same JSON values are refused: other tools would read the same tree, but the tree digest
/// would be different.
#[test]
fn another_spelling_of_an_entry_is_refused() {
    let mut db = file(b"db", 12);
    db.meta.user = Some("me".into());
    db.meta.xattrs = vec![(b"user.x".to_vec(), b"hi".to_vec())];
    db.meta.flags = InodeFlags::of_words(&["append", "future", "nodump"]).unwrap();
    db.meta.project = 7;
    db.place.btime = Some(db.place.ctime);
    db.place.sig = Some(SigRef { content: db.place.content.clone(), hash: SigHash::Blake3([1; 16]) });
    let line = String::from_utf8(line_of(&db)).unwrap();
    for (from, to) in [
        ("\"db\"", "\"d\\u0062\""),
        ("\"me\"", "\"m\\u0065\""),
        ("\"me\"", "\"m\\/e\""),
        ("\"me\"", "\"\\b\""),
        ("\"me\"", "\"\\u001F\""),
        ("\"uid\"", "\"\\u0075id\""),
        ("\"size\":", "\"size\" :"),
        ("\"size\":", "\"size\":\t"),
        ("{\"path\"", " {\"path\""),
        (",\"uid\":0,\"gid\":0", ",\"gid\":0,\"uid\":0"),
        ("[[0,512,12]]", "[[0, 512,12]]"),
        ("[0,512,12]", "{\"archive\":0,\"offset\":512,\"len\":12}"),
        (",\"at\":{", ",\"holes\":[],\"at\":{"),
        (",\"content\":", ",\"x\":0,\"content\":"),
        (",\"hash\":\"blake3:01", ",\"x\":0,\"hash\":\"blake3:01"),
        ("\"type\":\"file\"", "\"type\":\"f\\u0069le\""),
        ("\"append\",\"future\"", "\"future\",\"append\""),
        ("\"future\"", "\"nodump\""),
        ("\"future\"", "\"Future\""),
        ("\"future\"", "\"fut\\u0075re\""),
        ("\"future\"", "\"\""),
        ("\"future\"", "7"),
        ("[\"append\",\"future\",\"nodump\"]", "[]"),
        ("[\"append\",\"future\",\"nodump\"]", "\"append\""),
        ("\"nodump\"]", "\"nodump\",]"),
        ("\"project\":7", "\"project\":0"),
        ("\"project\":7", "\"project\":4294967296"),
        ("\"project\":7", "\"project\":\"7\""),
        (",\"project\":7", ",\"project\":7,\"flags\":[\"sync\"]"),
        (",\"btime\":", ",\"btime\":\"0\",\"btime\":"),
        ("\"}}}", "\"},\"dirty\":false}}"),
        ("\"}}}", "\"},\"x\": 1}}"),
        ("\"}}}", "\"},\"x\":{\"a\":1,\"a\":1}}}"),
        ("\"}}}", "\"},\"x\":{\"a\":1,\"\\u0061\":1}}}"),
        ("\"}}}", "\"},\"\\u0078\":1}}"),
        (",\"at\":{", ",\"x\":[{\"a\":1,\"a\":2}],\"at\":{"),
        ("\"}}}", "\"}}} "),
    ] {
        assert!(line.contains(from), "{from} is not in {line}");
        let other = line.replacen(from, to, 1);
        assert!(parse_entry_line(other.as_bytes()).is_err(), "{other}");
    }
    let kept = line.replace("\"}}}", "\"},\"x\":{\"a\" : [1,{\"a\":1e400}]}}}");
    assert_eq!(line_of(&parse_entry_line(kept.as_bytes()).unwrap()), kept.as_bytes());
}

/// The fields of an unknown type may have any value, but the logical part of the line must end at its `at`.
#[test]
fn an_unknown_type_follows_the_rules_of_unknown_fields() {
    let node = UnknownNode { word: "door".into(), fields: ",\"size\":[7]".into() };
    let line = String::from_utf8(line_of(&entry(b"d", Node::Unknown(Box::new(node))))).unwrap();
    let read = |fields: &str| parse_entry_line(line.replacen(",\"size\":[7]", fields, 1).as_bytes());
    for fields in
        ["", ",\"size\":[7]", ",\"rdev\":{\"b\":1,\"a\":{}},\"x\":\"\\u0001\"", ",\"x\":0,\"linked\":true"]
    {
        let entry = read(fields).unwrap_or_else(|error| panic!("{fields}: {error}"));
        assert_eq!(line_of(&entry), line.replacen(",\"size\":[7]", fields, 1).as_bytes());
    }
    for fields in [
        ",\"x\":{\"y\":1,\"at\":{}}",
        ",\"linked\":true,\"x\":{\"y\":1,\"at\":{}}",
        ",\"size\":1,\"size\":1",
        ",\"size\":1,\"linked\":true,\"x\":1,\"x\":1",
        ",\"mtime\":1",
        ",\"linked\":false",
        ",\"x\": 1",
        ",\"x\":{\"a\":1,\"a\":1}",
    ] {
        assert!(read(fields).is_err(), "{fields}");
    }
}

#[test]
fn extreme_numbers_are_read_exactly_or_refused() {
    let line = String::from_utf8(line_of(&file(b"f", 12))).unwrap();
    let is_read = |line: String| match parse_entry_line(line.as_bytes()) {
        Ok(entry) => line_of(&entry) == line.as_bytes(),
        Err(_) => false,
    };
    for (number, bits) in [
        ("0", 32),
        ("9", 32),
        ("10", 32),
        ("4294967295", 32),
        ("4294967296", 64),
        ("9999999999999999999", 64),
        ("18446744073709551615", 64),
        ("18446744073709551616", 128),
        ("99999999999999999999", 128),
        ("340282366920938463463374607431768211455", 128),
        ("340282366920938463463374607431768211456", 129),
        ("999999999999999999999999999999999999999", 129),
        ("1000000000000000000000000000000000000000", 129),
        ("018446744073709551616", 129),
        ("00", 129),
        ("-0", 129),
        ("", 129),
    ] {
        let with = |from: &str, to: &str| line.replace(from, &format!("{to}{number}"));
        assert_eq!(is_read(with("\"uid\":0", "\"uid\":")), bits <= 32, "{number}");
        assert_eq!(is_read(with("\"ino\":\"1152921504606846976", "\"ino\":\"")), bits <= 128, "{number}");
    }
    for (secs, fits) in [
        ("9223372036854775807", true),
        ("-9223372036854775808", true),
        ("9223372036854775808", false),
        ("-9223372036854775809", false),
        ("-0", false),
        ("-1", true),
    ] {
        assert_eq!(is_read(line.replace("\"mtime\":\"0", &format!("\"mtime\":\"{secs}"))), fits, "{secs}");
    }
}

#[test]
fn the_newest_ctime_is_learnt_while_a_state_is_taken_in() {
    let mut tree = small();
    for (entry, secs) in tree.iter_mut().zip([3, 5, 9, 7, -1]) {
        entry.place.ctime = Time { secs, nanos: 1 };
    }
    assert_eq!(open(&plain(&tree)).unwrap().newest_ctime(), Time { secs: 9, nanos: 1 });
    tree[1].place.ctime.secs = 10;
    assert_eq!(open(&plain(&tree)).unwrap().newest_ctime(), Time { secs: 10, nanos: 1 });
}

#[test]
fn a_document_may_come_in_pieces_of_any_size() {
    let document = plain(&small());
    let state = open(&document).unwrap();
    for len in 1..300 {
        let mut intake = Intake::new();
        assert!(document.chunks(len).all(|piece| intake.feed(piece) == piece));
        let parts = intake.finish().unwrap();
        assert_eq!((parts.digest, parts.tree), (Some(state.trailer().digest), Some(state.trailer().tree)));
        assert_eq!(parts.newest_ctime, Some(state.newest_ctime()));
    }
}

#[test]
fn an_error_ends_a_cursor_as_it_ends_the_entries() {
    let bad = forged("\"type\":\"symlink\"", "\"type\":\"\"");
    let mut state = open(&bad).unwrap();
    let mut records = state.recorded().unwrap();
    for _ in 0..3 {
        assert!(records.advance().unwrap().is_some());
    }
    let error = records.advance().unwrap_err().to_string();
    assert!(error.contains("line 11: expected the word of a type"), "{error}");
    assert!(records.current().is_none() && records.advance().unwrap().is_none());
}

proptest! {
    #![proptest_config(cases(1000))]

    /// A changed line is refused, or it is the line that the writer makes of the entry that was read.
    #[test]
    fn a_line_has_no_second_spelling(
        entry in prop_oneof![any_entry(), any_simple_entry()],
        damages in vec((any_damage(), any::<prop::sample::Index>(), any::<bool>()), 8..32),
    ) {
        let good = line_of(&entry);
        prop_assert_eq!(parse_entry_line(&good).unwrap(), entry);
        let mut line = good.clone();
        for (what, at, again) in &damages {
            if !again {
                line.clone_from(&good);
            }
            damage(&mut line, what, *at);
            let read = parse_entry_line(&line);
            if let Ok(entry) = read {
                prop_assert_eq!(String::from_utf8(line_of(&entry)), String::from_utf8(line.clone()));
            }
        }
    }
}

proptest! {
    #[test]
    fn carried_lines_are_those_written_anew(entries in vec(prop_oneof![any_entry(), any_simple_entry()], 0..12), shift in 0..254u32) {
        let tree = tree(entries);
        let map = |archive| archive * shift + shift % 2;
        let first = document(|writer| tree.iter().try_for_each(|entry| writer.entry(entry)));
        let anew = tree.iter().map(|entry| renumbered(entry.clone(), map)).collect::<Vec<_>>();
        let anew = document(|writer| anew.iter().try_for_each(|entry| writer.entry(entry)));
        let mut state = open(&first).unwrap();
        let mut records = state.recorded().unwrap();
        let carried = document(|writer| {
            while let Some(recorded) = records.advance()? {
                writer.carry(recorded, map)?;
            }
            Ok(())
        });
        prop_assert_eq!(String::from_utf8(carried).unwrap(), String::from_utf8(anew).unwrap());
    }

    #[test]
    fn a_recorded_line_tells_what_its_entry_tells(entries in vec(prop_oneof![any_entry(), any_simple_entry()], 0..12)) {
        let tree = tree(entries);
        let document = document(|writer| tree.iter().try_for_each(|entry| writer.entry(entry)));
        let mut state = open(&document).unwrap();
        let mut records = state.recorded().unwrap();
        assert!(records.current().is_none());
        for entry in &tree {
            assert_tells(records.advance().unwrap().unwrap(), entry);
            assert_tells(records.current().unwrap(), entry);
        }
        assert!(records.advance().unwrap().is_none() && records.current().is_none());
    }
}
