//! `ibt_storage`: a place for backup files, and the right to use it for one call at a time.

mod callbacks;

mod setters;

mod list;

pub use callbacks::*;
pub use list::*;
pub use setters::*;

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use crate::error::{Error, Kind, Result};
use crate::store::{CallbackStore, DirStore, Store};

use super::args::{invalid, path, put};
use super::callback::ibt_destroy_fn;
use super::constants::IBT_OK;
use super::error::ibt_error;
use super::library::ibt_status;
use callbacks::Functions;

/// A place for backup files: a directory, or whatever the caller's functions
/// make of it. Owned by the caller, who frees it with ibt_storage_free().
///
/// One call at a time: a second one, from another thread or from a callback,
/// returns IBT_ERR_BUSY. May move between threads. Where a function takes a
/// storage, NULL means the default directory: $TMPDIR (or $TEMP, $TMP, /tmp) +
/// "/ibt-UID", mode 0700, refused if it belongs to someone else.
///
/// Since: 0.1
pub struct ibt_storage {
    store: Mutex<Box<dyn Store + Send>>,
    /// What the store calls, if it is made of the caller's functions. Reached without the store, which is
    /// in use whenever one of them runs.
    functions: Option<Arc<Functions>>,
}

impl ibt_storage {
    pub(super) fn new(store: impl Store + Send + 'static) -> Self {
        ibt_storage { store: Mutex::new(Box::new(store)), functions: None }
    }

    fn with_functions(functions: Functions) -> Self {
        let functions = Arc::new(functions);
        let store = CallbackStore::new(functions.clone());
        ibt_storage { functions: Some(functions), ..ibt_storage::new(store) }
    }

    /// Hands a storage to C. It is counted: running calls hold it too.
    pub(super) fn give(self) -> *mut ibt_storage {
        Arc::into_raw(Arc::new(self)).cast_mut()
    }

    /// A share in the storage behind a handle, which it outlives; in the default one for NULL.
    ///
    /// # Safety
    ///
    /// `storage` is NULL or comes from [`give`](Self::give) and is not freed yet.
    pub(super) unsafe fn share(storage: *const ibt_storage) -> Result<Arc<ibt_storage>> {
        if storage.is_null() {
            return Ok(Arc::new(ibt_storage::new(DirStore::open_default()?)));
        }
        // SAFETY: `give` made the pointer of an `Arc`, whose share the handle still has; the new share is counted.
        unsafe {
            Arc::increment_strong_count(storage);
            Ok(Arc::from_raw(storage))
        }
    }

    /// The store, unless another call has it.
    fn try_lock(&self) -> Option<MutexGuard<'_, Box<dyn Store + Send>>> {
        match self.store.try_lock() {
            Ok(held) => Some(held),
            Err(TryLockError::WouldBlock) => None,
            // A store keeps nothing in memory that a panic could have left half-done.
            Err(TryLockError::Poisoned(held)) => Some(held.into_inner()),
        }
    }

    /// Runs `body` on the store. `Busy` while another call does.
    pub(super) fn with<T>(&self, doing: &str, body: impl FnOnce(&mut dyn Store) -> Result<T>) -> Result<T> {
        match self.try_lock() {
            Some(mut held) => body(&mut **held),
            None => Err(Error::new(Kind::Busy, doing, "the storage is in use by another call")),
        }
    }
}

/// ==== Storage ====
///
/// Opens a directory as a storage. It need not exist: the first backup makes
/// it. A relative path is that of the current directory of this call. In the
/// directory, only regular files are taken for backup files.
///
/// `*out` is set to NULL first and owned by the caller after IBT_OK.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if path or out is NULL or path is empty.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_storage_open_dir(
    path: *const c_char,
    out: *mut *mut ibt_storage,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: the arguments are as the header says.
        unsafe { open_dir(path, out) }
    })
}

/// # Safety
///
/// `dir` is NULL or a string, `out` NULL or may be written.
unsafe fn open_dir(dir: *const c_char, out: *mut *mut ibt_storage) -> Result<ibt_status> {
    const DOING: &str = "open a storage";
    // SAFETY: the caller's promise.
    unsafe { put(out, ptr::null_mut()) };
    // SAFETY: the caller's promise.
    let dir = unsafe { path(dir, DOING, "path") }?;
    if out.is_null() {
        return Err(invalid(DOING, "out is NULL"));
    }
    // SAFETY: not NULL, so it may be written.
    unsafe { put(out, ibt_storage::new(DirStore::open(dir)).give()) };
    Ok(IBT_OK)
}

/// Makes a storage of the caller's own, which has no function yet. Never
/// returns NULL.
///
/// `ud` is passed to each of its functions. `destroy`, which may be NULL, lets
/// go of it: it is called once, when the storage was freed and the last call
/// that uses it has ended.
///
/// A storage is a flat table of OBJECTS: names, each with some bytes. libibt
/// makes an object, reads it, perhaps deletes it; it never changes one. Names
/// are at most 200 bytes of UTF-8 and hold no '/', no NUL and no control
/// character. Set the functions that there are:
///
///   ibt_storage_set_reader()   every operation needs it
///   ibt_storage_set_list()     every operation needs it
///   ibt_storage_set_writer()   backups and consolidations need it
///   ibt_storage_set_delete()   removing snapshots needs it
///   ibt_storage_set_lock()     optional
///
/// An operation that needs a function which is not set returns
/// IBT_ERR_UNSUPPORTED, naming the setter, before it calls any. Every snapshot
/// is committed by one object, its state, which libibt commits after all others:
/// a run that fails half-way leaves objects that no state names, or none, but
/// never half a snapshot.
///
/// Every function but ibt_abort_fn and ibt_unlock_fn answers IBT_CALLBACK_OK or
/// why it failed. IBT_ERR_NOT_FOUND, IBT_ERR_EXISTS, IBT_ERR_BUSY,
/// IBT_ERR_CANCELLED and IBT_ERR_UNSUPPORTED become the status of the operation;
/// everything else that is not positive, 0 among it, becomes IBT_ERR_STORAGE.
/// ibt_storage_fail() adds a reason. Mind that IBT_OK is 0 and thus a failure
/// here.
///
/// The functions run on the thread that called the operation, one at a time, and
/// never outside of an operation. While one runs the storage is busy:
/// operations and setters called with it return IBT_ERR_BUSY.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_storage_new(ud: *mut c_void, destroy: ibt_destroy_fn) -> *mut ibt_storage {
    guard!(ptr::null_mut(), { ibt_storage::with_functions(Functions::new(ud, destroy)).give() })
}

/// Closes a storage; nothing stored is touched. During a call that uses it this
/// takes effect when that call ends. NULL is ignored.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_storage_free(storage: *mut ibt_storage) {
    guard!((), {
        if !storage.is_null() {
            // SAFETY: the handle's share, which the caller gives back and uses no more.
            drop(unsafe { Arc::from_raw(storage) });
        }
    })
}

/// Runs `body` on the store behind a handle, or on the default one for NULL. `Busy` while another call does.
///
/// # Safety
///
/// As for [`ibt_storage::share`].
pub(super) unsafe fn with_store<T>(
    storage: *const ibt_storage,
    doing: &str,
    body: impl FnOnce(&mut dyn Store) -> Result<T>,
) -> Result<T> {
    // A callback may free the handle: the share keeps it until the call ends.
    // SAFETY: the caller's promise.
    unsafe { ibt_storage::share(storage) }?.with(doing, body)
}
