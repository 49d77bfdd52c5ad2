//! Opens the state of the selected snapshot, and checks the digest that the caller expects.

use super::{Catalog, KeyStates, StateFile, Store, StoredFile, backup_file, newest_file};
use crate::entry::Hash;
use crate::error::{Error, Kind, Result};
use crate::format::names::BackupFileKind;
use crate::format::{ArchiveRef, PathSelector, StateReader, StateSummary};
use crate::job::{Job, Select};
use crate::pool::Pool;

/// Opens and verifies the state that the options select, and checks the digest that the caller expects.
pub fn open_selected(store: &mut dyn Store, key: &str, pool: &Pool, job: &mut Job) -> Result<StateReader> {
    open(store, key, pool, None, job)
}

/// Like [`open_selected`], but keeps only the entries that `selector` selects, all directories and all first names of
/// hard links.
pub fn open_selected_part(
    store: &mut dyn Store,
    key: &str,
    pool: &Pool,
    selector: PathSelector<'_>,
    job: &mut Job,
) -> Result<StateReader> {
    open(store, key, pool, Some(selector), job)
}

fn open(
    store: &mut dyn Store,
    key: &str,
    pool: &Pool,
    selector: Option<PathSelector<'_>>,
    job: &mut Job,
) -> Result<StateReader> {
    let all = Catalog::read(store, key)?;
    let catalog = all.clone().with_labels(store, job.options)?;
    let file = match job.options.select {
        Select::Newest => newest_file(store, &all, &catalog, job)?,
        select => catalog.select(store, select)?.clone(),
    };
    let mut states = KeyStates::new(store, &catalog);
    let state = states.open(&file, pool, selector);
    let new_catalog = states.into_new_catalog();
    let state = state.map_err(|error| name_older(store, &catalog, &file, error))?;
    let catalog = new_catalog.as_ref().unwrap_or(&catalog);
    let tree = state.trailer().tree;
    check_expected(&tree, &file.name, job)?;
    job.report.snapshot = Some(file.stamp);
    job.report.digest = Some(tree);
    let archives = state
        .trailer()
        .archives
        .iter()
        .flat_map(ArchiveRef::files)
        .map(|file| (file.name, file.kind, file.size));
    let states = state.file_references().filter_map(|file| catalog.state_file(file.snapshot, file.size));
    let states = states.map(|file| (file.name, BackupFileKind::State, file.size));
    let needed: Vec<_> = archives.chain(states).collect();
    for (name, kind, size) in needed {
        job.report.files.push(backup_file(store, name, kind, size));
    }
    Ok(state)
}

/// If the state is damaged, adds the newest older snapshot that verifies to the error, and how to select it.
fn name_older(store: &mut dyn Store, catalog: &Catalog, file: &StateFile, error: Error) -> Error {
    if !error.is_loss() {
        return error;
    }
    let verifies = |older: &&StateFile| {
        let mut stored = StoredFile { store: &mut *store, name: &older.name };
        StateSummary::verify(&mut stored, &older.name, older.size, older.compressed).is_ok()
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

/// `Mismatch` if the caller expects another tree digest than that of the state in `file`.
pub fn check_expected(tree: &Hash, file: &str, job: &Job) -> Result<()> {
    match job.options.expected_digest {
        Some(expected) if expected != *tree => {
            let detail = format!("its tree digest is {tree}, not the expected one");
            Err(Error::new(Kind::Mismatch, "use the snapshot", detail).at(file))
        }
        _ => Ok(()),
    }
}
