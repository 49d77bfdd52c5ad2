//! Tests of the weak and strong sums and of the table.

use proptest::prelude::*;

use super::noise;
use crate::delta::native::filter::SumTable;
use crate::delta::native::strong::{GROUP, Sum, sum, sums};
use crate::delta::native::weak::{Roller, rabinkarp};
use crate::delta::signature::SignatureKind;

/// RabinKarp as in `rabinkarp.h`.
fn plain_rabinkarp(block: &[u8]) -> u32 {
    block.iter().fold(1, |hash: u32, &byte| hash.wrapping_mul(0x0810_4225).wrapping_add(u32::from(byte)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_rabinkarp_is_the_plain_one(block in proptest::collection::vec(any::<u8>(), 0..700)) {
        prop_assert_eq!(rabinkarp(&block), plain_rabinkarp(&block));
    }

    #[test]
    fn a_rolled_sum_is_that_of_its_window(
        bytes in proptest::collection::vec(any::<u8>(), 1..900), window in 1..300usize, rollsum in any::<bool>(),
        stride in prop_oneof![Just(5usize), Just(41), Just(usize::MAX)], portable in any::<bool>(),
    ) {
        prop_assume!(window < bytes.len());
        let kind = if rollsum { SignatureKind::Rollsum } else { SignatureKind::RabinKarp };
        // The filter accepts every `stride`-th window, so rolling stops there at the latest.
        let sums: Vec<u32> = bytes.windows(window).map(|block| kind.sum(block)).collect();
        let table = SumTable::new(sums.iter().step_by(stride).map(|&sum| kind.key(sum)).collect());
        let roller = Roller::new(kind, window as u32);
        let roller = if portable { roller.portable() } else { roller };
        let (mut at, mut sum) = (0, sums[0]);
        while at + window < bytes.len() {
            let entering = &bytes[at + window..];
            let steps = roller.roll(&mut sum, &bytes[at..][..entering.len()], entering, &table.filter);
            prop_assert!(steps > 0 && steps <= stride - at % stride, "{} steps at {}", steps, at);
            at += steps;
            prop_assert_eq!(sum, sums[at]);
        }
    }

    #[test]
    fn the_table_finds_every_block_of_a_key(keys in proptest::collection::vec(0..60u32, 0..300), spread in 0..2u32) {
        let keys: Vec<u32> = keys.iter().map(|key| key.wrapping_mul(1 + spread * 0x4321_0000)).collect();
        let table = SumTable::new(keys.clone());
        for key in keys.iter().copied().chain(0..70) {
            let blocks: Vec<u32> = (0..keys.len() as u32).filter(|&block| keys[block as usize] == key).collect();
            prop_assert_eq!(table.blocks_of(key), &blocks[..]);
        }
    }
}

/// BLAKE2b with a digest of 32 bytes, as in RFC 7693.
fn plain_blake2b(message: &[u8]) -> Sum {
    const IV: [u64; 8] = [
        0x6a09e667f3bcc908,
        0xbb67ae8584caa73b,
        0x3c6ef372fe94f82b,
        0xa54ff53a5f1d36f1,
        0x510e527fade682d1,
        0x9b05688c2b3e6c1f,
        0x1f83d9abfb41bd6b,
        0x5be0cd19137e2179,
    ];
    const SIGMA: [&[u8; 16]; 10] = [
        b"0123456789abcdef",
        b"ea489fd61c02b753",
        b"b8c052fdae367194",
        b"7931dcbe265a40f8",
        b"905724afe1bc683d",
        b"2c6a0b834d75fe19",
        b"c51fed4a0763928b",
        b"db7ec13950f4862a",
        b"6fe9b308c2d714a5",
        b"a2847615fb9e3cd0",
    ];
    let mut h = IV;
    h[0] ^= 0x0101_0020;
    let blocks = message.len().div_ceil(128).max(1);
    for block in 0..blocks {
        let bytes = &message[128 * block..message.len().min(128 * block + 128)];
        let mut padded = [0; 128];
        padded[..bytes.len()].copy_from_slice(bytes);
        let m: Vec<u64> = padded.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
        let mut v: Vec<u64> = h.iter().chain(&IV).copied().collect();
        v[12] ^= (128 * block + bytes.len()) as u64;
        v[14] ^= if block + 1 == blocks { u64::MAX } else { 0 };
        for round in 0..12 {
            let word = |i: usize| m[(SIGMA[round % 10][i] as char).to_digit(16).unwrap() as usize];
            for i in 0..8 {
                let (row, turn) = (i % 4, i / 4);
                let [a, b, c, d] = std::array::from_fn(|r| 4 * r + (row + r * turn) % 4);
                for (x, (first, second)) in [(word(2 * i), (32, 24)), (word(2 * i + 1), (16, 63))] {
                    v[a] = v[a].wrapping_add(v[b]).wrapping_add(x);
                    v[d] = (v[d] ^ v[a]).rotate_right(first);
                    v[c] = v[c].wrapping_add(v[d]);
                    v[b] = (v[b] ^ v[c]).rotate_right(second);
                }
            }
        }
        (0..8).for_each(|i| h[i] ^= v[i] ^ v[i + 8]);
    }
    let digest: Vec<u8> = h[..4].iter().flat_map(|word| word.to_le_bytes()).collect();
    digest.try_into().unwrap()
}

#[test]
fn strong_sums_side_by_side_and_alone_are_plain_blake2b() {
    for len in [0, 1, 127, 128, 129, 2048, 5000] {
        let blocks: Vec<Vec<u8>> = (0..GROUP as u64).map(|seed| noise(seed, len)).collect();
        let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        let plain: Vec<Sum> = blocks.iter().map(|block| plain_blake2b(block)).collect();
        for count in 0..=GROUP {
            assert_eq!(sums(&blocks[..count])[..count], plain[..count]);
        }
        assert!(blocks.iter().zip(&plain).all(|(block, plain)| sum(block) == *plain));
    }
}

#[test]
fn the_filter_lets_little_through() {
    let word = |bytes: &[u8]| bytes.iter().fold(0, |word, &byte| word << 8 | u32::from(byte));
    let keys = |seed, len: usize| -> Vec<u32> { noise(seed, 4 * len).chunks_exact(4).map(word).collect() };
    // The emptiest and the fullest filter of several sizes.
    for blocks in [1, 1024, 1030, 8192, 8200, 65_536, 65_540, 262_144, 262_150] {
        let table = SumTable::new(keys(1, blocks));
        assert!(keys(1, blocks).iter().all(|&key| table.filter.may_hold(key)));
        let through = keys(2, 50_000).iter().filter(|&&key| table.filter.may_hold(key)).count();
        assert!(through < 50_000 / 200, "{through} of 50,000 with {blocks} blocks");
    }
}
