//! Opening what a walk found.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use crate::entry::Path;
use crate::platform::Dir;

/// Opens entries beneath a root, through no link. Quick for entries in the order of a walk: the directory
/// of the last one stays open.
#[derive(Debug)]
pub struct Source {
    root: Dir,
    /// The directory opened last, with its path.
    parent: Option<(Vec<u8>, Dir)>,
}

impl Source {
    pub fn new(root: Dir) -> Source {
        Source { root, parent: None }
    }

    /// Opens a file for reading, or a directory for its attributes. What was opened may have become
    /// something else since the walk: look at [`stat_file`](crate::platform::stat_file). Never waits for a
    /// FIFO's other end.
    pub fn open(&mut self, path: &Path) -> io::Result<File> {
        self.in_parent(path)?.open_file(path.name())
    }

    /// Names an entry without opening it: for links, FIFOs and devices.
    pub fn open_path(&mut self, path: &Path) -> io::Result<OwnedFd> {
        self.in_parent(path)?.open_path(path.name())
    }

    fn in_parent(&mut self, path: &Path) -> io::Result<&Dir> {
        let parent = path.parent().unwrap_or_default();
        if parent.is_empty() {
            return Ok(&self.root);
        }
        if self.parent.as_ref().is_none_or(|(held, _)| held != parent) {
            self.parent = None;
            let dir = self.root.open_dir(parent)?;
            self.parent = Some((parent.to_vec(), dir));
        }
        Ok(self.parent.as_ref().map_or(&self.root, |(_, dir)| dir))
    }
}
