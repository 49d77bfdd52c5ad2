//! Browses one snapshot: its entries, and any part of its files.

mod index;
mod part;
mod pull;

use crate::contents::Contents;
use crate::entry::{Entry, Hash, Path};
use crate::error::{Error, Kind, Result};
use crate::format::{StateReader, StateSummary};
use crate::job::{Flow, Job, Phase};
use crate::pool::Pool;
use crate::stamp::Stamp;
use crate::store::open_selected;
use crate::store::{LockMode, Need, Store, begin, lock};

use index::Index;
use part::OpenFile;
use pull::PullPlace;

/// An open snapshot, verified when it was opened.
///
/// Holds the state (on disk if the state is long), a sparse index of the state, and the last used frames of the
/// archives. So memory does not grow with the number of entries. An open snapshot holds no lock: another process may
/// remove the snapshot from the store.
pub struct Snapshot {
    state: StateReader,
    index: Index,
    contents: Contents,
    /// The file that was read last.
    last_read: Option<OpenFile>,
    /// The place of [`Snapshot::next_entry`].
    place: PullPlace,
    lines_read: u64,
}

impl Snapshot {
    /// Opens the selected snapshot of `key`. Locks the key until this function returns.
    ///
    /// Errors: `NotFound` (no such snapshot), `Corrupt` or `Format` (its state), `Mismatch` (not the
    /// expected digest), `Busy`.
    pub fn open(store: &mut dyn Store, key: &str, job: &mut Job) -> Result<Self> {
        let key = begin(store, key, Need::Read, "open the snapshot", job)?;
        let _lock = lock(store, &key, LockMode::Read, job)?;
        let pool = Pool::start(job.options.threads)?;
        let mut state = open_selected(store, &key, &pool, job)?;
        job.phase(Phase::Verify, state.trailer().totals.entries, 0)?;
        let index = Index::build(&mut state, job)?;
        job.phase_done()?;
        let contents = Contents::new(&state.trailer().archives);
        Ok(Snapshot { state, index, contents, last_read: None, place: PullPlace::default(), lines_read: 0 })
    }

    pub fn stamp(&self) -> Stamp {
        self.state.header().snapshot
    }

    /// Key, source, labels, counts and digest of the snapshot.
    pub fn summary(&self) -> &StateSummary {
        self.state.summary()
    }

    /// Returns the next entry in the order of paths, beginning with the root; `None` after the last entry.
    /// [`Snapshot::list`] and [`Snapshot::read`] do not change the next entry.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        self.place.next(&mut self.state)
    }

    /// Makes [`Snapshot::next_entry`] begin with the root again.
    pub fn rewind(&mut self) {
        self.place = PullPlace::default();
    }

    /// All entries, for a comparison with another snapshot.
    pub(super) fn state(&mut self) -> &mut StateReader {
        &mut self.state
    }

    pub fn tree_digest(&self) -> Hash {
        self.state.trailer().tree
    }

    /// Calls `each` with the entry of `path` and with all entries up to `depth` levels below it, in order.
    ///
    /// Skips deeper entries with the help of the index, mostly without reading them. Errors: `NotFound`,
    /// `Cancelled` if `each` returns [`Flow::Cancel`].
    pub fn list(&mut self, path: &Path, depth: u32, each: &mut dyn FnMut(&Entry) -> Flow) -> Result<()> {
        let (_, start) = self.find(path)?;
        let mut entries = self.state.entries_from(start)?;
        while let Some(entry) = entries.next().transpose()? {
            self.lines_read += 1;
            if !entry.path.is_within(path.as_bytes()) {
                break;
            }
            let level = level_below(&entry.path, path);
            if level > depth {
                continue;
            }
            match each(&entry) {
                Flow::Continue if depth > 0 => {}
                Flow::Continue | Flow::Stop => break,
                Flow::Cancel => return Err(Error::cancelled()),
            }
            let beyond = self.index.before_end_of(&entry.path);
            if level == depth && beyond > entries.offset() {
                entries = self.state.entries_from(beyond)?;
            }
        }
        Ok(())
    }

    /// Passes `len` bytes of a file from `offset` to `sink`, or fewer if the file ends before. Holes are
    /// passed as zeros.
    ///
    /// A read of the whole file ends with a check of its hash: the bytes given to `sink` are provisional
    /// until this function succeeds. A read of a part is not compared with the hash. Errors: `NotFound`;
    /// `InvalidArg` if `path` is not a file; `Unsupported` if only a newer version can check the file; `Missing` or
    /// `Corrupt`, with the archive's name; `Cancelled` if `sink` returns [`Flow::Cancel`].
    pub fn read(
        &mut self,
        store: &mut dyn Store,
        path: &Path,
        offset: u64,
        len: u64,
        sink: &mut dyn FnMut(&[u8]) -> Flow,
    ) -> Result<()> {
        let mut file = match self.last_read.take().filter(|file| file.entry.path == *path) {
            Some(file) => file,
            None => OpenFile::new(self.find(path)?.0, &mut self.contents, store)?,
        };
        let result = file.read(&mut self.contents, store, offset, len, sink);
        self.last_read = Some(file);
        result
    }

    /// Returns the entry of `path` and the offset of its line.
    fn find(&mut self, path: &Path) -> Result<(Entry, u64)> {
        let mut entries = self.state.entries_from(self.index.before(path))?;
        while let Some(entry) = entries.next().transpose()? {
            self.lines_read += 1;
            if entry.path == *path {
                return Ok((entry, entries.offset()));
            }
            if entry.path > *path {
                break;
            }
        }
        Err(Error::new(Kind::NotFound, "find in the snapshot", "there is no such entry").at(path))
    }

    /// Number of entry lines read since the snapshot was opened. Measures the cost of listing and finding.
    pub fn lines_read(&self) -> u64 {
        self.lines_read
    }

    /// The most lines that are read before the wanted line, to find an entry or to skip a directory.
    pub fn lines_per_jump(&self) -> u64 {
        self.index.every()
    }

    /// Memory of the index, in bytes.
    pub fn index_bytes(&self) -> usize {
        self.index.bytes()
    }
}

/// Number of levels that `path` lies below `dir`, 0 for `dir` itself. `path` must be `dir` or lie in it.
fn level_below(path: &Path, dir: &Path) -> u32 {
    let rest = &path.as_bytes()[dir.as_bytes().len()..];
    let slashes = rest.iter().filter(|&&b| b == b'/').count() as u32;
    slashes + u32::from(dir.is_root() && !rest.is_empty())
}
