//! Makes directories by their paths, opens or makes files, and makes files durable.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::descriptors::beside_streams;
use super::dir::Dir;

/// Makes one directory with the permission bits of `mode` that the umask permits.
pub fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    rustix::fs::mkdir(path, Mode::from_raw_mode(mode as _))?;
    Ok(())
}

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
pub fn sync_fd(fd: std::os::fd::BorrowedFd<'_>) -> io::Result<()> {
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
    /// Opens a file for reading and writing. Makes it with `mode` if it is absent.
    pub fn open_or_create(&self, name: &[u8], mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC
            | OFlags::NOCTTY
            | OFlags::NONBLOCK;
        let name = super::beneath::component(name)?;
        Ok(beside_streams(rustix::fs::openat(self, name, flags, Mode::from_raw_mode(mode as _))?)?.into())
    }

    /// True if the directory is empty. Fails if the listing breaks off before the first name.
    pub fn is_empty(&self) -> io::Result<bool> {
        let listing = self.list();
        match listing.error {
            Some(error) if listing.names.is_empty() => Err(error),
            _ => Ok(listing.names.is_empty()),
        }
    }
}
