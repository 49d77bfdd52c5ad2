//! Reads contents out of archives: a whole copy, or a whole copy composed with its deltas, so that each byte is read
//! and written once. [`Layout`] holds the places of one content's bytes. [`FetchedContent`] is a small content that
//! any thread can make.

use std::collections::hash_map::{Entry as Slot, HashMap};
use std::io::{self, Read};
use std::sync::Arc;

use crate::delta::{self, Plan};
use crate::entry::{Entry, File, Place, Range, SigRef};
use crate::error::{Error, Kind, Result};
use crate::format::{ArchiveRef, Decoded, FRAME_LEN, Frame, FrameCache, FrameIndex, FramePart};
use crate::job::Cancel;
use crate::pool::Pool;
use crate::spool::spool_error;
use crate::store::{NEW_FULL, Store, StoredFile};

use super::archives::{FileRange, StateArchives};
use super::by_frame;
use super::chain::{Chain, ChainBuilder};
use super::decoded_spool::{DecodedSpool, LEN_MIN};
use super::fetched::{FetchedContent, HELD_FRAME, Slice};
use super::frames_ahead::FramesAhead;
use super::joined::Joined;
use super::layout::Layout;
use super::prefetch::Prefetch;
use super::read_cost::ReadCost;
use super::signature::SignatureLen;

/// Memory for the frames that are kept, for all archives together, as a number of frames of [`FRAME_LEN`] bytes. Whole
/// copies in path order need one frame, but deltas jump between frames.
const FRAMES: usize = 10;
/// Greatest number of decoded bytes in frames fetched ahead.
const BYTES_AHEAD: u64 = 16 << 20;
/// Greatest number of pieces of a composed content in memory. A piece takes 32 bytes, and twice that while the next
/// delta is composed or while the pieces are read in the order of their frames. The commands of longer chains go
/// through a temporary file.
const PIECES_MAX: usize = 1 << 20;
/// Greatest length, in bytes, of a content that is put together in memory when its pieces are read in the order of
/// their frames.
const MEMORY_MAX: u64 = 16 << 20;

/// Greatest length, in bytes, of the temporary file with decoded frames.
const DECODED_MAX: u64 = 1 << 30;

/// Greatest memory, in bytes, of the frames that are held for one small content.
const FETCHED_MAX: usize = 40 << 20;

/// Limits for reading. Tests use smaller limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadLimits {
    pub pieces_max: usize,
    pub fetched_max: usize,
    pub memory_max: u64,
    /// Memory for the frames that are kept, as a number of frames of [`FRAME_LEN`] bytes.
    pub frames: usize,
    /// Greatest number of decoded bytes in frames fetched ahead. Longer frames are never fetched ahead.
    pub ahead: u64,
    /// Greatest length, in bytes, of the temporary file with decoded frames. With 0, there is no such file.
    pub decoded_max: u64,
    /// Pieces are read in another order only if more than this number of bytes would be decoded again.
    pub repeated: u64,
}

impl Default for ReadLimits {
    fn default() -> Self {
        ReadLimits {
            pieces_max: PIECES_MAX,
            fetched_max: FETCHED_MAX,
            memory_max: MEMORY_MAX,
            frames: FRAMES,
            ahead: BYTES_AHEAD,
            decoded_max: DECODED_MAX,
            repeated: 2 * FRAME_LEN as u64,
        }
    }
}

/// A frame: the number of its file (see [`StateArchives`]) and its own number there.
pub type FrameId = (u32, usize);
/// In place of the number of a file: a slice that takes memory of its own. No file has this number.
const ALONE: u32 = u32::MAX;

/// The archives of one state. Each of their files is opened when it is first needed.
pub struct Contents {
    archives: Arc<StateArchives>,
    /// The seek tables, by the number of the file.
    open: HashMap<u32, Arc<FrameIndex>>,
    frames: FrameCache,
    /// Frames that were decoded twice.
    decoded: DecodedSpool,
    /// Number of slices that [`Contents::gather`] read from `decoded`. Each of them gets another number as its id.
    alone: usize,
    ahead: FramesAhead,
    /// Decodes frames ahead of the reader.
    pool: Option<Arc<Pool>>,
    cancel: Cancel,
    pub(super) limits: ReadLimits,
    /// Decoded length, in bytes, of the frames taken out of the store.
    pub(super) fetched: u64,
}

impl Contents {
    pub fn new(archives: &[ArchiveRef]) -> Self {
        Contents::within(archives, ReadLimits::default())
    }

    pub(super) fn within(archives: &[ArchiveRef], limits: ReadLimits) -> Self {
        Contents {
            archives: Arc::new(StateArchives::new(archives)),
            open: HashMap::new(),
            frames: FrameCache::new(limits.frames),
            decoded: DecodedSpool::new(limits.decoded_max),
            alone: 0,
            ahead: FramesAhead::default(),
            pool: None,
            cancel: Cancel::default(),
            limits,
            fetched: 0,
        }
    }

    /// Stops fetching frames when `cancel` is requested, also in the middle of a long content.
    pub fn with_cancel(self, cancel: &Cancel) -> Self {
        Contents { cancel: cancel.clone(), ..self }
    }

    /// Decodes frames on `pool`, as far ahead of the reader as the memory limit allows.
    pub fn with_pool(self, pool: Arc<Pool>) -> Self {
        Contents { pool: Some(pool), ..self }
    }

    /// Most of each archive will be read: the store begins to read frames ahead with the first frame of a file.
    /// Otherwise it begins after two frames that follow each other.
    pub fn reading_all(mut self, reads_all: bool) -> Self {
        self.ahead.reads_all = reads_all;
        self
    }

    /// Keeps frames of at most `frames` times [`FRAME_LEN`] bytes, and fetches half as many bytes ahead. For operations
    /// that also need memory for other data.
    pub fn with_frames(mut self, frames: usize) -> Self {
        self.limits.frames = frames;
        self.limits.ahead = (frames / 2 * FRAME_LEN) as u64;
        self.frames = FrameCache::new(frames);
        self
    }

    /// Decoded bytes of all frames that were fetched so far. A frame counts each time that it is fetched.
    pub fn fetched_bytes(&self) -> u64 {
        self.fetched
    }

    /// Passes the data of a file (its extents, concatenated) to `sink`, in order. The caller checks the hash. The
    /// outer error ends all reading: it comes from the sink, or has nothing to do with stored bytes. The inner error
    /// means that this content is lost.
    pub fn read(
        &mut self,
        store: &mut dyn Store,
        entry: &Entry,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Result<()>> {
        let layout = Layout::of(self, store, entry);
        self.read_layout(store, layout, sink)
    }

    /// Passes the signature of a file to `sink`, in order. The caller checks the hash. Errors as for
    /// [`Contents::read`].
    pub fn read_signature(
        &mut self,
        store: &mut dyn Store,
        entry: &Entry,
        sig: &SigRef,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Result<()>> {
        let len_max = SignatureLen::of(sig).check(entry.file().map_or(0, File::data_len));
        let place = Place { content: sig.content.clone(), ..Place::default() };
        let signature = Entry { place, ..entry.clone() };
        let layout = len_max.and_then(|len_max| {
            let layout = Layout::within(self, store, &signature, len_max)?;
            let too_long = || Error::new(Kind::Corrupt, "read a signature", "its deltas make it too long");
            (layout.len() <= len_max).then_some(layout).ok_or_else(too_long)
        });
        self.read_layout(store, layout, sink)
    }

    fn read_layout(
        &mut self,
        store: &mut dyn Store,
        layout: Result<Layout>,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Result<()>> {
        let mut refused = None;
        let mut sink = |bytes: &[u8]| sink(bytes).inspect_err(|error| refused = Some(error.clone()));
        let read = layout.and_then(|mut layout| layout.read(self, store, 0, u64::MAX, &mut sink));
        match (read, refused) {
            (_, Some(error)) => Err(error),
            (Err(error), None) if error.ends_reading() => Err(error),
            (read, None) => Ok(read),
        }
    }

    /// Fetches all frames of a content, so that any thread can make the content later. Only for small contents,
    /// because all frames stay in memory until then. `None` if the frames take too much memory, for example many
    /// deltas with a frame each.
    pub(crate) fn gather(&mut self, store: &mut dyn Store, entry: &Entry) -> Result<Option<FetchedContent>> {
        let archives = Arc::clone(&self.archives);
        let mut ranges = Vec::with_capacity(entry.place.content.len());
        let mut held = 0;
        for range in &entry.place.content {
            let mut slices = Vec::new();
            for range in archives.in_files(*range) {
                if !self.gather_range(store, range, &mut slices, &mut held)? {
                    return Ok(None);
                }
            }
            ranges.push(slices);
        }
        Ok(Some(FetchedContent::new(ranges)))
    }

    /// Fetches the frames of a range. Adds the memory that they take to `held`. False if that is too much.
    fn gather_range(
        &mut self,
        store: &mut dyn Store,
        range: FileRange,
        slices: &mut Vec<Slice>,
        held: &mut usize,
    ) -> Result<bool> {
        let index = self.index(store, range.file)?;
        // Checked before the frames are fetched, because a range may have millions of them.
        if index.frames_in(range.offset, range.len) > self.limits.fetched_max / HELD_FRAME {
            return Ok(false);
        }
        for part in index.parts(range.offset, range.len)? {
            let id = (range.file, part.frame);
            let (stored, decoded) = (index.stored(part.frame), index.span(part.frame));
            let is_alone = !self.holds(id) && self.decoded.has(id);
            let longer = match is_alone {
                true => part.bytes.len() as u64,
                false => (stored.end - stored.start).max(decoded.end - decoded.start),
            };
            let memory = usize::try_from(longer).unwrap_or(usize::MAX).saturating_add(HELD_FRAME);
            *held = memory.saturating_add(*held);
            if *held > self.limits.fetched_max {
                return Ok(false);
            }
            let (frame, bytes) = self.part_in(store, id, part.bytes)?;
            self.alone += usize::from(is_alone);
            let id = if is_alone { (ALONE, self.alone) } else { id };
            slices.push(Slice { id, frame, bytes, memory });
        }
        Ok(true)
    }

    /// Finds the place of each byte of a content. `None` if the content has too many pieces. Each delta is read once,
    /// for its commands, and may make at most `len_max` bytes.
    pub(super) fn compose(
        &mut self,
        store: &mut dyn Store,
        entry: &Entry,
        whole: &Range,
        deltas: &[Range],
        len_max: u64,
    ) -> Result<Option<Plan>> {
        let pieces_max = self.limits.pieces_max;
        let mut plan = Plan::whole(whole.len);
        for (index, delta) in deltas.iter().enumerate() {
            let mut reader = RangeReader::new(self, store, *delta);
            let applied = plan.apply(index as u32 + 1, &mut reader, len_max, pieces_max);
            let error = reader.error;
            plan = match applied {
                Ok(plan) => plan,
                Err(delta::Error::TooManyPieces { .. }) => return Ok(None),
                Err(refused) => {
                    return Err(error.unwrap_or_else(|| self.archives.bad_delta(entry, delta, &refused)));
                }
            };
        }
        Ok(Some(plan))
    }

    /// Reads the commands of each delta into a temporary file, so that memory is bounded for any number of commands.
    pub(super) fn chain(
        &mut self,
        store: &mut dyn Store,
        entry: &Entry,
        whole: &Range,
        deltas: &[Range],
    ) -> Result<Chain> {
        let mut builder = ChainBuilder::new(whole.len)?;
        for delta in deltas {
            let mut reader = RangeReader::new(self, store, *delta);
            let added = builder.add(&mut reader);
            let error = reader.error;
            added.map_err(|refused| match (error, refused) {
                (Some(error), _) => error,
                (None, delta::Error::Io(error)) => spool_error(&error),
                (None, refused) => self.archives.bad_delta(entry, delta, &refused),
            })?;
        }
        Ok(builder.finish())
    }

    /// Passes pieces of a content to `sink`, in order. If many frames would be decoded more than once, reads the pieces
    /// in the order of the frames (see [`by_frame`]).
    pub(super) fn pieces(
        &mut self,
        store: &mut dyn Store,
        pieces: impl Iterator<Item = Range> + Clone,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        if ReadCost::of(self, store, pieces.clone())?.is_too_high(&self.limits) {
            return by_frame::read(self, store, pieces, sink);
        }
        let mut joined = Joined::new(sink);
        self.each(store, pieces, &mut |bytes| joined.take(bytes))?;
        joined.flush()
    }

    /// The error for a content that was read completely and differs from the backed-up content.
    pub fn differs(&self, entry: &Entry, file: &File) -> Error {
        self.archives.differs(entry, file)
    }

    pub(crate) fn archives(&self) -> &Arc<StateArchives> {
        &self.archives
    }

    /// Passes ranges of archives' streams to `sink`, one after the other.
    pub(super) fn each(
        &mut self,
        store: &mut dyn Store,
        ranges: impl Iterator<Item = Range> + Clone,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let archives = Arc::clone(&self.archives);
        let ranges = ranges.flat_map(|range| archives.in_files(range));
        let mut frames = Prefetch::new(ranges.clone());
        for range in ranges {
            let index = self.index(store, range.file)?;
            for part in index.parts(range.offset, range.len)? {
                self.part(store, &mut frames, range.file, part, sink)?;
            }
        }
        Ok(())
    }

    fn part<I: Iterator<Item = FileRange>>(
        &mut self,
        store: &mut dyn Store,
        frames: &mut Prefetch<I>,
        file: u32,
        part: FramePart,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let id = (file, part.frame);
        let (frame, bytes) = self.part_in(store, id, part.bytes)?;
        frames.follow(id, self, store)?;
        sink(&frame.bytes()?[bytes])
    }

    /// Returns a frame that has the bytes `part` of the frame `id`, and the range of these bytes in the returned frame.
    /// If the part comes from the temporary file, the returned frame has no other bytes.
    fn part_in(
        &mut self,
        store: &mut dyn Store,
        id: FrameId,
        part: std::ops::Range<usize>,
    ) -> Result<(Arc<Frame>, std::ops::Range<usize>)> {
        if let Some(held) = self.frames.get(id.0, id.1) {
            return Ok((held, part));
        }
        match self.decoded.read(id, part.clone()) {
            Some(bytes) => Ok((Arc::new(Frame::of(bytes)), 0..part.len())),
            None => Ok((self.frame(store, id)?, part)),
        }
    }

    /// Returns a frame, from the store if it is not in the frame cache.
    pub(super) fn frame(&mut self, store: &mut dyn Store, (file, number): FrameId) -> Result<Arc<Frame>> {
        if let Some(held) = self.frames.get(file, number) {
            return Ok(held);
        }
        if self.cancel.requested() {
            return Err(Error::cancelled());
        }
        let index = self.index(store, file)?;
        let name = &self.archives.file(file)?.name;
        let mut stored = StoredFile { store, name };
        let span = index.span(number);
        self.fetched += span.end - span.start;
        self.ahead.fetching(stored.store, &index, (file, number));
        let loaded = index.load(&mut stored, &mut self.frames, file, number);
        let frame = loaded.map_err(|error| in_archive(error, name))?;
        let is_costly = index.is_compressed() && span.end - span.start >= LEN_MIN;
        if is_costly && self.decoded.wants((file, number), index.count()) {
            // If the frame is damaged, the reader of the frame gets the error.
            if let Ok(bytes) = frame.bytes() {
                self.decoded.write((file, number), &bytes);
            }
        }
        Ok(frame)
    }

    /// True if the frame is in the frame cache or in the temporary file, so that it need not be fetched.
    pub(super) fn has_decoded(&mut self, id: FrameId) -> bool {
        self.holds(id) || self.decoded.has(id)
    }

    fn holds(&mut self, (file, number): FrameId) -> bool {
        self.frames.get(file, number).is_some()
    }

    /// Decodes a frame on the pool, if there is a pool.
    pub(super) fn decode(&self, frame: Arc<Frame>) {
        if let Some(pool) = &self.pool {
            // The frame keeps its bytes or its error for the reader.
            drop(pool.run(move || drop(frame.bytes())));
        }
    }

    pub(super) fn has_pool(&self) -> bool {
        self.pool.is_some()
    }

    /// The seek table of a file.
    pub(super) fn index(&mut self, store: &mut dyn Store, file: u32) -> Result<Arc<FrameIndex>> {
        match self.open.entry(file) {
            Slot::Occupied(open) => Ok(open.get().clone()),
            Slot::Vacant(free) => {
                let name = &self.archives.file(file)?.name;
                let opened = self.archives.open(&mut StoredFile { store, name }, file);
                let opened = opened.map_err(|error| in_archive(error, name))?;
                Ok(free.insert(Arc::new(opened)).clone())
            }
        }
    }
}

/// Adds the archive's name to an error. An archive that a state names and the store does not have is `Missing`.
fn in_archive(error: Error, name: &str) -> Error {
    match error.kind {
        Kind::NotFound => {
            let detail = format!("the archive is gone; {NEW_FULL}");
            Error { kind: Kind::Missing, detail, ..error }.at(name)
        }
        Kind::Io => error.at(name),
        _ => error,
    }
}

/// A reader over a range of an archive.
struct RangeReader<'c, 's> {
    contents: &'c mut Contents,
    store: &'s mut dyn Store,
    range: Range,
    frames: Prefetch<std::vec::IntoIter<FileRange>>,
    /// The decoded frame that is being read. `left` is the part of the frame that is still to be read.
    bytes: Arc<Decoded>,
    left: std::ops::Range<usize>,
    /// The cause of a failed read. `io::Error` cannot carry it.
    error: Option<Error>,
}

impl<'c, 's> RangeReader<'c, 's> {
    fn new(contents: &'c mut Contents, store: &'s mut dyn Store, range: Range) -> Self {
        let ranges: Vec<_> = contents.archives.in_files(range).collect();
        let frames = Prefetch::new(ranges.into_iter());
        RangeReader { contents, store, range, frames, bytes: Arc::default(), left: 0..0, error: None }
    }

    /// Gets the next frame's part of the range.
    fn fetch(&mut self) -> Result<()> {
        let first = self.contents.archives.in_files(self.range).next();
        let Some(FileRange { file, offset, len }) = first else { return Ok(()) };
        let next = self.contents.index(self.store, file)?.parts(offset, len)?.next();
        let Some(FramePart { frame, bytes }) = next else { return Ok(()) };
        let taken = bytes.len() as u64;
        let (held, bytes) = self.contents.part_in(self.store, (file, frame), bytes)?;
        self.frames.follow((file, frame), self.contents, self.store)?;
        self.bytes = held.bytes()?;
        let Range { archive, offset, len } = self.range;
        self.range = Range { archive, offset: offset + taken, len: len - taken };
        self.left = bytes;
        Ok(())
    }
}

impl Read for RangeReader<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty()
            && self.range.len > 0
            && let Err(error) = self.fetch()
        {
            self.error = Some(error);
            return Err(io::Error::other("the archive could not be read"));
        }
        let count = out.len().min(self.left.len());
        let from = self.left.start;
        out[..count].copy_from_slice(&self.bytes[from..from + count]);
        self.left.start += count;
        Ok(count)
    }
}
