//! Random trees. A tree is data that proptest can shrink; [`Tree::make`] makes it on disk.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use super::tools::{is_root, noise, prose, set_mode};

#[derive(Clone, Debug)]
pub struct Tree {
    pub root: Meta,
    pub nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
pub struct Node {
    /// Picks one of the directories made before this node.
    pub parent: Index,
    pub name: Vec<u8>,
    pub kind: NodeKind,
    pub meta: Meta,
}

#[derive(Clone, Debug)]
pub enum NodeKind {
    Dir,
    File(Content),
    Symlink(Vec<u8>),
    Fifo,
    /// Only root can make a device.
    Device {
        block: bool,
        major: u32,
        minor: u32,
    },
    /// Another name of one of the entries made before, except directories.
    Hardlink(Index),
}

#[derive(Clone, Debug)]
pub enum Content {
    Noise {
        seed: u64,
        len: usize,
    },
    Prose {
        seed: u64,
        len: usize,
    },
    /// Segments of [`SEGMENT`] bytes: true stands for data, false for a hole. After them, `more` bytes of the same kind
    /// as the last segment.
    Sparse {
        segments: Vec<bool>,
        more: u16,
        seed: u64,
    },
}

/// A multiple of all usual block sizes.
const SEGMENT: u64 = 65536;

/// The metadata of an entry. `None` keeps the value that the system chose.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    pub mode: Option<u32>,
    pub owner: Option<(u32, u32)>,
    pub mtime: Option<(i64, u32)>,
    pub xattrs: Vec<(&'static str, Vec<u8>)>,
    /// A user, and the permissions of this user.
    pub acl: Option<(u32, u16)>,
    pub default_acl: Option<(u32, u16)>,
    pub capability: Option<u32>,
}

/// Trees of fewer than `most` entries. The root is not counted.
pub fn trees(most: usize) -> impl Strategy<Value = Tree> {
    (metas(false), vec(nodes(), 0..most)).prop_map(|(root, nodes)| Tree { root, nodes })
}

pub fn nodes() -> impl Strategy<Value = Node> {
    let node = |(kind, meta)| (any::<Index>(), names(), Just(kind), Just(meta));
    node_kinds()
        .prop_flat_map(move |kind| {
            let meta = metas(matches!(kind, NodeKind::File(_)));
            (Just(kind), meta).prop_flat_map(node)
        })
        .prop_map(|(parent, name, kind, meta)| Node { parent, name, kind, meta })
}

pub fn names() -> impl Strategy<Value = Vec<u8>> {
    let odd: [&[u8]; 16] = [
        b"new\nline",
        b" ",
        b"sp ace",
        b"%41",
        b"%",
        b"\"quoted\"",
        b"it's",
        b"-dash",
        b"\xff\xfe",
        b"\xc3\xa9",
        b"bad\xc3",
        b"trailing\n",
        b"back\\slash",
        b"\x01\x7f",
        b"...",
        b"a.b",
    ];
    prop_oneof![
        10 => "[a-z]{1,6}".prop_map(String::into_bytes),
        4 => select(odd.to_vec()).prop_map(<[u8]>::to_vec),
        1 => any::<u8>().prop_map(|b| vec![b'a' + b % 26; 255]),
        1 => Just("é".repeat(127).into_bytes()),
    ]
}

fn node_kinds() -> impl Strategy<Value = NodeKind> {
    prop_oneof![
        5 => Just(NodeKind::Dir),
        12 => contents().prop_map(NodeKind::File),
        3 => targets().prop_map(NodeKind::Symlink),
        1 => Just(NodeKind::Fifo),
        1 => (any::<bool>(), 0u32..300, 0u32..70_000)
            .prop_map(|(block, major, minor)| NodeKind::Device { block, major, minor }),
        3 => any::<Index>().prop_map(NodeKind::Hardlink),
    ]
}

fn targets() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"no/such/place".to_vec()),
        Just(b"/".to_vec()),
        Just(b"../..".to_vec()),
        Just(vec![b'l'; 4095]),
        names(),
    ]
}

pub fn contents() -> impl Strategy<Value = Content> {
    let sizes = prop_oneof![
        12 => select(vec![0usize, 1, 511, 512, 513, 4096, 16383, 16384, 16385]),
        4 => select(vec![100_000usize, 300_000]),
        4 => 0usize..40_000,
    ];
    let small = (any::<u64>(), sizes);
    prop_oneof![
        20 => (small, any::<bool>()).prop_map(|((seed, len), noisy)| plain(noisy, seed, len)),
        4 => (vec(any::<bool>(), 1..6), any::<u16>(), any::<u64>())
            .prop_map(|(segments, more, seed)| Content::Sparse { segments, more: more % 5000, seed }),
        // Longer than one 4 MiB frame of an archive.
        1 => any::<u64>().prop_map(|seed| plain(true, seed, 5_000_000)),
    ]
}

fn plain(noisy: bool, seed: u64, len: usize) -> Content {
    if noisy { Content::Noise { seed, len } } else { Content::Prose { seed, len } }
}

fn metas(of_file: bool) -> impl Strategy<Value = Meta> {
    let root = is_root();
    let ids = select(vec![0u32, 1, 33, 1000, 65534, 4_000_000_000]);
    let acl = || weighted(0.1, (select(vec![0u32, 1, 1234]), 0u16..8));
    (
        weighted(0.6, modes(of_file)),
        weighted(0.3, (ids.clone(), ids)),
        weighted(0.6, times()),
        xattrs(),
        (acl(), acl()),
        weighted(0.1, 1u32..1024),
    )
        .prop_map(move |(mode, owner, mtime, xattrs, (acl, default_acl), capability)| Meta {
            mode,
            owner: owner.filter(|_| root),
            mtime,
            xattrs,
            acl,
            default_acl: default_acl.filter(|_| !of_file),
            capability: capability.filter(|_| root && of_file),
        })
}

/// Modes that let the user who runs the test read the tree.
pub fn modes(of_file: bool) -> impl Strategy<Value = u32> {
    select(match (is_root(), of_file) {
        (true, true) => vec![0o644, 0o600, 0o755, 0o4755, 0o2755, 0o1644, 0o000, 0o400, 0o7777, 0o6711],
        (true, false) => vec![0o755, 0o700, 0o1777, 0o2775, 0o000, 0o500, 0o7777],
        (false, true) => vec![0o644, 0o600, 0o755, 0o4755, 0o400, 0o444],
        (false, false) => vec![0o755, 0o700, 0o1777],
    })
}

pub fn times() -> impl Strategy<Value = (i64, u32)> {
    let seconds = prop_oneof![
        select(vec![-1i64, 0, -86_400 * 365, -2_000_000_000, 1, 2_147_483_647, 4_294_967_296]),
        -2_000_000_000i64..2_000_000_000,
    ];
    (seconds, prop_oneof![Just(0u32), Just(1), Just(999_999_999), 0u32..1_000_000_000])
}

pub fn xattrs() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let names = ["user.a", "user.with%25percent", "user.with=equals", "user.naïve", "user.sp ace"];
    let values = prop_oneof![3 => vec(any::<u8>(), 0..60), 1 => Just(b"line\nline\0=".to_vec()), 1 => vec(any::<u8>(), 300)];
    prop_oneof![4 => Just(Vec::new()), 1 => vec((select(names.to_vec()), values), 1..4)]
}

impl Tree {
    /// Makes the tree in the empty directory `root`. Entries and attributes that the file system refuses, for
    /// example a second entry of one name, are left out: tests look at the tree on disk.
    pub fn make(&self, root: &Path) {
        let mut dirs = vec![root.to_path_buf()];
        let mut others = Vec::new();
        let mut made: Vec<(PathBuf, &Meta)> = vec![(root.to_path_buf(), &self.root)];
        for node in &self.nodes {
            let parent: &PathBuf = node.parent.get(&dirs);
            let path = child(parent, &node.name);
            if fs::symlink_metadata(&path).is_ok() || path.as_os_str().len() > 3000 {
                continue;
            }
            if node.kind.make(&path, &others).is_err() {
                continue;
            }
            match &node.kind {
                NodeKind::Dir => dirs.push(path.clone()),
                NodeKind::Hardlink(_) => {}
                _ => others.push(path.clone()),
            }
            made.push((path, &node.meta));
        }
        for (path, meta) in made.into_iter().rev() {
            meta.apply(&path);
        }
    }
}

pub fn child(dir: &Path, name: &[u8]) -> PathBuf {
    dir.join(OsString::from_vec(name.to_vec()))
}

impl NodeKind {
    /// `others` are the entries that a hard link may link to.
    pub fn make(&self, path: &Path, others: &[PathBuf]) -> io::Result<()> {
        match self {
            NodeKind::Dir => fs::create_dir(path),
            NodeKind::File(content) => content.write(path),
            NodeKind::Symlink(target) => std::os::unix::fs::symlink(OsString::from_vec(target.clone()), path),
            NodeKind::Fifo => Ok(rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from(0o644), 0)?),
            NodeKind::Device { block, major, minor } => {
                let kind = if *block { FileType::BlockDevice } else { FileType::CharacterDevice };
                let device = rustix::fs::makedev(*major, *minor);
                Ok(rustix::fs::mknodat(CWD, path, kind, Mode::from(0o600), device)?)
            }
            NodeKind::Hardlink(_) if others.is_empty() => Err(io::ErrorKind::NotFound.into()),
            NodeKind::Hardlink(index) => fs::hard_link(index.get(others), path),
        }
    }
}

impl Content {
    /// The content; holes read as zeros.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Content::Noise { seed, len } => noise(*seed, *len),
            Content::Prose { seed, len } => prose(*seed, *len),
            Content::Sparse { segments, more, seed } => {
                let mut bytes = Vec::new();
                let last = segments.last().copied().unwrap_or(true);
                for (index, data) in segments.iter().copied().chain([last]).enumerate() {
                    let len = if index < segments.len() { SEGMENT as usize } else { usize::from(*more) };
                    let seed = seed ^ index as u64;
                    bytes.extend(if data { noise(seed, len) } else { vec![0; len] });
                }
                bytes
            }
        }
    }

    pub fn write(&self, path: &Path) -> io::Result<()> {
        let Content::Sparse { segments, .. } = self else {
            return fs::write(path, self.bytes());
        };
        let bytes = self.bytes();
        let file = File::create(path)?;
        file.set_len(bytes.len() as u64)?;
        let last = segments.last().copied().unwrap_or(true);
        for (index, data) in segments.iter().copied().chain([last]).enumerate() {
            let from = index * SEGMENT as usize;
            let to = (from + SEGMENT as usize).min(bytes.len());
            if data {
                file.write_all_at(&bytes[from..to], from as u64)?;
            }
        }
        Ok(())
    }
}

impl Meta {
    /// Sets the owner before mode and capability, because chown removes setuid and capabilities. Sets times
    /// last.
    pub fn apply(&self, path: &Path) {
        let Ok(meta) = fs::symlink_metadata(path) else { return };
        let link = meta.is_symlink();
        if let Some((uid, gid)) = self.owner {
            std::os::unix::fs::lchown(path, Some(uid), Some(gid)).unwrap();
        }
        if !link {
            self.apply_to_inode(path, meta.is_dir(), meta.is_file());
        }
        if let Some(mtime) = self.mtime {
            set_mtime(path, mtime);
        }
    }

    fn apply_to_inode(&self, path: &Path, dir: bool, file: bool) {
        if let Some(mode) = self.mode {
            set_mode(path, mode);
        }
        let mut attributes: Vec<(&str, Vec<u8>)> = Vec::new();
        if dir || file {
            attributes.extend(self.xattrs.iter().cloned());
            attributes.extend(self.acl.map(|acl| ("system.posix_acl_access", acl_bytes(acl))));
        }
        if dir {
            attributes.extend(self.default_acl.map(|acl| ("system.posix_acl_default", acl_bytes(acl))));
        }
        if file {
            attributes.extend(self.capability.map(|caps| ("security.capability", capability_bytes(caps))));
        }
        for (name, value) in attributes {
            // An error is ignored: the file system may have no such attributes, or no room for another one.
            let _ = rustix::fs::lsetxattr(path, name, &value, XattrFlags::empty());
        }
    }
}

pub fn set_mtime(path: &Path, (secs, nanos): (i64, u32)) {
    let time = Timespec { tv_sec: secs, tv_nsec: nanos.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// The kernel's form of an ACL that gives one named user `perm`. Source: linux/posix_acl_xattr.h.
fn acl_bytes((user, perm): (u32, u16)) -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let entries = [(1u16, 7, NOBODY), (2, perm, user), (4, 4, NOBODY), (0x10, 7, NOBODY), (0x20, 0, NOBODY)];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&perm.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

/// The kernel's form, revision 2, of permitted file capabilities. Source: linux/capability.h.
fn capability_bytes(permitted: u32) -> Vec<u8> {
    let words = [0x0200_0001u32, permitted, 0, 0, 0];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
