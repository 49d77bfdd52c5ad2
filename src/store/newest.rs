//! The newest snapshot of a key: from the cache where its copy is the store's file.

use std::path::Path;

use super::{cache, Catalog, LocalFile, StateFile, Store, StoredFile};
use crate::error::{Kind, Result};
use crate::format::{ReadAt, StateReader};
use crate::job::{Job, Problem, ProblemKind};
use crate::pool::Pool;

/// How much of a state's end is compared with the store's before a cached copy is believed: the seek
/// table and, of a small state, everything.
const TAIL: u64 = 4096;

/// The newest snapshot of the key that verifies. Damaged ones are problems, and passed over.
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
            // What a newer version wrote is not damaged: nothing may be built on what is older.
            Err(error) if matches!(error.kind, Kind::Corrupt | Kind::Io | Kind::Limit) && !error.is_own => {
                let problem = Problem::of_whole(ProblemKind::Damaged, &error).in_file(&state.name);
                job.problem(Problem { snapshot: Some(state.stamp), ..problem }, error)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Opens a state from the cache if its copy is the store's file, else from the store.
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
