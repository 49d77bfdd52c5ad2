//! Any part of one file of a snapshot.

use crate::contents::{Contents, Layout};
use crate::entry::{Entry, File, Node, extents};
use crate::error::{Error, Kind, Result};
use crate::job::Flow;
use crate::store::Store;

/// Zeros: the bytes of a hole.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

type ByteSink<'s> = dyn FnMut(&[u8]) -> Flow + 's;

/// A file with the layout of its content, which is found once and used for any number of reads.
pub struct OpenFile {
    pub entry: Entry,
    file: File,
    layout: Layout,
    /// The parts of the file that have data, ascending.
    extents: Vec<Extent>,
}

/// A part of a file that is not a hole.
#[derive(Debug, PartialEq, Eq)]
struct Extent {
    /// Offset in the file.
    offset: u64,
    len: u64,
    /// Offset in the content, which is the extents, concatenated.
    data: u64,
}

impl OpenFile {
    pub fn new(entry: Entry, contents: &mut Contents, store: &mut dyn Store) -> Result<Self> {
        if let Node::Unknown(node) = &entry.node {
            return Err(Error::new(Kind::Unsupported, "read", node.why()).at(&entry.path));
        }
        let Some(file) = entry.file().cloned() else {
            return Err(Error::new(Kind::InvalidArg, "read", "it is not a file").at(&entry.path));
        };
        let layout = Layout::of(contents, store, &entry)?;
        let mut data = 0;
        let place = |(offset, len)| {
            let extent = Extent { offset, len, data };
            data += len;
            extent
        };
        let extents = extents(file.size, &file.holes).into_iter().map(place).collect();
        Ok(OpenFile { entry, file, layout, extents })
    }

    /// See [`Snapshot::read`](super::Snapshot::read).
    pub fn read(
        &mut self,
        contents: &mut Contents,
        store: &mut dyn Store,
        offset: u64,
        len: u64,
        sink: &mut ByteSink,
    ) -> Result<()> {
        let end = offset.saturating_add(len).min(self.file.size);
        let mut hasher = (offset == 0 && end == self.file.size).then(blake3::Hasher::new);
        let mut delivery = Delivery { sink, ended: None };
        let result = self.deliver(contents, store, offset, end, &mut hasher, &mut delivery);
        match delivery.ended {
            Some(Flow::Stop) => return Ok(()),
            Some(_) => return Err(Error::cancelled()),
            None => result?,
        }
        match hasher {
            Some(hasher) if self.file.hash != hasher.finalize().into() => {
                Err(contents.differs(&self.entry, &self.file))
            }
            _ => Ok(()),
        }
    }

    fn deliver(
        &mut self,
        contents: &mut Contents,
        store: &mut dyn Store,
        mut at: u64,
        end: u64,
        hasher: &mut Option<blake3::Hasher>,
        delivery: &mut Delivery,
    ) -> Result<()> {
        let first = self.extents.partition_point(|extent| extent.offset + extent.len <= at);
        for extent in &self.extents[first..] {
            if at >= end || extent.offset >= end {
                break;
            }
            if extent.offset > at {
                delivery.zeros(extent.offset - at)?;
                at = extent.offset;
            }
            let stop = end.min(extent.offset + extent.len);
            let from = extent.data + (at - extent.offset);
            self.layout.read(contents, store, from, stop - at, &mut |bytes| {
                if let Some(hasher) = hasher {
                    hasher.update(bytes);
                }
                delivery.bytes(bytes)
            })?;
            at = stop;
        }
        delivery.zeros(end.saturating_sub(at))
    }
}

/// A sink that remembers why it ended the reading.
struct Delivery<'a, 's> {
    sink: &'a mut ByteSink<'s>,
    ended: Option<Flow>,
}

impl Delivery<'_, '_> {
    /// Fails when the sink does not answer [`Flow::Continue`].
    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        match (self.sink)(bytes) {
            Flow::Continue => Ok(()),
            flow => {
                self.ended = Some(flow);
                Err(Error::cancelled())
            }
        }
    }

    fn zeros(&mut self, mut len: u64) -> Result<()> {
        while len > 0 {
            let piece = len.min(ZEROS.len() as u64);
            self.bytes(&ZEROS[..piece as usize])?;
            len -= piece;
        }
        Ok(())
    }
}
