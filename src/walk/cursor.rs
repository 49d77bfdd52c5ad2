//! A walk, or a part of a walk, that advances one item at a time.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::entry::{DEPTH_MAX, FileType, Path, is_restore_temp};
use crate::error::is_shortage;
use crate::exclude::Excludes;
use crate::platform::{Dir, Stat, patiently};

use super::frame::{self, HELD_MAX, UnusedExcludeFile, WalkFrame};
use super::{WalkItem, WalkOptions, WalkedEntry};

/// The settings that all parts of a walk share.
pub(super) struct WalkSettings {
    pub root: Dir,
    pub options: WalkOptions,
    /// The device of the root.
    pub dev: u64,
}

pub(super) struct Cursor {
    settings: Arc<WalkSettings>,
    excludes: Excludes,
    /// Number of directories above the first of `frames`.
    above: usize,
    /// The directories on the current path, topmost first.
    frames: Vec<WalkFrame>,
    /// The path of the directory of the last frame.
    here: Vec<u8>,
    /// The directory that was yielded last and is entered next.
    enter: Option<DirToEnter>,
    /// Items to yield before the cursor advances.
    pending: VecDeque<WalkItem>,
    /// Largest exclude file that this part compiles, in bytes.
    exclude_max: usize,
    /// The exclude file of the last frame is larger than `exclude_max`. Only the first part of the walk compiles it.
    awaits_excludes: bool,
    /// At a shortage (see [`is_shortage`]), a part ends before the directory that could not be opened, and a later
    /// part tries again. If false, the shortage is an item.
    ends_at_shortage: bool,
    /// This part ended at a shortage.
    is_short: bool,
    /// Number of directories opened.
    opened: usize,
}

/// The directory to enter next.
enum DirToEnter {
    Root,
    Name(Box<[u8]>),
}

/// The result of one part of a walk.
pub(super) struct WalkPart {
    pub found: Vec<WalkItem>,
    /// Number of directories opened.
    pub opened: usize,
    /// The rest of the walk after `found`, in order: one cursor with one frame for each directory that has names
    /// left.
    pub rest: Vec<Cursor>,
}

impl Cursor {
    /// A cursor that yields everything below the root, but not the root.
    pub fn new(settings: WalkSettings, excludes: Excludes) -> Cursor {
        let enter = Some(DirToEnter::Root);
        Cursor { enter, ..Cursor::part(Arc::new(settings), excludes, 0, Vec::new(), Vec::new()) }
    }

    fn part(
        settings: Arc<WalkSettings>,
        excludes: Excludes,
        above: usize,
        frames: Vec<WalkFrame>,
        here: Vec<u8>,
    ) -> Cursor {
        Cursor {
            settings,
            excludes,
            above,
            frames,
            here,
            enter: None,
            pending: VecDeque::new(),
            exclude_max: usize::MAX,
            awaits_excludes: false,
            ends_at_shortage: false,
            is_short: false,
            opened: 0,
        }
    }

    /// Walks until `count` items are found or `depth` directories are entered below the first one. The result has
    /// more items only if they concern the directory entered last. The part also ends before the first name of a
    /// directory whose exclude file has more than `exclude_max` bytes, and at a shortage. A part that begins where
    /// another part ended at a shortage tries for a while, and then returns the shortage as an item.
    pub fn run(mut self, count: usize, depth: usize, exclude_max: usize) -> WalkPart {
        let mut found = Vec::with_capacity(count);
        self.exclude_max = exclude_max;
        self.ends_at_shortage = !std::mem::take(&mut self.is_short);
        if self.awaits_excludes {
            self.add_excludes();
        }
        self.settle(&mut found);
        // Deeper directories are entered after this part, without the directories that it holds.
        self.ends_at_shortage = true;
        while !self.awaits_turn() && found.len() < count && self.frames.len() <= depth {
            match self.next() {
                Some(next) => found.push(next),
                None => break,
            }
            self.settle(&mut found);
        }
        found.shrink_to_fit();
        WalkPart { found, opened: self.opened, rest: self.into_rest() }
    }

    /// Enters the directory that was yielded last, and takes the items about that directory. After that, only names
    /// remain.
    fn settle(&mut self, found: &mut Vec<WalkItem>) {
        if let Some(which) = self.enter.take() {
            self.enter(which);
        }
        found.extend(self.pending.drain(..));
    }

    fn into_rest(mut self) -> Vec<Cursor> {
        if self.frames.is_empty() && self.enter.is_some() {
            return vec![self];
        }
        let mut rest = Vec::new();
        while let Some(frame) = self.frames.pop() {
            let parent_len = frame.parent_len;
            // Only the last frame can await its exclude file or a directory to enter.
            let awaits_excludes = std::mem::take(&mut self.awaits_excludes);
            let (enter, is_short) = (self.enter.take(), std::mem::take(&mut self.is_short));
            if frame.names.len() > 0 || enter.is_some() {
                let (settings, excludes) = (self.settings.clone(), self.excludes.clone());
                let above = self.above + self.frames.len();
                let part = Cursor::part(settings, excludes, above, vec![frame], self.here.clone());
                rest.push(Cursor { enter, awaits_excludes, is_short, ..part });
            }
            if !awaits_excludes {
                self.excludes.leave_dir();
            }
            self.leave_path(parent_len);
        }
        rest
    }

    /// Splits off the first names, as many as weigh at least `limit` together. A directory weighs `dir_weight`, any
    /// other name 1. The second value is a cursor for the names that are left, if any.
    pub fn split(mut self, limit: usize, dir_weight: usize) -> (Cursor, Option<Cursor>) {
        let [frame] = &mut self.frames[..] else { return (self, None) };
        if self.awaits_excludes || self.enter.is_some() {
            return (self, None);
        }
        let mut weight = 0;
        let mut fits = |(_, kind): &frame::ListedName| {
            let before = weight;
            weight += if *kind == Some(FileType::Dir) { dir_weight } else { 1 };
            before < limit
        };
        let count = frame.names.as_slice().iter().take_while(|name| fits(name)).count();
        if count == frame.names.len() {
            return (self, None);
        }
        let frames = vec![frame.split(count)];
        let (settings, excludes) = (self.settings.clone(), self.excludes.clone());
        (Cursor::part(settings, excludes, self.above, frames, self.here.clone()), Some(self))
    }

    /// The directory of a cursor with one frame; `None` while the directory is closed.
    pub fn dir(&self) -> Option<&Arc<Dir>> {
        self.frames.last()?.dir.as_ref()
    }

    /// True if the directory is closed and [`Cursor::find_again`] must open it before the cursor can go on.
    pub fn is_closed(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.dir.is_none() && frame.lost.is_none())
    }

    /// True if only the first part of the walk may go on with this cursor.
    pub fn awaits_turn(&self) -> bool {
        self.awaits_excludes || self.is_short
    }

    /// True if this part ended at a shortage, or if its directory could not be opened again for a shortage.
    pub fn is_short(&self) -> bool {
        self.is_short || self.frames.last().is_some_and(WalkFrame::is_short)
    }

    /// Opens the directory again, if a shortage has prevented that.
    pub fn retry(&mut self) {
        if let Some(frame) = self.frames.last_mut().filter(|frame| frame.is_short()) {
            frame.find_again(None, &self.settings.root, &self.here);
        }
    }

    /// Closes the directory of a cursor with one frame.
    pub fn close(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.dir = None;
        }
    }

    /// Opens the directory again: as the parent of `child`, else by its path from the root.
    pub fn find_again(&mut self, child: Option<&Dir>) {
        if let Some(frame) = self.frames.last_mut() {
            frame.find_again(child, &self.settings.root, &self.here);
        }
    }

    /// Opens and lists the directory that was yielded last.
    fn enter(&mut self, which: DirToEnter) {
        self.opened += 1;
        if let DirToEnter::Name(name) = &which {
            self.here = frame::join(&self.here, name);
        }
        let open = || match &which {
            DirToEnter::Root => self.settings.root.try_clone(),
            DirToEnter::Name(name) => {
                let above = self.frames.last().map_or(Ok(&self.settings.root), WalkFrame::dir);
                above.and_then(|dir| dir.open_dir(name))
            }
        };
        let opened = if self.ends_at_shortage { open() } else { patiently(is_shortage, open) };
        match opened.and_then(|dir| WalkFrame::open(dir, &self.here)) {
            // Opening a directory can mount a file system on it, so the device is compared again.
            Ok((frame, _)) if self.is_foreign(frame.id.0) => {
                self.pending.push_back(WalkItem::Unlisted { path: self.path_here() });
                self.leave_path(frame.parent_len);
            }
            Ok((frame, broken_off)) => self.push(frame, broken_off),
            Err(error) if self.ends_at_shortage && is_shortage(&error) => {
                self.leave_path(frame::parent_len(&self.here));
                (self.enter, self.is_short) = (Some(which), true);
            }
            Err(error) => {
                let found = broken(self.path_here(), error);
                self.pending.push_back(found);
                self.leave_path(frame::parent_len(&self.here));
            }
        }
    }

    fn push(&mut self, mut frame: WalkFrame, broken_off: Option<io::Error>) {
        let depth = self.above + self.frames.len();
        let incomplete = broken_off.or(frame.drop_unfit(self.here.len(), depth < DEPTH_MAX));
        if let Some(error) = incomplete {
            self.pending.push_back(broken(self.path_here(), error));
        }
        if self.settings.options.skip_cache_dirs {
            match frame.keep_only_cache_tag() {
                Ok(true) => self.pending.push_back(WalkItem::Unlisted { path: self.path_here() }),
                Ok(false) => {}
                Err(error) => self.pending.push_back(WalkItem::Shortage { path: self.path_here(), error }),
            }
        }
        match frame.keep_only_markers(&self.settings.options.markers) {
            Ok(true) => self.pending.push_back(WalkItem::Unlisted { path: self.path_here() }),
            Ok(false) => {}
            Err(error) => self.pending.push_back(WalkItem::Shortage { path: self.path_here(), error }),
        }
        let names = self.settings.options.listed.as_ref().and_then(|listed| listed.names_in(&self.here));
        if names.is_some_and(|names| frame.keep_only(|name| names.contains(name))) {
            self.pending.push_back(WalkItem::Unlisted { path: self.path_here() });
        }
        self.frames.push(frame);
        if let Some(far) = self.frames.len().checked_sub(HELD_MAX + 1) {
            self.frames[far].dir = None;
        }
        self.add_excludes();
    }

    /// Reads the exclude file of the last frame and applies it from now on, unless the file is larger than
    /// `exclude_max`.
    fn add_excludes(&mut self) {
        let read = match (self.excludes.file_name(), self.frames.last()) {
            (Some(name), Some(frame)) if self.ends_at_shortage => frame.read_exclude_file(name),
            (Some(name), Some(frame)) => {
                let is_short = |unused: &UnusedExcludeFile| matches!(unused, UnusedExcludeFile::Shortage(_));
                patiently(is_short, || frame.read_exclude_file(name))
            }
            _ => Ok(None),
        };
        if self.ends_at_shortage && matches!(read, Err(UnusedExcludeFile::Shortage(_))) {
            (self.awaits_excludes, self.is_short) = (true, true);
            return;
        }
        let contents = read.unwrap_or_else(|unused| {
            let path = self.path_here();
            self.pending.push_back(match unused {
                UnusedExcludeFile::Shortage(error) => WalkItem::Shortage { path, error },
                UnusedExcludeFile::Message(message) => WalkItem::Note { path, message },
            });
            None
        });
        self.awaits_excludes = contents.as_ref().is_some_and(|contents| contents.len() > self.exclude_max);
        if self.awaits_excludes {
            return;
        }
        for bad in self.excludes.enter_dir(&self.here, contents.as_deref()) {
            let message = format!("line {}: {}", bad.line, bad.message);
            let message = if bad.line == 0 { bad.message } else { message };
            self.pending.push_back(WalkItem::Note { path: self.path_here(), message });
        }
    }

    /// Goes back from a directory without remaining names to its parent.
    fn leave(&mut self) {
        let Some(done) = self.frames.pop() else { return };
        self.excludes.leave_dir();
        self.leave_path(done.parent_len);
        if let Some(parent) = self.frames.last_mut()
            && parent.dir.is_none()
            && parent.lost.is_none()
        {
            parent.find_again(done.dir.as_deref(), &self.settings.root, &self.here);
        }
    }

    fn leave_path(&mut self, parent_len: usize) {
        self.here.truncate(parent_len);
    }

    fn is_foreign(&self, dev: u64) -> bool {
        self.settings.options.one_file_system && dev != self.settings.dev
    }

    fn path_here(&self) -> Path {
        // The components of `here` were checked when their directories were listed.
        Path::new(self.here.clone()).unwrap_or_default()
    }

    fn is_left_out(&self, stat: &Stat) -> bool {
        self.settings.options.left_out.contains(&stat.id())
    }

    /// True if the caller's options leave out the entry `name` at `path`, apart from patterns.
    fn is_unwanted(&self, name: &[u8], path: &[u8], stat: &Stat) -> bool {
        let options = &self.settings.options;
        let leads = stat.kind == FileType::Dir;
        stat.kind == FileType::File && options.larger_than.is_some_and(|most| stat.size > most)
            || !leads && options.listed.as_ref().is_some_and(|listed| !listed.covers(path))
            || options.nodump && self.frames.last().is_some_and(|frame| frame.is_nodump(name))
    }

    /// Does not enter the directory that was yielded last.
    pub fn skip_dir(&mut self) {
        self.enter = None;
        self.pending.clear();
    }

    fn is_excluded(&self, path: &[u8], kind: FileType) -> bool {
        self.excludes.is_excluded(path, kind == FileType::Dir)
    }

    /// Reads the attributes of one name in the current directory. `hint` is its type, if the listing gave one.
    fn look_at(&mut self, name: Box<[u8]>, hint: Option<FileType>) -> Option<WalkItem> {
        let bytes = frame::join(&self.here, &name);
        if hint.is_some_and(|kind| self.is_excluded(&bytes, kind)) {
            return Path::new(bytes).ok().map(|path| WalkItem::Excluded { path });
        }
        let seen = self.frames.last()?.look_at(&name);
        let is_excluded = |stat: &Stat| {
            hint.is_none() && self.is_excluded(&bytes, stat.kind) || self.is_unwanted(&name, &bytes, stat)
        };
        let excluded = matches!(&seen, Ok((stat, _)) if is_excluded(stat));
        Some(match (Path::new(bytes), seen) {
            (Ok(path), _) if excluded => WalkItem::Excluded { path },
            (Ok(path), Ok((stat, _))) if stat.kind == FileType::Socket => WalkItem::Socket { path, stat },
            (Ok(path), Ok((stat, _))) if self.is_left_out(&stat) || is_restore_temp(&name) => {
                WalkItem::LeftOut { path, id: stat.id() }
            }
            (Ok(path), Ok((stat, target))) => {
                match stat.kind {
                    FileType::Dir if self.is_foreign(stat.dev) => {
                        self.pending.push_back(WalkItem::Unlisted { path: path.clone() });
                    }
                    FileType::Dir => self.enter = Some(DirToEnter::Name(name)),
                    _ => {}
                }
                WalkItem::Entry(WalkedEntry { path, stat, target })
            }
            (Ok(path), Err(error)) if error.kind() == io::ErrorKind::NotFound => WalkItem::Vanished { path },
            (Ok(path), Err(error)) if is_shortage(&error) => WalkItem::Shortage { path, error },
            (Ok(path), Err(error)) => WalkItem::Unreadable { path, error },
            // Cannot happen: names that make no valid path were dropped when the directory was listed.
            (Err(why), _) => WalkItem::Broken { path: self.path_here(), error: io::Error::other(why) },
        })
    }
}

/// The item for a directory that could not be opened or listed completely.
fn broken(path: Path, error: io::Error) -> WalkItem {
    match is_shortage(&error) {
        true => WalkItem::Shortage { path, error },
        false => WalkItem::Broken { path, error },
    }
}

impl Iterator for Cursor {
    type Item = WalkItem;

    fn next(&mut self) -> Option<WalkItem> {
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
