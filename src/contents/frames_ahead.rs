//! Chooses the frames that the store begins to read before they are needed. Where every call of the store takes long, a
//! restore then waits for one call in place of many.
//!
//! Archives have their members in the order in which a restore and a verify need them. So the frames after the one that
//! is read now are needed next, unless their contents belong to other snapshots.

use std::collections::HashMap;

use crate::format::FrameIndex;
use crate::store::Store;

use super::reader::FrameId;

/// The most frames that are begun ahead. The store's own limits are usually lower.
const AHEAD_MAX: usize = 64;

/// The frames of each file that were fetched and begun last.
#[derive(Default)]
pub(super) struct FramesAhead {
    runs: HashMap<u32, FrameRun>,
    /// Most of each file will be read.
    pub reads_all: bool,
}

/// Frames of a file that are fetched one after the other.
struct FrameRun {
    /// The frame that was fetched last.
    last: usize,
    /// All frames before this one were begun, or passed.
    begun: usize,
    /// Number of frames to begin ahead.
    ahead: usize,
}

impl FrameRun {
    fn first(number: usize, reads_all: bool) -> Self {
        FrameRun { last: number, begun: number, ahead: if reads_all && number == 0 { AHEAD_MAX } else { 0 } }
    }

    /// The run goes on with the frame `number`: twice as far ahead, if it is the next frame. Another run begins if the
    /// frame is neither the next one nor one that was begun.
    fn go_on(&mut self, number: usize) {
        if number == self.last + 1 {
            self.ahead = (2 * self.ahead).clamp(1, AHEAD_MAX);
        } else if number < self.last || number >= self.begun.max(self.last + 1) {
            *self = FrameRun::first(number, false);
        }
        self.last = number;
        self.begun = self.begun.max(number);
    }
}

impl FramesAhead {
    /// Notes that a frame is about to be fetched. Begins to read it together with the frames that are needed next.
    pub fn fetching(&mut self, store: &mut dyn Store, index: &FrameIndex, (file, number): FrameId) {
        let reads_all = self.reads_all;
        let run = self.runs.entry(file).or_insert_with(|| FrameRun::first(number, reads_all));
        if run.last != number {
            run.go_on(number);
        }
        let end = (number + 1 + run.ahead).min(index.count());
        // A frame that is fetched alone is fetched by its reader.
        if end == number + 1 {
            return;
        }
        while run.begun < end && store.read_ahead(index.name(), index.stored(run.begun)) {
            run.begun += 1;
        }
    }
}
