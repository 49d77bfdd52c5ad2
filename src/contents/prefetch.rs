//! Looking ahead: frames that will be wanted soon are fetched, and decoded on other threads meanwhile.

use std::collections::VecDeque;

use crate::entry::Range;
use crate::error::Result;
use crate::store::Store;

use super::reader::{Contents, FrameId};

/// Bytes of frames that are fetched before they are wanted, decoded. Longer frames are never fetched ahead.
const BYTES_AHEAD: u64 = 16 << 20;
/// The same as they are stored, which is more than decoded where nothing could be compressed.
const STORED_AHEAD: u64 = 17 << 20;
/// And no more frames than this, however short they are.
const FRAMES_AHEAD: usize = 64;

/// Walks along ranges of archives, some frames before their reader.
pub(super) struct Prefetch<I> {
    /// `None` once nothing is left, or something could not be fetched: its reader will be told.
    ranges: Option<I>,
    /// What is left of the range that was come to.
    range: Option<Range>,
    /// Frames fetched that the reader has not come to, with their lengths decoded and stored.
    waiting: VecDeque<(FrameId, u64, u64)>,
    bytes: u64,
    stored: u64,
}

impl<I: Iterator<Item = Range>> Prefetch<I> {
    pub fn new(ranges: I) -> Self {
        Prefetch { ranges: Some(ranges), range: None, waiting: VecDeque::new(), bytes: 0, stored: 0 }
    }

    /// Notes that the reader has come to the frame `now`, and goes on. An error says nothing about stored
    /// bytes, and ends all reading.
    pub fn follow(&mut self, now: FrameId, contents: &mut Contents, store: &mut dyn Store) -> Result<()> {
        if !contents.has_pool() {
            return Ok(());
        }
        if let Some((_, len, stored)) = self.waiting.front().copied().filter(|(id, ..)| *id == now) {
            self.waiting.pop_front();
            self.bytes -= len;
            self.stored -= stored;
        }
        while self.bytes < BYTES_AHEAD && self.waiting.len() < FRAMES_AHEAD && self.ranges.is_some() {
            match self.step(now, contents, store) {
                Err(error) if error.ends_reading() => return Err(error),
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => self.ranges = None,
            }
        }
        Ok(())
    }

    /// Goes on by one frame. False if there is no room for it.
    fn step(&mut self, now: FrameId, contents: &mut Contents, store: &mut dyn Store) -> Result<bool> {
        let Some(range) = self.range.take().or_else(|| self.ranges.as_mut().and_then(I::next)) else {
            self.ranges = None;
            return Ok(true);
        };
        let index = contents.index(store, range.archive)?;
        let Some(part) = index.parts(range.offset, range.len)?.next() else { return Ok(true) };
        let id = (range.archive, part.frame);
        if id != now && !contents.holds(id) {
            let (span, file_span) = (index.span(part.frame), index.stored(part.frame));
            let (len, stored) = (span.end - span.start, file_span.end - file_span.start);
            if self.bytes + len > BYTES_AHEAD || self.stored + stored > STORED_AHEAD {
                self.range = Some(range);
                return Ok(false);
            }
            let frame = contents.frame(store, id)?;
            contents.decode(frame);
            self.waiting.push_back((id, len, stored));
            self.bytes += len;
            self.stored += stored;
        }
        let taken = part.bytes.len() as u64;
        let (offset, len) = (range.offset + taken, range.len - taken);
        self.range = (len > 0).then_some(Range { offset, len, ..range });
        Ok(true)
    }
}
