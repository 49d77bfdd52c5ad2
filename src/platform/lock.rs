//! File locks that belong to an open file and not to a process.

use std::fs::File;
use std::io;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use super::dir::Dir;
use super::refused::is_refused;

/// The part of a lock file to lock. Some systems can only lock a whole file. There, each of the first three parts is
/// the whole file, so a writer excludes readers too, and the other two parts always seem free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockPart {
    /// Bytes 0 and 1, locked in one call: an operation that deletes files excludes readers and writers. In other files,
    /// for example in temporary files, a lock always locks this part.
    Key,
    /// Byte 0: shared by readers.
    Reading,
    /// Byte 1: locked by the one writer.
    Writing,
    /// Byte 2: readers and writers lock it for a moment before they lock their own part. A prune that waits for the key
    /// locks this byte to keep newcomers out.
    Entrance,
    /// Byte 3: locked by the one waiting prune that may lock [`LockPart::Entrance`].
    Turn,
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

/// The part that another open file has locked, if that lock excludes a lock of `part`; `None` if there is no such lock
/// now. `Err` if the system does not report locks.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn lock_in_the_way(file: &File, part: LockPart, exclusive: bool) -> io::Result<Option<LockPart>> {
    let found = conflict(file.as_fd(), part_of_file(part, kind(exclusive)))?;
    Ok(found.map(|found| match (found.l_start, found.l_len) {
        (0, 1) => LockPart::Reading,
        (0, _) => LockPart::Key,
        (1, _) => LockPart::Writing,
        // The system reports the two neighbouring bytes of a waiting prune as one lock.
        _ => LockPart::Entrance,
    }))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn lock_in_the_way(_: &File, _: LockPart, _: bool) -> io::Result<Option<LockPart>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// True if an error of [`try_lock`] means that the system or the file system has no locks, or that no lock server is
/// running.
pub fn lacks_locks(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOLCK | libc::EBADF))
        || Errno::from_io_error(error).is_some_and(is_refused)
}

/// Takes a shared lock on a directory, for as long as `dir` is open. Other processes find the lock with
/// [`is_dir_held`].
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn hold_dir(dir: &Dir) -> io::Result<()> {
    set(dir.as_fd(), whole_file(libc::F_RDLCK))
}

/// True if another open descriptor of this directory, of any process of this machine, holds the lock of [`hold_dir`].
/// `None` if the system does not report locks. False proves nothing about other machines, which may use the same
/// directory.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn is_dir_held(dir: &Dir) -> Option<bool> {
    conflict(dir.as_fd(), whole_file(libc::F_WRLCK)).ok().map(|found| found.is_some())
}

/// The lock of another open file that excludes `wanted`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn conflict(file: BorrowedFd<'_>, mut wanted: libc::flock) -> io::Result<Option<libc::flock>> {
    use std::os::fd::AsRawFd;

    // SAFETY: the descriptor is open and `wanted` outlives the call, which writes a `flock` to it.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut wanted) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(Some(wanted).filter(|found| found.l_type != libc::F_UNLCK as libc::c_short)),
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
    set(file.as_fd(), part_of_file(part, kind(exclusive)))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn kind(exclusive: bool) -> libc::c_int {
    if exclusive { libc::F_WRLCK } else { libc::F_RDLCK }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn release(file: &File, part: LockPart) -> io::Result<()> {
    set(file.as_fd(), part_of_file(part, libc::F_UNLCK))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn part_of_file(part: LockPart, kind: libc::c_int) -> libc::flock {
    let (l_start, l_len) = match part {
        LockPart::Key => (0, 2),
        LockPart::Reading => (0, 1),
        LockPart::Writing => (1, 1),
        LockPart::Entrance => (2, 1),
        LockPart::Turn => (3, 1),
    };
    libc::flock { l_start, l_len, ..whole_file(kind) }
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
        LockPart::Entrance | LockPart::Turn => Ok(()),
        LockPart::Key | LockPart::Reading | LockPart::Writing => {
            Ok(flock(file, if exclusive { FlockOperation::NonBlockingLockExclusive } else { shared })?)
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn release(file: &File, part: LockPart) -> io::Result<()> {
    match part {
        LockPart::Entrance | LockPart::Turn => Ok(()),
        LockPart::Key | LockPart::Reading | LockPart::Writing => {
            Ok(rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock)?)
        }
    }
}
