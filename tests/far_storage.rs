//! A storage that is far away: each read takes long. If its functions may run on several threads at once, a restore
//! and a verify read several ranges at a time, and everything else is as with one thread.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use ibt::error::{Error, Kind};
use ibt::job::{Cancel, Counter, Job, Options, Report, Silent};
use ibt::store::callbacks::{Answer, Backend, Listing, Refusal};
use ibt::store::{CallbackStore, Store};
use support::series::{KEY, remove};
use support::*;

/// The time of a call.
const FAR: Duration = Duration::from_millis(30);

/// The stored files of a series, which are only read.
struct Far {
    objects: BTreeMap<String, Vec<u8>>,
    is_concurrent: bool,
    takes: Duration,
    /// The refusal of reads of bytes in this range of this file.
    refused: Option<(String, Range<u64>, Refusal)>,
    running: AtomicUsize,
    /// The most calls that ran at once.
    most: AtomicUsize,
    threads: Mutex<Vec<ThreadId>>,
    reads: Mutex<Vec<(String, u64, usize)>>,
}

impl Far {
    fn of(series: &Series, is_concurrent: bool) -> Far {
        let names = support::series::stored(&series.store).into_keys();
        let object = |name: String| {
            let bytes = fs::read(series.store.join(&name)).unwrap();
            (name, bytes)
        };
        Far {
            objects: names.map(object).collect(),
            is_concurrent,
            takes: FAR,
            refused: None,
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            threads: Mutex::default(),
            reads: Mutex::default(),
        }
    }

    fn call<T>(&self, work: impl FnOnce() -> T) -> T {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.threads.lock().unwrap().push(std::thread::current().id());
        std::thread::sleep(self.takes);
        let done = work();
        self.running.fetch_sub(1, Ordering::SeqCst);
        done
    }

    /// The name and the length of the archive of the first full.
    fn full(&self) -> (String, u64) {
        let (name, bytes) = self.objects.iter().find(|(name, _)| name.contains(".full.")).unwrap();
        (name.clone(), bytes.len() as u64)
    }
}

impl Backend for Far {
    type Stream = ();

    fn create(&self, _: &str) -> Answer<()> {
        Err(Refusal::of(Kind::Unsupported))
    }

    fn write(&self, _: &mut (), _: &[u8]) -> Answer<()> {
        Err(Refusal::of(Kind::Unsupported))
    }

    fn commit(&self, _: ()) -> Answer<()> {
        Err(Refusal::of(Kind::Unsupported))
    }

    fn abort(&self, _: ()) {}

    fn read_at(&self, name: &str, offset: u64, buf: &mut [u8]) -> Answer<usize> {
        self.reads.lock().unwrap().push((name.to_string(), offset, buf.len()));
        self.call(|| {
            if let Some((file, range, refusal)) = &self.refused
                && file == name
                && offset < range.end
                && range.start < offset + buf.len() as u64
            {
                return Err(refusal.clone());
            }
            let bytes = self.objects.get(name).ok_or_else(|| Refusal::of(Kind::NotFound))?;
            let from = (offset as usize).min(bytes.len());
            let len = buf.len().min(bytes.len() - from);
            buf[..len].copy_from_slice(&bytes[from..from + len]);
            Ok(len)
        })
    }

    fn is_concurrent(&self) -> bool {
        self.is_concurrent
    }

    fn list(&self, prefix: &str, out: &mut Listing) -> Answer<()> {
        self.call(|| {
            let names = self.objects.iter().filter(|(name, _)| name.starts_with(prefix));
            names.for_each(|(name, bytes)| out.add(name, bytes.len() as u64));
        });
        Ok(())
    }

    fn delete(&self, _: &str) -> Answer<()> {
        Err(Refusal::of(Kind::Unsupported))
    }

    fn has_locks(&self) -> bool {
        false
    }

    fn lock(&self, _: &str) -> Answer<()> {
        Ok(())
    }

    fn unlock(&self, _: &str) {}
}

/// Path, kind, system error, message and file.
type ToldProblem = (Option<Vec<u8>>, Kind, i32, String, Option<String>);

/// The result of an operation, as far as it does not depend on times. If a read fails, the number of bytes read before
/// depends on what was read ahead.
#[derive(Debug, PartialEq)]
struct Told {
    error: Option<(Kind, i32, String)>,
    problems: Vec<ToldProblem>,
    counters: Vec<u64>,
    snapshots: Vec<(String, String)>,
}

impl Told {
    fn of(result: Result<(), Error>, report: &Report) -> Told {
        let problem =
            |p: &ibt::job::Problem| (p.path.clone(), p.status, p.os_code, p.message.clone(), p.file.clone());
        let mut counters = vec![Counter::Entries, Counter::Bytes, Counter::BytesWritten];
        if result.is_ok() && report.problems.is_empty() {
            counters.push(Counter::BytesRead);
        }
        let snapshots =
            report.snapshots.iter().map(|snapshot| (snapshot.stamp.to_string(), snapshot.reason.clone()));
        Told {
            error: result.err().map(|error| (error.kind, error.os_code, error.to_string())),
            problems: report.problems.iter().map(problem).collect(),
            counters: counters.into_iter().map(|counter| report.counters.get(counter)).collect(),
            snapshots: snapshots.collect(),
        }
    }
}

type Operation<'o> = &'o dyn Fn(&mut dyn Store, &mut Job) -> Result<(), Error>;

fn told(far: &Arc<Far>, options: &Options, cancel: &Cancel, operation: Operation) -> Told {
    let mut silent = Silent;
    let mut job = Job::new(options, cancel, &mut silent);
    let mut store = CallbackStore::new(far.clone());
    let result = operation(&mut store, &mut job);
    assert_eq!(far.running.load(Ordering::SeqCst), 0, "a call outlives the operation");
    Told::of(result, &job.report)
}

/// A full of 26 MB in some long and many short files, and an increment.
fn series() -> Series {
    let mut series = Series::new();
    series.write("a long", noise(1, 18 << 20));
    (0..40).for_each(|n| drop(series.write(&format!("short/{n}"), noise(100 + n, 200_000))));
    series.snapshot();
    series.write("short/7", noise(9, 300_000));
    series.snapshot();
    series
}

/// Runs a restore of the newest snapshot, or a verify of all, and compares the results with and without several
/// threads. Returns both storages.
fn compare(series: &Series, prepare: impl Fn(&mut Far), operation: Operation) -> (Arc<Far>, Arc<Far>, Told) {
    let [one, several] = [false, true].map(|is_concurrent| {
        let mut far = Far::of(series, is_concurrent);
        prepare(&mut far);
        let far = Arc::new(far);
        let told = told(&far, &series.options, &Cancel::default(), operation);
        (far, told)
    });
    assert_eq!(one.1, several.1);
    (one.0, several.0, one.1)
}

fn assert_alone(far: &Far) {
    let me = std::thread::current().id();
    assert_eq!(far.most.load(Ordering::SeqCst), 1, "two calls ran at once");
    assert!(far.threads.lock().unwrap().iter().all(|thread| *thread == me));
}

#[test]
fn several_ranges_are_read_at_a_time_if_the_storage_allows_it() {
    let series = series();
    let dest = series.beside("dest");
    let restore = |store: &mut dyn Store, job: &mut Job| {
        ibt::restore::restore(store, KEY, &dest, job)?;
        assert_same_tree(&series.source, &dest);
        remove(&dest);
        Ok(())
    };
    let verify = |store: &mut dyn Store, job: &mut Job| ibt::inspect::verify(store, Some(KEY), job);
    for operation in [&restore as Operation, &verify] {
        let (one, several, told) = compare(&series, |_| {}, operation);
        assert!(told.error.is_none() && told.problems.is_empty(), "{told:?}");
        assert_alone(&one);
        assert!(several.most.load(Ordering::SeqCst) >= 4, "{:?}", several.most);
        // No byte is read twice: most of the frames that are read ahead are needed.
        let bytes = |far: &Far| far.reads.lock().unwrap().iter().map(|(_, _, len)| len).sum::<usize>();
        assert!(bytes(&several) <= bytes(&one) + (1 << 20), "{} {}", bytes(&several), bytes(&one));
    }
}

/// A restore of one file reads its frame, and none after it.
#[test]
fn a_part_of_the_tree_costs_no_more_than_without_threads() {
    let series = series();
    let path = ibt::entry::Path::new(b"short/11").unwrap();
    let options = Options { paths: vec![path], ..series.options.clone() };
    let dest = series.beside("dest");
    let reads = [false, true].map(|is_concurrent| {
        let far = Arc::new(Far { takes: Duration::ZERO, ..Far::of(&series, is_concurrent) });
        let restore = |store: &mut dyn Store, job: &mut Job| ibt::restore::restore(store, KEY, &dest, job);
        assert!(told(&far, &options, &Cancel::default(), &restore).error.is_none());
        remove(&dest);
        std::mem::take(&mut *far.reads.lock().unwrap())
    });
    assert_eq!(reads[0], reads[1]);
}

#[test]
fn a_read_that_fails_on_a_thread_fails_as_on_the_calling_thread() {
    let series = series();
    let dest = series.beside("dest");
    let restore = |store: &mut dyn Store, job: &mut Job| {
        let restored = ibt::restore::restore(store, KEY, &dest, job);
        if dest.exists() {
            remove(&dest);
        }
        restored
    };
    let verify = |store: &mut dyn Store, job: &mut Job| ibt::inspect::verify(store, Some(KEY), job);
    let said = Refusal { os_code: libc::EIO, reason: Some("the line is down".into()), ..Refusal::default() };
    let refusals =
        [said, Refusal::of(Kind::NotFound), Refusal::of(Kind::Corrupt), Refusal::of(Kind::Cancelled)];
    for refusal in refusals {
        for operation in [&restore as Operation, &verify] {
            let (one, several, told) = compare(
                &series,
                |far| {
                    far.takes = Duration::from_millis(5);
                    // The seek table is at the end, and can be read.
                    let (name, len) = far.full();
                    far.refused = Some((name, 8 << 20..len - 4096, refusal.clone()));
                },
                operation,
            );
            assert!(told.error.is_some() || !told.problems.is_empty(), "{refusal:?}");
            assert_alone(&one);
            assert!(several.most.load(Ordering::SeqCst) > 1);
        }
    }
}

#[test]
fn a_cancel_ends_reading_ahead_within_a_second() {
    let series = series();
    let dest = series.beside("dest");
    let restore = |store: &mut dyn Store, job: &mut Job| ibt::restore::restore(store, KEY, &dest, job);
    let verify = |store: &mut dyn Store, job: &mut Job| ibt::inspect::verify(store, Some(KEY), job);
    for operation in [&restore as Operation, &verify] {
        let far = Arc::new(Far { takes: Duration::from_millis(600), ..Far::of(&series, true) });
        let (cancel, is_done) = (Cancel::default(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let since = scope.spawn(|| {
                while far.most.load(Ordering::SeqCst) < 4 && !is_done.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                cancel.request();
                Instant::now()
            });
            let told = told(&far, &series.options, &cancel, operation);
            is_done.store(true, Ordering::SeqCst);
            let ended = Instant::now();
            assert_eq!(told.error.unwrap().0, Kind::Cancelled);
            let took = ended - since.join().unwrap();
            assert!(took < Duration::from_secs(1), "{took:?}");
        });
        assert!(!dest.exists());
    }
}
