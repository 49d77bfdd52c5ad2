//! Applying a delta: our reader checks each command and encodes it again for the C engine.

use std::ffi::c_void;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::NonNull;
use std::slice;

use librsync_sys as c;

use super::super::encode::Encoder;
use super::super::{Command, Commands, Error, Result};
use super::job::Job;

/// [`patch`](super::super::patch()) for a content of unknown length, `out_limit` bytes at most; returns its
/// length.
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
        passed.map_err(told)?;
    }
    let patcher = encoder.finish().map_err(|error| told(Error::Io(error)))?;
    patcher.end().map_err(|error| told(Error::Io(error)))?;
    Ok(commands.made())
}

/// An error of ours that went through `io::Write`.
fn told(error: Error) -> Error {
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

/// Takes a delta, writes what it makes.
struct Patcher<'p, B, W> {
    job: Job,
    /// A box of its own, which the job points to; freed after the job.
    source: NonNull<Source<'p, B>>,
    out: &'p mut W,
}

struct Source<'b, B> {
    basis: &'b mut B,
    /// Why the last copy failed.
    error: Option<Error>,
}

impl<'p, B: Read + Seek, W: Write> Patcher<'p, B, W> {
    fn new(basis: &'p mut B, out: &'p mut W) -> io::Result<Self> {
        let source = NonNull::from(Box::leak(Box::new(Source { basis, error: None })));
        // SAFETY: the source is freed only after the job.
        let job = unsafe { Job::patch(copy::<B>, source.as_ptr().cast()) };
        match job {
            Ok(job) => Ok(Patcher { job, source, out }),
            Err(error) => {
                // SAFETY: it is a box that nothing points to.
                drop(unsafe { Box::from_raw(source.as_ptr()) });
                Err(error)
            }
        }
    }

    fn end(mut self) -> io::Result<()> {
        let ended = self.job.finish(&[], self.out);
        self.explain(ended)
    }

    /// What a failed copy left, in place of the C engine's error.
    fn explain<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        // SAFETY: the job, which alone uses it too, is not running.
        let told = unsafe { self.source.as_mut() }.error.take();
        match told {
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
        // SAFETY: it is a box. The job is dropped after this, and dropping it calls nothing back.
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
    let source = unsafe { &mut *source.cast::<Source<B>>() };
    // SAFETY: the C engine gives room for that many bytes, in an output buffer that is initialized.
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
