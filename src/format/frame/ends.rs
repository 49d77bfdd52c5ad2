//! Reads both ends of a file's stream with few reads of the store: a caller that needs only the beginning and the end
//! of a long file does not read the rest.

use std::ops::Deref;
use std::sync::Arc;

use super::table::{REMAINS_MAX, has_remains, read_full, zeros};
use super::{Decoded, FrameIndex};
use crate::error::{Kind, Result};
use crate::format::ReadAt;

/// Bytes at the end of a file that are read with one call. They usually hold the seek table and the last frames. A file
/// of at most this length is read whole.
const TAIL: u64 = REMAINS_MAX;

/// The stream of a file as pieces, counted from its beginning or from its end. A piece is a frame, or 64 KiB of a file
/// without compression.
pub struct StreamEnds<'s> {
    file: TailInMemory<'s>,
    /// The frames of a compressed file.
    frames: Option<FrameIndex>,
    size: u64,
}

/// The bytes of one piece.
pub enum StreamPiece {
    Frame(Arc<Decoded>),
    Part(Vec<u8>),
}

impl Deref for StreamPiece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            StreamPiece::Frame(bytes) => bytes,
            StreamPiece::Part(bytes) => bytes,
        }
    }
}

impl<'s> StreamEnds<'s> {
    /// Reads the end of a file of `size` stored bytes. `None` if the file has no seek table, because another tool
    /// compressed it: then it can only be read from start to end. Errors name the file `name`.
    pub fn open(source: &'s mut dyn ReadAt, name: &str, size: u64, compressed: bool) -> Result<Option<Self>> {
        let mut file = TailInMemory::read(source, name, size, TAIL)?;
        if !compressed {
            return Ok(Some(StreamEnds { file, frames: None, size }));
        }
        match FrameIndex::open(&mut file, name, size, true) {
            Ok(index) => Ok(Some(StreamEnds { file, frames: Some(index), size })),
            Err(error) if error.kind != Kind::Corrupt || has_remains(&mut file, size)? => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// The piece with this number, counted from 0 at the beginning of the stream; `None` after the last piece.
    pub fn from_start(&mut self, number: usize, name: &str) -> Result<Option<StreamPiece>> {
        match &self.frames {
            Some(index) => self.frame((number < index.count()).then_some(number)),
            None => {
                let start = TAIL.saturating_mul(number as u64);
                self.part(start, start.saturating_add(TAIL).min(self.size), name)
            }
        }
    }

    /// The piece with this number, counted from 0 at the end of the stream; `None` before the first piece.
    pub fn from_end(&mut self, number: usize, name: &str) -> Result<Option<StreamPiece>> {
        match &self.frames {
            Some(index) => self.frame(index.count().checked_sub(number.saturating_add(1))),
            None => {
                let end = self.size.saturating_sub(TAIL.saturating_mul(number as u64));
                self.part(end.saturating_sub(TAIL), end, name)
            }
        }
    }

    fn frame(&mut self, number: Option<usize>) -> Result<Option<StreamPiece>> {
        let (Some(index), Some(number)) = (&self.frames, number) else { return Ok(None) };
        Ok(Some(StreamPiece::Frame(index.fetch(&mut self.file, number)?.bytes()?)))
    }

    fn part(&mut self, start: u64, end: u64, name: &str) -> Result<Option<StreamPiece>> {
        if start >= end {
            return Ok(None);
        }
        let mut bytes = zeros(name, (end - start) as usize)?;
        read_full(&mut self.file, name, start, &mut bytes)?;
        Ok(Some(StreamPiece::Part(bytes)))
    }
}

/// A file whose last bytes are in memory.
pub struct TailInMemory<'s> {
    source: &'s mut dyn ReadAt,
    /// The offset of `bytes` in the file.
    start: u64,
    bytes: Vec<u8>,
}

impl<'s> TailInMemory<'s> {
    /// A file of `size` bytes whose last bytes are `bytes`.
    pub fn new(source: &'s mut dyn ReadAt, size: u64, bytes: Vec<u8>) -> Self {
        TailInMemory { source, start: size.saturating_sub(bytes.len() as u64), bytes }
    }

    /// Reads the last `len` bytes of a file of `size` bytes, or all if there are fewer. `Corrupt` if the file is
    /// shorter.
    pub fn read(source: &'s mut dyn ReadAt, name: &str, size: u64, len: u64) -> Result<Self> {
        let start = size.saturating_sub(len);
        let mut bytes = zeros(name, (size - start) as usize)?;
        read_full(source, name, start, &mut bytes)?;
        Ok(TailInMemory { source, start, bytes })
    }
}

impl ReadAt for TailInMemory<'_> {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        match offset.checked_sub(self.start) {
            Some(offset) => self.bytes.as_slice().read_at(offset, buf),
            None => self.source.read_at(offset, buf),
        }
    }
}
