//! Sets metadata, and finds out whether an existing file has it already.

mod rights;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::entry::{Entry, FileType, Metadata, Path};
use crate::error::{Error, Result};
use crate::job::{ProblemKind, meta};
use crate::platform::{self, Named, Stat};

use super::Tree;
pub(super) use rights::{WidenedDir, set_mode_if};

/// Prefix of the attributes that hold access and default ACLs in the kernel's form.
const ACL: &[u8] = b"system.posix_acl_";

/// The metadata that the restore sets.
#[derive(Clone, Copy)]
pub struct MetadataPolicy {
    pub mask: u32,
    pub privileged: bool,
    /// Removes extended attributes that the snapshot does not have: old attributes of an existing file, or an ACL
    /// that a new file inherited from its directory.
    pub strips: bool,
}

impl MetadataPolicy {
    pub fn has(self, bit: u32) -> bool {
        self.mask & bit != 0
    }

    /// Whether the restore sets this extended attribute. Without privilege, nobody can set `security.*` and
    /// `trusted.*`.
    fn sets(self, name: &[u8]) -> bool {
        let reserved = name.starts_with(b"security.") || name.starts_with(b"trusted.");
        !reserved || self.privileged
    }

    /// Whether the restore removes this attribute where the snapshot does not have it. Labels of security modules
    /// belong to the system and stay.
    fn removes(self, name: &[u8]) -> bool {
        self.sets(name) && (!name.starts_with(b"security.") || name == b"security.capability")
    }

    /// Sets the metadata of an open file or directory: owner, extended attributes, mode, times. The order matters,
    /// because each step can change metadata that a later step sets: for example, a new owner clears setuid. `owned`:
    /// the current uid and gid, if known. Returns the errors.
    pub fn set(self, path: &Path, data: &Metadata, of: Named<'_>, owned: Option<(u32, u32)>) -> Vec<Error> {
        let fd = of.fd;
        let mut attempts = Attempts { wanted: self, path, failed: Vec::new() };
        if owned != Some((data.uid, data.gid)) {
            attempts.set(meta::OWNER, "set the owner of", || platform::set_owner(fd, data.uid, data.gid));
        }
        attempts.xattrs(data, of);
        let mode = self.mode(data, || platform::stat_fd(fd));
        attempts.set(meta::MODE, "set the mode of", || platform::set_mode(fd, mode?));
        attempts.set(meta::TIMES, "set the times of", || platform::set_times(fd, data.mtime));
        attempts.failed
    }

    /// The mode to set. setuid needs the recorded owner, and setgid needs the recorded group: with another owner or
    /// group the bit would give away other rights. A directory keeps setgid, because the bit gives no rights there.
    fn mode(self, data: &Metadata, now: impl FnOnce() -> io::Result<Stat>) -> io::Result<u32> {
        if data.mode & 0o6000 == 0 {
            return Ok(data.mode);
        }
        let now = now()?;
        Ok(self.mode_for(data, now.uid, now.gid, now.kind))
    }

    /// The mode to set on a file of this kind with this owner and group.
    fn mode_for(self, data: &Metadata, uid: u32, gid: u32, kind: FileType) -> u32 {
        let mut mode = data.mode;
        if !self.has(meta::SETID) || uid != data.uid {
            mode &= !0o4000;
        }
        if !self.has(meta::SETID) || (gid != data.gid && kind != FileType::Dir) {
            mode &= !0o2000;
        }
        mode
    }
}

/// Sets one kind of metadata after the other, and goes on after an error.
struct Attempts<'p> {
    wanted: MetadataPolicy,
    path: &'p Path,
    failed: Vec<Error>,
}

impl Attempts<'_> {
    /// Runs `set` if this kind of metadata is wanted.
    fn set(&mut self, bit: u32, op: &str, set: impl FnOnce() -> io::Result<()>) {
        if self.wanted.has(bit) {
            self.failed.extend(set().err().map(|error| not_done(op, self.path, &error)));
        }
    }

    /// Sets ACLs after the other attributes: an ACL changes the mode, and `user.*` needs the owner's right to write.
    fn xattrs(&mut self, data: &Metadata, of: Named<'_>) {
        self.remove_xattrs(data, of);
        let wanted = self.wanted;
        let settable = data.xattrs.iter().filter(|(name, _)| wanted.sets(name));
        let (acls, others): (Vec<_>, Vec<_>) = settable.partition(|(name, _)| name.starts_with(ACL));
        for (name, value) in others.into_iter().chain(acls) {
            self.set(meta::XATTRS, "set an extended attribute of", || platform::set_xattr(of, name, value));
        }
    }

    fn remove_xattrs(&mut self, data: &Metadata, of: Named<'_>) {
        if !self.wanted.strips || !self.wanted.has(meta::XATTRS) {
            return;
        }
        let now = match platform::read_xattrs(of) {
            Ok(now) => now,
            Err(error) => {
                return self.failed.push(not_done("read the extended attributes of", self.path, &error));
            }
        };
        for (name, _) in now {
            if self.wanted.removes(&name) && !data.xattrs.iter().any(|(kept, _)| *kept == name) {
                let remove = || platform::remove_xattr(of, &name);
                self.set(meta::XATTRS, "remove an extended attribute of", remove);
            }
        }
    }
}

/// Whether an operation failed because `/proc` is not mounted.
fn needs_proc(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOSYS) && platform::lacks_proc()
}

fn not_done(op: &str, path: &Path, error: &io::Error) -> Error {
    let told = Error::io(op, path, error);
    match needs_proc(error) {
        true => {
            Error { detail: "this system does it only through /proc, which is not mounted".into(), ..told }
        }
        false => told,
    }
}

impl Tree<'_, '_> {
    /// Sets the metadata of an open file or directory. Lists metadata that cannot be set as problems.
    pub fn metadata(&mut self, path: &Path, data: &Metadata, fd: BorrowedFd<'_>) -> Result<()> {
        let failed = self.wanted.set(path, data, fd.into(), None);
        self.not_set(path, failed)
    }

    /// Lists metadata that could not be set as problems.
    pub fn not_set(&mut self, path: &Path, failed: Vec<Error>) -> Result<()> {
        let mut failed = failed.into_iter();
        failed.try_for_each(|error| self.job.trouble(ProblemKind::Metadata, path.as_bytes(), error))
    }

    /// Whether an existing file already has all the metadata that the restore would set.
    pub fn has_attributes(&mut self, entry: &Entry, now: &Stat) -> Result<bool> {
        let (data, wanted) = (&entry.meta, self.wanted);
        let owned = now.uid == data.uid && now.gid == data.gid;
        let (uid, gid) = if wanted.has(meta::OWNER) { (data.uid, data.gid) } else { (now.uid, now.gid) };
        let same_mode =
            now.kind == FileType::Symlink || wanted.mode_for(data, uid, gid, now.kind) == now.mode;
        let same = (!wanted.has(meta::OWNER) || owned)
            && (!wanted.has(meta::MODE) || same_mode)
            && (!wanted.has(meta::TIMES) || now.mtime == data.mtime);
        if !same || !wanted.has(meta::XATTRS) {
            return Ok(same);
        }
        let place = if entry.path == self.target.base { None } else { Some(self.target.target_dir(entry)?) };
        let place = place.as_ref().map(|place| (&place.dir, entry.path.name()));
        let named = match place {
            None => self.target.open_dir(entry.path.as_bytes()).map(OwnedFd::from),
            Some((dir, name)) => dir.open_path(name),
        };
        let read = |fd: OwnedFd| {
            let of = Named { fd: fd.as_fd(), place };
            self.with_read_right(fd.as_fd(), now, || platform::read_xattrs(of))
        };
        let now = match named.and_then(read) {
            // The restore sets the attributes then, and that error gives the reason.
            Err(error) if needs_proc(&error) => return Ok(false),
            now => now,
        };
        let now = now.map_err(|e| Error::io("read the extended attributes of", &entry.path, &e))?;
        let kept = |name: &[u8]| data.xattrs.iter().any(|(kept, _)| kept == name);
        let now = now.iter().filter(|(name, _)| wanted.removes(name) || kept(name));
        Ok(now.eq(data.xattrs.iter().filter(|(name, _)| wanted.sets(name))))
    }
}
