//! The caller's functions: their types, their userdata, and the [`Observer`] that calls them.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use crate::entry::Entry;
use crate::job::{Flow, Level, Observer, Progress};

use super::args::c_line;
use super::constants::IBT_CALLBACK_STOP;
use super::entry::ibt_entry;
use super::progress::ibt_progress;

/// Lets go of a callback's userdata: called once, when nothing will use it any
/// more, that is when the object it was given to was freed, or another callback
/// set there, and every operation begun with that has ended. May be NULL. Not
/// called if the setter that was given it failed.
///
/// Since: 0.1
pub type ibt_destroy_fn = Option<unsafe extern "C" fn(ud: *mut c_void)>;

/// Told how far an operation is: about ten times a second, and at the beginning
/// and the end of each phase, but not after a commit, when it is too late to
/// cancel. `now` is valid during the call only; done_bytes and done_entries
/// never fall within a phase.
///
/// Return IBT_CALLBACK_OK to go on; 0 or a negative number cancels the
/// operation (IBT_ERR_CANCELLED).
///
/// Since: 0.1
pub type ibt_progress_fn = Option<unsafe extern "C" fn(ud: *mut c_void, now: *const ibt_progress) -> i32>;

/// Told each change. `what` is made of IBT_CHANGE_* bits; `before` is NULL for
/// what is new, `after` for what is gone. Both are valid during the call only.
///
/// Changes come in the order of paths, with these exceptions: a restore tells
/// symbolic links and further names of hard links after everything else, what it
/// removes because the snapshot has it not after these, and what makes way for
/// an entry just before that; a backup tells at the end, in any order, what was
/// deleted but might have been found again under another name.
///
/// Return IBT_CALLBACK_OK to go on, IBT_CALLBACK_STOP for enough: a comparison,
/// which does nothing but tell, then ends with what it has found; a backup or a
/// restore is completed without telling more. 0 or a negative number cancels
/// the operation (IBT_ERR_CANCELLED).
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

/// Told what an operation is doing, one line at a time. `level` is one of
/// IBT_LOG_*; `message` is valid during the call only.
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
    /// Takes the userdata over. Without a function it is given back, for the caller to drop when nobody is at work
    /// on the object: its destroy function may use that.
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

/// A pointer of the caller's, let go when dropped.
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

// SAFETY: the pointer is only handed back to the caller's functions; the header says that a handle and with it its
// userdata may move between threads, and that callbacks run on the calling thread.
unsafe impl Send for Userdata {}
// SAFETY: as for `Send`: nothing here looks at what it points to.
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
type LogFn = unsafe extern "C" fn(*mut c_void, i32, *const c_char);

/// The callbacks of an options object: an [`Observer`] for the engine.
#[derive(Clone, Default)]
pub(super) struct Callbacks {
    pub(super) progress: Option<Callback<ProgressFn>>,
    pub(super) change: Option<Callback<ChangeFn>>,
    /// With the least important level that is wanted.
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
