//! Deltas of signatures.

use proptest::prelude::*;

use super::super::{Params, SignatureDelta};
use super::{noise, patched, sign};

const PARAMS: Params = Params { block_len: 64, strong_len: 16 };
const RECORD: usize = 20;

/// The delta, which must make `new` of `old`.
fn delta(old: &[u8], new: &[u8], push: usize) -> Vec<u8> {
    let mut writer = SignatureDelta::new(old, Vec::new()).unwrap();
    new.chunks(push).for_each(|piece| writer.update(piece).unwrap());
    let delta = writer.finish().unwrap();
    assert!(patched(old, &delta, new.len()).unwrap() == new);
    delta
}

proptest! {
    #[test]
    fn the_delta_makes_the_new_signature(
        edits in prop::collection::vec((0..200usize, 0..200usize, 0..3usize, any::<u64>()), 0..6), push in 1..400usize,
    ) {
        let old = noise(1, 64 * 150 + 17);
        let mut new = old.clone();
        for (at, len, with, seed) in edits {
            let (at, end) = (64 * at.min(new.len() / 64), (64 * (at + len)).min(new.len()));
            new.splice(at..end.max(at), noise(seed, 64 * with + (seed % 2) as usize));
        }
        delta(&sign(&old, PARAMS), &sign(&new, PARAMS), push);
    }

    #[test]
    fn bytes_that_are_no_signature_are_made_too(old in prop::collection::vec(0..3u8, 0..300), new in prop::collection::vec(0..3u8, 0..300)) {
        let header = [&[0; 8][..], &16u32.to_be_bytes()].concat();
        let (old, new) = ([&header[..], &old].concat(), [&header[..new.len() % 13], &new].concat());
        delta(&old, &new, 7);
    }
}

/// Each changed block costs its record. Unchanged blocks cost nothing, also if they have moved by whole blocks.
#[test]
fn only_new_records_are_literal() {
    let old = noise(1, 64 * 10_000);
    let more = noise(2, 64 * 3);
    let signed = |parts: &[&[u8]]| sign(&parts.concat(), PARAMS);
    let (a, b) = old.split_at(64 * 5000);
    for (what, new, records) in [
        ("the same", signed(&[&old]), 0),
        ("changed", signed(&[a, &more, &b[64 * 3..]]), 3),
        ("inserted", signed(&[a, &more, b]), 3),
        ("removed", signed(&[a, &b[64 * 70..]]), 0),
        ("swapped", signed(&[b, a]), 0),
        ("appended", signed(&[&old, &more]), 3),
        ("repeated", signed(&[a, &a[..64 * 100], b]), 0),
    ] {
        let len = delta(&signed(&[&old]), &new, 1000).len();
        assert!(len <= records * RECORD + 50, "{what}: {len} bytes");
    }
}

/// With other parameters nearly all records differ, and the header is literal. There are two exceptions. A shorter last
/// block can have the same record. And a record with a longer strong sum begins with the old record; but the search
/// cuts the new signature into records of the old length, and here only every fifth new record begins at such a cut.
#[test]
fn signatures_with_other_parameters_have_a_delta_too() {
    let data = noise(1, 10_000);
    for params in [Params { block_len: 128, strong_len: 16 }, Params { block_len: 64, strong_len: 20 }] {
        let new = sign(&data, params);
        assert!(delta(&sign(&data, PARAMS), &new, 100).len() >= new.len() * 3 / 4);
    }
    assert!(SignatureDelta::new(&[0; 11], Vec::new()).is_none());
    assert!(SignatureDelta::new(&[0; 12], Vec::new()).is_none(), "strong sums of no bytes");
}

/// Records of a forged signature whose strong sums begin alike do not make the search slow.
#[test]
fn records_that_begin_alike_are_searched_in_few_places() {
    let header = [&[0; 8][..], &16u32.to_be_bytes()].concat();
    let forged = |from: u32| -> Vec<u8> {
        let record = |n: u32| [&n.to_be_bytes()[..], &[7; 12], &n.to_be_bytes()].concat();
        header.iter().copied().chain((from..from + 200_000).flat_map(record)).collect()
    };
    delta(&forged(0), &forged(200_000), 1 << 20);
}
