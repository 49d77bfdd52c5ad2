//! The destination: a new tree is built under a temporary name and appears whole, or not at all; a tree
//! that exists is worked in.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::entry::is_restore_temp;
use crate::error::{Error, Kind, Result};
use crate::job::{Job, Overwrite};
use crate::platform::{self, Dir, FileKind, Stat};
use crate::text::encode_name;

use super::leftover::{make_temp, set_aside, tag_of_name, temp_name, Sweep};

/// What `mkfs` puts into the root of some file systems.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// A directory being filled. Dropping it before [`Target::publish`] removes what was made.
pub struct Target {
    dest: Vec<u8>,
    /// A name that nothing has yet: of the tree under construction, or of what is made in an existing one.
    temp: Vec<u8>,
    place: Place,
    published: bool,
    sweep: Option<Sweep>,
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
        moved: Vec<MovedChild>,
    },
    /// The destination is changed where it stands, or in a dry run looked at.
    Existing(Dir),
    /// A dry run for a destination that is not there.
    Nowhere,
}

/// Something that moved into the destination, by its name, device and inode.
struct MovedChild {
    name: Box<[u8]>,
    id: (u64, u64),
}

/// What was found under the destination's name.
enum Found {
    Dir(Dir),
    Nothing,
}

impl Target {
    /// Prepares a destination. `Exists` if it is no directory, or holds something although the policy is
    /// [`Overwrite::Never`].
    pub fn prepare(dest: &Path, job: &mut Job) -> Result<Self> {
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
        let (overwrite, dry_run) = (job.options.overwrite, job.options.dry_run);
        if !dry_run {
            sweep_beside(dest, job)?;
        }
        let (temp, place, sweep) = match found {
            Found::Dir(dir) if overwrite != Overwrite::Never => {
                let id = dir.stat_self().map_err(|e| trouble(&e))?.id();
                let sweep = (!dry_run).then(|| Sweep::of_tree(id, &dir));
                (temp_name(id.1).map_err(|e| trouble(&e))?, Place::Existing(dir), sweep)
            }
            Found::Dir(dir) => {
                check_empty(&dir, bytes, job)?;
                let (temp, place) = if dry_run { (Vec::new(), Place::Nowhere) } else { inside(dir, bytes)? };
                (temp, place, None)
            }
            Found::Nothing if dry_run => (Vec::new(), Place::Nowhere, None),
            Found::Nothing => {
                let (temp, place) = beside(dest)?;
                (temp, place, None)
            }
        };
        Ok(Target { dest: bytes.to_vec(), temp, place, published: false, sweep })
    }

    /// How left-overs of earlier restores are removed from an existing tree, unless this is a dry run.
    pub fn sweep(&self) -> Option<Sweep> {
        self.sweep
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
    /// in their final place. Any other tree stays where it is. Returns device and inode of the `lost+found` that the
    /// destination keeps in the place of the restored one.
    pub fn settle(&mut self) -> Result<Option<(u64, u64)>> {
        let Place::Inside { holder, root: root @ Some(_), moved, .. } = &mut self.place else {
            return Ok(None);
        };
        let settled = match root {
            Some(from) => from
                .syncfs()
                .and_then(|()| move_up(from, holder, moved))
                .and_then(|kept| holder.rmdir(&self.temp).map(|()| kept)),
            None => Ok(None),
        };
        if settled.is_ok() {
            *root = None;
        }
        settled.map_err(|e| self.trouble("restore to", &e))
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

    /// Leaves what was restored before `error` under the destination's name, and returns `error`. What cannot have that
    /// name gets another one, which no later restore takes for a left-over, and the error names that place.
    pub fn leave(mut self, error: Error) -> Error {
        if self.published {
            return error;
        }
        let named = match &self.place {
            Place::Beside { root, holder, name } => {
                let renamed = root.syncfs().and_then(|()| holder.rename_noreplace(&self.temp, holder, name));
                renamed.map_err(|e| self.trouble("restore to", &e))
            }
            Place::Inside { .. } => self.settle().map(drop),
            Place::Existing(_) | Place::Nowhere => return error,
        };
        self.published = true;
        let detail = match named {
            Ok(()) => format!("{} (what was restored before stays)", error.detail),
            Err(why) => format!("{} ({})", error.detail, self.set_aside(&why)),
        };
        Error { detail, ..error }
    }

    /// Leaves a tree that cannot have its name, as `why` says, under another one. Returns where it stays, in words.
    fn set_aside(&self, why: &Error) -> String {
        let dest = Path::new(std::ffi::OsStr::from_bytes(&self.dest));
        let (holder, root, at) = match &self.place {
            Place::Beside { holder, root, .. } => (holder, root, dest.parent()),
            Place::Inside { holder, root: Some(root), .. } => (holder, root, Some(dest)),
            Place::Inside { .. } | Place::Existing(_) | Place::Nowhere => {
                return "what was restored before stays".into()
            }
        };
        let (name, is_safe) = set_aside(holder, &self.temp, root);
        let _ = holder.sync();
        let path = at.unwrap_or(dest).join(std::ffi::OsStr::from_bytes(&name));
        let path = encode_name(path.as_os_str().as_bytes());
        let advice =
            if is_safe { "" } else { "; move it, or the next restore of the destination removes it" };
        format!("what was restored before stays in {path}: {}{advice}", why.detail)
    }

    /// Gives the tree its name.
    pub fn publish(&mut self) -> Result<()> {
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

/// The directory that holds the destination, and its name there.
fn place_of(dest: &Path) -> Result<(Dir, Vec<u8>)> {
    let bytes = dest.as_os_str().as_bytes();
    let absolute = std::path::absolute(dest).map_err(|e| Error::io("restore to", bytes, &e))?;
    let named = absolute.parent().zip(absolute.file_name());
    let (parent, name) =
        named.ok_or_else(|| Error::new(Kind::InvalidArg, "restore to", "no name").at(bytes))?;
    let holder = Dir::open(parent).map_err(|e| Error::io("open", parent.as_os_str().as_bytes(), &e))?;
    Ok((holder, name.as_bytes().to_vec()))
}

fn beside(dest: &Path) -> Result<(Vec<u8>, Place)> {
    let (holder, name) = place_of(dest)?;
    let made = make_temp(&holder, tag_of_name(&name));
    let (temp, root) = made.map_err(|e| Error::io("restore to", dest.as_os_str().as_bytes(), &e))?;
    Ok((temp, Place::Beside { holder, name, root }))
}

fn inside(dir: Dir, dest: &[u8]) -> Result<(Vec<u8>, Place)> {
    let trouble = |error: &io::Error| Error::io("restore to", dest, error);
    let before = dir.stat_self().map_err(|e| trouble(&e))?;
    let (temp, root) = make_temp(&dir, before.ino).map_err(|e| trouble(&e))?;
    Ok((temp, Place::Inside { holder: dir, root: Some(root), before, moved: Vec::new() }))
}

/// Removes what killed restores of this destination left beside it. A place that cannot be looked at has none.
fn sweep_beside(dest: &Path, job: &mut Job) -> Result<()> {
    let Ok((holder, name)) = place_of(dest) else { return Ok(()) };
    let listing = holder.list();
    let names = listing.names.iter().map(|(name, _)| &**name);
    let swept = Sweep::of_dirs(tag_of_name(&name)).run(&holder, names);
    let absolute = std::path::absolute(dest).unwrap_or_else(|_| dest.into());
    let path_of = |name: &[u8]| {
        absolute.with_file_name(std::ffi::OsStr::from_bytes(name)).into_os_string().into_encoded_bytes()
    };
    swept.tell(path_of, job)
}

/// `Exists` if a destination holds anything but left-overs of killed restores, which are removed unless this is a dry
/// run, and the `lost+found` of a file system.
fn check_empty(dir: &Dir, dest: &[u8], job: &mut Job) -> Result<()> {
    let trouble = |error: &io::Error| Error::io("restore to", dest, error);
    let listing = dir.list();
    listing
        .error
        .map_or(Ok(()), |error| if listing.names.is_empty() { Err(trouble(&error)) } else { Ok(()) })?;
    let names: Vec<_> = listing.names.into_iter().map(|(name, _)| name).collect();
    let (temps, others): (Vec<_>, Vec<_>) = names.iter().partition(|name| is_restore_temp(name));
    let exists = |what: String| Error::new(Kind::Exists, "restore to", what).at(dest);
    let left = || {
        temps.first().map_or(String::new(), |name| {
            format!(" (besides, {} is what a restore that was stopped left)", encode_name(name))
        })
    };
    if !others.iter().all(|name| is_lost_and_found(dir, name)) {
        return Err(exists(format!("the destination is not empty{}", left())));
    }
    if job.options.dry_run {
        return Ok(());
    }
    let id = dir.stat_self().map_err(|e| trouble(&e))?.id();
    let mut swept = Sweep::of_tree(id, dir).run(dir, temps.iter().map(|name| &***name));
    // What stays is the error.
    swept.kept.clear();
    swept.tell(|name| name.to_vec(), job)?;
    match temps.iter().find(|name| !swept.removed.contains(name)) {
        None => Ok(()),
        Some(name) => {
            let name = encode_name(name);
            Err(exists(format!(
                "the destination is not empty: another restore works in {name}, or has left it"
            )))
        }
    }
}

/// Whether a name is that which the system keeps in the root of a file system, with nothing in it that we could see.
fn is_lost_and_found(dir: &Dir, name: &[u8]) -> bool {
    let is_mounted = || {
        let above = dir.above().and_then(|above| above.stat_self());
        dir.stat_self().is_ok_and(|own| above.is_ok_and(|above| above.dev != own.dev))
    };
    name == LOST_AND_FOUND
        && dir.stat(name).is_ok_and(|stat| stat.kind == FileKind::Dir && stat.uid == 0)
        && is_mounted()
        && match dir.open_dir(name).and_then(|inner| inner.is_empty()) {
            Ok(empty) => empty,
            Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
        }
}

/// Moves all that is in one directory to another, and notes the names. Returns device and inode of a `lost+found`
/// that was there already.
fn move_up(from: &Dir, to: &Dir, moved: &mut Vec<MovedChild>) -> io::Result<Option<(u64, u64)>> {
    let listing = from.list();
    if let Some(error) = listing.error {
        return Err(error);
    }
    let mut kept = None;
    for (name, _) in listing.names {
        let id = from.stat(&name)?.id();
        match from.rename_noreplace(&name, to, &name) {
            // The destination has an empty one of its own, which gets the metadata.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && *name == *LOST_AND_FOUND => {
                let (from, to) = (from.open_dir(&name)?, to.open_dir(&name)?);
                move_up(&from, &to, &mut Vec::new())?;
                kept = Some(to.stat_self()?.id());
            }
            result => {
                result?;
                moved.push(MovedChild { name, id });
                continue;
            }
        }
        from.rmdir(&name)?;
    }
    Ok(kept)
}

pub(super) fn remove_acls(dir: &Dir) -> io::Result<()> {
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
                let is_same = |child: &MovedChild| {
                    let now = holder.stat(&child.name);
                    now.is_ok_and(|now| now.id() == child.id || !holder.syncs_whole())
                };
                for child in moved.iter().filter(|child| is_same(child)) {
                    let _ = holder.remove_tree(&child.name);
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
