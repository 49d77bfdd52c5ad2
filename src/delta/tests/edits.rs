//! Tests with random contents and edits: patching gives the new content, and the sizes of pushes change no
//! byte.

use proptest::prelude::*;

use super::{delta, noise, patched, sign};
use crate::delta::{DeltaJoiner, DeltaWriter, Params, Signature, Signer};

const PUSHES: [usize; 7] = [1, 2, 3, 7, 15, 4096, usize::MAX];

#[derive(Clone, Debug)]
pub(super) enum Edit {
    Insert(usize, u64, usize),
    Delete(usize, usize),
    Replace(usize, u64, usize),
    Move(usize, usize, usize),
    Repeat(usize, usize),
    Zeros(usize, usize),
}

/// Applies an edit. Its positions are taken modulo the content's length, and its lengths are cut at the
/// content's end.
fn apply(content: &mut Vec<u8>, edit: &Edit) {
    let total = content.len();
    let place = |at: usize, len: usize| {
        let at = at % (total + 1);
        at..total.min(at + len)
    };
    match *edit {
        Edit::Insert(at, seed, len) => drop(content.splice(place(at, 0), noise(seed, len))),
        Edit::Delete(at, len) => drop(content.drain(place(at, len))),
        Edit::Replace(at, seed, len) => {
            let place = place(at, len);
            let new = noise(seed, place.len());
            content[place].copy_from_slice(&new);
        }
        Edit::Move(from, to, len) => {
            let moved: Vec<u8> = content.drain(place(from, len)).collect();
            let to = to % (content.len() + 1);
            content.splice(to..to, moved);
        }
        Edit::Repeat(at, len) => {
            let place = place(at, len);
            let again = content[place.clone()].to_vec();
            content.splice(place.end..place.end, again);
        }
        Edit::Zeros(at, len) => content[place(at, len)].fill(0),
    }
}

pub(super) fn edited(basis: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut content = basis.to_vec();
    edits.iter().for_each(|edit| apply(&mut content, edit));
    content
}

pub(super) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let (at, len, seed) = (any::<usize>(), 0..4000usize, any::<u64>());
    let edit = prop_oneof![
        (at, seed, len.clone()).prop_map(|(at, seed, len)| Edit::Insert(at, seed, len)),
        (at, len.clone()).prop_map(|(at, len)| Edit::Delete(at, len)),
        (at, seed, len.clone()).prop_map(|(at, seed, len)| Edit::Replace(at, seed, len)),
        (at, at, len.clone()).prop_map(|(from, to, len)| Edit::Move(from, to, len)),
        (at, len.clone()).prop_map(|(at, len)| Edit::Repeat(at, len)),
        (at, len).prop_map(|(at, len)| Edit::Zeros(at, len)),
    ];
    proptest::collection::vec(edit, 0..6)
}

/// A content of zeros, of only two different bytes, of noise followed by zeros, or of noise.
pub(super) fn content() -> impl Strategy<Value = Vec<u8>> {
    (any::<u64>(), 0..30_000usize, 0..4u8).prop_map(|(seed, len, texture)| {
        let mut bytes = noise(seed, len);
        match texture {
            0 => bytes.fill(0),
            1 => bytes.iter_mut().for_each(|byte| *byte = b'a' + *byte % 2),
            2 => bytes[len / 3..].fill(0),
            _ => {}
        }
        bytes
    })
}

/// Block lengths of all sizes. The strong length is at least 4: shorter sums are too weak for contents of two
/// different bytes.
pub(super) fn params() -> impl Strategy<Value = Params> {
    let block_len = prop_oneof![1..40u32, 40..700u32, 700..=8192u32];
    (block_len, 4..=32u32).prop_map(|(block_len, strong_len)| Params { block_len, strong_len })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn a_patched_basis_is_the_new_content(basis in content(), edits in edits(), params in params()) {
        let new = edited(&basis, &edits);
        let signature = Signature::parse(&sign(&basis, params)).unwrap();
        let made = delta(&signature, basis.len() as u64, &new, usize::MAX);
        prop_assert!(patched(&basis, &made, new.len()).unwrap() == new);
    }

    #[test]
    fn the_sizes_of_pushes_change_no_byte(basis in content(), edits in edits(), params in params()) {
        let new = edited(&basis, &edits);
        let sums = sign(&new, params);
        let signature = Signature::parse(&sign(&basis, params)).unwrap();
        let whole = delta(&signature, basis.len() as u64, &new, usize::MAX);
        for push in PUSHES {
            prop_assert!(delta(&signature, basis.len() as u64, &new, push) == whole, "push {}", push);
            let mut signer = Signer::new(params, Vec::new()).unwrap();
            new.chunks(push).for_each(|piece| signer.update(piece).unwrap());
            prop_assert!(signer.finish().unwrap() == sums, "push {}", push);
        }
    }

    #[test]
    fn the_signature_made_beside_a_delta_is_the_new_contents(
        basis in content(), edits in edits(), params in params(), other in params(), same in any::<bool>(),
        push in 0..PUSHES.len(),
    ) {
        let new = edited(&basis, &edits);
        let new_params = Params { block_len: if same { params.block_len } else { other.block_len }, ..other };
        let (signature, basis_len) = (Signature::parse(&sign(&basis, params)).unwrap(), basis.len() as u64);
        let (out, sig) = (Vec::new(), Vec::new());
        let mut writer = DeltaWriter::with_signature(&signature, basis_len, new_params, out, sig).unwrap();
        new.chunks(PUSHES[push]).for_each(|piece| writer.update(piece).unwrap());
        let (made, sums) = writer.finish_both().unwrap();
        prop_assert!(sums.unwrap() == sign(&new, new_params));
        prop_assert!(made == delta(&signature, basis_len, &new, usize::MAX));
    }

    #[test]
    fn deltas_of_chunks_are_together_one_of_the_whole(
        basis in content(), edits in edits(), params in params(), chunk in 1..5000usize,
    ) {
        let new = edited(&basis, &edits);
        let signature = Signature::parse(&sign(&basis, params)).unwrap();
        let (basis_len, margin) = (basis.len() as u64, params.block_len as usize);
        let mut joiner = DeltaJoiner::new(basis_len, Vec::new());
        let mut cuts = 0;
        for start in (0..new.len()).step_by(chunk) {
            let (end, read) = ((start + chunk).min(new.len()), (start + chunk + margin).min(new.len()));
            let made = delta(&signature, basis_len, &new[start..read], usize::MAX);
            joiner.add(&made, (end - start) as u64, (read - end) as u64).unwrap();
            cuts += 1;
        }
        let made = joiner.finish().unwrap();
        prop_assert!(patched(&basis, &made, new.len()).unwrap() == new);
        // If the basis has equal blocks, the delta of a chunk may copy a different block than the delta of the whole
        // content. This costs commands, but no literals.
        let whole = delta(&signature, basis_len, &new, usize::MAX).len();
        let most = whole + cuts * (margin + 24) + new.len() / margin * 24;
        prop_assert!(made.len() <= most, "{} bytes, at once {}", made.len(), whole);
    }

    #[test]
    fn the_length_of_a_signature_is_foretold(content in content(), params in params()) {
        prop_assert_eq!(sign(&content, params).len() as u64, params.signature_len(content.len() as u64));
    }
}

fn delta_len(basis: &[u8], new: &[u8]) -> usize {
    let params = Params { block_len: 2048, strong_len: 16 };
    let signature = Signature::parse(&sign(basis, params)).unwrap();
    let made = delta(&signature, basis.len() as u64, new, 1 << 16);
    assert!(patched(basis, &made, new.len()).unwrap() == new);
    made.len()
}

#[test]
fn an_unchanged_content_is_one_copy() {
    let basis = noise(1, 1_000_001);
    assert_eq!(delta_len(&basis, &basis), 4 + 1 + 1 + 4 + 1);
    // If all blocks are equal, the C engine copies the first block again and again.
    if cfg!(not(feature = "librsync")) {
        assert_eq!(delta_len(&[0; 300_000], &[0; 300_000]), 4 + 1 + 1 + 4 + 1);
    }
    assert_eq!(delta_len(&[], &[]), 5);
}

#[test]
fn an_edit_costs_little_more_than_the_blocks_it_touches() {
    let basis = noise(1, 1 << 20);
    let mut inserted = basis.clone();
    inserted.splice(500_000..500_000, *b"inserted");
    assert!(delta_len(&basis, &inserted) < 2048 + 8 + 40);
    let mut deleted = basis.clone();
    deleted.drain(100..104);
    assert!(delta_len(&basis, &deleted) < 2048 + 40);
    let swapped = [&basis[300_000..], &basis[..300_000]].concat();
    assert!(delta_len(&basis, &swapped) < 2 * 2048 + 40);
}

#[cfg(not(feature = "librsync"))]
#[test]
fn after_an_insertion_equal_blocks_go_on_as_in_the_basis() {
    // Every second block is the same. Copies merge only if the search first tries the block that follows in
    // the basis.
    let mut basis = noise(1, 100 * 2048);
    basis.chunks_mut(2048).step_by(2).for_each(|block| block.fill(7));
    let inserted = [&noise(2, 50)[..], &basis].concat();
    assert!(delta_len(&basis, &inserted) < 50 + 40);
}

#[cfg(not(feature = "librsync"))]
#[test]
fn a_block_kept_in_place_is_hashed_once_for_delta_and_signature() {
    let params = Params { block_len: 2048, strong_len: 16 };
    let basis = noise(1, 1 << 20);
    let mut new = basis.clone();
    new[700_000] ^= 1;
    let signature = Signature::parse(&sign(&basis, params)).unwrap();
    let (out, sig) = (Vec::new(), Vec::new());
    let mut writer = DeltaWriter::with_signature(&signature, 1 << 20, params, out, sig).unwrap();
    new.chunks(100_000).for_each(|piece| writer.update(piece).unwrap());
    assert_eq!(writer.effort().hashed, 0);
}
