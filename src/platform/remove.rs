//! Removing a whole tree without following anything, however deep it is.

use std::io;

use rustix::io::Errno;

use super::dir::Dir;
use super::meta::set_mode;
use super::stat::{stat_fd, FileKind, Stat};
use std::os::fd::AsFd;

/// A directory being emptied.
struct Level {
    name: Box<[u8]>,
    /// Tells it again when the way leads back up.
    id: (u64, u64),
    /// What is left to remove in it.
    subdirs: Vec<Box<[u8]>>,
}

impl Dir {
    /// Removes `name` and, if it is a directory, everything below it. What other processes remove
    /// meanwhile is no error; what they add is (`ENOTEMPTY`), and so is another file system that is mounted
    /// there (`EXDEV`): nothing in that is touched.
    ///
    /// Holds two descriptors at most: the way up is `..`, taken only if it leads to where we came from.
    pub fn remove_tree(&self, name: &[u8]) -> io::Result<()> {
        if self.stat(name)?.kind != FileKind::Dir {
            return self.unlink(name);
        }
        let device = self.stat_self()?.dev;
        let mut dir = self.enter_to_remove(name, device)?;
        let mut levels = vec![dir.remove_files(name.into())?];
        while let Some(level) = levels.last_mut() {
            if let Some(subdir) = level.subdirs.pop() {
                if let Some(child) = gone_is_fine(dir.enter_to_remove(&subdir, device))? {
                    levels.push(child.remove_files(subdir)?);
                    dir = child;
                }
                continue;
            }
            let emptied = levels.pop().map(|level| level.name).unwrap_or_default();
            match levels.last() {
                Some(above) => {
                    dir = dir.open_parent(above.id)?;
                    gone_is_fine(dir.rmdir(&emptied))?;
                }
                None => return self.rmdir(name),
            }
        }
        Ok(())
    }

    /// Opens a directory that is to be emptied and makes it writable for us if it is not.
    fn enter_to_remove(&self, name: &[u8], device: u64) -> io::Result<Dir> {
        let of_device = |stat: Stat| if stat.dev == device { Ok(stat) } else { Err(Errno::XDEV) };
        let dir = match self.open_dir(name) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let named = self.open_path(name)?;
                of_device(stat_fd(named.as_fd())?)?;
                set_mode(named.as_fd(), 0o700)?;
                self.open_dir(name)?
            }
            result => result?,
        };
        let stat = of_device(dir.stat_self()?)?;
        if !super::is_privileged() && stat.mode & 0o700 != 0o700 {
            // If this fails, removing what is inside fails too and says why.
            let _ = set_mode(dir.as_fd(), 0o700);
        }
        Ok(dir)
    }

    /// Removes everything but the directories in this directory.
    fn remove_files(&self, name: Box<[u8]>) -> io::Result<Level> {
        let listing = self.list();
        if let Some(error) = listing.error {
            return Err(error);
        }
        let mut subdirs = Vec::new();
        for (name, hint) in listing.names {
            if hint == Some(FileKind::Dir) || !self.remove_file(&name)? {
                subdirs.push(name);
            }
        }
        Ok(Level { name, id: self.stat_self()?.id(), subdirs })
    }

    /// False if `name` turns out to be a directory.
    fn remove_file(&self, name: &[u8]) -> io::Result<bool> {
        match gone_is_fine(self.unlink(name)) {
            Ok(_) => Ok(true),
            Err(error) if is(&error, Errno::ISDIR) => Ok(false),
            // What POSIX has for a directory.
            Err(error) if is(&error, Errno::PERM) => match self.stat(name)?.kind {
                FileKind::Dir => Ok(false),
                _ => Err(error),
            },
            Err(error) => Err(error),
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
