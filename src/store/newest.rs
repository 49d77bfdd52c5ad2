//! Finds the newest snapshot of a key. Reads the state from the cache if the copy there equals the store's file.

use super::{Catalog, KeyStates, LostLayer, StateFile, Store, StoredFile};
use crate::error::{Error, Kind, Result};
use crate::format::{StateReader, StateSummary};
use crate::job::{Job, Problem, ProblemKind, Select};
use crate::pool::Pool;
use crate::stamp::{Stamp, Time};
use crate::text::encode_name;

/// The most seconds by which a clock is expected to be wrong. A snapshot that verifies can prove a later time.
const FAR_SECS: i64 = 366 * 86_400;

/// The last stamp that is not far in the future: a year after the later of `now` and `newest`, a snapshot that
/// verifies. A file that does not verify and has a later stamp was never a snapshot.
pub fn far_after(now: Time, newest: Option<Stamp>) -> Stamp {
    let known = newest.map_or(now, |newest| newest.to_time().max(now));
    Stamp::from_time(known.plus_secs(FAR_SECS))
}

/// The state that readers take as the newest: the state of `catalog` with the latest stamp. Damaged states far in the
/// future are skipped and reported as left-overs. Any other newest state is returned, even if it is damaged, because
/// the caller opens it and gets the error. If a state far in the future verifies, the clock is wrong and no state is
/// skipped. `all` has all snapshots of the key, also those that `catalog` leaves out because of their labels: they too
/// can prove that the clock is wrong. `Format` if a snapshot that only a newer version can read is later.
pub fn newest_file(
    store: &mut dyn Store,
    all: &Catalog,
    catalog: &Catalog,
    job: &mut Job,
) -> Result<StateFile> {
    let newest = catalog.select(store, Select::Newest)?.clone();
    let now = Time::now();
    if newest.stamp <= far_after(now, None) {
        return Ok(newest);
    }
    let mut passed = Vec::new();
    for state in all.states().rev() {
        let may_be_returned = catalog.states().any(|listed| listed.stamp == state.stamp);
        let mut stored = StoredFile { store: &mut *store, name: &state.name };
        match StateSummary::verify(&mut stored, &state.name, state.size, state.compressed) {
            Ok(_)
                if state.stamp <= far_after(now, None)
                    && passed.iter().all(|(far, _)| *far > far_after(now, Some(state.stamp))) =>
            {
                if !may_be_returned {
                    continue;
                }
                catalog.check_newest(Some(state.stamp))?;
                for (stamp, error) in passed {
                    let problem = Problem::of_whole(ProblemKind::Leftover, &error);
                    job.problem(Problem { snapshot: Some(stamp), ..problem }, error)?;
                }
                return Ok(state.clone());
            }
            Err(error) if error.proves_damage() && may_be_returned => {
                catalog.check_damaged(state.stamp)?;
                passed.push((state.stamp, error));
            }
            Err(error) if error.proves_damage() => {}
            _ => break,
        }
    }
    Ok(newest)
}

/// The newest snapshot that an operation can use.
pub enum Newest {
    /// The snapshot, and the layers of it that only the cache still has.
    Snapshot(StateReader, Vec<LostLayer>),
    /// The key has no snapshot.
    None,
    /// The key has states, and all are damaged: the error of the newest one.
    AllDamaged(Error),
}

impl Newest {
    /// The snapshot and its lost layers. Without an undamaged snapshot, the error `cannot OP: ...` about `key`:
    /// `NotFound`, or the kind of the damage.
    pub fn needed(self, op: &str, key: &str) -> Result<(StateReader, Vec<LostLayer>)> {
        match self {
            Newest::Snapshot(state, lost) => Ok((state, lost)),
            Newest::None => Err(Error::new(Kind::NotFound, op, format!("key '{key}' has no snapshot"))),
            Newest::AllDamaged(error) => Err(all_damaged(error, op, key)),
        }
    }
}

/// The error of an operation that needs an undamaged snapshot, where the states of all snapshots are damaged. `damage`
/// is the error of the newest one.
pub fn all_damaged(damage: Error, op: &str, key: &str) -> Error {
    let file = encode_name(damage.path.as_deref().unwrap_or_default());
    let detail = format!("no snapshot of key '{key}' is undamaged; the newest, {file}: {}", damage.detail);
    Error { op: op.into(), detail, ..damage }
}

/// The newest snapshot of the key that verifies. Damaged states are listed as problems and skipped. A state that cannot
/// be read now, or that only a newer version can read, is an error, because no older state may take its place.
/// `meanwhile` is called again and again while a state is read.
pub fn newest(
    store: &mut dyn Store,
    catalog: &Catalog,
    pool: &Pool,
    job: &mut Job,
    meanwhile: &mut dyn FnMut(),
) -> Result<Newest> {
    let mut damage = None;
    let cache_root = job.options.cache_dir.clone();
    for state in catalog.states().rev() {
        let mut files = KeyStates::cached(store, catalog, cache_root.as_deref()).beside(&mut *meanwhile);
        if job.options.heal {
            files = files.from_store();
        }
        match files.open(state, pool, None) {
            Ok(reader) => {
                catalog.check_newest(Some(state.stamp))?;
                return Ok(Newest::Snapshot(reader, files.into_lost()));
            }
            // A state of a newer version is not damaged, and no increment may be based on an older state.
            Err(error) if error.proves_loss() => {
                let kind = ProblemKind::of_stored(&error);
                let problem = Problem::of_whole(kind, &error).in_file(&state.name);
                damage.get_or_insert_with(|| error.clone());
                job.problem(Problem { snapshot: Some(state.stamp), ..problem }, error)?;
                catalog.check_damaged(state.stamp)?;
            }
            Err(error) => return Err(unread(error, state)),
        }
    }
    catalog.check_newest(None)?;
    Ok(damage.map_or(Newest::None, Newest::AllDamaged))
}

/// Adds advice to the error of the newest state, in case the state can never be read again.
fn unread(error: Error, state: &StateFile) -> Error {
    if error.kind != Kind::Io || error.is_own {
        return error;
    }
    let detail = format!(
        "{}; it is the newest snapshot, and nothing older takes its place (if it is lost for good: prune {})",
        error.detail, state.stamp
    );
    Error { detail, ..error }
}
