//! Makes the new content's signature in the same pass as the delta.

use std::collections::VecDeque;
use std::io::{self, Write};

use super::strong::{GROUP, Sum};
use super::sums::SumsWriter;
use super::view::View;

/// Signs each block of the new content before the search gets there, and keeps the strong sum until the
/// search has passed. So the search does not hash a block at a multiple of the block length again.
pub(super) struct SharedSums<S> {
    sums: SumsWriter<S>,
    block_len: u64,
    /// The position of the next block to sign.
    next: u64,
    /// The strong sums of the blocks directly before `next` that the search may still need.
    ahead: VecDeque<Sum>,
}

impl<S: Write> SharedSums<S> {
    pub fn new(sums: SumsWriter<S>, block_len: u32) -> Self {
        SharedSums { sums, block_len: u64::from(block_len), next: 0, ahead: VecDeque::new() }
    }

    /// The first position of the stream that is not signed yet.
    pub fn needs(&self) -> u64 {
        self.next
    }

    /// Signs every whole block in the view. Drops the strong sums of blocks before `searched`, the search's
    /// position.
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

    /// The strong sum of the whole block at position `at`; `None` if no signed block starts there or its sum
    /// was dropped.
    pub fn at(&self, at: u64) -> Option<&Sum> {
        let back = self.next.checked_sub(at).filter(|back| back % self.block_len == 0)? / self.block_len;
        self.ahead.get(self.ahead.len().checked_sub(back as usize)?)
    }

    /// Signs the short last block, which ends with the view, and returns the signature's output.
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
