//! Comparing two snapshots, and listing the keys of a storage.

use std::ffi::{c_char, c_void};
use std::ptr;

use crate::error::Error;
use crate::inspect;
use crate::job::Cancel;

use super::super::args::{c_string, invalid};
use super::super::constants::{IBT_CALLBACK_STOP, IBT_OK};
use super::super::error::ibt_error;
use super::super::library::ibt_status;
use super::super::options::ibt_options;
use super::super::report::ibt_report;
use super::super::snapshot::{SnapshotPair, ibt_snapshot};
use super::super::storage::{ibt_storage, with_store};
use super::{OperationArgs, UsedOptions};

/// Compares two opened snapshots, of one key or of different keys and storages.
/// Passes every difference to the change callback, in the order of paths, as a
/// change from `before` to `after`:
///
///   IBT_CHANGE_CREATED    the entry is only in `after`
///   IBT_CHANGE_DELETED    the entry is only in `before`
///   IBT_CHANGE_CONTENT    other bytes, or another type, link target or device
///   IBT_CHANGE_METADATA   another mode, owner, modification time, extended
///                         attribute, inode flag or project id, or a file
///                         with other hard links
///
/// The report counts the differences, and lists both snapshots. A moved entry
/// is deleted at one path and created at another one. Only the states are read,
/// and no content: a file has other bytes if its size, its hash or its holes
/// differ. So a file whose zeros are a hole in only one of the snapshots counts
/// as a file with other bytes. The names of users and groups are not compared.
/// Memory does not grow with the number of entries, only with the number of
/// hard-linked files. Neither storage is used.
///
/// Globs and paths limit the comparison, and patterns leave entries out of both
/// sides. Progress is reported as IBT_PHASE_VERIFY. `*report` and `*err` as for
/// ibt_full_backup().
///
/// Returns IBT_OK, with or without differences; IBT_ERR_INVALID_ARG if a
/// snapshot is NULL, a setter of options failed, or an option has no use here
/// (a snapshot, labels, a root, delete_extra, an expected digest, dry_run);
/// IBT_ERR_NOT_FOUND if a glob or path matches on neither side (returned only
/// at the end, after all changes); IBT_ERR_BUSY if another call uses one of the
/// snapshots, or if both are the same object; IBT_ERR_IO, IBT_ERR_CANCELLED,
/// IBT_ERR_PANIC.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_diff(
    before: *mut ibt_snapshot,
    after: *mut ibt_snapshot,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { OperationArgs::begin("compare snapshots", ptr::null_mut(), options, report) };
        let doing = call.doing;
        // SAFETY: NULL, or snapshots that are not freed yet.
        let pair = unsafe { SnapshotPair::share(before, after, doing) }?;
        call.run_alone(UsedOptions::DIFF, |job| {
            pair.with(doing, |before, after| inspect::diff(before, after, job))
        })
    })
}

/// Receives a key, and the number of its snapshots. The key is valid during the
/// call only.
///
/// Return IBT_CALLBACK_OK to go on, or IBT_CALLBACK_STOP to end the call early
/// with IBT_OK. 0 or a negative number ends it with IBT_ERR_CANCELLED.
///
/// Since: 0.1
pub type ibt_key_fn =
    Option<unsafe extern "C" fn(ud: *mut c_void, key: *const c_char, snapshots: u64) -> i32>;

/// Calls `key` for each key that has a snapshot, in ascending order. Lists the
/// names of the storage's files once and reads no file, so it costs little: a
/// damaged state counts as a snapshot here, and so does a backup of the Python
/// ancestor (ibt_import()). ibt_list_snapshots() reads the states. Only states of
/// several keys with the same stamp are read, because all but one are copies,
/// which do not count. Locks nothing.
///
/// Returns IBT_OK, also for a storage without snapshots; IBT_ERR_INVALID_ARG if
/// key is NULL; IBT_ERR_NOT_FOUND if the storage is a directory that does not
/// exist; IBT_ERR_CANCELLED if the callback cancelled; IBT_ERR_UNSUPPORTED if
/// the storage lacks a function; IBT_ERR_BUSY if another call uses the storage;
/// IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_PANIC.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_list_keys(
    storage: *mut ibt_storage,
    key: ibt_key_fn,
    ud: *mut c_void,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        const DOING: &str = "list keys";
        let callback = key.ok_or_else(|| invalid(DOING, "key is NULL"))?;
        // SAFETY: NULL, or a storage of the caller.
        let keys = unsafe { with_store(storage, DOING, &Cancel::default(), |store| inspect::keys(store)) }?;
        for (key, snapshots) in keys {
            let key = c_string(key);
            // SAFETY: the caller's function with its own userdata; the key lives until it returns.
            match unsafe { callback(ud, key.as_ptr(), snapshots) } {
                IBT_CALLBACK_STOP => break,
                1.. => {}
                _ => return Err(Error::cancelled()),
            }
        }
        Ok(IBT_OK)
    })
}
