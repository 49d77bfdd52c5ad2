//! The snapshot an increment builds on: its entries, which of its archives are still there, its signatures.

use std::io::Write;
use std::sync::Arc;

use crate::commit::{spool_error, Archives, Slot, Spool};
use crate::entry::{Entry, File, Range, SigRef};
use crate::error::{Error, Kind, Result};
use crate::format::{ArchiveRef, Recorded, Trailer};
use crate::job::{Job, Level, Problem, ProblemKind};
use crate::store::{archive_fault, Cache, Catalog, Store, NEW_FULL};

use super::vaults::Vaults;

/// What is known of the archives of the state that is built on.
pub struct Parent {
    trailer: Arc<Trailer>,
    /// For each of its archives: is it in the store, of the right size?
    present: Vec<bool>,
    /// For each: a SigVault that only the cache can stand in for. The new state cannot name it.
    only_cached: Vec<bool>,
    vaults: Vaults,
}

impl Parent {
    /// Archives that are gone are problems: what they held will be stored again.
    pub fn new(
        trailer: Arc<Trailer>,
        catalog: &Catalog,
        cache: Option<Cache>,
        job: &mut Job,
    ) -> Result<Self> {
        let vaults = Vaults::new(trailer.clone(), cache);
        let (mut present, mut only_cached) = (Vec::new(), Vec::new());
        for archive in &trailer.archives {
            let found = catalog.size_of(&archive.name);
            let fault = archive_fault(archive, found);
            let cached = vaults.only_cached(archive, fault.is_none());
            present.push(fault.is_none());
            only_cached.push(cached);
            if cached {
                let message = format!("the store lost {}; the cache has its signatures", archive.name);
                job.log(Level::Warn, &message);
            } else if let Some((kind, what)) = fault {
                tell_lost(archive, kind, &what, job)?;
            }
        }
        Ok(Parent { trailer, present, only_cached, vaults })
    }

    pub fn archives(&self) -> &[ArchiveRef] {
        &self.trailer.archives
    }

    /// Whether every archive that an entry's content needs is there.
    pub fn has_content(&self, entry: &Entry) -> bool {
        entry.place.content.iter().all(|range| is(&self.present, range))
    }

    /// Whether the new state can say of an entry what the old one says: every archive stays.
    pub fn keeps(&self, recorded: &Recorded) -> bool {
        let kept = |range: &Range| is(&self.present, range) && !is(&self.only_cached, range);
        recorded.content().iter().chain(recorded.sig().unwrap_or_default()).all(kept)
    }

    /// Whether an entry's signature is to be had, in the store or in the cache.
    pub fn has_signature(&self, entry: &Entry) -> bool {
        let there = |range: &Range| is(&self.present, range) || is(&self.only_cached, range);
        entry.place.sig.as_ref().is_some_and(|sig| sig.ranges.iter().all(there))
    }

    /// Whether the new state can name what an entry's signature lies in.
    fn keeps_signature(&self, entry: &Entry) -> bool {
        let kept = |range: &Range| is(&self.present, range) && !is(&self.only_cached, range);
        entry.place.sig.as_ref().is_some_and(|sig| sig.ranges.iter().all(kept))
    }

    /// The bytes of the signature of an entry's content of `data_len` bytes. An error says why it cannot be
    /// used: the file is then stored whole.
    pub fn signature(
        &mut self,
        store: &mut dyn Store,
        sig: &SigRef,
        data_len: u64,
        job: &mut Job,
    ) -> Result<Vec<u8>> {
        self.vaults.read(store, sig, data_len, job)
    }

    /// Where the content and the signature of an entry of the parent lie, in the numbers of the new state. A
    /// signature that only the cache has is stored again, so that the store has everything afterwards.
    pub fn carry(
        &mut self,
        archives: &mut Archives,
        store: &mut dyn Store,
        old: &Entry,
        job: &mut Job,
    ) -> Result<(Vec<Range>, Option<SigRef>)> {
        let (content, kept) = archives.inherit(&old.place, self.keeps_signature(old));
        let (Some(sig), Some(file), None) = (&old.place.sig, old.file(), &kept) else {
            return Ok((content, kept));
        };
        if !self.has_signature(old) {
            return Ok((content, None));
        }
        Ok((content, self.save(archives, store, old, (file, sig), job)?))
    }

    /// Stores a signature again. One that is lost costs a whole copy when its file changes.
    fn save(
        &mut self,
        archives: &mut Archives,
        store: &mut dyn Store,
        old: &Entry,
        (file, sig): (&File, &SigRef),
        job: &mut Job,
    ) -> Result<Option<SigRef>> {
        let bytes = match self.vaults.read(store, sig, file.data_len(), job) {
            Ok(bytes) => bytes,
            Err(error) if error.ends_reading() => return Err(error),
            Err(error) => {
                job.trouble(ProblemKind::of_stored(&error), old.path.as_bytes(), error)?;
                return Ok(None);
            }
        };
        let mut spool = Spool::new();
        spool.write_all(&bytes).map_err(|e| spool_error(&e))?;
        let range = archives.add_spool(store, Slot::Signatures, old, spool)?;
        Ok(Some(SigRef { ranges: vec![range], hash: sig.hash }))
    }
}

fn is(flags: &[bool], range: &Range) -> bool {
    flags.get(range.archive as usize).copied().unwrap_or(false)
}

/// Lists an archive that is not in the store, or of another size there.
fn tell_lost(archive: &ArchiveRef, kind: Kind, what: &str, job: &mut Job) -> Result<()> {
    let detail = format!(
        "{what}; what it held is stored again as far as the source still has it; older snapshots have lost it; \
         {NEW_FULL}"
    );
    let error = Error::new(kind, "use the archive", detail).at(&archive.name);
    let problem = Problem::of_whole(ProblemKind::of_stored(&error), &error);
    job.problem(problem.in_file(&archive.name), error)
}
