//! Collects the changes that a new snapshot makes to its parent, and writes the new state: the changes alone, the
//! changes merged with some of the parent's layers, or all entries.

use std::collections::HashMap;

use super::fold::{Fold, FoldRule};
use super::layer::{Layer, NewLines, write_gone};
use super::overlay::{Merged, Overlay};
use super::reader::SnapshotFile;
use super::tables::ArchiveNumbers;
use super::writer::{EntrySum, Made, SnapshotSum, WrittenState, too_long, too_many_archives};
use super::{
    ARCHIVES_MAX, ArchiveRef, Header, LINE_MAX, Omissions, Recorded, StateReader, StateWriter, Totals,
    Trailer, check, line,
};
use crate::entry::{Entry, Node, Path, is_within};
use crate::error::Result;
use crate::format::frame::FrameWriter;
use crate::format::{Sink, bug};

const OP: &str = "write the state";

/// The archives that a new snapshot needs.
pub struct NeededArchives<'n> {
    pub all: &'n [ArchiveRef],
    /// Returns the index in `all` of an archive of the parent, if the snapshot needs it.
    pub inherited: &'n dyn Fn(u32) -> Option<u32>,
}

/// Receives every entry of a new snapshot, or that all of them are the parent's. Keeps the lines of those that differ
/// from the parent's entries.
pub struct StateChanges {
    lines: NewLines,
    sum: EntrySum,
    /// The sums, if every entry equals the parent's.
    kept_all: Option<SnapshotSum>,
    /// The path of the last `gone` line.
    gone: Option<Path>,
    /// Names that the backup saw and did not store.
    pub omissions: Omissions,
}

impl StateChanges {
    #[allow(clippy::new_without_default)] // A default would suggest that there are other values to start from.
    pub fn new() -> Self {
        StateChanges {
            lines: NewLines::new(),
            sum: EntrySum::new(),
            kept_all: None,
            gone: None,
            omissions: Omissions::default(),
        }
    }

    /// Adds an entry that equals the parent's entry of this path.
    pub fn keep(&mut self, recorded: &Recorded) -> Result<()> {
        self.sum.check_recorded(recorded)?;
        self.sum.add(recorded.logical(), recorded.size());
        Ok(())
    }

    /// Adds all entries of the parent, whose trailer is `parent`, in place of [`StateChanges::keep`] for each of them.
    pub fn keep_all(&mut self, parent: &Trailer) {
        let Totals { entries, bytes, .. } = parent.totals;
        self.kept_all = Some(SnapshotSum { tree: parent.tree, entries, bytes });
    }

    /// Adds an entry. `old` is the parent's entry of this path, with the archive numbers of the new snapshot.
    pub fn entry(&mut self, entry: &Entry, old: Option<&Entry>) -> Result<()> {
        let path = entry.path.as_bytes();
        check::entry(entry).map_err(|what| bug(OP, what).at(path))?;
        self.sum.check(entry)?;
        let mut text = Vec::new();
        let logical = line::write(entry, &mut text);
        if text.len() > LINE_MAX - 2 {
            return Err(too_long(path));
        }
        self.sum.add(&text[..logical], entry.size());
        if old.is_some_and(|old| old == entry) {
            return Ok(());
        }
        if old.is_some_and(|old| old.node == Node::Dir && entry.node != Node::Dir) {
            self.gone(&entry.path)?;
        }
        self.lines.add(text)
    }

    /// Adds a path of the parent that the snapshot does not have.
    pub fn gone(&mut self, path: &Path) -> Result<()> {
        if self.gone.as_ref().is_some_and(|gone| is_within(path.as_bytes(), gone.as_bytes())) {
            return Ok(());
        }
        self.gone = Some(path.clone());
        let mut line = Vec::new();
        write_gone(path.as_bytes(), &mut line);
        self.lines.add(line)
    }

    /// True if every entry equals the parent's entry of its path, and no path of the parent is gone.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Writes the state. The entries that were added refer to `archives` by their index. `header` has no layers yet.
    /// `begin` begins the file.
    pub fn write<W: Sink>(
        self,
        parent: &mut StateReader,
        mut header: Header,
        rule: &FoldRule,
        begin: impl FnOnce() -> Result<FrameWriter<W>>,
        archives: &NeededArchives<'_>,
        made: &Made<'_>,
    ) -> Result<WrittenState<W>> {
        if archives.all.len() > ARCHIVES_MAX {
            return Err(too_many_archives());
        }
        let StateChanges { lines, sum, kept_all, omissions, .. } = self;
        let sum = kept_all.unwrap_or_else(|| sum.finish());
        let new = lines.into_layer(archives.all);
        match parent.fold(new.len, sum.entries, rule) {
            Fold::WholeState => {
                let mut state = StateWriter::new(begin()?, &header)?;
                state.omissions = omissions;
                let written = write_whole(state, parent, new, archives, made)?;
                match written.tree == sum.tree {
                    true => Ok(written),
                    false => Err(bug(OP, "the merged entries are another snapshot")),
                }
            }
            Fold::Changes(count) => {
                let (folded, kept) = parent.split_files(count);
                header.layers = kept.iter().map(|file| file.reference).collect();
                let uses = kept.iter().map(|file| file.uses(archives.inherited)).collect();
                let mut state = StateWriter::new(begin()?, &header)?;
                state.omissions = omissions;
                let (state, own) = write_folded(state, folded, new, archives)?;
                let file = state.finish_layer(&own, uses, sum, made)?;
                Ok(WrittenState { file, tree: sum.tree, layers: header.layers })
            }
        }
    }
}

/// Writes the new changes, merged with those of `folded`, the newest layers of the parent. Returns the archives that
/// the lines refer to.
fn write_folded<W: Sink>(
    state: StateWriter<W>,
    mut folded: Vec<&mut SnapshotFile>,
    new: Layer,
    archives: &NeededArchives<'_>,
) -> Result<(StateWriter<W>, Vec<ArchiveRef>)> {
    let NeededArchives { all, inherited } = *archives;
    let mut folding = Folding { state, numbers: vec![None], inherited, table: OwnArchives::default() };
    let mut lines = vec![new.read()];
    for file in &mut folded {
        let SnapshotFile { numbers, layer: Some(layer), .. } = &mut **file else { continue };
        lines.push(layer.read());
        folding.numbers.push(Some(numbers));
    }
    Overlay::new(lines)?.finish(&mut folding)?;
    let Folding { state, table, .. } = folding;
    Ok((state, table.take(all)?))
}

fn write_whole<W: Sink>(
    state: StateWriter<W>,
    parent: &mut StateReader,
    new: Layer,
    archives: &NeededArchives<'_>,
    made: &Made<'_>,
) -> Result<WrittenState<W>> {
    let mut overlay = Overlay::new(vec![new.read()])?;
    let mut whole = WholeStateWriter { state };
    let mut records = parent.recorded()?;
    while let Some(recorded) = records.advance()? {
        if !overlay.replaces(recorded.path(), &mut whole)? {
            carry(&mut whole.state, recorded, &mut |archive| (archives.inherited)(archive))?;
        }
    }
    overlay.finish(&mut whole)?;
    whole.state.finish(archives.all, made)
}

/// Adds an entry with the archive numbers that `renumber` returns. If `renumber` returns `None`, the result is an
/// error: every archive that the new snapshot needs has a number.
fn carry<W: Sink>(
    state: &mut StateWriter<W>,
    recorded: &Recorded,
    renumber: &mut dyn FnMut(u32) -> Option<u32>,
) -> Result<()> {
    let mut missing = false;
    state.carry(recorded, |archive| {
        let number = renumber(archive);
        missing |= number.is_none();
        number.unwrap_or(0)
    })?;
    match missing {
        true => Err(bug(OP, "an entry needs an archive that the snapshot does not").at(recorded.path())),
        false => Ok(()),
    }
}

/// Writes all entries of a snapshot.
struct WholeStateWriter<W: Sink> {
    state: StateWriter<W>,
}

impl<W: Sink> Merged for WholeStateWriter<W> {
    fn gone(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn entry(&mut self, _: usize, recorded: &Recorded) -> Result<()> {
        self.state.carry(recorded, |archive| archive)
    }
}

/// Writes the new changes, merged with those of some layers of the parent.
struct Folding<'f, W: Sink> {
    state: StateWriter<W>,
    /// For each merged layer, the translation of its archive numbers to those of the parent. `None` for the new
    /// changes, whose lines have archive numbers of the new snapshot.
    numbers: Vec<Option<&'f ArchiveNumbers>>,
    inherited: &'f dyn Fn(u32) -> Option<u32>,
    table: OwnArchives,
}

impl<W: Sink> Merged for Folding<'_, W> {
    fn gone(&mut self, path: &[u8]) -> Result<()> {
        self.state.gone(path)
    }

    fn entry(&mut self, layer: usize, recorded: &Recorded) -> Result<()> {
        let Folding { state, numbers, inherited, table } = self;
        carry(state, recorded, &mut |archive| {
            let archive = match numbers[layer] {
                None => Some(archive),
                Some(numbers) => numbers.get(archive).and_then(*inherited),
            };
            archive.map(|archive| table.number(archive))
        })
    }
}

/// The archives that the lines of one file refer to.
#[derive(Default)]
struct OwnArchives {
    /// The archives' numbers in the new snapshot; an archive's index here is its number in the file.
    order: Vec<u32>,
    numbers: HashMap<u32, u32>,
}

impl OwnArchives {
    fn number(&mut self, archive: u32) -> u32 {
        let next = self.order.len() as u32;
        *self.numbers.entry(archive).or_insert_with(|| {
            self.order.push(archive);
            next
        })
    }

    fn take(self, archives: &[ArchiveRef]) -> Result<Vec<ArchiveRef>> {
        let archive = |number: &u32| archives.get(*number as usize).cloned();
        let taken: Option<Vec<_>> = self.order.iter().map(archive).collect();
        taken.ok_or_else(|| bug(OP, "an archive that the snapshot does not name"))
    }
}
