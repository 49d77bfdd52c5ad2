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
            Node::Char(rdev) | Node::Block(rdev) => u128::from(now.rdev) == *rdev,
            Node::Dir | Node::Symlink(_) | Node::Fifo | Node::Unknown(_) => true,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{File, Hash, Metadata, Path};
    use crate::restore::hard_link_names::HardLinkNames;
    use crate::stamp::Time;

    fn entry(node: Node, secs: i64) -> Entry {
        let meta = Metadata { mtime: Time { secs, nanos: 0 }, ..Metadata::default() };
        Entry::new(Path::new(*b"f").unwrap(), node, meta, Default::default())
    }

    fn file(size: u64) -> Node {
        Node::File(File { size, hash: Hash::UNKNOWN, holes: Vec::new() })
    }

    fn stat(kind: FileType, size: u64, secs: i64) -> Stat {
        let time = Time { secs, nanos: 0 };
        let (mode, uid, gid, ino, dev, nlink, rdev) = (0o644, 0, 0, 1, 1, 1, 7);
        Stat { kind, mode, uid, gid, size, mtime: time, ctime: time, ino, dev, nlink, rdev }
    }

    #[test]
    fn each_policy_replaces_by_its_own_rule() {
        let policies = [
            (Overwrite::Keep, [false, false, false]),
            (Overwrite::IfOlder, [true, false, false]),
            (Overwrite::IfDifferent, [true, true, true]),
            (Overwrite::Always, [true, true, true]),
        ];
        for (policy, expected) in policies {
            let now = [9, 10, 11].map(|secs| stat(FileType::File, 1, secs));
            assert_eq!(now.map(|now| may_replace(policy, &entry(file(1), 10), &now)), expected, "{policy:?}");
        }
        let newer = stat(FileType::Dir, 0, 11);
        assert!(may_replace(Overwrite::IfOlder, &entry(Node::Dir, 10), &newer), "a directory has any time");
        assert!(!may_replace(Overwrite::Keep, &entry(Node::Dir, 10), &newer));
    }

    #[test]
    fn only_an_equal_time_spares_the_reading_of_a_file() {
        let links = LinkSets::new(HardLinkNames::default());
        let believed =
            |policy, secs| is_believed(policy, &links, &entry(file(1), 10), &stat(FileType::File, 1, secs));
        assert!(believed(Overwrite::IfDifferent, 10) && !believed(Overwrite::IfDifferent, 9));
        assert!(!believed(Overwrite::Always, 10), "this policy compares every content");
    }

    #[test]
    fn types_sizes_and_device_numbers_must_agree() {
        assert!(is_like(&file(5), &stat(FileType::File, 5, 0)));
        assert!(
            !is_like(&file(5), &stat(FileType::File, 6, 0))
                && !is_like(&file(5), &stat(FileType::Fifo, 5, 0))
        );
        assert!(is_like(&Node::Dir, &stat(FileType::Dir, 4096, 0)));
        assert!(is_like(&Node::Char(7), &stat(FileType::Char, 0, 0)));
        assert!(!is_like(&Node::Char(8), &stat(FileType::Char, 0, 0)));
        assert!(!is_like(&Node::Block(7), &stat(FileType::Char, 0, 0)));
    }

    #[test]
    fn a_kept_file_is_unchanged_if_type_time_and_size_agree() {
        let is_unchanged = |now| matches!(kept(&entry(file(5), 10), now), EntryVerdict::Right(_));
        assert!(is_unchanged(stat(FileType::File, 5, 10)));
        assert!(!is_unchanged(stat(FileType::File, 6, 10)) && !is_unchanged(stat(FileType::File, 5, 11)));
        assert!(!is_unchanged(stat(FileType::Fifo, 5, 10)));
    }
}
