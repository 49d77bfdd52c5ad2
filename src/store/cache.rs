//! Copies, on this machine, of what the next increment needs: the newest state and the SigVaults it names.
//!
//! A cache can be lost, stale, damaged or read-only at any time. Nothing here fails a backup: a copy that
//! cannot be made is not made, a copy that cannot be trusted is not used.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::entry::Hash;
use crate::format::names::{Name, TEMP_PREFIX};
use crate::platform::Dir;

/// The cached files of one series.
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// The cache of `series` below `root`, or below the user's cache directory. `None` if the user has
    /// none.
    pub fn of_series(root: Option<&Path>, series: &str) -> Option<Self> {
        let root = root.map(Path::to_path_buf).or_else(default_root)?;
        Some(Cache { dir: root.join(series) })
    }

    /// Opens the copy of `name` if it is exactly the file of this size and digest.
    pub fn open(&self, name: &str, size: u64, digest: &Hash) -> Option<File> {
        let path = self.dir.join(name);
        let mut file =
            File::open(&path).ok().filter(|f| f.metadata().is_ok_and(|m| m.is_file() && m.len() == size))?;
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
        let _ = fs::remove_file(&path);
        None
    }

    /// Opens a copy that [`Cache::open`] found right a moment ago.
    pub fn reopen(&self, name: &str, size: u64) -> Option<File> {
        File::open(self.dir.join(name)).ok().filter(|f| f.metadata().is_ok_and(|m| m.len() == size))
    }

    /// Begins a copy. Its errors are kept to itself: it is then not there when it is wanted.
    pub fn copy(&self, name: &str) -> Option<Copy> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).ok()?;
        let temp = self.dir.join(format!("{TEMP_PREFIX}{name}"));
        let _ = fs::remove_file(&temp);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp).ok()?;
        Some(Copy { file: Some(file), temp, path: self.dir.join(name) })
    }

    /// Removes every copy that is not in `needed`; other files are left alone.
    pub fn keep_only(&self, needed: &dyn Fn(&str) -> bool) {
        let Ok(dir) = Dir::open(&self.dir) else { return };
        for (name, _) in dir.list().names {
            let Ok(name) = std::str::from_utf8(&name) else { continue };
            let ours = Name::parse(name.strip_prefix(TEMP_PREFIX).unwrap_or(name)).is_some();
            if ours && !needed(name) {
                let _ = dir.unlink(name.as_bytes());
            }
        }
    }
}

/// A copy of a state, of whatever series: the series is not known before a state is read. The caller
/// checks that it is the store's file.
pub fn find_state(root: Option<&Path>, name: &str, size: u64) -> Option<File> {
    let root = root.map(Path::to_path_buf).or_else(default_root)?;
    let root = Dir::open(&root).ok()?;
    let series = root.list().names;
    let found =
        series.iter().filter_map(|(dir, _)| root.open_file(&[&dir[..], b"/", name.as_bytes()].concat()).ok());
    let mut right = found.filter(|file| file.metadata().is_ok_and(|m| m.is_file() && m.len() == size));
    right.next()
}

/// `$XDG_CACHE_HOME/ibt` or `~/.cache/ibt`.
fn default_root() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|dir| dir.join("ibt"))
}

/// A copy being written beside the real file.
pub struct Copy {
    /// `None` after the first error.
    file: Option<File>,
    temp: PathBuf,
    path: PathBuf,
}

impl Copy {
    pub fn write(&mut self, data: &[u8]) {
        if self.file.as_mut().is_some_and(|file| file.write_all(data).is_err()) {
            self.file = None;
        }
    }

    /// Puts the copy in place, once the real file is committed. False if it could not be made.
    pub fn publish(mut self) -> bool {
        self.file.take().is_some() && fs::rename(&self.temp, &self.path).is_ok()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temp);
    }
}
