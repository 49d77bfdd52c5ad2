//! `ibt_options`: one object for every operation, filled by setters that check.

mod callbacks;
mod limits;
mod setters;

pub use callbacks::*;
pub use limits::*;
pub use setters::*;

use crate::error::{Error, Kind, Result};
use crate::job::{Cancel, Options};

use super::args::{give, take, Handle};
use super::callback::Callbacks;
use super::constants::{IBT_ERR_INVALID_ARG, IBT_OK};
use super::library::ibt_status;

/// How an operation is to be done. One type serves every operation, and where a
/// function takes options, NULL means the defaults. Owned by the caller, who
/// frees it with ibt_options_free().
///
/// Setters copy what they are given. A setter that refuses returns its status
/// and marks the object: every operation given it then returns that status and
/// says which setter refused what. So return values of setters need not be
/// checked.
///
/// Operations copy the object when they begin. Several may use it at once, also
/// from different threads, as long as no setter runs.
///
/// Since: 0.1
pub struct ibt_options {
    settings: Settings,
    /// The first refusal of a setter.
    refused: Option<Error>,
}

/// What the setters have gathered: the engine's options, and the caller's means to watch and to stop.
#[derive(Clone, Default)]
pub(super) struct Settings {
    pub(super) engine: Options,
    pub(super) callbacks: Callbacks,
    pub(super) cancel: Cancel,
}

/// ==== Options ====
///
/// Makes options with every default. Never returns NULL.
///
/// Since: 0.1
#[no_mangle]
pub extern "C" fn ibt_options_new() -> *mut ibt_options {
    guard!(std::ptr::null_mut(), { give(ibt_options { settings: Settings::default(), refused: None }) })
}

/// Frees options. Operations that run with them go on. NULL is ignored.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_options_free(options: *mut ibt_options) {
    guard!((), {
        // SAFETY: NULL, or a handle from libibt that the caller owns and uses no more.
        unsafe { take(options) }
    })
}

/// A copy of what `options` say, the defaults for NULL; the error of the setter that refused, if one did.
///
/// # Safety
///
/// `options` is NULL or points to options that no setter changes meanwhile.
pub(super) unsafe fn settings(options: *const ibt_options, doing: &str) -> Result<Settings> {
    // SAFETY: the caller's promise.
    let Some(options) = (unsafe { options.as_ref() }) else { return Ok(Settings::default()) };
    match &options.refused {
        Some(refusal) => Err(Error { op: doing.into(), ..refusal.clone() }),
        None => Ok(options.settings.clone()),
    }
}

/// Why a setter refuses: the rest of "SETTER: ...".
type Refusal = String;

/// The body of every setter: applies `change`, or marks the object with its refusal. What `change` gives back, a
/// callback that was set before, is let go of when nobody is at work on the options: its destroy function may use them.
fn set<T>(
    mut options: Handle<ibt_options>,
    setter: &str,
    change: impl FnOnce(&mut Settings) -> Result<T, Refusal>,
) -> ibt_status {
    // SAFETY: while a setter runs, the header forbids every other use. The reference ends before `before` is dropped.
    let Some(object) = (unsafe { options.get_mut() }) else { return IBT_ERR_INVALID_ARG };
    match change(&mut object.settings) {
        Ok(before) => {
            drop(before);
            IBT_OK
        }
        Err(reason) => {
            let refusal = Error::new(Kind::InvalidArg, "", format!("{setter}: {reason}"));
            object.refused.get_or_insert(refusal);
            IBT_ERR_INVALID_ARG
        }
    }
}
