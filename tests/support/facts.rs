//! Reads a tree without libibt, with plain system calls: all facts that a restore must bring back.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::SeekFrom;

/// The facts of one entry. Device, inode, ctime and atime are left out: no restore brings them back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub kind: &'static str,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds.
    pub mtime: (i64, i64),
    pub size: u64,
    pub rdev: u64,
    pub target: Option<PathBuf>,
    pub hash: Option<blake3::Hash>,
    /// Holes as (offset, length).
    pub holes: Vec<(u64, u64)>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path, in byte order, of the same inode; `None` if the inode has no other path.
    pub linked_with: Option<Vec<u8>>,
    /// Allocated blocks of 512 bytes. `==` ignores them, and [`differences`] compares them with a tolerance.
    pub blocks: Blocks,
}

/// A number of blocks. Any two values are equal, so that the derived `==` of [`Facts`] ignores them.
#[derive(Clone, Copy, Debug)]
pub struct Blocks(pub u64);

impl PartialEq for Blocks {
    fn eq(&self, _: &Blocks) -> bool {
        true
    }
}
impl Eq for Blocks {}

pub type TreeFacts = BTreeMap<Vec<u8>, Facts>;

/// The facts of all entries of `root`; the path of the root itself is empty.
pub fn facts(root: &Path) -> TreeFacts {
    let mut paths = Vec::new();
    list(root, Path::new(""), &mut paths);
    paths.sort();
    let mut first_of: HashMap<(u64, u64), (Vec<u8>, usize)> = HashMap::new();
    for path in &paths {
        let meta = fs::symlink_metadata(join(root, path)).unwrap();
        if !meta.is_dir() {
            first_of.entry((meta.dev(), meta.ino())).or_insert_with(|| (path.clone(), 0)).1 += 1;
        }
    }
    let mut all = TreeFacts::new();
    for path in paths {
        let full = join(root, &path);
        let meta = fs::symlink_metadata(&full).unwrap();
        let mut one = look(&full, &meta);
        one.linked_with = first_of
            .get(&(meta.dev(), meta.ino()))
            .filter(|(_, names)| *names > 1)
            .map(|(first, _)| first.clone());
        all.insert(path, one);
    }
    all
}

/// `path` below `root`. For the empty path this is `root`, without a slash at the end.
pub fn join(root: &Path, path: &[u8]) -> PathBuf {
    if path.is_empty() {
        return root.to_path_buf();
    }
    root.join(OsString::from_vec(path.to_vec()))
}

fn list(root: &Path, below: &Path, out: &mut Vec<Vec<u8>>) {
    out.push(below.as_os_str().as_bytes().to_vec());
    let dir = join(root, below.as_os_str().as_bytes());
    for entry in fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            list(root, &path, out);
        } else {
            out.push(path.into_os_string().into_vec());
        }
    }
}

fn look(path: &Path, meta: &fs::Metadata) -> Facts {
    let kind = meta.file_type();
    let (hash, holes) = if kind.is_file() { content(path) } else { (None, Vec::new()) };
    Facts {
        kind: match () {
            _ if kind.is_file() => "file",
            _ if kind.is_dir() => "dir",
            _ if kind.is_symlink() => "symlink",
            _ if kind.is_fifo() => "fifo",
            _ if kind.is_char_device() => "char",
            _ if kind.is_block_device() => "block",
            _ => "socket",
        },
        mode: if kind.is_symlink() { 0 } else { meta.mode() & 0o7777 },
        uid: meta.uid(),
        gid: meta.gid(),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        size: if kind.is_file() { meta.len() } else { 0 },
        rdev: if kind.is_char_device() || kind.is_block_device() { meta.rdev() } else { 0 },
        target: kind.is_symlink().then(|| fs::read_link(path).unwrap()),
        hash,
        holes,
        xattrs: xattrs(path),
        linked_with: None,
        blocks: Blocks(meta.blocks()),
    }
}

fn content(path: &Path) -> (Option<blake3::Hash>, Vec<(u64, u64)>) {
    let mut file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut file, &mut hasher).unwrap();
    (Some(hasher.finalize()), holes(&file))
}

/// The holes that the file system reports; none if it cannot report holes.
fn holes(file: &File) -> Vec<(u64, u64)> {
    let size = file.metadata().unwrap().len();
    let mut holes = Vec::new();
    let mut at = 0;
    while at < size {
        let Ok(hole) = rustix::fs::seek(file, SeekFrom::Hole(at)) else { break };
        if hole >= size {
            break;
        }
        let data = rustix::fs::seek(file, SeekFrom::Data(hole)).unwrap_or(size);
        holes.push((hole, data.min(size) - hole));
        at = data;
    }
    holes
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65536];
    let Ok(len) = rustix::fs::llistxattr(path, &mut names) else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for name in names[..len].split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 65536];
        let len = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
        value.truncate(len);
        found.insert(name.to_vec(), value);
    }
    found
}

/// Asserts that the two trees are the same. The failure lists each entry that differs.
#[track_caller]
pub fn assert_same_facts(expected: &TreeFacts, found: &TreeFacts) {
    let said = differences(expected, found);
    assert!(said.is_empty(), "the trees differ:\n{said}");
}

/// One line for each difference; empty if there is none.
pub fn differences(expected: &TreeFacts, found: &TreeFacts) -> String {
    let mut said = String::new();
    for (path, is) in found {
        if !expected.contains_key(path) {
            writeln!(said, "  {:?}: should not be there ({})", name(path), is.kind).unwrap();
        }
    }
    for (path, should) in expected {
        match found.get(path) {
            None => writeln!(said, "  {:?}: not there", name(path)).unwrap(),
            Some(is) if is != should => {
                writeln!(said, "  {:?}:\n    should be {should:?}\n    is        {is:?}", name(path)).unwrap()
            }
            Some(is) if is.blocks.0 > should.blocks.0 + BLOCKS_SLACK => {
                let (is, should) = (is.blocks.0, should.blocks.0);
                writeln!(said, "  {:?}: takes {is} blocks, the original {should}", name(path)).unwrap()
            }
            Some(_) => {}
        }
    }
    said
}

/// A file may take this many more blocks of 512 bytes than its original, for the file system's own data.
const BLOCKS_SLACK: u64 = 64;

fn name(path: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(path)
}
