//! Support for the tests of several modules: simulates missing system calls, and runs code without privilege.

use std::cell::Cell;

#[path = "../../tests/support/nobody.rs"]
mod nobody;

pub use nobody::{NOBODY, as_nobody};

thread_local! {
    static OPENAT2_MISSING: Cell<bool> = const { Cell::new(false) };
    static NOREPLACE_MISSING: Cell<bool> = const { Cell::new(false) };
    static STATX_MISSING: Cell<bool> = const { Cell::new(false) };
    static PROC_MISSING: Cell<bool> = const { Cell::new(false) };
}

pub fn openat2_is_missing() -> bool {
    OPENAT2_MISSING.get()
}

pub fn noreplace_is_missing() -> bool {
    NOREPLACE_MISSING.get()
}

pub fn statx_is_missing() -> bool {
    STATX_MISSING.get()
}

pub fn proc_is_missing() -> bool {
    PROC_MISSING.get()
}

/// Runs `act` as on a system whose `statx` does not report mounts, with or without `/proc`.
pub fn without_statx<T>(has_proc: bool, act: impl FnOnce() -> T) -> T {
    STATX_MISSING.set(true);
    PROC_MISSING.set(!has_proc);
    let result = act();
    STATX_MISSING.set(false);
    PROC_MISSING.set(false);
    result
}

/// Runs `act` as on a system without `openat2`.
pub fn without_openat2<T>(act: impl FnOnce() -> T) -> T {
    OPENAT2_MISSING.set(true);
    let result = act();
    OPENAT2_MISSING.set(false);
    result
}

/// Runs `act` as on a file system that cannot rename without replacing.
pub fn without_noreplace<T>(act: impl FnOnce() -> T) -> T {
    NOREPLACE_MISSING.set(true);
    let result = act();
    NOREPLACE_MISSING.set(false);
    result
}
