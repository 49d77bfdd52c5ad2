//! The part of a snapshot that is restored: one directory of the snapshot, and the entries in it that the filter
//! selects and no pattern excludes.

use crate::entry::{Entry, FileType, Path, is_within};
use crate::error::{Error, Kind, Result};
use crate::exclude::Excludes;
use crate::filter::Filter;
use crate::format::{Recorded, StateReader};
use crate::job::{Options, Overwrite};

use super::hard_link_names::{HardLinkNames, InodeLookup};

/// A selection of at most this many entries stays in memory after the planning, so that the state is read only once.
const FEW: usize = 1000;

/// Most bytes of memory for these entries. If they need more, the state is read again: one entry of a file with many
/// holes or long attributes may take megabytes.
const FEW_BYTES: usize = 4 << 20;

pub struct Selection {
    pub filter: Filter,
    excludes: Excludes,
    /// There are no patterns.
    excludes_nothing: bool,
    root: Path,
}

/// The entries of a pass in path order that patterns exclude.
#[derive(Default)]
pub struct ExcludedPaths {
    /// The entry that was excluded last. Everything below it is excluded too.
    last: Option<Vec<u8>>,
}

impl ExcludedPaths {
    /// Whether patterns exclude the next entry, which lies below the root of the restore.
    fn has(&mut self, excludes: &Excludes, path: &[u8], is_dir: bool) -> bool {
        if self.last.as_ref().is_some_and(|above| is_within(path, above)) {
            return true;
        }
        let excluded = excludes.is_excluded(path, is_dir);
        self.last = excluded.then(|| path.to_vec());
        excluded
    }
}

/// The number of entries to restore, and facts about them.
#[derive(Default)]
pub struct RestorePlan {
    pub entries: u64,
    /// Logical bytes of the files.
    pub bytes: u64,
    /// The names of hard-link sets among the entries. Empty if the whole snapshot goes into a new tree, where no
    /// count is needed.
    pub names: HardLinkNames,
    /// A selected entry has a content that only a newer version can restore. False if the whole snapshot goes into a
    /// new tree.
    pub lacks_content: bool,
    /// Everything that [`Selection::each`] yields, if that is at most [`FEW`] entries.
    few: Option<FewEntries>,
}

/// A short list of entries. The flag says whether the entry itself is selected.
#[derive(Default)]
struct FewEntries {
    entries: Vec<(Entry, bool)>,
    heap_len: usize,
}

impl FewEntries {
    /// The list with one more entry. `None` if the list would be too long.
    fn with(mut self, entry: Entry, asked_for: bool) -> Option<FewEntries> {
        self.heap_len += entry.heap_len();
        self.entries.push((entry, asked_for));
        (self.entries.len() <= FEW && self.heap_len <= FEW_BYTES).then_some(self)
    }
}

impl Selection {
    pub fn new(options: &Options) -> Result<Self> {
        let filter = Filter::new(&options.includes, &options.paths)?;
        let excludes = Excludes::new(&options.excludes, b"")?;
        let excludes_nothing = options.excludes.is_empty();
        Ok(Selection { filter, excludes, excludes_nothing, root: options.root.clone() })
    }

    /// Whether the selection is the whole snapshot.
    pub fn is_whole(&self) -> bool {
        self.filter.is_all() && self.excludes_nothing && self.root.is_root()
    }

    /// Whether patterns exclude the next entry of a pass in path order. The directory that becomes the destination, and
    /// those above it, are never excluded.
    pub fn excludes(&self, excluded: &mut ExcludedPaths, path: &[u8], is_dir: bool) -> bool {
        let is_below_root = path.len() > self.root.as_bytes().len() && is_within(path, self.root.as_bytes());
        !self.excludes_nothing && is_below_root && excluded.has(&self.excludes, path, is_dir)
    }

    /// Whether [`Selection::each`] needs the entry of this path.
    pub fn needs(&mut self, path: &[u8]) -> bool {
        is_within(path, self.root.as_bytes()) && (path == self.root.as_bytes() || self.filter.matches(path))
    }

    /// Counts the selected entries. Reads every entry once, unless the totals in the trailer are enough. `NotFound`
    /// if the snapshot has no such directory, or if a glob or path selects nothing.
    pub fn plan(
        &mut self,
        state: &mut StateReader,
        options: &Options,
        mut lookup: Option<InodeLookup>,
    ) -> Result<RestorePlan> {
        let totals = &state.trailer().totals;
        let (entries, bytes) = (totals.entries, totals.bytes);
        if self.is_whole() && options.overwrite == Overwrite::Never {
            return Ok(RestorePlan { entries, bytes, ..RestorePlan::default() });
        }
        let mut plan = RestorePlan { few: Some(FewEntries::default()), ..RestorePlan::default() };
        let mut found = false;
        let root = self.root.clone();
        self.each_recorded(state, &mut |recorded, asked_for| {
            found = true;
            if asked_for {
                plan.entries += 1;
                plan.bytes = plan.bytes.saturating_add(recorded.size());
                let is_unknown = recorded.file_type() == FileType::Unknown;
                plan.lacks_content |= is_unknown && !recorded.content().is_empty();
                if let Some(set) = recorded.link_set() {
                    let path = path_below(recorded.path(), &root);
                    plan.names.add(set, path, lookup.as_mut());
                }
            }
            if let Some(few) = plan.few.take() {
                plan.few = few.with(recorded.entry()?, asked_for);
            }
            Ok(())
        })?;
        self.filter.check_used()?;
        if !found {
            return Err(Error::new(Kind::NotFound, "find in the snapshot", "there is no such directory")
                .at(&self.root));
        }
        Ok(plan)
    }

    pub fn is_in_root(&self, entry: &Entry) -> bool {
        entry.path.is_within(self.root.as_bytes())
    }

    /// Calls `each` for every selected entry (with `true`), in path order. Before a selected entry come the
    /// directories that lead to it and are not selected themselves (with `false`).
    pub fn each(
        &mut self,
        state: &mut StateReader,
        plan: &mut RestorePlan,
        each: &mut dyn FnMut(Entry, bool) -> Result<()>,
    ) -> Result<()> {
        match plan.few.take() {
            Some(few) => few.entries.into_iter().try_for_each(|(entry, asked_for)| each(entry, asked_for)),
            None => self.each_recorded(state, &mut |recorded, asked_for| each(recorded.entry()?, asked_for)),
        }
    }

    fn each_recorded(
        &mut self,
        state: &mut StateReader,
        each: &mut dyn FnMut(&Recorded, bool) -> Result<()>,
    ) -> Result<()> {
        // Directories that are not selected themselves. A later entry shows whether they lead to a selected one.
        let mut above: Vec<Recorded> = Vec::new();
        let mut excluded = ExcludedPaths::default();
        let mut records = state.recorded()?;
        while let Some(recorded) = records.advance()? {
            let path = recorded.path();
            if !is_within(path, self.root.as_bytes()) {
                continue;
            }
            check_root(recorded, &self.root)?;
            if self.excludes(&mut excluded, path, recorded.is_dir()) {
                continue;
            }
            while above.pop_if(|dir| !is_within(path, dir.path())).is_some() {}
            if self.filter.matches(path) {
                for dir in above.drain(..) {
                    each(&dir, false)?;
                }
                each(recorded, true)?;
            } else if recorded.is_dir() {
                above.push(recorded.clone());
            }
        }
        Ok(())
    }
}

/// Turns a path in the snapshot into the path below the destination. `root` is the snapshot's directory that is
/// restored as the destination.
pub fn path_below<'p>(path: &'p [u8], root: &Path) -> &'p [u8] {
    match root.is_root() {
        true => path,
        false => path.get(root.as_bytes().len() + 1..).unwrap_or_default(),
    }
}

/// An error if the entry that becomes the destination is not a directory.
fn check_root(recorded: &Recorded, root: &Path) -> Result<()> {
    if recorded.path() != root.as_bytes() || recorded.is_dir() {
        return Ok(());
    }
    let detail = "it is not a directory";
    Err(match root.is_root() {
        true => Error::new(Kind::Corrupt, "restore", format!("the snapshot's root: {detail}")),
        false => Error::new(Kind::NotFound, "restore the directory", detail).at(root),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Metadata, Node};

    /// The number of entries with an attribute of this length that stay in memory.
    fn kept(xattr: usize) -> usize {
        let entry = || {
            let meta = Metadata { xattrs: vec![(b"user.x".to_vec(), vec![0; xattr])], ..Metadata::default() };
            Entry::new(Path::new(*b"f").unwrap(), Node::Fifo, meta, Default::default())
        };
        let (mut few, mut count) = (Some(FewEntries::default()), 0);
        while let Some(next) = few.take().and_then(|few| few.with(entry(), true)) {
            (few, count) = (Some(next), count + 1);
        }
        count
    }

    #[test]
    fn few_entries_are_few_and_small() {
        assert_eq!(kept(0), FEW);
        assert!((60..64).contains(&kept(64 << 10)), "{}", kept(64 << 10));
        assert_eq!(kept(FEW_BYTES), 0);
    }
}
