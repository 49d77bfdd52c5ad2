//! A store that counts the bytes read from its archives.

use ibt::error::Result;
use ibt::store::Store;

use super::forward::forward;

pub struct Counting<'s> {
    pub store: &'s mut dyn Store,
    /// Bytes read from all files except states.
    pub read: u64,
}

impl Counting<'_> {
    pub fn new(store: &mut dyn Store) -> Counting<'_> {
        Counting { store, read: 0 }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Counting<'_> {
    fn read_at(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let got = self.store.read_at(name, offset, buf)?;
        if !name.contains(".state.") {
            self.read += got as u64;
        }
        Ok(got)
    }

    forward!(store: require check_exists list create sync delete locks sweep_drafts links places);
}
