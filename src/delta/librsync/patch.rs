//! Applies a delta to its basis. [`Commands`] checks each command, and [`Encoder`] encodes it again for the C
//! engine.

use std::ffi::c_void;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::slice;

use librsync_sys as c;

use super::super::encode::Encoder;
use super::super::{Command, Commands, Error, Result};
use super::job::EngineJob;

/// Like [`patch`](super::super::patch()), for a content of unknown length of at most `out_limit` bytes.
/// Returns the length.
pub fn patch_up_to(
    basis: &mut (impl Read + Seek),
    delta: &mut impl Read,
    basis_len: u64,
    out: &mut impl Write,
    out_limit: u64,
) -> Result<u64> {
    let mut commands = Commands::new(delta, basis_len, out_limit)?;
    let mut encoder = Encoder::new(Patcher::new(basis, out)?);
    while let Some(command) = commands.next()? {
        let passed = match command {
            Command::Literal { .. } => commands.write_literal(&mut Literals(&mut encoder)),
            Command::Copy { offset, len } => encoder.copy(offset, len).map_err(Error::Io),
        };
        passed.map_err(inner_error)?;
    }
    let patcher = encoder.finish().map_err(|error| inner_error(Error::Io(error)))?;
    patcher.end().map_err(|error| inner_error(Error::Io(error)))?;
    Ok(commands.made())
}

/// Returns the [`Error`] that was passed through `io::Write` inside an `io::Error`, if there is one.
fn inner_error(error: Error) -> Error {
    match error {
        Error::Io(error) => error.downcast::<Error>().unwrap_or_else(Error::Io),
        other => other,
    }
}

struct Literals<'e, W>(&'e mut Encoder<W>);

impl<W: Write> Write for Literals<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.literal(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes the bytes of a delta and writes the new content to `out`.
struct Patcher<'p, B, W> {
    job: EngineJob,
    /// A leaked box to which the job points. `drop` frees it.
    source: NonNull<BasisSource<'p, B>>,
    out: &'p mut W,
}

/// The data of [`copy`].
struct BasisSource<'b, B> {
    basis: &'b mut B,
    /// The error of the last copy, if it failed.
    error: Option<Error>,
}

impl<'p, B: Read + Seek, W: Write> Patcher<'p, B, W> {
    fn new(basis: &'p mut B, out: &'p mut W) -> io::Result<Self> {
        let source = NonNull::from(Box::leak(Box::new(BasisSource { basis, error: None })));
        // SAFETY: the source is not freed while the job can run.
        let job = unsafe { EngineJob::patch(copy::<B>, source.as_ptr().cast()) };
        match job {
            Ok(job) => Ok(Patcher { job, source, out }),
            Err(error) => {
                // SAFETY: the pointer came from a box, and no job points to it.
                drop(unsafe { Box::from_raw(source.as_ptr()) });
                Err(error)
            }
        }
    }

    fn end(mut self) -> io::Result<()> {
        let ended = self.job.finish(&[], self.out);
        self.explain(ended)
    }

    /// Replaces the C engine's error with the error of a failed copy, if there was one.
    fn explain<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        // SAFETY: only the job uses the source too, and it is not running now.
        let inner_error = unsafe { self.source.as_mut() }.error.take();
        match inner_error {
            Some(error) => Err(io::Error::other(error)),
            None => result,
        }
    }
}

impl<B: Read + Seek, W: Write> Write for Patcher<'_, B, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let pushed = self.job.push(bytes, self.out);
        self.explain(pushed)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<B, W> Drop for Patcher<'_, B, W> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a box. The job is dropped after this, and its drop does not call
        // `copy`.
        drop(unsafe { Box::from_raw(self.source.as_ptr()) });
    }
}

/// Reads `*len` bytes at `pos` of the basis into `*buf`.
extern "C" fn copy<B: Read + Seek>(
    source: *mut c_void,
    pos: c::rs_long_t,
    len: *mut usize,
    buf: *mut *mut c_void,
) -> c::rs_result {
    // SAFETY: the job was made with a source of this type, and nothing else uses it while the job runs.
    let source = unsafe { &mut *source.cast::<BasisSource<B>>() };
    // SAFETY: `*buf` has room for `*len` bytes, inside the job's output buffer, which is initialized.
    let bytes = unsafe { slice::from_raw_parts_mut((*buf).cast::<u8>(), *len) };
    let at = pos as u64;
    let read = catch_unwind(AssertUnwindSafe(|| {
        source.basis.seek(SeekFrom::Start(at))?;
        source.basis.read_exact(bytes)
    }));
    let error = match read {
        Ok(Ok(())) => return c::RS_DONE,
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Error::BasisTooShort { at },
        Ok(Err(error)) => Error::Io(error),
        Err(_) => Error::Io(io::Error::other("reading the basis panicked")),
    };
    source.error = Some(error);
    c::RS_IO_ERROR
}
