//! The entry of a path in the new state: how it differs from the parent's entry, and how it is counted and reported.

use crate::entry::{Entry, HardLink};
use crate::format::Special;
use crate::job::{Counter, change};
use crate::state::same_metadata;

/// How the content of a file was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredAs {
    /// The content equals the old content.
    Same,
    Delta,
    Whole,
    /// The content is not the old one, and is stored already: in the parent, or for an earlier file of this run.
    Elsewhere,
}

/// A new entry, with how it is counted and reported.
pub struct NewEntry {
    pub entry: Entry,
    /// The counter of the entry; `None` for an entry that is carried forward.
    pub counter: Option<Counter>,
    /// The bits of [`change`] that are reported; 0 if nothing is reported.
    pub change: u32,
}

/// Removes the inode number of a new entry. If nothing else differs from `old`, the entry keeps the number of `old`:
/// otherwise each increment would write every entry again.
pub fn leave_inode_out(entry: &mut Entry, old: Option<&Entry>) {
    entry.place.ino = old.and_then(|old| old.place.ino);
    if old.is_none_or(|old| old != entry) {
        entry.place.ino = None;
    }
}

/// The archive's member for an entry that is not a file.
pub fn special(entry: &Entry) -> Option<Special<'_>> {
    let special = Special::of(&entry.node)?;
    Some(if let HardLink::Further(first) = &entry.link { Special::HardLink(first) } else { special })
}

pub fn same_content(entry: &Entry, old: Option<&Entry>) -> bool {
    let hash = |e: &Entry| e.file().map(|file| (file.hash, file.size));
    old.is_some_and(|old| hash(old).is_some() && hash(old) == hash(entry))
}

/// Compares an entry with the parent's entry of the path, and chooses its counter and change bits.
pub fn judge(entry: Entry, old: Option<&Entry>, outcome: StoredAs) -> NewEntry {
    let Some(old) = old else {
        return NewEntry { entry, counter: Some(Counter::Created), change: change::CREATED };
    };
    let same_type = entry.node.file_type() == old.node.file_type();
    let shape = |e: &Entry| e.file().map(|file| (file.size, file.holes.clone()));
    let same_content = outcome == StoredAs::Same && shape(&entry) == shape(old);
    let same_metadata = same_metadata(&entry, old);
    let (counter, change) = match (same_type && same_content, same_metadata) {
        (true, true) if !entry.place.dirty => (Counter::Unchanged, 0),
        (true, false) => (Counter::Metadata, change::METADATA),
        (_, true) => (Counter::Modified, change::CONTENT),
        (false, false) => (Counter::Modified, change::CONTENT | change::METADATA),
    };
    NewEntry { entry, counter: Some(counter), change }
}
