//! Compares hard links: which names lead to the same file, in the snapshot and in the tree.

use std::collections::HashMap;

use crate::entry::{File, Hash};
use crate::platform::Stat;

/// The number of a name, in the order of the comparison.
type Ordinal = u64;

/// Hard-link sets, built name by name. Memory grows with the number of sets only.
#[derive(Default)]
pub struct Links {
    /// For each recorded set, by its number: the first compared name.
    then: HashMap<u64, Ordinal>,
    /// The sets of the tree, by device and inode.
    now: HashMap<(u64, u64), Set>,
    met: Ordinal,
}

/// A file of the tree with several names.
struct Set {
    /// The number of the set, from 1.
    number: u64,
    /// The first compared name. Names that only the tree has do not count.
    first: Option<Ordinal>,
    /// The attributes and the hash of the file when it was read.
    content: Option<(Stat, Hash)>,
}

impl Links {
    /// The number of the hard-link set of a file of the tree, 0 if the file has one name.
    pub fn number(&mut self, stat: &Stat) -> u64 {
        self.set(stat).map_or(0, |set| set.number)
    }

    fn set(&mut self, stat: &Stat) -> Option<&mut Set> {
        if stat.nlink < 2 {
            return None;
        }
        let number = self.now.len() as u64 + 1;
        Some(self.now.entry(stat.id()).or_insert(Set { number, first: None, content: None }))
    }

    /// Compares a name that is a file on both sides. True if the snapshot and the tree link this name to
    /// the same earlier name, or to none. Names that only one side has do not matter.
    pub fn agree(&mut self, then: &File, now: &Stat) -> bool {
        self.met += 1;
        let met = self.met;
        let first_then = match then.link {
            0 => met,
            link => *self.then.entry(link).or_insert(met),
        };
        let first_now = self.set(now).map_or(met, |set| *set.first.get_or_insert(met));
        first_then == first_now
    }

    /// The hash of the file if it was read under another name, and its attributes did not change since.
    pub fn content(&mut self, stat: &Stat) -> Option<Hash> {
        let (before, hash) = self.set(stat)?.content?;
        (before == *stat).then_some(hash)
    }

    pub fn remember(&mut self, stat: &Stat, hash: Hash) {
        if let Some(set) = self.set(stat) {
            set.content = Some((*stat, hash));
        }
    }
}
