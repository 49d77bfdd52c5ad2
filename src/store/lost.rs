//! Archives that a state names and the store does not have, in words.

use crate::error::Kind;
use crate::format::ArchiveRef;

/// The cure where archives are lost.
pub const NEW_FULL: &str = "a new full backup needs nothing that was stored before";

/// Why what the store lists of an archive, its size or nothing, is not the file that a state names. `None` if it may be
/// that file: only a verify reads its bytes.
pub fn archive_fault(archive: &ArchiveRef, found: Option<u64>) -> Option<(Kind, String)> {
    match found {
        None => Some((Kind::Missing, "it is gone".to_string())),
        Some(size) if size != archive.size => {
            Some((Kind::Corrupt, format!("it has {size} bytes, not {}", archive.size)))
        }
        Some(_) => None,
    }
}
