//! A store in a directory: one file for each backup file, one lock file for each key.

mod created;
mod lock;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::left_behind::LeftBehind;
use super::{Draft, Lock, LockMode, Need, Object, Store, Turn, is_unheld, path_bytes};
use crate::entry::FileType;
use crate::error::{Error, Kind, Result, is_shortage};
use crate::format::AncestorName;
use crate::format::names::{TEMP_PREFIX, is_backup_file, parse_any};
use crate::platform::{self, Dir, FileSystem, LockPart, Stat};
use crate::stamp::Time;

/// Number of written bytes after which write-back is started, so that the last fsync is short.
const WRITEBACK_EVERY: u64 = 8 << 20;

/// Age in seconds after which an unlocked draft counts as left by a killed run. The age does not matter if the caller
/// holds the lock on the draft's key. Without the lock on the key, a draft that seems unlocked may still be in use: the
/// lock of another machine may be invisible, or the file system may have locks only at some times.
const ABANDONED_SECS: i64 = 86_400;

/// The changes that operations may make to the directory of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DirAccess {
    /// None: backups, consolidations and prunes are refused, and readers create no lock file. The directory must exist.
    Read,
    /// Operations may write to the directory, which must exist.
    Existing,
    /// The first backup creates the directory if it does not exist.
    #[default]
    Create,
    /// The first backup also creates the directories above it.
    CreateParents,
}

/// Backup files in a directory. The directory is created for the first backup, and removed again if that backup fails
/// before it stores a file.
pub struct DirStore {
    path: PathBuf,
    /// The directory, opened when it is first needed and exists.
    dir: Option<Arc<Dir>>,
    /// True if this store created the directory, for a first backup.
    is_ours: bool,
    /// The directories above it that this store created, the uppermost one first.
    parents: Vec<PathBuf>,
    /// The file that was read last, kept open because reads of one file follow each other.
    reading: Option<(String, File)>,
    private: bool,
    access: DirAccess,
    /// Keys for which a listing found files. A reader creates the lock file of such a key without another listing.
    keys_listed: HashSet<String>,
    left_behind: LeftBehind,
}

impl DirStore {
    /// The store at `path`. The directory need not exist, but a backup needs its parent directory. A relative path is
    /// resolved against the current directory at the time of this call.
    pub fn open(path: impl Into<PathBuf>) -> DirStore {
        let path = path.into();
        // Fails without a current directory. A relative path then stays relative and leads nowhere.
        let path = std::path::absolute(&path).unwrap_or(path);
        DirStore {
            path,
            dir: None,
            is_ours: false,
            parents: Vec::new(),
            reading: None,
            private: false,
            access: DirAccess::default(),
            keys_listed: HashSet::new(),
            left_behind: LeftBehind::default(),
        }
    }

    /// Like [`DirStore::open`], with limits. `NotFound` if the directory must exist and does not. `Io` if it must exist
    /// and cannot be opened, or if the path is relative and there is no current directory.
    pub fn open_with(path: impl Into<PathBuf>, access: DirAccess) -> Result<DirStore> {
        let path = path.into();
        let absolute = std::path::absolute(&path);
        let path = absolute.map_err(|e| Error::io("open the store", path_bytes(&path), &e))?;
        let mut store = DirStore { access, ..DirStore::open(path) };
        if matches!(access, DirAccess::Read | DirAccess::Existing) {
            store.check_exists()?;
        }
        Ok(store)
    }

    /// The default store: `ibt-UID` in `$TMPDIR`, `$TEMP`, `$TMP` or `/tmp`. If it exists, it must be a directory that
    /// belongs to this user and is closed to others, and not a symbolic link.
    pub fn open_default() -> Result<DirStore> {
        let named = ["TMPDIR", "TEMP", "TMP"].iter().filter_map(std::env::var_os).find(|dir| !dir.is_empty());
        let base = PathBuf::from(named.unwrap_or_else(|| "/tmp".into()));
        let path = base.join(format!("ibt-{}", platform::effective_uid()));
        let mut store = DirStore { private: true, ..DirStore::open(path) };
        store.existing()?;
        Ok(store)
    }

    fn trouble(&self, op: &str, name: &str, error: &io::Error) -> Error {
        trouble(op, &self.path.join(name), error)
    }

    /// The directory. `None` if it does not exist.
    fn existing(&mut self) -> Result<Option<Arc<Dir>>> {
        // The open directory was removed if its link count is 0, and another directory may have its path now. A
        // directory whose metadata cannot be read any more (ESTALE) was removed too.
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

    /// The error of an operation that needs the directory, which does not exist.
    fn absent(&self) -> Error {
        let absent = || Error::new(Kind::NotFound, "open the store", "there is no such directory");
        self.dangling().unwrap_or_else(|| absent().at(path_bytes(&self.path)))
    }

    /// Any user may create files where the default store lies, so the store must belong to this user alone.
    fn check_private(&self, dir: &Dir) -> Result<()> {
        if !self.private {
            return Ok(());
        }
        let refuse =
            |why: &str| Err(Error::new(Kind::Io, "use the default store", why).at(path_bytes(&self.path)));
        let failed = |e: std::io::Error| self.trouble("use the default store", "", &e);
        let named = std::fs::symlink_metadata(&self.path).map_err(failed)?;
        let stat = dir.stat_self().map_err(failed)?;
        // The path must lead to the opened directory itself, not to a link to the directory.
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

    /// Lists everything whose name starts with `prefix` and is the name of a backup file.
    fn list_names(&mut self, prefix: &str) -> Result<Vec<(String, Stat)>> {
        let Some(dir) = self.existing()? else { return Ok(Vec::new()) };
        let listing = dir.list();
        if let Some(error) = listing.error {
            return Err(self.trouble("list the store", "", &error));
        }
        let mut found = Vec::new();
        for (name, _) in listing.names {
            // Backup files have names in UTF-8, and no temporary names.
            let Ok(name) = std::str::from_utf8(&name) else { continue };
            if !name.starts_with(prefix) || !is_backup_file(name) {
                continue;
            }
            match dir.stat(name.as_bytes()) {
                Ok(stat) => found.push((name.to_string(), stat)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.trouble("list", name, &error)),
            }
        }
        Ok(found)
    }

    fn file(&mut self, name: &str) -> Result<&File> {
        if self.reading.as_ref().is_none_or(|(open, _)| open != name) {
            let Some(dir) = self.existing()? else {
                let path = self.path.join(name);
                return Err(Error::new(Kind::NotFound, "read", "no such backup file").at(path_bytes(&path)));
            };
            let opened = platform::patiently(is_shortage, || dir.open_regular(name.as_bytes()));
            let opened = opened.map_err(|e| match e.kind() {
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

/// Describes a file of the store that is not a regular file.
fn not_regular(kind: FileType) -> String {
    format!("it is a {}, not a regular file", kind.name())
}

impl Store for DirStore {
    fn require(&self, need: Need, doing: &str) -> Result<()> {
        match need {
            Need::Read => Ok(()),
            Need::Write | Need::Delete => self.check_writes(doing),
        }
    }

    fn check_exists(&mut self) -> Result<()> {
        match self.existing()? {
            Some(_) => Ok(()),
            None => Err(self.absent()),
        }
    }

    fn list(&mut self, prefix: &str) -> Result<Vec<Object>> {
        // Only regular files are backup files.
        let files = self.list_names(prefix)?.into_iter().filter(|(_, stat)| stat.kind == FileType::File);
        let files: Vec<_> = files.map(|(name, stat)| Object { name, size: stat.size }).collect();
        self.keys_listed.extend(files.iter().filter_map(|file| parse_any(&file.name)).map(|name| name.key));
        Ok(files)
    }

    fn not_regular(&mut self, prefix: &str) -> Result<Vec<(String, FileType)>> {
        let others = self.list_names(prefix)?.into_iter().filter(|(_, stat)| stat.kind != FileType::File);
        Ok(others.map(|(name, stat)| (name, stat.kind)).collect())
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
        Ok(Box::new(FileDraft::begin(dir, &self.path, name, &self.left_behind)?))
    }

    fn sync(&mut self) -> Result<()> {
        // A draft may have replaced the file that is kept open.
        self.reading = None;
        match self.existing()? {
            Some(dir) => dir.sync().map_err(|e| self.trouble("sync the store", "", &e)),
            None => Ok(()),
        }
    }

    fn delete(&mut self, name: &str) -> Result<()> {
        self.check_writes("delete from the store")?;
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

    fn is_written_now(&mut self, key: &str) -> Result<bool> {
        self.is_key_written(key)
    }

    fn take_turn(&mut self, key: &str) -> Result<Option<Box<dyn Turn>>> {
        self.take_turn_of(key)
    }

    fn sweep_drafts(&mut self, locked: Option<&str>) -> Result<Vec<String>> {
        let Some(dir) = self.existing()? else { return Ok(Vec::new()) };
        let (mut abandoned, mut runs_at_work) = (Vec::new(), HashSet::new());
        for (found, _) in dir.list().names {
            let Ok(temp) = std::str::from_utf8(&found) else { continue };
            let Some(name) = temp.strip_prefix(TEMP_PREFIX) else { continue };
            // The ancestor's name for a directory may begin in the same way.
            if AncestorName::parse(temp).is_some() {
                continue;
            }
            // The run that made the draft.
            let run = parse_any(name).map(|name| (name.key, name.stamp));
            let is_locked = locked.is_some() && run.as_ref().map(|(key, _)| &**key) == locked;
            match draft_use(&dir, temp, is_locked) {
                DraftUse::Abandoned => abandoned.push((temp.to_string(), run)),
                DraftUse::AtWork => runs_at_work.extend(run),
                DraftUse::Foreign => {}
            }
        }
        // A run holds only the part of an archive open that it writes, so a part that nobody holds may be in use.
        abandoned.retain(|(_, run)| run.as_ref().is_none_or(|run| !runs_at_work.contains(run)));
        // A draft that cannot be removed does no harm, for example another user's draft in a sticky directory.
        abandoned.retain(|(temp, _)| {
            let removed = dir.unlink(temp.as_bytes());
            note_left(&removed, temp, &self.path, &self.left_behind);
            removed.is_ok()
        });
        Ok(abandoned.into_iter().map(|(temp, _)| temp).collect())
    }

    fn take_left_behind(&mut self) -> Vec<(String, Error)> {
        self.left_behind.take()
    }

    fn reads_cheaply(&mut self) -> Result<bool> {
        let is_local = |dir: &Dir| !FileSystem::of(dir).is_remote;
        if let Some(dir) = self.existing()? {
            return Ok(is_local(&dir));
        }
        // Nothing has created the directory yet, as in the dry run of a first full. It will be on the file system of
        // the nearest directory above it.
        let above = self.path.ancestors().skip(1).find_map(|above| Dir::open(above).ok());
        Ok(above.is_some_and(|dir| is_local(&dir)))
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

/// The use of a file with the name of a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DraftUse {
    /// No process has the draft open for writing.
    Abandoned,
    /// A run may be writing the draft, or another part of the same archive.
    AtWork,
    /// It is not a regular file, so no run has made it.
    Foreign,
}

/// If the key is not locked, only old drafts count as abandoned ([`ABANDONED_SECS`]).
fn draft_use(dir: &Dir, temp: &str, is_locked: bool) -> DraftUse {
    let Ok(stat) = dir.stat(temp.as_bytes()) else { return DraftUse::AtWork };
    if stat.kind != FileType::File {
        return DraftUse::Foreign;
    }
    let is_old = || stat.mtime.max(stat.ctime) <= Time::now().plus_secs(-ABANDONED_SECS);
    // A draft of another user cannot be opened. Under the key's lock, no writer can have it open.
    match (is_locked || is_old()) && is_unheld(dir, temp).unwrap_or(is_locked) {
        true => DraftUse::Abandoned,
        false => DraftUse::AtWork,
    }
}

/// Adds the draft `temp` of the store at `store` to the list if it was not `removed`.
fn note_left(removed: &io::Result<()>, temp: &str, store: &Path, left_behind: &LeftBehind) {
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        left_behind.add(temp, trouble("remove", &store.join(temp), error));
    }
}

/// A backup file under its temporary name.
struct FileDraft {
    dir: Arc<Dir>,
    name: String,
    /// The temporary name. `None` after the file got its final name.
    temp: Option<String>,
    path: PathBuf,
    /// `None` after the file was sealed.
    file: Option<File>,
    /// Keeps the draft locked between [`Draft::seal`] and the renaming.
    held: Option<File>,
    written: u64,
    /// The number of bytes for which write-back was started.
    started: u64,
    /// Gets this draft if it cannot be removed.
    left_behind: LeftBehind,
}

impl FileDraft {
    /// Begins the file `name` in `dir`, the directory at `store`.
    fn begin(dir: Arc<Dir>, store: &Path, name: &str, left_behind: &LeftBehind) -> Result<Self> {
        let temp = format!("{TEMP_PREFIX}{name}");
        let file = platform::patiently(is_shortage, || dir.create_file(temp.as_bytes(), 0o600));
        let file = file.and_then(|file| platform::give_owner_rights(file.as_fd(), 0o600).map(|()| file));
        let file = file.map_err(|e| trouble("create", &store.join(&temp), &e))?;
        // The lock shows other processes that the draft is in use. Where there are no locks, the draft's age shows it.
        let _ = platform::try_lock(&file, LockPart::Key, true);
        Ok(FileDraft {
            dir,
            name: name.to_string(),
            temp: Some(temp),
            path: store.join(name),
            file: Some(file),
            held: None,
            written: 0,
            started: 0,
            left_behind: left_behind.clone(),
        })
    }

    /// The path of the store's directory.
    fn store(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    fn trouble(&self, op: &str, error: &io::Error) -> Error {
        trouble(op, &self.path, error)
    }
}

fn trouble(op: &str, path: &Path, error: &io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::AlreadyExists { Kind::Exists } else { Kind::Io };
    Error { kind, ..Error::io(op, path_bytes(path), error) }
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
            let mut failed = self.trouble("write", &error);
            if error.raw_os_error() == Some(libc::EFBIG) {
                failed.detail +=
                    ": archives can be stored in parts (ibt --part-size, ibt_options_set_part_size())";
            }
            return Err(failed);
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
                // If no descriptor is free, the draft loses its own lock. Then only the lock on the key protects it.
                self.held = file.try_clone().ok();
                platform::sync_and_close(file).map_err(|e| self.trouble("sync", &e))
            }
            None => Ok(()),
        }
    }

    fn begin_next(&mut self, name: &str) -> Result<Box<dyn Draft>> {
        let store = self.store();
        // The lock on the next part shows that this one is in use too, so the next part comes first.
        let next = FileDraft::begin(self.dir.clone(), store, name, &self.left_behind)?;
        self.seal()?;
        self.held = None;
        Ok(Box::new(next))
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

    fn replace(mut self: Box<Self>) -> Result<()> {
        self.seal()?;
        if let Some(temp) = &self.temp {
            let renamed = self.dir.rename(temp.as_bytes(), &self.dir, self.name.as_bytes());
            renamed.map_err(|e| self.trouble("replace", &e))?;
        }
        self.temp = None;
        Ok(())
    }
}

impl Drop for FileDraft {
    fn drop(&mut self) {
        if let Some(temp) = &self.temp {
            // If this fails, a later run removes the draft.
            note_left(&self.dir.unlink(temp.as_bytes()), temp, self.store(), &self.left_behind);
        }
    }
}
