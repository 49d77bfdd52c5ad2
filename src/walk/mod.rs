//! The source as a sorted stream of entries, and the way back to each for reading it.
//!
//! [`Walk`] goes down one directory at a time, each opened beneath its parent's descriptor, so that a
//! directory swapped for a link meanwhile is never followed. It keeps the names of the directories on the
//! current path and nothing else, at most [`HELD_MAX`] of them open: an ancestor closed on the way down is
//! found again through `..`, or from the root, and must be the same directory.

mod frame;
mod source;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;

use crate::entry::{Path, DEPTH_MAX};
use crate::exclude::Excludes;
use crate::platform::{Dir, FileKind, Stat};

use frame::{Frame, HELD_MAX};
pub use source::Source;

/// Which directories a walk enters.
#[derive(Clone, Copy, Debug, Default)]
pub struct WalkOptions {
    /// Directories on another device than the root are entries but not entered.
    pub one_file_system: bool,
    /// Of a directory with a valid `CACHEDIR.TAG` only the tag is kept (<https://bford.info/cachedir/>).
    pub skip_cache_dirs: bool,
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
    /// A directory that could not be opened or whose listing is not complete. Comes right after its entry;
    /// names that were listed still follow.
    Broken {
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
            | Found::Broken { path, .. }
            | Found::Note { path, .. } => path,
        }
    }
}

/// Iterates over a tree: each directory right before what it holds, names of one directory by their bytes,
/// which together is the order of [`compare_paths`](crate::entry::compare_paths). The root comes first,
/// with the empty path, and is never excluded.
pub struct Walk {
    root: Dir,
    excludes: Excludes,
    options: WalkOptions,
    /// The device of the root.
    dev: u64,
    /// The directories on the current path, the root's first.
    frames: Vec<Frame>,
    /// The path of the last of `frames`.
    here: Vec<u8>,
    /// The directory yielded last, still to be entered.
    enter: Option<Enter>,
    /// What is to be yielded before going on.
    pending: VecDeque<Found>,
    started: bool,
}

/// A directory about to be entered.
enum Enter {
    Root,
    Name(Box<[u8]>),
}

impl Walk {
    pub fn new(root: Dir, excludes: Excludes, options: WalkOptions) -> Walk {
        Walk {
            root,
            excludes,
            options,
            dev: 0,
            frames: Vec::new(),
            here: Vec::new(),
            enter: None,
            pending: VecDeque::new(),
            started: false,
        }
    }

    fn start(&mut self) -> Found {
        self.started = true;
        match self.root.stat_self() {
            Ok(stat) => {
                self.dev = stat.dev;
                self.enter = Some(Enter::Root);
                Found::Entry(Walked { path: Path::root(), stat, target: None })
            }
            Err(error) => Found::Unreadable { path: Path::root(), error },
        }
    }

    /// Opens and lists the directory yielded last.
    fn enter(&mut self, which: Enter) {
        let opened = match &which {
            Enter::Root => self.root.try_clone(),
            Enter::Name(name) => {
                self.here = frame::join(&self.here, name);
                self.frames.last().map_or(Ok(&self.root), Frame::dir).and_then(|dir| dir.open_dir(name))
            }
        };
        match opened.and_then(|dir| Frame::open(dir, &self.here)) {
            // Its device may differ from what its name told: opening can mount.
            Ok((frame, _)) if self.is_foreign(frame.id.0) => self.leave_path(frame.parent_len),
            Ok((frame, broken)) => self.push(frame, broken),
            Err(error) => {
                let path = self.path_here();
                self.pending.push_back(Found::Broken { path, error });
                self.leave_path(frame::parent_len(&self.here));
            }
        }
    }

    fn push(&mut self, mut frame: Frame, broken: Option<io::Error>) {
        let depth = self.frames.len();
        let broken = broken.or(frame.drop_unfit(self.here.len(), depth < DEPTH_MAX));
        if let Some(error) = broken {
            self.pending.push_back(Found::Broken { path: self.path_here(), error });
        }
        if self.options.skip_cache_dirs {
            frame.keep_only_cache_tag();
        }
        let contents = self.excludes.file_name().and_then(|name| frame.read_exclude_file(name));
        let contents = contents.transpose().unwrap_or_else(|message| {
            self.pending.push_back(Found::Note { path: self.path_here(), message });
            None
        });
        for bad in self.excludes.enter_dir(&self.here, contents.as_deref()) {
            let message = format!("line {}: {}", bad.line, bad.message);
            let message = if bad.line == 0 { bad.message } else { message };
            self.pending.push_back(Found::Note { path: self.path_here(), message });
        }
        self.frames.push(frame);
        if let Some(far) = self.frames.len().checked_sub(HELD_MAX + 1) {
            self.frames[far].dir = None;
        }
    }

    /// Goes back to the parent of a directory that has nothing left.
    fn leave(&mut self) {
        let Some(done) = self.frames.pop() else { return };
        self.excludes.leave_dir();
        self.leave_path(done.parent_len);
        if let Some(parent) = self.frames.last_mut() {
            if parent.dir.is_none() && !parent.lost {
                parent.find_again(done.dir.as_ref(), &self.root, &self.here);
            }
        }
    }

    fn leave_path(&mut self, parent_len: usize) {
        self.here.truncate(parent_len);
    }

    fn is_foreign(&self, dev: u64) -> bool {
        self.options.one_file_system && dev != self.dev
    }

    fn path_here(&self) -> Path {
        // `here` is made of components that were checked when their directory was listed.
        Path::new(self.here.clone()).unwrap_or_default()
    }

    fn is_excluded(&self, path: &[u8], kind: FileKind) -> bool {
        self.excludes.is_excluded(path, kind == FileKind::Dir)
    }

    /// Looks at one name of the current directory; nothing if it is excluded.
    fn look_at(&mut self, name: Box<[u8]>, hint: Option<FileKind>) -> Option<Found> {
        let bytes = frame::join(&self.here, &name);
        if hint.is_some_and(|kind| self.is_excluded(&bytes, kind)) {
            return None;
        }
        let seen = self.frames.last()?.look_at(&name);
        if hint.is_none() && matches!(&seen, Ok((stat, _)) if self.is_excluded(&bytes, stat.kind)) {
            return None;
        }
        Some(match (Path::new(bytes), seen) {
            (Ok(path), Ok((stat, _))) if stat.kind == FileKind::Socket => Found::Socket { path },
            (Ok(path), Ok((stat, target))) => {
                if stat.kind == FileKind::Dir && !self.is_foreign(stat.dev) {
                    self.enter = Some(Enter::Name(name));
                }
                Found::Entry(Walked { path, stat, target })
            }
            (Ok(path), Err(error)) if error.kind() == io::ErrorKind::NotFound => Found::Vanished { path },
            (Ok(path), Err(error)) => Found::Unreadable { path, error },
            // Such names were dropped when the directory was listed.
            (Err(why), _) => Found::Broken { path: self.path_here(), error: io::Error::other(why) },
        })
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if !self.started {
            return Some(self.start());
        }
        loop {
            if let Some(found) = self.pending.pop_front() {
                return Some(found);
            }
            if let Some(which) = self.enter.take() {
                self.enter(which);
                continue;
            }
            match self.frames.last_mut()?.names.next() {
                Some((name, hint)) => {
                    if let Some(found) = self.look_at(name, hint) {
                        return Some(found);
                    }
                }
                None => self.leave(),
            }
        }
    }
}
