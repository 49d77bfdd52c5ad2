//! Fetches the frames that a reader needs next, and decodes them on other threads.

use std::collections::VecDeque;

use crate::error::Result;
use crate::store::Store;

use super::archives::FileRange;
use super::reader::{Contents, FrameId};

/// The stored bytes of the frames fetched ahead may exceed the limit for decoded bytes by this number of bytes. Frames
/// that do not compress have more stored bytes than decoded bytes.
const STORED_MORE: u64 = 1 << 20;
/// Greatest number of frames fetched ahead, even if all of them are short.
const FRAMES_AHEAD: usize = 64;

/// Walks along ranges of files, some frames ahead of the reader.
pub(super) struct Prefetch<I> {
    /// `None` after the last range, or after a frame could not be fetched. The reader then fetches that frame itself
    /// and gets the error.
    ranges: Option<I>,
    /// The rest of the current range.
    range: Option<FileRange>,
    /// Fetched frames that the reader has not reached, with their decoded and stored lengths.
    waiting: VecDeque<(FrameId, u64, u64)>,
    bytes: u64,
    stored: u64,
}

impl<I: Iterator<Item = FileRange>> Prefetch<I> {
    pub fn new(ranges: I) -> Self {
        Prefetch { ranges: Some(ranges), range: None, waiting: VecDeque::new(), bytes: 0, stored: 0 }
    }

    /// Notes that the reader has reached the frame `now`, and fetches the next frames. Leaves errors of
    /// stored bytes to the reader. Returns only errors that end all reading.
    pub fn follow(&mut self, now: FrameId, contents: &mut Contents, store: &mut dyn Store) -> Result<()> {
        if !contents.has_pool() {
            return Ok(());
        }
        if let Some((_, len, stored)) = self.waiting.front().copied().filter(|(id, ..)| *id == now) {
            self.waiting.pop_front();
            self.bytes -= len;
            self.stored -= stored;
        }
        while self.bytes < contents.limits.ahead && self.waiting.len() < FRAMES_AHEAD && self.ranges.is_some()
        {
            match self.step(now, contents, store) {
                Err(error) if error.ends_reading() => return Err(error),
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => self.ranges = None,
            }
        }
        Ok(())
    }

    /// Fetches the next frame. False if the frame would exceed a limit.
    fn step(&mut self, now: FrameId, contents: &mut Contents, store: &mut dyn Store) -> Result<bool> {
        let Some(range) = self.range.take().or_else(|| self.ranges.as_mut().and_then(I::next)) else {
            self.ranges = None;
            return Ok(true);
        };
        let index = contents.index(store, range.file)?;
        let Some(part) = index.parts(range.offset, range.len)?.next() else { return Ok(true) };
        let id = (range.file, part.frame);
        if id != now && !contents.has_decoded(id) {
            let (span, file_span) = (index.span(part.frame), index.stored(part.frame));
            let (len, stored) = (span.end - span.start, file_span.end - file_span.start);
            let ahead = contents.limits.ahead;
            if self.bytes + len > ahead || self.stored + stored > ahead + STORED_MORE {
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
        self.range = (len > 0).then_some(FileRange { offset, len, ..range });
        Ok(true)
    }
}
