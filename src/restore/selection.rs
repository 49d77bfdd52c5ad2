//! The part of a snapshot that is restored: a directory of it, and in that what a filter means.

use crate::entry::{is_within, Entry, Path};
use crate::error::{Error, Kind, Result};
use crate::filter::Filter;
use crate::format::{Recorded, StateReader};
use crate::job::{Options, Overwrite};

use super::set_names::{SetNames, Survey};

/// A selection of at most this many entries is remembered from planning it: the state is not read again.
const FEW: usize = 1000;

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
    /// The names of hard-link sets among the entries; only counted where it matters.
    pub names: SetNames,
    /// All that [`Selection::each`] gives, if that is not much.
    few: Option<Vec<(Entry, bool)>>,
}

impl Selection {
    pub fn new(options: &Options) -> Result<Self> {
        let filter = Filter::new(&options.includes, &options.paths)?;
        Ok(Selection { filter, root: options.root.clone() })
    }

    /// Everything is meant.
    pub fn is_whole(&self) -> bool {
        self.filter.is_all() && self.root.is_root()
    }

    /// Whether [`Selection::each`] needs an entry, or a directory, of this path.
    pub fn needs(&mut self, path: &[u8]) -> bool {
        is_within(path, self.root.as_bytes()) && (path == self.root.as_bytes() || self.filter.matches(path))
    }

    /// Looks at every entry once, if the trailer does not say enough. `NotFound` if the snapshot has no
    /// such directory, or a glob or path means nothing in it.
    pub fn plan(
        &mut self,
        state: &mut StateReader,
        options: &Options,
        mut survey: Option<Survey>,
    ) -> Result<Plan> {
        let totals = &state.trailer().totals;
        let (entries, bytes) = (totals.entries, totals.bytes);
        if self.is_whole() && options.overwrite == Overwrite::Never {
            return Ok(Plan { entries, bytes, ..Plan::default() });
        }
        let mut plan = Plan { few: Some(Vec::new()), ..Plan::default() };
        let mut found = false;
        let root = self.root.clone();
        self.each_recorded(state, &mut |recorded, asked_for| {
            found = true;
            if asked_for {
                plan.entries += 1;
                plan.bytes = plan.bytes.saturating_add(recorded.size());
                if recorded.link() != 0 {
                    let path = path_below(recorded.path(), &root);
                    plan.names.add(recorded.link(), path, survey.as_mut());
                }
            }
            plan.few = match plan.few.take().filter(|few| few.len() < FEW) {
                Some(mut few) => {
                    few.push((recorded.entry()?, asked_for));
                    Some(few)
                }
                None => None,
            };
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
        plan: &mut Plan,
        each: &mut dyn FnMut(Entry, bool) -> Result<()>,
    ) -> Result<()> {
        match plan.few.take() {
            Some(few) => few.into_iter().try_for_each(|(entry, asked_for)| each(entry, asked_for)),
            None => self.each_recorded(state, &mut |recorded, asked_for| each(recorded.entry()?, asked_for)),
        }
    }

    fn each_recorded(
        &mut self,
        state: &mut StateReader,
        each: &mut dyn FnMut(&Recorded, bool) -> Result<()>,
    ) -> Result<()> {
        // Directories that were not meant themselves: whether they lead anywhere shows later.
        let mut above: Vec<Recorded> = Vec::new();
        let mut records = state.recorded()?;
        while let Some(recorded) = records.advance()? {
            let path = recorded.path();
            if !is_within(path, self.root.as_bytes()) {
                continue;
            }
            check_root(recorded, &self.root)?;
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

/// The path below the destination of a path in the snapshot, whose directory `root` is restored as that.
pub fn path_below<'p>(path: &'p [u8], root: &Path) -> &'p [u8] {
    match root.is_root() {
        true => path,
        false => path.get(root.as_bytes().len() + 1..).unwrap_or_default(),
    }
}

/// What becomes the destination is a directory: anything else cannot be restored as a tree.
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
