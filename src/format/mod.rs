//! The storage format, version 1: this module defines, writes and reads every name and byte of backup files.
//!
//! A backup adds up to four files to a store. Their names hold the key and the [`Stamp`] of the snapshot. A prune can
//! add a mark, and a full that does not end leaves a partial state:
//!
//! ```text
//! KEY.full.STAMP.tar.zst       every file of a full backup
//! KEY.created.STAMP.tar.zst    an increment's whole files
//! KEY.updated.STAMP.tar.zst    an increment's deltas, each member a raw librsync delta
//! KEY.sigvault.STAMP.tar.zst   librsync signatures of these files, or deltas against older signatures
//! KEY.state.STAMP.json.zst     the state: the entries, one per line, with the place of each content
//! KEY.retired.STAMP.json       the mark of a removed snapshot whose state other snapshots need
//! KEY.partial.STAMP.json.zst   the partial state of a full that runs or did not end: no snapshot
//! ```
//!
//! An archive may be stored in several files, its *parts*: `KEY.full.STAMP.tar.zst`, `KEY.full.STAMP.tar.zst.00002` and
//! so on. Each part has whole frames and a seek table. Joined, the parts are one archive, and offsets are those of its
//! stream.
//!
//! ```text
//! file     = frame* seek-table          a zstd frame for some 4 MiB or 512 KiB of stream .. frame
//!          | stream                     without compression; the names lose ".zst"
//! stream   = member* 1024 zeros         of an archive: a POSIX pax tar ................... archive
//!          | header entry-line* trailer digest-line     of a state: one JSON document ..... state
//! member   = [x header, records] header [sparse map] data, padded to 512
//! ```
//!
//! The last column names the module. `docs/format.md` is the public description, complete enough to write a reader
//! from.
//!
//! The state of a full has every entry. The state of an increment usually has only the changes to older states, which
//! it names as its *layers*; a reader merges the lines of all of them ([`state`]).
//!
//! # The commit
//!
//! 1. A snapshot exists only if its state has its final name and verifies, and the store has no mark
//!    ([`BackupFileKind::Retired`]) with the same stamp. The last line of the document ([`StateWriter::finish`]) is the
//!    digest of all bytes before it, and [`StateReader::open`] refuses a document whose digest does not agree.
//! 2. Every archive that a state names is durable before the state gets its name. `format` makes that possible:
//!    [`ArchiveWriter::finish`] returns the size and the digest of an archive, and the state's trailer, which records
//!    them, is written last.
//! 3. Committed files never change: no function here writes into an existing file.
//! 4. Removal has the opposite order: first the state, or a mark if the state is a layer of another snapshot; then the
//!    archives and the marked states that no remaining snapshot needs. [`StateReader::trailer`] lists every archive
//!    that a snapshot needs, and [`StateReader::file_references`] every state file.
//! 5. A file that is not committed is named [`TEMP_PREFIX`]`*`. [`Name::parse`] does not accept such a name,
//!    so a temporary file is never taken for a part of a snapshot. A store of functions has no temporary names: there
//!    the parts of an archive get their names while the others are written. No state names them yet. A full gives
//!    parts their names early too, before it publishes a partial state that names them.
//! 6. A new [`Stamp`] is later than the stamp of every snapshot of its key that verifies, so the order of names is the
//!    order of snapshots. The parent that a state records is for people and checks; readers use the layers instead. A
//!    file that does not verify and whose stamp is more than a year in the future has no influence on the next stamp.
//!    [`Header::date`] is the time when a snapshot was made; it is earlier than the snapshot's stamp if another stamp
//!    was ahead of the clock.
//!
//! [`Stamp`]: crate::stamp::Stamp

mod ancestor_names;
pub mod archive;
pub mod frame;
mod io;
pub mod names;
pub mod state;

pub use ancestor_names::AncestorName;
pub use archive::{ArchiveWriter, Special};
#[cfg(test)]
pub use frame::OUT_OF_MEMORY;
pub use frame::{
    Decoded, FRAME_LEN, Frame, FrameCache, FrameIndex, FramePart, FrameWriter, PART_SIZE_MIN, RecentFrames,
    SHORT_FRAME_LEN, Written, WrittenPart, read_stream,
};
pub use io::{ReadAt, Sink};
pub use names::{BackupFileKind, Name, TEMP_PREFIX, check_key, default_key, lock_name, part_name};
pub use state::{
    ArchiveFile, ArchiveRef, Entries, EntryLookup, FoldRule, Header, LayerRef, Made, NeededArchives,
    OmissionCause, Omissions, PROBLEM_BYTES_MAX, ParentRef, PathSelector, Recorded, Records, SnapshotKind,
    StateChanges, StateFiles, StateProblem, StateReader, StateSummary, StateWriter, StoredState, Totals,
    Trailer, WrittenState, needed_by, parse_entry_line, write_entry_line,
};

use crate::error::{Error, Kind};

/// The error for a caller inside this library that breaks a rule of a writer. Stored bytes never cause it.
fn bug(op: &str, detail: &str) -> Error {
    Error::new(Kind::Panic, op, format!("bug in libibt: {detail}"))
}
