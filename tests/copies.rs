//! Files that were copied, moved or made again cost no content, also where inode numbers change between backups.

mod support;

use std::fs;
use std::time::Duration;

use ibt::job::Counter;
use support::series::counter;
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
