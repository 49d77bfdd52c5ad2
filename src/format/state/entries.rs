//! Reads the entries of a verified state one after the other.

use std::io::{self, BufRead, BufReader};

use memchr::memchr;

use super::hard_links::FirstNames;
use super::reader::{Numbering, OP};
use super::{ArchiveRef, Recorded, check, parse_entry_line};
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::spool::{Spool, SpoolReader, spool_error};
use crate::text::encode_name;

/// Bytes of the read buffer for one line.
const LINE_BUFFER: usize = 1 << 10;

/// The entry lines of a state, and the data to check them.
pub(super) struct Lines<'a> {
    /// The lines to read, from the first one on.
    pub spool: BufReader<SpoolReader<&'a Spool>>,
    /// The name of the state's file, for messages.
    pub name: &'a str,
    /// The state's archives; `None` if an earlier pass has checked every line.
    pub archives: Option<&'a [ArchiveRef]>,
    /// Set to true when a pass has checked every line.
    pub checked: &'a mut bool,
    /// The offset in the spool of the line that was read last; at first, of the first line to read.
    pub offset: u64,
}

/// The entries of a state as [`Recorded`] lines, one at a time. After an error there are no more entries.
pub struct Records<'a> {
    lines: Lines<'a>,
    /// For a pass over all entries: the check of their order, and the numbers for messages. `None` if reading
    /// began at a later entry.
    order: Option<(check::Order, Numbering)>,
    first_names: FirstNames,
    /// The current entry.
    recorded: Recorded,
    /// True if there is a current entry: not before the first one, not at the end, not after an error.
    is_at_entry: bool,
    ended: bool,
    /// The offset in the spool of the next line.
    next_offset: u64,
    /// Lines read so far.
    number: u64,
}

impl<'a> Records<'a> {
    /// Reads `lines`. `numbering` is given if the lines begin with the state's first entry.
    pub(super) fn new(lines: Lines<'a>, numbering: Option<Numbering>) -> Self {
        Records {
            next_offset: lines.offset,
            lines,
            order: numbering.map(|numbering| (check::Order::default(), numbering)),
            first_names: FirstNames::default(),
            recorded: Recorded::default(),
            is_at_entry: false,
            ended: false,
            number: 0,
        }
    }

    /// Reads the next entry; `None` at the end. The new entry uses the buffers of the previous entry.
    pub fn advance(&mut self) -> Result<Option<&Recorded>> {
        self.is_at_entry = false;
        if !self.ended {
            // An error of `read` returns here and leaves `ended` true.
            self.ended = true;
            self.is_at_entry = self.read()?;
            self.ended = !self.is_at_entry;
        }
        Ok(self.current())
    }

    /// The entry that [`Records::advance`] returned last; `None` before the first one, at the end and after
    /// an error.
    pub fn current(&self) -> Option<&Recorded> {
        self.is_at_entry.then_some(&self.recorded)
    }

    /// The offset in the document of the line of the current entry, for [`EntryLookup::entry_at`].
    pub fn offset(&self) -> u64 {
        self.lines.offset
    }

    /// Reads and checks the next line; false at the end.
    fn read(&mut self) -> Result<bool> {
        if !self.read_line()? {
            *self.lines.checked |= self.order.is_some();
            return Ok(false);
        }
        let taken = self.recorded.take().and_then(|()| {
            let Some(archives) = self.lines.archives else { return Ok(()) };
            self.recorded.check_places(archives)?;
            match &mut self.order {
                Some((order, _)) => {
                    order.next(self.recorded.path(), self.recorded.is_dir())?;
                    let path = || encode_name(self.recorded.path());
                    let linked = self.recorded.check_link(&mut self.first_names);
                    linked.map_err(|what| format!("{}: {what}", path()))
                }
                None => Ok(()),
            }
        });
        let corrupt = |what| Error::corrupt(OP, self.lines.name, format!("{}: {what}", self.place()));
        taken.map(|()| true).map_err(corrupt)
    }

    fn read_line(&mut self) -> Result<bool> {
        let line = self.recorded.buffer();
        line.clear();
        let read = append_line(&mut self.lines.spool, line).map_err(|e| spool_error(&e))?;
        for end in [b'\n', b','] {
            if line.last() == Some(&end) {
                line.pop();
            }
        }
        self.lines.offset = self.next_offset;
        self.next_offset += read as u64;
        self.number += 1;
        Ok(read > 0)
    }

    fn place(&self) -> String {
        match self.order {
            Some((_, Numbering { what, before })) => format!("{what} {}", before + self.number),
            None => format!("offset {}", self.lines.offset),
        }
    }
}

/// Reads single entries of a state whose lines an earlier pass has checked.
pub struct EntryLookup<'a> {
    pub(super) spool: &'a Spool,
    /// The offset of the end of the last entry.
    pub(super) end: u64,
}

impl EntryLookup<'_> {
    /// The entry whose line is at `offset`, which [`Records::offset`] returned.
    pub fn entry_at(&self, offset: u64) -> Result<Entry> {
        let left = self.end.saturating_sub(offset);
        let mut source = BufReader::with_capacity(LINE_BUFFER, self.spool.reader(offset, left));
        let mut line = Vec::new();
        append_line(&mut source, &mut line).map_err(|e| spool_error(&e))?;
        parse_entry_line(&line)
    }
}

/// Like [`BufRead::read_until`] for an LF, but with the faster search of [`memchr()`].
pub(super) fn append_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let mut read = 0;
    loop {
        let ahead = lines.fill_buf()?;
        let end = memchr(b'\n', ahead).map(|end| end + 1);
        let len = end.unwrap_or(ahead.len());
        line.extend_from_slice(&ahead[..len]);
        lines.consume(len);
        read += len;
        if end.is_some() || len == 0 {
            return Ok(read);
        }
    }
}

/// Iterates over the entries of a state, each as a complete [`Entry`]. Ends after the first error.
pub struct Entries<'a>(pub(super) Records<'a>);

impl Entries<'_> {
    /// The offset of the line of the entry that was returned last, for
    /// [`StateReader::entries_from`](super::StateReader::entries_from).
    pub fn offset(&self) -> u64 {
        self.0.lines.offset
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.0.advance() {
            Ok(recorded) => recorded.map(Recorded::entry),
            Err(error) => Some(Err(error)),
        }
    }
}
