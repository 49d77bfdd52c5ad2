//! Snapshots that a later version of libibt has written: entries of unknown types, hashes of unknown algorithms, and
//! fields that this version does not know. Nothing of them is refused or lost.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ibt::entry::{FileType, Hash};
use ibt::error::Kind;
use ibt::inspect::Snapshot;
use ibt::job::{Job, Keep, Observer, Options, Overwrite, ProblemKind, Report, Select, Silent};
use ibt::store::DirStore;
use support::facts::TreeFacts;
use support::series::{KEY, problem_paths};
use support::*;

/// Gives the newest snapshot, whose state is at `state`, other entry lines, and computes all digests again.
/// `change` gets the lines of the state file itself, in their order, and may add lines.
fn with_lines(state: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let text = String::from_utf8(stored::document(state)).unwrap();
    let (header, rest) = text.split_once("\"entries\":[\n").unwrap();
    let (lines, trailer) = rest.split_once("\n],\n").unwrap();
    let mut lines: Vec<String> = lines.lines().map(|line| line.trim_end_matches(',').to_string()).collect();
    change(&mut lines);
    lines.sort_by_cached_key(|line| components(line));
    let sealed = |trailer: &str| format!("{header}\"entries\":[\n{}\n],\n{trailer}", lines.join(",\n"));
    stored::rewrite(state, &sealed(trailer));
    // The tree digest and the number of entries are those of the merged lines of all layers.
    let logical = stored::logical_lines(state);
    let count = logical.iter().filter(|&&byte| byte == b'\n').count();
    let tree = Hash::from(blake3::hash(&logical)).to_string();
    let totals = value(trailer, "\"totals\":{\"entries\":", ',');
    let trailer = trailer.replace(&format!("\"entries\":{totals},"), &format!("\"entries\":{count},"));
    let old = value(&trailer, "\"tree\":\"", '"').to_string();
    stored::rewrite(state, &sealed(&trailer.replace(&old, &tree)));
}

/// The text after `key` and before `end`.
fn value<'t>(text: &'t str, key: &str, end: char) -> &'t str {
    text.split_once(key).unwrap().1.split_once(end).unwrap().0
}

fn components(line: &str) -> Vec<Vec<u8>> {
    let path = ibt::text::decode_name(line.split('"').nth(3).unwrap()).unwrap();
    path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
}

/// The index of the line of `path`.
fn at(lines: &[String], path: &str) -> usize {
    let start = format!("{{\"path\":\"{path}\",");
    lines.iter().position(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no line of {path}"))
}

/// The line of `path` in the newest snapshot: in its own state, or in the newest layer that has it.
#[track_caller]
fn newest_line(series: &Series, path: &str) -> String {
    let start = format!("{{\"path\":\"{path}\",\"type\":");
    let files = stored::state_files(&series.newest("state"));
    let texts = files.iter().map(|file| String::from_utf8(stored::document(file)).unwrap());
    let line = texts.into_iter().find_map(|text| {
        let mut lines = text.lines().map(|line| line.trim_end_matches(',').to_string());
        lines.find(|line| line.starts_with(&start))
    });
    line.unwrap_or_else(|| panic!("no line of {path}"))
}

/// The line of a socket as a later version records it, with the stat of the socket at `path`.
fn door(path: &Path, name: &str) -> String {
    let now = fs::symlink_metadata(path).unwrap();
    let (mtime, ctime) = ((now.mtime(), now.mtime_nsec()), (now.ctime(), now.ctime_nsec()));
    format!(
        "{{\"path\":\"{name}\",\"type\":\"door\",\"mode\":\"0755\",\"uid\":0,\"gid\":0,\"mtime\":\"{}.{:09}\",\
         \"flags\":[\"ajar\"],\"target\":{{\"to\":[1.0e2,\"\\u0001\"]}},\"size\":\"small\",\"knob\":null,\
         \"at\":{{\"ino\":\"{}\",\"ctime\":\"{}.{:09}\",\"dev\":\"340282366920938463463374607431768211455\"}}}}",
        mtime.0,
        mtime.1,
        now.ino(),
        ctime.0,
        ctime.1
    )
}

/// A listening socket in the source.
fn socket(series: &Series, name: &str) -> PathBuf {
    let path = series.source.join(name);
    drop(UnixListener::bind(&path).unwrap());
    path
}

/// A full of some files and of a socket, in which a later version has recorded the socket as an entry of a type of its
/// own. All stamps are so old that an unchanged entry counts as unchanged. Returns the line of the socket.
fn with_a_door() -> (Series, String) {
    let series = Series::new();
    series.write("a", noise(1, 60_000));
    series.write("dir/b", "small");
    series.write("dir/c", noise(2, 20_000));
    let path = socket(&series, "dir/door");
    std::thread::sleep(Duration::from_millis(2100));
    series.full().whole();
    let line = door(&path, "dir/door");
    with_lines(&series.newest("state"), |lines| {
        lines.push(line.clone());
        for (field, end) in [(",\"attributes\":{\"h\":1},\"at\":{", ",\"at\":{"), (",\"chunks\":[7]}}", "}}")]
        {
            let b = at(lines, "dir/b");
            lines[b] = lines[b].replacen(end, field, 1);
        }
    });
    (series, line)
}

/// The problems must be of entries that only a later version can restore, at these paths.
#[track_caller]
fn assert_unsupported(report: &Report, paths: &[&str]) {
    let losses = report.problems.iter().filter(|problem| !problem.kind.is_note());
    assert!(losses.clone().all(|problem| problem.kind == ProblemKind::Unsupported), "{:#?}", report.problems);
    let found: BTreeSet<_> = problem_paths(report, ProblemKind::Unsupported).into_iter().collect();
    assert_eq!(
        found,
        paths.iter().map(|path| path.to_string()).collect::<BTreeSet<_>>(),
        "{:#?}",
        report.problems
    );
}

fn without(mut facts: TreeFacts, paths: &[&str]) -> TreeFacts {
    paths.iter().for_each(|path| drop(facts.remove(path.as_bytes())));
    facts
}

/// The types that a list of the newest snapshot shows.
fn types(series: &Series) -> Vec<(String, FileType)> {
    let (mut silent, cancel) = (Silent, Default::default());
    let mut job = Job::new(&series.options, &cancel, &mut silent);
    let mut snapshot = Snapshot::open(&mut DirStore::open(&series.store), KEY, &mut job).unwrap();
    let mut found = Vec::new();
    while let Some(entry) = snapshot.next_entry().unwrap() {
        found.push((String::from_utf8_lossy(entry.path.as_bytes()).into_owned(), entry.node.file_type()));
    }
    found
}

/// Runs every operation that reads the newest snapshot. `unknown` are the paths of the entries that only a later
/// version can restore.
#[track_caller]
fn assert_read_by_all(series: &Series, unknown: &[&str]) {
    series.list().whole();
    let listed = types(series).into_iter().filter(|(_, file_type)| *file_type == FileType::Unknown);
    assert_eq!(listed.map(|(path, _)| path).collect::<Vec<_>>(), unknown);
    assert_unsupported(&series.verify(&series.options).partial(), unknown);
    let dest = series.beside("restored");
    assert_unsupported(&series.restore(Select::Newest, &dest).partial(), unknown);
    assert_same_facts(&without(facts(&series.source), unknown), &facts(&dest));
    let mut changes = ReportedChanges::default();
    let compared = |series: &Series, changes: &mut dyn Observer, tree: &Path| {
        let compare =
            |store: &mut dyn ibt::store::Store, job: &mut Job| ibt::inspect::compare(store, KEY, tree, job);
        series.run(&series.options, &Default::default(), changes, compare).partial()
    };
    assert_unsupported(&compared(series, &mut changes, &dest), unknown);
    assert_unsupported(&compared(series, &mut changes, &series.source), unknown);
    assert!(changes.0.is_empty(), "{:?}", changes.0);
    support::series::remove(&dest);
}

#[test]
fn an_entry_of_an_unknown_type_passes_through_every_operation() {
    let (series, line) = with_a_door();
    assert_read_by_all(&series, &["dir/door"]);
    // Increments whose states have layers, and then one whose state is whole.
    let marked = newest_line(&series, "dir/b");
    for round in 0..10u64 {
        series.write("a", noise(round, 60_000 + round as usize));
        series.write(&format!("new {round}"), noise(round, 100));
        assert_unsupported(&series.incremental().partial(), &["dir/door"]);
        assert_eq!(newest_line(&series, "dir/door"), line, "round {round}");
        assert_eq!(newest_line(&series, "dir/b"), marked, "round {round}");
    }
    assert_read_by_all(&series, &["dir/door"]);
    series.consolidate().whole();
    assert_eq!(newest_line(&series, "dir/door"), line);
    let content = |line: &str| line.split_once(",\"content\":[[").map(|(before, _)| before.to_string());
    assert_eq!(content(&newest_line(&series, "dir/b")), content(&marked));
    assert!(newest_line(&series, "dir/b").ends_with("]],\"chunks\":[7]}}"));
    series.prune(&series.keeping(Keep { last: 1, ..Keep::NONE })).whole();
    assert_read_by_all(&series, &["dir/door"]);
    fs::remove_file(series.source.join("dir/door")).unwrap();
    series.incremental().whole();
    assert!(!types(&series).iter().any(|(path, _)| path == "dir/door"));
    series.verify(&series.selecting(Select::Newest)).ok();
    series.assert_newest_is_the_source();
}

/// A socket that changed is kept too, and a later version reads it again.
#[test]
fn an_entry_of_an_unknown_type_that_may_have_changed_is_dirty() {
    let (series, line) = with_a_door();
    let path = series.source.join("dir/door");
    fs::remove_file(&path).unwrap();
    socket(&series, "dir/door");
    assert_unsupported(&series.incremental().partial(), &["dir/door"]);
    let dirty = format!("{},\"dirty\":true,\"dev\"", line.split_once(",\"dev\"").unwrap().0);
    assert!(newest_line(&series, "dir/door").starts_with(&dirty), "{}", newest_line(&series, "dir/door"));
    // Something that this version knows replaces the entry.
    fs::remove_file(&path).unwrap();
    series.write("dir/door", "a file");
    series.incremental().whole();
    series.assert_newest_is_the_source();
}

/// A restore over a tree leaves alone what has the path of an entry that it cannot restore. The source has nothing at
/// this path, so no omission of the snapshot protects it.
#[test]
fn a_restore_keeps_the_place_of_an_entry_of_an_unknown_type() {
    for in_the_way in ["nothing", "file", "directory"] {
        let (series, _) = with_a_door();
        let hatch = door(&series.source.join("dir/door"), "dir/hatch");
        with_lines(&series.newest("state"), |lines| lines.push(hatch));
        let dest = series.beside("over");
        fs::create_dir_all(dest.join("dir")).unwrap();
        let path = dest.join("dir/hatch");
        match in_the_way {
            "file" => fs::write(&path, "mine").unwrap(),
            "directory" => {
                fs::create_dir(&path).unwrap();
                fs::write(path.join("below"), "mine").unwrap();
            }
            _ => {}
        }
        fs::write(dest.join("dir/extra"), "extra").unwrap();
        for dry_run in [true, false] {
            let overwrite = Overwrite::IfDifferent;
            let options = Options { overwrite, delete_extra: true, dry_run, ..series.options.clone() };
            let report = series.restore_with(&options, &dest, &mut Silent).partial();
            assert_unsupported(&report, &["dir/door", "dir/hatch"]);
        }
        match in_the_way {
            "file" => assert_eq!(fs::read(&path).unwrap(), b"mine"),
            "directory" => assert_eq!(fs::read(path.join("below")).unwrap(), b"mine"),
            _ => assert!(!path.exists()),
        }
        assert!(!dest.join("dir/extra").exists());
        let names = ["dir/door", "dir/hatch", "dir/hatch/below", "dir"];
        assert_same_facts(&without(facts(&series.source), &names), &without(facts(&dest), &names));
    }
}

/// A file whose hash has an unknown algorithm cannot be checked. It is kept with its content and left out by a restore.
#[test]
fn a_content_with_an_unknown_hash_is_kept_and_not_restored() {
    let mut series = Series::with_two_snapshots();
    let mut line = String::new();
    with_lines(&series.newest("state"), |lines| {
        let a = at(lines, "a");
        let hash = value(&lines[a], ",\"hash\":\"", '"').to_string();
        lines[a] = lines[a].replacen(&hash, "sha4-512:00ff", 1);
        line.clone_from(&lines[a]);
    });
    assert_read_by_all(&series, &["a"]);
    // What is extra may be the content under its old name.
    let dest = series.beside("over");
    fs::create_dir(&dest).unwrap();
    fs::write(dest.join("old name"), noise(1, 60_000)).unwrap();
    let (overwrite, delete_extra) = (Overwrite::IfDifferent, true);
    let options = Options { overwrite, delete_extra, ..series.options.clone() };
    let report = series.restore_with(&options, &dest, &mut Silent).partial();
    assert_eq!(problem_paths(&report, ProblemKind::Unsupported), ["a"]);
    assert!(dest.join("old name").exists() && !dest.join("a").exists());
    let (mut silent, cancel) = (Silent, Default::default());
    let mut job = Job::new(&series.options, &cancel, &mut silent);
    let mut store = DirStore::open(&series.store);
    let mut snapshot = Snapshot::open(&mut store, KEY, &mut job).unwrap();
    let path = ibt::entry::Path::new(*b"a").unwrap();
    let read = snapshot.read(&mut store, &path, 0, 9, &mut |_| ibt::job::Flow::Continue);
    assert_eq!(read.unwrap_err().kind, Kind::Unsupported);

    // The consolidated snapshot needs the archives of that content, and a prune keeps them.
    let before = without_places(&line);
    series.consolidate().whole();
    assert_eq!(without_places(&newest_line(&series, "a")), before);
    series.prune(&series.keeping(Keep { last: 1, ..Keep::NONE })).whole();
    let state = stored::parse(&series.newest("state"));
    let entry = stored::entry(&state, "a");
    let whole = stored::range(&series.store, &state, &entry["at"]["content"][0]);
    assert_eq!(whole, noise(1, 60_000));
    assert_read_by_all(&series, &["a"]);

    // The next increment reads the file.
    series.points.clear();
    let report = series.incremental().whole();
    series.keep(&report);
    series.assert_every_point_restores();
    series.verify(&series.selecting(Select::Newest)).ok();
}

/// The line without the ranges of its content and signature.
fn without_places(line: &str) -> Vec<String> {
    line.split("\"content\":[[").map(|part| part.split("]]").last().unwrap().to_string()).collect()
}

/// A signature whose hash has an unknown algorithm is kept, and not used: a changed file is stored whole.
#[test]
fn a_signature_with_an_unknown_hash_is_kept_and_not_used() {
    let mut series = Series::new();
    series.options.delta = ibt::job::DeltaMode::Signatures;
    series.write("a", noise(1, 60_000));
    series.write("b", noise(2, 60_000));
    std::thread::sleep(Duration::from_millis(2100));
    series.snapshot();
    with_lines(&series.newest("state"), |lines| {
        for path in ["a", "b"] {
            let line = at(lines, path);
            let (start, sig) = lines[line].split_once("\"sig\":{").unwrap();
            let hash = value(sig, "\"hash\":\"", '"');
            lines[line] = format!("{start}\"sig\":{{{}", sig.replacen(hash, "sha4-512:00ff", 1));
        }
    });
    let kept = newest_line(&series, "b");
    assert_unsupported(&series.verify(&series.options).partial(), &["a", "b"]);
    series.assert_every_point_restores();
    series.write("a", [noise(1, 60_000), noise(3, 500)].concat());
    for heal in [false, true] {
        series.options.heal = heal;
        series.snapshot();
        assert_eq!(newest_line(&series, "b"), kept, "heal: {heal}");
    }
    let a = stored::entry(&stored::parse(&series.newest("state")), "a");
    assert_eq!(a["at"]["content"].as_array().unwrap().len(), 1, "{a}");
    assert_eq!(a["at"]["content"][0][2], 60_500);
    assert!(a["at"]["sig"]["hash"].as_str().unwrap().starts_with("blake3:"));
    series.assert_every_point_restores();
    assert_unsupported(&series.verify(&series.selecting(Select::Newest)).partial(), &["a", "b"]);
    // A consolidation makes all signatures again.
    series.consolidate().whole();
    let selected = series.list().whole().snapshots.iter().map(|snapshot| snapshot.stamp).max().unwrap();
    series.verify(&series.selecting(Select::Exactly(selected))).whole();
}

/// Entries of a system without modes and numbers of owners get those that the process gives to new files.
#[test]
fn entries_without_mode_and_owner_get_the_usual_ones() {
    let series = Series::new();
    series.write("dir/f", noise(1, 60_000));
    series.write("dir/small", "small");
    run(tools::command("mkfifo", ["pipe"]).current_dir(&series.source));
    std::os::unix::fs::symlink("nowhere", series.source.join("link")).unwrap();
    run(tools::command("chmod", ["-R", "u=rwx,go="]).arg(&series.source));
    std::thread::sleep(Duration::from_millis(2100));
    series.full().whole();
    with_lines(&series.newest("state"), |lines| {
        for line in lines {
            let (path, rest) = line.split_once(",\"mode\":").unwrap();
            let (_, rest) = rest.split_once(",\"mtime\":").unwrap();
            *line = format!("{path},\"mtime\":{rest}");
        }
    });
    let usual = |made: PathBuf| {
        let now = fs::metadata(&made).unwrap();
        (now.mode() & 0o7777, now.uid(), now.gid())
    };
    fs::create_dir(series.beside("usual")).unwrap();
    fs::write(series.beside("usual/file"), "").unwrap();
    let (dir, file) = (usual(series.beside("usual")), usual(series.beside("usual/file")));
    let assert_usual = |dest: &Path| {
        for (path, expected) in
            [("", dir), ("dir", dir), ("dir/f", file), ("dir/small", file), ("pipe", file)]
        {
            assert_eq!(usual(dest.join(path)), expected, "{path}");
        }
        assert_eq!(fs::read(dest.join("dir/f")).unwrap(), noise(1, 60_000));
        assert_eq!(fs::read_link(dest.join("link")).unwrap(), Path::new("nowhere"));
    };
    let dest = series.beside("restored");
    series.restore(Select::Newest, &dest).whole();
    assert_usual(&dest);

    // The modes and owners of an existing tree are not compared, and stay.
    let mut changes = ReportedChanges::default();
    let compare =
        |store: &mut dyn ibt::store::Store, job: &mut Job| ibt::inspect::compare(store, KEY, &dest, job);
    run(tools::command("chmod", ["-R", "u=rwx,go=x"]).arg(&dest));
    series.run(&series.options, &Default::default(), &mut changes, compare).whole();
    assert!(changes.0.is_empty(), "{:?}", changes.0);
    let options = Options { overwrite: Overwrite::IfDifferent, ..series.options.clone() };
    let report = series.restore_with(&options, &dest, &mut changes).whole();
    assert!(changes.0.is_empty(), "{:?}: {report:#?}", changes.0);
    fs::write(dest.join("dir/f"), "changed").unwrap();
    fs::write(dest.join("dir/small"), "small").unwrap();
    series.restore_with(&options, &dest, &mut changes).whole();
    assert_eq!(usual(dest.join("dir/f")), file, "a file that was replaced is a new one");
    assert_eq!(usual(dest.join("dir/small")).0, 0o711, "only its time was wrong");
    assert_eq!(usual(dest.join("dir")).0, 0o711);

    // Unchanged entries stay without, and so do those of a consolidated snapshot.
    series.write("new", "new");
    series.incremental().whole();
    assert!(!newest_line(&series, "dir/f").contains("\"mode\""), "{}", newest_line(&series, "dir/f"));
    series.consolidate().whole();
    assert!(!newest_line(&series, "dir/f").contains("\"mode\""));
    support::series::remove(&dest);
    series.restore(Select::Newest, &dest).whole();
    assert_eq!(usual(dest.join("dir/f")), file);
    assert_eq!(usual(dest.join("new")).0, usual(series.source.join("new")).0);
}

/// A device number of another system, and an inode number.
#[test]
fn numbers_of_128_bits_are_kept() {
    let series = Series::with_two_snapshots();
    let large = u128::MAX.to_string();
    let (mut device, mut line) = (String::new(), String::new());
    with_lines(&series.newest("state"), |lines| {
        let meta = "\"mode\":\"0600\",\"uid\":0,\"gid\":0,\"mtime\":\"1.000000000\"";
        device = format!(
            "{{\"path\":\"tape\",\"type\":\"char\",{meta},\"rdev\":\"{large}\",\"at\":{{\"ino\":\"{large}\",\
             \"ctime\":\"1.000000000\"}}}}"
        );
        lines.push(device.clone());
        let b = at(lines, "b");
        let ino = value(&lines[b], "\"ino\":\"", '"').to_string();
        lines[b] = lines[b].replacen(&format!("\"ino\":\"{ino}\""), &format!("\"ino\":\"{large}\""), 1);
        line.clone_from(&lines[b]);
    });
    let dest = series.beside("restored");
    assert_unsupported(&series.restore(Select::Newest, &dest).partial(), &["tape"]);
    assert_same_facts(&facts(&series.source), &facts(&dest));
    support::series::remove(&dest);
    series.consolidate().whole();
    assert_eq!(newest_line(&series, "tape"), device);
    assert_eq!(without_places(&newest_line(&series, "b")), without_places(&line));
    series.incremental().whole();
    assert!(!newest_line(&series, "b").contains(&large), "the file has a number of its own");
    series.assert_newest_is_the_source();
}

#[test]
fn a_consolidated_snapshot_has_the_unknown_fields_of_the_header() {
    let series = Series::with_two_snapshots();
    let state = series.newest("state");
    let fields = ",\n\"sources\":[{\"path\" : \"/b\"},1e400],\"later\":\"\\ud800\",\n\"entries\":[\n";
    stored::forge(&state, ",\n\"entries\":[\n", fields);
    series.consolidate().whole();
    let text = String::from_utf8(stored::document(&series.newest("state"))).unwrap();
    assert!(
        text.contains(",\"sources\":[{\"path\" : \"/b\"},1e400],\"later\":\"\\ud800\",\n\"entries\":[\n"),
        "{text}"
    );
    series.assert_newest_is_the_source();
}

/// Gives the file at `path` in the newest snapshot a hash of an unknown algorithm.
fn forge_hash(series: &Series, path: &str) {
    with_lines(&series.newest("state"), |lines| {
        let line = at(lines, path);
        let hash = value(&lines[line], ",\"hash\":\"", '"').to_string();
        lines[line] = lines[line].replacen(&hash, "sha4-512:00ff", 1);
    });
}

/// Every name of an inode of an unknown type is kept. An increment writes the names without their link, and dirty, so
/// that a later version reads them again.
#[test]
fn hard_links_of_an_unknown_type_are_kept() {
    let series = Series::new();
    let path = socket(&series, "door");
    fs::hard_link(&path, series.source.join("door2")).unwrap();
    std::thread::sleep(Duration::from_millis(2100));
    series.full().whole();
    let [first, further] = [("door", "\"linked\":true"), ("door2", "\"link\":\"door\"")]
        .map(|(name, link)| door(&path, name).replacen(",\"at\":{", &format!(",{link},\"at\":{{"), 1));
    with_lines(&series.newest("state"), |lines| lines.extend([first.clone(), further.clone()]));
    assert_read_by_all(&series, &["door", "door2"]);
    series.consolidate().whole();
    assert_eq!([newest_line(&series, "door"), newest_line(&series, "door2")], [first, further]);
    for _ in 0..2 {
        assert_unsupported(&series.incremental().partial(), &["door", "door2"]);
        for name in ["door", "door2"] {
            let plain = door(&path, name);
            let dirty = plain.replacen(",\"dev\"", ",\"dirty\":true,\"dev\"", 1);
            assert_eq!(newest_line(&series, name), dirty);
        }
    }
    assert_read_by_all(&series, &["door", "door2"]);
}

/// A content that cannot be checked stays in its archive, so a consolidation needs that archive. It does not need the
/// signature, and has nothing to do the next time.
#[test]
fn a_consolidation_copies_no_content_with_an_unknown_hash() {
    let series = Series::new();
    series.write("a", noise(1, 60_000));
    series.write("b", noise(2, 60_000));
    series.full().whole();
    forge_hash(&series, "a");
    let archive = series.newest("full");
    fs::remove_file(series.newest("sigvault")).unwrap();
    series.consolidate().whole();
    let line = newest_line(&series, "a");
    assert!(line.contains("\"content\":[[") && !line.contains("\"sig\""), "{line}");
    let stored = series.stored();
    series.consolidate().whole();
    assert_eq!(series.stored(), stored, "it was consolidated twice");
    series.prune(&series.keeping(Keep { last: 1, ..Keep::NONE })).whole();
    assert!(archive.exists());
    // Without the archive, the content is lost. A verify names the file.
    fs::remove_file(&archive).unwrap();
    let stored = series.stored();
    series.consolidate().refused(Kind::Missing);
    assert_eq!(series.stored(), stored);
    let report = series.verify(&series.options).partial();
    assert_eq!(problem_paths(&report, ProblemKind::Missing), ["a"]);
    assert_eq!(problem_paths(&report, ProblemKind::Unsupported), Vec::<String>::new());
}

/// The part of an archive that only a content of an unknown algorithm needs is needed: an increment that heals does not
/// report its damage as a note.
#[test]
fn a_damaged_part_of_a_content_with_an_unknown_hash_is_no_note() {
    let mut series = Series::new();
    series.options.part_size = 64 << 10;
    series.write("a", noise(1, 300_000));
    series.write("b", noise(2, 10_000));
    std::thread::sleep(Duration::from_millis(2100));
    series.full().whole();
    forge_hash(&series, "a");
    let full = series.newest("full").display().to_string();
    let part = format!("{}.00002", full.split_inclusive(".zst").next().unwrap());
    fs::write(&part, vec![0; fs::metadata(&part).unwrap().len() as usize]).unwrap();
    series.options.heal = true;
    let report = series.incremental().partial();
    let of_part = report
        .problems
        .iter()
        .filter(|problem| problem.file.as_ref().is_some_and(|file| part.ends_with(file)));
    let kinds: Vec<_> = of_part.map(|problem| problem.kind).collect();
    assert!(!kinds.is_empty() && !kinds.contains(&ProblemKind::Unneeded), "{:?}", report.problems);
}

/// The archive of a content that cannot be checked may have lost a part that only the contents had which were copied.
#[test]
fn a_consolidation_is_not_repeated_for_a_part_that_nothing_needs() {
    let mut series = Series::new();
    series.options.part_size = 64 << 10;
    series.write("a", noise(1, 100_000));
    series.write("b", noise(2, 300_000));
    series.full().whole();
    forge_hash(&series, "a");
    let parts: Vec<_> = series.archives().into_iter().filter(|path| is_part_of_a_full(path)).collect();
    fs::remove_file(series.newest("sigvault")).unwrap();
    series.consolidate().whole();
    for lost in parts.iter().rev().take(2) {
        fs::remove_file(lost).unwrap();
        let stored = series.stored();
        series.consolidate().whole();
        assert_eq!(series.stored(), stored, "it was consolidated again without {}", lost.display());
    }
    // A part that the content needs.
    fs::remove_file(&parts[0]).unwrap();
    series.consolidate().refused(Kind::Missing);
}

fn is_part_of_a_full(path: &Path) -> bool {
    path.extension().is_some_and(|end| end != "zst") && path.to_string_lossy().contains(".full.")
}

/// The contents of entries of later versions can be lost like those of files.
#[test]
fn a_lost_content_with_an_unknown_hash_is_reported() {
    for source in ["has the file", "has a link", "has nothing"] {
        let series = Series::new();
        series.write("a", noise(1, 60_000));
        series.write("b", "b");
        series.full().whole();
        forge_hash(&series, "a");
        fs::remove_file(series.newest("full")).unwrap();
        let path = series.source.join("a");
        if source != "has the file" {
            fs::remove_file(&path).unwrap();
        }
        if source == "has a link" {
            std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        }
        let report = series.incremental().partial();
        let (lost, healed) = match source {
            "has the file" => (vec![], vec!["a", "b"]),
            _ => (vec!["a"], vec!["b"]),
        };
        assert_eq!(problem_paths(&report, ProblemKind::Lost), lost, "{source}");
        assert_eq!(problem_paths(&report, ProblemKind::Healed), healed, "{source}");
        series.assert_newest_is_the_source();
    }
}

/// The state lists the loss of an entry that it keeps, so each later increment reports the loss again.
#[test]
fn a_lost_content_of_an_unknown_type_is_remembered() {
    let (mut series, _) = with_a_door();
    with_lines(&series.newest("state"), |lines| {
        let line = at(lines, "dir/door");
        lines[line] = lines[line].replacen(",\"dev\":", ",\"content\":[[0,512,9]],\"dev\":", 1);
    });
    let archive = series.newest("full");
    fs::write(&archive, vec![0; fs::metadata(&archive).unwrap().len() as usize]).unwrap();
    for heal in [true, false, false] {
        series.options.heal = heal;
        let report = series.incremental().partial();
        assert_eq!(problem_paths(&report, ProblemKind::Lost), ["dir/door"], "heal: {heal}");
        assert!(newest_line(&series, "dir/door").contains("\"content\":[["), "heal: {heal}");
    }
    // The source has a file, which is another content.
    fs::remove_file(series.source.join("dir/door")).unwrap();
    series.write("dir/door", "a file");
    let report = series.incremental().partial();
    assert_eq!(problem_paths(&report, ProblemKind::Lost), ["dir/door"]);
    series.assert_newest_is_the_source();
    series.incremental().whole();
}

/// A file is no socket, whatever the algorithm of its hash.
#[test]
fn a_socket_takes_the_place_of_a_file_with_an_unknown_hash() {
    let series = Series::with_two_snapshots();
    forge_hash(&series, "a");
    fs::remove_file(series.source.join("a")).unwrap();
    socket(&series, "a");
    let report = series.incremental().whole();
    assert_eq!(problem_paths(&report, ProblemKind::Skipped), ["a"]);
    assert!(!types(&series).iter().any(|(path, _)| path == "a"));
}

/// The destination may have a content that cannot be restored under an older name, also one that comes first.
#[test]
fn what_may_be_an_unknown_content_does_not_make_way() {
    let series = Series::new();
    series.write("a", "a file");
    series.write("b", noise(2, 60_000));
    series.full().whole();
    forge_hash(&series, "b");
    let dest = series.beside("over");
    fs::create_dir_all(dest.join("a")).unwrap();
    fs::write(dest.join("a/old name"), noise(2, 60_000)).unwrap();
    for dry_run in [true, false] {
        let (overwrite, delete_extra) = (Overwrite::IfDifferent, true);
        let options = Options { overwrite, delete_extra, dry_run, ..series.options.clone() };
        let report = series.restore_with(&options, &dest, &mut Silent).partial();
        assert_eq!(problem_paths(&report, ProblemKind::Unsupported), ["b"]);
        // The root has a problem because no extra entry is removed.
        assert_eq!(problem_paths(&report, ProblemKind::Obstructed), ["", "a"]);
    }
    assert_eq!(fs::read(dest.join("a/old name")).unwrap(), noise(2, 60_000));
}

/// The recipes of `docs/format.md` leave out what they cannot restore, and do not touch a file that has its path.
#[test]
fn the_recipes_leave_out_what_a_later_version_is_needed_for() {
    let (series, _) = with_a_door();
    forge_hash(&series, "a");
    with_lines(&series.newest("state"), |lines| {
        let meta = "\"mode\":\"0644\",\"uid\":0,\"gid\":0,\"mtime\":\"1.000000000\"";
        lines.push(format!(
            "{{\"path\":\"tape\",\"type\":\"char\",{meta},\"rdev\":\"18446744073709551621\",\
             \"at\":{{\"ctime\":\"1.000000000\"}}}}"
        ));
    });
    let out = series.beside("out");
    fs::create_dir_all(out.join("dir")).unwrap();
    let left_out = ["a", "dir/door", "tape"];
    for path in left_out {
        fs::write(out.join(path), "mine").unwrap();
        run(tools::command("chmod", ["0600"]).arg(out.join(path)));
    }
    let recipes = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/format.md")).unwrap();
    let blocks = recipes.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let program = format!("set -e\n{}\ncheck\ntree \"$out\"\n", blocks.collect::<String>());
    let work = series.beside("work");
    fs::create_dir(&work).unwrap();
    let output = tools::command("bash", ["-c", &program])
        .current_dir(&series.store)
        .env("STATE", series.newest("state").file_name().unwrap())
        .envs([("work", &work), ("out", &out)])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let mut lines: Vec<_> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, left_out.map(|path| format!("left out: {path}")));
    for path in left_out {
        let now = fs::metadata(out.join(path)).unwrap();
        assert_eq!(
            (fs::read(out.join(path)).unwrap(), now.mode() & 0o7777),
            (b"mine".to_vec(), 0o600),
            "{path}"
        );
    }
    assert_eq!(fs::read(out.join("dir/c")).unwrap(), noise(2, 20_000));
}
