//! Comparing a snapshot with a tree reports each difference and nothing else.

mod support;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ibt::entry::{Entry, Hash, compare_paths};
use ibt::error::Kind;
use ibt::inspect::Snapshot;
use ibt::job::change::{CONTENT, CREATED, DELETED, METADATA};
use ibt::job::{Cancel, Counter, Flow, Observer, Options, ProblemKind, Progress, Report, Select};
use ibt::stamp::Stamp;
use proptest::collection::vec;
use proptest::prelude::*;
use support::facts::TreeFacts;
use support::series::{KEY, counter, problem_paths, remove};
use support::tools::{as_ordinary_user, command, set_mode};
use support::tree::set_mtime;
use support::*;

type Changes = BTreeMap<Vec<u8>, u32>;

/// Collects the reported changes, and checks each for consistency.
#[derive(Default)]
struct CompareObserver {
    reported: Vec<(Vec<u8>, u32)>,
    answer: Option<Flow>,
    progress: Option<Progress>,
}

impl CompareObserver {
    /// Asserts that the changes came in path order, and that the counters of the report agree with them.
    #[track_caller]
    fn assert_agrees_with(&self, report: &Report) {
        let is_sorted = self.reported.is_sorted_by(|a, b| compare_paths(&a.0, &b.0).is_lt());
        assert!(is_sorted, "{:?}", self.reported);
        let count = |which: &dyn Fn(u32) -> bool| {
            self.reported.iter().filter(|reported| which(reported.1)).count() as u64
        };
        assert_eq!(counter(report, Counter::Created), count(&|what| what == CREATED));
        assert_eq!(counter(report, Counter::Deleted), count(&|what| what == DELETED));
        assert_eq!(counter(report, Counter::Modified), count(&|what| what & CONTENT != 0));
        assert_eq!(counter(report, Counter::Metadata), count(&|what| what == METADATA));
    }
}

impl Observer for CompareObserver {
    fn progress(&mut self, now: &Progress) -> Flow {
        assert!(self.progress.as_ref().is_none_or(|before| before.done_bytes <= now.done_bytes));
        self.progress = Some(now.clone());
        Flow::Continue
    }

    fn change(&mut self, what: u32, before: Option<&Entry>, after: Option<&Entry>) -> Flow {
        assert_eq!((what == CREATED, what == DELETED), (before.is_none(), after.is_none()));
        let entry = before.or(after).unwrap();
        assert!([before, after].into_iter().flatten().all(|side| side.path == entry.path));
        self.reported.push((entry.path.as_bytes().to_vec(), what));
        if let Some((then, now)) = before.zip(after).and_then(|(a, b)| a.file().zip(b.file())) {
            assert!(what & CONTENT != 0 || then.hash == now.hash || now.hash == Hash::UNKNOWN);
        }
        self.answer.unwrap_or(Flow::Continue)
    }
}

fn outcome(series: &Series, options: &Options, tree: &Path) -> (Outcome, CompareObserver) {
    let mut observer = CompareObserver::default();
    let outcome = series.run(options, &Cancel::default(), &mut observer, |store, job| {
        ibt::inspect::compare(store, KEY, tree, job)
    });
    (outcome, observer)
}

/// Compares, and asserts that this succeeds, that the changes come in path order, and that the counters agree with
/// them.
#[track_caller]
fn compare(series: &Series, options: &Options, tree: &Path) -> (Changes, Report) {
    let (outcome, observer) = outcome(series, options, tree);
    let report = outcome.ok();
    observer.assert_agrees_with(&report);
    let progress = observer.progress.unwrap();
    if options.includes.is_empty() && options.paths.is_empty() && options.excludes.is_empty() {
        assert_eq!(progress.done_entries, progress.total_entries);
        assert!(progress.done_bytes <= progress.total_bytes, "{progress:?}");
    }
    (observer.reported.into_iter().collect(), report)
}

fn open(series: &Series, stamp: Stamp) -> Snapshot {
    let mut opened = None;
    let options = Options { select: Select::Exactly(stamp), ..series.options.clone() };
    let outcome = series.silently(&options, |store, job| {
        opened = Some(Snapshot::open(store, KEY, job)?);
        Ok(())
    });
    outcome.whole();
    opened.unwrap()
}

/// Compares two snapshots, and must succeed. Checks that the changes come in path order and agree with the counters.
#[track_caller]
fn diff(series: &Series, options: &Options, before: Stamp, after: Stamp) -> (Changes, Report) {
    let (mut before, mut after) = (open(series, before), open(series, after));
    let mut observer = CompareObserver::default();
    let outcome = series.run(options, &Cancel::default(), &mut observer, |_, job| {
        ibt::inspect::diff(&mut before, &mut after, job)
    });
    let report = outcome.whole();
    observer.assert_agrees_with(&report);
    (observer.reported.into_iter().collect(), report)
}

#[test]
fn two_snapshots_are_compared_in_both_directions() {
    let mut series = Series::new();
    series.write("same", noise(1, 40_000));
    series.write("moved", noise(2, 40_000));
    series.write("edited", noise(3, 40_000));
    series.write("touched", "t");
    series.write("becomes", "a directory");
    series.write("gone/deep", "g");
    symlink("here", series.source.join("pointer")).unwrap();
    // A copy of `same`, with the same time.
    let twin = series.source.join("twin");
    run(command("cp", ["-a"]).arg(series.source.join("same")).arg(&twin));
    series.snapshot();
    fs::remove_file(series.source.join("pointer")).unwrap();
    symlink("there", series.source.join("pointer")).unwrap();
    fs::remove_file(&twin).unwrap();
    fs::hard_link(series.source.join("same"), &twin).unwrap();
    fs::rename(series.source.join("moved"), series.source.join("other")).unwrap();
    series.write("edited", noise(4, 40_000));
    set_mode(&series.source.join("touched"), 0o600);
    fs::remove_file(series.source.join("becomes")).unwrap();
    series.write("becomes/new", "n");
    fs::remove_dir_all(series.source.join("gone")).unwrap();
    series.snapshot();
    let (first, second) = (series.points[0].stamp, series.points[1].stamp);
    let root = ("", METADATA);
    let (forth, report) = diff(&series, &series.options, first, second);
    let expected = [
        root,
        ("becomes", CONTENT),
        ("becomes/new", CREATED),
        ("edited", CONTENT | METADATA),
        ("gone", DELETED),
        ("gone/deep", DELETED),
        ("moved", DELETED),
        ("other", CREATED),
        ("pointer", CONTENT | METADATA),
        ("touched", METADATA),
        ("twin", METADATA),
    ];
    assert_eq!(named(forth), reported(&expected));
    assert_eq!(report.snapshots.iter().map(|s| s.stamp).collect::<Vec<_>>(), [first, second]);
    let (back, _) = diff(&series, &series.options, second, first);
    let turned = expected.map(|(path, what)| match what {
        CREATED => (path, DELETED),
        DELETED => (path, CREATED),
        what => (path, what),
    });
    assert_eq!(named(back), reported(&turned));

    let only = |options: Options| named(diff(&series, &options, first, second).0);
    let includes = Options { includes: vec![b"gone".to_vec(), b"o*".to_vec()], ..series.options.clone() };
    assert_eq!(only(includes), reported(&[("gone", DELETED), ("gone/deep", DELETED), ("other", CREATED)]));
    let excludes = Options { excludes: vec![b"/gone".to_vec(), b"e*".to_vec()], ..series.options.clone() };
    assert!(only(excludes).iter().all(|(path, _)| !path.starts_with("gone") && path != "edited"));
    let nothing = Options { includes: vec![b"nowhere".to_vec()], ..series.options.clone() };
    let (mut a, mut b) = (open(&series, first), open(&series, second));
    series.silently(&nothing, |_, job| ibt::inspect::diff(&mut a, &mut b, job)).refused(Kind::NotFound);

    let mut observer = CompareObserver { answer: Some(Flow::Stop), ..CompareObserver::default() };
    let run = |observer: &mut CompareObserver, a: &mut Snapshot, b: &mut Snapshot| {
        series.run(&series.options, &Cancel::default(), observer, |_, job| ibt::inspect::diff(a, b, job))
    };
    let report = run(&mut observer, &mut a, &mut b).whole();
    assert_eq!(
        (observer.reported.len(), counter(&report, Counter::Entries)),
        (1, 1),
        "the comparison ends at the root"
    );
    let mut observer = CompareObserver { answer: Some(Flow::Cancel), ..CompareObserver::default() };
    run(&mut observer, &mut a, &mut b).refused(Kind::Cancelled);
}

/// The hash of a file covers its data without the holes: the same data at another place is another content.
#[test]
fn data_that_lies_elsewhere_between_holes_is_another_content() {
    const SIZE: u64 = 4 << 20;
    let mut series = Series::new();
    let write = |series: &Series, at: u64| {
        let path = series.write("sparse", "");
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_len(SIZE).unwrap();
        file.write_all_at(&noise(1, 1 << 20), at).unwrap();
        set_mtime(&path, (1_000_000_000, 0));
    };
    write(&series, 0);
    series.snapshot();
    write(&series, 2 << 20);
    series.options.detect = ibt::job::Detect::Content;
    series.snapshot();
    let (changes, _) = diff(&series, &series.options, series.points[0].stamp, series.points[1].stamp);
    assert_eq!(changes.get(&b"sparse"[..]), Some(&CONTENT), "{changes:?}");
}

/// Compares with the source as it is now, and asserts that there are no problems.
#[track_caller]
fn differences(series: &Series) -> Vec<(String, u32)> {
    let (changes, report) = compare(series, &series.options, &series.source);
    assert!(!report.is_partial(), "{:#?}", report.problems);
    named(changes)
}

fn named(changes: Changes) -> Vec<(String, u32)> {
    changes.into_iter().map(|(path, what)| (String::from_utf8(path).unwrap(), what)).collect()
}

fn reported(changes: &[(&str, u32)]) -> Vec<(String, u32)> {
    changes.iter().map(|(path, what)| (path.to_string(), *what)).collect()
}

/// The changes that a comparison should report, computed independently from both trees.
fn model(then: &TreeFacts, now: &TreeFacts) -> Changes {
    let mut changes = Changes::new();
    let (mut first_then, mut first_now) = (HashMap::new(), HashMap::new());
    let mut paths: Vec<_> = then.keys().chain(now.keys()).collect();
    paths.sort_by(|a, b| compare_paths(a, b));
    paths.dedup();
    for path in paths {
        let what = match (then.get(path), now.get(path)) {
            (None, _) => CREATED,
            (_, None) => DELETED,
            (Some(a), Some(b)) if a.kind != b.kind => CONTENT,
            (Some(a), Some(b)) => {
                let content = |f: &Facts| (f.size, f.rdev, f.target.clone(), f.hash);
                let meta = |f: &Facts| (f.mode, f.uid, f.gid, f.mtime, f.xattrs.clone());
                let set = |f: &Facts| f.linked_with.clone().unwrap_or_else(|| path.clone());
                // For each hard-link set of one side, its first name that exists on both sides.
                let together = a.kind == "dir"
                    || *first_then.entry(set(a)).or_insert(path) == *first_now.entry(set(b)).or_insert(path);
                let content = if content(a) == content(b) { 0 } else { CONTENT };
                content | if meta(a) == meta(b) && together { 0 } else { METADATA }
            }
        };
        if what != 0 {
            changes.insert(path.clone(), what);
        }
    }
    changes
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn every_difference_is_told_and_no_other(
        tree in trees(24), rounds in vec(edits(8), 1..3), last in edits(8),
    ) {
        let mut series = Series::new();
        series.options.allow_empty = true;
        tree.make(&series.source);
        series.snapshot();
        for round in &rounds {
            round.iter().for_each(|edit| edit.apply(&series.source));
            series.snapshot();
        }
        last.iter().for_each(|edit| edit.apply(&series.source));
        let now = facts(&series.source);
        for point in &series.points {
            let options = Options { select: Select::Exactly(point.stamp), ..series.options.clone() };
            let (changes, report) = compare(&series, &options, &series.source);
            prop_assert!(!report.is_partial(), "{:?}", report.problems);
            prop_assert_eq!(changes, model(&point.kept.facts, &now));
            let entries = point.kept.facts.len() as u64;
            prop_assert_eq!(counter(&report, Counter::Entries), entries);
            let seen = [Counter::Deleted, Counter::Modified, Counter::Metadata, Counter::Unchanged];
            prop_assert_eq!(seen.map(|which| counter(&report, which)).iter().sum::<u64>(), entries);
        }
        for (n, before) in series.points.iter().enumerate() {
            for after in &series.points[n..] {
                let (changes, report) = diff(&series, &series.options, before.stamp, after.stamp);
                prop_assert_eq!(changes, model(&before.kept.facts, &after.kept.facts));
                prop_assert_eq!(report.snapshot, Some(after.stamp));
            }
        }
    }

    /// cp(1) may place the holes differently, which is no difference.
    #[test]
    fn of_a_copy_nothing_is_told(tree in trees(24)) {
        let mut series = Series::new();
        tree.make(&series.source);
        series.snapshot();
        let (changes, report) = compare(&series, &series.options, &series.points[0].kept.copy);
        prop_assert_eq!(changes, Changes::new());
        prop_assert_eq!(counter(&report, Counter::Unchanged), series.points[0].kept.facts.len() as u64);
    }
}

/// Like rsync without --checksum.
#[test]
fn metadata_only_compares_sizes_and_times_and_reads_nothing() {
    let mut series = Series::new();
    for name in ["bytes", "size", "time", "mode", "same"] {
        set_mtime(&series.write(name, "before"), (1_000_000_000, 5));
    }
    series.snapshot();
    keep_root_times(&series, || {
        for (name, bytes, nanoseconds) in
            [("bytes", "after!", 5), ("size", "longer than before", 5), ("time", "before", 6)]
        {
            set_mtime(&series.write(name, bytes), (1_000_000_000, nanoseconds));
        }
        set_mode(&series.source.join("mode"), 0o600);
    });
    let options = Options { metadata_only: true, ..series.options.clone() };
    let (changes, report) = compare(&series, &options, &series.source);
    let expected = [("mode", METADATA), ("size", CONTENT), ("time", CONTENT | METADATA)];
    assert_eq!(named(changes), reported(&expected));
    assert_eq!((counter(&report, Counter::BytesRead), report.is_partial()), (0, false));
    assert!(differences(&series).contains(&("bytes".into(), CONTENT)));
}

#[test]
fn bytes_that_changed_on_their_own_are_found() {
    let mut series = Series::new();
    let path = series.write("f", noise(1, 300_000));
    series.snapshot();
    let before = fs::metadata(&path).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"rot", 200_000).unwrap();
    drop(file);
    set_mtime(&path, (before.mtime(), before.mtime_nsec() as u32));
    assert_eq!(differences(&series), reported(&[("f", CONTENT)]));
}

#[test]
fn a_file_of_another_size_need_not_be_read() {
    let mut series = Series::new();
    series.write("f", noise(1, 300_000));
    series.snapshot();
    series.write("f", noise(1, 300_001));
    series.write("new", noise(2, 300_000));
    let (changes, report) = compare(&series, &series.options, &series.source);
    assert_eq!(named(changes), reported(&[("", METADATA), ("f", CONTENT | METADATA), ("new", CREATED)]));
    assert_eq!(counter(&report, Counter::BytesRead), 0);
}

/// Runs `edit` and then restores the root's mtime, which creating and removing names changes.
fn keep_root_times(series: &Series, edit: impl FnOnce()) {
    let before = fs::metadata(&series.source).unwrap();
    edit();
    set_mtime(&series.source, (before.mtime(), before.mtime_nsec() as u32));
}

#[test]
fn another_type_is_other_content() {
    let mut series = Series::new();
    series.write("file", "x");
    series.write("dir/below", "y");
    symlink("a", series.source.join("link")).unwrap();
    series.snapshot();
    keep_root_times(&series, || {
        fs::remove_file(series.source.join("file")).unwrap();
        fs::create_dir(series.source.join("file")).unwrap();
        // The link leads to the same tree. The comparison must not follow it.
        fs::rename(series.source.join("dir"), series.beside("moved")).unwrap();
        symlink(series.beside("moved"), series.source.join("dir")).unwrap();
        fs::remove_file(series.source.join("link")).unwrap();
        symlink("b", series.source.join("link")).unwrap();
    });
    let expected =
        [("dir", CONTENT), ("dir/below", DELETED), ("file", CONTENT), ("link", CONTENT | METADATA)];
    assert_eq!(differences(&series), reported(&expected));
}

#[test]
fn which_names_are_one_file_is_metadata() {
    let mut series = Series::new();
    for (first, others) in [("a", ["b", "c"]), ("p", ["q", "r"])] {
        let first = series.write(first, noise(1, 50_000));
        others.iter().for_each(|other| fs::hard_link(&first, series.source.join(other)).unwrap());
    }
    for alone in ["x", "y"] {
        set_mtime(&series.write(alone, "same"), (7, 7));
    }
    series.snapshot();
    let (_, report) = compare(&series, &series.options, &series.source);
    assert_eq!(counter(&report, Counter::BytesRead), 2 * 50_000 + 2 * 4, "each file is read once");
    let place = |name: &str| series.source.join(name);
    keep_root_times(&series, || {
        // One more name and one less: the other names are linked as before.
        fs::hard_link(place("a"), place("a0")).unwrap();
        fs::remove_file(place("a")).unwrap();
        // One name is split off, and two names are joined that were not linked.
        run(tools::command("cp", ["-p"]).arg(place("q")).arg(place("q2")));
        fs::rename(place("q2"), place("q")).unwrap();
        fs::remove_file(place("y")).unwrap();
        fs::hard_link(place("x"), place("y")).unwrap();
    });
    let expected = [("a", DELETED), ("a0", CREATED), ("q", METADATA), ("y", METADATA)];
    assert_eq!(differences(&series), reported(&expected));
}

const MIB: u64 = 1 << 20;

/// Writes a file of 4 MiB with data in the second MiB and at the end, and sets its mtime.
fn write_sparse(path: &Path, seed: u64) {
    let file = fs::File::create(path).unwrap();
    file.set_len(4 * MIB).unwrap();
    file.write_all_at(&noise(seed, MIB as usize), MIB).unwrap();
    file.write_all_at(&noise(9, 100_000), 4 * MIB - 100_000).unwrap();
    drop(file);
    set_mtime(path, (1_000_000, 5));
}

#[test]
fn holes_are_the_zeros_that_they_read_as() {
    let mut series = Series::new();
    let sparse = series.source.join("sparse");
    write_sparse(&sparse, 1);
    let (filled, dense) = (series.source.join("filled"), series.source.join("dense"));
    write_sparse(&filled, 2);
    fs::write(&dense, fs::read(&sparse).unwrap()).unwrap();
    set_mtime(&dense, (1_000_000, 5));
    series.snapshot();
    let swap = |a: &Path, bytes: Vec<u8>| {
        fs::write(a, bytes).unwrap();
        set_mtime(a, (1_000_000, 5));
    };
    // `sparse` gets zeros instead of holes, and `dense` gets holes instead of zeros.
    swap(&sparse, fs::read(&sparse).unwrap());
    write_sparse(&dense, 1);
    assert_eq!(differences(&series), reported(&[]));
    let file = fs::File::options().write(true).open(&filled).unwrap();
    file.write_all_at(b"x", 3 * MIB - 70_000).unwrap();
    drop(file);
    set_mtime(&filled, (1_000_000, 5));
    assert_eq!(differences(&series), reported(&[("filled", CONTENT)]));
    write_sparse(&filled, 3);
    assert_eq!(differences(&series), reported(&[("filled", CONTENT)]));
}

#[test]
fn what_cannot_be_read_is_a_problem_and_not_gone() {
    if !as_ordinary_user("what_cannot_be_read_is_a_problem_and_not_gone") {
        return;
    }
    let mut series = Series::new();
    series.write("closed/below", "1");
    series.write("secret", "2");
    series.write("zed", "3");
    series.snapshot();
    set_mode(&series.source.join("closed"), 0o000);
    set_mode(&series.source.join("secret"), 0o000);
    let (changes, report) = compare(&series, &series.options, &series.source);
    assert_eq!(named(changes), reported(&[("closed", METADATA), ("secret", METADATA)]));
    assert!(report.is_partial());
    assert_eq!(problem_paths(&report, ProblemKind::Unreadable), ["closed", "secret"]);
    assert_eq!(counter(&report, Counter::Unchanged), 2);
    // A limited comparison does not report problems elsewhere.
    let only = |path: &str| {
        let paths = vec![ibt::entry::Path::new(path).unwrap()];
        compare(&series, &Options { paths, ..series.options.clone() }, &series.source)
    };
    let (changes, report) = only("zed");
    assert!(changes.is_empty() && !report.is_partial());
    let (changes, report) = only("closed/below");
    assert!(changes.is_empty());
    assert_eq!(problem_paths(&report, ProblemKind::Unreadable), ["closed"]);
    remove(&series.source);
}

#[test]
fn only_what_is_included_is_compared() {
    let mut series = Series::new();
    for path in ["d/a.c", "d/b.h", "e/a.c", "top"] {
        series.write(path, path);
    }
    series.snapshot();
    for path in ["d/a.c", "d/b.h", "e/a.c", "top"] {
        series.write(path, "other");
    }
    series.write("d/new.c", "new");
    fs::remove_file(series.source.join("e/a.c")).unwrap();
    let with = |globs: &[&str], paths: &[&str]| {
        let includes = globs.iter().map(|glob| glob.as_bytes().to_vec()).collect();
        let paths = paths.iter().map(|path| ibt::entry::Path::new(*path).unwrap()).collect();
        Options { includes, paths, ..series.options.clone() }
    };
    let changed = |options: &Options| {
        let (changes, report) = compare(&series, options, &series.source);
        (
            named(changes).into_iter().map(|(path, _)| path).collect::<Vec<_>>(),
            counter(&report, Counter::Entries),
        )
    };
    assert_eq!(changed(&with(&["**/*.c"], &[])), (vec!["d/a.c".into(), "d/new.c".into(), "e/a.c".into()], 2));
    let of_d = vec!["d", "d/a.c", "d/b.h", "d/new.c"].into_iter().map(String::from).collect();
    assert_eq!(changed(&with(&[], &["d"])), (of_d, 3));
    // A rule may match a path that only one side has.
    assert_eq!(changed(&with(&["d/new.*"], &["e/a.c"])), (vec!["d/new.c".into(), "e/a.c".into()], 1));
    let (outcome, _) = outcome(&series, &with(&["**/*.c", "*.none"], &[]), &series.source);
    let error = outcome.refused(Kind::NotFound);
    assert_eq!(error.path.as_deref(), Some(&b"*.none"[..]));
}

#[test]
fn patterns_take_entries_out_of_both_sides() {
    let mut series = Series::new();
    for path in ["a.log", "dir/b.log", "skip/c", "kept"] {
        series.write(path, path);
    }
    series.snapshot();
    series.options.excludes = vec![b"*.log".to_vec(), b"skip/".to_vec()];
    assert_eq!(differences(&series), reported(&[]));
    series.write("dir/new.log", "new");
    fs::remove_file(series.source.join("skip/c")).unwrap();
    fs::remove_file(series.source.join("a.log")).unwrap();
    assert_eq!(differences(&series), reported(&[("", METADATA), ("dir", METADATA)]));
}

/// A comparison applies exclude files like the next backup.
#[test]
fn exclude_files_take_entries_out_of_the_tree() {
    let mut series = Series::new();
    series.write(".exclude", "*.tmp\n");
    series.write("a.tmp", "never backed up");
    series.write("b.log", "backed up");
    series.snapshot();
    assert_eq!(differences(&series), reported(&[]));
    series.write(".exclude", "*.tmp\n*.log\n");
    assert_eq!(differences(&series), reported(&[(".exclude", CONTENT | METADATA), ("b.log", DELETED)]));
    series.options.exclude_file = Vec::new();
    assert_eq!(differences(&series), reported(&[(".exclude", CONTENT | METADATA), ("a.tmp", CREATED)]));
}

#[test]
fn a_socket_is_a_note() {
    let mut series = Series::new();
    series.write("f", "x");
    series.snapshot();
    keep_root_times(&series, || {
        fs::remove_file(series.source.join("f")).unwrap();
        for name in ["f", "g"] {
            std::os::unix::net::UnixListener::bind(series.source.join(name)).unwrap();
        }
    });
    let (changes, report) = compare(&series, &series.options, &series.source);
    assert_eq!(named(changes), reported(&[("f", DELETED)]));
    assert_eq!(problem_paths(&report, ProblemKind::Skipped), ["f", "g"]);
    assert!(!report.is_partial());
}

#[test]
fn no_tree_no_snapshot_not_the_expected_one() {
    let mut series = series::one_full();
    let refused = |series: &Series, options: &Options, tree: &Path, kind: Kind| {
        outcome(series, options, tree).0.refused(kind)
    };
    let absent = series.beside("absent");
    assert_eq!(refused(&series, &series.options, &absent, Kind::Io).os_code, libc::ENOENT);
    let file = series.source.join("a");
    assert_eq!(refused(&series, &series.options, &file, Kind::Io).os_code, libc::ENOTDIR);
    series.options.expected_digest = Some(Hash([1; 32]));
    refused(&series, &series.options, &series.source, Kind::Mismatch);
    series.options.expected_digest = None;
    let stamp = ibt::stamp::Stamp::parse("20010101T000000.000000Z").unwrap();
    let options = Options { select: Select::Exactly(stamp), ..series.options.clone() };
    refused(&series, &options, &series.source, Kind::NotFound);
}

#[test]
fn the_caller_may_want_to_hear_no_more() {
    let mut series = Series::new();
    series.write("a", "x");
    series.snapshot();
    series.write("a", "longer");
    series.write("b", "y");
    for (answer, refused) in [(Flow::Stop, None), (Flow::Cancel, Some(Kind::Cancelled))] {
        let mut observer = CompareObserver { answer: Some(answer), ..CompareObserver::default() };
        let outcome = series.run(&series.options, &Cancel::default(), &mut observer, |store, job| {
            ibt::inspect::compare(store, KEY, &series.source, job)
        });
        assert_eq!(outcome.result.err().map(|error| error.kind), refused);
        assert_eq!(observer.reported.len(), 1);
        // The callback ended the comparison at the first change, before `b` was counted.
        assert_eq!(counter(&outcome.report, Counter::Created), 0);
    }
}

#[test]
fn a_file_that_never_holds_still_is_a_problem() {
    let series = Series::new();
    let path = series.write("f", noise(1, 64 << 20));
    series.write("g", "still");
    series.full().whole();
    let done = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = fs::File::options().write(true).open(&path).unwrap();
            while !done.load(Ordering::Relaxed) {
                file.write_all_at(&noise(1, 1), 0).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        std::thread::sleep(Duration::from_millis(20));
        let (outcome, _) = outcome(&series, &series.options, &series.source);
        done.store(true, Ordering::Relaxed);
        outcome.partial()
    });
    assert_eq!(problem_paths(&report, ProblemKind::Changed), ["f"]);
    assert_eq!(counter(&report, Counter::BytesRead), 3 * (64 << 20) + 5);
}
