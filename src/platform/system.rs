//! The user and host of this process, random bytes and signals.

use std::io;

pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// True if this thread may give files to other owners (root, or the capability `CAP_CHOWN`).
pub fn is_privileged() -> bool {
    may_chown().unwrap_or_else(|| effective_uid() == 0)
}

/// True if the thread has the effective capability `CAP_CHOWN`; `None` on a system without capabilities.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn may_chown() -> Option<bool> {
    use rustix::thread::{CapabilitySet, capabilities};

    Some(capabilities(None).ok()?.effective.contains(CapabilitySet::CHOWN))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn may_chown() -> Option<bool> {
    None
}

/// The name of this machine; empty if it has none.
pub fn hostname() -> Vec<u8> {
    rustix::system::uname().nodename().to_bytes().into()
}

/// Sixteen random bytes that nobody can predict.
pub fn random_bytes16() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    use rustix::io::Errno;
    use rustix::rand::{GetRandomFlags, getrandom};

    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(len) => filled += len,
            Err(Errno::INTR) => {}
            Err(Errno::NOSYS) => return read_urandom(bytes),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    read_urandom(bytes)
}

fn read_urandom(bytes: &mut [u8]) -> io::Result<()> {
    use std::io::Read;

    std::fs::File::open("/dev/urandom")?.read_exact(bytes)
}

/// Blocks signals in this thread, so that the signal handlers of the application run on the application's own threads.
/// Signals that a faulty instruction raises in this thread stay unblocked: if they were blocked, they would kill the
/// process without a call of the handler.
pub fn block_signals_in_this_thread() {
    const OWN: [libc::c_int; 6] =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];
    // SAFETY: a zeroed `sigset_t` is valid memory for `sigfillset`, which sets all of it. The set outlives
    // each call, and the null pointer means that the old mask is not returned.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut set);
        for signal in OWN {
            libc::sigdelset(&mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
}
