//! `ibt_snapshot`: one snapshot, opened to look into it.

use std::ffi::{c_char, c_void, CString};
use std::ptr;
use std::sync::{Arc, Mutex, TryLockError};

use crate::entry::Path;
use crate::error::{Error, Kind, Result};
use crate::job::{Flow, Job};
use crate::maintain::Snapshot;

use super::args::{self, bytes, c_string, give, invalid, put, relative, take};
use super::constants::{IBT_CALLBACK_STOP, IBT_OK};
use super::entry::ibt_entry;
use super::error::ibt_error;
use super::library::ibt_status;
use super::ops::Uses;
use super::options::{ibt_options, settings};
use super::storage::ibt_storage;

/// One snapshot, opened to look into it. Owned by the caller, who frees it with
/// ibt_snapshot_free().
///
/// It was verified when it was opened and does not change. It keeps its storage
/// alive, also after ibt_storage_free(), but does not lock it: if the snapshot
/// is removed meanwhile, reading its files fails with IBT_ERR_MISSING.
///
/// One call at a time: a second one, from another thread or from a callback,
/// returns IBT_ERR_BUSY. May move between threads. Memory does not grow with
/// the number of entries.
///
/// Since: 0.1
pub struct ibt_snapshot {
    /// Shared with the running call, so that freeing the handle takes effect at that call's end.
    shared: Arc<Shared>,
}

struct Shared {
    stamp: CString,
    store: Arc<ibt_storage>,
    snapshot: Mutex<Snapshot>,
}

/// Given an entry, valid during the call only.
///
/// Return IBT_CALLBACK_OK to go on, IBT_CALLBACK_STOP to end the call early with
/// IBT_OK; 0 or a negative number ends it with IBT_ERR_CANCELLED.
///
/// Since: 0.1
pub type ibt_entry_fn = Option<unsafe extern "C" fn(ud: *mut c_void, entry: *const ibt_entry) -> i32>;

/// Given the next `len` bytes, at least one, valid during the call only.
///
/// Return IBT_CALLBACK_OK to go on, IBT_CALLBACK_STOP to end the call early with
/// IBT_OK; 0 or a negative number ends it with IBT_ERR_CANCELLED.
///
/// Since: 0.1
pub type ibt_sink_fn = Option<unsafe extern "C" fn(ud: *mut c_void, data: *const u8, len: usize) -> i32>;

/// ==== Looking into a snapshot ====
///
/// Opens a snapshot of `key`: the newest, or the one that options select. Its
/// state is read and verified, which for a million entries takes seconds; the
/// files' contents are not. Progress is told as IBT_PHASE_VERIFY.
///
/// `*out` is set to NULL first and owned by the caller after IBT_OK.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if key or out is NULL, key is malformed,
/// or options were refused or set what has no use here (filters, a root,
/// delete_extra, dry_run); IBT_ERR_NOT_FOUND without such a snapshot;
/// IBT_ERR_MISMATCH if it has not the expected digest; IBT_ERR_CORRUPT if its
/// state is damaged, IBT_ERR_FORMAT if it was made by a newer libibt;
/// IBT_ERR_UNSUPPORTED if the storage lacks a function; IBT_ERR_BUSY if the
/// storage is in use by another call or the key by a writer (see
/// ibt_options_set_lock_wait()); IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_LIMIT,
/// IBT_ERR_CANCELLED, IBT_ERR_PANIC.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_snapshot_open(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    out: *mut *mut ibt_snapshot,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: the arguments are as the header says.
        unsafe { open(storage, key, options, out) }
    })
}

/// # Safety
///
/// The arguments are those of [`ibt_snapshot_open`].
unsafe fn open(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    out: *mut *mut ibt_snapshot,
) -> Result<ibt_status> {
    const DOING: &str = "open a snapshot";
    // SAFETY: NULL or may be written.
    unsafe { put(out, ptr::null_mut()) };
    // SAFETY: NULL or a string.
    let key = unsafe { args::key(key, DOING) }?;
    if out.is_null() {
        return Err(invalid(DOING, "out is NULL"));
    }
    // SAFETY: NULL, or options that no setter changes meanwhile.
    let settings = unsafe { settings(options, DOING) }?;
    Uses::BROWSE.check(&settings.engine, DOING)?;
    if settings.cancel.requested() {
        return Err(Error::cancelled());
    }
    // SAFETY: NULL, or a storage of the caller.
    let store = unsafe { ibt_storage::share(storage) }?;
    let snapshot = store.with(DOING, |store| {
        let mut callbacks = settings.callbacks.clone();
        Snapshot::open(store, key, &mut Job::new(&settings.engine, &settings.cancel, &mut callbacks))
    })?;
    let stamp = c_string(snapshot.stamp().to_string());
    let shared = Shared { stamp, store, snapshot: Mutex::new(snapshot) };
    // SAFETY: not NULL, so it may be written.
    unsafe { put(out, give(ibt_snapshot { shared: Arc::new(shared) })) };
    Ok(IBT_OK)
}

/// The snapshot's stamp, such as "20261122T220530.123456Z": its name within its
/// key. NULL for NULL. Borrowed until the snapshot is freed.
///
/// Since: 0.1
#[no_mangle]
pub extern "C" fn ibt_snapshot_stamp(snapshot: Option<&ibt_snapshot>) -> *const c_char {
    guard!(ptr::null(), { snapshot.map_or(ptr::null(), |snapshot| snapshot.shared.stamp.as_ptr()) })
}

/// Gives `entry` the entry of `path` and what lies below it: with depth 0 the
/// entry itself only, with 1 what the directory holds too, with UINT32_MAX all.
/// Entries come in the order of paths, each directory right before what it
/// holds. "" is the root; slashes around path are ignored.
///
/// The storage is not used. What lies deeper than asked for is not read either:
/// one directory of a large snapshot is listed in milliseconds.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if snapshot, path or entry is NULL or
/// path is malformed ("." and ".." are no parts of one); IBT_ERR_NOT_FOUND if
/// the snapshot has no such entry; IBT_ERR_CANCELLED if entry said so;
/// IBT_ERR_BUSY if the snapshot is in use by another call; IBT_ERR_IO,
/// IBT_ERR_PANIC.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_snapshot_list(
    snapshot: *mut ibt_snapshot,
    path: *const c_char,
    depth: u32,
    entry: ibt_entry_fn,
    ud: *mut c_void,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        const DOING: &str = "list a snapshot";
        // SAFETY: NULL or a string.
        let path = unsafe { path_in(path, DOING) }?;
        let callback = entry.ok_or_else(|| invalid(DOING, "entry is NULL"))?;
        // SAFETY: NULL, or a snapshot that is not freed yet.
        let shared = unsafe { share(snapshot, DOING) }?;
        with_snapshot(&shared, DOING, |snapshot, _| {
            snapshot.list(&path, depth, &mut |entry| {
                // SAFETY: the caller's function with its own userdata; the entry lives until it returns.
                flow(unsafe { callback(ud, &ibt_entry::new(entry)) })
            })
        })
    })
}

/// Gives `sink` the bytes of a file from `offset` on, in order and in pieces of
/// any size: `len` of them (UINT64_MAX: all), or fewer where the file ends, none
/// past its end. Holes read as zeros.
///
/// Only what holds these bytes is read from the storage; reading on in the same
/// file costs least. A read of a whole file is compared with its hash: until
/// the call returns IBT_OK, what sink was given is provisional. Parts cannot be
/// compared; but compressed archives have checksums of their own.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if snapshot, path or sink is NULL, or
/// path is malformed or no file; IBT_ERR_NOT_FOUND if the snapshot has no such
/// entry; IBT_ERR_MISSING if a backup file that holds the bytes is gone;
/// IBT_ERR_CORRUPT if they are damaged; IBT_ERR_CANCELLED if sink said so;
/// IBT_ERR_BUSY if the snapshot or its storage is in use by another call;
/// IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_PANIC.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_snapshot_read(
    snapshot: *mut ibt_snapshot,
    path: *const c_char,
    offset: u64,
    len: u64,
    sink: ibt_sink_fn,
    ud: *mut c_void,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        const DOING: &str = "read a file of a snapshot";
        // SAFETY: NULL or a string.
        let path = unsafe { path_in(path, DOING) }?;
        let callback = sink.ok_or_else(|| invalid(DOING, "sink is NULL"))?;
        // SAFETY: NULL, or a snapshot that is not freed yet.
        let shared = unsafe { share(snapshot, DOING) }?;
        with_snapshot(&shared, DOING, |snapshot, store| {
            store.with(DOING, |store| {
                // SAFETY: the caller's function with its own userdata; the bytes live until it returns.
                let mut sink = |data: &[u8]| flow(unsafe { callback(ud, data.as_ptr(), data.len()) });
                snapshot.read(store, &path, offset, len, &mut sink)
            })
        })
    })
}

/// Closes a snapshot. During a call that uses it this takes effect when that
/// call ends. NULL is ignored.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_snapshot_free(snapshot: *mut ibt_snapshot) {
    guard!((), {
        // SAFETY: NULL, or a handle from libibt that the caller owns and uses no more.
        unsafe { take(snapshot) }
    })
}

/// # Safety
///
/// `path` is NULL or a string.
unsafe fn path_in(path: *const c_char, doing: &str) -> Result<Path> {
    // SAFETY: the caller's promise.
    let path = unsafe { bytes(path, doing, "path") }?;
    relative(path).map_err(|reason| invalid(doing, reason).at(path))
}

/// What an entry or sink callback answered.
fn flow(answer: i32) -> Flow {
    match answer {
        IBT_CALLBACK_STOP => Flow::Stop,
        1.. => Flow::Continue,
        _ => Flow::Cancel,
    }
}

/// A share in the snapshot behind a handle. From here on the handle is not looked at: a callback may free it.
///
/// # Safety
///
/// `handle` is NULL or a snapshot that is not freed yet.
unsafe fn share(handle: *const ibt_snapshot, doing: &str) -> Result<Arc<Shared>> {
    // SAFETY: the caller's promise.
    let handle = unsafe { handle.as_ref() }.ok_or_else(|| invalid(doing, "snapshot is NULL"))?;
    Ok(Arc::clone(&handle.shared))
}

/// Runs `body` on a snapshot and its store. `Busy` while another call does.
fn with_snapshot(
    shared: &Shared,
    doing: &str,
    body: impl FnOnce(&mut Snapshot, &ibt_storage) -> Result<()>,
) -> Result<ibt_status> {
    let mut held = match shared.snapshot.try_lock() {
        Ok(held) => held,
        Err(TryLockError::WouldBlock) => {
            return Err(Error::new(Kind::Busy, doing, "the snapshot is in use by another call"))
        }
        // A panic leaves at most the file read last unknown.
        Err(TryLockError::Poisoned(held)) => held.into_inner(),
    };
    body(&mut held, &shared.store).map(|()| IBT_OK)
}
