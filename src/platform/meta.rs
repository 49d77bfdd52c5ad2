//! Sets owners, permissions and times without following symbolic links.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, Gid, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;

use super::dir::bits;
use super::newer;
use super::refused::is_refused;
use crate::stamp::Time;

/// Sets owner and group of the object behind a descriptor; `None` leaves them as they are. Descriptors of
/// [`Dir::open_path`](super::Dir::open_path) are allowed. Set the mode afterwards: the system removes setuid and
/// setgid from a file whose owner changes.
pub fn set_owner(
    fd: BorrowedFd<'_>,
    uid: impl Into<Option<u32>>,
    gid: impl Into<Option<u32>>,
) -> io::Result<()> {
    let (uid, gid) = owner(uid.into(), gid.into())?;
    match rustix::fs::fchown(fd, uid, gid) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Err(Errno::BADF) => Ok(rustix::fs::chownat(fd, "", uid, gid, AtFlags::EMPTY_PATH)?),
        result => Ok(result?),
    }
}

/// Sets the permission bits; `EOPNOTSUPP` for a symbolic link, which has none.
pub fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    match rustix::fs::fchmod(fd, bits(mode)) {
        Err(Errno::BADF) => match newer::set_mode(fd, mode) {
            Err(error) if is_refused(error) => by_path(fd, |path| rustix::fs::chmod(path, bits(mode))),
            result => Ok(result?),
        },
        result => Ok(result?),
    }
}

/// Sets the modification time and leaves the access time unchanged.
pub fn set_times(fd: BorrowedFd<'_>, mtime: Time) -> io::Result<()> {
    let times = timestamps(mtime);
    match rustix::fs::futimens(fd, &times) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Err(Errno::BADF) => match rustix::fs::utimensat(fd, "", &times, AtFlags::EMPTY_PATH) {
            // Before Linux 5.8, `utimensat` does not accept an empty path.
            Err(Errno::INVAL) => {
                by_path(fd, |path| rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::empty()))
            }
            result => Ok(result?),
        },
        result => Ok(result?),
    }
}

/// Applies `act` to the object of an `O_PATH` descriptor, for system calls that accept only a path. The path in
/// `/proc` leads to exactly this object; if the object is a symbolic link, the link is not followed. `ENOSYS` if
/// `/proc` is not mounted.
pub(super) fn by_path<T>(fd: BorrowedFd<'_>, act: impl Fn(&str) -> Result<T, Errno>) -> io::Result<T> {
    match act(&format!("/proc/self/fd/{}", fd.as_raw_fd())) {
        Err(Errno::NOENT | Errno::NOTDIR) if lacks_proc() => Err(Errno::NOSYS.into()),
        done => Ok(done?),
    }
}

/// True if `/proc` is not mounted. Calls that accept only a path then fail for `O_PATH` descriptors.
pub fn lacks_proc() -> bool {
    rustix::fs::stat("/proc/self/fd").is_err()
}

/// Checks owner and group. -1 is an error: for the system it means "do not change", and no user has this number.
fn owner(uid: Option<u32>, gid: Option<u32>) -> io::Result<(Option<Uid>, Option<Gid>)> {
    if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
        return Err(Errno::INVAL.into());
    }
    Ok((uid.map(Uid::from_raw), gid.map(Gid::from_raw)))
}

#[allow(clippy::unnecessary_cast)]
fn timestamps(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ },
        last_modification: Timespec { tv_sec: mtime.secs as _, tv_nsec: mtime.nanos as _ },
    }
}
