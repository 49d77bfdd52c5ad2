use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use crate::entry::{self, Entry, File, HardLink, Hash, InodeFlags, Metadata, Node, Place, UnknownNode};
use crate::error::{Error, Kind, Result};
use crate::job::*;
use crate::stamp::{Stamp, Time};
use crate::store::{Draft, Lock, LockMode, Object, Store};

use super::super::callback::{Callback, Callbacks};
use super::super::*;

/// A store that holds one object and does nothing.
struct Still;

impl Store for Still {
    fn list(&mut self, _: &str) -> Result<Vec<Object>> {
        Ok(vec![Object { name: "one".into(), size: 1 }])
    }
    fn read_at(&mut self, _: &str, _: u64, _: &mut [u8]) -> Result<usize> {
        Ok(0)
    }
    fn create(&mut self, _: &str) -> Result<Box<dyn Draft>> {
        Err(Error::new(Kind::Unsupported, "write", ""))
    }
    fn sync(&mut self) -> Result<()> {
        Ok(())
    }
    fn delete(&mut self, _: &str) -> Result<()> {
        Ok(())
    }
    fn lock(&mut self, _: &str, _: LockMode) -> Result<Lock> {
        Ok(Box::new(()))
    }
    fn path_of(&self, _: &str) -> Option<std::path::PathBuf> {
        None
    }
}

pub(super) fn memory_storage() -> *mut ibt_storage {
    ibt_storage::new(Still).into_raw()
}

fn text(pointer: *const c_char) -> Option<String> {
    // SAFETY: every text of a view is NULL or a string.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}

fn some(value: &str) -> Option<String> {
    Some(value.to_string())
}

pub(super) fn entry(path: &str, node: Node) -> Entry {
    let meta = Metadata {
        mode: Some(0o4755),
        uid: Some(7),
        gid: Some(8),
        user: some("ann"),
        group: None,
        mtime: Time { secs: -1, nanos: 5 },
        xattrs: vec![(b"user.a".to_vec(), b"\0x".to_vec()), (b"user.b".to_vec(), vec![])],
        flags: InodeFlags::of_words(&["future", "nodump"]).unwrap(),
        project: 9,
    };
    let btime = Some(Time { secs: 1, nanos: 2 });
    let place = Place { ctime: Time { secs: i64::MAX, nanos: 0 }, btime, ..Place::default() };
    let path = entry::Path::new(path).unwrap();
    Entry::new(path, node, meta, place)
}

#[test]
fn an_entry_is_seen_as_it_is() {
    let hash = Hash([0xab; 32]);
    let file = entry("a/b", Node::File(File { size: 12, hash, holes: vec![(2, 3), (7, 1)] }));
    let view = Some(&ibt_entry::new(&file));
    assert_eq!(text(ibt_entry_path(view)), some("a/b"));
    assert_eq!(ibt_entry_path(view), ibt_entry_path(view), "a borrowed string stays where it is");
    assert_eq!(text(ibt_entry_hash(view)), some(&hash.to_string()));
    assert_eq!((text(ibt_entry_user(view)), text(ibt_entry_group(view))), (some("ann"), None));
    assert_eq!(text(ibt_entry_target(view)), None);
    assert_eq!((ibt_entry_type(view), ibt_entry_size(view)), (IBT_TYPE_FILE, 12));
    assert_eq!(ibt_entry_data_size(view), 8);
    assert_eq!((ibt_entry_mode(view), ibt_entry_uid(view), ibt_entry_gid(view)), (0o4755, 7, 8));
    assert_eq!((ibt_entry_mtime(view), ibt_entry_ctime(view)), (-999_999_995, i64::MAX));
    assert_eq!(ibt_entry_rdev(view), 0);
    assert_eq!((ibt_entry_btime(view), ibt_entry_project(view)), (1_000_000_002, 9));
    assert_eq!(text(ibt_entry_flags(view)), some("future,nodump"));
    let plain = Entry { meta: Metadata::default(), place: Place::default(), ..file.clone() };
    let view = Some(&ibt_entry::new(&plain));
    assert_eq!((ibt_entry_btime(view), ibt_entry_project(view)), (i64::MIN, 0));
    assert_eq!([ibt_entry_mode(view), ibt_entry_uid(view), ibt_entry_gid(view)], [u32::MAX; 3]);
    assert_eq!(text(ibt_entry_flags(view)), None);
}

#[test]
fn every_name_of_a_hard_link_gives_the_first_name() {
    let first = entry::Path::new("a/b").unwrap();
    for (path, link, seen) in [
        ("a/b", HardLink::Single, None),
        ("a/b", HardLink::First, some("a/b")),
        ("c", HardLink::Further(first), some("a/b")),
    ] {
        let entry = Entry { link, ..entry(path, Node::Fifo) };
        assert_eq!(text(ibt_entry_link(Some(&ibt_entry::new(&entry)))), seen);
    }
}

#[test]
fn the_other_types_have_what_is_theirs() {
    let door = UnknownNode { word: "door".into(), fields: ",\"size\":7,\"target\":\"x\"".into() };
    let cases = [
        (Node::Dir, IBT_TYPE_DIR, None, 0),
        (Node::Symlink(b"x\xff".to_vec()), IBT_TYPE_SYMLINK, Some(b"x\xff".to_vec()), 0),
        (Node::Fifo, IBT_TYPE_FIFO, None, 0),
        (Node::Char(259), IBT_TYPE_CHAR, None, 259),
        (Node::Block(2049), IBT_TYPE_BLOCK, None, 2049),
        (Node::Char(1 << 64), IBT_TYPE_CHAR, None, u64::MAX),
        (Node::Unknown(Box::new(door)), IBT_TYPE_UNKNOWN, None, 0),
    ];
    for (node, number, target, device) in cases {
        let entry = entry("", node);
        let view = Some(&ibt_entry::new(&entry));
        assert_eq!(text(ibt_entry_path(view)), some(""));
        assert_eq!((ibt_entry_type(view), ibt_entry_rdev(view)), (number, device));
        let seen = ibt_entry_target(view);
        // SAFETY: not NULL, so a string.
        let seen = (!seen.is_null()).then(|| unsafe { CStr::from_ptr(seen) }.to_bytes().to_vec());
        assert_eq!(seen, target);
        assert!(ibt_entry_hash(view).is_null());
        assert_eq!((ibt_entry_size(view), ibt_entry_data_size(view)), (0, 0));
    }
}

#[test]
fn extended_attributes_are_bytes_with_a_length() {
    let entry = entry("", Node::Dir);
    let view = Some(&ibt_entry::new(&entry));
    let mut len = 99;
    // SAFETY: `len` may be written, and a value has as many bytes as its length says.
    unsafe {
        assert_eq!(ibt_entry_xattr_count(view), 2);
        assert_eq!(text(ibt_entry_xattr_name(view, 1)), some("user.b"));
        let value = ibt_entry_xattr_value(view, 0, &mut len);
        assert_eq!(std::slice::from_raw_parts(value, len), b"\0x");
        // Go treats a pointer with a low address as memory corruption.
        assert!(ibt_entry_xattr_value(view, 1, &mut len).addr() > 4096 && len == 0);
        len = 99;
        assert!(ibt_entry_xattr_value(view, 2, &mut len).is_null() && len == 0);
        assert!(ibt_entry_xattr_name(view, usize::MAX).is_null());
        assert!(!ibt_entry_xattr_value(view, 0, ptr::null_mut()).is_null());
    }
}

pub(super) fn full_report() -> Report {
    let stamp = Stamp::parse("20261122T220530.123456Z").unwrap();
    let mut report = Report::default();
    report.key = some("k");
    report.snapshot = Some(stamp);
    report.digest = Some(Hash([1; 32]));
    report.date = Time { secs: 2, nanos: 3 };
    report.files.push(BackupFile { name: "n".into(), kind: "full", path: Some(b"/s/n".to_vec()), size: 5 });
    report.files.push(BackupFile { name: "m".into(), kind: "state", path: None, size: 6 });
    let mut counters = Counters::default();
    counters.add(Counter::Bytes, 77);
    report.snapshots.push(ReportedSnapshot {
        date: Stamp::parse("20261122T220530.123456Z").unwrap(),
        stamp,
        key: "k".into(),
        kind: "full",
        digest: Some(Hash([1; 32])),
        source: b"/src".to_vec(),
        host: "h".into(),
        labels: [("a".to_string(), "x y".to_string()), ("b".to_string(), String::new())].into(),
        parent: None,
        counters,
        action: Action::Kept,
        reason: String::new(),
    });
    let error = Error::io("open", "p", &std::io::Error::from_raw_os_error(13));
    report.add_problem(Problem::new(ProblemKind::Unreadable, b"p", &error).in_file("n"));
    report
}

#[test]
fn a_report_is_seen_as_it_is() {
    let report = Some(&ibt_report::new(full_report()));
    assert_eq!(ibt_report_status(report), IBT_PARTIAL);
    assert_eq!(text(ibt_report_key(report)), some("k"));
    assert_eq!(text(ibt_report_snapshot(report)), some("20261122T220530.123456Z"));
    assert_eq!(text(ibt_report_digest(report)), some(&Hash([1; 32]).to_string()));
    assert_eq!(ibt_report_date(report), 2_000_000_003);
    assert_eq!((ibt_report_file_count(report), ibt_report_total_size(report)), (2, 11));
    assert_eq!(text(ibt_report_file_name(report, 1)), some("m"));
    assert_eq!(text(ibt_report_file_kind(report, 1)), some("state"));
    assert_eq!(text(ibt_report_file_path(report, 0)), some("/s/n"));
    assert!(ibt_report_file_path(report, 1).is_null() && ibt_report_file_name(report, 2).is_null());
    assert_eq!((ibt_report_file_size(report, 1), ibt_report_file_size(report, 2)), (6, 0));
    assert_eq!(ibt_report_counter(report, IBT_COUNT_PROBLEMS), 1);
    assert_eq!(
        (ibt_report_snapshot_label_count(report, 0), ibt_report_snapshot_label_count(report, 1)),
        (2, 0)
    );
    assert_eq!(text(ibt_report_snapshot_label_name(report, 0, 1)), some("b"));
    assert_eq!(text(ibt_report_snapshot_label_value(report, 0, 0)), some("x y"));
    assert!(ibt_report_snapshot_label_value(report, 0, 2).is_null());
    assert!(text(ibt_report_json(report)).unwrap().contains("\"total_size\":11"));
}

#[test]
fn snapshots_and_problems_of_a_report_are_seen_as_they_are() {
    let report = Some(&ibt_report::new(full_report()));
    assert_eq!((ibt_report_snapshot_count(report), ibt_report_problem_count(report)), (1, 1));
    assert_eq!(text(ibt_report_snapshot_stamp(report, 0)), some("20261122T220530.123456Z"));
    assert_eq!(text(ibt_report_snapshot_key(report, 0)), some("k"));
    assert_eq!(text(ibt_report_snapshot_kind(report, 0)), some("full"));
    assert_eq!(text(ibt_report_snapshot_digest(report, 0)), text(ibt_report_digest(report)));
    assert_eq!(text(ibt_report_snapshot_source(report, 0)), some("/src"));
    assert_eq!(text(ibt_report_snapshot_host(report, 0)), some("h"));
    assert_eq!(text(ibt_report_snapshot_parent(report, 0)), None);
    assert_eq!(text(ibt_report_snapshot_reason(report, 0)), some(""));
    assert_eq!(ibt_report_snapshot_date(report, 0), 1_795_385_130_123_456_000);
    assert_eq!(ibt_report_snapshot_action(report, 0), IBT_ACTION_KEPT);
    assert_eq!(ibt_report_snapshot_counter(report, 0, IBT_COUNT_BYTES), 77);
    assert_eq!(ibt_report_snapshot_counter(report, 1, IBT_COUNT_BYTES), 0);
    assert_eq!(text(ibt_report_problem_path(report, 0)), some("p"));
    assert_eq!(text(ibt_report_problem_message(report, 0)), some("cannot open p: Permission denied"));
    assert_eq!(text(ibt_report_problem_file(report, 0)), some("n"));
    assert_eq!(text(ibt_report_problem_snapshot(report, 0)), None);
    assert_eq!(ibt_report_problem_status(report, 0), IBT_ERR_IO);
    assert_eq!(ibt_report_problem_kind(report, 0), IBT_PROBLEM_UNREADABLE);
    assert_eq!(ibt_report_problem_os_code(report, 0), 13);
}

pub(super) fn some_progress() -> Progress {
    Progress {
        phase: Phase::Read,
        path: b"a".to_vec(),
        done_bytes: 1,
        total_bytes: 2,
        done_entries: 3,
        total_entries: 4,
    }
}

static ANSWER: AtomicI32 = AtomicI32::new(0);
static DESTROYED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn progress(_: *mut c_void, now: *const ibt_progress) -> i32 {
    // SAFETY: it is lent for the call.
    let now = unsafe { now.as_ref() };
    assert_eq!((ibt_progress_phase(now), text(ibt_progress_path(now))), (IBT_PHASE_READ, some("a")));
    assert_eq!((ibt_progress_done_bytes(now), ibt_progress_total_bytes(now)), (1, 2));
    assert_eq!((ibt_progress_done_entries(now), ibt_progress_total_entries(now)), (3, 4));
    ANSWER.load(Ordering::Relaxed)
}

unsafe extern "C" fn change(
    _: *mut c_void,
    what: u32,
    before: *const ibt_entry,
    after: *const ibt_entry,
) -> i32 {
    assert!(what == IBT_CHANGE_DELETED && after.is_null());
    // SAFETY: it is lent for the call.
    let before = unsafe { before.as_ref() };
    assert_eq!(text(ibt_entry_path(before)), some("gone"));
    ANSWER.load(Ordering::Relaxed)
}

unsafe extern "C" fn filter(_: *mut c_void, asked: *const ibt_entry) -> i32 {
    // SAFETY: it is lent for the call.
    let asked = unsafe { asked.as_ref() };
    assert_eq!((text(ibt_entry_path(asked)), ibt_entry_type(asked)), (some("gone"), IBT_TYPE_DIR));
    ANSWER.load(Ordering::Relaxed)
}

unsafe extern "C" fn destroy(_: *mut c_void) {
    DESTROYED.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn only_positive_answers_of_a_callback_let_the_operation_go_on() {
    let mut callbacks = Callbacks {
        progress: Callback::new(Some(progress as _), ptr::null_mut(), Some(destroy)).0,
        change: Callback::new(Some(change as _), ptr::null_mut(), Some(destroy)).0,
        filter: Callback::new(Some(filter as _), ptr::null_mut(), Some(destroy)).0,
        log: None,
    };
    let now = some_progress();
    let gone = entry("gone", Node::Dir);
    for (answer, told, changed, chosen) in [
        (IBT_CALLBACK_OK, Flow::Continue, Flow::Continue, FilterAnswer::Include),
        (IBT_CALLBACK_STOP, Flow::Continue, Flow::Stop, FilterAnswer::Stop),
        (IBT_FILTER_INCLUDE, Flow::Continue, Flow::Continue, FilterAnswer::Include),
        (IBT_FILTER_LEAVE_OUT, Flow::Continue, Flow::Continue, FilterAnswer::LeaveOut),
        (IBT_FILTER_LEAVE_OUT_ALL, Flow::Continue, Flow::Continue, FilterAnswer::LeaveOutAll),
        (77, Flow::Continue, Flow::Continue, FilterAnswer::Include),
        (IBT_CALLBACK_FAILED, Flow::Cancel, Flow::Cancel, FilterAnswer::Cancel),
        (i32::MIN, Flow::Cancel, Flow::Cancel, FilterAnswer::Cancel),
    ] {
        ANSWER.store(answer, Ordering::Relaxed);
        assert_eq!(callbacks.progress(&now), told, "{answer}");
        assert_eq!(callbacks.change(IBT_CHANGE_DELETED, Some(&gone), None), changed, "{answer}");
        assert_eq!(callbacks.filter(&gone), chosen, "{answer}");
    }
    let copy = callbacks.clone();
    drop(callbacks);
    assert_eq!(DESTROYED.load(Ordering::Relaxed), 0, "the copy still holds the userdata");
    drop(copy);
    assert_eq!(DESTROYED.load(Ordering::Relaxed), 3);
}

unsafe extern "C" fn log(ud: *mut c_void, level: i32, message: *const c_char) {
    // SAFETY: the userdata of this callback is such a list, which nobody else uses meanwhile.
    let lines = unsafe { &mut *ud.cast::<Vec<(i32, Option<String>)>>() };
    lines.push((level, text(message)));
}

#[test]
fn messages_come_in_one_line_and_down_to_the_level_asked_for() {
    let mut lines: Vec<(i32, Option<String>)> = Vec::new();
    let ud: *mut c_void = (&raw mut lines).cast();
    let callback = Callback::new(Some(log as _), ud, None).0.unwrap();
    let mut callbacks = Callbacks { log: Some((Level::Warn, callback)), ..Callbacks::default() };
    callbacks.log(Level::Error, "one\ntwo");
    callbacks.log(Level::Warn, "three");
    callbacks.log(Level::Info, "four");
    assert_eq!(lines, [(IBT_LOG_ERROR, some("one two")), (IBT_LOG_WARN, some("three"))]);
}
