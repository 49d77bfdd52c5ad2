//! Long chains of small changes: every snapshot reads exactly like a full of the same tree.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ibt::entry::{self, Entry};
use ibt::inspect::Snapshot;
use ibt::job::{Cancel, Counter, Flow, Job, Keep, Select, Silent};
use ibt::store::DirStore;
use proptest::prelude::*;

use crate::support::series::{KEY, counter};
use crate::support::tools::{command, set_mode};
use crate::support::tree::set_mtime;
use crate::support::*;

/// A source of 300 files: so many that a small change makes a layer, and not a whole state.
fn broad() -> Series {
    let mut series = Series::new();
    for n in 0..300 {
        series.write(&format!("m/{}/file {n}", n % 13), format!("content {n}"));
    }
    series.snapshot();
    series
}

/// Changes one of the many files a little, so that no snapshot is exactly like the one before.
fn stir(series: &Series, round: usize) {
    series.write(&format!("m/{}/file {}", round % 13, round % 13), format!("changed in round {round}"));
}

/// Compares every snapshot of the chain with a full of the same tree, and with a reader that was written from the
/// description of the format.
struct Chain {
    series: Series,
    /// A store with one full for each snapshot.
    fulls: Series,
}

impl Chain {
    fn new(series: Series) -> Chain {
        let mut fulls = Series::new();
        fulls.source = series.source.clone();
        fulls.full().whole();
        Chain { series, fulls }
    }

    /// An increment of the source as it is now.
    #[track_caller]
    fn step(&mut self) {
        let report = self.series.snapshot();
        let full = self.fulls.full().whole();
        assert_eq!(report.digest, full.digest, "the increment has another tree");
        for which in [Counter::Entries, Counter::Bytes] {
            assert_eq!(counter(&report, which), counter(&full, which));
        }
        let state = self.series.newest("state");
        let tree = stored::file(&state)["tree"].clone();
        assert_eq!(stored::b3sum(&stored::logical_lines(&state)), tree, "the merged lines are another tree");
        let (ours, theirs) = (entries(&self.series), entries(&self.fulls));
        let same = |(a, b): (&Entry, &Entry)| {
            a.path == b.path && a.meta == b.meta && a.node == b.node && a.link == b.link
        };
        assert!(ours.len() == theirs.len() && ours.iter().zip(&theirs).all(same), "{ours:#?} {theirs:#?}");
    }

    /// For each snapshot, the number of state files that it needs.
    fn files(&self) -> Vec<usize> {
        let points = self.series.points.iter();
        points.map(|point| 1 + self.series.layers_of(point.stamp).len()).collect()
    }

    /// Ends with checks of all snapshots together.
    #[track_caller]
    fn finish(mut self) {
        let files = self.files();
        assert!(files[1..].iter().all(|count| *count > 1), "{files:?}");
        assert!(files.iter().filter(|count| **count > 2).count() >= 3, "{files:?}");
        self.series.sound();
        self.fulls.sound();
        let changes = self.series.silently(&self.series.options, |store, job| {
            ibt::inspect::compare(store, KEY, &self.series.source, job)
        });
        let changes = changes.whole();
        for which in [Counter::Created, Counter::Modified, Counter::Deleted, Counter::Metadata] {
            assert_eq!(counter(&changes, which), 0, "{changes:?}");
        }
        self.series.assert_every_point_restores();
        let newest = self.series.list().whole().snapshots.last().unwrap().digest;
        let report = self.series.consolidate().whole();
        assert_eq!(report.digest, newest);
        self.series.keep(&report);
        // Removing every second snapshot changes none of the others.
        let odd: Vec<_> = (0..self.series.points.len() - 1).filter(|index| index % 2 == 1).collect();
        for index in odd.into_iter().rev() {
            let stamp = self.series.points.remove(index).stamp;
            self.series.prune(&self.series.selecting(Select::Exactly(stamp))).whole();
        }
        assert_eq!(self.series.sound().len(), self.series.points.len());
        self.series.assert_every_point_restores();
        self.series.prune(&self.series.keeping(Keep { last: 1, ..Keep::default() })).whole();
        let left: Vec<_> = self.series.stored().into_keys().collect();
        let stamp = self.series.points.pop().unwrap().stamp.to_string();
        assert!(left.iter().all(|name| name.contains(&stamp)), "{left:?}");
    }
}

/// All entries of the newest snapshot, as a browser sees them.
fn entries(series: &Series) -> Vec<Entry> {
    let (mut silent, cancel) = (Silent, Cancel::default());
    let mut job = Job::new(&series.options, &cancel, &mut silent);
    let mut store = DirStore::open(&series.store);
    let mut snapshot = Snapshot::open(&mut store, KEY, &mut job).unwrap();
    let mut entries = Vec::new();
    let each = &mut |entry: &Entry| {
        entries.push(entry.clone());
        Flow::Continue
    };
    snapshot.list(&entry::Path::new(b"").unwrap(), u32::MAX, each).unwrap();
    entries
}

fn odd(series: &Series, name: &[u8]) -> PathBuf {
    series.source.join("odd").join(OsStr::from_bytes(name))
}

fn put(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Removes the entry at the path, if there is one.
fn clear(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// If paths were compared byte by byte, a name with a byte below '/', for example `a-`, would sort between the
/// directory `a` and its entries.
#[test]
fn names_that_sort_oddly_change_their_types() {
    let mut chain = Chain::new(broad());
    let names: [&[u8]; 12] =
        [b"a", b"a-", b"a!", b"a.", b"a\x01", b"a%41", b"a%", b"aA", b"a\xff", b"A", b"a b", b"-"];
    for round in 0..16 {
        stir(&chain.series, round);
        for (number, name) in names.iter().enumerate() {
            let path = odd(&chain.series, name);
            match (round * 5 + number * 7 + round * number) % 6 {
                0 => {
                    clear(&path);
                    put(&path, &format!("file of {round}"));
                }
                1 => {
                    clear(&path);
                    put(&path.join("b"), "in a directory");
                    put(&path.join("b-/c"), "deeper");
                }
                2 if path.is_dir() => {
                    clear(&path.join("b"));
                    put(&path.join("b/c/d"), &format!("a directory in {round}"));
                }
                3 => {
                    clear(&path);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::os::unix::fs::symlink(format!("to {round}"), &path).unwrap();
                }
                4 => clear(&path),
                _ => {}
            }
        }
        chain.step();
    }
    chain.finish();
}

/// A path is a directory, then a file, then a directory again, with the same names inside or with others.
#[test]
fn a_directory_becomes_a_file_and_a_directory_again() {
    let mut chain = Chain::new(broad());
    for round in 0..14 {
        stir(&chain.series, round);
        let path = odd(&chain.series, b"d");
        match round % 7 {
            0 => ["a", "b/c", "b/d/e"].iter().for_each(|name| put(&path.join(name), "first")),
            1 => {
                clear(&path);
                put(&path, "a file");
            }
            2 => {
                clear(&path);
                ["b/c", "z"].iter().for_each(|name| put(&path.join(name), "second"));
            }
            3 => {
                clear(&path.join("b"));
                put(&path.join("b"), "a file inside");
            }
            4 => {
                clear(&path.join("b"));
                put(&path.join("b/d/e"), "third");
            }
            5 => clear(&path),
            _ => put(&path.with_file_name("d-"), &format!("beside {round}")),
        }
        chain.step();
    }
    chain.finish();
}

#[test]
fn names_of_one_file_come_and_go() {
    let mut chain = Chain::new(broad());
    let h = |series: &Series, name: &str| series.source.join("h").join(name);
    let link = |series: &Series, from: &str, to: &str| fs::hard_link(h(series, from), h(series, to)).unwrap();
    put(&h(&chain.series, "3"), "one file");
    for round in 0..14 {
        stir(&chain.series, round);
        let series = &chain.series;
        match round {
            0 => ["5", "7"].iter().for_each(|name| link(series, "3", name)),
            // A new name becomes the first one, and is removed again.
            1 => link(series, "3", "1"),
            2 => clear(&h(series, "1")),
            // The first name moves behind the others, and before them.
            3 => fs::rename(h(series, "3"), h(series, "9")).unwrap(),
            4 => fs::rename(h(series, "9"), h(series, "0")).unwrap(),
            // The content changes under all names, then only the mode.
            5 => fs::write(h(series, "7"), "other bytes").unwrap(),
            6 => set_mode(&h(series, "5"), 0o640),
            // One name becomes another file with the same bytes.
            7 => {
                clear(&h(series, "0"));
                fs::write(h(series, "0"), "other bytes").unwrap();
            }
            8 => {
                clear(&h(series, "5"));
                put(&h(series, "5/inside"), "a directory in its place");
            }
            9 => {
                clear(&h(series, "5"));
                link(series, "7", "5");
            }
            // A name in another directory, which sorts first.
            10 => {
                fs::create_dir(series.source.join("a")).unwrap();
                fs::hard_link(h(series, "7"), series.source.join("a/first")).unwrap();
            }
            11 => clear(&series.source.join("a")),
            12 => clear(&h(series, "7")),
            _ => link(series, "5", "7"),
        }
        chain.step();
    }
    chain.finish();
}

#[test]
fn metadata_alone_changes() {
    let mut chain = Chain::new(broad());
    put(&odd(&chain.series, b"f"), "stays");
    std::os::unix::fs::symlink("here", odd(&chain.series, b"s")).unwrap();
    run(command("mkfifo", ["--"]).arg(odd(&chain.series, b"p")));
    for round in 0..12 {
        let series = &chain.series;
        match round % 4 {
            0 => set_mode(&odd(series, b"f"), 0o600 + round as u32),
            1 => set_mtime(&odd(series, b"f"), (round as i64 - 5, 7)),
            2 => set_mode(&series.source.join("m"), 0o700 + round as u32),
            _ => {
                set_mtime(&odd(series, b"s"), (1000 + round as i64, 1));
                set_mtime(&odd(series, b"p"), (round as i64, 999_999_999));
            }
        }
        if round % 3 == 0 {
            stir(series, round);
        }
        chain.step();
    }
    chain.finish();
}

proptest! {
    #![proptest_config(cases(2))]

    #[test]
    fn any_edits_in_a_broad_tree(tree in trees(20), rounds in prop::collection::vec(edits(3), 12..15)) {
        let series = broad();
        fs::create_dir(series.source.join("odd")).unwrap();
        tree.make(&series.source.join("odd"));
        let mut chain = Chain::new(series);
        for (round, edits) in rounds.iter().enumerate() {
            stir(&chain.series, round);
            edits.iter().for_each(|edit| edit.apply(&chain.series.source.join("odd")));
            chain.step();
        }
        chain.finish();
    }
}
