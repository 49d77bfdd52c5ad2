//! Adds missing rights of the owner to the user's own directories and files, and sets metadata by name.
//!
//! The mode of a user's own directory or file may lack the owner's rights. The restore adds these rights to the mode
//! only for as long as it needs them.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::entry::{Entry, FileType, Metadata, Node, Path, Place};
use crate::error::{Error, Kind, Result};
use crate::job::{ProblemKind, meta};
use crate::platform::{self, Dir, Named, Stat};

use crate::restore::tree::Tree;
use crate::restore::tree::plan::is_like;
use crate::restore::tree::target_dir::{FileId, replaced};

/// The mode of a directory before the restore widened it.
pub struct WidenedDir {
    id: FileId,
    mode: u32,
    /// The directory's metadata is not restored, so the directory gets this mode back.
    stays: bool,
}

impl Tree<'_, '_> {
    /// Sets metadata by name without opening the file for reading. The file must be the one that was judged as `now`,
    /// or a new one if `now` is `None`. Returns the file's identity.
    pub fn metadata_by_name(&mut self, entry: &Entry, name: &[u8], now: Option<&Stat>) -> Result<FileId> {
        let trouble = |e: &io::Error| Error::io("open", &entry.path, e);
        let target_dir = self.target.target_dir(entry)?;
        let named = target_dir.dir.open_path(name).map_err(|e| trouble(&e))?;
        let found = platform::stat_fd(named.as_fd()).map_err(|e| trouble(&e))?;
        let same = match now {
            Some(now) => {
                let same = (found.kind, found.nlink) == (now.kind, now.nlink);
                same && target_dir.is_same(found.id(), now.id())
            }
            None => is_like(&entry.node, &found) && target_dir.may_be_made_here(&found),
        };
        if !same {
            return Err(trouble(&replaced()));
        }
        let mut wanted = self.wanted;
        if found.kind == FileType::Symlink {
            wanted.mask &= !meta::MODE;
        }
        if !matches!(found.kind, FileType::File | FileType::Dir) {
            wanted.mask &= !(meta::FLAGS | meta::PROJECT);
        }
        // `user.*` attributes can only be set with the right to write, and flags with the right to read.
        let widened = wanted.has(meta::XATTRS | meta::FLAGS)
            && found.kind == FileType::File
            && self.may_take_rights(&found, 0o600);
        if widened {
            platform::set_mode(named.as_fd(), found.mode | 0o600).map_err(|e| trouble(&e))?;
        }
        let mut failed = wanted.set(
            &entry.path,
            &entry.meta,
            Named { fd: named.as_fd(), place: Some((&target_dir.dir, name)) },
            None,
        );
        if widened && (!wanted.has(meta::MODE) || entry.meta.mode.is_none()) {
            let back = platform::set_mode(named.as_fd(), found.mode);
            failed.extend(back.err().map(|e| Error::io("set the mode of", &entry.path, &e)));
        }
        if found.kind == FileType::File {
            self.late.add(&entry.path, &entry.meta, found.id())?;
        }
        self.not_set(&entry.path, failed).map(|()| found.id())
    }

    /// Whether the owner lacks `rights` on this file and the restore may add them to its mode.
    pub fn may_take_rights(&self, now: &Stat, rights: u32) -> bool {
        !self.job.options.dry_run && self.lacks_rights(now, rights)
    }

    /// Like [`Tree::may_take_rights`], but also true in a dry run, which adds no rights.
    pub fn lacks_rights(&self, now: &Stat, rights: u32) -> bool {
        !self.wanted.privileged && now.mode & rights != rights && now.uid == platform::effective_uid()
    }

    /// Runs `act`, which needs the owner's right to read. `now` is the metadata of the file `named`. If the mode
    /// lacks the right, it is changed while `act` runs.
    pub fn with_read_right<T>(
        &self,
        named: BorrowedFd<'_>,
        now: &Stat,
        act: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        match act() {
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    && self.may_take_rights(now, 0o400)
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

    /// Widens the mode of an existing directory of this user, if the owner lacks rights in it. The mode is set again
    /// at the end.
    pub fn widen_rights(&mut self, entry: &Entry, now: &Stat) -> Result<()> {
        if !self.may_take_rights(now, 0o700) || self.widened.contains_key(&entry.path) {
            return Ok(());
        }
        let opened = match entry.path == self.target.base {
            true => self.target.open_dir(entry.path.as_bytes()).and_then(|dir| set_mode_if(dir.as_fd(), now)),
            false => {
                let named = self.target.dir_of(&entry.path).and_then(|dir| dir.open_path(entry.path.name()));
                named.and_then(|fd| set_mode_if(fd.as_fd(), now))
            }
        };
        // If this fails, the work in the directory fails too and gives the reason.
        if opened.is_err() {
            return Ok(());
        }
        let before = WidenedDir { id: now.id(), mode: now.mode, stays: true };
        self.widened.insert(entry.path.clone(), before);
        Ok(())
    }

    /// Goes on to an existing directory. If the directory is selected, its metadata is set at the end.
    pub fn enter(&mut self, entry: &Entry, now: &Stat, asked_for: bool) -> Result<()> {
        if self.job.options.dry_run {
            return Ok(());
        }
        self.target.known.enter(&entry.path, now.id());
        let opened = self.widened.get_mut(&entry.path);
        if asked_for || opened.is_some() {
            self.dirs.push(entry, now.id())?;
        }
        if let Some(opened) = opened.filter(|_| asked_for) {
            opened.stays = false;
        }
        Ok(())
    }

    /// Sets the metadata of a finished directory, or gives the directory its earlier mode back.
    pub fn close_dir(&mut self, path: &Path, data: &Metadata, dir: &Dir) -> Result<()> {
        let opened = self.widened.remove(path);
        self.restore_modes_below(path);
        let stays = opened.as_ref().is_some_and(|opened| opened.stays);
        let done = if stays { Ok(()) } else { self.set_dir(path, data, dir) };
        if let Some(opened) = opened.filter(|_| stays || !self.wanted.has(meta::MODE) || data.mode.is_none())
        {
            let back = platform::set_mode(dir.as_fd(), opened.mode);
            let trouble = back.map_err(|e| Error::io("set the mode of", path, &e));
            trouble.or_else(|e| self.job.trouble(ProblemKind::Metadata, path.as_bytes(), e))?;
        }
        done
    }

    /// Sets the metadata of a finished directory. A directory that is immutable or append-only keeps its own.
    fn set_dir(&mut self, path: &Path, data: &Metadata, dir: &Dir) -> Result<()> {
        let trouble = |e: &io::Error| Error::io("look at", path, e);
        let now = dir.stat_self().map_err(|e| trouble(&e))?;
        if !self.target.is_existing || !platform::is_protected(dir) {
            self.late.add(path, data, now.id())?;
            return self.metadata(path, data, dir.as_fd());
        }
        let entry = Entry::new(path.clone(), Node::Dir, data.clone(), Place::default());
        match self.has_attributes(&entry, &now)? {
            true => Ok(()),
            false => self.job.trouble(
                ProblemKind::Metadata,
                path.as_bytes(),
                protected("set the metadata of", path),
            ),
        }
    }

    /// Gives directories below `path` their modes back if the restore widened them and did not finish them. Once
    /// `path` has its own mode, they may not be reachable.
    fn restore_modes_below(&mut self, path: &Path) {
        let below = self.widened.range(path.clone()..).map(|(path, _)| path);
        let below: Vec<_> = below.take_while(|below| below.is_within(path.as_bytes())).cloned().collect();
        let opened = below.into_iter().filter_map(|path| self.widened.remove_entry(&path)).collect();
        self.close(opened);
    }

    /// Gives all widened directories their modes back, after a failed restore.
    pub fn restore_all_modes(&mut self) {
        let opened = std::mem::take(&mut self.widened);
        self.close(opened);
    }

    fn close(&self, opened: BTreeMap<Path, WidenedDir>) {
        for (path, before) in opened.into_iter().rev() {
            if let Ok(dir) = self.target.open_dir(path.as_bytes())
                && dir.stat_self().is_ok_and(|now| now.id() == before.id)
            {
                let _ = platform::set_mode(dir.as_fd(), before.mode);
            }
        }
    }
}

/// The error for an existing file or directory whose flags forbid the change that the restore would make.
pub fn protected(op: &str, path: &Path) -> Error {
    let detail =
        "it is immutable or append-only, and stays as it is; 'chattr -ia' takes this protection away";
    Error { os_code: libc::EPERM, ..Error::new(Kind::Exists, op, detail) }.at(path)
}

/// Adds all rights of the owner to the mode, if the descriptor still leads to the inode that was judged as `now`.
pub fn set_mode_if(fd: BorrowedFd<'_>, now: &Stat) -> io::Result<()> {
    match platform::stat_fd(fd)?.id() == now.id() {
        true => platform::set_mode(fd, now.mode | 0o700),
        false => Err(replaced()),
    }
}
