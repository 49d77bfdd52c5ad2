use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

use proptest::prelude::*;
use tempfile::TempDir;

use super::testing::{NOBODY, as_nobody, without_noreplace, without_openat2};
use super::*;
use crate::entry::FileType;
use crate::stamp::Time;

fn temp() -> (TempDir, Dir) {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open(temp.path()).unwrap();
    (temp, dir)
}

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

/// Makes `depth` nested directories and returns the deepest. Goes down by descriptors, because the path may be too long
/// for a system call.
fn dig(dir: &Dir, name: &[u8], depth: usize) -> Dir {
    let mut at = dir.try_clone().unwrap();
    for _ in 0..depth {
        at.mkdir(name, 0o755).unwrap();
        at = at.open_dir(name).unwrap();
    }
    at
}

fn links_are_not_followed() {
    let (temp, dir) = temp();
    fs::create_dir_all(temp.path().join("in/sub")).unwrap();
    fs::write(temp.path().join("in/sub/file"), "inside").unwrap();
    fs::write(temp.path().join("secret"), "outside").unwrap();
    symlink("..", temp.path().join("in/up")).unwrap();
    symlink("../secret", temp.path().join("in/secret")).unwrap();
    symlink("sub", temp.path().join("in/alias")).unwrap();
    let inside = dir.open_dir(b"in").unwrap();
    for bad in [
        &b"up/secret"[..],
        b"secret",
        b"alias/file",
        b"alias",
        b"../secret",
        b"/etc/passwd",
        b"sub/../sub/file",
        b"sub//file",
        b".",
        b"..",
    ] {
        assert!(inside.open_file(bad).is_err(), "{bad:?}");
        assert!(inside.open_dir(bad).is_err(), "{bad:?}");
    }
    let mut text = String::new();
    inside.open_file(b"sub/file").unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "inside");
    assert_eq!(stat_fd(inside.open_path(b"alias").unwrap().as_fd()).unwrap().kind, FileType::Symlink);
    assert_eq!(inside.open_dir(b"").unwrap().stat_self().unwrap(), inside.stat_self().unwrap());
    assert_eq!(errno(inside.open_file(b"sub/none")), libc::ENOENT);
}

#[test]
fn nothing_opens_outside_or_through_a_link() {
    links_are_not_followed();
}

#[test]
fn nothing_opens_outside_where_openat2_is_missing() {
    without_openat2(links_are_not_followed);
}

#[test]
fn paths_beyond_the_kernels_limit_open() {
    let (_temp, dir) = temp();
    let name = [b'n'; 200];
    let deepest = dig(&dir, &name, 60);
    deepest.create_file(b"file", 0o600).unwrap().write_all(b"deep").unwrap();
    let path = [vec![&name[..]; 60].join(&b'/'), b"file".to_vec()].join(&b'/');
    for open in [|f: &dyn Fn()| f(), |f: &dyn Fn()| without_openat2(f)] {
        open(&|| {
            let mut text = String::new();
            dir.open_file(&path).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "deep");
        });
    }
    let top = [b'n'; 200];
    dir.remove_tree(&top).unwrap();
}

#[test]
fn names_with_a_slash_or_dots_are_refused_everywhere() {
    let (_temp, dir) = temp();
    dir.mkdir(b"a", 0o755).unwrap();
    for bad in [&b"a/b"[..], b"..", b".", b""] {
        assert_eq!(errno(dir.stat(bad)), libc::EINVAL);
        assert_eq!(errno(dir.create_file(bad, 0o600)), libc::EINVAL);
        assert_eq!(errno(dir.mkdir(bad, 0o700)), libc::EINVAL);
        assert_eq!(errno(dir.remove_tree(bad)), libc::EINVAL);
        assert_eq!(errno(dir.rename(b"a", &dir, bad)), libc::EINVAL);
        assert_eq!(errno(dir.hard_link(&dir, b"a", bad)), libc::EINVAL);
    }
}

#[test]
fn a_fifo_opens_without_a_writer_and_is_seen_for_what_it_is() {
    let (_temp, dir) = temp();
    dir.mknod(b"fifo", FileType::Fifo, 0o600, 0).unwrap();
    assert_eq!(stat_file(&dir.open_file(b"fifo").unwrap()).unwrap().kind, FileType::Fifo);
}

#[test]
fn listings_are_complete_each_time() {
    let (_temp, dir) = temp();
    for n in 0..2000 {
        dir.create_file(format!("name-that-fills-the-buffer-{n}").as_bytes(), 0o600).unwrap();
    }
    dir.symlink(b"x", b"link\xff\n").unwrap();
    let clone = dir.try_clone().unwrap();
    for dir in [&dir, &dir, &clone, &dir] {
        let listing = dir.list();
        assert!(listing.error.is_none());
        assert_eq!(listing.names.len(), 2001);
        assert!(listing.names.iter().any(|(name, _)| **name == *b"link\xff\n"));
    }
}

#[test]
fn a_listing_that_fails_says_so() {
    let (_temp, dir) = temp();
    let gone = dig(&dir, b"gone", 1);
    dir.rmdir(b"gone").unwrap();
    assert_eq!(gone.list().error.unwrap().raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn link_targets_of_any_length_are_read() {
    let (_temp, dir) = temp();
    for len in [1, 255, 256, 257, 4095] {
        let name = format!("{len}");
        dir.symlink(&vec![b't'; len], name.as_bytes()).unwrap();
        assert_eq!(dir.read_link(name.as_bytes()).unwrap().len(), len);
        assert_eq!(dir.stat(name.as_bytes()).unwrap().size, len as u64);
    }
}

fn renames_replace_only_when_asked() {
    let (temp, dir) = temp();
    fs::write(temp.path().join("a"), "a").unwrap();
    fs::write(temp.path().join("b"), "b").unwrap();
    dir.mkdir(b"d", 0o755).unwrap();
    for from in [&b"a"[..], b"d"] {
        assert_eq!(errno(dir.rename_noreplace(from, &dir, b"b")), libc::EEXIST);
    }
    assert_eq!(fs::read(temp.path().join("b")).unwrap(), b"b");
    dir.rename_noreplace(b"d", &dir, b"e").unwrap();
    dir.rename_noreplace(b"a", &dir.open_dir(b"e").unwrap(), b"a").unwrap();
    assert_eq!(fs::read(temp.path().join("e/a")).unwrap(), b"a");
    assert_eq!(errno(dir.stat(b"a")), libc::ENOENT);
    dir.open_dir(b"e").unwrap().rename(b"a", &dir, b"b").unwrap();
    assert_eq!(fs::read(temp.path().join("b")).unwrap(), b"a");
}

#[test]
fn rename_replaces_only_when_asked() {
    renames_replace_only_when_asked();
}

#[test]
fn rename_replaces_only_when_asked_where_the_system_cannot_check() {
    without_noreplace(renames_replace_only_when_asked);
}

#[test]
fn remove_tree_removes_links_not_what_they_lead_to() {
    let (temp, dir) = temp();
    fs::create_dir_all(temp.path().join("keep/sub")).unwrap();
    fs::write(temp.path().join("keep/sub/file"), "").unwrap();
    fs::create_dir_all(temp.path().join("tree/a/b")).unwrap();
    fs::write(temp.path().join("tree/a/file"), "").unwrap();
    symlink("../../keep", temp.path().join("tree/a/link")).unwrap();
    symlink("keep", temp.path().join("link")).unwrap();
    dir.remove_tree(b"tree").unwrap();
    dir.remove_tree(b"link").unwrap();
    assert_eq!(dir.list().names.len(), 1);
    assert!(temp.path().join("keep/sub/file").exists());
    assert_eq!(errno(dir.remove_tree(b"none")), libc::ENOENT);
}

#[test]
fn remove_tree_while_another_thread_swaps_directories_for_links() {
    let (temp, dir) = temp();
    fs::create_dir(temp.path().join("keep")).unwrap();
    fs::write(temp.path().join("keep/file"), "").unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (real, link) = (temp.path().join("tree/real"), temp.path().join("link"));
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            while !stop.load(relaxed) {
                let _ = fs::remove_dir_all(&link);
                let _ = fs::create_dir_all(real.join("sub"));
                let _ = symlink(temp.path().join("keep"), &link);
                for _ in 0..20 {
                    let _ =
                        rustix::fs::renameat_with(rustix::fs::CWD, &real, rustix::fs::CWD, &link, exchange);
                }
            }
        });
        let end = std::time::Instant::now() + std::time::Duration::from_secs(1);
        while std::time::Instant::now() < end {
            let _ = dir.remove_tree(b"tree");
        }
        stop.store(true, relaxed);
    });
    assert!(temp.path().join("keep/file").exists());
}

#[test]
fn remove_tree_is_as_deep_as_the_tree() {
    let (_temp, dir) = temp();
    dig(&dir, b"d", 10_000).create_file(b"f", 0o600).unwrap();
    dir.remove_tree(b"d").unwrap();
    assert!(dir.list().names.is_empty());
}

#[test]
fn remove_tree_opens_directories_that_forbid_it() {
    let (temp, dir) = temp();
    fs::create_dir_all(temp.path().join("tree/closed/readonly")).unwrap();
    fs::write(temp.path().join("tree/closed/readonly/file"), "").unwrap();
    if is_privileged() {
        for path in ["", "tree", "tree/closed", "tree/closed/readonly", "tree/closed/readonly/file"] {
            std::os::unix::fs::chown(temp.path().join(path), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    for (path, mode) in [("tree/closed/readonly", 0o500), ("tree/closed", 0o000), ("tree", 0o555)] {
        fs::set_permissions(temp.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    as_nobody(|| {
        if effective_uid() != 0 {
            assert_eq!(errno(dir.open_dir(b"tree/closed/readonly")), libc::EACCES);
        }
        dir.remove_tree(b"tree").unwrap();
    });
    assert!(dir.list().names.is_empty());
}

/// A process with the capability to change owners may still lack the capability to ignore modes.
#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn remove_tree_opens_directories_with_the_capability_to_change_owners_alone() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    if !is_privileged() {
        return eprintln!("skipped: the capability CAP_CHOWN is needed");
    }
    let (temp, dir) = temp();
    fs::create_dir_all(temp.path().join("tree/readonly")).unwrap();
    fs::write(temp.path().join("tree/readonly/file"), "").unwrap();
    fs::set_permissions(temp.path().join("tree/readonly"), fs::Permissions::from_mode(0o500)).unwrap();
    // Capabilities belong to a thread.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut sets = capabilities(None).unwrap();
            sets.effective.remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
            set_capabilities(None, sets).unwrap();
            assert!(is_privileged());
            dir.remove_tree(b"tree").unwrap();
        });
    });
    assert!(dir.list().names.is_empty());
}

/// A directory without permissions contains an entry that the owner of the directory cannot remove. The directories
/// that stay get their old modes again.
#[test]
fn remove_tree_closes_again_what_it_cannot_remove() {
    if !is_privileged() {
        return eprintln!("skipped: another owner takes root");
    }
    let (temp, dir) = temp();
    let inner = temp.path().join("tree/closed/readonly");
    fs::create_dir_all(inner.join("foreign/full")).unwrap();
    for path in ["", "tree", "tree/closed", "tree/closed/readonly"] {
        std::os::unix::fs::chown(temp.path().join(path), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let modes = [("tree/closed/readonly", 0o500), ("tree/closed", 0o000), ("tree", 0o555)];
    for (path, mode) in modes {
        fs::set_permissions(temp.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    as_nobody(|| assert_eq!(errno(dir.remove_tree(b"tree")), libc::EACCES));
    for (path, mode) in modes {
        let now = fs::metadata(temp.path().join(path)).unwrap().permissions().mode();
        assert_eq!(now & 0o7777, mode, "{path}");
    }
    assert!(inner.join("foreign/full").exists());
}

/// A bind mount of `from` at `at`, until it is dropped.
struct Bound(std::path::PathBuf);

impl Bound {
    fn new(from: &std::path::Path, at: &std::path::Path) -> Option<Bound> {
        let done = std::process::Command::new("mount").arg("--bind").args([from, at]).output();
        done.is_ok_and(|done| done.status.success()).then(|| Bound(at.to_path_buf()))
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// A directory and a file of the same file system are mounted in a tree: the mounts are found, and the tree is not
/// removed through them.
#[test]
fn mounts_of_one_file_system_are_told_and_not_emptied() {
    let (temp, dir) = temp();
    fs::create_dir_all(temp.path().join("keep/sub")).unwrap();
    fs::write(temp.path().join("keep/file"), "").unwrap();
    fs::create_dir_all(temp.path().join("tree/a/bound")).unwrap();
    fs::write(temp.path().join("tree/a/file"), "").unwrap();
    let bound = [("keep", "tree/a/bound"), ("keep/file", "tree/a/file")]
        .map(|(from, at)| Bound::new(&temp.path().join(from), &temp.path().join(at)));
    if bound.iter().any(Option::is_none) {
        return eprintln!("skipped: mounting is not allowed here");
    }
    let told = || {
        let a = dir.open_dir(b"tree/a").unwrap();
        let is_mounted = |dir: &Dir, name: &[u8]| dir.is_mount_point(name).map_err(|error| error.kind());
        [
            is_mounted(&a, b"bound"),
            is_mounted(&a, b"file"),
            is_mounted(&dir, b"keep"),
            is_mounted(&dir, b"tree"),
        ]
    };
    let right = [Ok(true), Ok(true), Ok(false), Ok(false)];
    assert_eq!(told(), right);
    assert_eq!(testing::without_statx(true, told), right);
    assert_eq!(testing::without_statx(false, told), [Err(std::io::ErrorKind::Unsupported); 4]);
    assert_eq!(errno(dir.is_mount_point(b"none").map(drop)), libc::ENOENT);
    for path in [&b"tree/a"[..], b"tree"] {
        let (above, name) = path.split_at(path.iter().position(|&b| b == b'/').map_or(0, |at| at + 1));
        let above = dir.open_dir(above.strip_suffix(b"/").unwrap_or(above)).unwrap();
        assert!(matches!(errno(above.remove_tree(name)), libc::EXDEV | libc::EBUSY));
    }
    drop(bound);
    assert!(temp.path().join("keep/sub").exists() && temp.path().join("keep/file").exists());
}

#[test]
fn metadata_is_set_on_the_link_not_on_its_target() {
    let (_temp, dir) = temp();
    let time = Time { secs: -5, nanos: 123_456_789 };
    let file = dir.create_file(b"file", 0o600).unwrap();
    dir.symlink(b"file", b"link").unwrap();
    dir.mknod(b"fifo", FileType::Fifo, 0o600, 0).unwrap();
    let before = stat_file(&file).unwrap();
    let link = dir.open_path(b"link").unwrap();
    set_times(link.as_fd(), time).unwrap();
    assert_eq!(dir.stat(b"link").unwrap().mtime, time);
    assert_eq!(stat_file(&file).unwrap(), before);
    assert!(set_mode(link.as_fd(), 0o640).is_err());
    assert_eq!(stat_file(&file).unwrap().mode, 0o600);
    let fifo = dir.open_path(b"fifo").unwrap();
    set_mode(fifo.as_fd(), 0o1640).unwrap();
    assert_eq!(dir.stat(b"fifo").unwrap().mode, 0o1640);
    for fd in [file.as_fd(), fifo.as_fd()] {
        set_mode(fd, 0o604).unwrap();
        set_times(fd, time).unwrap();
        let stat = stat_fd(fd).unwrap();
        assert_eq!((stat.mode, stat.mtime), (0o604, time));
        assert_eq!(errno(set_owner(fd, u32::MAX, 0)), libc::EINVAL);
    }
    if !is_privileged() {
        eprintln!("skipped: owners, only root may give files away");
        return;
    }
    set_owner(link.as_fd(), 1, 2).unwrap();
    let owner = |name| dir.stat(name).map(|s| (s.uid, s.gid)).unwrap();
    assert_eq!((owner(b"link"), owner(b"file")), ((1, 2), (before.uid, before.gid)));
    set_owner(fifo.as_fd(), 3, 4).unwrap();
    set_owner(file.as_fd(), 5, 6).unwrap();
    assert_eq!((owner(b"fifo"), owner(b"file")), ((3, 4), (5, 6)));
}

#[test]
fn devices_keep_their_number() {
    let (_temp, dir) = temp();
    if !is_privileged() {
        eprintln!("skipped: only root may make devices");
        return;
    }
    let null = Dir::open("/dev".as_ref()).unwrap().stat(b"null").unwrap();
    assert_eq!(null.kind, FileType::Char);
    if let Err(error) = dir.mknod(b"null", FileType::Char, 0o600, null.rdev) {
        eprintln!("skipped: no devices here: {error}");
        return;
    }
    let made = dir.stat(b"null").unwrap();
    assert_eq!((made.kind, made.rdev), (FileType::Char, null.rdev));
    assert_eq!(made.rdev, fs::metadata("/dev/null").unwrap().rdev());
}

#[test]
fn extended_attributes_survive() {
    let (temp, dir) = temp();
    let file = dir.create_file(b"file", 0o600).unwrap();
    assert_eq!(read_xattrs(file.as_fd()).unwrap(), []);
    let odd = [b"user.".as_slice(), &[b'n'; 100], b"=%\xff\n"].concat();
    let mut wanted = vec![
        (b"user.b".to_vec(), vec![]),
        (b"user.a".to_vec(), (0..=255).collect::<Vec<u8>>()),
        (odd, vec![7; 1500]),
    ];
    for (name, value) in &wanted {
        if let Err(error) = set_xattr(file.as_fd(), name, value) {
            eprintln!("skipped: no extended attributes here: {error}");
            return;
        }
    }
    wanted.sort();
    assert_eq!(read_xattrs(file.as_fd()).unwrap(), wanted);
    let path = dir.open_path(b"file").unwrap();
    assert_eq!(read_xattrs(path.as_fd()).unwrap(), wanted);
    set_xattr(path.as_fd(), b"user.b", b"by path").unwrap();
    let shown = std::process::Command::new("getfattr")
        .args(["--only-values", "-n", "user.b"])
        .arg(temp.path().join("file"))
        .output()
        .unwrap();
    assert_eq!(shown.stdout, b"by path");
}

#[test]
fn a_links_attributes_are_its_own() {
    let (_temp, dir) = temp();
    let file = dir.create_file(b"file", 0o600).unwrap();
    dir.symlink(b"file", b"link").unwrap();
    let _ = set_xattr(file.as_fd(), b"user.a", b"the file's");
    let link = dir.open_path(b"link").unwrap();
    assert_eq!(read_xattrs(link.as_fd()).unwrap(), []);
    assert!(set_xattr(link.as_fd(), b"user.a", b"").is_err());
    if is_privileged() && set_xattr(link.as_fd(), b"trusted.a", b"1").is_ok() {
        assert_eq!(read_xattrs(link.as_fd()).unwrap(), [(b"trusted.a".to_vec(), b"1".to_vec())]);
        assert!(read_xattrs(file.as_fd()).unwrap().iter().all(|(name, _)| name != b"trusted.a"));
    }
}

#[test]
fn attributes_changing_while_they_are_read_are_no_error() {
    let (_temp, dir) = temp();
    let file = dir.create_file(b"file", 0o600).unwrap();
    if set_xattr(file.as_fd(), b"user.a", b"").is_err() {
        return eprintln!("skipped: no extended attributes here");
    }
    for n in 0..30 {
        set_xattr(file.as_fd(), format!("user.{n}").as_bytes(), b"").unwrap();
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                let _ = set_xattr(file.as_fd(), b"user.a", &vec![0; n * 97 % 1000]);
                let _ = rustix::fs::fremovexattr(&file, "user.b");
                let _ = set_xattr(file.as_fd(), b"user.b", b"");
                if stop.load(relaxed) {
                    break;
                }
            }
        });
        let failed = (0..2000).find_map(|_| read_xattrs(file.as_fd()).err());
        stop.store(true, relaxed);
        assert!(failed.is_none(), "{failed:?}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Holes are exactly the blocks that were never written.
    #[test]
    fn holes_are_the_blocks_never_written(blocks in proptest::collection::vec(any::<bool>(), 0..40), tail in 0..5000u64) {
        const BLOCK: u64 = 64 * 1024;
        let file = tempfile::tempfile().unwrap();
        let size = blocks.len() as u64 * BLOCK + tail;
        file.set_len(size).unwrap();
        for (n, _) in blocks.iter().enumerate().filter(|(_, written)| **written) {
            file.write_all_at(&[1; BLOCK as usize], n as u64 * BLOCK).unwrap();
        }
        file.sync_all().unwrap();
        let found = holes(&file, size).unwrap();
        let mut model: Vec<(u64, u64)> = Vec::new();
        let unwritten = blocks.iter().enumerate().filter(|(_, w)| !**w).map(|(n, _)| (n as u64 * BLOCK, BLOCK));
        for (at, len) in unwritten.chain((tail > 0).then_some((size - tail, tail))) {
            match model.last_mut() {
                Some((start, held)) if *start + *held == at => *held += len,
                _ => model.push((at, len)),
            }
        }
        if found.is_empty() {
            // A file system without holes reports none.
            let occupied = std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap()) * 512;
            prop_assert!(model.is_empty() || occupied >= size);
        } else {
            prop_assert_eq!(found, model);
        }
    }
}

#[test]
fn holes_of_a_file_cut_short_stay_inside_what_was_asked() {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(b"data", 1 << 20).unwrap();
    assert_eq!(holes(&file, 1 << 19).unwrap(), [(0, 1 << 19)]);
    file.set_len(1 << 10).unwrap();
    assert!(holes(&file, 1 << 20).unwrap().iter().all(|&(at, len)| len > 0 && at + len <= 1 << 20));
    assert_eq!(holes(&file, 0).unwrap(), []);
}

#[test]
fn locks_exclude_other_open_files_until_dropped() {
    let (temp, dir) = temp();
    dir.create_file(b"lock", 0o600).unwrap();
    let open = || File::options().read(true).write(true).open(temp.path().join("lock")).unwrap();
    let (first, second, third) = (open(), open(), open());
    assert!(
        try_lock(&first, LockPart::Key, false).unwrap() && try_lock(&second, LockPart::Key, false).unwrap()
    );
    assert!(!try_lock(&third, LockPart::Key, true).unwrap());
    drop(first);
    assert!(!try_lock(&third, LockPart::Key, true).unwrap());
    drop(second);
    assert!(try_lock(&third, LockPart::Key, true).unwrap());
    assert!(!try_lock(&open(), LockPart::Key, false).unwrap());
    drop(third);
    assert!(try_lock(&open(), LockPart::Key, true).unwrap());
    let read_only = dir.open_file(b"lock").unwrap();
    assert_eq!(errno(try_lock(&read_only, LockPart::Key, true)), libc::EBADF);
}

#[test]
fn a_lock_given_up_does_not_live_on_in_a_copy_of_its_descriptor() {
    let (temp, dir) = temp();
    dir.create_file(b"lock", 0o600).unwrap();
    let open = || File::options().read(true).write(true).open(temp.path().join("lock")).unwrap();
    let held = open();
    assert!(try_lock(&held, LockPart::Key, true).unwrap());
    // Stands for the descriptor that a forked child holds until it executes its program.
    let copy = held.try_clone().unwrap();
    unlock(&held, LockPart::Key);
    drop(held);
    assert!(try_lock(&open(), LockPart::Key, true).unwrap());
    drop(copy);
}

#[test]
fn users_and_groups_have_the_names_that_getent_gives() {
    let mut names = Names::new();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    for line in passwd.lines().filter(|line| line.split(':').count() == 7) {
        let fields: Vec<_> = line.split(':').collect();
        assert!(names.user(fields[2].parse().unwrap()).is_some(), "{line}");
    }
    assert_eq!(names.user(0).as_deref(), Some("root"));
    assert!(names.group(0).is_some());
    assert_eq!((names.user(4_000_000_001), names.group(4_000_000_001)), (None, None));
}

/// A hole that is punched during the search can begin at the end of the hole before.
#[test]
fn holes_that_touch_are_one() {
    let mut holes = Vec::new();
    for (start, end) in [(10, 20), (20, 30), (30, 30), (40, 40), (50, 60)] {
        data::add_hole(&mut holes, start, end);
    }
    assert_eq!(holes, [(10, 20), (50, 10)]);
}

#[test]
fn names_of_different_case_are_told_apart_here() {
    let (_temp, dir) = temp();
    for name in ["abc", "aBc", "ФОТО", "фото", "ß", "123", "x1"] {
        dir.create_file(name.as_bytes(), 0o600).unwrap();
    }
    for (name, folds) in [
        ("abc", Some(false)),
        ("ФОТО", Some(false)),
        ("фото", Some(false)),
        ("x1", Some(false)),
        ("123", None),
    ] {
        assert_eq!(dir.folds_case(name.as_bytes()).unwrap(), folds, "{name}");
    }
    assert_eq!(dir.folds_case(b"\xff").unwrap(), None);
}

#[test]
fn the_system_answers() {
    assert_eq!(hostname(), fs::read("/proc/sys/kernel/hostname").unwrap().trim_ascii());
    assert_ne!(random_digits().unwrap(), random_digits().unwrap());
    assert_ne!(unique_digits(), unique_digits());
    assert_ne!(system::guessable_bytes16(), system::guessable_bytes16());
    assert_eq!((random_digits().unwrap().len(), unique_digits().len()), (32, 32));
    assert!(has_syncfs());
    assert!(!as_nobody(is_privileged));
    let (_temp, dir) = temp();
    let file = dir.create_file(b"f", 0o600).unwrap();
    start_writeback(&file, 0, u64::MAX);
    start_writeback(&file, 0, 4096);
    sync_and_close(file).unwrap();
    dir.sync().unwrap();
    dir.syncfs().unwrap();
}

#[test]
fn a_worker_thread_gets_no_signals_meant_for_the_application() {
    let blocked = |block: bool| {
        std::thread::spawn(move || {
            if block {
                block_signals_in_this_thread();
            }
            let status = fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        })
        .join()
        .unwrap()
    };
    let bit = |signal: i32| 1u64 << (signal - 1);
    assert_eq!(blocked(false) & bit(libc::SIGTERM), 0);
    let mask = blocked(true);
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGCHLD, libc::SIGALRM] {
        assert_ne!(mask & bit(signal), 0);
    }
    assert_eq!(mask & bit(libc::SIGSEGV), 0);
}
