//! Messages about archives that a state names and the store does not have.

use crate::error::Kind;
use crate::format::ArchiveFile;

/// Advice for a user whose archives are lost.
pub const NEW_FULL: &str = "a new full backup needs nothing that was stored before";

/// Compares a file of an archive that a state names with `found`, the size that the store lists for it (`None` if the
/// store does not list it). Returns the fault and its description. `None` if the sizes agree: only a verify reads the
/// file's bytes.
pub fn archive_fault(file: &ArchiveFile, found: Option<u64>) -> Option<(Kind, String)> {
    match found {
        None => Some((Kind::Missing, "it is gone".to_string())),
        Some(size) if size != file.size => {
            Some((Kind::Corrupt, format!("it has {size} bytes, not {}", file.size)))
        }
        Some(_) => None,
    }
}
