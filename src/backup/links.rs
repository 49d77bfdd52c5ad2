//! The hard-link sets of the source: the names that belong to one file.

use std::collections::HashMap;

use super::scan::LinkCounts;
use crate::entry::{Entry, Node};
use crate::platform::Stat;

/// Joins names by the inodes that the first pass saw. When the second pass reads a name, another file may
/// have taken the name, or the inode may have been freed and used again. So two names are joined only if the
/// same content was stored for both.
pub struct Links {
    /// The number of names of each inode that has several names.
    counts: LinkCounts,
    /// For each inode, the entry that was stored last with a content of its own.
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

    /// The entry that was stored last for the inode of `stat`. A further name may become a link to this
    /// entry.
    pub fn first(&self, stat: &Stat) -> Option<&Entry> {
        self.sets.get(&stat.id())
    }

    /// Sets the hard-link number of `entry`, a file that the first pass saw as `stat` and whose content is
    /// stored under this name. If the previous name of the set has the same content, `entry` gets the number
    /// of that name. Otherwise `entry` gets a new number, which later names of the same content share. 0 if
    /// `entry` belongs to no set.
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
