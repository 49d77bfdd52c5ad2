//! A small content with all that it is made of at hand.

use std::ops::Range;
use std::sync::Arc;

use crate::delta::{self, Plan};
use crate::entry::Entry;
use crate::error::Result;
use crate::format::{Decoded, Frame};

use super::archives::Archives;
use super::reader::FrameId;

/// A composed content has at most this many pieces here: 2 MiB of memory, on each thread.
const PIECES_MAX: usize = 1 << 16;

/// Bytes of memory that a frame takes besides its own.
pub(super) const HELD_FRAME: usize = 1 << 10;

/// A whole copy and deltas, fetched. Any thread can make the content of it.
pub struct FetchedContent {
    /// The whole copy first, if there is any, then the deltas: where the bytes of each lie, in order.
    ranges: Vec<Vec<Slice>>,
}

/// Some bytes of a frame.
pub(super) struct Slice {
    pub id: FrameId,
    pub frame: Arc<Frame>,
    pub bytes: Range<usize>,
    /// What the frame takes.
    pub memory: usize,
}

/// Bytes of a content, in order.
pub enum Bytes {
    /// Some of a frame's.
    Held(Arc<Decoded>, Range<usize>),
    Made(Vec<u8>),
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Bytes::Held(frame, range) => frame.get(range.clone()).unwrap_or_default(),
            Bytes::Made(bytes) => bytes,
        }
    }
}

impl FetchedContent {
    pub(super) fn new(ranges: Vec<Vec<Slice>>) -> Self {
        FetchedContent { ranges }
    }

    /// The frames that it holds, some of them repeatedly, and the memory that each takes.
    pub fn frames(&self) -> impl Iterator<Item = (FrameId, usize)> + '_ {
        self.ranges.iter().flatten().map(|slice| (slice.id, slice.memory))
    }

    /// Makes the content of `entry`. `None` if that takes too many pieces for this way.
    pub fn make(&self, entry: &Entry, archives: &Archives) -> Result<Option<Vec<Bytes>>> {
        match &self.ranges[..] {
            [] => Ok(Some(Vec::new())),
            [whole] => bytes_of(whole).map(Some),
            [whole, deltas @ ..] => compose(whole, deltas, entry, archives),
        }
    }
}

fn bytes_of(slices: &[Slice]) -> Result<Vec<Bytes>> {
    slices.iter().map(|slice| Ok(Bytes::Held(slice.frame.bytes()?, slice.bytes.clone()))).collect()
}

fn compose(
    whole: &[Slice],
    deltas: &[Vec<Slice>],
    entry: &Entry,
    archives: &Archives,
) -> Result<Option<Vec<Bytes>>> {
    let mut sources = vec![join(whole)?];
    let mut plan = Plan::whole(sources[0].len() as u64);
    for (index, delta) in deltas.iter().enumerate() {
        let delta = join(delta)?;
        plan = match plan.apply(index as u32 + 1, &delta[..], u64::MAX, PIECES_MAX) {
            Ok(plan) => plan,
            Err(delta::Error::TooManyPieces { .. }) => return Ok(None),
            Err(refused) => return Err(archives.bad_delta(entry, &entry.place.content[index + 1], &refused)),
        };
        sources.push(delta);
    }
    // Before that nothing says how much it is.
    archives.check_len(entry, plan.content_len())?;
    let mut made = Vec::with_capacity(plan.content_len() as usize);
    for piece in plan.pieces() {
        let from = piece.offset as usize;
        made.extend_from_slice(&sources[piece.source as usize][from..from + piece.len as usize]);
    }
    Ok(Some(vec![Bytes::Made(made)]))
}

fn join(slices: &[Slice]) -> Result<Vec<u8>> {
    let mut joined = Vec::with_capacity(slices.iter().map(|slice| slice.bytes.len()).sum());
    for bytes in bytes_of(slices)? {
        joined.extend_from_slice(bytes.as_ref());
    }
    Ok(joined)
}
