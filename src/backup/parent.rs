//! The snapshot an increment builds on: its entries, which of its archives are still there, its signatures.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::delta::Signature;
use crate::entry::{Entry, Range, SigRef};
use crate::error::{Error, Kind, Result};
use crate::format::names::Kind as FileKind;
use crate::format::{ArchiveRef, FrameCache, FrameIndex, ReadAt, StateReader, Trailer};
use crate::job::{Job, Problem, ProblemKind};
use crate::store::{cache, Cache, Catalog, LocalFile, StateFile, Store, StoredFile};

/// Frames of SigVaults kept decompressed, of all together: each snapshot's signatures are read in the order
/// in which they were written.
const SIGNATURE_FRAMES: usize = 8;
/// What a signature has before its blocks. One longer than its file would never have been made.
const SIGNATURE_HEAD: u64 = 12;
/// How much of a state's end is compared with the store's before a cached copy is believed: the seek
/// table and, of a small state, everything.
const TAIL: u64 = 4096;

/// The newest snapshot of the key that verifies. Damaged ones are problems, and passed over.
pub fn newest(store: &mut dyn Store, catalog: &Catalog, job: &mut Job) -> Result<Option<StateReader>> {
    let cache_root = job.options.cache_dir.clone();
    for state in catalog.states().rev() {
        match open(store, state, cache_root.as_deref()) {
            Ok(reader) => return Ok(Some(reader)),
            Err(error) if matches!(error.kind, Kind::Corrupt | Kind::Io | Kind::Limit) => {
                let problem = Problem { path: None, ..Problem::new(ProblemKind::Damaged, b"", &error) };
                let problem = Problem { snapshot: Some(state.stamp), ..problem };
                job.problem(problem.in_file(&state.name), error)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Opens a state from the cache if its copy is the store's file, else from the store.
fn open(store: &mut dyn Store, state: &StateFile, cache_root: Option<&Path>) -> Result<StateReader> {
    if let Some(file) = cache::find_state(cache_root, &state.name, state.size) {
        let mut copy = LocalFile(file);
        if same_tail(store, state, &mut copy)? {
            if let Ok(reader) = StateReader::open(&mut copy, &state.name, state.size, state.compressed) {
                return Ok(reader);
            }
        }
    }
    let mut stored = StoredFile { store, name: &state.name };
    StateReader::open(&mut stored, &state.name, state.size, state.compressed)
}

fn same_tail(store: &mut dyn Store, state: &StateFile, copy: &mut LocalFile) -> Result<bool> {
    let from = state.size.saturating_sub(TAIL);
    let mut ours = vec![0; (state.size - from) as usize];
    let mut theirs = ours.clone();
    let read = copy.read_at(from, &mut ours).unwrap_or(0);
    Ok(store.read_at(&state.name, from, &mut theirs)? == read && ours == theirs)
}

/// What is known of the archives of the state that is built on.
pub struct Parent {
    trailer: Arc<Trailer>,
    /// For each of its archives: is it in the store, of the right size?
    present: Vec<bool>,
    cache: Option<Cache>,
    vaults: HashMap<u32, Result<Vault>>,
    /// Frames of all of them.
    frames: FrameCache,
}

/// A SigVault that was opened.
struct Vault {
    index: FrameIndex,
    /// The cache has a copy that was verified.
    cached: bool,
}

impl Parent {
    /// Archives that are gone are problems: what they held will be stored again.
    pub fn new(
        trailer: Arc<Trailer>,
        catalog: &Catalog,
        cache: Option<Cache>,
        job: &mut Job,
    ) -> Result<Self> {
        let mut present = Vec::with_capacity(trailer.archives.len());
        for archive in &trailer.archives {
            let found = catalog.size_of(&archive.name);
            present.push(found == Some(archive.size));
            if found != Some(archive.size) {
                let detail = match found {
                    None => "it is gone; what it held is stored again".to_string(),
                    Some(size) => {
                        format!("it has {size} bytes, not {}; what it held is stored again", archive.size)
                    }
                };
                let kind = if found.is_none() { Kind::Missing } else { Kind::Corrupt };
                let error = Error::new(kind, "use the archive", detail).at(&archive.name);
                let class = if found.is_none() { ProblemKind::Missing } else { ProblemKind::Damaged };
                let problem = Problem { path: None, ..Problem::new(class, b"", &error) };
                job.problem(problem.in_file(&archive.name), error)?;
            }
        }
        Ok(Parent {
            trailer,
            present,
            cache,
            vaults: HashMap::new(),
            frames: FrameCache::new(SIGNATURE_FRAMES),
        })
    }

    pub fn archives(&self) -> &[ArchiveRef] {
        &self.trailer.archives
    }

    fn is_present(&self, archive: u32) -> bool {
        self.present.get(archive as usize).copied().unwrap_or(false)
    }

    /// Whether every archive that an entry's content needs is there.
    pub fn has_content(&self, entry: &Entry) -> bool {
        entry.place.content.iter().all(|range| self.is_present(range.archive))
    }

    /// Whether an entry's signature can be carried forward.
    pub fn has_signature(&self, entry: &Entry) -> bool {
        entry
            .place
            .sig
            .as_ref()
            .is_some_and(|sig| sig.ranges.iter().all(|range| self.is_present(range.archive)))
    }

    /// The signature of an entry's content of `data_len` bytes. An error says why it cannot be used: the
    /// file is then stored whole.
    pub fn signature(
        &mut self,
        store: &mut dyn Store,
        sig: &SigRef,
        data_len: u64,
        job: &mut Job,
    ) -> Result<Signature> {
        let mut bytes = Vec::new();
        let mut name = String::new();
        let len: u64 = sig.ranges.iter().map(|range| range.len).sum();
        if len > data_len.saturating_add(SIGNATURE_HEAD) {
            return Err(Error::new(Kind::Corrupt, "read a signature", "it is longer than its file"));
        }
        for range in &sig.ranges {
            name = self.read_vault(store, range, job, &mut bytes)?;
        }
        let damaged = |detail: String| Error::corrupt("read a signature from", &name, detail);
        if blake3::hash(&bytes).as_bytes()[..16] != sig.hash {
            return Err(damaged("its hash is not the recorded one".into()));
        }
        let parsed = Signature::parse(&bytes).map_err(|e| damaged(e.to_string()))?;
        if parsed.blocks() != data_len.div_ceil(u64::from(parsed.block_len())) {
            return Err(damaged("it is of a file of another size".into()));
        }
        Ok(parsed)
    }

    /// Appends a range of a SigVault to `bytes`; returns the SigVault's name.
    fn read_vault(
        &mut self,
        store: &mut dyn Store,
        range: &Range,
        job: &mut Job,
        bytes: &mut Vec<u8>,
    ) -> Result<String> {
        let archive = self.archives().get(range.archive as usize).cloned();
        let archive =
            archive.ok_or_else(|| Error::new(Kind::Corrupt, "read a signature", "no such archive"))?;
        let id = range.archive;
        if !self.vaults.contains_key(&id) {
            // A SigVault that cannot be opened is not tried again for every file.
            let opened = self.open_vault(store, &archive, job);
            self.vaults.insert(id, opened);
        }
        let vault = match self.vaults.get(&id) {
            Some(Ok(vault)) => vault,
            Some(Err(error)) => return Err(error.clone()),
            None => return Err(Error::new(Kind::Panic, "open a SigVault", "it was not kept")),
        };
        let copy = self.cache.as_ref().filter(|_| vault.cached);
        let copy = copy.and_then(|cache| cache.reopen(&archive.name, archive.size));
        let mut take = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            Ok(())
        };
        let (index, frames) = (&vault.index, &mut self.frames);
        match copy.map(LocalFile) {
            Some(mut copy) => index.read(&mut copy, frames, id, range.offset, range.len, &mut take)?,
            None => {
                let mut stored = StoredFile { store, name: &archive.name };
                index.read(&mut stored, frames, id, range.offset, range.len, &mut take)?;
            }
        }
        Ok(archive.name)
    }

    fn open_vault(&self, store: &mut dyn Store, archive: &ArchiveRef, job: &mut Job) -> Result<Vault> {
        let copy = self.cached(store, archive, job)?;
        let cached = copy.is_some();
        let open =
            |src: &mut dyn ReadAt| FrameIndex::open(src, &archive.name, archive.size, archive.compressed());
        let index = match copy.map(LocalFile) {
            Some(mut copy) => open(&mut copy)?,
            None => open(&mut StoredFile { store, name: &archive.name })?,
        };
        Ok(Vault { index, cached })
    }

    /// The cache's copy of a SigVault, fetched from the store if the cache has none.
    fn cached(&self, store: &mut dyn Store, archive: &ArchiveRef, job: &mut Job) -> Result<Option<File>> {
        let Some(cache) = self.cache.as_ref().filter(|_| archive.kind == FileKind::SigVault) else {
            return Ok(None);
        };
        if let Some(file) = cache.open(&archive.name, archive.size, &archive.digest) {
            return Ok(Some(file));
        }
        let Some(mut copy) = cache.copy(&archive.name) else { return Ok(None) };
        let mut buf = vec![0; 1 << 20];
        let mut at = 0;
        while at < archive.size {
            job.pulse()?;
            match store.read_at(&archive.name, at, &mut buf)? {
                0 => return Ok(None),
                got => {
                    copy.write(&buf[..got]);
                    at += got as u64;
                }
            }
        }
        copy.publish();
        Ok(cache.open(&archive.name, archive.size, &archive.digest))
    }
}
