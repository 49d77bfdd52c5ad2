//! The options of every operation. One type, because the C ABI has one: an operation refuses the ones
//! it may not ignore.

use std::path::PathBuf;

use crate::entry::{Hash, Path};
use crate::stamp::{Stamp, Time};

/// Which snapshot of a key is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Select {
    #[default]
    Newest,
    Exactly(Stamp),
    /// The last one made at this moment or before.
    AsOf(Time),
}

/// How archives and states are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    None,
    /// zstd at this level, 1 to 19.
    Zstd(i32),
}

/// When an entry counts as unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detect {
    /// Size, times and inode are equal and old enough.
    #[default]
    Metadata,
    /// Never without reading it.
    Content,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFileError {
    /// List it and go on.
    #[default]
    Skip,
    Stop,
}

/// What a restore does where its destination holds something already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// The destination must be absent or an empty directory.
    #[default]
    Never,
    /// Every file whose content is another is replaced; all are read to find out.
    Always,
    /// The same, but a file of the snapshot's size and modification time is taken to be right.
    IfDifferent,
    /// Only what was modified before the snapshot's entry is replaced.
    IfOlder,
    /// Nothing that is there is touched.
    Keep,
}

/// Which snapshots a prune keeps: for each rule the newest of each of the last `n` days, weeks ... that
/// have one. All zero is no rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    pub last: u32,
    pub daily: u32,
    pub weekly: u32,
    pub monthly: u32,
    pub yearly: u32,
}

/// Metadata a restore sets; bits as in `IBT_META_*`.
pub mod meta {
    pub const MODE: u32 = 1;
    pub const OWNER: u32 = 2;
    pub const TIMES: u32 = 4;
    pub const XATTRS: u32 = 8;
    pub const SPECIAL: u32 = 16;
    pub const SETID: u32 = 32;
    pub const ALL: u32 = 63;
}

#[derive(Clone, Debug)]
pub struct Options {
    /// The series' key; `None` takes the last component of the source's path.
    pub key: Option<String>,
    /// `None` is `$XDG_CACHE_HOME/ibt` or `~/.cache/ibt`.
    pub cache_dir: Option<PathBuf>,
    /// Patterns with gitignore semantics, relative to the source.
    pub excludes: Vec<Vec<u8>>,
    /// Name of the files in the source that hold more of them; empty for none.
    pub exclude_file: Vec<u8>,
    pub select: Select,
    /// Globs over a snapshot's paths; with `paths`, what an operation is limited to. Both empty: everything.
    pub includes: Vec<Vec<u8>>,
    /// Paths in a snapshot, literally.
    pub paths: Vec<Path>,
    /// The directory of the snapshot that is restored as the destination.
    pub root: Path,
    pub codec: Codec,
    /// 0 is one for each core.
    pub threads: u32,
    pub detect: Detect,
    pub one_file_system: bool,
    /// Leave out what lies below a directory with a `CACHEDIR.TAG`.
    pub skip_cache_dirs: bool,
    pub on_file_error: OnFileError,
    /// Accept a parent made from another source path or on another host.
    pub allow_source_change: bool,
    /// Accept an empty source where the parent was not, and a prune that leaves no snapshot.
    pub allow_empty: bool,
    pub overwrite: Overwrite,
    /// Remove from a destination what the snapshot has not.
    pub delete_extra: bool,
    /// A restore that ends with an error leaves what it has restored.
    pub leave_partial: bool,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    pub keep: Keep,
    /// Bits of [`meta`]; `None` is everything, owners only with privilege.
    pub restore_metadata: Option<u32>,
    /// Paths that a restore leaves alone and a backup leaves out, with all that lies below them.
    pub protected: Vec<PathBuf>,
    /// The tree digest that the selected snapshot must have.
    pub expected_digest: Option<Hash>,
    /// How long to wait for a lock, in milliseconds; 0 not at all, -1 for ever.
    pub lock_wait_ms: i64,
    /// Write without a lock where the store cannot lock.
    pub allow_unlocked: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            key: None,
            cache_dir: None,
            excludes: Vec::new(),
            exclude_file: b".exclude".to_vec(),
            select: Select::Newest,
            includes: Vec::new(),
            paths: Vec::new(),
            root: Path::root(),
            codec: Codec::Zstd(3),
            threads: 0,
            detect: Detect::Metadata,
            one_file_system: false,
            skip_cache_dirs: false,
            on_file_error: OnFileError::Skip,
            allow_source_change: false,
            allow_empty: false,
            overwrite: Overwrite::Never,
            delete_extra: false,
            leave_partial: false,
            dry_run: false,
            keep: Keep::default(),
            restore_metadata: None,
            protected: Vec::new(),
            expected_digest: None,
            lock_wait_ms: 0,
            allow_unlocked: false,
        }
    }
}
