//! The parts of archives in the trailer.

use super::*;
use crate::format::names::{PARTS_MAX, part_name};

/// An archive in three parts.
fn in_parts() -> ArchiveRef {
    let archive = archives().remove(0);
    let part = |number: u32| ArchiveFile {
        name: part_name(&archive.name, number),
        kind: archive.kind,
        size: 10 * u64::from(number),
        stream: 1000 * u64::from(number),
        digest: Hash([number as u8; 32]),
    };
    ArchiveRef { size: 60, stream: 6000, parts: (1..=3).map(part).collect(), ..archive }
}

fn document() -> String {
    let mut writer = StateWriter::new(frames(Codec::None), &header()).unwrap();
    small().iter().for_each(|entry| writer.entry(entry).unwrap());
    let written = writer.finish(&[in_parts(), archives().remove(1)], &made_with(&[])).unwrap();
    String::from_utf8(written.file.out).unwrap()
}

#[test]
fn parts_are_written_as_documented_and_read_back() {
    let text = document();
    let name = "docs.full.20261122T220530.123456Z.tar.zst";
    let digest = |byte| Hash([byte; 32]);
    let part = |name: &str, size: u64, byte| {
        format!("{{\"name\":\"{name}\",\"size\":{size},\"stream\":{size}00,\"digest\":\"{}\"}}", digest(byte))
    };
    let expected = format!(
        "\"archives\":[{{\"name\":\"{name}\",\"kind\":\"full\",\"size\":60,\"stream\":6000,\"digest\":\"{}\",\
         \"parts\":[{},\n{},\n{}]}},\n",
        digest(1),
        part(name, 10, 1),
        part(&format!("{name}.00002"), 20, 2),
        part(&format!("{name}.00003"), 30, 3)
    );
    assert!(text.contains(&expected), "{expected} is not in {text}");
    let mut source = text.as_bytes();
    let state = open_alone(&mut source, "s", text.len() as u64, false, &Pool::new(1).unwrap()).unwrap();
    assert_eq!(state.trailer().archives, [in_parts(), archives().remove(1)]);
    let files = state.trailer().archives.iter().flat_map(ArchiveRef::files).collect::<Vec<_>>();
    assert_eq!(files[..3], in_parts().parts);
    assert_eq!((files.len(), &files[3].name), (4, &archives()[1].name));
    assert!(files.iter().all(ArchiveFile::compressed));
}

#[test]
fn a_trailer_with_too_many_parts_is_an_error_that_names_the_remedy() {
    let few = in_parts();
    let part = |number: u32| ArchiveFile { name: part_name(&few.name, number), ..few.parts[0].clone() };
    let many = ArchiveRef { parts: (1..=PARTS_MAX).map(part).collect(), ..few.clone() };
    let mut all = vec![many; 5];
    all.insert(1, archives().remove(1));
    let mut writer = StateWriter::new(frames(Codec::None), &header()).unwrap();
    small().iter().for_each(|entry| writer.entry(entry).unwrap());
    let error = writer.finish(&all, &made_with(&[])).unwrap_err();
    assert_eq!(error.kind, Kind::Limit);
    assert!(error.detail.contains("48 MiB") && error.detail.contains("a greater size of parts"), "{error}");
}

#[test]
fn hostile_parts_are_refused() {
    let text = document();
    for (from, to, word) in [
        (".00002", ".00003", "next part"),
        (".00002", "", "next part"),
        (".00003", ".00004", "next part"),
        (".00003", ".3", "next part"),
        ("\"parts\":[{\"name\":\"docs", "\"parts\":[{\"name\":\"other", "next part"),
        ("123456Z.tar.zst.00002", "123457Z.tar.zst.00002", "next part"),
        ("docs.full.20261122T220530.123456Z.tar.zst.00002", "../x", "name is not valid"),
        ("\"size\":20,", "\"size\":21,", "add up"),
        ("\"size\":20,\"stream\":2000", "\"size\":20,\"stream\":2001", "add up"),
        ("\"size\":60,", "\"size\":61,", "add up"),
        ("\"stream\":6000,", "\"stream\":5999,", "add up"),
        ("\"size\":20,", "\"size\":18446744073709551615,", "add up"),
        ("\"size\":20,", "\"sizes\":20,", "size is missing"),
        ("\"parts\":[", "\"parts\":7,\"part\":[", "parts"),
        ("\"parts\":[", "\"parts\":[],\"part\":[", "fewer than two"),
        ("\"parts\":[", "\"parts\":null,\"part\":[", "parts"),
        ("\"parts\":[{", "\"parts\":[{\"size\":10,", ""),
        ("\"name\":\"docs.sigvault.20261122T220530.123456Z.tar.zst", "\"name\":\"a.tar.zst.00002", "name"),
    ] {
        assert!(text.contains(from), "{from} is not in {text}");
        assert_eq!(refused(&sealed(&text.replacen(from, to, 1)), word).kind, Kind::Corrupt, "{to}");
    }
    let empty = text.replace("\"size\":10,\"stream\":1000", "\"size\":0,\"stream\":0");
    let empty = empty.replace("\"size\":60,\"stream\":6000", "\"size\":50,\"stream\":5000");
    refused(&sealed(&empty), "one is empty");
    let single = text.split_once(",\"parts\":[{").unwrap().1.split_once("}]}").unwrap().0.to_string();
    let first = single.split_once("},\n").unwrap().0;
    let one =
        text.replace(&single, first).replace("\"size\":60,\"stream\":6000", "\"size\":10,\"stream\":1000");
    refused(&sealed(&one), "fewer than two");
    let many = format!("{first}}},\n{{").repeat(PARTS_MAX as usize) + first;
    refused(&sealed(&text.replace(&single, &many)), "too many elements");
}
