//! Where backup files are held: list, read a range, write, commit, delete, lock.

pub mod cache;
pub mod callbacks;
pub mod catalog;
pub mod dates;
pub mod dir;
mod key_lock;
mod lost;
mod newest;
mod open;
mod own;
pub mod report;

use std::any::Any;
use std::path::{Path, PathBuf};

use crate::entry::Hash;
use crate::error::{describe, Error, Kind, Result};
use crate::format::names::Kind as FileKind;
use crate::format::{ReadAt, Sink};
use crate::job::{BackupFile, Job, Problem, ProblemKind};
use crate::platform::{self, Dir, LockPart};

pub use cache::Cache;
pub use callbacks::CallbackStore;
pub use catalog::{Catalog, StateFile};
pub use dates::Dates;
pub use dir::DirStore;
pub use key_lock::{lock, KeyLock, Turn};
pub use lost::{archive_fault, NEW_FULL};
pub use newest::{far_after, newest, newest_file};
pub use open::{check_expected, open_selected, open_selected_part};
pub use own::OwnPlaces;

/// A committed backup file, or anything else the place holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub name: String,
    pub size: u64,
}

/// How a key is locked. A store without locks grants every one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Restore, list, verify: beside other readers.
    Shared,
    /// Backup, prune, consolidate: alone.
    Exclusive,
}

/// Bytes that [`fetch`] reads at a time.
const FETCH: u64 = 1 << 20;

/// What an operation must be able to do with a store. Whoever writes or deletes reads as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// List and read: restore, list, verify.
    Read,
    /// And make objects: backup, consolidate.
    Write,
    /// And remove them: prune.
    Delete,
}

/// Held while it lives.
pub type Lock = Box<dyn Any>;

/// A place for backup files. Committed files never change. All calls come from one thread.
pub trait Store {
    /// `Unsupported`, naming what is missing, if this store can never meet `need`. Every operation asks
    /// before it touches anything; `doing` is for the message: "cannot DOING".
    fn require(&self, _need: Need, _doing: &str) -> Result<()> {
        Ok(())
    }

    /// `NotFound`, naming it, if the whole store is not there: whoever only reads or removes asks.
    fn check_exists(&mut self) -> Result<()> {
        Ok(())
    }

    /// Every committed object whose name starts with `prefix`, in any order.
    fn list(&mut self, prefix: &str) -> Result<Vec<Object>>;

    /// Reads into `buf` from `offset`; returns the bytes read, fewer than asked only at the end (0 at or
    /// past it). An absent name is `NotFound`.
    fn read_at(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> Result<usize>;

    /// Begins an object that nobody sees until it is published. Dropping the draft abandons it.
    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>>;

    /// Makes published names durable. After this a power cut takes none of them back.
    fn sync(&mut self) -> Result<()>;

    /// Removes an object; an absent one is success.
    fn delete(&mut self, name: &str) -> Result<()>;

    /// False if [`Store::lock`] keeps nobody out. What no state names may then be the work of a run that has
    /// not ended, so nothing may be swept.
    fn has_locks(&self) -> bool {
        true
    }

    /// Locks `key`, or `Busy`. One try: waiting is the caller's loop. `Unsupported` where nothing can be locked.
    fn lock(&mut self, key: &str, mode: LockMode) -> Result<Lock>;

    /// Takes the turn of a writer that waits for `key`. `None` if another writer has it, or the store knows no turns.
    fn take_turn(&mut self, _key: &str) -> Result<Option<Box<dyn Turn>>> {
        Ok(None)
    }

    /// Removes what killed runs left under temporary names, and tells which. `locked` is the key whose exclusive lock
    /// the caller holds: nobody else writes to that key. `None` where nothing could be locked.
    fn sweep_drafts(&mut self, _locked: Option<&str>) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Names of backup files that start with `prefix` and are symbolic links. They are not listed and never read, but
    /// whoever moved a state elsewhere may have left a link to it.
    fn links(&mut self, _prefix: &str) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Device and inode of the store's directory, if the store is one and it is there.
    fn directory(&mut self) -> Result<Option<(u64, u64)>> {
        Ok(None)
    }

    /// The object's path, if the store is a directory.
    fn path_of(&self, name: &str) -> Option<PathBuf>;
}

/// An object being written.
pub trait Draft {
    fn name(&self) -> &str;
    fn write(&mut self, data: &[u8]) -> Result<()>;
    /// Makes the bytes durable and closes the object for writing.
    fn seal(&mut self) -> Result<()>;
    /// Gives a sealed object its name, never replacing one (`Exists`).
    fn publish(self: Box<Self>) -> Result<()>;
}

/// A file of a store as reports list it.
pub fn backup_file(store: &dyn Store, name: String, kind: FileKind, size: u64) -> BackupFile {
    let path = store.path_of(&name).map(|path| path_bytes(&path).to_vec());
    BackupFile { name, kind: kind.word(), path, size }
}

/// Meets `need` of a store that is there: what every operation that makes nothing new asks for first.
pub fn require_existing(store: &mut dyn Store, need: Need, doing: &str) -> Result<()> {
    store.require(need, doing)?;
    store.check_exists()
}

/// Removes what killed runs of `key` left under temporary names, and notes each. `lock` is the writer's of `key`.
pub fn sweep_drafts(store: &mut dyn Store, key: &str, lock: &KeyLock, job: &mut Job) -> Result<()> {
    for name in store.sweep_drafts(Some(key).filter(|_| lock.keeps_writers_out()))? {
        let error = Error::new(Kind::Io, "keep", "a killed run left it; it was removed").at(&name);
        let problem = Problem::of_whole(ProblemKind::Leftover, &error);
        job.problem(problem.in_file(&name), error)?;
    }
    Ok(())
}

/// Whether nobody writes a temporary file any more: its writer holds a lock on it. `None` if that cannot be known: it
/// cannot be opened, or nothing can be locked. What is no regular file is nobody's draft.
fn is_unheld(dir: &Dir, temp: &str) -> Option<bool> {
    match dir.open_regular(temp.as_bytes()).ok()? {
        Ok(file) => platform::try_lock(&file, LockPart::Key, false).ok(),
        Err(_) => Some(false),
    }
}

/// A path's raw bytes.
pub fn path_bytes(path: &Path) -> &[u8] {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes()
}

/// One object of a store, as the readers of [`crate::format`] want it.
pub struct StoredFile<'a> {
    pub store: &'a mut dyn Store,
    pub name: &'a str,
}

impl ReadAt for StoredFile<'_> {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.store.read_at(self.name, offset, buf)
    }
}

/// Hands all `size` bytes of a stored file to `take` and returns their BLAKE3. `Corrupt` if there are fewer.
pub fn fetch(source: &mut StoredFile, size: u64, take: &mut dyn FnMut(&[u8]), job: &mut Job) -> Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut buf = vec![0; size.min(FETCH) as usize];
    let mut at = 0;
    while at < size {
        job.pulse()?;
        let want = (size - at).min(FETCH) as usize;
        let got = source.read_at(at, &mut buf[..want])?;
        if got == 0 {
            return Err(Error::corrupt("read", source.name, format!("it ends at {at} of {size} bytes")));
        }
        hasher.update(&buf[..got]);
        take(&buf[..got]);
        at += got as u64;
    }
    Ok(hasher.finalize().into())
}

/// A draft as the writers of [`crate::format`] want it, with an optional copy for the cache.
pub struct DraftSink {
    pub draft: Box<dyn Draft>,
    pub copy: Option<cache::Copy>,
}

impl Sink for DraftSink {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        if let Some(copy) = &mut self.copy {
            copy.write(data);
        }
        self.draft.write(data)
    }
}

/// A file of the cache, as the readers of [`crate::format`] want it.
pub struct LocalFile(pub std::fs::File);

impl ReadAt for LocalFile {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        use std::os::unix::fs::FileExt;
        self.0.read_at(buf, offset).map_err(|e| Error::new(Kind::Io, "read the cache", describe(&e)))
    }
}
