//! Reads signatures. A signature comes from the cache's copy of a SigVault, else from the SigVault in the
//! store, else from the signatures that a rebuild of the cache made again from the archives. Every signature
//! is checked by its hash.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::entry::{Range, SigRef};
use crate::error::{Error, Kind, Result, describe};
use crate::format::names::BackupFileKind;
use crate::format::{ArchiveRef, FrameCache, FrameIndex, ReadAt, Trailer};
use crate::job::Job;
use crate::store::{Cache, LocalFile, Store, StoredFile, fetch};

/// Frames kept decompressed, of all SigVaults together. A few are enough, because the signatures of a
/// snapshot are read in the order in which they were written.
const SIGNATURE_FRAMES: usize = 8;
/// Bytes of a signature before its blocks. A signature is never longer than the file and these bytes
/// together.
const SIGNATURE_HEAD: u64 = 12;
/// The longest signature that is read into memory: the signature of a content of 200 TiB. The limit is needed
/// because a damaged state may claim any length.
const SIGNATURE_MAX: u64 = 256 << 20;

/// The SigVaults of one state. Each is opened at its first use.
pub struct SigVaults {
    trailer: Arc<Trailer>,
    cache: Option<Cache>,
    opened: HashMap<u32, Result<OpenSigVault>>,
    /// Frames of all SigVaults.
    frames: FrameCache,
}

/// An open SigVault.
struct OpenSigVault {
    index: FrameIndex,
    /// The cache has a verified copy.
    cached: bool,
}

impl SigVaults {
    pub fn new(trailer: Arc<Trailer>, cache: Option<Cache>) -> Self {
        SigVaults { trailer, cache, opened: HashMap::new(), frames: FrameCache::new(SIGNATURE_FRAMES) }
    }

    /// Whether only the cache has the signatures of a SigVault. `intact` says that the store lists the
    /// SigVault with its recorded size. The size proves nothing about the bytes. But if the cache has
    /// signatures that were made again, then the bytes in the store were found damaged.
    pub fn only_cached(&self, archive: &ArchiveRef, intact: bool) -> bool {
        let Some(cache) = self.cache.as_ref().filter(|_| archive.kind == BackupFileKind::SigVault) else {
            return false;
        };
        let made_again = cache.stream(&archive.name).is_some();
        let has_copy = || cache.open(&archive.name, archive.size, &archive.digest).is_some();
        if intact { made_again && !has_copy() } else { made_again || has_copy() }
    }

    /// Reads the signature of a content of `data_len` bytes.
    pub fn read(
        &mut self,
        store: &mut dyn Store,
        sig: &SigRef,
        data_len: u64,
        job: &mut Job,
    ) -> Result<Vec<u8>> {
        let len = sig.ranges.iter().fold(0u64, |sum, range| sum.saturating_add(range.len));
        if len > data_len.saturating_add(SIGNATURE_HEAD).min(SIGNATURE_MAX) {
            return Err(Error::new(Kind::Corrupt, "read a signature", format!("it claims {len} bytes")));
        }
        match self.gather(store, sig, false, job) {
            Err(error) if !error.ends_reading() && self.some_made_again(sig) => {
                self.gather(store, sig, true, job).map_err(|_| error)
            }
            other => other,
        }
    }

    fn some_made_again(&self, sig: &SigRef) -> bool {
        let name = |range: &Range| Some(&self.trailer.archives.get(range.archive as usize)?.name);
        let made_again = |cache: &Cache| {
            let mut names = sig.ranges.iter().filter_map(name);
            names.any(|name| cache.stream(name).is_some())
        };
        self.cache.as_ref().is_some_and(made_again)
    }

    /// Reads the ranges of a signature and checks the hash. `made_again` prefers signatures that were made
    /// again.
    fn gather(
        &mut self,
        store: &mut dyn Store,
        sig: &SigRef,
        made_again: bool,
        job: &mut Job,
    ) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut name = String::new();
        for range in &sig.ranges {
            let archive = self.trailer.archives.get(range.archive as usize).cloned();
            let archive =
                archive.ok_or_else(|| Error::new(Kind::Corrupt, "read a signature", "no such archive"))?;
            let stream = self.cache.as_ref().filter(|_| made_again);
            match stream.and_then(|cache| cache.stream(&archive.name)) {
                Some(stream) => read_made_again(&stream, range, &mut bytes)?,
                None => self.read_vault(store, &archive, range, job, &mut bytes)?,
            }
            name = archive.name;
        }
        if blake3::hash(&bytes).as_bytes()[..16] != sig.hash {
            return Err(Error::corrupt("read a signature from", &name, "its hash is not the recorded one"));
        }
        Ok(bytes)
    }

    /// Appends a range of a SigVault to `bytes`.
    fn read_vault(
        &mut self,
        store: &mut dyn Store,
        archive: &ArchiveRef,
        range: &Range,
        job: &mut Job,
        bytes: &mut Vec<u8>,
    ) -> Result<()> {
        let id = range.archive;
        if !self.opened.contains_key(&id) {
            // A SigVault that cannot be opened is not opened again for every file.
            let opened = self.open(store, archive, job);
            self.opened.insert(id, opened);
        }
        let vault = match self.opened.get(&id) {
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
            Some(mut copy) => index.read(&mut copy, frames, id, range.offset, range.len, &mut take),
            None => {
                let mut stored = StoredFile { store, name: &archive.name };
                index.read(&mut stored, frames, id, range.offset, range.len, &mut take)
            }
        }
    }

    fn open(&self, store: &mut dyn Store, archive: &ArchiveRef, job: &mut Job) -> Result<OpenSigVault> {
        let copy = self.cached(store, archive, job)?;
        let cached = copy.is_some();
        let open =
            |src: &mut dyn ReadAt| FrameIndex::open(src, &archive.name, archive.size, archive.compressed());
        let index = match copy.map(LocalFile) {
            Some(mut copy) => open(&mut copy)?,
            None => open(&mut StoredFile { store, name: &archive.name })?,
        };
        Ok(OpenSigVault { index, cached })
    }

    /// The cache's copy of a SigVault. Fetches the SigVault from the store if the cache has no copy.
    fn cached(&self, store: &mut dyn Store, archive: &ArchiveRef, job: &mut Job) -> Result<Option<File>> {
        let Some(cache) = self.cache.as_ref().filter(|_| archive.kind == BackupFileKind::SigVault) else {
            return Ok(None);
        };
        let open = || cache.open(&archive.name, archive.size, &archive.digest);
        if let Some(file) = open() {
            return Ok(Some(file));
        }
        let Some(mut copy) = cache.copy(&archive.name) else { return Ok(None) };
        let mut stored = StoredFile { store, name: &archive.name };
        match fetch(&mut stored, archive.size, &mut |piece| copy.write(piece), job) {
            Ok(digest) if digest == archive.digest => Ok(copy.publish().ok().and_then(|_| open())),
            Err(error) if error.ends_reading() => Err(error),
            // No copy, but some frames in the store may be undamaged.
            _ => Ok(None),
        }
    }
}

/// Appends a range of the signatures that were made again to `bytes`.
fn read_made_again(stream: &File, range: &Range, bytes: &mut Vec<u8>) -> Result<()> {
    let trouble = |e: std::io::Error| Error::new(Kind::Io, "read the cache", describe(&e));
    let len = stream.metadata().map_err(trouble)?.len();
    if range.offset.checked_add(range.len).is_none_or(|end| end > len) {
        return Err(Error::new(Kind::Corrupt, "read the cache", "a signature was not made again"));
    }
    let start = bytes.len();
    bytes.resize(start + range.len as usize, 0);
    stream.read_exact_at(&mut bytes[start..], range.offset).map_err(trouble)
}
