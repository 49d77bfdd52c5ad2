//! Stores that are damaged, that a backup left unfinished, or that contain foreign files. Wrong content is
//! never restored as right, and nothing blocks the next backup.

mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use ibt::error::Kind;
use ibt::job::{ProblemKind, Select};
use support::facts::TreeFacts;
use support::series::{Fork, KEY, problem_paths, remove};
use support::tools::{number_from_env, within_seconds};
use support::*;

/// A full and two increments of a small tree with entries of several kinds.
fn three_snapshots() -> Series {
    let mut series = Series::new();
    // A content of 256 KiB or more has a signature, however deltas are made.
    let mut bytes = prose(1, 300_000);
    series.write("grows", &bytes);
    series.write("dir/small", "a few bytes");
    series.write("dir/more", noise(5, 3000));
    fs::hard_link(series.source.join("dir/small"), series.source.join("link")).unwrap();
    std::os::unix::fs::symlink("dir/small", series.source.join("symlink")).unwrap();
    series.snapshot();
    bytes.splice(20_000..20_000, *b"inserted");
    series.write("grows", &bytes);
    series.write("dir/new", noise(6, 2000));
    series.snapshot();
    bytes.extend_from_slice(b"appended");
    series.write("grows", &bytes);
    fs::remove_file(series.source.join("dir/more")).unwrap();
    series.snapshot();
    series
}

/// Asserts that each file in `dest` has the bytes of the kept file.
#[track_caller]
fn assert_no_wrong_bytes(kept: &TreeFacts, dest: &Path, what: &str) {
    if !dest.exists() {
        return;
    }
    for (path, found) in facts(dest) {
        let path_text = String::from_utf8_lossy(&path).into_owned();
        let should = kept.get(&path).unwrap_or_else(|| panic!("{what}: {path_text} should not be there"));
        let same = (&found.hash, found.size, &found.target) == (&should.hash, should.size, &should.target);
        assert!(same, "{what}: {path_text} has wrong bytes");
    }
}

/// Restores each snapshot of the damaged `fork`. A snapshot must be right, or reported as damaged with right
/// files only.
#[track_caller]
fn assert_damage_is_told(fork: &Fork, what: &str) {
    for (index, point) in fork.points.iter().enumerate() {
        let dest = fork.twin.beside("restored");
        let what = format!("{what}, snapshot {index}");
        let outcome = fork.twin.restore(Select::Exactly(point.stamp), &dest);
        match &outcome.result {
            Ok(()) if !outcome.report.is_partial() => {
                let said = facts::differences(&point.kept.facts, &facts(&dest));
                assert!(said.is_empty(), "{what}: said to be whole, but\n{said}");
            }
            Ok(()) => {
                assert!(!outcome.report.problems.is_empty(), "{what}: partial without a problem");
                assert_no_wrong_bytes(&point.kept.facts, &dest, &what);
            }
            Err(error) => {
                let expected = [Kind::Corrupt, Kind::Format, Kind::NotFound, Kind::Missing, Kind::Limit];
                assert!(expected.contains(&error.kind), "{what}: {error}");
                assert!(!dest.exists(), "{what}: a failed restore left a tree");
            }
        }
        if dest.exists() {
            remove(&dest);
        }
    }
}

/// Positions spread over `len` bytes, including both ends.
fn positions(len: usize, count: usize) -> Vec<usize> {
    let count = count.min(len).max(2);
    (0..count).map(|index| index * (len - 1) / (count - 1)).collect()
}

/// Each kind of damage to a file of these bytes, as its name and the damaged bytes.
fn damages(bytes: &[u8], count: usize) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (number, at) in positions(bytes.len(), count).into_iter().enumerate() {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << (number % 8);
        all.push((format!("byte {at} flipped"), flipped));
    }
    for at in positions(bytes.len(), count / 3) {
        all.push((format!("cut after {at}"), bytes[..at].to_vec()));
        let mut zeroed = bytes.to_vec();
        let end = (at + 32).min(bytes.len());
        zeroed[at..end].fill(0);
        all.push((format!("zeros from {at}"), zeroed));
    }
    all.push(("twice".into(), [bytes, bytes].concat()));
    all.push(("a byte more".into(), [bytes, b"\0"].concat()));
    all
}

fn sweep_damage(kinds: &[&str]) {
    let count = number_from_env("IBT_TEST_DAMAGES").unwrap_or(12) as usize;
    let series = three_snapshots();
    let fork = series.fork();
    let mut done = 0;
    for name in fork.twin.stored().into_keys() {
        if !kinds.iter().any(|kind| name.starts_with(&format!("{KEY}.{kind}."))) {
            continue;
        }
        let path = fork.twin.store.join(&name);
        let good = fs::read(&path).unwrap();
        for (damage, bytes) in damages(&good, count) {
            fs::write(&path, bytes).unwrap();
            assert_damage_is_told(&fork, &format!("{name}: {damage}"));
            done += 1;
        }
        fs::write(&path, &good).unwrap();
    }
    assert!(done > 20, "{done}");
}

#[test]
fn damaged_archives_never_restore_wrong_bytes() {
    sweep_damage(&["full", "created", "updated", "sigvault"]);
}

#[test]
fn damaged_states_never_restore_wrong_bytes() {
    sweep_damage(&["state"]);
}

/// An increment after any damage succeeds or is refused. If it succeeds, its snapshot restores without wrong bytes.
#[test]
fn an_increment_upon_damage_is_right_or_refused() {
    let series = three_snapshots();
    series.write("grows", [prose(1, 40_000), noise(9, 100)].concat());
    let (mut tried, mut made) = (0, 0);
    for name in series.stored().into_keys() {
        let good = fs::read(series.store.join(&name)).unwrap();
        for (damage, bytes) in damages(&good, 3) {
            let what = format!("{name}: {damage}");
            let fork = series.fork();
            let _ = fs::remove_dir_all(fork.twin.cache());
            fs::write(fork.twin.store.join(&name), bytes).unwrap();
            let outcome = fork.twin.incremental();
            tried += 1;
            if let Err(error) = outcome.result {
                let expected = [Kind::Corrupt, Kind::Format, Kind::NotFound, Kind::Missing, Kind::Limit];
                assert!(expected.contains(&error.kind), "{what}: {error}");
                continue;
            }
            made += 1;
            let dest = fork.twin.beside("restored");
            let restored = fork.twin.restore(Select::Newest, &dest);
            assert_no_wrong_bytes(&facts(&series.source), &dest, &what);
            if restored.result.is_ok() && !restored.report.is_partial() {
                let said = facts::differences(&facts(&series.source), &facts(&dest));
                assert!(said.is_empty(), "{what}: {said}");
            }
        }
    }
    // Most files of a store are archives, and an increment need not notice their damage.
    assert!(made > tried / 2, "{made} of {tried} were made");
}

/// Removes, or cuts in half, each file of the last snapshot whose bit in `lost` is set.
fn lose(fork: &Fork, names: &[String], lost: usize, cut: bool) {
    for (bit, name) in names.iter().enumerate() {
        let path = fork.twin.store.join(name);
        match lost >> bit & 1 {
            0 => {}
            _ if cut => {
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            }
            _ => fs::remove_file(&path).unwrap(),
        }
    }
}

/// Each subset of one run's files is gone or half written, as after a crash or an incomplete copy.
#[test]
fn a_store_that_lost_any_of_its_last_files_goes_on() {
    let mut series = three_snapshots();
    let before = series.stored();
    series.write("grows", [prose(1, 301_000), noise(3, 50)].concat());
    series.write("fresh", "in the last snapshot");
    series.snapshot();
    let names: Vec<_> = series.stored().into_keys().filter(|name| !before.contains_key(name)).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let last = series.points.pop().unwrap();
    let lost_state = AtomicUsize::new(0);
    for subset in 0..1 << (names.len() + 1) {
        let (lost, cut) = (subset >> 1, subset & 1 == 1);
        let what = format!("lost {lost:04b} of {names:?}, cut: {cut}");
        let fork = series.fork();
        lose(&fork, &names, lost, cut);
        for index in 0..series.points.len() {
            fork.assert_point_restores(index);
        }
        let state_lost =
            names.iter().position(|name| name.contains(".state.")).is_some_and(|bit| lost >> bit & 1 == 1);
        if state_lost {
            lost_state.fetch_add(1, Ordering::Relaxed);
            let dest = fork.twin.beside("never");
            let kind = fork.twin.restore(Select::Exactly(last.stamp), &dest).result.unwrap_err().kind;
            assert!(matches!(kind, Kind::NotFound | Kind::Corrupt), "{what}: {kind:?}");
        }
        fork.twin.incremental().ok();
        let dest = fork.twin.beside("restored");
        // The list of the store shows an archive that is gone or has another size. So the new snapshot must
        // not use it.
        let outcome = fork.twin.restore(Select::Newest, &dest);
        assert!(outcome.result.is_ok() && !outcome.report.is_partial(), "{what}: {outcome:?}");
        assert_same_facts(&last.kept.facts, &facts(&dest));
    }
    assert_eq!(lost_state.into_inner(), 16);
}

#[test]
fn foreign_things_in_a_store_block_nothing() {
    within_seconds(120, || {
        let mut series = three_snapshots();
        let in_store = |name: &str| series.store.join(name);
        let stamp = "20990101T000000.000000Z";
        for name in [
            "README",
            "tree",
            "tree.",
            "tree.state",
            "tree.full.garbage.tar.zst",
            "tree.nonsense.20200101T000000.000000Z.tar.zst",
            ".ibt-tmp-0123456789",
            ".hidden",
            "tree.state.20991301T000000.000000Z.json.zst",
            "tree.state.2020.json.zst",
            "tree.full.20200101T000000.000000Z.tar.zst.part",
            "-rf",
            "bytes \u{fffd} and spaces",
        ] {
            fs::write(in_store(name), "not a backup file").unwrap();
        }
        fs::create_dir(in_store("a directory")).unwrap();
        fs::create_dir(in_store(&format!("tree.state.{stamp}.json.zst"))).unwrap();
        run(tools::command("mkfifo", ["--"]).arg(in_store("fifo")));
        run(tools::command("mkfifo", ["--"]).arg(in_store("tree.state.20980101T000000.000000Z.json.zst")));
        run(tools::command("mkfifo", ["--"]).arg(in_store("tree.full.20980101T000000.000000Z.tar.zst")));
        std::os::unix::fs::symlink("nowhere", in_store("tree.state.20970101T000000.000000Z.json.zst"))
            .unwrap();
        use std::os::unix::ffi::OsStrExt;
        fs::write(series.store.join(std::ffi::OsStr::from_bytes(b"raw\xff")), "").unwrap();
        series.write("grows", "smaller now");
        series.keep_going();
    });
}

trait KeepGoing {
    fn keep_going(&mut self);
}

impl KeepGoing for Series {
    /// Makes one more increment. Then all snapshots must restore, selected by stamp or by default.
    fn keep_going(&mut self) {
        let report = self.incremental().ok();
        self.keep(&report);
        self.assert_every_point_restores();
        self.assert_newest_is_the_source();
        let listed = self.list().ok();
        let stamps: Vec<_> = listed.snapshots.iter().map(|snapshot| snapshot.stamp).collect();
        assert_eq!(stamps, self.points.iter().map(|point| point.stamp).collect::<Vec<_>>());
    }
}

#[test]
fn a_half_written_state_is_never_a_snapshot() {
    for bytes in
        [&b""[..], b"{", b"\x28\xb5\x2f\xfd", b"{\"format\":\"ibt-state\",\"version\":1,\"needs\":[]"]
    {
        let mut series = three_snapshots();
        for end in ["json", "json.zst"] {
            fs::write(series.store.join(format!("tree.state.20990101T000000.000000Z.{end}")), bytes).unwrap();
        }
        series.write("grows", "smaller now");
        series.keep_going();
    }
}

#[test]
fn left_over_temporary_files_are_cleaned_up() {
    let mut series = three_snapshots();
    // A young file that has no backup file's name may be another program's: it stays for a day.
    let foreign = series.store.join(".ibt-tmp-left-over");
    let left_over = series.store.join(".ibt-tmp-tree.full.20260101T000000.000000Z.tar.zst");
    for file in [&foreign, &left_over] {
        fs::write(file, noise(1, 1000)).unwrap();
    }
    series.keep_going();
    assert!(!left_over.exists(), "the next backup should have removed it");
    assert!(foreign.exists());
}

/// The loss of one archive costs only the entries whose content it held.
#[test]
fn each_archive_gone_in_turn_costs_only_what_it_held() {
    let series = three_snapshots();
    let mut losses = 0;
    for name in series.stored().into_keys().filter(|name| !name.contains(".state.")) {
        let fork = series.fork();
        fs::remove_file(fork.twin.store.join(&name)).unwrap();
        for point in &series.points {
            let lost = paths_with_content_in(&series.state_of(point.stamp), &name);
            let what = format!("{name} gone, snapshot {}", point.stamp);
            let dest = fork.twin.beside("restored");
            let report = fork.twin.restore(Select::Exactly(point.stamp), &dest).ok();
            assert_eq!(report.is_partial(), !lost.is_empty(), "{what}");
            assert_eq!(problem_paths(&report, ProblemKind::Missing), lost, "{what}");
            let mut expected = point.kept.facts.clone();
            lost.iter().for_each(|path| drop(expected.remove(path.as_bytes())));
            let said = facts::differences(&expected, &facts(&dest));
            assert!(said.is_empty(), "{what}:\n{said}");
            remove(&dest);
            losses += lost.len();
        }
    }
    assert!(losses > 10, "{losses}");
}

/// The paths whose content lies in an archive, at least in part, sorted.
fn paths_with_content_in(state: &Path, archive: &str) -> Vec<String> {
    let state = stored::parse(state);
    let names = state["archives"].as_array().unwrap();
    let Some(number) = names.iter().position(|one| one["name"] == archive) else { return Vec::new() };
    let is_lost = |entry: &&serde_json::Value| {
        let ranges = entry["at"]["content"].as_array();
        ranges.is_some_and(|ranges| ranges.iter().any(|range| range[0] == number))
    };
    let lost = state["entries"].as_array().unwrap().iter().filter(is_lost);
    let mut paths: Vec<_> = lost.map(|entry| entry["path"].as_str().unwrap().to_string()).collect();
    paths.sort();
    paths
}
