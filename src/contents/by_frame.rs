//! Reads the pieces of a content in the order in which they lie in the archives. So each frame is decoded once, for any
//! order of the pieces in the content. For example, a database may have moved its pages: then neighbouring pages of the
//! new content lie far apart in the old content.
//!
//! ```text
//! pieces, sorted by archive and offset --> ranges that cover them --> frames, each decoded once
//!     --> each piece to its place in a buffer --> the buffer, in the order of the content
//! ```

use std::io;

use crate::entry::Range;
use crate::error::{Error, Result};
use crate::spool::Spool;
use crate::store::Store;

use super::reader::Contents;

/// A piece of a content, with its place in the buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlacedPiece {
    /// The piece's place in its archive.
    range: Range,
    /// The piece's offset in the buffer.
    to: u64,
}

/// Passes `pieces` to `sink` in order. Decodes each of their frames once. If the pieces are too long for
/// memory, they are first written to a temporary file.
pub(super) fn read(
    contents: &mut Contents,
    store: &mut dyn Store,
    pieces: impl Iterator<Item = Range>,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let (mut placed, len) = place(pieces);
    if len <= contents.limits.memory_max {
        return read_in_memory(contents, store, &mut placed, len, sink);
    }
    let Ok(mut buffer) = Spool::in_file() else { return read_in_parts(contents, store, placed, sink) };
    match fill(contents, store, &mut placed, &mut buffer) {
        Ok(()) => buffer.each(0, len, sink),
        // Reading in parts takes longer, but needs no disk space.
        Err(_) if buffer.has_failed() => read_in_parts(contents, store, placed, sink),
        Err(error) => Err(error),
    }
}

/// Gives each piece its offset in the buffer. Returns the total length too.
pub(super) fn place(pieces: impl Iterator<Item = Range>) -> (Vec<PlacedPiece>, u64) {
    let mut len = 0;
    let each = |range: Range| {
        let placed = PlacedPiece { range, to: len };
        len += range.len;
        placed
    };
    let placed = pieces.map(each).collect();
    (placed, len)
}

/// Like [`read`], without a temporary file: frames are decoded once for every `memory_max` bytes of the
/// content.
pub(super) fn read_in_parts(
    contents: &mut Contents,
    store: &mut dyn Store,
    mut placed: Vec<PlacedPiece>,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let memory_max = contents.limits.memory_max;
    placed.sort_unstable_by_key(|piece| piece.to);
    let mut rest = &mut placed[..];
    while let Some(first) = rest.first() {
        let start = first.to;
        let fits = rest.partition_point(|piece| piece.to + piece.range.len - start <= memory_max);
        let (now, later) = rest.split_at_mut(fits.max(1));
        rest = later;
        match now {
            [long] if long.range.len > memory_max => {
                contents.each(store, std::iter::once(long.range), sink)?;
            }
            _ => {
                now.iter_mut().for_each(|piece| piece.to -= start);
                let len = now.last().map_or(0, |last| last.to + last.range.len);
                read_in_memory(contents, store, now, len, sink)?;
            }
        }
    }
    Ok(())
}

fn read_in_memory(
    contents: &mut Contents,
    store: &mut dyn Store,
    placed: &mut [PlacedPiece],
    len: u64,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = zeros(len)?;
    fill(contents, store, placed, &mut buffer)?;
    buffer.each(0, len, sink)
}

/// A spool in memory.
fn zeros(len: u64) -> Result<Spool> {
    let mut bytes = Vec::new();
    let no_memory = |_| Error::own("put a content together", &io::ErrorKind::OutOfMemory.into());
    bytes.try_reserve_exact(len as usize).map_err(no_memory)?;
    bytes.resize(len as usize, 0);
    Ok(Spool::from(bytes))
}

/// Writes every piece to its place in the buffer.
fn fill(
    contents: &mut Contents,
    store: &mut dyn Store,
    placed: &mut [PlacedPiece],
    buffer: &mut Spool,
) -> Result<()> {
    placed.sort_unstable_by_key(|piece| (piece.range.archive, piece.range.offset));
    let cover = Cover { rest: placed };
    let mut coming = cover.clone();
    let mut now = Range { archive: 0, offset: 0, len: 0 };
    let (mut next, mut begun) = (0, Vec::new());
    contents.each(store, cover, &mut |bytes| {
        if now.len == 0 {
            now = coming.next().unwrap_or(now);
        }
        let end = now.offset + bytes.len() as u64;
        let starts_here =
            |piece: &PlacedPiece| (piece.range.archive, piece.range.offset) < (now.archive, end);
        while placed.get(next).is_some_and(starts_here) {
            begun.push(next);
            next += 1;
        }
        for &index in &begun {
            let PlacedPiece { range, to } = placed[index];
            let from = range.offset.max(now.offset);
            let stop = (range.offset + range.len).min(end);
            let part = (from - now.offset) as usize..(stop - now.offset) as usize;
            buffer.write_at(to + (from - range.offset), &bytes[part])?;
        }
        begun.retain(|&index| placed[index].range.offset + placed[index].range.len > end);
        now = Range { offset: end, len: now.len - bytes.len() as u64, ..now };
        Ok(())
    })
}

/// Iterates over the ranges that cover the sorted pieces. The ranges ascend and do not touch each other.
#[derive(Clone)]
struct Cover<'p> {
    rest: &'p [PlacedPiece],
}

impl Iterator for Cover<'_> {
    type Item = Range;

    fn next(&mut self) -> Option<Range> {
        let (first, mut rest) = self.rest.split_first()?;
        let mut range = first.range;
        while let Some((piece, later)) = rest.split_first() {
            let end = range.offset + range.len;
            if piece.range.archive != range.archive || piece.range.offset > end {
                break;
            }
            range.len = end.max(piece.range.offset + piece.range.len) - range.offset;
            rest = later;
        }
        self.rest = rest;
        Some(range)
    }
}
