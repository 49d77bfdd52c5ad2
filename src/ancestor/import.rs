//! Makes a snapshot of libibt of each point of the ancestor.

use std::sync::Arc;

use super::apply::{Rebuild, check_archives};
use super::chain::{AncestorChain, AncestorPoint};
use super::state::PointState;
use super::tree::PointTree;
use crate::backup;
use crate::entry::Path;
use crate::error::{Error, Kind, Result};
use crate::format::StateSummary;
use crate::format::names::{Name, check_key};
use crate::job::{Detect, Job, Level, Options, Problem, ProblemKind, Report, ReportedSnapshot, Select};
use crate::stamp::{Stamp, Time};
use crate::store::report::describe;
use crate::store::{Catalog, Need, Store, StoredFile, require_existing};

const OP: &str = "import the backups of";

/// Makes a snapshot in `store` of each point of the ancestor's `key` in `from`, or in `store` itself if `from` is
/// `None`. A point with a full archive becomes a full snapshot, any other point an increment. Each has the point's
/// moment as stamp and date, and the directory in the point's state as its source. Points whose stamps the new key has
/// already are not made again, so an import that was interrupted can be repeated.
///
/// All states are read, and all archives must be listed, before the first snapshot is made. An error later leaves the
/// snapshots made so far; each of them is whole.
///
/// Errors: `NotFound` (`from` has no backup of this key), `Corrupt` and `Missing` (a file of the ancestor; the error
/// names it), `Mismatch` (the new key has a later snapshot, or belongs to another source), and those of a backup.
pub fn import(store: &mut dyn Store, from: Option<&mut dyn Store>, key: &str, job: &mut Job) -> Result<()> {
    store.require(Need::Write, "import backups")?;
    let mut stores = Stores { store, from };
    require_existing(stores.from(), Need::Read, "import backups")?;
    job.report.date = Time::now();
    let new_key = check_key(job.options.key.as_deref().unwrap_or(key).as_bytes())?;
    job.report.key = Some(new_key.clone());
    let chain = AncestorChain::read(stores.from(), key)?;
    if chain.points.is_empty() {
        let detail = "the storage has no backup of incremental-backups-tools with this key";
        return Err(Error::new(Kind::NotFound, OP, detail).at(key));
    }
    check_states(&chain, stores.from(), job)?;
    let catalog = Catalog::read(stores.store, &new_key)?;
    let Some(first) = first_to_make(&chain, &catalog, &new_key)? else {
        job.log(Level::Info, &format!("'{new_key}' has all {} backups already", chain.points.len()));
        return Ok(());
    };
    let options = backup_options(job.options, new_key);
    let mut tree = PointTree::new()?;
    let mut before: Option<PointState> = None;
    let begin = first + 1 - chain.needed(first).len();
    for (number, point) in chain.points.iter().enumerate().skip(begin) {
        let state = PointState::read(stores.from(), &point.state, job)?;
        let mut rebuild = Rebuild { store: stores.from(), job, tree: &mut tree };
        rebuild.apply(point, &state, before.as_ref())?;
        if number >= first {
            report_changes(&mut tree, point, job)?;
            make(stores.store, &tree, point, &state, &options, job)?;
        }
        before = Some(state);
    }
    Ok(())
}

/// The store of the new snapshots, and that of the ancestor's files if it is another one.
struct Stores<'a, 'b> {
    store: &'a mut dyn Store,
    from: Option<&'b mut dyn Store>,
}

impl Stores<'_, '_> {
    fn from(&mut self) -> &mut dyn Store {
        match &mut self.from {
            Some(from) => &mut **from,
            None => self.store,
        }
    }
}

/// Reads each state, and checks that the archives are there that its changes need, and that the chain has one source.
fn check_states(chain: &AncestorChain, store: &mut dyn Store, job: &mut Job) -> Result<()> {
    let mut before: Option<PointState> = None;
    for point in &chain.points {
        let state = PointState::read(store, &point.state, job)?;
        check_archives(point, before.as_ref(), &state)?;
        let is_named = job.options.source_name.is_some() || job.options.allow_source_change;
        if let Some(before) = before.filter(|before| before.directory != state.directory && !is_named) {
            let path = |directory: &[u8]| crate::text::encode_name(directory).into_owned();
            let detail = format!(
                "it is a backup of {}, and the one before is of {}: name the source, or allow the change",
                path(&state.directory),
                path(&before.directory)
            );
            return Err(Error::new(Kind::Mismatch, "use", detail).at(&point.state.name));
        }
        before = Some(state);
    }
    Ok(())
}

/// The number of the first point that `catalog`, the new key, does not have. `Mismatch` if the key has a snapshot that
/// is later than such a point: snapshots can only be added after the newest one.
fn first_to_make(chain: &AncestorChain, catalog: &Catalog, key: &str) -> Result<Option<usize>> {
    let stamps = catalog.stamps();
    let is_made = |point: &AncestorPoint| catalog.states().any(|state| state.stamp == point.stamp);
    let Some(first) = chain.points.iter().position(|point| !is_made(point)) else { return Ok(None) };
    let point = &chain.points[first];
    let Some(last) = stamps.last().filter(|last| **last >= point.stamp) else { return Ok(Some(first)) };
    let is_later = |file: &&(Name, u64)| file.0.stamp >= point.stamp;
    let has_later_state = catalog.states().any(|state| state.stamp >= point.stamp);
    let detail = match catalog.files().iter().find(is_later) {
        // For example an import into a storage of functions that was killed.
        Some((left, _)) if !has_later_state => format!(
            "{left} is not earlier, and has no state, so a run that did not end may have left it: remove such files \
             with a prune (if key '{key}' has no snapshot, with allow_empty), or import under another key"
        ),
        _ => format!(
            "key '{key}' has files of {last}, and this backup is not later, so it cannot follow: import it under \
             another key"
        ),
    };
    Err(Error::new(Kind::Mismatch, OP, detail).at(&point.state.name))
}

/// The options of the backups: those of the call, without anything that leaves out entries or selects snapshots. They
/// publish no partial states: an import that was interrupted begins the snapshot again, with the same stamp.
pub fn backup_options(given: &Options, key: String) -> Options {
    Options {
        key: Some(key),
        excludes: Vec::new(),
        exclude_file: Vec::new(),
        exclude_if_present: Vec::new(),
        exclude_larger_than: None,
        exclude_nodump: false,
        source_paths: Arc::default(),
        select: Select::Newest,
        one_file_system: false,
        skip_cache_dirs: false,
        skip_unchanged: false,
        detect: Detect::Metadata,
        heal: false,
        checkpoint: 0,
        protected: Vec::new(),
        allow_empty: true,
        dry_run: false,
        expected_digest: None,
        ..given.clone()
    }
}

/// Lists the entries that the tree of a point cannot have as the archives describe them.
pub fn report_changes(tree: &mut PointTree, point: &AncestorPoint, job: &mut Job) -> Result<()> {
    let mut report = |path: &Path, error: Error| {
        let problem = Problem::new(ProblemKind::Metadata, path.as_bytes(), &error);
        job.problem(Problem { snapshot: Some(point.stamp), ..problem }, error)
    };
    for (path, error) in std::mem::take(&mut tree.left_out) {
        report(&path, Error { is_own: false, ..error })?;
    }
    for path in std::mem::take(&mut tree.opened) {
        let detail = "its owner may not read it; the snapshot has it with this permission: import as root to avoid that";
        report(&path, Error::new(Kind::Io, "keep the mode of", detail).at(path.as_bytes()))?;
    }
    match std::mem::take(&mut tree.foreign_owners) {
        0 => Ok(()),
        number => {
            let detail =
                format!("{number} entries are recorded with the owner of this process: import as root");
            report(&Path::root(), Error::new(Kind::Io, "keep the owners of entries in", detail).at(b""))
        }
    }
}

/// Makes the snapshot of one point.
fn make(
    store: &mut dyn Store,
    tree: &PointTree,
    point: &AncestorPoint,
    state: &PointState,
    options: &Options,
    job: &mut Job,
) -> Result<()> {
    let options = Options {
        made_at: Some(point.stamp.to_time()),
        source_name: options.source_name.clone().or_else(|| Some(state.directory.clone())),
        ..options.clone()
    };
    let root = tree.root_path();
    let (made, report) = job.part(&options, |part| match point.full {
        Some(_) => backup::full(store, &root, part),
        None => backup::incremental(store, &root, part),
    });
    add_report(&mut job.report, report, point);
    made.map_err(|error| {
        let detail = format!("{} (while importing {})", error.detail, point.state.name);
        Error { detail, ..error }
    })?;
    let snapshot = describe_new(store, options.key.as_deref().unwrap_or_default(), point.stamp)?;
    job.report.snapshots.push(snapshot);
    Ok(())
}

/// Adds the report of one snapshot to that of the import.
fn add_report(whole: &mut Report, mut part: Report, point: &AncestorPoint) {
    (whole.snapshot, whole.digest) = (part.snapshot.or(whole.snapshot), part.digest.or(whole.digest));
    whole.files.append(&mut part.files);
    for problem in &mut part.problems {
        problem.snapshot.get_or_insert(point.stamp);
    }
    whole.take_work(part);
}

/// Describes a snapshot that was made a moment ago.
fn describe_new(store: &mut dyn Store, key: &str, stamp: Stamp) -> Result<ReportedSnapshot> {
    let catalog = Catalog::read(store, key)?;
    let file = catalog.select(store, Select::Exactly(stamp))?;
    let mut stored = StoredFile { store, name: &file.name };
    let summary = StateSummary::read(&mut stored, &file.name, file.size, file.compressed)?;
    Ok(ReportedSnapshot { reason: "imported".to_string(), ..describe(&summary) })
}
