//! The frames used last, of any number of files.

use std::collections::VecDeque;
use std::sync::Arc;

use super::FRAME_LEN;

/// Decoded frames by (file, frame), least recently used first out. Small: looked through in order.
#[derive(Debug)]
pub struct FrameCache {
    /// Most recently used first.
    held: VecDeque<(u32, usize, Arc<Vec<u8>>)>,
    bytes: usize,
    bytes_max: usize,
}

impl FrameCache {
    /// Room for `frames` of [`FRAME_LEN`]; larger ones of other tools count for more. One frame is always
    /// held.
    pub fn new(frames: usize) -> Self {
        FrameCache { held: VecDeque::new(), bytes: 0, bytes_max: frames.saturating_mul(FRAME_LEN) }
    }

    pub fn get(&mut self, file: u32, frame: usize) -> Option<Arc<Vec<u8>>> {
        let at = self.held.iter().position(|held| held.0 == file && held.1 == frame)?;
        if at > 0 {
            let hit = self.held.remove(at)?;
            self.held.push_front(hit);
        }
        self.held.front().map(|hit| hit.2.clone())
    }

    /// Adds a frame that [`FrameCache::get`] did not find.
    pub fn put(&mut self, file: u32, frame: usize, bytes: Arc<Vec<u8>>) {
        self.bytes += bytes.len();
        self.held.push_front((file, frame, bytes));
        while self.held.len() > 1 && self.bytes > self.bytes_max {
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
