//! The dates of snapshots: from their names, or from their states if a name may be later than the date.
//!
//! A new stamp is later than every older stamp of its key. If an older stamp was ahead of the clock, the new
//! stamp is ahead of the clock too, and only the state says when the snapshot was made ([`Header::date`]). Such a
//! stamp is odd ([`Stamp::is_moved`]). So the states of all other stamps need not be read.

use super::{Catalog, StateFile, Store, StoredFile};
use crate::error::Result;
use crate::format::Header;
use crate::stamp::{Stamp, Time};

/// Finds the dates of snapshots.
pub struct Dates {
    now: Stamp,
}

impl Dates {
    pub fn of(now: Time) -> Self {
        Dates { now: Stamp::from_time(now) }
    }

    /// The date of a snapshot. Reads the header of the state if its stamp may be later than the date. For a
    /// damaged state, or one of a newer version, returns the stamp.
    pub fn date(&self, store: &mut dyn Store, state: &StateFile) -> Result<Stamp> {
        if state.stamp <= self.now && !state.stamp.is_moved() {
            return Ok(state.stamp);
        }
        let mut stored = StoredFile { store, name: &state.name };
        match Header::read(&mut stored, &state.name, state.size, state.compressed) {
            Ok(header) => Ok(header.date()),
            Err(error) if error.is_damage() => Ok(state.stamp),
            Err(error) => Err(error),
        }
    }

    /// The last snapshot that was made at `time` or before, and its date. Of two snapshots with the same date, the one
    /// with the later stamp.
    pub fn as_of<'c>(
        &self,
        store: &mut dyn Store,
        catalog: &'c Catalog,
        time: Time,
    ) -> Result<Option<(Stamp, &'c StateFile)>> {
        let mut best: Option<(Stamp, &StateFile)> = None;
        for state in catalog.states().rev() {
            // No snapshot is made after its stamp, so the older states cannot have a later date.
            if best.is_some_and(|(date, _)| state.stamp <= date) {
                break;
            }
            let date = self.date(store, state)?;
            if date.to_time() <= time && best.is_none_or(|(latest, _)| date > latest) {
                best = Some((date, state));
            }
        }
        Ok(best)
    }
}

/// True if a snapshot that only a newer version can read may be the last one that was made at `time` or before. `found`
/// is the last one of those that this version can read, and its date. A moved stamp ([`Stamp::is_moved`]) says only
/// that the snapshot was not made later.
pub(super) fn may_be_as_of(stamp: Stamp, found: Option<(Stamp, &StateFile)>, time: Time) -> bool {
    let is_later = found.is_none_or(|(date, state)| (stamp, stamp) > (date, state.stamp));
    is_later && (stamp.is_moved() || stamp.to_time() <= time)
}
