//! The setters that choose the entries of a backup, and the names under which it records host and source.

use std::ffi::c_char;
use std::sync::Arc;

use crate::entry::NAME_MAX;

use super::super::args::{Handle, relative};
use super::super::constants::*;
use super::setters::bytes;
use super::*;

/// The name of this host in a backup's snapshot, instead of the system's. Set it
/// where that name changes, as in many containers: a series of snapshots
/// belongs to one host (ibt_options_set_allow_source_change()). Backups only;
/// ignored elsewhere.
///
/// Default: the system's name of the host. A name has 1 to 255 bytes of UTF-8
/// without control characters.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or host is NULL or host is
/// malformed.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_host(options: *mut ibt_options, host: *const c_char) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_host", |settings| {
            const HOST_MAX: usize = 255;
            // SAFETY: NULL or a string.
            let host =
                std::str::from_utf8(unsafe { bytes(host, "host") }?).map_err(|_| "host is not UTF-8")?;
            if host.is_empty() || host.len() > HOST_MAX || host.chars().any(char::is_control) {
                return Err(format!("host has not 1 to {HOST_MAX} bytes, or has control characters"));
            }
            settings.engine.host = Some(host.into());
            Ok(())
        })
    })
}

/// The name of the source in a backup's snapshot, instead of its path: any text,
/// as raw bytes. Set it where the source is reached by different paths, for
/// example "/home" for a copy of that file system that is mounted elsewhere for
/// the time of the backup. A series of snapshots belongs to one source name
/// (ibt_options_set_allow_source_change()). Backups only; ignored elsewhere.
///
/// Default: the absolute path of the source. Without a name, another path of
/// the directory that the newest snapshot records is the same source, for
/// example a path through a symbolic link. The snapshots then keep the recorded
/// path.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or name is NULL, or name is
/// empty or longer than 4096 bytes.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_source_name(
    options: *mut ibt_options,
    name: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_source_name", |settings| {
            const SOURCE_NAME_MAX: usize = 4096;
            // SAFETY: NULL or a string.
            let name = unsafe { bytes(name, "name") }?;
            if name.is_empty() || name.len() > SOURCE_NAME_MAX {
                return Err(format!("name has not 1 to {SOURCE_NAME_MAX} bytes"));
            }
            settings.engine.source_name = Some(name.into());
            Ok(())
        })
    })
}

/// Leaves out everything in directories that a file marks: a directory with an
/// entry of this name that is not itself a directory, for example ".nobackup",
/// is stored with this marker only. Each call adds a name, up to 100, and each
/// name marks a directory. This holds for the source itself, too. Backups and
/// comparisons; ignored elsewhere.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or name is NULL, name is not a
/// valid file name, or there are 100 names already.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_add_exclude_if_present(
    options: *mut ibt_options,
    name: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_add_exclude_if_present", |settings| {
            const MARKERS_MAX: usize = 100;
            // SAFETY: NULL or a string.
            let name = unsafe { bytes(name, "name") }?;
            if matches!(name, b"" | b"." | b"..") || name.len() > NAME_MAX || name.contains(&b'/') {
                return Err("name is not a file's name".into());
            }
            if settings.engine.exclude_if_present.len() >= MARKERS_MAX {
                return Err(format!("more than {MARKERS_MAX} names"));
            }
            settings.engine.exclude_if_present.push(name.into());
            Ok(())
        })
    })
}

/// Leaves out regular files that are larger than this many bytes, holes
/// included. A file that grows beyond the size is absent from the next
/// snapshot. Backups and comparisons; ignored elsewhere.
///
/// Default: no limit. UINT64_MAX removes a limit.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_exclude_larger_than(
    options: *mut ibt_options,
    bytes: u64,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_exclude_larger_than", |settings| {
            settings.engine.exclude_larger_than = (bytes != u64::MAX).then_some(bytes);
            Ok(())
        })
    })
}

/// With 1 leaves out entries with the flag "no dump" (`chattr +d`), with
/// everything below them, where the system and the file system report the flag
/// (Linux 4.11; for example ext4, XFS, btrfs). Backups and comparisons; ignored
/// elsewhere.
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_exclude_nodump(options: *mut ibt_options, on: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_exclude_nodump", |settings| {
            settings.engine.exclude_nodump = on != 0;
            Ok(())
        })
    })
}

/// Limits a backup to this path below the source, with everything below it and
/// the directories that lead to it: raw bytes, relative to the source, without
/// "." and "..". Slashes at either end are ignored: "/etc" means "etc" in the
/// source, wherever the source lies. Each call adds a path, up to 1,000,000. A
/// snapshot then holds exactly these paths, so an increment reports a path that
/// is not listed any more as deleted. Other options still leave out entries. A
/// listed path that does not exist, or that leads through a symbolic link, is
/// listed as IBT_PROBLEM_UNREADABLE.
///
/// Default: none, the backup takes in the whole source. Backups only; other
/// operations fail with IBT_ERR_INVALID_ARG if a path is set.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL, path is empty
/// or malformed, or there are 1,000,000 paths already.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_add_source_path(
    options: *mut ibt_options,
    path: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_add_source_path", |settings| {
            const PATHS_MAX: usize = 1_000_000;
            // SAFETY: NULL or a string.
            let path = relative(unsafe { bytes(path, "path") }?)?;
            if path.is_root() {
                return Err("path is empty".into());
            }
            if settings.engine.source_paths.len() >= PATHS_MAX {
                return Err(format!("more than {PATHS_MAX} paths"));
            }
            Arc::make_mut(&mut settings.engine.source_paths).push(path);
            Ok(())
        })
    })
}

/// If on is not 0, a restore gives each file to the user and the group that
/// have the recorded names on this machine, also if their numbers differ. A name
/// that this machine does not have is listed once, as a note
/// (IBT_PROBLEM_SKIPPED), and its files keep the recorded number. Numbers inside
/// of ACLs stay as they are. Without IBT_META_OWNER nothing is mapped. Restore
/// only; ignored elsewhere.
///
/// Default: 0, the recorded numbers.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_map_owners(options: *mut ibt_options, on: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_map_owners", |settings| {
            settings.engine.map_owners = on != 0;
            Ok(())
        })
    })
}
