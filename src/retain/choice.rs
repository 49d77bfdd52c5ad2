//! Which snapshots the caller of a prune wants to remove.

use crate::error::{Error, Kind, Result};
use crate::job::{Keep, Options, Select};
use crate::stamp::Stamp;
use crate::store::{Catalog, Store};

use super::prune::OP;

/// The caller's choice of the snapshots to remove.
pub enum PruneChoice {
    /// All snapshots that no rule keeps.
    Rules(Keep),
    /// The selected snapshot.
    One(Select),
}

impl PruneChoice {
    pub fn of(options: &Options) -> Result<Self> {
        let invalid = |detail: &str| Err(Error::new(Kind::InvalidArg, OP, detail));
        let has_rules = options.keep != Keep::default() || !options.keep_labels.is_empty();
        match (options.select, has_rules) {
            (Select::Newest, false) => {
                invalid("neither rules what to keep nor a snapshot to remove were given")
            }
            (Select::Newest, true) => Ok(PruneChoice::Rules(options.keep)),
            (select, false) => Ok(PruneChoice::One(select)),
            (_, true) => invalid("rules what to keep and a snapshot to remove were both given"),
        }
    }

    /// Finds the selected snapshot. `NotFound` if there is nothing to choose from. Archives of a key without any state
    /// may be all that is left of a user's data, so they are removed only if an empty result is allowed.
    pub fn find(&self, store: &mut dyn Store, catalog: &Catalog, options: &Options) -> Result<PruneTarget> {
        match self {
            PruneChoice::One(select) => {
                let stamp = catalog.clone().with_labels(store, options)?.select(store, *select)?.stamp;
                Ok(PruneTarget::One { stamp, is_exact: matches!(select, Select::Exactly(_)) })
            }
            PruneChoice::Rules(keep) => {
                if !options.allow_empty || catalog.files().is_empty() {
                    catalog.select(store, Select::Newest)?;
                }
                Ok(PruneTarget::Rules(*keep))
            }
        }
    }
}

/// The snapshots to remove, as found in the store.
pub enum PruneTarget {
    /// All snapshots that no rule keeps.
    Rules(Keep),
    One {
        stamp: Stamp,
        /// The caller gave exactly this stamp, and no time.
        is_exact: bool,
    },
}

impl PruneTarget {
    pub fn stamp(&self) -> Option<Stamp> {
        match self {
            PruneTarget::Rules(_) => None,
            PruneTarget::One { stamp, .. } => Some(*stamp),
        }
    }

    /// True if the caller gave the exact stamp of the snapshot to remove.
    pub fn is_exact(&self) -> bool {
        matches!(self, PruneTarget::One { is_exact: true, .. })
    }
}
