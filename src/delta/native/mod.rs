//! The engine in Rust: signs, searches and patches.

mod basis;
pub(super) mod filter;
mod patch;
mod search;
mod shared;
mod signer;
pub(super) mod strong;
mod sums;
mod view;
pub(super) mod weak;
#[cfg(target_arch = "x86_64")]
mod wide;
mod writer;

/// The most blocks of a signature: their numbers have 32 bits.
pub(super) const MAX_BLOCKS: u64 = u32::MAX as u64;
/// Bytes of a chunk that is long enough for a task of its own; a power of two.
pub const CHUNK_LEN: usize = 1 << 20;

pub(super) use basis::Basis;
pub use patch::patch_up_to;
pub use search::Effort;
pub use signer::Signer;
pub use writer::DeltaWriter;
