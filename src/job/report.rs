//! What an operation did: files made, counters, snapshots concerned, problems.

use serde_json::{json, Map, Value};

use crate::entry::Hash;
use crate::error::{Error, Kind};
use crate::stamp::{Stamp, Time};
use crate::text::encode_name;

/// The sum of sizes that others tell, or 2^64 - 1 where that is less.
pub fn sum(sizes: impl IntoIterator<Item = u64>) -> u64 {
    sizes.into_iter().fold(0, u64::saturating_add)
}

/// Problems kept in a report; the counter stays exact beyond it.
pub const PROBLEMS_MAX: usize = 10_000;

/// What is counted. The numbers are those of `IBT_COUNT_*`: pinned, append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Counter {
    /// Entries of the snapshot, the root included.
    Entries = 1,
    Created = 2,
    /// Files whose content changed, and entries whose type did.
    Modified = 3,
    Unchanged = 4,
    Moved = 5,
    Deleted = 6,
    /// Entries of which only metadata changed.
    Metadata = 7,
    /// Bytes read from the source, or out of archives.
    BytesRead = 8,
    /// Bytes written to the store, or to restored files.
    BytesWritten = 9,
    /// Entries restored.
    Restored = 10,
    /// Problems, notes included, all of them.
    Problems = 11,
    /// Logical bytes of the files of the snapshot.
    Bytes = 12,
}

impl Counter {
    pub const ALL: [Counter; 12] = [
        Counter::Entries,
        Counter::Created,
        Counter::Modified,
        Counter::Unchanged,
        Counter::Moved,
        Counter::Deleted,
        Counter::Metadata,
        Counter::BytesRead,
        Counter::BytesWritten,
        Counter::Restored,
        Counter::Problems,
        Counter::Bytes,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Counter::Entries => "entries",
            Counter::Created => "created",
            Counter::Modified => "modified",
            Counter::Unchanged => "unchanged",
            Counter::Moved => "moved",
            Counter::Deleted => "deleted",
            Counter::Metadata => "metadata",
            Counter::BytesRead => "bytes_read",
            Counter::BytesWritten => "bytes_written",
            Counter::Restored => "restored",
            Counter::Problems => "problems",
            Counter::Bytes => "bytes",
        }
    }

    pub fn from_number(number: i32) -> Option<Self> {
        Counter::ALL.into_iter().find(|c| *c as i32 == number)
    }
}

/// One number for each [`Counter`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters([u64; Counter::ALL.len()]);

impl Counters {
    pub fn get(&self, which: Counter) -> u64 {
        self.0[which as usize - 1]
    }

    pub fn add(&mut self, which: Counter, n: u64) {
        let counter = &mut self.0[which as usize - 1];
        *counter = counter.saturating_add(n);
    }

    pub fn set(&mut self, which: Counter, n: u64) {
        self.0[which as usize - 1] = n;
    }

    fn to_json(&self) -> Value {
        Counter::ALL.iter().map(|c| (c.name().to_string(), json!(self.get(*c)))).collect::<Map<_, _>>().into()
    }
}

/// The class of a problem. The numbers are those of `IBT_PROBLEM_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ProblemKind {
    /// Could not be read; its previous version, if any, was carried forward. Stored bytes that cannot be read now.
    Unreadable = 1,
    /// Was gone when it was to be read.
    Vanished = 2,
    /// Changed while it was read.
    Changed = 3,
    /// Left out by design (a socket, the store itself), or left where it is because the backup left it out.
    Skipped = 4,
    /// Stored bytes are not what they should be.
    Damaged = 5,
    /// Stored bytes are gone.
    Missing = 6,
    /// Metadata that could not be read or set.
    Metadata = 7,
    /// Something an earlier run left in the store.
    Leftover = 8,
    /// A snapshot says that it was made more than a day after what the clock says.
    Clock = 9,
    /// Something in the destination is in the way, or its permissions are, or its file system has no such entry.
    Obstructed = 10,
}

impl ProblemKind {
    pub const ALL: [ProblemKind; 10] = [
        ProblemKind::Unreadable,
        ProblemKind::Vanished,
        ProblemKind::Changed,
        ProblemKind::Skipped,
        ProblemKind::Damaged,
        ProblemKind::Missing,
        ProblemKind::Metadata,
        ProblemKind::Leftover,
        ProblemKind::Clock,
        ProblemKind::Obstructed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            ProblemKind::Unreadable => "unreadable",
            ProblemKind::Vanished => "vanished",
            ProblemKind::Changed => "changed",
            ProblemKind::Skipped => "skipped",
            ProblemKind::Damaged => "damaged",
            ProblemKind::Missing => "missing",
            ProblemKind::Metadata => "metadata",
            ProblemKind::Leftover => "leftover",
            ProblemKind::Clock => "clock",
            ProblemKind::Obstructed => "obstructed",
        }
    }

    /// What an error of reading stored bytes means for them.
    pub fn of_stored(error: &Error) -> Self {
        match error.kind {
            Kind::Missing | Kind::NotFound => ProblemKind::Missing,
            _ if error.is_damage() => ProblemKind::Damaged,
            _ => ProblemKind::Unreadable,
        }
    }

    pub fn from_number(number: i32) -> Option<Self> {
        ProblemKind::ALL.into_iter().find(|k| *k as i32 == number)
    }

    /// Notes are listed but do not make a result partial.
    pub fn is_note(self) -> bool {
        matches!(self, ProblemKind::Skipped | ProblemKind::Leftover)
    }
}

/// One thing that was not as it should be.
#[derive(Clone, Debug)]
pub struct Problem {
    pub kind: ProblemKind,
    /// The entry concerned, raw bytes; `None` if it concerns the whole.
    pub path: Option<Vec<u8>>,
    pub status: Kind,
    pub os_code: i32,
    pub message: String,
    /// The snapshot concerned, if not the report's own.
    pub snapshot: Option<Stamp>,
    /// The backup file concerned.
    pub file: Option<String>,
}

impl Problem {
    pub fn new(kind: ProblemKind, path: &[u8], error: &Error) -> Self {
        Problem {
            kind,
            path: Some(path.to_vec()),
            status: error.kind,
            os_code: error.os_code,
            message: error.to_string(),
            snapshot: None,
            file: None,
        }
    }

    /// A problem of no entry, but of the whole.
    pub fn of_whole(kind: ProblemKind, error: &Error) -> Self {
        Problem { path: None, ..Problem::new(kind, b"", error) }
    }

    pub fn in_file(mut self, file: &str) -> Self {
        self.file = Some(file.to_string());
        self
    }

    fn to_json(&self) -> Value {
        let mut out = Map::new();
        if let Some(path) = &self.path {
            out.insert("path".into(), json!(encode_name(path)));
        }
        out.insert("kind".into(), json!(self.kind.name()));
        out.insert("status".into(), json!(self.status as i32));
        out.insert("os_code".into(), json!(self.os_code));
        out.insert("message".into(), json!(self.message));
        if let Some(snapshot) = self.snapshot {
            out.insert("snapshot".into(), json!(snapshot.to_string()));
        }
        if let Some(file) = &self.file {
            out.insert("file".into(), json!(file));
        }
        out.into()
    }
}

/// A backup file that was made, removed or is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFile {
    pub name: String,
    /// "full", "created", "updated", "sigvault" or "state".
    pub kind: &'static str,
    /// Its path, raw bytes, if the store is a directory.
    pub path: Option<Vec<u8>>,
    pub size: u64,
}

/// What happened to a snapshot. The numbers are those of `IBT_ACTION_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Action {
    Kept = 1,
    Removed = 2,
}

/// One snapshot of a list.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub stamp: Stamp,
    /// When it was made: its stamp, or earlier.
    pub date: Stamp,
    pub key: String,
    /// "full" or "incremental".
    pub kind: &'static str,
    /// The tree digest.
    pub digest: Hash,
    /// The source's absolute path, raw bytes.
    pub source: Vec<u8>,
    pub parent: Option<Stamp>,
    pub counters: Counters,
    pub action: Action,
    pub reason: String,
}

impl Snapshot {
    fn to_json(&self) -> Value {
        json!({
            "snapshot": self.stamp.to_string(), "date": self.date.to_time().to_string(), "key": self.key, "kind": self.kind,
            "digest": self.digest.to_string(), "source": encode_name(&self.source),
            "parent": self.parent.map(|p| p.to_string()), "counters": self.counters.to_json(),
            "action": self.action as i32, "reason": self.reason,
        })
    }
}

/// The outcome of an operation, handed out whenever work was begun.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// `None` for OK or PARTIAL (see [`Report::is_partial`]), else why the operation failed.
    pub failed: Option<Error>,
    pub key: Option<String>,
    /// The snapshot made or used.
    pub snapshot: Option<Stamp>,
    /// Its tree digest.
    pub digest: Option<Hash>,
    /// When the operation began.
    pub date: Time,
    pub files: Vec<BackupFile>,
    pub counters: Counters,
    pub snapshots: Vec<Snapshot>,
    pub problems: Vec<Problem>,
    partial: bool,
}

impl Report {
    pub fn count(&mut self, which: Counter, n: u64) {
        self.counters.add(which, n);
    }

    pub fn add_problem(&mut self, problem: Problem) {
        self.count(Counter::Problems, 1);
        self.partial |= !problem.kind.is_note();
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    /// Finished, but something was unreadable, changed while being read, or damaged.
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    /// The status of the C ABI: 0 OK, 1 PARTIAL, negative the error's.
    pub fn status(&self) -> i32 {
        self.failed.as_ref().map_or(i32::from(self.partial), |error| error.kind as i32)
    }

    pub fn total_size(&self) -> u64 {
        sum(self.files.iter().map(|f| f.size))
    }

    /// All of it as one JSON document. Names are percent-encoded as in states, times are
    /// `SECONDS.NNNNNNNNN`.
    pub fn to_json(&self) -> String {
        let file = |f: &BackupFile| json!({"name": f.name, "kind": f.kind, "size": f.size, "path": f.path.as_deref().map(encode_name)});
        json!({
            "status": self.status(),
            "error": self.failed.as_ref().map(Error::to_string),
            "key": self.key,
            "snapshot": self.snapshot.map(|s| s.to_string()),
            "digest": self.digest.map(|d| d.to_string()),
            "date": self.date.to_string(),
            "files": self.files.iter().map(file).collect::<Vec<_>>(),
            "total_size": self.total_size(),
            "counters": self.counters.to_json(),
            "snapshots": self.snapshots.iter().map(Snapshot::to_json).collect::<Vec<_>>(),
            "problems": self.problems.iter().map(Problem::to_json).collect::<Vec<_>>(),
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_others_tell_add_up_to_2_64_minus_1_at_most() {
        assert_eq!(sum([]), 0);
        assert_eq!(sum([1, 2, u64::MAX - 3]), u64::MAX);
        assert_eq!(sum([u64::MAX, u64::MAX, 7]), u64::MAX);
        assert_eq!(sum([1 << 63, 1 << 63, 1024]), u64::MAX);
    }
}
