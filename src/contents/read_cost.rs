//! Predicts the cost of reading pieces in their order: the bytes of the frames that must be decoded. The prediction
//! needs only the pieces and the seek tables of the archives.

use std::collections::HashMap;

use crate::entry::Range;
use crate::error::Result;
use crate::format::RecentFrames;
use crate::store::Store;

use super::reader::{Contents, ReadLimits};

/// The cost of reading in order, in decoded bytes.
#[derive(Debug, Default)]
pub(super) struct ReadCost {
    pub(super) decoded: u64,
    /// The bytes of the same frames, with each frame counted once.
    distinct: u64,
}

impl ReadCost {
    /// The cost of reading `pieces` one after the other, with a frame cache as large as that of
    /// [`Contents`].
    pub fn of(
        contents: &mut Contents,
        store: &mut dyn Store,
        pieces: impl Iterator<Item = Range>,
    ) -> Result<Self> {
        let mut cost = ReadCost::default();
        let mut recent = RecentFrames::new(contents.limits.frames);
        let mut seen: HashMap<u32, Vec<u64>> = HashMap::new();
        // The frame of the last piece. The next piece often lies in the same frame.
        let mut last = (0, 0..0);
        let archives = contents.archives().clone();
        for piece in pieces.flat_map(|piece| archives.in_files(piece)) {
            let (file, span) = &last;
            if *file == piece.file && span.contains(&piece.offset) && piece.len <= span.end - piece.offset {
                continue;
            }
            let index = contents.index(store, piece.file)?;
            let seen = seen.entry(piece.file).or_insert_with(|| vec![0; index.count().div_ceil(64)]);
            for part in index.parts(piece.offset, piece.len)? {
                let span = index.span(part.frame);
                let len = span.end - span.start;
                if recent.get(piece.file, part.frame).is_none() {
                    recent.put(piece.file, part.frame, len as usize, ());
                    cost.decoded += len;
                    let (word, bit) = (&mut seen[part.frame / 64], 1 << (part.frame % 64));
                    cost.distinct += if *word & bit == 0 { len } else { 0 };
                    *word |= bit;
                }
                last = (piece.file, span);
            }
        }
        Ok(cost)
    }

    /// True if the bytes that are decoded again exceed both `limits.repeated` and half of the
    /// distinct bytes.
    pub fn is_too_high(&self, limits: &ReadLimits) -> bool {
        let repeated = self.decoded - self.distinct;
        repeated > limits.repeated && repeated > self.distinct / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_order_pays_where_more_than_half_is_repeated() {
        let limits = ReadLimits { repeated: 10, ..ReadLimits::default() };
        let is_too_high =
            |distinct, repeated| ReadCost { decoded: distinct + repeated, distinct }.is_too_high(&limits);
        assert!(!is_too_high(2, 10) && is_too_high(2, 11), "so little is not worth it");
        assert!(!is_too_high(100, 50) && is_too_high(100, 51));
    }
}
