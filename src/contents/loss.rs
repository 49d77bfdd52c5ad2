//! Reports a lost content: which file, in which archive, where and why.

use crate::entry::Entry;
use crate::error::Error;
use crate::job::{Problem, ProblemKind};

use super::reader::Contents;

/// The problem of an entry whose content is lost, and its error: "cannot OP PATH: ARCHIVE: why".
pub fn lost(op: &str, contents: &Contents, entry: &Entry, error: Error) -> (Problem, Error) {
    let kind = ProblemKind::of_stored(&error);
    let named = error.path.as_ref().map(|name| String::from_utf8_lossy(name).into_owned());
    let archive = named.or_else(|| contents.archives().of(entry).map(str::to_string)).unwrap_or_default();
    let detail = format!("{archive}: {}", error.detail);
    let told = Error { op: op.into(), path: Some(entry.path.as_bytes().to_vec()), detail, ..error };
    (Problem::new(kind, entry.path.as_bytes(), &told).in_file(&archive), told)
}
