//! One frame in, one frame out, with the zstd contexts of the thread.

use std::cell::RefCell;
use std::io;

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode::ZSTD_error_memory_allocation;
use zstd::zstd_safe::{compress_bound, get_error_name, CCtx, CParameter, DCtx, DParameter, ErrorCode};

use crate::error::Error;

thread_local! {
    /// The level and the context that has it.
    static COMPRESSOR: RefCell<Option<(i32, CCtx<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// The largest window a frame may ask for, as a power of two.
const WINDOW_LOG_MAX: u32 = 27;

/// zstd's code for memory that it did not get: error N is the `size_t` -N.
const NO_MEMORY: ErrorCode = (ZSTD_error_memory_allocation as ErrorCode).wrapping_neg();

/// A frame that begins with this fails in tests as if zstd had not got its memory.
#[cfg(test)]
pub const OUT_OF_MEMORY: &[u8] = b"out of memory";

/// Why a frame was not decompressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The stored bytes are no such frame.
    Damaged(String),
    /// Memory ran out, which says nothing about the stored bytes.
    NoMemory,
}

impl Refusal {
    fn of(code: ErrorCode) -> Self {
        match code {
            NO_MEMORY => Refusal::NoMemory,
            _ => Refusal::Damaged(get_error_name(code).to_string()),
        }
    }
}

impl From<String> for Refusal {
    fn from(what: String) -> Self {
        Refusal::Damaged(what)
    }
}

/// The error of a call whose frames do not fit memory.
pub(super) fn no_memory() -> Error {
    Error::own("decompress a frame", &io::Error::from_raw_os_error(libc::ENOMEM))
}

/// True for [`NO_MEMORY`] of a zstd stream, which keeps its words alone, and for a context that was not made.
pub(super) fn is_no_memory(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory || error.to_string() == get_error_name(NO_MEMORY)
}

/// A context for decompressing. A stream's windows have at most 2^[`WINDOW_LOG_MAX`] bytes in it.
pub(super) fn new_context() -> io::Result<DCtx<'static>> {
    let mut fresh = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
    let set = fresh.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX));
    set.map_err(|code| io::Error::other(get_error_name(code)))?;
    Ok(fresh)
}

/// Compresses `data` into `out` as one frame with content size and checksum.
pub(super) fn compress(level: i32, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let told = |code| io::Error::other(get_error_name(code));
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(has, _)| *has != level) {
            let mut fresh = CCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
            let level_set = fresh.set_parameter(CParameter::CompressionLevel(level));
            level_set
                .and_then(|_| fresh.set_parameter(CParameter::ChecksumFlag(true)))
                .and_then(|_| fresh.set_parameter(CParameter::ContentSizeFlag(true)))
                .map_err(told)?;
            *slot = Some((level, fresh));
        }
        out.clear();
        out.try_reserve(compress_bound(data.len())).map_err(|_| io::ErrorKind::OutOfMemory)?;
        match slot {
            Some((_, context)) => match context.compress2(out, data) {
                Ok(_) => Ok(()),
                Err(code) => {
                    // It is left within the frame.
                    *slot = None;
                    Err(told(code))
                }
            },
            None => Err(io::ErrorKind::OutOfMemory.into()),
        }
    })
}

/// Decompresses one frame of exactly `len` bytes into `out`, which is empty.
pub(super) fn decompress(frame: &[u8], len: usize, mut out: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    #[cfg(test)]
    if frame.starts_with(OUT_OF_MEMORY) {
        return Err(Refusal::of(NO_MEMORY));
    }
    check_window(frame)?;
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let context = match slot {
            Some(context) => context,
            free => free.insert(new_context().map_err(|_| Refusal::NoMemory)?),
        };
        out.try_reserve_exact(len).map_err(|_| Refusal::NoMemory)?;
        context.decompress(&mut out, frame).map_err(Refusal::of)?;
        match out.len() == len {
            true => Ok(out),
            false => Err(format!("{} bytes where the seek table says {len}", out.len()).into()),
        }
    })
}

/// Refuses windows above 2^27 and whatever is not a zstd frame (RFC 8878, 3.1.1.1). A frame that is
/// decompressed in one go needs no window of its own; the limit keeps the files readable for tools
/// that stream.
fn check_window(frame: &[u8]) -> Result<(), String> {
    let Some((&[0x28, 0xb5, 0x2f, 0xfd], header)) = frame.split_first_chunk() else {
        return Err("not a zstd frame".into());
    };
    match *header {
        [descriptor, ..] if descriptor & 0x20 != 0 => Ok(()),
        [_, window, ..] => {
            let (exponent, mantissa) = (u32::from(window >> 3), window & 7);
            let log = 10 + exponent + u32::from(mantissa != 0);
            (log <= WINDOW_LOG_MAX).then_some(()).ok_or_else(|| format!("window of 2^{log} bytes"))
        }
        _ => Err("cut short".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_zstd_did_not_get_is_told_from_damage() {
        assert_eq!(Refusal::of(NO_MEMORY), Refusal::NoMemory);
        assert!(is_no_memory(&io::Error::other(get_error_name(NO_MEMORY))));
        assert!(is_no_memory(&io::ErrorKind::OutOfMemory.into()));
        for code in (1..=120).map(|error: ErrorCode| error.wrapping_neg()).filter(|&code| code != NO_MEMORY) {
            assert!(matches!(Refusal::of(code), Refusal::Damaged(_)), "{code}");
            assert!(!is_no_memory(&io::Error::other(get_error_name(code))), "{code}");
        }
    }
}
