//! A store some of whose files cannot be read now.

use std::path::PathBuf;

use ibt::error::{Error, Result};
use ibt::store::{Draft, Lock, LockMode, Object, Store};

/// Answers `error` to every read of a file whose name contains `part`. It counts listings.
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
    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>> {
        self.store.create(name)
    }
    fn sync(&mut self) -> Result<()> {
        self.store.sync()
    }
    fn delete(&mut self, name: &str) -> Result<()> {
        self.store.delete(name)
    }
    fn lock(&mut self, key: &str, mode: LockMode) -> Result<Lock> {
        self.store.lock(key, mode)
    }
    fn sweep_drafts(&mut self, locked: Option<&str>) -> Result<Vec<String>> {
        self.store.sweep_drafts(locked)
    }
    fn links(&mut self, prefix: &str) -> Result<Vec<String>> {
        self.store.links(prefix)
    }
    fn path_of(&self, name: &str) -> Option<PathBuf> {
        self.store.path_of(name)
    }
}
