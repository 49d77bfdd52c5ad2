//! Jobs of the C engine: bytes go in, bytes come out.

use std::ffi::{c_char, c_int, c_void};
use std::io::{self, Write};
use std::ptr::{self, NonNull};
use std::sync::Once;

use librsync_sys as c;

/// Room for what one call of the C engine makes.
const OUT: usize = 64 << 10;

/// Signing, reading a signature, making a delta, or patching.
pub struct Job {
    raw: NonNull<c::rs_job_t>,
    out: Box<[u8]>,
    done: bool,
}

// SAFETY: a job is plain memory that belongs to nobody else; what it points to, its maker keeps (see there).
unsafe impl Send for Job {}

impl Job {
    pub fn sign(magic: u32, block_len: u32, strong_len: u32) -> io::Result<Job> {
        // SAFETY: it takes any numbers, and copies them.
        Job::own(|| unsafe { c::rs_sig_begin(block_len as usize, strong_len as usize, magic as c_int) })
    }

    /// A job that patches, with copies made by `copy`.
    ///
    /// # Safety
    ///
    /// `copy` is called with `basis` until the job is dropped.
    pub unsafe fn patch(copy: c::rs_copy_cb, basis: *mut c_void) -> io::Result<Job> {
        // SAFETY: it keeps both for later; that they are good for it then, the caller warrants.
        Job::own(|| unsafe { c::rs_patch_begin(copy, basis) })
    }

    fn own(begin: impl FnOnce() -> *mut c::rs_job_t) -> io::Result<Job> {
        silence();
        let raw = NonNull::new(begin()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Job { raw, out: vec![0; OUT].into(), done: false })
    }

    /// Hands `bytes` in and writes what comes of them.
    pub fn push(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        self.run(bytes, false, out)
    }

    /// Hands the last bytes in, and writes all that is left.
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
            // SAFETY: both buffers are as long as told, and the job keeps neither.
            let result = unsafe { c::rs_job_iter(self.raw.as_ptr(), &mut buffers) };
            let made = self.out.len() - buffers.avail_out;
            bytes = &bytes[bytes.len() - buffers.avail_in..];
            out.write_all(&self.out[..made])?;
            match result {
                c::RS_DONE => self.done = true,
                // With room left in the output, it waits for input.
                c::RS_BLOCKED if bytes.is_empty() && buffers.avail_out > 0 => return Ok(()),
                c::RS_BLOCKED => {}
                other => return Err(failed(other)),
            }
        }
        bytes.is_empty().then_some(()).ok_or_else(|| failed(c::RS_CORRUPT))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // SAFETY: it came from the C engine and is freed once.
        unsafe { c::rs_job_free(self.raw.as_ptr()) };
    }
}

/// The sums of a basis in the C engine's memory, with its table.
pub struct Sums(NonNull<c::rs_signature_t>);

// SAFETY: plain memory; see `Job`.
unsafe impl Send for Sums {}

impl Sums {
    pub fn load(signature: &[u8]) -> io::Result<Sums> {
        let mut raw = ptr::null_mut();
        // SAFETY: it puts new sums there, which outlive the job that fills them.
        let mut job = Job::own(|| unsafe { c::rs_loadsig_begin(&mut raw) })?;
        let sums = Sums(NonNull::new(raw).ok_or(io::ErrorKind::OutOfMemory)?);
        job.finish(signature, &mut io::sink())?;
        // SAFETY: the sums are loaded and have no table yet.
        match unsafe { c::rs_build_hash_table(raw) } {
            c::RS_DONE => Ok(sums),
            other => Err(failed(other)),
        }
    }

    /// A job that makes a delta; it must be dropped before the sums.
    pub fn delta(&self) -> io::Result<Job> {
        // SAFETY: the sums have their table.
        Job::own(|| unsafe { c::rs_delta_begin(self.0.as_ptr()) })
    }
}

impl Drop for Sums {
    fn drop(&mut self) {
        // SAFETY: they came from the C engine and are freed once; no job uses them any more.
        unsafe { c::rs_free_sumset(self.0.as_ptr()) };
    }
}

/// By itself the C engine writes to standard error.
fn silence() {
    extern "C" fn nothing(_: c::rs_loglevel, _: *const c_char) {}
    static ONCE: Once = Once::new();
    // SAFETY: both set a variable; nobody else does, nor reads it meanwhile: every job is begun after this.
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
