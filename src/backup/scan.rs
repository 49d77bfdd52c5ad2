//! The first pass. It walks the source, compares each path with the parent, and writes the tasks to a spool.
//! So the second pass knows from its start which entries were deleted, which names are hard links, and how
//! much there is to read.

use std::collections::HashSet;
use std::collections::hash_map::{Entry as MapEntry, HashMap};
use std::sync::Arc;

use crate::entry::{Entry, FileType};
use crate::error::{Error, Kind, Result};
use crate::exclude::Excludes;
use crate::job::{FilterAnswer, Job, Level, Phase, ProblemKind};
use crate::platform::{Dir, Stat};
use crate::pool::Pool;
use crate::stamp::Time;
use crate::state::{Facts, Guard, Side, is_unchanged};
use crate::store::OwnPlaces;
use crate::walk::{Devices, ListedPaths, RESTORE_TEMP, Walk, WalkItem, WalkOptions, WalkedEntry};

use super::choice::Choice;
use super::heal_report::LostFiles;
use super::parent::Parent;
use super::stored_contents::{ContentScan, StoredContents};
use super::tasks::{Finding, PathState, Task, Tasks, TasksWriter};
use crate::format::{OmissionCause, Omissions, Recorded, StateReader};

/// At most this many entries are remembered in each map of [`RenameSources`]. The contents of further moved files are
/// stored again.
const SOURCES_MAX: usize = 50_000;
/// The most memory of all [`RenameSources`], about, in bytes. Extended attributes, holes and deltas make some entries
/// large.
const SOURCES_BYTES_MAX: usize = 64 << 20;

/// Identifies a file that may have been moved: inode, size, mtime. Equal hashes then prove the move. The inode is 0
/// where inode numbers are unstable, or where the entry has none.
type Identity = (u128, u64, Time);

/// Parent entries whose content may have another path now.
#[derive(Default)]
pub struct RenameSources {
    /// Entries whose path is gone.
    deleted: HashMap<Identity, Deleted>,
    /// Entries whose path still exists: files with several names, and files that another file replaced, for
    /// example when logs are rotated.
    existing: HashMap<Identity, Entry>,
    /// The memory of all entries, about, in bytes.
    bytes: usize,
    /// Inode numbers are unstable.
    ignore_inodes: bool,
}

struct Deleted {
    entry: Entry,
    /// The content was found under another path.
    found: bool,
}

impl RenameSources {
    fn remember_deleted(&mut self, entry: &Entry) {
        remember(&mut self.deleted, &mut self.bytes, entry, |entry| Deleted { entry, found: false });
    }

    fn remember_existing(&mut self, entry: &Entry) {
        remember(&mut self.existing, &mut self.bytes, entry, |entry| entry);
    }

    /// The entry whose content a new file may have, and whether the entry's path is gone. `old` is the parent's entry
    /// of the file's own path.
    pub fn find(&self, stat: &Stat, old: Option<&Entry>) -> Option<(&Entry, bool)> {
        // A file that kept its path and inode was not moved. Where inode numbers are unstable, every file that kept
        // its path counts as not moved.
        if old.is_some_and(|old| self.ignore_inodes || old.place.ino == Some(stat.ino.into())) {
            return None;
        }
        let identity = self.identity_of(stat);
        let deleted = self.deleted.get(&identity).filter(|deleted| !deleted.found);
        match deleted {
            Some(deleted) => Some((&deleted.entry, true)),
            None => self.existing.get(&identity).map(|entry| (entry, false)),
        }
    }

    /// Records that the content of a deleted entry was found under another path.
    pub fn found(&mut self, stat: &Stat) {
        let identity = self.identity_of(stat);
        if let Some(deleted) = self.deleted.get_mut(&identity) {
            deleted.found = true;
        }
    }

    /// True if `deleted` holds `entry`. The backup knows only at its end whether such an entry was moved or deleted,
    /// and reports the entry then.
    pub fn awaits(&self, entry: &Entry) -> bool {
        let held = self.identity(entry).and_then(|identity| self.deleted.get(&identity));
        held.is_some_and(|deleted| deleted.entry.path == entry.path)
    }

    /// Removes an entry that turned out not to be deleted.
    pub fn forget(&mut self, entry: &Entry) {
        if let Some(identity) = self.identity(entry).filter(|_| self.awaits(entry)) {
            self.deleted.remove(&identity);
            self.bytes -= footprint(entry).min(self.bytes);
        }
    }

    /// Finds files by size and mtime alone from now on.
    fn ignore_inodes(&mut self) {
        self.ignore_inodes = true;
        self.existing.clear();
        let deleted = std::mem::take(&mut self.deleted).into_values();
        let mut deleted: Vec<Deleted> = deleted.collect();
        // Of several entries with the same size and mtime, always the same one is kept.
        deleted.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
        for deleted in deleted {
            if let Some(identity) = self.identity(&deleted.entry) {
                self.deleted.entry(identity).or_insert(deleted);
            }
        }
        self.bytes = self.deleted.values().map(|deleted| footprint(&deleted.entry)).sum();
    }

    fn identity_of(&self, stat: &Stat) -> Identity {
        (if self.ignore_inodes { 0 } else { stat.ino.into() }, stat.size, stat.mtime)
    }

    /// The identity of a recorded file; `None` if the file cannot be the source of a rename.
    fn identity(&self, entry: &Entry) -> Option<Identity> {
        let (ino, size, mtime) = identity(entry)?;
        Some((if self.ignore_inodes { 0 } else { ino }, size, mtime))
    }

    /// The deleted entries that were not found under another path, in path order.
    pub fn into_deleted(self) -> Vec<Entry> {
        let gone = self.deleted.into_values().filter(|deleted| !deleted.found);
        let mut gone: Vec<Entry> = gone.map(|deleted| deleted.entry).collect();
        gone.sort_by(|a, b| a.path.cmp(&b.path));
        gone
    }
}

/// Adds `entry` to one of the maps of [`RenameSources`], if there is room and no other entry has its identity.
fn remember<T>(
    sources: &mut HashMap<Identity, T>,
    bytes: &mut usize,
    entry: &Entry,
    source: impl FnOnce(Entry) -> T,
) {
    let size = footprint(entry);
    if sources.len() >= SOURCES_MAX || *bytes + size > SOURCES_BYTES_MAX {
        return;
    }
    if let Some(MapEntry::Vacant(free)) = identity(entry).map(|identity| sources.entry(identity)) {
        free.insert(source(entry.clone()));
        *bytes += size;
    }
}

/// About how much memory an entry takes, in bytes.
fn footprint(entry: &Entry) -> usize {
    size_of::<Entry>() + entry.heap_len()
}

/// The identity of a file; `None` for empty and dirty files and for entries that are not files.
fn identity(entry: &Entry) -> Option<Identity> {
    let file = entry.file().filter(|file| file.size > 0 && !entry.place.dirty)?;
    Some((entry.place.ino.unwrap_or(0), file.size, entry.meta.mtime))
}

/// The inodes with several names, apart from directories, of which the walk saw a name. The key is (device, inode).
pub type LinkCounts = HashMap<(u64, u64), LinkedInode>;

/// The names of an inode.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkedInode {
    /// How many names the walk saw. The second pass counts down.
    pub names: u32,
    /// The second pass has stored an entry of the inode, which is at this offset of a temporary file.
    pub stored_at: Option<u64>,
}

/// The archives that the entries of the parent name, as numbers of the parent, in the order of their first use.
#[derive(Default)]
pub struct NamedArchives {
    pub order: Vec<u32>,
    seen: HashSet<u32>,
}

impl NamedArchives {
    fn add(&mut self, recorded: &Recorded) {
        for range in recorded.ranges() {
            // Most entries name the archive that the entry before named.
            if self.order.last() != Some(&range.archive) && self.seen.insert(range.archive) {
                self.order.push(range.archive);
            }
        }
    }
}

/// The results of the first pass.
pub struct Scan {
    pub tasks: Tasks,
    pub rename_sources: RenameSources,
    pub stored_contents: StoredContents<'static>,
    /// Knows the contents that the store has lost. `None` if nothing is lost.
    pub lost_files: Option<LostFiles>,
    /// The lost parts of archives that entries of the parent need, by the numbers of their files.
    pub needed_parts: HashSet<u32>,
    /// `Some` if the parent has every path of the source, the source has every path of the parent, and nothing changed:
    /// then every task is [`Task::Carry`].
    pub all_carried: Option<NamedArchives>,
    pub links: LinkCounts,
    pub devices: Devices,
    pub inodes_unstable: bool,
    pub entries: u64,
    /// Bytes the second pass will probably read.
    pub bytes: u64,
    /// The source holds nothing but its root.
    pub empty: bool,
    /// The errno of a failed look at the root, or of a listing of the root that broke off.
    pub root_trouble: Option<i32>,
    /// Paths that the snapshot leaves out.
    pub omissions: Omissions,
}

/// Counts the files whose size and times equal the parent's, with the same or another inode. If most have
/// another inode, the file system's inode numbers are unstable.
#[derive(Default)]
struct InodeTally {
    same: u64,
    other: u64,
}

/// With fewer files than this, the tally proves nothing about a file system's inodes.
const TALLY_MIN: u64 = 8;

impl InodeTally {
    /// True if inode numbers are unstable. `before`: they were unstable when the last snapshot was made.
    fn is_unstable(&self, before: bool) -> bool {
        match before {
            true => self.same == 0 || self.other > 0 && (self.same < TALLY_MIN || self.other >= self.same),
            false => self.other >= TALLY_MIN && self.other > self.same,
        }
    }
}

/// The walk over the source of a backup. Leaves out the places in `own`. Threads of `pool` walk, unless the caller's
/// filter decides about entries.
pub fn source_walk(root: &Dir, own: &OwnPlaces, pool: &Arc<Pool>, job: &Job) -> Result<Walk> {
    let root = root.try_clone().map_err(|e| Error::own("open the source again", &e))?;
    let excludes = Excludes::new(&job.options.excludes, &job.options.exclude_file)?;
    let options = WalkOptions::new(job.options, own.ids());
    // The filter runs in this thread, and before the walk enters a directory.
    Ok(match job.has_filter() {
        true => Walk::new(root, excludes, options),
        false => Walk::parallel(root, excludes, options, pool.clone()),
    })
}

/// Scans the source at `root`, for a full if `full` is true. `walk` and `own` are of [`source_walk`].
pub fn scan(
    root: Dir,
    (walk, own): (Walk, OwnPlaces),
    parent: Option<(&mut StateReader, &Parent)>,
    (guard, full): (&Guard, bool),
    job: &mut Job,
) -> Result<Scan> {
    job.phase(Phase::Scan, 0, 0)?;
    let mut source = Findings {
        root,
        devices: Devices::default(),
        choice: Choice::new(ListedPaths::new(&job.options.source_paths).map(Arc::new)),
        walk,
        next: None,
        links: LinkCounts::new(),
        names: 0,
        root_trouble: None,
        omissions: Omissions::default(),
        own,
        job,
    };
    let mut planner = TaskPlanner { contents: (!full).then(ContentScan::new), ..TaskPlanner::default() };
    let is_compared = parent.is_some();
    let mut tasks = TasksWriter::new();
    match parent {
        Some((state, parent)) => {
            planner.lost_files = parent.has_losses().then(LostFiles::new);
            planner.all_carried = (!full && planner.lost_files.is_none()).then(NamedArchives::default);
            compare(state, parent, &mut source, &mut planner, &mut tasks, guard)?;
        }
        None => {
            while let Some(finding) = source.next()? {
                tasks.push(&planner.created(finding))?;
            }
        }
    }
    let Findings { links, devices, names, root_trouble, omissions, job, .. } = source;
    let inodes_unstable = planner.tally.is_unstable(guard.ignore_inodes);
    if inodes_unstable {
        planner.rename_sources.ignore_inodes();
    }
    job.phase_done()?;
    if is_compared && !devices.all_keep_ctime() {
        job.log(Level::Info, "files are read where the file system keeps no ctime of its own");
    }
    Ok(Scan {
        tasks: tasks.finish(),
        rename_sources: planner.rename_sources,
        stored_contents: planner.contents.map_or_else(|| Ok(StoredContents::none()), ContentScan::finish)?,
        lost_files: planner.lost_files,
        needed_parts: planner.needed_parts,
        all_carried: planner.all_carried,
        links: links.into_iter().filter(|(_, inode)| inode.names > 1).collect(),
        devices,
        inodes_unstable,
        entries: names,
        bytes: planner.bytes,
        empty: names <= 1,
        root_trouble,
        omissions,
    })
}

/// Merges the parent's entries with the findings of the walk.
fn compare(
    state: &mut StateReader,
    parent: &Parent,
    source: &mut Findings,
    planner: &mut TaskPlanner,
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
        if let Some(recorded) = recorded.filter(|_| side != Side::New) {
            planner.add_recorded(recorded, records.offset(), parent)?;
        }
        let finding = if side == Side::Old { None } else { found.take() };
        let task = match (recorded.filter(|_| side != Side::New), finding) {
            // `devices` knows only the entries that the walk has seen so far. The second pass knows all of them.
            (Some(recorded), Some(finding)) => {
                planner.both(recorded, finding, parent, (guard, &source.devices))?
            }
            (Some(recorded), None) => {
                // A full finds no moved files.
                if planner.contents.is_some() {
                    planner.rename_sources.remember_deleted(&recorded.entry()?);
                }
                Task::Old
            }
            (None, Some(finding)) => planner.created(finding),
            (None, None) => return Ok(()),
        };
        match (recorded, &mut planner.all_carried) {
            (Some(recorded), Some(archives)) if task == Task::Carry => archives.add(recorded),
            _ => planner.all_carried = None,
        }
        tasks.push(&task)?;
        if side != Side::New {
            records.advance()?;
        }
        if side != Side::Old {
            found = source.next()?;
        }
    }
}

/// Chooses the task of each path, and collects facts that the second pass needs from its start.
#[derive(Default)]
struct TaskPlanner {
    rename_sources: RenameSources,
    /// `None` for a full, whose archive gets the content of every file.
    contents: Option<ContentScan>,
    /// As in [`Scan`].
    lost_files: Option<LostFiles>,
    needed_parts: HashSet<u32>,
    all_carried: Option<NamedArchives>,
    tally: InodeTally,
    bytes: u64,
}

impl TaskPlanner {
    /// Notes an entry of the parent. `line` is the offset of the entry's line.
    fn add_recorded(&mut self, recorded: &Recorded, line: u64, parent: &Parent) -> Result<()> {
        if let Some(lost) = &mut self.lost_files {
            parent.add_needed_parts(recorded, &mut self.needed_parts);
            if recorded.is_file() && !parent.has_recorded_content(recorded) {
                lost.add_content(recorded.hash_start());
            }
        }
        match &mut self.contents {
            Some(contents) => contents.add_recorded(recorded, line, parent),
            None => Ok(()),
        }
    }

    fn created(&mut self, finding: Finding) -> Task {
        self.will_read(file_size(&finding));
        Task::New(finding)
    }

    /// Notes a file that the second pass will probably read.
    fn will_read(&mut self, size: u64) {
        self.bytes = self.bytes.saturating_add(size);
        if let Some(contents) = &mut self.contents {
            contents.add_file(size);
        }
    }

    /// Chooses the task for a path that both the parent and the source have.
    fn both(
        &mut self,
        was: &Recorded,
        finding: Finding,
        parent: &Parent,
        (guard, devices): (&Guard, &Devices),
    ) -> Result<Task> {
        let PathState::Node { stat, broken, .. } = &finding.state else { return Ok(Task::Both(finding)) };
        let (then, now) = (was.facts(), facts(stat, devices));
        let unchanged = is_unchanged(&then, &now, guard);
        let is_file = stat.kind == FileType::File;
        let linked = may_be_linked(stat);
        let keeps = parent.keeps(was);
        if is_file {
            self.tally.count(&then, &now);
            if !unchanged || was.is_file() && !keeps {
                self.will_read(now.size);
            }
        }
        let same_file = guard.ignore_inodes || then.may_have_inode_of(&now);
        let replaced = was.is_file() && !same_file && (then.size, then.mtime) != (now.size, now.mtime);
        if replaced || linked && same_file && was.is_file() {
            self.rename_sources.remember_existing(&was.entry()?);
        }
        // The new state may need another hard link or inode number.
        let as_it_is = !linked && !was.is_linked() && same_file && broken.is_none();
        let carried = unchanged && as_it_is && keeps;
        Ok(if carried { Task::Carry } else { Task::Both(finding) })
    }
}

impl InodeTally {
    fn count(&mut self, then: &Facts, now: &Facts) {
        let is_known = then.ino.is_some();
        if is_known && (then.size, then.mtime, then.ctime) == (now.size, now.mtime, now.ctime) {
            let same = then.ino == now.ino;
            *(if same { &mut self.same } else { &mut self.other }) += 1;
        }
    }
}

/// True if the inode may have further names in the source.
fn may_be_linked(stat: &Stat) -> bool {
    stat.kind != FileType::Dir && stat.nlink > 1
}

fn file_size(finding: &Finding) -> u64 {
    match &finding.state {
        PathState::Node { stat, .. } if stat.kind == FileType::File => stat.size,
        _ => 0,
    }
}

/// The fields of a stat that change detection compares.
pub fn facts(stat: &Stat, devices: &Devices) -> Facts {
    let size = if stat.kind == FileType::File { stat.size } else { 0 };
    let no_ctime = !devices.keep_ctime(stat.dev);
    let Stat { mtime, ctime, ino, dev, .. } = *stat;
    Facts { kind: stat.kind, size, mtime, ctime, ino: Some(ino.into()), dev, no_ctime, dirty: false }
}

/// Turns the items of the walk into findings.
struct Findings<'j, 'o> {
    root: Dir,
    walk: Walk,
    choice: Choice,
    devices: Devices,
    /// The walk item after a directory. It was read to see whether the directory's listing broke off.
    next: Option<WalkItem>,
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
            if let Some(finding) = self.choice.next_included() {
                return self.counted(finding).map(Some);
            }
            let found = self.next.take().or_else(|| self.walk.next());
            let path = found.as_ref().map(WalkItem::path);
            self.choice.pass(path);
            while let Some(dir) = self.choice.left_out_before(path) {
                self.omissions.add(&dir, OmissionCause::LeftOut);
            }
            let Some(found) = found else {
                return self.choice.report_absent(&self.root, self.job).map(|()| None);
            };
            if let Some(finding) = self.finding(found)? {
                self.choice.include(finding);
            }
        }
    }

    /// Counts a finding that the backup takes in.
    fn counted(&mut self, finding: Finding) -> Result<Finding> {
        self.names += 1;
        if let (true, PathState::Unreadable(code) | PathState::Node { broken: Some(code), .. }) =
            (finding.path.is_root(), &finding.state)
        {
            self.root_trouble = Some(*code);
        }
        self.job.step(finding.path.as_bytes())?;
        Ok(finding)
    }

    /// Turns an entry into a finding. `None` if the filter leaves the entry out, or if the directory is withheld
    /// until an entry below it is included.
    fn entry(&mut self, walked: WalkedEntry) -> Result<Option<Finding>> {
        let is_dir = walked.stat.kind == FileType::Dir;
        let answer = self.choice.answer(&walked, self.job)?;
        if answer == FilterAnswer::LeaveOutAll {
            if is_dir {
                self.walk.skip_dir();
            }
            self.omissions.add(&walked.path, OmissionCause::LeftOut);
            self.job.pulse()?;
            return Ok(None);
        }
        let WalkedEntry { path, stat, target } = walked;
        let broken = if is_dir { self.broken_after()? } else { None };
        self.devices.see(&self.root, &path, &stat);
        if may_be_linked(&stat) {
            self.links.entry(stat.id()).or_default().names += 1;
        }
        let state = PathState::Node { stat, target: target.unwrap_or_default(), broken };
        let finding = Finding { path, state };
        // The entries of a directory that cannot be listed may be wanted, so the directory is not left out.
        if answer == FilterAnswer::LeaveOut && broken.is_none() {
            self.choice.withhold(finding);
            return Ok(None);
        }
        Ok(Some(finding))
    }

    /// Turns a walk item into a finding. `None` for a note, which is reported at once, and for an omission, which is
    /// recorded.
    fn finding(&mut self, found: WalkItem) -> Result<Option<Finding>> {
        let (path, state) = match found {
            WalkItem::Entry(walked) => return self.entry(walked),
            WalkItem::Unreadable { path, error } => {
                (path, PathState::Unreadable(error.raw_os_error().unwrap_or(libc::EIO)))
            }
            WalkItem::Vanished { path } => (path, PathState::Vanished),
            WalkItem::Socket { path, stat } if !self.choice.is_withholding() => {
                (path, PathState::Socket(stat))
            }
            WalkItem::Excluded { path } | WalkItem::Socket { path, .. } => {
                self.omissions.add(&path, OmissionCause::LeftOut);
                self.job.pulse()?;
                return Ok(None);
            }
            WalkItem::LeftOut { path, id } => {
                self.omissions.add(&path, OmissionCause::LeftOut);
                let what = self.own.what(id).unwrap_or(RESTORE_TEMP);
                let error = Error::new(Kind::Unsupported, "back up", what).at(&path);
                self.job.trouble(ProblemKind::Skipped, path.as_bytes(), error)?;
                return Ok(None);
            }
            WalkItem::Unlisted { path } => {
                self.omissions.add_all(&path, OmissionCause::LeftOut);
                return Ok(None);
            }
            WalkItem::Shortage { path, error } => return Err(Error::io("look at", &path, &error)),
            WalkItem::Broken { .. } => {
                return Err(Error::new(Kind::Panic, "walk", "a broken listing without its directory"));
            }
            WalkItem::Note { path, message } => {
                let error = Error::new(Kind::InvalidArg, "use the exclude file in", message).at(&path);
                self.job.trouble(ProblemKind::Unreadable, path.as_bytes(), error)?;
                return Ok(None);
            }
        };
        Ok(Some(Finding { path, state }))
    }

    /// Reads the next walk item. Returns the errno if this item says that the directory's listing broke off. Notes
    /// before this item are reported at once.
    fn broken_after(&mut self) -> Result<Option<i32>> {
        loop {
            match self.walk.next() {
                Some(WalkItem::Broken { error, .. }) => {
                    return Ok(Some(error.raw_os_error().unwrap_or(libc::EIO)));
                }
                Some(note @ WalkItem::Note { .. }) => {
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
    fn rename_sources_take_a_bounded_amount_of_memory() {
        let entry = |ino: u128| {
            let file = File { size: 1, hash: Hash::UNKNOWN, holes: vec![(0, 1); 1000] };
            let xattrs = vec![(b"user.large".to_vec(), vec![7; 1 << 16])];
            let meta = Metadata { xattrs, ..Metadata::default() };
            let path = Path::new(format!("{ino}").into_bytes()).unwrap();
            Entry::new(path, Node::File(file), meta, Place { ino: Some(ino), ..Place::default() })
        };
        let mut sources = RenameSources::default();
        for ino in 0..2000 {
            sources.remember_deleted(&entry(2 * ino));
            sources.remember_existing(&entry(2 * ino + 1));
        }
        let held = || sources.deleted.len() + sources.existing.len();
        let each = (1 << 16) + 16_000;
        assert!((500..=SOURCES_BYTES_MAX / each).contains(&held()), "{}", held());
        let before = held();
        sources.forget(&entry(0));
        sources.remember_deleted(&entry(4000));
        assert_eq!(sources.deleted.len() + sources.existing.len(), before);
        assert!(sources.awaits(&entry(4000)) && !sources.awaits(&entry(0)));
    }
}
