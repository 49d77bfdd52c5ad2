//! Where the frames of a file lie. Reading is three steps that may run on different threads:
//! [`FrameIndex::locate`], [`FrameIndex::fetch`] (the store's thread), [`Frame::bytes`] (any).

use std::ops::Range;
use std::sync::Arc;

use super::table::{self, read_full, Starts};
use super::{Frame, FrameCache, SHORT_FRAME_LEN};
use crate::error::{Error, Kind, Result};
use crate::format::ReadAt;

/// The seek table of one file, checked. Immutable; share it through an `Arc`.
#[derive(Debug)]
pub struct FrameIndex {
    name: Arc<str>,
    frames: Frames,
}

#[derive(Debug)]
enum Frames {
    /// Starts of each frame in the file and in the stream, and their ends.
    Zstd(Starts),
    /// Not compressed: this many bytes.
    Plain(u64),
}

/// Some bytes of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub frame: usize,
    /// Counted from the frame's first.
    pub bytes: Range<usize>,
}

impl FrameIndex {
    /// Reads and checks the seek table of a file of `size` bytes. `name` stands in errors.
    pub fn open(source: &mut dyn ReadAt, name: &str, size: u64, compressed: bool) -> Result<Self> {
        let frames = match compressed {
            true => Frames::Zstd(table::read(source, name, size)?),
            false => Frames::Plain(size),
        };
        Ok(FrameIndex { name: name.into(), frames })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of the uncompressed stream.
    pub fn stream_len(&self) -> u64 {
        match &self.frames {
            Frames::Zstd(starts) => starts.last().map_or(0, |end| end.1),
            Frames::Plain(size) => *size,
        }
    }

    /// How many frames there are.
    pub fn count(&self) -> usize {
        match &self.frames {
            Frames::Zstd(starts) => starts.len() - 1,
            Frames::Plain(size) => size.div_ceil(SHORT_FRAME_LEN as u64) as usize,
        }
    }

    /// The frame that holds the stream's byte at `offset`; `None` past the end.
    pub fn locate(&self, offset: u64) -> Option<usize> {
        if offset >= self.stream_len() {
            return None;
        }
        Some(match &self.frames {
            Frames::Zstd(starts) => starts.partition_point(|start| start.1 <= offset) - 1,
            Frames::Plain(_) => (offset / SHORT_FRAME_LEN as u64) as usize,
        })
    }

    /// How many frames hold some of the `len` bytes at `offset`.
    pub fn frames_in(&self, offset: u64, len: u64) -> usize {
        let last = offset.saturating_add(len).min(self.stream_len()).checked_sub(1);
        match (self.locate(offset), last.and_then(|last| self.locate(last))) {
            (Some(first), Some(last)) if first <= last => last - first + 1,
            _ => 0,
        }
    }

    /// The part of the stream that `frame` holds; empty for a frame that does not exist.
    pub fn span(&self, frame: usize) -> Range<u64> {
        match &self.frames {
            Frames::Zstd(starts) => starts.get(frame..frame + 2).map_or(0..0, |pair| pair[0].1..pair[1].1),
            Frames::Plain(size) => {
                let start = (frame as u64).saturating_mul(SHORT_FRAME_LEN as u64).min(*size);
                start..start.saturating_add(SHORT_FRAME_LEN as u64).min(*size)
            }
        }
    }

    /// The part of the file that `frame` is stored in.
    pub fn stored(&self, frame: usize) -> Range<u64> {
        match &self.frames {
            Frames::Zstd(starts) => starts.get(frame..frame + 2).map_or(0..0, |pair| pair[0].0..pair[1].0),
            Frames::Plain(_) => self.span(frame),
        }
    }

    /// Reads the stored bytes of `frame`. Its own bytes are made when they are asked for, on any thread.
    pub fn fetch(&self, source: &mut dyn ReadAt, frame: usize) -> Result<Frame> {
        let (stored, span) = (self.stored(frame), self.span(frame));
        let mut bytes = table::zeros(&self.name, (stored.end - stored.start) as usize)?;
        read_full(source, &self.name, stored.start, &mut bytes)?;
        let (len, compressed) = ((span.end - span.start) as usize, matches!(self.frames, Frames::Zstd(_)));
        Ok(Frame::new(self.name.clone(), stored.start, len, compressed, bytes))
    }

    /// `frame`, from `cache` if it is there. `id` tells this file from others that share the cache.
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

    /// Where the `len` bytes of the stream from `offset` lie: frames in order, and which of each one's bytes.
    /// A range that ends past the stream is `Corrupt`.
    pub fn parts(&self, offset: u64, len: u64) -> Result<impl Iterator<Item = Part> + '_> {
        self.check_range(offset, len)?;
        let (mut at, end) = (offset, offset + len);
        // Found once: a range may have millions of frames.
        let mut next = self.locate(at);
        Ok(std::iter::from_fn(move || {
            let frame = next.filter(|_| at < end)?;
            next = Some(frame + 1);
            let span = self.span(frame);
            let stop = end.min(span.end);
            let bytes = (at - span.start) as usize..(stop - span.start) as usize;
            at = stop;
            Some(Part { frame, bytes })
        }))
    }

    /// Hands `len` bytes of the stream from `offset` to `each`, in order, in pieces of at most a frame,
    /// decoding no frame that `cache` holds under `id`. A range that ends past the stream is `Corrupt`, and
    /// nothing is handed out.
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

    /// Checks that a range lies inside the stream; `Corrupt` if not.
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
