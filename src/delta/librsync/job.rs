//! Jobs of the C engine. A job takes bytes and makes other bytes from them.

use std::ffi::{c_char, c_int, c_void};
use std::io::{self, Write};
use std::ptr::{self, NonNull};
use std::sync::Once;

use librsync_sys as c;

/// Bytes of the buffer for the output of one call of the C engine.
const OUT: usize = 64 << 10;

/// A job that signs, reads a signature, makes a delta, or patches.
pub struct EngineJob {
    raw: NonNull<c::rs_job_t>,
    out: Box<[u8]>,
    done: bool,
}

// SAFETY: a job is plain memory with one owner. The owner keeps the memory alive to which the job points: see the
// functions below.
unsafe impl Send for EngineJob {}

impl EngineJob {
    pub fn sign(magic: u32, block_len: u32, strong_len: u32) -> io::Result<EngineJob> {
        // SAFETY: `rs_sig_begin` accepts any numbers and copies them.
        EngineJob::own(|| unsafe { c::rs_sig_begin(block_len as usize, strong_len as usize, magic as c_int) })
    }

    /// A job that patches. The job calls `copy` with `basis` to read from the basis.
    ///
    /// # Safety
    ///
    /// A call of `copy` with `basis` must be sound until the job is dropped.
    pub unsafe fn patch(copy: c::rs_copy_cb, basis: *mut c_void) -> io::Result<EngineJob> {
        // SAFETY: `rs_patch_begin` only stores both; the caller guarantees that later calls are sound.
        EngineJob::own(|| unsafe { c::rs_patch_begin(copy, basis) })
    }

    fn own(begin: impl FnOnce() -> *mut c::rs_job_t) -> io::Result<EngineJob> {
        silence();
        let raw = NonNull::new(begin()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(EngineJob { raw, out: vec![0; OUT].into(), done: false })
    }

    /// Passes `bytes` to the job and writes its output to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        self.run(bytes, false, out)
    }

    /// Passes the last bytes to the job and writes the rest of its output to `out`.
    pub fn finish(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        self.run(bytes, true, out)?;
        self.done.then_some(()).ok_or_else(|| failed(c::RS_INPUT_ENDED))
    }

    fn run(&mut self, mut bytes: &[u8], last: bool, out: &mut impl Write) -> io::Result<()> {
        while !self.done {
            let mut buffers = c::rs_buffers_t {
                next_in: bytes.as_ptr().cast(),
                avail_in: bytes.len(),
                eof_in: last.into(),
                next_out: self.out.as_mut_ptr().cast(),
                avail_out: self.out.len(),
            };
            // SAFETY: both buffers have the lengths given, and the job keeps no pointer to them.
            let result = unsafe { c::rs_job_iter(self.raw.as_ptr(), &mut buffers) };
            let made = self.out.len() - buffers.avail_out;
            bytes = &bytes[bytes.len() - buffers.avail_in..];
            out.write_all(&self.out[..made])?;
            match result {
                c::RS_DONE => self.done = true,
                // The output buffer is not full, so the job waits for input.
                c::RS_BLOCKED if bytes.is_empty() && buffers.avail_out > 0 => return Ok(()),
                c::RS_BLOCKED => {}
                other => return Err(failed(other)),
            }
        }
        bytes.is_empty().then_some(()).ok_or_else(|| failed(c::RS_CORRUPT))
    }
}

impl Drop for EngineJob {
    fn drop(&mut self) {
        // SAFETY: the job came from the C engine and is freed once.
        unsafe { c::rs_job_free(self.raw.as_ptr()) };
    }
}

/// The sums of a basis and their table, in the C engine's memory.
pub struct EngineSums(NonNull<c::rs_signature_t>);

// SAFETY: plain memory with one owner, like an `EngineJob`.
unsafe impl Send for EngineSums {}

impl EngineSums {
    pub fn load(signature: &[u8]) -> io::Result<EngineSums> {
        let mut raw = ptr::null_mut();
        // SAFETY: `rs_loadsig_begin` stores a pointer to new sums in `raw`. The sums outlive the job that
        // fills them.
        let mut job = EngineJob::own(|| unsafe { c::rs_loadsig_begin(&mut raw) })?;
        let sums = EngineSums(NonNull::new(raw).ok_or(io::ErrorKind::OutOfMemory)?);
        job.finish(signature, &mut io::sink())?;
        // SAFETY: the sums are loaded and have no table yet.
        match unsafe { c::rs_build_hash_table(raw) } {
            c::RS_DONE => Ok(sums),
            other => Err(failed(other)),
        }
    }

    /// A job that makes a delta. It must be dropped before the sums.
    pub fn delta(&self) -> io::Result<EngineJob> {
        // SAFETY: the sums are loaded and have their table.
        EngineJob::own(|| unsafe { c::rs_delta_begin(self.0.as_ptr()) })
    }
}

impl Drop for EngineSums {
    fn drop(&mut self) {
        // SAFETY: the sums came from the C engine and are freed once. No job uses them any more.
        unsafe { c::rs_free_sumset(self.0.as_ptr()) };
    }
}

/// Turns off the C engine's messages, which it would write to standard error.
fn silence() {
    extern "C" fn nothing(_: c::rs_loglevel, _: *const c_char) {}
    static ONCE: Once = Once::new();
    // SAFETY: each call sets a variable of the C engine. No other code sets these variables, and no job reads
    // them at this time, because every job begins after this.
    ONCE.call_once(|| unsafe {
        c::rs_trace_to(nothing);
        c::rs_trace_set_level(c::RS_LOG_EMERG);
    });
}

fn failed(result: c::rs_result) -> io::Error {
    let (kind, what) = match result {
        c::RS_MEM_ERROR => (io::ErrorKind::OutOfMemory, "no memory"),
        c::RS_INPUT_ENDED => (io::ErrorKind::UnexpectedEof, "the input ends early"),
        c::RS_BAD_MAGIC | c::RS_CORRUPT => (io::ErrorKind::InvalidData, "the input is damaged"),
        c::RS_PARAM_ERROR => (io::ErrorKind::InvalidInput, "impossible parameters"),
        _ => (io::ErrorKind::Other, "an unexpected result"),
    };
    io::Error::new(kind, format!("librsync: {what} ({result})"))
}
