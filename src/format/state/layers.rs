//! Opens the layers of a state and merges their lines.

use std::sync::Arc;

use super::intake::{LayersAbove, Parts, PathSelector};
use super::layer::{LAYER_IN_MEMORY, Layer};
use super::overlay::Overlay;
use super::reader::{
    KEPT_ENTRIES, KeptBytes, OP, SPOOL_IN_MEMORY, SnapshotFile, StateFiles, StateSummary, StoredState,
    read_document,
};
use super::tables::{ArchiveNumbers, ArchiveTable};
use super::{ArchiveRef, LayerRef, StateReader, Trailer};
use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::spool::Spool;
use crate::stamp::Stamp;

impl StateSummary {
    /// The summary with the archives that the snapshot needs, from all layers. `layers` are the summaries of the layers
    /// that the header names, in the same order. `name` is the file of the state.
    pub fn with_layers(self, name: &str, layers: &[StateSummary]) -> Result<StateSummary> {
        let corrupt = |what: String| Error::corrupt(OP, name, what);
        if layers.is_empty() {
            return Ok(self);
        }
        let mut table = ArchiveTable::default();
        let all = vec![true; self.trailer.archives.len()];
        table.add(&self.trailer.archives, &all).map_err(corrupt)?;
        let references = self.header.layers.iter().zip(&self.trailer.uses);
        for ((reference, uses), layer) in references.zip(layers) {
            let is_last = reference.snapshot == layers[layers.len() - 1].header.snapshot;
            check_layer(&self, layer, reference, is_last).map_err(corrupt)?;
            table.add(&layer.trailer.archives, uses).map_err(corrupt)?;
        }
        let trailer = Trailer { archives: table.archives, uses: Vec::new(), ..Trailer::clone(&self.trailer) };
        Ok(StateSummary { trailer: Arc::new(trailer), ..self })
    }
}

/// Checks that a file is the layer that the state `top` names. `is_last`: it is the lowest layer, which must be whole.
fn check_layer(
    top: &StateSummary,
    layer: &StateSummary,
    reference: &LayerRef,
    is_last: bool,
) -> std::result::Result<(), String> {
    let header = &layer.header;
    let is_it = (header.snapshot, layer.trailer.digest) == (reference.snapshot, reference.digest);
    if !is_it || header.series != top.header.series {
        return Err(format!("its layer {} is another file", reference.snapshot));
    }
    match header.layers.is_empty() == is_last {
        true => Ok(()),
        false if is_last => Err(format!("its last layer {} is not whole", reference.snapshot)),
        false => Err(format!("its layer {} is whole, but not the last one", reference.snapshot)),
    }
}

/// The layers of one state, while they are opened.
pub(super) struct Layers<'l> {
    /// The file name of the state.
    pub name: String,
    pub summary: StateSummary,
    pub pool: &'l Pool,
    pub files: &'l mut dyn StateFiles,
}

impl Layers<'_> {
    /// Opens the layers of the state whose own lines are `top`, and merges all of them.
    pub fn open(
        mut self,
        own: LayerRef,
        top: Layer,
        selector: Option<PathSelector<'_>>,
    ) -> Result<StateReader> {
        let header = Arc::clone(&self.summary.header);
        let uses = self.summary.trailer.uses.clone();
        let Some((base, above)) = header.layers.split_last() else { return Err(self.corrupt("no layers")) };
        let (above_uses, base_uses) = uses.split_at(above.len().min(uses.len()));
        let summary = self.summary_of(base)?;
        let mut table = ArchiveTable::default();
        let base_uses = base_uses.first().map_or(&[][..], |uses| uses);
        let base_numbers = self.join(&mut table, &summary.trailer.archives, base_uses)?;
        let mut opened = Vec::with_capacity(above.len() + 2);
        let all = vec![true; top.archives.len()];
        let numbers = self.join(&mut table, &top.archives, &all)?;
        opened.push(SnapshotFile { reference: own, numbers, len: top.len, layer: Some(top) });
        for (reference, uses) in above.iter().zip(above_uses) {
            let layer = self.layer(reference)?;
            let numbers = self.join(&mut table, &layer.archives, uses)?;
            opened.push(SnapshotFile { reference: *reference, numbers, len: layer.len, layer: Some(layer) });
        }
        let (spool, parts) = self.merge(base, &base_numbers, &mut opened, selector)?;
        opened.push(SnapshotFile {
            reference: *base,
            numbers: base_numbers,
            len: parts.entries_len,
            layer: None,
        });
        self.reader(spool, &parts, table.archives, opened)
    }

    fn reader(
        self,
        spool: Spool,
        parts: &Parts,
        archives: Vec<ArchiveRef>,
        files: Vec<SnapshotFile>,
    ) -> Result<StateReader> {
        parts.check_snapshot(&self.summary.trailer).map_err(|what| self.corrupt(&what))?;
        let entries_len = spool.end();
        let Layers { name, summary, .. } = self;
        let trailer = Trailer { archives, uses: Vec::new(), ..Trailer::clone(&summary.trailer) };
        Ok(StateReader {
            name,
            summary: StateSummary { trailer: Arc::new(trailer), ..summary },
            spool,
            entries_start: 0,
            entries_len,
            numbering: KEPT_ENTRIES,
            checked: false,
            newest_ctime: parts.newest_ctime(),
            files,
        })
    }

    /// Reads the header and the trailer of the whole state at the bottom.
    fn summary_of(&mut self, base: &LayerRef) -> Result<StateSummary> {
        let (mut summary, top) = (None, &self.summary);
        let read = self.files.read(base.snapshot, base.size, &mut |stored| {
            let StoredState { source, name, size, compressed, .. } = stored;
            let read = StateSummary::read(source, name, size, compressed)?;
            check_layer(top, &read, base, true).map_err(|what| Error::corrupt(OP, name, what))?;
            summary = Some(read);
            Ok(())
        });
        read.map_err(|error| self.needed(error))?;
        summary.ok_or_else(|| self.corrupt("a layer was not read"))
    }

    /// Reads the lines of a layer that is not whole.
    fn layer(&mut self, reference: &LayerRef) -> Result<Layer> {
        let (mut opened, top, pool) = (None, &self.summary, self.pool);
        let read = self.files.read(reference.snapshot, reference.size, &mut |stored| {
            let name = stored.name.to_string();
            let mut lines = Spool::new(LAYER_IN_MEMORY);
            let mut parts = read_document(stored, Some(pool), KeptBytes::All(&mut lines))?;
            let summary = StateSummary::new(&name, &mut parts)?;
            check_layer(top, &summary, reference, false).map_err(|what| Error::corrupt(OP, &name, what))?;
            let archives = summary.trailer.archives.clone();
            let (start, len) = (parts.entries_start, parts.entries_len);
            opened = Some(Layer { name, lines, start, len, archives });
            Ok(())
        });
        read.map_err(|error| self.needed(error))?;
        opened.ok_or_else(|| self.corrupt("a layer was not read"))
    }

    /// Merges the lines of the layers with those of the whole state. Returns the merged lines.
    fn merge(
        &mut self,
        base: &LayerRef,
        base_numbers: &ArchiveNumbers,
        opened: &mut [SnapshotFile],
        mut selector: Option<PathSelector<'_>>,
    ) -> Result<(Spool, Parts)> {
        let (mut merged, top, top_name, pool) = (None, &self.summary, &self.name, self.pool);
        let read = self.files.read(base.snapshot, base.size, &mut |stored| {
            let name = stored.name.to_string();
            let mut spool = Spool::new(SPOOL_IN_MEMORY);
            let mut lines = Vec::with_capacity(opened.len());
            let mut numbers = Vec::with_capacity(opened.len());
            for file in opened.iter_mut() {
                let SnapshotFile { numbers: of_file, layer: Some(layer), .. } = file else { continue };
                lines.push(layer.read());
                numbers.push(&*of_file);
            }
            let above = LayersAbove::new(Overlay::new(lines)?, numbers, base_numbers);
            let selector = selector.as_mut().map(|selector| &mut **selector as PathSelector<'_>);
            let parts =
                read_document(stored, Some(pool), KeptBytes::Merged(&mut spool, Box::new(above), selector));
            let mut parts = parts.map_err(|error| match error.path {
                Some(_) => error,
                None => error.at(top_name),
            })?;
            parts.merged = true;
            let summary = StateSummary::new(&name, &mut parts)?;
            check_layer(top, &summary, base, true).map_err(|what| Error::corrupt(OP, &name, what))?;
            merged = Some((spool, parts));
            Ok(())
        });
        read.map_err(|error| self.needed(error))?;
        merged.ok_or_else(|| self.corrupt("a layer was not read"))
    }

    fn join(
        &self,
        table: &mut ArchiveTable,
        archives: &[ArchiveRef],
        uses: &[bool],
    ) -> Result<ArchiveNumbers> {
        table.add(archives, uses).map_err(|what| self.corrupt(&what))
    }

    fn needed(&self, error: Error) -> Error {
        needed_by(error, self.summary.header.snapshot)
    }

    fn corrupt(&self, what: &str) -> Error {
        Error::corrupt(OP, &self.name, what)
    }
}

/// Says in the error of a damaged layer which snapshot needs the layer.
pub fn needed_by(error: Error, snapshot: Stamp) -> Error {
    match error.proves_loss() {
        true => {
            Error { detail: format!("{}; the snapshot {snapshot} needs this file", error.detail), ..error }
        }
        false => error,
    }
}
