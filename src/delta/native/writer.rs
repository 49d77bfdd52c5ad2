//! Makes the delta of a content that the caller pushes piece by piece.

use std::io::{self, Sink, Write};

use super::super::encode::Encoder;
use super::super::{Params, Result, Signature};
use super::search::{Effort, Search};
use super::shared::SharedSums;
use super::signer::Signer;
use super::strong::GROUP;
use super::sums::SumsWriter;
use super::view::View;

/// A pushed slice is processed in portions of this many bytes, or of eight blocks if those are longer. So the
/// bytes that the new signature has read are still in the processor's cache for the search.
const PORTION: usize = 128 << 10;

/// Writes the delta that makes the pushed content from a basis. If
/// [`with_signature`](DeltaWriter::with_signature) created the writer, it also writes the signature of the
/// content in the same pass.
///
/// Pushes of 64 KiB and more are fastest. Memory: about ten blocks and 100 KiB, for any length of content.
pub struct DeltaWriter<'s, W: Write, S: Write = Sink> {
    search: Search<'s>,
    encoder: Encoder<W>,
    signing: NewSignature<S>,
    block_len: usize,
    /// The last pushed bytes, from the first position that is still needed or from a position before it.
    held: Vec<u8>,
    /// The position in the stream of the first byte in `held`.
    held_at: u64,
}

/// How the new signature is made.
enum NewSignature<S: Write> {
    /// No signature is made.
    No,
    /// Both signatures have the same block length: the search uses the new signature's strong sums.
    Shared(SharedSums<S>),
    /// The block lengths differ: the new signature is computed separately.
    Apart(Signer<S>),
}

impl<'s, W: Write> DeltaWriter<'s, W> {
    /// Fails unless `signature` has as many blocks as a basis of `basis_len` bytes.
    pub fn new(signature: &'s Signature, basis_len: u64, out: W) -> Result<Self> {
        Self::build(signature, basis_len, out, NewSignature::No)
    }

    /// Writes the end of the delta and returns its output.
    pub fn finish(self) -> io::Result<W> {
        Ok(self.end()?.0)
    }
}

impl<'s, W: Write, S: Write> DeltaWriter<'s, W, S> {
    /// Also makes the signature of the new content, the same as a [`Signer`] with `new_params` makes.
    ///
    /// If both signatures have the same block length, a block at the same place in both contents is hashed
    /// only once.
    pub fn with_signature(
        signature: &'s Signature,
        basis_len: u64,
        new_params: Params,
        delta_out: W,
        sig_out: S,
    ) -> Result<Self> {
        let signing = if new_params.block_len == signature.block_len() {
            NewSignature::Shared(SharedSums::new(SumsWriter::new(new_params, sig_out)?, new_params.block_len))
        } else {
            NewSignature::Apart(Signer::new(new_params, sig_out)?)
        };
        Self::build(signature, basis_len, delta_out, signing)
    }

    fn build(signature: &'s Signature, basis_len: u64, out: W, signing: NewSignature<S>) -> Result<Self> {
        signature.check_basis_len(basis_len)?;
        Ok(DeltaWriter {
            search: Search::new(signature, basis_len),
            encoder: Encoder::new(out),
            signing,
            block_len: signature.block_len() as usize,
            held: Vec::new(),
            held_at: 0,
        })
    }

    /// For the delta of a chunk: the first pushed byte is at `offset` of the new content. The search then
    /// first tries the block at the same offset of the basis.
    pub fn starting_at(mut self, offset: u64) -> Self {
        self.search.expect_at(offset);
        self
    }

    /// Takes the next bytes of the new content.
    pub fn update(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let NewSignature::Apart(signer) = &mut self.signing {
            signer.update(bytes)?;
        }
        let mut rest = if self.held.is_empty() { bytes } else { self.join(bytes)? };
        let portion = self.block_len.saturating_mul(GROUP).max(PORTION).saturating_add(1);
        while !rest.is_empty() {
            let view = View { bytes: &rest[..rest.len().min(portion)], start: self.held_at };
            self.advance(view)?;
            let needed = view.from(self.needed());
            if view.bytes.len() == rest.len() {
                self.held.extend_from_slice(needed);
                rest = &[];
            } else {
                rest = &rest[view.bytes.len() - needed.len()..];
            }
            self.held_at = view.end() - needed.len() as u64;
        }
        Ok(())
    }

    /// The work of the search so far.
    pub fn effort(&self) -> Effort {
        self.search.effort
    }

    /// Writes the ends of the delta and of the signature, and returns both outputs.
    ///
    /// The second output is `None` only if the writer was created without
    /// [`with_signature`](DeltaWriter::with_signature).
    pub fn finish_both(self) -> io::Result<(W, Option<S>)> {
        self.end()
    }

    fn end(mut self) -> io::Result<(W, Option<S>)> {
        let view = View { bytes: &self.held, start: self.held_at };
        self.search.finish(view, &mut self.encoder)?;
        let signed = match self.signing {
            NewSignature::No => None,
            NewSignature::Shared(shared) => Some(shared.finish(view)?),
            NewSignature::Apart(signer) => Some(signer.finish()?),
        };
        Ok((self.encoder.finish()?, signed))
    }

    /// Searches the held bytes, followed by the first of `bytes`, until no held byte is needed any more. Then `held` is
    /// empty, and the result is `bytes` from the first byte that is still needed, whose position is `held_at`. If
    /// `bytes` ends earlier, `held` takes all of `bytes` and the result is empty.
    fn join<'b>(&mut self, bytes: &'b [u8]) -> io::Result<&'b [u8]> {
        let old = self.held.len();
        let taken = bytes.len().min(self.block_len.saturating_mul(GROUP));
        self.held.extend_from_slice(&bytes[..taken]);
        let held = std::mem::take(&mut self.held);
        let advanced = self.advance(View { bytes: &held, start: self.held_at });
        self.held = held;
        advanced?;
        let done = (self.needed() - self.held_at) as usize;
        if done >= old {
            self.held.clear();
            self.held_at += done as u64;
            return Ok(&bytes[done - old..]);
        }
        // If there were more `bytes`, eight blocks of them would have followed the old bytes, and the search
        // would have passed the old bytes.
        debug_assert_eq!(taken, bytes.len());
        if done >= self.held.len() / 2 {
            self.held.drain(..done);
            self.held_at += done as u64;
        }
        Ok(&[])
    }

    fn advance(&mut self, view: View) -> io::Result<()> {
        let shared = match &mut self.signing {
            NewSignature::Shared(shared) => {
                shared.sign(view, self.search.at())?;
                Some(&*shared)
            }
            _ => None,
        };
        self.search.scan(view, shared, &mut self.encoder)
    }

    /// The first position of the stream that the search or the signature still needs.
    fn needed(&self) -> u64 {
        match &self.signing {
            NewSignature::Shared(shared) => self.search.at().min(shared.needs()),
            _ => self.search.at(),
        }
    }
}
