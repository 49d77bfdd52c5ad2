//! `ibt_progress`: the progress of an operation, lent to a progress callback.

use std::ffi::{CString, c_char};

use crate::job::Progress;

use super::args::c_string;

/// The progress of an operation. Valid during the call of its ibt_progress_fn
/// only.
///
/// Since: 0.1
pub struct ibt_progress {
    now: Progress,
    path: CString,
}

impl ibt_progress {
    pub(super) fn new(now: &Progress) -> Self {
        ibt_progress { now: now.clone(), path: c_string(&now.path) }
    }
}

/// ==== Progress ====
///
/// The current phase of the operation: one of IBT_PHASE_*; 0 for NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_progress_phase(now: Option<&ibt_progress>) -> i32 {
    guard!(0, { now.map_or(0, |view| view.now.phase as i32) })
}

/// The item that the operation works on, as raw bytes. Normally this is the
/// path of an entry, relative to the source or the snapshot's root. While
/// states are read (IBT_PHASE_SCAN of a list, a prune or a verify) and while
/// backup files are removed (IBT_PHASE_DELETE), it is the name of the backup
/// file in the storage.
///
/// Never NULL: "" for the root, between entries, and for NULL. Borrowed until
/// the callback returns.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_progress_path(now: Option<&ibt_progress>) -> *const c_char {
    guard!(c"".as_ptr(), { now.map_or(c"".as_ptr(), |view| view.path.as_ptr()) })
}

/// Bytes done in this phase; 0 for NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_progress_done_bytes(now: Option<&ibt_progress>) -> u64 {
    guard!(0, { now.map_or(0, |view| view.now.done_bytes) })
}

/// Bytes to do in this phase, those done included; 0 while unknown, and for
/// NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_progress_total_bytes(now: Option<&ibt_progress>) -> u64 {
    guard!(0, { now.map_or(0, |view| view.now.total_bytes) })
}

/// Entries done in this phase; 0 for NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_progress_done_entries(now: Option<&ibt_progress>) -> u64 {
    guard!(0, { now.map_or(0, |view| view.now.done_entries) })
}

/// Entries to do in this phase, those done included; 0 while unknown, and for
/// NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_progress_total_entries(now: Option<&ibt_progress>) -> u64 {
    guard!(0, { now.map_or(0, |view| view.now.total_entries) })
}
