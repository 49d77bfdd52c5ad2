//! Pruning: kept snapshots restore, files that no kept snapshot needs are removed, and nothing else changes.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use ibt::entry::Entry;
use ibt::error::Kind;
use ibt::job::{
    Action, Cancel, Codec, Counter, Flow, Keep, Observer, OnFileError, Options, ProblemKind, Progress,
    Report, Select,
};
use ibt::stamp::{Stamp, Time};
use ibt::store::{DirStore, Draft, LockMode, Store};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use support::forward::forward;
use support::series::{KEY, around, counter, one_full, refused, remove};
use support::tools::command;
use support::*;

const ONLY_NEWEST: Keep = Keep { last: 1, ..Keep::NONE };

/// A full, an increment, a full and two more increments, of files that grow, stay and disappear.
fn five_snapshots() -> Series {
    let mut series = Series::new();
    let mut bytes = noise(1, 300_000);
    series.write("stays", noise(2, 20_000));
    for round in 0..5 {
        bytes.extend_from_slice(&noise(round, 500));
        series.write("grows", &bytes);
        series.write(&format!("only-in-{round}"), noise(100 + round, 3000));
        if round > 0 {
            fs::remove_file(series.source.join(format!("only-in-{}", round - 1))).unwrap();
        }
        let made = if round % 2 == 0 && round < 4 { series.full() } else { series.incremental() };
        let report = made.whole();
        series.keep(&report);
    }
    series
}

fn stamps(series: &Series) -> Vec<Stamp> {
    series.list().ok().snapshots.iter().map(|snapshot| snapshot.stamp).collect()
}

fn names(series: &Series) -> BTreeSet<String> {
    series.stored().into_keys().collect()
}

/// The names of the states and archives that the snapshots in the store need, and of the marks of removed snapshots
/// whose states are needed. Read with zstd(1) and as plain JSON.
fn named(store: &Path) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let stored: BTreeSet<String> = series::stored(store).into_keys().collect();
    let mark_of = |state: &str| {
        let mark = state.replace(".state.", ".retired.");
        mark.strip_suffix(".zst").map_or(mark.clone(), str::to_string)
    };
    let is_snapshot = |name: &&String| name.contains(".state.") && !stored.contains(&mark_of(name));
    for name in stored.iter().filter(is_snapshot) {
        let path = store.join(name);
        let state = stored::parse(&path);
        let archives = state["archives"].as_array().unwrap().iter();
        named.extend(archives.map(|archive| archive["name"].as_str().unwrap().to_string()));
        for file in stored::state_files(&path) {
            let file = file.file_name().unwrap().to_str().unwrap().to_string();
            named.extend(Some(mark_of(&file)).filter(|mark| stored.contains(mark)));
            named.insert(file);
        }
    }
    named
}

/// Asserts that the store holds exactly the files that its snapshots need, and that it has exactly the points of
/// `series`, which all restore.
#[track_caller]
fn assert_consistent(series: &Series) {
    assert_eq!(names(series), named(&series.store));
    if !series.points.is_empty() {
        assert_eq!(stamps(series), series.points.iter().map(|point| point.stamp).collect::<Vec<_>>());
    }
    for point in &series.points {
        let dest = series.beside("restored");
        series.restore(Select::Exactly(point.stamp), &dest).whole();
        assert_same_facts(&point.kept.facts, &facts(&dest));
        remove(&dest);
    }
}

/// Removes the points that the report of a prune lists as removed.
fn forget_removed(series: &mut Series, report: &Report) {
    let removed = |stamp| {
        let listed = report.snapshots.iter().find(|snapshot| snapshot.stamp == stamp);
        listed.is_some_and(|snapshot| snapshot.action == Action::Removed)
    };
    series.points.retain(|point| !removed(point.stamp));
}

/// Name, size and kind of the files that a report lists.
fn files(report: &Report) -> BTreeMap<String, (u64, &'static str)> {
    report.files.iter().map(|file| (file.name.clone(), (file.size, file.kind))).collect()
}

fn decisions(report: &Report) -> Vec<(Stamp, Action, String)> {
    report.snapshots.iter().map(|s| (s.stamp, s.action, s.reason.clone())).collect()
}

/// Prunes as a dry run first, which must change nothing and report the same as the prune.
#[track_caller]
fn prune_twice(series: &Series, options: &Options) -> Report {
    let before = series.stored();
    let around_before = around(series);
    let dry = series.prune(&Options { dry_run: true, ..options.clone() }).ok();
    assert_eq!(around(series), around_before, "a dry run changed something");
    let report = series.prune(options).ok();
    assert_eq!((files(&dry), decisions(&dry)), (files(&report), decisions(&report)));
    // A dry run only reads. Where nothing can be locked, it notes that.
    let notes = dry.problems.iter().filter(|problem| problem.kind == ProblemKind::Unlocked).count();
    let mut counters = report.counters.clone();
    counters.add(Counter::Problems, notes as u64);
    assert_eq!(dry.counters, counters);
    let gone: BTreeMap<_, _> =
        before.into_iter().filter(|(name, _)| series.store.join(name).symlink_metadata().is_err()).collect();
    let told: BTreeMap<_, _> = files(&report).into_iter().map(|(name, (size, _))| (name, size)).collect();
    assert_eq!(told, gone, "the report lists other files than those that are gone");
    let removed = report.snapshots.iter().filter(|s| s.action == Action::Removed).count() as u64;
    assert_eq!(report.counters.get(Counter::Deleted), removed);
    report
}

#[test]
fn any_snapshot_can_go() {
    for index in 0..5 {
        let mut series = five_snapshots();
        let stamp = series.points[index].stamp;
        let report = prune_twice(&series, &series.selecting(Select::Exactly(stamp)));
        assert!(!report.is_partial());
        let reasons: Vec<_> = report.snapshots.iter().map(|s| &*s.reason).collect();
        let expected = |at| if at == index { "selected" } else { "not selected" };
        assert_eq!(reasons, (0..5).map(expected).collect::<Vec<_>>());
        forget_removed(&mut series, &report);
        assert_eq!(series.points.len(), 4);
        assert_consistent(&series);
        // The series goes on.
        series.write("grows", noise(7, 60_000));
        series.snapshot();
        series.assert_every_point_restores();
    }
}

#[test]
fn a_moment_selects_the_newest_snapshot_not_after_it() {
    let mut series = five_snapshots();
    let just_before = Time::from_nanos(series.points[3].stamp.to_time().to_nanos() - 1);
    let report = prune_twice(&series, &series.selecting(Select::AsOf(just_before)));
    let removed = series.points[2].stamp;
    forget_removed(&mut series, &report);
    assert!(series.points.len() == 4 && series.points.iter().all(|point| point.stamp != removed));
    assert_consistent(&series);
}

#[test]
fn an_increment_after_the_latest_went_is_small() {
    for with_cache in [true, false] {
        let mut series = Series::new();
        let mut bytes = noise(1, 300_000);
        for round in 0..3 {
            bytes.extend_from_slice(&noise(round, 100));
            series.write("grows", &bytes);
            series.write("untouched", noise(2, 300_000));
            series.snapshot();
        }
        let latest = series.points.pop().unwrap().stamp;
        series.prune(&series.selecting(Select::Exactly(latest))).whole();
        if !with_cache {
            fs::remove_dir_all(series.cache()).unwrap();
        }
        bytes.extend_from_slice(b"and a little more");
        series.write("grows", &bytes);
        let (report, added) = series.increment();
        assert_eq!(report.snapshots.len(), 0);
        assert!(!added.contains_key("created") && added["updated"] < 5000, "{added:?}");
        let state = stored::parse(&series.newest("state"));
        assert_eq!(state["parent"]["snapshot"], series.points[1].stamp.to_string());
        series.assert_every_point_restores();
    }
}

#[test]
fn the_cache_forgets_what_was_pruned() {
    let series = five_snapshots();
    let cached = || {
        let files = walkdir::WalkDir::new(series.cache()).into_iter().map(Result::unwrap);
        let files = files.filter(|entry| entry.file_type().is_file());
        files.map(|entry| entry.file_name().to_str().unwrap().to_string()).collect::<BTreeSet<_>>()
    };
    assert!(!cached().is_empty());
    let latest = series.points[4].stamp;
    series.prune(&series.selecting(Select::Exactly(latest))).whole();
    assert!(!cached().is_empty() && cached().is_subset(&names(&series)), "{:?}", cached());
}

#[test]
fn nothing_is_touched_where_neither_or_both_are_given() {
    let series = five_snapshots();
    let both = Options { keep: ONLY_NEWEST, ..series.selecting(Select::Exactly(series.points[0].stamp)) };
    for options in [series.options.clone(), both] {
        let error = refused(&series, Kind::InvalidArg, |series| series.prune(&options));
        assert!(error.detail.contains("rules"), "{error}");
    }
}

#[test]
fn a_key_or_snapshot_that_is_not_there_is_not_found() {
    let series = one_full();
    let absent = Stamp::from_time(Time { secs: 1_000_000, nanos: 0 });
    for select in [Select::Exactly(absent), Select::AsOf(absent.to_time())] {
        refused(&series, Kind::NotFound, |series| series.prune(&series.selecting(select)));
    }
    let empty = Series::new();
    for allow_empty in [false, true] {
        let options = Options { allow_empty, ..empty.keeping(ONLY_NEWEST) };
        refused(&empty, Kind::NotFound, |empty| empty.prune(&options));
    }
    assert!(!empty.store.exists());
}

#[test]
fn the_last_snapshot_goes_only_when_that_is_allowed() {
    let mut series = one_full();
    let selected = series.selecting(Select::Exactly(series.points[0].stamp));
    for dry_run in [false, true] {
        let options = Options { dry_run, ..selected.clone() };
        refused(&series, Kind::InvalidArg, |series| series.prune(&options));
    }
    let report = prune_twice(&series, &Options { allow_empty: true, ..selected });
    assert_eq!(report.snapshots[0].action, Action::Removed);
    assert!(series.stored().is_empty(), "{:?}", series.stored());
    series.points.clear();
    series.snapshot();
    series.assert_every_point_restores();
}

/// Archives without states may be all that is left of a user's data.
#[test]
fn archives_without_any_state_are_swept_only_when_that_is_allowed() {
    let series = one_full();
    fs::remove_file(series.newest("state")).unwrap();
    let options = series.keeping(ONLY_NEWEST);
    refused(&series, Kind::NotFound, |series| series.prune(&options));
    prune_twice(&series, &Options { allow_empty: true, ..options });
    assert!(series.stored().is_empty(), "{:?}", series.stored());
}

#[test]
fn what_killed_runs_left_is_swept() {
    let series = five_snapshots();
    let before = names(&series);
    let orphans = [
        "created.20200101T000000.000000Z.tar.zst",
        "full.20990101T000000.000000Z.tar.00002",
        "sigvault.20200101T000000.000000Z.tar.zst",
    ]
    .map(|rest| format!("{KEY}.{rest}"));
    for name in &orphans {
        fs::write(series.store.join(name), "left over").unwrap();
    }
    let all = Keep { last: 99, ..Keep::default() };
    let report = prune_twice(&series, &series.keeping(all));
    assert_eq!(files(&report).into_keys().collect::<BTreeSet<_>>(), BTreeSet::from(orphans));
    let kept = report.snapshots.iter().map(|snapshot| (snapshot.action, &*snapshot.reason));
    assert_eq!(kept.collect::<Vec<_>>(), vec![(Action::Kept, "last 99"); series.points.len()]);
    assert_eq!(names(&series), before);

    let draft = format!(".ibt-tmp-{KEY}.full.20200101T000000.000000Z.tar.zst");
    fs::write(series.store.join(&draft), "left over").unwrap();
    let report = series.prune(&series.keeping(all)).whole();
    assert_eq!(report.problems.len(), 1);
    assert_eq!(
        (report.problems[0].kind, report.problems[0].file.as_ref()),
        (ProblemKind::Leftover, Some(&draft))
    );
    assert_eq!(names(&series), before);
    assert_consistent(&series);
}

#[test]
fn foreign_things_and_other_keys_are_left_alone() {
    let mut series = five_snapshots();
    let other = Options { key: Some("tree.more".into()), ..series.options.clone() };
    let backup = |options: &Options| {
        series.run(options, &Cancel::default(), &mut ibt::job::Silent, |store, job| {
            ibt::backup::full(store, &series.source, job)
        })
    };
    backup(&other).whole();
    let stamp = "20200101T000000.000000Z";
    let foreign = [
        "README".to_string(),
        "tree".to_string(),
        format!("tree.full.{stamp}.tar.zst.part"),
        format!("tree.nonsense.{stamp}.tar.zst"),
        format!("trees.full.{stamp}.tar.zst"),
        format!(".ibt-tmp-trees.full.{stamp}.tar.zst"),
    ];
    for name in &foreign {
        fs::write(series.store.join(name), "not of this key").unwrap();
    }
    fs::create_dir(series.store.join(format!("tree.full.{stamp}.tar.zst"))).unwrap();
    run(command("mkfifo", ["--"]).arg(series.store.join(format!("tree.state.{stamp}.json.zst"))));
    let others =
        || names(&series).into_iter().filter(|n| !n.starts_with("tree.") || n.starts_with("tree.more"));
    let before: BTreeSet<_> = others().collect();
    assert!(before.len() >= 3 + 4, "{before:?}");
    let report = series.prune(&series.keeping(ONLY_NEWEST)).whole();
    assert_eq!(others().collect::<BTreeSet<_>>(), before);
    for name in
        [format!("tree.full.{stamp}.tar.zst"), format!("tree.state.{stamp}.json.zst"), foreign[2].clone()]
    {
        assert!(names(&series).contains(&name), "{name}");
    }
    forget_removed(&mut series, &report);
    assert_eq!(series.points.len(), 1);
    series.assert_every_point_restores();
}

type Spoil = fn(&Path);

/// The only one of these ways that leaves the state itself readable.
const TWIN: &str = "a second file of its stamp";

/// Ways to make a state unreadable, with their names.
fn unreadable_states() -> Vec<(&'static str, Spoil)> {
    let flip: Spoil = |state| {
        let mut bytes = fs::read(state).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        fs::write(state, bytes).unwrap();
    };
    let newer: Spoil = |state| stored::forge(state, "\"version\":1", "\"version\":2");
    let empty: Spoil = |state| fs::write(state, "").unwrap();
    let twin: Spoil = |state| fs::write(state.with_extension(""), "{").unwrap();
    vec![("flipped", flip), ("newer", newer), ("empty", empty), (TWIN, twin)]
}

fn state_of(series: &Series, index: usize) -> std::path::PathBuf {
    series.store.join(format!("{KEY}.state.{}.json.zst", series.points[index].stamp))
}

#[test]
fn while_a_state_cannot_be_read_every_archive_stays() {
    for (what, spoil) in unreadable_states() {
        let mut series = five_snapshots();
        // No other snapshot needs this state.
        let middle = series.points[1].stamp;
        spoil(&state_of(&series, 1));
        let before = names(&series);
        let report = prune_twice(&series, &series.keeping(ONLY_NEWEST));
        assert!(report.is_partial(), "{what}");
        assert_eq!(report.problems[0].kind, ProblemKind::Damaged, "{what}");
        assert_eq!(report.problems[0].snapshot, Some(middle), "{what}");
        // The damaged state may need the others as layers, so that they only get marks.
        let is_twin = what == TWIN;
        let removed = if is_twin { 4 } else { 3 };
        assert_eq!(report.counters.get(Counter::Deleted), removed, "{what}: nothing was removed");
        assert!(report.files.is_empty(), "{what}: {:?}", report.files);
        assert_eq!(stamps(&series), [series.points[4].stamp], "{what}");
        // The kept archives are listed as left-overs: the next prune would remove them.
        let spared: BTreeSet<_> = report
            .problems
            .iter()
            .filter(|problem| problem.kind == ProblemKind::Leftover)
            .map(|problem| problem.file.clone().unwrap())
            .collect();
        let archives: BTreeSet<_> = before.iter().filter(|name| name.contains(".tar")).cloned().collect();
        let needed: BTreeSet<_> = stored::parse(&state_of(&series, 4))["archives"]
            .as_array()
            .unwrap()
            .iter()
            .map(|archive| archive["name"].as_str().unwrap().to_string())
            .collect();
        assert_eq!(spared, archives.difference(&needed).cloned().collect(), "{what}");
        assert!(archives.is_subset(&names(&series)), "{what}");
        let dest = series.beside("restored");
        series.restore(Select::Newest, &dest).whole();
        series.points[4].kept.assert_is(&dest);
        remove(&dest);

        // A prune by the exact stamp removes the bad state. Then the other files can go. The mark of a removed snapshot
        // counts for a second file of its stamp too, so that the rules are enough there.
        let options = match is_twin {
            true => series.keeping(ONLY_NEWEST),
            false => series.selecting(Select::Exactly(middle)),
        };
        let report = prune_twice(&series, &options);
        assert!(!report.is_partial(), "{what}: {:?}", report.problems);
        series.points.drain(..4);
        assert_consistent(&series);
    }
}

/// A user moved a state to another place and left a symbolic link, which may be dangling.
#[test]
fn while_a_state_is_a_link_every_archive_stays() {
    for (leads, exactly) in [(true, false), (false, false), (true, true)] {
        let mut series = five_snapshots();
        let (state, elsewhere) = (state_of(&series, 1), series.beside("elsewhere"));
        fs::rename(&state, &elsewhere).unwrap();
        let target = if leads { &elsewhere } else { Path::new("/nonexistent/state") };
        std::os::unix::fs::symlink(target, &state).unwrap();
        let options = match exactly {
            true => series.selecting(Select::Exactly(series.points[0].stamp)),
            false => series.keeping(ONLY_NEWEST),
        };
        let report = prune_twice(&series, &options);
        assert!(report.is_partial());
        let told = &report.problems[0];
        assert_eq!((told.kind, told.snapshot), (ProblemKind::Unreadable, Some(series.points[1].stamp)));
        assert!(told.message.contains("symbolic link"), "{}", told.message);
        assert!(report.problems[1..].iter().all(|problem| problem.kind == ProblemKind::Leftover));
        // The linked state may need the others as layers, so that they only get marks.
        assert!(report.files.is_empty() && report.counters.get(Counter::Deleted) > 0);
        // When the state is back, the snapshot restores again.
        fs::rename(&elsewhere, &state).unwrap();
        series.assert_point_restores(1);
        let stamp = series.points[1].stamp;
        let report = prune_twice(&series, &series.selecting(Select::Exactly(stamp)));
        assert!(!report.is_partial());
        forget_removed(&mut series, &report);
        assert_eq!(names(&series), named(&series.store));
    }
}

/// While a backup writes archives, its state does not exist yet, so these archives are newer than every state. If the
/// store cannot be locked, a prune must keep such archives.
#[test]
fn where_nothing_is_locked_what_is_newer_than_every_snapshot_stays() {
    let unlocked = |series: &Series| {
        let lock = series.store.join(format!("{KEY}.lock"));
        fs::remove_file(&lock).unwrap();
        fs::create_dir(&lock).unwrap();
    };
    for locks in [true, false] {
        let mut series = five_snapshots();
        let old = format!("{KEY}.created.20200101T000000.000000Z.tar.zst");
        let new = format!("{KEY}.created.{}.tar.zst", Stamp::of_clock(Time::now().plus_secs(60)));
        [&old, &new].iter().for_each(|name| fs::write(series.store.join(name), "x").unwrap());
        if !locks {
            unlocked(&series);
        }
        let options = Options { allow_unlocked: true, ..series.keeping(ONLY_NEWEST) };
        let report = prune_twice(&series, &options);
        assert!(!report.is_partial());
        assert!(!series.store.join(&old).exists());
        assert_eq!(series.store.join(&new).exists(), !locks);
        let told: Vec<_> =
            report.problems.iter().map(|problem| (problem.kind, problem.file.clone())).collect();
        let expected = vec![(ProblemKind::Leftover, Some(new.clone()))];
        assert_eq!(told, if locks { Vec::new() } else { expected });
        if !locks {
            fs::remove_file(series.store.join(&new)).unwrap();
            fs::remove_dir(series.store.join(format!("{KEY}.lock"))).unwrap();
        }
        forget_removed(&mut series, &report);
        assert_consistent(&series);
    }
}

/// A damaged state is no snapshot. So an archive that is newer than every snapshot, but older than a damaged state, may
/// belong to a running backup too.
#[test]
fn where_nothing_is_locked_a_damaged_state_does_not_count_as_a_snapshot() {
    let series = five_snapshots();
    let lock = series.store.join(format!("{KEY}.lock"));
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    let at = |secs| Stamp::of_clock(Time::now().plus_secs(secs));
    let (making, damaged) = (format!("{KEY}.created.{}.tar.zst", at(60)), at(3600));
    fs::write(series.store.join(&making), "x").unwrap();
    fs::write(series.store.join(format!("{KEY}.state.{damaged}.json.zst")), "garbage").unwrap();
    let options = Options { allow_unlocked: true, ..series.selecting(Select::Exactly(damaged)) };
    let report = series.prune(&options).whole();
    assert_eq!(report.files.len(), 1, "{:?}", report.files);
    assert!(series.store.join(&making).exists());
    let told: Vec<_> = report.problems.iter().map(|problem| (problem.kind, problem.file.clone())).collect();
    assert_eq!(told, [(ProblemKind::Leftover, Some(making))]);
}

#[test]
fn a_damaged_state_takes_no_place_among_those_kept() {
    let series = five_snapshots();
    fs::write(state_of(&series, 4), "").unwrap();
    let report = series.prune(&series.keeping(ONLY_NEWEST)).partial();
    let kept: Vec<_> =
        report.snapshots.iter().filter(|s| s.action == Action::Kept).map(|s| s.stamp).collect();
    assert_eq!(kept, [series.points[3].stamp]);
    series.assert_point_restores(3);
}

#[test]
fn a_damaged_state_is_not_removed_by_a_moment_nor_as_the_last_one() {
    let series = one_full();
    fs::write(state_of(&series, 0), "").unwrap();
    let stamp = series.points[0].stamp;
    refused(&series, Kind::Corrupt, |series| series.prune(&series.selecting(Select::AsOf(stamp.to_time()))));
    refused(&series, Kind::InvalidArg, |series| series.prune(&series.selecting(Select::Exactly(stamp))));
    let report = series.prune(&series.keeping(ONLY_NEWEST)).partial();
    assert!(report.files.is_empty() && report.snapshots.is_empty());
    assert_eq!(series.stored().len(), 3);
}

#[test]
fn a_snapshot_with_damaged_entries_does_not_count_as_the_one_to_keep() {
    let mut series = Series::new();
    for n in 0..400 {
        series.write(&format!("file {n}"), "");
    }
    let report = series.full().whole();
    series.keep(&report);
    series.write("new", b"new");
    let report = series.incremental().whole();
    series.keep(&report);
    let newest = state_of(&series, 1);
    let mut bytes = fs::read(&newest).unwrap();
    // The middle of the file is the entries: the parts that a list reads stay right.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let before = names(&series);
    let report = series.prune(&series.keeping(ONLY_NEWEST)).partial();
    assert_eq!(report.counters.get(Counter::Deleted), 0, "{report:?}");
    assert_eq!(names(&series), before);
    let exactly = |at: usize| series.selecting(Select::Exactly(series.points[at].stamp));
    refused(&series, Kind::InvalidArg, |series| series.prune(&exactly(0)));
    series.prune(&exactly(1)).whole();
}

#[test]
fn stopping_at_problems_stops_before_anything_is_removed() {
    let series = five_snapshots();
    fs::write(state_of(&series, 1), "").unwrap();
    let options = Options { on_file_error: OnFileError::Stop, ..series.keeping(ONLY_NEWEST) };
    refused(&series, Kind::Corrupt, |series| series.prune(&options));
}

#[test]
fn a_locked_key_is_busy() {
    let series = one_full();
    let mut store = DirStore::open(&series.store);
    let held = store.lock(KEY, LockMode::Read).unwrap();
    refused(&series, Kind::Busy, |series| series.prune(&series.keeping(ONLY_NEWEST)));
    series.prune(&Options { dry_run: true, ..series.keeping(ONLY_NEWEST) }).whole();
    drop(held);
    series.prune(&series.keeping(ONLY_NEWEST)).whole();
}

/// Counts callbacks, and cancels at the callback with number `at`.
struct CancelAt {
    at: u32,
    calls: u32,
    flag: Cancel,
}

impl Observer for CancelAt {
    fn progress(&mut self, _: &Progress) -> Flow {
        self.calls += 1;
        if self.calls == self.at {
            self.flag.request();
        }
        Flow::Continue
    }
    fn change(&mut self, _: u32, _: Option<&Entry>, _: Option<&Entry>) -> Flow {
        panic!("a prune changes no entries");
    }
}

fn prune(store: &mut OddStore, options: &Options) -> Outcome {
    store.run(options, |store, job| ibt::retain::prune(store, KEY, job))
}

#[test]
fn a_store_that_cannot_delete_is_refused_first() {
    let series = five_snapshots();
    let mut store = OddStore { cannot_delete: true, ..OddStore::new(&series) };
    refused(&series, Kind::Unsupported, |_| prune(&mut store, &series.keeping(ONLY_NEWEST)));
}

/// No archive is removed while a state that should be removed may still exist.
#[test]
fn a_store_that_does_not_delete_what_it_says_loses_nothing() {
    let mut series = five_snapshots();
    let before = names(&series);
    let mut store = OddStore { lies: true, ..OddStore::new(&series) };
    prune(&mut store, &series.keeping(ONLY_NEWEST)).refused(Kind::Busy);
    assert_eq!(store.deleted.len(), 4, "archives as well");
    assert_eq!(names(&series), before);
    series.write("grows", "no more");
    series.snapshot();
    series.assert_every_point_restores();
}

/// Asserts that an interrupted prune reports the removed files, that the rest of the store is whole, and that the next
/// prune reaches the same end.
#[track_caller]
fn assert_cut_short(series: &Series, outcome: &Outcome) {
    let fork = series.fork();
    let gone: BTreeSet<_> = outcome.report.files.iter().map(|file| file.name.clone()).collect();
    assert!(gone.iter().all(|name| !names(series).contains(name)));
    let listed = stamps(series);
    for (index, point) in series.points.iter().enumerate() {
        let told = outcome.report.snapshots.iter().find(|s| s.stamp == point.stamp);
        let removed = told.is_some_and(|s| s.action == Action::Removed);
        assert_eq!(listed.contains(&point.stamp), !removed);
        if !removed {
            fork.assert_point_restores(index);
        }
    }
    fork.twin.prune(&fork.twin.keeping(ONLY_NEWEST)).whole();
    assert_eq!(names(&fork.twin), named(&fork.twin.store));
    assert_eq!(stamps(&fork.twin), [series.points[4].stamp]);
    fork.assert_point_restores(4);
}

#[test]
fn a_prune_cancelled_after_any_deletion_can_be_done_again() {
    let original = five_snapshots();
    let all = {
        let rehearsal = original.fork();
        rehearsal.twin.prune(&rehearsal.twin.keeping(ONLY_NEWEST)).whole().files.len()
    };
    assert!(all >= 10, "{all} files removed");
    for cancel_after in (1..=all).step_by(2) {
        let mut series = original.fork().twin;
        series.points = clone_points(&original);
        let mut store = OddStore { cancel_after: Some(cancel_after), ..OddStore::new(&series) };
        let outcome = prune(&mut store, &series.keeping(ONLY_NEWEST));
        assert_eq!(outcome.result.as_ref().unwrap_err().kind, Kind::Cancelled);
        assert_eq!(outcome.report.files.len(), cancel_after);
        assert_cut_short(&series, &outcome);
    }
}

#[test]
fn a_prune_cancelled_by_any_callback_can_be_done_again() {
    let original = five_snapshots();
    let mut cancelled = 0;
    for at in 1..100 {
        let mut series = original.fork().twin;
        series.points = clone_points(&original);
        let flag = Cancel::default();
        let mut observer = CancelAt { at, calls: 0, flag: flag.clone() };
        let options = series.keeping(ONLY_NEWEST);
        let outcome =
            series.run(&options, &flag, &mut observer, |store, job| ibt::retain::prune(store, KEY, job));
        if outcome.result.is_ok() {
            assert!(observer.calls < at, "not cancelled by callback {at}");
            break;
        }
        assert_eq!(outcome.result.as_ref().unwrap_err().kind, Kind::Cancelled);
        assert_cut_short(&series, &outcome);
        cancelled += 1;
    }
    assert!(cancelled >= 4, "{cancelled}");
}

fn clone_points(series: &Series) -> Vec<series::Point> {
    let copy = |kept: &Kept| Kept { copy: kept.copy.clone(), facts: kept.facts.clone() };
    series.points.iter().map(|point| series::Point { stamp: point.stamp, kept: copy(&point.kept) }).collect()
}

/// One step in the life of a store.
#[derive(Clone, Debug)]
enum Step {
    /// A backup, this many hours after the backup before.
    Backup {
        full: bool,
        edits: Vec<Edit>,
        hours: i64,
    },
    Rules(Keep),
    One(Index),
    /// A killed run leaves an archive.
    Orphan(&'static str),
}

fn steps() -> impl Strategy<Value = Step> {
    let hours = prop_oneof![3 => 0i64..12, 3 => 12i64..48, 2 => 100i64..400, 1 => 2000i64..9000];
    let backup = (weighted(0.3), edits(5), hours);
    let n = || prop_oneof![2 => Just(0u32), 3 => 1u32..4];
    let rules = (n(), n(), n(), n(), n());
    let kinds = select(vec!["full", "created", "updated", "sigvault"]);
    prop_oneof![
        6 => backup.prop_map(|(full, edits, hours)| Step::Backup { full, edits, hours }),
        2 => rules.prop_map(|(last, daily, weekly, monthly, yearly)| {
            Step::Rules(Keep { last, daily, weekly, monthly, yearly, ..Keep::NONE })
        }),
        2 => any::<Index>().prop_map(Step::One),
        1 => kinds.prop_map(Step::Orphan),
    ]
}

fn weighted(p: f64) -> impl Strategy<Value = bool> {
    proptest::bool::weighted(p)
}

/// The reasons why some rule keeps each of `stamps` (ascending), or `None`. date(1) names the periods.
fn expected(stamps: &[Stamp], keep: &Keep) -> Vec<(Stamp, Option<String>)> {
    let formats = [
        (keep.daily, "daily", "%F"),
        (keep.weekly, "weekly", "%G-W%V"),
        (keep.monthly, "monthly", "%Y-%m"),
        (keep.yearly, "yearly", "%Y"),
    ];
    let name_of = |stamp: &Stamp, format: &str| {
        let day = &stamp.to_string()[..8];
        let said = run(&mut command("date", ["-u", "-d", day, &format!("+{format}")]));
        String::from_utf8(said).unwrap().trim().to_string()
    };
    let mut reasons: BTreeMap<Stamp, Vec<String>> = BTreeMap::new();
    for stamp in stamps.iter().rev().take(keep.last as usize) {
        reasons.entry(*stamp).or_default().push(format!("last {}", keep.last));
    }
    for (n, word, format) in formats.into_iter().filter(|(n, ..)| *n > 0) {
        let mut newest: BTreeMap<String, Stamp> = BTreeMap::new();
        for stamp in stamps {
            newest.insert(name_of(stamp, format), *stamp);
        }
        for (period, stamp) in newest.into_iter().rev().take(n as usize) {
            reasons.entry(stamp).or_default().push(format!("{word} {period}"));
        }
    }
    stamps.iter().map(|stamp| (*stamp, reasons.get(stamp).map(|said| said.join(", ")))).collect()
}

/// The life of a store, with the snapshots that it should hold.
struct PrunedStore {
    series: Series,
    now: i64,
    orphans: u32,
}

impl PrunedStore {
    fn new(tree: &Tree) -> PrunedStore {
        let mut series = Series::new();
        series.options.codec = Codec::None;
        series.options.allow_empty = true;
        tree.make(&series.source);
        // A Friday, shortly before a leap year.
        PrunedStore { series, now: 1_576_800_000, orphans: 0 }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Backup { full, edits, hours } => self.backup(*full, edits, *hours),
            Step::Rules(keep) => self.rules(keep),
            Step::One(index) => self.one(index),
            Step::Orphan(kind) => {
                self.orphans += 1;
                let stamp = Stamp::from_time(Time { secs: i64::from(self.orphans), nanos: 0 });
                fs::write(self.series.store.join(format!("{KEY}.{kind}.{stamp}.tar")), "left over").unwrap();
            }
        }
    }

    fn backup(&mut self, full: bool, edits: &[Edit], hours: i64) {
        edits.iter().for_each(|edit| edit.apply(&self.series.source));
        let full = full || self.series.points.is_empty();
        let mut report = if full { self.series.full() } else { self.series.incremental() }.whole();
        self.now += hours * 3600 + 1;
        let stamp = Stamp::from_time(Time { secs: self.now, nanos: 0 });
        stored::travel(&self.series.store, report.snapshot.unwrap(), stamp);
        report.snapshot = Some(stamp);
        // Only the facts are compared here, so no copy is made.
        let kept = Kept { copy: Default::default(), facts: facts(&self.series.source) };
        self.series.points.push(series::Point { stamp, kept });
    }

    fn stamps(&self) -> Vec<Stamp> {
        self.series.points.iter().map(|point| point.stamp).collect()
    }

    fn rules(&mut self, keep: &Keep) {
        let options = self.series.keeping(*keep);
        if *keep == Keep::default() || self.series.points.is_empty() {
            return;
        }
        let report = prune_twice(&self.series, &options);
        let expected = expected(&self.stamps(), keep).into_iter().map(|(stamp, reason)| match reason {
            Some(reason) => (stamp, Action::Kept, reason),
            None => (stamp, Action::Removed, "no rule keeps it".into()),
        });
        assert_eq!(decisions(&report), expected.collect::<Vec<_>>(), "{keep:?}");
        self.pruned(&report);
    }

    fn one(&mut self, index: &Index) {
        if self.series.points.is_empty() {
            return;
        }
        let stamp = *index.get(&self.stamps());
        let report = prune_twice(&self.series, &self.series.selecting(Select::Exactly(stamp)));
        self.pruned(&report);
        assert!(!self.stamps().contains(&stamp));
    }

    fn pruned(&mut self, report: &Report) {
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        let before = self.series.points.len() as u64;
        forget_removed(&mut self.series, report);
        assert_eq!(report.counters.get(Counter::Deleted), before - self.series.points.len() as u64);
        assert_consistent(&self.series);
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn a_store_holds_what_its_snapshots_need_and_they_restore(tree in trees(8), steps in vec(steps(), 1..14)) {
        let mut life = PrunedStore::new(&tree);
        life.backup(true, &[], 0);
        steps.iter().for_each(|step| life.step(step));
        life.rules(&Keep { last: 2, ..Keep::default() });
    }
}

/// A store on a full disk: a new file has room for its name and for no byte.
struct FullDisk<'s> {
    store: &'s mut dyn Store,
}

#[deny(clippy::missing_trait_methods)]
impl Store for FullDisk<'_> {
    fn create(&mut self, name: &str) -> ibt::error::Result<Box<dyn Draft>> {
        Ok(Box::new(FullDraft(self.store.create(name)?)))
    }

    forward!(store: require check_exists list read_at sync delete locks sweep_drafts links places);
}

struct FullDraft(Box<dyn Draft>);

impl Draft for FullDraft {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn write(&mut self, _data: &[u8]) -> ibt::error::Result<()> {
        let full = std::io::Error::from_raw_os_error(libc::ENOSPC);
        Err(ibt::error::Error::io("write", self.0.name(), &full))
    }

    fn seal(&mut self) -> ibt::error::Result<()> {
        self.0.seal()
    }

    fn begin_next(&mut self, name: &str) -> ibt::error::Result<Box<dyn Draft>> {
        self.0.begin_next(name)
    }

    fn publish(self: Box<Self>) -> ibt::error::Result<()> {
        self.0.publish()
    }

    fn replace(self: Box<Self>) -> ibt::error::Result<()> {
        self.0.replace()
    }
}

/// The removed snapshots are layers of the one that stays, so each of them gets a mark. An empty mark counts.
#[test]
fn a_prune_makes_room_on_a_full_disk() {
    let series = support::layered::layered_chain();
    let report = series
        .silently(&series.keeping(ONLY_NEWEST), |store, job| {
            ibt::retain::prune(&mut FullDisk { store }, KEY, job)
        })
        .whole();
    assert_eq!(counter(&report, Counter::Problems), 0);
    let marks: Vec<_> = series.stored().into_iter().filter(|(name, _)| name.contains(".retired.")).collect();
    assert!(!marks.is_empty() && marks.iter().all(|(_, size)| *size == 0), "{marks:?}");
    assert_eq!(stamps(&series), [series.points.last().unwrap().stamp]);
    series.assert_point_restores(series.points.len() - 1);
    series.full().whole();
    series.prune(&series.keeping(ONLY_NEWEST)).whole();
    assert!(series.stored().keys().all(|name| !name.contains(".retired.")));
}
