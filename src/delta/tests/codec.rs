//! Tests of the encoding of commands.

use crate::delta::encode::Encoder;
use crate::delta::{Command, Commands};

fn commands(delta: &[u8]) -> Vec<Command> {
    let mut reader = Commands::new(delta, u64::MAX, u64::MAX).unwrap();
    std::iter::from_fn(|| reader.next().unwrap()).collect()
}

#[test]
fn integers_take_the_fewest_bytes_that_hold_them() {
    let values = [0u64, 1, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, 1 << 60];
    for offset in values {
        for len in values.into_iter().filter(|&len| len > 0) {
            let mut encoder = Encoder::new(Vec::new());
            encoder.copy(offset, len).unwrap();
            let delta = encoder.finish().unwrap();
            assert_eq!(commands(&delta), [Command::Copy { offset, len }]);
            let bytes =
                |value: u64| [1, 2, 4, 8].into_iter().find(|&n| n == 8 || value >> (8 * n) == 0).unwrap();
            assert_eq!(delta.len(), 4 + 1 + bytes(offset) + bytes(len) + 1);
        }
    }
}

#[test]
fn literals_of_every_encoding_come_back() {
    for len in [1, 2, 63, 64, 65, 255, 256, 65_534, 65_535, 65_536, 200_000] {
        let bytes = super::noise(len as u64, len);
        let mut encoder = Encoder::new(Vec::new());
        encoder.copy(7, 3).unwrap();
        encoder.literal(&bytes).unwrap();
        encoder.copy(10, 3).unwrap();
        let told = encoder.bytes_out();
        let delta = encoder.finish().unwrap();
        assert_eq!(told + 3 + 1, delta.len() as u64);
        let overhead = match len {
            0..=64 => 1,
            65..=255 => 2,
            _ => 3 * len.div_ceil(65_535),
        };
        assert!(delta.len() <= 4 + 3 + overhead + len + 3 + 1);
        let mut reader = Commands::new(&delta[..], 13, 6 + len as u64).unwrap();
        let mut literal = Vec::new();
        while let Some(command) = reader.next().unwrap() {
            if let Command::Literal { at, len } = command {
                let from = literal.len();
                reader.write_literal(&mut literal).unwrap();
                assert_eq!(literal.len() - from, len as usize);
                assert!(literal[from..] == delta[at as usize..][..len as usize]);
            }
        }
        assert!(literal == bytes);
    }
}

#[test]
fn contiguous_copies_are_one() {
    let mut encoder = Encoder::new(Vec::new());
    for (offset, len) in [(0, 5), (5, 5), (11, 1), (12, 4), (0, 2)] {
        encoder.copy(offset, len).unwrap();
    }
    let copy = |offset, len| Command::Copy { offset, len };
    assert_eq!(commands(&encoder.finish().unwrap()), [copy(0, 10), copy(11, 5), copy(0, 2)]);
}
