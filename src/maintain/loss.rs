//! Telling of a content that cannot be read.

use crate::entry::Entry;
use crate::error::{Error, Kind};

/// What is no fault of one content.
pub fn ends_all(error: &Error) -> bool {
    matches!(error.kind, Kind::Cancelled | Kind::Storage | Kind::Panic)
}

/// The archive that an error of reading a content names.
pub fn archive_of(error: &Error) -> String {
    error.path.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned()
}

/// The error of an archive as that of the file whose content lies in it.
pub fn of_file(op: &str, entry: &Entry, error: Error) -> Error {
    let detail = format!("{}: {}", archive_of(&error), error.detail);
    Error { op: op.into(), detail, ..error }.at(&entry.path)
}
