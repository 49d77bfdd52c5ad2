use std::io::Read;
use std::sync::Arc;

use super::*;
use crate::error::Kind;
use crate::format::{FrameWriter, Written};
use crate::job::Codec;
use crate::pool::Pool;
use crate::stamp::Time;

fn writer() -> ArchiveWriter<Vec<u8>> {
    let pool = Arc::new(Pool::new(1).unwrap());
    ArchiveWriter::new(FrameWriter::new(Vec::new(), Codec::None, pool))
}

fn path(text: &str) -> Path {
    Path::new(text.as_bytes()).unwrap()
}

fn meta() -> Metadata {
    let (mode, mtime) = (Some(0o644), Time { secs: 1_000_000_000, nanos: 5 });
    Metadata { mode, mtime, ..Metadata::default() }
}

#[test]
fn data_lies_where_begin_said() {
    let mut archive = writer();
    let first = archive.begin_file(&path("a"), &meta(), 5, &[]).unwrap();
    archive.write(b"hel").unwrap();
    archive.write(b"lo").unwrap();
    archive.end().unwrap();
    let second = archive.begin_file(&path("b"), &meta(), 100, &[(0, 50), (60, 40)]).unwrap();
    archive.write(b"0123456789").unwrap();
    archive.end().unwrap();
    let third = archive.begin_raw(&path("a"), &meta(), 3).unwrap();
    archive.write(b"sig").unwrap();
    archive.end().unwrap();
    let Written { out, stream, .. } = archive.finish().unwrap();
    assert_eq!(stream % 512, 0);
    for (at, data) in [(first, &b"hello"[..]), (second, b"0123456789"), (third, b"sig")] {
        assert_eq!(&out[at as usize..at as usize + data.len()], data);
        assert_eq!(at % 512, 0);
    }
}

#[test]
fn an_abandoned_member_is_filled_with_zeros() {
    let mut archive = writer();
    archive.begin_file(&path("a"), &meta(), 1000, &[]).unwrap();
    archive.write(b"partly").unwrap();
    archive.abandon().unwrap();
    let at = archive.begin_file(&path("a"), &meta(), 4, &[]).unwrap();
    archive.write(b"good").unwrap();
    archive.end().unwrap();
    let out = archive.finish().unwrap().out;
    assert_eq!(&out[at as usize..at as usize + 4], b"good");
    let mut tar = tar::Archive::new(&out[..]);
    let members: Vec<Vec<u8>> = tar
        .entries()
        .unwrap()
        .map(|member| {
            let mut data = Vec::new();
            member.unwrap().read_to_end(&mut data).unwrap();
            data
        })
        .collect();
    assert_eq!(members.len(), 2);
    assert!(members[0].starts_with(b"partly\0\0") && members[0].len() == 1000);
    assert_eq!(members[1], b"good");
}

#[test]
fn a_writer_out_of_step_is_told_so() {
    let mut archive = writer();
    let bug = |result: Result<()>| assert_eq!(result.unwrap_err().kind, Kind::Panic);
    bug(archive.end());
    bug(archive.abandon());
    bug(archive.write(b"x"));
    archive.begin_file(&path("a"), &meta(), 2, &[]).unwrap();
    bug(archive.begin_file(&path("b"), &meta(), 2, &[]).map(drop));
    bug(archive.write(b"too long"));
    archive.write(b"1").unwrap();
    bug(archive.end());
    let mut archive = writer();
    archive.begin_file(&path("a"), &meta(), 2, &[]).unwrap();
    bug(archive.finish().map(drop));
}

#[test]
fn record_lengths_count_themselves() {
    for len in (0..2000).chain([9_980, 9_990, 99_980, 99_990]) {
        let mut records = PaxRecords::new();
        push_record(&mut records, b"k", &vec![b'v'; len]);
        let digits = records.iter().position(|&b| b == b' ').unwrap();
        let said: usize = std::str::from_utf8(&records[..digits]).unwrap().parse().unwrap();
        assert_eq!(said, records.len());
    }
}
