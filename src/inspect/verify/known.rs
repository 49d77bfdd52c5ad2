//! The stored bytes that a verify has read: files of archives by name, and contents. So bytes that several snapshots
//! share are read once.

use std::collections::HashMap;

use crate::contents::{RightContents, StateArchives};
use crate::entry::Hash;
use crate::error::{Error, Kind, Result};
use crate::format::frame::{TABLE_LEN, TailInMemory};
use crate::format::{ArchiveFile, FrameIndex};
use crate::job::{Counter, Job, VerifyScope};
use crate::store::{ComingReads, NEW_FULL, Store, StoredFile, archive_fault};

/// Number of stored bytes read at a time.
const BLOCK: usize = 1 << 20;
/// The bytes at the end of a file that are kept while it is read.
const TAIL: usize = TABLE_LEN as usize;

/// The results for the files of one key.
#[derive(Default)]
pub struct KnownBytes {
    files: HashMap<String, CheckedFile>,
    /// The files that are not read yet.
    coming: ComingReads,
    /// Contents and signatures.
    pub right: RightContents,
}

/// The result of reading a file of an archive.
struct CheckedFile {
    /// Size and digest of the whole file.
    whole: Result<(u64, Hash)>,
    /// The length of the stream, if ranges of the file can be read.
    opens: Result<u64>,
}

/// The result of comparing a file of an archive with the state that names it.
pub struct FileCheck {
    /// Why this is not the file that the state names. `None` if it is.
    pub fault: Option<Error>,
    /// The file can be read and has the recorded size; only its digest is not the recorded one.
    pub is_altered: bool,
    /// Whether ranges of the file can be read.
    pub opens: bool,
}

impl KnownBytes {
    /// The files that [`KnownBytes::file`] is called for next, in this order.
    pub fn plan<'f>(&mut self, files: impl Iterator<Item = &'f ArchiveFile>) {
        let unread = files.filter(|file| !self.files.contains_key(&file.name));
        self.coming = ComingReads::of(unread.map(|file| (file.name.clone(), 0..file.size)));
    }

    /// Compares a file of the archives of a state, by its number, with its size and digest there. Reads the file if it
    /// was not read before; unless everything is verified, only its index, or only one byte if `listed`, its size in
    /// the list of the store, is not the recorded one. An error ends the verify.
    pub fn file(
        &mut self,
        store: &mut dyn Store,
        (archives, number): (&StateArchives, u32),
        listed: Option<u64>,
        job: &mut Job,
    ) -> Result<FileCheck> {
        let wanted = archives.file(number)?;
        if !self.files.contains_key(&wanted.name) {
            let stored = match job.options.verify {
                VerifyScope::Contents => CheckedFile::read(store, wanted, listed, &mut self.coming, job)?,
                VerifyScope::Presence => CheckedFile::look_up(store, wanted, listed)?,
                VerifyScope::Part { .. } => {
                    CheckedFile::look_up(store, wanted, listed)?.open(store, wanted, Vec::new())?
                }
            };
            self.files.insert(wanted.name.clone(), stored);
        }
        let stored = &self.files[&wanted.name];
        let opened = stored.opens.clone().and_then(|stream| archives.check_stream(number, stream));
        let opens = opened.is_ok();
        let mut is_altered = false;
        let fault = match &stored.whole {
            Err(error) => Some(error.clone()),
            Ok((size, digest)) => wanted_fault(wanted, Some(*size)).or_else(|| {
                let detail = format!("its digest is {digest}, expected {}", wanted.digest);
                is_altered = opens && *digest != wanted.digest;
                let differs = || Error::corrupt("verify", &wanted.name, detail);
                (*digest != wanted.digest).then(differs).or_else(|| opened.err())
            }),
        };
        Ok(FileCheck { fault, is_altered, opens })
    }
}

impl CheckedFile {
    /// Reads a file. An error ends the verify.
    fn read(
        store: &mut dyn Store,
        wanted: &ArchiveFile,
        listed: Option<u64>,
        coming: &mut ComingReads,
        job: &mut Job,
    ) -> Result<Self> {
        let mut tail = Vec::new();
        let whole = read_whole(store, wanted, listed, (coming, &mut tail), job)?;
        if !matches!(whole, Ok((size, _)) if size == wanted.size) {
            tail.clear();
        }
        CheckedFile { whole, opens: Ok(wanted.stream) }.open(store, wanted, tail)
    }

    /// Looks whether a file is there with its size, and takes its digest and its stream for granted. If its `listed`
    /// size is not the recorded one, the file's last byte is read and one more is tried: the file may have been stored
    /// after the list was made.
    fn look_up(store: &mut dyn Store, wanted: &ArchiveFile, listed: Option<u64>) -> Result<Self> {
        let mut last_two = [0; 2];
        let whole = match wanted_fault(wanted, listed) {
            None => Ok(()),
            Some(fault) => match store.read_at(&wanted.name, wanted.size.saturating_sub(1), &mut last_two) {
                Ok(1) => Ok(()),
                Ok(_) => Err(fault),
                Err(error) if error.kind == Kind::NotFound => {
                    Err(wanted_fault(wanted, None).unwrap_or(error))
                }
                Err(error) if error.ends_reading() => return Err(error),
                Err(error) => Err(error.at(&wanted.name)),
            },
        };
        let whole = whole.map(|()| (wanted.size, wanted.digest));
        Ok(CheckedFile { whole, opens: Ok(wanted.stream) })
    }

    /// Reads the index of a file that is whole. `tail` has the last bytes of the file, as far as they are known. An
    /// error ends the verify.
    fn open(self, store: &mut dyn Store, wanted: &ArchiveFile, tail: Vec<u8>) -> Result<Self> {
        let mut stored = StoredFile { store, name: &wanted.name };
        let mut file = TailInMemory::new(&mut stored, wanted.size, tail);
        let opened = match &self.whole {
            Ok(_) => FrameIndex::open(&mut file, &wanted.name, wanted.size, wanted.compressed()),
            Err(error) => Err(error.clone()),
        };
        match opened {
            Err(error) if error.ends_reading() => Err(error),
            opened => Ok(CheckedFile { opens: opened.map(|index| index.stream_len()), ..self }),
        }
    }
}

/// The fault of a stored file of the size `found` (`None` if the file is gone) as the file of an archive that a
/// state names.
fn wanted_fault(wanted: &ArchiveFile, found: Option<u64>) -> Option<Error> {
    let (kind, what) = archive_fault(wanted, found)?;
    Some(Error::new(kind, "verify", format!("{what}; {NEW_FULL}")).at(&wanted.name))
}

/// Reads a stored file to its end, and puts its last [`TAIL`] bytes into `tail`. The end is where the state and the
/// list of the store (`listed`) say. If these differ, it is where the store has no more bytes. The outer error ends the
/// verify. The progress always advances by the size that the state names.
fn read_whole(
    store: &mut dyn Store,
    wanted: &ArchiveFile,
    listed: Option<u64>,
    (coming, tail): (&mut ComingReads, &mut Vec<u8>),
    job: &mut Job,
) -> Result<Result<(u64, Hash)>> {
    let mut hasher = blake3::Hasher::new();
    let mut buf = vec![0; BLOCK];
    let mut size = 0;
    let end = listed.filter(|listed| *listed == wanted.size).unwrap_or(u64::MAX);
    let whole = loop {
        coming.begin(store, &wanted.name, size);
        let want = (end - size).min(BLOCK as u64) as usize;
        let read = if want == 0 { Ok(0) } else { store.read_at(&wanted.name, size, &mut buf[..want]) };
        match read {
            Ok(0) => break Ok((size, hasher.finalize().into())),
            Ok(got) => {
                hasher.update(&buf[..got]);
                tail.extend_from_slice(&buf[got.saturating_sub(TAIL)..got]);
                tail.drain(..tail.len().saturating_sub(TAIL));
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
