//! Entries that a later pass of the restore handles.

use std::io::{BufRead, BufReader};

use crate::entry::Entry;
use crate::error::Result;
use crate::format::{parse_entry_line, write_entry_line};
use crate::spool::{self, Spool, spool_error};

/// Bytes kept in memory before the list moves to a temporary file.
const IN_MEMORY: usize = 16 << 20;

/// Number of hexadecimal digits of each of the two numbers before an entry's line.
const DIGITS: usize = 16;

/// A list of entries, stored as lines of a state.
pub struct EntrySpool {
    spool: Spool,
    line: Vec<u8>,
}

impl EntrySpool {
    pub fn new() -> Self {
        EntrySpool { spool: Spool::new(IN_MEMORY), line: Vec::new() }
    }

    /// Adds an entry with the device and inode of a directory. [`EntrySpool::replay`] returns both.
    pub fn push(&mut self, entry: &Entry, (device, inode): (u64, u64)) -> Result<()> {
        self.line.clear();
        self.line.extend_from_slice(format!("{device:016x}{inode:016x}").as_bytes());
        write_entry_line(entry, &mut self.line);
        self.line.push(b'\n');
        self.spool.append(&self.line)
    }

    pub fn replay(&mut self, mut each: impl FnMut(Entry, (u64, u64)) -> Result<()>) -> Result<()> {
        let mut lines = BufReader::with_capacity(1 << 16, self.spool.reader(0, u64::MAX));
        loop {
            self.line.clear();
            if lines.read_until(b'\n', &mut self.line).map_err(|e| spool_error(&e))? == 0 {
                return Ok(());
            }
            self.line.pop();
            let (id, line) = self.line.split_at_checked(2 * DIGITS).ok_or_else(spool::changed)?;
            each(parse_entry_line(line)?, parse_id(id).ok_or_else(spool::changed)?)?;
        }
    }
}

fn parse_id(digits: &[u8]) -> Option<(u64, u64)> {
    let (device, inode) = std::str::from_utf8(digits).ok()?.split_at_checked(DIGITS)?;
    Some((u64::from_str_radix(device, 16).ok()?, u64::from_str_radix(inode, 16).ok()?))
}
