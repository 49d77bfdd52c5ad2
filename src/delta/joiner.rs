//! Joins the deltas of a content's chunks into the delta of the content.

use std::io::{self, Write};

use super::encode::Encoder;
use super::{Command, Commands, Error, Result};

/// Joins the deltas of the chunks of a content, in order. Threads make these deltas independently. Each
/// delta makes its chunk and a margin after it. The margin has as many bytes as a block of the basis, or
/// fewer at the content's end.
///
/// The margin is needed for a block that begins in one chunk and ends in the next: the first chunk's delta copies the
/// whole block, and the next chunk's delta is used only from the end of that block. So a cut costs no bytes if the
/// content equals the basis on both sides of the cut.
pub struct DeltaJoiner<W> {
    encoder: Encoder<W>,
    basis_len: u64,
    /// The offset in the content at which the next chunk starts.
    start: u64,
    /// Bytes of the content that the commands so far make. A copy may reach into the next chunk.
    made: u64,
}

impl<W: Write> DeltaJoiner<W> {
    pub fn new(basis_len: u64, out: W) -> Self {
        DeltaJoiner { encoder: Encoder::new(out), basis_len, start: 0, made: 0 }
    }

    /// Adds the next chunk, of `len` bytes. Its delta also makes the `margin` bytes after the chunk.
    pub fn add(&mut self, delta: &[u8], len: u64, margin: u64) -> Result<()> {
        let chunk_end = self.start + len;
        let mut commands = Commands::new(delta, self.basis_len, len + margin)?;
        let mut at = self.start;
        while let Some(command) = commands.next()? {
            let begin = at;
            at = self.start + commands.made();
            let skip = self.made.saturating_sub(begin);
            let end = match command {
                Command::Copy { .. } => at,
                Command::Literal { .. } => at.min(chunk_end),
            };
            if begin >= chunk_end || end <= self.made {
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
        self.start = chunk_end;
        Ok(())
    }

    /// Bytes of the joined delta so far.
    pub fn bytes_out(&self) -> u64 {
        self.encoder.bytes_out()
    }

    /// Writes the end of the joined delta and returns the output.
    pub fn finish(self) -> io::Result<W> {
        self.encoder.finish()
    }
}
