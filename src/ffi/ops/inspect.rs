//! Looking at snapshots: list, verify, compare.

use std::ffi::c_char;

use crate::{ancestor, inspect};

use super::super::args;
use super::super::error::ibt_error;
use super::super::library::ibt_status;
use super::super::options::ibt_options;
use super::super::report::ibt_report;
use super::super::storage::ibt_storage;
use super::{OperationArgs, UsedOptions};

/// Lists the snapshots of `key`, or of every key if key is NULL, oldest first:
/// see ibt_report_snapshot_count(). If options select a snapshot, the report
/// lists that one, and all backup files that it needs: see
/// ibt_report_file_count().
///
/// A backup of incremental-backups-tools 0.1, the Python ancestor of libibt, is
/// listed too, unless it is imported (ibt_import()). Its state is read whole. It
/// is selected only where libibt has no snapshot.
///
/// Unless options select a snapshot, the call reads only a few KiB of each
/// state, however long the state is. It finds damage of these bytes;
/// ibt_verify() finds all damage. Archives that no state names and whose own
/// state is gone are a note (IBT_PROBLEM_LEFTOVER), unless a backup of the key
/// may be making them now.
///
/// `*report` and `*err` as for ibt_full_backup().
///
/// Returns IBT_OK, also for a storage without snapshots; IBT_PARTIAL if a
/// state, or an older state that it needs, is damaged or was made by a newer
/// libibt, if a backup file that a snapshot needs is gone or has a wrong size,
/// or if a symbolic link, a FIFO or the like has the name of a state (a copy of
/// a state under another key is a note); IBT_ERR_IO if a state cannot be read
/// at the moment, after the other snapshots were listed; IBT_ERR_INVALID_ARG if
/// key is malformed, key is NULL although options select a snapshot, a setter
/// of options failed, or an option has no use here (filters, a root,
/// delete_extra, an expected digest, dry_run); IBT_ERR_NOT_FOUND if the storage
/// is a directory that does not exist, or key is given and has no snapshot or
/// not the selected one; IBT_ERR_CORRUPT if the state of the selected snapshot
/// is damaged, IBT_ERR_MISSING if a state that it needs as a layer is gone,
/// IBT_ERR_FORMAT if a newer libibt made it; IBT_ERR_UNSUPPORTED if the storage
/// lacks a function; IBT_ERR_BUSY, IBT_ERR_STORAGE, IBT_ERR_LIMIT,
/// IBT_ERR_CANCELLED, IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's
/// status.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_list_snapshots(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { OperationArgs::begin("list snapshots", storage, options, report) };
        // SAFETY: NULL or a string.
        let key = unsafe { args::optional_key(key, call.doing) }?;
        call.run(UsedOptions::LIST, |store, job| ancestor::list(store, key, job))
    })
}

/// Reads everything that snapshots need and compares it with its hashes: each
/// state, each archive, each content as a restore would write it, and each
/// signature. Verifies all snapshots of `key`, or of every key if key is NULL.
/// If options select a snapshot, verifies that one; with an expected digest and
/// no selection, the newest one. ibt_options_set_verify() and
/// ibt_options_set_verify_part() make it read less. Changes nothing. Backups of
/// the Python ancestor are verified only after their import (ibt_import()).
///
/// `*report` and `*err` as for ibt_full_backup(). A loss does not end the
/// operation. Each loss is a problem that names the path, the backup file
/// (ibt_report_problem_file()), the snapshot and, in its message, the expected
/// and the found value. Its kind is IBT_PROBLEM_MISSING if the file is gone,
/// IBT_PROBLEM_UNREADABLE if the file cannot be read at the moment, else
/// IBT_PROBLEM_DAMAGED. A file that cannot be read does not end the operation
/// either, but the call returns the first such error at its end. A loss that
/// concerns several snapshots is listed once for each of them.
///
/// A problem without a path concerns a whole backup file: no path of the
/// snapshot is known to be affected. A problem in a "sigvault" file loses no
/// content; it means that the next change of the path is stored whole. The
/// report lists each verified snapshot with the number of its losses as
/// IBT_COUNT_PROBLEMS, and with a reason such as "3 losses", or "" if the
/// snapshot is whole. A snapshot whose state cannot be read appears as a
/// problem only. Archives without a state, and copies of states, are notes as
/// for ibt_list_snapshots(). An archive or a content that several snapshots
/// share is read once; if a key has more than a million contents, perhaps more
/// often.
///
/// Returns IBT_OK if all is as it was written, also for a storage that holds
/// nothing; IBT_PARTIAL if anything is damaged or missing, a state was made by
/// a newer libibt, or a symbolic link, a FIFO or the like has the name of a
/// state; IBT_ERR_INVALID_ARG if key is malformed, key is NULL although options
/// select a snapshot or expect a digest, a setter of options failed, or an
/// option has no use here (filters, a root, delete_extra, dry_run);
/// IBT_ERR_NOT_FOUND if key is given and has no snapshot or not the selected
/// one; IBT_ERR_CORRUPT if the state of the selected snapshot is damaged,
/// IBT_ERR_MISSING if a state that it needs as a layer is gone, IBT_ERR_FORMAT
/// if a newer libibt made it; IBT_ERR_MISMATCH if its digest is not the
/// expected one; IBT_ERR_UNSUPPORTED if the storage cannot be read;
/// IBT_ERR_BUSY, IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
/// IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's status.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_verify(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or valid until the call returns, as the header asks of every argument.
        let call = unsafe { OperationArgs::begin("verify", storage, options, report) };
        // SAFETY: NULL or a string.
        let key = unsafe { args::optional_key(key, call.doing) }?;
        call.run(UsedOptions::VERIFY, |store, job| inspect::verify(store, key, job))
    })
}

/// Compares a snapshot of `key`, the newest or the one that options select,
/// with the directory `tree`. Passes every difference to the change callback,
/// as a change from the snapshot to the tree:
///
///   IBT_CHANGE_CREATED    the entry is only in the tree
///   IBT_CHANGE_DELETED    the entry is only in the snapshot
///   IBT_CHANGE_CONTENT    other bytes, or another type, link target or device
///   IBT_CHANGE_METADATA   another mode, owner, modification time, extended
///                         attribute, inode flag or project id, or a file
///                         with other hard links
///
/// The report counts the differences.
///
/// The tree is walked as in a backup: its exclude files are obeyed, and the
/// storage's directory and the cache are left out. A pattern of
/// ibt_options_add_exclude() leaves entries out of both sides. Globs and paths
/// limit the comparison. Every file that has the same size on both sides is
/// read, whatever its times and ibt_options_set_change_detection() say, so that
/// silent damage is found. With ibt_options_set_metadata_only() no file is
/// read. Holes, ctimes, inode numbers and the names of users and groups are not
/// compared. Nothing is written, and no link of the tree is followed. Progress
/// is reported as IBT_PHASE_VERIFY.
///
/// `*report` and `*err` as for ibt_full_backup().
///
/// Returns IBT_OK, with or without differences; IBT_PARTIAL if entries of the
/// tree could not be read, which the report lists; IBT_ERR_INVALID_ARG if key
/// or tree is NULL or malformed, a setter of options failed, or an option has
/// no use here (a root, delete_extra, dry_run); IBT_ERR_NOT_FOUND if there is
/// no such snapshot, or if a glob or path matches on neither side (returned
/// only at the end, after all changes); IBT_ERR_IO if tree cannot be opened
/// (ibt_error_os_code() is ENOENT if it does not exist, ENOTDIR if it is not a
/// directory) or the storage failed; IBT_ERR_MISMATCH if the snapshot's digest
/// is not the expected one; IBT_ERR_CORRUPT if its state is damaged,
/// IBT_ERR_MISSING if a state that it needs as a layer is gone, IBT_ERR_FORMAT
/// if a newer libibt made it; IBT_ERR_UNSUPPORTED if the storage lacks a
/// function; IBT_ERR_BUSY, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
/// IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's status.
///
/// Since: 0.1
#[unsafe(no_mangle)]
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
        let call = unsafe { OperationArgs::begin("compare", storage, options, report) };
        // SAFETY: NULL or a string.
        let key = unsafe { args::key(key, call.doing) }?;
        // SAFETY: NULL or a string.
        let tree = unsafe { args::path(tree, call.doing, "tree") }?;
        call.run(UsedOptions::COMPARE, |store, job| inspect::compare(store, key, tree, job))
    })
}
