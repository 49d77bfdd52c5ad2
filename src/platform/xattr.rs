//! Reads and sets extended attributes by descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
use rustix::fs as calls;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use self::calls::XattrFlags;
use super::dir::Dir;
use super::meta::{by_path, lacks_proc};
use super::newer;
use super::stat::stat_fd;
use crate::entry::FileType;

/// The most bytes of all attribute names and values of one file.
pub const XATTRS_MAX: usize = 8 << 20;

/// The error number of a call that names an attribute that the file does not have. Systems use different numbers.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub const XATTR_ABSENT: i32 = libc::ENODATA;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub const XATTR_ABSENT: i32 = libc::ENOATTR;

/// Attributes in which XFS shows POSIX ACLs a second time, in its own disk format (in the initial user namespace only).
/// A backup leaves them out: it has the ACLs in the portable form, and another file system would restore these names as
/// ordinary attributes.
const SHOWN_TWICE: [&[u8]; 2] = [b"trusted.SGI_ACL_FILE", b"trusted.SGI_ACL_DEFAULT"];

/// An object whose attributes are read or set: its descriptor, which may come from [`Dir::open_path`], and its
/// directory and name, if known. The system may refuse a descriptor from [`Dir::open_path`]. If `/proc` is not mounted
/// either, directory and name are used.
#[derive(Clone, Copy)]
pub struct Named<'n> {
    pub fd: BorrowedFd<'n>,
    pub place: Option<(&'n Dir, &'n [u8])>,
}

impl<'n> From<BorrowedFd<'n>> for Named<'n> {
    fn from(fd: BorrowedFd<'n>) -> Self {
        Named { fd, place: None }
    }
}

impl Named<'_> {
    /// Works on an object whose descriptor the system does not accept: by its path in `/proc` or, without `/proc`, by
    /// its name. Another process could replace the name meanwhile. So the name is used only in a directory that this
    /// user owns and nobody else can write to; otherwise the error is `ENOSYS`.
    fn unopened<T>(
        self,
        by_proc: impl Fn(&str) -> Result<T, Errno>,
        by_name: impl FnOnce(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> io::Result<T> {
        match (by_path(self.fd, by_proc), self.place) {
            (Err(error), Some((dir, name))) if is(&error, Errno::NOSYS) => {
                let holder = dir.stat_self()?;
                let is_ours = holder.uid == super::effective_uid() && holder.mode & 0o022 == 0;
                if !is_ours || dir.stat(name)?.id() != stat_fd(self.fd)?.id() {
                    return Err(error);
                }
                Ok(by_name(dir.as_fd(), name)?)
            }
            (done, _) => done,
        }
    }

    /// Opens a regular file or a directory for reading; `EINVAL` for anything else.
    pub fn open_for_reading(self) -> io::Result<OwnedFd> {
        const READ: OFlags = OFlags::CLOEXEC.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
        match stat_fd(self.fd)?.kind {
            FileType::Dir => Ok(rustix::fs::openat(self.fd, ".", READ | OFlags::DIRECTORY, Mode::empty())?),
            FileType::File => self.unopened(
                |path| rustix::fs::open(path, READ, Mode::empty()),
                |dir, name| rustix::fs::openat(dir, name, READ | OFlags::NOFOLLOW, Mode::empty()),
            ),
            // Opening a device or a FIFO can have an effect.
            _ => Err(Errno::INVAL.into()),
        }
    }
}

/// All extended attributes without [`SHOWN_TWICE`], sorted by name. The list is empty if the file system has no
/// extended attributes. An attribute that is removed meanwhile is left out. `E2BIG` for more than [`XATTRS_MAX`]
/// bytes.
pub fn read_xattrs<'n>(of: impl Into<Named<'n>>) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let of = of.into();
    let list = match read_growing(|buf| list_xattr(of, buf)) {
        // Some network file systems return `ENODATA` for a file without attributes.
        Err(error) if is_unsupported(&error) || is_absent(&error) => return Ok(Vec::new()),
        result => result?,
    };
    let mut total = list.len();
    let mut xattrs = Vec::new();
    for name in list.split(|&b| b == 0).filter(|name| !name.is_empty() && !SHOWN_TWICE.contains(name)) {
        match read_growing(|buf| get_xattr(of, name, buf)) {
            Ok(value) => {
                total += value.len();
                xattrs.push((name.to_vec(), value));
            }
            Err(error) if is_absent(&error) => {}
            Err(error) if is_unsupported(&error) => {}
            Err(error) => return Err(error),
        }
        if total > XATTRS_MAX {
            return Err(Errno::TOOBIG.into());
        }
    }
    xattrs.sort();
    // Some FUSE file systems list a name twice.
    xattrs.dedup_by(|later, earlier| later.0 == earlier.0);
    Ok(xattrs)
}

/// Sets one extended attribute and replaces its old value.
pub fn set_xattr<'n>(of: impl Into<Named<'n>>, name: &[u8], value: &[u8]) -> io::Result<()> {
    let of = of.into();
    match calls::fsetxattr(of.fd, name, value, XattrFlags::empty()) {
        Err(Errno::BADF) => of.unopened(
            |path| calls::setxattr(path, name, value, XattrFlags::empty()),
            |dir, file| newer::set_xattr(dir, file, name, value),
        ),
        result => Ok(result?),
    }
}

/// Removes one extended attribute. Succeeds also if the attribute is absent or the file system has no extended
/// attributes. File systems answer with many different errors then, so the attributes that are there decide.
pub fn remove_xattr<'n>(of: impl Into<Named<'n>>, name: &[u8]) -> io::Result<()> {
    let of = of.into();
    let removed = match calls::fremovexattr(of.fd, name) {
        Err(Errno::BADF) => of.unopened(
            |path| calls::removexattr(path, name),
            |dir, file| newer::remove_xattr(dir, file, name),
        ),
        result => result.map_err(io::Error::from),
    };
    match removed {
        Err(error) if is_unsupported(&error) || is_absent(&error) => Ok(()),
        // For example, on another user's file the system refuses to remove even an absent attribute.
        Err(_) if lacks_xattr(of, name) => Ok(()),
        result => result,
    }
}

fn lacks_xattr(of: Named<'_>, name: &[u8]) -> bool {
    let is_listed = |list: Vec<u8>| list.split(|&b| b == 0).any(|listed| listed == name);
    get_xattr(of, name, &mut []).is_err_and(|error| is_absent(&error) || is_unsupported(&error))
        || read_growing(|buf| list_xattr(of, buf)).is_ok_and(|list| !is_listed(list))
}

fn list_xattr(of: Named<'_>, buf: &mut [u8]) -> io::Result<usize> {
    match calls::flistxattr(of.fd, &mut *buf) {
        Err(Errno::BADF) => {
            let buf = std::cell::RefCell::new(buf);
            of.unopened(
                |path| calls::listxattr(path, &mut **buf.borrow_mut()),
                |dir, file| newer::list_xattr(dir, file, &mut buf.borrow_mut()),
            )
        }
        result => Ok(result?),
    }
}

fn get_xattr(of: Named<'_>, name: &[u8], buf: &mut [u8]) -> io::Result<usize> {
    match calls::fgetxattr(of.fd, name, &mut *buf) {
        Err(Errno::BADF) => {
            let buf = std::cell::RefCell::new(buf);
            of.unopened(
                |path| calls::getxattr(path, name, &mut **buf.borrow_mut()),
                |dir, file| newer::get_xattr(dir, file, name, &mut buf.borrow_mut()),
            )
        }
        result => Ok(result?),
    }
}

/// Calls `read` with larger and larger buffers until the result fits. The first buffer is on the stack, because
/// most files have no attribute and most attributes are short.
fn read_growing(mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut small = [0; 256];
    let mut large = Vec::new();
    loop {
        let buf = if large.is_empty() { &mut small[..] } else { &mut large[..] };
        match read(buf) {
            Ok(len) => return Ok(buf[..len].to_vec()),
            Err(error) if error.raw_os_error() == Some(Errno::RANGE.raw_os_error()) => {
                let len = buf.len() * 8;
                if len > XATTRS_MAX {
                    return Err(Errno::TOOBIG.into());
                }
                large.resize(len, 0);
            }
            Err(error) => return Err(error),
        }
    }
}

/// True if the error means that the file system has no extended attributes. `ENOSYS` can also mean that `/proc` is
/// missing.
fn is_unsupported(error: &io::Error) -> bool {
    is(error, Errno::NOTSUP) || is(error, Errno::OPNOTSUPP) || (is(error, Errno::NOSYS) && !lacks_proc())
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn is_absent(error: &io::Error) -> bool {
    error.raw_os_error() == Some(XATTR_ABSENT)
}

/// For a system whose calls for extended attributes libibt does not know: its files have none.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
mod calls {
    use rustix::io::{Errno, Result};

    pub struct XattrFlags;

    impl XattrFlags {
        pub fn empty() -> Self {
            XattrFlags
        }
    }

    pub fn fsetxattr<F>(_: F, _: &[u8], _: &[u8], _: XattrFlags) -> Result<()> {
        Err(Errno::NOTSUP)
    }

    pub fn fremovexattr<F>(_: F, _: &[u8]) -> Result<()> {
        Err(Errno::NOTSUP)
    }

    pub fn flistxattr<F>(_: F, _: &mut [u8]) -> Result<usize> {
        Err(Errno::NOTSUP)
    }

    pub fn fgetxattr<F>(_: F, _: &[u8], _: &mut [u8]) -> Result<usize> {
        Err(Errno::NOTSUP)
    }

    /// The functions that take a path are those that take a descriptor.
    pub use {
        fgetxattr as getxattr, flistxattr as listxattr, fremovexattr as removexattr, fsetxattr as setxattr,
    };
}
