//! Lists the keys of a store by the names of its files.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::format::AncestorName;
use crate::format::names::{BackupFileKind, Name, parse_any};
use crate::stamp::Stamp;
use crate::store::{Misnamed, Need, StateFile, Store, require_existing};

/// Returns the keys of a store in ascending order, each with the number of its snapshots. Reads no file, so a damaged
/// state counts as a snapshot, and so do a state in a form that only a newer version can read, and a backup of the
/// Python ancestor that is not imported. The exception are states of several keys with the same stamp: they are read,
/// because one may be a copy of another one ([`Misnamed`]). Leaves out a key if all its snapshots were removed.
pub fn keys(store: &mut dyn Store) -> Result<BTreeMap<String, u64>> {
    require_existing(store, Need::Read, "list keys")?;
    let mut stamps: BTreeMap<String, BTreeSet<Stamp>> = BTreeMap::new();
    let mut files: BTreeMap<Stamp, Vec<(Name, u64)>> = BTreeMap::new();
    let mut of_ancestor = Vec::new();
    // The marks of removed snapshots, and copies.
    let mut removed = Vec::new();
    for object in store.list("")? {
        match parse_any(&object.name) {
            Some(name) if name.kind == BackupFileKind::State => {
                stamps.entry(name.key.clone()).or_default().insert(name.stamp);
                if name.to_string() == object.name {
                    files.entry(name.stamp).or_default().push((name, object.size));
                }
            }
            Some(name) if name.kind == BackupFileKind::Retired => removed.push(name),
            Some(_) => {}
            None => of_ancestor.extend(AncestorName::parse(&object.name)),
        }
    }
    let is_of_several = |files: &&Vec<(Name, u64)>| files.iter().any(|(name, _)| name.key != files[0].0.key);
    for (name, size) in files.values().filter(is_of_several).flatten() {
        let found = Misnamed::find(store, &name.key, &StateFile::of(name, *size))?;
        if found.is_some_and(|found| found.is_copy) {
            removed.push(name.clone());
        }
    }
    for mark in removed {
        if let Some(stamps) = stamps.get_mut(&mark.key) {
            stamps.remove(&mark.stamp);
        }
    }
    for name in of_ancestor.into_iter().filter(|name| name.kind == BackupFileKind::State) {
        stamps.entry(name.key).or_default().insert(name.stamp);
    }
    stamps.retain(|_, stamps| !stamps.is_empty());
    Ok(stamps.into_iter().map(|(key, stamps)| (key, stamps.len() as u64)).collect())
}
