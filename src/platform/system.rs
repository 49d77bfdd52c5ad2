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

/// 32 hexadecimal digits that nobody can predict.
pub fn random_digits() -> io::Result<String> {
    Ok(hex(&random_bytes16()?))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sixteen random bytes that nobody can predict.
pub(super) fn random_bytes16() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    use rustix::io::Errno;
    use rustix::rand::{GetRandomFlags, getrandom};

    use super::refused::is_refused;

    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(len) => filled += len,
            Err(Errno::INTR) => {}
            Err(error) if is_refused(error) => return read_urandom(bytes),
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

/// 32 hexadecimal digits for a temporary name that nothing else has. They are random, or where the system gives no
/// random bytes, made of the time, the process and a counter. Somebody could guess the latter, so the caller must make
/// its file with a call that fails if the name exists.
pub fn unique_digits() -> String {
    hex(&random_bytes16().unwrap_or_else(|_| guessable_bytes16()))
}

/// Bytes that are different in each call, in each process of this machine and in each container on it.
pub(super) fn guessable_bytes16() -> [u8; 16] {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::SystemTime;

    static CALLS: AtomicU64 = AtomicU64::new(0);
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let (process, call) = (std::process::id(), CALLS.fetch_add(1, Ordering::Relaxed));
    // The system loads the library at another address in each process, and containers have the same process numbers.
    let facts = format!("{time} {process} {:p} {call}", &CALLS);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(facts.as_bytes()).as_bytes()[..16]);
    bytes
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
