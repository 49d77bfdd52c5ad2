//! Places in the file system that hold an operation's own files: its store, its cache, and what the caller
//! protects. A backup leaves them out, and a restore leaves them alone, wherever they lie and by whatever path
//! they are reached: what counts is device and inode.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{cache, path_bytes, Store};
use crate::error::{Error, Result};
use crate::job::Options;

/// A directory, or anything else that the caller protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPlace {
    /// Device and inode.
    pub id: (u64, u64),
    /// Why it is left alone, for messages.
    pub what: &'static str,
}

const STORE: &str = "it is the store in use";
const CACHE: &str = "it is the cache in use";
const PROTECTED: &str = "it is a protected path";

/// The places there are when this is called. `series` names the directory in the cache, if it is known by
/// then. `Io` if a path that the caller protects cannot be looked at.
pub fn own_places(store: &mut dyn Store, options: &Options, series: Option<&str>) -> Result<Vec<OwnPlace>> {
    let store = store.directory()?;
    let mut places: Vec<_> = store.into_iter().map(|id| OwnPlace { id, what: STORE }).collect();
    for dir in cache::directories(options.cache_dir.as_deref(), series) {
        // A cache that cannot be looked at is not used either.
        places.extend(identify(&dir).ok().map(|id| OwnPlace { id, what: CACHE }));
    }
    for path in &options.protected {
        let id = identify(path).map_err(|e| Error::io("protect", path_bytes(path), &e))?;
        places.push(OwnPlace { id, what: PROTECTED });
    }
    Ok(places)
}

fn identify(path: &Path) -> std::io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()))
}
