//! Reads a document once, as it comes out of its frames: computes both digests and finds the parts.
//!
//! A fault of the layout is not returned at once but kept in [`Parts::fault`]: a newer version may have
//! another layout, and only the digest, checked at the end, shows whether the bytes are damaged.

use memchr::memchr;
use memchr::memmem::Finder;

use super::cursor::LineCursor;
use super::fields::LineFields;
use super::{AT, DIGEST_LINE_LEN, ENTRIES_BEGIN, ENTRIES_END, LINE_MAX, TRAILER_MAX};
use crate::entry::Hash;
use crate::stamp::Time;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Header,
    Entries,
    Trailer,
}

/// Says for a path whether its entry is selected.
pub type Meant<'m> = &'m mut dyn FnMut(&[u8]) -> bool;

/// Receives a document piece by piece.
pub(super) struct Intake<'m> {
    part: Section,
    digest: blake3::Hasher,
    /// The last bytes so far, as many as the digest's line has. They are not hashed yet, because the digest
    /// does not cover that line.
    tail: Vec<u8>,
    tree: blake3::Hasher,
    /// Logical parts that `tree` has not hashed yet.
    logical: Vec<u8>,
    /// The beginning of a line whose end is in the next piece.
    carry: Vec<u8>,
    /// Whether the previous entry's line ended in a comma; `None` before the first entry.
    comma: Option<bool>,
    /// Lines so far.
    lines: u64,
    selection: Option<SelectedEntries<'m>>,
    parts: Parts,
}

/// The choice of the entries that a reader keeps, if it does not keep all.
struct SelectedEntries<'m> {
    /// Says which entries are selected.
    meant: Meant<'m>,
    fields: LineFields,
    /// Finds the field of a first name. The text cannot be part of a string, where quotes are escaped.
    first_name: Finder<'static>,
    /// The kept lines of the last piece.
    kept: Vec<u8>,
}

impl SelectedEntries<'_> {
    /// Keeps the line of a selected entry. Keeps also the line of every directory, which may be a parent of a
    /// selected entry, the first name of several, which a selected hard link is compared with, and every line that is
    /// not an entry's: reading it later is an error.
    fn take(&mut self, line: &[u8], logical: usize) {
        let is_entry = self.fields.read_start(line);
        let is_meant = !is_entry || self.fields.is_dir() || (self.meant)(self.fields.path(line));
        if is_meant || self.first_name.find(&line[..logical]).is_some() {
            self.kept.extend_from_slice(line);
        }
    }
}

/// The parts of a verified document.
#[derive(Default)]
pub(super) struct Parts {
    /// The lines before the line `"entries":[`.
    pub header: Vec<u8>,
    /// The number of lines up to and including the line `"entries":[`.
    pub header_lines: u64,
    /// The offset of the first entry line in the document.
    pub entries_start: u64,
    /// Bytes of all entry lines.
    pub entries_len: u64,
    /// The number of entries.
    pub entries: u64,
    /// The lines after the line `],` and before the digest's line.
    pub trailer: Vec<u8>,
    /// The tree digest of the entry lines.
    pub tree: Option<Hash>,
    pub digest: Option<Hash>,
    /// The first fault of the layout, if there is one.
    pub fault: Option<String>,
    /// The newest ctime of all entries in whose lines a ctime was found.
    pub newest_ctime: Option<Time>,
}

impl<'m> Intake<'m> {
    /// Keeps the whole document, or only the lines of entries that are `meant` and of directories.
    pub fn new(meant: Option<Meant<'m>>) -> Self {
        Intake {
            part: Section::Header,
            digest: blake3::Hasher::new(),
            tail: Vec::new(),
            tree: blake3::Hasher::new(),
            logical: Vec::new(),
            carry: Vec::new(),
            comma: None,
            lines: 0,
            selection: meant.map(|meant| SelectedEntries {
                meant,
                fields: LineFields::default(),
                first_name: Finder::new(b",\"linked\":true"),
                kept: Vec::new(),
            }),
            parts: Parts::default(),
        }
    }

    /// Takes the next piece and returns the bytes of the document to keep: the piece itself, or the kept lines
    /// that ended in it. Returns nothing after a fault of the layout.
    pub fn feed<'a>(&'a mut self, piece: &'a [u8]) -> &'a [u8] {
        if let Some(selection) = &mut self.selection {
            selection.kept.clear();
        }
        self.digest(piece);
        if self.parts.fault.is_none() {
            if let Err(what) = self.split(piece) {
                self.parts.fault = Some(format!("line {}: {what}", self.lines));
            }
        }
        self.tree.update(&self.logical);
        self.logical.clear();
        match &self.selection {
            _ if self.parts.fault.is_some() => &[],
            Some(selection) => &selection.kept,
            None => piece,
        }
    }

    /// Hashes the bytes so far, except the last ones, which may be the digest's line.
    fn digest(&mut self, piece: &[u8]) {
        let kept = DIGEST_LINE_LEN.saturating_sub(piece.len()).min(self.tail.len());
        let (covered, _) = self.tail.split_at(self.tail.len() - kept);
        self.digest.update(covered);
        self.tail.drain(..self.tail.len() - kept);
        let (covered, tail) = piece.split_at(piece.len().saturating_sub(DIGEST_LINE_LEN - kept));
        self.digest.update(covered);
        self.tail.extend_from_slice(tail);
    }

    /// The lines of the header so far.
    pub fn header(&self) -> &[u8] {
        &self.parts.header
    }

    /// Checks the document's digest. `Err`: the bytes are damaged. A fault of the layout is in
    /// [`Parts::fault`].
    pub fn finish(mut self) -> Result<Parts, String> {
        let digest: Hash = self.digest.finalize().into();
        let line = format!("\"digest\":\"{digest}\"}}\n");
        if self.tail != line.as_bytes() {
            return Err("the digest does not agree".into());
        }
        self.parts.digest = Some(digest);
        self.parts.tree = Some(self.tree.finalize().into());
        let end = self.parts.trailer.len().saturating_sub(line.len());
        self.parts.trailer.truncate(end);
        if self.parts.fault.is_none() && !self.parts.trailer.ends_with(b"\n") {
            self.parts.fault = Some("the document ends before its trailer does".into());
        }
        Ok(self.parts)
    }

    fn split(&mut self, mut piece: &[u8]) -> Result<(), String> {
        while let Some(end) = memchr(b'\n', piece) {
            let (line, rest) = piece.split_at(end + 1);
            piece = rest;
            if self.carry.is_empty() {
                self.line(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.carry);
                whole.extend_from_slice(line);
                self.line(&whole)?;
                whole.clear();
                self.carry = whole;
            }
        }
        self.carry.extend_from_slice(piece);
        match self.carry.len() > LINE_MAX {
            true => Err("a line of more than 16 MiB".into()),
            false => Ok(()),
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        self.lines += 1;
        match self.part {
            Section::Header if line == ENTRIES_BEGIN => {
                self.part = Section::Entries;
                self.parts.header_lines = self.lines;
                self.parts.entries_start = (self.parts.header.len() + line.len()) as u64;
            }
            Section::Header => {
                self.parts.header.extend_from_slice(line);
                if self.parts.header.len() > LINE_MAX {
                    return Err("a header of more than 16 MiB".into());
                }
            }
            Section::Entries if line == ENTRIES_END => {
                self.part = Section::Trailer;
                if self.comma != Some(false) {
                    return Err("no entries, or a comma after the last".into());
                }
            }
            Section::Entries => self.entry_line(line)?,
            Section::Trailer => {
                self.parts.trailer.extend_from_slice(line);
                if self.parts.trailer.len() > TRAILER_MAX {
                    return Err("a trailer of more than 48 MiB".into());
                }
            }
        }
        Ok(())
    }

    fn entry_line(&mut self, line: &[u8]) -> Result<(), String> {
        if line.len() > LINE_MAX {
            return Err("a line of more than 16 MiB".into());
        }
        if self.comma == Some(false) {
            return Err("no comma after the entry before".into());
        }
        let text = &line[..line.len() - 1];
        let text = text.strip_suffix(b",").unwrap_or(text);
        let Some(end) = logical_len(line) else {
            return Err("an entry without its \"at\"".into());
        };
        self.parts.newest_ctime = self.parts.newest_ctime.max(ctime(&line[end..]));
        self.logical.extend_from_slice(&line[..end]);
        self.logical.push(b'\n');
        self.comma = Some(text.len() + 2 == line.len());
        self.parts.entries += 1;
        self.parts.entries_len += line.len() as u64;
        if let Some(selection) = &mut self.selection {
            selection.take(line, end);
        }
        Ok(())
    }
}

/// The ctime in the physical part of a line. `place` begins with `,"at":{`. `None` if there is no ctime in its
/// place: such a line is refused when its entry is read.
fn ctime(place: &[u8]) -> Option<Time> {
    let mut cursor = LineCursor::new(place);
    cursor.skip(AT)?;
    cursor.skip(b"\"ino\":\"")?;
    cursor.number()?;
    cursor.skip(b"\",\"ctime\":\"")?;
    cursor.time()
}

/// The offset of the first `,"at":{` of a line. Searches for `{`, because a line has only few of them.
fn logical_len(line: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = memchr(b'{', &line[from..]) {
        from += at + 1;
        if line[..from].ends_with(AT) {
            return Some(from - AT.len());
        }
    }
    None
}
