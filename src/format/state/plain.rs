//! Reads a simple entry line several times faster than a general parser can. This reader declines any other line,
//! for example a line with a backslash in a string, and the caller then uses [`parse`](super::parse). A line that
//! this reader accepts is the same entry for both. A line that it declines and `parse` accepts has a backslash, a
//! long path or unknown fields.

use base64::engine::general_purpose::STANDARD as BASE64;
use base64::Engine;

use super::cursor::{LineCursor, Span, Text};
use super::{check, AT, RANGES_MAX, XATTR_COUNT_MAX};
use crate::entry::{Entry, File, Hash, Metadata, Node, Path, Place, Range, SigRef, NAME_MAX, PATH_LEN_MAX};
use crate::stamp::Time;
use crate::text::decode_name;

/// The longest path, in bytes, that is read here. Longer paths need the general parser, which also counts their
/// components.
const PLAIN_PATH_MAX: usize = 4096;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Type {
    #[default]
    Dir,
    File,
    Symlink,
    Fifo,
    Char,
    Block,
}

/// The fields of a line: small fields as values, long fields as positions in the line. One value serves for many
/// lines, so that its buffers are reused.
#[derive(Clone, Debug, Default)]
pub(super) struct Plain {
    kind: Type,
    path: Text,
    /// The path's bytes, only if the line has escapes in the path.
    decoded: Vec<u8>,
    mode: u32,
    uid: u32,
    gid: u32,
    user: Option<Span>,
    group: Option<Span>,
    pub mtime: Time,
    xattrs: Option<Span>,
    target: Text,
    rdev: u64,
    pub size: u64,
    hash: Span,
    holes: Vec<(u64, u64)>,
    pub link: u64,
    /// Bytes of the line's logical part.
    pub logical: usize,
    pub ino: u64,
    pub ctime: Time,
    /// The ranges of the content, then the ranges of the signature.
    ranges: Vec<Range>,
    /// How many of `ranges` belong to the content.
    contents: usize,
    /// The position of the content's list of ranges, brackets included.
    pub content_at: Option<Span>,
    /// The position of the signature's list of ranges, brackets included.
    pub sig_at: Option<Span>,
    sig_hash: Span,
    pub dirty: bool,
}

/// The entry of a line; `None` if this reader declines the line.
pub(super) fn parse(line: &[u8]) -> Option<Entry> {
    let mut plain = Plain::default();
    plain.read(line).then(|| plain.entry(line)).flatten()
}

impl Plain {
    /// Reads a line without its comma and LF. False if the line is declined: then the fields have no meaning.
    pub fn read(&mut self, line: &[u8]) -> bool {
        self.read_line(line).is_some()
    }

    /// Reads only the path and the type of a line. False if the line is declined.
    pub fn read_start(&mut self, line: &[u8]) -> bool {
        let mut cursor = LineCursor::new(line);
        self.read_path(&mut cursor).and_then(|()| self.read_kind(&mut cursor)).is_some()
    }

    fn read_line(&mut self, line: &[u8]) -> Option<()> {
        let mut cursor = LineCursor::new(line);
        self.read_path(&mut cursor)?;
        self.read_kind(&mut cursor)?;
        self.read_metadata(&mut cursor)?;
        self.read_node(&mut cursor)?;
        self.logical = cursor.at();
        self.read_place(&mut cursor)?;
        cursor.is_at_end().then_some(())?;
        self.check()
    }

    fn read_path(&mut self, cursor: &mut LineCursor<'_>) -> Option<()> {
        cursor.skip(b"{\"path\":\"")?;
        self.path = cursor.name()?;
        let mut path = self.path.span.of(cursor.line());
        if self.path.escaped {
            self.decoded = decode(path)?;
            path = &self.decoded;
        }
        is_path(path, self.path.escaped).then_some(())
    }

    fn read_kind(&mut self, cursor: &mut LineCursor<'_>) -> Option<()> {
        cursor.skip(b",\"type\":\"")?;
        self.kind = read_type(cursor)?;
        Some(())
    }

    fn read_metadata(&mut self, cursor: &mut LineCursor<'_>) -> Option<()> {
        cursor.skip(b",\"mode\":\"")?;
        self.mode = cursor.octal4()?;
        cursor.skip(b"\",\"uid\":")?;
        self.uid = cursor.number()?.try_into().ok()?;
        cursor.skip(b",\"gid\":")?;
        self.gid = cursor.number()?.try_into().ok()?;
        self.user = if cursor.has(b",\"user\":\"") { Some(cursor.string()?) } else { None };
        self.group = if cursor.has(b",\"group\":\"") { Some(cursor.string()?) } else { None };
        cursor.skip(b",\"mtime\":\"")?;
        self.mtime = cursor.time()?;
        self.xattrs = None;
        if cursor.has(b",\"xattrs\":") {
            let start = cursor.at();
            check::xattrs(&read_xattrs(cursor)?).ok()?;
            self.xattrs = Some(Span { start, end: cursor.at() });
        }
        Some(())
    }

    fn read_node(&mut self, cursor: &mut LineCursor<'_>) -> Option<()> {
        (self.size, self.link) = (0, 0);
        self.holes.clear();
        match self.kind {
            Type::Dir | Type::Fifo => {}
            Type::Symlink => {
                cursor.skip(b",\"target\":\"")?;
                self.target = cursor.name()?;
                let target = self.target.span.of(cursor.line());
                let long = target.len() > PATH_LEN_MAX;
                (!(long || self.target.escaped && decode(target)?.contains(&0))).then_some(())?;
            }
            Type::Char | Type::Block => {
                cursor.skip(b",\"rdev\":\"")?;
                self.rdev = cursor.number()?;
                cursor.skip(b"\"")?;
            }
            Type::File => {
                cursor.skip(b",\"size\":")?;
                self.size = cursor.number()?;
                cursor.skip(b",\"hash\":\"blake3:")?;
                self.hash = cursor.hex(64)?;
                if cursor.has(b",\"holes\":[") {
                    read_holes(cursor, &mut self.holes)?;
                }
                if cursor.has(b",\"link\":") {
                    self.link = cursor.number().filter(|&link| link != 0)?;
                }
            }
        }
        Some(())
    }

    fn read_place(&mut self, cursor: &mut LineCursor<'_>) -> Option<()> {
        cursor.skip(AT)?;
        cursor.skip(b"\"ino\":\"")?;
        self.ino = cursor.number()?;
        cursor.skip(b"\",\"ctime\":\"")?;
        self.ctime = cursor.time()?;
        self.ranges.clear();
        (self.content_at, self.sig_at) = (None, None);
        if cursor.has(b",\"content\":") {
            self.content_at = Some(read_ranges(cursor, &mut self.ranges)?);
        }
        self.contents = self.ranges.len();
        if cursor.has(b",\"sig\":{\"ranges\":") {
            self.sig_at = Some(read_ranges(cursor, &mut self.ranges)?);
            cursor.skip(b",\"hash\":\"")?;
            self.sig_hash = cursor.hex(32)?;
            cursor.skip(b"}")?;
        }
        self.dirty = cursor.has(b",\"dirty\":true");
        cursor.skip(b"}}")
    }

    /// Checks the rules of [`check::entry`] that the spelling alone does not guarantee.
    fn check(&self) -> Option<()> {
        match self.kind {
            Type::File => check::content(self.size, &self.holes, self.content(), self.sig()).ok(),
            _ => (self.content_at.is_none() && self.sig_at.is_none()).then_some(()),
        }
    }

    /// The path's bytes.
    pub fn path<'a>(&'a self, line: &'a [u8]) -> &'a [u8] {
        if self.path.escaped {
            &self.decoded
        } else {
            self.path.span.of(line)
        }
    }

    /// The type's word, as [`Node::word`] gives it.
    pub fn word(&self) -> &'static str {
        match self.kind {
            Type::File => "file",
            Type::Dir => "dir",
            Type::Symlink => "symlink",
            Type::Fifo => "fifo",
            Type::Char => "char",
            Type::Block => "block",
        }
    }

    pub fn is_dir(&self) -> bool {
        self.kind == Type::Dir
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

    /// Everything that `line` says, if it was the line read last.
    pub fn entry(&self, line: &[u8]) -> Option<Entry> {
        let text = |span: Option<Span>| match span {
            Some(span) => std::str::from_utf8(span.of(line)).ok().map(|text| Some(text.to_string())),
            None => Some(None),
        };
        let meta = Metadata {
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            user: text(self.user)?,
            group: text(self.group)?,
            mtime: self.mtime,
            xattrs: match self.xattrs {
                Some(span) => read_xattrs(&mut LineCursor::new(span.of(line)))?,
                None => Vec::new(),
            },
        };
        let sig = match self.sig() {
            Some(ranges) => Some(SigRef { ranges: ranges.to_vec(), hash: self.sig_hash.unhex(line)? }),
            None => None,
        };
        let content = self.content().to_vec();
        let place = Place { ino: self.ino, ctime: self.ctime, content, sig, dirty: self.dirty };
        let (node, path) = (self.node(line)?, Path::new(self.path(line)).ok()?);
        Some(Entry::new(path, node, meta, place))
    }

    fn node(&self, line: &[u8]) -> Option<Node> {
        Some(match self.kind {
            Type::Dir => Node::Dir,
            Type::Fifo => Node::Fifo,
            Type::Char => Node::Char(self.rdev),
            Type::Block => Node::Block(self.rdev),
            Type::Symlink if self.target.escaped => Node::Symlink(decode(self.target.span.of(line))?),
            Type::Symlink => Node::Symlink(self.target.span.of(line).to_vec()),
            Type::File => Node::File(File {
                size: self.size,
                hash: Hash(self.hash.unhex(line)?),
                holes: self.holes.clone(),
                link: self.link,
            }),
        })
    }
}

/// True if `path` is a valid path of at most [`PLAIN_PATH_MAX`] bytes. Only a path that was `escaped` can hold
/// control characters, so only such a path is searched for NUL.
fn is_path(path: &[u8], escaped: bool) -> bool {
    let Some((&first, rest)) = path.split_first() else { return true };
    // A loop without an early exit lets the compiler check many bytes at once.
    let suspects =
        path.iter().zip(rest).fold(false, |any, (&a, &b)| any | (a == b'/') & ((b == b'/') | (b == b'.')));
    let suspect = suspects || first == b'/' || first == b'.' || path.ends_with(b"/");
    if !suspect && !escaped && path.len() <= NAME_MAX {
        return true;
    }
    let good = |name: &[u8]| {
        !matches!(name, b"" | b"." | b"..") && name.len() <= NAME_MAX && !(escaped && name.contains(&0))
    };
    path.len() <= PLAIN_PATH_MAX && path.split(|&b| b == b'/').all(good)
}

/// Reads the type's word and the quote after it.
fn read_type(cursor: &mut LineCursor<'_>) -> Option<Type> {
    let words: [(&[u8], Type); 6] = [
        (b"file\"", Type::File),
        (b"dir\"", Type::Dir),
        (b"symlink\"", Type::Symlink),
        (b"fifo\"", Type::Fifo),
        (b"char\"", Type::Char),
        (b"block\"", Type::Block),
    ];
    words.into_iter().find(|(word, _)| cursor.has(word)).map(|(_, kind)| kind)
}

fn decode(name: &[u8]) -> Option<Vec<u8>> {
    decode_name(std::str::from_utf8(name).ok()?)
}

/// Reads an object of at least one xattr.
fn read_xattrs(cursor: &mut LineCursor<'_>) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut xattrs = Vec::new();
    cursor.skip(b"{\"")?;
    loop {
        let name = decode(cursor.name()?.span.of(cursor.line()))?;
        cursor.skip(b":\"")?;
        let value = BASE64.decode(cursor.string()?.of(cursor.line())).ok()?;
        (xattrs.len() < XATTR_COUNT_MAX).then(|| xattrs.push((name, value)))?;
        if !cursor.has(b",\"") {
            cursor.skip(b"}")?;
            return Some(xattrs);
        }
    }
}

/// Reads at least one hole, and the bracket that closes the list.
fn read_holes(cursor: &mut LineCursor<'_>, holes: &mut Vec<(u64, u64)>) -> Option<()> {
    loop {
        cursor.skip(b"[")?;
        let offset = cursor.number()?;
        cursor.skip(b",")?;
        holes.push((offset, cursor.number()?));
        cursor.skip(b"]")?;
        if !cursor.has(b",") {
            return cursor.skip(b"]");
        }
    }
}

/// Reads a list of at least one range and returns the list's position in the line.
fn read_ranges(cursor: &mut LineCursor<'_>, ranges: &mut Vec<Range>) -> Option<Span> {
    let (start, before) = (cursor.at(), ranges.len());
    cursor.skip(b"[")?;
    loop {
        cursor.skip(b"[")?;
        let archive = cursor.number()?.try_into().ok()?;
        cursor.skip(b",")?;
        let offset = cursor.number()?;
        cursor.skip(b",")?;
        let len = cursor.number()?;
        cursor.skip(b"]")?;
        (ranges.len() - before < RANGES_MAX).then(|| ranges.push(Range { archive, offset, len }))?;
        if !cursor.has(b",") {
            cursor.skip(b"]")?;
            return Some(Span { start, end: cursor.at() });
        }
    }
}
