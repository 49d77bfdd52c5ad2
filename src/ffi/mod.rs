//! The C ABI: checks pointers, calls one safe function, maps the result. One file for each C type.
//!
//! `include/ibt.h` is generated from these files by cbindgen, in the order of the `mod` lines below: doc
//! comments here are the header's comments, addressed to C programmers. `cbindgen.toml` holds the command
//! and the header's introduction, `tests/header.rs` checks that the header is up to date.
//!
//! Every export is a thin shell around [`guard!`](guard), which keeps a panic from crossing into C. Memory
//! that C holds is always a `Box` turned into a raw pointer by [`args::give`] and taken back by
//! [`args::take`]; everything that is only lent is read through [`args`], which knows NULL.

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
