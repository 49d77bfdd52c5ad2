//! Locks that belong to an open file, not to a process.

use std::fs::File;
use std::io;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::{AsFd, BorrowedFd};

use super::dir::Dir;

/// Tries to lock the whole file; false if another open file holds a lock that excludes this one. The lock
/// goes when the last descriptor of `file` is closed, however the process ends.
///
/// On Linux an open-file-description lock (works over NFS; `fcntl_locking(2)`), so exclusive needs a file
/// open for writing and shared one open for reading; elsewhere `flock`.
pub fn try_lock(file: &File, exclusive: bool) -> io::Result<bool> {
    let result = lock(file, exclusive);
    match result.as_ref().map_err(io::Error::raw_os_error) {
        Ok(()) => Ok(true),
        Err(Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(_) => result.map(|()| true),
    }
}

/// Gives a lock up at once. Closing the file is not enough: a child that another thread forks holds the
/// same open file until it executes its program.
pub fn unlock(file: &File) {
    // Of a valid descriptor with a lock this cannot fail; without a lock there is nothing to do.
    let _ = release(file);
}

/// Holds a directory as long as it is open, together with any number of others: see [`is_dir_held`].
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn hold_dir(dir: &Dir) -> io::Result<()> {
    set(dir.as_fd(), libc::F_RDLCK)
}

/// Whether a directory is held by another opening of it, of any process. `None` if that cannot be known: locks are
/// believed only on file systems that no other machine serves.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn is_dir_held(dir: &Dir) -> Option<bool> {
    use std::os::fd::AsRawFd;

    // These are the file systems of this machine alone.
    if !dir.syncs_whole() {
        return None;
    }
    let mut found = whole_file(libc::F_WRLCK);
    // SAFETY: the descriptor is open and `found` outlives the call, which writes a `flock` to it.
    match unsafe { libc::fcntl(dir.as_fd().as_raw_fd(), libc::F_OFD_GETLK, &mut found) } {
        -1 => None,
        _ => Some(found.l_type != libc::F_UNLCK as libc::c_short),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn hold_dir(_: &Dir) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn is_dir_held(_: &Dir) -> Option<bool> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn lock(file: &File, exclusive: bool) -> io::Result<()> {
    set(file.as_fd(), if exclusive { libc::F_WRLCK } else { libc::F_RDLCK })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn release(file: &File) -> io::Result<()> {
    set(file.as_fd(), libc::F_UNLCK)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn whole_file(kind: libc::c_int) -> libc::flock {
    // SAFETY: `flock` is plain numbers, for which zero is valid: from the start of the file (`SEEK_SET`
    // is 0) to its end, by no process.
    let mut wanted: libc::flock = unsafe { std::mem::zeroed() };
    wanted.l_type = kind as libc::c_short;
    wanted
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set(file: BorrowedFd<'_>, kind: libc::c_int) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    let wanted = whole_file(kind);
    // SAFETY: the descriptor is open and `wanted` outlives the call, which only reads it.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &wanted) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn lock(file: &File, exclusive: bool) -> io::Result<()> {
    use rustix::fs::{flock, FlockOperation};

    let shared = FlockOperation::NonBlockingLockShared;
    Ok(flock(file, if exclusive { FlockOperation::NonBlockingLockExclusive } else { shared })?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn release(file: &File) -> io::Result<()> {
    Ok(rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock)?)
}
