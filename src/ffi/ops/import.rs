//! Moving over from the Python ancestor.

use std::ffi::c_char;
use std::ptr;

use crate::ancestor;

use super::super::args;
use super::super::error::ibt_error;
use super::super::library::ibt_status;
use super::super::options::ibt_options;
use super::super::report::ibt_report;
use super::super::storage::ibt_storage;
use super::{OperationArgs, UsedOptions};

/// Imports the backups that incremental-backups-tools 0.1, the Python ancestor
/// of libibt, made of one directory: makes a snapshot in `storage` of each of
/// them, the oldest first. `from` is the storage with the ancestor's files, NULL
/// if they are in `storage` itself. `key` is the name of the directory, with
/// which the names of the files begin. The ancestor's files are only read.
///
/// A backup with a "full" archive becomes a full snapshot, any other one an
/// increment. Each snapshot has the ancestor's date as its stamp and its date,
/// and the directory in the ancestor's state as its source. The new key is
/// `key`, or that of ibt_options_set_key(). Backups whose stamps the new key has
/// already are not imported again: repeat an import that was interrupted, or
/// import later backups, with the same call. To go on with libibt, make
/// increments of the same directory with the new key.
///
/// The ancestor records little: of a file the content and the modification time;
/// for files in "full" and "created" archives also permissions and owner; of
/// directories and symbolic links only those of the last full, and the names of
/// directories made later. A file that only a delta changed keeps permissions
/// and owner. A directory of which nothing is recorded has those of the
/// directory above, and the date of its backup. A process that may not change
/// owners records itself as owner (IBT_PROBLEM_METADATA).
///
/// Each backup is rebuilt in the directory for temporary files ($TMPDIR), which
/// needs space for one whole tree, and all paths of a backup are held in memory.
///
/// Uses the options for compression, parts, threads, the cache, the lock, the
/// host, the name of the source, labels and deltas. `*report` and `*err` as for
/// ibt_full_backup(): the report lists the new snapshots with the reason
/// "imported", and their backup files. The change callback gets the changes of
/// each snapshot.
///
/// Returns IBT_OK; IBT_PARTIAL if metadata could not be kept;
/// IBT_ERR_INVALID_ARG if key is NULL or not UTF-8, the new key is malformed, a
/// setter of options failed, or an option has no use here (a snapshot, filters,
/// a root, delete_extra, an expected digest, dry_run); IBT_ERR_NOT_FOUND if
/// there is no such backup; IBT_ERR_CORRUPT if a file of the ancestor is damaged
/// or forged, and IBT_ERR_MISSING if one is gone, with the name in
/// ibt_error_path(); IBT_ERR_MISMATCH if the new key has files that are later
/// than a backup that it does not have, or the backups are of several
/// directories (see ibt_options_set_source_name() and
/// ibt_options_set_allow_source_change()); IBT_ERR_UNSUPPORTED if a storage
/// lacks a function; IBT_ERR_LIMIT if a state is longer than a GiB; IBT_ERR_BUSY,
/// IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with
/// IBT_ON_ERROR_STOP the first problem's status.
///
/// Before the first snapshot is made, all states are read, and the archives that
/// they need must be there. After an error the snapshots made so far stay, and
/// each of them is whole; the report lists them.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_import(
    storage: *mut ibt_storage,
    from: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { OperationArgs::begin("import backups", storage, options, report) };
        let doing = call.doing;
        // SAFETY: NULL or a string.
        let key = unsafe { args::key(key, doing) }?;
        let is_other = !from.is_null() && !ptr::eq(from, storage);
        // SAFETY: a storage of the caller.
        let from = is_other.then(|| unsafe { ibt_storage::share(from, doing) }).transpose()?;
        call.run(UsedOptions::IMPORT, |store, job| match &from {
            None => ancestor::import(store, None, key, job),
            Some(from) => {
                let cancel = job.cancel().clone();
                from.with(doing, &cancel, |from| ancestor::import(store, Some(from), key, job))
            }
        })
    })
}
