//! Makes directories by their paths, and opens or makes files.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::beneath::PATH;
use super::descriptors::beside_streams;
use super::dir::{Dir, bits};
use super::meta::set_mode;
use super::stat::{Stat, stat_fd};

/// The rights of the owner in a mode.
const OWNER: u32 = 0o700;

/// Makes one directory with the permission bits of `mode` that the umask permits. The owner gets all rights in `mode`.
pub fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    rustix::fs::mkdir(path, bits(mode))?;
    let flags = PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match Stat::from_raw(&rustix::fs::lstat(path)?)?.lacks_owner_rights(mode) {
        true => give_owner_rights(rustix::fs::open(path, flags, Mode::empty())?.as_fd(), mode),
        false => Ok(()),
    }
}

/// Makes a directory and the directories above it that do not exist, each as [`make_dir`] does.
pub fn make_dirs(path: &Path, mode: u32) -> io::Result<()> {
    match make_dir(path, mode) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) else {
                return Err(error);
            };
            make_dirs(above, mode)?;
            make_dir(path, mode)
        }
        made => made,
    }
}

/// Gives the owner the rights in `mode` to a file or directory that was just made with that mode, as far as the umask
/// took them away: libibt must be able to use the files that it makes.
pub fn give_owner_rights(made: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    let now = stat_fd(made)?;
    if now.lacks_owner_rights(mode) {
        // A file system without modes refuses this. If the right is really lacking, the next access fails.
        let _ = set_mode(made, now.mode | mode & OWNER);
    }
    Ok(())
}

impl Stat {
    /// True if the owner lacks a right that `mode` gives to the owner.
    pub(super) fn lacks_owner_rights(&self, mode: u32) -> bool {
        mode & OWNER & !self.mode != 0
    }
}

impl Dir {
    /// Opens a file for reading and writing. Makes it with `mode` if it is absent. The owner gets all rights in `mode`.
    pub fn open_or_create(&self, name: &[u8], mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let name = super::beneath::component(name)?;
        let open = |flags| beside_streams(rustix::fs::openat(self, name, flags, bits(mode))?);
        match open(flags) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = open(flags | OFlags::CREATE)?;
                give_owner_rights(made.as_fd(), mode)?;
                Ok(made.into())
            }
            opened => Ok(opened?.into()),
        }
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
