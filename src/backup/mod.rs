//! Makes a snapshot: walks the source, compares it with the parent, stores the changes, commits.
//!
//! A full backup and an increment run the same code: a full is an increment whose parent is the empty state. If an
//! earlier full did not end, its partial state takes the place of the parent ([`partial_basis`]): the full takes over
//! unchanged entries from it, and treats every other path as new.
//!
//! ```text
//! heal     with the option: parent state --> its lost contents and signatures    (heal)
//! pass 1   walk (sorted) --> tasks --+
//!                                    +--> merge --> deleted, links, totals      (scan)
//!          parent state -------------+
//! pass 2   tasks ----+
//!                    +--> merge --> small files read by workers, in batches     (file_prefetcher, small)
//!          parent ---+                |
//!                                     +--> new entry of each path, in order     (run)
//!                                     |
//!                                     +--> archives: whole files, deltas, signatures  (content)
//!                                     |       long contents in chunks, by workers  (chunk_pipeline, tree_hash)
//!                                     |       deltas against the old contents in the store  (old_bytes, finer)
//!                                     |       nothing, if the content is stored already  (stored_contents)
//!                                     +--> state ------- commit, last                 (crate::commit)
//! ```
//!
//! The walk begins while the parent state is read. If no path changed, pass 2 is left out.

mod choice;
mod chunk_pipeline;
mod content;
mod file_prefetcher;
mod finer;
mod heal;
mod heal_report;
mod links;
mod new_entry;
mod old_bytes;
mod open_dirs;
mod origin;
mod parent;
mod partial_basis;
mod pointed_contents;
mod reading;
mod run;
mod scan;
mod small;
mod spooled_entries;
mod stored_contents;
mod tasks;
mod tree_hash;
mod vaults;

use std::sync::Arc;

use crate::commit::{self, Checkpoints, Commit, NewArchives, NewState};
use crate::contents::Contents;
use crate::error::{Error, Kind, Result};
use crate::format::{ArchiveRef, Header, ParentRef, SnapshotKind, StateChanges, StateReader};
use crate::job::{Detect, Job, Level, Phase, Select};
use crate::platform::{self, Dir, FileSystem};
use crate::pool::Pool;
use crate::stamp::Time;
use crate::state::Guard;
use crate::store::{
    self, Cache, Catalog, DryRunStore, LockMode, Need, Newest, OwnPlaces, Store, all_damaged, lock,
};
use crate::walk::{Source, Walk};

use origin::BackupSource;
use parent::Parent;
use partial_basis::{PartialBasis, find_partial_basis};
use run::Run;

/// Number of decoded frames of old contents that stay in memory.
const OLD_FRAMES: usize = 4;

/// Makes a full backup of `source`. Errors: `Io` if the source cannot be read, `Mismatch` if the key belongs
/// to another source, `Busy` if the key is locked, `Unsupported` if the store cannot be written, and the
/// errors of the store.
pub fn full(store: &mut dyn Store, source: &std::path::Path, job: &mut Job) -> Result<()> {
    backup(store, source, job, SnapshotKind::Full)
}

/// Makes an increment. Like [`full`], and also `NotFound` if the key has no snapshot to build on, or
/// `Corrupt` or `Missing` if the states of all its snapshots are damaged.
pub fn incremental(store: &mut dyn Store, source: &std::path::Path, job: &mut Job) -> Result<()> {
    backup(store, source, job, SnapshotKind::Incremental)
}

fn backup(store: &mut dyn Store, source: &std::path::Path, job: &mut Job, kind: SnapshotKind) -> Result<()> {
    match job.options.dry_run {
        true => begin(&mut DryRunStore::new(store), source, job, kind),
        false => begin(store, source, job, kind),
    }
}

fn begin(store: &mut dyn Store, source: &std::path::Path, job: &mut Job, kind: SnapshotKind) -> Result<()> {
    refuse_selectors(job)?;
    store.require(Need::Write, "make a backup")?;
    let mut origin = BackupSource::open(source, job)?;
    job.report.date = Time::now();
    job.report.key = Some(origin.key.clone());
    if kind == SnapshotKind::Incremental {
        store.check_exists().map_err(|error| Error {
            detail: format!("{}; the first backup of a store is a full one", error.detail),
            ..error
        })?;
        if let Some(catalog) = Catalog::before_lock(store, &origin.key)?
            && catalog.states().next().is_none()
        {
            catalog.check_newest(None)?;
            return Err(nothing_to_build_on(Newest::None, &catalog, &origin));
        }
    }
    let mode = if job.options.dry_run { LockMode::Forecast } else { LockMode::Write };
    let lock = lock(store, &origin.key, mode, job)?;
    store::sweep_drafts(store, &origin.key, &lock, job)?;
    let mut catalog = Catalog::read(store, &origin.key)?;
    let pool = Pool::start(job.options.threads)?;
    let own = OwnPlaces::find(store, job.options)?;
    refuse_own(&origin, &own)?;
    // The walk goes ahead while this thread reads the newest state. Everything that it sees is seen after `now`.
    let now = Time::now();
    let mut walk = scan::source_walk(&origin.root, &own, &pool, job)?;
    let (previous, lost) = match store::newest(store, &catalog, &pool, job, &mut || walk.go_ahead())? {
        Newest::Snapshot(previous, lost) => (Some(previous), lost),
        newest if kind == SnapshotKind::Incremental => {
            return Err(nothing_to_build_on(newest, &catalog, &origin));
        }
        Newest::None | Newest::AllDamaged(_) => (None, Vec::new()),
    };
    if let Some(previous) = &previous {
        origin.check(previous.header(), job)?;
    }
    if !lost.is_empty() {
        lost.into_iter().try_for_each(|layer| layer.put_back(store, job))?;
        catalog = Catalog::read(store, &origin.key)?;
    }
    let newest = previous.as_ref().map(|previous| previous.header().clone());
    let partial = match kind {
        SnapshotKind::Full => find_partial_basis(store, &catalog, newest.as_deref(), &origin, &pool, job)?,
        SnapshotKind::Incremental => None,
    };
    let snapshot = NewSnapshot::begin(store, origin, catalog, (previous, partial), (kind, now), job)?;
    let made = snapshot.make(store, (walk, own), pool, job);
    store::report_left_behind(store, job).and(made)
}

fn refuse_selectors(job: &Job) -> Result<()> {
    let op = "make a backup";
    if job.options.select != Select::Newest {
        return Err(Error::new(Kind::InvalidArg, op, "a snapshot was selected, which only readers use"));
    }
    if job.options.expected_digest.is_some() {
        return Err(Error::new(Kind::InvalidArg, op, "an expected digest was given, which only readers use"));
    }
    Ok(())
}

/// The error of an increment without a parent, whose key has the newest snapshot `newest`.
fn nothing_to_build_on(newest: Newest, catalog: &Catalog, origin: &BackupSource) -> Error {
    let op = "make an increment of";
    let no_snapshot = |detail| Error::new(Kind::NotFound, op, detail).at(&origin.path);
    let error = match newest {
        Newest::AllDamaged(damage) => all_damaged(damage, op, &origin.key),
        _ if catalog.has_ancestor() => {
            return no_snapshot(format!("of key '{}' {}", origin.key, catalog.why_empty()));
        }
        _ => no_snapshot(format!("key '{}' has no snapshot", origin.key)),
    };
    Error { detail: format!("{}: make a full backup first", error.detail), ..error }.at(&origin.path)
}

/// A snapshot that is being made.
struct NewSnapshot {
    origin: BackupSource,
    catalog: Catalog,
    header: Header,
    /// The parent state. For a full: the partial state that it goes on from, if there is one.
    basis: Option<StateReader>,
    /// The name of that partial state.
    partial: Option<String>,
    guard: Guard,
    /// The newest snapshot has entries besides its root.
    previous_had_entries: bool,
}

impl NewSnapshot {
    fn begin(
        store: &mut dyn Store,
        origin: BackupSource,
        catalog: Catalog,
        (previous, partial): (Option<StateReader>, Option<PartialBasis>),
        (kind, now): (SnapshotKind, Time),
        job: &mut Job,
    ) -> Result<Self> {
        let before = previous.as_ref().map(|reader| (reader.header(), reader.trailer()));
        let newest = before.map(|(header, _)| header.snapshot);
        let stamp = match job.options.made_at {
            None => commit::next_stamp(store, &catalog, newest, now, job)?,
            Some(time) => commit::stamp_of_copy(&catalog, time)?,
        };
        // The state whose entries are compared with the source.
        let of_partial = partial.as_ref().map(|partial| (partial.state.header(), partial.state.trailer()));
        let compared = of_partial.or(before);
        let guard = Guard {
            scanned_at: compared.map_or(now, |(header, _)| header.scanned_at),
            newest_ctime: Time { secs: i64::MAX, nanos: 0 },
            local_dev: local_device(&origin.root),
            distrust: job.options.detect == Detect::Content
                || compared.is_some_and(|(_, trailer)| now < trailer.finished_at),
            ignore_inodes: compared.is_some_and(|(header, _)| header.inodes_unstable),
        };
        let is_increment = kind == SnapshotKind::Incremental;
        let header = Header {
            key: origin.key.clone(),
            series: match compared {
                Some((header, _)) => header.series.clone(),
                None => platform::random_digits().map_err(|e| Error::own("get random bytes", &e))?,
            },
            host: origin.host.clone(),
            snapshot: stamp,
            kind,
            seq: before.map_or(1, |(header, _)| header.seq.saturating_add(1)),
            source: origin.name.clone(),
            library: concat!("ibt ", env!("CARGO_PKG_VERSION")).to_string(),
            scanned_at: now,
            made_at: job.options.made_at.unwrap_or(now),
            parent: before
                .filter(|_| is_increment)
                .map(|(header, trailer)| ParentRef { snapshot: header.snapshot, tree: trailer.tree }),
            inodes_unstable: false,
            labels: job.options.labels.clone(),
            layers: Vec::new(),
            needs: Vec::new(),
            unknown: Vec::new(),
        };
        let previous_had_entries = before.is_some_and(|(_, trailer)| trailer.totals.entries > 1);
        let (basis, partial) = match partial {
            Some(PartialBasis { name, state }) => (Some(state), Some(name)),
            None => (previous.filter(|_| is_increment), None),
        };
        Ok(NewSnapshot { origin, catalog, header, basis, partial, guard, previous_had_entries })
    }

    fn make(
        mut self,
        store: &mut dyn Store,
        walk: (Walk, OwnPlaces),
        pool: Arc<Pool>,
        job: &mut Job,
    ) -> Result<()> {
        let trouble = |error: std::io::Error| Error::io("open the source", &self.origin.path, &error);
        let source = Source::new(self.origin.root.try_clone().map_err(trouble)?);
        let dry_run = job.options.dry_run;
        let cache = || {
            let cache = Cache::of_series(job.options.cache_dir.as_deref(), &self.header.series)?;
            Some(if dry_run { cache.only_read() } else { cache })
        };
        let full = self.header.kind == SnapshotKind::Full;
        let heals = job.options.heal && !full;
        let reads_cheaply = store.reads_cheaply()?;
        let (key, stamp) = (&self.header.key, self.header.snapshot);
        let mut archives =
            NewArchives::new(key, stamp, job.options, pool.clone(), (full, reads_cheaply), cache());
        let mut parent = match &self.basis {
            Some(basis) => {
                self.guard.newest_ctime = basis.newest_ctime();
                let reads = !full && job.options.delta.reads_contents(reads_cheaply);
                let trailer = basis.trailer().clone();
                let contents = reads.then(|| old_contents(&trailer.archives, &pool, job));
                Some(Parent::new(
                    trailer,
                    &self.catalog,
                    cache(),
                    contents,
                    (reads_cheaply, heals),
                    archives.signing,
                    job,
                )?)
            }
            None => None,
        };
        if let (true, Some(basis), Some(parent)) = (heals, &mut self.basis, &mut parent) {
            heal::find_losses(store, basis, parent, &pool, job)?;
        }
        let basis = self.basis.as_mut().zip(parent.as_ref());
        let mut scan = scan::scan(self.origin.root, walk, basis, (&self.guard, full), job)?;
        if let Some(code) = scan.root_trouble.filter(|_| scan.empty) {
            // No entry of the source was seen. An empty snapshot would look like a deletion of all files.
            let error = std::io::Error::from_raw_os_error(code);
            return Err(Error::io("list the source", &self.origin.path, &error));
        }
        if scan.empty && self.previous_had_entries && !job.options.allow_empty {
            let detail =
                "it is empty, and its last snapshot was not: is it mounted? (or allow an empty source)";
            return Err(Error::new(Kind::Mismatch, "back up", detail).at(&self.origin.path));
        }
        if let Some(parent) = &parent {
            parent.report_lost_parts(&scan.needed_parts, job)?;
        }
        self.header.inodes_unstable = scan.inodes_unstable;
        let basis = self.basis.as_ref().map(StateReader::trailer);
        let checkpoints = match full {
            true => Checkpoints::new(&self.header, scan.bytes, basis.map(|basis| &**basis), store, job),
            false => None,
        };
        if checkpoints.is_some() {
            archives = archives.divisible();
        }
        let cache = cache();
        let mut state = match full {
            true => NewState::whole(store, &archives, &self.header)?,
            false => NewState::Changes(Box::new(StateChanges::new())),
        };
        if checkpoints.is_some() {
            state.keep_lines();
        }
        let mut run = Run::new(job, store, pool, source, parent, archives, state, self.guard, &mut scan);
        run.checkpoints = checkpoints;
        run.go(self.basis.as_mut(), scan)?;
        let Run { parent, archives, state, checkpoints, .. } = run;
        if job.options.skip_unchanged
            && let Some(same) = unchanged_parent(&self.header, self.basis.as_ref(), &state, job)
            && commit::still_exists(store, same, &self.catalog)?
        {
            let (stamp, key) = (same.header().snapshot, &self.header.key);
            job.report.snapshot = Some(stamp);
            job.report.digest = Some(same.trailer().tree);
            job.log(
                Level::Info,
                &format!("nothing changed in '{key}' since snapshot {stamp}: no new snapshot"),
            );
            return Ok(());
        }
        job.phase(Phase::Commit, 0, 0)?;
        let parents = parent.as_ref().map_or(&[][..], Parent::archives);
        let commit = Commit {
            header: &self.header,
            catalog: &self.catalog,
            parents,
            archives,
            state,
            parent: self.basis.as_mut(),
            cache,
            copy_of: None,
            partial: self.partial.as_deref(),
        };
        if dry_run {
            return commit.forecast(store, job);
        }
        commit.commit(store, job)?;
        if full {
            // The new snapshot names everything that it took over, and the next full goes on from no older one.
            let mut left: Vec<_> =
                self.catalog.partial_states().iter().map(|file| file.name.to_string()).collect();
            left.extend(checkpoints.map_or(Vec::new(), Checkpoints::into_published));
            commit::remove_partial_states(store, left, job)?;
        }
        job.log(Level::Info, &format!("made snapshot {} of '{}'", self.header.snapshot, self.header.key));
        Ok(())
    }
}

/// Returns the parent if the new snapshot would equal it: no line of the state changed, the omissions are the same,
/// the header describes the same source, and the run met no damage, loss or other problem. Notes do not count.
fn unchanged_parent<'b>(
    new: &Header,
    parent: Option<&'b StateReader>,
    state: &NewState,
    job: &Job,
) -> Option<&'b StateReader> {
    let old = parent?.header();
    let is_same = (&new.source, &new.host, &new.labels) == (&old.source, &old.host, &old.labels)
        && new.inodes_unstable == old.inodes_unstable;
    // A file in the report is a layer that was lost and put back.
    let is_sound = !job.report.is_partial() && job.report.files.is_empty();
    parent.filter(|parent| is_same && is_sound && state.is_unchanged(parent.trailer()))
}

/// The reader of the parent's contents, for deltas that are made byte by byte.
fn old_contents(archives: &[ArchiveRef], pool: &Arc<Pool>, job: &Job) -> Contents {
    Contents::new(archives).with_frames(OLD_FRAMES).with_pool(pool.clone()).with_cancel(job.cancel())
}

/// Refuses to back up the store itself, or another place of the backup, such as the cache.
fn refuse_own(origin: &BackupSource, own: &OwnPlaces) -> Result<()> {
    let root = origin.root.stat_self().map_err(|e| Error::io("look at the source", &origin.path, &e))?;
    match own.what(root.id()) {
        Some(what) => Err(Error::new(Kind::InvalidArg, "back up", what).at(&origin.path)),
        None => Ok(()),
    }
}

/// The device of the root, if this machine's clock sets the times of the files on that device.
fn local_device(root: &Dir) -> Option<u64> {
    let stat = root.stat_self().ok().filter(|_| FileSystem::of(root).is_local);
    stat.map(|stat| stat.dev)
}
