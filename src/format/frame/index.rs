//! The positions of a file's frames. Reading has three steps, which may run on different threads:
//! [`FrameIndex::locate`] and [`Frame::bytes`] on any thread, [`FrameIndex::fetch`] on the thread that owns
//! the store.

use std::ops::Range;
use std::sync::Arc;

use super::ends::TailInMemory;
use super::table::{self, Starts, read_full};
use super::{Frame, FrameCache, SHORT_FRAME_LEN};
use crate::error::{Error, Kind, Result};
use crate::format::ReadAt;

/// Bytes at the end of a file that are read with one call: the table of about 500 frames, which may hold 2 GB. The rest
/// of a longer table is read after that.
pub const TABLE_LEN: u64 = 4096;

/// The checked seek table of one file. It never changes, so threads may share it through an `Arc`.
#[derive(Debug)]
pub struct FrameIndex {
    name: Arc<str>,
    frames: Frames,
}

#[derive(Debug)]
enum Frames {
    /// A compressed file.
    Zstd(Starts),
    /// The size in bytes of a file without compression. Each [`SHORT_FRAME_LEN`] bytes of the file count as a frame.
    Plain(u64),
}

/// A range of one frame's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FramePart {
    pub frame: usize,
    /// Offsets from the frame's first uncompressed byte.
    pub bytes: Range<usize>,
}

impl FrameIndex {
    /// Reads and checks the seek table of a file of `size` stored bytes. Errors name the file `name`.
    pub fn open(source: &mut dyn ReadAt, name: &str, size: u64, compressed: bool) -> Result<Self> {
        let frames = match compressed {
            true => {
                // Where each call takes long, one call reads the table, and some bytes before it.
                Frames::Zstd(match source.is_far() {
                    true => table::read(&mut TailInMemory::read(source, name, size, TABLE_LEN)?, name, size)?,
                    false => table::read(source, name, size)?,
                })
            }
            false => Frames::Plain(size),
        };
        Ok(FrameIndex { name: name.into(), frames })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn is_compressed(&self) -> bool {
        matches!(self.frames, Frames::Zstd(_))
    }

    /// Bytes of the uncompressed stream.
    pub fn stream_len(&self) -> u64 {
        match &self.frames {
            Frames::Zstd(starts) => starts.last().map_or(0, |end| end.1),
            Frames::Plain(size) => *size,
        }
    }

    /// The number of frames.
    pub fn count(&self) -> usize {
        match &self.frames {
            Frames::Zstd(starts) => starts.len() - 1,
            Frames::Plain(size) => size.div_ceil(SHORT_FRAME_LEN as u64) as usize,
        }
    }

    /// The number of the frame that holds the stream's byte at `offset`; `None` at or past the end.
    pub fn locate(&self, offset: u64) -> Option<usize> {
        if offset >= self.stream_len() {
            return None;
        }
        Some(match &self.frames {
            Frames::Zstd(starts) => starts.partition_point(|start| start.1 <= offset) - 1,
            Frames::Plain(_) => (offset / SHORT_FRAME_LEN as u64) as usize,
        })
    }

    /// Number of frames that hold at least one of the `len` stream bytes from `offset`.
    pub fn frames_in(&self, offset: u64, len: u64) -> usize {
        let last = offset.saturating_add(len).min(self.stream_len()).checked_sub(1);
        match (self.locate(offset), last.and_then(|last| self.locate(last))) {
            (Some(first), Some(last)) if first <= last => last - first + 1,
            _ => 0,
        }
    }

    /// The range of the stream that `frame` holds; empty for a frame that does not exist.
    pub fn span(&self, frame: usize) -> Range<u64> {
        match &self.frames {
            Frames::Zstd(starts) => {
                starts.get(frame..frame.saturating_add(2)).map_or(0..0, |pair| pair[0].1..pair[1].1)
            }
            Frames::Plain(size) => {
                let start = (frame as u64).saturating_mul(SHORT_FRAME_LEN as u64).min(*size);
                start..start.saturating_add(SHORT_FRAME_LEN as u64).min(*size)
            }
        }
    }

    /// The range of the file in which `frame` is stored; empty for a frame that does not exist.
    pub fn stored(&self, frame: usize) -> Range<u64> {
        match &self.frames {
            Frames::Zstd(starts) => {
                starts.get(frame..frame.saturating_add(2)).map_or(0..0, |pair| pair[0].0..pair[1].0)
            }
            Frames::Plain(_) => self.span(frame),
        }
    }

    /// Reads the stored bytes of `frame`. [`Frame::bytes`] decompresses them later, on any thread.
    pub fn fetch(&self, source: &mut dyn ReadAt, frame: usize) -> Result<Frame> {
        let (stored, span) = (self.stored(frame), self.span(frame));
        let mut bytes = table::zeros(&self.name, (stored.end - stored.start) as usize)?;
        read_full(source, &self.name, stored.start, &mut bytes)?;
        let (len, compressed) = ((span.end - span.start) as usize, self.is_compressed());
        Ok(Frame::new(self.name.clone(), stored.start, len, compressed, bytes))
    }

    /// Returns `frame` from `cache`, or fetches it into `cache`. `id` is the number of this file among the
    /// files that share the cache.
    pub fn load(
        &self,
        source: &mut dyn ReadAt,
        cache: &mut FrameCache,
        id: u32,
        frame: usize,
    ) -> Result<Arc<Frame>> {
        if let Some(hit) = cache.get(id, frame) {
            return Ok(hit);
        }
        let fetched = self.fetch(source, frame)?.with_buffers(cache.buffers.clone());
        let fetched = Arc::new(fetched);
        cache.put(id, frame, fetched.clone());
        Ok(fetched)
    }

    /// Splits the `len` stream bytes from `offset` into the parts of frames that hold them, in order. If the
    /// range ends past the stream, the error is `Corrupt`.
    pub fn parts(&self, offset: u64, len: u64) -> Result<impl Iterator<Item = FramePart> + '_> {
        self.check_range(offset, len)?;
        let (mut at, end) = (offset, offset + len);
        // Only the first frame is searched. The others follow it, and a search for each would take long, because a
        // range may have millions of frames.
        let mut next = self.locate(at);
        Ok(std::iter::from_fn(move || {
            let frame = next.filter(|_| at < end)?;
            next = Some(frame + 1);
            let span = self.span(frame);
            let stop = end.min(span.end);
            let bytes = (at - span.start) as usize..(stop - span.start) as usize;
            at = stop;
            Some(FramePart { frame, bytes })
        }))
    }

    /// Passes `len` bytes of the stream from `offset` to `each`, in order, in pieces of at most one frame. A
    /// frame that `cache` holds under `id` is not decoded again. If the range ends past the stream, the error
    /// is `Corrupt` and `each` is not called.
    pub fn read(
        &self,
        source: &mut dyn ReadAt,
        cache: &mut FrameCache,
        id: u32,
        offset: u64,
        len: u64,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        for part in self.parts(offset, len)? {
            let bytes = self.load(source, cache, id, part.frame)?.bytes()?;
            each(&bytes[part.bytes])?;
        }
        Ok(())
    }

    /// Checks that a range lies inside the stream. If not, the error is `Corrupt`.
    pub fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.stream_len() => Ok(()),
            _ => Err(Error::new(
                Kind::Corrupt,
                "read",
                format!("{len} bytes at {offset} lie past the stream's {} bytes", self.stream_len()),
            )
            .at(&*self.name)),
        }
    }
}
