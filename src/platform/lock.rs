//! File locks that belong to an open file and not to a process.

use std::fs::File;
use std::io;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::{AsFd, BorrowedFd};

use super::dir::Dir;

/// The part of a lock file to lock. A system that can only lock whole files locks only [`LockPart::Key`]; the other
/// parts always seem free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockPart {
    /// Byte 0: the lock of the key.
    Key = 0,
    /// Byte 1: readers lock it for a moment before they lock the key. A writer that waits for the key locks this byte
    /// to keep new readers out.
    Readers = 1,
    /// Byte 2: locked by the one waiting writer that may lock [`LockPart::Readers`].
    Turn = 2,
}

/// Tries to lock a part of the file, without waiting. Returns false if another open file holds a lock that excludes
/// this one. The lock ends when the last descriptor of `file` is closed, for example because the process is killed.
///
/// On Linux this is an open-file-description lock (`fcntl_locking(2)`), which works over NFS: an exclusive
/// lock needs a file open for writing, a shared lock a file open for reading. Elsewhere it is `flock`.
pub fn try_lock(file: &File, part: LockPart, exclusive: bool) -> io::Result<bool> {
    let result = lock(file, part, exclusive);
    match result.as_ref().map_err(io::Error::raw_os_error) {
        Ok(()) => Ok(true),
        Err(Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(_) => result.map(|()| true),
    }
}

/// Releases a lock at once. Closing the file is not enough: a child process that another thread forked holds
/// the same open file until the child executes its program.
pub fn unlock(file: &File, part: LockPart) {
    // If the lock is held, releasing it cannot fail. If it is not held, there is nothing to release.
    let _ = release(file, part);
}

/// True if an error of [`try_lock`] means that the file system has no locks, or that no lock server is running.
pub fn lacks_locks(error: &io::Error) -> bool {
    const CODES: [i32; 6] =
        [libc::ENOLCK, libc::ENOSYS, libc::EOPNOTSUPP, libc::ENOTSUP, libc::EINVAL, libc::EBADF];
    error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

/// Takes a shared lock on a directory, for as long as `dir` is open. Other processes find the lock with
/// [`is_dir_held`].
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn hold_dir(dir: &Dir) -> io::Result<()> {
    set(dir.as_fd(), whole_file(libc::F_RDLCK))
}

/// True if another open descriptor of this directory, of any process of this machine, holds the lock of [`hold_dir`].
/// `None` if the system does not say. False proves nothing about other machines, which may use the same directory.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn is_dir_held(dir: &Dir) -> Option<bool> {
    use std::os::fd::AsRawFd;

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
    // SAFETY: `flock` has only numbers, for which zero is valid. Zeros mean: from the start of the file
    // (`SEEK_SET` is 0) to its end, held by no process.
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
    use rustix::fs::{FlockOperation, flock};

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
