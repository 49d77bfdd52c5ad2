//! Small files of a new tree, which other threads write in batches.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::contents::{FetchedContent, StateArchives};
use crate::entry::{Entry, File, FileType};
use crate::error::{Error, Result, is_shortage};
use crate::format::FRAME_LEN;
use crate::platform;

use crate::restore::tree::clash;
use crate::restore::tree::file::{ExtentWriter, sync_without_syncfs};
use crate::restore::tree::metadata::{MetadataPolicy, first_mode};
use crate::restore::tree::target_dir::{FileId, TargetDir};

/// One entry of a new tree, in path order.
pub enum BatchStep {
    /// The entry is made already.
    Made(Entry),
    File(SmallFile),
}

pub struct SmallFile {
    pub entry: Entry,
    pub target_dir: Arc<TargetDir>,
    /// The content's frames. `None` if the content is too large to hold, or the error of fetching it.
    pub content: Result<Option<FetchedContent>>,
}

/// The result for one entry.
pub enum StepOutcome {
    Made,
    /// The file is written. These are the errors of metadata that could not be set, and the identity of the file if
    /// flags or a project may be set at the end.
    Written(Vec<Error>, Option<FileId>),
    /// The content is lost. The number is the bytes read.
    Lost(u64, Error),
    /// The file needs more memory than a small file may use, no descriptor is left for it, or a part of its content is
    /// lost that may not be needed. The thread that started the batch makes the file.
    Refused,
    /// The file could not be made. Nothing of it remains.
    Failed(Error),
}

/// The results of a batch, in the order of its entries.
pub type BatchResults = Vec<(Entry, StepOutcome)>;

/// Whether an entry's content is small enough to be held in memory as a whole.
pub fn is_small(entry: &Entry, file: &File) -> bool {
    let stored = entry.place.content.iter().fold(0, |sum: u64, range| sum.saturating_add(range.len));
    stored.max(file.data_len()) <= FRAME_LEN as u64
}

/// The shared values that a thread needs to make files. Each batch has a clone.
#[derive(Clone)]
pub struct Maker {
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
            Err(error) if error.ends_reading() => return Err(error),
            // The deltas may leave out the lost bytes of the whole copy. The other reader reads no byte that they leave
            // out.
            Err(_) if entry.place.content.len() > 1 => return Ok(StepOutcome::Refused),
            Err(error) => return Ok(StepOutcome::Lost(0, error)),
        };
        let (mut hasher, mut len) = (blake3::Hasher::new(), 0);
        for piece in &bytes {
            hasher.update(piece.as_ref());
            len += piece.as_ref().len() as u64;
        }
        if len != file.data_len() || file.hash != hasher.finalize().into() {
            return Ok(StepOutcome::Lost(len, self.archives.differs(entry, file)));
        }
        let mode = first_mode(&entry.meta, FileType::File);
        let output = match target_dir.dir.create_file(entry.path.name(), mode) {
            Err(error) if is_shortage(&error) => return Ok(StepOutcome::Refused),
            created => created.map_err(|e| clash(&e, "create", entry))?,
        };
        self.wanted.prepare(&entry.meta, output.as_fd());
        let write_error = |e: io::Error| Error::io("write", &entry.path, &e);
        let written = ExtentWriter::new(&output, file)
            .and_then(|mut out| bytes.iter().try_for_each(|piece| out.write(piece.as_ref())))
            .and_then(|()| sync_without_syncfs(&output));
        if let Err(error) = written {
            // The caller reports the error. An incomplete file must not stay.
            let _ = target_dir.dir.unlink(entry.path.name());
            return Err(write_error(error));
        }
        let owned = target_dir.owner_of(&output);
        let failed = self.wanted.set(&entry.path, &entry.meta, output.as_fd().into(), owned);
        let may_be_late = self.wanted.may_be_late(&entry.meta);
        let id = may_be_late.then(|| platform::stat_file(&output).map(|now| now.id())).transpose();
        Ok(StepOutcome::Written(failed, id.map_err(|e| Error::io("look at", &entry.path, &e))?))
    }
}
