//! Tests of the boundary that need Rust: the guard, views of values that only the engine makes, and the rules
//! that every export keeps. What C can see is tested from C, in tests/c.

mod guard;
mod source;
mod views;
