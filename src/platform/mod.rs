//! The operating system: directories worked in by descriptor, metadata, holes, locks, names of users.
//!
//! Every `cfg(target_os)` and, outside `ffi/`, nearly every `unsafe` of the crate lives here. Names and
//! paths are raw bytes.
//! Errors are [`std::io::Error`]; callers add what was being done and to which path.
//!
//! Two rules keep an attacker who swaps directories for links outside: a *name* is one component and is
//! never followed, and a *relative path* is resolved strictly below its [`Dir`], through no link at all.

mod beneath;
mod data;
mod dir;
mod file_system;
mod lock;
mod meta;
mod mount;
mod names;
mod newer;
mod node;
mod place;
mod remove;
mod rename;
mod stat;
mod system;
mod xattr;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use data::{holes, start_writeback};
pub use dir::{Dir, Listing};
pub use file_system::{CtimeKind, FileSystem};
pub use lock::{hold_dir, is_dir_held, lacks_locks, try_lock, unlock, LockPart};
pub use meta::{lacks_proc, set_mode, set_owner, set_times};
pub use names::Names;
pub use place::{make_dir, sync_and_close, sync_parent};
pub use stat::{stat_fd, stat_file, FileKind, Stat};
pub use system::{block_signals_in_this_thread, effective_uid, hostname, is_privileged, random_bytes16};
pub use xattr::{read_xattrs, remove_xattr, set_xattr, Named, XATTRS_MAX};
