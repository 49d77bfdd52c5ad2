//! Errors of system calls that the system lacks or forbids.
//!
//! A kernel answers `ENOSYS` to a call that it does not know, and `EINVAL` or `EOPNOTSUPP` to a flag that it does not
//! know. Containers and sandboxes filter system calls: their filters answer `ENOSYS` or `EPERM` to a call that they do
//! not know, and so do file systems that a program serves.

use rustix::io::Errno;

/// True if the error may mean that the system lacks the call or forbids it altogether. The caller then does the same
/// with other calls, and their errors are the true ones.
pub(super) fn is_refused(error: Errno) -> bool {
    [Errno::NOSYS, Errno::PERM, Errno::INVAL, Errno::NOTSUP, Errno::OPNOTSUPP].contains(&error)
}
