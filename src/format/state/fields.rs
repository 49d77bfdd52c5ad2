//! Reads an entry line. Each entry has exactly one spelling, the line that [`line`](super::line) writes. The reader
//! goes through a line from left to right and refuses every other spelling: another spelling would change the tree
//! digest, and other tools might read another entry from it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::cursor::{LineCursor, Span, Text};
use super::object::check_keys;
use super::{AT, BLAKE3, RANGES_MAX, UNKNOWN_MAX, XATTR_COUNT_MAX, check};
use crate::entry::{
    Entry, File, HardLink, Hash, InodeFlags, Metadata, NAME_MAX, Node, Path, Place, Range, SigHash, SigRef,
    Unknown,
};
use crate::entry::{FileType, PATH_LEN_MAX, UnknownNode, check_path, data_len, is_digest, is_word};
use crate::error::{Error, Kind, Result};
use crate::stamp::Time;

/// The result of reading a part of a line. `Err` names the broken rule.
type LineResult<T> = std::result::Result<T, &'static str>;

/// The message for a line that does not continue with the field that must come next.
const FIELDS: &str = "fields missing, of another type, repeated or out of order";

/// The keys of the known fields of a line, and of its object `at`. An unknown field with such a key is refused.
const KNOWN: [&[u8]; 19] = [
    b"target", b"rdev", b"size", b"hash", b"holes", b"path", b"type", b"mode", b"uid", b"gid", b"user",
    b"group", b"mtime", b"xattrs", b"flags", b"project", b"linked", b"link", b"at",
];
/// How many of [`KNOWN`], from the first on, belong to single types. An unknown type may have them too.
const KNOWN_OF_TYPES: usize = 5;
/// The text after the fields of an unknown type.
const TYPE_ENDS: [&[u8]; 3] = [b",\"linked\":true", b",\"link\":\"", AT];
const KNOWN_OF_PLACE: [&[u8]; 6] = [b"ino", b"ctime", b"btime", b"content", b"sig", b"dirty"];

/// Reads one entry line, with or without the comma and the LF that end it in a document. Checks every rule
/// that needs neither the lines before nor the archives. The message of `Corrupt` names the broken rule.
pub fn parse_entry_line(line: &[u8]) -> Result<Entry> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b",").unwrap_or(line);
    let mut fields = LineFields::default();
    let entry = fields.read(line).and_then(|()| fields.entry(line).ok_or_else(|| "not an entry".into()));
    entry.map_err(|what| Error::new(Kind::Corrupt, "read an entry", what))
}

/// An unknown field: its key, and the JSON text of its value.
type UnknownField = (Text, Span);

/// The position of a digest in a line.
#[derive(Clone, Copy, Debug)]
enum SpannedHash {
    /// The hex digits of a BLAKE3 hash.
    Blake3(Span),
    /// The whole digest, with the name of its algorithm.
    Unknown(Span),
}

impl Default for SpannedHash {
    fn default() -> Self {
        SpannedHash::Blake3(Span::default())
    }
}

/// The fields of a line: small fields as values, long fields as positions in the line. One value serves for many
/// lines, so that its buffers are reused.
#[derive(Clone, Debug, Default)]
pub(super) struct LineFields {
    kind: FileType,
    /// The word of the type.
    word: Span,
    path: Text,
    /// The path's bytes, only if the line has escapes in the path.
    decoded: Vec<u8>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    user: Option<Text>,
    group: Option<Text>,
    pub mtime: Time,
    xattrs: Option<Span>,
    flags: InodeFlags,
    project: u32,
    target: Text,
    rdev: u128,
    pub size: u64,
    hash: SpannedHash,
    holes: Vec<(u64, u64)>,
    /// The fields that belong to the type, if this version cannot restore the entry.
    of_type: Span,
    /// The entry is the first name of several.
    linked: bool,
    /// The first name, if the entry is a further name.
    link: Option<Text>,
    /// The position of the hard link's field; an empty position if the entry has no hard link.
    link_at: Span,
    unknown: Vec<UnknownField>,
    /// Bytes of the line's logical part.
    pub logical: usize,
    pub ino: Option<u128>,
    pub ctime: Time,
    btime: Option<Time>,
    /// The ranges of the content, then the ranges of the signature.
    ranges: Vec<Range>,
    /// The number of ranges of the content in `ranges`.
    contents: usize,
    /// The position of the content's list of ranges, brackets included.
    pub content_at: Option<Span>,
    /// The position of the signature's list of ranges, brackets included.
    pub sig_at: Option<Span>,
    sig_hash: SpannedHash,
    pub dirty: bool,
    unknown_place: Vec<UnknownField>,
}

impl LineFields {
    /// Reads a line without its comma and LF, and checks every rule that needs neither the lines before nor the
    /// archives. After an error the fields have no meaning; its message names the broken rule.
    pub fn read(&mut self, line: &[u8]) -> std::result::Result<(), String> {
        let mut cursor = LineCursor::new(line);
        match self.read_line(&mut cursor) {
            Ok(()) => self.check().map_err(str::to_string),
            Err(what) => Err(format!("{what} at byte {}", cursor.at() + 1)),
        }
    }

    /// Reads only the path and the type of a line. False if the line is not an entry's.
    pub fn read_start(&mut self, line: &[u8]) -> bool {
        let mut cursor = LineCursor::new(line);
        self.read_path(&mut cursor).and_then(|()| self.read_kind(&mut cursor)).is_ok()
    }

    fn read_line(&mut self, cursor: &mut LineCursor<'_>) -> LineResult<()> {
        self.read_path(cursor)?;
        self.read_kind(cursor)?;
        self.read_metadata(cursor)?;
        self.unknown.clear();
        self.read_node(cursor)?;
        let of_type = self.unknown.len();
        self.read_link(cursor)?;
        if !cursor.is_before(AT) {
            read_unknown(cursor, &[AT], &KNOWN, &mut self.unknown)?;
        }
        if self.unknown.iter().any(|(_, value)| has_at(value.of(cursor.line()))) {
            return Err("an \"at\" inside an unknown field");
        }
        self.unknown.drain(..of_type);
        self.logical = cursor.at();
        self.read_place(cursor)?;
        cursor.is_at_end().then_some(()).ok_or("more text after the entry")
    }

    fn read_path(&mut self, cursor: &mut LineCursor<'_>) -> LineResult<()> {
        field(cursor, b"{\"path\":\"")?;
        self.path = cursor.name().ok_or(WRONG_PATH)?;
        let mut path = self.path.span.of(cursor.line());
        if self.path.is_encoded() {
            self.decoded = self.path.decode(cursor.line()).ok_or(WRONG_PATH)?;
            path = &self.decoded;
        }
        let is_path = !self.path.is_encoded() && is_simple_path(path) || check_path(path).is_ok();
        is_path.then_some(()).ok_or(WRONG_PATH)
    }

    fn read_kind(&mut self, cursor: &mut LineCursor<'_>) -> LineResult<()> {
        field(cursor, b",\"type\":\"")?;
        let start = cursor.at();
        self.kind = read_type(cursor).ok_or("expected the word of a type")?;
        self.word = Span { start, end: cursor.at() - 1 };
        Ok(())
    }

    fn read_metadata(&mut self, cursor: &mut LineCursor<'_>) -> LineResult<()> {
        self.mode = match cursor.has(b",\"mode\":\"") {
            true => Some(cursor.octal4().ok_or("expected four octal digits")?),
            false => None,
        };
        self.uid = read_owner(cursor, b",\"uid\":")?;
        self.gid = read_owner(cursor, b",\"gid\":")?;
        self.user = if cursor.has(b",\"user\":\"") { Some(string(cursor)?) } else { None };
        self.group = if cursor.has(b",\"group\":\"") { Some(string(cursor)?) } else { None };
        field(cursor, b",\"mtime\":\"")?;
        self.mtime = time(cursor)?;
        self.xattrs = None;
        if cursor.has(b",\"xattrs\":") {
            let start = cursor.at();
            check::xattrs(&read_xattrs(cursor)?)?;
            self.xattrs = Some(Span { start, end: cursor.at() });
        }
        self.read_flags(cursor)
    }

    fn read_flags(&mut self, cursor: &mut LineCursor<'_>) -> LineResult<()> {
        const PROJECT: &str = "expected a project, a number of 32 bits that is not 0";
        self.flags = InodeFlags::default();
        if cursor.has(b",\"flags\":[") {
            self.flags = read_words(cursor)?;
        }
        self.project = 0;
        if cursor.has(b",\"project\":") {
            self.project = number(cursor)?.try_into().map_err(|_| PROJECT)?;
            if self.project == 0 {
                return Err(PROJECT);
            }
        }
        let may_have_flags = matches!(self.kind, FileType::File | FileType::Dir | FileType::Unknown);
        let has_none = self.flags.is_empty() && self.project == 0;
        (may_have_flags || has_none).then_some(()).ok_or(check::FLAGS_OF_OTHERS)
    }

    fn read_node(&mut self, cursor: &mut LineCursor<'_>) -> LineResult<()> {
        self.size = 0;
        self.holes.clear();
        match self.kind {
            FileType::Dir | FileType::Fifo | FileType::Socket => {}
            FileType::Symlink => {
                field(cursor, b",\"target\":\"")?;
                self.target = cursor.name().ok_or(NAME)?;
                self.check_target(cursor.line())?;
            }
            FileType::Char | FileType::Block => {
                field(cursor, b",\"rdev\":\"")?;
                self.rdev = cursor.large_number().ok_or(NUMBER)?;
                cursor.skip(b"\"").ok_or(NUMBER)?;
            }
            FileType::File => {
                let start = cursor.at();
                field(cursor, b",\"size\":")?;
                self.size = number(cursor)?;
                field(cursor, b",\"hash\":\"")?;
                self.hash = read_hash(cursor, 64)?;
                if cursor.has(b",\"holes\":[") {
                    read_holes(cursor, &mut self.holes)?;
                }
                self.of_type = Span { start, end: cursor.at() };
            }
            FileType::Unknown => {
                let start = cursor.at();
                read_unknown(cursor, &TYPE_ENDS, &KNOWN[KNOWN_OF_TYPES..], &mut self.unknown)?;
                self.of_type = Span { start, end: cursor.at() };
            }
        }
        Ok(())
    }

    fn read_link(&mut self, cursor: &mut LineCursor<'_>) -> LineResult<()> {
        let start = cursor.at();
        self.linked = cursor.has(b",\"linked\":true");
        self.link = match cursor.has(b",\"link\":\"") {
            true => Some(cursor.name().ok_or(WRONG_PATH)?),
            false => None,
        };
        self.link_at = Span { start, end: cursor.at() };
        if self.is_linked() && self.is_dir() {
            return Err("a hard link of a directory");
        }
        let Some(link) = &self.link else { return Ok(()) };
        if self.linked {
            return Err("both a first name and a further name");
        }
        let first = link.decode(cursor.line()).ok_or(WRONG_PATH)?;
        check_path(&first).map_err(|_| WRONG_PATH)
    }

    fn check_target(&self, line: &[u8]) -> LineResult<()> {
        if !self.target.is_encoded() {
            let fits = self.target.span.of(line).len() <= PATH_LEN_MAX;
            return fits.then_some(()).ok_or("link target too long");
        }
        let target = self.target.decode(line).ok_or(NAME)?;
        check::target(&target)
    }

    fn read_place(&mut self, cursor: &mut LineCursor<'_>) -> LineResult<()> {
        field(cursor, AT)?;
        self.ino = None;
        if cursor.has(b"\"ino\":\"") {
            self.ino = Some(cursor.large_number().ok_or(NUMBER)?);
            cursor.skip(b"\",").ok_or(NUMBER)?;
        }
        field(cursor, b"\"ctime\":\"")?;
        self.ctime = time(cursor)?;
        self.btime = if cursor.has(b",\"btime\":\"") { Some(time(cursor)?) } else { None };
        self.ranges.clear();
        (self.content_at, self.sig_at) = (None, None);
        if cursor.has(b",\"content\":") {
            self.content_at = Some(read_ranges(cursor, &mut self.ranges)?);
        }
        self.contents = self.ranges.len();
        if cursor.has(b",\"sig\":{\"content\":") {
            self.sig_at = Some(read_ranges(cursor, &mut self.ranges)?);
            cursor.skip(b",\"hash\":\"").ok_or("a signature needs content and hash")?;
            self.sig_hash = read_hash(cursor, 32)?;
            cursor.skip(b"}").ok_or("a signature has only content and hash")?;
        }
        self.dirty = cursor.has(b",\"dirty\":true");
        self.unknown_place.clear();
        if !cursor.is_before(b"}}") {
            read_unknown(cursor, &[b"}}"], &KNOWN_OF_PLACE, &mut self.unknown_place)?;
        }
        field(cursor, b"}}")
    }

    /// Checks the rules of [`check::entry`] that the spelling alone does not guarantee. A file whose hash has an
    /// unknown algorithm becomes an entry of an unknown type.
    fn check(&mut self) -> LineResult<()> {
        match self.kind {
            FileType::File => {
                check::content(self.size, &self.holes, self.content(), self.sig())?;
                if let SpannedHash::Unknown(_) = self.hash {
                    self.kind = FileType::Unknown;
                    self.size = 0;
                    self.holes.clear();
                }
                Ok(())
            }
            FileType::Unknown => check::stored(self.content(), self.sig()),
            _ if self.content_at.is_some() || self.sig_at.is_some() => Err("content of what is not a file"),
            _ => Ok(()),
        }
    }

    /// The path's bytes.
    pub fn path<'a>(&'a self, line: &'a [u8]) -> &'a [u8] {
        if self.path.is_encoded() { &self.decoded } else { self.path.span.of(line) }
    }

    /// The hard link of `line`, the line that was read last.
    pub fn link(&self, line: &[u8]) -> Option<HardLink> {
        Some(match &self.link {
            None if self.linked => HardLink::First,
            None => HardLink::Single,
            Some(link) => HardLink::Further(Path::of_checked(&link.decode(line)?)),
        })
    }

    pub fn is_linked(&self) -> bool {
        self.linked || self.link.is_some()
    }

    /// The text of all logical fields except the path and the hard link, in two parts.
    pub fn inode_fields<'a>(&self, line: &'a [u8]) -> [&'a [u8]; 2] {
        // The closing quote of the path comes before the other fields.
        [&line[self.path.span.end + 1..self.link_at.start], &line[self.link_at.end..self.logical]]
    }

    pub fn file_type(&self) -> FileType {
        self.kind
    }

    pub fn is_dir(&self) -> bool {
        self.kind == FileType::Dir
    }

    /// Bytes of a file outside of holes.
    pub fn data_len(&self) -> u64 {
        data_len(self.size, &self.holes)
    }

    /// The first 8 bytes of the hash of `line`, the line that was read last; `None` if it is not a file's.
    pub fn hash_start(&self, line: &[u8]) -> Option<u64> {
        let SpannedHash::Blake3(hash) = self.hash else { return None };
        if self.kind != FileType::File {
            return None;
        }
        let digits = line.get(hash.start..hash.start + 16)?;
        let &[high, low] = digits.as_chunks::<8>().0 else { return None };
        Some(u64::from(of_hex(high)) << 32 | u64::from(of_hex(low)))
    }

    pub fn content(&self) -> &[Range] {
        &self.ranges[..self.contents]
    }

    pub fn sig(&self) -> Option<&[Range]> {
        self.sig_at.map(|_| &self.ranges[self.contents..])
    }

    /// Ranges of content and signature.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// The whole entry of `line`, the line that was read last.
    pub fn entry(&self, line: &[u8]) -> Option<Entry> {
        let meta = Metadata {
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            user: self.user.map(|user| user.text(line)),
            group: self.group.map(|group| group.text(line)),
            mtime: self.mtime,
            xattrs: match self.xattrs {
                Some(span) => read_xattrs(&mut LineCursor::new(span.of(line))).ok()?,
                None => Vec::new(),
            },
            flags: self.flags.clone(),
            project: self.project,
        };
        let sig = match self.sig() {
            Some(ranges) => {
                let hash = match self.sig_hash {
                    SpannedHash::Blake3(digits) => SigHash::Blake3(digits.unhex(line)?),
                    SpannedHash::Unknown(text) => SigHash::Unknown(text.text(line).into()),
                };
                Some(SigRef { content: ranges.to_vec(), hash })
            }
            None => None,
        };
        let content = self.content().to_vec();
        let LineFields { ino, ctime, btime, dirty, .. } = *self;
        let place = Place { ino, ctime, btime, content, sig, dirty };
        let (node, path) = (self.node(line)?, Path::of_checked(self.path(line)));
        let unknown = |fields: &[UnknownField]| -> Unknown {
            fields.iter().map(|(key, value)| (key.text(line), value.text(line))).collect()
        };
        Some(Entry {
            link: self.link(line)?,
            unknown: unknown(&self.unknown),
            unknown_place: unknown(&self.unknown_place),
            ..Entry::new(path, node, meta, place)
        })
    }

    fn node(&self, line: &[u8]) -> Option<Node> {
        Some(match self.kind {
            FileType::Dir => Node::Dir,
            FileType::Fifo | FileType::Socket => Node::Fifo,
            FileType::Char => Node::Char(self.rdev),
            FileType::Block => Node::Block(self.rdev),
            FileType::Symlink => Node::Symlink(self.target.decode(line)?),
            FileType::File => {
                let SpannedHash::Blake3(hash) = self.hash else { return None };
                Node::File(File { size: self.size, hash: Hash(hash.unhex(line)?), holes: self.holes.clone() })
            }
            FileType::Unknown => {
                let (word, fields) = (self.word.text(line), self.of_type.text(line));
                Node::Unknown(Box::new(UnknownNode { word, fields }))
            }
        })
    }
}

const NUMBER: &str = "expected a number";
const NAME: &str = "expected an encoded name";
const WRONG_PATH: &str = "expected a relative path";

/// Moves past the beginning of a field, which must come next.
#[inline]
fn field(cursor: &mut LineCursor<'_>, text: &[u8]) -> LineResult<()> {
    cursor.skip(text).ok_or(FIELDS)
}

#[inline]
fn number(cursor: &mut LineCursor<'_>) -> LineResult<u64> {
    cursor.number().ok_or(NUMBER)
}

/// Reads the number of a user or of a group, if the line continues with `key`.
#[inline]
fn read_owner(cursor: &mut LineCursor<'_>, key: &[u8]) -> LineResult<Option<u32>> {
    match cursor.has(key) {
        true => number(cursor)?.try_into().map(Some).map_err(|_| "expected a number of 32 bits"),
        false => Ok(None),
    }
}

fn time(cursor: &mut LineCursor<'_>) -> LineResult<Time> {
    cursor.time().ok_or("expected a time")
}

/// Reads a digest and the quote after it. A BLAKE3 hash has `digits` hex digits.
#[inline]
fn read_hash(cursor: &mut LineCursor<'_>, digits: usize) -> LineResult<SpannedHash> {
    const HASH: &str = "expected a hash";
    if cursor.has(BLAKE3) {
        return cursor.hex(digits).map(SpannedHash::Blake3).ok_or(HASH);
    }
    let text = cursor.string().ok_or(HASH)?.span;
    is_digest(text.of(cursor.line())).then_some(SpannedHash::Unknown(text)).ok_or(HASH)
}

fn string(cursor: &mut LineCursor<'_>) -> LineResult<Text> {
    cursor.string().ok_or("expected a string")
}

/// The number that 8 checked lower-case hex digits stand for. All digits are converted at once, because the first pass
/// of an increment does this for every file.
fn of_hex(digits: [u8; 8]) -> u32 {
    let digits = u64::from_be_bytes(digits);
    // Letters have bit 6 and follow '`': 'a' & 15 is 1.
    let nibbles = (digits & 0x0f0f_0f0f_0f0f_0f0f) + 9 * (digits >> 6 & 0x0101_0101_0101_0101);
    let bytes = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff;
    let pairs = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    (pairs | pairs >> 16) as u32
}

/// A quick check: true only for a valid path. False also for some valid paths: those of more than 255 bytes, and those
/// with a component that begins with a dot. The bytes come from a name without escapes, so they hold no NUL.
fn is_simple_path(path: &[u8]) -> bool {
    let Some((&first, rest)) = path.split_first() else { return true };
    // A loop without an early exit lets the compiler check many bytes at once.
    let suspects =
        path.iter().zip(rest).fold(false, |any, (&a, &b)| any | (a == b'/') & ((b == b'/') | (b == b'.')));
    !suspects && first != b'/' && first != b'.' && !path.ends_with(b"/") && path.len() <= NAME_MAX
}

/// Reads the type's word and the quote after it. `None` if it is no word.
fn read_type(cursor: &mut LineCursor<'_>) -> Option<FileType> {
    let words: [(&[u8], FileType); 6] = [
        (b"file\"", FileType::File),
        (b"dir\"", FileType::Dir),
        (b"symlink\"", FileType::Symlink),
        (b"fifo\"", FileType::Fifo),
        (b"char\"", FileType::Char),
        (b"block\"", FileType::Block),
    ];
    if let Some((_, kind)) = words.into_iter().find(|(word, _)| cursor.has(word)) {
        return Some(kind);
    }
    let word = cursor.string()?.span;
    is_word(word.of(cursor.line())).then_some(FileType::Unknown)
}

/// Reads unknown fields up to the first of `ends`, which is the text after them.
fn read_unknown(
    cursor: &mut LineCursor<'_>,
    ends: &[&[u8]],
    known: &[&[u8]],
    unknown: &mut Vec<UnknownField>,
) -> LineResult<()> {
    const VALUE: &str = "an unknown field whose value is no JSON, repeats a key, has too many fields or is nested more than 100 deep";
    let line = cursor.line();
    while !ends.iter().any(|end| cursor.is_before(end)) {
        field(cursor, b",\"")?;
        let key = string(cursor)?;
        if known.contains(&key.span.of(line)) {
            return Err(FIELDS);
        }
        // A key has one spelling, so equal keys have equal bytes.
        let same = |(other, _): &UnknownField| other.span.of(line) == key.span.of(line);
        if unknown.len() == UNKNOWN_MAX || unknown.iter().any(same) {
            return Err("an unknown field is repeated, or there are too many");
        }
        field(cursor, b":")?;
        let value = cursor.value().ok_or(VALUE)?;
        check_keys(&value.text(line)).map_err(|_| VALUE)?;
        unknown.push((key, value));
    }
    Ok(())
}

/// True if the value of an unknown field has the bytes that end the logical part of a line.
fn has_at(value: &[u8]) -> bool {
    value.windows(AT.len()).any(|window| window == AT)
}

/// Reads an object of at least one xattr.
fn read_xattrs(cursor: &mut LineCursor<'_>) -> LineResult<Vec<(Vec<u8>, Vec<u8>)>> {
    const XATTRS: &str = "expected an object of xattrs";
    let mut xattrs = Vec::new();
    cursor.skip(b"{\"").ok_or(XATTRS)?;
    loop {
        let name = cursor.name().and_then(|name| name.decode(cursor.line())).ok_or(NAME)?;
        cursor.skip(b":\"").ok_or(XATTRS)?;
        let value = BASE64.decode(string(cursor)?.span.of(cursor.line())).map_err(|_| "expected base64")?;
        if xattrs.len() == XATTR_COUNT_MAX {
            return Err("more than 65,536 xattrs");
        }
        xattrs.push((name, value));
        if !cursor.has(b",\"") {
            cursor.skip(b"}").ok_or(XATTRS)?;
            return Ok(xattrs);
        }
    }
}

/// Reads at least one word, and the bracket that closes the list.
fn read_words(cursor: &mut LineCursor<'_>) -> LineResult<InodeFlags> {
    const FLAGS: &str = "expected a list of flags";
    let line = cursor.line();
    let mut words = Vec::new();
    loop {
        cursor.skip(b"\"").ok_or(FLAGS)?;
        let word = string(cursor)?.span.of(line);
        words.push(std::str::from_utf8(word).map_err(|_| FLAGS)?);
        if !cursor.has(b",") {
            cursor.skip(b"]").ok_or(FLAGS)?;
            return InodeFlags::of_words(&words);
        }
    }
}

/// Reads at least one hole, and the bracket that closes the list.
fn read_holes(cursor: &mut LineCursor<'_>, holes: &mut Vec<(u64, u64)>) -> LineResult<()> {
    const HOLES: &str = "expected holes [offset, length]";
    loop {
        cursor.skip(b"[").ok_or(HOLES)?;
        let offset = number(cursor)?;
        cursor.skip(b",").ok_or(HOLES)?;
        holes.push((offset, number(cursor)?));
        cursor.skip(b"]").ok_or(HOLES)?;
        if !cursor.has(b",") {
            return cursor.skip(b"]").ok_or(HOLES);
        }
    }
}

/// Reads a list of at least one range and returns the list's position in the line.
fn read_ranges(cursor: &mut LineCursor<'_>, ranges: &mut Vec<Range>) -> LineResult<Span> {
    const RANGES: &str = "expected ranges [archive, offset, length]";
    let (start, before) = (cursor.at(), ranges.len());
    cursor.skip(b"[").ok_or(RANGES)?;
    if cursor.is_before(b"]") {
        return Err("a list without ranges");
    }
    loop {
        cursor.skip(b"[").ok_or(RANGES)?;
        let archive = number(cursor)?.try_into().map_err(|_| RANGES)?;
        cursor.skip(b",").ok_or(RANGES)?;
        let offset = number(cursor)?;
        cursor.skip(b",").ok_or(RANGES)?;
        let len = number(cursor)?;
        cursor.skip(b"]").ok_or(RANGES)?;
        if ranges.len() - before == RANGES_MAX {
            return Err("more than 65 ranges");
        }
        ranges.push(Range { archive, offset, len });
        if !cursor.has(b",") {
            cursor.skip(b"]").ok_or(RANGES)?;
            return Ok(Span { start, end: cursor.at() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_digits_are_a_number() {
        let numbers =
            (0..64).map(|n| 0x0123_4567u32.rotate_left(n) ^ n << 27).chain([0, 0x89ab_cdef, u32::MAX]);
        for number in numbers {
            let digits = format!("{number:08x}");
            assert_eq!(of_hex(digits.as_bytes().try_into().unwrap()), number);
        }
    }
}
