//! Where the bytes of one content lie: worked out once, then read from any place.

use std::fs;
use std::io::{self, Write};

use crate::delta::{Piece, Plan};
use crate::entry::{Entry, Range};
use crate::error::Result;
use crate::format::FRAME_LEN;
use crate::store::Store;

use super::by_frame;
use super::chain::Chain;
use super::Contents;

/// The way to a content (a file's extents, concatenated). Belongs to the [`Contents`] that it was made with.
pub struct Layout {
    /// The whole copy and the deltas.
    ranges: Vec<Range>,
    way: Way,
    /// Bytes of frames that reading parts has taken, and how many it may take before the content is put
    /// together: a caller that reads a part at a time has frames decoded again for each.
    spent: u64,
    budget: u64,
    /// The content itself, in an unlinked temporary file.
    together: Option<fs::File>,
}

enum Way {
    /// The whole copy is the content; without one there is none.
    Whole,
    /// Pieces of the whole copy and of the deltas.
    Composed(Plan),
    /// Too many pieces to hold: the commands that lead to them.
    Traced(Chain),
}

impl Layout {
    /// Reads the deltas of `entry`, once or twice, for their commands.
    pub fn of(contents: &mut Contents, store: &mut dyn Store, entry: &Entry) -> Result<Self> {
        let ranges = entry.place.content.clone();
        let way = match &ranges[..] {
            [] | [_] => Way::Whole,
            [whole, deltas @ ..] => {
                contents.archives().check_deltas(entry, deltas)?;
                match contents.compose(store, entry, whole, deltas)? {
                    Some(plan) => Way::Composed(plan),
                    None => Way::Traced(contents.chain(store, entry, whole, deltas)?),
                }
            }
        };
        let stored = ranges.iter().fold(0, |sum: u64, range| sum.saturating_add(range.len));
        let budget = stored.saturating_add(16 * FRAME_LEN as u64).saturating_mul(2);
        Ok(Layout { ranges, way, spent: 0, budget, together: None })
    }

    /// Hands `len` bytes from `offset` to `sink`, in order, fewer where the content ends. Only frames that
    /// hold some of them are read, until that has cost more than to read all once.
    pub fn read(
        &mut self,
        contents: &mut Contents,
        store: &mut dyn Store,
        offset: u64,
        len: u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        if self.spent > self.budget && self.together.is_none() && !matches!(self.way, Way::Whole) {
            self.put_together(contents, store)?;
        }
        if let Some(file) = &self.together {
            return by_frame::each(file, offset, len, sink);
        }
        let before = contents.fetched;
        let read = self.read_pieces(contents, store, offset, len, sink);
        self.spent = self.spent.saturating_add(contents.fetched - before);
        read
    }

    /// Without room for a temporary file, parts are read as before.
    fn put_together(&mut self, contents: &mut Contents, store: &mut dyn Store) -> Result<()> {
        self.budget = self.budget.saturating_mul(2);
        let Ok(mut file) = tempfile::tempfile() else { return Ok(()) };
        let mut failed = false;
        let read = self.read_pieces(contents, store, 0, u64::MAX, &mut |bytes| {
            file.write_all(bytes).map_err(|e: io::Error| {
                failed = true;
                super::chain::trouble(&e)
            })
        });
        match read {
            Err(_) if failed => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                self.together = Some(file);
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
        let stored = |piece: Piece| {
            let source = ranges[piece.source as usize];
            Range { offset: source.offset + piece.offset, len: piece.len, ..source }
        };
        match &mut self.way {
            Way::Whole => {
                let Some(whole) = ranges.first() else { return Ok(()) };
                match len.min(whole.len.saturating_sub(offset)) {
                    0 => Ok(()),
                    len => {
                        contents.each(store, std::iter::once(stored(Piece { len, source: 0, offset })), sink)
                    }
                }
            }
            Way::Composed(plan) => contents.pieces(store, plan.range(offset, len).map(stored), sink),
            Way::Traced(chain) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Cancel, Job, Options, Silent};
    use crate::pool::Pool;
    use crate::store::open_selected;
    use crate::store::DirStore;

    const LEN: usize = 200_000;

    /// A store in which file "f" is a whole copy and two deltas, and what "f" is.
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

    /// Whole copies, pieces and traced commands give the same parts.
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
            assert_eq!(matches!(layout.way, Way::Traced(_)), pieces_max == 1);
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
