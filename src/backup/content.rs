//! Storing the content of one file: nothing if it is the old content, a delta where that pays, else whole.

use std::fs::File as SourceFile;

use crate::commit::{spool_error, Archives, Slot, Spool};
use crate::delta::{DeltaWriter, Params, Signature, Signer};
use crate::entry::{Entry, File, Hash, Node, Path, Place, Range, SigRef};
use crate::error::{Error, Kind, Result};
use crate::job::{Job, ProblemKind};
use crate::platform::Names;
use crate::store::Store;

use super::parent::Parent;
use super::reading::{read_data, FileResult, Read, Shape, Trouble};

/// A file that changed while it was read is read this many times in all before it is stored dirty.
const ATTEMPTS: u32 = 4;
/// Files up to this many data bytes are read into memory once; everything is then made from there.
const IN_MEMORY: u64 = 1 << 20;
/// A content has at most this many deltas; the next change is stored whole.
const DELTAS_MAX: usize = 64;

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

/// One file of the source, open.
#[derive(Clone, Copy)]
struct Opened<'f> {
    path: &'f Path,
    file: &'f SourceFile,
    /// The entry of the parent whose content it may have, or may be a change of; its archives are there.
    old: Option<&'f Entry>,
}

/// One pass over a file.
struct Pass {
    shape: Shape,
    hash: Hash,
    /// The file changed in every attempt.
    dirty: bool,
}

/// A delta and the signature of what it makes, not yet in archives.
struct Made {
    delta: Spool,
    signature: Option<Spool>,
}

type Stored = (Entry, Outcome);

impl Storing<'_, '_> {
    /// Stores the content of `file`. `old` is the entry of the parent whose content it may have, or may be
    /// a change of; its archives are all there.
    pub fn store(&mut self, path: &Path, file: &SourceFile, old: Option<&Entry>) -> FileResult<Stored> {
        let opened = Opened { path, file, old };
        let mut shape = self.shape(opened)?;
        if shape.data_len() <= IN_MEMORY {
            if let Some(done) = self.store_small(opened, shape)? {
                return Ok(done);
            }
            // It grew meanwhile.
            shape = self.shape(opened)?;
        }
        let Some(old) = old else { return self.store_whole(opened, shape) };
        if let Some(basis) = self.basis(path, old, shape.data_len())? {
            if let Some(done) = self.try_delta(opened, shape, old, &basis)? {
                return Ok(done);
            }
            shape = self.shape(opened)?;
        } else if old.file().map(File::data_len) == Some(shape.data_len()) {
            if let Some(done) = self.try_same(opened, shape, old)? {
                return Ok(done);
            }
            shape = self.shape(opened)?;
        }
        self.store_whole(opened, shape)
    }

    /// Reads the file once into memory and decides there. `None` if it became too large for that.
    fn store_small(&mut self, opened: Opened, shape: Shape) -> FileResult<Option<Stored>> {
        let mut bytes = std::mem::take(self.small);
        let read = self.attempts(opened, shape, |this, shape| {
            bytes.clear();
            if shape.data_len() > IN_MEMORY {
                return Ok((None, Read::Stopped));
            }
            let read = read_data(opened.file, shape, this.buf, this.job, |piece| {
                bytes.extend_from_slice(piece);
                Ok(true)
            })?;
            Ok((Some(blake3::hash(&bytes).into()), read))
        });
        let done = match read {
            Ok(Some(pass)) => self.place_small(opened, pass, &bytes).map(Some).map_err(Trouble::Fatal),
            Ok(None) => Ok(None),
            Err(trouble) => Err(trouble),
        };
        *self.small = bytes;
        done
    }

    fn place_small(&mut self, opened: Opened, pass: Pass, bytes: &[u8]) -> Result<Stored> {
        let params = Params::for_len(bytes.len() as u64);
        if let Some(old) = opened.old {
            if is_content_of(old, &pass.hash) {
                return Ok((self.same(opened.path, pass, old)?, Outcome::Same));
            }
            let basis = self.basis(opened.path, old, bytes.len() as u64)?;
            if let (Some(params), Some(basis)) = (params, basis) {
                let mut writer = delta_writer(&basis, old, params)?;
                writer.update(bytes).map_err(|e| spool_error(&e))?;
                let made = finish(writer)?;
                if made.delta.len() <= longest_delta(bytes.len() as u64, old) {
                    return self.put_delta(opened.path, pass, made, old);
                }
            }
        }
        let signature = params.map(|params| sign(params, bytes)).transpose()?;
        let mut entry = new_entry(opened.path, &pass);
        if !bytes.is_empty() || self.archives.is_full() {
            let writer = self.archives.writer(self.store, Slot::Whole)?;
            let Shape { stat, holes, meta, .. } = &pass.shape;
            let offset = writer.begin_file(opened.path, meta, stat.size, holes)?;
            writer.write(bytes)?;
            writer.end()?;
            self.put_whole(&mut entry, offset);
        }
        self.put_signature(&mut entry, signature)?;
        Ok((entry, Outcome::Whole))
    }

    /// Reads the file and stores it whole as it comes. A file that changes meanwhile leaves an abandoned
    /// member behind, and is read again.
    fn store_whole(&mut self, opened: Opened, shape: Shape) -> FileResult<Stored> {
        let mut made = None;
        let pass = self.attempts(opened, shape, |this, shape| {
            let mut hasher = blake3::Hasher::new();
            let mut signer = match Params::for_len(shape.data_len()) {
                Some(params) => Some(Signer::new(params, Spool::new()).map_err(|e| spool_error(&e))?),
                None => None,
            };
            let archives = &mut *this.archives;
            let writer = archives.writer(this.store, Slot::Whole)?;
            let offset = writer.begin_file(opened.path, &shape.meta, shape.stat.size, &shape.holes)?;
            let read = read_data(opened.file, shape, this.buf, this.job, |piece| {
                hasher.update(piece);
                if let Some(signer) = &mut signer {
                    signer.update(piece).map_err(|e| spool_error(&e))?;
                }
                writer.write(piece)?;
                Ok(true)
            });
            match &read {
                Ok(Read::Still) => writer.end()?,
                Ok(_) | Err(Trouble::Source(_)) => writer.abandon()?,
                Err(Trouble::Fatal(_)) => {}
            }
            let read = read?;
            made = Some((offset, signer));
            Ok((Some(hasher.finalize().into()), read))
        })?;
        let (Some(pass), Some((offset, signer))) = (pass, made) else {
            return Err(Error::new(Kind::Panic, "store", "nothing was read").at(opened.path).into());
        };
        let mut entry = new_entry(opened.path, &pass);
        let signature = signer.map(Signer::finish).transpose().map_err(|e| spool_error(&e))?;
        self.put_whole(&mut entry, offset);
        self.put_signature(&mut entry, signature)?;
        Ok((entry, Outcome::Whole))
    }

    /// Reads the file and makes a delta. `None` if it grew too long, or the file too short for one.
    fn try_delta(
        &mut self,
        opened: Opened,
        shape: Shape,
        old: &Entry,
        basis: &Signature,
    ) -> FileResult<Option<Stored>> {
        let mut made = None;
        let pass = self.attempts(opened, shape, |this, shape| {
            let Some(params) = Params::for_len(shape.data_len()) else { return Ok((None, Read::Stopped)) };
            let longest = longest_delta(shape.data_len(), old);
            let mut hasher = blake3::Hasher::new();
            let mut writer = delta_writer(basis, old, params)?;
            let read = read_data(opened.file, shape, this.buf, this.job, |piece| {
                hasher.update(piece);
                writer.update(piece).map_err(|e| spool_error(&e))?;
                Ok(writer.bytes_out() <= longest)
            })?;
            let done = finish(writer)?;
            if read == Read::Stopped || done.delta.len() > longest {
                return Ok((None, Read::Stopped));
            }
            made = Some(done);
            Ok((Some(hasher.finalize().into()), read))
        })?;
        let (Some(pass), Some(made)) = (pass, made) else { return Ok(None) };
        if !pass.dirty && is_content_of(old, &pass.hash) {
            return Ok(Some((self.same(opened.path, pass, old)?, Outcome::Same)));
        }
        Ok(Some(self.put_delta(opened.path, pass, made, old)?))
    }

    /// Reads the file for its hash alone. `None` if it is not the old content.
    fn try_same(&mut self, opened: Opened, shape: Shape, old: &Entry) -> FileResult<Option<Stored>> {
        let pass = self.attempts(opened, shape, |this, shape| {
            let mut hasher = blake3::Hasher::new();
            let read = read_data(opened.file, shape, this.buf, this.job, |piece| {
                hasher.update(piece);
                Ok(true)
            })?;
            let hash = hasher.finalize().into();
            // A file that is changing is stored as it is found, with one read instead of two.
            Ok(if is_content_of(old, &hash) { (Some(hash), read) } else { (None, Read::Stopped) })
        })?;
        let same =
            pass.filter(|pass| !pass.dirty).map(|pass| self.same(opened.path, pass, old)).transpose()?;
        Ok(same.map(|entry| (entry, Outcome::Same)))
    }

    /// What the file is now. Extended attributes that cannot be read are a problem, the rest is kept.
    fn shape(&mut self, opened: Opened) -> FileResult<Shape> {
        let (shape, error) = Shape::take(opened.file, self.names).map_err(Trouble::Source)?;
        if let Some(error) = error {
            let error = Error::io("read the extended attributes of", opened.path, &error);
            self.job.trouble(ProblemKind::Metadata, opened.path.as_bytes(), error)?;
        }
        Ok(shape)
    }

    /// Runs `attempt` until the file holds still, [`ATTEMPTS`] times at most; then it is a problem. It
    /// gives the hash of what it read and how the read ended; without a hash, that is the end of it.
    fn attempts(
        &mut self,
        opened: Opened,
        mut shape: Shape,
        mut attempt: impl FnMut(&mut Self, &Shape) -> FileResult<(Option<Hash>, Read)>,
    ) -> FileResult<Option<Pass>> {
        for _ in 1..ATTEMPTS {
            match attempt(self, &shape)? {
                (None, _) => return Ok(None),
                (Some(hash), Read::Still) => return Ok(Some(Pass { shape, hash, dirty: false })),
                _ => shape = self.shape(opened)?,
            }
        }
        let (Some(hash), read) = attempt(self, &shape)? else { return Ok(None) };
        let dirty = read != Read::Still;
        if dirty {
            let error = Error::new(Kind::Io, "read", "it changed while it was read").at(opened.path);
            self.job.trouble(ProblemKind::Changed, opened.path.as_bytes(), error)?;
        }
        Ok(Some(Pass { shape, hash, dirty }))
    }

    /// The signature against which a delta of `old` can be made, if one may be.
    fn basis(&mut self, path: &Path, old: &Entry, new_len: u64) -> Result<Option<Signature>> {
        let (Some(sig), Some(file)) = (&old.place.sig, old.file()) else { return Ok(None) };
        let worth = longest_delta(new_len, old) > 0 && deltas(old).len() < DELTAS_MAX;
        let useful = worth && Params::for_len(new_len).is_some();
        // A SigVault that is gone was told of when the parent was opened.
        let parent = self.parent.as_deref_mut().filter(|parent| useful && parent.has_signature(old));
        let Some(parent) = parent else { return Ok(None) };
        match parent.signature(self.store, sig, file.data_len(), self.job) {
            Ok(signature) => Ok(Some(signature)),
            Err(error) if error.kind.ends_reading() => Err(error),
            Err(error) => {
                self.job.trouble(ProblemKind::Damaged, path.as_bytes(), error)?;
                Ok(None)
            }
        }
    }

    /// The new entry with the content that the parent has.
    fn same(&mut self, path: &Path, pass: Pass, old: &Entry) -> Result<Entry> {
        let mut entry = new_entry(path, &pass);
        if let Some(parent) = self.parent.as_deref_mut() {
            (entry.place.content, entry.place.sig) =
                parent.carry(self.archives, self.store, old, self.job)?;
        }
        Ok(entry)
    }

    fn put_delta(&mut self, path: &Path, pass: Pass, made: Made, old: &Entry) -> Result<Stored> {
        let mut entry = new_entry(path, &pass);
        entry.place.content = self.archives.inherit(&old.place, false).0;
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
    let Shape { stat, holes, meta, incomplete } = &pass.shape;
    Entry {
        path: path.clone(),
        node: Node::File(File { size: stat.size, hash: pass.hash, holes: holes.clone(), link: 0 }),
        meta: meta.clone(),
        place: Place {
            ino: stat.ino,
            ctime: stat.ctime,
            dirty: pass.dirty || *incomplete,
            ..Place::default()
        },
        unknown: Vec::new(),
        unknown_place: Vec::new(),
    }
}

fn sign(params: Params, bytes: &[u8]) -> Result<Spool> {
    let signed = Signer::new(params, Spool::new()).and_then(|mut signer| {
        signer.update(bytes)?;
        signer.finish()
    });
    signed.map_err(|e| spool_error(&e))
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

fn finish(writer: DeltaWriter<'_, Spool, Spool>) -> Result<Made> {
    let (delta, signature) = writer.finish_both().map_err(|e| spool_error(&e))?;
    Ok(Made { delta, signature })
}
