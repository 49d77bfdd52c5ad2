//! A line of a verified state, from which callers read single fields.

use super::plain::Plain;
use super::{check, parse, ArchiveRef};
use crate::entry::{Entry, Range};
use crate::error::Result;
use crate::format::bug;
use crate::state::Facts;

/// The line of one entry of a state. The fields that change detection compares are read without making an
/// [`Entry`]; [`Recorded::entry`] makes the whole entry. [`StateWriter::carry`](super::StateWriter::carry)
/// writes the line into a new state.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// The line without comma and LF.
    line: Vec<u8>,
    /// The fields of the line, if the fast reader has accepted it.
    plain: Plain,
    /// The entry of a line that the fast reader has declined; `plain` has no meaning then.
    parsed: Option<Box<Entry>>,
}

impl Recorded {
    /// Reads the line that is in the buffer now. The message of `Err` names the broken rule.
    pub(super) fn take(&mut self) -> std::result::Result<(), String> {
        self.parsed = None;
        if !self.plain.read(&self.line) {
            self.parsed = Some(Box::new(parse::parse(&self.line)?));
        }
        Ok(())
    }

    /// The buffer into which the caller puts a line before [`Recorded::take`].
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.line
    }

    /// The fields of the line; `None` if the general parser read it.
    pub(super) fn plain(&self) -> Option<&Plain> {
        self.parsed.is_none().then_some(&self.plain)
    }

    /// The line without comma and LF.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// The path's raw bytes.
    pub fn path(&self) -> &[u8] {
        match &self.parsed {
            None => self.plain.path(&self.line),
            Some(entry) => entry.path.as_bytes(),
        }
    }

    /// The type's word, as [`Node::word`](crate::entry::Node::word) gives it.
    pub fn word(&self) -> &'static str {
        self.parsed.as_ref().map_or_else(|| self.plain.word(), |entry| entry.node.word())
    }

    pub fn is_dir(&self) -> bool {
        self.word() == "dir"
    }

    pub fn is_file(&self) -> bool {
        self.word() == "file"
    }

    /// The fields that change detection compares.
    pub fn facts(&self) -> Facts {
        match &self.parsed {
            None => Facts {
                kind: self.plain.word(),
                size: self.plain.size,
                mtime: self.plain.mtime,
                ctime: self.plain.ctime,
                ino: self.plain.ino,
                dev: 0,
                no_ctime: false,
                dirty: self.plain.dirty,
            },
            Some(entry) => Facts::of(entry),
        }
    }

    /// The logical size of a file; 0 for any other type.
    pub fn size(&self) -> u64 {
        self.parsed.as_ref().map_or(self.plain.size, |entry| entry.size())
    }

    /// The number of the file's hard-link group; 0 if the file has only one name.
    pub fn link(&self) -> u64 {
        let link = |entry: &Entry| entry.file().map_or(0, |file| file.link);
        self.parsed.as_ref().map_or(self.plain.link, |entry| link(entry))
    }

    /// The ranges of the content, with the archive numbers of the state that this line is from.
    pub fn content(&self) -> &[Range] {
        self.parsed.as_ref().map_or_else(|| self.plain.content(), |entry| &entry.place.content)
    }

    /// The ranges of the signature, if there is one.
    pub fn sig(&self) -> Option<&[Range]> {
        match &self.parsed {
            None => self.plain.sig(),
            Some(entry) => entry.place.sig.as_ref().map(|sig| &sig.ranges[..]),
        }
    }

    /// Makes the whole entry.
    pub fn entry(&self) -> Result<Entry> {
        match &self.parsed {
            None => self.plain.entry(&self.line).ok_or_else(|| bug("read an entry", "it was read before")),
            Some(entry) => Ok((**entry).clone()),
        }
    }

    /// Checks that the ranges lie inside the streams of their archives.
    pub(super) fn check_places(&self, archives: &[ArchiveRef]) -> std::result::Result<(), &'static str> {
        self.content()
            .iter()
            .chain(self.sig().unwrap_or_default())
            .try_for_each(|range| check::place(range, archives))
    }
}
