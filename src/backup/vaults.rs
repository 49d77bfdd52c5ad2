//! Reads signatures. Where reading from the store is cheap, a signature comes from the SigVault in the store, so that
//! only its own bytes are read and damage of these bytes is found. Elsewhere, or if the store has lost the SigVault or
//! it is damaged there, the signature comes from the cache's copy of the SigVault, else from the SigVault in the store.
//! If that fails, it comes from the signatures that a rebuild of the cache made again from the archives. Every
//! signature is checked by its hash.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::contents::{FileRange, SignatureLen, StateArchives, checkable, patch_signature};
use crate::entry::{Range, SigRef};
use crate::error::{Error, Kind, Result};
use crate::format::names::BackupFileKind;
use crate::format::{ArchiveRef, FrameCache, FrameIndex, ReadAt, Trailer};
use crate::job::Job;
use crate::store::cache::{SIGNED_HEAD, signed_head};
use crate::store::{Cache, LocalFile, Store, StoredFile, fetch_archive};

/// Frames kept decompressed, of all SigVaults together. A few are enough, because the signatures of a
/// snapshot are read in the order in which they were written.
const SIGNATURE_FRAMES: usize = 8;

/// The SigVaults of one state. Each of their files is opened at its first use. The cache's copy of a SigVault has the
/// bytes of all its parts.
pub struct SigVaults {
    trailer: Arc<Trailer>,
    files: Arc<StateArchives>,
    cache: Option<Cache>,
    /// By the number of the archive: true if it is read from the store, even if the cache has a copy.
    from_store: Vec<bool>,
    /// By the number of the archive: true if the cache has a verified copy.
    cached: HashMap<u32, bool>,
    /// The seek tables, by the number of the file in `files`.
    opened: HashMap<u32, Result<FrameIndex>>,
    /// The SigVaults that are damaged in the store and read from the cache instead, each with the damage.
    replaced: Vec<(u32, Error)>,
    /// The signatures that were made again, of each SigVault in which one was looked for.
    made_again: HashMap<u32, Option<SignedAgain>>,
    /// Frames of all SigVaults.
    frames: FrameCache,
}

impl SigVaults {
    pub fn new(trailer: Arc<Trailer>, cache: Option<Cache>) -> Self {
        SigVaults {
            files: Arc::new(StateArchives::new(&trailer.archives)),
            trailer,
            cache,
            from_store: Vec::new(),
            cached: HashMap::new(),
            opened: HashMap::new(),
            replaced: Vec::new(),
            made_again: HashMap::new(),
            frames: FrameCache::new(SIGNATURE_FRAMES),
        }
    }

    /// The archives of the state, with the numbers of their files.
    pub fn files(&self) -> &Arc<StateArchives> {
        &self.files
    }

    /// Sets the archives that are read from the store, even if the cache has copies.
    pub fn read_from_store(&mut self, archives: Vec<bool>) {
        self.from_store = archives;
    }

    fn is_from_store(&self, archive: u32) -> bool {
        self.from_store.get(archive as usize).copied().unwrap_or(false)
    }

    /// Reads a SigVault that is damaged in the store from the cache's copy, if there is one.
    pub fn prefer_cache(&mut self, archive: u32) {
        if let Some(from_store) = self.from_store.get_mut(archive as usize).filter(|set| **set) {
            *from_store = false;
            self.cached.remove(&archive);
            self.files.files_of(archive).for_each(|file| drop(self.opened.remove(&file)));
            // The frames of the store's file may be damaged.
            self.frames = FrameCache::new(SIGNATURE_FRAMES);
        }
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
        let len_max = SignatureLen::of(sig).check(data_len)?;
        let hash = checkable(sig)?;
        let mut read = self.gather(store, (sig, hash), len_max, job);
        if let Err(error) = &read
            && !error.ends_reading()
            && self.replace(sig, error)
        {
            read = self.gather(store, (sig, hash), len_max, job);
        }
        match read {
            Err(error) if !error.ends_reading() => self.made_again((sig, hash), len_max).ok_or(error),
            other => other,
        }
    }

    /// Reads the SigVaults of a signature that is damaged in the store from the cache's copies. False if the cache has
    /// no copy of any.
    fn replace(&mut self, sig: &SigRef, error: &Error) -> bool {
        let before = self.replaced.len();
        for range in &sig.content {
            if !self.is_from_store(range.archive) {
                continue;
            }
            let Some(archive) = self.trailer.archives.get(range.archive as usize) else { continue };
            let copy = self.cache.as_ref();
            if copy.is_some_and(|cache| cache.open(&archive.name, archive.size, &archive.digest).is_some()) {
                self.prefer_cache(range.archive);
                self.replaced.push((range.archive, error.clone()));
            }
        }
        self.replaced.len() > before
    }

    /// The SigVaults that were found to be damaged in the store since the last call, and are read from the cache now.
    pub fn take_replaced(&mut self) -> Vec<(u32, Error)> {
        std::mem::take(&mut self.replaced)
    }

    /// Returns a signature that was made again, if the cache has it. The cache keeps it under any SigVault that holds
    /// a part of the lost signature.
    fn made_again(&mut self, (sig, hash): (&SigRef, &[u8; 16]), len_max: u64) -> Option<Vec<u8>> {
        let cache = self.cache.as_ref()?;
        sig.content.iter().find_map(|range| {
            let archive = self.trailer.archives.get(range.archive as usize)?;
            let open = || SignedAgain::open(cache.stream(&archive.name)?);
            let signed = self.made_again.entry(range.archive).or_insert_with(open).as_ref()?;
            signed.read(hash, len_max)
        })
    }

    /// Reads the whole signature and its deltas, applies the deltas and checks the hash.
    fn gather(
        &mut self,
        store: &mut dyn Store,
        (sig, hash): (&SigRef, &[u8; 16]),
        len_max: u64,
        job: &mut Job,
    ) -> Result<Vec<u8>> {
        let trailer = self.trailer.clone();
        let mut bytes: Option<Vec<u8>> = None;
        let mut name = "";
        for range in &sig.content {
            let archive = trailer.archives.get(range.archive as usize);
            let archive =
                archive.ok_or_else(|| Error::new(Kind::Corrupt, "read a signature", "no such archive"))?;
            let mut part = Vec::new();
            self.read_vault(store, archive, range, job, &mut part)?;
            bytes = Some(match bytes {
                None => part,
                Some(old) => {
                    patch_signature(&old, &part, len_max).map_err(|error| error.at(&archive.name))?
                }
            });
            name = &archive.name;
        }
        let bytes = bytes.unwrap_or_default();
        if !has_hash(&bytes, hash) {
            return Err(Error::corrupt("read a signature from", name, "its hash is not the recorded one"));
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
        let is_cached = self.is_cached(store, (range.archive, archive), job)?;
        let files = self.files.clone();
        for range in files.in_files(*range) {
            let copy = self.cache.as_ref().filter(|_| is_cached);
            let copy = copy.and_then(|cache| cache.reopen(&archive.name, archive.size));
            self.read_file(store, copy, range, bytes)?;
        }
        Ok(())
    }

    /// Appends a range of a file to `bytes`. Reads it from `copy`, the cache's copy of the SigVault, if there is one.
    fn read_file(
        &mut self,
        store: &mut dyn Store,
        copy: Option<File>,
        FileRange { file, offset, len }: FileRange,
        bytes: &mut Vec<u8>,
    ) -> Result<()> {
        let start = self.files.start_in_joined(file)?;
        let mut copy = copy.map(|copy| LocalFile::from(copy, start));
        let mut stored = StoredFile { store, name: &self.files.file(file)?.name };
        let source: &mut dyn ReadAt = match &mut copy {
            Some(copy) => copy,
            None => &mut stored,
        };
        // A file that cannot be opened is not opened again for every signature.
        let opened = self.opened.entry(file).or_insert_with(|| self.files.open(source, file));
        let index = opened.as_ref().map_err(Error::clone)?;
        index.read(source, &mut self.frames, file, offset, len, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })
    }

    /// Whether a SigVault is read from the cache's copy.
    fn is_cached(
        &mut self,
        store: &mut dyn Store,
        (number, archive): (u32, &ArchiveRef),
        job: &mut Job,
    ) -> Result<bool> {
        if let Some(cached) = self.cached.get(&number) {
            return Ok(*cached);
        }
        let cached = !self.is_from_store(number) && self.make_copy(store, archive, job)?;
        self.cached.insert(number, cached);
        Ok(cached)
    }

    /// True if the cache has a copy of a SigVault. Fetches the SigVault from the store if the cache has none.
    fn make_copy(&self, store: &mut dyn Store, archive: &ArchiveRef, job: &mut Job) -> Result<bool> {
        let Some(cache) = self.cache.as_ref().filter(|_| archive.kind == BackupFileKind::SigVault) else {
            return Ok(false);
        };
        let has_copy = || cache.open(&archive.name, archive.size, &archive.digest).is_some();
        if has_copy() {
            return Ok(true);
        }
        let Some(mut copy) = cache.copy(&archive.name) else { return Ok(false) };
        match fetch_archive(store, archive, &mut |piece| copy.write(piece), job) {
            Ok(digest) if digest == archive.digest => Ok(copy.publish().is_ok() && has_copy()),
            Err(error) if error.ends_reading() => Err(error),
            // No copy, but some frames in the store may be undamaged.
            _ => Ok(false),
        }
    }
}

fn has_hash(signature: &[u8], hash: &[u8; 16]) -> bool {
    blake3::hash(signature).as_bytes()[..16] == *hash
}

/// The signatures of one lost SigVault that were made again. Their file in the cache may be damaged.
struct SignedAgain {
    stream: File,
    /// The offset and the length of each signature, by its hash.
    places: HashMap<[u8; 16], (u64, u64)>,
}

impl SignedAgain {
    fn open(stream: File) -> Option<Self> {
        let len = stream.metadata().ok()?.len();
        let (mut places, mut at) = (HashMap::new(), 0);
        let mut head = [0; SIGNED_HEAD];
        while stream.read_exact_at(&mut head, at).is_ok() {
            let (hash, signature) = signed_head(&head);
            at += SIGNED_HEAD as u64;
            if signature > len - at {
                break;
            }
            places.insert(hash, (at, signature));
            at += signature;
        }
        Some(SignedAgain { stream, places })
    }

    fn read(&self, hash: &[u8; 16], len_max: u64) -> Option<Vec<u8>> {
        let &(at, len) = self.places.get(hash)?;
        let mut bytes = vec![0; usize::try_from(len).ok().filter(|_| len <= len_max)?];
        self.stream.read_exact_at(&mut bytes, at).ok()?;
        has_hash(&bytes, hash).then_some(bytes)
    }
}
