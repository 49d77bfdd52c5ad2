use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::exclude::Excludes;
use crate::platform::testing::as_nobody;
use crate::walk::cursor::WalkSettings;
use crate::walk::{Walk, WalkOptions};

/// Limits so small that a tree of a few entries is cut into many parts.
const SMALL: ParallelLimits =
    ParallelLimits { batch: 3, depth: 2, waiting: 12, exclude_file: 2, held: 8, tasks: usize::MAX };

fn temp() -> (TempDir, Dir) {
    let temp = tempfile::tempdir().unwrap();
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let dir = Dir::open(temp.path()).unwrap();
    (temp, dir)
}

#[derive(Clone, Debug)]
enum Made {
    Dir,
    File,
    Link,
    Socket,
    Excluding(&'static str),
    CacheTag,
    /// A directory without permissions.
    Closed,
}

fn tree() -> impl Strategy<Value = Vec<(Vec<&'static [u8]>, Made)>> {
    let name =
        proptest::sample::select(vec![&b"a"[..], b"b", b"a.o", b"a-b", b"c", b"\xff", b"\x01", b"B\n", b"d"]);
    let made = prop_oneof![
        3 => Just(Made::Dir),
        6 => Just(Made::File),
        1 => Just(Made::Link),
        1 => Just(Made::Socket),
        2 => proptest::sample::select(vec!["*.o", "a/", "/b", "!a.o\nc", "[\n*", "!b"]).prop_map(Made::Excluding),
        1 => Just(Made::CacheTag),
        1 => Just(Made::Closed),
    ];
    proptest::collection::vec((proptest::collection::vec(name, 0..7), made), 0..60)
}

/// Makes the entries of `tree`, without those whose place is taken already. Returns the sockets, which must
/// stay open.
fn make(root: &Path, tree: &[(Vec<&[u8]>, Made)]) -> Vec<UnixListener> {
    let mut sockets = Vec::new();
    let mut closed = Vec::new();
    for (names, made) in tree {
        let path = root.join(names.iter().map(|n| std::ffi::OsStr::from_bytes(n)).collect::<PathBuf>());
        let _ = path.parent().map(fs::create_dir_all);
        let _ = match made {
            Made::Dir => fs::create_dir_all(&path),
            Made::File => fs::File::create_new(&path).map(drop),
            Made::Link => symlink("../a", &path),
            Made::Socket => UnixListener::bind(&path).map(|socket| sockets.push(socket)),
            Made::Excluding(lines) => {
                fs::create_dir_all(&path).and_then(|()| fs::write(path.join(".exclude"), lines))
            }
            Made::CacheTag => fs::create_dir_all(&path).and_then(|()| {
                fs::write(path.join("CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55")
            }),
            Made::Closed => fs::create_dir_all(&path).map(|()| closed.push(path)),
        };
    }
    for path in closed.iter().filter(|path| *path != root) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    }
    sockets
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// With any number of threads and any size of the parts, a parallel walk finds the same items as a walk of one
    /// cursor.
    #[test]
    fn a_parallel_walk_finds_the_same(
        tree in tree(),
        skip_cache_dirs: bool,
        batch in 1usize..9,
        ahead in 0usize..4,
    ) {
        let (temp, dir) = temp();
        let _sockets = make(temp.path(), &tree);
        let options = WalkOptions { skip_cache_dirs, one_file_system: true, ..Default::default() };
        let patterns = [b"a-b/c".to_vec(), b"!/c/b".to_vec()];
        let seen = |pool: Option<(usize, ParallelLimits)>| {
            let (root, excludes) = (dir.try_clone().unwrap(), Excludes::new(&patterns, b".exclude").unwrap());
            let mut walk = match pool {
                None => Walk::new(root, excludes, options.clone()),
                Some((threads, limits)) => {
                    Walk::within(root, excludes, options.clone(), Arc::new(Pool::new(threads).unwrap()), limits)
                }
            };
            let mut found = Vec::new();
            loop {
                (0..ahead).for_each(|_| walk.go_ahead());
                match walk.next() {
                    Some(item) => found.push(format!("{item:?}")),
                    None => return found,
                }
            }
        };
        as_nobody(|| {
            let expected = seen(None);
            for threads in [1, 2, 4] {
                for limits in [ParallelLimits { batch, ..SMALL }, PARALLEL_LIMITS] {
                    prop_assert_eq!(&seen(Some((threads, limits))), &expected, "{} {:?}", threads, limits);
                }
            }
            Ok(())
        })?;
    }
}

/// Makes `width` directories in `dir`, each with `width` directories, and so on for `depth` levels. Returns their
/// number.
fn grow(dir: &Dir, width: usize, depth: usize) -> usize {
    let names = (0..width).map(|n| format!("{n}").into_bytes());
    names.fold(0, |count, name| {
        dir.mkdir(&name, 0o755).unwrap();
        count + 1 + if depth > 1 { grow(&dir.open_dir(&name).unwrap(), width, depth - 1) } else { 0 }
    })
}

#[test]
fn what_waits_and_what_is_held_open_is_bounded() {
    let (temp, dir) = temp();
    let entries = grow(&dir, 4, 5);
    let settings =
        WalkSettings { root: Dir::open(temp.path()).unwrap(), options: WalkOptions::default(), dev: 0 };
    let cursor = Cursor::new(settings, Excludes::new(&[], b"").unwrap());
    let mut walk = ParallelWalk::new(Arc::new(Pool::new(3).unwrap()), SMALL, cursor);
    let mut count = 0;
    while walk.next().is_some() {
        count += 1;
        assert!(walk.waiting < SMALL.waiting + 2 * SMALL.batch, "{}", walk.waiting);
        let open = |piece: &&WalkPiece| matches!(piece, WalkPiece::Todo(cursor) if cursor.dir().is_some());
        assert_eq!(walk.held, walk.pieces.iter().filter(open).count());
        let waiting = walk.pieces.iter().map(|piece| match piece {
            WalkPiece::Todo(_) => 0,
            WalkPiece::Running(_) => SMALL.batch,
            WalkPiece::Found(found) => found.len(),
        });
        assert_eq!(walk.waiting, waiting.sum::<usize>() + walk.ready.iter().map(Vec::len).sum::<usize>());
    }
    assert_eq!((count, walk.waiting, walk.held), (entries, 0, 0));
}

/// The caller takes no item, and the walk goes on until the most items wait.
#[test]
fn a_walk_goes_ahead_of_the_caller() {
    const LIMITS: ParallelLimits =
        ParallelLimits { batch: 3, depth: 2, waiting: 300, exclude_file: 2, held: 8, tasks: 3 };
    let (_temp, dir) = temp();
    let entries = grow(&dir, 4, 5);
    let settings = WalkSettings { root: dir, options: WalkOptions::default(), dev: 0 };
    let cursor = Cursor::new(settings, Excludes::new(&[], b"").unwrap());
    let mut walk = ParallelWalk::new(Arc::new(Pool::new(3).unwrap()), LIMITS, cursor);
    let running = |walk: &ParallelWalk| {
        walk.pieces.iter().filter(|piece| matches!(piece, WalkPiece::Running(_))).count()
    };
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while walk.waiting < LIMITS.waiting {
        assert!(std::time::Instant::now() < end, "{} items wait", walk.waiting);
        walk.start_tasks();
        assert_eq!(walk.running, running(&walk));
        assert!(walk.running <= LIMITS.tasks, "{}", walk.running);
    }
    // However often it is asked to, it goes no further ahead.
    for _ in 0..200 {
        walk.start_tasks();
        std::thread::sleep(std::time::Duration::from_micros(100));
        assert!(walk.waiting < LIMITS.waiting + LIMITS.tasks * LIMITS.batch, "{}", walk.waiting);
    }
    assert_eq!(walk.count(), entries);
}

/// Compiled exclude files take much memory, so a walk of sibling directories holds one of them at a time.
#[test]
fn large_exclude_files_are_held_one_at_a_time() {
    let (temp, dir) = temp();
    for n in 0..40 {
        let sub = temp.path().join(format!("{n}"));
        fs::create_dir(&sub).unwrap();
        fs::write(sub.join(".exclude"), "*.o").unwrap();
        (0..9).for_each(|n| drop(fs::File::create(sub.join(format!("f{n}"))).unwrap()));
    }
    let settings = WalkSettings { root: dir, options: WalkOptions::default(), dev: 0 };
    let excludes = Excludes::new(&[], b".exclude").unwrap();
    let held = excludes.held.clone();
    let mut walk = ParallelWalk::new(Arc::new(Pool::new(3).unwrap()), SMALL, Cursor::new(settings, excludes));
    let (mut count, mut most) = (0, 0);
    while walk.next().is_some() {
        // Gives the started tasks time to go on.
        std::thread::sleep(std::time::Duration::from_micros(200));
        count += 1;
        most = most.max(Arc::strong_count(&*held) - 1);
    }
    // Each directory makes 11 items: itself, its exclude file and nine other files.
    assert_eq!((count, most), (40 * 11, 1));
}

#[test]
fn a_walk_left_half_way_leaves_the_threads_free() {
    let (_temp, dir) = temp();
    grow(&dir, 4, 4);
    let pool = Arc::new(Pool::new(1).unwrap());
    for n in 0..20 {
        let (root, excludes) = (dir.try_clone().unwrap(), Excludes::new(&[], b"").unwrap());
        let walk = Walk::within(root, excludes, WalkOptions::default(), pool.clone(), SMALL);
        assert_eq!(walk.take(n).count(), n);
    }
    assert_eq!(pool.run(|| 1).wait(), 1);
}
