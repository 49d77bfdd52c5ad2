//! Counts the names of hard-link sets among the entries to restore, and the names that inodes of an existing
//! destination have.
//!
//! The link count of an inode is not enough, because it does not say where the names are. For example, a set has two
//! names in the snapshot and an inode of the destination has two names, but one of the inode's names may be outside
//! of the destination.

use std::collections::HashMap;

use crate::entry::{FileType, LinkSet};
use crate::platform::Dir;

use super::tree::FileId;

/// Numbers of names.
#[derive(Default)]
pub struct HardLinkNames {
    /// The number of names to restore for each hard-link set.
    wanted: HashMap<LinkSet, u64>,
    /// The number of those names that lead to an inode of the destination.
    found: HashMap<(LinkSet, FileId), u64>,
}

/// An existing destination in which names are looked up before the restore changes anything.
pub struct InodeLookup {
    root: Dir,
    /// The directory used last, with its path below the root. The directory is `None` if it cannot be opened.
    current: Option<(Vec<u8>, Option<Dir>)>,
}

impl HardLinkNames {
    /// Counts a name of a set, at `path` below the destination. A name that cannot be looked up counts as
    /// not found: at worst, the restore writes a file that could have stayed.
    pub fn add(&mut self, set: LinkSet, path: &[u8], lookup: Option<&mut InodeLookup>) {
        *self.wanted.entry(set).or_default() += 1;
        if let Some(id) = lookup.and_then(|lookup| lookup.find(path)) {
            *self.found.entry((set, id)).or_default() += 1;
        }
    }

    /// The number of the set's names that lead to the inode `id`; 1 if unknown, because the name of the caller leads
    /// to it.
    pub fn of_inode(&self, set: Option<LinkSet>, id: FileId) -> u64 {
        set.and_then(|set| self.found.get(&(set, id))).copied().unwrap_or(1)
    }

    /// Whether every name of the set leads to the inode `id`. `None` stands for an entry without hard links.
    pub fn has_all(&self, set: Option<LinkSet>, id: FileId) -> bool {
        let wanted = |set| self.wanted.get(&set).copied().unwrap_or(u64::MAX);
        set.is_none_or(|named| self.of_inode(set, id) >= wanted(named))
    }

    /// Notes that a name of the set no longer leads to the inode `id`.
    pub fn remove(&mut self, set: Option<LinkSet>, id: FileId) {
        if let Some(found) = set.and_then(|set| self.found.get_mut(&(set, id))) {
            *found = found.saturating_sub(1);
        }
    }
}

impl InodeLookup {
    pub fn new(root: Dir) -> Self {
        InodeLookup { root, current: None }
    }

    /// Looks up an inode that can have several names.
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
        (now.kind != FileType::Dir).then(|| now.id())
    }
}
