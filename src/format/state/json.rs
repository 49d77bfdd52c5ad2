//! Appends JSON values to a buffer, in the one spelling of states.

use super::BLAKE3;
use crate::entry::{Hash, Range};
use crate::stamp::Time;
use crate::text::encode_name;

/// A string with its quotes. Only `"`, `\` and the control characters up to 1F are escaped.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\') {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            byte => {
                out.extend_from_slice(b"\\u00");
                hex(out, &[byte]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// A name (path, link target, xattr name) as a string.
pub(super) fn name(out: &mut Vec<u8>, bytes: &[u8]) {
    string(out, &encode_name(bytes));
}

pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    digits::<1>(out, value);
}

/// Decimal digits, at least `MIN` of them.
fn digits<const MIN: usize>(out: &mut Vec<u8>, mut value: u64) {
    let mut text = [b'0'; 20];
    let mut at = text.len();
    while value >= 10 {
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
    }
    if value > 0 {
        at -= 1;
        text[at] = b'0' + value as u8;
    }
    out.extend_from_slice(&text[at.min(text.len() - MIN)..]);
}

/// The two decimal digits of the numbers 0 to 99.
static PAIRS: [[u8; 2]; 100] = pairs();

const fn pairs() -> [[u8; 2]; 100] {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + n as u8 / 10, b'0' + n as u8 % 10];
        n += 1;
    }
    pairs
}

/// A number in a string. Numbers above 2^53 need that: many JSON readers would round them.
pub(super) fn big(out: &mut Vec<u8>, value: u128) {
    out.push(b'"');
    match u64::try_from(value) {
        Ok(value) => number(out, value),
        Err(_) => out.extend_from_slice(value.to_string().as_bytes()),
    }
    out.push(b'"');
}

/// `"SECONDS.NNNNNNNNN"`.
pub(super) fn time(out: &mut Vec<u8>, time: Time) {
    out.push(b'"');
    if time.secs < 0 {
        out.push(b'-');
    }
    number(out, time.secs.unsigned_abs());
    out.push(b'.');
    digits::<9>(out, u64::from(time.nanos));
    out.push(b'"');
}

/// `"blake3:HEX"`.
pub(super) fn hash(out: &mut Vec<u8>, hash: &Hash) {
    out.push(b'"');
    out.extend_from_slice(BLAKE3);
    hex(out, &hash.0);
    out.push(b'"');
}

/// Lower-case hex digits, without quotes.
pub(super) fn hex<const N: usize>(out: &mut Vec<u8>, bytes: &[u8; N]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(
        bytes.map(|byte| [byte >> 4, byte & 15].map(|n| DIGITS[usize::from(n)])).as_flattened(),
    );
}

/// `[[archive,offset,length],...]`.
pub(super) fn ranges(out: &mut Vec<u8>, ranges: &[Range]) {
    out.push(b'[');
    for (n, range) in ranges.iter().enumerate() {
        out.extend_from_slice(if n > 0 { b",[" } else { b"[" });
        number(out, u64::from(range.archive));
        out.push(b',');
        number(out, range.offset);
        out.push(b',');
        number(out, range.len);
        out.push(b']');
    }
    out.push(b']');
}

/// `,"KEY":VALUE` for each unknown field; a value is JSON text already.
pub(super) fn unknown(out: &mut Vec<u8>, fields: &[(String, String)]) {
    for (key, value) in fields {
        out.push(b',');
        string(out, key);
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
    }
}
