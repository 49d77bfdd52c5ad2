//! The last step of a restore: project ids, and the flags that forbid further changes.
//!
//! An immutable or append-only file cannot be renamed, linked or removed, and a file of another project cannot be
//! renamed into a directory that passes its project on. So a restore sets these flags and projects last, when the
//! tree has its final name and the restore removes nothing of it any more. A restore that is killed before this step
//! has set none of them: the same restore over the tree sets them.

use std::io;
use std::os::fd::AsFd;

use crate::entry::{Entry, InodeFlags, Metadata, Node, Path, Place};
use crate::error::{Error, Result};
use crate::job::{Job, ProblemKind, meta};
use crate::platform::{self, Dir, Named};

use super::entry_spool::EntrySpool;
use super::selection::path_below;
use super::target::Target;

/// Files and directories that get a project or a protective flag at the end.
pub struct LateFlags {
    entries: EntrySpool,
    is_empty: bool,
    /// Bits of [`meta`].
    mask: u32,
    /// This process may set protective flags.
    protects: bool,
    /// An entry without a project loses the one that it inherited.
    clears_project: bool,
}

impl LateFlags {
    pub fn new(mask: u32, clears_project: bool) -> Self {
        let (entries, protects) = (EntrySpool::new(), platform::may_protect());
        LateFlags { entries, is_empty: true, mask, protects, clears_project }
    }

    /// Whether a file or directory with this metadata has anything to set here.
    pub fn wants(&self, data: &Metadata) -> bool {
        self.wanted(data) != (0, 0) || self.clears_project
    }

    /// The protective flags and the project to set on a file or directory with this metadata; each is 0 if there is
    /// none.
    fn wanted(&self, data: &Metadata) -> (u32, u32) {
        let protects = self.protects && self.mask & meta::FLAGS != 0;
        let flags = if protects { data.flags.known() & InodeFlags::PROTECTIVE } else { 0 };
        let project = if self.mask & meta::PROJECT != 0 { data.project } else { 0 };
        (flags, project)
    }

    /// Adds a file or directory with its device and inode, unless it has nothing to set here.
    pub fn add(&mut self, path: &Path, data: &Metadata, id: (u64, u64)) -> Result<()> {
        if !self.wants(data) {
            return Ok(());
        }
        let (flags, project) = self.wanted(data);
        self.is_empty = false;
        let data = Metadata { flags: InodeFlags::of(flags), project, ..Metadata::default() };
        // Only path, flags and project matter, so every entry can be a directory.
        self.entries.push(&Entry::new(path.clone(), Node::Dir, data, Place::default()), id)
    }

    /// Sets the flags and projects in the finished tree, and makes them durable. Lists refusals as problems, which do
    /// not end the operation: the tree has its final name, and nothing of it can be taken back.
    pub fn set(mut self, target: &Target, job: &mut Job) -> Result<()> {
        let Some(root) = target.root()?.filter(|_| !self.is_empty) else { return Ok(()) };
        let base = job.options.root.clone();
        let trouble = |error: &io::Error| Error::io("sync the destination", &base, error);
        let device = root.stat_self().map_err(|e| trouble(&e))?.dev;
        let clears_project = self.clears_project;
        self.entries.replay(|entry, id| {
            let path = path_below(entry.path.as_bytes(), &base);
            let project = Some(entry.meta.project).filter(|&project| project != 0 || clears_project);
            for error in set_one((&root, path), &entry, project, id, device) {
                job.problem_at_end(ProblemKind::Metadata, entry.path.as_bytes(), &error);
            }
            Ok(())
        })?;
        root.syncfs().map_err(|e| trouble(&e))
    }
}

/// Sets the flags of an entry, and `project` if there is one to set, on the inode `id`, which must still be at `path`
/// below `root`. Returns the errors. An inode on another device than `device` is synced.
fn set_one(
    (root, path): (&Dir, &[u8]),
    entry: &Entry,
    project: Option<u32>,
    id: (u64, u64),
    device: u64,
) -> Vec<Error> {
    let error = |op: String, error: io::Error| Error::io(op, &entry.path, &error);
    let opened = open(root, path, id);
    let fd = match opened {
        Ok(fd) => fd,
        Err(why) => return vec![error("open to set the flags or the project of".into(), why)],
    };
    let data = &entry.meta;
    let (projected, protected) = platform::set_project_and_protect(fd.as_fd(), project, data.flags.known());
    let synced = if id.0 == device { Ok(()) } else { platform::sync_fd(fd.as_fd()) };
    let of_project = projected.err().map(|why| error(format!("set the project {} of", data.project), why));
    let of_flags =
        protected.err().map(|why| error(format!("set the flags '{}' of", data.flags.words().join(",")), why));
    let of_sync = synced.err().map(|why| error("sync".into(), why));
    of_project.into_iter().chain(of_flags).chain(of_sync).collect()
}

fn open(root: &Dir, path: &[u8], id: (u64, u64)) -> io::Result<std::os::fd::OwnedFd> {
    if path.is_empty() {
        return Ok(root.try_clone()?.into());
    }
    let named = platform::patiently(crate::error::is_shortage, || root.open_path(path))?;
    // The owner of a directory may have put another file there.
    let now = platform::stat_fd(named.as_fd())?;
    if now.id() != id {
        return Err(io::Error::from_raw_os_error(libc::ESTALE));
    }
    let open = || Named::from(named.as_fd()).open_for_reading();
    match open() {
        // The file has its final mode, which may deny its owner to read it.
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied && now.uid == platform::effective_uid() => {
            platform::set_mode(named.as_fd(), now.mode | 0o400)?;
            let opened = open();
            platform::set_mode(named.as_fd(), now.mode)?;
            opened
        }
        opened => opened,
    }
}
