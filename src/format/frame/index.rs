//! Where the frames of a file lie. Reading is three steps that may run on different threads:
//! [`FrameIndex::locate`], [`FrameIndex::fetch`] (the store's thread), [`FrameIndex::decode`] (any).

use std::ops::Range;
use std::sync::Arc;

use super::table::{self, corrupt, read_full, Starts};
use super::{codec, FrameCache, SHORT_FRAME_LEN};
use crate::error::{Error, Kind, Result};
use crate::format::ReadAt;

/// The seek table of one file, checked. Immutable; share it through an `Arc`.
#[derive(Debug)]
pub struct FrameIndex {
    name: String,
    frames: Frames,
}

#[derive(Debug)]
enum Frames {
    /// Starts of each frame in the file and in the stream, and their ends.
    Zstd(Starts),
    /// Not compressed: this many bytes.
    Plain(u64),
}

impl FrameIndex {
    /// Reads and checks the seek table of a file of `size` bytes. `name` stands in errors.
    pub fn open(source: &mut dyn ReadAt, name: &str, size: u64, compressed: bool) -> Result<Self> {
        let frames = match compressed {
            true => Frames::Zstd(table::read(source, name, size)?),
            false => Frames::Plain(size),
        };
        Ok(FrameIndex { name: name.to_string(), frames })
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
    fn stored(&self, frame: usize) -> Range<u64> {
        match &self.frames {
            Frames::Zstd(starts) => starts.get(frame..frame + 2).map_or(0..0, |pair| pair[0].0..pair[1].0),
            Frames::Plain(_) => self.span(frame),
        }
    }

    /// Reads the stored bytes of `frame`.
    pub fn fetch(&self, source: &mut dyn ReadAt, frame: usize) -> Result<Vec<u8>> {
        let stored = self.stored(frame);
        let mut bytes = vec![0; (stored.end - stored.start) as usize];
        read_full(source, &self.name, stored.start, &mut bytes)?;
        Ok(bytes)
    }

    /// Turns the stored bytes of `frame` into its part of the stream. Touches no store: may run on any
    /// thread.
    pub fn decode(&self, frame: usize, stored: Vec<u8>) -> Result<Vec<u8>> {
        let span = self.span(frame);
        let len = (span.end - span.start) as usize;
        match &self.frames {
            Frames::Zstd(_) => codec::decompress(&stored, len)
                .map_err(|what| corrupt(&self.name, self.stored(frame).start, &what)),
            Frames::Plain(_) => Ok(stored),
        }
    }

    /// The decoded `frame`, from `cache` if it is there. `id` tells this file from others that share
    /// the cache.
    pub fn load(
        &self,
        source: &mut dyn ReadAt,
        cache: &mut FrameCache,
        id: u32,
        frame: usize,
    ) -> Result<Arc<Vec<u8>>> {
        if let Some(hit) = cache.get(id, frame) {
            return Ok(hit);
        }
        let decoded = Arc::new(self.decode(frame, self.fetch(source, frame)?)?);
        cache.put(id, frame, decoded.clone());
        Ok(decoded)
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
        self.check_range(offset, len)?;
        let end = offset + len;
        let mut at = offset;
        while at < end {
            let Some(frame) = self.locate(at) else {
                return Err(corrupt(&self.name, at, "past the stream"));
            };
            let span = self.span(frame);
            let bytes = self.load(source, cache, id, frame)?;
            let stop = end.min(span.end);
            each(&bytes[(at - span.start) as usize..(stop - span.start) as usize])?;
            at = stop;
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
            .at(&self.name)),
        }
    }
}
