//! Stores the content of one file: nothing if the content is the old one or is stored already elsewhere, a delta if a
//! delta pays, else the whole content.

use std::fs::File as SourceFile;
use std::sync::Arc;

use crate::commit::{MemberSpool, NewArchiveKind, NewArchives};
use crate::contents::{Layout, SignatureLen};
use crate::delta::{FineSearch, Params, SignatureDelta};
use crate::entry::{Entry, File, Hash, Node, Path, Place, Range, SigHash, SigRef};
use crate::error::{Error, Kind, Result};
use crate::job::{Counter, Job, ProblemKind};
use crate::platform::{Names, Stat};
use crate::pool::Pool;
use crate::spool::spool_error;
use crate::store::Store;
use crate::walk::Devices;

use super::chunk_pipeline::{ChunkPipeline, DeltaBasis, Processed, Purpose};
use super::finer::{FinerDelta, OldContentReader, finer};
use super::heal::LostPart;
use super::new_entry::StoredAs;
use super::old_bytes::OldBytes;
use super::parent::Parent;
use super::pointed_contents::{lost_source, read_to_check};
use super::reading::{FileAttributes, FileError, FileResult, ReadEnd, look_again, read_data};
use super::small::{
    self, ATTEMPTS, ContentForm, DeltaAgainst, Loss, NewDelta, OldContent, SmallFileResult, deltas_len,
    longest_delta,
};
use super::stored_contents::{StoredContent, StoredContents};

/// A content has at most this many deltas. The next change is stored whole.
const DELTAS_MAX: usize = 64;
/// A signature has at most this many deltas. The next one is stored whole.
const SIGNATURE_DELTAS_MAX: usize = 8;
/// Approximate length, in bytes, of the delta of a signature that differs in one record.
const SIGNATURE_DELTA_MIN: u64 = 40;
/// A content has at most this many pieces, over all its deltas. Each piece takes 32 bytes of memory.
const PIECES_MAX: usize = 1 << 20;
/// A file of at most this many bytes is compared with its old content even if no block of it is unchanged. Until the
/// comparison, the bytes of the file are in temporary storage.
const COMPARED_MAX: u64 = 64 << 20;
/// A content has at most one piece for each `PIECE_MIN` of its bytes.
const PIECE_MIN: u64 = 256;
/// A content of fewer bytes gets no delta that is made byte by byte: the archive has a header of 512 bytes for each
/// delta.
const BYTEWISE_MIN: u64 = 1 << 10;

/// The parts of a run that store a file.
pub struct FileStorer<'r, 'j, 's> {
    pub job: &'r mut Job<'j>,
    pub store: &'r mut dyn Store,
    pub parent: Option<&'r mut Parent>,
    pub archives: &'r mut NewArchives,
    pub names: &'r mut Names,
    pub pool: &'r Pool,
    pub devices: &'r Devices,
    pub stored: &'r mut StoredContents<'s>,
    pub buf: &'r mut Vec<u8>,
}

/// An open file of the source.
#[derive(Clone, Copy)]
struct OpenSourceFile<'f> {
    path: &'f Path,
    file: &'f SourceFile,
}

/// The result of reading a file, after one or more attempts.
struct ReadResult {
    attributes: FileAttributes,
    hash: Hash,
    /// The file changed in every attempt.
    dirty: bool,
}

type StoredEntry = (Entry, StoredAs);

impl FileStorer<'_, '_, '_> {
    /// Describes the old content for the worker that reads a file with the stat `now`. Fetches the old
    /// content or its signature only if size and mtime say that the content probably changed.
    pub fn old(&mut self, old: Option<&Entry>, now: &Stat) -> Result<Option<OldContent>> {
        let Some(old) = old else { return Ok(None) };
        let probably_same = old.size() == now.size && old.meta.mtime == now.mtime;
        let basis = if probably_same { DeltaAgainst::Unfetched } else { self.basis(old, now.size)? };
        Ok(OldContent::of(old, basis))
    }

    /// Stores the content of a file that was read into memory. `old` is an entry of the parent: the content
    /// may be the same, or a change of the content of `old`. The store has all archives of `old`.
    pub fn store_small(
        &mut self,
        path: &Path,
        small: SmallFileResult,
        bytes: &[u8],
        old: Option<&Entry>,
    ) -> Result<StoredEntry> {
        let SmallFileResult { attributes, hash, dirty, compared, mut form, .. } = small;
        self.job.report.count(Counter::BytesRead, bytes.len() as u64);
        self.job.advance(bytes.len() as u64)?;
        let pass = ReadResult { attributes, hash, dirty };
        let was_compared = compared == old.and_then(Entry::file).map(|file| file.hash);
        // Note a loss before the search: after a loss, the search skips all other contents that may be lost.
        self.take_loss(path, &mut form, old.filter(|_| was_compared))?;
        if !old.is_some_and(|old| is_content_of(old, &hash))
            && let Some(found) = self.find_stored(path, &pass)?
        {
            return self.put_stored(path, pass, found, |params| small::sign(params, bytes).map(Some));
        }
        let mut form = match form {
            ContentForm::Open => self.form_now(bytes, &pass.hash, old)?,
            form if was_compared => form,
            _ => self.form_now(bytes, &pass.hash, old)?,
        };
        self.take_loss(path, &mut form, old)?;
        match (form, old) {
            (ContentForm::Same, Some(old)) => {
                let signature =
                    self.lost_signature(old).map(|params| small::sign(params, bytes)).transpose()?;
                Ok((self.same(path, pass, old, signature)?, StoredAs::Same))
            }
            (ContentForm::Delta(made), Some(old)) => self.put_delta(path, pass, made, old),
            (ContentForm::Whole { signature, .. }, _) => self.put_bytes(path, pass, bytes, signature),
            _ => Err(Error::new(Kind::Panic, "store", "a change of nothing").at(path)),
        }
    }

    /// Reports the loss that kept a worker from making a delta. `old` is the entry that is lost, if it is known.
    fn take_loss(&mut self, path: &Path, form: &mut ContentForm, old: Option<&Entry>) -> Result<()> {
        match form {
            ContentForm::Whole { lost, .. } => lost.take().map_or(Ok(()), |loss| self.lose(path, old, loss)),
            _ => Ok(()),
        }
    }

    /// Reports a loss: the file at `path` gets no delta, because the content or the signature of `old` is lost. From
    /// now on, no file points to a content of the parent, and no new entry takes over the lost signature.
    fn lose(&mut self, path: &Path, old: Option<&Entry>, loss: Loss) -> Result<()> {
        let Loss { part, error } = loss;
        self.stored.note_loss(old, part);
        if let (LostPart::Signature, Some(old), Some(parent)) = (part, old, self.parent.as_deref_mut())
            && error.is_loss()
        {
            parent.lose_signature(old);
        }
        self.job.trouble(ProblemKind::of_stored(&error), path.as_bytes(), error)
    }

    /// Chooses how to store bytes that were compared with another old content, or without a basis.
    fn form_now(&mut self, bytes: &[u8], hash: &Hash, old: Option<&Entry>) -> Result<ContentForm> {
        let old = match old {
            Some(entry) if is_content_of(entry, hash) => OldContent::of(entry, DeltaAgainst::Unfetched),
            Some(entry) => OldContent::of(entry, self.basis(entry, bytes.len() as u64)?),
            None => None,
        };
        small::choose_form(bytes, hash, old.as_ref(), self.archives.signing, &mut FineSearch::default())
    }

    fn put_bytes(
        &mut self,
        path: &Path,
        pass: ReadResult,
        bytes: &[u8],
        signature: Option<MemberSpool>,
    ) -> Result<StoredEntry> {
        let mut entry = self.new_entry(path, &pass)?;
        if !bytes.is_empty() || self.archives.is_full() {
            let writer = self.archives.writer(self.store, NewArchiveKind::Whole)?;
            let FileAttributes { stat, holes, .. } = &pass.attributes;
            let offset = writer.begin_file(path, &entry.meta, stat.size, holes)?;
            writer.write(bytes)?;
            writer.end()?;
            self.put_whole(&mut entry, offset);
        }
        self.put_signature(&mut entry, signature, None)?;
        Ok((entry, StoredAs::Whole))
    }

    /// Stores the content of a file of any size, which is read in pieces. `old` as in
    /// [`FileStorer::store_small`].
    pub fn store_large(
        &mut self,
        path: &Path,
        file: &SourceFile,
        old: Option<&Entry>,
    ) -> FileResult<StoredEntry> {
        let opened = OpenSourceFile { path, file };
        let mut attributes = FileAttributes::read(file, self.devices)?;
        let basis = old.map(|old| self.signature_of(path, old, attributes.data_len())).transpose()?.flatten();
        let mut may_be_old = old.and_then(Entry::file).map(File::data_len) == Some(attributes.data_len());
        if let (Some(old), Some(basis)) = (old, basis) {
            if let Some(done) = self.try_delta(opened, attributes, old, basis)? {
                return Ok(done);
            }
            attributes = FileAttributes::read(file, self.devices)?;
            may_be_old = false;
        }
        if may_be_old || self.stored.is_worth_a_read(attributes.data_len(), old.and_then(Entry::file)) {
            if let Some(done) = self.try_stored(opened, attributes, old)? {
                return Ok(done);
            }
            attributes = FileAttributes::read(file, self.devices)?;
        }
        self.store_whole(opened, attributes)
    }

    /// Reads the file and stores the content whole while reading. If the file changes meanwhile, the archive
    /// keeps an abandoned member, and the file is read again.
    fn store_whole(&mut self, opened: OpenSourceFile, attributes: FileAttributes) -> FileResult<StoredEntry> {
        let mut made = None;
        let pass = self.attempts(opened, attributes, |this, attributes| {
            let archives = &mut *this.archives;
            let params = archives.signing.params(attributes.data_len());
            let mut pipeline = ChunkPipeline::new(this.pool, params.map_or(Purpose::Hash, Purpose::Sign));
            let writer = archives.writer(this.store, NewArchiveKind::Whole)?;
            let meta = attributes.metadata(this.names);
            let offset = writer.begin_file(opened.path, &meta, attributes.stat.size, &attributes.holes)?;
            let job = &mut *this.job;
            let read = read_data(opened.file, attributes, this.buf, |piece| {
                count_read(job, piece)?;
                pipeline.update(piece)?;
                writer.write(piece)?;
                Ok(true)
            });
            let processed = pipeline.finish()?;
            let read = match read {
                Ok(ReadEnd::Still) => {
                    look_again(opened.file, attributes, &processed.hash, job, this.pool, this.buf)
                }
                read => read,
            };
            match &read {
                Ok(ReadEnd::Still) => writer.end()?,
                Ok(_) | Err(FileError::Source(_)) => writer.abandon()?,
                Err(FileError::Fatal(_)) => {}
            }
            made = Some((offset, processed.signature));
            Ok((Some(processed.hash), read?))
        })?;
        let (Some(pass), Some((offset, signature))) = (pass, made) else {
            return Err(Error::new(Kind::Panic, "store", "nothing was read").at(opened.path).into());
        };
        let mut entry = self.new_entry(opened.path, &pass)?;
        self.put_whole(&mut entry, offset);
        self.put_signature(&mut entry, signature, None)?;
        Ok((entry, StoredAs::Whole))
    }

    /// Reads the file and makes a delta. `None` if the delta grew too long, or if the file is too short for a
    /// delta.
    fn try_delta(
        &mut self,
        opened: OpenSourceFile,
        attributes: FileAttributes,
        old: &Entry,
        basis: Arc<DeltaBasis>,
    ) -> FileResult<Option<StoredEntry>> {
        let block_len = basis.signature.block_len();
        let mut made = None;
        let pass = self.attempts(opened, attributes, |this, attributes| {
            let Some(params) = Params::keeping(block_len, attributes.data_len()) else {
                return Ok((None, ReadEnd::Stopped));
            };
            let longest = this.longest_by_blocks(old, attributes.data_len());
            let mut pipeline = ChunkPipeline::new(this.pool, Purpose::Compare(params, basis.clone()));
            let job = &mut *this.job;
            let read = read_data(opened.file, attributes, this.buf, |piece| {
                count_read(job, piece)?;
                pipeline.update(piece)?;
                Ok(pipeline.delta_len() <= longest)
            })?;
            if read == ReadEnd::Stopped {
                return Ok((None, ReadEnd::Stopped));
            }
            let Processed { hash, signature, delta } = pipeline.finish()?;
            let Some(delta) = delta.filter(|delta| delta.len() <= longest) else {
                return Ok((None, ReadEnd::Stopped));
            };
            made = Some(NewDelta { delta, signature });
            Ok((Some(hash), this.confirm(opened, attributes, &hash, read, Some(old))?))
        })?;
        let (Some(pass), Some(made)) = (pass, made) else { return Ok(None) };
        if !pass.dirty && is_content_of(old, &pass.hash) {
            return Ok(Some((self.same(opened.path, pass, old, None)?, StoredAs::Same)));
        }
        if let Some(found) = self.find_stored(opened.path, &pass)? {
            return Ok(Some(self.put_stored(opened.path, pass, found, |_| Ok(made.signature))?));
        }
        let made = self.finer(opened.path, made, (old, &basis), pass.attributes.data_len())?;
        // The old signature is read again for the delta of the new one, so the memory of its sums is given back.
        drop(basis);
        match made {
            Some(made) => Ok(Some(self.put_delta(opened.path, pass, made, old)?)),
            None => Ok(None),
        }
    }

    /// The length at which a delta by blocks is given up, for a new content of `data_len` bytes. The limit is higher
    /// if the delta is made finer afterwards, because the finer delta is shorter.
    fn longest_by_blocks(&self, old: &Entry, data_len: u64) -> u64 {
        match self.parent.as_ref().is_some_and(|parent| parent.contents.is_some()) {
            true => (data_len / 4 * 3).max((data_len + data_len / 64).min(COMPARED_MAX)),
            false => longest_delta(data_len, deltas_len(old)),
        }
    }

    /// Makes a delta by blocks finer, where the old content may be read. `None` if the content is stored whole instead:
    /// the delta does not pay, or the old content is damaged, so that no delta against it could be restored.
    fn finer(
        &mut self,
        path: &Path,
        made: NewDelta,
        (old, basis): (&Entry, &Arc<DeltaBasis>),
        data_len: u64,
    ) -> Result<Option<NewDelta>> {
        let longest = longest_delta(data_len, deltas_len(old));
        let contents = self.parent.as_deref_mut().and_then(|parent| parent.contents.as_mut());
        let Some(contents) = contents else { return Ok(Some(made)) };
        let pieces_max = PIECES_MAX.min(usize::try_from(data_len / PIECE_MIN).unwrap_or(PIECES_MAX));
        let finer = match Layout::of(contents, self.store, old) {
            Ok(layout) => match layout.pieces().filter(|&pieces| pieces < pieces_max) {
                Some(pieces) => {
                    let old = OldContentReader { contents, store: self.store, layout };
                    finer(made.delta, basis, old, self.pool, self.job)?.map(|finer| Some((finer, pieces)))
                }
                None => Ok(None),
            },
            Err(error) if error.ends_reading() => return Err(error),
            Err(error) => Err(error),
        };
        match finer {
            Ok(Some((FinerDelta { delta, commands }, pieces))) => {
                let pays = delta.len() <= longest && pieces.saturating_add(commands) <= pieces_max;
                Ok(pays.then_some(NewDelta { delta, ..made }))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.lose(path, Some(old), Loss::of_content(error))?;
                Ok(None)
            }
        }
    }

    /// Reads the file only for its hash. `None` if the content is neither the old one nor stored elsewhere.
    fn try_stored(
        &mut self,
        opened: OpenSourceFile,
        attributes: FileAttributes,
        old: Option<&Entry>,
    ) -> FileResult<Option<StoredEntry>> {
        let data_len = attributes.data_len();
        let mut elsewhere = None;
        let mut signature = None;
        let pass = self.attempts(opened, attributes, |this, attributes| {
            let lost = old.and_then(|old| this.lost_signature(old));
            let params = lost.or_else(|| this.params_of_copy(attributes.data_len()));
            let purpose = params.map_or(Purpose::Hash, Purpose::Sign);
            let mut pipeline = ChunkPipeline::new(this.pool, purpose);
            let job = &mut *this.job;
            let read = read_data(opened.file, attributes, this.buf, |piece| {
                count_read(job, piece)?;
                pipeline.update(piece)?;
                Ok(true)
            })?;
            let Processed { hash, signature: made, .. } = pipeline.finish()?;
            signature = made;
            let same = old.filter(|old| is_content_of(old, &hash));
            elsewhere = match same {
                Some(_) => None,
                None => this.find(opened.path, &hash, attributes.data_len())?,
            };
            if same.is_none() && elsewhere.is_none() {
                // No further attempt, even if the file changed during this one: the content is not stored, and the
                // caller reads the file again to store it whole.
                return Ok((None, ReadEnd::Stopped));
            }
            Ok((Some(hash), this.confirm(opened, attributes, &hash, read, same)?))
        })?;
        let pass = pass.filter(|pass| !pass.dirty);
        self.stored.count_read(data_len, pass.is_some());
        Ok(match (pass, elsewhere, old) {
            (Some(pass), Some(found), _) => {
                Some(self.put_stored(opened.path, pass, found, |_| Ok(signature))?)
            }
            (Some(pass), None, Some(old)) => {
                Some((self.same(opened.path, pass, old, signature)?, StoredAs::Same))
            }
            _ => None,
        })
    }

    /// Finds the content of a file that was read. Only a file that did not change while it was read can have a
    /// content that is stored already: the bytes of another read may mix two versions of the file.
    fn find_stored(&mut self, path: &Path, pass: &ReadResult) -> Result<Option<StoredContent>> {
        match pass.dirty {
            true => Ok(None),
            false => self.find(path, &pass.hash, pass.attributes.data_len()),
        }
    }

    /// Finds a content of `data_len` bytes for the file at `path`. Where old contents are read, a content of the parent
    /// is read before the first file points to it. If it is lost, that is reported, and the caller stores the file.
    fn find(&mut self, path: &Path, hash: &Hash, data_len: u64) -> Result<Option<StoredContent>> {
        let found = self.stored.find(hash, data_len)?;
        let Some(StoredContent::OfParent { old, is_right: false }) = &found else { return Ok(found) };
        let parent = self.parent.as_deref_mut().filter(|parent| !parent.is_checked());
        let Some(contents) = parent.and_then(|parent| parent.contents.as_mut()) else { return Ok(found) };
        let Some(error) = read_to_check(contents, self.store, old, self.job)? else {
            self.stored.note_right(hash);
            return Ok(found);
        };
        let (problem, error) = lost_source(contents, old, path, error);
        self.stored.note_loss(Some(old), LostPart::Content);
        self.job.problem(problem, error)?;
        Ok(None)
    }

    /// Makes an entry that points to a content that is stored already. `sign` gives the signature of the content, which
    /// is stored if the old one is lost.
    fn put_stored(
        &mut self,
        path: &Path,
        pass: ReadResult,
        found: StoredContent,
        sign: impl FnOnce(Params) -> Result<Option<MemberSpool>>,
    ) -> Result<StoredEntry> {
        let mut entry = self.new_entry(path, &pass)?;
        self.job.report.count(Counter::BytesAlreadyStored, pass.attributes.data_len());
        let old = match found {
            StoredContent::OfRun { place, old } => {
                (entry.place.content, entry.place.sig) = (place.content, place.sig);
                old
            }
            StoredContent::OfParent { old, .. } => {
                let Some(parent) = self.parent.as_deref_mut() else {
                    return Err(Error::new(Kind::Panic, "store", "a content of no parent").at(path));
                };
                (entry.place.content, entry.place.sig) =
                    parent.carry(self.archives, self.store, &old, path, self.job)?;
                if entry.place.sig.is_some() && !parent.keeps_signature(&old) {
                    // The signature was stored again. The next file with this content uses the new signature.
                    self.stored.add(&entry, Some(&old))?;
                }
                Some(old)
            }
        };
        old.as_ref().map_or(Ok(()), |old| self.stored.point(path, old))?;
        if let Some(params) = self.lost_signature(&entry).filter(|_| entry.place.sig.is_none()) {
            self.put_signature(&mut entry, sign(params)?, None)?;
            // The next file with this content uses the new signature.
            self.stored.add(&entry, old.as_ref())?;
        }
        Ok((entry, StoredAs::Elsewhere))
    }

    /// Returns how the read that gave `hash` ended. Reads the file a second time if a change could be missed
    /// otherwise. A content that equals the recorded content of `old`, the parent's entry of this file, needs no
    /// second read: the recorded content is known to be of one version.
    fn confirm(
        &mut self,
        opened: OpenSourceFile,
        attributes: &FileAttributes,
        hash: &Hash,
        read: ReadEnd,
        old: Option<&Entry>,
    ) -> FileResult<ReadEnd> {
        if read != ReadEnd::Still || old.is_some_and(|old| is_all_of(old, hash, attributes)) {
            return Ok(read);
        }
        look_again(opened.file, attributes, hash, self.job, self.pool, self.buf)
    }

    /// Repeats `attempt` until the file does not change during the attempt, at most [`ATTEMPTS`] times. A file
    /// that changed in every attempt is dirty. `attempt` returns the hash of the bytes that it
    /// read, and how the read ended. If `attempt` returns no hash, `attempts` ends at once with `None`.
    fn attempts(
        &mut self,
        opened: OpenSourceFile,
        mut attributes: FileAttributes,
        mut attempt: impl FnMut(&mut Self, &FileAttributes) -> FileResult<(Option<Hash>, ReadEnd)>,
    ) -> FileResult<Option<ReadResult>> {
        for _ in 1..ATTEMPTS {
            match attempt(self, &attributes)? {
                (None, _) => return Ok(None),
                (Some(hash), ReadEnd::Still) => {
                    return Ok(Some(ReadResult { attributes, hash, dirty: false }));
                }
                _ => attributes = FileAttributes::read(opened.file, self.devices)?,
            }
        }
        let (Some(hash), read) = attempt(self, &attributes)? else { return Ok(None) };
        Ok(Some(ReadResult { attributes, hash, dirty: read != ReadEnd::Still }))
    }

    fn report_dirty(&mut self, path: &Path) -> Result<()> {
        let error = Error::new(Kind::Io, "read", "it changed while it was read").at(path);
        self.job.trouble(ProblemKind::Changed, path.as_bytes(), error)
    }

    /// Returns the basis for a delta of a small file against the content of `old`: the content itself where it may be
    /// read, else its signature. [`DeltaAgainst::None`] if no delta can be made or would pay. An error ends the backup.
    fn basis(&mut self, old: &Entry, new_len: u64) -> Result<DeltaAgainst> {
        let contents = self.parent.as_deref_mut().and_then(|parent| parent.contents.as_mut());
        if let Some(contents) = contents.filter(|_| new_len >= BYTEWISE_MIN && may_pay(old, new_len)) {
            match OldBytes::fetch(contents, self.store, old) {
                Ok(Some(content)) => return Ok(DeltaAgainst::Content(content)),
                Ok(None) => {}
                Err(error) if error.ends_reading() => return Err(error),
                Err(error) => return Ok(DeltaAgainst::Lost(Loss::of_content(error))),
            }
        }
        self.signature(old, new_len)
    }

    /// Returns the signature for a delta against the content of `old`; [`DeltaAgainst::None`] if no delta can be
    /// made or would pay. An error ends the backup.
    fn signature(&mut self, old: &Entry, new_len: u64) -> Result<DeltaAgainst> {
        let (Some(sig), Some(file)) = (&old.place.sig, old.file()) else { return Ok(DeltaAgainst::None) };
        let useful = may_pay(old, new_len) && Params::for_len(new_len).is_some();
        // `Parent::new` has already reported a SigVault that is gone.
        let parent = self.parent.as_deref_mut().filter(|parent| useful && parent.has_signature(old));
        let Some(parent) = parent else { return Ok(DeltaAgainst::None) };
        match parent.signature(self.store, sig, file.data_len(), self.job) {
            Ok(bytes) => Ok(DeltaAgainst::Signature(bytes)),
            Err(error) if error.ends_reading() => Err(error),
            Err(error) => Ok(DeltaAgainst::Lost(Loss::of_signature(error))),
        }
    }

    /// Like [`FileStorer::signature`], but parsed. A signature that cannot be used is reported as a problem.
    fn signature_of(&mut self, path: &Path, old: &Entry, new_len: u64) -> Result<Option<Arc<DeltaBasis>>> {
        let len = old.file().map_or(0, File::data_len);
        let parsed = match self.signature(old, new_len)? {
            DeltaAgainst::Signature(bytes) => small::parse_signature(&bytes, len).map_err(Loss::of_signature),
            DeltaAgainst::Lost(loss) => Err(loss),
            DeltaAgainst::None | DeltaAgainst::Unfetched | DeltaAgainst::Content(_) => return Ok(None),
        };
        match parsed {
            Ok(signature) => Ok(Some(Arc::new(DeltaBasis { signature, len }))),
            Err(loss) => {
                self.lose(path, Some(old), loss)?;
                Ok(None)
            }
        }
    }

    /// How to sign the content of `old` again, if its signature is to be made again.
    fn lost_signature(&self, old: &Entry) -> Option<Params> {
        let parent = self.parent.as_ref().filter(|parent| parent.lacks_signature(old));
        parent.and_then(|_| self.archives.signing.params(old.file()?.data_len()))
    }

    /// How to sign a file of `data_len` bytes that may be a copy: the signature of the content may have to be made
    /// again.
    fn params_of_copy(&self, data_len: u64) -> Option<Params> {
        self.parent.as_ref().filter(|parent| parent.is_checked())?;
        self.archives.signing.params(data_len)
    }

    /// Makes an entry with the parent's content and signature. If that signature is lost, the entry gets `signature`,
    /// which was made of the same content.
    fn same(
        &mut self,
        path: &Path,
        pass: ReadResult,
        old: &Entry,
        signature: Option<MemberSpool>,
    ) -> Result<Entry> {
        let mut entry = self.new_entry(path, &pass)?;
        if let Some(parent) = self.parent.as_deref_mut() {
            (entry.place.content, entry.place.sig) =
                parent.carry(self.archives, self.store, old, path, self.job)?;
        }
        if entry.place.sig.is_none() {
            self.put_signature(&mut entry, signature, None)?;
        }
        Ok(entry)
    }

    fn put_delta(
        &mut self,
        path: &Path,
        pass: ReadResult,
        made: NewDelta,
        old: &Entry,
    ) -> Result<StoredEntry> {
        let mut entry = self.new_entry(path, &pass)?;
        entry.place.content = self.archives.inherit(&old.place, false).0;
        let range = self.archives.add_spool(self.store, NewArchiveKind::Deltas, &entry, made.delta)?;
        entry.place.content.push(range);
        self.put_signature(&mut entry, made.signature, Some(old))?;
        Ok((entry, StoredAs::Delta))
    }

    /// Records where the whole copy lies in the archive.
    fn put_whole(&mut self, entry: &mut Entry, offset: u64) {
        let len = entry.file().map_or(0, File::data_len);
        if len > 0 {
            entry.place.content =
                vec![Range { archive: self.archives.number(NewArchiveKind::Whole), offset, len }];
        }
    }

    /// Stores the signature of a new content: as a delta of the signature of `old` if that pays, else whole.
    fn put_signature(
        &mut self,
        entry: &mut Entry,
        signature: Option<MemberSpool>,
        old: Option<&Entry>,
    ) -> Result<()> {
        let Some(signature) = signature else { return Ok(()) };
        let hash = signature.short_hash();
        let delta = old.map(|old| self.signature_delta(&entry.path, &signature, old)).transpose()?;
        let (mut content, member) = match (delta.flatten(), old) {
            (Some(delta), Some(old)) => {
                let inherited =
                    self.archives.inherit(&Place { content: Vec::new(), ..old.place.clone() }, true).1;
                (inherited.map_or_else(Vec::new, |sig| sig.content), delta)
            }
            _ => (Vec::new(), signature),
        };
        content.push(self.archives.add_spool(self.store, NewArchiveKind::Signatures, entry, member)?);
        entry.place.sig = Some(SigRef { content, hash: SigHash::Blake3(hash) });
        Ok(())
    }

    /// Makes the delta of a new signature against the signature of `old`. `None` if the new signature is stored whole:
    /// there is no old one that can be used, or the delta does not pay. An old signature that is lost is reported.
    fn signature_delta(
        &mut self,
        path: &Path,
        new: &MemberSpool,
        old: &Entry,
    ) -> Result<Option<MemberSpool>> {
        let (Some(sig), Some(file)) = (&old.place.sig, old.file()) else { return Ok(None) };
        let stored = SignatureLen::of(sig);
        let useful = stored.count < SIGNATURE_DELTAS_MAX && stored.may_grow(new.len(), SIGNATURE_DELTA_MIN);
        let parent = self
            .parent
            .as_deref_mut()
            .filter(|parent| useful && parent.keeps_signature(old) && parent.has_signature(old));
        let Some(parent) = parent else { return Ok(None) };
        let bytes = match parent.signature(self.store, sig, file.data_len(), self.job) {
            Ok(bytes) => bytes,
            Err(error) if error.ends_reading() => return Err(error),
            Err(error) => {
                self.lose(path, Some(old), Loss::of_signature(error))?;
                return Ok(None);
            }
        };
        if !parent.keeps_signature(old) {
            // The store's copy turned out to be damaged.
            return Ok(None);
        }
        let Some(mut delta) = SignatureDelta::new(&bytes, MemberSpool::new()) else { return Ok(None) };
        new.each(|piece| delta.update(piece).map_err(|e| spool_error(&e)))?;
        let delta = delta.finish().map_err(|e| spool_error(&e))?;
        Ok(stored.may_grow(new.len(), delta.len()).then_some(delta))
    }

    /// Makes the entry of a file that was read; the caller adds the place of the content. It is dirty, and a problem is
    /// reported, if the file changed while it was read, or if attributes or flags could not be read.
    fn new_entry(&mut self, path: &Path, pass: &ReadResult) -> Result<Entry> {
        if pass.dirty {
            self.report_dirty(path)?;
        }
        let FileAttributes { stat, holes, btime, incomplete, .. } = &pass.attributes;
        if let Some(error) = incomplete {
            let error = Error::io("read the extended attributes or flags of", path, error);
            self.job.trouble(ProblemKind::Metadata, path.as_bytes(), error)?;
        }
        let dirty = pass.dirty || incomplete.is_some();
        let node = Node::File(File { size: stat.size, hash: pass.hash, holes: holes.clone() });
        let btime = *btime;
        let place = Place { ino: Some(stat.ino.into()), ctime: stat.ctime, btime, dirty, ..Place::default() };
        Ok(Entry::new(path.clone(), node, pass.attributes.metadata(self.names), place))
    }
}

fn count_read(job: &mut Job, piece: &[u8]) -> Result<()> {
    job.report.count(Counter::BytesRead, piece.len() as u64);
    job.advance(piece.len() as u64)
}

/// Whether a delta against the content of `old` may be stored for a content of `new_len` bytes.
fn may_pay(old: &Entry, new_len: u64) -> bool {
    let deltas = old.place.content.len().saturating_sub(1);
    longest_delta(new_len, deltas_len(old)) > 0 && deltas < DELTAS_MAX
}

/// True if the content equals the content of `old`, the recorded content is of one version, and there are no
/// holes that may have moved.
fn is_all_of(old: &Entry, hash: &Hash, attributes: &FileAttributes) -> bool {
    is_content_of(old, hash) && !old.place.dirty && attributes.holes.is_empty()
}

fn is_content_of(old: &Entry, hash: &Hash) -> bool {
    old.file().is_some_and(|file| file.hash == *hash)
}
