//! Every name and byte at rest, version 1: this module defines them, writes them and reads them.
//!
//! A snapshot is up to four files in a store, all of them named after its key and [`Stamp`]:
//!
//! ```text
//! KEY.full.STAMP.tar.zst       every file of a full backup
//! KEY.created.STAMP.tar.zst    an increment's whole files
//! KEY.updated.STAMP.tar.zst    an increment's deltas, each member a raw librsync delta
//! KEY.sigvault.STAMP.tar.zst   librsync signatures of the files stored in this snapshot
//! KEY.state.STAMP.json.zst     the state: one entry a line, and where each content lies
//! ```
//!
//! ```text
//! file     = frame* seek-table          a zstd frame for each 4 MiB or 512 KiB of it ...... frame
//!          | stream                     without compression; the names lose ".zst"
//! stream   = member* 1024 zeros         of an archive: a POSIX pax tar ................... archive
//!          | header entry-line* trailer digest-line     of a state: one JSON document ..... state
//! member   = [x header, records] header [sparse map] data, padded to 512
//! ```
//!
//! `docs/format.md` is the public form of this, complete enough to write a reader from.
//!
//! # The commit
//!
//! 1. A snapshot exists only when its state stands under its final name and verifies: the last line of
//!    the document ([`StateWriter::finish`]) is the digest of all before it, and [`StateReader::open`]
//!    believes nothing of a document whose digest does not agree.
//! 2. Everything a state names is durable before the state gets its name. `format` makes that possible:
//!    [`ArchiveWriter::finish`] says size and digest of an archive before the state is finished, and the
//!    state's trailer, where they stand, is written last.
//! 3. Committed files never change: there is no function here that writes into an existing file.
//! 4. Removal goes the other way round: a state first, then the archives that no remaining state names
//!    ([`Trailer::archives`] is the whole list of what a snapshot needs).
//! 5. What is not committed is called [`TEMP_PREFIX`]`*`, which [`Name::parse`] calls foreign: it can never
//!    be taken for a part of a snapshot.
//! 6. A new [`Stamp`] exceeds that of every snapshot of its key that verifies, so the order of names is the
//!    order of snapshots; a state's parent is evidence, not navigation. Files that are no snapshots and lie
//!    more than a year in the future are not followed. When a snapshot was made is told by
//!    [`Header::date`], which is earlier than its stamp where another stamp was ahead of the clock.
//!
//! [`Stamp`]: crate::stamp::Stamp

pub mod archive;
pub mod frame;
mod io;
pub mod names;
pub mod state;

pub use archive::{ArchiveWriter, Special};
#[cfg(test)]
pub use frame::OUT_OF_MEMORY;
pub use frame::{
    read_stream, Decoded, Frame, FrameCache, FrameIndex, FrameWriter, Part, RecentFrames, Written, FRAME_LEN,
    SHORT_FRAME_LEN,
};
pub use io::{ReadAt, Sink};
pub use names::{check_key, default_key, lock_name, Kind, Name, TEMP_PREFIX};
pub use state::{
    parse_entry_line, write_entry_line, ArchiveRef, Entries, Header, Meant, OmissionCause, Omissions,
    ParentRef, Recorded, Records, SnapshotKind, StateProblem, StateReader, StateSummary, StateWriter, Totals,
    Trailer,
};

use crate::error::{Error, Kind as ErrorKind};

/// A caller inside this library broke a rule of a writer: never the fault of stored bytes.
fn bug(op: &str, detail: &str) -> Error {
    Error::new(ErrorKind::Panic, op, format!("bug in libibt: {detail}"))
}
