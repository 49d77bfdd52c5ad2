//! The number of descriptors that this process can still open, waiting for descriptors, and the numbers of descriptors.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

/// The limit of descriptors on most systems, for a system that does not report its limit.
const USUAL_LIMIT: u64 = 1024;
/// The attempts of [`patiently`] before the last one, and the pause after each of them: together 200 ms.
const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// The number of descriptors that this process can open at this moment, at most `enough`. Other threads of the
/// program may open or close descriptors at any time.
pub fn free_descriptors(enough: usize) -> usize {
    let numbers = 0..descriptor_limit().min(libc::c_int::MAX as u64) as libc::c_int;
    // SAFETY: `F_GETFD` only reads the flags of a descriptor, and fails with EBADF for a number that is not open.
    numbers.filter(|&number| unsafe { libc::fcntl(number, libc::F_GETFD) } < 0).take(enough).count()
}

/// The most descriptors that this process may have open. rustix is not used, because its `getrlimit` expects that the
/// call cannot fail, and returns memory that nobody wrote if a filter of system calls forbids it.
#[allow(clippy::unnecessary_cast)] // `rlim_t` has 32 bits on some systems.
fn descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call, which writes an `rlimit` to it.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } {
        0 => limit.rlim_cur as u64,
        _ => USUAL_LIMIT,
    }
}

/// Repeats `open` for up to 200 ms while its error is a shortage, because another thread of the program may free
/// descriptors or memory. `is_short` says whether an error is a shortage (see
/// [`is_shortage`](crate::error::is_shortage)).
pub fn patiently<T, E>(
    is_short: impl Fn(&E) -> bool,
    mut open: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    for _ in 0..ATTEMPTS {
        match open() {
            Err(error) if is_short(&error) => std::thread::sleep(PAUSE),
            opened => return opened,
        }
    }
    open()
}

/// The same file with a number that is not that of a standard stream. A program that closed these streams may still
/// write messages to them, and these messages must not get into a file that libibt writes.
pub fn beside_streams(file: impl Into<OwnedFd>) -> io::Result<OwnedFd> {
    let file = file.into();
    match file.as_raw_fd() {
        // The standard library gives a duplicate a number from 3 on.
        0..=2 => file.try_clone(),
        _ => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_open_file_takes_a_descriptor() {
        assert_eq!(free_descriptors(0), 0);
        assert_eq!(free_descriptors(3), 3);
        let limit = descriptor_limit();
        if limit <= 1 << 20 {
            // Other tests open and close files meanwhile.
            let files: Vec<_> = (0..200).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
            assert!(free_descriptors(usize::MAX) <= limit as usize - files.len());
        }
    }

    #[test]
    fn patience_ends_with_the_shortage_and_after_a_while() {
        let mut calls = 0;
        let mut short_until = |good: usize| {
            calls = 0;
            let open = || {
                calls += 1;
                if calls < good { Err("short") } else { Ok(calls) }
            };
            patiently(|error| *error == "short", open)
        };
        assert_eq!((short_until(1), short_until(3)), (Ok(1), Ok(3)));
        assert_eq!(short_until(usize::MAX), Err("short"));
        assert_eq!(patiently(|error| *error == "short", || Err::<(), _>("other")), Err("other"));
    }
}
