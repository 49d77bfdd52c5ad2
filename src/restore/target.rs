//! The destination of a restore. A new tree is built under a temporary name and then appears whole, or not at all. An
//! existing tree is changed in place.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::entry::{FileType, is_restore_temp};
use crate::error::{Error, Kind, Result, describe};
use crate::job::{Job, Overwrite};
use crate::platform::{self, Dir, FlagsAndProject, Stat};
use crate::text::encode_name;

use super::leftover::{LeftoverRemoval, make_temp, set_aside, tag_of_name, temp_name};
use super::moved::{LOST_AND_FOUND, MovedChildren, give_metadata_back, kept_paths_message};

/// The directory that a restore fills. Dropping a target before [`Target::publish`] removes the new tree. Changes in
/// an existing tree stay.
pub struct Target {
    dest: Vec<u8>,
    /// The temporary name: of the new tree, or of a new entry in an existing tree until the entry is complete.
    temp: Vec<u8>,
    place: TargetKind,
    published: bool,
    leftovers: Option<LeftoverRemoval>,
}

/// The flags that this process may not clear, each with the reason.
type ClearedFlags = io::Result<Vec<(u32, io::Error)>>;

enum TargetKind {
    /// A new tree: `root` has a temporary name in `holder` and is renamed to `name` there.
    Beside { holder: Dir, name: Vec<u8>, root: Dir },
    /// An existing, empty destination. The new tree is built in a temporary directory inside the destination, and its
    /// children then move up.
    Inside {
        holder: Dir,
        /// The temporary directory; `None` once its children have moved up.
        root: Option<Dir>,
        /// The destination's metadata before the restore.
        before: Stat,
        moved: MovedChildren,
    },
    /// A destination that is changed in place. A dry run only reads it.
    Existing(Dir),
    /// A dry run of a restore whose destination does not exist or is empty.
    Nowhere,
}

impl Target {
    /// Prepares a destination. `Exists` if the destination is not a directory, or if it is not empty and the policy
    /// is [`Overwrite::Never`].
    pub fn prepare(dest: &Path, job: &mut Job) -> Result<Self> {
        let bytes = dest.as_os_str().as_bytes();
        let trouble = |error: &io::Error| Error::io("restore to", bytes, error);
        let exists = |what: &str| Error::new(Kind::Exists, "restore to", what).at(bytes);
        let found = match Dir::open(dest) {
            Ok(dir) => Some(dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_there(dest) => None,
            Err(error) if is_no_directory(&error) => {
                return Err(exists("the destination is not a directory"));
            }
            Err(error) => return Err(trouble(&error)),
        };
        let (overwrite, dry_run) = (job.options.overwrite, job.options.dry_run);
        if !dry_run {
            remove_leftovers_beside(dest, job)?;
        }
        let (temp, place, leftovers) = match found {
            Some(dir) if overwrite != Overwrite::Never => {
                let id = dir.stat_self().map_err(|e| trouble(&e))?.id();
                let leftovers = (!dry_run).then(|| LeftoverRemoval::of_tree(id, &dir));
                (temp_name(id.1), TargetKind::Existing(dir), leftovers)
            }
            Some(dir) => {
                check_empty(&dir, bytes, job)?;
                let (temp, place) =
                    if dry_run { (Vec::new(), TargetKind::Nowhere) } else { inside(dir, bytes)? };
                (temp, place, None)
            }
            None if dry_run => (Vec::new(), TargetKind::Nowhere, None),
            None => {
                let (temp, place) = beside(dest)?;
                (temp, place, None)
            }
        };
        Ok(Target { dest: bytes.to_vec(), temp, place, published: false, leftovers })
    }

    /// The removal of left-overs of earlier restores from an existing tree. `None` in a dry run and for a new tree.
    pub fn leftovers(&self) -> Option<LeftoverRemoval> {
        self.leftovers
    }

    /// Whether the destination may already have something under an entry's name.
    pub fn is_existing(&self) -> bool {
        matches!(self.place, TargetKind::Existing(_))
    }

    /// Whether the destination did not exist: the whole tree is new, and so is its root.
    pub fn is_new(&self) -> bool {
        matches!(self.place, TargetKind::Beside { .. })
    }

    /// The flags and the project that the directory around a new tree hands down to it. Nothing for a destination that
    /// is changed in place.
    pub fn inherited_flags(&self) -> Result<FlagsAndProject> {
        let from = match &self.place {
            // The root was just made, so its flags and its project are inherited.
            TargetKind::Beside { root, .. } => root,
            TargetKind::Inside { holder, .. } => holder,
            TargetKind::Existing(_) | TargetKind::Nowhere => return Ok(FlagsAndProject::default()),
        };
        platform::read_flags(from).map_err(|e| self.trouble("read the flags of", &e))
    }

    /// Tries to clear flags, and the project if `clears_project`, of a directory that is made in the new tree for this
    /// and removed again: the root of the tree must keep its project until it has its final name. Returns both results,
    /// of the flags those that this process may not clear.
    pub fn try_to_clear(&self, flags: u32, clears_project: bool) -> Result<(ClearedFlags, io::Result<()>)> {
        let Some(root) = self.filled() else { return Ok((Ok(Vec::new()), Ok(()))) };
        let trouble = |error: &io::Error| self.trouble("try to clear flags in", error);
        let (name, made) = make_temp(root, 0).map_err(|e| trouble(&e))?;
        let cleared = platform::set_flags(made.as_fd().into(), 0, flags);
        let project = clears_project.then_some(0);
        let (projected, _) = platform::set_project_and_protect(made.as_fd(), project, 0);
        root.rmdir(&name).map_err(|e| trouble(&e))?;
        Ok((cleared, projected))
    }

    pub fn temp_name(&self) -> &[u8] {
        &self.temp
    }

    fn trouble(&self, op: &str, error: &io::Error) -> Error {
        let kind = if error.kind() == io::ErrorKind::AlreadyExists { Kind::Exists } else { Kind::Io };
        Error { kind, ..Error::io(op, &self.dest, error) }
    }

    /// The directory into which the restore writes the entries.
    fn filled(&self) -> Option<&Dir> {
        match &self.place {
            TargetKind::Beside { root, .. } | TargetKind::Existing(root) => Some(root),
            TargetKind::Inside { root, holder, .. } => Some(root.as_ref().unwrap_or(holder)),
            TargetKind::Nowhere => None,
        }
    }

    /// Another descriptor of the directory that receives the entries. `None` in a dry run for a new tree.
    pub fn root(&self) -> Result<Option<Dir>> {
        self.filled().map(Dir::try_clone).transpose().map_err(|e| self.trouble("open", &e))
    }

    /// Moves the children of an inner temporary directory up into the destination, and makes their contents durable
    /// first. Directories get their metadata afterwards, in their final place. Does nothing for the other kinds of
    /// destination. Returns the device and inode of the destination's own `lost+found`, if the destination keeps that
    /// instead of the restored directory.
    pub fn settle(&mut self) -> Result<Option<(u64, u64)>> {
        let TargetKind::Inside { holder, root: root @ Some(_), moved, .. } = &mut self.place else {
            return Ok(None);
        };
        let settled = match root {
            Some(from) => from
                .syncfs()
                .and_then(|()| moved.move_up(from, holder))
                .and_then(|kept| holder.rmdir(&self.temp).map(|()| kept)),
            None => Ok(None),
        };
        if settled.is_ok() {
            *root = None;
        }
        settled.map_err(|e| self.trouble("restore to", &e))
    }

    /// Makes the restored entries durable.
    pub fn sync(&self) -> Result<()> {
        self.filled().map_or(Ok(()), Dir::syncfs).map_err(|e| self.trouble("sync", &e))
    }

    /// Removes the ACLs of a new tree's root, before the root gets its own metadata: an ACL of the destination from
    /// before is not part of the snapshot. Fails if the destination was empty and belongs to another user, because
    /// only that user may change its ACLs.
    pub fn clear_root(&self) -> Result<()> {
        match &self.place {
            TargetKind::Beside { root: dir, .. } | TargetKind::Inside { holder: dir, .. } => {
                remove_acls(dir).map_err(|e| Error::io("remove an ACL of", &self.dest, &e))
            }
            TargetKind::Existing(_) | TargetKind::Nowhere => Ok(()),
        }
    }

    /// Gives the root of a new tree the mode that the process gives to a new directory. For a snapshot that does not
    /// record the mode of its root.
    pub fn set_usual_mode(&self) -> Result<()> {
        let TargetKind::Beside { root, .. } = &self.place else { return Ok(()) };
        let mode = root.mkdir(&self.temp, 0o777).and_then(|()| {
            let mode = root.stat(&self.temp).map(|now| now.mode);
            root.rmdir(&self.temp)?;
            mode
        });
        let set = mode.and_then(|mode| platform::set_mode(root.as_fd(), mode));
        set.map_err(|e| Error::io("set the mode of", &self.dest, &e))
    }

    /// Keeps the entries that were restored before `error` under the destination's name, and returns `error`. If the
    /// tree cannot get that name, it gets another name that no later restore takes for a left-over, and the error
    /// names that place.
    pub fn leave(mut self, error: Error) -> Error {
        if self.published {
            return error;
        }
        let named = match &self.place {
            TargetKind::Beside { root, holder, name } => {
                let renamed = root.syncfs().and_then(|()| holder.rename_noreplace(&self.temp, holder, name));
                renamed.map_err(|e| self.trouble("restore to", &e))
            }
            TargetKind::Inside { .. } => self.settle().map(drop),
            TargetKind::Existing(_) | TargetKind::Nowhere => return error,
        };
        self.published = true;
        let detail = match named {
            Ok(()) => format!("{} (what was restored before stays)", error.detail),
            Err(why) => format!("{} ({})", error.detail, self.set_aside(&why)),
        };
        Error { detail, ..error }
    }

    /// Removes the new tree after `error`, and returns the error. If something of the tree stays, the error says so.
    /// Changes in an existing tree stay.
    pub fn abandon(mut self, error: Error) -> Error {
        if self.published {
            return error;
        }
        let stay = self.take_back();
        self.published = true;
        Error { detail: format!("{}{}", error.detail, kept_paths_message(&stay)), ..error }
    }

    /// Removes the new tree. Returns the paths that stay, each with the reason.
    fn take_back(&mut self) -> Vec<(Vec<u8>, String)> {
        let (holder, mut stay) = match &mut self.place {
            TargetKind::Beside { holder, .. } => (holder, Vec::new()),
            TargetKind::Inside { holder, moved, .. } => {
                // If this fails, removing the children fails, too, and that error says why.
                let _ = platform::set_mode(holder.as_fd(), 0o700);
                let stay = moved.take_back(holder);
                (holder, stay)
            }
            TargetKind::Existing(_) | TargetKind::Nowhere => return Vec::new(),
        };
        match holder.remove_tree(&self.temp) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                stay.push((self.temp.clone(), describe(&error)));
            }
            _ => {}
        }
        if let TargetKind::Inside { holder, before, .. } = &self.place
            && let Err(error) = give_metadata_back(holder, before)
        {
            stay.push((self.dest.clone(), format!("its metadata: {}", describe(&error))));
        }
        stay
    }

    /// Renames a tree that cannot get the destination's name because of `why`. Returns a sentence for the user about
    /// the place of the tree.
    fn set_aside(&self, why: &Error) -> String {
        let dest = Path::new(std::ffi::OsStr::from_bytes(&self.dest));
        let (holder, root, at) = match &self.place {
            TargetKind::Beside { holder, root, .. } => (holder, root, dest.parent()),
            TargetKind::Inside { holder, root: Some(root), .. } => (holder, root, Some(dest)),
            TargetKind::Inside { .. } | TargetKind::Existing(_) | TargetKind::Nowhere => {
                return "what was restored before stays".into();
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

    /// Renames a new tree to its final name and makes the rename durable.
    pub fn publish(&mut self) -> Result<()> {
        let holder = match &self.place {
            TargetKind::Beside { holder, name, .. } => {
                let renamed = holder.rename_noreplace(&self.temp, holder, name);
                renamed.map_err(|e| self.trouble("restore to", &e))?;
                holder
            }
            TargetKind::Inside { holder, .. } | TargetKind::Existing(holder) => holder,
            TargetKind::Nowhere => return Ok(()),
        };
        self.published = true;
        holder.sync().map_err(|e| self.trouble("sync", &e))
    }
}

/// Opens the directory that holds the destination. Returns it with the destination's name there.
fn place_of(dest: &Path) -> Result<(Dir, Vec<u8>)> {
    let bytes = dest.as_os_str().as_bytes();
    let absolute = std::path::absolute(dest).map_err(|e| Error::io("restore to", bytes, &e))?;
    let named = absolute.parent().zip(absolute.file_name());
    let (parent, name) =
        named.ok_or_else(|| Error::new(Kind::InvalidArg, "restore to", "no name").at(bytes))?;
    let holder = Dir::open(parent).map_err(|e| Error::io("open", parent.as_os_str().as_bytes(), &e))?;
    Ok((holder, name.as_bytes().to_vec()))
}

/// `Exists` if the flags of a directory forbid the renames in it with which a restore ends.
fn check_unprotected(dir: &Dir, dest: &[u8]) -> Result<()> {
    match platform::is_protected(dir) {
        true => {
            let detail = "its directory is immutable or append-only";
            Err(Error::new(Kind::Exists, "restore to", detail).at(dest))
        }
        false => Ok(()),
    }
}

fn beside(dest: &Path) -> Result<(Vec<u8>, TargetKind)> {
    let (holder, name) = place_of(dest)?;
    check_unprotected(&holder, dest.as_os_str().as_bytes())?;
    let made = make_temp(&holder, tag_of_name(&name));
    let (temp, root) = made.map_err(|e| Error::io("restore to", dest.as_os_str().as_bytes(), &e))?;
    Ok((temp, TargetKind::Beside { holder, name, root }))
}

fn inside(dir: Dir, dest: &[u8]) -> Result<(Vec<u8>, TargetKind)> {
    let trouble = |error: &io::Error| Error::io("restore to", dest, error);
    check_unprotected(&dir, dest)?;
    let before = dir.stat_self().map_err(|e| trouble(&e))?;
    let (temp, root) = make_temp(&dir, before.ino).map_err(|e| trouble(&e))?;
    Ok((temp, TargetKind::Inside { holder: dir, root: Some(root), before, moved: MovedChildren::default() }))
}

/// Removes the left-overs that killed restores of this destination left beside it. Does nothing if that directory
/// cannot be listed.
fn remove_leftovers_beside(dest: &Path, job: &mut Job) -> Result<()> {
    let Ok((holder, name)) = place_of(dest) else { return Ok(()) };
    let listing = holder.list();
    let names = listing.names.iter().map(|(name, _)| &**name);
    let outcome = LeftoverRemoval::of_dirs(tag_of_name(&name)).remove_from(&holder, names);
    let absolute = std::path::absolute(dest).unwrap_or_else(|_| dest.into());
    let path_of = |name: &[u8]| {
        absolute.with_file_name(std::ffi::OsStr::from_bytes(name)).into_os_string().into_encoded_bytes()
    };
    outcome.report(path_of, job)
}

/// `Exists` if a destination holds anything else than the `lost+found` of a file system and left-overs of killed
/// restores. Removes the left-overs, unless this is a dry run. `Exists` too if a left-over stays.
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
    let mut outcome = LeftoverRemoval::of_tree(id, dir).remove_from(dir, temps.iter().map(|name| &***name));
    // The error below reports a left-over that stays, so no problem is listed as well.
    let kept = std::mem::take(&mut outcome.kept);
    outcome.report(|name| name.to_vec(), job)?;
    match temps.iter().find(|name| !outcome.removed.contains(name)) {
        None => Ok(()),
        Some(name) => {
            let why = kept
                .iter()
                .find(|(kept, _)| kept == *name)
                .map_or(String::new(), |(_, why)| format!(" ({why})"));
            let name = encode_name(name);
            Err(exists(format!(
                "the destination is not empty: another restore works in {name}, or has left it{why}"
            )))
        }
    }
}

/// Whether `name` is the `lost+found` in the root of a mounted file system, and is empty or not readable for this
/// user.
fn is_lost_and_found(dir: &Dir, name: &[u8]) -> bool {
    let is_mounted = || {
        let above = dir.above().and_then(|above| above.stat_self());
        dir.stat_self().is_ok_and(|own| above.is_ok_and(|above| above.dev != own.dev))
    };
    name == LOST_AND_FOUND
        && dir.stat(name).is_ok_and(|stat| stat.kind == FileType::Dir && stat.uid == 0)
        && is_mounted()
        && match dir.open_dir(name).and_then(|inner| inner.is_empty()) {
            Ok(empty) => empty,
            Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
        }
}

pub(super) fn remove_acls(dir: &Dir) -> io::Result<()> {
    platform::remove_xattr(dir.as_fd(), b"system.posix_acl_default")?;
    platform::remove_xattr(dir.as_fd(), b"system.posix_acl_access")
}

impl Drop for Target {
    /// Removes the new tree as far as possible: the caller already reports the error of the restore. Changes in an
    /// existing tree stay.
    fn drop(&mut self) {
        if !self.published {
            self.take_back();
        }
    }
}

/// Whether the name exists. A dangling symbolic link counts as existing.
fn is_there(dest: &Path) -> bool {
    std::fs::symlink_metadata(dest).is_ok()
}

/// Whether the destination is a file, a dangling symbolic link or a loop of symbolic links.
fn is_no_directory(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ENOENT | libc::ELOOP))
}
