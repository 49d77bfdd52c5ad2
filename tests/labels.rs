//! Labels of snapshots: given to backups, listed, kept, used to select snapshots, and refused if they are hostile.

mod support;

use std::collections::BTreeSet;

use ibt::error::Kind;
use ibt::job::{Action, Keep, Labels, Options, Report, Select, WantedLabel};
use ibt::stamp::Stamp;
use support::series::KEY;
use support::*;

fn labels(all: &[(&str, &str)]) -> Labels {
    all.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn wanted(name: &str, value: Option<&str>) -> WantedLabel {
    WantedLabel { name: name.into(), value: value.map(Into::into) }
}

/// A full and increments with these labels. Before each of them a file changes.
fn labelled(each: &[&[(&str, &str)]]) -> Series {
    let mut series = Series::new();
    for (round, given) in each.iter().enumerate() {
        series.write("same", noise(7, 30_000));
        series.write("changes", noise(round as u64, 3000));
        series.options.labels = labels(given);
        series.snapshot();
    }
    series.options.labels.clear();
    series
}

/// The labels of each snapshot, the oldest first.
fn listed(report: &Report) -> Vec<Labels> {
    report.snapshots.iter().map(|snapshot| snapshot.labels.clone()).collect()
}

fn filtered(series: &Series, filters: &[WantedLabel]) -> Options {
    Options { label_filters: filters.to_vec(), ..series.options.clone() }
}

fn list_with(series: &Series, filters: &[WantedLabel]) -> Vec<Stamp> {
    let options = filtered(series, filters);
    let report = series.silently(&options, |store, job| ibt::inspect::list(store, Some(KEY), job)).whole();
    report.snapshots.iter().map(|snapshot| snapshot.stamp).collect()
}

fn kept(report: &Report) -> Vec<(bool, &str)> {
    report.snapshots.iter().map(|s| (s.action == Action::Kept, &*s.reason)).collect()
}

const ODD: &[(&str, &str)] = &[("", "no"), ("a b", "x\n\"layers\":[\t% é"), ("empty", ""), ("é", "\u{7f}")];

#[test]
fn labels_belong_to_one_snapshot_and_survive_a_prune_and_a_consolidation() {
    let series = labelled(&[&[("tag", "first")], &ODD[1..], &[]]);
    let expected = [labels(&[("tag", "first")]), labels(&ODD[1..]), Labels::new()];
    assert_eq!(listed(&series.list().whole()), expected);
    let json: serde_json::Value = serde_json::from_str(&series.list().whole().to_json()).unwrap();
    assert_eq!(json["snapshots"][0]["labels"]["tag"], "first");

    // The state of the first snapshot stays as a layer of the others.
    series.prune(&series.selecting(Select::Exactly(series.points[0].stamp))).whole();
    assert_eq!(listed(&series.list().whole()), expected[1..]);
    series.prune(&series.selecting(Select::Exactly(series.points[2].stamp))).whole();
    let made = series.consolidate().whole();
    assert_eq!(listed(&series.list().whole()), [expected[1].clone(), expected[1].clone()]);

    // Labels are outside of the tree digest.
    assert_eq!(made.digest, series.list().whole().snapshots[0].digest);
}

#[test]
fn a_consolidation_keeps_header_fields_of_a_newer_writer() {
    let series = labelled(&[&[("tag", "x")], &[]]);
    let state = series.newest("state");
    stored::forge(&state, ",\n\"entries\":[", ",\"later\":{\"a\":[1e400]},\n\"entries\":[");
    series.consolidate().whole();
    let text = String::from_utf8(stored::document(&series.newest("state"))).unwrap();
    assert!(text.split("\"entries\":[").next().unwrap().contains(",\"later\":{\"a\":[1e400]},"), "{text}");
}

#[test]
fn filters_select_among_the_snapshots_that_have_all_labels() {
    let series =
        labelled(&[&[("tag", "a"), ("pin", "")], &[("tag", "b")], &[("tag", "a")], &[("other", "a")], &[]]);
    let stamps: Vec<_> = series.points.iter().map(|point| point.stamp).collect();
    let tag_a = wanted("tag", Some("a"));
    assert_eq!(list_with(&series, &[]), stamps);
    assert_eq!(list_with(&series, std::slice::from_ref(&tag_a)), [stamps[0], stamps[2]]);
    assert_eq!(list_with(&series, &[wanted("tag", None)]), stamps[..3]);
    assert_eq!(list_with(&series, &[tag_a.clone(), wanted("pin", None)]), stamps[..1]);
    assert_eq!(list_with(&series, &[wanted("tag", Some(""))]), []);

    let newest = |filters: &[WantedLabel], select| {
        let options = Options { select, ..filtered(&series, filters) };
        let mut found = None;
        let outcome = series.silently(&options, |store, job| {
            found = Some(ibt::inspect::Snapshot::open(store, KEY, job)?.stamp());
            Ok(())
        });
        outcome.result.map(|()| found.unwrap()).map_err(|error| error.kind)
    };
    assert_eq!(newest(&[], Select::Newest), Ok(stamps[4]));
    assert_eq!(newest(std::slice::from_ref(&tag_a), Select::Newest), Ok(stamps[2]));
    let before = Select::AsOf(stamps[1].to_time());
    assert_eq!(newest(std::slice::from_ref(&tag_a), before), Ok(stamps[0]));
    assert_eq!(newest(&[wanted("tag", Some("b"))], Select::Exactly(stamps[1])), Ok(stamps[1]));
    assert_eq!(newest(std::slice::from_ref(&tag_a), Select::Exactly(stamps[1])), Err(Kind::NotFound));
    assert_eq!(newest(&[wanted("none", None)], Select::Newest), Err(Kind::NotFound));

    // Nobody knows the labels of a damaged state, so nothing older takes its place silently.
    let damaged = series.newest("state");
    std::fs::write(&damaged, b"nothing").unwrap();
    let open = newest(std::slice::from_ref(&tag_a), Select::Newest);
    assert!(matches!(open, Err(Kind::Corrupt | Kind::Format)), "{open:?}");
}

#[test]
fn a_label_rule_keeps_every_snapshot_with_the_label() {
    let each: [&[(&str, &str)]; 5] = [&[("pin", "x")], &[("tag", "a")], &[("pin", "y")], &[], &[]];
    for (rules, last, expected) in [
        (
            vec![wanted("pin", None)],
            0,
            [(true, "label pin"), (false, NOT), (true, "label pin"), (false, NOT), (true, "newest")],
        ),
        (
            vec![wanted("pin", Some("y")), wanted("pin", None)],
            0,
            [(true, "label pin"), (false, NOT), (true, "label pin"), (false, NOT), (true, "newest")],
        ),
        (
            vec![wanted("pin", Some("x")), wanted("tag", None)],
            1,
            [(true, "label pin"), (true, "label tag"), (false, NOT), (false, NOT), (true, "last 1")],
        ),
        (
            vec![wanted("none", None)],
            0,
            [(false, NOT), (false, NOT), (false, NOT), (false, NOT), (true, "newest")],
        ),
    ] {
        let series = labelled(&each);
        let keep = Keep { last, ..Keep::default() };
        let options = Options { keep, keep_labels: rules, ..series.options.clone() };
        let report = series.prune(&options).whole();
        assert_eq!(kept(&report), expected);
        let left: BTreeSet<_> = list_with(&series, &[]).into_iter().collect();
        for (point, (kept, _)) in series.points.iter().zip(expected) {
            assert_eq!(left.contains(&point.stamp), kept);
            if kept {
                let dest = series.beside("restored");
                series.restore(Select::Exactly(point.stamp), &dest).whole();
                point.kept.assert_is(&dest);
                series::remove(&dest);
            }
        }
    }
}

const NOT: &str = "no rule keeps it";

#[test]
fn rules_judge_only_the_snapshots_that_pass_the_filters() {
    let series = labelled(&[&[("tag", "a")], &[], &[("tag", "a")], &[("tag", "a")], &[]]);
    let keep = Keep { last: 1, ..Keep::default() };
    let options = Options { keep, ..filtered(&series, &[wanted("tag", Some("a"))]) };
    let report = series.prune(&options).whole();
    let other = (true, "other labels");
    assert_eq!(kept(&report), [(false, NOT), other, (false, NOT), (true, "last 1"), other]);
    let stamps: Vec<_> = [1, 3, 4].map(|at: usize| series.points[at].stamp).to_vec();
    assert_eq!(list_with(&series, &[]), stamps);

    // A filter alone is no rule, so the prune is refused. A selected snapshot that does not pass the filter stays.
    let filter = filtered(&series, &[wanted("tag", Some("a"))]);
    series.prune(&filter).refused(Kind::InvalidArg);
    series.prune(&Options { select: Select::Exactly(stamps[0]), ..filter.clone() }).refused(Kind::NotFound);
    let none = Options { keep, ..filtered(&series, &[wanted("none", None)]) };
    assert_eq!(kept(&series.prune(&none).whole()), [other; 3]);
    assert_eq!(list_with(&series, &[]), stamps);
}

/// An undamaged summary is not enough: the snapshot that a rule keeps for the group must be whole.
#[test]
fn a_damaged_snapshot_does_not_count_as_the_one_to_keep_of_its_labels() {
    let mut series = Series::new();
    for n in 0..400 {
        series.write(&format!("file {n}"), "");
    }
    // Fulls, so that no snapshot is a layer of another one.
    for given in [&[("tag", "a")][..], &[("tag", "a")], &[]] {
        series.options.labels = labels(given);
        let report = series.full().whole();
        series.keep(&report);
    }
    series.options.labels.clear();
    let damaged = series.state_of(series.points[1].stamp);
    let mut bytes = std::fs::read(&damaged).unwrap();
    // The middle of the file is the entries.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let before = series.stored();
    let keep = Keep { last: 1, ..Keep::default() };
    let report = series.prune(&Options { keep, ..filtered(&series, &[wanted("tag", Some("a"))]) }).partial();
    assert!(report.snapshots.iter().all(|snapshot| snapshot.action == Action::Kept), "{report:?}");
    assert!(series.stored() == before);
}

#[test]
fn hostile_labels_are_damage_of_the_named_state() {
    let many: Vec<_> = (0..65).map(|n| format!("\"n{n}\":\"\"")).collect();
    let most: Vec<_> = (0..64).map(|n| format!("\"n{n}\":\"\"")).collect();
    let sized = |len| format!("{{\"a\":\"{}\"}}", "x".repeat(len));
    for (json, fits) in [
        (format!("{{{}}}", most.join(",")), true),
        (format!("{{{}}}", many.join(",")), false),
        (format!("{{\"a\":\"{x}\",\"b\":\"{x}\",\"c\":\"{x}\",\"d\":\"{x}\"}}", x = "x".repeat(4095)), true),
        (
            format!(
                "{{\"a\":\"{x}\",\"b\":\"{x}\",\"c\":\"{x}\",\"d\":\"{x}\",\"e\":\"\"}}",
                x = "x".repeat(4095)
            ),
            false,
        ),
        (sized(4095), true),
        (sized(4096), false),
        ("{\"a\":\"x\",\"\\u0061\":\"y\"}".into(), false),
        ("{\"\":\"x\"}".into(), false),
        ("{\"a=\":\"x\"}".into(), false),
        ("{\"a\\n\":\"x\"}".into(), false),
        ("{\"a\":\"\\u0000\"}".into(), false),
        ("{\"a\":\"\\ud800\"}".into(), false),
        ("{\"a\":1}".into(), false),
        ("{\"a\":null}".into(), false),
        ("{\"a\":{}}".into(), false),
        ("[\"a\"]".into(), false),
        ("\"a\"".into(), false),
        ("null".into(), false),
        ("{}".into(), true),
    ] {
        let series = labelled(&[&[]]);
        let state = series.newest("state");
        stored::forge(&state, ",\n\"entries\":[", &format!(",\n\"labels\":{json},\n\"entries\":["));
        let report = series.list().ok();
        assert_eq!((report.snapshots.len() == 1, report.is_partial()), (fits, !fits), "{json}: {report:?}");
        if !fits {
            let problem = &report.problems[0];
            assert_eq!(problem.status, Kind::Corrupt, "{json}: {problem:?}");
            assert_eq!(problem.file.as_deref(), state.file_name().and_then(|name| name.to_str()));
            series.restore(Select::Newest, &series.beside("restored")).refused(Kind::Corrupt);
        }
    }
    // A label that is not UTF-8.
    let series = labelled(&[&[("a", "x")]]);
    let mut series = Series { options: series.options.clone(), ..Series::new() };
    series.options.codec = ibt::job::Codec::None;
    series.options.labels = labels(&[("a", "x@")]);
    series.full().whole();
    let state = series.newest("state");
    let mut document = stored::document(&state);
    let at = document.iter().position(|&byte| byte == b'@').unwrap();
    document[at] = 0xff;
    std::fs::write(&state, stored::reseal(&document)).unwrap();
    assert_eq!(series.list().partial().problems[0].status, Kind::Corrupt);
}

#[test]
fn a_backup_refuses_labels_that_no_reader_would_accept() {
    let mut series = Series::new();
    series.options.labels = labels(&[("a", &"x".repeat(4096))]);
    series.full().refused(Kind::Limit);
    assert!(series.stored().is_empty(), "{:?}", series.stored());
}
