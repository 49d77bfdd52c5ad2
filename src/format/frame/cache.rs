//! Keeps the most recently used frames of any number of files.

use std::collections::VecDeque;
use std::sync::Arc;

use super::buffers::Buffers;
use super::{FRAME_LEN, Frame};

/// The most frames that a cache holds, even if all of them are short: a lookup goes through all frames.
const HELD_MAX: usize = 256;

/// A cache of items by (file, frame) with a limit of bytes. The least recently used item is dropped first. A
/// lookup is a linear search, because the cache is small.
#[derive(Debug)]
pub struct RecentFrames<T> {
    /// Most recently used first.
    held: VecDeque<RecentFrame<T>>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct RecentFrame<T> {
    /// The file and the frame.
    id: (u32, usize),
    /// The bytes that the item adds to `bytes` of the cache.
    len: usize,
    item: T,
}

impl<T> RecentFrames<T> {
    /// A cache for `frames` frames of [`FRAME_LEN`] bytes. A longer frame of another tool counts as its
    /// length. The cache holds at least one frame, even if the frame is longer than the limit.
    pub fn new(frames: usize) -> Self {
        RecentFrames { held: VecDeque::new(), bytes: 0, bytes_max: frames.saturating_mul(FRAME_LEN) }
    }

    /// Finds an item and makes it the most recently used item.
    pub fn get(&mut self, file: u32, frame: usize) -> Option<&T> {
        let at = self.held.iter().position(|held| held.id == (file, frame))?;
        if at > 0 {
            let hit = self.held.remove(at)?;
            self.held.push_front(hit);
        }
        self.held.front().map(|hit| &hit.item)
    }

    /// Adds an item that counts for `len` bytes. The caller must try [`RecentFrames::get`] first: the cache
    /// must not hold the item already.
    pub fn put(&mut self, file: u32, frame: usize, len: usize, item: T) {
        self.bytes += len;
        self.held.push_front(RecentFrame { id: (file, frame), len, item });
        while self.held.len() > 1 && (self.bytes > self.bytes_max || self.held.len() > HELD_MAX) {
            if let Some(oldest) = self.held.pop_back() {
                self.bytes -= oldest.len;
            }
        }
    }
}

/// A cache of frames by (file, frame).
#[derive(Debug)]
pub struct FrameCache {
    recent: RecentFrames<Arc<Frame>>,
    /// The memory of dropped frames, for new frames.
    pub(super) buffers: Arc<Buffers>,
}

impl FrameCache {
    /// A cache for `frames` frames; see [`RecentFrames::new`].
    pub fn new(frames: usize) -> Self {
        FrameCache { recent: RecentFrames::new(frames), buffers: Arc::default() }
    }

    pub fn get(&mut self, file: u32, frame: usize) -> Option<Arc<Frame>> {
        self.recent.get(file, frame).cloned()
    }

    /// Adds a frame that [`FrameCache::get`] did not find. The frame counts as its uncompressed length, even
    /// before it is decoded.
    pub fn put(&mut self, file: u32, number: usize, frame: Arc<Frame>) {
        self.recent.put(file, number, frame.len(), frame);
    }
}

impl Default for FrameCache {
    fn default() -> Self {
        FrameCache::new(16)
    }
}
