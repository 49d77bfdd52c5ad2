//! Keeps panics inside: the macro around every export, and the hook that keeps them off stderr.

use std::any::Any;
use std::cell::Cell;
use std::panic::{catch_unwind, set_hook, take_hook, AssertUnwindSafe, PanicHookInfo};
use std::sync::{Mutex, Once, PoisonError};

use crate::error::{Error, Kind, Result};

use super::error::ibt_error;

/// The body of every export. A panic in it never reaches C:
///
/// - `guard!(neutral, { ... })` gives `neutral` instead;
/// - `guard!(signal_safe neutral, { ... })` is the same for a body that a signal handler may run: it
///   touches neither heap nor thread-local storage unless the body panics;
/// - `guard!(err, err, { ... })` is for a body that is a `Result<ibt_status>`: `*err` is cleared first, set
///   when it fails or panics, and the status returned.
macro_rules! guard {
    (signal_safe $neutral:expr, $body:block) => {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| $body)).unwrap_or($neutral)
    };
    (err, $err:expr, $body:block) => {
        $crate::ffi::guard::with_error($err, || $body)
    };
    ($neutral:expr, $body:block) => {
        $crate::ffi::guard::attempt(|| $body).unwrap_or($neutral)
    };
}

/// Runs `body`; a panic becomes an error of kind `Panic` that says where and why.
pub(super) fn attempt<T>(body: impl FnOnce() -> T) -> Result<T> {
    keep_panics_quiet();
    let _inside = Inside::enter();
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let text = take_text().unwrap_or_else(|| payload_text(payload.as_ref()));
        Error::new(Kind::Panic, "go on", format!("libibt panicked: {text}"))
    })
}

/// [`attempt`] for a body that can fail: hands the error out through `err`, which may be NULL, and
/// returns its status.
pub(super) fn with_error(err: *mut *mut ibt_error, body: impl FnOnce() -> Result<i32>) -> i32 {
    if !err.is_null() {
        // SAFETY: an export passes what C gave it for an error: it may be written where it is not NULL.
        unsafe { err.write(std::ptr::null_mut()) };
    }
    match attempt(body).and_then(|result| result) {
        Ok(status) => status,
        Err(error) => {
            let status = error.kind as i32;
            if !err.is_null() {
                // SAFETY: as above.
                unsafe { err.write(super::args::give(ibt_error::new(&error))) };
            }
            status
        }
    }
}

thread_local! {
    /// How many guarded calls this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// While it lives, a panic of this thread is ours.
struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        Inside
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}

/// What the first panic not yet reported said. A worker's panic comes before the one that it causes in the
/// calling thread, so the first is the reason.
static TEXT: Mutex<Option<String>> = Mutex::new(None);

/// Sets, once, a hook that keeps our panics off the program's stderr and passes all others on.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    if ONCE.is_completed() || std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| if is_ours() { note(info) } else { previous(info) }));
    });
}

/// True in a guarded call and in the workers it started (`pool` names them).
fn is_ours() -> bool {
    DEPTH.with(Cell::get) > 0 || std::thread::current().name() == Some("ibt")
}

fn note(info: &PanicHookInfo<'_>) {
    let text = payload_text(info.payload());
    let text = match info.location() {
        Some(at) => format!("{text} ({}:{})", at.file(), at.line()),
        None => text,
    };
    TEXT.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
}

fn take_text() -> Option<String> {
    TEXT.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn payload_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown reason").into()
}
