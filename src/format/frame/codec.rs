//! Compresses and decompresses single frames. Each thread keeps its zstd contexts for the next frame.

use std::cell::RefCell;
use std::io;

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode::ZSTD_error_memory_allocation;
use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, ErrorCode, compress_bound, get_error_name};

use crate::error::Error;

thread_local! {
    /// A context, and the level that is set in it.
    static COMPRESSOR: RefCell<Option<(i32, CCtx<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// The largest window that a frame may require: 2 to this power bytes.
const WINDOW_LOG_MAX: u32 = 27;

/// zstd's return value when memory runs out: zstd returns error N as the `size_t` -N.
const NO_MEMORY: ErrorCode = (ZSTD_error_memory_allocation as ErrorCode).wrapping_neg();

/// In tests, decompressing a frame that begins with these bytes fails as if memory had run out.
#[cfg(test)]
pub const OUT_OF_MEMORY: &[u8] = b"out of memory";

/// Why a frame was not decompressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FrameRefusal {
    /// The stored bytes are no frame of the expected length.
    Damaged(String),
    /// Memory ran out; the stored bytes may be good.
    NoMemory,
}

impl FrameRefusal {
    fn of(code: ErrorCode) -> Self {
        match code {
            NO_MEMORY => FrameRefusal::NoMemory,
            _ => FrameRefusal::Damaged(get_error_name(code).to_string()),
        }
    }
}

impl From<String> for FrameRefusal {
    fn from(what: String) -> Self {
        FrameRefusal::Damaged(what)
    }
}

/// The error of a call for which a frame could not be decompressed because memory ran out.
pub(super) fn no_memory() -> Error {
    Error::own("decompress a frame", &io::Error::from_raw_os_error(libc::ENOMEM))
}

/// True if `error` says that memory ran out: either no context could be created, or a zstd stream failed with
/// [`NO_MEMORY`]. Errors of zstd streams hold zstd's message but not its code, so the message is compared.
pub(super) fn is_no_memory(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory || error.to_string() == get_error_name(NO_MEMORY)
}

/// A context for decompression. It refuses streams with windows of more than 2^[`WINDOW_LOG_MAX`] bytes.
pub(super) fn new_context() -> io::Result<DCtx<'static>> {
    let mut fresh = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
    let set = fresh.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX));
    set.map_err(|code| io::Error::other(get_error_name(code)))?;
    Ok(fresh)
}

/// Compresses `data` into `out` as one frame with content size and checksum.
pub(super) fn compress(level: i32, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let named = |code| io::Error::other(get_error_name(code));
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(has, _)| *has != level) {
            let mut fresh = CCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
            let level_set = fresh.set_parameter(CParameter::CompressionLevel(level));
            level_set
                .and_then(|_| fresh.set_parameter(CParameter::ChecksumFlag(true)))
                .and_then(|_| fresh.set_parameter(CParameter::ContentSizeFlag(true)))
                .map_err(named)?;
            *slot = Some((level, fresh));
        }
        out.clear();
        out.try_reserve(compress_bound(data.len())).map_err(|_| io::ErrorKind::OutOfMemory)?;
        match slot {
            Some((_, context)) => match context.compress2(out, data) {
                Ok(_) => Ok(()),
                Err(code) => {
                    // The context is still in the middle of the frame and cannot begin another one.
                    *slot = None;
                    Err(named(code))
                }
            },
            None => Err(io::ErrorKind::OutOfMemory.into()),
        }
    })
}

/// Decompresses one frame of exactly `len` uncompressed bytes into `out`, which is empty on entry.
pub(super) fn decompress(frame: &[u8], len: usize, mut out: Vec<u8>) -> Result<Vec<u8>, FrameRefusal> {
    #[cfg(test)]
    if frame.starts_with(OUT_OF_MEMORY) {
        return Err(FrameRefusal::of(NO_MEMORY));
    }
    check_window(frame)?;
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let context = match slot {
            Some(context) => context,
            free => free.insert(new_context().map_err(|_| FrameRefusal::NoMemory)?),
        };
        out.try_reserve_exact(len).map_err(|_| FrameRefusal::NoMemory)?;
        context.decompress(&mut out, frame).map_err(FrameRefusal::of)?;
        match out.len() == len {
            true => Ok(out),
            false => Err(format!("{} bytes where the seek table says {len}", out.len()).into()),
        }
    })
}

/// Refuses bytes that are not a zstd frame, and windows of more than 2^27 bytes (RFC 8878, 3.1.1.1).
/// Decompressing a whole frame at once needs no window; the limit keeps the files readable for tools that
/// decompress a stream.
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
        assert_eq!(FrameRefusal::of(NO_MEMORY), FrameRefusal::NoMemory);
        assert!(is_no_memory(&io::Error::other(get_error_name(NO_MEMORY))));
        assert!(is_no_memory(&io::ErrorKind::OutOfMemory.into()));
        for code in (1..=120).map(|error: ErrorCode| error.wrapping_neg()).filter(|&code| code != NO_MEMORY) {
            assert!(matches!(FrameRefusal::of(code), FrameRefusal::Damaged(_)), "{code}");
            assert!(!is_no_memory(&io::Error::other(get_error_name(code))), "{code}");
        }
    }
}
