//! The parameters of a signature: the lengths of its blocks and of its strong sums.

use std::io;

use super::MAX_STRONG_LEN;

/// Block length and strong length of a signature, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    pub block_len: u32,
    /// 1 to 32.
    pub strong_len: u32,
}

/// The longest content, in bytes, with blocks of 2 KiB.
const SHORT_BLOCKS_UP_TO: u64 = 256 << 20;
/// The most blocks of a content of more than 256 MiB and at most 32 TiB, so that its signature fits memory.
const MAX_BLOCKS: u64 = 1 << 21;

/// Which contents get a signature, by their length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningRule {
    /// The shortest content, in bytes, that gets a signature.
    shortest: u64,
}

impl SigningRule {
    /// Where deltas are made against signatures. A signature of a shorter content would save nothing.
    pub const FOR_SIGNATURES: SigningRule = SigningRule { shortest: 16 << 10 };
    /// Where deltas are made against the old contents themselves. A content of at most 1 MiB is compared as a whole
    /// and needs no signature for that. One of 256 KiB or more has a signature all the same, because the file may have
    /// more than 1 MiB when it changes: then its signature tells which old bytes to read. A shorter content would have
    /// to grow fourfold, and such a file is stored whole.
    pub const FOR_CONTENTS: SigningRule = SigningRule { shortest: 256 << 10 };

    /// The parameters for the signature of a content of `data_len` bytes; `None` if it gets no signature.
    pub fn params(self, data_len: u64) -> Option<Params> {
        Params::for_len(data_len).filter(|_| data_len >= self.shortest)
    }
}

/// Bytes of a signature's header, before the first entry.
pub(super) const SIGNATURE_HEADER: u64 = 12;

impl Params {
    /// The longest block, in bytes. A content of more than 32 TiB has more blocks instead of longer blocks.
    pub const MAX_BLOCK_LEN: u32 = 16 << 20;
    /// The shortest useful strong sum, in bytes. With shorter sums, different blocks may have equal sums.
    pub const MIN_STRONG_LEN: u32 = 16;

    /// The parameters for a content of `data_len` bytes; `None` if the content is too short for a signature
    /// to save space.
    ///
    /// The strong length is 16. Blocks have 2 KiB up to 256 MiB of content. Longer contents have blocks of
    /// 4 KiB, or of the next power of two with which there are at most 2^21 blocks, but at most 16 MiB.
    pub fn for_len(data_len: u64) -> Option<Params> {
        if data_len < SigningRule::FOR_SIGNATURES.shortest {
            return None;
        }
        let block_len = if data_len <= SHORT_BLOCKS_UP_TO {
            2048
        } else {
            data_len.div_ceil(MAX_BLOCKS).next_power_of_two().clamp(4096, u64::from(Self::MAX_BLOCK_LEN))
        };
        Some(Params { block_len: block_len as u32, strong_len: Self::MIN_STRONG_LEN })
    }

    /// Like [`Params::for_len`], but keeps the block length `kept` of an older signature of the content, so that the
    /// records of unchanged blocks stay equal. `kept` is used only if it is a power of two, and at least half and at
    /// most twice the block length that `for_len` gives.
    pub fn keeping(kept: u32, data_len: u64) -> Option<Params> {
        let rule = Params::for_len(data_len)?;
        let is_near = kept.is_power_of_two() && kept >= rule.block_len / 2 && kept / 2 <= rule.block_len;
        Some(Params { block_len: if is_near { kept } else { rule.block_len }, ..rule })
    }

    /// The exact length in bytes of the signature of a content of `data_len` bytes; `u64::MAX` if that
    /// length does not fit 64 bits.
    pub fn signature_len(&self, data_len: u64) -> u64 {
        let blocks = data_len.div_ceil(u64::from(self.block_len).max(1));
        blocks.saturating_mul(self.entry_len() as u64).saturating_add(SIGNATURE_HEADER)
    }

    /// Bytes of one entry: the weak sum and the strong sum.
    pub(super) fn entry_len(&self) -> usize {
        4 + self.strong_len as usize
    }

    pub(super) fn check(&self) -> io::Result<()> {
        let ok = valid_block_len(self.block_len) && valid_strong_len(self.strong_len);
        ok.then_some(()).ok_or_else(|| {
            let text =
                format!("impossible block length {} or strong length {}", self.block_len, self.strong_len);
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })
    }
}

/// A block length must fit an `int` of C, as in librsync.
pub(super) fn valid_block_len(block_len: u32) -> bool {
    (1..=i32::MAX as u32).contains(&block_len)
}

pub(super) fn valid_strong_len(strong_len: u32) -> bool {
    (1..=MAX_STRONG_LEN).contains(&strong_len)
}
