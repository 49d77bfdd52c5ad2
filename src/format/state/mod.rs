//! The state: one JSON document (RFC 8259), laid out so that it is written and read as a stream.
//!
//! ```text
//! header     {"format":"ibt-state","version":1,...       some lines, the last one is   "entries":[
//! entries    {"path":...,"at":{...}},                    one a line, in order of paths
//! trailer    ],                                          archives, totals, problems, omissions, tree
//! last line  "digest":"blake3:..."}                      BLAKE3 of all bytes before this line
//! ```
//!
//! No string holds a raw LF and none holds a bare `"`, so lines and the logical part of an entry line (all
//! before its first `,"at":{`) are found without parsing JSON. `tree`, the snapshot's identity, is BLAKE3
//! over the logical part of every entry line, each with an LF.

mod check;
mod cursor;
mod document;
mod entries;
mod intake;
mod json;
mod line;
mod object;
mod omissions;
mod parse;
mod plain;
mod reader;
mod recorded;
#[cfg(test)]
mod tests;
mod writer;

pub use entries::{Entries, Records};
pub use intake::Meant;
pub use line::write_entry_line;
pub use omissions::{OmissionCause, Omissions};
pub use parse::parse_entry_line;
pub use reader::{StateReader, StateSummary};
pub use recorded::Recorded;
pub use writer::StateWriter;

use std::sync::Arc;

use super::Kind;
use crate::entry::{Hash, Unknown};
use crate::stamp::{Stamp, Time};

/// The longest entry line, in bytes; also the longest header.
pub const LINE_MAX: usize = 16 << 20;
/// The longest trailer, in bytes.
pub const TRAILER_MAX: usize = 48 << 20;
/// The most archives a state names.
pub const ARCHIVES_MAX: usize = 1 << 16;
/// The most ranges of one content: a whole copy and 64 deltas. Also of one signature.
pub const RANGES_MAX: usize = 65;
/// Names and values of one entry's xattrs together, in bytes.
pub const XATTRS_MAX: usize = 8 << 20;
/// How many xattrs one entry has at most: no system lists more names than fit 64 KiB.
pub const XATTR_COUNT_MAX: usize = 1 << 16;
/// Unknown fields of one JSON object; also all fields of an object that is the value of one.
pub const UNKNOWN_MAX: usize = 256;
/// Unknown fields of the header, and of the trailer, together, in bytes.
pub const UNKNOWN_BYTES_MAX: usize = 1 << 20;
/// How deep objects and lists may nest.
pub const NESTING_MAX: usize = 100;
/// The longest host, source and library of a header, in bytes.
pub const HEADER_TEXT_MAX: usize = 64 << 10;
/// Problems a state keeps; the writer leaves out what comes after them, or after so many bytes.
pub const PROBLEMS_MAX: usize = 10_000;
pub const PROBLEM_BYTES_MAX: usize = 16 << 20;

/// The byte sequence where an entry line's logical part ends.
const AT: &[u8] = b",\"at\":{";
/// The header's last line and the entries' end.
const ENTRIES_BEGIN: &[u8] = b"\"entries\":[\n";
const ENTRIES_END: &[u8] = b"],\n";
/// Microseconds that a snapshot's stamp may be later than its clock said, and still count as its date.
const DATE_SLACK: u64 = 1_000_000;
/// `"digest":"blake3:HEX"}` and its LF.
const DIGEST_LINE_LEN: usize = 10 + 7 + 64 + 2 + 1;
const VERSION: u64 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    Full,
    Incremental,
}

impl SnapshotKind {
    /// The word in states and reports.
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

/// The snapshot that an increment was made against. Evidence, not navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentRef {
    pub snapshot: Stamp,
    pub tree: Hash,
}

/// What is known before the first entry is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub key: String,
    /// 32 lower-case hex digits, made by the first full of a key in a store.
    pub series: String,
    pub host: String,
    pub snapshot: Stamp,
    pub kind: SnapshotKind,
    /// Position in the series: the parent's plus 1.
    pub seq: u64,
    /// The source's absolute path, raw bytes.
    pub source: Vec<u8>,
    /// Who wrote this: "ibt 0.1.0".
    pub library: String,
    /// When the walk began. A consolidated snapshot has that of the one it came from.
    pub scanned_at: Time,
    /// When the operation began.
    pub made_at: Time,
    pub parent: Option<ParentRef>,
    /// Inodes change between runs here: the next run must not compare them.
    pub inodes_unstable: bool,
    /// What a reader must know besides the version. Nothing is defined yet, so every word is refused.
    pub needs: Vec<String>,
    pub unknown: Unknown,
}

impl Header {
    /// When the snapshot was made. That is its stamp, unless an earlier stamp of its key was ahead of the clock
    /// then: stamps only grow, so this one was moved behind that. By less than a second it stays the stamp, so that
    /// snapshots made at once have dates of their own.
    pub fn date(&self) -> Stamp {
        let made = Stamp::from_time(self.made_at);
        match made < self.snapshot && made.distance(self.snapshot) >= DATE_SLACK {
            true => made,
            false => self.snapshot,
        }
    }
}

/// An archive that entries of a state lie in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveRef {
    pub name: String,
    pub kind: Kind,
    /// Bytes stored.
    pub size: u64,
    /// Bytes of the uncompressed stream.
    pub stream: u64,
    /// BLAKE3 of the bytes stored.
    pub digest: Hash,
}

impl ArchiveRef {
    /// Whether the stored file is made of zstd frames.
    pub fn compressed(&self) -> bool {
        self.name.ends_with(".zst")
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Entries, the root included. The writer counts them itself.
    pub entries: u64,
    /// Logical bytes of all files. The writer adds them up itself.
    pub bytes: u64,
    pub created: u64,
    pub modified: u64,
    pub unchanged: u64,
    pub moved: u64,
    pub deleted: u64,
    /// Entries of which only metadata changed.
    pub metadata: u64,
}

/// A problem the backup met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateProblem {
    /// The entry concerned, raw bytes; `None` if it concerns the whole.
    pub path: Option<Vec<u8>>,
    /// What kind of problem: "unreadable", "skipped".
    pub status: String,
    pub message: String,
}

/// What is known when the last entry was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Every archive the entries lie in, in the order of their indices.
    pub archives: Vec<ArchiveRef>,
    pub totals: Totals,
    pub problems: Vec<StateProblem>,
    /// Empty in a summary that is read without entries.
    pub omissions: Arc<Omissions>,
    pub finished_at: Time,
    /// The snapshot's identity: what was backed up, independent of where it lies.
    pub tree: Hash,
    /// BLAKE3 of the document up to its last line.
    pub digest: Hash,
    pub unknown: Unknown,
}
