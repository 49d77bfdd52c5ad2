//! Lists the snapshots in a store.

use crate::error::{Error, Kind, Result};
use crate::format::names::{BackupFileKind, check_key};
use crate::format::{ArchiveFile, StateSummary};
use crate::job::{Job, Phase, Problem, ProblemKind, Select};
use crate::pool::Pool;
use crate::stamp::Time;
use crate::store::open_selected;
use crate::store::{
    Catalog, ComingReads, KeyListing, LockMode, NEW_FULL, Need, ReadingAhead, StatelessArchives, Store,
    Summaries, archive_fault, lock, require_existing,
};

use crate::store::report::{
    Listed, NotRegular, Unread, describe, report_copies, report_lost_state, report_wrapped,
};

/// Lists the snapshots of `key`, or of every key, oldest first. With label filters, lists only the snapshots that have
/// these labels. With a selector, lists only the selected snapshot. The report's files are then the files that this
/// snapshot needs.
///
/// If the store does not list an archive with the size in the state, each snapshot that needs the archive gets a
/// problem. A state whose summary does not verify, or that is not a regular file, is a problem and not a snapshot.
/// Archives whose state is gone are a note, unless a backup may be making them now. The entries are not read.
///
/// Errors: `NotFound` (a key without snapshots, a selector that selects none), `Io` (a state that cannot be read now;
/// returned after all others are listed).
pub fn list(store: &mut dyn Store, key: Option<&str>, job: &mut Job) -> Result<()> {
    list_and_pass(store, key, &mut |_| {}, job)
}

/// Like [`list`], and passes the catalog of `key`, or those of all keys, to `seen`. Passes nothing if the options
/// select a snapshot.
pub fn list_and_pass(
    store: &mut dyn Store,
    key: Option<&str>,
    seen: &mut dyn FnMut(&Catalog),
    job: &mut Job,
) -> Result<()> {
    job.report.date = Time::now();
    let key = key.map(|key| check_key(key.as_bytes())).transpose()?;
    let selects = job.options.select != Select::Newest || job.options.expected_digest.is_some();
    if selects && key.is_none() {
        return Err(Error::new(Kind::InvalidArg, "list snapshots", "a selector needs a key"));
    }
    require_existing(store, Need::Read, "list snapshots")?;
    job.phase(Phase::Scan, 0, 0)?;
    let mut unread = Unread::default();
    match &key {
        None => {
            report_not_regular(store, None, job)?;
            for catalog in Catalog::all(store)?.into_values() {
                seen(&catalog);
                if catalog.check_any().is_err() {
                    StatelessArchives::of(&catalog).report(store, job)?;
                    continue;
                }
                let _lock = lock(store, catalog.key(), LockMode::Read, job)?;
                list_key(store, catalog, Listed::Before, &mut unread, job)?;
            }
        }
        Some(key) => {
            let _lock = lock(store, key, LockMode::Read, job)?;
            if selects {
                let pool = Pool::start(job.options.threads)?;
                let state = open_selected(store, key, &pool, job)?;
                job.report.snapshots.push(describe(state.summary()));
            } else {
                report_not_regular(store, Some(key), job)?;
                let catalog = Catalog::read(store, key)?;
                seen(&catalog);
                if let Err(error) = catalog.check_any() {
                    StatelessArchives::of(&catalog).report(store, job)?;
                    return Err(error);
                }
                list_key(store, catalog, Listed::Locked, &mut unread, job)?;
            }
        }
    }
    job.report.key = key;
    job.phase_done()?;
    unread.end()
}

/// Lists the states that are no regular files as problems.
fn report_not_regular(store: &mut dyn Store, key: Option<&str>, job: &mut Job) -> Result<()> {
    NotRegular::states(store, key)?.iter().try_for_each(|state| state.report(job))
}

/// Lists the snapshots of one key. Where the store is far away, reads several states at once.
fn list_key(
    store: &mut dyn Store,
    catalog: Catalog,
    listed: Listed,
    unread: &mut Unread,
    job: &mut Job,
) -> Result<()> {
    let mut ahead = ReadingAhead::start(store, job.cancel());
    let store = ahead.store();
    let files: Vec<_> = catalog.states().cloned().collect();
    let mut coming = ComingReads::summaries(files.iter());
    let mut summaries = Summaries::default();
    let mut listing = KeyListing::new(&catalog);
    report_wrapped(catalog.wrapped_snapshots(), job)?;
    report_copies(catalog.copied_states(), job)?;
    let mut stateless = StatelessArchives::of(&catalog);
    for file in &files {
        job.step(file.name.as_bytes())?;
        coming.begin(store, &file.name, 0);
        match summaries.snapshot(store, &mut listing, file) {
            Ok(state) if !job.options.accepts_labels(&state.header.labels) => stateless.add(&state),
            Ok(state) => {
                stateless.add(&state);
                if archives_lost(&state, listing.catalog()).next().is_some() {
                    listing.list_again(store)?;
                }
                report_archives_lost(&state, listing.catalog(), job)?;
                job.report.snapshots.push(describe(&state));
            }
            Err(error) if listed == Listed::Before && error.kind == Kind::NotFound => {}
            Err(error) if unread.goes_on(&error) => {
                stateless.add_unread(file.stamp);
                report_lost_state(store, catalog.key(), file, error, job)?;
            }
            Err(error) => return Err(error),
        }
    }
    stateless.report(store, job)
}

/// A file of a state's archives that the store does not list with its size.
struct LostFile {
    file: ArchiveFile,
    /// The file is a part of an archive. An increment made after its loss may need the other parts only.
    is_part: bool,
    /// The kind and the description of the fault.
    kind: Kind,
    what: String,
}

fn archives_lost<'a>(state: &'a StateSummary, catalog: &'a Catalog) -> impl Iterator<Item = LostFile> {
    let files = state.trailer.archives.iter().flat_map(|archive| {
        let is_part = !archive.parts.is_empty();
        archive.files().into_iter().map(move |file| (file, is_part))
    });
    files.filter_map(|(file, is_part)| {
        let (kind, what) = archive_fault(&file, catalog.size_of(&file.name))?;
        Some(LostFile { file, is_part, kind, what })
    })
}

/// Reports the archives that a snapshot has lost. Does not check the bytes of the others: only a verify reads them.
fn report_archives_lost(state: &StateSummary, catalog: &Catalog, job: &mut Job) -> Result<()> {
    for LostFile { file, is_part, kind, what } in archives_lost(state, catalog) {
        let cost = match file.kind {
            BackupFileKind::SigVault => "it costs no content, only larger increments",
            _ if is_part => "the snapshot has lost what it has there, if anything",
            _ => "the snapshot has lost what lies there",
        };
        let detail = format!("{what}; {cost}; {NEW_FULL}");
        let error = Error::new(kind, "use the archive", detail).at(&file.name);
        let problem = Problem::of_whole(ProblemKind::of_stored(&error), &error).in_file(&file.name);
        job.problem(Problem { snapshot: Some(state.header.snapshot), ..problem }, error)?;
    }
    Ok(())
}
