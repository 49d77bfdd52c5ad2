//! The setters of callbacks, and of the object that cancels.

use std::ffi::c_void;

use crate::job::{Cancel, Level};

use super::super::args::Handle;
use super::super::callback::{
    Callback, ibt_change_fn, ibt_destroy_fn, ibt_filter_fn, ibt_log_fn, ibt_progress_fn,
};
use super::super::cancel::ibt_cancel;
use super::super::constants::*;
use super::*;

/// Sets the function that receives the progress of an operation; NULL for none.
/// libibt passes `ud` to it. `destroy` releases `ud`, see ibt_destroy_fn; it
/// may be NULL.
///
/// Default: none.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_progress(
    options: *mut ibt_options,
    progress: ibt_progress_fn,
    ud: *mut c_void,
    destroy: ibt_destroy_fn,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_progress", |settings| {
            let (new, unused) = Callback::new(progress, ud, destroy);
            Ok((std::mem::replace(&mut settings.callbacks.progress, new), unused))
        })
    })
}

/// Sets the function that receives each change that a backup finds, each entry
/// that a restore makes, corrects, leaves or removes, and each difference that
/// a comparison finds; NULL for none. `ud` and `destroy` as for
/// ibt_options_set_progress().
///
/// Default: none.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_change(
    options: *mut ibt_options,
    change: ibt_change_fn,
    ud: *mut c_void,
    destroy: ibt_destroy_fn,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_change", |settings| {
            let (new, unused) = Callback::new(change, ud, destroy);
            Ok((std::mem::replace(&mut settings.callbacks.change, new), unused))
        })
    })
}

/// Sets the function that decides about each entry of the source of a backup;
/// NULL for none. `ud` and `destroy` as for ibt_options_set_progress().
///
/// An entry that it leaves out counts as excluded: it is absent from the
/// snapshot, an increment that leaves it out for the first time reports it as
/// deleted, and a restore with ibt_options_set_delete_extra() does not remove
/// it. The filter runs on the calling thread. So with a filter only this thread
/// walks the source; without a filter all worker threads do.
///
/// Default: none. Backups only; other operations fail with IBT_ERR_INVALID_ARG
/// if a filter is set.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_filter(
    options: *mut ibt_options,
    filter: ibt_filter_fn,
    ud: *mut c_void,
    destroy: ibt_destroy_fn,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_filter", |settings| {
            let (new, unused) = Callback::new(filter, ud, destroy);
            Ok((std::mem::replace(&mut settings.callbacks.filter, new), unused))
        })
    })
}

/// Sets the function that receives messages of the importance `level`
/// (IBT_LOG_*) or higher; NULL for none. For example IBT_LOG_WARN passes on
/// warnings and errors. `ud` and `destroy` as for ibt_options_set_progress().
///
/// Default: none; libibt itself writes messages nowhere.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or level is unknown.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_log(
    options: *mut ibt_options,
    level: i32,
    log: ibt_log_fn,
    ud: *mut c_void,
    destroy: ibt_destroy_fn,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_log", |settings| {
            let level = match level {
                IBT_LOG_ERROR => Level::Error,
                IBT_LOG_WARN => Level::Warn,
                IBT_LOG_INFO => Level::Info,
                IBT_LOG_DEBUG => Level::Debug,
                _ => return Err(format!("level {level} is unknown")),
            };
            let (new, unused) = Callback::new(log, ud, destroy);
            let new = new.map(|callback| (level, callback));
            Ok((std::mem::replace(&mut settings.callbacks.log, new), unused))
        })
    })
}

/// Sets the object that can stop operations with these options; NULL for none.
/// The options share the object. It still belongs to the caller, who may free
/// it at any time.
///
/// Default: none.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_cancel(
    options: *mut ibt_options,
    cancel: *mut ibt_cancel,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_cancel", |settings| {
            // SAFETY: NULL, or a handle that is not freed yet.
            let cancel = unsafe { cancel.as_ref() };
            settings.cancel = cancel.map_or_else(Cancel::default, |shared| shared.0.clone());
            Ok(())
        })
    })
}
