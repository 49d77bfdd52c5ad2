//! Small files. One worker reads a file whole into memory, and makes hash, signature and delta from that one
//! read. This module touches neither the store nor the archives nor the caller's callbacks.

use std::fs::File as SourceFile;
use std::ops::Range;

use crate::commit::MemberSpool;
use crate::contents::FrameId;
use crate::delta::{DeltaWriter, FineSearch, Params, Signature, Signer, SigningRule, fine_delta};
use crate::entry::{Entry, File, Hash};
use crate::error::{Error, Kind, Result};
use crate::job::sum;
use crate::spool::spool_error;
use crate::walk::Devices;

use super::heal::LostPart;
use super::old_bytes::OldBytes;
use super::reading::{FileAttributes, FileResult, read_into};

/// A file that changes while it is read is read at most this many times, then stored and marked dirty.
pub const ATTEMPTS: u32 = 4;
/// A file of at most this many data bytes is read into memory once. Hash, signature and delta are made from the bytes
/// in memory.
pub const IN_MEMORY: u64 = 1 << 20;

/// The old content of a file: the content may be unchanged, or a delta can be made against it.
pub struct OldContent {
    pub hash: Hash,
    pub data_len: u64,
    /// Bytes of all deltas of the old content.
    pub deltas_len: u64,
    /// The old content may be a mixture of versions.
    pub dirty: bool,
    pub basis: DeltaAgainst,
}

/// The basis of a delta.
pub enum DeltaAgainst {
    /// No delta is possible or allowed.
    None,
    /// The signature or the old content is fetched when the content turns out to differ.
    Unfetched,
    /// The signature of the old content.
    Signature(Vec<u8>),
    /// The old content itself.
    Content(Box<OldBytes>),
    /// The signature or the old content cannot be used, for this reason.
    Lost(Loss),
}

/// Why a delta could not be made: the store has lost a part of the old file.
#[derive(Clone)]
pub struct Loss {
    pub part: LostPart,
    pub error: Error,
}

impl Loss {
    pub fn of_content(error: Error) -> Self {
        Loss { part: LostPart::Content, error }
    }

    pub fn of_signature(error: Error) -> Self {
        Loss { part: LostPart::Signature, error }
    }
}

/// A small file and the results of the worker that read it.
pub struct SmallFileResult {
    pub attributes: FileAttributes,
    pub hash: Hash,
    /// The file changed in every attempt.
    pub dirty: bool,
    /// The range of the file's bytes in the buffer of the read.
    pub bytes: Range<usize>,
    /// The hash of the old content with which the worker compared the file.
    pub compared: Option<Hash>,
    pub form: ContentForm,
}

/// How a content is stored.
pub enum ContentForm {
    /// The content equals the old content.
    Same,
    Delta(NewDelta),
    Whole {
        signature: Option<MemberSpool>,
        /// The reason for not making a delta, if the old signature or the old content is at fault.
        lost: Option<Loss>,
    },
    /// The content differs from the old content, and the old signature was not fetched: not decided yet.
    Open,
}

/// A delta and the signature of the new content, not yet in archives.
pub struct NewDelta {
    pub delta: MemberSpool,
    pub signature: Option<MemberSpool>,
}

/// Appends the data of a file to `buf`. `None` if the file has more than [`IN_MEMORY`] bytes of data.
pub fn read(
    file: &SourceFile,
    devices: &Devices,
    old: Option<&OldContent>,
    signing: SigningRule,
    buf: &mut Vec<u8>,
    search: &mut FineSearch,
) -> FileResult<Option<SmallFileResult>> {
    let start = buf.len();
    let mut attempt = 0;
    loop {
        attempt += 1;
        let attributes = FileAttributes::read(file, devices)?;
        buf.truncate(start);
        if attributes.data_len() > IN_MEMORY {
            return Ok(None);
        }
        let mut still = read_into(file, &attributes, buf)?;
        let hash: Hash = blake3::hash(&buf[start..]).into();
        // A content equal to the recorded one needs no second read: it is of one version, unless the entry is
        // dirty.
        let is_old = attributes.holes.is_empty() && old.is_some_and(|old| old.hash == hash && !old.dirty);
        if still && !attributes.is_settled && !is_old {
            still = reads_the_same(file, &attributes, start, buf)?
                && (!attributes.pause() || reads_the_same(file, &attributes, start, buf)?);
        }
        if still || attempt == ATTEMPTS {
            let bytes = &buf[start..];
            let form = choose_form(bytes, &hash, old, signing, search)?;
            let compared = old.map(|old| old.hash);
            return Ok(Some(SmallFileResult {
                attributes,
                hash,
                dirty: !still,
                bytes: start..buf.len(),
                compared,
                form,
            }));
        }
    }
}

/// Reads the file once more. True if the bytes equal those in `buf` from `start` on.
fn reads_the_same(
    file: &SourceFile,
    attributes: &FileAttributes,
    start: usize,
    buf: &mut Vec<u8>,
) -> FileResult<bool> {
    let end = buf.len();
    let still = read_into(file, attributes, buf)?;
    let same = buf[start..end] == buf[end..];
    buf.truncate(end);
    Ok(still && same && attributes.has_holes_of(file)?)
}

/// Decides how a content in memory is stored, and makes the delta or the signature.
pub fn choose_form(
    bytes: &[u8],
    hash: &Hash,
    old: Option<&OldContent>,
    signing: SigningRule,
    search: &mut FineSearch,
) -> Result<ContentForm> {
    let len = bytes.len() as u64;
    let mut lost = None;
    if let Some(old) = old {
        // A content that is known to be lost is stored again.
        if old.hash == *hash && !matches!(old.basis, DeltaAgainst::Lost(_)) {
            return Ok(ContentForm::Same);
        }
        let made = match (&old.basis, signing.params(len)) {
            (DeltaAgainst::Unfetched, _) if longest_delta(len, old.deltas_len) > 0 => {
                return Ok(ContentForm::Open);
            }
            (DeltaAgainst::Content(content), params) => {
                delta_of_content(bytes, content, old, params, search)?.map_err(Loss::of_content)
            }
            (DeltaAgainst::Signature(signature), Some(params)) => {
                delta(bytes, signature, old, params)?.map_err(Loss::of_signature)
            }
            (DeltaAgainst::Lost(loss), _) => Err(loss.clone()),
            _ => Ok(None),
        };
        match made {
            Ok(Some(made)) => return Ok(ContentForm::Delta(made)),
            Ok(None) => {}
            Err(loss) => lost = Some(loss),
        }
    }
    let signature = signing.params(len).map(|params| sign(params, bytes)).transpose()?;
    Ok(ContentForm::Whole { signature, lost })
}

/// Makes a delta; `None` if the delta is too long to pay. The inner error says that the old signature is
/// damaged.
fn delta(
    bytes: &[u8],
    signature: &[u8],
    old: &OldContent,
    params: Params,
) -> Result<Result<Option<NewDelta>>> {
    let signature = match parse_signature(signature, old.data_len) {
        Ok(signature) => signature,
        Err(error) => return Ok(Err(error)),
    };
    let mut writer = delta_writer(&signature, old.data_len, params)?;
    writer.update(bytes).map_err(|e| spool_error(&e))?;
    let made = finish(writer)?;
    let pays = made.delta.len() <= longest_delta(bytes.len() as u64, old.deltas_len);
    Ok(Ok(pays.then_some(made)))
}

/// Makes a delta byte by byte; `None` if the delta is too long to pay. The inner error says that the old content is
/// damaged: a delta against it could not be restored.
fn delta_of_content(
    bytes: &[u8],
    content: &OldBytes,
    old: &OldContent,
    params: Option<Params>,
    search: &mut FineSearch,
) -> Result<Result<Option<NewDelta>>> {
    let old_bytes = match content.make() {
        Ok(Some(old_bytes)) => old_bytes,
        Ok(None) => return Ok(Ok(None)),
        Err(error) if error.ends_reading() => return Err(error),
        Err(error) => return Ok(Err(error)),
    };
    let made = fine_delta(search, &old_bytes, bytes, MemberSpool::new());
    let delta = made.map_err(|e| spool_error(&e))?;
    if delta.len() > longest_delta(bytes.len() as u64, old.deltas_len) {
        return Ok(Ok(None));
    }
    let signature = params.map(|params| sign(params, bytes)).transpose()?;
    Ok(Ok(Some(NewDelta { delta, signature })))
}

/// Parses the signature of a content of `data_len` bytes. `Corrupt` if `bytes` cannot be that signature.
pub fn parse_signature(bytes: &[u8], data_len: u64) -> Result<Signature> {
    let damaged = |detail: String| Error::new(Kind::Corrupt, "use a signature", detail);
    let parsed = Signature::parse(bytes).map_err(|e| damaged(e.to_string()))?;
    if parsed.blocks() != data_len.div_ceil(u64::from(parsed.block_len())) {
        return Err(damaged("it is of a file of another size".into()));
    }
    if parsed.strong_len() < Params::MIN_STRONG_LEN {
        // Short strong sums are equal for different blocks, and the delta would copy wrong bytes.
        return Err(damaged(format!("its strong sums are of {} bytes only", parsed.strong_len())));
    }
    if parsed.block_len() > Params::MAX_BLOCK_LEN {
        // Blocks are held in memory, several at once.
        return Err(damaged(format!("its blocks are of {} bytes", parsed.block_len())));
    }
    Ok(parsed)
}

/// Makes a delta and, in the same pass, the signature of the new content.
fn delta_writer(
    basis: &Signature,
    len: u64,
    params: Params,
) -> Result<DeltaWriter<'_, MemberSpool, MemberSpool>> {
    let made = DeltaWriter::with_signature(basis, len, params, MemberSpool::new(), MemberSpool::new());
    made.map_err(|e| Error::new(Kind::Corrupt, "make a delta", e.to_string()))
}

fn finish(writer: DeltaWriter<'_, MemberSpool, MemberSpool>) -> Result<NewDelta> {
    let (delta, signature) = writer.finish_both().map_err(|e| spool_error(&e))?;
    Ok(NewDelta { delta, signature })
}

/// Makes the signature of a content.
pub fn sign(params: Params, bytes: &[u8]) -> Result<MemberSpool> {
    let signed = Signer::new(params, MemberSpool::new()).and_then(|mut signer| {
        signer.update(bytes)?;
        signer.finish()
    });
    signed.map_err(|e| spool_error(&e))
}

/// The longest delta that pays for a content of `data_len` bytes. Together with the `deltas_len` bytes of the
/// deltas before, the new delta has at most half the length of the content.
pub fn longest_delta(data_len: u64, deltas_len: u64) -> u64 {
    (data_len / 2).saturating_sub(deltas_len)
}

/// Bytes of all deltas of an entry's content.
pub fn deltas_len(entry: &Entry) -> u64 {
    sum(entry.place.content.get(1..).unwrap_or_default().iter().map(|range| range.len))
}

impl OldContent {
    /// `None` if the entry is not a file.
    pub fn of(entry: &Entry, basis: DeltaAgainst) -> Option<OldContent> {
        let file: &File = entry.file()?;
        Some(OldContent {
            hash: file.hash,
            data_len: file.data_len(),
            deltas_len: deltas_len(entry),
            dirty: entry.place.dirty,
            basis,
        })
    }

    /// Bytes of the basis that a worker takes besides the file: those of the signature, or of the old content.
    pub fn basis_len(&self) -> u64 {
        match &self.basis {
            DeltaAgainst::Signature(bytes) => bytes.len() as u64,
            DeltaAgainst::Content(content) => content.data_len(),
            DeltaAgainst::None | DeltaAgainst::Unfetched | DeltaAgainst::Lost(_) => 0,
        }
    }

    /// The frames that the old content holds, each with its memory in bytes.
    pub fn frames(&self) -> impl Iterator<Item = (FrameId, usize)> + '_ {
        let content = match &self.basis {
            DeltaAgainst::Content(content) => Some(content),
            _ => None,
        };
        content.into_iter().flat_map(|content| content.frames())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(block_len: u32, strong_len: u32, data: &[u8]) -> Vec<u8> {
        let mut signer = Signer::new(Params { block_len, strong_len }, Vec::new()).unwrap();
        signer.update(data).unwrap();
        signer.finish().unwrap()
    }

    #[test]
    fn a_signature_that_would_mislead_is_not_used() {
        let data = vec![7; 100_000];
        let parse = |block_len, strong_len, data_len| {
            parse_signature(&signature(block_len, strong_len, &data), data_len).map(drop)
        };
        parse(2048, 16, 100_000).unwrap();
        parse(500, 32, 100_000).unwrap();
        for (block_len, strong_len, data_len, word) in [
            (2048, 15, 100_000, "15 bytes"),
            (2048, 1, 100_000, "1 bytes"),
            (2048, 16, 90_000, "another size"),
        ] {
            let error = parse(block_len, strong_len, data_len).unwrap_err();
            assert!(error.kind == Kind::Corrupt && error.detail.contains(word), "{error}");
        }
    }
}
