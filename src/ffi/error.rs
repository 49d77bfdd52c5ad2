//! `ibt_error`: why a call failed, returned through the call's last argument.

use std::ffi::{CString, c_char};
use std::ptr;

use crate::error::Error;

use super::args::{c_line, c_string, free_raw, ptr_or_null};
use super::constants::IBT_OK;
use super::library::ibt_status;

/// Why a call failed. Owned by the caller, who frees it with ibt_error_free().
///
/// Immutable: several threads may read it at once, and any of them may free it.
///
/// Since: 0.1
pub struct ibt_error {
    status: ibt_status,
    os_code: i32,
    message: CString,
    path: Option<CString>,
}

impl ibt_error {
    pub(super) fn new(error: &Error) -> Self {
        ibt_error {
            status: error.kind as ibt_status,
            os_code: error.os_code,
            message: c_line(&error.to_string()),
            path: error.path.as_ref().map(c_string),
        }
    }
}

/// ==== Errors ====
///
/// The status that the failed call returned; IBT_OK for NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_error_status(error: Option<&ibt_error>) -> ibt_status {
    guard!(IBT_OK, { error.map_or(IBT_OK, |error| error.status) })
}

/// The system's error number (errno) behind the failure, or 0.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_error_os_code(error: Option<&ibt_error>) -> i32 {
    guard!(0, { error.map_or(0, |error| error.os_code) })
}

/// One line for people: the action that failed, its path, and the reason.
///
/// Never NULL: "" for NULL. Borrowed until the error is freed.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_error_message(error: Option<&ibt_error>) -> *const c_char {
    guard!(c"".as_ptr(), { error.map_or(c"".as_ptr(), |error| error.message.as_ptr()) })
}

/// The path or backup file concerned, as raw bytes; NULL if there is none.
/// Borrowed until the error is freed.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_error_path(error: Option<&ibt_error>) -> *const c_char {
    guard!(ptr::null(), { ptr_or_null(error.and_then(|error| error.path.as_ref())) })
}

/// Frees an error and the strings borrowed from it. NULL is ignored.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_error_free(error: *mut ibt_error) {
    guard!((), {
        // SAFETY: NULL, or a handle from libibt that the caller owns and uses no more.
        unsafe { free_raw(error) }
    })
}
