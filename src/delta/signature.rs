//! A signature in memory, ready to be searched.

use super::filter::Table;
use super::params::{valid_block_len, valid_strong_len, SIGNATURE_HEADER};
use super::strong::Sum;
use super::weak::Kind;
use super::{Error, Result, MD4_MAGICS, ROLLSUM_SIGNATURE_MAGIC, SIGNATURE_MAGIC};

/// The sums of the blocks of a basis, and a table over them: about 32 bytes a block with strong sums
/// of 16 bytes (up to twice that where the filter's next size has just been reached).
pub struct Signature {
    pub(super) kind: Kind,
    block_len: u32,
    strong_len: usize,
    strong: Box<[u8]>,
    pub(super) table: Table,
}

impl Signature {
    /// Reads a whole signature; `bytes` must hold nothing else.
    ///
    /// A signature does not tell how long its basis is: its last block may be a short one.
    pub fn parse(bytes: &[u8]) -> Result<Signature> {
        let short = || Error::SignatureHeader(bytes.len() as u64);
        let (header, entries) = bytes.split_at_checked(SIGNATURE_HEADER as usize).ok_or_else(short)?;
        let kind = kind_of(be32(&header[0..4]))?;
        let (block_len, strong_len) = (be32(&header[4..8]), be32(&header[8..12]));
        if !valid_block_len(block_len) {
            return Err(Error::BlockLen(block_len));
        }
        if !valid_strong_len(strong_len) {
            return Err(Error::StrongLen(strong_len));
        }
        let strong_len = strong_len as usize;
        let entries = entries.chunks_exact(4 + strong_len);
        if !entries.remainder().is_empty() {
            return Err(Error::SignatureTail(entries.remainder().len() as u64));
        }
        let blocks = entries.len();
        if u32::try_from(blocks).is_err() {
            return Err(Error::TooManyBlocks(blocks as u64));
        }
        let mut keys = Vec::with_capacity(blocks);
        let mut strong = Vec::with_capacity(blocks * strong_len);
        for entry in entries {
            keys.push(kind.key(be32(&entry[..4])));
            strong.extend_from_slice(&entry[4..]);
        }
        Ok(Signature { kind, block_len, strong_len, strong: strong.into(), table: Table::new(keys) })
    }

    /// Length of every block but the last, in bytes.
    pub fn block_len(&self) -> u32 {
        self.block_len
    }

    /// Bytes kept of each strong sum.
    pub fn strong_len(&self) -> u32 {
        self.strong_len as u32
    }

    pub fn blocks(&self) -> u64 {
        u64::from(self.table.len())
    }

    /// Fails unless a basis of `basis_len` bytes has this many blocks.
    pub(super) fn check_basis_len(&self, basis_len: u64) -> Result<()> {
        if self.blocks() != basis_len.div_ceil(u64::from(self.block_len)) {
            return Err(Error::BlockCount { blocks: self.blocks(), basis_len });
        }
        Ok(())
    }

    /// Whether the strong sum of the block numbered `block`, as far as it is kept, is that of `sum`.
    pub(super) fn strong_is(&self, block: u32, sum: &Sum) -> bool {
        let at = block as usize * self.strong_len;
        self.strong[at..at + self.strong_len] == sum[..self.strong_len]
    }
}

fn kind_of(magic: u32) -> Result<Kind> {
    match magic {
        SIGNATURE_MAGIC => Ok(Kind::RabinKarp),
        ROLLSUM_SIGNATURE_MAGIC => Ok(Kind::Rollsum),
        md4 if MD4_MAGICS.contains(&md4) => Err(Error::Md4Signature(md4)),
        other => Err(Error::NotASignature(other)),
    }
}

/// The integer in four bytes.
fn be32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
}
