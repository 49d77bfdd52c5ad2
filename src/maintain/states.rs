//! What operations on many snapshots tell of each state.

use crate::error::{Error, Kind};
use crate::format::StateSummary;
use crate::job::{Action, Counter, Counters, Problem, ProblemKind, Snapshot};
use crate::stamp::Stamp;

/// Whether an error of reading a state means that this state cannot be used, rather than that the store
/// does not answer: the others are gone on with.
pub fn is_lost(error: &Error) -> bool {
    matches!(error.kind, Kind::Corrupt | Kind::Format | Kind::Io | Kind::Limit) && !error.is_own
}

/// The problem of a state for which [`is_lost`] is true.
pub fn lost_state(name: &str, stamp: Stamp, error: &Error) -> Problem {
    Problem { snapshot: Some(stamp), ..Problem::of_whole(ProblemKind::Damaged, error).in_file(name) }
}

/// A snapshot as reports list it: there, for no reason that was asked for.
pub fn describe(state: &StateSummary) -> Snapshot {
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
        (Counter::Problems, trailer.problems.len() as u64),
    ];
    for (which, n) in counts {
        counters.add(which, n);
    }
    Snapshot {
        stamp: header.snapshot,
        date: header.date(),
        key: header.key.clone(),
        kind: header.kind.word(),
        digest: trailer.tree,
        source: header.source.clone(),
        parent: header.parent.as_ref().map(|parent| parent.snapshot),
        counters,
        action: Action::Kept,
        reason: String::new(),
    }
}
