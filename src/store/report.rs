//! Descriptions for reports: of snapshots, and of states and stored files that cannot be read.

use crate::entry::FileType;
use crate::error::{Error, Kind, Result};
use crate::format::StateSummary;
use crate::format::names::{BackupFileKind, Name, parse_any};
use crate::job::{Action, Counter, Counters, Job, Problem, ProblemKind, ReportedSnapshot};
use crate::stamp::Stamp;

use super::{Misnamed, StateFile, Store};

/// When the catalog of a key was read: while the key was locked, or before it was locked. In the second case, some of
/// the states may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    Locked,
    Before,
}

/// The problem for a state that does not verify, or that cannot be read now.
pub fn lost_state(name: &str, stamp: Stamp, error: &Error) -> Problem {
    let problem = Problem::of_whole(ProblemKind::of_stored(error), error);
    Problem { snapshot: Some(stamp), ..problem.in_file(name) }
}

/// Reports a state of `key` that does not verify, or that cannot be read now: as a problem, or as a note if it is a
/// copy of a state of another key.
pub fn report_lost_state(
    store: &mut dyn Store,
    key: &str,
    file: &StateFile,
    error: Error,
    job: &mut Job,
) -> Result<()> {
    let misnamed = match error.proves_damage() {
        true => Misnamed::find(store, key, file)?,
        false => None,
    };
    let error = misnamed.iter().fold(error, |error, misnamed| misnamed.describe(error));
    let kind = match misnamed {
        Some(Misnamed { is_copy: true, .. }) => ProblemKind::Leftover,
        _ => ProblemKind::of_stored(&error),
    };
    job.problem(Problem { kind, ..lost_state(&file.name, file.stamp, &error) }, error)
}

/// A file that has the name of a state or a partial state and is not a regular file. There is no such snapshot.
pub struct NotRegular {
    pub name: Name,
    /// The name of the file. It has a suffix after `name` if only a newer version can read the state.
    file: String,
    pub file_type: FileType,
}

impl NotRegular {
    /// All such states in the store, or those of one key, in the order of their names.
    pub fn states(store: &mut dyn Store, key: Option<&str>) -> Result<Vec<NotRegular>> {
        let mut found = NotRegular::find(store, key)?;
        found.retain(|found| found.name.kind == BackupFileKind::State);
        Ok(found)
    }

    /// All such states and partial states.
    pub fn find(store: &mut dyn Store, key: Option<&str>) -> Result<Vec<NotRegular>> {
        let prefix = key.map_or(String::new(), |key| format!("{key}."));
        let all = store.not_regular(&prefix)?.into_iter();
        let all =
            all.filter_map(|(file, file_type)| Some(NotRegular { name: parse_any(&file)?, file, file_type }));
        let is_state = |kind| matches!(kind, BackupFileKind::State | BackupFileKind::PartialState);
        let is_meant = |name: &Name| is_state(name.kind) && key.is_none_or(|key| name.key == key);
        let mut found: Vec<_> = all.filter(|found| is_meant(&found.name)).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Lists the file as a problem.
    pub fn report(&self, job: &mut Job) -> Result<()> {
        if self.name.kind == BackupFileKind::PartialState {
            let detail = "it is not a regular file: put the file itself there, or remove it if no full backup is to \
                          go on from there";
            let error = Error::new(Kind::Io, "read the partial state", detail).at(&self.file);
            return job.problem(Problem::of_whole(ProblemKind::Leftover, &error).in_file(&self.file), error);
        }
        let detail = match self.file_type {
            FileType::Symlink => {
                "it is a symbolic link, which is not followed: put the file itself there, or remove the link if \
                 nothing needs that snapshot"
                    .to_string()
            }
            other => format!("it is a {}, not a regular file: there is no such snapshot", other.name()),
        };
        let error = Error::new(Kind::Io, "read the state", detail).at(&self.file);
        job.problem(lost_state(&self.file, self.name.stamp, &error), error)
    }
}

/// Reports states and partial states that only a newer version can read: the names of their files, and their stamps.
pub fn report_wrapped<'n>(states: impl Iterator<Item = (&'n str, Stamp)>, job: &mut Job) -> Result<()> {
    for (file, stamp) in states {
        let is_partial = parse_any(file).is_some_and(|name| name.kind == BackupFileKind::PartialState);
        let op = if is_partial { "read the partial state" } else { "read the state" };
        let detail = "only a newer libibt can read it; a prune removes nothing that it may need";
        let error = Error::new(Kind::Format, op, detail).at(file);
        let problem = Problem::of_whole(ProblemKind::Unsupported, &error).in_file(file);
        job.problem(Problem { snapshot: Some(stamp).filter(|_| !is_partial), ..problem }, error)?;
    }
    Ok(())
}

/// Reports copies of states in a form that only a newer version can read: the names of their files, and their stamps.
pub fn report_copies<'n>(copies: impl Iterator<Item = (&'n str, Stamp)>, job: &mut Job) -> Result<()> {
    for (file, stamp) in copies {
        let detail = "it has the name of a state that only a newer libibt can read, but this version can read the \
                      state of that snapshot: so it counts as a copy, and nothing is kept for it";
        let error = Error::new(Kind::Format, "use the file", detail).at(file);
        let problem = Problem::of_whole(ProblemKind::Leftover, &error).in_file(file);
        job.problem(Problem { snapshot: Some(stamp), ..problem }, error)?;
    }
    Ok(())
}

/// Remembers the first stored file that cannot be read now. Such a file is not lost. The operation goes on with the
/// other files, so that one bad sector does not hide the problems of the files after it. Then it ends with the
/// first error.
#[derive(Default)]
pub struct Unread(Option<Error>);

impl Unread {
    /// Notes the error. True if the operation goes on: stored bytes are gone or do not verify, or one file cannot be
    /// read now.
    pub fn goes_on(&mut self, error: &Error) -> bool {
        self.note(error);
        error.is_loss() || is_unread(error)
    }

    pub fn note(&mut self, error: &Error) {
        if is_unread(error) {
            self.0.get_or_insert_with(|| error.clone());
        }
    }

    /// Returns the first error that was noted.
    pub fn end(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

fn is_unread(error: &Error) -> bool {
    error.kind == Kind::Io && !error.is_own
}

/// Describes a snapshot for a report: as a kept snapshot, without a reason.
pub fn describe(state: &StateSummary) -> ReportedSnapshot {
    let (header, trailer) = (&state.header, &state.trailer);
    let totals = &trailer.totals;
    let mut counters = Counters::default();
    let counts = [
        (Counter::Entries, totals.entries),
        (Counter::Bytes, totals.bytes),
        (Counter::Created, totals.created),
        (Counter::Modified, totals.modified),
        (Counter::Unchanged, totals.unchanged),
        (Counter::Moved, totals.moved),
        (Counter::Deleted, totals.deleted),
        (Counter::Metadata, totals.metadata),
        (Counter::Problems, totals.problems),
    ];
    for (which, n) in counts {
        counters.add(which, n);
    }
    ReportedSnapshot {
        stamp: header.snapshot,
        date: header.date(),
        key: header.key.clone(),
        kind: header.kind.word(),
        digest: Some(trailer.tree),
        source: header.source.clone(),
        host: header.host.clone(),
        labels: header.labels.clone(),
        parent: header.parent.as_ref().map(|parent| parent.snapshot),
        counters,
        action: Action::Kept,
        reason: String::new(),
    }
}
