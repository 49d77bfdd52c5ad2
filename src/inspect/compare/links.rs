//! Which names are one file: as recorded, and in a tree.

use std::collections::HashMap;

use crate::entry::{File, Hash};
use crate::platform::Stat;

/// Names counted in the order in which they are met.
type Ordinal = u64;

/// Sets of hard links, met name by name. Memory grows with the sets only.
#[derive(Default)]
pub struct Links {
    /// The first name met of each recorded set, by the set's number.
    then: HashMap<u64, Ordinal>,
    /// By device and inode.
    now: HashMap<(u64, u64), Set>,
    met: Ordinal,
}

/// A file of the tree that has several names.
struct Set {
    /// Counted from 1.
    number: u64,
    /// The first name met that the snapshot has too.
    first: Option<Ordinal>,
    /// What was read of it, and when.
    content: Option<(Stat, Hash)>,
}

impl Links {
    /// The number of the set that a file of the tree is in; 0 if it has one name.
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

    /// Meets a name that is a file on both sides. True if it is the same file as the same one of the names
    /// met before, or as none of them, on both sides. Names on one side only do not matter.
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

    /// What was read of the same file under another name, if it is still as it was then.
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
