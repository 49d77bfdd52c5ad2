//! A small content, with all frames that are needed to make it.

use std::ops::Range;
use std::sync::Arc;

use crate::delta::{self, Plan};
use crate::entry::Entry;
use crate::error::Result;
use crate::format::{Decoded, Frame};

use super::archives::StateArchives;
use super::reader::FrameId;

/// Greatest number of pieces of a content that is composed here. The pieces take at most 2 MiB of memory on each
/// thread.
const PIECES_MAX: usize = 1 << 16;

/// Memory that a frame takes in addition to its bytes.
pub(super) const HELD_FRAME: usize = 1 << 10;

/// A fetched whole copy with its deltas. Any thread can make the content from them.
pub struct FetchedContent {
    /// The slices of each range, in order. The whole copy comes first, if there is one, then the deltas.
    ranges: Vec<Vec<Slice>>,
}

/// A part of a frame. `frame` has the bytes of the whole frame, or only the bytes of this part.
pub(super) struct Slice {
    /// Equal for slices that share `frame`.
    pub id: FrameId,
    pub frame: Arc<Frame>,
    pub bytes: Range<usize>,
    /// Memory that `frame` takes, in bytes.
    pub memory: usize,
}

/// Bytes of a content, in order.
pub enum Bytes {
    /// A part of a decoded frame.
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

    /// The frames of the slices, each with its memory in bytes. A frame with several slices is yielded several times.
    pub fn frames(&self) -> impl Iterator<Item = (FrameId, usize)> + '_ {
        self.ranges.iter().flatten().map(|slice| (slice.id, slice.memory))
    }

    /// Makes the content of `entry`. `None` if that takes more than [`PIECES_MAX`] pieces.
    pub fn make(&self, entry: &Entry, archives: &StateArchives) -> Result<Option<Vec<Bytes>>> {
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
    archives: &StateArchives,
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
    // The length is checked before the allocation, because nothing else limits the allocation.
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
