//! Making a delta of a content that is pushed piece by piece.

use std::io::{self, Sink, Write};

use super::super::encode::Encoder;
use super::super::{Params, Result, Signature};
use super::search::{Effort, Search};
use super::shared::SharedSums;
use super::signer::Signer;
use super::strong::GROUP;
use super::sums::SumsWriter;
use super::view::View;

/// Pushed slices are gone through in portions of this many bytes, or of eight blocks, so that what
/// the new signature has brought into the cache is still there for the search.
const PORTION: usize = 128 << 10;

/// Writes the delta that makes the content pushed into it out of a basis; made by
/// [`with_signature`](DeltaWriter::with_signature), also that content's signature in the same pass.
///
/// Fastest with pushes of 64 KiB and more. Memory: some ten blocks and 100 KiB, whatever the lengths.
pub struct DeltaWriter<'s, W: Write, S: Write = Sink> {
    search: Search<'s>,
    encoder: Encoder<W>,
    signing: Signing<S>,
    block_len: usize,
    /// The end of what was pushed, from the first position that is still needed (or somewhat before).
    held: Vec<u8>,
    /// The position in the stream of the first byte held.
    held_at: u64,
}

/// How the new signature is made.
enum Signing<S: Write> {
    No,
    /// The block lengths agree: strong sums are shared with the search.
    Shared(SharedSums<S>),
    Apart(Signer<S>),
}

impl<'s, W: Write> DeltaWriter<'s, W> {
    /// Fails unless `signature` has as many blocks as a basis of `basis_len` bytes.
    pub fn new(signature: &'s Signature, basis_len: u64, out: W) -> Result<Self> {
        Self::build(signature, basis_len, out, Signing::No)
    }

    /// Writes what is left and gives the output back.
    pub fn finish(self) -> io::Result<W> {
        Ok(self.end()?.0)
    }
}

impl<'s, W: Write, S: Write> DeltaWriter<'s, W, S> {
    /// Makes the new content's signature too, as a [`Signer`] with `new_params` would.
    ///
    /// Where the block lengths agree, blocks that kept their place are hashed once for both.
    pub fn with_signature(
        signature: &'s Signature,
        basis_len: u64,
        new_params: Params,
        delta_out: W,
        sig_out: S,
    ) -> Result<Self> {
        let signing = if new_params.block_len == signature.block_len() {
            Signing::Shared(SharedSums::new(SumsWriter::new(new_params, sig_out)?, new_params.block_len))
        } else {
            Signing::Apart(Signer::new(new_params, sig_out)?)
        };
        Self::build(signature, basis_len, delta_out, signing)
    }

    fn build(signature: &'s Signature, basis_len: u64, out: W, signing: Signing<S>) -> Result<Self> {
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

    /// What is pushed begins at `offset` of the new content: there in the basis it is looked for first.
    pub fn starting_at(mut self, offset: u64) -> Self {
        self.search.expect_at(offset);
        self
    }

    /// Takes the next bytes of the new content.
    pub fn update(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Signing::Apart(signer) = &mut self.signing {
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

    /// What the search has cost so far.
    pub fn effort(&self) -> Effort {
        self.search.effort
    }

    /// Writes what is left and gives the outputs of the delta and of the signature back.
    ///
    /// The latter is `None` only without [`with_signature`](DeltaWriter::with_signature).
    pub fn finish_both(self) -> io::Result<(W, Option<S>)> {
        self.end()
    }

    fn end(mut self) -> io::Result<(W, Option<S>)> {
        let view = View { bytes: &self.held, start: self.held_at };
        self.search.finish(view, &mut self.encoder)?;
        let signed = match self.signing {
            Signing::No => None,
            Signing::Shared(shared) => Some(shared.finish(view)?),
            Signing::Apart(signer) => Some(signer.finish()?),
        };
        Ok((self.encoder.finish()?, signed))
    }

    /// Goes on in the held bytes followed by the first of `bytes`, until the held ones are needed no
    /// more. Returns the bytes that are, with `held_at` their position: none if all are held.
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
        // More than a block followed the old bytes unless `bytes` are used up.
        debug_assert_eq!(taken, bytes.len());
        if done >= self.held.len() / 2 {
            self.held.drain(..done);
            self.held_at += done as u64;
        }
        Ok(&[])
    }

    fn advance(&mut self, view: View) -> io::Result<()> {
        let shared = match &mut self.signing {
            Signing::Shared(shared) => {
                shared.sign(view, self.search.at())?;
                Some(&*shared)
            }
            _ => None,
        };
        self.search.scan(view, shared, &mut self.encoder)
    }

    /// From here on the stream is still needed.
    fn needed(&self) -> u64 {
        match &self.signing {
            Signing::Shared(shared) => self.search.at().min(shared.needs()),
            _ => self.search.at(),
        }
    }
}
