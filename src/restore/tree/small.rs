//! Small files of a new tree, which other threads write in batches.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::contents::FetchedContent;
use crate::contents::StateArchives;
use crate::entry::{Entry, File};
use crate::error::{Error, Result, is_shortage};
use crate::format::FRAME_LEN;
use crate::platform::{self, Dir};

use super::attributes::MetadataPolicy;
use super::clash;
use super::file::ExtentWriter;

/// A directory in which files are made.
pub(super) struct TargetDir {
    pub dir: Dir,
    /// Device and inode of the directory.
    pub id: (u64, u64),
    /// Whether one sync of the file system makes the files in this directory durable. Set at the first use.
    syncs_whole: OnceLock<bool>,
    /// Owner and group that the system gives to new files in this directory. Set at the first use.
    owner: OnceLock<(u32, u32)>,
    /// The names that this directory had at the first use, if the directory ignores case.
    names_before: OnceLock<Option<HashSet<Box<[u8]>>>>,
}

impl TargetDir {
    pub fn new(dir: Dir) -> io::Result<Self> {
        let id = dir.stat_self()?.id();
        let (syncs_whole, owner, names_before) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Ok(TargetDir { dir, id, syncs_whole, owner, names_before })
    }

    /// Whether one sync of the whole file system makes the files in this directory durable.
    pub fn syncs_whole(&self) -> bool {
        *self.syncs_whole.get_or_init(|| self.dir.syncs_whole())
    }

    /// The names in this directory, if it ignores case; else `None`. `name` must exist here, perhaps in another
    /// spelling.
    pub fn names_if_case_ignored(&self, name: &[u8]) -> io::Result<Option<&HashSet<Box<[u8]>>>> {
        if let Some(known) = self.names_before.get() {
            return Ok(known.as_ref());
        }
        let names = match self.dir.folds_case(name)? {
            None => return Ok(None),
            Some(false) => None,
            Some(true) => {
                let listing = self.dir.list();
                listing.error.map_or(Ok(()), Err)?;
                Some(listing.names.into_iter().map(|(name, _)| name).collect())
            }
        };
        Ok(self.names_before.get_or_init(|| names).as_ref())
    }

    /// Owner and group of a file that was just made here.
    fn owner_of(&self, made: &std::fs::File) -> Option<(u32, u32)> {
        if self.owner.get().is_none() {
            let stat = platform::stat_file(made).ok()?;
            let _ = self.owner.set((stat.uid, stat.gid));
        }
        self.owner.get().copied()
    }
}

/// One entry of a new tree, in path order.
pub(super) enum BatchStep {
    /// The entry is made already.
    Made(Entry),
    File(SmallFile),
}

pub(super) struct SmallFile {
    pub entry: Entry,
    pub target_dir: Arc<TargetDir>,
    /// The content's frames. `None` if the content is too large to hold, or the error of fetching it.
    pub content: Result<Option<FetchedContent>>,
}

/// The result for one entry.
pub(super) enum StepOutcome {
    Made,
    /// The file is written. These are the errors of metadata that could not be set.
    Written(Vec<Error>),
    /// The content is lost. The number is the bytes read.
    Lost(u64, Error),
    /// The file needs more memory than a small file may use, or no descriptor is left for it. The thread that
    /// started the batch makes the file.
    Refused,
    /// The file could not be made. Nothing of it remains.
    Failed(Error),
}

/// The results of a batch, in the order of its entries.
pub(super) type BatchResults = Vec<(Entry, StepOutcome)>;

/// Whether an entry's content is small enough to be held in memory as a whole.
pub(super) fn is_small(entry: &Entry, file: &File) -> bool {
    let stored = entry.place.content.iter().fold(0, |sum: u64, range| sum.saturating_add(range.len));
    stored.max(file.data_len()) <= FRAME_LEN as u64
}

/// The shared values that a thread needs to make files. Each batch has a clone.
#[derive(Clone)]
pub(super) struct Maker {
    pub wanted: MetadataPolicy,
    pub archives: Arc<StateArchives>,
    /// True when no result is needed any more, for example after an error.
    pub stopped: Arc<AtomicBool>,
}

impl Maker {
    pub fn run(&self, steps: Vec<BatchStep>) -> BatchResults {
        let each = |step| match step {
            BatchStep::Made(entry) => (entry, StepOutcome::Made),
            BatchStep::File(small) => {
                let outcome = self.file(&small).unwrap_or_else(StepOutcome::Failed);
                (small.entry, outcome)
            }
        };
        steps.into_iter().map(each).collect()
    }

    /// Makes one file. Checks the content before writing anything.
    fn file(&self, SmallFile { entry, target_dir, content }: &SmallFile) -> Result<StepOutcome> {
        let Some(file) = entry.file() else { return Ok(StepOutcome::Made) };
        if self.stopped.load(Ordering::Relaxed) {
            return Err(Error::cancelled());
        }
        let made = match content {
            Ok(Some(content)) => content.make(entry, &self.archives),
            Ok(None) => Ok(None),
            Err(error) => Err(error.clone()),
        };
        let bytes = match made {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(StepOutcome::Refused),
            Err(error) if !error.ends_reading() => return Ok(StepOutcome::Lost(0, error)),
            Err(error) => return Err(error),
        };
        let (mut hasher, mut len) = (blake3::Hasher::new(), 0);
        for piece in &bytes {
            hasher.update(piece.as_ref());
            len += piece.as_ref().len() as u64;
        }
        if len != file.data_len() || file.hash != hasher.finalize().into() {
            return Ok(StepOutcome::Lost(len, self.archives.differs(entry, file)));
        }
        let output = match target_dir.dir.create_file(entry.path.name(), 0o600) {
            Err(error) if is_shortage(&error) => return Ok(StepOutcome::Refused),
            created => created.map_err(|e| clash(&e, "create", entry))?,
        };
        let write_error = |e: io::Error| Error::io("write", &entry.path, &e);
        let written = ExtentWriter::new(&output, file)
            .and_then(|mut out| bytes.iter().try_for_each(|piece| out.write(piece.as_ref())));
        if let Err(error) = written {
            // The caller reports the error. An incomplete file must not stay.
            let _ = target_dir.dir.unlink(entry.path.name());
            return Err(write_error(error));
        }
        let owned = target_dir.owner_of(&output);
        Ok(StepOutcome::Written(self.wanted.set(&entry.path, &entry.meta, output.as_fd().into(), owned)))
    }
}
