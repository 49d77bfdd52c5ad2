//! Random changes of bytes, for tests of readers: a reader must accept or refuse any input, and never panic.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One change. An [`Index`] picks the place in the bytes.
#[derive(Clone, Debug)]
pub enum Change {
    Set(Index, u8),
    Flip(Index, u32),
    /// Writes a 32-bit number, the second value, near the end, where archives store lengths and counts. The first value
    /// is the number of bytes that follow.
    Number(usize, u32),
    Cut(Index),
    CutStart(Index),
    Remove(Index, usize),
    Repeat(Index, usize),
    Append(Vec<u8>),
}

/// Numbers near limits, where a reader may overflow.
pub fn odd_numbers() -> impl Strategy<Value = u64> {
    let ends =
        [0, 1, 2, 7, 8, 9, 255, 256, 65_535, 65_536, 1 << 26, (1 << 26) + 1, 1 << 27, 1 << 31, u64::MAX];
    let near = (select(ends.to_vec()), -2..3i64).prop_map(|(end, by)| end.wrapping_add_signed(by));
    prop_oneof![3 => near, 1 => any::<u64>(), 2 => 0..300u64, 1 => (0..64u32).prop_map(|bit| 1 << bit)]
}

/// Up to three changes.
pub fn changes() -> impl Strategy<Value = Vec<Change>> {
    let place = any::<Index>;
    let change = prop_oneof![
        3 => (place(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        3 => (place(), 0..8u32).prop_map(|(at, bit)| Change::Flip(at, bit)),
        4 => (0..80usize, odd_numbers()).prop_map(|(back, number)| Change::Number(back, number as u32)),
        1 => place().prop_map(Change::Cut),
        1 => place().prop_map(Change::CutStart),
        1 => (place(), 1..40usize).prop_map(|(at, len)| Change::Remove(at, len)),
        1 => (place(), 1..40usize).prop_map(|(at, len)| Change::Repeat(at, len)),
        1 => vec(any::<u8>(), 1..20).prop_map(Change::Append),
    ];
    vec(change, 0..4)
}

/// Makes the changes one after the other.
pub fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let len = bytes.len();
        match change {
            Change::Append(more) => bytes.extend_from_slice(more),
            _ if len == 0 => {}
            Change::Set(at, byte) => bytes[at.index(len)] = *byte,
            Change::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Change::Number(back, number) => {
                let at = len.saturating_sub(back + 4);
                let end = len.min(at + 4);
                bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
            }
            Change::Cut(at) => bytes.truncate(at.index(len)),
            Change::CutStart(at) => drop(bytes.drain(..at.index(len))),
            Change::Remove(at, count) => {
                let at = at.index(len);
                bytes.drain(at..len.min(at + count));
            }
            Change::Repeat(at, count) => {
                let at = at.index(len);
                let part = bytes[at..len.min(at + count)].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}
