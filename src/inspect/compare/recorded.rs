//! The side of the snapshot: the recorded entries.

use crate::entry::{Entry, Node, Path};
use crate::error::Result;
use crate::exclude::Excludes;
use crate::format::Entries;

/// The entries of a state, without those that the patterns in the options exclude.
pub struct RecordedEntries<'s> {
    entries: Entries<'s>,
    excludes: Excludes,
    /// The entry that was excluded last. All entries below it are excluded too.
    excluded: Option<Path>,
}

impl<'s> RecordedEntries<'s> {
    pub fn new(entries: Entries<'s>, patterns: &[Vec<u8>]) -> Result<Self> {
        Ok(RecordedEntries { entries, excludes: Excludes::new(patterns, b"")?, excluded: None })
    }

    fn is_excluded(&mut self, entry: &Entry) -> bool {
        let path = entry.path.as_bytes();
        if self.excluded.as_ref().is_some_and(|above| entry.path.is_within(above.as_bytes())) {
            return true;
        }
        let excluded = !path.is_empty() && self.excludes.is_excluded(path, entry.node == Node::Dir);
        if excluded {
            self.excluded = Some(entry.path.clone());
        }
        excluded
    }
}

impl Iterator for RecordedEntries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.entries.next()? {
                Ok(entry) if self.is_excluded(&entry) => {}
                other => return Some(other),
            }
        }
    }
}
