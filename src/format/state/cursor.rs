//! Reads an entry line from left to right, in exactly the writer's spelling. A function that reads a value returns
//! `None` if the bytes at the cursor have another spelling.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::stamp::Time;
use crate::text::decode_name;

/// A part of a line, as offsets of its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn of<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        &line[self.start..self.end]
    }

    /// The part as text. It must be a part that the cursor read as a string or as a value, and so be UTF-8.
    pub fn text(&self, line: &[u8]) -> String {
        String::from_utf8_lossy(self.of(line)).into_owned()
    }

    /// Decodes the hex digits of this part.
    pub fn unhex<const N: usize>(&self, line: &[u8]) -> Option<[u8; N]> {
        let digits = self.of(line);
        let mut bytes = [0; N];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        (digits.len() == 2 * N).then_some(bytes)
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// A string or a name as the line spells it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Text {
    pub span: Span,
    /// The classes of the bytes in `span`.
    classes: u8,
}

impl Text {
    /// True if the spelling of a name differs from the name's bytes.
    pub fn is_encoded(&self) -> bool {
        self.classes & (ENDS | PERCENT) != 0
    }

    /// The text of a string.
    pub fn text(&self, line: &[u8]) -> String {
        let text = self.span.text(line);
        match self.classes & ENDS {
            0 => text,
            _ => without_backslashes(&text),
        }
    }

    /// The bytes of a name; `None` if the name does not have the writer's spelling.
    pub fn decode(&self, line: &[u8]) -> Option<Vec<u8>> {
        match self.is_encoded() {
            false => Some(self.span.of(line).to_vec()),
            true => decode_name(&self.text(line)),
        }
    }
}

/// Replaces the escapes of a string, which [`escape_len`] has checked.
fn without_backslashes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let len = escape_len(&rest.as_bytes()[at..]).unwrap_or(1);
        match len {
            2 => out.push_str(&rest[at + 1..at + 2]),
            _ => out.extend(u8::from_str_radix(&rest[at + len - 2..at + len], 16).map(char::from)),
        }
        rest = &rest[at + len..];
    }
    out + rest
}

/// The length of the escape that `text` begins with. `None` if the writer makes no such escape: it writes only
/// `\"`, `\\`, and the control characters up to 1F as `\u00` and two lower-case digits.
fn escape_len(text: &[u8]) -> Option<usize> {
    match text {
        [b'\\', b'"' | b'\\', ..] => Some(2),
        [b'\\', b'u', b'0', b'0', b'0' | b'1', b'0'..=b'9' | b'a'..=b'f', ..] => Some(6),
        _ => None,
    }
}

/// Bytes inside a string have classes; most bytes have class 0. The class `ENDS`: `"` ends the string, `\` begins an
/// escape, and no string holds control characters up to 1F. [`Text::classes`] does not count the string's closing
/// quote.
const ENDS: u8 = 1;
/// Bytes from 80: parts of characters in UTF-8.
const HIGH: u8 = 2;
/// `%`, the escape of names.
const PERCENT: u8 = 4;
/// 7F, which names may hold only as `%7F`.
const DELETE: u8 = 8;
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            0..0x20 | b'"' | b'\\' => ENDS,
            b'%' => PERCENT,
            0x7f => DELETE,
            0x80.. => HIGH,
            _ => 0,
        };
        byte += 1;
    }
    classes
}

/// The value of eight decimal digits; `None` if a byte is no digit. The digits are converted together: first
/// pairs of digits become numbers up to 99, then pairs of those become numbers up to 9,999.
#[inline]
fn eight_digits(text: &[u8; 8]) -> Option<u64> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let text = u64::from_le_bytes(*text);
    // Adding 6 keeps the upper half of a byte at 3 for the digits 0 to 9 only, not for `:` to `?`.
    let sixes = text.wrapping_add(0x0606_0606_0606_0606);
    (text & HIGH == ZEROS && sixes & HIGH == ZEROS).then_some(())?;
    let digits = text - ZEROS;
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

pub(super) struct LineCursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> LineCursor<'a> {
    pub fn new(line: &'a [u8]) -> Self {
        LineCursor { line, at: 0 }
    }

    pub fn line(&self) -> &'a [u8] {
        self.line
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.line.len()
    }

    fn rest(&self) -> &'a [u8] {
        &self.line[self.at..]
    }

    /// True if the line continues with `text`.
    #[inline]
    pub fn is_before(&self, text: &[u8]) -> bool {
        self.rest().starts_with(text)
    }

    /// Moves past `text` if the line continues with it. Returns whether it does.
    #[inline]
    pub fn has(&mut self, text: &[u8]) -> bool {
        let has = self.is_before(text);
        self.at += if has { text.len() } else { 0 };
        has
    }

    /// Moves past `text`, which must come next.
    #[inline]
    pub fn skip(&mut self, text: &[u8]) -> Option<()> {
        self.has(text).then_some(())
    }

    /// Moves past the rest of a string and its closing quote.
    pub fn string(&mut self) -> Option<Text> {
        let (mut len, mut classes, rest) = (0, 0, self.rest());
        let mut escaped = false;
        loop {
            len += rest[len..].iter().position(|&byte| {
                let class = CLASSES[usize::from(byte)];
                classes |= class;
                class & ENDS != 0
            })?;
            if rest[len] == b'"' {
                break;
            }
            len += escape_len(&rest[len..])?;
            escaped = true;
        }
        let span = Span { start: self.at, end: self.at + len };
        (classes & HIGH == 0 || std::str::from_utf8(&rest[..len]).is_ok()).then_some(())?;
        if !escaped {
            classes &= !ENDS;
        }
        self.at = span.end + 1;
        Some(Text { span, classes })
    }

    /// Moves past the rest of a name and its closing quote. [`Text::decode`] checks the escapes of the name.
    pub fn name(&mut self) -> Option<Text> {
        self.string().filter(|name| name.classes & DELETE == 0)
    }

    /// Moves past any JSON value, which must come next without a space.
    pub fn value(&mut self) -> Option<Span> {
        let rest = self.rest();
        (!rest.first()?.is_ascii_whitespace()).then_some(())?;
        let value = <&RawValue>::deserialize(&mut serde_json::Deserializer::from_slice(rest)).ok()?;
        let span = Span { start: self.at, end: self.at + value.get().len() };
        self.at = span.end;
        Some(span)
    }

    /// Reads a decimal number without leading zeros.
    #[inline]
    pub fn number(&mut self) -> Option<u64> {
        let rest = self.rest();
        let (mut value, mut len) =
            rest.first_chunk().and_then(eight_digits).map_or((0, 0), |value| (value, 8));
        while let Some(digit) = rest.get(len).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10)
        {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            len += 1;
        }
        self.at += len;
        match len {
            1 => Some(value),
            // A number of 19 digits is always below 2^64.
            2..=19 => (rest[0] != b'0').then_some(value),
            20 if rest[0] != b'0' => std::str::from_utf8(&rest[..len]).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// Like [`LineCursor::number`], up to 2^128 - 1.
    #[inline]
    pub fn large_number(&mut self) -> Option<u128> {
        let start = self.at;
        match self.number() {
            Some(value) => Some(value.into()),
            None => self.number_beyond_64_bits(start),
        }
    }

    /// Reads the number from offset `start` to the cursor.
    #[cold]
    fn number_beyond_64_bits(&self, start: usize) -> Option<u128> {
        let digits = std::str::from_utf8(&self.line[start..self.at]).ok()?;
        (digits.len() >= 20 && !digits.starts_with('0')).then_some(())?;
        digits.parse().ok()
    }

    /// Reads four octal digits and the quote after them.
    pub fn octal4(&mut self) -> Option<u32> {
        let [digits @ .., b'"'] = self.rest().first_chunk::<5>()? else { return None };
        self.at += 5;
        digits.iter().try_fold(0, |mode, digit| {
            (b'0'..=b'7').contains(digit).then(|| mode << 3 | u32::from(digit - b'0'))
        })
    }

    /// Reads a time and the quote after it.
    pub fn time(&mut self) -> Option<Time> {
        let negative = self.has(b"-");
        let magnitude = self.number()?;
        let secs = match negative {
            false => i64::try_from(magnitude).ok()?,
            true if magnitude == 0 => return None,
            true => 0i64.checked_sub_unsigned(magnitude)?,
        };
        let [b'.', digits @ .., last, b'"'] = self.rest().first_chunk::<11>()? else { return None };
        self.at += 11;
        let tens = eight_digits(digits)? as u32;
        let nanos = last.is_ascii_digit().then(|| tens * 10 + u32::from(last - b'0'))?;
        Some(Time { secs, nanos })
    }

    /// Moves past `len` lower-case hex digits and the quote after them.
    pub fn hex(&mut self, len: usize) -> Option<Span> {
        let span = Span { start: self.at, end: self.at + len };
        let digits = self.rest().get(..len)?;
        // A loop without an early exit lets the compiler check many digits at once.
        let good = digits
            .iter()
            .fold(true, |good, digit| good & (digit.wrapping_sub(b'0') < 10 || digit.wrapping_sub(b'a') < 6));
        self.at = span.end;
        good.then_some(())?;
        self.skip(b"\"")?;
        Some(span)
    }
}
