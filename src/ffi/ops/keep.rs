//! What is done with snapshots besides.

use std::ffi::c_char;

use crate::maintain;

use super::super::args;
use super::super::error::ibt_error;
use super::super::library::ibt_status;
use super::super::options::ibt_options;
use super::super::report::ibt_report;
use super::super::storage::ibt_storage;
use super::{Call, Uses};

/// Lists the snapshots of `key`, of every key for NULL: oldest first, in the
/// report's ibt_report_snapshot_*(). With a selector in the options it lists
/// that snapshot, and in ibt_report_file_*() all backup files that it needs.
///
/// `*report` and `*err` as for ibt_full_backup().
///
/// Returns IBT_OK, also for a storage that holds none; IBT_PARTIAL if a state
/// is damaged or was made by a newer libibt; IBT_ERR_IO if one cannot be read
/// now, after the others were listed; IBT_ERR_INVALID_ARG if key is malformed, or NULL although
/// a snapshot is selected, or options were refused, exclude anything or expect a
/// digest; IBT_ERR_NOT_FOUND if the storage is a directory that does not exist,
/// or key is given and has no snapshot, or not the selected one; IBT_ERR_CORRUPT
/// or IBT_ERR_FORMAT if the selected one's state cannot be used;
/// IBT_ERR_UNSUPPORTED if the storage lacks a function; IBT_ERR_BUSY, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
/// IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's status.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_list_snapshots(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { Call::begin("list snapshots", storage, options, report) };
        // SAFETY: NULL or a string.
        let key = unsafe { args::optional_key(key, call.doing) }?;
        call.run(Uses::LIST, |store, job| maintain::list(store, key, job))
    })
}

/// Makes a new full snapshot of what the newest one of `key` holds, from the
/// storage alone: the source is not needed. It restores the same, has the same
/// digest, and increments go on from it; with ibt_prune() the older ones can go
/// then, however long the chain was.
///
/// Options for compression, threads, the cache and the lock are used; changes
/// are not told, as nothing changed. `*report` and `*err` as for
/// ibt_full_backup(): the report lists the backup files made. Where the newest
/// snapshot is a full one already, whose files are all there, nothing is to be
/// gained: the report names that snapshot and no files. Where the newest state is
/// damaged the newest one that is not takes its place, as for increments.
///
/// Returns IBT_OK; IBT_PARTIAL if the newest state is damaged, so that an older
/// snapshot counts as the newest; IBT_ERR_INVALID_ARG if key is NULL or malformed, or options
/// were refused, select a snapshot, expect a digest, exclude or include
/// anything, or set a dry run; IBT_ERR_NOT_FOUND if the key has no snapshot;
/// or none that is undamaged; IBT_ERR_CORRUPT or IBT_ERR_MISSING if any content
/// of it is damaged or gone: a full snapshot is whole or is not made, and
/// ibt_error_path() says whose content it is; IBT_ERR_FORMAT if it
/// was made by a newer libibt; IBT_ERR_UNSUPPORTED if the storage lacks a
/// function; IBT_ERR_BUSY if the storage or the key is in use or was changed
/// meanwhile; IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
/// IBT_ERR_PANIC.
///
/// After an error no snapshot was made, with the exception that
/// ibt_full_backup() has.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_consolidate(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { Call::begin("consolidate", storage, options, report) };
        // SAFETY: NULL or a string.
        let key = unsafe { args::key(key, call.doing) }?;
        call.run(Uses::NOTHING, |store, job| maintain::consolidate(store, key, job))
    })
}

/// Makes the cache of the newest snapshot of `key` whole again: a copy of its
/// state and of every backup file with signatures that it names. Increments
/// work without a cache and refill it from the storage; this does it
/// beforehand, and also where the storage itself lost or damaged such a file:
/// then its signatures are made again from the stored contents, and the next
/// increment, which is as small as ever, puts them into the storage.
///
/// Nothing in the storage is changed. `*report` and `*err` as for
/// ibt_full_backup(), except that the report's files are those made in the
/// cache, with their paths there, of kind "state" or "sigvault"; a file of
/// signatures made again is named like the lost one with ".stream" at its end.
/// What was right already is not made again.
///
/// Returns IBT_OK; IBT_PARTIAL if the newest state is damaged, so that an older
/// snapshot counts as the newest, or a signature could not be made again
/// because the content is damaged or gone: its file will be stored whole when
/// it changes; IBT_ERR_INVALID_ARG if key is NULL or malformed, options were
/// refused, select a snapshot, expect a digest, exclude or include anything, or
/// set a dry run, or no cache directory is set and the user has none;
/// IBT_ERR_NOT_FOUND if the key has no undamaged snapshot; IBT_ERR_FORMAT if it
/// was made by a newer libibt; IBT_ERR_IO if the cache cannot be written or the
/// storage failed; IBT_ERR_UNSUPPORTED if the storage lacks a function;
/// IBT_ERR_BUSY, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
/// IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's status.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_rebuild_cache(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { Call::begin("rebuild the cache", storage, options, report) };
        // SAFETY: NULL or a string.
        let key = unsafe { args::key(key, call.doing) }?;
        call.run(Uses::NOTHING, |store, job| maintain::rebuild_cache(store, key, job))
    })
}

/// Removes snapshots of `key`, and then every backup file that no remaining
/// snapshot needs, left-overs of interrupted backups among them. Which ones:
/// those that no rule set with ibt_options_set_keep_last(), _keep_daily(),
/// _keep_weekly(), _keep_monthly() or _keep_yearly() keeps, or exactly the one
/// that ibt_options_set_snapshot() or ibt_options_set_as_of() selects. Any
/// snapshot can go, the first, one in the middle or the latest: no other needs
/// it. The rules look at the snapshots' stamps only, never at the clock.
///
/// `*report` and `*err` as for ibt_full_backup(). The report lists every
/// snapshot of the key as IBT_ACTION_KEPT or IBT_ACTION_REMOVED with the reason,
/// such as "last 3, daily 2026-11-22" or "no rule keeps it", and as its files
/// the backup files that were removed. IBT_COUNT_DELETED counts the snapshots
/// removed. With ibt_options_set_dry_run() the report is the same and nothing is
/// touched; only temporary files that interrupted runs left are not looked for.
///
/// A state that is damaged or was made by a newer libibt is counted by no rule
/// and removed by none, only if ibt_options_set_snapshot() names its stamp.
/// While one remains, no other kind of file is removed, because it might be
/// needed: such files are listed as IBT_PROBLEM_LEFTOVER, and the result is
/// IBT_PARTIAL. The same goes for a state that somebody replaced by a symbolic
/// link. A state that cannot be read now (IBT_ERR_IO, IBT_ERR_STORAGE,
/// IBT_ERR_UNSUPPORTED) may be whole: nothing is removed then, unless it is the
/// one that ibt_options_set_snapshot() names. Where a storage cannot lock, nobody
/// else may use the key meanwhile; backup files newer than every snapshot are
/// then left there, as a backup may be making them, and are listed as
/// IBT_PROBLEM_LEFTOVER.
///
/// Returns IBT_OK; IBT_PARTIAL if a state that stays is damaged;
/// IBT_ERR_INVALID_ARG if key is NULL or malformed, options were refused, set no
/// rule and select no snapshot, do both, exclude anything or expect a digest, or
/// if no snapshot would be left (see ibt_options_set_allow_empty());
/// IBT_ERR_NOT_FOUND if the key has no snapshot or not the selected one;
/// IBT_ERR_CORRUPT or IBT_ERR_FORMAT if ibt_options_set_as_of() selects a state
/// that cannot be used; IBT_ERR_UNSUPPORTED if the storage cannot delete;
/// IBT_ERR_BUSY if the storage or the key is in use or was changed meanwhile;
/// IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
/// IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's status.
///
/// After an error, IBT_ERR_CANCELLED too, what was removed stays removed and is
/// listed; every other snapshot is whole, and another prune removes the rest.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_prune(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { Call::begin("prune", storage, options, report) };
        // SAFETY: NULL or a string.
        let key = unsafe { args::key(key, call.doing) }?;
        call.run(Uses::PRUNE, |store, job| maintain::prune(store, key, job))
    })
}

/// Reads everything that snapshots need and compares it with its hashes: each
/// state, each archive, each content as a restore would write it, each
/// signature. All snapshots of `key`, of every key for NULL; with a selector in
/// the options that one, with an expected digest alone the newest. Nothing is
/// changed.
///
/// `*report` and `*err` as for ibt_full_backup(). A loss does not end it: each
/// is a problem that names the path, the backup file
/// (ibt_report_problem_file()), the snapshot and, in its message, what was
/// expected and found; IBT_PROBLEM_MISSING if the file is gone,
/// IBT_PROBLEM_UNREADABLE if it cannot be read now, else IBT_PROBLEM_DAMAGED. What
/// cannot be read now does not end it either, but its first error is what is
/// returned in the end. What several snapshots share is listed for each.
/// A problem without a path is about a backup file as such: none of the
/// snapshot's paths is known to suffer. One in a "sigvault" file costs no
/// content, only that the next change of its path is stored whole.
/// The report lists the snapshots verified, each with its losses as
/// IBT_COUNT_PROBLEMS and a reason such as "3 losses", "" if it is whole; one
/// whose state cannot be read is a problem only. An archive or a content that
/// several snapshots share is read once, beyond a million contents of a key
/// perhaps more often.
///
/// Returns IBT_OK if all is as it was written, also for a storage that holds
/// nothing; IBT_PARTIAL if anything is damaged or missing, or a state was made
/// by a newer libibt; IBT_ERR_INVALID_ARG if key is malformed, or NULL although a
/// snapshot is selected or a digest expected, or options were refused or exclude
/// anything; IBT_ERR_NOT_FOUND if key is given and has no snapshot, or not the
/// selected one; IBT_ERR_CORRUPT or IBT_ERR_FORMAT if the selected one's state
/// cannot be used; IBT_ERR_MISMATCH if it has not the expected digest;
/// IBT_ERR_UNSUPPORTED if the storage cannot be read; IBT_ERR_BUSY, IBT_ERR_IO,
/// IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with
/// IBT_ON_ERROR_STOP the first problem's status.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_verify(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { Call::begin("verify", storage, options, report) };
        // SAFETY: NULL or a string.
        let key = unsafe { args::optional_key(key, call.doing) }?;
        call.run(Uses::VERIFY, |store, job| maintain::verify(store, key, job))
    })
}

/// Compares a snapshot of `key` with the directory `tree`: the newest, or the
/// one that options select. Every difference is told to the change callback as
/// a change from the snapshot to the tree: IBT_CHANGE_CREATED what only the tree
/// has, _DELETED what only the snapshot has, _CONTENT other bytes or another
/// type, link target or device, _METADATA another mode, owner, modification time
/// or extended attributes, or files that are hard-linked with others than they
/// were. The report counts them.
///
/// The tree is walked as a backup would, with its exclude files and without the
/// storage's directory and the cache; a pattern of
/// ibt_options_add_exclude() takes entries out of both sides. Globs and paths
/// limit the comparison. Every file whose size is the same is read, whatever
/// its times and ibt_options_set_change_detection() say: silent damage is found.
/// Not compared are holes, ctimes, inodes and users' names. Nothing is written,
/// and no link of the tree is followed. Progress is told as IBT_PHASE_VERIFY.
///
/// `*report` and `*err` as for ibt_full_backup().
///
/// Returns IBT_OK, whether or not there are differences; IBT_PARTIAL if
/// something in the tree could not be read, which is listed in the report;
/// IBT_ERR_INVALID_ARG if key or tree is NULL or malformed, or options were
/// refused or set what has no use here (a root, delete_extra, dry_run);
/// IBT_ERR_NOT_FOUND without such a snapshot, or if a glob or path matches on
/// neither side (this is known, and returned, at the end); IBT_ERR_IO if tree
/// cannot be opened (ibt_error_os_code() is ENOENT if there is none, ENOTDIR if
/// it is no directory) or the storage failed; IBT_ERR_MISMATCH if the snapshot
/// has not the expected digest; IBT_ERR_CORRUPT if its state is damaged,
/// IBT_ERR_FORMAT if it was made by a newer libibt; IBT_ERR_UNSUPPORTED if the
/// storage lacks a function; IBT_ERR_BUSY, IBT_ERR_STORAGE, IBT_ERR_LIMIT,
/// IBT_ERR_CANCELLED, IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's
/// status.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_compare(
    storage: *mut ibt_storage,
    key: *const c_char,
    tree: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { Call::begin("compare", storage, options, report) };
        // SAFETY: NULL or a string.
        let key = unsafe { args::key(key, call.doing) }?;
        // SAFETY: NULL or a string.
        let tree = unsafe { args::path(tree, call.doing, "tree") }?;
        call.run(Uses::COMPARE, |store, job| maintain::compare(store, key, tree, job))
    })
}
