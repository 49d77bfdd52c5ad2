//! The small files of a new tree that other threads are writing, in batches. A batch also holds the entries between
//! its files, so that the restore reports all entries in path order, when their batch has finished.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::contents::{FrameId, HeldFrames, StateArchives};
use crate::entry::{Entry, File, LinkSet};
use crate::pool::{Pending, Pool};
use crate::restore::tree::metadata::MetadataPolicy;

use super::maker::{BatchResults, BatchStep, Maker, SmallFile};

/// A batch has at most this many entries, this many files, and files from this many directories (each stays open).
/// With few descriptors, a batch has fewer directories.
const STEPS_MAX: usize = 512;
const FILES_MAX: usize = 256;
const DIRS_MAX: usize = 8;
/// A batch ends at this many bytes of content, of entries in memory, or of decoded frames.
const DATA_ENOUGH: u64 = 4 << 20;
const ENTRIES_ENOUGH: usize = 4 << 20;
const FRAMES_ENOUGH: usize = 8 << 20;
/// Limits for all started batches together: their number, the bytes of their decoded frames and the bytes of their
/// entries.
const BATCHES_MAX: usize = 16;
const FRAMES_MAX: usize = 16 << 20;
const ENTRIES_MAX: usize = 16 << 20;

pub struct SmallFileBatches {
    pool: Arc<Pool>,
    maker: Maker,
    filling: SmallFileBatch,
    in_flight: VecDeque<StartedBatch>,
    /// The frames that the started batches hold.
    frames: HeldFrames,
    entry_bytes: usize,
    /// Number of directories that the started batches hold open, with a limit for each batch and for all of them.
    dirs: usize,
    batch_dirs_max: usize,
    dirs_max: usize,
    /// Hard-link sets that have a name in the current batch or in a started batch.
    sets: HashSet<LinkSet>,
}

/// A batch that the pool is working on.
struct StartedBatch {
    made: Pending<BatchResults>,
    /// The frames that the batch holds.
    frames: Vec<FrameId>,
    entry_bytes: usize,
    dirs: usize,
}

/// Consecutive entries.
#[derive(Default)]
struct SmallFileBatch {
    steps: Vec<BatchStep>,
    files: usize,
    dirs: usize,
    data: u64,
    frames: HashMap<FrameId, usize>,
    frame_bytes: usize,
    entry_bytes: usize,
}

impl SmallFileBatch {
    fn add(&mut self, step: BatchStep) {
        let (BatchStep::Made(entry) | BatchStep::File(SmallFile { entry, .. })) = &step;
        self.entry_bytes += entry.heap_len();
        if let BatchStep::File(small) = &step {
            let here = Some(Arc::as_ptr(&small.target_dir));
            let last = self.steps.iter().rev().find_map(|step| match step {
                BatchStep::File(small) => Some(Arc::as_ptr(&small.target_dir)),
                BatchStep::Made(_) => None,
            });
            self.dirs += usize::from(last != here);
            self.files += 1;
            self.data += small.entry.file().map_or(0, File::data_len);
            for (id, len) in small.content.iter().flatten().flat_map(|content| content.frames()) {
                if self.frames.insert(id, len).is_none() {
                    self.frame_bytes += len;
                }
            }
        }
        self.steps.push(step);
    }

    fn is_full(&self, dirs_max: usize) -> bool {
        self.steps.len() >= STEPS_MAX
            || self.files >= FILES_MAX
            || self.dirs >= dirs_max
            || self.data >= DATA_ENOUGH
            || self.entry_bytes >= ENTRIES_ENOUGH
            || self.frame_bytes >= FRAMES_ENOUGH
    }
}

impl SmallFileBatches {
    pub fn new(pool: Arc<Pool>, wanted: MetadataPolicy, archives: Arc<StateArchives>) -> Self {
        let maker = Maker { wanted, archives, stopped: Arc::new(AtomicBool::new(false)) };
        // Each thread has one file open.
        let dirs_max = pool.descriptors() - pool.threads();
        SmallFileBatches {
            dirs: 0,
            batch_dirs_max: DIRS_MAX.min(dirs_max.div_ceil(4)),
            dirs_max,
            pool,
            maker,
            filling: SmallFileBatch::default(),
            in_flight: VecDeque::new(),
            frames: HeldFrames::default(),
            entry_bytes: 0,
            sets: HashSet::new(),
        }
    }

    /// Whether a batch that is not collected has another name of the entry's hard-link set.
    pub fn has_name_of(&self, entry: &Entry) -> bool {
        entry.link_set().is_some_and(|set| self.sets.contains(&set))
    }

    pub fn add(&mut self, step: BatchStep) {
        if let BatchStep::File(small) = &step {
            self.sets.extend(small.entry.link_set());
        }
        self.filling.add(step);
    }

    /// Hands the current batch to the pool if it is full.
    pub fn start_if_full(&mut self) {
        if self.filling.is_full(self.batch_dirs_max) {
            self.start();
        }
    }

    /// Hands the current batch to the pool.
    pub fn start(&mut self) {
        let batch = std::mem::take(&mut self.filling);
        if batch.steps.is_empty() {
            return;
        }
        batch.frames.iter().for_each(|(&id, &len)| self.frames.hold(id, len));
        let (maker, entry_bytes) = (self.maker.clone(), batch.entry_bytes);
        let made = self.pool.run(move || maker.run(batch.steps));
        let frames = batch.frames.into_keys().collect();
        self.entry_bytes += entry_bytes;
        self.dirs += batch.dirs;
        self.in_flight.push_back(StartedBatch { made, frames, entry_bytes, dirs: batch.dirs });
    }

    /// Starts the current batch and waits for all started batches, so that they hold no directory open any more.
    pub fn close_dirs(&mut self) {
        self.start();
        self.in_flight.iter().for_each(|batch| batch.made.until_ended());
    }

    pub fn is_over_limits(&self) -> bool {
        let enough = (2 * self.pool.threads() + 2).min(BATCHES_MAX);
        let heavy = self.frames.memory() > FRAMES_MAX || self.entry_bytes > ENTRIES_MAX;
        let is_wide = self.dirs + self.batch_dirs_max > self.dirs_max;
        self.in_flight.len() > enough || (self.in_flight.len() > 1 && heavy) || is_wide
    }

    /// Waits for the oldest batch.
    pub fn collect_oldest(&mut self) -> Option<BatchResults> {
        let StartedBatch { made, frames, entry_bytes, dirs } = self.in_flight.pop_front()?;
        self.entry_bytes -= entry_bytes;
        self.dirs -= dirs;
        let results = made.wait();
        frames.into_iter().for_each(|id| self.frames.release(id));
        for (entry, _) in &results {
            entry.link_set().map(|set| self.sets.remove(&set));
        }
        Some(results)
    }
}

impl Drop for SmallFileBatches {
    fn drop(&mut self) {
        self.maker.stopped.store(true, Ordering::Relaxed);
    }
}
