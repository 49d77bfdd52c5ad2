//! Lists the points of the ancestor beside the snapshots of libibt, and selects one.

use std::collections::BTreeSet;

use super::chain::{AncestorChain, AncestorPoint};
use super::state::PointState;
use crate::error::{Error, Kind, Result};
use crate::inspect;
use crate::job::{Action, Counter, Counters, Job, Labels, Problem, ProblemKind, ReportedSnapshot, Select};
use crate::stamp::{Stamp, Time};
use crate::store::{Catalog, Dates, Store, backup_file};

/// Lists the snapshots as [`inspect::list`] does, and the points of the ancestor that are no snapshots yet. A point has
/// no digest and no host. If a point is selected, the report's files are those that a restore of it reads.
///
/// A state that is damaged, and files that make no chain, are problems. Errors: those of [`inspect::list`].
pub fn list(store: &mut dyn Store, key: Option<&str>, job: &mut Job) -> Result<()> {
    let mut has_ancestor = false;
    let mut note = |catalog: &Catalog| has_ancestor |= catalog.has_ancestor();
    let listed = inspect::list_and_pass(store, key, &mut note, job);
    let selects = job.options.select != Select::Newest || job.options.expected_digest.is_some();
    let found = match (&listed, key) {
        (Ok(()), _) if selects => return listed,
        (Err(error), Some(key)) if error.kind == Kind::NotFound && selects => {
            match selected(store, key, job)? {
                Some((chain, number)) => list_selected(store, &chain, number, job)?,
                None => return listed,
            }
        }
        (Err(error), None) if error.kind == Kind::NotFound => return listed,
        (Err(error), _) if error.kind != Kind::NotFound => return listed,
        _ if !has_ancestor => false,
        (_, Some(key)) => {
            let chain = AncestorChain::read(store, key);
            list_chain(store, key, chain, job)?
        }
        (_, None) => {
            let mut found = false;
            for (key, chain) in AncestorChain::all(store)? {
                found |= list_chain(store, &key, chain, job)?;
            }
            found
        }
    };
    job.report.snapshots.sort_by(|a, b| (&a.key, a.stamp).cmp(&(&b.key, b.stamp)));
    if found { Ok(()) } else { listed }
}

/// Lists one selected point, and the files that it needs.
fn list_selected(store: &mut dyn Store, chain: &AncestorChain, number: usize, job: &mut Job) -> Result<bool> {
    let snapshot = describe(store, chain, number, job)?;
    job.report.snapshots.push(snapshot);
    report_files(store, chain, number, job);
    Ok(true)
}

/// Notes the selected point and the files that it needs in the report.
pub fn report_files(store: &dyn Store, chain: &AncestorChain, number: usize, job: &mut Job) {
    job.report.snapshot = Some(chain.points[number].stamp);
    for (kind, file) in chain.needed(number).iter().flat_map(AncestorPoint::files) {
        job.report.files.push(backup_file(store, file.name.clone(), kind, file.size));
    }
}

/// Lists the points of a key that are no snapshots. True if the key has a point.
fn list_chain(store: &mut dyn Store, key: &str, chain: Result<AncestorChain>, job: &mut Job) -> Result<bool> {
    let chain = match chain {
        Ok(chain) => chain,
        Err(error) if error.is_loss() => {
            report(None, error, job)?;
            return Ok(true);
        }
        Err(error) => return Err(error),
    };
    let listed = job.report.snapshots.iter().filter(|snapshot| snapshot.key == key);
    let listed: BTreeSet<Stamp> = listed.map(|snapshot| snapshot.stamp).collect();
    if !job.options.accepts_labels(&Labels::new()) {
        return Ok(false);
    }
    for number in (0..chain.points.len()).filter(|number| !listed.contains(&chain.points[*number].stamp)) {
        match describe(store, &chain, number, job) {
            Ok(snapshot) => job.report.snapshots.push(snapshot),
            Err(error) if error.is_loss() => report(Some(chain.points[number].stamp), error, job)?,
            Err(error) => return Err(error),
        }
    }
    Ok(!chain.points.is_empty())
}

fn report(snapshot: Option<Stamp>, error: Error, job: &mut Job) -> Result<()> {
    let file = error.path.as_deref().map(|path| String::from_utf8_lossy(path).into_owned());
    let problem = Problem::of_whole(ProblemKind::of_stored(&error), &error);
    job.problem(Problem { snapshot, file, ..problem }, error)
}

fn describe(
    store: &mut dyn Store,
    chain: &AncestorChain,
    number: usize,
    job: &mut Job,
) -> Result<ReportedSnapshot> {
    let point = &chain.points[number];
    job.step(point.state.name.as_bytes())?;
    let state = PointState::read(store, &point.state, job)?;
    let mut counters = Counters::default();
    counters.set(Counter::Entries, 1 + (state.files.len() + state.subdirs.len()) as u64);
    let is_full = point.full.is_some();
    Ok(ReportedSnapshot {
        stamp: point.stamp,
        date: point.stamp,
        key: chain.key.clone(),
        kind: if is_full { "ancestor-full" } else { "ancestor-incremental" },
        digest: None,
        source: state.directory,
        host: String::new(),
        labels: Labels::new(),
        parent: (!is_full).then(|| chain.points[number - 1].stamp),
        counters,
        action: Action::Kept,
        reason: String::new(),
    })
}

/// The point of the ancestor that the options select, as its number in its chain. `None` if they select a snapshot of
/// libibt, or nothing: the ancestor's points are used only where libibt has no snapshot.
pub fn selected(store: &mut dyn Store, key: &str, job: &Job) -> Result<Option<(AncestorChain, usize)>> {
    let options = job.options;
    if options.expected_digest.is_some() || !options.accepts_labels(&Labels::new()) {
        return Ok(None);
    }
    let catalog = Catalog::read(store, key)?;
    let is_own = match options.select {
        Select::Newest => catalog.check_any().is_ok(),
        Select::Exactly(stamp) => catalog.states().any(|state| state.stamp == stamp),
        Select::AsOf(time) => Dates::of(Time::now()).as_of(store, &catalog, time)?.is_some(),
    };
    if is_own {
        return Ok(None);
    }
    let chain = AncestorChain::read(store, key)?;
    let number = chain.points.iter().rposition(|point| match options.select {
        Select::Newest => true,
        Select::Exactly(stamp) => point.stamp == stamp,
        Select::AsOf(time) => point.stamp.to_time() <= time,
    });
    Ok(number.map(|number| (chain, number)))
}
