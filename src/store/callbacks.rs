//! A store in a caller's storage: every file is created, read and listed through a [`Backend`].
//!
//! This module hides from the engine everything that a backend may do and a directory does not: short reads,
//! listings in any order and with too many names, streams that must be ended exactly once, and status numbers
//! of its own.

use std::collections::btree_map::{BTreeMap, Entry as Slot};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::left_behind::LeftBehind;
use super::read_ahead::ReadAhead;
use super::{Draft, Lock, LockMode, Need, Object, Store};
use crate::error::{Error, Kind, Result, describe};
use crate::format::names::is_backup_file;
use crate::job::Cancel;

/// A place for objects, implemented by the caller: the functions of `ibt_storage_set_*()`.
///
/// All calls come from the thread that runs the operation, one at a time. If [`Backend::is_concurrent`], other threads
/// call [`Backend::read_range`] meanwhile, several at once.
pub trait Backend: Send + Sync + 'static {
    /// An object while it is written.
    type Stream: 'static;

    /// As [`Store::watch`].
    fn watch(&self, _cancel: &Cancel) {}

    /// The name of the setter of a missing function that `need` requires. `None` if no function is missing.
    fn lacks(&self, _need: Need) -> Option<&'static str> {
        None
    }

    /// Begins an object of unknown size. Each stream ends with one `commit` or one `abort`. Up to four streams
    /// are open at a time.
    fn create(&self, name: &str) -> Answer<Self::Stream>;

    /// Writes all of `data`, which is never empty.
    fn write(&self, stream: &mut Self::Stream, data: &[u8]) -> Answer<()>;

    /// Makes the object durable and visible under its name. `Exists` if the name is taken. Even after an error the
    /// object may be visible.
    fn commit(&self, stream: Self::Stream) -> Answer<()>;

    /// Discards a stream and everything that was written to it.
    fn abort(&self, stream: Self::Stream);

    /// Reads from `offset`. May return fewer bytes than asked for; 0 bytes only at or past the end. `NotFound`
    /// if there is no object `name`. `Corrupt` if the backend finds that the bytes are damaged.
    fn read_at(&self, name: &str, offset: u64, buf: &mut [u8]) -> Answer<usize>;

    /// True if several threads may call the functions at once.
    fn is_concurrent(&self) -> bool {
        false
    }

    /// Like [`Backend::read_at`], for a range that will be read once, perhaps while other threads read other ranges.
    fn read_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Answer<usize> {
        self.read_at(name, offset, buf)
    }

    /// Adds every committed object whose name starts with `prefix`. May add other objects too.
    fn list(&self, prefix: &str, out: &mut Listing) -> Answer<()>;

    /// Removes an object. An object that does not exist counts as removed.
    fn delete(&self, name: &str) -> Answer<()>;

    /// False if [`Backend::lock`] does nothing.
    fn has_locks(&self) -> bool;

    /// True if reading a range takes little time and costs nothing.
    fn reads_cheaply(&self) -> bool {
        false
    }

    /// Excludes all other users of `key` until `unlock`. `Busy` if another user has the lock.
    fn lock(&self, key: &str) -> Answer<()>;

    /// Releases the lock of `lock`.
    fn unlock(&self, key: &str);
}

/// The result of a function of a [`Backend`].
pub type Answer<T> = std::result::Result<T, Refusal>;

/// The error of a function of a [`Backend`].
#[derive(Clone, Debug, Default)]
pub struct Refusal {
    /// The number of a [`Kind`] in [`PASSED_ON`], or of a read also that of [`DAMAGED`], which becomes the kind of the
    /// error. Any other number is a failure of the backend ([`Kind::Storage`]).
    pub status: i32,
    /// The system's errno of the failure, or 0.
    pub os_code: i32,
    /// The backend's own message, if it has one.
    pub reason: Option<String>,
}

impl Refusal {
    /// A refusal with a kind and no further details.
    pub fn of(kind: Kind) -> Self {
        Refusal { status: kind as i32, ..Refusal::default() }
    }

    /// The error for this refusal, from an operation that could not do `op` to `name`.
    fn into_error(self, op: &str, name: &str) -> Error {
        let mut passed_on = PASSED_ON.iter().chain((op == READ).then_some(&DAMAGED));
        let passed_on = passed_on.find(|(kind, _)| *kind as i32 == self.status);
        let (kind, said) = match passed_on {
            Some((kind, said)) => (*kind, said.to_string()),
            None => (Kind::Storage, format!("the storage failed (its answer is {})", self.status)),
        };
        let system = || match self.os_code {
            0 => said,
            code => describe(&std::io::Error::from_raw_os_error(code)),
        };
        let detail = self.reason.unwrap_or_else(system);
        Error { os_code: self.os_code, ..Error::new(kind, op, detail) }.at(name)
    }
}

/// Kinds that a backend may return, each with the message for a backend that gives no reason.
pub const PASSED_ON: [(Kind, &str); 5] = [
    (Kind::NotFound, "the storage does not have it"),
    (Kind::Exists, "the storage has it already"),
    (Kind::Busy, "the storage says that it is in use"),
    (Kind::Cancelled, "the storage cancelled the operation"),
    (Kind::Unsupported, "the storage cannot do that"),
];

/// The kind that a backend may return from a read only, and its message. The bytes count as damaged, as if they were
/// read and did not verify. An error of this kind from another function, such as a write, would make the engine
/// believe that stored bytes are damaged.
pub const DAMAGED: (Kind, &str) = (Kind::Corrupt, "the storage says that it is damaged");

/// Collects the objects that a backend lists. Keeps backup files whose names start with the prefix, each name
/// once.
#[derive(Debug, Default)]
pub struct Listing {
    prefix: String,
    objects: BTreeMap<String, u64>,
    /// A name that the backend listed with two different sizes.
    contradiction: Option<String>,
}

impl Listing {
    pub fn new(prefix: &str) -> Self {
        Listing { prefix: prefix.to_string(), ..Listing::default() }
    }

    /// Adds any name, in any order, any number of times.
    pub fn add(&mut self, name: &str, size: u64) {
        if !name.starts_with(&self.prefix) || !is_backup_file(name) {
            return;
        }
        match self.objects.entry(name.to_string()) {
            Slot::Vacant(free) => {
                free.insert(size);
            }
            Slot::Occupied(known) if *known.get() == size => {}
            Slot::Occupied(known) => self.contradiction = Some(known.key().clone()),
        }
    }

    fn finish(self) -> Result<Vec<Object>> {
        if let Some(name) = self.contradiction {
            return Err(Error::new(Kind::Storage, LIST, "the storage lists it with two sizes").at(name));
        }
        Ok(self.objects.into_iter().map(|(name, size)| Object { name, size }).collect())
    }
}

const LIST: &str = "list the storage";
const READ: &str = "read";

/// Backup files in a [`Backend`].
pub struct CallbackStore<B> {
    backend: Arc<B>,
    left_behind: LeftBehind,
    /// The ranges that the running operation reads ahead.
    ahead: Option<ReadAhead>,
}

impl<B: Backend> CallbackStore<B> {
    pub fn new(backend: Arc<B>) -> Self {
        CallbackStore { backend, left_behind: LeftBehind::default(), ahead: None }
    }
}

impl<B: Backend> Store for CallbackStore<B> {
    fn watch(&mut self, cancel: &Cancel) {
        self.backend.watch(cancel);
    }

    fn require(&self, need: Need, doing: &str) -> Result<()> {
        match self.backend.lacks(need) {
            None => Ok(()),
            Some(setter) => {
                let detail = format!("the storage has not got what {setter}() sets");
                Err(Error::new(Kind::Unsupported, doing, detail))
            }
        }
    }

    fn list(&mut self, prefix: &str) -> Result<Vec<Object>> {
        let mut listing = Listing::new(prefix);
        let listed = self.backend.list(prefix, &mut listing);
        listed.map_err(|refusal| Error { path: None, ..refusal.into_error(LIST, "") })?;
        listing.finish()
    }

    fn read_at(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let CallbackStore { backend, ahead, .. } = self;
        fill(name, offset, buf, &mut |offset, rest| {
            let read = ahead.as_mut().and_then(|ahead| ahead.read(name, offset, rest));
            read.unwrap_or_else(|| answered(backend.read_at(name, offset, rest), name))
        })
    }

    fn start_reading_ahead(&mut self, cancel: &Cancel) {
        self.ahead = self.backend.is_concurrent().then(|| ReadAhead::new(cancel));
    }

    fn read_ahead(&mut self, name: &str, range: Range<u64>) -> bool {
        let Some(ahead) = &mut self.ahead else { return false };
        let (backend, offset, file) = (self.backend.clone(), range.start, name.to_string());
        ahead.begin(name, range, move |buf| {
            fill(&file, offset, buf, &mut |offset, rest| {
                answered(backend.read_range(&file, offset, rest), &file)
            })
        })
    }

    fn stop_reading_ahead(&mut self) {
        self.ahead = None;
    }

    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>> {
        Ok(Box::new(StreamDraft::begin(&self.backend, name, &self.left_behind)?))
    }

    /// Committed objects are durable already.
    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn delete(&mut self, name: &str) -> Result<()> {
        self.backend.delete(name).map_err(|refusal| refusal.into_error("delete", name))
    }

    fn take_left_behind(&mut self) -> Vec<(String, Error)> {
        self.left_behind.take()
    }

    fn reads_cheaply(&mut self) -> Result<bool> {
        Ok(self.backend.reads_cheaply())
    }

    fn has_locks(&self) -> bool {
        self.backend.has_locks()
    }

    /// A backend has one kind of lock, an exclusive lock for writers and prunes. Readers do not take it, because it
    /// would exclude other readers. So a prune may remove a file during a read, and the reader then gets `NotFound`.
    fn lock(&mut self, key: &str, mode: LockMode) -> Result<Lock> {
        if mode.only_reads() || !self.backend.has_locks() {
            return Ok(Box::new(()));
        }
        self.backend.lock(key).map_err(|refusal| refusal.into_error("lock", key))?;
        Ok(Box::new(StorageLock { backend: self.backend.clone(), key: key.to_string() }))
    }

    /// A backend cannot say whether somebody holds a lock. This call does not take the lock to find out, because a
    /// backup that begins meanwhile could then fail.
    fn is_written_now(&mut self, _key: &str) -> Result<bool> {
        Ok(true)
    }

    fn path_of(&self, _name: &str) -> Option<PathBuf> {
        None
    }
}

/// The error of a refused read.
fn answered(answer: Answer<usize>, name: &str) -> Result<usize> {
    answer.map_err(|refusal| refusal.into_error(READ, name))
}

/// Fills `buf` with `read`, which may read less, as far as the object goes. Returns the number of bytes.
fn fill(
    name: &str,
    offset: u64,
    buf: &mut [u8],
    read: &mut dyn FnMut(u64, &mut [u8]) -> Result<usize>,
) -> Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        let rest = &mut buf[done..];
        let len = rest.len();
        match read(offset.saturating_add(done as u64), rest)? {
            0 => break,
            got if got > len => {
                let detail = format!("the storage says that it read {got} bytes where {len} were asked");
                return Err(Error::new(Kind::Storage, READ, detail).at(name));
            }
            got => done += got,
        }
    }
    Ok(done)
}

/// A lock on a key, released when dropped.
struct StorageLock<B: Backend> {
    backend: Arc<B>,
    key: String,
}

impl<B: Backend> Drop for StorageLock<B> {
    fn drop(&mut self) {
        self.backend.unlock(&self.key);
    }
}

/// An object while it is written to a backend. Dropping the draft aborts its stream, or deletes the object if
/// it was committed before it was published.
struct StreamDraft<B: Backend> {
    backend: Arc<B>,
    name: String,
    /// `None` after the stream was committed or aborted.
    stream: Option<B::Stream>,
    /// The object may have its name, although it was not published.
    may_stand: bool,
    /// Gets this object if it cannot be removed.
    left_behind: LeftBehind,
}

impl<B: Backend> StreamDraft<B> {
    fn begin(backend: &Arc<B>, name: &str, left_behind: &LeftBehind) -> Result<Self> {
        let stream = backend.create(name).map_err(|refusal| refusal.into_error("create", name))?;
        let (backend, name, left_behind) = (backend.clone(), name.to_string(), left_behind.clone());
        Ok(StreamDraft { backend, name, stream: Some(stream), may_stand: false, left_behind })
    }

    fn abort(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.backend.abort(stream);
        }
    }

    fn commit(&mut self) -> Result<()> {
        let Some(stream) = self.stream.take() else { return Err(self.ended("commit")) };
        self.backend.commit(stream).map_err(|refusal| refusal.into_error("commit", &self.name))
    }

    fn ended(&self, op: &str) -> Error {
        Error::new(Kind::Storage, op, "an earlier write failed").at(&self.name)
    }
}

impl<B: Backend> Draft for StreamDraft<B> {
    fn name(&self) -> &str {
        &self.name
    }

    fn write(&mut self, data: &[u8]) -> Result<()> {
        let Some(stream) = &mut self.stream else { return Err(self.ended("write")) };
        if data.is_empty() {
            return Ok(());
        }
        let written = self.backend.write(stream, data);
        written.map_err(|refusal| {
            // The content of a stream is unknown after a failed write, so the stream must never be committed.
            self.abort();
            refusal.into_error("write", &self.name)
        })
    }

    /// The stream becomes durable when it is committed.
    fn seal(&mut self) -> Result<()> {
        Ok(())
    }

    /// Commits this stream, because a backend may hold a file open for each stream.
    fn begin_next(&mut self, name: &str) -> Result<Box<dyn Draft>> {
        if self.stream.is_none() {
            return Err(self.ended("commit"));
        }
        let committed = self.commit();
        // A commit that failed may still have given the object its name. After `Exists`, the object with that name is
        // not this one.
        self.may_stand = !matches!(&committed, Err(error) if error.kind == Kind::Exists);
        committed?;
        Ok(Box::new(StreamDraft::begin(&self.backend, name, &self.left_behind)?))
    }

    fn publish(mut self: Box<Self>) -> Result<()> {
        if !self.may_stand {
            return self.commit();
        }
        self.may_stand = false;
        Ok(())
    }

    fn replace(self: Box<Self>) -> Result<()> {
        let deleted = self.backend.delete(&self.name);
        deleted.map_err(|refusal| refusal.into_error("delete", &self.name))?;
        self.publish()
    }
}

impl<B: Backend> Drop for StreamDraft<B> {
    fn drop(&mut self) {
        self.abort();
        // An object that cannot be removed stays until a prune: no state names it.
        if self.may_stand
            && !std::thread::panicking()
            && let Err(refusal) = self.backend.delete(&self.name)
        {
            self.left_behind.add(&self.name, refusal.into_error("remove", &self.name));
        }
    }
}
