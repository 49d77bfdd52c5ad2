//! The operating system: open directories, metadata, holes, locks, names of users.
//!
//! All code with `cfg(target_os)` and, apart from `ffi/`, nearly all `unsafe` code of the crate is here. Names
//! and paths are raw bytes. Errors are [`std::io::Error`]; the callers add the operation and the path.
//!
//! Two rules protect against an attacker who replaces directories by symbolic links. A *name* is a single component,
//! and a symbolic link with that name is not followed. A *relative path* is resolved strictly below its [`Dir`] and
//! through no symbolic link.

mod beneath;
mod data;
mod descriptors;
mod dir;
mod file_system;
mod inode_flags;
mod local_time;
mod lock;
mod machine;
mod meta;
mod mount;
mod names;
mod newer;
mod node;
mod nodump;
mod place;
mod refused;
mod remove;
mod rename;
mod stat;
mod sync;
mod system;
mod xattr;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use data::{holes, start_writeback};
pub use descriptors::{beside_streams, free_descriptors, patiently};
pub use dir::{Dir, DirListing};
pub use file_system::{CtimeKind, FileSystem};
pub use inode_flags::{
    FlagsAndProject, birth_time, is_protected, is_protected_in, may_protect, needs_empty_file, prepare_flags,
    read_flags, read_flags_of, set_flags, set_project_and_protect,
};
pub use local_time::offset_from_utc;
pub use lock::{LockPart, hold_dir, is_dir_held, lacks_locks, lock_in_the_way, try_lock, unlock};
pub use machine::{MachineMark, MarkOrigin};
pub use meta::{lacks_proc, set_mode, set_owner, set_times};
pub use names::{Names, OwnerNumbers};
pub use node::device_number;
pub use place::{give_owner_rights, make_dir, make_dirs};
pub use stat::{Stat, stat_fd, stat_file};
pub use sync::{has_syncfs, sync_and_close, sync_fd, sync_parent};
pub use system::{
    block_signals_in_this_thread, effective_uid, hostname, is_privileged, random_digits, unique_digits,
};
pub use xattr::{Named, XATTR_ABSENT, XATTRS_MAX, read_xattrs, remove_xattr, set_xattr};
