//! The error type of libibt: a kind that maps one to one to an `ibt_status`, the operation, and the path concerned.

use std::fmt;
use std::io;
use std::num::TryFromIntError;

use crate::text::{encode_name, shortened};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of an error. The numbers are the values of `ibt_status`: an existing number never changes, and new numbers
/// are appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Kind {
    InvalidArg = -1,
    Io = -2,
    NotFound = -3,
    Exists = -4,
    Corrupt = -5,
    /// A newer version wrote the file, or the file is no file of libibt.
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

/// An error with its context. `Display` writes one line, `cannot OP PATH: DETAIL`. Path and detail are shortened to
/// 4 KiB each.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: Kind,
    /// The operation, as the end of "cannot ...": for example "open" or "read the state".
    pub op: String,
    /// The path, or the name of the backup file, as raw bytes. The root of a tree is the empty path.
    pub path: Option<Vec<u8>>,
    /// The errno of the system call, or 0.
    pub os_code: i32,
    pub detail: String,
    /// True if the cause is libibt's own and not the file at `path`: a temporary file, a thread, a descriptor or
    /// memory (see [`is_shortage`]).
    pub is_own: bool,
}

impl Error {
    pub fn new(kind: Kind, op: impl Into<String>, detail: impl Into<String>) -> Self {
        // The detail can quote values from stored files, and a hostile file has long values and many of them.
        let detail: String = detail.into();
        let detail = shortened(detail).into_owned();
        Error { kind, op: op.into(), path: None, os_code: 0, detail, is_own: false }
    }

    /// A system error of the operation `op` on `path`. The error counts as libibt's own if it is a shortage (see
    /// [`is_shortage`]), else as an error of the file at `path`.
    pub fn io(op: impl Into<String>, path: impl AsRef<[u8]>, error: &io::Error) -> Self {
        Error { is_own: is_shortage(error), ..Error::own(op, error).at(path) }
    }

    /// A system error with something of libibt's own, for example a temporary file or a thread. The error has no
    /// path, because no path would help a user.
    pub fn own(op: impl Into<String>, error: &io::Error) -> Self {
        let made = Error::new(Kind::Io, op, describe(error));
        Error { os_code: error.raw_os_error().unwrap_or(0), is_own: true, ..made }
    }

    /// True if the error says nothing about the stored bytes that were being read. A reader returns such an error
    /// instead of counting the bytes as lost.
    pub fn ends_reading(&self) -> bool {
        use Kind::*;
        self.is_own || matches!(self.kind, Exists | Storage | Cancelled | Busy | Unsupported | Panic)
    }

    /// True if the error concerns only the stored file that was read, and not the whole call. This does not depend on
    /// the status that the store chose.
    pub fn is_of_file(&self) -> bool {
        !self.is_own && (!self.ends_reading() || matches!(self.kind, Kind::Storage | Kind::Unsupported))
    }

    /// True if stored bytes were read and do not verify. After any other error the bytes may be readable later, so a
    /// caller must not go on with an older version: it would lose the newer one.
    pub fn is_damage(&self) -> bool {
        !self.is_own && matches!(self.kind, Kind::Corrupt | Kind::Format | Kind::Limit)
    }

    /// True if stored bytes are damaged ([`Error::is_damage`]), or a backup file that a snapshot needs is gone.
    pub fn is_loss(&self) -> bool {
        self.is_damage() || !self.is_own && self.kind == Kind::Missing
    }

    /// True if [`Error::is_loss`] and no newer version of libibt can have written the bytes.
    pub fn proves_loss(&self) -> bool {
        self.is_loss() && self.kind != Kind::Format
    }

    /// True if [`Error::is_damage`] and no newer version of libibt can have written the bytes.
    pub fn proves_damage(&self) -> bool {
        self.is_damage() && self.kind != Kind::Format
    }

    /// True if the cause is a shortage (see [`is_shortage`]).
    pub fn is_shortage(&self) -> bool {
        self.is_own && is_short(self.os_code)
    }

    pub fn corrupt(op: impl Into<String>, path: impl AsRef<[u8]>, detail: impl Into<String>) -> Self {
        Error::new(Kind::Corrupt, op, detail).at(path)
    }

    pub fn cancelled() -> Self {
        Error::new(Kind::Cancelled, "go on", "the operation was cancelled")
    }

    /// Sets the path concerned.
    pub fn at(mut self, path: impl AsRef<[u8]>) -> Self {
        self.path = Some(path.as_ref().to_vec());
        self
    }
}

/// True if this process or the whole system ran out of descriptors or of memory. Such an error says nothing
/// about the file that was being opened or read. The call fails with it; no entry is skipped and no stored
/// byte counts as damaged because of it. `EAGAIN` is no shortage, because a file can cause it (a lease). A
/// thread that cannot be started is reported with [`Error::own`].
pub fn is_shortage(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(is_short) || error.kind() == io::ErrorKind::OutOfMemory
}

fn is_short(os_code: i32) -> bool {
    matches!(os_code, libc::EMFILE | libc::ENFILE | libc::ENOMEM)
}

/// The system's text for an error, without the "(os error N)" that Rust appends.
pub fn describe(error: &io::Error) -> String {
    if error.get_ref().is_some_and(|inner| inner.is::<TryFromIntError>()) {
        // The standard library returns this error for a size or offset that does not fit into the system's `off_t`.
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
            write!(f, " {}", shortened(encode_name(path)))?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", shortened(&self.detail))?;
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
            assert!(of(code).is_own && of(code).ends_reading() && of(code).is_shortage(), "{code}");
        }
        for code in [libc::EACCES, libc::EIO, libc::ENOENT, libc::ENOSPC, libc::EAGAIN, libc::ELOOP] {
            assert!(!of(code).is_own && !of(code).ends_reading() && !of(code).is_shortage(), "{code}");
        }
        assert!(is_shortage(&io::ErrorKind::OutOfMemory.into()));
    }
}
