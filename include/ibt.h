/*
 * ibt.h - incremental backups: a full backup, increments made of rsync deltas,
 * and a restore to any point in time.
 *
 * A SNAPSHOT is one backup of one source directory. Snapshots of the same
 * source share a KEY. They are held as ordinary files in a STORAGE: a
 * directory, or whatever the caller's own functions make of it
 * (ibt_storage_new()).
 *
 * Errors. Functions that can fail return an ibt_status: IBT_OK, IBT_PARTIAL
 *     (finished, but see the report) or, negative, IBT_ERR_*. Their last
 *     argument is an ibt_error **, which may be NULL: it is set to NULL first,
 *     and to an error exactly when the status is negative. The caller frees
 *     it. There is no "last error" kept anywhere. Out of memory, libibt aborts
 *     the process.
 *
 * Reports. Operations have an ibt_report **, which may be NULL: it is set to
 *     NULL first, and to a report as soon as work was begun, also when it then
 *     failed. The caller frees it.
 *
 * Ownership. What comes from a function *_new() or *_open_*(), or through an
 *     out argument, is the caller's and freed with the *_free() of its type,
 *     which ignores NULL. Out arguments are overwritten, never freed. A const
 *     char * that is returned is borrowed: it lives as long as the object it
 *     came from. What setters are given is copied, userdata aside (see
 *     ibt_destroy_fn). What other functions are given must stay valid and
 *     unchanged until the call returns.
 *
 * NULL and numbers out of range. Functions that return a status answer
 *     IBT_ERR_INVALID_ARG. All others return 0 or NULL, and "" where they say
 *     that they never return NULL. None crashes.
 *
 * Paths are bytes ended by NUL, as the system has them. So are names in
 * reports.
 *
 * Threads. Objects may move between threads. An ibt_storage and an
 *     ibt_snapshot serve one call at a time, a second one gets IBT_ERR_BUSY.
 *     Errors and reports never change and may be shared; so may options while
 *     no setter runs. ibt_cancel is for any thread and for signal handlers. No
 *     thread of libibt outlives a call, and no call touches signals, umask,
 *     working directory, environment or stderr. Of the calling thread's stack a
 *     call needs 96 KiB at most, without what its callbacks use.
 *
 * Callbacks run on the thread that called the operation, and never after it
 *     returned. They answer IBT_CALLBACK_OK (1) to go on; 0 and negative
 *     numbers are failures and stop it. They must not throw an exception,
 *     longjmp or panic across libibt. They may call any function, but the
 *     storage that is in use is busy; freeing an object that is in use takes
 *     effect when the operation ends.
 */
#ifndef IBT_H
#define IBT_H

/* Generated from src/ffi by cbindgen; see cbindgen.toml before editing. */

#include <stddef.h>
#include <stdint.h>

/* The version of this header; ibt_version() is that of the library. */
#define IBT_VERSION "0.1.0"
/* major * 65536 + minor * 256 + patch, to compare versions with. */
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
 * Done.
 */
#define IBT_OK 0

/**
 * Finished, but not everything went well: entries were unreadable, changed
 * while being read, or damaged, metadata could not be set, something stood in
 * the way, stored files were lost. The report lists each.
 */
#define IBT_PARTIAL 1

/**
 * An argument or option is NULL, malformed, unknown, or of no use here.
 */
#define IBT_ERR_INVALID_ARG -1

/**
 * The system refused to read or write: no such source, no room, no permission;
 * ibt_error_os_code() tells.
 */
#define IBT_ERR_IO -2

/**
 * No such key, snapshot or entry, or a glob or path that matches nothing.
 */
#define IBT_ERR_NOT_FOUND -3

/**
 * What was to be made exists already.
 */
#define IBT_ERR_EXISTS -4

/**
 * Stored bytes are not what they should be.
 */
#define IBT_ERR_CORRUPT -5

/**
 * Written by a newer libibt, or not a backup file at all.
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
 * In use by another call or another program.
 */
#define IBT_ERR_BUSY -10

/**
 * Not possible on this system, or not built in, or a function is missing that
 * the storage needs for it.
 */
#define IBT_ERR_UNSUPPORTED -11

/**
 * Beyond a documented limit.
 */
#define IBT_ERR_LIMIT -12

/**
 * Another source or host than the newest snapshot's, an empty source where that
 * had entries, or an unexpected digest.
 */
#define IBT_ERR_MISMATCH -13

/**
 * A bug in libibt, caught; please report the error's message.
 */
#define IBT_ERR_PANIC -99

/**
 * ==== What callbacks answer ====
 *
 * A callback's answer: go on.
 */
#define IBT_CALLBACK_OK 1

/**
 * A callback's answer: stop with failure. So is every negative number.
 */
#define IBT_CALLBACK_FAILED 0

/**
 * Enough. A change callback is called no more and the operation goes on; a
 * call with an entry or sink callback ends early with IBT_OK.
 */
#define IBT_CALLBACK_STOP 2

/**
 * ==== Compression: ibt_options_set_compression() ====
 *
 * Store archives as they are.
 */
#define IBT_COMPRESSION_NONE 0

/**
 * Compress with Zstandard.
 */
#define IBT_COMPRESSION_ZSTD 1

/**
 * ==== Change detection: ibt_options_set_change_detection() ====
 *
 * An entry is unchanged if size, times and inode are equal and old enough. Where
 * the file system keeps no ctime of its own (FAT, exFAT, squashfs; any other of
 * which this is not known and where every file's ctime is its mtime, as with
 * many FUSE file systems) every file is read.
 */
#define IBT_DETECT_METADATA 0

/**
 * No file is unchanged until it was read.
 */
#define IBT_DETECT_CONTENT 1

/**
 * ==== Files that fail: ibt_options_set_on_file_error() ====
 *
 * List a file that fails in the report and go on.
 */
#define IBT_ON_ERROR_SKIP 0

/**
 * Make the first problem that is no note the operation's error.
 */
#define IBT_ON_ERROR_STOP 1

/**
 * ==== Existing files: ibt_options_set_overwrite() ====
 *
 * The destination must be absent or an empty directory.
 */
#define IBT_OVERWRITE_NEVER 0

/**
 * Replace every file whose content is another; read all to find out.
 */
#define IBT_OVERWRITE_ALWAYS 1

/**
 * The same, but take a file of the same size and modification time to be
 * right.
 */
#define IBT_OVERWRITE_IF_DIFFERENT 2

/**
 * Replace only what was modified before the snapshot's entry was. A directory that
 * is there gets the snapshot's metadata whenever it was modified.
 */
#define IBT_OVERWRITE_IF_OLDER 3

/**
 * Restore only what is absent; touch nothing that is there. A directory that a
 * restore made and could not finish (it failed, or the power did) is there as
 * well and keeps the mode 0700: complete such a restore with
 * IBT_OVERWRITE_IF_OLDER, which sets it.
 */
#define IBT_OVERWRITE_KEEP 4

/**
 * ==== Metadata, bits: ibt_options_set_restore_metadata() ====
 *
 * Permission bits.
 */
#define IBT_META_MODE 1

/**
 * User and group; by default with privilege only.
 */
#define IBT_META_OWNER 2

/**
 * Modification times.
 */
#define IBT_META_TIMES 4

/**
 * Extended attributes, ACLs among them; security.* and trusted.* with
 * privilege only, even if asked for.
 */
#define IBT_META_XATTRS 8

/**
 * Make FIFOs and devices.
 */
#define IBT_META_SPECIAL 16

/**
 * The setuid bit where the owner is the snapshot's; the setgid bit where the
 * group is, and on directories.
 */
#define IBT_META_SETID 32

/**
 * ==== Phases: ibt_progress_phase() ====
 *
 * Looking for what changed. Reading states, of a list, a prune or a verify.
 * Waiting for the lock, before an operation's first phase.
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
 * Its content changed, or its type.
 */
#define IBT_CHANGE_CONTENT 4

/**
 * Its mode, owner, times or attributes changed; in a comparison also which
 * names are hard links of one file.
 */
#define IBT_CHANGE_METADATA 8

/**
 * It came from another path.
 */
#define IBT_CHANGE_MOVED 16

/**
 * It could not be read: the previous version was carried forward. In a restore:
 * what stands there was left, because of the overwrite policy.
 */
#define IBT_CHANGE_KEPT 32

/**
 * ==== Counters: ibt_report_counter() ====
 *
 * Entries of the snapshot, its root included; of a comparison, those compared;
 * of a verify, those of all snapshots.
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
 * Entries of which only metadata changed.
 */
#define IBT_COUNT_METADATA 7

/**
 * Bytes read: by a backup from the source; by a restore, a consolidation and a
 * rebuild of the cache out of archives; by a comparison from the tree; by a
 * verify and a prune from the storage.
 */
#define IBT_COUNT_BYTES_READ 8

/**
 * Bytes written to the store, to restored files or, by a rebuild, to the cache.
 */
#define IBT_COUNT_BYTES_WRITTEN 9

/**
 * Entries restored.
 */
#define IBT_COUNT_RESTORED 10

/**
 * Problems, notes included: all of them, also those the report no longer
 * lists.
 */
#define IBT_COUNT_PROBLEMS 11

/**
 * Logical bytes of the snapshot's files; of a verify, those of all snapshots. 0
 * after a comparison.
 */
#define IBT_COUNT_BYTES 12

/**
 * ==== Problems: ibt_report_problem_kind() ====
 *
 * Could not be read; its previous version, if any, was carried forward. Of
 * stored bytes: they cannot be read now, which says nothing of what they are.
 */
#define IBT_PROBLEM_UNREADABLE 1

/**
 * Was gone when it was to be read.
 */
#define IBT_PROBLEM_VANISHED 2

/**
 * Changed while it was read.
 */
#define IBT_PROBLEM_CHANGED 3

/**
 * A note: left out by design (a socket, the store itself), or left where it is
 * because the backup left it out.
 */
#define IBT_PROBLEM_SKIPPED 4

/**
 * Stored bytes are not what they should be.
 */
#define IBT_PROBLEM_DAMAGED 5

/**
 * Stored bytes are gone.
 */
#define IBT_PROBLEM_MISSING 6

/**
 * Metadata that could not be read or set.
 */
#define IBT_PROBLEM_METADATA 7

/**
 * A note: something an earlier run left in the store, or a restore in its
 * destination.
 */
#define IBT_PROBLEM_LEFTOVER 8

/**
 * Snapshots say that they were made more than a day after what the clock says:
 * either clock was wrong. Each backup says so until they are removed; what was
 * made after them is in order.
 */
#define IBT_PROBLEM_CLOCK 9

/**
 * Something in the destination of a restore is in the way, or its permissions
 * are, or its file system has no such name, size or type of entry.
 */
#define IBT_PROBLEM_OBSTRUCTED 10

/**
 * ==== Actions: ibt_report_snapshot_action() ====
 *
 * The snapshot is there.
 */
#define IBT_ACTION_KEPT 1

/**
 * The snapshot was removed, or would be.
 */
#define IBT_ACTION_REMOVED 2

/**
 * A request to stop: one-shot, it cannot be taken back. Owned by the caller,
 * who frees it with ibt_cancel_free(); operations share it, so that freeing it
 * while one runs does no harm to that one.
 *
 * Any number of threads may use one at once.
 *
 * Since: 0.1
 */
typedef struct ibt_cancel ibt_cancel;

/**
 * One file, directory, link or device at one moment. Valid inside the callback
 * that was given it only, and so is every string borrowed from it.
 *
 * Since: 0.1
 */
typedef struct ibt_entry ibt_entry;

/**
 * Why a call failed. Owned by the caller, who frees it with ibt_error_free().
 *
 * Immutable: may be read by several threads at once, freed by any one.
 *
 * Since: 0.1
 */
typedef struct ibt_error ibt_error;

/**
 * Takes the names that an ibt_list_fn finds. Lent to it for one call.
 *
 * Since: 0.1
 */
typedef struct ibt_list ibt_list;

/**
 * How an operation is to be done. One type serves every operation, and where a
 * function takes options, NULL means the defaults. Owned by the caller, who
 * frees it with ibt_options_free().
 *
 * Setters copy what they are given. A setter that refuses returns its status
 * and marks the object: every operation given it then returns that status and
 * says which setter refused what. So return values of setters need not be
 * checked.
 *
 * Operations copy the object when they begin. Several may use it at once, also
 * from different threads, as long as no setter runs.
 *
 * Since: 0.1
 */
typedef struct ibt_options ibt_options;

/**
 * How far an operation is. Valid inside its ibt_progress_fn only.
 *
 * Since: 0.1
 */
typedef struct ibt_progress ibt_progress;

/**
 * What an operation did. Owned by the caller, who frees it with
 * ibt_report_free(); every string borrowed from it lives until then.
 *
 * Immutable: may be read by several threads at once, freed by any one.
 * Functions that take an index return NULL or 0 when it is out of range.
 *
 * Since: 0.1
 */
typedef struct ibt_report ibt_report;

/**
 * One snapshot, opened to look into it. Owned by the caller, who frees it with
 * ibt_snapshot_free().
 *
 * It was verified when it was opened and does not change. It keeps its storage
 * alive, also after ibt_storage_free(), but does not lock it: if the snapshot
 * is removed meanwhile, reading its files fails with IBT_ERR_MISSING.
 *
 * One call at a time: a second one, from another thread or from a callback,
 * returns IBT_ERR_BUSY. May move between threads. Memory does not grow with
 * the number of entries.
 *
 * Since: 0.1
 */
typedef struct ibt_snapshot ibt_snapshot;

/**
 * A place for backup files: a directory, or whatever the caller's functions
 * make of it. Owned by the caller, who frees it with ibt_storage_free().
 *
 * One call at a time: a second one, from another thread or from a callback,
 * returns IBT_ERR_BUSY. May move between threads. Where a function takes a
 * storage, NULL means the default directory: $TMPDIR (or $TEMP, $TMP, /tmp) +
 * "/ibt-UID", mode 0700, refused if it belongs to someone else.
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
 * Told how far an operation is: about ten times a second, and at the beginning
 * and the end of each phase, but not after a commit, when it is too late to
 * cancel. `now` is valid during the call only; done_bytes and done_entries
 * never fall within a phase.
 *
 * Return IBT_CALLBACK_OK to go on; 0 or a negative number cancels the
 * operation (IBT_ERR_CANCELLED).
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_progress_fn)(void *ud, const ibt_progress *now);

/**
 * Lets go of a callback's userdata: called once, when nothing will use it any
 * more, that is when the object it was given to was freed, or another callback
 * set there, and every operation begun with that has ended. May be NULL. Not
 * called if the setter that was given it failed.
 *
 * Since: 0.1
 */
typedef void (*ibt_destroy_fn)(void *ud);

/**
 * Told each change. `what` is made of IBT_CHANGE_* bits; `before` is NULL for
 * what is new, `after` for what is gone. Both are valid during the call only.
 *
 * Changes come in the order of paths, with these exceptions: a restore tells
 * symbolic links and further names of hard links after everything else, what it
 * removes because the snapshot has it not after these, and what makes way for
 * an entry just before that; a backup tells at the end, in any order, what was
 * deleted but might have been found again under another name.
 *
 * Return IBT_CALLBACK_OK to go on, IBT_CALLBACK_STOP for enough: a comparison,
 * which does nothing but tell, then ends with what it has found; a backup or a
 * restore is completed without telling more. 0 or a negative number cancels
 * the operation (IBT_ERR_CANCELLED).
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_change_fn)(void *ud,
                                 uint32_t what,
                                 const ibt_entry *before,
                                 const ibt_entry *after);

/**
 * Told what an operation is doing, one line at a time. `level` is one of
 * IBT_LOG_*; `message` is valid during the call only.
 *
 * Since: 0.1
 */
typedef void (*ibt_log_fn)(void *ud, int32_t level, const char *message);

/**
 * Begins an object named `name`, of unknown size, which nobody sees before its
 * commit. `*stream` is NULL and may be set to anything: the other functions of
 * the writer are given it. Up to four streams are open at a time, and written
 * to in turn.
 *
 * After IBT_CALLBACK_OK the stream is ended by exactly one call of the
 * ibt_commit_fn or the ibt_abort_fn; after a failure by none.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_create_fn)(void *ud, const char *name, void **stream);

/**
 * Appends all of `len` bytes, never 0, to a stream. After a failure the stream
 * is aborted.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_write_fn)(void *ud,
                                void *stream,
                                const uint8_t *data,
                                size_t len);

/**
 * Ends a stream: makes the object durable and visible under its name, all of
 * it at once. It must never replace one: if there is an object of that name,
 * IBT_ERR_EXISTS.
 *
 * The stream is gone whatever the answer. An object whose commit failed may be
 * there all the same; libibt then deletes it, if an ibt_delete_fn is set and
 * no snapshot may need it.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_commit_fn)(void *ud, void *stream);

/**
 * Ends a stream and forgets what was written to it.
 *
 * Since: 0.1
 */
typedef void (*ibt_abort_fn)(void *ud, void *stream);

/**
 * Reads up to `len` bytes, never 0, of a committed object from `offset` into
 * `buf` and stores their number in `*got`, which is 0 at first. It may read
 * less: libibt asks again for the rest. IBT_CALLBACK_OK with 0 means at or past
 * the end. An absent object is IBT_ERR_NOT_FOUND: a restore lists what it held
 * as missing and goes on; after any other failure it ends.
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
 * Gives ibt_list_add() every committed object whose name begins with the bytes
 * of `prefix`, "" for all, with its size: also what was committed a moment ago.
 * The order does not matter; others, foreign ones and repeated ones may be
 * among them.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_list_fn)(void *ud, const char *prefix, ibt_list *out);

/**
 * Removes a committed object. That there is none is success.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_delete_fn)(void *ud, const char *name);

/**
 * Locks `key` for one writer: keeps every other one, also of other programs
 * and machines that share the storage, out until the ibt_unlock_fn. If another
 * one has it, IBT_ERR_BUSY at once: libibt tries again, 50 times a second, as
 * long as ibt_options_set_lock_wait() allows.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_lock_fn)(void *ud, const char *key);

/**
 * Gives up a lock: called exactly once for each that was got.
 *
 * Since: 0.1
 */
typedef void (*ibt_unlock_fn)(void *ud, const char *key);

/**
 * Given an entry, valid during the call only.
 *
 * Return IBT_CALLBACK_OK to go on, IBT_CALLBACK_STOP to end the call early with
 * IBT_OK; 0 or a negative number ends it with IBT_ERR_CANCELLED.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_entry_fn)(void *ud, const ibt_entry *entry);

/**
 * Given the next `len` bytes, at least one, valid during the call only.
 *
 * Return IBT_CALLBACK_OK to go on, IBT_CALLBACK_STOP to end the call early with
 * IBT_OK; 0 or a negative number ends it with IBT_ERR_CANCELLED.
 *
 * Since: 0.1
 */
typedef int32_t (*ibt_sink_fn)(void *ud, const uint8_t *data, size_t len);

/**
 * ==== Library ====
 *
 * The version of the library that is running, such as "0.1.0".
 *
 * Never NULL, valid for ever. Any thread.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_version(void);

/**
 * The same as a number to compare with IBT_VERSION_NUMBER of the header: major
 * * 65536 + minor * 256 + patch. Any thread.
 *
 * Since: 0.1
 */
IBT_API uint32_t ibt_version_number(void);

/**
 * A status as it is spelled in this header, such as "IBT_ERR_IO".
 *
 * Never NULL, valid for ever; "IBT_ERR_UNKNOWN" for a number that this version
 * does not know. Any thread.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_status_name(ibt_status status);

/**
 * The name of a counter (IBT_COUNT_*) as it stands in JSON, such as
 * "bytes_read".
 *
 * Valid for ever; NULL for an unknown number, so that a loop from 1 up to NULL
 * shows every counter. Any thread.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_counter_name(int32_t which);

/**
 * The name of a kind of problem (IBT_PROBLEM_*), such as "unreadable".
 *
 * Valid for ever; NULL for an unknown number. Any thread.
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
 * One line for people: what could not be done, to which path, and why.
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
 * Frees options. Operations that run with them go on. NULL is ignored.
 *
 * Since: 0.1
 */
IBT_API void ibt_options_free(ibt_options *options);

/**
 * Has a function told how far an operation is; NULL for none. `ud` is passed
 * to it, and `destroy`, which may be NULL, lets go of `ud`: see
 * ibt_destroy_fn.
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
 * Has a function told each change that a backup finds, each entry that a
 * restore makes, mends, leaves or removes, and each difference that a
 * comparison finds; NULL for none.
 * `ud` and `destroy` as for progress.
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
 * Has a function told messages as important as `level` (IBT_LOG_*) or more;
 * NULL for none. `ud` and `destroy` as for progress.
 *
 * Default: none; libibt itself writes nowhere.
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
 * Lets `cancel` stop operations with these options; NULL for none. The object
 * is shared: it stays the caller's to free, at any time.
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
 * Limits an operation to what a glob matches in the snapshot: `*` and `?` stop
 * at '/', a component `**` does not, `[a-z]` and `{a,b}` are as in a shell.
 * It begins at the snapshot's root. A directory that matches includes all
 * below it. Any number; with ibt_options_add_path(), what any of them matches.
 *
 * Restore and compare; the others refuse such options (IBT_ERR_INVALID_ARG).
 * One that matches nothing: IBT_ERR_NOT_FOUND, and nothing is done. Compare
 * looks for a match in the tree as well.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or glob is NULL or glob is
 * malformed, longer than 4096 bytes, or nested deeper than 16, or after 10,000
 * globs and paths.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_add_include(ibt_options *options,
                                   const char *glob);

/**
 * The same, but the path is taken literally: raw bytes, relative to the
 * snapshot's root, without "." and "..". Slashes around it are ignored.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL or path is
 * empty or malformed, or after 10,000 globs and paths.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_add_path(ibt_options *options, const char *path);

/**
 * Restores this directory of the snapshot as the destination itself, instead
 * of the snapshot's root. Globs and paths still begin at the snapshot's root.
 *
 * Restore only; the others refuse such options (IBT_ERR_INVALID_ARG). If the
 * snapshot has no such directory: IBT_ERR_NOT_FOUND.
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
 * What a restore does with what its destination holds already: one of
 * IBT_OVERWRITE_*. A file that is already right is never written, and each file
 * is the old or the new one at any moment.
 *
 * Names of a file that the snapshot has not, in the destination or elsewhere, do
 * not matter, as in ibt_compare(): a right file stays linked with them. One that
 * lacks only metadata is replaced by a file of its own where there are such
 * names, so that they keep theirs.
 *
 * Default: IBT_OVERWRITE_NEVER.
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
 * from it what the snapshot has not, as far as globs, paths and root reach. Only
 * with 1 does a directory that is not empty make way for an entry of another
 * type.
 *
 * What the backup saw and did not store stays, with all that lies below it. Of
 * what it was told to leave out, or leaves out by design (excluded names,
 * sockets, other file systems, marked caches, its own store and cache), the
 * report has a note for each directory, IBT_PROBLEM_SKIPPED; of what it could
 * not read, IBT_PROBLEM_OBSTRUCTED. Where the backup saw very many such names,
 * everything extra in that directory stays.
 *
 * Nothing is removed in a directory that the backup could not list, in one
 * whose file system does not tell names apart by case, or in one that holds a
 * snapshot's state: the store of another backup. Never removed are the
 * storage's own directory, the cache, what ibt_options_add_protected_path()
 * names, and the links and directories that lead to them. A directory on which
 * anything is mounted, of the same file system too, is not entered, unless the
 * snapshot has entries in it; a mounted file stays. Where the system does not
 * tell mounts apart (before Linux 5.8, and no /proc), every directory of which
 * the snapshot has nothing stays. What cannot be listed or looked at stays: the
 * caller's own directories are opened up for that and closed again, in a dry run
 * they are not, and count as extra with all that is in them. An extra directory
 * with one of these inside stays, and loses what else is in it; it does not make
 * way for an entry. What stays for one of these reasons is listed as
 * IBT_PROBLEM_OBSTRUCTED.
 *
 * Nothing that is extra is removed once the content of a file turned out to be
 * lost, and no directory that is not empty makes way: dest may still have the
 * content under another name. That is listed as IBT_PROBLEM_OBSTRUCTED. A dry run
 * reads no contents and cannot foretell it.
 *
 * Restore only; the others refuse such options (IBT_ERR_INVALID_ARG).
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
 * With 1 a restore that ends with an error, also because it was cancelled,
 * leaves what it has restored as dest, where with 0 it leaves nothing in a
 * place that was absent or empty. Each file in it is whole; directories may
 * still have mode 0700 and other metadata than the snapshot's. A restore over it
 * (ibt_options_set_overwrite()) completes it. If dest, or a name in it, is taken
 * meanwhile, what was restored stays beside or in dest, under a name that begins
 * with "ibt-partial-" and that the error tells; no restore removes that. Over an
 * existing tree what was done always stays. Restore only; ignored elsewhere.
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
 * A prune keeps the newest n snapshots.
 * Several rules add up.
 *
 * Default: 0, no such rule.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_keep_last(ibt_options *options, uint32_t n);

/**
 * A prune keeps the newest snapshot of each of the last n days, in UTC, that
 * have one.
 * Several rules add up.
 *
 * Default: 0, no such rule.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_keep_daily(ibt_options *options, uint32_t n);

/**
 * A prune keeps the newest snapshot of each of the last n weeks, in UTC, that
 * have one. A week begins on Monday.
 * Several rules add up.
 *
 * Default: 0, no such rule.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_keep_weekly(ibt_options *options,
                                       uint32_t n);

/**
 * A prune keeps the newest snapshot of each of the last n months, in UTC, that
 * have one.
 * Several rules add up.
 *
 * Default: 0, no such rule.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_keep_monthly(ibt_options *options,
                                        uint32_t n);

/**
 * A prune keeps the newest snapshot of each of the last n years, in UTC, that
 * have one.
 * Several rules add up.
 *
 * Default: 0, no such rule.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_keep_yearly(ibt_options *options,
                                       uint32_t n);

/**
 * With 1 a restore or a prune does nothing but tell, through callbacks and
 * report, what it would do.
 *
 * The other operations refuse such options (IBT_ERR_INVALID_ARG).
 *
 * Default: 0. Every other number counts as 1.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_dry_run(ibt_options *options, int32_t on);

/**
 * The key of the series of snapshots that a backup continues or begins.
 * Backups only: other operations take the key as an argument.
 *
 * Default: the last component of the source's absolute path. 1 to 128 bytes of
 * UTF-8 without '/' and control characters, not beginning with '.' or '-'.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or key is NULL or the key is
 * not such text.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_key(ibt_options *options, const char *key);

/**
 * The directory that holds copies of the newest states and signatures, so that
 * an increment need not fetch them. It may be removed at any time. A relative
 * path is that of the current directory of this call.
 *
 * Default: $XDG_CACHE_HOME/ibt or ~/.cache/ibt.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL or path is
 * empty.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_cache_dir(ibt_options *options,
                                     const char *path);

/**
 * Protects what lies at a path, with all below it, by whatever name it is
 * reached: a restore neither removes, replaces nor enters it, and lists an
 * entry whose place it is as IBT_PROBLEM_OBSTRUCTED; a backup or comparison
 * leaves it out, with a note. The path is looked at, and links in it are
 * followed, when the operation begins; IBT_ERR_IO if there is nothing (then
 * ibt_error_os_code() is ENOENT).
 *
 * Needed where a storage of the caller's own functions keeps its objects in a
 * directory: of a directory storage, and of the cache, libibt knows. Any number.
 * Restores, backups and comparisons; ignored elsewhere.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL or path is
 * empty, or after 10,000 of them.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_add_protected_path(ibt_options *options,
                                          const char *path);

/**
 * Leaves out of a backup, and out of both sides of a comparison, what matches
 * a pattern: one line as in a .gitignore file in the source, '!' included. Any
 * number; later ones win.
 *
 * Every other operation refuses options with patterns (IBT_ERR_INVALID_ARG).
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or pattern is NULL, if the
 * pattern is empty, longer than 4096 bytes, not one line, malformed (a class
 * without end, a backslash at the end) or not UTF-8, or after 10,000 of them.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_add_exclude(ibt_options *options,
                                   const char *gitignore_pattern);

/**
 * The name of files in the source that hold patterns for their directory, in
 * the manner of .gitignore. Backups and comparisons; ignored elsewhere.
 *
 * The file of a directory and those of the directories above it have at most
 * 1 MiB and 10,000 patterns together. One that exceeds this is not used, which
 * is a problem: what its patterns name is backed up.
 *
 * Default: ".exclude". "" for none.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options or name is NULL or name is
 * not a file's name.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_exclude_file(ibt_options *options,
                                        const char *name);

/**
 * Selects exactly this snapshot, instead of the newest, by its stamp, such as
 * "20261122T220530.123456Z". NULL selects the newest again. Of the two
 * selectors the one set later counts.
 *
 * Backups refuse options with a selector (IBT_ERR_INVALID_ARG).
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
 * Selects the last snapshot made at a moment or before, in nanoseconds since
 * 1970, UTC. When each was made is ibt_report_snapshot_date(), exact to a
 * microsecond; of two made at once, the one with the later stamp. For the last
 * one of a whole second, minute or day give the last nanosecond of that time.
 * ibt_prune() removes that snapshot too, however long before the moment it was
 * made: where that matters, list first and give it the stamp.
 *
 * Of the two selectors the one set later counts.
 *
 * Backups refuse options with a selector (IBT_ERR_INVALID_ARG).
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_as_of(ibt_options *options,
                                 int64_t unix_nanoseconds);

/**
 * How backup files are compressed: codec is one of IBT_COMPRESSION_*; level,
 * of IBT_COMPRESSION_ZSTD, is 1 (fast) to 19 (small), and 0 is 3. Every file
 * says how it is compressed, so a series may mix them.
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
 * How many worker threads an operation may start; they end with it.
 *
 * Default: 0, one for each core. At most 1024.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or n is too large.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_options_set_threads(ibt_options *options, uint32_t n);

/**
 * When an increment takes a file as unchanged: one of IBT_DETECT_*.
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
 * With 1 a backup does not enter other file systems mounted in the source, and
 * a comparison none in the tree; their mount points count as empty directories.
 * Backups and comparisons; ignored elsewhere.
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
 * With 1 what lies in directories marked with a valid CACHEDIR.TAG file is left
 * out, but for that file. Backups and comparisons; ignored elsewhere.
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
 * What becomes of a file that cannot be read or restored, or of anything else
 * that would make the result partial: one of IBT_ON_ERROR_*.
 *
 * With IBT_ON_ERROR_STOP the operation returns that problem's status, which
 * may be one that its comment does not name.
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
 * With 1 a backup, full or not, accepts a source path or host other than those
 * of the newest snapshot, where it else returns IBT_ERR_MISMATCH.
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
 * With 1 a backup, full or not, accepts an empty source where the newest
 * snapshot has entries. Else it returns IBT_ERR_MISMATCH: most often a mount is
 * missing. A prune may then leave no snapshot of its key; else that is
 * IBT_ERR_INVALID_ARG.
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
 * What a restore sets beside content: IBT_META_* bits, 0 for nothing.
 *
 * Default: all of them, but IBT_META_OWNER only with privilege: for root, or
 * with the capability to give files away.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or mask has another
 * bit.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_options_set_restore_metadata(ibt_options *options,
                                            uint32_t mask);

/**
 * The tree digest ("blake3:" and 64 hex digits) that the selected snapshot
 * must have; any other is refused with IBT_ERR_MISMATCH before anything else
 * is read. An operation that selects no snapshot refuses such options
 * (IBT_ERR_INVALID_ARG).
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
 * How long an operation waits for another one that holds the same key, in
 * milliseconds; then it returns IBT_ERR_BUSY. -1 is for ever. While a backup, a
 * prune or a consolidation waits, it keeps operations that only read and come
 * later out for a second, then lets them in for a second, and so on, each time
 * for twice as long, up to 256 seconds. Who reads and waits for longer than that
 * gets in before the writer does.
 *
 * Default: 0, not at all.
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
 * Non-zero lets backups, prunes and consolidations go on where nothing can be
 * locked: the file system of the storage has no locks, or something that is no
 * file stands under the lock's name. The caller then guarantees that nobody else
 * writes to the key meanwhile: two writers at a time can remove what the other
 * needs. What only reads goes on without a lock in any case, and logs it.
 *
 * Default: 0, IBT_ERR_UNSUPPORTED.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
 *
 * Since: 0.1.0
 */
IBT_API
ibt_status ibt_options_set_allow_unlocked(ibt_options *options,
                                          int32_t on);

/**
 * ==== Cancelling ====
 *
 * Makes a request that nobody has made yet. Never returns NULL.
 *
 * Since: 0.1
 */
IBT_API ibt_cancel *ibt_cancel_new(void);

/**
 * Asks every operation given this object to stop: the running ones return
 * IBT_ERR_CANCELLED soon, later ones at once. A backup that is committed
 * already returns as if nothing had been asked. NULL is ignored.
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
 * What the operation is busy with: one of IBT_PHASE_*; 0 for NULL.
 *
 * Since: 0.1
 */
IBT_API int32_t ibt_progress_phase(const ibt_progress *now);

/**
 * What is being worked on, as raw bytes: the path of an entry, relative to the
 * source or the snapshot's root. While states are read (IBT_PHASE_SCAN of a
 * list, a prune or a verify) and while backup files are removed
 * (IBT_PHASE_DELETE) it is the name of that file in the storage.
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
 * Bytes to do in this phase; 0 while unknown, and for NULL.
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
 * Entries to do in this phase; 0 while unknown, and for NULL.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_progress_total_entries(const ibt_progress *now);

/**
 * ==== Storage ====
 *
 * Opens a directory as a storage. It need not exist: the first backup makes
 * it. A relative path is that of the current directory of this call. In the
 * directory, only regular files are taken for backup files.
 *
 * `*out` is set to NULL first and owned by the caller after IBT_OK.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if path or out is NULL or path is empty.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_storage_open_dir(const char *path,
                                ibt_storage **out,
                                ibt_error **err);

/**
 * Makes a storage of the caller's own, which has no function yet. Never
 * returns NULL.
 *
 * `ud` is passed to each of its functions. `destroy`, which may be NULL, lets
 * go of it: it is called once, when the storage was freed and the last call
 * that uses it has ended.
 *
 * A storage is a flat table of OBJECTS: names, each with some bytes. libibt
 * makes an object, reads it, perhaps deletes it; it never changes one. Names
 * are at most 200 bytes of UTF-8 and hold no '/', no NUL and no control
 * character. Set the functions that there are:
 *
 *   ibt_storage_set_reader()   every operation needs it
 *   ibt_storage_set_list()     every operation needs it
 *   ibt_storage_set_writer()   backups and consolidations need it
 *   ibt_storage_set_delete()   removing snapshots needs it
 *   ibt_storage_set_lock()     optional
 *
 * An operation that needs a function which is not set returns
 * IBT_ERR_UNSUPPORTED, naming the setter, before it calls any. Every snapshot
 * is committed by one object, its state, which libibt commits after all others:
 * a run that fails half-way leaves objects that no state names, or none, but
 * never half a snapshot.
 *
 * Every function but ibt_abort_fn and ibt_unlock_fn answers IBT_CALLBACK_OK or
 * why it failed. IBT_ERR_NOT_FOUND, IBT_ERR_EXISTS, IBT_ERR_BUSY,
 * IBT_ERR_CANCELLED and IBT_ERR_UNSUPPORTED become the status of the operation;
 * everything else that is not positive, 0 among it, becomes IBT_ERR_STORAGE.
 * ibt_storage_fail() adds a reason. Mind that IBT_OK is 0 and thus a failure
 * here.
 *
 * The functions run on the thread that called the operation, one at a time, and
 * never outside of an operation. While one runs the storage is busy:
 * operations and setters called with it return IBT_ERR_BUSY.
 *
 * Since: 0.1
 */
IBT_API ibt_storage *ibt_storage_new(void *ud, ibt_destroy_fn destroy);

/**
 * Closes a storage; nothing stored is touched. During a call that uses it this
 * takes effect when that call ends. NULL is ignored.
 *
 * Since: 0.1
 */
IBT_API void ibt_storage_free(ibt_storage *storage);

/**
 * Sets the functions that make an object: create, write, and one of commit and
 * abort. What was set before is replaced.
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
 * Sets the function that reads a range of an object. What was set before is
 * replaced.
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
 * Sets the function that lists objects. What was set before is replaced.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if storage or list is NULL or the
 * storage is a directory; IBT_ERR_BUSY while an operation uses it.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_storage_set_list(ibt_storage *storage, ibt_list_fn list);

/**
 * Sets the function that removes an object. What was set before is replaced.
 *
 * Without it no snapshot can be removed, and what a failed backup had committed
 * before its state stays in the storage. No snapshot names that: it takes
 * room, nothing else.
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
 * Sets the functions that keep two writers of one key apart. What was set
 * before is replaced.
 *
 * Who changes the storage holds the lock of its key: backups and the removal of
 * snapshots. Who only reads takes none: a snapshot removed under a restore's
 * hands is reported as missing.
 *
 * Without locks keeping writers apart is the caller's business. Two backups of
 * one key at the same time then make two snapshots with one parent, both whole,
 * or one of them returns IBT_ERR_BUSY; and what failed runs left is never
 * removed automatically, as it might be another run's work: ibt_prune() removes
 * it once a newer snapshot exists.
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
 * Says why the storage's running function is about to fail: `os_code` is the
 * system's error number (errno) or 0, `msg` a line of UTF-8 for people, copied,
 * or NULL for what the system calls os_code. The operation's error repeats
 * both. Each call replaces the one before.
 *
 * Valid while a function of the storage runs, on any thread. At other times,
 * and if the function then succeeds, it has no effect.
 *
 * Returns IBT_OK, which is 0: a function that returns what it got from here
 * fails. IBT_ERR_INVALID_ARG if storage is NULL or a directory.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_storage_fail(ibt_storage *storage,
                            int32_t os_code,
                            const char *msg);

/**
 * Adds an object to a listing: to be called by an ibt_list_fn, on its thread,
 * once for each. The name is copied; size is in bytes.
 *
 * Names that were not asked for, are no backup file's, are not UTF-8 or were
 * added before are passed over.
 *
 * Returns IBT_OK, which is not what the ibt_list_fn itself answers;
 * IBT_ERR_INVALID_ARG if out or name is NULL.
 *
 * Since: 0.1
 */
IBT_API ibt_status ibt_list_add(ibt_list *out, const char *name, uint64_t size);

/**
 * ==== Operations ====
 *
 * Makes a full backup of the directory `source`: a new snapshot that needs no
 * other.
 *
 * The report lists the backup files made; `*report` and `*err`, both of which
 * may be NULL, are set as the rules above say.
 *
 * The storage's own directory and the cache are left out wherever they lie in
 * the source, and so are the paths of ibt_options_add_protected_path(), each
 * with a note, IBT_PROBLEM_SKIPPED.
 *
 * The newest snapshot of the key says which source this is. One whose state is
 * damaged is listed in the report and passed over for the next.
 *
 * Returns IBT_OK; IBT_PARTIAL if entries could not be read or changed while
 * they were, or a state is damaged; IBT_ERR_INVALID_ARG if source is NULL or
 * empty, options were refused, select a snapshot or expect a digest, the source
 * is the storage's directory itself, or the source's name is not a valid key
 * and none is set; IBT_ERR_IO if the source cannot be opened (ibt_error_os_code() is ENOENT if there is none, ENOTDIR if
 * it is no directory) or the storage failed; IBT_ERR_MISMATCH if the newest
 * snapshot is of another source or host (see
 * ibt_options_set_allow_source_change()), or the source is empty and was not
 * then (see ibt_options_set_allow_empty()); IBT_ERR_FORMAT if that snapshot was
 * made by a newer libibt; IBT_ERR_BUSY if the storage or the key is in use or
 * was changed meanwhile; IBT_ERR_UNSUPPORTED if the storage lacks a function;
 * IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with
 * IBT_ON_ERROR_STOP the first problem's status.
 *
 * After an error no snapshot was made, with one exception: when the storage
 * fails at the very end (IBT_ERR_IO, IBT_ERR_STORAGE), a whole snapshot may be
 * there; ibt_list_snapshots() tells.
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
 * Makes an increment: a new snapshot of `source` that stores only what changed
 * since the newest one of its key. It is restored like a full one.
 *
 * Arguments and report as for ibt_full_backup(). An unreadable entry keeps its
 * previous version; it never counts as deleted. What a backup file held that is
 * gone or of a wrong size is stored again.
 *
 * Returns the same, IBT_PARTIAL also if there is such a file (but not for one
 * with signatures that the cache has, see ibt_rebuild_cache()), and
 * IBT_ERR_NOT_FOUND if the key has no undamaged snapshot to build on: make a
 * full backup first.
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
 * Restores a snapshot of `key` as the directory `dest`: the newest, or the one
 * that options select. Without an overwrite policy dest must be absent or
 * empty, and the tree appears whole, when everything is written and checked.
 * ibt_options_add_include(), ibt_options_add_path() and ibt_options_set_root()
 * limit the restore to a part of the snapshot. With ibt_options_set_dry_run()
 * it only tells; stored contents are not read then, so no damage is found.
 *
 * Over an existing tree (ibt_options_set_overwrite(), where dest is there) it
 * works in place, entry by entry: the policy says what becomes of what stands
 * there, and each file is the old or the new one at any moment. A directory that
 * only leads to what globs and paths match stays as it is, and so does all that
 * the snapshot has not, unless ibt_options_set_delete_extra() removes it.
 *
 * In a new tree and in an existing one, an entry that the destination refuses
 * is listed as IBT_PROBLEM_OBSTRUCTED, and the others are restored: a directory
 * that is not empty stands where a file belongs, or the file system has no
 * symbolic links, no such name, or takes two names for one, or its place is
 * the storage's own directory, the cache or a protected path, or lies in one
 * (ibt_options_add_protected_path()). Of a refused
 * directory all below it is left out, and only the directory is listed. A name
 * that cannot be linked to the others of its file becomes a file of its own,
 * which is listed as IBT_PROBLEM_METADATA. Only what every further entry would
 * meet ends the restore, such as a full file system (see
 * ibt_options_set_leave_partial()).
 *
 * What a restore that was killed left of dest, under a name that begins with
 * ".ibt-tmp-restore-", is removed by the next restore of dest, where the file
 * system tells for certain that no restore works in it any more, and that of
 * dest itself. What stays is listed as IBT_PROBLEM_LEFTOVER. Backups and
 * comparisons leave such names out (IBT_PROBLEM_SKIPPED).
 *
 * The change callback is told what is done with each entry, as a change from
 * dest to the snapshot: IBT_CHANGE_CREATED made where nothing was, _CONTENT put
 * in the place of something else, _METADATA only its metadata was set, _KEPT
 * left by the policy although its type, size or modification time is another
 * (counted as IBT_COUNT_UNCHANGED too), _DELETED removed. An entry that is
 * right already is not told. Where the policy leaves something in the place of
 * a directory, nothing below that is restored. `before` has only what lstat()
 * gives: a link's target is "", user and group are NULL, hash, hard links and
 * extended attributes are not known, and a socket is shown as a FIFO.
 *
 * `*report` and `*err` as for ibt_full_backup(), but the report's files are
 * those that the snapshot needs.
 *
 * Returns IBT_OK; IBT_PARTIAL if stored bytes are damaged or missing, some
 * metadata could not be set, or the destination refused an entry: what is
 * listed in the report is not restored, or not entirely; IBT_ERR_INVALID_ARG if
 * key or dest is NULL or malformed, options were refused or exclude anything,
 * or an existing dest lies in the storage's own directory, the cache or a
 * protected path; IBT_ERR_NOT_FOUND without such a snapshot, or if a glob, a
 * path or the root matches nothing in it; IBT_ERR_EXISTS if dest is there and
 * not an empty directory (with an overwrite policy: not a directory);
 * IBT_ERR_MISMATCH if the snapshot has not the expected digest;
 * IBT_ERR_CORRUPT if its state is
 * damaged, IBT_ERR_FORMAT if it was made by a newer libibt; IBT_ERR_UNSUPPORTED
 * if the storage lacks a function; IBT_ERR_BUSY, IBT_ERR_IO, IBT_ERR_STORAGE,
 * IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the
 * first problem's status, IBT_ERR_CORRUPT for damaged contents and
 * IBT_ERR_MISSING for missing ones among them.
 *
 * After an error dest is as it was, with one exception: when the system fails
 * at the very end (IBT_ERR_IO), dest may be complete. In an existing tree what
 * was done until then stays.
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
 * Lists the snapshots of `key`, of every key for NULL: oldest first, in the
 * report's ibt_report_snapshot_*(). With a selector in the options it lists
 * that snapshot, and in ibt_report_file_*() all backup files that it needs.
 *
 * `*report` and `*err` as for ibt_full_backup().
 *
 * Returns IBT_OK, also for a storage that holds none; IBT_PARTIAL if a state
 * is damaged or was made by a newer libibt; IBT_ERR_IO if one cannot be read
 * now, after the others were listed; IBT_ERR_INVALID_ARG if key is malformed, or NULL although
 * a snapshot is selected, or options were refused, exclude anything or expect a
 * digest; IBT_ERR_NOT_FOUND if the storage is a directory that does not exist,
 * or key is given and has no snapshot, or not the selected one; IBT_ERR_CORRUPT
 * or IBT_ERR_FORMAT if the selected one's state cannot be used;
 * IBT_ERR_UNSUPPORTED if the storage lacks a function; IBT_ERR_BUSY, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
 * IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's status.
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
 * Makes a new full snapshot of what the newest one of `key` holds, from the
 * storage alone: the source is not needed. It restores the same, has the same
 * digest, and increments go on from it; with ibt_prune() the older ones can go
 * then, however long the chain was.
 *
 * Options for compression, threads, the cache and the lock are used; changes
 * are not told, as nothing changed. `*report` and `*err` as for
 * ibt_full_backup(): the report lists the backup files made. Where the newest
 * snapshot is a full one already, whose files are all there, nothing is to be
 * gained: the report names that snapshot and no files. Where the newest state is
 * damaged the newest one that is not takes its place, as for increments.
 *
 * Returns IBT_OK; IBT_PARTIAL if the newest state is damaged, so that an older
 * snapshot counts as the newest; IBT_ERR_INVALID_ARG if key is NULL or malformed, or options
 * were refused, select a snapshot, expect a digest, exclude or include
 * anything, or set a dry run; IBT_ERR_NOT_FOUND if the key has no snapshot;
 * or none that is undamaged; IBT_ERR_CORRUPT or IBT_ERR_MISSING if any content
 * of it is damaged or gone: a full snapshot is whole or is not made, and
 * ibt_error_path() says whose content it is; IBT_ERR_FORMAT if it
 * was made by a newer libibt; IBT_ERR_UNSUPPORTED if the storage lacks a
 * function; IBT_ERR_BUSY if the storage or the key is in use or was changed
 * meanwhile; IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
 * IBT_ERR_PANIC.
 *
 * After an error no snapshot was made, with the exception that
 * ibt_full_backup() has.
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
 * Makes the cache of the newest snapshot of `key` whole again: a copy of its
 * state and of every backup file with signatures that it names. Increments
 * work without a cache and refill it from the storage; this does it
 * beforehand, and also where the storage itself lost or damaged such a file:
 * then its signatures are made again from the stored contents, and the next
 * increment, which is as small as ever, puts them into the storage.
 *
 * Nothing in the storage is changed. `*report` and `*err` as for
 * ibt_full_backup(), except that the report's files are those made in the
 * cache, with their paths there, of kind "state" or "sigvault"; a file of
 * signatures made again is named like the lost one with ".stream" at its end.
 * What was right already is not made again.
 *
 * Returns IBT_OK; IBT_PARTIAL if the newest state is damaged, so that an older
 * snapshot counts as the newest, or a signature could not be made again
 * because the content is damaged or gone: its file will be stored whole when
 * it changes; IBT_ERR_INVALID_ARG if key is NULL or malformed, options were
 * refused, select a snapshot, expect a digest, exclude or include anything, or
 * set a dry run, or no cache directory is set and the user has none;
 * IBT_ERR_NOT_FOUND if the key has no undamaged snapshot; IBT_ERR_FORMAT if it
 * was made by a newer libibt; IBT_ERR_IO if the cache cannot be written or the
 * storage failed; IBT_ERR_UNSUPPORTED if the storage lacks a function;
 * IBT_ERR_BUSY, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
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
 * Removes snapshots of `key`, and then every backup file that no remaining
 * snapshot needs, left-overs of interrupted backups among them. Which ones:
 * those that no rule set with ibt_options_set_keep_last(), _keep_daily(),
 * _keep_weekly(), _keep_monthly() or _keep_yearly() keeps, or exactly the one
 * that ibt_options_set_snapshot() or ibt_options_set_as_of() selects. Any
 * snapshot can go, the first, one in the middle or the latest: no other needs
 * it. The rules look at the snapshots' stamps only, never at the clock.
 *
 * `*report` and `*err` as for ibt_full_backup(). The report lists every
 * snapshot of the key as IBT_ACTION_KEPT or IBT_ACTION_REMOVED with the reason,
 * such as "last 3, daily 2026-11-22" or "no rule keeps it", and as its files
 * the backup files that were removed. IBT_COUNT_DELETED counts the snapshots
 * removed. With ibt_options_set_dry_run() the report is the same and nothing is
 * touched; only temporary files that interrupted runs left are not looked for.
 *
 * A state that is damaged or was made by a newer libibt is counted by no rule
 * and removed by none, only if ibt_options_set_snapshot() names its stamp.
 * While one remains, no other kind of file is removed, because it might be
 * needed: such files are listed as IBT_PROBLEM_LEFTOVER, and the result is
 * IBT_PARTIAL. The same goes for a state that somebody replaced by a symbolic
 * link. A state that cannot be read now (IBT_ERR_IO, IBT_ERR_STORAGE,
 * IBT_ERR_UNSUPPORTED) may be whole: nothing is removed then, unless it is the
 * one that ibt_options_set_snapshot() names. Where a storage cannot lock, nobody
 * else may use the key meanwhile; backup files newer than every snapshot are
 * then left there, as a backup may be making them, and are listed as
 * IBT_PROBLEM_LEFTOVER.
 *
 * Returns IBT_OK; IBT_PARTIAL if a state that stays is damaged;
 * IBT_ERR_INVALID_ARG if key is NULL or malformed, options were refused, set no
 * rule and select no snapshot, do both, exclude anything or expect a digest, or
 * if no snapshot would be left (see ibt_options_set_allow_empty());
 * IBT_ERR_NOT_FOUND if the key has no snapshot or not the selected one;
 * IBT_ERR_CORRUPT or IBT_ERR_FORMAT if ibt_options_set_as_of() selects a state
 * that cannot be used; IBT_ERR_UNSUPPORTED if the storage cannot delete;
 * IBT_ERR_BUSY if the storage or the key is in use or was changed meanwhile;
 * IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
 * IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's status.
 *
 * After an error, IBT_ERR_CANCELLED too, what was removed stays removed and is
 * listed; every other snapshot is whole, and another prune removes the rest.
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
 * Reads everything that snapshots need and compares it with its hashes: each
 * state, each archive, each content as a restore would write it, each
 * signature. All snapshots of `key`, of every key for NULL; with a selector in
 * the options that one, with an expected digest alone the newest. Nothing is
 * changed.
 *
 * `*report` and `*err` as for ibt_full_backup(). A loss does not end it: each
 * is a problem that names the path, the backup file
 * (ibt_report_problem_file()), the snapshot and, in its message, what was
 * expected and found; IBT_PROBLEM_MISSING if the file is gone,
 * IBT_PROBLEM_UNREADABLE if it cannot be read now, else IBT_PROBLEM_DAMAGED. What
 * cannot be read now does not end it either, but its first error is what is
 * returned in the end. What several snapshots share is listed for each.
 * A problem without a path is about a backup file as such: none of the
 * snapshot's paths is known to suffer. One in a "sigvault" file costs no
 * content, only that the next change of its path is stored whole.
 * The report lists the snapshots verified, each with its losses as
 * IBT_COUNT_PROBLEMS and a reason such as "3 losses", "" if it is whole; one
 * whose state cannot be read is a problem only. An archive or a content that
 * several snapshots share is read once, beyond a million contents of a key
 * perhaps more often.
 *
 * Returns IBT_OK if all is as it was written, also for a storage that holds
 * nothing; IBT_PARTIAL if anything is damaged or missing, or a state was made
 * by a newer libibt; IBT_ERR_INVALID_ARG if key is malformed, or NULL although a
 * snapshot is selected or a digest expected, or options were refused or exclude
 * anything; IBT_ERR_NOT_FOUND if key is given and has no snapshot, or not the
 * selected one; IBT_ERR_CORRUPT or IBT_ERR_FORMAT if the selected one's state
 * cannot be used; IBT_ERR_MISMATCH if it has not the expected digest;
 * IBT_ERR_UNSUPPORTED if the storage cannot be read; IBT_ERR_BUSY, IBT_ERR_IO,
 * IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with
 * IBT_ON_ERROR_STOP the first problem's status.
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
 * Compares a snapshot of `key` with the directory `tree`: the newest, or the
 * one that options select. Every difference is told to the change callback as
 * a change from the snapshot to the tree: IBT_CHANGE_CREATED what only the tree
 * has, _DELETED what only the snapshot has, _CONTENT other bytes or another
 * type, link target or device, _METADATA another mode, owner, modification time
 * or extended attributes, or files that are hard-linked with others than they
 * were. The report counts them.
 *
 * The tree is walked as a backup would, with its exclude files and without the
 * storage's directory and the cache; a pattern of
 * ibt_options_add_exclude() takes entries out of both sides. Globs and paths
 * limit the comparison. Every file whose size is the same is read, whatever
 * its times and ibt_options_set_change_detection() say: silent damage is found.
 * Not compared are holes, ctimes, inodes and users' names. Nothing is written,
 * and no link of the tree is followed. Progress is told as IBT_PHASE_VERIFY.
 *
 * `*report` and `*err` as for ibt_full_backup().
 *
 * Returns IBT_OK, whether or not there are differences; IBT_PARTIAL if
 * something in the tree could not be read, which is listed in the report;
 * IBT_ERR_INVALID_ARG if key or tree is NULL or malformed, or options were
 * refused or set what has no use here (a root, delete_extra, dry_run);
 * IBT_ERR_NOT_FOUND without such a snapshot, or if a glob or path matches on
 * neither side (this is known, and returned, at the end); IBT_ERR_IO if tree
 * cannot be opened (ibt_error_os_code() is ENOENT if there is none, ENOTDIR if
 * it is no directory) or the storage failed; IBT_ERR_MISMATCH if the snapshot
 * has not the expected digest; IBT_ERR_CORRUPT if its state is damaged,
 * IBT_ERR_FORMAT if it was made by a newer libibt; IBT_ERR_UNSUPPORTED if the
 * storage lacks a function; IBT_ERR_BUSY, IBT_ERR_STORAGE, IBT_ERR_LIMIT,
 * IBT_ERR_CANCELLED, IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's
 * status.
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
 * ==== Looking into a snapshot ====
 *
 * Opens a snapshot of `key`: the newest, or the one that options select. Its
 * state is read and verified, which for a million entries takes seconds; the
 * files' contents are not. Progress is told as IBT_PHASE_VERIFY.
 *
 * `*out` is set to NULL first and owned by the caller after IBT_OK.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if key or out is NULL, key is malformed,
 * or options were refused or set what has no use here (filters, a root,
 * delete_extra, dry_run); IBT_ERR_NOT_FOUND without such a snapshot;
 * IBT_ERR_MISMATCH if it has not the expected digest; IBT_ERR_CORRUPT if its
 * state is damaged, IBT_ERR_FORMAT if it was made by a newer libibt;
 * IBT_ERR_UNSUPPORTED if the storage lacks a function; IBT_ERR_BUSY if the
 * storage is in use by another call or the key by a writer (see
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
 * The snapshot's stamp, such as "20261122T220530.123456Z": its name within its
 * key. NULL for NULL. Borrowed until the snapshot is freed.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_snapshot_stamp(const ibt_snapshot *snapshot);

/**
 * Gives `entry` the entry of `path` and what lies below it: with depth 0 the
 * entry itself only, with 1 what the directory holds too, with UINT32_MAX all.
 * Entries come in the order of paths, each directory right before what it
 * holds. "" is the root; slashes around path are ignored.
 *
 * The storage is not used. What lies deeper than asked for is not read either:
 * one directory of a large snapshot is listed in milliseconds.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if snapshot, path or entry is NULL or
 * path is malformed ("." and ".." are no parts of one); IBT_ERR_NOT_FOUND if
 * the snapshot has no such entry; IBT_ERR_CANCELLED if entry said so;
 * IBT_ERR_BUSY if the snapshot is in use by another call; IBT_ERR_IO,
 * IBT_ERR_PANIC.
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
 * Gives `sink` the bytes of a file from `offset` on, in order and in pieces of
 * any size: `len` of them (UINT64_MAX: all), or fewer where the file ends, none
 * past its end. Holes read as zeros.
 *
 * Only what holds these bytes is read from the storage; reading on in the same
 * file costs least. A read of a whole file is compared with its hash: until
 * the call returns IBT_OK, what sink was given is provisional. Parts cannot be
 * compared; but compressed archives have checksums of their own.
 *
 * Returns IBT_OK; IBT_ERR_INVALID_ARG if snapshot, path or sink is NULL, or
 * path is malformed or no file; IBT_ERR_NOT_FOUND if the snapshot has no such
 * entry; IBT_ERR_MISSING if a backup file that holds the bytes is gone;
 * IBT_ERR_CORRUPT if they are damaged; IBT_ERR_CANCELLED if sink said so;
 * IBT_ERR_BUSY if the snapshot or its storage is in use by another call;
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
 * Closes a snapshot. During a call that uses it this takes effect when that
 * call ends. NULL is ignored.
 *
 * Since: 0.1
 */
IBT_API void ibt_snapshot_free(ibt_snapshot *snapshot);

/**
 * ==== Entries ====
 *
 * The path relative to the source, as raw bytes: components joined by '/', ""
 * for the source itself. NULL for NULL.
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
 * A symbolic link's target as raw bytes; NULL for every other type.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_entry_target(const ibt_entry *entry);

/**
 * The hash of a file's content without its holes, "blake3:" and 64 hex digits;
 * NULL for every other type, and for a file of a tree that was not read.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_entry_hash(const ibt_entry *entry);

/**
 * A file's logical size in bytes, holes included; 0 for every other type.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_entry_size(const ibt_entry *entry);

/**
 * Permission bits with setuid, setgid and sticky, at most octal 7777.
 *
 * Since: 0.1
 */
IBT_API uint32_t ibt_entry_mode(const ibt_entry *entry);

/**
 * The owner's number.
 *
 * Since: 0.1
 */
IBT_API uint32_t ibt_entry_uid(const ibt_entry *entry);

/**
 * The group's number.
 *
 * Since: 0.1
 */
IBT_API uint32_t ibt_entry_gid(const ibt_entry *entry);

/**
 * The owner's name when the backup was made; NULL if the system knew none.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_entry_user(const ibt_entry *entry);

/**
 * The group's name when the backup was made; NULL if the system knew none.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_entry_group(const ibt_entry *entry);

/**
 * The modification time in nanoseconds since 1970, UTC; clamped to what fits
 * (the years 1677 to 2262).
 *
 * Since: 0.1
 */
IBT_API int64_t ibt_entry_mtime(const ibt_entry *entry);

/**
 * The time of the last change of metadata, in the same unit; a restore cannot
 * set it.
 *
 * Since: 0.1
 */
IBT_API int64_t ibt_entry_ctime(const ibt_entry *entry);

/**
 * A device's number (st_rdev); 0 for every other type.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_entry_rdev(const ibt_entry *entry);

/**
 * The number of a file's hard-link set: equal for all its names in one
 * snapshot; 0 for a file with one name and for every other type.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_entry_link(const ibt_entry *entry);

/**
 * How many extended attributes the entry has.
 *
 * Since: 0.1
 */
IBT_API size_t ibt_entry_xattr_count(const ibt_entry *entry);

/**
 * The name of extended attribute i, such as "user.mime_type"; NULL if there is
 * none.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_entry_xattr_name(const ibt_entry *entry, size_t i);

/**
 * The value of extended attribute i: any bytes, not ended by NUL. Its length
 * goes to `*len`, which may be NULL. NULL, and 0 in `*len`, if there is none.
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
 * The key that the operation worked on; NULL if on none or on all.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_report_key(const ibt_report *report);

/**
 * The stamp of the snapshot made or used, such as "20261122T220530.123456Z";
 * NULL if there is none.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_report_snapshot(const ibt_report *report);

/**
 * That snapshot's tree digest, "blake3:" and 64 hex digits: it stands for
 * every path, content and attribute. Who signs this signs the snapshot; see
 * ibt_options_set_expected_digest(). NULL if there is none.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_report_digest(const ibt_report *report);

/**
 * When the operation began, in nanoseconds since 1970, UTC.
 *
 * Since: 0.1
 */
IBT_API int64_t ibt_report_date(const ibt_report *report);

/**
 * How many backup files the operation made or removed; of a restore, a
 * comparison and the list of one snapshot, how many that snapshot needs.
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
 * What backup file i is: "full", "created", "updated", "sigvault" or "state".
 *
 * Since: 0.1
 */
IBT_API const char *ibt_report_file_kind(const ibt_report *report, size_t i);

/**
 * The path of backup file i as raw bytes; NULL if the storage is no directory.
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
 * The sizes of all these files together.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_report_total_size(const ibt_report *report);

/**
 * A counter: which is one of IBT_COUNT_*. 0 for an unknown one.
 *
 * Since: 0.1
 */
IBT_API uint64_t ibt_report_counter(const ibt_report *report, int32_t which);

/**
 * How many snapshots are listed.
 *
 * Since: 0.1
 */
IBT_API size_t ibt_report_snapshot_count(const ibt_report *report);

/**
 * The stamp of snapshot i: its name within its key, UTC.
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
 * How snapshot i was made: "full" or "incremental".
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_snapshot_kind(const ibt_report *report,
                                     size_t i);

/**
 * The tree digest of snapshot i.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_snapshot_digest(const ibt_report *report,
                                       size_t i);

/**
 * The absolute path of the source of snapshot i, as raw bytes.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_snapshot_source(const ibt_report *report,
                                       size_t i);

/**
 * The stamp of the snapshot that snapshot i was compared with when it was made
 * or, for a full one of ibt_consolidate(), copied from; NULL for every other
 * full one. It may be gone: no snapshot needs another.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_snapshot_parent(const ibt_report *report,
                                       size_t i);

/**
 * Why snapshot i was kept or removed, one line; "" if nothing was decided.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_snapshot_reason(const ibt_report *report,
                                       size_t i);

/**
 * When snapshot i was made, in nanoseconds since 1970, UTC. That is the moment of
 * its stamp, unless an earlier stamp of its key was ahead of the clock: stamps
 * only grow, so the stamp is then later than the moment.
 *
 * Since: 0.1
 */
IBT_API
int64_t ibt_report_snapshot_date(const ibt_report *report,
                                 size_t i);

/**
 * What became of snapshot i: one of IBT_ACTION_*.
 *
 * Since: 0.1
 */
IBT_API int32_t ibt_report_snapshot_action(const ibt_report *report, size_t i);

/**
 * A counter of snapshot i, as it was when that was made: which is one of
 * IBT_COUNT_*. After ibt_verify() IBT_COUNT_PROBLEMS is how many losses were
 * found in it. 0 for an unknown one.
 *
 * Since: 0.1
 */
IBT_API
uint64_t ibt_report_snapshot_counter(const ibt_report *report,
                                     size_t i,
                                     int32_t which);

/**
 * How many problems are listed: the first 10,000. IBT_COUNT_PROBLEMS counts
 * all.
 *
 * Since: 0.1
 */
IBT_API size_t ibt_report_problem_count(const ibt_report *report);

/**
 * The path of the entry that problem i is about, as raw bytes; NULL if it is
 * about none.
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
 * The stamp of the snapshot that problem i is about; NULL if none is named: it
 * is about the report's own then, if about any.
 *
 * Since: 0.1
 */
IBT_API
const char *ibt_report_problem_snapshot(const ibt_report *report,
                                        size_t i);

/**
 * The name of the backup file that problem i is about; NULL if it is about
 * none.
 *
 * Since: 0.1
 */
IBT_API const char *ibt_report_problem_file(const ibt_report *report, size_t i);

/**
 * Problem i as a status, such as IBT_ERR_IO.
 *
 * Since: 0.1
 */
IBT_API
ibt_status ibt_report_problem_status(const ibt_report *report,
                                     size_t i);

/**
 * What kind of problem i is: one of IBT_PROBLEM_*.
 *
 * Since: 0.1
 */
IBT_API int32_t ibt_report_problem_kind(const ibt_report *report, size_t i);

/**
 * The system's error number (errno) behind problem i, or 0.
 *
 * Since: 0.1
 */
IBT_API int32_t ibt_report_problem_os_code(const ibt_report *report, size_t i);

/**
 * All of the report as one line of JSON, UTF-8. Bytes of names that are no
 * text stand as %XX, and so does '%' itself; times are "SECONDS.NNNNNNNNN".
 *
 * Never NULL: "" for NULL.
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
