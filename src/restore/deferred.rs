//! Entries set aside for a later pass of a restore.

use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};

use tempfile::SpooledTempFile;

use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::format::{parse_entry_line, write_entry_line};

/// Bytes remembered in memory before an unlinked temporary file is used.
const IN_MEMORY: usize = 16 << 20;

/// A list of entries, as lines of a state.
pub struct Deferred {
    spool: SpooledTempFile,
    line: Vec<u8>,
}

impl Deferred {
    pub fn new() -> Self {
        Deferred { spool: SpooledTempFile::new(IN_MEMORY), line: Vec::new() }
    }

    pub fn push(&mut self, entry: &Entry) -> Result<()> {
        self.line.clear();
        write_entry_line(entry, &mut self.line);
        self.line.push(b'\n');
        self.spool
            .write_all(&self.line)
            .map_err(|e| Error::own("use a temporary file for", &e).at(&entry.path))
    }

    pub fn replay(&mut self, mut each: impl FnMut(Entry) -> Result<()>) -> Result<()> {
        let trouble = |e: &io::Error| Error::own("read a temporary file", e);
        self.spool.seek(SeekFrom::Start(0)).map_err(|e| trouble(&e))?;
        let mut lines = BufReader::with_capacity(1 << 16, &mut self.spool);
        loop {
            self.line.clear();
            if lines.read_until(b'\n', &mut self.line).map_err(|e| trouble(&e))? == 0 {
                return Ok(());
            }
            self.line.pop();
            each(parse_entry_line(&self.line)?)?;
        }
    }
}
