//! System calls of newer kernels, which work without `/proc`: the mode of an `O_PATH` descriptor (Linux 6.6), and
//! extended attributes by directory and name, without following a link (Linux 6.13). `ENOSYS` on a system without them.

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64", target_arch = "s390x")
))]
mod calls {
    use std::ffi::CString;
    use std::os::fd::{AsRawFd, BorrowedFd};

    use rustix::io::Errno;

    const FCHMODAT2: libc::c_long = 452;
    const SETXATTRAT: libc::c_long = 463;
    const GETXATTRAT: libc::c_long = 464;
    const LISTXATTRAT: libc::c_long = 465;
    const REMOVEXATTRAT: libc::c_long = 466;

    /// `struct xattr_args` of `linux/xattr.h`.
    #[repr(C, align(8))]
    struct XattrArgs {
        value: u64,
        size: u32,
        flags: u32,
    }

    /// The result of a raw system call.
    fn checked(code: libc::c_long) -> Result<usize, Errno> {
        let failed = || Errno::from_io_error(&std::io::Error::last_os_error());
        usize::try_from(code).map_err(|_| failed().unwrap_or(Errno::NOSYS))
    }

    fn c_string(bytes: &[u8]) -> Result<CString, Errno> {
        CString::new(bytes).map_err(|_| Errno::INVAL)
    }

    pub fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
        // SAFETY: the path is a C string, and the call writes to no memory.
        let code = unsafe {
            let (fd, path) = (fd.as_raw_fd(), c"".as_ptr());
            libc::syscall(FCHMODAT2, fd, path, mode & 0o7777, libc::AT_EMPTY_PATH)
        };
        checked(code).map(drop)
    }

    pub fn set_xattr(dir: BorrowedFd<'_>, file: &[u8], name: &[u8], value: &[u8]) -> Result<(), Errno> {
        let (file, name) = (c_string(file)?, c_string(name)?);
        let size = u32::try_from(value.len()).map_err(|_| Errno::TOOBIG)?;
        let args = XattrArgs { value: value.as_ptr() as u64, size, flags: 0 };
        // SAFETY: both strings end with NUL; the arguments point to `size` bytes that outlive the call.
        let code = unsafe {
            let (file, name, args_len) = (file.as_ptr(), name.as_ptr(), size_of::<XattrArgs>());
            let (dir, flags) = (dir.as_raw_fd(), libc::AT_SYMLINK_NOFOLLOW);
            libc::syscall(SETXATTRAT, dir, file, flags, name, &raw const args, args_len)
        };
        checked(code).map(drop)
    }

    pub fn get_xattr(dir: BorrowedFd<'_>, file: &[u8], name: &[u8], buf: &mut [u8]) -> Result<usize, Errno> {
        let (file, name) = (c_string(file)?, c_string(name)?);
        let size = u32::try_from(buf.len()).map_err(|_| Errno::TOOBIG)?;
        let mut args = XattrArgs { value: buf.as_mut_ptr() as u64, size, flags: 0 };
        // SAFETY: as for setting; the system writes at most `size` bytes to the buffer.
        let code = unsafe {
            let (file, name, args_len) = (file.as_ptr(), name.as_ptr(), size_of::<XattrArgs>());
            let (dir, flags) = (dir.as_raw_fd(), libc::AT_SYMLINK_NOFOLLOW);
            libc::syscall(GETXATTRAT, dir, file, flags, name, &raw mut args, args_len)
        };
        checked(code)
    }

    pub fn list_xattr(dir: BorrowedFd<'_>, file: &[u8], buf: &mut [u8]) -> Result<usize, Errno> {
        let file = c_string(file)?;
        // SAFETY: the string ends with NUL, and the system writes at most as many bytes as the buffer has.
        let code = unsafe {
            let (dir, flags) = (dir.as_raw_fd(), libc::AT_SYMLINK_NOFOLLOW);
            libc::syscall(LISTXATTRAT, dir, file.as_ptr(), flags, buf.as_mut_ptr(), buf.len())
        };
        checked(code)
    }

    pub fn remove_xattr(dir: BorrowedFd<'_>, file: &[u8], name: &[u8]) -> Result<(), Errno> {
        let (file, name) = (c_string(file)?, c_string(name)?);
        // SAFETY: both strings end with NUL.
        let code = unsafe {
            let (dir, flags) = (dir.as_raw_fd(), libc::AT_SYMLINK_NOFOLLOW);
            libc::syscall(REMOVEXATTRAT, dir, file.as_ptr(), flags, name.as_ptr())
        };
        checked(code).map(drop)
    }
}

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64", target_arch = "s390x")
)))]
mod calls {
    use std::os::fd::BorrowedFd;

    use rustix::io::Errno;

    pub fn set_mode(_: BorrowedFd<'_>, _: u32) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }

    pub fn set_xattr(_: BorrowedFd<'_>, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }

    pub fn get_xattr(_: BorrowedFd<'_>, _: &[u8], _: &[u8], _: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::NOSYS)
    }

    pub fn list_xattr(_: BorrowedFd<'_>, _: &[u8], _: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::NOSYS)
    }

    pub fn remove_xattr(_: BorrowedFd<'_>, _: &[u8], _: &[u8]) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }
}

pub(super) use calls::{get_xattr, list_xattr, remove_xattr, set_mode, set_xattr};
