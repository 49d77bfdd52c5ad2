//! The frames used last, of any number of files.

use std::collections::VecDeque;
use std::sync::Arc;

use super::buffers::Buffers;
use super::{Frame, FRAME_LEN};

/// More frames than this are not held, however short they are.
const HELD_MAX: usize = 256;

/// Items by (file, frame), least recently used first out, with the bytes that each counts for. Small: looked
/// through in order.
#[derive(Debug)]
pub struct RecentFrames<T> {
    /// Most recently used first.
    held: VecDeque<RecentFrame<T>>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct RecentFrame<T> {
    id: (u32, usize),
    len: usize,
    item: T,
}

impl<T> RecentFrames<T> {
    /// Room for `frames` of [`FRAME_LEN`]; larger ones of other tools count for more. One frame is always
    /// held.
    pub fn new(frames: usize) -> Self {
        RecentFrames { held: VecDeque::new(), bytes: 0, bytes_max: frames.saturating_mul(FRAME_LEN) }
    }

    /// Finds an item, which is the most recently used one then.
    pub fn get(&mut self, file: u32, frame: usize) -> Option<&T> {
        let at = self.held.iter().position(|held| held.id == (file, frame))?;
        if at > 0 {
            let hit = self.held.remove(at)?;
            self.held.push_front(hit);
        }
        self.held.front().map(|hit| &hit.item)
    }

    /// Adds an item of `len` bytes that [`RecentFrames::get`] did not find.
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

/// Frames by (file, frame).
#[derive(Debug)]
pub struct FrameCache {
    recent: RecentFrames<Arc<Frame>>,
    /// What frames that went leave to those that come.
    pub(super) buffers: Arc<Buffers>,
}

impl FrameCache {
    /// See [`RecentFrames::new`].
    pub fn new(frames: usize) -> Self {
        FrameCache { recent: RecentFrames::new(frames), buffers: Arc::default() }
    }

    pub fn get(&mut self, file: u32, frame: usize) -> Option<Arc<Frame>> {
        self.recent.get(file, frame).cloned()
    }

    /// Adds a frame that [`FrameCache::get`] did not find. It counts as what it makes, decoded or not.
    pub fn put(&mut self, file: u32, number: usize, frame: Arc<Frame>) {
        self.recent.put(file, number, frame.len(), frame);
    }
}

impl Default for FrameCache {
    fn default() -> Self {
        FrameCache::new(16)
    }
}
