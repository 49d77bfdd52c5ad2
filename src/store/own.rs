//! An operation's own places in the file system: its store, its cache, and the paths that the caller protects. A backup
//! leaves these places out, and a restore does not change them. Places are compared by device and inode, so a place is
//! recognized under every path that leads to it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::{Store, cache, path_bytes};
use crate::error::{Error, Result};
use crate::job::Options;

/// Device and inode.
type Id = (u64, u64);

/// The own places of one operation.
#[derive(Clone, Debug, Default)]
pub struct OwnPlaces {
    places: Vec<OwnPlace>,
    /// Every directory and link on the path to a place, and the temporary directory with the directories and
    /// links on its path.
    ways: HashSet<Id>,
}

/// A directory, or a file of any type that the caller protects.
#[derive(Clone, Debug)]
struct OwnPlace {
    id: Id,
    what: &'static str,
}

const STORE: &str = "it is the store in use";
const CACHE: &str = "it is the cache in use";
const PROTECTED: &str = "it is a protected path";

/// Greatest number of symbolic links that a path may lead through.
const LINKS_MAX: usize = 40;

impl OwnPlaces {
    /// Finds the places that exist now. `Io` if a protected path cannot be examined.
    pub fn find(store: &mut dyn Store, options: &Options) -> Result<OwnPlaces> {
        let mut own = OwnPlaces::default();
        if let Some(id) = store.directory()? {
            own.places.push(OwnPlace { id, what: STORE });
            store.path_of("").iter().for_each(|path| own.add_ways(path));
        }
        for dir in cache::directories(options.cache_dir.as_deref()) {
            // A cache that cannot be examined is not used either.
            if let Ok(id) = identify(&dir) {
                own.places.push(OwnPlace { id, what: CACHE });
                own.add_ways(&dir);
            }
        }
        for path in &options.protected {
            let id = identify(path).map_err(|e| Error::io("protect", path_bytes(path), &e))?;
            own.places.push(OwnPlace { id, what: PROTECTED });
            own.add_ways(path);
        }
        // Temporary files have no names in the temporary directory, but without the directory no more of them
        // can be made.
        own.add_ways(&std::env::temp_dir());
        Ok(own)
    }

    /// The place with this identity, in words for a message.
    pub fn what(&self, id: Id) -> Option<&'static str> {
        self.places.iter().find(|place| place.id == id).map(|place| place.what)
    }

    /// The place that `path` is or lies in, in words for a message.
    pub fn around(&self, path: &Path) -> Option<&'static str> {
        let real = std::fs::canonicalize(path).ok()?;

        real.ancestors().find_map(|dir| self.what(identify(dir).ok()?))
    }

    /// True if the path to a place leads through a directory or link with this identity.
    pub fn is_way(&self, id: Id) -> bool {
        self.ways.contains(&id)
    }

    pub fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        self.places.iter().map(|place| place.id)
    }

    fn add_ways(&mut self, path: &Path) {
        let Ok(path) = std::path::absolute(path) else { return };
        // The remaining components of the path. The next component is the last item.
        let mut rest = reversed(&path);
        let (mut at, mut links) = (PathBuf::from("/"), 0);
        while let Some(name) = rest.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(name);
            let Ok(meta) = next.symlink_metadata() else { return };
            self.ways.insert((meta.dev(), meta.ino()));
            if !meta.is_symlink() {
                at = next;
                continue;
            }
            let Ok(target) = next.read_link() else { return };
            links += 1;
            if links > LINKS_MAX {
                return;
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            rest.extend(reversed(&target));
        }
    }
}

/// The components of a path that are names or `..`, the last one first.
fn reversed(path: &Path) -> Vec<OsString> {
    let named = |part: &Component| matches!(part, Component::Normal(_) | Component::ParentDir);
    let parts = path.components().filter(named).map(|part| part.as_os_str().to_os_string());
    parts.collect::<Vec<_>>().into_iter().rev().collect()
}

fn identify(path: &Path) -> std::io::Result<Id> {
    std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()))
}
