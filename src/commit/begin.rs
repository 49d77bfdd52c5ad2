//! What every writer of a snapshot does first.

use crate::error::{Error, Kind, Result};
use crate::job::{Job, Problem, ProblemKind};
use crate::stamp::{Stamp, Time};
use crate::store::{far_after, Catalog, Dates, Store};

/// A clock this far behind the newest snapshot is a problem worth telling.
const CLOCK_SLACK_SECS: i64 = 86_400;
/// Stamps named in the message about snapshots of the future.
const NAMED: usize = 3;

/// The stamp of a snapshot made now: later than that of `newest`, the newest snapshot that verifies, and than every
/// stamp of its key that is not far in the future (see [`far_after`]): what lies there is no snapshot, but a foreign
/// file or one of a run whose clock was wrong, and is not followed.
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
    let latest = stamps.range(..=far_after(now, newest)).next_back();
    if let Some(latest) = latest.filter(|latest| **latest >= stamp) {
        stamp = after(*latest)?;
    }
    // A name that a file beyond the limit has already is not given again.
    while stamps.contains(&stamp) {
        stamp = after(stamp)?;
    }
    Ok(stamp)
}

fn after(stamp: Stamp) -> Result<Stamp> {
    stamp.moved_behind().ok_or_else(|| {
        Error::new(Kind::Limit, "name the snapshot", "the newest stamp is the last possible one")
    })
}

/// A problem if snapshots say that they were made more than a day from now: that clock was wrong, or this one is. What
/// was made since, and only has a stamp behind theirs, is in order.
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
