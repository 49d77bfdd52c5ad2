//! The listing of one key, which is renewed once if it lacks a file.

use std::borrow::Cow;

use super::{Catalog, StateFile, Store};
use crate::error::Result;
use crate::stamp::Stamp;

/// The files of a key. A backup may commit two snapshots while the key is listed, and the listing may then have the
/// newer one without the files of the older one, which the newer one needs. So if a file of a listed snapshot is
/// missing, the key is listed again. One new listing is enough: every snapshot of the first listing is newer than the
/// files that it needs.
pub struct KeyListing<'c> {
    catalog: Cow<'c, Catalog>,
}

impl<'c> KeyListing<'c> {
    /// Starts with the first listing.
    pub fn new(first: &'c Catalog) -> Self {
        KeyListing { catalog: Cow::Borrowed(first) }
    }

    /// The new listing, or the first one if the key was not listed again.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Lists the key again, unless that was done already.
    pub fn list_again(&mut self, store: &mut dyn Store) -> Result<&Catalog> {
        if matches!(self.catalog, Cow::Borrowed(_)) {
            self.catalog = Cow::Owned(Catalog::read(store, self.catalog.key())?);
        }
        Ok(&self.catalog)
    }

    /// The files of a state that should exist, as [`Catalog::state_files`] finds them. Lists the key again if there is
    /// none.
    pub fn state_files(
        &mut self,
        store: &mut dyn Store,
        snapshot: Stamp,
        size: u64,
    ) -> Result<Vec<StateFile>> {
        let files = self.catalog.state_files(snapshot, size);
        if !files.is_empty() {
            return Ok(files);
        }
        Ok(self.list_again(store)?.state_files(snapshot, size))
    }

    /// The new listing, if the key was listed again.
    pub fn into_new(self) -> Option<Catalog> {
        match self.catalog {
            Cow::Owned(catalog) => Some(catalog),
            Cow::Borrowed(_) => None,
        }
    }
}
