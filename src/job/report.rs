//! The report of an operation: the backup files made, counters, snapshots and problems.

use serde_json::{Map, Value, json};

use crate::entry::Hash;
use crate::error::{Error, Kind};
use crate::stamp::{Stamp, Time};
use crate::text::encode_name;

use super::Labels;

/// The sum of sizes that a store or a state claims. It saturates at 2^64 - 1, because the claims can be wrong.
pub fn sum(sizes: impl IntoIterator<Item = u64>) -> u64 {
    sizes.into_iter().fold(0, u64::saturating_add)
}

/// Most problems that a report lists. [`Counter::Problems`] counts the further ones, too.
pub const PROBLEMS_MAX: usize = 10_000;

/// The counters of a report. The numbers are the values of `IBT_COUNT_*`: no number changes, new ones are appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Counter {
    /// Entries of the snapshot, with the root. A comparison counts the entries compared, a verify the entries of all
    /// snapshots.
    Entries = 1,
    Created = 2,
    /// Files whose content changed, and entries whose type changed.
    Modified = 3,
    Unchanged = 4,
    Moved = 5,
    Deleted = 6,
    /// Entries of which only the metadata changed.
    Metadata = 7,
    /// Bytes read: depending on the operation from the source, from archives, from a compared tree or from the store.
    BytesRead = 8,
    /// Bytes written to the store, to restored files or, when the cache is rebuilt, to the cache.
    BytesWritten = 9,
    /// Entries restored.
    Restored = 10,
    /// All problems, notes included, also those that the report does not list.
    Problems = 11,
    /// Logical bytes of the snapshot's files. A verify counts the files of all snapshots, a comparison nothing.
    Bytes = 12,
    /// Bytes of new and changed files whose content was stored already, for another path: an increment points to it. Or
    /// bytes of the files that a full took over from an earlier full that did not end.
    BytesAlreadyStored = 13,
    /// Contents and signatures of a backup that the store had lost and that were stored again, and layers that were put
    /// back.
    Healed = 14,
    /// Contents that the store has lost and that the source no longer has.
    Lost = 15,
}

impl Counter {
    pub const ALL: [Counter; 15] = [
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
        Counter::BytesAlreadyStored,
        Counter::Healed,
        Counter::Lost,
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
            Counter::BytesAlreadyStored => "bytes_already_stored",
            Counter::Healed => "healed",
            Counter::Lost => "lost",
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

/// The class of a problem. The numbers are the values of `IBT_PROBLEM_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ProblemKind {
    /// A source entry could not be read; its previous version, if any, was carried forward. Or stored bytes cannot
    /// be read now. Or an exclude file in the source cannot be used.
    Unreadable = 1,
    /// The entry was deleted between the walk and the read.
    Vanished = 2,
    /// The file changed while it was read.
    Changed = 3,
    /// A backup left the entry out by design (for example a socket or the store), or a restore did not remove the
    /// entry because the backup had left it out.
    Skipped = 4,
    /// Stored bytes were read and do not verify.
    Damaged = 5,
    /// A backup file that a snapshot needs is gone.
    Missing = 6,
    /// Metadata could not be read or set.
    Metadata = 7,
    /// A temporary file or directory in or beside the destination of a restore: an interrupted restore left it, or a
    /// running restore may still use it (kept). Or a file of the store that no snapshot is known to use: the
    /// temporary file of an interrupted run (removed, if possible), a file of a failed run that cannot be removed, an
    /// archive of which a prune cannot say whether a snapshot needs it (kept), archives whose state is gone (kept), a
    /// damaged state with a stamp far in the future (passed over), or a copy of a state (kept).
    Leftover = 8,
    /// The date of a snapshot is more than a day later than this machine's clock: this clock is wrong, or the
    /// clock was wrong when that backup was made.
    Clock = 9,
    /// A restore could not write an entry: an existing entry or permissions of the destination prevent it, or the
    /// file system of the destination does not support such an entry.
    Obstructed = 10,
    /// The key could not be locked, so another operation may delete files that this one reads.
    Unlocked = 11,
    /// The store had lost something that a backup has put there again: a content or signature of the entry, or a layer.
    /// Snapshots made before stay as they are.
    Healed = 12,
    /// The content of an entry of the parent is lost, and the source no longer has the file or cannot give it.
    Lost = 13,
    /// A backup file is damaged, but the snapshot needs none of the damaged bytes.
    Unneeded = 14,
    /// Only a newer version of libibt can restore or check an entry, its signature or a state: the type, the algorithm
    /// of a hash or the form of the state's file is unknown.
    Unsupported = 15,
}

impl ProblemKind {
    pub const ALL: [ProblemKind; 15] = [
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
        ProblemKind::Unlocked,
        ProblemKind::Healed,
        ProblemKind::Lost,
        ProblemKind::Unneeded,
        ProblemKind::Unsupported,
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
            ProblemKind::Unlocked => "unlocked",
            ProblemKind::Healed => "healed",
            ProblemKind::Lost => "lost",
            ProblemKind::Unneeded => "unneeded",
            ProblemKind::Unsupported => "unsupported",
        }
    }

    /// The kind of problem for an error that occurred while stored bytes were read.
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

    /// True for a note: a report lists notes, but a note does not make the result partial.
    pub fn is_note(self) -> bool {
        matches!(
            self,
            ProblemKind::Skipped
                | ProblemKind::Leftover
                | ProblemKind::Unlocked
                | ProblemKind::Healed
                | ProblemKind::Unneeded
        )
    }
}

/// One problem of an operation.
#[derive(Clone, Debug)]
pub struct Problem {
    pub kind: ProblemKind,
    /// The entry concerned, raw bytes; `None` if the problem concerns no single entry.
    pub path: Option<Vec<u8>>,
    pub status: Kind,
    pub os_code: i32,
    pub message: String,
    /// The snapshot concerned, if it is not the snapshot of the report.
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

    /// A problem that concerns no single entry.
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
        out.insert("note".into(), json!(self.kind.is_note()));
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

/// A backup file that the operation made, removed, or lists as needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFile {
    pub name: String,
    /// "full", "created", "updated", "sigvault", "state", "retired" or "partial".
    pub kind: &'static str,
    /// The path of the file, raw bytes; `None` if the store is no directory.
    pub path: Option<Vec<u8>>,
    pub size: u64,
}

/// The result of an operation for a snapshot. The numbers are the values of `IBT_ACTION_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Action {
    Kept = 1,
    Removed = 2,
}

/// One snapshot that a report lists.
#[derive(Clone, Debug)]
pub struct ReportedSnapshot {
    pub stamp: Stamp,
    /// When the snapshot was made. Equal to its stamp, or earlier if the stamp was moved behind another stamp.
    pub date: Stamp,
    pub key: String,
    /// "full" or "incremental"; "ancestor-full" or "ancestor-incremental" for a backup of the Python ancestor.
    pub kind: &'static str,
    /// The tree digest of the snapshot; `None` for a backup of the ancestor.
    pub digest: Option<Hash>,
    /// The absolute path of the source, or the caller's name for it; raw bytes.
    pub source: Vec<u8>,
    pub host: String,
    pub labels: Labels,
    pub parent: Option<Stamp>,
    pub counters: Counters,
    pub action: Action,
    pub reason: String,
}

impl ReportedSnapshot {
    fn to_json(&self) -> Value {
        json!({
            "snapshot": self.stamp.to_string(), "date": self.date.to_time().to_string(), "key": self.key, "kind": self.kind,
            "digest": self.digest.map(|digest| digest.to_string()), "source": encode_name(&self.source),
            "host": self.host,
            "labels": self.labels, "parent": self.parent.map(|p| p.to_string()), "counters": self.counters.to_json(),
            "action": self.action as i32, "reason": self.reason,
        })
    }
}

/// The outcome of an operation. The caller gets a report whenever the operation began its work, also if it failed.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The error that ended the operation. `None` for OK and for PARTIAL (see [`Report::is_partial`]).
    pub failed: Option<Error>,
    pub key: Option<String>,
    /// The snapshot that the operation made or used.
    pub snapshot: Option<Stamp>,
    /// The tree digest of that snapshot.
    pub digest: Option<Hash>,
    /// When the operation began.
    pub date: Time,
    pub files: Vec<BackupFile>,
    pub counters: Counters,
    pub snapshots: Vec<ReportedSnapshot>,
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

    /// Adds the counters and the problems of an operation that was a part of this one.
    pub fn take_work(&mut self, part: Report) {
        for which in Counter::ALL {
            self.count(which, part.counters.get(which));
        }
        self.partial |= part.partial;
        let room = PROBLEMS_MAX.saturating_sub(self.problems.len());
        self.problems.extend(part.problems.into_iter().take(room));
    }

    /// True if the operation met a problem that is no note, for example an unreadable file.
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    /// The status of the C ABI: 0 for OK, 1 for PARTIAL, the negative number of the error if the operation failed.
    pub fn status(&self) -> i32 {
        self.failed.as_ref().map_or(i32::from(self.partial), |error| error.kind as i32)
    }

    pub fn total_size(&self) -> u64 {
        sum(self.files.iter().map(|f| f.size))
    }

    /// The whole report as one JSON document. Names are percent-encoded as in states; times are written
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
            "snapshots": self.snapshots.iter().map(ReportedSnapshot::to_json).collect::<Vec<_>>(),
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
