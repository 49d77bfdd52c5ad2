//! A store in which some files cannot be read.

use ibt::error::{Error, Result};
use ibt::store::{Object, Store};

use super::forward::forward;

/// Each read of a file whose name contains `part` fails with `error`. Also counts listings.
pub struct Failing<'s> {
    pub store: &'s mut dyn Store,
    pub part: String,
    pub error: Error,
    /// How many reads are still to fail.
    pub left: u64,
    pub listings: u64,
}

impl Failing<'_> {
    pub fn new<'s>(store: &'s mut dyn Store, part: &str, error: Error) -> Failing<'s> {
        Failing { store, part: part.to_string(), error, left: u64::MAX, listings: 0 }
    }

    /// Only the first `left` reads fail.
    pub fn at_first(self, left: u64) -> Self {
        Failing { left, ..self }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for Failing<'_> {
    fn list(&mut self, prefix: &str) -> Result<Vec<Object>> {
        self.listings += 1;
        self.store.list(prefix)
    }

    fn read_at(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> Result<usize> {
        if self.left == 0 || !name.contains(&self.part) {
            return self.store.read_at(name, offset, buf);
        }
        self.left -= 1;
        Err(self.error.clone().at(name))
    }

    forward!(store: require check_exists create sync delete locks sweep_drafts links places);
}
