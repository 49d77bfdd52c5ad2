//! The setters of a storage's functions, and the function that reports why one of them fails.

use std::borrow::Cow;
use std::ffi::{CStr, c_char};

use super::super::args::Handle;
use super::super::constants::*;
use super::super::library::ibt_status;
use super::callbacks::*;
use super::ibt_storage;

/// Sets the functions that write an object: create, write, and then either
/// commit or abort. Replaces earlier ones.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if storage or a function is NULL or the
/// storage is a directory; IBT_ERR_BUSY while an operation uses it.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_storage_set_writer(
    storage: *mut ibt_storage,
    create: ibt_create_fn,
    write: ibt_write_fn,
    commit: ibt_commit_fn,
    abort: ibt_abort_fn,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        let all = create.zip(write).zip(commit).zip(abort);
        let writer =
            all.map(|(((create, write), commit), abort)| WriteFunctions { create, write, commit, abort });
        // SAFETY: NULL, or a storage of the caller.
        let storage = unsafe { Handle::new(storage) };
        set(storage, writer, |table| &mut table.writer)
    })
}

/// Sets the function that reads a range of an object. Replaces an earlier one.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if storage or read_at is NULL or the
/// storage is a directory; IBT_ERR_BUSY while an operation uses it.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_storage_set_reader(
    storage: *mut ibt_storage,
    read_at: ibt_read_at_fn,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or a storage of the caller.
        let storage = unsafe { Handle::new(storage) };
        set(storage, read_at, |table| &mut table.reader)
    })
}

/// Sets the function that lists objects. Replaces an earlier one.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if storage or list is NULL or the
/// storage is a directory; IBT_ERR_BUSY while an operation uses it.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_storage_set_list(storage: *mut ibt_storage, list: ibt_list_fn) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or a storage of the caller.
        let storage = unsafe { Handle::new(storage) };
        set(storage, list, |table| &mut table.list)
    })
}

/// Sets the function that removes an object. Replaces an earlier one.
///
/// Without it no snapshot can be removed. Objects that a failed backup
/// committed before its state then stay in the storage. They take space and do
/// no other harm, because no snapshot names them.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if storage or remove is NULL or the
/// storage is a directory; IBT_ERR_BUSY while an operation uses it.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_storage_set_delete(
    storage: *mut ibt_storage,
    remove: ibt_delete_fn,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or a storage of the caller.
        let storage = unsafe { Handle::new(storage) };
        set(storage, remove, |table| &mut table.delete)
    })
}

/// Sets the functions that allow one writer at a time for each key. Replaces
/// earlier ones.
///
/// Operations that change the storage hold the lock of their key: backups,
/// consolidations and prunes. Operations that only read take no lock: if a
/// snapshot is removed while it is restored, the restore reports it as missing.
///
/// Without these functions the caller must prevent two writers of one key. Two
/// backups of one key at the same time then make two whole snapshots with one
/// parent, or one of them returns IBT_ERR_BUSY. Files that failed runs left are
/// not removed automatically, because they might belong to another run;
/// ibt_prune() removes them once a newer snapshot exists.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if storage or a function is NULL or the
/// storage is a directory; IBT_ERR_BUSY while an operation uses it.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_storage_set_lock(
    storage: *mut ibt_storage,
    lock: ibt_lock_fn,
    unlock: ibt_unlock_fn,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        let locks = lock.zip(unlock).map(|(lock, unlock)| LockFunctions { lock, unlock });
        // SAFETY: NULL, or a storage of the caller.
        let storage = unsafe { Handle::new(storage) };
        set(storage, locks, |table| &mut table.locks)
    })
}

/// Sets the traits of a storage: a sum of IBT_STORAGE_*, or 0. Replaces an
/// earlier sum. With IBT_DELTA_AUTO, an increment reads old contents from the
/// storage only if it has IBT_STORAGE_READS_CHEAPLY. With
/// IBT_STORAGE_THREAD_SAFE, the ibt_read_at_fn also runs on threads of libibt.
///
/// Default: 0.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if storage is NULL, the storage is a
/// directory or traits has an unknown bit; IBT_ERR_BUSY while an operation uses
/// it.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_storage_set_traits(storage: *mut ibt_storage, traits: u32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or a storage of the caller.
        let storage = unsafe { Handle::new(storage) };
        let all = IBT_STORAGE_READS_CHEAPLY | IBT_STORAGE_THREAD_SAFE;
        let known = (traits & !all == 0).then_some(traits);
        set(storage, known, |table| &mut table.traits)
    })
}

/// Records why the running function of a storage is about to fail. `os_code` is
/// the system's error number (errno) or 0. `msg` is one line of UTF-8 for
/// people, which is copied; NULL means the system's text for os_code. The
/// operation's error contains both. Each call replaces the one before.
///
/// Call it while a function of the storage runs, on any thread; if several run
/// at once (IBT_STORAGE_THREAD_SAFE), on the thread of the one that fails. At
/// other times, or if the function then succeeds, it has no effect. While a
/// function runs, the storage is valid also after ibt_storage_free(), for
/// example because a snapshot of it is open. `storage` may be NULL on the
/// thread on which the function runs, so a function need not know its storage.
///
/// Returns IBT_OK, which is 0, so that a function can fail with `return
/// ibt_storage_fail(...)`. IBT_ERR_INVALID_ARG if storage is a directory, or is
/// NULL and no function of a storage runs on this thread.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_storage_fail(
    storage: *mut ibt_storage,
    os_code: i32,
    msg: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or a storage of the caller.
        let storage = unsafe { Handle::new(storage) };
        // SAFETY: not NULL, so a string.
        let text = (!msg.is_null()).then(|| unsafe { CStr::from_ptr(msg) }.to_string_lossy());
        let reason = FailureReason { os_code, text: text.map(Cow::into_owned) };
        let Some(storage) = storage.get() else {
            return if fail_running(reason) { IBT_OK } else { IBT_ERR_INVALID_ARG };
        };
        match &storage.functions {
            Some(functions) => {
                functions.fail(reason);
                IBT_OK
            }
            None => IBT_ERR_INVALID_ARG,
        }
    })
}

/// The body of every setter: stores `function` in `slot`. Refuses NULL, a directory storage, and a storage in
/// use.
fn set<F>(
    storage: Handle<ibt_storage>,
    function: Option<F>,
    slot: fn(&mut FunctionTable) -> &mut Option<F>,
) -> ibt_status {
    let Some(storage) = storage.get() else { return IBT_ERR_INVALID_ARG };
    let (Some(functions), Some(function)) = (&storage.functions, function) else {
        return IBT_ERR_INVALID_ARG;
    };
    match storage.try_lock() {
        Some(_alone) => {
            *slot(&mut functions.table()) = Some(function);
            IBT_OK
        }
        None => IBT_ERR_BUSY,
    }
}
