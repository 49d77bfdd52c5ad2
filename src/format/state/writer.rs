//! Writes a state as a stream: the header, the entries as they come, the trailer, the digest.

use std::sync::Arc;

use super::{
    check, document, json, line, ArchiveRef, Header, Omissions, Recorded, StateProblem, Totals, Trailer,
};
use super::{ARCHIVES_MAX, DIGEST_LINE_LEN, LINE_MAX, TRAILER_MAX};
use crate::entry::{Entry, Hash, Node, Range};
use crate::error::{Error, Kind, Result};
use crate::format::frame::{FrameWriter, Written};
use crate::format::{bug, Sink};
use crate::stamp::Time;

/// Bytes of the document that are collected before they are hashed and written: enough for BLAKE3 to hash
/// many of its chunks at once.
const GATHER: usize = 256 << 10;
const OP: &str = "write the state";

/// Writes a state. The caller adds the entries in their order.
pub struct StateWriter<W: Sink> {
    frames: FrameWriter<W>,
    /// The bytes of the document that `frames` does not have yet.
    text: Vec<u8>,
    digest: Box<blake3::Hasher>,
    /// Logical parts that `tree` has not hashed yet.
    logical: Vec<u8>,
    tree: Box<blake3::Hasher>,
    order: check::Order,
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
        Ok(StateWriter {
            frames,
            text,
            digest: Box::default(),
            logical: Vec::with_capacity(2 * GATHER),
            tree: Box::default(),
            order: check::Order::default(),
            entries: 0,
            bytes: 0,
            reach: check::Reach::default(),
            moved: Vec::new(),
            omissions: Omissions::default(),
        })
    }

    /// Adds an entry. `Limit`: the line would be longer than a reader accepts. `Panic`: the entry breaks a
    /// rule of the format, which is a bug of the caller.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        check::entry(entry)
            .and_then(|()| self.order.next(entry.path.as_bytes(), entry.node == Node::Dir))
            .map_err(|what| bug(OP, what).at(entry.path.as_bytes()))?;
        self.note_reach(&entry.place.content)?;
        self.note_reach(entry.place.sig.as_ref().map_or(&[], |sig| &sig.ranges))?;
        let start = self.begin_line();
        let logical = line::write(entry, &mut self.text);
        self.end_line(start, logical, entry.path.as_bytes(), entry.size())
    }

    /// Adds an entry of another state. The new line is the one that [`StateWriter::entry`] would write, with
    /// the archive numbers that `renumber` returns. `renumber` is called for each range in order, first for
    /// the ranges of the content, then for those of the signature.
    pub fn carry(&mut self, recorded: &Recorded, mut renumber: impl FnMut(u32) -> u32) -> Result<()> {
        let fields = recorded.fields();
        let path = recorded.path();
        self.order.next(path, fields.is_dir()).map_err(|what| bug(OP, what).at(path))?;
        self.moved.clear();
        self.moved
            .extend(fields.ranges().iter().map(|range| Range { archive: renumber(range.archive), ..*range }));
        self.reach.note(&self.moved).then_some(()).ok_or_else(too_many_archives)?;
        let start = self.begin_line();
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

    /// Returns the offset in `text` at which the next entry's line begins.
    fn begin_line(&mut self) -> usize {
        if self.entries > 0 {
            self.text.extend_from_slice(b",\n");
        }
        self.text.len()
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
        self.hand_on(GATHER)
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
        self.hand_on(0)?;
        let tree = self.tree.finalize().into();
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
        document::write_trailer(&trailer, &mut self.text);
        if self.text.len() + DIGEST_LINE_LEN > TRAILER_MAX {
            return Err(Error::new(Kind::Limit, OP, "its trailer is longer than 48 MiB"));
        }
        self.hand_on(0)?;
        self.text.extend_from_slice(b"\"digest\":");
        json::hash(&mut self.text, &self.digest.finalize().into());
        self.text.extend_from_slice(b"}\n");
        self.frames.write(&self.text)?;
        Ok((self.frames.finish()?, tree))
    }

    /// Hashes and writes the collected bytes if there are more than `least` of them.
    fn hand_on(&mut self, least: usize) -> Result<()> {
        if self.text.len() <= least {
            return Ok(());
        }
        self.digest.update(&self.text);
        self.tree.update(&self.logical);
        self.frames.write(&self.text)?;
        self.text.clear();
        self.logical.clear();
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
