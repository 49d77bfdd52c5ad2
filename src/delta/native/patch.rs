//! Applies a delta to its basis.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::super::{Command, Commands, Error, Result};

const BUFFER: u64 = 128 << 10;

/// Like [`patch`](super::super::patch()), for a content of unknown length of at most `out_limit` bytes. Returns the
/// length.
pub fn patch_up_to(
    basis: &mut (impl Read + Seek),
    delta: &mut impl Read,
    basis_len: u64,
    out: &mut impl Write,
    out_limit: u64,
) -> Result<u64> {
    let mut commands = Commands::new(delta, basis_len, out_limit)?;
    let mut copier = Copier { basis, at: None, buffer: Vec::new() };
    while let Some(command) = commands.next()? {
        match command {
            Command::Literal { .. } => commands.write_literal(out)?,
            Command::Copy { offset, len } => copier.copy(offset, len, out)?,
        }
    }
    Ok(commands.made())
}

struct Copier<'b, B> {
    basis: &'b mut B,
    /// The position of `basis`; `None` if it is not known.
    at: Option<u64>,
    buffer: Vec<u8>,
}

impl<B: Read + Seek> Copier<'_, B> {
    fn copy(&mut self, offset: u64, mut len: u64, out: &mut impl Write) -> Result<()> {
        if self.at != Some(offset) {
            self.basis.seek(SeekFrom::Start(offset))?;
        }
        let mut at = offset;
        while len > 0 {
            let now = len.min(BUFFER);
            if self.buffer.len() < now as usize {
                self.buffer.resize(now as usize, 0);
            }
            let bytes = &mut self.buffer[..now as usize];
            self.basis.read_exact(bytes).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Error::BasisTooShort { at },
                _ => Error::Io(error),
            })?;
            out.write_all(bytes)?;
            at += now;
            len -= now;
        }
        self.at = Some(at);
        Ok(())
    }
}
