/*
 * ibt.h - incremental backups: a full backup, increments made of rsync deltas,
 * and a restore to any point in time.
 *
 * A SNAPSHOT is one backup of one source directory. Snapshots of the same
 * source share a KEY. They are kept as ordinary files in a STORAGE: a
 * directory, a bucket of an object store (ibt_storage_open_url()), or functions
 * of the caller (ibt_storage_new()).
 *
 * Errors. Functions that can fail return an ibt_status: IBT_OK, IBT_PARTIAL
 *     (finished with problems that the report lists) or a negative IBT_ERR_*.
 *     Their last argument is an ibt_error **, which may be NULL. It is set to
 *     NULL first, and to an error exactly if the status is negative. The caller
 *     frees the error. libibt keeps no "last error" anywhere. If memory runs
 *     out, libibt aborts the process.
 *
 * Reports. Operations have an ibt_report **, which may be NULL. It is set to
 *     NULL first, and to a report once the work has begun, even if the work
 *     then fails. The caller frees the report.
 *
 * Ownership. An object belongs to the caller if a function *_new() or
 *     *_open_*() returns it, or if a function stores it in an out argument. The
 *     caller frees it with the *_free() of its type, which ignores NULL. Out
 *     arguments are overwritten, and their old value is not freed. A returned
 *     const char * is borrowed: it is valid as long as the object that it came
 *     from. Setters copy their arguments, except userdata (see
 *     ibt_destroy_fn). Arguments of other functions must stay valid and
 *     unchanged until the call returns.
 *
 * NULL and numbers out of range. Functions that return a status return
 *     IBT_ERR_INVALID_ARG. All others return 0 or NULL, or "" if their comment
 *     says that they never return NULL. None crashes.
 *
 * Paths and names. Paths, and names in reports, are bytes ended by NUL, as the
 *     system stores them.
 *
 * Threads. Objects may move between threads. An ibt_storage and an
 *     ibt_snapshot serve one call at a time; a second call returns
 *     IBT_ERR_BUSY. Errors and reports never change and may be shared between
 *     threads; so may options while no setter runs. Any thread and any signal
 *     handler may use an ibt_cancel. No thread of libibt outlives a call, but
 *     the storage of a bucket has one until it is freed. No call changes
 *     signals, umask, working directory, environment or stderr.
 *     A call needs at most 96 KiB of the calling thread's stack, not counting
 *     the stack that its callbacks use.
 *
 * Callbacks. They run on the thread that called the operation
 *     (IBT_STORAGE_THREAD_SAFE is the exception), and never after it returned.
 *     They return IBT_CALLBACK_OK (1) to go on; 0 and negative numbers are
 *     failures and stop the operation. They must return: nothing
 *     may unwind through libibt. That excludes longjmp() and exceptions of C++;
 *     panic, runtime.Goexit and t.FailNow of Go; raise, throw, Thread#kill and
 *     Timeout of Ruby. A binding catches these, answers with a failure, and
 *     goes on with them when the operation has returned. Callbacks may call any
 *     function of libibt, but the storage in use is busy. An object that is
 *     freed while it is in use stays valid until the operation ends.
 */
#ifndef IBT_H
#define IBT_H

/* Generated from src/ffi by cbindgen; see cbindgen.toml before editing. */

#include <stddef.h>
#include <stdint.h>

/* The version of this header. ibt_version() gives the library's. */
#define IBT_VERSION "0.1.0"
/* major * 65536 + minor * 256 + patch, for comparing versions. */
#define IBT_VERSION_NUMBER 0x000100

/* Goes before every function of libibt. */
#ifndef IBT_API
#define IBT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/**
 * ==== Statuses ====
 *
 * Success.
 */
#define IBT_OK 0

/**
 * The operation finished with problems: entries were unreadable, changed while
 * they were read, or are damaged, metadata could not be set, something in the
 * destination was in the way, or stored files are missing. The report lists
 * each problem.
 */
#define IBT_PARTIAL 1

/**
 * An argument or option is NULL, malformed, unknown, or has no use in this
 * operation.
 */
#define IBT_ERR_INVALID_ARG -1

/**
 * The system could not read or write: for example there is no such source, no
 * space left, or no permission. See ibt_error_os_code().
 */
#define IBT_ERR_IO -2

/**
 * No such key, snapshot or entry, or a glob or path that matches nothing.
 */
#define IBT_ERR_NOT_FOUND -3

/**
 * The operation would create something that exists already.
 */
#define IBT_ERR_EXISTS -4

/**
 * Stored bytes are damaged.
 */
#define IBT_ERR_CORRUPT -5

/**
 * A file was written by a newer libibt, or is not a backup file at all.
 */
#define IBT_ERR_FORMAT -6

/**
 * A backup file that the snapshot needs is gone.
 */
#define IBT_ERR_MISSING -7

/**
 * A storage callback failed.
 */
#define IBT_ERR_STORAGE -8

/**
 * Cancelled by ibt_cancel_request() or by a callback.
 */
#define IBT_ERR_CANCELLED -9

/**
 * Another call or another program is using the object or the key.
 */
#define IBT_ERR_BUSY -10

/**
 * Not possible on this system, not built in, or the storage has no function
 * for it.
 */
#define IBT_ERR_UNSUPPORTED -11

/**
 * Beyond a documented limit.
 */
#define IBT_ERR_LIMIT -12

/**
 * The source or the host is another one than that of the newest snapshot, the
 * source is empty although the newest snapshot has entries, or the digest is
 * not the expected one.
 */
#define IBT_ERR_MISMATCH -13

/**
 * A bug in libibt that was caught. Please report it with the error's message.
 */
#define IBT_ERR_PANIC -99

/**
 * ==== Answers of callbacks ====
 *
 * Go on.
 */
#define IBT_CALLBACK_OK 1

/**
 * Stop with a failure. Every negative number means the same.
 */
#define IBT_CALLBACK_FAILED 0

/**
 * Enough. libibt does not call a change callback again, and the operation goes
 * on. A call with an entry or sink callback ends early with IBT_OK.
 */
#define IBT_CALLBACK_STOP 2

/**
 * ==== Answers of filters: ibt_options_set_filter() ====
 *
 * Include the entry.
 */
#define IBT_FILTER_INCLUDE 1

/**
 * Leave out the entry. A directory is left out unless an entry below it is
 * included: libibt asks about the entries in it as well.
 */
#define IBT_FILTER_LEAVE_OUT 3

/**
 * Leave out the entry and everything below it, without asking further.
 */
#define IBT_FILTER_LEAVE_OUT_ALL 4

/**
 * ==== Compression: ibt_options_set_compression() ====
 *
 * Store archives uncompressed.
 */
#define IBT_COMPRESSION_NONE 0

/**
 * Compress with Zstandard.
 */
#define IBT_COMPRESSION_ZSTD 1

/**
 * ==== Parts of archives: ibt_options_set_part_size() ====
 *
 * The smallest size of parts, in bytes.
 */
#define IBT_PART_SIZE_MIN 65536

/**
 * ==== Change detection: ibt_options_set_change_detection() ====
 *
 * A file is unchanged if its size, mtime, ctime and inode number are the
 * recorded ones and its times are more than two seconds older than the last
 * scan, so that no later change can have the same times. Inode numbers are not
 * compared if the source changes them between runs. On a file system that keeps
 * no ctime of its own every file is read. Those are FAT, exFAT, HFS and file
 * systems of read-only images, such as squashfs. A file system of unknown kind,
 * such as most FUSE file systems, is treated the same way if the ctime of every
 * file equals its mtime.
 */
#define IBT_DETECT_METADATA 0

/**
 * Read every file, whatever its metadata.
 */
#define IBT_DETECT_CONTENT 1

/**
 * ==== Deltas: ibt_options_set_delta() ====
 *
 * IBT_DELTA_CONTENTS if the storage is a directory of this machine, or has
 * IBT_STORAGE_READS_CHEAPLY; else IBT_DELTA_SIGNATURES.
 */
#define IBT_DELTA_AUTO 0

/**
 * Deltas are made by signatures alone: no stored content is read. Only whole
 * blocks of 2 KiB or more that are unchanged are found. Contents of 16 KiB or more
 * get a signature.
 */
#define IBT_DELTA_SIGNATURES 1

/**
 * The old content of a changed file is read from the storage and compared with
 * the new content byte by byte, so that a change costs little more than its
 * bytes. A content that another path has already is read before an increment
 * points to it. If an old content turns out to be damaged, the report lists a
 * problem, and the file is stored whole. Only contents of 256 KiB or more get a
 * signature: if a later increment uses IBT_DELTA_SIGNATURES, it stores a shorter
 * file whole when it changes for the first time, and with the option heal it
 * reads these files to make their signatures.
 */
#define IBT_DELTA_CONTENTS 2

/**
 * ==== Opening a directory, bits: ibt_storage_open_dir() ====
 *
 * The directory must exist. No backup creates it, for example in the mount
 * point of a disk that is not mounted.
 */
#define IBT_DIR_MUST_EXIST 1

/**
 * Nothing in the directory is changed. Backups, consolidations and prunes
 * return IBT_ERR_UNSUPPORTED; a dry run is allowed. Other operations create no
 * lock file: where no operation has created it yet, they read without a lock,
 * and their report has a note (IBT_PROBLEM_UNLOCKED). Implies
 * IBT_DIR_MUST_EXIST.
 */
#define IBT_DIR_READ_ONLY 2

/**
 * The first backup also creates the directories above the directory, with mode
 * 0700. Without this flag they must exist.
 */
#define IBT_DIR_CREATE_PARENTS 4

/**
 * ==== Verify: ibt_options_set_verify() ====
 *
 * Everything that snapshots need is read and compared with its hashes.
 */
#define IBT_VERIFY_CONTENTS 0

/**
 * The states are read and compared with their digests. Of the archives only the
 * presence and the size are checked, so a verify takes little time, and damage
 * inside an archive is not found. The report counts no entries and no bytes, and
 * an archive that is gone is one loss of each snapshot that needs it.
 */
#define IBT_VERIFY_PRESENCE 1

/**
 * ==== Traits of a storage: ibt_storage_set_traits() ====
 *
 * Reading a range of an object takes little time and costs no money, as from a
 * disk of this machine.
 */
#define IBT_STORAGE_READS_CHEAPLY 1

/**
 * Several threads may call the functions at once, also threads that libibt
 * starts for the time of an operation. A restore, a verify and a list then read
 * up to eight ranges at a time. That helps where each call takes long, as over
 * a network.
 */
#define IBT_STORAGE_THREAD_SAFE 2

/**
 * ==== Files that fail: ibt_options_set_on_file_error() ====
 *
 * List the failed file in the report and go on.
 */
#define IBT_ON_ERROR_SKIP 0

/**
 * Stop at the first problem that is not a note. That problem becomes the
 * operation's error.
 */
#define IBT_ON_ERROR_STOP 1

/**
 * ==== Existing files: ibt_options_set_overwrite() ====
 *
 * The destination must be absent or an empty directory.
 */
#define IBT_OVERWRITE_NEVER 0

/**
 * Replace every file whose content differs. Files of equal size are read to
 * find out.
 */
#define IBT_OVERWRITE_ALWAYS 1

/**
 * Like IBT_OVERWRITE_ALWAYS, but a file with the snapshot's size and
 * modification time is not read: it counts as equal.
 */
#define IBT_OVERWRITE_IF_DIFFERENT 2

/**
 * Replace only a file that was modified before the snapshot's file was. An
 * existing directory always gets the snapshot's metadata, whatever its
 * modification time.
 */
#define IBT_OVERWRITE_IF_OLDER 3

/**
 * Restore only absent entries and leave existing ones as they are. A directory
 * that a failed or interrupted restore made exists as well, so it keeps the
 * mode 0700. Complete such a restore with IBT_OVERWRITE_IF_OLDER, which sets
 * the mode.
 */
#define IBT_OVERWRITE_KEEP 4

/**
 * ==== Metadata, bits: ibt_options_set_restore_metadata() ====
 *
 * Permission bits.
 */
#define IBT_META_MODE 1

/**
 * User and group. By default only with privilege.
 */
#define IBT_META_OWNER 2

/**
 * Modification times.
 */
#define IBT_META_TIMES 4

/**
 * Extended attributes, including ACLs. security.* and trusted.* are set only
 * with privilege, even if this bit is set.
 */
#define IBT_META_XATTRS 8

/**
 * Make FIFOs and devices.
 */
#define IBT_META_SPECIAL 16

/**
 * The setuid bit if the restored file has the snapshot's owner, and the setgid
 * bit if it has the snapshot's group. On a directory the setgid bit in any
 * case.
 */
#define IBT_META_SETID 32

/**
 * The inode flags of files and directories, as chattr sets them. "immutable"
 * and "append" are set only with the capability CAP_LINUX_IMMUTABLE, after
 * everything else, and never taken from an existing file: a restore leaves
 * such a file or directory as it is, and lists a problem if it would change it.
 * All other flags become those of the snapshot: an entry loses flags that it
 * inherited from the directory around it. Only in a destination that existed do
 * directories keep "projinherit" and "casefold".
 */
#define IBT_META_FLAGS 64

/**
 * The project ids of files and directories that have one. In a destination that
 * did not exist, an entry without a project in the snapshot loses the project
 * that it inherited; in one that existed, it keeps that project.
 */
#define IBT_META_PROJECT 128

/**
 * ==== Phases: ibt_progress_phase() ====
 *
 * Looking for changes; reading states, in a list, a prune or a verify; waiting
 * for the lock, before an operation's first phase.
 */
#define IBT_PHASE_SCAN 1

/**
 * Reading files and writing archives; copying contents, in ibt_consolidate();
 * filling the cache, in ibt_rebuild_cache().
 */
#define IBT_PHASE_READ 2

/**
 * Making the backup or the restored tree durable and visible.
 */
#define IBT_PHASE_COMMIT 3

/**
 * Writing the restored tree.
 */
#define IBT_PHASE_RESTORE 4

/**
 * Checking stored bytes; comparing, in ibt_compare(); reading the state, in
 * ibt_snapshot_open().
 */
#define IBT_PHASE_VERIFY 5

/**
 * Removing backup files.
 */
#define IBT_PHASE_DELETE 6

/**
 * ==== Levels of messages: ibt_options_set_log() ====
 */
#define IBT_LOG_ERROR 1

#define IBT_LOG_WARN 2

#define IBT_LOG_INFO 3

#define IBT_LOG_DEBUG 4

/**
 * ==== Types of entries: ibt_entry_type() ====
 */
#define IBT_TYPE_FILE 1

#define IBT_TYPE_DIR 2

#define IBT_TYPE_SYMLINK 3

#define IBT_TYPE_FIFO 4

/**
 * A character device.
 */
#define IBT_TYPE_CHAR 5

/**
 * A block device.
 */
#define IBT_TYPE_BLOCK 6

/**
 * An entry that only a newer libibt can restore: its type is unknown, or the
 * algorithm of its file's hash. Snapshots keep it. See IBT_PROBLEM_UNSUPPORTED.
 */
#define IBT_TYPE_UNKNOWN 7

/**
 * ==== Changes, bits: ibt_change_fn ====
 *
 * The entry is new.
 */
#define IBT_CHANGE_CREATED 1

/**
 * The entry is gone.
 */
#define IBT_CHANGE_DELETED 2

/**
 * The content changed, or the type of the entry.
 */
#define IBT_CHANGE_CONTENT 4

/**
 * Mode, owner, times, extended attributes, inode flags or the project id
 * changed. In a comparison also: the set of names that are hard links of the
 * file changed.
 */
#define IBT_CHANGE_METADATA 8

/**
 * The entry came from another path.
 */
#define IBT_CHANGE_MOVED 16

/**
 * In a backup: the entry could not be read, and its previous version was
 * carried forward. In a restore: the overwrite policy left the existing entry
 * in its place.
 */
#define IBT_CHANGE_KEPT 32

/**
 * ==== Counters: ibt_report_counter() ====
 *
 * Entries of the snapshot, its root included. After a comparison the compared
 * entries, after a verify the entries of all verified snapshots.
 */
#define IBT_COUNT_ENTRIES 1

#define IBT_COUNT_CREATED 2

/**
 * Files with new content, and entries of a new type.
 */
#define IBT_COUNT_MODIFIED 3

#define IBT_COUNT_UNCHANGED 4

#define IBT_COUNT_MOVED 5

#define IBT_COUNT_DELETED 6

/**
 * Entries of which only the metadata changed.
 */
#define IBT_COUNT_METADATA 7

/**
 * Bytes read: by a backup from the source; by a restore, a consolidation and a
 * rebuild of the cache from archives; by a comparison from the tree; by a
 * verify from the storage.
 */
#define IBT_COUNT_BYTES_READ 8

/**
 * Bytes written: to the store, to restored files or, by a rebuild, to the
 * cache.
 */
#define IBT_COUNT_BYTES_WRITTEN 9

/**
 * Entries restored.
 */
#define IBT_COUNT_RESTORED 10

/**
 * All problems, including notes and the problems that the report no longer
 * lists.
 */
#define IBT_COUNT_PROBLEMS 11

/**
 * Logical bytes of the snapshot's files. After a verify the bytes of all
 * verified snapshots, after a comparison 0.
 */
#define IBT_COUNT_BYTES 12

/**
 * Bytes of created and modified files whose content was stored already, for
 * another path of the previous snapshot or of this one: the increment points
 * to that content. An increment that reads old contents (IBT_DELTA_CONTENTS)
 * first reads such a content of the previous snapshot, and stores the file if
 * that content is damaged. Other increments do not read the content: only
 * ibt_verify(), or an increment with ibt_options_set_heal(), finds such
 * damage. Of a full: bytes of the files that it took over from a full that did
 * not end (ibt_options_set_checkpoint()).
 */
#define IBT_COUNT_BYTES_ALREADY_STORED 13

/**
 * Contents and signatures that the store had lost and that a backup has stored
 * again, and layers that were put back; see ibt_options_set_heal().
 */
#define IBT_COUNT_HEALED 14

/**
 * Contents of the parent that are damaged or gone in the store, and that the
 * source no longer has or cannot give. Also those that the report no longer
 * lists.
 */
#define IBT_COUNT_LOST 15

/**
 * ==== Problems: ibt_report_problem_kind() ====
 *
 * The entry could not be read; its previous version, if any, was carried
 * forward. Of stored bytes: they cannot be read at the moment and may be whole
 * or damaged.
 */
#define IBT_PROBLEM_UNREADABLE 1

/**
 * The entry was gone before it could be read.
 */
#define IBT_PROBLEM_VANISHED 2

/**
 * The file changed while it was read.
 */
#define IBT_PROBLEM_CHANGED 3

/**
 * A note. A backup left the entry out by design (for example a socket, or the
 * store itself), or a restore left an entry in place because the backup had
 * left it out.
 */
#define IBT_PROBLEM_SKIPPED 4

/**
 * Stored bytes are damaged.
 */
#define IBT_PROBLEM_DAMAGED 5

/**
 * Stored bytes are gone.
 */
#define IBT_PROBLEM_MISSING 6

/**
 * Metadata could not be read or set.
 */
#define IBT_PROBLEM_METADATA 7

/**
 * A note. A run left a file in the store, or an earlier restore left
 * one in or beside its destination. Or a file of the store is a copy of a
 * state under another name. Or the store has archives of a backup whose state
 * is not there: the backup or a prune was interrupted, or the state was lost.
 */
#define IBT_PROBLEM_LEFTOVER 8

/**
 * The key has snapshots whose date is more than a day ahead of the clock.
 * Either the clock is wrong now, or it was wrong when they were made. Each
 * backup reports this until those snapshots are removed. Snapshots made after
 * them are valid.
 */
#define IBT_PROBLEM_CLOCK 9

/**
 * The destination of a restore refused an entry: another entry is in the way,
 * permissions are missing, or the file system does not support such a name,
 * size or type of entry.
 */
#define IBT_PROBLEM_OBSTRUCTED 10

/**
 * A note. The file system cannot lock the key, so this operation, which only
 * reads, went on without a lock. If a prune ran meanwhile, files may be
 * missing.
 */
#define IBT_PROBLEM_UNLOCKED 11

/**
 * A note. The store had lost a content or a signature of this entry, or a
 * layer, and the backup has stored it again. Snapshots made before stay as they
 * are. A report lists the first 1,000; IBT_COUNT_HEALED counts all.
 */
#define IBT_PROBLEM_HEALED 12

/**
 * The content of this entry is damaged or gone in the store, or cannot be read
 * there, and the source no longer has the file or cannot give it now. If the
 * source cannot give it, the new snapshot has the entry as the parent has it,
 * unless an archive of its content is gone. The status is that of the fault:
 * IBT_ERR_MISSING, IBT_ERR_CORRUPT, or IBT_ERR_IO after a read error of the disk.
 * A report lists the first 1,000; IBT_COUNT_LOST counts all.
 */
#define IBT_PROBLEM_LOST 13

/**
 * A note. An archive of an earlier snapshot is damaged, but this snapshot needs
 * none of the damaged bytes: everything that it needs was read and is right. Or
 * a part of an archive is damaged or gone of which it needs no byte.
 */
#define IBT_PROBLEM_UNNEEDED 14

/**
 * Only a newer libibt can restore, compare or check this entry, its signature
 * or this state: the type of the entry, the algorithm of a hash or the form of
 * the state's file is unknown, or a number is too large for this system. The
 * stored files stay as they are. A restore leaves alone a file that has the
 * path of such an entry.
 */
#define IBT_PROBLEM_UNSUPPORTED 15

/**
 * ==== Actions: ibt_report_snapshot_action() ====
 *
 * The snapshot exists.
 */
#define IBT_ACTION_KEPT 1

/**
 * The snapshot was removed, or a dry run would remove it.
 */
#define IBT_ACTION_REMOVED 2

/**
 * A request to stop. It is one-shot: a request cannot be withdrawn. Owned by
 * the caller, who frees it with ibt_cancel_free(). Operations share the
 * object, so the caller may free it while an operation runs.
 *
 * Any number of threads may use one object at once.
 *
 * Since: 0.1
 */
typedef struct ibt_cancel ibt_cancel;

/**
 * One file, directory, link or device at one moment. The entry, and every
 * string borrowed from it, is valid only during the callback that received it.
 * An entry of ibt_snapshot_next() is valid until the next call of that
 * function or of ibt_snapshot_rewind() with the same snapshot, or until the
 * snapshot is freed.
 *
 * Since: 0.1
 */
typedef struct ibt_entry ibt_entry;

/**
 * Why a call failed. Owned by the caller, who frees it with ibt_error_free().
 *
 * Immutable: several threads may read it at once, and any of them may free it.
 *
 * Since: 0.1
 */
typedef struct ibt_error ibt_error;

/**
 * Receives the names that an ibt_list_fn finds. Valid during the call of that
 * function only.
 *
 * Since: 0.1
 */
typedef struct ibt_list ibt_list;

/**
 * The options of an operation. One type serves every operation. If an
 * operation gets NULL as its options, it uses all defaults. Owned by the
 * caller, who frees it with ibt_options_free().
 *
 * Setters copy their arguments. A setter that fails returns a status and marks
 * the object: every later operation with this object returns that status too,
 * and its error names the setter and the reason. So a program need not check
 * the return values of setters.
 *
 * Operations copy the object when they begin. Several operations may use it at
 * once, also from different threads, as long as no setter runs.
 *
 * Since: 0.1
 */
typedef struct ibt_options ibt_options;

/**
 * The progress of an operation. Valid during the call of its ibt_progress_fn
 * only.
 *
 * Since: 0.1
 */
typedef struct ibt_progress ibt_progress;

/**
 * The result of an operation. Owned by the caller, who frees it with
 * ibt_report_free(). Every string borrowed from it is valid until then.
 *
 * Immutable: several threads may read it at once, and any of them may free it.
 * Functions that take an index return NULL or 0 when the index is out of
 * range.
 *
 * Since: 0.1
 */
typedef struct ibt_report ibt_report;

/**
 * One opened snapshot, for listing its entries and reading its files. Owned by
 * the caller, who frees it with ibt_snapshot_free().
 *
 * The snapshot was verified when it was opened, and it does not change. It
 * keeps its storage alive, also after ibt_storage_free(), but does not lock
 * it: if the snapshot is removed meanwhile, reading its files fails with
 * IBT_ERR_MISSING.
 *
 * One call at a time: a second call, from another thread or from a callback,
 * returns IBT_ERR_BUSY. May move between threads. Memory does not grow with
 * the number of entries.
 *
 * Since: 0.1
 */
typedef struct ibt_snapshot ibt_snapshot;

/**
 * A place for backup files: a directory, a bucket of an object store
 * (ibt_storage_open_url()), or functions of the caller
 * (ibt_storage_new()). Owned by the caller, who frees it with
 * ibt_storage_free().
 *
 * One call at a time: a second call, from another thread or from a callback,
 * returns IBT_ERR_BUSY. May move between threads.
 *
 * No operation accepts NULL as its storage, so that a backup cannot go to a
 * place that nobody chose. ibt_storage_open_default() opens a private directory
 * for experiments.
 *
 * Since: 0.1
 */
typedef struct ibt_storage ibt_storage;

/**
 * How a call ended: IBT_OK, IBT_PARTIAL or, negative, one of IBT_ERR_*.
 *
 * Since: 0.1
 */
typedef int32_t ibt_status;

/**
 * Receives the progress of an operation: about ten times a second, and at the
 * beginning and at the end of each phase. It is not called after a commit,
 * because it is then too late to cancel. `now` is valid during the call only.
 * done_bytes and done_entries never decrease within a phase.
 *
 * Return IBT_CALLBACK_OK to go on. 0 or a negative number cancels the
 * operation (IBT_ERR_CANCELLED).
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_progress_fn)(void *ud, const ibt_progress *now);

/**
 * Releases the userdata of a callback. May be NULL.
 *
 * libibt calls it exactly once, as soon as nothing can use the userdata any
 * more: the object that holds the callback was freed or another callback was
 * set in its place, and every operation that began with this callback has
 * ended. libibt does not call it if the setter that received it failed.
 *
 * Since: 0.1
 */
typedef void (*ibt_destroy_fn)(void *ud);

/**
 * Receives one change. `what` is a combination of IBT_CHANGE_* bits. `before`
 * is NULL if the entry is new, `after` is NULL if the entry is gone. Both are
 * valid during the call only.
 *
 * Changes come in the order of paths, with these exceptions. A restore reports
 * symbolic links and further names of hard links after all other entries.
 * After these it reports the extra entries that it removes because the
 * snapshot does not have them. If an existing entry must be removed to make
 * way for an entry of the snapshot, its removal is reported just before that
 * entry. A backup reports the deleted files that it might have found again
 * under another name at the end, in the order of paths.
 *
 * Return IBT_CALLBACK_OK to go on, or IBT_CALLBACK_STOP to receive no further
 * changes: a comparison then ends with the differences found so far, while a
 * backup or a restore runs to its end without reporting more changes. 0 or a
 * negative number cancels the operation (IBT_ERR_CANCELLED).
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_change_fn)(void *ud,
                                 uint32_t what,
                                 const ibt_entry *before,
                                 const ibt_entry *after);

/**
 * Decides whether a backup takes in an entry of the source. `entry` is valid
 * during the call only. It has the values of lstat(), the names of its owners
 * and the target of a link; hash, hard links and extended attributes are
 * unknown. libibt asks in the order of paths, about a directory before the
 * entries in it. It does not ask about the source itself, sockets, entries that
 * cannot be examined, and entries that another option leaves out.
 *
 * Return one of IBT_FILTER_*, or IBT_CALLBACK_STOP to include this entry and
 * all that follow: libibt then does not call the filter again. Every other
 * positive number means IBT_FILTER_INCLUDE. 0 or a negative number cancels the
 * operation (IBT_ERR_CANCELLED).
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_filter_fn)(void *ud, const ibt_entry *entry);

/**
 * Receives one line about the work of an operation. `level` is one of
 * IBT_LOG_*. `message` is valid during the call only.
 *
 * Since: 0.1
 */
typedef void (*ibt_log_fn)(void *ud, int32_t level, const char *message);

/**
 * Begins to write an object named `name`. Its size is unknown, and nobody sees
 * it before its commit. `*stream` is NULL; the function may set it to any
 * value, which libibt passes to the other functions of the writer. Up to four
 * streams are open at a time, and libibt may write to them in any order.
 *
 * After IBT_CALLBACK_OK libibt ends the stream with exactly one call of the
 * ibt_commit_fn or the ibt_abort_fn. After a failure it calls neither.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_create_fn)(void *ud, const char *name, void **stream);

/**
 * Appends all of `len` bytes, never 0, to a stream. If it fails, libibt aborts
 * the stream.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_write_fn)(void *ud,
                                void *stream,
                                const uint8_t *data,
                                size_t len);

/**
 * Ends a stream: makes the object durable, and visible under its name in one
 * step. It must never replace an existing object: if the name is taken, return
 * IBT_ERR_EXISTS.
 *
 * The stream has ended, whatever the function returns. If a commit fails, the
 * object may exist nevertheless; libibt then deletes it, if an ibt_delete_fn
 * is set and no snapshot may need the object.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_commit_fn)(void *ud, void *stream);

/**
 * Ends a stream and discards the bytes written to it.
 *
 * Since: 0.1
 */
typedef void (*ibt_abort_fn)(void *ud, void *stream);

/**
 * Reads up to `len` bytes, never 0, of a committed object from `offset` into
 * `buf`, and stores the number of bytes in `*got`, which is 0 at first. It may
 * read less than `len`: libibt calls it again for the rest. IBT_CALLBACK_OK
 * with 0 bytes means that offset is at or past the end. Return
 * IBT_ERR_NOT_FOUND if there is no such object: a restore then lists the
 * contents of that object as missing and goes on. Return IBT_ERR_CORRUPT if the
 * storage finds that the bytes are damaged, for example by a checksum or an
 * authentication code of its own: that counts as damage that libibt finds
 * itself, and a restore goes on as well. Any other failure ends the restore.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_read_at_fn)(void *ud,
                                  const char *name,
                                  uint64_t offset,
                                  uint8_t *buf,
                                  size_t len,
                                  size_t *got);

/**
 * Calls ibt_list_add() for every committed object whose name begins with the
 * bytes of `prefix` ("" for all), with the object's size. This includes
 * objects that were committed a moment ago. Names may come in any order, and
 * other names, names of foreign objects and repeated names do no harm.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_list_fn)(void *ud, const char *prefix, ibt_list *out);

/**
 * Removes a committed object. Return IBT_CALLBACK_OK if there is no such
 * object.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_delete_fn)(void *ud, const char *name);

/**
 * Locks `key` for one backup, consolidation or prune: keeps out every other
 * one, also of other programs and of other machines that share the storage,
 * until the ibt_unlock_fn is called. Operations that only read do not lock:
 * they run beside all other operations. If a prune deletes an object that such
 * an operation still needs, the operation reports the object as missing. If
 * the lock is held already, return IBT_ERR_BUSY at once: libibt tries again 50
 * times a second, for as long as ibt_options_set_lock_wait() allows.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_lock_fn)(void *ud, const char *key);

/**
 * Releases a lock. Called exactly once for each lock that an ibt_lock_fn got.
 *
 * Since: 0.1
 */
typedef void (*ibt_unlock_fn)(void *ud, const char *key);

/**
 * Receives a key, and the number of its snapshots. The key is valid during the
 * call only.
 *
 * Return IBT_CALLBACK_OK to go on, or IBT_CALLBACK_STOP to end the call early
 * with IBT_OK. 0 or a negative number ends it with IBT_ERR_CANCELLED.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_key_fn)(void *ud, const char *key, uint64_t snapshots);

/**
 * Receives one entry, which is valid during the call only.
 *
 * Return IBT_CALLBACK_OK to go on, or IBT_CALLBACK_STOP to end the listing
 * early with IBT_OK. 0 or a negative number ends it with IBT_ERR_CANCELLED.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_entry_fn)(void *ud, const ibt_entry *entry);

/**
 * Receives the next `len` bytes, at least one, which are valid during the call
 * only.
 *
 * Return IBT_CALLBACK_OK to go on, or IBT_CALLBACK_STOP to end the read early
 * with IBT_OK. 0 or a negative number ends it with IBT_ERR_CANCELLED.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_sink_fn)(void *ud, const uint8_t *data, size_t len);

/**
 * ==== Library ====
 *
 * The version of the running library, such as "0.1.0".
 *
 * Never NULL. Valid until the process ends. Any thread.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_version(void);

/**
 * The version of the running library as a number: major * 65536 + minor * 256
 * + patch. Compare it with the header's IBT_VERSION_NUMBER. Any thread.
 *
 * Since: 0.1
 */
IBT_API uint32_t ibt_version_number(void);

/**
 * The name of a status in this header, such as "IBT_ERR_IO".
 *
 * Never NULL: "IBT_ERR_UNKNOWN" for a number that this version does not know.
 * Valid until the process ends. Any thread.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_status_name(ibt_status status);

/**
 * The name of a counter (IBT_COUNT_*) in JSON, such as "bytes_read".
 *
 * NULL for an unknown number: a loop that counts up from 1 until NULL visits
 * every counter. Valid until the process ends. Any thread.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_counter_name(int32_t which);

/**
 * The name of a kind of problem (IBT_PROBLEM_*), such as "unreadable".
 *
 * NULL for an unknown number. Valid until the process ends. Any thread.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_problem_name(int32_t kind);

/**
 * ==== Errors ====
 *
 * The status that the failed call returned; IBT_OK for NULL.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_error_status(const ibt_error *error);

/**
 * The system's error number (errno) behind the failure, or 0.
 *
 * Since: 0.1
 */
IBT_API int32_t ibt_error_os_code(const ibt_error *error);

/**
 * One line for people: the action that failed, its path, and the reason.
 *
 * Never NULL: "" for NULL. Borrowed until the error is freed.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_error_message(const ibt_error *error);

/**
 * The path or backup file concerned, as raw bytes; NULL if there is none.
 * Borrowed until the error is freed.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_error_path(const ibt_error *error);

/**
 * Frees an error and the strings borrowed from it. NULL is ignored.
 *
 * Since: 0.1
 */
IBT_API void ibt_error_free(ibt_error *error);

/**
 * ==== Options ====
 *
 * Makes options with every default. Never returns NULL.
 *
 * Since: 0.1
 */
IBT_API ibt_options *ibt_options_new(void);

/**
 * Frees options. Operations that are running with them go on. NULL is ignored.
 *
 * Since: 0.1
 */
IBT_API void ibt_options_free(ibt_options *options);

/**
 * Sets the function that receives the progress of an operation; NULL for none.
 * libibt passes `ud` to it. `destroy` releases `ud`, see ibt_destroy_fn; it
 * may be NULL.
 *
 * Default: none.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_progress(ibt_options *options,
                                    ibt_progress_fn progress,
                                    void *ud,
                                    ibt_destroy_fn destroy);

/**
 * Sets the function that receives each change that a backup finds, each entry
 * that a restore makes, corrects, leaves or removes, and each difference that
 * a comparison finds; NULL for none. `ud` and `destroy` as for
 * ibt_options_set_progress().
 *
 * Default: none.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_change(ibt_options *options,
                                  ibt_change_fn change,
                                  void *ud,
                                  ibt_destroy_fn destroy);

/**
 * Sets the function that decides about each entry of the source of a backup;
 * NULL for none. `ud` and `destroy` as for ibt_options_set_progress().
 *
 * An entry that it leaves out counts as excluded: it is absent from the
 * snapshot, an increment that leaves it out for the first time reports it as
 * deleted, and a restore with ibt_options_set_delete_extra() does not remove
 * it. The filter runs on the calling thread. So with a filter only this thread
 * walks the source; without a filter all worker threads do.
 *
 * Default: none. Backups only; other operations fail with IBT_ERR_INVALID_ARG
 * if a filter is set.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_filter(ibt_options *options,
                                  ibt_filter_fn filter,
                                  void *ud,
                                  ibt_destroy_fn destroy);

/**
 * Sets the function that receives messages of the importance `level`
 * (IBT_LOG_*) or higher; NULL for none. For example IBT_LOG_WARN passes on
 * warnings and errors. `ud` and `destroy` as for ibt_options_set_progress().
 *
 * Default: none; libibt itself writes messages nowhere.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or level is unknown.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_log(ibt_options *options,
                               int32_t level,
                               ibt_log_fn log,
                               void *ud,
                               ibt_destroy_fn destroy);

/**
 * Sets the object that can stop operations with these options; NULL for none.
 * The options share the object. It still belongs to the caller, who may free
 * it at any time.
 *
 * Default: none.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_cancel(ibt_options *options,
                                  ibt_cancel *cancel);

/**
 * Sets how much a verify checks: IBT_VERIFY_CONTENTS or IBT_VERIFY_PRESENCE.
 * ibt_verify() only; ignored elsewhere. Replaces an earlier call of
 * ibt_options_set_verify_part().
 *
 * Default: IBT_VERIFY_CONTENTS.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or scope is unknown.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_verify(ibt_options *options, int32_t scope);

/**
 * Lets a verify read only part number `part`, counted from 1, of `parts` parts
 * of all contents and signatures. All parts cost about the same, and verifies
 * of all parts together read everything. For example, with 7 parts a program
 * can verify one part on each day of a week.
 *
 * The part of a content or signature follows from its place in an archive:
 * each 16 MiB of an archive belong to the next part. So a content that several
 * snapshots share belongs to the same part in all of them, also after
 * snapshots were added or removed. A content is read whole, however large.
 * Each run also makes the checks of IBT_VERIFY_PRESENCE, and reads the index
 * of each archive. No part compares the digests of archives: only a verify of
 * everything does.
 *
 * ibt_verify() only; ignored elsewhere. Replaces an earlier call of
 * ibt_options_set_verify(). Default: everything, like part 1 of 1 with the
 * digests.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL, or unless
 * 1 <= part <= parts.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_verify_part(ibt_options *options,
                                       uint32_t part,
                                       uint32_t parts);

/**
 * With 1 a comparison reads no content. A file counts as unchanged if it has
 * the recorded size and modification time, and as modified if one of them
 * differs. Such a comparison takes little time, but it does not find a content
 * that changed and got its old modification time back. Mode, owner, extended
 * attributes, link targets and hard links are compared as without this option.
 * The files of the tree have no ibt_entry_hash() then.
 *
 * Default: 0. Every other number counts as 1. ibt_compare() only; ignored
 * elsewhere.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_metadata_only(ibt_options *options,
                                         int32_t on);

/**
 * The name of this host in a backup's snapshot, instead of the system's. Set it
 * where that name changes, as in many containers: a series of snapshots
 * belongs to one host (ibt_options_set_allow_source_change()). Backups only;
 * ignored elsewhere.
 *
 * Default: the system's name of the host. A name has 1 to 255 bytes of UTF-8
 * without control characters.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or host is NULL or host is
 * malformed.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_host(ibt_options *options, const char *host);

/**
 * The name of the source in a backup's snapshot, instead of its path: any text,
 * as raw bytes. Set it where the source is reached by different paths, for
 * example "/home" for a copy of that file system that is mounted elsewhere for
 * the time of the backup. A series of snapshots belongs to one source name
 * (ibt_options_set_allow_source_change()). Backups only; ignored elsewhere.
 *
 * Default: the absolute path of the source. Without a name, another path of
 * the directory that the newest snapshot records is the same source, for
 * example a path through a symbolic link. The snapshots then keep the recorded
 * path.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or name is NULL, or name is
 * empty or longer than 4096 bytes.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_source_name(ibt_options *options,
                                       const char *name);

/**
 * Leaves out everything in directories that a file marks: a directory with an
 * entry of this name that is not itself a directory, for example ".nobackup",
 * is stored with this marker only. Each call adds a name, up to 100, and each
 * name marks a directory. This holds for the source itself, too. Backups and
 * comparisons; ignored elsewhere.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or name is NULL, name is not a
 * valid file name, or there are 100 names already.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_add_exclude_if_present(ibt_options *options,
                                              const char *name);

/**
 * Leaves out regular files that are larger than this many bytes, holes
 * included. A file that grows beyond the size is absent from the next
 * snapshot. Backups and comparisons; ignored elsewhere.
 *
 * Default: no limit. UINT64_MAX removes a limit.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_exclude_larger_than(ibt_options *options,
                                               uint64_t bytes);

/**
 * With 1 leaves out entries with the flag "no dump" (`chattr +d`), with
 * everything below them, where the system and the file system report the flag
 * (Linux 4.11; for example ext4, XFS, btrfs). Backups and comparisons; ignored
 * elsewhere.
 *
 * Default: 0. Every other number counts as 1.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_exclude_nodump(ibt_options *options,
                                          int32_t on);

/**
 * Limits a backup to this path below the source, with everything below it and
 * the directories that lead to it: raw bytes, relative to the source, without
 * "." and "..". Slashes at either end are ignored: "/etc" means "etc" in the
 * source, wherever the source lies. Each call adds a path, up to 1,000,000. A
 * snapshot then holds exactly these paths, so an increment reports a path that
 * is not listed any more as deleted. Other options still leave out entries. A
 * listed path that does not exist, or that leads through a symbolic link, is
 * listed as IBT_PROBLEM_UNREADABLE.
 *
 * Default: none, the backup takes in the whole source. Backups only; other
 * operations fail with IBT_ERR_INVALID_ARG if a path is set.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL, path is empty
 * or malformed, or there are 1,000,000 paths already.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_add_source_path(ibt_options *options,
                                       const char *path);

/**
 * If on is not 0, a restore gives each file to the user and the group that
 * have the recorded names on this machine, also if their numbers differ. A name
 * that this machine does not have is listed once, as a note
 * (IBT_PROBLEM_SKIPPED), and its files keep the recorded number. Numbers inside
 * of ACLs stay as they are. Without IBT_META_OWNER nothing is mapped. Restore
 * only; ignored elsewhere.
 *
 * Default: 0, the recorded numbers.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_map_owners(ibt_options *options, int32_t on);

/**
 * Gives the new snapshot of a backup a label: a value under a name, such as
 * "reason" and "before the update". An increment does not take over the labels
 * of its parent. ibt_consolidate() takes over those of the snapshot that it
 * copies. Reports list labels, see ibt_report_snapshot_label_name(). Labels are
 * not part of the tree digest.
 *
 * A second value of the same name replaces the first one, and NULL as value
 * removes the label. A snapshot has at most 64 labels. A name is UTF-8, not
 * empty, and has neither '=' nor control characters. A value is UTF-8, and may
 * be empty. Name and value together have at most 4096 bytes, and all labels
 * 16384.
 *
 * Default: no labels. Backups only; other operations fail with
 * IBT_ERR_INVALID_ARG if a label is set.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or name is NULL, name or value
 * is malformed or too long, or the labels would be too many or too long.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_label(ibt_options *options,
                                 const char *name,
                                 const char *value);

/**
 * A prune keeps every snapshot that has the label `name` with exactly `value`,
 * or with any value if value is NULL. Each call adds a rule, up to 64. Rules add
 * up: a snapshot stays if any rule keeps it. If any rule is set, the snapshot
 * with the newest stamp stays as well.
 *
 * Default: no such rule. Prune only; ignored elsewhere.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or name is NULL, name or value
 * is not the name or value of a label (see ibt_options_set_label()), or there
 * are 64 such rules already.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_add_keep_label(ibt_options *options,
                                      const char *name,
                                      const char *value);

/**
 * Only snapshots count that have the label `name` with exactly `value`, or with
 * any value if value is NULL. Each call adds a filter, up to 64, and a snapshot
 * must pass all of them.
 *
 * A list leaves out all other snapshots. "The newest" and
 * ibt_options_set_as_of() select among the snapshots that pass, and
 * ibt_options_set_snapshot() selects nothing if the snapshot does not pass.
 * The rules of a prune judge only the snapshots that pass; all others are
 * kept. A damaged state passes every filter, because its labels are unknown.
 * To find the labels, the call reads a few KiB of each state.
 *
 * Default: none. Lists, restores, comparisons, prunes and ibt_snapshot_open();
 * other operations fail with IBT_ERR_INVALID_ARG if a filter is set.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or name is NULL, name or value
 * is not the name or value of a label (see ibt_options_set_label()), or there
 * are 64 filters already.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_add_label_filter(ibt_options *options,
                                        const char *name,
                                        const char *value);

/**
 * Limits an operation to the entries of the snapshot that match a glob. `*`
 * and `?` do not match '/', a component `**` does; `[a-z]` and `{a,b}` work as
 * in a shell. The glob begins at the snapshot's root, so "*.txt" matches only
 * there. A directory that matches includes everything below it. Each call adds
 * a glob: an entry is included if it matches any glob, or any path of
 * ibt_options_add_path().
 *
 * Restore and compare use globs; other operations fail with
 * IBT_ERR_INVALID_ARG if one is set. If a glob matches nothing, the operation
 * returns IBT_ERR_NOT_FOUND and does nothing. A comparison looks for a match
 * in the tree as well.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or glob is NULL, the glob is
 * malformed, longer than 4096 bytes or nested deeper than 16, or there are
 * 10,000 globs and paths already.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_add_include(ibt_options *options,
                                   const char *glob);

/**
 * Limits an operation like ibt_options_add_include(), but takes the path
 * literally: raw bytes, relative to the snapshot's root, without "." and "..".
 * Slashes at either end are ignored.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL, the path is
 * empty or malformed, or there are 10,000 globs and paths already.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_add_path(ibt_options *options, const char *path);

/**
 * Restores this directory of the snapshot as the destination itself, instead
 * of the snapshot's root. For example with the root "etc", "etc/hosts" becomes
 * "hosts" in the destination. Globs and paths still begin at the snapshot's
 * root.
 *
 * Restore uses it; other operations fail with IBT_ERR_INVALID_ARG if it is
 * set. The restore returns IBT_ERR_NOT_FOUND if the snapshot has no such
 * directory.
 *
 * Default: "", the snapshot's root.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL or path is
 * malformed.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_root(ibt_options *options, const char *path);

/**
 * Sets the policy for entries that the destination of a restore has already:
 * one of IBT_OVERWRITE_*. A file that is right already is not written, and at
 * any moment each file has its old or its new content.
 *
 * A file in the destination may have hard links that are not in the snapshot,
 * in the destination or elsewhere. As in ibt_compare(), they do not count as a
 * difference: a file that is right stays linked with them. If only its
 * metadata is wrong, the restore replaces the file by a separate one, so that
 * the other links keep their metadata.
 *
 * Default: IBT_OVERWRITE_NEVER. Restore only; ignored elsewhere.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or policy is unknown.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_overwrite(ibt_options *options,
                                     int32_t policy);

/**
 * With 1 a restore over an existing tree (ibt_options_set_overwrite()) removes
 * the entries of the tree that the snapshot does not have, as far as globs,
 * paths and root reach. Only with 1 may a directory that is not empty be
 * removed to make way for an entry of another type.
 *
 * Entries that the backup saw and did not store stay, with everything below
 * them. The report has a note for each directory that holds entries left out
 * on request or by design (excluded names, sockets, other file systems, marked
 * caches, the backup's own store and cache): IBT_PROBLEM_SKIPPED. It has an
 * IBT_PROBLEM_OBSTRUCTED for each directory that holds entries that the backup
 * could not read. If the backup left out very many names in a directory,
 * everything extra in that directory stays.
 *
 * The following entries stay as well, and are listed as
 * IBT_PROBLEM_OBSTRUCTED:
 *
 * - everything in a directory that the backup could not list, and in a
 *   directory on a file system that does not distinguish upper and lower case;
 * - everything in a directory that holds a backup file, or a temporary file of
 *   a backup: it is the store of another backup;
 * - the storage's own directory, the cache, the paths of
 *   ibt_options_add_protected_path(), and the links and directories that lead
 *   to them;
 * - a directory on which something is mounted, also from the same file system,
 *   unless the snapshot has entries in it; a file on which something is
 *   mounted. If the system does not show mounts (before Linux 5.8 and without
 *   /proc): every directory of which the snapshot has no entry;
 * - entries that cannot be listed or examined. A restore makes the caller's
 *   own directories accessible for this, and restores their mode afterwards. A
 *   dry run does not, and counts such a directory as extra with everything in
 *   it.
 *
 * An extra directory with one of these inside stays and loses everything else
 * in it; it does not make way for another entry. But if something in it is
 * immutable or append-only, the directory stays whole: nothing of it is removed
 * before everything can be. In a directory of the snapshot that is immutable or
 * append-only, everything extra stays. Both are listed as
 * IBT_PROBLEM_OBSTRUCTED.
 *
 * Once the content of a file turns out to be lost, nothing extra is removed
 * any more, and a directory that is not empty is not removed to make way for
 * another entry: dest may still have that content under another name. This is
 * listed as IBT_PROBLEM_OBSTRUCTED. A dry run reads no contents, so it cannot
 * foresee this.
 *
 * Restore uses it; other operations fail with IBT_ERR_INVALID_ARG if it is
 * set.
 *
 * Default: 0. Every other number counts as 1.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_delete_extra(ibt_options *options,
                                        int32_t on);

/**
 * With 1 a restore that ends with an error, or is cancelled, leaves the
 * entries restored so far as dest. With 0 it leaves nothing where dest was
 * absent or empty. Each file of a partial tree is whole; directories may still
 * have the mode 0700 and other metadata than the snapshot's. A restore over
 * the partial tree (ibt_options_set_overwrite()) completes it. If somebody
 * else takes dest, or a name in it, meanwhile, the restored entries stay
 * beside or in dest, under a name that begins with "ibt-partial-"; the error
 * names it, and no restore removes it. Over an existing tree the entries
 * restored so far always stay. Restore only; ignored elsewhere.
 *
 * Default: 0. Every other number counts as 1.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_leave_partial(ibt_options *options,
                                         int32_t on);

/**
 * A prune keeps the n snapshots with the newest stamps. Rules add up: a
 * snapshot stays if any rule keeps it. If any rule is set, the snapshot with
 * the newest stamp stays as well.
 *
 * Default: 0, no such rule. Prune only; ignored elsewhere.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_keep_last(ibt_options *options, uint32_t n);

/**
 * A prune keeps every snapshot that was made at most `seconds` before the
 * snapshot with the newest stamp. The current time does not matter: even if
 * the newest snapshot is a month old, a span of one week keeps the snapshots
 * of the week before it. Rules add up: a snapshot stays if any rule keeps it.
 *
 * Default: 0, no such rule. Prune only; ignored elsewhere.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_keep_within(ibt_options *options,
                                       uint64_t seconds);

/**
 * A prune keeps the newest snapshot of each of the last n hours that have a
 * snapshot, in UTC (see ibt_options_set_local_time()). Rules add up: a
 * snapshot stays if any rule keeps it.
 *
 * Default: 0, no such rule. Prune only; ignored elsewhere.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_keep_hourly(ibt_options *options,
                                       uint32_t n);

/**
 * A prune keeps the newest snapshot of each of the last n days, in UTC (see
 * ibt_options_set_local_time()), that have a snapshot. Rules add up: a
 * snapshot stays if any rule keeps it.
 *
 * Default: 0, no such rule. Prune only; ignored elsewhere.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_keep_daily(ibt_options *options, uint32_t n);

/**
 * A prune keeps the newest snapshot of each of the last n weeks, in UTC (see
 * ibt_options_set_local_time()), that have a snapshot. A week begins on Monday.
 * Rules add up: a snapshot stays if any rule keeps it.
 *
 * Default: 0, no such rule. Prune only; ignored elsewhere.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_keep_weekly(ibt_options *options,
                                       uint32_t n);

/**
 * A prune keeps the newest snapshot of each of the last n months, in UTC (see
 * ibt_options_set_local_time()), that have a snapshot. Rules add up: a
 * snapshot stays if any rule keeps it.
 *
 * Default: 0, no such rule. Prune only; ignored elsewhere.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_keep_monthly(ibt_options *options,
                                        uint32_t n);

/**
 * A prune keeps the newest snapshot of each of the last n years, in UTC (see
 * ibt_options_set_local_time()), that have a snapshot. Rules add up: a
 * snapshot stays if any rule keeps it.
 *
 * Default: 0, no such rule. Prune only; ignored elsewhere.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_keep_yearly(ibt_options *options,
                                       uint32_t n);

/**
 * With 1 the hours, days, weeks, months and years of the rules of a prune are
 * those of the time zone of this machine (TZ, else the system's), including
 * its summer time: a day may have 23 or 25 hours. The zone of the machine that
 * runs the prune counts, not the zones in which the snapshots were made. Where
 * the clocks are set back, the hour that occurs twice counts as two. Prune
 * with the same zone each time: other days may keep other snapshots.
 *
 * Default: 0, UTC. Every other number counts as 1. Prune only; ignored
 * elsewhere.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_local_time(ibt_options *options, int32_t on);

/**
 * With 1 a backup, a restore or a prune changes nothing. It only reports the
 * changes that it would make, through callbacks and the report.
 *
 * A backup then reads the source, compares and compresses as usual, but stores
 * nothing: no backup file, no copy in the cache, no lock file. Its changes are
 * passed to the function of ibt_options_set_change(). The report has its
 * counters, and the kind and size of each backup file that it would make;
 * their paths, the snapshot and the digest are NULL. IBT_COUNT_BYTES_WRITTEN
 * counts the bytes that it would store. It does not wait for another backup,
 * and the storage need not be able to write.
 *
 * Other operations fail with IBT_ERR_INVALID_ARG if it is set.
 *
 * Default: 0. Every other number counts as 1.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_dry_run(ibt_options *options, int32_t on);

/**
 * With 1 an increment first reads everything that its parent needs, as
 * ibt_verify() does. It stores lost contents and signatures again, as far as
 * the source still has the files. Increments only; ignored elsewhere.
 *
 * - A file whose content is lost, or depends on lost bytes, is stored whole from
 *   the source, in its present version. A lost signature is made again if the
 *   file still has the recorded content.
 * - The report has a problem for each archive with losses, a note
 *   (IBT_PROBLEM_HEALED) for each file that was stored again, and a problem
 *   (IBT_PROBLEM_LOST) for each lost file that the source no longer has or
 *   cannot give now. So the increment that finds damage returns IBT_PARTIAL. The
 *   next one does not, unless the source still cannot give a lost file.
 * - An entry that the source cannot give now, because it is unreadable, is never
 *   dropped: the new snapshot has it as the parent has it, also if its content is
 *   damaged. Later increments, with or without this option, do not take over that
 *   content, but store the file again as soon as they can read it.
 * - Only the new snapshot and later ones are whole. Older snapshots that need
 *   the lost bytes have lost them for good, unless another copy of the store
 *   has them.
 * - Each byte of the archives that the parent needs is read about once. Without
 *   damage the increment stores the same bytes as without this option.
 * - An archive that cannot be read now ends the increment with the error of the
 *   storage. The exception is a read error of the disk in a directory (EIO): the
 *   archive is a problem (IBT_PROBLEM_UNREADABLE), and its files are stored again
 *   as if it was damaged, because a bad sector stays bad.
 * - A dry run reports the same, and stores nothing.
 *
 * Without this option an increment notices archives that are gone or have
 * another size, and stores again the contents that they held. It notices
 * damage inside an archive only in the bytes that it reads: see
 * IBT_DELTA_CONTENTS.
 *
 * Default: 0. Every other number counts as 1.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_heal(ibt_options *options,
                                int32_t on);

/**
 * The key of a backup's snapshot: the backup continues the series of snapshots
 * with this key, or begins a new one. Backups only: other operations take the
 * key as an argument and ignore this one.
 *
 * Default: the last component of the source's absolute path. A key has 1 to
 * 128 bytes of UTF-8 without '/' and control characters, and does not begin
 * with '.' or '-'.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or key is NULL or the key is
 * malformed.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_key(ibt_options *options, const char *key);

/**
 * The directory with copies of the newest states and signatures, so that an
 * increment need not fetch them from the storage. It may be removed at any
 * time. A relative path starts at the current directory of this call.
 *
 * "" means no cache: nothing is read from or written to one. An increment then
 * reads the states that the newest snapshot needs from the storage. For each
 * file that changed it reads the old signature, or, with IBT_DELTA_CONTENTS,
 * the old content. A layer that the storage lost cannot be put back then.
 *
 * Default: $XDG_CACHE_HOME/ibt or ~/.cache/ibt.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_cache_dir(ibt_options *options,
                                     const char *path);

/**
 * Protects the entry at a path and everything below it, whatever name is used
 * to reach it. A restore does not remove, replace or enter it, and lists a
 * snapshot entry that belongs in its place as IBT_PROBLEM_OBSTRUCTED. A backup
 * or comparison leaves it out, with a note. The path is resolved, including
 * links, when the operation begins; if there is nothing at the path, the
 * operation returns IBT_ERR_IO with ENOENT as ibt_error_os_code().
 *
 * Set this if a storage made of your own functions keeps its objects in a
 * directory. libibt protects a directory storage and the cache by itself. Each
 * call adds a path. Restores, backups and comparisons; ignored elsewhere.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL, path is
 * empty, or there are 10,000 protected paths already.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_add_protected_path(ibt_options *options,
                                          const char *path);

/**
 * Excludes the entries that match a pattern from a backup, from both sides of a
 * comparison, and from a restore. A pattern is one line as in a .gitignore file
 * at the root of the source, or of the snapshot, '!' included. Each call adds a
 * pattern; of two patterns that match, the later one decides.
 *
 * A restore neither writes an excluded entry, nor removes or replaces one that
 * exists in its destination, whether the snapshot has it or not. An entry of the
 * snapshot in whose place something excluded exists is listed as
 * IBT_PROBLEM_OBSTRUCTED.
 *
 * Other operations fail with IBT_ERR_INVALID_ARG if a pattern is set.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or pattern is NULL, the
 * pattern is empty, longer than 4096 bytes, not one line, malformed (a class
 * without end, a backslash at the end) or not UTF-8, or there are 10,000
 * patterns already.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_add_exclude(ibt_options *options,
                                   const char *gitignore_pattern);

/**
 * The name of exclude files: a file with this name, in any directory of the
 * source, holds patterns for its directory, as a .gitignore file does. Backups
 * and comparisons; ignored elsewhere.
 *
 * The exclude files of a directory and of all directories above it may
 * together have 1 MiB and 10,000 patterns. A file that exceeds this limit is
 * not used and is listed as a problem; the entries that its patterns match are
 * then backed up.
 *
 * Default: ".exclude". "" for none.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or name is NULL or name is
 * not a valid file name.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_exclude_file(ibt_options *options,
                                        const char *name);

/**
 * Selects the snapshot with exactly this stamp, such as
 * "20261122T220530.123456Z", instead of the newest. NULL selects the newest
 * again. This setter and ibt_options_set_as_of() replace each other: the last
 * call counts.
 *
 * Backups, consolidations and rebuilds of the cache fail with
 * IBT_ERR_INVALID_ARG if a snapshot is selected.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or stamp is not a
 * stamp.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_snapshot(ibt_options *options,
                                    const char *stamp);

/**
 * A prune removes the snapshot with this stamp. Each call adds a stamp, up to
 * 10,000. The prune removes all of these snapshots, and also the snapshot that
 * ibt_options_set_snapshot() or ibt_options_set_as_of() selects. If one of
 * them does not exist, the prune returns IBT_ERR_NOT_FOUND before it removes
 * anything.
 *
 * Default: none. Prune only; other operations fail with IBT_ERR_INVALID_ARG if
 * such a stamp is set.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or stamp is NULL, stamp is not
 * a stamp, or there are 10,000 already.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_add_removed(ibt_options *options,
                                   const char *stamp);

/**
 * Selects the last snapshot made at this time or before, in nanoseconds since
 * 1970, UTC. The time of a snapshot is ibt_report_snapshot_date(), exact to a
 * microsecond. Of two snapshots with the same time, the one with the later
 * stamp is selected. To select the last snapshot of a whole second, minute or
 * day, pass the last nanosecond of it. Take care with ibt_prune(): it removes
 * the selected snapshot even if that snapshot was made long before the given
 * time. To be safe, list the snapshots first and select one by its stamp.
 *
 * This setter and ibt_options_set_snapshot() replace each other: the last call
 * counts.
 *
 * Backups, consolidations and rebuilds of the cache fail with
 * IBT_ERR_INVALID_ARG if a snapshot is selected.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_as_of(ibt_options *options,
                                 int64_t unix_nanoseconds);

/**
 * The number of worker threads that an operation may start. They end before
 * the operation returns. Up to eight more threads read from a storage that has
 * IBT_STORAGE_THREAD_SAFE or is a bucket.
 *
 * The operation starts fewer threads where the system refuses more of them,
 * and where the process can open fewer than 16 + 4 n file descriptors.
 *
 * Default: 0, one for each core. At most 1024.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or n is too large.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_threads(ibt_options *options, uint32_t n);

/**
 * How an increment decides that a file is unchanged: one of IBT_DETECT_*.
 *
 * Default: IBT_DETECT_METADATA.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or rule is unknown.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_change_detection(ibt_options *options,
                                            int32_t rule);

/**
 * Sets how an increment makes the delta of a changed file: one of IBT_DELTA_*.
 * All deltas have the same format.
 *
 * Default: IBT_DELTA_AUTO.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or mode is unknown.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_delta(ibt_options *options, int32_t mode);

/**
 * With 1 a backup does not enter other file systems that are mounted in the
 * source, and a comparison does not enter those mounted in the tree. Their
 * mount points count as empty directories. Backups and comparisons; ignored
 * elsewhere.
 *
 * Default: 0. Every other number counts as 1.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_one_file_system(ibt_options *options,
                                           int32_t on);

/**
 * With 1 a directory with a valid CACHEDIR.TAG file is stored with that file
 * only, and without the rest of its entries. Backups and comparisons; ignored
 * elsewhere.
 *
 * Default: 0. Every other number counts as 1.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_skip_cache_dirs(ibt_options *options,
                                           int32_t on);

/**
 * The policy for a file that cannot be read or restored, and for every other
 * problem that would make the result IBT_PARTIAL: one of IBT_ON_ERROR_*.
 *
 * With IBT_ON_ERROR_STOP the operation returns the status of the first such
 * problem. That may be a status that the operation's comment does not list. The
 * project ids and the flags "immutable" and "append" of a restored tree are set
 * when nothing can be stopped any more: those that are refused are listed, and
 * the result is IBT_PARTIAL.
 *
 * Default: IBT_ON_ERROR_SKIP.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or policy is unknown.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_on_file_error(ibt_options *options,
                                         int32_t policy);

/**
 * With 1 a backup, full or incremental, accepts a source or host that differs
 * from that of the newest snapshot. With 0 it returns IBT_ERR_MISMATCH for such
 * a source. If source and host are the same but have other names now, pass the
 * recorded names to ibt_options_set_source_name() and ibt_options_set_host()
 * instead. Backups only; ignored elsewhere.
 *
 * Default: 0. Every other number counts as 1.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_allow_source_change(ibt_options *options,
                                               int32_t on);

/**
 * With 1 a backup, full or incremental, accepts an empty source although the
 * newest snapshot has entries. With 0 it returns IBT_ERR_MISMATCH for such a
 * source, because most often a mount is missing. With 1 a prune may remove all
 * snapshots of its key. With 0 it returns IBT_ERR_INVALID_ARG instead. Ignored
 * elsewhere.
 *
 * Default: 0. Every other number counts as 1.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_allow_empty(ibt_options *options,
                                       int32_t on);

/**
 * The metadata that a restore sets: IBT_META_* bits, 0 for nothing but
 * content. Restore only; ignored elsewhere.
 *
 * Default: all bits, but IBT_META_OWNER only with privilege: for root, or with
 * the capability to change owners (CAP_CHOWN).
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or mask has an
 * unknown bit.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_restore_metadata(ibt_options *options,
                                            uint32_t mask);

/**
 * The tree digest ("blake3:" and 64 hex digits) that the selected snapshot
 * must have. If it has another one, the operation returns IBT_ERR_MISMATCH
 * before it reads anything but states. Operations that select no snapshot,
 * and ibt_list_snapshots() and ibt_prune(), fail with IBT_ERR_INVALID_ARG if a
 * digest is set.
 *
 * Default: none; every digest is accepted.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or tree_digest is NULL or
 * tree_digest is not a digest.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_expected_digest(ibt_options *options,
                                           const char *tree_digest);

/**
 * The time in milliseconds that an operation waits for another one that holds
 * the same key. After that it returns IBT_ERR_BUSY. -1 means without limit.
 *
 * Backups and consolidations wait for each other. A prune waits for every other
 * operation, and every other operation waits for a prune. Nothing else waits:
 * operations that only read run beside backups.
 *
 * A prune that waits keeps later operations out of the key for one second, then
 * lets them in for one second. Each time both spans double, up to 256 seconds.
 * An operation that waits longer than that gets the key before the prune does.
 *
 * Default: 0, does not wait.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or milliseconds is
 * less than -1.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_lock_wait(ibt_options *options,
                                     int64_t milliseconds);

/**
 * With 1 an increment makes no snapshot if nothing changed: every entry is as in
 * the newest snapshot, the backup left out the same entries, the source, the
 * host and the labels are the same, and the report has no problem besides
 * notes. The operation then returns IBT_OK, its report has no files
 * (ibt_report_file_count()), and ibt_report_snapshot() is the newest snapshot.
 * Other operations ignore the option.
 *
 * Default: 0, every increment makes a snapshot. Every other number counts as 1.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_skip_unchanged(ibt_options *options,
                                          int32_t on);

/**
 * With 1 backups, prunes and consolidations go on where nothing can be locked:
 * the file system of the storage has no locks, or the name of the lock belongs
 * to something that is not a file. With 0 they return IBT_ERR_UNSUPPORTED
 * there. With 1 the caller guarantees that nobody else writes to the key
 * meanwhile: two writers at the same time can remove files that the other one
 * needs. Operations that only read go on without a lock in any case, with a
 * note (IBT_PROBLEM_UNLOCKED). Ignored elsewhere.
 *
 * Default: 0. Every other number counts as 1.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_allow_unlocked(ibt_options *options,
                                          int32_t on);

/**
 * The compression of backup files. `codec` is one of IBT_COMPRESSION_*.
 * `level` is for IBT_COMPRESSION_ZSTD: 1 (fast) to 19 (small); 0 means 3. Each
 * file records how it is compressed, so one series may mix codecs and levels.
 *
 * Default: IBT_COMPRESSION_ZSTD, 3.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL, codec is unknown or
 * level is out of range.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_compression(ibt_options *options,
                                       int32_t codec,
                                       int32_t level);

/**
 * The greatest size of a file that is stored, in bytes, for storages that limit
 * it: a longer archive is stored in parts of at most this size. The first part
 * has the archive's name, and the name of each further part ends in its number:
 * `.00002`, `.00003` and so on. The parts joined in this order are a file that
 * zstd and tar read. A lost part costs only the contents that lie in it.
 *
 * A file system of the type FAT stores at most 4,294,967,295 bytes in a file.
 * Parts of less than 16 MiB make archives a little longer. States are not
 * divided; a state is much smaller than its archives.
 *
 * Backups and consolidations; ignored elsewhere. Each backup of a series may
 * have another size of parts. They return IBT_ERR_LIMIT if an archive
 * would have more than 65,536 parts, or if all archives that the snapshot needs
 * have more parts together than its state can name: about 160,000 to 270,000, by
 * the length of the key, and fewer if there are many problems. A backup notices
 * the latter at its end. Then set a greater size of parts, and consolidate or
 * make a full backup.
 *
 * If a process is killed while it writes parts into a storage of functions, the
 * parts stay there until the next prune of the key.
 *
 * Default: 0, archives in one file. Else at least IBT_PART_SIZE_MIN.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or bytes is too small.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_part_size(ibt_options *options,
                                     uint64_t bytes);

/**
 * How often a long full backup notes how far it is, in bytes of the source:
 * each time that it has read this many, it publishes a partial state. If the
 * backup is killed or fails, the next ibt_full_backup() of the key goes on from
 * there: it takes over the files that did not change since then, and reads the
 * others (IBT_COUNT_BYTES_ALREADY_STORED counts the bytes that it took over).
 * A partial state is no snapshot, and no other operation uses it. ibt_prune()
 * keeps the newest one, with the files that it names, until the key has a
 * newer snapshot; with 0 it removes all, for example to free space after
 * backups that failed because the storage is full.
 *
 * A full that publishes partial states stores its archives in parts, also
 * without ibt_options_set_part_size(). While it runs, it keeps a copy of its
 * state in $TMPDIR; without room for it, it publishes no more. A backup that
 * has to read less than this many bytes publishes none, and stores the same
 * files as without the option. So does a backup whose storage has no function
 * to delete.
 *
 * A partial state is used only if it is newer than every snapshot of the key
 * (so make the full again before an increment), of the same source and host,
 * and if it and its files are undamaged. Else the report has a note
 * (IBT_PROBLEM_LEFTOVER), and the backup begins from zero. If one of these
 * files cannot be read now, the backup fails, and the files stay: try again, or
 * set 0 to begin from zero. If the storage is not cheap to read, only the files
 * that were stored last are read to find damage: ibt_verify() reads all.
 * Metadata of unchanged files are taken over too, as increments do.
 *
 * A snapshot needs the archives of the fulls that it went on from as long as it
 * exists, also if most of their content changed before the last one. Set 0, or
 * use ibt_consolidate() later, if that takes too much space.
 *
 * Full backups and prunes; ignored elsewhere.
 *
 * Default: 4 GiB. 0: a full publishes no partial state, and uses none.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_checkpoint(ibt_options *options,
                                      uint64_t bytes);

/**
 * ==== Cancelling ====
 *
 * Makes an object without a request to stop. Never returns NULL.
 *
 * Since: 0.1
 */
IBT_API ibt_cancel *ibt_cancel_new(void);

/**
 * Asks every operation that has this object in its options to stop: running
 * operations return IBT_ERR_CANCELLED soon, later operations at once. A backup
 * that is committed already returns as if there were no request. NULL is
 * ignored.
 *
 * Any thread, and any signal handler: async-signal-safe.
 *
 * Since: 0.1
 */
IBT_API void ibt_cancel_request(ibt_cancel *cancel);

/**
 * 1 if ibt_cancel_request() was called, else 0; 0 for NULL.
 *
 * Any thread, and any signal handler: async-signal-safe.
 *
 * Since: 0.1
 */
IBT_API int32_t ibt_cancel_requested(const ibt_cancel *cancel);

/**
 * Frees the object. NULL is ignored. No signal handler may use it any more.
 *
 * Since: 0.1
 */
IBT_API void ibt_cancel_free(ibt_cancel *cancel);

/**
 * ==== Progress ====
 *
 * The current phase of the operation: one of IBT_PHASE_*; 0 for NULL.
 *
 * Since: 0.1
 */
IBT_API int32_t ibt_progress_phase(const ibt_progress *now);

/**
 * The item that the operation works on, as raw bytes. Normally this is the
 * path of an entry, relative to the source or the snapshot's root. While
 * states are read (IBT_PHASE_SCAN of a list, a prune or a verify) and while
 * backup files are removed (IBT_PHASE_DELETE), it is the name of the backup
 * file in the storage.
 *
 * Never NULL: "" for the root, between entries, and for NULL. Borrowed until
 * the callback returns.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_progress_path(const ibt_progress *now);

/**
 * Bytes done in this phase; 0 for NULL.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_progress_done_bytes(const ibt_progress *now);

/**
 * Bytes to do in this phase, those done included; 0 while unknown, and for
 * NULL.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_progress_total_bytes(const ibt_progress *now);

/**
 * Entries done in this phase; 0 for NULL.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_progress_done_entries(const ibt_progress *now);

/**
 * Entries to do in this phase, those done included; 0 while unknown, and for
 * NULL.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_progress_total_entries(const ibt_progress *now);

/**
 * ==== Storage ====
 *
 * Opens a directory as a storage. `flags` is a sum of IBT_DIR_*, or 0. Unless
 * the flags say otherwise, the directory need not exist: the first backup
 * makes it with mode 0700, in a directory that exists, and removes it again if
 * it stores nothing. A relative path starts at the current directory of this
 * call: a later chdir changes nothing. Only regular files in the directory
 * count as backup files.
 *
 * `*out` is set to NULL first. After IBT_OK it holds the storage, which the
 * caller owns.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if path or out is NULL, path is empty,
 * flags has an unknown bit, or flags has IBT_DIR_CREATE_PARENTS together with
 * another flag; IBT_ERR_NOT_FOUND if the directory must exist and does not;
 * IBT_ERR_IO if it must exist and cannot be opened, or path is relative and
 * there is no current directory.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_storage_open_dir(const char *path,
                                uint32_t flags,
                                ibt_storage **out,
                                ibt_error **err);

/**
 * Opens the default directory as a storage: $TMPDIR (or $TEMP, $TMP, /tmp) +
 * "/ibt-UID", mode 0700. It is meant for experiments, because a system may
 * empty its temporary directory at any time. The directory need not exist: the
 * first backup makes it.
 *
 * `*out` is set to NULL first. After IBT_OK it holds the storage, which the
 * caller owns.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if out is NULL; IBT_ERR_IO if the
 * directory cannot be opened, belongs to another user, is open to other users
 * or is a symbolic link. Operations verify the last three too.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_storage_open_default(ibt_storage **out, ibt_error **err);

/**
 * Makes a storage from functions of the caller. It has no functions yet: add
 * them with the setters below. Never returns NULL.
 *
 * `ud` is passed to each of the functions. `destroy` releases `ud`; it may be
 * NULL. libibt calls it once, when the storage was freed and the last call
 * that uses it has ended.
 *
 * A storage holds OBJECTS. Each object has a name and a sequence of bytes;
 * there are no directories. libibt creates an object, reads it, and may delete
 * it, but never changes it. A name has at most 200 bytes of UTF-8 and contains
 * no '/', no NUL and no control character. Set the functions that your storage
 * supports:
 *
 *   ibt_storage_set_reader()   every operation needs it
 *   ibt_storage_set_list()     every operation needs it
 *   ibt_storage_set_writer()   backups and consolidations need it
 *   ibt_storage_set_delete()   removing snapshots needs it
 *   ibt_storage_set_lock()     optional
 *   ibt_storage_set_traits()   optional, no function
 *
 * An operation that needs a function which is not set returns
 * IBT_ERR_UNSUPPORTED before it calls any function, and its error names the
 * setter. A snapshot exists as soon as its state is committed, which is one
 * object. libibt commits it after all others: a run that fails half-way leaves
 * no objects, or objects that no state names, but never half a snapshot. Parts
 * of archives (ibt_options_set_part_size()) are committed one after the other
 * while a backup runs. If the backup fails, they are deleted again, if the
 * storage can delete. Parts that are not deleted, also those of a process that
 * was killed, stay until the next prune of the key. A long full also commits
 * partial states (ibt_options_set_checkpoint()); if it fails, the last one
 * stays, with the parts that it names.
 *
 * Every function except ibt_abort_fn and ibt_unlock_fn returns
 * IBT_CALLBACK_OK, or a number that says why it failed. IBT_ERR_NOT_FOUND,
 * IBT_ERR_EXISTS, IBT_ERR_BUSY, IBT_ERR_CANCELLED and IBT_ERR_UNSUPPORTED
 * become the status of the operation, and IBT_ERR_CORRUPT of an
 * ibt_read_at_fn means damage. Every other number that is not positive
 * becomes IBT_ERR_STORAGE. That includes 0, which is IBT_OK: do not return
 * IBT_OK from these functions. ibt_storage_fail() adds a reason.
 *
 * The functions run on the thread that called the operation, one at a time,
 * and never outside of an operation. The exception is the ibt_read_at_fn of a
 * storage with IBT_STORAGE_THREAD_SAFE: it also runs on threads of libibt,
 * several times at once, and beside the other functions. While a function
 * runs, the storage is busy: operations and setters called with it return
 * IBT_ERR_BUSY.
 *
 * Since: 0.1
 */
IBT_API ibt_storage *ibt_storage_new(void *ud, ibt_destroy_fn destroy);

/**
 * Closes a storage; stored files are not touched. If a call is using the
 * storage, it is closed when that call ends. NULL is ignored.
 *
 * Since: 0.1
 */
IBT_API void ibt_storage_free(ibt_storage *storage);

/**
 * Sets the functions that write an object: create, write, and then either
 * commit or abort. Replaces earlier ones.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if storage or a function is NULL or the
 * storage is a directory; IBT_ERR_BUSY while an operation uses it.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_storage_set_writer(ibt_storage *storage,
                                  ibt_create_fn create,
                                  ibt_write_fn write,
                                  ibt_commit_fn commit,
                                  ibt_abort_fn abort);

/**
 * Sets the function that reads a range of an object. Replaces an earlier one.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if storage or read_at is NULL or the
 * storage is a directory; IBT_ERR_BUSY while an operation uses it.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_storage_set_reader(ibt_storage *storage,
                                  ibt_read_at_fn read_at);

/**
 * Sets the function that lists objects. Replaces an earlier one.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if storage or list is NULL or the
 * storage is a directory; IBT_ERR_BUSY while an operation uses it.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_storage_set_list(ibt_storage *storage, ibt_list_fn list);

/**
 * Sets the function that removes an object. Replaces an earlier one.
 *
 * Without it no snapshot can be removed. Objects that a failed backup
 * committed before its state then stay in the storage. They take space and do
 * no other harm, because no snapshot names them.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if storage or remove is NULL or the
 * storage is a directory; IBT_ERR_BUSY while an operation uses it.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_storage_set_delete(ibt_storage *storage,
                                  ibt_delete_fn remove);

/**
 * Sets the functions that allow one writer at a time for each key. Replaces
 * earlier ones.
 *
 * Operations that change the storage hold the lock of their key: backups,
 * consolidations and prunes. Operations that only read take no lock: if a
 * snapshot is removed while it is restored, the restore reports it as missing.
 *
 * Without these functions the caller must prevent two writers of one key. Two
 * backups of one key at the same time then make two whole snapshots with one
 * parent, or one of them returns IBT_ERR_BUSY. Files that failed runs left are
 * not removed automatically, because they might belong to another run;
 * ibt_prune() removes them once a newer snapshot exists.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if storage or a function is NULL or the
 * storage is a directory; IBT_ERR_BUSY while an operation uses it.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_storage_set_lock(ibt_storage *storage,
                                ibt_lock_fn lock,
                                ibt_unlock_fn unlock);

/**
 * Sets the traits of a storage: a sum of IBT_STORAGE_*, or 0. Replaces an
 * earlier sum. With IBT_DELTA_AUTO, an increment reads old contents from the
 * storage only if it has IBT_STORAGE_READS_CHEAPLY. With
 * IBT_STORAGE_THREAD_SAFE, the ibt_read_at_fn also runs on threads of libibt.
 *
 * Default: 0.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if storage is NULL, the storage is a
 * directory or traits has an unknown bit; IBT_ERR_BUSY while an operation uses
 * it.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_storage_set_traits(ibt_storage *storage,
                                  uint32_t traits);

/**
 * Records why the running function of a storage is about to fail. `os_code` is
 * the system's error number (errno) or 0. `msg` is one line of UTF-8 for
 * people, which is copied; NULL means the system's text for os_code. The
 * operation's error contains both. Each call replaces the one before.
 *
 * Call it while a function of the storage runs, on any thread; if several run
 * at once (IBT_STORAGE_THREAD_SAFE), on the thread of the one that fails. At
 * other times, or if the function then succeeds, it has no effect. While a
 * function runs, the storage is valid also after ibt_storage_free(), for
 * example because a snapshot of it is open. `storage` may be NULL on the
 * thread on which the function runs, so a function need not know its storage.
 *
 * Returns IBT_OK, which is 0, so that a function can fail with `return
 * ibt_storage_fail(...)`. IBT_ERR_INVALID_ARG if storage is a directory, or is
 * NULL and no function of a storage runs on this thread.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_storage_fail(ibt_storage *storage,
                            int32_t os_code,
                            const char *msg);

/**
 * Adds an object to a listing. An ibt_list_fn calls it on its own thread, once
 * for each object. Copies the name; `size` is in bytes.
 *
 * Ignores a name that does not begin with the requested prefix, is not the
 * name of a backup file, is not UTF-8, or was added before.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if out or name is NULL. Do not return
 * this IBT_OK from the ibt_list_fn, where 0 is a failure: return
 * IBT_CALLBACK_OK.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_list_add(ibt_list *out, const char *name, uint64_t size);

/**
 * Opens the storage of a URL:
 *
 *   s3://BUCKET/PREFIX       Amazon S3, and every service with its protocol
 *   gs://BUCKET/PREFIX       Google Cloud Storage
 *   az://CONTAINER/PREFIX    Azure Blob Storage
 *   file:///PATH             the same as ibt_storage_open_dir() with PATH
 *
 * PREFIX may be empty; the key of each object is PREFIX/NAME. Characters in
 * PREFIX and PATH may be written as %XX. Credentials, the region and the
 * address of the service come from the environment (AWS_*, GOOGLE_*, AZURE_*)
 * and from the standard files, never from the URL. docs/object-stores.md has
 * the settings, the permissions that each operation needs, and the number of
 * its requests.
 *
 * This call sends no request to the bucket: a wrong name or a missing
 * permission is an error of the first operation. An object is never replaced.
 * A request that fails for a reason that may pass is repeated for about a
 * minute. A cancelled operation returns within a second. A failure is
 * IBT_ERR_STORAGE, and its message has the words of the service;
 * ibt_error_os_code() is EACCES if the service permits too little. A bucket has
 * no locks: see ibt_storage_set_lock() for the rules without them. A bucket that
 * permits only reads can be restored, listed and verified.
 *
 * The storage of a bucket has a thread for the network. It ends in
 * ibt_storage_free(); its signals are blocked. A child process after fork()
 * must open a storage of its own.
 *
 * `*out` is set to NULL first. After IBT_OK it holds the storage, which the
 * caller owns.
 *
 * Returns IBT_OK; IBT_ERR_UNSUPPORTED if libibt was built without object
 * stores (IBT_OBJECT_STORE in CMake); IBT_ERR_INVALID_ARG if url or out is
 * NULL, the URL is malformed or has a user, a query or a fragment, there are no
 * credentials, or a setting of the environment is wrong; IBT_ERR_NOT_FOUND if
 * the profile that AWS_PROFILE names does not exist; IBT_ERR_IO if a file of
 * credentials cannot be read or no thread can be started.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_storage_open_url(const char *url,
                                ibt_storage **out,
                                ibt_error **err);

/**
 * ==== Operations ====
 *
 * Makes a full backup of the directory `source`: a new snapshot that needs no
 * older one.
 *
 * The report lists the new backup files. `*report` and `*err` are set as
 * described at the top of this header; report and err may be NULL.
 *
 * The backup leaves out the storage's own directory, the cache and the paths
 * of ibt_options_add_protected_path(), wherever they lie in the source. The
 * report has a note for each, IBT_PROBLEM_SKIPPED.
 *
 * If an earlier full backup of the key was killed or failed after it had read
 * some GiB, this one goes on from there: see ibt_options_set_checkpoint(). So an
 * error or a cancel may leave files for the next full.
 *
 * The newest snapshot of the key records which source and host belong to the
 * key. If its state is damaged, the report lists a problem, and the next older
 * snapshot is used instead.
 *
 * Returns IBT_OK; IBT_PARTIAL if entries could not be read or changed while
 * they were read, or a state is damaged; IBT_ERR_INVALID_ARG if source is NULL
 * or empty, a setter of options failed, an option has no use here (a snapshot,
 * globs, paths, a root, delete_extra, an expected digest), the source is the
 * storage's directory itself, or no key is set and the source's name is not a
 * valid key; IBT_ERR_IO if the source cannot be opened
 * (ibt_error_os_code() is ENOENT if it does not exist, ENOTDIR if it is not a
 * directory) or the storage failed; IBT_ERR_MISMATCH if the newest snapshot is
 * of another source or host (see ibt_options_set_allow_source_change()), or
 * the source is empty although the newest snapshot has entries (see
 * ibt_options_set_allow_empty()); IBT_ERR_FORMAT if a newer libibt made that
 * snapshot; IBT_ERR_BUSY if the storage or the key is in use, or the key was
 * changed meanwhile; IBT_ERR_UNSUPPORTED if the storage lacks a function;
 * IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with
 * IBT_ON_ERROR_STOP the first problem's status.
 *
 * After an error there is no new snapshot, with one exception: if the storage
 * fails at the very end (IBT_ERR_IO, IBT_ERR_STORAGE), there may be a whole
 * snapshot; ibt_list_snapshots() shows it.
 *
 * With ibt_options_set_dry_run() the call makes no snapshot. It reports the
 * changes and the backup files that it would make.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_full_backup(ibt_storage *storage,
                           const char *source,
                           const ibt_options *options,
                           ibt_report **report,
                           ibt_error **err);

/**
 * Makes an increment: a new snapshot of `source` that stores only the changes
 * since the newest snapshot of its key. It is restored like a full one.
 *
 * Arguments and report as for ibt_full_backup(). An unreadable entry keeps its
 * previous version; it never counts as deleted. If a backup file of the newest
 * snapshot is gone or has a wrong size, the increment stores again the
 * contents that the file held, as far as the source still has them. With
 * ibt_options_set_skip_unchanged() it makes no snapshot if nothing changed.
 *
 * Returns the statuses of ibt_full_backup(), and: IBT_PARTIAL also if such a
 * backup file is gone or has a wrong size (but not if it holds signatures that
 * the cache has, see ibt_rebuild_cache()); IBT_ERR_NOT_FOUND if the key has no
 * snapshot to build on, IBT_ERR_CORRUPT or IBT_ERR_MISSING if it has, but the
 * states of all are damaged: make a full backup first.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_incremental_backup(ibt_storage *storage,
                                  const char *source,
                                  const ibt_options *options,
                                  ibt_report **report,
                                  ibt_error **err);

/**
 * Restores a snapshot of `key`, the newest or the one that options select, as
 * the directory `dest`. Without an overwrite policy dest must be absent or
 * empty; the tree then appears whole, after everything is written and checked.
 * ibt_options_add_include(), ibt_options_add_path() and ibt_options_set_root()
 * limit the restore to a part of the snapshot. With ibt_options_set_dry_run()
 * it reports the changes that it would make and writes nothing. A dry run does
 * not read stored contents, so it finds no damage in them.
 *
 * If dest exists and a policy is set (ibt_options_set_overwrite()), the
 * restore works in place, entry by entry. The policy decides about each
 * existing entry, and at any moment each file has its old or its new content.
 * A directory that globs and paths do not match, but that leads to entries that
 * they match, stays as it is. Entries that the snapshot does not have stay,
 * unless ibt_options_set_delete_extra() removes them.
 *
 * In a new and in an existing tree, an entry that the destination refuses is
 * listed as IBT_PROBLEM_OBSTRUCTED, and the others are restored. Reasons for a
 * refusal: a directory that is not empty is in the place of a file; the file
 * system has no symbolic links, does not allow the name, or treats two names
 * as one; the entry's place is the storage's own directory, the cache or a
 * protected path (ibt_options_add_protected_path()), or lies in one of them.
 * If a directory is refused, everything below it is left out, and only the
 * directory is listed. A name that cannot be linked to the other names of its
 * file becomes a file of its own, which is listed as IBT_PROBLEM_METADATA.
 * Only a failure that every further entry would meet ends the restore, such as
 * a full file system (see ibt_options_set_leave_partial()).
 *
 * A restore that was killed leaves its work beside or in dest, under a name
 * that begins with ".ibt-tmp-restore-". The next restore of dest removes it if
 * it is on dest's file system and no running restore uses it. The name has a
 * mark of the machine that made it. A restore on another machine may be
 * running, and its locks may be invisible here (NFS), so its work is removed
 * only when nothing in it has changed for a week. A file or directory that may
 * be in use stays, and is listed as IBT_PROBLEM_LEFTOVER. Backups and
 * comparisons leave such names out (IBT_PROBLEM_SKIPPED).
 *
 * The change callback receives the action for each entry, as a change from
 * dest to the snapshot:
 *
 *   IBT_CHANGE_CREATED    made in an empty place
 *   IBT_CHANGE_CONTENT    put in the place of another entry or content
 *   IBT_CHANGE_METADATA   only its metadata was set
 *   IBT_CHANGE_KEPT       left by the policy although its type, size or
 *                         modification time differs; counted as
 *                         IBT_COUNT_UNCHANGED too
 *   IBT_CHANGE_DELETED    removed
 *
 * The callback is not called for an entry that is right already. If the policy
 * leaves another entry in the place of a directory, nothing below that
 * directory is restored. `before` has only the values that lstat() gives: the
 * target of a link is "", user and group are NULL, hash, hard links and
 * extended attributes are unknown, and a socket appears as a FIFO.
 *
 * If libibt has no snapshot that the options select, but incremental-backups-tools
 * 0.1, the Python ancestor of libibt, has such a backup of `key`, the call
 * restores that one, with the little that the ancestor records (see
 * ibt_import()). The call needs space in $TMPDIR for two copies of the tree.
 *
 * `*report` and `*err` as for ibt_full_backup(), with one difference: the
 * report lists the backup files that the snapshot needs.
 *
 * Returns IBT_OK; IBT_PARTIAL if stored bytes are damaged or missing, some
 * metadata could not be set, or the destination refused an entry: the entries
 * listed in the report are not restored, or not entirely; IBT_ERR_INVALID_ARG
 * if key or dest is NULL or malformed, a setter of options failed, or an
 * existing dest lies in the storage's own directory, the cache or a protected
 * path; IBT_ERR_NOT_FOUND if there is no
 * such snapshot, or a glob, a path or the root matches nothing in it;
 * IBT_ERR_EXISTS if dest exists and is not an empty directory (with an
 * overwrite policy: is not a directory); IBT_ERR_MISMATCH if the snapshot's
 * digest is not the expected one; IBT_ERR_CORRUPT if its state is damaged,
 * IBT_ERR_MISSING if a state that it needs as a layer is gone, IBT_ERR_FORMAT if a newer libibt made it;
 * IBT_ERR_UNSUPPORTED if the storage lacks a function; IBT_ERR_BUSY, IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_LIMIT,
 * IBT_ERR_CANCELLED, IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's status, which may be IBT_ERR_CORRUPT
 * for damaged contents and IBT_ERR_MISSING for missing ones.
 *
 * After an error a dest that was absent or empty is as it was, with two
 * exceptions: ibt_options_set_leave_partial() keeps the entries restored so
 * far; and if the system fails at the very end (IBT_ERR_IO), dest may be
 * complete. In an existing tree the entries restored so far always stay.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_restore(ibt_storage *storage,
                       const char *key,
                       const char *dest,
                       const ibt_options *options,
                       ibt_report **report,
                       ibt_error **err);

/**
 * Lists the snapshots of `key`, or of every key if key is NULL, oldest first:
 * see ibt_report_snapshot_count(). If options select a snapshot, the report
 * lists that one, and all backup files that it needs: see
 * ibt_report_file_count().
 *
 * A backup of incremental-backups-tools 0.1, the Python ancestor of libibt, is
 * listed too, unless it is imported (ibt_import()). Its state is read whole. It
 * is selected only where libibt has no snapshot.
 *
 * Unless options select a snapshot, the call reads only a few KiB of each
 * state, however long the state is. It finds damage of these bytes;
 * ibt_verify() finds all damage. Archives that no state names and whose own
 * state is gone are a note (IBT_PROBLEM_LEFTOVER), unless a backup of the key
 * may be making them now.
 *
 * `*report` and `*err` as for ibt_full_backup().
 *
 * Returns IBT_OK, also for a storage without snapshots; IBT_PARTIAL if a
 * state, or an older state that it needs, is damaged or was made by a newer
 * libibt, if a backup file that a snapshot needs is gone or has a wrong size,
 * or if a symbolic link, a FIFO or the like has the name of a state (a copy of
 * a state under another key is a note); IBT_ERR_IO if a state cannot be read
 * at the moment, after the other snapshots were listed; IBT_ERR_INVALID_ARG if
 * key is malformed, key is NULL although options select a snapshot, a setter
 * of options failed, or an option has no use here (filters, a root,
 * delete_extra, an expected digest, dry_run); IBT_ERR_NOT_FOUND if the storage
 * is a directory that does not exist, or key is given and has no snapshot or
 * not the selected one; IBT_ERR_CORRUPT if the state of the selected snapshot
 * is damaged, IBT_ERR_MISSING if a state that it needs as a layer is gone,
 * IBT_ERR_FORMAT if a newer libibt made it; IBT_ERR_UNSUPPORTED if the storage
 * lacks a function; IBT_ERR_BUSY, IBT_ERR_STORAGE, IBT_ERR_LIMIT,
 * IBT_ERR_CANCELLED, IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's
 * status.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_list_snapshots(ibt_storage *storage,
                              const char *key,
                              const ibt_options *options,
                              ibt_report **report,
                              ibt_error **err);

/**
 * Reads everything that snapshots need and compares it with its hashes: each
 * state, each archive, each content as a restore would write it, and each
 * signature. Verifies all snapshots of `key`, or of every key if key is NULL.
 * If options select a snapshot, verifies that one; with an expected digest and
 * no selection, the newest one. ibt_options_set_verify() and
 * ibt_options_set_verify_part() make it read less. Changes nothing. Backups of
 * the Python ancestor are verified only after their import (ibt_import()).
 *
 * `*report` and `*err` as for ibt_full_backup(). A loss does not end the
 * operation. Each loss is a problem that names the path, the backup file
 * (ibt_report_problem_file()), the snapshot and, in its message, the expected
 * and the found value. Its kind is IBT_PROBLEM_MISSING if the file is gone,
 * IBT_PROBLEM_UNREADABLE if the file cannot be read at the moment, else
 * IBT_PROBLEM_DAMAGED. A file that cannot be read does not end the operation
 * either, but the call returns the first such error at its end. A loss that
 * concerns several snapshots is listed once for each of them.
 *
 * A problem without a path concerns a whole backup file: no path of the
 * snapshot is known to be affected. A problem in a "sigvault" file loses no
 * content; it means that the next change of the path is stored whole. The
 * report lists each verified snapshot with the number of its losses as
 * IBT_COUNT_PROBLEMS, and with a reason such as "3 losses", or "" if the
 * snapshot is whole. A snapshot whose state cannot be read appears as a
 * problem only. Archives without a state, and copies of states, are notes as
 * for ibt_list_snapshots(). An archive or a content that several snapshots
 * share is read once; if a key has more than a million contents, perhaps more
 * often.
 *
 * Returns IBT_OK if all is as it was written, also for a storage that holds
 * nothing; IBT_PARTIAL if anything is damaged or missing, a state was made by
 * a newer libibt, or a symbolic link, a FIFO or the like has the name of a
 * state; IBT_ERR_INVALID_ARG if key is malformed, key is NULL although options
 * select a snapshot or expect a digest, a setter of options failed, or an
 * option has no use here (filters, a root, delete_extra, dry_run);
 * IBT_ERR_NOT_FOUND if key is given and has no snapshot or not the selected
 * one; IBT_ERR_CORRUPT if the state of the selected snapshot is damaged,
 * IBT_ERR_MISSING if a state that it needs as a layer is gone, IBT_ERR_FORMAT
 * if a newer libibt made it; IBT_ERR_MISMATCH if its digest is not the
 * expected one; IBT_ERR_UNSUPPORTED if the storage cannot be read;
 * IBT_ERR_BUSY, IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
 * IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's status.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_verify(ibt_storage *storage,
                      const char *key,
                      const ibt_options *options,
                      ibt_report **report,
                      ibt_error **err);

/**
 * Compares a snapshot of `key`, the newest or the one that options select,
 * with the directory `tree`. Passes every difference to the change callback,
 * as a change from the snapshot to the tree:
 *
 *   IBT_CHANGE_CREATED    the entry is only in the tree
 *   IBT_CHANGE_DELETED    the entry is only in the snapshot
 *   IBT_CHANGE_CONTENT    other bytes, or another type, link target or device
 *   IBT_CHANGE_METADATA   another mode, owner, modification time, extended
 *                         attribute, inode flag or project id, or a file
 *                         with other hard links
 *
 * The report counts the differences.
 *
 * The tree is walked as in a backup: its exclude files are obeyed, and the
 * storage's directory and the cache are left out. A pattern of
 * ibt_options_add_exclude() leaves entries out of both sides. Globs and paths
 * limit the comparison. Every file that has the same size on both sides is
 * read, whatever its times and ibt_options_set_change_detection() say, so that
 * silent damage is found. With ibt_options_set_metadata_only() no file is
 * read. Holes, ctimes, inode numbers and the names of users and groups are not
 * compared. Nothing is written, and no link of the tree is followed. Progress
 * is reported as IBT_PHASE_VERIFY.
 *
 * `*report` and `*err` as for ibt_full_backup().
 *
 * Returns IBT_OK, with or without differences; IBT_PARTIAL if entries of the
 * tree could not be read, which the report lists; IBT_ERR_INVALID_ARG if key
 * or tree is NULL or malformed, a setter of options failed, or an option has
 * no use here (a root, delete_extra, dry_run); IBT_ERR_NOT_FOUND if there is
 * no such snapshot, or if a glob or path matches on neither side (returned
 * only at the end, after all changes); IBT_ERR_IO if tree cannot be opened
 * (ibt_error_os_code() is ENOENT if it does not exist, ENOTDIR if it is not a
 * directory) or the storage failed; IBT_ERR_MISMATCH if the snapshot's digest
 * is not the expected one; IBT_ERR_CORRUPT if its state is damaged,
 * IBT_ERR_MISSING if a state that it needs as a layer is gone, IBT_ERR_FORMAT
 * if a newer libibt made it; IBT_ERR_UNSUPPORTED if the storage lacks a
 * function; IBT_ERR_BUSY, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
 * IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's status.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_compare(ibt_storage *storage,
                       const char *key,
                       const char *tree,
                       const ibt_options *options,
                       ibt_report **report,
                       ibt_error **err);

/**
 * Compares two opened snapshots, of one key or of different keys and storages.
 * Passes every difference to the change callback, in the order of paths, as a
 * change from `before` to `after`:
 *
 *   IBT_CHANGE_CREATED    the entry is only in `after`
 *   IBT_CHANGE_DELETED    the entry is only in `before`
 *   IBT_CHANGE_CONTENT    other bytes, or another type, link target or device
 *   IBT_CHANGE_METADATA   another mode, owner, modification time, extended
 *                         attribute, inode flag or project id, or a file
 *                         with other hard links
 *
 * The report counts the differences, and lists both snapshots. A moved entry
 * is deleted at one path and created at another one. Only the states are read,
 * and no content: a file has other bytes if its size, its hash or its holes
 * differ. So a file whose zeros are a hole in only one of the snapshots counts
 * as a file with other bytes. The names of users and groups are not compared.
 * Memory does not grow with the number of entries, only with the number of
 * hard-linked files. Neither storage is used.
 *
 * Globs and paths limit the comparison, and patterns leave entries out of both
 * sides. Progress is reported as IBT_PHASE_VERIFY. `*report` and `*err` as for
 * ibt_full_backup().
 *
 * Returns IBT_OK, with or without differences; IBT_ERR_INVALID_ARG if a
 * snapshot is NULL, a setter of options failed, or an option has no use here
 * (a snapshot, labels, a root, delete_extra, an expected digest, dry_run);
 * IBT_ERR_NOT_FOUND if a glob or path matches on neither side (returned only
 * at the end, after all changes); IBT_ERR_BUSY if another call uses one of the
 * snapshots, or if both are the same object; IBT_ERR_IO, IBT_ERR_CANCELLED,
 * IBT_ERR_PANIC.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_diff(ibt_snapshot *before,
                    ibt_snapshot *after,
                    const ibt_options *options,
                    ibt_report **report,
                    ibt_error **err);

/**
 * Calls `key` for each key that has a snapshot, in ascending order. Lists the
 * names of the storage's files once and reads no file, so it costs little: a
 * damaged state counts as a snapshot here, and so does a backup of the Python
 * ancestor (ibt_import()). ibt_list_snapshots() reads the states. Only states of
 * several keys with the same stamp are read, because all but one are copies,
 * which do not count. Locks nothing.
 *
 * Returns IBT_OK, also for a storage without snapshots; IBT_ERR_INVALID_ARG if
 * key is NULL; IBT_ERR_NOT_FOUND if the storage is a directory that does not
 * exist; IBT_ERR_CANCELLED if the callback cancelled; IBT_ERR_UNSUPPORTED if
 * the storage lacks a function; IBT_ERR_BUSY if another call uses the storage;
 * IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_PANIC.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_list_keys(ibt_storage *storage,
                         ibt_key_fn key,
                         void *ud,
                         ibt_error **err);

/**
 * Removes snapshots of `key`, and then every backup file that no remaining
 * snapshot needs, including files that interrupted backups left.
 *
 * Options say which snapshots to remove, in one of two ways. With rules, the
 * snapshots that no rule keeps: ibt_options_set_keep_last(), _keep_within(),
 * _keep_hourly(), _keep_daily(), _keep_weekly(), _keep_monthly(),
 * _keep_yearly() and ibt_options_add_keep_label(). Or exactly the snapshots
 * that ibt_options_add_removed(), ibt_options_set_snapshot() and
 * ibt_options_set_as_of() select: all of them, or none if one does not exist.
 * A dry run reports the files, and their sizes, that a prune would remove. Any
 * snapshot can be removed, whether it is the first, the last or between
 * others. If other snapshots need the state of a removed snapshot, the state
 * stays, and a small file of the kind "retired" says that the snapshot is
 * removed; a later prune deletes both. ibt_options_set_keep_last() goes by the
 * snapshots' stamps, the other rules by the times when they were made
 * (ibt_report_snapshot_date()). No rule uses the clock. If any rule is set,
 * the snapshot with the newest stamp stays.
 *
 * `*report` and `*err` as for ibt_full_backup(). The report lists every
 * snapshot of the key as IBT_ACTION_KEPT or IBT_ACTION_REMOVED with the
 * reason, such as "last 3, daily 2026-11-22" or "no rule keeps it". Its files
 * are the removed backup files. IBT_COUNT_DELETED counts the removed
 * snapshots. With ibt_options_set_dry_run() nothing is changed and the report
 * is the same, but temporary files of interrupted runs are not reported.
 *
 * The newest partial state of a full backup that did not end stays, with the
 * archives that it names, until the key has a newer snapshot
 * (ibt_options_set_checkpoint()).
 *
 * The call reads the newest state whole, and a few KiB of each other state. A
 * state counts as damaged if these bytes are damaged; ibt_verify() finds all
 * damage.
 *
 * No rule counts or removes a state that is damaged or was made by a newer
 * libibt. It is removed only if its stamp is given. As long as such a state
 * remains, its snapshot may need any file of the key, so prune removes
 * snapshots, but deletes no file: it lists the archives that nothing else
 * needs as IBT_PROBLEM_LEFTOVER, and the result is IBT_PARTIAL. The same holds
 * for a state that somebody replaced by a symbolic link. A state that cannot
 * be read at the moment (IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_UNSUPPORTED) may
 * be whole, so nothing is removed. But if all snapshots to remove are given by
 * their stamps (ibt_options_add_removed(), ibt_options_set_snapshot()), such a
 * state counts as damaged. On a storage that cannot lock, a backup of the key
 * that runs meanwhile may end with IBT_ERR_BUSY. Backup files newer than every
 * snapshot then stay, because a running backup may be making them, and are
 * listed as IBT_PROBLEM_LEFTOVER.
 *
 * Returns IBT_OK; IBT_PARTIAL if a damaged state stays; IBT_ERR_INVALID_ARG if
 * key is NULL or malformed, a setter of options failed, options set no rule and
 * select no snapshot or do both, an option has no use here (filters, a root,
 * delete_extra, an expected digest), or no snapshot would be left (see
 * ibt_options_set_allow_empty()); IBT_ERR_NOT_FOUND if the key has no snapshot
 * or not the selected one; IBT_ERR_CORRUPT, IBT_ERR_MISSING or
 * IBT_ERR_FORMAT if ibt_options_set_as_of() selects a state that is damaged,
 * has lost a layer or was made by a newer libibt; IBT_ERR_UNSUPPORTED if the storage cannot delete, or cannot
 * create the small file that is needed; IBT_ERR_BUSY if the storage or the key
 * is in use, or the key was changed meanwhile; IBT_ERR_IO, IBT_ERR_STORAGE,
 * IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the
 * first problem's status.
 *
 * After an error, IBT_ERR_CANCELLED included, the files removed until then
 * stay removed, and the report lists them. Every other snapshot is whole, and
 * another prune removes the rest.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_prune(ibt_storage *storage,
                     const char *key,
                     const ibt_options *options,
                     ibt_report **report,
                     ibt_error **err);

/**
 * Makes a new full snapshot with the entries and contents of the newest
 * snapshot of `key`. It reads the storage only and does not need the source.
 * The new snapshot restores the same tree and has the same digest, and later
 * increments continue from it. ibt_prune() can then remove the older
 * snapshots, however long the chain was.
 *
 * Uses the options for compression, threads, the cache and the lock. The
 * change callback is not called, because nothing changed. `*report` and `*err`
 * as for ibt_full_backup(): the report lists the new backup files. If the
 * newest snapshot is a full one already and all its files are there, nothing
 * is written: the report names that snapshot and no files. If the state of the
 * newest snapshot is damaged, the newest snapshot with an undamaged state is
 * used instead, as for increments.
 *
 * Returns IBT_OK; IBT_PARTIAL if the newest state is damaged, so that an older
 * snapshot counts as the newest; IBT_ERR_INVALID_ARG if key is NULL or
 * malformed, a setter of options failed, or an option has no use here (a
 * snapshot, filters, a root, delete_extra, an expected digest, dry_run);
 * IBT_ERR_NOT_FOUND if the key has no snapshot; IBT_ERR_CORRUPT or
 * IBT_ERR_MISSING if the states of all its snapshots are damaged, or if the
 * content of a file is damaged or gone: a full snapshot is made whole or not at
 * all, and ibt_error_path() names the file; IBT_ERR_FORMAT if a newer libibt
 * made the snapshot;
 * IBT_ERR_UNSUPPORTED if the storage lacks a function; IBT_ERR_BUSY if the
 * storage or the key is in use, or the key was changed meanwhile; IBT_ERR_IO,
 * IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC.
 *
 * After an error there is no new snapshot, with the same exception as for
 * ibt_full_backup().
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_consolidate(ibt_storage *storage,
                           const char *key,
                           const ibt_options *options,
                           ibt_report **report,
                           ibt_error **err);

/**
 * Completes the cache for the newest snapshot of `key`: copies of its state, of
 * the older states that it needs, and of every backup file with signatures that
 * it names. Increments work without a cache and refill it from the storage;
 * this function does so beforehand. It also helps if the storage lost or
 * damaged a file with signatures: it then computes the signatures from the
 * stored contents. The next increment stays small and puts them into the
 * storage.
 *
 * Does not change the storage. `*report` and `*err` as for ibt_full_backup(),
 * with one difference: the report lists the files made in the cache, with
 * their paths there, of kind "state" or "sigvault". A file of computed
 * signatures has the name of the lost file with ".stream" at its end. A file
 * that is right already is not made again.
 *
 * Returns IBT_OK; IBT_PARTIAL if the newest state is damaged, so that an older
 * snapshot counts as the newest, or if a signature could not be computed
 * because the content is damaged or gone (the next change of that file is then
 * stored whole), or if the storage lost or damaged an older state that the
 * newest snapshot needs (the next increment puts it back if the cache has it);
 * IBT_ERR_INVALID_ARG if key is NULL or malformed, a setter of
 * options failed, an option has no use here (a snapshot, filters, a root,
 * delete_extra, an expected digest, dry_run), or no cache directory is set and
 * the user has none; IBT_ERR_NOT_FOUND if the key has no snapshot;
 * IBT_ERR_CORRUPT or IBT_ERR_MISSING if the states of all its snapshots are
 * damaged;
 * IBT_ERR_FORMAT if a newer libibt made it; IBT_ERR_IO if the cache cannot be
 * written or the storage failed; IBT_ERR_UNSUPPORTED if the storage lacks a
 * function; IBT_ERR_BUSY, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
 * IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's status.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_rebuild_cache(ibt_storage *storage,
                             const char *key,
                             const ibt_options *options,
                             ibt_report **report,
                             ibt_error **err);

/**
 * Imports the backups that incremental-backups-tools 0.1, the Python ancestor
 * of libibt, made of one directory: makes a snapshot in `storage` of each of
 * them, the oldest first. `from` is the storage with the ancestor's files, NULL
 * if they are in `storage` itself. `key` is the name of the directory, with
 * which the names of the files begin. The ancestor's files are only read.
 *
 * A backup with a "full" archive becomes a full snapshot, any other one an
 * increment. Each snapshot has the ancestor's date as its stamp and its date,
 * and the directory in the ancestor's state as its source. The new key is
 * `key`, or that of ibt_options_set_key(). Backups whose stamps the new key has
 * already are not imported again: repeat an import that was interrupted, or
 * import later backups, with the same call. To go on with libibt, make
 * increments of the same directory with the new key.
 *
 * The ancestor records little: of a file the content and the modification time;
 * for files in "full" and "created" archives also permissions and owner; of
 * directories and symbolic links only those of the last full, and the names of
 * directories made later. A file that only a delta changed keeps permissions
 * and owner. A directory of which nothing is recorded has those of the
 * directory above, and the date of its backup. A process that may not change
 * owners records itself as owner (IBT_PROBLEM_METADATA).
 *
 * Each backup is rebuilt in the directory for temporary files ($TMPDIR), which
 * needs space for one whole tree, and all paths of a backup are held in memory.
 *
 * Uses the options for compression, parts, threads, the cache, the lock, the
 * host, the name of the source, labels and deltas. `*report` and `*err` as for
 * ibt_full_backup(): the report lists the new snapshots with the reason
 * "imported", and their backup files. The change callback gets the changes of
 * each snapshot.
 *
 * Returns IBT_OK; IBT_PARTIAL if metadata could not be kept;
 * IBT_ERR_INVALID_ARG if key is NULL or not UTF-8, the new key is malformed, a
 * setter of options failed, or an option has no use here (a snapshot, filters,
 * a root, delete_extra, an expected digest, dry_run); IBT_ERR_NOT_FOUND if
 * there is no such backup; IBT_ERR_CORRUPT if a file of the ancestor is damaged
 * or forged, and IBT_ERR_MISSING if one is gone, with the name in
 * ibt_error_path(); IBT_ERR_MISMATCH if the new key has files that are later
 * than a backup that it does not have, or the backups are of several
 * directories (see ibt_options_set_source_name() and
 * ibt_options_set_allow_source_change()); IBT_ERR_UNSUPPORTED if a storage
 * lacks a function; IBT_ERR_LIMIT if a state is longer than a GiB; IBT_ERR_BUSY,
 * IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with
 * IBT_ON_ERROR_STOP the first problem's status.
 *
 * Before the first snapshot is made, all states are read, and the archives that
 * they need must be there. After an error the snapshots made so far stay, and
 * each of them is whole; the report lists them.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_import(ibt_storage *storage,
                      ibt_storage *from,
                      const char *key,
                      const ibt_options *options,
                      ibt_report **report,
                      ibt_error **err);

/**
 * ==== Looking into a snapshot ====
 *
 * Opens a snapshot of `key`: the newest, or the one that options select. Reads
 * and verifies the snapshot's state, which takes seconds for a million
 * entries. Does not read the contents of files. Reports progress as
 * IBT_PHASE_VERIFY.
 *
 * `*out` is set to NULL first. After IBT_OK it holds the snapshot, which the
 * caller owns.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if key or out is NULL, key is malformed,
 * a setter of options failed, or an option has no use here (filters, a root,
 * delete_extra, dry_run); IBT_ERR_NOT_FOUND if there is no such snapshot;
 * IBT_ERR_MISMATCH if its digest is not the expected one; IBT_ERR_CORRUPT if
 * its state is damaged, IBT_ERR_MISSING if a state that it needs as a layer is
 * gone, IBT_ERR_FORMAT if a newer libibt made it;
 * IBT_ERR_UNSUPPORTED if the storage lacks a function; IBT_ERR_BUSY if another
 * call uses the storage or a prune uses the key (see
 * ibt_options_set_lock_wait()); IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_LIMIT,
 * IBT_ERR_CANCELLED, IBT_ERR_PANIC.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_snapshot_open(ibt_storage *storage,
                             const char *key,
                             const ibt_options *options,
                             ibt_snapshot **out,
                             ibt_error **err);

/**
 * The snapshot's stamp, such as "20261122T220530.123456Z", which is its name
 * within its key. NULL for NULL. Borrowed until the snapshot is freed.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_snapshot_stamp(const ibt_snapshot *snapshot);

/**
 * The snapshot's key. NULL for NULL. Borrowed until the snapshot is freed.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_snapshot_key(const ibt_snapshot *snapshot);

/**
 * The snapshot's kind: "full" or "incremental". NULL for NULL. Borrowed until
 * the snapshot is freed.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_snapshot_kind(const ibt_snapshot *snapshot);

/**
 * The tree digest of the snapshot, see ibt_report_digest(). NULL for NULL.
 * Borrowed until the snapshot is freed.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_snapshot_digest(const ibt_snapshot *snapshot);

/**
 * The absolute path of the snapshot's source, or the name of
 * ibt_options_set_source_name(), as raw bytes. NULL for NULL. Borrowed until
 * the snapshot is freed.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_snapshot_source(const ibt_snapshot *snapshot);

/**
 * The time when the snapshot was made, in nanoseconds since 1970, UTC, as
 * ibt_report_snapshot_date() gives it. 0 for NULL.
 *
 * Since: 0.1
 */
IBT_API int64_t ibt_snapshot_date(const ibt_snapshot *snapshot);

/**
 * The value of counter `which`, one of IBT_COUNT_*, of the backup that made the
 * snapshot: for example its entries and bytes, and its problems, such as files
 * that could not be read. 0 for NULL and for an unknown counter.
 *
 * Since: 0.1
 */
IBT_API
uint64_t ibt_snapshot_counter(const ibt_snapshot *snapshot,
                              int32_t which);

/**
 * The number of labels of the snapshot, see ibt_options_set_label(). 0 for NULL.
 *
 * Since: 0.1
 */
IBT_API
size_t ibt_snapshot_label_count(const ibt_snapshot *snapshot);

/**
 * The name of label i of the snapshot. The names ascend. NULL for NULL and if i
 * is out of range. Borrowed until the snapshot is freed.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_snapshot_label_name(const ibt_snapshot *snapshot,
                                    size_t i);

/**
 * The value of label i of the snapshot. NULL for NULL and if i is out of range.
 * Borrowed until the snapshot is freed.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_snapshot_label_value(const ibt_snapshot *snapshot,
                                     size_t i);

/**
 * Gives the next entry of the snapshot: first its root, then all others in the
 * order of paths, so that each directory comes right before its own entries.
 * `*entry` is set to NULL first. After IBT_OK it holds the entry, or NULL
 * after the last entry. The entry belongs to the snapshot and is valid until
 * the next call of this function or of ibt_snapshot_rewind() with this
 * snapshot, or until the snapshot is freed.
 *
 * ibt_snapshot_list() and ibt_snapshot_read() may be called between two
 * entries, and do not change which entry comes next. The call does not use the
 * storage. With two snapshots, a caller can merge their entries; ibt_diff()
 * does so.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if snapshot or entry is NULL;
 * IBT_ERR_BUSY if another call uses the snapshot; IBT_ERR_IO, IBT_ERR_PANIC.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_snapshot_next(ibt_snapshot *snapshot,
                             const ibt_entry **entry,
                             ibt_error **err);

/**
 * Makes ibt_snapshot_next() begin with the root again. The entry that it gave
 * last is not valid any more.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if snapshot is NULL; IBT_ERR_BUSY if
 * another call uses the snapshot; IBT_ERR_PANIC.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_snapshot_rewind(ibt_snapshot *snapshot, ibt_error **err);

/**
 * Calls `entry` for the entry at `path` and for the entries below it, down to
 * `depth` levels: with 0 for the entry itself only, with 1 also for the
 * entries of that directory, with UINT32_MAX for all. Entries come in the
 * order of paths: each directory comes right before its own entries. "" is the
 * root. Slashes at either end of path are ignored.
 *
 * The call does not use the storage. It does not read entries deeper than
 * `depth` either: one directory of a large snapshot is listed in milliseconds.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if snapshot, path or entry is NULL or
 * path is malformed (no component may be "." or ".."); IBT_ERR_NOT_FOUND if
 * the snapshot has no such entry; IBT_ERR_CANCELLED if the callback cancelled;
 * IBT_ERR_BUSY if another call uses the snapshot; IBT_ERR_IO, IBT_ERR_PANIC.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_snapshot_list(ibt_snapshot *snapshot,
                             const char *path,
                             uint32_t depth,
                             ibt_entry_fn entry,
                             void *ud,
                             ibt_error **err);

/**
 * Passes `len` bytes of a file, from `offset` on, to `sink`: in order, in
 * pieces of any size. UINT64_MAX as len means all. Passes fewer bytes if the
 * file ends before, and none if offset is past its end. Holes read as zeros.
 *
 * The call reads only the parts of the storage that hold these bytes. Reading
 * on from the end of the last read costs least. A read of the whole file
 * checks its hash: treat the bytes as provisional until the call returns
 * IBT_OK. A part of a file has no hash to check; compressed archives have
 * checksums of their own.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if snapshot, path or sink is NULL, path
 * is malformed, or the entry is not a file; IBT_ERR_NOT_FOUND if the snapshot
 * has no such entry; IBT_ERR_MISSING if a backup file that holds the bytes is
 * gone; IBT_ERR_CORRUPT if the bytes are damaged; IBT_ERR_CANCELLED if sink
 * cancelled; IBT_ERR_BUSY if another call uses the snapshot or its storage;
 * IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_PANIC.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_snapshot_read(ibt_snapshot *snapshot,
                             const char *path,
                             uint64_t offset,
                             uint64_t len,
                             ibt_sink_fn sink,
                             void *ud,
                             ibt_error **err);

/**
 * Closes a snapshot. If a call is using it, the snapshot is closed when that
 * call ends. NULL is ignored.
 *
 * Since: 0.1
 */
IBT_API void ibt_snapshot_free(ibt_snapshot *snapshot);

/**
 * ==== Entries ====
 *
 * The path relative to the source, as raw bytes: components joined by '/'. The
 * source itself has the path "". NULL for NULL.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_entry_path(const ibt_entry *entry);

/**
 * One of IBT_TYPE_*; 0 for NULL.
 *
 * Since: 0.1
 */
IBT_API int32_t ibt_entry_type(const ibt_entry *entry);

/**
 * The target of a symbolic link, as raw bytes; NULL for every other type.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_entry_target(const ibt_entry *entry);

/**
 * The hash of a file's content without its holes: "blake3:" and 64 hex digits.
 * NULL for every other type, and for a file of a tree that was not read.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_entry_hash(const ibt_entry *entry);

/**
 * The logical size of a file in bytes, holes included; 0 for every other type.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_entry_size(const ibt_entry *entry);

/**
 * The number of bytes of a file that lie outside of holes; 0 for every other
 * type. It equals ibt_entry_size() if the file has no holes.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_entry_data_size(const ibt_entry *entry);

/**
 * Permission bits with setuid, setgid and sticky, at most octal 7777, or
 * UINT32_MAX if the entry was recorded on a system without permission bits.
 *
 * Since: 0.1
 */
IBT_API uint32_t ibt_entry_mode(const ibt_entry *entry);

/**
 * The owner's number, or UINT32_MAX if the entry was recorded on a system
 * without such numbers.
 *
 * Since: 0.1
 */
IBT_API uint32_t ibt_entry_uid(const ibt_entry *entry);

/**
 * The group's number, or UINT32_MAX like ibt_entry_uid().
 *
 * Since: 0.1
 */
IBT_API uint32_t ibt_entry_gid(const ibt_entry *entry);

/**
 * The owner's name at the time of the backup; NULL if the system had no name
 * for the number.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_entry_user(const ibt_entry *entry);

/**
 * The group's name at the time of the backup; NULL if the system had no name
 * for the number.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_entry_group(const ibt_entry *entry);

/**
 * The modification time in nanoseconds since 1970, UTC. Times outside the
 * years 1677 to 2262 do not fit and give the nearest number that does.
 *
 * Since: 0.1
 */
IBT_API int64_t ibt_entry_mtime(const ibt_entry *entry);

/**
 * The time of the last change of metadata, in nanoseconds since 1970, clamped
 * like the modification time. A restore cannot set it.
 *
 * Since: 0.1
 */
IBT_API int64_t ibt_entry_ctime(const ibt_entry *entry);

/**
 * The time when the file was made on its file system, in nanoseconds since
 * 1970, clamped like the modification time; INT64_MIN if it is unknown, as for
 * an entry of a tree that is restored or compared, and for NULL. A restore
 * cannot set it, and nothing compares it.
 *
 * Since: 0.1
 */
IBT_API int64_t ibt_entry_btime(const ibt_entry *entry);

/**
 * The inode flags of a file or directory as words, in ascending order and
 * separated by commas, such as "immutable,nodump". The words are append,
 * casefold, compress, dax, dirsync, immutable, journal, noatime, nocompress,
 * nocow, nodump, projinherit, sync and topdir, and those that a newer version
 * of libibt recorded. NULL without flags.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_entry_flags(const ibt_entry *entry);

/**
 * The project id of a file or directory, by which the file system counts
 * quotas; 0 without a project.
 *
 * Since: 0.1
 */
IBT_API uint32_t ibt_entry_project(const ibt_entry *entry);

/**
 * The number of a device (st_rdev), or UINT64_MAX if the number of another
 * system does not fit 64 bits; 0 for every other type.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_entry_rdev(const ibt_entry *entry);

/**
 * The path of the first name of a hard link, as raw bytes like ibt_entry_path:
 * the same path for all names of one file, symbolic link, FIFO or device in one
 * snapshot. For the first name it is the entry's own path. NULL for an entry
 * with one name.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_entry_link(const ibt_entry *entry);

/**
 * How many extended attributes the entry has.
 *
 * Since: 0.1
 */
IBT_API size_t ibt_entry_xattr_count(const ibt_entry *entry);

/**
 * The name of extended attribute i, such as "user.mime_type"; NULL if i is out
 * of range.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_entry_xattr_name(const ibt_entry *entry, size_t i);

/**
 * The value of extended attribute i: any bytes, not ended by NUL. Stores its
 * length in `*len`; len may be NULL. If i is out of range, returns NULL and
 * stores 0.
 *
 * Since: 0.1
 */
IBT_API
const uint8_t *ibt_entry_xattr_value(const ibt_entry *entry,
                                     size_t i,
                                     size_t *len);

/**
 * ==== Reports ====
 *
 * The status that the operation returned; IBT_OK for NULL.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_report_status(const ibt_report *report);

/**
 * The key that the operation worked on; NULL if it worked on no key or on all
 * keys.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_report_key(const ibt_report *report);

/**
 * The stamp of the snapshot that the operation made or used, such as
 * "20261122T220530.123456Z". NULL if there is none.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_report_snapshot(const ibt_report *report);

/**
 * The tree digest of that snapshot: "blake3:" and 64 hex digits. The digest
 * covers every path, content and attribute, so a signature of the digest signs
 * the whole snapshot; see ibt_options_set_expected_digest(). NULL if there is
 * no snapshot.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_report_digest(const ibt_report *report);

/**
 * The time when the operation began, in nanoseconds since 1970, UTC.
 *
 * Since: 0.1
 */
IBT_API int64_t ibt_report_date(const ibt_report *report);

/**
 * The number of backup files that the operation made or removed. After a
 * restore, a comparison or the list of one snapshot: the number of backup
 * files that the snapshot needs.
 *
 * Since: 0.1
 */
IBT_API size_t ibt_report_file_count(const ibt_report *report);

/**
 * The name of backup file i in the storage.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_report_file_name(const ibt_report *report, size_t i);

/**
 * The kind of backup file i: "full", "created", "updated", "sigvault",
 * "state", "retired" (the mark of a removed snapshot) or "partial" (the
 * partial state of a full backup that did not end).
 *
 * Since: 0.1
 */
IBT_API const char *ibt_report_file_kind(const ibt_report *report, size_t i);

/**
 * The path of backup file i, as raw bytes; NULL if the storage is not a
 * directory.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_report_file_path(const ibt_report *report, size_t i);

/**
 * The size of backup file i in bytes.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_report_file_size(const ibt_report *report, size_t i);

/**
 * The sum of the sizes of all listed backup files, in bytes.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_report_total_size(const ibt_report *report);

/**
 * The value of counter `which`, one of IBT_COUNT_*; 0 for an unknown counter.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_report_counter(const ibt_report *report, int32_t which);

/**
 * The number of snapshots in the report.
 *
 * Since: 0.1
 */
IBT_API size_t ibt_report_snapshot_count(const ibt_report *report);

/**
 * The stamp of snapshot i, in UTC. The stamp is the snapshot's name within its
 * key.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_snapshot_stamp(const ibt_report *report,
                                      size_t i);

/**
 * The key of snapshot i.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_report_snapshot_key(const ibt_report *report, size_t i);

/**
 * The kind of snapshot i: "full" or "incremental". A backup of the Python
 * ancestor that is not imported is "ancestor-full" or "ancestor-incremental".
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_snapshot_kind(const ibt_report *report,
                                     size_t i);

/**
 * The tree digest of snapshot i; "" for a backup of the Python ancestor.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_snapshot_digest(const ibt_report *report,
                                       size_t i);

/**
 * The absolute path of the source of snapshot i, or the name of
 * ibt_options_set_source_name(), as raw bytes.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_snapshot_source(const ibt_report *report,
                                       size_t i);

/**
 * The name of the host on which snapshot i was made, or the name of
 * ibt_options_set_host().
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_snapshot_host(const ibt_report *report,
                                     size_t i);

/**
 * The number of labels of snapshot i, see ibt_options_set_label().
 *
 * Since: 0.1
 */
IBT_API
size_t ibt_report_snapshot_label_count(const ibt_report *report,
                                       size_t i);

/**
 * The name of label j of snapshot i. The names ascend.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_snapshot_label_name(const ibt_report *report,
                                           size_t i,
                                           size_t j);

/**
 * The value of label j of snapshot i.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_snapshot_label_value(const ibt_report *report,
                                            size_t i,
                                            size_t j);

/**
 * The stamp of the parent of snapshot i. For an increment this is the snapshot
 * that it was compared with; for a full made by ibt_consolidate(), the
 * snapshot that it was copied from. NULL for every other full. The parent may
 * have been removed; snapshot i is whole without it.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_snapshot_parent(const ibt_report *report,
                                       size_t i);

/**
 * Why snapshot i was kept or removed, in one line; "" if the operation did not
 * decide about it. After ibt_verify(): the number of losses, such as "3
 * losses", or "" if the snapshot is whole.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_snapshot_reason(const ibt_report *report,
                                       size_t i);

/**
 * The time when snapshot i was made, in nanoseconds since 1970, UTC. Normally
 * this is the time in its stamp. The stamp is later if an earlier stamp of the
 * key was ahead of the clock, because each new stamp of a key is later than
 * all others.
 *
 * Since: 0.1
 */
IBT_API int64_t ibt_report_snapshot_date(const ibt_report *report, size_t i);

/**
 * The result for snapshot i: one of IBT_ACTION_*.
 *
 * Since: 0.1
 */
IBT_API int32_t ibt_report_snapshot_action(const ibt_report *report, size_t i);

/**
 * The value of counter `which`, one of IBT_COUNT_*, of the backup that made
 * snapshot i. After ibt_verify() IBT_COUNT_PROBLEMS is the number of losses
 * found in the snapshot. 0 for an unknown counter.
 *
 * Since: 0.1
 */
IBT_API
uint64_t ibt_report_snapshot_counter(const ibt_report *report,
                                     size_t i,
                                     int32_t which);

/**
 * The number of problems in the report. The report keeps the first 10,000;
 * IBT_COUNT_PROBLEMS counts all.
 *
 * Since: 0.1
 */
IBT_API size_t ibt_report_problem_count(const ibt_report *report);

/**
 * The path of the entry that has problem i, as raw bytes; NULL if the problem
 * concerns no entry.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_report_problem_path(const ibt_report *report, size_t i);

/**
 * Problem i in one line for people.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_problem_message(const ibt_report *report,
                                       size_t i);

/**
 * The stamp of the snapshot that has problem i. NULL if the problem names no
 * snapshot; it then belongs to ibt_report_snapshot(), if that is set.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_problem_snapshot(const ibt_report *report,
                                        size_t i);

/**
 * The name of the backup file that has problem i; NULL if the problem concerns
 * no backup file.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_report_problem_file(const ibt_report *report, size_t i);

/**
 * The status of problem i, such as IBT_ERR_IO.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_report_problem_status(const ibt_report *report,
                                     size_t i);

/**
 * The kind of problem i: one of IBT_PROBLEM_*.
 *
 * Since: 0.1
 */
IBT_API int32_t ibt_report_problem_kind(const ibt_report *report, size_t i);

/**
 * 1 if problem i is a note: it reports an action or an omission by design, and
 * does not make the result IBT_PARTIAL. 0 for every other problem.
 *
 * Since: 0.1
 */
IBT_API int32_t ibt_report_problem_is_note(const ibt_report *report, size_t i);

/**
 * The system's error number (errno) behind problem i, or 0.
 *
 * Since: 0.1
 */
IBT_API int32_t ibt_report_problem_os_code(const ibt_report *report, size_t i);

/**
 * The whole report as one line of JSON in UTF-8. Bytes of names that are not
 * text are written as %XX, and so is '%' itself. Times are
 * "SECONDS.NNNNNNNNN". docs/abi.md describes the members.
 *
 * Never NULL: "" for NULL. Borrowed until the report is freed.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_report_json(const ibt_report *report);

/**
 * Frees a report and the strings borrowed from it. NULL is ignored.
 *
 * Since: 0.1
 */
IBT_API void ibt_report_free(ibt_report *report);

#ifdef __cplusplus
}
#endif

#endif /* IBT_H */
