//! A panic forced in each export. The export returns its error value, and the object that it was called with can be
//! used afterwards.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use crate::entry::Node;

use super::super::guard::forced;
use super::super::*;
use super::guard::alone;
use super::views;

/// What an export returned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Nothing,
    Null,
    Text(Option<String>),
    Number(i128),
}

/// A text, compared by its bytes.
const EMPTY: &str = "";
const UNKNOWN: &str = "IBT_ERR_UNKNOWN";
const NULL: Answer = Answer::Null;
const NOTHING: Answer = Answer::Nothing;

impl From<()> for Answer {
    fn from((): ()) -> Self {
        Answer::Nothing
    }
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        Answer::Text(Some(text.into()))
    }
}

impl From<*const c_char> for Answer {
    fn from(text: *const c_char) -> Self {
        if text.is_null() {
            return Answer::Null;
        }
        // SAFETY: an export returns NULL or a string.
        Answer::Text(Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()))
    }
}

/// The bytes of an attribute, which need not end with NUL.
impl From<*const u8> for Answer {
    fn from(bytes: *const u8) -> Self {
        if bytes.is_null() { Answer::Null } else { Answer::Text(None) }
    }
}

macro_rules! answers_of_numbers {
    ($($number:ty)*) => {
        $(impl From<$number> for Answer {
            fn from(number: $number) -> Self {
                Answer::Number(number as i128)
            }
        })*
    };
}
answers_of_numbers!(i32 u32 i64 u64 usize);

/// The out arguments of a call.
struct Outs {
    report: *mut ibt_report,
    err: *mut ibt_error,
}

impl Outs {
    fn new() -> Self {
        Outs { report: ptr::null_mut(), err: ptr::null_mut() }
    }

    fn report(&mut self) -> *mut *mut ibt_report {
        &raw mut self.report
    }

    fn err(&mut self) -> *mut *mut ibt_error {
        &raw mut self.err
    }

    /// The status of the error, if the call set one. Frees what the call set.
    fn take(&mut self) -> Option<ibt_status> {
        // SAFETY: both are NULL or come from an export, and nobody else has them.
        unsafe {
            let status = self.err.as_ref().map(|error| ibt_error_status(Some(error)));
            ibt_error_free(std::mem::replace(&mut self.err, ptr::null_mut()));
            ibt_report_free(std::mem::replace(&mut self.report, ptr::null_mut()));
            status
        }
    }
}

/// Calls an export before, with and after a forced panic.
fn tried(name: &str, mut call: impl FnMut() -> Answer, neutral: Answer) {
    let before = call();
    let (forced, panics) = forced(&mut call);
    assert_eq!(panics, 1, "{name}: the panic was not forced");
    assert_eq!(forced, neutral, "{name}");
    assert_eq!(call(), before, "{name} after a panic");
}

/// Tries each export with arguments that are no error. `names` gets the names.
macro_rules! try_each {
    ($names:ident, $outs:ident, $($name:ident($($arg:expr),*) => $neutral:expr,)*) => {
        $(
            $names.insert(stringify!($name).to_string());
            let call = || {
                // SAFETY: each argument is as the header says.
                #[allow(unused_unsafe)]
                let answer: Answer = unsafe { $name($($arg),*) }.into();
                if let Some(status) = $outs.take() {
                    assert_eq!(answer, Answer::from(status), concat!(stringify!($name), ": the error"));
                }
                answer
            };
            tried(stringify!($name), call, $neutral.into());
        )*
    };
}

fn views(names: &mut BTreeSet<String>) {
    let mut outs = Outs::new();
    let (held, report) = (views::entry("a", Node::Dir), ibt_report::new(views::full_report()));
    let (entry, now) = (ibt_entry::new(&held), ibt_progress::new(&views::some_progress()));
    let error =
        ibt_error::new(&crate::error::Error::new(crate::error::Kind::Limit, "go on", "too much").at("p"));
    try_each! {
        names, outs,
        ibt_counter_name(1) => NULL,
        ibt_entry_btime(Some(&entry)) => i64::MIN,
        ibt_entry_ctime(Some(&entry)) => 0,
        ibt_entry_data_size(Some(&entry)) => 0,
        ibt_entry_flags(Some(&entry)) => NULL,
        ibt_entry_gid(Some(&entry)) => 0,
        ibt_entry_group(Some(&entry)) => NULL,
        ibt_entry_hash(Some(&entry)) => NULL,
        ibt_entry_link(Some(&entry)) => NULL,
        ibt_entry_mode(Some(&entry)) => 0,
        ibt_entry_mtime(Some(&entry)) => 0,
        ibt_entry_path(Some(&entry)) => NULL,
        ibt_entry_project(Some(&entry)) => 0,
        ibt_entry_rdev(Some(&entry)) => 0,
        ibt_entry_size(Some(&entry)) => 0,
        ibt_entry_target(Some(&entry)) => NULL,
        ibt_entry_type(Some(&entry)) => 0,
        ibt_entry_uid(Some(&entry)) => 0,
        ibt_entry_user(Some(&entry)) => NULL,
        ibt_entry_xattr_count(Some(&entry)) => 0,
        ibt_entry_xattr_name(Some(&entry), 0) => NULL,
        ibt_entry_xattr_value(Some(&entry), 0, ptr::null_mut()) => NULL,
        ibt_error_message(Some(&error)) => EMPTY,
        ibt_error_os_code(Some(&error)) => 0,
        ibt_error_path(Some(&error)) => NULL,
        ibt_error_status(Some(&error)) => IBT_OK,
        ibt_problem_name(1) => NULL,
        ibt_progress_done_bytes(Some(&now)) => 0,
        ibt_progress_done_entries(Some(&now)) => 0,
        ibt_progress_path(Some(&now)) => EMPTY,
        ibt_progress_phase(Some(&now)) => 0,
        ibt_progress_total_bytes(Some(&now)) => 0,
        ibt_progress_total_entries(Some(&now)) => 0,
        ibt_report_counter(Some(&report), 1) => 0,
        ibt_report_date(Some(&report)) => 0,
        ibt_report_digest(Some(&report)) => NULL,
        ibt_report_file_count(Some(&report)) => 0,
        ibt_report_file_kind(Some(&report), 0) => NULL,
        ibt_report_file_name(Some(&report), 0) => NULL,
        ibt_report_file_path(Some(&report), 0) => NULL,
        ibt_report_file_size(Some(&report), 0) => 0,
        ibt_report_json(Some(&report)) => EMPTY,
        ibt_report_key(Some(&report)) => NULL,
        ibt_report_problem_count(Some(&report)) => 0,
        ibt_report_problem_file(Some(&report), 0) => NULL,
        ibt_report_problem_is_note(Some(&report), 0) => 0,
        ibt_report_problem_kind(Some(&report), 0) => 0,
        ibt_report_problem_message(Some(&report), 0) => NULL,
        ibt_report_problem_os_code(Some(&report), 0) => 0,
        ibt_report_problem_path(Some(&report), 0) => NULL,
        ibt_report_problem_snapshot(Some(&report), 0) => NULL,
        ibt_report_problem_status(Some(&report), 0) => IBT_OK,
        ibt_report_snapshot(Some(&report)) => NULL,
        ibt_report_snapshot_action(Some(&report), 0) => 0,
        ibt_report_snapshot_count(Some(&report)) => 0,
        ibt_report_snapshot_counter(Some(&report), 0, 1) => 0,
        ibt_report_snapshot_date(Some(&report), 0) => 0,
        ibt_report_snapshot_digest(Some(&report), 0) => NULL,
        ibt_report_snapshot_host(Some(&report), 0) => NULL,
        ibt_report_snapshot_key(Some(&report), 0) => NULL,
        ibt_report_snapshot_kind(Some(&report), 0) => NULL,
        ibt_report_snapshot_label_count(Some(&report), 0) => 0,
        ibt_report_snapshot_label_name(Some(&report), 0, 0) => NULL,
        ibt_report_snapshot_label_value(Some(&report), 0, 0) => NULL,
        ibt_report_snapshot_parent(Some(&report), 0) => NULL,
        ibt_report_snapshot_reason(Some(&report), 0) => NULL,
        ibt_report_snapshot_source(Some(&report), 0) => NULL,
        ibt_report_snapshot_stamp(Some(&report), 0) => NULL,
        ibt_report_status(Some(&report)) => IBT_OK,
        ibt_report_total_size(Some(&report)) => 0,
        ibt_status_name(1) => UNKNOWN,
        ibt_version() => EMPTY,
        ibt_version_number() => 0,
    }
}

fn options(names: &mut BTreeSet<String>) {
    let mut outs = Outs::new();
    let cancel = ibt_cancel_new();
    let options = ibt_options_new();
    // SAFETY: without functions.
    let functions = unsafe { ibt_storage_new(ptr::null_mut(), None) };
    try_each! {
        names, outs,
        ibt_list_add(ptr::null_mut(), c"n".as_ptr(), 1) => IBT_ERR_PANIC,
        ibt_options_add_exclude(options, c"*.x".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_add_exclude_if_present(options, c"n".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_add_include(options, c"*".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_add_keep_label(options, c"n".as_ptr(), c"v".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_add_label_filter(options, c"n".as_ptr(), c"v".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_add_path(options, c"p".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_add_protected_path(options, c"p".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_add_removed(options, c"20261122T220530.123456Z".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_add_source_path(options, c"p".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_set_allow_empty(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_allow_source_change(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_allow_unlocked(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_as_of(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_cache_dir(options, c"p".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_set_cancel(options, cancel) => IBT_ERR_PANIC,
        ibt_options_set_change(options, None, ptr::null_mut(), None) => IBT_ERR_PANIC,
        ibt_options_set_change_detection(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_checkpoint(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_compression(options, 1, 1) => IBT_ERR_PANIC,
        ibt_options_set_delete_extra(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_delta(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_dry_run(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_exclude_file(options, c"n".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_set_exclude_larger_than(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_exclude_nodump(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_expected_digest(options, c"blake3:0000000000000000000000000000000000000000000000000000000000000000".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_set_filter(options, None, ptr::null_mut(), None) => IBT_ERR_PANIC,
        ibt_options_set_heal(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_host(options, c"h".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_set_keep_daily(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_keep_hourly(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_keep_last(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_keep_monthly(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_keep_weekly(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_keep_within(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_keep_yearly(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_key(options, c"src".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_set_label(options, c"n".as_ptr(), c"v".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_set_leave_partial(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_local_time(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_lock_wait(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_log(options, 1, None, ptr::null_mut(), None) => IBT_ERR_PANIC,
        ibt_options_set_map_owners(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_metadata_only(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_on_file_error(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_one_file_system(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_overwrite(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_part_size(options, 1 << 20) => IBT_ERR_PANIC,
        ibt_options_set_progress(options, None, ptr::null_mut(), None) => IBT_ERR_PANIC,
        ibt_options_set_restore_metadata(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_root(options, c"p".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_set_skip_cache_dirs(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_skip_unchanged(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_snapshot(options, c"20261122T220530.123456Z".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_set_source_name(options, c"n".as_ptr()) => IBT_ERR_PANIC,
        ibt_options_set_threads(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_verify(options, 1) => IBT_ERR_PANIC,
        ibt_options_set_verify_part(options, 1, 1) => IBT_ERR_PANIC,
        ibt_storage_fail(functions, 1, c"m".as_ptr()) => IBT_ERR_PANIC,
        ibt_storage_set_delete(functions, None) => IBT_ERR_PANIC,
        ibt_storage_set_list(functions, None) => IBT_ERR_PANIC,
        ibt_storage_set_lock(functions, None, None) => IBT_ERR_PANIC,
        ibt_storage_set_reader(functions, None) => IBT_ERR_PANIC,
        ibt_storage_set_traits(functions, 1) => IBT_ERR_PANIC,
        ibt_storage_set_writer(functions, None, None, None, None) => IBT_ERR_PANIC,
    }
    // SAFETY: each is freed once.
    unsafe {
        ibt_storage_free(functions);
        ibt_options_free(options);
        ibt_cancel_free(cancel);
    }
}

unsafe extern "C" fn each_entry(_: *mut c_void, _: *const ibt_entry) -> i32 {
    IBT_CALLBACK_OK
}

unsafe extern "C" fn sink(_: *mut c_void, _: *const u8, _: usize) -> i32 {
    IBT_CALLBACK_OK
}

unsafe extern "C" fn each_key(_: *mut c_void, _: *const c_char, _: u64) -> i32 {
    IBT_CALLBACK_OK
}

/// A source with two files, and a storage with a full backup of it.
struct Backup {
    dir: tempfile::TempDir,
    source: CString,
    settings: *mut ibt_options,
    storage: *mut ibt_storage,
}

impl Backup {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| CString::new(dir.path().join(name).as_os_str().as_bytes()).unwrap();
        std::fs::create_dir(dir.path().join("src")).unwrap();
        for name in ["p", "q"] {
            std::fs::write(dir.path().join("src").join(name), name).unwrap();
        }
        let (source, settings) = (path("src"), ibt_options_new());
        let (mut storage, mut outs) = (ptr::null_mut(), Outs::new());
        // SAFETY: strings, and out arguments that may be written.
        unsafe {
            ibt_options_set_cache_dir(settings, c"".as_ptr());
            ibt_options_set_overwrite(settings, IBT_OVERWRITE_IF_DIFFERENT);
            assert_eq!(
                ibt_storage_open_dir(path("store").as_ptr(), 0, &mut storage, ptr::null_mut()),
                IBT_OK
            );
            assert_eq!(
                ibt_full_backup(storage, source.as_ptr(), settings, outs.report(), outs.err()),
                IBT_OK
            );
        }
        outs.take();
        Backup { dir, source, settings, storage }
    }

    fn snapshot(&self) -> *mut ibt_snapshot {
        let mut snapshot = ptr::null_mut();
        // SAFETY: strings, and out arguments that may be written.
        let status = unsafe {
            ibt_snapshot_open(self.storage, c"src".as_ptr(), self.settings, &mut snapshot, ptr::null_mut())
        };
        assert_eq!(status, IBT_OK);
        snapshot
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        // SAFETY: each is freed once.
        unsafe {
            ibt_options_free(self.settings);
            ibt_storage_free(self.storage);
        }
    }
}

fn operations(names: &mut BTreeSet<String>) {
    let mut outs = Outs::new();
    let backup = Backup::new();
    let Backup { dir, source, settings, storage } = &backup;
    let (settings, storage, snapshot, cancel) = (*settings, *storage, backup.snapshot(), ibt_cancel_new());
    let dest = CString::new(dir.path().join("dest").as_os_str().as_bytes()).unwrap();
    let from = CString::new(dir.path().join("none").as_os_str().as_bytes()).unwrap();
    let mut none = ptr::null_mut();
    // SAFETY: a string, and an out argument that may be written.
    unsafe { ibt_storage_open_dir(from.as_ptr(), 0, &mut none, ptr::null_mut()) };
    let from = none;
    let mut lent = ptr::null();
    // SAFETY: handles that are not freed yet.
    let (snapshot_view, cancel_view) = unsafe { (snapshot.as_ref(), cancel.as_ref()) };
    try_each! {
        names, outs,
        ibt_cancel_request(cancel) => NOTHING,
        ibt_cancel_requested(cancel_view) => 0,
        ibt_compare(storage, c"src".as_ptr(), source.as_ptr(), settings, outs.report(), outs.err()) => IBT_ERR_PANIC,
        ibt_consolidate(storage, c"src".as_ptr(), settings, outs.report(), outs.err()) => IBT_ERR_PANIC,
        ibt_diff(snapshot, snapshot, settings, outs.report(), outs.err()) => IBT_ERR_PANIC,
        ibt_full_backup(storage, source.as_ptr(), settings, outs.report(), outs.err()) => IBT_ERR_PANIC,
        ibt_import(storage, from, c"src".as_ptr(), settings, outs.report(), outs.err()) => IBT_ERR_PANIC,
        ibt_incremental_backup(storage, source.as_ptr(), settings, outs.report(), outs.err()) => IBT_ERR_PANIC,
        ibt_list_keys(storage, Some(each_key), ptr::null_mut(), outs.err()) => IBT_ERR_PANIC,
        ibt_list_snapshots(storage, c"src".as_ptr(), settings, outs.report(), outs.err()) => IBT_ERR_PANIC,
        ibt_prune(storage, c"src".as_ptr(), settings, outs.report(), outs.err()) => IBT_ERR_PANIC,
        ibt_rebuild_cache(storage, c"src".as_ptr(), settings, outs.report(), outs.err()) => IBT_ERR_PANIC,
        ibt_restore(storage, c"src".as_ptr(), dest.as_ptr(), settings, outs.report(), outs.err()) => IBT_ERR_PANIC,
        ibt_snapshot_counter(snapshot_view, 1) => 0,
        ibt_snapshot_date(snapshot_view) => 0,
        ibt_snapshot_digest(snapshot_view) => NULL,
        ibt_snapshot_key(snapshot_view) => NULL,
        ibt_snapshot_kind(snapshot_view) => NULL,
        ibt_snapshot_label_count(snapshot_view) => 0,
        ibt_snapshot_label_name(snapshot_view, 0) => NULL,
        ibt_snapshot_label_value(snapshot_view, 0) => NULL,
        ibt_snapshot_list(snapshot, c"p".as_ptr(), 0, Some(each_entry), ptr::null_mut(), outs.err()) => IBT_ERR_PANIC,
        ibt_snapshot_next(snapshot, &mut lent, outs.err()) => IBT_ERR_PANIC,
        ibt_snapshot_read(snapshot, c"p".as_ptr(), 0, 1, Some(sink), ptr::null_mut(), outs.err()) => IBT_ERR_PANIC,
        ibt_snapshot_rewind(snapshot, outs.err()) => IBT_ERR_PANIC,
        ibt_snapshot_source(snapshot_view) => NULL,
        ibt_snapshot_stamp(snapshot_view) => NULL,
        ibt_verify(storage, c"src".as_ptr(), settings, outs.report(), outs.err()) => IBT_ERR_PANIC,
    }
    // SAFETY: each is freed once.
    unsafe {
        ibt_snapshot_free(snapshot);
        ibt_storage_free(from);
        ibt_cancel_free(cancel);
    }
}

/// Functions that make an object return none. Functions that free one leave it as it is: then it can be used, and freed
/// by another call.
fn made_and_freed(names: &mut BTreeSet<String>) {
    let backup = Backup::new();
    let path = CString::new(backup.dir.path().join("store").as_os_str().as_bytes()).unwrap();
    let mut call = |name: &str, call: &mut dyn FnMut() -> bool| {
        let (is_refused, panics) = forced(call);
        assert!(is_refused && panics == 1, "{name}");
        names.insert(name.to_string());
    };
    call("ibt_cancel_new", &mut || ibt_cancel_new().is_null());
    call("ibt_options_new", &mut || ibt_options_new().is_null());
    // SAFETY: strings, objects that are freed once, and out arguments that may be written.
    unsafe {
        call("ibt_storage_new", &mut || ibt_storage_new(ptr::null_mut(), None).is_null());
        let mut storage = ptr::null_mut();
        let out = &raw mut storage;
        call("ibt_storage_open_dir", &mut || {
            ibt_storage_open_dir(path.as_ptr(), 0, out, ptr::null_mut()) == IBT_ERR_PANIC && (*out).is_null()
        });
        call("ibt_storage_open_default", &mut || {
            ibt_storage_open_default(out, ptr::null_mut()) == IBT_ERR_PANIC && (*out).is_null()
        });
        call("ibt_storage_open_url", &mut || {
            ibt_storage_open_url(c"file:///".as_ptr(), out, ptr::null_mut()) == IBT_ERR_PANIC
                && (*out).is_null()
        });
        let mut snapshot = ptr::null_mut();
        let out = &raw mut snapshot;
        call("ibt_snapshot_open", &mut || {
            let status =
                ibt_snapshot_open(backup.storage, c"src".as_ptr(), backup.settings, out, ptr::null_mut());
            status == IBT_ERR_PANIC && (*out).is_null()
        });

        let (cancel, options, snapshot) = (ibt_cancel_new(), ibt_options_new(), backup.snapshot());
        let mut outs = Outs::new();
        ibt_list_snapshots(backup.storage, ptr::null(), ptr::null(), outs.report(), ptr::null_mut());
        let (report, mut error) = (outs.report, ptr::null_mut());
        ibt_verify(ptr::null_mut(), ptr::null(), ptr::null(), ptr::null_mut(), &mut error);
        call("ibt_cancel_free", &mut || {
            ibt_cancel_free(cancel);
            true
        });
        call("ibt_options_free", &mut || {
            ibt_options_free(options);
            true
        });
        call("ibt_snapshot_free", &mut || {
            ibt_snapshot_free(snapshot);
            true
        });
        call("ibt_report_free", &mut || {
            ibt_report_free(report);
            true
        });
        call("ibt_error_free", &mut || {
            ibt_error_free(error);
            true
        });
        call("ibt_storage_free", &mut || {
            ibt_storage_free(backup.storage);
            true
        });
        assert_eq!(ibt_options_set_cancel(options, cancel), IBT_OK);
        assert_eq!(ibt_snapshot_rewind(snapshot, ptr::null_mut()), IBT_OK);
        assert_eq!(ibt_report_snapshot_count(report.as_ref()), 1);
        assert_eq!(ibt_error_status(error.as_ref()), IBT_ERR_INVALID_ARG);
        assert_eq!(ibt_list_keys(backup.storage, Some(each_key), ptr::null_mut(), ptr::null_mut()), IBT_OK);
        ibt_cancel_free(cancel);
        ibt_options_free(options);
        ibt_snapshot_free(snapshot);
        ibt_report_free(report);
        ibt_error_free(error);
    }
}

#[test]
fn a_panic_in_each_export_is_an_error_and_its_objects_stay_usable() {
    let _turn = alone();
    let mut names = BTreeSet::new();
    views(&mut names);
    options(&mut names);
    operations(&mut names);
    made_and_freed(&mut names);
    let listed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/abi/ibt.symbols")).unwrap();
    assert_eq!(names, listed.lines().map(str::to_string).collect(), "exports that no panic was forced in");
}
