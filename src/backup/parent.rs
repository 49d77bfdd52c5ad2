//! The parent snapshot of an increment, or the partial state that a full goes on from: its entries, its archives that
//! the store still has, and its signatures.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use crate::commit::{MemberSpool, NewArchiveKind, NewArchives, is_loss};
use crate::contents::{Contents, StateArchives};
use crate::delta::SigningRule;
use crate::entry::{Entry, File, Path, Range, SigRef};
use crate::error::{Error, Kind, Result};
use crate::format::{ArchiveFile, ArchiveRef, PROBLEM_BYTES_MAX, Recorded, StateProblem, Trailer};
use crate::job::{Job, Level, PROBLEMS_MAX, Problem, ProblemKind};
use crate::spool::spool_error;
use crate::store::{Cache, Catalog, NEW_FULL, Store, archive_fault};

use super::heal::ParentLosses;
use super::heal_report::LISTED_MAX;
use super::vaults::SigVaults;

/// The parent state, and which of its archives can be used.
pub struct Parent {
    trailer: Arc<Trailer>,
    /// For each file of the parent's archives: true if the store lists the file with the recorded size. The new state
    /// can have an entry only if the store lists the files of its content.
    listed: Vec<bool>,
    /// For each file of the parent's archives: the kind of its fault if it is not listed, or was found to be lost.
    faults: Vec<Option<Kind>>,
    /// The parts that the store lost, each with the number of the file and with the description of its fault. The
    /// parent may need none of their bytes.
    lost_parts: Vec<(u32, String)>,
    /// For each archive of the parent: true if this is a SigVault that the store lost, or that is damaged there, but
    /// whose signatures the cache has. The new state cannot name such a SigVault.
    only_cached: Vec<bool>,
    /// The contents and signatures that turned out to be lost in the archives that are present.
    pub losses: ParentLosses,
    /// The paths of entries that the backup of the parent kept although their contents were lost: its state lists these
    /// losses. Empty with the option heal, which reads the contents again.
    known_losses: HashSet<Vec<u8>>,
    /// The parent's state may list only some of its losses. An entry that was kept is dirty, so every dirty file counts
    /// as a loss then. False with the option heal.
    unlisted_losses: bool,
    /// The option heal is set: a signature that is lost is made again.
    heals: bool,
    signing: SigningRule,
    vaults: SigVaults,
    /// Reads old contents, for deltas that are made byte by byte. `None` if deltas are made by signatures alone.
    pub contents: Option<Contents>,
}

impl Parent {
    /// Finds out which archives of the parent can be used. Lost archives are reported as problems: the backup
    /// stores their contents again. `reads_cheaply`: signatures are read from the store instead of the cache. `heals`:
    /// a signature that is lost is made again.
    pub fn new(
        trailer: Arc<Trailer>,
        catalog: &Catalog,
        cache: Option<Cache>,
        contents: Option<Contents>,
        (reads_cheaply, heals): (bool, bool),
        signing: SigningRule,
        job: &mut Job,
    ) -> Result<Self> {
        let mut vaults = SigVaults::new(trailer.clone(), cache);
        let ListedArchives { faults, lost_parts, only_cached, is_whole } =
            ListedArchives::find(&trailer, catalog, &vaults, job)?;
        if reads_cheaply {
            vaults.read_from_store(is_whole);
        }
        let known_losses = if heals { HashSet::new() } else { reported_losses(&trailer) };
        let unlisted_losses = !heals && may_have_more_losses(&trailer.problems);
        let listed = faults.iter().map(Option::is_none).collect();
        let losses = ParentLosses::default();
        Ok(Parent {
            trailer,
            listed,
            faults,
            lost_parts,
            only_cached,
            losses,
            known_losses,
            unlisted_losses,
            heals,
            signing,
            vaults,
            contents,
        })
    }

    pub fn archives(&self) -> &[ArchiveRef] {
        &self.trailer.archives
    }

    /// The same archives, with the numbers of their files.
    pub fn files(&self) -> &Arc<StateArchives> {
        self.vaults.files()
    }

    /// Whether the store has a file of the parent's archives.
    pub fn has_file(&self, file: u32) -> bool {
        self.faults.get(file as usize).is_some_and(Option::is_none)
    }

    /// Counts a file of an archive as lost: no range of it can be read. `kind` is that of the error.
    pub fn lose_file(&mut self, file: u32, kind: Kind) {
        let Ok(archive) = self.files().archive_of(file) else { return };
        if let Some(named) = self.trailer.archives.get(archive as usize) {
            self.faults[file as usize] = Some(kind);
            self.only_cached[archive as usize] = self.vaults.only_cached(named, false);
            self.vaults.prefer_cache(archive);
        }
    }

    /// Adds to `needed` the lost parts, by the numbers of their files, in which an entry of the parent has a byte.
    pub fn add_needed_parts(&self, recorded: &Recorded, needed: &mut HashSet<u32>) {
        if !self.lost_parts.is_empty() {
            needed.extend(self.lost_files_in(recorded.ranges()));
        }
    }

    /// The lost files in which these ranges have a byte.
    pub fn lost_files_in<'r>(&'r self, ranges: &'r [Range]) -> impl Iterator<Item = u32> + 'r {
        self.files().files_in(ranges).filter(|file| !self.has_file(*file))
    }

    /// Reports the parts that the store lost: as a problem if the file is in `needed`, as
    /// [`Parent::add_needed_parts`] collected it from all entries, else as a note.
    pub fn report_lost_parts(&self, needed: &HashSet<u32>, job: &mut Job) -> Result<()> {
        for (number, what) in &self.lost_parts {
            let file = self.files().file(*number)?;
            let kind = self.faults.get(*number as usize).copied().flatten().unwrap_or(Kind::Corrupt);
            match needed.contains(number) {
                true => report_lost(file, kind, what, job)?,
                false => report_unneeded(file, kind, what, job)?,
            }
        }
        Ok(())
    }

    /// Whether the store has the files that a range of an archive lies in.
    fn has_range(&self, range: &Range) -> bool {
        self.files().in_files(*range).all(|range| self.has_file(range.file))
    }

    /// Whether the new state can name the archive of a range, which the store has.
    fn keeps_range(&self, range: &Range) -> bool {
        self.has_range(range) && !self.is_only_cached(range)
    }

    fn is_only_cached(&self, range: &Range) -> bool {
        self.only_cached.get(range.archive as usize).copied().unwrap_or(false)
    }

    /// Reads the SigVaults of a signature that the store has lost from the cache.
    pub fn prefer_cache(&mut self, sig: &SigRef) {
        sig.content.iter().for_each(|range| self.vaults.prefer_cache(range.archive));
    }

    /// Whether the store has every archive that the entry's content needs, and the content was not found to be lost, in
    /// this run or in that of the parent.
    pub fn has_content(&self, entry: &Entry) -> bool {
        self.has_content_at(entry.path.as_bytes(), &entry.place.content, entry.place.dirty)
    }

    /// Like [`Parent::has_content`].
    pub fn has_recorded_content(&self, recorded: &Recorded) -> bool {
        self.has_content_at(recorded.path(), recorded.content(), recorded.is_dirty())
    }

    fn has_content_at(&self, path: &[u8], content: &[Range], is_dirty: bool) -> bool {
        let is_known_loss =
            || !content.is_empty() && (self.unlisted_losses && is_dirty || self.known_losses.contains(path));
        content.iter().all(|range| self.has_range(range))
            && self.losses.of_content(content).is_none()
            && !is_known_loss()
    }

    /// The kind of the error because of which the content of `entry`, which is lost, cannot be read. `Corrupt` if only
    /// the parent's state says that the content is lost.
    pub fn loss_kind(&self, entry: &Entry) -> Kind {
        let content = &entry.place.content;
        let fault = |file: u32| self.faults.get(file as usize).copied().flatten();
        let of_file = self.files().files_in(content).find_map(fault);
        of_file.or_else(|| self.losses.of_content(content)).unwrap_or(Kind::Corrupt)
    }

    /// Whether the new state can have the entry, also if its content is lost: the store lists every file of it.
    pub fn can_keep(&self, entry: &Entry) -> bool {
        let is_listed = |file: u32| self.listed.get(file as usize).copied().unwrap_or(false);
        self.files().files_in(&entry.place.content).all(is_listed)
    }

    /// Whether any content is lost.
    pub fn has_losses(&self) -> bool {
        self.faults.iter().any(Option::is_some)
            || self.losses.has_contents()
            || !self.known_losses.is_empty()
            || self.unlisted_losses
    }

    /// Notes that the signature of `entry` turned out to be lost: no new entry takes it over.
    pub fn lose_signature(&mut self, entry: &Entry) {
        if let Some(sig) = &entry.place.sig {
            self.losses.add_signature(&sig.content);
        }
    }

    /// Whether all contents of the parent were read at the start of the run (option heal).
    pub fn is_checked(&self) -> bool {
        self.heals
    }

    /// Whether to make the signature of the entry again: a file of this length should have a signature, and none can
    /// be read. Without the option heal, only if this run found that the recorded signature is lost.
    pub fn lacks_signature(&self, entry: &Entry) -> bool {
        let should = |file: &File| self.signing.params(file.data_len()).is_some();
        let is_lost = |sig: &SigRef| self.losses.has_signature(&sig.content);
        (self.heals || entry.place.sig.as_ref().is_some_and(is_lost))
            && entry.file().is_some_and(should)
            && !self.stores_signature(entry)
    }

    /// Whether the new state can record the entry exactly as the parent does: the store has every archive of
    /// its content and of its signature.
    pub fn keeps(&self, recorded: &Recorded) -> bool {
        let sig = recorded.sig();
        // A file of this size may lack a signature because most of it is holes.
        let may_lack = || self.heals && recorded.is_file() && self.signing.params(recorded.size()).is_some();
        self.has_recorded_content(recorded)
            && sig.unwrap_or_default().iter().all(|range| self.keeps_range(range))
            && sig.map_or_else(|| !may_lack(), |sig| !self.losses.has_stored_signature(sig))
    }

    /// Whether the entry's signature can be read from the store or the cache, and checked.
    pub fn has_signature(&self, entry: &Entry) -> bool {
        let is_known = entry.place.sig.as_ref().is_some_and(|sig| sig.hash.known().is_some());
        is_known && self.stores_signature(entry)
    }

    /// Whether the entry's signature can be read from the store or the cache. Its hash may have an unknown algorithm.
    fn stores_signature(&self, entry: &Entry) -> bool {
        let there = |range: &Range| self.has_range(range) || self.is_only_cached(range);
        let has = |sig: &SigRef| sig.content.iter().all(there) && !self.losses.has_signature(&sig.content);
        entry.place.sig.as_ref().is_some_and(has)
    }

    /// Whether the new state can name the archives that hold the entry's signature.
    pub fn keeps_signature(&self, entry: &Entry) -> bool {
        let kept = |range: &Range| self.keeps_range(range);
        let keeps =
            |sig: &SigRef| sig.content.iter().all(kept) && !self.losses.has_stored_signature(&sig.content);
        entry.place.sig.as_ref().is_some_and(keeps)
    }

    /// Reads the signature of an entry whose content has `data_len` bytes. The error says why the signature
    /// cannot be used; the file is then stored whole.
    pub fn signature(
        &mut self,
        store: &mut dyn Store,
        sig: &SigRef,
        data_len: u64,
        job: &mut Job,
    ) -> Result<Vec<u8>> {
        let read = self.vaults.read(store, sig, data_len, job);
        for (archive, error) in self.vaults.take_replaced() {
            if let Some(only_cached) = self.only_cached.get_mut(archive as usize) {
                *only_cached = true;
            }
            let Some(named) = self.trailer.archives.get(archive as usize) else { continue };
            report_replaced(named, error, job)?;
        }
        read
    }

    /// Returns the places of the content and the signature of a parent entry, with the archive numbers of the
    /// new state. A signature that only the cache has is stored again for the new entry at `path`, so that afterwards
    /// the store has all signatures.
    pub fn carry(
        &mut self,
        archives: &mut NewArchives,
        store: &mut dyn Store,
        old: &Entry,
        path: &Path,
        job: &mut Job,
    ) -> Result<(Vec<Range>, Option<SigRef>)> {
        let (content, kept) = archives.inherit(&old.place, self.keeps_signature(old));
        let (Some(sig), Some(file), None) = (&old.place.sig, old.file(), &kept) else {
            return Ok((content, kept));
        };
        if !self.has_signature(old) {
            return Ok((content, None));
        }
        let named = Entry { path: path.clone(), ..old.clone() };
        Ok((content, self.save(archives, store, &named, (file, sig), job)?))
    }

    /// Stores a signature again, as a member with the path of `entry`. If that fails, a problem is reported, and the
    /// file is stored whole at its next change.
    fn save(
        &mut self,
        archives: &mut NewArchives,
        store: &mut dyn Store,
        entry: &Entry,
        (file, sig): (&File, &SigRef),
        job: &mut Job,
    ) -> Result<Option<SigRef>> {
        let bytes = match self.signature(store, sig, file.data_len(), job) {
            Ok(bytes) => bytes,
            Err(error) if error.ends_reading() => return Err(error),
            Err(error) => {
                job.trouble(ProblemKind::of_stored(&error), entry.path.as_bytes(), error)?;
                return Ok(None);
            }
        };
        let mut spool = MemberSpool::new();
        spool.write_all(&bytes).map_err(|e| spool_error(&e))?;
        let range = archives.add_spool(store, NewArchiveKind::Signatures, entry, spool)?;
        Ok(Some(SigRef { content: vec![range], hash: sig.hash.clone() }))
    }
}

/// What the list of the store says about the archives of the parent.
#[derive(Default)]
struct ListedArchives {
    /// See [`Parent`].
    faults: Vec<Option<Kind>>,
    lost_parts: Vec<(u32, String)>,
    only_cached: Vec<bool>,
    /// For each archive: true if the store lists all of its files with their recorded sizes.
    is_whole: Vec<bool>,
}

impl ListedArchives {
    /// Reports the lost archives, except those in parts.
    fn find(trailer: &Trailer, catalog: &Catalog, vaults: &SigVaults, job: &mut Job) -> Result<Self> {
        let mut listed = ListedArchives::default();
        for archive in &trailer.archives {
            let fault = |file: ArchiveFile| (archive_fault(&file, catalog.size_of(&file.name)), file);
            let files: Vec<_> = archive.files().into_iter().map(fault).collect();
            let is_there = files.iter().all(|(fault, _)| fault.is_none());
            let cached = vaults.only_cached(archive, is_there);
            if cached {
                let message = format!("the store lost {}; the cache has its signatures", archive.name);
                job.log(Level::Warn, &message);
            }
            for (fault, file) in files {
                match fault.as_ref().filter(|_| !cached) {
                    Some((_, what)) if !archive.parts.is_empty() => {
                        listed.lost_parts.push((listed.faults.len() as u32, what.clone()));
                    }
                    Some((kind, what)) => report_lost(&file, *kind, what, job)?,
                    None => {}
                }
                listed.faults.push(fault.map(|(kind, _)| kind));
            }
            listed.is_whole.push(is_there);
            listed.only_cached.push(cached);
        }
        Ok(listed)
    }
}

/// The paths of the losses that a state lists.
fn reported_losses(trailer: &Trailer) -> HashSet<Vec<u8>> {
    let lost = trailer.problems.iter().filter(|problem| is_loss(problem));
    lost.filter_map(|problem| problem.path.clone()).collect()
}

/// Whether a state with these problems may leave out further losses: a report and a state list a limited number, and a
/// state a limited number of bytes. JSON needs at most six bytes for one of a text, so a list whose texts are shorter
/// than an eighth of that limit was not cut.
fn may_have_more_losses(problems: &[StateProblem]) -> bool {
    let text = |problem: &StateProblem| problem.message.len() + problem.path.as_ref().map_or(0, Vec::len);
    problems.iter().filter(|problem| is_loss(problem)).count() as u64 >= LISTED_MAX
        || problems.len() >= PROBLEMS_MAX
        || problems.iter().map(text).sum::<usize>() >= PROBLEM_BYTES_MAX / 8
}

/// Reports a file of an archive that the store does not have, or has with another size.
fn report_lost(file: &ArchiveFile, kind: Kind, what: &str, job: &mut Job) -> Result<()> {
    let detail = format!(
        "{what}; what it held is stored again as far as the source still has it; older snapshots have lost it; \
         {NEW_FULL}"
    );
    let error = Error::new(kind, "use the archive", detail).at(&file.name);
    let problem = Problem::of_whole(ProblemKind::of_stored(&error), &error);
    job.problem(problem.in_file(&file.name), error)
}

/// Notes that a part of an archive is lost of which the parent needs no byte.
pub fn report_unneeded(file: &ArchiveFile, kind: Kind, what: &str, job: &mut Job) -> Result<()> {
    let detail = format!("{what}; the newest snapshot needs none of its bytes, but older ones may");
    let error = Error::new(kind, "use the archive", detail).at(&file.name);
    job.problem(Problem::of_whole(ProblemKind::Unneeded, &error).in_file(&file.name), error)
}

/// Reports a SigVault that is damaged in the store, and is read from the cache instead.
fn report_replaced(archive: &ArchiveRef, error: Error, job: &mut Job) -> Result<()> {
    let detail = format!("{}; its signatures are read from the copy in the cache", error.detail);
    let error = Error { op: "read signatures from".into(), detail, ..error }.at(&archive.name);
    let problem = Problem::of_whole(ProblemKind::of_stored(&error), &error);
    job.problem(problem.in_file(&archive.name), error)
}
