//! Commits one snapshot: publishes its archives first, then the state that names them, then the cache's
//! copies. A run that is interrupted before the state has its name leaves no snapshot. The invariants are
//! numbered in [`crate::format`].
//!
//! ```text
//! archives: begun as needed --> finished --> published, durable
//!     --> store checked, if its list is old --> state published, durable --> store checked again --> cache
//! ```
//!
//! A long full backup also publishes partial states while it runs ([`Checkpoints`]).

mod archives;
mod begin;
mod checkpoints;
mod member_spool;
mod new_state;

pub use archives::{NewArchiveKind, NewArchives};
pub use begin::{next_stamp, stamp_of_copy};
pub use checkpoints::{Checkpoints, remove_partial_states};
pub(crate) use member_spool::MemberSpool;
pub use new_state::NewState;

use std::collections::HashSet;

use crate::error::{Error, Kind, Result};
use crate::format::names::{BackupFileKind, Name};
use crate::format::{
    ArchiveFile, ArchiveRef, Header, LayerRef, Made, SnapshotKind, StateProblem, StateReader, Totals,
    Trailer, Written, WrittenState,
};
use crate::job::{BackupFile, Counter, Job, Level, PROBLEMS_MAX, ProblemKind};
use crate::stamp::{Stamp, Time};
use crate::store::cache::{self, Copy};
use crate::store::{Cache, Catalog, Draft, StateFile, Store, backup_file, newest_known, report_left};

use archives::FinishedArchive;

/// A snapshot that is ready to be committed: all its entries are written.
pub struct Commit<'c> {
    pub header: &'c Header,
    /// The files of this key in the store when the operation began.
    pub catalog: &'c Catalog,
    /// The parent's archives; [`NewArchives::inherit`] refers to them by their index in this slice.
    pub parents: &'c [ArchiveRef],
    pub archives: NewArchives,
    pub state: NewState,
    /// The parent's state; `None` for a full and for a consolidation.
    pub parent: Option<&'c mut StateReader>,
    pub cache: Option<Cache>,
    /// For a consolidation: the trailer of the snapshot that this one copies; `None` for a backup. The copy
    /// lists the original's problems too, its `finished_at` is never earlier than the original's, and both
    /// must have the same tree digest.
    pub copy_of: Option<&'c Trailer>,
    /// The name of the partial state whose archives a full takes over.
    pub partial: Option<&'c str>,
}

impl Commit<'_> {
    /// Commits the snapshot. An error before the state gets its name leaves no file of the snapshot in the store, apart
    /// from the files that a partial state names. If naming the state fails, the archives stay, because the state may
    /// have its name nevertheless.
    pub fn commit(self, store: &mut dyn Store, job: &mut Job) -> Result<()> {
        let mut published = Published { store, names: Vec::new() };
        let committed = self.publish(&mut published, job);
        committed.or_else(|error| published.remove(job).and(Err(error)))
    }

    /// Publishes all files. After an error, the archives in `published` are to be removed.
    fn publish(self, published: &mut Published<'_>, job: &mut Job) -> Result<()> {
        let Commit { header, catalog, parents, mut archives, state, parent, cache, copy_of, partial } = self;
        let (references, finished) = archives.finish(published.store, parents)?;
        let own: Vec<_> = finished.iter().flat_map(|archive| archive.reference.files()).collect();
        let lost = lost_parts(parents, catalog);
        let mut copies = published.publish(finished, job)?;
        // The look after the state has its name finds everything that this one finds. This one keeps a state that must
        // be removed again from getting its name. Right after the first list there is little that it can find.
        if !catalog.is_recent() {
            let now = Catalog::read(published.store, &header.key)?;
            check_alone(catalog, &now, header.snapshot)?;
            Needs { archives: &references, lost: &lost, layers: &[], partial }.find(&now)?;
        }
        job.pulse()?;
        let state_name = archives.name(BackupFileKind::State);
        let finished_at = copy_of.map_or(Time::now(), |original| original.finished_at.max(Time::now()));
        let made = Made { totals: &totals(job), problems: &problems(copy_of, job), finished_at };
        let WrittenState { file: written, tree, layers } =
            state.finish(published.store, header, parent, &archives, &references, &made)?;
        if copy_of.is_some_and(|original| original.tree != tree) {
            return Err(Error::new(Kind::Panic, "commit the snapshot", "it is not the tree it should be"));
        }
        let Written { size, out, .. } = written;
        let (mut drafts, copy) = out.into_drafts();
        drafts.iter_mut().try_for_each(|draft| draft.seal())?;
        // From here on the state may exist even if `publish` reports an error, so the archives that the state
        // names must stay.
        let names = std::mem::take(&mut published.names);
        let store = &mut *published.store;
        drafts.into_iter().try_for_each(|draft| draft.publish())?;
        store.sync()?;
        let state = FileMade { name: state_name, kind: BackupFileKind::State, size };
        let needs = Needs { archives: &references, lost: &lost, layers: &layers, partial };
        let layers = needs.find_again(store, header, catalog, (&state.name, &names))?;
        job.report.snapshot = Some(header.snapshot);
        job.report.digest = Some(tree);
        copies.extend(copy);
        if let Some(cache) = cache {
            fill_cache(&cache, copies, &needed_names(&references, &layers, &state), job);
        }
        report_files(own.into_iter().map(FileMade::of).chain([state]), store, job);
        Ok(())
    }
}

impl Commit<'_> {
    /// The end of a dry run, which stores nothing: reports the files that the snapshot would have, with their sizes.
    pub fn forecast(self, store: &mut dyn Store, job: &mut Job) -> Result<()> {
        let Commit { header, parents, mut archives, state, parent, .. } = self;
        let (references, finished) = archives.finish(store, parents)?;
        let made = Made { totals: &totals(job), problems: &problems(None, job), finished_at: Time::now() };
        let WrittenState { file: Written { size, .. }, .. } =
            state.finish(store, header, parent, &archives, &references, &made)?;
        let name = archives.name(BackupFileKind::State);
        let own = finished.iter().flat_map(|archive| archive.reference.files());
        let state = FileMade { name, kind: BackupFileKind::State, size };
        for FileMade { name, kind, size } in own.map(FileMade::of).chain([state]) {
            job.report.count(Counter::BytesWritten, size);
            job.report.files.push(BackupFile { name, kind: kind.word(), path: None, size });
        }
        job.log(Level::Info, &format!("dry run: no snapshot of '{}' was made", header.key));
        Ok(())
    }
}

/// The parts of the parent's archives that the store had lost when the operation began. The new snapshot needs nothing
/// that lies there, but may need other parts of the same archives.
fn lost_parts(parents: &[ArchiveRef], catalog: &Catalog) -> HashSet<String> {
    let parts = parents.iter().flat_map(|archive| &archive.parts);
    let lost = parts.filter(|part| catalog.size_of(&part.name) != Some(part.size));
    lost.map(|part| part.name.clone()).collect()
}

/// The files of the store that a new snapshot needs.
struct Needs<'n> {
    archives: &'n [ArchiveRef],
    /// See [`lost_parts`].
    lost: &'n HashSet<String>,
    layers: &'n [LayerRef],
    /// The name of the partial state that a full is based on. A prune deletes it before it deletes any archive that it
    /// names.
    partial: Option<&'n str>,
}

impl Needs<'_> {
    /// Checks that the store still has every archive and every layer, and returns the files of the layers. Otherwise
    /// the error is `Busy`: another process prunes this key at the same time.
    fn find(&self, now: &Catalog) -> Result<Vec<StateFile>> {
        let gone = |what| busy(what, "vanished meanwhile");
        if self.partial.is_some_and(|name| now.size_of(name).is_none()) {
            return Err(busy("the partial state that it is based on", "was removed meanwhile"));
        }
        let files = self.archives.iter().flat_map(ArchiveRef::files);
        let is_gone = |file: &ArchiveFile| now.size_of(&file.name) != Some(file.size);
        if let Some(file) = files.filter(|file| !self.lost.contains(&file.name)).find(is_gone) {
            return Err(gone("an archive that it needs").at(&file.name));
        }
        let file = |layer: &LayerRef| now.state_file(layer.snapshot, layer.size);
        let files: Option<Vec<_>> = self.layers.iter().map(file).collect();
        files.ok_or_else(|| gone("the state of an older snapshot, which it needs,"))
    }

    /// Checks again after the state got its name, because another process may have pruned between [`Needs::find`] and
    /// that moment. A prune that lists the store from now on sees the new state. A prune that did not see it removes
    /// or marks the parent before it deletes anything of the parent that the new state may need. So the new snapshot
    /// is safe in three cases:
    /// - the parent is still a snapshot;
    /// - the mark of the parent says that the prune knew the new snapshot;
    /// - the prune has ended, because it removes its marks last, and the store still has all that is needed.
    ///
    /// A prune deletes the parts of a running backup only if it knows a snapshot that is later than the backup. Such a
    /// snapshot appeared after `before`, the catalog at the start of the operation. Until the prune has deleted the
    /// parts, it leaves the snapshot there, or its mark: see [`check_alone`].
    ///
    /// A full that is based on a partial state is safe if the partial state is still there: a prune deletes it first,
    /// and then looks for new snapshots before it deletes archives.
    ///
    /// Otherwise the new snapshot is removed again, with the files of this run in `own`: its state, and its archives.
    /// The error is `Busy`. The removal does not exclude readers. But it happens only if a prune ran without a lock,
    /// and then no reader is safe anyway.
    fn find_again(
        &self,
        store: &mut dyn Store,
        header: &Header,
        before: &Catalog,
        own: (&str, &[String]),
    ) -> Result<Vec<StateFile>> {
        let now = Catalog::read(store, &header.key)?;
        // A consolidated full may need archives of the snapshot that it copies.
        let has_older = self.archives.iter().any(|archive| !own.1.contains(&archive.name));
        let is_based = header.kind == SnapshotKind::Incremental || has_older;
        let parent = header.parent.as_ref().filter(|_| is_based).map(|parent| parent.snapshot);
        let found = match parent.is_none_or(|parent| is_left_to(header.snapshot, parent, &now, store)) {
            true => check_alone(before, &now, header.snapshot).and_then(|()| self.find(&now)),
            false => Err(busy("the snapshot that it is based on", "was removed meanwhile")),
        };
        let Err(mut error) = found else { return found };
        let wrapped = now.wrapped_states().map(|(_, stamp)| stamp);
        if now.states().map(|other| other.stamp).chain(wrapped).any(|stamp| stamp > header.snapshot) {
            // The later snapshot may need this state.
            error.detail.push_str("; a later snapshot exists, so this one was left there: verify it");
            return Err(error);
        }
        if now.states().all(|other| other.stamp == header.snapshot) {
            error.detail.push_str("; no other snapshot exists, so this one was left there: verify it");
            return Err(error);
        }
        let (state, archives) = own;
        let removed = store
            .delete(state)
            .and_then(|()| store.sync())
            .and_then(|()| archives.iter().try_for_each(|archive| store.delete(archive)));
        if let Err(failed) = removed {
            error.detail = format!("{}; its files could not be removed: {failed}", error.detail);
        }
        Err(error)
    }
}

/// True if the store still lists a snapshot and everything that it needs, as far as `before`, the catalog at the start
/// of the operation, has it. Where no lock keeps prunes out, the snapshot may be gone by now.
pub fn still_exists(store: &mut dyn Store, snapshot: &StateReader, before: &Catalog) -> Result<bool> {
    let (header, trailer) = (snapshot.header(), snapshot.trailer());
    let now = Catalog::read(store, &header.key)?;
    let lost = lost_parts(&trailer.archives, before);
    let needs = Needs { archives: &trailer.archives, lost: &lost, layers: &header.layers, partial: None };
    let is_listed = now.states().any(|state| state.stamp == header.snapshot);
    Ok(is_listed && needs.find(&now).is_ok())
}

/// True if, from now on, no prune deletes a file that the snapshot `new` needs. `parent` is the parent of `new`.
fn is_left_to(new: Stamp, parent: Stamp, now: &Catalog, store: &mut dyn Store) -> bool {
    if !now.is_retired(parent) {
        return true;
    }
    let mark = Name::new(now.key(), BackupFileKind::Retired, parent, false);
    newest_known(&mark, store) == Some(new)
}

/// `Busy` if `now` has another snapshot than `own`, or the mark of one, that `before`, the catalog at the start of the
/// operation, does not have: another process writes this key at the same time, and perhaps a third one prunes it.
///
/// A file that only a newer version can read is no other snapshot if it has the stamp of a known state, or of the state
/// that this operation has written: it is a copy, although that state may not be readable at this moment.
fn check_alone(before: &Catalog, now: &Catalog, own: Stamp) -> Result<()> {
    let is_copy = |stamp: Stamp| before.has_plain_state(stamp) || stamp == own && now.has_plain_state(stamp);
    let is_known = |file: &str| before.wrapped_states().any(|(known, _)| known == file);
    let is_new = |(file, stamp): (&str, Stamp)| !is_copy(stamp) && !is_known(file);
    match now.new_stamps(before).any(|stamp| stamp != own) || now.wrapped_states().any(is_new) {
        true => Err(busy("another snapshot of this key", "appeared meanwhile")),
        false => Ok(()),
    }
}

fn busy(what: &str, happened: &str) -> Error {
    Error::new(Kind::Busy, "commit the snapshot", format!("{what} {happened}"))
}

/// The names of all files that a restore of the new snapshot needs.
fn needed_names<'f>(
    archives: &'f [ArchiveRef],
    layers: &'f [StateFile],
    state: &'f FileMade,
) -> HashSet<&'f str> {
    let archives = archives.iter().map(|archive| &*archive.name);
    archives.chain(layers.iter().map(|file| &*file.name)).chain([&*state.name]).collect()
}

/// Publishes the cache's copies and removes old ones. A lost cache costs a rebuild, never data, so an error
/// here does not fail the backup.
fn fill_cache(cache: &Cache, copies: Vec<Copy>, needed: &HashSet<&str>, job: &mut Job) {
    // If one copy fails, the next copies are published all the same.
    let lost = copies.into_iter().map(Copy::publish).filter(Result::is_err).count();
    if lost > 0 {
        job.log(Level::Warn, "the cache could not be written; the next increment reads the store instead");
    }
    cache.keep_only(&|name| needed.contains(name));
    cache::sweep(job.options.cache_dir.as_deref());
}

struct FileMade {
    name: String,
    kind: BackupFileKind,
    size: u64,
}

impl FileMade {
    fn of(file: ArchiveFile) -> Self {
        FileMade { name: file.name, kind: file.kind, size: file.size }
    }

    fn into_backup_file(self, store: &dyn Store) -> BackupFile {
        backup_file(store, self.name, self.kind, self.size)
    }
}

/// Adds the files of the new snapshot to the report.
fn report_files(files: impl Iterator<Item = FileMade>, store: &dyn Store, job: &mut Job) {
    for file in files {
        job.report.count(Counter::BytesWritten, file.size);
        job.report.files.push(file.into_backup_file(store));
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

/// Whether a problem of a snapshot says that its store has lost the content of an entry.
pub fn is_loss(problem: &StateProblem) -> bool {
    problem.status == ProblemKind::Lost.name()
}

/// Archives of this run that have their final names while no state names them yet. Dropping this value, for example in
/// a panic, removes them from the store.
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
        for FinishedArchive { sink, .. } in finished {
            let (parts, copy) = sink.into_drafts();
            for mut draft in parts {
                job.pulse()?;
                draft.seal()?;
                drafts.push(draft);
            }
            copies.extend(copy);
        }
        self.give_names(drafts)?;
        Ok(copies)
    }

    /// Gives each sealed draft its final name, then makes the names durable.
    fn give_names(&mut self, drafts: Vec<Box<dyn Draft>>) -> Result<()> {
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
        match self.names.is_empty() {
            true => Ok(()),
            false => self.store.sync(),
        }
    }

    /// Removes the archives, and notes each that cannot be removed.
    fn remove(&mut self, job: &mut Job) -> Result<()> {
        let names = std::mem::take(&mut self.names);
        names.into_iter().try_for_each(|name| match self.store.delete(&name) {
            Err(error) => report_left(&name, error, job),
            Ok(()) => Ok(()),
        })
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
