//! Reads a signature into memory.

use std::slice::ChunksExact;

use super::params::{SIGNATURE_HEADER, valid_block_len, valid_strong_len};
use super::{Error, MAX_STRONG_LEN, MD4_MAGICS, ROLLSUM_SIGNATURE_MAGIC, Result, SIGNATURE_MAGIC, engine};

/// A complete signature, ready for making deltas against its basis.
pub struct Signature {
    header: SignatureHeader,
    blocks: u32,
    pub(super) basis: engine::Basis,
}

/// The kind of weak sum in a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureKind {
    RabinKarp,
    Rollsum,
}

/// The header of a signature.
pub(super) struct SignatureHeader {
    #[cfg_attr(feature = "librsync", allow(dead_code))]
    pub kind: SignatureKind,
    pub block_len: u32,
    pub strong_len: u32,
}

impl Signature {
    /// Reads a whole signature. `bytes` must end where the signature ends.
    ///
    /// The length of the basis is not known from its signature: the last block may be shorter than the
    /// others.
    pub fn parse(bytes: &[u8]) -> Result<Signature> {
        let header = SignatureHeader::read(bytes)?;
        let entries = header.entries(bytes);
        if !entries.remainder().is_empty() {
            return Err(Error::SignatureTail(entries.remainder().len() as u64));
        }
        let blocks = entries.len() as u64;
        if blocks > engine::MAX_BLOCKS {
            return Err(Error::TooManyBlocks(blocks));
        }
        let basis = engine::Basis::new(&header, bytes);
        Ok(Signature { header, blocks: blocks as u32, basis })
    }

    /// Bytes of every block except the last, which may be shorter.
    pub fn block_len(&self) -> u32 {
        self.header.block_len
    }

    /// Bytes that the signature keeps of each strong sum.
    pub fn strong_len(&self) -> u32 {
        self.header.strong_len
    }

    pub fn blocks(&self) -> u64 {
        u64::from(self.blocks)
    }

    /// True if `bytes` equal the basis from the block number `first` on: each block of `bytes` has the strong sum that
    /// this signature has for it. The last block of `bytes` may be shorter than the block length.
    pub fn is_of(&self, first: u64, bytes: &[u8]) -> bool {
        let params = blake2b_simd::Params::new().hash_length(MAX_STRONG_LEN as usize).to_owned();
        let blocks = bytes.chunks(self.block_len() as usize);
        (first..).zip(blocks).all(|(number, block)| {
            number < self.blocks() && self.basis.has_strong(number as usize, params.hash(block).as_bytes())
        })
    }

    /// Fails unless a basis of `basis_len` bytes has as many blocks as this signature.
    pub(super) fn check_basis_len(&self, basis_len: u64) -> Result<()> {
        if self.blocks() != basis_len.div_ceil(u64::from(self.block_len())) {
            return Err(Error::BlockCount { blocks: self.blocks(), basis_len });
        }
        Ok(())
    }
}

impl SignatureHeader {
    fn read(signature: &[u8]) -> Result<SignatureHeader> {
        let header = signature.get(..SIGNATURE_HEADER as usize);
        let header = header.ok_or(Error::SignatureHeader(signature.len() as u64))?;
        let kind = kind_of(be32(&header[0..4]))?;
        let (block_len, strong_len) = (be32(&header[4..8]), be32(&header[8..12]));
        if !valid_block_len(block_len) {
            return Err(Error::BlockLen(block_len));
        }
        if !valid_strong_len(strong_len) {
            return Err(Error::StrongLen(strong_len));
        }
        Ok(SignatureHeader { kind, block_len, strong_len })
    }

    /// The entries of `signature`, which begins with this header. Each entry is a weak sum and a strong sum.
    pub fn entries<'b>(&self, signature: &'b [u8]) -> ChunksExact<'b, u8> {
        signature[SIGNATURE_HEADER as usize..].chunks_exact(4 + self.strong_len as usize)
    }
}

fn kind_of(magic: u32) -> Result<SignatureKind> {
    match magic {
        SIGNATURE_MAGIC => Ok(SignatureKind::RabinKarp),
        ROLLSUM_SIGNATURE_MAGIC => Ok(SignatureKind::Rollsum),
        md4 if MD4_MAGICS.contains(&md4) => Err(Error::Md4Signature(md4)),
        other => Err(Error::NotASignature(other)),
    }
}

/// The big-endian integer in four bytes.
pub(super) fn be32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
}
