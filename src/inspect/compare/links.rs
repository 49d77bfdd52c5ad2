//! Compares hard links: which names lead to the same file, in the snapshot and in the tree.

use std::collections::HashMap;

use crate::entry::{Entry, FileType, HardLink, Hash, LinkSet, Path};
use crate::platform::Stat;

/// The number of a name: names are counted in the order of the comparison.
type Ordinal = u64;

/// Hard-link sets, built name by name. Memory grows with the number of sets and their first names only.
#[derive(Default)]
pub struct ComparedLinks {
    /// For each recorded set: the first compared name.
    recorded: HashMap<LinkSet, Ordinal>,
    /// The sets of the tree, by device and inode.
    present: HashMap<(u64, u64), Set>,
    met: Ordinal,
}

/// An inode of the tree with several names.
struct Set {
    /// The first name of the inode that the comparison met.
    path: Path,
    /// The first compared name. Names that only the tree has do not count.
    first: Option<Ordinal>,
    /// The attributes and the hash of the file when it was read.
    content: Option<(Stat, Hash)>,
}

impl ComparedLinks {
    /// The hard link of an entry of the tree.
    pub fn link(&mut self, path: &Path, stat: &Stat) -> HardLink {
        match self.set(path, stat) {
            None => HardLink::Single,
            Some(set) if set.path == *path => HardLink::First,
            Some(set) => HardLink::Further(set.path.clone()),
        }
    }

    fn set(&mut self, path: &Path, stat: &Stat) -> Option<&mut Set> {
        if stat.nlink < 2 || stat.kind == FileType::Dir {
            return None;
        }
        let new = || Set { path: path.clone(), first: None, content: None };
        Some(self.present.entry(stat.id()).or_insert_with(new))
    }

    /// Compares a name that has the same type on both sides. True if the snapshot and the tree link this name to
    /// the same earlier name, or to none. Names that only one side has do not matter.
    pub fn agree(&mut self, then: &Entry, now: &Stat) -> bool {
        self.met += 1;
        let met = self.met;
        let first_then = then.link_set().map_or(met, |set| *self.recorded.entry(set).or_insert(met));
        let first_now = self.set(&then.path, now).map_or(met, |set| *set.first.get_or_insert(met));
        first_then == first_now
    }

    /// The hash of the file if it was read under another name, and its attributes did not change since.
    pub fn content(&mut self, stat: &Stat) -> Option<Hash> {
        let (before, hash) = self.present.get(&stat.id())?.content?;
        (before == *stat).then_some(hash)
    }

    pub fn remember(&mut self, path: &Path, stat: &Stat, hash: Hash) {
        if let Some(set) = self.set(path, stat) {
            set.content = Some((*stat, hash));
        }
    }
}
