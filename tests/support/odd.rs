//! A directory store that records its reads and deletions. A test can make it misbehave.

use std::collections::BTreeMap;

use ibt::error::{Error, Kind, Result};
use ibt::job::{Cancel, Job, Options, Silent};
use ibt::store::{DirStore, Need, Object, Store};

use super::forward::forward;
use super::series::{Outcome, Series};

pub struct OddStore {
    pub inner: DirStore,
    pub flag: Cancel,
    /// Requests a cancel after this many deletions.
    pub cancel_after: Option<usize>,
    /// Requests a cancel at a read of a file whose name contains this text.
    pub cancel_at: Option<&'static str>,
    /// `delete` reports success but deletes nothing.
    pub lies: bool,
    pub cannot_delete: bool,
    /// `list` leaves out files whose name contains this text.
    pub unlisted: Option<&'static str>,
    /// The names in the order of the calls of `delete`.
    pub deleted: Vec<String>,
    /// Bytes read from each file.
    pub read: BTreeMap<String, u64>,
    /// Reads after the cancel was requested.
    pub late_reads: usize,
}

impl OddStore {
    pub fn new(series: &Series) -> OddStore {
        OddStore {
            inner: DirStore::open(&series.store),
            flag: Cancel::default(),
            cancel_after: None,
            cancel_at: None,
            lies: false,
            cannot_delete: false,
            unlisted: None,
            deleted: Vec::new(),
            read: BTreeMap::new(),
            late_reads: 0,
        }
    }

    pub fn run(
        &mut self,
        options: &Options,
        operation: impl FnOnce(&mut dyn Store, &mut Job) -> Result<()>,
    ) -> Outcome {
        let flag = self.flag.clone();
        let mut silent = Silent;
        let mut job = Job::new(options, &flag, &mut silent);
        let result = operation(self, &mut job);
        Outcome { result, report: job.report }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for OddStore {
    fn require(&self, need: Need, doing: &str) -> Result<()> {
        match need {
            Need::Delete if self.cannot_delete => {
                Err(Error::new(Kind::Unsupported, doing, "this store deletes nothing"))
            }
            _ => Ok(()),
        }
    }

    fn list(&mut self, prefix: &str) -> Result<Vec<Object>> {
        assert!(!self.cannot_delete, "asked for a list before it was asked whether it deletes");
        let mut objects = self.inner.list(prefix)?;
        objects.retain(|object| self.unlisted.is_none_or(|part| !object.name.contains(part)));
        Ok(objects)
    }

    fn read_at(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.late_reads += usize::from(self.flag.requested());
        if self.cancel_at.is_some_and(|part| name.contains(part)) {
            self.flag.request();
        }
        let got = self.inner.read_at(name, offset, buf)?;
        *self.read.entry(name.to_string()).or_default() += got as u64;
        Ok(got)
    }

    fn delete(&mut self, name: &str) -> Result<()> {
        self.deleted.push(name.to_string());
        if self.cancel_after == Some(self.deleted.len()) {
            self.flag.request();
        }
        match self.lies {
            true => Ok(()),
            false => self.inner.delete(name),
        }
    }

    forward!(inner: check_exists create sync locks sweep_drafts links places);
}
