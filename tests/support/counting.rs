//! A store that counts what is read out of its archives.

use std::path::PathBuf;

use ibt::error::Result;
use ibt::store::{Draft, Lock, LockMode, Object, Store};

pub struct Counting<'s> {
    pub store: &'s mut dyn Store,
    /// Bytes read out of archives: states are not among them.
    pub read: u64,
}

impl Counting<'_> {
    pub fn new(store: &mut dyn Store) -> Counting<'_> {
        Counting { store, read: 0 }
    }
}

impl Store for Counting<'_> {
    fn list(&mut self, prefix: &str) -> Result<Vec<Object>> {
        self.store.list(prefix)
    }
    fn read_at(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let got = self.store.read_at(name, offset, buf)?;
        if !name.contains(".state.") {
            self.read += got as u64;
        }
        Ok(got)
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
