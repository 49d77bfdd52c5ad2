//! Stores with right digests and hostile contents. The limits of the format bound the memory that a reader
//! uses, and no content aborts the process. Each operation runs in a child process with little address space.

mod support;

use std::cell::Cell;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use ibt::entry::Hash;
use ibt::error::{Kind, Result};
use ibt::job::{Cancel, Codec, Job, Options, Silent};
use ibt::store::DirStore;
use ibt::{inspect, restore, retain};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use rustix::process::{Resource, Rlimit, setrlimit};
use support::stored;
use support::tools::{CHILD, cases, child_role, noise, this_test_again};

const STAMP: &str = "20261101T000000.000000Z";
const ARCHIVE: &str = "k.full.20261101T000000.000000Z.tar.zst";
/// Address space of a child, in bytes. The test program, its threads' stacks and their heaps take about a
/// third.
const ADDRESS_SPACE: u64 = 320 << 20;

/// The child process of [`cost`]: runs one operation on one store, which succeeds or fails with a typed
/// error.
#[test]
fn child() {
    let Some(role) = child_role() else { return };
    let limit = Rlimit { current: Some(ADDRESS_SPACE), maximum: Some(ADDRESS_SPACE) };
    setrlimit(Resource::As, limit).unwrap();
    let (operation, dir) = role.split_once(':').unwrap();
    let dir = Path::new(dir);
    let options = Options { cache_dir: Some(dir.join("cache")), threads: 2, ..Options::default() };
    let (cancel, mut silent) = (Cancel::default(), Silent);
    let mut job = Job::new(&options, &cancel, &mut silent);
    let mut store = DirStore::open(dir.join("store"));
    let done = match operation {
        "list" => inspect::list(&mut store, None, &mut job),
        "verify" => inspect::verify(&mut store, Some("k"), &mut job),
        "restore" => restore::restore(&mut store, "k", &dir.join("restored"), &mut job),
        "consolidate" => retain::consolidate(&mut store, "k", &mut job),
        _ => panic!("{operation}"),
    };
    println!("ended: {}", ended(&done, &job));
}

fn ended(done: &Result<()>, job: &Job<'_>) -> String {
    match done {
        Err(error) => {
            assert!(error.kind != Kind::Panic && error.to_string().len() < 20_000, "{error}");
            format!("{:?}", error.kind)
        }
        Ok(()) if job.report.is_partial() => "partial".into(),
        Ok(()) => "whole".into(),
    }
}

/// Returns how `operation` on the store below `dir` ended: "whole", "partial" or the kind of the error.
#[track_caller]
fn cost(operation: &str, dir: &Path) -> String {
    let role = format!("{operation}:{}", dir.display());
    let mut child = this_test_again(&std::env::current_exe().unwrap(), "child", &role);
    let output = child.env("TMPDIR", dir).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{operation}: {}\n{said}\n{errors}", output.status);
    let ended = said.lines().find_map(|line| line.split_once("ended: ")).unwrap_or_else(|| panic!("{said}"));
    ended.1.to_string()
}

/// A directory with an empty store in it.
fn place() -> tempfile::TempDir {
    assert!(std::env::var_os(CHILD).is_none());
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("store")).unwrap();
    dir
}

/// Writes a compressed state with these entry lines, archives and problems into the store.
fn put_state(dir: &Path, lines: &[String], archives: &str, problems: &str) {
    let mut text = format!(
        "{{\"format\":\"ibt-state\",\"version\":1,\"needs\":[],\"key\":\"k\",\"series\":\"{}\",\"host\":\"h\",\n\
         \"snapshot\":\"{STAMP}\",\"kind\":\"full\",\"seq\":1,\"source\":\"/src\",\n\"library\":\"x\",\
         \"scanned_at\":\"1793491200.000000000\",\"made_at\":\"1793491200.000000000\",\n\"entries\":[\n",
        "1".repeat(32)
    );
    text += &lines.join(",\n");
    let logical = lines.iter().map(|line| line.split(",\"at\":{").next().unwrap().to_string() + "\n");
    let tree = Hash::from(blake3::hash(logical.collect::<String>().as_bytes()));
    text += &format!(
        "\n],\n\"problems\":[{problems}],\n\
         \"archives\":[{archives}],\n\"totals\":{{\"entries\":{},\"bytes\":0,\"created\":0,\"modified\":0,\
         \"unchanged\":0,\"moved\":0,\"deleted\":0,\"metadata\":0,\"problems\":{}}},\n\
         \"finished_at\":\"1793491200.000000000\",\"tree\":\"{tree}\",\n",
        lines.len(),
        problems.matches("\"status\":").count()
    );
    let digests = stored::digest_lines(text.as_bytes());
    text += std::str::from_utf8(&digests).unwrap();
    let pool = std::sync::Arc::new(ibt::pool::Pool::new(1).unwrap());
    let mut frames = ibt::format::FrameWriter::new(Vec::new(), Codec::Zstd(1), pool);
    frames.write(text.as_bytes()).unwrap();
    fs::write(dir.join(format!("store/k.state.{STAMP}.json.zst")), frames.finish().unwrap().out).unwrap();
}

fn root() -> String {
    "{\"path\":\"\",\"type\":\"dir\",\"mode\":\"0755\",\"uid\":0,\"gid\":0,\"mtime\":\"1.000000000\",\
     \"at\":{\"ino\":\"2\",\"ctime\":\"1.000000000\"}}"
        .into()
}

/// The line of a file with this size and hash. `more` is inserted before the field `at`.
fn file(path: &str, size: u64, hash: Hash, more: &str, content: &str) -> String {
    format!(
        "{{\"path\":\"{path}\",\"type\":\"file\",\"mode\":\"0644\",\"uid\":0,\"gid\":0,\"mtime\":\"1.000000000\",\
         \"size\":{size},\"hash\":\"{hash}\"{more},\"at\":{{\"ino\":\"3\",\"ctime\":\"1.000000000\"{content}}}}}"
    )
}

/// `count` unknown fields of one object.
fn many_fields(count: usize) -> String {
    (0..count).map(|n| format!("\"{n:02x}\":0,")).collect()
}

#[test]
fn lists_of_objects_with_many_fields_take_no_more_memory_than_their_text() {
    let dir = place();
    let archive = format!(
        "{{{}\"name\":\"x\",\"kind\":\"full\",\"size\":0,\"stream\":0,\"digest\":\"{}\"}}",
        many_fields(240),
        Hash([0; 32])
    );
    put_state(dir.path(), &[root()], &vec![archive; 22_000].join(",\n"), "");
    // The archives do not exist, which a list reports.
    assert_eq!(cost("list", dir.path()), "partial");
    assert_eq!(cost("restore", dir.path()), "whole");
    let problem = format!("{{{}\"status\":\"\",\"message\":\"\"}}", many_fields(240));
    put_state(dir.path(), &[root()], "", &vec![problem; 9990].join(",\n"));
    assert_eq!(cost("list", dir.path()), "whole");
}

#[test]
fn entries_that_are_long_in_memory_are_not_held_side_by_side() {
    let dir = place();
    let (empty, more) = (Hash::from(blake3::hash(b"")), format!(",\"x\":\"{}\"", "a".repeat(15 << 20)));
    let mut lines = vec![root()];
    lines.extend((0..20).map(|n| file(&format!("f{n:02}"), 0, empty, &more, "")));
    put_state(dir.path(), &lines, "", "");
    assert_eq!(cost("restore", dir.path()), "whole");
    assert_eq!(cost("consolidate", dir.path()), "whole");
}

/// The archive is a sparse file. Its zstd frames are long in the store, but decompress to few bytes.
#[test]
fn frames_are_not_longer_stored_than_what_they_make_accounts_for() {
    for plain in [1u32, 1 << 20] {
        let dir = place();
        let (frames, stored) = (65u32, 64u32 << 20);
        let mut out = fs::File::create(dir.path().join("store").join(ARCHIVE)).unwrap();
        for n in 0..frames {
            out.seek(SeekFrom::Start(u64::from(n) * u64::from(stored))).unwrap();
            out.write_all(b"\x28\xb5\x2f\xfd\x00\x50").unwrap();
        }
        out.seek(SeekFrom::Start(u64::from(frames) * u64::from(stored))).unwrap();
        let mut table = Vec::new();
        table.extend_from_slice(&0x184D_2A5Eu32.to_le_bytes());
        table.extend_from_slice(&(frames * 8 + 9).to_le_bytes());
        for _ in 0..frames {
            table.extend_from_slice(&stored.to_le_bytes());
            table.extend_from_slice(&plain.to_le_bytes());
        }
        table.extend_from_slice(&frames.to_le_bytes());
        table.push(0);
        table.extend_from_slice(&0x8F92_EAB1u32.to_le_bytes());
        out.write_all(&table).unwrap();
        let (size, stream) = (out.metadata().unwrap().len(), u64::from(frames) * u64::from(plain));
        let archive = format!(
            "{{\"name\":\"{ARCHIVE}\",\"kind\":\"full\",\"size\":{size},\"stream\":{stream},\"digest\":\"{}\"}}",
            Hash([0; 32])
        );
        let lines = [root(), file("a", stream, Hash([1; 32]), "", &format!(",\"content\":[[0,0,{stream}]]"))];
        put_state(dir.path(), &lines, &archive, "");
        assert_eq!(cost("restore", dir.path()), "partial", "{plain}");
    }
}

/// Sizes whose sum exceeds 2^64, in entries that are valid one by one.
#[test]
fn sums_of_sizes_do_not_wrap_around() {
    let dir = place();
    let (empty, size) = (Hash::from(blake3::hash(b"")), u64::MAX);
    let lines = [
        root(),
        file("a", size, empty, &format!(",\"holes\":[[0,{size}]]"), ""),
        file("b", size, empty, &format!(",\"holes\":[[0,{size}]]"), ""),
    ];
    put_state(dir.path(), &lines, "", "");
    assert_eq!(cost("list", dir.path()), "whole");
    assert_eq!(cost("verify", dir.path()), "whole");
    // No file can have 2^63 bytes or more.
    let ended = cost("restore", dir.path());
    assert!(["Io", "partial"].contains(&&*ended), "{ended}");
    let part = |at: u64| format!("[0,0,{at}]");
    let content = format!(",\"content\":[{},{},{}]", part(9), part(1 << 63), part(1 << 63));
    let archive = format!(
        "{{\"name\":\"{ARCHIVE}\",\"kind\":\"full\",\"size\":{size},\"stream\":{size},\"digest\":\"{}\"}}",
        Hash([0; 32])
    );
    put_state(dir.path(), &[root(), file("a", 9, empty, "", &content)], &archive, "");
    assert_eq!(cost("restore", dir.path()), "Corrupt");
    assert_eq!(cost("consolidate", dir.path()), "Corrupt");
}

/// A change that a forger makes to a document.
#[derive(Clone, Debug)]
enum Forgery {
    /// Replaces each number of a line by this number.
    Numbers(&'static str),
    Byte(u8),
    Delete(usize),
    /// Inserts a piece of the document once more, at another place.
    Repeat(usize, Index),
    Insert(&'static str),
    /// Swaps two lines.
    Swap(Index),
}

fn any_forgery() -> impl Strategy<Value = Forgery> {
    let numbers =
        ["0", "1", "4294967296", "9223372036854775808", "18446744073709551615", "1e400", "-1", "01"];
    let texts =
        ["\n", "],\n", ",", "{", "}", "\"", "\\u0061", "%00", "/", "../", ",\"x\":[[[1]]]", "\u{9b}", "\0"];
    prop_oneof![
        proptest::sample::select(numbers.to_vec()).prop_map(Forgery::Numbers),
        (b' '..b'~').prop_map(Forgery::Byte),
        (1..200usize).prop_map(Forgery::Delete),
        (1..400usize, any::<Index>()).prop_map(|(len, to)| Forgery::Repeat(len, to)),
        proptest::sample::select(texts.to_vec()).prop_map(Forgery::Insert),
        any::<Index>().prop_map(Forgery::Swap),
    ]
}

fn forge(document: &mut Vec<u8>, what: &Forgery, at: Index) {
    let place = at.index(document.len());
    match what {
        Forgery::Byte(byte) => document[place] = *byte,
        Forgery::Delete(len) => drop(document.drain(place..(place + len).min(document.len()))),
        Forgery::Insert(text) => drop(document.splice(place..place, text.bytes())),
        Forgery::Repeat(len, to) => {
            let piece = document[place..(place + len).min(document.len())].to_vec();
            let to = to.index(document.len());
            document.splice(to..to, piece);
        }
        Forgery::Numbers(number) => {
            let mut lines: Vec<_> = document.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
            let line = at.index(lines.len());
            let text = String::from_utf8_lossy(&lines[line]).into_owned();
            let mut out = String::new();
            for piece in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
                let end = piece.trim_start_matches(|c: char| c.is_ascii_digit());
                out += if end.len() < piece.len() { number } else { "" };
                out += end;
            }
            lines[line] = out.into_bytes();
            *document = lines.concat();
        }
        Forgery::Swap(other) => {
            let mut lines: Vec<_> = document.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
            let (a, b) = (at.index(lines.len()), other.index(lines.len()));
            lines.swap(a, b);
            *document = lines.concat();
        }
    }
    if document.is_empty() {
        document.push(b'\n');
    }
}

/// The document with the right tree digest, number of entries and digest, as far as it still has these
/// fields.
fn sealed(document: &[u8]) -> Vec<u8> {
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|window| window == what);
    let without_lf = document.strip_suffix(b"\n").unwrap_or(document);
    let last_line = without_lf.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let mut body = stored::unsealed(&[&document[..last_line], b"\"digest\":\""].concat()).to_vec();
    let begin = find(&body, b"\"entries\":[\n").map_or(0, |at| at + 12);
    let (mut tree, mut count) = (blake3::Hasher::new(), 0);
    for line in body[begin..].split(|&b| b == b'\n').take_while(|line| *line != b"],") {
        tree.update(&line[..find(line, b",\"at\":{").unwrap_or(line.len())]).update(b"\n");
        count += 1;
    }
    let replace = |body: &mut Vec<u8>, key: &[u8], len: &dyn Fn(&[u8]) -> usize, value: String| {
        if let Some(at) = find(&body[begin..], key).map(|at| begin + at + key.len()) {
            let len = len(&body[at..]).min(body.len() - at);
            body.splice(at..at + len, value.bytes());
        }
    };
    let digits = |rest: &[u8]| rest.iter().take_while(|b| b.is_ascii_digit()).count();
    replace(&mut body, b"\"totals\":{\"entries\":", &digits, count.to_string());
    replace(&mut body, b",\"tree\":\"", &|_| 71, Hash::from(tree.finalize()).to_string());
    let digests = stored::digest_lines(&body);
    [body, digests].concat()
}

fn document_of(path: &Path) -> Vec<u8> {
    zstd::stream::decode_all(fs::File::open(path).unwrap()).unwrap()
}

/// Makes a store with two keys; the first key has two snapshots. Returns the first key's newest state and its
/// document.
fn two_keys(dir: &Path) -> (std::path::PathBuf, Vec<u8>) {
    let options = Options { cache_dir: Some(dir.join("cache")), threads: 1, ..Options::default() };
    let (cancel, mut silent) = (Cancel::default(), Silent);
    let mut job = Job::new(&options, &cancel, &mut silent);
    let mut store = DirStore::open(dir.join("store"));
    for key in ["a", "b"] {
        let source = dir.join(key);
        fs::create_dir_all(source.join("dir")).unwrap();
        fs::write(source.join("dir/f"), noise(1, 40_000)).unwrap();
        fs::write(source.join("small"), "small").unwrap();
        fs::hard_link(source.join("small"), source.join("dir/link")).unwrap();
        std::os::unix::fs::symlink("small", source.join("to")).unwrap();
        ibt::backup::full(&mut store, &source, &mut job).unwrap();
    }
    fs::write(dir.join("a/dir/f"), [noise(1, 30_000), noise(2, 9000)].concat()).unwrap();
    ibt::backup::full(&mut store, &dir.join("a"), &mut job).unwrap();
    let names = fs::read_dir(dir.join("store")).unwrap().map(|entry| entry.unwrap().path());
    let is_state =
        |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("a.state.");
    let newest = names.filter(is_state).max().unwrap();
    let document = document_of(&newest);
    (newest, document)
}

/// A state with right digests may have any content: nothing panics, and the other snapshots of this key and
/// of other keys are still listed and verified.
#[test]
fn a_forged_state_costs_no_other_snapshot_and_is_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let (newest, good) = two_keys(dir.path());
    assert_eq!(sealed(&good), good);
    let forgeries = proptest::collection::vec((any_forgery(), any::<Index>()), 1..4);
    let accepted = Cell::new(0);
    let mut runner = TestRunner::new(cases(150));
    let result = runner.run(&forgeries, |forgeries| {
        let mut document = good.clone();
        forgeries.iter().for_each(|(what, at)| forge(&mut document, what, *at));
        let _ = fs::remove_file(&newest);
        let path = newest.with_extension("");
        fs::write(&path, sealed(&document)).unwrap();
        accepted.set(accepted.get() + u32::from(use_all(dir.path())?));
        fs::remove_file(&path).unwrap();
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(accepted.get() > 0, "every forged state was refused by its digest or layout");
}

/// Lists, verifies, restores and consolidates. Returns whether the newest state of `a` was accepted as a
/// snapshot.
fn use_all(dir: &Path) -> std::result::Result<bool, TestCaseError> {
    let options = Options { cache_dir: Some(dir.join("other-cache")), threads: 1, ..Options::default() };
    let (cancel, mut silent) = (Cancel::default(), Silent);
    let mut snapshots = 0;
    let mut store = DirStore::open(dir.join("store"));
    for verifies in [false, true] {
        let mut job = Job::new(&options, &cancel, &mut silent);
        let done = match verifies {
            false => inspect::list(&mut store, None, &mut job),
            true => inspect::verify(&mut store, None, &mut job),
        };
        prop_assert!(done.is_ok(), "{verifies}: {done:?}");
        let listed = &job.report.snapshots;
        let of = |key: &str| listed.iter().filter(|snapshot| snapshot.key == key).count();
        prop_assert!(of("a") >= 1 && of("b") == 1, "{verifies}: {listed:?}");
        snapshots = snapshots.max(of("a"));
    }
    let restored = dir.join("restored");
    let mut job = Job::new(&options, &cancel, &mut silent);
    let done = restore::restore(&mut store, "a", &restored, &mut job);
    let _ = fs::remove_dir_all(&restored);
    prop_assert!(done.as_ref().err().is_none_or(|error| error.kind != Kind::Panic), "restore: {done:?}");
    let before: Vec<_> =
        fs::read_dir(dir.join("store")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut job = Job::new(&options, &cancel, &mut silent);
    let done = retain::consolidate(&mut store, "a", &mut job);
    prop_assert!(done.as_ref().err().is_none_or(|error| error.kind != Kind::Panic), "consolidate: {done:?}");
    for path in fs::read_dir(dir.join("store")).unwrap().map(|entry| entry.unwrap().path()) {
        if !before.contains(&path) {
            fs::remove_file(path).unwrap();
        }
    }
    Ok(snapshots == 2)
}
