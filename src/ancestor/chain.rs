//! The points of one key of the ancestor, and the files of each point.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::format::AncestorName;
use crate::format::names::BackupFileKind;
use crate::stamp::Stamp;
use crate::store::{Object, Store};

/// One backup of the ancestor: its state and its archives.
#[derive(Clone, Debug)]
pub struct AncestorPoint {
    pub stamp: Stamp,
    pub state: Object,
    /// The archive with the whole tree. If it is there, the point does not need any older point.
    pub full: Option<Object>,
    /// Whole files that the point before does not have.
    pub created: Option<Object>,
    /// Deltas against the files of the point before.
    pub updated: Option<Object>,
}

impl AncestorPoint {
    /// The files that are read to restore the point, each with its kind.
    pub fn files(&self) -> impl Iterator<Item = (BackupFileKind, &Object)> {
        let archives = [
            (BackupFileKind::Full, &self.full),
            (BackupFileKind::Created, &self.created),
            (BackupFileKind::Updated, &self.updated),
        ];
        let archives = archives.into_iter().filter_map(|(kind, file)| Some((kind, file.as_ref()?)));
        [(BackupFileKind::State, &self.state)].into_iter().chain(archives)
    }
}

/// The points of one key, oldest first.
#[derive(Clone, Debug)]
pub struct AncestorChain {
    pub key: String,
    pub points: Vec<AncestorPoint>,
}

impl AncestorChain {
    /// Lists the points of `key`; there may be none. `Corrupt` if two files are the same part of one point. `Missing`
    /// if an archive has no state, or if no full archive is older than a point.
    pub fn read(store: &mut dyn Store, key: &str) -> Result<AncestorChain> {
        let files = store.list(&format!("{key}."))?.into_iter();
        let files = files.filter_map(|file| Some((AncestorName::parse(&file.name)?, file)));
        AncestorChain::of(key, files.filter(|(name, _)| name.key == key))
    }

    /// Lists the points of every key. A chain that is not whole is an error of its key.
    pub fn all(store: &mut dyn Store) -> Result<Vec<(String, Result<AncestorChain>)>> {
        let mut files_of: BTreeMap<String, Vec<(AncestorName, Object)>> = BTreeMap::new();
        for file in store.list("")? {
            if let Some(name) = AncestorName::parse(&file.name) {
                files_of.entry(name.key.clone()).or_default().push((name, file));
            }
        }
        let chain = |(key, files): (String, Vec<_>)| {
            let chain = AncestorChain::of(&key, files.into_iter());
            (key, chain)
        };
        Ok(files_of.into_iter().map(chain).collect())
    }

    fn of(key: &str, files: impl Iterator<Item = (AncestorName, Object)>) -> Result<AncestorChain> {
        let mut parts: BTreeMap<Stamp, BTreeMap<BackupFileKind, Object>> = BTreeMap::new();
        for (name, file) in files {
            if let Some(other) = parts.entry(name.stamp).or_default().insert(name.kind, file.clone()) {
                let detail = format!("{} has the same date", other.name);
                return Err(Error::corrupt("order the backups", file.name, detail));
            }
        }
        let mut points: Vec<AncestorPoint> = Vec::new();
        for (stamp, mut files) in parts {
            let state = files.remove(&BackupFileKind::State);
            let mut take = |kind| files.remove(&kind);
            let (full, created) = (take(BackupFileKind::Full), take(BackupFileKind::Created));
            let updated = take(BackupFileKind::Updated);
            let Some(state) = state else {
                // Signatures alone hold no content.
                let Some(file) = full.or(created).or(updated) else { continue };
                let detail = "the state of the same date, which names its files, is gone";
                return Err(Error::new(Kind::Missing, "use", detail).at(file.name));
            };
            if let (Some(full), Some(other)) = (&full, created.as_ref().or(updated.as_ref())) {
                let detail = format!("{} has the same date: only one of them can be right", other.name);
                return Err(Error::corrupt("use", &full.name, detail));
            }
            if points.is_empty() && full.is_none() {
                return Err(no_full(&state));
            }
            points.push(AncestorPoint { stamp, state, full, created, updated });
        }
        Ok(AncestorChain { key: key.to_string(), points })
    }

    /// The points that restoring `points[index]` reads: from the last full up to that point.
    pub fn needed(&self, index: usize) -> &[AncestorPoint] {
        let until = &self.points[..=index];
        let first = until.iter().rposition(|point| point.full.is_some()).unwrap_or(0);
        &until[first..]
    }
}

/// The error of a point that builds on no full archive. `state` is the state of the point.
pub fn no_full(state: &Object) -> Error {
    let detail = "no full archive of this date or before it is there";
    Error::new(Kind::Missing, "use", detail).at(&state.name)
}
