//! Snapshots that were made while a clock was wrong: stamps always grow, but dates may go back.

mod support;

use ibt::job::{Keep, ProblemKind, Report, Select};
use ibt::stamp::{Stamp, Time};
use ibt::store::Catalog;
use support::series::{KEY, Series, problem_paths};
use support::stored;

const DAY: i64 = 86_400;

fn days_from_now(days: i64) -> Stamp {
    Stamp::of_clock(Time::now().plus_secs(days * DAY))
}

/// A series whose snapshots have the dates `days` from now, in this order. The stamp of a snapshot is its date, or, if
/// that is not later than the stamp before, the next possible stamp. The states are not compressed, so that a test can
/// rewrite them.
fn series_of(days: &[i64]) -> (Series, Vec<Stamp>) {
    let mut series = Series::new();
    series.options.codec = ibt::job::Codec::None;
    let mut dates: Vec<Stamp> = Vec::new();
    for (number, day) in days.iter().enumerate() {
        let date = days_from_now(*day);
        let newest = series.points.last().map(|point| point.stamp);
        series.write("number", number.to_string());
        let made = if number == 0 { series.full() } else { series.incremental() };
        let mut report = made.ok();
        let stamp = match newest {
            Some(newest) if newest >= date => newest.moved_behind().unwrap(),
            _ => date,
        };
        stored::travel(&series.store, report.snapshot.unwrap(), stamp);
        stored::set_date(&series.store, stamp, date);
        report.snapshot = Some(stamp);
        series.keep(&report);
        dates.push(date);
    }
    (series, dates)
}

/// The stamp of the snapshot that a moment selects; `None` if it selects none.
fn as_of(series: &Series, time: Time) -> Option<Stamp> {
    let dest = series.beside("as-of");
    let outcome = series.restore(Select::AsOf(time), &dest);
    if outcome.result.is_err() {
        outcome.refused(ibt::error::Kind::NotFound);
        return None;
    }
    let stamp = outcome.whole().snapshot;
    support::series::remove(&dest);
    stamp
}

/// The last snapshot made at or before a moment. Of two with the same date, the one with the later stamp.
fn expected(series: &Series, dates: &[Stamp], time: Time) -> Option<Stamp> {
    let stamps = series.points.iter().map(|point| point.stamp);
    let made = dates.iter().zip(stamps).filter(|(date, _)| date.to_time() <= time);
    made.max().map(|(_, stamp)| stamp)
}

fn assert_moments(series: &Series, dates: &[Stamp]) {
    for date in dates {
        for time in
            [date.to_time(), Time::from_nanos(date.to_time().to_nanos() - 1), date.to_time().plus_secs(9)]
        {
            assert_eq!(as_of(series, time), expected(series, dates, time), "{time}");
        }
    }
}

fn listed_dates(series: &Series) -> Vec<Stamp> {
    series.list().whole().snapshots.iter().map(|snapshot| snapshot.date).collect()
}

fn kept(report: &Report) -> usize {
    report.snapshots.iter().filter(|snapshot| snapshot.action == ibt::job::Action::Kept).count()
}

#[test]
fn a_moment_selects_by_when_snapshots_were_made() {
    // Four wrong clocks: seventy years ahead; days ahead, and right later; decades behind; ahead for a single
    // snapshot.
    for days in [
        &[-7, -6, 26_000, -4, -3, -2][..],
        &[-40, -39, -20, -38, -37, -10, -9],
        &[-7, -20_000, -5, -4],
        &[-12, -11, -5, -10],
    ] {
        let (mut series, mut dates) = series_of(days);
        assert_eq!(listed_dates(&series), dates);
        assert_moments(&series, &dates);
        // Remove one snapshot, in most cases the one with the wrong date. Later stamps stay.
        let stamp = series.points.remove(2).stamp;
        dates.remove(2);
        series.prune(&series.selecting(Select::Exactly(stamp))).whole();
        assert_moments(&series, &dates);
    }
}

#[test]
fn rules_count_days_by_when_snapshots_were_made() {
    let (series, dates) = series_of(&[-7, -6, 26_000, -4, -3, -2, -1]);
    let report = series.prune(&series.keeping(Keep { daily: 7, ..Keep::default() })).whole();
    assert_eq!(kept(&report), 7, "{:?}", report.snapshots);
    let report = series.prune(&series.keeping(Keep { daily: 4, ..Keep::default() })).whole();
    assert_eq!(kept(&report), 4, "{:?}", report.snapshots);
    assert_eq!(listed_dates(&series), [dates[2], dates[4], dates[5], dates[6]]);
}

/// A snapshot with a date in the future makes each backup partial until it is removed. Stamps still grow, and
/// later snapshots are in order.
#[test]
fn a_snapshot_of_the_future_is_a_problem_until_it_is_removed() {
    let (mut series, _) = series_of(&[-3, 26_000, -1]);
    let future = series.points[1].stamp;
    series.write("number", "now");
    let report = series.incremental().partial();
    let clock: Vec<_> = report.problems.iter().filter(|problem| problem.kind == ProblemKind::Clock).collect();
    assert_eq!(clock.len(), 1, "{:?}", report.problems);
    assert_eq!(clock[0].snapshot, Some(future));
    assert!(clock[0].message.contains(&format!("1 snapshot has a date more than a day later: {future};")));
    assert_eq!(report.snapshot, series.points[2].stamp.moved_behind());
    series.prune(&series.selecting(Select::Exactly(future))).whole();
    series.points.remove(1);
    series.write("number", "later");
    let after = series.incremental().whole();
    assert!(problem_paths(&after, ProblemKind::Clock).is_empty());
    assert!(after.snapshot > report.snapshot);
    series.assert_newest_is_the_source();
}

/// A clock without a battery is decades behind, so that all snapshots seem to come from the future. This test has a
/// right clock, and snapshots with dates in the future.
#[test]
fn a_clock_far_behind_does_not_pass_over_a_damaged_newest_snapshot() {
    for age in [100, 1000] {
        let (series, _) = series_of(&[20_000 - age, 20_000]);
        std::fs::write(series.newest("state"), "garbage").unwrap();
        let error = series.restore(Select::Newest, &series.beside("out")).refused(ibt::error::Kind::Corrupt);
        let other = series.points[0].stamp.to_string();
        assert!(error.to_string().contains(&other), "{error}");
        series.assert_point_restores(0);
    }
}

/// Even with such a clock, the next backup gets a later stamp than the damaged snapshot, so that readers find the new
/// one.
#[test]
fn a_clock_far_behind_stamps_later_than_a_damaged_newest_snapshot() {
    for age in [100, 1000] {
        for consolidates in [false, true] {
            let (mut series, _) = series_of(&[20_000 - age, 20_001 - age, 20_000]);
            let damaged = series.points.pop().unwrap().stamp;
            std::fs::write(series.newest("state"), "garbage").unwrap();
            series.write("number", if consolidates { "1" } else { "again" });
            let made = if consolidates { series.consolidate() } else { series.incremental() };
            assert!(made.ok().snapshot > Some(damaged), "{age} {consolidates}");
            let dest = series.beside("out");
            series.restore(Select::Newest, &dest).whole();
            assert_eq!(
                std::fs::read(dest.join("number")).unwrap(),
                std::fs::read(series.source.join("number")).unwrap()
            );
        }
    }
}

/// A clock that has lost its battery may show a year before the first release of libibt. The only snapshot is damaged.
#[test]
fn a_clock_of_another_age_stamps_later_than_everything_listed() {
    let (series, _) = series_of(&[0]);
    std::fs::write(series.newest("state"), "garbage").unwrap();
    let damaged = series.points[0].stamp;
    // The last possible stamp has no successor, so it is never that of a snapshot.
    let last = format!("{KEY}.state.99991231T235959.999999Z.json");
    for planted in [false, true] {
        if planted {
            std::fs::write(series.store.join(&last), "garbage").unwrap();
        }
        for secs in [0, 946_684_800] {
            let made = series.silently(&series.options, |store, job| {
                let catalog = Catalog::read(store, KEY)?;
                job.report.snapshot =
                    Some(ibt::commit::next_stamp(store, &catalog, None, Time { secs, nanos: 0 }, job)?);
                Ok(())
            });
            assert_eq!(made.ok().snapshot, damaged.moved_behind(), "{secs} {planted}");
        }
    }
}

#[test]
fn of_snapshots_made_at_one_moment_the_later_one_is_selected() {
    let (series, mut dates) = series_of(&[-5, -6, -7]);
    stored::set_date(&series.store, series.points[2].stamp, dates[1]);
    dates[2] = dates[1];
    assert_moments(&series, &dates);
}

#[test]
fn a_clock_a_little_behind_is_no_problem() {
    let (series, _) = series_of(&[0]);
    let stamp = series.points[0].stamp;
    let ahead = Stamp::from_time(stamp.to_time().plus_secs(DAY - 600));
    stored::travel(&series.store, stamp, ahead);
    series.write("number", "now");
    assert_eq!(series.incremental().whole().snapshot, ahead.moved_behind());
}

/// If no clock was wrong, the stamps alone show which snapshot a moment selects: only the state of this snapshot is
/// read.
#[test]
fn stamps_of_a_right_clock_are_believed_unread() {
    let (series, dates) = series_of(&[-9, -7, -5, -3]);
    // The other states are not read, so a date that is wrong there does not matter.
    stored::set_date(&series.store, series.points[0].stamp, days_from_now(-8));
    for point in [2, 3] {
        let later = Stamp::of_clock(dates[1].to_time().plus_secs(3600));
        stored::set_date(&series.store, series.points[point].stamp, later);
    }
    let found = as_of(&series, dates[1].to_time().plus_secs(DAY));
    assert_eq!(found, Some(series.points[1].stamp));
}
