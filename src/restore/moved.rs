//! Moves the children of a new tree from the temporary directory into an empty destination, and takes them back.

use std::io;
use std::os::fd::AsFd;

use crate::error::describe;
use crate::platform::{self, Dir, Stat};
use crate::text::encode_name;

use super::tree::FileId;

/// The directory that `mkfs` makes in the root of some file systems.
pub(super) const LOST_AND_FOUND: &[u8] = b"lost+found";

/// The children that have moved so far.
#[derive(Default)]
pub(super) struct MovedChildren {
    children: Vec<MovedChild>,
    /// The destination's own `lost+found`, if it received children, with its metadata from before.
    entered: Vec<(Vec<u8>, Stat)>,
}

/// A child that has moved into the destination.
struct MovedChild {
    /// The path below the destination.
    path: Vec<u8>,
    id: FileId,
}

impl MovedChildren {
    /// Moves all children of `from` into the destination `to`. Returns the device and inode of a `lost+found` that
    /// `to` already has.
    pub fn move_up(&mut self, from: &Dir, to: &Dir) -> io::Result<Option<FileId>> {
        self.move_all(from, to, b"")?;
        Ok(self.entered.first().map(|(_, before)| before.id()))
    }

    /// `at` is the path of `to` below the destination.
    fn move_all(&mut self, from: &Dir, to: &Dir, at: &[u8]) -> io::Result<()> {
        let listing = from.list();
        if let Some(error) = listing.error {
            return Err(error);
        }
        for (name, _) in listing.names {
            let path = if at.is_empty() { name.to_vec() } else { [at, b"/", &name].concat() };
            let id = from.stat(&name)?.id();
            match from.rename_noreplace(&name, to, &name) {
                // The destination has its own empty `lost+found`, which gets the restored children and the metadata.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && *name == *LOST_AND_FOUND => {
                    let (inner, kept) = (from.open_dir(&name)?, to.open_dir(&name)?);
                    self.enter(&path, kept.stat_self()?);
                    self.move_all(&inner, &kept, &path)?;
                    from.rmdir(&name)?;
                }
                result => {
                    result?;
                    self.children.push(MovedChild { path, id });
                }
            }
        }
        Ok(())
    }

    /// Remembers a directory of the destination. If a move is tried again, the metadata from before the first try
    /// counts.
    fn enter(&mut self, path: &[u8], before: Stat) {
        if self.entered.iter().all(|(known, _)| known != path) {
            self.entered.push((path.to_vec(), before));
        }
    }

    /// Removes the children from the destination, and gives its `lost+found` the metadata from before. Returns the
    /// paths that stay, each with the reason. If another program has certainly replaced or removed a child, its path
    /// is not among them.
    pub fn take_back(&mut self, dest: &Dir) -> Vec<(Vec<u8>, String)> {
        let mut stay = Vec::new();
        for child in std::mem::take(&mut self.children).into_iter().rev() {
            match child.remove(dest) {
                Ok(None) => {}
                Ok(Some(why)) => stay.push((child.path, why.to_string())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => stay.push((child.path, describe(&error))),
            }
        }
        for (path, before) in std::mem::take(&mut self.entered) {
            if let Err(error) = dest.open_dir(&path).and_then(|dir| give_metadata_back(&dir, &before)) {
                stay.push((path, format!("its metadata: {}", describe(&error))));
            }
        }
        stay
    }
}

const UNPROVEN: &str = "on this file system nothing shows whether somebody else has put it there";

impl MovedChild {
    /// Removes the child, unless another file has its name now. Returns a reason if nothing shows whether the name
    /// has another file: where a program or another machine assigns the inode numbers (FUSE, NFS), a file may get a
    /// new number.
    fn remove(&self, dest: &Dir) -> io::Result<Option<&'static str>> {
        let slash = self.path.iter().rposition(|&byte| byte == b'/');
        let (above, name) =
            slash.map_or((&b""[..], &self.path[..]), |at| (&self.path[..at], &self.path[at + 1..]));
        let dir = dest.open_dir(above)?;
        match dir.stat(name)?.id() == self.id {
            true => dir.remove_tree(name).map(|()| None),
            false => Ok((!dir.syncs_whole()).then_some(UNPROVEN)),
        }
    }
}

/// Gives a directory the owner, mode and time that it had before the restore.
pub(super) fn give_metadata_back(dir: &Dir, before: &Stat) -> io::Result<()> {
    let now = dir.stat_self()?;
    if (now.uid, now.gid) != (before.uid, before.gid) {
        platform::set_owner(dir.as_fd(), before.uid, before.gid)?;
    }
    if now.mode != before.mode {
        platform::set_mode(dir.as_fd(), before.mode)?;
    }
    // The time of another user's directory cannot be set, and it matters least.
    let _ = platform::set_times(dir.as_fd(), before.mtime);
    Ok(())
}

/// A sentence for the user that names the paths which a failed restore could not remove; empty if there are none.
pub(super) fn kept_paths_message(stay: &[(Vec<u8>, String)]) -> String {
    let Some((path, why)) = stay.first() else { return String::new() };
    let more = match stay.len() {
        1 => String::new(),
        all => format!(" (and {} more)", all - 1),
    };
    format!("; the destination is not as it was: {}{more}: {why}", encode_name(path))
}
