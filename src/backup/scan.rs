//! The first pass: walk the source into a spool and learn, by comparing with the parent, what the second
//! pass cannot know in time: what was deleted, what is linked, how much there is to read.

use std::collections::hash_map::{Entry as Slot, HashMap};
use std::sync::Arc;

use crate::entry::{Entry, Range};
use crate::error::{Error, Kind, Result};
use crate::exclude::Excludes;
use crate::job::{Job, Level, Phase, ProblemKind};
use crate::platform::{Dir, FileKind, Stat};
use crate::pool::Pool;
use crate::stamp::Time;
use crate::state::{is_unchanged, Facts, Guard, Side};
use crate::store::OwnPlaces;
use crate::walk::{Devices, Found, Walk, WalkOptions, RESTORE_TEMP};

use super::parent::Parent;
use super::tasks::{Finding, Task, Tasks, TasksWriter, What};
use crate::format::{OmissionCause, Omissions, Recorded, StateReader};

/// Entries of each kind remembered as possible origins of moved files; past it moved files are stored again.
const ORIGINS_MAX: usize = 50_000;
/// About how much memory all of them take at most, in bytes: extended attributes, holes and deltas make entries large.
const ORIGINS_BYTES_MAX: usize = 64 << 20;

/// What identifies a file that was moved: inode, size, mtime. The hash decides.
type Identity = (u64, u64, Time);

/// Contents of the parent that a new name may turn out to have.
#[derive(Default)]
pub struct Origins {
    /// Of paths that are gone.
    deleted: HashMap<Identity, Deleted>,
    /// Of paths that are still there: of files with several names, and of files that another one took the
    /// place of, as when logs are rotated.
    standing: HashMap<Identity, Entry>,
    /// Memory of all entries.
    bytes: usize,
}

struct Deleted {
    entry: Entry,
    /// It came back under another path.
    found: bool,
}

impl Origins {
    fn remember_deleted(&mut self, entry: &Entry) {
        let size = footprint(entry);
        if self.deleted.len() >= ORIGINS_MAX || self.bytes + size > ORIGINS_BYTES_MAX {
            return;
        }
        if let Some(Slot::Vacant(free)) = identity(entry).map(|identity| self.deleted.entry(identity)) {
            free.insert(Deleted { entry: entry.clone(), found: false });
            self.bytes += size;
        }
    }

    fn remember_standing(&mut self, entry: &Entry) {
        let size = footprint(entry);
        if self.standing.len() >= ORIGINS_MAX || self.bytes + size > ORIGINS_BYTES_MAX {
            return;
        }
        if let Some(Slot::Vacant(free)) = identity(entry).map(|identity| self.standing.entry(identity)) {
            free.insert(entry.clone());
            self.bytes += size;
        }
    }

    /// The entry whose content a new file may have, and whether its path is gone.
    pub fn find(&self, stat: &Stat) -> Option<(&Entry, bool)> {
        let identity = (stat.ino, stat.size, stat.mtime);
        let deleted = self.deleted.get(&identity).filter(|deleted| !deleted.found);
        match deleted {
            Some(deleted) => Some((&deleted.entry, true)),
            None => self.standing.get(&identity).map(|entry| (entry, false)),
        }
    }

    /// Notes that a deleted entry came back under another path.
    pub fn found(&mut self, stat: &Stat) {
        if let Some(deleted) = self.deleted.get_mut(&(stat.ino, stat.size, stat.mtime)) {
            deleted.found = true;
        }
    }

    /// True if `entry` is here to be found moved, or was: whether it is deleted is told at the end.
    pub fn awaits(&self, entry: &Entry) -> bool {
        let held = identity(entry).and_then(|identity| self.deleted.get(&identity));
        held.is_some_and(|deleted| deleted.entry.path == entry.path)
    }

    /// Drops an entry that turned out not to be deleted.
    pub fn forget(&mut self, entry: &Entry) {
        if let Some(identity) = identity(entry).filter(|_| self.awaits(entry)) {
            self.deleted.remove(&identity);
            self.bytes -= footprint(entry).min(self.bytes);
        }
    }

    /// Whatever was deleted and never found again, in path order.
    pub fn into_deleted(self) -> Vec<Entry> {
        let gone = self.deleted.into_values().filter(|deleted| !deleted.found);
        let mut gone: Vec<Entry> = gone.map(|deleted| deleted.entry).collect();
        gone.sort_by(|a, b| a.path.cmp(&b.path));
        gone
    }
}

/// About how much memory an entry takes, in bytes.
fn footprint(entry: &Entry) -> usize {
    let pairs = |pairs: usize, bytes: usize| pairs * size_of::<(String, String)>() + bytes;
    let xattrs = &entry.meta.xattrs;
    let xattrs = pairs(xattrs.len(), xattrs.iter().map(|(name, value)| name.len() + value.len()).sum());
    let unknown = || entry.unknown.iter().chain(&entry.unknown_place);
    let unknown = pairs(unknown().count(), unknown().map(|(name, json)| name.len() + json.len()).sum());
    let ranges = entry.place.content.len() + entry.place.sig.as_ref().map_or(0, |sig| sig.ranges.len());
    let holes = entry.file().map_or(0, |file| file.holes.len());
    size_of::<Entry>()
        + entry.path.as_bytes().len()
        + xattrs
        + unknown
        + ranges * size_of::<Range>()
        + holes * size_of::<(u64, u64)>()
}

/// What tells a moved file; `None` for what is not worth finding.
fn identity(entry: &Entry) -> Option<Identity> {
    let file = entry.file().filter(|file| file.size > 0 && !entry.place.dirty)?;
    Some((entry.place.ino, file.size, entry.meta.mtime))
}

/// Names of one inode in the source, by device and inode.
pub type LinkCounts = HashMap<(u64, u64), u32>;

/// What the first pass learnt.
pub struct Scan {
    pub tasks: Tasks,
    pub origins: Origins,
    pub links: LinkCounts,
    pub devices: Devices,
    pub inodes_unstable: bool,
    pub entries: u64,
    /// Bytes the second pass will probably read.
    pub bytes: u64,
    /// The source holds nothing but its root.
    pub empty: bool,
    /// The errno that kept the root from being looked at or listed whole.
    pub root_trouble: Option<i32>,
    /// What the walk was told to leave out.
    pub omissions: Omissions,
}

/// Equal files by size and times whose inode is another one, against those where it is the same.
#[derive(Default)]
struct InodeTally {
    same: u64,
    other: u64,
}

/// Fewer than this many files say nothing about a file system's inodes.
const TALLY_MIN: u64 = 8;

/// What is the backup's `own` is left out. Threads of `pool` walk ahead of the comparison, which is this thread's.
pub fn scan(
    root: Dir,
    parent: Option<(&mut StateReader, &Parent)>,
    guard: &Guard,
    own: OwnPlaces,
    pool: &Arc<Pool>,
    job: &mut Job,
) -> Result<Scan> {
    job.phase(Phase::Scan, 0, 0)?;
    let excludes = Excludes::new(&job.options.excludes, &job.options.exclude_file)?;
    let options = WalkOptions {
        one_file_system: job.options.one_file_system,
        skip_cache_dirs: job.options.skip_cache_dirs,
        left_out: own.ids().collect(),
    };
    let seen_from = root.try_clone().map_err(|e| Error::own("open the source again", &e))?;
    let mut source = Findings {
        root: seen_from,
        devices: Devices::default(),
        walk: Walk::ahead(root, excludes, options, pool.clone()),
        next: None,
        links: LinkCounts::new(),
        names: 0,
        root_trouble: None,
        omissions: Omissions::default(),
        own,
        job,
    };
    let is_increment = parent.is_some();
    let mut learnt = Learnt::default();
    let mut tasks = TasksWriter::new();
    match parent {
        Some((state, parent)) => compare(state, parent, &mut source, &mut learnt, &mut tasks, guard)?,
        None => {
            while let Some(finding) = source.next()? {
                tasks.push(&learnt.created(finding))?;
            }
        }
    }
    let Findings { links, devices, names, root_trouble, omissions, job, .. } = source;
    job.phase_done()?;
    if is_increment && !devices.all_keep_ctime() {
        job.log(Level::Info, "files are read where the file system keeps no ctime of its own");
    }
    Ok(Scan {
        tasks: tasks.finish()?,
        origins: learnt.origins,
        links: links.into_iter().filter(|(_, names)| *names > 1).collect(),
        devices,
        inodes_unstable: learnt.tally.other > learnt.tally.same && learnt.tally.other >= TALLY_MIN,
        entries: names,
        bytes: learnt.bytes,
        empty: names <= 1,
        root_trouble,
        omissions,
    })
}

/// Joins the parent's entries with what is found.
fn compare(
    state: &mut StateReader,
    parent: &Parent,
    source: &mut Findings,
    learnt: &mut Learnt,
    tasks: &mut TasksWriter,
    guard: &Guard,
) -> Result<()> {
    let mut records = state.recorded()?;
    records.advance()?;
    let mut found = source.next()?;
    loop {
        let recorded = records.current();
        let path = found.as_ref().map(|finding| finding.path.as_bytes());
        let Some(side) = Side::next(recorded.map(Recorded::path), path) else { return Ok(()) };
        let finding = if side == Side::Old { None } else { found.take() };
        let task = match (recorded.filter(|_| side != Side::New), finding) {
            // What the walk has learnt so far of ctimes: less than the second pass will know.
            (Some(recorded), Some(finding)) => {
                learnt.both(recorded, finding, parent, (guard, &source.devices))?
            }
            (Some(recorded), None) => {
                learnt.origins.remember_deleted(&recorded.entry()?);
                Task::Old
            }
            (None, Some(finding)) => learnt.created(finding),
            (None, None) => return Ok(()),
        };
        tasks.push(&task)?;
        if side != Side::New {
            records.advance()?;
        }
        if side != Side::Old {
            found = source.next()?;
        }
    }
}

#[derive(Default)]
struct Learnt {
    origins: Origins,
    tally: InodeTally,
    bytes: u64,
}

impl Learnt {
    fn created(&mut self, finding: Finding) -> Task {
        self.bytes = self.bytes.saturating_add(file_size(&finding));
        Task::New(finding)
    }

    /// What is to be done with a path that both have.
    fn both(
        &mut self,
        was: &Recorded,
        finding: Finding,
        parent: &Parent,
        (guard, devices): (&Guard, &Devices),
    ) -> Result<Task> {
        let What::Node { stat, broken, .. } = &finding.what else { return Ok(Task::Both(finding)) };
        let (then, now) = (was.facts(), facts(stat, devices));
        let unchanged = is_unchanged(&then, &now, guard);
        let is_file = stat.kind == FileKind::File;
        let linked = is_file && stat.nlink > 1;
        if is_file {
            self.tally.count(&then, &now);
            self.bytes = self.bytes.saturating_add(if unchanged { 0 } else { now.size });
        }
        let same_file = then.ino == now.ino;
        let replaced = was.is_file() && !same_file && (then.size, then.mtime) != (now.size, now.mtime);
        if replaced || linked && same_file {
            self.origins.remember_standing(&was.entry()?);
        }
        // Numbers of link sets and of inodes may be others in the new state.
        let as_it_is = !linked && was.link() == 0 && same_file && broken.is_none();
        let carried = unchanged && as_it_is && parent.keeps(was);
        Ok(if carried { Task::Carry } else { Task::Both(finding) })
    }
}

impl InodeTally {
    fn count(&mut self, then: &Facts, now: &Facts) {
        if (then.size, then.mtime, then.ctime) == (now.size, now.mtime, now.ctime) {
            let same = then.ino == now.ino;
            *(if same { &mut self.same } else { &mut self.other }) += 1;
        }
    }
}

fn file_size(finding: &Finding) -> u64 {
    match &finding.what {
        What::Node { stat, .. } if stat.kind == FileKind::File => stat.size,
        _ => 0,
    }
}

/// What change detection asks of a stat.
pub fn facts(stat: &Stat, devices: &Devices) -> Facts {
    let (kind, size) = match stat.kind {
        FileKind::File => ("file", stat.size),
        FileKind::Dir => ("dir", 0),
        FileKind::Symlink => ("symlink", 0),
        FileKind::Fifo => ("fifo", 0),
        FileKind::Char => ("char", 0),
        FileKind::Block => ("block", 0),
        FileKind::Socket => ("socket", 0),
    };
    let no_ctime = !devices.keep_ctime(stat.dev);
    let Stat { mtime, ctime, ino, dev, .. } = *stat;
    Facts { kind, size, mtime, ctime, ino, dev, no_ctime, dirty: false }
}

/// The walk as a stream of findings.
struct Findings<'j, 'o> {
    root: Dir,
    walk: Walk,
    devices: Devices,
    /// The find after a directory, read to learn whether its listing broke off.
    next: Option<Found>,
    links: LinkCounts,
    names: u64,
    root_trouble: Option<i32>,
    omissions: Omissions,
    own: OwnPlaces,
    job: &'j mut Job<'o>,
}

impl Findings<'_, '_> {
    fn next(&mut self) -> Result<Option<Finding>> {
        loop {
            let Some(found) = self.next.take().or_else(|| self.walk.next()) else { return Ok(None) };
            if let Some(finding) = self.finding(found)? {
                return Ok(Some(finding));
            }
        }
    }

    /// A note is told at once, what is excluded is noted; everything else is a finding.
    fn finding(&mut self, found: Found) -> Result<Option<Finding>> {
        let (path, what) = match found {
            Found::Entry(walked) => {
                let broken = if walked.stat.kind == FileKind::Dir { self.broken_after()? } else { None };
                let stat = walked.stat;
                self.devices.see(&self.root, &walked.path, &stat);
                if stat.kind == FileKind::File && stat.nlink > 1 {
                    *self.links.entry((stat.dev, stat.ino)).or_insert(0) += 1;
                }
                (walked.path, What::Node { stat, target: walked.target.unwrap_or_default(), broken })
            }
            Found::Unreadable { path, error } => {
                (path, What::Unreadable(error.raw_os_error().unwrap_or(libc::EIO)))
            }
            Found::Vanished { path } => (path, What::Vanished),
            Found::Socket { path } => (path, What::Socket),
            Found::Excluded { path } => {
                self.omissions.add(&path, OmissionCause::LeftOut);
                self.job.pulse()?;
                return Ok(None);
            }
            Found::LeftOut { path, id } => {
                self.omissions.add(&path, OmissionCause::LeftOut);
                let what = self.own.what(id).unwrap_or(RESTORE_TEMP);
                let error = Error::new(Kind::Unsupported, "back up", what).at(&path);
                self.job.trouble(ProblemKind::Skipped, path.as_bytes(), error)?;
                return Ok(None);
            }
            Found::Unlisted { path } => {
                self.omissions.add_all(&path, OmissionCause::LeftOut);
                return Ok(None);
            }
            Found::Shortage { path, error } => return Err(Error::io("look at", &path, &error)),
            Found::Broken { .. } => {
                return Err(Error::new(Kind::Panic, "walk", "a broken listing without its directory"))
            }
            Found::Note { path, message } => {
                let error = Error::new(Kind::InvalidArg, "use the exclude file in", message).at(&path);
                self.job.trouble(ProblemKind::Unreadable, path.as_bytes(), error)?;
                return Ok(None);
            }
        };
        self.names += 1;
        if let (true, What::Unreadable(code) | What::Node { broken: Some(code), .. }) =
            (path.is_root(), &what)
        {
            self.root_trouble = Some(*code);
        }
        self.job.step(path.as_bytes())?;
        Ok(Some(Finding { path, what }))
    }

    /// The errno that broke the listing of the directory just found, and any notes that come before it.
    fn broken_after(&mut self) -> Result<Option<i32>> {
        loop {
            match self.walk.next() {
                Some(Found::Broken { error, .. }) => {
                    return Ok(Some(error.raw_os_error().unwrap_or(libc::EIO)))
                }
                Some(note @ Found::Note { .. }) => {
                    self.finding(note)?;
                }
                other => {
                    self.next = other;
                    return Ok(None);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{File, Hash, Metadata, Node, Path, Place};

    #[test]
    fn origins_of_moved_files_take_a_bounded_amount_of_memory() {
        let entry = |ino: u64| {
            let file = File { size: 1, hash: Hash::UNKNOWN, holes: vec![(0, 1); 1000], link: 0 };
            let xattrs = vec![(b"user.large".to_vec(), vec![7; 1 << 16])];
            let meta = Metadata { xattrs, ..Metadata::default() };
            let path = Path::new(format!("{ino}").into_bytes()).unwrap();
            Entry::new(path, Node::File(file), meta, Place { ino, ..Place::default() })
        };
        let mut origins = Origins::default();
        for ino in 0..2000 {
            origins.remember_deleted(&entry(2 * ino));
            origins.remember_standing(&entry(2 * ino + 1));
        }
        let held = || origins.deleted.len() + origins.standing.len();
        let each = (1 << 16) + 16_000;
        assert!((500..=ORIGINS_BYTES_MAX / each).contains(&held()), "{}", held());
        let before = held();
        origins.forget(&entry(0));
        origins.remember_deleted(&entry(4000));
        assert_eq!(origins.deleted.len() + origins.standing.len(), before);
        assert!(origins.awaits(&entry(4000)) && !origins.awaits(&entry(0)));
    }
}
