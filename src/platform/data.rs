//! The bytes of a file: holes, and an early start of writing to disk.

use std::fs::File;
use std::io;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::refused::is_refused;

/// The holes in the first `size` bytes as (offset, length): ascending, not touching, not empty. The list is
/// empty if the file system does not report holes. Changes the file's offset.
pub fn holes(file: &File, size: u64) -> io::Result<Vec<(u64, u64)>> {
    match find_holes(file, size) {
        Err(error) if is_refused(error) => Ok(Vec::new()),
        result => Ok(result?),
    }
}

fn find_holes(file: &File, size: u64) -> Result<Vec<(u64, u64)>, Errno> {
    let mut holes: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    while at < size {
        let hole = match seek(file, SeekFrom::Hole(at)) {
            // The file has become shorter than `at`.
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
        // `data` equals `hole` if another process filled the hole meanwhile. Then `hole + 1` guarantees progress.
        at = data.max(hole + 1);
    }
    Ok(holes)
}

/// Adds the hole from `start` to `end`. If it begins at the end of the hole before, because a writer changed the
/// file meanwhile, both become one hole.
pub(super) fn add_hole(holes: &mut Vec<(u64, u64)>, start: u64, end: u64) {
    match holes.last_mut() {
        Some((offset, len)) if *offset + *len == start => *len = end - *offset,
        _ if end > start => holes.push((start, end - start)),
        _ => {}
    }
}

/// Asks the system to begin writing a range of `len` bytes to disk, and returns at once. This is only a hint,
/// so errors are ignored. The caller must still call [`sync_and_close`](super::sync_and_close), which reports a
/// failed write.
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
