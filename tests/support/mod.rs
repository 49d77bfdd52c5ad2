//! Shared parts of the integration tests: random trees and edits, an independent look at a tree, a kept copy
//! of a tree, and a driver of the engine.
#![allow(dead_code, unused_imports)] // each test binary uses a part of it

pub mod allocated;
pub mod at_change;
pub mod changes;
pub mod counting;
pub mod each_call;
pub mod edits;
pub mod facts;
pub mod failing;
pub mod forward;
pub mod kept;
pub mod layered;
pub mod memory;
pub mod nobody;
pub mod odd;
pub mod partials;
pub mod reported_changes;
pub mod sealed;
pub mod series;
pub mod stored;
pub mod tools;
pub mod tree;

pub use at_change::AtChange;
pub use each_call::{EachCall, Fate};
pub use edits::{Edit, edits};
pub use facts::{Facts, assert_same_facts, facts};
pub use kept::{Kept, assert_same_attributes, assert_same_tree};
pub use memory::Memory;
pub use nobody::as_nobody;
pub use odd::OddStore;
pub use reported_changes::ReportedChanges;
pub use series::{Outcome, Series};
pub use tools::{cases, is_root, noise, prose, run, skip};
pub use tree::{Tree, trees};
