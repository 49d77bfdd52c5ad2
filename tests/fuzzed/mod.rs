//! The targets of the fuzzer: one function for each reader of foreign bytes. `fuzz/` runs them with libFuzzer, and
//! `tests/fuzz_corpus.rs` with every input in `tests/fuzzed/corpus`. The crate root has the modules `allocated` and
//! `sealed`.

pub mod readers;

use std::io::Cursor;

use ibt::delta::{self, FineSearch, MAX_STRONG_LEN, Plan, SignatureDelta, fine_delta};
use ibt::error::{Kind, Result};
use ibt::exclude::Excludes;
use ibt::filter::Filter;
use ibt::format::state::{Header, StateReader, StateSummary, StoredState};
use ibt::format::{AncestorName, Name, StateFiles, names, parse_entry_line, write_entry_line};
use ibt::pool::Pool;
use ibt::stamp::Stamp;
use ibt::text::{decode_name, encode_name};

use crate::allocated::within;
use crate::sealed;
use readers::{BASIS, BUFFERS, MADE_MAX, made_of};

/// Reads an input as a target does. Panics if a rule does not hold.
type Target = fn(&[u8]);

/// Each target with its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("composition", composition),
    ("delta", delta),
    ("entry", entry),
    ("excludes", excludes),
    ("fine", fine),
    ("frames", frames),
    ("globs", globs),
    ("librsync", librsync),
    ("names", names),
    ("signature", signature),
    ("signature_delta", signature_delta),
    ("state", state),
];

/// Two inputs in one: the first two bytes are the length of the first input.
fn two(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = data.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))
}

/// A stored file of frames: of an archive or a state.
fn frames(data: &[u8]) {
    readers::assert_file_is_read_or_refused(data, data.len() as u64);
}

fn signature(data: &[u8]) {
    let Some((signature, new)) = two(data) else { return };
    readers::assert_signature_is_used_or_refused(signature, new.len() as u64, new);
}

/// The content that deltas are applied to.
fn basis() -> Vec<u8> {
    (0..BASIS).map(|n| ((n * n) >> 3) as u8).collect()
}

fn delta(data: &[u8]) {
    readers::assert_delta_is_applied_or_refused(data, &basis());
}

/// A delta, and a delta of its result: the plan of both makes what they make one after the other.
fn composition(data: &[u8]) {
    let (basis, Some((first, second))) = (basis(), two(data)) else { return };
    let middle = made_of(first, &basis, MADE_MAX);
    let expected = middle.as_ref().and_then(|middle| made_of(second, middle, MADE_MAX));
    let plan = Plan::whole(basis.len() as u64).apply(1, first, MADE_MAX, usize::MAX);
    assert_eq!(plan.is_ok(), middle.is_some());
    let Ok(plan) = plan.and_then(|plan| plan.apply(2, second, MADE_MAX, usize::MAX)) else {
        assert!(expected.is_none());
        return;
    };
    let sources = [&basis[..], first, second];
    let bytes =
        |piece: &delta::Piece| &sources[piece.source as usize][piece.offset as usize..][..piece.len as usize];
    let made: Vec<u8> = plan.pieces().iter().flat_map(bytes).copied().collect();
    assert!(expected.as_ref() == Some(&made));
    assert_eq!(plan.content_len(), made.len() as u64);
}

/// Old and new bytes: the delta of a direct comparison makes the new bytes, by a plain reading.
fn fine(data: &[u8]) {
    let Some((old, new)) = two(data) else { return };
    let delta = fine_delta(&mut FineSearch::default(), old, new, Vec::new()).unwrap();
    assert!(made_of(&delta, old, new.len() as u64).as_deref() == Some(new));
    assert!(delta.len() <= new.len() + new.len() / 16 + 64, "{} bytes of {}", delta.len(), new.len());
}

/// An old and a new signature: the delta makes the new one.
fn signature_delta(data: &[u8]) {
    let Some((old, new)) = two(data) else { return };
    let delta = within(BUFFERS + 32 * (old.len() + new.len()), || {
        let mut writer = SignatureDelta::new(old, Vec::new())?;
        new.chunks(7).for_each(|piece| writer.update(piece).unwrap());
        Some(writer.finish().unwrap())
    });
    let Some(delta) = delta else {
        let strong_len = old.get(8..12).map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap()));
        assert!(strong_len.is_none_or(|len| len == 0 || len > MAX_STRONG_LEN));
        return;
    };
    assert!(made_of(&delta, old, new.len() as u64).as_deref() == Some(new));
}

/// A delta that is good by a plain reading of the format, applied by librsync itself.
#[cfg(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
fn librsync(data: &[u8]) {
    let (basis, mut made) = (basis(), Vec::new());
    let Some(expected) = made_of(data, &basis, MADE_MAX) else { return };
    ::librsync::whole::patch(&mut Cursor::new(&basis), &mut &*data, &mut made).unwrap();
    assert!(made == expected, "librsync makes other bytes");
    let mut ours = Vec::new();
    delta::patch_up_to(&mut Cursor::new(&basis), &mut &*data, BASIS as u64, &mut ours, MADE_MAX).unwrap();
    assert!(ours == expected, "libibt makes other bytes");
}

#[cfg(not(all(
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")
)))]
fn librsync(_: &[u8]) {}

/// The name of a backup file, and a name in a state.
fn names(data: &[u8]) {
    assert_eq!(decode_name(&encode_name(data)).as_deref(), Some(data));
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(decoded) = decode_name(text) {
        assert_eq!(encode_name(&decoded), text, "a name has one spelling");
    }
    if let Some(name) = Name::parse(text) {
        assert_eq!(name.to_string(), text, "a backup file has one name");
        names::check_key(name.key.as_bytes()).unwrap();
    }
    let _ = (AncestorName::parse(text), names::parse_wrapped(text), names::parse_any(text));
    let _ = (names::split_part(text), names::is_backup_file(text), names::default_key(data));
    let _ = (Stamp::parse(text), ibt::stamp::Time::parse(text));
}

/// A line of an entry in a state.
fn entry(data: &[u8]) {
    match within(BUFFERS + 16 * data.len(), || parse_entry_line(data)) {
        Ok(entry) => {
            let mut again = Vec::new();
            write_entry_line(&entry, &mut again);
            assert!(again == data, "an entry has one spelling");
        }
        Err(error) => assert!(matches!(error.kind, Kind::Corrupt | Kind::Format), "{error}"),
    }
}

/// A state alone in a store.
struct Alone<'d>(&'d [u8]);

impl StateFiles for Alone<'_> {
    fn read(
        &mut self,
        _: Stamp,
        size: u64,
        read: &mut dyn FnMut(StoredState<'_>) -> Result<()>,
    ) -> Result<()> {
        let meanwhile = &mut || ();
        read(StoredState { source: &mut &*self.0, name: "f.json", size, compressed: false, meanwhile })
    }
}

/// The document of a state. Its digests are computed again, so that the fuzzer reaches what they protect.
fn state(data: &[u8]) {
    read_state(data);
    let has = |part: &[u8]| data.windows(part.len()).any(|window| window == part);
    let has_physical = |line: &[u8]| line.windows(7).any(|window| window == b",\"at\":{");
    if has(b"\n\"digest\":\"")
        && sealed::entry_lines(data).all(has_physical)
        && has_tree(sealed::unsealed(data))
    {
        read_state(&sealed::reseal(data));
    }
}

/// Whether a document without its last lines has a place for the digest of the tree.
fn has_tree(unsealed: &[u8]) -> bool {
    let key = b"\"tree\":\"blake3:";
    let at = unsealed.windows(key.len()).rposition(|window| window == key);
    at.is_some_and(|at| at + key.len() + 64 <= unsealed.len())
}

fn read_state(document: &[u8]) {
    let size = document.len() as u64;
    let pool = Pool::new(1).unwrap();
    let stamp = Stamp::parse("20261101T000000.000000Z").unwrap();
    let most = 32 * BUFFERS + 64 * document.len();
    let summary = within(most, || StateSummary::read(&mut &*document, "f.json", size, false));
    let verified = within(most, || StateSummary::verify(&mut &*document, "f.json", size, false));
    let header = within(most, || Header::read(&mut &*document, "f.json", size, false));
    let opened = within(most, || StateReader::open(stamp, size, &pool, None, &mut Alone(document)));
    let is_known = |kind: Kind| matches!(kind, Kind::Corrupt | Kind::Format | Kind::Missing);
    let errors =
        [summary.as_ref().err(), verified.as_ref().err(), header.as_ref().err(), opened.as_ref().err()];
    errors
        .into_iter()
        .flatten()
        .for_each(|error| assert!(is_known(error.kind), "{error} ({:?})", error.kind));
    if let Ok(verified) = verified {
        let summary = summary.expect("a state that verifies has a summary");
        assert_eq!(
            (summary.trailer.digest, summary.trailer.tree),
            (verified.trailer.digest, verified.trailer.tree)
        );
    }
    let Ok(mut reader) = opened else { return };
    for entry in reader.entries().unwrap() {
        match entry {
            Ok(entry) => {
                let mut line = Vec::new();
                write_entry_line(&entry, &mut line);
                parse_entry_line(&line).unwrap();
            }
            Err(error) => {
                assert!(is_known(error.kind), "{error}");
                return;
            }
        }
    }
}

/// Lines of patterns. A pattern is used or refused alike in the options and in an exclude file.
fn excludes(data: &[u8]) {
    if data.len() > 4096 {
        return;
    }
    let lines: Vec<Vec<u8>> = data.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let usable = |line: &[u8]| Excludes::check_pattern(line).is_ok();
    let mut by_file = Excludes::new(&[], b".exclude").unwrap();
    let bad: Vec<_> = by_file.enter_dir(b"", Some(data)).into_iter().map(|bad| bad.line).collect();
    let read = |line: &Vec<u8>| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
    let without_mark = data.strip_prefix(b"\xef\xbb\xbf").is_none();
    if without_mark && bad.len() < 100 {
        let read: Vec<_> = lines.iter().map(read).collect();
        let unusable = read.iter().enumerate().filter(|(_, line)| !usable(line)).map(|(at, _)| at + 1);
        assert_eq!(bad, unusable.collect::<Vec<_>>());
        let good: Vec<_> = read.into_iter().filter(|line| usable(line)).collect();
        let by_options = Excludes::new(&good, b"").unwrap();
        for path in [&b"a"[..], b"a/b", b"b\xff", b"a b/ab/c", b"x.y"] {
            for is_dir in [false, true] {
                assert_eq!(by_file.is_excluded(path, is_dir), by_options.is_excluded(path, is_dir));
            }
        }
    }
    by_file.leave_dir();
}

/// A glob that selects entries of a snapshot.
fn globs(data: &[u8]) {
    if data.len() > 4096 {
        return;
    }
    match Filter::new(&[data.to_vec()], &[]) {
        Ok(mut filter) => {
            assert!(Filter::check_glob(data).is_ok());
            for path in [&b"a"[..], b"a/b", b"a,b{c}", b"b\xff"] {
                filter.matches(path);
            }
        }
        Err(error) => assert!(error.kind == Kind::InvalidArg && Filter::check_glob(data).is_err(), "{error}"),
    }
}
