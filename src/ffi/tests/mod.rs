//! Tests of the C ABI that need Rust: the guard, forced panics, views of values that only the engine makes, and the
//! rules for every export. All else is tested from C, in tests/c.

mod guard;
mod panics;
mod source;
mod views;
