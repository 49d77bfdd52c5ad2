//! The hard-link sets of a restore: which names are restored already, and which inodes of an existing destination
//! belong to which set. Nothing here reads or writes a file.

use std::collections::HashMap;

use crate::entry::{Entry, FileType, HardLink, LinkSet, Path};
use crate::platform::Stat;
use crate::restore::hard_link_names::HardLinkNames;

use super::EntryVerdict;
use crate::restore::tree::FileId;

pub struct LinkSets {
    /// The first restored name of each hard-link set.
    firsts: HashMap<LinkSet, FirstName>,
    /// The names of hard-link sets. Empty for a new tree.
    names: HardLinkNames,
    /// Existing inodes that stay, each with the hard-link set that it belongs to; `None` for an entry without hard
    /// links.
    claimed: HashMap<FileId, Option<LinkSet>>,
    /// Existing inodes with several names: the number of names that a dry run would replace, or that waiting files
    /// will replace.
    unlinked: HashMap<FileId, u64>,
}

/// The first restored name of a hard-link set. Further names of the set are linked to it.
pub struct FirstName {
    /// The path; `None` if it is the set's first name in the snapshot: the entries of further names contain that
    /// name.
    path: Option<Path>,
    /// The inode of this name, in an existing tree.
    pub id: Option<FileId>,
    /// The file is new, or a dry run would make it new.
    pub is_new: bool,
    /// The file existed before the restore, and its content was not read.
    pub is_believed: bool,
}

impl LinkSets {
    pub fn new(names: HardLinkNames) -> Self {
        LinkSets { firsts: HashMap::new(), names, claimed: HashMap::new(), unlinked: HashMap::new() }
    }

    /// Whether the inode was restored under another name of the same hard-link set.
    pub fn is_further_name(&self, entry: &Entry) -> bool {
        entry.link_set().is_some_and(|set| self.firsts.contains_key(&set))
    }

    /// Remembers `entry` as the first restored name of its hard-link set, if the set has none. `is_believed`: the file
    /// existed before the restore, and its content was not read.
    pub fn remember_first(
        &mut self,
        entry: &Entry,
        verdict: &EntryVerdict,
        id: Option<FileId>,
        is_believed: bool,
    ) {
        let Some(set) = entry.link_set().filter(|set| !self.firsts.contains_key(set)) else { return };
        let is_new = matches!(verdict, EntryVerdict::Create | EntryVerdict::Replace(_));
        let path = (entry.link != HardLink::First).then(|| entry.path.clone());
        self.firsts.insert(set, FirstName { path, id, is_new, is_believed });
    }

    /// The first restored name of the entry's hard-link set, with its path.
    pub fn first_restored<'a>(&'a self, entry: &'a Entry) -> Option<(&'a FirstName, &'a Path)> {
        let first = self.firsts.get(&entry.link_set()?)?;
        Some((first, first.path.as_ref().or(entry.first_name())?))
    }

    /// Forgets `entry` as the first restored name of its hard-link set, because `entry` is not restored.
    pub fn forget_first(&mut self, entry: &Entry) {
        if self.first_restored(entry).is_some_and(|(_, path)| *path == entry.path) {
            entry.link_set().map(|set| self.firsts.remove(&set));
        }
    }

    /// Notes that the content of the first name of the entry's set was compared and is right.
    pub fn confirm_first(&mut self, entry: &Entry) {
        if let Some(first) = entry.link_set().and_then(|set| self.firsts.get_mut(&set)) {
            first.is_believed = false;
        }
    }

    /// Whether the existing inode stays for an entry outside of the entry's hard-link set. Two entries must not stay
    /// linked to each other unless they belong to the same set.
    pub fn is_claimed(&self, entry: &Entry, now: &Stat) -> bool {
        let claimed = self.claimed.get(&now.id());
        claimed.is_some_and(|set| set.is_none() || *set != entry.link_set())
    }

    /// Notes that the existing inode stays for `entry`.
    pub fn claim(&mut self, entry: &Entry, now: &Stat) {
        let set = entry.link_set();
        if now.kind != FileType::Dir && (set.is_some() || now.nlink > 1) {
            self.claimed.insert(now.id(), set);
        }
    }

    /// Whether every name of the entry's set leads to the existing inode.
    pub fn has_all_names(&self, entry: &Entry, now: &Stat) -> bool {
        self.names.has_all(entry.link_set(), now.id())
    }

    /// Whether an existing inode has names that do not belong to the entry's hard-link set, in the destination or
    /// elsewhere.
    pub fn has_further_names(&self, entry: &Entry, now: &Stat) -> bool {
        let names = self.names.of_inode(entry.link_set(), now.id());
        let unlinked = self.unlinked.get(&now.id()).copied().unwrap_or(0);
        now.kind != FileType::Dir && now.nlink.saturating_sub(unlinked) > names
    }

    /// Notes that the entry's name no longer leads to the existing inode.
    pub fn remove_name(&mut self, entry: &Entry, now: &Stat) {
        self.names.remove(entry.link_set(), now.id());
    }

    /// Notes that an existing inode will lose the entry's name, or would lose it in a dry run.
    pub fn will_lose_name(&mut self, entry: &Entry, verdict: &EntryVerdict) {
        if let EntryVerdict::Replace(now) = verdict
            && now.kind != FileType::Dir
            && now.nlink > 1
        {
            self.remove_name(entry, now);
            *self.unlinked.entry(now.id()).or_default() += 1;
        }
    }

    /// Undoes [`LinkSets::will_lose_name`]: the name is gone now, or it stays.
    pub fn has_lost_name(&mut self, now: &Stat) {
        if let Some(names) = self.unlinked.get_mut(&now.id()) {
            *names -= 1;
            if *names == 0 {
                self.unlinked.remove(&now.id());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Node;
    use crate::stamp::Time;

    fn entry() -> Entry {
        Entry::new(Path::new(*b"f").unwrap(), Node::Fifo, Default::default(), Default::default())
    }

    fn stat(nlink: u64) -> Stat {
        let (kind, time) = (FileType::Fifo, Time { secs: 0, nanos: 0 });
        let (mode, uid, gid, size, ino, dev, rdev) = (0o644, 0, 0, 0, 1, 1, 0);
        Stat { kind, mode, uid, gid, size, mtime: time, ctime: time, ino, dev, nlink, rdev }
    }

    /// A name that waits for its replacement does not count any more, although the inode still has it.
    #[test]
    fn names_that_are_about_to_go_do_not_count() {
        let mut links = LinkSets::new(HardLinkNames::default());
        let now = stat(2);
        assert!(links.has_further_names(&entry(), &now));
        links.will_lose_name(&entry(), &EntryVerdict::Replace(now));
        assert!(!links.has_further_names(&entry(), &now));
        links.has_lost_name(&now);
        assert!(
            links.has_further_names(&entry(), &now),
            "the stat of an inode that has lost the name says one"
        );
        assert!(!links.has_further_names(&entry(), &stat(1)));
    }

    #[test]
    fn an_inode_that_stays_for_one_entry_stays_for_no_other() {
        let mut links = LinkSets::new(HardLinkNames::default());
        links.claim(&entry(), &stat(1));
        assert!(!links.is_claimed(&entry(), &stat(1)), "an inode with one name cannot be met twice");
        links.claim(&entry(), &stat(2));
        assert!(links.is_claimed(&entry(), &stat(2)));
    }
}
