//! Removes a whole tree of any depth without following symbolic links.

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::dir::Dir;
use super::meta::set_mode;
use super::stat::{Stat, stat_fd};
use crate::entry::FileType;

/// A directory that is being emptied.
struct DirToEmpty {
    name: Box<[u8]>,
    /// Device and inode, to check the directory on the way back up.
    id: (u64, u64),
    /// The mode before it was set to 0700 for removing; `None` if the mode was not changed.
    mode: Option<u32>,
    /// Subdirectories that are left to remove.
    subdirs: Vec<Box<[u8]>>,
}

/// The mount that every directory of the tree must lie in.
#[derive(Clone, Copy)]
struct MountPlace {
    device: u64,
    /// `None` if the system cannot distinguish mounts of one device.
    mount: Option<u64>,
}

impl MountPlace {
    fn of(dir: &Dir) -> io::Result<MountPlace> {
        Ok(MountPlace { device: dir.stat_self()?.dev, mount: dir.mount_id() })
    }

    /// `EXDEV` if `dir` lies in another mount.
    fn check(&self, dir: &Dir, now: &Stat) -> io::Result<()> {
        match now.dev == self.device && (self.mount.is_none() || dir.mount_id() == self.mount) {
            true => Ok(()),
            false => Err(Errno::XDEV.into()),
        }
    }
}

impl Dir {
    /// Removes `name` and, if it is a directory, everything below it.
    ///
    /// An entry that another process removes meanwhile is no error. An entry that another process adds is an error
    /// (`ENOTEMPTY`), and so is a mount in the tree (`EXDEV`), also of a part of the same file system: nothing in
    /// the mount is removed. After an error the remaining directories have their old modes again.
    ///
    /// Opens at most three descriptors at a time, for a tree of any depth: to go back up, it opens `..` and checks that
    /// `..` is the directory from which it came.
    pub fn remove_tree(&self, name: &[u8]) -> io::Result<()> {
        if self.stat(name)?.kind != FileType::Dir {
            return self.unlink(name);
        }
        let place = MountPlace::of(self)?;
        let (mut dir, level) = self.enter_to_remove(name, place)?;
        let mut levels = vec![level];
        let emptied = empty_levels(&mut dir, &mut levels, place);
        emptied.and_then(|()| self.rmdir(name)).inspect_err(|_| give_modes_back(dir, levels))
    }

    /// Opens a directory to empty it, and removes everything in it except its subdirectories. If the directory is not
    /// writable, its mode becomes 0700 first.
    fn enter_to_remove(&self, name: &[u8], place: MountPlace) -> io::Result<(Dir, DirToEmpty)> {
        let (dir, now, mut opened_up) = match self.open_dir(name) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let named = self.open_path(name)?;
                let now = stat_fd(named.as_fd())?;
                if now.dev != place.device {
                    return Err(Errno::XDEV.into());
                }
                set_mode(named.as_fd(), 0o700)?;
                let dir = self.open_dir(name).inspect_err(|_| drop(set_mode(named.as_fd(), now.mode)))?;
                (dir, now, true)
            }
            result => {
                let dir = result?;
                let now = dir.stat_self()?;
                (dir, now, false)
            }
        };
        let level = place.check(&dir, &now).and_then(|()| {
            if !opened_up && now.mode & 0o700 != 0o700 {
                // If this fails, removing the entries fails, too, and that error says why.
                opened_up = set_mode(dir.as_fd(), 0o700).is_ok();
            }
            dir.remove_files()
        });
        let mode = opened_up.then_some(now.mode);
        match level {
            Ok(subdirs) => Ok((dir, DirToEmpty { name: name.into(), id: now.id(), mode, subdirs })),
            Err(error) => {
                let _ = mode.map(|mode| set_mode(dir.as_fd(), mode));
                Err(error)
            }
        }
    }

    /// Removes everything in this directory except its subdirectories, whose names it returns.
    fn remove_files(&self) -> io::Result<Vec<Box<[u8]>>> {
        let listing = self.list();
        if let Some(error) = listing.error {
            return Err(error);
        }
        let mut subdirs = Vec::new();
        for (name, hint) in listing.names {
            if hint == Some(FileType::Dir) || !self.remove_file(&name)? {
                subdirs.push(name);
            }
        }
        Ok(subdirs)
    }

    /// Removes `name`; returns false, and removes nothing, if it is a directory.
    fn remove_file(&self, name: &[u8]) -> io::Result<bool> {
        match gone_is_fine(self.unlink(name)) {
            Ok(_) => Ok(true),
            Err(error) if is(&error, Errno::ISDIR) => Ok(false),
            // POSIX defines EPERM for `unlink` of a directory; Linux returns EISDIR.
            Err(error) if is(&error, Errno::PERM) => match self.stat(name)?.kind {
                FileType::Dir => Ok(false),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}

/// Empties the directory of the first level, subdirectories included. Each level is a subdirectory of the level before;
/// `dir` is the directory of the last level.
fn empty_levels(dir: &mut Dir, levels: &mut Vec<DirToEmpty>, place: MountPlace) -> io::Result<()> {
    while let Some(level) = levels.last_mut() {
        if let Some(subdir) = level.subdirs.pop() {
            if let Some((child, level)) = gone_is_fine(dir.enter_to_remove(&subdir, place))? {
                levels.push(level);
                *dir = child;
            }
            continue;
        }
        let [.., above, emptied] = &levels[..] else { break };
        let parent = dir.open_parent(above.id)?;
        gone_is_fine(parent.rmdir(&emptied.name))?;
        *dir = parent;
        levels.pop();
    }
    Ok(())
}

/// Restores the old modes of `levels`; `dir` is the directory of the last level. Errors are ignored, because the
/// caller reports an earlier error.
fn give_modes_back(mut dir: Dir, mut levels: Vec<DirToEmpty>) {
    while let Some(level) = levels.pop() {
        // Open the parent first: with its old mode this directory may forbid `..`.
        let above = levels.last().map(|above| dir.open_parent(above.id));
        let _ = level.mode.map(|mode| set_mode(dir.as_fd(), mode));
        match above {
            Some(Ok(above)) => dir = above,
            _ => return,
        }
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn gone_is_fine<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}
