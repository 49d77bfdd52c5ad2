//! Making snapshots: full and incremental backups.

use std::ffi::c_char;

use crate::backup;

use super::super::args;
use super::super::error::ibt_error;
use super::super::library::ibt_status;
use super::super::options::ibt_options;
use super::super::report::ibt_report;
use super::super::storage::ibt_storage;
use super::{OperationArgs, UsedOptions};

/// ==== Operations ====
///
/// Makes a full backup of the directory `source`: a new snapshot that needs no
/// older one.
///
/// The report lists the new backup files. `*report` and `*err` are set as
/// described at the top of this header; report and err may be NULL.
///
/// The backup leaves out the storage's own directory, the cache and the paths
/// of ibt_options_add_protected_path(), wherever they lie in the source. The
/// report has a note for each, IBT_PROBLEM_SKIPPED.
///
/// If an earlier full backup of the key was killed or failed after it had read
/// some GiB, this one goes on from there: see ibt_options_set_checkpoint(). So an
/// error or a cancel may leave files for the next full.
///
/// The newest snapshot of the key records which source and host belong to the
/// key. If its state is damaged, the report lists a problem, and the next older
/// snapshot is used instead.
///
/// Returns IBT_OK; IBT_PARTIAL if entries could not be read or changed while
/// they were read, or a state is damaged; IBT_ERR_INVALID_ARG if source is NULL
/// or empty, a setter of options failed, an option has no use here (a snapshot,
/// globs, paths, a root, delete_extra, an expected digest), the source is the
/// storage's directory itself, or no key is set and the source's name is not a
/// valid key; IBT_ERR_IO if the source cannot be opened
/// (ibt_error_os_code() is ENOENT if it does not exist, ENOTDIR if it is not a
/// directory) or the storage failed; IBT_ERR_MISMATCH if the newest snapshot is
/// of another source or host (see ibt_options_set_allow_source_change()), or
/// the source is empty although the newest snapshot has entries (see
/// ibt_options_set_allow_empty()); IBT_ERR_FORMAT if a newer libibt made that
/// snapshot; IBT_ERR_BUSY if the storage or the key is in use, or the key was
/// changed meanwhile; IBT_ERR_UNSUPPORTED if the storage lacks a function;
/// IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with
/// IBT_ON_ERROR_STOP the first problem's status.
///
/// After an error there is no new snapshot, with one exception: if the storage
/// fails at the very end (IBT_ERR_IO, IBT_ERR_STORAGE), there may be a whole
/// snapshot; ibt_list_snapshots() shows it.
///
/// With ibt_options_set_dry_run() the call makes no snapshot. It reports the
/// changes and the backup files that it would make.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_full_backup(
    storage: *mut ibt_storage,
    source: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { OperationArgs::begin("back up", storage, options, report) };
        // SAFETY: NULL or a string.
        let source = unsafe { args::path(source, call.doing, "source") }?;
        call.run(UsedOptions::BACKUP, |store, job| backup::full(store, source, job))
    })
}

/// Makes an increment: a new snapshot of `source` that stores only the changes
/// since the newest snapshot of its key. It is restored like a full one.
///
/// Arguments and report as for ibt_full_backup(). An unreadable entry keeps its
/// previous version; it never counts as deleted. If a backup file of the newest
/// snapshot is gone or has a wrong size, the increment stores again the
/// contents that the file held, as far as the source still has them. With
/// ibt_options_set_skip_unchanged() it makes no snapshot if nothing changed.
///
/// Returns the statuses of ibt_full_backup(), and: IBT_PARTIAL also if such a
/// backup file is gone or has a wrong size (but not if it holds signatures that
/// the cache has, see ibt_rebuild_cache()); IBT_ERR_NOT_FOUND if the key has no
/// snapshot to build on, IBT_ERR_CORRUPT or IBT_ERR_MISSING if it has, but the
/// states of all are damaged: make a full backup first.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_incremental_backup(
    storage: *mut ibt_storage,
    source: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { OperationArgs::begin("back up", storage, options, report) };
        // SAFETY: NULL or a string.
        let source = unsafe { args::path(source, call.doing, "source") }?;
        call.run(UsedOptions::BACKUP, |store, job| backup::incremental(store, source, job))
    })
}
