//! Makes FIFOs and devices, and reports entries that this version cannot restore.

use std::io;

use crate::entry::{Entry, FileType, Node};
use crate::error::{Error, Kind, Result};
use crate::job::{ProblemKind, meta};

use super::metadata::first_mode;
use super::plan::Next;
use super::{Tree, clash};

impl Tree<'_, '_> {
    /// Makes a FIFO or a device. Lists an entry that this version cannot restore as a problem.
    pub(super) fn special(&mut self, entry: &Entry) -> Result<()> {
        let (kind, rdev) = match &entry.node {
            Node::Fifo => (FileType::Fifo, 0),
            Node::Char(rdev) => (FileType::Char, *rdev),
            Node::Block(rdev) => (FileType::Block, *rdev),
            Node::Unknown(node) => return self.unsupported(entry, node.why()),
            Node::File(_) | Node::Dir | Node::Symlink(_) => return Ok(()),
        };
        if !self.wanted.has(meta::SPECIAL) {
            return Ok(());
        }
        let Ok(rdev) = u64::try_from(rdev) else {
            return self.unsupported(entry, "its device number has more than 64 bits".into());
        };
        self.make_by_name(entry, |tree, name| {
            let mode = first_mode(&entry.meta, kind);
            match tree.target.parent(entry)?.mknod(name, kind, mode, rdev) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let error =
                        Error::io(format!("make the {}", entry.node.file_type().word()), &entry.path, &error);
                    tree.job.trouble(ProblemKind::Metadata, entry.path.as_bytes(), error)?;
                    Ok(false)
                }
                Err(error) => {
                    if tree.target.is_existing {
                        // Some file systems make an empty file before they refuse the entry. Only this restore uses
                        // the temporary name.
                        tree.remove_temp(entry, name);
                    }
                    Err(clash(&error, "make", entry))
                }
            }
        })
    }

    /// Lists an entry that is not restored as a problem. A file or directory at its path stays.
    fn unsupported(&mut self, entry: &Entry, why: String) -> Result<()> {
        let error = Error::new(Kind::Unsupported, "restore", why).at(&entry.path);
        self.job.trouble(ProblemKind::Unsupported, entry.path.as_bytes(), error)
    }

    /// Makes an entry without content: `make` makes it under the name that it is given, or returns false if it
    /// listed a problem instead.
    pub(super) fn make_by_name(
        &mut self,
        entry: &Entry,
        make: impl FnOnce(&mut Self, &[u8]) -> Result<bool>,
    ) -> Result<()> {
        let verdict = self.judge(entry)?;
        let Next::Create(now) = self.finish_without_file(entry, &verdict)? else {
            self.remember_existing(entry, &verdict);
            return Ok(());
        };
        if let Some(now) = &now {
            self.link_sets.remove_name(entry, now);
        }
        let name = self.work_name(entry);
        if !make(self, &name)? {
            return Ok(());
        }
        let set = self.metadata_by_name(entry, &name, None);
        let id = self.install(entry, now.as_ref(), set)?;
        self.remember_first(entry, &verdict, Some(id));
        self.report(entry, &verdict)
    }
}
