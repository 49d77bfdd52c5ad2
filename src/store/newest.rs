//! Finds the newest snapshot of a key. Reads the state from the cache if the copy there equals the store's file.

use std::path::Path;

use super::{cache, Catalog, LocalFile, StateFile, Store, StoredFile};
use crate::error::{Error, Kind, Result};
use crate::format::{ReadAt, StateReader, StateSummary};
use crate::job::{Job, Problem, ProblemKind, Select};
use crate::pool::Pool;
use crate::stamp::{Stamp, Time};

/// Number of bytes at the end of a state that are compared with the store's file before a cached copy is believed. They
/// contain the seek table, and the whole of a small state.
const TAIL: u64 = 4096;

/// Greatest error of a clock, in seconds, unless a snapshot that verifies has a later stamp.
const FAR_SECS: i64 = 366 * 86_400;

/// The last stamp that is not far in the future: a year after the later of `now` and `newest`, a snapshot that
/// verifies. A file with a later stamp that does not verify was never a snapshot.
pub fn far_after(now: Time, newest: Option<Stamp>) -> Stamp {
    let known = newest.map_or(now, |newest| newest.to_time().max(now));
    Stamp::from_time(known.plus_secs(FAR_SECS))
}

/// The state that readers take as the newest: the one with the latest stamp. Damaged states far in the future are
/// listed as left-overs and skipped. Any other newest state is returned, even if damaged, and the caller opens it. If a
/// state far in the future verifies, the clock is wrong and nothing is skipped.
pub fn newest_file(store: &mut dyn Store, catalog: &Catalog, job: &mut Job) -> Result<StateFile> {
    let newest = catalog.select(store, Select::Newest)?.clone();
    let now = Time::now();
    if newest.stamp <= far_after(now, None) {
        return Ok(newest);
    }
    let mut passed = Vec::new();
    for state in catalog.states().rev() {
        let mut stored = StoredFile { store: &mut *store, name: &state.name };
        match StateSummary::verify(&mut stored, &state.name, state.size, state.compressed) {
            Ok(_)
                if state.stamp <= far_after(now, None)
                    && passed.iter().all(|(far, _)| *far > far_after(now, Some(state.stamp))) =>
            {
                for (stamp, error) in passed {
                    let problem = Problem::of_whole(ProblemKind::Leftover, &error);
                    job.problem(Problem { snapshot: Some(stamp), ..problem }, error)?;
                }
                return Ok(state.clone());
            }
            Err(error) if error.proves_damage() => passed.push((state.stamp, error)),
            _ => break,
        }
    }
    Ok(newest)
}

/// The newest snapshot of the key that verifies. Damaged states are listed as problems and skipped. A state that cannot
/// be read now is an error, because no older state may take its place.
pub fn newest(
    store: &mut dyn Store,
    catalog: &Catalog,
    pool: &Pool,
    job: &mut Job,
) -> Result<Option<StateReader>> {
    let cache_root = job.options.cache_dir.clone();
    for state in catalog.states().rev() {
        match open(store, state, cache_root.as_deref(), pool) {
            Ok(reader) => return Ok(Some(reader)),
            // A state of a newer version is not damaged, and no increment may be based on an older state.
            Err(error) if error.proves_damage() => {
                let problem = Problem::of_whole(ProblemKind::Damaged, &error).in_file(&state.name);
                job.problem(Problem { snapshot: Some(state.stamp), ..problem }, error)?;
            }
            Err(error) => return Err(unread(error, state)),
        }
    }
    Ok(None)
}

/// Adds advice to the error of the newest state, in case the state can never be read again.
fn unread(error: Error, state: &StateFile) -> Error {
    if error.kind != Kind::Io || error.is_own {
        return error;
    }
    let detail = format!(
        "{}; it is the newest snapshot, and nothing older takes its place (if it is lost for good: prune {})",
        error.detail, state.stamp
    );
    Error { detail, ..error }
}

/// Opens a state from the cache if the copy equals the store's file, else from the store.
fn open(
    store: &mut dyn Store,
    state: &StateFile,
    cache_root: Option<&Path>,
    pool: &Pool,
) -> Result<StateReader> {
    let StateFile { name, size, compressed, .. } = state;
    if let Some(file) = cache::find_state(cache_root, name, *size) {
        let mut copy = LocalFile(file);
        if same_tail(store, state, &mut copy)? {
            if let Ok(reader) = StateReader::open(&mut copy, name, *size, *compressed, pool) {
                return Ok(reader);
            }
        }
    }
    let mut stored = StoredFile { store, name };
    StateReader::open(&mut stored, name, *size, *compressed, pool)
}

fn same_tail(store: &mut dyn Store, state: &StateFile, copy: &mut LocalFile) -> Result<bool> {
    let from = state.size.saturating_sub(TAIL);
    let mut ours = vec![0; (state.size - from) as usize];
    let mut theirs = ours.clone();
    let read = copy.read_at(from, &mut ours).unwrap_or(0);
    Ok(store.read_at(&state.name, from, &mut theirs)? == read && ours == theirs)
}
