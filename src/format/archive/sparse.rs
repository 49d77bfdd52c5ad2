//! Files with holes: members of GNU's sparse format 1.0 ("Storing Sparse Files", GNU tar manual).
//!
//! A map comes before the data. It is a list of decimal numbers, each with an LF: the number of extents, then
//! the offset and the length of each extent. NULs pad the map to a block. If a file ends in a hole, its map
//! ends with an empty extent at the file's size.

use super::{PaxRecords, pad_to_block, push_record};
use crate::entry::{Path, extents};

/// The map of a file of `size` logical bytes with these holes.
pub(super) fn map(size: u64, holes: &[(u64, u64)]) -> Vec<u8> {
    let mut extents = extents(size, holes);
    if extents.last().is_none_or(|&(offset, len)| offset + len < size) {
        extents.push((size, 0));
    }
    let mut out = format!("{}\n", extents.len()).into_bytes();
    for (offset, len) in extents {
        out.extend_from_slice(format!("{offset}\n{len}\n").as_bytes());
    }
    pad_to_block(&mut out);
    out
}

/// The records that mark a member as sparse, with its real name and logical size.
pub(super) fn records(name: &[u8], size: u64) -> PaxRecords {
    let mut records = PaxRecords::new();
    push_record(&mut records, b"GNU.sparse.major", b"1");
    push_record(&mut records, b"GNU.sparse.minor", b"0");
    push_record(&mut records, b"GNU.sparse.name", name);
    push_record(&mut records, b"GNU.sparse.realsize", size.to_string().as_bytes());
    records
}

/// The name for tools that do not know the sparse format: `DIR/GNUSparseFile.0/NAME`.
pub(super) fn stand_in(path: &Path) -> Vec<u8> {
    let (bytes, name) = (path.as_bytes(), path.name());
    let dir = &bytes[..bytes.len() - name.len()];
    [dir, b"GNUSparseFile.0/", name].concat()
}
