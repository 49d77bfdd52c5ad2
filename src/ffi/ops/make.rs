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
/// older one.
///
/// The report lists the new backup files. `*report` and `*err` are set as
/// described at the top of this header; report and err may be NULL.
///
/// The backup leaves out the storage's own directory, the cache and the paths
/// of ibt_options_add_protected_path(), wherever they lie in the source. The
/// report has a note for each, IBT_PROBLEM_SKIPPED.
///
/// The newest snapshot of the key tells libibt which source and host belong to
/// the key. If its state is damaged, the report lists that, and the next older
/// snapshot takes its place.
///
/// Returns IBT_OK; IBT_PARTIAL if entries could not be read or changed while
/// they were read, or a state is damaged; IBT_ERR_INVALID_ARG if source is NULL
/// or empty, a setter of options failed, an option has no use here (a snapshot,
/// globs, paths, a root, delete_extra, an expected digest, dry_run), the source
/// is the storage's directory itself, or no key is set and the source's name is
/// not a valid key; IBT_ERR_IO if the source cannot be opened
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

/// Makes an increment: a new snapshot of `source` that stores only the changes
/// since the newest snapshot of its key. It is restored like a full one.
///
/// Arguments and report as for ibt_full_backup(). An unreadable entry keeps its
/// previous version; it never counts as deleted. If a backup file of the newest
/// snapshot is gone or has a wrong size, the increment stores again the
/// contents that the file held.
///
/// Returns the statuses of ibt_full_backup(), and: IBT_PARTIAL also if such a
/// backup file is gone or has a wrong size (but not if it holds signatures that
/// the cache has, see ibt_rebuild_cache()); IBT_ERR_NOT_FOUND if the key has no
/// undamaged snapshot to build on: make a full backup first.
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

/// Restores a snapshot of `key`, the newest or the one that options select, as
/// the directory `dest`. Without an overwrite policy dest must be absent or
/// empty; the tree then appears whole, after everything is written and checked.
/// ibt_options_add_include(), ibt_options_add_path() and ibt_options_set_root()
/// limit the restore to a part of the snapshot. With ibt_options_set_dry_run()
/// it reports what it would do and writes nothing; it then does not read stored
/// contents, so it finds no damage in them.
///
/// If dest exists and a policy is set (ibt_options_set_overwrite()), the
/// restore works in place, entry by entry. The policy decides about each
/// existing entry, and at any moment each file has its old or its new content.
/// A directory that only leads to entries that globs and paths match stays as
/// it is. Entries that the snapshot does not have stay, unless
/// ibt_options_set_delete_extra() removes them.
///
/// In a new and in an existing tree, an entry that the destination refuses is
/// listed as IBT_PROBLEM_OBSTRUCTED, and the others are restored. Reasons for a
/// refusal: a directory that is not empty is in the place of a file; the file
/// system has no symbolic links, does not allow the name, or treats two names
/// as one; the entry's place is the storage's own directory, the cache or a
/// protected path (ibt_options_add_protected_path()), or lies in one of them.
/// If a directory is refused, everything below it is left out, and only the
/// directory is listed. A name that cannot be linked to the other names of its
/// file becomes a file of its own, which is listed as IBT_PROBLEM_METADATA.
/// Only a failure that every further entry would meet ends the restore, such as
/// a full file system (see ibt_options_set_leave_partial()).
///
/// A restore that was killed leaves its work beside or in dest, under a name
/// that begins with ".ibt-tmp-restore-". The next restore of dest removes it if
/// it is on dest's file system and that file system shows for certain that no
/// running restore uses it. Otherwise it stays and is listed as
/// IBT_PROBLEM_LEFTOVER. Backups and comparisons leave such names out
/// (IBT_PROBLEM_SKIPPED).
///
/// The change callback receives the action for each entry, as a change from
/// dest to the snapshot:
///
///   IBT_CHANGE_CREATED    made in an empty place
///   IBT_CHANGE_CONTENT    put in the place of another entry or content
///   IBT_CHANGE_METADATA   only its metadata was set
///   IBT_CHANGE_KEPT       left by the policy although its type, size or
///                         modification time differs; counted as
///                         IBT_COUNT_UNCHANGED too
///   IBT_CHANGE_DELETED    removed
///
/// The callback is not called for an entry that is right already. If the policy
/// leaves another entry in the place of a directory, nothing below that
/// directory is restored. `before` has only the values that lstat() gives: the
/// target of a link is "", user and group are NULL, hash, hard links and
/// extended attributes are unknown, and a socket appears as a FIFO.
///
/// `*report` and `*err` as for ibt_full_backup(), with one difference: the
/// report lists the backup files that the snapshot needs.
///
/// Returns IBT_OK; IBT_PARTIAL if stored bytes are damaged or missing, some
/// metadata could not be set, or the destination refused an entry: the entries
/// listed in the report are not restored, or not entirely; IBT_ERR_INVALID_ARG
/// if key or dest is NULL or malformed, a setter of options failed, options
/// have an exclude pattern, or an existing dest lies in the storage's own
/// directory, the cache or a protected path; IBT_ERR_NOT_FOUND if there is no
/// such snapshot, or a glob, a path or the root matches nothing in it;
/// IBT_ERR_EXISTS if dest exists and is not an empty directory (with an
/// overwrite policy: is not a directory); IBT_ERR_MISMATCH if the snapshot's
/// digest is not the expected one; IBT_ERR_CORRUPT if its state is damaged,
/// IBT_ERR_FORMAT if a newer libibt made it; IBT_ERR_UNSUPPORTED if the storage
/// lacks a function; IBT_ERR_BUSY, IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_LIMIT,
/// IBT_ERR_CANCELLED, IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's
/// status, which may be IBT_ERR_CORRUPT for damaged contents and
/// IBT_ERR_MISSING for missing ones.
///
/// After an error a dest that was absent or empty is as it was, with two
/// exceptions: ibt_options_set_leave_partial() keeps the entries restored so
/// far; and if the system fails at the very end (IBT_ERR_IO), dest may be
/// complete. In an existing tree the entries restored so far always stay.
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
