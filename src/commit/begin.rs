//! What every writer of a snapshot does first.

use crate::error::{Error, Kind, Result};
use crate::job::{Job, Problem, ProblemKind};
use crate::stamp::{Stamp, Time};
use crate::store::{Catalog, Dates, Store};

/// A clock this far behind the newest snapshot is a problem worth telling.
const CLOCK_SLACK_SECS: i64 = 86_400;
/// Stamps named in the message about snapshots of the future.
const NAMED: usize = 3;

/// The stamp of a snapshot made now: later than every stamp of its key.
pub fn next_stamp(store: &mut dyn Store, catalog: &Catalog, now: Time, job: &mut Job) -> Result<Stamp> {
    let stamp = Stamp::from_time(now);
    let Some(newest) = catalog.newest_stamp().filter(|newest| *newest >= stamp) else { return Ok(stamp) };
    tell_ahead(store, catalog, now, job)?;
    newest.next().ok_or_else(|| {
        Error::new(Kind::Limit, "name the snapshot", "the newest stamp is the last possible one")
    })
}

/// A problem if snapshots say that they were made more than a day from now: that clock was wrong, or this one is. What
/// was made since, and only has a stamp behind theirs, is in order.
fn tell_ahead(store: &mut dyn Store, catalog: &Catalog, now: Time, job: &mut Job) -> Result<()> {
    let limit = Stamp::from_time(now.plus_secs(CLOCK_SLACK_SECS));
    let dates = Dates::of(catalog, now);
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
