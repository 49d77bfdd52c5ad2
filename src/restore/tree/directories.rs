//! Makes directories, and sets their metadata after everything below them.

use std::io;

use crate::entry::{Entry, FileType, Metadata, Path};
use crate::error::{Error, Kind, Result, describe};
use crate::job::meta;
use crate::platform::Dir;
use crate::restore::entry_spool::EntrySpool;
use crate::restore::target::Target;

use super::metadata::first_mode;
use super::plan::EntryVerdict;
use super::target_dir::FileId;
use super::{Tree, clash};

impl Tree<'_, '_> {
    /// Makes a directory, or goes on to an existing one. `asked_for`: the directory is selected itself.
    pub(super) fn directory(&mut self, entry: &Entry, asked_for: bool) -> Result<()> {
        self.remove_leftovers(entry)?;
        let verdict = match self.judge(entry)? {
            EntryVerdict::Refresh(now) | EntryVerdict::Keep(now) if !asked_for => EntryVerdict::Right(now),
            verdict => verdict,
        };
        match verdict {
            EntryVerdict::Create | EntryVerdict::Replace(_) => {}
            // The directory exists. The entries below it have their own verdicts.
            EntryVerdict::Right(now) if !asked_for => return self.enter(entry, &now, false),
            EntryVerdict::Right(now) | EntryVerdict::Refresh(now) => {
                // The time of the directory is set at the end all the same, because new entries in the directory
                // change it.
                self.enter(entry, &now, true)?;
                return self.report(entry, &verdict);
            }
            EntryVerdict::Keep(now) if now.kind == FileType::Dir => return self.enter(entry, &now, false),
            EntryVerdict::Keep(_) => {
                self.lost_dir = Some(entry.path.clone());
                return self.report(entry, &verdict);
            }
        }
        if self.job.options.dry_run {
            self.link_sets.will_lose_name(entry, &verdict);
        } else {
            if let EntryVerdict::Replace(now) = &verdict {
                self.remove_existing(entry, now)?;
            }
            self.make_dir(entry)?;
        }
        self.report(entry, &verdict)
    }

    /// Makes a directory where nothing exists. The root of the destination exists already.
    pub(super) fn make_dir(&mut self, entry: &Entry) -> Result<()> {
        let name = entry.path.name();
        let trouble = |e: &io::Error| Error::io("open the directory", &entry.path, e);
        let id = if entry.path == self.target.base {
            self.wanted.fold_case(&entry.meta, || self.target.open_dir(entry.path.as_bytes()));
            self.target.open_dir(entry.path.as_bytes()).and_then(|root| root.stat_self()).map(|now| now.id())
        } else {
            let target_dir = self.target.target_dir(entry)?;
            let made = target_dir.dir.mkdir(name, first_mode(&entry.meta, FileType::Dir));
            made.map_err(|e| clash(&e, "make the directory", entry))?;
            self.wanted.fold_case(&entry.meta, || target_dir.dir.open_dir(name));
            match self.target.is_existing {
                true => target_dir.made_dir(name),
                false => target_dir.dir.stat(name).map(|now| now.id()),
            }
        };
        let id = id.map_err(|e| trouble(&e))?;
        if self.target.is_existing {
            self.target.known.enter(&entry.path, id);
        }
        self.dirs.push(entry, id)
    }

    /// Sets the metadata of all directories except the root. Each directory comes after everything below it. The tree
    /// is in its final place by now. Returns the root's metadata, or `None` if the root keeps its own.
    pub fn finish_dirs(&mut self, root: Option<Dir>) -> Result<Option<Metadata>> {
        self.target.set_root(root);
        let mut dirs = std::mem::replace(&mut self.dirs, EntrySpool::new());
        if self.job.options.dry_run {
            return Ok(None);
        }
        // The open directories lie within each other: for each, the length of its path within `path`, its metadata
        // and its inode.
        let mut path = Vec::new();
        let mut open: Vec<(usize, Metadata, FileId)> = Vec::new();
        dirs.replay(|entry, id| {
            let is_done = |(len, ..): &mut (usize, Metadata, FileId)| !entry.path.is_within(&path[..*len]);
            while let Some((len, meta, id)) = open.pop_if(is_done) {
                self.finish_dir(&path[..len], meta, id)?;
            }
            path.clear();
            path.extend_from_slice(entry.path.as_bytes());
            open.push((path.len(), entry.meta, id));
            Ok(())
        })?;
        while let Some((len, meta, id)) = open.pop() {
            if path[..len] == *self.target.base.as_bytes() {
                return Ok(Some(meta));
            }
            self.finish_dir(&path[..len], meta, id)?;
        }
        Ok(None)
    }

    /// Makes the tree durable. Then sets the metadata of the root, as the last change of the tree, unless the root
    /// keeps its own.
    pub fn make_durable(&mut self, root: Option<Metadata>, target: &Target) -> Result<()> {
        target.sync()?;
        self.target.sync_mounts()?;
        root.map_or(Ok(()), |meta| self.finish_root(meta, target))
    }

    /// Metadata of the root that cannot be set is a problem and does not fail the restore.
    fn finish_root(&mut self, meta: Metadata, target: &Target) -> Result<()> {
        let mut not_cleared: Vec<_> = target.clear_root().err().into_iter().collect();
        if meta.mode.is_none() && self.wanted.has(meta::MODE) {
            not_cleared.extend(target.set_usual_mode().err());
        }
        self.not_set(&self.target.base.clone(), not_cleared)?;
        let root = self.target.open_dir(self.target.base.as_bytes());
        let root = root.map_err(|e| Error::new(Kind::Io, "open the destination", describe(&e)))?;
        self.close_dir(&self.target.base.clone(), &meta, &root)?;
        root.sync().map_err(|e| Error::new(Kind::Io, "sync the destination", describe(&e)))
    }

    fn finish_dir(&mut self, path: &[u8], meta: Metadata, id: FileId) -> Result<()> {
        self.job.pulse()?;
        let path =
            Path::new(path).map_err(|what| Error::new(Kind::Panic, "finish a directory", what).at(path))?;
        let dir = self.target.open_known(&path, id, self.kept);
        let done = match dir.map_err(|e| Error::io("open the directory", &path, &e)) {
            Ok(dir) => self.close_dir(&path, &meta, &dir),
            Err(error) => Err(error),
        };
        self.or_obstructed(&path, true, done)
    }
}
