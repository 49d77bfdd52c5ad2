//! Writes a state as a stream: the header, the entries as they come, the trailer, the digest.

use std::sync::Arc;

use memchr::{memchr, memrchr};

use super::hard_links::FirstNames;
use super::layer::write_gone;
use super::{ARCHIVES_MAX, DIGEST_LINE_LEN, LINE_MAX, TRAILER_MAX};
use super::{
    ArchiveRef, Header, LayerRef, Omissions, Recorded, StateProblem, Totals, Trailer, check, document, json,
    line, summary,
};
use crate::entry::{Entry, Hash, Node, Range};
use crate::error::{Error, Kind, Result};
use crate::format::frame::{FrameWriter, Written};
use crate::format::{SHORT_FRAME_LEN, Sink, bug};
use crate::spool::Spool;
use crate::stamp::Time;

/// Bytes of the document that are collected before they are hashed and written as a frame. The line that reaches this
/// length ends the frame.
const GATHER: usize = SHORT_FRAME_LEN;
/// The summary at the end of the document has its own frame if at least this many bytes would precede it in a shared
/// frame.
const SUMMARY_BEHIND: usize = 4 << 10;
/// The most bytes of lines that are kept in memory for [`StateWriter::write_so_far`]. More go to a temporary file.
const KEPT_IN_MEMORY: usize = 4 << 20;
const OP: &str = "write the state";

/// Sums up all entries of a snapshot for its state: their number, their bytes and the tree digest.
pub(super) struct EntrySum {
    order: check::Order,
    first_names: FirstNames,
    /// Logical parts that `tree` has not hashed yet.
    logical: Vec<u8>,
    tree: Box<blake3::Hasher>,
    entries: u64,
    bytes: u64,
}

impl EntrySum {
    pub fn new() -> Self {
        EntrySum {
            order: check::Order::default(),
            first_names: FirstNames::default(),
            logical: Vec::with_capacity(2 * GATHER),
            tree: Box::default(),
            entries: 0,
            bytes: 0,
        }
    }

    /// Checks the order and the hard link of the next entry. Call it before [`EntrySum::add`].
    pub fn check(&mut self, entry: &Entry) -> Result<()> {
        let path = entry.path.as_bytes();
        let order = self.order.next(path, entry.node == Node::Dir);
        order.and_then(|()| self.first_names.next_entry(entry)).map_err(|what| bug(OP, what).at(path))
    }

    /// Like [`EntrySum::check`].
    pub fn check_recorded(&mut self, recorded: &Recorded) -> Result<()> {
        let path = recorded.path();
        let order = self.order.next(path, recorded.is_dir());
        order.and_then(|()| recorded.check_link(&mut self.first_names)).map_err(|what| bug(OP, what).at(path))
    }

    /// Adds the next entry. `logical` is the logical part of its line, `size` a file's logical size.
    pub fn add(&mut self, logical: &[u8], size: u64) {
        self.logical.extend_from_slice(logical);
        self.logical.push(b'\n');
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(size);
        if self.logical.len() > GATHER {
            self.hash();
        }
    }

    fn hash(&mut self) {
        self.tree.update(&self.logical);
        self.logical.clear();
    }

    /// The sums over the entries so far. The copy cannot check further entries.
    fn so_far(&self) -> EntrySum {
        let (logical, tree) = (self.logical.clone(), self.tree.clone());
        EntrySum { logical, tree, entries: self.entries, bytes: self.bytes, ..EntrySum::new() }
    }

    pub fn finish(mut self) -> SnapshotSum {
        self.hash();
        SnapshotSum { tree: self.tree.finalize().into(), entries: self.entries, bytes: self.bytes }
    }
}

/// The sums over all entries of a snapshot, which its state records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSum {
    pub tree: Hash,
    pub entries: u64,
    /// Logical bytes of all files.
    pub bytes: u64,
}

/// The part of a state's trailer that describes the operation that made the state.
#[derive(Clone, Copy, Debug)]
pub struct Made<'m> {
    /// The writer replaces `entries`, `bytes` and `problems` by its own counts.
    pub totals: &'m Totals,
    pub problems: &'m [StateProblem],
    pub finished_at: Time,
}

/// A state that is written and not committed yet.
#[derive(Debug)]
pub struct WrittenState<W> {
    pub file: Written<W>,
    pub tree: Hash,
    /// The layers that the header names.
    pub layers: Vec<LayerRef>,
}

/// Writes a state. The caller adds the entries in their order: all of them, or the changes to the layers that the
/// header names.
pub struct StateWriter<W: Sink> {
    frames: FrameWriter<W>,
    /// The bytes of the document that `frames` does not have yet.
    text: Vec<u8>,
    digest: Box<blake3::Hasher>,
    /// The digest of the summary. At first, it has hashed the header only.
    summary: Box<blake3::Hasher>,
    /// The sums over the entries. `None` for a state with layers, whose lines are only some of the entries.
    sum: Option<EntrySum>,
    has_lines: bool,
    /// The lines of the entries that `text` does not have any more, if they are kept.
    kept: Option<Spool>,
    reach: check::Reach,
    /// A buffer: the ranges of a carried entry, with archive numbers of the new state.
    moved: Vec<Range>,
    /// Names that the backup saw and did not store.
    pub omissions: Omissions,
}

impl<W: Sink> StateWriter<W> {
    pub fn new(frames: FrameWriter<W>, header: &Header) -> Result<Self> {
        document::check_header(header).map_err(|what| Error::new(Kind::Limit, OP, what))?;
        let mut text = Vec::with_capacity(2 * GATHER);
        document::write_header(header, &mut text);
        if text.len() > LINE_MAX {
            return Err(Error::new(Kind::Limit, OP, "its header is longer than 16 MiB"));
        }
        let mut summary = Box::<blake3::Hasher>::default();
        summary.update(&text);
        let mut writer = StateWriter {
            // Frames end only between lines.
            frames: frames.with_frame_len(usize::MAX),
            text,
            digest: Box::default(),
            summary,
            sum: header.layers.is_empty().then(EntrySum::new),
            has_lines: false,
            kept: None,
            reach: check::Reach::default(),
            moved: Vec::new(),
            omissions: Omissions::default(),
        };
        writer.hand_on(0)?;
        Ok(writer)
    }

    /// Keeps the lines of all entries in temporary storage, for [`StateWriter::write_so_far`]. To be called before the
    /// first entry.
    pub fn keep_lines(&mut self) {
        self.kept = Some(Spool::new(KEPT_IN_MEMORY));
    }

    /// False if the lines are not kept: nobody asked for it, or there was no room for them.
    pub fn keeps_lines(&self) -> bool {
        self.kept.is_some()
    }

    /// Writes another state, with the entries that this writer has so far, if it keeps the lines. `archives` has a
    /// complete archive for each one that the entries refer to.
    pub fn write_so_far<V: Sink>(
        &self,
        frames: FrameWriter<V>,
        header: &Header,
        archives: &[ArchiveRef],
        made: &Made<'_>,
    ) -> Result<WrittenState<V>> {
        let (Some(kept), Some(sum)) = (&self.kept, &self.sum) else {
            return Err(bug(OP, "the lines of the entries were not kept"));
        };
        let mut copy = StateWriter::new(frames, header)?;
        kept.each(0, u64::MAX, &mut |piece| copy.add_lines(piece))?;
        copy.add_lines(&self.text)?;
        copy.has_lines = self.has_lines;
        copy.sum = Some(sum.so_far());
        copy.reach = self.reach.clone();
        copy.finish(archives, made)
    }

    /// Adds a piece of the lines of another writer. The piece may begin and end inside a line.
    fn add_lines(&mut self, piece: &[u8]) -> Result<()> {
        self.text.extend_from_slice(piece);
        let end = memrchr(b'\n', &self.text).filter(|_| self.text.len() > GATHER);
        let Some(end) = end else { return Ok(()) };
        // Frames end only between lines.
        let rest = self.text.split_off(end + 1);
        self.hand_on(0)?;
        self.text = rest;
        Ok(())
    }

    /// Adds an entry. `Limit`: the line would be longer than a reader accepts. `Panic`: the entry breaks a
    /// rule of the format, which is a bug of the caller.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        let path = entry.path.as_bytes();
        check::entry(entry).map_err(|what| bug(OP, what).at(path))?;
        self.sum.as_mut().map_or(Ok(()), |sum| sum.check(entry))?;
        self.note_reach(&entry.place.content)?;
        self.note_reach(entry.place.sig.as_ref().map_or(&[], |sig| &sig.content))?;
        let start = self.begin_line()?;
        let logical = line::write(entry, &mut self.text);
        self.end_line(start, logical, entry.path.as_bytes(), entry.size())
    }

    /// Adds an entry of another state. The new line is the one that [`StateWriter::entry`] would write, with
    /// the archive numbers that `renumber` returns. `renumber` is called for each range in order, first for
    /// the ranges of the content, then for those of the signature.
    pub fn carry(&mut self, recorded: &Recorded, mut renumber: impl FnMut(u32) -> u32) -> Result<()> {
        let path = recorded.path();
        self.sum.as_mut().map_or(Ok(()), |sum| sum.check_recorded(recorded))?;
        let renumbered = |range: &Range| Range { archive: renumber(range.archive), ..*range };
        self.moved.clear();
        self.moved.extend(recorded.ranges().iter().map(renumbered));
        self.reach.note(&self.moved).then_some(()).ok_or_else(too_many_archives)?;
        let start = self.begin_line()?;
        let logical = recorded.write_with(&self.moved, &mut self.text);
        self.end_line(start, logical, path, recorded.size())
    }

    /// Adds a line that says that `path` and everything below it is gone from the layers.
    pub fn gone(&mut self, path: &[u8]) -> Result<()> {
        self.begin_line()?;
        write_gone(path, &mut self.text);
        Ok(())
    }

    /// Ends the line before, and returns the offset in `text` at which the next entry's line begins.
    fn begin_line(&mut self) -> Result<usize> {
        if self.has_lines {
            self.text.extend_from_slice(b",\n");
            self.hand_on(GATHER)?;
        }
        self.has_lines = true;
        Ok(self.text.len())
    }

    /// Counts and hashes the line that begins at `start` of `text`. `logical` is the length of its logical
    /// part.
    fn end_line(&mut self, start: usize, logical: usize, path: &[u8], size: u64) -> Result<()> {
        if self.text.len() - start > LINE_MAX - 2 {
            return Err(too_long(path));
        }
        if let Some(sum) = &mut self.sum {
            sum.add(&self.text[start..start + logical], size);
        }
        Ok(())
    }

    /// Writes the trailer, the digest and the last frame of a whole state.
    pub fn finish(mut self, archives: &[ArchiveRef], made: &Made<'_>) -> Result<WrittenState<W>> {
        let sum = self.sum.take().filter(|sum| sum.entries > 0);
        let sum = sum.ok_or_else(|| bug(OP, "no entries"))?.finish();
        let file = self.end(archives, Vec::new(), sum, made)?;
        Ok(WrittenState { file, tree: sum.tree, layers: Vec::new() })
    }

    /// Like [`StateWriter::finish`], for a state with layers. `uses` says which archives of each layer the snapshot
    /// needs, and `sum` is that of all its entries.
    pub(super) fn finish_layer(
        self,
        archives: &[ArchiveRef],
        uses: Vec<Vec<bool>>,
        sum: SnapshotSum,
        made: &Made<'_>,
    ) -> Result<Written<W>> {
        self.end(archives, uses, sum, made)
    }

    fn end(
        mut self,
        archives: &[ArchiveRef],
        uses: Vec<Vec<bool>>,
        sum: SnapshotSum,
        made: &Made<'_>,
    ) -> Result<Written<W>> {
        self.check_archives(archives)?;
        if self.has_lines {
            self.text.extend_from_slice(b"\n");
        }
        let trailer = Trailer {
            archives: archives.to_vec(),
            uses,
            totals: Totals { entries: sum.entries, bytes: sum.bytes, ..*made.totals },
            problems: made.problems.to_vec(),
            omissions: Arc::new(std::mem::take(&mut self.omissions)),
            finished_at: made.finished_at,
            tree: sum.tree,
            digest: sum.tree,
            unknown: Vec::new(),
        };
        self.write_trailer(&trailer)?;
        self.frames.finish()
    }

    fn write_trailer(&mut self, trailer: &Trailer) -> Result<()> {
        let before = self.text.len();
        let mut from = document::write_trailer(trailer, &mut self.text);
        if self.text.len() - before > TRAILER_MAX - 2 * DIGEST_LINE_LEN {
            let mut detail = "its trailer is longer than 48 MiB".to_string();
            if trailer.archives.iter().any(|archive| !archive.parts.is_empty()) {
                detail +=
                    "; if it names too many parts of archives, set a greater size of parts and consolidate";
            }
            return Err(Error::new(Kind::Limit, OP, detail));
        }
        if from >= SUMMARY_BEHIND {
            let summary = self.text.split_off(from);
            self.hand_on(0)?;
            (self.text, from) = (summary, 0);
        }
        let summary = self.summary.update(&self.text[from..]).finalize();
        summary::write_line(&summary.into(), &mut self.text);
        self.digest.update(&self.text);
        self.text.extend_from_slice(b"\"digest\":");
        json::hash(&mut self.text, &self.digest.finalize().into());
        self.text.extend_from_slice(b"}\n");
        self.write_frames()
    }

    /// Hashes and writes the collected bytes if there are more than `least` of them.
    fn hand_on(&mut self, least: usize) -> Result<()> {
        if self.text.len() <= least {
            return Ok(());
        }
        self.digest.update(&self.text);
        // A full temporary directory costs the copy, not the state itself.
        if self.kept.as_mut().is_some_and(|kept| kept.append(&self.text).is_err()) {
            self.kept = None;
        }
        self.write_frames()
    }

    /// Writes the collected lines as one frame, or as several if they are longer than [`GATHER`].
    fn write_frames(&mut self) -> Result<()> {
        let mut rest = &self.text[..];
        while !rest.is_empty() {
            let len = memchr(b'\n', &rest[rest.len().min(GATHER)..]).map_or(rest.len(), |lf| GATHER + lf + 1);
            let (now, later) = rest.split_at(len);
            self.frames.write(now)?;
            self.frames.cut()?;
            rest = later;
        }
        self.text.clear();
        Ok(())
    }

    fn note_reach(&mut self, ranges: &[Range]) -> Result<()> {
        self.reach.note(ranges).then_some(()).ok_or_else(too_many_archives)
    }

    fn check_archives(&self, archives: &[ArchiveRef]) -> Result<()> {
        if archives.len() > ARCHIVES_MAX {
            return Err(too_many_archives());
        }
        match self.reach.is_within(archives) {
            true => Ok(()),
            false => Err(bug(OP, "ranges outside the archives named")),
        }
    }
}

pub(super) fn too_long(path: &[u8]) -> Error {
    Error::new(Kind::Limit, "write the entry of", "its metadata is longer than 16 MiB").at(path)
}

pub(super) fn too_many_archives() -> Error {
    Error::new(Kind::Limit, OP, "too many archives")
}
