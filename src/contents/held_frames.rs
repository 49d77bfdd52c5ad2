//! Counts the memory of frames that batches of fetched contents hold until workers have made the contents.

use std::collections::HashMap;

use super::reader::FrameId;

/// The frames that some batches hold. A frame that several batches hold takes memory once.
#[derive(Default)]
pub struct HeldFrames {
    /// For each frame, the number of batches that hold it and its memory in bytes.
    frames: HashMap<FrameId, (usize, usize)>,
    memory: usize,
}

impl HeldFrames {
    /// Counts one more batch that holds a frame, which takes `memory` bytes.
    pub fn hold(&mut self, id: FrameId, memory: usize) {
        let (batches, held) = self.frames.entry(id).or_insert((0, memory));
        if *batches == 0 {
            self.memory += *held;
        }
        *batches += 1;
    }

    /// Counts one batch fewer that holds a frame.
    pub fn release(&mut self, id: FrameId) {
        let Some((batches, held)) = self.frames.get_mut(&id) else { return };
        *batches -= 1;
        if *batches == 0 {
            self.memory -= *held;
            self.frames.remove(&id);
        }
    }

    /// Bytes of all frames that are held.
    pub fn memory(&self) -> usize {
        self.memory
    }
}
