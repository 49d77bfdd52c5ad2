//! `ibt_list`: what a storage's list function fills.

use std::ffi::{c_char, CStr};

use crate::store::callbacks::Listing;

use super::super::constants::{IBT_ERR_INVALID_ARG, IBT_ERR_PANIC, IBT_OK};
use super::super::library::ibt_status;

/// Takes the names that an ibt_list_fn finds. Lent to it for one call.
///
/// Since: 0.1
pub struct ibt_list(pub(super) Listing);

/// Adds an object to a listing: to be called by an ibt_list_fn, on its thread,
/// once for each. The name is copied; size is in bytes.
///
/// Names that were not asked for, are no backup file's, are not UTF-8 or were
/// added before are passed over.
///
/// Returns IBT_OK, which is not what the ibt_list_fn itself answers;
/// IBT_ERR_INVALID_ARG if out or name is NULL.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_list_add(out: *mut ibt_list, name: *const c_char, size: u64) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or the list that the caller's list function was lent, which nobody else uses meanwhile.
        match unsafe { out.as_mut() } {
            Some(out) if !name.is_null() => {
                // libibt's own names are UTF-8: another one is foreign.
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
