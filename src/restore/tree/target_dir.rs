//! One open directory of the destination, and checks that a name in it still leads to the expected file.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

use crate::entry::FileType;
use crate::platform::{self, Dir, Stat};

/// Device and inode.
pub(in crate::restore) type FileId = (u64, u64);

/// The error of a name that leads to another inode than the one that was judged or made.
pub fn replaced() -> io::Error {
    io::Error::from_raw_os_error(libc::ESTALE)
}

/// A directory in which files are made.
pub struct TargetDir {
    pub dir: Dir,
    pub id: FileId,
    /// Whether one sync of the file system makes the files in this directory durable. Set at the first use.
    syncs_whole: OnceLock<bool>,
    /// Owner and group that the system gives to new files in this directory. Set at the first use.
    owner: OnceLock<(u32, u32)>,
    /// The flags of the directory forbid removing and renaming names in it. Set at the first use.
    protected: OnceLock<bool>,
    /// The names that this directory had at the first use, if the directory ignores case.
    names_before: OnceLock<Option<HashSet<Box<[u8]>>>>,
}

impl TargetDir {
    pub fn new(dir: Dir) -> io::Result<Self> {
        let id = dir.stat_self()?.id();
        let (syncs_whole, owner, names_before) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Ok(TargetDir { dir, id, syncs_whole, owner, protected: OnceLock::new(), names_before })
    }

    /// Whether the directory is immutable or append-only: a temporary name in it could not be renamed.
    pub fn is_protected(&self) -> bool {
        *self.protected.get_or_init(|| platform::is_protected(&self.dir))
    }

    /// Whether one sync of the whole file system makes the files in this directory durable.
    pub fn syncs_whole(&self) -> bool {
        *self.syncs_whole.get_or_init(|| self.dir.syncs_whole())
    }

    /// The names in this directory, if it ignores case; else `None`. `name` must exist here, perhaps in another
    /// spelling.
    pub fn names_if_case_ignored(&self, name: &[u8]) -> io::Result<Option<&HashSet<Box<[u8]>>>> {
        if let Some(known) = self.names_before.get() {
            return Ok(known.as_ref());
        }
        let names = match self.dir.folds_case(name)? {
            None => return Ok(None),
            Some(false) => None,
            Some(true) => {
                let listing = self.dir.list();
                listing.error.map_or(Ok(()), Err)?;
                Some(listing.names.into_iter().map(|(name, _)| name).collect())
            }
        };
        Ok(self.names_before.get_or_init(|| names).as_ref())
    }

    /// Owner and group of a file that was just made here.
    pub fn owner_of(&self, made: &std::fs::File) -> Option<(u32, u32)> {
        if self.owner.get().is_none() {
            let stat = platform::stat_file(made).ok()?;
            let _ = self.owner.set((stat.uid, stat.gid));
        }
        self.owner.get().copied()
    }

    /// Whether two identities of files in this directory mean the same file.
    pub fn is_same(&self, one: FileId, other: FileId) -> bool {
        one == other || !self.syncs_whole()
    }

    /// Whether this process may have made a file here just now, by its owner and link count. A network file system
    /// may show other owners and counts, so they are not compared there.
    pub fn may_be_made_here(&self, now: &Stat) -> bool {
        let links = now.kind == FileType::Dir || now.nlink == 1;
        !self.syncs_whole() || (now.uid == platform::effective_uid() && links)
    }

    /// Opens the directory `name`, which was judged as `now`, only as a path: while it is open, it keeps its inode
    /// number on every file system. `None` for anything but a directory.
    pub fn hold(&self, name: &[u8], now: &Stat) -> io::Result<Option<OwnedFd>> {
        if now.kind != FileType::Dir {
            return Ok(None);
        }
        let held = self.dir.open_path(name)?;
        match self.is_same(platform::stat_fd(held.as_fd())?.id(), now.id()) {
            true => Ok(Some(held)),
            false => Err(replaced()),
        }
    }

    /// An error if `name` does not lead to the held directory, or to the file that was judged as `now`.
    pub fn check_held(&self, name: &[u8], now: &Stat, held: Option<&OwnedFd>) -> io::Result<()> {
        let found = self.dir.stat(name)?.id();
        let is_same = match held {
            Some(held) => found == platform::stat_fd(held.as_fd())?.id(),
            None => self.is_same(found, now.id()),
        };
        if is_same { Ok(()) } else { Err(replaced()) }
    }

    /// The identity of a directory that was just made here.
    pub fn made_dir(&self, name: &[u8]) -> io::Result<FileId> {
        let dir = self.dir.open_dir(name)?;
        let now = dir.stat_self()?;
        match self.may_be_made_here(&now) && dir.is_empty()? {
            true => Ok(now.id()),
            false => Err(replaced()),
        }
    }
}
