//! Strong sums: BLAKE2b without a key and with a digest of 32 bytes, of which a signature stores the first
//! bytes.

use blake2b_simd::many::{HashManyJob, hash_many};

/// A whole strong sum. Signatures may store only its first bytes.
pub type Sum = [u8; 32];

/// Blocks that are hashed at the same time: a multiple of the SIMD lanes of every platform.
pub const GROUP: usize = 8;

/// The strong sum of one block.
pub fn sum(block: &[u8]) -> Sum {
    truncate(params().hash(block).as_bytes())
}

/// The strong sums of at most [`GROUP`] blocks, hashed at the same time. The sums after the last block are
/// zeros.
pub fn sums(blocks: &[&[u8]]) -> [Sum; GROUP] {
    debug_assert!(blocks.len() <= GROUP);
    let params = params();
    let mut jobs: [HashManyJob; GROUP] =
        std::array::from_fn(|i| HashManyJob::new(&params, blocks.get(i).unwrap_or(&&[][..])));
    let jobs = &mut jobs[..blocks.len()];
    hash_many(jobs.iter_mut());
    let mut sums = [[0; 32]; GROUP];
    for (sum, job) in sums.iter_mut().zip(jobs) {
        *sum = truncate(job.to_hash().as_bytes());
    }
    sums
}

fn params() -> blake2b_simd::Params {
    let mut params = blake2b_simd::Params::new();
    params.hash_length(32);
    params
}

fn truncate(digest: &[u8]) -> Sum {
    let mut sum = [0; 32];
    sum.copy_from_slice(&digest[..32]);
    sum
}
