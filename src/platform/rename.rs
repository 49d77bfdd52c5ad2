//! Giving a file another name, with or without replacing one.

use std::io;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::beneath::component;
use super::dir::Dir;

impl Dir {
    /// Renames, replacing what has the new name.
    pub fn rename(&self, from: &[u8], to_dir: &Dir, to: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::renameat(self, component(from)?, to_dir, component(to)?)?)
    }

    /// Renames; `EEXIST` if anything has the new name. Where the file system can neither do that nor link
    /// (FAT over FUSE, directories on old kernels), somebody else may still slip in between the look and
    /// the rename.
    pub fn rename_noreplace(&self, from: &[u8], to_dir: &Dir, to: &[u8]) -> io::Result<()> {
        match self.rename_exclusive(component(from)?, to_dir, component(to)?) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => self.rename_by_link(from, to_dir, to),
            result => Ok(result?),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    fn rename_exclusive(&self, from: &[u8], to_dir: &Dir, to: &[u8]) -> Result<(), Errno> {
        #[cfg(test)]
        if super::testing::noreplace_is_missing() {
            return Err(Errno::INVAL);
        }
        rustix::fs::renameat_with(self, from, to_dir, to, rustix::fs::RenameFlags::NOREPLACE)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    fn rename_exclusive(&self, _: &[u8], _: &Dir, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }

    fn rename_by_link(&self, from: &[u8], to_dir: &Dir, to: &[u8]) -> io::Result<()> {
        match rustix::fs::linkat(self, from, to_dir, to, AtFlags::empty()) {
            Ok(()) => self.unlink(from),
            // A directory, or a file system without hard links.
            Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::MLINK | Errno::ISDIR) => {
                self.rename_if_absent(from, to_dir, to)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn rename_if_absent(&self, from: &[u8], to_dir: &Dir, to: &[u8]) -> io::Result<()> {
        match to_dir.stat(to) {
            Ok(_) => Err(Errno::EXIST.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.rename(from, to_dir, to),
            Err(error) => Err(error),
        }
    }
}
