//! `ibt_storage`: a place for backup files, and the right to use it for one call at a time.

mod callbacks;

mod setters;

mod list;

mod url;

pub use callbacks::*;
pub use list::*;
pub use setters::*;
pub use url::*;

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use crate::error::{Error, Kind, Result};
use crate::job::Cancel;
use crate::store::{CallbackStore, DirAccess, DirStore, Store};

use super::args::{invalid, path, write_out};
use super::callback::ibt_destroy_fn;
use super::constants::{IBT_DIR_CREATE_PARENTS, IBT_DIR_MUST_EXIST, IBT_DIR_READ_ONLY, IBT_OK};
use super::error::ibt_error;
use super::library::ibt_status;
use callbacks::StorageFunctions;

/// The reason for `InvalidArg` if the storage of an operation is NULL.
const NO_STORAGE: &str = "storage is NULL: open one with ibt_storage_open_dir(), or with ibt_storage_open_default() for a private \
                          directory in $TMPDIR";

/// The reason for `Busy` if a storage is used by two calls at once.
const HANDLE_IN_USE: &str = "the storage handle is in use by another call: use one handle for each operation that runs at the same time";

/// A place for backup files: a directory, a bucket of an object store
/// (ibt_storage_open_url()), or functions of the caller
/// (ibt_storage_new()). Owned by the caller, who frees it with
/// ibt_storage_free().
///
/// One call at a time: a second call, from another thread or from a callback,
/// returns IBT_ERR_BUSY. May move between threads.
///
/// No operation accepts NULL as its storage, so that a backup cannot go to a
/// place that nobody chose. ibt_storage_open_default() opens a private directory
/// for experiments.
///
/// Since: 0.1
pub struct ibt_storage {
    store: Mutex<Box<dyn Store + Send>>,
    /// The caller's functions, if the storage is made of them. Kept outside of the mutex, because the store
    /// is locked whenever one of them runs.
    functions: Option<Arc<StorageFunctions>>,
}

impl ibt_storage {
    pub(super) fn new(store: impl Store + Send + 'static) -> Self {
        ibt_storage::of_boxed(Box::new(store))
    }

    fn of_boxed(store: Box<dyn Store + Send>) -> Self {
        ibt_storage { store: Mutex::new(store), functions: None }
    }

    fn with_functions(functions: StorageFunctions) -> Self {
        let functions = Arc::new(functions);
        let store = CallbackStore::new(functions.clone());
        ibt_storage { functions: Some(functions), ..ibt_storage::new(store) }
    }

    /// Turns a storage into a handle for C. The handle is one share of an `Arc`: running calls hold others.
    pub(super) fn into_raw(self) -> *mut ibt_storage {
        Arc::into_raw(Arc::new(self)).cast_mut()
    }

    /// A share of the storage behind a handle, which may outlive the handle. `InvalidArg` for NULL. `doing` completes
    /// the message "cannot DOING".
    ///
    /// # Safety
    ///
    /// `storage` is NULL or comes from [`into_raw`](Self::into_raw) and is not freed yet.
    pub(super) unsafe fn share(storage: *const ibt_storage, doing: &str) -> Result<Arc<ibt_storage>> {
        if storage.is_null() {
            return Err(invalid(doing, NO_STORAGE));
        }
        // SAFETY: `into_raw` made the pointer from an `Arc` whose share the handle still has. The new share is counted.
        unsafe {
            Arc::increment_strong_count(storage);
            Ok(Arc::from_raw(storage))
        }
    }

    /// The store, or `None` while another call uses it.
    fn try_lock(&self) -> Option<MutexGuard<'_, Box<dyn Store + Send>>> {
        match self.store.try_lock() {
            Ok(held) => Some(held),
            Err(TryLockError::WouldBlock) => None,
            // A store has no state in memory that a panic could leave inconsistent.
            Err(TryLockError::Poisoned(held)) => Some(held.into_inner()),
        }
    }

    /// Runs `body` on the store, which watches `cancel` meanwhile. `Busy` while another call uses the store.
    pub(super) fn with<T>(
        &self,
        doing: &str,
        cancel: &Cancel,
        body: impl FnOnce(&mut dyn Store) -> Result<T>,
    ) -> Result<T> {
        match self.try_lock() {
            Some(mut held) => {
                held.watch(cancel);
                body(&mut **held)
            }
            None => Err(Error::new(Kind::Busy, doing, HANDLE_IN_USE)),
        }
    }
}

/// ==== Storage ====
///
/// Opens a directory as a storage. `flags` is a sum of IBT_DIR_*, or 0. Unless
/// the flags say otherwise, the directory need not exist: the first backup
/// makes it with mode 0700, in a directory that exists, and removes it again if
/// it stores nothing. A relative path starts at the current directory of this
/// call: a later chdir changes nothing. Only regular files in the directory
/// count as backup files.
///
/// `*out` is set to NULL first. After IBT_OK it holds the storage, which the
/// caller owns.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if path or out is NULL, path is empty,
/// flags has an unknown bit, or flags has IBT_DIR_CREATE_PARENTS together with
/// another flag; IBT_ERR_NOT_FOUND if the directory must exist and does not;
/// IBT_ERR_IO if it must exist and cannot be opened, or path is relative and
/// there is no current directory.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_storage_open_dir(
    path: *const c_char,
    flags: u32,
    out: *mut *mut ibt_storage,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: the arguments are as the header says.
        unsafe { open_dir(path, flags, out) }
    })
}

/// # Safety
///
/// `dir` is NULL or a string, `out` NULL or may be written.
unsafe fn open_dir(dir: *const c_char, flags: u32, out: *mut *mut ibt_storage) -> Result<ibt_status> {
    const DOING: &str = "open a storage";
    // SAFETY: the caller's promise.
    unsafe { write_out(out, ptr::null_mut()) };
    // SAFETY: the caller's promise.
    let dir = unsafe { path(dir, DOING, "path") }?;
    if out.is_null() {
        return Err(invalid(DOING, "out is NULL"));
    }
    let store = DirStore::open_with(dir, access(flags, DOING)?)?;
    // SAFETY: not NULL, so it may be written.
    unsafe { write_out(out, ibt_storage::new(store).into_raw()) };
    Ok(IBT_OK)
}

/// Reads a sum of `IBT_DIR_*`.
fn access(flags: u32, doing: &str) -> Result<DirAccess> {
    let unknown = flags & !(IBT_DIR_MUST_EXIST | IBT_DIR_READ_ONLY | IBT_DIR_CREATE_PARENTS);
    if unknown != 0 {
        return Err(invalid(doing, format!("flags has the unknown bits {unknown:#x}")));
    }
    let has = |flag| flags & flag != 0;
    match (has(IBT_DIR_READ_ONLY), has(IBT_DIR_MUST_EXIST), has(IBT_DIR_CREATE_PARENTS)) {
        (true, _, false) => Ok(DirAccess::Read),
        (false, true, false) => Ok(DirAccess::Existing),
        (false, false, false) => Ok(DirAccess::Create),
        (false, false, true) => Ok(DirAccess::CreateParents),
        _ => Err(invalid(doing, "IBT_DIR_CREATE_PARENTS has no use for a directory that must exist")),
    }
}

/// Opens the default directory as a storage: $TMPDIR (or $TEMP, $TMP, /tmp) +
/// "/ibt-UID", mode 0700. It is meant for experiments, because a system may
/// empty its temporary directory at any time. The directory need not exist: the
/// first backup makes it.
///
/// `*out` is set to NULL first. After IBT_OK it holds the storage, which the
/// caller owns.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if out is NULL; IBT_ERR_IO if the
/// directory cannot be opened, belongs to another user, is open to other users
/// or is a symbolic link. Operations verify the last three too.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_storage_open_default(
    out: *mut *mut ibt_storage,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or may be written.
        unsafe { write_out(out, ptr::null_mut()) };
        if out.is_null() {
            return Err(invalid("open the default storage", "out is NULL"));
        }
        let store = DirStore::open_default()?;
        // SAFETY: not NULL, so it may be written.
        unsafe { write_out(out, ibt_storage::new(store).into_raw()) };
        Ok(IBT_OK)
    })
}

/// Makes a storage from functions of the caller. It has no functions yet: add
/// them with the setters below. Never returns NULL.
///
/// `ud` is passed to each of the functions. `destroy` releases `ud`; it may be
/// NULL. libibt calls it once, when the storage was freed and the last call
/// that uses it has ended.
///
/// A storage holds OBJECTS. Each object has a name and a sequence of bytes;
/// there are no directories. libibt creates an object, reads it, and may delete
/// it, but never changes it. A name has at most 200 bytes of UTF-8 and contains
/// no '/', no NUL and no control character. Set the functions that your storage
/// supports:
///
///   ibt_storage_set_reader()   every operation needs it
///   ibt_storage_set_list()     every operation needs it
///   ibt_storage_set_writer()   backups and consolidations need it
///   ibt_storage_set_delete()   removing snapshots needs it
///   ibt_storage_set_lock()     optional
///   ibt_storage_set_traits()   optional, no function
///
/// An operation that needs a function which is not set returns
/// IBT_ERR_UNSUPPORTED before it calls any function, and its error names the
/// setter. A snapshot exists as soon as its state is committed, which is one
/// object. libibt commits it after all others: a run that fails half-way leaves
/// no objects, or objects that no state names, but never half a snapshot. Parts
/// of archives (ibt_options_set_part_size()) are committed one after the other
/// while a backup runs. If the backup fails, they are deleted again, if the
/// storage can delete. Parts that are not deleted, also those of a process that
/// was killed, stay until the next prune of the key. A long full also commits
/// partial states (ibt_options_set_checkpoint()); if it fails, the last one
/// stays, with the parts that it names.
///
/// Every function except ibt_abort_fn and ibt_unlock_fn returns
/// IBT_CALLBACK_OK, or a number that says why it failed. IBT_ERR_NOT_FOUND,
/// IBT_ERR_EXISTS, IBT_ERR_BUSY, IBT_ERR_CANCELLED and IBT_ERR_UNSUPPORTED
/// become the status of the operation, and IBT_ERR_CORRUPT of an
/// ibt_read_at_fn means damage. Every other number that is not positive
/// becomes IBT_ERR_STORAGE. That includes 0, which is IBT_OK: do not return
/// IBT_OK from these functions. ibt_storage_fail() adds a reason.
///
/// The functions run on the thread that called the operation, one at a time,
/// and never outside of an operation. The exception is the ibt_read_at_fn of a
/// storage with IBT_STORAGE_THREAD_SAFE: it also runs on threads of libibt,
/// several times at once, and beside the other functions. While a function
/// runs, the storage is busy: operations and setters called with it return
/// IBT_ERR_BUSY.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_storage_new(ud: *mut c_void, destroy: ibt_destroy_fn) -> *mut ibt_storage {
    guard!(ptr::null_mut(), { ibt_storage::with_functions(StorageFunctions::new(ud, destroy)).into_raw() })
}

/// Closes a storage; stored files are not touched. If a call is using the
/// storage, it is closed when that call ends. NULL is ignored.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_storage_free(storage: *mut ibt_storage) {
    guard!((), {
        if !storage.is_null() {
            // SAFETY: this is the handle's share. The caller gives it back and does not use it any more.
            drop(unsafe { Arc::from_raw(storage) });
        }
    })
}

/// Runs `body` on the store behind a handle. `InvalidArg` for NULL, `Busy` while another call uses the store.
///
/// # Safety
///
/// As for [`ibt_storage::share`].
pub(super) unsafe fn with_store<T>(
    storage: *const ibt_storage,
    doing: &str,
    cancel: &Cancel,
    body: impl FnOnce(&mut dyn Store) -> Result<T>,
) -> Result<T> {
    // A callback may free the handle: the share keeps it until the call ends.
    // SAFETY: the caller's promise.
    unsafe { ibt_storage::share(storage, doing) }?.with(doing, cancel, body)
}
