//! Finds the partial state that a full backup goes on from: an earlier full of the same source left it and did not end.
//! The full takes over the entries that are unchanged since then, and stores everything else. So the snapshot has the
//! tree that a full from zero would have.

use crate::error::{Error, Kind, Result};
use crate::format::{Header, StateReader};
use crate::job::{Job, Level, Phase, Problem, ProblemKind, sum};
use crate::pool::Pool;
use crate::stamp::Time;
use crate::store::{Catalog, PartialFile, Store, StoredFile, fetch, is_current};

use super::origin::BackupSource;

const OP: &str = "go on from the partial state";
/// The consequence if a partial state cannot be used.
const STORED_AGAIN: &str = "what it has is stored again";

/// The partial state that a full goes on from.
pub struct PartialBasis {
    /// The name of its file.
    pub name: String,
    pub state: StateReader,
}

/// Finds the newest partial state that can be used; `newest` is the header of the newest snapshot. A newer one that
/// cannot be used is reported in a note. One that cannot be read now ends the backup: the full would begin from zero,
/// and delete it although it may be readable later.
pub fn find_partial_basis(
    store: &mut dyn Store,
    catalog: &Catalog,
    newest: Option<&Header>,
    origin: &BackupSource,
    pool: &Pool,
    job: &mut Job,
) -> Result<Option<PartialBasis>> {
    if job.options.checkpoint == 0 {
        return Ok(None);
    }
    let (stamp, now) = (newest.map(|header| header.snapshot), Time::now());
    for (file, _) in catalog.wrapped_partials().filter(|(_, of)| is_current(*of, stamp, now)) {
        let detail = format!("only a newer libibt can read it; {STORED_AGAIN}");
        note(Error::new(Kind::Format, OP, detail), file, job)?;
    }
    for file in catalog.partial_states().iter().rev().filter(|file| file.is_current(stamp, now)) {
        let name = file.name.to_string();
        let error = match open(store, catalog, file, newest, origin, pool, job) {
            Ok(state) => {
                let entries = state.trailer().totals.entries;
                let message = format!("goes on from {name}, which has {entries} entries");
                job.log(Level::Info, &message);
                return Ok(Some(PartialBasis { name, state }));
            }
            Err(error) if error.is_loss() || error.kind == Kind::Mismatch => error,
            Err(error) if error.is_own || matches!(error.kind, Kind::Cancelled | Kind::Panic) => {
                return Err(error);
            }
            Err(error) => return Err(unread(error, &name)),
        };
        let detail = format!("{}; {STORED_AGAIN}", error.detail);
        note(Error { op: OP.into(), detail, ..error }, &name, job)?;
    }
    Ok(None)
}

/// Reports a partial state that the full does not go on from.
fn note(error: Error, file: &str, job: &mut Job) -> Result<()> {
    let error = error.at(file);
    job.problem(Problem::of_whole(ProblemKind::Leftover, &error).in_file(file), error)
}

/// The error for a partial state, or a file that it names, that cannot be read now. Adds advice, in case it can never
/// be read again.
fn unread(error: Error, name: &str) -> Error {
    let detail = format!(
        "{}; a full backup that did not end left {name}, and this one goes on from there (to begin from zero instead, \
         which gives up what that backup stored: set checkpoint 0)",
        error.detail
    );
    Error { detail, ..error }
}

/// Opens a partial state and checks everything that a full relies on.
fn open(
    store: &mut dyn Store,
    catalog: &Catalog,
    file: &PartialFile,
    newest: Option<&Header>,
    origin: &BackupSource,
    pool: &Pool,
    job: &mut Job,
) -> Result<StateReader> {
    let fault = |kind, detail: &str| Error::new(kind, "use the partial state", detail);
    let mut state = file.open(store, pool)?;
    if newest.is_some_and(|newest| newest.series != state.header().series) {
        return Err(fault(Kind::Mismatch, "it belongs to another series"));
    }
    if !origin.is_of(state.header()) {
        return Err(fault(Kind::Mismatch, "it is of another source or host"));
    }
    if !catalog.has_all(&state.trailer().archives) {
        return Err(fault(Kind::Missing, "an archive that it names is gone, or has another size"));
    }
    // Reads every line, so that no damaged one ends the backup later.
    let mut records = state.recorded()?;
    while records.advance()?.is_some() {}
    drop(records);
    check_archives(&state, file, store, job)?;
    Ok(state)
}

/// Compares the digests of the files that a partial state names, because a full is made to have every content
/// undamaged. Where reading the store is not cheap, reads only the files that the run published last: a crash of the
/// machine may have damaged them. A dry run reads none.
fn check_archives(
    state: &StateReader,
    partial: &PartialFile,
    store: &mut dyn Store,
    job: &mut Job,
) -> Result<()> {
    if job.options.dry_run {
        return Ok(());
    }
    let reads_all = store.reads_cheaply()?;
    let mut files = Vec::new();
    for archive in &state.trailer().archives {
        let mut of_archive = archive.files();
        let first =
            if reads_all { 0 } else { of_archive.len() - usize::from(archive.is_of(partial.name.stamp)) };
        files.extend(of_archive.drain(first..));
    }
    job.phase(Phase::Verify, files.len() as u64, sum(files.iter().map(|file| file.size)))?;
    for file in files {
        job.step(file.name.as_bytes())?;
        let mut stored = StoredFile { store: &mut *store, name: &file.name };
        if fetch(&mut stored, file.size, &mut |_| {}, job)? != file.digest {
            return Err(Error::corrupt("read", &file.name, format!("{} is damaged", file.name)));
        }
        job.advance(file.size)?;
    }
    job.phase_done()
}
