//! Opening what a walk found.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::entry::Path;
use crate::platform::{Dir, Stat};

/// Opens entries beneath a root, through no link. Quick for entries in the order of a walk: the directory
/// of the last one stays open.
#[derive(Debug)]
pub struct Source {
    root: Arc<Dir>,
    /// The directory opened last, with its path.
    parent: Option<(Vec<u8>, Arc<Dir>)>,
}

impl Source {
    pub fn new(root: Dir) -> Source {
        Source { root: Arc::new(root), parent: None }
    }

    /// The same root, for reading elsewhere in it.
    pub fn another(&self) -> Source {
        Source { root: self.root.clone(), parent: None }
    }

    /// Opens a file for reading, or a directory for its attributes. What was opened may have become
    /// something else since the walk: look at [`stat_file`](crate::platform::stat_file). Never waits for a
    /// FIFO's other end.
    pub fn open(&mut self, path: &Path) -> io::Result<File> {
        self.dir_of(path)?.open_file(path.name())
    }

    /// What stands at a path now; of a link, the link.
    pub fn stat(&mut self, path: &Path) -> io::Result<Stat> {
        self.dir_of(path)?.stat(path.name())
    }

    /// Names an entry without opening it: for links, FIFOs and devices.
    pub fn open_path(&mut self, path: &Path) -> io::Result<OwnedFd> {
        self.dir_of(path)?.open_path(path.name())
    }

    /// The directory that holds an entry: opening [`Path::name`] in it is what [`Source::open`] does.
    pub fn dir_of(&mut self, path: &Path) -> io::Result<&Arc<Dir>> {
        let parent = path.parent().unwrap_or_default();
        if parent.is_empty() {
            return Ok(&self.root);
        }
        if self.parent.as_ref().is_none_or(|(held, _)| held != parent) {
            self.parent = None;
            let dir = self.root.open_dir(parent)?;
            self.parent = Some((parent.to_vec(), Arc::new(dir)));
        }
        Ok(self.parent.as_ref().map_or(&self.root, |(_, dir)| dir))
    }
}
