//! Compares stored contents and signatures with their recorded hashes.

use std::collections::HashSet;
use std::sync::Arc;

use crate::entry::{Entry, File, Hash, Range, SigRef};
use crate::error::{Error, Kind, Result};
use crate::format::ArchiveRef;
use crate::format::names::BackupFileKind;
use crate::job::{Cancel, Counter, Job};
use crate::pool::Pool;
use crate::store::Store;

use super::reader::Contents;
use super::signature::checkable;

/// The most fingerprints of undamaged contents that are kept, in about 40 MiB of memory. Contents beyond this number
/// are read again each time.
const RIGHT_MAX: usize = 1 << 20;

/// The contents and signatures that were read and are right, by their fingerprints. So bytes that several entries or
/// snapshots share are read once.
#[derive(Default)]
pub struct RightContents(HashSet<[u8; 16]>);

impl RightContents {
    fn has(&self, fingerprint: &[u8; 16]) -> bool {
        self.0.contains(fingerprint)
    }

    fn add(&mut self, fingerprint: [u8; 16]) {
        if self.0.len() < RIGHT_MAX {
            self.0.insert(fingerprint);
        }
    }
}

impl Contents {
    /// Reads a content, and passes the length of each piece to `seen`. Returns the hash, or the reason why the content
    /// cannot be read. The outer error ends the operation.
    pub fn hash(
        &mut self,
        store: &mut dyn Store,
        entry: &Entry,
        seen: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Result<Hash>> {
        let mut hasher = blake3::Hasher::new();
        let read = self.read(store, entry, &mut |bytes| {
            hasher.update(bytes);
            seen(bytes.len() as u64)
        })?;
        Ok(read.map(|()| hasher.finalize().into()))
    }
}

/// Reads the contents and signatures of the entries of one state, composed as for a restore.
pub struct ContentCheck {
    archives: Arc<[ArchiveRef]>,
    contents: Contents,
    /// Reads signatures. Separate from `contents`, so that neither evicts frames of the other.
    signatures: Contents,
}

impl ContentCheck {
    pub fn new(archives: &[ArchiveRef], pool: &Arc<Pool>, cancel: &Cancel) -> Self {
        ContentCheck {
            archives: archives.into(),
            contents: Contents::new(archives).with_pool(pool.clone()).with_cancel(cancel),
            signatures: Contents::new(archives),
        }
    }

    /// See [`Contents::reading_all`].
    pub fn reading_all(self, reads_all: bool) -> Self {
        let ContentCheck { archives, contents, signatures } = self;
        let (contents, signatures) = (contents.reading_all(reads_all), signatures.reading_all(reads_all));
        ContentCheck { archives, contents, signatures }
    }

    /// The readers of contents and of signatures, for messages.
    pub fn readers(&self) -> (&Contents, &Contents) {
        (&self.contents, &self.signatures)
    }

    /// Whether ranges of a file can be read: the seek table is right. `file` is the number of the file in
    /// [`StateArchives`](super::StateArchives). The outer error ends the operation.
    pub fn opens(&mut self, store: &mut dyn Store, file: u32) -> Result<Result<()>> {
        let reader = match self.contents.archives().file(file)?.kind {
            BackupFileKind::SigVault => &mut self.signatures,
            _ => &mut self.contents,
        };
        match reader.index(store, file) {
            Err(error) if error.ends_reading() => Err(error),
            opened => Ok(opened.map(|_| ())),
        }
    }

    /// Compares the content of `entry` with its hash. Returns the reason if the content is lost. The outer error ends
    /// the operation. The progress always advances by the size of the file.
    pub fn content(
        &mut self,
        store: &mut dyn Store,
        (entry, file): (&Entry, &File),
        right: &mut RightContents,
        job: &mut Job,
    ) -> Result<Option<Error>> {
        let fingerprint = fingerprint(&file.hash.0, file.data_len(), &entry.place.content, &self.archives);
        if right.has(&fingerprint) {
            job.advance(file.size)?;
            return Ok(None);
        }
        Ok(match self.read(store, entry, file.size, job)? {
            Ok((len, hash)) if len == file.data_len() && hash == file.hash => {
                right.add(fingerprint);
                None
            }
            Ok((len, hash)) => {
                let mut error = self.contents.differs(entry, file);
                error.detail += &format!("; found {len} bytes, {hash}");
                Some(error)
            }
            Err(error) => Some(error),
        })
    }

    /// Reads a content, and counts the bytes in the report. Returns the length and the hash of the content, or the
    /// reason why the content cannot be read.
    fn read(
        &mut self,
        store: &mut dyn Store,
        entry: &Entry,
        size: u64,
        job: &mut Job,
    ) -> Result<Result<(u64, Hash)>> {
        let mut len = 0;
        let read = self.contents.hash(store, entry, &mut |got| {
            job.report.count(Counter::BytesRead, got);
            let advance = got.min(size.saturating_sub(len));
            len += got;
            job.advance(advance)
        });
        job.advance(size.saturating_sub(len))?;
        Ok(read?.map(|hash| (len, hash)))
    }

    /// Compares the signature `sig` of `entry` with its hash. Returns the reason if the signature is lost or cannot be
    /// checked. The outer error ends the operation.
    pub fn signature(
        &mut self,
        store: &mut dyn Store,
        (entry, sig): (&Entry, &SigRef),
        right: &mut RightContents,
        job: &mut Job,
    ) -> Result<Option<Error>> {
        let hash = match checkable(sig) {
            Ok(hash) => hash,
            Err(error) => return Ok(Some(error)),
        };
        // The length of a signature is not recorded.
        let fingerprint = fingerprint(hash, 0, &sig.content, &self.archives);
        if right.has(&fingerprint) {
            return Ok(None);
        }
        let mut hasher = blake3::Hasher::new();
        let read = self.signatures.read_signature(store, entry, sig, &mut |bytes| {
            hasher.update(bytes);
            job.report.count(Counter::BytesRead, bytes.len() as u64);
            job.pulse()
        })?;
        Ok(match read {
            Ok(()) if hasher.finalize().as_bytes()[..16] == *hash => {
                right.add(fingerprint);
                None
            }
            Ok(()) => {
                let error = Error::new(Kind::Corrupt, "verify", "its hash is not the recorded one");
                let archives = self.signatures.archives();
                let file = archives.files_in(&sig.content).next().and_then(|file| archives.file(file).ok());
                Some(file.map_or(error.clone(), |file| error.at(&file.name)))
            }
            Err(error) => Some(error),
        })
    }
}

/// The fingerprint of a content: a digest of its expected hash, its expected length and its ranges. Two contents with
/// equal fingerprints count as equal, because a collision of 128 bits is very unlikely.
fn fingerprint(expected: &[u8], len: u64, ranges: &[Range], archives: &[ArchiveRef]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(expected);
    part(&len.to_le_bytes());
    for range in ranges {
        let archive = archives.get(range.archive as usize);
        part(archive.map_or(b"", |archive| archive.name.as_bytes()));
        let size = archive.map_or(0, |archive| archive.size);
        [size, range.offset, range.len].iter().for_each(|number| part(&number.to_le_bytes()));
    }
    let mut short = [0; 16];
    hasher.finalize_xof().fill(&mut short);
    short
}
