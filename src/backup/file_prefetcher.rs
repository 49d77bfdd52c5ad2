//! Prefetches small files. Workers read, hash, sign and compare the files in batches, while the calling
//! thread writes the results of earlier batches. Results come back in the order in which the files were
//! added.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::contents::{FrameId, HeldFrames};
use crate::delta::{FineSearch, SigningRule};
use crate::entry::Path;
use crate::platform::Dir;
use crate::pool::{Pending, Pool};
use crate::walk::{Devices, Source};

use super::reading::{FileError, FileResult};
use super::small::{self, IN_MEMORY, OldContent, SmallFileResult};

/// A batch goes to a worker when the sizes of its files and of the old signatures add up to this many bytes.
const BATCH_BYTES: u64 = IN_MEMORY;
/// A batch goes to a worker when it has this many files.
const BATCH_FILES: usize = 64;
/// A batch goes to a worker when its files lie in this many directories: the batch holds the directories
/// open. With few descriptors, a batch has fewer directories.
const BATCH_DIRS: usize = 4;
/// Descriptors that a worker thread needs: a file of the source, and perhaps a temporary file.
const THREAD_FILES: usize = 2;

/// A batch goes to a worker when the frames of its old contents take this much memory.
const BATCH_FRAMES: usize = 8 << 20;
/// No file is added while the frames of all batches take this much memory.
const FRAMES_MAX: usize = 16 << 20;

/// A file that a worker will read.
struct FileToRead {
    dir: Arc<Dir>,
    name: Box<[u8]>,
    old: Option<OldContent>,
}

/// The result for one file.
pub struct PrefetchedFile {
    /// `None` if the worker found more data in the file than [`IN_MEMORY`].
    pub small: FileResult<Option<SmallFileResult>>,
    /// Holds the bytes of [`SmallFileResult::bytes`]. Drop the buffer before the next call of
    /// [`FilePrefetcher::next`], so that the prefetcher can use it again.
    pub buffer: Arc<Vec<u8>>,
}

impl PrefetchedFile {
    /// True if the worker lacked a descriptor or memory for the file.
    pub fn is_short(&self) -> bool {
        self.small.as_ref().is_err_and(FileError::is_shortage)
    }
}

/// The results of one batch, and the bytes of its files.
#[derive(Default)]
struct PrefetchedBatch {
    files: VecDeque<FileResult<Option<SmallFileResult>>>,
    buffer: Arc<Vec<u8>>,
}

/// A batch that the pool is working on, or has finished.
struct BatchInFlight {
    results: Pending<PrefetchedBatch>,
    dirs: usize,
}

/// Reads files on a pool, a bounded number of batches ahead of the caller.
pub struct FilePrefetcher {
    pool: Arc<Pool>,
    source: Source,
    devices: Arc<Devices>,
    signing: SigningRule,
    filling: Vec<FileToRead>,
    filling_bytes: u64,
    filling_dirs: usize,
    in_flight: VecDeque<BatchInFlight>,
    /// Number of directories that the batches in flight hold open, with a limit for each batch and for all of them.
    dirs: usize,
    batch_dirs_max: usize,
    dirs_max: usize,
    /// The frames that the files of `filling` hold, and the memory of these frames in bytes.
    filling_frames: HashSet<FrameId>,
    filling_frame_bytes: usize,
    /// For each batch in flight, the frames that it holds.
    frames_in_flight: VecDeque<HashSet<FrameId>>,
    /// The frames of all batches.
    frames: HeldFrames,
    /// The batch whose results [`FilePrefetcher::next`] returns.
    current: PrefetchedBatch,
    spare: Vec<Vec<u8>>,
}

impl FilePrefetcher {
    pub fn new(pool: Arc<Pool>, source: Source, devices: Arc<Devices>, signing: SigningRule) -> Self {
        let dirs_max = pool.descriptors().saturating_sub(THREAD_FILES * pool.threads()).max(1);
        FilePrefetcher {
            dirs: 0,
            batch_dirs_max: BATCH_DIRS.min(dirs_max.div_ceil(4)),
            dirs_max,
            pool,
            source,
            devices,
            signing,
            filling: Vec::new(),
            filling_bytes: 0,
            filling_dirs: 0,
            in_flight: VecDeque::new(),
            filling_frames: HashSet::new(),
            filling_frame_bytes: 0,
            frames_in_flight: VecDeque::new(),
            frames: HeldFrames::default(),
            current: PrefetchedBatch::default(),
            spare: Vec::new(),
        }
    }

    /// True if the workers have enough batches for now.
    pub fn is_busy(&self) -> bool {
        let is_wide = self.dirs + self.batch_dirs_max > self.dirs_max;
        self.in_flight.len() > 2 * self.pool.threads() || self.frames.memory() >= FRAMES_MAX || is_wide
    }

    /// Waits until all batches are read, and closes their directories.
    pub fn close_dirs(&mut self) {
        self.hand_over();
        self.in_flight.iter().for_each(|batch| batch.results.until_ended());
        self.source = self.source.another();
    }

    /// Adds a file of probably `size` bytes. `old` describes the old content: the file may still have this content,
    /// or a delta may be made against it. Returns false if the directory cannot be opened: the later read of the file
    /// reports the reason.
    pub fn add(&mut self, path: &Path, size: u64, old: Option<OldContent>) -> bool {
        let Ok(dir) = self.source.dir_of(path).cloned() else { return false };
        if self.filling.last().is_none_or(|last| !Arc::ptr_eq(&last.dir, &dir)) {
            self.filling_dirs += 1;
        }
        let bytes = size.saturating_add(old.as_ref().map_or(0, OldContent::basis_len));
        for (frame, len) in old.iter().flat_map(OldContent::frames) {
            if self.filling_frames.insert(frame) {
                self.frames.hold(frame, len);
                self.filling_frame_bytes += len;
            }
        }
        self.filling_bytes = self.filling_bytes.saturating_add(bytes);
        self.filling.push(FileToRead { dir, name: path.name().into(), old });
        let full = self.filling.len() >= BATCH_FILES || self.filling_dirs >= self.batch_dirs_max;
        if full || self.filling_bytes >= BATCH_BYTES || self.filling_frame_bytes >= BATCH_FRAMES {
            self.hand_over();
        }
        true
    }

    /// Returns the result of the next file, in the order of adding; `None` if no file is left.
    pub fn next(&mut self) -> Option<PrefetchedFile> {
        if self.current.files.is_empty() {
            if self.in_flight.is_empty() {
                self.hand_over();
            }
            let BatchInFlight { results, dirs } = self.in_flight.pop_front()?;
            self.dirs -= dirs;
            let next = results.wait();
            let frames = self.frames_in_flight.pop_front().unwrap_or_default();
            frames.into_iter().for_each(|frame| self.frames.release(frame));
            let done = std::mem::replace(&mut self.current, next);
            self.spare.extend(Arc::into_inner(done.buffer));
        }
        let small = self.current.files.pop_front()?;
        Some(PrefetchedFile { small, buffer: self.current.buffer.clone() })
    }

    fn hand_over(&mut self) {
        let (wanted, dirs) = (std::mem::take(&mut self.filling), self.filling_dirs);
        (self.filling_bytes, self.filling_dirs, self.filling_frame_bytes) = (0, 0, 0);
        if wanted.is_empty() {
            return;
        }
        self.frames_in_flight.push_back(std::mem::take(&mut self.filling_frames));
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        let (devices, signing) = (self.devices.clone(), self.signing);
        let results = self.pool.run(move || {
            let mut search = FineSearch::default();
            let read = |file| read(file, &devices, signing, &mut buffer, &mut search);
            let files = wanted.iter().map(read).collect();
            PrefetchedBatch { files, buffer: Arc::new(buffer) }
        });
        self.dirs += dirs;
        self.in_flight.push_back(BatchInFlight { results, dirs });
    }
}

fn read(
    wanted: &FileToRead,
    devices: &Devices,
    signing: SigningRule,
    buffer: &mut Vec<u8>,
    search: &mut FineSearch,
) -> FileResult<Option<SmallFileResult>> {
    let file = wanted.dir.open_file(&wanted.name)?;
    small::read(&file, devices, wanted.old.as_ref(), signing, buffer, search)
}
