//! Fills the cache again: the newest state, its layers and the SigVaults that it names. The next increment can then
//! make deltas without reading signatures from the store.
//!
//! ```text
//! each SigVault:  right copy in the cache? --> else the store's file, if right --> else signed again
//! signed again:   entry --> content out of the archives --> Signer --> NAME.stream
//! ```
//!
//! A signature depends on the content alone, so a recomputed signature equals the lost one, byte for byte. The
//! hashes in the state prove that. The next increment stores the recomputed signatures in its own SigVault.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use crate::commit::MemberSpool;
use crate::contents::Contents;
use crate::contents::{checkable, lost};
use crate::delta::{Params, Signer};
use crate::entry::{Entry, File, Hash, LinkSet, Range, SigRef};
use crate::error::{Error, Kind, Result};
use crate::format::names::BackupFileKind;
use crate::format::{ArchiveFile, ArchiveRef, StateReader, StateSummary};
use crate::job::{BackupFile, Counter, Job, Level, Phase, Problem, ProblemKind, Select};
use crate::pool::Pool;
use crate::spool::spool_error;
use crate::store::cache::{Copy, sign_head};
use crate::store::{
    Cache, Catalog, LockMode, NEW_FULL, Need, StateFile, Store, StoredFile, begin, fetch, fetch_archive,
    lock, newest, path_bytes,
};

const OP: &str = "rebuild the cache";

/// Fills the cache of the newest snapshot of `key`. The report lists the files that were written into the
/// cache.
///
/// A signature that cannot be recomputed is a problem. Errors: `NotFound` (no snapshot), `Corrupt` or `Missing`
/// (the states of all snapshots), `InvalidArg` (no cache directory), `Io` (the cache cannot be written), `Busy`, and
/// the errors of the store.
pub fn rebuild_cache(store: &mut dyn Store, key: &str, job: &mut Job) -> Result<()> {
    let key = begin(store, key, Need::Read, OP, job)?;
    let _lock = lock(store, &key, LockMode::Read, job)?;
    let catalog = Catalog::read(store, &key)?;
    catalog.select(store, Select::Newest)?;
    let pool = Pool::start(job.options.threads)?;
    let (mut state, lost) = newest(store, &catalog, &pool, job, &mut || ())?.needed(OP, &key)?;
    // A backup may have made the snapshot while the key was listed: a new list has all files that the snapshot needs.
    let catalog = Catalog::read(store, &key)?;
    let cache = Cache::of_series(job.options.cache_dir.as_deref(), &state.header().series);
    let nowhere = || Error::new(Kind::InvalidArg, OP, "there is no cache directory: set one");
    let cache = &cache.ok_or_else(nowhere)?;
    job.report.snapshot = Some(state.header().snapshot);
    job.report.digest = Some(state.trailer().tree);
    job.phase(Phase::Read, state.trailer().totals.entries, 0)?;
    let mut filling = Filling { job, store, catalog: &catalog, cache };
    for layer in &lost {
        filling.lost_layer(
            layer.name(),
            layer.fault().clone(),
            "the next backup puts the cache's copy back",
        )?;
    }
    for reference in state.file_references() {
        let file = catalog.state_file(reference.snapshot, reference.size);
        if let Some(file) = file.filter(|file| lost.iter().all(|lost| lost.name() != file.name)) {
            filling.state(&file, &reference.digest)?;
        }
    }
    let trailer = state.trailer().clone();
    let mut lost = BTreeMap::new();
    for (index, archive) in (0u32..).zip(&trailer.archives) {
        if archive.kind == BackupFileKind::SigVault && !filling.vault(archive)? {
            lost.insert(index, archive);
        }
    }
    if !lost.is_empty() {
        filling.sign_again(&mut state, &lost)?;
    }
    job.phase_done()
}

/// A cache while it is filled.
struct Filling<'r, 'j> {
    job: &'r mut Job<'j>,
    store: &'r mut dyn Store,
    catalog: &'r Catalog,
    cache: &'r Cache,
}

impl Filling<'_, '_> {
    /// Copies a state file, unless the cache has it. A file with another digest than `right` never replaces a copy.
    fn state(&mut self, file: &StateFile, right: &Hash) -> Result<()> {
        let StateFile { name, size, compressed, .. } = file;
        let size = *size;
        let mut stored = StoredFile { store: self.store, name };
        match StateSummary::verify(&mut stored, name, size, *compressed) {
            Ok(summary) if summary.trailer.digest == *right => {}
            Err(error) if !error.proves_damage() => return Err(error),
            Err(error) => return self.lost_layer(name, error, NEW_FULL),
            Ok(_) => {
                let other = Error::corrupt(OP, name, "it is not the file that the newest snapshot names");
                return self.lost_layer(name, other, NEW_FULL);
            }
        }
        let digest = fetch(&mut stored, size, &mut |_| {}, self.job)?;
        if self.cache.open(name, size, &digest).is_some() {
            return Ok(());
        }
        let mut copy = self.cache.begin(name)?;
        fetch(&mut stored, size, &mut |piece| copy.write(piece), self.job)?;
        self.publish(copy, BackupFileKind::State)
    }

    /// Reports a state file that the store has lost or damaged. A rebuild writes nothing into the store.
    fn lost_layer(&mut self, name: &str, fault: Error, remedy: &str) -> Result<()> {
        let detail = format!("the store lost or damaged it: {}; {remedy}", fault.detail);
        let error = Error { op: OP.into(), detail, ..fault }.at(name);
        let kind = ProblemKind::of_stored(&error);
        self.job.problem(Problem::of_whole(kind, &error).in_file(name), error)
    }

    /// Copies a SigVault, unless the cache has it. False if the store has no right file for it.
    fn vault(&mut self, archive: &ArchiveRef) -> Result<bool> {
        let ArchiveRef { name, size, digest, .. } = archive;
        if self.cache.open(name, *size, digest).is_some() {
            self.cache.remove_stream(name);
            return Ok(true);
        }
        let is_there = |file: &ArchiveFile| self.catalog.size_of(&file.name) == Some(file.size);
        let why = if archive.files().iter().all(is_there) {
            let mut copy = self.cache.begin(name)?;
            match fetch_archive(self.store, archive, &mut |piece| copy.write(piece), self.job) {
                Ok(found) if found == *digest => {
                    self.publish(copy, BackupFileKind::SigVault)?;
                    self.cache.remove_stream(name);
                    return Ok(true);
                }
                Ok(_) => "is damaged".to_string(),
                Err(error) if error.ends_reading() => return Err(error),
                Err(error) => format!("cannot be read ({error})"),
            }
        } else {
            "is gone from the store, or of another size".to_string()
        };
        self.job.log(Level::Warn, &format!("{name} {why}: its signatures are made again"));
        Ok(false)
    }

    /// Recomputes every signature of which a part lies in a `lost` SigVault.
    fn sign_again(&mut self, state: &mut StateReader, lost: &BTreeMap<u32, &ArchiveRef>) -> Result<()> {
        let mut streams = BTreeMap::new();
        for (index, archive) in lost {
            streams.insert(*index, self.cache.begin_stream(&archive.name)?);
        }
        let contents = Contents::new(&state.trailer().archives).with_cancel(self.job.cancel());
        let (job, store) = (&mut *self.job, &mut *self.store);
        let mut signing =
            Signing { job, store, contents, streams, filled: BTreeSet::new(), signed: HashMap::new() };
        for entry in state.entries()? {
            signing.entry(&entry?)?;
        }
        let Signing { streams, filled, .. } = signing;
        for (_, stream) in streams.into_iter().filter(|(index, _)| filled.contains(index)) {
            self.publish(stream, BackupFileKind::SigVault)?;
        }
        Ok(())
    }

    /// Gives a file of the cache its name and reports it.
    fn publish(&mut self, copy: Copy, kind: BackupFileKind) -> Result<()> {
        self.job.pulse()?;
        let path = copy.path().to_path_buf();
        let size = copy.publish()?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = Some(path_bytes(&path).to_vec());
        self.job.report.count(Counter::BytesWritten, size);
        self.job.report.files.push(BackupFile { name, kind: kind.word(), path, size });
        Ok(())
    }
}

/// The work of recomputing signatures.
struct Signing<'r, 'j> {
    job: &'r mut Job<'j>,
    store: &'r mut dyn Store,
    contents: Contents,
    /// The stream file of each lost SigVault, by the archive's number.
    streams: BTreeMap<u32, Copy>,
    /// The lost SigVaults whose streams got a signature.
    filled: BTreeSet<u32>,
    /// The last signature computed for each file with several names, so that further names are skipped.
    signed: HashMap<LinkSet, SigRef>,
}

impl Signing<'_, '_> {
    fn entry(&mut self, entry: &Entry) -> Result<()> {
        self.job.step(entry.path.as_bytes())?;
        let (Some(file), Some(sig)) = (entry.file(), &entry.place.sig) else { return Ok(()) };
        let lost = |range: &Range| self.streams.contains_key(&range.archive);
        let set = entry.link_set();
        let signed = set.and_then(|set| self.signed.get(&set));
        if !sig.content.iter().any(lost) || signed == Some(sig) {
            return Ok(());
        }
        set.map(|set| self.signed.insert(set, sig.clone()));
        let done = match checkable(sig) {
            Ok(hash) => self.sign(entry, file, (sig, hash))?,
            Err(error) => Some(error),
        };
        match done {
            None => Ok(()),
            Some(error) => self.lost(entry, error),
        }
    }

    /// Writes the signature of a content into the streams. Returns the reason if the signature stays lost.
    fn sign(
        &mut self,
        entry: &Entry,
        file: &File,
        (sig, hash): (&SigRef, &[u8; 16]),
    ) -> Result<Option<Error>> {
        let spooled = |e: io::Error| spool_error(&e);
        let signers =
            block_lengths(file.data_len(), sig).map(|params| Signer::new(params, MemberSpool::new()));
        let mut signers = signers.collect::<io::Result<Vec<_>>>().map_err(spooled)?;
        let mut hasher = blake3::Hasher::new();
        let job = &mut *self.job;
        let read = self.contents.read(self.store, entry, &mut |piece| {
            hasher.update(piece);
            signers.iter_mut().try_for_each(|signer| signer.update(piece)).map_err(spooled)?;
            job.report.count(Counter::BytesRead, piece.len() as u64);
            job.advance(piece.len() as u64)
        })?;
        if let Err(error) = read {
            return Ok(Some(error));
        }
        if file.hash != hasher.finalize().into() {
            return Ok(Some(self.contents.differs(entry, file)));
        }
        for signer in signers {
            let made = signer.finish().map_err(spooled)?;
            if made.short_hash() == *hash {
                return self.keep((sig, hash), &made).map(|()| None);
            }
        }
        Ok(Some(Error::new(Kind::Corrupt, "sign", "its signature comes out otherwise")))
    }

    /// Writes a signature into the stream of each lost SigVault with a part of it.
    fn keep(&mut self, (sig, hash): (&SigRef, &[u8; 16]), made: &MemberSpool) -> Result<()> {
        let archives: BTreeSet<_> = sig.content.iter().map(|range| range.archive).collect();
        for archive in archives {
            if let Some(stream) = self.streams.get_mut(&archive) {
                stream.write(&sign_head(hash, made.len()));
                made.each(|bytes| {
                    stream.write(bytes);
                    Ok(())
                })?;
                self.filled.insert(archive);
            }
        }
        Ok(())
    }

    fn lost(&mut self, entry: &Entry, error: Error) -> Result<()> {
        let (problem, error) = lost("sign again", &self.contents, entry, error);
        self.job.problem(problem, error)
    }
}

/// The parameters that the signature of a content of `data_len` bytes can have. Its block length is that of the rule,
/// or one that was kept from an older version of the content.
fn block_lengths(data_len: u64, sig: &SigRef) -> impl Iterator<Item = Params> {
    let rule = Params::for_len(data_len);
    let kept =
        rule.into_iter().flat_map(move |rule| [rule.block_len, rule.block_len * 2, rule.block_len / 2]);
    let params = kept.filter_map(move |block_len| Params::keeping(block_len, data_len));
    // The length of a signature without deltas is known.
    let whole = if let [whole] = &sig.content[..] { Some(whole.len) } else { None };
    params.filter(move |params| whole.is_none_or(|len| params.signature_len(data_len) == len))
}
