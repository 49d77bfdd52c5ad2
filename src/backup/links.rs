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
    /// The entry of each that was stored first.
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

    /// The entry of the first name of a set.
    pub fn first(&self, stat: &Stat) -> Option<&Entry> {
        self.sets.get(&stat.id())
    }

    /// Gives the entry of a file that the first pass saw as `stat` the number of its set; it is the first of that,
    /// or has the same content at the same moment. 0 if it is in none.
    pub fn join(&mut self, entry: &mut Entry, stat: &Stat) {
        let in_set = self.has_several(stat) && entry.place.ino == stat.ino;
        let number = match self.sets.get(&stat.id()).filter(|_| in_set) {
            Some(first) if is_same(first, entry) => number(first),
            Some(_) => 0,
            None if in_set => {
                self.last_number += 1;
                self.last_number
            }
            None => 0,
        };
        if let Node::File(file) = &mut entry.node {
            file.link = number;
        }
        if number != 0 {
            self.sets.entry(stat.id()).or_insert_with(|| entry.clone());
        }
    }
}

fn number(entry: &Entry) -> u64 {
    entry.file().map_or(0, |file| file.link)
}

fn is_same(a: &Entry, b: &Entry) -> bool {
    let content = |entry: &Entry| entry.file().map(|file| (file.hash, file.size, file.holes.clone()));
    a.place.ctime == b.place.ctime && content(a) == content(b)
}
