//! Where the bytes of one content lie: worked out once, then read from any place.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;

use crate::delta::Plan;
use crate::entry::{Entry, Range};
use crate::error::{Error, Result};
use crate::store::Store;

use super::Contents;

/// Bytes handed on at a time where they are copied.
const CHUNK: usize = 256 << 10;

/// The way to a content (a file's extents, concatenated). Belongs to the [`Contents`] that it was made with.
#[derive(Debug)]
pub struct Layout {
    /// The whole copy and the deltas.
    ranges: Vec<Range>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// The whole copy is the content; without one there is none.
    Whole,
    /// Pieces of the whole copy and of the deltas.
    Composed(Plan),
    /// Too many pieces: the content itself, in an unlinked temporary file.
    Patched(fs::File),
}

impl Layout {
    /// Reads the deltas of `entry`, once, for their commands.
    pub fn of(contents: &mut Contents, store: &mut dyn Store, entry: &Entry) -> Result<Self> {
        let ranges = entry.place.content.clone();
        let way = match &ranges[..] {
            [] | [_] => Way::Whole,
            [whole, deltas @ ..] => match contents.compose(store, entry, whole, deltas)? {
                Some(plan) => Way::Composed(plan),
                None => Way::Patched(contents.patch_in_turn(store, entry, whole, deltas)?),
            },
        };
        Ok(Layout { ranges, way })
    }

    /// Hands `len` bytes from `offset` to `sink`, in order, fewer where the content ends. Only frames that
    /// hold some of them are read.
    pub fn read(
        &self,
        contents: &mut Contents,
        store: &mut dyn Store,
        offset: u64,
        len: u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        match &self.way {
            Way::Whole => {
                let Some(whole) = self.ranges.first() else { return Ok(()) };
                let len = len.min(whole.len.saturating_sub(offset));
                match len {
                    0 => Ok(()),
                    _ => {
                        let part = Range { offset: whole.offset + offset, len, ..*whole };
                        contents.each(store, std::iter::once(part), sink)
                    }
                }
            }
            Way::Composed(plan) => {
                let pieces = plan.range(offset, len).map(|piece| {
                    let source = self.ranges[piece.source as usize];
                    Range { offset: source.offset + piece.offset, len: piece.len, ..source }
                });
                let mut joined = Joined { sink, buf: Vec::new() };
                contents.each(store, pieces, &mut |bytes| joined.take(bytes))?;
                joined.flush()
            }
            Way::Patched(file) => copy(file, offset, len, sink),
        }
    }
}

/// Hands bytes on in longer pieces: those of a composed content are often as short as a page.
struct Joined<'s> {
    sink: &'s mut dyn FnMut(&[u8]) -> Result<()>,
    buf: Vec<u8>,
}

impl Joined<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buf.len() + bytes.len() > CHUNK {
            self.flush()?;
        }
        if bytes.len() >= CHUNK {
            return (self.sink)(bytes);
        }
        self.buf.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.buf.is_empty() {
            (self.sink)(&self.buf)?;
        }
        self.buf.clear();
        Ok(())
    }
}

fn copy(
    file: &fs::File,
    mut at: u64,
    mut left: u64,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut buf = vec![0; CHUNK];
    while left > 0 {
        let want = left.min(CHUNK as u64) as usize;
        match file.read_at(&mut buf[..want], at) {
            Ok(0) => break,
            Ok(got) => {
                sink(&buf[..got])?;
                at += got as u64;
                left -= got as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::own("read a temporary file", &error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Cancel, Job, Options, Silent};
    use crate::pool::Pool;
    use crate::restore::open_selected;
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

    /// Whole copies, pieces and temporary files give the same parts.
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
        contents.gathered_max = 1000;
        assert!(contents.gather(&mut store, &entry).unwrap().is_none());
        for pieces_max in [usize::MAX, 1] {
            let mut contents = Contents::new(&state.trailer().archives);
            contents.pieces_max = pieces_max;
            let layout = Layout::of(&mut contents, &mut store, &entry).unwrap();
            assert_eq!(matches!(layout.way, Way::Patched(_)), pieces_max == 1);
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
