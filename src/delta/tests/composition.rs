//! Tests of plans: a plan of many deltas gives the same content as the deltas applied one after the other.

use proptest::prelude::*;

use super::edits::{content, edited, edits, params};
use super::{delta, patched, sign};
use crate::delta::{Error, Params, Piece, Plan, Signature};

/// The bytes of `pieces`. `sources` are the first content and the deltas.
fn read<'a>(pieces: impl IntoIterator<Item = &'a Piece>, sources: &[Vec<u8>]) -> Vec<u8> {
    let bytes = |piece: &Piece| {
        sources[piece.source as usize][piece.offset as usize..][..piece.len as usize].to_vec()
    };
    pieces.into_iter().flat_map(bytes).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn composed_deltas_make_what_patching_one_by_one_does(
        basis in content(), rounds in proptest::collection::vec(edits(), 1..=10), params in params(),
        ranges in proptest::collection::vec((any::<u16>(), any::<u16>()), 5),
    ) {
        let mut plan = Plan::whole(basis.len() as u64);
        let mut sources = vec![basis.clone()];
        let mut now = basis;
        for edits in rounds {
            let next = edited(&now, &edits);
            let signature = Signature::parse(&sign(&now, params)).unwrap();
            let made = delta(&signature, now.len() as u64, &next, 4096);
            prop_assert!(patched(&now, &made, next.len()).unwrap() == next);
            plan = plan.apply(sources.len() as u32, &made[..], next.len() as u64, 1 << 20).unwrap();
            sources.push(made);
            now = next;
            prop_assert!(read(plan.pieces(), &sources) == now);
        }
        for pair in plan.pieces().windows(2) {
            prop_assert!(pair[0].source != pair[1].source || pair[0].offset + pair[0].len != pair[1].offset);
        }
        for (offset, len) in ranges.iter().map(|&(offset, len)| (usize::from(offset), usize::from(len))) {
            let pieces: Vec<Piece> = plan.range(offset as u64, len as u64).collect();
            let start = offset.min(now.len());
            prop_assert!(read(&pieces, &sources) == now[start..now.len().min(start + len)]);
            let found = plan.find(offset as u64).map(|(index, within)| {
                let piece = plan.pieces()[index];
                sources[piece.source as usize][(piece.offset + within) as usize]
            });
            prop_assert_eq!(found, now.get(offset).copied());
        }
    }
}

#[test]
fn a_plan_of_too_many_pieces_is_refused() {
    let basis = super::noise(1, 10_000);
    let swapped: Vec<u8> = basis.chunks(100).rev().flatten().copied().collect();
    let signature = Signature::parse(&sign(&basis, Params { block_len: 100, strong_len: 16 })).unwrap();
    let made = delta(&signature, 10_000, &swapped, 4096);
    let plan = Plan::whole(10_000);
    assert_eq!(plan.apply(1, &made[..], 10_000, 100).unwrap().pieces().len(), 100);
    let refused = plan.apply(1, &made[..], 10_000, 99);
    assert!(matches!(refused, Err(Error::TooManyPieces { cap: 99 })), "{refused:?}");
}

#[test]
fn an_empty_content_has_no_pieces() {
    let plan = Plan::whole(0);
    assert!(plan.pieces().is_empty() && plan.find(0).is_none() && plan.range(0, 9).next().is_none());
    let grown = plan.apply(1, &b"rs\x026\x03abc\x00"[..], 3, 1).unwrap();
    assert_eq!(grown.pieces(), [Piece { len: 3, source: 1, offset: 5 }]);
}
