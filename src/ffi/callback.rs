//! The caller's functions: their types, their userdata, and the [`Observer`] that calls them.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use crate::entry::Entry;
use crate::job::{FilterAnswer, Flow, Level, Observer, Progress};

use super::args::c_line;
use super::constants::{IBT_CALLBACK_STOP, IBT_FILTER_LEAVE_OUT, IBT_FILTER_LEAVE_OUT_ALL};
use super::entry::ibt_entry;
use super::progress::ibt_progress;

/// Releases the userdata of a callback. May be NULL.
///
/// libibt calls it exactly once, as soon as nothing can use the userdata any
/// more: the object that holds the callback was freed or another callback was
/// set in its place, and every operation that began with this callback has
/// ended. libibt does not call it if the setter that received it failed.
///
/// Since: 0.1
pub type ibt_destroy_fn = Option<unsafe extern "C" fn(ud: *mut c_void)>;

/// Receives the progress of an operation: about ten times a second, and at the
/// beginning and at the end of each phase. It is not called after a commit,
/// because it is then too late to cancel. `now` is valid during the call only.
/// done_bytes and done_entries never decrease within a phase.
///
/// Return IBT_CALLBACK_OK to go on. 0 or a negative number cancels the
/// operation (IBT_ERR_CANCELLED).
///
/// Since: 0.1
pub type ibt_progress_fn = Option<unsafe extern "C" fn(ud: *mut c_void, now: *const ibt_progress) -> i32>;

/// Receives one change. `what` is a combination of IBT_CHANGE_* bits. `before`
/// is NULL if the entry is new, `after` is NULL if the entry is gone. Both are
/// valid during the call only.
///
/// Changes come in the order of paths, with these exceptions. A restore reports
/// symbolic links and further names of hard links after all other entries.
/// After these it reports the extra entries that it removes because the
/// snapshot does not have them. If an existing entry must be removed to make
/// way for an entry of the snapshot, its removal is reported just before that
/// entry. A backup reports the deleted files that it might have found again
/// under another name at the end, in the order of paths.
///
/// Return IBT_CALLBACK_OK to go on, or IBT_CALLBACK_STOP to receive no further
/// changes: a comparison then ends with the differences found so far, while a
/// backup or a restore runs to its end without reporting more changes. 0 or a
/// negative number cancels the operation (IBT_ERR_CANCELLED).
///
/// Since: 0.1
pub type ibt_change_fn = Option<
    unsafe extern "C" fn(
        ud: *mut c_void,
        what: u32,
        before: *const ibt_entry,
        after: *const ibt_entry,
    ) -> i32,
>;

/// Decides whether a backup takes in an entry of the source. `entry` is valid
/// during the call only. It has the values of lstat(), the names of its owners
/// and the target of a link; hash, hard links and extended attributes are
/// unknown. libibt asks in the order of paths, about a directory before the
/// entries in it. It does not ask about the source itself, sockets, entries that
/// cannot be examined, and entries that another option leaves out.
///
/// Return one of IBT_FILTER_*, or IBT_CALLBACK_STOP to include this entry and
/// all that follow: libibt then does not call the filter again. Every other
/// positive number means IBT_FILTER_INCLUDE. 0 or a negative number cancels the
/// operation (IBT_ERR_CANCELLED).
///
/// Since: 0.1
pub type ibt_filter_fn = Option<unsafe extern "C" fn(ud: *mut c_void, entry: *const ibt_entry) -> i32>;

/// Receives one line about the work of an operation. `level` is one of
/// IBT_LOG_*. `message` is valid during the call only.
///
/// Since: 0.1
pub type ibt_log_fn = Option<unsafe extern "C" fn(ud: *mut c_void, level: i32, message: *const c_char)>;

/// A function of the caller with its userdata. Clones share the userdata.
#[derive(Clone)]
pub(super) struct Callback<F> {
    function: F,
    userdata: Arc<Userdata>,
}

impl<F> Callback<F> {
    /// Takes ownership of the userdata. Without a function it returns the userdata, and the caller drops it while
    /// the object is not in use: the destroy function may use the object.
    pub(super) fn new(
        function: Option<F>,
        ud: *mut c_void,
        destroy: ibt_destroy_fn,
    ) -> (Option<Self>, Option<Userdata>) {
        let userdata = Userdata::new(ud, destroy);
        match function {
            Some(function) => (Some(Callback { function, userdata: Arc::new(userdata) }), None),
            None => (None, Some(userdata)),
        }
    }

    fn ud(&self) -> *mut c_void {
        self.userdata.pointer()
    }
}

/// A pointer of the caller. Dropping it calls the destroy function.
pub(super) struct Userdata {
    pointer: *mut c_void,
    destroy: ibt_destroy_fn,
}

impl Userdata {
    pub(super) fn new(pointer: *mut c_void, destroy: ibt_destroy_fn) -> Self {
        Userdata { pointer, destroy }
    }

    pub(super) fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

// SAFETY: libibt only passes the pointer to the caller's functions. The header says that an object, and with
// it its userdata, may move between threads, and that callbacks run on the calling thread. The one exception is a
// function of a storage that says that several threads may call it.
unsafe impl Send for Userdata {}
// SAFETY: as for `Send`: no code here reads the memory that the pointer points to.
unsafe impl Sync for Userdata {}

impl Drop for Userdata {
    fn drop(&mut self) {
        if let Some(destroy) = self.destroy {
            // SAFETY: the caller's function with its own userdata, called once.
            unsafe { destroy(self.pointer) };
        }
    }
}

fn pointer<T>(lent: Option<&T>) -> *const T {
    lent.map_or(std::ptr::null(), |lent| lent)
}

type ProgressFn = unsafe extern "C" fn(*mut c_void, *const ibt_progress) -> i32;
type ChangeFn = unsafe extern "C" fn(*mut c_void, u32, *const ibt_entry, *const ibt_entry) -> i32;
type FilterFn = unsafe extern "C" fn(*mut c_void, *const ibt_entry) -> i32;
type LogFn = unsafe extern "C" fn(*mut c_void, i32, *const c_char);

/// The callbacks of an options object: an [`Observer`] for the engine.
#[derive(Clone, Default)]
pub(super) struct Callbacks {
    pub(super) progress: Option<Callback<ProgressFn>>,
    pub(super) change: Option<Callback<ChangeFn>>,
    pub(super) filter: Option<Callback<FilterFn>>,
    /// The callback, and the least important level that the caller asked for.
    pub(super) log: Option<(Level, Callback<LogFn>)>,
}

impl Observer for Callbacks {
    fn progress(&mut self, now: &Progress) -> Flow {
        let Some(callback) = &self.progress else { return Flow::Continue };
        let view = ibt_progress::new(now);
        // SAFETY: the caller's function with its own userdata; the view lives until it returns.
        match unsafe { (callback.function)(callback.ud(), &view) } {
            1.. => Flow::Continue,
            _ => Flow::Cancel,
        }
    }

    fn change(&mut self, what: u32, before: Option<&Entry>, after: Option<&Entry>) -> Flow {
        let Some(callback) = &self.change else { return Flow::Continue };
        let (before, after) = (before.map(ibt_entry::new), after.map(ibt_entry::new));
        let (before, after) = (pointer(before.as_ref()), pointer(after.as_ref()));
        // SAFETY: the caller's function with its own userdata; the views live until it returns.
        match unsafe { (callback.function)(callback.ud(), what, before, after) } {
            IBT_CALLBACK_STOP => Flow::Stop,
            1.. => Flow::Continue,
            _ => Flow::Cancel,
        }
    }

    fn wants_changes(&self) -> bool {
        self.change.is_some()
    }

    fn filter(&mut self, entry: &Entry) -> FilterAnswer {
        let Some(callback) = &self.filter else { return FilterAnswer::Include };
        // SAFETY: the caller's function with its own userdata; the view lives until it returns.
        match unsafe { (callback.function)(callback.ud(), &ibt_entry::new(entry)) } {
            IBT_CALLBACK_STOP => FilterAnswer::Stop,
            IBT_FILTER_LEAVE_OUT => FilterAnswer::LeaveOut,
            IBT_FILTER_LEAVE_OUT_ALL => FilterAnswer::LeaveOutAll,
            1.. => FilterAnswer::Include,
            _ => FilterAnswer::Cancel,
        }
    }

    fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    fn log(&mut self, level: Level, message: &str) {
        match &self.log {
            Some((wanted, callback)) if level <= *wanted => {
                let message = c_line(message);
                // SAFETY: the caller's function with its own userdata; the line lives until it returns.
                unsafe { (callback.function)(callback.ud(), level as i32, message.as_ptr()) };
            }
            _ => {}
        }
    }
}
