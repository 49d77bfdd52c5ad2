//! Operations in a sandbox that forbids a system call which libibt can do without.
//!
//! Kernels and filters of system calls answer with different errors: ENOSYS, EPERM, EINVAL or EOPNOTSUPP.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;

use ibt::job::{Cancel, Keep, Options, Overwrite, Select, Silent};
use support::kept::Kept;
use support::series::KEY;
use support::tools::{child_role, command, noise, output, run, set_mode, this_test_again};
use support::{Series, skip};

/// The calls that a filter may refuse without harm.
const CALLS: [&str; 13] = [
    "capget",
    "copy_file_range",
    "fallocate",
    "fstatfs",
    "getrandom",
    "ioctl",
    "openat2",
    "prlimit64",
    "renameat2",
    "sched_getaffinity",
    "statx",
    "sync_file_range",
    "syncfs",
];

/// The child's part: all operations one after the other. Writes the result of each to the file `told`.
#[test]
fn child() {
    let Some(role) = child_role() else { return };
    let dir = Path::new(&role);
    let mut series = Series { memory: None, ..Series::new() };
    (series.source, series.store) = (dir.join(KEY), dir.join("store"));
    series.options.cache_dir = Some(dir.join("cache"));
    let mut told = Vec::new();
    let mut tell = |operation: &str, outcome: support::Outcome| {
        let result = match outcome.result {
            Ok(()) if !outcome.report.is_partial() => "ok".to_string(),
            Ok(()) => format!("partial: {:?}", outcome.report.problems[0]),
            Err(error) => format!("{:?}: {error}", error.kind),
        };
        told.push(format!("{operation}: {result}"));
    };
    tell("full", series.full());
    fs::rename(dir.join("later"), series.source.join("a/later")).unwrap();
    tell("increment", series.incremental());
    tell("verify", series.verify(&series.options));
    tell("restore", series.restore(Select::Newest, &dir.join("new")));
    let over = Options { overwrite: Overwrite::Always, delete_extra: true, ..series.options.clone() };
    let restore = |dest: PathBuf| {
        series.run(&over, &Cancel::default(), &mut Silent, |store, job| {
            ibt::restore::restore(store, KEY, &dest, job)
        })
    };
    tell("restore over another tree", restore(dir.join("over")));
    tell("consolidate", series.consolidate());
    tell("prune", series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })));
    tell("restore of the consolidated snapshot", series.restore(Select::Newest, &dir.join("last")));
    fs::write(dir.join("told"), told.join("\n")).unwrap();
}

/// A tree with files of all sizes, links, a FIFO, holes and attributes; `later` beside it is a file that the source
/// gets after the full, and `over` is another tree.
fn trees() -> Series {
    let series = Series { memory: None, ..Series::new() };
    for (path, len) in [("a/b/c/small", 10), ("a/b/middle", 5_000), ("large", 700_000), ("a/empty", 0)] {
        series.write(path, noise(len as u64, len));
    }
    fs::hard_link(series.source.join("large"), series.source.join("a/again")).unwrap();
    symlink("b/c", series.source.join("a/link")).unwrap();
    run(&mut command("mkfifo", [series.source.join("a/fifo")]));
    run(command("truncate", ["-s", "3M"]).arg(series.write("a/sparse", "start")));
    set_mode(&series.source.join("a/b/c/small"), 0o640);
    run(command("setfattr", ["-n", "user.x", "-v", "value"]).arg(series.source.join("a/b/middle")));
    let over = series.beside("over");
    run(command("cp", ["-a"]).arg(&series.source).arg(&over));
    fs::write(over.join("a/b/middle"), "other").unwrap();
    fs::write(over.join("extra"), "extra").unwrap();
    fs::remove_file(over.join("a/again")).unwrap();
    fs::write(series.beside("later"), noise(9, 20_000)).unwrap();
    series
}

fn child_under_strace(series: &Series, options: &[&str]) -> Output {
    let again =
        this_test_again(&std::env::current_exe().unwrap(), "child", series.dir.path().to_str().unwrap());
    let mut strace = command("strace", ["-f", "-qq", "-y", "-o"]);
    strace.arg(series.beside("trace")).args(options).arg("--");
    strace.arg(again.get_program()).args(again.get_args());
    strace.envs(again.get_envs().filter_map(|(name, value)| Some((name, value?))));
    output(&mut strace)
}

fn may_trace() -> bool {
    let works = output(&mut command("strace", ["-f", "-o", "/dev/null", "true"])).status.success();
    if !works {
        skip("strace may not trace here");
    }
    works
}

/// Runs all operations without `call`. Returns the reports of those that did not succeed; every restored tree must be
/// the source.
fn failures_without(call: &str, error: &str) -> Vec<String> {
    let series = trees();
    let fault = format!("inject={call}:error={error}");
    let ended = child_under_strace(&series, &["-e", &format!("trace={call},fsync"), "-e", &fault]);
    let Ok(told) = fs::read_to_string(series.beside("told")) else {
        return vec![format!("{call} {error}: {}", String::from_utf8_lossy(&ended.stdout))];
    };
    assert_eq!(told.lines().count(), 8, "{call} {error}");
    let failed = told.lines().filter(|line| !line.ends_with(": ok"));
    let failed: Vec<_> = failed.map(|line| format!("{call} {error}: {line}")).collect();
    if failed.is_empty() {
        let kept = Kept::new(&series.source, &series.beside("kept"));
        for restored in ["new", "over", "last"] {
            kept.assert_is(&series.beside(restored));
        }
        if call == "syncfs" {
            assert_each_file_is_synced(&fs::read_to_string(series.beside("trace")).unwrap());
        }
    }
    failed
}

/// Without syncfs, the write errors of a file show in an fsync of the file only. `trace` has two restores of new trees,
/// and one that replaces files.
fn assert_each_file_is_synced(trace: &str) {
    let synced = |part: &str, end: &str| {
        let of_file = |line: &&str| line.contains("fsync(") && line.contains(part) && line.contains(end);
        trace.lines().filter(of_file).count()
    };
    for file in ["a/again", "a/b/middle", "a/b/c/small", "a/sparse", "a/later"] {
        assert!(synced("", &format!("/{file}>")) >= 2, "{file}");
    }
    assert!(synced("/over/", ".ibt-tmp-") >= 2);
}

fn assert_all_go_on(errors: [&str; 2]) {
    if !may_trace() {
        return;
    }
    let cases = CALLS.iter().flat_map(|call| errors.map(|error| (call, error)));
    // The standard library, which the test uses as well, panics if getrandom answers with another error.
    let cases = cases.filter(|(call, _)| **call != "getrandom" || errors == FORBIDDEN);
    let failed: Vec<_> = cases.flat_map(|(call, error)| failures_without(call, error)).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

const FORBIDDEN: [&str; 2] = ["ENOSYS", "EPERM"];

#[test]
fn operations_go_on_without_a_call_that_a_filter_forbids() {
    assert_all_go_on(FORBIDDEN);
}

#[test]
fn operations_go_on_without_a_call_that_the_system_knows_only_partly() {
    assert_all_go_on(["EINVAL", "EOPNOTSUPP"]);
}
