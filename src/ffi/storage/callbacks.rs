//! The types of the functions of a caller's storage, and the [`Backend`] that calls them.

use std::cell::RefCell;
use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Kind;
use crate::store::Need;
use crate::store::callbacks::{Answer, Backend, Listing, Refusal};

use super::super::args::c_string;
use super::super::callback::{Userdata, ibt_destroy_fn};
use super::super::constants::{IBT_STORAGE_READS_CHEAPLY, IBT_STORAGE_THREAD_SAFE};
use super::list::ibt_list;

/// Begins to write an object named `name`. Its size is unknown, and nobody sees
/// it before its commit. `*stream` is NULL; the function may set it to any
/// value, which libibt passes to the other functions of the writer. Up to four
/// streams are open at a time, and libibt may write to them in any order.
///
/// After IBT_CALLBACK_OK libibt ends the stream with exactly one call of the
/// ibt_commit_fn or the ibt_abort_fn. After a failure it calls neither.
///
/// Since: 0.1
pub type ibt_create_fn =
    Option<unsafe extern "C" fn(ud: *mut c_void, name: *const c_char, stream: *mut *mut c_void) -> i32>;

/// Appends all of `len` bytes, never 0, to a stream. If it fails, libibt aborts
/// the stream.
///
/// Since: 0.1
pub type ibt_write_fn =
    Option<unsafe extern "C" fn(ud: *mut c_void, stream: *mut c_void, data: *const u8, len: usize) -> i32>;

/// Ends a stream: makes the object durable, and visible under its name in one
/// step. It must never replace an existing object: if the name is taken, return
/// IBT_ERR_EXISTS.
///
/// The stream has ended, whatever the function returns. If a commit fails, the
/// object may exist nevertheless; libibt then deletes it, if an ibt_delete_fn
/// is set and no snapshot may need the object.
///
/// Since: 0.1
pub type ibt_commit_fn = Option<unsafe extern "C" fn(ud: *mut c_void, stream: *mut c_void) -> i32>;

/// Ends a stream and discards the bytes written to it.
///
/// Since: 0.1
pub type ibt_abort_fn = Option<unsafe extern "C" fn(ud: *mut c_void, stream: *mut c_void)>;

/// Reads up to `len` bytes, never 0, of a committed object from `offset` into
/// `buf`, and stores the number of bytes in `*got`, which is 0 at first. It may
/// read less than `len`: libibt calls it again for the rest. IBT_CALLBACK_OK
/// with 0 bytes means that offset is at or past the end. Return
/// IBT_ERR_NOT_FOUND if there is no such object: a restore then lists the
/// contents of that object as missing and goes on. Return IBT_ERR_CORRUPT if the
/// storage finds that the bytes are damaged, for example by a checksum or an
/// authentication code of its own: that counts as damage that libibt finds
/// itself, and a restore goes on as well. Any other failure ends the restore.
///
/// Since: 0.1
pub type ibt_read_at_fn = Option<
    unsafe extern "C" fn(
        ud: *mut c_void,
        name: *const c_char,
        offset: u64,
        buf: *mut u8,
        len: usize,
        got: *mut usize,
    ) -> i32,
>;

/// Calls ibt_list_add() for every committed object whose name begins with the
/// bytes of `prefix` ("" for all), with the object's size. This includes
/// objects that were committed a moment ago. Names may come in any order, and
/// other names, names of foreign objects and repeated names do no harm.
///
/// Since: 0.1
pub type ibt_list_fn =
    Option<unsafe extern "C" fn(ud: *mut c_void, prefix: *const c_char, out: *mut ibt_list) -> i32>;

/// Removes a committed object. Return IBT_CALLBACK_OK if there is no such
/// object.
///
/// Since: 0.1
pub type ibt_delete_fn = Option<unsafe extern "C" fn(ud: *mut c_void, name: *const c_char) -> i32>;

/// Locks `key` for one backup, consolidation or prune: keeps out every other
/// one, also of other programs and of other machines that share the storage,
/// until the ibt_unlock_fn is called. Operations that only read do not lock:
/// they run beside all other operations. If a prune deletes an object that such
/// an operation still needs, the operation reports the object as missing. If
/// the lock is held already, return IBT_ERR_BUSY at once: libibt tries again 50
/// times a second, for as long as ibt_options_set_lock_wait() allows.
///
/// Since: 0.1
pub type ibt_lock_fn = Option<unsafe extern "C" fn(ud: *mut c_void, key: *const c_char) -> i32>;

/// Releases a lock. Called exactly once for each lock that an ibt_lock_fn got.
///
/// Since: 0.1
pub type ibt_unlock_fn = Option<unsafe extern "C" fn(ud: *mut c_void, key: *const c_char)>;

/// The four functions that write an object.
#[derive(Clone, Copy)]
pub(super) struct WriteFunctions {
    pub(super) create: unsafe extern "C" fn(*mut c_void, *const c_char, *mut *mut c_void) -> i32,
    pub(super) write: unsafe extern "C" fn(*mut c_void, *mut c_void, *const u8, usize) -> i32,
    pub(super) commit: unsafe extern "C" fn(*mut c_void, *mut c_void) -> i32,
    pub(super) abort: unsafe extern "C" fn(*mut c_void, *mut c_void),
}

type ReadAtFn = unsafe extern "C" fn(*mut c_void, *const c_char, u64, *mut u8, usize, *mut usize) -> i32;
type ListFn = unsafe extern "C" fn(*mut c_void, *const c_char, *mut ibt_list) -> i32;
type DeleteFn = unsafe extern "C" fn(*mut c_void, *const c_char) -> i32;

#[derive(Clone, Copy)]
pub(super) struct LockFunctions {
    pub(super) lock: unsafe extern "C" fn(*mut c_void, *const c_char) -> i32,
    pub(super) unlock: unsafe extern "C" fn(*mut c_void, *const c_char),
}

/// The functions that are set.
#[derive(Clone, Copy, Default)]
pub(super) struct FunctionTable {
    pub(super) writer: Option<WriteFunctions>,
    pub(super) reader: Option<ReadAtFn>,
    pub(super) list: Option<ListFn>,
    pub(super) delete: Option<DeleteFn>,
    pub(super) locks: Option<LockFunctions>,
    /// A sum of `IBT_STORAGE_*`.
    pub(super) traits: Option<u32>,
}

/// The functions and the userdata of one storage.
pub(super) struct StorageFunctions {
    userdata: Userdata,
    /// Changes only while no operation runs.
    table: Mutex<FunctionTable>,
    /// The reason that another thread gave for the failure of the running function.
    reason: Mutex<Option<FailureReason>>,
}

/// A function of a storage that runs on this thread.
struct RunningFunction {
    storage: *const StorageFunctions,
    /// The reason that it gave for its failure.
    reason: Option<FailureReason>,
}

/// The arguments of `ibt_storage_fail`.
pub(super) struct FailureReason {
    pub(super) os_code: i32,
    pub(super) text: Option<String>,
}

thread_local! {
    /// The functions that run on this thread. The last one runs now: a function may call an operation that calls the
    /// functions of another storage.
    static RUNNING: RefCell<Vec<RunningFunction>> = const { RefCell::new(Vec::new()) };
}

/// Gives the reason to the function of a storage that runs on this thread. False if none runs.
pub(super) fn fail_running(reason: FailureReason) -> bool {
    RUNNING.with(|running| match running.borrow_mut().last_mut() {
        Some(running) => {
            running.reason = Some(reason);
            true
        }
        None => false,
    })
}

impl StorageFunctions {
    pub(super) fn new(ud: *mut c_void, destroy: ibt_destroy_fn) -> Self {
        StorageFunctions {
            userdata: Userdata::new(ud, destroy),
            table: Mutex::default(),
            reason: Mutex::default(),
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, FunctionTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reason(&self) -> MutexGuard<'_, Option<FailureReason>> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A function that may be unset: `Unsupported` if it is.
    fn function<F>(&self, of: fn(&FunctionTable) -> Option<F>) -> Answer<F> {
        of(&self.table()).ok_or_else(|| Refusal::of(Kind::Unsupported))
    }

    /// Gives the reason to the function of this storage that runs on this thread. If there is none, to the one that
    /// runs on another thread.
    pub(super) fn fail(&self, reason: FailureReason) {
        let left = RUNNING.with(|running| {
            let mut running = running.borrow_mut();
            match running.iter_mut().rev().find(|running| ptr::eq(running.storage, self)) {
                Some(running) => {
                    running.reason = Some(reason);
                    None
                }
                None => Some(reason),
            }
        });
        if left.is_some() {
            *self.reason() = left;
        }
    }

    /// Calls a function with the userdata. No mutex is held during the call, because the function may call
    /// libibt.
    fn call(&self, function: impl FnOnce(*mut c_void) -> i32) -> Answer<()> {
        *self.reason() = None;
        RUNNING.with(|running| running.borrow_mut().push(RunningFunction { storage: self, reason: None }));
        let status = function(self.userdata.pointer());
        let own = RUNNING.with(|running| running.borrow_mut().pop()).and_then(|running| running.reason);
        if status > 0 {
            return Ok(());
        }
        let reason = own.or_else(|| self.reason().take());
        let (os_code, reason) = reason.map_or((0, None), |reason| (reason.os_code, reason.text));
        Err(Refusal { status, os_code, reason })
    }
}

impl Backend for StorageFunctions {
    /// The stream of the caller's create function, and the functions that write and end it.
    type Stream = (*mut c_void, WriteFunctions);

    fn lacks(&self, need: Need) -> Option<&'static str> {
        let table = *self.table();
        let wanted = [
            ("ibt_storage_set_reader", table.reader.is_some(), true),
            ("ibt_storage_set_list", table.list.is_some(), true),
            ("ibt_storage_set_writer", table.writer.is_some(), need == Need::Write),
            ("ibt_storage_set_delete", table.delete.is_some(), need == Need::Delete),
        ];
        wanted.into_iter().find(|(_, set, needed)| *needed && !set).map(|(setter, ..)| setter)
    }

    fn create(&self, name: &str) -> Answer<Self::Stream> {
        let writer = self.function(|table| table.writer)?;
        let (name, mut stream) = (c_string(name), ptr::null_mut());
        // SAFETY: the function and the userdata are the caller's; the name and the place for the stream outlive the
        // call.
        self.call(|ud| unsafe { (writer.create)(ud, name.as_ptr(), &mut stream) })?;
        Ok((stream, writer))
    }

    fn write(&self, (stream, writer): &mut Self::Stream, data: &[u8]) -> Answer<()> {
        // SAFETY: the function and the userdata are the caller's; the stream is not ended yet, and the data outlive the
        // call.
        self.call(|ud| unsafe { (writer.write)(ud, *stream, data.as_ptr(), data.len()) })
    }

    fn commit(&self, (stream, writer): Self::Stream) -> Answer<()> {
        // SAFETY: the function and the userdata are the caller's; the stream is not ended yet, and is used no more.
        self.call(|ud| unsafe { (writer.commit)(ud, stream) })
    }

    fn abort(&self, (stream, writer): Self::Stream) {
        // SAFETY: the function and the userdata are the caller's; the stream is not ended yet, and is used no more.
        unsafe { (writer.abort)(self.userdata.pointer(), stream) }
    }

    fn read_at(&self, name: &str, offset: u64, buf: &mut [u8]) -> Answer<usize> {
        let read_at = self.function(|table| table.reader)?;
        let (name, mut got) = (c_string(name), 0);
        let (out, len) = (buf.as_mut_ptr(), buf.len());
        // SAFETY: the function and the userdata are the caller's; the buffer has `len` bytes and outlives the call, as
        // do name and `got`.
        self.call(|ud| unsafe { read_at(ud, name.as_ptr(), offset, out, len, &mut got) })?;
        Ok(got)
    }

    fn list(&self, prefix: &str, out: &mut Listing) -> Answer<()> {
        let list = self.function(|table| table.list)?;
        let prefix = c_string(prefix);
        let mut lent = ibt_list(std::mem::take(out));
        // SAFETY: the function and the userdata are the caller's; the prefix and the list outlive the call.
        let listed = self.call(|ud| unsafe { list(ud, prefix.as_ptr(), &mut lent) });
        *out = lent.0;
        listed
    }

    fn delete(&self, name: &str) -> Answer<()> {
        let delete = self.function(|table| table.delete)?;
        let name = c_string(name);
        // SAFETY: the function and the userdata are the caller's; the name outlives the call.
        self.call(|ud| unsafe { delete(ud, name.as_ptr()) })
    }

    fn reads_cheaply(&self) -> bool {
        self.table().traits.unwrap_or(0) & IBT_STORAGE_READS_CHEAPLY != 0
    }

    fn is_concurrent(&self) -> bool {
        self.table().traits.unwrap_or(0) & IBT_STORAGE_THREAD_SAFE != 0
    }

    fn has_locks(&self) -> bool {
        self.table().locks.is_some()
    }

    fn lock(&self, key: &str) -> Answer<()> {
        let LockFunctions { lock, .. } = self.function(|table| table.locks)?;
        let key = c_string(key);
        // SAFETY: the function and the userdata are the caller's; the key outlives the call.
        self.call(|ud| unsafe { lock(ud, key.as_ptr()) })
    }

    fn unlock(&self, key: &str) {
        let Ok(LockFunctions { unlock, .. }) = self.function(|table| table.locks) else { return };
        let key = c_string(key);
        // SAFETY: the function and the userdata are the caller's; the key outlives the call.
        unsafe { unlock(self.userdata.pointer(), key.as_ptr()) }
    }
}
