//! A file's bytes: holes, and making them durable.

use std::fs::File;
use std::io;

use rustix::fs::{seek, SeekFrom};
use rustix::io::Errno;

/// The holes in the first `size` bytes as (offset, length): ascending, apart, not empty. None where the
/// file system cannot tell. Leaves the file's offset anywhere.
pub fn holes(file: &File, size: u64) -> io::Result<Vec<(u64, u64)>> {
    match find_holes(file, size) {
        Err(Errno::INVAL | Errno::NOTSUP) => Ok(Vec::new()),
        result => Ok(result?),
    }
}

fn find_holes(file: &File, size: u64) -> Result<Vec<(u64, u64)>, Errno> {
    let mut holes: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    while at < size {
        let hole = match seek(file, SeekFrom::Hole(at)) {
            // The file has become shorter.
            Err(Errno::NXIO) => break,
            result => result?.max(at),
        };
        if hole >= size {
            break;
        }
        let data = match seek(file, SeekFrom::Data(hole)) {
            Err(Errno::NXIO) => size,
            result => result?.min(size),
        };
        add_hole(&mut holes, hole, data);
        // A writer may have filled the hole meanwhile; go on past it in any case.
        at = data.max(hole + 1);
    }
    Ok(holes)
}

/// Adds a hole up to `end`. Where a writer has made the one before longer, they touch, and are one.
pub(super) fn add_hole(holes: &mut Vec<(u64, u64)>, start: u64, end: u64) {
    match holes.last_mut() {
        Some((offset, len)) if *offset + *len == start => *len = end - *offset,
        _ if end > start => holes.push((start, end - start)),
        _ => {}
    }
}

/// Asks the system to begin writing a range to disk and returns at once. Only a hint, so its errors mean
/// nothing: a failed write shows in [`sync_and_close`](super::sync_and_close), which remains due.
pub fn start_writeback(file: &File, offset: u64, len: u64) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let (Ok(offset), Ok(len)) = (libc::off64_t::try_from(offset), libc::off64_t::try_from(len)) {
        use std::os::fd::AsRawFd;
        // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
        unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, libc::SYNC_FILE_RANGE_WRITE) };
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (file, offset, len);
}
