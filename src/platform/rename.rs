//! Renames files, with or without replacing an existing file.

use std::io;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::beneath::component;
use super::dir::Dir;
use super::refused::is_refused;

impl Dir {
    /// Renames `from` to `to` and replaces an existing `to`.
    pub fn rename(&self, from: &[u8], to_dir: &Dir, to: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::renameat(self, component(from)?, to_dir, component(to)?)?)
    }

    /// Renames `from` to `to`; `EEXIST` if `to` exists. If neither the system call for this nor a hard link is possible
    /// (for example on FAT over FUSE, or for a directory on an old kernel), `to` is checked first. Then a file that
    /// another process makes between the check and the rename is replaced.
    pub fn rename_noreplace(&self, from: &[u8], to_dir: &Dir, to: &[u8]) -> io::Result<()> {
        match self.rename_exclusive(component(from)?, to_dir, component(to)?) {
            Err(Errno::PERM) if !forbids_noreplace() => Err(Errno::PERM.into()),
            Err(error) if is_refused(error) => self.rename_by_link(from, to_dir, to),
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
            // `from` is a directory, or the file system has no hard links.
            Err(error) if is_refused(error) || matches!(error, Errno::MLINK | Errno::ISDIR) => {
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

/// True if the system forbids renames that replace nothing, whatever the files. A filter of system calls answers before
/// the kernel looks at the descriptors.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn forbids_noreplace() -> bool {
    let name = c"x".as_ptr();
    // SAFETY: the names end with NUL; -1 is no descriptor, so the call fails and changes nothing.
    unsafe { libc::syscall(libc::SYS_renameat2, -1, name, -1, name, libc::RENAME_NOREPLACE) };
    io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn forbids_noreplace() -> bool {
    false
}
