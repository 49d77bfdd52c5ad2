//! A prune and a backup of one key at the same time, in a store without locks: one of the two operations runs from
//! beginning to end between two calls of the other operation.

use std::cell::RefCell;
use std::rc::Rc;

use ibt::error::{Error, Kind};
use ibt::job::{Action, Cancel, Job, Keep, Options, Select};
use ibt::stamp::Stamp;
use ibt::store::Store;

use crate::support::layered::layered_chain;
use crate::support::series::KEY;
use crate::support::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Incremental,
    Full,
    Consolidate,
    PruneAllButOne,
    PruneNewest,
    PruneFirst,
}

impl Operation {
    fn is_prune(self) -> bool {
        matches!(self, Operation::PruneAllButOne | Operation::PruneNewest | Operation::PruneFirst)
    }
}

/// An operation on the store of a series that has no locks.
struct Task {
    operation: Operation,
    series: Rc<Series>,
    options: Options,
}

impl Task {
    fn new(operation: Operation, series: &Rc<Series>, stamps: &[Stamp]) -> Task {
        let mut options = Options { allow_unlocked: true, ..series.options.clone() };
        match operation {
            Operation::PruneAllButOne => options.keep = Keep { last: 1, ..Keep::default() },
            Operation::PruneNewest => options.select = Select::Exactly(stamps[stamps.len() - 1]),
            Operation::PruneFirst => options.select = Select::Exactly(stamps[0]),
            _ => {}
        }
        Task { operation, series: Rc::clone(series), options }
    }

    fn act(&self, store: &mut dyn Store, job: &mut Job) -> Result<(), Error> {
        match self.operation {
            Operation::Incremental => ibt::backup::incremental(store, &self.series.source, job),
            Operation::Full => ibt::backup::full(store, &self.series.source, job),
            Operation::Consolidate => ibt::retain::consolidate(store, KEY, job),
            _ => ibt::retain::prune(store, KEY, job),
        }
    }

    fn run(&self, decide: impl FnMut(&'static str) -> Fate + 'static) -> Outcome {
        let mut store = EachCall::new(&self.series, decide);
        store.has_locks = false;
        store.run(&self.options, &Cancel::default(), |store, job| self.act(store, job))
    }
}

/// Runs `inner` whole at each call of `outer` that lists or changes the store, and at some reads.
fn interleave(original: &Series, outer: Operation, inner: Operation) {
    let stamps: Vec<_> = original.points.iter().map(|point| point.stamp).collect();
    let calls = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&calls);
    let rehearsal = Rc::new(original.fork().twin);
    let rehearsed = Task::new(outer, &rehearsal, &stamps).run(move |name| {
        seen.borrow_mut().push(name);
        Fate::Goes
    });
    rehearsed.ok();
    let calls = calls.take();
    let worth = |number: &usize| calls[*number] != "read" || number.is_multiple_of(31);
    for at in (0..calls.len()).filter(worth) {
        let what = format!("{inner:?} at call {at} of {outer:?}, {}", calls[at]);
        let series = Rc::new(original.fork().twin);
        let (outer, inner) = (Task::new(outer, &series, &stamps), Task::new(inner, &series, &stamps));
        let done = Rc::new(RefCell::new(None));
        let (result, operation, mut number) = (Rc::clone(&done), inner.operation, 0);
        let outcome = outer.run(move |_| {
            if number == at {
                *result.borrow_mut() = Some(inner.run(|_| Fate::Goes));
            }
            number += 1;
            Fate::Goes
        });
        let inner = done.take().unwrap_or_else(|| panic!("{what}: not run"));
        let (prune, backup) = if operation.is_prune() { (inner, outcome) } else { (outcome, inner) };
        assert_agree(&series, &prune, &backup, &stamps, &what);
    }
}

/// Asserts that both reports agree with the store, and that every snapshot in the store is whole.
#[track_caller]
fn assert_agree(series: &Series, prune: &Outcome, backup: &Outcome, before: &[Stamp], what: &str) {
    for outcome in [prune, backup] {
        if let Err(error) = &outcome.result {
            // The prune may have removed the layers of all listed states, and archives that a consolidation reads.
            let is_fit = matches!(error.kind, Kind::Busy | Kind::NotFound | Kind::Missing);
            assert!(is_fit, "{what}: {error} ({:?})", error.kind);
        }
    }
    let listed = series.list();
    assert!(listed.result.is_ok(), "{what}: no snapshot is left: {prune:#?} {backup:#?}");
    assert!(!listed.report.is_partial(), "{what}: {:#?}", listed.report.problems);
    let verified = series.verify(&series.options);
    assert!(
        verified.result.is_ok() && !verified.report.is_partial(),
        "{what}: {:#?}",
        verified.report.problems
    );
    let left: Vec<_> = listed.report.snapshots.iter().map(|snapshot| snapshot.stamp).collect();
    for snapshot in &prune.report.snapshots {
        // The report of a failed prune is only complete about removed snapshots.
        match snapshot.action {
            Action::Removed => {
                assert!(!left.contains(&snapshot.stamp), "{what}: {} is there", snapshot.stamp)
            }
            _ if prune.result.is_err() => {}
            _ => assert!(left.contains(&snapshot.stamp), "{what}: {} is gone: {backup:?}", snapshot.stamp),
        }
    }
    if backup.result.is_ok() {
        let made = backup.report.snapshot.unwrap();
        assert!(left.contains(&made), "{what}: the snapshot that was made is gone");
        // A consolidation makes the tree of the newest snapshot, not of the source.
        if what.contains("Consolidate") {
            series.assert_newest_is_whole();
        } else {
            series.assert_newest_is_the_source();
        }
    } else {
        assert!(left.iter().all(|stamp| before.contains(stamp)), "{what}: {backup:?}");
    }
    // The next backup works.
    let next = series.incremental();
    assert!(next.result.is_ok(), "{what}: {next:?}");
}

#[test]
fn a_backup_at_any_call_of_a_prune_leaves_whole_snapshots() {
    let series = layered_chain();
    for prune in [Operation::PruneAllButOne, Operation::PruneNewest, Operation::PruneFirst] {
        interleave(&series, prune, Operation::Incremental);
    }
    interleave(&series, Operation::PruneAllButOne, Operation::Full);
}

#[test]
fn a_prune_at_any_call_of_an_increment_leaves_whole_snapshots() {
    let series = layered_chain();
    for prune in [Operation::PruneAllButOne, Operation::PruneNewest, Operation::PruneFirst] {
        interleave(&series, Operation::Incremental, prune);
    }
}

#[test]
fn a_prune_at_any_call_of_a_full_or_a_consolidation_leaves_whole_snapshots() {
    let series = layered_chain();
    interleave(&series, Operation::Full, Operation::PruneAllButOne);
    interleave(&series, Operation::Full, Operation::PruneNewest);
    interleave(&series, Operation::Consolidate, Operation::PruneAllButOne);
    interleave(&series, Operation::Consolidate, Operation::PruneNewest);
}
