//! Applying a delta.

use std::io::{Read, Seek, Write};

use super::{patch_up_to, Error, Result};

/// Writes to `out` what `delta` makes of `basis`: exactly `out_len` bytes, or it is an error.
///
/// `basis_len` is the length of the basis from its position 0 on. After an error `out` holds a part of
/// the content, to be thrown away.
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
