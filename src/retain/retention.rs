//! Decides which snapshots the rules keep, from their stamps and dates alone: without reading a disk or a clock. Only
//! [`DatedSnapshot::of`] may ask for the time zone.

use std::collections::{BTreeMap, BTreeSet};

use crate::job::{Keep, ReportedSnapshot, WantedLabel};
use crate::platform;
use crate::stamp::{Stamp, civil_from_days, days_from_civil};

/// Which rules keep one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionDecision {
    pub stamp: Stamp,
    /// Every rule that keeps the snapshot, in the form that [`RetentionDecision::reason`] prints. Empty if the snapshot
    /// is to be removed.
    pub rules: Vec<String>,
}

impl RetentionDecision {
    pub fn keeps(&self) -> bool {
        !self.rules.is_empty()
    }

    /// For example `last 3, daily 2026-11-22, weekly 2026-W47`: the snapshot is one of the last three, and the
    /// newest of that day and of that ISO week.
    pub fn reason(&self) -> String {
        match self.keeps() {
            true => self.rules.join(", "),
            false => "no rule keeps it".to_string(),
        }
    }
}

/// Returns the name of the period that contains the date of a snapshot.
type PeriodOf = fn(&DatedSnapshot) -> String;

/// A snapshot to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DatedSnapshot {
    /// When the snapshot was made.
    pub date: Stamp,
    pub stamp: Stamp,
    /// Seconds by which the time zone of the rules is ahead of UTC at that date.
    pub ahead: i64,
}

impl DatedSnapshot {
    /// With `local`, the snapshot's periods are those of this machine's time zone, else those of UTC.
    pub fn of(snapshot: &ReportedSnapshot, local: bool) -> Self {
        let ahead = if local { platform::offset_from_utc(snapshot.date.to_time().secs) } else { 0 };
        DatedSnapshot { date: snapshot.date, stamp: snapshot.stamp, ahead }
    }

    /// Seconds from 1970-01-01 00:00 to the date, both in the time zone of the rules.
    fn zone_secs(&self) -> i64 {
        self.date.to_time().secs.saturating_add(self.ahead)
    }

    /// Days from 1970-01-01 to the date, in the time zone of the rules.
    fn day(&self) -> i64 {
        self.zone_secs().div_euclid(86_400)
    }
}

/// The snapshots that label rules keep, each with the names of its labels that a rule asks for. `None` if there is no
/// such rule.
#[derive(Clone, Debug, Default)]
pub struct LabelledSnapshots(Option<BTreeMap<Stamp, Vec<String>>>);

impl LabelledSnapshots {
    pub fn of(snapshots: &[&ReportedSnapshot], rules: &[WantedLabel]) -> Self {
        let mut labelled: BTreeMap<Stamp, Vec<String>> = BTreeMap::new();
        for snapshot in snapshots {
            for rule in rules.iter().filter(|rule| rule.is_in(&snapshot.labels)) {
                let words = format!("label {}", rule.name);
                let said = labelled.entry(snapshot.stamp).or_default();
                said.extend((!said.contains(&words)).then_some(words));
            }
        }
        LabelledSnapshots((!rules.is_empty()).then_some(labelled))
    }
}

/// Judges snapshots, given in any order. Returns one decision for each stamp, oldest first.
///
/// `last` keeps the newest n snapshots by their stamps. `within` keeps the snapshots that were made at most this many
/// seconds before the snapshot with the newest stamp. The rule of a period keeps the newest snapshot of each of the
/// newest n periods that have a snapshot, so gaps in a series cost nothing. `within` and the rules of periods use the
/// dates of snapshots, not their stamps: after a snapshot with a stamp in the future, the stamps of all later
/// snapshots fall into one period. A week begins on Monday. Where the clocks are set back, the hour that occurs twice
/// counts as two hours.
///
/// Label rules keep the `labelled` snapshots. The other rules count them like all other snapshots.
///
/// With any rule, the snapshot with the newest stamp stays, even if the clock was behind when it was made.
/// Judging the kept snapshots again, with or without some of the others, keeps the same snapshots.
pub fn judge(
    snapshots: &[DatedSnapshot],
    keep: &Keep,
    labelled: LabelledSnapshots,
) -> Vec<RetentionDecision> {
    let stamps: BTreeSet<Stamp> = snapshots.iter().map(|snapshot| snapshot.stamp).collect();
    let by_date: BTreeSet<DatedSnapshot> = snapshots.iter().copied().collect();
    let mut rules: BTreeMap<Stamp, Vec<String>> = BTreeMap::new();
    let mut rule = |stamp: Stamp, words: String| rules.entry(stamp).or_default().push(words);
    for stamp in stamps.iter().rev().take(keep.last as usize) {
        rule(*stamp, format!("last {}", keep.last));
    }
    let newest = snapshots.iter().max_by_key(|snapshot| snapshot.stamp);
    for snapshot in snapshots.iter().filter(|_| keep.within > 0) {
        let since = newest.map_or(0, |newest| nanos_between(snapshot.date, newest.date));
        if since <= i128::from(keep.within) * NANOS {
            rule(snapshot.stamp, format!("within {} s", keep.within));
        }
    }
    let periods: [(u32, &str, PeriodOf); 5] = [
        (keep.hourly, "hourly", hour),
        (keep.daily, "daily", |snapshot| day(snapshot.day())),
        (keep.weekly, "weekly", |snapshot| iso_week(snapshot.day())),
        (keep.monthly, "monthly", |snapshot| month(snapshot.day())),
        (keep.yearly, "yearly", |snapshot| year(snapshot.day())),
    ];
    for (n, word, name_of) in periods {
        let mut left = n;
        let mut newest_seen = None;
        for snapshot in by_date.iter().rev() {
            let period = Some(name_of(snapshot));
            if left > 0 && period != newest_seen {
                rule(snapshot.stamp, format!("{word} {}", period.as_deref().unwrap_or_default()));
                newest_seen = period;
                left -= 1;
            }
        }
    }
    let has_rules = *keep != Keep::default() || labelled.0.is_some();
    for (stamp, words) in labelled.0.into_iter().flatten() {
        rules.entry(stamp).or_default().extend(words);
    }
    let newest = stamps.last().filter(|_| has_rules);
    if let Some(stamp) = newest.filter(|stamp| !rules.contains_key(stamp)) {
        rules.insert(*stamp, vec!["newest".to_string()]);
    }
    let decision = |stamp| RetentionDecision { stamp, rules: rules.remove(&stamp).unwrap_or_default() };
    stamps.into_iter().map(decision).collect()
}

const NANOS: i128 = 1_000_000_000;

/// Nanoseconds from `date` to `newest`; negative if `date` is the later one.
fn nanos_between(date: Stamp, newest: Stamp) -> i128 {
    newest.to_time().to_nanos() - date.to_time().to_nanos()
}

/// The hour of a date, for example `2026-11-22 05:00Z`, or `2026-10-25 02:00+02:00`: when clocks are set back, two
/// hours have the same name, and only the offset differs.
fn hour(snapshot: &DatedSnapshot) -> String {
    let hour = snapshot.zone_secs().rem_euclid(86_400) / 3600;
    let (sign, ahead) = (if snapshot.ahead < 0 { '-' } else { '+' }, snapshot.ahead.abs());
    let zone = match ahead {
        0 => "Z".to_string(),
        _ => format!("{sign}{:02}:{:02}", ahead / 3600, ahead / 60 % 60),
    };
    format!("{} {hour:02}:00{zone}", day(snapshot.day()))
}

/// A day since 1970-01-01, for example `2026-11-22`.
fn day(day: i64) -> String {
    let (year, month, day) = civil_from_days(day);
    format!("{year:04}-{month:02}-{day:02}")
}

fn month(day: i64) -> String {
    let (year, month, _) = civil_from_days(day);
    format!("{year:04}-{month:02}")
}

fn year(day: i64) -> String {
    format!("{:04}", civil_from_days(day).0)
}

/// The ISO 8601 week of a day, for example `2026-W47`. A week belongs to the year of its Thursday.
fn iso_week(day: i64) -> String {
    // Day 0 was a Thursday.
    let thursday = day - (day + 3).rem_euclid(7) + 3;
    let (year, _, _) = civil_from_days(thursday);
    let week = (thursday - days_from_civil(year, 1, 1)) / 7 + 1;
    format!("{year:04}-W{week:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn judge(snapshots: &[DatedSnapshot], keep: &Keep) -> Vec<RetentionDecision> {
        super::judge(snapshots, keep, LabelledSnapshots::default())
    }

    fn stamp(text: &str) -> Stamp {
        Stamp::parse(text).unwrap()
    }

    /// The first moment of a day, given as `20261122`.
    fn midnight(day: &str) -> Stamp {
        stamp(&format!("{day}T000000.000000Z"))
    }

    /// Snapshots whose dates equal their stamps.
    fn honest(stamps: &[Stamp]) -> Vec<DatedSnapshot> {
        stamps.iter().map(|stamp| DatedSnapshot { date: *stamp, stamp: *stamp, ahead: 0 }).collect()
    }

    fn kept(stamps: &[Stamp], keep: &Keep) -> Vec<Stamp> {
        kept_of(&honest(stamps), keep)
    }

    fn kept_of(snapshots: &[DatedSnapshot], keep: &Keep) -> Vec<Stamp> {
        judge(snapshots, keep)
            .into_iter()
            .filter(RetentionDecision::keeps)
            .map(|decision| decision.stamp)
            .collect()
    }

    fn reasons(stamps: &[Stamp], keep: &Keep) -> Vec<String> {
        judge(&honest(stamps), keep).iter().map(RetentionDecision::reason).collect()
    }

    #[test]
    fn reasons_name_every_rule_and_its_period() {
        let stamps = [
            stamp("20261121T100000.000000Z"),
            stamp("20261122T100000.000000Z"),
            stamp("20261122T220530.123456Z"),
        ];
        let keep = Keep { last: 1, hourly: 1, daily: 2, weekly: 1, monthly: 1, yearly: 1, ..Keep::NONE };
        assert_eq!(
            reasons(&stamps, &keep),
            [
                "daily 2026-11-21",
                "no rule keeps it",
                "last 1, hourly 2026-11-22 22:00Z, daily 2026-11-22, weekly 2026-W47, monthly 2026-11, yearly 2026"
            ]
        );
    }

    #[test]
    fn midnight_belongs_to_the_day_it_begins() {
        let stamps = [stamp("20261121T235959.999999Z"), stamp("20261122T000000.000000Z")];
        assert_eq!(kept(&stamps, &Keep { daily: 5, ..Keep::default() }), stamps);
        let same_day = [stamps[1], stamp("20261122T235959.999999Z")];
        assert_eq!(kept(&same_day, &Keep { daily: 5, ..Keep::default() }), same_day[1..]);
    }

    #[test]
    fn a_week_begins_on_monday_and_belongs_to_the_year_of_its_thursday() {
        let week = |day: &str| iso_week(midnight(day).day());
        for (day, expected) in [
            ("20201227", "2020-W52"),
            ("20201228", "2020-W53"),
            ("20210103", "2020-W53"),
            ("20210104", "2021-W01"),
            ("20241229", "2024-W52"),
            ("20241230", "2025-W01"),
            ("20260101", "2026-W01"),
            ("20261122", "2026-W47"),
            ("20261123", "2026-W48"),
            ("20261231", "2026-W53"),
            ("20270103", "2026-W53"),
            ("20270104", "2027-W01"),
            ("19700101", "1970-W01"),
            ("99991231", "9999-W52"),
        ] {
            assert_eq!(week(day), expected, "{day}");
        }
        assert_eq!(iso_week(-1), "1970-W01");
        assert_eq!(iso_week(-4), "1969-W52");
    }

    #[test]
    fn one_week_across_new_year_is_one_week_but_two_years() {
        let stamps = [midnight("20201231"), midnight("20210101")];
        assert_eq!(kept(&stamps, &Keep { weekly: 9, ..Keep::default() }), stamps[1..]);
        assert_eq!(kept(&stamps, &Keep { yearly: 9, ..Keep::default() }), stamps);
        assert_eq!(kept(&stamps, &Keep { monthly: 9, ..Keep::default() }), stamps);
    }

    #[test]
    fn a_leap_day_is_a_day_of_february() {
        let stamps = [midnight("20240228"), midnight("20240229"), midnight("20240301")];
        assert_eq!(kept(&stamps, &Keep { daily: 9, ..Keep::default() }), stamps);
        assert_eq!(kept(&stamps, &Keep { monthly: 9, ..Keep::default() }), stamps[1..]);
        assert_eq!((day(-1), month(-1), year(-1)), ("1969-12-31".into(), "1969-12".into(), "1969".into()));
    }

    #[test]
    fn periods_without_a_snapshot_are_not_counted() {
        let stamps = [midnight("20100101"), midnight("20200101"), midnight("20200601"), midnight("20260101")];
        assert_eq!(kept(&stamps, &Keep { yearly: 3, ..Keep::default() }), [stamps[0], stamps[2], stamps[3]]);
        assert_eq!(kept(&stamps, &Keep { daily: 2, ..Keep::default() }), stamps[2..]);
    }

    #[test]
    fn nothing_is_kept_of_nothing_nor_by_no_rule() {
        assert!(judge(&[], &Keep { last: 3, ..Keep::default() }).is_empty());
        assert!(kept(&[midnight("20260101")], &Keep::default()).is_empty());
        let most = Keep { last: u32::MAX, within: u64::MAX, daily: u32::MAX, ..Keep::default() };
        assert_eq!(kept(&[midnight("20260101")], &most), [midnight("20260101")]);
    }

    /// Snapshots of November 1 and 2, a snapshot made while the clock showed the year 2099, and snapshots of five
    /// more days, whose stamps had to be later than that of 2099.
    #[test]
    fn a_period_counts_when_a_snapshot_was_made_not_its_stamp() {
        let mut snapshots = honest(&[midnight("20261101"), midnight("20261102"), midnight("20990101")]);
        for day in ["20261104", "20261105", "20261106", "20261107", "20261108"] {
            let stamp = snapshots.last().unwrap().stamp.moved_behind().unwrap();
            snapshots.push(DatedSnapshot { date: midnight(day), stamp, ahead: 0 });
        }
        let all: Vec<_> = snapshots.iter().map(|snapshot| snapshot.stamp).collect();
        assert_eq!(kept_of(&snapshots, &Keep { daily: 8, ..Keep::default() }), all);
        assert_eq!(
            kept_of(&snapshots, &Keep { daily: 4, ..Keep::default() }),
            [all[2], all[5], all[6], all[7]]
        );
        assert_eq!(kept_of(&snapshots, &Keep { last: 2, ..Keep::default() }), all[6..]);
    }

    #[test]
    fn a_newest_snapshot_from_a_clock_that_was_behind_stays() {
        let mut snapshots = honest(&[midnight("20261101"), midnight("20261102")]);
        snapshots.push(DatedSnapshot {
            date: midnight("19700101"),
            stamp: snapshots[1].stamp.moved_behind().unwrap(),
            ahead: 0,
        });
        let decisions = judge(&snapshots, &Keep { daily: 1, ..Keep::default() });
        assert_eq!(decisions.iter().map(RetentionDecision::keeps).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(decisions[2].reason(), "newest");
    }

    /// Stamps that are hours to years apart, so that a period has none, one or several of them.
    fn stamps() -> impl Strategy<Value = Vec<Stamp>> {
        let hours = prop_oneof![4 => 0i64..30, 3 => 0i64..24 * 40, 2 => 0i64..24 * 800, 1 => Just(0i64)];
        (0i64..60 * 365, vec(hours, 0..40)).prop_map(|(first, steps)| {
            let mut secs = first * 86_400;
            let at = |secs| Stamp::from_time(crate::stamp::Time { secs, nanos: 0 });
            let next = |step: i64| {
                secs += step * 3600;
                at(secs)
            };
            steps.into_iter().map(next).collect()
        })
    }

    /// Snapshots of which some have a date earlier than their stamp.
    fn snapshots() -> impl Strategy<Value = Vec<DatedSnapshot>> {
        (stamps(), vec(0i64..24 * 800, 40)).prop_map(|(mut stamps, back)| {
            stamps.dedup();
            let date = |(stamp, hours): (&Stamp, i64)| DatedSnapshot {
                date: Stamp::from_time(stamp.to_time().plus_secs(-3600 * (hours - 700).max(0))),
                stamp: *stamp,
                ahead: 0,
            };
            stamps.iter().zip(back).map(date).collect()
        })
    }

    fn rules() -> impl Strategy<Value = Keep> {
        let n = || prop_oneof![3 => 0u32..3, 2 => 0u32..12, 1 => Just(u32::MAX)];
        let within = prop_oneof![3 => Just(0u64), 3 => 0u64..86_400 * 40, 1 => Just(u64::MAX)];
        let keep = |(last, hourly, daily, weekly, monthly, yearly, within)| Keep {
            last,
            within,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
        };
        (n(), n(), n(), n(), n(), n(), within).prop_map(keep)
    }

    /// True if one rule keeps `stamp`: no newer stamp lies in the stamp's period, and fewer than n later periods
    /// have stamps.
    fn model(stamp: Stamp, all: &[Stamp], n: u32, period: fn(Stamp) -> String) -> bool {
        let newer: BTreeSet<_> = all.iter().filter(|other| **other > stamp).map(|s| period(*s)).collect();
        !newer.contains(&period(stamp)) && (newer.len() as u64) < u64::from(n)
    }

    fn is_within(stamp: Stamp, all: &[Stamp], secs: u64) -> bool {
        let micros = all.iter().max().unwrap().distance(stamp);
        micros <= secs.saturating_mul(1_000_000)
    }

    /// Snapshots of Berlin's night in which clocks are set back at 01:00 UTC, with its time zone's offsets.
    fn night_in_berlin() -> Vec<DatedSnapshot> {
        let of = |time: &str, ahead| {
            let stamp = stamp(&format!("2026{time}.000000Z"));
            DatedSnapshot { date: stamp, stamp, ahead }
        };
        vec![
            of("1024T215959", 7200),
            of("1024T220000", 7200),
            of("1025T003000", 7200),
            of("1025T013000", 3600),
            of("1025T225959", 3600),
            of("1025T230000", 3600),
        ]
    }

    #[test]
    fn periods_are_those_of_the_zone_where_clocks_are_set_back() {
        let night = night_in_berlin();
        let stamps: Vec<_> = night.iter().map(|snapshot| snapshot.stamp).collect();
        assert_eq!(kept_of(&night, &Keep { daily: 9, ..Keep::NONE }), [stamps[0], stamps[4], stamps[5]]);
        assert_eq!(kept_of(&night, &Keep { hourly: 9, ..Keep::NONE }), stamps);
        let reasons: Vec<_> =
            judge(&night, &Keep { hourly: 4, ..Keep::NONE }).iter().map(|d| d.reason()).collect();
        assert_eq!(reasons[2], "hourly 2026-10-25 02:00+02:00");
        assert_eq!(reasons[3], "hourly 2026-10-25 02:00+01:00");
        let in_utc: Vec<_> = night.iter().map(|s| DatedSnapshot { ahead: 0, ..*s }).collect();
        assert_eq!(kept_of(&in_utc, &Keep { daily: 9, ..Keep::NONE }), [stamps[1], stamps[5]]);
        let (week, month) = (Keep { weekly: 9, ..Keep::NONE }, Keep { monthly: 9, ..Keep::NONE });
        assert_eq!(kept_of(&night, &week), [stamps[4], stamps[5]]);
        assert_eq!(kept_of(&night, &month), [stamps[5]]);
    }

    #[test]
    fn within_counts_from_the_newest_snapshot_and_not_from_now() {
        let stamps =
            ["20260101T000000.000000Z", "20260101T000000.000001Z", "20260101T010000.000001Z"].map(stamp);
        let within = |secs| kept(&stamps, &Keep { within: secs, ..Keep::NONE });
        assert_eq!(within(1), stamps[2..]);
        assert_eq!(within(3599), stamps[2..]);
        assert_eq!(within(3600), stamps[1..]);
        assert_eq!(within(3601), stamps);
    }

    /// The Monday of the stamp's week, as a day number. Finds the day of the week by Zeller's congruence from
    /// the stamp's text.
    fn monday_of(stamp: Stamp) -> String {
        let text = stamp.to_string();
        let number = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
        let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
        let (y, m) = if month < 3 { (year - 1, month + 12) } else { (year, month) };
        let weekday = (day + 13 * (m + 1) / 5 + y + y / 4 - y / 100 + y / 400 + 5).rem_euclid(7);
        (stamp.day() - weekday).to_string()
    }

    proptest! {
        #[test]
        fn rules_keep_what_the_model_keeps(stamps in stamps(), keep in rules()) {
            for decision in judge(&honest(&stamps), &keep) {
                let by = |n, period| model(decision.stamp, &stamps, n, period);
                let expected = [
                    (by(keep.last, |stamp| stamp.to_string()), "last "),
                    (keep.within > 0 && is_within(decision.stamp, &stamps, keep.within), "within "),
                    (by(keep.hourly, |stamp| stamp.to_string()[..11].into()), "hourly "),
                    (by(keep.daily, |stamp| stamp.to_string()[..8].into()), "daily "),
                    (by(keep.weekly, monday_of), "weekly "),
                    (by(keep.monthly, |stamp| stamp.to_string()[..6].into()), "monthly "),
                    (by(keep.yearly, |stamp| stamp.to_string()[..4].into()), "yearly "),
                ];
                let told = |word: &str| decision.rules.iter().any(|rule| rule.starts_with(word));
                let said: Vec<_> = expected.iter().filter(|(_, word)| told(word)).collect();
                let meant: Vec<_> = expected.iter().filter(|(keeps, _)| *keeps).collect();
                prop_assert_eq!(said, meant, "{:?}", decision);
            }
        }

        #[test]
        fn the_order_of_the_stamps_does_not_matter(stamps in stamps(), keep in rules()) {
            let mut sorted = stamps.clone();
            sorted.sort();
            sorted.dedup();
            let reversed: Vec<_> = stamps.iter().rev().copied().collect();
            prop_assert_eq!(judge(&honest(&reversed), &keep), judge(&honest(&stamps), &keep));
            let judged: Vec<_> = judge(&honest(&stamps), &keep).iter().map(|decision| decision.stamp).collect();
            prop_assert_eq!(judged, sorted);
        }

        #[test]
        fn the_newest_stays_whatever_the_rule(snapshots in snapshots(), keep in rules()) {
            let newest = snapshots.iter().map(|snapshot| snapshot.stamp).max();
            prop_assume!(keep != Keep::default());
            prop_assert_eq!(kept_of(&snapshots, &keep).last().copied(), newest);
        }

        #[test]
        fn more_generous_rules_keep_no_less(stamps in stamps(), keep in rules(), more in rules()) {
            let sum = Keep {
                last: keep.last.saturating_add(more.last),
                within: keep.within.saturating_add(more.within),
                hourly: keep.hourly.saturating_add(more.hourly),
                daily: keep.daily.saturating_add(more.daily),
                weekly: keep.weekly.saturating_add(more.weekly),
                monthly: keep.monthly.saturating_add(more.monthly),
                yearly: keep.yearly.saturating_add(more.yearly),
            };
            let (few, many) = (kept(&stamps, &keep), kept(&stamps, &sum));
            prop_assert!(few.iter().all(|stamp| many.contains(stamp)), "{few:?} {many:?}");
        }

        /// So repeating an interrupted prune gives the same result as one complete prune.
        #[test]
        fn anything_between_what_is_kept_and_all_is_judged_the_same(
            snapshots in snapshots(), keep in rules(), left in vec(any::<bool>(), 40),
        ) {
            let first = kept_of(&snapshots, &keep);
            let rest = |left: &dyn Fn(usize) -> bool| -> Vec<DatedSnapshot> {
                let numbered = snapshots.iter().enumerate();
                numbered.filter(|(i, s)| left(*i) || first.contains(&s.stamp)).map(|(_, s)| *s).collect()
            };
            prop_assert_eq!(&kept_of(&rest(&|_| false), &keep), &first);
            prop_assert_eq!(kept_of(&rest(&|i| left[i]), &keep), first);
        }
    }
}
