//! A consolidation makes a full from the store alone, without the source. The full equals the newest snapshot, and
//! needs no other snapshot.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use ibt::error::Kind;
use ibt::job::{Cancel, Codec, Counter, ProblemKind, Report, Select, Silent};
use proptest::collection::vec;
use proptest::prelude::*;
use support::counting::Counting;
use support::series::{KEY, counter, one_full, refused, remove};
use support::*;

/// Consolidates, and keeps the new snapshot as a point. The source must be as it was at the newest snapshot.
#[track_caller]
fn consolidate(series: &mut Series) -> Report {
    let before = series.stored();
    let report = series.consolidate().whole();
    let added = series.added(&before);
    assert_eq!(added.keys().collect::<Vec<_>>(), ["full", "sigvault", "state"]);
    series.keep(&report);
    report
}

/// Deletes every backup file that the newest state does not name. Returns the index of the newest point.
fn keep_only_the_newest(series: &Series) -> usize {
    let state = series.newest("state");
    let named: BTreeSet<String> = stored::parse(&state)["archives"]
        .as_array()
        .unwrap()
        .iter()
        .map(|archive| archive["name"].as_str().unwrap().to_string())
        .chain(
            stored::state_files(&state)
                .iter()
                .map(|file| file.file_name().unwrap().to_str().unwrap().to_string()),
        )
        .collect();
    for name in series.stored().into_keys().filter(|name| !named.contains(name)) {
        fs::remove_file(series.store.join(name)).unwrap();
    }
    series.points.len() - 1
}

/// Restores the points from index `first` on.
#[track_caller]
fn assert_points_restore_from(series: &Series, first: usize) {
    (first..series.points.len()).for_each(|index| series.assert_point_restores(index));
}

/// The logical lines of a state, the values by which the next increment knows unchanged files (inode, ctime and
/// `dirty`), and the parsed state.
fn evidence(state: &Path) -> (Vec<u8>, Vec<String>, serde_json::Value) {
    let parsed = stored::parse(state);
    let places = parsed["entries"].as_array().unwrap().iter();
    let places = places.map(|e| format!("{} {} {}", e["at"]["ino"], e["at"]["ctime"], e["at"]["dirty"]));
    (stored::logical_lines(state), places.collect(), parsed)
}

/// The member names of an archive, as GNU tar lists them.
fn members(archive: &Path) -> String {
    let mut list = tools::command("tar", ["-tf"]);
    if archive.extension().is_some_and(|ext| ext == "zst") {
        list = tools::command("tar", ["--zstd", "-tf"]);
    }
    String::from_utf8_lossy(&run(list.arg(archive))).into_owned()
}

/// The member names of the archive that a full backup of the same source makes.
fn members_of_a_full(series: &Series) -> String {
    let mut fork = series.fork();
    fork.twin.store = fork.twin.beside("another store");
    fork.twin.options.allow_empty = true;
    fork.twin.full().whole();
    members(&fork.twin.newest("full"))
}

fn assert_same_evidence(old: &Path, new: &Path) {
    let ((old_lines, old_places, old), (new_lines, new_places, new)) = (evidence(old), evidence(new));
    assert!(old_lines == new_lines, "the logical lines differ");
    assert_eq!(old_places, new_places);
    for same in ["tree", "series", "host", "source", "scanned_at", "key", "inodes"] {
        assert_eq!(old[same], new[same], "{same}");
    }
    assert_eq!(new["kind"], "full");
    assert_eq!(new["parent"]["snapshot"], old["snapshot"]);
    assert_eq!(new["seq"].as_u64(), old["seq"].as_u64().map(|seq| seq + 1));
    assert!(new["snapshot"].as_str() > old["snapshot"].as_str());
    assert!(new["finished_at"].as_str() >= old["finished_at"].as_str());
}

proptest! {
    #![proptest_config(cases(20))]

    #[test]
    fn whatever_the_chain_it_restores_the_same_and_goes_on(
        codec in prop_oneof![3 => Just(Codec::Zstd(1)), 1 => Just(Codec::None)],
        tree in trees(24), rounds in vec(edits(8), 1..5), last in edits(8),
    ) {
        let mut series = Series::new();
        (series.options.codec, series.options.allow_empty) = (codec, true);
        tree.make(&series.source);
        series.snapshot();
        for round in &rounds {
            round.iter().for_each(|edit| edit.apply(&series.source));
            series.snapshot();
        }
        let old = series.newest("state");
        let report = consolidate(&mut series);
        assert_same_evidence(&old, &series.newest("state"));
        prop_assert_eq!(members(&series.newest("full")), members_of_a_full(&series));
        prop_assert_eq!(counter(&report, Counter::Entries), counter(&report, Counter::Unchanged));
        series.assert_every_point_restores();
        let first = keep_only_the_newest(&series);
        let (unchanged, added) = series.increment();
        prop_assert_eq!(added.keys().collect::<Vec<_>>(), ["state"]);
        prop_assert_eq!(unchanged.digest, report.digest);
        last.iter().for_each(|edit| edit.apply(&series.source));
        series.snapshot();
        assert_points_restore_from(&series, first);
    }
}

/// A full and `links` increments. Files change a little in turn, and are large enough for many frames.
fn long_chain(links: usize) -> Series {
    let series = Series::new();
    let mut files: Vec<Vec<u8>> = (0..24).map(|seed| noise(seed, 1 << 20)).collect();
    files.iter().enumerate().for_each(|(n, bytes)| drop(series.write(&format!("{n:02}"), bytes)));
    series.full().whole();
    for link in 0..links {
        for step in 0..3 {
            let which = (link * 5 + step * 7) % files.len();
            let at = (link * 31_337 + step * 1000) % (1 << 20);
            files[which].splice(at..at, noise((link * 3 + step) as u64, 200));
            series.write(&format!("{which:02}"), &files[which]);
        }
        let added = series.incremental().whole();
        assert!(added.files.iter().all(|file| file.kind != "created"), "stored whole: {:?}", added.files);
    }
    series
}

/// The number of bytes that an operation reads from archives.
fn bytes_read(
    series: &Series,
    work: impl FnOnce(&mut dyn ibt::store::Store, &mut ibt::job::Job) -> ibt::error::Result<()>,
) -> u64 {
    let mut read = 0;
    let outcome = series.run(&series.options, &Cancel::default(), &mut Silent, |store, job| {
        let mut store = Counting::new(store);
        let result = work(&mut store, job);
        read = store.read;
        result
    });
    outcome.whole();
    read
}

#[test]
fn the_tip_of_a_long_chain_costs_what_a_full_costs() {
    let series = long_chain(30);
    let restore = |series: &Series| {
        let dest = series.beside("restored");
        let read = bytes_read(series, |store, job| ibt::restore::restore(store, KEY, &dest, job));
        assert_same_tree(&series.source, &dest);
        remove(&dest);
        read
    };
    let mut fork = series.fork();
    fork.twin.store = fork.twin.beside("another store");
    fork.twin.full().whole();
    let (full, tip) = (restore(&fork.twin), restore(&series));
    println!("{tip} bytes read for the tip of 30 increments, {full} for a full");
    assert!(tip * 10 <= full * 13, "{tip} bytes read for the tip, {full} for a full");
    let consolidated = bytes_read(&series, |store, job| ibt::retain::consolidate(store, KEY, job));
    assert!(consolidated * 10 <= full * 13, "{consolidated} bytes read to consolidate, {full} for a full");
    assert_eq!(restore(&series), full);
}

/// Many increments change neighbouring files, and all archives together are larger than the frames kept in
/// memory. Each frame is still read once.
#[test]
fn increments_that_interleave_cost_what_a_full_costs() {
    const INCREMENTS: usize = 14;
    let series = Series::new();
    let name = |n: usize| format!("{n:04}");
    for n in 0..60 * INCREMENTS {
        series.write(&name(n), "not yet");
    }
    series.full().whole();
    for turn in 0..INCREMENTS {
        for n in (turn..60 * INCREMENTS).step_by(INCREMENTS) {
            series.write(&name(n), noise(n as u64, 72_000));
        }
        series.incremental().whole();
    }
    let all: u64 = series.stored().values().sum();
    let read = bytes_read(&series, |store, job| ibt::retain::consolidate(store, KEY, job));
    println!("{read} bytes read of {all}");
    assert!(read * 10 <= all * 13, "{read} bytes read of {all}");
    series.assert_newest_is_the_source();
}

/// No test: prints how long the operations take.
#[test]
#[ignore = "prints times"]
fn how_long_it_takes() {
    let series = long_chain(30);
    let timed = |what: &str, work: &dyn Fn() -> Report| {
        let begun = Instant::now();
        work();
        println!("{what}: {:?}", begun.elapsed());
    };
    let dest = series.beside("restored");
    timed("restore of the tip", &|| series.restore(Select::Newest, &dest).whole());
    remove(&dest);
    timed("consolidation", &|| series.consolidate().whole());
    timed("restore of the consolidated", &|| series.restore(Select::Newest, &dest).whole());
    timed("full backup", &|| series.full().whole());
}

/// Inserts a few bytes into the middle of `name`.
fn edit(series: &Series, name: &str) {
    let path = series.source.join(name);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes.splice(middle..middle, *b"a few more bytes");
    fs::write(path, bytes).unwrap();
}

fn a_chain() -> Series {
    let mut series = Series::new();
    series.write("big", noise(1, 400_000));
    series.write("dir/also big", noise(2, 300_000));
    series.write("small", "small");
    fs::hard_link(series.source.join("big"), series.source.join("dir/another name")).unwrap();
    series.snapshot();
    for _ in 0..3 {
        edit(&series, "big");
        edit(&series, "dir/also big");
        series.snapshot();
    }
    series
}

#[test]
fn a_change_afterwards_costs_a_small_delta() {
    for lose_the_cache in [false, true] {
        let mut series = a_chain();
        consolidate(&mut series);
        let first = keep_only_the_newest(&series);
        if lose_the_cache {
            fs::remove_dir_all(series.cache()).unwrap();
        }
        edit(&series, "big");
        let (report, added) = series.increment();
        assert!(!added.contains_key("created") && added["updated"] < 10_000, "{added:?}");
        assert_eq!(counter(&report, Counter::Modified), 2, "both names of one file");
        assert_points_restore_from(&series, first);
    }
}

#[test]
fn hard_links_are_stored_once() {
    let mut series = a_chain();
    let before = series.stored();
    series.consolidate().whole();
    assert!(series.added(&before)["full"] < 800_000);
    let state = stored::parse(&series.newest("state"));
    let [a, b] = ["big", "dir/another name"].map(|path| stored::entry(&state, path));
    assert_eq!((&a["linked"], &b["link"]), (&true.into(), &"big".into()));
    assert_eq!((&a["at"]["content"], &a["at"]["sig"]), (&b["at"]["content"], &b["at"]["sig"]));
    series.points.clear();
    series.assert_newest_is_the_source();
}

#[test]
fn the_cache_holds_the_new_snapshot_and_nothing_else() {
    let mut series = a_chain();
    let report = consolidate(&mut series);
    let cached = walkdir::WalkDir::new(series.cache()).into_iter().map(Result::unwrap);
    let cached: BTreeSet<_> = cached
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.file_name().to_str().unwrap().to_string())
        .collect();
    let expected = report.files.iter().filter(|file| file.kind != "full").map(|file| file.name.clone());
    assert_eq!(cached, expected.collect());
}

#[test]
fn a_full_alone_is_left_as_it_is() {
    let series = one_full();
    let (before, first) = (series.stored(), series.points[0].stamp);
    let report = series.consolidate().whole();
    assert_eq!(series.stored(), before);
    assert_eq!(report.snapshot, Some(first));
    assert!(report.files.is_empty() && report.digest.is_some());
    // If the signatures are gone, the full is made again, with signatures.
    fs::remove_file(series.newest("sigvault")).unwrap();
    let report = series.consolidate().whole();
    assert_eq!(report.files.len(), 3);
    series.assert_newest_is_the_source();
}

#[test]
fn nothing_to_consolidate_is_told_without_a_trace() {
    let series = Series::new();
    refused(&series, Kind::NotFound, Series::consolidate);
    assert!(!series.store.exists());
}

/// The new state keeps the `dirty` marks and the problems of the old state, and the fields of a newer version of
/// libibt.
#[test]
fn dirty_entries_problems_and_unknown_fields_are_carried() {
    let mut series = a_chain();
    let state = series.newest("state");
    stored::forge(&state, "}}\n],\n", ",\"dirty\":true,\"new\":2}}\n],\n");
    stored::forge(&state, ",\"at\":{", ",\"newer\":[1,{}],\"at\":{");
    let tree = stored::parse(&state)["tree"].clone();
    let problem = r#"{"path":"small","status":"unreadable","message":"it was locked"}"#;
    stored::forge(&state, "\"problems\":[]", &format!("\"problems\":[{problem}]"));
    stored::forge(&state, "\"problems\":0}", "\"problems\":1}");
    let end = stored::parse(&state)["finished_at"].as_str().unwrap().to_string();
    stored::forge(&state, &end, "4000000000.000000000");
    let report = series.consolidate().whole();
    let made = series.newest("state");
    assert_same_evidence(&state, &made);
    let parsed = stored::parse(&made);
    assert_eq!(parsed["tree"], tree);
    let small = stored::entry(&parsed, "small");
    assert_eq!((&small["at"]["dirty"], &small["at"]["new"]), (&true.into(), &2.into()));
    assert_eq!(stored::entry(&parsed, "")["newer"][0], 1);
    assert_eq!(parsed["problems"][0]["message"], "it was locked");
    assert_eq!(parsed["finished_at"], "4000000000.000000000");
    assert_eq!(counter(&report, Counter::Unchanged) + 1, counter(&report, Counter::Entries));
    series.points.clear();
    let (_, added) = series_increment(&series);
    assert_eq!(added, ["state"]);
}

/// Makes an increment of a series without points. Returns the kinds of the new files.
fn series_increment(series: &Series) -> (Report, Vec<String>) {
    let before = series.stored();
    let report = series.incremental().whole();
    (report, series.added(&before).into_keys().collect())
}

/// Flips a byte in the data of the archive's only frame, or cuts the archive in the middle.
fn damage(archive: &Path, cut: bool) {
    let mut bytes = fs::read(archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes.truncate(if cut { middle } else { bytes.len() });
    fs::write(archive, bytes).unwrap();
}

#[test]
fn what_cannot_be_read_exactly_is_refused_and_nothing_is_written() {
    for kind in ["full", "updated"] {
        for cut in [false, true] {
            let series = a_chain();
            let archive = series.newest(kind);
            damage(&archive, cut);
            let error = refused(&series, Kind::Corrupt, Series::consolidate);
            let name = archive.file_name().unwrap().to_str().unwrap();
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(error.path.as_deref(), Some(&b"big"[..]), "{error}");
        }
        let series = a_chain();
        let archive = series.newest(kind);
        fs::remove_file(&archive).unwrap();
        let error = refused(&series, Kind::Missing, Series::consolidate);
        assert!(error.to_string().contains(archive.file_name().unwrap().to_str().unwrap()), "{error}");
        assert_eq!(error.path.as_deref(), Some(&b"big"[..]), "{error}");
    }
}

#[test]
fn content_that_is_another_is_refused() {
    let mut series = Series::new();
    series.options.codec = Codec::None;
    series.write("f", noise(1, 100_000));
    series.snapshot();
    series.snapshot();
    damage(&series.newest("full"), false);
    let error = refused(&series, Kind::Corrupt, Series::consolidate);
    assert!(error.to_string().contains("not what was backed up"), "{error}");
}

/// If the newest state is damaged, a consolidation reports it and uses the state before it, as an increment does.
#[test]
fn a_newest_state_that_is_damaged_is_told_and_the_one_before_is_made_a_full() {
    let series = a_chain();
    let damaged = series.newest("state");
    damage(&damaged, false);
    let report = series.consolidate().partial();
    let problem = &report.problems[0];
    assert_eq!(problem.kind, ProblemKind::Damaged);
    assert_eq!(problem.file.as_deref(), damaged.file_name().and_then(|name| name.to_str()));
    let made = series.beside("made");
    series.restore(Select::Exactly(report.snapshot.unwrap()), &made).whole();
    series.points[series.points.len() - 2].kept.assert_is(&made);
}
