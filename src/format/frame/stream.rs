//! A whole file from start to end: frame by frame, or, where there never was a seek table because another
//! tool compressed the file anew, as plain zstd.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use zstd::zstd_safe::DCtx;

use super::table::{corrupt, has_remains};
use super::{codec, FrameIndex};
use crate::error::{Error, Kind, Result};
use crate::format::ReadAt;
use crate::pool::Pool;

const PIECE: usize = 256 << 10;
/// Bytes of the stream that [`read_beginning`] hands out at a time.
const BEGINNING: usize = 4 << 10;

/// Longer frames, which other tools make, are fetched when their turn comes: two of them may not fit memory.
const AHEAD_MAX: u64 = 8 << 20;

/// Hands the stream of a file of `size` bytes to `each`, in order, while `pool`, if there is one, decodes the
/// next frame. `Corrupt` names the file and how far reading came.
pub fn read_stream(
    source: &mut dyn ReadAt,
    name: &str,
    size: u64,
    compressed: bool,
    pool: Option<&Pool>,
    each: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let index = match FrameIndex::open(source, name, size, compressed) {
        Ok(index) => index,
        Err(error) if error.kind != Kind::Corrupt || has_remains(source, size)? => return Err(error),
        Err(_) => return read_unframed(source, name, size, each),
    };
    let buffers = Arc::default();
    let mut fetch =
        |number| Result::Ok(Arc::new(index.fetch(source, number)?.with_buffers(Arc::clone(&buffers))));
    let mut ahead = None;
    for number in 0..index.count() {
        let frame = ahead.take().unwrap_or_else(|| fetch(number))?;
        let next = index.span(number + 1);
        if let Some(pool) = pool.filter(|_| !next.is_empty() && next.end - next.start <= AHEAD_MAX) {
            let fetched = fetch(number + 1);
            if let Ok(next) = &fetched {
                let next = Arc::downgrade(next);
                // Whether it could be decoded is told to whoever asks for its bytes.
                pool.run(move || drop(next.upgrade().map(|next| next.bytes())));
            }
            // If it could not be fetched, this one is handed out all the same.
            ahead = Some(fetched);
        }
        each(&frame.bytes()?)?;
    }
    Ok(())
}

/// Hands the beginning of the stream to `each`, piece by piece, until that says false: fetches little more than is
/// asked for.
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

/// Which side of a copy failed.
enum Failure {
    Read(io::Error),
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

/// A stored file as a reader.
struct WholeFile<'s> {
    source: &'s mut dyn ReadAt,
    at: u64,
    size: u64,
    /// What a failed read really was.
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
