//! The destination: a new tree is built under a temporary name and appears whole, or not at all.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::platform::{self, Dir, Stat};

/// How a temporary tree is named.
const TEMP_PREFIX: &str = ".ibt-tmp-restore-";

/// A directory being filled. Dropping it before [`Target::publish`] removes what was written.
pub struct Target {
    dest: Vec<u8>,
    /// The directory that holds the temporary one.
    holder: Dir,
    temp: Vec<u8>,
    /// What is filled.
    root: Dir,
    place: Place,
    published: bool,
}

enum Place {
    /// The temporary directory is renamed to this name beside it.
    Beside(Vec<u8>),
    /// The destination was there, empty: the temporary directory lies inside, its children move up.
    Inside {
        /// What the destination was before.
        before: Stat,
        /// Children that have moved up.
        moved: Vec<Box<[u8]>>,
    },
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
                let before = dir.stat_self().map_err(|e| trouble(&e))?;
                (dir, Place::Inside { before, moved: Vec::new() })
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
            Err(error) if is_no_directory(&error) => {
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
        // A default ACL of the directory around must not find its way into the tree.
        let opened = holder.open_dir(&temp).and_then(|root| remove_acls(&root).map(|()| root));
        let root = match opened {
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

    /// Another descriptor of what is filled.
    pub fn root(&self) -> Result<Dir> {
        self.root.try_clone().map_err(|e| self.trouble("open", &e))
    }

    /// Moves the children of an inner temporary directory up, so that directories' metadata can be set in
    /// their final place. A tree beside its destination stays where it is.
    pub fn settle(&mut self) -> Result<()> {
        let Place::Inside { moved, .. } = &mut self.place else { return Ok(()) };
        let settled = move_up(&self.root, &self.holder, moved).and_then(|()| {
            self.holder.rmdir(&self.temp)?;
            self.holder.try_clone()
        });
        self.root = settled.map_err(|e| self.trouble("restore to", &e))?;
        Ok(())
    }

    /// Makes what was written durable.
    pub fn sync(&self) -> Result<()> {
        self.root.syncfs().map_err(|e| self.trouble("sync", &e))
    }

    /// Prepares the root for its own metadata: an ACL that the destination had is not the snapshot's.
    pub fn clear_root(&self) -> Result<()> {
        remove_acls(&self.root).map_err(|e| self.trouble("restore to", &e))
    }

    /// Gives the tree its name.
    pub fn publish(mut self) -> Result<()> {
        if let Place::Beside(name) = &self.place {
            let renamed = self.holder.rename_noreplace(&self.temp, &self.holder, name);
            renamed.map_err(|e| self.trouble("restore to", &e))?;
        }
        self.published = true;
        self.holder.sync().map_err(|e| self.trouble("sync", &e))
    }
}

fn move_up(from: &Dir, to: &Dir, moved: &mut Vec<Box<[u8]>>) -> io::Result<()> {
    let listing = from.list();
    if let Some(error) = listing.error {
        return Err(error);
    }
    for (name, _) in listing.names {
        from.rename_noreplace(&name, to, &name)?;
        moved.push(name);
    }
    Ok(())
}

fn remove_acls(dir: &Dir) -> io::Result<()> {
    platform::remove_xattr(dir.as_fd(), b"system.posix_acl_default")?;
    platform::remove_xattr(dir.as_fd(), b"system.posix_acl_access")
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        // Best effort: a failed restore is being reported already.
        if let Place::Inside { before, moved } = &self.place {
            let _ = platform::set_mode(self.holder.as_fd(), 0o700);
            for name in moved {
                let _ = self.holder.remove_tree(name);
            }
            let _ = self.holder.remove_tree(&self.temp);
            let _ = platform::set_owner(self.holder.as_fd(), before.uid, before.gid);
            let _ = platform::set_mode(self.holder.as_fd(), before.mode);
            let _ = platform::set_times(self.holder.as_fd(), before.mtime);
        } else {
            let _ = self.holder.remove_tree(&self.temp);
        }
    }
}

/// Whether there is anything under this name, a dangling link too.
fn is_there(dest: &Path) -> bool {
    std::fs::symlink_metadata(dest).is_ok()
}

/// A file, a dangling link or a loop of links is in the way.
fn is_no_directory(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ENOENT | libc::ELOOP))
}
