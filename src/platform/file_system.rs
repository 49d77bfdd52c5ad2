//! What the type of a file system says of the time stamps on it.

use std::os::fd::AsFd;

/// How far the stamps of a file system can be believed, by its type alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// The clock of this machine makes the stamps: no other machine serves this file system.
    pub is_local: bool,
}

impl FileSystem {
    /// The file system of an open file, of its path or of a directory. What cannot be asked is not known, and
    /// not believed.
    pub fn of(fd: impl AsFd) -> FileSystem {
        kind(fd).map_or(FileSystem { is_local: false }, by_kind)
    }
}

/// The number of the type, `f_type` of `statfs(2)`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn kind(fd: impl AsFd) -> Option<u32> {
    Some(rustix::fs::fstatfs(fd).ok()?.f_type as u32)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn kind(_: impl AsFd) -> Option<u32> {
    None
}

fn by_kind(kind: u32) -> FileSystem {
    /// ext2 to ext4, XFS, Btrfs, F2FS, tmpfs.
    const LOCAL: [u32; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];
    FileSystem { is_local: LOCAL.contains(&kind) }
}
