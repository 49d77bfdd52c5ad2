//! The names of hard-link sets among the entries to restore, and the inodes that have them in an existing destination.
//!
//! The number of names of an inode does not tell where they are: with two names of a set in the snapshot and two of
//! an inode in the destination, one of these may be outside of it.

use std::collections::HashMap;

use crate::platform::{Dir, FileKind};

use super::tree::FileId;

/// Counts of names.
#[derive(Default)]
pub struct SetNames {
    /// Names of each hard-link set.
    wanted: HashMap<u64, u64>,
    /// Of those, the names that an inode of the destination has.
    found: HashMap<(u64, FileId), u64>,
}

/// An existing destination in which names are looked up, before anything is changed in it.
pub struct Survey {
    root: Dir,
    /// The directory looked into last, by its path below the root; `None` if it cannot be opened.
    current: Option<(Vec<u8>, Option<Dir>)>,
}

impl SetNames {
    /// Counts a name of the set `link`, at `path` below the destination. One that cannot be looked up is not found:
    /// at worst a file is written that could have stayed.
    pub fn add(&mut self, link: u64, path: &[u8], survey: Option<&mut Survey>) {
        *self.wanted.entry(link).or_default() += 1;
        if let Some(id) = survey.and_then(|survey| survey.find(path)) {
            *self.found.entry((link, id)).or_default() += 1;
        }
    }

    /// Names of the set that the inode `id` has. The name that is asked for is one of them.
    pub fn of_inode(&self, link: u64, id: FileId) -> u64 {
        self.found.get(&(link, id)).copied().unwrap_or(1)
    }

    /// Whether the inode `id` has every name of the set; 0 is the set of one entry alone.
    pub fn has_all(&self, link: u64, id: FileId) -> bool {
        link == 0 || self.wanted.get(&link).is_some_and(|&wanted| self.of_inode(link, id) >= wanted)
    }

    /// A name of the set makes way, which the inode `id` has.
    pub fn remove(&mut self, link: u64, id: FileId) {
        if let Some(found) = self.found.get_mut(&(link, id)) {
            *found = found.saturating_sub(1);
        }
    }
}

impl Survey {
    pub fn new(root: Dir) -> Self {
        Survey { root, current: None }
    }

    /// The inode of a file.
    fn find(&mut self, path: &[u8]) -> Option<FileId> {
        let (dir, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&b""[..], path),
        };
        if self.current.as_ref().is_none_or(|(current, _)| current != dir) {
            self.current = Some((dir.to_vec(), self.root.open_dir(dir).ok()));
        }
        let (_, dir) = self.current.as_ref()?;
        let now = dir.as_ref()?.stat(name).ok()?;
        (now.kind == FileKind::File).then(|| now.id())
    }
}
