//! Copies of stored files on this machine, for the next increment: the newest state, its layers and the SigVaults that
//! it needs.
//!
//! A cache may be lost, stale, damaged or read-only at any time. Nothing in this module makes a backup fail: if a copy
//! cannot be written, the cache has no copy, and a damaged copy is not used.
//!
//! ```text
//! ROOT/SERIES/KEY.state.STAMP.json.zst            an exact copy of the newest state, or of one of its layers
//! ROOT/SERIES/KEY.sigvault.STAMP.tar.zst          an exact copy of a SigVault
//! ROOT/SERIES/KEY.sigvault.STAMP.tar.zst.stream   for a SigVault that the store lost: the signatures that had
//!                                                 a part in it, recomputed, each after its hash and length
//! ```

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::entry::Hash;
use crate::error::{Error, Result};
use crate::format::names::{Name, TEMP_PREFIX};
use crate::platform::{self, Dir, LockPart};

use super::is_unheld;

/// Suffix of the file with the recomputed signatures of a lost SigVault.
const STREAM: &str = ".stream";

/// Bytes before each signature of a stream file: its hash in 16 bytes, and its length in 8.
pub const SIGNED_HEAD: usize = 24;

/// The bytes before a signature of a stream file.
pub fn sign_head(hash: &[u8; 16], len: u64) -> [u8; SIGNED_HEAD] {
    let mut head = [0; SIGNED_HEAD];
    head[..16].copy_from_slice(hash);
    head[16..].copy_from_slice(&len.to_le_bytes());
    head
}

/// Reads the bytes that [`sign_head`] made.
pub fn signed_head(head: &[u8; SIGNED_HEAD]) -> ([u8; 16], u64) {
    let (mut hash, mut len) = ([0; 16], [0; 8]);
    hash.copy_from_slice(&head[..16]);
    len.copy_from_slice(&head[16..]);
    (hash, u64::from_le_bytes(len))
}

/// The cached files of one series.
pub struct Cache {
    dir: PathBuf,
    /// False in a dry run: no copy is made or removed.
    may_change: bool,
}

impl Cache {
    /// The cache of `series` below `root`, or without `root` below the user's cache directory. `None` if the user has
    /// no cache directory, or if `root` is empty.
    pub fn of_series(root: Option<&Path>, series: &str) -> Option<Self> {
        let root = root_or_default(root)?;
        Some(Cache { dir: root.join(series), may_change: true })
    }

    /// The same cache for a dry run, which only reads it.
    pub fn only_read(self) -> Self {
        Cache { may_change: false, ..self }
    }

    /// Opens the copy of `name` if its size and digest are the expected ones. Removes a copy of the right size with
    /// another digest, except in a dry run.
    pub fn open(&self, name: &str, size: u64, digest: &Hash) -> Option<File> {
        let dir = Dir::open(&self.dir).ok()?;
        let mut file = regular(&dir, name).filter(|f| f.metadata().is_ok_and(|m| m.len() == size))?;
        let mut hasher = blake3::Hasher::new();
        let mut buf = vec![0; 1 << 16];
        loop {
            match file.read(&mut buf) {
                Ok(0) => break,
                Ok(n) => hasher.update(&buf[..n]),
                Err(_) => return None,
            };
        }
        if Hash::from(hasher.finalize()) == *digest {
            return Some(file);
        }
        if self.may_change {
            let _ = dir.unlink(name.as_bytes());
        }
        None
    }

    /// Opens a copy that [`Cache::open`] checked a moment ago. Checks only the size.
    pub fn reopen(&self, name: &str, size: u64) -> Option<File> {
        let dir = Dir::open(&self.dir).ok()?;
        regular(&dir, name).filter(|f| f.metadata().is_ok_and(|m| m.len() == size))
    }

    /// Begins a copy. Errors are ignored: the cache then has no copy of `name`.
    pub fn copy(&self, name: &str) -> Option<Copy> {
        if self.may_change { self.begin(name).ok() } else { None }
    }

    /// Begins a copy. `Io` if the file cannot be created.
    pub fn begin(&self, name: &str) -> Result<Copy> {
        let path = self.path(name);
        let made = platform::make_dirs(&self.dir, 0o700);
        let file = made.and_then(|()| Temporary::new(&self.dir)).map_err(|e| cannot_write(&path, &e))?;
        Ok(Copy { file: Ok(file), path })
    }

    /// Begins the stream file of the lost SigVault `name`. The caller writes each signature after its [`sign_head`].
    pub fn begin_stream(&self, name: &str) -> Result<Copy> {
        self.begin(&stream_name(name))
    }

    /// Opens the stream file of the SigVault `name`, if there is one. Some signatures may be missing in it.
    pub fn stream(&self, name: &str) -> Option<File> {
        regular(&Dir::open(&self.dir).ok()?, &stream_name(name))
    }

    pub fn remove_stream(&self, name: &str) {
        let _ = fs::remove_file(self.path(&stream_name(name)));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Removes every copy that is not `needed`, and temporary files of killed runs. Other files stay.
    pub fn keep_only(&self, needed: &dyn Fn(&str) -> bool) {
        let Ok(dir) = Dir::open(&self.dir) else { return };
        for (name, _) in dir.list().names {
            let Ok(name) = std::str::from_utf8(&name) else { continue };
            let original = name.strip_suffix(STREAM).unwrap_or(name);
            let stale = Name::parse(original).is_some() && !needed(original);
            if stale || (name.starts_with(TEMP_PREFIX) && is_unheld(&dir, name).unwrap_or(false)) {
                let _ = dir.unlink(name.as_bytes());
            }
        }
    }
}

/// Removes temporary files of killed runs from the cache directories of all series. No other code removes those of a
/// killed first full backup, because the next full backup begins another series.
pub fn sweep(root: Option<&Path>) {
    let Some(root) = root_or_default(root) else { return };
    let Ok(root) = Dir::open(&root) else { return };
    for (series, _) in root.list().names {
        // The root may be a directory of the user's with other files in it.
        let Some(dir) =
            Some(&series).filter(|name| is_random(name)).and_then(|name| root.open_dir(name).ok())
        else {
            continue;
        };
        for (name, _) in dir.list().names {
            let random = name.strip_prefix(TEMP_PREFIX.as_bytes()).is_some_and(is_random);
            if std::str::from_utf8(&name).is_ok_and(|name| random && is_unheld(&dir, name).unwrap_or(false)) {
                let _ = dir.unlink(&name);
                // Fails unless the directory is empty now.
                let _ = root.rmdir(&series);
            }
        }
    }
}

/// True for 32 hexadecimal digits, the form of the names of series and temporary files.
fn is_random(name: &[u8]) -> bool {
    name.len() == 32 && name.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
}

/// Opens a regular file. A link, a FIFO or a device is no copy.
fn regular(dir: &Dir, name: &str) -> Option<File> {
    dir.open_regular(name.as_bytes()).ok()?.ok()
}

fn stream_name(name: &str) -> String {
    format!("{name}{STREAM}")
}

fn cannot_write(path: &Path, error: &io::Error) -> Error {
    Error::io("write into the cache", super::path_bytes(path), error)
}

/// Looks for a copy of a state in all series, because the series is unknown before the state is read. Checks the size
/// only: the caller checks that the copy equals the store's file.
pub fn find_state(root: Option<&Path>, name: &str, size: u64) -> Option<File> {
    let root = root_or_default(root)?;
    let root = Dir::open(&root).ok()?;
    let series = root.list().names;
    let found = series.iter().filter_map(|(dir, _)| regular(&root.open_dir(dir).ok()?, name));
    let mut right = found.filter(|file| file.metadata().is_ok_and(|m| m.len() == size));
    right.next()
}

/// The directories of a cache: its root, and the directories of all series below it. These may be links or mounts.
pub fn directories(root: Option<&Path>) -> Vec<PathBuf> {
    let Some(root) = root_or_default(root) else { return Vec::new() };
    let names = Dir::open(&root).map_or_else(|_| Vec::new(), |dir| dir.list().names);
    let series = names.into_iter().filter(|(name, _)| is_random(name));
    let series: Vec<_> = series.map(|(name, _)| root.join(OsStr::from_bytes(&name))).collect();
    std::iter::once(root).chain(series).collect()
}

/// The directory that the caller set, else the user's cache directory. `None` if there is no cache: the user has no
/// cache directory, or the caller set the empty path.
fn root_or_default(named: Option<&Path>) -> Option<PathBuf> {
    let root = named.map(Path::to_path_buf).or_else(default_root);
    root.filter(|root| !root.as_os_str().is_empty())
}

/// `$XDG_CACHE_HOME/ibt` or `~/.cache/ibt`.
fn default_root() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|dir| dir.join("ibt"))
}

/// A copy while it is written, under a temporary name. Dropping a copy removes the file.
pub struct Copy {
    /// The temporary file, or the first error. [`Copy::publish`] returns that error.
    file: Result<Temporary>,
    path: PathBuf,
}

impl Copy {
    pub fn write(&mut self, data: &[u8]) {
        if let Ok(temporary) = &mut self.file
            && let Err(error) = temporary.file.write_all(data)
        {
            self.file = Err(cannot_write(&self.path, &error));
        }
    }

    /// Gives the copy its name and returns its size. Call it after the original file is committed. `Io` if an earlier
    /// write or the renaming failed.
    pub fn publish(self) -> Result<u64> {
        let size = self.file?.rename(&self.path);
        size.map_err(|e| cannot_write(&self.path, &e))
    }

    /// The final path of the copy.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A file with a random name, removed when dropped. `tempfile` is not used, because it makes names from the calling
/// thread's handle and valgrind then reports that handle as lost.
struct Temporary {
    file: File,
    path: PathBuf,
}

impl Temporary {
    fn new(dir: &Path) -> io::Result<Self> {
        loop {
            let path = dir.join(format!("{TEMP_PREFIX}{}", platform::unique_digits()));
            let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            let file = File::from(platform::beside_streams(file)?);
            platform::give_owner_rights(file.as_fd(), 0o600)?;
            // The lock shows other processes that the file is in use. Where there are no locks, no process removes the
            // file.
            let _ = platform::try_lock(&file, LockPart::Key, true);
            // Another process may have removed the file before the file was locked.
            if platform::stat_file(&file)?.nlink > 0 {
                return Ok(Temporary { file, path });
            }
        }
    }

    /// Renames the file to `path` and returns its size.
    fn rename(self, path: &Path) -> io::Result<u64> {
        fs::rename(&self.path, path)?;
        Ok(self.file.metadata()?.len())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
