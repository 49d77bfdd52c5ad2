//! A sparse index of a state: the offset of every n-th entry's line.

use std::cmp::Ordering;

use crate::entry::Path;
use crate::error::Result;
use crate::format::StateReader;
use crate::job::Job;

/// At first, every 32nd entry has a point. After a jump to a point, at most this many lines are read before the wanted
/// entry.
const EVERY: u64 = 32;
/// If there are more points than this, or longer paths together, every other point is dropped.
const POINTS_MAX: usize = 1 << 16;
const PATH_BYTES_MAX: usize = 8 << 20;

/// The paths and line offsets of some entries. The size does not grow with the number of entries: at most
/// [`POINTS_MAX`] points and [`PATH_BYTES_MAX`] bytes of paths. The first path is kept even if it alone is longer.
#[derive(Debug)]
pub struct Index {
    /// In ascending order. The first point is the root.
    points: Vec<Point>,
    /// Number of entries from one point to the next.
    every: u64,
    path_bytes: usize,
}

#[derive(Debug)]
struct Point {
    path: Path,
    /// Offset of the entry's line, for [`StateReader::entries_from`].
    offset: u64,
}

impl Index {
    /// Reads all entries once. This checks every line and the order of the entries.
    pub fn build(state: &mut StateReader, job: &mut Job) -> Result<Self> {
        let mut index = Index { points: Vec::new(), every: EVERY, path_bytes: 0 };
        let mut entries = state.entries()?;
        let mut count = 0u64;
        while let Some(entry) = entries.next().transpose()? {
            job.step(entry.path.as_bytes())?;
            if count.is_multiple_of(index.every) {
                index.push(Point { path: entry.path, offset: entries.offset() });
            }
            count += 1;
        }
        Ok(index)
    }

    fn push(&mut self, point: Point) {
        self.path_bytes += point.path.as_bytes().len();
        self.points.push(point);
        while self.points.len() > 1 && (self.points.len() > POINTS_MAX || self.path_bytes > PATH_BYTES_MAX) {
            self.thin_out();
        }
    }

    fn thin_out(&mut self) {
        let mut keep = false;
        self.points.retain(|_| {
            keep = !keep;
            keep
        });
        self.points.shrink_to_fit();
        self.every *= 2;
        self.path_bytes = self.points.iter().map(|point| point.path.as_bytes().len()).sum();
    }

    /// The offset from which to read on to find `path`: at most [`Index::every`] lines before it.
    pub fn before(&self, path: &Path) -> u64 {
        self.last(|point| point.path.cmp(path) != Ordering::Greater)
    }

    /// The offset from which to read on to find the first entry after `dir` and everything in it: at most
    /// [`Index::every`] lines before that entry.
    pub fn before_end_of(&self, dir: &Path) -> u64 {
        self.last(|point| point.path <= *dir || point.path.is_within(dir.as_bytes()))
    }

    /// The offset of the last point for which `is_before` is true. `is_before` must be true for the first
    /// points and false for all others.
    fn last(&self, is_before: impl Fn(&Point) -> bool) -> u64 {
        let count = self.points.partition_point(is_before);
        self.points[..count.max(1).min(self.points.len())].last().map_or(0, |point| point.offset)
    }

    /// Memory of the index, in bytes.
    pub fn bytes(&self) -> usize {
        self.points.capacity() * size_of::<Point>() + self.path_bytes
    }

    pub fn every(&self) -> u64 {
        self.every
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(paths: impl Iterator<Item = String>) -> Index {
        let mut index = Index { points: Vec::new(), every: 1, path_bytes: 0 };
        for (count, path) in paths.enumerate() {
            if (count as u64).is_multiple_of(index.every) {
                index.push(Point { path: Path::new(path).unwrap(), offset: count as u64 });
            }
        }
        index
    }

    #[test]
    fn memory_is_bounded_by_points_and_by_their_paths() {
        let many = filled((0..500_000).map(|n| format!("{n:06}")));
        assert_eq!(many.every, 8);
        assert!(many.points.len() <= POINTS_MAX && many.bytes() < 4 << 20, "{}", many.bytes());
        let long = filled((0..20_000).map(|n| format!("{n:06}{}", "/long name".repeat(300))));
        assert_eq!(long.every, 8);
        assert!(long.path_bytes <= PATH_BYTES_MAX && long.points.len() > 2000);
    }

    #[test]
    fn a_thinned_index_still_leads_to_every_entry() {
        let index = filled((0..200_000).map(|n| format!("{n:06}")));
        for n in (0..200_000).step_by(997) {
            let before = index.before(&Path::new(format!("{n:06}")).unwrap());
            assert!(before <= n && n - before < index.every(), "{n}: {before}");
        }
    }
}
