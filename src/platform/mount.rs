//! Finds the border between two mounts. The device number is not enough: `mount --bind` mounts a part of a file
//! system a second time within the same file system.

use std::io;

use super::dir::Dir;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

    use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, statx};

    use super::super::refused::is_refused;

    /// True if something is mounted at `name` (Linux 5.8); `None` if the system does not report that.
    pub fn is_mount_root(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<bool>> {
        #[cfg(test)]
        if super::super::testing::statx_is_missing() {
            return Ok(None);
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        match statx(dir, name, flags, StatxFlags::TYPE) {
            Ok(answer) if answer.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
                Ok(Some(answer.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)))
            }
            Ok(_) => Ok(None),
            Err(error) if is_refused(error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The number of the mount that a descriptor leads into (Linux 5.8, or 3.15 with `/proc`); `None` if the system
    /// does not report it.
    pub fn mount_id(fd: BorrowedFd<'_>) -> Option<u64> {
        id_from_statx(fd).or_else(|| id_from_proc(fd))
    }

    fn id_from_statx(fd: BorrowedFd<'_>) -> Option<u64> {
        #[cfg(test)]
        if super::super::testing::statx_is_missing() {
            return None;
        }
        let answer = statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
        (answer.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(answer.stx_mnt_id)
    }

    fn id_from_proc(fd: BorrowedFd<'_>) -> Option<u64> {
        #[cfg(test)]
        if super::super::testing::proc_is_missing() {
            return None;
        }
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd())).ok()?;
        info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
    }
}

impl Dir {
    /// True if something is mounted at `name`, even a part of the same file system. `Unsupported` if the system does
    /// not report mounts: a Linux before 5.8 without `/proc`. On systems other than Linux the device number decides,
    /// because a mount there has another device number than the directory around it.
    pub fn is_mount_point(&self, name: &[u8]) -> io::Result<bool> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use std::os::fd::AsFd;

            let name = super::beneath::component(name)?;
            if let Some(answer) = system::is_mount_root(self.as_fd(), name)? {
                return Ok(answer);
            }
            let named = self.open_path(name)?;
            match (system::mount_id(self.as_fd()), system::mount_id(named.as_fd())) {
                (Some(own), Some(other)) => Ok(own != other),
                _ => Err(io::ErrorKind::Unsupported.into()),
            }
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        {
            let (own, other) = (self.stat_self()?, self.stat(name)?);
            Ok(own.dev != other.dev)
        }
    }

    /// The number of the mount that this directory lies in; `None` if the system does not report it.
    pub(super) fn mount_id(&self) -> Option<u64> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use std::os::fd::AsFd;

            system::mount_id(self.as_fd())
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        None
    }
}
