//! The flag "no dump" of `chattr +d`. The owner of a file sets it to ask backups to leave out the file.

use super::dir::Dir;

impl Dir {
    /// True if the entry `name` has the flag. False where the file system or the system does not report it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn is_nodump(&self, name: &[u8]) -> bool {
        use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, statx};

        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let answer = statx(self, name, flags, StatxFlags::empty());
        answer.is_ok_and(|answer| answer.stx_attributes.contains(StatxAttributes::NODUMP))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub fn is_nodump(&self, _name: &[u8]) -> bool {
        false
    }
}
