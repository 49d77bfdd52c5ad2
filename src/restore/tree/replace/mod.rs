//! Replaces files and directories of an existing tree.
//!
//! A new entry is made under a temporary name in the directory of its final name, and renamed when it is complete. A
//! file is renamed when it is durable, too ([`install_batch`]). So a name always leads to its old content or to its new
//! content, also after a power cut.

mod install_batch;

use std::io;

use crate::contents::ContentReader;
use crate::entry::{Entry, File, FileType, HardLink};
use crate::error::{Error, Result};
use crate::platform::{self, Stat};

use super::Tree;
use super::plan::EntryVerdict;
use install_batch::CompleteFile;
pub(super) use install_batch::InstallBatch;

impl Tree<'_, '_> {
    /// Makes a file in the place that `verdict` describes. The file gets its name when it is durable.
    pub fn replace_file(
        &mut self,
        contents: &mut ContentReader,
        entry: &Entry,
        file: &File,
        verdict: &EntryVerdict,
    ) -> Result<()> {
        match self.prepare_file(contents, entry, file, verdict) {
            // The waiting files use disk space together with the files that they replace. Installing them frees that
            // space.
            Err(error) if is_out_of_room(&error) && !self.batch.is_empty() => {
                self.install_batch()?;
                self.prepare_file(contents, entry, file, verdict)
            }
            done => done,
        }
    }

    /// Makes a file under a temporary name, and adds it to the batch.
    fn prepare_file(
        &mut self,
        contents: &mut ContentReader,
        entry: &Entry,
        file: &File,
        verdict: &EntryVerdict,
    ) -> Result<()> {
        let temp = self.batch.next_name();
        let target_dir = self.target.target_dir(entry)?;
        let Some(output) = self.write_file(contents, entry, file, (&target_dir, &temp))? else {
            return Ok(());
        };
        let syncs_whole = target_dir.syncs_whole() && platform::has_syncfs();
        if !syncs_whole {
            let synced = output.sync_all().map_err(|e| Error::io("sync", &entry.path, &e));
            synced.inspect_err(|_| drop(target_dir.dir.unlink(&temp)))?;
        }
        let has_late = self.late.wants(&entry.meta);
        let id = match entry.link {
            HardLink::Single if !has_late => None,
            _ => Some(platform::stat_file(&output).map_err(|e| Error::io("look at", &entry.path, &e))?.id()),
        };
        let first = id.filter(|_| entry.link != HardLink::Single);
        self.remember_first(entry, verdict, first);
        let (entry, verdict, dir) = (entry.clone(), *verdict, target_dir.id);
        let unsynced = syncs_whole.then_some(target_dir);
        self.install_later(CompleteFile { entry, verdict, id, temp, dir, unsynced })
    }

    /// Removes the left-overs of killed restores of this destination from a directory. Does nothing if the directory
    /// cannot be opened: the entries to restore in it then fail with the reason.
    pub fn remove_leftovers(&mut self, entry: &Entry) -> Result<()> {
        let Some(leftovers) = self.leftovers else { return Ok(()) };
        let Ok(dir) = self.target.open_dir(entry.path.as_bytes()) else { return Ok(()) };
        let listing = dir.list();
        let outcome = leftovers.remove_from(&dir, listing.names.iter().map(|(name, _)| &**name));
        let path_of = |name: &[u8]| {
            let path = entry.path.join(name).unwrap_or_else(|_| entry.path.clone());
            path.as_bytes().to_vec()
        };
        outcome.report(path_of, self.job)
    }

    /// Removes the file or directory under an entry's name, if a rename cannot replace it. A directory that is not
    /// empty goes only if `delete_extra` is set.
    pub fn remove_existing(&mut self, entry: &Entry, now: &Stat) -> Result<()> {
        let (extra_goes, name) = (self.job.options.delete_extra, entry.path.name());
        let trouble = |e: &io::Error| Error::io("make way for", &entry.path, e);
        let target_dir = self.target.target_dir(entry)?;
        let is_dir = now.kind == FileType::Dir;
        let held = target_dir.hold(name, now).map_err(|e| trouble(&e))?;
        if is_dir && extra_goes {
            self.check_removable(entry, now)?;
            self.each_below(&entry.path, &mut |tree, path, now| tree.report_removed(path, now))?;
        }
        let is_held = target_dir.check_held(name, now, held.as_ref());
        let removed = is_held.and_then(|()| match (is_dir, extra_goes) {
            (true, true) => target_dir.dir.remove_tree(name),
            (true, false) => target_dir.dir.rmdir(name),
            (false, _) => target_dir.dir.unlink(name),
        });
        removed.map_err(|e| trouble(&e))
    }

    /// The name of a new entry until it is complete.
    pub fn work_name(&self, entry: &Entry) -> Vec<u8> {
        if self.target.is_existing { self.batch.temp_name() } else { entry.path.name() }.to_vec()
    }

    /// Renames a new entry from its temporary name to its own name, if `made` is a success. Removes the temporary
    /// name if not.
    pub fn install<T>(&mut self, entry: &Entry, now: Option<&Stat>, made: Result<T>) -> Result<T> {
        if !self.target.is_existing {
            return made;
        }
        let temp = self.batch.temp_name().to_vec();
        let renamed = made.and_then(|made| self.put_in_place(entry, now, &temp).map(|()| made));
        if renamed.is_err() {
            self.remove_temp(entry, &temp);
        }
        renamed
    }

    /// Renames `temp` to the name of `entry`. `now` is the file or directory that has this name.
    pub fn put_in_place(&mut self, entry: &Entry, now: Option<&Stat>, temp: &[u8]) -> Result<()> {
        if let Some(now) = now.filter(|now| now.kind == FileType::Dir) {
            self.remove_existing(entry, now)?;
        }
        let dir = self.target.parent(entry)?;
        let renamed = match now {
            Some(_) => dir.rename(temp, dir, entry.path.name()),
            None => dir.rename_noreplace(temp, dir, entry.path.name()),
        };
        renamed.map_err(|e| Error::io("put in place", &entry.path, &e))
    }

    /// Removes a temporary name. The caller already reports the error that made this necessary.
    pub fn remove_temp(&mut self, entry: &Entry, temp: &[u8]) {
        if let Ok(dir) = self.target.parent(entry) {
            let _ = dir.unlink(temp);
        }
    }
}

/// Whether the file system or the user's quota is full.
fn is_out_of_room(error: &Error) -> bool {
    matches!(error.os_code, libc::ENOSPC | libc::EDQUOT)
}
