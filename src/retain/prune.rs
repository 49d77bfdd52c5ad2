//! Removes snapshots, and the archives that only these snapshots needed.
//!
//! ```text
//! read summaries, verify the newest state --> choose (rules, or the selected one)
//!                  --> delete states, oldest first --> sync
//!                  --> list again: same states as expected? --> delete unneeded archives --> sync
//! ```
//!
//! States are deleted first. So if a prune is interrupted, no state names a deleted archive: at worst, archives
//! without a state are left over, and the next prune removes them. The oldest states are deleted first, because they
//! are worth least. Repeating an interrupted prune gives the same result as one complete prune
//! ([`judge`](super::judge)).

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::error::{Error, Kind, Result};
use crate::format::names::{BackupFileKind, Name};
use crate::format::StateSummary;
use crate::job::{sum, Action, Counter, Job, Keep, Level, Options, Phase, Problem, ProblemKind, Select};
use crate::platform::FileKind as FileType;
use crate::stamp::Stamp;
use crate::store::{
    backup_file, begin, lock, sweep_drafts, Cache, Catalog, LockMode, Need, Store, StoredFile,
};

use super::retention::{judge, DatedSnapshot};
use crate::store::report::{describe, lost_state, NotRegular};

const OP: &str = "prune";

/// Removes the snapshots of `key` that the rules do not keep, or exactly the selected snapshot. Then removes every
/// archive that no remaining state names, also archives that earlier runs left over.
///
/// Only the summary of a state is read: which archives it needs. Damage of its entries is found by a verify.
///
/// A damaged state is removed only if its stamp is selected exactly. While a damaged state or a symbolic link with a
/// state's name remains, all archives stay that no readable state names, because the damaged or linked state may need
/// them. Each such state, link and archive is a problem. A state that cannot be read now may be undamaged: it is an
/// error before anything is removed, unless its stamp is selected exactly. If no lock excludes other writers, archives
/// newer than every state stay too.
///
/// Errors: `InvalidArg` (neither rules nor a selector, or both; no snapshot would be left and that is not allowed),
/// `NotFound` (a key without snapshots, a selector that selects none), `Unsupported` (the store cannot delete),
/// `Corrupt` or `Format` (the state that a time selects), `Io` (a state that cannot be read now), `Busy`. After an
/// error or a cancel, the files in the report are removed and all others are complete.
pub fn prune(store: &mut dyn Store, key: &str, job: &mut Job) -> Result<()> {
    let choice = PruneChoice::of(job.options)?;
    let key = begin(store, key, Need::Delete, OP, job)?;
    // Checked before the lock, which would create a lock file even in a store whose name was mistyped.
    let catalog = Catalog::read(store, &key)?;
    choice.find(store, &catalog, job.options)?;
    let dry_run = job.options.dry_run;
    let mode = if dry_run { LockMode::Shared } else { LockMode::Exclusive };
    let lock = lock(store, &key, mode, job)?;
    let catalog = Catalog::read(store, &key)?;
    let target = choice.find(store, &catalog, job.options)?;
    let mut files = KeyFiles::read(store, &catalog, &target, job)?;
    files.links = NotRegular::find(store, Some(&key))?;
    files.links.retain(|found| found.file_type == FileType::Symlink);
    let goes = files.choose(&target, job)?;
    files.tell_lost(&goes, job)?;
    let plan = files.plan(&goes, lock.keeps_writers_out());
    files.tell_spared(&plan, job)?;
    if dry_run {
        files.pretend(&plan, store, job);
        return Ok(());
    }
    sweep_drafts(store, &key, &lock, job)?;
    files.carry_out(&plan, store, &key, job)
}

/// The caller's choice of the snapshots to remove.
enum PruneChoice {
    /// All snapshots that no rule keeps.
    Rules(Keep),
    /// The selected snapshot.
    One(Select),
}

impl PruneChoice {
    fn of(options: &Options) -> Result<Self> {
        let invalid = |detail: &str| Err(Error::new(Kind::InvalidArg, OP, detail));
        match (options.select, options.keep) {
            (Select::Newest, keep) if keep == Keep::default() => {
                invalid("neither rules what to keep nor a snapshot to remove were given")
            }
            (Select::Newest, keep) => Ok(PruneChoice::Rules(keep)),
            (select, keep) if keep == Keep::default() => Ok(PruneChoice::One(select)),
            _ => invalid("rules what to keep and a snapshot to remove were both given"),
        }
    }

    /// Finds the selected snapshot. `NotFound` if there is nothing to choose from. Archives of a key without any state may be all that is left of a
    /// user's data, so they are removed only if an empty result is allowed.
    fn find(&self, store: &mut dyn Store, catalog: &Catalog, options: &Options) -> Result<PruneTarget> {
        match self {
            PruneChoice::One(select) => {
                let stamp = catalog.select(store, *select)?.stamp;
                Ok(PruneTarget::One { stamp, is_exact: matches!(select, Select::Exactly(_)) })
            }
            PruneChoice::Rules(keep) => {
                if !options.allow_empty || catalog.files().is_empty() {
                    catalog.select(store, Select::Newest)?;
                }
                Ok(PruneTarget::Rules(*keep))
            }
        }
    }
}

/// The snapshots to remove, as found in the store.
enum PruneTarget {
    /// All snapshots that no rule keeps.
    Rules(Keep),
    One {
        stamp: Stamp,
        /// The caller gave exactly this stamp, and no time.
        is_exact: bool,
    },
}

impl PruneTarget {
    fn stamp(&self) -> Option<Stamp> {
        match self {
            PruneTarget::Rules(_) => None,
            PruneTarget::One { stamp, .. } => Some(*stamp),
        }
    }

    /// True if the caller selected the snapshot to remove by exactly this stamp.
    fn is_exactly(&self, wanted: Stamp) -> bool {
        matches!(self, PruneTarget::One { stamp, is_exact: true } if *stamp == wanted)
    }
}

/// All files of a key in the store, oldest first.
struct KeyFiles {
    states: Vec<KeyState>,
    archives: Vec<(Name, u64)>,
    /// Symbolic links with names of states.
    links: Vec<NotRegular>,
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
    /// Indices of the archives that the state names and that exist.
    needs: Vec<usize>,
}

impl KeyFiles {
    /// Reads and verifies the summary of every state, and lists the readable ones in the report. The entries are read
    /// as far as [`damaged_newest`] says. A state that cannot be read now ends the prune, because the archives it needs are unknown. The exception is
    /// a state that is selected for removal by its exact stamp.
    fn read(store: &mut dyn Store, catalog: &Catalog, target: &PruneTarget, job: &mut Job) -> Result<Self> {
        let (states, archives): (Vec<_>, Vec<_>) =
            catalog.files().into_iter().partition(|(name, _)| name.kind == BackupFileKind::State);
        let numbers: HashMap<String, usize> =
            archives.iter().enumerate().map(|(number, (name, _))| (name.to_string(), number)).collect();
        job.phase(Phase::Scan, states.len() as u64, 0)?;
        let mut damaged = damaged_newest(store, &states, target, job)?;
        let mut files = KeyFiles { states: Vec::with_capacity(states.len()), archives, links: Vec::new() };
        for (name, size) in states {
            let file = name.to_string();
            job.step(file.as_bytes())?;
            let mut stored = StoredFile { store, name: &file };
            let read = match damaged.remove(&file) {
                Some(error) => Err(error),
                None => StateSummary::read(&mut stored, &file, size, name.compressed),
            };
            let info = match read {
                Ok(state) => Ok(StateInfo::of(&state, &numbers, job)),
                Err(error) if error.is_damage() => Err(error),
                Err(error) if is_of_file(&error) && target.is_exactly(name.stamp) => Err(error),
                Err(error) => return Err(nothing_removed(error)),
            };
            files.states.push(KeyState { name, size, info });
        }
        job.phase_done()?;
        Ok(files)
    }

    /// Returns the indices of the states to remove. Gives the report's snapshots their reasons.
    fn choose(&self, target: &PruneTarget, job: &mut Job) -> Result<BTreeSet<usize>> {
        let goes = match target {
            PruneTarget::Rules(keep) => self.not_kept(keep, job),
            PruneTarget::One { stamp, is_exact } => self.selected(*stamp, *is_exact, job)?,
        };
        let stays = |index: &usize| !goes.contains(index) && self.states[*index].info.is_ok();
        if !goes.is_empty() && !(0..self.states.len()).any(|index| stays(&index)) && !job.options.allow_empty
        {
            let detail = "no snapshot would be left (allow an empty result if that is meant)";
            return Err(Error::new(Kind::InvalidArg, OP, detail));
        }
        Ok(goes)
    }

    /// Returns the readable states that no rule keeps. Unreadable states are not counted and stay.
    fn not_kept(&self, keep: &Keep, job: &mut Job) -> BTreeSet<usize> {
        let readable = || self.states.iter().enumerate().filter(|(_, state)| state.info.is_ok());
        let dated: Vec<DatedSnapshot> = job.report.snapshots.iter().map(DatedSnapshot::of).collect();
        let decisions = judge(&dated, keep);
        let mut goes = BTreeSet::new();
        for (index, state) in readable() {
            let found = decisions.binary_search_by_key(&state.name.stamp, |decision| decision.stamp);
            let (Ok(found), Ok(info)) = (found, &state.info) else { continue };
            let decision = &decisions[found];
            job.report.snapshots[info.listed].reason = decision.reason();
            if !decision.keeps() {
                goes.insert(index);
            }
        }
        goes
    }

    /// Returns the state of the selected stamp, or both states if two have it. A time may select only readable states.
    fn selected(&self, stamp: Stamp, is_exact: bool, job: &mut Job) -> Result<BTreeSet<usize>> {
        let mut goes = BTreeSet::new();
        for (index, state) in self.states.iter().enumerate() {
            let is_it = state.name.stamp == stamp;
            match &state.info {
                Err(error) if is_it && !is_exact => return Err(error.clone()),
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

    /// Lists the remaining states that cannot be read, and the links.
    fn tell_lost(&self, goes: &BTreeSet<usize>, job: &mut Job) -> Result<()> {
        self.links.iter().try_for_each(|link| link.tell(job))?;
        for (index, state) in self.states.iter().enumerate() {
            if let (Err(error), false) = (&state.info, goes.contains(&index)) {
                let problem = lost_state(&state.name.to_string(), state.name.stamp, error);
                job.problem(problem, error.clone())?;
            }
        }
        Ok(())
    }

    fn plan(&self, goes: &BTreeSet<usize>, alone: bool) -> PrunePlan {
        let mut needed = vec![false; self.archives.len()];
        let mut all_read = self.links.is_empty();
        for (_, state) in self.states.iter().enumerate().filter(|(index, _)| !goes.contains(index)) {
            match &state.info {
                Ok(info) => info.needs.iter().for_each(|archive| needed[*archive] = true),
                Err(_) => all_read = false,
            }
        }
        // A writer gives its archives a later stamp than every existing state, and writes its own state last.
        let snapshots = self.states.iter().filter(|state| state.info.is_ok());
        let newest = snapshots.map(|state| state.name.stamp).max();
        let unfinished = |archive: &Name| !alone && newest.is_none_or(|newest| archive.stamp > newest);
        let mut plan =
            PrunePlan { states: goes.iter().copied().collect(), archives: Vec::new(), spared: Vec::new() };
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

    /// Lists the archives that stay although no readable state names them.
    fn tell_spared(&self, plan: &PrunePlan, job: &mut Job) -> Result<()> {
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
        for index in &plan.states {
            self.state_gone(*index, store, job);
        }
        for index in &plan.archives {
            let (name, size) = &self.archives[*index];
            file_gone(name, *size, store, job);
        }
    }

    fn carry_out(&self, plan: &PrunePlan, store: &mut dyn Store, key: &str, job: &mut Job) -> Result<()> {
        let states = || plan.states.iter().map(|index| &self.states[*index]);
        let archives = || plan.archives.iter().map(|index| &self.archives[*index]);
        let bytes = sum(states().map(|state| state.size).chain(archives().map(|(_, size)| *size)));
        job.phase(Phase::Delete, (plan.states.len() + plan.archives.len()) as u64, bytes)?;
        for (index, state) in plan.states.iter().zip(states()) {
            delete(&state.name, state.size, store, job)?;
            self.state_gone(*index, store, job);
        }
        if !plan.states.is_empty() {
            store.sync()?;
        }
        if !plan.archives.is_empty() {
            self.check_states(plan, store, key)?;
            for (name, size) in archives() {
                delete(name, *size, store, job)?;
                file_gone(name, *size, store, job);
            }
            store.sync()?;
        }
        self.clear_cache(plan, job);
        job.log(Level::Info, &format!("removed {} snapshots of '{key}'", plan.states.len()));
        job.phase_done()
    }

    /// Checks that the store has exactly the expected states. Where there are no locks, another process may have made
    /// a snapshot meanwhile. A store may also have reported a deletion as done that was not.
    fn check_states(&self, plan: &PrunePlan, store: &mut dyn Store, key: &str) -> Result<()> {
        let now = Catalog::read(store, key)?.files();
        let now: BTreeSet<_> =
            now.into_iter().map(|(name, _)| name).filter(|name| name.kind == BackupFileKind::State).collect();
        let stays = (0..self.states.len()).filter(|index| !plan.states.contains(index));
        match now == stays.map(|index| self.states[index].name.clone()).collect() {
            true => Ok(()),
            false => {
                let detail = "the snapshots of this key changed meanwhile; no archive was removed";
                Err(Error::new(Kind::Busy, OP, detail))
            }
        }
    }

    /// Removes the cache's copies of the removed files, because no operation needs them again.
    fn clear_cache(&self, plan: &PrunePlan, job: &Job) {
        let states = || plan.states.iter().map(|index| &self.states[*index]);
        let archives = plan.archives.iter().map(|index| &self.archives[*index].0);
        let names: HashSet<String> =
            states().map(|state| &state.name).chain(archives).map(Name::to_string).collect();
        let series: BTreeSet<&str> =
            states().filter_map(|state| Some(state.info.as_ref().ok()?.series.as_str())).collect();
        for series in series {
            if let Some(cache) = Cache::of_series(job.options.cache_dir.as_deref(), series) {
                cache.keep_only(&|name| !names.contains(name));
            }
        }
    }

    /// Reports a removed state, and its snapshot.
    fn state_gone(&self, index: usize, store: &dyn Store, job: &mut Job) {
        let state = &self.states[index];
        file_gone(&state.name, state.size, store, job);
        if let Ok(info) = &state.info {
            job.report.count(Counter::Deleted, 1);
            job.report.snapshots[info.listed].action = Action::Removed;
        }
    }
}

impl StateInfo {
    fn of(state: &StateSummary, numbers: &HashMap<String, usize>, job: &mut Job) -> Self {
        let archives = state.trailer.archives.iter();
        let needs = archives.filter_map(|archive| numbers.get(&archive.name).copied()).collect();
        job.report.snapshots.push(describe(state));
        StateInfo { listed: job.report.snapshots.len() - 1, series: state.header.series.clone(), needs }
    }
}

/// The newest states whose entries are damaged, by name. Reads whole states from the newest on, until one verifies, so
/// that every prune leaves a snapshot that can be restored: a damaged one must not count as the one to keep. A state that
/// the caller selected for removal is passed over.
fn damaged_newest(
    store: &mut dyn Store,
    states: &[(Name, u64)],
    target: &PruneTarget,
    job: &mut Job,
) -> Result<HashMap<String, Error>> {
    let mut damaged = HashMap::new();
    for (name, size) in states.iter().rev().filter(|(name, _)| Some(name.stamp) != target.stamp()) {
        let file = name.to_string();
        job.pulse()?;
        let mut stored = StoredFile { store, name: &file };
        match StateSummary::verify(&mut stored, &file, *size, name.compressed) {
            Ok(_) => break,
            Err(error) if error.is_damage() => damaged.insert(file, error),
            Err(error) => return Err(nothing_removed(error)),
        };
    }
    Ok(damaged)
}

/// True if an error concerns only the file that was read, whichever status the store returned, and not the whole call.
fn is_of_file(error: &Error) -> bool {
    !error.ends_reading() || matches!(error.kind, Kind::Storage | Kind::Unsupported)
}

/// The error for a state that cannot be read now.
fn nothing_removed(error: Error) -> Error {
    let detail = format!("{}; nothing was removed, as nobody can say what it needs", error.detail);
    Error { detail, ..error }
}

/// The files to delete, by index, in this order.
struct PrunePlan {
    states: Vec<usize>,
    archives: Vec<usize>,
    /// Archives that stay although no readable state names them, each with the reason.
    spared: Vec<(usize, &'static str)>,
}

const MAY_BE_NEEDED: &str = "only states that cannot be read may need it; it was left there";
const MAY_BE_IN_THE_MAKING: &str =
    "it is newer than every snapshot and nothing is locked, so that a backup may be making it; it was left there";

fn delete(name: &Name, size: u64, store: &mut dyn Store, job: &mut Job) -> Result<()> {
    let name = name.to_string();
    job.step(name.as_bytes())?;
    // Counted before the deletion, because a cancel after the last deletion would come too late.
    job.advance(size)?;
    store.delete(&name)
}

fn file_gone(name: &Name, size: u64, store: &dyn Store, job: &mut Job) {
    job.report.files.push(backup_file(store, name.to_string(), name.kind, size));
}
