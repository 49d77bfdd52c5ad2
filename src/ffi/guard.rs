//! Keeps panics inside the library: the macro around every export, and the panic hook that keeps libibt's
//! panics off stderr.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::{Mutex, Once, PoisonError};

use crate::error::{Error, Kind, Result};

use super::error::ibt_error;

/// The body of every export. A panic in the body never reaches C:
///
/// - `guard!(neutral, { ... })` returns `neutral` after a panic;
/// - `guard!(signal_safe neutral, { ... })` does the same for a body that a signal handler may run: it
///   touches neither heap nor thread-local storage unless the body panics;
/// - `guard!(err, err, { ... })` takes a body that is a `Result<ibt_status>` and returns the status. It
///   clears `*err` first, and sets it if the body fails or panics.
macro_rules! guard {
    (signal_safe $neutral:expr, $body:block) => {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            #[cfg(test)]
            $crate::ffi::guard::panic_if_forced();
            $body
        }))
        .unwrap_or($neutral)
    };
    (err, $err:expr, $body:block) => {
        $crate::ffi::guard::with_error($err, || $body)
    };
    ($neutral:expr, $body:block) => {
        $crate::ffi::guard::attempt(|| $body).unwrap_or($neutral)
    };
}

/// Runs `body`. Turns a panic into an error of kind `Panic` with the panic's message and place.
pub(super) fn attempt<T>(body: impl FnOnce() -> T) -> Result<T> {
    keep_panics_quiet();
    let _inside = InsideLibibt::enter();
    let body = || {
        #[cfg(test)]
        panic_if_forced();
        body()
    };
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let text = take_text().unwrap_or_else(|| payload_text(payload.as_ref()));
        Error::new(Kind::Panic, "go on", format!("libibt panicked: {text}"))
    })
}

/// [`attempt`] for a body that can fail: stores the error in `*err`, where `err` may be NULL, and returns the
/// status.
pub(super) fn with_error(err: *mut *mut ibt_error, body: impl FnOnce() -> Result<i32>) -> i32 {
    if !err.is_null() {
        // SAFETY: an export passes the error argument of C, which is NULL or may be written.
        unsafe { err.write(std::ptr::null_mut()) };
    }
    match attempt(body).and_then(|result| result) {
        Ok(status) => status,
        Err(error) => {
            let status = error.kind as i32;
            if !err.is_null() {
                // SAFETY: as above.
                unsafe { err.write(super::args::into_raw(ibt_error::new(&error))) };
            }
            status
        }
    }
}

thread_local! {
    /// The number of guarded calls that this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// While an `InsideLibibt` exists, a panic of its thread belongs to libibt.
struct InsideLibibt;

impl InsideLibibt {
    fn enter() -> Self {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        InsideLibibt
    }
}

impl Drop for InsideLibibt {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}

#[cfg(test)]
thread_local! {
    /// The number of panics that the next guarded calls of this thread are forced to, and the number of those forced.
    static FORCED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Panics if a test has asked for that. The first guarded call panics at the beginning of its body.
#[cfg(test)]
pub(super) fn panic_if_forced() {
    let (asked, done) = FORCED.get();
    if asked > 0 {
        FORCED.set((asked - 1, done + 1));
        panic!("forced by a test");
    }
}

/// Runs `act`, whose first guarded call panics. Returns the number of guarded calls that panicked: 0 or 1.
#[cfg(test)]
pub(super) fn forced<T>(act: impl FnOnce() -> T) -> (T, usize) {
    FORCED.set((1, 0));
    let result = act();
    (result, FORCED.replace((0, 0)).1)
}

/// The message of the first panic that is not reported yet. A panic in a worker comes before the panic that
/// it causes in the calling thread, so the first message names the cause.
static TEXT: Mutex<Option<String>> = Mutex::new(None);

/// Sets a panic hook, once per process. The hook keeps libibt's panics off the program's stderr and passes
/// all other panics to the previous hook.
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

/// True in a guarded call and in the workers that such a call started (`pool` gives them their name).
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
