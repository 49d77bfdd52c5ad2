//! Names of users and groups, and the numbers of names.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::io;

/// Looks up each user and group once.
#[derive(Debug, Default)]
pub struct Names {
    users: HashMap<u32, Option<String>>,
    groups: HashMap<u32, Option<String>>,
}

impl Names {
    pub fn new() -> Self {
        Names::default()
    }

    /// The name of the user; `None` if the system has no name for `uid`, or the name is not UTF-8.
    pub fn user(&mut self, uid: u32) -> Option<String> {
        self.users.entry(uid).or_insert_with(|| user_name(uid)).clone()
    }

    pub fn group(&mut self, gid: u32) -> Option<String> {
        self.groups.entry(gid).or_insert_with(|| group_name(gid)).clone()
    }
}

/// Looks up each name of a user or group once.
#[derive(Debug, Default)]
pub struct OwnerNumbers {
    users: HashMap<String, Option<u32>>,
    groups: HashMap<String, Option<u32>>,
}

impl OwnerNumbers {
    /// The number of the user `name`, or `None` if the system has no such user; and true if this is the first lookup of
    /// `name`. An error if the system cannot say whether it has that user.
    pub fn user(&mut self, name: &str) -> io::Result<(Option<u32>, bool)> {
        look_up(&mut self.users, name, user_number)
    }

    /// The same for a group.
    pub fn group(&mut self, name: &str) -> io::Result<(Option<u32>, bool)> {
        look_up(&mut self.groups, name, group_number)
    }
}

fn look_up(
    known: &mut HashMap<String, Option<u32>>,
    name: &str,
    find: fn(&str) -> io::Result<Option<u32>>,
) -> io::Result<(Option<u32>, bool)> {
    if let Some(number) = known.get(name) {
        return Ok((*number, false));
    }
    let number = find(name)?;
    known.insert(name.into(), number);
    Ok((number, true))
}

fn user_number(name: &str) -> io::Result<Option<u32>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    with_buffer(|buf, len| {
        // SAFETY: an all-zero `passwd` is numbers and null pointers.
        let mut record: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: all pointers are valid for the call and `len` is the size of `buf`.
        let code = unsafe { libc::getpwnam_r(name.as_ptr(), &mut record, buf, len, &mut found) };
        (code, (!found.is_null()).then_some(Some(record.pw_uid)))
    })
}

fn group_number(name: &str) -> io::Result<Option<u32>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    with_buffer(|buf, len| {
        // SAFETY: an all-zero `group` is numbers and null pointers.
        let mut record: libc::group = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: all pointers are valid for the call and `len` is the size of `buf`.
        let code = unsafe { libc::getgrnam_r(name.as_ptr(), &mut record, buf, len, &mut found) };
        (code, (!found.is_null()).then_some(Some(record.gr_gid)))
    })
}

fn user_name(uid: u32) -> Option<String> {
    let found = with_buffer(|buf, len| {
        // SAFETY: an all-zero `passwd` is numbers and null pointers.
        let mut record: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: all pointers are valid for the call and `len` is the size of `buf`.
        let code = unsafe { libc::getpwuid_r(uid, &mut record, buf, len, &mut found) };
        // SAFETY: on success `pw_name` points to a string in `buf`, which lives until we return.
        (code, (!found.is_null()).then(|| unsafe { to_text(record.pw_name) }))
    });
    // An error counts as no name: the name is only additional, because the number is always recorded.
    found.unwrap_or(None)
}

fn group_name(gid: u32) -> Option<String> {
    let found = with_buffer(|buf, len| {
        // SAFETY: an all-zero `group` is numbers and null pointers.
        let mut record: libc::group = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: all pointers are valid for the call and `len` is the size of `buf`.
        let code = unsafe { libc::getgrgid_r(gid, &mut record, buf, len, &mut found) };
        // SAFETY: on success `gr_name` points to a string in `buf`, which lives until we return.
        (code, (!found.is_null()).then(|| unsafe { to_text(record.gr_name) }))
    });
    found.unwrap_or(None)
}

/// Repeats a lookup with a larger buffer while it returns `ERANGE`, because a group may have many members. The largest
/// buffer has 16 MiB. `None` if there is no such user or group: for that, systems return one of five numbers, as the
/// manual page getpwnam_r(3) says. Every other number is an error.
fn with_buffer<T>(
    mut look_up: impl FnMut(*mut c_char, usize) -> (c_int, Option<Option<T>>),
) -> io::Result<Option<T>> {
    let mut buf: Vec<c_char> = vec![0; 1024];
    loop {
        match look_up(buf.as_mut_ptr(), buf.len()) {
            (libc::ERANGE, _) if buf.len() < 1 << 24 => buf.resize(buf.len() * 4, 0),
            (libc::EINTR, _) => {}
            (0 | libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM, found) => return Ok(found.flatten()),
            (code, _) => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// # Safety
///
/// `name` is null or points to a string that ends with NUL.
unsafe fn to_text(name: *const c_char) -> Option<String> {
    if name.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(name) }.to_str().ok().map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_that_fails_is_no_absent_name() {
        let absent = [0, libc::ENOENT, libc::ESRCH, libc::EBADF, libc::EPERM];
        assert!(
            absent.iter().all(|&code| with_buffer(|_, _| (code, None::<Option<u32>>)).unwrap().is_none())
        );
        for code in [libc::EIO, libc::EMFILE, libc::ENOMEM, libc::EAGAIN] {
            let failed = with_buffer(|_, _| (code, None::<Option<u32>>)).unwrap_err();
            assert_eq!(failed.raw_os_error(), Some(code));
        }
        let mut sizes = Vec::new();
        let found = with_buffer(|_, len| {
            sizes.push(len);
            if len < 100_000 { (libc::ERANGE, None) } else { (0, Some(Some(7))) }
        });
        assert_eq!((found.unwrap(), sizes.is_sorted()), (Some(7), true));
    }
}
