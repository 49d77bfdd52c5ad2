//! Directories of an existing destination, held to what they were when they were judged or made.
//!
//! Whoever owns a directory may at any time put another one, or another file, in the place of something in it. A
//! name that is opened again must lead to the same inode, or nothing is done there: else the owner of a directory
//! could be given things of root's.
//!
//! Also the rights that an ordinary user lacks in directories and files of his own. They are taken for as long as
//! they are needed.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::entry::{Entry, Node, Path};
use crate::error::{Error, Result};
use crate::job::{meta, ProblemKind};
use crate::platform::{self, Dir, FileKind, Named, Stat};

use super::small::Place;
use super::Tree;

/// Device and inode.
pub(in crate::restore) type FileId = (u64, u64);

/// The directories that lead to the entry that is worked on, each with its path.
#[derive(Default)]
pub(super) struct KnownDirs(Vec<(Path, FileId)>);

impl KnownDirs {
    /// Goes on to a directory: of those before it, the ones that it lies in stay.
    pub fn enter(&mut self, path: &Path, id: FileId) {
        while self.0.pop_if(|(above, _)| !path.is_within(above.as_bytes())).is_some() {}
        self.0.push((path.clone(), id));
    }

    /// False if `path` is known as a directory other than this one.
    pub fn agrees(&self, path: &[u8], id: FileId) -> bool {
        self.0.iter().rev().find(|(known, _)| known.as_bytes() == path).is_none_or(|(_, known)| *known == id)
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// The mode of a directory before it was opened up for the restore.
pub(super) struct OpenedUp {
    id: FileId,
    mode: u32,
    /// The directory's own metadata is not restored: it gets this mode back.
    stays: bool,
}

/// What a name leads to is not what was judged or made.
pub(super) fn replaced() -> io::Error {
    io::Error::from_raw_os_error(libc::ESTALE)
}

/// Whether a directory is the one that was known. Where programs or other machines number the inodes, one may get
/// another number while nobody holds it open.
pub(super) fn is_still(dir: &Dir, id: FileId) -> io::Result<bool> {
    Ok(dir.stat_self()?.id() == id || !dir.syncs_whole())
}

impl Place {
    /// Whether two numbers of inodes here are those of one file.
    pub(super) fn is_same(&self, one: FileId, other: FileId) -> bool {
        one == other || !self.syncs_whole()
    }

    /// Whether something may have been made here a moment ago by this process, as far as that can be seen: a file
    /// system that is served from elsewhere may have other owners and counts.
    fn may_be_made_here(&self, now: &Stat) -> bool {
        let links = now.kind == FileKind::Dir || now.nlink == 1;
        !self.syncs_whole() || (now.uid == platform::effective_uid() && links)
    }

    /// The identity of a directory that was just made here.
    pub(super) fn made_dir(&self, name: &[u8]) -> io::Result<FileId> {
        let dir = self.dir.open_dir(name)?;
        let now = dir.stat_self()?;
        match self.may_be_made_here(&now) && dir.is_empty()? {
            true => Ok(now.id()),
            false => Err(replaced()),
        }
    }
}

impl Tree<'_, '_> {
    /// Sets the metadata of what has a name, without opening it: of what was judged as `now`, or was just made.
    pub(super) fn metadata_by_name(&mut self, entry: &Entry, name: &[u8], now: Option<&Stat>) -> Result<()> {
        let trouble = |e: &io::Error| Error::io("open", &entry.path, e);
        let place = self.place(entry)?;
        let named = place.dir.open_path(name).map_err(|e| trouble(&e))?;
        let found = platform::stat_fd(named.as_fd()).map_err(|e| trouble(&e))?;
        let same = match now {
            Some(now) => {
                let same = (found.kind, found.nlink) == (now.kind, now.nlink);
                same && place.is_same(found.id(), now.id())
            }
            None => is_of_kind(&entry.node, &found) && place.may_be_made_here(&found),
        };
        if !same {
            return Err(trouble(&replaced()));
        }
        let mut wanted = self.wanted;
        if found.kind == FileKind::Symlink {
            wanted.mask &= !meta::MODE;
        }
        // Without the right to write, `user.*` attributes cannot be set.
        let lent = wanted.has(meta::XATTRS) && found.kind == FileKind::File && self.may_lend(&found, 0o600);
        if lent {
            platform::set_mode(named.as_fd(), found.mode | 0o600).map_err(|e| trouble(&e))?;
        }
        let mut failed = wanted.set(
            &entry.path,
            &entry.meta,
            Named { fd: named.as_fd(), place: Some((&place.dir, name)) },
            None,
        );
        if lent && !wanted.has(meta::MODE) {
            let back = platform::set_mode(named.as_fd(), found.mode);
            failed.extend(back.err().map(|e| Error::io("set the mode of", &entry.path, &e)));
        }
        self.not_set(&entry.path, failed)
    }

    /// Whether these rights of the owner's are missing, and are ours to take.
    pub(super) fn may_lend(&self, now: &Stat, rights: u32) -> bool {
        !self.job.options.dry_run && self.lacks_rights(now, rights)
    }

    /// The same, also if a dry run must not take them.
    pub(super) fn lacks_rights(&self, now: &Stat, rights: u32) -> bool {
        !self.wanted.privileged && now.mode & rights != rights && now.uid == platform::effective_uid()
    }

    /// Does what needs the owner's right to read, on something that was judged as `now`. Where its mode has not got
    /// that, the mode is changed meanwhile.
    pub(super) fn with_read_right<T>(
        &self,
        named: BorrowedFd<'_>,
        now: &Stat,
        act: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        match act() {
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    && self.may_lend(now, 0o400)
                    && platform::stat_fd(named)?.id() == now.id() =>
            {
                platform::set_mode(named, now.mode | 0o400)?;
                let done = act();
                platform::set_mode(named, now.mode)?;
                done
            }
            done => done,
        }
    }

    /// Lets us work in an existing directory of ours whose mode does not. The mode is set again at the end.
    pub(super) fn open_up(&mut self, entry: &Entry, now: &Stat) -> Result<()> {
        if !self.may_lend(now, 0o700) || self.opened_up.contains_key(&entry.path) {
            return Ok(());
        }
        let opened = match entry.path == self.base {
            true => self.open_dir(entry.path.as_bytes()).and_then(|dir| set_mode_if(dir.as_fd(), now)),
            false => {
                let named = self.dir_of(&entry.path).and_then(|dir| dir.open_path(entry.path.name()));
                named.and_then(|fd| set_mode_if(fd.as_fd(), now))
            }
        };
        // If this fails, working in it fails too and says why.
        if opened.is_err() {
            return Ok(());
        }
        let before = OpenedUp { id: now.id(), mode: now.mode, stays: true };
        self.opened_up.insert(entry.path.clone(), before);
        Ok(())
    }

    /// Goes on to an existing directory. Its metadata is set at the end if it was asked for.
    pub(super) fn enter(&mut self, entry: &Entry, now: &Stat, asked_for: bool) -> Result<()> {
        if self.job.options.dry_run {
            return Ok(());
        }
        self.known.enter(&entry.path, now.id());
        let opened = self.opened_up.get_mut(&entry.path);
        if asked_for || opened.is_some() {
            self.dirs.push(entry, now.id())?;
        }
        if let Some(opened) = opened.filter(|_| asked_for) {
            opened.stays = false;
        }
        Ok(())
    }

    /// Sets the metadata of a directory in which nothing is left to do, or only its mode as it was.
    pub(super) fn close_dir(&mut self, path: &Path, data: &crate::entry::Metadata, dir: &Dir) -> Result<()> {
        let opened = self.opened_up.remove(path);
        self.close_below(path);
        let stays = opened.as_ref().is_some_and(|opened| opened.stays);
        let done = if stays { Ok(()) } else { self.metadata(path, data, dir.as_fd()) };
        if let Some(opened) = opened.filter(|_| stays || !self.wanted.has(meta::MODE)) {
            let back = platform::set_mode(dir.as_fd(), opened.mode);
            let trouble = back.map_err(|e| Error::io("set the mode of", path, &e));
            trouble.or_else(|e| self.job.trouble(ProblemKind::Metadata, path.as_bytes(), e))?;
        }
        done
    }

    /// Gives directories below `path` their modes back that were opened up and then refused: once `path` is closed
    /// nobody reaches them.
    fn close_below(&mut self, path: &Path) {
        let below = self.opened_up.range(path.clone()..).map(|(path, _)| path);
        let below: Vec<_> = below.take_while(|below| below.is_within(path.as_bytes())).cloned().collect();
        let opened = below.into_iter().filter_map(|path| self.opened_up.remove_entry(&path)).collect();
        self.close(opened);
    }

    /// Gives directories the modes back that they had, after a restore that has failed.
    pub(super) fn close_all(&mut self) {
        let opened = std::mem::take(&mut self.opened_up);
        self.close(opened);
    }

    fn close(&self, opened: BTreeMap<Path, OpenedUp>) {
        for (path, before) in opened.into_iter().rev() {
            if let Ok(dir) = self.open_dir(path.as_bytes()) {
                if dir.stat_self().is_ok_and(|now| now.id() == before.id) {
                    let _ = platform::set_mode(dir.as_fd(), before.mode);
                }
            }
        }
    }
}

/// Takes all of the owner's rights if the descriptor still leads to what was judged as `now`.
pub(super) fn set_mode_if(fd: BorrowedFd<'_>, now: &Stat) -> io::Result<()> {
    match platform::stat_fd(fd)?.id() == now.id() {
        true => platform::set_mode(fd, now.mode | 0o700),
        false => Err(replaced()),
    }
}

fn is_of_kind(node: &Node, now: &Stat) -> bool {
    match node {
        Node::Symlink(_) => now.kind == FileKind::Symlink,
        Node::Fifo => now.kind == FileKind::Fifo,
        Node::Char(rdev) => now.kind == FileKind::Char && now.rdev == *rdev,
        Node::Block(rdev) => now.kind == FileKind::Block && now.rdev == *rdev,
        Node::File(_) | Node::Dir => false,
    }
}
