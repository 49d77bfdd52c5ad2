//! Signs a content that the caller pushes piece by piece.

use std::io::{self, Write};

use super::super::Params;
use super::strong::GROUP;
use super::sums::SumsWriter;

/// Writes the signature of the pushed content.
///
/// Pushes of 64 KiB and more are fastest: blocks that are whole in the pushed slice are hashed without a
/// copy, several at once. Memory: up to eight blocks.
pub struct Signer<W: Write> {
    sums: SumsWriter<W>,
    block_len: usize,
    /// Pushed bytes that are not signed yet: at most seven whole blocks, then the beginning of a block.
    held: Vec<u8>,
}

impl<W: Write> Signer<W> {
    /// Fails with `InvalidInput` if `params` are out of range.
    pub fn new(params: Params, out: W) -> io::Result<Self> {
        let sums = SumsWriter::new(params, out)?;
        Ok(Signer { sums, block_len: params.block_len as usize, held: Vec::new() })
    }

    /// Takes the next bytes of the content.
    pub fn update(&mut self, bytes: &[u8]) -> io::Result<()> {
        let group = self.block_len.saturating_mul(GROUP);
        if self.held.len() + bytes.len() < group {
            self.held.extend_from_slice(bytes);
            return Ok(());
        }
        let missing = self.held.len().next_multiple_of(self.block_len) - self.held.len();
        let (first, rest) = bytes.split_at(missing);
        self.held.extend_from_slice(first);
        let whole = rest.chunks_exact(self.block_len);
        let tail = whole.remainder();
        sign_all(&mut self.sums, self.held.chunks(self.block_len).chain(whole))?;
        self.held.clear();
        self.held.extend_from_slice(tail);
        Ok(())
    }

    /// Signs the last block and returns the output.
    pub fn finish(mut self) -> io::Result<W> {
        sign_all(&mut self.sums, self.held.chunks(self.block_len))?;
        self.sums.finish()
    }
}

fn sign_all<'a, W: Write>(
    sums: &mut SumsWriter<W>,
    mut blocks: impl Iterator<Item = &'a [u8]>,
) -> io::Result<()> {
    loop {
        let mut group: [&[u8]; GROUP] = [&[]; GROUP];
        let mut len = 0;
        for (place, block) in group.iter_mut().zip(&mut blocks) {
            *place = block;
            len += 1;
        }
        if len == 0 {
            return Ok(());
        }
        sums.sign(&group[..len])?;
    }
}
