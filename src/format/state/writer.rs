//! Writes a state as a stream: the header, the entries as they come, the trailer, the digest.

use std::sync::Arc;

use memchr::memchr;

use super::hard_links::FirstNames;
use super::{
    check, document, json, line, summary, ArchiveRef, Header, Omissions, Recorded, StateProblem, Totals,
    Trailer,
};
use super::{ARCHIVES_MAX, DIGEST_LINE_LEN, LINE_MAX, TRAILER_MAX};
use crate::entry::{Entry, Hash, Node, Range};
use crate::error::{Error, Kind, Result};
use crate::format::frame::{FrameWriter, Written};
use crate::format::{bug, Sink, SHORT_FRAME_LEN};
use crate::stamp::Time;

/// Bytes of the document that are collected before they are hashed and written as a frame. A frame of entries ends
/// with the line that makes it so long.
const GATHER: usize = SHORT_FRAME_LEN;
/// The summary at the end of the document has a frame of its own if so many bytes would precede it in the frame.
const SUMMARY_BEHIND: usize = 4 << 10;
const OP: &str = "write the state";

/// Writes a state. The caller adds the entries in their order.
pub struct StateWriter<W: Sink> {
    frames: FrameWriter<W>,
    /// The bytes of the document that `frames` does not have yet.
    text: Vec<u8>,
    digest: Box<blake3::Hasher>,
    /// Has hashed the header.
    summary: Box<blake3::Hasher>,
    /// Logical parts that `tree` has not hashed yet.
    logical: Vec<u8>,
    tree: Box<blake3::Hasher>,
    order: check::Order,
    first_names: FirstNames,
    entries: u64,
    bytes: u64,
    reach: check::Reach,
    /// The ranges of a carried entry, with archive numbers of the new state.
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
            logical: Vec::with_capacity(2 * GATHER),
            tree: Box::default(),
            order: check::Order::default(),
            first_names: FirstNames::default(),
            entries: 0,
            bytes: 0,
            reach: check::Reach::default(),
            moved: Vec::new(),
            omissions: Omissions::default(),
        };
        writer.hand_on(0)?;
        Ok(writer)
    }

    /// Adds an entry. `Limit`: the line would be longer than a reader accepts. `Panic`: the entry breaks a
    /// rule of the format, which is a bug of the caller.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        check::entry(entry)
            .and_then(|()| self.order.next(entry.path.as_bytes(), entry.node == Node::Dir))
            .and_then(|()| self.first_names.next_entry(entry))
            .map_err(|what| bug(OP, what).at(entry.path.as_bytes()))?;
        self.note_reach(&entry.place.content)?;
        self.note_reach(entry.place.sig.as_ref().map_or(&[], |sig| &sig.ranges))?;
        let start = self.begin_line()?;
        let logical = line::write(entry, &mut self.text);
        self.end_line(start, logical, entry.path.as_bytes(), entry.size())
    }

    /// Adds an entry of another state. The new line is the one that [`StateWriter::entry`] would write, with
    /// the archive numbers that `renumber` returns. `renumber` is called for each range in order, first for
    /// the ranges of the content, then for those of the signature.
    pub fn carry(&mut self, recorded: &Recorded, mut renumber: impl FnMut(u32) -> u32) -> Result<()> {
        let fields = recorded.fields();
        let path = recorded.path();
        self.order
            .next(path, fields.is_dir())
            .and_then(|()| recorded.check_link(&mut self.first_names))
            .map_err(|what| bug(OP, what).at(path))?;
        self.moved.clear();
        self.moved
            .extend(fields.ranges().iter().map(|range| Range { archive: renumber(range.archive), ..*range }));
        self.reach.note(&self.moved).then_some(()).ok_or_else(too_many_archives)?;
        let start = self.begin_line()?;
        let (line, mut copied) = (recorded.line(), 0);
        if self.moved != fields.ranges() {
            let (content, sig) = self.moved.split_at(fields.content().len());
            for (span, ranges) in [(fields.content_at, content), (fields.sig_at, sig)] {
                let Some(span) = span else { continue };
                self.text.extend_from_slice(&line[copied..span.start]);
                json::ranges(&mut self.text, ranges);
                copied = span.end;
            }
        }
        self.text.extend_from_slice(&line[copied..]);
        self.end_line(start, fields.logical, path, fields.size)
    }

    /// Ends the line before, and returns the offset in `text` at which the next entry's line begins.
    fn begin_line(&mut self) -> Result<usize> {
        if self.entries > 0 {
            self.text.extend_from_slice(b",\n");
            self.hand_on(GATHER)?;
        }
        Ok(self.text.len())
    }

    /// Counts and hashes the line that begins at `start` of `text`. `logical` is the length of its logical
    /// part.
    fn end_line(&mut self, start: usize, logical: usize, path: &[u8], size: u64) -> Result<()> {
        if self.text.len() - start > LINE_MAX - 2 {
            let what = "its metadata is longer than 16 MiB";
            return Err(Error::new(Kind::Limit, "write the entry of", what).at(path));
        }
        self.logical.extend_from_slice(&self.text[start..start + logical]);
        self.logical.push(b'\n');
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(size);
        Ok(())
    }

    /// Writes the trailer, the digest and the last frame. Returns the file and the tree digest. The writer's
    /// own counts replace the entries and the bytes of `totals`.
    pub fn finish(
        mut self,
        archives: &[ArchiveRef],
        totals: &Totals,
        problems: &[StateProblem],
        finished_at: Time,
    ) -> Result<(Written<W>, Hash)> {
        self.check_archives(archives)?;
        self.text.extend_from_slice(b"\n");
        let tree = self.tree.update(&self.logical).finalize().into();
        self.logical.clear();
        let trailer = Trailer {
            archives: archives.to_vec(),
            totals: Totals { entries: self.entries, bytes: self.bytes, ..*totals },
            problems: problems.to_vec(),
            omissions: Arc::new(std::mem::take(&mut self.omissions)),
            finished_at,
            tree,
            digest: tree,
            unknown: Vec::new(),
        };
        self.write_trailer(&trailer)?;
        Ok((self.frames.finish()?, tree))
    }

    fn write_trailer(&mut self, trailer: &Trailer) -> Result<()> {
        let before = self.text.len();
        let mut from = document::write_trailer(trailer, &mut self.text);
        if self.text.len() - before > TRAILER_MAX - 2 * DIGEST_LINE_LEN {
            return Err(Error::new(Kind::Limit, OP, "its trailer is longer than 48 MiB"));
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
        self.tree.update(&self.logical);
        self.logical.clear();
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
        match self.reach.is_within(archives) && self.entries > 0 {
            true => Ok(()),
            false => Err(bug(OP, "no entries, or ranges outside the archives named")),
        }
    }
}

fn too_many_archives() -> Error {
    Error::new(Kind::Limit, OP, "too many archives")
}
