//! The lock files of a directory store: `KEY.lock`, of which three bytes are locked ([`LockPart`]).

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{not_regular, DirStore};
use crate::error::{describe, Error, Kind, Result};
use crate::format::names::lock_name;
use crate::platform::{self, Dir, FileKind, LockPart};
use crate::store::{path_bytes, Lock, LockMode, Store, Turn};

/// How often a lock file is opened that others remove as often.
const LOCK_TRIES: u32 = 100;

/// What a writer can do where nothing can be locked.
const ADVICE: &str =
    "if nobody else writes to this key meanwhile, writing without a lock can be allowed (ibt --no-lock, \
                      ibt_options_set_allow_unlocked())";

/// What became of opening a lock file.
enum Opened {
    File(File),
    /// No writer was here, or none can come: there is nothing to wait for.
    NotNeeded,
    /// Whoever made the directory has removed it again.
    Gone,
}

impl DirStore {
    /// Locks `key`. `Unsupported` where that is impossible: the file system has no locks, or something else stands
    /// under the lock's name.
    pub(super) fn lock_key(&mut self, key: &str, mode: LockMode) -> Result<Lock> {
        self.try_lock_key(key, mode).map_err(|error| match error.kind {
            Kind::Unsupported if mode == LockMode::Exclusive => {
                Error { detail: format!("{}; {ADVICE}", error.detail), ..error }
            }
            _ => error,
        })
    }

    fn try_lock_key(&mut self, key: &str, mode: LockMode) -> Result<Lock> {
        let name = lock_name(key);
        for _ in 0..LOCK_TRIES {
            let opened = match mode {
                LockMode::Exclusive => self.open_for_writer(&name)?,
                LockMode::Shared => self.open_for_reader(key, &name)?,
            };
            let file = match opened {
                Opened::File(file) => file,
                Opened::NotNeeded => return Ok(Box::new(())),
                Opened::Gone => continue,
            };
            let tried = match mode {
                LockMode::Exclusive => platform::try_lock(&file, LockPart::Key, true),
                LockMode::Shared => lock_as_reader(&file),
            };
            match tried {
                Ok(true) if self.is_named(&name, &file) => return Ok(self.held(file, name, mode)),
                // It was removed while we waited for it.
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(self.cannot_lock(&name, mode, &error)),
            }
        }
        let busy = Error::new(Kind::Busy, "lock", "another operation holds it");
        Err(busy.at(path_bytes(&self.path.join(&name))))
    }

    /// Takes the turn of a writer that waits for `key`. `None` if another writer has it.
    pub(super) fn take_turn_of(&mut self, key: &str) -> Result<Option<Box<dyn Turn>>> {
        let name = lock_name(key);
        let Some(dir) = self.existing()? else { return Ok(None) };
        if other_kind(&dir, &name).is_some() {
            return Ok(None);
        }
        // Whatever is wrong with the lock file, the next try to lock the key says so.
        let Ok(file) = dir.open_or_create(name.as_bytes(), 0o600) else { return Ok(None) };
        match platform::try_lock(&file, LockPart::Turn, true) {
            Ok(true) => Ok(Some(Box::new(WriterTurn { file, readers_are_out: false }))),
            _ => Ok(None),
        }
    }

    fn held(&self, file: File, lock: String, mode: LockMode) -> Lock {
        let dir = self.dir.clone().filter(|_| self.is_ours && mode == LockMode::Exclusive);
        let made = dir.map(|dir| Made { dir, path: self.path.clone(), lock });
        Box::new(Held { made, _locked: LockedKey(file) })
    }

    fn open_for_writer(&mut self, name: &str) -> Result<Opened> {
        let dir = self.made()?;
        self.check_lock_file(&dir, name)?;
        match dir.open_or_create(name.as_bytes(), 0o600) {
            Ok(file) => Ok(Opened::File(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.dir = None;
                Ok(Opened::Gone)
            }
            Err(error) => Err(self.trouble("open the lock", name, &error)),
        }
    }

    /// The lock file is made only where there is something to read, and not needed where nobody can write.
    fn open_for_reader(&mut self, key: &str, name: &str) -> Result<Opened> {
        let Some(dir) = self.existing()? else { return Ok(Opened::NotNeeded) };
        self.check_lock_file(&dir, name)?;
        let found = match dir.open_file(name.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !self.keys_listed.contains(key) && self.list(&format!("{key}."))?.is_empty() {
                    return Ok(Opened::NotNeeded);
                }
                match dir.open_or_create(name.as_bytes(), 0o600) {
                    // No room, no inodes: a reader needs neither.
                    Err(error) if !is_read_only(&error) && !crate::error::is_shortage(&error) => {
                        return Err(self.unsupported(name, describe(&error)));
                    }
                    made => made,
                }
            }
            found => found,
        };
        match found {
            Ok(file) => Ok(Opened::File(file)),
            Err(error) if is_read_only(&error) => Ok(Opened::NotNeeded),
            Err(error) => Err(self.trouble("open the lock", name, &error)),
        }
    }

    /// Refuses what is no regular file without opening it.
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
        if let Some(dir) = self.dir.clone().filter(|_| self.is_ours && mode == LockMode::Exclusive) {
            Made { dir, path: self.path.clone(), lock: name.to_string() }.remove_if_unused();
        }
        let detail = format!("{}: the file system of the store has no locks", describe(error));
        Error { os_code: error.raw_os_error().unwrap_or(0), ..self.unsupported(name, detail) }
    }

    fn unsupported(&self, name: &str, detail: String) -> Error {
        Error::new(Kind::Unsupported, "lock", detail).at(path_bytes(&self.path.join(name)))
    }

    /// Whether a lock file still is the one of this name.
    fn is_named(&self, name: &str, file: &File) -> bool {
        // Both by descriptor: some file systems give a name another inode number than what is open.
        let named = match self.dir.as_ref().map(|dir| dir.open_file(name.as_bytes())) {
            Some(Ok(named)) => named,
            Some(Err(error)) => return !is_gone(&error),
            None => return false,
        };
        match (platform::stat_file(&named), platform::stat_file(file)) {
            (Ok(named), Ok(opened)) => named.id() == opened.id(),
            // What cannot be looked at any more is gone.
            _ => false,
        }
    }
}

/// Passes the byte that a waiting writer locks to keep readers out, then locks the key beside other readers.
fn lock_as_reader(file: &File) -> io::Result<bool> {
    if !platform::try_lock(file, LockPart::Readers, false)? {
        return Ok(false);
    }
    let locked = platform::try_lock(file, LockPart::Key, false);
    platform::unlock(file, LockPart::Readers);
    locked
}

/// What stands under a name, if it is no regular file.
fn other_kind(dir: &Dir, name: &str) -> Option<FileKind> {
    dir.stat(name.as_bytes()).ok().map(|stat| stat.kind).filter(|kind| *kind != FileKind::File)
}

/// Whether there is no such file, or not any more.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

/// The turn of a writer that waits, given up when dropped.
struct WriterTurn {
    file: File,
    readers_are_out: bool,
}

impl Turn for WriterTurn {
    fn keep_readers_out(&mut self, out: bool) {
        match (out, self.readers_are_out) {
            // A reader may be passing just now.
            (true, false) => {
                let tried = platform::try_lock(&self.file, LockPart::Readers, true);
                self.readers_are_out = tried.unwrap_or(false);
            }
            (false, true) => {
                platform::unlock(&self.file, LockPart::Readers);
                self.readers_are_out = false;
            }
            _ => {}
        }
    }
}

impl Drop for WriterTurn {
    fn drop(&mut self) {
        self.keep_readers_out(false);
        platform::unlock(&self.file, LockPart::Turn);
    }
}

/// The key's part of a lock file, given up when dropped.
struct LockedKey(File);

impl Drop for LockedKey {
    fn drop(&mut self) {
        platform::unlock(&self.0, LockPart::Key);
    }
}

/// A lock on a key.
struct Held {
    made: Option<Made>,
    _locked: LockedKey,
}

/// A store's directory that was made for the backup that holds this lock.
struct Made {
    dir: Arc<Dir>,
    path: PathBuf,
    lock: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(made) = &self.made {
            made.remove_if_unused();
        }
    }
}

impl Made {
    /// Takes the directory away again if no backup came of it: nothing but the lock is there. Whoever has opened the
    /// lock meanwhile sees that it has no name any more.
    fn remove_if_unused(&self) {
        let listing = self.dir.list();
        let unused =
            listing.error.is_none() && listing.names.iter().all(|(name, _)| **name == *self.lock.as_bytes());
        if unused && self.dir.unlink(self.lock.as_bytes()).is_ok() {
            // Others may have come to use it: then it stays.
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}
