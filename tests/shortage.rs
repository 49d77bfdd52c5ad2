//! Without descriptors or memory, the call fails. The error never blames a file.

mod support;

use ibt::error::Error;
use ibt::job::{Cancel, Job, Options, Select, Silent};
use ibt::store::Store;
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
use support::series::Outcome;
use support::tools::{child_role, this_test_again};
use support::*;

/// Runs `work` with at most `more` additional descriptors, and then restores the old limit.
fn with_descriptors<T>(more: u64, work: impl FnOnce() -> T) -> T {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1;
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(open + more), ..before }).unwrap();
    let done = work();
    setrlimit(Resource::Nofile, before).unwrap();
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

/// With few descriptors, a call works or fails with that error. It marks no file as unreadable or lost, and stores no
/// file that an exclude file leaves out.
#[test]
fn without_descriptors_a_call_fails_and_no_file_is_blamed() {
    const TEST: &str = "without_descriptors_a_call_fails_and_no_file_is_blamed";
    if child_role().is_none() {
        // The limit belongs to the whole process.
        run(&mut this_test_again(&std::env::current_exe().unwrap(), TEST, "limited"));
        return;
    }
    let series = tree();
    let mut worked = [0; 2];
    for descriptors in (2..60).step_by(2) {
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
