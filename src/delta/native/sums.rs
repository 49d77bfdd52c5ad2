//! Encodes a signature.

use std::io::{self, Write};

use super::super::{Params, SIGNATURE_MAGIC};
use super::strong::{self, GROUP, Sum};
use super::weak;

/// Entries are collected up to this many bytes before they are written.
const BUFFER: usize = 16 << 10;

/// Writes the header of a signature, then one entry for each block.
pub(super) struct SumsWriter<W> {
    params: Params,
    out: W,
    buffer: Vec<u8>,
}

impl<W: Write> SumsWriter<W> {
    pub fn new(params: Params, out: W) -> io::Result<Self> {
        params.check()?;
        let mut buffer = Vec::with_capacity(BUFFER + GROUP * params.entry_len());
        for word in [SIGNATURE_MAGIC, params.block_len, params.strong_len] {
            buffer.extend_from_slice(&word.to_be_bytes());
        }
        Ok(SumsWriter { params, out, buffer })
    }

    /// Signs the next blocks, at most [`GROUP`], and returns their strong sums. The sums after the last block
    /// are zeros.
    pub fn sign(&mut self, blocks: &[&[u8]]) -> io::Result<[Sum; GROUP]> {
        let sums = strong::sums(blocks);
        for (block, sum) in blocks.iter().zip(&sums) {
            self.buffer.extend_from_slice(&weak::rabinkarp(block).to_be_bytes());
            self.buffer.extend_from_slice(&sum[..self.params.strong_len as usize]);
        }
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(sums)
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
