//! Cuts a stream into frames, compresses the frames on the pool's threads and writes them in order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{FRAME_LEN, codec, table};
use crate::entry::Hash;
use crate::error::{Error, Kind, Result};
use crate::format::names::PARTS_MAX;
use crate::format::{Sink, bug};
use crate::job::Codec;
use crate::pool::{Pending, Pool};

/// A complete file, or all parts of an archive, with sizes and digest.
#[derive(Debug)]
pub struct Written<W> {
    /// Bytes stored, in all parts together.
    pub size: u64,
    /// Bytes of the stream, before compression.
    pub stream: u64,
    /// BLAKE3 of the bytes stored. With parts: of their bytes one part after the other.
    pub digest: Hash,
    /// The parts, at least two; empty if the archive is one file.
    pub parts: Vec<WrittenPart>,
    pub out: W,
}

/// A complete part of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenPart {
    pub size: u64,
    /// Bytes of the stream that lie in this part.
    pub stream: u64,
    pub digest: Hash,
}

/// The smallest size of parts, in bytes: a few frames fit it.
pub const PART_SIZE_MIN: u64 = 64 << 10;

/// If an archive has more parts than this, none is closed before it is as long as it may be. So parts that are closed
/// early never use up the numbers of the others.
const PARTS_CLOSED_EARLY_MAX: u32 = PARTS_MAX / 2;

/// The division of an archive into parts.
struct ArchiveParts {
    /// The greatest size of a part, with its seek table.
    size_max: u64,
    done: Vec<WrittenPart>,
    /// The current part: its bytes so far and their hash.
    size: u64,
    stream: u64,
    hasher: blake3::Hasher,
}

/// A frame that a worker has compressed. Both buffers are recycled for later frames.
struct Packed {
    plain: Vec<u8>,
    stored: Vec<u8>,
    result: std::io::Result<()>,
}

/// Writes a stream to a [`Sink`] as frames and their seek table, or unchanged with [`Codec::None`]. With parts, each
/// part has whole frames and a seek table of its own.
///
/// At any time, the workers have at most one more frame than the pool has threads. The thread that calls `write` passes
/// the compressed frames to the sink. After an error the file is incomplete: the caller must drop the writer.
pub struct FrameWriter<W: Sink> {
    out: W,
    codec: Codec,
    pool: Arc<Pool>,
    frame_len: usize,
    /// The frame being filled.
    plain: Vec<u8>,
    in_flight: VecDeque<Pending<Packed>>,
    /// Buffers for the uncompressed bytes of later frames: empty, with the capacity of a frame.
    spare_plain: Vec<Vec<u8>>,
    /// Buffers for the compressed bytes of later frames.
    spare_stored: Vec<Vec<u8>>,
    table: table::Builder,
    hasher: Box<blake3::Hasher>,
    size: u64,
    stream: u64,
    /// `None` for a file without parts.
    parts: Option<Box<ArchiveParts>>,
}

impl<W: Sink> FrameWriter<W> {
    pub fn new(out: W, codec: Codec, pool: Arc<Pool>) -> Self {
        FrameWriter {
            out,
            codec,
            pool,
            frame_len: FRAME_LEN,
            plain: Vec::new(),
            in_flight: VecDeque::new(),
            spare_plain: Vec::new(),
            spare_stored: Vec::new(),
            table: table::Builder::default(),
            hasher: Box::default(),
            size: 0,
            stream: 0,
            parts: None,
        }
    }

    /// Cuts frames of `len` uncompressed bytes instead of [`FRAME_LEN`].
    pub fn with_frame_len(self, len: usize) -> Self {
        FrameWriter { frame_len: len.max(1), ..self }
    }

    /// Writes parts of at most `size_max` bytes, if that is at least [`PART_SIZE_MIN`]. Several frames fit a part:
    /// frames are shorter if `size_max` is less than four times their length.
    pub fn with_parts(self, size_max: u64) -> Self {
        let frame_len = self.frame_len.min(usize::try_from(size_max / 4).unwrap_or(usize::MAX)).max(1);
        let (done, hasher) = (Vec::new(), blake3::Hasher::new());
        let parts = Some(Box::new(ArchiveParts { size_max, done, size: 0, stream: 0, hasher }));
        FrameWriter { frame_len, parts, ..self }
    }

    /// Bytes of the stream written so far, uncompressed.
    pub fn position(&self) -> u64 {
        self.stream
    }

    pub fn write(&mut self, mut data: &[u8]) -> Result<()> {
        self.stream += data.len() as u64;
        while !data.is_empty() {
            let room = self.frame_len - self.plain.len();
            let (now, later) = data.split_at(room.min(data.len()));
            self.plain.extend_from_slice(now);
            data = later;
            if self.plain.len() == self.frame_len {
                self.end_frame()?;
            }
        }
        Ok(())
    }

    /// Ends the current frame, unless it is empty. With a frame length of [`usize::MAX`]
    /// ([`FrameWriter::with_frame_len`]), only this call and [`FrameWriter::finish`] end a frame.
    pub fn cut(&mut self) -> Result<()> {
        match self.plain.is_empty() {
            true => Ok(()),
            false => self.end_frame(),
        }
    }

    /// Ends the current part of an archive and begins the next one, unless nothing was written to the current one. All
    /// bytes written so far are then in complete parts. Returns a description of them: what [`FrameWriter::finish`]
    /// would return if the archive ended here. `None` if the archive has too many parts already to close one early.
    pub fn close_part(&mut self) -> Result<Option<Written<()>>> {
        self.cut()?;
        while let Some(pending) = self.in_flight.pop_front() {
            self.store(pending)?;
        }
        let Some(parts) = &self.parts else { return Err(bug("close a part", "the archive has no parts")) };
        if parts.size > 0 {
            let number = parts.done.len() as u32 + 1;
            if number > PARTS_CLOSED_EARLY_MAX {
                return Ok(None);
            }
            self.end_file()?;
            self.out.begin_part(number + 1)?;
        }
        let parts = self.parts.as_ref().map_or(&[][..], |parts| &parts.done);
        Ok(Some(Written {
            size: self.size,
            stream: self.stream,
            digest: self.hasher.finalize().into(),
            parts: if parts.len() > 1 { parts.to_vec() } else { Vec::new() },
            out: (),
        }))
    }

    pub fn sink_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Writes `len` zero bytes.
    pub fn write_zeros(&mut self, len: u64) -> Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        let mut left = len;
        while left > 0 {
            let now = left.min(ZEROS.len() as u64);
            self.write(&ZEROS[..now as usize])?;
            left -= now;
        }
        Ok(())
    }

    /// Writes the last frame and the seek table, and returns the sink. The caller must make the file durable.
    pub fn finish(mut self) -> Result<Written<W>> {
        if !self.plain.is_empty() {
            self.end_frame()?;
        }
        while let Some(pending) = self.in_flight.pop_front() {
            self.store(pending)?;
        }
        self.end_file()?;
        let parts = self.parts.map_or(Vec::new(), |parts| parts.done);
        Ok(Written {
            size: self.size,
            stream: self.stream,
            digest: self.hasher.finalize().into(),
            parts: if parts.len() > 1 { parts } else { Vec::new() },
            out: self.out,
        })
    }

    /// Writes the seek table of the file or of the current part.
    fn end_file(&mut self) -> Result<()> {
        if let Codec::Zstd(_) = self.codec {
            let table = std::mem::take(&mut self.table).finish()?;
            self.put(&table)?;
        }
        if let Some(parts) = &mut self.parts {
            let hasher = std::mem::take(&mut parts.hasher);
            let (size, stream) = (std::mem::take(&mut parts.size), std::mem::take(&mut parts.stream));
            parts.done.push(WrittenPart { size, stream, digest: hasher.finalize().into() });
        }
        Ok(())
    }

    /// Begins the next part if a frame of `stored` bytes does not fit the current one.
    fn make_room(&mut self, stored: usize) -> Result<()> {
        let Some(parts) = &self.parts else { return Ok(()) };
        let table = if self.codec == Codec::None { 0 } else { self.table.len_with_one_more() };
        if parts.size == 0 || parts.size + stored as u64 + table <= parts.size_max {
            return Ok(());
        }
        // The current part has this number, because it is not yet among the parts that are done.
        let number = parts.done.len() as u32 + 1;
        if number == PARTS_MAX {
            let detail = format!("it needs more than {PARTS_MAX} parts: set a greater size of parts");
            return Err(Error::new(Kind::Limit, "write an archive in parts", detail));
        }
        self.end_file()?;
        self.out.begin_part(number + 1)
    }

    fn end_frame(&mut self) -> Result<()> {
        let next = self.spare_plain.pop().unwrap_or_default();
        let plain = std::mem::replace(&mut self.plain, next);
        let Codec::Zstd(level) = self.codec else {
            self.put_frame(&plain, plain.len())?;
            self.recycle(plain, None);
            return Ok(());
        };
        while self.in_flight.len() > self.pool.threads() {
            if let Some(pending) = self.in_flight.pop_front() {
                self.store(pending)?;
            }
        }
        let mut stored = self.spare_stored.pop().unwrap_or_default();
        self.in_flight.push_back(self.pool.run(move || {
            let result = codec::compress(level, &plain, &mut stored);
            Packed { plain, stored, result }
        }));
        self.store_ready()
    }

    /// Writes the finished frames at the front of the queue, up to the first frame that is still compressed.
    fn store_ready(&mut self) -> Result<()> {
        while let Some(pending) = self.in_flight.pop_front() {
            match pending.try_wait() {
                Ok(packed) => self.store_packed(packed)?,
                Err(pending) => {
                    self.in_flight.push_front(pending);
                    break;
                }
            }
        }
        Ok(())
    }

    fn store(&mut self, pending: Pending<Packed>) -> Result<()> {
        self.store_packed(pending.wait())
    }

    fn store_packed(&mut self, packed: Packed) -> Result<()> {
        let Packed { plain, stored, result } = packed;
        result.map_err(|e| Error::new(Kind::Io, "compress a frame", e.to_string()))?;
        self.put_frame(&stored, plain.len())?;
        self.recycle(plain, Some(stored));
        Ok(())
    }

    fn recycle(&mut self, mut plain: Vec<u8>, stored: Option<Vec<u8>>) {
        plain.clear();
        self.spare_plain.push(plain);
        self.spare_stored.extend(stored);
    }

    /// Writes a frame of `plain` uncompressed bytes.
    fn put_frame(&mut self, stored: &[u8], plain: usize) -> Result<()> {
        self.make_room(stored.len())?;
        if self.codec != Codec::None {
            self.table.push(stored.len(), plain);
        }
        if let Some(parts) = &mut self.parts {
            parts.stream += plain as u64;
        }
        self.put(stored)
    }

    fn put(&mut self, stored: &[u8]) -> Result<()> {
        self.hasher.update(stored);
        self.size += stored.len() as u64;
        if let Some(parts) = &mut self.parts {
            parts.hasher.update(stored);
            parts.size += stored.len() as u64;
        }
        self.out.write(stored)
    }
}
