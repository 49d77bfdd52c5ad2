//! What went wrong: a kind that maps one to one to an `ibt_status`, what was being done, and to which path.

use std::fmt;
use std::io;
use std::num::TryFromIntError;

use crate::text::{encode_name, shortened};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of an error. The numbers are those of `ibt_status`: pinned, append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Kind {
    InvalidArg = -1,
    Io = -2,
    NotFound = -3,
    Exists = -4,
    Corrupt = -5,
    /// Written by a newer version, or not one of our files at all.
    Format = -6,
    /// A backup file that a snapshot needs is gone.
    Missing = -7,
    /// A storage callback failed.
    Storage = -8,
    Cancelled = -9,
    Busy = -10,
    Unsupported = -11,
    Limit = -12,
    Mismatch = -13,
    Panic = -99,
}

/// An error with its context. `Display` gives one line: `cannot OP PATH: DETAIL`, path and detail shortened to
/// 4 KiB each.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: Kind,
    /// What was being done, as the end of "cannot ...": "open", "read the state".
    pub op: String,
    /// The path or backup file concerned, raw bytes.
    pub path: Option<Vec<u8>>,
    /// The system's errno, or 0.
    pub os_code: i32,
    pub detail: String,
    /// What failed is libibt's own: a temporary file, a thread, a descriptor or memory (see [`is_shortage`]).
    pub is_own: bool,
}

impl Error {
    pub fn new(kind: Kind, op: impl Into<String>, detail: impl Into<String>) -> Self {
        // Values out of stored files are in it, which may be long and many.
        let detail = shortened(detail.into());
        Error { kind, op: op.into(), path: None, os_code: 0, detail, is_own: false }
    }

    /// An input/output error of the system while doing `op` to `path`. A shortage is libibt's own (see
    /// [`is_shortage`]); anything else is the file's at `path`.
    pub fn io(op: impl Into<String>, path: impl AsRef<[u8]>, error: &io::Error) -> Self {
        Error { is_own: is_shortage(error), ..Error::own(op, error).at(path) }
    }

    /// An error of the system with something of libibt's own, which has no path that would tell anybody anything.
    pub fn own(op: impl Into<String>, error: &io::Error) -> Self {
        let made = Error::new(Kind::Io, op, describe(error));
        Error { os_code: error.raw_os_error().unwrap_or(0), is_own: true, ..made }
    }

    /// True if it says nothing about stored bytes: who reads them stops, and does not take them for lost.
    pub fn ends_reading(&self) -> bool {
        use Kind::*;
        self.is_own || matches!(self.kind, Exists | Storage | Cancelled | Busy | Unsupported | Panic)
    }

    /// True if stored bytes were read and do not verify. Any other error says only that they cannot be read now:
    /// whoever takes what is older instead would lose what is newer.
    pub fn is_damage(&self) -> bool {
        !self.is_own && matches!(self.kind, Kind::Corrupt | Kind::Format | Kind::Limit)
    }

    pub fn corrupt(op: impl Into<String>, path: impl AsRef<[u8]>, detail: impl Into<String>) -> Self {
        Error::new(Kind::Corrupt, op, detail).at(path)
    }

    pub fn cancelled() -> Self {
        Error::new(Kind::Cancelled, "go on", "the operation was cancelled")
    }

    /// Names the path concerned.
    pub fn at(mut self, path: impl AsRef<[u8]>) -> Self {
        self.path = Some(path.as_ref().to_vec());
        self
    }
}

/// True if this process or the whole system ran out of descriptors or of memory. Such an error says nothing
/// about the file that was being opened or read: it is an error of the call, and never a reason to skip an
/// entry or to take stored bytes for damaged. `EAGAIN` is not among these, because a file can cause it (a
/// lease); a thread that cannot be started is reported with [`Error::own`].
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
        || error.kind() == io::ErrorKind::OutOfMemory
}

/// The system's words for an error, without Rust's "(os error N)".
pub fn describe(error: &io::Error) -> String {
    if error.get_ref().is_some_and(|inner| inner.is::<TryFromIntError>()) {
        // What the standard library says of sizes and offsets that it cannot pass to the system.
        return "a size or an offset of 2^63 bytes or more, which no file can have".into();
    }
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.op)?;
        if let Some(path) = &self.path {
            // The root of a tree has an empty path.
            let path = if path.is_empty() { b"." } else { &path[..] };
            write!(f, " {}", shortened(encode_name(path).into_owned()))?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", shortened(self.detail.clone()))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_the_deed_the_path_and_the_reason() {
        let error = Error::io("open", b"a\nb", &io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(error.to_string(), "cannot open a%0Ab: No such file or directory");
        let of_root = Error::io("set the mode of", b"", &io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(of_root.to_string(), "cannot set the mode of .: Operation not permitted");
        assert_eq!(error.os_code, libc::ENOENT);
    }

    #[test]
    fn a_long_path_or_detail_is_cut_for_people_only() {
        let long = vec![b'a'; 1 << 20];
        let error = Error::corrupt("read", &long, "\u{e9}".repeat(1 << 20));
        assert!(error.to_string().len() < 9 << 10 && error.detail.len() <= 4 << 10, "{error}");
        assert_eq!(error.path, Some(long));
    }

    #[test]
    fn a_size_that_no_file_has_is_said_so() {
        let file = tempfile::tempfile().unwrap();
        let error = Error::io("write", "a", &file.set_len(1 << 63).unwrap_err());
        assert!(error.detail.contains("2^63 bytes or more"), "{error}");
    }

    #[test]
    fn a_shortage_is_never_the_fault_of_a_file() {
        let of = |code| Error::io("open", "a", &io::Error::from_raw_os_error(code));
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOMEM] {
            assert!(of(code).is_own && of(code).ends_reading(), "{code}");
        }
        for code in [libc::EACCES, libc::EIO, libc::ENOENT, libc::ENOSPC, libc::EAGAIN, libc::ELOOP] {
            assert!(!of(code).is_own && !of(code).ends_reading(), "{code}");
        }
        assert!(is_shortage(&io::ErrorKind::OutOfMemory.into()));
    }
}
