//! Entries in temporary storage, from which they are read by their offsets.

use crate::entry::{Entry, File, Metadata, Node, Path, Place};
use crate::error::Result;
use crate::format::{parse_entry_line, write_entry_line};
use crate::spool::Spool;

/// Each entry is its length in 8 bytes and its line.
pub struct SpooledEntries {
    spool: Spool,
    line: Vec<u8>,
}

impl SpooledEntries {
    /// Keeps up to `memory_max` bytes in memory before they move to a temporary file.
    pub fn new(memory_max: usize) -> Self {
        SpooledEntries { spool: Spool::new(memory_max), line: Vec::new() }
    }

    /// Adds an entry and returns its offset.
    pub fn add(&mut self, entry: &Entry) -> Result<u64> {
        let at = self.spool.end();
        self.line.clear();
        write_entry_line(entry, &mut self.line);
        self.spool.append(&(self.line.len() as u64).to_le_bytes())?;
        self.spool.append(&self.line)?;
        Ok(at)
    }

    pub fn read(&mut self, at: u64) -> Result<Entry> {
        self.read_with_end(at).map(|(entry, _)| entry)
    }

    /// Reads an entry, and also returns the offset of the entry that was added next.
    pub fn read_with_end(&mut self, at: u64) -> Result<(Entry, u64)> {
        let mut len = [0; 8];
        self.spool.read_exact_at(at, &mut len)?;
        self.line.resize(u64::from_le_bytes(len) as usize, 0);
        self.spool.read_exact_at(at + 8, &mut self.line)?;
        Ok((parse_entry_line(&self.line)?, at + 8 + self.line.len() as u64))
    }

    /// The offset of the end.
    pub fn end(&self) -> u64 {
        self.spool.end()
    }
}

/// The content of a file under `path`: its length, its hash and its place, without other metadata, which may be long.
pub fn bare_content(path: &Path, file: &File, place: &Place) -> Entry {
    let file = File { size: file.data_len(), hash: file.hash, holes: Vec::new() };
    Entry::new(path.clone(), Node::File(file), Metadata::default(), place.clone())
}
