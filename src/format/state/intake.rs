//! Reads a document once, as it comes out of its frames: computes the digest of the document and the tree digest, and
//! finds the parts.
//!
//! A fault of the layout is not returned at once but kept in [`Parts::fault`]: a newer version may have
//! another layout, and only the digest, checked at the end, shows whether the bytes are damaged.

use memchr::memchr;
use memchr::memmem::Finder;

use super::cursor::LineCursor;
use super::document::has_layers;
use super::fields::LineFields;
use super::layer::GONE;
use super::overlay::{Merged, Overlay};
use super::reader::OP;
use super::tables::ArchiveNumbers;
use super::{AT, DIGEST_LINE_LEN, ENTRIES_BEGIN, ENTRIES_END, LINE_MAX, Recorded, TRAILER_MAX, Trailer};
use crate::entry::{Hash, Range};
use crate::error::{Error, Kind, Result as LibResult};
use crate::stamp::Time;
use crate::text::encode_name;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Header,
    Entries,
    Trailer,
}

/// Says whether the entry of a path is selected.
pub type PathSelector<'m> = &'m mut dyn FnMut(&[u8]) -> bool;

/// Receives a document piece by piece.
pub(super) struct Intake<'m> {
    part: Section,
    digest: blake3::Hasher,
    /// The last bytes so far, as many as the digest's line has. They are not hashed yet: they may be that line, which
    /// the digest does not cover.
    tail: Vec<u8>,
    tree: blake3::Hasher,
    /// Logical parts that `tree` has not hashed yet.
    logical: Vec<u8>,
    /// The beginning of a line whose end is in the next piece.
    carry: Vec<u8>,
    /// Whether the previous entry's line ended in a comma; `None` before the first entry.
    comma: Option<bool>,
    /// Lines so far.
    lines: u64,
    /// Selects the lines to keep; `None` if the whole document is kept.
    kept: Option<KeptLines<'m>>,
    /// The layers above this document, if the snapshot has any.
    layers: Option<LayersAbove<'m>>,
    parts: Parts,
}

/// Selects the lines that a reader keeps.
struct KeptLines<'m> {
    /// Says which entries are selected; `None` selects all.
    selector: Option<PathSelector<'m>>,
    fields: LineFields,
    /// Finds the field of a first name. Its text cannot be part of a string, because a string has no unescaped quotes.
    first_name: Finder<'static>,
    /// The kept lines of the last piece.
    text: Vec<u8>,
}

impl KeptLines<'_> {
    /// Keeps the line if it is one of these:
    /// - the line of a selected entry;
    /// - the line of a directory, because a selected entry may lie in it;
    /// - the line of a first name, because a selected hard link is compared with its first name;
    /// - a line that is not an entry, so that reading the kept lines later is an error.
    fn take(&mut self, line: &[u8], logical: usize) {
        let is_kept = match &mut self.selector {
            None => true,
            Some(selector) => {
                let is_entry = self.fields.read_start(line);
                !is_entry
                    || self.fields.is_dir()
                    || selector(self.fields.path(line))
                    || self.first_name.find(&line[..logical]).is_some()
            }
        };
        if is_kept {
            self.text.extend_from_slice(line);
        }
    }
}

/// The layers above a whole state, merged with its lines while these are read.
pub(super) struct LayersAbove<'l> {
    pub lines: Overlay<'l>,
    /// For each layer, the translation of its archive numbers to those of the merged snapshot.
    pub numbers: Vec<&'l ArchiveNumbers>,
    /// The translation of the whole state's archive numbers to those of the merged snapshot.
    pub base: &'l ArchiveNumbers,
    buffers: MergeBuffers,
}

/// Buffers that are reused for every line.
#[derive(Default)]
struct MergeBuffers {
    fields: LineFields,
    recorded: Recorded,
    ranges: Vec<Range>,
    line: Vec<u8>,
}

impl<'l> LayersAbove<'l> {
    pub fn new(lines: Overlay<'l>, numbers: Vec<&'l ArchiveNumbers>, base: &'l ArchiveNumbers) -> Self {
        LayersAbove { lines, numbers, base, buffers: MergeBuffers::default() }
    }
}

/// The parts of a verified document.
#[derive(Default)]
pub(super) struct Parts {
    /// The lines before the line `"entries":[`.
    pub header: Vec<u8>,
    /// The number of lines up to and including the line `"entries":[`.
    pub header_lines: u64,
    /// The offset of the first entry line in the document.
    pub entries_start: u64,
    /// Bytes of all entry lines.
    pub entries_len: u64,
    /// The number of entries, including those of layers above.
    pub entries: u64,
    /// True if the header names layers. Then the lines are changes.
    pub layered: bool,
    /// True if the lines were merged with lines of layers above. Then the trailer of this document does not describe
    /// the merged entries.
    pub merged: bool,
    /// The first error of a layer above the document.
    pub error: Option<Error>,
    /// The lines after the line `],` and before the digest's line.
    pub trailer: Vec<u8>,
    /// The tree digest of the entries, including those of layers above.
    pub tree: Option<Hash>,
    pub digest: Option<Hash>,
    /// The first fault of the layout, if there is one.
    pub fault: Option<String>,
    /// The newest ctime of all entries in whose lines a ctime was found.
    pub newest_ctime: Option<Time>,
}

impl Parts {
    /// Checks that the entries are those of the snapshot that `trailer` describes.
    pub fn check_snapshot(&self, trailer: &Trailer) -> Result<(), String> {
        if self.tree != Some(trailer.tree) {
            return Err("the tree digest does not agree".into());
        }
        match self.entries == trailer.totals.entries {
            true => Ok(()),
            false => Err("the number of entries does not agree".into()),
        }
    }

    pub fn newest_ctime(&self) -> Time {
        self.newest_ctime.unwrap_or(Time { secs: i64::MIN, nanos: 0 })
    }
}

impl<'m> Intake<'m> {
    /// Keeps the whole document.
    pub fn new() -> Self {
        Intake {
            part: Section::Header,
            digest: blake3::Hasher::new(),
            tail: Vec::new(),
            tree: blake3::Hasher::new(),
            logical: Vec::new(),
            carry: Vec::new(),
            comma: None,
            lines: 0,
            kept: None,
            layers: None,
            parts: Parts::default(),
        }
    }

    /// Keeps only the lines that [`KeptLines::take`] selects with `selector`. Keeps all lines of a document that has
    /// layers.
    pub fn of_part(selector: PathSelector<'m>) -> Self {
        Intake::new().keeping(Some(selector))
    }

    /// Merges the layers above this document with its lines. Keeps the merged lines that [`KeptLines::take`] selects
    /// with `selector`; without `selector`, all merged lines.
    pub fn of_merge(layers: LayersAbove<'m>, selector: Option<PathSelector<'m>>) -> Self {
        Intake { layers: Some(layers), ..Intake::new().keeping(selector) }
    }

    fn keeping(self, selector: Option<PathSelector<'m>>) -> Self {
        let kept = KeptLines {
            selector,
            fields: LineFields::default(),
            first_name: Finder::new(b",\"linked\":true"),
            text: Vec::new(),
        };
        Intake { kept: Some(kept), ..self }
    }

    /// Takes the next piece and returns the bytes of the document to keep: the piece itself, or the kept lines
    /// that ended in it. Returns nothing after a fault of the layout.
    pub fn feed<'a>(&'a mut self, piece: &'a [u8]) -> &'a [u8] {
        if let Some(kept) = &mut self.kept {
            kept.text.clear();
        }
        self.digest(piece);
        if self.parts.fault.is_none()
            && let Err(what) = self.split(piece)
        {
            self.parts.fault = Some(format!("line {}: {what}", self.lines));
        }
        self.tree.update(&self.logical);
        self.logical.clear();
        match &self.kept {
            _ if self.parts.fault.is_some() => &[],
            Some(kept) => &kept.text,
            None => piece,
        }
    }

    /// Hashes the bytes so far, except the last ones, which may be the digest's line.
    fn digest(&mut self, piece: &[u8]) {
        let kept = DIGEST_LINE_LEN.saturating_sub(piece.len()).min(self.tail.len());
        let (covered, _) = self.tail.split_at(self.tail.len() - kept);
        self.digest.update(covered);
        self.tail.drain(..self.tail.len() - kept);
        let (covered, tail) = piece.split_at(piece.len().saturating_sub(DIGEST_LINE_LEN - kept));
        self.digest.update(covered);
        self.tail.extend_from_slice(tail);
    }

    /// The lines of the header so far.
    pub fn header(&self) -> &[u8] {
        &self.parts.header
    }

    /// Checks the document's digest. `Err`: the bytes are damaged. A fault of the layout is in
    /// [`Parts::fault`].
    pub fn finish(mut self) -> Result<Parts, String> {
        let digest: Hash = self.digest.finalize().into();
        let line = format!("\"digest\":\"{digest}\"}}\n");
        if self.tail != line.as_bytes() {
            return Err("the digest does not agree".into());
        }
        self.parts.digest = Some(digest);
        self.parts.tree = Some(self.tree.finalize().into());
        let end = self.parts.trailer.len().saturating_sub(line.len());
        self.parts.trailer.truncate(end);
        if self.parts.fault.is_none() && !self.parts.trailer.ends_with(b"\n") {
            self.parts.fault = Some("the document ends before its trailer does".into());
        }
        Ok(self.parts)
    }

    fn split(&mut self, mut piece: &[u8]) -> Result<(), String> {
        while let Some(end) = memchr(b'\n', piece) {
            let (line, rest) = piece.split_at(end + 1);
            piece = rest;
            if self.carry.is_empty() {
                self.line(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.carry);
                whole.extend_from_slice(line);
                self.line(&whole)?;
                whole.clear();
                self.carry = whole;
            }
        }
        self.carry.extend_from_slice(piece);
        match self.carry.len() > LINE_MAX {
            true => Err("a line of more than 16 MiB".into()),
            false => Ok(()),
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        self.lines += 1;
        match self.part {
            Section::Header if line == ENTRIES_BEGIN => {
                self.part = Section::Entries;
                self.parts.header_lines = self.lines;
                self.parts.entries_start = (self.parts.header.len() + line.len()) as u64;
                self.parts.layered = has_layers(&self.parts.header);
                if self.parts.layered && self.layers.is_some() {
                    return Err("the last layer is not whole".into());
                }
            }
            Section::Header => {
                self.parts.header.extend_from_slice(line);
                if self.parts.header.len() > LINE_MAX {
                    return Err("a header of more than 16 MiB".into());
                }
            }
            Section::Entries if line == ENTRIES_END => {
                self.part = Section::Trailer;
                if self.comma == Some(true) || (self.comma.is_none() && !self.parts.layered) {
                    return Err("no entries, or a comma after the last".into());
                }
                self.merge(None)?;
            }
            Section::Entries => self.entry_line(line)?,
            Section::Trailer => {
                self.parts.trailer.extend_from_slice(line);
                if self.parts.trailer.len() > TRAILER_MAX {
                    return Err("a trailer of more than 48 MiB".into());
                }
            }
        }
        Ok(())
    }

    fn entry_line(&mut self, line: &[u8]) -> Result<(), String> {
        if line.len() > LINE_MAX {
            return Err("a line of more than 16 MiB".into());
        }
        if self.comma == Some(false) {
            return Err("no comma after the entry before".into());
        }
        let text = &line[..line.len() - 1];
        let text = text.strip_suffix(b",").unwrap_or(text);
        self.comma = Some(text.len() + 2 == line.len());
        self.parts.entries_len += line.len() as u64;
        if self.parts.layered {
            return self.changed_line(line);
        }
        match self.layers.is_some() {
            true => self.merge(Some(line)),
            false => self.add(line),
        }
    }

    /// Takes a line of a document with layers: an entry, or a path that is gone.
    fn changed_line(&mut self, line: &[u8]) -> Result<(), String> {
        if !line.starts_with(GONE) && logical_len(line).is_none() {
            return Err(NO_AT.into());
        }
        if let Some(kept) = &mut self.kept {
            kept.text.extend_from_slice(line);
        }
        Ok(())
    }

    /// Adds the line of an entry of the snapshot: hashes and counts it, and keeps it if it is selected.
    fn add(&mut self, line: &[u8]) -> Result<(), String> {
        let Some(end) = logical_len(line) else { return Err(NO_AT.into()) };
        self.parts.newest_ctime = self.parts.newest_ctime.max(ctime(&line[end..]));
        self.logical.extend_from_slice(&line[..end]);
        self.logical.push(b'\n');
        self.parts.entries += 1;
        if let Some(kept) = &mut self.kept {
            kept.take(line, end);
        }
        Ok(())
    }

    /// Merges the layers above with a line of this document. `None` stands for the end of the document.
    fn merge(&mut self, line: Option<&[u8]>) -> Result<(), String> {
        let Some(mut layers) = self.layers.take() else { return Ok(()) };
        let merged = match line {
            Some(line) => self.merge_line(&mut layers, line),
            None => {
                let LayersAbove { lines, numbers, buffers, .. } = &mut layers;
                lines.finish(&mut Merging { intake: self, numbers, buffers }).map_err(Fault::Layer)
            }
        };
        self.layers = Some(layers);
        merged.map_err(|fault| match fault {
            Fault::Line(what) => what,
            Fault::Layer(error) => {
                let what = error.detail.clone();
                self.parts.error = Some(error);
                what
            }
        })
    }

    fn merge_line(&mut self, layers: &mut LayersAbove<'m>, line: &[u8]) -> Result<(), Fault> {
        let LayersAbove { lines, numbers, base, buffers } = layers;
        let mut fields = std::mem::take(&mut buffers.fields);
        let is_entry = fields.read_start(line);
        let replaced = match is_entry {
            true => lines.replaces(fields.path(line), &mut Merging { intake: self, numbers, buffers }),
            false => return Err(Fault::Line("not an entry".into())),
        };
        buffers.fields = fields;
        if replaced.map_err(Fault::Layer)? {
            return Ok(());
        }
        if base.is_same {
            return self.add(line).map_err(Fault::Line);
        }
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b",").unwrap_or(text);
        let mut recorded = std::mem::take(&mut buffers.recorded);
        recorded.buffer().clear();
        recorded.buffer().extend_from_slice(text);
        let added = recorded.take().and_then(|()| self.add_renumbered(&recorded, base, buffers));
        buffers.recorded = recorded;
        added.map_err(Fault::Line)
    }

    /// Adds an entry with its archive numbers in the merged snapshot.
    fn add_renumbered(
        &mut self,
        recorded: &Recorded,
        numbers: &ArchiveNumbers,
        buffers: &mut MergeBuffers,
    ) -> Result<(), String> {
        let MergeBuffers { ranges, line, .. } = buffers;
        numbers
            .translate(recorded.ranges(), ranges)
            .ok_or("a range of an archive that the snapshot does not need")?;
        line.clear();
        recorded.write_with(ranges, line);
        line.push(b'\n');
        self.add(line)
    }
}

const NO_AT: &str = "an entry without its \"at\"";

/// Why lines cannot be merged.
enum Fault {
    /// A line of the document.
    Line(String),
    /// A line of a layer above the document.
    Layer(Error),
}

/// Adds merged lines to an intake.
struct Merging<'i, 'm, 'b> {
    intake: &'i mut Intake<'m>,
    numbers: &'b [&'b ArchiveNumbers],
    buffers: &'b mut MergeBuffers,
}

impl Merged for Merging<'_, '_, '_> {
    fn gone(&mut self, _: &[u8]) -> LibResult<()> {
        Ok(())
    }

    fn entry(&mut self, layer: usize, recorded: &Recorded) -> LibResult<()> {
        let added = self.intake.add_renumbered(recorded, self.numbers[layer], self.buffers);
        // The caller adds the name of the snapshot's state: its field `uses` says which archives the snapshot needs.
        added.map_err(|what| {
            let detail = format!("changed entry {}: {what}", encode_name(recorded.path()));
            Error::new(Kind::Corrupt, OP, detail)
        })
    }
}

/// The ctime in the physical part of a line. `place` begins with `,"at":{`. `None` if there is no ctime in its
/// place: such a line is refused when its entry is read.
fn ctime(place: &[u8]) -> Option<Time> {
    let mut cursor = LineCursor::new(place);
    cursor.skip(AT)?;
    if cursor.has(b"\"ino\":\"") {
        cursor.large_number()?;
        cursor.skip(b"\",")?;
    }
    cursor.skip(b"\"ctime\":\"")?;
    cursor.time()
}

/// The offset of the first `,"at":{` of a line. Searches for `{`, because a line has only few of them.
fn logical_len(line: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = memchr(b'{', &line[from..]) {
        from += at + 1;
        if line[..from].ends_with(AT) {
            return Some(from - AT.len());
        }
    }
    None
}
