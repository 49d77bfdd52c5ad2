//! Entries that a later pass of the restore handles.

use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};

use tempfile::SpooledTempFile;

use crate::entry::Entry;
use crate::error::{Error, Kind, Result};
use crate::format::{parse_entry_line, write_entry_line};

/// Bytes kept in memory before the list moves to an unlinked temporary file.
const IN_MEMORY: usize = 16 << 20;

/// Number of hexadecimal digits of each of the two numbers before an entry's line.
const DIGITS: usize = 16;

/// A list of entries, stored as lines of a state.
pub struct Deferred {
    spool: SpooledTempFile,
    line: Vec<u8>,
}

impl Deferred {
    pub fn new() -> Self {
        Deferred { spool: SpooledTempFile::new(IN_MEMORY), line: Vec::new() }
    }

    /// Adds an entry with the device and inode of a directory. [`Deferred::replay`] returns both.
    pub fn push(&mut self, entry: &Entry, (device, inode): (u64, u64)) -> Result<()> {
        self.line.clear();
        self.line.extend_from_slice(format!("{device:016x}{inode:016x}").as_bytes());
        write_entry_line(entry, &mut self.line);
        self.line.push(b'\n');
        self.spool
            .write_all(&self.line)
            .map_err(|e| Error::own("use a temporary file for", &e).at(&entry.path))
    }

    pub fn replay(&mut self, mut each: impl FnMut(Entry, (u64, u64)) -> Result<()>) -> Result<()> {
        let trouble = |e: &io::Error| Error::own("read a temporary file", e);
        self.spool.seek(SeekFrom::Start(0)).map_err(|e| trouble(&e))?;
        let mut lines = BufReader::with_capacity(1 << 16, &mut self.spool);
        loop {
            self.line.clear();
            if lines.read_until(b'\n', &mut self.line).map_err(|e| trouble(&e))? == 0 {
                return Ok(());
            }
            self.line.pop();
            let (id, line) = self.line.split_at_checked(2 * DIGITS).ok_or_else(broken)?;
            each(parse_entry_line(line)?, parse_id(id).ok_or_else(broken)?)?;
        }
    }
}

fn parse_id(digits: &[u8]) -> Option<(u64, u64)> {
    let (device, inode) = std::str::from_utf8(digits).ok()?.split_at_checked(DIGITS)?;
    Some((u64::from_str_radix(device, 16).ok()?, u64::from_str_radix(inode, 16).ok()?))
}

/// The temporary file was changed by another process.
fn broken() -> Error {
    Error::new(Kind::Io, "read a temporary file", "it has changed")
}
