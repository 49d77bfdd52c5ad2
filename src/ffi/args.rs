//! Conversion of arguments and results: pointers that may be NULL, strings, ownership.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::path::Path;
use std::ptr;

use crate::entry;
use crate::error::{Error, Kind, Result};

/// Turns `value` into a raw pointer that C owns from now on.
pub(super) fn into_raw<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Frees a value that [`into_raw`] made a pointer of. Ignores NULL.
///
/// # Safety
///
/// `pointer` is NULL or comes from [`into_raw`], and nobody uses it any more.
pub(super) unsafe fn free_raw<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: the caller's promise: `into_raw` made it of a box.
        drop(unsafe { Box::from_raw(pointer) });
    }
}

/// Writes `value` to an out argument. C passes NULL for an out argument that it does not need.
///
/// # Safety
///
/// `out` is NULL or may be written. The previous value is overwritten, not dropped.
pub(super) unsafe fn write_out<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: the caller's promise.
        unsafe { out.write(value) };
    }
}

/// A pointer to an object that the caller owns: NULL, or valid until the call returns.
///
/// `Handle` keeps the pointer and not a reference, because a callback may use the same object during the
/// call. A reference lives only as long as the access that needs it.
pub(super) struct Handle<T>(*mut T);

impl<T> Handle<T> {
    /// # Safety
    ///
    /// `pointer` is NULL or points to a `T` that outlives the handle.
    pub(super) unsafe fn new(pointer: *mut T) -> Self {
        Handle(pointer)
    }

    /// The object, for reading; `None` for NULL.
    pub(super) fn get(&self) -> Option<&T> {
        // SAFETY: `new` was promised so.
        unsafe { self.0.as_ref() }
    }

    /// The object, for writing; `None` for NULL.
    ///
    /// # Safety
    ///
    /// Nobody else uses the object as long as the reference lives.
    pub(super) unsafe fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: valid as `new` was promised, and alone as the caller promises.
        unsafe { self.0.as_mut() }
    }
}

/// The bytes of a string argument. `doing` and `name` go into the message: "cannot DOING: NAME is NULL".
///
/// # Safety
///
/// `text` is NULL or a string that ends with NUL. The string stays unchanged as long as the bytes are used.
pub(super) unsafe fn bytes<'a>(text: *const c_char, doing: &str, name: &str) -> Result<&'a [u8]> {
    if text.is_null() {
        return Err(invalid(doing, format!("{name} is NULL")));
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// A path argument: raw bytes on Unix, UTF-8 elsewhere. Refuses an empty path.
///
/// # Safety
///
/// As for [`bytes`].
pub(super) unsafe fn path<'a>(text: *const c_char, doing: &str, name: &str) -> Result<&'a Path> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(text, doing, name) }?;
    if bytes.is_empty() {
        return Err(invalid(doing, format!("{name} is empty")));
    }
    let text = os_str(bytes).ok_or_else(|| invalid(doing, format!("{name} is not UTF-8")))?;
    Ok(Path::new(text))
}

/// A key argument, or `None` for NULL.
///
/// # Safety
///
/// As for [`bytes`].
pub(super) unsafe fn optional_key<'a>(text: *const c_char, doing: &str) -> Result<Option<&'a str>> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { key(text, doing) }).transpose()
}

/// A key argument; the engine checks its form.
///
/// # Safety
///
/// As for [`bytes`].
pub(super) unsafe fn key<'a>(text: *const c_char, doing: &str) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(text, doing, "key") }?;
    std::str::from_utf8(bytes).map_err(|_| invalid(doing, "key is not UTF-8"))
}

/// Parses a path in a snapshot. Slashes at either end are ignored. `Err` is the reason.
pub(super) fn relative(path: &[u8]) -> Result<entry::Path, String> {
    let from = path.iter().position(|&b| b != b'/').unwrap_or(path.len());
    let to = path.iter().rposition(|&b| b != b'/').map_or(from, |last| last + 1);
    entry::Path::new(&path[from..to]).map_err(|what| format!("not a path in a snapshot: {what}"))
}

pub(super) fn invalid(doing: &str, reason: impl Into<String>) -> Error {
    Error::new(Kind::InvalidArg, doing, reason)
}

#[cfg(unix)]
fn os_str(bytes: &[u8]) -> Option<&OsStr> {
    Some(std::os::unix::ffi::OsStrExt::from_bytes(bytes))
}

#[cfg(not(unix))]
fn os_str(bytes: &[u8]) -> Option<&OsStr> {
    std::str::from_utf8(bytes).ok().map(OsStr::new)
}

/// A C string with a copy of `text`. Paths contain no NUL; any other text is cut at its first NUL.
pub(super) fn c_string(text: impl AsRef<[u8]>) -> CString {
    let text = text.as_ref();
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

/// A message for C: one line, with a space for each line break.
pub(super) fn c_line(text: &str) -> CString {
    c_string(text.replace(['\n', '\r'], " "))
}

/// A borrowed pointer to `text`; NULL for `None`.
pub(super) fn ptr_or_null(text: Option<&CString>) -> *const c_char {
    text.map_or(ptr::null(), |text| text.as_ptr())
}
