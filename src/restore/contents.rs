//! Reading contents out of archives: a whole copy, or the pieces of a whole copy and its deltas composed, so
//! that each byte is read and written once.

use std::collections::HashMap;
use std::io::{self, Read};

use crate::delta::Plan;
use crate::entry::{Entry, File, Range};
use crate::error::{Error, Kind, Result};
use crate::format::{ArchiveRef, FrameCache, FrameReader};
use crate::store::{Store, StoredFile};

/// Frames kept decompressed of each archive: one in path order, a few where deltas jump.
const FRAMES: usize = 4;
/// A composed content has at most this many pieces (32 bytes each).
const PIECES_MAX: usize = 8 << 20;

/// The archives of one state, opened as they are needed.
pub struct Contents {
    archives: Vec<ArchiveRef>,
    open: HashMap<u32, FrameReader>,
}

impl Contents {
    pub fn new(archives: &[ArchiveRef]) -> Self {
        Contents { archives: archives.to_vec(), open: HashMap::new() }
    }

    /// Hands the data of a file (its extents, concatenated) to `sink`, in order. The caller checks its hash.
    pub fn read(
        &mut self,
        store: &mut dyn Store,
        entry: &Entry,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        match &entry.place.content[..] {
            [] => Ok(()),
            [whole] => self.range(store, *whole, sink),
            [whole, deltas @ ..] => {
                let plan = self.compose(store, entry, whole, deltas)?;
                for piece in plan.pieces() {
                    let source = entry.place.content[piece.source as usize];
                    self.range(
                        store,
                        Range { offset: source.offset + piece.offset, len: piece.len, ..source },
                        sink,
                    )?;
                }
                Ok(())
            }
        }
    }

    /// Says where each byte of a content lies. Each delta is read once for its commands.
    fn compose(
        &mut self,
        store: &mut dyn Store,
        entry: &Entry,
        whole: &Range,
        deltas: &[Range],
    ) -> Result<Plan> {
        let mut plan = Plan::whole(whole.len);
        for (index, delta) in deltas.iter().enumerate() {
            let mut reader = RangeReader {
                contents: self,
                store,
                range: *delta,
                fetched: 0,
                buf: Vec::new(),
                taken: 0,
                error: None,
            };
            let applied = plan.apply(index as u32 + 1, &mut reader, u64::MAX, PIECES_MAX);
            if let Some(error) = reader.error {
                return Err(error);
            }
            plan = applied
                .map_err(|e| self.damaged(delta, format!("the delta of {:?} is damaged: {e}", entry.path)))?;
        }
        let wanted = entry.file().map_or(0, File::data_len);
        if plan.content_len() != wanted {
            let detail =
                format!("the deltas of {:?} make {} bytes, not {wanted}", entry.path, plan.content_len());
            return Err(self.damaged(deltas.last().unwrap_or(whole), detail));
        }
        Ok(plan)
    }

    fn damaged(&self, range: &Range, detail: String) -> Error {
        let name = self.archives.get(range.archive as usize).map_or("", |archive| &archive.name);
        Error::corrupt("read", name, format!("at offset {}: {detail}", range.offset))
    }

    /// The error of a content that was read whole and is not what was backed up.
    pub fn differs(&self, entry: &Entry, file: &File) -> Error {
        let detail =
            format!("the content of {:?} is not what was backed up (expected {})", entry.path, file.hash);
        match entry.place.content.first() {
            Some(range) => self.damaged(range, detail),
            None => Error::corrupt("read", b"", detail),
        }
    }

    /// The name of the first archive that an entry needs, for messages.
    pub fn archive_of(&self, entry: &Entry) -> Option<&str> {
        let range = entry.place.content.first()?;
        self.archives.get(range.archive as usize).map(|archive| archive.name.as_str())
    }

    /// Hands a range of an archive's stream to `sink`.
    fn range(
        &mut self,
        store: &mut dyn Store,
        range: Range,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let archive = self.archives.get(range.archive as usize);
        let archive =
            archive.ok_or_else(|| Error::new(Kind::Corrupt, "read", "the state names no such archive"))?;
        let mut file = StoredFile { store, name: &archive.name };
        if !self.open.contains_key(&range.archive) {
            let cache = FrameCache::new(FRAMES);
            let opened =
                FrameReader::with_cache(&mut file, &archive.name, archive.size, archive.compressed(), cache);
            let frames = opened.map_err(|e| in_archive(e, &archive.name))?;
            self.open.insert(range.archive, frames);
        }
        let frames = self
            .open
            .get_mut(&range.archive)
            .ok_or_else(|| Error::new(Kind::Panic, "read", "archive not kept"))?;
        frames.read(&mut file, range.offset, range.len, sink).map_err(|e| in_archive(e, &archive.name))
    }
}

/// Names the archive; one that a state names and the store has not is `Missing`.
fn in_archive(error: Error, name: &str) -> Error {
    match error.kind {
        Kind::NotFound => {
            Error { kind: Kind::Missing, detail: "the archive is gone".into(), ..error }.at(name)
        }
        Kind::Io => error.at(name),
        _ => error,
    }
}

/// A range of an archive as a reader.
struct RangeReader<'c, 's> {
    contents: &'c mut Contents,
    store: &'s mut dyn Store,
    range: Range,
    /// Bytes of the range fetched so far.
    fetched: u64,
    buf: Vec<u8>,
    /// Bytes of `buf` handed out.
    taken: usize,
    /// What a failed read really was.
    error: Option<Error>,
}

/// Bytes fetched at a time.
const FETCH: u64 = 64 << 10;

impl RangeReader<'_, '_> {
    fn fetch(&mut self) -> Result<()> {
        let len = (self.range.len - self.fetched).min(FETCH);
        let part = Range { offset: self.range.offset + self.fetched, len, ..self.range };
        self.taken = 0;
        self.buf.clear();
        let buf = &mut self.buf;
        self.contents.range(self.store, part, &mut |bytes| {
            buf.extend_from_slice(bytes);
            Ok(())
        })?;
        self.fetched += len;
        Ok(())
    }
}

impl Read for RangeReader<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.buf.len() && self.fetched < self.range.len {
            if let Err(error) = self.fetch() {
                self.error = Some(error);
                return Err(io::Error::other("the archive could not be read"));
            }
        }
        let count = out.len().min(self.buf.len() - self.taken);
        out[..count].copy_from_slice(&self.buf[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}
