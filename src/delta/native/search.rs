//! Searches a stream for blocks of the basis.
//!
//! The search goes through the positions of the stream in order. Either a block of the basis starts at the position and
//! becomes a copy, or the byte at the position becomes literal. After a copy, the search first tries the blocks that
//! follow in the basis, several at once. Elsewhere the weak sum of the next block length rolls over the stream, and the
//! table is searched only where the filter accepts the sum. The result depends on the stream alone, never on how the
//! stream is cut into views.

use std::io::{self, Write};

use super::super::Signature;
use super::super::encode::Encoder;
use super::basis::Basis;
use super::shared::SharedSums;
use super::strong::{self, GROUP, Sum};
use super::view::View;
use super::weak::Roller;

/// The most blocks of equal weak sum that are compared at one position.
const MAX_CANDIDATES: usize = 16;
/// The most positions per block length at which a weak sum matches but no strong sum does. After these, no
/// block is searched until the next block length begins. So the work is linear in the length of the stream,
/// even for a forged signature with many equal weak sums. Without forgery there are far fewer such positions.
const MAX_FAILURES: u32 = 16;

/// The work of the search so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Blocks for which a strong sum was computed, without the blocks of the new signature.
    pub hashed: u64,
    /// Strong sums compared.
    pub compared: u64,
}

pub(super) struct Search<'s> {
    basis: &'s Basis,
    block_len: usize,
    /// The number of blocks of full length in the basis.
    whole_blocks: u64,
    /// Bytes of the short last block; 0 if there is none.
    tail_len: usize,
    roller: Roller,
    /// The position in the stream up to which the search has decided.
    at: u64,
    /// The weak sum of the `block_len` bytes from `at`; `None` until the expected block was tried there.
    sum: Option<u32>,
    /// The offset of the last copy in the basis, minus its position in the stream. The search expects that the block at
    /// `at` is the basis's block at the offset `at + drift`.
    drift: u64,
    failures: Failures,
    pub effort: Effort,
}

impl<'s> Search<'s> {
    /// `signature` must be the signature of a basis of `basis_len` bytes.
    pub fn new(signature: &'s Signature, basis_len: u64) -> Self {
        let block_len = u64::from(signature.block_len());
        Search {
            basis: &signature.basis,
            block_len: block_len as usize,
            whole_blocks: basis_len / block_len,
            tail_len: (basis_len % block_len) as usize,
            roller: Roller::new(signature.basis.kind, signature.block_len()),
            at: 0,
            sum: None,
            drift: 0,
            failures: Failures::default(),
            effort: Effort::default(),
        }
    }

    /// The stream's first byte is at `offset` of the content. The search then first tries the block at the
    /// same offset of the basis.
    pub fn expect_at(&mut self, offset: u64) {
        self.drift = offset;
    }

    /// The first position of the stream that the search still needs.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Decides about every position from which the view holds a whole block and at least one more byte.
    pub fn scan<W: Write, S: Write>(
        &mut self,
        view: View,
        shared: Option<&SharedSums<S>>,
        out: &mut Encoder<W>,
    ) -> io::Result<()> {
        while self.at + (self.block_len as u64) < view.end() {
            if self.sum.is_none() && self.follow(view, shared, out)? {
                continue;
            }
            let sum = self.sum.unwrap_or_else(|| self.fresh_sum(view));
            match self.find(sum, view, shared) {
                Some(block) => self.copy(block, 1, out)?,
                None => self.roll(sum, view, out)?,
            }
        }
        Ok(())
    }

    /// Decides about the positions that are left after `scan`. The stream must end with the view.
    pub fn finish<W: Write>(mut self, view: View, out: &mut Encoder<W>) -> io::Result<()> {
        if self.at + self.block_len as u64 == view.end() {
            let sum = self.sum.unwrap_or_else(|| self.fresh_sum(view));
            if let Some(block) = self.find(sum, view, None::<&SharedSums<io::Sink>>) {
                return self.copy(block, 1, out);
            }
        }
        let rest = view.from(self.at);
        match rest.len().checked_sub(self.tail_len) {
            Some(literal) if self.is_tail(&rest[literal..]) => {
                out.literal(&rest[..literal])?;
                out.copy(self.whole_blocks * self.block_len as u64, self.tail_len as u64)
            }
            _ => out.literal(rest),
        }
    }

    /// Copies at most [`GROUP`] blocks from `at`, as long as each is the expected block. Returns whether it
    /// copied any.
    fn follow<W: Write, S: Write>(
        &mut self,
        view: View,
        shared: Option<&SharedSums<S>>,
        out: &mut Encoder<W>,
    ) -> io::Result<bool> {
        let Some(first) = self.expected() else { return Ok(false) };
        let mut group: [&[u8]; GROUP] = [&[]; GROUP];
        let blocks = view.from(self.at).chunks_exact(self.block_len);
        let mut len = 0;
        for ((place, block), number) in group.iter_mut().zip(blocks).zip(first..self.whole_blocks as u32) {
            // A shared strong sum decides alone. Otherwise the weak sum is tried first, which is cheaper than
            // hashing a block that differs.
            let at = self.at + (len * self.block_len) as u64;
            let likely = match shared.and_then(|shared| shared.at(at)) {
                Some(sum) => self.basis.strong_is(number, sum),
                None => self.weak_is(number, self.basis.kind.sum(block)),
            };
            if !likely {
                break;
            }
            *place = block;
            len += 1;
        }
        self.effort.compared += len as u64;
        if shared.and_then(|shared| shared.at(self.at)).is_none() {
            self.effort.hashed += len as u64;
            let sums = strong::sums(&group[..len]);
            len = (0..len).take_while(|&i| self.basis.strong_is(first + i as u32, &sums[i])).count();
        }
        if len > 0 {
            self.copy(first, len, out)?;
        }
        Ok(len > 0)
    }

    /// The number of the basis's block that starts at the position `at`, if there is one. `sum` is the weak
    /// sum there.
    fn find<S: Write>(&mut self, sum: u32, view: View, shared: Option<&SharedSums<S>>) -> Option<u32> {
        let basis = self.basis;
        let blocks = basis.table.blocks_of(basis.kind.key(sum));
        let whole = match blocks {
            [others @ .., last] if u64::from(*last) >= self.whole_blocks => others,
            all => all,
        };
        if whole.is_empty() || !self.failures.allow(self.at, self.block_len) {
            return None;
        }
        let strong = self.strong_sum(view, shared);
        let expected = self.expected().filter(|&block| self.weak_is(block, sum));
        let mut compared = 0;
        let found = expected.into_iter().chain(whole.iter().copied().take(MAX_CANDIDATES)).find(|&block| {
            compared += 1;
            basis.strong_is(block, &strong)
        });
        self.effort.compared += compared;
        if found.is_none() {
            self.failures.add();
        }
        found
    }

    /// Makes bytes literal until the filter accepts the weak sum, or up to the end of the view.
    fn roll<W: Write>(&mut self, mut sum: u32, view: View, out: &mut Encoder<W>) -> io::Result<()> {
        let entering = view.from(self.at + self.block_len as u64);
        let leaving = view.range(self.at, entering.len());
        let steps = self.roller.roll(&mut sum, leaving, entering, &self.basis.table.filter);
        self.at += steps as u64;
        self.sum = Some(sum);
        out.literal(&leaving[..steps])
    }

    fn copy<W: Write>(&mut self, first: u32, blocks: usize, out: &mut Encoder<W>) -> io::Result<()> {
        let (offset, len) = (u64::from(first) * self.block_len as u64, (blocks * self.block_len) as u64);
        self.drift = offset.wrapping_sub(self.at);
        self.at += len;
        self.sum = None;
        out.copy(offset, len)
    }

    /// The number of the block that starts at `at` if the stream continues like the basis after the last
    /// copy.
    fn expected(&self) -> Option<u32> {
        let offset = self.at.wrapping_add(self.drift);
        let block = offset / self.block_len as u64;
        (offset.is_multiple_of(self.block_len as u64) && block < self.whole_blocks).then_some(block as u32)
    }

    fn fresh_sum(&self, view: View) -> u32 {
        self.basis.kind.sum(view.range(self.at, self.block_len))
    }

    fn weak_is(&self, block: u32, sum: u32) -> bool {
        self.basis.table.key(block) == self.basis.kind.key(sum)
    }

    fn strong_sum<S: Write>(&mut self, view: View, shared: Option<&SharedSums<S>>) -> Sum {
        if let Some(sum) = shared.and_then(|shared| shared.at(self.at)) {
            return *sum;
        }
        self.effort.hashed += 1;
        strong::sum(view.range(self.at, self.block_len))
    }

    /// True if these bytes are the short last block of the basis.
    fn is_tail(&self, bytes: &[u8]) -> bool {
        let block = self.whole_blocks as u32;
        self.tail_len > 0
            && self.weak_is(block, self.basis.kind.sum(bytes))
            && self.basis.strong_is(block, &strong::sum(bytes))
    }
}

/// Counts the positions at which a weak sum matched and no strong sum did, for each block length of the
/// stream.
#[derive(Default)]
struct Failures {
    /// The position at which the count started.
    since: u64,
    count: u32,
}

impl Failures {
    fn allow(&mut self, at: u64, block_len: usize) -> bool {
        if at - self.since >= block_len as u64 {
            *self = Failures { since: at, count: 0 };
        }
        self.count < MAX_FAILURES
    }

    fn add(&mut self) {
        self.count += 1;
    }
}
