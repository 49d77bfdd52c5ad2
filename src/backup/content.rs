//! Storing the content of one file: nothing if it is the old content, a delta where that pays, else whole.

use std::fs::File as SourceFile;

use crate::delta::{DeltaWriter, Params, Signature, Signer};
use crate::entry::{Entry, File, Hash, Node, Path, Place, Range, SigRef};
use crate::error::{Error, Result};
use crate::job::{Job, ProblemKind};
use crate::platform::Names;
use crate::store::Store;

use super::archives::{Archives, Slot};
use super::parent::Parent;
use super::reading::{read_data, FileResult, Shape, Trouble};
use super::spool::{codec_error, Spool};

/// A file that changed while it was read is read this many times in all before it is stored dirty.
const ATTEMPTS: u32 = 4;
/// Files up to this many data bytes are read into memory once; everything is then made from there.
const IN_MEMORY: u64 = 1 << 20;
/// A content has at most this many deltas; the next change is stored whole.
pub const DELTAS_MAX: usize = 64;

/// Signs a content that will not be kept: it became too small to be worth a signature.
const LEAST: Params = Params { block_len: 2048, strong_len: 16 };

/// What became of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is the old content.
    Same,
    Delta,
    Whole,
}

/// The tools of one run that storing a file needs.
pub struct Storing<'r, 'j> {
    pub job: &'r mut Job<'j>,
    pub store: &'r mut dyn Store,
    pub parent: Option<&'r mut Parent>,
    pub archives: &'r mut Archives,
    pub names: &'r mut Names,
    pub buf: &'r mut Vec<u8>,
    pub small: &'r mut Vec<u8>,
}

/// One pass over a file.
struct Pass {
    shape: Shape,
    hash: Hash,
    /// The file changed in every attempt.
    dirty: bool,
}

/// A delta and the signature of what it makes, not yet in archives.
struct DeltaPass {
    pass: Pass,
    delta: Spool,
    signature: Option<Spool>,
}

impl Storing<'_, '_> {
    /// Stores the content of `file`. `old` is the entry of the parent whose content it may have, or may be
    /// a change of; its archives are all there.
    pub fn store(
        &mut self,
        path: &Path,
        file: &SourceFile,
        old: Option<&Entry>,
    ) -> FileResult<(Entry, Outcome)> {
        let shape = Shape::take(file, self.names).map_err(Trouble::Source)?;
        if shape.data_len() <= IN_MEMORY {
            return self.store_small(path, file, old);
        }
        let Some(old) = old else { return self.store_whole(path, file) };
        if let Some(basis) = self.basis(path, old, shape.data_len())? {
            return match self.try_delta(path, file, old, &basis)? {
                Some(done) => Ok(done),
                None => self.store_whole(path, file),
            };
        }
        if old.file().map(File::data_len) == Some(shape.data_len()) {
            let pass = self.read(file, |_, _| Ok(()))?;
            if !pass.dirty && is_content_of(old, &pass.hash) {
                return Ok((self.same(path, pass, old), Outcome::Same));
            }
        }
        self.store_whole(path, file)
    }

    /// Reads the file once into memory and decides there.
    fn store_small(
        &mut self,
        path: &Path,
        file: &SourceFile,
        old: Option<&Entry>,
    ) -> FileResult<(Entry, Outcome)> {
        let mut bytes = std::mem::take(self.small);
        let read = self.attempts(file, |this, shape| {
            bytes.clear();
            let still = read_data(file, shape, this.buf, this.job, |_, piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            })?;
            Ok((Hash::from(blake3::hash(&bytes)), still))
        });
        let done = read.and_then(|pass| self.place_small(path, pass, &bytes, old));
        *self.small = bytes;
        done
    }

    fn place_small(
        &mut self,
        path: &Path,
        pass: Pass,
        bytes: &[u8],
        old: Option<&Entry>,
    ) -> FileResult<(Entry, Outcome)> {
        let params = Params::for_len(bytes.len() as u64);
        if let Some(old) = old {
            if is_content_of(old, &pass.hash) {
                return Ok((self.same(path, pass, old), Outcome::Same));
            }
            if let (Some(params), Some(basis)) = (params, self.basis(path, old, bytes.len() as u64)?) {
                let mut writer = delta_writer(&basis, old, params)?;
                writer.update(bytes).map_err(|e| codec_error(&e))?;
                let (delta, signature) = finish(writer)?;
                if delta.len() <= longest_delta(bytes.len() as u64, old) {
                    return Ok(self.put_delta(path, DeltaPass { pass, delta, signature }, old)?);
                }
            }
        }
        let signature = params.map(|params| sign(params, bytes)).transpose()?;
        let mut entry = new_entry(path, &pass);
        if !bytes.is_empty() || self.archives.is_full() {
            let writer = self.archives.writer(self.store, Slot::Whole)?;
            let Shape { stat, holes, meta } = &pass.shape;
            let offset = writer.begin_file(path, meta, stat.size, holes)?;
            writer.write(bytes)?;
            writer.end()?;
            self.put_whole(&mut entry, offset);
        }
        self.put_signature(&mut entry, signature)?;
        Ok((entry, Outcome::Whole))
    }

    /// Reads the file and stores it whole as it comes. A file that changes meanwhile leaves an abandoned
    /// member behind, and is read again.
    fn store_whole(&mut self, path: &Path, file: &SourceFile) -> FileResult<(Entry, Outcome)> {
        let mut made = None;
        let pass = self.attempts(file, |this, shape| {
            let mut hasher = blake3::Hasher::new();
            let mut signer =
                Params::for_len(shape.data_len()).map(|params| Signer::new(params, Spool::new())).transpose();
            let signer = signer.as_mut().map_err(|e| codec_error(e))?;
            let archives = &mut *this.archives;
            let writer = archives.writer(this.store, Slot::Whole)?;
            let offset = writer.begin_file(path, &shape.meta, shape.stat.size, &shape.holes)?;
            let read = read_data(file, shape, this.buf, this.job, |_, piece| {
                hasher.update(piece);
                if let Some(signer) = signer {
                    signer.update(piece).map_err(|e| codec_error(&e))?;
                }
                archives.begun(Slot::Whole)?.write(piece)
            });
            let writer = archives.begun(Slot::Whole)?;
            match read {
                Ok(true) => writer.end()?,
                _ => writer.abandon()?,
            }
            let still = read?;
            made = Some((offset, signer.take()));
            Ok((hasher.finalize().into(), still))
        })?;
        let mut entry = new_entry(path, &pass);
        let Some((offset, signer)) = made else { return Ok((entry, Outcome::Whole)) };
        let signature = signer.map(Signer::finish).transpose().map_err(|e| codec_error(&e))?;
        self.put_whole(&mut entry, offset);
        self.put_signature(&mut entry, signature)?;
        Ok((entry, Outcome::Whole))
    }

    /// Reads the file and makes a delta. `None` if it grew too long.
    fn try_delta(
        &mut self,
        path: &Path,
        file: &SourceFile,
        old: &Entry,
        basis: &Signature,
    ) -> FileResult<Option<(Entry, Outcome)>> {
        let mut made = None;
        let mut too_long = false;
        let pass = self.attempts(file, |this, shape| {
            let mut hasher = blake3::Hasher::new();
            let longest = longest_delta(shape.data_len(), old);
            // A file that shrank below the size of a signature is stored whole.
            let mut writer = delta_writer(basis, old, Params::for_len(shape.data_len()).unwrap_or(LEAST))?;
            too_long = Params::for_len(shape.data_len()).is_none();
            let still = read_data(file, shape, this.buf, this.job, |_, piece| {
                hasher.update(piece);
                if !too_long {
                    writer.update(piece).map_err(|e| codec_error(&e))?;
                    too_long = writer.bytes_out() > longest;
                }
                Ok(())
            })?;
            let hash = hasher.finalize().into();
            if !too_long {
                let (delta, signature) = finish(writer)?;
                too_long = delta.len() > longest;
                made = Some((delta, signature));
            }
            Ok((hash, still))
        })?;
        if !pass.dirty && is_content_of(old, &pass.hash) {
            return Ok(Some((self.same(path, pass, old), Outcome::Same)));
        }
        match made.filter(|_| !too_long) {
            Some((delta, signature)) => {
                Ok(Some(self.put_delta(path, DeltaPass { pass, delta, signature }, old)?))
            }
            None => Ok(None),
        }
    }

    /// Reads the file for its hash alone.
    fn read(
        &mut self,
        file: &SourceFile,
        mut feed: impl FnMut(&mut Job, &[u8]) -> Result<()>,
    ) -> FileResult<Pass> {
        self.attempts(file, |this, shape| {
            let mut hasher = blake3::Hasher::new();
            let still = read_data(file, shape, this.buf, this.job, |job, piece| {
                hasher.update(piece);
                feed(job, piece)
            })?;
            Ok((hasher.finalize().into(), still))
        })
    }

    /// Runs `attempt` until the file holds still, [`ATTEMPTS`] times at most. It gives the hash of what it
    /// read and whether the file held still.
    fn attempts(
        &mut self,
        file: &SourceFile,
        mut attempt: impl FnMut(&mut Self, &Shape) -> FileResult<(Hash, bool)>,
    ) -> FileResult<Pass> {
        let mut tries = 0;
        loop {
            let shape = Shape::take(file, self.names).map_err(Trouble::Source)?;
            let (hash, still) = attempt(self, &shape)?;
            tries += 1;
            if still || tries == ATTEMPTS {
                return Ok(Pass { shape, hash, dirty: !still });
            }
        }
    }

    /// The signature against which a delta of `old` can be made, if one may be.
    fn basis(&mut self, path: &Path, old: &Entry, new_len: u64) -> Result<Option<Signature>> {
        let (Some(sig), Some(file)) = (&old.place.sig, old.file()) else { return Ok(None) };
        if Params::for_len(new_len).is_none() {
            return Ok(None);
        }
        let worth = longest_delta(new_len, old) > 0 && deltas(old).len() < DELTAS_MAX;
        let Some(parent) = self.parent.as_deref_mut().filter(|_| worth) else { return Ok(None) };
        match parent.signature(self.store, sig, file.data_len()) {
            Ok(signature) => Ok(Some(signature)),
            Err(error) if error.kind == crate::error::Kind::Cancelled => Err(error),
            Err(error) => {
                self.job.trouble(ProblemKind::Damaged, path.as_bytes(), error)?;
                Ok(None)
            }
        }
    }

    /// The new entry with the content that the parent has.
    fn same(&mut self, path: &Path, pass: Pass, old: &Entry) -> Entry {
        let keep_sig = self.parent.as_ref().is_some_and(|parent| parent.has_signature(old));
        let place = self.archives.inherit_place(&old.place, keep_sig);
        let mut entry = new_entry(path, &pass);
        entry.place.content = place.content;
        entry.place.sig = place.sig;
        entry
    }

    fn put_delta(&mut self, path: &Path, made: DeltaPass, old: &Entry) -> Result<(Entry, Outcome)> {
        let mut entry = new_entry(path, &made.pass);
        entry.place.content = self.archives.inherit_place(&old.place, false).content;
        let range = self.archives.add_spool(self.store, Slot::Deltas, &entry, made.delta)?;
        entry.place.content.push(range);
        self.put_signature(&mut entry, made.signature)?;
        Ok((entry, Outcome::Delta))
    }

    /// Notes where the whole copy lies.
    fn put_whole(&mut self, entry: &mut Entry, offset: u64) {
        let len = entry.file().map_or(0, File::data_len);
        if len > 0 {
            entry.place.content = vec![Range { archive: self.archives.number(Slot::Whole), offset, len }];
        }
    }

    fn put_signature(&mut self, entry: &mut Entry, signature: Option<Spool>) -> Result<()> {
        let Some(signature) = signature else { return Ok(()) };
        let hash = signature.short_hash();
        let range = self.archives.add_spool(self.store, Slot::Signatures, entry, signature)?;
        entry.place.sig = Some(SigRef { ranges: vec![range], hash });
        Ok(())
    }
}

/// The longest delta worth storing for a content of `data_len` bytes: shorter than three quarters of it,
/// and with the deltas before it no more than half.
fn longest_delta(data_len: u64, old: &Entry) -> u64 {
    let before: u64 = deltas(old).iter().map(|range| range.len).sum();
    (data_len / 4 * 3).saturating_sub(1).min((data_len / 2).saturating_sub(before))
}

fn deltas(entry: &Entry) -> &[Range] {
    entry.place.content.get(1..).unwrap_or(&[])
}

fn is_content_of(old: &Entry, hash: &Hash) -> bool {
    old.file().is_some_and(|file| file.hash == *hash)
}

fn new_entry(path: &Path, pass: &Pass) -> Entry {
    let Shape { stat, holes, meta } = &pass.shape;
    Entry {
        path: path.clone(),
        node: Node::File(File { size: stat.size, hash: pass.hash, holes: holes.clone(), link: 0 }),
        meta: meta.clone(),
        place: Place { ino: stat.ino, ctime: stat.ctime, dirty: pass.dirty, ..Place::default() },
        unknown: Vec::new(),
        unknown_place: Vec::new(),
    }
}

fn sign(params: Params, bytes: &[u8]) -> Result<Spool> {
    let signed = Signer::new(params, Spool::new()).and_then(|mut signer| {
        signer.update(bytes)?;
        signer.finish()
    });
    signed.map_err(|e| codec_error(&e))
}

/// Makes a delta against `old` and, in the same pass, the signature of what it makes.
fn delta_writer<'s>(
    basis: &'s Signature,
    old: &Entry,
    params: Params,
) -> Result<DeltaWriter<'s, Spool, Spool>> {
    let basis_len = old.file().map_or(0, File::data_len);
    let made = DeltaWriter::with_signature(basis, basis_len, params, Spool::new(), Spool::new());
    made.map_err(|e| Error::corrupt("make a delta of", &old.path, e.to_string()))
}

fn finish(writer: DeltaWriter<'_, Spool, Spool>) -> Result<(Spool, Option<Spool>)> {
    writer.finish_both().map_err(|e| codec_error(&e))
}
