//! The hard links of the source: the names that belong to one inode.

use super::scan::LinkCounts;
use super::spooled_entries::SpooledEntries;
use crate::entry::{Entry, HardLink};
use crate::error::Result;
use crate::platform::Stat;

/// Bytes of entries that are kept in memory before they move to a temporary file.
const IN_MEMORY: usize = 4 << 20;

/// Joins names by the inodes that the first pass saw. When the second pass reads a name, another file may
/// have taken the name, or the inode may have been freed and used again. So two names are joined only if the
/// same content was stored for both.
///
/// Memory holds some numbers for each inode. The entries are in a temporary file, until their last name is
/// stored.
pub struct Links {
    /// The inodes that have several names.
    inodes: LinkCounts,
    /// For each of these inodes, the entry that was stored last with a content of its own.
    entries: SpooledEntries,
}

impl Links {
    pub fn new(inodes: LinkCounts) -> Self {
        Links { inodes, entries: SpooledEntries::new(IN_MEMORY) }
    }

    pub fn has_several(&self, stat: &Stat) -> bool {
        self.inodes.contains_key(&stat.id())
    }

    /// The entry that was stored last for the inode of `stat`. A further name may become a link to this
    /// entry.
    pub fn stored(&mut self, stat: &Stat) -> Result<Option<Entry>> {
        let at = self.inodes.get(&stat.id()).and_then(|inode| inode.stored_at);
        at.map(|at| self.entries.read(at)).transpose()
    }

    /// Notes that a name of the inode of `stat` was stored as a link to the entry stored before.
    pub fn linked(&mut self, stat: &Stat) {
        if let Some(inode) = self.inodes.get_mut(&stat.id()) {
            inode.names = inode.names.saturating_sub(1);
            if inode.names == 0 {
                self.inodes.remove(&stat.id());
            }
        }
    }

    /// Sets the hard link of `entry`, which the first pass saw as `stat` and whose content and metadata are
    /// stored under this name. If the entry stored before for the same inode has the same content, `entry`
    /// becomes a further name of that entry's first name, with the same metadata. Otherwise it becomes a first
    /// name.
    pub fn join(&mut self, entry: &mut Entry, stat: &Stat) -> Result<()> {
        entry.link = HardLink::Single;
        if !self.has_several(stat) || entry.place.ino != Some(stat.ino.into()) {
            return Ok(());
        }
        let before = self.stored(stat)?.filter(|before| before.node == entry.node);
        entry.link = match before.as_ref().and_then(Entry::first_name) {
            Some(first) => HardLink::Further(first.clone()),
            None => HardLink::First,
        };
        if let Some(before) = &before {
            // The metadata changed after the earlier name was stored. The names stay together, and the next
            // backup reads this one again.
            entry.place.dirty |= before.meta != entry.meta;
            entry.meta = before.meta.clone();
            entry.unknown.clone_from(&before.unknown);
        }
        let is_last = self.inodes.get(&stat.id()).is_none_or(|inode| inode.names < 2);
        if !is_last && before.is_none_or(|before| before.place.ctime != entry.place.ctime) {
            let at = self.entries.add(entry)?;
            if let Some(inode) = self.inodes.get_mut(&stat.id()) {
                inode.stored_at = Some(at);
            }
        }
        self.linked(stat);
        Ok(())
    }
}
