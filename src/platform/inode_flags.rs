//! Inode flags, project ids and birth times: attributes that are not in a stat, but that `chattr`, `lsattr` and `statx`
//! show.
//!
//! The flags are read with two system calls, because no call reports all of them. `FS_IOC_GETFLAGS` reports the flags
//! of `chattr`. `FS_IOC_FSGETXATTR` reports the project id and some of the flags. `FS_IOC_FSSETXATTR` sets only the
//! latter flags and leaves the others unchanged; on Btrfs, `FS_IOC_SETFLAGS` also changes the method of compression.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use super::file_system::is_btrfs;
use super::refused::is_refused;
use super::xattr::Named;
use crate::entry::InodeFlags;
use crate::stamp::Time;

/// The flags of a file or directory as bits of [`InodeFlags`], and its project id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlagsAndProject {
    pub flags: u32,
    pub project: u32,
}

/// `struct fsxattr` of `linux/fs.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct InodeAttributes {
    xflags: u32,
    extsize: u32,
    nextents: u32,
    project: u32,
    cowextsize: u32,
    padding: [u8; 8],
}

/// A flag of [`InodeFlags`] with its bit in `FS_IOC_GETFLAGS`, and its bit in `FS_IOC_FSGETXATTR` or 0.
const BITS: [(u32, u32, u32); 14] = [
    (InodeFlags::APPEND, 0x20, 0x10),
    (InodeFlags::CASEFOLD, 0x4000_0000, 0),
    (InodeFlags::COMPRESS, 0x4, 0),
    (InodeFlags::DAX, 0x0200_0000, 0x8000),
    (InodeFlags::DIRSYNC, 0x1_0000, 0),
    (InodeFlags::IMMUTABLE, 0x10, 0x8),
    (InodeFlags::JOURNAL, 0x4000, 0),
    (InodeFlags::NOATIME, 0x80, 0x40),
    (InodeFlags::NOCOMPRESS, 0x400, 0),
    (InodeFlags::NOCOW, 0x80_0000, 0),
    (InodeFlags::NODUMP, 0x40, 0x80),
    (InodeFlags::PROJINHERIT, 0x2000_0000, 0x200),
    (InodeFlags::SYNC, 0x8, 0x20),
    (InodeFlags::TOPDIR, 0x2_0000, 0),
];

/// The flags that have an effect only if an empty file has them before its data is written.
const OF_EMPTY_FILES: u32 = InodeFlags::COMPRESS | InodeFlags::NOCOMPRESS | InodeFlags::NOCOW;

fn raw_of(flags: u32) -> u32 {
    BITS.iter().filter(|(flag, ..)| flags & flag != 0).fold(0, |raw, (_, bit, _)| raw | bit)
}

fn flags_of(raw: u32, xflags: u32) -> u32 {
    let is_set = |&&(_, bit, xbit): &&(u32, u32, u32)| raw & bit != 0 || xflags & xbit != 0;
    BITS.iter().filter(is_set).fold(0, |flags, (flag, ..)| flags | flag)
}

/// Reads flags and project id of an open file or directory; an `O_PATH` descriptor is `EBADF`. Both are 0 if the file
/// system has none.
pub fn read_flags(fd: impl AsFd) -> io::Result<FlagsAndProject> {
    let fd = fd.as_fd();
    let raw = if_supported(calls::get_flags(fd))?.unwrap_or(0);
    let attributes = if_supported(calls::get_attributes(fd))?.unwrap_or_default();
    Ok(FlagsAndProject { flags: flags_of(raw, attributes.xflags), project: attributes.project })
}

/// `None` for the errors that mean that the file system, or this system, has no flags.
fn if_supported<T>(result: Result<T, Errno>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error == Errno::NOTTY || is_refused(error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Like [`read_flags`], for any descriptor of a file or directory.
pub fn read_flags_of(of: Named<'_>) -> io::Result<FlagsAndProject> {
    with_opened(of, |fd| read_flags(fd))
}

/// Sets the flags among `wanted` that only an empty file takes, and clears those among `cleared`, which the file
/// inherited from its directory. Errors are ignored: [`set_flags`] sees and reports the flags that are wrong at the
/// end.
pub fn prepare_flags(fd: BorrowedFd<'_>, wanted: u32, cleared: u32) {
    let wanted = raw_of(wanted & OF_EMPTY_FILES);
    if let Ok(now) = calls::get_flags(fd) {
        let new = now & !raw_of(cleared & OF_EMPTY_FILES) | wanted;
        if new != now {
            let _ = calls::set_flags(fd, new);
        }
    }
}

/// True if only an empty file takes the flags `wanted`: on Btrfs a file that has data ignores a change of `nocow`.
/// `now` are the flags of the file behind `fd`.
pub fn needs_empty_file(fd: impl AsFd, wanted: u32, now: u32) -> bool {
    (wanted ^ now) & InodeFlags::NOCOW != 0 && is_btrfs(fd)
}

/// Sets the flags `wanted`, except the protective ones, and clears the flags `cleared`. Returns the flags that the file
/// does not take, each with the reason.
pub fn set_flags(of: Named<'_>, wanted: u32, cleared: u32) -> io::Result<Vec<(u32, io::Error)>> {
    let wanted = wanted & !InodeFlags::PROTECTIVE;
    let cleared = cleared & !wanted & !InodeFlags::PROTECTIVE;
    if wanted == 0 && cleared == 0 {
        return Ok(Vec::new());
    }
    with_opened(of, |fd| {
        let now = match calls::get_flags(fd) {
            // Nothing is set on a file system without flags.
            Err(error) if wanted == 0 && if_supported::<()>(Err(error)).is_ok() => return Ok(Vec::new()),
            now => now?,
        };
        let new = now & !raw_of(cleared) | raw_of(wanted);
        if new == now {
            return Ok(Vec::new());
        }
        // Some file systems ignore a flag that they do not know, so the flags are read again.
        if calls::set_flags(fd, new).is_ok()
            && calls::get_flags(fd)? & raw_of(wanted | cleared) == new & raw_of(wanted | cleared)
        {
            return Ok(Vec::new());
        }
        Ok(BITS.iter().filter_map(|&(flag, bit, _)| Some((flag, set_one(fd, bit, new).err()?))).collect())
    })
}

/// Sets or clears the bit `bit` of the flags, as in `new`.
fn set_one(fd: BorrowedFd<'_>, bit: u32, new: u32) -> io::Result<()> {
    let now = calls::get_flags(fd)?;
    if now & bit == new & bit {
        return Ok(());
    }
    calls::set_flags(fd, now & !bit | new & bit)?;
    match calls::get_flags(fd)? & bit == new & bit {
        true => Ok(()),
        false => Err(Errno::NOTSUP.into()),
    }
}

/// Sets the project id, if there is one to set, and the protective flags among `flags`. Returns the results of both.
pub fn set_project_and_protect(
    fd: BorrowedFd<'_>,
    project: Option<u32>,
    flags: u32,
) -> (io::Result<()>, io::Result<()>) {
    let set = |project| change_attributes(fd, |attributes| attributes.project = project);
    let projected = project.map_or(Ok(()), set);
    let wanted = flags & InodeFlags::PROTECTIVE;
    let protect = || match calls::get_attributes(fd) {
        Err(error) if if_supported::<()>(Err(error)).is_ok() => {
            let now = calls::get_flags(fd)?;
            Ok(calls::set_flags(fd, now | raw_of(wanted))?)
        }
        _ => change_attributes(fd, |attributes| {
            let bits = BITS.iter().filter(|(flag, ..)| wanted & flag != 0);
            attributes.xflags |= bits.fold(0, |bits, (_, _, bit)| bits | bit);
        }),
    };
    (projected, if wanted == 0 { Ok(()) } else { protect() })
}

fn change_attributes(fd: BorrowedFd<'_>, change: impl FnOnce(&mut InodeAttributes)) -> io::Result<()> {
    let now = calls::get_attributes(fd)?;
    let mut new = now;
    change(&mut new);
    if new == now {
        return Ok(());
    }
    calls::set_attributes(fd, &new)?;
    let after = calls::get_attributes(fd)?;
    match (after.xflags, after.project) == (new.xflags, new.project) {
        true => Ok(()),
        false => Err(Errno::NOTSUP.into()),
    }
}

/// True if the file has a flag that forbids changes of it. `fd` may be an `O_PATH` descriptor. False where the system
/// does not report it.
pub fn is_protected(fd: impl AsFd) -> bool {
    calls::is_protected(fd.as_fd())
}

/// Like [`is_protected`], for the file or directory `name` in `dir`, which is not opened.
pub fn is_protected_in(dir: impl AsFd, name: &[u8]) -> bool {
    super::beneath::component(name).is_ok_and(|name| calls::is_protected_in(dir.as_fd(), name))
}

/// True if this thread may set protective flags.
pub fn may_protect() -> bool {
    calls::may_protect()
}

/// When the inode behind a descriptor was made; `None` if the file system does not report it. `fd` may be an `O_PATH`
/// descriptor.
pub fn birth_time(fd: impl AsFd) -> Option<Time> {
    calls::birth_time(fd.as_fd())
}

/// Runs `act` with a descriptor that is open for reading. If `of` has an `O_PATH` descriptor, opens its file, which
/// must be a regular file or a directory.
fn with_opened<T>(of: Named<'_>, act: impl Fn(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
    match act(of.fd) {
        Err(error) if error.raw_os_error() == Some(Errno::BADF.raw_os_error()) => {
            act(of.open_for_reading()?.as_fd())
        }
        done => done,
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod calls {
    use std::os::fd::BorrowedFd;

    use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, statx};
    use rustix::io::Result;
    use rustix::ioctl::{Getter, Opcode, Setter, Updater, ioctl, opcode};

    use super::InodeAttributes;
    use crate::stamp::Time;

    // The kernel declares the flags as `long` and reads and writes an `int`.
    const GET_FLAGS: Opcode = opcode::read::<libc::c_long>(b'f', 1);
    const SET_FLAGS: Opcode = opcode::write::<libc::c_long>(b'f', 2);
    const GET_ATTRIBUTES: Opcode = opcode::read::<InodeAttributes>(b'X', 31);
    const SET_ATTRIBUTES: Opcode = opcode::write::<InodeAttributes>(b'X', 32);

    pub fn get_flags(fd: BorrowedFd<'_>) -> Result<u32> {
        let mut flags = [0u32; 2];
        // SAFETY: the array is as long as the longest `long`, and valid with any bytes.
        unsafe { ioctl(fd, Updater::<GET_FLAGS, [u32; 2]>::new(&mut flags)) }?;
        Ok(flags[0])
    }

    pub fn set_flags(fd: BorrowedFd<'_>, flags: u32) -> Result<()> {
        // SAFETY: the array is as long as the longest `long`.
        unsafe { ioctl(fd, Setter::<SET_FLAGS, [u32; 2]>::new([flags, 0])) }
    }

    pub fn get_attributes(fd: BorrowedFd<'_>) -> Result<InodeAttributes> {
        // SAFETY: the opcode says that the system writes an `InodeAttributes`, which is valid with any bytes.
        unsafe { ioctl(fd, Getter::<GET_ATTRIBUTES, InodeAttributes>::new()) }
    }

    pub fn set_attributes(fd: BorrowedFd<'_>, attributes: &InodeAttributes) -> Result<()> {
        // The number of extents is a result only.
        let attributes = InodeAttributes { nextents: 0, ..*attributes };
        // SAFETY: the opcode says that the system reads an `InodeAttributes`.
        unsafe { ioctl(fd, Setter::<SET_ATTRIBUTES, InodeAttributes>::new(attributes)) }
    }

    pub fn is_protected(fd: BorrowedFd<'_>) -> bool {
        has_protective(fd, b"", AtFlags::EMPTY_PATH)
    }

    pub fn is_protected_in(dir: BorrowedFd<'_>, name: &[u8]) -> bool {
        has_protective(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
    }

    fn has_protective(fd: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> bool {
        let answer = statx(fd, name, flags, StatxFlags::empty());
        let protective = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
        answer.is_ok_and(|answer| answer.stx_attributes.intersects(protective))
    }

    pub fn may_protect() -> bool {
        use rustix::thread::{CapabilitySet, capabilities};

        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::LINUX_IMMUTABLE))
    }

    pub fn birth_time(fd: BorrowedFd<'_>) -> Option<Time> {
        // For a file system of another machine, the value that this machine has cached is enough.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let answer = statx(fd, "", flags, StatxFlags::BTIME).ok()?;
        let is_known =
            answer.stx_mask & StatxFlags::BTIME.bits() != 0 && answer.stx_btime.tv_nsec < 1_000_000_000;
        is_known.then_some(Time { secs: answer.stx_btime.tv_sec, nanos: answer.stx_btime.tv_nsec })
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod calls {
    use std::os::fd::BorrowedFd;

    use rustix::io::{Errno, Result};

    use super::InodeAttributes;
    use crate::stamp::Time;

    pub fn get_flags(_: BorrowedFd<'_>) -> Result<u32> {
        Err(Errno::NOTTY)
    }

    pub fn set_flags(_: BorrowedFd<'_>, _: u32) -> Result<()> {
        Err(Errno::NOTTY)
    }

    pub fn get_attributes(_: BorrowedFd<'_>) -> Result<InodeAttributes> {
        Err(Errno::NOTTY)
    }

    pub fn set_attributes(_: BorrowedFd<'_>, _: &InodeAttributes) -> Result<()> {
        Err(Errno::NOTTY)
    }

    pub fn is_protected(_: BorrowedFd<'_>) -> bool {
        false
    }

    pub fn is_protected_in(_: BorrowedFd<'_>, _: &[u8]) -> bool {
        false
    }

    pub fn may_protect() -> bool {
        false
    }

    pub fn birth_time(_: BorrowedFd<'_>) -> Option<Time> {
        None
    }
}
