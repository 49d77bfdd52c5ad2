//! The C ABI. Each export checks its pointers, calls one safe function and converts the result. One file for
//! each C type.
//!
//! cbindgen generates `include/ibt.h` from these files, in the order of the `mod` lines below. The doc
//! comments here become the comments of the header, so write them for C programmers. `cbindgen.toml` holds
//! the command and the introduction of the header. `tests/header.rs` checks that the header is up to date.
//!
//! The body of every export is [`guard!`](guard), which stops a panic before it reaches C. Memory that C owns
//! is a `Box` that [`args::into_raw`] turned into a raw pointer and that [`args::free_raw`] takes back; only an
//! [`ibt_storage`] is an `Arc`, because running calls share it. Memory that C only lends is read through
//! [`args`], which checks for NULL.

// The safety contract of an export is its comment in the header, written once for C.
#![allow(clippy::missing_safety_doc)]
#![allow(non_camel_case_types)]

#[macro_use]
mod guard;
mod args;

mod constants;

mod library;

mod error;

mod options;

mod callback;

mod cancel;

mod progress;

mod storage;

mod ops;

mod snapshot;

mod entry;

mod report;

#[cfg(test)]
mod tests;

pub use callback::{ibt_change_fn, ibt_destroy_fn, ibt_log_fn, ibt_progress_fn};
pub use cancel::*;
pub use constants::*;
pub use entry::*;
pub use error::*;
pub use library::*;
pub use ops::*;
pub use options::*;
pub use progress::*;
pub use report::*;
pub use snapshot::*;
pub use storage::*;
