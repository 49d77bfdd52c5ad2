//! The setters that choose the entries of a backup, and the names under which it records host and source.

use std::ffi::c_char;

use super::super::args::Handle;
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
/// Since: 0.1.0
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
/// the directory that the newest snapshot names is the same source, for example
/// a path through a symbolic link; the snapshots keep the first path.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or name is NULL, or name is
/// empty or longer than 4096 bytes.
///
/// Since: 0.1.0
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
