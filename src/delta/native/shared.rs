//! The new signature, made in the same pass as the delta.

use std::collections::VecDeque;
use std::io::{self, Write};

use super::strong::{Sum, GROUP};
use super::sums::SumsWriter;
use super::view::View;

/// Signs each block of the new content ahead of the search and keeps its strong sum until the search
/// has passed: a block found at a multiple of the block length is not hashed again.
pub(super) struct SharedSums<S> {
    sums: SumsWriter<S>,
    block_len: u64,
    /// Where the next block to sign starts.
    next: u64,
    /// The strong sums of the last blocks before `next`.
    ahead: VecDeque<Sum>,
}

impl<S: Write> SharedSums<S> {
    pub fn new(sums: SumsWriter<S>, block_len: u32) -> Self {
        SharedSums { sums, block_len: u64::from(block_len), next: 0, ahead: VecDeque::new() }
    }

    /// From here on the stream is still needed.
    pub fn needs(&self) -> u64 {
        self.next
    }

    /// Signs every whole block in view. The search has come to `searched`.
    pub fn sign(&mut self, view: View, searched: u64) -> io::Result<()> {
        self.forget_before(searched);
        loop {
            let whole = (view.end() - self.next) / self.block_len;
            let len = whole.min(GROUP as u64) as usize;
            if len == 0 {
                return Ok(());
            }
            let mut group: [&[u8]; GROUP] = [&[]; GROUP];
            let blocks = view.from(self.next).chunks_exact(self.block_len as usize);
            for (place, block) in group[..len].iter_mut().zip(blocks) {
                *place = block;
            }
            let sums = self.sums.sign(&group[..len])?;
            self.ahead.extend(&sums[..len]);
            self.next += len as u64 * self.block_len;
        }
    }

    /// The strong sum of the whole block at `at`, if it has been signed and kept.
    pub fn at(&self, at: u64) -> Option<&Sum> {
        let back = self.next.checked_sub(at).filter(|back| back % self.block_len == 0)? / self.block_len;
        self.ahead.get(self.ahead.len().checked_sub(back as usize)?)
    }

    /// Signs the short last block, whose end is that of the view.
    pub fn finish(mut self, view: View) -> io::Result<S> {
        if self.next < view.end() {
            self.sums.sign(&[view.from(self.next)])?;
        }
        self.sums.finish()
    }

    fn forget_before(&mut self, searched: u64) {
        let needed = self.next.saturating_sub(searched).div_ceil(self.block_len) as usize;
        self.ahead.drain(..self.ahead.len().saturating_sub(needed));
    }
}
