//! An open directory: the crate reaches the files of a source, a destination or a store only through it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{PATH, component, open_beneath, open_quietly};
use super::descriptors::beside_streams;
use super::file_system::FileSystem;
use super::stat::{Stat, file_type, stat_fd};
use crate::entry::FileType;

/// An open directory. It stays the same directory even if another process renames the directory or its parents.
///
/// A `name` parameter is a single component; any other value gives `EINVAL`. If the name is a symbolic link, no method
/// follows the link. A `rel` parameter is a path of such components; it is resolved strictly below this directory and
/// through no link. Several threads may use a `Dir` at the same time, but only one thread may list it, because a
/// descriptor has only one offset.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    /// True if this descriptor, or a duplicate of it, may have listed the directory: then its offset may not be 0.
    moved: AtomicBool,
}

/// The names in a directory, unsorted, without `.` and `..`.
#[derive(Debug, Default)]
pub struct DirListing {
    /// Each name with its type, if the file system lists types. The type may be out of date.
    pub names: Vec<(Box<[u8]>, Option<FileType>)>,
    /// The error that ended the listing early. `names` has the names read before the error.
    pub error: Option<io::Error>,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const READ_FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

impl Dir {
    /// Opens a directory by a path that the caller chose: symbolic links in it are followed.
    pub fn open(path: &std::path::Path) -> io::Result<Dir> {
        Ok(Dir::opened(rustix::fs::open(path, DIRECTORY, Mode::empty())?))
    }

    /// Opens a directory below this one.
    pub fn open_dir(&self, rel: &[u8]) -> io::Result<Dir> {
        open_quietly(self.as_fd(), rel, DIRECTORY).map(Dir::opened)
    }

    fn opened(fd: OwnedFd) -> Dir {
        Dir { fd, moved: AtomicBool::new(false) }
    }

    /// Opens a file below this directory for reading. Opening a FIFO does not wait for a writer. The file need
    /// not be a regular file: check with [`stat_file`](super::stat_file).
    pub fn open_file(&self, rel: &[u8]) -> io::Result<File> {
        open_quietly(self.as_fd(), rel, READ_FILE).map(File::from)
    }

    /// Opens the regular file `name` for reading. For any other type the inner error is that type, and the entry is
    /// not opened, because opening a device can have an effect.
    pub fn open_regular(&self, name: &[u8]) -> io::Result<Result<File, FileType>> {
        let kind = self.stat(name)?.kind;
        if kind != FileType::File {
            return Ok(Err(kind));
        }
        let file = self.open_file(component(name)?)?;
        // Another process may have replaced the file meanwhile.
        Ok(match stat_fd(file.as_fd())?.kind {
            FileType::File => Ok(file),
            kind => Err(kind),
        })
    }

    /// A descriptor for the entry at `rel` that does not open it (`O_PATH`): for links, FIFOs and devices, too.
    pub fn open_path(&self, rel: &[u8]) -> io::Result<OwnedFd> {
        open_beneath(self.as_fd(), rel, PATH)
    }

    /// The current parent directory. This directory may have been moved since it was opened.
    pub fn above(&self) -> io::Result<Dir> {
        Ok(Dir::opened(rustix::fs::openat(self, "..", DIRECTORY, Mode::empty())?))
    }

    /// The parent directory. `ESTALE` unless its id (see [`Stat::id`]) is still `id`.
    pub fn open_parent(&self, id: (u64, u64)) -> io::Result<Dir> {
        let parent = self.above()?;
        match parent.stat_self()?.id() == id {
            true => Ok(parent),
            false => Err(Errno::STALE.into()),
        }
    }

    /// A second descriptor for the same directory.
    pub fn try_clone(&self) -> io::Result<Dir> {
        self.moved.store(true, Ordering::Relaxed);
        Ok(Dir { fd: self.fd.try_clone()?, moved: AtomicBool::new(true) })
    }

    pub fn stat(&self, name: &[u8]) -> io::Result<Stat> {
        Stat::from_raw(&rustix::fs::statat(self, component(name)?, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    pub fn stat_self(&self) -> io::Result<Stat> {
        stat_fd(self.as_fd())
    }

    /// True if [`Dir::syncfs`] certainly makes the files of this file system durable.
    pub fn syncs_whole(&self) -> bool {
        FileSystem::of(self).syncs_whole
    }

    /// The target of a symbolic link, of any length.
    pub fn read_link(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(self, component(name)?, Vec::new())?.into_bytes())
    }

    pub fn list(&self) -> DirListing {
        let mut listing = DirListing::default();
        listing.error = self.read_names(&mut listing).err();
        listing
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn read_names(&self, listing: &mut DirListing) -> io::Result<()> {
        if self.moved.swap(true, Ordering::Relaxed) {
            rustix::fs::seek(self, rustix::fs::SeekFrom::Start(0))?;
        }
        let mut buffer = Vec::with_capacity(32 * 1024);
        let mut entries = rustix::fs::RawDir::new(self.as_fd(), buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            listing.push(entry.file_name().to_bytes(), entry.file_type());
        }
        Ok(())
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn read_names(&self, listing: &mut DirListing) -> io::Result<()> {
        for entry in rustix::fs::Dir::read_from(self)? {
            let entry = entry?;
            listing.push(entry.file_name().to_bytes(), entry.file_type());
        }
        Ok(())
    }

    /// True if two names that differ only in the case of letters are the same name in this directory. `name` must exist
    /// in this directory. `None` if this cannot be decided with `name`, for example because it has no letter.
    pub fn folds_case(&self, name: &[u8]) -> io::Result<Option<bool>> {
        let Some(other) = in_other_case(name) else { return Ok(None) };
        if let Err(error) = self.stat(&other) {
            let differs = error.kind() == io::ErrorKind::NotFound;
            return if differs { Ok(Some(false)) } else { Err(error) };
        }
        // A directory that folds case lists only one of both names.
        let listing = self.list();
        let listed = |wanted: &[u8]| listing.names.iter().any(|(name, _)| **name == *wanted);
        let both = listed(name) && listed(&other);
        // If the listing failed, the answer is unknown.
        Ok(listing.error.is_none().then_some(!both))
    }

    /// Makes a new file, open for reading and writing; `EEXIST` if anything has that name.
    pub fn create_file(&self, name: &[u8], mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC
            | OFlags::NOCTTY;
        Ok(beside_streams(rustix::fs::openat(self, component(name)?, flags, bits(mode))?)?.into())
    }

    pub fn unlink(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self, component(name)?, AtFlags::empty())?)
    }

    pub fn rmdir(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self, component(name)?, AtFlags::REMOVEDIR)?)
    }
}

/// `name` with the case of its last cased letter flipped; `None` if it has no such letter.
fn in_other_case(name: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(name).ok()?;
    let swap = |(at, letter): (usize, char)| Some((at, letter, other_case(letter)?));
    let (at, letter, other) = text.char_indices().rev().find_map(swap)?;
    let (before, after) = (&text[..at], &text[at + letter.len_utf8()..]);
    Some([before, other.encode_utf8(&mut [0; 4]), after].concat().into_bytes())
}

fn other_case(letter: char) -> Option<char> {
    fn single(mut letters: impl Iterator<Item = char>) -> Option<char> {
        letters.next().filter(|_| letters.next().is_none())
    }
    let cases = [single(letter.to_uppercase()), single(letter.to_lowercase())];
    cases.into_iter().flatten().find(|&other| other != letter)
}

impl DirListing {
    fn push(&mut self, name: &[u8], kind: rustix::fs::FileType) {
        if name != b"." && name != b".." {
            self.names.push((name.into(), file_type(kind)));
        }
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> OwnedFd {
        dir.fd
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Permission bits for a system call.
pub(super) fn bits(mode: u32) -> Mode {
    Mode::from_raw_mode((mode & 0o7777) as _)
}
