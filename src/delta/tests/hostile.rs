//! Tests with forged signatures and deltas.

use std::io::{self, Cursor, Read};

use proptest::prelude::*;

use super::{delta, noise, patched, sign};
use crate::delta::{DeltaJoiner, DeltaWriter, Error, Params, Plan, Result, Signature, Signer, patch};

const PARAMS: Params = Params { block_len: 1000, strong_len: 8 };

fn refused<T>(result: Result<T>) -> Error {
    result.err().expect("an error")
}

fn header(magic: u32, block_len: u32, strong_len: u32) -> Vec<u8> {
    [magic, block_len, strong_len].iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Applies a delta of the magic and `commands` to a basis of 100 bytes. The output may have 200 bytes.
fn apply(commands: &[u8]) -> Result<Vec<u8>> {
    let basis = noise(1, 100);
    let delta = [&b"rs\x026"[..], commands].concat();
    let mut out = Vec::new();
    patch(&mut Cursor::new(basis), &mut &delta[..], 100, &mut out, 200)?;
    Ok(out)
}

#[test]
fn a_chunk_is_made_to_its_end_or_refused() {
    let signature = Signature::parse(&sign(&noise(1, 5500), PARAMS)).unwrap();
    let made = delta(&signature, 5500, &noise(1, 3000), usize::MAX);
    let add = |len, margin| DeltaJoiner::new(5500, io::sink()).add(&made, len, margin);
    add(2000, 1000).unwrap();
    assert!(matches!(add(2001, 1000), Err(Error::OutputTooShort { made: 3000, declared: 3001 })));
    assert!(matches!(add(2000, 999), Err(Error::OutputTooLong { limit: 2999 })));
}

#[test]
fn signatures_with_impossible_headers_are_refused() {
    let parse = |bytes: &[u8]| refused(Signature::parse(bytes));
    let magic = 0x7273_0147;
    assert!(matches!(parse(&header(0x7273_0136, 9, 9)), Error::Md4Signature(0x7273_0136)));
    assert!(matches!(parse(&header(0x7273_0146, 9, 9)), Error::Md4Signature(0x7273_0146)));
    assert!(matches!(parse(&header(0x7273_0236, 9, 9)), Error::NotASignature(0x7273_0236)));
    assert!(matches!(parse(&header(magic, 0, 9)), Error::BlockLen(0)));
    assert!(matches!(parse(&header(magic, 1 << 31, 9)), Error::BlockLen(0x8000_0000)));
    assert!(matches!(parse(&header(magic, 9, 0)), Error::StrongLen(0)));
    assert!(matches!(parse(&header(magic, 9, 33)), Error::StrongLen(33)));
    assert!(matches!(parse(&header(magic, 9, u32::MAX)), Error::StrongLen(u32::MAX)));
}

#[test]
fn a_signature_cut_anywhere_is_refused_or_has_fewer_blocks() {
    let whole = sign(&noise(1, 5500), PARAMS);
    for cut in 0..whole.len() {
        match Signature::parse(&whole[..cut]) {
            Err(Error::SignatureHeader(len)) => assert!(cut < 12 && len == cut as u64),
            Err(Error::SignatureTail(len)) => assert_eq!(len, (cut as u64 - 12) % 12),
            Err(other) => panic!("{other}"),
            Ok(shorter) => {
                assert_eq!((cut - 12) % 12, 0);
                let writer = DeltaWriter::new(&shorter, 5500, io::sink());
                assert!(matches!(refused(writer), Error::BlockCount { basis_len: 5500, .. }));
            }
        }
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(matches!(refused(Signature::parse(&longer)), Error::SignatureTail(1)));
}

#[test]
fn impossible_params_are_refused() {
    for (block_len, strong_len) in [(0, 16), (1 << 31, 16), (2048, 0), (2048, 33)] {
        let error = Signer::new(Params { block_len, strong_len }, io::sink()).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn each_lie_of_a_delta_has_its_error() {
    assert!(matches!(refused(apply(&[0x55])), Error::UnknownCommand { opcode: 0x55, at: 4 }));
    assert!(matches!(refused(apply(&[1, 9, 0xff])), Error::UnknownCommand { opcode: 0xff, at: 6 }));
    assert!(matches!(refused(apply(&[0x41, 0, 0])), Error::ZeroLength { at: 4 }));
    assert!(matches!(refused(apply(&[0x45, 0, 0, 0])), Error::ZeroLength { at: 4 }));
    assert!(matches!(refused(apply(&[0x45, 1, 100, 0])), Error::BeyondBasis { offset: 1, len: 100, .. }));
    assert!(matches!(refused(apply(&[0x45, 101, 1, 0])), Error::BeyondBasis { offset: 101, len: 1, .. }));
    assert!(matches!(refused(apply(&[0x45, 0, 50])), Error::Truncated { at: 7 }));
    assert!(matches!(refused(apply(&[0x41, 9, 1, 2])), Error::Truncated { at: 8 }));
    assert!(matches!(refused(apply(&[0, 0])), Error::AfterEnd { at: 5 }));
    assert!(matches!(refused(apply(&[0x45, 0, 50, 0])), Error::OutputTooShort { made: 50, declared: 200 }));
    let copies = [[0x45, 0, 100]; 3].concat();
    assert!(matches!(refused(apply(&copies)), Error::OutputTooLong { limit: 200 }));
    let far = [&[0x54][..], &(u64::MAX - 1).to_be_bytes(), &(1u64 << 62).to_be_bytes()].concat();
    assert!(matches!(refused(apply(&far)), Error::BeyondBasis { len: 0x4000_0000_0000_0000, .. }));
    let long = [&[0x44][..], &u64::MAX.to_be_bytes(), b"abc"].concat();
    assert!(matches!(refused(apply(&long)), Error::OutputTooLong { limit: 200 }));
    assert!(matches!(refused(patched(b"", b"rs\x01G\0", 0)), Error::NotADelta(0x7273_0147)));
}

#[test]
fn a_length_that_overflows_what_was_made_is_refused() {
    let delta = [&b"rs\x026\x01a\x54"[..], &[0; 8], &u64::MAX.to_be_bytes(), b"\0"].concat();
    let plan = Plan::whole(u64::MAX);
    assert!(matches!(refused(plan.apply(1, &delta[..], u64::MAX, 9)), Error::OutputTooLong { .. }));
}

#[test]
fn a_delta_cut_anywhere_is_truncated() {
    let (basis, new) = (noise(1, 9000), [noise(2, 300), noise(1, 9000), noise(3, 70)].concat());
    let signature = Signature::parse(&sign(&basis, PARAMS)).unwrap();
    let made = delta(&signature, 9000, &new, 4096);
    for cut in 0..made.len() {
        let error = refused(patched(&basis, &made[..cut], new.len()));
        assert!(matches!(error, Error::Truncated { at } if at == cut as u64), "{cut}: {error}");
        let error = refused(Plan::whole(9000).apply(1, &made[..cut], new.len() as u64, 99));
        assert!(matches!(error, Error::Truncated { at } if at == cut as u64), "{cut}: {error}");
    }
    for wrong in [new.len() - 1, new.len() + 1] {
        let error = refused(patched(&basis, &made, wrong));
        assert!(matches!(error, Error::OutputTooLong { .. } | Error::OutputTooShort { .. }), "{error}");
    }
}

#[test]
fn a_basis_shorter_than_declared_is_told() {
    let mut out = Vec::new();
    let result = patch(&mut Cursor::new([0; 50]), &mut &b"rs\x026\x45\0\x64\0"[..], 100, &mut out, 100);
    assert!(matches!(refused(result), Error::BasisTooShort { at: 0 }));
}

#[test]
fn failing_and_interrupted_readers_are_told_from_short_ones() {
    struct Failing(Vec<io::ErrorKind>);
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.0.pop().map_or(Ok(0), |kind| Err(kind.into()))
        }
    }
    let read = |kinds: &[io::ErrorKind]| {
        let delta = (&b"rs\x026\x05ab"[..]).chain(Failing(kinds.to_vec()));
        refused(Plan::whole(0).apply(1, delta, 9, 9))
    };
    assert!(matches!(read(&[io::ErrorKind::UnexpectedEof]), Error::Io(_)));
    assert!(matches!(read(&[io::ErrorKind::Interrupted]), Error::Truncated { at: 7 }));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn no_bytes_make_a_reader_panic(
        commands in proptest::collection::vec(prop_oneof![any::<u8>(), 0x40..0x58u8, 0..3u8], 0..60), cap in 0..5usize,
    ) {
        let delta = [&b"rs\x026"[..], &commands[..]].concat();
        if let Ok(out) = apply(&commands) {
            prop_assert_eq!(out.len(), 200);
        }
        if let Ok(plan) = Plan::whole(100).apply(1, &delta[..], 200, cap) {
            prop_assert!(plan.pieces().len() <= cap && plan.content_len() <= 200);
        }
    }

    #[test]
    fn a_signature_with_flipped_bytes_makes_a_delta_or_an_error(
        at in 0..300usize, mask in 1..=255u8, new in proptest::collection::vec(0..3u8, 0..6000),
    ) {
        let basis = vec![1; 5500];
        let mut sums = sign(&basis, Params { block_len: 500, strong_len: 8 });
        let at = 4 + at % (sums.len() - 4);
        sums[at] ^= mask;
        if let Ok(signature) = Signature::parse(&sums)
            && let Ok(mut writer) = DeltaWriter::new(&signature, 5500, Vec::new()) {
                writer.update(&new).unwrap();
                let made = writer.finish().unwrap();
                prop_assert_eq!(patched(&basis, &made, new.len()).unwrap().len(), new.len());
            }
    }
}
