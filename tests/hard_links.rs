//! Hard links of files, symbolic links, FIFOs and devices, from the source to the state and back. GNU tar and rsync
//! are the oracles.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ibt::entry;
use ibt::error::Kind;
use ibt::inspect;
use ibt::job::{Counter, Options, Overwrite, Select, Silent};
use rustix::fs::{CWD, FileType, Mode};
use support::kept::{assert_rsync_sees_no_difference, assert_same_tree};
use support::series::{KEY, Series, counter, remove};
use support::stored;
use support::tools::{command, is_root, noise, run};

/// Makes one entry of each type that may have several names, each with two further names in other directories.
fn linked_source() -> Series {
    let series = Series::new();
    series.write("a/file", noise(1, 70_000));
    series.write("a/empty", "");
    std::os::unix::fs::symlink("../no/such/place", series.source.join("a/link")).unwrap();
    rustix::fs::mknodat(CWD, series.source.join("a/pipe"), FileType::Fifo, Mode::from(0o640), 0).unwrap();
    let mut names = vec!["file", "empty", "link", "pipe"];
    if is_root() {
        let number = rustix::fs::makedev(1, 3);
        let path = series.source.join("a/null");
        rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::from(0o600), number).unwrap();
        names.push("null");
    }
    for dir in ["b", "c"] {
        fs::create_dir(series.source.join(dir)).unwrap();
        for name in &names {
            fs::hard_link(series.source.join("a").join(name), series.source.join(dir).join(name)).unwrap();
        }
    }
    series
}

/// The tree digest of the newest snapshot.
fn tree_digest(series: &Series) -> String {
    stored::parse(&series.newest("state"))["tree"].as_str().unwrap().to_string()
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

/// The hard-link sets below `root`: the first name of each inode, with all its names. Directories are left out.
fn sets(root: &Path) -> BTreeMap<String, Vec<String>> {
    let mut by_inode: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.unwrap();
        if !entry.file_type().is_dir() {
            let path = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_string();
            by_inode.entry(inode(entry.path())).or_default().push(path);
        }
    }
    by_inode.into_values().map(|names| (names[0].clone(), names)).collect()
}

#[test]
fn every_kind_of_snapshot_of_a_tree_has_the_same_digest() {
    let mut series = linked_source();
    series.snapshot();
    let full = tree_digest(&series);
    series.snapshot();
    assert_eq!(tree_digest(&series), full, "an increment");
    series.consolidate().whole();
    assert_eq!(tree_digest(&series), full, "a consolidated snapshot");
    series.full().whole();
    assert_eq!(tree_digest(&series), full, "a second full");
    series.assert_every_point_restores();
    series.assert_newest_is_the_source();
    let restored = series.beside("restored");
    series.restore(Select::Newest, &restored).whole();
    assert_rsync_sees_no_difference(&series.source, &restored);
    series.verify(&series.options).whole();
}

#[test]
fn the_archive_of_a_full_or_of_a_consolidated_snapshot_has_link_members() {
    let mut series = linked_source();
    series.snapshot();
    for consolidated in [false, true] {
        if consolidated {
            series.write("d", "new");
            series.snapshot();
            series.consolidate().whole();
        }
        let dest = series.beside("untarred");
        fs::create_dir(&dest).unwrap();
        run(command("tar", ["--zstd", "-xpf"]).arg(series.newest("full")).arg("-C").arg(&dest));
        assert_eq!(sets(&dest), sets(&series.source), "consolidated: {consolidated}");
        assert_same_tree(&series.source, &dest);
        remove(&dest);
    }
}

#[test]
fn the_first_name_in_path_order_carries_the_mark() {
    let mut series = linked_source();
    series.snapshot();
    let state = stored::parse(&series.newest("state"));
    for name in ["file", "empty", "link", "pipe"] {
        let [a, b, c] = ["a", "b", "c"].map(|dir| stored::entry(&state, &format!("{dir}/{name}")));
        assert_eq!((&a["linked"], &a["link"]), (&true.into(), &serde_json::Value::Null), "{name}");
        let first = serde_json::Value::from(format!("a/{name}"));
        assert_eq!((&b["link"], &c["link"]), (&first, &first), "{name}");
        assert_eq!(b["at"]["content"], a["at"]["content"], "{name}");
    }
    // When the first name goes, the second one becomes the first, in an increment as in a full.
    fs::remove_file(series.source.join("a/pipe")).unwrap();
    fs::remove_file(series.source.join("a/file")).unwrap();
    fs::remove_file(series.source.join("b/link")).unwrap();
    fs::remove_file(series.source.join("c/link")).unwrap();
    series.snapshot();
    let state = stored::parse(&series.newest("state"));
    assert_eq!(stored::entry(&state, "b/pipe")["linked"], true);
    assert_eq!(stored::entry(&state, "c/file")["link"], "b/file");
    assert!(stored::entry(&state, "a/link").get("linked").is_none());
    let increment = tree_digest(&series);
    series.full().whole();
    assert_eq!(tree_digest(&series), increment);
    series.assert_newest_is_the_source();
}

/// A selection without the first name: the content is written for the first selected name.
#[test]
fn a_selection_without_the_first_name_is_still_linked() {
    let mut series = linked_source();
    series.snapshot();
    for (paths, root) in [(vec!["b", "c"], ""), (vec![], "b"), (vec!["c"], "")] {
        let root = entry::Path::new(root).unwrap();
        let paths: Vec<_> = paths.into_iter().map(|path| entry::Path::new(path).unwrap()).collect();
        let dest = series.beside("part");
        let whole = root.is_root();
        let options = Options { paths: paths.clone(), root: root.clone(), ..series.options.clone() };
        series.restore_with(&options, &dest, &mut Silent).whole();
        let found = sets(&dest);
        let names = if paths.len() == 2 { 2 } else { 1 };
        assert!(found.values().all(|set| set.len() == names), "{found:?}");
        let below = |name: &str| if whole { dest.join("c").join(name) } else { dest.join(name) };
        assert_eq!(fs::read(below("file")).unwrap(), noise(1, 70_000));
        remove(&dest);
    }
}

/// Two policies, over a tree whose names are linked in another way than in the snapshot.
#[test]
fn an_existing_tree_gets_the_links_of_the_snapshot() {
    let mut series = linked_source();
    series.snapshot();
    for overwrite in [Overwrite::Always, Overwrite::IfDifferent] {
        let dest = series.beside("dest");
        series.restore(Select::Newest, &dest).whole();
        for name in ["file", "link", "pipe"] {
            // c/NAME becomes an inode of its own, and b/NAME is missing.
            fs::remove_file(dest.join("b").join(name)).unwrap();
            let (from, to) = (dest.join("c").join(name), dest.join("x"));
            run(command("cp", ["-a"]).arg(&from).arg(&to));
            fs::rename(&to, &from).unwrap();
        }
        // Links two names that are separate files in the snapshot.
        fs::remove_file(dest.join("c/empty")).unwrap();
        fs::hard_link(dest.join("a/file"), dest.join("c/empty")).unwrap();
        let mut options = Options { overwrite, ..series.options.clone() };
        options.dry_run = true;
        let before = sets(&dest);
        let dry = series.restore_with(&options, &dest, &mut Silent).whole();
        assert_eq!(sets(&dest), before, "a dry run changes nothing");
        options.dry_run = false;
        let report = series.restore_with(&options, &dest, &mut Silent).whole();
        for which in [Counter::Created, Counter::Modified, Counter::Metadata, Counter::Unchanged] {
            assert_eq!(counter(&dry, which), counter(&report, which), "{overwrite:?} {which:?}");
        }
        assert_eq!(sets(&dest), sets(&series.source), "{overwrite:?}");
        assert_same_tree(&series.source, &dest);
        remove(&dest);
    }
}

/// The digests of this state are right, but a hard link does not lead to the first name of its set. Every reader
/// refuses the state, with an error that names the state and the path.
#[test]
fn a_forged_link_is_refused_by_every_reader() {
    let mut series = linked_source();
    series.snapshot();
    let state = series.newest("state");
    let original = fs::read(&state).unwrap();
    let link = "\"link\":\"a/pipe\"";
    for forged in ["b/pipe", "c/pipe", "a/pipes", "a", "a/file", "a/link"] {
        fs::write(&state, &original).unwrap();
        stored::forge(&state, link, &format!("\"link\":\"{forged}\""));
        let dest = series.beside("dest");
        let restored = series.restore(Select::Newest, &dest).refused(Kind::Corrupt);
        let part = Options { paths: vec![entry::Path::new("b").unwrap()], ..series.options.clone() };
        let part = series.restore_with(&part, &dest, &mut Silent).refused(Kind::Corrupt);
        let compared =
            series.silently(&series.options, |store, job| inspect::compare(store, KEY, &series.source, job));
        let compared = compared.refused(Kind::Corrupt);
        let verified = series.verify(&series.options).partial();
        assert!(!dest.exists(), "{forged}");
        let name = state.file_name().unwrap().to_str().unwrap();
        let messages = [restored, part, compared].map(|error| error.to_string());
        for message in messages.iter().chain([&verified.problems[0].message]) {
            assert!(
                message.contains(name) && message.contains("pipe: a hard link to no earlier entry"),
                "{forged}: {message}"
            );
        }
    }
}
