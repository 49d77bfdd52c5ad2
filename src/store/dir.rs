//! A store that is a directory: one file for each backup file, one lock file for each key.

mod lock;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;

use super::{is_unheld, path_bytes, Draft, Lock, LockMode, Object, Store, Turn};
use crate::error::{Error, Kind, Result};
use crate::format::names::{Name, TEMP_PREFIX};
use crate::platform::{self, Dir, FileKind, LockPart};
use crate::stamp::Time;

/// Write-back is started each time this much has been written, so that the last fsync is short.
const WRITEBACK_EVERY: u64 = 8 << 20;

/// A draft is a killed run's if nobody holds it open and it is as old as this (seconds), unless its key is locked: where
/// other machines write, or file systems have no locks at times, a lock on the draft alone may not be seen.
const ABANDONED_SECS: i64 = 86_400;

/// Backup files in a directory. Nothing is made on disk before the first backup, and nothing is left if that does not
/// come about.
pub struct DirStore {
    path: PathBuf,
    /// Opened when first needed and found.
    dir: Option<Arc<Dir>>,
    /// It was made through this handle, for a first backup.
    is_ours: bool,
    /// The file read last: ranges of one file come in rows.
    reading: Option<(String, File)>,
    private: bool,
    /// Keys that some listing showed files of.
    keys_listed: HashSet<String>,
}

impl DirStore {
    /// The store at `path`, which need not exist yet; its parent directory must when a backup is made. A relative
    /// path is that of the current directory of now.
    pub fn open(path: impl Into<PathBuf>) -> DirStore {
        let path = path.into();
        // Without a current directory a relative path leads nowhere, whatever is made of it.
        let path = std::path::absolute(&path).unwrap_or(path);
        let (reading, keys_listed) = (None, HashSet::new());
        DirStore { path, dir: None, is_ours: false, reading, private: false, keys_listed }
    }

    /// The default store: `ibt-UID` in `$TMPDIR`, `$TEMP`, `$TMP` or `/tmp`. It must be a directory of
    /// this user, closed to others, and no symbolic link.
    pub fn open_default() -> Result<DirStore> {
        let named = ["TMPDIR", "TEMP", "TMP"].iter().filter_map(std::env::var_os).find(|dir| !dir.is_empty());
        let base = PathBuf::from(named.unwrap_or_else(|| "/tmp".into()));
        let path = base.join(format!("ibt-{}", platform::effective_uid()));
        let mut store = DirStore { private: true, ..DirStore::open(path) };
        store.existing()?;
        Ok(store)
    }

    fn trouble(&self, op: &str, name: &str, error: &io::Error) -> Error {
        let kind = if error.kind() == io::ErrorKind::AlreadyExists { Kind::Exists } else { Kind::Io };
        Error { kind, ..Error::io(op, path_bytes(&self.path.join(name)), error) }
    }

    /// The directory if it is there.
    fn existing(&mut self) -> Result<Option<Arc<Dir>>> {
        // One that was removed since is not the one that may be there now.
        // What cannot be looked at any more (ESTALE) is not it either.
        self.dir.take_if(|dir| dir.stat_self().map_or(true, |stat| stat.nlink == 0));
        if self.dir.is_none() {
            match Dir::open(&self.path) {
                Ok(dir) => {
                    self.check_private(&dir)?;
                    self.dir = Some(Arc::new(dir));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(Error::io("open the store", path_bytes(&self.path), &error)),
            }
        }
        Ok(self.dir.clone())
    }

    /// The directory, made if it is absent.
    fn made(&mut self) -> Result<Arc<Dir>> {
        if let Some(dir) = self.existing()? {
            return Ok(dir);
        }
        let making = |error: &io::Error| Error::io("make the store", path_bytes(&self.path), error);
        match platform::make_dir(&self.path, 0o700) {
            Ok(()) => {
                self.is_ours = true;
                platform::sync_parent(&self.path).map_err(|e| making(&e))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(making(&error)),
        }
        self.existing()?
            .ok_or_else(|| Error::new(Kind::Io, "make the store", "it vanished").at(path_bytes(&self.path)))
    }

    /// The default store lies where anyone may plant things: refuse what is not ours alone.
    fn check_private(&self, dir: &Dir) -> Result<()> {
        if !self.private {
            return Ok(());
        }
        let refuse =
            |why: &str| Err(Error::new(Kind::Io, "use the default store", why).at(path_bytes(&self.path)));
        let failed = |e: std::io::Error| self.trouble("use the default store", "", &e);
        let named = std::fs::symlink_metadata(&self.path).map_err(failed)?;
        let stat = dir.stat_self().map_err(failed)?;
        // What stands under the name must be the directory that was opened: a link to it is not.
        if (named.dev(), named.ino()) != stat.id() {
            return refuse("it is a symbolic link");
        }
        if stat.uid != platform::effective_uid() {
            return refuse("it belongs to another user");
        }
        if stat.mode & 0o077 != 0 {
            return refuse("it is open to other users: make it mode 0700");
        }
        Ok(())
    }

    /// What is of `kind` under a backup file's name that starts with `prefix`.
    fn list_kind(&mut self, prefix: &str, kind: FileKind) -> Result<Vec<Object>> {
        let Some(dir) = self.existing()? else { return Ok(Vec::new()) };
        let listing = dir.list();
        if let Some(error) = listing.error {
            return Err(self.trouble("list the store", "", &error));
        }
        let mut objects = Vec::new();
        for (name, _) in listing.names {
            // Names that are not UTF-8 and temporary ones are none of ours.
            let Ok(name) = std::str::from_utf8(&name) else { continue };
            if !name.starts_with(prefix) || Name::parse(name).is_none() {
                continue;
            }
            match dir.stat(name.as_bytes()) {
                Ok(stat) if stat.kind == kind => {
                    objects.push(Object { name: name.to_string(), size: stat.size })
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.trouble("list", name, &error)),
            }
        }
        Ok(objects)
    }

    fn file(&mut self, name: &str) -> Result<&File> {
        if self.reading.as_ref().is_none_or(|(open, _)| open != name) {
            let Some(dir) = self.existing()? else {
                let path = self.path.join(name);
                return Err(Error::new(Kind::NotFound, "read", "no such backup file").at(path_bytes(&path)));
            };
            let opened = dir.open_regular(name.as_bytes()).map_err(|e| match e.kind() {
                io::ErrorKind::NotFound => Error { kind: Kind::NotFound, ..self.trouble("read", name, &e) },
                _ => self.trouble("read", name, &e),
            })?;
            let file = opened.map_err(|kind| {
                Error::corrupt("read", path_bytes(&self.path.join(name)), not_regular(kind))
            })?;
            self.reading = Some((name.to_string(), file));
        }
        match &self.reading {
            Some((_, file)) => Ok(file),
            None => unreachable!("the file was opened above"),
        }
    }
}

/// Says what stands under the name of a file of the store.
fn not_regular(kind: FileKind) -> String {
    format!("it is a {}, not a regular file", kind.word())
}

impl Store for DirStore {
    fn check_exists(&mut self) -> Result<()> {
        match self.existing()? {
            Some(_) => Ok(()),
            None => {
                let error = Error::new(Kind::NotFound, "open the store", "there is no such directory");
                Err(error.at(path_bytes(&self.path)))
            }
        }
    }

    fn list(&mut self, prefix: &str) -> Result<Vec<Object>> {
        // Directories and the like are none of ours.
        let files = self.list_kind(prefix, FileKind::File)?;
        self.keys_listed.extend(files.iter().filter_map(|file| Name::parse(&file.name)).map(|name| name.key));
        Ok(files)
    }

    fn links(&mut self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.list_kind(prefix, FileKind::Symlink)?.into_iter().map(|link| link.name).collect())
    }

    fn read_at(&mut self, name: &str, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let mut got = 0;
        while got < buf.len() {
            match self.file(name)?.read_at(&mut buf[got..], offset + got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.trouble("read", name, &error)),
            }
        }
        Ok(got)
    }

    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>> {
        let dir = self.made()?;
        let temp = format!("{TEMP_PREFIX}{name}");
        let file = dir.create_file(temp.as_bytes(), 0o600).map_err(|e| self.trouble("create", &temp, &e))?;
        // It tells others that the draft is being written. Where there are no locks its age does.
        let _ = platform::try_lock(&file, LockPart::Key, true);
        let path = self.path.join(name);
        Ok(Box::new(FileDraft {
            dir,
            name: name.to_string(),
            temp: Some(temp),
            path,
            file: Some(file),
            held: None,
            written: 0,
            started: 0,
        }))
    }

    fn sync(&mut self) -> Result<()> {
        match self.existing()? {
            Some(dir) => dir.sync().map_err(|e| self.trouble("sync the store", "", &e)),
            None => Ok(()),
        }
    }

    fn delete(&mut self, name: &str) -> Result<()> {
        self.reading = None;
        let Some(dir) = self.existing()? else { return Ok(()) };
        match dir.unlink(name.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.trouble("delete", name, &error))
            }
            _ => Ok(()),
        }
    }

    fn lock(&mut self, key: &str, mode: LockMode) -> Result<Lock> {
        self.lock_key(key, mode)
    }

    fn take_turn(&mut self, key: &str) -> Result<Option<Box<dyn Turn>>> {
        self.take_turn_of(key)
    }

    fn sweep_drafts(&mut self, locked: Option<&str>) -> Result<Vec<String>> {
        let Some(dir) = self.existing()? else { return Ok(Vec::new()) };
        let mut swept = Vec::new();
        for (found, _) in dir.list().names {
            let Ok(temp) = std::str::from_utf8(&found) else { continue };
            let Some(name) = temp.strip_prefix(TEMP_PREFIX) else { continue };
            let is_locked = locked.is_some() && Name::parse(name).map(|name| name.key).as_deref() == locked;
            if is_abandoned(&dir, temp, is_locked) {
                // What cannot be removed (another user's, in a sticky directory) harms nobody.
                if dir.unlink(temp.as_bytes()).is_ok() {
                    swept.push(temp.to_string());
                }
            }
        }
        Ok(swept)
    }

    fn directory(&mut self) -> Result<Option<(u64, u64)>> {
        let Some(dir) = self.existing()? else { return Ok(None) };
        let stat = dir.stat_self().map_err(|e| self.trouble("look at the store", "", &e))?;
        Ok(Some(stat.id()))
    }

    fn path_of(&self, name: &str) -> Option<PathBuf> {
        Some(self.path.join(name))
    }
}

/// Whether a draft is one that nobody has open for writing. Where its key is not locked that is believed of old ones
/// only ([`ABANDONED_SECS`]).
fn is_abandoned(dir: &Dir, temp: &str, is_locked: bool) -> bool {
    let Ok(stat) = dir.stat(temp.as_bytes()) else { return false };
    let is_old = || stat.mtime.max(stat.ctime) <= Time::now().plus_secs(-ABANDONED_SECS);
    if stat.kind != FileKind::File || !(is_locked || is_old()) {
        return false;
    }
    // Another user's cannot be opened.
    is_unheld(dir, temp).unwrap_or(is_locked)
}

/// A backup file under its temporary name.
struct FileDraft {
    dir: Arc<Dir>,
    name: String,
    /// `None` once it has its own name.
    temp: Option<String>,
    path: PathBuf,
    /// `None` once sealed.
    file: Option<File>,
    /// Keeps the draft locked from its seal until it has its own name.
    held: Option<File>,
    written: u64,
    /// How far write-back was started.
    started: u64,
}

impl FileDraft {
    fn trouble(&self, op: &str, error: &io::Error) -> Error {
        let kind = if error.kind() == io::ErrorKind::AlreadyExists { Kind::Exists } else { Kind::Io };
        Error { kind, ..Error::io(op, path_bytes(&self.path), error) }
    }
}

impl Draft for FileDraft {
    fn name(&self) -> &str {
        &self.name
    }

    fn write(&mut self, data: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else {
            return Err(Error::new(Kind::Io, "write", "the file is sealed").at(path_bytes(&self.path)));
        };
        if let Err(error) = file.write_all(data) {
            return Err(self.trouble("write", &error));
        }
        self.written += data.len() as u64;
        if self.written - self.started >= WRITEBACK_EVERY {
            platform::start_writeback(file, self.started, self.written - self.started);
            self.started = self.written;
        }
        Ok(())
    }

    fn seal(&mut self) -> Result<()> {
        match self.file.take() {
            Some(file) => {
                // Where there is no descriptor left the lock on the key has to do.
                self.held = file.try_clone().ok();
                platform::sync_and_close(file).map_err(|e| self.trouble("sync", &e))
            }
            None => Ok(()),
        }
    }

    fn publish(mut self: Box<Self>) -> Result<()> {
        self.seal()?;
        if let Some(temp) = &self.temp {
            let renamed = self.dir.rename_noreplace(temp.as_bytes(), &self.dir, self.name.as_bytes());
            renamed.map_err(|e| self.trouble("commit", &e))?;
        }
        self.temp = None;
        Ok(())
    }
}

impl Drop for FileDraft {
    fn drop(&mut self) {
        if let Some(temp) = &self.temp {
            // The next run's sweep removes what cannot be removed now.
            let _ = self.dir.unlink(temp.as_bytes());
        }
    }
}
