//! Few descriptors and little memory are enough. Without descriptors, memory, room or inodes, the call fails and leaves
//! no trace. The error never blames a file.

mod support;

use std::fs::File;

use ibt::error::{Error, Kind};
use ibt::job::{
    Cancel, Counter, Flow, Job, Keep, Observer, Options, Overwrite, Phase, Progress, Select, Silent,
};
use ibt::store::Store;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::series::Outcome;
use support::series::stored;
use support::tools::{Mount, child_role, this_test_again};
use support::*;

fn open_descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1
}

/// Runs `work` with at most `more` additional descriptors, and then restores the old limit.
fn with_descriptors<T>(more: u64, work: impl FnOnce() -> T) -> T {
    limited(Resource::Nofile, open_descriptors() + more, work)
}

/// Runs `work` with a limit of a resource, and then restores the old limit.
fn limited<T>(resource: Resource, to: u64, work: impl FnOnce() -> T) -> T {
    let before = getrlimit(resource);
    setrlimit(resource, Rlimit { current: Some(to), ..before }).unwrap();
    let done = work();
    setrlimit(resource, before).unwrap();
    done
}

/// True if the outcome is whole. Otherwise the error must name the shortage.
fn whole_or_short(outcome: Outcome, doing: &str) -> bool {
    let is_short = |error: &Error| [libc::EMFILE, libc::ENFILE, libc::ENOMEM].contains(&error.os_code);
    match outcome.result {
        Ok(()) => {
            assert!(outcome.report.problems.is_empty(), "{doing}: {:?}", outcome.report.problems);
            true
        }
        Err(error) => {
            assert!(is_short(&error), "{doing}: {error}");
            false
        }
    }
}

fn tree() -> Series {
    let series = Series::new();
    for dir in 0..20 {
        series.write(&format!("d{dir}/e/f/x"), noise(dir, 40_000));
        series.write(&format!("d{dir}/e/f/g/h/i/j/y"), "s");
        series.write(&format!("d{dir}/.exclude"), "*.tmp");
        series.write(&format!("d{dir}/left.tmp"), "left out");
    }
    series.full().whole();
    series
}

/// With few descriptors, a call works, or fails with an error about this shortage. It marks no file as unreadable or
/// lost, and stores no file that an exclude file leaves out.
#[test]
fn without_descriptors_a_call_fails_and_no_file_is_blamed() {
    if !in_own_process("without_descriptors_a_call_fails_and_no_file_is_blamed") {
        return;
    }
    let series = tree();
    let mut worked = [0; 2];
    for descriptors in (1..24).step_by(2) {
        let fresh = Series::new();
        let full = |store: &mut dyn Store, job: &mut Job| ibt::backup::full(store, &series.source, job);
        let options = Options { cache_dir: Some(fresh.cache()), ..series.options.clone() };
        let full =
            with_descriptors(descriptors, || fresh.run(&options, &Cancel::default(), &mut Silent, full));
        let is_whole = whole_or_short(full, &format!("full with {descriptors}"));
        worked[usize::from(is_whole)] += 1;
        let increment = with_descriptors(descriptors, || series.incremental());
        whole_or_short(increment, &format!("increment with {descriptors}"));
        let verified = with_descriptors(descriptors, || series.verify(&series.options));
        whole_or_short(verified, &format!("verify with {descriptors}"));
        let compared = with_descriptors(descriptors, || compare(&series));
        whole_or_short(compared, &format!("compare with {descriptors}"));
    }
    assert!(worked[0] > 0 && worked[1] > 0, "the limits show nothing: {worked:?}");
    let dest = series.beside("restored");
    series.restore(Select::Newest, &dest).whole();
    let left = (0..20).filter(|dir| dest.join(format!("d{dir}/left.tmp")).exists());
    assert_eq!(left.count(), 0, "an exclude file was not heeded");
}

fn compare(series: &Series) -> Outcome {
    let compare = |store: &mut dyn Store, job: &mut Job| {
        ibt::inspect::compare(store, support::series::KEY, &series.source, job)
    };
    series.run(&series.options, &Cancel::default(), &mut Silent, compare)
}

/// Runs this test again in a process of its own, because the limit of descriptors belongs to a whole process. Returns
/// false in the parent process.
fn in_own_process(test: &str) -> bool {
    if child_role().is_none() {
        run(&mut this_test_again(&std::env::current_exe().unwrap(), test, "limited"));
        return false;
    }
    true
}

/// A series whose source has many directories, hard links, extended attributes, symbolic links and a large file.
fn wide_tree() -> Series {
    let mut series = Series::new();
    for dir in 0..24 {
        for file in 0..3 {
            series.write(&format!("d{dir}/e/f{file}"), noise(10 * dir + file, 3_000 * file as usize));
        }
        let deep = series.write(&format!("d{dir}/e/f/g/h/i/j/k/l/m/deep"), "deep");
        std::fs::hard_link(deep, series.source.join(format!("d{dir}/e/f/linked"))).unwrap();
        std::os::unix::fs::symlink("f0", series.source.join(format!("d{dir}/e/symbolic"))).unwrap();
        let named = series.write(&format!("d{dir}/e/named"), "with an attribute");
        rustix::fs::setxattr(&named, "user.ibt", b"value", rustix::fs::XattrFlags::empty()).unwrap();
        for at in ["", "e/f/", "e/f/g/", "e/f/g/h/"] {
            series.write(&format!("d{dir}/{at}.exclude"), "*.tmp");
        }
        series.write(&format!("d{dir}/e/left.tmp"), "left out");
    }
    series.write("large", noise(999, 3_000_000));
    series.options.threads = 4;
    series
}

fn change(series: &Series, round: u64) {
    for dir in (round..24).step_by(2) {
        series.write(&format!("d{dir}/e/f2"), [noise(10 * dir + 2, 6_000), noise(round, 10)].concat());
        series.write(&format!("d{dir}/e/new/{round}"), "new");
        let moved = series.source.join(format!("d{dir}/e/f1"));
        std::fs::rename(moved, series.source.join(format!("d{dir}/moved"))).unwrap();
    }
    series.write("large", [noise(999, 3_000_000), noise(round, 100)].concat());
}

/// Asserts that `dest` is the source without the entries that its exclude files leave out.
fn assert_restored(series: &Series, dest: &std::path::Path) {
    for dir in 0..24 {
        let _ = std::fs::remove_file(series.source.join(format!("d{dir}/e/left.tmp")));
        let e = series.source.join(format!("d{dir}/e"));
        for changed in [&e, &dest.join(format!("d{dir}/e"))] {
            support::tree::set_mtime(changed, (1, 0));
        }
    }
    assert_same_tree(&series.source, dest);
}

/// Every operation works with 24 descriptors, three of which are those for input and output.
#[test]
fn few_descriptors_are_enough() {
    if !in_own_process("few_descriptors_are_enough") {
        return;
    }
    for limit in [24, 32, 40, 64, 256] {
        let series = wide_tree();
        let limited = |doing: &str, work: &dyn Fn() -> Outcome| {
            let outcome = with_descriptors(limit - 3, work);
            assert!(outcome.result.is_ok(), "{doing} with {limit}: {}", outcome.result.unwrap_err());
            outcome.whole();
        };
        limited("full", &|| series.full());
        for round in 0..2 {
            change(&series, round);
            limited("increment", &|| series.incremental());
        }
        let dest = series.beside("restored");
        limited("restore", &|| series.restore(Select::Newest, &dest));
        for dir in 3..9 {
            std::fs::remove_dir_all(dest.join(format!("d{dir}/e"))).unwrap();
            std::fs::write(dest.join(format!("d{dir}/moved")), "other").unwrap();
        }
        let over = Options { overwrite: Overwrite::Always, delete_extra: true, ..series.options.clone() };
        limited("restore over a tree", &|| series.restore_with(&over, &dest, &mut Silent));
        limited("verify", &|| series.verify(&series.options));
        limited("compare", &|| compare(&series));
        limited("list", &|| series.list());
        limited("consolidate", &|| series.consolidate());
        limited("prune", &|| series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })));
        limited("rebuild the cache", &|| series.rebuild_cache());
        assert_restored(&series, &dest);
    }
}

/// Takes descriptors from the beginning of a phase to its end, as another thread of the program may do.
struct Taker {
    phase: Phase,
    /// Number of descriptors that are not taken.
    left: usize,
    taken: Vec<File>,
    has_taken: bool,
}

impl Taker {
    fn new(phase: Phase, left: usize) -> Self {
        Taker { phase, left, taken: Vec::new(), has_taken: false }
    }
}

impl Observer for Taker {
    fn progress(&mut self, now: &Progress) -> Flow {
        if now.phase != self.phase {
            self.taken.clear();
        } else if !std::mem::replace(&mut self.has_taken, true) {
            while let Ok(file) = File::open("/dev/null") {
                self.taken.push(file);
            }
            self.taken.truncate(self.taken.len() - self.left);
        }
        Flow::Continue
    }

    fn wants_changes(&self) -> bool {
        false
    }
}

/// If another thread of the program takes the descriptors that were free when the call began, the call closes
/// directories of its own and goes on.
#[test]
fn descriptors_that_others_take_meanwhile_are_done_without() {
    if !in_own_process("descriptors_that_others_take_meanwhile_are_done_without") {
        return;
    }
    let series = wide_tree();
    let full = |store: &mut dyn Store, job: &mut Job| ibt::backup::full(store, &series.source, job);
    let incremental =
        |store: &mut dyn Store, job: &mut Job| ibt::backup::incremental(store, &series.source, job);
    let taking = |mut taker: Taker,
                  operation: &dyn Fn(&mut dyn Store, &mut Job) -> ibt::error::Result<()>| {
        let doing = format!("{:?} with {}", taker.phase, taker.left);
        let done = with_descriptors(300, || {
            series.run(&series.options, &Cancel::default(), &mut taker, |store, job| operation(store, job))
        });
        assert!(taker.has_taken, "{doing}: nothing was taken");
        assert!(done.result.is_ok(), "{doing}: {}", done.result.unwrap_err());
        done.whole();
    };
    for left in 5..9 {
        taking(Taker::new(Phase::Scan, left), &full);
    }
    taking(Taker::new(Phase::Read, 12), &full);
    change(&series, 0);
    taking(Taker::new(Phase::Scan, 6), &incremental);
    change(&series, 1);
    taking(Taker::new(Phase::Read, 12), &incremental);
    let dest = series.beside("restored");
    let restore =
        |store: &mut dyn Store, job: &mut Job| ibt::restore::restore(store, support::series::KEY, &dest, job);
    taking(Taker::new(Phase::Restore, 4), &restore);
    assert_restored(&series, &dest);
}

/// Every directory of the path is entered with few descriptors, however deep the tree is.
#[test]
fn few_descriptors_are_enough_for_a_deep_tree() {
    if !in_own_process("few_descriptors_are_enough_for_a_deep_tree") {
        return;
    }
    let series = Series::new();
    let root = File::open(&series.source).unwrap();
    let made = |dir: File, depth: usize| {
        if depth.is_multiple_of(500) {
            let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
            rustix::fs::openat(&dir, "file", flags, 0o600.into()).unwrap();
        }
        rustix::fs::mkdirat(&dir, "d", 0o700.into()).unwrap();
        File::from(rustix::fs::openat(&dir, "d", rustix::fs::OFlags::RDONLY, 0.into()).unwrap())
    };
    drop((0..2000).fold(root, made));
    with_descriptors(21, || {
        series.full().whole();
        let dest = series.beside("restored");
        series.restore(Select::Newest, &dest).whole();
        compare(&series).whole();
        let at_dest = |store: &mut dyn Store, job: &mut Job| {
            ibt::inspect::compare(store, support::series::KEY, &dest, job)
        };
        let found = series.silently(&series.options, at_dest).whole();
        assert_eq!(found.counters.get(Counter::Unchanged), 2005);
    });
}

/// The system refuses to make a file longer than the limit. It also sends a signal, which a program with such a limit
/// ignores.
#[test]
fn a_limit_of_the_length_of_files_is_an_error_and_leaves_no_trace() {
    if !in_own_process("a_limit_of_the_length_of_files_is_an_error_and_leaves_no_trace") {
        return;
    }
    // SAFETY: no handler runs.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let series = Series::new();
    series.write("large", noise(1, 6_000_000));
    series.write("small", "s");
    let error = limited(Resource::Fsize, 1 << 20, || series.full()).refused(Kind::Io);
    assert_eq!(error.os_code, libc::EFBIG, "{error}");
    assert!(series.stored().is_empty(), "{:?}", series.stored());
    series.full().whole();
    let dest = series.beside("restored");
    let restored = limited(Resource::Fsize, 1 << 20, || series.restore(Select::Newest, &dest));
    match restored.result {
        Ok(()) => assert!(restored.report.is_partial(), "a restore that wrote not all of a file is whole"),
        Err(error) => assert_eq!(error.os_code, libc::EFBIG, "{error}"),
    }
    assert!(
        std::fs::metadata(dest.join("large")).is_ok_and(|large| large.len() == 6_000_000)
            || !dest.join("large").exists()
    );
    if dest.exists() {
        support::series::remove(&dest);
    }
    series.assert_newest_is_the_source();
}

/// 256 MiB of address space, about a third of which the test program itself takes.
#[test]
fn little_address_space_is_enough() {
    if !in_own_process("little_address_space_is_enough") {
        return;
    }
    let mut series = wide_tree();
    series.options.threads = 2;
    series.write("large", noise(999, 60_000_000));
    let longer = series.beside("longer");
    std::fs::write(&longer, [noise(999, 60_000_000), noise(1, 100)].concat()).unwrap();
    limited(Resource::As, 256 << 20, || {
        series.full().whole();
        change(&series, 0);
        std::fs::rename(&longer, series.source.join("large")).unwrap();
        series.incremental().whole();
        series.verify(&series.options).whole();
        compare(&series).whole();
        series.consolidate().whole();
        series.rebuild_cache().whole();
        let dest = series.beside("restored");
        series.restore(Select::Newest, &dest).whole();
        assert_restored(&series, &dest);
    });
}

/// Mounts a tmpfs with these options at a new directory beside the source.
fn small_disk(series: &Series, options: &str) -> Option<(std::path::PathBuf, Mount)> {
    let place = series.beside("small");
    std::fs::create_dir(&place).unwrap();
    let mounted = Mount::tmpfs(&place, options);
    if mounted.is_none() {
        skip("mounting is not allowed here");
    }
    Some((place, mounted?))
}

#[test]
fn a_restore_without_inodes_is_an_error_and_leaves_no_trace() {
    let series = Series::new();
    (0..20).for_each(|n| drop(series.write(&format!("dir/{n}"), "one")));
    series.full().whole();
    let Some((place, mounted)) = small_disk(&series, "size=8m,nr_inodes=10") else { return };
    let error = series.restore(Select::Newest, &place.join("dest")).refused(Kind::Io);
    assert_eq!(error.os_code, libc::ENOSPC, "{error}");
    assert!(stored(&place).is_empty(), "{:?}", stored(&place));
    mounted.remount("nr_inodes=1000");
    series.restore(Select::Newest, &place.join("dest")).whole();
    assert_same_tree(&series.source, &place.join("dest"));
}

/// The cache is only faster than the store. If it is full, backups work nevertheless.
#[test]
fn a_full_cache_costs_nothing_but_the_cache() {
    let mut series = Series::new();
    series.options.delta = ibt::job::DeltaMode::Signatures;
    (0..40).for_each(|n| drop(series.write(&format!("{n}"), noise(n, 40_000))));
    let Some((place, _mounted)) = small_disk(&series, "size=12k") else { return };
    series.options.cache_dir = Some(place);
    series.full().ok();
    series.assert_newest_is_the_source();
    for n in 0..40 {
        series.write(&format!("{n}"), [noise(n, 40_000), noise(n, 10)].concat());
    }
    let before = series.stored();
    series.incremental().ok();
    assert!(series.added(&before).contains_key("updated"), "no deltas without a cache");
    series.assert_newest_is_the_source();
}

#[test]
fn a_read_only_source_is_enough() {
    let series = wide_tree();
    let Some(mounted) = Mount::bind(&series.source, &series.source) else {
        return skip("mounting is not allowed here");
    };
    mounted.remount("ro,bind");
    assert!(std::fs::write(series.source.join("new"), "").is_err());
    series.full().whole();
    series.incremental().whole();
    compare(&series).whole();
    let dest = series.beside("restored");
    series.restore(Select::Newest, &dest).whole();
    drop(mounted);
    assert_restored(&series, &dest);
}
