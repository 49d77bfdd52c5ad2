//! The source directory of a backup, and the identity of its series: key, source name and host.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::format::Header;
use crate::format::names::{check_key, default_key};
use crate::job::Job;
use crate::platform::{self, Dir};
use crate::text::encode_name;

/// The source directory, and the identity of its series of snapshots.
pub struct BackupSource {
    pub root: Dir,
    /// Absolute path, raw bytes.
    pub path: Vec<u8>,
    /// The source as states record it: the caller's name for it, or its path.
    pub name: Vec<u8>,
    /// The caller gave the name.
    is_named: bool,
    pub key: String,
    pub host: String,
}

impl BackupSource {
    pub fn open(source: &Path, job: &Job) -> Result<BackupSource> {
        let trouble =
            |error: &std::io::Error| Error::io("open the source", source.as_os_str().as_bytes(), error);
        let absolute = absolute(source).map_err(|e| trouble(&e))?;
        let key = match &job.options.key {
            Some(key) => check_key(key.as_bytes())?,
            None => default_key(absolute.as_os_str().as_bytes())?,
        };
        let root = Dir::open(&absolute).map_err(|e| trouble(&e))?;
        root.is_empty().map_err(|e| trouble(&e))?;
        let path = absolute.into_os_string().as_bytes().to_vec();
        let host = || String::from_utf8_lossy(&platform::hostname()).into_owned();
        Ok(BackupSource {
            root,
            name: job.options.source_name.clone().unwrap_or_else(|| path.clone()),
            is_named: job.options.source_name.is_some(),
            path,
            key,
            host: job.options.host.clone().unwrap_or_else(host),
        })
    }

    /// Checks that the newest snapshot, whose header is `newest`, is of this source and host. If `newest` records
    /// another path of the same directory, the series keeps the recorded path.
    pub fn check(&mut self, newest: &Header, job: &Job) -> Result<()> {
        let is_same = self.is_source_of(newest);
        if is_same && self.host == newest.host {
            self.name.clone_from(&newest.source);
            return Ok(());
        }
        if job.options.allow_source_change {
            return Ok(());
        }
        let (what, there, here) = match is_same {
            true => ("host", newest.host.as_str().into(), self.host.as_str().into()),
            false => ("source", encode_name(&newest.source), encode_name(&self.name)),
        };
        let detail = format!(
            "key '{}' belongs to {what} {there}, and this is {what} {here}: set another key, name the {what}, or \
             allow the change",
            self.key
        );
        Err(Error::new(Kind::Mismatch, "back up", detail).at(&self.path))
    }

    /// True if `state` is of this source and host.
    pub fn is_of(&self, state: &Header) -> bool {
        self.host == state.host && self.is_source_of(state)
    }

    fn is_source_of(&self, state: &Header) -> bool {
        self.name == state.source || self.host == state.host && self.is_reached_by(&state.source)
    }

    /// True if `path` is another path of this directory, for example one through a symbolic link. A name that the
    /// caller gave is compared as text only.
    fn is_reached_by(&self, path: &[u8]) -> bool {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        if self.is_named || !path.is_absolute() {
            return false;
        }
        let id = std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        id.is_some() && id == self.root.stat_self().ok().map(|stat| stat.id())
    }
}

/// The absolute path without `.`, `..` and a slash at the end. Symbolic links stay, apart from links before a `..`:
/// the target of such a link decides which directory the `..` means.
fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    let absolute: PathBuf = std::path::absolute(path)?.components().collect();
    let parts: Vec<Component> = absolute.components().collect();
    let Some(last) = parts.iter().rposition(|part| *part == Component::ParentDir) else {
        return Ok(absolute);
    };
    let above: PathBuf = parts[..=last].iter().collect();
    Ok(std::fs::canonicalize(above)?
        .join(parts[last + 1..].iter().collect::<PathBuf>())
        .components()
        .collect())
}
