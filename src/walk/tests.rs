use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use tempfile::TempDir;

use super::frame::{HELD_MAX, WalkFrame};
use super::*;
use crate::entry::{FileType, compare_paths};
use crate::platform::testing::{as_nobody, without_openat2};
use crate::platform::{effective_uid, is_privileged, stat_fd, stat_file};

fn temp() -> (TempDir, Dir) {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open(temp.path()).unwrap();
    (temp, dir)
}

fn walk(root: &std::path::Path, patterns: &[&str], options: WalkOptions) -> Walk {
    let patterns: Vec<_> = patterns.iter().map(|p| p.as_bytes().to_vec()).collect();
    Walk::new(Dir::open(root).unwrap(), Excludes::new(&patterns, b".exclude").unwrap(), options)
}

fn walk_parallel(root: &std::path::Path, patterns: &[&str], options: WalkOptions, threads: usize) -> Walk {
    let patterns: Vec<_> = patterns.iter().map(|p| p.as_bytes().to_vec()).collect();
    let excludes = Excludes::new(&patterns, b".exclude").unwrap();
    Walk::parallel(Dir::open(root).unwrap(), excludes, options, Arc::new(Pool::new(threads).unwrap()))
}

/// The items of a walk as text: an entry as its path, any other item with its kind in front, for example
/// `vanished:a`. Left-out entries are not in the list.
fn found(walk: Walk) -> Vec<String> {
    all_found(walk).into_iter().filter(|found| !LEFT_OUT.iter().any(|word| found.starts_with(word))).collect()
}

const LEFT_OUT: [&str; 3] = ["excluded:", "left out:", "unlisted:"];

fn all_found(walk: Walk) -> Vec<String> {
    walk.map(|found| {
        let path = String::from_utf8_lossy(found.path().as_bytes()).into_owned();
        match found {
            WalkItem::Entry(_) => path,
            WalkItem::Unreadable { .. } => format!("unreadable:{path}"),
            WalkItem::Vanished { .. } => format!("vanished:{path}"),
            WalkItem::Socket { .. } => format!("socket:{path}"),
            WalkItem::Excluded { .. } => format!("excluded:{path}"),
            WalkItem::LeftOut { .. } => format!("left out:{path}"),
            WalkItem::Unlisted { .. } => format!("unlisted:{path}"),
            WalkItem::Broken { .. } => format!("broken:{path}"),
            WalkItem::Shortage { .. } => format!("shortage:{path}"),
            WalkItem::Note { .. } => format!("note:{path}"),
        }
    })
    .collect()
}

fn plain(root: &std::path::Path) -> Vec<String> {
    found(walk(root, &[], WalkOptions::default()))
}

#[test]
fn every_type_of_file_is_found_for_what_it_is() {
    let (temp, dir) = temp();
    dir.create_file(b"file", 0o640).unwrap();
    dir.mkdir(b"dir", 0o750).unwrap();
    dir.symlink(b"to\xffwhere", b"link").unwrap();
    dir.mknod(b"fifo", FileType::Fifo, 0o600, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(temp.path().join("socket")).unwrap();
    let mut expected = vec![FileType::Dir, FileType::Dir, FileType::Fifo, FileType::File, FileType::Symlink];
    if is_privileged() && dir.mknod(b"char", FileType::Char, 0o600, 0x103).is_ok() {
        dir.mknod(b"block", FileType::Block, 0o600, 0x700).unwrap();
        expected.splice(1..1, [FileType::Block, FileType::Char]);
    } else {
        eprintln!("skipped: devices");
    }
    let mut kinds = Vec::new();
    for found in walk(temp.path(), &[], WalkOptions::default()) {
        match found {
            WalkItem::Entry(walked) => {
                let at_root = walked.path.is_root();
                let stat = if at_root { dir.stat_self() } else { dir.stat(walked.path.name()) };
                assert_eq!(walked.stat, stat.unwrap());
                let is_link = walked.stat.kind == FileType::Symlink;
                assert_eq!(walked.target, is_link.then(|| b"to\xffwhere".to_vec()));
                kinds.push(walked.stat.kind);
            }
            WalkItem::Socket { path, .. } => assert_eq!(path.as_bytes(), b"socket"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(kinds, expected);
}

#[test]
fn odd_names_are_only_bytes() {
    let (temp, dir) = temp();
    let long = [b'n'; 255];
    let names: [&[u8]; 6] = [b"a\nb", b"50%", b"\xff\xfe", b"trailing\n", b" ", &long];
    for name in names {
        dir.create_file(name, 0o600).unwrap();
    }
    let paths: Vec<_> = walk(temp.path(), &[], WalkOptions::default()).map(|f| f.path().clone()).collect();
    assert_eq!(paths.len(), names.len() + 1);
    let mut source = Source::new(dir);
    for path in &paths {
        source.open(path).unwrap();
    }
}

fn tree() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let name = proptest::sample::select(vec![
        &b"a"[..],
        b"b",
        b"a.b",
        b"a-b",
        b"a b",
        b"ab",
        b"a0",
        b"\xff",
        b"\x01",
        b"B",
        b"a\n",
    ]);
    let path = proptest::collection::vec(name.prop_map(<[u8]>::to_vec), 1..5);
    proptest::collection::vec(path, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Both kinds of walk find the same paths as `walkdir`, in the order of entries.
    #[test]
    fn the_walk_is_a_plain_walk_in_the_order_of_entries(paths in tree()) {
        let (temp, _) = temp();
        for path in paths {
            let names: Vec<_> = path.iter().map(|n| std::ffi::OsStr::from_bytes(n)).collect();
            let _ = fs::create_dir_all(temp.path().join(names.iter().collect::<std::path::PathBuf>()));
        }
        let paths_of = |walk: Walk| walk.map(|f| f.path().as_bytes().to_vec()).collect::<Vec<_>>();
        let walked = paths_of(walk(temp.path(), &[], WalkOptions::default()));
        let parallel = paths_of(walk_parallel(temp.path(), &[], WalkOptions::default(), 2));
        let mut expected: Vec<_> = walkdir::WalkDir::new(temp.path())
            .into_iter()
            .map(|e| e.unwrap().path().strip_prefix(temp.path()).unwrap().as_os_str().as_bytes().to_vec())
            .collect();
        expected.sort_by(|a, b| compare_paths(a, b));
        prop_assert_eq!(&walked, &expected);
        prop_assert_eq!(parallel, expected);
    }
}

fn deep_tree_is_walked_and_read(walk: impl Fn(&std::path::Path) -> Walk) {
    const DEPTH: usize = 5000;
    let (temp, dir) = temp();
    let mut at = dir.try_clone().unwrap();
    for _ in 0..DEPTH {
        at.mkdir(b"d", 0o755).unwrap();
        at.create_file(b"e", 0o600).unwrap();
        at = at.open_dir(b"d").unwrap();
    }
    let before = fs::read_dir("/proc/self/fd").unwrap().count();
    let mut open_most = 0;
    let mut source = Source::new(dir.try_clone().unwrap());
    let mut count = 0;
    for (n, found) in walk(temp.path()).enumerate() {
        let WalkItem::Entry(walked) = found else { panic!("{found:?}") };
        count += 1;
        if n % 499 == 0 {
            let file = source.open(&walked.path).unwrap();
            assert_eq!(stat_file(&file).unwrap(), walked.stat);
            open_most = open_most.max(fs::read_dir("/proc/self/fd").unwrap().count());
        }
    }
    assert_eq!(count, 2 * DEPTH + 1);
    // The margin of 200 is for other tests, which open files at the same time.
    assert!(open_most < before + HELD_MAX + 200, "{open_most} descriptors");
    dir.remove_tree(b"d").unwrap();
}

#[test]
fn a_tree_deeper_than_any_path() {
    deep_tree_is_walked_and_read(|root| walk(root, &[], WalkOptions::default()));
}

#[test]
fn a_tree_deeper_than_any_path_walked_in_parallel() {
    deep_tree_is_walked_and_read(|root| walk_parallel(root, &[], WalkOptions::default(), 2));
}

#[test]
fn an_ancestor_is_found_again_from_the_root_and_must_be_the_same() {
    let (temp, dir) = temp();
    fs::create_dir_all(temp.path().join("a/b")).unwrap();
    let lost = |path: &[u8]| {
        let (mut frame, _) = WalkFrame::open(dir.open_dir(b"a").unwrap(), b"a").unwrap();
        frame.dir = None;
        // As if the child had been moved away: its parent is now another directory.
        frame.find_again(Some(&dir), &dir, path);
        frame.dir().map(|_| ()).map_err(|error| error.raw_os_error())
    };
    assert_eq!(lost(b"a"), Ok(()));
    assert_eq!(lost(b"a/b"), Err(Some(libc::ESTALE)));
    assert_eq!(lost(b"none"), Err(Some(libc::ESTALE)));
}

#[test]
fn names_below_an_ancestor_that_was_moved_away_are_unreadable() {
    ancestor_moved_away(|root| walk(root, &[], WalkOptions::default()));
}

#[test]
fn names_below_an_ancestor_that_was_moved_away_are_unreadable_to_a_walk_parallel() {
    // One item for each task and one task at a time: the walk looks at no name before the caller asks for it.
    let limits = ParallelLimits { batch: 1, depth: 1, waiting: 1, exclude_file: 0, ..PARALLEL_LIMITS };
    ancestor_moved_away(|root| {
        let (root, excludes) = (Dir::open(root).unwrap(), Excludes::new(&[], b"").unwrap());
        Walk::within(root, excludes, WalkOptions::default(), Arc::new(Pool::new(1).unwrap()), limits)
    });
}

fn ancestor_moved_away(walk: impl Fn(&std::path::Path) -> Walk) {
    let (temp, dir) = temp();
    let mut at = dir.try_clone().unwrap();
    for _ in 0..HELD_MAX + 10 {
        at.mkdir(b"d", 0o755).unwrap();
        at.create_file(b"e", 0o600).unwrap();
        at = at.open_dir(b"d").unwrap();
    }
    let mut walk = walk(temp.path());
    let deepest = walk.by_ref().take(HELD_MAX + 11).last().unwrap();
    assert_eq!(deepest.path().as_bytes().len(), 2 * (HELD_MAX + 10) - 1);
    // The walk holds the directories below this one open, but not its ancestors.
    let fourth = dir.open_dir(b"d/d/d").unwrap();
    fourth.rename(b"d", &dir, b"elsewhere").unwrap();
    dir.open_dir(b"d").unwrap().rename(b"d", &dir, b"further").unwrap();
    let rest = found(walk);
    let unreadable: Vec<_> = rest.iter().filter(|f| f.starts_with("unreadable:")).collect();
    assert_eq!(rest.len(), HELD_MAX + 10);
    assert_eq!(unreadable, ["unreadable:d/d/d/e", "unreadable:d/d/e"]);
}

#[test]
fn a_directory_swapped_for_a_link_leads_nowhere() {
    swapped_directory();
}

#[test]
fn a_directory_swapped_for_a_link_leads_nowhere_without_openat2() {
    without_openat2(swapped_directory);
}

fn swapped_directory() {
    let (temp, _) = temp();
    let (source, outside) = (temp.path().join("source"), temp.path().join("outside"));
    fs::create_dir_all(source.join("real/sub/deep")).unwrap();
    fs::create_dir_all(outside.join("sub/deep")).unwrap();
    for dir in ["real", "real/sub", "real/sub/deep"] {
        fs::write(source.join(dir).join("inside"), "inside").unwrap();
        fs::write(outside.join(dir[4..].trim_start_matches('/')).join("outside"), "outside").unwrap();
        fs::write(outside.join(dir[4..].trim_start_matches('/')).join("inside"), "outside").unwrap();
    }
    let stop = AtomicBool::new(false);
    let (real, aside) = (source.join("real"), temp.path().join("aside"));
    let pool = Arc::new(Pool::new(2).unwrap());
    let walk_and_read = |n: usize| {
        let (root, excludes) = (Dir::open(&source).unwrap(), Excludes::new(&[], b"").unwrap());
        let walk = match n % 2 {
            0 => Walk::new(root, excludes, WalkOptions::default()),
            _ => Walk::parallel(root, excludes, WalkOptions::default(), pool.clone()),
        };
        walk_and_read(&source, walk);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                fs::rename(&real, &aside).unwrap();
                symlink("../outside", &real).unwrap();
                fs::remove_file(&real).unwrap();
                fs::rename(&aside, &real).unwrap();
            }
        });
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| (0..2000).for_each(walk_and_read)));
        stop.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn walk_and_read(source: &std::path::Path, walk: Walk) {
    let mut reader = Source::new(Dir::open(source).unwrap());
    for found in walk {
        assert!(!found.path().as_bytes().ends_with(b"outside"), "{found:?}");
        let path = Path::new(&b"real/sub/deep/inside"[..]).unwrap();
        for path in [found.path(), &path] {
            if let Ok(mut file) = reader.open(path) {
                let mut text = String::new();
                if stat_file(&file).unwrap().kind == FileType::File {
                    io::Read::read_to_string(&mut file, &mut text).unwrap();
                    assert_eq!(text, "inside");
                }
            }
        }
        reader.open(&Path::new(&b"other/x"[..]).unwrap()).unwrap_err();
    }
}

#[test]
fn a_directory_that_forbids_listing_is_broken_and_the_rest_is_found() {
    let (temp, dir) = temp();
    for name in [&b"a"[..], b"closed", b"z"] {
        dir.mkdir(name, 0o755).unwrap();
        dir.open_dir(name).unwrap().create_file(b"f", 0o644).unwrap();
    }
    dir.mkdir(b"listed", 0o755).unwrap();
    dir.open_dir(b"listed").unwrap().create_file(b"f", 0o644).unwrap();
    for (path, mode) in [("", 0o755), ("closed", 0o000), ("listed", 0o744)] {
        fs::set_permissions(temp.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    if effective_uid() != 0 {
        fs::set_permissions(temp.path().join("listed"), fs::Permissions::from_mode(0o444)).unwrap();
    }
    let excludes = Excludes::new(&[], b"").unwrap();
    let walk = Walk::new(dir.try_clone().unwrap(), excludes, WalkOptions::default());
    let (seen, privileged) = as_nobody(|| (found(walk), effective_uid() == 0));
    assert!(!privileged);
    let expected = ["", "a", "a/f", "closed", "broken:closed", "listed", "unreadable:listed/f", "z", "z/f"];
    assert_eq!(seen, expected);
    for path in ["closed", "listed"] {
        fs::set_permissions(temp.path().join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn names_gone_since_they_were_listed_have_vanished() {
    let (temp, dir) = temp();
    for name in [b"a", b"b", b"c"] {
        dir.create_file(name, 0o600).unwrap();
    }
    dir.mkdir(b"d", 0o700).unwrap();
    let mut walk = walk(temp.path(), &[], WalkOptions::default());
    assert_eq!(walk.by_ref().take(2).last().unwrap().path().as_bytes(), b"a");
    dir.unlink(b"b").unwrap();
    let mut rest = Vec::new();
    for found in walk.by_ref().take(3) {
        rest.push(found);
    }
    assert!(matches!(&rest[0], WalkItem::Vanished { path } if path.as_bytes() == b"b"), "{rest:?}");
    dir.rmdir(b"d").unwrap();
    assert_eq!(found(walk), ["broken:d"]);
}

#[test]
fn exclude_files_and_options_keep_names_out() {
    let (temp, _) = temp();
    fs::create_dir_all(temp.path().join("d/cache/x")).unwrap();
    for file in ["a.o", "b", "d/a.o", "d/keep.o", "d/cache/x/y", "d/\u{e9}"] {
        fs::write(temp.path().join(file), "").unwrap();
    }
    fs::write(temp.path().join(".exclude"), "*.o\n[\n").unwrap();
    fs::write(temp.path().join("d/.exclude"), "cache/\n!keep.o\n").unwrap();
    let options = WalkOptions::default();
    let kept = ["", "note:", ".exclude", "d", "d/.exclude", "d/keep.o", "d/\u{e9}"];
    assert_eq!(found(walk(temp.path(), &["/b"], options.clone())), kept);
    fs::remove_file(temp.path().join("d/.exclude")).unwrap();
    symlink("../.exclude", temp.path().join("d/.exclude")).unwrap();
    let kept =
        ["", "note:", ".exclude", "b", "d", "note:d", "d/.exclude", "d/cache", "d/cache/x", "d/cache/x/y"];
    assert_eq!(found(walk(temp.path(), &["[^a-z.]"], options.clone())), [&kept[..], &["d/\u{e9}"]].concat());
}

#[test]
fn of_a_cache_directory_only_the_tag_is_kept() {
    let (temp, _) = temp();
    for dir in ["cache/sub", "fake"] {
        fs::create_dir_all(temp.path().join(dir)).unwrap();
        fs::write(temp.path().join(dir).join("f"), "").unwrap();
    }
    fs::write(temp.path().join("cache/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n# x")
        .unwrap();
    fs::write(temp.path().join("fake/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc5").unwrap();
    let options = WalkOptions { skip_cache_dirs: true, ..Default::default() };
    let kept = ["", "cache", "cache/CACHEDIR.TAG", "fake", "fake/CACHEDIR.TAG", "fake/f"];
    assert_eq!(found(walk(temp.path(), &[], options)), kept);
    assert_eq!(plain(temp.path()).len(), 8);
}

/// The walk reports every entry that it leaves out, for any reason, and nothing below that entry.
#[test]
fn what_is_left_out_is_named() {
    let (temp, dir) = temp();
    for path in ["cache/sub/f", "d/own/f", "d/x.o", "d/y.o/f", "d/z"] {
        fs::create_dir_all(temp.path().join(path).parent().unwrap()).unwrap();
        fs::write(temp.path().join(path), "").unwrap();
    }
    fs::write(temp.path().join("cache/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55").unwrap();
    let own = dir.open_dir(b"d/own").unwrap().stat_self().unwrap().id();
    let options = WalkOptions { skip_cache_dirs: true, left_out: Arc::new([own]), ..Default::default() };
    let expected = [
        "",
        "cache",
        "unlisted:cache",
        "cache/CACHEDIR.TAG",
        "d",
        "left out:d/own",
        "excluded:d/x.o",
        "excluded:d/y.o",
        "d/z",
    ];
    assert_eq!(all_found(walk(temp.path(), &["*.o"], options.clone())), expected);
    assert_eq!(all_found(walk_parallel(temp.path(), &["*.o"], options, 2)), expected);
}

#[test]
fn another_file_system_is_not_entered() {
    let dev = |path: &str| fs::metadata(path).map(|m| std::os::unix::fs::MetadataExt::dev(&m)).ok();
    if dev("/dev/pts").is_none() || dev("/dev/pts") == dev("/dev") {
        return eprintln!("skipped: nothing is mounted on /dev/pts");
    }
    let options = WalkOptions { one_file_system: true, ..Default::default() };
    let entries = all_found(walk("/dev".as_ref(), &[], options));
    assert!(entries.contains(&"pts".to_string()) && entries.contains(&"unlisted:pts".to_string()));
    assert!(!entries.iter().any(|entry| entry.contains("pts/")));
    assert!(found(walk("/dev".as_ref(), &[], WalkOptions::default())).iter().any(|e| e.contains("pts/")));
}

#[test]
fn the_source_names_links_and_devices_without_opening_them() {
    let (temp, dir) = temp();
    fs::create_dir(temp.path().join("d")).unwrap();
    symlink("nowhere", temp.path().join("d/link")).unwrap();
    dir.open_dir(b"d").unwrap().mknod(b"fifo", FileType::Fifo, 0o600, 0).unwrap();
    let mut source = Source::new(dir);
    for (path, kind) in [("d/link", FileType::Symlink), ("d/fifo", FileType::Fifo), ("d", FileType::Dir)] {
        let fd = source.open_path(&Path::new(path).unwrap()).unwrap();
        assert_eq!(stat_fd(std::os::fd::AsFd::as_fd(&fd)).unwrap().kind, kind);
    }
    assert!(source.open(&Path::new("d/link").unwrap()).is_err());
    assert_eq!(stat_file(&source.open(&Path::root()).unwrap()).unwrap().kind, FileType::Dir);
}

/// A measurement, not a test. Run it on a large tree:
/// `IBT_WALK=/path IBT_THREADS=2 cargo test --release -- --ignored measure_walk`.
#[test]
#[ignore = "measures; needs IBT_WALK"]
fn measure_walk() {
    let Some(root) = std::env::var_os("IBT_WALK") else { return };
    let threads = std::env::var("IBT_THREADS").ok().and_then(|n| n.parse().ok());
    for _ in 0..5 {
        let begun = std::time::Instant::now();
        let walk = match threads {
            Some(threads) => walk_parallel(root.as_ref(), &[], WalkOptions::default(), threads),
            None => walk(root.as_ref(), &[], WalkOptions::default()),
        };
        let count = walk.count();
        eprintln!("{count} entries in {:?}", begun.elapsed());
    }
}
