//! Ranges of one file's stream: a [`FrameIndex`] with a cache of its own.

use std::sync::Arc;

use super::{FrameCache, FrameIndex};
use crate::error::Result;
use crate::format::ReadAt;

/// Reads any range of a file's stream, decompressing just the frames that hold it.
#[derive(Debug)]
pub struct FrameReader {
    index: Arc<FrameIndex>,
    cache: FrameCache,
}

impl FrameReader {
    /// Reads and checks the seek table of a file of `size` stored bytes. `name` stands in errors.
    pub fn open(source: &mut dyn ReadAt, name: &str, size: u64, compressed: bool) -> Result<Self> {
        Self::with_cache(source, name, size, compressed, FrameCache::default())
    }

    /// [`FrameReader::open`] with room for other than 16 frames.
    pub fn with_cache(
        source: &mut dyn ReadAt,
        name: &str,
        size: u64,
        compressed: bool,
        cache: FrameCache,
    ) -> Result<Self> {
        let index = Arc::new(FrameIndex::open(source, name, size, compressed)?);
        Ok(FrameReader { index, cache })
    }

    pub fn index(&self) -> &Arc<FrameIndex> {
        &self.index
    }

    pub fn stream_len(&self) -> u64 {
        self.index.stream_len()
    }

    /// Hands `len` bytes of the stream from `offset` to `each`, in order, in pieces of at most a frame.
    /// A range that ends past the stream is `Corrupt`, and nothing is handed out.
    pub fn read(
        &mut self,
        source: &mut dyn ReadAt,
        offset: u64,
        len: u64,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.index.read(source, &mut self.cache, 0, offset, len, each)
    }

    /// Fills `buf` from `offset`.
    pub fn read_exact(&mut self, source: &mut dyn ReadAt, offset: u64, buf: &mut [u8]) -> Result<()> {
        let len = buf.len() as u64;
        let mut done = 0;
        self.read(source, offset, len, &mut |piece| {
            buf[done..done + piece.len()].copy_from_slice(piece);
            done += piece.len();
            Ok(())
        })
    }
}
