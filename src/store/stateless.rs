//! Archives of snapshots that have no state. A backup that is running has such archives, a backup or a prune that was
//! interrupted leaves them, and so does a user who loses a state.

use std::collections::{BTreeMap, HashSet};

use super::report::NotRegular;
use super::{Catalog, Store};
use crate::error::{Error, Kind, Result};
use crate::format::names::{BackupFileKind, Name};
use crate::format::{ArchiveRef, StateSummary};
use crate::job::{Job, Problem, ProblemKind};
use crate::stamp::Stamp;

/// The archives of a key that have no state of their own, and that no state names which was added.
pub struct StatelessArchives<'c> {
    catalog: &'c Catalog,
    /// The names of the files, each with its stamp.
    files: BTreeMap<String, Stamp>,
    /// The newest snapshot whose state was added.
    newest: Option<Stamp>,
    /// The newest state that cannot be read. It may name any archive that is not newer.
    unread: Option<Stamp>,
}

impl<'c> StatelessArchives<'c> {
    pub fn of(catalog: &'c Catalog) -> Self {
        StatelessArchives { catalog, files: without_state(catalog), newest: None, unread: None }
    }

    /// Adds the state of a snapshot, with its layers.
    pub fn add(&mut self, state: &StateSummary) {
        self.newest = self.newest.max(Some(state.header.snapshot));
        self.remove_named(&state.trailer.archives);
    }

    pub fn add_unread(&mut self, state: Stamp) {
        self.unread = self.unread.max(Some(state));
    }

    fn remove_named(&mut self, archives: &[ArchiveRef]) {
        // Nearly always, every archive has its state.
        if self.files.is_empty() {
            return;
        }
        for archive in archives {
            self.files.remove(&archive.name);
            for part in &archive.parts {
                self.files.remove(&part.name);
            }
        }
    }

    /// Notes the archives that remain after all states of the catalog were added. The archives of a backup that may be
    /// running are left out.
    pub fn report(mut self, store: &mut dyn Store, job: &mut Job) -> Result<()> {
        if self.files.is_empty() {
            return Ok(());
        }
        // A writer that was at work before this moment either ended, and the new list has its state, or works still.
        let is_written = store.is_written_now(self.catalog.key())?;
        let now = Catalog::read(store, self.catalog.key())?;
        if now.new_stamps(self.catalog).next().is_some() {
            return Ok(());
        }
        let still = without_state(&now);
        self.files.retain(|name, _| still.contains_key(name));
        for partial in now.partial_states() {
            match partial.summary(store) {
                Ok(summary) => self.remove_named(&summary.trailer.archives),
                Err(error) if error.proves_damage() => {}
                Err(error) if error.is_of_file() => self.add_unread(partial.name.stamp),
                Err(error) => return Err(error),
            }
        }
        let links = NotRegular::find(store, Some(now.key()))?;
        links.into_iter().for_each(|link| self.add_unread(link.name.stamp));
        now.wrapped_states().chain(now.wrapped_partials()).for_each(|(_, stamp)| self.add_unread(stamp));
        let mut snapshots: BTreeMap<Stamp, Vec<String>> = BTreeMap::new();
        for (name, stamp) in self.files {
            // A writer gives its archives a later stamp than every snapshot.
            let is_done = !is_written || self.newest.is_some_and(|newest| stamp < newest);
            if is_done && self.unread.is_none_or(|unread| stamp > unread) {
                snapshots.entry(stamp).or_default().push(name);
            }
        }
        snapshots.iter().try_for_each(|(stamp, archives)| report(now.key(), *stamp, archives, job))
    }
}

/// The archives without a state. A full that did not end has a partial state, and never had another one.
fn without_state(catalog: &Catalog) -> BTreeMap<String, Stamp> {
    let partials: HashSet<Stamp> =
        catalog.partial_states().into_iter().map(|partial| partial.name.stamp).collect();
    let has_state = |stamp: Stamp| {
        catalog.has_plain_state(stamp) || catalog.is_retired(stamp) || partials.contains(&stamp)
    };
    let files = catalog.files().into_iter().map(|(name, _)| name);
    let archives = files.filter(|name| name.kind.is_archive() && !has_state(name.stamp));
    archives.map(|name| (name.to_string(), name.stamp)).collect()
}

/// Notes the `archives` of the snapshot `stamp`, whose state is gone.
fn report(key: &str, stamp: Stamp, archives: &[String], job: &mut Job) -> Result<()> {
    let state = Name::new(key, BackupFileKind::State, stamp, true);
    let detail = format!(
        "it is not in the store, which has archives of that backup that no state names ({}): either a backup or a \
         prune was interrupted, or the state was lost; if you have the state, put it back before a prune removes them",
        archives.join(", ")
    );
    let error = Error::new(Kind::Missing, "find the state", detail).at(state.to_string());
    let problem = Problem::of_whole(ProblemKind::Leftover, &error).in_file(&archives[0]);
    job.problem(Problem { snapshot: Some(stamp), ..problem }, error)
}
