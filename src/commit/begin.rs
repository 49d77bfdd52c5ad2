//! The first step of every operation that writes a snapshot: choose its stamp and check the clock.

use crate::error::{Error, Kind, Result};
use crate::job::{Job, Problem, ProblemKind};
use crate::stamp::{Stamp, Time};
use crate::store::{Catalog, Dates, Store, far_after};

/// If a snapshot's date is ahead of the clock by more than this number of seconds, a problem is reported.
const CLOCK_SLACK_SECS: i64 = 86_400;
/// The start of the year 2026, in which libibt was first released, in seconds since 1970.
const FIRST_YEAR_SECS: i64 = 1_767_225_600;
/// The most stamps in the message about snapshots with dates in the future.
const NAMED: usize = 3;

/// The stamp of a snapshot made now: the time of the clock, or a later stamp if an existing stamp is not earlier. For
/// example, if the clock says 12:00:00 and a snapshot has the stamp 12:00:05.000000, the new stamp is 12:00:05.000001.
///
/// The new stamp is later than `newest`, the stamp of the newest snapshot that verifies, and later than every stamp of
/// the key that is not far in the future (see [`far_after`]). A stamp far in the future belongs to a foreign file, or
/// to a run with a wrong clock; the new stamp need not be later.
///
/// If the clock is behind, every existing stamp seems to be far in the future. Then the new stamp is later than every
/// stamp of the key. Otherwise a damaged state would remain the newest state.
pub fn next_stamp(
    store: &mut dyn Store,
    catalog: &Catalog,
    newest: Option<Stamp>,
    now: Time,
    job: &mut Job,
) -> Result<Stamp> {
    let stamps = catalog.stamps();
    let mut stamp = Stamp::of_clock(now);
    if stamps.last().is_some_and(|last| *last >= stamp) {
        report_stamps_ahead(store, catalog, now, job)?;
    }
    let latest = match is_behind(now, newest) {
        // The last possible stamp can only belong to a foreign file.
        true => stamps.iter().rev().find(|stamp| stamp.moved_behind().is_some()),
        false => stamps.range(..=far_after(now, newest)).next_back(),
    };
    if let Some(latest) = latest.filter(|latest| **latest >= stamp) {
        stamp = after(*latest)?;
    }
    // The loop skips stamps that files beyond the limit already have: no stamp is used twice.
    while stamps.contains(&stamp) {
        stamp = after(stamp)?;
    }
    Ok(stamp)
}

/// The stamp of a snapshot that is a copy of a backup made at `time`. `Mismatch` if the key has a stamp that is not
/// earlier: a new stamp is later than all others.
pub fn stamp_of_copy(catalog: &Catalog, time: Time) -> Result<Stamp> {
    let stamp = Stamp::from_time(time);
    match catalog.stamps().last().filter(|last| **last >= stamp) {
        None => Ok(stamp),
        Some(last) => {
            let detail =
                format!("{stamp} is not later than {last}, which key '{}' has already", catalog.key());
            Err(Error::new(Kind::Mismatch, "name the snapshot", detail))
        }
    }
}

/// True if the clock is behind: it is more than a day earlier than a snapshot that verifies, or earlier than the first
/// release of libibt. For example, a clock with an empty battery often starts in 1970.
fn is_behind(now: Time, newest: Option<Stamp>) -> bool {
    let slack = Stamp::from_time(now.plus_secs(CLOCK_SLACK_SECS));
    now.secs < FIRST_YEAR_SECS || newest.is_some_and(|newest| newest > slack)
}

fn after(stamp: Stamp) -> Result<Stamp> {
    stamp.moved_behind().ok_or_else(|| {
        Error::new(Kind::Limit, "name the snapshot", "the newest stamp is the last possible one")
    })
}

/// Reports a problem if snapshots have dates more than a day after the time of the clock: the clock was wrong when they
/// were made, or is wrong now. The date in the state counts, not the stamp: a snapshot with a true date can have a
/// stamp in the future, because its stamp had to be later than an older one.
fn report_stamps_ahead(store: &mut dyn Store, catalog: &Catalog, now: Time, job: &mut Job) -> Result<()> {
    let limit = Stamp::from_time(now.plus_secs(CLOCK_SLACK_SECS));
    let dates = Dates::of(now);
    let mut ahead = Vec::new();
    for state in catalog.states().filter(|state| state.stamp > limit) {
        if dates.date(store, state)? > limit {
            ahead.push(state.stamp);
        }
    }
    let Some(first) = ahead.first().copied() else { return Ok(()) };
    let named: Vec<_> = ahead.iter().take(NAMED).map(Stamp::to_string).collect();
    let more = ahead.len() - named.len();
    let detail = format!(
        "the clock says {}, but {} snapshot{} a date more than a day later: {}{}; if \
         the clock is right, remove each by its stamp (ibt prune KEY --at STAMP), else set the clock",
        Stamp::from_time(now),
        ahead.len(),
        if ahead.len() == 1 { " has" } else { "s have" },
        named.join(", "),
        if more > 0 { format!(" and {more} more") } else { String::new() },
    );
    let error = Error::new(Kind::Io, "trust the clock", detail);
    let problem = Problem::of_whole(ProblemKind::Clock, &error);
    job.problem(Problem { snapshot: Some(first), ..problem }, error)
}
