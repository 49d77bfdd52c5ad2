//! The entries of a verified state, one after the other.

use std::io::{self, BufRead, BufReader, Take};

use memchr::memchr;
use tempfile::SpooledTempFile;

use super::reader::{spool_error, Numbering, OP};
use super::{check, ArchiveRef, Recorded};
use crate::entry::Entry;
use crate::error::{Error, Result};

/// Entry lines of a state, and what they are checked against.
pub(super) struct Lines<'a> {
    pub spool: BufReader<Take<&'a mut SpooledTempFile>>,
    pub name: &'a str,
    /// `None` if every line was checked before.
    pub archives: Option<&'a [ArchiveRef]>,
    /// To be set when every line was.
    pub checked: &'a mut bool,
    /// Where the first line lies in the document.
    pub offset: u64,
}

/// The entries of a state as they were recorded. Ends after the first error.
pub struct Records<'a> {
    lines: Lines<'a>,
    /// `None` where the entries do not begin with the first.
    order: Option<(check::Order, Numbering)>,
    recorded: Recorded,
    /// It stands at an entry: not before the first, nor at the end.
    is_at_entry: bool,
    ended: bool,
    next_offset: u64,
    /// Lines read.
    number: u64,
}

impl<'a> Records<'a> {
    /// There is a `numbering` if `lines` begin with the first.
    pub(super) fn new(lines: Lines<'a>, numbering: Option<Numbering>) -> Self {
        Records {
            next_offset: lines.offset,
            lines,
            order: numbering.map(|numbering| (check::Order::default(), numbering)),
            recorded: Recorded::default(),
            is_at_entry: false,
            ended: false,
            number: 0,
        }
    }

    /// Goes to the next entry; `None` at the end. Its buffers are those of the entry before.
    pub fn advance(&mut self) -> Result<Option<&Recorded>> {
        self.is_at_entry = false;
        if !self.ended {
            // After an error nothing comes.
            self.ended = true;
            self.is_at_entry = self.read()?;
            self.ended = !self.is_at_entry;
        }
        Ok(self.current())
    }

    /// The entry it stands at; `None` before the first and at the end.
    pub fn current(&self) -> Option<&Recorded> {
        self.is_at_entry.then_some(&self.recorded)
    }

    /// Reads the next line; false at the end.
    fn read(&mut self) -> Result<bool> {
        if !self.read_line()? {
            *self.lines.checked |= self.order.is_some();
            return Ok(false);
        }
        let taken = self.recorded.take().and_then(|()| {
            let Some(archives) = self.lines.archives else { return Ok(()) };
            self.recorded.check_places(archives)?;
            match &mut self.order {
                Some((order, _)) => Ok(order.next(self.recorded.path(), self.recorded.is_dir())?),
                None => Ok(()),
            }
        });
        let corrupt = |what| Error::corrupt(OP, self.lines.name, format!("{}: {what}", self.place()));
        taken.map(|()| true).map_err(corrupt)
    }

    fn read_line(&mut self) -> Result<bool> {
        let line = self.recorded.buffer();
        line.clear();
        let read = append_line(&mut self.lines.spool, line).map_err(|e| spool_error(&e, self.lines.name))?;
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

/// [`BufRead::read_until`] an LF, with the faster search.
fn append_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
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

/// The entries of a state, each whole. Ends after the first error.
pub struct Entries<'a>(pub(super) Records<'a>);

impl Entries<'_> {
    /// Where the line of the entry given last lies in the document: for
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
