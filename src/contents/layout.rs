//! The layout of one content: the places of its bytes, found once and then used to read any part.

use crate::delta::{Piece, Plan};
use crate::entry::{Entry, Range};
use crate::error::Result;
use crate::format::FRAME_LEN;
use crate::spool::Spool;
use crate::store::Store;

use super::Contents;
use super::chain::Chain;

/// The places of the bytes of a content (a file's extents, concatenated). A layout may be used only with the
/// [`Contents`] that made it.
pub struct Layout {
    /// The whole copy and the deltas.
    ranges: Vec<Range>,
    kind: LayoutKind,
    /// `spent` counts the bytes of all frames that were decoded to read parts. When `spent` exceeds `budget`, the whole
    /// content is put together. Without this limit, a caller that reads many small parts would decode the same frames
    /// again and again.
    spent: u64,
    budget: u64,
    /// The whole content in a temporary file, after it was put together.
    together: Option<Spool>,
}

enum LayoutKind {
    /// The whole copy is the content. Without a whole copy, the content is empty.
    Whole,
    /// Pieces of the whole copy and of the deltas.
    Composed(Plan),
    /// The commands of all deltas, for contents with too many pieces for memory.
    Traced(Chain),
}

impl Layout {
    /// Finds the places of the content of `entry`. Reads the commands of the deltas once, or twice if the
    /// content has too many pieces for memory.
    pub fn of(contents: &mut Contents, store: &mut dyn Store, entry: &Entry) -> Result<Self> {
        let layout = Layout::within(contents, store, entry, u64::MAX)?;
        contents.archives().check_len(entry, layout.len())?;
        Ok(layout)
    }

    /// Like [`Layout::of`], for a content whose length is not recorded. A delta that makes more than `len_max` bytes is
    /// an error, except if the content has too many pieces for memory: then the caller must check the length.
    pub(super) fn within(
        contents: &mut Contents,
        store: &mut dyn Store,
        entry: &Entry,
        len_max: u64,
    ) -> Result<Self> {
        let ranges = entry.place.content.clone();
        let kind = match &ranges[..] {
            [] | [_] => LayoutKind::Whole,
            [whole, deltas @ ..] => {
                contents.archives().check_deltas(entry, deltas)?;
                match contents.compose(store, entry, whole, deltas, len_max)? {
                    Some(plan) => LayoutKind::Composed(plan),
                    None => LayoutKind::Traced(contents.chain(store, entry, whole, deltas)?),
                }
            }
        };
        let stored = ranges.iter().fold(0, |sum: u64, range| sum.saturating_add(range.len));
        let budget = stored.saturating_add(16 * FRAME_LEN as u64).saturating_mul(2);
        Ok(Layout { ranges, kind, spent: 0, budget, together: None })
    }

    /// Passes `len` bytes from `offset` to `sink`, in order. Passes fewer bytes if the content ends before.
    /// Reads only frames that contain some of these bytes. When such reads have cost more than the budget,
    /// the content is put together once and then read from a temporary file.
    pub fn read(
        &mut self,
        contents: &mut Contents,
        store: &mut dyn Store,
        offset: u64,
        len: u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        if self.spent > self.budget && self.together.is_none() && !matches!(self.kind, LayoutKind::Whole) {
            self.put_together(contents, store)?;
        }
        if let Some(content) = &self.together {
            return content.each(offset, len, sink);
        }
        let before = contents.fetched;
        let read = self.read_pieces(contents, store, offset, len, sink);
        self.spent = self.spent.saturating_add(contents.fetched - before);
        read
    }

    /// Length of the content, in bytes.
    pub(super) fn len(&self) -> u64 {
        match &self.kind {
            LayoutKind::Whole => self.ranges.first().map_or(0, |whole| whole.len),
            LayoutKind::Composed(plan) => plan.content_len(),
            LayoutKind::Traced(chain) => chain.content_len(),
        }
    }

    /// The number of pieces in which the content is read. `None` if there are too many pieces for memory.
    pub fn pieces(&self) -> Option<usize> {
        match &self.kind {
            LayoutKind::Whole => Some(1),
            LayoutKind::Composed(plan) => Some(plan.pieces().len()),
            LayoutKind::Traced(_) => None,
        }
    }

    /// Passes the bytes of `parts` to `sink`, one part after the other. A part that lies beyond the end of the content
    /// gives fewer bytes. Other threads decode frames of later parts ahead, except if the content has too many pieces
    /// for memory.
    pub fn read_parts(
        &mut self,
        contents: &mut Contents,
        store: &mut dyn Store,
        parts: &[std::ops::Range<u64>],
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let ranges = &self.ranges;
        let stored = |piece: Piece| stored(ranges, piece);
        match &self.kind {
            LayoutKind::Whole => {
                let whole = ranges.first().map_or(0, |whole| whole.len);
                let piece = |part: &std::ops::Range<u64>| {
                    let (offset, len) = (part.start, part.end.min(whole).saturating_sub(part.start));
                    (len > 0).then_some(Piece { len, source: 0, offset })
                };
                contents.each(store, parts.iter().filter_map(piece).map(stored), sink)
            }
            LayoutKind::Composed(plan) => {
                let pieces = parts.iter().flat_map(|part| plan.range(part.start, part.end - part.start));
                contents.pieces(store, pieces.map(stored), sink)
            }
            LayoutKind::Traced(_) => parts
                .iter()
                .try_for_each(|part| self.read(contents, store, part.start, part.end - part.start, sink)),
        }
    }

    /// Writes the whole content to a temporary file, and doubles the budget. If the file cannot be written, parts are
    /// read as before.
    fn put_together(&mut self, contents: &mut Contents, store: &mut dyn Store) -> Result<()> {
        self.budget = self.budget.saturating_mul(2);
        let Ok(mut content) = Spool::in_file() else { return Ok(()) };
        match self.read_pieces(contents, store, 0, u64::MAX, &mut |bytes| content.append(bytes)) {
            Err(_) if content.has_failed() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                self.together = Some(content);
                Ok(())
            }
        }
    }

    fn read_pieces(
        &mut self,
        contents: &mut Contents,
        store: &mut dyn Store,
        offset: u64,
        len: u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let ranges = &self.ranges;
        let stored = |piece: Piece| stored(ranges, piece);
        match &mut self.kind {
            LayoutKind::Whole => {
                let Some(whole) = ranges.first() else { return Ok(()) };
                match len.min(whole.len.saturating_sub(offset)) {
                    0 => Ok(()),
                    len => {
                        contents.each(store, std::iter::once(stored(Piece { len, source: 0, offset })), sink)
                    }
                }
            }
            LayoutKind::Composed(plan) => contents.pieces(store, plan.range(offset, len).map(stored), sink),
            LayoutKind::Traced(chain) => {
                let (mut at, end) = (offset, offset.saturating_add(len).min(chain.content_len()));
                let mut pieces = Vec::new();
                while at < end {
                    at = chain.trace(at, end, contents.limits.pieces_max, &mut pieces)?;
                    contents.pieces(store, pieces.iter().copied().map(stored), sink)?;
                }
                Ok(())
            }
        }
    }
}

/// The place of a piece in the archives.
fn stored(ranges: &[Range], piece: Piece) -> Range {
    let source = ranges[piece.source as usize];
    Range { offset: source.offset + piece.offset, len: piece.len, ..source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::job::{Cancel, Job, Options, Silent};
    use crate::pool::Pool;
    use crate::store::DirStore;
    use crate::store::open_selected;

    const LEN: usize = 200_000;

    /// Makes a store in which file "f" is a whole copy and two deltas. Returns the bytes of "f" too.
    fn chain(dir: &std::path::Path, job: &mut Job) -> (DirStore, Vec<u8>) {
        let source = dir.join("tree");
        fs::create_dir(&source).unwrap();
        let mut store = DirStore::open(dir.join("store"));
        let mut bytes = vec![0; LEN];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        fs::write(source.join("f"), &bytes).unwrap();
        crate::backup::full(&mut store, &source, job).unwrap();
        for at in [LEN / 3, LEN / 2] {
            bytes.splice(at..at, *b"inserted");
            fs::write(source.join("f"), &bytes).unwrap();
            crate::backup::incremental(&mut store, &source, job).unwrap();
        }
        (store, bytes)
    }

    /// A content of pieces in memory and a content of traced commands yield the same parts.
    #[test]
    fn every_way_leads_to_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { cache_dir: Some(dir.path().join("cache")), threads: 1, ..Options::default() };
        let (cancel, mut silent) = (Cancel::default(), Silent);
        let mut job = Job::new(&options, &cancel, &mut silent);
        let (mut store, bytes) = chain(dir.path(), &mut job);
        let mut state = open_selected(&mut store, "tree", &Pool::new(1).unwrap(), &mut job).unwrap();
        let entry = state.entries().unwrap().last().unwrap().unwrap();
        assert_eq!(entry.place.content.len(), 3);
        let mut contents = Contents::new(&state.trailer().archives);
        assert!(contents.gather(&mut store, &entry).unwrap().is_some());
        contents.limits.fetched_max = 1000;
        assert!(contents.gather(&mut store, &entry).unwrap().is_none());
        for pieces_max in [usize::MAX, 1] {
            let mut contents = Contents::new(&state.trailer().archives);
            contents.limits.pieces_max = pieces_max;
            let mut layout = Layout::of(&mut contents, &mut store, &entry).unwrap();
            assert_eq!(matches!(layout.kind, LayoutKind::Traced(_)), pieces_max == 1);
            for (from, len) in
                [(0, u64::MAX), (LEN / 3 - 5, 20), (LEN / 2, 70_000), (LEN + 10, 50), (9 * LEN, 1)]
            {
                let mut got = Vec::new();
                let mut sink = |bytes: &[u8]| {
                    got.extend_from_slice(bytes);
                    Ok(())
                };
                layout.read(&mut contents, &mut store, from as u64, len, &mut sink).unwrap();
                let end = from.saturating_add(len as usize).min(bytes.len());
                assert!(got == bytes[from.min(end)..end], "{len} bytes from {from}");
            }
        }
    }
}
