//! Files that were copied, moved or made again cost no content, also where inode numbers change between backups.

mod support;

use std::fs;
use std::time::Duration;

use ibt::job::{Cancel, Counter, Job, ProblemKind, Silent};
use ibt::store::DirStore;
use support::counting::Counting;
use support::series::{counter, problem_paths};
use support::*;

/// Gives each entry of the newest state another inode number, as on a file system that numbers its files anew at each
/// mount.
fn renumber_inodes(series: &Series) {
    let state = series.newest("state");
    let text = String::from_utf8(stored::document(&state)).unwrap();
    let mut parts = text.split("\"ino\":\"");
    let mut changed = parts.next().unwrap().to_string();
    for part in parts {
        let (number, rest) = part.split_once('"').unwrap();
        let number = number.parse::<u64>().unwrap() ^ 1 << 40;
        changed += &format!("\"ino\":\"{number}\"{rest}");
    }
    stored::rewrite(&state, &changed);
}

/// The lines of the newest state's own file.
fn own_lines(series: &Series) -> Vec<serde_json::Value> {
    stored::file(&series.newest("state"))["entries"].as_array().unwrap().clone()
}

/// A full of `files` files that are old enough to count as unchanged without a read. In the state they have other
/// inode numbers than on disk.
fn renumbered(files: usize) -> Series {
    let mut series = Series::new();
    for n in 0..files {
        series.write(&format!("d{}/file {n}", n % 5), noise(n as u64, 5000 + n));
    }
    fs::hard_link(series.source.join("d0/file 0"), series.source.join("d1/linked")).unwrap();
    std::thread::sleep(Duration::from_millis(2100));
    series.snapshot();
    renumber_inodes(&series);
    series
}

#[test]
fn an_unchanged_tree_whose_inodes_all_changed_costs_a_small_state() {
    let mut series = renumbered(60);
    for round in 0..3 {
        let (report, added) = series.increment();
        assert_eq!(added.keys().collect::<Vec<_>>(), ["state"]);
        assert!(added["state"] < 2000, "round {round}: {added:?}");
        assert_eq!(counter(&report, Counter::Unchanged), 67, "round {round}");
        // Only the first increment does not know yet that the inode numbers prove nothing.
        let read = counter(&report, Counter::BytesRead);
        assert_eq!(read, if round == 0 { 60 * 5000 + 59 * 30 } else { 0 }, "round {round}");
        assert_eq!(stored::file(&series.newest("state"))["inodes"], "unstable");
        assert!(own_lines(&series).is_empty());
    }
    series.assert_every_point_restores();
    // A full records the inodes again, and the next increment sees that they are stable now.
    let report = series.full().whole();
    series.keep(&report);
    assert_eq!(own_lines(&series).iter().filter(|line| line["at"]["ino"].is_string()).count(), 67);
    let (report, _) = series.increment();
    assert_eq!(counter(&report, Counter::BytesRead), 0);
    assert!(stored::file(&series.newest("state"))["inodes"].is_null());
    series.assert_every_point_restores();
}

#[test]
fn without_inodes_changed_and_new_files_are_found_and_get_no_inode() {
    let mut series = renumbered(20);
    series.increment();
    series.write("d1/file 1", noise(1000, 5000));
    series.write("new", noise(1001, 5000));
    fs::remove_file(series.source.join("d2/file 2")).unwrap();
    let (report, _) = series.increment();
    let counts = [Counter::Created, Counter::Modified, Counter::Deleted].map(|which| counter(&report, which));
    assert_eq!(counts, [1, 1, 1]);
    let lines = own_lines(&series);
    let files: Vec<_> = lines.iter().filter(|line| line["type"] == "file").collect();
    assert!(files.len() == 2 && files.iter().all(|line| line["at"]["ino"].is_null()), "{files:?}");
    series.increment();
    series.assert_every_point_restores();
    series.consolidate().whole();
    series.verify(&series.options).whole();
}

/// Without inode numbers, a file that has the size, the mtime and the content of a file that is gone was moved.
#[test]
fn without_inodes_a_moved_file_is_found_by_size_and_time() {
    for known in [false, true] {
        let mut series = renumbered(20);
        if known {
            series.increment();
        }
        fs::rename(series.source.join("d3/file 3"), series.source.join("moved")).unwrap();
        fs::rename(series.source.join("d4/file 4"), series.source.join("d0/another")).unwrap();
        let (report, added) = series.increment();
        assert_eq!(added.keys().collect::<Vec<_>>(), ["state"], "known: {known}");
        let counts =
            [Counter::Created, Counter::Moved, Counter::Deleted].map(|which| counter(&report, which));
        assert_eq!(counts, [0, 2, 0], "known: {known}");
        series.assert_every_point_restores();
    }
}

/// Random contents of different lengths, some in blocks with signatures, and one long.
fn varied() -> Series {
    let mut series = Series::new();
    for n in 0..20 {
        series.write(&format!("d/{n}/file"), noise(n as u64, 100 + 2500 * n));
    }
    series.write("d/long", noise(100, 3_000_000));
    series.snapshot();
    series
}

fn cp(series: &Series, from: &str, to: &str) {
    run(tools::command("cp", ["-r"]).arg(series.source.join(from)).arg(series.source.join(to)));
}

fn kinds(added: &std::collections::BTreeMap<String, u64>) -> Vec<&str> {
    added.keys().map(String::as_str).collect()
}

#[test]
fn a_copied_directory_costs_a_state() {
    let mut series = varied();
    cp(&series, "d", "copy");
    let (report, added) = series.increment();
    assert_eq!(kinds(&added), ["state"]);
    // Two lines for each file: its path and its place.
    assert!(added["state"] < 5000, "{added:?}");
    let bytes = (0..20).map(|n| 100 + 2500 * n).sum::<u64>() + 3_000_000;
    let counts = [Counter::BytesAlreadyStored, Counter::Created].map(|which| counter(&report, which));
    assert_eq!(counts, [bytes, 42]);
    cp(&series, "copy", "copy of the copy");
    assert_eq!(kinds(&series.increment().1), ["state"]);
    series.assert_every_point_restores();
    // The full archive stays because of the copies, when all else is gone.
    fs::remove_dir_all(series.source.join("d")).unwrap();
    series.increment();
    let newest = series.points.len() - 1;
    series.prune(&series.keeping(ibt::job::Keep { last: 1, ..Default::default() })).whole();
    series.assert_point_restores(newest);
    series.verify(&series.options).whole();
    let report = series.consolidate().whole();
    series.keep(&report);
    series.assert_point_restores(newest + 1);
}

#[test]
fn files_moved_by_a_copy_or_made_again_cost_a_state() {
    let mut series = varied();
    cp(&series, "d", "moved");
    fs::remove_dir_all(series.source.join("d")).unwrap();
    assert_eq!(kinds(&series.increment().1), ["state"]);
    let aside = series.beside("aside");
    fs::rename(series.source.join("moved"), &aside).unwrap();
    run(tools::command("cp", ["-r"]).arg(&aside).arg(series.source.join("moved")));
    assert_eq!(kinds(&series.increment().1), ["state"]);
    series.assert_every_point_restores();
}

/// Only the data of a file count, not the holes between them.
#[test]
fn a_content_with_holes_is_found_by_its_data() {
    let mut series = Series::new();
    let sparse = |name: &str, hole: u64| {
        let file = fs::File::create(series.source.join(name)).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &noise(101, 1 << 16), hole).unwrap();
    };
    sparse("a", 1 << 20);
    series.full().whole();
    sparse("b", 1 << 20);
    sparse("c", 1 << 21);
    series.write("d", noise(101, 1 << 16));
    let report = series.incremental().whole();
    series.keep(&report);
    assert!(!report.files.iter().any(|file| file.name.contains(".created.")), "{:?}", report.files);
    assert_eq!(counter(&report, Counter::BytesAlreadyStored), 3 << 16);
    series.assert_every_point_restores();
}

#[test]
fn equal_new_files_are_stored_once() {
    let mut series = varied();
    for n in 0..3000 {
        series.write(&format!("equal/{n}"), noise(200, 300));
    }
    for n in 0..3 {
        series.write(&format!("long {n}"), noise(201, 2_000_000));
    }
    let (report, added) = series.increment();
    assert!(added["created"] < 2_010_000, "{added:?}");
    assert_eq!(counter(&report, Counter::BytesAlreadyStored), 2999 * 300 + 2 * 2_000_000);
    series.assert_every_point_restores();
}

#[test]
fn a_full_has_a_member_for_every_file() {
    let mut series = varied();
    cp(&series, "d", "copy");
    let report = series.full().whole();
    series.keep(&report);
    assert_eq!(counter(&report, Counter::BytesAlreadyStored), 0);
    let lines = own_lines(&series);
    let mut places: Vec<_> = lines.iter().filter_map(|line| line["at"]["content"].as_array()).collect();
    assert_eq!(places.len(), 42);
    places.sort_by_key(|ranges| ranges[0][1].as_u64());
    places.dedup();
    assert_eq!(places.len(), 42);
}

/// Contents that are made of deltas are pointed to with all their deltas, and changed with one delta more.
#[test]
fn copies_of_changed_files_and_changes_of_copies_cost_what_changed() {
    let mut work = varied();
    let grow = |series: &Series, path: &str, seed: u64| {
        let path = series.source.join(path);
        fs::write(&path, [fs::read(&path).unwrap(), noise(seed, 50)].concat()).unwrap();
    };
    let small = |added: &std::collections::BTreeMap<String, u64>, what: &str| {
        assert!(!added.contains_key("created") && added["updated"] < 3000, "{what}: {added:?}");
    };
    // A copy of the old version, while the file changes.
    cp(&work, "d/19/file", "a copy of the old version");
    grow(&work, "d/19/file", 300);
    small(&work.increment().1, "changes and old copies");
    // A copy of the new version, for which the same run makes the delta.
    grow(&work, "d/19/file", 301);
    cp(&work, "d/19/file", "z copy");
    small(&work.increment().1, "a copy of the new version");
    grow(&work, "z copy", 302);
    grow(&work, "a copy of the old version", 303);
    small(&work.increment().1, "changed copies");
    cp(&work, "z copy", "copy of z");
    assert_eq!(kinds(&work.increment().1), ["state"]);
    // A file gets the content of another one.
    fs::copy(work.source.join("d/18/file"), work.source.join("copy of z")).unwrap();
    fs::copy(work.source.join("d/17/file"), work.source.join("d/long")).unwrap();
    let (report, added) = work.increment();
    assert_eq!((kinds(&added), counter(&report, Counter::Modified)), (vec!["state"], 2));
    work.assert_every_point_restores();
    work.verify(&work.options).whole();
}

#[test]
fn long_files_are_read_once_more_only_where_a_content_has_their_length() {
    let mut series = varied();
    // Every file is read, however old it is.
    series.options.detect = ibt::job::Detect::Content;
    let before = (0..20).map(|n| 100 + 2500 * n).sum::<u64>() + 3_000_000;
    series.write("copy", noise(100, 3_000_000));
    series.write("other length", noise(400, 2_999_999));
    let (report, added) = series.increment();
    assert_eq!(counter(&report, Counter::BytesRead), 5_999_999 + before);
    assert!(added["created"] < 3_010_000, "{added:?}");
    series.write("same length", noise(401, 3_000_000));
    let (report, _) = series.increment();
    assert_eq!(counter(&report, Counter::BytesRead), 6_000_000 + 5_999_999 + before);
    series.assert_every_point_restores();
}

#[test]
fn a_dirty_entry_is_never_pointed_to() {
    let mut series = Series::new();
    series.write("m", noise(1, 300_000));
    series.snapshot();
    let line = stored::line(&series.newest("state"), "m");
    stored::forge(&series.newest("state"), &line, &line.replace("}}}", "},\"dirty\":true}}"));
    for copy in ["a", "z"] {
        fs::copy(series.source.join("m"), series.source.join(copy)).unwrap();
    }
    let (report, added) = series.increment();
    // One of the copies is stored, and the other copy points to it.
    assert!((300_000..310_000).contains(&added["created"]), "{added:?}");
    assert_eq!(counter(&report, Counter::BytesAlreadyStored), 300_000);
    series.assert_every_point_restores();
}

#[test]
fn what_is_lost_is_stored_again_and_damage_costs_the_copies_too() {
    let mut series = Series::new();
    series.write("z", "z");
    series.snapshot();
    series.write("original", noise(1, 50_000));
    series.snapshot();
    let created = series.newest("created");
    let good = fs::read(&created).unwrap();
    fs::copy(series.source.join("original"), series.source.join("copy")).unwrap();
    // The store has lost the archive: both files are stored, the content once.
    fs::remove_file(&created).unwrap();
    let outcome = series.fork().twin.incremental().partial();
    let made = outcome.files.iter().find(|file| file.name.contains(".created.")).expect("a created archive");
    assert!((50_000..60_000).contains(&made.size), "{}", made.size);
    // The archive is there, and damaged.
    fs::write(&created, &good).unwrap();
    series.snapshot();
    let mut bad = good;
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(&created, bad).unwrap();
    let newest = series.points.last().unwrap().stamp;
    let report = series.verify(&series.options).partial();
    let of_newest = report.problems.iter().filter(|problem| problem.snapshot == Some(newest));
    let mut lost: Vec<_> = of_newest.filter_map(|problem| problem.path.clone()).collect();
    lost.sort();
    assert_eq!(lost, [b"copy".to_vec(), b"original".to_vec()]);
}

/// A full with `q`, and an increment with `m`, `o1` and `o2` in one frame, which is damaged.
fn with_a_damaged_frame() -> Series {
    let mut series = Series::new();
    series.write("q", noise(9, 60_000));
    series.snapshot();
    for (n, name) in ["m", "o1", "o2"].into_iter().enumerate() {
        series.write(name, noise(n as u64, 50_000));
    }
    series.snapshot();
    let created = series.newest("created");
    let mut bad = fs::read(&created).unwrap();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(created, bad).unwrap();
    series
}

const NOTHING: [&str; 0] = [];

/// The paths that the newest snapshot has lost, as a verify says.
fn lost_of_newest(series: &Series, report: &ibt::job::Report) -> Vec<String> {
    let newest = report.snapshot;
    let verified = series.verify(&series.options).partial();
    let of_newest = verified.problems.into_iter().filter(|problem| problem.snapshot == newest);
    let mut lost: Vec<_> =
        of_newest.filter_map(|problem| problem.path).map(|path| String::from_utf8(path).unwrap()).collect();
    lost.sort();
    lost
}

#[test]
fn after_a_loss_nothing_points_to_older_contents_and_what_did_is_told() {
    let series = with_a_damaged_frame();
    // The backup reads this file before it finds the loss, and the other files after that.
    fs::copy(series.source.join("o1"), series.source.join("a copy")).unwrap();
    fs::copy(series.source.join("q"), series.source.join("a copy of q")).unwrap();
    series.write("m", [noise(0, 50_000), noise(20, 10)].concat());
    for (from, to) in [("o2", "x"), ("q", "y"), ("m", "z")] {
        fs::copy(series.source.join(from), series.source.join(to)).unwrap();
    }
    let report = series.incremental().partial();
    assert_eq!(problem_paths(&report, ProblemKind::Damaged), ["m", "o1"], "{:#?}", report.problems);
    // The copy of `m` points to `m`, which this run stored whole, as the second copy of `q` to the first.
    assert_eq!(counter(&report, Counter::BytesAlreadyStored), 60_000 + 50_010);
    assert_eq!(lost_of_newest(&series, &report), ["o1", "o2"]);
}

/// If old contents are read, a copy of a content that is damaged in the store is stored. Otherwise the copy points to
/// the old content, which is not read.
#[test]
fn a_copy_of_a_content_that_has_rotted_is_stored_where_reads_are_cheap() {
    for (delta, is_read) in [(ibt::job::DeltaMode::Contents, true), (ibt::job::DeltaMode::Signatures, false)]
    {
        for len in [50_000, 3_000_000] {
            let mut series = Series::new();
            series.options.delta = delta;
            series.write("original", noise(1, len));
            series.snapshot();
            let full = series.newest("full");
            let mut bad = fs::read(&full).unwrap();
            let middle = bad.len() / 2;
            bad[middle] ^= 1;
            fs::write(&full, bad).unwrap();
            for copy in ["a", "z"] {
                fs::copy(series.source.join("original"), series.source.join(copy)).unwrap();
            }
            let report = series.incremental().ok();
            let lost = problem_paths(&report, ProblemKind::Damaged);
            if is_read {
                assert_eq!(lost, ["original"], "{:#?}", report.problems);
                assert_eq!(report.problems[0].file.as_deref(), full.file_name().unwrap().to_str());
                assert_eq!(counter(&report, Counter::BytesAlreadyStored), len as u64);
                assert_eq!(lost_of_newest(&series, &report), ["original"]);
            } else {
                assert_eq!(report.problems.len(), 0);
                assert_eq!(counter(&report, Counter::BytesAlreadyStored), 2 * len as u64);
                assert_eq!(lost_of_newest(&series, &report), ["a", "original", "z"]);
            }
        }
    }
}

/// However many files point to a content, it is read once.
#[test]
fn a_content_is_read_before_the_first_file_points_to_it_and_never_again() {
    let mut series = Series::new();
    series.write("original", noise(1, 500_000));
    series.snapshot();
    for n in 0..20 {
        fs::copy(series.source.join("original"), series.source.join(format!("copy {n}"))).unwrap();
    }
    let (report, read) = counted(&series);
    assert_eq!(counter(&report, Counter::BytesAlreadyStored), 20 * 500_000);
    assert!((500_000..600_000).contains(&read), "{read}");
}

/// Makes an increment. Also returns the bytes that it reads from the archives.
fn counted(series: &Series) -> (ibt::job::Report, u64) {
    let (cancel, mut silent) = (Cancel::default(), Silent);
    let mut store = DirStore::open(&series.store);
    let mut store = Counting::new(&mut store);
    let mut job = Job::new(&series.options, &cancel, &mut silent);
    ibt::backup::incremental(&mut store, &series.source, &mut job).unwrap();
    (job.report, store.read)
}

/// The new content of the file is stored already, in an archive that is not damaged.
#[test]
fn a_loss_is_told_also_if_the_new_content_is_stored_elsewhere() {
    let series = with_a_damaged_frame();
    fs::copy(series.source.join("q"), series.source.join("m")).unwrap();
    let report = series.incremental().partial();
    assert_eq!(problem_paths(&report, ProblemKind::Damaged), ["m"]);
    assert_eq!(counter(&report, Counter::BytesAlreadyStored), 0);
    assert_eq!(lost_of_newest(&series, &report), ["o1", "o2"]);
}

/// Without old contents, the loss of a signature is the first sign of damage.
#[test]
fn a_lost_signature_ends_the_search_too() {
    let mut series = Series::new();
    series.options.delta = ibt::job::DeltaMode::Signatures;
    for (n, name) in ["m", "o", "p"].into_iter().enumerate() {
        series.write(name, noise(n as u64, 300_000));
    }
    series.snapshot();
    let vault = series.newest("sigvault");
    let mut bad = fs::read(&vault).unwrap();
    bad[1000] ^= 1;
    fs::write(vault, bad).unwrap();
    for (from, to) in [("o", "a copy"), ("p", "z copy")] {
        fs::copy(series.source.join(from), series.source.join(to)).unwrap();
    }
    series.write("m", noise(10, 300_000));
    fs::remove_dir_all(series.cache()).unwrap();
    let (report, read) = counted(&series);
    // The content of the copy is undamaged, and not read. But its signature is lost.
    assert!(read < 100_000, "{read}");
    assert_eq!(problem_paths(&report, ProblemKind::Damaged), ["a copy", "m"], "{:#?}", report.problems);
    assert_eq!(counter(&report, Counter::BytesAlreadyStored), 300_000);
    series.assert_newest_is_the_source();
}

/// The files did not change, and are stored again because the store lost their archive.
#[test]
fn equal_files_that_are_stored_again_are_stored_once() {
    let mut series = Series::new();
    series.write("q", "q");
    series.snapshot();
    series.write("a", noise(1, 50_000));
    series.write("b", noise(1, 50_000));
    std::thread::sleep(Duration::from_millis(2100));
    // The newest ctime of the snapshot shows that the other files are old.
    series.write("newest", "x");
    series.snapshot();
    series.lose("created");
    let report = series.incremental().partial();
    let made = report.files.iter().find(|file| file.name.contains(".created.")).expect("a created archive");
    assert!((50_000..60_000).contains(&made.size), "{}", made.size);
    series.assert_newest_is_the_source();
}

#[test]
fn a_signature_that_only_the_cache_has_is_stored_again_for_the_path_that_needs_it() {
    let mut series = Series::new();
    series.write("original", noise(1, 300_000));
    series.snapshot();
    series.lose("sigvault");
    for copy in ["a1", "a2", "a3"] {
        fs::copy(series.source.join("original"), series.source.join(copy)).unwrap();
    }
    let report = series.snapshot();
    let vault = series.newest("sigvault");
    let listed = run(tools::command("tar", ["--zstd", "-tf"]).arg(&vault));
    assert_eq!(String::from_utf8_lossy(&listed), "a1\noriginal\n");
    assert_eq!(lost_of_newest(&series, &report), NOTHING);
    series.assert_newest_is_the_source();
}
