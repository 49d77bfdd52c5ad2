//! Making places for files: directories by path, files that may be there already, closing for good.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::dir::Dir;

/// Makes one directory with `mode`, less what the umask takes away.
pub fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    rustix::fs::mkdir(path, Mode::from_raw_mode(mode as _))?;
    Ok(())
}

/// Makes the name of `path` in its parent directory durable.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Dir::open(parent.unwrap_or_else(|| Path::new(".")))?.sync()
}

/// Makes a file durable and closes it. Either may fail, and either failure means that its bytes may be
/// lost.
pub fn sync_and_close(file: File) -> io::Result<()> {
    rustix::fs::fsync(&file)?;
    close(file)
}

/// `close` with its error, which dropping a file would hide.
fn close(file: File) -> io::Result<()> {
    use std::os::fd::IntoRawFd;
    // SAFETY: the descriptor was owned by `file`, which gave it up, and is closed once.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Dir {
    /// Opens a file for reading and writing, made with `mode` if it is absent.
    pub fn open_or_create(&self, name: &[u8], mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC
            | OFlags::NOCTTY
            | OFlags::NONBLOCK;
        let name = super::beneath::component(name)?;
        Ok(rustix::fs::openat(self, name, flags, Mode::from_raw_mode(mode as _))?.into())
    }

    /// Whether it holds nothing. Fails if it cannot be listed.
    pub fn is_empty(&self) -> io::Result<bool> {
        let listing = self.list();
        match listing.error {
            Some(error) if listing.names.is_empty() => Err(error),
            _ => Ok(listing.names.is_empty()),
        }
    }
}
