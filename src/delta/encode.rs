//! Encodes the commands of a delta.

use std::io::{self, Write};

use super::DELTA_MAGIC;

/// The longest literal of one command, in bytes: its length fits two bytes.
const MAX_LITERAL: usize = 0xffff;
/// Encoded commands are collected up to this many bytes, so that short commands need few calls of `write`.
const BUFFER: usize = 16 << 10;

const OP_END: u8 = 0x00;
const OP_LITERAL_N1: u8 = 0x41;
const OP_COPY_N1_N1: u8 = 0x45;

/// Writes commands. Splits literals at [`MAX_LITERAL`] bytes, and merges copies of adjacent ranges.
pub(super) struct Encoder<W> {
    out: W,
    /// Encoded bytes that are not written yet.
    buffer: Vec<u8>,
    /// Literal bytes that are not encoded yet. Empty while `copy` is set.
    literal: Vec<u8>,
    /// Offset and length of the last copy, not encoded yet because the next copy may extend it.
    copy: Option<(u64, u64)>,
    /// Bytes encoded so far.
    bytes_out: u64,
}

impl<W: Write> Encoder<W> {
    pub fn new(out: W) -> Self {
        let mut made = Encoder { out, buffer: Vec::new(), literal: Vec::new(), copy: None, bytes_out: 0 };
        made.push(&DELTA_MAGIC.to_be_bytes());
        made
    }

    /// Bytes of the delta so far, including bytes that are not written yet. A last copy is not counted yet, because the
    /// next copy may extend it. Of a last literal, only the literal bytes are counted yet, because its length may still
    /// grow.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out + self.literal.len() as u64
    }

    /// Adds literal bytes.
    pub fn literal(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.flush_copy()?;
            let (now, later) = bytes.split_at(bytes.len().min(MAX_LITERAL - self.literal.len()));
            self.literal.extend_from_slice(now);
            if self.literal.len() == MAX_LITERAL {
                self.flush_literal()?;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Adds a copy of `len` bytes at `offset` of the basis.
    pub fn copy(&mut self, offset: u64, len: u64) -> io::Result<()> {
        self.flush_literal()?;
        match &mut self.copy {
            Some((start, sofar)) if *start + *sofar == offset => *sofar += len,
            _ => {
                self.flush_copy()?;
                self.copy = Some((offset, len));
            }
        }
        Ok(())
    }

    /// Writes the commands that are not written yet, and END.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush_literal()?;
        self.flush_copy()?;
        self.push(&[OP_END]);
        self.flush()?;
        Ok(self.out)
    }

    fn flush_copy(&mut self) -> io::Result<()> {
        if let Some((offset, len)) = self.copy.take() {
            let (offset_class, len_class) = (size_class(offset), size_class(len));
            self.push(&[OP_COPY_N1_N1 + 4 * offset_class + len_class]);
            self.push_int(offset, offset_class);
            self.push_int(len, len_class);
            if self.buffer.len() >= BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush_literal(&mut self) -> io::Result<()> {
        let len = self.literal.len();
        match len {
            0 => return Ok(()),
            1..=64 => self.push(&[len as u8]),
            _ => {
                let class = size_class(len as u64);
                self.push(&[OP_LITERAL_N1 + class]);
                self.push_int(len as u64, class);
            }
        }
        self.bytes_out += len as u64;
        if self.buffer.len() + len < BUFFER {
            self.buffer.extend_from_slice(&self.literal);
        } else {
            self.flush()?;
            self.out.write_all(&self.literal)?;
        }
        self.literal.clear();
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.bytes_out += bytes.len() as u64;
    }

    fn push_int(&mut self, value: u64, class: u8) {
        self.push(&value.to_be_bytes()[8 - (1 << class)..]);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// The size class of an integer: 0 to 3 if it needs 1, 2, 4 or 8 bytes.
fn size_class(value: u64) -> u8 {
    match value {
        0..=0xff => 0,
        0x100..=0xffff => 1,
        0x1_0000..=0xffff_ffff => 2,
        _ => 3,
    }
}
