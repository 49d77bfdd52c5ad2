//! Reading contents out of archives: a whole copy, or the pieces of a whole copy and its deltas composed, so
//! that each byte is read and written once. [`Layout`] is the way to one of them.

use std::collections::hash_map::{Entry as Slot, HashMap};
use std::io::{self, BufReader, BufWriter, Read, Write};

use crate::delta::{self, Plan};
use crate::entry::{Entry, File, Range};
use crate::error::{Error, Kind, Result};
use crate::format::{ArchiveRef, FrameCache, FrameIndex};
use crate::store::{Store, StoredFile};

use super::layout::Layout;

/// Frames kept decompressed, of all archives together: one is enough in path order, deltas jump.
const FRAMES: usize = 12;
/// A composed content has at most this many pieces in memory (32 bytes each, and twice that while the
/// next delta is composed); longer chains go through temporary files.
const PIECES_MAX: usize = 1 << 20;

/// The archives of one state, opened as they are needed.
pub struct Contents {
    archives: Vec<ArchiveRef>,
    open: HashMap<u32, FrameIndex>,
    frames: FrameCache,
    pub(super) pieces_max: usize,
}

impl Contents {
    pub fn new(archives: &[ArchiveRef]) -> Self {
        let (open, frames) = (HashMap::new(), FrameCache::new(FRAMES));
        Contents { archives: archives.to_vec(), open, frames, pieces_max: PIECES_MAX }
    }

    /// Hands the data of a file (its extents, concatenated) to `sink`, in order. The caller checks its hash.
    pub fn read(
        &mut self,
        store: &mut dyn Store,
        entry: &Entry,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        Layout::of(self, store, entry)?.read(self, store, 0, u64::MAX, sink)
    }

    /// Says where each byte of a content lies; `None` if that takes too many pieces. Each delta is read
    /// once for its commands.
    pub(super) fn compose(
        &mut self,
        store: &mut dyn Store,
        entry: &Entry,
        whole: &Range,
        deltas: &[Range],
    ) -> Result<Option<Plan>> {
        let pieces_max = self.pieces_max;
        let mut plan = Plan::whole(whole.len);
        for (index, delta) in deltas.iter().enumerate() {
            let mut reader = RangeReader::new(self, store, *delta);
            let applied = plan.apply(index as u32 + 1, &mut reader, u64::MAX, pieces_max);
            let error = reader.error;
            plan = match applied {
                Ok(plan) => plan,
                Err(delta::Error::TooManyPieces { .. }) => return Ok(None),
                Err(refused) => return Err(error.unwrap_or_else(|| self.bad_delta(entry, delta, &refused))),
            };
        }
        self.check_len(entry, deltas, plan.content_len())?;
        Ok(Some(plan))
    }

    /// Applies one delta after the other, the versions between in unlinked temporary files: memory stays
    /// bounded however many pieces there are. Returns the last one.
    pub(super) fn patch_in_turn(
        &mut self,
        store: &mut dyn Store,
        entry: &Entry,
        whole: &Range,
        deltas: &[Range],
    ) -> Result<std::fs::File> {
        let trouble = |e: io::Error| Error::io("use a temporary file for", &entry.path, &e);
        let mut basis = tempfile::tempfile().map_err(trouble)?;
        self.range(store, *whole, &mut |bytes| basis.write_all(bytes).map_err(trouble))?;
        let mut len = whole.len;
        for delta in deltas {
            let mut out = BufWriter::with_capacity(1 << 16, tempfile::tempfile().map_err(trouble)?);
            let mut reader = RangeReader::new(self, store, *delta);
            let made =
                delta::patch_up_to(&mut basis, &mut BufReader::new(&mut reader), len, &mut out, u64::MAX);
            let error = reader.error;
            len = made.map_err(|e| error.unwrap_or_else(|| self.bad_delta(entry, delta, &e)))?;
            basis = out.into_inner().map_err(|e| trouble(e.into_error()))?;
        }
        self.check_len(entry, deltas, len)?;
        Ok(basis)
    }

    fn check_len(&self, entry: &Entry, deltas: &[Range], made: u64) -> Result<()> {
        let wanted = entry.file().map_or(0, File::data_len);
        match deltas.last().filter(|_| made != wanted) {
            None => Ok(()),
            Some(last) => {
                let detail = format!("the deltas of {:?} make {made} bytes, not {wanted}", entry.path);
                Err(self.damaged(last, detail))
            }
        }
    }

    fn bad_delta(&self, entry: &Entry, delta: &Range, error: &delta::Error) -> Error {
        self.damaged(delta, format!("the delta of {:?} is damaged: {error}", entry.path))
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
    pub(super) fn range(
        &mut self,
        store: &mut dyn Store,
        range: Range,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let archive = self.archives.get(range.archive as usize);
        let archive =
            archive.ok_or_else(|| Error::new(Kind::Corrupt, "read", "the state names no such archive"))?;
        let mut file = StoredFile { store, name: &archive.name };
        let named = |error| in_archive(error, &archive.name);
        let index = match self.open.entry(range.archive) {
            Slot::Occupied(open) => open.into_mut(),
            Slot::Vacant(free) => {
                let opened = FrameIndex::open(&mut file, &archive.name, archive.size, archive.compressed());
                free.insert(opened.map_err(named)?)
            }
        };
        index.read(&mut file, &mut self.frames, range.archive, range.offset, range.len, sink).map_err(named)
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

impl<'c, 's> RangeReader<'c, 's> {
    fn new(contents: &'c mut Contents, store: &'s mut dyn Store, range: Range) -> Self {
        RangeReader { contents, store, range, fetched: 0, buf: Vec::new(), taken: 0, error: None }
    }

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
