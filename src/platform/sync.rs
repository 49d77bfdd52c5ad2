//! Makes files, directories and whole file systems durable.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::io::Errno;

use super::dir::Dir;

/// Makes the name of the file at `path` durable, by syncing its parent directory.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Dir::open(parent.unwrap_or_else(|| Path::new(".")))?.sync()
}

/// Makes a file durable and closes it. After an error of either step the bytes of the file may be lost.
pub fn sync_and_close(file: File) -> io::Result<()> {
    rustix::fs::fsync(&file)?;
    close(file)
}

/// Makes the file or directory behind a descriptor durable.
pub fn sync_fd(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::fsync(fd)?)
}

/// Closes a file and returns the error of `close`, which dropping the file would hide.
fn close(file: File) -> io::Result<()> {
    use std::os::fd::IntoRawFd;
    // SAFETY: `file` owned the descriptor and gave it up, so it is closed once.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Dir {
    /// Makes the names in this directory durable. Succeeds also on a file system that cannot sync directories, because
    /// there is no other way to sync them.
    pub fn sync(&self) -> io::Result<()> {
        match rustix::fs::fsync(self) {
            Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Makes everything on this directory's file system durable. Where [`has_syncfs`] is false, syncs all file systems
    /// instead, and the system does not report write errors: sync each file whose write errors matter.
    pub fn syncfs(&self) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        match rustix::fs::syncfs(self) {
            // `syncfs` has no such errors of its own.
            Err(error) if super::refused::is_refused(error) => sync_all_file_systems(),
            result => Ok(result?),
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        sync_all_file_systems()
    }
}

/// False if the system has no `syncfs` (Linux 2.6.39), or forbids it.
pub fn has_syncfs() -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use std::sync::OnceLock;

        static HAS_SYNCFS: OnceLock<bool> = OnceLock::new();
        // A filter of system calls answers before the kernel looks at the descriptor.
        // SAFETY: -1 is no descriptor, so the call fails and changes nothing.
        let answer = || unsafe { libc::syscall(libc::SYS_syncfs, -1) };
        *HAS_SYNCFS
            .get_or_init(|| answer() == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EBADF))
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    false
}

/// Makes all file systems durable. Fails if the system forbids that.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn sync_all_file_systems() -> io::Result<()> {
    // The function `sync` of the C library hides the error of the call.
    // SAFETY: the call has no arguments.
    match unsafe { libc::syscall(libc::SYS_sync) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn sync_all_file_systems() -> io::Result<()> {
    rustix::fs::sync();
    Ok(())
}
