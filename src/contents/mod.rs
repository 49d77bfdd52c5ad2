//! Reads stored contents out of archives.
//!
//! ```text
//! entry --> its whole copy and its deltas --> one plan, or a chain too large for memory (chain)
//!       --> frames, fetched and decoded on other threads before they are needed (prefetch)
//!       --> from a store that is far away: several at once (frames_ahead)
//!       --> or out of a temporary file, for frames that were decoded twice (decoded_spool)
//!       --> the content's bytes, in order; or in the frames' order, if that decodes fewer bytes (by_frame)
//! ```

mod archives;
mod by_frame;
mod chain;
mod check;
mod content_reader;
mod decoded_spool;
mod fetched;
mod frames_ahead;
mod held_frames;
mod joined;
mod layout;
mod loss;
mod prefetch;
mod read_cost;
mod reader;
mod signature;
#[cfg(test)]
mod tests;

pub use archives::{FileRange, StateArchives};
pub use check::{ContentCheck, RightContents};
pub use content_reader::ContentReader;
pub use fetched::FetchedContent;
pub use held_frames::HeldFrames;
pub use layout::Layout;
pub use loss::lost;
pub use reader::{Contents, FrameId};
pub use signature::{SignatureLen, checkable, patch_signature};
