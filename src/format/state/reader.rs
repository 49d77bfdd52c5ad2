//! Reads a state: verifies the whole document first, then gives access to its parts.

use std::io::BufReader;
use std::sync::Arc;

use super::document::{NEWER, is_newer, read_trailer};
use super::entries::Lines;
use super::fold::{Fold, FoldRule};
use super::intake::{Intake, LayersAbove, Parts, PathSelector};
use super::layer::Layer;
use super::layers::Layers;
use super::tables::{ArchiveNumbers, ArchiveTable};
use super::{ENTRIES_BEGIN, Entries, EntryLookup, Header, LINE_MAX, LayerRef, Records, Trailer, summary};
use crate::error::{Error, Kind, Result};
use crate::format::ReadAt;
use crate::format::frame::{read_beginning, read_stream};
use crate::pool::Pool;
use crate::spool::Spool;
use crate::stamp::{Stamp, Time};

/// The longest document, in bytes, that is kept in memory. A longer document goes to an unlinked temporary file.
pub(super) const SPOOL_IN_MEMORY: usize = 8 << 20;
/// A document is usually at least this many times as long as its compressed file.
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
        let mut parts = read_document(
            StoredState { source, name, size, compressed, meanwhile: &mut || () },
            None,
            KeptBytes::Nothing,
        )?;
        let summary = StateSummary::new(name, &mut parts)?;
        // Callers keep many summaries at once. Omissions may be long, and they matter only beside entries.
        let trailer = Trailer { omissions: Arc::default(), ..Trailer::clone(&summary.trailer) };
        Ok(StateSummary { trailer: Arc::new(trailer), ..summary })
    }

    /// Checks and reads the header and the trailer. Takes their bytes out of `parts`, because they may be long
    /// and must not be in memory twice.
    pub(super) fn new(name: &str, parts: &mut Parts) -> Result<Self> {
        let corrupt = |what: String| Error::corrupt(OP, name, what);
        if let Some(fault) = &parts.fault {
            return Err(corrupt(fault.clone()));
        }
        summary::check(&parts.header, &mut parts.trailer).map_err(corrupt)?;
        let header = Header::of_text(std::mem::take(&mut parts.header), name)?;
        let Some(digest) = parts.digest else { return Err(corrupt("no digest".into())) };
        let trailer = read_trailer(std::mem::take(&mut parts.trailer), digest, &header)
            .map_err(|what| corrupt(format!("trailer: {what}")))?;
        if parts.layered == header.layers.is_empty() {
            return Err(corrupt("its layers are in the wrong place".into()));
        }
        if !parts.layered && !parts.merged {
            parts.check_snapshot(&trailer).map_err(corrupt)?;
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

/// The stored file of a state.
pub struct StoredState<'s> {
    pub source: &'s mut dyn ReadAt,
    /// The name of the backup file.
    pub name: &'s str,
    /// Bytes of the stored file.
    pub size: u64,
    /// True if the file consists of zstd frames.
    pub compressed: bool,
    /// Called again and again while the file is read, for work that goes on beside it.
    pub meanwhile: &'s mut dyn FnMut(),
}

/// Finds the state files of one key.
pub trait StateFiles {
    /// Passes the state file of `snapshot`, of `size` stored bytes, to `read`. May call `read` again with another copy
    /// of the file if it fails. `Corrupt`: there is no such file.
    fn read(
        &mut self,
        snapshot: Stamp,
        size: u64,
        read: &mut dyn FnMut(StoredState<'_>) -> Result<()>,
    ) -> Result<()>;
}

/// Which bytes of a document are kept, and in which spool.
pub(super) enum KeptBytes<'k> {
    Nothing,
    /// The whole document.
    All(&'k mut Spool),
    /// The lines of selected entries, of directories and of first names.
    Selected(&'k mut Spool, PathSelector<'k>),
    /// The lines merged with those of layers above: the lines of selected entries, of directories and of first names,
    /// or all lines.
    Merged(&'k mut Spool, Box<LayersAbove<'k>>, Option<PathSelector<'k>>),
}

/// Streams a document through an [`Intake`] and checks its digest.
pub(super) fn read_document(
    stored: StoredState<'_>,
    pool: Option<&Pool>,
    kept: KeptBytes<'_>,
) -> Result<Parts> {
    let StoredState { source, name, size, compressed, meanwhile } = stored;
    let (mut spool, mut intake) = match kept {
        KeptBytes::Nothing => (None, Intake::new()),
        KeptBytes::All(spool) => (Some(spool), Intake::new()),
        KeptBytes::Selected(spool, selector) => (Some(spool), Intake::of_part(selector)),
        KeptBytes::Merged(spool, layers, selector) => (Some(spool), Intake::of_merge(*layers, selector)),
    };
    let mut take = |piece: &[u8]| {
        meanwhile();
        let kept = intake.feed(piece);
        match &mut spool {
            Some(spool) => spool.append(kept),
            None => Ok(()),
        }
    };
    let mut each = |frame: &[u8]| frame.chunks(PIECE).try_for_each(&mut take);
    read_stream(source, name, size, compressed, pool, &mut each)?;
    // A newer version may compute its digest in another way, so version and needs are checked before the digest.
    if is_newer(intake.header()) {
        return Err(Error::new(Kind::Format, OP, NEWER).at(name));
    }
    let mut parts = intake.finish().map_err(|what| Error::corrupt(OP, name, what))?;
    match parts.error.take() {
        Some(error) => Err(error),
        None => Ok(parts),
    }
}

/// The numbering of entries that are only some lines of a document, or that were merged from several documents.
pub(super) const KEPT_ENTRIES: Numbering = Numbering { what: "kept entry", before: 0 };

/// How messages number the entries: for example "line 8" of the document, or "kept entry 3".
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbering {
    /// The word before the number.
    pub what: &'static str,
    /// The number of the first entry, minus 1.
    pub before: u64,
}

/// A verified state with all or some of its entries, including those of its layers. The entry lines are in memory or in
/// an unlinked temporary file and are parsed when the caller reads them. So a damaged entry is an error only when that
/// entry is read.
#[derive(Debug)]
pub struct StateReader {
    pub(super) name: String,
    /// The header and trailer of the state. The trailer's archives are those that the snapshot needs, from all layers.
    pub(super) summary: StateSummary,
    pub(super) spool: Spool,
    pub(super) entries_start: u64,
    pub(super) entries_len: u64,
    pub(super) numbering: Numbering,
    /// True if a pass over all entries has reached the end without an error.
    pub(super) checked: bool,
    pub(super) newest_ctime: Time,
    /// The state files of the snapshot: its own, then its layers, the newest first. The last one is whole.
    pub(super) files: Vec<SnapshotFile>,
}

/// A state file that a snapshot needs.
#[derive(Debug)]
pub(super) struct SnapshotFile {
    pub reference: LayerRef,
    /// Translates the archive numbers of the lines to those of the snapshot.
    pub numbers: ArchiveNumbers,
    /// Bytes of its lines.
    pub len: u64,
    /// Its lines; `None` for the whole state at the bottom.
    pub layer: Option<Layer>,
}

/// The file of a state without its layers.
struct OwnFile {
    name: String,
    summary: StateSummary,
    spool: Spool,
    /// The offset of the first entry line in `spool`.
    start: u64,
    /// Bytes of the entry lines in `spool`.
    len: u64,
    numbering: Numbering,
    parts: Parts,
}

impl OwnFile {
    fn read(stored: StoredState<'_>, pool: &Pool, selector: Option<PathSelector<'_>>) -> Result<Self> {
        let (name, size) = (stored.name.to_string(), stored.size);
        let is_part = selector.is_some();
        // A document that will probably not fit memory goes to the temporary file at once, and fills no memory first.
        let is_long = stored.compressed && size.saturating_mul(USUAL_RATIO) > SPOOL_IN_MEMORY as u64;
        let mut spool = if is_long && !is_part { Spool::in_file()? } else { Spool::new(SPOOL_IN_MEMORY) };
        let kept = match selector {
            Some(selector) => KeptBytes::Selected(&mut spool, selector),
            None => KeptBytes::All(&mut spool),
        };
        let mut parts = read_document(stored, Some(pool), kept)?;
        let summary = StateSummary::new(&name, &mut parts)?;
        let (start, len, numbering) = match is_part {
            true => (0, spool.end(), KEPT_ENTRIES),
            false => {
                let numbering = Numbering { what: "line", before: parts.header_lines };
                (parts.entries_start, parts.entries_len, numbering)
            }
        };
        Ok(OwnFile { name, summary, spool, start, len, numbering, parts })
    }
}

impl SnapshotFile {
    /// For each archive of the file, true if a new snapshot needs it. `inherited` returns the number that an archive
    /// of this snapshot has there.
    pub fn uses(&self, inherited: &dyn Fn(u32) -> Option<u32>) -> Vec<bool> {
        self.numbers.joined.iter().map(|number| number.and_then(inherited).is_some()).collect()
    }

    /// True if the file has lines of changes. The state of a snapshot in which nothing changed has none.
    fn has_changes(&self) -> bool {
        self.layer.is_some() && self.len > 0
    }
}

impl StateReader {
    /// Decides how the state of the next snapshot is written. That snapshot has `entries` entries, and the lines of its
    /// changes have `new` bytes.
    pub(super) fn fold(&self, new: u64, entries: u64, rule: &FoldRule) -> Fold {
        let layers: Vec<u64> =
            self.files.iter().filter(|file| file.has_changes()).map(|file| file.len).collect();
        let base = self.files.last().map_or(0, |file| file.len);
        let before = u128::from(self.summary.trailer.totals.entries.max(1));
        let whole = u128::from(self.entries_len) * u128::from(entries) / before;
        rule.decide(new, &layers, base, u64::try_from(whole).unwrap_or(u64::MAX))
    }

    /// Splits the files that have lines: first the `count` newest files with changes, then all other files. The whole
    /// state is always among the others.
    pub(super) fn split_files(&mut self, count: usize) -> (Vec<&mut SnapshotFile>, Vec<&SnapshotFile>) {
        let (mut folded, mut kept) = (Vec::new(), Vec::new());
        for file in &mut self.files {
            let is_base = file.layer.is_none();
            if file.has_changes() && folded.len() < count {
                folded.push(file);
            } else if file.has_changes() || is_base {
                kept.push(&*file);
            }
        }
        (folded, kept)
    }

    /// The stored files of the snapshot: its own, then its layers.
    pub fn file_references(&self) -> impl Iterator<Item = &LayerRef> {
        self.files.iter().map(|file| &file.reference)
    }

    /// Reads and verifies the state of `snapshot`, a file of `size` bytes, and the layers that it names. `pool` decodes
    /// frames meanwhile. With `selector`, keeps only the selected entries, all directories and all first names of hard
    /// links. If few entries are selected, this saves most of the time.
    ///
    /// `Corrupt`: a digest does not agree, a header or a trailer breaks a rule, or a layer is not in the store.
    /// `Format`: a file is not a state, or it has an unknown version or an unknown need ("made by a newer libibt").
    pub fn open(
        snapshot: Stamp,
        size: u64,
        pool: &Pool,
        mut selector: Option<PathSelector<'_>>,
        files: &mut dyn StateFiles,
    ) -> Result<Self> {
        let mut opened = None;
        files.read(snapshot, size, &mut |stored| {
            let selector = selector.as_mut().map(|selector| &mut **selector as PathSelector<'_>);
            opened = Some(OwnFile::read(stored, pool, selector)?);
            Ok(())
        })?;
        let unread = || Error::new(Kind::Panic, OP, "bug in libibt: a state was not read");
        let OwnFile { name, summary, spool, start, len, numbering, parts } = opened.ok_or_else(unread)?;
        let own = LayerRef { snapshot: summary.header.snapshot, size, digest: summary.trailer.digest };
        if !summary.header.layers.is_empty() {
            let archives = summary.trailer.archives.clone();
            let layer = Layer { name: name.clone(), lines: spool, start, len, archives };
            return Layers { name, summary, pool, files }.open(own, layer, selector);
        }
        let mut table = ArchiveTable::default();
        let archives = &summary.trailer.archives;
        let all = vec![true; archives.len()];
        let numbers = table
            .add(archives, &all)
            .map_err(|what| Error::corrupt(OP, &name, format!("trailer: {what}")))?;
        Ok(StateReader {
            name,
            summary,
            spool,
            entries_start: start,
            entries_len: len,
            numbering,
            checked: false,
            newest_ctime: parts.newest_ctime(),
            files: vec![SnapshotFile { reference: own, numbers, len: parts.entries_len, layer: None }],
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

    /// The newest ctime of all entries, including those that were not kept.
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

    /// Like [`StateReader::recorded`], and also a reader of single entries. An earlier pass over all entries must have
    /// reached the end.
    pub fn recorded_and_lookup(&mut self) -> Result<(Records<'_>, EntryLookup<'_>)> {
        let StateReader { name, summary, spool, entries_start, entries_len, numbering, checked, .. } = self;
        let (offset, len) = (*entries_start, *entries_len);
        let archives = (!*checked).then_some(&summary.trailer.archives[..]);
        let source = BufReader::with_capacity(PASS_BUFFER, spool.reader(offset, len));
        let lines = Lines { spool: source, name, archives, offset, checked };
        let lookup = EntryLookup { spool, end: offset + len };
        Ok((Records::new(lines, Some(*numbering)), lookup))
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
