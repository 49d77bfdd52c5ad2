//! The BLAKE3 hash of a content, from the hashes of its chunks.
//!
//! Source: BLAKE3's paper, section 2.1. Blocks of 1 KiB (chunks in the paper) are the leaves of a binary tree.
//! The left child of a node holds as many leaves as the greatest power of two that leaves at least one leaf for
//! the right child. So a chunk of the backup whose number of leaves is a power of two is a whole subtree, and
//! only the last chunk may be shorter.

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use crate::entry::Hash;

/// The hashes of the chunks so far, merged as far as is possible without knowing the end of the content.
#[derive(Default)]
pub struct TreeHash {
    /// Subtrees from left to right. Each holds fewer chunks than the subtree before.
    subtrees: Vec<ChainingValue>,
    chunks: u64,
}

impl TreeHash {
    /// The value of a chunk for [`TreeHash::add`]. `offset` is the offset of the chunk in the content.
    /// The chunk must not be empty. If the content has only one chunk, use its plain BLAKE3 hash instead,
    /// see [`TreeHash::finish`].
    pub fn of_chunk(bytes: &[u8], offset: u64) -> ChainingValue {
        Hasher::new().set_input_offset(offset).update(bytes).finalize_non_root()
    }

    /// Adds the next chunk. All chunks except the last have the same length, a power of two of KiB.
    pub fn add(&mut self, chunk: ChainingValue) {
        // Merge until the number of subtrees equals the number of one bits in the count of chunks. The
        // merge comes only now, because the new chunk proves that no merged subtree is the root.
        while self.subtrees.len() > self.chunks.count_ones() as usize {
            let right = self.subtrees.pop();
            if let (Some(left), Some(right)) = (self.subtrees.last_mut(), right) {
                *left = merge_subtrees_non_root(left, &right, Mode::Hash);
            }
        }
        self.subtrees.push(chunk);
        self.chunks += 1;
    }

    /// The hash of the whole content, which has two chunks or more. With a single chunk, returns the
    /// value that was added for it.
    pub fn finish(mut self) -> Hash {
        let mut right = self.subtrees.pop().unwrap_or_default();
        while let Some(left) = self.subtrees.pop() {
            if self.subtrees.is_empty() {
                return merge_subtrees_root(&left, &right, Mode::Hash).into();
            }
            right = merge_subtrees_non_root(&left, &right, Mode::Hash);
        }
        Hash(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_together_have_the_hash_of_the_whole() {
        let mut bytes = vec![0; 40 << 10];
        Hasher::new().finalize_xof().fill(&mut bytes);
        for chunk in [1024, 2048, 8192] {
            for len in
                (chunk + 1..=bytes.len()).step_by(331).chain([2 * chunk, 3 * chunk, 4 * chunk, 40 << 10])
            {
                let mut hash = TreeHash::default();
                for (number, piece) in bytes[..len].chunks(chunk).enumerate() {
                    hash.add(TreeHash::of_chunk(piece, (number * chunk) as u64));
                }
                assert!(
                    hash.finish() == Hash::from(blake3::hash(&bytes[..len])),
                    "{len} bytes in chunks of {chunk}"
                );
            }
        }
    }
}
