//! A backup file as a row of independent zstd frames that any range can be read from.
//!
//! ```text
//! file       = frame* seek-table
//! frame      = one zstd frame of FRAME_LEN or SHORT_FRAME_LEN uncompressed bytes, the same in all of a file
//!              (the last one: what is left, never none), with content size and checksum
//! seek-table = 0x184D2A5E  length of what follows (u32)     a skippable frame
//!              (compressed size (u32), uncompressed size (u32)) for each frame
//!              number of frames (u32)  descriptor (u8)  0x8F92EAB1
//! ```
//!
//! All integers are little-endian. This is the Zstandard Seekable Format (`contrib/seekable_format` of
//! zstd). The descriptor written is 0: the frames carry their own checksums, so the table repeats none; a
//! table with checksums (bit 7) is read and they are ignored.
//!
//! Without compression the file is the stream itself; it is read in pieces of
//! [`SHORT_FRAME_LEN`].

mod buffers;
mod cache;
mod codec;
mod index;
mod lazy;
#[cfg(test)]
mod reader;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use buffers::Decoded;
pub use cache::{FrameCache, RecentFrames};
#[cfg(test)]
pub use codec::OUT_OF_MEMORY;
pub use index::{FrameIndex, Part};
pub use lazy::Frame;
pub use stream::{read_beginning, read_stream};
pub use writer::{FrameWriter, Written};

/// Uncompressed bytes of each frame but the last.
pub const FRAME_LEN: usize = 4 << 20;
/// The same in the archives of increments. A restore reads all of a chain's archives side by side, a bit of
/// each for every file: a frame of each must fit its memory, or it decompresses them over and over.
pub const SHORT_FRAME_LEN: usize = 512 << 10;
/// The longest frame that is read, uncompressed: other tools may cut a file differently.
pub const FOREIGN_FRAME_MAX: u32 = 64 << 20;
