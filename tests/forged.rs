//! Stores whose digests agree and whose parts are hostile: what reading them costs is bounded by the limits of the
//! format, and nothing aborts the process. Each operation runs in a child with little address space.

mod support;

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use ibt::entry::Hash;
use ibt::error::{Kind, Result};
use ibt::job::{Cancel, Codec, Job, Options, Silent};
use ibt::store::DirStore;
use ibt::{maintain, restore};
use rustix::process::{setrlimit, Resource, Rlimit};
use support::tools::{child_role, this_test_again, CHILD};

const STAMP: &str = "20261101T000000.000000Z";
const ARCHIVE: &str = "k.full.20261101T000000.000000Z.tar.zst";
/// Address space of a child. The test program itself, its threads' stacks and their heaps take about a third of it.
const ADDRESS_SPACE: u64 = 320 << 20;

/// The child of [`cost`]: runs one operation on one store. It succeeds, or fails with a typed error.
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
        "list" => maintain::list(&mut store, None, &mut job),
        "verify" => maintain::verify(&mut store, Some("k"), &mut job),
        "restore" => restore::restore(&mut store, "k", &dir.join("restored"), &mut job),
        "consolidate" => maintain::consolidate(&mut store, "k", &mut job),
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

/// How `operation` on the store below `dir` ends: "whole", "partial" or the kind of its error.
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

/// A directory with a store in it.
fn place() -> tempfile::TempDir {
    assert!(std::env::var_os(CHILD).is_none());
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("store")).unwrap();
    dir
}

/// Puts a state with these entry lines, archives and problems there, compressed.
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
        "\n],\n\"archives\":[{archives}],\n\"totals\":{{\"entries\":{},\"bytes\":0,\"created\":0,\"modified\":0,\
         \"unchanged\":0,\"moved\":0,\"deleted\":0,\"metadata\":0}},\n\"problems\":[{problems}],\n\
         \"finished_at\":\"1793491200.000000000\",\"tree\":\"{tree}\",\n",
        lines.len()
    );
    text += &format!("\"digest\":\"{}\"}}\n", Hash::from(blake3::hash(text.as_bytes())));
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

/// A file of `size` bytes that hash to `hash`; `more` stands before its place.
fn file(path: &str, size: u64, hash: Hash, more: &str, content: &str) -> String {
    format!(
        "{{\"path\":\"{path}\",\"type\":\"file\",\"mode\":\"0644\",\"uid\":0,\"gid\":0,\"mtime\":\"1.000000000\",\
         \"size\":{size},\"hash\":\"{hash}\"{more},\"at\":{{\"ino\":\"3\",\"ctime\":\"1.000000000\"{content}}}}}"
    )
}

/// Unknown fields of one object, as many as are read.
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
    assert_eq!(cost("list", dir.path()), "whole");
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

/// A file that lies on disk as holes, of zstd frames that are long as they are stored and make little.
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

/// Sizes that add up to more than 2^64, in files that all but fit.
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
    // No file has 2^63 bytes.
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
