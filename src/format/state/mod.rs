//! The state: one JSON document (RFC 8259). Its layout lets libibt write and read it as a stream.
//!
//! ```text
//! header     {"format":"ibt-state","version":1,...       some lines, the last line is   "entries":[
//! entries    {"path":...,"at":{...}},                    one per line, in order of paths
//! trailer    ],                                          problems, omissions, archives, totals, tree
//!            "summary":"blake3:...",                     BLAKE3 of the header, and of the trailer from the archives on
//! last line  "digest":"blake3:..."}                      BLAKE3 of all bytes before this line
//! ```
//!
//! Strings hold no raw LF and no unescaped `"`. So a reader finds the lines, and the logical part of an entry line (all
//! bytes before its first `,"at":{`), without parsing JSON. `tree`, the snapshot's identity, is the BLAKE3 of the
//! logical parts of all entry lines, each followed by an LF.
//!
//! A *whole* state has all entries. Any other state names *layers*: older state files of the same key. The last layer
//! is whole. The lines of a state with layers are the entries that differ from the layers, and a line `{"gone":PATH}`
//! for each path that the layers have and the snapshot does not have. At each path, the newest file with a line decides
//! ([`overlay`]). `tree` and the totals always describe the merged entries.

mod changes;
mod check;
mod cursor;
mod document;
mod entries;
mod fields;
mod fold;
mod hard_links;
mod intake;
mod json;
mod layer;
mod layers;
mod line;
mod object;
mod omissions;
mod overlay;
mod reader;
mod recorded;
mod summary;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

pub use changes::{NeededArchives, StateChanges};
pub use entries::{Entries, EntryLookup, Records};
pub use fields::parse_entry_line;
pub use fold::FoldRule;
pub use intake::PathSelector;
pub use layers::needed_by;
pub use line::write_entry_line;
pub use omissions::{OmissionCause, Omissions};
pub use reader::{StateFiles, StateReader, StateSummary, StoredState};
pub use recorded::Recorded;
pub use writer::{Made, StateWriter, WrittenState};

use std::sync::Arc;

use super::BackupFileKind;
use super::names::{Name, split_part};
use crate::entry::{Hash, Unknown};
use crate::job::Labels;
use crate::stamp::{Stamp, Time};

/// The longest entry line, in bytes; also the longest header.
pub const LINE_MAX: usize = 16 << 20;
/// The longest trailer, in bytes.
pub const TRAILER_MAX: usize = 48 << 20;
/// The most layers that a state names: seven with changes, and the whole state.
pub const LAYERS_MAX: usize = fold::CHANGE_LAYERS_MAX + 1;
/// The most archives that a state names.
pub const ARCHIVES_MAX: usize = 1 << 16;
/// The most ranges of one content, and of one signature: a whole copy and 64 deltas.
pub const RANGES_MAX: usize = 65;
/// The most bytes of all names and values of one entry's xattrs.
pub const XATTRS_MAX: usize = 8 << 20;
/// The most xattrs of one entry: no system lists more names than fit 64 KiB.
pub const XATTR_COUNT_MAX: usize = 1 << 16;
/// The most unknown fields of one JSON object, and the most fields of an object inside an unknown field.
pub const UNKNOWN_MAX: usize = 256;
/// The most bytes of all unknown fields of the header, and of those of the trailer.
pub const UNKNOWN_BYTES_MAX: usize = 1 << 20;
/// The deepest nesting of objects and lists.
pub const NESTING_MAX: usize = 100;
/// The most bytes of a header's host, of its source and of its library.
pub const HEADER_TEXT_MAX: usize = 64 << 10;
/// The most problems of a state. The writer leaves out the problems after these.
pub const PROBLEMS_MAX: usize = 10_000;
/// The most bytes of all problems of a state. The writer leaves out the problems that do not fit.
pub const PROBLEM_BYTES_MAX: usize = 16 << 20;

/// The word in [`Header::needs`] of a partial state. A reader that does not know partial states refuses it.
const PARTIAL: &str = "partial";
/// The bytes that follow the logical part of an entry line.
const AT: &[u8] = b",\"at\":{";
/// The algorithm of all digests that this version makes. Hex digits follow.
const BLAKE3: &[u8] = b"blake3:";
/// The last line of the header.
const ENTRIES_BEGIN: &[u8] = b"\"entries\":[\n";
/// The line after the last entry.
const ENTRIES_END: &[u8] = b"],\n";
/// In microseconds. If a stamp is ahead of [`Header::made_at`] by less than this, the stamp is the snapshot's date.
const DATE_SLACK: u64 = 1_000_000;
/// Bytes of the last line: `"digest":"blake3:HEX"}` and its LF.
const DIGEST_LINE_LEN: usize = 10 + 7 + 64 + 2 + 1;
const VERSION: u64 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    Full,
    Incremental,
}

impl SnapshotKind {
    /// The kind's word in states and reports.
    pub fn word(self) -> &'static str {
        match self {
            SnapshotKind::Full => "full",
            SnapshotKind::Incremental => "incremental",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [SnapshotKind::Full, SnapshotKind::Incremental].into_iter().find(|kind| kind.word() == word)
    }
}

/// The snapshot that an increment was made against, or that a consolidation copied. The field only documents the
/// origin: readers use the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentRef {
    pub snapshot: Stamp,
    pub tree: Hash,
}

/// A state file that a state with layers needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerRef {
    pub snapshot: Stamp,
    /// Bytes of the stored file.
    pub size: u64,
    /// The digest in the last line of the file.
    pub digest: Hash,
}

/// The first part of a state, written before the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub key: String,
    /// 32 random lower-case hex digits. The first full of a key in a store chooses them, and all later snapshots
    /// of the key there have the same.
    pub series: String,
    pub host: String,
    pub snapshot: Stamp,
    pub kind: SnapshotKind,
    /// Position in the series: that of the newest snapshot before this one plus 1; 1 for the first snapshot.
    pub seq: u64,
    /// The source's absolute path, or the caller's name for it; raw bytes.
    pub source: Vec<u8>,
    /// The library that wrote the state: "ibt 0.1.0".
    pub library: String,
    /// When the walk began. A consolidated snapshot has the time of the snapshot that it was made from.
    pub scanned_at: Time,
    /// When the operation began.
    pub made_at: Time,
    pub parent: Option<ParentRef>,
    /// True if inode numbers of this source change between runs: the next run must not compare them. A full takes the
    /// value over from the snapshot before it, and the next increment determines the value again.
    pub inodes_unstable: bool,
    /// The labels that the caller gave to the snapshot. A consolidated snapshot has the labels of the snapshot that it
    /// was made from.
    pub labels: Labels,
    /// The state files whose lines this state changes, the newest first; the last one is whole. Empty if this state is
    /// whole itself.
    pub layers: Vec<LayerRef>,
    /// Features that a reader must know besides the version. Only a partial state has a word here
    /// ([`Header::partial`]); every other word is refused.
    pub needs: Vec<String>,
    pub unknown: Unknown,
}

impl Header {
    /// The header of a partial state of the full backup that this header describes.
    pub fn partial(&self) -> Header {
        Header { needs: vec![PARTIAL.to_string()], ..self.clone() }
    }

    /// True for the header of a partial state, which is no snapshot.
    pub fn is_partial(&self) -> bool {
        self.needs.iter().any(|word| word == PARTIAL)
    }

    /// The time when the snapshot was made. Usually this is the stamp. But a stamp must be later than every older stamp
    /// of its key: if an older stamp was ahead of the clock, the new stamp is ahead of the clock too, and the date is
    /// `made_at`. A stamp that is less than a second ahead still is the date, so that snapshots made at almost the same
    /// time have different dates.
    pub fn date(&self) -> Stamp {
        let made = Stamp::from_time(self.made_at);
        match made < self.snapshot && made.distance(self.snapshot) >= DATE_SLACK {
            true => made,
            false => self.snapshot,
        }
    }
}

/// An archive that holds contents or signatures of a state's entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveRef {
    pub name: String,
    pub kind: BackupFileKind,
    /// Bytes stored, in all parts together.
    pub size: u64,
    /// Bytes of the uncompressed stream.
    pub stream: u64,
    /// BLAKE3 of the bytes stored, one part after the other.
    pub digest: Hash,
    /// The parts, at least two; empty if the archive is one file.
    pub parts: Vec<ArchiveFile>,
}

/// A stored file: an archive, or a part of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveFile {
    pub name: String,
    pub kind: BackupFileKind,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of the uncompressed stream that lie in this file.
    pub stream: u64,
    /// BLAKE3 of the file.
    pub digest: Hash,
}

impl ArchiveRef {
    /// True if the run of this stamp made the archive. A state may also name archives of others.
    pub fn is_of(&self, stamp: Stamp) -> bool {
        Name::parse(&self.name).is_some_and(|name| name.stamp == stamp)
    }

    /// The files that the archive is stored in, in order.
    pub fn files(&self) -> Vec<ArchiveFile> {
        match self.parts.is_empty() {
            true => vec![ArchiveFile {
                name: self.name.clone(),
                kind: self.kind,
                size: self.size,
                stream: self.stream,
                digest: self.digest,
            }],
            false => self.parts.clone(),
        }
    }
}

impl ArchiveFile {
    /// True if the file consists of zstd frames.
    pub fn compressed(&self) -> bool {
        split_part(&self.name).0.ends_with(".zst")
    }
}

/// Counts over a whole snapshot: its entries, and the changes since its parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Entries, the root included. [`StateWriter`] counts them and ignores the caller's number.
    pub entries: u64,
    /// Logical bytes of all files. [`StateWriter`] adds them up and ignores the caller's number.
    pub bytes: u64,
    pub created: u64,
    pub modified: u64,
    pub unchanged: u64,
    pub moved: u64,
    pub deleted: u64,
    /// Entries of which only metadata changed.
    pub metadata: u64,
    /// Problems that the state lists. [`StateWriter`] counts them and ignores the caller's number.
    pub problems: u64,
}

/// A problem of the backup, as its state records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateProblem {
    /// The path of the entry, raw bytes; `None` if the problem concerns the whole backup.
    pub path: Option<Vec<u8>>,
    /// The word for the kind of problem, such as "unreadable" or "skipped".
    pub status: String,
    pub message: String,
}

/// The last part of a state, written after the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// The archives to which the entries refer; a range holds the index into this list. In the trailer of a single
    /// state file with layers, these are the archives of its own lines. [`StateSummary::with_layers`] and
    /// [`StateReader`] return a trailer with all archives that the snapshot needs.
    pub archives: Vec<ArchiveRef>,
    /// For each layer of the header, and each archive in the trailer of the layer's file: true if the snapshot needs
    /// the archive.
    pub uses: Vec<Vec<bool>>,
    pub totals: Totals,
    /// Empty in a trailer that [`StateSummary::read`] returned.
    pub problems: Vec<StateProblem>,
    /// Empty in a [`StateSummary`] that was read without the entries.
    pub omissions: Arc<Omissions>,
    pub finished_at: Time,
    /// The snapshot's identity: a digest of the logical parts of all entries. These parts describe the source,
    /// not the place of the stored bytes.
    pub tree: Hash,
    /// BLAKE3 of all bytes of the document before its last line.
    pub digest: Hash,
    pub unknown: Unknown,
}
