//! Messages about archives that a state names and the store does not have.

use crate::error::Kind;
use crate::format::ArchiveRef;

/// Advice for a user whose archives are lost.
pub const NEW_FULL: &str = "a new full backup needs nothing that was stored before";

/// Compares an archive that a state names with `found`, the size that the store lists for it (`None` if the store does
/// not list it). Returns the fault and its description. `None` if the sizes agree: only a verify reads the archive's
/// bytes.
pub fn archive_fault(archive: &ArchiveRef, found: Option<u64>) -> Option<(Kind, String)> {
    match found {
        None => Some((Kind::Missing, "it is gone".to_string())),
        Some(size) if size != archive.size => {
            Some((Kind::Corrupt, format!("it has {size} bytes, not {}", archive.size)))
        }
        Some(_) => None,
    }
}
