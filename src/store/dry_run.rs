//! The store of a dry run: it reads from another store and stores nothing.

use std::ops::Range;
use std::path::PathBuf;

use super::{Draft, Lock, LockMode, Need, Object, Store};
use crate::entry::FileType;
use crate::error::{Error, Result};
use crate::job::Cancel;

/// Passes calls that only read on to the other store. Written objects are dropped.
pub struct DryRunStore<'s> {
    store: &'s mut dyn Store,
}

impl<'s> DryRunStore<'s> {
    pub fn new(store: &'s mut dyn Store) -> Self {
        DryRunStore { store }
    }
}

#[deny(clippy::missing_trait_methods)] // A default method would not ask the other store.
impl Store for DryRunStore<'_> {
    fn require(&self, _need: Need, doing: &str) -> Result<()> {
        self.store.require(Need::Read, doing)
    }

    fn check_exists(&mut self) -> Result<()> {
        self.store.check_exists()
    }

    fn watch(&mut self, cancel: &Cancel) {
        self.store.watch(cancel);
    }

    fn list(&mut self, prefix: &str) -> Result<Vec<Object>> {
        self.store.list(prefix)
    }

    fn read_at(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.store.read_at(name, offset, buf)
    }

    fn start_reading_ahead(&mut self, cancel: &Cancel) {
        self.store.start_reading_ahead(cancel);
    }

    fn read_ahead(&mut self, name: &str, range: Range<u64>) -> bool {
        self.store.read_ahead(name, range)
    }

    fn stop_reading_ahead(&mut self) {
        self.store.stop_reading_ahead();
    }

    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>> {
        Ok(Box::new(DroppedDraft { name: name.to_string() }))
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn delete(&mut self, _name: &str) -> Result<()> {
        Ok(())
    }

    fn has_locks(&self) -> bool {
        self.store.has_locks()
    }

    fn lock(&mut self, key: &str, _mode: LockMode) -> Result<Lock> {
        self.store.lock(key, LockMode::Forecast)
    }

    fn is_written_now(&mut self, key: &str) -> Result<bool> {
        self.store.is_written_now(key)
    }

    fn take_turn(&mut self, _key: &str) -> Result<Option<Box<dyn super::Turn>>> {
        Ok(None)
    }

    fn sweep_drafts(&mut self, _locked: Option<&str>) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn take_left_behind(&mut self) -> Vec<(String, Error)> {
        self.store.take_left_behind()
    }

    fn not_regular(&mut self, prefix: &str) -> Result<Vec<(String, FileType)>> {
        self.store.not_regular(prefix)
    }

    fn reads_cheaply(&mut self) -> Result<bool> {
        self.store.reads_cheaply()
    }

    fn directory(&mut self) -> Result<Option<(u64, u64)>> {
        self.store.directory()
    }

    fn path_of(&self, name: &str) -> Option<PathBuf> {
        self.store.path_of(name)
    }
}

/// An object that is not stored.
struct DroppedDraft {
    name: String,
}

impl Draft for DroppedDraft {
    fn name(&self) -> &str {
        &self.name
    }

    fn write(&mut self, _data: &[u8]) -> Result<()> {
        Ok(())
    }

    fn seal(&mut self) -> Result<()> {
        Ok(())
    }

    fn begin_next(&mut self, name: &str) -> Result<Box<dyn Draft>> {
        Ok(Box::new(DroppedDraft { name: name.to_string() }))
    }

    fn publish(self: Box<Self>) -> Result<()> {
        Ok(())
    }

    fn replace(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
