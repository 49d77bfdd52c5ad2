//! Keeping snapshots: prune, consolidate, rebuild the cache.

use std::ffi::c_char;

use crate::retain;

use super::super::args;
use super::super::error::ibt_error;
use super::super::library::ibt_status;
use super::super::options::ibt_options;
use super::super::report::ibt_report;
use super::super::storage::ibt_storage;
use super::{OperationArgs, UsedOptions};

/// Removes snapshots of `key`, and then every backup file that no remaining
/// snapshot needs, including files that interrupted backups left.
///
/// Options say which snapshots to remove, in one of two ways. With rules, the
/// snapshots that no rule keeps: ibt_options_set_keep_last(), _keep_within(),
/// _keep_hourly(), _keep_daily(), _keep_weekly(), _keep_monthly(),
/// _keep_yearly() and ibt_options_add_keep_label(). Or exactly the snapshots
/// that ibt_options_add_removed(), ibt_options_set_snapshot() and
/// ibt_options_set_as_of() select: all of them, or none if one does not exist.
/// A dry run reports the files, and their sizes, that a prune would remove. Any
/// snapshot can be removed, whether it is the first, the last or between
/// others. If other snapshots need the state of a removed snapshot, the state
/// stays, and a small file of the kind "retired" says that the snapshot is
/// removed; a later prune deletes both. ibt_options_set_keep_last() goes by the
/// snapshots' stamps, the other rules by the times when they were made
/// (ibt_report_snapshot_date()). No rule uses the clock. If any rule is set,
/// the snapshot with the newest stamp stays.
///
/// `*report` and `*err` as for ibt_full_backup(). The report lists every
/// snapshot of the key as IBT_ACTION_KEPT or IBT_ACTION_REMOVED with the
/// reason, such as "last 3, daily 2026-11-22" or "no rule keeps it". Its files
/// are the removed backup files. IBT_COUNT_DELETED counts the removed
/// snapshots. With ibt_options_set_dry_run() nothing is changed and the report
/// is the same, but temporary files of interrupted runs are not reported.
///
/// The newest partial state of a full backup that did not end stays, with the
/// archives that it names, until the key has a newer snapshot
/// (ibt_options_set_checkpoint()).
///
/// The call reads the newest state whole, and a few KiB of each other state. A
/// state counts as damaged if these bytes are damaged; ibt_verify() finds all
/// damage.
///
/// No rule counts or removes a state that is damaged or was made by a newer
/// libibt. It is removed only if its stamp is given. As long as such a state
/// remains, its snapshot may need any file of the key, so prune removes
/// snapshots, but deletes no file: it lists the archives that nothing else
/// needs as IBT_PROBLEM_LEFTOVER, and the result is IBT_PARTIAL. The same holds
/// for a state that somebody replaced by a symbolic link. A state that cannot
/// be read at the moment (IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_UNSUPPORTED) may
/// be whole, so nothing is removed. But if all snapshots to remove are given by
/// their stamps (ibt_options_add_removed(), ibt_options_set_snapshot()), such a
/// state counts as damaged. On a storage that cannot lock, a backup of the key
/// that runs meanwhile may end with IBT_ERR_BUSY. Backup files newer than every
/// snapshot then stay, because a running backup may be making them, and are
/// listed as IBT_PROBLEM_LEFTOVER.
///
/// Returns IBT_OK; IBT_PARTIAL if a damaged state stays; IBT_ERR_INVALID_ARG if
/// key is NULL or malformed, a setter of options failed, options set no rule and
/// select no snapshot or do both, an option has no use here (filters, a root,
/// delete_extra, an expected digest), or no snapshot would be left (see
/// ibt_options_set_allow_empty()); IBT_ERR_NOT_FOUND if the key has no snapshot
/// or not the selected one; IBT_ERR_CORRUPT, IBT_ERR_MISSING or
/// IBT_ERR_FORMAT if ibt_options_set_as_of() selects a state that is damaged,
/// has lost a layer or was made by a newer libibt; IBT_ERR_UNSUPPORTED if the storage cannot delete, or cannot
/// create the small file that is needed; IBT_ERR_BUSY if the storage or the key
/// is in use, or the key was changed meanwhile; IBT_ERR_IO, IBT_ERR_STORAGE,
/// IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the
/// first problem's status.
///
/// After an error, IBT_ERR_CANCELLED included, the files removed until then
/// stay removed, and the report lists them. Every other snapshot is whole, and
/// another prune removes the rest.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_prune(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { OperationArgs::begin("prune", storage, options, report) };
        // SAFETY: NULL or a string.
        let key = unsafe { args::key(key, call.doing) }?;
        call.run(UsedOptions::PRUNE, |store, job| retain::prune(store, key, job))
    })
}

/// Makes a new full snapshot with the entries and contents of the newest
/// snapshot of `key`. It reads the storage only and does not need the source.
/// The new snapshot restores the same tree and has the same digest, and later
/// increments continue from it. ibt_prune() can then remove the older
/// snapshots, however long the chain was.
///
/// Uses the options for compression, threads, the cache and the lock. The
/// change callback is not called, because nothing changed. `*report` and `*err`
/// as for ibt_full_backup(): the report lists the new backup files. If the
/// newest snapshot is a full one already and all its files are there, nothing
/// is written: the report names that snapshot and no files. If the state of the
/// newest snapshot is damaged, the newest snapshot with an undamaged state is
/// used instead, as for increments.
///
/// Returns IBT_OK; IBT_PARTIAL if the newest state is damaged, so that an older
/// snapshot counts as the newest; IBT_ERR_INVALID_ARG if key is NULL or
/// malformed, a setter of options failed, or an option has no use here (a
/// snapshot, filters, a root, delete_extra, an expected digest, dry_run);
/// IBT_ERR_NOT_FOUND if the key has no snapshot; IBT_ERR_CORRUPT or
/// IBT_ERR_MISSING if the states of all its snapshots are damaged, or if the
/// content of a file is damaged or gone: a full snapshot is made whole or not at
/// all, and ibt_error_path() names the file; IBT_ERR_FORMAT if a newer libibt
/// made the snapshot;
/// IBT_ERR_UNSUPPORTED if the storage lacks a function; IBT_ERR_BUSY if the
/// storage or the key is in use, or the key was changed meanwhile; IBT_ERR_IO,
/// IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC.
///
/// After an error there is no new snapshot, with the same exception as for
/// ibt_full_backup().
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_consolidate(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { OperationArgs::begin("consolidate", storage, options, report) };
        // SAFETY: NULL or a string.
        let key = unsafe { args::key(key, call.doing) }?;
        call.run(UsedOptions::NOTHING, |store, job| retain::consolidate(store, key, job))
    })
}

/// Completes the cache for the newest snapshot of `key`: copies of its state, of
/// the older states that it needs, and of every backup file with signatures that
/// it names. Increments work without a cache and refill it from the storage;
/// this function does so beforehand. It also helps if the storage lost or
/// damaged a file with signatures: it then computes the signatures from the
/// stored contents. The next increment stays small and puts them into the
/// storage.
///
/// Does not change the storage. `*report` and `*err` as for ibt_full_backup(),
/// with one difference: the report lists the files made in the cache, with
/// their paths there, of kind "state" or "sigvault". A file of computed
/// signatures has the name of the lost file with ".stream" at its end. A file
/// that is right already is not made again.
///
/// Returns IBT_OK; IBT_PARTIAL if the newest state is damaged, so that an older
/// snapshot counts as the newest, or if a signature could not be computed
/// because the content is damaged or gone (the next change of that file is then
/// stored whole), or if the storage lost or damaged an older state that the
/// newest snapshot needs (the next increment puts it back if the cache has it);
/// IBT_ERR_INVALID_ARG if key is NULL or malformed, a setter of
/// options failed, an option has no use here (a snapshot, filters, a root,
/// delete_extra, an expected digest, dry_run), or no cache directory is set and
/// the user has none; IBT_ERR_NOT_FOUND if the key has no snapshot;
/// IBT_ERR_CORRUPT or IBT_ERR_MISSING if the states of all its snapshots are
/// damaged;
/// IBT_ERR_FORMAT if a newer libibt made it; IBT_ERR_IO if the cache cannot be
/// written or the storage failed; IBT_ERR_UNSUPPORTED if the storage lacks a
/// function; IBT_ERR_BUSY, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
/// IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's status.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_rebuild_cache(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { OperationArgs::begin("rebuild the cache", storage, options, report) };
        // SAFETY: NULL or a string.
        let key = unsafe { args::key(key, call.doing) }?;
        call.run(UsedOptions::NOTHING, |store, job| retain::rebuild_cache(store, key, job))
    })
}
