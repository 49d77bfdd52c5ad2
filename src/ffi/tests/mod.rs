//! Tests of the C ABI that need Rust: the guard, views of values that only the engine makes, and the rules
//! for every export. All else is tested from C, in tests/c.

mod guard;
mod source;
mod views;
