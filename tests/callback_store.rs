//! Tests of a store that works through a caller's functions. The test files that are included here use a store in
//! memory: see `support/series.rs`. The other tests check functions that refuse, fail, return impossible values or are
//! missing.
#![allow(clippy::duplicate_mod)] // each included file has its own copy of `support`

#[path = "compare.rs"]
mod compare;
#[path = "increments.rs"]
mod increments;
#[path = "interrupted.rs"]
mod interrupted;
#[path = "overwrite.rs"]
mod overwrite;
#[path = "round_trip.rs"]
mod round_trip;
#[path = "selection.rs"]
mod selection;
#[path = "trouble.rs"]
mod trouble;

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ibt::error::{Error, Kind};
use ibt::job::{Options, ProblemKind, Select};
use ibt::store::callbacks::{Answer, Backend, DAMAGED, Listing, PASSED_ON, Refusal};
use ibt::store::{CallbackStore, LockMode, Need, Store};
use proptest::collection::vec;
use proptest::prelude::*;
use support::memory::Trouble;
use support::series::{KEY, refused};
use support::*;

const NAMES: [&str; 3] = [
    "tree.full.20260101T000000.000000Z.tar.zst",
    "tree.state.20260101T000000.000000Z.json.zst",
    "trees.state.20260101T000000.000000Z.json.zst",
];

/// A source of a few files, over `memory`.
fn small(memory: Memory) -> Series {
    let series = Series::over(memory);
    series.write("a", noise(1, 40_000));
    series.write("dir/b", "small");
    series
}

fn memory(series: &Series) -> Arc<Memory> {
    series.memory.clone().unwrap()
}

fn store(memory: &Arc<Memory>) -> CallbackStore<Memory> {
    CallbackStore::new(memory.clone())
}

/// From now on, the calls that `which` picks fail with `refusal`.
fn fail(memory: &Memory, refusal: Refusal, which: impl Fn(&str, u32) -> bool + Send + 'static) {
    memory.disturb(move |function, number| match which(function, number) {
        true => Trouble::Refused(refusal.clone()),
        false => Trouble::None,
    });
}

fn broken() -> Refusal {
    Refusal { status: -77, os_code: libc::ENOSPC, reason: Some("the tape tore".into()) }
}

#[test]
fn what_the_storage_lacks_is_named_before_anything_is_touched() {
    let lacking = |function, operation: fn(&Series) -> Outcome| {
        let series = small(Memory::without(&[function]));
        let error = refused(&series, Kind::Unsupported, operation);
        assert!(error.to_string().contains(function), "{error}");
        assert_eq!(memory(&series).calls(), 0, "{error}");
    };
    for function in ["reader", "list", "writer"] {
        lacking(function, Series::full);
        lacking(function, Series::incremental);
    }
    for function in ["reader", "list"] {
        lacking(function, Series::list);
        lacking(function, |series| series.restore(Select::Newest, &series.beside("restored")));
    }
    let no_delete = Arc::new(Memory::without(&["delete"]));
    assert_eq!(store(&no_delete).require(Need::Delete, "prune").unwrap_err().kind, Kind::Unsupported);
    assert!(store(&no_delete).require(Need::Write, "back up").is_ok());
}

#[test]
fn a_storage_that_only_reads_and_lists_can_be_restored() {
    let mut series = small(Memory::default());
    series.snapshot();
    let reader = Memory::without(&["writer", "delete", "lock"]);
    memory(&series).objects().iter().for_each(|(name, bytes)| reader.put(name, bytes));
    series.memory = Some(Arc::new(reader));
    series.list().whole();
    series.assert_every_point_restores();
}

#[test]
fn without_locks_every_lock_is_granted() {
    let mut series = small(Memory::without(&["lock"]));
    series.snapshot();
    series.snapshot();
    series.assert_every_point_restores();
    assert!(!store(&memory(&series)).has_locks());
}

/// An object that no state names yet may belong to another run, which commits its state last. Without locks a prune
/// cannot exclude such a run, so it keeps the object.
#[test]
fn without_locks_a_prune_leaves_what_is_newer_than_every_snapshot() {
    for (without, stays) in [(&["lock"][..], true), (&[], false)] {
        let mut series = small(Memory::without(without));
        series.snapshot();
        series.snapshot();
        let stamp = ibt::stamp::Stamp::of_clock(ibt::stamp::Time::now().plus_secs(60));
        let new = format!("{KEY}.full.{stamp}.tar.zst");
        memory(&series).put(&new, b"x");
        for select in [Select::Exactly(series.points[0].stamp), Select::Exactly(series.points[1].stamp)] {
            let options = ibt::job::Options { allow_empty: true, ..series.selecting(select) };
            let report = series.prune(&options).whole();
            assert_eq!(memory(&series).objects().contains_key(&new), stays);
            assert_eq!(report.problems.len(), usize::from(stays));
        }
    }
}

#[test]
fn writers_take_the_lock_and_readers_do_not() {
    let mut series = small(Memory::default());
    series.snapshot();
    let memory = memory(&series);
    memory.lock_from_outside(KEY, true);
    refused(&series, Kind::Busy, Series::full);
    refused(&series, Kind::Busy, Series::incremental);
    series.list().whole();
    series.assert_every_point_restores();
    series.options.lock_wait_ms = 30_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            memory.lock_from_outside(KEY, false);
        });
        series.incremental().whole();
    });
    let mut store = store(&memory);
    let held = store.lock(KEY, LockMode::Delete).unwrap();
    assert_eq!(store.lock(KEY, LockMode::Delete).err().map(|error| error.kind), Some(Kind::Busy));
    drop(held);
    memory.assert_balanced();
}

/// Runs `operation` again and again: first its first call fails, then its second, and so on, until it succeeds. After
/// each failure the first snapshot and the newest one must restore, and a list must find no fault. If `belied`, a
/// commit that reports a failure has made the object nevertheless.
fn sweep(operation: fn(&Series) -> Outcome, belied: bool) {
    let mut series = small(Memory::default());
    series.snapshot();
    series.write("a", noise(2, 50_000));
    series.write("new", noise(3, 50_000));
    let memory = memory(&series);
    for nth in 1..200 {
        let first_call = memory.calls();
        memory.disturb(move |function, number| match number - first_call {
            n if n != nth => Trouble::None,
            _ if belied && function == "commit" => Trouble::Belied(broken()),
            _ => Trouble::Refused(broken()),
        });
        let outcome = operation(&series);
        memory.mend();
        let Err(error) = outcome.result else {
            assert!(nth > 2, "hardly anything was called");
            series.assert_every_point_restores();
            return;
        };
        assert_eq!((error.kind, error.os_code), (Kind::Storage, libc::ENOSPC), "call {nth}: {error}");
        assert!(error.to_string().ends_with(": the tape tore"), "{error}");
        assert!(!series.beside("restored").exists());
        series.assert_every_point_restores();
        series.list().whole();
        series.assert_newest_is_whole();
    }
    panic!("it never succeeded");
}

#[test]
fn a_storage_that_fails_at_any_call_of_a_backup_leaves_whole_snapshots() {
    for belied in [false, true] {
        sweep(Series::full, belied);
        sweep(Series::incremental, belied);
    }
}

#[test]
fn a_storage_that_fails_at_any_call_of_a_reader_is_told() {
    sweep(Series::list, false);
    sweep(
        |series| {
            let dest = series.beside("restored");
            let outcome = series.restore(Select::Newest, &dest);
            if outcome.result.is_ok() {
                support::series::remove(&dest);
            }
            outcome
        },
        false,
    );
}

/// From now on, the `nth` commit fails with `trouble`.
fn at_commit(memory: &Memory, nth: u32, trouble: fn(Refusal) -> Trouble) {
    let mut commits = 0;
    memory.disturb(move |function, _| {
        commits += u32::from(function == "commit");
        if function == "commit" && commits == nth { trouble(broken()) } else { Trouble::None }
    });
}

/// After a failed commit the backup removes the objects that it has made. If the commit of the state fails, it removes
/// nothing, because there may be a snapshot that needs the objects.
#[test]
fn a_commit_that_only_claims_to_have_failed_leaves_nothing_or_a_snapshot() {
    let mut series = small(Memory::default());
    series.snapshot();
    let memory = memory(&series);
    let before = series.stored();
    for nth in [1, 2] {
        at_commit(&memory, nth, Trouble::Belied);
        series.full().refused(Kind::Storage);
        memory.mend();
        assert_eq!(series.stored(), before, "after commit {nth}");
    }
    at_commit(&memory, 3, Trouble::Belied);
    series.full().refused(Kind::Storage);
    memory.mend();
    assert_eq!(series.list().whole().snapshots.len(), 2);
    series.assert_newest_is_the_source();
}

#[test]
fn archives_that_nobody_may_delete_stay_and_harm_nobody() {
    let mut series = small(Memory::without(&["delete"]));
    series.snapshot();
    let memory = memory(&series);
    let before = series.stored();
    series.write("new", noise(3, 50_000));
    at_commit(&memory, 2, Trouble::Refused);
    series.incremental().refused(Kind::Storage);
    memory.mend();
    assert_eq!(series.stored().len(), before.len() + 1, "one archive was committed");
    series.snapshot();
    series.assert_every_point_restores();
}

#[test]
fn a_storage_s_own_answers_reach_the_caller() {
    for (kind, said) in PASSED_ON {
        for function in ["list", "lock", "create", "write", "commit"] {
            let series = small(Memory::default());
            fail(&memory(&series), Refusal::of(kind), move |called, _| called == function);
            let error = series.full().refused(kind);
            assert!(error.to_string().ends_with(said), "{error}");
        }
    }
    for (status, kind) in [(0, Kind::Storage), (-77, Kind::Storage), (-8, Kind::Storage), (-2, Kind::Storage)]
    {
        let series = small(Memory::default());
        fail(&memory(&series), Refusal { status, ..Refusal::default() }, |called, _| called == "write");
        let error = series.full().refused(kind);
        assert!(error.to_string().ends_with(&format!("(its answer is {status})")), "{error}");
    }
}

/// Runs `operation` again and again: first its first read finds damage, then its second, and so on. The operation must
/// end with this error, or list damage and nothing else. Returns how often it listed damage.
fn damage_each_read(series: &Series, operation: fn(&Series) -> Outcome) -> u32 {
    let memory = memory(series);
    let mut listed = 0;
    for nth in 1..1000 {
        let reads = Arc::new(AtomicU32::new(0));
        let count = reads.clone();
        memory.disturb(move |function, _| {
            match function == "read" && count.fetch_add(1, Ordering::Relaxed) + 1 == nth {
                true => Trouble::Refused(Refusal::of(Kind::Corrupt)),
                false => Trouble::None,
            }
        });
        let outcome = operation(series);
        memory.mend();
        if reads.load(Ordering::Relaxed) < nth {
            outcome.whole();
            assert!(nth > 3, "hardly anything was read");
            return listed;
        }
        match outcome.result {
            Ok(()) => {
                let problems = outcome.report.problems;
                assert!(problems.iter().all(|p| p.kind == ProblemKind::Damaged), "read {nth}: {problems:#?}");
                listed += u32::from(!problems.is_empty());
            }
            Err(error) => {
                assert_eq!(error.kind, Kind::Corrupt, "{error}");
                assert!(error.to_string().contains(DAMAGED.1), "{error}");
            }
        }
    }
    panic!("there is no end of reads");
}

#[test]
fn an_object_that_the_storage_finds_damaged_is_a_loss() {
    let mut series = small(Memory::default());
    series.snapshot();
    series.write("a", noise(2, 50_000));
    series.snapshot();
    let listed = damage_each_read(&series, |series| {
        let dest = series.beside("restored");
        let outcome = series.restore(Select::Newest, &dest);
        if dest.exists() {
            support::series::remove(&dest);
        }
        outcome
    });
    assert!(listed > 0, "the restores listed no damage");
    let listed = damage_each_read(&series, |series| series.verify(&Options::default()));
    assert!(listed > 3, "the verifies listed damage {listed} times only");
}

/// Damage is an answer to a read. In other functions it must not make the engine believe that stored bytes are damaged.
#[test]
fn only_a_read_finds_damage() {
    for function in ["list", "lock", "create", "write", "commit"] {
        let series = small(Memory::default());
        fail(&memory(&series), Refusal::of(Kind::Corrupt), move |called, _| called == function);
        series.full().refused(Kind::Storage);
    }
}

/// Runs `operation` again and again: first its first read fails with `kind`, then its second, and so on, until it has
/// no more reads. Each time it must end with this error.
fn refuse_each_read(series: &Series, kind: Kind, operation: fn(&Series) -> Outcome) {
    let memory = memory(series);
    for nth in 1..1000 {
        let mut reads = 0;
        memory.disturb(move |function, _| {
            reads += u32::from(function == "read");
            if function == "read" && reads == nth {
                Trouble::Refused(Refusal::of(kind))
            } else {
                Trouble::None
            }
        });
        let outcome = operation(series);
        memory.mend();
        if outcome.result.is_ok() {
            outcome.whole();
            assert!(nth > 3, "hardly anything was read");
            return;
        }
        outcome.refused(kind);
    }
    panic!("it never succeeded");
}

const ENDING: [Kind; 4] = [Kind::Exists, Kind::Busy, Kind::Cancelled, Kind::Unsupported];

#[test]
fn an_absent_archive_is_a_loss_and_any_other_answer_ends_a_restore() {
    let mut series = small(Memory::default());
    series.snapshot();
    series.write("a", noise(2, 50_000));
    series.snapshot();
    for kind in ENDING {
        refuse_each_read(&series, kind, |series| {
            let dest = series.beside("restored");
            let outcome = series.restore(Select::Newest, &dest);
            assert_eq!(dest.exists(), outcome.result.is_ok());
            if dest.exists() {
                support::series::remove(&dest);
            }
            outcome
        });
    }
    series.lose("created");
    series.restore(Select::Newest, &series.beside("restored")).partial();
}

#[test]
fn a_signature_that_the_storage_does_not_hand_over_ends_an_increment() {
    for kind in ENDING {
        let mut series = small(Memory::default());
        // Without a cache, signatures are read from the storage.
        std::fs::write(series.cache(), "no directory").unwrap();
        series.snapshot();
        series.write("a", [&noise(1, 40_000)[..], b"more"].concat());
        refuse_each_read(&series, kind, Series::incremental);
        assert!(series.stored().keys().any(|name| name.contains(".updated.")), "no delta was made");
    }
}

#[test]
fn a_backend_that_panics_has_its_streams_and_locks_ended() {
    for function in ["list", "create", "write", "commit"] {
        let series = small(Memory::default());
        let memory = memory(&series);
        memory.disturb(move |called, _| if called == function { Trouble::Panic } else { Trouble::None });
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| series.full())).is_err());
        memory.mend();
        memory.assert_balanced();
        assert_eq!(series.stored().len(), 0);
        series.full().whole();
    }
}

#[test]
fn a_draft_is_committed_once_or_aborted_once() {
    let memory = Arc::new(Memory::default());
    let mut store = store(&memory);
    drop(store.create(NAMES[0]).unwrap());
    let mut draft = store.create(NAMES[0]).unwrap();
    draft.write(b"").unwrap();
    draft.write(b"content").unwrap();
    draft.seal().unwrap();
    assert_eq!(store.list("").unwrap(), []);
    draft.publish().unwrap();
    assert_eq!(store.create(NAMES[0]).unwrap().publish().unwrap_err().kind, Kind::Exists);
    let mut draft = store.create(NAMES[1]).unwrap();
    fail(&memory, broken(), |called, _| called == "write");
    assert_eq!(draft.write(b"lost").unwrap_err().kind, Kind::Storage);
    memory.mend();
    assert_eq!(draft.write(b"more").unwrap_err().kind, Kind::Storage);
    assert_eq!(draft.publish().unwrap_err().kind, Kind::Storage);
    store.sync().unwrap();
    let listed = store.list("tree.").unwrap();
    assert_eq!(listed.iter().map(|o| (&*o.name, o.size)).collect::<Vec<_>>(), [(NAMES[0], 7)]);
    memory.assert_balanced();
    store.delete(NAMES[0]).unwrap();
    store.delete(NAMES[0]).unwrap();
    assert_eq!(store.list("").unwrap(), []);
}

proptest! {
    #![proptest_config(cases(200))]

    /// The store joins short reads: it returns all bytes of a range, and fewer only at the end of the object.
    #[test]
    fn ranges_are_read_whole(
        bytes in vec(any::<u8>(), 0..300), reads in vec((0..400u64, 0..400usize), 1..20),
    ) {
        let memory = Arc::new(Memory::default());
        memory.put(NAMES[0], &bytes);
        let mut store = store(&memory);
        for (offset, len) in reads {
            let mut buf = vec![0; len];
            let got = store.read_at(NAMES[0], offset, &mut buf).unwrap();
            let from = bytes.len().min(offset as usize);
            prop_assert_eq!(&buf[..got], &bytes[from..bytes.len().min(from + len)]);
        }
        prop_assert_eq!(store.read_at(NAMES[0], u64::MAX, &mut [0; 8]).unwrap(), 0);
        prop_assert_eq!(store.read_at(NAMES[1], 0, &mut [0; 8]).unwrap_err().kind, Kind::NotFound);
    }
}

/// A backend whose reads and listings return fixed values, which may be impossible.
struct Claims {
    got: usize,
    listed: Vec<(&'static str, u64)>,
}

impl Backend for Claims {
    type Stream = ();
    fn create(&self, _: &str) -> Answer<()> {
        Ok(())
    }
    fn write(&self, _: &mut (), _: &[u8]) -> Answer<()> {
        Ok(())
    }
    fn commit(&self, _: ()) -> Answer<()> {
        Ok(())
    }
    fn abort(&self, _: ()) {}
    fn read_at(&self, _: &str, _: u64, _: &mut [u8]) -> Answer<usize> {
        Ok(self.got)
    }
    fn list(&self, _: &str, out: &mut Listing) -> Answer<()> {
        self.listed.iter().for_each(|(name, size)| out.add(name, *size));
        Ok(())
    }
    fn delete(&self, _: &str) -> Answer<()> {
        Ok(())
    }
    fn has_locks(&self) -> bool {
        false
    }
    fn lock(&self, _: &str) -> Answer<()> {
        Ok(())
    }
    fn unlock(&self, _: &str) {}
}

fn claims(got: usize, listed: &[(&'static str, u64)]) -> CallbackStore<Claims> {
    CallbackStore::new(Arc::new(Claims { got, listed: listed.to_vec() }))
}

#[test]
fn a_read_that_claims_more_than_it_was_given_room_for_is_an_error() {
    for got in [11, usize::MAX] {
        let error: Error = claims(got, &[]).read_at(NAMES[0], 0, &mut [0; 10]).unwrap_err();
        assert_eq!(error.kind, Kind::Storage, "{error}");
        assert_eq!(error.path.as_deref(), Some(NAMES[0].as_bytes()));
    }
    assert_eq!(claims(10, &[]).read_at(NAMES[0], 0, &mut [0; 10]).unwrap(), 10);
}

#[test]
fn a_listing_keeps_what_was_asked_for_once() {
    let long = "x".repeat(100_000);
    let long: &'static str = Box::leak(long.into_boxed_str());
    let listed =
        [(NAMES[2], 5), ("", 1), (NAMES[0], 3), (long, 9), (NAMES[1], 0), (NAMES[0], 3), ("tree.", 1)];
    let kept = claims(0, &listed).list("tree.").unwrap();
    assert_eq!(kept.iter().map(|o| (&*o.name, o.size)).collect::<Vec<_>>(), [(NAMES[0], 3), (NAMES[1], 0)]);
    assert_eq!(claims(0, &listed).list("").unwrap().len(), 3);
    let error = claims(0, &[(NAMES[0], 3), (NAMES[0], 4)]).list("tree.").unwrap_err();
    assert_eq!((error.kind, error.path.as_deref()), (Kind::Storage, Some(NAMES[0].as_bytes())));
    // Contradictions among names that were not asked for do not matter.
    assert_eq!(claims(0, &[(NAMES[2], 3), (NAMES[2], 4)]).list("tree.").unwrap(), []);
}

#[test]
fn a_refusal_without_words_has_the_system_s() {
    let memory = Arc::new(Memory::default());
    fail(&memory, Refusal { status: 0, os_code: libc::ENOSPC, reason: None }, |_, _| true);
    let error = store(&memory).delete(NAMES[0]).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot delete {}: No space left on device", NAMES[0]));
    assert_eq!((error.kind, error.os_code), (Kind::Storage, libc::ENOSPC));
}

/// An increment with heal while the disk of the storage refuses reads: one after the other, or all from some read on.
/// The increment fails and stores nothing, or has everything.
#[test]
fn an_increment_with_heal_whose_reads_fail_loses_nothing() {
    let mut series = small(Memory::default());
    series.snapshot();
    series.write("a", [noise(1, 40_000), b"more".to_vec()].concat());
    series.snapshot();
    let options = ibt::job::Options { heal: true, ..series.options.clone() };
    let heal =
        || series.silently(&options, |store, job| ibt::backup::incremental(store, &series.source, job));
    let bad = || Refusal { status: -77, os_code: libc::EIO, reason: None };
    for always in [false, true] {
        for number in 1.. {
            let before = memory(&series).objects();
            let reads = Arc::new(AtomicU32::new(0));
            let counted = reads.clone();
            memory(&series).disturb(move |function, _| {
                if function != "read" {
                    return Trouble::None;
                }
                let now = 1 + counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let fails = if always { now >= number } else { now == number };
                if fails { Trouble::Refused(bad()) } else { Trouble::None }
            });
            let made = heal();
            memory(&series).mend();
            if reads.load(std::sync::atomic::Ordering::Relaxed) < number {
                made.whole();
                assert!(number > 3, "no read fails");
                break;
            }
            match made.result {
                Err(error) => {
                    assert_eq!(
                        (error.kind, error.os_code),
                        (Kind::Storage, libc::EIO),
                        "read {number}: {error}"
                    );
                    assert!(memory(&series).objects() == before, "read {number}");
                }
                Ok(()) => assert_eq!(
                    made.report.counters.get(ibt::job::Counter::Lost),
                    0,
                    "read {number}: {:?}",
                    made.report.problems
                ),
            }
            series.assert_newest_is_the_source();
        }
    }
}

#[test]
fn a_layer_that_is_gone_is_put_back_by_a_storage_that_cannot_delete() {
    let mut series = support::layered::layered(&[24, 8, 2]);
    let name = format!("{KEY}.state.{}.json.zst", series.points[1].stamp);
    let right = memory(&series).objects();
    for is_gone in [false, true] {
        let cannot_delete = Memory::without(&["delete"]);
        right.iter().for_each(|(name, bytes)| cannot_delete.put(name, bytes));
        match is_gone {
            true => cannot_delete.remove(&name),
            false => cannot_delete.put(&name, b"damaged"),
        }
        series.memory = Some(Arc::new(cannot_delete));
        let made = series.incremental();
        match is_gone {
            true => drop(made.whole()),
            // A damaged file must be deleted first.
            false => drop(made.refused(Kind::Unsupported)),
        }
        assert_eq!(memory(&series).objects()[&name] == right[&name], is_gone);
    }
}
