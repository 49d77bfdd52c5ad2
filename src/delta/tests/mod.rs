//! Tests of the engine by itself. `tests/delta_oracle.rs` compares it with librsync.

mod codec;
mod composition;
mod edits;
mod fine;
mod hostile;
#[cfg(not(feature = "librsync"))]
mod lies;
mod params;
mod signature_deltas;
#[cfg(not(feature = "librsync"))]
mod sums;

use std::io::Cursor;

use super::{DeltaWriter, Params, Result, Signature, Signer, patch};

/// `len` pseudo-random bytes (xorshift64*), in which no block repeats.
pub(super) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn sign(content: &[u8], params: Params) -> Vec<u8> {
    let mut signer = Signer::new(params, Vec::new()).unwrap();
    signer.update(content).unwrap();
    signer.finish().unwrap()
}

fn delta(signature: &Signature, basis_len: u64, new: &[u8], push: usize) -> Vec<u8> {
    let mut writer = DeltaWriter::new(signature, basis_len, Vec::new()).unwrap();
    new.chunks(push).for_each(|piece| writer.update(piece).unwrap());
    writer.finish().unwrap()
}

fn patched(basis: &[u8], delta: &[u8], out_len: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    patch(&mut Cursor::new(basis), &mut &delta[..], basis.len() as u64, &mut out, out_len as u64)?;
    Ok(out)
}
