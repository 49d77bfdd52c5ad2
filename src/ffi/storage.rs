//! `ibt_storage`: a place for backup files, and the right to use it for one call at a time.

use std::ffi::c_char;
use std::ptr;
use std::sync::{Arc, Mutex, TryLockError};

use crate::error::{Error, Kind, Result};
use crate::store::{DirStore, Store};

use super::args::{give, invalid, path, put, take};
use super::constants::IBT_OK;
use super::error::ibt_error;
use super::library::ibt_status;

/// A place for backup files. Owned by the caller, who frees it with
/// ibt_storage_free().
///
/// One call at a time: a second one, from another thread or from a callback,
/// returns IBT_ERR_BUSY. May move between threads. Where a function takes a
/// storage, NULL means the default directory: $TMPDIR (or $TEMP, $TMP, /tmp) +
/// "/ibt-UID", mode 0700, refused if it belongs to someone else.
///
/// Since: 0.1
pub struct ibt_storage {
    /// Shared with the running call, so that freeing the handle takes effect at that call's end.
    store: SharedStore,
}

/// A store that a handle, running calls and open snapshots share: one uses it at a time.
pub(super) type SharedStore = Arc<Mutex<Box<dyn Store + Send>>>;

impl ibt_storage {
    pub(super) fn new(store: impl Store + Send + 'static) -> Self {
        ibt_storage { store: Arc::new(Mutex::new(Box::new(store))) }
    }
}

/// ==== Storage ====
///
/// Opens a directory as a storage. It need not exist: the first backup makes
/// it.
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
    guard!(err, err, { open_dir(path, out) })
}

unsafe fn open_dir(dir: *const c_char, out: *mut *mut ibt_storage) -> Result<ibt_status> {
    const DOING: &str = "open a storage";
    put(out, ptr::null_mut());
    let dir = path(dir, DOING, "path")?;
    if out.is_null() {
        return Err(invalid(DOING, "out is NULL"));
    }
    *out = give(ibt_storage::new(DirStore::open(dir)));
    Ok(IBT_OK)
}

/// Closes a storage; nothing stored is touched. During a call that uses it this
/// takes effect when that call ends. NULL is ignored.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_storage_free(storage: *mut ibt_storage) {
    guard!((), { take(storage) })
}

/// The store behind a handle, or the default one for NULL. It outlives the handle.
pub(super) unsafe fn share(storage: *const ibt_storage) -> Result<SharedStore> {
    match storage.as_ref() {
        Some(handle) => Ok(Arc::clone(&handle.store)),
        None => Ok(Arc::new(Mutex::new(Box::new(DirStore::open_default()?)))),
    }
}

/// Runs `body` on a store. `Busy` while another call does.
pub(super) fn with_shared<T>(
    store: &SharedStore,
    doing: &str,
    body: impl FnOnce(&mut dyn Store) -> Result<T>,
) -> Result<T> {
    let mut held = match store.try_lock() {
        Ok(held) => held,
        Err(TryLockError::WouldBlock) => {
            return Err(Error::new(Kind::Busy, doing, "the storage is in use by another call"))
        }
        // A store keeps nothing in memory that a panic could have left half-done.
        Err(TryLockError::Poisoned(held)) => held.into_inner(),
    };
    body(&mut **held)
}

/// [`with_shared`] for the store behind a handle.
pub(super) unsafe fn with_store<T>(
    storage: *const ibt_storage,
    doing: &str,
    body: impl FnOnce(&mut dyn Store) -> Result<T>,
) -> Result<T> {
    // From here on the handle is not looked at: a callback may free it.
    let store = share(storage)?;
    with_shared(&store, doing, body)
}
