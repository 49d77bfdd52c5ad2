//! A series whose states have layers, and a quick check of all snapshots.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ibt::entry::Hash;
use ibt::stamp::Stamp;

use super::series::{KEY, Series};
use super::stored;

/// The files of the source of [`layered`].
const FILES: usize = 150;

/// Makes a full, and then an increment for each number in `changes`: the number of files that change before this
/// increment. If each number is at most a third of the number before, every increment has all snapshots before it as
/// layers.
pub fn layered(changes: &[usize]) -> Series {
    let mut series = Series::new();
    for n in 0..FILES {
        series.write(&path(n), format!("first {n}"));
    }
    series.snapshot();
    for &count in changes {
        change(&series, count);
        series.snapshot();
    }
    series
}

/// A full and three increments. Each increment has all snapshots before it as layers. One file of the source has
/// changed since the last increment.
pub fn layered_chain() -> Series {
    let series = layered(&[24, 8, 2]);
    series.assert_layered();
    change(&series, 1);
    series
}

fn path(n: usize) -> String {
    format!("dir{}/a file with a name {n}", n % 7)
}

/// Changes `count` files. Calls with different counts begin at different files.
pub fn change(series: &Series, count: usize) {
    for n in 0..count {
        series.write(
            &path((n * 3 + count * 11) % FILES),
            format!("change {n} of {count} after {}", series.points.len()),
        );
    }
}

impl Series {
    /// The state file of a snapshot.
    pub fn state_of(&self, stamp: Stamp) -> PathBuf {
        self.store.join(format!("{KEY}.state.{stamp}.json.zst"))
    }

    /// The stamps of the layers of a snapshot, the newest first.
    pub fn layers_of(&self, stamp: Stamp) -> Vec<Stamp> {
        let layers = stored::file(&self.state_of(stamp))["layers"].as_array().cloned().unwrap_or_default();
        layers.iter().map(|layer| Stamp::parse(layer["snapshot"].as_str().unwrap()).unwrap()).collect()
    }

    /// Asserts that each snapshot has all snapshots before it as layers.
    #[track_caller]
    pub fn assert_layered(&self) {
        for (index, point) in self.points.iter().enumerate() {
            let before: Vec<_> = self.points[..index].iter().rev().map(|point| point.stamp).collect();
            assert_eq!(self.layers_of(point.stamp), before, "the layers of snapshot {index}");
        }
    }

    /// Asserts that a list and a verify find no fault and report the same tree digests. Returns the digests.
    #[track_caller]
    pub fn sound(&self) -> BTreeMap<Stamp, Hash> {
        let listed = self.list().whole();
        let verified = self.verify(&self.options).whole();
        let digests = |report: &ibt::job::Report| -> BTreeMap<Stamp, Hash> {
            report.snapshots.iter().filter_map(|snapshot| Some((snapshot.stamp, snapshot.digest?))).collect()
        };
        assert_eq!(digests(&listed), digests(&verified));
        digests(&listed)
    }

    /// Removes the cache.
    pub fn forget_cache(&self) {
        if self.cache().exists() {
            fs::remove_dir_all(self.cache()).unwrap();
        }
    }
}
