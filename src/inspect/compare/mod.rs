//! Compares a snapshot with a tree.
//!
//! ```text
//! state --> entries, without excluded ones -+
//!                                           +--> merged by path --> examined, files read --> changes
//! tree ---> walk, as for a backup ----------+
//! ```

mod content;
mod diff;
mod links;
mod live;
mod recorded;

use std::io;
use std::sync::Arc;

use crate::entry::{Entry, FileType, Node, Path, UnknownNode};
use crate::error::{Error, Kind, Result};
use crate::exclude::Excludes;
use crate::filter::Filter;
use crate::job::{Counter, Job, Phase, ProblemKind, change};
use crate::platform::Dir;
use crate::pool::Pool;
use crate::state::{Merge, Pair};
use crate::store::{LockMode, Need, OwnPlaces, Store, begin, lock, open_selected, path_bytes};
use crate::walk::{RESTORE_TEMP, Walk, WalkItem, WalkOptions, WalkedEntry};

pub use diff::diff;
use live::LiveTree;
use recorded::RecordedEntries;

/// Reports the differences of `tree` from the selected snapshot of `key`, as changes from the snapshot to the
/// tree.
///
/// The tree is walked as for a backup. Patterns in the options exclude entries on both sides. Every file of the
/// recorded size is read, so a changed content is found even if the times did not change. With the option
/// `metadata_only`, no file is read. Holes, ctime, inode and the names of users are not compared. An entry that
/// cannot be read is a problem, and its difference stays unknown. The comparison ends early when the observer answers
/// a change with [`Flow::Stop`](crate::job::Flow::Stop).
///
/// Errors: `NotFound` (no such snapshot; a glob or path that matches on neither side, after all changes), `Io`
/// (no such tree), `Corrupt` or `Format` (the state), `Mismatch` (not the expected digest).
pub fn compare(store: &mut dyn Store, key: &str, tree: &std::path::Path, job: &mut Job) -> Result<()> {
    let key = begin(store, key, Need::Read, "compare", job)?;
    let trouble = |e: &io::Error| Error::io("open the tree", path_bytes(tree), e);
    let root = Dir::open(tree).map_err(|e| trouble(&e))?;
    let live = root.try_clone().and_then(LiveTree::new).map_err(|e| trouble(&e))?;
    let filter = Filter::new(&job.options.includes, &job.options.paths)?;
    let pool = Pool::start(job.options.threads)?;
    let _lock = lock(store, &key, LockMode::Read, job)?;
    let mut state = open_selected(store, &key, &pool, job)?;
    let totals = state.trailer().totals;
    let known = filter.is_all() && job.options.excludes.is_empty();
    let (entries, bytes) = if known { (totals.entries, totals.bytes) } else { (0, 0) };
    job.phase(Phase::Verify, entries, bytes)?;
    let own = OwnPlaces::find(store, job.options)?;
    let walk = walk(root, &own, pool, job)?;
    let recorded = RecordedEntries::new(state.entries()?, &job.options.excludes)?;
    let mut comparison = Comparison { job, filter, live, own, unseen: Vec::new() };
    let is_compared =
        |found: &WalkItem| !matches!(found, WalkItem::Excluded { .. } | WalkItem::Unlisted { .. });
    let walk = walk.filter(is_compared);
    let pairs =
        Merge::new(recorded, walk.map(Ok), |e: &Entry| e.path.as_bytes(), |f: &WalkItem| f.path().as_bytes());
    for pair in pairs {
        comparison.pair(pair?)?;
        if comparison.job.had_enough() {
            return comparison.job.phase_done();
        }
    }
    comparison.filter.check_used()?;
    comparison.job.phase_done()
}

fn walk(root: Dir, own: &OwnPlaces, pool: Arc<Pool>, job: &Job) -> Result<Walk> {
    let excludes = Excludes::new(&job.options.excludes, &job.options.exclude_file)?;
    Ok(Walk::parallel(root, excludes, WalkOptions::new(job.options, own.ids()), pool))
}

struct Comparison<'c, 'j> {
    job: &'c mut Job<'j>,
    filter: Filter,
    live: LiveTree,
    /// The places that the walk leaves out.
    own: OwnPlaces,
    /// The directories above the current entry that could not be examined completely, the innermost last.
    unseen: Vec<Unseen>,
}

/// A directory of the tree whose entries are not all known.
struct Unseen {
    path: Path,
    /// `None` after the error was reported.
    error: Option<Error>,
}

/// The result of comparing an entry.
struct EntryDifference {
    /// Bits of [`change`].
    what: u32,
    /// False if a part of the entry could not be read.
    known: bool,
}

impl Comparison<'_, '_> {
    fn pair(&mut self, pair: Pair<Entry, WalkItem>) -> Result<()> {
        let (old, found) = match pair {
            Pair::Old(old) => (Some(old), None),
            Pair::New(found) => (None, Some(found)),
            Pair::Both(old, found) => (Some(old), Some(found)),
        };
        let Some(path) = old.as_ref().map(|old| &old.path).or(found.as_ref().map(WalkItem::path)) else {
            return Ok(());
        };
        while self.unseen.last().is_some_and(|dir| !path.is_within(dir.path.as_bytes())) {
            self.unseen.pop();
        }
        let wanted = self.filter.matches(path);
        if let Some(WalkItem::Entry(walked)) = &found {
            self.live.note(walked);
        }
        if let Some(old) = old.as_ref().filter(|_| wanted) {
            self.job.report.count(Counter::Entries, 1);
            self.job.step(old.path.as_bytes())?;
        }
        match (old, found) {
            (_, Some(WalkItem::Shortage { path, error })) => Err(Error::io("look at", &path, &error)),
            (_, Some(WalkItem::Broken { path, error })) => self.broken(path, "list", &error, wanted),
            (_, Some(WalkItem::Unreadable { path, error })) => self.broken(path, "look at", &error, wanted),
            _ if !wanted => Ok(()),
            (Some(Entry { path, node: Node::Unknown(node), .. }), _) => self.unsupported(&path, &node),
            (Some(old), Some(WalkItem::Entry(walked))) => self.both(&old, &walked),
            (Some(old), Some(found)) => self.found(found).and_then(|()| self.gone(&old)),
            (Some(old), None) => self.absent(&old),
            (None, Some(found)) => self.found(found),
            (None, None) => Ok(()),
        }
    }

    /// Lists an entry of the snapshot that only a newer version can compare.
    fn unsupported(&mut self, path: &Path, node: &UnknownNode) -> Result<()> {
        let error = Error::new(Kind::Unsupported, "compare", node.why()).at(path);
        self.job.trouble(ProblemKind::Unsupported, path.as_bytes(), error)
    }

    /// Handles an entry that only the tree has, or that cannot be in a snapshot.
    fn found(&mut self, found: WalkItem) -> Result<()> {
        self.job.pulse()?;
        match found {
            WalkItem::Entry(walked) => {
                self.job.report.count(Counter::Created, 1);
                if !self.job.wants_changes() {
                    return Ok(());
                }
                let (entry, _) = self.live_entry(&walked, None)?;
                self.job.change(change::CREATED, None, Some(&entry))
            }
            WalkItem::Socket { path, .. } => {
                let error = Error::new(Kind::Unsupported, "compare", "it is a socket").at(&path);
                self.job.trouble(ProblemKind::Skipped, path.as_bytes(), error)
            }
            WalkItem::LeftOut { path, id } => {
                let what = self.own.what(id).unwrap_or(RESTORE_TEMP);
                let error = Error::new(Kind::Unsupported, "compare", what).at(&path);
                self.job.trouble(ProblemKind::Skipped, path.as_bytes(), error)
            }
            WalkItem::Note { path, message } => {
                let error = Error::new(Kind::InvalidArg, "use the exclude file in", message).at(&path);
                self.job.trouble(ProblemKind::Unreadable, path.as_bytes(), error)
            }
            WalkItem::Shortage { path, error } => Err(Error::io("look at", &path, &error)),
            WalkItem::Vanished { .. } | WalkItem::Broken { .. } | WalkItem::Unreadable { .. } => Ok(()),
            WalkItem::Excluded { .. } | WalkItem::Unlisted { .. } => Ok(()),
        }
    }

    /// Notes that entries below `path` may be missing from the walk. The error is reported now, or when an
    /// entry of the snapshot below `path` is missing.
    fn broken(&mut self, path: Path, op: &str, error: &io::Error, wanted: bool) -> Result<()> {
        let error = Error::io(op, &path, error);
        self.unseen.push(Unseen { path, error: Some(error) });
        if wanted {
            self.report_unseen()?;
        }
        Ok(())
    }

    fn report_unseen(&mut self) -> Result<()> {
        let Some(dir) = self.unseen.last_mut() else { return Ok(()) };
        match dir.error.take() {
            Some(error) => self.job.trouble(ProblemKind::Unreadable, dir.path.as_bytes(), error),
            None => Ok(()),
        }
    }

    /// Handles an entry that the walk did not find. It is deleted, unless a directory above it could not be
    /// examined completely.
    fn absent(&mut self, old: &Entry) -> Result<()> {
        if self.unseen.is_empty() {
            return self.gone(old);
        }
        self.report_unseen()?;
        self.job.advance(old.size())
    }

    fn gone(&mut self, old: &Entry) -> Result<()> {
        self.job.advance(old.size())?;
        self.job.report.count(Counter::Deleted, 1);
        self.job.change(change::DELETED, Some(old), None)
    }

    fn both(&mut self, old: &Entry, walked: &WalkedEntry) -> Result<()> {
        if let (Node::File(_), FileType::File) = (&old.node, walked.stat.kind) {
            return self.file(old, walked);
        }
        self.job.advance(old.size())?;
        let (entry, known) = self.live_entry(walked, Some(old))?;
        let what = match (old.node.file_type() == entry.node.file_type(), old.node == entry.node) {
            (false, _) => change::CONTENT,
            (true, false) => change::CONTENT | self.linked(old, walked) | metadata(old, &entry, known),
            (true, true) => self.linked(old, walked) | metadata(old, &entry, known),
        };
        self.report_difference(old, &entry, &EntryDifference { what, known })
    }

    /// The entry of the tree with its extended attributes and flags. The flag is false if these could not be read.
    /// Flags that are unknown because a right is missing count as those of `old`.
    fn live_entry(&mut self, walked: &WalkedEntry, old: Option<&Entry>) -> Result<(Entry, bool)> {
        let mut entry = self.live.entry(walked);
        let read = self.live.add_attributes(&mut entry);
        if let (Ok(false), Some(old)) = (&read, old) {
            (entry.meta.flags, entry.meta.project) = (old.meta.flags.clone(), old.meta.project);
        }
        let known = self.metadata_read(&entry.path, read.map(drop))?;
        Ok((entry, known))
    }

    fn metadata_read(&mut self, path: &Path, read: io::Result<()>) -> Result<bool> {
        if let Err(error) = &read {
            let error = Error::io("read the metadata of", path, error);
            self.job.trouble(ProblemKind::Metadata, path.as_bytes(), error)?;
        }
        Ok(read.is_ok())
    }

    /// [`change::METADATA`] if the snapshot and the tree link this name to different names.
    fn linked(&mut self, old: &Entry, walked: &WalkedEntry) -> u32 {
        if self.live.links.agree(old, &walked.stat) { 0 } else { change::METADATA }
    }

    fn file(&mut self, old: &Entry, walked: &WalkedEntry) -> Result<()> {
        let Some(then) = old.file() else { return Ok(()) };
        let linked = self.linked(old, walked);
        if self.job.options.metadata_only {
            return self.unread(old, walked, linked);
        }
        let looked = match self.live.compare(&old.path, then, self.job)? {
            Ok(looked) => looked,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.gone(old),
            Err(error) => return self.unreadable(old, walked, linked, &error),
        };
        if !looked.still {
            let error = Error::new(Kind::Io, "compare", "it changed while it was read").at(&old.path);
            self.job.trouble(ProblemKind::Changed, old.path.as_bytes(), error)?;
        }
        let known = self.metadata_read(&old.path, looked.attributes)?;
        let content = if looked.same { 0 } else { change::CONTENT };
        let what = linked | content | metadata(old, &looked.entry, known);
        self.report_difference(old, &looked.entry, &EntryDifference { what, known: known && looked.still })
    }

    /// Compares a file without reading it. Another modification time counts as another content.
    fn unread(&mut self, old: &Entry, walked: &WalkedEntry, linked: u32) -> Result<()> {
        self.job.advance(old.size())?;
        let (entry, known) = self.live_entry(walked, Some(old))?;
        let same = (old.size(), old.meta.mtime) == (entry.size(), entry.meta.mtime);
        let content = if same { 0 } else { change::CONTENT };
        let what = linked | content | metadata(old, &entry, known);
        self.report_difference(old, &entry, &EntryDifference { what, known })
    }

    /// Compares a file that cannot be read, by the attributes that the walk found.
    fn unreadable(
        &mut self,
        old: &Entry,
        walked: &WalkedEntry,
        linked: u32,
        error: &io::Error,
    ) -> Result<()> {
        let error = Error::io("read", &old.path, error);
        self.job.trouble(ProblemKind::Unreadable, old.path.as_bytes(), error)?;
        let entry = self.live.entry(walked);
        let content = if old.size() == entry.size() { 0 } else { change::CONTENT };
        let what = linked | content | metadata(old, &entry, false);
        self.report_difference(old, &entry, &EntryDifference { what, known: false })
    }

    fn report_difference(&mut self, old: &Entry, new: &Entry, verdict: &EntryDifference) -> Result<()> {
        let counter = match verdict.what {
            0 if verdict.known => Some(Counter::Unchanged),
            0 => None,
            what if what & change::CONTENT != 0 => Some(Counter::Modified),
            _ => Some(Counter::Metadata),
        };
        if let Some(counter) = counter {
            self.job.report.count(counter, 1);
        }
        match verdict.what {
            0 => Ok(()),
            what => self.job.change(what, Some(old), Some(new)),
        }
    }
}

/// Whether two recorded numbers are equal, or one of them is not recorded.
fn agree(a: Option<u32>, b: Option<u32>) -> bool {
    a == b || a.is_none() || b.is_none()
}

/// [`change::METADATA`] if mode, owner or mtime differ, or if extended attributes, flags or projects differ and
/// `is_known` says that they are known. The mode of a symbolic link means nothing, and neither does a flag that the
/// file system sets itself. A mode or an owner that one entry does not have is not compared.
fn metadata(old: &Entry, new: &Entry, is_known: bool) -> u32 {
    let (a, b) = (&old.meta, &new.meta);
    let same_mode = agree(a.mode, b.mode) || matches!(old.node, Node::Symlink(_));
    let same = same_mode && agree(a.uid, b.uid) && agree(a.gid, b.gid) && a.mtime == b.mtime;
    let same_attributes = (&a.xattrs, a.project) == (&b.xattrs, b.project) && a.flags.agree(&b.flags);
    if same && (same_attributes || !is_known) { 0 } else { change::METADATA }
}
