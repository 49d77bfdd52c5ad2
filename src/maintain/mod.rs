//! What is done with snapshots besides making and restoring them.

mod consolidate;
mod list;

pub use consolidate::consolidate;
pub use list::list;
