//! `ibt_cancel`: a request to stop that any thread or signal handler can make.

use crate::job::Cancel;

use super::args::{free_raw, into_raw};

/// A request to stop. It is one-shot: a request cannot be withdrawn. Owned by
/// the caller, who frees it with ibt_cancel_free(). Operations share the
/// object, so the caller may free it while an operation runs.
///
/// Any number of threads may use one object at once.
///
/// Since: 0.1
pub struct ibt_cancel(pub(super) Cancel);

/// ==== Cancelling ====
///
/// Makes an object without a request to stop. Never returns NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_cancel_new() -> *mut ibt_cancel {
    guard!(std::ptr::null_mut(), { into_raw(ibt_cancel(Cancel::default())) })
}

/// Asks every operation that has this object in its options to stop: running
/// operations return IBT_ERR_CANCELLED soon, later operations at once. A backup
/// that is committed already returns as if there were no request. NULL is
/// ignored.
///
/// Any thread, and any signal handler: async-signal-safe.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_cancel_request(cancel: *mut ibt_cancel) {
    guard!(signal_safe(), {
        // SAFETY: NULL or a handle that is not freed yet. Sharing it is sound, because it is an atomic flag.
        if let Some(cancel) = unsafe { cancel.as_ref() } {
            cancel.0.request();
        }
    })
}

/// 1 if ibt_cancel_request() was called, else 0; 0 for NULL.
///
/// Any thread, and any signal handler: async-signal-safe.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_cancel_requested(cancel: Option<&ibt_cancel>) -> i32 {
    guard!(signal_safe 0, { cancel.map_or(0, |cancel| i32::from(cancel.0.requested())) })
}

/// Frees the object. NULL is ignored. No signal handler may use it any more.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_cancel_free(cancel: *mut ibt_cancel) {
    guard!((), {
        // SAFETY: NULL, or a handle from libibt that the caller owns and uses no more.
        unsafe { free_raw(cancel) }
    })
}
