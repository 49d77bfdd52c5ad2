//! `ibt_snapshot`: one opened snapshot, for listing its entries and reading its files.

use std::ffi::{CString, c_char, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::entry::{Entry, Path};
use crate::error::{Error, Kind, Result};
use crate::inspect::Snapshot;
use crate::job::{Cancel, Flow, Job, ReportedSnapshot};
use crate::store::report::describe;

use super::args::{self, bytes, free_raw, into_raw, invalid, ptr_or_null, relative, write_out};
use super::constants::{IBT_CALLBACK_STOP, IBT_OK};
use super::entry::ibt_entry;
use super::error::ibt_error;
use super::library::ibt_status;
use super::ops::UsedOptions;
use super::options::{ibt_options, settings};
use super::report::{SnapshotText, counter};
use super::storage::ibt_storage;

/// One opened snapshot, for listing its entries and reading its files. Owned by
/// the caller, who frees it with ibt_snapshot_free().
///
/// The snapshot was verified when it was opened, and it does not change. It
/// keeps its storage alive, also after ibt_storage_free(), but does not lock
/// it: if the snapshot is removed meanwhile, reading its files fails with
/// IBT_ERR_MISSING.
///
/// One call at a time: a second call, from another thread or from a callback,
/// returns IBT_ERR_BUSY. May move between threads. Memory does not grow with
/// the number of entries.
///
/// Since: 0.1
pub struct ibt_snapshot {
    /// A running call shares ownership, so a handle that is freed during the call stays valid until the call
    /// ends.
    shared: Arc<SharedSnapshot>,
}

struct SharedSnapshot {
    about: ReportedSnapshot,
    text: SnapshotText,
    store: Arc<ibt_storage>,
    snapshot: Mutex<Snapshot>,
    /// The entry that [`ibt_snapshot_next`] lends.
    lent: Mutex<Option<Box<ibt_entry<'static>>>>,
}

/// Receives one entry, which is valid during the call only.
///
/// Return IBT_CALLBACK_OK to go on, or IBT_CALLBACK_STOP to end the listing
/// early with IBT_OK. 0 or a negative number ends it with IBT_ERR_CANCELLED.
///
/// Since: 0.1
pub type ibt_entry_fn = Option<unsafe extern "C" fn(ud: *mut c_void, entry: *const ibt_entry) -> i32>;

/// Receives the next `len` bytes, at least one, which are valid during the call
/// only.
///
/// Return IBT_CALLBACK_OK to go on, or IBT_CALLBACK_STOP to end the read early
/// with IBT_OK. 0 or a negative number ends it with IBT_ERR_CANCELLED.
///
/// Since: 0.1
pub type ibt_sink_fn = Option<unsafe extern "C" fn(ud: *mut c_void, data: *const u8, len: usize) -> i32>;

/// ==== Looking into a snapshot ====
///
/// Opens a snapshot of `key`: the newest, or the one that options select. Reads
/// and verifies the snapshot's state, which takes seconds for a million
/// entries. Does not read the contents of files. Reports progress as
/// IBT_PHASE_VERIFY.
///
/// `*out` is set to NULL first. After IBT_OK it holds the snapshot, which the
/// caller owns.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if key or out is NULL, key is malformed,
/// a setter of options failed, or an option has no use here (filters, a root,
/// delete_extra, dry_run); IBT_ERR_NOT_FOUND if there is no such snapshot;
/// IBT_ERR_MISMATCH if its digest is not the expected one; IBT_ERR_CORRUPT if
/// its state is damaged, IBT_ERR_MISSING if a state that it needs as a layer is
/// gone, IBT_ERR_FORMAT if a newer libibt made it;
/// IBT_ERR_UNSUPPORTED if the storage lacks a function; IBT_ERR_BUSY if another
/// call uses the storage or a prune uses the key (see
/// ibt_options_set_lock_wait()); IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_LIMIT,
/// IBT_ERR_CANCELLED, IBT_ERR_PANIC.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_snapshot_open(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    out: *mut *mut ibt_snapshot,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: the arguments are as the header says.
        unsafe { open(storage, key, options, out) }
    })
}

/// # Safety
///
/// The arguments are those of [`ibt_snapshot_open`].
unsafe fn open(
    storage: *mut ibt_storage,
    key: *const c_char,
    options: *const ibt_options,
    out: *mut *mut ibt_snapshot,
) -> Result<ibt_status> {
    const DOING: &str = "open a snapshot";
    // SAFETY: NULL or may be written.
    unsafe { write_out(out, ptr::null_mut()) };
    // SAFETY: NULL or a string.
    let key = unsafe { args::key(key, DOING) }?;
    if out.is_null() {
        return Err(invalid(DOING, "out is NULL"));
    }
    // SAFETY: NULL, or options that no setter changes meanwhile.
    let settings = unsafe { settings(options, DOING) }?;
    UsedOptions::BROWSE.check(&settings, DOING)?;
    if settings.cancel.requested() {
        return Err(Error::cancelled());
    }
    // SAFETY: NULL, or a storage of the caller.
    let store = unsafe { ibt_storage::share(storage, DOING) }?;
    let snapshot = store.with(DOING, &settings.cancel, |store| {
        let mut callbacks = settings.callbacks.clone();
        Snapshot::open(store, key, &mut Job::new(&settings.engine, &settings.cancel, &mut callbacks))
    })?;
    let about = describe(snapshot.summary());
    let text = SnapshotText::new(&about);
    let (snapshot, lent) = (Mutex::new(snapshot), Mutex::new(None));
    let shared = SharedSnapshot { about, text, store, snapshot, lent };
    // SAFETY: not NULL, so it may be written.
    unsafe { write_out(out, into_raw(ibt_snapshot { shared: Arc::new(shared) })) };
    Ok(IBT_OK)
}

/// The snapshot's stamp, such as "20261122T220530.123456Z", which is its name
/// within its key. NULL for NULL. Borrowed until the snapshot is freed.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_snapshot_stamp(snapshot: Option<&ibt_snapshot>) -> *const c_char {
    guard!(ptr::null(), { text_of(snapshot, |text| Some(&text.stamp)) })
}

/// The snapshot's key. NULL for NULL. Borrowed until the snapshot is freed.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_snapshot_key(snapshot: Option<&ibt_snapshot>) -> *const c_char {
    guard!(ptr::null(), { text_of(snapshot, |text| Some(&text.key)) })
}

/// The snapshot's kind: "full" or "incremental". NULL for NULL. Borrowed until
/// the snapshot is freed.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_snapshot_kind(snapshot: Option<&ibt_snapshot>) -> *const c_char {
    guard!(ptr::null(), { text_of(snapshot, |text| Some(&text.kind)) })
}

/// The tree digest of the snapshot, see ibt_report_digest(). NULL for NULL.
/// Borrowed until the snapshot is freed.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_snapshot_digest(snapshot: Option<&ibt_snapshot>) -> *const c_char {
    guard!(ptr::null(), { text_of(snapshot, |text| Some(&text.digest)) })
}

/// The absolute path of the snapshot's source, or the name of
/// ibt_options_set_source_name(), as raw bytes. NULL for NULL. Borrowed until
/// the snapshot is freed.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_snapshot_source(snapshot: Option<&ibt_snapshot>) -> *const c_char {
    guard!(ptr::null(), { text_of(snapshot, |text| Some(&text.source)) })
}

/// The time when the snapshot was made, in nanoseconds since 1970, UTC, as
/// ibt_report_snapshot_date() gives it. 0 for NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_snapshot_date(snapshot: Option<&ibt_snapshot>) -> i64 {
    guard!(0, { snapshot.map_or(0, |snapshot| snapshot.shared.about.date.to_time().to_nanos_i64()) })
}

/// The value of counter `which`, one of IBT_COUNT_*, of the backup that made the
/// snapshot: for example its entries and bytes, and its problems, such as files
/// that could not be read. 0 for NULL and for an unknown counter.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_snapshot_counter(snapshot: Option<&ibt_snapshot>, which: i32) -> u64 {
    guard!(0, { snapshot.map_or(0, |snapshot| counter(&snapshot.shared.about.counters, which)) })
}

/// The number of labels of the snapshot, see ibt_options_set_label(). 0 for NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_snapshot_label_count(snapshot: Option<&ibt_snapshot>) -> usize {
    guard!(0, { snapshot.map_or(0, |snapshot| snapshot.shared.text.labels.len()) })
}

/// The name of label i of the snapshot. The names ascend. NULL for NULL and if i
/// is out of range. Borrowed until the snapshot is freed.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_snapshot_label_name(snapshot: Option<&ibt_snapshot>, i: usize) -> *const c_char {
    guard!(ptr::null(), { text_of(snapshot, |text| text.labels.get(i).map(|(name, _)| name)) })
}

/// The value of label i of the snapshot. NULL for NULL and if i is out of range.
/// Borrowed until the snapshot is freed.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_snapshot_label_value(snapshot: Option<&ibt_snapshot>, i: usize) -> *const c_char {
    guard!(ptr::null(), { text_of(snapshot, |text| text.labels.get(i).map(|(_, value)| value)) })
}

/// Gives the next entry of the snapshot: first its root, then all others in the
/// order of paths, so that each directory comes right before its own entries.
/// `*entry` is set to NULL first. After IBT_OK it holds the entry, or NULL
/// after the last entry. The entry belongs to the snapshot and is valid until
/// the next call of this function or of ibt_snapshot_rewind() with this
/// snapshot, or until the snapshot is freed.
///
/// ibt_snapshot_list() and ibt_snapshot_read() may be called between two
/// entries, and do not change which entry comes next. The call does not use the
/// storage. With two snapshots, a caller can merge their entries; ibt_diff()
/// does so.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if snapshot or entry is NULL;
/// IBT_ERR_BUSY if another call uses the snapshot; IBT_ERR_IO, IBT_ERR_PANIC.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_snapshot_next(
    snapshot: *mut ibt_snapshot,
    entry: *mut *const ibt_entry,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        const DOING: &str = "get the next entry of a snapshot";
        // SAFETY: NULL or may be written.
        unsafe { write_out(entry, ptr::null()) };
        if entry.is_null() {
            return Err(invalid(DOING, "entry is NULL"));
        }
        // SAFETY: NULL, or a snapshot that is not freed yet.
        let shared = unsafe { share(snapshot, DOING) }?;
        with_snapshot(&shared, DOING, |snapshot, _| {
            let next = snapshot.next_entry()?;
            let lent = shared.lend(next);
            // SAFETY: not NULL, so it may be written.
            unsafe { write_out(entry, lent) };
            Ok(())
        })
    })
}

/// Makes ibt_snapshot_next() begin with the root again. The entry that it gave
/// last is not valid any more.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if snapshot is NULL; IBT_ERR_BUSY if
/// another call uses the snapshot; IBT_ERR_PANIC.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_snapshot_rewind(
    snapshot: *mut ibt_snapshot,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        const DOING: &str = "go back to the first entry of a snapshot";
        // SAFETY: NULL, or a snapshot that is not freed yet.
        let shared = unsafe { share(snapshot, DOING) }?;
        with_snapshot(&shared, DOING, |snapshot, _| {
            shared.lend(None);
            snapshot.rewind();
            Ok(())
        })
    })
}

/// Calls `entry` for the entry at `path` and for the entries below it, down to
/// `depth` levels: with 0 for the entry itself only, with 1 also for the
/// entries of that directory, with UINT32_MAX for all. Entries come in the
/// order of paths: each directory comes right before its own entries. "" is the
/// root. Slashes at either end of path are ignored.
///
/// The call does not use the storage. It does not read entries deeper than
/// `depth` either: one directory of a large snapshot is listed in milliseconds.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if snapshot, path or entry is NULL or
/// path is malformed (no component may be "." or ".."); IBT_ERR_NOT_FOUND if
/// the snapshot has no such entry; IBT_ERR_CANCELLED if the callback cancelled;
/// IBT_ERR_BUSY if another call uses the snapshot; IBT_ERR_IO, IBT_ERR_PANIC.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_snapshot_list(
    snapshot: *mut ibt_snapshot,
    path: *const c_char,
    depth: u32,
    entry: ibt_entry_fn,
    ud: *mut c_void,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        const DOING: &str = "list a snapshot";
        // SAFETY: NULL or a string.
        let path = unsafe { path_in(path, DOING) }?;
        let callback = entry.ok_or_else(|| invalid(DOING, "entry is NULL"))?;
        // SAFETY: NULL, or a snapshot that is not freed yet.
        let shared = unsafe { share(snapshot, DOING) }?;
        with_snapshot(&shared, DOING, |snapshot, _| {
            snapshot.list(&path, depth, &mut |entry| {
                // SAFETY: the caller's function with its own userdata; the entry lives until it returns.
                flow(unsafe { callback(ud, &ibt_entry::new(entry)) })
            })
        })
    })
}

/// Passes `len` bytes of a file, from `offset` on, to `sink`: in order, in
/// pieces of any size. UINT64_MAX as len means all. Passes fewer bytes if the
/// file ends before, and none if offset is past its end. Holes read as zeros.
///
/// The call reads only the parts of the storage that hold these bytes. Reading
/// on from the end of the last read costs least. A read of the whole file
/// checks its hash: treat the bytes as provisional until the call returns
/// IBT_OK. A part of a file has no hash to check; compressed archives have
/// checksums of their own.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if snapshot, path or sink is NULL, path
/// is malformed, or the entry is not a file; IBT_ERR_NOT_FOUND if the snapshot
/// has no such entry; IBT_ERR_MISSING if a backup file that holds the bytes is
/// gone; IBT_ERR_CORRUPT if the bytes are damaged; IBT_ERR_CANCELLED if sink
/// cancelled; IBT_ERR_BUSY if another call uses the snapshot or its storage;
/// IBT_ERR_IO, IBT_ERR_STORAGE, IBT_ERR_PANIC.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_snapshot_read(
    snapshot: *mut ibt_snapshot,
    path: *const c_char,
    offset: u64,
    len: u64,
    sink: ibt_sink_fn,
    ud: *mut c_void,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        const DOING: &str = "read a file of a snapshot";
        // SAFETY: NULL or a string.
        let path = unsafe { path_in(path, DOING) }?;
        let callback = sink.ok_or_else(|| invalid(DOING, "sink is NULL"))?;
        // SAFETY: NULL, or a snapshot that is not freed yet.
        let shared = unsafe { share(snapshot, DOING) }?;
        with_snapshot(&shared, DOING, |snapshot, store| {
            store.with(DOING, &Cancel::default(), |store| {
                // SAFETY: the caller's function with its own userdata; the bytes live until it returns.
                let mut sink = |data: &[u8]| flow(unsafe { callback(ud, data.as_ptr(), data.len()) });
                snapshot.read(store, &path, offset, len, &mut sink)
            })
        })
    })
}

/// Closes a snapshot. If a call is using it, the snapshot is closed when that
/// call ends. NULL is ignored.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_snapshot_free(snapshot: *mut ibt_snapshot) {
    guard!((), {
        // SAFETY: NULL, or a handle from libibt that the caller owns and uses no more.
        unsafe { free_raw(snapshot) }
    })
}

impl SharedSnapshot {
    /// Keeps the entry and returns it; NULL for `None`. The entry that was lent before is freed.
    fn lend(&self, entry: Option<Entry>) -> *const ibt_entry<'static> {
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        *lent = entry.map(|entry| Box::new(ibt_entry::owned(entry)));
        lent.as_deref().map_or(ptr::null(), ptr::from_ref)
    }
}

/// A string about a snapshot; NULL for NULL.
fn text_of(
    snapshot: Option<&ibt_snapshot>,
    field: impl Fn(&SnapshotText) -> Option<&CString>,
) -> *const c_char {
    ptr_or_null(snapshot.and_then(|snapshot| field(&snapshot.shared.text)))
}

/// # Safety
///
/// `path` is NULL or a string.
unsafe fn path_in(path: *const c_char, doing: &str) -> Result<Path> {
    // SAFETY: the caller's promise.
    let path = unsafe { bytes(path, doing, "path") }?;
    relative(path).map_err(|reason| invalid(doing, reason).at(path))
}

/// Translates the answer of an entry or sink callback.
fn flow(answer: i32) -> Flow {
    match answer {
        IBT_CALLBACK_STOP => Flow::Stop,
        1.. => Flow::Continue,
        _ => Flow::Cancel,
    }
}

/// Shared ownership of the snapshot behind a handle. The call does not read the handle afterwards, because a
/// callback may free it.
///
/// # Safety
///
/// `handle` is NULL or a snapshot that is not freed yet.
unsafe fn share(handle: *const ibt_snapshot, doing: &str) -> Result<Arc<SharedSnapshot>> {
    // SAFETY: the caller's promise.
    let handle = unsafe { handle.as_ref() }.ok_or_else(|| invalid(doing, "snapshot is NULL"))?;
    Ok(Arc::clone(&handle.shared))
}

/// Runs `body` on a snapshot and its storage. `Busy` if another call is using the snapshot.
fn with_snapshot(
    shared: &SharedSnapshot,
    doing: &str,
    body: impl FnOnce(&mut Snapshot, &ibt_storage) -> Result<()>,
) -> Result<ibt_status> {
    let mut held = hold(shared, doing)?;
    body(&mut held, &shared.store).map(|()| IBT_OK)
}

fn hold<'s>(shared: &'s SharedSnapshot, doing: &str) -> Result<MutexGuard<'s, Snapshot>> {
    match shared.snapshot.try_lock() {
        Ok(held) => Ok(held),
        Err(TryLockError::WouldBlock) => Err(Error::new(
            Kind::Busy,
            doing,
            "the snapshot is in use by another call: open it once more for a second call at the same time",
        )),
        // After a panic at most the file that was read last is in an unknown state.
        Err(TryLockError::Poisoned(held)) => Ok(held.into_inner()),
    }
}

/// Two opened snapshots, for a comparison.
pub(super) struct SnapshotPair {
    before: Arc<SharedSnapshot>,
    after: Arc<SharedSnapshot>,
}

impl SnapshotPair {
    /// # Safety
    ///
    /// Both are NULL or snapshots that are not freed yet.
    pub(super) unsafe fn share(
        before: *const ibt_snapshot,
        after: *const ibt_snapshot,
        doing: &str,
    ) -> Result<Self> {
        // SAFETY: the caller's promise.
        Ok(unsafe { SnapshotPair { before: share(before, doing)?, after: share(after, doing)? } })
    }

    /// Runs `body` on both. `Busy` if another call is using one of them, or if they are the same.
    pub(super) fn with(
        &self,
        doing: &str,
        body: impl FnOnce(&mut Snapshot, &mut Snapshot) -> Result<()>,
    ) -> Result<()> {
        body(&mut *hold(&self.before, doing)?, &mut *hold(&self.after, doing)?)
    }
}
