//! Reads ranges of stored files before they are needed, several at once, on threads of their own.
//!
//! A call of a storage that is far away takes tens of milliseconds, however few bytes it reads. So a reader that knows
//! its next ranges begins to read them ([`super::Store::read_ahead`]), and finds their bytes here when it needs them.
//! An error of such a read is the error of the reader's own read of that range. A range that nobody needs costs its
//! bytes, and its error is dropped.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{StateFile, Store};
use crate::error::{Error, Result};
use crate::job::Cancel;
use crate::pool::{Pending, Pool};

/// Number of threads, and so of reads at once.
const THREADS: usize = 8;
/// The most ranges that are read ahead or wait for their reader.
const RANGES_MAX: usize = 2 * THREADS;
/// The most bytes of these ranges.
const BYTES_MAX: u64 = 24 << 20;
/// A range that none of the next reads of this number needs is forgotten: the reader went elsewhere.
const READS_MAX: u64 = 64;

/// Bytes that are read ahead with one call.
const CALL_MAX: u64 = 4 << 20;
/// A summary needs this number of bytes at the end of a state, and a few at the beginning. A state of at most twice
/// this length is read whole with one call.
const SUMMARY: u64 = 64 << 10;

/// A store that reads ahead as long as this value exists, also if the operation panics.
pub struct ReadingAhead<'s>(&'s mut dyn Store);

impl<'s> ReadingAhead<'s> {
    pub fn start(store: &'s mut dyn Store, cancel: &Cancel) -> Self {
        store.start_reading_ahead(cancel);
        ReadingAhead(store)
    }

    pub fn store(&mut self) -> &mut dyn Store {
        self.0
    }
}

impl Drop for ReadingAhead<'_> {
    fn drop(&mut self) {
        self.0.stop_reading_ahead();
    }
}

/// The ranges of files that an operation reads next, in this order.
#[derive(Default)]
pub struct ComingReads(VecDeque<(String, Range<u64>)>);

impl ComingReads {
    pub fn of(ranges: impl Iterator<Item = (String, Range<u64>)>) -> Self {
        ComingReads(ranges.collect())
    }

    /// The reads of the summaries of states.
    pub fn summaries<'s>(states: impl Iterator<Item = &'s StateFile>) -> Self {
        let start = |size: u64| if size <= 2 * SUMMARY { 0 } else { size - SUMMARY };
        ComingReads::of(states.map(|state| (state.name.clone(), start(state.size)..state.size)))
    }

    /// Notes that the operation reads `name` at `offset` now, and leaves out what comes before. Begins to read as much
    /// of the rest as the store reads ahead.
    pub fn begin(&mut self, store: &mut dyn Store, name: &str, offset: u64) {
        if let Some(at) = self.0.iter().position(|(coming, _)| coming == name) {
            self.0.drain(..at);
            if let Some((_, range)) = self.0.front_mut() {
                range.start = range.start.max(offset.min(range.end));
            }
        }
        while let Some((name, range)) = self.0.front_mut() {
            let end = range.start.saturating_add(CALL_MAX).min(range.end);
            if range.start < end && !store.read_ahead(name, range.start..end) {
                return;
            }
            range.start = end;
            if range.is_empty() {
                self.0.pop_front();
            }
        }
    }
}

/// The ranges of one operation that are read ahead.
pub struct ReadAhead {
    /// Started with the first range.
    pool: Option<Pool>,
    cancel: Cancel,
    /// Set when the operation ends: reads that have not begun are left out.
    is_ended: Arc<AtomicBool>,
    ranges: Vec<RangeAhead>,
    /// Number of reads so far.
    reads: u64,
}

struct RangeAhead {
    name: String,
    range: Range<u64>,
    bytes: RangeBytes,
    /// Number of bytes that readers got.
    taken: u64,
    /// The number of the last read that used the range, or of the last one before the range was begun.
    used: u64,
}

enum RangeBytes {
    Pending(Pending<Result<Vec<u8>>>),
    /// Fewer bytes than the range has mean that the file ends there.
    Read(Vec<u8>),
}

impl ReadAhead {
    pub fn new(cancel: &Cancel) -> Self {
        ReadAhead {
            pool: None,
            cancel: cancel.clone(),
            is_ended: Arc::default(),
            ranges: Vec::new(),
            reads: 0,
        }
    }

    /// Begins to read a range with `read`, which fills a buffer as far as the file goes and returns the number of
    /// bytes. True if the range is being read now, or was read already; false if too many others are.
    pub fn begin(
        &mut self,
        name: &str,
        range: Range<u64>,
        read: impl FnOnce(&mut [u8]) -> Result<usize> + Send + 'static,
    ) -> bool {
        self.forget_unused();
        let holds = |held: &RangeAhead| {
            held.name == name && held.range.start <= range.start && range.end <= held.range.end
        };
        if self.ranges.iter().any(holds) {
            return true;
        }
        let len = range.end.saturating_sub(range.start);
        let held: u64 = self.ranges.iter().map(|held| held.range.end - held.range.start).sum();
        if len == 0 || held.saturating_add(len) > BYTES_MAX || self.ranges.len() >= RANGES_MAX {
            return false;
        }
        if self.pool.is_none() {
            self.pool = Pool::new(THREADS).ok();
        }
        let Some(pool) = &self.pool else { return false };
        let (cancel, is_ended) = (self.cancel.clone(), self.is_ended.clone());
        let pending = pool.run(move || {
            if cancel.requested() || is_ended.load(Ordering::Relaxed) {
                return Err(Error::cancelled());
            }
            let mut bytes = Vec::new();
            let no_memory = |_| Error::own("read ahead", &std::io::ErrorKind::OutOfMemory.into());
            bytes.try_reserve_exact(len as usize).map_err(no_memory)?;
            bytes.resize(len as usize, 0);
            let got = read(&mut bytes)?;
            bytes.truncate(got);
            Ok(bytes)
        });
        let bytes = RangeBytes::Pending(pending);
        self.ranges.push(RangeAhead { name: name.to_string(), range, bytes, taken: 0, used: self.reads });
        true
    }

    /// Reads into `buf` from a range that has the byte at `offset`, and waits for the range if necessary. Returns the
    /// number of bytes: 0 if the file has no byte at `offset`, and perhaps fewer than `buf` has room for. `None` if no
    /// range has the byte.
    pub fn read(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> Option<Result<usize>> {
        self.reads += 1;
        let has = |held: &RangeAhead| held.name == name && held.range.contains(&offset);
        let index = self.ranges.iter().position(has)?;
        let RangeAhead { name, range, bytes, taken, .. } = self.ranges.swap_remove(index);
        let bytes = match bytes {
            RangeBytes::Read(bytes) => bytes,
            RangeBytes::Pending(pending) => match pending.wait() {
                Ok(bytes) => bytes,
                Err(error) => return Some(Err(error)),
            },
        };
        let from = bytes.get((offset - range.start) as usize..).unwrap_or_default();
        let len = from.len().min(buf.len());
        buf[..len].copy_from_slice(&from[..len]);
        let taken = taken + len as u64;
        if taken < bytes.len() as u64 {
            let bytes = RangeBytes::Read(bytes);
            self.ranges.push(RangeAhead { name, range, bytes, taken, used: self.reads });
        }
        Some(Ok(len))
    }

    fn forget_unused(&mut self) {
        let reads = self.reads;
        self.ranges.retain(|held| reads - held.used <= READS_MAX);
    }
}

/// Waits for the reads that have begun.
impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.is_ended.store(true, Ordering::Relaxed);
    }
}
