//! Rules of a prune by hours, by age and in local time, and the removal of several named snapshots.

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use ibt::error::Kind;
use ibt::job::{Action, Cancel, Codec, Job, Keep, Options, Report, Select, Silent};
use ibt::stamp::Stamp;
use ibt::store::DirStore;
use support::layered::layered_chain;
use support::series::{KEY, around};
use support::tools::{child_role, this_test_again};
use support::*;

fn kept(report: &Report) -> Vec<(bool, String)> {
    report.snapshots.iter().map(|s| (s.action == Action::Kept, s.reason.clone())).collect()
}

/// Full snapshots that were made at these times.
fn made_at(times: &[&str]) -> Series {
    let mut series = Series::new();
    series.options.codec = Codec::None;
    series.write("file", "content");
    for time in times {
        let made = series.full().whole().snapshot.unwrap();
        stored::travel(&series.store, made, Stamp::parse(time).unwrap());
    }
    series
}

fn prune_dry(store: &Path, keep: Keep, local_time: bool) -> Report {
    let options = Options { keep, local_time, dry_run: true, ..Options::default() };
    let (cancel, mut silent) = (Cancel::default(), Silent);
    let mut job = Job::new(&options, &cancel, &mut silent);
    ibt::retain::prune(&mut DirStore::open(store), KEY, &mut job).unwrap();
    job.report
}

/// The days and hours of the child's time zone, which changes in the night of these snapshots.
#[test]
fn days_and_hours_are_those_of_the_time_zone() {
    const THIS: &str = "days_and_hours_are_those_of_the_time_zone";
    if let Some(role) = child_role() {
        let (local, store) = role.split_once(':').unwrap();
        for keep in [Keep { daily: 9, ..Keep::NONE }, Keep { hourly: 9, ..Keep::NONE }] {
            let report = prune_dry(Path::new(store), keep, local == "local");
            report.snapshots.iter().for_each(|snapshot| println!("reason: {}", snapshot.reason));
        }
        return;
    }
    let series = made_at(&[
        "20261024T215959.000000Z",
        "20261024T220000.000000Z",
        "20261025T003000.000000Z",
        "20261025T013000.000000Z",
        "20261025T225959.000000Z",
        "20261025T230000.000000Z",
    ]);
    let reasons = |local: &str| {
        let role = format!("{local}:{}", series.store.display());
        let mut child = this_test_again(&std::env::current_exe().unwrap(), THIS, &role);
        // Central Europe, spelled out, so that no database of time zones is needed.
        let said = run(child.env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3"));
        let said = String::from_utf8(said).unwrap();
        said.lines().filter_map(|line| Some(line.split_once("reason: ")?.1.to_string())).collect::<Vec<_>>()
    };
    const NOT: &str = "no rule keeps it";
    assert_eq!(
        reasons("local"),
        [
            "daily 2026-10-24",
            NOT,
            NOT,
            NOT,
            "daily 2026-10-25",
            "daily 2026-10-26",
            "hourly 2026-10-24 23:00+02:00",
            "hourly 2026-10-25 00:00+02:00",
            "hourly 2026-10-25 02:00+02:00",
            "hourly 2026-10-25 02:00+01:00",
            "hourly 2026-10-25 23:00+01:00",
            "hourly 2026-10-26 00:00+01:00",
        ]
    );
    assert_eq!(
        reasons("utc"),
        [
            NOT,
            "daily 2026-10-24",
            NOT,
            NOT,
            NOT,
            "daily 2026-10-25",
            "hourly 2026-10-24 21:00Z",
            "hourly 2026-10-24 22:00Z",
            "hourly 2026-10-25 00:00Z",
            "hourly 2026-10-25 01:00Z",
            "hourly 2026-10-25 22:00Z",
            "hourly 2026-10-25 23:00Z",
        ]
    );
}

#[test]
fn snapshots_within_a_time_before_the_newest_stay() {
    let series = made_at(&[
        "20200101T000000.000000Z",
        "20200101T235959.000000Z",
        "20200102T000000.000000Z",
        "20200109T000000.000000Z",
    ]);
    let week = Keep { within: 7 * 86_400, ..Keep::NONE };
    let report = series.prune(&series.keeping(week)).whole();
    let no = (false, "no rule keeps it".to_string());
    let yes = (true, "within 604800 s".to_string());
    assert_eq!(kept(&report), [no.clone(), no, yes.clone(), yes]);
    let again = series.prune(&series.keeping(week)).whole();
    assert!(again.files.is_empty() && again.snapshots.len() == 2, "{again:?}");
}

/// A full and four increments.
fn five() -> Series {
    let mut series = Series::new();
    for round in 0..5 {
        series.write("grows", noise(1, 20_000 + 500 * round));
        series.write("changes", noise(round as u64, 4000));
        series.snapshot();
    }
    series
}

fn removing(series: &Series, stamps: &[Stamp]) -> Options {
    Options { removed: stamps.to_vec(), ..series.options.clone() }
}

#[test]
fn several_named_snapshots_go_at_once_and_the_others_restore() {
    for bits in 0..31u32 {
        if bits.count_ones() < 2 {
            continue;
        }
        let series = five();
        let goes = |at: usize| bits >> at & 1 == 1;
        let mut stamps: Vec<_> = (0..5).filter(|at| goes(*at)).map(|at| series.points[at].stamp).collect();
        // A stamp may be given twice, and one of the stamps by the older option.
        stamps.push(stamps[0]);
        let select = Select::Exactly(stamps.remove(0));
        let options = Options { select, ..removing(&series, &stamps) };
        let report = series.prune(&options).whole();
        let expected: Vec<_> = (0..5)
            .map(|at| (!goes(at), if goes(at) { "selected" } else { "not selected" }.to_string()))
            .collect();
        assert_eq!(kept(&report), expected, "{bits:b}");
        for (at, point) in series.points.iter().enumerate() {
            let dest = series.beside("restored");
            let restored = series.restore(Select::Exactly(point.stamp), &dest);
            if goes(at) {
                restored.refused(Kind::NotFound);
            } else {
                restored.whole();
                point.kept.assert_is(&dest);
                series::remove(&dest);
            }
        }
        assert!(!series.verify(&series.options).ok().is_partial());
    }
}

#[test]
fn nothing_is_removed_if_one_of_the_named_snapshots_does_not_exist() {
    let series = five();
    let before = around(&series);
    let (first, absent) = (series.points[0].stamp, Stamp::parse("20200101T000000.000000Z").unwrap());
    for stamps in [vec![first, absent], vec![absent, first]] {
        series.prune(&removing(&series, &stamps)).refused(Kind::NotFound);
    }
    let all: Vec<_> = series.points.iter().map(|point| point.stamp).collect();
    series.prune(&removing(&series, &all)).refused(Kind::InvalidArg);
    let rules = Options { keep: Keep { last: 1, ..Keep::NONE }, ..removing(&series, &all[..1]) };
    series.prune(&rules).refused(Kind::InvalidArg);
    let both = Options { select: Select::AsOf(absent.to_time()), ..removing(&series, &all[..1]) };
    series.prune(&both).refused(Kind::NotFound);
    let dry = Options { dry_run: true, ..removing(&series, &all[..3]) };
    assert_eq!(series.prune(&dry).whole().snapshots.len(), 5);
    assert_eq!(around(&series), before);
}

#[test]
fn keys_are_those_with_snapshots_that_were_not_removed() {
    let series = layered_chain();
    let count = series.points.len() as u64;
    let keys = || {
        let mut found = None;
        let outcome = series.silently(&series.options, |store, _| {
            found = Some(ibt::inspect::keys(store)?);
            Ok(())
        });
        outcome.result.map(|()| found.unwrap().into_iter().collect::<Vec<_>>()).map_err(|error| error.kind)
    };
    assert_eq!(keys().unwrap(), [(KEY.to_string(), count)]);
    // The state of the removed snapshot stays as a layer.
    let layer = series.layers_of(series.points.last().unwrap().stamp)[0];
    series.prune(&removing(&series, &[layer])).whole();
    assert!(series.stored().keys().any(|name| name.contains(".retired.")), "{:?}", series.stored());
    let other = Options { key: Some("other.key".into()), ..series.options.clone() };
    series.silently(&other, |store, job| ibt::backup::full(store, &series.source, job)).whole();
    std::fs::write(series.store.join("third.full.20261122T220530.123456Z.tar.zst"), "no state").unwrap();
    std::fs::write(series.store.join("foreign"), "x").unwrap();
    // A key of which only a removed snapshot is left, as after a prune that was killed.
    for name in
        ["fourth.state.20261122T220530.123456Z.json.zst", "fourth.retired.20261122T220530.123456Z.json"]
    {
        std::fs::write(series.store.join(name), "x").unwrap();
    }
    assert_eq!(keys().unwrap(), [("other.key".to_string(), 1), (KEY.to_string(), count - 1)]);
    std::fs::remove_dir_all(&series.store).unwrap();
    assert_eq!(keys(), Err(Kind::NotFound));
}

/// A damaged state is removed if it is named, also among others.
#[test]
fn a_damaged_state_may_be_one_of_several() {
    let series = five();
    let damaged = series.newest("state");
    std::fs::write(&damaged, "nothing").unwrap();
    let stamps: Vec<_> = [1, 4].map(|at: usize| series.points[at].stamp).to_vec();
    series.prune(&removing(&series, &stamps)).whole();
    let left: BTreeSet<_> = series.list().whole().snapshots.iter().map(|s| s.stamp).collect();
    assert_eq!(left, [0, 2, 3].map(|at: usize| series.points[at].stamp).into());
}
