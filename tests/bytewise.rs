//! Deltas that are made byte by byte, against the old contents in the store: they are small, and damaged old contents
//! do no harm.

mod support;

use std::fs;

use ibt::job::{Codec, DeltaMode, Options, Select};
use proptest::collection::vec;
use proptest::prelude::*;
use support::counting::Counting;
use support::series::remove;
use support::*;

/// Names and lengths of three files: too short for a signature, long enough for one, and too long to be read into
/// memory as a whole.
const LENGTHS: [(&str, usize); 3] = [("tiny", 5000), ("small", 100_000), ("long", 3 << 20)];

/// Bytes of an archive with one member of at most 512 bytes: three blocks of headers, one of data, and two for the end.
const SMALLEST: u64 = 6 * 512;

fn series(delta: DeltaMode) -> Series {
    let mut series = Series::new();
    series.options = Options { delta, codec: Codec::None, ..series.options.clone() };
    series
}

/// Changes ten bytes at each of `count` places.
fn edit(series: &Series, name: &str, count: usize, round: u64) {
    let path = series.source.join(name);
    let mut bytes = fs::read(&path).unwrap();
    let step = bytes.len() / count;
    for (number, part) in bytes.chunks_mut(step).enumerate() {
        let new = noise(round * 1000 + number as u64, 10);
        let len = part.len().min(10);
        part[..len].copy_from_slice(&new[..len]);
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_edit_costs_little_more_than_its_bytes() {
    for (name, len) in LENGTHS {
        let mut stored = Vec::new();
        for delta in [DeltaMode::Contents, DeltaMode::Auto, DeltaMode::Signatures] {
            let mut series = series(delta);
            series.write(name, noise(7, len));
            series.snapshot();
            let mut lens = Vec::new();
            for round in 0..3 {
                edit(&series, name, 10, round);
                let (_, added) = series.increment();
                lens.push(added.get("updated").or(added.get("created")).copied().unwrap());
            }
            series.assert_every_point_restores();
            stored.push(lens);
        }
        assert!(stored[0].iter().all(|&len| len <= SMALLEST), "{name}: {stored:?}");
        assert_eq!(stored[0], stored[1], "{name}: a directory is cheap to read");
        assert!(stored[2].iter().all(|&len| len > stored[0][0]), "{name}: {stored:?}");
    }
}

/// The names of the entries of the newest snapshot that have a signature.
fn signed(series: &Series) -> Vec<String> {
    let state = stored::parse(&series.newest("state"));
    let entries = state["entries"].as_array().unwrap().iter();
    let signed = entries.filter(|entry| entry["at"]["sig"].is_object());
    signed.map(|entry| entry["path"].as_str().unwrap().to_string()).collect()
}

/// A content that is compared as a whole needs no signature.
#[test]
fn the_kind_of_deltas_decides_which_contents_are_signed() {
    let lengths = [(16 << 10) - 1, 16 << 10, (256 << 10) - 1, 256 << 10, 3 << 20];
    for (delta, shortest) in
        [(DeltaMode::Contents, 256 << 10), (DeltaMode::Auto, 256 << 10), (DeltaMode::Signatures, 16 << 10)]
    {
        let mut series = series(delta);
        for (seed, len) in (0..).zip(lengths) {
            series.write(&format!("{len:07}"), noise(seed, len));
        }
        let should: Vec<_> = lengths.into_iter().filter(|len| *len >= shortest).collect();
        let should: Vec<_> = should.into_iter().map(|len| format!("{len:07}")).collect();
        series.snapshot();
        assert_eq!(signed(&series), should, "{delta:?}, full");
        for (seed, len) in (10..).zip(lengths) {
            series.write(&format!("{len:07}"), noise(seed, len));
        }
        series.snapshot();
        assert_eq!(signed(&series), should, "{delta:?}, stored whole again");
        fs::remove_file(series.source.join(&should[0])).unwrap();
        series.snapshot();
        series.consolidate().whole();
        assert_eq!(signed(&series), should[1..], "{delta:?}, consolidated");
    }
}

/// A store may get deltas of one kind and then of the other.
#[test]
fn a_store_changes_from_one_kind_of_deltas_to_the_other() {
    let mut series = series(DeltaMode::Contents);
    series.write("edited", noise(1, 100_000));
    series.write("stays", noise(2, 100_000));
    series.snapshot();
    series.options.delta = DeltaMode::Signatures;
    edit(&series, "edited", 3, 0);
    let (_, added) = series.increment();
    assert!(added["created"] > 100_000 && !added.contains_key("updated"), "without a signature: {added:?}");
    assert_eq!(signed(&series), ["edited"]);
    edit(&series, "edited", 3, 1);
    let (_, added) = series.increment();
    assert!(added["updated"] < 20_000 && !added.contains_key("created"), "{added:?}");
    // The option heal makes the missing signature. The content is not stored again.
    let heal = Options { heal: true, ..series.options.clone() };
    let before = series.stored();
    let report =
        series.silently(&heal, |store, job| ibt::backup::incremental(store, &series.source, job)).whole();
    series.keep(&report);
    let added = series.added(&before);
    assert!(added.contains_key("sigvault") && !added.contains_key("created"), "{added:?}");
    assert_eq!(signed(&series), ["edited", "stays"]);
    series.options.delta = DeltaMode::Contents;
    edit(&series, "stays", 3, 2);
    let (_, added) = series.increment();
    assert!(added["updated"] <= SMALLEST && !added.contains_key("created"), "{added:?}");
    series.assert_every_point_restores();
}

#[test]
fn bytes_that_were_inserted_and_moved_are_found() {
    for (name, len) in LENGTHS {
        let mut series = series(DeltaMode::Contents);
        let old = noise(7, len);
        series.write(name, &old);
        series.snapshot();
        let (a, b) = (len / 3, len / 3 * 2);
        series.write(name, [&old[..a], b"inserted", &old[a..b], &old[b + 40..], b"at the end"].concat());
        let (_, added) = series.increment();
        assert!(added["updated"] <= SMALLEST && !added.contains_key("created"), "{name}: {added:?}");
        series.assert_every_point_restores();
    }
}

/// Without compression an archive has no checksums, so wrong bytes are read like right ones.
#[test]
fn old_contents_that_are_damaged_are_not_compared_with() {
    for (name, len) in LENGTHS {
        let mut series = series(DeltaMode::Contents);
        let old = noise(7, len);
        series.write(name, &old);
        series.write("whole", noise(8, len));
        series.snapshot();
        let archive = series.newest("full");
        let mut bytes = fs::read(&archive).unwrap();
        let at = bytes.windows(64).position(|window| window == &old[len / 2..len / 2 + 64]).unwrap();
        bytes[at + 50] ^= 1;
        fs::write(&archive, bytes).unwrap();

        let mut new = old.clone();
        new[len / 2 + 10] ^= 1;
        series.write(name, &new);
        let report = series.incremental();
        let problems: Vec<_> = report.report.problems.iter().map(|problem| problem.path.clone()).collect();
        assert_eq!(problems, [Some(name.as_bytes().to_vec())], "{name}");
        report.result.unwrap();
        // The file was stored whole: the new snapshot does not need the damaged bytes.
        series.assert_newest_is_the_source();
    }
}

#[test]
fn an_archive_that_lost_frames_costs_no_increment() {
    let contents = || {
        let mut series = Series::new();
        series.options.delta = DeltaMode::Contents;
        for (name, len) in LENGTHS {
            series.write(name, noise(7, len));
        }
        series.snapshot();
        LENGTHS.iter().for_each(|(name, _)| edit(&series, name, 5, 1));
        series.snapshot();
        LENGTHS.iter().for_each(|(name, _)| edit(&series, name, 5, 2));
        series
    };
    let series = contents();
    let compared = std::cell::Cell::new(0);
    proptest!(cases(24), |(updated: bool, changes in support::changes::changes())| {
        let fork = series.fork();
        let archive = fork.twin.newest(if updated { "updated" } else { "full" });
        let size = fs::metadata(&archive).unwrap().len() as usize;
        let mut bytes = support::changes::changed(fs::read(&archive).unwrap(), &changes);
        bytes.resize(size, 0);
        fs::write(&archive, bytes).unwrap();
        fork.twin.incremental().result.unwrap();
        // A file whose old content could not be read is stored whole. The delta of any other file may need other
        // damaged frames, so its restore may fail. No file is restored with wrong bytes.
        let dest = fork.twin.beside("restored");
        let outcome = fork.twin.restore(Select::Newest, &dest);
        if outcome.result.is_ok() {
            for (name, _) in LENGTHS {
                if let Ok(restored) = fs::read(dest.join(name)) {
                    prop_assert!(restored == fs::read(fork.twin.source.join(name)).unwrap(), "{name}");
                    compared.set(compared.get() + 1);
                }
            }
            remove(&dest);
        }
    });
    assert!(compared.get() > 0, "no damaged store gave a file back");
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn every_version_of_a_long_file_restores(
        rounds in vec(vec((any::<u32>(), 0..6u8, 0..3000usize), 1..12), 1..5), zeros: bool,
    ) {
        let mut series = series(DeltaMode::Contents);
        let mut bytes = noise(1, 1_300_000);
        if zeros {
            bytes[200_000..900_000].fill(0);
        }
        series.write("f", &bytes);
        series.snapshot();
        for (round, edits) in rounds.iter().enumerate() {
            for &(at, kind, len) in edits {
                let at = at as usize % bytes.len();
                let end = bytes.len().min(at + len);
                match kind {
                    0 => drop(bytes.splice(at..at, noise(round as u64, len))),
                    1 => drop(bytes.drain(at..end)),
                    2 => bytes[at..end].fill(0),
                    3 => bytes.rotate_left(at),
                    4 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
                    _ => bytes[at..end].iter_mut().step_by(97).for_each(|byte| *byte ^= 1),
                }
            }
            series.write("f", &bytes);
            series.snapshot();
        }
        series.assert_every_point_restores();
    }
}

#[test]
fn a_content_in_very_many_pieces_is_stored_whole_again() {
    let mut series = series(DeltaMode::Contents);
    series.write("f", noise(1, 2 << 20));
    series.snapshot();
    let mut kinds = Vec::new();
    for round in 0..4 {
        // 2 MiB may have 8192 pieces, and each edit adds two.
        edit(&series, "f", 2600, 10 + round);
        let (_, added) = series.increment();
        kinds.push(added.contains_key("created"));
    }
    assert!(!kinds[0] && kinds.contains(&true), "{kinds:?}");
    series.assert_every_point_restores();
}

/// The bytes of archives that one increment reads, in MiB, after the file has changed from `old` to `new`.
fn read_by_an_increment(old: &[u8], new: &[u8]) -> u64 {
    let series = series(DeltaMode::Contents);
    series.write("file", old);
    series.full().whole();
    series.write("file", new);
    let mut read = 0;
    series
        .silently(&series.options, |store, job| {
            let mut store = Counting::new(store);
            let done = ibt::backup::incremental(&mut store, &series.source, job);
            read = store.read;
            done
        })
        .whole();
    series.assert_newest_is_the_source();
    read >> 20
}

/// The pages of a file come in another order, as in the file of a database after a rewrite. Each literal then needs
/// another frame of the old content.
#[test]
fn pages_in_another_order_cost_a_bounded_amount_of_reading() {
    const LEN: usize = 48 << 20;
    const PAGE: usize = 16 << 10;
    let old = noise(1, LEN);
    // A step that has no common factor with the number of pages visits each of them.
    let pages = LEN / PAGE;
    let mut new = Vec::with_capacity(LEN);
    for page in (0..pages).map(|n| n * 1237 % pages) {
        new.extend_from_slice(&old[page * PAGE..(page + 1) * PAGE]);
    }
    for page in new.chunks_mut(PAGE) {
        page[100] ^= 1;
    }
    let read = read_by_an_increment(&old, &new);
    assert!(read < 3 * 48 + 64, "{read} MiB were read of a file of 48 MiB");
}

/// Noise has nothing in common with the old content. The search notices this early and stops reading the old content.
#[test]
fn a_content_without_gain_is_not_read_to_its_end() {
    let old = noise(1, 96 << 20);
    let mut new = old.clone();
    new[24 << 20..88 << 20].copy_from_slice(&noise(2, 64 << 20));
    let read = read_by_an_increment(&old, &new);
    assert!(read < 32, "{read} MiB were read for 64 MiB of noise");
}
