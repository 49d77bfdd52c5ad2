//! Tests of the parameters.

use crate::delta::Params;

#[test]
fn block_lengths_grow_with_the_content() {
    let block_len = |len| Params::for_len(len).map(|params| params.block_len);
    assert_eq!(block_len(16383), None);
    assert_eq!(block_len(16384), Some(2048));
    assert_eq!(block_len(256 << 20), Some(2048));
    assert_eq!(block_len((256 << 20) + 1), Some(4096));
    assert_eq!(block_len(8 << 30), Some(4096));
    assert_eq!(block_len((8 << 30) + 1), Some(8192));
    assert_eq!(block_len(1 << 40), Some(1 << 19));
    assert_eq!(block_len(1 << 45), Some(1 << 24));
    assert_eq!(block_len(u64::MAX), Some(Params::MAX_BLOCK_LEN));
    assert_eq!(Params::for_len(1 << 20).map(|params| params.strong_len), Some(16));
}

#[test]
fn a_block_length_is_kept_within_half_to_twice_of_the_rule() {
    let kept = |block_len, len| Params::keeping(block_len, len).map(|params| params.block_len);
    assert_eq!(kept(2048, 16383), None);
    assert_eq!(kept(4096, 20_000), Some(4096));
    assert_eq!(kept(8192, 20_000), Some(2048));
    assert_eq!(kept(2048, 300 << 20), Some(2048));
    assert_eq!(kept(1024, 300 << 20), Some(4096));
    assert_eq!(kept(2048, 9 << 30), Some(8192));
    assert_eq!(kept(3000, 20_000), Some(2048), "not a power of two");
    assert_eq!(kept(u32::MAX, u64::MAX), Some(Params::MAX_BLOCK_LEN));
}
