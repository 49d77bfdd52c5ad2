//! Opens paths strictly below a directory and follows no symbolic link.
//!
//! For one component `O_NOFOLLOW` is enough. The kernel resolves a longer path in one call (`openat2`, Linux
//! 5.6). If that call is missing or forbidden, and on other systems, the components are opened one by one.
//! Paths longer than the kernel accepts are cut into chunks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::refused::is_refused;

/// Longest chunk of a path, in bytes: it fits into `PATH_MAX` (4096 with the closing NUL).
const CHUNK_MAX: usize = 4000;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod flags {
    use rustix::fs::OFlags;
    /// For a descriptor that refers to an object without opening it.
    pub const PATH: OFlags = OFlags::PATH;
    pub const NOATIME: OFlags = OFlags::NOATIME;
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod flags {
    use rustix::fs::OFlags;
    pub const PATH: OFlags = OFlags::NONBLOCK;
    pub const NOATIME: OFlags = OFlags::empty();
}

pub(super) use flags::PATH;

/// Flags for a directory on the path. With these, search permission on the directory is enough.
const ENTER: OFlags = PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens `rel` below `dir` for reading. If the system permits it, reading does not change the access time.
pub(super) fn open_quietly(dir: BorrowedFd<'_>, rel: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    match open_beneath(dir, rel, flags | flags::NOATIME) {
        // The system permits `O_NOATIME` to the owner of the file only.
        Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
            open_beneath(dir, rel, flags)
        }
        result => result,
    }
}

/// Opens `rel` below `dir`; the empty path is `dir` itself. No path leads outside of `dir`: `.`, `..`, empty components
/// and symbolic links are errors. There is one exception: with the flag [`PATH`], the last component may be a symbolic
/// link, and the descriptor refers to the link itself.
pub(super) fn open_beneath(dir: BorrowedFd<'_>, rel: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if rel.is_empty() {
        return Ok(openat(dir, ".", flags, Mode::empty())?);
    }
    rel.split(|&b| b == b'/').try_for_each(|name| component(name).map(drop))?;
    let mut held: Option<OwnedFd> = None;
    let mut rest = rel;
    loop {
        let at = held.as_ref().map_or(dir, |fd| fd.as_fd());
        let (chunk, tail) = split_chunk(rest);
        if tail.is_empty() {
            return Ok(open_chunk(at, chunk, flags)?);
        }
        let entered = open_chunk(at, chunk, ENTER)?;
        held = Some(entered);
        rest = tail;
    }
}

/// Returns `name` if it is a single component; `EINVAL` for an empty name, `.`, `..` or a slash.
pub(super) fn component(name: &[u8]) -> io::Result<&[u8]> {
    match name {
        b"" | b"." | b".." => Err(Errno::INVAL.into()),
        _ if name.contains(&b'/') => Err(Errno::INVAL.into()),
        _ => Ok(name),
    }
}

/// Splits `rel` at the last slash that leaves a first part short enough for the kernel. Returns both parts without
/// that slash.
fn split_chunk(rel: &[u8]) -> (&[u8], &[u8]) {
    if rel.len() <= CHUNK_MAX {
        return (rel, b"");
    }
    match rel[..CHUNK_MAX].iter().rposition(|&b| b == b'/') {
        Some(slash) => (&rel[..slash], &rel[slash + 1..]),
        None => (rel, b""),
    }
}

fn open_chunk(dir: BorrowedFd<'_>, rel: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    if !rel.contains(&b'/') {
        return openat(dir, rel, flags, Mode::empty());
    }
    match open_resolved(dir, rel, flags) {
        // `O_NOATIME` on another user's file gives EPERM as well, and that error belongs to the caller.
        Err(Errno::PERM) if flags.intersects(flags::NOATIME) => Err(Errno::PERM),
        Err(error) if error == Errno::AGAIN || is_refused(error) => open_by_component(dir, rel, flags),
        result => result,
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_resolved(dir: BorrowedFd<'_>, rel: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    use rustix::fs::{ResolveFlags, openat2};

    #[cfg(test)]
    if super::testing::openat2_is_missing() {
        return Err(Errno::NOSYS);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // EAGAIN: an entry was renamed meanwhile, and the kernel could not decide whether the path is still beneath.
    for _ in 0..32 {
        match openat2(dir, rel, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => continue,
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open_resolved(_: BorrowedFd<'_>, _: &[u8], _: OFlags) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

fn open_by_component(dir: BorrowedFd<'_>, rel: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut held: Option<OwnedFd> = None;
    let mut names = rel.split(|&b| b == b'/').peekable();
    while let Some(name) = names.next() {
        let at = held.as_ref().map_or(dir, |fd| fd.as_fd());
        if names.peek().is_none() {
            return openat(at, name, flags, Mode::empty());
        }
        let entered = openat(at, name, ENTER, Mode::empty())?;
        held = Some(entered);
    }
    Err(Errno::INVAL)
}
