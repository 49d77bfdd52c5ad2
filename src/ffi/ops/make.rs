//! Backups and restores.

use std::ffi::c_char;

use crate::{backup, restore};

use super::super::args;
use super::super::error::ibt_error;
use super::super::library::ibt_status;
use super::super::options::ibt_options;
use super::super::report::ibt_report;
use super::super::storage::ibt_storage;
use super::{Call, Uses};

/// ==== Operations ====
///
/// Makes a full backup of the directory `source`: a new snapshot that needs no
/// other.
///
/// The report lists the backup files made; `*report` and `*err`, both of which
/// may be NULL, are set as the rules above say.
///
/// The storage's own directory and the cache are left out wherever they lie in
/// the source, and so are the paths of ibt_options_add_protected_path(), each
/// with a note, IBT_PROBLEM_SKIPPED.
///
/// The newest snapshot of the key says which source this is. One whose state is
/// damaged is listed in the report and passed over for the next.
///
/// Returns IBT_OK; IBT_PARTIAL if entries could not be read or changed while
/// they were, or a state is damaged; IBT_ERR_INVALID_ARG if source is NULL or
/// empty, options were refused, select a snapshot or expect a digest, the source
/// is the storage's directory itself, or the source's name is not a valid key
/// and none is set; IBT_ERR_IO if the source cannot be opened (ibt_error_os_code() is ENOENT if there is none, ENOTDIR if
/// it is no directory) or the storage failed; IBT_ERR_MISMATCH if the newest
/// snapshot is of another source or host (see
/// ibt_options_set_allow_source_change()), or the source is empty and was not
/// then (see ibt_options_set_allow_empty()); IBT_ERR_FORMAT if that snapshot was
/// made by a newer libibt; IBT_ERR_BUSY if the storage or the key is in use or
/// was changed meanwhile; IBT_ERR_UNSUPPORTED if the storage lacks a function;
/// IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with
/// IBT_ON_ERROR_STOP the first problem's status.
///
/// After an error no snapshot was made, with one exception: when the storage
/// fails at the very end (IBT_ERR_IO, IBT_ERR_STORAGE), a whole snapshot may be
/// there; ibt_list_snapshots() tells.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_full_backup(
    storage: *mut ibt_storage,
    source: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { Call::begin("back up", storage, options, report) };
        // SAFETY: NULL or a string.
        let source = unsafe { args::path(source, call.doing, "source") }?;
        call.run(Uses::BACKUP, |store, job| backup::full(store, source, job))
    })
}

/// Makes an increment: a new snapshot of `source` that stores only what changed
/// since the newest one of its key. It is restored like a full one.
///
/// Arguments and report as for ibt_full_backup(). An unreadable entry keeps its
/// previous version; it never counts as deleted. What a backup file held that is
/// gone or of a wrong size is stored again.
///
/// Returns the same, IBT_PARTIAL also if there is such a file (but not for one
/// with signatures that the cache has, see ibt_rebuild_cache()), and
/// IBT_ERR_NOT_FOUND if the key has no undamaged snapshot to build on: make a
/// full backup first.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_incremental_backup(
    storage: *mut ibt_storage,
    source: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { Call::begin("back up", storage, options, report) };
        // SAFETY: NULL or a string.
        let source = unsafe { args::path(source, call.doing, "source") }?;
        call.run(Uses::BACKUP, |store, job| backup::incremental(store, source, job))
    })
}

/// Restores a snapshot of `key` as the directory `dest`: the newest, or the one
/// that options select. Without an overwrite policy dest must be absent or
/// empty, and the tree appears whole, when everything is written and checked.
/// ibt_options_add_include(), ibt_options_add_path() and ibt_options_set_root()
/// limit the restore to a part of the snapshot. With ibt_options_set_dry_run()
/// it only tells; stored contents are not read then, so no damage is found.
///
/// Over an existing tree (ibt_options_set_overwrite(), where dest is there) it
/// works in place, entry by entry: the policy says what becomes of what stands
/// there, and each file is the old or the new one at any moment. A directory that
/// only leads to what globs and paths match stays as it is, and so does all that
/// the snapshot has not, unless ibt_options_set_delete_extra() removes it.
///
/// In a new tree and in an existing one, an entry that the destination refuses
/// is listed as IBT_PROBLEM_OBSTRUCTED, and the others are restored: a directory
/// that is not empty stands where a file belongs, or the file system has no
/// symbolic links, no such name, or takes two names for one, or its place is
/// the storage's own directory, the cache or a protected path, or lies in one
/// (ibt_options_add_protected_path()). Of a refused
/// directory all below it is left out, and only the directory is listed. A name
/// that cannot be linked to the others of its file becomes a file of its own,
/// which is listed as IBT_PROBLEM_METADATA. Only what every further entry would
/// meet ends the restore, such as a full file system (see
/// ibt_options_set_leave_partial()).
///
/// What a restore that was killed left of dest, under a name that begins with
/// ".ibt-tmp-restore-", is removed by the next restore of dest, where the file
/// system tells for certain that no restore works in it any more, and that of
/// dest itself. What stays is listed as IBT_PROBLEM_LEFTOVER. Backups and
/// comparisons leave such names out (IBT_PROBLEM_SKIPPED).
///
/// The change callback is told what is done with each entry, as a change from
/// dest to the snapshot: IBT_CHANGE_CREATED made where nothing was, _CONTENT put
/// in the place of something else, _METADATA only its metadata was set, _KEPT
/// left by the policy although its type, size or modification time is another
/// (counted as IBT_COUNT_UNCHANGED too), _DELETED removed. An entry that is
/// right already is not told. Where the policy leaves something in the place of
/// a directory, nothing below that is restored. `before` has only what lstat()
/// gives: a link's target is "", user and group are NULL, hash, hard links and
/// extended attributes are not known, and a socket is shown as a FIFO.
///
/// `*report` and `*err` as for ibt_full_backup(), but the report's files are
/// those that the snapshot needs.
///
/// Returns IBT_OK; IBT_PARTIAL if stored bytes are damaged or missing, some
/// metadata could not be set, or the destination refused an entry: what is
/// listed in the report is not restored, or not entirely; IBT_ERR_INVALID_ARG if
/// key or dest is NULL or malformed, options were refused or exclude anything,
/// or an existing dest lies in the storage's own directory, the cache or a
/// protected path; IBT_ERR_NOT_FOUND without such a snapshot, or if a glob, a
/// path or the root matches nothing in it; IBT_ERR_EXISTS if dest is there and
/// not an empty directory (with an overwrite policy: not a directory);
/// IBT_ERR_MISMATCH if the snapshot has not the expected digest;
/// IBT_ERR_CORRUPT if its state is
/// damaged, IBT_ERR_FORMAT if it was made by a newer libibt; IBT_ERR_UNSUPPORTED
/// if the storage lacks a function; IBT_ERR_BUSY, IBT_ERR_IO, IBT_ERR_STORAGE,
/// IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the
/// first problem's status, IBT_ERR_CORRUPT for damaged contents and
/// IBT_ERR_MISSING for missing ones among them.
///
/// After an error dest is as it was, with one exception: when the system fails
/// at the very end (IBT_ERR_IO), dest may be complete. In an existing tree what
/// was done until then stays.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_restore(
    storage: *mut ibt_storage,
    key: *const c_char,
    dest: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { Call::begin("restore", storage, options, report) };
        // SAFETY: NULL or a string.
        let key = unsafe { args::key(key, call.doing) }?;
        // SAFETY: NULL or a string.
        let dest = unsafe { args::path(dest, call.doing, "dest") }?;
        call.run(Uses::RESTORE, |store, job| restore::restore(store, key, dest, job))
    })
}
