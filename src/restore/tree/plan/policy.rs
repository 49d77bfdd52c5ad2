//! Rules of the overwrite policy. They need an entry and the stat of the file that has its name, and read nothing.

use crate::entry::{Entry, FileType, Node};
use crate::job::Overwrite;
use crate::platform::Stat;

use super::LinkSets;

/// The decision about one entry.
#[derive(Clone, Copy)]
pub enum EntryVerdict {
    /// Nothing has the name: make the entry.
    Create,
    /// Replace the existing file or directory.
    Replace(Stat),
    /// The content is right. Set the metadata.
    Refresh(Stat),
    /// Content and metadata are right.
    Right(Stat),
    /// The existing file or directory stays, because the policy says so.
    Keep(Stat),
}

/// Whether the policy lets an entry replace an existing file.
pub fn may_replace(policy: Overwrite, entry: &Entry, now: &Stat) -> bool {
    let is_dir = entry.node == Node::Dir && now.kind == FileType::Dir;
    match policy {
        Overwrite::Keep => false,
        // A directory's time changes with every name that appears or disappears in it, also by this restore.
        Overwrite::IfOlder => is_dir || now.mtime < entry.meta.mtime,
        _ => true,
    }
}

/// Whether an existing file with the size and time of `entry` counts as equal without being read.
pub fn is_believed(policy: Overwrite, links: &LinkSets, entry: &Entry, now: &Stat) -> bool {
    let is_different = policy == Overwrite::IfDifferent;
    // A missing name of the set would be linked to this inode. If the content is wrong, one more name would get it.
    let is_alone = || links.has_all_names(entry, now);
    !may_replace(policy, entry, now) || (is_different && now.mtime == entry.meta.mtime && is_alone())
}

/// Whether an existing file has the type of `node`, and the size or the device number. Its content may still differ.
pub fn is_like(node: &Node, now: &Stat) -> bool {
    now.kind == node.file_type()
        && match node {
            Node::File(file) => now.size == file.size,
            Node::Char(rdev) | Node::Block(rdev) => now.rdev == *rdev,
            Node::Dir | Node::Symlink(_) | Node::Fifo => true,
        }
}

/// The verdict on a file that the policy keeps. Equal kind, time and size count as unchanged, and are not reported as
/// kept.
pub fn kept(entry: &Entry, now: Stat) -> EntryVerdict {
    let kind = entry.node.file_type();
    let same_size = kind != FileType::File || now.size == entry.size();
    match kind == now.kind && now.mtime == entry.meta.mtime && same_size && kind != FileType::Dir {
        true => EntryVerdict::Right(now),
        false => EntryVerdict::Keep(now),
    }
}
