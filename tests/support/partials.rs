//! Series whose fulls publish partial states, and the partial states in their stores.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ibt::entry::Entry;
use ibt::error::Kind;
use ibt::format::names::{BackupFileKind, Name};
use ibt::job::{Cancel, Counter, DeltaMode, Flow, Observer, Options, ProblemKind, Report};
use ibt::stamp::Stamp;
use serde_json::Value;

use super::memory::Memory;
use super::series::{Outcome, Series, counter};
use super::stored;
use super::tools::noise;

/// Bytes of the source from one partial state to the next. Callers of the library use some GiB.
pub const CHECKPOINT: u64 = 100_000;
/// Files of a source, and the length of each.
pub const FILES: usize = 40;
pub const LEN: usize = 30_000;
pub const TOTAL: u64 = (FILES * LEN) as u64;

/// A series whose fulls publish partial states, with an empty source. The files are short, and have signatures because
/// of the kind of deltas.
pub fn checked(series: Series) -> Series {
    let delta = DeltaMode::Signatures;
    let options = Options { checkpoint: CHECKPOINT, delta, ..series.options.clone() };
    Series { options, ..series }
}

pub fn in_directory() -> Series {
    checked(Series { memory: None, ..Series::new() })
}

pub fn in_memory() -> Series {
    checked(Series::over(Memory::default()))
}

/// Writes a source of [`TOTAL`] bytes, and waits until a backup believes that a file is unchanged.
pub fn fill(series: &Series) {
    (0..FILES).for_each(|n| drop(series.write(&path(n), noise(n as u64, LEN))));
    settle();
}

pub fn path(n: usize) -> String {
    format!("dir/{n:02}")
}

pub fn settle() {
    std::thread::sleep(Duration::from_millis(2100));
}

/// Ends a backup at the change of this number.
pub struct EndAt {
    pub left: usize,
    pub kills: bool,
}

impl Observer for EndAt {
    fn change(&mut self, _: u32, _: Option<&Entry>, _: Option<&Entry>) -> Flow {
        self.left = self.left.saturating_sub(1);
        match self.left {
            0 if self.kills => {
                // SAFETY: the call ends this process.
                unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
                Flow::Cancel
            }
            0 => Flow::Cancel,
            _ => Flow::Continue,
        }
    }
}

pub fn full_that_ends_at(series: &Series, at: usize, kills: bool) -> Outcome {
    let mut observer = EndAt { left: at, kills };
    series.run(&series.options, &Cancel::default(), &mut observer, |store, job| {
        ibt::backup::full(store, &series.source, job)
    })
}

/// Cancels a full after it stored `at` entries.
#[track_caller]
pub fn cancel_at(series: &Series, at: usize) {
    full_that_ends_at(series, at, false).refused(Kind::Cancelled);
}

/// A copy of the store and the cache, with the same source.
pub fn twin(series: &Series) -> Series {
    let mut twin = series.fork().twin;
    if let Some(memory) = &series.memory {
        let copy = Memory::default();
        memory.objects().iter().for_each(|(name, bytes)| copy.put(name, bytes));
        twin.memory = Some(Arc::new(copy));
    }
    twin
}

/// Whether this is the name of a partial state.
pub fn is_partial(name: &str) -> bool {
    Name::parse(name).is_some_and(|name| name.kind == BackupFileKind::PartialState)
}

/// The names of all partial states in the store.
pub fn partials(series: &Series) -> Vec<String> {
    series.stored().into_keys().filter(|name| is_partial(name)).collect()
}

#[track_caller]
pub fn the_partial(series: &Series) -> String {
    let found = partials(series);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

/// The document of a state or a partial state. Its name may end in a number.
pub fn document(series: &Series, name: &str) -> Value {
    stored::named_document(name, &series.object(name))
}

/// Whether a state or a partial state has an entry of this path.
pub fn has_entry(series: &Series, name: &str, path: &str) -> bool {
    document(series, name)["entries"].as_array().unwrap().iter().any(|entry| entry["path"] == path)
}

/// The files of the archives that a state or a partial state names.
pub fn archives_of(series: &Series, name: &str) -> BTreeSet<String> {
    stored::archive_names(&document(series, name)).into_iter().collect()
}

pub fn archives(series: &Series) -> BTreeSet<String> {
    series.stored().into_keys().filter(|name| name.contains(".tar")).collect()
}

/// Asserts that the store has exactly the archives that its states and partial states name.
#[track_caller]
pub fn assert_all_named(series: &Series) {
    let states = series.stored().into_keys().filter(|name| name.contains(".json"));
    let states: Vec<_> = states.filter(|name| !name.contains(".retired.")).collect();
    let named: BTreeSet<_> = states.iter().flat_map(|name| archives_of(series, name)).collect();
    assert_eq!(archives(series), named);
}

/// Makes a full that must succeed, and checks that it read and took over every byte of the source once. Returns the
/// number of bytes that it read.
#[track_caller]
pub fn go_on(series: &Series, total: u64) -> u64 {
    let report = series.full().whole();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let read = counter(&report, Counter::BytesRead);
    assert_eq!(read + counter(&report, Counter::BytesAlreadyStored), total);
    assert_eq!(counter(&report, Counter::Created), counter(&report, Counter::Entries));
    assert_eq!(partials(series), [""; 0]);
    series.assert_newest_is_the_source();
    read
}

pub fn leftover_files(report: &Report) -> Vec<Option<String>> {
    let leftovers = report.problems.iter().filter(|problem| problem.kind == ProblemKind::Leftover);
    leftovers.map(|problem| problem.file.clone()).collect()
}

/// Like [`stored::forge`], for a name that may end in a number.
pub fn forge(partial: &Path, from: &str, to: &str) {
    let plain = partial.with_file_name("plain.json.zst");
    fs::rename(partial, &plain).unwrap();
    stored::forge(&plain, from, to);
    fs::rename(&plain, partial).unwrap();
}

/// Replaces the line of an entry in a partial state, and computes the digests again.
#[track_caller]
pub fn forge_entry(partial: &Path, path: &str, change: impl FnOnce(&str) -> String) {
    let plain = partial.with_file_name("plain.json.zst");
    fs::rename(partial, &plain).unwrap();
    let line = stored::line(&plain, path);
    stored::forge(&plain, &line, &change(&line));
    fs::rename(&plain, partial).unwrap();
}

pub fn first_archive(series: &Series, partial: &str) -> String {
    document(series, partial)["archives"][0]["name"].as_str().unwrap().to_string()
}

/// The stamp in the name of a file.
pub fn stamp(name: &str) -> Stamp {
    Name::parse(name).unwrap().stamp
}

/// The fulls of one source in two stores, with the same options: one goes on, the other begins from zero. They have the
/// same tree, and report the same entries. Returns the report of the one that goes on.
#[track_caller]
pub fn full_like_from_zero(series: &Series) -> Report {
    let mut other = Series { memory: None, ..Series::new() };
    other.source = series.source.clone();
    other.options = Options { cache_dir: other.options.cache_dir, ..series.options.clone() };
    let zero = other.full().ok();
    let report = series.full().ok();
    assert_eq!(report.digest, zero.digest);
    for which in [Counter::Entries, Counter::Created, Counter::Bytes, Counter::Problems] {
        assert_eq!(counter(&report, which), counter(&zero, which), "{}", which.name());
    }
    series.verify(&series.options).whole();
    report
}

/// Like [`full_like_from_zero`]. The options select the whole source.
#[track_caller]
pub fn assert_like_from_zero(series: &Series) {
    full_like_from_zero(series);
    series.assert_newest_is_the_source();
}
