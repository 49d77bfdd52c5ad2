//! Decides which snapshots are kept, and in which files: pruning, consolidating, rebuilding the
//! cache.

mod choice;
mod consolidate;
mod partials;
mod prune;
mod rebuild;
mod retention;

pub use consolidate::consolidate;
pub use prune::prune;
pub use rebuild::rebuild_cache;
pub use retention::{DatedSnapshot, LabelledSnapshots, RetentionDecision, judge};
