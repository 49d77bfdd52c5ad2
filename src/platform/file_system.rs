//! Properties of a file system that follow from its type: whether its time stamps can be believed, whether its files
//! are read over a network, and whether `syncfs(2)` makes its files durable.

use std::os::fd::AsFd;

/// The properties of a file system, judged by its type alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// True if the clock of this machine makes the time stamps, because no other machine serves this file system.
    pub is_local: bool,
    /// True if its files are read over a network, or through another process.
    pub is_remote: bool,
    pub ctime: CtimeKind,
    /// True if `syncfs(2)` certainly makes the files of this file system durable. For a file system that a program or
    /// another machine serves, `syncfs` may have no effect.
    pub syncs_whole: bool,
}

/// The meaning of a ctime on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtimeKind {
    /// The ctime is the moment of the last change, and no program can set it back.
    Kept,
    /// The ctime proves nothing: it is a copy of the mtime, or the moment when the file was made.
    Copied,
    /// The type of the file system does not say which of the two is true.
    Unknown,
}

impl FileSystem {
    /// The file system of an open file, an `O_PATH` descriptor or a directory. [`FileSystem::UNKNOWN`] if the
    /// system does not report the type.
    pub fn of(fd: impl AsFd) -> FileSystem {
        kind(fd).map_or(FileSystem::UNKNOWN, by_kind)
    }

    /// A file system of unknown type. Nothing is assumed about its time stamps: files on it must show that it keeps a
    /// ctime.
    pub const UNKNOWN: FileSystem =
        FileSystem { is_local: false, is_remote: false, ctime: CtimeKind::Unknown, syncs_whole: false };
}

/// The number of the file system's type, `f_type` of `statfs(2)`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn kind(fd: impl AsFd) -> Option<u32> {
    Some(rustix::fs::fstatfs(fd).ok()?.f_type as u32)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn kind(_: impl AsFd) -> Option<u32> {
    None
}

const BTRFS: u32 = 0x9123_683e;

/// True if the file of this descriptor is known to lie on Btrfs.
pub(super) fn is_btrfs(fd: impl AsFd) -> bool {
    kind(fd) == Some(BTRFS)
}

fn by_kind(kind: u32) -> FileSystem {
    /// ext2 to ext4, XFS, Btrfs, F2FS, tmpfs.
    const LOCAL: [u32; 5] = [0xef53, 0x5846_5342, BTRFS, 0xf2f5_2010, 0x0102_1994];
    /// NFS, ZFS, Ceph, bcachefs, JFS, NILFS, GFS2, OCFS2. The file systems in `LOCAL` keep a ctime, too. FUSE file
    /// systems, SMB, 9p and overlayfs may keep a ctime or not.
    const KEPT: [u32; 8] =
        [0x6969, 0x2fc1_2fc1, 0x00c3_6400, 0xca45_1a4e, 0x3153_464a, 0x3434, 0x0116_1970, 0x7461_636f];
    /// squashfs, EROFS, cramfs, romfs, ISO 9660, FAT, exFAT, HFS. Files on a read-only file system change too: another
    /// image can be mounted in the same place.
    const COPIED: [u32; 8] =
        [0x7371_7368, 0xe0f5_e1e2, 0x28cd_3d45, 0x7275, 0x9660, 0x4d44, 0x2011_bab0, 0x4244];
    /// overlayfs, ZFS. `syncfs` works on the file systems in `LOCAL`, too.
    const SYNCED: [u32; 2] = [0x794c_7630, 0x2fc1_2fc1];
    /// NFS, SMB (three), FUSE, 9p, Ceph, AFS, Coda, NCP.
    const REMOTE: [u32; 10] = [
        0x6969,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x6573_5546,
        0x0102_1997,
        0x00c3_6400,
        0x5346_414f,
        0x7375_7245,
        0x564c,
    ];
    let is_local = LOCAL.contains(&kind);
    let syncs_whole = is_local || SYNCED.contains(&kind);
    let ctime = match kind {
        _ if is_local || KEPT.contains(&kind) => CtimeKind::Kept,
        _ if COPIED.contains(&kind) => CtimeKind::Copied,
        _ => CtimeKind::Unknown,
    };
    FileSystem { is_local, is_remote: REMOTE.contains(&kind), ctime, syncs_whole }
}
