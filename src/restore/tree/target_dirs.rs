//! The directories of the destination, each opened beneath the destination's descriptor.
//!
//! The owner of a directory may at any time replace a file or directory in it. So a name that is opened again must
//! lead to the inode that was judged or made before, else the restore does nothing there. Otherwise the owner of a
//! directory could make a restore by root give a file of root to that owner.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use crate::entry::{Entry, Path};
use crate::error::{Error, Kind, Result, describe, is_shortage};
use crate::platform::{self, Dir, Stat};
use crate::restore::selection::path_below;
use crate::restore::target::Target;

use super::target_dir::{FileId, TargetDir, replaced};

pub struct TargetDirs {
    /// The destination. `None` in a dry run for a new tree.
    root: Option<Dir>,
    /// The snapshot's directory that is restored as the destination.
    pub base: Path,
    /// The destination is an existing tree, so an entry's name may be in use.
    pub is_existing: bool,
    /// The directory used last, with its path below the root.
    current: Option<(Vec<u8>, Arc<TargetDir>)>,
    /// The directories that lead to the current entry, with the inodes that were judged or made.
    pub known: KnownDirs,
    /// The device of an existing destination, and one directory on each other device that is mounted below it.
    device: Option<u64>,
    mounts: BTreeMap<u64, (Vec<u8>, Dir)>,
}

impl TargetDirs {
    /// `base` is the snapshot's directory that is restored as the destination.
    pub fn new(target: &Target, base: Path, dry_run: bool) -> Result<Self> {
        let root = target.root()?;
        let changed = root.as_ref().filter(|_| target.is_existing() && !dry_run);
        let device = changed.map(|root| root.stat_self().map(|now| now.dev)).transpose();
        let device = device.map_err(|e| Error::new(Kind::Io, "look at the destination", describe(&e)))?;
        Ok(TargetDirs {
            root,
            base,
            is_existing: target.is_existing(),
            current: None,
            known: KnownDirs::default(),
            device,
            mounts: BTreeMap::new(),
        })
    }

    /// The destination's descriptor. `None` in a dry run for a new tree.
    pub fn root(&self) -> Option<&Dir> {
        self.root.as_ref()
    }

    /// Notes that the tree is in its final place. `root` is a descriptor of that place.
    pub fn set_root(&mut self, root: Option<Dir>) {
        self.root = root;
        self.current = None;
    }

    /// Closes the directory used last.
    pub fn forget_current(&mut self) {
        self.current = None;
    }

    /// Turns a path in the snapshot into the path below the destination.
    fn below_root<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        path_below(path, &self.base)
    }

    /// Opens a directory of the destination by its path in the snapshot.
    pub fn open_dir(&self, path: &[u8]) -> io::Result<Dir> {
        let root = self.root.as_ref().ok_or(io::ErrorKind::NotFound)?;
        root.open_dir(self.below_root(path))
    }

    /// The directory that holds `entry`. In path order, most entries share it with the entry before.
    pub fn parent(&mut self, entry: &Entry) -> Result<&Dir> {
        self.dir_of(&entry.path).map_err(|e| Error::io("open the directory of", &entry.path, &e))
    }

    /// The directory that holds `path`.
    pub fn dir_of(&mut self, path: &Path) -> io::Result<&Dir> {
        self.target_dir_of(path).map(|target_dir| &target_dir.dir)
    }

    /// Like [`TargetDirs::parent`], as a shared handle.
    pub fn target_dir(&mut self, entry: &Entry) -> Result<Arc<TargetDir>> {
        let target_dir = self.target_dir_of(&entry.path).cloned();
        target_dir.map_err(|e| Error::io("open the directory of", &entry.path, &e))
    }

    /// Like [`TargetDirs::dir_of`], as a shared handle.
    pub fn target_dir_of(&mut self, path: &Path) -> io::Result<&Arc<TargetDir>> {
        let wanted = self.below_root(path.parent().unwrap_or(&[]));
        if self.current.as_ref().is_none_or(|(path, _)| path != wanted) {
            let below = self.current.as_ref().and_then(|(path, at)| Some((at, below(wanted, path)?)));
            let open = || match (below, &self.root) {
                (Some((at, rest)), _) => at.dir.open_dir(rest),
                (None, Some(root)) => root.open_dir(wanted),
                (None, None) => Err(io::ErrorKind::NotFound.into()),
            };
            // In a new tree, the batches of small files can close directories first.
            let dir = if self.is_existing { platform::patiently(is_shortage, open)? } else { open()? };
            let target_dir = TargetDir::new(dir)?;
            if !self.known.agrees(path.parent().unwrap_or(&[]), target_dir.id) && target_dir.syncs_whole() {
                return Err(replaced());
            }
            let wanted = wanted.to_vec();
            self.note_device(&wanted, target_dir.id.0, &target_dir.dir)?;
            self.current = Some((wanted, Arc::new(target_dir)));
        }
        self.current.as_ref().map(|(_, dir)| dir).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Looks at the name of an entry.
    pub fn stat(&mut self, path: &Path) -> io::Result<Stat> {
        match (*path == self.base, &self.root) {
            (true, Some(root)) => root.stat_self(),
            _ => self.dir_of(path).and_then(|dir| dir.stat(path.name())),
        }
    }

    /// Opens a directory. Fails if its identity is neither `id` nor `other`.
    pub fn open_known(&mut self, path: &Path, id: FileId, other: Option<FileId>) -> io::Result<Dir> {
        let dir = self.open_dir(path.as_bytes())?;
        if !is_still(&dir, id)? && Some(dir.stat_self()?.id()) != other {
            return Err(replaced());
        }
        let below_root = self.below_root(path.as_bytes()).to_vec();
        self.note_device(&below_root, id.0, &dir)?;
        Ok(dir)
    }

    /// The names in a directory, in ascending order.
    pub fn list(&self, path: &Path) -> Result<VecDeque<Box<[u8]>>> {
        let dir = self.open_dir(path.as_bytes()).and_then(|dir| {
            let is_known = self.known.agrees(path.as_bytes(), dir.stat_self()?.id());
            if is_known || !dir.syncs_whole() { Ok(dir) } else { Err(replaced()) }
        });
        let listing = dir.map_err(|e| Error::io("open the directory", path, &e))?.list();
        if let Some(error) = listing.error {
            return Err(Error::io("list the directory", path, &error));
        }
        let mut names: Vec<_> = listing.names.into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        Ok(names.into())
    }

    /// Whether a directory ignores the case of its `names`.
    pub fn ignores_case(&self, path: &Path, names: &VecDeque<Box<[u8]>>) -> Result<bool> {
        let dir = self.open_dir(path.as_bytes()).map_err(|e| Error::io("open the directory", path, &e))?;
        for name in names {
            match dir.folds_case(name) {
                Ok(None) => {}
                Ok(Some(folds)) => return Ok(folds),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("look into the directory", path, &error)),
            }
        }
        Ok(false)
    }

    /// Keeps a directory open if it is the first directory that was opened on its device and that device is not the
    /// destination's own. Its descriptor reports the write-back errors that happen from now on. `path` is the
    /// directory's path below the destination.
    fn note_device(&mut self, path: &[u8], device: u64, dir: &Dir) -> io::Result<()> {
        if self.device.is_some_and(|own| own != device) && !self.mounts.contains_key(&device) {
            self.mounts.insert(device, (path.to_vec(), dir.try_clone()?));
        }
        Ok(())
    }

    /// Syncs the file systems that are mounted below the destination.
    pub fn sync_mounts(&mut self) -> Result<()> {
        for (path, dir) in std::mem::take(&mut self.mounts).into_values() {
            dir.syncfs().map_err(|e| Error::io("sync the file system of", &path, &e))?;
        }
        Ok(())
    }
}

/// The directories that lead to the current entry, each with its path.
#[derive(Default)]
pub struct KnownDirs(Vec<(Path, FileId)>);

impl KnownDirs {
    /// Adds a directory. The directories that do not contain it are forgotten.
    pub fn enter(&mut self, path: &Path, id: FileId) {
        while self.0.pop_if(|(above, _)| !path.is_within(above.as_bytes())).is_some() {}
        self.0.push((path.clone(), id));
    }

    /// False if another directory than `id` is known at `path`.
    pub fn agrees(&self, path: &[u8], id: FileId) -> bool {
        self.0.iter().rev().find(|(known, _)| known.as_bytes() == path).is_none_or(|(_, known)| *known == id)
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Whether a directory is the one that was known. Where a program or another machine assigns the inode numbers (FUSE,
/// NFS), a directory may get a new number while nobody holds it open, so the numbers are not compared.
fn is_still(dir: &Dir, id: FileId) -> io::Result<bool> {
    Ok(dir.stat_self()?.id() == id || !dir.syncs_whole())
}

/// `path` relative to `dir`, if `path` lies strictly below `dir`.
fn below<'p>(path: &'p [u8], dir: &[u8]) -> Option<&'p [u8]> {
    match dir {
        b"" => Some(path),
        _ => path.strip_prefix(dir)?.strip_prefix(b"/"),
    }
}
