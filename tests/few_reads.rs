//! An operation that needs no entries reads only a little of each state: a short state with one read, a long one with
//! two. Each operation lists the store as seldom as it can.

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ibt::error::Kind;
use ibt::inspect;
use ibt::job::{Action, Cancel, Job, Keep, Options, Report, Silent};
use ibt::retain;
use ibt::store::callbacks::{Answer, Backend, Listing, Refusal};
use ibt::store::{CallbackStore, Store};
use support::*;

/// The most bytes that the header and the end of a state take.
const ENDS_MAX: usize = 70 << 10;

/// A caller's storage over a directory. It counts the calls, and the reads of each object.
struct Counted {
    dir: PathBuf,
    /// The object and the bytes of each read.
    reads: Mutex<Vec<(String, usize)>>,
    /// The names of all calls except those that write or end a stream.
    calls: Mutex<Vec<&'static str>>,
    reads_cheaply: bool,
    has_locks: bool,
    /// The time that each list takes.
    lists_in: Duration,
}

impl Counted {
    fn of(series: &Series) -> Counted {
        Counted {
            dir: series.store.clone(),
            reads: Mutex::default(),
            calls: Mutex::default(),
            reads_cheaply: false,
            has_locks: true,
            lists_in: Duration::ZERO,
        }
    }

    fn call(&self, name: &'static str) {
        self.calls.lock().unwrap().push(name);
    }
}

impl Backend for Counted {
    type Stream = (PathBuf, Vec<u8>);

    fn create(&self, name: &str) -> Answer<Self::Stream> {
        self.call("create");
        Ok((self.dir.join(name), Vec::new()))
    }

    fn write(&self, (_, held): &mut Self::Stream, bytes: &[u8]) -> Answer<()> {
        held.extend_from_slice(bytes);
        Ok(())
    }

    fn commit(&self, (path, held): Self::Stream) -> Answer<()> {
        fs::write(path, held).map_err(|_| Refusal::of(Kind::Io))
    }

    fn abort(&self, _: Self::Stream) {}

    fn read_at(&self, name: &str, offset: u64, buf: &mut [u8]) -> Answer<usize> {
        self.call("read");
        let got = File::open(self.dir.join(name)).unwrap().read_at(buf, offset).unwrap();
        self.reads.lock().unwrap().push((name.to_string(), got));
        Ok(got)
    }

    fn list(&self, prefix: &str, out: &mut Listing) -> Answer<()> {
        self.call("list");
        std::thread::sleep(self.lists_in);
        let names = support::series::stored(&self.dir).into_iter();
        names.filter(|(name, _)| name.starts_with(prefix)).for_each(|(name, size)| out.add(&name, size));
        Ok(())
    }

    fn delete(&self, name: &str) -> Answer<()> {
        self.call("delete");
        fs::remove_file(self.dir.join(name)).unwrap();
        Ok(())
    }

    fn has_locks(&self) -> bool {
        self.has_locks
    }

    fn reads_cheaply(&self) -> bool {
        self.reads_cheaply
    }

    fn lock(&self, _: &str) -> Answer<()> {
        Ok(())
    }

    fn unlock(&self, _: &str) {}
}

/// Prunes with the options `prune`, or lists all snapshots if there are none. Returns the report and the reads.
fn done(series: &Series, prune: Option<&Options>) -> (Report, Vec<(String, usize)>) {
    let backend = Arc::new(Counted::of(series));
    let mut store = CallbackStore::new(backend.clone());
    let (cancel, mut silent) = (Cancel::default(), Silent);
    let mut job = Job::new(prune.unwrap_or(&series.options), &cancel, &mut silent);
    let ended = match prune {
        Some(_) => retain::prune(&mut store, "tree", &mut job),
        None => inspect::list(&mut store, None, &mut job),
    };
    ended.unwrap();
    let report = job.report;
    assert!(!report.is_partial());
    let reads = std::mem::take(&mut *backend.reads.lock().unwrap());
    (report, reads)
}

/// Three snapshots of `files` empty files.
fn three_snapshots(files: usize, codec: ibt::job::Codec) -> Series {
    let mut series = Series::new();
    series.options.codec = codec;
    (0..files).for_each(|n| drop(series.write(&format!("file {n}"), "")));
    (0..3).for_each(|_| drop(series.snapshot()));
    series
}

#[test]
fn a_list_and_a_prune_read_little_more_than_both_ends_of_each_state() {
    for (files, reads_max) in [(10, 1), (6000, 2)] {
        for codec in [ibt::job::Codec::Zstd(1), ibt::job::Codec::None] {
            // The newest snapshot has no layers, so a prune needs none of the older states whole.
            let mut series = three_snapshots(files, codec);
            let newest = series.full().whole();
            series.keep(&newest);
            let keep = series.keeping(Keep { last: 1, ..Keep::default() });
            for prune in [None, Some(&Options { dry_run: true, ..keep.clone() }), Some(&keep)] {
                let (report, reads) = done(&series, prune);
                assert_eq!(report.snapshots.len(), 4);
                let removed = report.snapshots.iter().filter(|s| s.action == Action::Removed).count();
                assert_eq!(removed, if prune.is_some() { 3 } else { 0 });
                // A prune reads the newest state whole, because this snapshot must be sound before others are removed.
                let points = &series.points[..if prune.is_some() { 3 } else { 4 }];
                for point in points {
                    let of_state = |(name, _): &&(String, usize)| name.contains(&point.stamp.to_string());
                    let sizes: Vec<_> = reads.iter().filter(of_state).map(|(_, bytes)| *bytes).collect();
                    let bytes: usize = sizes.iter().sum();
                    // Without compression both ends are read in pieces of 64 KiB.
                    assert!(!sizes.is_empty(), "{files} files: the state of {} was not read", point.stamp);
                    assert!(sizes.len() <= reads_max && bytes <= 2 * ENDS_MAX, "{files} files: {sizes:?}");
                    assert!(codec == ibt::job::Codec::None || bytes <= ENDS_MAX, "{files} files: {sizes:?}");
                }
                assert!(reads.iter().all(|(name, _)| name.contains(".state.")), "{reads:?}");
            }
        }
    }
}

/// A list reads only the two ends of a state, and finds damage there. Only a verify finds damage among the entries.
#[test]
fn a_list_tells_damage_of_what_it_reads_and_a_verify_all_damage() {
    let series = three_snapshots(6000, ibt::job::Codec::Zstd(1));
    // The state without layers, which is a layer of the other two.
    let state = stored::state_files(&series.newest("state")).pop().unwrap();
    let good = fs::read(&state).unwrap();
    let damaged = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&state, bad).unwrap();
        let listed = series.list().ok();
        assert!(series.verify(&series.options).ok().is_partial());
        (listed.snapshots.len(), listed.problems.len())
    };
    assert_eq!(damaged(good.len() / 2), (3, 0));
    assert_eq!(damaged(100), (0, 3));
    assert_eq!(damaged(good.len() - 300), (0, 3));
}

/// The bytes that an increment reads of SigVaults in the store.
fn signature_bytes(series: &Series, reads_cheaply: bool) -> usize {
    let backend = Arc::new(Counted { reads_cheaply, ..Counted::of(series) });
    let (cancel, mut silent) = (Cancel::default(), Silent);
    let mut job = Job::new(&series.options, &cancel, &mut silent);
    ibt::backup::incremental(&mut CallbackStore::new(backend.clone()), &series.source, &mut job).unwrap();
    assert!(!job.report.is_partial());
    let reads = backend.reads.lock().unwrap();
    reads.iter().filter(|(name, _)| name.contains(".sigvault.")).map(|(_, bytes)| bytes).sum()
}

/// One of many files changes. Where reads are cheap, an increment reads the file's signature from the store, and
/// neither makes nor reads a copy of the whole SigVault in the cache.
#[test]
fn an_increment_reads_of_a_sigvault_only_what_it_needs() {
    let mut series = Series::new();
    series.options.codec = ibt::job::Codec::None;
    series.options.delta = ibt::job::DeltaMode::Signatures;
    (0..400).for_each(|n| drop(series.write(&format!("file {n}"), noise(n, 17_000))));
    series.snapshot();
    let vault = series.newest("sigvault");
    let size = fs::metadata(&vault).unwrap().len() as usize;
    assert!(size > 300_000);
    series.write("file 7", [noise(7, 17_000), noise(1000, 10)].concat());
    let copy = || {
        let mut dirs = fs::read_dir(series.cache()).unwrap().map(|dir| dir.unwrap().path());
        dirs.find(|dir| dir.is_dir()).unwrap().join(vault.file_name().unwrap())
    };
    assert_eq!(signature_bytes(&series, false), 0, "the cache has a copy");
    fs::remove_file(copy()).unwrap();
    series.write("file 7", [noise(7, 17_000), noise(1001, 20)].concat());
    let read = signature_bytes(&series, true);
    assert!((192..size).contains(&read) && !copy().exists(), "{read} of {size} bytes");
    series.write("file 7", [noise(7, 17_000), noise(1002, 30)].concat());
    assert!(signature_bytes(&series, false) >= size && copy().exists(), "a copy is made");
}

/// The calls of an operation on the store of a series.
fn calls(
    backend: Counted,
    options: &Options,
    operation: impl FnOnce(&mut dyn Store, &mut Job) -> Result<(), ibt::error::Error>,
) -> Vec<&'static str> {
    let backend = Arc::new(backend);
    let (cancel, mut silent) = (Cancel::default(), Silent);
    let mut job = Job::new(options, &cancel, &mut silent);
    operation(&mut CallbackStore::new(backend.clone()), &mut job).unwrap();
    assert!(!job.report.is_partial());
    drop(job);
    std::mem::take(&mut *backend.calls.lock().unwrap())
}

/// Where nothing is locked, the list after the state is written finds what another process did meanwhile. One read
/// compares the end of the newest state with the copy in the cache.
#[test]
fn an_increment_without_changes_makes_four_calls() {
    let mut series = Series::new();
    series.write("file", "old");
    series.snapshot();
    let incremental =
        |store: &mut dyn Store, job: &mut Job| ibt::backup::incremental(store, &series.source, job);
    let unlocked = || Counted { has_locks: false, ..Counted::of(&series) };
    assert_eq!(calls(unlocked(), &series.options, incremental), ["list", "read", "create", "list"]);
    // A key is looked up before a lock leaves a trace.
    let locked = calls(Counted::of(&series), &series.options, incremental);
    assert_eq!(locked.iter().filter(|call| **call == "list").count(), 3, "{locked:?}");
    assert_eq!(locked[..2], ["list", "list"]);
}

/// The state is not written before the store was looked at again.
#[test]
fn a_backup_that_takes_long_lists_the_store_before_it_writes_its_state() {
    let mut series = Series::new();
    series.write("file", "old");
    series.snapshot();
    let slow = Counted { has_locks: false, lists_in: Duration::from_millis(5100), ..Counted::of(&series) };
    let made =
        calls(slow, &series.options, |store, job| ibt::backup::incremental(store, &series.source, job));
    assert_eq!(made, ["list", "read", "list", "create", "list"]);
}

/// The state, the seek table of the archive, and the frame with the file.
#[test]
fn a_restore_of_one_file_reads_three_times() {
    let mut series = Series::new();
    (0..50).for_each(|n| drop(series.write(&format!("file {n}"), noise(n, 9000))));
    series.snapshot();
    let options =
        Options { paths: vec![ibt::entry::Path::new(b"file 7").unwrap()], ..series.options.clone() };
    let dest = series.beside("dest");
    let made = calls(Counted::of(&series), &options, |store, job| {
        ibt::restore::restore(store, support::series::KEY, &dest, job)
    });
    assert_eq!(made, ["list", "read", "read", "read"]);
}

/// A list of `ibt_list_snapshots()` also looks for backups of the Python ancestor.
#[test]
fn a_list_of_snapshots_lists_the_store_once() {
    let series = three_snapshots(10, ibt::job::Codec::Zstd(1));
    for key in [Some("tree"), None] {
        let made =
            calls(Counted::of(&series), &series.options, |store, job| ibt::ancestor::list(store, key, job));
        assert_eq!(made, ["list", "read", "read", "read"], "{key:?}");
    }
}
