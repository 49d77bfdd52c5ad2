//! What is done with snapshots besides making and restoring them.

mod list;

pub use list::list;
