//! A directory store in which a function decides how each call ends, and which may have no locks.

use std::cell::RefCell;
use std::rc::Rc;

use ibt::entry::FileType;
use ibt::error::{Error, Kind, Result};
use ibt::job::{Cancel, Job, Options, Silent};
use ibt::store::{DirStore, Draft, Lock, LockMode, Need, Object, Store, Turn};

use super::series::{Outcome, Series};

/// How a call of the store ends.
pub enum Fate {
    Goes,
    Fails,
    /// The call does its work, but reports a failure.
    Belied,
}

/// Decides on one call. The argument is "list", "read", "create", "seal", "begin_next", "publish", "replace", "sync" or
/// "delete"; the other functions of a store always work.
type Decide = Rc<RefCell<Box<dyn FnMut(&'static str) -> Fate>>>;

pub struct EachCall {
    inner: DirStore,
    decide: Decide,
    pub has_locks: bool,
    /// The answer of `reads_cheaply`.
    pub cheap: bool,
}

impl EachCall {
    pub fn new(series: &Series, decide: impl FnMut(&'static str) -> Fate + 'static) -> EachCall {
        let decide: Decide = Rc::new(RefCell::new(Box::new(decide)));
        EachCall { inner: DirStore::open(&series.store), decide, has_locks: true, cheap: true }
    }

    pub fn run(
        &mut self,
        options: &Options,
        cancel: &Cancel,
        operation: impl FnOnce(&mut dyn Store, &mut Job) -> Result<()>,
    ) -> Outcome {
        let mut silent = Silent;
        let mut job = Job::new(options, cancel, &mut silent);
        let result = operation(self, &mut job);
        Outcome { result, report: job.report }
    }

    fn call<T>(&mut self, name: &'static str, act: impl FnOnce(&mut DirStore) -> Result<T>) -> Result<T> {
        let decide = Rc::clone(&self.decide);
        through(&decide, name, || act(&mut self.inner))
    }
}

fn through<T>(decide: &Decide, name: &'static str, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let fails = || Err(Error::new(Kind::Io, name, "the test lets this call fail"));
    let fate = (decide.borrow_mut())(name);
    match fate {
        Fate::Goes => act(),
        Fate::Fails => fails(),
        Fate::Belied => act().and_then(|_| fails()),
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for EachCall {
    fn require(&self, need: Need, doing: &str) -> Result<()> {
        self.inner.require(need, doing)
    }

    fn check_exists(&mut self) -> Result<()> {
        self.inner.check_exists()
    }

    fn watch(&mut self, cancel: &ibt::job::Cancel) {
        self.inner.watch(cancel);
    }

    fn list(&mut self, prefix: &str) -> Result<Vec<Object>> {
        self.call("list", |store| store.list(prefix))
    }

    fn read_at(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.call("read", |store| store.read_at(name, offset, buf))
    }

    fn start_reading_ahead(&mut self, _cancel: &Cancel) {}

    fn read_ahead(&mut self, _name: &str, _range: std::ops::Range<u64>) -> bool {
        false
    }

    fn stop_reading_ahead(&mut self) {}

    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>> {
        let inner = self.call("create", |store| store.create(name))?;
        Ok(Box::new(EachDraft { inner, decide: Rc::clone(&self.decide) }))
    }

    fn sync(&mut self) -> Result<()> {
        self.call("sync", |store| store.sync())
    }

    fn delete(&mut self, name: &str) -> Result<()> {
        self.call("delete", |store| store.delete(name))
    }

    fn has_locks(&self) -> bool {
        self.has_locks
    }

    fn lock(&mut self, key: &str, mode: LockMode) -> Result<Lock> {
        match self.has_locks {
            true => self.inner.lock(key, mode),
            false => Err(Error::new(Kind::Unsupported, "lock", "this store has no locks")),
        }
    }

    fn is_written_now(&mut self, key: &str) -> Result<bool> {
        match self.has_locks {
            true => self.inner.is_written_now(key),
            false => Ok(true),
        }
    }

    fn take_turn(&mut self, key: &str) -> Result<Option<Box<dyn Turn>>> {
        self.inner.take_turn(key)
    }

    fn sweep_drafts(&mut self, locked: Option<&str>) -> Result<Vec<String>> {
        self.inner.sweep_drafts(locked)
    }

    fn take_left_behind(&mut self) -> Vec<(String, Error)> {
        self.inner.take_left_behind()
    }

    fn not_regular(&mut self, prefix: &str) -> Result<Vec<(String, FileType)>> {
        self.inner.not_regular(prefix)
    }

    fn reads_cheaply(&mut self) -> Result<bool> {
        Ok(self.cheap)
    }

    fn directory(&mut self) -> Result<Option<(u64, u64)>> {
        self.inner.directory()
    }

    fn path_of(&self, name: &str) -> Option<std::path::PathBuf> {
        self.inner.path_of(name)
    }
}

struct EachDraft {
    inner: Box<dyn Draft>,
    decide: Decide,
}

impl Draft for EachDraft {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.inner.write(data)
    }

    fn seal(&mut self) -> Result<()> {
        through(&self.decide, "seal", || self.inner.seal())
    }

    fn begin_next(&mut self, name: &str) -> Result<Box<dyn Draft>> {
        let inner = through(&self.decide, "begin_next", || self.inner.begin_next(name))?;
        Ok(Box::new(EachDraft { inner, decide: Rc::clone(&self.decide) }))
    }

    fn publish(self: Box<Self>) -> Result<()> {
        let EachDraft { inner, decide } = *self;
        through(&decide, "publish", || inner.publish())
    }

    fn replace(self: Box<Self>) -> Result<()> {
        let EachDraft { inner, decide } = *self;
        through(&decide, "replace", || inner.replace())
    }
}
