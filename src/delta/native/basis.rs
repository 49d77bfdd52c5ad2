//! The sums of a basis in a form that is quick to search.

use super::super::signature::{SignatureHeader, SignatureKind, be32};
use super::filter::SumTable;
use super::strong::Sum;

/// The sums of the blocks of a basis, and a table over the weak sums. Memory: about 32 bytes per block with
/// strong sums of 16 bytes, and up to twice that if the filter has just grown to its next size.
pub struct Basis {
    pub kind: SignatureKind,
    strong_len: usize,
    strong: Box<[u8]>,
    pub table: SumTable,
}

impl Basis {
    /// Takes the sums from `signature`. Its `header` must have been read, and its length checked.
    pub fn new(header: &SignatureHeader, signature: &[u8]) -> Basis {
        let (kind, strong_len) = (header.kind, header.strong_len as usize);
        let entries = header.entries(signature);
        let mut keys = Vec::with_capacity(entries.len());
        let mut strong = Vec::with_capacity(entries.len() * strong_len);
        for entry in entries {
            keys.push(kind.key(be32(&entry[..4])));
            strong.extend_from_slice(&entry[4..]);
        }
        Basis { kind, strong_len, strong: strong.into(), table: SumTable::new(keys) }
    }

    /// True if `sum` begins with the stored strong sum of the block with number `block`.
    pub fn strong_is(&self, block: u32, sum: &Sum) -> bool {
        self.has_strong(block as usize, sum)
    }

    /// Like [`Basis::strong_is`], for a whole strong sum of 32 bytes.
    pub fn has_strong(&self, block: usize, sum: &[u8]) -> bool {
        let at = block * self.strong_len;
        self.strong[at..at + self.strong_len] == sum[..self.strong_len]
    }
}
