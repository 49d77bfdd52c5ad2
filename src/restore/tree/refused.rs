//! Decides which errors lose one entry, and which errors end the restore.
//!
//! A new tree and an existing tree have the same rule. An entry that the destination refuses is a problem. A refused
//! directory loses the entries below it as well. All other entries are restored. Only an error that every further
//! entry would meet ends the restore: a full file system, no descriptors or memory, a destination that is gone or
//! read-only.

use crate::entry::{Entry, Path};
use crate::error::{Error, Kind, Result};
use crate::job::ProblemKind;
use crate::platform::XATTR_ABSENT;

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
    // Another file was put in the place of the expected one.
    libc::ESTALE,
    // A name or a size that the file system does not support.
    libc::EINVAL,
    libc::EILSEQ,
    libc::ENAMETOOLONG,
    libc::EFBIG,
    libc::EOVERFLOW,
    // A kind of file that the file system does not support, or too many hard links.
    libc::ENOSYS,
    libc::EOPNOTSUPP,
    libc::EMLINK,
    libc::EDQUOT,
    XATTR_ABSENT,
    libc::E2BIG,
];

/// True if the error may concern a single entry: an existing file, permissions, or an entry that the file system does
/// not support. A shortage (see [`crate::error::is_shortage`]) and a full file system always concern every entry.
pub(super) fn is_obstacle(error: &Error) -> bool {
    let of_system = matches!(error.kind, Kind::Io | Kind::Exists) && error.os_code != 0;
    of_system && !error.is_own && error.os_code != libc::ENOSPC
}

impl Tree<'_, '_> {
    pub(super) fn is_below_lost(&self, entry: &Entry) -> bool {
        self.lost_dir.as_ref().is_some_and(|lost| entry.path.is_within(lost.as_bytes()))
    }

    /// Lists an entry that the destination refuses as a problem. Returns the errors that end the restore.
    pub(super) fn or_obstructed(&mut self, path: &Path, is_dir: bool, done: Result<()>) -> Result<()> {
        match done {
            Err(error) if *path != self.target.base && is_obstacle(&error) && self.takes_others(&error) => {
                if is_dir {
                    self.lost_dir = Some(path.clone());
                }
                self.job.trouble(ProblemKind::Obstructed, path.as_bytes(), error)
            }
            done => done,
        }
    }

    /// Whether the destination still takes entries after it refused one with `error`. Some codes have two meanings:
    /// EROFS comes from a read-only mount within the destination, or from a read-only destination. A test file in the
    /// root decides.
    fn takes_others(&mut self, error: &Error) -> bool {
        if OF_ONE_ENTRY.contains(&error.os_code) || self.job.options.dry_run {
            return true;
        }
        let Some(root) = self.target.root() else { return false };
        let name = self.batch.next_name();
        match root.create_file(&name, 0o600).and_then(|_| root.unlink(&name)) {
            Ok(()) => true,
            Err(error) => error.raw_os_error().is_some_and(|code| OF_ONE_ENTRY.contains(&code)),
        }
    }
}
