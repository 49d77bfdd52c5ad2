//! Prunes of layered states that fail, are cancelled or are killed at any call of the store.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ibt::entry::Hash;
use ibt::error::{Error, Kind};
use ibt::job::{Action, Cancel, Keep, Options, Report, Select};
use ibt::stamp::Stamp;

use crate::support::layered::{change, layered};
use crate::support::series::{Fork, KEY};
use crate::support::*;

const ONLY_NEWEST: Keep = Keep { last: 1, ..Keep::NONE };
const ALL: Keep = Keep { last: 99, ..ONLY_NEWEST };

/// How a call of the store is disturbed.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The call fails.
    Once,
    /// The call does its work and reports a failure.
    Belied,
    /// This call and all later ones fail, as after a kill.
    Killed,
    Cancelled,
}

const ALL_FAULTS: [Fault; 4] = [Fault::Once, Fault::Belied, Fault::Killed, Fault::Cancelled];

/// Prunes, and disturbs the call with number `at`. Returns also the functions that were called.
fn disturbed(
    series: &Series,
    options: &Options,
    fault: Option<(Fault, usize)>,
) -> (Outcome, Vec<&'static str>) {
    let calls = Rc::new(Cell::new(Vec::new()));
    let (seen, flag) = (Rc::clone(&calls), Cancel::default());
    let request = flag.clone();
    let mut store = EachCall::new(series, move |name| {
        let mut all = seen.take();
        let number = all.len();
        all.push(name);
        seen.set(all);
        match fault {
            Some((Fault::Once, at)) if number == at => Fate::Fails,
            Some((Fault::Belied, at)) if number == at => Fate::Belied,
            Some((Fault::Killed, at)) if number >= at => Fate::Fails,
            Some((Fault::Cancelled, at)) if number == at => {
                request.request();
                Fate::Goes
            }
            _ => Fate::Goes,
        }
    });
    let outcome = store.run(options, &flag, |store, job| ibt::retain::prune(store, KEY, job));
    (outcome, calls.take())
}

fn removed(report: &Report) -> BTreeSet<Stamp> {
    let gone = report.snapshots.iter().filter(|snapshot| snapshot.action == Action::Removed);
    gone.map(|snapshot| snapshot.stamp).collect()
}

fn names(series: &Series) -> BTreeSet<String> {
    series.stored().into_keys().collect()
}

/// Prunes forks of `series`, with each fault at each call that changes or lists the store, and at some reads. After
/// each of these prunes, every listed snapshot is as before, and a second prune leads to the same store as one complete
/// prune.
fn disturb_everywhere(series: &Series, options: &Options, faults: &[Fault]) {
    let before = series.sound();
    let complete = series.fork().twin;
    let (outcome, calls) = disturbed(&complete, &in_fork(&complete, options), None);
    let goes = removed(&outcome.whole());
    assert!(!goes.is_empty());
    sweep(&complete);
    let (expected, end) = (complete.sound(), names(&complete));
    let worth = |(number, name): &(usize, &&'static str)| **name != "read" || number.is_multiple_of(23);
    let chosen: Vec<usize> = calls.iter().enumerate().filter(worth).map(|(number, _)| number).collect();
    for &fault in faults {
        for &at in &chosen {
            let fork = series.fork();
            let what = format!("{fault:?} at call {at}, {}", calls[at]);
            let (outcome, _) = disturbed(&fork.twin, &in_fork(&fork.twin, options), Some((fault, at)));
            assert_cut_short(&fork, &outcome, &before, &goes, &what);
            match fork.twin.prune(&in_fork(&fork.twin, options)).result {
                Ok(()) => {}
                // The first prune has removed the selected snapshot.
                Err(error) => assert_eq!(error.kind, Kind::NotFound, "{what}: {error}"),
            }
            sweep(&fork.twin);
            assert_eq!(names(&fork.twin), end, "{what}");
            assert_eq!(fork.twin.sound(), expected, "{what}");
        }
    }
}

/// Removes files that no snapshot needs. A prune by stamp leaves them if it finds that its snapshot is already gone.
fn sweep(series: &Series) {
    series.prune(&series.keeping(ALL)).whole();
}

fn in_fork(twin: &Series, options: &Options) -> Options {
    Options { cache_dir: twin.options.cache_dir.clone(), ..options.clone() }
}

#[track_caller]
fn assert_cut_short(
    fork: &Fork,
    outcome: &Outcome,
    before: &BTreeMap<Stamp, Hash>,
    goes: &BTreeSet<Stamp>,
    what: &str,
) {
    if let Err(Error { kind, .. }) = &outcome.result {
        assert!(
            matches!(kind, Kind::Io | Kind::Cancelled | Kind::Busy | Kind::InvalidArg),
            "{what}: {outcome:?}"
        );
    }
    let left = fork.twin.sound();
    if outcome.result.as_ref().is_err_and(|error| error.kind == Kind::InvalidArg) {
        // The other snapshots could not be read. The prune would have removed the last readable one, so it was refused.
        assert_eq!(&left, before, "{what}");
    }
    let told = removed(&outcome.report);
    assert!(told.is_subset(goes), "{what}");
    for (stamp, digest) in before {
        match left.get(stamp) {
            Some(found) => assert!(found == digest && !told.contains(stamp), "{what}: {stamp}"),
            None => assert!(goes.contains(stamp), "{what}: {stamp} is gone"),
        }
    }
    assert!(left.keys().all(|stamp| before.contains_key(stamp)), "{what}");
    let there = names(&fork.twin);
    assert!(outcome.report.files.iter().all(|file| !there.contains(&file.name)), "{what}");
}

/// The store has the files of the newest snapshot and nothing else.
#[track_caller]
fn assert_only_newest(series: &Series) {
    let stamp = series.points.last().unwrap().stamp.to_string();
    assert!(names(series).iter().all(|name| name.contains(&stamp)), "{:?}", names(series));
}

#[test]
fn a_prune_of_a_whole_rotation_cut_short_anywhere_can_be_done_again() {
    let mut series = layered(&[24, 8, 2]);
    series.assert_layered();
    change(&series, 1);
    let report = series.full().whole();
    series.keep(&report);
    disturb_everywhere(&series, &series.keeping(ONLY_NEWEST), &ALL_FAULTS);
    // Only the new full is left.
    series.prune(&series.keeping(ONLY_NEWEST)).whole();
    series.points.drain(..4);
    series.assert_every_point_restores();
    assert_only_newest(&series);
}

/// The states of removed snapshots stay as long as a remaining snapshot has them as layers.
#[test]
fn removed_layers_stay_marked_until_nothing_needs_them() {
    let mut series = layered(&[30, 10, 3, 1]);
    series.assert_layered();
    let marks = |series: &Series| names(series).into_iter().filter(|name| name.contains(".retired.")).count();
    for (round, index) in [1, 1, 1].into_iter().enumerate() {
        let stamp = series.points[index].stamp;
        let options = series.selecting(Select::Exactly(stamp));
        disturb_everywhere(&series, &options, &[Fault::Killed, Fault::Belied]);
        let report = series.prune(&options).whole();
        assert_eq!(removed(&report), BTreeSet::from([stamp]));
        assert!(report.files.iter().all(|file| file.kind != "state"), "a layer is gone: {:?}", report.files);
        series.points.remove(index);
        assert_eq!(marks(&series), round + 1);
        series.assert_every_point_restores();
    }
    // An increment still builds on the marked layers.
    change(&series, 1);
    series.snapshot();
    series.assert_every_point_restores();
    let report = series.full().whole();
    series.keep(&report);
    disturb_everywhere(&series, &series.keeping(ONLY_NEWEST), &[Fault::Killed]);
    series.prune(&series.keeping(ONLY_NEWEST)).whole();
    series.points.drain(..3);
    series.assert_every_point_restores();
    assert_only_newest(&series);
}

/// The state below all layers cannot be read now. A prune by stamp removes the selected snapshot and nothing else.
#[test]
fn a_stamp_can_be_pruned_while_the_state_below_all_layers_cannot_be_read() {
    let series = layered(&[24, 8, 2]);
    series.assert_layered();
    let before = series.sound();
    let base = series.points[0].stamp;
    for index in 1..4 {
        let (fork, stamp) = (series.fork(), series.points[index].stamp);
        let (twin, stored) = (&fork.twin, series.stored());
        let error = Error::new(Kind::Io, "read", "the disk has a bad sector");
        let unread = format!(".state.{base}.");
        let report = twin
            .silently(&twin.selecting(Select::Exactly(stamp)), |store, job| {
                let mut store = failing::Failing::new(store, &unread, error);
                ibt::retain::prune(&mut store, KEY, job)
            })
            .partial();
        // Every file that may be needed stays, and the mark of the removed snapshot is the only new file.
        let mark = format!("{KEY}.retired.{stamp}.json");
        let is_state = |name: &String| name.contains(&format!(".state.{stamp}."));
        let now = names(twin);
        assert!(stored.keys().filter(|name| !is_state(name)).all(|name| now.contains(name)), "{now:?}");
        assert!(now.iter().all(|name| stored.contains_key(name) || *name == mark), "{now:?}");
        assert!(report.files.iter().all(|file| !now.contains(&file.name)));
        let mut expected = before.clone();
        expected.remove(&stamp);
        assert_eq!(twin.sound(), expected);
        for other in (0..4).filter(|other| *other != index) {
            fork.assert_point_restores(other);
        }
    }
}
