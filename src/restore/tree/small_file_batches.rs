//! The small files of a new tree that other threads are writing, in batches. A batch also holds the entries between
//! its files, so that the restore reports all entries in path order, when their batch has finished.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::contents::FetchedContent;
use crate::contents::StateArchives;
use crate::contents::{Contents, FrameId, HeldFrames};
use crate::entry::{Entry, File, LinkSet, Node};
use crate::error::{Error, Result};
use crate::job::Counter;
use crate::platform::patiently;
use crate::pool::{Pending, Pool};
use crate::store::Store;

use super::Tree;
use super::attributes::MetadataPolicy;
use super::existing::EntryVerdict;
use super::small::{BatchResults, BatchStep, Maker, SmallFile, StepOutcome, is_small};
use super::target_dir::TargetDir;

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

pub(super) struct SmallFileBatches {
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
    fn has_name_of(&self, entry: &Entry) -> bool {
        entry.link_set().is_some_and(|set| self.sets.contains(&set))
    }

    fn add(&mut self, step: BatchStep) {
        if let BatchStep::File(small) = &step {
            self.sets.extend(small.entry.link_set());
        }
        self.filling.add(step);
    }

    /// Hands the current batch to the pool.
    fn start(&mut self) {
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
    fn close_dirs(&mut self) {
        self.start();
        self.in_flight.iter().for_each(|batch| batch.made.until_ended());
    }

    fn is_over_limits(&self) -> bool {
        let enough = (2 * self.pool.threads() + 2).min(BATCHES_MAX);
        let heavy = self.frames.memory() > FRAMES_MAX || self.entry_bytes > ENTRIES_MAX;
        let is_wide = self.dirs + self.batch_dirs_max > self.dirs_max;
        self.in_flight.len() > enough || (self.in_flight.len() > 1 && heavy) || is_wide
    }

    /// Waits for the oldest batch.
    fn collect_oldest(&mut self) -> Option<BatchResults> {
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

/// The directory of a file, and its content as in [`SmallFile`].
type FetchedFile = (Arc<TargetDir>, Result<Option<FetchedContent>>);

impl Drop for SmallFileBatches {
    fn drop(&mut self) {
        self.maker.stopped.store(true, Ordering::Relaxed);
    }
}

impl Tree<'_, '_> {
    /// Makes an entry of a new tree, or adds the entry to the current batch.
    pub(super) fn send(
        &mut self,
        store: &mut dyn Store,
        contents: &mut Contents,
        small_files: &mut SmallFileBatches,
        entry: Entry,
    ) -> Result<()> {
        if small_files.has_name_of(&entry) || self.is_further_name(&entry) {
            // If the other name cannot be made, the pass that makes links makes this one.
            return self.push_link(&entry);
        }
        match &entry.node {
            Node::Dir => {}
            Node::Symlink(_) => return self.push_link(&entry),
            Node::File(file) => {
                if !is_small(&entry, file) {
                    self.collect_all(store, contents, small_files)?;
                    let done = patiently(Error::is_shortage, || self.file(store, contents, &entry, file));
                    return self.or_obstructed(&entry.path, false, done);
                }
            }
            Node::Fifo | Node::Char(_) | Node::Block(_) => {
                self.collect_all(store, contents, small_files)?;
                let done = self.special(&entry);
                return self.or_obstructed(&entry.path, false, done);
            }
        }
        let step = match self.step(store, contents, &entry) {
            Err(error) if error.is_shortage() => {
                small_files.close_dirs();
                self.target.forget_current();
                patiently(Error::is_shortage, || self.step(store, contents, &entry))
            }
            step => step,
        };
        match step {
            Ok(Some((target_dir, content))) => {
                small_files.add(BatchStep::File(SmallFile { entry, target_dir, content }))
            }
            Ok(None) => small_files.add(BatchStep::Made(entry)),
            Err(error) => {
                // Reports the earlier entries before this error.
                self.collect_all(store, contents, small_files)?;
                return self.or_obstructed(&entry.path, entry.node == Node::Dir, Err(error));
            }
        }
        if small_files.filling.is_full(small_files.batch_dirs_max) {
            small_files.start();
        }
        while small_files.is_over_limits() && self.collect_oldest(store, contents, small_files)? {}
        Ok(())
    }

    /// Makes a directory, or fetches the content of a file and opens its directory.
    fn step(
        &mut self,
        store: &mut dyn Store,
        contents: &mut Contents,
        entry: &Entry,
    ) -> Result<Option<FetchedFile>> {
        if entry.node == Node::Dir {
            return self.make_dir(entry).map(|()| None);
        }
        let content = match contents.gather(store, entry) {
            Err(error) if error.ends_reading() => return Err(error),
            content => content,
        };
        Ok(Some((self.target.target_dir(entry)?, content)))
    }

    /// Starts the current batch and waits for all batches.
    pub(super) fn collect_all(
        &mut self,
        store: &mut dyn Store,
        contents: &mut Contents,
        small_files: &mut SmallFileBatches,
    ) -> Result<()> {
        small_files.start();
        while self.collect_oldest(store, contents, small_files)? {}
        Ok(())
    }

    /// Waits for the oldest batch and reports its entries. False if no batch is left.
    fn collect_oldest(
        &mut self,
        store: &mut dyn Store,
        contents: &mut Contents,
        small_files: &mut SmallFileBatches,
    ) -> Result<bool> {
        let Some(results) = small_files.collect_oldest() else { return Ok(false) };
        for (entry, outcome) in results {
            match (outcome, entry.file()) {
                (StepOutcome::Made, _) | (_, None) => self.told(&entry, &EntryVerdict::Create)?,
                (StepOutcome::Written(failed), Some(file)) => self.written(&entry, file, failed)?,
                (StepOutcome::Lost(read, error), Some(_)) => {
                    self.job.report.count(Counter::BytesRead, read);
                    self.job.advance(read)?;
                    self.lost(contents, &entry, error)?;
                }
                (StepOutcome::Refused, Some(file)) => {
                    let mut done = self.file(store, contents, &entry, file);
                    if done.as_ref().is_err_and(Error::is_shortage) {
                        small_files.close_dirs();
                        done = patiently(Error::is_shortage, || self.file(store, contents, &entry, file));
                    }
                    self.or_obstructed(&entry.path, false, done)?;
                }
                (StepOutcome::Failed(error), _) => self.or_obstructed(&entry.path, false, Err(error))?,
            }
        }
        Ok(true)
    }

    fn written(&mut self, entry: &Entry, file: &File, failed: Vec<Error>) -> Result<()> {
        let len = file.data_len();
        self.job.report.count(Counter::BytesRead, len);
        self.job.report.count(Counter::BytesWritten, len);
        self.job.advance(len)?;
        self.not_set(&entry.path, failed)?;
        self.remember_first(entry, &EntryVerdict::Create, None);
        self.told(entry, &EntryVerdict::Create)
    }
}
