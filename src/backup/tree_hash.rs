//! The BLAKE3 hash of a content, from the hashes of its stretches.
//!
//! Source: BLAKE3's paper, section 2.1. Chunks of 1 KiB are the leaves of a binary tree. The left child of a
//! node holds as many chunks as the greatest power of two that leaves at least one chunk for the right child.
//! So a stretch whose number of chunks is a power of two is a whole subtree, and only the last stretch may be
//! shorter.

use blake3::hazmat::{merge_subtrees_non_root, merge_subtrees_root, ChainingValue, HasherExt, Mode};
use blake3::Hasher;

use crate::entry::Hash;

/// The hashes of the stretches so far, merged as far as is possible without knowing the end of the content.
#[derive(Default)]
pub struct TreeHash {
    /// Subtrees from left to right. Each holds fewer stretches than the subtree before.
    subtrees: Vec<ChainingValue>,
    stretches: u64,
}

impl TreeHash {
    /// The value of a stretch for [`TreeHash::add`]. `offset` is the offset of the stretch in the content.
    /// The stretch must not be empty. If the content has only one stretch, use its plain BLAKE3 hash instead,
    /// see [`TreeHash::finish`].
    pub fn of_stretch(bytes: &[u8], offset: u64) -> ChainingValue {
        Hasher::new().set_input_offset(offset).update(bytes).finalize_non_root()
    }

    /// Adds the next stretch. All stretches except the last have the same length, a power of two of KiB.
    pub fn add(&mut self, stretch: ChainingValue) {
        // Merge until the number of subtrees equals the number of one bits in the count of stretches. The
        // merge comes only now, because the new stretch proves that no merged subtree is the root.
        while self.subtrees.len() > self.stretches.count_ones() as usize {
            let right = self.subtrees.pop();
            if let (Some(left), Some(right)) = (self.subtrees.last_mut(), right) {
                *left = merge_subtrees_non_root(left, &right, Mode::Hash);
            }
        }
        self.subtrees.push(stretch);
        self.stretches += 1;
    }

    /// The hash of the whole content, which has two stretches or more. With a single stretch, returns the
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
    fn stretches_together_have_the_hash_of_the_whole() {
        let mut bytes = vec![0; 40 << 10];
        Hasher::new().finalize_xof().fill(&mut bytes);
        for stretch in [1024, 2048, 8192] {
            for len in (stretch + 1..=bytes.len()).step_by(331).chain([
                2 * stretch,
                3 * stretch,
                4 * stretch,
                40 << 10,
            ]) {
                let mut hash = TreeHash::default();
                for (number, piece) in bytes[..len].chunks(stretch).enumerate() {
                    hash.add(TreeHash::of_stretch(piece, (number * stretch) as u64));
                }
                assert!(
                    hash.finish() == Hash::from(blake3::hash(&bytes[..len])),
                    "{len} bytes in stretches of {stretch}"
                );
            }
        }
    }
}
