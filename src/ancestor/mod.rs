//! Reads the backups of incremental-backups-tools 0.1, the Python ancestor of libibt, and makes them snapshots of
//! libibt.
//!
//! The files of the ancestor are never changed or removed.
//!
//! ```text
//! names of files --> points, oldest first                      (chain)
//! state of a point --> paths and times                         (state)
//! archive --> members, checked                                 (tgz, read)
//! tree of the point before + archives --> tree of the point    (apply, tree)
//! tree of a point --> ordinary backup with its date            (import)
//!                 --> ordinary backup, ordinary restore        (restore)
//! ```

mod apply;
mod chain;
mod decimal_time;
mod import;
mod list;
mod read;
mod restore;
mod state;
mod tgz;
mod tree;

pub use import::import;
pub use list::list;
pub use restore::restore;
