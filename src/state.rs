//! Compares the entries that a snapshot recorded with the entries in the source now: pure functions over sorted
//! streams.

use std::cmp::Ordering;
use std::iter::Peekable;

use crate::entry::{Entry, FileType, Node, compare_paths};
use crate::stamp::Time;

/// The fields of an entry that change detection compares: those of a recorded entry, or those of the source now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub kind: FileType,
    /// A file's logical size; 0 for everything else.
    pub size: u64,
    pub mtime: Time,
    pub ctime: Time,
    /// `None` if the recorded entry has no inode number.
    pub ino: Option<u128>,
    /// The device of the source's entry, to look up in [`Guard::local_dev`]. 0 in a recorded entry; not compared.
    pub dev: u64,
    /// True if the source's file system has no ctime of its own, so equal times prove nothing. False in a recorded
    /// entry.
    pub no_ctime: bool,
    /// True if the recorded entry is dirty: then it never counts as unchanged. False in an entry of the source.
    pub dirty: bool,
}

impl Facts {
    /// The facts of a recorded entry.
    pub fn of(entry: &Entry) -> Facts {
        Facts {
            kind: entry.node.file_type(),
            size: entry.size(),
            mtime: entry.meta.mtime,
            ctime: entry.place.ctime,
            ino: entry.place.ino,
            dev: 0,
            no_ctime: false,
            dirty: entry.place.dirty,
        }
    }

    /// True if both have the same inode number, or if these facts have no inode number.
    pub fn may_have_inode_of(&self, now: &Facts) -> bool {
        self.ino.is_none() || self.ino == now.ino
    }
}

/// The conditions under which change detection trusts time stamps: a stamp must be older than certain moments.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    /// The start of the parent's scan, by the clock of its machine.
    pub scanned_at: Time,
    /// The newest ctime that the parent recorded: proof that the file system's clock had reached this moment.
    pub newest_ctime: Time,
    /// A device whose stamps come from the clock of this machine. The stamps of entries on it are not compared with
    /// `newest_ctime`.
    pub local_dev: Option<u64>,
    /// True if every file must be read: the caller asked for that, or the clock shows a time before the end of the
    /// parent's backup.
    pub distrust: bool,
    /// True if inode numbers are not compared: the parent's backup found that they change between runs.
    pub ignore_inodes: bool,
}

/// True if the entry certainly has not changed since `then` was recorded, so the backup need not read it.
///
/// The conditions:
/// - Type, size, mtime, ctime and, where inode numbers are stable, inode are equal. A recorded entry has no inode
///   number if the numbers changed between runs at that time. Such a file is read once more, so that the new state has
///   its number.
/// - The later of mtime and ctime is more than two seconds before the start of the parent's scan and, unless this
///   machine's clock makes the stamps, more than two seconds before the newest ctime that the parent recorded.
/// - The file system has a ctime, because a program can set an mtime back.
/// - The recorded entry is not dirty, and the guard does not distrust everything.
///
/// One change can be missed: on a file system with stamps of whole seconds whose clock was set back between two
/// backups.
pub fn is_unchanged(then: &Facts, now: &Facts, guard: &Guard) -> bool {
    let same_node = then.kind == now.kind && then.size == now.size;
    let same_times = then.mtime == now.mtime && then.ctime == now.ctime;
    let same_inode = guard.ignore_inodes || then.ino == now.ino;
    let youngest = now.mtime.max(now.ctime);
    let local = guard.local_dev.is_some_and(|dev| dev == now.dev);
    let settled =
        youngest.is_settled_by(guard.scanned_at) && (local || youngest.is_settled_by(guard.newest_ctime));
    let believed = !then.dirty && !now.no_ctime && !guard.distrust;
    same_node && same_times && same_inode && settled && believed
}

/// True if two versions of one path differ in content at most: type, metadata, link target and device number are
/// equal.
pub fn same_metadata(a: &Entry, b: &Entry) -> bool {
    let same_node = match (&a.node, &b.node) {
        (Node::File(_), Node::File(_)) => true,
        (x, y) => x == y,
    };
    same_node && a.meta == b.meta
}

/// The stream that has the next path: the parent's entries, the source's entries, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Only the parent.
    Old,
    /// Only the source.
    New,
    Both,
}

impl Side {
    /// Compares the first paths of the parent's stream and of the source's. `None` when both streams have ended.
    pub fn next(old: Option<&[u8]>, new: Option<&[u8]>) -> Option<Side> {
        Some(match (old, new) {
            (None, None) => return None,
            (Some(_), None) => Side::Old,
            (None, Some(_)) => Side::New,
            (Some(old), Some(new)) => match compare_paths(old, new) {
                Ordering::Less => Side::Old,
                Ordering::Greater => Side::New,
                Ordering::Equal => Side::Both,
            },
        })
    }
}

/// The items of one path in two sorted streams.
#[derive(Debug, PartialEq, Eq)]
pub enum Pair<A, B> {
    /// Only the parent has an item of this path.
    Old(A),
    /// Only the source has an item of this path.
    New(B),
    Both(A, B),
}

/// Joins two streams that are strictly ascending by path. If the next item of a stream is an error, that error is
/// returned first.
pub struct Merge<A: Iterator, B: Iterator, PA, PB> {
    old: Peekable<A>,
    new: Peekable<B>,
    old_path: PA,
    new_path: PB,
}

impl<A, B, PA, PB, TA, TB, E> Merge<A, B, PA, PB>
where
    A: Iterator<Item = Result<TA, E>>,
    B: Iterator<Item = Result<TB, E>>,
    PA: Fn(&TA) -> &[u8],
    PB: Fn(&TB) -> &[u8],
{
    /// `old_path` and `new_path` return the path of an item.
    pub fn new(old: A, new: B, old_path: PA, new_path: PB) -> Self {
        Merge { old: old.peekable(), new: new.peekable(), old_path, new_path }
    }
}

impl<A, B, PA, PB, TA, TB, E> Iterator for Merge<A, B, PA, PB>
where
    A: Iterator<Item = Result<TA, E>>,
    B: Iterator<Item = Result<TB, E>>,
    PA: Fn(&TA) -> &[u8],
    PB: Fn(&TB) -> &[u8],
{
    type Item = Result<Pair<TA, TB>, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let side = match (self.old.peek(), self.new.peek()) {
            (Some(Err(_)), _) => Side::Old,
            (_, Some(Err(_))) => Side::New,
            (old, new) => Side::next(
                old.and_then(|item| item.as_ref().ok()).map(&self.old_path),
                new.and_then(|item| item.as_ref().ok()).map(&self.new_path),
            )?,
        };
        match side {
            Side::Old => Some(self.old.next()?.map(Pair::Old)),
            Side::New => Some(self.new.next()?.map(Pair::New)),
            Side::Both => match (self.old.next()?, self.new.next()?) {
                (Ok(old), Ok(new)) => Some(Ok(Pair::Both(old, new))),
                (Err(error), _) | (_, Err(error)) => Some(Err(error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{File, HardLink, Hash, Metadata, Path, Place};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn at(secs: i64) -> Time {
        Time { secs, nanos: 5 }
    }

    fn recorded() -> Entry {
        Entry {
            path: Path::new("a").unwrap(),
            node: Node::File(File { size: 7, hash: Hash([0; 32]), holes: vec![] }),
            meta: Metadata { mtime: at(100), ..Metadata::default() },
            link: HardLink::Single,
            place: Place { ino: Some(9), ctime: at(101), ..Place::default() },
            unknown: vec![],
            unknown_place: vec![],
        }
    }

    const NOW: Facts = Facts {
        kind: FileType::File,
        size: 7,
        mtime: Time { secs: 100, nanos: 5 },
        ctime: Time { secs: 101, nanos: 5 },
        ino: Some(9),
        dev: 3,
        no_ctime: false,
        dirty: false,
    };

    fn guard() -> Guard {
        Guard {
            scanned_at: at(104),
            newest_ctime: at(104),
            local_dev: None,
            distrust: false,
            ignore_inodes: false,
        }
    }

    #[test]
    fn equal_and_settled_is_unchanged() {
        assert!(is_unchanged(&Facts::of(&recorded()), &NOW, &guard()));
    }

    #[test]
    fn any_difference_is_a_change() {
        let changed = [
            Facts { kind: FileType::Fifo, ..NOW },
            Facts { size: 8, ..NOW },
            Facts { mtime: at(99), ..NOW },
            Facts { ctime: at(100), ..NOW },
            Facts { ino: Some(10), ..NOW },
        ];
        for facts in changed {
            assert!(!is_unchanged(&Facts::of(&recorded()), &facts, &guard()), "{facts:?}");
        }
        let unstable = Guard { ignore_inodes: true, ..guard() };
        assert!(is_unchanged(&Facts::of(&recorded()), &Facts { ino: Some(10), ..NOW }, &unstable));
        let mut without = recorded();
        without.place.ino = None;
        assert!(is_unchanged(&Facts::of(&without), &Facts { ino: Some(10), ..NOW }, &unstable));
        assert!(!is_unchanged(&Facts::of(&without), &Facts { ino: Some(10), ..NOW }, &guard()));
    }

    #[test]
    fn a_stamp_too_young_to_be_believed_is_a_change() {
        for secs in [103, 102, 0] {
            assert!(!is_unchanged(&Facts::of(&recorded()), &NOW, &Guard { scanned_at: at(secs), ..guard() }));
            assert!(!is_unchanged(
                &Facts::of(&recorded()),
                &NOW,
                &Guard { newest_ctime: at(secs), ..guard() }
            ));
        }
        assert!(!is_unchanged(&Facts::of(&recorded()), &NOW, &Guard { distrust: true, ..guard() }));
    }

    #[test]
    fn without_a_ctime_nothing_is_unchanged() {
        let facts = Facts { no_ctime: true, ..NOW };
        assert!(!is_unchanged(&Facts::of(&recorded()), &facts, &guard()));
    }

    #[test]
    fn a_dirty_entry_is_never_unchanged() {
        let mut dirty = recorded();
        dirty.place.dirty = true;
        assert!(!is_unchanged(&Facts::of(&dirty), &NOW, &guard()));
    }

    #[test]
    fn an_error_of_either_stream_comes_out() {
        let old = [Ok("a"), Err("broken")];
        let new = [Ok("a"), Ok("b")];
        let merge = Merge::new(old.into_iter(), new.into_iter(), |p| p.as_bytes(), |p| p.as_bytes());
        let all: Result<Vec<_>, _> = merge.collect();
        assert_eq!(all, Err("broken"));
    }

    proptest! {
        #[test]
        fn merging_is_the_union_by_path(old in any::<BTreeSet<u8>>(), new in any::<BTreeSet<u8>>()) {
            let mut model: BTreeMap<u8, Pair<u8, u8>> = BTreeMap::new();
            for &a in &old {
                model.insert(a, if new.contains(&a) { Pair::Both(a, a) } else { Pair::Old(a) });
            }
            for &b in new.difference(&old) {
                model.insert(b, Pair::New(b));
            }
            fn path(byte: &u8) -> &[u8] {
                std::slice::from_ref(byte)
            }
            // [`compare_paths`] ranks '/' lowest, so a set of bytes with '/' is not sorted by path.
            prop_assume!(!old.contains(&b'/') && !new.contains(&b'/'));
            let merged: Result<Vec<_>, ()> = Merge::new(old.iter().map(|n| Ok(*n)), new.iter().map(|n| Ok(*n)), path, path).collect();
            prop_assert_eq!(merged.unwrap(), model.into_values().collect::<Vec<_>>());
        }
    }
}
