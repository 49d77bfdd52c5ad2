//! The second pass. Each path of the parent and of the source, in order, becomes an entry of the new state or
//! counts as deleted.

mod full;
mod nodes;
mod sockets;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::commit::{Checkpoints, NewArchiveKind, NewArchives, NewState};
use crate::delta::FineSearch;
use crate::entry::{Entry, FileType, HardLink, Node, Path, is_within};
use crate::error::{Error, Kind, Result, is_shortage};
use crate::format::{OmissionCause, Recorded, Records, Special, StateReader, Totals};
use crate::job::{Counter, Job, Phase, ProblemKind, change};
use crate::platform::{self, Names, Stat};
use crate::pool::Pool;
use crate::state::{Facts, Guard, Pair, is_unchanged};
use crate::store::Store;
use crate::walk::{Devices, Source};

use super::content::FileStorer;
use super::file_prefetcher::{FilePrefetcher, PrefetchedFile};
use super::heal::LostPart;
use super::heal_report::{LossCause, LostFiles, report_healed, report_lost};
use super::links::Links;
use super::new_entry::{NewEntry, StoredAs, judge, leave_inode_out, same_content, special};
use super::open_dirs::OpenDirs;
use super::parent::Parent;
use super::reading::{FileError, FileResult};
use super::scan::{NamedArchives, RenameSources, Scan, facts};
use super::small::{self, IN_MEMORY};
use super::stored_contents::{StoredContents, start_of};
use super::tasks::{Finding, PathState, Task, Tasks};

/// At most this many steps wait to be completed.
const STEPS_MAX: usize = 1024;

/// The second pass and everything that it uses.
pub struct Run<'r, 'j> {
    pub job: &'r mut Job<'j>,
    pub store: &'r mut dyn Store,
    pub source: Source,
    pub parent: Option<Parent>,
    pub archives: NewArchives,
    pub state: NewState,
    /// Publishes the partial states of a long full; else `None`.
    pub checkpoints: Option<Checkpoints>,
    pub guard: Guard,
    pool: Arc<Pool>,
    /// Reads the files of `steps`.
    prefetcher: FilePrefetcher,
    /// The steps that wait to be completed, in path order.
    steps: VecDeque<PendingStep>,
    names: Names,
    devices: Arc<Devices>,
    links: Links,
    rename_sources: RenameSources,
    stored_contents: StoredContents<'r>,
    /// Inode numbers are unstable, and this is an increment: new entries get no inode number.
    without_inodes: bool,
    /// The directories in which an entry may be carried forward.
    open_dirs: OpenDirs,
    /// Paths that could not be read whole. A missing path below them may still exist, so it does not count as
    /// deleted.
    unseen: Vec<Path>,
    /// The parent's entry of the path that is being completed, until the path has a new entry.
    old_here: Option<Entry>,
    /// Lost contents whose paths have no new entry. `None` if nothing is lost.
    lost_files: Option<LostFiles>,
    buf: Vec<u8>,
}

/// A path of the parent, the source or both that has no new entry yet.
enum PendingStep {
    Carry(Recorded),
    Pair {
        pair: Pair<Entry, Finding>,
        /// The prefetcher has the file: its next result belongs to this step.
        prefetched: bool,
    },
}

/// A parent entry whose content may have another path now.
struct RenameSource {
    entry: Entry,
    /// The path of the entry is gone. If the content is the same, the file was moved.
    deleted: bool,
}

impl<'r, 'j> Run<'r, 'j> {
    #[allow(clippy::too_many_arguments)] // The parts of one run, each made by another step.
    pub fn new(
        job: &'r mut Job<'j>,
        store: &'r mut dyn Store,
        pool: Arc<Pool>,
        source: Source,
        parent: Option<Parent>,
        archives: NewArchives,
        mut state: NewState,
        guard: Guard,
        scan: &mut Scan,
    ) -> Self {
        *state.omissions() = std::mem::take(&mut scan.omissions);
        let devices = Arc::new(std::mem::take(&mut scan.devices));
        let mut stored_contents = std::mem::replace(&mut scan.stored_contents, StoredContents::none());
        if archives.is_full() {
            // A full takes over a content only for the path that the partial state has it for.
            stored_contents = StoredContents::none();
            scan.rename_sources = RenameSources::default();
        }
        Run {
            without_inodes: scan.inodes_unstable && !archives.is_full(),
            lost_files: scan.lost_files.take(),
            job,
            store,
            prefetcher: FilePrefetcher::new(
                pool.clone(),
                source.another(),
                devices.clone(),
                archives.signing,
            ),
            pool,
            steps: VecDeque::new(),
            source,
            parent,
            archives,
            state,
            checkpoints: None,
            guard,
            names: Names::new(),
            devices,
            links: Links::new(std::mem::take(&mut scan.links)),
            rename_sources: std::mem::take(&mut scan.rename_sources),
            stored_contents,
            open_dirs: OpenDirs::default(),
            unseen: Vec::new(),
            old_here: None,
            buf: Vec::new(),
        }
    }

    /// Makes the new entries of all paths, then reports the deleted entries.
    pub fn go(&mut self, parent: Option<&'r mut StateReader>, scan: Scan) -> Result<()> {
        self.job.phase(Phase::Read, scan.entries, scan.bytes)?;
        let trailer = parent.as_ref().map(|parent| Arc::clone(parent.trailer()));
        match scan.all_carried.zip(trailer) {
            Some((archives, parent)) if self.state.keep_all(&parent) => {
                self.carry_all(&archives, &parent.totals)
            }
            _ => self.run(parent, scan.tasks)?,
        }
        for entry in std::mem::take(&mut self.rename_sources).into_deleted() {
            self.gone(&entry)?;
        }
        if let Some(parent) = &mut self.parent {
            if let Some(lost) = self.lost_files.take() {
                lost.report(|old| parent.loss_kind(old), self.job)?;
            }
            let pointed = self.stored_contents.take_pointed();
            pointed.check(parent, self.store, &self.pool, self.job)?;
        }
        self.job.phase_done()
    }

    /// Takes over all entries of the parent without a change.
    fn carry_all(&mut self, named: &NamedArchives, parent: &Totals) {
        for number in &named.order {
            self.archives.inherit_one(*number);
        }
        self.job.skip(parent.entries);
        let report = &mut self.job.report;
        report.count(Counter::Entries, parent.entries);
        report.count(Counter::Bytes, parent.bytes);
        report.count(Counter::Unchanged, parent.entries);
    }

    /// Completes the tasks in order, and prefetches enough files to keep the workers busy.
    fn run(&mut self, parent: Option<&'r mut StateReader>, mut tasks: Tasks) -> Result<()> {
        let parent = parent.map(StateReader::recorded_and_lookup).transpose()?;
        let (mut records, lookup) = parent.unzip();
        self.stored_contents.lines = lookup;
        loop {
            while self.steps.len() < STEPS_MAX && !self.prefetcher.is_busy() {
                let step = match tasks.next().transpose()? {
                    None => break,
                    Some(Task::Carry) if self.steps.is_empty() => {
                        self.carry(next(&mut records)?)?;
                        continue;
                    }
                    Some(Task::Carry) => PendingStep::Carry(next(&mut records)?.clone()),
                    Some(Task::Old) if self.archives.is_full() => {
                        self.leave_behind(next(&mut records)?.size());
                        continue;
                    }
                    Some(Task::Old) => self.plan(Pair::Old(next(&mut records)?.entry()?))?,
                    Some(Task::New(finding)) => self.plan(Pair::New(finding))?,
                    Some(Task::Both(finding)) => {
                        let pair = self.pair(next(&mut records)?.entry()?, finding);
                        self.plan(pair)?
                    }
                };
                self.steps.push_back(step);
            }
            match self.steps.pop_front() {
                Some(PendingStep::Carry(recorded)) => self.carry(&recorded)?,
                Some(PendingStep::Pair { pair, prefetched }) => {
                    self.old_here = old_of(&pair).cloned();
                    self.complete(pair, prefetched)?;
                    if let Some(old) = self.old_here.take() {
                        self.state.gone(&old.path)?;
                    }
                    self.checkpoint()?;
                }
                None => return Ok(()),
            }
        }
    }

    fn plan(&mut self, pair: Pair<Entry, Finding>) -> Result<PendingStep> {
        let prefetched = self.prefetch(&pair)?;
        Ok(PendingStep::Pair { pair, prefetched })
    }

    /// Writes the parent's entry again without a change.
    fn carry(&mut self, recorded: &Recorded) -> Result<()> {
        if self.archives.is_full() {
            return self.take_over(recorded);
        }
        let path = recorded.path();
        self.job.step(path)?;
        self.leave_unseen(path);
        self.open_dirs.pass(path, recorded.is_dir());
        if let Some(lost) = &mut self.lost_files {
            lost.note_content(recorded.hash_start());
        }
        let archives = &mut self.archives;
        self.state.keep(recorded, |parents| archives.inherit_one(parents))?;
        self.count(recorded.size(), Some(Counter::Unchanged));
        Ok(())
    }

    fn count(&mut self, size: u64, counter: Option<Counter>) {
        let report = &mut self.job.report;
        report.count(Counter::Entries, 1);
        report.count(Counter::Bytes, size);
        if let Some(counter) = counter {
            report.count(counter, 1);
        }
    }

    /// Hands a small file that will probably be stored to a worker, and returns whether it did. The choice is
    /// a guess: [`Run::file`] decides again after the steps before this one are completed.
    fn prefetch(&mut self, pair: &Pair<Entry, Finding>) -> Result<bool> {
        let (old, finding) = match pair {
            Pair::Old(_) => return Ok(false),
            Pair::New(finding) => (None, finding),
            Pair::Both(old, finding) => (Some(old), finding),
        };
        let PathState::Node { stat, .. } = &finding.state else { return Ok(false) };
        let small = stat.kind == FileType::File && stat.size <= IN_MEMORY;
        if !small || self.links.has_several(stat) {
            return Ok(false);
        }
        let usable = old.filter(|old| self.has_content(old));
        if usable.is_some_and(|old| self.seems_unchanged(old, stat) && !self.lacks_signature(old)) {
            return Ok(false);
        }
        let origin = self.rename_source(stat, usable);
        let old = origin.as_ref().map(|origin| &origin.entry).or(usable);
        let old = self.storing().old(old, stat)?;
        Ok(self.prefetcher.add(&finding.path, stat.size, old))
    }

    fn complete(&mut self, pair: Pair<Entry, Finding>, prefetched: bool) -> Result<()> {
        let prefetched = if prefetched { self.prefetcher.next() } else { None };
        let prefetched = prefetched.filter(|file| !file.is_short());
        let (old, finding) = match pair {
            Pair::Old(old) => return self.unseen_entry(old),
            Pair::New(finding) => (None, finding),
            Pair::Both(old, finding) => (Some(old), finding),
        };
        self.job.step(finding.path.as_bytes())?;
        let Finding { path, state } = finding;
        match state {
            PathState::Node { stat, target, broken } => {
                self.report_broken(&path, broken)?;
                match (stat.kind, old) {
                    (FileType::File, Some(old)) if self.archives.is_full() => {
                        self.take_over_file(&path, &stat, old)
                    }
                    (FileType::File, old) => self.file(&path, &stat, old, prefetched),
                    (_, old) => self.node(&path, &stat, (target, broken.is_some()), old),
                }
            }
            PathState::Unreadable(code) => {
                let error = io::Error::from_raw_os_error(code);
                self.unreadable(&path, "look at", &error, old)?;
                self.unseen.push(path);
                Ok(())
            }
            PathState::Vanished => self.vanished(&path, old),
            PathState::Socket(stat) => self.socket(&path, &stat, old),
        }
    }

    /// Handles a parent path that the walk did not find. The path is deleted, unless its directory was not
    /// read whole.
    fn unseen_entry(&mut self, old: Entry) -> Result<()> {
        self.leave_unseen(old.path.as_bytes());
        if self.unseen.is_empty() {
            return if self.rename_sources.awaits(&old) { Ok(()) } else { self.gone(&old) };
        }
        let detail = "its directory could not be read; its last version was kept";
        let error = Error::new(Kind::Io, "read", detail).at(&old.path);
        self.job.trouble(ProblemKind::Unreadable, old.path.as_bytes(), error)?;
        self.rename_sources.forget(&old);
        self.carry_forward(old, true)
    }

    fn leave_unseen(&mut self, path: &[u8]) {
        while self.unseen.last().is_some_and(|dir| !is_within(path, dir.as_bytes())) {
            self.unseen.pop();
        }
    }

    /// Counts an entry of the parent as deleted.
    fn gone(&mut self, old: &Entry) -> Result<()> {
        self.lose(old)?;
        self.replaced(old)
    }

    /// Notes that the path of `old` has no new version of the entry, whose content may be lost.
    fn lose(&mut self, old: &Entry) -> Result<()> {
        let is_lost = self.is_lost(old);
        self.lost_files.as_mut().filter(|_| is_lost).map_or(Ok(()), |lost| lost.add(old))
    }

    /// Like [`Run::gone`], for an entry whose path has another file now.
    fn replaced(&mut self, old: &Entry) -> Result<()> {
        self.job.report.count(Counter::Deleted, 1);
        self.job.change(change::DELETED, Some(old), None)
    }

    fn vanished(&mut self, path: &Path, old: Option<Entry>) -> Result<()> {
        let error = Error::new(Kind::NotFound, "read", "it vanished during the backup").at(path);
        self.job.trouble(ProblemKind::Vanished, path.as_bytes(), error)?;
        // The file may come back: some programs replace a file by removing it first.
        self.state.omissions().add(path, OmissionCause::Unread);
        old.map_or(Ok(()), |old| self.gone(&old))
    }

    /// Reports the problem, and keeps the parent's version if there is one.
    fn unreadable(&mut self, path: &Path, op: &str, error: &io::Error, old: Option<Entry>) -> Result<()> {
        let error = Error::io(op, path, error);
        self.job.trouble(ProblemKind::Unreadable, path.as_bytes(), error)?;
        match old {
            Some(old) => self.carry_forward(old, true),
            None => {
                self.state.omissions().add(path, OmissionCause::Unread);
                Ok(())
            }
        }
    }

    /// Keeps the parent's entry, and marks it if it is `dirty`: a restore treats it like other entries, and the next
    /// backup reads the file again. An entry whose content is lost is kept too, because the store may get the content
    /// back; the next backup does not use that content.
    fn carry_forward(&mut self, old: Entry, dirty: bool) -> Result<()> {
        if !old.path.parent().is_none_or(|dir| self.open_dirs.has(dir)) {
            // The path of its directory is now something else.
            self.state.omissions().add(&old.path, OmissionCause::Unread);
            return self.gone(&old);
        }
        let is_lost = self.is_lost(&old);
        let kind = self.parent.as_ref().map_or(Kind::Corrupt, |parent| parent.loss_kind(&old));
        let Some(parent) = self.parent.as_mut().filter(|parent| parent.can_keep(&old)) else {
            self.state.omissions().add(&old.path, OmissionCause::Unread);
            return report_lost(&old.path, LossCause::Dropped, kind, self.job);
        };
        if is_lost {
            report_lost(&old.path, LossCause::Kept, kind, self.job)?;
        } else {
            note_content(&mut self.lost_files, &old);
        }
        let mut entry = old.clone();
        (entry.place.content, entry.place.sig) =
            parent.carry(&mut self.archives, self.store, &old, &old.path, self.job)?;
        entry.place.dirty |= dirty;
        entry.link = HardLink::Single;
        self.write(NewEntry { entry, counter: None, change: change::KEPT }, Some(&old))
    }

    /// Reports a listing that broke off. Below that directory no missing path counts as deleted.
    fn report_broken(&mut self, path: &Path, broken: Option<i32>) -> Result<()> {
        self.leave_unseen(path.as_bytes());
        let Some(code) = broken else { return Ok(()) };
        let error = Error::io("list", path, &io::Error::from_raw_os_error(code));
        self.job.trouble(ProblemKind::Unreadable, path.as_bytes(), error)?;
        self.unseen.push(path.clone());
        Ok(())
    }

    /// Takes over the parent's entry. Only the inode number comes from `stat`, because it may have changed.
    fn unchanged(&mut self, mut entry: Entry, stat: &Stat) -> Result<()> {
        if let Some(parent) = &mut self.parent {
            (entry.place.content, entry.place.sig) =
                parent.carry(&mut self.archives, self.store, &entry, &entry.path, self.job)?;
        }
        entry.place.ino = Some(stat.ino.into());
        self.write_linked(NewEntry { entry, counter: Some(Counter::Unchanged), change: 0 }, stat, None)
    }

    fn file(
        &mut self,
        path: &Path,
        stat: &Stat,
        old: Option<Entry>,
        prefetched: Option<PrefetchedFile>,
    ) -> Result<()> {
        if let Some(first) = self.first_name(path, stat)? {
            return self.link(path, stat, first, old.as_ref());
        }
        let usable = old.as_ref().is_some_and(|old| self.has_content(old));
        let unchanged = usable && old.as_ref().is_some_and(|old| self.seems_unchanged(old, stat));
        let old = match old {
            Some(old) if unchanged && !self.lacks_signature(&old) => return self.unchanged(old, stat),
            old => old,
        };
        let stored = self.store_file(path, stat, old.as_ref().filter(|_| usable), prefetched);
        match (stored, old) {
            (Ok((entry, outcome, origin)), old) => {
                // A lost content that is stored again is no change of the file.
                let again = !usable && same_content(&entry, old.as_ref());
                let outcome = if again { StoredAs::Same } else { outcome };
                let origin = origin.or_else(|| self.moved_lost(stat, &entry).filter(|_| old.is_none()));
                self.stored(entry, outcome, origin, stat, old)
            }
            (Err(FileError::Fatal(error)), _) => Err(error),
            // The file was read for its signature alone.
            (Err(FileError::Source(error)), Some(old)) if unchanged && !is_shortage(&error) => {
                self.unchanged(old, stat)
            }
            (Err(FileError::Source(error)), old) if error.kind() == io::ErrorKind::NotFound => {
                self.vanished(path, old)
            }
            (Err(FileError::Source(error)), old) => self.unreadable(path, "read", &error, old),
        }
    }

    /// Finds the parent entry of another path, now gone, that had the content of `entry` and whose content is lost in
    /// the store: the file was moved, and its content was stored again.
    fn moved_lost(&self, stat: &Stat, entry: &Entry) -> Option<RenameSource> {
        let (source, deleted) = self.rename_sources.find(stat, None)?;
        let is_it = deleted && self.is_lost(source) && same_content(entry, Some(source));
        is_it.then(|| RenameSource { entry: source.clone(), deleted })
    }

    /// Opens an entry of the source. If no descriptor is left, first closes the directories that the prefetcher holds.
    fn open<T>(&mut self, open: impl Fn(&mut Source) -> io::Result<T>) -> io::Result<T> {
        match open(&mut self.source) {
            Err(error) if is_shortage(&error) => {
                self.prefetcher.close_dirs();
                platform::patiently(is_shortage, || open(&mut self.source))
            }
            opened => opened,
        }
    }

    /// Whether `old` is a file whose content the store still has.
    fn has_content(&self, old: &Entry) -> bool {
        old.file().is_some() && self.parent.as_ref().is_some_and(|parent| parent.has_content(old))
    }

    /// Whether an entry with this stat is as the parent recorded it.
    fn seems_unchanged(&self, old: &Entry, stat: &Stat) -> bool {
        is_unchanged(&Facts::of(old), &facts(stat, &self.devices), &self.guard)
    }

    /// Whether the store has lost the content of `old`. An entry of an unknown type may have content, too.
    fn is_lost(&self, old: &Entry) -> bool {
        self.parent.as_ref().is_some_and(|parent| !parent.has_content(old))
    }

    /// Whether `old` is a file whose signature is lost and is to be made again.
    fn lacks_signature(&self, old: &Entry) -> bool {
        self.parent.as_ref().is_some_and(|parent| parent.lacks_signature(old))
    }

    /// Notes that the lost content or signature of `old` was stored again for `entry`, or reports that it was not.
    fn report_healed(&mut self, old: &Entry, entry: &Entry) -> Result<()> {
        if self.is_lost(old) {
            // The words also agree if the old file has a hash of an unknown algorithm.
            return match entry.node.word() == old.node.word() {
                true => report_healed(&entry.path, LostPart::Content, self.job),
                false => self.lose(old),
            };
        }
        let is_signed = self.lacks_signature(old) && entry.place.sig.is_some();
        match is_signed && same_content(entry, Some(old)) {
            true => report_healed(&entry.path, LostPart::Signature, self.job),
            false => Ok(()),
        }
    }

    /// Finds a parent entry of another path that may have the content of this file. `old` is the parent entry
    /// of this path. If the file was certainly not moved, the result is `None`.
    fn rename_source(&self, stat: &Stat, old: Option<&Entry>) -> Option<RenameSource> {
        let (entry, deleted) = self.rename_sources.find(stat, old)?;
        // A file that replaces another one counts as a change of its path, not as a move.
        let deleted = deleted && old.is_none();
        self.has_content(entry).then(|| RenameSource { entry: entry.clone(), deleted })
    }

    fn storing(&mut self) -> FileStorer<'_, 'j, 'r> {
        FileStorer {
            job: self.job,
            store: self.store,
            parent: self.parent.as_mut(),
            archives: &mut self.archives,
            names: &mut self.names,
            pool: &self.pool,
            devices: &self.devices,
            stored: &mut self.stored_contents,
            buf: &mut self.buf,
        }
    }

    /// Stores a file that was prefetched, or reads it now. Also returns the parent entry of another path, if
    /// the content is the same.
    fn store_file(
        &mut self,
        path: &Path,
        stat: &Stat,
        old: Option<&Entry>,
        prefetched: Option<PrefetchedFile>,
    ) -> FileResult<(Entry, StoredAs, Option<RenameSource>)> {
        let origin = self.rename_source(stat, old);
        let basis = origin.as_ref().map(|origin| &origin.entry).or(old);
        let prefetched = match prefetched {
            None if stat.size <= IN_MEMORY => Some(self.read_now(path, stat, basis)?),
            prefetched => prefetched,
        };
        let small = prefetched.map(|file| Ok::<_, FileError>((file.small?, file.buffer))).transpose()?;
        let (entry, outcome) = match small {
            Some((Some(small), buffer)) => {
                let bytes = &buffer[small.bytes.clone()];
                self.storing().store_small(path, small, bytes, basis)?
            }
            _ => {
                let file = self.open(|source| source.open(path))?;
                self.storing().store_large(path, &file, basis)?
            }
        };
        match outcome {
            StoredAs::Whole => self.stored_contents.add(&entry, None)?,
            StoredAs::Delta => self.stored_contents.add(&entry, basis)?,
            StoredAs::Same | StoredAs::Elsewhere => {}
        }
        let found = origin.filter(|_| outcome == StoredAs::Same);
        let is_others = found.is_some() && old.is_some() && !same_content(&entry, old);
        Ok((entry, if is_others { StoredAs::Whole } else { outcome }, found))
    }

    /// Reads a small file that was not prefetched.
    fn read_now(&mut self, path: &Path, stat: &Stat, old: Option<&Entry>) -> FileResult<PrefetchedFile> {
        let file = self.open(|source| source.open(path))?;
        let old = self.storing().old(old, stat)?;
        let mut buffer = Vec::new();
        let (signing, search) = (self.archives.signing, &mut FineSearch::default());
        let small = small::read(&file, &self.devices, old.as_ref(), signing, &mut buffer, search);
        Ok(PrefetchedFile { small, buffer: Arc::new(buffer) })
    }

    fn stored(
        &mut self,
        entry: Entry,
        outcome: StoredAs,
        origin: Option<RenameSource>,
        stat: &Stat,
        old: Option<Entry>,
    ) -> Result<()> {
        let Some(origin) = origin.filter(|origin| origin.deleted) else {
            let made = judge(entry, old.as_ref(), outcome);
            return self.write_linked(made, stat, old.as_ref());
        };
        self.rename_sources.found(stat);
        if let Some(old) = &old {
            self.replaced(old)?;
        }
        if self.is_lost(&origin.entry) {
            report_healed(&entry.path, LostPart::Content, self.job)?;
        }
        let made = NewEntry { entry, counter: Some(Counter::Moved), change: change::MOVED };
        self.write_linked(made, stat, Some(&origin.entry))
    }

    /// The entry of an earlier name of this inode, if the inode has not changed since that entry was stored.
    fn first_name(&mut self, path: &Path, stat: &Stat) -> Result<Option<Entry>> {
        let Some(stored) = self.links.stored(stat)? else { return Ok(None) };
        let is_same =
            |now: Stat| (now.id(), now.kind) == (stat.id(), stat.kind) && now.ctime == stored.place.ctime;
        Ok(self.open(|source| source.stat(path)).is_ok_and(is_same).then_some(stored))
    }

    /// Writes a further name of an inode. A full's archive gets the name as a hard link.
    fn link(&mut self, path: &Path, stat: &Stat, stored: Entry, old: Option<&Entry>) -> Result<()> {
        let first = stored.first_name().unwrap_or(&stored.path).clone();
        if self.archives.is_full() && stored.file().is_some() {
            let writer = self.archives.writer(self.store, NewArchiveKind::Whole)?;
            writer.add_node(path, &stored.meta, Special::HardLink(&stored.path))?;
        }
        let entry = Entry { path: path.clone(), link: HardLink::Further(first), ..stored };
        let same = entry.file().is_none() || same_content(&entry, old);
        self.links.linked(stat);
        self.write(judge(entry, old, if same { StoredAs::Same } else { StoredAs::Whole }), old)
    }

    /// Writes an entry whose content and metadata are stored under this name, with its hard link.
    fn write_linked(&mut self, mut made: NewEntry, stat: &Stat, old: Option<&Entry>) -> Result<()> {
        self.links.join(&mut made.entry, stat)?;
        self.write(made, old)
    }

    /// Writes an entry to the state and reports the change.
    fn write(&mut self, made: NewEntry, old: Option<&Entry>) -> Result<()> {
        let NewEntry { mut entry, counter, change } = made;
        self.open_dirs.pass(entry.path.as_bytes(), entry.node == Node::Dir);
        if let Some(special) = special(&entry).filter(|_| self.archives.is_full()) {
            let writer = self.archives.writer(self.store, NewArchiveKind::Whole)?;
            writer.add_node(&entry.path, &entry.meta, special)?;
        }
        let old_here = self.old_here.take();
        if let Some(old) = old_here.as_ref().filter(|_| change != change::KEPT) {
            self.report_healed(old, &entry)?;
        }
        if change != change::KEPT {
            note_content(&mut self.lost_files, &entry);
        }
        let old_here = old_here.and_then(|old| self.archives.as_inherited(old));
        if self.without_inodes {
            leave_inode_out(&mut entry, old_here.as_ref());
        }
        self.state.entry(&entry, old_here.as_ref())?;
        self.count(entry.size(), counter);
        if change != 0 {
            self.job.change(change, old, Some(&entry))?;
        }
        Ok(())
    }
}

/// Notes that the new state has the content of `entry`, which is not lost.
fn note_content(lost_files: &mut Option<LostFiles>, entry: &Entry) {
    if let Some(lost) = lost_files {
        lost.note_content(entry.file().map(|file| start_of(&file.hash)));
    }
}

/// The parent's entry of a step's path.
fn old_of(pair: &Pair<Entry, Finding>) -> Option<&Entry> {
    match pair {
        Pair::Old(old) | Pair::Both(old, _) => Some(old),
        Pair::New(_) => None,
    }
}

/// Reads the next entry of the parent. The first pass has read the same entries, so an early end is a bug.
fn next<'r>(records: &'r mut Option<Records<'_>>) -> Result<&'r Recorded> {
    let next = match records {
        Some(records) => records.advance()?,
        None => None,
    };
    next.ok_or_else(|| Error::new(Kind::Panic, "read the state", "it has ended early"))
}
