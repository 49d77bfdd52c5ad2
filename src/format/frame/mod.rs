//! A backup file as a sequence of independent zstd frames: a reader decompresses only the frames that hold
//! the range it needs.
//!
//! ```text
//! file       = frame* seek-table
//! frame      = one zstd frame, with content size and checksum. In an archive: of FRAME_LEN or SHORT_FRAME_LEN
//!              uncompressed bytes, but the last frame is the rest, at least 1 byte. In a state: of whole lines
//! seek-table = 0x184D2A5E  length of the rest (u32)         a skippable frame
//!              (compressed size (u32), uncompressed size (u32)) for each frame
//!              number of frames (u32)  descriptor (u8)  0x8F92EAB1
//! ```
//!
//! All integers are little-endian. This is the Zstandard Seekable Format (`contrib/seekable_format` of
//! zstd). The writer's descriptor is 0: each frame has its own checksum, so the table needs none. The reader
//! accepts a table with checksums (bit 7) and ignores them.
//!
//! Without compression the file is the stream itself. Readers treat each [`SHORT_FRAME_LEN`] bytes of such a
//! file as a frame.

mod buffers;
mod cache;
mod codec;
mod ends;
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
pub use ends::{StreamEnds, TailInMemory};
pub use index::{FrameIndex, FramePart, TABLE_LEN};
pub use lazy::Frame;
pub use stream::{read_beginning, read_stream};
pub use writer::{FrameWriter, PART_SIZE_MIN, Written, WrittenPart};

/// Uncompressed bytes of each frame but the last, in the archive of a full.
pub const FRAME_LEN: usize = 4 << 20;
/// Uncompressed bytes of each frame but the last, in all other archives. The frames of a state are about this long. A
/// restore reads, for each file, a few bytes from every archive of the chain. So one frame of each archive must fit the
/// restore's memory; otherwise the restore decompresses the same frames again and again.
pub const SHORT_FRAME_LEN: usize = 512 << 10;
/// The longest frame that a reader accepts, in uncompressed bytes. Files that other tools compressed may have
/// longer frames than [`FRAME_LEN`].
pub const FOREIGN_FRAME_MAX: u32 = 64 << 20;
