//! Makes FIFOs and devices.

use std::io;

use crate::entry::{Entry, FileType, Node};
use crate::error::{Error, Result};
use crate::job::{ProblemKind, meta};

use super::plan::Next;
use super::{Tree, clash};

impl Tree<'_, '_> {
    /// Makes a FIFO or a device.
    pub(super) fn special(&mut self, entry: &Entry) -> Result<()> {
        let (kind, rdev) = match entry.node {
            Node::Fifo => (FileType::Fifo, 0),
            Node::Char(rdev) => (FileType::Char, rdev),
            Node::Block(rdev) => (FileType::Block, rdev),
            _ => return Ok(()),
        };
        if !self.wanted.has(meta::SPECIAL) {
            return Ok(());
        }
        let verdict = self.judge(entry)?;
        let Next::Create(now) = self.finish_without_file(entry, &verdict)? else {
            self.remember_existing(entry, &verdict);
            return Ok(());
        };
        if let Some(now) = &now {
            self.link_sets.remove_name(entry, now);
        }
        let name = self.work_name(entry);
        match self.target.parent(entry)?.mknod(&name, kind, 0o600, rdev) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let error =
                    Error::io(format!("make the {}", entry.node.file_type().word()), &entry.path, &error);
                return self.job.trouble(ProblemKind::Metadata, entry.path.as_bytes(), error);
            }
            Err(error) => {
                if self.target.is_existing {
                    // Some file systems make an empty file before they refuse. No one else uses the temporary name.
                    self.remove_temp(entry, &name);
                }
                return Err(clash(&error, "make", entry));
            }
        }
        let set = self.metadata_by_name(entry, &name, None);
        let id = self.install(entry, now.as_ref(), set)?;
        self.remember_first(entry, &verdict, Some(id));
        self.report(entry, &verdict)
    }
}
