//! Makes directories, links and special files.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType as RawType};
use rustix::io::Errno;

use super::beneath::component;
use super::dir::{Dir, bits};
use super::place::give_owner_rights;
use crate::entry::FileType;

/// The umask of the process removes bits from `mode`, as in every call that makes a file.
impl Dir {
    /// The owner gets all rights in `mode`, so that files can be made in the directory.
    pub fn mkdir(&self, name: &[u8], mode: u32) -> io::Result<()> {
        rustix::fs::mkdirat(self, component(name)?, bits(mode))?;
        match self.stat(name)?.lacks_owner_rights(mode) {
            true => give_owner_rights(self.open_path(name)?.as_fd(), mode),
            false => Ok(()),
        }
    }

    pub fn symlink(&self, target: &[u8], name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, self, component(name)?)?)
    }

    /// Makes a FIFO or a device with number `rdev`; `EINVAL` for any other kind.
    pub fn mknod(&self, name: &[u8], kind: FileType, mode: u32, rdev: u64) -> io::Result<()> {
        let kind = match kind {
            FileType::Fifo => RawType::Fifo,
            FileType::Char => RawType::CharacterDevice,
            FileType::Block => RawType::BlockDevice,
            _ => return Err(Errno::INVAL.into()),
        };
        let name = component(name)?;
        #[cfg(not(target_vendor = "apple"))]
        rustix::fs::mknodat(self, name, kind, bits(mode), rdev as _)?;
        #[cfg(target_vendor = "apple")]
        return Err(Errno::NOTSUP.into());
        Ok(())
    }

    /// Gives the file `from` in `from_dir` the additional name `to` in this directory. A symbolic link is not
    /// followed.
    pub fn hard_link(&self, from_dir: &Dir, from: &[u8], to: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::linkat(from_dir, component(from)?, self, component(to)?, AtFlags::empty())?)
    }
}

/// The number of a device, as the system packs it.
pub fn device_number(major: u32, minor: u32) -> u64 {
    rustix::fs::makedev(major, minor) as u64
}
