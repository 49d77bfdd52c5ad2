//! Every `IBT_*` number. The numbers are pinned: a number is never changed and never used again.

use crate::error::Kind;
use crate::job::{Action, Counter, Level, Phase, ProblemKind, change, meta};

/// ==== Statuses ====
///
/// Success.
pub const IBT_OK: i32 = 0;
/// The operation finished with problems: entries were unreadable, changed while
/// they were read, or are damaged, metadata could not be set, something in the
/// destination was in the way, or stored files are missing. The report lists
/// each problem.
pub const IBT_PARTIAL: i32 = 1;
/// An argument or option is NULL, malformed, unknown, or has no use in this
/// operation.
pub const IBT_ERR_INVALID_ARG: i32 = -1;
/// The system could not read or write: for example there is no such source, no
/// space left, or no permission. See ibt_error_os_code().
pub const IBT_ERR_IO: i32 = -2;
/// No such key, snapshot or entry, or a glob or path that matches nothing.
pub const IBT_ERR_NOT_FOUND: i32 = -3;
/// The operation would create something that exists already.
pub const IBT_ERR_EXISTS: i32 = -4;
/// Stored bytes are damaged.
pub const IBT_ERR_CORRUPT: i32 = -5;
/// A file was written by a newer libibt, or is not a backup file at all.
pub const IBT_ERR_FORMAT: i32 = -6;
/// A backup file that the snapshot needs is gone.
pub const IBT_ERR_MISSING: i32 = -7;
/// A storage callback failed.
pub const IBT_ERR_STORAGE: i32 = -8;
/// Cancelled by ibt_cancel_request() or by a callback.
pub const IBT_ERR_CANCELLED: i32 = -9;
/// Another call or another program is using the object or the key.
pub const IBT_ERR_BUSY: i32 = -10;
/// Not possible on this system, not built in, or the storage has no function
/// for it.
pub const IBT_ERR_UNSUPPORTED: i32 = -11;
/// Beyond a documented limit.
pub const IBT_ERR_LIMIT: i32 = -12;
/// The source or the host is another one than that of the newest snapshot, the
/// source is empty although the newest snapshot has entries, or the digest is
/// not the expected one.
pub const IBT_ERR_MISMATCH: i32 = -13;
/// A bug in libibt that was caught. Please report it with the error's message.
pub const IBT_ERR_PANIC: i32 = -99;

/// ==== Answers of callbacks ====
///
/// Go on.
pub const IBT_CALLBACK_OK: i32 = 1;
/// Stop with a failure. Every negative number means the same.
pub const IBT_CALLBACK_FAILED: i32 = 0;
/// Enough. libibt does not call a change callback again, and the operation goes
/// on. A call with an entry or sink callback ends early with IBT_OK.
pub const IBT_CALLBACK_STOP: i32 = 2;

/// ==== Answers of filters: ibt_options_set_filter() ====
///
/// Include the entry.
pub const IBT_FILTER_INCLUDE: i32 = 1;
/// Leave out the entry. A directory is left out unless an entry below it is
/// included: libibt asks about the entries in it as well.
pub const IBT_FILTER_LEAVE_OUT: i32 = 3;
/// Leave out the entry and everything below it, without asking further.
pub const IBT_FILTER_LEAVE_OUT_ALL: i32 = 4;

/// ==== Compression: ibt_options_set_compression() ====
///
/// Store archives uncompressed.
pub const IBT_COMPRESSION_NONE: i32 = 0;
/// Compress with Zstandard.
pub const IBT_COMPRESSION_ZSTD: i32 = 1;

/// ==== Parts of archives: ibt_options_set_part_size() ====
///
/// The smallest size of parts, in bytes.
pub const IBT_PART_SIZE_MIN: u64 = 65536;

/// ==== Change detection: ibt_options_set_change_detection() ====
///
/// A file is unchanged if its size, mtime, ctime and inode number are the
/// recorded ones and its times are more than two seconds older than the last
/// scan, so that no later change can have the same times. Inode numbers are not
/// compared if the source changes them between runs. On a file system that keeps
/// no ctime of its own every file is read. Those are FAT, exFAT, HFS and file
/// systems of read-only images, such as squashfs. A file system of unknown kind,
/// such as most FUSE file systems, is treated the same way if the ctime of every
/// file equals its mtime.
pub const IBT_DETECT_METADATA: i32 = 0;
/// Read every file, whatever its metadata.
pub const IBT_DETECT_CONTENT: i32 = 1;

/// ==== Deltas: ibt_options_set_delta() ====
///
/// IBT_DELTA_CONTENTS if the storage is a directory of this machine, or has
/// IBT_STORAGE_READS_CHEAPLY; else IBT_DELTA_SIGNATURES.
pub const IBT_DELTA_AUTO: i32 = 0;
/// Deltas are made by signatures alone: no stored content is read. Only whole
/// blocks of 2 KiB or more that are unchanged are found. Contents of 16 KiB or more
/// get a signature.
pub const IBT_DELTA_SIGNATURES: i32 = 1;
/// The old content of a changed file is read from the storage and compared with
/// the new content byte by byte, so that a change costs little more than its
/// bytes. A content that another path has already is read before an increment
/// points to it. If an old content turns out to be damaged, the report lists a
/// problem, and the file is stored whole. Only contents of 256 KiB or more get a
/// signature: if a later increment uses IBT_DELTA_SIGNATURES, it stores a shorter
/// file whole when it changes for the first time, and with the option heal it
/// reads these files to make their signatures.
pub const IBT_DELTA_CONTENTS: i32 = 2;

/// ==== Opening a directory, bits: ibt_storage_open_dir() ====
///
/// The directory must exist. No backup creates it, for example in the mount
/// point of a disk that is not mounted.
pub const IBT_DIR_MUST_EXIST: u32 = 1;
/// Nothing in the directory is changed. Backups, consolidations and prunes
/// return IBT_ERR_UNSUPPORTED; a dry run is allowed. Other operations create no
/// lock file: where no operation has created it yet, they read without a lock,
/// and their report has a note (IBT_PROBLEM_UNLOCKED). Implies
/// IBT_DIR_MUST_EXIST.
pub const IBT_DIR_READ_ONLY: u32 = 2;
/// The first backup also creates the directories above the directory, with mode
/// 0700. Without this flag they must exist.
pub const IBT_DIR_CREATE_PARENTS: u32 = 4;

/// ==== Verify: ibt_options_set_verify() ====
///
/// Everything that snapshots need is read and compared with its hashes.
pub const IBT_VERIFY_CONTENTS: i32 = 0;
/// The states are read and compared with their digests. Of the archives only the
/// presence and the size are checked, so a verify takes little time, and damage
/// inside an archive is not found. The report counts no entries and no bytes, and
/// an archive that is gone is one loss of each snapshot that needs it.
pub const IBT_VERIFY_PRESENCE: i32 = 1;

/// ==== Traits of a storage: ibt_storage_set_traits() ====
///
/// Reading a range of an object takes little time and costs no money, as from a
/// disk of this machine.
pub const IBT_STORAGE_READS_CHEAPLY: u32 = 1;
/// Several threads may call the functions at once, also threads that libibt
/// starts for the time of an operation. A restore, a verify and a list then read
/// up to eight ranges at a time. That helps where each call takes long, as over
/// a network.
pub const IBT_STORAGE_THREAD_SAFE: u32 = 2;

/// ==== Files that fail: ibt_options_set_on_file_error() ====
///
/// List the failed file in the report and go on.
pub const IBT_ON_ERROR_SKIP: i32 = 0;
/// Stop at the first problem that is not a note. That problem becomes the
/// operation's error.
pub const IBT_ON_ERROR_STOP: i32 = 1;

/// ==== Existing files: ibt_options_set_overwrite() ====
///
/// The destination must be absent or an empty directory.
pub const IBT_OVERWRITE_NEVER: i32 = 0;
/// Replace every file whose content differs. Files of equal size are read to
/// find out.
pub const IBT_OVERWRITE_ALWAYS: i32 = 1;
/// Like IBT_OVERWRITE_ALWAYS, but a file with the snapshot's size and
/// modification time is not read: it counts as equal.
pub const IBT_OVERWRITE_IF_DIFFERENT: i32 = 2;
/// Replace only a file that was modified before the snapshot's file was. An
/// existing directory always gets the snapshot's metadata, whatever its
/// modification time.
pub const IBT_OVERWRITE_IF_OLDER: i32 = 3;
/// Restore only absent entries and leave existing ones as they are. A directory
/// that a failed or interrupted restore made exists as well, so it keeps the
/// mode 0700. Complete such a restore with IBT_OVERWRITE_IF_OLDER, which sets
/// the mode.
pub const IBT_OVERWRITE_KEEP: i32 = 4;

/// ==== Metadata, bits: ibt_options_set_restore_metadata() ====
///
/// Permission bits.
pub const IBT_META_MODE: u32 = 1;
/// User and group. By default only with privilege.
pub const IBT_META_OWNER: u32 = 2;
/// Modification times.
pub const IBT_META_TIMES: u32 = 4;
/// Extended attributes, including ACLs. security.* and trusted.* are set only
/// with privilege, even if this bit is set.
pub const IBT_META_XATTRS: u32 = 8;
/// Make FIFOs and devices.
pub const IBT_META_SPECIAL: u32 = 16;
/// The setuid bit if the restored file has the snapshot's owner, and the setgid
/// bit if it has the snapshot's group. On a directory the setgid bit in any
/// case.
pub const IBT_META_SETID: u32 = 32;
/// The inode flags of files and directories, as chattr sets them. "immutable"
/// and "append" are set only with the capability CAP_LINUX_IMMUTABLE, after
/// everything else, and never taken from an existing file: a restore leaves
/// such a file or directory as it is, and lists a problem if it would change it.
/// All other flags become those of the snapshot: an entry loses flags that it
/// inherited from the directory around it. Only in a destination that existed do
/// directories keep "projinherit" and "casefold".
pub const IBT_META_FLAGS: u32 = 64;
/// The project ids of files and directories that have one. In a destination that
/// did not exist, an entry without a project in the snapshot loses the project
/// that it inherited; in one that existed, it keeps that project.
pub const IBT_META_PROJECT: u32 = 128;

/// ==== Phases: ibt_progress_phase() ====
///
/// Looking for changes; reading states, in a list, a prune or a verify; waiting
/// for the lock, before an operation's first phase.
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
/// An entry that only a newer libibt can restore: its type is unknown, or the
/// algorithm of its file's hash. Snapshots keep it. See IBT_PROBLEM_UNSUPPORTED.
pub const IBT_TYPE_UNKNOWN: i32 = 7;

/// ==== Changes, bits: ibt_change_fn ====
///
/// The entry is new.
pub const IBT_CHANGE_CREATED: u32 = 1;
/// The entry is gone.
pub const IBT_CHANGE_DELETED: u32 = 2;
/// The content changed, or the type of the entry.
pub const IBT_CHANGE_CONTENT: u32 = 4;
/// Mode, owner, times, extended attributes, inode flags or the project id
/// changed. In a comparison also: the set of names that are hard links of the
/// file changed.
pub const IBT_CHANGE_METADATA: u32 = 8;
/// The entry came from another path.
pub const IBT_CHANGE_MOVED: u32 = 16;
/// In a backup: the entry could not be read, and its previous version was
/// carried forward. In a restore: the overwrite policy left the existing entry
/// in its place.
pub const IBT_CHANGE_KEPT: u32 = 32;

/// ==== Counters: ibt_report_counter() ====
///
/// Entries of the snapshot, its root included. After a comparison the compared
/// entries, after a verify the entries of all verified snapshots.
pub const IBT_COUNT_ENTRIES: i32 = 1;
pub const IBT_COUNT_CREATED: i32 = 2;
/// Files with new content, and entries of a new type.
pub const IBT_COUNT_MODIFIED: i32 = 3;
pub const IBT_COUNT_UNCHANGED: i32 = 4;
pub const IBT_COUNT_MOVED: i32 = 5;
pub const IBT_COUNT_DELETED: i32 = 6;
/// Entries of which only the metadata changed.
pub const IBT_COUNT_METADATA: i32 = 7;
/// Bytes read: by a backup from the source; by a restore, a consolidation and a
/// rebuild of the cache from archives; by a comparison from the tree; by a
/// verify from the storage.
pub const IBT_COUNT_BYTES_READ: i32 = 8;
/// Bytes written: to the store, to restored files or, by a rebuild, to the
/// cache.
pub const IBT_COUNT_BYTES_WRITTEN: i32 = 9;
/// Entries restored.
pub const IBT_COUNT_RESTORED: i32 = 10;
/// All problems, including notes and the problems that the report no longer
/// lists.
pub const IBT_COUNT_PROBLEMS: i32 = 11;
/// Logical bytes of the snapshot's files. After a verify the bytes of all
/// verified snapshots, after a comparison 0.
pub const IBT_COUNT_BYTES: i32 = 12;
/// Bytes of created and modified files whose content was stored already, for
/// another path of the previous snapshot or of this one: the increment points
/// to that content. An increment that reads old contents (IBT_DELTA_CONTENTS)
/// first reads such a content of the previous snapshot, and stores the file if
/// that content is damaged. Other increments do not read the content: only
/// ibt_verify(), or an increment with ibt_options_set_heal(), finds such
/// damage. Of a full: bytes of the files that it took over from a full that did
/// not end (ibt_options_set_checkpoint()).
pub const IBT_COUNT_BYTES_ALREADY_STORED: i32 = 13;
/// Contents and signatures that the store had lost and that a backup has stored
/// again, and layers that were put back; see ibt_options_set_heal().
pub const IBT_COUNT_HEALED: i32 = 14;
/// Contents of the parent that are damaged or gone in the store, and that the
/// source no longer has or cannot give. Also those that the report no longer
/// lists.
pub const IBT_COUNT_LOST: i32 = 15;

/// ==== Problems: ibt_report_problem_kind() ====
///
/// The entry could not be read; its previous version, if any, was carried
/// forward. Of stored bytes: they cannot be read at the moment and may be whole
/// or damaged.
pub const IBT_PROBLEM_UNREADABLE: i32 = 1;
/// The entry was gone before it could be read.
pub const IBT_PROBLEM_VANISHED: i32 = 2;
/// The file changed while it was read.
pub const IBT_PROBLEM_CHANGED: i32 = 3;
/// A note. A backup left the entry out by design (for example a socket, or the
/// store itself), or a restore left an entry in place because the backup had
/// left it out.
pub const IBT_PROBLEM_SKIPPED: i32 = 4;
/// Stored bytes are damaged.
pub const IBT_PROBLEM_DAMAGED: i32 = 5;
/// Stored bytes are gone.
pub const IBT_PROBLEM_MISSING: i32 = 6;
/// Metadata could not be read or set.
pub const IBT_PROBLEM_METADATA: i32 = 7;
/// A note. A run left a file in the store, or an earlier restore left
/// one in or beside its destination. Or a file of the store is a copy of a
/// state under another name. Or the store has archives of a backup whose state
/// is not there: the backup or a prune was interrupted, or the state was lost.
pub const IBT_PROBLEM_LEFTOVER: i32 = 8;
/// The key has snapshots whose date is more than a day ahead of the clock.
/// Either the clock is wrong now, or it was wrong when they were made. Each
/// backup reports this until those snapshots are removed. Snapshots made after
/// them are valid.
pub const IBT_PROBLEM_CLOCK: i32 = 9;
/// The destination of a restore refused an entry: another entry is in the way,
/// permissions are missing, or the file system does not support such a name,
/// size or type of entry.
pub const IBT_PROBLEM_OBSTRUCTED: i32 = 10;
/// A note. The file system cannot lock the key, so this operation, which only
/// reads, went on without a lock. If a prune ran meanwhile, files may be
/// missing.
pub const IBT_PROBLEM_UNLOCKED: i32 = 11;
/// A note. The store had lost a content or a signature of this entry, or a
/// layer, and the backup has stored it again. Snapshots made before stay as they
/// are. A report lists the first 1,000; IBT_COUNT_HEALED counts all.
pub const IBT_PROBLEM_HEALED: i32 = 12;
/// The content of this entry is damaged or gone in the store, or cannot be read
/// there, and the source no longer has the file or cannot give it now. If the
/// source cannot give it, the new snapshot has the entry as the parent has it,
/// unless an archive of its content is gone. The status is that of the fault:
/// IBT_ERR_MISSING, IBT_ERR_CORRUPT, or IBT_ERR_IO after a read error of the disk.
/// A report lists the first 1,000; IBT_COUNT_LOST counts all.
pub const IBT_PROBLEM_LOST: i32 = 13;
/// A note. An archive of an earlier snapshot is damaged, but this snapshot needs
/// none of the damaged bytes: everything that it needs was read and is right. Or
/// a part of an archive is damaged or gone of which it needs no byte.
pub const IBT_PROBLEM_UNNEEDED: i32 = 14;
/// Only a newer libibt can restore, compare or check this entry, its signature
/// or this state: the type of the entry, the algorithm of a hash or the form of
/// the state's file is unknown, or a number is too large for this system. The
/// stored files stay as they are. A restore leaves alone a file that has the
/// path of such an entry.
pub const IBT_PROBLEM_UNSUPPORTED: i32 = 15;

/// ==== Actions: ibt_report_snapshot_action() ====
///
/// The snapshot exists.
pub const IBT_ACTION_KEPT: i32 = 1;
/// The snapshot was removed, or a dry run would remove it.
pub const IBT_ACTION_REMOVED: i32 = 2;

// cbindgen cannot evaluate the engine's enums, so each number is written twice. These assertions keep both
// equal.
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
    IBT_META_FLAGS = meta::FLAGS, IBT_META_PROJECT = meta::PROJECT,
    IBT_CHANGE_CREATED = change::CREATED, IBT_CHANGE_DELETED = change::DELETED,
    IBT_CHANGE_CONTENT = change::CONTENT, IBT_CHANGE_METADATA = change::METADATA,
    IBT_CHANGE_MOVED = change::MOVED, IBT_CHANGE_KEPT = change::KEPT,
    IBT_COUNT_ENTRIES = Counter::Entries, IBT_COUNT_CREATED = Counter::Created,
    IBT_COUNT_MODIFIED = Counter::Modified, IBT_COUNT_UNCHANGED = Counter::Unchanged,
    IBT_COUNT_MOVED = Counter::Moved, IBT_COUNT_DELETED = Counter::Deleted,
    IBT_COUNT_METADATA = Counter::Metadata, IBT_COUNT_BYTES_READ = Counter::BytesRead,
    IBT_COUNT_BYTES_WRITTEN = Counter::BytesWritten, IBT_COUNT_RESTORED = Counter::Restored,
    IBT_COUNT_PROBLEMS = Counter::Problems, IBT_COUNT_BYTES = Counter::Bytes,
    IBT_COUNT_BYTES_ALREADY_STORED = Counter::BytesAlreadyStored,
    IBT_COUNT_HEALED = Counter::Healed, IBT_COUNT_LOST = Counter::Lost,
    IBT_PROBLEM_UNREADABLE = ProblemKind::Unreadable, IBT_PROBLEM_VANISHED = ProblemKind::Vanished,
    IBT_PROBLEM_CHANGED = ProblemKind::Changed, IBT_PROBLEM_SKIPPED = ProblemKind::Skipped,
    IBT_PROBLEM_DAMAGED = ProblemKind::Damaged, IBT_PROBLEM_MISSING = ProblemKind::Missing,
    IBT_PROBLEM_METADATA = ProblemKind::Metadata, IBT_PROBLEM_LEFTOVER = ProblemKind::Leftover,
    IBT_PROBLEM_CLOCK = ProblemKind::Clock,
    IBT_PROBLEM_OBSTRUCTED = ProblemKind::Obstructed, IBT_PROBLEM_UNLOCKED = ProblemKind::Unlocked,
    IBT_PROBLEM_HEALED = ProblemKind::Healed, IBT_PROBLEM_LOST = ProblemKind::Lost,
    IBT_PROBLEM_UNNEEDED = ProblemKind::Unneeded,
    IBT_PROBLEM_UNSUPPORTED = ProblemKind::Unsupported,
    IBT_ACTION_KEPT = Action::Kept, IBT_ACTION_REMOVED = Action::Removed,
}
