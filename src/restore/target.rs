//! The destination: a new tree is built under a temporary name and appears whole, or not at all; a tree
//! that exists is worked in.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::job::{Options, Overwrite};
use crate::platform::{self, Dir, Stat};

/// How a temporary tree is named.
const TEMP_PREFIX: &str = ".ibt-tmp-restore-";

/// A directory being filled. Dropping it before [`Target::publish`] removes what was made.
pub struct Target {
    dest: Vec<u8>,
    /// A name that nothing has yet: of the tree under construction, or of what is made in an existing one.
    temp: Vec<u8>,
    place: Place,
    published: bool,
}

enum Place {
    /// A temporary directory that is renamed to this name beside it.
    Beside { holder: Dir, name: Vec<u8>, root: Dir },
    /// The destination was there, empty: the temporary directory lies inside, its children move up.
    Inside {
        holder: Dir,
        /// The temporary directory; `None` once its children have moved up.
        root: Option<Dir>,
        /// What the destination was before.
        before: Stat,
        /// Children that have moved up.
        moved: Vec<Box<[u8]>>,
    },
    /// The destination is changed where it stands, or in a dry run looked at.
    Existing(Dir),
    /// A dry run for a destination that is not there.
    Nowhere,
}

/// What was found under the destination's name.
enum Found {
    Dir(Dir),
    Nothing,
}

impl Target {
    /// Prepares a destination. `Exists` if it is no directory, or holds something although the policy is
    /// [`Overwrite::Never`].
    pub fn prepare(dest: &Path, options: &Options) -> Result<Self> {
        let bytes = dest.as_os_str().as_bytes();
        let trouble = |error: &io::Error| Error::io("restore to", bytes, error);
        let exists = |what: &str| Error::new(Kind::Exists, "restore to", what).at(bytes);
        let found = match Dir::open(dest) {
            Ok(dir) => Found::Dir(dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_there(dest) => Found::Nothing,
            Err(error) if is_no_directory(&error) => {
                return Err(exists("the destination is not a directory"))
            }
            Err(error) => return Err(trouble(&error)),
        };
        let random = platform::random_bytes16().map_err(|e| trouble(&e))?;
        let suffix: String = random[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let temp = format!("{TEMP_PREFIX}{suffix}").into_bytes();
        let place = match found {
            Found::Dir(dir) if options.overwrite != Overwrite::Never => Place::Existing(dir),
            Found::Dir(dir) if !dir.is_empty().map_err(|e| trouble(&e))? => {
                return Err(exists("the destination is not empty"))
            }
            Found::Dir(_) | Found::Nothing if options.dry_run => Place::Nowhere,
            Found::Dir(dir) => {
                let before = dir.stat_self().map_err(|e| trouble(&e))?;
                let root = make_temp(&dir, &temp).map_err(|e| trouble(&e))?;
                Place::Inside { holder: dir, root: Some(root), before, moved: Vec::new() }
            }
            Found::Nothing => beside(dest, &temp)?,
        };
        Ok(Target { dest: bytes.to_vec(), temp, place, published: false })
    }

    /// Whether entries may meet what was there before.
    pub fn is_existing(&self) -> bool {
        matches!(self.place, Place::Existing(_))
    }

    pub fn temp_name(&self) -> &[u8] {
        &self.temp
    }

    fn trouble(&self, op: &str, error: &io::Error) -> Error {
        let kind = if error.kind() == io::ErrorKind::AlreadyExists { Kind::Exists } else { Kind::Io };
        Error { kind, ..Error::io(op, &self.dest, error) }
    }

    /// What is filled.
    fn filled(&self) -> Option<&Dir> {
        match &self.place {
            Place::Beside { root, .. } | Place::Existing(root) => Some(root),
            Place::Inside { root, holder, .. } => Some(root.as_ref().unwrap_or(holder)),
            Place::Nowhere => None,
        }
    }

    /// Another descriptor of what is filled; `None` if nothing is to be.
    pub fn root(&self) -> Result<Option<Dir>> {
        self.filled().map(Dir::try_clone).transpose().map_err(|e| self.trouble("open", &e))
    }

    /// Moves the children of an inner temporary directory up, durable, so that directories' metadata can be set
    /// in their final place. Any other tree stays where it is.
    pub fn settle(&mut self) -> Result<()> {
        let Place::Inside { holder, root: root @ Some(_), moved, .. } = &mut self.place else {
            return Ok(());
        };
        let settled = match root {
            Some(from) => from
                .syncfs()
                .and_then(|()| move_up(from, holder, moved))
                .and_then(|()| holder.rmdir(&self.temp)),
            None => Ok(()),
        };
        match settled {
            Ok(()) => *root = None,
            Err(error) => return Err(self.trouble("restore to", &error)),
        }
        Ok(())
    }

    /// Makes what was written durable.
    pub fn sync(&self) -> Result<()> {
        self.filled().map_or(Ok(()), Dir::syncfs).map_err(|e| self.trouble("sync", &e))
    }

    /// Prepares the root of a new tree for its own metadata: an ACL that the destination had is not the
    /// snapshot's. An empty destination may be another user's, who alone may change its ACLs.
    pub fn clear_root(&self) -> Result<()> {
        match &self.place {
            Place::Beside { root: dir, .. } | Place::Inside { holder: dir, .. } => {
                remove_acls(dir).map_err(|e| Error::io("remove an ACL of", &self.dest, &e))
            }
            Place::Existing(_) | Place::Nowhere => Ok(()),
        }
    }

    /// Leaves what was restored before `error` under the destination's name, and returns `error`. What cannot be
    /// renamed stays where it is, and the error names that place.
    pub fn leave(mut self, error: Error) -> Error {
        let named = match &self.place {
            Place::Beside { root, holder, name } => {
                root.syncfs().and_then(|()| holder.rename_noreplace(&self.temp, holder, name)).is_ok()
            }
            Place::Inside { .. } => self.settle().is_ok(),
            Place::Existing(_) | Place::Nowhere => return error,
        };
        self.published = true;
        let detail = match named {
            true => format!("{} (what was restored before stays)", error.detail),
            false => {
                let place = String::from_utf8_lossy(&self.temp).into_owned();
                format!("{} (what was restored before stays in {place})", error.detail)
            }
        };
        Error { detail, ..error }
    }

    /// Gives the tree its name.
    pub fn publish(mut self) -> Result<()> {
        let holder = match &self.place {
            Place::Beside { holder, name, .. } => {
                let renamed = holder.rename_noreplace(&self.temp, holder, name);
                renamed.map_err(|e| self.trouble("restore to", &e))?;
                holder
            }
            Place::Inside { holder, .. } | Place::Existing(holder) => holder,
            Place::Nowhere => return Ok(()),
        };
        self.published = true;
        holder.sync().map_err(|e| self.trouble("sync", &e))
    }
}

fn beside(dest: &Path, temp: &[u8]) -> Result<Place> {
    let bytes = dest.as_os_str().as_bytes();
    let trouble = |error: &io::Error| Error::io("restore to", bytes, error);
    let absolute = std::path::absolute(dest).map_err(|e| trouble(&e))?;
    let named = absolute.parent().zip(absolute.file_name());
    let (parent, name) =
        named.ok_or_else(|| Error::new(Kind::InvalidArg, "restore to", "no name").at(bytes))?;
    let holder = Dir::open(parent).map_err(|e| Error::io("open", parent.as_os_str().as_bytes(), &e))?;
    let root = make_temp(&holder, temp).map_err(|e| trouble(&e))?;
    Ok(Place::Beside { holder, name: name.as_bytes().to_vec(), root })
}

/// A default ACL of the directory around must not find its way into the tree.
fn make_temp(holder: &Dir, temp: &[u8]) -> io::Result<Dir> {
    holder.mkdir(temp, 0o700)?;
    let opened = holder.open_dir(temp).and_then(|root| remove_acls(&root).map(|()| root));
    opened.inspect_err(|_| {
        let _ = holder.rmdir(temp);
    })
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
    /// Best effort: a failed restore is being reported already. What was done in an existing tree stays.
    fn drop(&mut self) {
        if self.published {
            return;
        }
        match &self.place {
            Place::Beside { holder, .. } => {
                let _ = holder.remove_tree(&self.temp);
            }
            Place::Inside { holder, before, moved, .. } => {
                let _ = platform::set_mode(holder.as_fd(), 0o700);
                for name in moved {
                    let _ = holder.remove_tree(name);
                }
                let _ = holder.remove_tree(&self.temp);
                let _ = platform::set_owner(holder.as_fd(), before.uid, before.gid);
                let _ = platform::set_mode(holder.as_fd(), before.mode);
                let _ = platform::set_times(holder.as_fd(), before.mtime);
            }
            Place::Existing(_) | Place::Nowhere => {}
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
