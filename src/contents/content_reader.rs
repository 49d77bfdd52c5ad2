//! Reads the contents of one state from its store.

use crate::entry::{Entry, File};
use crate::error::{Error, Result};
use crate::job::Problem;
use crate::store::Store;

use super::fetched::FetchedContent;
use super::loss::lost;
use super::reader::Contents;

/// [`Contents`] with the store that has their archives.
pub struct ContentReader<'c> {
    contents: &'c mut Contents,
    store: &'c mut dyn Store,
}

impl<'c> ContentReader<'c> {
    pub fn new(contents: &'c mut Contents, store: &'c mut dyn Store) -> Self {
        ContentReader { contents, store }
    }

    /// See [`Contents::read`].
    pub fn read(&mut self, entry: &Entry, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Result<()>> {
        self.contents.read(self.store, entry, sink)
    }

    /// See [`Contents::gather`].
    pub fn gather(&mut self, entry: &Entry) -> Result<Option<FetchedContent>> {
        self.contents.gather(self.store, entry)
    }

    /// The error for a content that was read completely and differs from the backed-up content.
    pub fn differs(&self, entry: &Entry, file: &File) -> Error {
        self.contents.differs(entry, file)
    }

    /// See [`lost`].
    pub fn lost(&self, op: &str, entry: &Entry, error: Error) -> (Problem, Error) {
        lost(op, self.contents, entry, error)
    }
}
