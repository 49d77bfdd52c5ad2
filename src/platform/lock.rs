//! Locks that belong to an open file, not to a process.

use std::fs::File;
use std::io;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::{AsFd, BorrowedFd};

use super::dir::Dir;

/// Which part of a lock file is locked. On systems without locks of parts all but the key are always free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockPart {
    /// The key itself: byte 0.
    Key = 0,
    /// Byte 1, which readers lock for a moment before they lock the key: a writer that waits locks it to keep them out.
    Readers = 1,
    /// Byte 2: the turn of the one writer that may keep readers out while it waits.
    Turn = 2,
}

/// Tries to lock a part of the file; false if another open file holds a lock that excludes this one. The lock
/// goes when the last descriptor of `file` is closed, however the process ends.
///
/// On Linux an open-file-description lock (works over NFS; `fcntl_locking(2)`), so exclusive needs a file
/// open for writing and shared one open for reading; elsewhere `flock`.
pub fn try_lock(file: &File, part: LockPart, exclusive: bool) -> io::Result<bool> {
    let result = lock(file, part, exclusive);
    match result.as_ref().map_err(io::Error::raw_os_error) {
        Ok(()) => Ok(true),
        Err(Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(_) => result.map(|()| true),
    }
}

/// Gives a lock up at once. Closing the file is not enough: a child that another thread forks holds the
/// same open file until it executes its program.
pub fn unlock(file: &File, part: LockPart) {
    // Of a valid descriptor with a lock this cannot fail; without a lock there is nothing to do.
    let _ = release(file, part);
}

/// Whether an error of [`try_lock`] means that the file system has no locks, or that no server hands them out.
pub fn lacks_locks(error: &io::Error) -> bool {
    const CODES: [i32; 6] =
        [libc::ENOLCK, libc::ENOSYS, libc::EOPNOTSUPP, libc::ENOTSUP, libc::EINVAL, libc::EBADF];
    error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

/// Holds a directory as long as it is open, together with any number of others: see [`is_dir_held`].
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn hold_dir(dir: &Dir) -> io::Result<()> {
    set(dir.as_fd(), whole_file(libc::F_RDLCK))
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
fn lock(file: &File, part: LockPart, exclusive: bool) -> io::Result<()> {
    set(file.as_fd(), part_of_file(part, if exclusive { libc::F_WRLCK } else { libc::F_RDLCK }))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn release(file: &File, part: LockPart) -> io::Result<()> {
    set(file.as_fd(), part_of_file(part, libc::F_UNLCK))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn part_of_file(part: LockPart, kind: libc::c_int) -> libc::flock {
    libc::flock { l_start: part as libc::off_t, l_len: 1, ..whole_file(kind) }
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
fn set(file: BorrowedFd<'_>, wanted: libc::flock) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    // SAFETY: the descriptor is open and `wanted` outlives the call, which only reads it.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &wanted) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn lock(file: &File, part: LockPart, exclusive: bool) -> io::Result<()> {
    use rustix::fs::{flock, FlockOperation};

    let shared = FlockOperation::NonBlockingLockShared;
    match part {
        LockPart::Readers | LockPart::Turn => Ok(()),
        LockPart::Key => {
            Ok(flock(file, if exclusive { FlockOperation::NonBlockingLockExclusive } else { shared })?)
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn release(file: &File, part: LockPart) -> io::Result<()> {
    match part {
        LockPart::Readers | LockPart::Turn => Ok(()),
        LockPart::Key => Ok(rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock)?),
    }
}
