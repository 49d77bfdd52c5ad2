//! The directory of a store while it is created for a first backup, and removed again if that backup stores nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{DirAccess, DirStore};
use crate::error::{Error, Kind, Result};
use crate::platform::{self, Dir};
use crate::store::path_bytes;
use crate::text::encode_name;

impl DirStore {
    /// The directory, for writing. It is created if it does not exist and the store may create it.
    pub(super) fn made(&mut self) -> Result<Arc<Dir>> {
        self.check_writes("write to the store")?;
        if let Some(dir) = self.existing()? {
            return Ok(dir);
        }
        if self.access == DirAccess::Existing {
            return Err(self.absent());
        }
        if let Some(error) = self.dangling() {
            return Err(error);
        }
        let making = |error: &io::Error| Error::io("make the store", path_bytes(&self.path), error);
        let mut parents = match self.access {
            DirAccess::CreateParents => make_parents(&self.path).map_err(|e| making(&e))?,
            _ => Vec::new(),
        };
        match platform::make_dir(&self.path, 0o700) {
            Ok(()) => {
                self.is_ours = true;
                self.parents.append(&mut parents);
                platform::sync_parent(&self.path).map_err(|e| making(&e))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                remove_parents(&parents);
                return Err(making(&error));
            }
        }
        self.existing()?
            .ok_or_else(|| Error::new(Kind::Io, "make the store", "it vanished").at(path_bytes(&self.path)))
    }

    /// The error of a store that does not exist because its path, or a directory on it, is a symbolic link to something
    /// that does not exist.
    pub(super) fn dangling(&self) -> Option<Error> {
        let is_dangling = |path: &&Path| path.is_symlink() && matches!(path.try_exists(), Ok(false));
        let link = self.path.ancestors().find(is_dangling)?;
        let target = std::fs::read_link(link).ok()?;
        let detail =
            format!("it is a symbolic link to {}, which does not exist", encode_name(path_bytes(&target)));
        Some(Error::new(Kind::NotFound, "open the store", detail).at(path_bytes(link)))
    }

    /// `Unsupported` if nothing in the directory may be changed. `doing` completes the message "cannot DOING".
    pub(super) fn check_writes(&self, doing: &str) -> Result<()> {
        if self.access != DirAccess::Read {
            return Ok(());
        }
        let error = Error::new(Kind::Unsupported, doing, "the storage was opened for reading only");
        Err(error.at(path_bytes(&self.path)))
    }
}

/// Creates the directories above `path` that do not exist, and makes their names durable. Returns those that it
/// created, the uppermost one first. If it fails, it removes them again.
fn make_parents(path: &Path) -> io::Result<Vec<PathBuf>> {
    let is_absent =
        |dir: &&Path| matches!(dir.symlink_metadata(), Err(e) if e.kind() == io::ErrorKind::NotFound);
    let absent: Vec<&Path> = path.ancestors().skip(1).take_while(is_absent).collect();
    let mut made = Vec::new();
    for dir in absent.into_iter().rev() {
        match platform::make_dir(dir, 0o700) {
            Ok(()) => made.push(dir.to_path_buf()),
            // Another process created it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => {
                remove_parents(&made);
                return Err(error);
            }
        }
        if let Err(error) = platform::sync_parent(dir) {
            remove_parents(&made);
            return Err(error);
        }
    }
    Ok(made)
}

/// Removes directories that [`make_parents`] created, the lowest first, up to the first directory that is not empty.
fn remove_parents(made: &[PathBuf]) {
    for dir in made.iter().rev() {
        if std::fs::remove_dir(dir).is_err() {
            return;
        }
    }
}

/// The directory of a store that was created for a backup. That backup still holds the lock.
pub(super) struct CreatedStoreDir {
    dir: Arc<Dir>,
    path: PathBuf,
    /// The directories above `path` that were created too.
    parents: Vec<PathBuf>,
    /// The name of the lock file.
    lock: String,
}

impl CreatedStoreDir {
    /// The directory of `store`, if this store created it.
    pub(super) fn of(store: &DirStore, lock: &str) -> Option<Self> {
        let dir = store.dir.clone().filter(|_| store.is_ours)?;
        let (path, parents) = (store.path.clone(), store.parents.clone());
        Some(CreatedStoreDir { dir, path, parents, lock: lock.to_string() })
    }

    /// True if the directory contains only the lock file: no backup stored anything.
    pub(super) fn is_unused(&self) -> bool {
        let listing = self.dir.list();
        listing.error.is_none() && listing.names.iter().all(|(name, _)| **name == *self.lock.as_bytes())
    }

    /// Removes the directory again if no backup stored anything. A process that has opened the lock file meanwhile
    /// finds that the file lost its name, and starts again.
    pub(super) fn remove_if_unused(&self) {
        let removed = self.is_unused() && self.dir.unlink(self.lock.as_bytes()).is_ok();
        // Fails if another process put a file into the directory. The directory then stays.
        if removed && std::fs::remove_dir(&self.path).is_ok() {
            remove_parents(&self.parents);
        }
    }
}
