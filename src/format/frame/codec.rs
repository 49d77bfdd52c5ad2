//! One frame in, one frame out, with the zstd contexts of the thread.

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::compress_bound;

thread_local! {
    /// The level and the context that has it.
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The largest window a frame may ask for, as a power of two.
const WINDOW_LOG_MAX: u32 = 27;

/// Compresses `data` into `out` as one frame with content size and checksum.
pub(super) fn compress(level: i32, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(has, _)| *has != level) {
            let mut fresh = Compressor::new(level)?;
            fresh.include_checksum(true)?;
            fresh.include_contentsize(true)?;
            *slot = Some((level, fresh));
        }
        out.clear();
        out.reserve(compress_bound(data.len()));
        match slot {
            Some((_, compressor)) => compressor.compress_to_buffer(data, out).map(drop),
            None => Err(io::ErrorKind::OutOfMemory.into()),
        }
    })
}

/// Decompresses one frame of exactly `len` bytes into `out`, which is empty.
pub(super) fn decompress(frame: &[u8], len: usize, mut out: Vec<u8>) -> Result<Vec<u8>, String> {
    check_window(frame)?;
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Some(Decompressor::new().map_err(|e| e.to_string())?);
        }
        out.try_reserve_exact(len).map_err(|e| e.to_string())?;
        if let Some(decompressor) = slot {
            decompressor.decompress_to_buffer(frame, &mut out).map_err(|e| e.to_string())?;
        }
        match out.len() == len {
            true => Ok(out),
            false => Err(format!("{} bytes where the seek table says {len}", out.len())),
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
