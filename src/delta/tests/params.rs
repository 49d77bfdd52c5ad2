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
