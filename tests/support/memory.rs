//! A [`Backend`] in memory that keeps the contract, but no more than that: reads return fewer bytes than asked for, and
//! listings are in random order and have extra names. It counts the streams and locks that begin and end, so that a
//! test can compare the numbers.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ibt::error::Kind;
use ibt::store::Need;
use ibt::store::callbacks::{Answer, Backend, Listing, Refusal};

/// The most streams that may be open at a time.
const STREAMS_MAX: u32 = 4;

#[derive(Default)]
pub struct Memory {
    held: Mutex<Held>,
    /// The functions that this backend does not offer.
    pub without: BTreeSet<&'static str>,
    fault: Mutex<Option<Fault>>,
}

type Fault = Box<dyn FnMut(&'static str, u32) -> Trouble + Send>;

/// The result that a test forces on a call.
pub enum Trouble {
    None,
    Refused(Refusal),
    /// The call does its work, but reports a failure.
    Belied(Refusal),
    Panic,
}

/// The objects and locks, and counts of the calls. In the end `created` must equal `ended`, and `locked` must equal
/// `unlocked`.
#[derive(Default)]
struct Held {
    objects: BTreeMap<String, Vec<u8>>,
    locks: BTreeSet<String>,
    calls: u32,
    created: u32,
    ended: u32,
    locked: u32,
    unlocked: u32,
    dice: u64,
}

impl Held {
    /// A pseudorandom number below `n`.
    fn dice(&mut self, n: usize) -> usize {
        // Knuth's MMIX generator, whose upper bits are the better ones.
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) as usize % n.max(1)
    }
}

pub struct Stream {
    name: String,
    bytes: Vec<u8>,
    /// A write has failed: the stream may only be aborted.
    broken: Cell<bool>,
}

impl Memory {
    pub fn without(functions: &[&'static str]) -> Memory {
        Memory { without: functions.iter().copied().collect(), ..Memory::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.held().objects.clone()
    }

    /// From now on, `fault` decides the result of each call that can fail. Its arguments are the function and
    /// the call's number.
    pub fn disturb(&self, fault: impl FnMut(&'static str, u32) -> Trouble + Send + 'static) {
        *self.fault() = Some(Box::new(fault));
    }

    /// From now on, each call succeeds.
    pub fn mend(&self) {
        *self.fault() = None;
    }

    fn fault(&self) -> MutexGuard<'_, Option<Fault>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an object into the store as another program would, and replaces an existing object.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        self.held().objects.insert(name.to_string(), bytes.to_vec());
    }

    pub fn remove(&self, name: &str) {
        assert!(self.held().objects.remove(name).is_some(), "no {name}");
    }

    pub fn calls(&self) -> u32 {
        self.held().calls
    }

    /// Takes a key's lock as another program would, or releases it.
    pub fn lock_from_outside(&self, key: &str, on: bool) {
        let mut held = self.held();
        let done = if on { held.locks.insert(key.to_string()) } else { held.locks.remove(key) };
        assert!(done, "the lock of {key}");
    }

    /// Asserts that each stream was committed or aborted, and each lock released.
    #[track_caller]
    pub fn assert_balanced(&self) {
        let held = self.held();
        assert_eq!(held.created, held.ended, "streams begun and ended");
        assert_eq!(held.locked, held.unlocked, "locks got and given up");
    }

    /// Counts a call, and lets the test decide its result. If the outer result is an error, the call ends at once. Else
    /// the caller does its work and then returns the inner result, which is an error for [`Trouble::Belied`].
    fn call(&self, function: &'static str) -> Answer<Answer<()>> {
        let number = {
            let mut held = self.held();
            held.calls += 1;
            held.calls
        };
        match self.fault().as_mut().map_or(Trouble::None, |fault| fault(function, number)) {
            Trouble::None => Ok(Ok(())),
            Trouble::Refused(refusal) => Err(refusal),
            Trouble::Belied(refusal) => Ok(Err(refusal)),
            Trouble::Panic => panic!("the backend panics"),
        }
    }
}

impl Backend for Memory {
    type Stream = Stream;

    fn lacks(&self, need: Need) -> Option<&'static str> {
        let needed: &[&'static str] = match need {
            Need::Read => &["reader", "list"],
            Need::Write => &["reader", "list", "writer"],
            Need::Delete => &["reader", "list", "delete"],
        };
        needed.iter().copied().find(|function| self.without.contains(function))
    }

    fn create(&self, name: &str) -> Answer<Stream> {
        let after = self.call("create")?;
        after?;
        let mut held = self.held();
        held.created += 1;
        assert!(held.created - held.ended <= STREAMS_MAX, "too many streams");
        Ok(Stream { name: name.to_string(), bytes: Vec::new(), broken: Cell::new(false) })
    }

    fn write(&self, stream: &mut Stream, data: &[u8]) -> Answer<()> {
        assert!(!data.is_empty() && !stream.broken.get());
        stream.broken.set(true);
        let after = self.call("write")?;
        stream.bytes.extend_from_slice(data);
        stream.broken.set(after.is_err());
        after
    }

    fn commit(&self, stream: Stream) -> Answer<()> {
        assert!(!stream.broken.get(), "a commit after a failed write");
        self.held().ended += 1;
        let after = self.call("commit")?;
        let mut held = self.held();
        if held.objects.contains_key(&stream.name) {
            return Err(Refusal::of(Kind::Exists));
        }
        held.objects.insert(stream.name, stream.bytes);
        after
    }

    fn abort(&self, _: Stream) {
        self.held().ended += 1;
    }

    fn read_at(&self, name: &str, offset: u64, buf: &mut [u8]) -> Answer<usize> {
        assert!(!buf.is_empty());
        self.call("read")??;
        let mut held = self.held();
        let len = held.objects.get(name).ok_or_else(|| Refusal::of(Kind::NotFound))?.len();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(len);
        let most = buf.len().min(len - from);
        // A third of the reads return all bytes, and most other reads return fewer.
        let got = match held.dice(3) {
            0 => most,
            1 => most.min(1 + held.dice(7)),
            _ => most.min(1 + held.dice(most)),
        };
        buf[..got].copy_from_slice(&held.objects[name][from..from + got]);
        Ok(got)
    }

    fn list(&self, prefix: &str, out: &mut Listing) -> Answer<()> {
        let after = self.call("list")?;
        let mut held = self.held();
        let mut found: Vec<_> = held.objects.iter().map(|(name, data)| (name.clone(), data.len())).collect();
        let asked_for_more = held.dice(2) == 0;
        found.retain(|(name, _)| asked_for_more || name.starts_with(prefix));
        let repeated = found.first().cloned();
        found.extend(repeated);
        found.extend(["", "foreign", prefix, &format!("{prefix}lock"), ".ibt-tmp-x"].map(|n| (n.into(), 7)));
        while !found.is_empty() {
            let next = held.dice(found.len());
            let (name, size) = found.swap_remove(next);
            out.add(&name, size as u64);
        }
        after
    }

    fn delete(&self, name: &str) -> Answer<()> {
        if self.without.contains("delete") {
            return Err(Refusal::of(Kind::Unsupported));
        }
        let after = self.call("delete")?;
        self.held().objects.remove(name);
        after
    }

    fn has_locks(&self) -> bool {
        !self.without.contains("lock")
    }

    fn lock(&self, key: &str) -> Answer<()> {
        self.call("lock")??;
        let mut held = self.held();
        if !held.locks.insert(key.to_string()) {
            return Err(Refusal::of(Kind::Busy));
        }
        held.locked += 1;
        Ok(())
    }

    fn unlock(&self, key: &str) {
        let mut held = self.held();
        assert!(held.locks.remove(key), "{key} is not locked");
        held.unlocked += 1;
    }
}
