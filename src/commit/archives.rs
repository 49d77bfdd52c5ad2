//! The archives one run writes, each begun when it has something to hold, and the numbers under which the
//! new state knows them and the parent's.

use std::collections::HashMap;
use std::sync::Arc;

use crate::entry::{Entry, Place, Range, SigRef};
use crate::error::{Error, Kind, Result};
use crate::format::names::{Kind as FileKind, Name};
use crate::format::{ArchiveRef, ArchiveWriter, FrameWriter, Written, SHORT_FRAME_LEN};
use crate::job::Codec;
use crate::pool::Pool;
use crate::stamp::Stamp;
use crate::store::{Cache, DraftSink, Store};

use super::spool::Spool;

/// Which of a run's archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Whole files: `full` or `created`.
    Whole = 0,
    /// Deltas: `updated`.
    Deltas = 1,
    Signatures = 2,
}

/// Where a numbered archive comes from.
#[derive(Clone, Copy, Debug)]
enum Origin {
    Own(Slot),
    /// Index into the parent's archives.
    Parent(u32),
}

pub struct Archives {
    key: String,
    stamp: Stamp,
    codec: Codec,
    pool: Arc<Pool>,
    full: bool,
    cache: Option<Cache>,
    writers: [Option<ArchiveWriter<DraftSink>>; 3],
    order: Vec<Origin>,
    own: [Option<u32>; 3],
    inherited: HashMap<u32, u32>,
}

/// An archive that is complete but not committed.
pub struct Finished {
    pub reference: ArchiveRef,
    pub sink: DraftSink,
}

impl Archives {
    pub fn new(
        key: &str,
        stamp: Stamp,
        codec: Codec,
        pool: Arc<Pool>,
        full: bool,
        cache: Option<Cache>,
    ) -> Self {
        Archives {
            key: key.to_string(),
            stamp,
            codec,
            pool,
            full,
            cache,
            writers: [None, None, None],
            order: Vec::new(),
            own: [None; 3],
            inherited: HashMap::new(),
        }
    }

    pub fn is_full(&self) -> bool {
        self.full
    }

    fn kind(&self, slot: Slot) -> FileKind {
        match slot {
            Slot::Whole if self.full => FileKind::Full,
            Slot::Whole => FileKind::Created,
            Slot::Deltas => FileKind::Updated,
            Slot::Signatures => FileKind::SigVault,
        }
    }

    /// The name of a file of this run.
    pub fn name(&self, kind: FileKind) -> String {
        let compressed = self.codec != Codec::None;
        Name { key: self.key.clone(), kind, stamp: self.stamp, part: 1, compressed }.to_string()
    }

    /// A stream of frames into a new draft; `cached` ones are copied to the cache too.
    pub fn draft(
        &self,
        store: &mut dyn Store,
        kind: FileKind,
        cached: bool,
    ) -> Result<FrameWriter<DraftSink>> {
        let name = self.name(kind);
        let draft = store.create(&name)?;
        let copy = self.cache.as_ref().filter(|_| cached).and_then(|cache| cache.copy(&name));
        let codec = match self.codec {
            // Of lines so alike the lowest level makes less, in half the time.
            Codec::Zstd(_) if kind == FileKind::State => Codec::Zstd(1),
            codec => codec,
        };
        let writer = FrameWriter::new(DraftSink { draft, copy }, codec, self.pool.clone());
        Ok(match kind {
            FileKind::Full | FileKind::State => writer,
            _ => writer.with_frame_len(SHORT_FRAME_LEN),
        })
    }

    /// The archive of a slot, begun if need be.
    pub fn writer(&mut self, store: &mut dyn Store, slot: Slot) -> Result<&mut ArchiveWriter<DraftSink>> {
        if self.writers[slot as usize].is_none() {
            let frames = self.draft(store, self.kind(slot), slot == Slot::Signatures)?;
            self.writers[slot as usize] = Some(ArchiveWriter::new(frames));
        }
        self.begun(slot)
    }

    /// The archive of a slot that [`Archives::writer`] began.
    pub fn begun(&mut self, slot: Slot) -> Result<&mut ArchiveWriter<DraftSink>> {
        let missing = || Error::new(Kind::Panic, "write an archive", "it was not begun");
        self.writers[slot as usize].as_mut().ok_or_else(missing)
    }

    /// The number of one of this run's archives in the new state.
    pub fn number(&mut self, slot: Slot) -> u32 {
        let next = self.order.len() as u32;
        *self.own[slot as usize].get_or_insert_with(|| {
            self.order.push(Origin::Own(slot));
            next
        })
    }

    /// The number of one of the parent's archives in the new state.
    pub fn inherit_one(&mut self, parents: u32) -> u32 {
        let next = self.order.len() as u32;
        *self.inherited.entry(parents).or_insert_with(|| {
            self.order.push(Origin::Parent(parents));
            next
        })
    }

    fn inherit_ranges(&mut self, ranges: &[Range]) -> Vec<Range> {
        ranges.iter().map(|range| Range { archive: self.inherit_one(range.archive), ..*range }).collect()
    }

    /// Where the parent says a content and its signature lie, in the numbers of the new state. `keep_sig`
    /// false leaves the signature behind.
    pub fn inherit(&mut self, place: &Place, keep_sig: bool) -> (Vec<Range>, Option<SigRef>) {
        let content = self.inherit_ranges(&place.content);
        let sig = place.sig.as_ref().filter(|_| keep_sig);
        let sig = sig.map(|sig| SigRef { ranges: self.inherit_ranges(&sig.ranges), hash: sig.hash });
        (content, sig)
    }

    /// Adds a delta or a signature as a member named after its entry.
    pub fn add_spool(
        &mut self,
        store: &mut dyn Store,
        slot: Slot,
        entry: &Entry,
        spool: Spool,
    ) -> Result<Range> {
        let len = spool.len();
        let writer = self.writer(store, slot)?;
        let offset = writer.begin_raw(&entry.path, &entry.meta, len)?;
        spool.drain(|bytes| writer.write(bytes))?;
        writer.end()?;
        Ok(Range { archive: self.number(slot), offset, len })
    }

    /// Completes every archive that the state names. What no entry names is given up: it holds only
    /// abandoned members. A full always has its archive and its SigVault.
    pub fn finish(
        &mut self,
        store: &mut dyn Store,
        parents: &[ArchiveRef],
    ) -> Result<(Vec<ArchiveRef>, Vec<Finished>)> {
        if self.full {
            for slot in [Slot::Whole, Slot::Signatures] {
                self.writer(store, slot)?;
                self.number(slot);
            }
        }
        let mut references = Vec::with_capacity(self.order.len());
        let mut finished = Vec::new();
        for origin in std::mem::take(&mut self.order) {
            match origin {
                Origin::Parent(index) => references.push(inherited(parents, index)?),
                Origin::Own(slot) => {
                    let done = self.finish_one(slot)?;
                    references.push(done.reference.clone());
                    finished.push(done);
                }
            }
        }
        self.writers = [None, None, None];
        Ok((references, finished))
    }

    fn finish_one(&mut self, slot: Slot) -> Result<Finished> {
        let kind = self.kind(slot);
        let writer = self.writers[slot as usize].take();
        let writer =
            writer.ok_or_else(|| Error::new(Kind::Panic, "finish an archive", "it was not begun"))?;
        let Written { size, stream, digest, out } = writer.finish()?;
        Ok(Finished {
            reference: ArchiveRef { name: self.name(kind), kind, size, stream, digest },
            sink: out,
        })
    }
}

fn inherited(parents: &[ArchiveRef], index: u32) -> Result<ArchiveRef> {
    let found = parents.get(index as usize).cloned();
    found.ok_or_else(|| Error::new(Kind::Panic, "carry an archive forward", "the parent does not name it"))
}
