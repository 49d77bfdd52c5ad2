//! The lines of one state file that has layers: entries that are new or changed, and paths that are gone.

use std::cmp::Ordering;
use std::io::BufReader;

use super::entries::append_line;
use super::reader::OP;
use super::{ArchiveRef, Recorded, json};
use crate::entry::{check_path, compare_paths};
use crate::error::{Error, Result};
use crate::spool::{Spool, SpoolReader, spool_error};
use crate::text::decode_name;

/// The most bytes of the lines of one layer that are kept in memory. A snapshot has up to seven such layers.
pub(super) const LAYER_IN_MEMORY: usize = 1 << 20;
/// The most bytes of the lines of a new snapshot that are kept in memory.
const NEW_IN_MEMORY: usize = 8 << 20;
/// Bytes of the read buffer of one layer.
const BUFFER: usize = 64 << 10;
/// The beginning of a line that says that a path is gone.
pub(super) const GONE: &[u8] = b"{\"gone\":\"";

/// The lines of a verified state file with layers, or the lines of a state that is being made.
#[derive(Debug)]
pub struct Layer {
    /// The name of the state file, for messages.
    pub(super) name: String,
    pub(super) lines: Spool,
    /// The offset of the first line in `lines`.
    pub(super) start: u64,
    /// Bytes of all lines.
    pub(super) len: u64,
    /// The archives that the lines refer to.
    pub(super) archives: Vec<ArchiveRef>,
}

impl Layer {
    /// Reads the lines, beginning with the first. May be called several times.
    pub(super) fn read(&self) -> LayerLines<'_> {
        LayerLines {
            lines: BufReader::with_capacity(BUFFER, self.lines.reader(self.start, self.len)),
            name: &self.name,
            archives: &self.archives,
            recorded: Recorded::default(),
            gone: Vec::new(),
            head: LayerLineKind::None,
            last: None,
            number: 0,
        }
    }
}

/// The kind of the current line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LayerLineKind {
    /// Before the first line, at the end, or after an error.
    None,
    /// The entries that older layers have at this path and below it are gone.
    Gone,
    Entry,
}

/// Reads the lines of a layer in order, and checks each line and the order.
pub(super) struct LayerLines<'l> {
    lines: BufReader<SpoolReader<&'l Spool>>,
    name: &'l str,
    archives: &'l [ArchiveRef],
    recorded: Recorded,
    /// The path of the current line, if that line says that a path is gone.
    gone: Vec<u8>,
    head: LayerLineKind,
    /// The path of the previous line, and whether that path was gone.
    last: Option<(Vec<u8>, bool)>,
    number: u64,
}

impl LayerLines<'_> {
    pub fn head(&self) -> LayerLineKind {
        self.head
    }

    /// The path of the current line; `None` if there is no line.
    pub fn path(&self) -> Option<&[u8]> {
        match self.head {
            LayerLineKind::None => None,
            LayerLineKind::Gone => Some(&self.gone),
            LayerLineKind::Entry => Some(self.recorded.path()),
        }
    }

    /// The entry of the current line. It has no meaning if that line is not the line of an entry.
    pub fn recorded(&self) -> &Recorded {
        &self.recorded
    }

    /// Reads the next line.
    pub fn advance(&mut self) -> Result<()> {
        let mut last = self.last.take().map_or(Vec::new(), |(last, _)| last);
        if let Some(path) = self.path() {
            last.clear();
            last.extend_from_slice(path);
            self.last = Some((last, self.head == LayerLineKind::Gone));
        }
        self.head = LayerLineKind::None;
        let line = self.recorded.buffer();
        line.clear();
        let read = append_line(&mut self.lines, line).map_err(|e| spool_error(&e))?;
        for end in [b'\n', b','] {
            if line.last() == Some(&end) {
                line.pop();
            }
        }
        if read == 0 {
            return Ok(());
        }
        self.number += 1;
        let number = self.number;
        self.take().map_err(|what| Error::corrupt(OP, self.name, format!("changed entry {number}: {what}")))
    }

    fn take(&mut self) -> std::result::Result<(), String> {
        let is_gone = self.recorded.line().starts_with(GONE);
        if is_gone {
            self.gone = read_gone(self.recorded.line()).ok_or("a path that is gone is not valid")?;
        } else {
            self.recorded.take()?;
            self.recorded.check_places(self.archives)?;
        }
        let path = if is_gone { &self.gone } else { self.recorded.path() };
        if let Some((last, was_gone)) = &self.last {
            match compare_paths(last, path) {
                Ordering::Less => {}
                // An entry may follow the gone line of its own path, for example if a file replaced a directory.
                Ordering::Equal if *was_gone && !is_gone => {}
                _ => return Err("entries out of order or repeated".into()),
            }
        }
        self.head = if is_gone { LayerLineKind::Gone } else { LayerLineKind::Entry };
        Ok(())
    }
}

/// Appends the line of a path that is gone, without the comma and the LF between lines.
pub(super) fn write_gone(path: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"gone\":");
    json::name(out, path);
    out.push(b'}');
}

/// The path of a line that [`write_gone`] wrote, in exactly that spelling; `None` for any other line. The root is
/// never gone.
fn read_gone(line: &[u8]) -> Option<Vec<u8>> {
    let text: String = serde_json::from_slice(line.strip_prefix(b"{\"gone\":")?.strip_suffix(b"}")?).ok()?;
    let path = decode_name(&text).filter(|path| !path.is_empty() && check_path(path).is_ok())?;
    let mut written = Vec::with_capacity(line.len());
    write_gone(&path, &mut written);
    (written == line).then_some(path)
}

/// The changes that a new snapshot makes to its parent, while they are collected.
pub(super) struct NewLines(Spool);

impl NewLines {
    pub fn new() -> Self {
        NewLines(Spool::new(NEW_IN_MEMORY))
    }

    pub fn is_empty(&self) -> bool {
        self.0.end() == 0
    }

    /// Adds a line, without its LF.
    pub fn add(&mut self, mut line: Vec<u8>) -> Result<()> {
        line.push(b'\n');
        self.0.append(&line)
    }

    /// All lines, as a layer above the parent's layers. The archive numbers in the lines are indexes into `archives`.
    pub fn into_layer(self, archives: &[ArchiveRef]) -> Layer {
        let NewLines(lines) = self;
        Layer {
            name: "the new snapshot".into(),
            start: 0,
            len: lines.end(),
            lines,
            archives: archives.to_vec(),
        }
    }
}
