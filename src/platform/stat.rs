//! The attributes of a file.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FileType as RawType;

use super::names::Names;
use crate::entry::{FileType, Metadata};
use crate::stamp::Time;

/// `None` for a type that libibt does not know, and if a listing has no types.
pub(super) fn file_type(raw: RawType) -> Option<FileType> {
    Some(match raw {
        RawType::RegularFile => FileType::File,
        RawType::Directory => FileType::Dir,
        RawType::Symlink => FileType::Symlink,
        RawType::Fifo => FileType::Fifo,
        RawType::CharacterDevice => FileType::Char,
        RawType::BlockDevice => FileType::Block,
        RawType::Socket => FileType::Socket,
        _ => return None,
    })
}

/// The attributes of a file at one moment. For a symbolic link they are those of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub kind: FileType,
    /// Permission bits including setuid, setgid and sticky: at most 0o7777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Size in bytes, holes included.
    pub size: u64,
    pub mtime: Time,
    pub ctime: Time,
    pub ino: u64,
    pub dev: u64,
    pub nlink: u64,
    /// The number of the device if the file is a device, else 0.
    pub rdev: u64,
}

impl Stat {
    /// Device and inode. While a process holds a directory open, no other directory has the same id.
    pub fn id(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }

    /// The metadata that a backup records, without extended attributes, flags and project.
    pub fn metadata(&self, names: &mut Names) -> Metadata {
        Metadata {
            mode: Some(self.mode),
            uid: Some(self.uid),
            gid: Some(self.gid),
            user: names.user(self.uid),
            group: names.group(self.gid),
            mtime: self.mtime,
            ..Metadata::default()
        }
    }

    // The fields have other widths and signs on other systems.
    #[allow(clippy::unnecessary_cast)]
    pub(super) fn from_raw(raw: &rustix::fs::Stat) -> io::Result<Self> {
        let kind = file_type(RawType::from_raw_mode(raw.st_mode as _))
            .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "unknown type of file"))?;
        let device = matches!(kind, FileType::Char | FileType::Block);
        Ok(Stat {
            kind,
            mode: raw.st_mode as u32 & 0o7777,
            uid: raw.st_uid as u32,
            gid: raw.st_gid as u32,
            size: raw.st_size as u64,
            mtime: Time { secs: raw.st_mtime as i64, nanos: raw.st_mtime_nsec as u32 },
            ctime: Time { secs: raw.st_ctime as i64, nanos: raw.st_ctime_nsec as u32 },
            ino: raw.st_ino as u64,
            dev: raw.st_dev as u64,
            nlink: raw.st_nlink as u64,
            rdev: if device { raw.st_rdev as u64 } else { 0 },
        })
    }
}

/// The attributes of an open file.
pub fn stat_file(file: &File) -> io::Result<Stat> {
    stat_fd(file.as_fd())
}

/// The attributes of the object behind a descriptor, also an `O_PATH` descriptor.
pub fn stat_fd(fd: BorrowedFd<'_>) -> io::Result<Stat> {
    Stat::from_raw(&rustix::fs::fstat(fd)?)
}
