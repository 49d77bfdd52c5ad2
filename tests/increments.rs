//! The size of an increment, and its result. Each test is one situation.

mod support;

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
use std::time::Duration;

use ibt::job::{Cancel, Counter, Detect, Job, Select};
use ibt::stamp::Time;
use ibt::store::Store;
use serde_json::Value;
use support::series::counter;
use support::tools::{Mount, skip};
use support::tree::set_mtime;
use support::*;

/// An entry must have changed longer ago than this to be trusted without a read.
const OLD: Duration = Duration::from_millis(2100);

/// A full of three files. Their content does not compress, so the size of an archive shows how much content it holds.
fn three_large_files() -> Series {
    let mut series = Series::new();
    for (seed, name) in ["a", "b", "dir/c"].iter().enumerate() {
        series.write(name, noise(seed as u64, 300_000));
    }
    series.snapshot();
    series
}

#[track_caller]
fn assert_only_a_state(added: &std::collections::BTreeMap<String, u64>) {
    assert_eq!(added.keys().collect::<Vec<_>>(), ["state"]);
}

/// Threads walk while the state of the last snapshot is read. A file that changes after it was seen must not count as
/// older than the scan.
#[test]
fn the_scan_begins_before_the_last_state_is_read() {
    let mut series = three_large_files();
    series.snapshot();
    if series.is_remote() {
        return; // `EachCall` is a directory
    }
    let first_read = Rc::new(Cell::new(None));
    let seen = Rc::clone(&first_read);
    let mut store = EachCall::new(&series, move |call| {
        if call == "read" && seen.get().is_none() {
            seen.set(Some(Time::now()));
        }
        Fate::Goes
    });
    let incremental =
        |store: &mut dyn Store, job: &mut Job| ibt::backup::incremental(store, &series.source, job);
    let made = store.run(&series.options, &Cancel::default(), incremental).whole();
    let state = made.files.iter().find(|file| file.kind == "state").unwrap();
    let scanned_at =
        stored::file(&series.store.join(&state.name))["scanned_at"].as_str().unwrap().to_string();
    assert!(Time::parse(&scanned_at).unwrap() <= first_read.get().unwrap(), "{scanned_at}");
}

#[test]
fn a_full_makes_three_files() {
    let mut series = Series::new();
    series.write("f", noise(1, 100_000));
    let before = series.stored();
    let report = series.snapshot();
    let added = series.added(&before);
    assert_eq!(added.keys().collect::<Vec<_>>(), ["full", "sigvault", "state"]);
    let reported: u64 = report.files.iter().map(|file| file.size).sum();
    assert_eq!(reported, added.values().sum::<u64>());
    assert_eq!((report.files.len(), report.total_size()), (3, reported));
}

#[test]
fn an_unchanged_tree_costs_one_state_file() {
    let mut series = three_large_files();
    let (report, added) = series.increment();
    assert_only_a_state(&added);
    for which in [Counter::Created, Counter::Modified, Counter::Moved, Counter::Deleted] {
        assert_eq!(counter(&report, which), 0, "{which:?}");
    }
    assert_eq!(counter(&report, Counter::Entries), 5);
    series.assert_every_point_restores();
}

/// The state of a snapshot in which nothing changed has no lines of its own. It needs the same archives as its parent,
/// and records the same sums.
#[test]
fn the_state_of_an_unchanged_tree_is_that_of_its_parent() {
    let mut series = three_large_files();
    for content in [7, 8] {
        series.write("b", noise(content, 300_000));
        series.snapshot();
    }
    std::thread::sleep(OLD);
    series.snapshot();
    let parent = stored::parse(&series.newest("state"));
    series.snapshot();
    let newest = series.newest("state");
    assert_eq!(stored::file(&newest)["entries"].as_array().unwrap().len(), 0);
    let newest = stored::parse(&newest);
    for same in ["archives", "entries", "tree"] {
        assert_eq!(newest[same], parent[same], "{same}");
    }
    let totals = |state: &Value, key: &str| state["totals"][key].clone();
    for same in ["entries", "bytes"] {
        assert_eq!(totals(&newest, same), totals(&parent, same), "{same}");
    }
    assert_eq!(totals(&newest, "unchanged"), totals(&newest, "entries"));
    let kinds: Vec<_> =
        newest["archives"].as_array().unwrap().iter().map(|a| a["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["full", "sigvault", "created", "sigvault"]);
    series.assert_every_point_restores();
    series.assert_newest_is_whole();
}

#[test]
fn an_unchanged_tree_read_by_content_costs_one_state_file() {
    let mut series = three_large_files();
    series.options.detect = Detect::Content;
    let (report, added) = series.increment();
    assert_only_a_state(&added);
    assert_eq!(counter(&report, Counter::BytesRead), 900_000);
}

#[test]
fn the_tree_digest_is_the_same_for_the_same_tree() {
    let mut series = three_large_files();
    let first = series.list().whole().snapshots[0].digest.unwrap();
    let (report, _) = series.increment();
    assert_eq!(report.digest, Some(first));
    let again = series.full().whole();
    assert_eq!(again.digest, Some(first));
    set_mtime(&series.source.join("a"), (5, 5));
    let (report, _) = series.increment();
    assert_ne!(report.digest, Some(first));
}

#[test]
fn a_moved_file_costs_no_content() {
    let mut series = three_large_files();
    fs::rename(series.source.join("a"), series.source.join("dir/z")).unwrap();
    let (report, added) = series.increment();
    assert_only_a_state(&added);
    assert_eq!(counter(&report, Counter::Moved), 1);
    assert_eq!(counter(&report, Counter::Created), 0);
    series.assert_every_point_restores();
}

#[test]
fn a_moved_directory_costs_no_content() {
    let mut series = three_large_files();
    fs::rename(series.source.join("dir"), series.source.join("another")).unwrap();
    let (report, added) = series.increment();
    assert_only_a_state(&added);
    assert!(counter(&report, Counter::Moved) >= 1);
    series.assert_every_point_restores();
}

#[test]
fn rotated_logs_cost_no_content() {
    let mut series = three_large_files();
    let log = |name: &str| series.source.join(name);
    let (newest, older, oldest) = (log("log"), log("log.1"), log("log.2"));
    fs::write(&newest, noise(1, 400_000)).unwrap();
    fs::write(&older, noise(2, 2_000_000)).unwrap();
    series.increment();
    fs::rename(&older, &oldest).unwrap();
    fs::rename(&newest, &older).unwrap();
    fs::write(&newest, noise(3, 1000)).unwrap();
    let (report, added) = series.increment();
    assert!(added["created"] < 5000 && !added.contains_key("updated"), "{added:?}");
    assert_eq!(counter(&report, Counter::Created), 1);
    assert_eq!(counter(&report, Counter::Modified), 2);
    series.assert_every_point_restores();
}

#[test]
fn a_file_that_takes_the_place_of_another_brings_its_content() {
    let mut series = three_large_files();
    fs::rename(series.source.join("a"), series.source.join("b")).unwrap();
    let (report, added) = series.increment();
    assert_only_a_state(&added);
    let counts = [Counter::Modified, Counter::Moved, Counter::Deleted].map(|c| counter(&report, c));
    assert_eq!(counts, [1, 0, 1]);
    series.assert_every_point_restores();
}

#[test]
fn a_file_moved_and_then_changed_makes_a_delta_again_later() {
    let mut series = three_large_files();
    fs::rename(series.source.join("a"), series.source.join("moved")).unwrap();
    series.increment();
    append(&series, "moved", 100);
    let (_, added) = series.increment();
    assert!(!added.contains_key("created"), "{added:?}");
    assert!(added["updated"] < 10_000, "{added:?}");
    series.assert_every_point_restores();
}

fn append(series: &Series, path: &str, len: usize) {
    let path = series.source.join(path);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(noise(len as u64 + bytes.len() as u64, len));
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_growing_file_costs_what_it_grew() {
    let mut series = three_large_files();
    append(&series, "a", 1000);
    let (report, added) = series.increment();
    assert!(!added.contains_key("created"), "{added:?}");
    assert!(added["updated"] < 10_000, "{added:?}");
    assert!(added["sigvault"] < 15_000, "{added:?}");
    assert_eq!(counter(&report, Counter::Modified), 1);
    append(&series, "a", 1000);
    let (_, added) = series.increment();
    assert!(added["updated"] < 10_000, "{added:?}");
    series.assert_every_point_restores();
}

#[test]
fn an_insertion_in_the_middle_costs_what_was_inserted() {
    let mut series = three_large_files();
    let path = series.source.join("b");
    let mut bytes = fs::read(&path).unwrap();
    bytes.splice(123_457..123_457, *b"inserted");
    fs::write(&path, bytes).unwrap();
    let (_, added) = series.increment();
    assert!(!added.contains_key("created"), "{added:?}");
    assert!(added["updated"] < 12_000, "{added:?}");
    series.assert_every_point_restores();
}

#[test]
fn a_file_rewritten_from_end_to_end_is_stored_whole() {
    let mut series = three_large_files();
    series.write("a", noise(77, 300_000));
    let (_, added) = series.increment();
    assert!(added["created"] > 300_000 && added["created"] < 320_000, "{added:?}");
    series.assert_every_point_restores();
}

#[test]
fn tiny_files_are_stored_whole() {
    let mut series = Series::new();
    series.write("tiny", "ten bytes.");
    series.snapshot();
    series.write("tiny", "ten bytes!");
    let (_, added) = series.increment();
    assert_eq!(added.keys().collect::<Vec<_>>(), ["created", "state"]);
    series.assert_every_point_restores();
}

#[test]
fn a_chain_of_seventy_increments_starts_its_content_again() {
    let mut series = Series::new();
    series.write("f", noise(0, 200_000));
    series.snapshot();
    let mut restarts = 0;
    for round in 0..70 {
        let path = series.source.join("f");
        let mut bytes = fs::read(&path).unwrap();
        bytes[round * 1000] ^= 1;
        fs::write(&path, bytes).unwrap();
        let (_, added) = series.increment();
        restarts += usize::from(added.contains_key("created"));
        let entry = stored::entry(&stored::parse(&series.newest("state")), "f");
        let content = entry["at"]["content"].as_array().unwrap();
        assert!((1..=65).contains(&content.len()), "round {round}: {} pieces", content.len());
        let deltas: u64 = content[1..].iter().map(|range| range[2].as_u64().unwrap()).sum();
        assert!(deltas <= 100_000, "round {round}: {deltas} bytes of deltas");
    }
    assert!(restarts >= 1, "never stored whole again");
    assert!(restarts <= 3, "stored whole {restarts} times");
    series.assert_every_point_restores();
}

#[test]
fn a_deleted_file_is_gone_from_then_on_only() {
    let mut series = three_large_files();
    fs::remove_file(series.source.join("a")).unwrap();
    fs::remove_dir_all(series.source.join("dir")).unwrap();
    let (report, added) = series.increment();
    assert_only_a_state(&added);
    assert_eq!(counter(&report, Counter::Deleted), 3);
    series.assert_every_point_restores();
}

#[test]
fn a_file_deleted_and_made_again_restores() {
    let mut series = three_large_files();
    fs::remove_file(series.source.join("a")).unwrap();
    series.increment();
    series.write("a", noise(0, 300_000));
    series.increment();
    series.assert_every_point_restores();
}

#[test]
fn a_directory_replaced_by_a_file_and_back() {
    let mut series = three_large_files();
    fs::remove_dir_all(series.source.join("dir")).unwrap();
    series.write("dir", noise(8, 50_000));
    series.increment();
    fs::remove_file(series.source.join("dir")).unwrap();
    series.write("dir/again/c", "a directory again");
    series.increment();
    fs::remove_dir_all(series.source.join("dir")).unwrap();
    std::os::unix::fs::symlink("a", series.source.join("dir")).unwrap();
    series.increment();
    series.assert_every_point_restores();
}

#[test]
fn metadata_alone_costs_no_content() {
    let mut series = three_large_files();
    tools::set_mode(&series.source.join("a"), 0o4711);
    set_mtime(&series.source.join("b"), (-5, 999_999_999));
    let (report, added) = series.increment();
    assert_only_a_state(&added);
    assert!(counter(&report, Counter::Metadata) >= 2);
    assert_eq!(counter(&report, Counter::Modified), 0);
    series.assert_every_point_restores();
}

/// An unchanged file is not even read. A change that keeps size and mtime is found by the ctime.
#[test]
fn old_entries_are_not_read_and_a_rewrite_with_its_mtime_put_back_is_found() {
    let mut series = Series::new();
    let hidden = series.write("hidden", noise(1, 50_000));
    series.write("untouched", noise(2, 50_000));
    std::thread::sleep(OLD);
    series.write("newest", "x");
    std::thread::sleep(OLD);
    series.snapshot();
    let (report, added) = series.increment();
    assert_only_a_state(&added);
    assert!(counter(&report, Counter::BytesRead) <= 1, "old files were read");
    let (meta, reference) = (fs::metadata(&hidden).unwrap(), series.beside("reference"));
    fs::write(&reference, "").unwrap();
    run(tools::command("touch", ["-r"]).arg(&hidden).arg(&reference));
    let mut bytes = noise(1, 50_000);
    bytes[40_000] ^= 1;
    fs::write(&hidden, &bytes).unwrap();
    run(tools::command("touch", ["-r"]).arg(&reference).arg(&hidden));
    let after = fs::metadata(&hidden).unwrap();
    assert_eq!((meta.len(), meta.mtime_nsec()), (after.len(), after.mtime_nsec()));
    let (report, _) = series.increment();
    assert_eq!(counter(&report, Counter::Modified), 1);
    assert!(counter(&report, Counter::BytesRead) < 100_000, "the untouched file was read");
    series.assert_every_point_restores();
}

#[test]
fn a_hard_link_added_to_an_old_file_costs_no_content() {
    let mut series = three_large_files();
    fs::hard_link(series.source.join("b"), series.source.join("dir/b too")).unwrap();
    let (_, added) = series.increment();
    assert_only_a_state(&added);
    // A name that sorts before the other names becomes the first name of the set.
    fs::hard_link(series.source.join("b"), series.source.join("0")).unwrap();
    let (_, added) = series.increment();
    assert_only_a_state(&added);
    fs::remove_file(series.source.join("b")).unwrap();
    let (_, added) = series.increment();
    assert_only_a_state(&added);
    series.assert_every_point_restores();
}

#[test]
fn a_hard_linked_file_modified_is_modified_under_every_name() {
    let mut series = three_large_files();
    fs::hard_link(series.source.join("a"), series.source.join("dir/a too")).unwrap();
    series.increment();
    append(&series, "dir/a too", 500);
    let (_, added) = series.increment();
    assert!(!added.contains_key("created"), "{added:?}");
    assert!(added["updated"] < 12_000, "stored once for each name: {added:?}");
    series.assert_every_point_restores();
}

#[test]
fn new_hard_links_are_stored_once() {
    let mut series = Series::new();
    let first = series.write("a", noise(1, 300_000));
    for name in ["b", "c", "d"] {
        fs::hard_link(&first, series.source.join(name)).unwrap();
    }
    let before = series.stored();
    series.snapshot();
    assert!(series.added(&before)["full"] < 320_000);
    let state = stored::parse(&series.newest("state"));
    let entries: Vec<_> = ["a", "b", "c", "d"].map(|name| stored::entry(&state, name)).into();
    for entry in &entries {
        assert_eq!(entry["at"]["content"], entries[0]["at"]["content"]);
        assert!(entry["linked"] == true || entry["link"] == "a", "{entry}");
    }
}

#[test]
fn a_new_full_begins_again_and_older_snapshots_still_restore() {
    let mut series = three_large_files();
    append(&series, "a", 10);
    series.increment();
    append(&series, "b", 10);
    let report = series.full().whole();
    series.keep(&report);
    append(&series, "a", 10);
    let (_, added) = series.increment();
    assert!(added["updated"] < 10_000, "{added:?}");
    series.assert_every_point_restores();
    let listed = series.list().whole();
    let kinds: Vec<_> = listed.snapshots.iter().map(|snapshot| snapshot.kind).collect();
    assert_eq!(kinds, ["full", "incremental", "full", "incremental"]);
}

#[test]
fn a_snapshot_is_found_by_moment() {
    let mut series = three_large_files();
    let first = series.points[0].stamp;
    series.write("new", "in the second");
    series.increment();
    let dest = series.beside("restored");
    let report = series.restore(Select::AsOf(first.to_time()), &dest).whole();
    assert_eq!(report.snapshot, Some(first));
    series.points[0].kept.assert_is(&dest);
    series::remove(&dest);
    let second = series.points[1].stamp.to_time().plus_secs(3600);
    assert_eq!(series.restore(Select::AsOf(second), &dest).whole().snapshot, Some(series.points[1].stamp));
    let too_early = Select::AsOf(first.to_time().plus_secs(-1));
    series.restore(too_early, &series.beside("nothing")).refused(ibt::error::Kind::NotFound);
}

#[test]
fn stamps_grow_however_fast_snapshots_follow() {
    let mut series = Series::new();
    series.write("f", "x");
    series.snapshot();
    for _ in 0..10 {
        series.snapshot();
    }
    assert!(series.points.windows(2).all(|pair| pair[0].stamp < pair[1].stamp));
}

#[test]
fn the_same_store_holds_several_keys() {
    let mut series = three_large_files();
    let mut other = Series::new();
    other.share_store_of(&series);
    other.options.key = Some("other.with.dots".into());
    other.write("elsewhere", "in another source");
    other.full().whole();
    other.write("elsewhere", "changed");
    other.incremental().whole();
    series.write("a", "changed as well");
    series.snapshot();
    series.assert_every_point_restores();
    let dest = other.beside("restored");
    let options = other.options.clone();
    let none = &ibt::job::Cancel::default();
    other
        .run(&options, none, &mut ibt::job::Silent, |store, job| {
            ibt::restore::restore(store, "other.with.dots", &dest, job)
        })
        .whole();
    assert_same_tree(&other.source, &dest);
}

/// Only the ctime shows a change whose mtime was put back, and exFAT has no ctime.
#[test]
fn where_no_ctime_is_kept_a_change_is_found_by_reading() {
    let series = Series::new();
    let Some(_mount) = Mount::exfat(&series.beside("image"), &series.source) else {
        return skip("there is no exFAT here, or mounting is not allowed");
    };
    let write = |name: &str, content: &str, mtime: i64| set_mtime(&series.write(name, content), (mtime, 0));
    write("file", "AAAA", 1_600_000_000);
    write("same", "same", 1_600_000_000);
    // A later stamp proves that the file system's clock went on, so the stamps of the other files are old
    // enough.
    write("later", "later", 1_700_000_000);
    series.full().whole();
    write("file", "BBBB", 1_600_000_000);
    let report = series.incremental().whole();
    assert_eq!((counter(&report, Counter::Modified), counter(&report, Counter::BytesRead)), (1, 13));
    let dest = series.beside("restored");
    series.restore(Select::Newest, &dest).whole();
    assert_eq!(fs::read(dest.join("file")).unwrap(), b"BBBB");
}
