//! Files with holes: members of GNU's sparse format 1.0 ("Storing Sparse Files", GNU tar manual).
//!
//! The data is preceded by a map: decimal numbers, each with its LF, the count first, then offset and
//! length of each extent, padded with NULs to a block. A file that ends in a hole ends with an extent of
//! no length at its size.

use super::{pad_to_block, push_record, Records};
use crate::entry::{extents, Path};

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

/// The records that make a member sparse.
pub(super) fn records(name: &[u8], size: u64) -> Records {
    let mut records = Records::new();
    push_record(&mut records, b"GNU.sparse.major", b"1");
    push_record(&mut records, b"GNU.sparse.minor", b"0");
    push_record(&mut records, b"GNU.sparse.name", name);
    push_record(&mut records, b"GNU.sparse.realsize", size.to_string().as_bytes());
    records
}

/// The name that tools see which do not know the format: `DIR/GNUSparseFile.0/NAME`.
pub(super) fn stand_in(path: &Path) -> Vec<u8> {
    let (bytes, name) = (path.as_bytes(), path.name());
    let dir = &bytes[..bytes.len() - name.len()];
    [dir, b"GNUSparseFile.0/", name].concat()
}
