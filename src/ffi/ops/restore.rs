//! Restoring a snapshot as a directory.

use std::ffi::c_char;

use crate::ancestor;

use super::super::args;
use super::super::error::ibt_error;
use super::super::library::ibt_status;
use super::super::options::ibt_options;
use super::super::report::ibt_report;
use super::super::storage::ibt_storage;
use super::{OperationArgs, UsedOptions};

/// Restores a snapshot of `key`, the newest or the one that options select, as
/// the directory `dest`. Without an overwrite policy dest must be absent or
/// empty; the tree then appears whole, after everything is written and checked.
/// ibt_options_add_include(), ibt_options_add_path() and ibt_options_set_root()
/// limit the restore to a part of the snapshot. With ibt_options_set_dry_run()
/// it reports the changes that it would make and writes nothing. A dry run does
/// not read stored contents, so it finds no damage in them.
///
/// If dest exists and a policy is set (ibt_options_set_overwrite()), the
/// restore works in place, entry by entry. The policy decides about each
/// existing entry, and at any moment each file has its old or its new content.
/// A directory that globs and paths do not match, but that leads to entries that
/// they match, stays as it is. Entries that the snapshot does not have stay,
/// unless ibt_options_set_delete_extra() removes them.
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
/// it is on dest's file system and no running restore uses it. The name has a
/// mark of the machine that made it. A restore on another machine may be
/// running, and its locks may be invisible here (NFS), so its work is removed
/// only when nothing in it has changed for a week. A file or directory that may
/// be in use stays, and is listed as IBT_PROBLEM_LEFTOVER. Backups and
/// comparisons leave such names out (IBT_PROBLEM_SKIPPED).
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
/// If libibt has no snapshot that the options select, but incremental-backups-tools
/// 0.1, the Python ancestor of libibt, has such a backup of `key`, the call
/// restores that one, with the little that the ancestor records (see
/// ibt_import()). The call needs space in $TMPDIR for two copies of the tree.
///
/// `*report` and `*err` as for ibt_full_backup(), with one difference: the
/// report lists the backup files that the snapshot needs.
///
/// Returns IBT_OK; IBT_PARTIAL if stored bytes are damaged or missing, some
/// metadata could not be set, or the destination refused an entry: the entries
/// listed in the report are not restored, or not entirely; IBT_ERR_INVALID_ARG
/// if key or dest is NULL or malformed, a setter of options failed, or an
/// existing dest lies in the storage's own directory, the cache or a protected
/// path; IBT_ERR_NOT_FOUND if there is no
/// such snapshot, or a glob, a path or the root matches nothing in it;
/// IBT_ERR_EXISTS if dest exists and is not an empty directory (with an
/// overwrite policy: is not a directory); IBT_ERR_MISMATCH if the snapshot's
/// digest is not the expected one; IBT_ERR_CORRUPT if its state is damaged,
/// IBT_ERR_MISSING if a state that it needs as a layer is gone, IBT_ERR_FORMAT if a newer libibt made it;
/// IBT_ERR_UNSUPPORTED if the storage lacks a function; IBT_ERR_BUSY, IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_LIMIT,
/// IBT_ERR_CANCELLED, IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's status, which may be IBT_ERR_CORRUPT
/// for damaged contents and IBT_ERR_MISSING for missing ones.
///
/// After an error a dest that was absent or empty is as it was, with two
/// exceptions: ibt_options_set_leave_partial() keeps the entries restored so
/// far; and if the system fails at the very end (IBT_ERR_IO), dest may be
/// complete. In an existing tree the entries restored so far always stay.
///
/// Since: 0.1
#[unsafe(no_mangle)]
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
        let call = unsafe { OperationArgs::begin("restore", storage, options, report) };
        // SAFETY: NULL or a string.
        let key = unsafe { args::key(key, call.doing) }?;
        // SAFETY: NULL or a string.
        let dest = unsafe { args::path(dest, call.doing, "dest") }?;
        call.run(UsedOptions::RESTORE, |store, job| ancestor::restore(store, key, dest, job))
    })
}
