//! The first step of every operation that writes a snapshot: choose its stamp and check the clock.

use crate::error::{Error, Kind, Result};
use crate::job::{Job, Problem, ProblemKind};
use crate::stamp::{Stamp, Time};
use crate::store::{Catalog, Dates, Store, far_after};

/// Seconds by which snapshots may be ahead of the clock before that is reported as a problem.
const CLOCK_SLACK_SECS: i64 = 86_400;
/// The start of the year 2026, in which libibt was first released, in seconds since 1970.
const FIRST_YEAR_SECS: i64 = 1_767_225_600;
/// How many stamps the message about snapshots of the future names at most.
const NAMED: usize = 3;

/// The stamp of a snapshot made now. It is later than `newest`, the stamp of the newest snapshot that verifies, and
/// later than every stamp of the key that is not far in the future (see [`far_after`]). A file with a stamp beyond
/// that limit is foreign or left by a run with a wrong clock; the new stamp does not have to be later than such
/// stamps. To a clock that is behind, every stamp of the present is far in the future. Then the new stamp is later than
/// every stamp of the key: else a damaged state would stay the newest one. For example, if the clock says 12:00:00 and
/// a snapshot has the stamp 12:00:05.000000, the new stamp is 12:00:05.000001.
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
        tell_ahead(store, catalog, now, job)?;
    }
    let latest = match is_behind(now, newest) {
        // A stamp without a later one can only be foreign.
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

/// True if the clock is behind: a snapshot that verifies was made later, or the clock says a time when libibt did not
/// exist. A clock without its battery starts in such a year.
fn is_behind(now: Time, newest: Option<Stamp>) -> bool {
    let slack = Stamp::from_time(now.plus_secs(CLOCK_SLACK_SECS));
    now.secs < FIRST_YEAR_SECS || newest.is_some_and(|newest| newest > slack)
}

fn after(stamp: Stamp) -> Result<Stamp> {
    stamp.moved_behind().ok_or_else(|| {
        Error::new(Kind::Limit, "name the snapshot", "the newest stamp is the last possible one")
    })
}

/// Reports a problem if the states of snapshots say that these were made more than a day from now: either their clock
/// was wrong, or this clock is. A snapshot that only has such a stamp, because it had to be later than the stamp of a
/// snapshot of the future, is not reported: its state has the true date.
fn tell_ahead(store: &mut dyn Store, catalog: &Catalog, now: Time, job: &mut Job) -> Result<()> {
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
