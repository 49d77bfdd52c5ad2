//! A store in which some files cannot be read.

use ibt::error::{Error, Result};
use ibt::store::{Object, Store};

use super::forward::forward;

/// Each read of a file whose name contains `part` fails with `error`. Also counts listings.
pub struct Failing<'s> {
    pub store: &'s mut dyn Store,
    pub part: String,
    pub error: Error,
    pub listings: u64,
}

impl Failing<'_> {
    pub fn new<'s>(store: &'s mut dyn Store, part: &str, error: Error) -> Failing<'s> {
        Failing { store, part: part.to_string(), error, listings: 0 }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Failing<'_> {
    fn list(&mut self, prefix: &str) -> Result<Vec<Object>> {
        self.listings += 1;
        self.store.list(prefix)
    }

    fn read_at(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> Result<usize> {
        match name.contains(&self.part) {
            true => Err(self.error.clone().at(name)),
            false => self.store.read_at(name, offset, buf),
        }
    }

    forward!(store: require check_exists create sync delete locks sweep_drafts links places);
}
