//! Acting with the rights of an ordinary user. The unit tests of the library include this file as well.

/// An ordinary user, and a group.
pub const NOBODY: u32 = 65534;

/// Runs `act` in a thread that reaches files with the rights of nobody, if we are root; else as we are. Threads that it
/// starts have these rights too.
pub fn as_nobody<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let run = || {
            if rustix::process::geteuid().is_root() {
                // SAFETY: no memory is passed. The raw calls concern this thread alone, unlike libc's.
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
