//! The source as a sorted stream of entries, and a safe way to open each entry.
//!
//! A [`Cursor`] goes down one directory at a time. It opens each directory beneath its parent's descriptor, so
//! it never follows a symbolic link that replaced a directory meanwhile. A cursor holds only the directories
//! on the current path with their remaining names, at most [`HELD_MAX`](frame::HELD_MAX) of them open, and
//! fewer where few descriptors are left. An ancestor that was closed on the way down is opened again through
//! `..`, or from the root, and must be the same directory (device and inode).
//!
//! A [`Walk`] is one cursor, or many cursors: [`parallel`] cuts the rest of the walk into parts, lets threads walk
//! several parts at once, and joins their items in order.
//!
//! ```text
//! cursor --> finds, then a cursor for the rest of each directory on its path, deepest first --> ...
//! ```

mod choice;
mod cursor;
mod devices;
mod frame;
mod parallel;
mod source;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use crate::entry::{Entry, File, Hash, Node, Path, Place};
use crate::error::is_shortage;
use crate::exclude::Excludes;
use crate::job::Options;
use crate::platform::{Dir, Names, Stat};
use crate::pool::Pool;

use cursor::{Cursor, WalkSettings};
use parallel::{PARALLEL_LIMITS, ParallelLimits, ParallelWalk};
/// The reason that a report gives for leaving out a temporary file of a restore, see
/// [`is_restore_temp`](crate::entry::is_restore_temp).
pub const RESTORE_TEMP: &str = "it is what a restore works in, or what one that was stopped left";

pub use choice::ListedPaths;
pub use devices::Devices;
pub use source::Source;

/// Which directories a walk enters, and which entries it leaves out.
#[derive(Clone, Debug, Default)]
pub struct WalkOptions {
    /// A directory on another device than the root becomes an entry, but the walk does not enter it.
    pub one_file_system: bool,
    /// In a directory with a valid `CACHEDIR.TAG` the walk keeps only the tag (<https://bford.info/cachedir/>).
    pub skip_cache_dirs: bool,
    /// Entries that the walk leaves out wherever it meets them, as (device, inode).
    pub left_out: Arc<[(u64, u64)]>,
    /// In a directory with an entry of one of these names that is no directory, the walk keeps only these names.
    pub markers: Vec<Vec<u8>>,
    /// The walk leaves out files of more bytes than this.
    pub larger_than: Option<u64>,
    /// The walk leaves out entries with the flag "no dump", with everything below them.
    pub nodump: bool,
    /// The walk yields these paths only, with everything below them and the directories that lead to them.
    pub listed: Option<Arc<ListedPaths>>,
}

impl WalkOptions {
    /// The walk that `options` ask for. It leaves out the entries `left_out`, as (device, inode).
    pub fn new(options: &Options, left_out: impl Iterator<Item = (u64, u64)>) -> WalkOptions {
        WalkOptions {
            one_file_system: options.one_file_system,
            skip_cache_dirs: options.skip_cache_dirs,
            left_out: left_out.collect(),
            markers: options.exclude_if_present.clone(),
            larger_than: options.exclude_larger_than,
            nodump: options.exclude_nodump,
            listed: ListedPaths::new(&options.source_paths).map(Arc::new),
        }
    }
}

/// An entry as the walk saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkedEntry {
    pub path: Path,
    pub stat: Stat,
    /// The target, if the entry is a symbolic link.
    pub target: Option<Vec<u8>>,
}

impl WalkedEntry {
    /// The entry without content, extended attributes and hard links, which the walk does not read.
    pub fn to_entry(&self, names: &mut Names) -> Entry {
        let target = self.target.clone().unwrap_or_default();
        let node = Node::without_content(self.stat.kind, target, self.stat.rdev).unwrap_or_else(|| {
            Node::File(File { size: self.stat.size, hash: Hash::UNKNOWN, holes: Vec::new() })
        });
        let place = Place { ino: Some(self.stat.ino.into()), ctime: self.stat.ctime, ..Place::default() };
        Entry::new(self.path.clone(), node, self.stat.metadata(names), place)
    }
}

/// One item that a walk finds. Items come in the order of entries.
#[derive(Debug)]
pub enum WalkItem {
    Entry(WalkedEntry),
    /// The entry exists, but its attributes or its link target could not be read.
    Unreadable {
        path: Path,
        error: io::Error,
    },
    /// The entry was deleted after its directory had been listed.
    Vanished {
        path: Path,
    },
    Socket {
        path: Path,
        stat: Stat,
    },
    /// A pattern or another option leaves out the entry and everything below it.
    Excluded {
        path: Path,
    },
    /// One of [`WalkOptions::left_out`], or a temporary file of a restore.
    LeftOut {
        path: Path,
        id: (u64, u64),
    },
    /// The walk leaves out entries in this directory, because the directory lies on another file system or is marked
    /// (the entry that marks it still follows), or because the caller did not list them. Comes after the directory's
    /// entry.
    Unlisted {
        path: Path,
    },
    /// The directory could not be opened, or its listing is not complete. Comes directly after the directory's
    /// entry; the names that were listed still follow.
    Broken {
        path: Path,
        error: io::Error,
    },
    /// This process ran out of descriptors or memory at `path` (see [`is_shortage`]), also after the walk closed its
    /// other directories: the items that follow are not complete.
    Shortage {
        path: Path,
        error: io::Error,
    },
    /// The exclude file of the directory `path`, or one of its lines, cannot be used and excludes nothing.
    Note {
        path: Path,
        message: String,
    },
}

impl WalkItem {
    pub fn path(&self) -> &Path {
        match self {
            WalkItem::Entry(walked) => &walked.path,
            WalkItem::Unreadable { path, .. }
            | WalkItem::Vanished { path }
            | WalkItem::Socket { path, .. }
            | WalkItem::Excluded { path }
            | WalkItem::LeftOut { path, .. }
            | WalkItem::Unlisted { path }
            | WalkItem::Broken { path, .. }
            | WalkItem::Shortage { path, .. }
            | WalkItem::Note { path, .. } => path,
        }
    }
}

/// Iterates over a tree in the order of [`compare_paths`](crate::entry::compare_paths): each directory comes
/// directly before its entries, and names in one directory are in byte order. The root comes first, with the
/// empty path, and is never excluded.
pub struct Walk {
    mode: WalkMode,
    /// The root, if [`Walk::go_ahead`] has begun the walk and the caller has not taken the root yet.
    root: Option<WalkItem>,
}

enum WalkMode {
    New { root: Dir, excludes: Excludes, options: WalkOptions, parallel: Option<(Arc<Pool>, ParallelLimits)> },
    Lazy(Box<Cursor>),
    Parallel(Box<ParallelWalk>),
    Done,
}

impl Walk {
    /// A walk that looks at a name only when the caller asks for the next item.
    pub fn new(root: Dir, excludes: Excludes, options: WalkOptions) -> Walk {
        Walk { mode: WalkMode::New { root, excludes, options, parallel: None }, root: None }
    }

    /// A walk that looks at some ten thousand names before the caller asks for them, in the threads of `pool`.
    pub fn parallel(root: Dir, excludes: Excludes, options: WalkOptions, pool: Arc<Pool>) -> Walk {
        Walk::within(root, excludes, options, pool, PARALLEL_LIMITS)
    }

    fn within(
        root: Dir,
        excludes: Excludes,
        options: WalkOptions,
        pool: Arc<Pool>,
        limits: ParallelLimits,
    ) -> Walk {
        Walk { mode: WalkMode::New { root, excludes, options, parallel: Some((pool, limits)) }, root: None }
    }

    /// Lets the threads of a parallel walk go on while the caller does something else. Takes little time itself. Other
    /// walks stay where they are.
    pub fn go_ahead(&mut self) {
        match &mut self.mode {
            WalkMode::New { parallel: Some(_), .. } => self.root = self.begin(),
            WalkMode::Parallel(parallel) => parallel.start_tasks(),
            WalkMode::New { .. } | WalkMode::Lazy(_) | WalkMode::Done => {}
        }
    }

    /// Leaves out everything below the directory that was yielded last. Only for a walk of [`Walk::new`], which looks
    /// at a name when the caller asks for the next item.
    pub fn skip_dir(&mut self) {
        match &mut self.mode {
            WalkMode::Lazy(cursor) => cursor.skip_dir(),
            _ => debug_assert!(false, "the walk may be in the directory already"),
        }
    }

    /// Begins a new walk and returns the root.
    fn begin(&mut self) -> Option<WalkItem> {
        let WalkMode::New { root, excludes, options, parallel } =
            std::mem::replace(&mut self.mode, WalkMode::Done)
        else {
            return None;
        };
        Some(match root.stat_self() {
            Ok(stat) => {
                let cursor = Cursor::new(WalkSettings { root, options, dev: stat.dev }, excludes);
                self.mode = match parallel {
                    None => WalkMode::Lazy(Box::new(cursor)),
                    Some((pool, limits)) => {
                        WalkMode::Parallel(Box::new(ParallelWalk::new(pool, limits, cursor)))
                    }
                };
                WalkItem::Entry(WalkedEntry { path: Path::root(), stat, target: None })
            }
            Err(error) if is_shortage(&error) => WalkItem::Shortage { path: Path::root(), error },
            Err(error) => WalkItem::Unreadable { path: Path::root(), error },
        })
    }
}

impl Iterator for Walk {
    type Item = WalkItem;

    fn next(&mut self) -> Option<WalkItem> {
        if let Some(root) = self.root.take() {
            return Some(root);
        }
        match &mut self.mode {
            WalkMode::Lazy(cursor) => cursor.next(),
            WalkMode::Parallel(parallel) => parallel.next(),
            WalkMode::Done => None,
            WalkMode::New { .. } => self.begin(),
        }
    }
}
