//! The setters of values. Each checks, copies, and refuses what no operation could use.

use std::ffi::{c_char, CStr};

use crate::entry::{Hash, NAME_MAX};
use crate::exclude::{Excludes, PATTERNS_MAX};
use crate::format::check_key;
use crate::job::{meta, Codec, Detect, OnFileError, Select};
use crate::stamp::{Stamp, Time};

use super::super::args::{self, Handle};
use super::super::constants::*;
use super::*;

/// The most worker threads one may ask for.
const THREADS_MAX: u32 = 1024;

/// The key of the series of snapshots that a backup continues or begins.
/// Backups only: other operations take the key as an argument.
///
/// Default: the last component of the source's absolute path. 1 to 128 bytes of
/// UTF-8 without '/' and control characters, not beginning with '.' or '-'.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or key is NULL or the key is
/// not such text.
///
/// Since: 0.1
#[no_mangle]
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

/// The directory that holds copies of the newest states and signatures, so that
/// an increment need not fetch them. It may be removed at any time. A relative
/// path is that of the current directory of this call.
///
/// Default: $XDG_CACHE_HOME/ibt or ~/.cache/ibt.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL or path is
/// empty.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_options_set_cache_dir(
    options: *mut ibt_options,
    path: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_cache_dir", |settings| {
            // SAFETY: NULL or a string.
            let path = unsafe { args::path(path, "", "path") }.map_err(|error| error.detail)?;
            // A later change of the current directory does not move the cache.
            settings.engine.cache_dir = Some(std::path::absolute(path).unwrap_or(path.into()));
            Ok(())
        })
    })
}

/// Protects what lies at a path, with all below it, by whatever name it is
/// reached: a restore neither removes, replaces nor enters it, and lists an
/// entry whose place it is as IBT_PROBLEM_OBSTRUCTED; a backup or comparison
/// leaves it out, with a note. The path is looked at, and links in it are
/// followed, when the operation begins; IBT_ERR_IO if there is nothing (then
/// ibt_error_os_code() is ENOENT).
///
/// Needed where a storage of the caller's own functions keeps its objects in a
/// directory: of a directory storage, and of the cache, libibt knows. Any number.
/// Restores, backups and comparisons; ignored elsewhere.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL or path is
/// empty, or after 10,000 of them.
///
/// Since: 0.1
#[no_mangle]
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

/// Leaves out of a backup, and out of both sides of a comparison, what matches
/// a pattern: one line as in a .gitignore file in the source, '!' included. Any
/// number; later ones win.
///
/// Every other operation refuses options with patterns (IBT_ERR_INVALID_ARG).
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or pattern is NULL, if the
/// pattern is empty, longer than 4096 bytes, not one line, malformed (a class
/// without end, a backslash at the end) or not UTF-8, or after 10,000 of them.
///
/// Since: 0.1
#[no_mangle]
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

/// The name of files in the source that hold patterns for their directory, in
/// the manner of .gitignore. Backups and comparisons; ignored elsewhere.
///
/// The file of a directory and those of the directories above it have at most
/// 1 MiB and 10,000 patterns together. One that exceeds this is not used, which
/// is a problem: what its patterns name is backed up.
///
/// Default: ".exclude". "" for none.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or name is NULL or name is
/// not a file's name.
///
/// Since: 0.1
#[no_mangle]
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

/// Selects exactly this snapshot, instead of the newest, by its stamp, such as
/// "20261122T220530.123456Z". NULL selects the newest again. Of the two
/// selectors the one set later counts.
///
/// Backups refuse options with a selector (IBT_ERR_INVALID_ARG).
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or stamp is not a
/// stamp.
///
/// Since: 0.1
#[no_mangle]
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

/// Selects the last snapshot made at a moment or before, in nanoseconds since
/// 1970, UTC. When each was made is ibt_report_snapshot_date(), exact to a
/// microsecond; of two made at once, the one with the later stamp. For the last
/// one of a whole second, minute or day give the last nanosecond of that time.
/// ibt_prune() removes that snapshot too, however long before the moment it was
/// made: where that matters, list first and give it the stamp.
///
/// Of the two selectors the one set later counts.
///
/// Backups refuse options with a selector (IBT_ERR_INVALID_ARG).
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[no_mangle]
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

/// How backup files are compressed: codec is one of IBT_COMPRESSION_*; level,
/// of IBT_COMPRESSION_ZSTD, is 1 (fast) to 19 (small), and 0 is 3. Every file
/// says how it is compressed, so a series may mix them.
///
/// Default: IBT_COMPRESSION_ZSTD, 3.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL, codec is unknown or
/// level is out of range.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_options_set_compression(
    options: *mut ibt_options,
    codec: i32,
    level: i32,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_compression", |settings| {
            settings.engine.codec = match (codec, level) {
                (IBT_COMPRESSION_NONE, _) => Codec::None,
                (IBT_COMPRESSION_ZSTD, 0) => Codec::Zstd(3),
                (IBT_COMPRESSION_ZSTD, 1..=19) => Codec::Zstd(level),
                (IBT_COMPRESSION_ZSTD, _) => return Err(format!("level {level} is not 0 to 19")),
                _ => return Err(unknown("codec", codec)),
            };
            Ok(())
        })
    })
}

/// How many worker threads an operation may start; they end with it.
///
/// Default: 0, one for each core. At most 1024.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or n is too large.
///
/// Since: 0.1
#[no_mangle]
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

/// When an increment takes a file as unchanged: one of IBT_DETECT_*.
///
/// Default: IBT_DETECT_METADATA.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or rule is unknown.
///
/// Since: 0.1
#[no_mangle]
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

/// With 1 a backup does not enter other file systems mounted in the source, and
/// a comparison none in the tree; their mount points count as empty directories.
/// Backups and comparisons; ignored elsewhere.
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[no_mangle]
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

/// With 1 what lies in directories marked with a valid CACHEDIR.TAG file is left
/// out, but for that file. Backups and comparisons; ignored elsewhere.
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[no_mangle]
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

/// What becomes of a file that cannot be read or restored, or of anything else
/// that would make the result partial: one of IBT_ON_ERROR_*.
///
/// With IBT_ON_ERROR_STOP the operation returns that problem's status, which
/// may be one that its comment does not name.
///
/// Default: IBT_ON_ERROR_SKIP.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or policy is unknown.
///
/// Since: 0.1
#[no_mangle]
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

/// With 1 a backup, full or not, accepts a source path or host other than those
/// of the newest snapshot, where it else returns IBT_ERR_MISMATCH.
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[no_mangle]
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

/// With 1 a backup, full or not, accepts an empty source where the newest
/// snapshot has entries. Else it returns IBT_ERR_MISMATCH: most often a mount is
/// missing. A prune may then leave no snapshot of its key; else that is
/// IBT_ERR_INVALID_ARG.
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[no_mangle]
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

/// What a restore sets beside content: IBT_META_* bits, 0 for nothing.
///
/// Default: all of them, but IBT_META_OWNER only with privilege: for root, or
/// with the capability to give files away.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or mask has another
/// bit.
///
/// Since: 0.1
#[no_mangle]
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
/// must have; any other is refused with IBT_ERR_MISMATCH before anything else
/// is read. An operation that selects no snapshot refuses such options
/// (IBT_ERR_INVALID_ARG).
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or tree_digest is NULL or
/// tree_digest is not a digest.
///
/// Since: 0.1
#[no_mangle]
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

/// How long an operation waits for another one that holds the same key, in
/// milliseconds; then it returns IBT_ERR_BUSY. -1 is for ever. While a backup, a
/// prune or a consolidation waits, it keeps operations that only read and come
/// later out for a second, then lets them in for a second, and so on, each time
/// for twice as long, up to 256 seconds. Who reads and waits for longer than that
/// gets in before the writer does.
///
/// Default: 0, not at all.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or milliseconds is
/// less than -1.
///
/// Since: 0.1
#[no_mangle]
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

/// Non-zero lets backups, prunes and consolidations go on where nothing can be
/// locked: the file system of the storage has no locks, or something that is no
/// file stands under the lock's name. The caller then guarantees that nobody else
/// writes to the key meanwhile: two writers at a time can remove what the other
/// needs. What only reads goes on without a lock in any case, and logs it.
///
/// Default: 0, IBT_ERR_UNSUPPORTED.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1.0
#[no_mangle]
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
pub(super) unsafe fn bytes<'a>(text: *const c_char, name: &str) -> Result<&'a [u8], Refusal> {
    // SAFETY: the caller's promise.
    unsafe { args::bytes(text, "", name) }.map_err(|error| error.detail)
}

pub(super) fn unknown(what: &str, number: i32) -> Refusal {
    format!("{what} {number} is unknown")
}
