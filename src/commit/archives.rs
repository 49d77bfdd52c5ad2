//! The archives that one run writes, and the numbers of all archives in the new state: those of this run and
//! those inherited from the parent's state. An archive is begun when its first member is written.

use std::collections::HashMap;
use std::sync::Arc;

use crate::delta::SigningRule;
use crate::entry::{Entry, Place, Range, SigRef};
use crate::error::{Error, Kind, Result};
use crate::format::names::{BackupFileKind, Name, part_name};
use crate::format::{
    ArchiveFile, ArchiveRef, ArchiveWriter, FrameWriter, SHORT_FRAME_LEN, Written, WrittenPart,
};
use crate::job::{Codec, Options};
use crate::pool::Pool;
use crate::stamp::Stamp;
use crate::store::{Cache, Draft, DraftSink, Store};

use super::member_spool::MemberSpool;

/// One of the three archives that a run can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewArchiveKind {
    /// Whole files: the `full` archive of a full, the `created` archive of an increment.
    Whole = 0,
    /// Deltas: the `updated` archive.
    Deltas = 1,
    /// Signatures: the SigVault.
    Signatures = 2,
}

/// The origin of an archive of the new state.
#[derive(Clone, Copy, Debug)]
enum ArchiveOrigin {
    /// This run writes the archive.
    Own(NewArchiveKind),
    /// The parent's state names the archive, at this index.
    Parent(u32),
}

pub struct NewArchives {
    key: String,
    stamp: Stamp,
    codec: Codec,
    /// The greatest size of a part of an archive; `None` for archives in one file.
    part_size: Option<u64>,
    pool: Arc<Pool>,
    full: bool,
    /// Which contents get a signature.
    pub signing: SigningRule,
    cache: Option<Cache>,
    writers: [Option<ArchiveWriter<DraftSink>>; 3],
    /// All archives of the new state; an archive's number is its index here.
    order: Vec<ArchiveOrigin>,
    /// The numbers of this run's archives, by kind; `None` until an entry refers to the archive.
    own: [Option<u32>; 3],
    /// The numbers of inherited archives, by their numbers in the parent's state.
    inherited: HashMap<u32, u32>,
}

/// An archive that is complete but not committed.
pub struct FinishedArchive {
    pub reference: ArchiveRef,
    pub sink: DraftSink,
}

/// The archives of a run that goes on, up to the last part that is complete.
pub struct ClosedParts {
    pub references: Vec<ArchiveRef>,
    pub drafts: Vec<Box<dyn Draft>>,
}

impl NewArchives {
    /// The codec, the size of parts and the kind of deltas are those of the options. `reads_cheaply`: reading from the
    /// store is cheap.
    pub fn new(
        key: &str,
        stamp: Stamp,
        options: &Options,
        pool: Arc<Pool>,
        (full, reads_cheaply): (bool, bool),
        cache: Option<Cache>,
    ) -> Self {
        let signing = match options.delta.reads_contents(reads_cheaply) {
            true => SigningRule::FOR_CONTENTS,
            false => SigningRule::FOR_SIGNATURES,
        };
        NewArchives {
            key: key.to_string(),
            stamp,
            codec: options.codec,
            part_size: Some(options.part_size).filter(|size| *size > 0),
            pool,
            full,
            signing,
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

    fn file_kind(&self, kind: NewArchiveKind) -> BackupFileKind {
        match kind {
            NewArchiveKind::Whole if self.full => BackupFileKind::Full,
            NewArchiveKind::Whole => BackupFileKind::Created,
            NewArchiveKind::Deltas => BackupFileKind::Updated,
            NewArchiveKind::Signatures => BackupFileKind::SigVault,
        }
    }

    /// The name of this run's file of the given kind.
    pub fn name(&self, kind: BackupFileKind) -> String {
        self.numbered_name(kind, 1)
    }

    fn numbered_name(&self, kind: BackupFileKind, number: u32) -> String {
        let compressed = self.codec != Codec::None;
        Name { key: self.key.clone(), kind, stamp: self.stamp, part: number, compressed }.to_string()
    }

    /// Begins partial state `number` of this run. Also returns its name.
    pub fn partial_draft(
        &self,
        store: &mut dyn Store,
        number: u32,
    ) -> Result<(String, FrameWriter<DraftSink>)> {
        let name = self.numbered_name(BackupFileKind::PartialState, number);
        let frames = self.begin(store, BackupFileKind::PartialState, &name, false)?;
        Ok((name, frames))
    }

    /// Begins a file of the store and returns the writer of its frames. If `cached`, the file is copied into
    /// the cache too.
    pub fn draft(
        &self,
        store: &mut dyn Store,
        kind: BackupFileKind,
        cached: bool,
    ) -> Result<FrameWriter<DraftSink>> {
        self.begin(store, kind, &self.name(kind), cached)
    }

    fn begin(
        &self,
        store: &mut dyn Store,
        kind: BackupFileKind,
        name: &str,
        cached: bool,
    ) -> Result<FrameWriter<DraftSink>> {
        let draft = store.create(name)?;
        let copy = self.cache.as_ref().filter(|_| cached).and_then(|cache| cache.copy(name));
        let codec = match self.codec {
            // The lines of a state are so alike that level 1 compresses them better than higher levels do, in
            // half the time.
            Codec::Zstd(_) if !kind.is_archive() => Codec::Zstd(1),
            codec => codec,
        };
        let writer = FrameWriter::new(DraftSink::new(draft, copy), codec, self.pool.clone());
        let writer = match kind {
            // The writer of a state ends its frames between lines.
            BackupFileKind::Full | BackupFileKind::State | BackupFileKind::PartialState => writer,
            _ => writer.with_frame_len(SHORT_FRAME_LEN),
        };
        Ok(match self.part_size.filter(|_| kind.is_archive()) {
            Some(size) => writer.with_parts(size),
            None => writer,
        })
    }

    /// Makes archives that can be divided at any time ([`NewArchives::close_parts`]). To be called before the first
    /// archive is begun.
    pub fn divisible(self) -> Self {
        NewArchives { part_size: Some(self.part_size.unwrap_or(u64::MAX)), ..self }
    }

    /// The archive of a kind; begins the archive if nothing was written to it yet.
    pub fn writer(
        &mut self,
        store: &mut dyn Store,
        kind: NewArchiveKind,
    ) -> Result<&mut ArchiveWriter<DraftSink>> {
        if self.writers[kind as usize].is_none() {
            let frames = self.draft(store, self.file_kind(kind), kind == NewArchiveKind::Signatures)?;
            self.writers[kind as usize] = Some(ArchiveWriter::new(frames));
        }
        self.begun(kind)
    }

    /// The archive of a kind that [`NewArchives::writer`] began.
    pub fn begun(&mut self, kind: NewArchiveKind) -> Result<&mut ArchiveWriter<DraftSink>> {
        let missing = || Error::new(Kind::Panic, "write an archive", "it was not begun");
        self.writers[kind as usize].as_mut().ok_or_else(missing)
    }

    /// The number of this run's archive `kind` in the new state; assigns the next number on the first call.
    pub fn number(&mut self, kind: NewArchiveKind) -> u32 {
        let next = self.order.len() as u32;
        *self.own[kind as usize].get_or_insert_with(|| {
            self.order.push(ArchiveOrigin::Own(kind));
            next
        })
    }

    /// The number in the new state of the archive that has the number `parents` in the parent's state. Assigns the next
    /// number on the first call.
    pub fn inherit_one(&mut self, parents: u32) -> u32 {
        let next = self.order.len() as u32;
        *self.inherited.entry(parents).or_insert_with(|| {
            self.order.push(ArchiveOrigin::Parent(parents));
            next
        })
    }

    fn inherit_ranges(&mut self, ranges: &[Range]) -> Vec<Range> {
        ranges.iter().map(|range| Range { archive: self.inherit_one(range.archive), ..*range }).collect()
    }

    /// Translates the ranges of a content and of its signature from the parent's archive numbers to those of
    /// the new state. Without `keep_sig` the signature is dropped.
    pub fn inherit(&mut self, place: &Place, keep_sig: bool) -> (Vec<Range>, Option<SigRef>) {
        let content = self.inherit_ranges(&place.content);
        let sig = place.sig.as_ref().filter(|_| keep_sig);
        let sig =
            sig.map(|sig| SigRef { content: self.inherit_ranges(&sig.content), hash: sig.hash.clone() });
        (content, sig)
    }

    /// The number in the new state of the archive that has the number `parents` in the parent's state; `None` if the
    /// archive has no number in the new state.
    pub fn inherited(&self, parents: u32) -> Option<u32> {
        self.inherited.get(&parents).copied()
    }

    /// An entry of the parent with the archive numbers of the new state; `None` if one of its archives has no number in
    /// the new state.
    pub fn as_inherited(&self, mut entry: Entry) -> Option<Entry> {
        let sig = entry.place.sig.iter_mut().flat_map(|sig| &mut sig.content);
        for range in entry.place.content.iter_mut().chain(sig) {
            range.archive = self.inherited(range.archive)?;
        }
        Some(entry)
    }

    /// Adds a delta or a signature as a member with the path of its entry; returns where the bytes lie.
    pub fn add_spool(
        &mut self,
        store: &mut dyn Store,
        kind: NewArchiveKind,
        entry: &Entry,
        spool: MemberSpool,
    ) -> Result<Range> {
        let len = spool.len();
        let writer = self.writer(store, kind)?;
        let offset = writer.begin_raw(&entry.path, &entry.meta, len)?;
        spool.each(|bytes| writer.write(bytes))?;
        writer.end()?;
        Ok(Range { archive: self.number(kind), offset, len })
    }

    /// Completes every archive that the new state names. Returns the references of all archives in the order of their
    /// numbers, and the finished archives of this run. An archive of this run without a number is discarded: no entry
    /// refers to it, so it holds only abandoned members. A full always has its `full` archive and its SigVault, even if
    /// both are empty.
    pub fn finish(
        &mut self,
        store: &mut dyn Store,
        parents: &[ArchiveRef],
    ) -> Result<(Vec<ArchiveRef>, Vec<FinishedArchive>)> {
        if self.full {
            for kind in [NewArchiveKind::Whole, NewArchiveKind::Signatures] {
                self.writer(store, kind)?;
                self.number(kind);
            }
        }
        let mut references = Vec::with_capacity(self.order.len());
        let mut finished = Vec::new();
        for origin in std::mem::take(&mut self.order) {
            match origin {
                ArchiveOrigin::Parent(index) => references.push(inherited(parents, index)?),
                ArchiveOrigin::Own(kind) => {
                    let done = self.finish_one(kind)?;
                    references.push(done.reference.clone());
                    finished.push(done);
                }
            }
        }
        self.writers = [None, None, None];
        Ok((references, finished))
    }

    fn finish_one(&mut self, kind: NewArchiveKind) -> Result<FinishedArchive> {
        let writer = self.writers[kind as usize].take();
        let writer =
            writer.ok_or_else(|| Error::new(Kind::Panic, "finish an archive", "it was not begun"))?;
        let written = writer.finish()?;
        Ok(FinishedArchive { reference: self.reference(kind, &written), sink: written.out })
    }

    fn reference<T>(&self, kind: NewArchiveKind, written: &Written<T>) -> ArchiveRef {
        let kind = self.file_kind(kind);
        let name = self.name(kind);
        let part = |(number, part): (u32, &WrittenPart)| {
            let WrittenPart { size, stream, digest } = *part;
            ArchiveFile { name: part_name(&name, number), kind, size, stream, digest }
        };
        let parts = (1..).zip(&written.parts).map(part).collect();
        let Written { size, stream, digest, .. } = *written;
        ArchiveRef { name, kind, size, stream, digest, parts }
    }

    /// Ends the current part of each archive of this run that an entry refers to, so that complete parts have
    /// everything that was stored so far. Returns the references of all archives as they are now, in the order of their
    /// numbers, and the drafts of the parts that were not returned before. `None` if an archive cannot be divided
    /// further.
    pub fn close_parts(&mut self, parents: &[ArchiveRef]) -> Result<Option<ClosedParts>> {
        let mut closed = ClosedParts { references: Vec::new(), drafts: Vec::new() };
        for origin in self.order.clone() {
            let kind = match origin {
                ArchiveOrigin::Parent(index) => {
                    closed.references.push(inherited(parents, index)?);
                    continue;
                }
                ArchiveOrigin::Own(kind) => kind,
            };
            let Some(written) = self.begun(kind)?.close_part()? else { return Ok(None) };
            closed.references.push(self.reference(kind, &written));
        }
        // Taken only now: drafts that were taken are published, or lost.
        for kind in self.order.clone() {
            if let ArchiveOrigin::Own(kind) = kind {
                closed.drafts.extend(self.begun(kind)?.sink_mut().take_complete());
            }
        }
        Ok(Some(closed))
    }
}

fn inherited(parents: &[ArchiveRef], index: u32) -> Result<ArchiveRef> {
    let found = parents.get(index as usize).cloned();
    found.ok_or_else(|| Error::new(Kind::Panic, "carry an archive forward", "the parent does not name it"))
}
