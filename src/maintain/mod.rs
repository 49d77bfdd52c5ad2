//! What is done with snapshots besides making and restoring them.

mod consolidate;
mod list;
mod loss;
mod rebuild;

pub use consolidate::consolidate;
pub use list::list;
pub use rebuild::rebuild_cache;
