//! Removes snapshots, and the archives that only these snapshots needed.
//!
//! ```text
//! read summaries, verify the newest state --> choose (rules, or the selected ones)
//!     --> write marks --> sync --> (without a lock: list again)
//!     --> delete partial states, then states, newest first --> sync --> list again: same states as expected?
//!     --> delete unneeded archives and layers --> sync --> delete marks of deleted states --> sync
//! ```
//!
//! The state of a removed snapshot may be a layer of another snapshot's state. Then it stays, and a mark is written
//! that the snapshot is removed. A later prune deletes the state and the mark when no state needs the layer any more.
//! If no lock keeps writers out, every removed snapshot gets a mark before anything is deleted. A backup that builds
//! on a removed snapshot then sees the mark and gives up, or it was complete before the mark was written. In the
//! second case the prune sees the new state and deletes nothing.
//!
//! States are deleted before archives, and newer states before older ones, which may be their layers. So if a prune is
//! interrupted, every remaining state has what it needs: at worst, archives without a state are left over, and the next
//! prune removes them. Repeating an interrupted prune gives the same result as one complete prune
//! ([`judge`](super::judge)).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::entry::FileType;
use crate::error::{Error, Kind, Result};
use crate::format::names::{BackupFileKind, Name};
use crate::format::{ArchiveRef, LayerRef, StateSummary};
use crate::job::{Action, Counter, Job, Keep, Level, Phase, Problem, ProblemKind, sum};
use crate::pool::Pool;
use crate::stamp::Stamp;
use crate::store::{
    Cache, Catalog, KeyListing, KeyStates, LockMode, Need, StateFile, Store, Summaries, backup_file, begin,
    lock, mark_of, sweep_drafts, write_mark,
};

use super::choice::{Precision, PruneChoice, PruneTarget};
use super::partials::{FoundPartial, Usability, find_partials};
use super::retention::{DatedSnapshot, LabelledSnapshots, judge};
use crate::store::report::{NotRegular, describe, lost_state, report_copies, report_wrapped};

pub const OP: &str = "prune";

/// Removes the snapshots of `key` that the rules do not keep, or exactly the selected snapshots. Then removes every
/// archive that no remaining state names, also archives that earlier runs left over. If one of the selected snapshots
/// does not exist, nothing is removed. The newest partial state of a full that did not end stays, with its archives,
/// until there is a newer snapshot. With the option `checkpoint` 0 it is removed.
///
/// Of most states, only the summary is read, which names the archives. The newest state is read whole
/// (`damaged_newest`). Only a verify finds damage among the entries of the other states.
///
/// A damaged state is removed only if its stamp is selected exactly. While a damaged state, a symbolic link with a
/// state's name or a state in a form of a newer version remains, all archives stay that no readable state names,
/// because such a state may need them. Each such state, link and archive is a problem. A state that cannot be read now
/// may be undamaged, so it is an error before anything is removed. If all snapshots to remove are selected by their
/// exact stamps, such a state counts as damaged instead. If no lock excludes other writers, archives newer than every
/// state stay too.
///
/// Errors: `InvalidArg` (neither rules nor a selector, or both; no snapshot would be left and that is not allowed),
/// `NotFound` (a key without snapshots, a selector that selects none), `Unsupported` (the store cannot delete),
/// `Corrupt` or `Format` (the state that a time selects), `Io` (a state that cannot be read now), `Busy`. After an
/// error or a cancel, the files in the report are removed and all others are complete.
pub fn prune(store: &mut dyn Store, key: &str, job: &mut Job) -> Result<()> {
    let choice = PruneChoice::of(job.options)?;
    let dry_run = job.options.dry_run;
    let key = begin(store, key, if dry_run { Need::Read } else { Need::Delete }, OP, job)?;
    if let Some(catalog) = Catalog::before_lock(store, &key)? {
        choice.find(store, &catalog, job.options)?;
    }
    let mode = if dry_run { LockMode::Forecast } else { LockMode::Delete };
    let lock = lock(store, &key, mode, job)?;
    // A dry run does not exclude backups. It reports what a prune would do if it ran now.
    let is_alone = lock.keeps_writers_out() || dry_run && !store.is_written_now(&key)?;
    let catalog = Catalog::read(store, &key)?;
    let target = choice.find(store, &catalog, job.options)?;
    let mut files = KeyFiles::read(store, &catalog, &target, job)?;
    files.links = NotRegular::find(store, Some(&key))?;
    files.links.retain(|found| found.file_type == FileType::Symlink);
    let goes = files.choose(&target, job)?;
    files.report_lost(&goes, job)?;
    let mut plan = files.plan(&goes, is_alone);
    if !plan.is_alone {
        // A backup that runs at the same time notices the removal only by the marks.
        plan.marked.clone_from(&plan.snapshots);
    }
    if !plan.marked.is_empty() && !dry_run {
        store.require(Need::Write, "mark a snapshot as removed while others may need its state")?;
    }
    files.report_spared(&plan, job)?;
    if dry_run {
        files.pretend(&plan, store, job);
        return Ok(());
    }
    sweep_drafts(store, &key, &lock, job)?;
    files.carry_out(&plan, store, &key, job)
}

/// All files of a key in the store, oldest first.
struct KeyFiles {
    states: Vec<KeyState>,
    /// The files of archives: each part of an archive is a file of its own.
    archives: Vec<(Name, u64)>,
    /// The states of removed snapshots that were needed as layers.
    retired: Vec<(Name, u64)>,
    /// The marks of removed snapshots.
    marks: Vec<(Name, u64)>,
    /// Symbolic links with names of states or partial states.
    links: Vec<NotRegular>,
    /// The file names and the stamps of states and partial states in a form that only a newer version can read.
    wrapped: BTreeMap<String, Stamp>,
    /// Those that are copies of a state that this version can read.
    copies: BTreeMap<String, Stamp>,
    /// The partial states of fulls that did not end.
    partials: Vec<FoundPartial>,
    /// The newest usable partial state stays. False if the caller wants none, or if the key has no snapshot and is to
    /// have no file.
    keeps_partial: bool,
}

/// The file of a state, and facts from its content.
struct KeyState {
    name: Name,
    size: u64,
    info: Result<StateInfo>,
}

struct StateInfo {
    /// Index of the snapshot in the report.
    listed: usize,
    series: String,
    /// Indices of the archives that the snapshot needs and that exist.
    needs: Vec<usize>,
    /// The layers that the state names.
    layers: Vec<LayerRef>,
}

impl KeyFiles {
    /// Reads and verifies the summary of every state, and lists the readable ones in the report. [`damaged_newest`]
    /// reads the entries of the newest state too. A state that cannot be read now ends the prune, because the files
    /// that it needs are unknown. The exception is a prune of exact stamps: it then removes only these snapshots, and
    /// no archive.
    fn read(store: &mut dyn Store, catalog: &Catalog, target: &PruneTarget, job: &mut Job) -> Result<Self> {
        let (archives, others): (Vec<_>, Vec<_>) =
            catalog.files().into_iter().partition(|(name, _)| name.kind.is_archive());
        let (marks, states): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|(name, _)| name.kind == BackupFileKind::Retired);
        let states = states.into_iter().filter(|(name, _)| name.kind == BackupFileKind::State);
        let (retired, states): (Vec<_>, Vec<_>) =
            states.partition(|(name, _)| catalog.is_retired(name.stamp));
        let numbers: HashMap<String, usize> =
            archives.iter().enumerate().map(|(number, (name, _))| (name.to_string(), number)).collect();
        job.phase(Phase::Scan, states.len() as u64, 0)?;
        let damaged = damaged_newest(store, catalog, &states, target, job)?;
        let is_cleared = job.options.allow_empty && catalog.check_any().is_err();
        let mut files = KeyFiles {
            states: Vec::new(),
            archives,
            retired,
            marks,
            links: Vec::new(),
            wrapped: wrapped_states(catalog),
            copies: owned(catalog.copied_states()),
            partials: Vec::new(),
            keeps_partial: job.options.checkpoint > 0 && !is_cleared,
        };
        let (mut summaries, mut listing) = (Summaries::default(), KeyListing::new(catalog));
        for (name, size) in states {
            let stored = StateFile::of(&name, size);
            job.step(stored.name.as_bytes())?;
            let info = match summaries.snapshot(store, &mut listing, &stored) {
                Ok(_) if damaged.contains_key(&stored.name) => Err(damaged[&stored.name].clone()),
                Ok(state) => Ok(StateInfo::of(&state, &numbers, job)),
                Err(error) if error.is_loss() => Err(error),
                Err(error) if error.is_of_file() && target.is_exact() => Err(error),
                Err(error) => return Err(nothing_removed(error)),
            };
            files.states.push(KeyState { name, size, info });
        }
        files.partials = find_partials(store, catalog, files.newest(), &numbers, job)?;
        job.phase_done()?;
        Ok(files)
    }

    /// The newest snapshot whose state can be read.
    fn newest(&self) -> Option<Stamp> {
        let snapshots = self.states.iter().filter(|state| state.info.is_ok());
        snapshots.map(|state| state.name.stamp).max()
    }

    /// Returns the indices of the states to remove. Gives the report's snapshots their reasons.
    fn choose(&self, target: &PruneTarget, job: &mut Job) -> Result<BTreeSet<usize>> {
        let goes = match target {
            PruneTarget::Rules(keep) => self.not_kept(keep, job),
            PruneTarget::Selected(stamps) => self.selected(stamps, job)?,
        };
        // A state that cannot be read now may be whole.
        let may_be_whole = |state: &KeyState| state.info.as_ref().err().is_none_or(|error| !error.is_loss());
        let stays = |index: &usize| !goes.contains(index) && may_be_whole(&self.states[*index]);
        if !goes.is_empty() && !(0..self.states.len()).any(|index| stays(&index)) && !job.options.allow_empty
        {
            let detail = "no snapshot would be left (allow an empty result if that is meant)";
            return Err(Error::new(Kind::InvalidArg, OP, detail));
        }
        Ok(goes)
    }

    /// Returns the readable states that no rule keeps. Unreadable states are not counted and stay, and so do snapshots
    /// that the label filters leave out.
    fn not_kept(&self, keep: &Keep, job: &mut Job) -> BTreeSet<usize> {
        let readable = || self.states.iter().enumerate().filter(|(_, state)| state.info.is_ok());
        let (chosen, passed_over): (Vec<_>, Vec<_>) =
            job.report.snapshots.iter().partition(|snapshot| job.options.accepts_labels(&snapshot.labels));
        let dated: Vec<DatedSnapshot> =
            chosen.iter().map(|snapshot| DatedSnapshot::of(snapshot, job.options.local_time)).collect();
        let decisions = judge(&dated, keep, LabelledSnapshots::of(&chosen, &job.options.keep_labels));
        let passed_over: BTreeSet<Stamp> = passed_over.iter().map(|snapshot| snapshot.stamp).collect();
        let mut goes = BTreeSet::new();
        for (index, state) in readable() {
            let found = decisions.binary_search_by_key(&state.name.stamp, |decision| decision.stamp);
            let Ok(info) = &state.info else { continue };
            if passed_over.contains(&state.name.stamp) {
                job.report.snapshots[info.listed].reason = "other labels".to_string();
            }
            let Ok(found) = found else { continue };
            let decision = &decisions[found];
            job.report.snapshots[info.listed].reason = decision.reason();
            if !decision.keeps() {
                goes.insert(index);
            }
        }
        goes
    }

    /// Returns the states of the selected stamps. If two states have the same stamp, returns both. A time may select
    /// only readable states.
    fn selected(&self, stamps: &BTreeMap<Stamp, Precision>, job: &mut Job) -> Result<BTreeSet<usize>> {
        let mut goes = BTreeSet::new();
        for (index, state) in self.states.iter().enumerate() {
            let selected = stamps.get(&state.name.stamp);
            let is_it = selected.is_some();
            match &state.info {
                Err(error) if selected == Some(&Precision::Time) => return Err(error.clone()),
                Err(_) => {}
                Ok(info) => {
                    let reason = if is_it { "selected" } else { "not selected" };
                    job.report.snapshots[info.listed].reason = reason.to_string();
                }
            }
            if is_it {
                goes.insert(index);
            }
        }
        Ok(goes)
    }

    /// Lists the remaining states that cannot be read, the links, and the states in a form of a newer version.
    fn report_lost(&self, goes: &BTreeSet<usize>, job: &mut Job) -> Result<()> {
        self.links.iter().try_for_each(|link| link.report(job))?;
        report_wrapped(self.wrapped.iter().map(|(file, stamp)| (&**file, *stamp)), job)?;
        report_copies(self.copies.iter().map(|(file, stamp)| (&**file, *stamp)), job)?;
        for (index, state) in self.states.iter().enumerate() {
            if let (Err(error), false) = (&state.info, goes.contains(&index)) {
                let problem = lost_state(&state.name.to_string(), state.name.stamp, error);
                job.problem(problem, error.clone())?;
            }
        }
        Ok(())
    }

    fn plan(&self, goes: &BTreeSet<usize>, is_alone: bool) -> PrunePlan {
        let mut needed = vec![false; self.archives.len()];
        let mut layers = HashSet::new();
        let mut all_read = self.links.is_empty() && self.wrapped.is_empty();
        for (_, state) in self.states.iter().enumerate().filter(|(index, _)| !goes.contains(index)) {
            match &state.info {
                Ok(info) => {
                    info.needs.iter().for_each(|archive| needed[*archive] = true);
                    layers.extend(info.layers.iter().map(|layer| (layer.snapshot, layer.size)));
                }
                Err(_) => all_read = false,
            }
        }
        // Without its state, a copy would be a state that only a newer version can read.
        let copied: BTreeSet<Stamp> = self.copies.values().copied().collect();
        // A state that cannot be read may need any other as a layer.
        let stays = |name: &Name, size: u64| {
            !all_read || copied.contains(&name.stamp) || layers.contains(&(name.stamp, size))
        };
        let is_needed = |index: &&usize| stays(&self.states[**index].name, self.states[**index].size);
        let swept = |index: &usize| !stays(&self.retired[*index].0, self.retired[*index].1);
        let mut plan = PrunePlan {
            snapshots: goes.iter().copied().collect(),
            marked: goes.iter().filter(is_needed).copied().collect(),
            states: goes.iter().filter(|index| !is_needed(index)).copied().collect(),
            swept: (0..self.retired.len()).filter(swept).collect(),
            is_alone,
            partials: Vec::new(),
            archives: Vec::new(),
            spared: Vec::new(),
        };
        let all_read = self.plan_partials(&mut plan, &mut needed) && all_read;
        // A writer gives its archives a later stamp than every existing state, and writes its own state last.
        let newest = self.newest();
        let unfinished = |archive: &Name| !is_alone && newest.is_none_or(|newest| archive.stamp > newest);
        for archive in (0..needed.len()).filter(|archive| !needed[*archive]) {
            if !all_read {
                plan.spared.push((archive, MAY_BE_NEEDED));
            } else if unfinished(&self.archives[archive].0) {
                plan.spared.push((archive, MAY_BE_IN_THE_MAKING));
            } else {
                plan.archives.push(archive);
            }
        }
        plan
    }

    /// Plans the deletion of partial states, and marks the archives of the others as needed. Without a lock, every
    /// partial state stays that may be that of a running backup. False if a partial state that stays cannot be read: it
    /// may name any archive.
    fn plan_partials(&self, plan: &mut PrunePlan, needed: &mut [bool]) -> bool {
        let (mut has_newest, mut all_read) = (false, true);
        for (index, partial) in self.partials.iter().enumerate().rev() {
            match &partial.usability {
                Usability::Usable(archives) if !plan.is_alone || self.keeps_partial && !has_newest => {
                    has_newest = true;
                    archives.iter().for_each(|archive| needed[*archive] = true);
                }
                Usability::Incomplete if !plan.is_alone => {}
                Usability::Unknown(_) => all_read = false,
                Usability::Usable(_) | Usability::Incomplete | Usability::Useless => {
                    plan.partials.push(index)
                }
            }
        }
        all_read
    }

    /// Lists the partial states that cannot be read, and the archives that stay although no readable state names them.
    fn report_spared(&self, plan: &PrunePlan, job: &mut Job) -> Result<()> {
        for partial in &self.partials {
            let Usability::Unknown(error) = &partial.usability else { continue };
            let name = partial.file.name.to_string();
            let detail = format!("{}; it was left there, with every archive that it may need", error.detail);
            let error = Error { detail, ..error.clone() }.at(&name);
            job.problem(Problem::of_whole(ProblemKind::Leftover, &error).in_file(&name), error)?;
        }
        for (index, detail) in &plan.spared {
            let name = self.archives[*index].0.to_string();
            let error = Error::new(Kind::Corrupt, "tell whether to remove", *detail).at(&name);
            let problem = Problem::of_whole(ProblemKind::Leftover, &error);
            job.problem(problem.in_file(&name), error)?;
        }
        Ok(())
    }

    /// Makes the report of [`KeyFiles::carry_out`] and removes nothing.
    fn pretend(&self, plan: &PrunePlan, store: &dyn Store, job: &mut Job) {
        plan.snapshots.iter().for_each(|index| self.snapshot_gone(*index, job));
        let marks = self.unneeded_marks(plan).map(|(mark, size)| (mark, *size));
        for (name, size) in self.to_delete(plan).chain(marks) {
            file_gone(name, size, store, job);
        }
    }

    /// The partial states to delete, and then the states, with their indices. Of each kind, the newest comes first.
    fn states_to_delete<'p>(
        &'p self,
        plan: &'p PrunePlan,
    ) -> impl Iterator<Item = (Option<usize>, &'p Name, u64)> {
        let partials = plan.partials.iter().map(|index| &self.partials[*index].file);
        let states = plan.states.iter().rev().map(|index| (*index, &self.states[*index]));
        let states = states.map(|(index, state)| (Some(index), &state.name, state.size));
        partials.map(|file| (None, &file.name, file.size)).chain(states)
    }

    /// The archives and the layers to delete.
    fn unneeded<'p>(&'p self, plan: &'p PrunePlan) -> impl Iterator<Item = (&'p Name, u64)> {
        let archives = plan.archives.iter().map(|index| &self.archives[*index]);
        archives.chain(plan.swept.iter().map(|index| &self.retired[*index])).map(|(name, size)| (name, *size))
    }

    /// All files to delete, without the marks.
    fn to_delete<'p>(&'p self, plan: &'p PrunePlan) -> impl Iterator<Item = (&'p Name, u64)> {
        self.states_to_delete(plan).map(|(_, name, size)| (name, size)).chain(self.unneeded(plan))
    }

    fn carry_out(&self, plan: &PrunePlan, store: &mut dyn Store, key: &str, job: &mut Job) -> Result<()> {
        let bytes = sum(self.to_delete(plan).map(|(_, size)| size));
        job.phase(Phase::Delete, self.to_delete(plan).count() as u64, bytes)?;
        self.write_marks(plan, store, key, job)?;
        for (index, name, size) in self.states_to_delete(plan) {
            delete(name, size, store, job)?;
            if let Some(index) = index {
                self.snapshot_gone(index, job);
            }
        }
        if self.states_to_delete(plan).next().is_some() {
            store.sync()?;
        }
        if self.unneeded(plan).next().is_some() {
            self.check_states(&plan.states, store, key)?;
            for (name, size) in self.unneeded(plan) {
                delete(name, size, store, job)?;
            }
            store.sync()?;
        }
        self.delete_marks(plan, store, job)?;
        self.clear_cache(plan, job);
        job.log(Level::Info, &format!("removed {} snapshots of '{key}'", plan.snapshots.len()));
        job.phase_done()
    }

    /// Writes the marks of removed snapshots. Without a lock, checks afterwards that no backup was made meanwhile.
    fn write_marks(&self, plan: &PrunePlan, store: &mut dyn Store, key: &str, job: &mut Job) -> Result<()> {
        let newest = self.states.last().map(|state| state.name.stamp);
        for index in &plan.marked {
            let mark = mark_of(&self.states[*index].name);
            job.step(mark.to_string().as_bytes())?;
            write_mark(&mark, newest, store)?;
            self.snapshot_gone(*index, job);
        }
        if plan.marked.is_empty() {
            return Ok(());
        }
        store.sync()?;
        match plan.is_alone {
            true => Ok(()),
            false => self.check_states(&[], store, key),
        }
    }

    /// The marks of earlier prunes that belong to no state any more.
    fn unneeded_marks<'p>(&'p self, plan: &PrunePlan) -> impl Iterator<Item = &'p (Name, u64)> + use<'p> {
        let (swept, stays): (Vec<_>, Vec<_>) =
            (0..self.retired.len()).partition(|index| plan.swept.contains(index));
        let stamps = |indices: Vec<usize>| -> HashSet<Stamp> {
            indices.into_iter().map(|index| self.retired[index].0.stamp).collect()
        };
        let (swept, stays, is_alone) = (stamps(swept), stamps(stays), plan.is_alone);
        // A mark may belong to a state that is a link, or that only a newer version can read.
        let is_known = self.links.is_empty() && self.wrapped.is_empty();
        let marks = if is_known { &self.marks[..] } else { &[] };
        marks.iter().filter(move |(mark, _)| {
            // Without a lock, a mark may be there before the state that it belongs to is listed.
            !stays.contains(&mark.stamp) && (is_alone || swept.contains(&mark.stamp))
        })
    }

    /// Deletes the marks of snapshots whose states are gone. To be called after the deletion of the states is durable,
    /// because a state without its mark would be a snapshot again.
    fn delete_marks(&self, plan: &PrunePlan, store: &mut dyn Store, job: &mut Job) -> Result<()> {
        let both = plan.states.iter().filter(|index| plan.marked.contains(index));
        let own: BTreeSet<Name> = both.map(|index| mark_of(&self.states[*index].name)).collect();
        for mark in &own {
            store.delete(&mark.to_string())?;
        }
        for (mark, size) in self.unneeded_marks(plan) {
            store.delete(&mark.to_string())?;
            file_gone(mark, *size, store, job);
        }
        match own.is_empty() && self.unneeded_marks(plan).next().is_none() {
            true => Ok(()),
            false => store.sync(),
        }
    }

    /// Checks that the store has exactly the expected states: all but those that were `deleted`. Where there are no
    /// locks, another process may have made a snapshot meanwhile. Or the store may have reported a deletion that it
    /// did not do.
    fn check_states(&self, deleted: &[usize], store: &mut dyn Store, key: &str) -> Result<()> {
        let now = Catalog::read(store, key)?;
        let same_wrapped = wrapped_states(&now) == self.wrapped;
        let now = now.files();
        let now: BTreeSet<_> =
            now.into_iter().map(|(name, _)| name).filter(|name| name.kind == BackupFileKind::State).collect();
        let stays = (0..self.states.len()).filter(|index| !deleted.contains(index));
        let stays = stays.map(|index| &self.states[index].name);
        let expected: BTreeSet<_> = stays.chain(self.retired.iter().map(|(name, _)| name)).cloned().collect();
        match now == expected && same_wrapped {
            true => Ok(()),
            false => {
                let detail = "the snapshots of this key changed meanwhile; no archive was removed";
                Err(Error::new(Kind::Busy, OP, detail))
            }
        }
    }

    /// Removes the cache's copies of the removed files, because no operation needs them again.
    fn clear_cache(&self, plan: &PrunePlan, job: &Job) {
        let names: HashSet<String> = self.to_delete(plan).map(|(name, _)| name.to_string()).collect();
        let all = self.states.iter();
        let series: BTreeSet<&str> =
            all.filter_map(|state| Some(state.info.as_ref().ok()?.series.as_str())).collect();
        for series in series {
            if let Some(cache) = Cache::of_series(job.options.cache_dir.as_deref(), series) {
                cache.keep_only(&|name| !names.contains(name));
            }
        }
    }

    /// Reports a removed snapshot, once.
    fn snapshot_gone(&self, index: usize, job: &mut Job) {
        let info = self.states[index].info.as_ref().ok();
        if let Some(info) = info.filter(|i| job.report.snapshots[i.listed].action != Action::Removed) {
            job.report.count(Counter::Deleted, 1);
            job.report.snapshots[info.listed].action = Action::Removed;
        }
    }
}

/// The states and partial states in a form that only a newer version can read.
fn wrapped_states(catalog: &Catalog) -> BTreeMap<String, Stamp> {
    owned(catalog.wrapped_states().chain(catalog.wrapped_partials()))
}

/// The names and stamps of some states of a catalog.
fn owned<'c>(states: impl Iterator<Item = (&'c str, Stamp)>) -> BTreeMap<String, Stamp> {
    states.map(|(file, stamp)| (file.to_string(), stamp)).collect()
}

impl StateInfo {
    fn of(state: &StateSummary, numbers: &HashMap<String, usize>, job: &mut Job) -> Self {
        let files = state.trailer.archives.iter().flat_map(ArchiveRef::files);
        let needs = files.filter_map(|file| numbers.get(&file.name).copied()).collect();
        job.report.snapshots.push(describe(state));
        let (series, layers) = (state.header.series.clone(), state.header.layers.clone());
        StateInfo { listed: job.report.snapshots.len() - 1, series, needs, layers }
    }
}

/// Returns the newest states whose entries are damaged, by name. Reads whole states from the newest on, until a state
/// verifies and passes the label filters. So every prune leaves a snapshot that can be restored: a rule must not keep
/// a damaged snapshot instead of a whole one. Skips states that the caller selected for removal.
fn damaged_newest(
    store: &mut dyn Store,
    catalog: &Catalog,
    states: &[(Name, u64)],
    target: &PruneTarget,
    job: &mut Job,
) -> Result<HashMap<String, Error>> {
    let mut damaged = HashMap::new();
    let pool = Pool::start(job.options.threads)?;
    for (name, size) in states.iter().rev().filter(|(name, _)| !target.removes(name.stamp)) {
        let stored = StateFile::of(name, *size);
        job.pulse()?;
        match KeyStates::new(store, catalog).open(&stored, &pool, None) {
            Ok(reader) if job.options.accepts_labels(&reader.header().labels) => break,
            Ok(_) => {}
            Err(error) if error.is_loss() || target.is_exact() && error.is_of_file() => {
                damaged.insert(stored.name, error);
            }
            Err(error) => return Err(nothing_removed(error)),
        }
    }
    Ok(damaged)
}

/// The error for a state that cannot be read now.
fn nothing_removed(error: Error) -> Error {
    let detail = format!("{}; nothing was removed, as nobody can say what it needs", error.detail);
    Error { detail, ..error }
}

/// The files to delete and the snapshots to remove, by index.
struct PrunePlan {
    /// The snapshots to remove, the oldest first.
    snapshots: Vec<usize>,
    /// The snapshots to remove that get a mark.
    marked: Vec<usize>,
    /// The snapshots to remove whose states are deleted. The states of the others stay, as layers.
    states: Vec<usize>,
    /// States of snapshots that were removed earlier.
    swept: Vec<usize>,
    /// A lock keeps writers out.
    is_alone: bool,
    /// The partial states to delete, the newest first.
    partials: Vec<usize>,
    archives: Vec<usize>,
    /// Archives that stay although no readable state names them, each with the reason.
    spared: Vec<(usize, &'static str)>,
}

const MAY_BE_NEEDED: &str =
    "only states or partial states that cannot be read may need it; it was left there";
const MAY_BE_IN_THE_MAKING: &str = "it is newer than every snapshot and a backup may be making it, because one is running or nothing is locked; it was left there";

/// Deletes a file and lists it in the report.
fn delete(name: &Name, size: u64, store: &mut dyn Store, job: &mut Job) -> Result<()> {
    let file = name.to_string();
    job.step(file.as_bytes())?;
    // Counted before the deletion, because a cancel after the last deletion would come too late.
    job.advance(size)?;
    store.delete(&file)?;
    file_gone(name, size, store, job);
    Ok(())
}

fn file_gone(name: &Name, size: u64, store: &dyn Store, job: &mut Job) {
    job.report.files.push(backup_file(store, name.to_string(), name.kind, size));
}
