//! Rebuilding a snapshot as a tree of files.
//!
//! ```text
//! state --> entries in path order = archive order --> contents (whole, or deltas composed)
//!       --> write file, check size and hash --> metadata by descriptor --> links --> directories' metadata
//! ```

mod ahead;
mod archives;
mod by_frame;
mod chain;
mod contents;
mod deferred;
mod gathered;
mod joined;
mod layout;
mod leftover;
pub(crate) mod loss;
mod read_cost;
mod selection;
mod set_names;
mod target;
#[cfg(test)]
mod tests;
mod tree;

use std::sync::Arc;

use crate::entry::Hash;
use crate::error::{Error, Kind, Result};
use crate::format::names::{check_key, Kind as FileKind};
use crate::format::{Meant, StateReader, StateSummary};
use crate::job::{Counter, Job, Options, Overwrite, Phase, Select};
use crate::platform::Dir;
use crate::pool::Pool;
use crate::stamp::Time;
use crate::store::{
    self, backup_file, lock, newest_file, require_existing, Catalog, LockMode, Need, OwnPlaces, StateFile,
    Store, StoredFile,
};

pub use contents::Contents;
pub use layout::Layout;
use selection::{Plan, Selection};
use set_names::Survey;
use target::Target;
use tree::Tree;

/// Restores the selected snapshot of `key`, or the part of it that the options mean, as `dest`. Unless a
/// policy says what becomes of what is there, `dest` must be absent or an empty directory.
///
/// Files that cannot be restored exactly are left out and listed; the others are restored. Errors:
/// `NotFound` (no such snapshot, or nothing in it that is meant), `Exists` (a destination that is not
/// empty), `Corrupt` or `Format` (the state), `Mismatch` (not the expected digest), `Io` (the destination).
pub fn restore(store: &mut dyn Store, key: &str, dest: &std::path::Path, job: &mut Job) -> Result<()> {
    let key = check_key(key.as_bytes())?;
    require_existing(store, Need::Read, "restore")?;
    job.report.date = Time::now();
    job.report.key = Some(key.clone());
    let _lock = lock(store, &key, LockMode::Shared, job)?;
    let pool = Pool::start(job.options.threads)?;
    let mut selection = Selection::new(job.options)?;
    // What the snapshot has besides what is meant matters where what it has not is removed.
    let all = selection.is_whole() || job.options.delete_extra;
    let meant = &mut |path: &[u8]| selection.needs(path);
    let mut state = open(store, &key, &pool, (!all).then_some(meant), job)?;
    let plan = selection.plan(&mut state, job.options, survey(dest, job.options))?;
    let own = OwnPlaces::find(store, job.options, Some(&state.header().series))?;
    let mut target = Target::prepare(dest, job)?;
    if let Some(what) = own.around(dest).filter(|_| target.is_existing()) {
        return Err(Error::new(Kind::InvalidArg, "restore over", what).at(store::path_bytes(dest)));
    }
    job.phase(Phase::Restore, plan.entries, plan.bytes)?;
    let totals = state.trailer().totals;
    job.report.count(Counter::Entries, totals.entries);
    job.report.count(Counter::Bytes, totals.bytes);
    let built = build(store, (&mut state, &mut selection, plan), (pool, own), &mut target, job);
    if job.options.dry_run {
        return built;
    }
    match built.and_then(|()| target.publish()) {
        Err(error) if job.options.leave_partial => Err(target.leave(error)),
        done => done,
    }
}

/// What is in a destination that may hold something. One that cannot be opened is told by [`Target::prepare`].
fn survey(dest: &std::path::Path, options: &Options) -> Option<Survey> {
    let holds = options.overwrite != Overwrite::Never;
    holds.then(|| Dir::open(dest).ok()).flatten().map(Survey::new)
}

/// Restores what is selected into `target`, all but its name. The threads that write into it are gone when this
/// returns.
fn build(
    store: &mut dyn Store,
    (state, selection, mut plan): (&mut StateReader, &mut Selection, Plan),
    (pool, own): (Arc<Pool>, OwnPlaces),
    target: &mut Target,
    job: &mut Job,
) -> Result<()> {
    let mut contents =
        Contents::new(&state.trailer().archives).with_pool(pool.clone()).with_cancel(job.cancel());
    // The pool is the tree's now: its threads are gone before `target` removes what was made, if this fails.
    let mut tree = Tree::new(target, std::mem::take(&mut plan.names), own, (pool, &contents), job)?;
    selection.each(state, &mut plan, &mut |entry, asked_for| match asked_for {
        true => tree.entry(store, &mut contents, entry),
        false => tree.way(store, &mut contents, entry),
    })?;
    tree.finish_files(store, &mut contents)?;
    tree.make_links(store, &mut contents)?;
    if tree.job.options.delete_extra && target.is_existing() {
        tree.remove_extra(state, selection)?;
    }
    tree.kept = target.settle()?;
    let root = tree.finish_dirs(target.root()?)?;
    tree.job.phase_done()?;
    tree.job.phase(Phase::Commit, 0, 0)?;
    if tree.job.options.dry_run {
        return tree.job.phase_done();
    }
    target.sync()?;
    tree.sync_mounts()?;
    if let Some(root) = root {
        tree.finish_root(root, &*target)?;
    }
    Ok(())
}

/// Opens and verifies the state that the options select, and checks the digest that the caller expects.
pub fn open_selected(store: &mut dyn Store, key: &str, pool: &Pool, job: &mut Job) -> Result<StateReader> {
    open(store, key, pool, None, job)
}

/// The same; of the entries, only what is `meant` and all directories, if something is.
fn open(
    store: &mut dyn Store,
    key: &str,
    pool: &Pool,
    meant: Option<Meant<'_>>,
    job: &mut Job,
) -> Result<StateReader> {
    let catalog = Catalog::read(store, key)?;
    let file = match job.options.select {
        Select::Newest => newest_file(store, &catalog, job)?,
        select => catalog.select(store, select)?.clone(),
    };
    let mut stored = StoredFile { store, name: &file.name };
    let state = match meant {
        Some(meant) => {
            StateReader::open_part(&mut stored, &file.name, file.size, file.compressed, pool, meant)
        }
        None => StateReader::open(&mut stored, &file.name, file.size, file.compressed, pool),
    };
    let state = state.map_err(|error| name_older(store, &catalog, &file, error))?;
    let tree = state.trailer().tree;
    check_expected(&tree, &file.name, job)?;
    job.report.snapshot = Some(file.stamp);
    job.report.digest = Some(tree);
    let archives = state.trailer().archives.iter().map(|a| (a.name.clone(), a.kind, a.size));
    let needed: Vec<_> = archives.chain([(file.name, FileKind::State, file.size)]).collect();
    for (name, kind, size) in needed {
        job.report.files.push(backup_file(store, name, kind, size));
    }
    Ok(state)
}

/// Adds to the error of a state that is damaged which older snapshot verifies, and how it is selected.
fn name_older(store: &mut dyn Store, catalog: &Catalog, file: &StateFile, error: Error) -> Error {
    if !error.is_damage() {
        return error;
    }
    let verifies = |older: &&StateFile| {
        let mut stored = StoredFile { store: &mut *store, name: &older.name };
        StateSummary::read(&mut stored, &older.name, older.size, older.compressed).is_ok()
    };
    let older = catalog.states().rev().filter(|state| state.stamp < file.stamp).find(verifies);
    let advice = match older {
        Some(older) => format!(
            "the newest older snapshot that verifies is {0}: select it (ibt --at {0}, ibt_options_set_snapshot())",
            older.stamp
        ),
        None => "no older snapshot of the key verifies".to_string(),
    };
    Error { detail: format!("{}; {advice}", error.detail), ..error }
}

/// `Mismatch` if the caller expects another tree digest of the state in `file`.
pub(crate) fn check_expected(tree: &Hash, file: &str, job: &Job) -> Result<()> {
    match job.options.expected_digest {
        Some(expected) if expected != *tree => {
            let detail = format!("its tree digest is {tree}, not the expected one");
            Err(Error::new(Kind::Mismatch, "use the snapshot", detail).at(file))
        }
        _ => Ok(()),
    }
}
