//! librsync's formats in Rust: signatures, deltas, patching, and the composition of deltas.
//!
//! A **basis** is old content. Its **signature** holds a weak sum and a strong sum of each of its blocks. A **delta**
//! describes new content as copies from the basis and literal bytes; to **patch** is to make the new content from the
//! basis and a delta. This module opens no files: it reads slices and `Read`, and writes to `Write`.
//!
//! ```text
//!  basis --> Signer --> signature --> Signature --+
//!                                                 +--> DeltaWriter --> delta --> Commands --> patch
//!  new content -----------------------------------+                                      \--> Plan
//! ```
//!
//! A long content is cut into chunks of [`CHUNK_LEN`] bytes or more. Several threads make the deltas of the
//! chunks, and [`DeltaJoiner`] joins these into the delta of the content.
//!
//! [`SignatureDelta`] makes the delta of a new signature against an old signature.
//!
//! If the caller has the old bytes themselves, [`FineWriter`] compares old and new bytes directly. It finds common
//! ranges that are much shorter than a block of a signature. Its delta has the same format.
//!
//! # The bytes
//!
//! All integers are big-endian. A signature:
//!
//! ```text
//!  u32 magic   0x72730147: RabinKarp weak sums, BLAKE2b strong sums (written and read)
//!              0x72730137: rollsum weak sums, BLAKE2b strong sums (read only)
//!  u32 block length    u32 strong length, 1 to 32
//!  per block: u32 weak sum, then the first `strong length` bytes of BLAKE2b-256 of the block
//! ```
//!
//! Only the last block may be shorter than the block length. A delta is the magic 0x72730236, then
//! commands, then END. L is a length and O an offset, each of 1, 2, 4 or 8 bytes:
//!
//! ```text
//!  0x00          END                      0x41-0x44  literal of L bytes: L, then the bytes
//!  0x01-0x40     literal of 1-64 bytes    0x45-0x54  copy: O, L (0x45 + 4 * size class of O + of L)
//! ```
//!
//! Source of both formats: librsync 2.3, `prototab.c`, `mksum.c`, `emit.c`. `rdiff` 2.3 reads the files
//! of this module, and this module reads the files of `rdiff`.

mod commands;
mod encode;
mod fine;
mod joiner;
mod params;
mod patch;
mod plan;
mod signature;
mod signature_delta;
#[cfg(test)]
mod tests;

// The engine signs, searches and patches. The feature `librsync` replaces the Rust engine with the C library.
#[cfg(feature = "librsync")]
mod librsync;
#[cfg(feature = "librsync")]
use librsync as engine;
#[cfg(not(feature = "librsync"))]
mod native;
#[cfg(not(feature = "librsync"))]
use native as engine;

pub use commands::{Command, Commands};
pub use engine::{CHUNK_LEN, DeltaWriter, Signer, patch_up_to};
pub use fine::{FinePiece, FineSearch, FineWriter, MIN_MATCH, Match, OLD_MAX, fine_delta};
pub use joiner::DeltaJoiner;
#[cfg(not(feature = "librsync"))]
pub use native::Effort;
pub use params::{Params, SigningRule};
pub use patch::patch;
pub use plan::{Piece, Plan};
pub use signature::Signature;
pub use signature_delta::SignatureDelta;

use std::io;

/// Magic of the signatures that this module writes: RabinKarp and BLAKE2b.
pub const SIGNATURE_MAGIC: u32 = 0x7273_0147;
/// Magic of older signatures: rollsum and BLAKE2b. They are only read.
pub const ROLLSUM_SIGNATURE_MAGIC: u32 = 0x7273_0137;
/// Magic of a delta.
pub const DELTA_MAGIC: u32 = 0x7273_0236;
/// The longest strong sum, in bytes.
pub const MAX_STRONG_LEN: u32 = 32;

const MD4_MAGICS: [u32; 2] = [0x7273_0136, 0x7273_0146];

/// An I/O error, or a signature or delta that is damaged, forged, or does not fit its basis.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("not a signature: magic {0:#010x}")]
    NotASignature(u32),
    #[error("a signature with MD4 sums (magic {0:#010x}), which no longer protect anything")]
    Md4Signature(u32),
    #[error("signature with an impossible block length of {0}")]
    BlockLen(u32),
    #[error("signature with an impossible strong length of {0}")]
    StrongLen(u32),
    /// Fewer than 12 bytes.
    #[error("signature cut short in its header, at {0} bytes")]
    SignatureHeader(u64),
    /// The bytes after the header are not a whole number of entries: the signature was cut short, or other
    /// bytes follow it.
    #[error("signature with {0} bytes after its last whole entry")]
    SignatureTail(u64),
    #[error("signature of {0} blocks, more than can be numbered")]
    TooManyBlocks(u64),
    #[error("signature of {blocks} blocks for a basis of {basis_len} bytes")]
    BlockCount { blocks: u64, basis_len: u64 },
    #[error("not a delta: magic {0:#010x}")]
    NotADelta(u32),
    #[error("delta cut short at {at} bytes")]
    Truncated { at: u64 },
    #[error("delta with unknown command {opcode:#04x} at {at}")]
    UnknownCommand { opcode: u8, at: u64 },
    #[error("delta with a command of length 0 at {at}")]
    ZeroLength { at: u64 },
    #[error("delta copies {len} bytes from {offset} of a basis of {basis_len}")]
    BeyondBasis { offset: u64, len: u64, basis_len: u64 },
    #[error("delta goes on after its end at {at}")]
    AfterEnd { at: u64 },
    #[error("delta makes more than the {limit} bytes declared")]
    OutputTooLong { limit: u64 },
    #[error("delta makes {made} bytes of the {declared} declared")]
    OutputTooShort { made: u64, declared: u64 },
    /// The basis has fewer bytes than its declared length.
    #[error("basis ends at {at}, before its declared length")]
    BasisTooShort { at: u64 },
    #[error("more than {cap} pieces in a plan")]
    TooManyPieces { cap: usize },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
