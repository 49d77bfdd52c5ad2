//! BLAKE3 of a content in stretches, each hashed by itself.
//!
//! Source: BLAKE3's paper, section 2.1. Chunks of 1 KiB are the leaves of a binary tree, and of two children the
//! left one holds as many chunks as the greatest power of two that leaves something for the right one. So
//! stretches of a power of two of chunks are whole subtrees, and only the last one may be shorter.

use blake3::hazmat::{merge_subtrees_non_root, merge_subtrees_root, ChainingValue, HasherExt, Mode};
use blake3::Hasher;

use crate::entry::Hash;

/// The hashes of the stretches so far, put together as far as that can be done without knowing the end.
#[derive(Default)]
pub struct TreeHash {
    /// Subtrees from left to right, each of fewer stretches than the one before.
    subtrees: Vec<ChainingValue>,
    stretches: u64,
}

impl TreeHash {
    /// What [`TreeHash::add`] takes of the stretch that starts at `offset`: not of the only one, see
    /// [`TreeHash::finish`]. The stretch must hold something.
    pub fn of_stretch(bytes: &[u8], offset: u64) -> ChainingValue {
        Hasher::new().set_input_offset(offset).update(bytes).finalize_non_root()
    }

    /// Adds the next stretch. All but the last have the same length, a power of two of KiB.
    pub fn add(&mut self, stretch: ChainingValue) {
        // As many subtrees as there are ones in the count of what they hold: there is more to come.
        while self.subtrees.len() > self.stretches.count_ones() as usize {
            let right = self.subtrees.pop();
            if let (Some(left), Some(right)) = (self.subtrees.last_mut(), right) {
                *left = merge_subtrees_non_root(left, &right, Mode::Hash);
            }
        }
        self.subtrees.push(stretch);
        self.stretches += 1;
    }

    /// The hash of the whole content, of two stretches or more; of a single one, what was added for it.
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
