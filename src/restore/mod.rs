//! Rebuilds a snapshot as a tree of files.
//!
//! ```text
//! state --> entries in path order = archive order --> contents (whole, or deltas composed)
//!       --> write file, check size and hash --> metadata by descriptor --> links --> directories' metadata
//! ```

mod entry_spool;
mod hard_link_names;
mod late_flags;
mod leftover;
mod moved;
mod owners;
mod selection;
mod target;
mod tree;

use std::sync::Arc;

use crate::contents::{ContentReader, Contents};
use crate::error::{Error, Kind, Result};
use crate::format::StateReader;
use crate::job::{Counter, Job, Options, Overwrite, Phase};
use crate::platform::Dir;
use crate::pool::Pool;
use crate::store::{
    LockMode, Need, OwnPlaces, ReadingAhead, Store, begin, lock, open_selected, open_selected_part,
    path_bytes,
};

use hard_link_names::InodeLookup;
use late_flags::LateFlags;
use owners::OwnerMap;
use selection::{RestorePlan, Selection};
use target::Target;
use tree::Tree;

/// Restores the selected snapshot of `key`, or the selected part of it, as the directory `dest`. With
/// [`Overwrite::Never`], `dest` must be absent or an empty directory. The other policies change an existing tree.
///
/// The restore leaves out and lists every file that it cannot restore exactly, and restores the other files. Errors:
/// `NotFound` (no such snapshot, or the snapshot has no selected entry), `Exists` (the destination is not empty),
/// `Corrupt` or `Format` (the state), `Mismatch` (the digest is not the expected one), `Io` (the destination).
pub fn restore(store: &mut dyn Store, key: &str, dest: &std::path::Path, job: &mut Job) -> Result<()> {
    let key = begin(store, key, Need::Read, "restore", job)?;
    let _lock = lock(store, &key, LockMode::Read, job)?;
    let pool = Pool::start(job.options.threads)?;
    let mut selection = Selection::new(job.options)?;
    // `delete_extra` needs every entry, not only the selected ones: an entry of the snapshot is not extra.
    let all = selection.is_whole() || job.options.delete_extra;
    let selector = &mut |path: &[u8]| selection.needs(path);
    let mut state = match all {
        true => open_selected(store, &key, &pool, job),
        false => open_selected_part(store, &key, &pool, selector, job),
    }?;
    let plan = selection.plan(&mut state, job.options, lookup(dest, job.options))?;
    let own = OwnPlaces::find(store, job.options)?;
    let mut target = Target::prepare(dest, job)?;
    if let Some(what) = own.around(dest).filter(|_| target.is_existing()) {
        return Err(Error::new(Kind::InvalidArg, "restore over", what).at(path_bytes(dest)));
    }
    job.phase(Phase::Restore, plan.entries, plan.bytes)?;
    let totals = state.trailer().totals;
    job.report.count(Counter::Entries, totals.entries);
    job.report.count(Counter::Bytes, totals.bytes);
    let mut ahead = ReadingAhead::start(store, job.cancel());
    let built = build(ahead.store(), (&mut state, &mut selection, plan), (pool, own), &mut target, job);
    drop(ahead);
    if job.options.dry_run {
        return built.map(drop);
    }
    match built.and_then(|late| target.publish().map(|()| late)) {
        Err(error) if job.options.leave_partial => Err(target.leave(error)),
        Err(error) => Err(target.abandon(error)),
        // From here on no restored entry is removed again, even if a problem ends the operation.
        Ok(late) => late.set(&target, job),
    }
}

/// Opens a destination that may hold files, to look names up in it. [`Target::prepare`] reports a destination that
/// cannot be opened.
fn lookup(dest: &std::path::Path, options: &Options) -> Option<InodeLookup> {
    let holds = options.overwrite != Overwrite::Never;
    holds.then(|| Dir::open(dest).ok()).flatten().map(InodeLookup::new)
}

/// Restores the selected entries into `target`. The tree gets its name later, in [`Target::publish`]. The threads
/// that write into `target` have ended when this function returns. Returns the flags to set after that.
fn build(
    store: &mut dyn Store,
    (state, selection, mut plan): (&mut StateReader, &mut Selection, RestorePlan),
    (pool, own): (Arc<Pool>, OwnPlaces),
    target: &mut Target,
    job: &mut Job,
) -> Result<LateFlags> {
    let contents = Contents::new(&state.trailer().archives).with_pool(pool.clone()).with_cancel(job.cancel());
    let mut contents = contents.reading_all(selection.is_whole());
    // The tree takes over the pool. If this function fails, the pool's threads end before `target` removes the new
    // tree.
    let mut tree = Tree::new(target, std::mem::take(&mut plan.names), own, (pool, &contents), job)?;
    tree.content_lost = plan.lacks_content;
    let mut contents = ContentReader::new(&mut contents, store);
    let mut owners = tree.sets_owners_by_name().then(OwnerMap::default);
    selection.each(state, &mut plan, &mut |mut entry, asked_for| {
        owners.as_mut().map_or(Ok(()), |owners| owners.map(&mut entry, tree.job))?;
        match asked_for {
            true => tree.entry(&mut contents, entry),
            false => tree.ancestor_dir(&mut contents, entry),
        }
    })?;
    tree.finish_files(&mut contents)?;
    tree.make_links(&mut contents)?;
    if tree.job.options.delete_extra && target.is_existing() {
        tree.remove_extra(state, selection)?;
    }
    tree.kept = target.settle()?;
    let root = tree.finish_dirs(target.root()?)?;
    tree.job.phase_done()?;
    tree.job.phase(Phase::Commit, 0, 0)?;
    if tree.job.options.dry_run {
        return tree.job.phase_done().map(|()| tree.take_late());
    }
    tree.make_durable(root, &*target)?;
    Ok(tree.take_late())
}
