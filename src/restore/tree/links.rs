//! Makes hard and symbolic links after all files, when no file is written by name any more.

use std::io;

use crate::contents::ContentReader;
use crate::entry::{Entry, FileType, Node, Path};
use crate::error::{Error, Kind, Result};
use crate::job::ProblemKind;
use crate::restore::entry_spool::EntrySpool;

use super::plan::Next;
use super::target_dir::{FileId, replaced};
use super::{Tree, clash};

impl Tree<'_, '_> {
    /// Makes the links that earlier passes kept.
    pub fn make_links(&mut self, contents: &mut ContentReader) -> Result<()> {
        let mut links = std::mem::replace(&mut self.links, EntrySpool::new());
        links.replay(|entry, dir| {
            self.job.pulse()?;
            if self.target.is_existing && !self.job.options.dry_run {
                let parent = Path::new(entry.path.parent().unwrap_or_default());
                let wrong = |what| Error::new(Kind::Panic, "make a link", what).at(&entry.path);
                self.target.known.enter(&parent.map_err(wrong)?, dir);
            }
            let done = match self.link_sets.is_further_name(&entry) {
                true => self.hard_link(contents, &entry),
                false => self.first_name(contents, &entry),
            };
            self.or_obstructed(&entry.path, false, done)
        })?;
        self.target.known.clear();
        Ok(())
    }

    fn symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<()> {
        self.make_by_name(entry, |tree, name| {
            let made = tree.target.parent(entry)?.symlink(target, name);
            made.map(|()| true).map_err(|e| clash(&e, "make the symbolic link", entry))
        })
    }

    /// Makes an entry that is linked to no restored entry. That is a symbolic link, or a further name if the first
    /// name of its set could not be restored: then this name becomes the first.
    fn first_name(&mut self, contents: &mut ContentReader, entry: &Entry) -> Result<()> {
        match &entry.node {
            Node::Dir => Ok(()),
            Node::Symlink(target) => self.symlink(entry, target),
            Node::File(file) => self.file(contents, entry, file).and_then(|()| self.install_batch()),
            Node::Fifo | Node::Char(_) | Node::Block(_) | Node::Unknown(_) => self.special(entry),
        }
    }

    /// Links a further name of a set. If that is not possible (too many names, a file system without hard links), the
    /// name gets its own inode, and a problem is listed.
    fn hard_link(&mut self, contents: &mut ContentReader, entry: &Entry) -> Result<()> {
        let Some((first, path)) = self.link_sets.first_restored(entry) else { return Ok(()) };
        let (first, is_new, id) = (path.clone(), first.is_new, first.id);
        let verdict = self.judge_link(entry, &first, is_new)?;
        let Next::Create(now) = self.finish_without_file(entry, &verdict)? else { return Ok(()) };
        if !self.confirm_first(entry)? {
            return self.first_name(contents, entry);
        }
        if let Some(now) = &now {
            self.link_sets.remove_name(entry, now);
        }
        let from = self.target.open_dir(first.parent().unwrap_or(&[]));
        let from = from.map_err(|e| Error::io("open the directory of", &first, &e))?;
        let name = self.work_name(entry);
        match self.target.parent(entry)?.hard_link(&from, first.name(), &name) {
            Ok(()) => {
                let linked = self.is_linked(entry, &name, id);
                self.install(entry, now.as_ref(), linked)?;
                if now.is_some() {
                    // A rename over another name of the same inode does nothing, so the temporary name still exists.
                    self.remove_temp(entry, &name);
                }
                self.report(entry, &verdict)
            }
            Err(error) if cannot_link(&error) => {
                let error = Error::io("link to its first name", &entry.path, &error);
                self.job.trouble(ProblemKind::Metadata, entry.path.as_bytes(), error)?;
                self.first_name(contents, entry)
            }
            Err(error) => Err(clash(&error, "link", entry)),
        }
    }

    /// Compares the first name of a set with the snapshot before `entry` is linked to it, if the first name existed
    /// before and was not compared. False if its content or metadata differ: then the policy keeps the file, and its
    /// name is no longer the first name.
    fn confirm_first(&mut self, entry: &Entry) -> Result<bool> {
        let first = self.link_sets.first_restored(entry).filter(|(first, _)| first.is_believed);
        let (Some((first, path)), Some(file)) = (first, entry.file()) else { return Ok(true) };
        let (path, id) = (path.clone(), first.id);
        let named = Entry { path: path.clone(), ..entry.clone() };
        let target_dir = self.target.target_dir(&named)?;
        let now = target_dir.dir.stat(path.name()).map_err(|e| Error::io("look at", &path, &e))?;
        let is_first = now.kind == FileType::File && now.size == file.size;
        let is_first = is_first && id.is_some_and(|id| target_dir.is_same(now.id(), id));
        if !is_first || !self.has_content(&named, file, &now)? || !self.has_attributes(&named, &now)? {
            self.link_sets.forget_first(&named);
            return Ok(false);
        }
        self.link_sets.confirm_first(entry);
        Ok(true)
    }

    /// Checks that a new link leads to the inode of the set's first name.
    fn is_linked(&mut self, entry: &Entry, name: &[u8], first: Option<FileId>) -> Result<()> {
        let trouble = |e: &io::Error| Error::io("link to its first name", &entry.path, e);
        let Some(first) = first else { return Ok(()) };
        let target_dir = self.target.target_dir(entry)?;
        let now = target_dir.dir.stat(name).map_err(|e| trouble(&e))?;
        match target_dir.is_same(now.id(), first) {
            true => Ok(()),
            false => Err(trouble(&replaced())),
        }
    }
}

/// Errors after which the name gets its own file instead of a hard link.
fn cannot_link(error: &io::Error) -> bool {
    const CODES: [i32; 7] =
        [libc::EMLINK, libc::EPERM, libc::EACCES, libc::EINVAL, libc::EOPNOTSUPP, libc::EXDEV, libc::ENOSYS];
    error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}
