//! How finely a content is signed.

use std::io;

use super::MAX_STRONG_LEN;

/// Block length and strong length of a signature, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    pub block_len: u32,
    /// 1 to 32.
    pub strong_len: u32,
}

/// Contents below this length get no signature: they are stored whole when they change.
const MIN_DATA_LEN: u64 = 16 << 10;
/// Up to this length blocks are of 2 KiB.
const SHORT_BLOCKS_UP_TO: u64 = 256 << 20;
/// Longer contents get about this many blocks at most, so that a signature fits memory.
const MAX_BLOCKS: u64 = 1 << 21;

/// Bytes before the first entry of a signature.
pub(super) const SIGNATURE_HEADER: u64 = 12;

impl Params {
    /// The longest block that is made, in bytes: contents of more than 32 TiB have more blocks, not longer ones.
    pub const MAX_BLOCK_LEN: u32 = 16 << 20;
    /// Of shorter strong sums, in bytes, two that are equal do not mean that blocks are.
    pub const MIN_STRONG_LEN: u32 = 16;

    /// The parameters for a content of `data_len` bytes; `None` where a signature does not repay.
    ///
    /// Strong length 16. Blocks of 2 KiB up to 256 MiB, beyond it of 4 KiB or the next power of two
    /// that keeps the signature at no more than 2^21 blocks, up to 16 MiB.
    pub fn for_len(data_len: u64) -> Option<Params> {
        if data_len < MIN_DATA_LEN {
            return None;
        }
        let block_len = if data_len <= SHORT_BLOCKS_UP_TO {
            2048
        } else {
            data_len.div_ceil(MAX_BLOCKS).next_power_of_two().clamp(4096, u64::from(Self::MAX_BLOCK_LEN))
        };
        Some(Params { block_len: block_len as u32, strong_len: Self::MIN_STRONG_LEN })
    }

    /// The exact length of the signature of a content of `data_len` bytes (`u64::MAX` if it has none).
    pub fn signature_len(&self, data_len: u64) -> u64 {
        let blocks = data_len.div_ceil(u64::from(self.block_len).max(1));
        blocks.saturating_mul(self.entry_len() as u64).saturating_add(SIGNATURE_HEADER)
    }

    /// Bytes of one entry: the weak sum and the strong one.
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

/// librsync keeps the block length in an `int`.
pub(super) fn valid_block_len(block_len: u32) -> bool {
    (1..=i32::MAX as u32).contains(&block_len)
}

pub(super) fn valid_strong_len(strong_len: u32) -> bool {
    (1..=MAX_STRONG_LEN).contains(&strong_len)
}
