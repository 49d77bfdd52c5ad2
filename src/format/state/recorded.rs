//! A line of a verified state, from which callers read single fields.

use super::fields::LineFields;
use super::hard_links::FirstNames;
use super::{ArchiveRef, check, json};
use crate::entry::{Entry, FileType, HardLink, LinkSet, Range};
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
    fields: LineFields,
}

impl Recorded {
    /// Reads the line that is in the buffer now. The message of `Err` names the broken rule.
    pub(super) fn take(&mut self) -> std::result::Result<(), String> {
        self.fields.read(&self.line)
    }

    /// The buffer into which the caller puts a line before [`Recorded::take`].
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.line
    }

    /// The line without comma and LF.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// Appends the line with other `ranges`, those of the content first. Returns the length of the logical part.
    pub(super) fn write_with(&self, ranges: &[Range], out: &mut Vec<u8>) -> usize {
        let mut copied = 0;
        if ranges != self.fields.ranges() {
            let (content, sig) = ranges.split_at(self.fields.content().len());
            for (span, ranges) in [(self.fields.content_at, content), (self.fields.sig_at, sig)] {
                let Some(span) = span else { continue };
                out.extend_from_slice(&self.line[copied..span.start]);
                json::ranges(out, ranges);
                copied = span.end;
            }
        }
        out.extend_from_slice(&self.line[copied..]);
        self.fields.logical
    }

    /// The path's raw bytes.
    pub fn path(&self) -> &[u8] {
        self.fields.path(&self.line)
    }

    pub fn file_type(&self) -> FileType {
        self.fields.file_type()
    }

    pub fn is_dir(&self) -> bool {
        self.fields.is_dir()
    }

    pub fn is_file(&self) -> bool {
        self.file_type() == FileType::File
    }

    /// The fields that change detection compares.
    pub fn facts(&self) -> Facts {
        Facts {
            kind: self.fields.file_type(),
            size: self.fields.size,
            mtime: self.fields.mtime,
            ctime: self.fields.ctime,
            ino: self.fields.ino,
            dev: 0,
            no_ctime: false,
            dirty: self.fields.dirty,
        }
    }

    /// The logical size of a file; 0 for any other type.
    pub fn size(&self) -> u64 {
        self.fields.size
    }

    /// Bytes of a file outside of holes; 0 for any other type.
    pub fn data_len(&self) -> u64 {
        self.fields.data_len()
    }

    /// The first 8 bytes of a file's hash, as a big-endian number; `None` for any other type.
    pub fn hash_start(&self) -> Option<u64> {
        self.fields.hash_start(&self.line)
    }

    pub fn is_dirty(&self) -> bool {
        self.fields.dirty
    }

    /// The set of names that the entry belongs to; `None` if it has only one name in the snapshot.
    pub fn link_set(&self) -> Option<LinkSet> {
        Some(match self.fields.link(&self.line)? {
            HardLink::Single => return None,
            HardLink::First => LinkSet::of_first(self.path()),
            HardLink::Further(first) => LinkSet::of_first(first.as_bytes()),
        })
    }

    /// True if the entry shares its inode with other entries.
    pub fn is_linked(&self) -> bool {
        self.fields.is_linked()
    }

    /// Checks the hard link of this entry against the first names before it.
    pub(super) fn check_link(&self, names: &mut FirstNames) -> std::result::Result<(), &'static str> {
        if !self.is_linked() {
            return Ok(());
        }
        let link = self.fields.link(&self.line).ok_or("a hard link to no path")?;
        names.next(self.path(), &link, self.fields.inode_fields(&self.line))
    }

    /// The ranges of the content. Their archive numbers belong to the file, or to the merged snapshot, from which the
    /// line was read.
    pub fn content(&self) -> &[Range] {
        self.fields.content()
    }

    /// The ranges of the signature, if there is one.
    pub fn sig(&self) -> Option<&[Range]> {
        self.fields.sig()
    }

    /// The logical part of the line.
    pub(super) fn logical(&self) -> &[u8] {
        &self.line[..self.fields.logical]
    }

    /// The ranges of the content, then those of the signature, as [`Place::ranges`](crate::entry::Place::ranges).
    pub fn ranges(&self) -> &[Range] {
        self.fields.ranges()
    }

    /// Makes the whole entry.
    pub fn entry(&self) -> Result<Entry> {
        self.fields.entry(&self.line).ok_or_else(|| bug("read an entry", "it was read before"))
    }

    /// Checks that the ranges lie inside the streams of their archives.
    pub(super) fn check_places(&self, archives: &[ArchiveRef]) -> std::result::Result<(), &'static str> {
        self.ranges().iter().try_for_each(|range| check::place(range, archives))
    }
}
