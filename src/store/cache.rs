//! Copies, on this machine, of what the next increment needs: the newest state and the SigVaults it names.
//!
//! A cache can be lost, stale, damaged or read-only at any time. Nothing here fails a backup: a copy that
//! cannot be made is not made, a copy that cannot be trusted is not used.
//!
//! ```text
//! ROOT/SERIES/KEY.state.STAMP.json.zst            the newest state, exactly
//! ROOT/SERIES/KEY.sigvault.STAMP.tar.zst          a SigVault, exactly
//! ROOT/SERIES/KEY.sigvault.STAMP.tar.zst.stream   one that the store lost: of its stream the signatures that
//!                                                 were made again, each where it was; all else is a hole
//! ```

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::entry::Hash;
use crate::error::{Error, Result};
use crate::format::names::{Name, TEMP_PREFIX};
use crate::platform::{self, Dir, LockPart};

use super::is_unheld;

/// What follows the name of a SigVault in that of the signatures made again.
const STREAM: &str = ".stream";

/// The cached files of one series.
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// The cache of `series` below `root`, or below the user's cache directory. `None` if the user has
    /// none.
    pub fn of_series(root: Option<&Path>, series: &str) -> Option<Self> {
        let root = root_or_default(root)?;
        Some(Cache { dir: root.join(series) })
    }

    /// Opens the copy of `name` if it is exactly the file of this size and digest.
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
        let _ = dir.unlink(name.as_bytes());
        None
    }

    /// Opens a copy that [`Cache::open`] found right a moment ago.
    pub fn reopen(&self, name: &str, size: u64) -> Option<File> {
        let dir = Dir::open(&self.dir).ok()?;
        regular(&dir, name).filter(|f| f.metadata().is_ok_and(|m| m.len() == size))
    }

    /// Begins a copy. Its errors are kept to itself: it is then not there when it is wanted.
    pub fn copy(&self, name: &str) -> Option<Copy> {
        self.begin(name).ok()
    }

    /// Begins a copy. `Io` if that cannot be.
    pub fn begin(&self, name: &str) -> Result<Copy> {
        let path = self.path(name);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        let file = made.and_then(|()| Temporary::new(&self.dir)).map_err(|e| cannot_write(&path, &e))?;
        Ok(Copy { file: Ok(file), path })
    }

    /// Begins what stands in for the SigVault `name`: signatures made again, each where it was in the stream.
    pub fn begin_stream(&self, name: &str) -> Result<Copy> {
        self.begin(&stream_name(name))
    }

    /// The signatures of the SigVault `name` that were made again, as far as that could be.
    pub fn stream(&self, name: &str) -> Option<File> {
        regular(&Dir::open(&self.dir).ok()?, &stream_name(name))
    }

    pub fn remove_stream(&self, name: &str) {
        let _ = fs::remove_file(self.path(&stream_name(name)));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Removes every copy that is not `needed`, and what killed runs left; other files are left alone.
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

/// Removes what killed runs left in the cache of any series: of a killed first full nobody else would, as the next one
/// begins another series.
pub fn sweep(root: Option<&Path>) {
    let Some(root) = root_or_default(root) else { return };
    let Ok(root) = Dir::open(&root) else { return };
    for (series, _) in root.list().names {
        // The root may be a directory of the user's that holds other things as well.
        let Some(dir) =
            Some(&series).filter(|name| is_random(name)).and_then(|name| root.open_dir(name).ok())
        else {
            continue;
        };
        for (name, _) in dir.list().names {
            let random = name.strip_prefix(TEMP_PREFIX.as_bytes()).is_some_and(is_random);
            if std::str::from_utf8(&name).is_ok_and(|name| random && is_unheld(&dir, name).unwrap_or(false)) {
                let _ = dir.unlink(&name);
                // Refused unless this was all that it held.
                let _ = root.rmdir(&series);
            }
        }
    }
}

/// 32 hex digits, as series and temporary files are named.
fn is_random(name: &[u8]) -> bool {
    name.len() == 32 && name.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
}

/// Opens a regular file; a link, a FIFO or a device is no copy.
fn regular(dir: &Dir, name: &str) -> Option<File> {
    dir.open_regular(name.as_bytes()).ok()?.ok()
}

fn stream_name(name: &str) -> String {
    format!("{name}{STREAM}")
}

fn cannot_write(path: &Path, error: &io::Error) -> Error {
    Error::io("write into the cache", super::path_bytes(path), error)
}

/// A copy of a state, of whatever series: the series is not known before a state is read. The caller
/// checks that it is the store's file.
pub fn find_state(root: Option<&Path>, name: &str, size: u64) -> Option<File> {
    let root = root_or_default(root)?;
    let root = Dir::open(&root).ok()?;
    let series = root.list().names;
    let found = series.iter().filter_map(|(dir, _)| regular(&root.open_dir(dir).ok()?, name));
    let mut right = found.filter(|file| file.metadata().is_ok_and(|m| m.len() == size));
    right.next()
}

/// The directories that a cache below `root` has: its own, and that of `series`.
pub fn directories(root: Option<&Path>, series: Option<&str>) -> Vec<PathBuf> {
    let Some(root) = root_or_default(root) else { return Vec::new() };
    let series = series.map(|series| root.join(series));
    std::iter::once(root).chain(series).collect()
}

/// The directory that the caller names, or the user's cache directory, if there is one.
fn root_or_default(named: Option<&Path>) -> Option<PathBuf> {
    named.map(Path::to_path_buf).or_else(default_root)
}

/// `$XDG_CACHE_HOME/ibt` or `~/.cache/ibt`.
fn default_root() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|dir| dir.join("ibt"))
}

/// A copy being written, under a temporary name; dropping it abandons it.
pub struct Copy {
    /// The first error is kept until the end.
    file: Result<Temporary>,
    path: PathBuf,
}

impl Copy {
    pub fn write(&mut self, data: &[u8]) {
        self.attempt(|file| file.write_all(data));
    }

    pub fn write_at(&mut self, offset: u64, data: &[u8]) {
        self.attempt(|file| file.write_all_at(data, offset));
    }

    fn attempt(&mut self, write: impl FnOnce(&mut File) -> io::Result<()>) {
        if let Ok(temporary) = &mut self.file {
            if let Err(error) = write(&mut temporary.file) {
                self.file = Err(cannot_write(&self.path, &error));
            }
        }
    }

    /// Puts the copy in place, once the real file is committed, and returns its size. `Io` if it could not be
    /// made.
    pub fn publish(self) -> Result<u64> {
        let size = self.file?.rename(&self.path);
        size.map_err(|e| cannot_write(&self.path, &e))
    }

    /// Where the copy will stand.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A file under a random name, removed when it is dropped. (The names of `tempfile` are made from the calling
/// thread's handle, which valgrind then takes for lost.)
struct Temporary {
    file: File,
    path: PathBuf,
}

impl Temporary {
    fn new(dir: &Path) -> io::Result<Self> {
        loop {
            let random: String =
                platform::random_bytes16()?.iter().map(|byte| format!("{byte:02x}")).collect();
            let path = dir.join(format!("{TEMP_PREFIX}{random}"));
            let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            // It tells others that the file is being written; without locks nobody sweeps.
            let _ = platform::try_lock(&file, LockPart::Key, true);
            // Another process may have swept it before it was locked.
            if platform::stat_file(&file)?.nlink > 0 {
                return Ok(Temporary { file, path });
            }
        }
    }

    /// Gives the file its name, and returns its size.
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
