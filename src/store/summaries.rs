//! Reads the headers and trailers of the states of one key, with their layers.

use std::collections::{HashMap, HashSet};

use super::{KeyListing, StateFile, Store, StoredFile};
use crate::error::Result;
use crate::format::{LayerRef, StateSummary, needed_by};
use crate::stamp::Stamp;

/// The summaries of the state files of the snapshot that was read last. The next snapshot usually needs most of these
/// files too.
#[derive(Default)]
pub struct Summaries {
    read: HashMap<String, StateSummary>,
}

impl Summaries {
    /// The summary of a snapshot, with the archives that the snapshot needs from all its layers. The error for a layer
    /// says that this snapshot needs the layer.
    pub fn snapshot(
        &mut self,
        store: &mut dyn Store,
        listing: &mut KeyListing,
        file: &StateFile,
    ) -> Result<StateSummary> {
        let own = self.file(store, file)?;
        let layer = |layer: &LayerRef| {
            self.layer(store, listing, layer).map_err(|error| needed_by(error, file.stamp))
        };
        let layers = own.header.layers.iter().map(layer).collect::<Result<Vec<_>>>()?;
        let needed: HashSet<Stamp> = own.header.layers.iter().map(|layer| layer.snapshot).collect();
        self.read.retain(|name, summary| *name == file.name || needed.contains(&summary.header.snapshot));
        own.with_layers(&file.name, &layers)
    }

    /// The summary of the state file that has the digest of `layer`. If no file has that digest, the result for the
    /// file that was tried last.
    fn layer(
        &mut self,
        store: &mut dyn Store,
        listing: &mut KeyListing,
        layer: &LayerRef,
    ) -> Result<StateSummary> {
        let files = listing.state_files(store, layer.snapshot, layer.size)?;
        let mut found = Err(listing.catalog().lost_layer(layer.snapshot, layer.size));
        for file in files {
            found = self.file(store, &file);
            match &found {
                Ok(summary) if summary.trailer.digest != layer.digest => {}
                Err(error) if error.proves_damage() => {}
                _ => break,
            }
        }
        found
    }

    /// Adds the summary of a file that was just read.
    pub fn add(&mut self, file: &StateFile, summary: StateSummary) {
        self.read.insert(file.name.clone(), summary);
    }

    fn file(&mut self, store: &mut dyn Store, file: &StateFile) -> Result<StateSummary> {
        if let Some(summary) = self.read.get(&file.name) {
            return Ok(summary.clone());
        }
        let mut stored = StoredFile { store, name: &file.name };
        let summary = StateSummary::read(&mut stored, &file.name, file.size, file.compressed)?;
        self.read.insert(file.name.clone(), summary.clone());
        Ok(summary)
    }
}
