//! The commands of many deltas, for chains whose composed plan does not fit in memory. A chain traces each byte of the
//! content to its place in the whole copy or in a delta. No version between the first and the last is ever made.
//!
//! The commands of all deltas lie in one temporary file, [`RECORD`] bytes each. The file has at most 8 times
//! the bytes of the deltas, and the length of the deltas is limited (see
//! [`StateArchives::check_deltas`](super::archives::StateArchives::check_deltas)).

use std::io::{Read, Write};

use crate::delta::{self, Command, Commands, Piece};
use crate::error::{Error, Result};
use crate::spool::Spool;

/// Bytes of a stored command: its start in the version that its delta makes, then the place of its bytes.
const RECORD: usize = 16;
/// Number of commands in a block. A block is read at once, and memory holds one number for each block.
const BLOCK: usize = 256;
/// This bit in the second number of a command marks a literal, whose bytes lie in the delta. Without this bit, the
/// command is a copy, whose bytes lie in the version before.
const LITERAL: u64 = 1 << 63;

/// The place of each byte of a content.
pub(super) struct Chain {
    deltas: Vec<DeltaCommands>,
    commands: Spool,
    /// Length of the content, in bytes.
    len: u64,
}

/// The commands of one delta.
struct DeltaCommands {
    /// Length of the version that the delta makes, in bytes.
    made: u64,
    /// Offset of the first command in the temporary file, and number of commands.
    offset: u64,
    count: u64,
    /// For each block, the start of its first command in the version that the delta makes.
    starts: Vec<u64>,
    /// The block that was read last, and its number.
    block: Vec<CommandRecord>,
    number: usize,
}

#[derive(Clone, Copy, Debug)]
struct CommandRecord {
    start: u64,
    source: u64,
}

/// Collects the commands of the deltas, oldest delta first.
pub(super) struct ChainBuilder {
    deltas: Vec<DeltaCommands>,
    commands: Spool,
    len: u64,
}

impl ChainBuilder {
    /// Begins a chain for deltas over a whole copy of `len` bytes.
    pub fn new(len: u64) -> Result<Self> {
        Ok(ChainBuilder { deltas: Vec::new(), commands: Spool::in_file()?, len })
    }

    /// Adds the next delta.
    pub fn add(&mut self, delta: impl Read) -> delta::Result<()> {
        let mut commands = Commands::new(delta, self.len.min(LITERAL - 1), LITERAL - 1)?;
        let mut made = DeltaCommands {
            made: 0,
            offset: self.commands.end(),
            count: 0,
            starts: Vec::new(),
            block: Vec::new(),
            number: 0,
        };
        // Source and length of the last command. A command that continues the last one is joined with it.
        let mut last: Option<(u64, u64)> = None;
        while let Some(command) = commands.next()? {
            let (source, len) = match command {
                Command::Literal { at, len } => (at | LITERAL, len),
                Command::Copy { offset, len } => (offset, len),
            };
            last = match last {
                Some((from, before)) if from + before == source => Some((from, before + len)),
                _ => {
                    self.push(&mut made, source)?;
                    Some((source, len))
                }
            };
            made.made = commands.made();
        }
        self.len = made.made;
        self.deltas.push(made);
        Ok(())
    }

    fn push(&mut self, made: &mut DeltaCommands, source: u64) -> std::io::Result<()> {
        if made.count.is_multiple_of(BLOCK as u64) {
            made.starts.push(made.made);
        }
        made.count += 1;
        self.commands.write_all(&made.made.to_le_bytes())?;
        self.commands.write_all(&source.to_le_bytes())
    }

    pub fn finish(self) -> Chain {
        Chain { deltas: self.deltas, commands: self.commands, len: self.len }
    }
}

impl Chain {
    /// Length of the content, in bytes.
    pub fn content_len(&self) -> u64 {
        self.len
    }

    /// Length of the temporary file, in bytes.
    #[cfg(test)]
    pub fn stored_len(&self) -> u64 {
        self.commands.end()
    }

    /// Traces the content from `offset` to `end`, in at most `pieces_max` pieces. Clears `pieces` and puts the pieces
    /// into it. Returns the content's offset at which the pieces end.
    pub fn trace(
        &mut self,
        offset: u64,
        end: u64,
        pieces_max: usize,
        pieces: &mut Vec<Piece>,
    ) -> Result<u64> {
        pieces.clear();
        let end = end.min(self.len);
        let mut tracing =
            Tracing { commands: &self.commands, pieces_max: pieces_max.max(1), pieces, traced: 0 };
        tracing.trace(&mut self.deltas, offset, end.saturating_sub(offset))?;
        Ok(offset + tracing.traced)
    }
}

struct Tracing<'c> {
    commands: &'c Spool,
    pieces_max: usize,
    pieces: &'c mut Vec<Piece>,
    /// Bytes of all pieces.
    traced: u64,
}

impl Tracing<'_> {
    /// Traces a part of the version that the last of `deltas` makes, or of the whole copy if there is no delta. False
    /// if there was no room for all pieces.
    fn trace(&mut self, deltas: &mut [DeltaCommands], offset: u64, len: u64) -> Result<bool> {
        let source = deltas.len() as u32;
        let Some((last, before)) = deltas.split_last_mut() else {
            return Ok(self.push(Piece { len, source, offset }));
        };
        let (mut at, end) = (offset, offset + len);
        while at < end {
            let (command, stop) = last.find(self.commands, at)?;
            let len = stop.min(end) - at;
            let from = (command.source & !LITERAL) + (at - command.start);
            let goes_on = match command.source & LITERAL {
                0 => self.trace(before, from, len)?,
                _ => self.push(Piece { len, source, offset: from }),
            };
            if !goes_on {
                return Ok(false);
            }
            at += len;
        }
        Ok(true)
    }

    fn push(&mut self, piece: Piece) -> bool {
        let full = self.pieces.len() >= self.pieces_max;
        match self.pieces.last_mut() {
            Some(last) if last.source == piece.source && last.offset + last.len == piece.offset => {
                last.len += piece.len;
            }
            _ if full => return false,
            _ => self.pieces.push(piece),
        }
        self.traced += piece.len;
        true
    }
}

impl DeltaCommands {
    /// The command that makes the byte at `at`, and the offset at which the command's bytes end.
    fn find(&mut self, commands: &Spool, at: u64) -> Result<(CommandRecord, u64)> {
        let number = self.starts.partition_point(|&start| start <= at).saturating_sub(1);
        if self.block.is_empty() || self.number != number {
            self.read_block(commands, number)?;
        }
        let next = self.block.partition_point(|record| record.start <= at);
        let after = self.starts.get(number + 1).copied().unwrap_or(self.made);
        let stop = self.block.get(next).map_or(after, |record| record.start);
        match next.checked_sub(1).and_then(|index| self.block.get(index)) {
            Some(command) if stop > at => Ok((*command, stop)),
            _ => Err(Error::new(crate::error::Kind::Panic, "trace a content", "beyond its end")),
        }
    }

    fn read_block(&mut self, commands: &Spool, number: usize) -> Result<()> {
        let first = number as u64 * BLOCK as u64;
        let count = (self.count - first.min(self.count)).min(BLOCK as u64) as usize;
        let mut bytes = [0; BLOCK * RECORD];
        let bytes = &mut bytes[..count * RECORD];
        commands.read_exact_at(self.offset + first * RECORD as u64, bytes)?;
        let int = |bytes: &[u8]| bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
        let record = |bytes: &[u8]| CommandRecord { start: int(&bytes[..8]), source: int(&bytes[8..]) };
        self.block.clear();
        self.block.extend(bytes.chunks_exact(RECORD).map(record));
        self.number = number;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A command of a delta: a literal of this number of bytes, or a copy of `.1` bytes from offset `.0`.
    #[derive(Clone, Copy, Debug)]
    enum Spelled {
        Literal(u16),
        Copy(u64, u64),
    }

    fn spell(commands: &[Spelled]) -> Vec<u8> {
        let mut delta = b"rs\x026".to_vec();
        for command in commands {
            match command {
                Spelled::Literal(len) => {
                    delta.push(0x42);
                    delta.extend_from_slice(&len.to_be_bytes());
                    delta.resize(delta.len() + usize::from(*len), 7);
                }
                Spelled::Copy(offset, len) => {
                    delta.push(0x54);
                    delta.extend_from_slice(&offset.to_be_bytes());
                    delta.extend_from_slice(&len.to_be_bytes());
                }
            }
        }
        delta.push(0);
        delta
    }

    /// The place of a byte: the number of its source, and the offset there.
    type BytePlace = (u32, u64);

    /// Makes commands out of random numbers, for the basis `before`. Returns their delta and the version that it makes.
    fn edited(before: &[BytePlace], source: u32, numbers: &[(bool, u16, u16)]) -> (Vec<u8>, Vec<BytePlace>) {
        let (mut commands, mut made, mut at) = (Vec::new(), Vec::new(), 4);
        for &(is_literal, a, b) in numbers {
            if is_literal || before.is_empty() {
                let len = 1 + a % 9;
                commands.push(Spelled::Literal(len));
                made.extend((0..u64::from(len)).map(|n| (source, at + 3 + n)));
                at += 3 + u64::from(len);
            } else {
                let offset = usize::from(a) % before.len();
                let len = (1 + usize::from(b) % 20).min(before.len() - offset);
                commands.push(Spelled::Copy(offset as u64, len as u64));
                made.extend_from_slice(&before[offset..offset + len]);
                at += 17;
            }
        }
        (spell(&commands), made)
    }

    fn chain_of(len: u64, deltas: &[Vec<u8>]) -> Chain {
        let mut builder = ChainBuilder::new(len).unwrap();
        deltas.iter().for_each(|delta| builder.add(&delta[..]).unwrap());
        builder.finish()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        #[test]
        fn every_byte_is_traced_to_where_it_lies_in_no_more_pieces_than_allowed(
            len in 1..300u64, rounds in vec(vec(any::<(bool, u16, u16)>(), 1..700), 1..4),
            pieces_max in 1..20usize, parts in vec((any::<u16>(), any::<u16>()), 5),
        ) {
            let mut expected: Vec<BytePlace> = (0..len).map(|offset| (0, offset)).collect();
            let mut deltas = Vec::new();
            for (number, round) in rounds.iter().enumerate() {
                let (delta, made) = edited(&expected, number as u32 + 1, round);
                deltas.push(delta);
                expected = made;
            }
            let mut chain = chain_of(len, &deltas);
            prop_assert_eq!(chain.content_len(), expected.len() as u64);
            for (offset, len) in parts {
                let (mut at, mut pieces) = (u64::from(offset) % chain.content_len(), Vec::new());
                let end = (at + u64::from(len)).min(chain.content_len());
                while at < end {
                    let stop = chain.trace(at, end, pieces_max, &mut pieces).unwrap();
                    let bytes = |piece: &Piece| {
                        let (source, offset) = (piece.source, piece.offset);
                        (0..piece.len).map(move |n| (source, offset + n))
                    };
                    let traced: Vec<_> = pieces.iter().flat_map(bytes).collect();
                    prop_assert_eq!(&traced[..], &expected[at as usize..stop as usize]);
                    prop_assert!(pieces.len() <= pieces_max && (stop == end || pieces.len() == pieces_max));
                    let is_one = |pair: &[Piece]| {
                        pair[0].source == pair[1].source && pair[0].offset + pair[0].len == pair[1].offset
                    };
                    prop_assert!(!pieces.windows(2).any(is_one), "neighbours that are one piece");
                    at = stop;
                }
            }
        }
    }

    #[test]
    fn neighbouring_copies_are_one_command() {
        let copies: Vec<_> = (0..1000).map(|offset| Spelled::Copy(offset, 1)).collect();
        assert_eq!(chain_of(1000, &[spell(&copies)]).stored_len(), RECORD as u64);
    }

    #[test]
    fn a_delta_that_reaches_too_far_is_refused() {
        use delta::Error::{BeyondBasis, OutputTooLong};
        let add = |builder: &mut ChainBuilder, commands: &[Spelled]| builder.add(&spell(commands)[..]);
        let mut builder = ChainBuilder::new(100).unwrap();
        assert!(matches!(
            add(&mut builder, &[Spelled::Copy(99, 2)]),
            Err(BeyondBasis { basis_len: 100, .. })
        ));
        let mut builder = ChainBuilder::new(100).unwrap();
        add(&mut builder, &[Spelled::Copy(0, 40), Spelled::Literal(5)]).unwrap();
        let second = add(&mut builder, &[Spelled::Copy(45, 1)]);
        assert!(matches!(second, Err(BeyondBasis { basis_len: 45, .. })), "the basis is what the first made");
        // Offsets of 2^63 and more would be taken for literals.
        let mut builder = ChainBuilder::new(u64::MAX).unwrap();
        assert!(matches!(add(&mut builder, &[Spelled::Copy(LITERAL, 1)]), Err(BeyondBasis { .. })));
        let mut builder = ChainBuilder::new(u64::MAX).unwrap();
        let long = [Spelled::Copy(0, LITERAL - 1), Spelled::Copy(0, 1)];
        assert!(matches!(add(&mut builder, &long), Err(OutputTooLong { .. })));
    }
}
