//! Composes deltas: finds the bytes of the last content without making the intermediate contents.

use std::io::Read;

use super::{Command, Commands, Error, Result};

/// A range of a content, and the source of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// In bytes, never 0.
    pub len: u64,
    /// 0 is the first content. A delta has the number that the caller passed to [`Plan::apply`].
    pub source: u32,
    /// The offset of the bytes in the source. For a delta it counts all bytes of the delta, commands
    /// included.
    pub offset: u64,
}

// A piece and its entry in `starts` need at most 32 bytes of memory.
const _: () = assert!(size_of::<Piece>() + size_of::<u64>() <= 32);

/// Makes a content directly from the first content and the literals of the deltas after it. For example, if
/// the first content has 100 bytes and delta 1 inserts 5 bytes at offset 40, the plan has three pieces: 40
/// bytes of source 0, 5 bytes of source 1, 60 bytes of source 0.
///
/// The pieces are in the order of the content and leave no gaps. Two pieces that are adjacent in the content
/// and in their source are merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pieces: Vec<Piece>,
    /// The offset of each piece in the content.
    starts: Vec<u64>,
    len: u64,
}

impl Plan {
    /// The plan of the first content itself: `len` bytes of source 0.
    pub fn whole(len: u64) -> Plan {
        let mut plan = Plan::empty();
        if len > 0 {
            plan.starts.push(0);
            plan.pieces.push(Piece { len, source: 0, offset: 0 });
            plan.len = len;
        }
        plan
    }

    /// The plan of the content that `delta` makes of this plan's content. The new content may have at most `out_limit`
    /// bytes. The lengths of intermediate contents are unknown and not needed; the caller compares the length of the
    /// last content with [`Plan::content_len`].
    ///
    /// The delta's literals become pieces of `source`. A plan of more than `piece_cap` pieces is the error
    /// `TooManyPieces`.
    pub fn apply(&self, source: u32, delta: impl Read, out_limit: u64, piece_cap: usize) -> Result<Plan> {
        let mut commands = Commands::new(delta, self.len, out_limit)?;
        let mut next = Plan::empty();
        while let Some(command) = commands.next()? {
            match command {
                Command::Literal { at, len } => next.push(Piece { len, source, offset: at }, piece_cap)?,
                Command::Copy { offset, len } => {
                    for piece in self.range(offset, len) {
                        next.push(piece, piece_cap)?;
                    }
                }
            }
        }
        Ok(next)
    }

    /// Bytes of the content.
    pub fn content_len(&self) -> u64 {
        self.len
    }

    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The index of the piece that holds the content's byte at `offset`, and the offset of that byte in the
    /// piece; `None` at or beyond the end.
    pub fn find(&self, offset: u64) -> Option<(usize, u64)> {
        if offset >= self.len {
            return None;
        }
        let index = self.starts.partition_point(|&start| start <= offset).checked_sub(1)?;
        Some((index, offset - self.starts[index]))
    }

    /// The pieces of the `len` bytes at `offset`. The first and the last piece are cut to this range. If the
    /// content ends earlier, the pieces have fewer bytes.
    pub fn range(&self, offset: u64, len: u64) -> impl Iterator<Item = Piece> + Clone + '_ {
        let (first, mut skip) = self.find(offset).unwrap_or((self.pieces.len(), 0));
        let mut left = len;
        self.pieces[first..].iter().map_while(move |piece| {
            let skipped = std::mem::take(&mut skip);
            let len = (piece.len - skipped).min(left);
            left -= len;
            (len > 0).then_some(Piece { len, source: piece.source, offset: piece.offset + skipped })
        })
    }

    fn empty() -> Plan {
        Plan { pieces: Vec::new(), starts: Vec::new(), len: 0 }
    }

    /// Adds a piece at the end. The caller ensures that the length of the content fits 64 bits.
    fn push(&mut self, piece: Piece, cap: usize) -> Result<()> {
        let count = self.pieces.len();
        match self.pieces.last_mut() {
            Some(last) if last.source == piece.source && last.offset + last.len == piece.offset => {
                last.len += piece.len;
            }
            _ if count >= cap => return Err(Error::TooManyPieces { cap }),
            _ => {
                self.starts.push(self.len);
                self.pieces.push(piece);
            }
        }
        self.len += piece.len;
        Ok(())
    }
}
