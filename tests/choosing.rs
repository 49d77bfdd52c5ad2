//! A backup of the entries that its caller chooses, under the names of host and source that the caller chooses.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;

use ibt::entry::{Entry, Path};
use ibt::error::Kind;
use ibt::job::{
    Cancel, Counter, FilterAnswer, Observer, Options, Overwrite, ProblemKind, ReportedSnapshot, Select,
    Silent,
};
use support::series::{KEY, problem_paths, refused};
use support::*;

/// The snapshots that a list reports, oldest first.
fn listed(series: &Series) -> Vec<ReportedSnapshot> {
    series.list().whole().snapshots
}

#[test]
fn another_path_of_the_same_directory_is_the_same_source() {
    let mut series = Series::new();
    series.options.key = Some(KEY.into());
    series.write("a", "x");
    fs::create_dir_all(series.beside("deep/er")).unwrap();
    symlink(&series.source, series.beside("link")).unwrap();
    // `ways/..` is `deep`, not the directory of the link.
    symlink(series.beside("deep/er"), series.beside("ways")).unwrap();
    let first = series.source.clone();
    series.snapshot();
    for spelling in ["link", "./tree/.", "tree//", "deep/../tree", "deep/er/../../link/", "ways/../../tree"] {
        series.source = PathBuf::from(format!("{}/{spelling}", series.dir.path().display()));
        series.write("a", spelling);
        let report = series.incremental().whole();
        series.source.clone_from(&first);
        series.keep(&report);
    }
    let first = first.into_os_string().into_encoded_bytes();
    assert!(listed(&series).iter().all(|snapshot| snapshot.source == first), "{:?}", listed(&series));
    series.assert_every_point_restores();
}

#[test]
fn a_source_without_a_key_is_named_by_where_it_leads() {
    let series = Series::new();
    fs::create_dir(series.source.join("below")).unwrap();
    let dotted = Series { source: series.source.join("below/.."), ..series };
    dotted.full().whole();
    let snapshot = &listed(&dotted)[0];
    assert_eq!(snapshot.key, KEY);
    assert!(snapshot.source.ends_with(b"/tree"), "{snapshot:?}");
}

#[test]
fn a_link_that_leads_elsewhere_now_is_the_same_path() {
    let mut series = Series::new();
    series.options.key = Some(KEY.into());
    let link = series.beside("current");
    for version in ["v1", "v2"] {
        fs::create_dir(series.beside(version)).unwrap();
        fs::write(series.beside(version).join("a"), version).unwrap();
        let _ = fs::remove_file(&link);
        symlink(series.beside(version), &link).unwrap();
        series.source = link.clone();
        series.snapshot();
    }
    // The directory that the link named first is another source now.
    series.source = series.beside("v1");
    refused(&series, Kind::Mismatch, Series::incremental);
}

#[test]
fn a_series_keeps_the_names_of_its_caller() {
    let mut series = Series::new();
    series.write("a", "x");
    series.options.key = Some(KEY.into());
    series.options.host = Some("atlas".into());
    series.options.source_name = Some(b"home \xff".to_vec());
    series.snapshot();
    // The tree is found at another path, as a copy of a file system that is mounted for the backup.
    let moved = series.beside("mounted");
    fs::rename(&series.source, &moved).unwrap();
    series.source = moved;
    series.write("b", "y");
    series.snapshot();
    for snapshot in listed(&series) {
        assert_eq!((&*snapshot.host, &*snapshot.source), ("atlas", &b"home \xff"[..]));
    }
    let json = series.list().whole().to_json();
    assert!(json.contains(r#""host":"atlas""#) && json.contains(r#""source":"home %FF""#), "{json}");
    series.assert_every_point_restores();
}

#[test]
fn another_name_of_host_or_source_is_a_mismatch() {
    let mut series = Series::new();
    series.write("a", "x");
    series.options.host = Some("atlas".into());
    series.snapshot();
    for operation in [Series::full, Series::incremental] {
        series.options.host = None;
        let error = refused(&series, Kind::Mismatch, operation);
        assert!(error.to_string().contains("host atlas"), "{error}");
        series.options.host = Some("atlas".into());
        // A name is text: the path of the same directory under another spelling is another name.
        let path = format!("{}/", series.source.display());
        series.options.source_name = Some(path.into_bytes());
        let error = refused(&series, Kind::Mismatch, operation);
        assert!(error.to_string().contains("source"), "{error}");
        series.options.source_name = None;
    }
    series.options.host = Some("other".into());
    series.options.allow_source_change = true;
    series.snapshot();
    assert_eq!(listed(&series)[1].host, "other");
    series.assert_every_point_restores();
}

/// The paths of the newest snapshot, without the root, sorted.
fn backed_up(series: &Series) -> Vec<String> {
    let dest = series.beside("restored");
    series.restore(Select::Newest, &dest).whole();
    let found = facts(&dest).into_keys().filter(|path| !path.is_empty());
    let paths = found.map(|path| String::from_utf8_lossy(&path).into_owned()).collect();
    series::remove(&dest);
    paths
}

/// A filter by a function of the path.
struct Filtering<F> {
    answer: F,
    asked: Vec<String>,
}

impl<F: FnMut(&Entry) -> FilterAnswer> Observer for Filtering<F> {
    fn filter(&mut self, entry: &Entry) -> FilterAnswer {
        self.asked.push(String::from_utf8_lossy(entry.path.as_bytes()).into_owned());
        (self.answer)(entry)
    }

    fn has_filter(&self) -> bool {
        true
    }
}

/// Backs up with a filter. Returns the outcome and the paths that the filter was asked about.
fn filtered(series: &Series, answer: impl FnMut(&Entry) -> FilterAnswer) -> (Outcome, Vec<String>) {
    let mut filter = Filtering { answer, asked: Vec::new() };
    let full = series.list().result.is_err() || listed(series).is_empty();
    let backup = if full { ibt::backup::full } else { ibt::backup::incremental };
    let outcome = series.run(&series.options, &Cancel::default(), &mut filter, |store, job| {
        backup(store, &series.source, job)
    });
    (outcome, filter.asked)
}

fn chosen_tree() -> Series {
    let series = Series::new();
    for path in ["a.c", "a.h", "d/e/f.c", "d/e/f.h", "d/x.h", "g/only.h", "h/i/j/k.c", "skip/z.c", "z.c"] {
        series.write(path, path);
    }
    series
}

#[test]
fn a_filter_decides_about_each_entry_before_what_is_in_it() {
    let series = chosen_tree();
    let (outcome, asked) = filtered(&series, |entry| match entry.path.as_bytes() {
        b"skip" | b"a.h" => FilterAnswer::LeaveOutAll,
        b"g" => FilterAnswer::LeaveOut,
        _ => FilterAnswer::Include,
    });
    outcome.whole();
    let all = "a.c a.h d d/e d/e/f.c d/e/f.h d/x.h g g/only.h h h/i h/i/j h/i/j/k.c skip z.c";
    assert_eq!(asked.join(" "), all, "in the order of paths, and nothing below what is left out");
    // `g` leads to an entry that is included.
    let expected = "a.c d d/e d/e/f.c d/e/f.h d/x.h g g/only.h h h/i h/i/j h/i/j/k.c z.c";
    assert_eq!(backed_up(&series).join(" "), expected);
}

#[test]
fn directories_are_left_out_unless_they_lead_to_something() {
    let mut series = chosen_tree();
    symlink("e", series.source.join("d/s.c")).unwrap();
    fs::create_dir(series.source.join("empty.d")).unwrap();
    let only_c = |entry: &Entry| match entry.path.as_bytes().ends_with(b".c") {
        true => FilterAnswer::Include,
        false => FilterAnswer::LeaveOut,
    };
    filtered(&series, only_c).0.whole();
    let expected = "a.c d d/e d/e/f.c d/s.c h h/i h/i/j h/i/j/k.c skip skip/z.c z.c";
    assert_eq!(backed_up(&series).join(" "), expected);

    // A restore that removes extra entries keeps the directories that the filter left out.
    let mirror = Options { overwrite: Overwrite::Always, delete_extra: true, ..series.options.clone() };
    series.restore_with(&mirror, &series.source, &mut Silent).whole();
    assert!(["a.h", "empty.d", "g/only.h"].iter().all(|path| series.source.join(path).exists()));

    // An increment with another filter has the entries that the new filter includes, as with a changed pattern.
    let (outcome, _) = filtered(&series, |entry| match entry.path.as_bytes() {
        b"skip" | b"d" => FilterAnswer::LeaveOutAll,
        path if path.ends_with(b".h") => FilterAnswer::LeaveOut,
        _ => FilterAnswer::Include,
    });
    let report = outcome.whole();
    assert_eq!(report.counters.get(Counter::Deleted), 6, "d and skip with everything in them");
    assert_eq!(backed_up(&series).join(" "), "a.c empty.d g h h/i h/i/j h/i/j/k.c z.c");

    // A restore that removes extra entries keeps the entries that the filter left out.
    let tree = series.source.clone();
    fs::write(tree.join("extra"), "x").unwrap();
    fs::write(tree.join("h/extra"), "x").unwrap();
    series.options.overwrite = Overwrite::Always;
    series.options.delete_extra = true;
    series.restore(Select::Newest, &tree).whole();
    for path in ["a.h", "d/e/f.h", "skip/z.c", "g/only.h"] {
        assert!(tree.join(path).exists(), "{path}");
    }
    assert!(!tree.join("extra").exists() && !tree.join("h/extra").exists());
}

#[test]
fn a_filter_may_stop_or_cancel() {
    let series = chosen_tree();
    let (outcome, asked) = filtered(&series, |_| FilterAnswer::Cancel);
    outcome.refused(Kind::Cancelled);
    assert_eq!((asked.len(), series.stored().len()), (1, 0));
    let (outcome, asked) = filtered(&series, |entry| match entry.path.as_bytes() {
        b"a.c" => FilterAnswer::LeaveOut,
        _ => FilterAnswer::Stop,
    });
    outcome.whole();
    assert_eq!(asked, ["a.c", "a.h"]);
    assert_eq!(backed_up(&series).len(), 15, "everything but a.c");
}

#[test]
fn a_filter_sees_the_values_of_lstat() {
    let series = Series::new();
    series.write("f", [7; 3000]);
    symlink("f", series.source.join("l")).unwrap();
    fs::hard_link(series.source.join("f"), series.source.join("also")).unwrap();
    let mut seen = Vec::new();
    let (outcome, _) = filtered(&series, |entry| {
        seen.push((entry.node.file_type().word(), entry.size(), entry.meta.mtime, entry.meta.user.clone()));
        // The filter leaves out one of two names of a file: the other name is then recorded without hard links.
        if entry.path.as_bytes() == b"also" { FilterAnswer::LeaveOut } else { FilterAnswer::Include }
    });
    outcome.whole();
    assert_eq!(backed_up(&series), ["f", "l"]);
    let words: Vec<_> = seen.iter().map(|(word, size, ..)| (*word, *size)).collect();
    assert_eq!(words, [("file", 3000), ("file", 3000), ("symlink", 0)]);
    assert!(seen.iter().all(|(.., mtime, _)| mtime.secs > 1_000_000_000));
}

#[test]
fn a_marked_directory_keeps_only_its_mark() {
    let mut series = chosen_tree();
    series.options.exclude_if_present = vec![b".nobackup".to_vec(), b"NOPE".to_vec()];
    series.write("d/e/.nobackup", "");
    series.write("h/NOPE", "");
    // A directory of that name is no mark.
    series.write("skip/.nobackup/inside", "x");
    series.full().whole();
    let expected = "a.c a.h d d/e d/e/.nobackup d/x.h g g/only.h h h/NOPE skip skip/.nobackup skip/.nobackup/inside \
                    skip/z.c z.c";
    assert_eq!(backed_up(&series).join(" "), expected);
    // A directory that lost its mark is backed up with all its entries again. In a directory that got a mark, the
    // other entries count as deleted, and a restore does not remove them.
    fs::remove_file(series.source.join("d/e/.nobackup")).unwrap();
    series.write("g/NOPE", "");
    let report = series.incremental().whole();
    assert_eq!(report.counters.get(Counter::Deleted), 2, "the mark, and g/only.h");
    assert!(backed_up(&series).contains(&"d/e/f.c".to_string()));
    series.options.overwrite = Overwrite::Always;
    series.options.delete_extra = true;
    series.restore(Select::Newest, &series.source).whole();
    assert!(series.source.join("g/only.h").exists() && series.source.join("h/i/j/k.c").exists());
}

#[test]
fn large_files_are_left_out_by_their_size() {
    let mut series = Series::new();
    for (name, size) in [("just", 1000), ("over", 1001), ("empty", 0)] {
        series.write(name, vec![1; size]);
    }
    fs::create_dir(series.source.join("a directory")).unwrap();
    let sparse = fs::File::create(series.source.join("sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    series.options.exclude_larger_than = Some(1000);
    series.full().whole();
    assert_eq!(backed_up(&series), ["a directory", "empty", "just"]);
    series.options.exclude_larger_than = Some(0);
    series.incremental().whole();
    assert_eq!(backed_up(&series), ["a directory", "empty"]);
    series.options.exclude_larger_than = None;
    series.incremental().whole();
    assert_eq!(backed_up(&series).len(), 5);
}

#[test]
fn entries_with_the_flag_no_dump_are_left_out() {
    let mut series = chosen_tree();
    let flagged =
        tools::command("chattr", ["+d"]).args([series.source.join("d"), series.source.join("z.c")]).status();
    let shown = tools::command("lsattr", ["-d"]).arg(series.source.join("d")).output();
    let shown = shown.map(|shown| String::from_utf8_lossy(&shown.stdout).into_owned()).unwrap_or_default();
    if !flagged.is_ok_and(|status| status.success()) || !shown.split(' ').next().unwrap().contains('d') {
        return skip("no chattr +d here");
    }
    series.full().whole();
    assert_eq!(backed_up(&series).len(), 16);
    series.options.exclude_nodump = true;
    series.incremental().whole();
    assert_eq!(backed_up(&series).join(" "), "a.c a.h g g/only.h h h/i h/i/j h/i/j/k.c skip skip/z.c");
}

#[test]
fn a_snapshot_holds_exactly_the_listed_paths() {
    let mut series = chosen_tree();
    let list = |series: &mut Series, paths: &[&str]| {
        series.options.source_paths = Arc::new(paths.iter().map(|path| Path::new(*path).unwrap()).collect());
    };
    list(&mut series, &["d/e", "h/i/j/k.c", "z.c", "d/e/f.c", "z.c"]);
    let report = series.full().whole();
    assert_eq!(report.counters.get(Counter::Entries), 10);
    assert_eq!(backed_up(&series).join(" "), "d d/e d/e/f.c d/e/f.h h h/i h/i/j h/i/j/k.c z.c");

    // A path that is no longer listed counts as deleted. A listed path that does not exist is a problem. A listed path
    // that an option leaves out is no problem.
    series.options.excludes = vec![b"a.h".to_vec(), b"skip/".to_vec()];
    symlink("d", series.source.join("way")).unwrap();
    list(&mut series, &["z.c", "a.c", "a.h", "absent/x", "a.c/below", "skip/z.c", "way/x.h", "zz"]);
    let report = series.incremental().partial();
    assert_eq!(problem_paths(&report, ProblemKind::Unreadable), ["a.c/below", "absent/x", "way/x.h", "zz"]);
    assert_eq!(report.counters.get(Counter::Deleted), 8);
    assert_eq!(backed_up(&series), ["a.c", "z.c"]);

    // A restore that removes extra entries keeps the entries that were not listed.
    series.options.excludes.clear();
    list(&mut series, &["z.c"]);
    series.incremental().whole();
    list(&mut series, &[]);
    series.options.overwrite = Overwrite::Always;
    series.options.delete_extra = true;
    series.restore(Select::Newest, &series.source).whole();
    assert!(series.source.join("a.h").exists() && series.source.join("d/x.h").exists());
}
