//! Writes entries beneath the descriptor of the destination: directories and files first, then links, and the
//! directories' metadata last.
//!
//! In a new tree, every entry is created under its own name, and other threads write the small files
//! ([`small_file_batches`]). In an existing tree, [`existing`] first decides what happens to an existing file of the
//! same name. A new file is then created under a temporary name in the same directory, and renamed when it is complete
//! and durable ([`batch`]). So a name always leads to its old content or to its new content, also after a power cut.

mod attributes;
mod batch;
mod delete_extra;
mod existing;
mod file;
mod known;
mod links;
mod refused;
mod small;
mod small_file_batches;
mod stays;
mod target_dir;
mod target_dirs;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use crate::entry::{Entry, FileType, LinkSet, Metadata, Node, Path};
use crate::error::{Error, Kind, Result, describe};
use crate::format::Omissions;
use crate::job::{Counter, Job, ProblemKind, change, meta};
use crate::platform::{self, Dir};
use crate::pool::Pool;
use crate::store::{OwnPlaces, Store};

use super::entry_spool::EntrySpool;
use super::hard_link_names::HardLinkNames;
use super::leftover::Sweep;
use super::target::Target;
use crate::contents::Contents;
use attributes::MetadataPolicy;
use batch::InstallBatch;
use existing::{EntryVerdict, Next, seen};
use known::WidenedDir;
use refused::is_obstacle;
use small_file_batches::SmallFileBatches;
pub(super) use target_dir::FileId;
use target_dirs::TargetDirs;

/// A tree that is being restored.
pub struct Tree<'t, 'j> {
    pub job: &'t mut Job<'j>,
    target: TargetDirs,
    /// The temporary name of a new entry in an existing tree, until the entry is complete.
    temp: Vec<u8>,
    /// The small files of a new tree that other threads write. `None` for an existing tree.
    small_files: Option<SmallFileBatches>,
    /// Files of an existing tree that are not durable yet, and the entries after them.
    batch: InstallBatch,
    wanted: MetadataPolicy,
    /// Existing directories whose owner rights were widened for the restore.
    opened_up: BTreeMap<Path, WidenedDir>,
    /// The destination's own `lost+found` that gets the metadata of the restored one.
    pub kept: Option<FileId>,
    links: EntrySpool,
    dirs: EntrySpool,
    /// The first restored name of each hard-link set.
    firsts: HashMap<LinkSet, FirstName>,
    /// The names of hard-link sets. Empty for a new tree.
    names: HardLinkNames,
    /// Existing inodes that stay, each with the hard-link set that it belongs to; `None` for an entry without hard links.
    claimed: HashMap<(u64, u64), Option<LinkSet>>,
    /// A directory that could not be made. The entries below it are left out.
    lost_dir: Option<Path>,
    /// A file's content is lost, so no extra entry is removed.
    content_lost: bool,
    /// Existing inodes with several names: the number of names that a dry run would replace, or that waiting files
    /// will replace.
    unlinked: HashMap<(u64, u64), u64>,
    /// Removes the left-overs of killed restores from an existing tree.
    sweep: Option<Sweep>,
    /// Places that are never changed, for example the store itself.
    own: OwnPlaces,
    /// Names that the backup saw and did not store. They do not count as extra.
    omissions: Arc<Omissions>,
}

struct FirstName {
    /// The path; `None` if it is the set's first name in the snapshot, which the entries of further names give.
    path: Option<Path>,
    /// The inode of this name, in an existing tree.
    id: Option<FileId>,
    /// The file is new, or a dry run would make it new.
    made: bool,
    /// The file existed before the restore, and its content was not read.
    is_believed: bool,
}

impl<'t, 'j> Tree<'t, 'j> {
    /// `names` counts the names of hard-link sets. A new tree needs none.
    pub fn new(
        target: &Target,
        names: HardLinkNames,
        own: OwnPlaces,
        (pool, contents): (Arc<Pool>, &Contents),
        job: &'t mut Job<'j>,
    ) -> Result<Self> {
        let privileged = platform::is_privileged();
        let default = if privileged { meta::ALL } else { meta::ALL & !meta::OWNER };
        let mask = job.options.restore_metadata.unwrap_or(default);
        let wanted = MetadataPolicy { mask, privileged, strips: target.is_existing() };
        let is_new = !target.is_existing() && !job.options.dry_run;
        let small_files = is_new.then(|| SmallFileBatches::new(pool, wanted, contents.archives().clone()));
        Ok(Tree {
            target: TargetDirs::new(target, job.options.root.clone(), job.options.dry_run)?,
            temp: target.temp_name().to_vec(),
            sweep: target.sweep(),
            job,
            small_files,
            batch: InstallBatch::default(),
            wanted,
            opened_up: BTreeMap::new(),
            kept: None,
            links: EntrySpool::new(),
            dirs: EntrySpool::new(),
            firsts: HashMap::new(),
            names,
            claimed: HashMap::new(),
            lost_dir: None,
            content_lost: false,
            unlinked: HashMap::new(),
            own,
            omissions: Arc::default(),
        })
    }

    /// Writes an entry, hands it to another thread, or keeps it for a later pass.
    pub fn entry(&mut self, store: &mut dyn Store, contents: &mut Contents, entry: Entry) -> Result<()> {
        self.job.step(entry.path.as_bytes())?;
        if self.is_below_lost(&entry) {
            return Ok(());
        }
        if let Some(mut small_files) = self.small_files.take() {
            let sent = self.send(store, contents, &mut small_files, entry);
            self.small_files = Some(small_files);
            return sent;
        }
        let done = match &entry.node {
            Node::Dir => self.directory(&entry, true),
            Node::Symlink(_) => self.push_link(&entry),
            _ if self.is_further_name(&entry) => self.push_link(&entry),
            Node::File(file) => self.file(store, contents, &entry, file),
            Node::Fifo | Node::Char(_) | Node::Block(_) => self.special(&entry),
        };
        self.or_obstructed(&entry.path, entry.node == Node::Dir, done)
    }

    /// Waits for the files that other threads write, and installs the files of an existing tree that wait.
    pub fn finish_files(&mut self, store: &mut dyn Store, contents: &mut Contents) -> Result<()> {
        let Some(mut small_files) = self.small_files.take() else { return self.install_batch() };
        self.collect_all(store, contents, &mut small_files)
    }

    /// Makes a directory that is not selected but leads to a selected entry. An existing directory keeps its
    /// metadata.
    pub fn way(&mut self, store: &mut dyn Store, contents: &mut Contents, entry: Entry) -> Result<()> {
        if self.is_below_lost(&entry) {
            return Ok(());
        }
        if let Some(mut small_files) = self.small_files.take() {
            let sent = self.send(store, contents, &mut small_files, entry);
            self.small_files = Some(small_files);
            return sent;
        }
        let done = self.directory(&entry, false);
        self.or_obstructed(&entry.path, true, done)
    }

    fn directory(&mut self, entry: &Entry, asked_for: bool) -> Result<()> {
        self.sweep_dir(entry)?;
        let verdict = match self.judge(entry)? {
            EntryVerdict::Refresh(now) | EntryVerdict::Keep(now) if !asked_for => EntryVerdict::Right(now),
            verdict => verdict,
        };
        match verdict {
            EntryVerdict::Create | EntryVerdict::Replace(_) => {}
            // The directory exists. The entries below it have their own verdicts.
            EntryVerdict::Right(now) if !asked_for => return self.enter(entry, &now, false),
            EntryVerdict::Right(now) | EntryVerdict::Refresh(now) => {
                // The time of the directory is set at the end all the same, because new entries in the directory
                // change it.
                self.enter(entry, &now, true)?;
                return self.told(entry, &verdict);
            }
            EntryVerdict::Keep(now) if now.kind == FileType::Dir => return self.enter(entry, &now, false),
            EntryVerdict::Keep(_) => {
                self.lost_dir = Some(entry.path.clone());
                return self.told(entry, &verdict);
            }
        }
        if self.job.options.dry_run {
            self.would_make_way(entry, &verdict);
        } else {
            if let EntryVerdict::Replace(now) = &verdict {
                self.make_way(entry, now)?;
            }
            self.make_dir(entry)?;
        }
        self.told(entry, &verdict)
    }

    /// Removes the left-overs of killed restores of this destination from a directory. Does nothing if the directory
    /// cannot be opened: the entries to restore in it then fail with the reason.
    fn sweep_dir(&mut self, entry: &Entry) -> Result<()> {
        let Some(sweep) = self.sweep else { return Ok(()) };
        let Ok(dir) = self.target.open_dir(entry.path.as_bytes()) else { return Ok(()) };
        let listing = dir.list();
        let swept = sweep.run(&dir, listing.names.iter().map(|(name, _)| &**name));
        let path_of = |name: &[u8]| {
            let path = entry.path.join(name).unwrap_or_else(|_| entry.path.clone());
            path.as_bytes().to_vec()
        };
        swept.tell(path_of, self.job)
    }

    /// Makes a directory where nothing exists. The root of the destination exists already.
    fn make_dir(&mut self, entry: &Entry) -> Result<()> {
        let name = entry.path.name();
        let trouble = |e: &io::Error| Error::io("open the directory", &entry.path, e);
        let id = if entry.path == self.target.base {
            self.target.open_dir(entry.path.as_bytes()).and_then(|root| root.stat_self()).map(|now| now.id())
        } else {
            let target_dir = self.target.target_dir(entry)?;
            target_dir.dir.mkdir(name, 0o700).map_err(|e| clash(&e, "make the directory", entry))?;
            match self.target.is_existing {
                true => target_dir.made_dir(name),
                false => target_dir.dir.stat(name).map(|now| now.id()),
            }
        };
        let id = id.map_err(|e| trouble(&e))?;
        if self.target.is_existing {
            self.target.known.enter(&entry.path, id);
        }
        self.dirs.push(entry, id)
    }

    /// Keeps a link for the pass that makes links, with the identity of its directory.
    fn push_link(&mut self, entry: &Entry) -> Result<()> {
        let dir = match self.target.is_existing && !self.job.options.dry_run {
            true => self.target.target_dir(entry)?.id,
            false => (0, 0),
        };
        self.links.push(entry, dir)
    }

    /// Makes a FIFO or a device.
    pub(super) fn special(&mut self, entry: &Entry) -> Result<()> {
        let (kind, rdev) = match entry.node {
            Node::Fifo => (FileType::Fifo, 0),
            Node::Char(rdev) => (FileType::Char, rdev),
            Node::Block(rdev) => (FileType::Block, rdev),
            _ => return Ok(()),
        };
        if !self.wanted.has(meta::SPECIAL) {
            return Ok(());
        }
        let verdict = self.judge(entry)?;
        let Next::Create(now) = self.unless_right(entry, &verdict)? else {
            self.remember_existing(entry, &verdict);
            return Ok(());
        };
        if let Some(now) = &now {
            self.names.remove(entry.link_set(), now.id());
        }
        let name = self.work_name(entry);
        match self.target.parent(entry)?.mknod(&name, kind, 0o600, rdev) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let error =
                    Error::io(format!("make the {}", entry.node.file_type().word()), &entry.path, &error);
                return self.job.trouble(ProblemKind::Metadata, entry.path.as_bytes(), error);
            }
            Err(error) => {
                if self.target.is_existing {
                    // Some file systems make an empty file before they refuse. No one else uses the temporary name.
                    self.remove_temp(entry, &name);
                }
                return Err(clash(&error, "make", entry));
            }
        }
        let set = self.metadata_by_name(entry, &name, None);
        let id = self.install(entry, now.as_ref(), set)?;
        self.remember_first(entry, &verdict, Some(id));
        self.told(entry, &verdict)
    }

    /// Sets the metadata of all directories except the root. Each directory comes after everything below it. The tree
    /// is in its final place by now. Returns the root's metadata, or `None` if the root keeps its own.
    pub fn finish_dirs(&mut self, root: Option<Dir>) -> Result<Option<Metadata>> {
        self.target.set_root(root);
        let mut dirs = std::mem::replace(&mut self.dirs, EntrySpool::new());
        if self.job.options.dry_run {
            return Ok(None);
        }
        // The open directories lie within each other: for each, the length of its path within `path`, its metadata
        // and its inode.
        let mut path = Vec::new();
        let mut open: Vec<(usize, Metadata, FileId)> = Vec::new();
        dirs.replay(|entry, id| {
            let is_done = |(len, ..): &mut (usize, Metadata, FileId)| !entry.path.is_within(&path[..*len]);
            while let Some((len, meta, id)) = open.pop_if(is_done) {
                self.finish_dir(&path[..len], meta, id)?;
            }
            path.clear();
            path.extend_from_slice(entry.path.as_bytes());
            open.push((path.len(), entry.meta, id));
            Ok(())
        })?;
        while let Some((len, meta, id)) = open.pop() {
            if path[..len] == *self.target.base.as_bytes() {
                return Ok(Some(meta));
            }
            self.finish_dir(&path[..len], meta, id)?;
        }
        Ok(None)
    }

    /// Makes the tree durable. Then sets the metadata of the root, as the last change of the tree, unless the root
    /// keeps its own.
    pub fn make_durable(&mut self, root: Option<Metadata>, target: &Target) -> Result<()> {
        target.sync()?;
        self.target.sync_mounts()?;
        root.map_or(Ok(()), |meta| self.finish_root(meta, target))
    }

    /// Metadata of the root that cannot be set is a problem and does not fail the restore.
    fn finish_root(&mut self, meta: Metadata, target: &Target) -> Result<()> {
        let not_cleared = target.clear_root().err().into_iter().collect();
        self.not_set(&self.target.base.clone(), not_cleared)?;
        let root = self.target.open_dir(self.target.base.as_bytes());
        let root = root.map_err(|e| Error::new(Kind::Io, "open the destination", describe(&e)))?;
        self.close_dir(&self.target.base.clone(), &meta, &root)?;
        root.sync().map_err(|e| Error::new(Kind::Io, "sync the destination", describe(&e)))
    }

    fn finish_dir(&mut self, path: &[u8], meta: Metadata, id: FileId) -> Result<()> {
        self.job.pulse()?;
        let path =
            Path::new(path).map_err(|what| Error::new(Kind::Panic, "finish a directory", what).at(path))?;
        let dir = self.target.open_known(&path, id, self.kept);
        let done = match dir.map_err(|e| Error::io("open the directory", &path, &e)) {
            Ok(dir) => self.close_dir(&path, &meta, &dir),
            Err(error) => Err(error),
        };
        self.or_obstructed(&path, true, done)
    }

    /// Counts an entry and reports it as a change. In a dry run, the change is the one that a restore would make. The
    /// report comes after the files that wait before this entry.
    fn told(&mut self, entry: &Entry, verdict: &EntryVerdict) -> Result<()> {
        match self.batch.is_empty() {
            true => self.tell(entry, verdict),
            false => self.tell_later(entry, *verdict),
        }
    }

    fn tell(&mut self, entry: &Entry, verdict: &EntryVerdict) -> Result<()> {
        let (what, counter, before) = match verdict {
            EntryVerdict::Right(_) => {
                self.job.report.count(Counter::Unchanged, 1);
                return Ok(());
            }
            EntryVerdict::Create => (change::CREATED, Counter::Created, None),
            EntryVerdict::Replace(now) => (change::CONTENT, Counter::Modified, Some(now)),
            EntryVerdict::Refresh(now) => (change::METADATA, Counter::Metadata, Some(now)),
            EntryVerdict::Keep(now) => (change::KEPT, Counter::Unchanged, Some(now)),
        };
        self.job.report.count(counter, 1);
        if what != change::KEPT {
            self.job.report.count(Counter::Restored, 1);
        }
        if !self.job.wants_changes() {
            return Ok(());
        }
        let before = before.map(|now| seen(&entry.path, now));
        self.job.change(what, before.as_ref(), Some(entry))
    }
}

impl Drop for Tree<'_, '_> {
    /// After a failed restore, removes the files that wait and gives directories their modes back.
    fn drop(&mut self) {
        self.abandon_batch();
        self.close_all();
    }
}

/// The error of creating `entry`. On a file system that ignores case, two entries can have the same name there, for
/// example `A` and `a`: the error says so, and no entry overwrites the other.
fn clash(error: &io::Error, op: &str, entry: &Entry) -> Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let detail = "another entry already has this name here: the file system does not tell them apart";
            Error { os_code: error.raw_os_error().unwrap_or(0), ..Error::new(Kind::Exists, op, detail) }
                .at(&entry.path)
        }
        _ => Error::io(op, &entry.path, error),
    }
}
