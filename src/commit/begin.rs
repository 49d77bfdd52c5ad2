//! What every writer of a snapshot does first.

use crate::error::{Error, Kind, Result};
use crate::job::{Job, Problem, ProblemKind};
use crate::stamp::{Stamp, Time};
use crate::store::Catalog;

/// A clock this far behind the newest snapshot is a problem worth telling.
const CLOCK_SLACK_SECS: i64 = 86_400;

/// The stamp of a snapshot made now: later than every stamp of its key.
pub fn next_stamp(catalog: &Catalog, now: Time, job: &mut Job) -> Result<Stamp> {
    let stamp = Stamp::from_time(now);
    let Some(newest) = catalog.newest_stamp().filter(|newest| *newest >= stamp) else { return Ok(stamp) };
    if newest.to_time() > now.plus_secs(CLOCK_SLACK_SECS) {
        let detail = format!("the clock says {stamp}, more than a day before the newest snapshot {newest}");
        let error = Error::new(Kind::Io, "trust the clock", detail);
        job.problem(Problem::of_whole(ProblemKind::Clock, &error), error)?;
    }
    newest.next().ok_or_else(|| {
        Error::new(Kind::Limit, "name the snapshot", "the newest stamp is the last possible one")
    })
}
