//! The tree of one point, rebuilt in a temporary directory that only this process uses.
//!
//! Every path comes from a file that may be forged. So each entry is made in a directory that is opened beneath the
//! root of the tree and through no symbolic link, under a name that did not exist or is replaced by a rename.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::tgz::{Member, MemberKind};
use crate::entry::{FileType, Path};
use crate::error::{Error, Kind, Result};
use crate::format::TEMP_PREFIX;
use crate::platform::{self, Dir, Stat};
use crate::stamp::Time;

const OP: &str = "rebuild the tree of the ancestor's backup";
/// The directories in the temporary directory: the tree, and a place for files that are being made.
const TREE: &[u8] = b"tree";
const WORK: &[u8] = b"work";
const NEW: &[u8] = b"new";

/// Owner, permissions and time of an entry. A state of the ancestor has only the times of files, and an archive has all
/// of them for the entries that are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
}

impl Attributes {
    pub fn of(member: &Member) -> Self {
        Attributes { mode: member.mode, uid: member.uid, gid: member.gid, mtime: member.mtime }
    }

    /// Those that an entry of the tree has now.
    fn now(stat: &Stat) -> Self {
        Attributes { mode: stat.mode, uid: stat.uid, gid: stat.gid, mtime: stat.mtime }
    }
}

/// A tree in a temporary directory, which is removed with the value.
pub struct PointTree {
    path: PathBuf,
    /// The parent of the temporary directory, the directory itself, and its name.
    above: Dir,
    temp: Dir,
    name: Vec<u8>,
    root: Dir,
    work: Dir,
    /// Each directory of the tree with the attributes that it has at a point. While the tree is edited, the directory
    /// may be open to its owner, and it may have another time.
    dirs: BTreeMap<Path, Attributes>,
    /// The directories that a full archive has named.
    seen_dirs: BTreeSet<Path>,
    is_privileged: bool,
    /// The owner of the entries that this process makes.
    own: Attributes,
    /// The number of entries whose owner could not be set.
    pub foreign_owners: u64,
    /// The paths of devices that could not be made, with the reasons.
    pub left_out: Vec<(Path, Error)>,
    /// The entries whose permissions exclude their owner: this process could not read them.
    pub opened: Vec<Path>,
}

impl PointTree {
    /// Makes an empty tree in the directory for temporary files.
    pub fn new() -> Result<PointTree> {
        let fault = |error: &io::Error| Error::own("make a temporary directory", error);
        let parent = std::path::absolute(std::env::temp_dir()).map_err(|e| fault(&e))?;
        let name = format!("{TEMP_PREFIX}import-{}", platform::unique_digits()).into_bytes();
        let above = Dir::open(&parent).map_err(|e| fault(&e))?;
        above.mkdir(&name, 0o700).map_err(|e| fault(&e))?;
        let make = || -> io::Result<_> {
            let dir = above.open_dir(&name)?;
            dir.mkdir(TREE, 0o700)?;
            dir.mkdir(WORK, 0o700)?;
            let (root, work) = (dir.open_dir(TREE)?, dir.open_dir(WORK)?);
            let stat = root.stat_self()?;
            Ok((dir, root, work, stat))
        };
        let (temp_dir, root, work, stat) = make().map_err(|error| {
            let _ = above.remove_tree(&name);
            fault(&error)
        })?;
        let path = parent.join(OsStr::from_bytes(&name));
        let attributes = Attributes { mode: 0o700, ..Attributes::now(&stat) };
        Ok(PointTree {
            path,
            above,
            temp: temp_dir,
            name,
            root,
            work,
            dirs: BTreeMap::from([(Path::root(), attributes)]),
            seen_dirs: BTreeSet::new(),
            is_privileged: platform::is_privileged(),
            own: attributes,
            foreign_owners: 0,
            left_out: Vec::new(),
            opened: Vec::new(),
        })
    }

    /// Removes the whole tree and begins an empty one.
    pub fn reset(&mut self) -> Result<()> {
        let renewed = self.temp.remove_tree(TREE).and_then(|()| {
            self.temp.mkdir(TREE, 0o700)?;
            self.temp.open_dir(TREE)
        });
        self.root = renewed.map_err(|error| Error::own(OP, &error))?;
        self.dirs = BTreeMap::from([(Path::root(), self.own)]);
        self.seen_dirs.clear();
        Ok(())
    }

    /// The path of the root of the tree.
    pub fn root_path(&self) -> PathBuf {
        self.path.join("tree")
    }

    /// A place for a store beside the tree, which is removed with it.
    pub fn store_path(&self) -> PathBuf {
        self.path.join("store")
    }

    /// Sets the attributes that a directory has when the point is complete.
    pub fn set_dir(&mut self, path: &Path, attributes: Attributes) {
        let attributes = self.possible(path, attributes, 0o500);
        self.dirs.insert(path.clone(), attributes);
    }

    pub fn has_dir(&self, path: &Path) -> bool {
        self.dirs.contains_key(path)
    }

    /// Makes a directory, and those above it that do not exist. Anything else in the place of one of them is removed,
    /// because the state says that there is a directory. `time` is the time of new directories, of which nothing else
    /// is recorded: they get the owner and the permissions of the directory above.
    pub fn make_dir(&mut self, path: &Path, time: Time) -> Result<()> {
        if self.dirs.contains_key(path) {
            return Ok(());
        }
        let Some(parent) = path.parent() else { return Ok(()) };
        let parent = Path::of_checked(parent);
        self.make_dir(&parent, time)?;
        let dir = self.dir(&parent)?;
        match dir.mkdir(path.name(), 0o700) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                dir.remove_tree(path.name()).map_err(|e| fault(path, &e))?;
                dir.mkdir(path.name(), 0o700).map_err(|e| fault(path, &e))?;
            }
            made => made.map_err(|e| fault(path, &e))?,
        }
        self.inherit_attributes(path, &parent, time);
        Ok(())
    }

    /// Makes a directory of a full archive, which may follow the entries in it: then the directory is there already.
    pub fn make_new_dir(&mut self, path: &Path) -> Result<()> {
        match self.seen_dirs.insert(path.clone()) {
            false => Err(fault(path, &io::Error::from_raw_os_error(libc::EEXIST))),
            true if self.dirs.contains_key(path) => Ok(()),
            true => self.parent(path)?.mkdir(path.name(), 0o700).map_err(|e| fault(path, &e)),
        }
    }

    /// Makes the directories of a path that the archive has not named so far. Nothing is removed for one of them.
    pub fn make_missing_dir(&mut self, path: &Path, time: Time) -> Result<()> {
        if self.dirs.contains_key(path) {
            return Ok(());
        }
        let parent = Path::of_checked(path.parent().unwrap_or_default());
        self.make_missing_dir(&parent, time)?;
        let made = self.dir(&parent)?.mkdir(path.name(), 0o700);
        made.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => fault(path, &io::Error::from_raw_os_error(libc::ENOTDIR)),
            _ => fault(path, &error),
        })?;
        self.inherit_attributes(path, &parent, time);
        Ok(())
    }

    /// Gives a new directory of which nothing is recorded the owner and the permissions of the directory above.
    fn inherit_attributes(&mut self, path: &Path, parent: &Path, time: Time) {
        let above = self.dirs.get(parent).copied().unwrap_or(self.own);
        self.dirs.insert(path.clone(), Attributes { mode: above.mode & 0o777, mtime: time, ..above });
    }

    /// Makes a member that is neither a directory nor a regular file. `EEXIST` if its name is taken.
    pub fn make_node(&mut self, member: &Member) -> Result<()> {
        let path = &member.path;
        let dir = self.parent(path)?;
        let (name, mode) = (path.name(), 0o600);
        let made = match &member.kind {
            MemberKind::Symlink(target) => dir.symlink(target, name),
            MemberKind::HardLink(first) => {
                let from = self.parent(first)?;
                if from.stat(first.name()).map_err(|e| fault(first, &e))?.kind == FileType::Dir {
                    return Err(Error::corrupt(OP, path.as_bytes(), "it is a hard link to a directory"));
                }
                return dir.hard_link(&from, first.name(), name).map_err(|e| fault(path, &e));
            }
            MemberKind::Fifo => dir.mknod(name, FileType::Fifo, mode, 0),
            MemberKind::Char(major, minor) => {
                dir.mknod(name, FileType::Char, mode, platform::device_number(*major, *minor))
            }
            MemberKind::Block(major, minor) => {
                dir.mknod(name, FileType::Block, mode, platform::device_number(*major, *minor))
            }
            MemberKind::File | MemberKind::Dir => return Ok(()),
        };
        match made {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.left_out.push((path.clone(), fault(path, &error)));
                return Ok(());
            }
            made => made.map_err(|e| fault(path, &e))?,
        }
        let fd = dir.open_path(name).map_err(|e| fault(path, &e))?;
        let is_link = matches!(member.kind, MemberKind::Symlink(_));
        let attributes = self.possible(path, Attributes::of(member), 0);
        self.set_attributes(fd.as_fd(), path, attributes, is_link)
    }

    /// Begins a file: an empty file that no path of the tree names yet.
    pub fn begin_file(&self) -> Result<File> {
        match self.work.unlink(NEW) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::own(OP, &error)),
            _ => {}
        }
        self.work.create_file(NEW, 0o600).map_err(|error| Error::own(OP, &error))
    }

    /// Gives the file of [`PointTree::begin_file`] its attributes and its path. It replaces anything that is not a
    /// directory, or nothing if `is_new`.
    pub fn end_file(
        &mut self,
        mut file: File,
        path: &Path,
        attributes: Attributes,
        is_new: bool,
    ) -> Result<()> {
        file.flush().map_err(|e| fault(path, &e))?;
        let dir = self.parent(path)?;
        let attributes = self.possible(path, attributes, 0o400);
        self.set_attributes(file.as_fd(), path, attributes, false)?;
        let named = match is_new {
            true => self.work.rename_noreplace(NEW, &dir, path.name()),
            false => self.work.rename(NEW, &dir, path.name()),
        };
        named.map_err(|e| fault(path, &e))
    }

    /// Opens a regular file of the tree, and returns its attributes.
    pub fn open_file(&self, path: &Path) -> Result<(File, Attributes)> {
        let opened = self.parent(path)?.open_regular(path.name()).map_err(|e| fault(path, &e))?;
        let mut file = opened.map_err(|kind| {
            Error::corrupt(OP, path.as_bytes(), format!("it is a {}, not a regular file", kind.name()))
        })?;
        file.rewind().map_err(|e| fault(path, &e))?;
        let stat = platform::stat_file(&file).map_err(|e| fault(path, &e))?;
        Ok((file, Attributes::now(&stat)))
    }

    /// Sets the modification time of a regular file, if it is another one. False if nothing, or a directory, has this
    /// path.
    pub fn set_mtime(&mut self, path: &Path, mtime: Time) -> Result<bool> {
        let Ok(dir) = self.parent(path) else { return Ok(false) };
        let stat = match dir.stat(path.name()) {
            Ok(stat) if stat.kind == FileType::File => stat,
            Ok(stat) => return Ok(stat.kind != FileType::Dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(fault(path, &error)),
        };
        if stat.mtime != mtime {
            let fd = dir.open_path(path.name()).map_err(|e| fault(path, &e))?;
            platform::set_times(fd.as_fd(), mtime).map_err(|e| fault(path, &e))?;
        }
        Ok(true)
    }

    /// Removes an entry, and everything below it if it is a directory. An entry that is not there counts as removed.
    pub fn remove(&mut self, path: &Path) -> Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        if !self.dirs.contains_key(&Path::of_checked(parent)) {
            return Ok(());
        }
        match self.parent(path)?.remove_tree(path.name()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault(path, &error)),
            _ => {}
        }
        if self.dirs.contains_key(path) {
            self.dirs.retain(|dir, _| !dir.is_within(path.as_bytes()));
        }
        Ok(())
    }

    /// Opens the directories to their owner, who is about to change them.
    pub fn begin_point(&mut self) -> Result<()> {
        for (path, attributes) in self.dirs.iter().filter(|_| !self.is_privileged) {
            if attributes.mode & 0o700 != 0o700 {
                let fd = self.path_fd(path)?;
                platform::set_mode(fd.as_fd(), attributes.mode | 0o700).map_err(|e| fault(path, &e))?;
            }
        }
        Ok(())
    }

    /// Gives the directories the attributes that they have at the point.
    pub fn end_point(&mut self) -> Result<()> {
        // The deepest first, because a mode may forbid to reach the entries below.
        let dirs: Vec<_> =
            self.dirs.iter().rev().map(|(path, attributes)| (path.clone(), *attributes)).collect();
        for (path, attributes) in dirs {
            let fd = self.path_fd(&path)?;
            let stat = platform::stat_fd(fd.as_fd()).map_err(|e| fault(&path, &e))?;
            if Attributes::now(&stat) != attributes {
                self.set_attributes(fd.as_fd(), &path, attributes, false)?;
            }
        }
        Ok(())
    }

    fn path_fd(&self, path: &Path) -> Result<std::os::fd::OwnedFd> {
        self.root.open_path(path.as_bytes()).map_err(|e| fault(path, &e))
    }

    /// The attributes that this process can give to an entry. Only a privileged process can set the owner, and any
    /// other must be able to read the entry afterwards.
    fn possible(&mut self, path: &Path, wanted: Attributes, readable: u32) -> Attributes {
        if self.is_privileged {
            return wanted;
        }
        let Attributes { uid, gid, .. } = self.own;
        self.foreign_owners += u64::from((wanted.uid, wanted.gid) != (uid, gid));
        if wanted.mode & readable != readable {
            self.opened.push(path.clone());
        }
        Attributes { mode: wanted.mode | readable, uid, gid, ..wanted }
    }

    /// The directory that holds `path`. An error if it does not exist, or if a symbolic link leads there.
    fn parent(&self, path: &Path) -> Result<Dir> {
        self.dir(&Path::of_checked(path.parent().unwrap_or_default()))
    }

    fn dir(&self, path: &Path) -> Result<Dir> {
        if !self.dirs.contains_key(path) {
            let detail = "it is no directory of the backup, but something is said to lie in it";
            return Err(Error::corrupt(OP, path.as_bytes(), detail));
        }
        self.root.open_dir(path.as_bytes()).map_err(|e| fault(path, &e))
    }

    /// Sets owner, mode and time, in this order. The owner is set only by a process that may do so.
    fn set_attributes(
        &self,
        fd: BorrowedFd<'_>,
        path: &Path,
        attributes: Attributes,
        is_link: bool,
    ) -> Result<()> {
        let Attributes { mode, uid, gid, mtime } = attributes;
        if self.is_privileged {
            platform::set_owner(fd, uid, gid).map_err(|e| fault(path, &e))?;
        }
        if !is_link {
            platform::set_mode(fd, mode).map_err(|e| fault(path, &e))?;
        }
        platform::set_times(fd, mtime).map_err(|e| fault(path, &e))
    }
}

impl Drop for PointTree {
    fn drop(&mut self) {
        // Nothing can be done about a temporary directory that cannot be removed.
        let _ = self.above.remove_tree(&self.name);
    }
}

/// The error of a step with an entry of the tree. A name that is taken, and a path through something that is no
/// directory, are faults of the stored files; anything else is a failure of the temporary directory.
fn fault(path: &Path, error: &io::Error) -> Error {
    let detail = match error.raw_os_error() {
        Some(libc::EEXIST) => "the archive has it twice",
        Some(libc::ENOTDIR | libc::ELOOP) => "it lies below something that is no directory",
        Some(libc::ENOENT) => "there is no such file",
        _ => return Error { kind: Kind::Io, ..Error::own(OP, error).at(path.as_bytes()) },
    };
    Error::corrupt(OP, path.as_bytes(), detail)
}
