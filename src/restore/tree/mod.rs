//! Writes entries beneath the descriptor of the destination: directories and files first, then links, and the
//! directories' metadata last.
//!
//! ```text
//! entry --> plan          looks at the name, decides; a dry run ends here
//!       --> create        new tree: the entry gets its own name; other threads write the small files, in batches
//!       or  replace       existing tree: a temporary name until the entry is complete and durable
//!       --> metadata      owner, attributes, mode, times; the rights that an ordinary user lacks meanwhile
//!       --> delete_extra  existing tree: removes entries that the snapshot lacks, unless they must stay
//! ```
//!
//! [`file`], [`directories`], [`special`] and [`links`] have the steps of one type of entry. [`target_dirs`] opens
//! every directory, [`report`] counts and reports, [`refused`] decides which errors end the restore.

mod create;
mod delete_extra;
mod directories;
mod file;
mod links;
mod metadata;
mod plan;
mod refused;
mod replace;
mod report;
mod special;
mod target_dir;
mod target_dirs;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::contents::{ContentReader, Contents};
use crate::entry::{Entry, Node, Path};
use crate::error::{Error, Kind, Result};
use crate::exclude::Excludes;
use crate::format::Omissions;
use crate::job::{Job, meta};
use crate::pool::Pool;
use crate::store::OwnPlaces;

use super::entry_spool::EntrySpool;
use super::hard_link_names::HardLinkNames;
use super::late_flags::LateFlags;
use super::leftover::LeftoverRemoval;
use super::target::Target;
use create::SmallFileBatches;
use metadata::{MetadataPolicy, WidenedDir};
use plan::LinkSets;
use refused::is_obstacle;
use replace::InstallBatch;
pub(super) use target_dir::FileId;
use target_dirs::TargetDirs;

/// A tree that is being restored.
pub struct Tree<'t, 'j> {
    pub job: &'t mut Job<'j>,
    target: TargetDirs,
    /// The small files of a new tree that other threads write. `None` for an existing tree and in a dry run.
    small_files: Option<SmallFileBatches>,
    /// Files of an existing tree that are not durable yet, and the entries after them.
    batch: InstallBatch,
    wanted: MetadataPolicy,
    /// Flags and projects that are set after everything else.
    late: LateFlags,
    /// Existing directories whose owner rights were widened for the restore.
    widened: BTreeMap<Path, WidenedDir>,
    /// The destination's own `lost+found` that gets the metadata of the restored one.
    pub kept: Option<FileId>,
    /// Links that are made after all files.
    links: EntrySpool,
    /// Directories whose metadata is set after everything below them.
    dirs: EntrySpool,
    link_sets: LinkSets,
    /// A directory that could not be made. The entries below it are left out.
    lost_dir: Option<Path>,
    /// The content of an entry is lost, or only a newer version can restore it. An extra entry may have the same
    /// content under an older name, so none is removed.
    pub content_lost: bool,
    /// Removes the left-overs of killed restores from an existing tree.
    leftovers: Option<LeftoverRemoval>,
    /// Paths that patterns exclude: they are neither written nor removed.
    excludes: Excludes,
    /// Places that are never changed, for example the store itself.
    own: OwnPlaces,
    /// Names that the backup saw and did not store. They do not count as extra.
    omissions: Arc<Omissions>,
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
        let wanted = MetadataPolicy::find(target, job)?;
        let excludes = Excludes::new(&job.options.excludes, b"")?;
        let is_new = !target.is_existing() && !job.options.dry_run;
        let small_files = is_new.then(|| SmallFileBatches::new(pool, wanted, contents.archives().clone()));
        Ok(Tree {
            target: TargetDirs::new(target, job.options.root.clone(), job.options.dry_run)?,
            leftovers: target.leftovers(),
            job,
            small_files,
            batch: InstallBatch::new(target.temp_name()),
            wanted,
            late: LateFlags::new(wanted.mask, wanted.clears_project),
            widened: BTreeMap::new(),
            kept: None,
            links: EntrySpool::new(),
            dirs: EntrySpool::new(),
            link_sets: LinkSets::new(names),
            lost_dir: None,
            content_lost: false,
            excludes,
            own,
            omissions: Arc::default(),
        })
    }

    /// Writes an entry, hands it to another thread, or keeps it for a later pass.
    pub fn entry(&mut self, contents: &mut ContentReader, entry: Entry) -> Result<()> {
        self.job.step(entry.path.as_bytes())?;
        if self.is_below_lost(&entry) {
            return Ok(());
        }
        if self.small_files.is_some() {
            return self.create(contents, entry);
        }
        let done = match &entry.node {
            Node::Dir => self.directory(&entry, true),
            Node::Symlink(_) => self.push_link(&entry),
            _ if self.link_sets.is_further_name(&entry) => self.push_link(&entry),
            Node::File(file) => self.file(contents, &entry, file),
            Node::Fifo | Node::Char(_) | Node::Block(_) | Node::Unknown(_) => self.special(&entry),
        };
        self.or_obstructed(&entry.path, entry.node == Node::Dir, done)
    }

    /// Waits for the files that other threads write, and installs the files of an existing tree that wait.
    pub fn finish_files(&mut self, contents: &mut ContentReader) -> Result<()> {
        let Some(mut small_files) = self.small_files.take() else { return self.install_batch() };
        self.collect_all(contents, &mut small_files)
    }

    /// Whether the restore sets owners, by their names.
    pub fn sets_owners_by_name(&self) -> bool {
        self.job.options.map_owners && self.wanted.has(meta::OWNER)
    }

    /// The flags and projects to set when the tree has its final name.
    pub fn take_late(&mut self) -> LateFlags {
        std::mem::replace(&mut self.late, LateFlags::new(0, false))
    }

    /// Makes a directory that is not selected but leads to a selected entry. An existing directory keeps its
    /// metadata.
    pub fn ancestor_dir(&mut self, contents: &mut ContentReader, entry: Entry) -> Result<()> {
        if self.is_below_lost(&entry) {
            return Ok(());
        }
        if self.small_files.is_some() {
            return self.create(contents, entry);
        }
        let done = self.directory(&entry, false);
        self.or_obstructed(&entry.path, true, done)
    }

    /// Keeps a link for the pass that makes links, with the identity of its directory.
    fn push_link(&mut self, entry: &Entry) -> Result<()> {
        let dir = match self.target.is_existing && !self.job.options.dry_run {
            true => self.target.target_dir(entry)?.id,
            false => (0, 0),
        };
        self.links.push(entry, dir)
    }
}

impl Drop for Tree<'_, '_> {
    /// After a failed restore, removes the files that wait and gives directories their modes back.
    fn drop(&mut self) {
        self.abandon_batch();
        self.restore_all_modes();
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
