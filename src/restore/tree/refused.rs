//! Which errors cost one entry, and which end the restore.
//!
//! One rule for a new tree and for one that exists: an entry that the destination refuses is a problem, a refused
//! directory costs what is below it as well, and all else is restored. Only an error that every further entry
//! would meet ends the restore: no room, no descriptors or memory, a destination that is gone or read-only.

use crate::entry::{Entry, Path};
use crate::error::{Error, Kind, Result};
use crate::job::ProblemKind;

use super::Tree;

/// Codes that concern one name, one file or one permission, never the whole file system.
const OF_ONE_ENTRY: [i32; 21] = [
    libc::EACCES,
    libc::EPERM,
    libc::EBUSY,
    libc::EXDEV,
    libc::ETXTBSY,
    libc::EEXIST,
    libc::ENOTEMPTY,
    libc::EISDIR,
    libc::ELOOP,
    // Something else was put in its place.
    libc::ESTALE,
    // A name or a size that the file system does not have.
    libc::EINVAL,
    libc::EILSEQ,
    libc::ENAMETOOLONG,
    libc::EFBIG,
    libc::EOVERFLOW,
    // A kind of file, or a link too many.
    libc::ENOSYS,
    libc::EOPNOTSUPP,
    libc::EMLINK,
    libc::EDQUOT,
    libc::ENODATA,
    libc::E2BIG,
];

/// True if the error may concern a single entry: what was there before, its permissions, or a file system that has
/// no such entry. A shortage and a full file system never do.
pub(super) fn is_obstacle(error: &Error) -> bool {
    let of_system = matches!(error.kind, Kind::Io | Kind::Exists) && error.os_code != 0;
    of_system && !error.is_own && error.os_code != libc::ENOSPC
}

impl Tree<'_, '_> {
    pub(super) fn is_below_lost(&self, entry: &Entry) -> bool {
        self.lost_dir.as_ref().is_some_and(|lost| entry.path.is_within(lost.as_bytes()))
    }

    /// Lists an entry that the destination refuses. Returns the errors that end the restore.
    pub(super) fn or_obstructed(&mut self, path: &Path, is_dir: bool, done: Result<()>) -> Result<()> {
        match done {
            Err(error) if *path != self.base && is_obstacle(&error) && self.takes_others(&error) => {
                if is_dir {
                    self.lost_dir = Some(path.clone());
                }
                self.job.trouble(ProblemKind::Obstructed, path.as_bytes(), error)
            }
            done => done,
        }
    }

    /// Whether the destination still takes entries after it refused one with `error`. Some codes have both meanings:
    /// EROFS comes from a mount within the destination or from the destination itself.
    fn takes_others(&mut self, error: &Error) -> bool {
        if OF_ONE_ENTRY.contains(&error.os_code) || self.job.options.dry_run {
            return true;
        }
        let Some(root) = &self.root else { return false };
        let name = self.batch.next_name(&self.temp);
        match root.create_file(&name, 0o600).and_then(|_| root.unlink(&name)) {
            Ok(()) => true,
            Err(error) => error.raw_os_error().is_some_and(|code| OF_ONE_ENTRY.contains(&code)),
        }
    }
}
