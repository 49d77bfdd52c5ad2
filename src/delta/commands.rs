//! Reads and checks the commands of a delta. The delta may be damaged or forged.

use std::io::{self, BufRead, BufReader, Read, Write};

use super::{DELTA_MAGIC, Error, Result};

const BUFFER: usize = 64 << 10;

/// One command of a delta. Lengths are never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `len` bytes that follow the command, at offset `at` of the delta.
    Literal { at: u64, len: u64 },
    /// `len` bytes at `offset` of the basis.
    Copy { offset: u64, len: u64 },
}

/// Yields the commands of one delta. The reader must end where the delta ends.
///
/// This reader is stricter than librsync: it refuses commands of length 0, copies beyond the end of the basis, more
/// output than declared, and bytes after END. After an error the caller must not read on.
pub struct Commands<R> {
    inner: BufReader<R>,
    /// Bytes of the delta read so far.
    at: u64,
    basis_len: u64,
    out_limit: u64,
    /// Bytes of output that the commands so far make.
    made: u64,
    /// Bytes of the last literal that are not read yet.
    unread: u64,
    ended: bool,
}

impl<R: Read> Commands<R> {
    /// Reads the magic. The delta may copy from the `basis_len` bytes of its basis, and its output may have
    /// at most `out_limit` bytes.
    pub fn new(delta: R, basis_len: u64, out_limit: u64) -> Result<Self> {
        let inner = BufReader::with_capacity(BUFFER, delta);
        let mut made = Commands { inner, at: 0, basis_len, out_limit, made: 0, unread: 0, ended: false };
        match made.int(4)? as u32 {
            DELTA_MAGIC => Ok(made),
            other => Err(Error::NotADelta(other)),
        }
    }

    /// The next command; `None` after END. Skips the bytes of the last literal that the caller has not read.
    ///
    /// This is no `Iterator`, because the caller can read the bytes of a literal between two commands.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Command>> {
        self.each_literal_slice(|_| Ok(()))?;
        if self.ended {
            return Ok(None);
        }
        let start = self.at;
        let command = match self.int(1)? as u8 {
            0x00 => return self.end(),
            len @ 0x01..=0x40 => Command::Literal { at: self.at, len: u64::from(len) },
            op @ 0x41..=0x44 => {
                let len = self.int(1 << (op - 0x41))?;
                Command::Literal { at: self.at, len }
            }
            op @ 0x45..=0x54 => {
                let offset = self.int(1 << ((op - 0x45) / 4))?;
                let len = self.int(1 << ((op - 0x45) % 4))?;
                Command::Copy { offset, len }
            }
            opcode => return Err(Error::UnknownCommand { opcode, at: start }),
        };
        self.accept(command, start).map(Some)
    }

    /// Writes the bytes of the last literal that are not read yet to `out`.
    pub fn write_literal(&mut self, out: &mut impl Write) -> Result<()> {
        self.each_literal_slice(|bytes| out.write_all(bytes))
    }

    /// Bytes of output that the commands yielded so far make.
    pub fn made(&self) -> u64 {
        self.made
    }

    fn accept(&mut self, command: Command, start: u64) -> Result<Command> {
        let len = match command {
            Command::Literal { len, .. } => {
                self.unread = len;
                len
            }
            Command::Copy { offset, len } => {
                if offset.checked_add(len).is_none_or(|end| end > self.basis_len) {
                    return Err(Error::BeyondBasis { offset, len, basis_len: self.basis_len });
                }
                len
            }
        };
        if len == 0 {
            return Err(Error::ZeroLength { at: start });
        }
        let made = self.made.checked_add(len).filter(|&made| made <= self.out_limit);
        self.made = made.ok_or(Error::OutputTooLong { limit: self.out_limit })?;
        Ok(command)
    }

    fn end(&mut self) -> Result<Option<Command>> {
        self.ended = true;
        if self.fill()?.is_empty() { Ok(None) } else { Err(Error::AfterEnd { at: self.at }) }
    }

    fn each_literal_slice(&mut self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> Result<()> {
        while self.unread > 0 {
            let at = self.at;
            let unread = self.unread;
            let bytes = self.fill()?;
            let len = bytes.len().min(usize::try_from(unread).unwrap_or(usize::MAX));
            if len == 0 {
                return Err(Error::Truncated { at });
            }
            take(&bytes[..len])?;
            self.consume(len);
            self.unread -= len as u64;
        }
        Ok(())
    }

    /// Reads an integer of `len` bytes, at most 8.
    fn int(&mut self, len: usize) -> Result<u64> {
        let mut value = 0;
        for _ in 0..len {
            let at = self.at;
            let &byte = self.fill()?.first().ok_or(Error::Truncated { at })?;
            self.consume(1);
            value = value << 8 | u64::from(byte);
        }
        Ok(value)
    }

    /// The buffered bytes of the delta; empty only at the end of the delta. Reads more if the buffer is empty.
    fn fill(&mut self) -> io::Result<&[u8]> {
        while let Err(error) = self.inner.fill_buf() {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Ok(self.inner.buffer())
    }

    fn consume(&mut self, len: usize) {
        self.inner.consume(len);
        self.at += len as u64;
    }
}
