//! Commits one snapshot: publishes its archives first, then the state that names them, then the cache's
//! copies. A run that is interrupted before the state has its name leaves no snapshot. The invariants are
//! numbered in [`crate::format`].
//!
//! ```text
//! Archives: begun as needed --> finish --> published, durable --> store checked --> state --> cache
//! ```

mod archives;
mod begin;
mod member_spool;

pub use archives::{NewArchives, Slot};
pub use begin::next_stamp;
pub(crate) use member_spool::MemberSpool;

use crate::error::{Error, Kind, Result};
use crate::format::names::BackupFileKind;
use crate::format::{ArchiveRef, Header, StateProblem, StateWriter, Totals, Trailer, Written};
use crate::job::{BackupFile, Counter, Job, Level, PROBLEMS_MAX};
use crate::stamp::Time;
use crate::store::cache::{self, Copy};
use crate::store::{backup_file, Cache, Catalog, DraftSink, Store};

use archives::FinishedArchive;

/// A snapshot that is ready to be committed: all its entries are written.
pub struct Commit<'c> {
    pub header: &'c Header,
    /// The files of this key in the store when the operation began.
    pub catalog: &'c Catalog,
    /// The parent's archives; [`NewArchives::inherit`] refers to them by their index in this slice.
    pub parents: &'c [ArchiveRef],
    pub archives: NewArchives,
    pub state: StateWriter<DraftSink>,
    pub cache: Option<Cache>,
    /// For a consolidation: the trailer of the snapshot that this one copies; `None` for a backup. The copy
    /// lists the original's problems too, its `finished_at` is never earlier than the original's, and both
    /// must have the same tree digest.
    pub copy_of: Option<&'c Trailer>,
}

impl Commit<'_> {
    /// Commits the snapshot. An error before the state gets its name leaves no file of the snapshot in the
    /// store. If naming the state fails, the archives stay, because the state may have its name nevertheless.
    pub fn commit(self, store: &mut dyn Store, job: &mut Job) -> Result<()> {
        let Commit { header, catalog, parents, mut archives, state, cache, copy_of } = self;
        let (references, finished) = archives.finish(store, parents)?;
        let mut published = Published { store, names: Vec::new() };
        let mut copies = published.publish(finished, job)?;
        check_store(published.store, header, catalog, &references)?;
        job.pulse()?;
        let state_name = archives.name(BackupFileKind::State);
        let totals = totals(job);
        let finished_at = copy_of.map_or(Time::now(), |original| original.finished_at.max(Time::now()));
        let (written, tree) = state.finish(&references, &totals, &problems(copy_of, job), finished_at)?;
        if copy_of.is_some_and(|original| original.tree != tree) {
            return Err(Error::new(Kind::Panic, "commit the snapshot", "it is not the tree it should be"));
        }
        let Written { size, out: DraftSink { mut draft, copy }, .. } = written;
        draft.seal()?;
        // From here on the state may exist even if `publish` reports an error, so the archives that the state
        // names must stay.
        published.names.clear();
        let store = &mut *published.store;
        draft.publish()?;
        store.sync()?;
        let state = FileMade { name: state_name.clone(), kind: BackupFileKind::State, size };
        let own = |r: &&ArchiveRef| catalog.size_of(&r.name).is_none();
        let files = references.iter().filter(own).map(FileMade::of).chain([state]);
        for file in files.collect::<Vec<_>>() {
            job.report.count(Counter::BytesWritten, file.size);
            job.report.files.push(file.into_backup_file(store));
        }
        job.report.snapshot = Some(header.snapshot);
        job.report.digest = Some(tree);
        copies.extend(copy);
        if let Some(cache) = cache {
            fill_cache(
                &cache,
                copies,
                &|name| name == state_name || references.iter().any(|r| r.name == name),
                job,
            );
        }
        Ok(())
    }
}

/// Checks that the store still has every archive of the new state, and no new snapshot of this key. Otherwise
/// the error is `Busy`: another process prunes or writes this key at the same time.
fn check_store(
    store: &mut dyn Store,
    header: &Header,
    before: &Catalog,
    references: &[ArchiveRef],
) -> Result<()> {
    let now = Catalog::read(store, &header.key)?;
    let busy = |detail: &str| Error::new(Kind::Busy, "commit the snapshot", detail);
    if now.states().any(|state| before.size_of(&state.name).is_none()) {
        return Err(busy("another snapshot of this key appeared meanwhile"));
    }
    for archive in references {
        if now.size_of(&archive.name) != Some(archive.size) {
            return Err(busy("an archive that it needs vanished meanwhile").at(&archive.name));
        }
    }
    Ok(())
}

/// Publishes the cache's copies and removes old ones. A lost cache costs a rebuild, never data, so an error
/// here does not fail the backup.
fn fill_cache(cache: &Cache, copies: Vec<Copy>, needed: &dyn Fn(&str) -> bool, job: &mut Job) {
    // A copy that fails does not keep the next copies from being published.
    let lost = copies.into_iter().map(Copy::publish).filter(Result::is_err).count();
    if lost > 0 {
        job.log(Level::Warn, "the cache could not be written; the next increment reads the store instead");
    }
    cache.keep_only(needed);
    cache::sweep(job.options.cache_dir.as_deref());
}

struct FileMade {
    name: String,
    kind: BackupFileKind,
    size: u64,
}

impl FileMade {
    fn of(archive: &ArchiveRef) -> Self {
        FileMade { name: archive.name.clone(), kind: archive.kind, size: archive.size }
    }

    fn into_backup_file(self, store: &dyn Store) -> BackupFile {
        backup_file(store, self.name, self.kind, self.size)
    }
}

fn totals(job: &Job) -> Totals {
    let count = |which| job.report.counters.get(which);
    Totals {
        entries: count(Counter::Entries),
        bytes: count(Counter::Bytes),
        created: count(Counter::Created),
        modified: count(Counter::Modified),
        unchanged: count(Counter::Unchanged),
        moved: count(Counter::Moved),
        deleted: count(Counter::Deleted),
        metadata: count(Counter::Metadata),
        problems: 0,
    }
}

/// The problems of the snapshot that is copied, if there is one, then the problems of this run.
fn problems(copy_of: Option<&Trailer>, job: &Job) -> Vec<StateProblem> {
    let carried = copy_of.map_or(&[][..], |original| &original.problems).iter().cloned();
    let own = job.report.problems.iter().map(|p| StateProblem {
        path: p.path.clone(),
        status: p.kind.name().to_string(),
        message: p.message.clone(),
    });
    carried.chain(own).take(PROBLEMS_MAX).collect()
}

/// Archives of this run that have their final names while no state names them yet. Dropping this value
/// removes them from the store.
struct Published<'s> {
    store: &'s mut dyn Store,
    names: Vec<String>,
}

impl Published<'_> {
    /// Seals all drafts, then gives each its final name, then makes the names durable. Returns the copies for
    /// the cache.
    fn publish(&mut self, finished: Vec<FinishedArchive>, job: &mut Job) -> Result<Vec<Copy>> {
        let mut drafts = Vec::with_capacity(finished.len());
        let mut copies = Vec::new();
        for FinishedArchive { sink: DraftSink { mut draft, copy }, .. } in finished {
            job.pulse()?;
            draft.seal()?;
            drafts.push(draft);
            copies.extend(copy);
        }
        for draft in drafts {
            let name = draft.name().to_string();
            let published = draft.publish();
            // A publish that failed may still have given the archive its name, so the name is noted for
            // removal. After `Exists`, the file under that name is not ours and stays.
            if !matches!(&published, Err(error) if error.kind == Kind::Exists) {
                self.names.push(name);
            }
            published?;
        }
        if !self.names.is_empty() {
            self.store.sync()?;
        }
        Ok(copies)
    }
}

impl Drop for Published<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            // An archive that cannot be removed stays until a prune: no state names it.
            let _ = self.store.delete(name);
        }
    }
}
