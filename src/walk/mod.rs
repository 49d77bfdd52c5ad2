//! The source as a sorted stream of entries, and a safe way to open each entry.
//!
//! A [`Cursor`] goes down one directory at a time. It opens each directory beneath its parent's descriptor, so
//! it never follows a symbolic link that replaced a directory meanwhile. A cursor holds only the directories
//! on the current path with their remaining names, at most [`HELD_MAX`](frame::HELD_MAX) of them open. An
//! ancestor that was closed on the way down is opened again through `..`, or from the root, and must be the
//! same directory (device and inode).
//!
//! A [`Walk`] is one cursor, or many cursors: [`ahead`] cuts the rest of the walk into parts, lets threads
//! walk several parts at once, and joins their finds in order.
//!
//! ```text
//! cursor --> finds, then a cursor for the rest of each directory on its path, deepest first --> ...
//! ```

mod ahead;
mod cursor;
mod devices;
mod frame;
mod source;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use crate::entry::Path;
use crate::error::is_shortage;
use crate::exclude::Excludes;
use crate::platform::{Dir, Stat};
use crate::pool::Pool;

use ahead::{Ahead, Limits, LIMITS};
use cursor::{Cursor, Terms};
/// The reason that a report gives for leaving out a temporary file of a restore, see
/// [`is_restore_temp`](crate::entry::is_restore_temp).
pub const RESTORE_TEMP: &str = "it is what a restore works in, or what one that was stopped left";

pub use devices::Devices;
pub use source::Source;

/// Which directories a walk enters.
#[derive(Clone, Debug, Default)]
pub struct WalkOptions {
    /// A directory on another device than the root becomes an entry, but the walk does not enter it.
    pub one_file_system: bool,
    /// In a directory with a valid `CACHEDIR.TAG` the walk keeps only the tag (<https://bford.info/cachedir/>).
    pub skip_cache_dirs: bool,
    /// Entries that the walk leaves out wherever it meets them, as (device, inode).
    pub left_out: Arc<[(u64, u64)]>,
}

/// An entry as the walk saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    pub path: Path,
    pub stat: Stat,
    /// The target, if the entry is a symbolic link.
    pub target: Option<Vec<u8>>,
}

/// One find of a walk. Finds come in the order of entries.
#[derive(Debug)]
pub enum Found {
    Entry(Walked),
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
    },
    /// A pattern leaves out the entry and everything below it.
    Excluded {
        path: Path,
    },
    /// One of [`WalkOptions::left_out`], or a temporary file of a restore.
    LeftOut {
        path: Path,
        id: (u64, u64),
    },
    /// The walk leaves out the entries in this directory, because the directory lies on another file system or is
    /// a marked cache (whose tag still follows). Comes after the directory's entry.
    Unlisted {
        path: Path,
    },
    /// The directory could not be opened, or its listing is not complete. Comes directly after the directory's
    /// entry; the names that were listed still follow.
    Broken {
        path: Path,
        error: io::Error,
    },
    /// This process ran out of descriptors or memory at `path` (see [`is_shortage`]): the finds that follow are
    /// not complete.
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

impl Found {
    pub fn path(&self) -> &Path {
        match self {
            Found::Entry(walked) => &walked.path,
            Found::Unreadable { path, .. }
            | Found::Vanished { path }
            | Found::Socket { path }
            | Found::Excluded { path }
            | Found::LeftOut { path, .. }
            | Found::Unlisted { path }
            | Found::Broken { path, .. }
            | Found::Shortage { path, .. }
            | Found::Note { path, .. } => path,
        }
    }
}

/// Iterates over a tree in the order of [`compare_paths`](crate::entry::compare_paths): each directory comes
/// directly before its entries, and names in one directory are in byte order. The root comes first, with the
/// empty path, and is never excluded.
pub struct Walk(Steps);

enum Steps {
    New { root: Dir, excludes: Excludes, options: WalkOptions, ahead: Option<(Arc<Pool>, Limits)> },
    Lazy(Box<Cursor>),
    Ahead(Box<Ahead>),
    Done,
}

impl Walk {
    /// A walk that looks at a name only when the caller asks for the next find.
    pub fn new(root: Dir, excludes: Excludes, options: WalkOptions) -> Walk {
        Walk(Steps::New { root, excludes, options, ahead: None })
    }

    /// A walk that looks at some thousand names before the caller asks for them, in the threads of `pool`.
    pub fn ahead(root: Dir, excludes: Excludes, options: WalkOptions, pool: Arc<Pool>) -> Walk {
        Walk::within(root, excludes, options, pool, LIMITS)
    }

    fn within(root: Dir, excludes: Excludes, options: WalkOptions, pool: Arc<Pool>, limits: Limits) -> Walk {
        Walk(Steps::New { root, excludes, options, ahead: Some((pool, limits)) })
    }

    fn start(
        &mut self,
        root: Dir,
        excludes: Excludes,
        options: WalkOptions,
        ahead: Option<(Arc<Pool>, Limits)>,
    ) -> Found {
        match root.stat_self() {
            Ok(stat) => {
                let cursor = Cursor::new(Terms { root, options, dev: stat.dev }, excludes);
                self.0 = match ahead {
                    None => Steps::Lazy(Box::new(cursor)),
                    Some((pool, limits)) => Steps::Ahead(Box::new(Ahead::new(pool, limits, cursor))),
                };
                Found::Entry(Walked { path: Path::root(), stat, target: None })
            }
            Err(error) if is_shortage(&error) => Found::Shortage { path: Path::root(), error },
            Err(error) => Found::Unreadable { path: Path::root(), error },
        }
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        match &mut self.0 {
            Steps::Lazy(cursor) => cursor.next(),
            Steps::Ahead(ahead) => ahead.next(),
            Steps::Done => None,
            Steps::New { .. } => match std::mem::replace(&mut self.0, Steps::Done) {
                Steps::New { root, excludes, options, ahead } => {
                    Some(self.start(root, excludes, options, ahead))
                }
                _ => None,
            },
        }
    }
}
