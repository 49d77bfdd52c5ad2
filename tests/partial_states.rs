//! Partial states: a full backup that was killed or failed leaves one, and the next full goes on from there.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ibt::entry::Entry;
use ibt::error::Kind;
use ibt::format::names::{BackupFileKind, Name};
use ibt::job::{Cancel, Codec, Counter, Detect, Flow, Job, Keep, Observer, Options, Silent};
use ibt::store::callbacks::{CallbackStore, Refusal};
use proptest::prelude::*;
use support::memory::Trouble;
use support::partials::*;
use support::series::{KEY, counter};
use support::tools::{child_role, command, this_test_again};
use support::*;

/// Runs the full of a killed process. Does nothing in a normal test run.
#[test]
fn child() {
    let Some(role) = child_role() else { return };
    let parts: Vec<_> = role.split('\n').collect();
    let [source, store, cache, at, part_size] = parts[..] else { panic!("{role:?}") };
    let mut series = in_directory();
    (series.source, series.store) = (source.into(), store.into());
    series.options.cache_dir = Some(cache.into());
    series.options.part_size = part_size.parse().unwrap();
    full_that_ends_at(&series, at.parse().unwrap(), true).whole();
}

/// Kills a process that makes a full, after it stored `at` entries.
#[track_caller]
fn kill_at(series: &Series, at: usize) {
    let (at, part_size) = (at.to_string(), series.options.part_size.to_string());
    let text = |path: &PathBuf| path.to_str().unwrap().to_string();
    let role = [text(&series.source), text(&series.store), text(&series.cache()), at, part_size].join("\n");
    let binary = std::env::current_exe().unwrap();
    let status = this_test_again(&binary, "child", &role).status().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
}

#[test]
fn after_a_kill_at_any_tenth_the_next_full_reads_only_the_rest() {
    let source = in_directory();
    fill(&source);
    for part_size in [0, 50_000] {
        for tenth in 1..=10 {
            let mut series = source.fork().twin;
            series.options.part_size = part_size;
            // Two directories come before the files.
            let at = 2 + tenth * FILES / 10;
            kill_at(&series, at);
            let done = (tenth * FILES / 10 * LEN) as u64;
            let expected = usize::from(done > CHECKPOINT + LEN as u64);
            assert_eq!(partials(&series).len(), expected, "{tenth}");
            let states = series.stored().into_keys().filter(|name| name.contains(".state.")).count();
            assert_eq!(states, 1, "only the draft of the state: {:?}", series.stored());
            let report = series.full().whole();
            let read = counter(&report, Counter::BytesRead);
            assert_eq!(read + counter(&report, Counter::BytesAlreadyStored), TOTAL);
            let lost = CHECKPOINT + 2 * LEN as u64;
            assert!(read >= TOTAL - done && read <= TOTAL - done + lost, "{tenth}: {read} of {TOTAL}");
            assert_eq!(partials(&series), [""; 0]);
            // The report names the temporary files of the killed run.
            assert!(leftover_files(&report).iter().flatten().all(|name| name.starts_with(".ibt-tmp-")));
            series.assert_newest_is_the_source();
            assert!(!series.verify(&series.options).whole().is_partial());
            series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })).whole();
            assert_all_named(&series);
            assert!(!series.stored().keys().any(|name| name.starts_with(".ibt-tmp-")));
            series.assert_newest_is_the_source();
        }
    }
}

/// The file that was taken over has its signature, so the next increment stores a delta of it. A consolidation makes a
/// full that needs no other archive.
#[test]
fn what_follows_a_full_that_went_on_is_as_after_any_full() {
    for mut series in [in_directory(), in_memory()] {
        fill(&series);
        cancel_at(&series, 30);
        assert!(go_on(&series, TOTAL) < TOTAL / 2);
        let state = series.newest("state").file_name().unwrap().to_str().unwrap().to_string();
        let entries = document(&series, &state)["entries"].as_array().unwrap().clone();
        let files: Vec<_> = entries.iter().filter(|entry| entry["type"] == "file").collect();
        assert!(files.len() == FILES && files.iter().all(|file| file["at"]["sig"]["hash"].is_string()));
        series.options.delta = ibt::job::DeltaMode::Signatures;
        series.write(&path(3), [noise(3, LEN), noise(99, 500)].concat());
        let report = series.incremental().whole();
        assert!(report.files.iter().any(|file| file.kind == "updated"), "{:?}", report.files);
        assert!(counter(&report, Counter::BytesWritten) < 8000, "{report:?}");
        series.keep(&report);
        let made = series.consolidate().whole();
        series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })).whole();
        let stamp = made.snapshot.unwrap().to_string();
        assert!(archives(&series).iter().all(|name| name.contains(&stamp)), "{:?}", archives(&series));
        series.assert_newest_is_the_source();
    }
}

#[test]
fn changed_deleted_new_and_renamed_files_are_as_in_a_full_from_zero() {
    for series in [in_directory(), in_memory()] {
        (0..FILES).for_each(|n| drop(series.write(&path(n), noise(n as u64, LEN))));
        let file = |name: &str| series.source.join(name);
        fs::hard_link(file(&path(4)), file("dir/04 too")).unwrap();
        fs::hard_link(file(&path(5)), file("dir/zz")).unwrap();
        std::os::unix::fs::symlink("02", file("dir/00 link")).unwrap();
        series.write("dir/06 and/below", noise(66, 20_000));
        settle();
        cancel_at(&series, 38);
        assert_eq!(partials(&series).len(), 1);
        series.write(&path(1), noise(71, LEN));
        fs::remove_file(file(&path(2))).unwrap();
        fs::rename(file(&path(3)), file("dir/35 moved")).unwrap();
        fs::rename(file("dir/06 and"), file("dir/new and")).unwrap();
        series.write("dir/07 new", noise(72, LEN));
        fs::remove_file(file(&path(8))).unwrap();
        series.write("dir/08/is a directory", "now");
        fs::hard_link(file(&path(9)), file("dir/09 too")).unwrap();
        fs::remove_file(file("dir/04 too")).unwrap();
        assert_like_from_zero(&series);
    }
}

proptest! {
    #![proptest_config(cases(6))]

    #[test]
    fn whatever_changes_meanwhile_the_full_is_as_from_zero(
        tree in trees(20), ends in proptest::collection::vec(1usize..30, 1..3), changes in edits(6), part_size in 0u64..9000,
        codec in prop_oneof![Just(Codec::Zstd(1)), Just(Codec::None)], in_functions: bool,
    ) {
        let mut series = if in_functions { in_memory() } else { in_directory() };
        series.options = Options {
            checkpoint: 100, allow_empty: true, part_size: if part_size < 2000 { 0 } else { part_size }, codec,
            ..series.options.clone()
        };
        tree.make(&series.source);
        settle();
        for at in ends {
            if let Err(error) = full_that_ends_at(&series, at, false).result {
                prop_assert_eq!(error.kind, Kind::Cancelled);
            }
        }
        changes.iter().for_each(|edit| edit.apply(&series.source));
        assert_like_from_zero(&series);
        prop_assert_eq!(partials(&series), [""; 0]);
        series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })).whole();
        assert_all_named(&series);
    }
}

/// A change of the options.
type Change = fn(&mut Options);

/// The options of the full decide which entries the snapshot has and how they are stored. Those of the earlier full do
/// not matter.
#[test]
fn a_full_with_other_options_is_as_from_zero() {
    let source = in_directory();
    (0..FILES).for_each(|n| drop(source.write(&path(n), noise(n as u64, LEN))));
    fs::hard_link(source.source.join(path(4)), source.source.join("dir/04 too")).unwrap();
    source.write("dir/05 long", noise(55, 2 * LEN));
    settle();
    let changes: [(&str, Change); 6] = [
        ("excludes", |options| options.excludes = [path(3), path(4)].map(String::into_bytes).to_vec()),
        ("a greatest size", |options| options.exclude_larger_than = Some(LEN as u64)),
        ("some paths", |options| {
            let path = |n| ibt::entry::Path::new(path(n)).unwrap();
            options.source_paths = Arc::new([3, 5, 38].map(path).to_vec());
        }),
        ("no compression", |options| options.codec = Codec::None),
        ("a size of parts", |options| options.part_size = 64 << 10),
        ("one file after the other", |options| options.threads = 1),
    ];
    for (what, change) in changes {
        let mut series = source.fork().twin;
        cancel_at(&series, 30);
        change(&mut series.options);
        let report = full_like_from_zero(&series);
        let (read, taken_over) = (Counter::BytesRead, Counter::BytesAlreadyStored);
        assert!(counter(&report, taken_over) > counter(&report, read), "{what}: {report:?}");
    }
    let mut series = source.fork().twin;
    cancel_at(&series, 30);
    series.options.detect = Detect::Content;
    let report = full_like_from_zero(&series);
    assert_eq!(counter(&report, Counter::BytesAlreadyStored), 0);
}

/// A full that goes on may end early too. Until it did more than the rest of the partial state is worth, that one
/// stays.
#[test]
fn a_full_that_goes_on_may_be_interrupted_again_and_again() {
    for series in [in_directory(), in_memory()] {
        fill(&series);
        cancel_at(&series, 16);
        let first = the_partial(&series);
        // It reads nothing new, and ends before the end of the partial state.
        cancel_at(&series, 6);
        assert_eq!(the_partial(&series), first);
        // A few changes at the beginning are no reason for a partial state that has less.
        (0..4).for_each(|n| drop(series.write(&path(n), noise(200 + n as u64, LEN))));
        settle();
        cancel_at(&series, 8);
        assert_eq!(the_partial(&series), first);
        cancel_at(&series, 25);
        let both = partials(&series);
        assert!(both.len() == 2 && both[0] == first, "{both:?}");
        // The newer one names archives of both runs. A prune cannot run without a snapshot.
        let stamps: BTreeSet<_> = archives_of(&series, &both[1]).iter().map(|name| stamp(name)).collect();
        assert_eq!(stamps, both.iter().map(|name| stamp(name)).collect());
        let read = go_on(&series, TOTAL);
        assert!(read <= 20 * LEN as u64, "{read}");
        series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })).whole();
        assert_all_named(&series);
        series.assert_newest_is_the_source();
    }
}

/// Most of the source changed, and each run ends before the end of the partial state. The runs make progress all the
/// same.
#[test]
fn a_partial_state_that_has_more_is_replaced_when_most_of_it_changed() {
    for series in [in_directory(), in_memory()] {
        fill(&series);
        cancel_at(&series, 34);
        let first = the_partial(&series);
        assert!(has_entry(&series, &first, "dir/27"));
        (0..25).for_each(|n| drop(series.write(&path(n), noise(200 + n as u64, LEN))));
        settle();
        let mut done = 0;
        for run in 1..4 {
            cancel_at(&series, 2 + 8 * run);
            let newest = partials(&series).pop().unwrap();
            assert!(stamp(&newest) > stamp(&first), "run {run}: {newest}");
            let has = |n: usize| has_entry(&series, &newest, &path(n));
            let before = std::mem::replace(&mut done, (0..FILES).take_while(|n| has(*n)).count());
            assert!(done > before && !has(27), "run {run}: {done} files and {before} before");
        }
        assert_eq!(go_on(&series, TOTAL), TOTAL - (done * LEN) as u64);
    }
}

#[test]
fn a_full_without_partial_states_is_stored_as_ever() {
    let mut series = in_directory();
    fill(&series);
    let contents = |series: &Series, kind: &str| fs::read(series.newest(kind)).unwrap();
    let kinds = ["full", "sigvault"];
    series.options.checkpoint = 0;
    series.full().whole();
    let without = kinds.map(|kind| contents(&series, kind));
    for checkpoint in [TOTAL, TOTAL + 1, u64::MAX] {
        series.options.checkpoint = checkpoint;
        let report = series.full().whole();
        assert_eq!(report.files.len(), if checkpoint == TOTAL { 5 } else { 3 });
        if checkpoint > TOTAL {
            assert!(without == kinds.map(|kind| contents(&series, kind)), "{checkpoint}");
        }
    }
    // With partial states, the archives have the same streams, in parts.
    let streams = |series: &Series| {
        let state = stored::parse(&series.newest("state"));
        let archives = state["archives"].as_array().unwrap().clone();
        archives.iter().map(|archive| stored::stream(&series.store, archive)).collect::<Vec<_>>()
    };
    let before = streams(&series);
    series.options.checkpoint = CHECKPOINT;
    let report = series.full().whole();
    assert!(report.files.len() > 15, "{:?}", report.files);
    assert!(streams(&series) == before, "other streams");
    assert_eq!(counter(&report, Counter::BytesWritten), report.total_size());
    let listed = run(command(
        "sh",
        ["-c", &format!("cat {KEY}.full.{}.tar.zst* | zstd -dcq | tar t", report.snapshot.unwrap())],
    )
    .current_dir(&series.store));
    assert_eq!(String::from_utf8(listed).unwrap().lines().count(), FILES + 2);
}

#[test]
fn no_partial_state_is_made_without_need_or_where_it_could_not_be_deleted() {
    let mut off = in_directory();
    off.options.checkpoint = 0;
    let mut large = in_directory();
    large.options.checkpoint = 2 * TOTAL;
    for series in [off, large, checked(Series::over(Memory::without(&["delete"])))] {
        fill(&series);
        cancel_at(&series, 35);
        assert_eq!(series.stored(), BTreeMap::new());
    }
    // A dry run publishes nothing, and reports the files of a full that goes on.
    let series = in_directory();
    fill(&series);
    let dry = Options { dry_run: true, ..series.options.clone() };
    let full = |options: &Options| {
        series.silently(options, |store, job| ibt::backup::full(store, &series.source, job)).whole()
    };
    full(&dry);
    assert_eq!(series.stored(), BTreeMap::new());
    cancel_at(&series, 35);
    let before = series.stored();
    let forecast = full(&dry);
    assert_eq!(series.stored(), before);
    let report = full(&series.options);
    assert_eq!(counter(&forecast, Counter::BytesRead), counter(&report, Counter::BytesRead));
    // Switched off, a full takes over nothing.
    cancel_at(&series, 35);
    let off = Options { checkpoint: 0, ..series.options.clone() };
    assert_eq!(counter(&full(&off), Counter::BytesRead), TOTAL);
    assert_eq!(partials(&series), [""; 0]);
}

/// A power cut may remove names that were published after the last sync. It never leaves a partial state without an
/// archive that it names, and a partial state is deleted only after a later one, or the snapshot, is durable.
#[test]
fn a_power_cut_finds_each_partial_state_whole_or_replaced() {
    let source = in_directory();
    fill(&source);
    for goes_on in [false, true] {
        let series = source.fork().twin;
        if goes_on {
            cancel_at(&series, 12);
        }
        let store = series.store.clone();
        let names = move |store: &Path| series::stored(store).into_keys().collect::<BTreeSet<_>>();
        let (mut durable, mut before) = (names(&store), names(&store));
        let counts = std::rc::Rc::new(std::cell::Cell::new((0, 0)));
        let seen = counts.clone();
        let mut each = EachCall::new(&series, move |function| {
            let now = names(&store);
            let (mut published, mut deleted) = seen.get();
            for partial in now.difference(&before).filter(|name| is_partial(name)) {
                let document = stored::named_document(partial, &fs::read(store.join(partial)).unwrap());
                let named: BTreeSet<_> = stored::archive_names(&document).into_iter().collect();
                assert!(named.is_subset(&durable), "{partial} names more than {durable:?}");
                published += 1;
            }
            for partial in before.difference(&now).filter(|name| is_partial(name)) {
                let old = Name::parse(partial).unwrap();
                let replaces = |name: &Name| match name.kind {
                    BackupFileKind::State => name.stamp >= old.stamp,
                    kind => kind == old.kind && (name.stamp, name.part) > (old.stamp, old.part),
                };
                let mut names = durable.iter().filter_map(|name| Name::parse(name));
                assert!(names.any(|name| replaces(&name)), "{partial} was deleted: {durable:?}");
                deleted += 1;
            }
            seen.set((published, deleted));
            if function == "sync" {
                durable.clone_from(&now);
            }
            before = now;
            Fate::Goes
        });
        let run = each.run(&series.options, &Cancel::default(), |store, job| {
            ibt::backup::full(store, &series.source, job)
        });
        run.whole();
        let (published, deleted) = counts.get();
        assert!(published > 4 && deleted >= published - 1, "{published} published, {deleted} deleted");
        series.assert_newest_is_the_source();
    }
}

/// Prunes the key at the change of this number.
struct PruneAt<'s> {
    series: &'s Series,
    left: usize,
}

impl Observer for PruneAt<'_> {
    fn change(&mut self, _: u32, _: Option<&Entry>, _: Option<&Entry>) -> Flow {
        self.left = self.left.wrapping_sub(1);
        if self.left == 0 {
            let options = self.series.keeping(Keep { last: 1, ..Keep::default() });
            let mut store = CallbackStore::new(self.series.memory.clone().unwrap());
            let (cancel, mut silent) = (Cancel::default(), Silent);
            ibt::retain::prune(&mut store, KEY, &mut Job::new(&options, &cancel, &mut silent)).unwrap();
        }
        Flow::Continue
    }
}

/// Where nothing is locked, a prune may run while a full goes on from a partial state and publishes others.
#[test]
fn a_prune_beside_a_full_takes_nothing_that_the_full_needs() {
    let source = in_memory();
    fill(&source);
    for at in [3, 14, 22, 39] {
        let mut series = checked(Series::over(Memory::without(&["lock"])));
        series.options.allow_unlocked = true;
        series.source = source.source.clone();
        series.full().whole();
        cancel_at(&series, 12);
        let mut prune = PruneAt { series: &series, left: at };
        let run = series.run(&series.options, &Cancel::default(), &mut prune, |store, job| {
            ibt::backup::full(store, &series.source, job)
        });
        let report = run.whole();
        assert!(counter(&report, Counter::BytesAlreadyStored) > 5 * LEN as u64, "{at}");
        assert!(!series.verify(&series.options).whole().is_partial());
        series.assert_newest_is_the_source();
    }
}

/// The snapshot exists and needs none of them, so the full succeeds all the same.
#[test]
fn partial_states_that_cannot_be_deleted_are_noted() {
    let source = in_memory();
    fill(&source);
    for goes_on in [false, true] {
        let mut series = in_memory();
        series.source = source.source.clone();
        if goes_on {
            cancel_at(&series, 12);
        }
        let memory = series.memory.clone().unwrap();
        memory.disturb(|function, _| match function {
            "delete" => Trouble::Refused(Refusal { status: -77, os_code: libc::EACCES, reason: None }),
            _ => Trouble::None,
        });
        let report = series.full().whole();
        memory.mend();
        let left = partials(&series);
        assert!(left.len() > 3, "{left:?}");
        let noted: BTreeSet<_> = leftover_files(&report).into_iter().flatten().collect();
        assert_eq!((noted.len(), noted), (report.problems.len(), left.into_iter().collect()));
        let is_clear = |message: &str| message.contains("a later prune tries again");
        assert!(report.problems.iter().all(|problem| is_clear(&problem.message)), "{:?}", report.problems);
        let next = twin(&series);
        assert_eq!(go_on(&next, TOTAL), TOTAL);
        series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })).whole();
        assert_eq!(partials(&series), [""; 0]);
        assert_all_named(&series);
        series.assert_newest_is_the_source();
    }
}

/// After a failed run, everything in the store is named, unless the call that failed was the one that named it.
#[track_caller]
fn assert_nothing_useless(series: &Series, what: &str) {
    let named: BTreeSet<_> = partials(series).iter().flat_map(|name| archives_of(series, name)).collect();
    let states = series.stored().into_keys().filter(|name| name.contains(".state."));
    let named: BTreeSet<_> = states.flat_map(|name| archives_of(series, &name)).chain(named).collect();
    assert_eq!(archives(series), named, "{what}");
    assert!(!series.stored().keys().any(|name| name.starts_with(".ibt-tmp-")), "{what}");
}

/// The functions of a store that a test lets fail.
const FAILING: [&str; 4] = ["create", "commit", "delete", "list"];

/// The functions of [`FAILING`] that a full calls, in order.
fn calls_of_a_full(source: &Series) -> Vec<&'static str> {
    let mut series = in_memory();
    series.source = source.source.clone();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = calls.clone();
    series.memory.as_ref().unwrap().disturb(move |function, _| {
        seen.lock().unwrap().extend(Some(function).filter(|function| FAILING.contains(function)));
        Trouble::None
    });
    series.full().whole();
    let calls = calls.lock().unwrap();
    calls.clone()
}

#[test]
fn a_store_of_functions_that_fails_at_any_call_leaves_what_the_next_full_can_use() {
    let source = in_memory();
    fill(&source);
    let calls = calls_of_a_full(&source);
    let (mut failed, mut went_on) = (0, 0);
    for (number, called) in (1..).zip(&calls) {
        for lies in [false, true] {
            let mut series = in_memory();
            series.source = source.source.clone();
            let memory = series.memory.clone().unwrap();
            let mut count = 0;
            memory.disturb(move |function, _| {
                count += u32::from(FAILING.contains(&function));
                let refusal = Refusal { status: -77, os_code: libc::ENOSPC, reason: None };
                match FAILING.contains(&function) && count == number {
                    true if lies => Trouble::Belied(refusal),
                    true => Trouble::Refused(refusal),
                    false => Trouble::None,
                }
            });
            let outcome = series.full();
            memory.mend();
            // A deletion that fails is no reason to end the backup.
            assert!(outcome.result.is_err() || *called == "delete", "call {number}, {called}");
            failed += u32::from(outcome.result.is_err());
            // If a commit failed, the object may have its name, so everything that it names stays.
            if *called != "commit" && !lies {
                assert_nothing_useless(&series, &format!("call {number}, {called}"));
            }
            let report = series.full().whole();
            went_on += u32::from(counter(&report, Counter::BytesAlreadyStored) > 0);
            series.assert_newest_is_the_source();
            series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })).whole();
            assert_all_named(&series);
            assert_eq!(partials(&series), [""; 0]);
        }
    }
    assert!(failed > 40 && went_on > 30, "{failed} failed, {went_on} went on");
}

#[test]
fn a_directory_that_fails_at_any_call_leaves_what_the_next_full_can_use() {
    let source = in_directory();
    fill(&source);
    let (mut failed, mut went_on) = (0, 0);
    for name in ["create", "seal", "begin_next", "publish", "sync", "delete", "list"] {
        for fails in 1.. {
            let series = source.fork().twin;
            let calls = std::rc::Rc::new(std::cell::Cell::new(0));
            let seen = calls.clone();
            let lies = fails % 2 == 0;
            let mut store = EachCall::new(&series, move |function| {
                seen.set(seen.get() + u32::from(function == name));
                match function == name && seen.get() == fails {
                    true if lies => Fate::Belied,
                    true => Fate::Fails,
                    false => Fate::Goes,
                }
            });
            let outcome = store.run(&series.options, &Cancel::default(), |store, job| {
                ibt::backup::full(store, &series.source, job)
            });
            if calls.get() < fails {
                outcome.whole();
                break;
            }
            failed += u32::from(outcome.result.is_err());
            if outcome.result.is_err() && !lies && name != "publish" {
                assert_nothing_useless(&series, &format!("{name} {fails}"));
            }
            let report = series.full().whole();
            went_on += u32::from(counter(&report, Counter::BytesAlreadyStored) > 0);
            series.assert_newest_is_the_source();
            series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })).whole();
            assert_all_named(&series);
        }
    }
    assert!(failed > 60 && went_on > 40, "{failed} failed, {went_on} went on");
}
