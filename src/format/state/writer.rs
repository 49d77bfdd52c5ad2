//! Writes a state as a stream.

use super::{check, document, json, line, ArchiveRef, Header, StateProblem, Totals, Trailer};
use super::{ARCHIVES_MAX, DIGEST_LINE_LEN, LINE_MAX, TRAILER_MAX};
use crate::entry::{Entry, Hash};
use crate::error::{Error, Kind, Result};
use crate::format::frame::{FrameWriter, Written};
use crate::format::{bug, Sink};
use crate::stamp::Time;

/// Bytes gathered before they are hashed and handed on: enough for BLAKE3 to hash many chunks at once.
const GATHER: usize = 256 << 10;

/// Writes header, entries in order, trailer and digest.
pub struct StateWriter<W: Sink> {
    frames: FrameWriter<W>,
    /// The document from where `frames` ends.
    text: Vec<u8>,
    digest: blake3::Hasher,
    /// Logical parts that `tree` has not seen yet.
    logical: Vec<u8>,
    tree: blake3::Hasher,
    order: check::Order,
    entries: u64,
    bytes: u64,
    /// How far into each archive the entries reach.
    reach: Vec<u64>,
}

impl<W: Sink> StateWriter<W> {
    pub fn new(frames: FrameWriter<W>, header: &Header) -> Result<Self> {
        let mut text = Vec::with_capacity(2 * GATHER);
        document::write_header(header, &mut text);
        if text.len() > LINE_MAX {
            return Err(Error::new(Kind::Limit, "write the state", "its header is longer than 16 MiB"));
        }
        Ok(StateWriter {
            frames,
            text,
            digest: blake3::Hasher::new(),
            logical: Vec::with_capacity(2 * GATHER),
            tree: blake3::Hasher::new(),
            order: check::Order::default(),
            entries: 0,
            bytes: 0,
            reach: Vec::new(),
        })
    }

    /// Adds an entry. `Limit` if its line would be longer than is read; an entry that breaks the rules of
    /// the format is an error of kind `Panic`: the caller's bug.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        check::entry(entry)
            .and_then(|()| self.order.next(entry))
            .map_err(|what| bug("write the state", what).at(entry.path.as_bytes()))?;
        self.note_reach(entry)?;
        if self.entries > 0 {
            self.text.extend_from_slice(b",\n");
        }
        let start = self.text.len();
        let logical = line::write(entry, &mut self.text);
        if self.text.len() - start > LINE_MAX - 2 {
            let what = "its metadata is longer than 16 MiB";
            return Err(Error::new(Kind::Limit, "write the entry of", what).at(entry.path.as_bytes()));
        }
        self.logical.extend_from_slice(&self.text[start..start + logical]);
        self.logical.push(b'\n');
        self.entries += 1;
        self.bytes += entry.size();
        self.hand_on(GATHER)
    }

    /// Writes trailer and digest, and the last frame. Returns the file and its tree digest. Of `totals`,
    /// entries and bytes are what the writer counted.
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
            finished_at,
            tree,
            digest: tree,
            unknown: Vec::new(),
        };
        document::write_trailer(&trailer, &mut self.text);
        if self.text.len() + DIGEST_LINE_LEN > TRAILER_MAX {
            return Err(Error::new(Kind::Limit, "write the state", "its trailer is longer than 48 MiB"));
        }
        self.hand_on(0)?;
        self.text.extend_from_slice(b"\"digest\":");
        json::hash(&mut self.text, &self.digest.finalize().into());
        self.text.extend_from_slice(b"}\n");
        self.frames.write(&self.text)?;
        Ok((self.frames.finish()?, tree))
    }

    /// Hashes and writes what was gathered once it is more than `least` bytes.
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

    fn note_reach(&mut self, entry: &Entry) -> Result<()> {
        let sig = entry.place.sig.iter().flat_map(|sig| &sig.ranges);
        for range in entry.place.content.iter().chain(sig) {
            let index = range.archive as usize;
            if index >= ARCHIVES_MAX {
                return Err(Error::new(Kind::Limit, "write the state", "too many archives"));
            }
            if self.reach.len() <= index {
                self.reach.resize(index + 1, 0);
            }
            self.reach[index] = self.reach[index].max(range.offset + range.len);
        }
        Ok(())
    }

    fn check_archives(&self, archives: &[ArchiveRef]) -> Result<()> {
        if archives.len() > ARCHIVES_MAX {
            return Err(Error::new(Kind::Limit, "write the state", "too many archives"));
        }
        let covered = self.reach.len() <= archives.len()
            && self.reach.iter().zip(archives).all(|(&reach, archive)| reach <= archive.stream);
        match covered && self.entries > 0 {
            true => Ok(()),
            false => Err(bug("write the state", "no entries, or ranges outside the archives named")),
        }
    }
}
