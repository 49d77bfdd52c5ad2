//! Makes a new full snapshot out of the newest snapshot, from the store alone.
//!
//! The new snapshot has the same tree digest and the same scan time. So it restores the same tree, and the next
//! increment finds the same changes. Only the places of the bytes are new. The files that only the older chain needs
//! can then be pruned.
//!
//! A content that only a newer version can check is not copied: it stays in the archive that has it, and the new
//! snapshot needs that archive.
//!
//! Nothing is written if the newest snapshot is a full already, the store has all files of archives that it needs, and
//! all are its own except for those with such contents.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::commit::{self, Commit, MemberSpool, NewArchiveKind, NewArchives, NewState};
use crate::contents::{Contents, StateArchives, lost};
use crate::delta::Signer;
use crate::entry::{Entry, File, FileType, HardLink, LinkSet, Node, Place, Range, SigHash, SigRef};
use crate::error::{Error, Result};
use crate::format::{ArchiveFile, Header, Omissions, ParentRef, SnapshotKind, Special, StateReader, Trailer};
use crate::job::{Counter, Job, Level, Phase, Select};
use crate::pool::Pool;
use crate::spool::spool_error;
use crate::stamp::Time;
use crate::store::{
    Cache, Catalog, LockMode, NEW_FULL, Need, Store, archive_fault, begin, lock, newest, report_left_behind,
    sweep_drafts,
};

const OP: &str = "consolidate";

/// Makes a full snapshot with the entries of the newest snapshot of `key`. Either the full is complete or nothing is
/// committed: the first content that cannot be read exactly ends the call.
///
/// A damaged newest state is a problem. As for an increment, the newest state that verifies is used instead.
///
/// Errors: `NotFound` (the key has no snapshot), `Corrupt` or `Missing` (the states of all snapshots; a content: the
/// error names its archive), `Format` (made by a newer version), `Busy`, and the errors of the store.
pub fn consolidate(store: &mut dyn Store, key: &str, job: &mut Job) -> Result<()> {
    let key = begin(store, key, Need::Write, OP, job)?;
    if let Some(catalog) = Catalog::before_lock(store, &key)? {
        catalog.select(store, Select::Newest)?;
    }
    let lock = lock(store, &key, LockMode::Write, job)?;
    sweep_drafts(store, &key, &lock, job)?;
    let mut catalog = Catalog::read(store, &key)?;
    catalog.select(store, Select::Newest)?;
    let pool = Pool::start(job.options.threads)?;
    let (mut newest, lost) = newest(store, &catalog, &pool, job, &mut || ())?.needed(OP, &key)?;
    if !lost.is_empty() {
        lost.into_iter().try_for_each(|layer| layer.put_back(store, job))?;
        catalog = Catalog::read(store, &key)?;
    }
    if stands_alone(&mut newest, &catalog)? {
        job.report.snapshot = Some(newest.header().snapshot);
        job.report.digest = Some(newest.trailer().tree);
        job.log(
            Level::Info,
            &format!("snapshot {} of '{key}' needs no other already", newest.header().snapshot),
        );
        return Ok(());
    }
    let made = make(store, &catalog, newest, pool, job);
    report_left_behind(store, job).and(made)
}

/// True if a snapshot is a full, and needs no archive of another snapshot for an entry that this version can copy. The
/// store lists its own archives with their sizes, and all files of other archives that an entry needs.
fn stands_alone(state: &mut StateReader, catalog: &Catalog) -> Result<bool> {
    let is_there = |file: &ArchiveFile| catalog.size_of(&file.name) == Some(file.size);
    let header = state.header();
    let trailer = state.trailer().clone();
    let (own, of_others): (Vec<_>, Vec<_>) =
        (0u32..).zip(&trailer.archives).partition(|(_, archive)| archive.is_of(header.snapshot));
    if header.kind != SnapshotKind::Full
        || !own.iter().flat_map(|(_, archive)| archive.files()).all(|file| is_there(&file))
    {
        return Ok(false);
    }
    if of_others.is_empty() {
        return Ok(true);
    }
    let of_others: HashSet<u32> = of_others.into_iter().map(|(number, _)| number).collect();
    let files = StateArchives::new(&trailer.archives);
    let mut records = state.recorded()?;
    while let Some(recorded) = records.advance()? {
        let ranges = recorded.ranges().iter().filter(|range| of_others.contains(&range.archive));
        let mut needed = files.files_in(ranges).peekable();
        if needed.peek().is_some() && recorded.file_type() != FileType::Unknown
            || !needed.all(|file| files.file(file).is_ok_and(is_there))
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn make(
    store: &mut dyn Store,
    catalog: &Catalog,
    mut newest: StateReader,
    pool: Arc<Pool>,
    job: &mut Job,
) -> Result<()> {
    let header = header(&newest, store, catalog, job)?;
    let trailer = newest.trailer().clone();
    let cache = || Cache::of_series(job.options.cache_dir.as_deref(), &header.series);
    let archives = NewArchives::new(
        &header.key,
        header.snapshot,
        job.options,
        pool,
        (true, store.reads_cheaply()?),
        cache(),
    );
    let cache = cache();
    let mut state = NewState::whole(store, &archives, &header)?;
    *state.omissions() = Omissions::clone(&trailer.omissions);
    let contents = Contents::new(&trailer.archives).with_cancel(job.cancel());
    let lost = trailer.problems.iter().filter(|problem| commit::is_loss(problem));
    let lost = lost.filter_map(|problem| problem.path.clone()).collect();
    let mut copying =
        Copying { job, store, catalog, contents, archives, state, copied: HashMap::new(), lost };
    copying.job.phase(Phase::Read, trailer.totals.entries, trailer.totals.bytes)?;
    for entry in newest.entries()? {
        copying.entry(entry?)?;
    }
    copying.job.phase_done()?;
    let Copying { archives, state, lost, .. } = copying;
    job.phase(Phase::Commit, 0, 0)?;
    let mut original = Trailer::clone(&trailer);
    let is_lost = |path: &Option<Vec<u8>>| path.as_ref().is_none_or(|path| lost.contains(path));
    original.problems.retain(|problem| !commit::is_loss(problem) || is_lost(&problem.path));
    let header = &header;
    Commit {
        header,
        catalog,
        parents: &trailer.archives,
        archives,
        state,
        parent: None,
        cache,
        copy_of: Some(&original),
        partial: None,
    }
    .commit(store, job)?;
    let message = format!("made snapshot {} of '{}' from the store", header.snapshot, header.key);
    job.log(Level::Info, &message);
    Ok(())
}

/// The header of the new snapshot, with the source, host, labels, scan time and unknown fields of the newest one.
fn header(newest: &StateReader, store: &mut dyn Store, catalog: &Catalog, job: &mut Job) -> Result<Header> {
    let (old, now) = (newest.header(), Time::now());
    Ok(Header {
        snapshot: commit::next_stamp(store, catalog, Some(old.snapshot), now, job)?,
        kind: SnapshotKind::Full,
        seq: old.seq.saturating_add(1),
        library: concat!("ibt ", env!("CARGO_PKG_VERSION")).to_string(),
        made_at: now,
        layers: Vec::new(),
        parent: Some(ParentRef { snapshot: old.snapshot, tree: newest.trailer().tree }),
        ..Header::clone(old)
    })
}

/// The state of a consolidation while it copies entries.
struct Copying<'r, 'j> {
    job: &'r mut Job<'j>,
    store: &'r mut dyn Store,
    catalog: &'r Catalog,
    contents: Contents,
    archives: NewArchives,
    state: NewState,
    /// Where the content of each file with several names was stored.
    copied: HashMap<LinkSet, Copied>,
    /// The paths of lost contents in the problems of the snapshot that is copied, without those of files that were
    /// copied: their contents are right, for example because another copy of the store had the lost file.
    lost: HashSet<Vec<u8>>,
}

/// The places of a copied content and of its signature.
#[derive(Clone, Copy)]
struct Copied {
    content: Option<Range>,
    sig: Option<(Range, [u8; 16])>,
}

impl Copied {
    fn place(&self, place: Place) -> Place {
        let sig = self.sig.map(|(range, hash)| SigRef { content: vec![range], hash: SigHash::Blake3(hash) });
        Place { content: self.content.into_iter().collect(), sig, ..place }
    }
}

impl Copying<'_, '_> {
    /// Writes an entry unchanged, except for the place of its content.
    fn entry(&mut self, mut entry: Entry) -> Result<()> {
        self.job.step(entry.path.as_bytes())?;
        let set = entry.link_set();
        let copied = set.and_then(|set| self.copied.get(&set)).copied();
        let special = match &entry.link {
            HardLink::Further(first) if copied.is_some() || Special::of(&entry.node).is_some() => {
                Some(Special::HardLink(first))
            }
            _ => Special::of(&entry.node),
        };
        if let Some(special) = special {
            let writer = self.archives.writer(self.store, NewArchiveKind::Whole)?;
            writer.add_node(&entry.path, &entry.meta, special)?;
        }
        if let Some(file) = entry.file() {
            let copied = copied.map_or_else(|| self.file(&entry, file), Ok)?;
            entry.place = copied.place(entry.place);
            self.lost.remove(entry.path.as_bytes());
            set.map(|set| self.copied.insert(set, copied));
        }
        if let Node::Unknown(_) = entry.node {
            (entry.place.content, entry.place.sig) = self.inherit(&entry)?;
        }
        self.state.entry(&entry, None)?;
        let report = &mut self.job.report;
        report.count(Counter::Entries, 1);
        report.count(Counter::Bytes, entry.size());
        report.count(Counter::Unchanged, u64::from(!entry.place.dirty));
        Ok(())
    }

    /// Returns the places of an entry whose content only a newer version can check: the content stays in its archives.
    /// An error if the store has lost one of them. A lost signature is left out.
    fn inherit(&mut self, entry: &Entry) -> Result<(Vec<Range>, Option<SigRef>)> {
        let files = self.contents.archives();
        let fault = |file: u32| -> Option<Error> {
            let file = files.file(file).ok()?;
            let (kind, what) = archive_fault(file, self.catalog.size_of(&file.name))?;
            Some(Error::new(kind, OP, format!("{what}; {NEW_FULL}")).at(&file.name))
        };
        if let Some(fault) = files.files_in(&entry.place.content).find_map(fault) {
            return Err(lost(OP, &self.contents, entry, fault).1);
        }
        let has_sig = |sig: &SigRef| files.files_in(&sig.content).all(|file| fault(file).is_none());
        let has_sig = entry.place.sig.as_ref().is_some_and(has_sig);
        Ok(self.archives.inherit(&entry.place, has_sig))
    }

    /// Adds a file and its signature to the archives.
    fn file(&mut self, entry: &Entry, file: &File) -> Result<Copied> {
        let (offset, signature) = self.content(entry, file)?;
        let mut copied = Copied { content: None, sig: None };
        if file.data_len() > 0 {
            let archive = self.archives.number(NewArchiveKind::Whole);
            copied.content = Some(Range { archive, offset, len: file.data_len() });
        }
        if let Some(signature) = signature {
            let hash = signature.short_hash();
            let range = self.archives.add_spool(self.store, NewArchiveKind::Signatures, entry, signature)?;
            copied.sig = Some((range, hash));
        }
        Ok(copied)
    }

    /// Copies a content into the archive and computes its signature in the same pass. Returns the offset of the
    /// data, and the signature.
    fn content(&mut self, entry: &Entry, file: &File) -> Result<(u64, Option<MemberSpool>)> {
        let spooled = |e: std::io::Error| spool_error(&e);
        let params = self.archives.signing.params(file.data_len());
        let signer = params.map(|params| Signer::new(params, MemberSpool::new()));
        let mut signer = signer.transpose().map_err(spooled)?;
        let mut hasher = blake3::Hasher::new();
        let writer = self.archives.writer(self.store, NewArchiveKind::Whole)?;
        let offset = writer.begin_file(&entry.path, &entry.meta, file.size, &file.holes)?;
        let job = &mut *self.job;
        let mut take = |piece: &[u8]| {
            hasher.update(piece);
            signer.as_mut().map_or(Ok(()), |signer| signer.update(piece)).map_err(spooled)?;
            writer.write(piece)?;
            job.report.count(Counter::BytesRead, piece.len() as u64);
            job.advance(piece.len() as u64)
        };
        let read = self.contents.read(self.store, entry, &mut take)?;
        let right = file.hash == hasher.finalize().into();
        let read = read.and_then(|()| if right { Ok(()) } else { Err(self.contents.differs(entry, file)) });
        read.map_err(|error| lost(OP, &self.contents, entry, error).1)?;
        writer.end()?;
        Ok((offset, signer.map(Signer::finish).transpose().map_err(spooled)?))
    }
}
