//! Inspects snapshots: lists them, browses one, compares one with a directory or with another snapshot, and verifies
//! stored bytes. Changes nothing in the store.

mod browse;
mod compare;
mod keys;
mod list;
mod verify;

pub use browse::Snapshot;
pub use compare::{compare, diff};
pub use keys::keys;
pub use list::{list, list_and_pass};
pub use verify::verify;
