//! Merges the lines of layers. Every layer is sorted by path, so one pass over all of them together is enough. At each
//! path, the newest layer that has a line of the path decides.

use std::cmp::Ordering;

use super::Recorded;
use super::layer::{LayerLineKind, LayerLines};
use crate::entry::{compare_paths, is_within};
use crate::error::Result;

/// Receives the merged lines, in order of their paths.
pub(super) trait Merged {
    /// `path` and everything below it is gone. This hides lines of the states that are older than the merged layers.
    fn gone(&mut self, path: &[u8]) -> Result<()>;

    /// The entry of a path. `layer` is the index of the layer that the line is from.
    fn entry(&mut self, layer: usize, recorded: &Recorded) -> Result<()>;
}

/// Merges layers with the older lines below them, which the caller passes path by path.
pub(super) struct Overlay<'l> {
    /// The newest first.
    layers: Vec<LayerLines<'l>>,
    /// The index of a layer whose current line has the lowest path.
    lowest: Option<usize>,
    /// Paths that are gone and that contain the current path, the outermost first, with the index of the layer that
    /// says so. They hide the lines of older layers only.
    gone: Vec<(Vec<u8>, usize)>,
    /// The path of the current lines.
    path: Vec<u8>,
}

impl<'l> Overlay<'l> {
    /// `layers` begin with the newest one.
    pub fn new(mut layers: Vec<LayerLines<'l>>) -> Result<Self> {
        layers.iter_mut().try_for_each(LayerLines::advance)?;
        let mut overlay = Overlay { layers, lowest: None, gone: Vec::new(), path: Vec::new() };
        overlay.find_lowest();
        Ok(overlay)
    }

    /// Passes on the merged lines of the layers up to and including those of `path`. Returns true if the layers have an
    /// entry of `path`, or if `path` is gone: the caller then drops its own line of `path`.
    pub fn replaces(&mut self, path: &[u8], out: &mut dyn Merged) -> Result<bool> {
        let mut has_entry = false;
        while let Some(lowest) = self.lowest_path() {
            let order = compare_paths(lowest, path);
            if order == Ordering::Greater {
                break;
            }
            has_entry = self.merge_one(out)? && order == Ordering::Equal;
        }
        self.leave(path);
        Ok(has_entry || !self.gone.is_empty())
    }

    /// Passes on the merged lines of all remaining paths: those after the last call of [`Overlay::replaces`].
    pub fn finish(&mut self, out: &mut dyn Merged) -> Result<()> {
        while self.lowest.is_some() {
            self.merge_one(out)?;
        }
        Ok(())
    }

    fn lowest_path(&self) -> Option<&[u8]> {
        self.lowest.and_then(|index| self.layers[index].path())
    }

    fn find_lowest(&mut self) {
        let paths = self.layers.iter().enumerate().filter_map(|(index, lines)| Some((index, lines.path()?)));
        self.lowest = paths.min_by(|(_, a), (_, b)| compare_paths(a, b)).map(|(index, _)| index);
    }

    /// Forgets the paths that are gone and do not contain `path`.
    fn leave(&mut self, path: &[u8]) {
        while self.gone.last().is_some_and(|(gone, _)| !is_within(path, gone)) {
            self.gone.pop();
        }
    }

    /// True if a layer newer than `layer` says that the current path, or a directory above it, is gone.
    fn hides(&self, layer: usize) -> bool {
        self.gone.iter().any(|(_, newer)| *newer < layer)
    }

    /// Merges all lines of the lowest path. Returns whether the path has an entry.
    fn merge_one(&mut self, out: &mut dyn Merged) -> Result<bool> {
        let mut path = std::mem::take(&mut self.path);
        path.clear();
        path.extend_from_slice(self.lowest_path().unwrap_or_default());
        self.leave(&path);
        let (mut entry, mut is_gone) = (None, false);
        for index in 0..self.layers.len() {
            let is_here = |lines: &LayerLines<'_>| lines.path() == Some(&path[..]);
            if is_here(&self.layers[index]) && self.layers[index].head() == LayerLineKind::Gone {
                // If this layer or a newer layer says that a directory above the path is gone, that record already
                // hides everything that this line would hide. So `gone` has at most one path for each layer.
                if self.gone.iter().all(|(_, newer)| *newer > index) {
                    is_gone = true;
                    self.gone.push((path.clone(), index));
                }
                self.layers[index].advance()?;
            }
            if is_here(&self.layers[index]) {
                if entry.is_none() && !self.hides(index) {
                    entry = Some(index);
                } else {
                    self.layers[index].advance()?;
                }
            }
        }
        if is_gone {
            out.gone(&path)?;
        }
        if let Some(index) = entry {
            out.entry(index, self.layers[index].recorded())?;
            self.layers[index].advance()?;
        }
        self.path = path;
        self.find_lowest();
        Ok(entry.is_some())
    }
}
