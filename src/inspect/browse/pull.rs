//! Gives the entries of a snapshot one at a time, whenever the caller asks for the next one.

use std::collections::VecDeque;

use crate::entry::Entry;
use crate::error::Result;
use crate::format::StateReader;

/// The most entries that are read at a time.
const BATCH_ENTRIES: usize = 256;
/// A batch ends when the lines of its entries have more bytes than this.
const BATCH_BYTES: u64 = 1 << 20;

/// The place of the next entry of a snapshot.
#[derive(Default)]
pub struct PullPlace {
    batch: VecDeque<Entry>,
    /// The offset of the line that was read last; `None` before the first one.
    last_read: Option<u64>,
}

impl PullPlace {
    /// The next entry, in the order of paths; `None` after the last one.
    pub fn next(&mut self, state: &mut StateReader) -> Result<Option<Entry>> {
        if self.batch.is_empty() {
            self.fill(state)?;
        }
        Ok(self.batch.pop_front())
    }

    fn fill(&mut self, state: &mut StateReader) -> Result<()> {
        let mut entries = match self.last_read {
            None => state.entries()?,
            Some(offset) => state.entries_from(offset)?,
        };
        if self.last_read.is_some() {
            entries.next().transpose()?;
        }
        let mut first = None;
        while let Some(entry) = entries.next().transpose()? {
            let offset = entries.offset();
            self.batch.push_back(entry);
            self.last_read = Some(offset);
            if self.batch.len() == BATCH_ENTRIES || offset - *first.get_or_insert(offset) > BATCH_BYTES {
                break;
            }
        }
        Ok(())
    }
}
