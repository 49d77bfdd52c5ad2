//! `ibt_options`: one object for every operation, filled by setters that check.

mod callbacks;
mod checking;
mod choosing;
mod labels;
mod limits;
mod setters;
mod storing;

pub use callbacks::*;
pub use checking::*;
pub use choosing::*;
pub use labels::*;
pub use limits::*;
pub use setters::*;
pub use storing::*;

use crate::error::{Error, Kind, Result};
use crate::job::{Cancel, Options};

use super::args::{Handle, free_raw, into_raw};
use super::callback::Callbacks;
use super::constants::{IBT_ERR_INVALID_ARG, IBT_OK};
use super::library::ibt_status;

/// The options of an operation. One type serves every operation. If an
/// operation gets NULL as its options, it uses all defaults. Owned by the
/// caller, who frees it with ibt_options_free().
///
/// Setters copy their arguments. A setter that fails returns a status and marks
/// the object: every later operation with this object returns that status too,
/// and its error names the setter and the reason. So a program need not check
/// the return values of setters.
///
/// Operations copy the object when they begin. Several operations may use it at
/// once, also from different threads, as long as no setter runs.
///
/// Since: 0.1
pub struct ibt_options {
    settings: Settings,
    /// The error of the first setter that failed.
    refused: Option<Error>,
}

/// The values from all setters: the engine's options, the callbacks and the cancel flag.
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
#[unsafe(no_mangle)]
pub extern "C" fn ibt_options_new() -> *mut ibt_options {
    guard!(std::ptr::null_mut(), { into_raw(ibt_options { settings: Settings::default(), refused: None }) })
}

/// Frees options. Operations that are running with them go on. NULL is ignored.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_free(options: *mut ibt_options) {
    guard!((), {
        // SAFETY: NULL, or a handle from libibt that the caller owns and uses no more.
        unsafe { free_raw(options) }
    })
}

/// A copy of the settings in `options`, the defaults for NULL, or the error of the first setter that failed.
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

/// Why a setter fails: the rest of "SETTER: ...".
type SetterRefusal = String;

/// The body of every setter: applies `change`, or marks the object with the refusal. `change` returns the
/// callback that it replaced. That callback is dropped after the last access to the options, because its
/// destroy function may use them.
fn set<T>(
    mut options: Handle<ibt_options>,
    setter: &str,
    change: impl FnOnce(&mut Settings) -> Result<T, SetterRefusal>,
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
