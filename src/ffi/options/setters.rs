//! The setters of values. Each checks and copies its argument, and refuses a value that no operation could
//! use.

use std::ffi::{CStr, c_char};
use std::path::PathBuf;

use crate::entry::{Hash, NAME_MAX};
use crate::exclude::{Excludes, PATTERNS_MAX};
use crate::format::check_key;
use crate::job::{DeltaMode, Detect, OnFileError, Select, meta};
use crate::stamp::{Stamp, Time};

use super::super::args::{self, Handle};
use super::super::constants::*;
use super::*;

/// The largest number of worker threads that a caller may ask for.
const THREADS_MAX: u32 = 1024;

/// The key of a backup's snapshot: the backup continues the series of snapshots
/// with this key, or begins a new one. Backups only: other operations take the
/// key as an argument and ignore this one.
///
/// Default: the last component of the source's absolute path. A key has 1 to
/// 128 bytes of UTF-8 without '/' and control characters, and does not begin
/// with '.' or '-'.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or key is NULL or the key is
/// malformed.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_key(options: *mut ibt_options, key: *const c_char) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_key", |settings| {
            // SAFETY: NULL or a string.
            let key = unsafe { bytes(key, "key") }?;
            settings.engine.key = Some(check_key(key).map_err(|error| error.detail)?);
            Ok(())
        })
    })
}

/// The directory with copies of the newest states and signatures, so that an
/// increment need not fetch them from the storage. It may be removed at any
/// time. A relative path starts at the current directory of this call.
///
/// "" means no cache: nothing is read from or written to one. An increment then
/// reads the states that the newest snapshot needs from the storage. For each
/// file that changed it reads the old signature, or, with IBT_DELTA_CONTENTS,
/// the old content. A layer that the storage lost cannot be put back then.
///
/// Default: $XDG_CACHE_HOME/ibt or ~/.cache/ibt.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_cache_dir(
    options: *mut ibt_options,
    path: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_cache_dir", |settings| {
            // SAFETY: NULL or a string.
            if unsafe { bytes(path, "path") }?.is_empty() {
                settings.engine.cache_dir = Some(PathBuf::new());
                return Ok(());
            }
            // SAFETY: a string.
            let path = unsafe { args::path(path, "", "path") }.map_err(|error| error.detail)?;
            // The path is made absolute here, so that a later change of the current directory does not move
            // the cache.
            settings.engine.cache_dir = Some(std::path::absolute(path).unwrap_or(path.into()));
            Ok(())
        })
    })
}

/// Protects the entry at a path and everything below it, whatever name is used
/// to reach it. A restore does not remove, replace or enter it, and lists a
/// snapshot entry that belongs in its place as IBT_PROBLEM_OBSTRUCTED. A backup
/// or comparison leaves it out, with a note. The path is resolved, including
/// links, when the operation begins; if there is nothing at the path, the
/// operation returns IBT_ERR_IO with ENOENT as ibt_error_os_code().
///
/// Set this if a storage made of your own functions keeps its objects in a
/// directory. libibt protects a directory storage and the cache by itself. Each
/// call adds a path. Restores, backups and comparisons; ignored elsewhere.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL, path is
/// empty, or there are 10,000 protected paths already.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_add_protected_path(
    options: *mut ibt_options,
    path: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_add_protected_path", |settings| {
            const PATHS_MAX: usize = 10_000;
            // SAFETY: NULL or a string.
            let path = unsafe { args::path(path, "", "path") }.map_err(|error| error.detail)?;
            if settings.engine.protected.len() >= PATHS_MAX {
                return Err(format!("more than {PATHS_MAX} protected paths"));
            }
            settings.engine.protected.push(path.into());
            Ok(())
        })
    })
}

/// Excludes the entries that match a pattern from a backup, from both sides of a
/// comparison, and from a restore. A pattern is one line as in a .gitignore file
/// at the root of the source, or of the snapshot, '!' included. Each call adds a
/// pattern; of two patterns that match, the later one decides.
///
/// A restore neither writes an excluded entry, nor removes or replaces one that
/// exists in its destination, whether the snapshot has it or not. An entry of the
/// snapshot in whose place something excluded exists is listed as
/// IBT_PROBLEM_OBSTRUCTED.
///
/// Other operations fail with IBT_ERR_INVALID_ARG if a pattern is set.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or pattern is NULL, the
/// pattern is empty, longer than 4096 bytes, not one line, malformed (a class
/// without end, a backslash at the end) or not UTF-8, or there are 10,000
/// patterns already.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_add_exclude(
    options: *mut ibt_options,
    gitignore_pattern: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_add_exclude", |settings| {
            // SAFETY: NULL or a string.
            let pattern = unsafe { bytes(gitignore_pattern, "pattern") }?;
            if pattern.is_empty() || pattern.contains(&b'\n') {
                return Err("pattern is not one line".into());
            }
            Excludes::check_pattern(pattern)?;
            if settings.engine.excludes.len() >= PATTERNS_MAX {
                return Err(format!("more than {PATTERNS_MAX} patterns"));
            }
            settings.engine.excludes.push(pattern.into());
            Ok(())
        })
    })
}

/// The name of exclude files: a file with this name, in any directory of the
/// source, holds patterns for its directory, as a .gitignore file does. Backups
/// and comparisons; ignored elsewhere.
///
/// The exclude files of a directory and of all directories above it may
/// together have 1 MiB and 10,000 patterns. A file that exceeds this limit is
/// not used and is listed as a problem; the entries that its patterns match are
/// then backed up.
///
/// Default: ".exclude". "" for none.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or name is NULL or name is
/// not a valid file name.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_exclude_file(
    options: *mut ibt_options,
    name: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_exclude_file", |settings| {
            // SAFETY: NULL or a string.
            let name = unsafe { bytes(name, "name") }?;
            if name.len() > NAME_MAX || name.contains(&b'/') || matches!(name, b"." | b"..") {
                return Err("name is not a file's name".into());
            }
            settings.engine.exclude_file = name.into();
            Ok(())
        })
    })
}

/// Selects the snapshot with exactly this stamp, such as
/// "20261122T220530.123456Z", instead of the newest. NULL selects the newest
/// again. This setter and ibt_options_set_as_of() replace each other: the last
/// call counts.
///
/// Backups, consolidations and rebuilds of the cache fail with
/// IBT_ERR_INVALID_ARG if a snapshot is selected.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or stamp is not a
/// stamp.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_snapshot(
    options: *mut ibt_options,
    stamp: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_snapshot", |settings| {
            settings.engine.select = match stamp.is_null() {
                true => Select::Newest,
                false => {
                    // SAFETY: not NULL, so a string.
                    let text = unsafe { CStr::from_ptr(stamp) }.to_str().ok();
                    Select::Exactly(text.and_then(Stamp::parse).ok_or("not a stamp")?)
                }
            };
            Ok(())
        })
    })
}

/// A prune removes the snapshot with this stamp. Each call adds a stamp, up to
/// 10,000. The prune removes all of these snapshots, and also the snapshot that
/// ibt_options_set_snapshot() or ibt_options_set_as_of() selects. If one of
/// them does not exist, the prune returns IBT_ERR_NOT_FOUND before it removes
/// anything.
///
/// Default: none. Prune only; other operations fail with IBT_ERR_INVALID_ARG if
/// such a stamp is set.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or stamp is NULL, stamp is not
/// a stamp, or there are 10,000 already.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_add_removed(
    options: *mut ibt_options,
    stamp: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_add_removed", |settings| {
            const STAMPS_MAX: usize = 10_000;
            // SAFETY: NULL or a string.
            let text = unsafe { bytes(stamp, "stamp") }?;
            let stamp = std::str::from_utf8(text).ok().and_then(Stamp::parse);
            let stamp = stamp.ok_or_else(|| "not the stamp of a snapshot".to_string())?;
            if settings.engine.removed.len() >= STAMPS_MAX {
                return Err(format!("more than {STAMPS_MAX} snapshots"));
            }
            settings.engine.removed.push(stamp);
            Ok(())
        })
    })
}

/// Selects the last snapshot made at this time or before, in nanoseconds since
/// 1970, UTC. The time of a snapshot is ibt_report_snapshot_date(), exact to a
/// microsecond. Of two snapshots with the same time, the one with the later
/// stamp is selected. To select the last snapshot of a whole second, minute or
/// day, pass the last nanosecond of it. Take care with ibt_prune(): it removes
/// the selected snapshot even if that snapshot was made long before the given
/// time. To be safe, list the snapshots first and select one by its stamp.
///
/// This setter and ibt_options_set_snapshot() replace each other: the last call
/// counts.
///
/// Backups, consolidations and rebuilds of the cache fail with
/// IBT_ERR_INVALID_ARG if a snapshot is selected.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_as_of(
    options: *mut ibt_options,
    unix_nanoseconds: i64,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_as_of", |settings| {
            settings.engine.select = Select::AsOf(Time::from_nanos(unix_nanoseconds.into()));
            Ok(())
        })
    })
}

/// The number of worker threads that an operation may start. They end before
/// the operation returns. Up to eight more threads read from a storage that has
/// IBT_STORAGE_THREAD_SAFE or is a bucket.
///
/// The operation starts fewer threads where the system refuses more of them,
/// and where the process can open fewer than 16 + 4 n file descriptors.
///
/// Default: 0, one for each core. At most 1024.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or n is too large.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_threads(options: *mut ibt_options, n: u32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_threads", |settings| {
            if n > THREADS_MAX {
                return Err(format!("{n} threads are more than {THREADS_MAX}"));
            }
            settings.engine.threads = n;
            Ok(())
        })
    })
}

/// How an increment decides that a file is unchanged: one of IBT_DETECT_*.
///
/// Default: IBT_DETECT_METADATA.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or rule is unknown.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_change_detection(
    options: *mut ibt_options,
    rule: i32,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_change_detection", |settings| {
            settings.engine.detect = match rule {
                IBT_DETECT_METADATA => Detect::Metadata,
                IBT_DETECT_CONTENT => Detect::Content,
                _ => return Err(unknown("rule", rule)),
            };
            Ok(())
        })
    })
}

/// Sets how an increment makes the delta of a changed file: one of IBT_DELTA_*.
/// All deltas have the same format.
///
/// Default: IBT_DELTA_AUTO.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or mode is unknown.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_delta(options: *mut ibt_options, mode: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_delta", |settings| {
            settings.engine.delta = match mode {
                IBT_DELTA_AUTO => DeltaMode::Auto,
                IBT_DELTA_SIGNATURES => DeltaMode::Signatures,
                IBT_DELTA_CONTENTS => DeltaMode::Contents,
                _ => return Err(unknown("mode", mode)),
            };
            Ok(())
        })
    })
}

/// With 1 a backup does not enter other file systems that are mounted in the
/// source, and a comparison does not enter those mounted in the tree. Their
/// mount points count as empty directories. Backups and comparisons; ignored
/// elsewhere.
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_one_file_system(options: *mut ibt_options, on: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_one_file_system", |settings| {
            settings.engine.one_file_system = on != 0;
            Ok(())
        })
    })
}

/// With 1 a directory with a valid CACHEDIR.TAG file is stored with that file
/// only, and without the rest of its entries. Backups and comparisons; ignored
/// elsewhere.
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_skip_cache_dirs(options: *mut ibt_options, on: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_skip_cache_dirs", |settings| {
            settings.engine.skip_cache_dirs = on != 0;
            Ok(())
        })
    })
}

/// The policy for a file that cannot be read or restored, and for every other
/// problem that would make the result IBT_PARTIAL: one of IBT_ON_ERROR_*.
///
/// With IBT_ON_ERROR_STOP the operation returns the status of the first such
/// problem. That may be a status that the operation's comment does not list. The
/// project ids and the flags "immutable" and "append" of a restored tree are set
/// when nothing can be stopped any more: those that are refused are listed, and
/// the result is IBT_PARTIAL.
///
/// Default: IBT_ON_ERROR_SKIP.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or policy is unknown.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_on_file_error(options: *mut ibt_options, policy: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_on_file_error", |settings| {
            settings.engine.on_file_error = match policy {
                IBT_ON_ERROR_SKIP => OnFileError::Skip,
                IBT_ON_ERROR_STOP => OnFileError::Stop,
                _ => return Err(unknown("policy", policy)),
            };
            Ok(())
        })
    })
}

/// With 1 a backup, full or incremental, accepts a source or host that differs
/// from that of the newest snapshot. With 0 it returns IBT_ERR_MISMATCH for such
/// a source. If source and host are the same but have other names now, pass the
/// recorded names to ibt_options_set_source_name() and ibt_options_set_host()
/// instead. Backups only; ignored elsewhere.
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_allow_source_change(
    options: *mut ibt_options,
    on: i32,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_allow_source_change", |settings| {
            settings.engine.allow_source_change = on != 0;
            Ok(())
        })
    })
}

/// With 1 a backup, full or incremental, accepts an empty source although the
/// newest snapshot has entries. With 0 it returns IBT_ERR_MISMATCH for such a
/// source, because most often a mount is missing. With 1 a prune may remove all
/// snapshots of its key. With 0 it returns IBT_ERR_INVALID_ARG instead. Ignored
/// elsewhere.
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_allow_empty(options: *mut ibt_options, on: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_allow_empty", |settings| {
            settings.engine.allow_empty = on != 0;
            Ok(())
        })
    })
}

/// The metadata that a restore sets: IBT_META_* bits, 0 for nothing but
/// content. Restore only; ignored elsewhere.
///
/// Default: all bits, but IBT_META_OWNER only with privilege: for root, or with
/// the capability to change owners (CAP_CHOWN).
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or mask has an
/// unknown bit.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_restore_metadata(
    options: *mut ibt_options,
    mask: u32,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_restore_metadata", |settings| {
            if mask & !meta::ALL != 0 {
                return Err(format!("mask {mask} has unknown bits"));
            }
            settings.engine.restore_metadata = Some(mask);
            Ok(())
        })
    })
}

/// The tree digest ("blake3:" and 64 hex digits) that the selected snapshot
/// must have. If it has another one, the operation returns IBT_ERR_MISMATCH
/// before it reads anything but states. Operations that select no snapshot,
/// and ibt_list_snapshots() and ibt_prune(), fail with IBT_ERR_INVALID_ARG if a
/// digest is set.
///
/// Default: none; every digest is accepted.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or tree_digest is NULL or
/// tree_digest is not a digest.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_expected_digest(
    options: *mut ibt_options,
    tree_digest: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_expected_digest", |settings| {
            // SAFETY: NULL or a string.
            let text = unsafe { bytes(tree_digest, "tree_digest") }?;
            let text = std::str::from_utf8(text).ok();
            let digest =
                text.and_then(Hash::parse).ok_or("tree_digest is not \"blake3:\" and 64 hex digits")?;
            settings.engine.expected_digest = Some(digest);
            Ok(())
        })
    })
}

/// The time in milliseconds that an operation waits for another one that holds
/// the same key. After that it returns IBT_ERR_BUSY. -1 means without limit.
///
/// Backups and consolidations wait for each other. A prune waits for every other
/// operation, and every other operation waits for a prune. Nothing else waits:
/// operations that only read run beside backups.
///
/// A prune that waits keeps later operations out of the key for one second, then
/// lets them in for one second. Each time both spans double, up to 256 seconds.
/// An operation that waits longer than that gets the key before the prune does.
///
/// Default: 0, does not wait.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or milliseconds is
/// less than -1.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_lock_wait(
    options: *mut ibt_options,
    milliseconds: i64,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_lock_wait", |settings| {
            if milliseconds < -1 {
                return Err(format!("{milliseconds} milliseconds are less than -1"));
            }
            settings.engine.lock_wait_ms = milliseconds;
            Ok(())
        })
    })
}

/// With 1 an increment makes no snapshot if nothing changed: every entry is as in
/// the newest snapshot, the backup left out the same entries, the source, the
/// host and the labels are the same, and the report has no problem besides
/// notes. The operation then returns IBT_OK, its report has no files
/// (ibt_report_file_count()), and ibt_report_snapshot() is the newest snapshot.
/// Other operations ignore the option.
///
/// Default: 0, every increment makes a snapshot. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_skip_unchanged(options: *mut ibt_options, on: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_skip_unchanged", |settings| {
            settings.engine.skip_unchanged = on != 0;
            Ok(())
        })
    })
}

/// With 1 backups, prunes and consolidations go on where nothing can be locked:
/// the file system of the storage has no locks, or the name of the lock belongs
/// to something that is not a file. With 0 they return IBT_ERR_UNSUPPORTED
/// there. With 1 the caller guarantees that nobody else writes to the key
/// meanwhile: two writers at the same time can remove files that the other one
/// needs. Operations that only read go on without a lock in any case, with a
/// note (IBT_PROBLEM_UNLOCKED). Ignored elsewhere.
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_allow_unlocked(options: *mut ibt_options, on: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_allow_unlocked", |settings| {
            settings.engine.allow_unlocked = on != 0;
            Ok(())
        })
    })
}

/// # Safety
///
/// As for [`args::bytes`].
pub(super) unsafe fn bytes<'a>(text: *const c_char, name: &str) -> Result<&'a [u8], SetterRefusal> {
    // SAFETY: the caller's promise.
    unsafe { args::bytes(text, "", name) }.map_err(|error| error.detail)
}

pub(super) fn unknown(what: &str, number: i32) -> SetterRefusal {
    format!("{what} {number} is unknown")
}
