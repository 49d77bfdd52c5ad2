//! What is done with snapshots besides making and restoring them.

mod browse;
mod compare;
mod consolidate;
mod list;
mod prune;
mod rebuild;
mod retention;
mod states;
mod verify;

pub use browse::Snapshot;
pub use compare::compare;
pub use consolidate::consolidate;
pub use list::list;
pub use prune::prune;
pub use rebuild::rebuild_cache;
pub use retention::{judge, Dated, Verdict};
pub use verify::verify;
