//! Every `IBT_*` number. Pinned: numbers are never changed and never used again.

use crate::error::Kind;
use crate::job::{change, meta, Action, Counter, Level, Phase, ProblemKind};

/// ==== Statuses ====
///
/// Done.
pub const IBT_OK: i32 = 0;
/// Finished, but not everything went well: entries were unreadable, changed
/// while being read, or damaged, metadata could not be set, something stood in
/// the way, stored files were lost. The report lists each.
pub const IBT_PARTIAL: i32 = 1;
/// An argument or option is NULL, malformed, unknown, or of no use here.
pub const IBT_ERR_INVALID_ARG: i32 = -1;
/// The system refused to read or write: no such source, no room, no permission;
/// ibt_error_os_code() tells.
pub const IBT_ERR_IO: i32 = -2;
/// No such key, snapshot or entry, or a glob or path that matches nothing.
pub const IBT_ERR_NOT_FOUND: i32 = -3;
/// What was to be made exists already.
pub const IBT_ERR_EXISTS: i32 = -4;
/// Stored bytes are not what they should be.
pub const IBT_ERR_CORRUPT: i32 = -5;
/// Written by a newer libibt, or not a backup file at all.
pub const IBT_ERR_FORMAT: i32 = -6;
/// A backup file that the snapshot needs is gone.
pub const IBT_ERR_MISSING: i32 = -7;
/// A storage callback failed.
pub const IBT_ERR_STORAGE: i32 = -8;
/// Cancelled by ibt_cancel_request() or by a callback.
pub const IBT_ERR_CANCELLED: i32 = -9;
/// In use by another call or another program.
pub const IBT_ERR_BUSY: i32 = -10;
/// Not possible on this system, or not built in, or a function is missing that
/// the storage needs for it.
pub const IBT_ERR_UNSUPPORTED: i32 = -11;
/// Beyond a documented limit.
pub const IBT_ERR_LIMIT: i32 = -12;
/// Another source or host than the newest snapshot's, an empty source where that
/// had entries, or an unexpected digest.
pub const IBT_ERR_MISMATCH: i32 = -13;
/// A bug in libibt, caught; please report the error's message.
pub const IBT_ERR_PANIC: i32 = -99;

/// ==== What callbacks answer ====
///
/// A callback's answer: go on.
pub const IBT_CALLBACK_OK: i32 = 1;
/// A callback's answer: stop with failure. So is every negative number.
pub const IBT_CALLBACK_FAILED: i32 = 0;
/// Enough. A change callback is called no more and the operation goes on; a
/// call with an entry or sink callback ends early with IBT_OK.
pub const IBT_CALLBACK_STOP: i32 = 2;

/// ==== Compression: ibt_options_set_compression() ====
///
/// Store archives as they are.
pub const IBT_COMPRESSION_NONE: i32 = 0;
/// Compress with Zstandard.
pub const IBT_COMPRESSION_ZSTD: i32 = 1;

/// ==== Change detection: ibt_options_set_change_detection() ====
///
/// An entry is unchanged if size, times and inode are equal and old enough. Where
/// the file system keeps no ctime of its own (FAT, exFAT, squashfs; any other of
/// which this is not known and where every file's ctime is its mtime, as with
/// many FUSE file systems) every file is read.
pub const IBT_DETECT_METADATA: i32 = 0;
/// No file is unchanged until it was read.
pub const IBT_DETECT_CONTENT: i32 = 1;

/// ==== Files that fail: ibt_options_set_on_file_error() ====
///
/// List a file that fails in the report and go on.
pub const IBT_ON_ERROR_SKIP: i32 = 0;
/// Make the first problem that is no note the operation's error.
pub const IBT_ON_ERROR_STOP: i32 = 1;

/// ==== Existing files: ibt_options_set_overwrite() ====
///
/// The destination must be absent or an empty directory.
pub const IBT_OVERWRITE_NEVER: i32 = 0;
/// Replace every file whose content is another; read all to find out.
pub const IBT_OVERWRITE_ALWAYS: i32 = 1;
/// The same, but take a file of the same size and modification time to be
/// right.
pub const IBT_OVERWRITE_IF_DIFFERENT: i32 = 2;
/// Replace only what was modified before the snapshot's entry was. A directory that
/// is there gets the snapshot's metadata whenever it was modified.
pub const IBT_OVERWRITE_IF_OLDER: i32 = 3;
/// Restore only what is absent; touch nothing that is there. A directory that a
/// restore made and could not finish (it failed, or the power did) is there as
/// well and keeps the mode 0700: complete such a restore with
/// IBT_OVERWRITE_IF_OLDER, which sets it.
pub const IBT_OVERWRITE_KEEP: i32 = 4;

/// ==== Metadata, bits: ibt_options_set_restore_metadata() ====
///
/// Permission bits.
pub const IBT_META_MODE: u32 = 1;
/// User and group; by default with privilege only.
pub const IBT_META_OWNER: u32 = 2;
/// Modification times.
pub const IBT_META_TIMES: u32 = 4;
/// Extended attributes, ACLs among them; security.* and trusted.* with
/// privilege only, even if asked for.
pub const IBT_META_XATTRS: u32 = 8;
/// Make FIFOs and devices.
pub const IBT_META_SPECIAL: u32 = 16;
/// The setuid bit where the owner is the snapshot's; the setgid bit where the
/// group is, and on directories.
pub const IBT_META_SETID: u32 = 32;

/// ==== Phases: ibt_progress_phase() ====
///
/// Looking for what changed. Reading states, of a list, a prune or a verify.
/// Waiting for the lock, before an operation's first phase.
pub const IBT_PHASE_SCAN: i32 = 1;
/// Reading files and writing archives; copying contents, in ibt_consolidate();
/// filling the cache, in ibt_rebuild_cache().
pub const IBT_PHASE_READ: i32 = 2;
/// Making the backup or the restored tree durable and visible.
pub const IBT_PHASE_COMMIT: i32 = 3;
/// Writing the restored tree.
pub const IBT_PHASE_RESTORE: i32 = 4;
/// Checking stored bytes; comparing, in ibt_compare(); reading the state, in
/// ibt_snapshot_open().
pub const IBT_PHASE_VERIFY: i32 = 5;
/// Removing backup files.
pub const IBT_PHASE_DELETE: i32 = 6;

/// ==== Levels of messages: ibt_options_set_log() ====
pub const IBT_LOG_ERROR: i32 = 1;
pub const IBT_LOG_WARN: i32 = 2;
pub const IBT_LOG_INFO: i32 = 3;
pub const IBT_LOG_DEBUG: i32 = 4;

/// ==== Types of entries: ibt_entry_type() ====
pub const IBT_TYPE_FILE: i32 = 1;
pub const IBT_TYPE_DIR: i32 = 2;
pub const IBT_TYPE_SYMLINK: i32 = 3;
pub const IBT_TYPE_FIFO: i32 = 4;
/// A character device.
pub const IBT_TYPE_CHAR: i32 = 5;
/// A block device.
pub const IBT_TYPE_BLOCK: i32 = 6;

/// ==== Changes, bits: ibt_change_fn ====
///
/// The entry is new.
pub const IBT_CHANGE_CREATED: u32 = 1;
/// The entry is gone.
pub const IBT_CHANGE_DELETED: u32 = 2;
/// Its content changed, or its type.
pub const IBT_CHANGE_CONTENT: u32 = 4;
/// Its mode, owner, times or attributes changed; in a comparison also which
/// names are hard links of one file.
pub const IBT_CHANGE_METADATA: u32 = 8;
/// It came from another path.
pub const IBT_CHANGE_MOVED: u32 = 16;
/// It could not be read: the previous version was carried forward. In a restore:
/// what stands there was left, because of the overwrite policy.
pub const IBT_CHANGE_KEPT: u32 = 32;

/// ==== Counters: ibt_report_counter() ====
///
/// Entries of the snapshot, its root included; of a comparison, those compared;
/// of a verify, those of all snapshots.
pub const IBT_COUNT_ENTRIES: i32 = 1;
pub const IBT_COUNT_CREATED: i32 = 2;
/// Files with new content, and entries of a new type.
pub const IBT_COUNT_MODIFIED: i32 = 3;
pub const IBT_COUNT_UNCHANGED: i32 = 4;
pub const IBT_COUNT_MOVED: i32 = 5;
pub const IBT_COUNT_DELETED: i32 = 6;
/// Entries of which only metadata changed.
pub const IBT_COUNT_METADATA: i32 = 7;
/// Bytes read: by a backup from the source; by a restore, a consolidation and a
/// rebuild of the cache out of archives; by a comparison from the tree; by a
/// verify and a prune from the storage.
pub const IBT_COUNT_BYTES_READ: i32 = 8;
/// Bytes written to the store, to restored files or, by a rebuild, to the cache.
pub const IBT_COUNT_BYTES_WRITTEN: i32 = 9;
/// Entries restored.
pub const IBT_COUNT_RESTORED: i32 = 10;
/// Problems, notes included: all of them, also those the report no longer
/// lists.
pub const IBT_COUNT_PROBLEMS: i32 = 11;
/// Logical bytes of the snapshot's files; of a verify, those of all snapshots. 0
/// after a comparison.
pub const IBT_COUNT_BYTES: i32 = 12;

/// ==== Problems: ibt_report_problem_kind() ====
///
/// Could not be read; its previous version, if any, was carried forward. Of
/// stored bytes: they cannot be read now, which says nothing of what they are.
pub const IBT_PROBLEM_UNREADABLE: i32 = 1;
/// Was gone when it was to be read.
pub const IBT_PROBLEM_VANISHED: i32 = 2;
/// Changed while it was read.
pub const IBT_PROBLEM_CHANGED: i32 = 3;
/// A note: left out by design (a socket, the store itself), or left where it is
/// because the backup left it out.
pub const IBT_PROBLEM_SKIPPED: i32 = 4;
/// Stored bytes are not what they should be.
pub const IBT_PROBLEM_DAMAGED: i32 = 5;
/// Stored bytes are gone.
pub const IBT_PROBLEM_MISSING: i32 = 6;
/// Metadata that could not be read or set.
pub const IBT_PROBLEM_METADATA: i32 = 7;
/// A note: something an earlier run left in the store, or a restore in its
/// destination.
pub const IBT_PROBLEM_LEFTOVER: i32 = 8;
/// Snapshots say that they were made more than a day after what the clock says:
/// either clock was wrong. Each backup says so until they are removed; what was
/// made after them is in order.
pub const IBT_PROBLEM_CLOCK: i32 = 9;
/// Something in the destination of a restore is in the way, or its permissions
/// are, or its file system has no such name, size or type of entry.
pub const IBT_PROBLEM_OBSTRUCTED: i32 = 10;

/// ==== Actions: ibt_report_snapshot_action() ====
///
/// The snapshot is there.
pub const IBT_ACTION_KEPT: i32 = 1;
/// The snapshot was removed, or would be.
pub const IBT_ACTION_REMOVED: i32 = 2;

// cbindgen cannot evaluate the engine's enums, so the numbers stand twice; this keeps them equal.
macro_rules! equal {
    ($($name:ident = $engine:expr),* $(,)?) => { $(const _: () = assert!($name as i64 == $engine as i64);)* };
}

equal! {
    IBT_ERR_INVALID_ARG = Kind::InvalidArg, IBT_ERR_IO = Kind::Io, IBT_ERR_NOT_FOUND = Kind::NotFound,
    IBT_ERR_EXISTS = Kind::Exists, IBT_ERR_CORRUPT = Kind::Corrupt, IBT_ERR_FORMAT = Kind::Format,
    IBT_ERR_MISSING = Kind::Missing, IBT_ERR_STORAGE = Kind::Storage, IBT_ERR_CANCELLED = Kind::Cancelled,
    IBT_ERR_BUSY = Kind::Busy, IBT_ERR_UNSUPPORTED = Kind::Unsupported, IBT_ERR_LIMIT = Kind::Limit,
    IBT_ERR_MISMATCH = Kind::Mismatch, IBT_ERR_PANIC = Kind::Panic,
    IBT_PHASE_SCAN = Phase::Scan, IBT_PHASE_READ = Phase::Read, IBT_PHASE_COMMIT = Phase::Commit,
    IBT_PHASE_RESTORE = Phase::Restore, IBT_PHASE_VERIFY = Phase::Verify, IBT_PHASE_DELETE = Phase::Delete,
    IBT_LOG_ERROR = Level::Error, IBT_LOG_WARN = Level::Warn, IBT_LOG_INFO = Level::Info,
    IBT_LOG_DEBUG = Level::Debug,
    IBT_META_MODE = meta::MODE, IBT_META_OWNER = meta::OWNER, IBT_META_TIMES = meta::TIMES,
    IBT_META_XATTRS = meta::XATTRS, IBT_META_SPECIAL = meta::SPECIAL, IBT_META_SETID = meta::SETID,
    IBT_CHANGE_CREATED = change::CREATED, IBT_CHANGE_DELETED = change::DELETED,
    IBT_CHANGE_CONTENT = change::CONTENT, IBT_CHANGE_METADATA = change::METADATA,
    IBT_CHANGE_MOVED = change::MOVED, IBT_CHANGE_KEPT = change::KEPT,
    IBT_COUNT_ENTRIES = Counter::Entries, IBT_COUNT_CREATED = Counter::Created,
    IBT_COUNT_MODIFIED = Counter::Modified, IBT_COUNT_UNCHANGED = Counter::Unchanged,
    IBT_COUNT_MOVED = Counter::Moved, IBT_COUNT_DELETED = Counter::Deleted,
    IBT_COUNT_METADATA = Counter::Metadata, IBT_COUNT_BYTES_READ = Counter::BytesRead,
    IBT_COUNT_BYTES_WRITTEN = Counter::BytesWritten, IBT_COUNT_RESTORED = Counter::Restored,
    IBT_COUNT_PROBLEMS = Counter::Problems, IBT_COUNT_BYTES = Counter::Bytes,
    IBT_PROBLEM_UNREADABLE = ProblemKind::Unreadable, IBT_PROBLEM_VANISHED = ProblemKind::Vanished,
    IBT_PROBLEM_CHANGED = ProblemKind::Changed, IBT_PROBLEM_SKIPPED = ProblemKind::Skipped,
    IBT_PROBLEM_DAMAGED = ProblemKind::Damaged, IBT_PROBLEM_MISSING = ProblemKind::Missing,
    IBT_PROBLEM_METADATA = ProblemKind::Metadata, IBT_PROBLEM_LEFTOVER = ProblemKind::Leftover,
    IBT_PROBLEM_CLOCK = ProblemKind::Clock,
    IBT_PROBLEM_OBSTRUCTED = ProblemKind::Obstructed,
    IBT_ACTION_KEPT = Action::Kept, IBT_ACTION_REMOVED = Action::Removed,
}
