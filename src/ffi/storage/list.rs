//! `ibt_list`: receives the names from a storage's list function.

use std::ffi::{CStr, c_char};

use crate::store::callbacks::Listing;

use super::super::constants::{IBT_ERR_INVALID_ARG, IBT_ERR_PANIC, IBT_OK};
use super::super::library::ibt_status;

/// Receives the names that an ibt_list_fn finds. Valid during the call of that
/// function only.
///
/// Since: 0.1
pub struct ibt_list(pub(super) Listing);

/// Adds an object to a listing. An ibt_list_fn calls it on its own thread, once
/// for each object. Copies the name; `size` is in bytes.
///
/// Ignores a name that does not begin with the requested prefix, is not the
/// name of a backup file, is not UTF-8, or was added before.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if out or name is NULL. Do not return
/// this IBT_OK from the ibt_list_fn, where 0 is a failure: return
/// IBT_CALLBACK_OK.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_list_add(out: *mut ibt_list, name: *const c_char, size: u64) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or the list that libibt lent to the caller's list function. Nobody else uses it
        // meanwhile.
        match unsafe { out.as_mut() } {
            Some(out) if !name.is_null() => {
                // libibt's own names are UTF-8, so any other name belongs to somebody else.
                // SAFETY: not NULL, so a string.
                if let Ok(name) = unsafe { CStr::from_ptr(name) }.to_str() {
                    out.0.add(name, size);
                }
                IBT_OK
            }
            _ => IBT_ERR_INVALID_ARG,
        }
    })
}
