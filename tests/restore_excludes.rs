//! Restores that leave out the entries that patterns exclude. rsync(1) is the oracle.

mod support;

use std::fs;
use std::path::Path;

use ibt::error::Kind;
use ibt::job::{Counter, Options, Overwrite, ProblemKind, Report, Silent};
use support::series::Series;
use support::tools::command;
use support::{assert_same_tree, run};

fn excluding(series: &Series, patterns: &[&str]) -> Options {
    let excludes = patterns.iter().map(|pattern| pattern.as_bytes().to_vec()).collect();
    Options { excludes, ..series.options.clone() }
}

/// Options for a restore that makes an existing tree like the snapshot.
fn mirroring(series: &Series, patterns: &[&str]) -> Options {
    let overwrite = Overwrite::Always;
    Options { overwrite, delete_extra: true, ..excluding(series, patterns) }
}

fn put(dir: &Path, files: &[&str]) {
    for file in files {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("content of {file}")).unwrap();
    }
}

/// Makes `dest` like the source, with rsync and the same patterns. rsync reads the patterns of this test as gitignore
/// does.
fn rsync(source: &Path, dest: &Path, patterns: &[&str]) {
    let mut rsync = command("rsync", ["-aHAX", "--delete", "--checksum", "--numeric-ids"]);
    rsync.args(patterns.iter().map(|pattern| format!("--exclude={pattern}")));
    run(rsync.arg(source.join("")).arg(dest.join("")));
    // It may leave wrong times on directories in which it made hard links.
    for found in walkdir::WalkDir::new(dest).into_iter().map(Result::unwrap) {
        let from = source.join(found.path().strip_prefix(dest).unwrap());
        if from.is_dir() {
            run(command("touch", ["-r"]).arg(from).arg(found.path()));
        }
    }
}

const PATTERNS: [&str; 4] = ["*.log", "/cache/", "deep/b", "/top"];
const FILES: [&str; 11] = [
    "a.log",
    "a.txt",
    "cache/x",
    "cache/deep/y",
    "deep/a",
    "deep/b/c",
    "deep/b/d.log",
    "other/cache/x",
    "other/top",
    "other/z.log",
    "top",
];

#[test]
fn a_new_tree_has_all_but_the_excluded_entries() {
    let series = Series::new();
    put(&series.source, &FILES);
    series.full().whole();
    let (ours, theirs) = (series.beside("ours"), series.beside("theirs"));
    let report = series.restore_with(&excluding(&series, &PATTERNS), &ours, &mut Silent).whole();
    rsync(&series.source, &theirs, &PATTERNS);
    assert_same_tree(&theirs, &ours);
    assert_eq!(report.counters.get(Counter::Restored), 8, "the root, 3 directories and 4 files");
    assert!(!ours.join("cache").exists() && ours.join("other/cache/x").exists());
}

#[test]
fn an_existing_tree_keeps_its_excluded_entries() {
    let series = Series::new();
    put(&series.source, &FILES);
    series.full().whole();
    let (ours, theirs) = (series.beside("ours"), series.beside("theirs"));
    put(
        &ours,
        &["mine.log", "cache/mine", "cache/x", "extra/file", "extra/kept/mine.log", "extra/more/file"],
    );
    put(&ours, &["other/cache/mine", "deep/b/mine", "gone"]);
    for file in ["cache/x", "top", "a.txt"] {
        fs::write(ours.join(file), "mine").unwrap();
    }
    // A copy with the same times: rsync compares them in whole seconds.
    run(command("cp", ["-a"]).arg(&ours).arg(&theirs));
    let report = series.restore_with(&mirroring(&series, &PATTERNS), &ours, &mut Silent).whole();
    rsync(&series.source, &theirs, &PATTERNS);
    support::kept::assert_rsync_sees_no_difference(&theirs, &ours);
    for path in ["mine.log", "cache/mine", "extra/kept/mine.log", "deep/b/mine"] {
        assert_eq!(fs::read_to_string(ours.join(path)).unwrap(), format!("content of {path}"));
    }
    assert_eq!(fs::read_to_string(ours.join("cache/x")).unwrap(), "mine");
    assert!(!ours.join("extra/more").exists() && !ours.join("gone").exists());
    // gone, extra/file, extra/more, extra/more/file and other/cache/mine.
    assert_eq!(report.counters.get(Counter::Deleted), 5);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn nothing_replaces_an_excluded_entry_of_another_type() {
    let series = Series::new();
    put(&series.source, &["cache", "data/now a file"]);
    fs::write(series.source.join("dir"), "a file").unwrap();
    series.full().whole();
    let dest = series.beside("dest");
    put(&dest, &["cache/mine", "dir/mine.log", "dir/other"]);
    let report = series.restore_with(&mirroring(&series, &["cache/", "*.log"]), &dest, &mut Silent).partial();
    assert!(dest.join("cache/mine").exists() && dest.join("dir/mine.log").exists());
    assert_eq!(obstructed(&report), ["cache", "dir"]);
    assert!(dest.join("data/now a file").exists());
}

fn obstructed(report: &Report) -> Vec<String> {
    let problems = report.problems.iter().filter(|problem| problem.kind == ProblemKind::Obstructed);
    problems.map(|p| String::from_utf8(p.path.clone().unwrap()).unwrap()).collect()
}

#[test]
fn another_name_takes_the_place_of_an_excluded_first_name() {
    let series = Series::new();
    put(&series.source, &["a/first", "b/plain"]);
    for name in ["b/second", "b/third"] {
        fs::hard_link(series.source.join("a/first"), series.source.join(name)).unwrap();
    }
    series.full().whole();
    let (ours, theirs) = (series.beside("ours"), series.beside("theirs"));
    for _ in 0..2 {
        series.restore_with(&mirroring(&series, &["/a"]), &ours, &mut Silent).ok();
        rsync(&series.source, &theirs, &["/a"]);
        assert_same_tree(&theirs, &ours);
        fs::create_dir_all(ours.join("b")).unwrap();
    }
}

#[test]
fn patterns_are_of_the_snapshot_and_never_exclude_the_destination() {
    let series = Series::new();
    put(&series.source, &FILES);
    series.full().whole();
    let root = ibt::entry::Path::new("deep").unwrap();
    let options = Options { root, ..excluding(&series, &["/deep/b/c", "deep", "/a"]) };
    let dest = series.beside("dest");
    series.restore_with(&options, &dest, &mut Silent).whole();
    assert!(dest.join("a").exists(), "'/a' is a name in the root of the snapshot");
    assert!(!dest.join("b/c").exists() && dest.join("b/d.log").exists());
    // A glob that selects only excluded entries selects nothing.
    let options = Options { includes: vec![b"top".to_vec()], ..excluding(&series, &["top"]) };
    series.restore_with(&options, &series.beside("none"), &mut Silent).refused(Kind::NotFound);
}
