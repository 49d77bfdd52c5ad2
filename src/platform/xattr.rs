//! Extended attributes by descriptor.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::meta::by_path;

/// The most bytes of names and values that one file's attributes may have together.
pub const XATTRS_MAX: usize = 8 << 20;

/// What XFS shows of POSIX ACLs in its own form on disk, in the initial user namespace. Other file systems take these
/// names for ordinary attributes, and the ACLs are read in the portable form anyway.
const SHOWN_TWICE: [&[u8]; 2] = [b"trusted.SGI_ACL_FILE", b"trusted.SGI_ACL_DEFAULT"];

/// All extended attributes but [`SHOWN_TWICE`], sorted by name; none where the file system knows no such thing. An attribute
/// removed meanwhile is left out. More than [`XATTRS_MAX`] bytes are `E2BIG`.
///
/// Takes descriptors of [`Dir::open_path`](super::Dir::open_path) too.
pub fn read_xattrs(fd: BorrowedFd<'_>) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let list = match read_growing(|buf| list_xattr(fd, buf)) {
        // Some file systems of other machines say so of a file without any (`ENODATA`).
        Err(error) if is_unsupported(&error) || is_absent(&error) => return Ok(Vec::new()),
        result => result?,
    };
    let mut total = list.len();
    let mut xattrs = Vec::new();
    for name in list.split(|&b| b == 0).filter(|name| !name.is_empty() && !SHOWN_TWICE.contains(name)) {
        match read_growing(|buf| get_xattr(fd, name, buf)) {
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
    // Some file systems of other programs list a name twice.
    xattrs.dedup_by(|later, earlier| later.0 == earlier.0);
    Ok(xattrs)
}

/// Sets one extended attribute, replacing the value it had.
pub fn set_xattr(fd: BorrowedFd<'_>, name: &[u8], value: &[u8]) -> io::Result<()> {
    match rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()) {
        Err(Errno::BADF) => by_path(fd, |path| rustix::fs::setxattr(path, name, value, XattrFlags::empty())),
        result => Ok(result?),
    }
}

/// Removes one extended attribute; an absent one is success, and so is a file system without any.
pub fn remove_xattr(fd: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let removed = match rustix::fs::fremovexattr(fd, name) {
        Err(Errno::BADF) => by_path(fd, |path| rustix::fs::removexattr(path, name)),
        result => result.map_err(io::Error::from),
    };
    match removed {
        Err(error) if is_unsupported(&error) || is_absent(&error) => Ok(()),
        // Of another user's file the system refuses to remove even what is absent.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && lacks_xattr(fd, name) => Ok(()),
        result => result,
    }
}

fn lacks_xattr(fd: BorrowedFd<'_>, name: &[u8]) -> bool {
    get_xattr(fd, name, &mut []).is_err_and(|error| is_absent(&error) || is_unsupported(&error))
}

fn list_xattr(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    match rustix::fs::flistxattr(fd, &mut *buf) {
        Err(Errno::BADF) => {
            let buf = std::cell::RefCell::new(buf);
            by_path(fd, |path| rustix::fs::listxattr(path, &mut **buf.borrow_mut()))
        }
        result => Ok(result?),
    }
}

fn get_xattr(fd: BorrowedFd<'_>, name: &[u8], buf: &mut [u8]) -> io::Result<usize> {
    match rustix::fs::fgetxattr(fd, name, &mut *buf) {
        Err(Errno::BADF) => {
            let buf = std::cell::RefCell::new(buf);
            by_path(fd, |path| rustix::fs::getxattr(path, name, &mut **buf.borrow_mut()))
        }
        result => Ok(result?),
    }
}

/// Calls `read` with ever larger buffers until what it reads fits. Most files have no attribute, and most
/// attributes are short: the first buffer is on the stack.
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

fn is_unsupported(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS].iter().any(|e| code == Some(e.raw_os_error()))
}

fn is_absent(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NODATA.raw_os_error())
}
