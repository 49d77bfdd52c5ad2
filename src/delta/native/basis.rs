//! The sums of a basis, ready to be searched.

use super::super::signature::{be32, Header, Kind};
use super::filter::Table;
use super::strong::Sum;

/// The sums of the blocks of a basis, and a table over them: about 32 bytes a block with strong sums
/// of 16 bytes (up to twice that where the filter's next size has just been reached).
pub struct Basis {
    pub kind: Kind,
    strong_len: usize,
    strong: Box<[u8]>,
    pub table: Table,
}

impl Basis {
    /// Takes what `signature` holds, whose header has been read and whose length is right.
    pub fn new(header: &Header, signature: &[u8]) -> Basis {
        let (kind, strong_len) = (header.kind, header.strong_len as usize);
        let entries = header.entries(signature);
        let mut keys = Vec::with_capacity(entries.len());
        let mut strong = Vec::with_capacity(entries.len() * strong_len);
        for entry in entries {
            keys.push(kind.key(be32(&entry[..4])));
            strong.extend_from_slice(&entry[4..]);
        }
        Basis { kind, strong_len, strong: strong.into(), table: Table::new(keys) }
    }

    /// Whether the strong sum of the block numbered `block`, as far as it is kept, is that of `sum`.
    pub fn strong_is(&self, block: u32, sum: &Sum) -> bool {
        let at = block as usize * self.strong_len;
        self.strong[at..at + self.strong_len] == sum[..self.strong_len]
    }
}
