//! The composition of deltas.

use std::io::Read;

use super::{Command, Commands, Error, Result};

/// A stretch of the final content and where its bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// In bytes, never 0.
    pub len: u64,
    /// 0 is the first content, n the n-th delta, as its caller numbered it.
    pub source: u32,
    /// Where the bytes start in that source: for a delta, within its stream.
    pub offset: u64,
}

// 32 bytes of memory a piece, with its start.
const _: () = assert!(size_of::<Piece>() + size_of::<u64>() <= 32);

/// How to make a content straight from a first content and the literals of the deltas over it.
///
/// The pieces are in the order of the content and leave no gaps; neighbours that could be one piece are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pieces: Vec<Piece>,
    /// Where each piece starts in the content.
    starts: Vec<u64>,
    len: u64,
}

impl Plan {
    /// The first content itself, `len` bytes: source 0.
    pub fn whole(len: u64) -> Plan {
        let mut plan = Plan::empty();
        if len > 0 {
            plan.starts.push(0);
            plan.pieces.push(Piece { len, source: 0, offset: 0 });
            plan.len = len;
        }
        plan
    }

    /// The plan of what `delta` makes of this plan's content: `out_limit` bytes at most. What it should
    /// have been, the caller compares with [`Plan::content_len`]; of the versions between the first and
    /// the last, nobody need know the length.
    ///
    /// Its literals become pieces of `source`. Fails with `TooManyPieces` rather than exceed
    /// `piece_cap`.
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

    /// Length of the content.
    pub fn content_len(&self) -> u64 {
        self.len
    }

    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The index of the piece that holds the byte at `offset` of the content, and which byte of the
    /// piece it is; `None` beyond the end.
    pub fn find(&self, offset: u64) -> Option<(usize, u64)> {
        if offset >= self.len {
            return None;
        }
        let index = self.starts.partition_point(|&start| start <= offset).checked_sub(1)?;
        Some((index, offset - self.starts[index]))
    }

    /// The pieces of the `len` bytes at `offset`, the first and the last one cut to fit; fewer bytes
    /// where the content ends.
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

    /// Adds a piece at the end. The caller keeps the length of the content from overflowing.
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
