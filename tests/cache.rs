//! A cache may be lost, stale, damaged, read-only or of another store. The library then works without the cache, fills
//! it again from the store, or computes the signatures again from the archives.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ibt::error::Kind;
use ibt::job::{Cancel, Codec, Flow, Observer, Options, ProblemKind, Progress, Report, Silent};
use serde_json::Value;
use support::series::{Fork, KEY, problem_paths, refused};
use support::tools::{as_ordinary_user, child_role, this_test_again};
use support::*;

/// The sizes of the same delta may differ by this many bytes when it is compressed again.
const SLACK: u64 = 64;
/// An entry must have changed longer ago than this to be trusted without a read.
const OLD: Duration = Duration::from_millis(2100);

fn edit(series: &Series, name: &str, with: &str) {
    let path = series.source.join(name);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes.splice(middle..middle, with.bytes());
    fs::write(path, bytes).unwrap();
}

/// Three snapshots with signatures in three SigVaults. One signature is of a file with two names. The source has
/// changed again.
fn a_chain() -> Series {
    let mut series = Series::new();
    // The signature of `a` is longer than one write.
    for (seed, (name, len)) in
        [("a", 3_000_000), ("b", 310_000), ("dir/c", 320_000), ("dir/d", 330_000)].into_iter().enumerate()
    {
        series.write(name, noise(seed as u64, len));
    }
    series.write("small", "small");
    fs::hard_link(series.source.join("dir/d"), series.source.join("dir/d too")).unwrap();
    series.snapshot();
    edit(&series, "b", "once");
    series.snapshot();
    edit(&series, "dir/d", "twice");
    series.write("new", noise(9, 300_000));
    series.snapshot();
    for name in ["a", "b", "dir/d", "new"] {
        edit(&series, name, "three times");
    }
    series
}

/// Makes an increment of a fork, and asserts that it is complete and restores as the source. Returns the sizes of the
/// new files by kind.
#[track_caller]
fn increment(fork: &Fork) -> BTreeMap<String, u64> {
    let before = fork.twin.stored();
    fork.twin.incremental().whole();
    fork.twin.assert_newest_is_the_source();
    fork.twin.added(&before)
}

#[track_caller]
fn assert_as_small(found: &BTreeMap<String, u64>, expected: &BTreeMap<String, u64>) {
    assert_eq!(found.get("created"), expected.get("created"), "{found:?}, not {expected:?}");
    assert!(found["updated"].abs_diff(expected["updated"]) <= SLACK, "{found:?}, not {expected:?}");
}

/// The files of the cache.
fn cached(series: &Series) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(series.cache()).into_iter().filter_map(Result::ok);
    files.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

fn names(paths: &[PathBuf]) -> BTreeSet<String> {
    paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_string()).collect()
}

/// The newest state: its path, its content, and the SigVaults that it names.
fn newest_state(series: &Series) -> (PathBuf, Value, BTreeSet<String>) {
    let path = series.newest("state");
    let state = stored::parse(&path);
    let archives = state["archives"].as_array().unwrap().iter();
    let vaults = archives.filter(|archive| archive["kind"] == "sigvault");
    let vaults = vaults.map(|archive| archive["name"].as_str().unwrap().to_string()).collect();
    (path, state, vaults)
}

/// Asserts that the cache has each file that the next increment needs, with the same bytes as the store.
#[track_caller]
fn assert_cache_is_whole(series: &Series) {
    let (path, _, mut wanted) = newest_state(series);
    wanted.extend(names(&stored::state_files(&path)));
    let found = cached(series);
    assert!(names(&found).is_superset(&wanted), "{found:?}");
    for path in found.iter().filter(|path| wanted.contains(path.file_name().unwrap().to_str().unwrap())) {
        let stored = series.store.join(path.file_name().unwrap());
        assert!(fs::read(path).unwrap() == fs::read(stored).unwrap(), "{path:?} differs");
    }
}

/// Asserts that the store has each signature that the newest state names, and that each large file has a
/// signature.
#[track_caller]
fn assert_signatures_are_stored(series: &Series) {
    let (_, state, _) = newest_state(series);
    let mut seen = 0;
    for entry in state["entries"].as_array().unwrap() {
        if entry["type"] != "file" || entry["size"].as_u64().unwrap() < 16_384 {
            continue;
        }
        stored::signature(&series.store, &state, &entry["at"]["sig"]);
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} signatures");
}

/// The name of a kind of damage, and the function that does the damage.
type CacheDamage = (&'static str, fn(&Path));

fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn replace_by_a_directory(path: &Path) {
    remove(path);
    fs::create_dir(path).unwrap();
}

fn replace_by_a_fifo(path: &Path) {
    remove(path);
    run(tools::command("mkfifo", [""; 0]).arg(path));
}

fn replace_by_a_link(path: &Path) {
    remove(path);
    std::os::unix::fs::symlink("/dev/zero", path).unwrap();
}

fn is_state(path: &Path) -> bool {
    path.to_str().unwrap().contains(".state.")
}

/// Replaces the fork's cache by an older cache.
fn exchange(fork: &Fork, with: &Path) {
    fs::remove_dir_all(fork.twin.cache()).unwrap();
    run(tools::command("cp", ["-a"]).arg(with).arg(fork.twin.cache()));
}

#[test]
fn a_cache_damaged_in_any_way_costs_nothing() {
    let series = a_chain();
    let expected = increment(&series.fork());
    let damages: [CacheDamage; 7] = [
        ("spoilt", spoil),
        ("cut", cut),
        ("gone", remove),
        ("a directory", replace_by_a_directory),
        ("a FIFO", replace_by_a_fifo),
        ("a link to a device", replace_by_a_link),
        ("empty", |path| fs::write(path, "").unwrap()),
    ];
    for (what, damage) in damages {
        for only in [|_: &Path| true, is_state, |path: &Path| !is_state(path)] {
            println!("{what}");
            let fork = series.fork();
            let files = cached(&fork.twin);
            assert!(files.len() >= 4, "{files:?}");
            files.iter().filter(|path| only(path)).for_each(|path| damage(path));
            assert_as_small(&increment(&fork), &expected);
        }
    }
    let fork = series.fork();
    fs::remove_dir_all(fork.twin.cache()).unwrap();
    assert_as_small(&increment(&fork), &expected);
    // The increment copied the files that it read from the store into the cache. After a rebuild the cache has
    // all files that are still needed.
    fork.twin.rebuild_cache().whole();
    assert_cache_is_whole(&fork.twin);
}

#[test]
fn a_cache_that_cannot_be_made_costs_nothing() {
    let series = a_chain();
    let expected = increment(&series.fork());
    let fork = series.fork();
    fs::remove_dir_all(fork.twin.cache()).unwrap();
    fs::write(fork.twin.cache(), "a file stands here").unwrap();
    assert_as_small(&increment(&fork), &expected);
    fork.twin.rebuild_cache().refused(Kind::Io);
}

#[test]
fn a_read_only_cache_costs_nothing() {
    if !as_ordinary_user("a_read_only_cache_costs_nothing") {
        return;
    }
    let series = a_chain();
    let expected = increment(&series.fork());
    for damage in [false, true] {
        let fork = series.fork();
        if damage {
            cached(&fork.twin).iter().for_each(|path| spoil(path));
        }
        run(tools::command("chmod", ["-R", "a-w"]).arg(fork.twin.cache()));
        let rebuilt = fork.twin.rebuild_cache();
        if damage {
            rebuilt.refused(Kind::Io);
        } else {
            assert!(rebuilt.whole().files.is_empty());
        }
        assert_as_small(&increment(&fork), &expected);
        run(tools::command("chmod", ["-R", "u+w"]).arg(fork.twin.cache()));
    }
}

#[test]
fn a_stale_cache_costs_nothing() {
    let mut series = Series::new();
    series.write("f", noise(1, 200_000));
    series.snapshot();
    let old = series.beside("old cache");
    run(tools::command("cp", ["-a"]).arg(series.cache()).arg(&old));
    edit(&series, "f", "later");
    series.snapshot();
    edit(&series, "f", "still later");
    let expected = increment(&series.fork());
    let fork = series.fork();
    exchange(&fork, &old);
    assert_as_small(&increment(&fork), &expected);
    // The stale files were removed when the new files came.
    let (path, _, mut wanted) = newest_state(&fork.twin);
    wanted.extend(names(&stored::state_files(&path)));
    assert_eq!(names(&cached(&fork.twin)), wanted);
}

/// Each file has the right name, but the content of another store's file.
#[test]
fn another_store_s_cache_costs_nothing() {
    let (series, other) = (a_chain(), a_chain());
    let expected = increment(&series.fork());
    let fork = series.fork();
    let (ours, mut theirs) = (cached(&fork.twin), cached(&other));
    theirs.sort();
    for path in &ours {
        let alike = theirs.iter().find(|their| is_state(their) == is_state(path)).unwrap();
        let mut bytes = fs::read(alike).unwrap();
        // The same size, so that only the bytes differ.
        bytes.resize(fs::metadata(path).unwrap().len() as usize, 0);
        fs::write(path, bytes).unwrap();
    }
    assert_as_small(&increment(&fork), &expected);
    // The cache also holds another series, which must be left alone.
    let fork = series.fork();
    run(tools::command("cp", ["-a"]).arg(other.cache().join(".")).arg(fork.twin.cache()));
    let before = names(&theirs);
    assert_as_small(&increment(&fork), &expected);
    assert!(names(&cached(&fork.twin)).is_superset(&before));
}

#[test]
fn a_full_drops_what_no_current_state_needs() {
    let mut series = a_chain();
    let leftover = series.cache().read_dir().unwrap().next().unwrap().unwrap().path().join(".ibt-tmp-killed");
    fs::write(&leftover, "half a copy").unwrap();
    let foreign = leftover.with_file_name("notes.txt");
    fs::write(&foreign, "not ours").unwrap();
    let report = series.full().whole();
    series.keep(&report);
    let files = report.files.iter().filter(|file| file.kind != "full").map(|file| file.name.clone());
    assert_eq!(names(&cached(&series)), files.chain(["notes.txt".to_string()]).collect());
    series.assert_every_point_restores();
}

#[test]
fn a_lost_cache_is_rebuilt_from_the_store() {
    let series = a_chain();
    let before = series.stored();
    fs::remove_dir_all(series.cache()).unwrap();
    let report = series.rebuild_cache().whole();
    assert_cache_is_whole(&series);
    assert_eq!(series.stored(), before);
    let (path, state, vaults) = newest_state(&series);
    assert_eq!(report.files.len(), stored::state_files(&path).len() + vaults.len());
    assert_eq!(report.digest.unwrap().to_string(), state["tree"].as_str().unwrap());
    for file in &report.files {
        let path = String::from_utf8(file.path.clone().unwrap()).unwrap();
        assert!(Path::new(&path).starts_with(series.cache()) && path.ends_with(&file.name), "{path}");
        assert_eq!(fs::metadata(path).unwrap().len(), file.size);
    }
    // No file is made twice; only files that are damaged or gone are made again.
    assert!(series.rebuild_cache().whole().files.is_empty());
    let (spoilt, gone) = (&cached(&series)[0], &cached(&series)[1]);
    spoil(spoilt);
    remove(gone);
    let report = series.rebuild_cache().whole();
    let made: BTreeSet<_> = report.files.iter().map(|file| file.name.clone()).collect();
    assert_eq!(made, names(&[spoilt.clone(), gone.clone()]));
    assert_cache_is_whole(&series);
}

/// Removes the cache, applies `lose` to the SigVaults of the store that `which` selects by number, and rebuilds the
/// cache. Then checks the next two increments.
fn assert_heals(
    series: &Series,
    expected: &BTreeMap<String, u64>,
    lose: impl Fn(&Path),
    which: &dyn Fn(usize) -> bool,
) {
    let fork = series.fork();
    let (_, _, vaults) = newest_state(&fork.twin);
    fs::remove_dir_all(fork.twin.cache()).unwrap();
    let lost: Vec<_> = vaults.iter().enumerate().filter(|(n, _)| which(*n)).map(|(_, name)| name).collect();
    lost.iter().for_each(|name| lose(&fork.twin.store.join(name)));
    let before = fork.twin.stored();
    let report = fork.twin.rebuild_cache().whole();
    assert_eq!(fork.twin.stored(), before);
    let streams = report.files.iter().filter(|file| file.name.ends_with(".stream")).map(|file| &file.name);
    assert_eq!(
        streams.collect::<Vec<_>>(),
        lost.iter().map(|name| format!("{name}.stream")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    assert_as_small(&increment(&fork), expected);
    assert_signatures_are_stored(&fork.twin);
    assert!(!names(&cached(&fork.twin)).iter().any(|name| name.ends_with(".stream")), "kept for nothing");

    // The store has all signatures again, so the cache may be lost.
    fs::remove_dir_all(fork.twin.cache()).unwrap();
    let path = fork.twin.source.join("a");
    let bytes = fs::read(&path).unwrap();
    edit(&fork.twin, "a", "once more");
    let added = increment(&fork);
    assert!(!added.contains_key("created") && added["updated"] < 10_000, "{added:?}");
    fs::write(path, bytes).unwrap();
    (0..fork.points.len()).for_each(|index| fork.assert_point_restores(index));
}

#[test]
fn signatures_gone_from_the_store_too_are_made_again_from_the_archives() {
    let series = a_chain();
    let expected = increment(&series.fork());
    assert_heals(&series, &expected, remove, &|_| true);
    for one in 0..3 {
        assert_heals(&series, &expected, remove, &|n| n == one);
    }
}

#[test]
fn signatures_damaged_in_the_store_are_made_again_from_the_archives() {
    let series = a_chain();
    let expected = increment(&series.fork());
    assert_heals(&series, &expected, spoil, &|_| true);
    assert_heals(&series, &expected, cut, &|n| n != 1);
}

/// A SigVault that only the cache has is used, and its signatures are stored again.
#[test]
fn the_cache_s_copy_of_a_sigvault_heals_the_store() {
    let series = a_chain();
    let expected = increment(&series.fork());
    let fork = series.fork();
    let (_, _, vaults) = newest_state(&fork.twin);
    vaults.iter().for_each(|name| remove(&fork.twin.store.join(name)));
    assert_as_small(&increment(&fork), &expected);
    assert_signatures_are_stored(&fork.twin);
}

/// Nothing changed, but the signatures must be saved: once for each file, not once for each name.
#[test]
fn an_unchanged_tree_saves_the_signatures_too() {
    let mut series = a_chain();
    // The entries are old enough to be trusted without a read.
    std::thread::sleep(OLD);
    series.write("newest", "x");
    std::thread::sleep(OLD);
    series.snapshot();
    let kinds = |fork: &Fork| {
        let before = fork.twin.stored();
        fork.twin.incremental().whole();
        fork.twin.added(&before).into_keys().collect::<Vec<_>>()
    };
    assert_eq!(kinds(&series.fork()), ["state"]);
    let (_, state, vaults) = newest_state(&series);
    fs::remove_dir_all(series.cache()).unwrap();
    vaults.iter().for_each(|name| remove(&series.store.join(name)));
    series.rebuild_cache().whole();
    let fork = series.fork();
    assert_eq!(kinds(&fork), ["sigvault", "state"]);
    assert_signatures_are_stored(&fork.twin);
    let (_, healed, _) = newest_state(&fork.twin);
    assert_eq!(healed["tree"], state["tree"]);
    let sig = |path: &str| stored::entry(&healed, path)["at"]["sig"].clone();
    assert_eq!(sig("dir/d"), sig("dir/d too"));
}

/// A signature lies in several SigVaults: a whole one and its deltas. Each of them may be lost.
#[test]
fn a_signature_in_several_sigvaults_is_made_again() {
    let mut series = a_chain();
    for round in 0..3 {
        edit(&series, "a", &format!("round {round}"));
        // In the same place the length of the content stays the same.
        let path = series.source.join("dir/c");
        let mut bytes = fs::read(&path).unwrap();
        bytes[50_000..50_100].copy_from_slice(&noise(round, 100));
        fs::write(path, bytes).unwrap();
        series.snapshot();
    }
    let (_, state, vaults) = newest_state(&series);
    let sig = &stored::entry(&state, "dir/c")["at"]["sig"]["content"];
    assert_eq!(sig.as_array().unwrap().len(), 4, "{sig}");
    edit(&series, "dir/c", "and more");
    let expected = increment(&series.fork());
    for lost in &vaults {
        for damage in [remove as fn(&Path), spoil] {
            let fork = series.fork();
            fs::remove_dir_all(fork.twin.cache()).unwrap();
            damage(&fork.twin.store.join(lost));
            let report = fork.twin.rebuild_cache().whole();
            assert!(report.files.iter().any(|file| file.name == format!("{lost}.stream")), "{lost}");
            assert_as_small(&increment(&fork), &expected);
            assert_signatures_are_stored(&fork.twin);
        }
    }
}

/// A content that cannot be read cannot be signed. It is reported, and all other contents are signed.
#[test]
fn contents_that_are_lost_are_listed_and_the_others_signed() {
    let series = a_chain();
    for damage in [remove as fn(&Path), spoil] {
        let fork = series.fork();
        fs::remove_dir_all(fork.twin.cache()).unwrap();
        let (_, _, vaults) = newest_state(&fork.twin);
        vaults.iter().for_each(|name| remove(&fork.twin.store.join(name)));
        let full = fork.twin.stored().into_keys().find(|name| name.contains(".full.")).unwrap();
        damage(&fork.twin.store.join(&full));
        let report = fork.twin.rebuild_cache().partial();
        let gone = !fork.twin.stored().contains_key(&full);
        let kind = if gone { ProblemKind::Missing } else { ProblemKind::Damaged };
        assert_eq!(problem_paths(&report, kind), ["a", "b", "dir/c", "dir/d"]);
        assert!(report.problems.iter().all(|problem| problem.file.as_deref() == Some(&*full)), "{report:#?}");
        // Only the newest SigVault has a signature that can be made again: the signature of `new`.
        let made: Vec<_> = report.files.iter().filter(|file| file.kind == "sigvault").collect();
        assert_eq!(made.len(), 1, "{made:?}");
        let before = fork.twin.stored();
        fork.twin.incremental().ok();
        assert!(fork.twin.added(&before).contains_key("updated"), "no delta of \"new\"");
        if gone {
            fork.twin.assert_newest_is_the_source();
        }
    }
}

/// A content can be read, but its bytes are wrong. A signature of it would be wrong too.
#[test]
fn contents_that_are_another_are_not_signed() {
    let mut series = Series::new();
    series.options.codec = Codec::None;
    series.write("f", noise(1, 300_000));
    series.snapshot();
    fs::remove_dir_all(series.cache()).unwrap();
    remove(&series.newest("sigvault"));
    spoil(&series.newest("full"));
    let report = series.rebuild_cache().partial();
    assert_eq!(problem_paths(&report, ProblemKind::Damaged), ["f"]);
    assert!(report.problems[0].message.contains("not what was backed up"), "{report:#?}");
    assert_eq!(report.files.iter().map(|file| file.kind).collect::<Vec<_>>(), ["state"]);
}

/// The cache has an undamaged state of the right name and size that is not the state of the store.
#[test]
fn another_store_s_state_is_not_believed() {
    let mut series = Series::new();
    series.options.codec = Codec::None;
    series.write("f", noise(1, 100_000));
    series.snapshot();
    let copy = cached(&series).into_iter().find(|path| is_state(path)).unwrap();
    let text = String::from_utf8(fs::read(&copy).unwrap()).unwrap();
    let source = format!("{KEY}\",\n\"library\"");
    let other = text.replacen(&source, &source.replace(KEY, "else"), 1);
    assert_ne!(other, text);
    fs::write(&copy, stored::reseal(other.as_bytes())).unwrap();
    assert_eq!(fs::metadata(&copy).unwrap().len(), text.len() as u64);
    // If the copy were believed, the backup would report another source.
    series.snapshot();
    series.assert_every_point_restores();
}

/// Signatures that were made again are removed when the SigVault is back.
#[test]
fn a_sigvault_that_came_back_is_believed_again() {
    let series = a_chain();
    let expected = increment(&series.fork());
    let fork = series.fork();
    let (_, _, vaults) = newest_state(&fork.twin);
    fs::remove_dir_all(fork.twin.cache()).unwrap();
    vaults.iter().for_each(|name| remove(&fork.twin.store.join(name)));
    fork.twin.rebuild_cache().whole();
    vaults
        .iter()
        .for_each(|name| assert!(fs::copy(series.store.join(name), fork.twin.store.join(name)).is_ok()));
    let series_dir = cached(&fork.twin)[0].parent().unwrap().to_path_buf();
    let copies = fork.twin.fork();
    let twins_dir = copies.twin.cache().join(series_dir.file_name().unwrap());
    for name in &vaults {
        fs::copy(series.store.join(name), twins_dir.join(name)).unwrap();
    }
    for (twin, made) in [(&copies.twin, 0), (&fork.twin, vaults.len())] {
        let unhealed = twin.fork();
        let report = twin.rebuild_cache().whole();
        assert_eq!(report.files.len(), made);
        assert_cache_is_whole(twin);
        let states = stored::state_files(&twin.newest("state"));
        assert_eq!(cached(twin).len(), states.len() + vaults.len());
        if made == 0 {
            assert_eq!(increment(&unhealed)["sigvault"], expected["sigvault"], "saved for nothing");
        }
    }
    let added = increment(&fork);
    assert_as_small(&added, &expected);
    assert_eq!(added["sigvault"], expected["sigvault"], "signatures were saved for nothing");
}

/// If the newest state is damaged, a rebuild uses the state before it, and so does the next increment.
#[test]
fn a_damaged_state_is_passed_over() {
    let series = a_chain();
    fs::remove_dir_all(series.cache()).unwrap();
    spoil(&series.newest("state"));
    let report = series.rebuild_cache().partial();
    assert_eq!(report.snapshot, Some(series.points[1].stamp));
    series.incremental().partial();
    series.assert_newest_is_the_source();
    let one = Series::new();
    one.write("f", "f");
    one.full().whole();
    fs::remove_dir_all(one.cache()).unwrap();
    spoil(&one.newest("state"));
    one.rebuild_cache().refused(Kind::Corrupt);
}

#[test]
fn nothing_to_rebuild_from_is_told_without_a_trace() {
    let series = Series::new();
    refused(&series, Kind::NotFound, Series::rebuild_cache);
    assert!(!series.store.exists() && !series.cache().exists());
}

#[test]
fn without_a_cache_directory_one_is_asked_for() {
    if let Some(store) = child_role() {
        let mut series = Series::new();
        series.store = store.into();
        series.options.cache_dir = None;
        let error = series.rebuild_cache().refused(Kind::InvalidArg);
        assert!(error.to_string().contains("cache directory"), "{error}");
        return;
    }
    let series = a_chain();
    let binary = std::env::current_exe().unwrap();
    let role = series.store.to_str().unwrap();
    let mut again = this_test_again(&binary, "without_a_cache_directory_one_is_asked_for", role);
    run(again.env_remove("HOME").env_remove("XDG_CACHE_HOME"));
}

#[test]
fn an_empty_cache_directory_means_no_cache() {
    if let Some(place) = child_role() {
        std::env::set_current_dir(&place).unwrap();
        let mut series = Series::new();
        series.options.cache_dir = Some(Default::default());
        series.write("a", noise(1, 100_000));
        series.snapshot();
        series.write("a", [noise(1, 100_000), noise(2, 5000)].concat());
        series.snapshot();
        // The signature came from the store: the change is stored as a delta.
        assert!(series.stored().keys().any(|name| name.contains(".updated.")), "{:?}", series.stored());
        series.consolidate().whole();
        series.prune(&series.keeping(ibt::job::Keep { last: 1, ..Default::default() })).whole();
        series.assert_newest_is_the_source();
        let error = series.rebuild_cache().refused(Kind::InvalidArg);
        assert!(error.to_string().contains("cache directory"), "{error}");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let binary = std::env::current_exe().unwrap();
    let role = place.path().to_str().unwrap();
    let mut again = this_test_again(&binary, "an_empty_cache_directory_means_no_cache", role);
    run(again.env("HOME", place.path()).env("XDG_CACHE_HOME", place.path().join("cache")));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

/// Cancels at the progress callback of this number.
struct StopAt(u32);

impl Observer for StopAt {
    fn progress(&mut self, _: &Progress) -> Flow {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 { Flow::Cancel } else { Flow::Continue }
    }
}

#[test]
fn a_cancelled_rebuild_leaves_nothing_half_made() {
    let series = a_chain();
    let (_, _, vaults) = newest_state(&series);
    fs::remove_dir_all(series.cache()).unwrap();
    vaults.iter().for_each(|name| remove(&series.store.join(name)));
    let before = series.stored();
    let rebuild = |options: &Options, observer: &mut dyn Observer| {
        series.run(options, &Cancel::default(), observer, |store, job| {
            ibt::retain::rebuild_cache(store, KEY, job)
        })
    };
    let mut cancelled = 0;
    for at in 1..50 {
        let outcome = rebuild(&series.options, &mut StopAt(at));
        if outcome.result.is_ok() {
            break;
        }
        outcome.refused(Kind::Cancelled);
        cancelled += 1;
        assert!(!names(&cached(&series)).iter().any(|name| name.starts_with(".ibt-tmp")));
    }
    assert!(cancelled > 0);
    assert_eq!(series.stored(), before);
    let report: Report = rebuild(&series.options, &mut Silent).whole();
    assert_eq!(report.files.iter().filter(|file| file.name.ends_with(".stream")).count(), vaults.len());
}
