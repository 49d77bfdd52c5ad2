//! Plans each entry: looks at the file or directory that already has the entry's name, and decides what happens to it.
//! A dry run ends here.
//!
//! [`policy`] and [`link_sets`] decide by an entry and a stat alone, [`compare`] reads existing files.

mod compare;
mod link_sets;
mod policy;

use std::io;

use crate::entry::{Entry, FileType, Node, Path};
use crate::error::{Error, Kind, Result};
use crate::platform::{self, Stat};
use crate::text::encode_name;

use super::Tree;
use super::metadata::protected;
use super::target_dir::FileId;
pub(super) use link_sets::LinkSets;
pub(super) use policy::{EntryVerdict, is_like};
use policy::{is_believed, kept, may_replace};

/// The work that remains after a verdict.
pub enum Next {
    /// Nothing remains.
    Done,
    /// Make the entry. The value is the existing file or directory to replace.
    Create(Option<Stat>),
}

impl Tree<'_, '_> {
    /// The existing file or directory under an entry's name. `Exists` if it must not be touched.
    pub fn stat_existing(&mut self, entry: &Entry) -> Result<Option<Stat>> {
        if !self.target.is_existing {
            return Ok(None);
        }
        match self.target.stat(&entry.path) {
            Ok(stat) => {
                self.check_not_own(&entry.path, &stat)?;
                self.is_named_so(entry, &stat).map(|()| Some(stat))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // In a dry run, a file that would have been replaced by a directory still exists.
            Err(error) if self.job.options.dry_run && is_no_directory(&error) => Ok(None),
            Err(error) => Err(Error::io("look at", &entry.path, &error)),
        }
    }

    /// `Exists` if the file that was found has a different spelling of the name. On a file system that ignores case,
    /// one entry must not replace another, for example `a` must not replace `A`.
    fn is_named_so(&mut self, entry: &Entry, now: &Stat) -> Result<()> {
        if entry.path == self.target.base {
            return Ok(());
        }
        let trouble = |e: &io::Error| Error::io("look into the directory of", &entry.path, e);
        let target_dir = self.target.target_dir(entry)?;
        let Some(listed) = target_dir.names_if_case_ignored(entry.path.name()).map_err(|e| trouble(&e))?
        else {
            return Ok(());
        };
        if listed.contains(entry.path.name()) {
            return Ok(());
        }
        let is_it = |name: &[u8]| {
            // Some file systems give every spelling its own inode number.
            let same = || target_dir.dir.stat(name).is_ok_and(|stat| stat.id() == now.id());
            name.eq_ignore_ascii_case(entry.path.name()) || same()
        };
        let now_listed = target_dir.dir.list().names;
        let mut names = listed.iter().chain(now_listed.iter().map(|(name, _)| name));
        let other = names.find(|name| is_it(name)).map_or("?".into(), |name| encode_name(name));
        let detail = format!("the file system takes it for '{other}', which is there");
        let error = Error::new(Kind::Exists, "restore", detail).at(&entry.path);
        Err(Error { os_code: libc::EEXIST, ..error })
    }

    /// Decides what happens to the entry's name. If the mode of a directory lacks the owner's rights, they are added
    /// here: otherwise the entries below it cannot be planned.
    pub fn judge(&mut self, entry: &Entry) -> Result<EntryVerdict> {
        let Some(now) = self.stat_existing(entry)? else {
            return self.check_takes_names(entry).map(|()| EntryVerdict::Create);
        };
        if entry.node == Node::Dir && now.kind == FileType::Dir {
            self.widen_rights(entry, &now)?;
        }
        if !self.may_replace(entry, &now) {
            return Ok(kept(entry, now));
        }
        let same = !self.link_sets.is_claimed(entry, &now)
            && is_like(&entry.node, &now)
            && self.has_same_content(entry, &now)?;
        if !same {
            self.check_unprotected(entry, &now)?;
            return self.check_removable(entry, &now).map(|()| EntryVerdict::Replace(now));
        }
        self.link_sets.claim(entry, &now);
        if self.has_attributes(entry, &now)? {
            return Ok(EntryVerdict::Right(now));
        }
        if now.kind != FileType::Dir && self.is_protected(entry) {
            return Err(protected("set the metadata of", &entry.path));
        }
        // If the inode has names that are not part of the snapshot, their metadata must not change.
        if self.link_sets.has_further_names(entry, &now) {
            return self.check_takes_names(entry).map(|()| EntryVerdict::Replace(now));
        }
        // Where no new file can take the name, the metadata is set, except for the flags that only a new file takes.
        match self.needs_new_file(entry, &now)? && self.check_takes_names(entry).is_ok() {
            true => Ok(EntryVerdict::Replace(now)),
            false => Ok(EntryVerdict::Refresh(now)),
        }
    }

    /// `Exists` if the flags of an existing directory forbid the rename of a new entry in it. For a directory that
    /// cannot be opened the flags are unknown, and this is no error: in a dry run it may not exist yet, and otherwise
    /// making the new entry fails.
    fn check_takes_names(&mut self, entry: &Entry) -> Result<()> {
        if !self.target.is_existing || entry.node == Node::Dir {
            return Ok(());
        }
        match self.target.target_dir_of(&entry.path) {
            Ok(dir) if dir.is_protected() => Err(protected("make an entry in the directory of", &entry.path)),
            _ => Ok(()),
        }
    }

    /// `Exists` if the flags of an existing file or of its directory forbid to replace or change it.
    fn check_unprotected(&mut self, entry: &Entry, now: &Stat) -> Result<()> {
        self.check_takes_names(entry)?;
        let op = if now.kind == FileType::Dir { "make way for" } else { "replace" };
        match self.is_protected(entry) {
            true => Err(protected(op, &entry.path)),
            false => Ok(()),
        }
    }

    /// Whether the flags of an existing file or directory forbid changes of it.
    fn is_protected(&mut self, entry: &Entry) -> bool {
        let named = self.target.dir_of(&entry.path).and_then(|dir| dir.open_path(entry.path.name()));
        named.is_ok_and(platform::is_protected)
    }

    /// The verdict on a further name of a hard-link set whose first name is restored. `is_new`: the first name is a
    /// new file.
    pub fn judge_link(&mut self, entry: &Entry, first: &Path, is_new: bool) -> Result<EntryVerdict> {
        let Some(now) = self.stat_existing(entry)? else {
            return self.check_takes_names(entry).map(|()| EntryVerdict::Create);
        };
        if !self.may_replace(entry, &now) {
            return Ok(kept(entry, now));
        }
        let first = self.target.dir_of(first).and_then(|dir| dir.stat(first.name()));
        match first {
            // In a dry run, a first name that would be new still has its old inode, so equal inodes say nothing.
            Ok(first) if first.id() == now.id() && !(is_new && self.job.options.dry_run) => {
                Ok(EntryVerdict::Right(now))
            }
            _ => {
                self.check_unprotected(entry, &now)?;
                self.check_removable(entry, &now).map(|()| EntryVerdict::Replace(now))
            }
        }
    }

    /// Whether the overwrite policy lets an entry replace an existing file.
    pub fn may_replace(&self, entry: &Entry, now: &Stat) -> bool {
        may_replace(self.job.options.overwrite, entry, now)
    }

    /// Whether an existing file with the size and time of `entry` counts as equal without being read.
    fn is_believed(&self, entry: &Entry, now: &Stat) -> bool {
        is_believed(self.job.options.overwrite, &self.link_sets, entry, now)
    }

    /// Remembers `entry` as the first restored name of its hard-link set, if the set has none.
    pub fn remember_first(&mut self, entry: &Entry, verdict: &EntryVerdict, id: Option<FileId>) {
        let is_believed = match verdict {
            EntryVerdict::Right(now) | EntryVerdict::Refresh(now) if entry.file().is_some() => {
                self.is_believed(entry, now)
            }
            _ => false,
        };
        self.link_sets.remember_first(entry, verdict, id, is_believed);
    }

    /// Like [`Tree::remember_first`], for an entry that is not made, because it exists or in a dry run. A name that the
    /// policy keeps may differ from its hard-link set, so it does not become the set's first name.
    pub fn remember_existing(&mut self, entry: &Entry, verdict: &EntryVerdict) {
        match verdict {
            EntryVerdict::Keep(_) => {}
            EntryVerdict::Right(now) | EntryVerdict::Refresh(now) => {
                self.remember_first(entry, verdict, Some(now.id()));
            }
            EntryVerdict::Create | EntryVerdict::Replace(_) => self.remember_first(entry, verdict, None),
        }
    }

    /// Handles the verdicts that need no new file: nothing to do, or only metadata to set. In a dry run, handles
    /// every verdict, reports the change and writes nothing.
    pub fn finish_without_file(&mut self, entry: &Entry, verdict: &EntryVerdict) -> Result<Next> {
        let now = match verdict {
            EntryVerdict::Create => None,
            EntryVerdict::Replace(now) => Some(*now),
            EntryVerdict::Refresh(now) if !self.job.options.dry_run => {
                self.metadata_by_name(entry, entry.path.name(), Some(now))?;
                self.report(entry, verdict)?;
                return Ok(Next::Done);
            }
            EntryVerdict::Right(_) | EntryVerdict::Refresh(_) | EntryVerdict::Keep(_) => {
                self.report(entry, verdict)?;
                return Ok(Next::Done);
            }
        };
        if self.job.options.dry_run {
            if now.is_some_and(|now| now.kind == FileType::Dir) && self.job.options.delete_extra {
                self.each_below(&entry.path, &mut |tree, path, now| tree.report_removed(path, now))?;
            }
            self.link_sets.will_lose_name(entry, verdict);
            self.report(entry, verdict)?;
            return Ok(Next::Done);
        }
        Ok(Next::Create(now))
    }
}

fn is_no_directory(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP))
}
