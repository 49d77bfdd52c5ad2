//! The destination: a new tree is built under a temporary name and appears whole, or not at all.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::platform::{self, Dir};

/// How a temporary tree is named.
const TEMP_PREFIX: &str = ".ibt-tmp-restore-";

/// A directory being filled. Dropping it before [`Target::publish`] removes what was written.
pub struct Target {
    dest: Vec<u8>,
    /// The directory that holds the temporary one.
    holder: Dir,
    temp: Vec<u8>,
    /// What is filled.
    pub root: Dir,
    place: Place,
    published: bool,
}

enum Place {
    /// The temporary directory is renamed to this name beside it.
    Beside(Vec<u8>),
    /// The destination was there, empty: the temporary directory lies inside, its children move up.
    Inside,
}

impl Target {
    /// Prepares a destination that must be absent or an empty directory, else `Exists`.
    pub fn prepare(dest: &Path) -> Result<Self> {
        let bytes = dest.as_os_str().as_bytes();
        let trouble = |error: &io::Error| Error::io("restore to", bytes, error);
        let (holder, place) = match Dir::open(dest) {
            Ok(dir) => {
                if !dir.is_empty().map_err(|e| trouble(&e))? {
                    return Err(
                        Error::new(Kind::Exists, "restore to", "the destination is not empty").at(bytes)
                    );
                }
                (dir, Place::Inside)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_there(dest) => {
                let absolute = std::path::absolute(dest).map_err(|e| trouble(&e))?;
                let named = absolute.parent().zip(absolute.file_name());
                let (parent, name) =
                    named.ok_or_else(|| Error::new(Kind::InvalidArg, "restore to", "no name").at(bytes))?;
                let holder =
                    Dir::open(parent).map_err(|e| Error::io("open", parent.as_os_str().as_bytes(), &e))?;
                (holder, Place::Beside(name.as_bytes().to_vec()))
            }
            Err(error) if is_there(dest) && error.kind() != io::ErrorKind::PermissionDenied => {
                return Err(
                    Error::new(Kind::Exists, "restore to", "the destination is not a directory").at(bytes)
                );
            }
            Err(error) => return Err(trouble(&error)),
        };
        let random = platform::random_bytes16().map_err(|e| trouble(&e))?;
        let suffix: String = random[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let temp = format!("{TEMP_PREFIX}{suffix}").into_bytes();
        holder.mkdir(&temp, 0o700).map_err(|e| trouble(&e))?;
        let root = match holder.open_dir(&temp) {
            Ok(root) => root,
            Err(error) => {
                let _ = holder.rmdir(&temp);
                return Err(trouble(&error));
            }
        };
        Ok(Target { dest: bytes.to_vec(), holder, temp, root, place, published: false })
    }

    fn trouble(&self, op: &str, error: &io::Error) -> Error {
        let kind = if error.kind() == io::ErrorKind::AlreadyExists { Kind::Exists } else { Kind::Io };
        Error { kind, ..Error::io(op, &self.dest, error) }
    }

    /// Moves the children of an inner temporary directory up, so that directories' metadata can be set in
    /// their final place. A tree beside its destination stays where it is.
    pub fn settle(&mut self) -> Result<()> {
        if let Place::Inside = self.place {
            let listing = self.root.list();
            if let Some(error) = listing.error {
                return Err(self.trouble("restore to", &error));
            }
            for (name, _) in &listing.names {
                let moved = self.root.rename_noreplace(name, &self.holder, name);
                moved.map_err(|e| self.trouble("restore to", &e))?;
            }
            self.holder.rmdir(&self.temp).map_err(|e| self.trouble("restore to", &e))?;
            self.root = self.holder.try_clone().map_err(|e| self.trouble("restore to", &e))?;
        }
        Ok(())
    }

    /// Makes the tree durable and gives it its name.
    pub fn publish(mut self) -> Result<()> {
        self.root.syncfs().map_err(|e| self.trouble("sync", &e))?;
        if let Place::Beside(name) = &self.place {
            let renamed = self.holder.rename_noreplace(&self.temp, &self.holder, name);
            renamed.map_err(|e| self.trouble("restore to", &e))?;
            self.published = true;
            self.holder.sync().map_err(|e| self.trouble("sync", &e))?;
        }
        self.published = true;
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        // Best effort: a failed restore is being reported already.
        let _ = self.holder.remove_tree(&self.temp);
        if let Place::Inside = self.place {
            for (name, _) in self.holder.list().names {
                let _ = self.holder.remove_tree(&name);
            }
        }
    }
}

/// Whether there is anything under this name, a dangling link too.
fn is_there(dest: &Path) -> bool {
    std::fs::symlink_metadata(dest).is_ok()
}
