//! Reading contents out of archives: a whole copy, or the pieces of a whole copy and its deltas composed, so
//! that each byte is read and written once. [`Layout`] is the way to one of them, [`Gathered`] a small one that
//! any thread can make.

use std::collections::hash_map::{Entry as Slot, HashMap};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::sync::Arc;

use crate::delta::{self, Plan};
use crate::entry::{Entry, File, Range};
use crate::error::{Error, Kind, Result};
use crate::format::{ArchiveRef, Decoded, Frame, FrameCache, FrameIndex, Part};
use crate::pool::Pool;
use crate::store::{Store, StoredFile};

use super::ahead::Ahead;
use super::archives::Archives;
use super::gathered::{Gathered, Slice};
use super::layout::Layout;

/// Frames kept, of all archives together: one is enough in path order, deltas jump.
const FRAMES: usize = 10;
/// A composed content has at most this many pieces in memory (32 bytes each, and twice that while the
/// next delta is composed); longer chains go through temporary files.
const PIECES_MAX: usize = 1 << 20;

/// Frames that are held for one small content make no more than this, decoded.
const GATHERED_MAX: usize = 40 << 20;

/// What a frame counts for at least: with what is kept of it besides its bytes, of which it may have one.
const SLICE_MIN: usize = 1 << 10;

/// A frame of one of the archives.
pub(super) type FrameId = (u32, usize);

/// The archives of one state, opened as they are needed.
pub struct Contents {
    archives: Arc<Archives>,
    open: HashMap<u32, Arc<FrameIndex>>,
    frames: FrameCache,
    /// Decodes frames before they are wanted.
    pool: Option<Arc<Pool>>,
    pub(super) pieces_max: usize,
    pub(super) gathered_max: usize,
}

impl Contents {
    pub fn new(archives: &[ArchiveRef]) -> Self {
        let (open, frames) = (HashMap::new(), FrameCache::new(FRAMES));
        let archives = Arc::new(Archives::new(archives));
        Contents { archives, open, frames, pool: None, pieces_max: PIECES_MAX, gathered_max: GATHERED_MAX }
    }

    /// Decodes frames on `pool`, as far ahead as memory allows.
    pub fn with_pool(self, pool: Arc<Pool>) -> Self {
        Contents { pool: Some(pool), ..self }
    }

    /// Hands the data of a file (its extents, concatenated) to `sink`, in order. The caller checks its hash. The
    /// outer error is the sink's, or says nothing about stored bytes; the inner one costs this content.
    pub fn read(
        &mut self,
        store: &mut dyn Store,
        entry: &Entry,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Result<()>> {
        let mut refused = None;
        let mut sink = |bytes: &[u8]| sink(bytes).inspect_err(|error| refused = Some(error.clone()));
        let layout = Layout::of(self, store, entry);
        let read = layout.and_then(|layout| layout.read(self, store, 0, u64::MAX, &mut sink));
        match (read, refused) {
            (_, Some(error)) => Err(error),
            (Err(error), None) if error.ends_reading() => Err(error),
            (read, None) => Ok(read),
        }
    }

    /// Fetches all that a content is made of, so that any thread can make it. For small ones: everything is
    /// held until then. `None` if that is too much: many deltas, each in a frame of its own.
    pub(super) fn gather(&mut self, store: &mut dyn Store, entry: &Entry) -> Result<Option<Gathered>> {
        let mut ranges = Vec::with_capacity(entry.place.content.len());
        let mut held = 0;
        for range in &entry.place.content {
            let mut slices = Vec::new();
            for part in self.index(store, range.archive)?.parts(range.offset, range.len)? {
                let id = (range.archive, part.frame);
                let slice = Slice { id, frame: self.frame(store, id)?, bytes: part.bytes };
                held += slice.frame.len().max(SLICE_MIN);
                if held > self.gathered_max {
                    return Ok(None);
                }
                slices.push(slice);
            }
            ranges.push(slices);
        }
        Ok(Some(Gathered::new(ranges)))
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
                Err(refused) => {
                    return Err(error.unwrap_or_else(|| self.archives.bad_delta(entry, delta, &refused)))
                }
            };
        }
        self.archives.check_len(entry, plan.content_len())?;
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
        let trouble = |e: io::Error| Error::own("use a temporary file for", &e).at(&entry.path);
        let mut basis = tempfile::tempfile().map_err(trouble)?;
        self.each(store, std::iter::once(*whole), &mut |bytes| basis.write_all(bytes).map_err(trouble))?;
        let mut len = whole.len;
        for delta in deltas {
            let mut out = BufWriter::with_capacity(1 << 16, tempfile::tempfile().map_err(trouble)?);
            let mut reader = RangeReader::new(self, store, *delta);
            let made =
                delta::patch_up_to(&mut basis, &mut BufReader::new(&mut reader), len, &mut out, u64::MAX);
            let error = reader.error;
            len = made.map_err(|refused| match (error, refused) {
                (Some(error), _) => error,
                (None, delta::Error::Io(error)) => trouble(error),
                (None, refused) => self.archives.bad_delta(entry, delta, &refused),
            })?;
            basis = out.into_inner().map_err(|e| trouble(e.into_error()))?;
        }
        self.archives.check_len(entry, len)?;
        Ok(basis)
    }

    /// The error of a content that was read whole and is not what was backed up.
    pub fn differs(&self, entry: &Entry, file: &File) -> Error {
        self.archives.differs(entry, file)
    }

    pub(super) fn archives(&self) -> &Arc<Archives> {
        &self.archives
    }

    /// Hands ranges of archives' streams to `sink`, one after the other.
    pub(super) fn each(
        &mut self,
        store: &mut dyn Store,
        ranges: impl Iterator<Item = Range> + Clone,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut ahead = Ahead::new(ranges.clone());
        for range in ranges {
            let index = self.index(store, range.archive)?;
            for part in index.parts(range.offset, range.len)? {
                self.part(store, &mut ahead, range.archive, part, sink)?;
            }
        }
        Ok(())
    }

    fn part<I: Iterator<Item = Range>>(
        &mut self,
        store: &mut dyn Store,
        ahead: &mut Ahead<I>,
        archive: u32,
        part: Part,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let id = (archive, part.frame);
        let frame = self.frame(store, id)?;
        ahead.follow(id, self, store)?;
        sink(&frame.bytes()?[part.bytes])
    }

    /// A frame, from the store if it was not used lately.
    pub(super) fn frame(&mut self, store: &mut dyn Store, (archive, number): FrameId) -> Result<Arc<Frame>> {
        if let Some(held) = self.frames.get(archive, number) {
            return Ok(held);
        }
        let index = self.index(store, archive)?;
        let name = &self.archives.get(archive)?.name;
        let mut file = StoredFile { store, name };
        index.load(&mut file, &mut self.frames, archive, number).map_err(|error| in_archive(error, name))
    }

    pub(super) fn holds(&mut self, (archive, number): FrameId) -> bool {
        self.frames.get(archive, number).is_some()
    }

    /// Lets the pool decode a frame, if there is one.
    pub(super) fn decode(&self, frame: Arc<Frame>) {
        if let Some(pool) = &self.pool {
            // Whoever wants the bytes asks the frame for them, and for the error.
            drop(pool.run(move || drop(frame.bytes())));
        }
    }

    pub(super) fn has_pool(&self) -> bool {
        self.pool.is_some()
    }

    /// The seek table of an archive.
    pub(super) fn index(&mut self, store: &mut dyn Store, archive: u32) -> Result<Arc<FrameIndex>> {
        match self.open.entry(archive) {
            Slot::Occupied(open) => Ok(open.get().clone()),
            Slot::Vacant(free) => {
                let named = self.archives.get(archive)?;
                let mut file = StoredFile { store, name: &named.name };
                let opened = FrameIndex::open(&mut file, &named.name, named.size, named.compressed());
                let opened = opened.map_err(|error| in_archive(error, &named.name))?;
                Ok(free.insert(Arc::new(opened)).clone())
            }
        }
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
    ahead: Ahead<std::iter::Once<Range>>,
    /// Where the range starts in the frame that is read, how much of it is left, and its bytes.
    bytes: Arc<Decoded>,
    left: std::ops::Range<usize>,
    /// What a failed read really was.
    error: Option<Error>,
}

impl<'c, 's> RangeReader<'c, 's> {
    fn new(contents: &'c mut Contents, store: &'s mut dyn Store, range: Range) -> Self {
        let ahead = Ahead::new(std::iter::once(range));
        RangeReader { contents, store, range, ahead, bytes: Arc::default(), left: 0..0, error: None }
    }

    /// Takes in what the next frame has of the range.
    fn fetch(&mut self) -> Result<()> {
        let Range { archive, offset, len } = self.range;
        let next = self.contents.index(self.store, archive)?.parts(offset, len)?.next();
        let Some(Part { frame, bytes }) = next else { return Ok(()) };
        let held = self.contents.frame(self.store, (archive, frame))?;
        self.ahead.follow((archive, frame), self.contents, self.store)?;
        self.bytes = held.bytes()?;
        let taken = bytes.len() as u64;
        self.range = Range { archive, offset: offset + taken, len: len - taken };
        self.left = bytes;
        Ok(())
    }
}

impl Read for RangeReader<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() && self.range.len > 0 {
            if let Err(error) = self.fetch() {
                self.error = Some(error);
                return Err(io::Error::other("the archive could not be read"));
            }
        }
        let count = out.len().min(self.left.len());
        let from = self.left.start;
        out[..count].copy_from_slice(&self.bytes[from..from + count]);
        self.left.start += count;
        Ok(count)
    }
}
