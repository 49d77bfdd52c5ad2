//! One directory on the current path of a walk.

use std::io::{self, Read};
use std::sync::Arc;

use crate::entry::{FileType, NAME_MAX, PATH_LEN_MAX};
use crate::error::{describe, is_shortage};
use crate::exclude::EXCLUDE_FILE_MAX;
use crate::platform::{Dir, Stat, patiently, stat_file};

/// Most directories that a walk holds open, without the root.
pub(super) const HELD_MAX: usize = 128;

const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8; 43] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// A name, and its type if the listing gave one.
pub(super) type ListedName = (Box<[u8]>, Option<FileType>);

pub(super) struct WalkFrame {
    /// The open directory. `None` while it is closed because the walk is far below it or far before it.
    pub dir: Option<Arc<Dir>>,
    /// Device and inode, to check that a directory opened again is the same one.
    pub id: (u64, u64),
    /// Names that the walk has not looked at yet, sorted.
    pub names: std::vec::IntoIter<ListedName>,
    /// Length of the parent's path, in bytes.
    pub parent_len: usize,
    /// The errno of a failed attempt to open the directory again.
    pub lost: Option<i32>,
}

/// The reason for not using an exclude file.
pub(super) enum UnusedExcludeFile {
    Shortage(io::Error),
    /// Any other reason, as a sentence for the user.
    Message(String),
}

impl WalkFrame {
    /// Lists the directory at `path`. The second value is the error that kept the list from being complete, if any.
    pub fn open(dir: Dir, path: &[u8]) -> io::Result<(WalkFrame, Option<io::Error>)> {
        let id = dir.stat_self()?.id();
        let mut listing = dir.list();
        listing.names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let names = listing.names.into_iter();
        let dir = Some(Arc::new(dir));
        Ok((WalkFrame { dir, id, names, parent_len: parent_len(path), lost: None }, listing.error))
    }

    /// Moves the next `count` names to a frame of their own.
    pub fn split(&mut self, count: usize) -> WalkFrame {
        let names = self.names.by_ref().take(count).collect::<Vec<_>>().into_iter();
        WalkFrame { dir: self.dir.clone(), names, ..*self }
    }

    /// The open directory. If it could not be opened again, the error is `ESTALE` or a shortage, and never `ENOENT`:
    /// the entries in the directory are out of reach, not deleted.
    pub fn dir(&self) -> io::Result<&Dir> {
        self.dir.as_deref().ok_or_else(|| self.lost.map_or_else(stale, io::Error::from_raw_os_error))
    }

    /// The attributes of a name and, if it is a symbolic link, its target.
    pub fn look_at(&self, name: &[u8]) -> io::Result<(Stat, Option<Vec<u8>>)> {
        let dir = self.dir()?;
        let stat = dir.stat(name)?;
        let target = if stat.kind == FileType::Symlink { Some(dir.read_link(name)?) } else { None };
        Ok((stat, target))
    }

    /// Opens the directory again: as the parent of `child`, else by its path from the root.
    pub fn find_again(&mut self, child: Option<&Dir>, root: &Dir, path: &[u8]) {
        let from_root = |_| {
            let dir = root.open_dir(path)?;
            if dir.stat_self()?.id() == self.id { Ok(dir) } else { Err(stale()) }
        };
        let from_child = child.ok_or_else(stale).and_then(|dir| dir.open_parent(self.id));
        match from_child.or_else(from_root) {
            Ok(dir) => (self.dir, self.lost) = (Some(Arc::new(dir)), None),
            Err(error) => {
                let shortage = error.raw_os_error().filter(|_| is_shortage(&error));
                (self.dir, self.lost) = (None, Some(shortage.unwrap_or(libc::ESTALE)));
            }
        }
    }

    /// True if a shortage (see [`is_shortage`]) prevented that the directory was opened again.
    pub fn is_short(&self) -> bool {
        self.lost.is_some_and(|code| is_shortage(&io::Error::from_raw_os_error(code)))
    }

    /// Drops the names that would make a path too long, and all names if `deeper` is false because the directory lies
    /// at the deepest level. Returns an error if names were dropped.
    pub fn drop_unfit(&mut self, path_len: usize, deeper: bool) -> Option<io::Error> {
        let fits = |name: &ListedName| {
            deeper && name.0.len() <= NAME_MAX && path_len + 1 + name.0.len() <= PATH_LEN_MAX
        };
        if self.names.as_slice().iter().all(fits) {
            return None;
        }
        self.retain(fits);
        Some(io::Error::new(io::ErrorKind::InvalidFilename, "holds names too long or too deep for a backup"))
    }

    fn retain(&mut self, keep: impl Fn(&ListedName) -> bool) {
        let names = std::mem::take(&mut self.names);
        self.names = names.filter(keep).collect::<Vec<_>>().into_iter();
    }

    fn find(&self, name: &[u8]) -> Option<Option<FileType>> {
        let names = self.names.as_slice();
        let at = names.binary_search_by(|(listed, _)| (**listed).cmp(name)).ok()?;
        Some(names[at].1)
    }

    /// If the directory has a valid `CACHEDIR.TAG`, drops all other names and returns true. A tag that cannot be
    /// read counts as no tag; only a shortage is an error.
    pub fn keep_only_cache_tag(&mut self) -> io::Result<bool> {
        let marked = match self.find(CACHE_TAG).map(|_| self.has_cache_signature()) {
            Some(Err(error)) if is_shortage(&error) => return Err(error),
            signature => matches!(signature, Some(Ok(true))),
        };
        if marked {
            self.retain(|(name, _)| **name == *CACHE_TAG);
        }
        Ok(marked)
    }

    /// If the directory has an entry of one of these names that is no directory, drops all other names and returns
    /// true. Only a shortage is an error.
    pub fn keep_only_markers(&mut self, markers: &[Vec<u8>]) -> io::Result<bool> {
        let is_marker = |marker: &Vec<u8>| {
            let kind = match self.find(marker) {
                Some(None) => self.look_at(marker).map(|(stat, _)| stat.kind).map(Some),
                found => Ok(found.flatten()),
            };
            match kind {
                Err(error) if is_shortage(&error) => Err(error),
                kind => Ok(matches!(kind, Ok(Some(kind)) if kind != FileType::Dir)),
            }
        };
        for marker in markers {
            if is_marker(marker)? {
                self.retain(|(name, _)| markers.iter().any(|marker| **marker == **name));
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Drops the names that are not to be kept. True if there was one.
    pub fn keep_only(&mut self, keep: impl Fn(&[u8]) -> bool) -> bool {
        let before = self.names.len();
        self.retain(|(name, _)| keep(name));
        self.names.len() < before
    }

    /// True if the entry `name` has the flag "no dump".
    pub fn is_nodump(&self, name: &[u8]) -> bool {
        self.dir().is_ok_and(|dir| dir.is_nodump(name))
    }

    fn has_cache_signature(&self) -> io::Result<bool> {
        let mut file = patiently(is_shortage, || self.dir()?.open_file(CACHE_TAG))?;
        let mut start = [0; CACHE_SIGNATURE.len()];
        if stat_file(&file)?.kind != FileType::File {
            return Ok(false);
        }
        file.read_exact(&mut start)?;
        Ok(start == *CACHE_SIGNATURE)
    }

    /// The contents of the exclude file `name`; `None` if the directory has no such file. Reads at most one byte
    /// more than [`EXCLUDE_FILE_MAX`], so that [`enter_dir`](crate::exclude::Excludes::enter_dir) refuses a larger
    /// file.
    pub fn read_exclude_file(&self, name: &[u8]) -> Result<Option<Vec<u8>>, UnusedExcludeFile> {
        match self.find(name) {
            None | Some(Some(FileType::Dir | FileType::Socket)) => return Ok(None),
            Some(Some(FileType::File) | None) => {}
            Some(Some(_)) => {
                return Err(UnusedExcludeFile::Message(
                    "the exclude file is no regular file: not used".into(),
                ));
            }
        }
        let read = || -> io::Result<Option<Vec<u8>>> {
            let file = self.dir()?.open_file(name)?;
            if stat_file(&file)?.kind != FileType::File {
                return Ok(None);
            }
            let mut contents = Vec::new();
            file.take(EXCLUDE_FILE_MAX as u64 + 1).read_to_end(&mut contents)?;
            Ok(Some(contents))
        };
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if is_shortage(&error) => Err(UnusedExcludeFile::Shortage(error)),
            read => read.map_err(|e| {
                UnusedExcludeFile::Message(format!("cannot read the exclude file: {}", describe(&e)))
            }),
        }
    }
}

fn stale() -> io::Error {
    io::Error::from_raw_os_error(libc::ESTALE)
}

/// Length of the parent's path, in bytes.
pub(super) fn parent_len(path: &[u8]) -> usize {
    path.iter().rposition(|&b| b == b'/').unwrap_or(0)
}

/// The path of the entry `name` in the directory `dir`.
pub(super) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
    path.extend_from_slice(dir);
    if !dir.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
