//! The options of every operation. All operations share one type, because the C ABI has one type. An operation
//! refuses an option that it does not support and must not ignore.

use std::path::PathBuf;
use std::sync::Arc;

use crate::entry::{Hash, Path};
use crate::stamp::{Stamp, Time};

use super::{Labels, WantedLabel};

/// The default of [`Options::checkpoint`], in bytes.
pub const CHECKPOINT: u64 = 4 << 30;

/// Selects one snapshot of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Select {
    #[default]
    Newest,
    Exactly(Stamp),
    /// The last snapshot made at this moment or before.
    AsOf(Time),
}

/// The compression of archives and states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    None,
    /// zstd with this level, 1 to 19.
    Zstd(i32),
}

/// How a backup finds out that an entry is unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detect {
    /// By metadata: size, times and inode are equal, and the times are old enough to be believed.
    #[default]
    Metadata,
    /// By content: the backup reads every file.
    Content,
}

/// How an increment makes the delta of a changed file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeltaMode {
    /// Like `Contents` if reading from the store is cheap, else like `Signatures`.
    #[default]
    Auto,
    /// Against the signatures of the old contents. Finds unchanged blocks of 2 KiB or more.
    Signatures,
    /// Against the old contents themselves, which are read from the store. Finds common parts of 32 bytes or more.
    Contents,
}

impl DeltaMode {
    /// Whether deltas are made against the old contents. `reads_cheaply`: reading from the store is cheap.
    pub fn reads_contents(self, reads_cheaply: bool) -> bool {
        match self {
            DeltaMode::Auto => reads_cheaply,
            DeltaMode::Signatures => false,
            DeltaMode::Contents => true,
        }
    }
}

/// How much a verify reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyScope {
    /// Everything that snapshots need is read.
    #[default]
    Contents,
    /// States are read. Of each archive, only the presence and the size are checked.
    Presence,
    /// Like `Presence`, and a part of the contents and signatures is read: part `number` of `parts`, counted from 1.
    Part { number: u32, parts: u32 },
}

/// Says whether a problem with one entry ends the operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFileError {
    /// List the problem and go on.
    #[default]
    Skip,
    /// End the operation with the first problem that is no note.
    Stop,
}

/// How a restore treats a file that exists in its destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// The destination must be absent or an empty directory.
    #[default]
    Never,
    /// Every file with other content is replaced. The restore reads every file to compare.
    Always,
    /// Like `Always`, but a file with the size and modification time of the snapshot's entry counts as equal
    /// and is not read.
    IfDifferent,
    /// A file is replaced if it was modified before the snapshot's entry. An existing directory gets the
    /// snapshot's metadata in any case.
    IfOlder,
    /// Nothing that exists is changed.
    Keep,
}

/// The rules of a prune. `last` keeps that many newest snapshots. `within` keeps the snapshots that were made at most
/// this many seconds before the newest one. Each other rule keeps the newest snapshot of each of the last `n` hours,
/// days, weeks, months or years that have a snapshot. All zero means that no rule is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    pub last: u32,
    pub within: u64,
    pub hourly: u32,
    pub daily: u32,
    pub weekly: u32,
    pub monthly: u32,
    pub yearly: u32,
}

impl Keep {
    pub const NONE: Keep = Keep { last: 0, within: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
}

/// Bits for the metadata that a restore sets, with the values of `IBT_META_*`.
pub mod meta {
    pub const MODE: u32 = 1;
    pub const OWNER: u32 = 2;
    pub const TIMES: u32 = 4;
    pub const XATTRS: u32 = 8;
    pub const SPECIAL: u32 = 16;
    pub const SETID: u32 = 32;
    pub const FLAGS: u32 = 64;
    pub const PROJECT: u32 = 128;
    pub const ALL: u32 = 255;
}

#[derive(Clone, Debug)]
pub struct Options {
    /// The key of the series. `None` means the last component of the source's path.
    pub key: Option<String>,
    /// The name of this host in the snapshot. `None` means the system's name of the host.
    pub host: Option<String>,
    /// The name of the source in the snapshot. `None` means its absolute path.
    pub source_name: Option<Vec<u8>>,
    /// The directory of the cache. `None` means `$XDG_CACHE_HOME/ibt`, or `~/.cache/ibt`. The empty path means no
    /// cache.
    pub cache_dir: Option<PathBuf>,
    /// Patterns of gitignore, relative to the source. A backup leaves out the entries that match.
    pub excludes: Vec<Vec<u8>>,
    /// Name of the files in the source that contain further patterns; empty for no such files.
    pub exclude_file: Vec<u8>,
    /// If a directory has an entry of one of these names that is not a directory, only that entry of it is backed up.
    pub exclude_if_present: Vec<Vec<u8>>,
    /// Leave out files of more bytes than this.
    pub exclude_larger_than: Option<u64>,
    /// Leave out the entries with the flag "no dump", with everything below them.
    pub exclude_nodump: bool,
    /// A backup takes these paths below the source only, with the directories that lead to them. All paths if empty.
    pub source_paths: Arc<Vec<Path>>,
    pub select: Select,
    /// Globs over the paths of a snapshot. An operation is limited to the entries that a glob or one of `paths`
    /// matches. If both lists are empty, the operation works on all entries.
    pub includes: Vec<Vec<u8>>,
    /// Literal paths in a snapshot.
    pub paths: Vec<Path>,
    /// The directory of the snapshot that becomes the destination of a restore.
    pub root: Path,
    pub codec: Codec,
    /// The greatest size of a stored archive, in bytes: a longer one is stored in parts. 0 means archives in one file.
    pub part_size: u64,
    /// A full publishes a partial state each time it has read this number of bytes, and goes on from a partial state
    /// that an earlier full left. 0 means neither.
    pub checkpoint: u64,
    /// Number of worker threads; 0 means one for each core.
    pub threads: u32,
    pub detect: Detect,
    pub delta: DeltaMode,
    /// An increment makes no snapshot if nothing changed since its parent.
    pub skip_unchanged: bool,
    pub one_file_system: bool,
    /// Leave out everything below a directory with a `CACHEDIR.TAG`.
    pub skip_cache_dirs: bool,
    pub on_file_error: OnFileError,
    /// Accept a parent snapshot of another source path or of another host.
    pub allow_source_change: bool,
    /// Accept an empty source although the parent snapshot was not empty, and a prune that leaves no snapshot.
    pub allow_empty: bool,
    /// An increment reads everything that its parent needs, and stores lost contents and signatures again.
    pub heal: bool,
    pub overwrite: Overwrite,
    /// Remove entries of the destination that the snapshot does not contain.
    pub delete_extra: bool,
    /// A restore that ends with an error keeps the entries that it has restored.
    pub leave_partial: bool,
    /// Report the changes that the operation would make, and make none.
    pub dry_run: bool,
    pub keep: Keep,
    /// The hours, days, weeks, months and years of rules are those of this machine's time zone, and not of UTC.
    pub local_time: bool,
    /// The stamps of snapshots that a prune removes, besides the selected one.
    pub removed: Vec<Stamp>,
    /// A prune keeps every snapshot that has one of these labels.
    pub keep_labels: Vec<WantedLabel>,
    /// The date and the stamp of the new snapshot of a backup, if it is a copy of an older one; `None` for the time of
    /// the clock. Only the engine sets it.
    pub made_at: Option<Time>,
    /// Labels for the new snapshot of a backup.
    pub labels: Labels,
    /// Only snapshots with all of these labels are listed, selected, or removed by rules.
    pub label_filters: Vec<WantedLabel>,
    /// Bits of [`meta`]. `None` means all metadata, but owners only if the process may set them.
    pub restore_metadata: Option<u32>,
    /// A restore gives files to the users and groups that have the recorded names on this machine, not to the
    /// recorded numbers.
    pub map_owners: bool,
    /// Paths that a backup leaves out and a restore does not touch, with everything below them.
    pub protected: Vec<PathBuf>,
    /// The tree digest that the selected snapshot must have.
    pub expected_digest: Option<Hash>,
    /// Longest wait for a lock, in milliseconds; 0 means no wait, -1 no limit.
    pub lock_wait_ms: i64,
    /// Write without a lock if the store cannot lock.
    pub allow_unlocked: bool,
    pub verify: VerifyScope,
    /// A comparison compares files by size and modification time, and reads none.
    pub metadata_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            key: None,
            host: None,
            source_name: None,
            cache_dir: None,
            excludes: Vec::new(),
            exclude_file: b".exclude".to_vec(),
            exclude_if_present: Vec::new(),
            exclude_larger_than: None,
            exclude_nodump: false,
            source_paths: Arc::default(),
            select: Select::Newest,
            includes: Vec::new(),
            paths: Vec::new(),
            root: Path::root(),
            codec: Codec::Zstd(3),
            part_size: 0,
            checkpoint: CHECKPOINT,
            threads: 0,
            detect: Detect::Metadata,
            delta: DeltaMode::Auto,
            skip_unchanged: false,
            one_file_system: false,
            skip_cache_dirs: false,
            on_file_error: OnFileError::Skip,
            allow_source_change: false,
            allow_empty: false,
            heal: false,
            overwrite: Overwrite::Never,
            delete_extra: false,
            leave_partial: false,
            dry_run: false,
            keep: Keep::default(),
            local_time: false,
            removed: Vec::new(),
            keep_labels: Vec::new(),
            made_at: None,
            labels: Labels::new(),
            label_filters: Vec::new(),
            restore_metadata: None,
            map_owners: false,
            protected: Vec::new(),
            expected_digest: None,
            lock_wait_ms: 0,
            allow_unlocked: false,
            verify: VerifyScope::Contents,
            metadata_only: false,
        }
    }
}

impl Options {
    /// True if a snapshot with these labels passes all label filters.
    pub fn accepts_labels(&self, labels: &Labels) -> bool {
        self.label_filters.iter().all(|wanted| wanted.is_in(labels))
    }
}
