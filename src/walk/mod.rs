//! The source as a sorted stream of entries, and the way back to each for reading it.
//!
//! A [`Cursor`] goes down one directory at a time, each opened beneath its parent's descriptor, so that a
//! directory swapped for a link meanwhile is never followed. It keeps the names of the directories on the
//! current path and nothing else, at most [`HELD_MAX`](frame::HELD_MAX) of them open: an ancestor closed on
//! the way down is found again through `..`, or from the root, and must be the same directory.
//!
//! [`Walk`] is one cursor, or many: what lies ahead is cut into parts that threads walk at once
//! ([`ahead`]), and put together again in order.
//!
//! ```text
//! cursor --> found | the rest of each directory on its path, deepest first --> cursors --> ...
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
/// Why an entry is left out that [`is_restore_temp`](crate::entry::is_restore_temp) tells by its name.
pub const RESTORE_TEMP: &str = "it is what a restore works in, or what one that was stopped left";

pub use devices::Devices;
pub use source::Source;

/// Which directories a walk enters.
#[derive(Clone, Debug, Default)]
pub struct WalkOptions {
    /// Directories on another device than the root are entries but not entered.
    pub one_file_system: bool,
    /// Of a directory with a valid `CACHEDIR.TAG` only the tag is kept (<https://bford.info/cachedir/>).
    pub skip_cache_dirs: bool,
    /// What is left out wherever the walk meets it: device and inode of each.
    pub left_out: Arc<[(u64, u64)]>,
}

/// An entry as the walk saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    pub path: Path,
    pub stat: Stat,
    /// Where a symbolic link points.
    pub target: Option<Vec<u8>>,
}

/// What a walk comes across, in the order of entries.
#[derive(Debug)]
pub enum Found {
    Entry(Walked),
    /// There, but its attributes or its target could not be read.
    Unreadable {
        path: Path,
        error: io::Error,
    },
    /// Listed, and gone when looked at.
    Vanished {
        path: Path,
    },
    Socket {
        path: Path,
    },
    /// A pattern leaves it out, with everything below it.
    Excluded {
        path: Path,
    },
    /// One of [`WalkOptions::left_out`].
    LeftOut {
        path: Path,
        id: (u64, u64),
    },
    /// What this directory holds is left out, but for what follows: it lies on another file system, or is a
    /// marked cache. Comes after the directory's entry.
    Unlisted {
        path: Path,
    },
    /// A directory that could not be opened or whose listing is not complete. Comes right after its entry;
    /// names that were listed still follow.
    Broken {
        path: Path,
        error: io::Error,
    },
    /// This process ran out of descriptors or memory at `path` (see
    /// [`is_shortage`]): nothing that follows is complete.
    Shortage {
        path: Path,
        error: io::Error,
    },
    /// The exclude file of the directory `path` has this wrong; nothing was excluded by it.
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

/// Iterates over a tree: each directory right before what it holds, names of one directory by their bytes,
/// which together is the order of [`compare_paths`](crate::entry::compare_paths). The root comes first,
/// with the empty path, and is never excluded.
pub struct Walk(Steps);

enum Steps {
    New { root: Dir, excludes: Excludes, options: WalkOptions, ahead: Option<(Arc<Pool>, Limits)> },
    Lazy(Box<Cursor>),
    Ahead(Box<Ahead>),
    Done,
}

impl Walk {
    /// A walk that looks at a name when it is asked for it.
    pub fn new(root: Dir, excludes: Excludes, options: WalkOptions) -> Walk {
        Walk(Steps::New { root, excludes, options, ahead: None })
    }

    /// A walk that looks at some thousand names ahead of what it is asked for, in the threads of `pool`.
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
