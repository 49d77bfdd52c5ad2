//! The archives that a state names, and the errors about damage in them.

use crate::delta;
use crate::entry::{Entry, File, Range};
use crate::error::{Error, Kind, Result};
use crate::format::ArchiveRef;

/// Limit for the deltas of a content: together they are at most as long as its data, or as this number of
/// bytes if that is more. This limits the work of reading them.
const DELTAS_LEN: u64 = 32 << 20;

/// The archives of one state, shared with the threads that make contents.
#[derive(Debug)]
pub struct StateArchives(Vec<ArchiveRef>);

impl StateArchives {
    pub fn new(archives: &[ArchiveRef]) -> Self {
        StateArchives(archives.to_vec())
    }

    pub fn get(&self, archive: u32) -> Result<&ArchiveRef> {
        let found = self.0.get(archive as usize);
        found.ok_or_else(|| Error::new(Kind::Corrupt, "read", "the state names no such archive"))
    }

    /// The name of the first archive that an entry needs, for messages.
    pub fn of(&self, entry: &Entry) -> Option<&str> {
        let range = entry.place.content.first()?;
        self.get(range.archive).ok().map(|archive| archive.name.as_str())
    }

    /// The error for a content that was read completely and differs from the backed-up content.
    pub fn differs(&self, entry: &Entry, file: &File) -> Error {
        let detail =
            format!("the content of {:?} is not what was backed up (expected {})", entry.path, file.hash);
        match entry.place.content.first() {
            Some(range) => self.damaged(range, detail),
            None => Error::new(Kind::Corrupt, "read", detail),
        }
    }

    /// Compares `made`, the number of bytes that the deltas of `entry` make, with its size. Does nothing for
    /// an entry without deltas.
    pub fn check_len(&self, entry: &Entry, made: u64) -> Result<()> {
        let wanted = entry.file().map_or(0, File::data_len);
        match entry.place.content.get(1..).and_then(<[Range]>::last).filter(|_| made != wanted) {
            None => Ok(()),
            Some(last) => {
                let detail = format!("the deltas of {:?} make {made} bytes, not {wanted}", entry.path);
                Err(self.damaged(last, detail))
            }
        }
    }

    /// Checks that the deltas of `entry` are not longer than any deltas that a backup stores.
    pub fn check_deltas(&self, entry: &Entry, deltas: &[Range]) -> Result<()> {
        let limit = entry.file().map_or(0, File::data_len).max(DELTAS_LEN);
        let sum = deltas.iter().fold(0, |sum: u64, delta| sum.saturating_add(delta.len));
        match deltas.last().filter(|_| sum > limit) {
            None => Ok(()),
            Some(last) => {
                let detail = format!("the deltas of {:?} have {sum} bytes, more than {limit}", entry.path);
                Err(self.damaged(last, detail))
            }
        }
    }

    pub fn bad_delta(&self, entry: &Entry, delta: &Range, error: &delta::Error) -> Error {
        self.damaged(delta, format!("the delta of {:?} is damaged: {error}", entry.path))
    }

    fn damaged(&self, range: &Range, detail: String) -> Error {
        let name = self.get(range.archive).map_or("", |archive| &archive.name);
        Error::corrupt("read", name, format!("at offset {}: {detail}", range.offset))
    }
}
