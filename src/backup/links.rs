//! The hard-link sets of the source: which names are one file.

use std::collections::HashMap;

use super::scan::LinkCounts;
use crate::entry::{Entry, Node};
use crate::platform::Stat;

/// Goes by the inodes that the first pass saw. The second pass finds other files under some of these names, and
/// inodes that were freed and used again: names are joined only where what was stored is the same.
pub struct Links {
    /// Names of each inode that has several.
    counts: LinkCounts,
    /// The entry of each that was stored last under a name of its own.
    sets: HashMap<(u64, u64), Entry>,
    last_number: u64,
}

impl Links {
    pub fn new(counts: LinkCounts) -> Self {
        Links { counts, sets: HashMap::new(), last_number: 0 }
    }

    pub fn has_several(&self, stat: &Stat) -> bool {
        self.counts.contains_key(&stat.id())
    }

    /// The entry of the name of a set that others may be links of.
    pub fn first(&self, stat: &Stat) -> Option<&Entry> {
        self.sets.get(&stat.id())
    }

    /// Gives the entry of a file that the first pass saw as `stat`, and whose content is stored under its own name,
    /// the number of its set: that of the name before it if both have the same content, else a new one, which the
    /// names to come join. 0 if it is in none.
    pub fn join(&mut self, entry: &mut Entry, stat: &Stat) {
        let in_set = self.has_several(stat) && entry.place.ino == stat.ino;
        let number = match self.sets.get(&stat.id()).filter(|_| in_set) {
            Some(before) if has_bytes_of(entry, before) => number(before),
            _ if in_set => {
                self.last_number += 1;
                self.last_number
            }
            _ => 0,
        };
        if let Node::File(file) = &mut entry.node {
            file.link = number;
        }
        if in_set {
            self.sets.insert(stat.id(), entry.clone());
        }
    }
}

fn number(entry: &Entry) -> u64 {
    entry.file().map_or(0, |file| file.link)
}

fn has_bytes_of(a: &Entry, b: &Entry) -> bool {
    a.file().zip(b.file()).is_some_and(|(a, b)| a.same_bytes(b))
}
