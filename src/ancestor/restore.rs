//! Restores a point of the ancestor with every option of an ordinary restore.
//!
//! The tree of the point is rebuilt and backed up into a store in the temporary directory. The ordinary restore then
//! reads that store. So filters, policies and reports are those of every other restore.

use super::apply::Rebuild;
use super::chain::AncestorChain;
use super::import::{backup_options, report_changes};
use super::list::{report_files, selected};
use super::state::PointState;
use super::tree::PointTree;
use crate::backup;
use crate::error::{Kind, Result};
use crate::job::{Codec, Job, Options, Select};
use crate::restore;
use crate::store::{DirStore, Store};

/// Restores the selected snapshot as [`restore::restore`] does. If libibt has no such snapshot, but the ancestor has
/// such a point, restores that point.
///
/// Errors: those of [`restore::restore`], and `Corrupt` and `Missing` with the name of a file of the ancestor.
pub fn restore(store: &mut dyn Store, key: &str, dest: &std::path::Path, job: &mut Job) -> Result<()> {
    let error = match restore::restore(store, key, dest, job) {
        Err(error) if error.kind == Kind::NotFound => error,
        result => return result,
    };
    match selected(store, key, job) {
        Ok(Some((chain, number))) => restore_point(store, &chain, number, dest, job),
        // The storage may be absent, too.
        Ok(None) => Err(error),
        Err(other) if other.is_loss() => Err(other),
        Err(_) => Err(error),
    }
}

fn restore_point(
    store: &mut dyn Store,
    chain: &AncestorChain,
    number: usize,
    dest: &std::path::Path,
    job: &mut Job,
) -> Result<()> {
    report_files(store, chain, number, job);
    let mut tree = PointTree::new()?;
    let mut before: Option<PointState> = None;
    for point in chain.needed(number) {
        let state = PointState::read(store, &point.state, job)?;
        Rebuild { store: &mut *store, job, tree: &mut tree }.apply(point, &state, before.as_ref())?;
        before = Some(state);
    }
    let point = &chain.points[number];
    // An ordinary user does not restore owners either.
    tree.foreign_owners = 0;
    report_changes(&mut tree, point, job)?;
    let mut copy = DirStore::open(tree.store_path());
    let cache_dir = Some(Default::default());
    let options = Options {
        made_at: Some(point.stamp.to_time()),
        codec: Codec::Zstd(1),
        part_size: 0,
        cache_dir: cache_dir.clone(),
        ..backup_options(job.options, chain.key.clone())
    };
    let (made, _) = job.part(&options, |part| backup::full(&mut copy, &tree.root_path(), part));
    made?;
    tree.reset()?;
    let mut options = Options { select: Select::Newest, cache_dir, ..job.options.clone() };
    // The restore knows the copy as its store, and must not write over the real one.
    options.protected.extend(store.path_of(""));
    let (restored, report) = job.part(&options, |part| restore::restore(&mut copy, &chain.key, dest, part));
    job.report.digest = report.digest;
    job.report.take_work(report);
    restored
}
