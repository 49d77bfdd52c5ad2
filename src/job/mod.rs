//! The interface between a caller and one operation: options, callbacks, a cancel flag and a report.

mod labels;
mod options;
mod report;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use labels::{LABELS_MAX, Labels, WantedLabel, check_label, check_label_name, check_labels};
pub use options::{
    CHECKPOINT, Codec, DeltaMode, Detect, Keep, OnFileError, Options, Overwrite, Select, VerifyScope, meta,
};
pub use report::{
    Action, BackupFile, Counter, Counters, PROBLEMS_MAX, Problem, ProblemKind, Report, ReportedSnapshot, sum,
};

use crate::entry::Entry;
use crate::error::{Error, Result};

/// A request to stop the operation, shared between threads. A request cannot be withdrawn. [`Cancel::request`] is
/// async-signal-safe.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The current part of an operation. The numbers are the values of `IBT_PHASE_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Phase {
    Scan = 1,
    Read = 2,
    Commit = 3,
    Restore = 4,
    Verify = 5,
    Delete = 6,
}

/// How far an operation is. Within a phase the `done_*` numbers never decrease. A total is 0 while it is unknown.
#[derive(Clone, Debug)]
pub struct Progress {
    pub phase: Phase,
    /// The path of the current entry, raw bytes; empty without an entry.
    pub path: Vec<u8>,
    pub done_bytes: u64,
    pub total_bytes: u64,
    pub done_entries: u64,
    pub total_entries: u64,
}

/// The level of a log message. The numbers are the values of `IBT_LOG_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    Error = 1,
    Warn = 2,
    Info = 3,
    Debug = 4,
}

/// Bits that say how an entry changed, with the values of `IBT_CHANGE_*`.
pub mod change {
    pub const CREATED: u32 = 1;
    pub const DELETED: u32 = 2;
    pub const CONTENT: u32 = 4;
    pub const METADATA: u32 = 8;
    pub const MOVED: u32 = 16;
    pub const KEPT: u32 = 32;
}

/// The answer of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// The operation goes on without further calls of this callback.
    Stop,
    /// The operation ends with `Cancelled`.
    Cancel,
}

/// The answer of a filter about an entry of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterAnswer {
    Include,
    /// Leave out the entry. A directory is left out unless an entry below it is included.
    LeaveOut,
    /// Leave out the entry and everything below it.
    LeaveOutAll,
    /// Include the entry and everything that follows: the filter is not called again.
    Stop,
    /// The operation ends with `Cancelled`.
    Cancel,
}

/// The callbacks of the caller. All of them run on the thread that called the operation.
pub trait Observer {
    fn progress(&mut self, _now: &Progress) -> Flow {
        Flow::Continue
    }

    /// Gets one change. `before` is `None` for a new entry, `after` is `None` for a deleted entry.
    fn change(&mut self, _what: u32, _before: Option<&Entry>, _after: Option<&Entry>) -> Flow {
        Flow::Continue
    }

    /// If false, the engine does not build the entries for [`Observer::change`], which saves time.
    fn wants_changes(&self) -> bool {
        true
    }

    /// Decides about an entry of the source that no other option leaves out, a directory before the entries in it.
    fn filter(&mut self, _entry: &Entry) -> FilterAnswer {
        FilterAnswer::Include
    }

    /// If false, [`Observer::filter`] is not called, and a backup walks the source in several threads.
    fn has_filter(&self) -> bool {
        false
    }

    fn log(&mut self, _level: Level, _message: &str) {}
}

/// An observer that ignores everything.
pub struct Silent;

impl Observer for Silent {
    fn wants_changes(&self) -> bool {
        false
    }
}

/// Shortest time between two progress reports within a phase.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// One running operation: its options, the caller's observer, and the report to fill.
pub struct Job<'a> {
    pub options: &'a Options,
    pub report: Report,
    cancel: Cancel,
    observer: &'a mut dyn Observer,
    progress: Progress,
    reported_at: Instant,
    changes_wanted: bool,
    had_enough: bool,
    has_filter: bool,
}

impl<'a> Job<'a> {
    pub fn new(options: &'a Options, cancel: &Cancel, observer: &'a mut dyn Observer) -> Self {
        let progress = Progress {
            phase: Phase::Scan,
            path: Vec::new(),
            done_bytes: 0,
            total_bytes: 0,
            done_entries: 0,
            total_entries: 0,
        };
        let changes_wanted = observer.wants_changes();
        let has_filter = observer.has_filter();
        Job {
            options,
            report: Report::default(),
            cancel: cancel.clone(),
            observer,
            progress,
            reported_at: Instant::now(),
            changes_wanted,
            had_enough: false,
            has_filter,
        }
    }

    /// Runs one of several operations of this job, with `options` and a report of its own. Returns the result of `work`
    /// and that report.
    pub fn part<T>(&mut self, options: &Options, work: impl FnOnce(&mut Job<'_>) -> T) -> (T, Report) {
        let mut part = Job::new(options, &self.cancel, &mut *self.observer);
        part.changes_wanted = self.changes_wanted;
        let result = work(&mut part);
        let Job { report, changes_wanted, had_enough, .. } = part;
        (self.changes_wanted, self.had_enough) = (changes_wanted, self.had_enough || had_enough);
        (result, report)
    }

    /// Begins a phase and reports its progress at once.
    pub fn phase(&mut self, phase: Phase, total_entries: u64, total_bytes: u64) -> Result<()> {
        self.progress =
            Progress { phase, path: Vec::new(), done_bytes: 0, total_bytes, done_entries: 0, total_entries };
        self.report_progress()
    }

    /// Ends a phase and reports its last numbers.
    pub fn phase_done(&mut self) -> Result<()> {
        self.progress.path.clear();
        self.report_progress()
    }

    /// Sets the current entry and counts it as done. Fails if the operation was cancelled.
    pub fn step(&mut self, path: &[u8]) -> Result<()> {
        self.progress.path.clear();
        self.progress.path.extend_from_slice(path);
        self.progress.done_entries += 1;
        self.pulse()
    }

    /// Counts entries as done that need no work.
    pub fn skip(&mut self, entries: u64) {
        self.progress.done_entries += entries;
    }

    /// Counts `bytes` as done. Fails if the operation was cancelled. Operations call this at least once for each
    /// MiB, so that a request to cancel takes effect soon.
    pub fn advance(&mut self, bytes: u64) -> Result<()> {
        self.progress.done_bytes = self.progress.done_bytes.saturating_add(bytes);
        self.pulse()
    }

    /// The flag that cancels this operation.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Fails if the operation was cancelled. Reports progress if [`PROGRESS_EVERY`] has passed since the last report.
    pub fn pulse(&mut self) -> Result<()> {
        if self.cancel.requested() {
            return Err(Error::cancelled());
        }
        if self.reported_at.elapsed() >= PROGRESS_EVERY {
            self.report_progress()?;
        }
        Ok(())
    }

    fn report_progress(&mut self) -> Result<()> {
        self.reported_at = Instant::now();
        match self.observer.progress(&self.progress) {
            Flow::Continue | Flow::Stop if !self.cancel.requested() => Ok(()),
            _ => Err(Error::cancelled()),
        }
    }

    /// Passes one change to the observer.
    pub fn change(&mut self, what: u32, before: Option<&Entry>, after: Option<&Entry>) -> Result<()> {
        if !self.changes_wanted {
            return Ok(());
        }
        match self.observer.change(what, before, after) {
            Flow::Continue => Ok(()),
            Flow::Stop => {
                (self.changes_wanted, self.had_enough) = (false, true);
                Ok(())
            }
            Flow::Cancel => Err(Error::cancelled()),
        }
    }

    /// True as long as the caller's filter decides about entries.
    pub fn has_filter(&self) -> bool {
        self.has_filter
    }

    /// Asks the filter about an entry of the source. Fails if the filter cancels the operation.
    pub fn filter(&mut self, entry: &Entry) -> Result<FilterAnswer> {
        match self.observer.filter(entry) {
            FilterAnswer::Cancel => Err(Error::cancelled()),
            FilterAnswer::Stop => {
                self.has_filter = false;
                Ok(FilterAnswer::Include)
            }
            answer => Ok(answer),
        }
    }

    /// True once the observer answered [`Flow::Stop`] to a change. Work that only finds further changes may then end.
    pub fn had_enough(&self) -> bool {
        self.had_enough
    }

    pub fn wants_changes(&self) -> bool {
        self.changes_wanted
    }

    pub fn log(&mut self, level: Level, message: &str) {
        self.observer.log(level, message);
    }

    /// Lists a problem in the report and logs it as `KIND: ERROR`, for example `unreadable: cannot open a: ...`.
    ///
    /// Returns `error` instead, which ends the operation, in two cases. Neither case concerns notes
    /// ([`ProblemKind::is_note`]).
    /// - The error is libibt's own: it says nothing about the entry or backup file at hand, and nothing is listed.
    /// - The option is [`OnFileError::Stop`]: the problem is listed, too.
    pub fn problem(&mut self, problem: Problem, error: Error) -> Result<()> {
        if error.is_own && !problem.kind.is_note() {
            return Err(error);
        }
        let level = if problem.kind.is_note() { Level::Info } else { Level::Warn };
        self.observer.log(level, &format!("{}: {error}", problem.kind.name()));
        let stops = self.options.on_file_error == OnFileError::Stop && !problem.kind.is_note();
        self.report.add_problem(problem);
        if stops {
            return Err(error);
        }
        Ok(())
    }

    /// Lists a problem when the work is done and can no longer be stopped: the policy for files that fail does not
    /// apply.
    pub fn problem_at_end(&mut self, kind: ProblemKind, path: &[u8], error: &Error) {
        self.observer.log(Level::Warn, &format!("{}: {error}", kind.name()));
        self.report.add_problem(Problem::new(kind, path, error));
    }

    /// [`Job::problem`] for a problem made of `kind`, `path` and `error`.
    pub fn trouble(&mut self, kind: ProblemKind, path: &[u8], error: Error) -> Result<()> {
        self.problem(Problem::new(kind, path, &error), error)
    }
}
