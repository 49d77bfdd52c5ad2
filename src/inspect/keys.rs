//! Lists the keys of a store by the names of its files.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::format::names::{BackupFileKind, parse_any};
use crate::stamp::Stamp;
use crate::store::{Need, Store, require_existing};

/// Returns the keys of a store in ascending order, each with the number of its snapshots. Reads no file, so a damaged
/// state counts as a snapshot, and so does a state in a form that only a newer version can read. Leaves out a key if
/// all its snapshots were removed.
pub fn keys(store: &mut dyn Store) -> Result<BTreeMap<String, u64>> {
    require_existing(store, Need::Read, "list keys")?;
    let mut stamps: BTreeMap<String, BTreeSet<Stamp>> = BTreeMap::new();
    let mut removed = Vec::new();
    for object in store.list("")? {
        match parse_any(&object.name) {
            Some(name) if name.kind == BackupFileKind::State => {
                stamps.entry(name.key).or_default().insert(name.stamp);
            }
            Some(name) if name.kind == BackupFileKind::Retired => removed.push(name),
            _ => {}
        }
    }
    for mark in removed {
        if let Some(stamps) = stamps.get_mut(&mark.key) {
            stamps.remove(&mark.stamp);
        }
    }
    stamps.retain(|_, stamps| !stamps.is_empty());
    Ok(stamps.into_iter().map(|(key, stamps)| (key, stamps.len() as u64)).collect())
}
