//! `ibt_report`: the result of an operation, as strings and numbers that C can borrow.

use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::OnceLock;

use crate::job::{BackupFile, Counter, Counters, Problem, Report, ReportedSnapshot};

use super::args::{c_line, c_string, free_raw, ptr_or_null};
use super::constants::IBT_OK;
use super::library::ibt_status;

/// The result of an operation. Owned by the caller, who frees it with
/// ibt_report_free(). Every string borrowed from it is valid until then.
///
/// Immutable: several threads may read it at once, and any of them may free it.
/// Functions that take an index return NULL or 0 when the index is out of
/// range.
///
/// Since: 0.1
pub struct ibt_report {
    report: Report,
    key: Option<CString>,
    snapshot: Option<CString>,
    digest: Option<CString>,
    files: Vec<FileText>,
    snapshots: Vec<SnapshotText>,
    problems: Vec<ProblemText>,
    /// Made on the first request.
    json: OnceLock<CString>,
}

/// The strings of a [`BackupFile`].
struct FileText {
    name: CString,
    kind: CString,
    path: Option<CString>,
}

impl FileText {
    fn new(file: &BackupFile) -> Self {
        FileText {
            name: c_string(&file.name),
            kind: c_string(file.kind),
            path: file.path.as_ref().map(c_string),
        }
    }
}

/// The strings of a [`ReportedSnapshot`].
pub(super) struct SnapshotText {
    pub(super) stamp: CString,
    pub(super) key: CString,
    pub(super) kind: CString,
    pub(super) digest: CString,
    pub(super) source: CString,
    host: CString,
    /// Names and values, in the order of names.
    pub(super) labels: Vec<(CString, CString)>,
    parent: Option<CString>,
    reason: CString,
}

impl SnapshotText {
    pub(super) fn new(snapshot: &ReportedSnapshot) -> Self {
        SnapshotText {
            stamp: c_string(snapshot.stamp.to_string()),
            key: c_string(&snapshot.key),
            kind: c_string(snapshot.kind),
            digest: c_string(snapshot.digest.map(|digest| digest.to_string()).unwrap_or_default()),
            source: c_string(&snapshot.source),
            host: c_string(&snapshot.host),
            labels: snapshot.labels.iter().map(|(name, value)| (c_string(name), c_string(value))).collect(),
            parent: snapshot.parent.map(|parent| c_string(parent.to_string())),
            reason: c_line(&snapshot.reason),
        }
    }
}

/// The strings of a [`Problem`].
struct ProblemText {
    path: Option<CString>,
    message: CString,
    snapshot: Option<CString>,
    file: Option<CString>,
}

impl ProblemText {
    fn new(problem: &Problem) -> Self {
        ProblemText {
            path: problem.path.as_ref().map(c_string),
            message: c_line(&problem.message),
            snapshot: problem.snapshot.map(|stamp| c_string(stamp.to_string())),
            file: problem.file.as_ref().map(c_string),
        }
    }
}

impl ibt_report {
    pub(super) fn new(report: Report) -> Self {
        ibt_report {
            key: report.key.as_ref().map(c_string),
            snapshot: report.snapshot.map(|stamp| c_string(stamp.to_string())),
            digest: report.digest.map(|digest| c_string(digest.to_string())),
            files: report.files.iter().map(FileText::new).collect(),
            snapshots: report.snapshots.iter().map(SnapshotText::new).collect(),
            problems: report.problems.iter().map(ProblemText::new).collect(),
            json: OnceLock::new(),
            report,
        }
    }
}

/// Borrows a string of the report itself.
fn own(report: Option<&ibt_report>, field: fn(&ibt_report) -> Option<&CString>) -> *const c_char {
    ptr_or_null(report.and_then(field))
}

fn file(report: Option<&ibt_report>, i: usize) -> Option<&BackupFile> {
    report?.report.files.get(i)
}

fn file_text(
    report: Option<&ibt_report>,
    i: usize,
    field: fn(&FileText) -> Option<&CString>,
) -> *const c_char {
    ptr_or_null(report.and_then(|report| report.files.get(i)).and_then(field))
}

fn snapshot(report: Option<&ibt_report>, i: usize) -> Option<&ReportedSnapshot> {
    report?.report.snapshots.get(i)
}

fn snapshot_text(
    report: Option<&ibt_report>,
    i: usize,
    field: impl Fn(&SnapshotText) -> Option<&CString>,
) -> *const c_char {
    ptr_or_null(report.and_then(|report| report.snapshots.get(i)).and_then(field))
}

fn problem(report: Option<&ibt_report>, i: usize) -> Option<&Problem> {
    report?.report.problems.get(i)
}

fn problem_text(
    report: Option<&ibt_report>,
    i: usize,
    field: fn(&ProblemText) -> Option<&CString>,
) -> *const c_char {
    ptr_or_null(report.and_then(|report| report.problems.get(i)).and_then(field))
}

pub(super) fn counter(counters: &Counters, which: i32) -> u64 {
    Counter::from_number(which).map_or(0, |counter| counters.get(counter))
}

/// ==== Reports ====
///
/// The status that the operation returned; IBT_OK for NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_status(report: Option<&ibt_report>) -> ibt_status {
    guard!(IBT_OK, { report.map_or(IBT_OK, |report| report.report.status()) })
}

/// The key that the operation worked on; NULL if it worked on no key or on all
/// keys.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_key(report: Option<&ibt_report>) -> *const c_char {
    guard!(ptr::null(), { own(report, |report| report.key.as_ref()) })
}

/// The stamp of the snapshot that the operation made or used, such as
/// "20261122T220530.123456Z". NULL if there is none.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot(report: Option<&ibt_report>) -> *const c_char {
    guard!(ptr::null(), { own(report, |report| report.snapshot.as_ref()) })
}

/// The tree digest of that snapshot: "blake3:" and 64 hex digits. The digest
/// covers every path, content and attribute, so a signature of the digest signs
/// the whole snapshot; see ibt_options_set_expected_digest(). NULL if there is
/// no snapshot.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_digest(report: Option<&ibt_report>) -> *const c_char {
    guard!(ptr::null(), { own(report, |report| report.digest.as_ref()) })
}

/// The time when the operation began, in nanoseconds since 1970, UTC.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_date(report: Option<&ibt_report>) -> i64 {
    guard!(0, { report.map_or(0, |report| report.report.date.to_nanos_i64()) })
}

/// The number of backup files that the operation made or removed. After a
/// restore, a comparison or the list of one snapshot: the number of backup
/// files that the snapshot needs.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_file_count(report: Option<&ibt_report>) -> usize {
    guard!(0, { report.map_or(0, |report| report.files.len()) })
}

/// The name of backup file i in the storage.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_file_name(report: Option<&ibt_report>, i: usize) -> *const c_char {
    guard!(ptr::null(), { file_text(report, i, |file| Some(&file.name)) })
}

/// The kind of backup file i: "full", "created", "updated", "sigvault",
/// "state", "retired" (the mark of a removed snapshot) or "partial" (the
/// partial state of a full backup that did not end).
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_file_kind(report: Option<&ibt_report>, i: usize) -> *const c_char {
    guard!(ptr::null(), { file_text(report, i, |file| Some(&file.kind)) })
}

/// The path of backup file i, as raw bytes; NULL if the storage is not a
/// directory.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_file_path(report: Option<&ibt_report>, i: usize) -> *const c_char {
    guard!(ptr::null(), { file_text(report, i, |file| file.path.as_ref()) })
}

/// The size of backup file i in bytes.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_file_size(report: Option<&ibt_report>, i: usize) -> u64 {
    guard!(0, { file(report, i).map_or(0, |file| file.size) })
}

/// The sum of the sizes of all listed backup files, in bytes.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_total_size(report: Option<&ibt_report>) -> u64 {
    guard!(0, { report.map_or(0, |report| report.report.total_size()) })
}

/// The value of counter `which`, one of IBT_COUNT_*; 0 for an unknown counter.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_counter(report: Option<&ibt_report>, which: i32) -> u64 {
    guard!(0, { report.map_or(0, |report| counter(&report.report.counters, which)) })
}

/// The number of snapshots in the report.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot_count(report: Option<&ibt_report>) -> usize {
    guard!(0, { report.map_or(0, |report| report.snapshots.len()) })
}

/// The stamp of snapshot i, in UTC. The stamp is the snapshot's name within its
/// key.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot_stamp(report: Option<&ibt_report>, i: usize) -> *const c_char {
    guard!(ptr::null(), { snapshot_text(report, i, |snapshot| Some(&snapshot.stamp)) })
}

/// The key of snapshot i.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot_key(report: Option<&ibt_report>, i: usize) -> *const c_char {
    guard!(ptr::null(), { snapshot_text(report, i, |snapshot| Some(&snapshot.key)) })
}

/// The kind of snapshot i: "full" or "incremental". A backup of the Python
/// ancestor that is not imported is "ancestor-full" or "ancestor-incremental".
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot_kind(report: Option<&ibt_report>, i: usize) -> *const c_char {
    guard!(ptr::null(), { snapshot_text(report, i, |snapshot| Some(&snapshot.kind)) })
}

/// The tree digest of snapshot i; "" for a backup of the Python ancestor.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot_digest(report: Option<&ibt_report>, i: usize) -> *const c_char {
    guard!(ptr::null(), { snapshot_text(report, i, |snapshot| Some(&snapshot.digest)) })
}

/// The absolute path of the source of snapshot i, or the name of
/// ibt_options_set_source_name(), as raw bytes.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot_source(report: Option<&ibt_report>, i: usize) -> *const c_char {
    guard!(ptr::null(), { snapshot_text(report, i, |snapshot| Some(&snapshot.source)) })
}

/// The name of the host on which snapshot i was made, or the name of
/// ibt_options_set_host().
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot_host(report: Option<&ibt_report>, i: usize) -> *const c_char {
    guard!(ptr::null(), { snapshot_text(report, i, |snapshot| Some(&snapshot.host)) })
}

/// The number of labels of snapshot i, see ibt_options_set_label().
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot_label_count(report: Option<&ibt_report>, i: usize) -> usize {
    guard!(0, { report.and_then(|report| report.snapshots.get(i)).map_or(0, |text| text.labels.len()) })
}

/// The name of label j of snapshot i. The names ascend.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot_label_name(
    report: Option<&ibt_report>,
    i: usize,
    j: usize,
) -> *const c_char {
    guard!(ptr::null(), { snapshot_text(report, i, |text| text.labels.get(j).map(|(name, _)| name)) })
}

/// The value of label j of snapshot i.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot_label_value(
    report: Option<&ibt_report>,
    i: usize,
    j: usize,
) -> *const c_char {
    guard!(ptr::null(), { snapshot_text(report, i, |text| text.labels.get(j).map(|(_, value)| value)) })
}

/// The stamp of the parent of snapshot i. For an increment this is the snapshot
/// that it was compared with; for a full made by ibt_consolidate(), the
/// snapshot that it was copied from. NULL for every other full. The parent may
/// have been removed; snapshot i is whole without it.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot_parent(report: Option<&ibt_report>, i: usize) -> *const c_char {
    guard!(ptr::null(), { snapshot_text(report, i, |snapshot| snapshot.parent.as_ref()) })
}

/// Why snapshot i was kept or removed, in one line; "" if the operation did not
/// decide about it. After ibt_verify(): the number of losses, such as "3
/// losses", or "" if the snapshot is whole.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot_reason(report: Option<&ibt_report>, i: usize) -> *const c_char {
    guard!(ptr::null(), { snapshot_text(report, i, |snapshot| Some(&snapshot.reason)) })
}

/// The time when snapshot i was made, in nanoseconds since 1970, UTC. Normally
/// this is the time in its stamp. The stamp is later if an earlier stamp of the
/// key was ahead of the clock, because each new stamp of a key is later than
/// all others.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot_date(report: Option<&ibt_report>, i: usize) -> i64 {
    guard!(0, { snapshot(report, i).map_or(0, |snapshot| snapshot.date.to_time().to_nanos_i64()) })
}

/// The result for snapshot i: one of IBT_ACTION_*.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot_action(report: Option<&ibt_report>, i: usize) -> i32 {
    guard!(0, { snapshot(report, i).map_or(0, |snapshot| snapshot.action as i32) })
}

/// The value of counter `which`, one of IBT_COUNT_*, of the backup that made
/// snapshot i. After ibt_verify() IBT_COUNT_PROBLEMS is the number of losses
/// found in the snapshot. 0 for an unknown counter.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_snapshot_counter(report: Option<&ibt_report>, i: usize, which: i32) -> u64 {
    guard!(0, { snapshot(report, i).map_or(0, |snapshot| counter(&snapshot.counters, which)) })
}

/// The number of problems in the report. The report keeps the first 10,000;
/// IBT_COUNT_PROBLEMS counts all.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_problem_count(report: Option<&ibt_report>) -> usize {
    guard!(0, { report.map_or(0, |report| report.problems.len()) })
}

/// The path of the entry that has problem i, as raw bytes; NULL if the problem
/// concerns no entry.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_problem_path(report: Option<&ibt_report>, i: usize) -> *const c_char {
    guard!(ptr::null(), { problem_text(report, i, |problem| problem.path.as_ref()) })
}

/// Problem i in one line for people.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_problem_message(report: Option<&ibt_report>, i: usize) -> *const c_char {
    guard!(ptr::null(), { problem_text(report, i, |problem| Some(&problem.message)) })
}

/// The stamp of the snapshot that has problem i. NULL if the problem names no
/// snapshot; it then belongs to ibt_report_snapshot(), if that is set.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_problem_snapshot(report: Option<&ibt_report>, i: usize) -> *const c_char {
    guard!(ptr::null(), { problem_text(report, i, |problem| problem.snapshot.as_ref()) })
}

/// The name of the backup file that has problem i; NULL if the problem concerns
/// no backup file.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_problem_file(report: Option<&ibt_report>, i: usize) -> *const c_char {
    guard!(ptr::null(), { problem_text(report, i, |problem| problem.file.as_ref()) })
}

/// The status of problem i, such as IBT_ERR_IO.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_problem_status(report: Option<&ibt_report>, i: usize) -> ibt_status {
    guard!(IBT_OK, { problem(report, i).map_or(IBT_OK, |problem| problem.status as ibt_status) })
}

/// The kind of problem i: one of IBT_PROBLEM_*.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_problem_kind(report: Option<&ibt_report>, i: usize) -> i32 {
    guard!(0, { problem(report, i).map_or(0, |problem| problem.kind as i32) })
}

/// 1 if problem i is a note: it reports an action or an omission by design, and
/// does not make the result IBT_PARTIAL. 0 for every other problem.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_problem_is_note(report: Option<&ibt_report>, i: usize) -> i32 {
    guard!(0, { problem(report, i).map_or(0, |problem| i32::from(problem.kind.is_note())) })
}

/// The system's error number (errno) behind problem i, or 0.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_problem_os_code(report: Option<&ibt_report>, i: usize) -> i32 {
    guard!(0, { problem(report, i).map_or(0, |problem| problem.os_code) })
}

/// The whole report as one line of JSON in UTF-8. Bytes of names that are not
/// text are written as %XX, and so is '%' itself. Times are
/// "SECONDS.NNNNNNNNN". docs/abi.md describes the members.
///
/// Never NULL: "" for NULL. Borrowed until the report is freed.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_report_json(report: Option<&ibt_report>) -> *const c_char {
    guard!(c"".as_ptr(), {
        report.map_or(c"".as_ptr(), |report| {
            report.json.get_or_init(|| c_string(report.report.to_json())).as_ptr()
        })
    })
}

/// Frees a report and the strings borrowed from it. NULL is ignored.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_report_free(report: *mut ibt_report) {
    guard!((), {
        // SAFETY: NULL, or a handle from libibt that the caller owns and uses no more.
        unsafe { free_raw(report) }
    })
}
