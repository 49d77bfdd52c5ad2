//! Verifying: a whole store counts as whole, and damage to any file of a store is noticed.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ibt::error::Kind;
use ibt::job::{
    Action, Cancel, Codec, Counter, DeltaMode, Flow, Observer, OnFileError, Options, Phase, Problem,
    ProblemKind, Progress, Report, Select, Silent,
};
use proptest::collection::vec;
use proptest::prelude::*;
use support::series::{KEY, around, one_full, refused, remove};
use support::stored::flip;
use support::tools::number_from_env;
use support::*;

/// A full and two increments of a small tree: a file with deltas and a signature, small files, a moved file, two
/// names of one file, holes.
fn three_snapshots(codec: Codec) -> Series {
    let mut series = Series::new();
    series.options.codec = codec;
    // Even a short content has a signature.
    series.options.delta = DeltaMode::Signatures;
    let mut bytes = noise(1, 20_000);
    series.write("grows", &bytes);
    series.write("dir/small", "a few bytes");
    series.write("dir/more", noise(5, 1500));
    series.write("empty", "");
    fs::hard_link(series.source.join("dir/small"), series.source.join("link")).unwrap();
    let sparse = fs::File::create(series.source.join("sparse")).unwrap();
    sparse.set_len(300_000).unwrap();
    sparse.write_all_at(b"after a hole", 200_000).unwrap();
    series.snapshot();
    bytes.splice(10_000..10_000, *b"inserted");
    series.write("grows", &bytes);
    series.write("dir/new", noise(6, 700));
    series.snapshot();
    bytes.extend_from_slice(b"appended");
    series.write("grows", &bytes);
    fs::rename(series.source.join("dir/more"), series.source.join("moved")).unwrap();
    series.snapshot();
    series
}

fn store_path(series: &Series, name: &str) -> PathBuf {
    series.store.join(name)
}

/// Everything that a verify must not change: names, bytes and times.
fn untouched(series: &Series) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let files = fs::read_dir(&series.store).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            (path.clone(), (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap()))
        })
        .collect()
}

/// The paths of one snapshot whose content a report lists as lost. A lost signature is no lost content.
fn lost_paths(problems: &[Problem]) -> BTreeSet<Vec<u8>> {
    let is_content = |problem: &&Problem| !problem.message.contains("signature");
    problems.iter().filter(is_content).filter_map(|problem| problem.path.clone()).collect()
}

/// Like [`lost_paths`], with the kind of the loss and the archive.
fn lost_in(report: &Report) -> BTreeSet<String> {
    let is_content = |p: &&Problem| p.path.is_some() && !p.message.contains("signature");
    let told = |p: &Problem| format!("{:?} {} {:?}", p.path, p.kind.name(), p.file);
    report.problems.iter().filter(is_content).map(told).collect()
}

/// Verifies and restores each snapshot by itself. Both lose the same paths, for the same kind of reason.
#[track_caller]
fn assert_as_a_restore(series: &Series, what: &str) {
    for point in &series.points {
        let options = series.selecting(Select::Exactly(point.stamp));
        let verified = series.verify(&options);
        let dest = series.beside("restored");
        let restored = series.restore(options.select, &dest);
        match (&verified.result, &restored.result) {
            (Ok(()), Ok(())) => {
                let (found, lost) =
                    (lost_paths(&verified.report.problems), lost_paths(&restored.report.problems));
                assert_eq!(found, lost, "{what}");
                assert_eq!(lost_in(&verified.report), lost_in(&restored.report), "{what}");
            }
            (Err(a), Err(b)) => assert_eq!(a.kind, b.kind, "{what}"),
            (a, b) => panic!("{what}: verified {a:?}, restored {b:?}"),
        }
        if dest.exists() {
            remove(&dest);
        }
    }
}

/// Checks that the progress of a phase never decreases and ends at its totals.
#[derive(Default)]
struct Steady {
    now: Option<Progress>,
    verified: u32,
}

impl Observer for Steady {
    fn progress(&mut self, now: &Progress) -> Flow {
        if let Some(before) = self.now.replace(now.clone()) {
            let same = before.phase == now.phase;
            assert!(
                !same || (before.done_bytes <= now.done_bytes && before.done_entries <= now.done_entries)
            );
            if before.phase == Phase::Verify && !same {
                self.end(&before);
            }
        }
        Flow::Continue
    }
}

impl Steady {
    fn end(&mut self, last: &Progress) {
        assert_eq!(last.done_bytes, last.total_bytes);
        assert_eq!(last.done_entries, last.total_entries);
        self.verified += 1;
    }
}

/// Verifies all keys. Progress must be steady, and the store must not change.
#[track_caller]
fn verify_all(series: &Series) -> Report {
    let before = untouched(series);
    let mut steady = Steady::default();
    let outcome = series.run(&series.options, &Cancel::default(), &mut steady, |store, job| {
        ibt::inspect::verify(store, None, job)
    });
    let report = outcome.ok();
    if let Some(last) = steady.now.take().filter(|last| last.phase == Phase::Verify) {
        steady.end(&last);
    }
    assert!(steady.verified > 0);
    assert!(untouched(series) == before, "the store was changed");
    report
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn a_whole_store_verifies(tree in trees(16), rounds in vec(edits(6), 0..4), full_at in 0usize..4, plain: bool) {
        let mut series = Series::new();
        series.options.allow_empty = true;
        series.options.codec = if plain { Codec::None } else { Codec::Zstd(1) };
        tree.make(&series.source);
        series.snapshot();
        for (index, round) in rounds.iter().enumerate() {
            round.iter().for_each(|edit| edit.apply(&series.source));
            let made = if index == full_at { series.full() } else { series.incremental() };
            let report = made.whole();
            series.keep(&report);
        }
        let report = verify_all(&series);
        prop_assert!(report.problems.is_empty(), "{:#?}", report.problems);
        let listed: Vec<_> = report.snapshots.iter().map(|s| s.stamp).collect();
        prop_assert_eq!(listed, series.points.iter().map(|point| point.stamp).collect::<Vec<_>>());
        for snapshot in &report.snapshots {
            prop_assert_eq!((snapshot.action, &*snapshot.reason), (Action::Kept, ""));
            prop_assert_eq!(snapshot.counters.get(Counter::Problems), 0);
        }
        for which in [Counter::Entries, Counter::Bytes] {
            let sum: u64 = report.snapshots.iter().map(|s| s.counters.get(which)).sum();
            prop_assert_eq!(report.counters.get(which), sum);
        }
    }
}

/// Whether zstd(1) decompresses a state to the same document as `good`. A compressed document can have different
/// bytes, and only the document counts.
fn says_the_same(state: &Path, good: &[u8]) -> bool {
    let copy = state.with_file_name("good.zst");
    fs::write(&copy, good).unwrap();
    let said = [state, &copy].map(|path| tools::output(tools::command("zstd", ["-dcq"]).arg(path)));
    fs::remove_file(copy).unwrap();
    said.iter().all(|output| output.status.success()) && said[0].stdout == said[1].stdout
}

fn positions(len: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(len.div_ceil(count.max(1)).max(1)).chain([len - 1])
}

/// Flips a bit in every byte of every file, or in `each_file` bytes of each file. Each flip must be found.
fn flip_everywhere(codec: Codec, each_file: usize) {
    let each_file = number_from_env("IBT_TEST_DAMAGES").map_or(each_file, |count| count as usize * 1000);
    let series = three_snapshots(codec);
    let mut flips = 0;
    for name in series.stored().into_keys() {
        let path = store_path(&series, &name);
        let good = fs::read(&path).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let mut spellings = 0;
        for at in positions(good.len(), each_file) {
            let mask = 1 << ((at * 7 + at / 8) % 8);
            file.write_all_at(&[good[at] ^ mask], at as u64).unwrap();
            let outcome = series.verify(&series.options);
            let found = outcome.result.is_err() || outcome.report.is_partial();
            let is_state = name.contains(".state.") && name.ends_with(".zst");
            let harmless = !found && is_state && says_the_same(&path, &good);
            assert!(found || harmless, "{name}: bit {mask:#x} of byte {at} was missed");
            let names_it = outcome.report.problems.iter().any(|problem| problem.file.as_ref() == Some(&name));
            assert!(names_it || harmless, "{name}: byte {at}: {:?}", outcome.report.problems);
            file.write_all_at(&good[at..=at], at as u64).unwrap();
            flips += 1;
            spellings += usize::from(harmless);
        }
        assert!(spellings < 10, "{name}: {spellings} flips are said to be other spellings");
    }
    println!("{flips} flips");
    assert!(series.verify(&series.options).whole().problems.is_empty());
}

#[test]
fn no_flip_of_a_plain_store_is_missed() {
    flip_everywhere(Codec::None, 300);
}

#[test]
fn no_flip_of_a_compressed_store_is_missed() {
    flip_everywhere(Codec::Zstd(1), 1200);
}

/// Other damages to a file's bytes, each with a description.
fn damages(bytes: &[u8], count: usize) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![("a byte more".to_string(), [bytes, b"\0"].concat())];
    all.push(("twice".into(), [bytes, bytes].concat()));
    for at in positions(bytes.len(), count) {
        all.push((format!("cut after {at}"), bytes[..at].to_vec()));
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 0x21;
        all.push((format!("byte {at} flipped"), flipped));
        let end = (at + 700).min(bytes.len());
        let mut zeroed = bytes.to_vec();
        zeroed[at..end].fill(0);
        if zeroed != bytes {
            all.push((format!("zeros from {at}"), zeroed));
        }
        let mut moved = bytes.to_vec();
        moved.remove(at);
        moved.push(0);
        if moved != bytes {
            all.push((format!("byte {at} left out"), moved));
        }
    }
    all
}

fn damage_everything(codec: Codec) {
    let count = number_from_env("IBT_TEST_DAMAGES").unwrap_or(4) as usize;
    let series = three_snapshots(codec);
    for name in series.stored().into_keys() {
        let path = store_path(&series, &name);
        let good = fs::read(&path).unwrap();
        for (damage, bytes) in damages(&good, count) {
            let what = format!("{name}: {damage}");
            fs::write(&path, bytes).unwrap();
            let report = series.verify(&series.options).ok();
            assert!(report.is_partial(), "{what} was missed");
            assert_as_a_restore(&series, &what);
        }
        fs::remove_file(&path).unwrap();
        let what = format!("{name} gone");
        let report = series.verify(&series.options).ok();
        if !name.contains(".state.") {
            assert!(report.is_partial(), "{what}");
            let missing = |p: &Problem| p.kind == ProblemKind::Missing && p.file.as_ref() == Some(&name);
            assert!(report.problems.iter().any(missing), "{what}: {:?}", report.problems);
        }
        assert_as_a_restore(&series, &what);
        fs::write(&path, &good).unwrap();
    }
    series.verify(&series.options).whole();
}

#[test]
fn damage_to_a_plain_store_loses_what_a_restore_loses() {
    damage_everything(Codec::None);
}

#[test]
fn damage_to_a_compressed_store_loses_what_a_restore_loses() {
    damage_everything(Codec::Zstd(1));
}

/// The place of a content in a store without compression: file, offset and length of range number `which` of the
/// entry's content or signature.
fn range_of(series: &Series, path: &str, which: usize, of_signature: bool) -> (PathBuf, u64, u64) {
    let state = stored::parse(&series.newest("state"));
    let place = stored::entry(&state, path)["at"].clone();
    let range = if of_signature { &place["sig"]["content"][which] } else { &place["content"][which] };
    let number = |index: usize| range[index].as_u64().unwrap();
    let archive = state["archives"][number(0) as usize]["name"].as_str().unwrap();
    (store_path(series, archive), number(1), number(2))
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name().unwrap().to_str().unwrap().to_string())
}

#[test]
fn a_loss_says_what_was_expected_and_found_and_is_listed_for_each_snapshot() {
    let series = three_snapshots(Codec::None);
    let (archive, offset, _) = range_of(&series, "grows", 0, false);
    flip(&archive, offset + 5);
    let report = verify_all(&series);
    assert_eq!(report.problems.len(), 3, "{:#?}", report.problems);
    for (problem, snapshot) in report.problems.iter().zip(&report.snapshots) {
        assert_eq!(problem.path.as_deref(), Some(&b"grows"[..]));
        assert_eq!((problem.kind, problem.status), (ProblemKind::Damaged, Kind::Corrupt));
        assert_eq!(problem.snapshot, Some(snapshot.stamp));
        assert_eq!(problem.file, file_name(&archive));
        let state = series.store.join(format!("{KEY}.state.{}.json", snapshot.stamp));
        let expected = stored::entry(&stored::parse(&state), "grows")["hash"].clone();
        assert!(problem.message.contains(expected.as_str().unwrap()), "{}", problem.message);
        assert!(problem.message.contains("found") && problem.message.matches("blake3:").count() == 2);
        assert_eq!((snapshot.counters.get(Counter::Problems), &*snapshot.reason), (1, "1 loss"));
    }
    assert_eq!(report.counters.get(Counter::Problems), 3);
}

#[test]
fn damage_where_no_content_lies_is_told_of_the_archive() {
    let series = three_snapshots(Codec::None);
    // The first bytes of an archive are the header of its first member.
    let archive = series.newest("full");
    flip(&archive, 3);
    let report = verify_all(&series);
    assert_eq!(report.problems.len(), 3, "{:#?}", report.problems);
    // The increments need nothing of the header.
    let kinds = [ProblemKind::Damaged, ProblemKind::Unneeded, ProblemKind::Unneeded];
    for (problem, kind) in report.problems.iter().zip(kinds) {
        assert_eq!((problem.kind, &problem.path), (kind, &None));
        assert_eq!(problem.file, file_name(&archive));
        assert!(problem.message.contains("expected blake3:"), "{}", problem.message);
    }
    series.assert_every_point_restores();
}

/// Two fulls of one tree are equal byte by byte. A good content in one archive says nothing about the other archive.
#[test]
fn a_content_that_is_right_in_one_archive_is_looked_at_in_the_next() {
    let series = one_full();
    let options = Options { codec: Codec::None, ..series.options.clone() };
    let full = || {
        let backup = series.run(&options, &Cancel::default(), &mut Silent, |store, job| {
            ibt::backup::full(store, &series.source, job)
        });
        backup.whole().snapshot.unwrap()
    };
    full();
    let last = full();
    let (archive, offset, _) = range_of(&series, "b", 0, false);
    flip(&archive, offset);
    let report = verify_all(&series);
    let problem = &report.problems[0];
    assert_eq!((report.problems.len(), problem.path.as_deref()), (1, Some(&b"b"[..])), "{problem:?}");
    assert_eq!(problem.snapshot, Some(last));
}

#[test]
fn a_damaged_signature_is_told_and_costs_no_content() {
    let series = three_snapshots(Codec::None);
    // The whole signature lies in the second snapshot, and a delta of it in the third.
    for (which, snapshots) in [(0, &series.points[1..]), (1, &series.points[2..])] {
        let fork = series.fork();
        let (vault, offset, _) = range_of(&fork.twin, "grows", which, true);
        // The first record of the signature, or the first bytes of the delta.
        flip(&vault, offset + 14 - 12 * which as u64);
        let report = verify_all(&fork.twin);
        let problems = &report.problems;
        let found: Vec<_> = problems.iter().filter_map(|problem| problem.snapshot).collect();
        let expected: Vec<_> = snapshots.iter().map(|point| point.stamp).collect();
        assert_eq!(found, expected, "{problems:#?}");
        for problem in problems {
            assert_eq!((problem.kind, problem.path.as_deref()), (ProblemKind::Damaged, Some(&b"grows"[..])));
            assert!(problem.message.contains("signature"), "{}", problem.message);
        }
        (0..3).for_each(|index| fork.assert_point_restores(index));
    }
}

#[test]
fn a_sigvault_that_is_gone_is_told_once_for_each_snapshot_that_names_it() {
    let mut series = three_snapshots(Codec::Zstd(1));
    series.write("dir/last", noise(9, 30_000));
    series.snapshot();
    let vault = series.newest("sigvault");
    fs::remove_file(&vault).unwrap();
    let report = verify_all(&series);
    let problem = &report.problems[0];
    assert_eq!((report.problems.len(), problem.kind, &problem.path), (1, ProblemKind::Missing, &None));
    assert_eq!((&problem.file, problem.snapshot), (&file_name(&vault), Some(series.points[3].stamp)));
    series.assert_every_point_restores();
}

#[test]
fn a_state_that_cannot_be_read_is_told_and_the_others_are_verified() {
    let spoil: [fn(&Path); 2] = [
        |state| fs::write(state, "").unwrap(),
        |state| stored::forge(state, "\"version\":1", "\"version\":2"),
    ];
    for (spoil, kind) in spoil.into_iter().zip([Kind::Corrupt, Kind::Format]) {
        let series = three_snapshots(Codec::Zstd(1));
        let stamp = series.points[1].stamp;
        let state = series.store.join(format!("{KEY}.state.{stamp}.json.zst"));
        spoil(&state);
        let report = verify_all(&series);
        let problem = &report.problems[0];
        assert_eq!((report.problems.len(), problem.kind, problem.status), (1, ProblemKind::Damaged, kind));
        assert_eq!((problem.snapshot, &problem.file), (Some(stamp), &file_name(&state)));
        assert_eq!(report.snapshots.len(), 2);
        refused(&series, kind, |series| series.verify(&series.selecting(Select::Exactly(stamp))));
        series.verify(&series.selecting(Select::Newest)).partial();
        series.verify(&series.selecting(Select::Exactly(series.points[2].stamp))).whole();
    }
}

/// Both digests are right, but an entry is not: the snapshot does not restore.
#[test]
fn a_state_whose_entries_break_a_rule_is_told() {
    let series = three_snapshots(Codec::Zstd(1));
    let state = series.newest("state");
    stored::forge(&state, "\"content\":[[0,", "\"content\":[[99,");
    let report = series.verify(&series.options).partial();
    let problem = &report.problems[0];
    assert_eq!((report.problems.len(), &problem.file), (1, &file_name(&state)), "{:#?}", report.problems);
    assert_eq!(problem.snapshot, Some(series.points[2].stamp));
    assert_eq!(report.snapshots[2].reason, "1 loss");
    let newest = series.restore(Select::Newest, &series.beside("restored"));
    newest.refused(Kind::Corrupt);
}

#[test]
fn an_archive_of_another_size_is_told_with_both_sizes() {
    let series = three_snapshots(Codec::Zstd(1));
    let vault = series.newest("sigvault");
    let size = fs::metadata(&vault).unwrap().len();
    fs::write(&vault, [&fs::read(&vault).unwrap()[..], b"more"].concat()).unwrap();
    let report = verify_all(&series);
    let of_vault = report.problems.iter().find(|problem| problem.path.is_none()).unwrap();
    let said = format!("it has {} bytes, not {size}", size + 4);
    assert!(of_vault.message.contains(&said), "{}", of_vault.message);
}

#[test]
fn one_selected_snapshot_is_verified_alone() {
    let series = three_snapshots(Codec::None);
    let (archive, ..) = range_of(&series, "dir/new", 0, false);
    fs::remove_file(archive).unwrap();
    let of = |index: usize| series.selecting(Select::Exactly(series.points[index].stamp));
    let report = series.verify(&of(0)).whole();
    assert_eq!((report.snapshot, report.snapshots.len()), (Some(series.points[0].stamp), 1));
    series.verify(&of(1)).partial();
    let just_before = ibt::stamp::Time::from_nanos(series.points[1].stamp.to_time().to_nanos() - 1);
    series.verify(&series.selecting(Select::AsOf(just_before))).whole();
    series.verify(&series.options).partial();
}

#[test]
fn an_expected_digest_is_that_of_the_selected_or_the_newest() {
    let series = three_snapshots(Codec::None);
    let listed = series.list().whole().snapshots;
    let with = |select, digest| Options { expected_digest: digest, ..series.selecting(select) };
    let report = series.verify(&with(Select::Newest, listed[2].digest)).whole();
    assert_eq!((report.snapshots.len(), report.digest), (1, listed[2].digest));
    series.verify(&with(Select::Exactly(listed[0].stamp), listed[0].digest)).whole();
    refused(&series, Kind::Mismatch, |series| series.verify(&with(Select::Newest, listed[1].digest)));
}

#[test]
fn all_keys_are_verified_and_selectors_need_one() {
    let series = three_snapshots(Codec::Zstd(1));
    let options = Options { key: Some("other.key".into()), ..series.options.clone() };
    let backup = series.run(&options, &Cancel::default(), &mut Silent, |store, job| {
        ibt::backup::full(store, &series.source, job)
    });
    let other = backup.whole();
    let verify = |options: &Options| {
        series.run(options, &Cancel::default(), &mut Silent, |store, job| {
            ibt::inspect::verify(store, None, job)
        })
    };
    let report = verify_all(&series);
    let keys: Vec<_> = report.snapshots.iter().map(|snapshot| &*snapshot.key).collect();
    assert_eq!(keys, ["other.key", KEY, KEY, KEY]);
    fs::remove_file(series.store.join(&other.files[0].name)).unwrap();
    assert!(verify_all(&series).is_partial());
    series.verify(&series.options).whole();
    refused(&series, Kind::InvalidArg, |series| verify(&series.selecting(Select::AsOf(Default::default()))));
    let digest = report.snapshots[0].digest;
    refused(&series, Kind::InvalidArg, |_| {
        verify(&Options { expected_digest: digest, ..series.options.clone() })
    });
}

#[test]
fn a_key_without_snapshots_is_not_found_nor_a_store_that_is_not_there_and_an_empty_one_is_whole() {
    let series = Series::new();
    let all = |series: &Series| {
        series.run(&series.options, &Cancel::default(), &mut Silent, |store, job| {
            ibt::inspect::verify(store, None, job)
        })
    };
    refused(&series, Kind::NotFound, |series| series.verify(&series.options));
    refused(&series, Kind::NotFound, all);
    fs::create_dir(&series.store).unwrap();
    refused(&series, Kind::NotFound, |series| series.verify(&series.options));
    assert!(all(&series).whole().snapshots.is_empty());
}

#[test]
fn stopping_at_problems_stops_at_the_first() {
    let series = three_snapshots(Codec::None);
    fs::remove_file(series.newest("full")).unwrap();
    let options = Options { on_file_error: OnFileError::Stop, ..series.options.clone() };
    let outcome = series.verify(&options);
    assert_eq!(outcome.report.problems.len(), 1);
    outcome.refused(Kind::Missing);
}

#[test]
fn what_snapshots_share_is_read_once() {
    let mut series = Series::new();
    for index in 0..6 {
        series.write(&format!("large-{index}"), noise(index, 2_000_000));
    }
    for round in 0..6 {
        series.write("small", noise(round, 100));
        series.snapshot();
    }
    let mut store = OddStore::new(&series);
    store.run(&series.options, |store, job| ibt::inspect::verify(store, Some(KEY), job)).whole();
    let (full, size) = series.stored().into_iter().find(|(name, _)| name.contains(".full.")).unwrap();
    // The file's bytes, its contents, and a seek table for each opening.
    let read = store.read[&full];
    assert!(read > size && read < 2 * size + 20_000, "{read} of {size} bytes");
}

#[test]
fn a_cancel_is_heard_within_one_read() {
    let series = Series::new();
    series.write("large", noise(1, 30_000_000));
    series.full().whole();
    for part in [".state.", ".full.", ".sigvault."] {
        let mut store = OddStore { cancel_at: Some(part), ..OddStore::new(&series) };
        let outcome = store.run(&series.options, |store, job| ibt::inspect::verify(store, Some(KEY), job));
        outcome.refused(Kind::Cancelled);
        // A state is read to its end. In an archive, the cancel takes effect at the first block.
        assert!(store.late_reads <= 4, "{part}: {} reads after the cancel", store.late_reads);
    }
}

#[test]
fn a_locked_key_is_busy() {
    use ibt::store::{DirStore, LockMode, Store};
    let series = one_full();
    let mut store = DirStore::open(&series.store);
    let held = store.lock(KEY, LockMode::Delete).unwrap();
    refused(&series, Kind::Busy, |series| series.verify(&series.options));
    drop(held);
    let _reader = store.lock(KEY, LockMode::Read).unwrap();
    let before = around(&series);
    series.verify(&series.options).whole();
    assert_eq!(around(&series), before);
}
