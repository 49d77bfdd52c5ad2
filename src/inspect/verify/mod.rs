//! Reads all stored bytes that snapshots need, and compares them with their hashes.
//!
//! ```text
//! states --> each verified; totals
//! of each snapshot:  archives --> stored bytes against their digests
//!                    entries  --> contents, composed as for a restore, against their hashes
//!                             --> signatures against their hashes
//!                    faults of archives in which no lost entry was found
//! ```
//!
//! A verify of the presence reads the states, and looks up the archives in the list of the store. A verify of a part
//! does the same, and then reads the contents and signatures of the part.

mod known;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::contents::{ContentCheck, checkable, lost};
use crate::entry::{Entry, File, Node, Place, Range, SigRef, UnknownNode};
use crate::error::{Error, Kind, Result};
use crate::format::names::{BackupFileKind, Name, check_key};
use crate::format::{ArchiveRef, StateReader, StateSummary, Trailer};
use crate::job::{Counter, Job, Phase, Problem, ProblemKind, Select, VerifyScope};
use crate::pool::Pool;
use crate::stamp::{Stamp, Time};
use crate::store::{
    Catalog, ComingReads, KeyListing, KeyStates, LockMode, Need, ReadingAhead, StateFile, StatelessArchives,
    Store, StoredFile, Summaries, check_expected, lock, require_existing,
};

use crate::store::report::{
    Listed, NotRegular, Unread, describe, lost_state, report_copies, report_lost_state, report_wrapped,
};
use known::{FileCheck, KnownBytes};

const OP: &str = "verify";
/// Length in bytes of a slice of an archive's stream: neighbouring slices belong to different parts of a verify. A
/// slice is several frames long, so that few frames lie in two parts.
const SLICE: u64 = 16 << 20;

/// The remedy for a loss of the newest snapshot.
const HEALS: &str =
    "the next increment with the option heal (ibt incr --heal) stores it again if the source still has it";
/// The remedy for a loss of an older snapshot.
const ONLY_A_COPY: &str = "only another copy of this file brings it back";

/// Verifies all snapshots of `key`, or of every key. With a selector or an expected digest, verifies only the
/// selected snapshot. Each loss is a problem, and the verify goes on.
///
/// Memory: the trailers of the state files of one snapshot, a name for each archive of the key, and a fingerprint for
/// each distinct content, up to a limit.
///
/// Errors: `InvalidArg` (a selector or an expected digest without a key), `NotFound` (a key without snapshots,
/// a selector that selects none), `Corrupt` or `Format` (the selected state), `Mismatch` (not the expected
/// digest), `Unsupported` (a store that cannot be read), `Io` (a stored file that cannot be read now, after
/// everything else was read).
pub fn verify(store: &mut dyn Store, key: Option<&str>, job: &mut Job) -> Result<()> {
    job.report.date = Time::now();
    let selects = job.options.select != Select::Newest || job.options.expected_digest.is_some();
    if selects && key.is_none() {
        return Err(Error::new(Kind::InvalidArg, OP, "a selector or an expected digest needs a key"));
    }
    let key = key.map(|key| check_key(key.as_bytes())).transpose()?;
    require_existing(store, Need::Read, OP)?;
    job.report.key = key.clone();
    let mut unread = Unread::default();
    let not_regular = match selects {
        true => Vec::new(),
        false => NotRegular::states(store, key.as_deref())?,
    };
    not_regular.iter().try_for_each(|state| state.report(job))?;
    if let Some(key) = key {
        let _lock = lock(store, &key, LockMode::Read, job)?;
        let catalog = Catalog::read(store, &key)?;
        if catalog.check_any().is_err() {
            StatelessArchives::of(&catalog).report(store, job)?;
        }
        verify_key(store, &catalog, Listed::Locked, &mut unread, job)?;
        return unread.end();
    }
    for catalog in Catalog::all(store)?.values() {
        if catalog.check_any().is_err() {
            StatelessArchives::of(catalog).report(store, job)?;
            continue;
        }
        let _lock = lock(store, catalog.key(), LockMode::Read, job)?;
        verify_key(store, catalog, Listed::Before, &mut unread, job)?;
    }
    unread.end()
}

fn verify_key(
    store: &mut dyn Store,
    catalog: &Catalog,
    listed: Listed,
    unread: &mut Unread,
    job: &mut Job,
) -> Result<()> {
    let selects = job.options.select != Select::Newest || job.options.expected_digest.is_some();
    let states = match selects {
        true => vec![catalog.select(store, job.options.select)?.clone()],
        false => {
            catalog.check_any()?;
            report_wrapped(catalog.wrapped_snapshots(), job)?;
            report_copies(catalog.copied_states(), job)?;
            state_files(catalog)
        }
    };
    let mut ahead = ReadingAhead::start(store, job.cancel());
    let store = ahead.store();
    let (states, entries, bytes) = scan(store, catalog, states, (selects, listed), unread, job)?;
    job.phase(Phase::Verify, entries, bytes)?;
    let pool = Pool::start(job.options.threads)?;
    let mut known = KnownBytes::default();
    let newest = catalog.states().next_back().map(|state| state.stamp);
    for state in &states {
        let is_newest = newest == Some(state.stamp);
        let check = SnapshotCheck::new((state.stamp, is_newest), &mut known, &pool, unread, job);
        check.state(store, catalog, state, selects)?;
    }
    job.phase_done()
}

/// The state files of all snapshots, oldest first. If two have the same stamp, both are listed.
fn state_files(catalog: &Catalog) -> Vec<StateFile> {
    let states = catalog.files().into_iter().filter(|(name, _)| name.kind == BackupFileKind::State);
    let states = states.filter(|(name, _)| !catalog.is_retired(name.stamp));
    states.map(|(name, size)| StateFile::of(&name, size)).collect()
}

/// Verifies the states on their own. Returns the undamaged states, and the number of entries and bytes to read
/// for them: each archive once, and the content of each file. A part reads no whole archive, and a verify of the
/// presence reads neither.
fn scan(
    store: &mut dyn Store,
    catalog: &Catalog,
    states: Vec<StateFile>,
    (selects, listed): (bool, Listed),
    unread: &mut Unread,
    job: &mut Job,
) -> Result<(Vec<StateFile>, u64, u64)> {
    job.phase(Phase::Scan, states.len() as u64, 0)?;
    let (mut summaries, mut listing) = (Summaries::default(), KeyListing::new(catalog));
    let mut files_to_read: HashMap<String, u64> = HashMap::new();
    let add = u64::saturating_add;
    let mut stateless = StatelessArchives::of(catalog);
    let mut coming = ComingReads::of(states.iter().map(|state| (state.name.clone(), 0..state.size)));
    let (mut right, mut entries, mut bytes) = (Vec::with_capacity(states.len()), 0u64, 0u64);
    for file in states {
        job.step(file.name.as_bytes())?;
        coming.begin(store, &file.name, 0);
        let mut stored = StoredFile { store, name: &file.name };
        let verified = StateSummary::verify(&mut stored, &file.name, file.size, file.compressed);
        let snapshot = verified.and_then(|summary| {
            summaries.add(&file, summary);
            summaries.snapshot(store, &mut listing, &file)
        });
        let state = match snapshot {
            Ok(state) => state,
            Err(error) if error.kind == Kind::NotFound && listed == Listed::Before => continue,
            Err(error) if !selects && unread.goes_on(&error) => {
                stateless.add_unread(file.stamp);
                report_lost_state(store, catalog.key(), &file, error, job)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        stateless.add(&state);
        if selects {
            check_expected(&state.trailer.tree, &file.name, job)?;
            job.report.snapshot = Some(file.stamp);
            job.report.digest = Some(state.trailer.tree);
        }
        entries = add(entries, state.trailer.totals.entries);
        bytes = add(bytes, state.trailer.totals.bytes);
        let files = state.trailer.archives.iter().flat_map(ArchiveRef::files);
        files_to_read.extend(files.map(|file| (file.name, file.size)));
        right.push(file);
    }
    if !selects {
        stateless.report(store, job)?;
    }
    job.phase_done()?;
    Ok(match job.options.verify {
        VerifyScope::Contents => (right, entries, files_to_read.into_values().fold(bytes, add)),
        VerifyScope::Part { .. } => (right, entries, bytes),
        VerifyScope::Presence => (right, 0, 0),
    })
}

/// The check of one snapshot.
struct SnapshotCheck<'a, 'j> {
    stamp: Stamp,
    /// The snapshot is the newest of its key: the next increment builds on it.
    is_newest: bool,
    known: &'a mut KnownBytes,
    pool: &'a Arc<Pool>,
    unread: &'a mut Unread,
    job: &'a mut Job<'j>,
    losses: u64,
    /// Some of the stored bytes could not be checked, because a newer version made them.
    has_unsupported: bool,
    /// Archives in which a loss of this snapshot was found.
    blamed: HashSet<String>,
}

/// The sources of the entries of one state.
struct EntrySources {
    trailer: Arc<Trailer>,
    check: ContentCheck,
    /// For each file of the archives, by its number: the check of its stored bytes, and whether an entry needs a part
    /// of it.
    files: Vec<(FileCheck, bool)>,
    /// All entries were read, so that `files` says exactly which files they need.
    knows_needs: bool,
}

impl EntrySources {
    /// Notes the files that an entry needs.
    fn note_need(&mut self, place: &Place) {
        let EntrySources { check, files, .. } = self;
        for file in check.readers().0.archives().files_in(place.ranges()) {
            if let Some((_, is_needed)) = files.get_mut(file as usize) {
                *is_needed = true;
            }
        }
    }
}

impl<'a, 'j> SnapshotCheck<'a, 'j> {
    fn new(
        (stamp, is_newest): (Stamp, bool),
        known: &'a mut KnownBytes,
        pool: &'a Arc<Pool>,
        unread: &'a mut Unread,
        job: &'a mut Job<'j>,
    ) -> Self {
        SnapshotCheck {
            stamp,
            is_newest,
            known,
            pool,
            unread,
            job,
            losses: 0,
            has_unsupported: false,
            blamed: HashSet::new(),
        }
    }

    /// Verifies the snapshot of a state, and lists the snapshot in the report. A state that cannot be read is a
    /// problem; if the caller `selected` this snapshot, it is an error.
    fn state(
        mut self,
        store: &mut dyn Store,
        catalog: &Catalog,
        file: &StateFile,
        selected: bool,
    ) -> Result<()> {
        let mut state = match KeyStates::new(store, catalog).open(file, self.pool, None) {
            Ok(state) => state,
            Err(error) if !selected && self.unread.goes_on(&error) => return self.lost_state(file, error),
            Err(error) => return Err(error),
        };
        let summary = state.summary().clone();
        // Checked again, because the state's file was read again.
        check_expected(&summary.trailer.tree, &file.name, self.job)?;
        let check = ContentCheck::new(&summary.trailer.archives, self.pool, self.job.cancel());
        let reads_all = self.job.options.verify == VerifyScope::Contents;
        let check = check.reading_all(reads_all);
        let archives = check.readers().0.archives().clone();
        if reads_all {
            self.known.plan(archives.files());
        }
        let files = (0..).zip(archives.files()).map(|(number, file)| {
            let listed = catalog.size_of(&file.name);
            Ok((self.known.file(store, (&archives, number), listed, self.job)?, false))
        });
        let files = files.collect::<Result<Vec<_>>>()?;
        let trailer = summary.trailer.clone();
        let mut sources = EntrySources { trailer, check, files, knows_needs: false };
        if self.job.options.verify != VerifyScope::Presence {
            self.entries(store, &mut state, file, &mut sources)?;
        }
        self.other_faults(&sources)?;
        let mut listed = describe(&summary);
        listed.counters.set(Counter::Problems, self.losses);
        listed.reason = match self.losses {
            0 => String::new(),
            1 => "1 loss".to_string(),
            n => format!("{n} losses"),
        };
        self.job.report.snapshots.push(listed);
        Ok(())
    }

    fn entries(
        &mut self,
        store: &mut dyn Store,
        state: &mut StateReader,
        file: &StateFile,
        sources: &mut EntrySources,
    ) -> Result<()> {
        let mut count = 0;
        for entry in state.entries()? {
            match entry {
                Ok(entry) => self.entry(store, sources, &entry)?,
                Err(error) if self.unread.goes_on(&error) => return self.lost_state(file, error),
                Err(error) => return Err(error),
            }
            count += 1;
        }
        if count == 0 {
            return self.lost_state(file, Error::corrupt(OP, &file.name, "the snapshot has no root"));
        }
        sources.knows_needs = true;
        Ok(())
    }

    fn entry(&mut self, store: &mut dyn Store, sources: &mut EntrySources, entry: &Entry) -> Result<()> {
        self.job.step(entry.path.as_bytes())?;
        self.job.report.count(Counter::Entries, 1);
        self.job.report.count(Counter::Bytes, entry.size());
        sources.note_need(&entry.place);
        let scope = self.job.options.verify;
        if let Node::Unknown(node) = &entry.node {
            return match is_read(scope, &sources.trailer.archives, &entry.place.content) {
                true => self.unknown_content(sources, entry, node),
                false => Ok(()),
            };
        }
        let Some(file) = entry.file() else { return Ok(()) };
        match is_read(scope, &sources.trailer.archives, &entry.place.content) {
            true => self.content(store, sources, entry, file)?,
            false => self.job.advance(file.size)?,
        }
        match &entry.place.sig {
            Some(sig) if is_read(scope, &sources.trailer.archives, &sig.content) => {
                self.signature(store, sources, entry, sig)
            }
            _ => Ok(()),
        }
    }

    fn content(
        &mut self,
        store: &mut dyn Store,
        sources: &mut EntrySources,
        entry: &Entry,
        file: &File,
    ) -> Result<()> {
        let lost_for = sources.check.content(store, (entry, file), &mut self.known.right, self.job)?;
        let Some(error) = lost_for else { return Ok(()) };
        let (problem, error) = lost(OP, sources.check.readers().0, entry, error);
        self.loss(problem, error)
    }

    /// Checks a signature. A wrong signature costs no content: the next change of its file is stored whole.
    fn signature(
        &mut self,
        store: &mut dyn Store,
        sources: &mut EntrySources,
        entry: &Entry,
        sig: &SigRef,
    ) -> Result<()> {
        if let Err(error) = checkable(sig) {
            return self.unsupported(entry, error);
        }
        // An archive that does not open is reported once, not for each signature in it.
        let opens = |file: u32| sources.files.get(file as usize).is_some_and(|(check, _)| check.opens);
        if !sources.check.readers().1.archives().files_in(&sig.content).all(opens) {
            return Ok(());
        }
        let lost_for = sources.check.signature(store, (entry, sig), &mut self.known.right, self.job)?;
        let Some(error) = lost_for else { return Ok(()) };
        let detail = format!("the signature is damaged: {}", error.detail);
        let place = Place { content: sig.content.clone(), ..Place::default() };
        let alone = Entry { place, ..entry.clone() };
        let (problem, error) = lost(OP, sources.check.readers().1, &alone, Error { detail, ..error });
        self.loss(problem, error)
    }

    /// Handles an entry whose content only a newer version can check. It is a loss if an archive that has a part of the
    /// content cannot be read.
    fn unknown_content(&mut self, sources: &EntrySources, entry: &Entry, node: &UnknownNode) -> Result<()> {
        let contents = sources.check.readers().0;
        let mut files = contents.archives().files_in(&entry.place.content);
        let fault = files.find_map(|file| {
            let (check, _) = sources.files.get(file as usize)?;
            check.fault.clone().filter(|_| !check.opens)
        });
        match fault {
            Some(fault) => {
                let (problem, error) = lost(OP, contents, entry, fault);
                self.loss(problem, error)
            }
            None => self.unsupported(entry, Error::new(Kind::Unsupported, OP, node.why())),
        }
    }

    /// Lists a part of an entry that only a newer version can check as a problem. It is no loss.
    fn unsupported(&mut self, entry: &Entry, error: Error) -> Result<()> {
        self.has_unsupported |= !entry.place.content.is_empty() || entry.place.sig.is_some();
        let error = error.at(&entry.path);
        let problem = Problem::new(ProblemKind::Unsupported, entry.path.as_bytes(), &error);
        self.job.problem(Problem { snapshot: Some(self.stamp), ..problem }, error)
    }

    /// Lists files of archives with a fault in which no loss of this snapshot was found: damage in a header or in an
    /// abandoned member, or a lost SigVault. If everything that this snapshot needs was read and is right, then
    /// damage in an archive of an earlier snapshot costs this one nothing, and is only a note. For example, an
    /// increment stored again what a damaged archive has lost. So is the loss of a part that no entry needs.
    fn other_faults(&mut self, sources: &EntrySources) -> Result<()> {
        let archives = sources.check.readers().0.archives().clone();
        let is_unneeded =
            |number: u32, is_needed: bool| sources.knows_needs && !is_needed && archives.is_part(number);
        let all_is_right = self.job.options.verify == VerifyScope::Contents
            && self.losses == 0
            && !self.has_unsupported
            && (0..)
                .zip(&sources.files)
                .all(|(number, (check, is_needed))| check.opens || is_unneeded(number, *is_needed));
        for ((number, file), (check, is_needed)) in (0..).zip(archives.files()).zip(&sources.files) {
            let Some(fault) = check.fault.as_ref().filter(|_| !self.blamed.contains(&file.name)) else {
                continue;
            };
            let is_own = Name::parse(&file.name).is_none_or(|name| name.stamp == self.stamp);
            if check.is_altered && all_is_right || !is_own && is_unneeded(number, *is_needed) {
                self.unneeded(fault, check.is_altered, is_own, &file.name)?;
                continue;
            }
            let mut fault = fault.clone();
            if !is_own && !sources.knows_needs && archives.is_part(number) {
                fault.detail += "; only a verify of contents tells whether this snapshot needs a byte of it";
            }
            let problem = Problem::of_whole(ProblemKind::of_stored(&fault), &fault);
            self.loss(problem.in_file(&file.name), fault)?;
        }
        Ok(())
    }

    /// Lists the fault of a file that costs this snapshot nothing: a note, unless the file is the snapshot's own.
    fn unneeded(&mut self, fault: &Error, is_altered: bool, is_own: bool, file: &str) -> Result<()> {
        let bytes = if is_altered { "the damaged bytes" } else { "its bytes" };
        let detail = format!("{}; this snapshot needs none of {bytes}", fault.detail);
        let error = Error { detail, ..fault.clone() };
        let kind = if is_own { ProblemKind::Damaged } else { ProblemKind::Unneeded };
        self.losses += u64::from(is_own);
        let problem = Problem::of_whole(kind, &error).in_file(file);
        self.job.problem(Problem { snapshot: Some(self.stamp), ..problem }, error)
    }

    fn lost_state(&mut self, file: &StateFile, error: Error) -> Result<()> {
        self.losses += 1;
        self.job.problem(lost_state(&file.name, file.stamp, &error), error)
    }

    /// Lists a loss of this snapshot, with its remedy.
    fn loss(&mut self, problem: Problem, error: Error) -> Result<()> {
        self.losses += 1;
        self.unread.note(&error);
        self.blamed.extend(problem.file.clone());
        let error = self.with_remedy(error);
        let message = error.to_string();
        self.job.problem(Problem { snapshot: Some(self.stamp), message, ..problem }, error)
    }

    /// Adds the remedy for a loss to the error. The error of a lost state already has advice.
    fn with_remedy(&self, error: Error) -> Error {
        if !error.is_loss() || error.kind == Kind::Format {
            return error;
        }
        let remedy = if self.is_newest { HEALS } else { ONLY_A_COPY };
        Error { detail: format!("{}; {remedy}", error.detail), ..error }
    }
}

/// Whether a verify of this scope reads the content or signature at `ranges`. The first range decides to which part
/// the content belongs: each archive is cut into slices, and the slices belong to the parts in turn. The part of the
/// first slice depends on the name of the archive. Otherwise all archives with a single slice would belong to the
/// same part.
fn is_read(scope: VerifyScope, archives: &[ArchiveRef], ranges: &[Range]) -> bool {
    let VerifyScope::Part { number, parts } = scope else { return scope == VerifyScope::Contents };
    let (archive, offset) = ranges.first().map_or((0, 0), |range| (range.archive, range.offset));
    let name = archives.get(archive as usize).map_or("", |archive| &archive.name);
    let begin = name.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    begin.wrapping_add(offset / SLICE) % u64::from(parts) == u64::from(number - 1)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use crate::error::{Error, Kind};
    use crate::format::OUT_OF_MEMORY;
    use crate::job::{Cancel, Job, Options, Silent};
    use crate::store::DirStore;

    fn options(dir: &Path) -> Options {
        Options { cache_dir: Some(dir.join("cache")), threads: 1, ..Options::default() }
    }

    /// A file of the store in `dir`.
    fn stored(dir: &Path, kind: &str) -> PathBuf {
        let names = fs::read_dir(dir.join("store")).unwrap().map(|entry| entry.unwrap().path());
        let is_kind = |path: &PathBuf| path.to_string_lossy().contains(kind);
        names.into_iter().find(is_kind).unwrap()
    }

    #[test]
    fn memory_that_runs_out_ends_the_call_and_is_no_damage() {
        for kind in [".full.", ".state."] {
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path();
            let (options, cancel) = (options(dir), Cancel::default());
            let mut silent = Silent;
            fs::create_dir(dir.join("tree")).unwrap();
            for name in ["a", "b"] {
                fs::write(dir.join("tree").join(name), vec![b'x'; 100_000]).unwrap();
            }
            let mut store = DirStore::open(dir.join("store"));
            crate::backup::full(&mut store, &dir.join("tree"), &mut Job::new(&options, &cancel, &mut silent))
                .unwrap();
            let path = stored(dir, kind);
            let mut bytes = fs::read(&path).unwrap();
            bytes[..OUT_OF_MEMORY.len()].copy_from_slice(OUT_OF_MEMORY);
            fs::write(&path, bytes).unwrap();

            let is_own = |error: Error| {
                assert_eq!((error.kind, error.os_code), (Kind::Io, libc::ENOMEM), "{kind}: {error}");
                assert!(error.is_own, "{kind}: {error}");
            };
            let mut job = Job::new(&options, &cancel, &mut silent);
            is_own(crate::restore::restore(&mut store, "tree", &dir.join("out"), &mut job).unwrap_err());
            assert!(!dir.join("out").exists(), "{kind}");
            let mut job = Job::new(&options, &cancel, &mut silent);
            is_own(super::verify(&mut store, None, &mut job).unwrap_err());
        }
    }
}
