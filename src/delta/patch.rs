//! Applies a delta to its basis.

use std::io::{Read, Seek, Write};

use super::{Error, Result, patch_up_to};

/// Applies `delta` to `basis` and writes the new content to `out`. The new content must have exactly
/// `out_len` bytes; any other length is an error.
///
/// `basis_len` is the length of the basis from its position 0. After an error `out` holds a part of the
/// content, which the caller must discard.
pub fn patch(
    basis: &mut (impl Read + Seek),
    delta: &mut impl Read,
    basis_len: u64,
    out: &mut impl Write,
    out_len: u64,
) -> Result<()> {
    match patch_up_to(basis, delta, basis_len, out, out_len)? {
        made if made == out_len => Ok(()),
        made => Err(Error::OutputTooShort { made, declared: out_len }),
    }
}
