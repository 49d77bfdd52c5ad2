//! The C engine: the feature `librsync` uses librsync 2.2 instead of the Rust engine.
//!
//! The C engine signs, searches and patches. Rust code still does the rest:
//! - It reads signatures and deltas strictly, and C gets only commands that Rust has checked. librsync itself
//!   accepts bytes after a signature, and its patch loop hangs on a copy of 0 bytes.
//! - It composes deltas ([`Plan`](super::Plan)); librsync has no such function.
//!
//! This module calls the functions of `librsync-sys` directly. The `librsync` crate, which wraps them, does not
//! fit: its streams pull, while this module's callers push, and it cannot write RabinKarp sums, which the
//! format needs.
//!
//! The C engine trusts a signature. Equal weak sums make its search quadratic. A forged signature can declare a whole
//! block as the short last block; its copy then reaches beyond the end of the basis.

mod job;
mod patch;

use std::io::{self, Sink, Write};
use std::marker::PhantomData;

use super::params::SIGNATURE_HEADER;
use super::signature::SignatureHeader;
use super::{Params, Result, SIGNATURE_MAGIC, Signature};
use job::{EngineJob, EngineSums};

pub use patch::patch_up_to;

/// The most blocks of a signature: the C engine counts blocks with an `int`.
pub(super) const MAX_BLOCKS: u64 = i32::MAX as u64;

/// Bytes of a chunk that is long enough for a task of its own; a power of two. It is longer than for the Rust
/// engine, because the C engine loads the whole signature for each chunk.
pub const CHUNK_LEN: usize = 16 << 20;

/// Pushed bytes are collected to this length before a call of the C engine. Each call has a cost, and for an
/// empty signature the delta depends on the lengths of the calls.
const PIECE: usize = 64 << 10;

/// The bytes of a checked signature.
pub(super) struct Basis {
    signature: Box<[u8]>,
    strong_len: usize,
}

impl Basis {
    pub fn new(header: &SignatureHeader, signature: &[u8]) -> Basis {
        Basis { signature: signature.into(), strong_len: header.strong_len as usize }
    }

    /// True if `sum`, of 32 bytes, begins with the stored strong sum of the block with number `block`.
    pub fn has_strong(&self, block: usize, sum: &[u8]) -> bool {
        let at = SIGNATURE_HEADER as usize + block * (4 + self.strong_len) + 4;
        self.signature[at..at + self.strong_len] == sum[..self.strong_len]
    }
}

/// Writes the signature of the pushed content.
pub struct Signer<W: Write> {
    job: EngineJob,
    out: W,
}

impl<W: Write> Signer<W> {
    /// Fails with `InvalidInput` if `params` are out of range.
    pub fn new(params: Params, out: W) -> io::Result<Self> {
        params.check()?;
        Ok(Signer { job: EngineJob::sign(SIGNATURE_MAGIC, params.block_len, params.strong_len)?, out })
    }

    /// Takes the next bytes of the content.
    pub fn update(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.job.push(bytes, &mut self.out)
    }

    /// Signs the last block and returns the output.
    pub fn finish(mut self) -> io::Result<W> {
        self.job.finish(&[], &mut self.out)?;
        Ok(self.out)
    }
}

/// Writes the delta that makes the pushed content from a basis. If
/// [`with_signature`](DeltaWriter::with_signature) created the writer, it also writes the signature of the
/// content in the same pass.
pub struct DeltaWriter<'s, W: Write, S: Write = Sink> {
    /// Declared before `_sums` and so dropped before them: the job reads the sums.
    job: EngineJob,
    _sums: EngineSums,
    out: W,
    /// Pushed bytes that `job` does not have yet.
    held: Vec<u8>,
    signer: Option<Signer<S>>,
    signature: PhantomData<&'s Signature>,
}

impl<'s, W: Write> DeltaWriter<'s, W> {
    /// Fails unless `signature` has as many blocks as a basis of `basis_len` bytes.
    pub fn new(signature: &'s Signature, basis_len: u64, out: W) -> Result<Self> {
        Self::build(signature, basis_len, out, None)
    }

    /// Writes the end of the delta and returns its output.
    pub fn finish(self) -> io::Result<W> {
        Ok(self.finish_both()?.0)
    }
}

impl<'s, W: Write, S: Write> DeltaWriter<'s, W, S> {
    /// Also makes the signature of the new content, the same as a [`Signer`] with `new_params` makes.
    pub fn with_signature(
        signature: &'s Signature,
        basis_len: u64,
        new_params: Params,
        delta_out: W,
        sig_out: S,
    ) -> Result<Self> {
        let signer = Signer::new(new_params, sig_out)?;
        Self::build(signature, basis_len, delta_out, Some(signer))
    }

    fn build(signature: &'s Signature, basis_len: u64, out: W, signer: Option<Signer<S>>) -> Result<Self> {
        signature.check_basis_len(basis_len)?;
        let sums = EngineSums::load(&signature.basis.signature)?;
        Ok(DeltaWriter {
            // The job needs the sums, so the writer keeps them.
            job: sums.delta()?,
            _sums: sums,
            out,
            held: Vec::new(),
            signer,
            signature: PhantomData,
        })
    }

    /// For the delta of a chunk: the offset of the first pushed byte in the new content. The C engine does
    /// not use it.
    pub fn starting_at(self, _: u64) -> Self {
        self
    }

    /// Takes the next bytes of the new content.
    pub fn update(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if let Some(signer) = &mut self.signer {
            signer.update(bytes)?;
        }
        while self.held.len() + bytes.len() >= PIECE {
            let (now, later) = bytes.split_at(PIECE - self.held.len());
            self.held.extend_from_slice(now);
            self.job.push(&self.held, &mut self.out)?;
            self.held.clear();
            bytes = later;
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes the ends of the delta and of the signature, and returns both outputs.
    ///
    /// The second output is `None` only if the writer was created without
    /// [`with_signature`](DeltaWriter::with_signature).
    pub fn finish_both(mut self) -> io::Result<(W, Option<S>)> {
        self.job.finish(&self.held, &mut self.out)?;
        let signed = self.signer.map(Signer::finish).transpose()?;
        Ok((self.out, signed))
    }
}
