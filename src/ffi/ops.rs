//! The operations: each copies the options, takes the storage, runs one function of the engine and hands
//! out its report.

use std::ffi::c_char;
use std::ptr;

use crate::error::{Error, Result};
use crate::job::{Job, Options, Select};
use crate::stamp::Time;
use crate::store::Store;
use crate::{backup, maintain, restore};

use super::args::{self, give, invalid, put};
use super::error::ibt_error;
use super::guard::attempt;
use super::library::ibt_status;
use super::options::{ibt_options, settings};
use super::report::ibt_report;
use super::storage::{ibt_storage, with_store};

/// ==== Operations ====
///
/// Makes a full backup of the directory `source`: a new snapshot that needs no
/// other.
///
/// The report lists the backup files made; `*report` and `*err`, both of which
/// may be NULL, are set as the rules above say.
///
/// The newest snapshot of the key says which source this is. One whose state is
/// damaged is listed in the report and passed over for the next.
///
/// Returns IBT_OK; IBT_PARTIAL if entries could not be read or changed while
/// they were, or a state is damaged; IBT_ERR_INVALID_ARG if source is NULL or
/// empty, options were refused, select a snapshot or expect a digest, or the
/// source's name is not a valid key and none is set; IBT_ERR_IO if the source
/// cannot be opened (ibt_error_os_code() is ENOENT if there is none, ENOTDIR if
/// it is no directory) or the storage failed; IBT_ERR_MISMATCH if the newest
/// snapshot is of another source or host (see
/// ibt_options_set_allow_source_change()), or the source is empty and was not
/// then (see ibt_options_set_allow_empty()); IBT_ERR_FORMAT if that snapshot was
/// made by a newer libibt; IBT_ERR_BUSY if the storage or the key is in use or
/// was changed meanwhile; IBT_ERR_UNSUPPORTED if the storage lacks a function;
/// IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with
/// IBT_ON_ERROR_STOP the first problem's status.
///
/// After an error no snapshot was made, with one exception: when the storage
/// fails at the very end (IBT_ERR_IO, IBT_ERR_STORAGE), a whole snapshot may be
/// there; ibt_list_snapshots() tells.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_full_backup(
    storage: *mut ibt_storage,
    source: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        let call = Call::begin("back up", storage, options, report);
        let source = args::path(source, call.doing, "source")?;
        call.run(Uses::BACKUP, |store, job| backup::full(store, source, job))
    })
}

/// Makes an increment: a new snapshot of `source` that stores only what changed
/// since the newest one of its key. It is restored like a full one.
///
/// Arguments and report as for ibt_full_backup(). An unreadable entry keeps its
/// previous version; it never counts as deleted. What a backup file held that is
/// gone or of a wrong size is stored again.
///
/// Returns the same, IBT_PARTIAL also if there is such a file (but not for one
/// with signatures that the cache has, see ibt_rebuild_cache()), and
/// IBT_ERR_NOT_FOUND if the key has no undamaged snapshot to build on: make a
/// full backup first.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_incremental_backup(
    storage: *mut ibt_storage,
    source: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        let call = Call::begin("back up", storage, options, report);
        let source = args::path(source, call.doing, "source")?;
        call.run(Uses::BACKUP, |store, job| backup::incremental(store, source, job))
    })
}

/// Restores a snapshot of `key` as the directory `dest`, which must be absent
/// or empty: the newest, or the one that options select. The tree appears
/// whole, when everything is written and checked.
///
/// `*report` and `*err` as for ibt_full_backup().
///
/// Returns IBT_OK; IBT_PARTIAL if stored bytes are damaged or missing, or some
/// metadata could not be set: what is listed in the report is not restored, or
/// not entirely; IBT_ERR_INVALID_ARG if key or dest is NULL or malformed, or
/// options were refused or exclude anything; IBT_ERR_NOT_FOUND without such a
/// snapshot; IBT_ERR_EXISTS if dest is there and not an empty directory, or its
/// file system takes two names of the snapshot for one; IBT_ERR_MISMATCH if the
/// snapshot has not the expected digest; IBT_ERR_CORRUPT if its state is
/// damaged, IBT_ERR_FORMAT if it was made by a newer libibt; IBT_ERR_UNSUPPORTED
/// if the storage lacks a function; IBT_ERR_BUSY, IBT_ERR_IO, IBT_ERR_STORAGE,
/// IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the
/// first problem's status, IBT_ERR_CORRUPT for damaged contents and
/// IBT_ERR_MISSING for missing ones among them.
///
/// After an error dest is as it was, with one exception: when the system fails
/// at the very end (IBT_ERR_IO), dest may be complete.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_restore(
    storage: *mut ibt_storage,
    key: *const c_char,
    dest: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        let call = Call::begin("restore", storage, options, report);
        let key = args::key(key, call.doing)?;
        let dest = args::path(dest, call.doing, "dest")?;
        call.run(Uses::RESTORE, |store, job| restore::restore(store, key, dest, job))
    })
}

/// Lists the snapshots of `key`, of every key for NULL: oldest first, in the
/// report's ibt_report_snapshot_*(). With a selector in the options it lists
/// that snapshot, and in ibt_report_file_*() all backup files that it needs.
///
/// `*report` and `*err` as for ibt_full_backup().
///
/// Returns IBT_OK, also for a storage that holds none; IBT_PARTIAL if a state
/// could not be read; IBT_ERR_INVALID_ARG if key is malformed, or NULL although
/// a snapshot is selected, or options were refused, exclude anything or expect a
/// digest; IBT_ERR_NOT_FOUND if key is given and has no snapshot, or not the
/// selected one; IBT_ERR_CORRUPT or IBT_ERR_FORMAT if the selected one's state
/// cannot be used; IBT_ERR_UNSUPPORTED if the storage lacks a function;
/// IBT_ERR_BUSY, IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
/// IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's status.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_list_snapshots(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        let call = Call::begin("list snapshots", storage, options, report);
        let key = if key.is_null() { None } else { Some(args::key(key, call.doing)?) };
        call.run(Uses::LIST, |store, job| maintain::list(store, key, job))
    })
}

/// Makes a new full snapshot of what the newest one of `key` holds, from the
/// storage alone: the source is not needed. It restores the same, has the same
/// digest, and increments go on from it; with ibt_prune() the older ones can go
/// then, however long the chain was.
///
/// Options for compression, threads, the cache and the lock are used; changes
/// are not told, as nothing changed. `*report` and `*err` as for
/// ibt_full_backup(): the report lists the backup files made. Where the newest
/// snapshot is a full one already, whose files are all there, nothing is to be
/// gained: the report names that snapshot and no files.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if key is NULL or malformed, or options
/// were refused, select a snapshot, expect a digest, exclude or include
/// anything, or set a dry run; IBT_ERR_NOT_FOUND if the key has no snapshot;
/// IBT_ERR_CORRUPT or IBT_ERR_MISSING if the newest one's state is damaged, or
/// any content of it is damaged or gone: a full snapshot is whole or is not
/// made, and ibt_error_path() says whose content it is; IBT_ERR_FORMAT if it
/// was made by a newer libibt; IBT_ERR_BUSY if the storage or the key is in use
/// or was changed meanwhile; IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_LIMIT,
/// IBT_ERR_CANCELLED, IBT_ERR_PANIC.
///
/// After an error no snapshot was made, with the exception that
/// ibt_full_backup() has.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_consolidate(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        let call = Call::begin("consolidate", storage, options, report);
        let key = args::key(key, call.doing)?;
        call.run(Uses::NOTHING, |store, job| maintain::consolidate(store, key, job))
    })
}

/// Makes the cache of the newest snapshot of `key` whole again: a copy of its
/// state and of every backup file with signatures that it names. Increments
/// work without a cache and refill it from the storage; this does it
/// beforehand, and also where the storage itself lost or damaged such a file:
/// then its signatures are made again from the stored contents, and the next
/// increment, which is as small as ever, puts them into the storage.
///
/// Nothing in the storage is changed. `*report` and `*err` as for
/// ibt_full_backup(), except that the report's files are those made in the
/// cache, with their paths there, of kind "state" or "sigvault"; a file of
/// signatures made again is named like the lost one with ".stream" at its end.
/// What was right already is not made again.
///
/// Returns IBT_OK; IBT_PARTIAL if the newest state is damaged, so that an older
/// snapshot counts as the newest, or a signature could not be made again
/// because the content is damaged or gone: its file will be stored whole when
/// it changes; IBT_ERR_INVALID_ARG if key is NULL or malformed, options were
/// refused, select a snapshot, expect a digest, exclude or include anything, or
/// set a dry run, or no cache directory is set and the user has none;
/// IBT_ERR_NOT_FOUND if the key has no undamaged snapshot; IBT_ERR_FORMAT if it
/// was made by a newer libibt; IBT_ERR_IO if the cache cannot be written or the
/// storage failed; IBT_ERR_BUSY, IBT_ERR_STORAGE, IBT_ERR_LIMIT,
/// IBT_ERR_CANCELLED, IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's
/// status.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_rebuild_cache(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        let call = Call::begin("rebuild the cache", storage, options, report);
        let key = args::key(key, call.doing)?;
        call.run(Uses::NOTHING, |store, job| maintain::rebuild_cache(store, key, job))
    })
}

/// Removes snapshots of `key`, and then every backup file that no remaining
/// snapshot needs, left-overs of interrupted backups among them. Which ones:
/// those that no rule set with ibt_options_set_keep_last(), _keep_daily(),
/// _keep_weekly(), _keep_monthly() or _keep_yearly() keeps, or exactly the one
/// that ibt_options_set_snapshot() or ibt_options_set_as_of() selects. Any
/// snapshot can go, the first, one in the middle or the latest: no other needs
/// it. The rules look at the snapshots' stamps only, never at the clock.
///
/// `*report` and `*err` as for ibt_full_backup(). The report lists every
/// snapshot of the key as IBT_ACTION_KEPT or IBT_ACTION_REMOVED with the reason,
/// such as "last 3, daily 2026-11-22" or "no rule keeps it", and as its files
/// the backup files that were removed. IBT_COUNT_DELETED counts the snapshots
/// removed. With ibt_options_set_dry_run() the report is the same and nothing is
/// touched; only temporary files that interrupted runs left are not looked for.
///
/// A state that is damaged or was made by a newer libibt is counted by no rule
/// and removed by none, only if ibt_options_set_snapshot() names its stamp.
/// While one remains, no other kind of file is removed, because it might be
/// needed: such files are listed as IBT_PROBLEM_LEFTOVER, and the result is
/// IBT_PARTIAL. Where a storage cannot lock, nobody else may use the key
/// meanwhile.
///
/// Returns IBT_OK; IBT_PARTIAL if a state cannot be read;
/// IBT_ERR_INVALID_ARG if key is NULL or malformed, options were refused, set no
/// rule and select no snapshot, do both, exclude anything or expect a digest, or
/// if no snapshot would be left (see ibt_options_set_allow_empty());
/// IBT_ERR_NOT_FOUND if the key has no snapshot or not the selected one;
/// IBT_ERR_CORRUPT or IBT_ERR_FORMAT if ibt_options_set_as_of() selects a state
/// that cannot be read; IBT_ERR_UNSUPPORTED if the storage cannot delete;
/// IBT_ERR_BUSY if the storage or the key is in use or was changed meanwhile;
/// IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED,
/// IBT_ERR_PANIC; with IBT_ON_ERROR_STOP the first problem's status.
///
/// After an error, IBT_ERR_CANCELLED too, what was removed stays removed and is
/// listed; every other snapshot is whole, and another prune removes the rest.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_prune(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        let call = Call::begin("prune", storage, options, report);
        let key = args::key(key, call.doing)?;
        call.run(Uses::PRUNE, |store, job| maintain::prune(store, key, job))
    })
}

/// Reads everything that snapshots need and compares it with its hashes: each
/// state, each archive, each content as a restore would write it, each
/// signature. All snapshots of `key`, of every key for NULL; with a selector in
/// the options that one, with an expected digest alone the newest. Nothing is
/// changed.
///
/// `*report` and `*err` as for ibt_full_backup(). A loss does not end it: each
/// is a problem that names the path, the backup file
/// (ibt_report_problem_file()), the snapshot and, in its message, what was
/// expected and found; IBT_PROBLEM_MISSING if the file is gone, else
/// IBT_PROBLEM_DAMAGED. What several snapshots share is listed for each.
/// A problem without a path is about a backup file as such: none of the
/// snapshot's paths is known to suffer. One in a "sigvault" file costs no
/// content, only that the next change of its path is stored whole.
/// The report lists the snapshots verified, each with its losses as
/// IBT_COUNT_PROBLEMS and a reason such as "3 losses", "" if it is whole; one
/// whose state cannot be read is a problem only. An archive or a content that
/// several snapshots share is read once, beyond a million contents of a key
/// perhaps more often.
///
/// Returns IBT_OK if all is as it was written, also for a storage that holds
/// nothing; IBT_PARTIAL if anything is damaged or missing, or a state was made by
/// a newer libibt; IBT_ERR_INVALID_ARG if key is malformed, or NULL although a
/// snapshot is selected or a digest expected, or options were refused or exclude
/// anything; IBT_ERR_NOT_FOUND if key is given and has no snapshot, or not the
/// selected one; IBT_ERR_CORRUPT or IBT_ERR_FORMAT if the selected one's state
/// cannot be used; IBT_ERR_MISMATCH if it has not the expected digest;
/// IBT_ERR_UNSUPPORTED if the storage cannot be read; IBT_ERR_BUSY, IBT_ERR_IO,
/// IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with
/// IBT_ON_ERROR_STOP the first problem's status.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_verify(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        let call = Call::begin("verify", storage, options, report);
        let key = if key.is_null() { None } else { Some(args::key(key, call.doing)?) };
        call.run(Uses::VERIFY, |store, job| maintain::verify(store, key, job))
    })
}

/// Compares a snapshot of `key` with the directory `tree`: the newest, or the
/// one that options select. Every difference is told to the change callback as
/// a change from the snapshot to the tree: IBT_CHANGE_CREATED what only the tree
/// has, _DELETED what only the snapshot has, _CONTENT other bytes or another
/// type, link target or device, _METADATA another mode, owner, modification time
/// or extended attributes, or files that are hard-linked with others than they
/// were. The report counts them.
///
/// The tree is walked as a backup would, with its exclude files; a pattern of
/// ibt_options_add_exclude() takes entries out of both sides. Globs and paths
/// limit the comparison. Every file whose size is the same is read, whatever
/// its times and ibt_options_set_change_detection() say: silent damage is found.
/// Not compared are holes, ctimes, inodes and users' names. Nothing is written,
/// and no link of the tree is followed. Progress is told as IBT_PHASE_VERIFY.
///
/// `*report` and `*err` as for ibt_full_backup().
///
/// Returns IBT_OK, whether or not there are differences; IBT_PARTIAL if
/// something in the tree could not be read, which is listed in the report;
/// IBT_ERR_INVALID_ARG if key or tree is NULL or malformed, or options were
/// refused or set what has no use here (a root, delete_extra, dry_run);
/// IBT_ERR_NOT_FOUND without such a snapshot, or if a glob or path matches on
/// neither side (this is known, and returned, at the end); IBT_ERR_IO if tree
/// cannot be opened (ibt_error_os_code() is ENOENT if there is none, ENOTDIR if
/// it is no directory) or the storage failed; IBT_ERR_MISMATCH if the snapshot
/// has not the expected digest; IBT_ERR_CORRUPT if its state is damaged,
/// IBT_ERR_FORMAT if it was made by a newer libibt; IBT_ERR_BUSY,
/// IBT_ERR_STORAGE, IBT_ERR_LIMIT, IBT_ERR_CANCELLED, IBT_ERR_PANIC; with
/// IBT_ON_ERROR_STOP the first problem's status.
///
/// Since: 0.1
#[no_mangle]
pub unsafe extern "C" fn ibt_compare(
    storage: *mut ibt_storage,
    key: *const c_char,
    tree: *const c_char,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        let call = Call::begin("compare", storage, options, report);
        let key = args::key(key, call.doing)?;
        let tree = args::path(tree, call.doing, "tree")?;
        call.run(Uses::COMPARE, |store, job| maintain::compare(store, key, tree, job))
    })
}

/// Which of the options that may not be ignored an operation has a use for.
#[derive(Clone, Copy)]
pub(super) struct Uses {
    selector: bool,
    excludes: bool,
    /// Globs and paths.
    includes: bool,
    /// A root, and the removal of what is not in the snapshot.
    destination: bool,
    expected_digest: bool,
    dry_run: bool,
}

impl Uses {
    const NOTHING: Uses = Uses {
        selector: false,
        excludes: false,
        includes: false,
        destination: false,
        expected_digest: false,
        dry_run: false,
    };
    const BACKUP: Uses = Uses { excludes: true, ..Uses::NOTHING };
    const RESTORE: Uses = Uses {
        selector: true,
        includes: true,
        destination: true,
        expected_digest: true,
        dry_run: true,
        ..Uses::NOTHING
    };
    const LIST: Uses = Uses { selector: true, ..Uses::NOTHING };
    pub(super) const BROWSE: Uses = Uses { selector: true, expected_digest: true, ..Uses::NOTHING };

    const VERIFY: Uses = Uses { selector: true, expected_digest: true, ..Uses::NOTHING };
    const PRUNE: Uses = Uses { selector: true, dry_run: true, ..Uses::NOTHING };

    const COMPARE: Uses =
        Uses { selector: true, excludes: true, includes: true, expected_digest: true, ..Uses::NOTHING };

    pub(super) fn check(&self, given: &Options, doing: &str) -> Result<()> {
        let filters = !given.includes.is_empty() || !given.paths.is_empty();
        let useless = [
            ("a snapshot", !self.selector && given.select != Select::Newest),
            ("an exclude pattern", !self.excludes && !given.excludes.is_empty()),
            ("an include glob or path", !self.includes && filters),
            ("a root", !self.destination && !given.root.is_root()),
            ("delete_extra", !self.destination && given.delete_extra),
            ("an expected digest", !self.expected_digest && given.expected_digest.is_some()),
            ("dry_run", !self.dry_run && given.dry_run),
        ];
        match useless.iter().find(|(_, refused)| *refused) {
            Some((what, _)) => Err(invalid(doing, format!("the options set {what}, which has no use here"))),
            None => Ok(()),
        }
    }
}

/// The arguments that every operation has.
struct Call {
    /// For messages: "cannot DOING".
    doing: &'static str,
    storage: *mut ibt_storage,
    options: *const ibt_options,
    report: *mut *mut ibt_report,
}

impl Call {
    /// Clears `*report`, so that it is set only when [`Call::run`] has something to report.
    unsafe fn begin(
        doing: &'static str,
        storage: *mut ibt_storage,
        options: *const ibt_options,
        report: *mut *mut ibt_report,
    ) -> Self {
        put(report, ptr::null_mut());
        Call { doing, storage, options, report }
    }

    /// Runs `work` and hands out its report, failed or not.
    unsafe fn run(
        self,
        uses: Uses,
        work: impl FnOnce(&mut dyn Store, &mut Job<'_>) -> Result<()>,
    ) -> Result<ibt_status> {
        let settings = settings(self.options, self.doing)?;
        uses.check(&settings.engine, self.doing)?;
        if settings.cancel.requested() {
            return Err(Error::cancelled());
        }
        with_store(self.storage, self.doing, |store| {
            let mut callbacks = settings.callbacks.clone();
            let mut job = Job::new(&settings.engine, &settings.cancel, &mut callbacks);
            job.report.date = Time::now();
            // A panic is caught here already, so that even then the report tells what was done.
            let outcome = attempt(|| work(store, &mut job)).and_then(|result| result);
            job.report.failed = outcome.as_ref().err().map(|error| error.kind);
            let status = job.report.status();
            if !self.report.is_null() {
                *self.report = give(ibt_report::new(job.report));
            }
            outcome.map(|()| status)
        })
    }
}
