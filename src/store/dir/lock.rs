//! The lock files of a directory store: `KEY.lock`. Four bytes of the file are locked ([`LockPart`]).

use std::fs::File;
use std::io;

use super::created::CreatedStoreDir;
use super::{DirAccess, DirStore, not_regular};
use crate::entry::FileType;
use crate::error::{Error, Kind, Result, describe, is_shortage};
use crate::format::names::lock_name;
use crate::platform::{self, Dir, LockPart};
use crate::store::{Lock, LockMode, Store, Turn, path_bytes};

/// Number of attempts to lock a key whose lock file other processes keep removing.
const LOCK_TRIES: u32 = 100;

/// Advice for a writer where locks are impossible.
const ADVICE: &str = "if nobody else writes to this key meanwhile, writing without a lock can be allowed (ibt --no-lock, \
                      ibt_options_set_allow_unlocked())";

/// Advice for an operation that cannot get the lock because of another operation.
const TO_WAIT: &str =
    "try again when that has ended, or let this operation wait (ibt_options_set_lock_wait())";

/// The result of opening a lock file.
enum OpenedLockFile {
    File(File),
    /// No lock is needed: there was no writer yet, or there can be none.
    NotNeeded,
    /// The process that created the directory has removed it again.
    Gone,
}

impl DirStore {
    /// Locks `key`. `Unsupported` where locks are impossible: the file system has no locks, or the lock's name
    /// belongs to a file of another type.
    pub(super) fn lock_key(&mut self, key: &str, mode: LockMode) -> Result<Lock> {
        self.try_lock_key(key, mode).map_err(|error| match error.kind {
            Kind::Unsupported if !mode.only_reads() => {
                Error { detail: format!("{}; {ADVICE}", error.detail), ..error }
            }
            _ => error,
        })
    }

    fn try_lock_key(&mut self, key: &str, mode: LockMode) -> Result<Lock> {
        let name = lock_name(key);
        for _ in 0..LOCK_TRIES {
            let opened = match mode {
                LockMode::Read | LockMode::Forecast => self.open_for_reader(key, &name, mode)?,
                LockMode::Write | LockMode::Delete => self.open_for_writer(&name)?,
            };
            let file = match opened {
                OpenedLockFile::File(file) => file,
                OpenedLockFile::NotNeeded => return Ok(Box::new(())),
                OpenedLockFile::Gone => continue,
            };
            match lock_as(mode, &file) {
                Ok(true) if self.is_named(&name, &file) => return Ok(self.lock_of(file, name, mode)),
                Ok(false) if self.is_named(&name, &file) => return Err(self.busy(&name, &file, mode)),
                // The lock file was removed before we locked it.
                Ok(_) => {}
                Err(error) => return Err(self.cannot_lock(&name, mode, &error)),
            }
        }
        let gone = Error::new(Kind::Busy, "lock", "other operations remove it again and again");
        Err(gone.at(path_bytes(&self.path.join(&name))))
    }

    /// The error of an operation that the lock of another operation excludes.
    fn busy(&self, name: &str, file: &File, mode: LockMode) -> Error {
        let (part, exclusive) = part_of(mode);
        let own = platform::lock_in_the_way(file, part, exclusive).ok().flatten();
        let entrance = || platform::lock_in_the_way(file, LockPart::Entrance, false).ok().flatten();
        let who = match own.or_else(|| entrance().filter(|_| mode != LockMode::Delete)) {
            Some(LockPart::Writing) => "a backup or a consolidation of this key is running",
            Some(LockPart::Reading) => "an operation that reads this key is running, such as a restore",
            Some(LockPart::Key) => "a prune of this key is running",
            Some(LockPart::Entrance | LockPart::Turn) => "a prune of this key waits for it and goes first",
            None => "another operation held it a moment ago",
        };
        Error::new(Kind::Busy, "lock", format!("{who}; {TO_WAIT}")).at(path_bytes(&self.path.join(name)))
    }

    /// True if a backup, a consolidation or a prune holds `key` now, or if this is unknown.
    pub(super) fn is_key_written(&mut self, key: &str) -> Result<bool> {
        let Some(dir) = self.existing()? else { return Ok(false) };
        let name = lock_name(key);
        if other_kind(&dir, &name).is_some() {
            return Ok(true);
        }
        match dir.open_file(name.as_bytes()) {
            Ok(file) => Ok(!matches!(platform::lock_in_the_way(&file, LockPart::Writing, false), Ok(None))),
            Err(error) => Ok(error.kind() != io::ErrorKind::NotFound),
        }
    }

    /// Takes the turn of the prune that waits for `key`. `None` if another prune has the turn.
    pub(super) fn take_turn_of(&mut self, key: &str) -> Result<Option<Box<dyn Turn>>> {
        let name = lock_name(key);
        let Some(dir) = self.existing()? else { return Ok(None) };
        if other_kind(&dir, &name).is_some() {
            return Ok(None);
        }
        // A lock file that cannot be opened is reported by the next attempt to lock the key.
        let Ok(file) = dir.open_or_create(name.as_bytes(), 0o600) else { return Ok(None) };
        match platform::try_lock(&file, LockPart::Turn, true) {
            Ok(true) => Ok(Some(Box::new(PruneTurn { file, others_are_out: false }))),
            _ => Ok(None),
        }
    }

    fn lock_of(&self, file: File, lock: String, mode: LockMode) -> Lock {
        let made = CreatedStoreDir::of(self, &lock).filter(|_| !mode.only_reads());
        Box::new(DirStoreLock { made, locked: LockedKey(file) })
    }

    fn open_for_writer(&mut self, name: &str) -> Result<OpenedLockFile> {
        let dir = self.made()?;
        self.check_lock_file(&dir, name)?;
        match dir.open_or_create(name.as_bytes(), 0o600) {
            Ok(file) => Ok(OpenedLockFile::File(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.dir = None;
                Ok(OpenedLockFile::Gone)
            }
            Err(error) => Err(self.trouble("open the lock", name, &error)),
        }
    }

    /// Opens the lock file for a reader. The file is created only if the key has files to read. On a read-only file
    /// system no lock is needed. `Unsupported` if this reader can neither open nor create the file: then it reads
    /// without a lock.
    fn open_for_reader(&mut self, key: &str, name: &str, mode: LockMode) -> Result<OpenedLockFile> {
        let Some(dir) = self.existing()? else { return Ok(OpenedLockFile::NotNeeded) };
        self.check_lock_file(&dir, name)?;
        let found = match dir.open_file(name.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if mode == LockMode::Forecast {
                    return Ok(OpenedLockFile::NotNeeded);
                }
                if !self.keys_listed.contains(key) {
                    // The listing notes the keys of its files.
                    self.list(&format!("{key}."))?;
                }
                if !self.keys_listed.contains(key) {
                    return Ok(OpenedLockFile::NotNeeded);
                }
                if self.access == DirAccess::Read {
                    let detail =
                        "the storage was opened for reading only, and nobody has created the file yet";
                    return Err(self.unsupported(name, detail.to_string()));
                }
                match dir.open_or_create(name.as_bytes(), 0o600) {
                    // The disk may be full, or have no inodes left.
                    Err(error) if !is_read_only(&error) && !is_shortage(&error) => {
                        return Err(self.unsupported(name, describe(&error)));
                    }
                    made => made,
                }
            }
            found => found,
        };
        match found {
            Ok(file) => Ok(OpenedLockFile::File(file)),
            Err(error) if is_read_only(&error) => Ok(OpenedLockFile::NotNeeded),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(self.unsupported(name, describe(&error)))
            }
            Err(error) => Err(self.trouble("open the lock", name, &error)),
        }
    }

    /// Refuses a lock file that is not a regular file, without opening it.
    fn check_lock_file(&self, dir: &Dir, name: &str) -> Result<()> {
        match other_kind(dir, name) {
            None => Ok(()),
            Some(kind) => Err(self.unsupported(name, format!("{}: remove it", not_regular(kind)))),
        }
    }

    fn cannot_lock(&self, name: &str, mode: LockMode, error: &io::Error) -> Error {
        if !platform::lacks_locks(error) {
            return self.trouble("lock", name, error);
        }
        if let Some(created) = CreatedStoreDir::of(self, name).filter(|_| !mode.only_reads()) {
            created.remove_if_unused();
        }
        let detail =
            format!("{}: the system, or the file system of the store, has no locks", describe(error));
        Error { os_code: error.raw_os_error().unwrap_or(0), ..self.unsupported(name, detail) }
    }

    fn unsupported(&self, name: &str, detail: String) -> Error {
        Error::new(Kind::Unsupported, "lock", detail).at(path_bytes(&self.path.join(name)))
    }

    /// True if `file` still is the lock file with this name.
    fn is_named(&self, name: &str, file: &File) -> bool {
        // Both inode numbers come from descriptors, because some file systems report another inode number for a path
        // than for the open file.
        let named = match self.dir.as_ref().map(|dir| dir.open_file(name.as_bytes())) {
            Some(Ok(named)) => named,
            Some(Err(error)) => return !is_gone(&error),
            None => return false,
        };
        match (platform::stat_file(&named), platform::stat_file(file)) {
            (Ok(named), Ok(opened)) => named.id() == opened.id(),
            // A file whose metadata cannot be read any more was removed.
            _ => false,
        }
    }
}

/// The part of the lock file that an operation locks, and whether that lock is exclusive.
fn part_of(mode: LockMode) -> (LockPart, bool) {
    match mode {
        LockMode::Read | LockMode::Forecast => (LockPart::Reading, false),
        LockMode::Write => (LockPart::Writing, true),
        LockMode::Delete => (LockPart::Key, true),
    }
}

/// Tries to lock the key. Readers and writers first pass [`LockPart::Entrance`], which a waiting prune locks to keep
/// them out.
fn lock_as(mode: LockMode, file: &File) -> io::Result<bool> {
    let (part, exclusive) = part_of(mode);
    if mode == LockMode::Delete {
        return platform::try_lock(file, part, exclusive);
    }
    if !platform::try_lock(file, LockPart::Entrance, false)? {
        return Ok(false);
    }
    let locked = platform::try_lock(file, part, exclusive);
    platform::unlock(file, LockPart::Entrance);
    locked
}

/// The type of the file `name`, if it is not a regular file.
fn other_kind(dir: &Dir, name: &str) -> Option<FileType> {
    dir.stat(name.as_bytes()).ok().map(|stat| stat.kind).filter(|kind| *kind != FileType::File)
}

/// True if the file does not exist, or no longer exists.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

fn is_read_only(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ReadOnlyFilesystem
}

/// The turn of a waiting prune, given up when dropped.
struct PruneTurn {
    file: File,
    others_are_out: bool,
}

impl Turn for PruneTurn {
    fn keep_others_out(&mut self, out: bool) {
        match (out, self.others_are_out) {
            // This can fail while a newcomer holds the byte for a moment. The caller tries again.
            (true, false) => {
                let tried = platform::try_lock(&self.file, LockPart::Entrance, true);
                self.others_are_out = tried.unwrap_or(false);
            }
            (false, true) => {
                platform::unlock(&self.file, LockPart::Entrance);
                self.others_are_out = false;
            }
            _ => {}
        }
    }
}

impl Drop for PruneTurn {
    fn drop(&mut self) {
        self.keep_others_out(false);
        platform::unlock(&self.file, LockPart::Turn);
    }
}

/// The lock on [`LockPart::Key`] of a lock file or on a part of it, released when dropped.
struct LockedKey(File);

impl Drop for LockedKey {
    fn drop(&mut self) {
        platform::unlock(&self.0, LockPart::Key);
    }
}

/// A lock on a key.
struct DirStoreLock {
    made: Option<CreatedStoreDir>,
    locked: LockedKey,
}

impl Drop for DirStoreLock {
    fn drop(&mut self) {
        let Some(made) = self.made.as_ref().filter(|made| made.is_unused()) else { return };
        // A reader may have locked the file that would be removed. The directory then stays. Locking the whole key
        // keeps other operations out for a moment, so it is done only for a directory without backup files.
        if platform::try_lock(&self.locked.0, LockPart::Key, true).unwrap_or(false) {
            made.remove_if_unused();
        }
    }
}
