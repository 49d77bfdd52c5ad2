//! What a caller gives an operation and gets back: options, callbacks, a cancel flag, a report.

mod options;
mod report;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use options::{meta, Codec, Detect, Keep, OnFileError, Options, Overwrite, Select};
pub use report::{
    sum, Action, BackupFile, Counter, Counters, Problem, ProblemKind, Report, Snapshot, PROBLEMS_MAX,
};

use crate::entry::Entry;
use crate::error::{Error, Result};

/// One-shot request to stop, shared between threads. Setting it is async-signal-safe.
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

/// What an operation is busy with. The numbers are those of `IBT_PHASE_*`.
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

/// How far an operation is. `done_*` never fall within a phase; totals are 0 while unknown.
#[derive(Clone, Debug)]
pub struct Progress {
    pub phase: Phase,
    /// The path being worked on, raw bytes; empty if none.
    pub path: Vec<u8>,
    pub done_bytes: u64,
    pub total_bytes: u64,
    pub done_entries: u64,
    pub total_entries: u64,
}

/// The numbers are those of `IBT_LOG_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    Error = 1,
    Warn = 2,
    Info = 3,
    Debug = 4,
}

/// What happened to an entry; bits as in `IBT_CHANGE_*`.
pub mod change {
    pub const CREATED: u32 = 1;
    pub const DELETED: u32 = 2;
    pub const CONTENT: u32 = 4;
    pub const METADATA: u32 = 8;
    pub const MOVED: u32 = 16;
    pub const KEPT: u32 = 32;
}

/// A callback's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// Enough: no further calls of this callback.
    Stop,
    /// The operation ends with `Cancelled`.
    Cancel,
}

/// The caller's callbacks. All run on the thread that called the operation.
pub trait Observer {
    fn progress(&mut self, _now: &Progress) -> Flow {
        Flow::Continue
    }

    /// One change; `before` is `None` for what is new, `after` for what is gone.
    fn change(&mut self, _what: u32, _before: Option<&Entry>, _after: Option<&Entry>) -> Flow {
        Flow::Continue
    }

    /// False lets the engine skip making the entries for [`Observer::change`].
    fn wants_changes(&self) -> bool {
        true
    }

    fn log(&mut self, _level: Level, _message: &str) {}
}

/// An observer that wants nothing.
pub struct Silent;

impl Observer for Silent {
    fn wants_changes(&self) -> bool {
        false
    }
}

/// How often progress is told within a phase.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// One running operation: its options, its caller's ears, and the report it fills.
pub struct Job<'a> {
    pub options: &'a Options,
    pub report: Report,
    cancel: Cancel,
    observer: &'a mut dyn Observer,
    progress: Progress,
    told: Instant,
    changes_wanted: bool,
    had_enough: bool,
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
        Job {
            options,
            report: Report::default(),
            cancel: cancel.clone(),
            observer,
            progress,
            told: Instant::now(),
            changes_wanted,
            had_enough: false,
        }
    }

    /// Begins a phase and tells it.
    pub fn phase(&mut self, phase: Phase, total_entries: u64, total_bytes: u64) -> Result<()> {
        self.progress =
            Progress { phase, path: Vec::new(), done_bytes: 0, total_bytes, done_entries: 0, total_entries };
        self.tell()
    }

    /// Ends a phase: tells its last numbers.
    pub fn phase_done(&mut self) -> Result<()> {
        self.progress.path.clear();
        self.tell()
    }

    /// Names the entry that is worked on, counts it as done, and goes on unless cancelled.
    pub fn step(&mut self, path: &[u8]) -> Result<()> {
        self.progress.path.clear();
        self.progress.path.extend_from_slice(path);
        self.progress.done_entries += 1;
        self.pulse()
    }

    /// Counts bytes as done and goes on unless cancelled. Called at least once for each MiB.
    pub fn advance(&mut self, bytes: u64) -> Result<()> {
        self.progress.done_bytes = self.progress.done_bytes.saturating_add(bytes);
        self.pulse()
    }

    /// The flag that ends it.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Looks at the cancel flag, and tells progress when a tenth of a second has passed.
    pub fn pulse(&mut self) -> Result<()> {
        if self.cancel.requested() {
            return Err(Error::cancelled());
        }
        if self.told.elapsed() >= PROGRESS_EVERY {
            self.tell()?;
        }
        Ok(())
    }

    fn tell(&mut self) -> Result<()> {
        self.told = Instant::now();
        match self.observer.progress(&self.progress) {
            Flow::Continue | Flow::Stop if !self.cancel.requested() => Ok(()),
            _ => Err(Error::cancelled()),
        }
    }

    /// Streams a change to the caller.
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

    /// The observer wants no further changes: what is done for nothing but telling them may end.
    pub fn had_enough(&self) -> bool {
        self.had_enough
    }

    pub fn wants_changes(&self) -> bool {
        self.changes_wanted
    }

    pub fn log(&mut self, level: Level, message: &str) {
        self.observer.log(level, message);
    }

    /// Lists a problem in the report and logs it, the name of its kind first. With [`OnFileError::Stop`] a problem
    /// that makes the result partial is the operation's error instead. An error of libibt's own always is: it says
    /// nothing about the entry or backup file that it happened to.
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

    /// [`Job::problem`] for an error that names its path itself.
    pub fn trouble(&mut self, kind: ProblemKind, path: &[u8], error: Error) -> Result<()> {
        self.problem(Problem::new(kind, path, &error), error)
    }
}
