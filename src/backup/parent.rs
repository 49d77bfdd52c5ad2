//! The snapshot an increment builds on: its entries, which of its archives are still there, its signatures.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::delta::Signature;
use crate::entry::{Entry, SigRef};
use crate::error::{Error, Kind, Result};
use crate::format::names::Kind as FileKind;
use crate::format::{ArchiveRef, FrameCache, FrameReader, ReadAt, StateReader, Trailer};
use crate::job::{Job, Problem, ProblemKind};
use crate::store::{cache, Cache, Catalog, LocalFile, StateFile, Store, StoredFile};

/// Frames of SigVaults kept decompressed: signatures are read in the order in which they were written.
const SIGNATURE_FRAMES: usize = 2;
/// How much of a state's end is compared with the store's before a cached copy is believed: the seek
/// table and, of a small state, everything.
const TAIL: u64 = 4096;

/// The newest snapshot of the key that verifies. Damaged ones are problems, and passed over.
pub fn newest(store: &mut dyn Store, catalog: &Catalog, job: &mut Job) -> Result<Option<StateReader>> {
    let cache_root = job.options.cache_dir.clone();
    let mut first_damage = None;
    for state in catalog.states().rev() {
        match open(store, state, cache_root.as_deref()) {
            Ok(reader) => return Ok(Some(reader)),
            Err(error) if error.kind == Kind::Corrupt => {
                let problem = Problem {
                    path: None,
                    snapshot: Some(state.stamp),
                    ..Problem::new(ProblemKind::Damaged, b"", &error)
                };
                job.problem(problem.in_file(&state.name), error.clone())?;
                first_damage.get_or_insert(error);
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
    vaults: HashMap<u32, Vault>,
}

/// A SigVault opened for reading.
struct Vault {
    frames: FrameReader,
    /// The cache's copy; without one the store is read.
    copy: Option<LocalFile>,
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
        Ok(Parent { trailer, present, cache, vaults: HashMap::new() })
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

    /// The signature of an entry's content. An error says why it cannot be used: the file is then stored
    /// whole.
    pub fn signature(&mut self, store: &mut dyn Store, sig: &SigRef, data_len: u64) -> Result<Signature> {
        let mut bytes = Vec::new();
        let mut name = String::new();
        for range in &sig.ranges {
            let archive = self.archives().get(range.archive as usize).cloned();
            let archive =
                archive.ok_or_else(|| Error::new(Kind::Corrupt, "read a signature", "no such archive"))?;
            let vault = self.vault(store, range.archive, &archive)?;
            let mut take = |piece: &[u8]| {
                bytes.extend_from_slice(piece);
                Ok(())
            };
            match &mut vault.copy {
                Some(copy) => vault.frames.read(copy, range.offset, range.len, &mut take)?,
                None => vault.frames.read(
                    &mut StoredFile { store, name: &archive.name },
                    range.offset,
                    range.len,
                    &mut take,
                )?,
            }
            name = archive.name;
        }
        let hash = blake3::hash(&bytes);
        if hash.as_bytes()[..16] != sig.hash {
            return Err(Error::corrupt("read a signature from", &name, "its hash is not the recorded one"));
        }
        let parsed = Signature::parse(&bytes)
            .map_err(|e| Error::corrupt("read a signature from", &name, e.to_string()))?;
        let blocks = data_len.div_ceil(u64::from(parsed.block_len()));
        if blocks != parsed.blocks() {
            return Err(Error::corrupt("read a signature from", &name, "it is of a file of another size"));
        }
        Ok(parsed)
    }

    fn vault(&mut self, store: &mut dyn Store, index: u32, archive: &ArchiveRef) -> Result<&mut Vault> {
        if !self.vaults.contains_key(&index) {
            let mut copy = self.cached(store, archive).map(LocalFile);
            let open = |src: &mut dyn ReadAt| {
                let cache = FrameCache::new(SIGNATURE_FRAMES);
                FrameReader::with_cache(src, &archive.name, archive.size, archive.compressed(), cache)
            };
            let frames = match &mut copy {
                Some(copy) => open(copy)?,
                None => open(&mut StoredFile { store, name: &archive.name })?,
            };
            self.vaults.insert(index, Vault { frames, copy });
        }
        self.vaults
            .get_mut(&index)
            .ok_or_else(|| Error::new(Kind::Panic, "open a SigVault", "it was not kept"))
    }

    /// The cache's copy of a SigVault, fetched from the store if the cache has none.
    fn cached(&self, store: &mut dyn Store, archive: &ArchiveRef) -> Option<File> {
        let cache = self.cache.as_ref()?;
        if archive.kind != FileKind::SigVault {
            return None;
        }
        if let Some(file) = cache.open(&archive.name, archive.size, &archive.digest) {
            return Some(file);
        }
        let mut copy = cache.copy(&archive.name)?;
        let mut buf = vec![0; 1 << 20];
        let mut at = 0;
        while at < archive.size {
            let got = store.read_at(&archive.name, at, &mut buf).ok().filter(|got| *got > 0)?;
            copy.write(&buf[..got]);
            at += got as u64;
        }
        copy.publish();
        cache.open(&archive.name, archive.size, &archive.digest)
    }
}
