//! The frames used last, of any number of files.

use std::collections::VecDeque;
use std::sync::Arc;

use super::buffers::Buffers;
use super::{Frame, FRAME_LEN};

/// More frames than this are not held, however short they are.
const HELD_MAX: usize = 256;

/// Frames by (file, frame), least recently used first out. Small: looked through in order.
#[derive(Debug)]
pub struct FrameCache {
    /// Most recently used first.
    held: VecDeque<(u32, usize, Arc<Frame>)>,
    bytes: usize,
    bytes_max: usize,
    /// What frames that went leave to those that come.
    pub(super) buffers: Arc<Buffers>,
}

impl FrameCache {
    /// Room for `frames` of [`FRAME_LEN`]; larger ones of other tools count for more. One frame is always
    /// held.
    pub fn new(frames: usize) -> Self {
        let bytes_max = frames.saturating_mul(FRAME_LEN);
        FrameCache { held: VecDeque::new(), bytes: 0, bytes_max, buffers: Arc::default() }
    }

    pub fn get(&mut self, file: u32, frame: usize) -> Option<Arc<Frame>> {
        let at = self.held.iter().position(|held| held.0 == file && held.1 == frame)?;
        if at > 0 {
            let hit = self.held.remove(at)?;
            self.held.push_front(hit);
        }
        self.held.front().map(|hit| hit.2.clone())
    }

    /// Adds a frame that [`FrameCache::get`] did not find. It counts as what it makes, decoded or not.
    pub fn put(&mut self, file: u32, number: usize, frame: Arc<Frame>) {
        self.bytes += frame.len();
        self.held.push_front((file, number, frame));
        while self.held.len() > 1 && (self.bytes > self.bytes_max || self.held.len() > HELD_MAX) {
            if let Some(oldest) = self.held.pop_back() {
                self.bytes -= oldest.2.len();
            }
        }
    }
}

impl Default for FrameCache {
    fn default() -> Self {
        FrameCache::new(16)
    }
}
