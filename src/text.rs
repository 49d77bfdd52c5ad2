//! The text form of names, which states, reports and messages share.

use std::borrow::Cow;
use std::fmt::Write;

/// Writes a name as text that is safe in JSON. Only the bytes 00-1F, 7F, 25 (`%`) and every byte outside of a
/// maximal valid UTF-8 sequence become `%XX`, in upper case. The inverse is [`decode_name`].
pub fn encode_name(name: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(name)
        && !text.bytes().any(must_escape)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(name.len() + 8);
    for chunk in name.utf8_chunks() {
        for ch in chunk.valid().chars() {
            match u8::try_from(ch) {
                Ok(byte) if ch.is_ascii() && must_escape(byte) => push_escape(&mut out, byte),
                _ => out.push(ch),
            }
        }
        for &byte in chunk.invalid() {
            push_escape(&mut out, byte);
        }
    }
    Cow::Owned(out)
}

/// Reads the output of [`encode_name`]. `None` for any other text, because every name has one encoding only.
pub fn decode_name(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|&b| must_escape(b)) {
        return Some(bytes.to_vec());
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let (hi, lo) = (hex(*tail.first()?)?, hex(*tail.get(1)?)?);
            out.push(hi << 4 | lo);
            rest = &tail[2..];
        } else {
            out.push(first);
            rest = tail;
        }
    }
    (encode_name(&out) == text).then_some(out)
}

/// Longest path or value in a message for people, in bytes.
const MESSAGE_PART_MAX: usize = 4 << 10;

/// Shortens a text for people: a long text keeps both its ends, with an ellipsis between them.
pub fn shortened<'t>(text: impl Into<Cow<'t, str>>) -> Cow<'t, str> {
    let text = text.into();
    if text.len() <= MESSAGE_PART_MAX {
        return text;
    }
    let half = MESSAGE_PART_MAX / 2 - 2;
    let start = (0..=half).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let end = (text.len() - half..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    Cow::Owned(format!("{}\u{2026}{}", &text[..start], &text[end..]))
}

fn must_escape(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f || byte == b'%'
}

fn push_escape(out: &mut String, byte: u8) {
    write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_listed_bytes_are_escaped() {
        assert_eq!(encode_name(b"a b\"\\\xc3\xa9"), "a b\"\\\u{e9}");
        assert_eq!(encode_name(b"50%\n\x7f\xff\xc3"), "50%25%0A%7F%FF%C3");
        assert_eq!(encode_name(b"\xed\xa0\x80"), "%ED%A0%80");
    }

    #[test]
    fn a_second_spelling_of_a_name_is_refused() {
        for text in ["%61", "%c3", "%0a", "%", "%2", "%C3%A9", "a\n", "%GG"] {
            assert_eq!(decode_name(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_long_text_keeps_its_ends(start in "[a\u{e9}\u{20ac}\u{1f600}]{0,5}", many in 0..3000usize) {
            let text = format!("{start}{}z", "\u{20ac}".repeat(many));
            let short = shortened(&text);
            prop_assert!(short.len() <= MESSAGE_PART_MAX && short.ends_with('z') && short.starts_with(&start));
            prop_assert_eq!(short == text, text.len() <= MESSAGE_PART_MAX);
        }

        #[test]
        fn every_name_survives(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = encode_name(&name).into_owned();
            prop_assert_eq!(decode_name(&text), Some(name));
        }
    }
}
