//! The part of a snapshot that is restored: a directory of it, and in that what a filter means.

use std::collections::HashMap;

use crate::entry::{Entry, Node, Path};
use crate::error::{Error, Kind, Result};
use crate::filter::Filter;
use crate::format::StateReader;
use crate::job::{Options, Overwrite};

pub struct Selection {
    pub filter: Filter,
    root: Path,
}

/// What will be restored.
#[derive(Default)]
pub struct Plan {
    pub entries: u64,
    /// Logical bytes of the files.
    pub bytes: u64,
    /// How many names each hard-link set has among the entries; only counted where it matters.
    pub names: HashMap<u64, u64>,
}

impl Selection {
    pub fn new(options: &Options) -> Result<Self> {
        let filter = Filter::new(&options.includes, &options.paths)?;
        Ok(Selection { filter, root: options.root.clone() })
    }

    /// Looks at every entry once, if the trailer does not say enough. `NotFound` if the snapshot has no
    /// such directory, or a glob or path means nothing in it.
    pub fn plan(&mut self, state: &mut StateReader, options: &Options) -> Result<Plan> {
        let totals = &state.trailer().totals;
        let (entries, bytes) = (totals.entries, totals.bytes);
        let whole = self.filter.is_all() && self.root.is_root();
        if whole && options.overwrite == Overwrite::Never {
            return Ok(Plan { entries, bytes, ..Plan::default() });
        }
        let mut plan = Plan::default();
        let mut found = false;
        self.each(state, &mut |entry, asked_for| {
            found = true;
            if asked_for {
                plan.entries += 1;
                plan.bytes += entry.size();
                if let Some(file) = entry.file().filter(|file| file.link != 0) {
                    *plan.names.entry(file.link).or_default() += 1;
                }
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

    /// Calls `each` for every entry that is meant (true), and before it for the directories that lead
    /// there (false), in order.
    pub fn each(
        &mut self,
        state: &mut StateReader,
        each: &mut dyn FnMut(Entry, bool) -> Result<()>,
    ) -> Result<()> {
        // Directories that were not meant themselves: whether they lead anywhere shows later.
        let mut above: Vec<Entry> = Vec::new();
        for entry in state.entries()? {
            let entry = entry?;
            if !self.is_in_root(&entry) {
                continue;
            }
            check_root(&entry, &self.root)?;
            while above.pop_if(|dir| !entry.path.is_within(dir.path.as_bytes())).is_some() {}
            if self.filter.matches(&entry.path) {
                for dir in above.drain(..) {
                    each(dir, false)?;
                }
                each(entry, true)?;
            } else if entry.node == Node::Dir {
                above.push(entry);
            }
        }
        Ok(())
    }
}

/// What becomes the destination is a directory: anything else cannot be restored as a tree.
fn check_root(entry: &Entry, root: &Path) -> Result<()> {
    if entry.path != *root || entry.node == Node::Dir {
        return Ok(());
    }
    let detail = "it is not a directory";
    Err(match root.is_root() {
        true => Error::new(Kind::Corrupt, "restore", format!("the snapshot's root: {detail}")),
        false => Error::new(Kind::NotFound, "restore the directory", detail).at(root),
    })
}
