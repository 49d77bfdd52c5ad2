//! The C engine, librsync 2.2, in place of ours: for the feature `librsync`.
//!
//! It signs, searches and patches. What stays ours:
//! - reading signatures and deltas strictly, since the C reader of signatures takes trailing bytes and the
//!   patch loop hangs on a copy of no bytes: C is given only commands that have been checked;
//! - the composition of deltas ([`Plan`](super::Plan)), which librsync does not have.
//!
//! The functions of `librsync-sys` are called, which the `librsync` crate wraps: the crate's streams pull,
//! while contents are pushed here, and they cannot write RabinKarp sums, which the format asks for.
//!
//! The C engine believes a signature. Equal weak sums make its search quadratic, and a whole block that
//! claims to be the short last one is copied beyond the end of the basis.

mod job;
mod patch;

use std::io::{self, Sink, Write};
use std::marker::PhantomData;

use super::signature::Header;
use super::{Params, Result, Signature, SIGNATURE_MAGIC};
use job::{Job, Sums};

pub use patch::patch_up_to;

/// The C engine counts blocks with an `int`.
pub(super) const MAX_BLOCKS: u64 = i32::MAX as u64;

/// Bytes of a stretch that is worth comparing by itself, a power of two: the C engine loads the whole signature
/// for each.
pub const STRETCH: usize = 16 << 20;

/// Pushes are gathered to this length: what the C engine makes of an empty signature depends on it, and each
/// call has a cost.
const PIECE: usize = 64 << 10;

/// A checked signature as it was read.
pub(super) struct Basis(Box<[u8]>);

impl Basis {
    pub fn new(_: &Header, signature: &[u8]) -> Basis {
        Basis(signature.into())
    }
}

/// Writes the signature of what is pushed into it.
pub struct Signer<W: Write> {
    job: Job,
    out: W,
}

impl<W: Write> Signer<W> {
    /// Fails with `InvalidInput` if `params` are not possible ones.
    pub fn new(params: Params, out: W) -> io::Result<Self> {
        params.check()?;
        Ok(Signer { job: Job::sign(SIGNATURE_MAGIC, params.block_len, params.strong_len)?, out })
    }

    /// Takes the next bytes of the content.
    pub fn update(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.job.push(bytes, &mut self.out)
    }

    /// Signs the last block and gives the output back.
    pub fn finish(mut self) -> io::Result<W> {
        self.job.finish(&[], &mut self.out)?;
        Ok(self.out)
    }
}

/// Writes the delta that makes the content pushed into it out of a basis; made by
/// [`with_signature`](DeltaWriter::with_signature), also that content's signature in the same pass.
pub struct DeltaWriter<'s, W: Write, S: Write = Sink> {
    /// Goes before the sums it looks into.
    job: Job,
    _sums: Sums,
    out: W,
    /// What was pushed and not yet handed on.
    held: Vec<u8>,
    signer: Option<Signer<S>>,
    signature: PhantomData<&'s Signature>,
}

impl<'s, W: Write> DeltaWriter<'s, W> {
    /// Fails unless `signature` has as many blocks as a basis of `basis_len` bytes.
    pub fn new(signature: &'s Signature, basis_len: u64, out: W) -> Result<Self> {
        Self::build(signature, basis_len, out, None)
    }

    /// Writes what is left and gives the output back.
    pub fn finish(self) -> io::Result<W> {
        Ok(self.finish_both()?.0)
    }
}

impl<'s, W: Write, S: Write> DeltaWriter<'s, W, S> {
    /// Makes the new content's signature too, as a [`Signer`] with `new_params` would.
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
        let sums = Sums::load(&signature.basis.0)?;
        Ok(DeltaWriter {
            // The sums are kept beside it.
            job: sums.delta()?,
            _sums: sums,
            out,
            held: Vec::new(),
            signer,
            signature: PhantomData,
        })
    }

    /// Where in the new content it is that what is pushed begins: nothing to the C engine.
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

    /// Writes what is left and gives the outputs of the delta and of the signature back.
    ///
    /// The latter is `None` only without [`with_signature`](DeltaWriter::with_signature).
    pub fn finish_both(mut self) -> io::Result<(W, Option<S>)> {
        self.job.finish(&self.held, &mut self.out)?;
        let signed = self.signer.map(Signer::finish).transpose()?;
        Ok((self.out, signed))
    }
}
