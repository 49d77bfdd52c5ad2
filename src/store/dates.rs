//! When snapshots were made: by their names, and by their states where a name may be late.
//!
//! A stamp is later than every stamp of its key that was there before. Made after a stamp that was ahead of the
//! clock, a snapshot therefore has a stamp behind that, and only its state says when it was made
//! ([`Header::date`]). Such a stamp is odd ([`Stamp::is_moved`]), so that the states of honest ones are not read.

use super::{Catalog, StateFile, Store, StoredFile};
use crate::error::Result;
use crate::format::Header;
use crate::stamp::{Stamp, Time};

/// Says of each state when its snapshot was made.
pub struct Dates {
    now: Stamp,
}

impl Dates {
    pub fn of(now: Time) -> Self {
        Dates { now: Stamp::from_time(now) }
    }

    /// Reads the beginning of a state if its stamp may be late. A state that is damaged or of a newer version is
    /// as old as its stamp says.
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

    /// The state whose snapshot was the last made at a moment or before; of two made at once, that with the later
    /// stamp.
    pub fn as_of<'c>(
        &self,
        store: &mut dyn Store,
        catalog: &'c Catalog,
        time: Time,
    ) -> Result<Option<&'c StateFile>> {
        let mut best: Option<(Stamp, &StateFile)> = None;
        for state in catalog.states().rev() {
            // None is made after its stamp.
            if best.is_some_and(|(date, _)| state.stamp <= date) {
                break;
            }
            let date = self.date(store, state)?;
            if date.to_time() <= time && best.is_none_or(|(latest, _)| date > latest) {
                best = Some((date, state));
            }
        }
        Ok(best.map(|(_, state)| state))
    }
}
