//! Reads ranges of one file's stream with a [`FrameIndex`] and a cache of its own. Only tests use it.

use std::sync::Arc;

use super::{FrameCache, FrameIndex};
use crate::error::Result;
use crate::format::ReadAt;

/// Reads any range of a file's stream; decompresses only the frames that hold the range.
#[derive(Debug)]
pub struct FrameReader {
    index: Arc<FrameIndex>,
    cache: FrameCache,
}

impl FrameReader {
    /// Reads and checks the seek table of a file of `size` stored bytes. Errors name the file `name`.
    pub fn open(source: &mut dyn ReadAt, name: &str, size: u64, compressed: bool) -> Result<Self> {
        Self::with_cache(source, name, size, compressed, FrameCache::default())
    }

    /// Like [`FrameReader::open`], with a cache of the caller's choice instead of one for 16 frames.
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

    /// Passes `len` bytes of the stream from `offset` to `each`, in order, in pieces of at most one frame. If
    /// the range ends past the stream, the error is `Corrupt` and `each` is not called.
    pub fn read(
        &mut self,
        source: &mut dyn ReadAt,
        offset: u64,
        len: u64,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.index.read(source, &mut self.cache, 0, offset, len, each)
    }

    /// Fills `buf` from `offset` of the stream.
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
