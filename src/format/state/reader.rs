//! Reads a state: verifies the whole document first, then gives access to its parts.

use std::io::BufReader;
use std::sync::Arc;

use super::document::{is_newer, read_trailer, NEWER};
use super::entries::Lines;
use super::intake::{Intake, Meant, Parts};
use super::{summary, Entries, Header, Records, Trailer, ENTRIES_BEGIN, LINE_MAX};
use crate::error::{Error, Kind, Result};
use crate::format::frame::{read_beginning, read_stream};
use crate::format::ReadAt;
use crate::pool::Pool;
use crate::spool::Spool;
use crate::stamp::Time;

/// The longest document, in bytes, that is kept in memory. A longer one goes to a temporary file.
const SPOOL_IN_MEMORY: usize = 8 << 20;
/// A document is usually at least so many times longer than its compressed file.
const USUAL_RATIO: u64 = 3;
/// Bytes of the read buffer for a pass over all entries.
const PASS_BUFFER: usize = 256 << 10;
/// Bytes of the read buffer for reading some entries from an offset.
const JUMP_BUFFER: usize = 16 << 10;
/// Bytes that the intake gets at a time: few enough to stay in the processor's cache for all its steps.
const PIECE: usize = 128 << 10;
pub(super) const OP: &str = "read the state";

/// A verified state without its entries. A listing needs no more.
#[derive(Clone, Debug)]
pub struct StateSummary {
    pub header: Arc<Header>,
    pub trailer: Arc<Trailer>,
}

impl StateSummary {
    /// Reads a whole state of `size` stored bytes and verifies it as [`StateReader::open`] does. Keeps no
    /// entries and no omissions, and makes no temporary file.
    pub fn verify(source: &mut dyn ReadAt, name: &str, size: u64, compressed: bool) -> Result<Self> {
        let mut parts = take_in(source, name, size, compressed, None, Kept::Nothing)?;
        let summary = StateSummary::new(name, &mut parts)?;
        // Callers keep many summaries at once. Omissions may be long, and they matter only beside entries.
        let trailer = Trailer { omissions: Arc::default(), ..Trailer::clone(&summary.trailer) };
        Ok(StateSummary { trailer: Arc::new(trailer), ..summary })
    }

    /// Checks and reads the header and the trailer. Takes their bytes out of `parts`, because they may be long
    /// and must not be in memory twice.
    fn new(name: &str, parts: &mut Parts) -> Result<Self> {
        let corrupt = |what: String| Error::corrupt(OP, name, what);
        if let Some(fault) = &parts.fault {
            return Err(corrupt(fault.clone()));
        }
        summary::check(&parts.header, &mut parts.trailer).map_err(corrupt)?;
        let header = Header::of_text(std::mem::take(&mut parts.header), name)?;
        let Some(digest) = parts.digest else { return Err(corrupt("no digest".into())) };
        let trailer = read_trailer(std::mem::take(&mut parts.trailer), digest, &header)
            .map_err(|what| corrupt(format!("trailer: {what}")))?;
        if parts.tree != Some(trailer.tree) {
            return Err(corrupt("the tree digest does not agree".into()));
        }
        if parts.entries != trailer.totals.entries {
            return Err(corrupt("the number of entries does not agree".into()));
        }
        Ok(StateSummary { header: Arc::new(header), trailer: Arc::new(trailer) })
    }
}

impl Header {
    /// Reads only the beginning of a state, without checking the digest. So the header is only a hint, and no
    /// restore may depend on it.
    pub fn read(source: &mut dyn ReadAt, name: &str, size: u64, compressed: bool) -> Result<Self> {
        let corrupt = |what: &str| Error::corrupt(OP, name, format!("header: {what}"));
        let mut bytes = Vec::new();
        let mut end = None;
        read_beginning(source, name, size, compressed, &mut |piece| {
            let from = bytes.len().saturating_sub(ENTRIES_BEGIN.len());
            bytes.extend_from_slice(piece);
            end = memchr::memmem::find(&bytes[from..], ENTRIES_BEGIN).map(|at| from + at);
            end.is_none() && bytes.len() <= LINE_MAX
        })?;
        bytes.truncate(end.ok_or_else(|| corrupt("it has no end"))?);
        Header::of_text(bytes, name)
    }
}

/// Which bytes of a document are kept, and in which file.
enum Kept<'k> {
    Nothing,
    /// The whole document.
    All(&'k mut Spool),
    /// The lines of selected entries, of directories and of first names.
    Part(&'k mut Spool, Meant<'k>),
}

/// Streams a document through an [`Intake`] and checks its digest.
fn take_in(
    source: &mut dyn ReadAt,
    name: &str,
    size: u64,
    compressed: bool,
    pool: Option<&Pool>,
    kept: Kept<'_>,
) -> Result<Parts> {
    let (mut spool, meant) = match kept {
        Kept::Nothing => (None, None),
        Kept::All(spool) => (Some(spool), None),
        Kept::Part(spool, meant) => (Some(spool), Some(meant)),
    };
    let mut intake = Intake::new(meant);
    let mut take = |piece: &[u8]| {
        let kept = intake.feed(piece);
        match &mut spool {
            Some(spool) => spool.append(kept),
            None => Ok(()),
        }
    };
    let mut each = |frame: &[u8]| frame.chunks(PIECE).try_for_each(&mut take);
    read_stream(source, name, size, compressed, pool, &mut each)?;
    // A newer version may compute its digest in another way, so its version is checked before the digest.
    if is_newer(intake.header()) {
        return Err(Error::new(Kind::Format, OP, NEWER).at(name));
    }
    intake.finish().map_err(|what| Error::corrupt(OP, name, what))
}

/// How messages number the entries: for example "line 8" of the document, or "kept entry 3".
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbering {
    /// The word before the number.
    pub what: &'static str,
    /// The number before that of the first entry.
    pub before: u64,
}

/// A verified state with all or some of its entries. The entry lines are in memory or in an unlinked temporary
/// file and are parsed when the caller reads them. So a damaged entry is an error only when that entry is read.
#[derive(Debug)]
pub struct StateReader {
    name: String,
    summary: StateSummary,
    spool: Spool,
    entries_start: u64,
    entries_len: u64,
    numbering: Numbering,
    /// True if a pass over all entries has reached the end without an error.
    checked: bool,
    newest_ctime: Time,
}

impl StateReader {
    /// Reads and verifies a state of `size` stored bytes; `pool` decodes frames meanwhile. `name` is the name
    /// of the backup file.
    ///
    /// `Corrupt`: a digest does not agree, or the header or the trailer breaks a rule. `Format`: the file is
    /// not a state, or it has an unknown version or an unknown need ("made by a newer libibt").
    pub fn open(
        source: &mut dyn ReadAt,
        name: &str,
        size: u64,
        compressed: bool,
        pool: &Pool,
    ) -> Result<Self> {
        // A document that will probably not fit memory goes to the temporary file at once, and fills no memory first.
        let is_long = compressed && size.saturating_mul(USUAL_RATIO) > SPOOL_IN_MEMORY as u64;
        let mut spool = if is_long { Spool::in_file()? } else { Spool::new(SPOOL_IN_MEMORY) };
        let mut parts = take_in(source, name, size, compressed, Some(pool), Kept::All(&mut spool))?;
        StateReader::new(name, spool, &mut parts)
    }

    /// Reads and verifies the whole document as [`StateReader::open`] does, but keeps only the entries that are
    /// `meant`, all directories and the first names of hard links. If few entries are selected, this saves most of the
    /// time.
    pub fn open_part(
        source: &mut dyn ReadAt,
        name: &str,
        size: u64,
        compressed: bool,
        pool: &Pool,
        meant: Meant<'_>,
    ) -> Result<Self> {
        let mut spool = Spool::new(SPOOL_IN_MEMORY);
        let mut parts = take_in(source, name, size, compressed, Some(pool), Kept::Part(&mut spool, meant))?;
        let entries_len = spool.end();
        let reader = StateReader::new(name, spool, &mut parts)?;
        let numbering = Numbering { what: "kept entry", before: 0 };
        Ok(StateReader { entries_start: 0, entries_len, numbering, ..reader })
    }

    fn new(name: &str, spool: Spool, parts: &mut Parts) -> Result<Self> {
        Ok(StateReader {
            name: name.to_string(),
            checked: false,
            newest_ctime: parts.newest_ctime.unwrap_or(Time { secs: i64::MIN, nanos: 0 }),
            summary: StateSummary::new(name, parts)?,
            spool,
            entries_start: parts.entries_start,
            entries_len: parts.entries_len,
            numbering: Numbering { what: "line", before: parts.header_lines },
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn header(&self) -> &Arc<Header> {
        &self.summary.header
    }

    pub fn trailer(&self) -> &Arc<Trailer> {
        &self.summary.trailer
    }

    pub fn summary(&self) -> &StateSummary {
        &self.summary
    }

    /// The newest ctime of all entries, the ones that were not kept included.
    pub fn newest_ctime(&self) -> Time {
        self.newest_ctime
    }

    /// All entries in order, from the first. May be called again.
    pub fn entries(&mut self) -> Result<Entries<'_>> {
        Ok(Entries(self.recorded()?))
    }

    /// Like [`StateReader::entries`], but gives [`Recorded`](super::recorded::Recorded) lines, for callers that need
    /// a few fields of many entries.
    pub fn recorded(&mut self) -> Result<Records<'_>> {
        let numbering = self.numbering;
        Ok(Records::new(self.lines(self.entries_start, PASS_BUFFER), Some(numbering)))
    }

    /// The entries from the line at `offset`, which [`Entries::offset`] returned, to the end. Each entry is
    /// checked by itself, but their order is not. So the caller must have read all entries with
    /// [`StateReader::entries`] before.
    pub fn entries_from(&mut self, offset: u64) -> Result<Entries<'_>> {
        Ok(Entries(Records::new(self.lines(offset, JUMP_BUFFER), None)))
    }

    fn lines(&mut self, offset: u64, buffer: usize) -> Lines<'_> {
        let left = (self.entries_start + self.entries_len).saturating_sub(offset);
        let spool = BufReader::with_capacity(buffer, self.spool.reader(offset, left));
        let archives = (!self.checked).then_some(&self.summary.trailer.archives[..]);
        Lines { spool, name: &self.name, archives, offset, checked: &mut self.checked }
    }
}
