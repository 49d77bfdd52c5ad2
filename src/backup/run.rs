//! The second pass: every path of the parent and the source, in order, becomes an entry of the new state,
//! or is gone.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;

use crate::entry::{Entry, Metadata, Node, Path, Place};
use crate::error::{Error, Kind, Result};
use crate::format::{Special, StateReader, StateWriter};
use crate::job::{change, Counter, Job, Phase, ProblemKind};
use crate::platform::{self, FileKind, Names, Stat};
use crate::state::{is_unchanged, same_metadata, Guard, Merge, Pair};
use crate::store::{DraftSink, Store};
use crate::walk::Source;

use super::archives::{Archives, Slot};
use super::content::{Outcome, Storing};
use super::parent::Parent;
use super::reading::{metadata, plain_metadata, Trouble};
use super::scan::{facts, LinkCounts, Origins, Scan};
use super::spool::{Finding, What};

/// What the second pass works with.
pub struct Run<'r, 'j> {
    pub job: &'r mut Job<'j>,
    pub store: &'r mut dyn Store,
    pub source: Source,
    pub parent: Option<Parent>,
    pub archives: Archives,
    pub state: StateWriter<DraftSink>,
    pub guard: Guard,
    names: Names,
    links: Links,
    origins: Origins,
    /// Directories of the entries written, from the root down: where an entry carried forward may stand.
    open_dirs: Vec<Path>,
    /// Paths below which nothing counts as deleted: what was not seen there may still be there.
    unseen: Vec<Path>,
    buf: Vec<u8>,
    small: Vec<u8>,
}

/// The hard-link sets of the source.
struct Links {
    /// Names of each inode that has several.
    counts: LinkCounts,
    sets: HashMap<(u64, u64), Entry>,
    last_number: u64,
}

/// How a path's new entry came about.
struct Made {
    entry: Entry,
    counter: Counter,
    what: u32,
}

impl<'r, 'j> Run<'r, 'j> {
    #[allow(clippy::too_many_arguments)] // The parts of one run, each made by another step.
    pub fn new(
        job: &'r mut Job<'j>,
        store: &'r mut dyn Store,
        source: Source,
        parent: Option<Parent>,
        archives: Archives,
        state: StateWriter<DraftSink>,
        guard: Guard,
        scan: &mut Scan,
    ) -> Self {
        Run {
            job,
            store,
            source,
            parent,
            archives,
            state,
            guard,
            names: Names::new(),
            links: Links { counts: std::mem::take(&mut scan.links), sets: HashMap::new(), last_number: 0 },
            origins: std::mem::take(&mut scan.origins),
            open_dirs: Vec::new(),
            unseen: Vec::new(),
            buf: Vec::new(),
            small: Vec::new(),
        }
    }

    /// Turns all pairs into entries.
    pub fn go(&mut self, parent: Option<&mut StateReader>, scan: Scan) -> Result<()> {
        self.job.phase(Phase::Read, scan.entries, scan.bytes)?;
        match parent {
            Some(parent) => {
                let pairs = Merge::new(
                    parent.entries()?,
                    scan.findings,
                    |e: &Entry| e.path.as_bytes(),
                    |f: &Finding| f.path.as_bytes(),
                );
                for pair in pairs {
                    self.pair(pair?)?;
                }
            }
            None => {
                for finding in scan.findings {
                    self.pair(Pair::New(finding?))?;
                }
            }
        }
        for entry in std::mem::take(&mut self.origins).into_deleted() {
            self.gone(&entry)?;
        }
        self.job.phase_done()
    }

    fn pair(&mut self, pair: Pair<Entry, Finding>) -> Result<()> {
        let (old, finding) = match pair {
            Pair::Old(old) => return self.unseen_entry(old),
            Pair::New(finding) => (None, finding),
            Pair::Both(old, finding) => (Some(old), finding),
        };
        self.job.step(finding.path.as_bytes())?;
        let Finding { path, what } = finding;
        match what {
            What::Node { stat, target, broken } => self.node(&path, &stat, target, broken, old),
            What::Unreadable(code) => {
                let error = io::Error::from_raw_os_error(code);
                self.unreadable(&path, "look at", &error, old)?;
                self.unseen.push(path);
                Ok(())
            }
            What::Vanished => self.vanished(&path, old),
            What::Socket => {
                let error = Error::new(Kind::Unsupported, "back up", "it is a socket").at(&path);
                self.job.trouble(ProblemKind::Skipped, path.as_bytes(), error)?;
                old.map_or(Ok(()), |old| self.gone(&old))
            }
        }
    }

    /// A path of the parent that the walk did not give: deleted, unless its directory was not seen whole.
    fn unseen_entry(&mut self, old: Entry) -> Result<()> {
        self.unseen.retain(|dir| old.path.is_within(dir.as_bytes()));
        if self.unseen.is_empty() {
            return if self.origins.awaits(&old) { Ok(()) } else { self.gone(&old) };
        }
        let error =
            Error::new(Kind::Io, "read", "its directory could not be read; its last version was kept")
                .at(&old.path);
        self.job.trouble(ProblemKind::Unreadable, old.path.as_bytes(), error)?;
        self.origins.forget(&old);
        self.carry_forward(old)
    }

    fn gone(&mut self, old: &Entry) -> Result<()> {
        self.job.report.count(Counter::Deleted, 1);
        self.job.change(change::DELETED, Some(old), None)
    }

    fn vanished(&mut self, path: &Path, old: Option<Entry>) -> Result<()> {
        let error = Error::new(Kind::NotFound, "read", "it vanished during the backup").at(path);
        self.job.trouble(ProblemKind::Vanished, path.as_bytes(), error)?;
        old.map_or(Ok(()), |old| self.gone(&old))
    }

    /// Lists the problem and keeps the previous version, if there is one.
    fn unreadable(&mut self, path: &Path, op: &str, error: &io::Error, old: Option<Entry>) -> Result<()> {
        let error = Error::io(op, path, error);
        self.job.trouble(ProblemKind::Unreadable, path.as_bytes(), error)?;
        old.map_or(Ok(()), |old| self.carry_forward(old))
    }

    /// Keeps the parent's entry, dirty: restored like any other, read again next time.
    fn carry_forward(&mut self, old: Entry) -> Result<()> {
        let has_place = old.path.parent().is_none_or(|dir| self.has_open_dir(dir));
        let has_content = self.parent.as_ref().is_some_and(|parent| parent.has_content(&old));
        if !has_place || !has_content {
            return self.gone(&old);
        }
        let keep_sig = self.parent.as_ref().is_some_and(|parent| parent.has_signature(&old));
        let mut entry = old.clone();
        entry.place = self.archives.inherit_place(&old.place, keep_sig);
        entry.place.dirty = true;
        if let Node::File(file) = &mut entry.node {
            file.link = 0;
        }
        self.write(Made { entry, counter: Counter::Unchanged, what: change::KEPT }, Some(&old))
    }

    fn has_open_dir(&self, dir: &[u8]) -> bool {
        self.open_dirs.iter().rev().any(|open| open.as_bytes() == dir)
    }

    fn node(
        &mut self,
        path: &Path,
        stat: &Stat,
        target: Vec<u8>,
        broken: Option<i32>,
        old: Option<Entry>,
    ) -> Result<()> {
        self.unseen.retain(|dir| path.is_within(dir.as_bytes()));
        if let Some(code) = broken {
            let error = Error::io("list", path, &io::Error::from_raw_os_error(code));
            self.job.trouble(ProblemKind::Unreadable, path.as_bytes(), error)?;
            self.unseen.push(path.clone());
        }
        if stat.kind == FileKind::File {
            return self.file(path, stat, old);
        }
        if let Some(old) = old.as_ref().filter(|old| is_unchanged(old, &facts(stat), &self.guard)) {
            return self.unchanged(old, stat);
        }
        let node = match stat.kind {
            FileKind::Dir => Node::Dir,
            FileKind::Symlink => Node::Symlink(target),
            FileKind::Fifo => Node::Fifo,
            FileKind::Char => Node::Char(stat.rdev),
            _ => Node::Block(stat.rdev),
        };
        let (meta, dirty) = self.node_metadata(path, stat)?;
        let place = Place { ino: stat.ino, ctime: stat.ctime, dirty, ..Place::default() };
        let entry =
            Entry { path: path.clone(), node, meta, place, unknown: Vec::new(), unknown_place: Vec::new() };
        let made = judge(entry, old.as_ref(), Outcome::Same);
        self.write(made, old.as_ref())
    }

    /// The metadata of something that is not a file. What is gone or replaced by now keeps what the first
    /// pass saw, dirty.
    fn node_metadata(&mut self, path: &Path, stat: &Stat) -> Result<(Metadata, bool)> {
        let opened = self.source.open_path(path).and_then(|fd| {
            let now = platform::stat_fd(fd.as_fd())?;
            if (now.dev, now.ino, now.kind) != (stat.dev, stat.ino, stat.kind) {
                return Err(io::Error::other("it was replaced during the backup"));
            }
            metadata(stat, fd.as_fd(), &mut self.names)
        });
        opened.map(|meta| (meta, false)).or_else(|error| {
            let told = Error::io("read the metadata of", path, &error);
            self.job.trouble(ProblemKind::Metadata, path.as_bytes(), told)?;
            Ok((plain_metadata(stat, &mut self.names), true))
        })
    }

    fn unchanged(&mut self, old: &Entry, stat: &Stat) -> Result<()> {
        let keep_sig = self.parent.as_ref().is_some_and(|parent| parent.has_signature(old));
        let mut entry = old.clone();
        entry.place = self.archives.inherit_place(&old.place, keep_sig);
        entry.place.ino = stat.ino;
        self.write(Made { entry, counter: Counter::Unchanged, what: 0 }, Some(old))
    }

    fn file(&mut self, path: &Path, stat: &Stat, old: Option<Entry>) -> Result<()> {
        let linked = self.links.sets.get(&stat.id()).map(|first| first.clone_as(path));
        if let Some(entry) = linked {
            let outcome = if same_content(&entry, old.as_ref()) { Outcome::Same } else { Outcome::Whole };
            let made = judge(entry, old.as_ref(), outcome);
            return self.write_linked(made, stat, old.as_ref());
        }
        let usable = old.as_ref().filter(|old| {
            old.file().is_some() && self.parent.as_ref().is_some_and(|parent| parent.has_content(old))
        });
        if let Some(old) = usable.filter(|old| is_unchanged(old, &facts(stat), &self.guard)) {
            let keep_sig = self.parent.as_ref().is_some_and(|parent| parent.has_signature(old));
            let mut entry = old.clone();
            entry.place = self.archives.inherit_place(&old.place, keep_sig);
            entry.place.ino = stat.ino;
            return self.write_linked(Made { entry, counter: Counter::Unchanged, what: 0 }, stat, Some(old));
        }
        let usable = usable.cloned();
        match self.store_file(path, stat, usable.as_ref()) {
            Ok((entry, outcome, moved_from)) => self.stored(entry, outcome, moved_from, stat, old),
            Err(Trouble::Fatal(error)) => Err(error),
            Err(Trouble::Source(error)) if error.kind() == io::ErrorKind::NotFound => {
                self.vanished(path, old)
            }
            Err(Trouble::Source(error)) => self.unreadable(path, "read", &error, old),
        }
    }

    /// Opens and stores a file. A new name may have the content of one that was deleted or linked: then
    /// that entry comes back too.
    fn store_file(
        &mut self,
        path: &Path,
        stat: &Stat,
        old: Option<&Entry>,
    ) -> Result<(Entry, Outcome, Option<Entry>), Trouble> {
        let file = self.source.open(path).map_err(Trouble::Source)?;
        let parent = self.parent.as_ref();
        let origin = match old {
            Some(_) => None,
            None => self
                .origins
                .find(stat)
                .map(|origin| &origin.entry)
                .filter(|e| parent.is_some_and(|p| p.has_content(e))),
        };
        let origin = origin.cloned();
        let mut storing = Storing {
            job: self.job,
            store: self.store,
            parent: self.parent.as_mut(),
            archives: &mut self.archives,
            names: &mut self.names,
            buf: &mut self.buf,
            small: &mut self.small,
        };
        let (entry, outcome) = storing.store(path, &file, old.or(origin.as_ref()))?;
        Ok((entry, outcome, origin.filter(|_| outcome == Outcome::Same)))
    }

    fn stored(
        &mut self,
        entry: Entry,
        outcome: Outcome,
        moved_from: Option<Entry>,
        stat: &Stat,
        old: Option<Entry>,
    ) -> Result<()> {
        if entry.place.dirty {
            let error = Error::new(Kind::Io, "read", "it changed while it was read").at(&entry.path);
            self.job.trouble(ProblemKind::Changed, entry.path.as_bytes(), error)?;
        }
        let Some(origin) = moved_from else {
            let made = judge(entry, old.as_ref(), outcome);
            return self.write_linked(made, stat, old.as_ref());
        };
        let was_deleted = self.origins.find(stat).is_some_and(|origin| origin.deleted);
        if !was_deleted {
            let made = judge(entry, None, outcome);
            return self.write_linked(made, stat, None);
        }
        self.origins.take(stat);
        if let Some(old) = &old {
            self.gone(old)?;
        }
        self.write_linked(Made { entry, counter: Counter::Moved, what: change::MOVED }, stat, Some(&origin))
    }

    /// Writes a file's entry, with the number of its hard-link set if it has one, and adds it to a full's
    /// archive as a link if it is not the first of the set.
    fn write_linked(&mut self, mut made: Made, stat: &Stat, old: Option<&Entry>) -> Result<()> {
        let id = stat.id();
        let in_set = self.links.counts.contains_key(&id);
        let number = match self.links.sets.get(&id) {
            Some(first) => first.file().map_or(0, |file| file.link),
            None if in_set => {
                self.links.last_number += 1;
                self.links.last_number
            }
            None => 0,
        };
        if let Node::File(file) = &mut made.entry.node {
            file.link = number;
        }
        match self.links.sets.get(&id) {
            Some(first) if self.archives.is_full() => {
                let link = Special::HardLink(&first.path);
                let writer = self.archives.writer(self.store, Slot::Whole)?;
                writer.add_node(&made.entry.path, &made.entry.meta, link)?;
            }
            Some(_) => {}
            None if in_set => {
                self.links.sets.insert(id, made.entry.clone());
            }
            None => {}
        }
        self.write(made, old)
    }

    /// Writes an entry to the state and tells of it.
    fn write(&mut self, made: Made, old: Option<&Entry>) -> Result<()> {
        let Made { entry, counter, what } = made;
        self.open_dirs.retain(|dir| entry.path.is_within(dir.as_bytes()));
        if entry.node == Node::Dir {
            self.open_dirs.push(entry.path.clone());
        }
        if let Some(special) = Special::of(&entry.node).filter(|_| self.archives.is_full()) {
            let writer = self.archives.writer(self.store, Slot::Whole)?;
            writer.add_node(&entry.path, &entry.meta, special)?;
        }
        self.state.entry(&entry)?;
        let report = &mut self.job.report;
        report.count(Counter::Entries, 1);
        report.count(Counter::Bytes, entry.size());
        report.count(counter, 1);
        if what != 0 {
            self.job.change(what, old, Some(&entry))?;
        }
        Ok(())
    }
}

impl Entry {
    /// Another name of the same inode.
    fn clone_as(&self, path: &Path) -> Entry {
        Entry { path: path.clone(), ..self.clone() }
    }
}

fn same_content(entry: &Entry, old: Option<&Entry>) -> bool {
    let hash = |e: &Entry| e.file().map(|file| (file.hash, file.size));
    old.is_some_and(|old| hash(old).is_some() && hash(old) == hash(entry))
}

/// What an entry is beside the old one of its path.
fn judge(entry: Entry, old: Option<&Entry>, outcome: Outcome) -> Made {
    let Some(old) = old else {
        return Made { entry, counter: Counter::Created, what: change::CREATED };
    };
    let same_type = entry.node.word() == old.node.word();
    let shape = |e: &Entry| e.file().map(|file| (file.size, file.holes.clone()));
    let same_content = outcome == Outcome::Same && shape(&entry) == shape(old);
    let same_metadata = same_metadata(&entry, old);
    let (counter, what) = match (same_type && same_content, same_metadata) {
        (true, true) => (Counter::Unchanged, 0),
        (true, false) => (Counter::Metadata, change::METADATA),
        (false, true) => (Counter::Modified, change::CONTENT),
        (false, false) => (Counter::Modified, change::CONTENT | change::METADATA),
    };
    Made { entry, counter, what }
}
