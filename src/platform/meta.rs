//! Owners, permissions and times, applied without following links.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, Gid, Timespec, Timestamps, Uid, UTIME_OMIT};
use rustix::io::Errno;

use super::dir::bits;
use super::newer;
use crate::stamp::Time;

/// Sets owner and group of what the descriptor names, [`Dir::open_path`](super::Dir::open_path)'s descriptors included. The
/// system takes setuid and setgid off a file whose owner changes: set the mode afterwards.
pub fn set_owner(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = owner(uid, gid)?;
    match rustix::fs::fchown(fd, uid, gid) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Err(Errno::BADF) => Ok(rustix::fs::chownat(fd, "", uid, gid, AtFlags::EMPTY_PATH)?),
        result => Ok(result?),
    }
}

/// Sets the permission bits; a link has none (`EOPNOTSUPP`).
pub fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    match rustix::fs::fchmod(fd, bits(mode)) {
        Err(Errno::BADF) => match newer::set_mode(fd, mode) {
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => {
                by_path(fd, |path| rustix::fs::chmod(path, bits(mode)))
            }
            result => Ok(result?),
        },
        result => Ok(result?),
    }
}

/// Sets the modification time; the access time stays.
pub fn set_times(fd: BorrowedFd<'_>, mtime: Time) -> io::Result<()> {
    let times = timestamps(mtime);
    match rustix::fs::futimens(fd, &times) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Err(Errno::BADF) => match rustix::fs::utimensat(fd, "", &times, AtFlags::EMPTY_PATH) {
            // Before Linux 5.8.
            Err(Errno::INVAL) => {
                by_path(fd, |path| rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::empty()))
            }
            result => Ok(result?),
        },
        result => Ok(result?),
    }
}

/// Does to the object of an `O_PATH` descriptor what the system does only to a path. The link in `/proc`
/// leads to the very object; if that is a symbolic link, it is not followed further. `ENOSYS` if `/proc` is not mounted.
pub(super) fn by_path<T>(fd: BorrowedFd<'_>, act: impl Fn(&str) -> Result<T, Errno>) -> io::Result<T> {
    match act(&format!("/proc/self/fd/{}", fd.as_raw_fd())) {
        Err(Errno::NOENT | Errno::NOTDIR) if lacks_proc() => Err(Errno::NOSYS.into()),
        done => Ok(done?),
    }
}

/// Whether `/proc` is not mounted, through which the system does what no call of its own does.
pub fn lacks_proc() -> bool {
    rustix::fs::stat("/proc/self/fd").is_err()
}

/// The system takes -1 for "leave it", which is nobody's number.
fn owner(uid: u32, gid: u32) -> io::Result<(Option<Uid>, Option<Gid>)> {
    if uid == u32::MAX || gid == u32::MAX {
        return Err(Errno::INVAL.into());
    }
    Ok((Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))))
}

#[allow(clippy::unnecessary_cast)]
fn timestamps(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ },
        last_modification: Timespec { tv_sec: mtime.secs as _, tv_nsec: mtime.nanos as _ },
    }
}
