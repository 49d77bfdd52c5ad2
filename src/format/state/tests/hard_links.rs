//! Hard links in states: a further name follows the first name of its inode and has the same fields.

use super::*;

/// The entries, with links that readers accept: an entry that is a further name gets the fields of the nearest first
/// name before it, or becomes a single name if there is none.
pub fn with_right_links(entries: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
    let mut first: Option<Entry> = None;
    let each = |entry: Entry| {
        let HardLink::Further(_) = entry.link else {
            if entry.link == HardLink::First {
                first = Some(entry.clone());
            }
            return entry;
        };
        match &first {
            Some(first) => {
                Entry { path: entry.path, link: HardLink::Further(first.path.clone()), ..first.clone() }
            }
            None => Entry { link: HardLink::Single, ..entry },
        }
    };
    entries.into_iter().map(each).collect()
}

/// A file, a symbolic link, a FIFO and two devices, each with two further names.
fn linked() -> Vec<Entry> {
    let nodes = [Node::Symlink(b"to".to_vec()), Node::Fifo, Node::Char(259), Node::Block(259)];
    let mut firsts = vec![file(b"a", 12)];
    firsts.extend(nodes.into_iter().zip(b"bcde").map(|(node, name)| entry(&[*name], node)));
    let names = |first: Entry| {
        let further = |more: &[u8]| {
            let path = Path::new([first.path.as_bytes(), more].concat()).unwrap();
            Entry { path, link: HardLink::Further(first.path.clone()), ..first.clone() }
        };
        [Entry { link: HardLink::First, ..first.clone() }, further(b"-1"), further(b"-2")]
    };
    [entry(b"", Node::Dir), entry(b"0", Node::Dir)]
        .into_iter()
        .chain(firsts.into_iter().flat_map(names))
        .collect()
}

#[test]
fn everything_but_a_directory_may_have_several_names() {
    let (written, tree) = write(&linked(), Codec::None);
    assert_eq!(read(&written.out).unwrap(), linked());
    let text = String::from_utf8(written.out).unwrap();
    assert!(text.contains("\"target\":\"to\",\"linked\":true,\"at\":{"), "{text}");
    assert!(text.contains("\"target\":\"to\",\"link\":\"b\",\"at\":{"), "{text}");
    // Only the logical fields count.
    let moved = linked().into_iter().map(|mut entry| {
        entry.place.ino = entry.place.ino.map(|ino| ino + 1);
        entry
    });
    assert_eq!(write(&moved.collect::<Vec<_>>(), Codec::None).1, tree);
}

#[test]
fn a_hard_link_to_anything_but_its_first_name_is_refused() {
    let text = String::from_utf8(plain(&linked())).unwrap();
    let is_no_first_name = "no earlier entry with the same fields";
    let link = |path: &str| format!("\"link\":\"{path}\"");
    // The first further name is a-1; the lines of c, c-1 and c-2 differ from each other in path and link only.
    let cases = [
        ("itself", link("a"), link("a-1"), is_no_first_name),
        ("a later path", link("a"), link("a-2"), is_no_first_name),
        ("a missing path", link("c"), link("aa"), is_no_first_name),
        ("no path", link("a"), link("a/"), "a relative path"),
        ("the root", link("a"), link(""), is_no_first_name),
        ("a directory", link("a"), link("0"), is_no_first_name),
        ("another type", link("c"), link("b"), is_no_first_name),
        ("another device", link("e"), link("d"), is_no_first_name),
        ("a single name", "\"linked\":true,".into(), String::new(), is_no_first_name),
        (
            "two marks",
            link("a"),
            format!("\"linked\":true,{}", link("a")),
            "both a first name and a further name",
        ),
        ("a mark that is not set", "\"linked\":true".into(), "\"linked\":false".into(), "fields missing"),
    ];
    for (what, from, to, word) in cases {
        assert!(text.contains(&from), "{what}: {from} is not in {text}");
        let error = refused(&sealed(&text.replacen(&from, &to, 1)), word);
        assert_eq!(error.kind, Kind::Corrupt, "{what}: {error}");
    }
    let dir = String::from_utf8(plain(&[entry(b"", Node::Dir)])).unwrap();
    refused(&sealed(&dir.replace(",\"at\":{", ",\"linked\":true,\"at\":{")), "a hard link of a directory");
}

/// Every logical field counts, and the message names the path.
#[test]
fn a_further_name_with_another_field_is_refused() {
    let text = String::from_utf8(plain(&linked())).unwrap();
    let at = text.find("{\"path\":\"a-1\"").unwrap();
    let (before, line) = text.split_at(at);
    for (from, to) in [
        ("\"mode\":\"0755\"", "\"mode\":\"0754\""),
        ("\"uid\":0", "\"uid\":1"),
        ("\"gid\":0", "\"gid\":1"),
        ("\"mtime\":\"0.000000000\"", "\"mtime\":\"0.000000001\""),
        ("\"mtime\":\"0.000000000\"", "\"mtime\":\"0.000000000\",\"xattrs\":{\"user.a\":\"\"}"),
        ("blake3:0", "blake3:1"),
        (",\"at\":{", ",\"later\":1,\"at\":{"),
    ] {
        assert!(line.contains(from), "{from} is not in {line}");
        let changed = format!("{before}{}", line.replacen(from, to, 1));
        refused(&sealed(&changed), "a-1: a hard link to no earlier entry with the same fields");
    }
    // Physical fields may differ.
    let dirty = line.replacen("\"ino\":\"", "\"ino\":\"1", 1);
    assert!(read(&sealed(&format!("{before}{dirty}"))).is_ok());
}

#[test]
fn the_writer_refuses_what_a_reader_refuses() {
    let mut writer = StateWriter::new(frames(Codec::None), &header()).unwrap();
    let without_first = linked().into_iter().filter(|entry| entry.path.as_bytes() != b"a");
    let done = without_first.collect::<Vec<_>>().iter().try_for_each(|entry| writer.entry(entry));
    assert!(done.is_err_and(|error| error.kind == Kind::Panic));
}
