//! What a verify has read already: archives by name, contents by fingerprint. Nothing is read twice because
//! several snapshots share it.

use std::collections::{HashMap, HashSet};

use crate::entry::{Hash, Range};
use crate::error::{Error, Kind, Result};
use crate::format::{ArchiveRef, FrameIndex};
use crate::job::{Counter, Job};
use crate::store::{archive_fault, Store, StoredFile, NEW_FULL};

/// Contents remembered as right: about 40 MiB of memory. Those beyond are read again in each snapshot.
const RIGHT_MAX: usize = 1 << 20;
/// Stored bytes read at a time.
const BLOCK: usize = 1 << 20;

/// What is known of the files of one key.
#[derive(Default)]
pub struct Known {
    archives: HashMap<String, Stored>,
    right: HashSet<[u8; 16]>,
}

/// A stored archive as it was found.
struct Stored {
    /// Size and digest, read from start to end.
    whole: Result<(u64, Hash)>,
    /// Whether ranges of it can be asked for.
    opens: Result<()>,
}

/// What became of an archive that a state names.
pub struct Verdict {
    /// Why it is not the file that the state names.
    pub fault: Option<Error>,
    /// Ranges of it can be asked for.
    pub opens: bool,
}

impl Known {
    /// Compares an archive with what a state says of it; it is read if it was not yet. An error ends the
    /// verify.
    pub fn archive(&mut self, store: &mut dyn Store, wanted: &ArchiveRef, job: &mut Job) -> Result<Verdict> {
        if !self.archives.contains_key(&wanted.name) {
            let stored = Stored::read(store, wanted, job)?;
            self.archives.insert(wanted.name.clone(), stored);
        }
        let stored = &self.archives[&wanted.name];
        let fault = match &stored.whole {
            Err(error) => Some(error.clone()),
            Ok((size, digest)) => wanted_fault(wanted, Some(*size)).or_else(|| {
                let detail = format!("its digest is {digest}, expected {}", wanted.digest);
                let differs = || Error::corrupt("verify", &wanted.name, detail);
                (*digest != wanted.digest).then(differs).or_else(|| stored.opens.as_ref().err().cloned())
            }),
        };
        Ok(Verdict { fault, opens: stored.opens.is_ok() })
    }

    pub fn is_right(&self, fingerprint: &[u8; 16]) -> bool {
        self.right.contains(fingerprint)
    }

    pub fn add_right(&mut self, fingerprint: [u8; 16]) {
        if self.right.len() < RIGHT_MAX {
            self.right.insert(fingerprint);
        }
    }
}

/// What two contents that are read from the same bytes, with the same expectation, have in common; 128 bits
/// tell all others apart.
pub fn fingerprint(expected: &[u8], len: u64, ranges: &[Range], archives: &[ArchiveRef]) -> [u8; 16] {
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

impl Stored {
    /// An error ends the verify.
    fn read(store: &mut dyn Store, wanted: &ArchiveRef, job: &mut Job) -> Result<Self> {
        let whole = read_whole(store, wanted, job)?;
        let mut file = StoredFile { store, name: &wanted.name };
        let opened = match &whole {
            Ok(_) => FrameIndex::open(&mut file, &wanted.name, wanted.size, wanted.compressed()),
            Err(error) => Err(error.clone()),
        };
        match opened {
            Err(error) if error.ends_reading() => Err(error),
            opened => Ok(Stored { whole, opens: opened.map(|_| ()) }),
        }
    }
}

/// Why a stored file of this size, or none, is not the archive that a state names.
fn wanted_fault(wanted: &ArchiveRef, found: Option<u64>) -> Option<Error> {
    let (kind, what) = archive_fault(wanted, found)?;
    Some(Error::new(kind, "verify", format!("{what}; {NEW_FULL}")).at(&wanted.name))
}

/// Reads a stored file to its end. The outer error ends the verify. Progress counts the size that the state
/// names, whatever is there.
fn read_whole(store: &mut dyn Store, wanted: &ArchiveRef, job: &mut Job) -> Result<Result<(u64, Hash)>> {
    let mut hasher = blake3::Hasher::new();
    let mut buf = vec![0; BLOCK];
    let mut size = 0;
    let whole = loop {
        match store.read_at(&wanted.name, size, &mut buf) {
            Ok(0) => break Ok((size, hasher.finalize().into())),
            Ok(got) => {
                hasher.update(&buf[..got]);
                job.report.count(Counter::BytesRead, got as u64);
                job.advance((got as u64).min(wanted.size.saturating_sub(size)))?;
                size += got as u64;
            }
            Err(error) if error.kind == Kind::NotFound => {
                break Err(wanted_fault(wanted, None).unwrap_or(error));
            }
            Err(error) if !error.ends_reading() => break Err(error.at(&wanted.name)),
            Err(error) => return Err(error),
        }
    };
    job.advance(wanted.size.saturating_sub(size))?;
    Ok(whole)
}
