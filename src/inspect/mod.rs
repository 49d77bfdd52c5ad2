//! Inspects snapshots: lists them, browses one, compares one with a directory, verifies stored bytes. Changes nothing
//! in the store.

mod browse;
mod compare;
mod list;
mod verify;

pub use browse::Snapshot;
pub use compare::compare;
pub use list::list;
pub use verify::verify;
