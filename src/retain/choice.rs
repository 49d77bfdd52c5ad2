//! The snapshots that the caller of a prune wants to remove.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::job::{Keep, Options, Select};
use crate::stamp::Stamp;
use crate::store::{Catalog, Store};

use super::prune::OP;

/// The caller's choice of the snapshots to remove.
pub enum PruneChoice {
    /// All snapshots that no rule keeps.
    Rules(Keep),
    /// The selected snapshots.
    Selected(Vec<Select>),
}

impl PruneChoice {
    pub fn of(options: &Options) -> Result<Self> {
        let invalid = |detail: &str| Err(Error::new(Kind::InvalidArg, OP, detail));
        let has_rules = options.keep != Keep::default() || !options.keep_labels.is_empty();
        let one = Some(options.select).filter(|select| *select != Select::Newest);
        let selected: Vec<_> =
            one.into_iter().chain(options.removed.iter().map(|stamp| Select::Exactly(*stamp))).collect();
        match (selected.is_empty(), has_rules) {
            (true, false) => invalid("neither rules what to keep nor a snapshot to remove were given"),
            (true, true) => Ok(PruneChoice::Rules(options.keep)),
            (false, false) => Ok(PruneChoice::Selected(selected)),
            (false, true) => invalid("rules what to keep and a snapshot to remove were both given"),
        }
    }

    /// Finds the selected snapshots. `NotFound` if one of them does not exist, or if there is nothing to choose from.
    /// Archives of a key without any state may be all that is left of a user's data, so they are removed only if an
    /// empty result is allowed.
    pub fn find(&self, store: &mut dyn Store, catalog: &Catalog, options: &Options) -> Result<PruneTarget> {
        match self {
            PruneChoice::Selected(selected) => {
                let catalog = catalog.clone().with_labels(store, options)?;
                let mut stamps = BTreeMap::new();
                for select in selected {
                    let stamp = catalog.select(store, *select)?.stamp;
                    let precision = match select {
                        Select::Exactly(_) => Precision::Stamp,
                        Select::Newest | Select::AsOf(_) => Precision::Time,
                    };
                    let found = stamps.entry(stamp).or_insert(precision);
                    *found = precision.max(*found);
                }
                Ok(PruneTarget::Selected(stamps))
            }
            PruneChoice::Rules(keep) => {
                if !options.allow_empty || catalog.files().is_empty() {
                    catalog.check_any()?;
                }
                Ok(PruneTarget::Rules(*keep))
            }
        }
    }
}

/// How the caller named a snapshot to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// By a time.
    Time,
    /// By its exact stamp.
    Stamp,
}

/// The snapshots to remove, as found in the store.
pub enum PruneTarget {
    /// All snapshots that no rule keeps.
    Rules(Keep),
    Selected(BTreeMap<Stamp, Precision>),
}

impl PruneTarget {
    /// True if the caller selected this snapshot.
    pub fn removes(&self, snapshot: Stamp) -> bool {
        matches!(self, PruneTarget::Selected(stamps) if stamps.contains_key(&snapshot))
    }

    /// True if the caller gave the exact stamps of all snapshots to remove.
    pub fn is_exact(&self) -> bool {
        match self {
            PruneTarget::Rules(_) => false,
            PruneTarget::Selected(stamps) => stamps.values().all(|precision| *precision == Precision::Stamp),
        }
    }
}
