//! Which snapshots a store holds.

use crate::error::{Error, Kind, Result};
use crate::format::names::check_key;
use crate::format::StateSummary;
use crate::job::{Job, Phase, Select};
use crate::pool::Pool;
use crate::restore::open_selected;
use crate::stamp::Time;
use crate::store::{lock, Catalog, LockMode, Need, Store, StoredFile};

use super::states::{describe, is_lost, lost_state};

/// Lists the snapshots of `key`, or of every key, oldest first. With a selector, only the selected snapshot,
/// and as the report's files everything it needs.
///
/// A state that does not verify is no snapshot: it is a problem. Errors: `NotFound` (a key without
/// snapshots, a selector that selects none).
pub fn list(store: &mut dyn Store, key: Option<&str>, job: &mut Job) -> Result<()> {
    store.require(Need::Read, "list snapshots")?;
    job.report.date = Time::now();
    let keys = match key {
        Some(key) => vec![check_key(key.as_bytes())?],
        None => Catalog::keys(store)?,
    };
    let selects = job.options.select != Select::Newest || job.options.expected_digest.is_some();
    if selects && key.is_none() {
        return Err(Error::new(Kind::InvalidArg, "list snapshots", "a selector needs a key"));
    }
    job.phase(Phase::Scan, 0, 0)?;
    let asked_for_all = key.is_none();
    for key in &keys {
        let _lock = lock(store, key, LockMode::Shared, job)?;
        if selects {
            let pool = Pool::start(job.options.threads)?;
            let state = open_selected(store, key, &pool, job)?;
            job.report.snapshots.push(describe(state.summary()));
        } else {
            match list_key(store, key, job) {
                // Whoever asked for no key in particular does not miss one that has gone meanwhile.
                Err(error) if error.kind == Kind::NotFound && asked_for_all => {}
                listed => listed?,
            }
        }
    }
    job.report.key = key.map(str::to_string);
    job.phase_done()
}

fn list_key(store: &mut dyn Store, key: &str, job: &mut Job) -> Result<()> {
    let catalog = Catalog::read(store, key)?;
    catalog.select(store, Select::Newest)?;
    for file in catalog.states() {
        job.step(file.name.as_bytes())?;
        let mut stored = StoredFile { store, name: &file.name };
        match StateSummary::read(&mut stored, &file.name, file.size, file.compressed) {
            Ok(state) => job.report.snapshots.push(describe(&state)),
            Err(error) if is_lost(&error) => {
                job.problem(lost_state(&file.name, file.stamp, &error), error)?
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
