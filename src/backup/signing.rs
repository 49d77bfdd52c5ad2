//! Signing a long content on all cores: the sums of a stretch of blocks depend on nothing outside it.

use std::collections::VecDeque;
use std::io::Write;

use crate::commit::{spool_error, Spool};
use crate::delta::{Params, Signer};
use crate::error::Result;
use crate::pool::{Pending, Pool};

/// Bytes that one task signs, or one block if that is longer.
const STRETCH: u64 = 1 << 20;

/// A [`Signer`] whose work is done by a pool.
pub struct PoolSigner<'p> {
    params: Params,
    pool: &'p Pool,
    /// Whole blocks that one task is given, in bytes.
    stretch: usize,
    /// The stretch being filled.
    filling: Vec<u8>,
    in_flight: VecDeque<Pending<Signed>>,
    spare: Vec<Vec<u8>>,
    out: Spool,
}

/// The signature of one stretch, and the stretch's buffer.
struct Signed {
    signature: std::io::Result<Vec<u8>>,
    buffer: Vec<u8>,
}

impl<'p> PoolSigner<'p> {
    pub fn new(params: Params, pool: &'p Pool) -> Self {
        let block = u64::from(params.block_len);
        let stretch = STRETCH.next_multiple_of(block) as usize;
        let (in_flight, spare) = (VecDeque::new(), Vec::new());
        PoolSigner { params, pool, stretch, filling: Vec::new(), in_flight, spare, out: Spool::new() }
    }

    /// Takes the next bytes of the content.
    pub fn update(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = self.stretch - self.filling.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.filling.extend_from_slice(now);
            bytes = later;
            if self.filling.len() == self.stretch {
                self.hand_over()?;
            }
        }
        Ok(())
    }

    /// The whole signature.
    pub fn finish(mut self) -> Result<Spool> {
        self.hand_over()?;
        while let Some(signed) = self.in_flight.pop_front() {
            self.collect(signed)?;
        }
        Ok(self.out)
    }

    fn hand_over(&mut self) -> Result<()> {
        if self.in_flight.len() > self.pool.threads() {
            if let Some(signed) = self.in_flight.pop_front() {
                self.collect(signed)?;
            }
        }
        let next = self.spare.pop().unwrap_or_default();
        let mut buffer = std::mem::replace(&mut self.filling, next);
        let params = self.params;
        self.in_flight.push_back(self.pool.run(move || {
            let signature = Signer::new(params, Vec::new()).and_then(|mut signer| {
                signer.update(&buffer)?;
                signer.finish()
            });
            buffer.clear();
            Signed { signature, buffer }
        }));
        Ok(())
    }

    /// Appends the entries of a stretch; the header is that of the first.
    fn collect(&mut self, signed: Pending<Signed>) -> Result<()> {
        let Signed { signature, buffer } = signed.wait();
        let signature = signature.map_err(|e| spool_error(&e))?;
        let header = if self.out.len() == 0 { 0 } else { self.params.signature_len(0) as usize };
        self.out.write_all(&signature[header..]).map_err(|e| spool_error(&e))?;
        self.spare.push(buffer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_together_have_the_signature_of_the_whole() {
        let pool = Pool::new(3).unwrap();
        let mut bytes = vec![0; 5 * STRETCH as usize + 12_345];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        for (len, block_len) in
            [(0, 2048), (1, 2048), (5 << 20, 2048), (bytes.len(), 4096), (bytes.len(), 1000)]
        {
            let params = Params { block_len, strong_len: 16 };
            let mut one = Signer::new(params, Vec::new()).unwrap();
            let mut many = PoolSigner::new(params, &pool);
            for piece in bytes[..len].chunks(300_001) {
                one.update(piece).unwrap();
                many.update(piece).unwrap();
            }
            let mut made = Vec::new();
            many.finish()
                .unwrap()
                .drain(|bytes| {
                    made.extend_from_slice(bytes);
                    Ok(())
                })
                .unwrap();
            assert!(one.finish().unwrap() == made, "{len} bytes, blocks of {block_len}");
        }
    }
}
