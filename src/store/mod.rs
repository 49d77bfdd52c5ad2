//! The places that hold backup files: list, read a range, write, commit, delete, lock.

pub mod cache;
pub mod callbacks;
pub mod catalog;
pub mod dates;
pub mod dir;
mod dry_run;
mod key_lock;
mod left_behind;
mod listing;
mod lost;
mod mark;
mod misnamed;
mod newest;
#[cfg(feature = "object-store")]
pub mod object;
mod open;
mod own;
mod partial_states;
mod read_ahead;
pub mod report;
mod stateless;
mod states;
mod summaries;

use std::any::Any;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::entry::{FileType, Hash};
use crate::error::{Error, Kind, Result, describe};
use crate::format::names::{BackupFileKind, check_key};
use crate::format::{ArchiveRef, ReadAt, Sink, part_name};
use crate::job::{BackupFile, Cancel, Job, Problem, ProblemKind};
use crate::platform::{self, Dir, LockPart};
use crate::stamp::Time;

pub use cache::Cache;
pub use callbacks::CallbackStore;
pub use catalog::{Catalog, StateFile};
pub use dates::Dates;
pub use dir::{DirAccess, DirStore};
pub use dry_run::DryRunStore;
pub use key_lock::{KeyLock, Turn, lock};
pub use left_behind::{report_left, report_left_behind};
pub use listing::KeyListing;
pub use lost::{NEW_FULL, archive_fault};
pub use mark::{mark_of, newest_known, write_mark};
pub use misnamed::Misnamed;
pub use newest::{Newest, all_damaged, far_after, newest, newest_file};
pub use open::{check_expected, open_selected, open_selected_part};
pub use own::OwnPlaces;
pub use partial_states::{PartialFile, is_current};
pub use read_ahead::{ComingReads, ReadingAhead};
pub use stateless::StatelessArchives;
pub use states::{KeyStates, LostLayer};
pub use summaries::Summaries;

/// A file of a store: a committed backup file, or a foreign file that has the name of a backup file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub name: String,
    pub size: u64,
}

/// How a key is locked. A store without locks grants every lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// For restore, compare, list, verify and the like: excludes deletion.
    Read,
    /// For dry runs: like `Read`, but the store is not changed for the lock. Where that would be necessary, the lock
    /// excludes nobody.
    Forecast,
    /// For backups and consolidations, which only add files: excludes other writers and deletion, not readers.
    Write,
    /// For prunes: excludes all other operations.
    Delete,
}

impl LockMode {
    /// True for the locks of operations that change nothing.
    pub fn only_reads(self) -> bool {
        matches!(self, LockMode::Read | LockMode::Forecast)
    }
}

/// Number of bytes that [`fetch`] reads at a time.
const FETCH: u64 = 1 << 20;

/// The functions of a store that an operation needs. An operation that writes or deletes needs [`Need::Read`] too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// List and read: restore, list, verify.
    Read,
    /// Create objects: backup, consolidate.
    Write,
    /// Remove objects: prune.
    Delete,
}

/// A granted lock. Dropping the value releases the lock.
pub type Lock = Box<dyn Any>;

/// A place for backup files. A committed file never changes. All calls come from one thread.
pub trait Store {
    /// Returns `Unsupported`, with the name of the missing function, if this store can never meet `need`. Every
    /// operation checks this before it touches anything. `doing` completes the message "cannot DOING".
    fn require(&self, _need: Need, _doing: &str) -> Result<()> {
        Ok(())
    }

    /// Returns `NotFound`, with the store's path, if the store does not exist. Every operation except a backup checks
    /// this.
    fn check_exists(&mut self) -> Result<()> {
        Ok(())
    }

    /// The flag of the operation that calls this store from now on. A store that may wait long returns `Cancelled`
    /// within a second after the flag is set.
    fn watch(&mut self, _cancel: &Cancel) {}

    /// Returns every committed object whose name starts with `prefix`, in any order.
    fn list(&mut self, prefix: &str) -> Result<Vec<Object>>;

    /// Reads into `buf` from `offset` and returns the number of bytes read. Fewer bytes than asked for mean the end
    /// of the object, 0 bytes mean that `offset` is at or past the end. `NotFound` if there is no object `name`.
    fn read_at(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> Result<usize>;

    /// From now on, [`Store::read_ahead`] may begin reads on other threads, until [`Store::stop_reading_ahead`].
    /// [`ReadingAhead`] calls both. Reads that have not begun when `cancel` is set are left out. A store that is called
    /// by one thread only, or that is a directory, reads nothing ahead.
    fn start_reading_ahead(&mut self, _cancel: &Cancel) {}

    /// Begins to read a range that [`Store::read_at`] will be asked for soon. False if the store does not, for now or
    /// for ever: the range is then read when it is needed.
    fn read_ahead(&mut self, _name: &str, _range: Range<u64>) -> bool {
        false
    }

    /// Ends the threads of [`Store::read_ahead`]. Waits for the reads that have begun.
    fn stop_reading_ahead(&mut self) {}

    /// Begins an object that stays invisible until [`Draft::publish`]. Dropping the draft discards the object.
    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>>;

    /// Makes the names of published objects durable: after this call, a power cut removes none of them.
    fn sync(&mut self) -> Result<()>;

    /// Removes an object. An object that does not exist counts as removed.
    fn delete(&mut self, name: &str) -> Result<()>;

    /// False if [`Store::lock`] excludes nobody. A file that no state names may then belong to a backup that is still
    /// running, so unreferenced files must not be removed.
    fn has_locks(&self) -> bool {
        true
    }

    /// Tries once to lock `key`. `Busy` if another operation holds the lock: the caller waits and tries again.
    /// `Unsupported` where locks are impossible.
    fn lock(&mut self, key: &str, mode: LockMode) -> Result<Lock>;

    /// True if a backup, a consolidation or a prune holds the lock of `key` now, or if the store cannot say. The answer
    /// may be outdated at once, so only a forecast may use it.
    fn is_written_now(&mut self, _key: &str) -> Result<bool> {
        Ok(!self.has_locks())
    }

    /// Takes the turn of the prune that waits for `key` (see [`Turn`]). `None` if another prune has the turn, or if the
    /// store has no turns.
    fn take_turn(&mut self, _key: &str) -> Result<Option<Box<dyn Turn>>> {
        Ok(None)
    }

    /// Removes temporary files of runs that were killed, and returns the names of the removed files. `locked` is the
    /// key that the caller has locked for writing, so that nobody else writes to that key. `None` if the caller has no
    /// such lock because nothing could be locked.
    fn sweep_drafts(&mut self, _locked: Option<&str>) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Returns the files that [`Store::sweep_drafts`] or a dropped draft could not remove since the last call: the name
    /// and the error of each. Call [`report_left_behind`] at the end of a run.
    fn take_left_behind(&mut self) -> Vec<(String, Error)> {
        Vec::new()
    }

    /// Returns everything that has the name of a backup file, starting with `prefix`, and is not a regular file: for
    /// each, the name and the type. [`Store::list`] leaves these out and no operation reads them. But a user who moved
    /// a state elsewhere may have left a symbolic link to it.
    fn not_regular(&mut self, _prefix: &str) -> Result<Vec<(String, FileType)>> {
        Ok(Vec::new())
    }

    /// True if reading stored bytes takes little time and costs nothing, for example on a local disk. An increment then
    /// compares files with their old contents, and reads states from the store instead of the cache.
    fn reads_cheaply(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// Device and inode of the store's directory. `None` if the store is no directory or does not exist.
    fn directory(&mut self) -> Result<Option<(u64, u64)>> {
        Ok(None)
    }

    /// The path of the object. `None` if the store is no directory.
    fn path_of(&self, name: &str) -> Option<PathBuf>;
}

/// An object while it is written.
pub trait Draft {
    fn name(&self) -> &str;
    fn write(&mut self, data: &[u8]) -> Result<()>;
    /// Makes the bytes durable and closes the object for writing.
    fn seal(&mut self) -> Result<()>;
    /// Begins another object of the same store, the next part of an archive. Seals this object and frees what it holds
    /// open, because it waits for [`Draft::publish`] while the other parts are written, and there may be thousands of
    /// them. A store of functions may give the object its name already. Dropping the draft then removes the object.
    fn begin_next(&mut self, name: &str) -> Result<Box<dyn Draft>>;
    /// Gives a sealed object its name. `Exists` if the name is taken: no object is ever replaced.
    fn publish(self: Box<Self>) -> Result<()>;
    /// Gives a sealed object the name of an object that is damaged or gone. A directory always has the old or the new
    /// object under the name. A [`callbacks::Backend`] cannot replace an object, so the old object is deleted first,
    /// and for a moment there is no object. After [`Store::sync`], the store reads the new object.
    fn replace(self: Box<Self>) -> Result<()>;
}

/// Describes a file of a store for a report.
pub fn backup_file(store: &dyn Store, name: String, kind: BackupFileKind, size: u64) -> BackupFile {
    let path = store.path_of(&name).map(|path| path_bytes(&path).to_vec());
    BackupFile { name, kind: kind.word(), path, size }
}

/// Checks that the store exists and meets `need`. Every operation except a backup begins with this check.
pub fn require_existing(store: &mut dyn Store, need: Need, doing: &str) -> Result<()> {
    store.require(need, doing)?;
    store.check_exists()
}

/// Begins an operation on an existing store and one key: checks the key and the store, and notes the start and the key
/// in the report. Returns the key.
pub fn begin(store: &mut dyn Store, key: &str, need: Need, doing: &str, job: &mut Job) -> Result<String> {
    let key = check_key(key.as_bytes())?;
    require_existing(store, need, doing)?;
    job.report.date = Time::now();
    job.report.key = Some(key.clone());
    Ok(key)
}

/// Removes temporary files that killed runs of `key` left, and lists each as a note, also those that cannot be removed.
/// `lock` is a lock on `key` for writing or deleting. Readers may run at the same time, because they never read a
/// temporary file.
pub fn sweep_drafts(store: &mut dyn Store, key: &str, lock: &KeyLock, job: &mut Job) -> Result<()> {
    for name in store.sweep_drafts(Some(key).filter(|_| lock.keeps_writers_out()))? {
        let error = Error::new(Kind::Io, "keep", "a killed run left it; it was removed").at(&name);
        let problem = Problem::of_whole(ProblemKind::Leftover, &error);
        job.problem(problem.in_file(&name), error)?;
    }
    report_left_behind(store, job)
}

/// True if nobody writes the temporary file `temp` any more: a writer would hold a lock on the file. `None` if this is
/// unknown, because the file cannot be opened or locks are impossible. False if `temp` is not a regular file: then it
/// is not a draft.
fn is_unheld(dir: &Dir, temp: &str) -> Option<bool> {
    match dir.open_regular(temp.as_bytes()).ok()? {
        Ok(file) => platform::try_lock(&file, LockPart::Key, false).ok(),
        Err(_) => Some(false),
    }
}

/// The raw bytes of a path.
pub fn path_bytes(path: &Path) -> &[u8] {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes()
}

/// An object of a store, for the readers in [`crate::format`].
pub struct StoredFile<'a> {
    pub store: &'a mut dyn Store,
    pub name: &'a str,
}

impl ReadAt for StoredFile<'_> {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.store.read_at(self.name, offset, buf)
    }

    fn is_far(&mut self) -> bool {
        self.store.reads_cheaply().is_ok_and(|cheaply| !cheaply)
    }
}

/// Passes all `size` bytes of a stored file to `take` and returns their BLAKE3. `Corrupt` if the file is shorter.
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

/// Passes all bytes of an archive to `take`, part after part, and returns their BLAKE3. `Corrupt` if a file is shorter
/// than the state says.
pub fn fetch_archive(
    store: &mut dyn Store,
    archive: &ArchiveRef,
    take: &mut dyn FnMut(&[u8]),
    job: &mut Job,
) -> Result<Hash> {
    if archive.parts.is_empty() {
        return fetch(&mut StoredFile { store, name: &archive.name }, archive.size, take, job);
    }
    let mut hasher = blake3::Hasher::new();
    for part in &archive.parts {
        let mut stored = StoredFile { store: &mut *store, name: &part.name };
        let mut take = |piece: &[u8]| {
            hasher.update(piece);
            take(piece);
        };
        fetch(&mut stored, part.size, &mut take, job)?;
    }
    Ok(hasher.finalize().into())
}

/// A draft for the writers in [`crate::format`], with an optional copy for the cache. The copy of an archive in parts
/// has the bytes of all parts, one part after the other.
pub struct DraftSink {
    /// The name of the archive, which is that of its first part.
    name: String,
    /// The parts that are complete.
    complete: Vec<Box<dyn Draft>>,
    draft: Box<dyn Draft>,
    pub copy: Option<cache::Copy>,
}

impl DraftSink {
    pub fn new(draft: Box<dyn Draft>, copy: Option<cache::Copy>) -> Self {
        DraftSink { name: draft.name().to_string(), complete: Vec::new(), draft, copy }
    }

    /// The drafts of all parts in order, and the copy for the cache.
    pub fn into_drafts(self) -> (Vec<Box<dyn Draft>>, Option<cache::Copy>) {
        let DraftSink { mut complete, draft, copy, .. } = self;
        complete.push(draft);
        (complete, copy)
    }

    /// Takes the drafts of the parts that are complete, apart from those that were taken before.
    pub fn take_complete(&mut self) -> Vec<Box<dyn Draft>> {
        std::mem::take(&mut self.complete)
    }
}

impl Sink for DraftSink {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        if let Some(copy) = &mut self.copy {
            copy.write(data);
        }
        self.draft.write(data)
    }

    fn begin_part(&mut self, number: u32) -> Result<()> {
        let next = self.draft.begin_next(&part_name(&self.name, number))?;
        self.complete.push(std::mem::replace(&mut self.draft, next));
        Ok(())
    }
}

/// A file of the cache, or one part of it, for the readers in [`crate::format`].
pub struct LocalFile {
    file: std::fs::File,
    /// The offset in `file` that counts as 0.
    start: u64,
}

impl LocalFile {
    pub fn new(file: std::fs::File) -> Self {
        LocalFile { file, start: 0 }
    }

    /// The part of the file that begins at the offset `start`.
    pub fn from(file: std::fs::File, start: u64) -> Self {
        LocalFile { file, start }
    }
}

impl ReadAt for LocalFile {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        use std::os::unix::fs::FileExt;
        let read = self.file.read_at(buf, self.start.saturating_add(offset));
        read.map_err(|e| Error::new(Kind::Io, "read the cache", describe(&e)))
    }
}
