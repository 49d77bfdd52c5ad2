//! Feeds every reader of foreign bytes with random bytes, and with good bytes that were changed. No reader panics,
//! and none allocates more than a multiple of its input's length. An error says that the bytes are bad. Content that
//! was read is the same after it was written and read again.

#[path = "fuzzed/readers.rs"]
mod readers;
mod support;

use ibt::delta::{Params, Signature};
use ibt::error::Kind;
use ibt::exclude::Excludes;
use ibt::filter::Filter;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use readers::*;
use support::allocated::{self, CountingAllocator, within};
use support::cases;
use support::changes::{changed, changes, odd_numbers};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The seek table at the end of a file: the stored and the plain length of each frame.
fn table(frames: &[(u32, u32)], count: u32, descriptor: u8) -> Vec<u8> {
    let mut out = 0x184D_2A5Eu32.to_le_bytes().to_vec();
    let entry_len = if descriptor & 0x80 == 0 { 8 } else { 12 };
    out.extend_from_slice(&((frames.len() * entry_len) as u32 + 9).to_le_bytes());
    for (stored, plain) in frames {
        out.extend_from_slice(&stored.to_le_bytes());
        out.extend_from_slice(&plain.to_le_bytes());
        out.extend_from_slice(&[7; 4][..entry_len - 8]);
    }
    out.extend_from_slice(&count.to_le_bytes());
    out.push(descriptor);
    out.extend_from_slice(&0x8F92_EAB1u32.to_le_bytes());
    out
}

/// One zstd frame, with or without its content length and checksum.
fn frame(data: &[u8], (has_size, has_checksum): (bool, bool)) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_contentsize(has_size).unwrap();
    encoder.include_checksum(has_checksum).unwrap();
    if has_size {
        encoder.set_pledged_src_size(Some(data.len() as u64)).unwrap();
    }
    std::io::Write::write_all(&mut encoder, data).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_file_of_frames_that_was_changed_is_read_or_refused() {
    let data = vec(any::<u8>(), 0..2000);
    proptest!(cases(300), |(data in data, frame_len in prop_oneof![1..4usize, 1..900usize], changes in changes(), more in -3..4i64)| {
        let good = packed(&data, frame_len);
        let (read, got) = stream(&good, good.len() as u64);
        prop_assert!(read.is_ok() && got == data);
        let file = changed(good, &changes);
        // An outdated listing can give another size than the file has.
        for size in [file.len() as u64, (file.len() as u64).saturating_add_signed(more)] {
            assert_file_is_read_or_refused(&file, size);
        }
    });
}

#[test]
fn bytes_that_were_never_a_file_of_frames_are_refused() {
    let end = select(vec![&b""[..], b"\xb1\xea\x92\x8f", b"\x01\0\0\0\0\xb1\xea\x92\x8f"]);
    let start = select(vec![&b""[..], b"\x28\xb5\x2f\xfd", b"\x5e\x2a\x4d\x18"]);
    proptest!(cases(500), |(start in start, bytes in vec(any::<u8>(), 0..200), end in end, more in odd_numbers())| {
        let file = [start, &bytes, end].concat();
        assert_file_is_read_or_refused(&file, file.len() as u64);
        assert_file_is_read_or_refused(&file, (file.len() as u64).saturating_add(more % (1 << 40)));
    });
}

/// The table's lengths of real frames are right, or the frame is refused.
#[test]
fn a_frame_has_the_length_that_its_table_says_or_is_refused() {
    let part = (vec(any::<u8>(), 0..300), any::<(bool, bool)>());
    let lie = prop_oneof![3 => Just(None), 1 => odd_numbers().prop_map(|number| Some(number as u32))];
    let frames = vec((vec(part, 1..3), lie.clone(), lie), 1..5);
    proptest!(cases(400), |(frames in frames, checksums: bool)| {
        let (mut file, mut claims, mut honest, mut expected) = (Vec::new(), Vec::new(), true, Vec::new());
        for (parts, stored_lie, plain_lie) in frames {
            let (stored, plain): (Vec<_>, Vec<_>) =
                parts.iter().map(|(data, how)| (frame(data, *how), data.clone())).unzip();
            let (stored, plain) = (stored.concat(), plain.concat());
            let claim = (stored_lie.unwrap_or(stored.len() as u32), plain_lie.unwrap_or(plain.len() as u32));
            honest &= claim == (stored.len() as u32, plain.len() as u32) && !plain.is_empty();
            claims.push(claim);
            file.extend(stored);
            expected.extend(plain);
        }
        file.extend(table(&claims, claims.len() as u32, if checksums { 0x80 } else { 0 }));
        assert_file_is_read_or_refused(&file, file.len() as u64);
        let (read, got) = stream(&file, file.len() as u64);
        if honest {
            prop_assert!(read.is_ok() && got == expected);
        } else {
            // The bytes before the first wrong length are right.
            prop_assert!(expected.starts_with(&got), "{read:?}");
            prop_assert!(read.is_err() || got == expected);
        }
    });
}

#[test]
fn a_signature_that_was_changed_is_used_or_refused() {
    let content = || (vec(any::<u8>(), 0..60), 1..40usize).prop_map(|(bytes, times)| bytes.repeat(times));
    let params = (prop_oneof![1..8u32, 1..300u32, Just(i32::MAX as u32)], 1..33u32);
    proptest!(cases(300), |(basis in content(), new in content(), (block_len, strong_len) in params, changes in changes(), tail in odd_numbers())| {
        let good = signature(&basis, Params { block_len, strong_len });
        let parsed = Signature::parse(&good).unwrap();
        prop_assert_eq!((parsed.block_len(), parsed.strong_len()), (block_len, strong_len));
        prop_assert_eq!(parsed.blocks(), (basis.len() as u64).div_ceil(u64::from(block_len)));
        let both = [&basis[..basis.len() / 2], &new].concat();
        assert_signature_is_used_or_refused(&changed(good, &changes), tail, &both);
    });
}

#[test]
fn bytes_that_were_never_a_signature_are_used_or_refused() {
    let magic = select(vec![0x7273_0147u32, 0x7273_0137, 0x7273_0136, 0x7273_0236, 0]);
    proptest!(cases(500), |(magic in magic, lens in (odd_numbers(), odd_numbers()), entries in vec(any::<u8>(), 0..200), tail in odd_numbers(), new in vec(0..3u8, 0..1000))| {
        let words = [magic, lens.0 as u32, lens.1 as u32].map(u32::to_be_bytes).concat();
        assert_signature_is_used_or_refused(&[&words, &entries[..]].concat(), tail, &new);
        assert_signature_is_used_or_refused(&entries, tail, &new);
    });
}

fn spelled() -> impl Strategy<Value = Vec<Spelled>> {
    let honest = vec(any::<u8>(), 1..70).prop_map(|bytes| Spelled::Literal {
        class: 3,
        len: bytes.len() as u64,
        bytes,
    });
    let literal = (0..5u8, odd_numbers(), vec(any::<u8>(), 0..70))
        .prop_map(|(class, len, bytes)| Spelled::Literal { class, len, bytes });
    let inside = (0..BASIS as u64, 1..150u64).prop_map(|(offset, len)| Spelled::Copy {
        classes: (3, 3),
        offset,
        len: len.min(BASIS as u64 - offset),
    });
    let copy = ((0..4u8, 0..4u8), odd_numbers(), odd_numbers())
        .prop_map(|(classes, offset, len)| Spelled::Copy { classes, offset, len });
    let command = prop_oneof![5 => honest, 5 => inside, 1 => literal, 1 => copy];
    (vec(command, 0..12), prop_oneof![4 => Just(vec![Spelled::End]), 1 => Just(Vec::new())])
        .prop_map(|(commands, end)| [commands, end].concat())
}

#[test]
fn a_delta_with_hostile_commands_is_applied_or_refused() {
    let basis = support::noise(1, BASIS);
    proptest!(cases(500), |(commands in spelled(), changes in changes())| {
        let delta = spell(&commands);
        assert_delta_is_applied_or_refused(&delta, &basis);
        assert_delta_is_applied_or_refused(&changed(delta, &changes), &basis);
    });
}

#[test]
fn bytes_that_were_never_a_delta_are_applied_or_refused() {
    let basis = support::noise(1, BASIS);
    let commands = vec(prop_oneof![any::<u8>(), 0x3e..0x58u8, 0..3u8], 0..80);
    proptest!(cases(500), |(commands in commands)| {
        assert_delta_is_applied_or_refused(&commands, &basis);
        assert_delta_is_applied_or_refused(&[b"rs\x026", &commands[..]].concat(), &basis);
    });
}

/// Patterns and globs, put together from parts with a meaning.
fn pattern_text() -> impl Strategy<Value = Vec<u8>> {
    let parts: Vec<&[u8]> = vec![
        b"a",
        b"b",
        b"*",
        b"**",
        b"**/",
        b"/",
        b"?",
        b"[",
        b"]",
        b"[a-z]",
        b"[^a]",
        b"[[:alpha:]]",
        b"[:",
        b"!",
        b"^",
        b"-",
        b"\\",
        b"{",
        b"}",
        b"{a,b}",
        b",",
        b"#",
        b" ",
        b"\r",
        b"\t",
        b"\xff",
        b"\xc3\xa9",
        b"\xef\xbb\xbf",
        b"\0",
    ];
    let text = vec(select(parts), 0..12).prop_map(|parts| parts.concat());
    // Few parts, often repeated: compiled patterns grow fastest with these.
    (text, prop_oneof![6 => Just(1usize), 1 => 2..400usize]).prop_map(|(text, times)| {
        let mut text = text.repeat(times);
        text.truncate(5000);
        text
    })
}

fn some_paths() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec("[ab*,{}\u{e9} /]{1,12}".prop_map(|path| path.trim_matches('/').as_bytes().to_vec()), 1..8)
}

/// A pattern that matches exactly `name`.
fn escaped(name: &str) -> Vec<u8> {
    let escape = |c: char| match c.is_ascii_punctuation() || c == ' ' {
        true => format!("\\{c}"),
        false => c.to_string(),
    };
    name.chars().map(escape).collect::<String>().into_bytes()
}

/// Limits for compiled patterns: bytes of memory for each byte of text, and bytes for an empty pattern.
const COMPILED: usize = 4000;
const COMPILED_ONCE: usize = 2 << 20;

#[test]
fn a_pattern_is_used_or_refused_alike_wherever_it_stands() {
    proptest!(cases(150), |(lines in vec(pattern_text(), 0..6), paths in some_paths(), is_dir: bool)| {
        let usable = |line: &[u8]| Excludes::check_pattern(line).is_ok();
        for line in &lines {
            let most = COMPILED_ONCE + COMPILED * line.len();
            match within(most, || Excludes::new(std::slice::from_ref(line), b"")) {
                Ok(_) => prop_assert!(usable(line)),
                Err(error) => prop_assert!(error.kind == Kind::InvalidArg && !usable(line), "{error}"),
            }
        }
        // In an exclude file, the line end does not belong to the pattern.
        let line_of = |line: &Vec<u8>| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        let read: Vec<_> = lines.iter().map(line_of).collect();
        let file = [&b"\xef\xbb\xbf"[..], &lines.join(&b'\n')].concat();
        let mut by_file = Excludes::new(&[], b".exclude").unwrap();
        let most = COMPILED_ONCE + COMPILED * file.len();
        let bad = within(most, || by_file.enter_dir(b"", Some(&file)));
        let bad: Vec<_> = bad.iter().map(|bad| bad.line).collect();
        let unusable = read.iter().enumerate().filter(|(_, line)| !usable(line)).map(|(at, _)| at + 1);
        prop_assert_eq!(bad, unusable.collect::<Vec<_>>());
        let good: Vec<_> = read.into_iter().filter(|line| usable(line)).collect();
        let by_options = Excludes::new(&good, b"").unwrap();
        for path in &paths {
            prop_assert_eq!(by_file.is_excluded(path, is_dir), by_options.is_excluded(path, is_dir));
        }
    });
}

#[test]
fn a_name_written_as_a_pattern_means_that_name() {
    let name =
        "[a-c *?!#\\\\{},\\[\\]\u{e9}^-]{1,10}".prop_filter("a name", |name: &String| !name.contains('/'));
    proptest!(cases(300), |(name in name.clone(), other in name)| {
        let anchored = [b"/", &escaped(&name)[..]].concat();
        let excludes = Excludes::new(&[anchored], b"").unwrap();
        let mut glob = Filter::new(&[escaped(&name)], &[]).unwrap();
        for path in [name.clone(), other.clone(), format!("{name}x"), format!("x{name}"), format!("x/{name}")] {
            prop_assert_eq!(excludes.is_excluded(path.as_bytes(), false), path == name, "{}", path);
            prop_assert_eq!(glob.matches(path.as_bytes()), path == name, "{}", path);
        }
        let below = format!("{name}/{other}");
        prop_assert!(glob.matches(below.as_bytes()));
    });
}

#[test]
fn a_glob_is_used_or_refused() {
    proptest!(cases(150), |(glob in pattern_text(), paths in some_paths())| {
        let most = COMPILED_ONCE + 2 * COMPILED * glob.len();
        match within(most, || Filter::new(std::slice::from_ref(&glob), &[])) {
            Ok(mut filter) => {
                prop_assert!(Filter::check_glob(&glob).is_ok());
                let found = paths.iter().filter(|path| filter.matches(&path[..])).count();
                prop_assert_eq!(filter.check_used().is_ok(), found > 0);
            }
            Err(error) => {
                prop_assert!(error.kind == Kind::InvalidArg && Filter::check_glob(&glob).is_err(), "{}", error);
            }
        }
    });
}
