//! The commands of many deltas, so that each byte of the content is traced back to where it lies: for chains
//! whose composed plan would not fit memory. No version between the first and the last is ever made.
//!
//! The commands of all deltas lie in one unlinked temporary file, [`RECORD`] bytes each: at most 8 times the
//! bytes of the deltas, which are no more than the content has (see [`Archives::check_deltas`](super::archives::Archives::check_deltas)).

use std::fs;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::FileExt;

use crate::delta::{self, Command, Commands, Piece};
use crate::error::{Error, Result};

/// Bytes of a command: where it starts in what its delta makes, and where those bytes lie.
const RECORD: usize = 16;
/// Commands that are read at a time; of each such block one number is kept in memory.
const BLOCK: usize = 256;
/// Set in the second number of a literal, which lies in the delta; a copy lies in the version before.
const LITERAL: u64 = 1 << 63;

/// Where each byte of a content comes from.
pub(super) struct Chain {
    deltas: Vec<DeltaCommands>,
    commands: fs::File,
    /// Bytes of the content.
    len: u64,
}

/// The commands of one delta.
struct DeltaCommands {
    /// Bytes of what the delta makes.
    made: u64,
    /// Where the first command lies in the temporary file, and how many there are.
    offset: u64,
    count: u64,
    /// Where the first command of each block starts in what the delta makes.
    starts: Vec<u64>,
    /// The block that was read last, and which one it is.
    block: Vec<CommandRecord>,
    number: usize,
}

#[derive(Clone, Copy, Debug)]
struct CommandRecord {
    start: u64,
    source: u64,
}

/// Collects the commands of the deltas, oldest first.
pub(super) struct ChainBuilder {
    deltas: Vec<DeltaCommands>,
    out: BufWriter<fs::File>,
    written: u64,
    len: u64,
}

impl ChainBuilder {
    /// For deltas over a whole copy of `len` bytes.
    pub fn new(len: u64) -> Result<Self> {
        let file = tempfile::tempfile().map_err(|e| trouble(&e))?;
        Ok(ChainBuilder { deltas: Vec::new(), out: BufWriter::with_capacity(1 << 16, file), written: 0, len })
    }

    /// Adds the next delta.
    pub fn add(&mut self, delta: impl Read) -> delta::Result<()> {
        let mut commands = Commands::new(delta, self.len.min(LITERAL - 1), LITERAL - 1)?;
        let mut made = DeltaCommands {
            made: 0,
            offset: self.written,
            count: 0,
            starts: Vec::new(),
            block: Vec::new(),
            number: 0,
        };
        // The command before, with its length: neighbours become one.
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
        self.out.write_all(&made.made.to_le_bytes())?;
        self.out.write_all(&source.to_le_bytes())?;
        self.written += RECORD as u64;
        Ok(())
    }

    pub fn finish(self) -> Result<Chain> {
        let commands = self.out.into_inner().map_err(|e| trouble(&e.into_error()))?;
        Ok(Chain { deltas: self.deltas, commands, len: self.len })
    }
}

impl Chain {
    /// Length of the content.
    pub fn content_len(&self) -> u64 {
        self.len
    }

    /// Bytes of the temporary file.
    #[cfg(test)]
    pub fn stored_len(&self) -> std::io::Result<u64> {
        self.commands.metadata().map(|metadata| metadata.len())
    }

    /// Traces the content from `offset` to `end`: at most `pieces_max` pieces, which replace what is in
    /// `pieces`. Returns where they end.
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
    commands: &'c fs::File,
    pieces_max: usize,
    pieces: &'c mut Vec<Piece>,
    /// Bytes of all pieces.
    traced: u64,
}

impl Tracing<'_> {
    /// Traces a part of what the last of `deltas` makes, or of the whole copy if there is none. False when
    /// there are enough pieces.
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
    /// The command that makes the byte at `at`, and where what it makes ends.
    fn find(&mut self, commands: &fs::File, at: u64) -> Result<(CommandRecord, u64)> {
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

    fn read_block(&mut self, commands: &fs::File, number: usize) -> Result<()> {
        let first = number as u64 * BLOCK as u64;
        let count = (self.count - first.min(self.count)).min(BLOCK as u64) as usize;
        let mut bytes = [0; BLOCK * RECORD];
        let bytes = &mut bytes[..count * RECORD];
        commands.read_exact_at(bytes, self.offset + first * RECORD as u64).map_err(|e| trouble(&e))?;
        let int = |bytes: &[u8]| bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
        let record = |bytes: &[u8]| CommandRecord { start: int(&bytes[..8]), source: int(&bytes[8..]) };
        self.block.clear();
        self.block.extend(bytes.chunks_exact(RECORD).map(record));
        self.number = number;
        Ok(())
    }
}

pub(super) fn trouble(error: &std::io::Error) -> Error {
    Error::own("use a temporary file", error)
}
