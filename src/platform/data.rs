//! A file's bytes: holes, and making them durable.

use std::fs::File;
use std::io;

use rustix::fs::{seek, SeekFrom};
use rustix::io::Errno;

use super::stat::{FileKind, Stat};

/// True for a file that occupies less than its size: it has holes, or its file system compresses.
pub fn maybe_sparse(stat: &Stat) -> bool {
    stat.kind == FileKind::File && stat.blocks.saturating_mul(512) < stat.size
}

/// The holes in the first `size` bytes as (offset, length): ascending, apart, not empty. None where the
/// file system cannot tell. Leaves the file's offset anywhere.
pub fn holes(file: &File, size: u64) -> io::Result<Vec<(u64, u64)>> {
    match find_holes(file, size) {
        Err(Errno::INVAL | Errno::NOTSUP) => Ok(Vec::new()),
        result => Ok(result?),
    }
}

fn find_holes(file: &File, size: u64) -> Result<Vec<(u64, u64)>, Errno> {
    let mut holes = Vec::new();
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
        if data > hole {
            holes.push((hole, data - hole));
        }
        // A writer may have filled the hole meanwhile; go on past it in any case.
        at = data.max(hole + 1);
    }
    Ok(holes)
}

/// Makes the file's bytes and size durable. After an error the bytes must be written anew to another
/// file: the system may have thrown them away.
pub fn sync_file(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fsync(file)?)
}

/// Asks the system to begin writing a range to disk and returns at once. Only a hint, so its errors mean
/// nothing: a failed write shows in [`sync_file`], which remains due.
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
