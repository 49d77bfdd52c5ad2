//! Acts with the rights of an ordinary user. The unit tests of the library include this file too.

/// The user id and group id of an ordinary user.
pub const NOBODY: u32 = 65534;

/// Runs `act` in a thread. If the process runs as root, the thread has only the rights of the user nobody. Threads that
/// `act` starts have the same rights.
pub fn as_nobody<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let run = || {
            if rustix::process::geteuid().is_root() {
                // SAFETY: the calls read no memory. Raw calls change only this thread, unlike the functions
                // of libc.
                unsafe {
                    libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>());
                    libc::syscall(libc::SYS_setresgid, NOBODY, NOBODY, NOBODY);
                    libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY);
                }
            }
            act()
        };
        scope.spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
