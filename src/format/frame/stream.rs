//! Reads a whole file from start to end, frame by frame. A file without a seek table, which another tool
//! compressed again, is read as plain zstd.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use zstd::zstd_safe::DCtx;

use super::table::{REMAINS_MAX, corrupt, has_remains, read_available, zeros};
use super::{FrameIndex, codec};
use crate::error::{Error, Kind, Result};
use crate::format::ReadAt;
use crate::pool::Pool;

/// Bytes of the buffers for a file without a seek table.
const PIECE: usize = 256 << 10;
/// Bytes of the stream that [`read_beginning`] passes on at a time.
const BEGINNING: usize = 4 << 10;

/// Bytes of a file that are read with one call of the store. A call takes as long as many frames of a state where the
/// store is far away.
const WINDOW: u64 = 4 << 20;
/// The longest frame, in uncompressed bytes, that is fetched ahead of its turn. Only other tools make longer
/// frames, and two of those may not fit memory.
const AHEAD_MAX: u64 = 8 << 20;

/// Passes the stream of a file of `size` bytes to `each`, in order. Meanwhile a thread of `pool`, if there is a
/// pool, decodes the next frame. `Corrupt` names the file and the offset that reading reached.
pub fn read_stream(
    source: &mut dyn ReadAt,
    name: &str,
    size: u64,
    compressed: bool,
    pool: Option<&Pool>,
    each: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut source = Window { source, name, size, start: 0, bytes: Vec::new() };
    let index = match FrameIndex::open(&mut source, name, size, compressed) {
        Ok(index) => index,
        Err(error) if error.kind != Kind::Corrupt || has_remains(&mut source, size)? => return Err(error),
        Err(_) => return read_unframed(&mut source, name, size, each),
    };
    let buffers = Arc::default();
    let mut fetch =
        |number| Result::Ok(Arc::new(index.fetch(&mut source, number)?.with_buffers(Arc::clone(&buffers))));
    let mut ahead = None;
    for number in 0..index.count() {
        let frame = ahead.take().unwrap_or_else(|| fetch(number))?;
        let next = index.span(number + 1);
        if let Some(pool) = pool.filter(|_| !next.is_empty() && next.end - next.start <= AHEAD_MAX) {
            let fetched = fetch(number + 1);
            if let Ok(next) = &fetched {
                let next = Arc::downgrade(next);
                // A decoding error stays in the frame; the loop gets it from `bytes` in the next turn.
                pool.run(move || drop(next.upgrade().map(|next| next.bytes())));
            }
            // If the fetch failed, the current frame is still passed on; the next turn returns the error.
            ahead = Some(fetched);
        }
        each(&frame.bytes()?)?;
    }
    Ok(())
}

/// Passes the beginning of the stream to `each`, piece by piece, until `each` returns false. Fetches little more
/// of the file than these pieces need.
pub fn read_beginning(
    source: &mut dyn ReadAt,
    name: &str,
    size: u64,
    compressed: bool,
    each: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<()> {
    let mut file = WholeFile { source, at: 0, size, error: None };
    let read = match compressed {
        true => codec::new_context().and_then(|mut context| {
            let stored = BufReader::with_capacity(DCtx::in_size(), &mut file);
            read_while(&mut zstd::Decoder::with_context(stored, &mut context), each)
        }),
        false => read_while(&mut file, each),
    };
    match (read, file.error) {
        (Err(_), Some(error)) => Err(error),
        (Err(error), None) if codec::is_no_memory(&error) => Err(codec::no_memory()),
        (Err(error), None) => Err(corrupt(name, file.at, &error.to_string())),
        (Ok(()), _) => Ok(()),
    }
}

fn read_while(plain: &mut dyn Read, each: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut piece = vec![0; BEGINNING];
    loop {
        let len = plain.read(&mut piece)?;
        if len == 0 || !each(&piece[..len]) {
            return Ok(());
        }
    }
}

fn read_unframed(
    source: &mut dyn ReadAt,
    name: &str,
    size: u64,
    each: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut file = WholeFile { source, at: 0, size, error: None };
    let result = decode_all(&mut file, each);
    match (result, file.error) {
        (Err(Failure::Each(error)), _) | (Err(Failure::Read(_)), Some(error)) => Err(error),
        (Err(Failure::Read(error)), None) if codec::is_no_memory(&error) => Err(codec::no_memory()),
        (Err(Failure::Read(error)), None) => Err(corrupt(name, file.at, &error.to_string())),
        (Ok(()), _) => Ok(()),
    }
}

/// Why a stream could not be passed on.
enum Failure {
    /// The file could not be read or decompressed.
    Read(io::Error),
    /// The receiver of the stream returned an error.
    Each(Error),
}

fn decode_all(file: &mut WholeFile<'_>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<(), Failure> {
    let mut context = codec::new_context().map_err(Failure::Read)?;
    let decoder = zstd::Decoder::with_context(BufReader::with_capacity(PIECE, file), &mut context);
    let mut plain = BufReader::with_capacity(PIECE, decoder);
    loop {
        let piece = plain.fill_buf().map_err(Failure::Read)?;
        let len = piece.len();
        if len == 0 {
            return Ok(());
        }
        each(piece).map_err(Failure::Each)?;
        plain.consume(len);
    }
}

/// A file whose seek table is read first, and then all frames in order. Reads much more than it is asked for, so that
/// the store gets few calls.
struct Window<'s> {
    source: &'s mut dyn ReadAt,
    name: &'s str,
    size: u64,
    /// The position of `bytes` in the file.
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// Fills the window with the bytes from `offset` on.
    fn fill(&mut self, offset: u64) -> Result<()> {
        let start = match self.size.saturating_sub(WINDOW) {
            0 => 0,
            // The seek table.
            _ if self.bytes.is_empty() => offset.min(self.size - REMAINS_MAX),
            _ => offset,
        };
        // After an error the window is empty, so that nobody takes zeros for bytes of the file.
        self.bytes = Vec::new();
        let mut bytes = zeros(self.name, (self.size - start).min(WINDOW) as usize)?;
        let read = read_available(self.source, start, &mut bytes)?;
        bytes.truncate(read);
        (self.start, self.bytes) = (start, bytes);
        Ok(())
    }
}

impl ReadAt for Window<'_> {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let holds =
            |window: &Self| (window.start..window.start + window.bytes.len() as u64).contains(&offset);
        if offset >= self.size || buf.is_empty() {
            return Ok(0);
        }
        if !holds(self) {
            if buf.len() as u64 >= WINDOW {
                return self.source.read_at(offset, buf);
            }
            self.fill(offset)?;
            if !holds(self) {
                // The file is shorter than the listing of the store said.
                return Ok(0);
            }
        }
        let at = (offset - self.start) as usize;
        let len = buf.len().min(self.bytes.len() - at);
        buf[..len].copy_from_slice(&self.bytes[at..at + len]);
        Ok(len)
    }
}

/// A stored file, as the [`Read`] that the zstd decoder needs.
struct WholeFile<'s> {
    source: &'s mut dyn ReadAt,
    at: u64,
    size: u64,
    /// The store's error when a read failed: [`Read`] cannot return it.
    error: Option<Error>,
}

impl Read for WholeFile<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = (buf.len() as u64).min(self.size - self.at) as usize;
        if want == 0 {
            return Ok(0);
        }
        let got = self.source.read_at(self.at, &mut buf[..want]).map_err(|error| {
            self.error = Some(error);
            io::Error::other("the store failed")
        })?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += got as u64;
        Ok(got)
    }
}
