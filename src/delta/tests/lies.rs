//! Tests of the Rust engine with signatures whose weak sums or lengths are forged.

use std::io;

use super::{delta, noise, patched, sign};
use crate::delta::native::weak::rabinkarp;
use crate::delta::{DeltaWriter, Effort, Params, Signature};

const PARAMS: Params = Params { block_len: 1000, strong_len: 8 };

/// A signature of 8,000 blocks with noise as strong sums. The weak sums are all `weak`, or noise if that is
/// `None`.
fn forged(block_len: u32, weak: Option<u32>) -> Vec<u8> {
    let mut bytes = sign(&[], Params { block_len, strong_len: 16 });
    let entries = noise(9, 8000 * 20);
    for entry in entries.chunks_exact(20) {
        match weak {
            Some(weak) => bytes.extend_from_slice(&weak.to_be_bytes()),
            None => bytes.extend_from_slice(&entry[..4]),
        }
        bytes.extend_from_slice(&entry[4..]);
    }
    bytes
}

fn effort(signature: &[u8], block_len: u32, new: &[u8]) -> Effort {
    let signature = Signature::parse(signature).unwrap();
    let mut writer = DeltaWriter::new(&signature, 8000 * u64::from(block_len), io::sink()).unwrap();
    new.chunks(4096).for_each(|piece| writer.update(piece).unwrap());
    writer.effort()
}

#[test]
fn equal_weak_sums_do_not_make_the_search_quadratic() {
    let (block_len, new) = (2048, vec![0; 40_000]);
    let zeros = rabinkarp(&new[..2048]);
    let blocks = new.len() as u64 / 2048 + 1;
    assert_eq!(effort(&forged(block_len, None), block_len, &new), Effort::default());
    let cost = effort(&forged(block_len, Some(zeros)), block_len, &new);
    // Each of 40,000 positions matches 8,000 weak sums. The search hashes at only 16 positions a block
    // length.
    assert!(cost.hashed > blocks && cost.hashed <= 17 * blocks, "{cost:?}");
    assert!(cost.compared <= 18 * cost.hashed, "{cost:?}");
}

#[test]
fn the_true_block_among_equal_weak_sums_is_found() {
    let basis = noise(1, 8000 * 64);
    let params = Params { block_len: 64, strong_len: 16 };
    let mut sums = sign(&basis, params);
    let weak: [u8; 4] = sums[12..16].try_into().unwrap();
    sums[12..].chunks_exact_mut(20).for_each(|entry| entry[..4].copy_from_slice(&weak));
    let signature = Signature::parse(&sums).unwrap();
    let new = [&noise(2, 1000)[..], &basis[..64], &noise(3, 500)].concat();
    let made = delta(&signature, basis.len() as u64, &new, 4096);
    assert!(made.len() < 1500 + 40, "{}", made.len());
    assert!(patched(&basis, &made, new.len()).unwrap() == new);
}

#[test]
fn a_whole_block_that_claims_to_be_the_short_last_one_is_not_copied() {
    let longer = noise(1, 6000);
    let signature = Signature::parse(&sign(&longer, PARAMS)).unwrap();
    let new = [&longer[5000..], &noise(2, 3000)].concat();
    let made = delta(&signature, 5500, &new, 4096);
    assert!(patched(&longer[..5500], &made, new.len()).unwrap() == new);
}
