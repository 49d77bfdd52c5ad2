//! Writes and reads the seek table at the end of a compressed file.

use std::io;

use super::FOREIGN_FRAME_MAX;
use crate::error::{Error, Kind, Result};
use crate::format::ReadAt;

const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
const HEADER_LEN: u64 = 8;
const FOOTER_LEN: u64 = 9;
/// Bit 7 of the descriptor: each table entry ends in a checksum.
const HAS_CHECKSUMS: u8 = 0x80;
/// Bits of the descriptor that must be zero.
const RESERVED: u8 = 0x7c;
/// The reference implementation's limit (`ZSTD_SEEKABLE_MAXFRAMES`).
const FRAMES_MAX: u32 = 0x0800_0000;
/// The longest stored frame, in bytes: 1 MiB more than the longest uncompressed frame is enough for the
/// headers of a frame of incompressible bytes.
const STORED_FRAME_MAX: u32 = FOREIGN_FRAME_MAX + (1 << 20);
/// A stored frame is also at most twice its uncompressed length plus these bytes. The limits of memory count
/// uncompressed lengths only, so a forged frame must not have many more stored bytes.
const STORED_OVERHEAD_MAX: u32 = 64 << 10;
/// Bytes at the end of a file that [`has_remains`] searches. They hold a table of 8,000 frames, enough for a state of
/// many million entries.
pub(super) const REMAINS_MAX: u64 = 64 << 10;

/// Collects the sizes of the frames while they are written. The bytes are the table's entries.
#[derive(Default)]
pub(super) struct Builder(Vec<u8>);

impl Builder {
    /// Adds a frame of `stored` compressed and `plain` uncompressed bytes. A frame is at most
    /// 64 MiB long, so both sizes fit 32 bits.
    pub fn push(&mut self, stored: usize, plain: usize) {
        self.0.extend_from_slice(&(stored as u32).to_le_bytes());
        self.0.extend_from_slice(&(plain as u32).to_le_bytes());
    }

    /// Bytes of the whole table if one more frame is added.
    pub fn len_with_one_more(&self) -> u64 {
        HEADER_LEN + self.0.len() as u64 + 8 + FOOTER_LEN
    }

    /// The skippable frame with the whole table, the last bytes of the file.
    pub fn finish(self) -> Result<Vec<u8>> {
        let frames = u32::try_from(self.0.len() / 8).ok().filter(|&n| n <= FRAMES_MAX);
        let Some(frames) = frames else {
            return Err(Error::new(Kind::Limit, "write a seek table", "more than 2^27 frames"));
        };
        let mut out = Vec::with_capacity(self.0.len() + (HEADER_LEN + FOOTER_LEN) as usize);
        out.extend_from_slice(&SKIPPABLE_MAGIC.to_le_bytes());
        out.extend_from_slice(&(self.0.len() as u32 + FOOTER_LEN as u32).to_le_bytes());
        out.extend_from_slice(&self.0);
        out.extend_from_slice(&frames.to_le_bytes());
        out.push(0);
        out.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
        Ok(out)
    }
}

/// The offset of each frame in the file and in the uncompressed stream. The last element is the end of the
/// last frame in both.
pub(super) type Starts = Vec<(u64, u64)>;

/// Reads the table at the end of a file of `size` bytes. Memory for a frame is allocated only after its table
/// entry was read, so a forged frame count costs no memory. `Corrupt` names the file and an offset.
pub(super) fn read(source: &mut dyn ReadAt, name: &str, size: u64) -> Result<Starts> {
    let (start, frames, entry_len) = locate(source, name, size)?;
    let mut starts = Starts::new();
    let (mut stored, mut plain) = (0u64, 0u64);
    let mut at = start + HEADER_LEN;
    let mut chunk = vec![0; 4096 * entry_len];
    let mut left = frames as usize;
    while left > 0 {
        let bytes = &mut chunk[..left.min(4096) * entry_len];
        read_full(source, name, at, bytes)?;
        for (n, entry) in bytes.chunks_exact(entry_len).enumerate() {
            let (stored_len, plain_len) = (u32_at(entry, 0), u32_at(entry, 4));
            check_frame(stored_len, plain_len)
                .map_err(|what| corrupt(name, at + (n * entry_len) as u64, what))?;
            if starts.len() == starts.capacity() {
                // A table of 2^27 frames needs 2 GiB of memory. A file with such a table is that long too,
                // but the machine may have less memory.
                starts.try_reserve(starts.len().max(1024)).map_err(|_| out_of_memory(name))?;
            }
            starts.push((stored, plain));
            stored += u64::from(stored_len);
            plain += u64::from(plain_len);
        }
        left -= bytes.len() / entry_len;
        at += bytes.len() as u64;
    }
    starts.push((stored, plain));
    if stored != start {
        let what = format!("the frames of the seek table add up to {stored} bytes, {start} are there");
        return Err(corrupt(name, start, &what));
    }
    Ok(starts)
}

/// Returns the offset of the table, its number of frames, and the bytes of one table entry.
fn locate(source: &mut dyn ReadAt, name: &str, size: u64) -> Result<(u64, u32, usize)> {
    let Some(footer_at) = size.checked_sub(FOOTER_LEN).filter(|&at| at >= HEADER_LEN) else {
        return Err(corrupt(name, 0, "too short for a seek table"));
    };
    let mut footer = [0; FOOTER_LEN as usize];
    read_full(source, name, footer_at, &mut footer)?;
    let (frames, descriptor) = (u32_at(&footer, 0), footer[4]);
    if u32_at(&footer, 5) != SEEKABLE_MAGIC || descriptor & RESERVED != 0 {
        return Err(corrupt(name, footer_at, "no seek table"));
    }
    let entry_len = if descriptor & HAS_CHECKSUMS != 0 { 12 } else { 8 };
    let table_len = u64::from(frames) * entry_len as u64;
    let start = footer_at.checked_sub(table_len + HEADER_LEN).filter(|_| frames <= FRAMES_MAX);
    let Some(start) = start else {
        return Err(corrupt(name, footer_at, &format!("a seek table of {frames} frames does not fit")));
    };
    let mut header = [0; HEADER_LEN as usize];
    read_full(source, name, start, &mut header)?;
    if u32_at(&header, 0) != SKIPPABLE_MAGIC || u64::from(u32_at(&header, 4)) != table_len + FOOTER_LEN {
        return Err(corrupt(name, start, "the seek table's header is damaged"));
    }
    Ok((start, frames, entry_len))
}

/// True if the file ends in a damaged seek table: a skippable frame whose end is the end of the file. Only
/// the last [`REMAINS_MAX`] bytes are searched.
pub(super) fn has_remains(source: &mut dyn ReadAt, size: u64) -> Result<bool> {
    let start = size.saturating_sub(REMAINS_MAX);
    let mut tail = vec![0; (size - start) as usize];
    read_available(source, start, &mut tail)?;
    let is_table = |at: usize| {
        let skippable = u32_at(&tail, at) & !0xf == SKIPPABLE_MAGIC & !0xf;
        skippable && at as u64 + HEADER_LEN + u64::from(u32_at(&tail, at + 4)) == tail.len() as u64
    };
    Ok((0..tail.len().saturating_sub(HEADER_LEN as usize)).any(is_table))
}

fn check_frame(stored: u32, plain: u32) -> Result<(), &'static str> {
    match (stored, plain) {
        (0, _) | (_, 0) => Err("an empty frame"),
        _ if plain > FOREIGN_FRAME_MAX || stored > STORED_FRAME_MAX => Err("a frame of more than 64 MiB"),
        _ if stored > 2 * plain + STORED_OVERHEAD_MAX => {
            Err("a frame stored in far more bytes than it makes")
        }
        _ => Ok(()),
    }
}

/// Fills `buf` from `offset`. If the file ends before `buf` is full, the error is `Corrupt`.
pub(super) fn read_full(source: &mut dyn ReadAt, name: &str, offset: u64, buf: &mut [u8]) -> Result<()> {
    match read_available(source, offset, buf)? {
        done if done < buf.len() => Err(corrupt(name, offset + done as u64, "the file ends early")),
        _ => Ok(()),
    }
}

/// Fills `buf` from `offset` as far as the file goes. Returns the number of bytes.
pub(super) fn read_available(source: &mut dyn ReadAt, offset: u64, buf: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match source.read_at(offset + done as u64, &mut buf[done..])? {
            0 => break,
            n => done += n.min(buf.len() - done),
        }
    }
    Ok(done)
}

/// `len` zero bytes to read a part of the file `name` into. If memory runs out, the error names the file.
pub(super) fn zeros(name: &str, len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| out_of_memory(name))?;
    bytes.resize(len, 0);
    Ok(bytes)
}

fn out_of_memory(name: &str) -> Error {
    Error::io("read", name, &io::ErrorKind::OutOfMemory.into())
}

pub(super) fn corrupt(name: &str, offset: u64, what: &str) -> Error {
    Error::corrupt("read", name, format!("offset {offset}: {what}"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
