//! Looking at snapshots: listing them, browsing one, comparing one with a directory, verifying stored bytes. Nothing in the
//! store is changed.

mod browse;
mod compare;
mod list;
mod verify;

pub use browse::Snapshot;
pub use compare::compare;
pub use list::list;
pub use verify::verify;
