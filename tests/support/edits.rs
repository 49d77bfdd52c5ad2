//! Random edits of a tree on disk. An edit picks its target among the existing entries, so that it still
//! works after proptest has shrunk the tree or the list of edits.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use rustix::fs::{FallocateFlags, XattrFlags};

use super::tools::{is_root, noise, set_mode};
use super::tree::{Node, child, modes, names, nodes, set_mtime, times, xattrs};

#[derive(Clone, Debug)]
pub struct Edit {
    /// Picks the target among the entries on which the edit is possible.
    at: Index,
    /// Picks the second place that some edits need: a directory, or an offset in a file.
    to: Index,
    /// Determines the new bytes, and whether `Chmod` takes a file or a directory.
    seed: u64,
    kind: EditKind,
}

#[derive(Clone, Debug)]
enum EditKind {
    Append(u16),
    Prepend(u16),
    Insert(u16),
    Overwrite(u16),
    /// Overwrites some bytes, keeps the size, and puts the mtime back.
    OverwriteSecretly,
    Truncate,
    /// Deletes the entry and makes another one in its place.
    Replace(Node),
    RenameFile(Vec<u8>),
    RenameDir(Vec<u8>),
    Delete,
    DeleteDir,
    Add(Node),
    /// The mode for a file, and the mode for a directory.
    Chmod(u32, u32),
    Touch((i64, u32)),
    Xattrs(Vec<(&'static str, Vec<u8>)>),
    RemoveXattrs,
    Link(Vec<u8>),
    BreakLink,
    PunchHole,
    /// Makes a second file with the same bytes.
    Copy(Vec<u8>),
    /// Moves a file by a copy, so that it has another inode.
    MoveByCopy(Vec<u8>),
    /// Makes all files of a directory again, with the same bytes and other inodes.
    MakeAgain,
}

pub fn edits(most: usize) -> impl Strategy<Value = Vec<Edit>> {
    vec((any::<Index>(), any::<Index>(), any::<u64>(), edit_kinds()), 0..most)
        .prop_map(|edits| edits.into_iter().map(|(at, to, seed, kind)| Edit { at, to, seed, kind }).collect())
}

fn edit_kinds() -> impl Strategy<Value = EditKind> {
    let len = || prop_oneof![Just(1u16), 1u16..2000, Just(60_000)];
    prop_oneof![
        8 => content_edit_kinds(),
        1 => nodes().prop_map(EditKind::Replace),
        1 => names().prop_map(EditKind::RenameFile),
        1 => names().prop_map(EditKind::RenameDir),
        1 => Just(EditKind::Delete),
        1 => Just(EditKind::DeleteDir),
        2 => nodes().prop_map(EditKind::Add),
        1 => (modes(true), modes(false)).prop_map(|(file, dir)| EditKind::Chmod(file, dir)),
        1 => times().prop_map(EditKind::Touch),
        1 => xattrs().prop_map(EditKind::Xattrs),
        1 => Just(EditKind::RemoveXattrs),
        1 => names().prop_map(EditKind::Link),
        1 => Just(EditKind::BreakLink),
        2 => names().prop_map(EditKind::Copy),
        1 => names().prop_map(EditKind::MoveByCopy),
        1 => Just(EditKind::MakeAgain),
        1 => len().prop_map(EditKind::Append),
    ]
}

fn content_edit_kinds() -> impl Strategy<Value = EditKind> {
    let len = || prop_oneof![Just(1u16), 1u16..2000, Just(60_000)];
    prop_oneof![
        len().prop_map(EditKind::Prepend),
        len().prop_map(EditKind::Insert),
        len().prop_map(EditKind::Overwrite),
        Just(EditKind::OverwriteSecretly),
        Just(EditKind::Truncate),
        Just(EditKind::PunchHole),
    ]
}

impl Edit {
    /// Makes the edit, or does nothing if no entry is suitable.
    pub fn apply(&self, root: &Path) {
        let there = Listing::of(root);
        let to = self.to.get(&there.dirs[..]).clone();
        let new = |name: &[u8]| child(&to, name);
        match &self.kind {
            EditKind::Add(node) => make(node, &new(&node.name), &there),
            EditKind::Replace(node) => self.on(&there.others, |path| {
                fs::remove_file(path)?;
                make(node, path, &there);
                Ok(())
            }),
            EditKind::RenameFile(name) => self.on(&there.others, |path| rename(path, &new(name))),
            EditKind::RenameDir(name) => self.on(&there.dirs[1..], |path| rename(path, &new(name))),
            EditKind::Delete => self.on(&there.others, |path| fs::remove_file(path)),
            EditKind::DeleteDir => self.on(&there.dirs[1..], |path| fs::remove_dir_all(path)),
            EditKind::Link(name) => self.on(&there.others, |path| fs::hard_link(path, new(name))),
            EditKind::BreakLink => self.on(&there.files, break_link),
            EditKind::Copy(name) => self.on(&there.files, |path| copy(path, &new(name))),
            EditKind::MoveByCopy(name) => self.on(&there.files, |path| {
                copy(path, &new(name))?;
                fs::remove_file(path)
            }),
            EditKind::MakeAgain => self.on(&there.dirs, |dir| {
                let files = there.files.iter().filter(|file| file.parent() == Some(dir));
                files.into_iter().try_for_each(|file| break_link(file))
            }),
            EditKind::Chmod(file, _) if self.seed.is_multiple_of(2) => self.on(&there.files, |path| {
                set_mode(path, *file);
                Ok(())
            }),
            EditKind::Chmod(_, dir) => self.on(&there.dirs, |path| {
                set_mode(path, *dir);
                Ok(())
            }),
            EditKind::Touch(time) => self.on(&there.all(), |path| {
                set_mtime(path, *time);
                Ok(())
            }),
            EditKind::Xattrs(xattrs) => self.on(&there.files, |path| {
                set_xattrs(path, xattrs);
                Ok(())
            }),
            EditKind::RemoveXattrs => self.on(&there.files, |path| {
                remove_xattrs(path);
                Ok(())
            }),
            content => self.on(&there.files, |path| self.rewrite(content, path)),
        }
    }

    /// Calls `act` with one of `targets`. Errors of the system, such as an existing name or a full disk, are
    /// ignored.
    fn on(&self, targets: &[PathBuf], act: impl FnOnce(&Path) -> io::Result<()>) {
        if !targets.is_empty() {
            let target: &PathBuf = self.at.get(targets);
            let _ = act(target);
        }
    }

    fn rewrite(&self, kind: &EditKind, path: &Path) -> io::Result<()> {
        let meta = fs::metadata(path)?;
        let place = if meta.len() == 0 { 0 } else { self.to.index(meta.len() as usize) };
        with_write(path, |file| match kind {
            EditKind::Append(len) => file.write_all_at(&noise(self.seed, usize::from(*len)), meta.len()),
            EditKind::Prepend(len) => self.insert(file, path, 0, *len),
            EditKind::Insert(len) => self.insert(file, path, place, *len),
            EditKind::Overwrite(len) => file.write_all_at(&noise(self.seed, usize::from(*len)), place as u64),
            EditKind::OverwriteSecretly => {
                let len = (meta.len() as usize - place).min(100);
                file.write_all_at(&noise(self.seed, len), place as u64)
            }
            EditKind::Truncate => file.set_len(place as u64),
            EditKind::PunchHole => punch(file, place as u64, meta.len() / 2),
            other => unreachable!("{other:?} does not rewrite a file"),
        })?;
        if let EditKind::OverwriteSecretly = kind {
            set_mtime(path, (meta.mtime(), meta.mtime_nsec() as u32));
        }
        Ok(())
    }

    /// Inserts bytes and keeps the inode, as an editor does that rewrites a file in place.
    fn insert(&self, file: &File, path: &Path, place: usize, len: u16) -> io::Result<()> {
        let mut bytes = fs::read(path)?;
        bytes.splice(place..place, noise(self.seed, usize::from(len)));
        file.write_all_at(&bytes, 0)
    }
}

/// The entries of a tree, sorted.
struct Listing {
    /// The root is first.
    dirs: Vec<PathBuf>,
    files: Vec<PathBuf>,
    /// All entries that are not directories, including `files`.
    others: Vec<PathBuf>,
}

impl Listing {
    fn of(root: &Path) -> Listing {
        let mut listing = Listing { dirs: Vec::new(), files: Vec::new(), others: Vec::new() };
        for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
            let entry = entry.unwrap();
            let (kind, path) = (entry.file_type(), entry.into_path());
            if kind.is_dir() {
                listing.dirs.push(path);
            } else {
                if kind.is_file() {
                    listing.files.push(path.clone());
                }
                listing.others.push(path);
            }
        }
        listing
    }

    fn all(&self) -> Vec<PathBuf> {
        [&self.dirs[..], &self.others].concat()
    }
}

fn make(node: &Node, path: &Path, there: &Listing) {
    if fs::symlink_metadata(path).is_err() && node.kind.make(path, &there.others).is_ok() {
        node.meta.apply(path);
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    if fs::symlink_metadata(to).is_ok() || to.starts_with(from) {
        return Ok(());
    }
    fs::rename(from, to)
}

/// Copies a file to a path that does not exist. Holes stay holes, because data in their place would be another content.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    copy_data(&File::open(from)?, to)
}

fn copy_data(from: &File, to: &Path) -> io::Result<()> {
    let to = OpenOptions::new().write(true).create_new(true).open(to)?;
    to.set_len(from.metadata()?.len())?;
    let seek = |at: u64, whence| {
        // SAFETY: takes an open descriptor and numbers only.
        u64::try_from(unsafe { libc::lseek(from.as_raw_fd(), at as libc::off_t, whence) }).ok()
    };
    let mut at = 0;
    while let Some(data) = seek(at, libc::SEEK_DATA) {
        at = seek(data, libc::SEEK_HOLE).ok_or_else(io::Error::last_os_error)?;
        let mut bytes = vec![0; (at - data) as usize];
        from.read_exact_at(&mut bytes, data)?;
        to.write_all_at(&bytes, data)?;
    }
    Ok(())
}

/// Gives this name a new inode with the same bytes and holes.
fn break_link(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions();
    // The open file outlives its name, so that the copy needs no other name.
    let from = File::open(path)?;
    fs::remove_file(path)?;
    copy_data(&from, path)?;
    fs::set_permissions(path, mode)
}

/// Opens a file for writing. If the mode forbids that, changes the mode meanwhile.
fn with_write(path: &Path, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions();
    if !is_root() {
        fs::set_permissions(path, fs::Permissions::from_mode(mode.mode() | 0o600))?;
    }
    let result = OpenOptions::new().write(true).open(path).and_then(|file| write(&file));
    if !is_root() {
        fs::set_permissions(path, mode)?;
    }
    result
}

fn punch(file: &File, offset: u64, len: u64) -> io::Result<()> {
    if len > 0 {
        rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len)?;
    }
    Ok(())
}

fn set_xattrs(path: &Path, xattrs: &[(&'static str, Vec<u8>)]) {
    for (name, value) in xattrs {
        let _ = rustix::fs::lsetxattr(path, *name, value, XattrFlags::empty());
    }
}

fn remove_xattrs(path: &Path) {
    let mut names = vec![0; 65536];
    let len = rustix::fs::llistxattr(path, &mut names).unwrap_or(0);
    for name in names[..len].split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let _ = rustix::fs::lremovexattr(path, name);
    }
}
