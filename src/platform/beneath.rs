//! Opening strictly below a directory, through no symbolic link.
//!
//! One component needs no more than `O_NOFOLLOW`. A longer path is resolved by the kernel in one go
//! (`openat2`, Linux 5.6); where that call is missing or forbidden, and on other systems, the components
//! are opened one by one. Paths longer than the kernel takes are cut into chunks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{openat, Mode, OFlags};
use rustix::io::Errno;

/// A chunk of a path that fits into `PATH_MAX` (4096 with the closing NUL).
const CHUNK_MAX: usize = 4000;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod flags {
    use rustix::fs::OFlags;
    /// A descriptor that names the object without opening it.
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

/// How a directory on the way is opened: search permission is enough.
const ENTER: OFlags = PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens `rel` below `dir` for reading and leaves its access time alone where the system permits that.
pub(super) fn open_quietly(dir: BorrowedFd<'_>, rel: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    match open_beneath(dir, rel, flags | flags::NOATIME) {
        // Only the owner may ask for that.
        Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
            open_beneath(dir, rel, flags)
        }
        result => result,
    }
}

/// Opens `rel` below `dir`; the empty path is the directory itself. Neither `rel` nor what it meets can
/// lead outside: `.`, `..`, empty components and links are errors (a final link opens with [`PATH`]).
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

/// The name, if it is one component that stands for nothing but itself.
pub(super) fn component(name: &[u8]) -> io::Result<&[u8]> {
    match name {
        b"" | b"." | b".." => Err(Errno::INVAL.into()),
        _ if name.contains(&b'/') => Err(Errno::INVAL.into()),
        _ => Ok(name),
    }
}

/// The longest start of `rel` that the kernel takes and ends at a slash, and what follows that slash.
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
        // A filter of system calls may answer EPERM for a call it does not know; so does O_NOATIME on
        // another user's file, and that answer is the caller's.
        Err(Errno::PERM) if flags.intersects(flags::NOATIME) => Err(Errno::PERM),
        Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => open_by_component(dir, rel, flags),
        result => result,
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_resolved(dir: BorrowedFd<'_>, rel: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    use rustix::fs::{openat2, ResolveFlags};

    #[cfg(test)]
    if super::testing::openat2_is_missing() {
        return Err(Errno::NOSYS);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // EAGAIN: something was renamed meanwhile and the kernel could not tell whether that mattered.
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
