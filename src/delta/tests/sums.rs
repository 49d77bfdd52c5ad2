//! Weak sums and their table.

use proptest::prelude::*;

use super::noise;
use crate::delta::native::filter::Table;
use crate::delta::native::weak::{rabinkarp, Roller};
use crate::delta::signature::Kind;

/// As `rabinkarp.h` has it.
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
    ) {
        prop_assume!(window < bytes.len());
        let kind = if rollsum { Kind::Rollsum } else { Kind::RabinKarp };
        // Every fifth window is let through, so that rolling stops there at the latest.
        let sums: Vec<u32> = bytes.windows(window).map(|block| kind.sum(block)).collect();
        let table = Table::new(sums.iter().step_by(5).map(|&sum| kind.key(sum)).collect());
        let roller = Roller::new(kind, window as u32);
        let (mut at, mut sum) = (0, sums[0]);
        while at + window < bytes.len() {
            let entering = &bytes[at + window..];
            let steps = roller.roll(&mut sum, &bytes[at..][..entering.len()], entering, &table.filter);
            prop_assert!(steps > 0 && steps <= 5 - at % 5, "{} steps at {}", steps, at);
            at += steps;
            prop_assert_eq!(sum, sums[at]);
        }
    }

    #[test]
    fn the_table_finds_every_block_of_a_key(keys in proptest::collection::vec(0..60u32, 0..300), spread in 0..2u32) {
        let keys: Vec<u32> = keys.iter().map(|key| key.wrapping_mul(1 + spread * 0x4321_0000)).collect();
        let table = Table::new(keys.clone());
        for key in keys.iter().copied().chain(0..70) {
            let blocks: Vec<u32> = (0..keys.len() as u32).filter(|&block| keys[block as usize] == key).collect();
            prop_assert_eq!(table.blocks_of(key), &blocks[..]);
        }
    }
}

#[test]
fn the_filter_lets_little_through() {
    let word = |bytes: &[u8]| bytes.iter().fold(0, |word, &byte| word << 8 | u32::from(byte));
    let keys = |seed, len: usize| -> Vec<u32> { noise(seed, 4 * len).chunks_exact(4).map(word).collect() };
    // The fullest and the emptiest filter of several sizes.
    for blocks in [1, 1024, 1030, 8192, 8200, 65_536, 65_540, 262_144, 262_150] {
        let table = Table::new(keys(1, blocks));
        assert!(keys(1, blocks).iter().all(|&key| table.filter.may_hold(key)));
        let through = keys(2, 50_000).iter().filter(|&&key| table.filter.may_hold(key)).count();
        assert!(through < 50_000 / 100, "{through} of 50,000 with {blocks} blocks");
    }
}
