//! Opens the entries that a walk found.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::entry::Path;
use crate::platform::{Dir, Stat};

/// Opens entries beneath a root and follows no symbolic link. Opening entries in the order of a walk is fast,
/// because the directory of the last entry stays open.
#[derive(Debug)]
pub struct Source {
    root: Arc<Dir>,
    /// The path of the directory that was opened last, and the directory.
    parent: Option<(Vec<u8>, Arc<Dir>)>,
}

impl Source {
    pub fn new(root: Dir) -> Source {
        Source { root: Arc::new(root), parent: None }
    }

    /// A second source with the same root, to open entries in another order or thread.
    pub fn another(&self) -> Source {
        Source { root: self.root.clone(), parent: None }
    }

    /// Opens a file for reading, or a directory for its attributes. Since the walk the entry may have been
    /// replaced by one of another type: check with [`stat_file`](crate::platform::stat_file). If the entry is now
    /// a FIFO, opening it does not wait for a writer.
    pub fn open(&mut self, path: &Path) -> io::Result<File> {
        self.dir_of(path)?.open_file(path.name())
    }

    /// The attributes of the entry at `path` now. A symbolic link is not followed.
    pub fn stat(&mut self, path: &Path) -> io::Result<Stat> {
        self.dir_of(path)?.stat(path.name())
    }

    /// A descriptor for an entry that does not open it (`O_PATH`): for links, FIFOs and devices.
    pub fn open_path(&mut self, path: &Path) -> io::Result<OwnedFd> {
        self.dir_of(path)?.open_path(path.name())
    }

    /// The directory that contains an entry. [`Source::open`] opens [`Path::name`] in this directory.
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
