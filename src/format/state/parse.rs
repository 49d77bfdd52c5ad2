//! Reads an entry line with a general JSON parser. Fields must come in the order in which the writer writes
//! them, and unknown fields after the known ones. This rule also refuses repeated keys, and it keeps the
//! logical part the same byte for byte when the entry is written again.

use std::fmt;

use base64::engine::general_purpose::STANDARD as BASE64;
use base64::Engine;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::object::check_keys;
use super::{check, line, plain, AT, RANGES_MAX, UNKNOWN_MAX, XATTR_COUNT_MAX};
use crate::entry::{Entry, File, Hash, Metadata, Node, Path, Place, Range, SigRef, Unknown};
use crate::error::{Error, Kind, Result};
use crate::stamp::Time;
use crate::text::decode_name;

/// Reads one entry line, with or without the comma and the LF that end it in a document. Checks every rule
/// that needs neither the lines before nor the archives. The message of `Corrupt` names the broken rule.
pub fn parse_entry_line(line: &[u8]) -> Result<Entry> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b",").unwrap_or(line);
    let entry = plain::parse(line).map_or_else(|| parse(line), Ok);
    entry.map_err(|what| Error::new(Kind::Corrupt, "read an entry", what))
}

/// Reads any line that the writer can have written. An entry has exactly one line; any other spelling is
/// refused, because it would change the tree digest, and other tools might read it differently.
pub(super) fn parse(line: &[u8]) -> Result<Entry, String> {
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_string())?;
    let mut json = serde_json::Deserializer::from_str(text);
    let entry = json.deserialize_map(EntryVisitor).map_err(without_position)?;
    json.end().map_err(without_position)?;
    check::entry(&entry)?;
    let mut written = Vec::with_capacity(line.len());
    line::write(&entry, &mut written);
    match written == line {
        true => Ok(entry),
        false => Err("not spelled as a state spells its entries".into()),
    }
}

/// serde_json ends its messages with "at line 1 column N". Only the column is useful: the caller knows the
/// number of the line in the document.
fn without_position(error: serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at byte ")
}

/// The fields of a line in their order. The fields of `at` are [`PlaceField`]s.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    Path,
    Type,
    Mode,
    Uid,
    Gid,
    User,
    Group,
    Mtime,
    Xattrs,
    Target,
    Rdev,
    Size,
    Hash,
    Holes,
    Link,
    Unknown,
    At,
}

/// The fields of the object `at` in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PlaceField {
    Ino,
    Ctime,
    Content,
    Sig,
    Dirty,
    Unknown,
}

fn field(key: &str) -> Field {
    match key {
        "path" => Field::Path,
        "type" => Field::Type,
        "mode" => Field::Mode,
        "uid" => Field::Uid,
        "gid" => Field::Gid,
        "user" => Field::User,
        "group" => Field::Group,
        "mtime" => Field::Mtime,
        "xattrs" => Field::Xattrs,
        "target" => Field::Target,
        "rdev" => Field::Rdev,
        "size" => Field::Size,
        "hash" => Field::Hash,
        "holes" => Field::Holes,
        "link" => Field::Link,
        "at" => Field::At,
        _ => Field::Unknown,
    }
}

fn place_field(key: &str) -> PlaceField {
    match key {
        "ino" => PlaceField::Ino,
        "ctime" => PlaceField::Ctime,
        "content" => PlaceField::Content,
        "sig" => PlaceField::Sig,
        "dirty" => PlaceField::Dirty,
        _ => PlaceField::Unknown,
    }
}

/// Reads a key and returns its field, and the key's text only for an unknown field. The first function finds
/// the field of a key; the second says whether a field is the unknown one.
struct Key<F>(fn(&str) -> F, fn(F) -> bool);

impl<'de, F: Copy> DeserializeSeed<'de> for Key<F> {
    type Value = (F, String);
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<F: Copy> Visitor<'_> for Key<F> {
    type Value = (F, String);
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }
    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        let which = (self.0)(key);
        Ok((which, if (self.1)(which) { key.to_string() } else { String::new() }))
    }
}

/// Reads a string and converts it with the function. The text describes the expected string in messages.
struct TextSeed<T>(fn(&str) -> Option<T>, &'static str);

impl<'de, T> DeserializeSeed<'de> for TextSeed<T> {
    type Value = T;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T> Visitor<'_> for TextSeed<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).ok_or_else(|| E::custom(format_args!("expected {}", self.1)))
    }
}

/// Reads an array of at most [`RANGES_MAX`] ranges.
struct Ranges;

impl<'de> DeserializeSeed<'de> for Ranges {
    type Value = Vec<Range>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Range>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Ranges {
    type Value = Vec<Range>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ranges [archive, offset, length]")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Range>, A::Error> {
        let mut ranges = Vec::new();
        while let Some((archive, offset, len)) = seq.next_element()? {
            if ranges.len() == RANGES_MAX {
                return Err(A::Error::custom("more than 65 ranges"));
            }
            ranges.push(Range { archive, offset, len });
        }
        Ok(ranges)
    }
}

/// Reads an object whose keys are names of xattrs and whose values are base64.
struct XattrsSeed;

impl<'de> DeserializeSeed<'de> for XattrsSeed {
    type Value = Vec<(Vec<u8>, Vec<u8>)>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for XattrsSeed {
    type Value = Vec<(Vec<u8>, Vec<u8>)>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of xattrs")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut xattrs = Vec::new();
        while let Some(name) = map.next_key_seed(TextSeed(decode_name, "an encoded name"))? {
            if xattrs.len() == XATTR_COUNT_MAX {
                return Err(A::Error::custom("more than 65,536 xattrs"));
            }
            xattrs.push((name, map.next_value_seed(TextSeed(base64, "base64"))?));
        }
        Ok(xattrs)
    }
}

/// Reads the object `{"ranges":...,"hash":...}` of a signature.
struct Sig;

impl<'de> DeserializeSeed<'de> for Sig {
    type Value = SigRef;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<SigRef, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Sig {
    type Value = SigRef;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a signature's ranges and hash")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SigRef, A::Error> {
        let (mut ranges, mut hash) = (None, None);
        while let Some(key) = map.next_key_seed(TextSeed(|key| Some(key.to_string()), "a field's name"))? {
            match key.as_str() {
                "ranges" if ranges.is_none() => ranges = Some(map.next_value_seed(Ranges)?),
                "hash" if hash.is_none() => {
                    hash = Some(map.next_value_seed(TextSeed(hex16, "32 hex digits"))?)
                }
                "ranges" | "hash" => return Err(A::Error::custom("repeated field of a signature")),
                _ => return Err(A::Error::custom("unknown field of a signature")),
            }
        }
        match (ranges, hash) {
            (Some(ranges), Some(hash)) => Ok(SigRef { ranges, hash }),
            _ => Err(A::Error::custom("a signature needs ranges and hash")),
        }
    }
}

/// Adds an unknown field, which a newer version of libibt wrote.
fn keep<'de, A: MapAccess<'de>>(map: &mut A, unknown: &mut Unknown, key: String) -> Result<(), A::Error> {
    if unknown.len() == UNKNOWN_MAX || unknown.iter().any(|(known, _)| *known == key) {
        return Err(A::Error::custom("an unknown field is repeated, or there are too many"));
    }
    let value = map.next_value::<&RawValue>()?.get();
    check_keys(value).map_err(A::Error::custom)?;
    unknown.push((key, value.to_string()));
    Ok(())
}

/// Reads the object `at`.
struct PlaceVisitor;

impl<'de> DeserializeSeed<'de> for PlaceVisitor {
    type Value = (Place, Unknown);
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PlaceVisitor {
    type Value = (Place, Unknown);
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the object \"at\"")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut place, mut unknown, mut last) = (Place::default(), Unknown::new(), None);
        let (mut ino, mut ctime) = (None, None);
        while let Some((field, key)) = map.next_key_seed(Key(place_field, |f| f == PlaceField::Unknown))? {
            in_order(&mut last, field, field == PlaceField::Unknown).map_err(A::Error::custom)?;
            match field {
                PlaceField::Ino => ino = Some(map.next_value_seed(TextSeed(big, "a number in a string"))?),
                PlaceField::Ctime => ctime = Some(map.next_value_seed(TextSeed(time, "a time"))?),
                PlaceField::Content => place.content = map.next_value_seed(Ranges)?,
                PlaceField::Sig => place.sig = Some(map.next_value_seed(Sig)?),
                PlaceField::Dirty => place.dirty = map.next_value()?,
                PlaceField::Unknown => keep(&mut map, &mut unknown, key)?,
            }
        }
        place.ino = ino.ok_or_else(|| A::Error::missing_field("ino"))?;
        place.ctime = ctime.ok_or_else(|| A::Error::missing_field("ctime"))?;
        Ok((place, unknown))
    }
}

/// Checks that `field` comes after `last` in the order of fields. Several unknown fields may follow each
/// other.
fn in_order<F: PartialOrd + Copy>(last: &mut Option<F>, field: F, unknown: bool) -> Result<(), &'static str> {
    let fine = last.is_none_or(|last| last < field || (unknown && last == field));
    *last = Some(field);
    fine.then_some(()).ok_or("fields repeated or out of order")
}

/// The word of the entry's type, and the fields that only some types have.
#[derive(Default)]
struct NodeFields {
    word: String,
    target: Option<Vec<u8>>,
    rdev: Option<u64>,
    size: Option<u64>,
    hash: Option<Hash>,
    holes: Option<Vec<(u64, u64)>>,
    link: Option<u64>,
}

impl NodeFields {
    /// Builds the node. The fields must be exactly those of its type.
    fn build(self) -> Result<Node, &'static str> {
        let NodeFields { word, target, rdev, size, hash, holes, link } = self;
        match (word.as_str(), target, rdev, size, hash, holes, link) {
            ("file", None, None, Some(size), Some(hash), holes, link) if link != Some(0) => {
                Ok(Node::File(File {
                    size,
                    hash,
                    holes: holes.unwrap_or_default(),
                    link: link.unwrap_or_default(),
                }))
            }
            ("dir", None, None, None, None, None, None) => Ok(Node::Dir),
            ("symlink", Some(target), None, None, None, None, None) => Ok(Node::Symlink(target)),
            ("fifo", None, None, None, None, None, None) => Ok(Node::Fifo),
            ("char", None, Some(rdev), None, None, None, None) => Ok(Node::Char(rdev)),
            ("block", None, Some(rdev), None, None, None, None) => Ok(Node::Block(rdev)),
            ("file" | "dir" | "symlink" | "fifo" | "char" | "block", ..) => {
                Err("fields missing, or of another type")
            }
            _ => Err("unknown type"),
        }
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let mut line = LineFields::default();
        let mut last = None;
        while let Some((field, key)) = map.next_key_seed(Key(field, |f| f == Field::Unknown))? {
            in_order(&mut last, field, field == Field::Unknown).map_err(A::Error::custom)?;
            line.take(&mut map, field, key)?;
        }
        line.build().map_err(A::Error::custom)
    }
}

/// The fields of a line that were read so far.
#[derive(Default)]
struct LineFields {
    path: Option<Path>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<Time>,
    /// Only user, group and xattrs are set here.
    meta: Metadata,
    node: NodeFields,
    place: Option<(Place, Unknown)>,
    unknown: Unknown,
}

impl LineFields {
    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        map: &mut A,
        field: Field,
        key: String,
    ) -> Result<(), A::Error> {
        let node = &mut self.node;
        match field {
            Field::Path => self.path = Some(map.next_value_seed(TextSeed(path, "a relative path"))?),
            Field::Type => node.word = map.next_value()?,
            Field::Mode => self.mode = Some(map.next_value_seed(TextSeed(mode, "four octal digits"))?),
            Field::Uid => self.uid = Some(map.next_value()?),
            Field::Gid => self.gid = Some(map.next_value()?),
            Field::User => self.meta.user = Some(map.next_value()?),
            Field::Group => self.meta.group = Some(map.next_value()?),
            Field::Mtime => self.mtime = Some(map.next_value_seed(TextSeed(time, "a time"))?),
            Field::Xattrs => self.meta.xattrs = map.next_value_seed(XattrsSeed)?,
            Field::Target => {
                node.target = Some(map.next_value_seed(TextSeed(decode_name, "an encoded name"))?)
            }
            Field::Rdev => node.rdev = Some(map.next_value_seed(TextSeed(big, "a number in a string"))?),
            Field::Size => node.size = Some(map.next_value()?),
            Field::Hash => node.hash = Some(map.next_value_seed(TextSeed(Hash::parse, "a BLAKE3 hash"))?),
            Field::Holes => node.holes = Some(map.next_value()?),
            Field::Link => node.link = Some(map.next_value()?),
            Field::Unknown => self.keep(map, key)?,
            Field::At => self.place = Some(map.next_value_seed(PlaceVisitor)?),
        }
        Ok(())
    }

    /// Adds an unknown field. Its value must not hold `,"at":{`: the first occurrence in a line is the end of
    /// the logical part.
    fn keep<'de, A: MapAccess<'de>>(&mut self, map: &mut A, key: String) -> Result<(), A::Error> {
        keep(map, &mut self.unknown, key)?;
        let last = self.unknown.last().map_or(&[][..], |(_, value)| value.as_bytes());
        match last.windows(AT.len()).any(|window| window == AT) {
            true => Err(A::Error::custom("an \"at\" inside an unknown field")),
            false => Ok(()),
        }
    }

    fn build(self) -> Result<Entry, &'static str> {
        let (Some(path), Some(mode), Some(uid), Some(gid), Some(mtime), Some((place, unknown_place))) =
            (self.path, self.mode, self.uid, self.gid, self.mtime, self.place)
        else {
            return Err("path, mode, uid, gid, mtime or at is missing");
        };
        let meta = Metadata { mode, uid, gid, mtime, ..self.meta };
        Ok(Entry { path, node: self.node.build()?, meta, place, unknown: self.unknown, unknown_place })
    }
}

fn path(text: &str) -> Option<Path> {
    Path::new(decode_name(text)?).ok()
}

fn mode(text: &str) -> Option<u32> {
    let octal = text.len() == 4 && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    octal.then(|| u32::from_str_radix(text, 8).ok()).flatten()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// A decimal number without sign and leading zeros.
pub(super) fn big(text: &str) -> Option<u64> {
    let canonical = !text.starts_with('+') && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok()).flatten()
}

/// Accepts the same texts as [`Time::parse`], without writing the time again to compare the texts.
pub(super) fn time(text: &str) -> Option<Time> {
    let (secs, nanos) = text.split_once('.')?;
    let magnitude = secs.strip_prefix('-').unwrap_or(secs);
    let zero = magnitude.starts_with('0') && secs != "0";
    if zero || secs.starts_with('+') || nanos.len() != 9 || !nanos.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(Time { secs: secs.parse().ok()?, nanos: nanos.parse().ok()? })
}

fn hex16(text: &str) -> Option<[u8; 16]> {
    let value = u128::from_str_radix(text, 16).ok()?;
    (text.len() == 32 && !text.bytes().any(|b| b == b'+' || b.is_ascii_uppercase()))
        .then_some(value.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_has_one_spelling() {
        for text in ["1.0", "+1.000000000", "-0.000000000", "01.000000000", "1.+00000000", "--1.000000000"] {
            assert_eq!(time(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn times_are_read_as_elsewhere(text in "-?[0-9]{0,3}\\.[0-9]{8,9}", secs: i64, nanos in 0..1_000_000_000u32) {
            prop_assert_eq!(time(&text), Time::parse(&text));
            let any = Time { secs, nanos };
            prop_assert_eq!(time(&any.to_string()), Some(any));
        }
    }
}
