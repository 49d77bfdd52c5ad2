//! The delta of a long content, made in stretches.

use std::io::{self, Write};

use super::encode::Encoder;
use super::{Command, Commands, Error, Result};

/// Puts the deltas of the stretches of a content together. They are made each for itself, on any thread, of
/// the stretch and of a margin after it: as many bytes as a block of the basis has, fewer at the content's end.
///
/// A block that begins in a stretch and ends in the margin is copied whole, and the next stretch goes on
/// behind it. So a cut costs nothing where the basis goes on across it.
pub struct DeltaJoiner<W> {
    encoder: Encoder<W>,
    basis_len: u64,
    /// Where the next stretch starts in the content.
    start: u64,
    /// Everything before is made: more than the stretches so far if a copy reaches over.
    made: u64,
}

impl<W: Write> DeltaJoiner<W> {
    pub fn new(basis_len: u64, out: W) -> Self {
        DeltaJoiner { encoder: Encoder::new(out), basis_len, start: 0, made: 0 }
    }

    /// Adds the next stretch of `len` bytes; its delta makes the `margin` bytes behind it as well.
    pub fn add(&mut self, delta: &[u8], len: u64, margin: u64) -> Result<()> {
        let stretch_end = self.start + len;
        let mut commands = Commands::new(delta, self.basis_len, len + margin)?;
        let mut at = self.start;
        while let Some(command) = commands.next()? {
            let begin = at;
            at = self.start + commands.made();
            let skip = self.made.saturating_sub(begin);
            let end = match command {
                Command::Copy { .. } => at,
                Command::Literal { .. } => at.min(stretch_end),
            };
            if begin >= stretch_end || end <= self.made {
                continue;
            }
            match command {
                Command::Copy { offset, len } => self.encoder.copy(offset + skip, len - skip)?,
                Command::Literal { at: in_delta, .. } => {
                    let (first, last) = (in_delta + skip, in_delta + (end - begin));
                    let bytes = delta.get(first as usize..last as usize);
                    self.encoder.literal(bytes.ok_or(Error::Truncated { at: first })?)?;
                }
            }
            self.made = end;
        }
        if commands.made() != len + margin {
            return Err(Error::OutputTooShort { made: commands.made(), declared: len + margin });
        }
        self.start = stretch_end;
        Ok(())
    }

    /// Length of the delta so far.
    pub fn bytes_out(&self) -> u64 {
        self.encoder.bytes_out()
    }

    /// Writes what is left and gives the output back.
    pub fn finish(self) -> io::Result<W> {
        self.encoder.finish()
    }
}
