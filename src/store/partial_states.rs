//! The partial states of a key: a full backup that did not end left them. A partial state names archives in the store
//! and has the entries that are completely in these archives. It is no snapshot, and a path that it does not have is
//! not deleted. The next full takes over the entries that did not change since then.

use super::{Catalog, Store, StoredFile, far_after};
use crate::error::Result;
use crate::format::names::{BackupFileKind, Name};
use crate::format::{ArchiveRef, StateFiles, StateReader, StateSummary, StoredState};
use crate::pool::Pool;
use crate::stamp::{Stamp, Time};

/// True if the next full may go on from a partial state, as far as its stamp says: the stamp is later than `newest`,
/// the newest snapshot that verifies, and not far in the future ([`far_after`]).
pub fn is_current(partial: Stamp, newest: Option<Stamp>, now: Time) -> bool {
    newest.is_none_or(|newest| partial > newest) && partial <= far_after(now, newest)
}

/// The file of a partial state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialFile {
    pub name: Name,
    pub size: u64,
}

impl Catalog {
    /// The files with names of partial states, in the order of their stamps and numbers.
    pub fn partial_states(&self) -> Vec<PartialFile> {
        let files = self.files().into_iter().filter(|(name, _)| name.kind == BackupFileKind::PartialState);
        files.map(|(name, size)| PartialFile { name, size }).collect()
    }

    /// True if the store lists every file of the archives with its size.
    pub fn has_all(&self, archives: &[ArchiveRef]) -> bool {
        let mut files = archives.iter().flat_map(ArchiveRef::files);
        files.all(|file| self.size_of(&file.name) == Some(file.size))
    }
}

impl PartialFile {
    /// See [`is_current`].
    pub fn is_current(&self, newest: Option<Stamp>, now: Time) -> bool {
        is_current(self.name.stamp, newest, now)
    }

    /// Reads and verifies the partial state.
    pub fn open(&self, store: &mut dyn Store, pool: &Pool) -> Result<StateReader> {
        let mut file = OneFile { store, file: self };
        StateReader::open(self.name.stamp, self.size, pool, None, &mut file)
    }

    /// Verifies the partial state, and reads it without its entries.
    pub fn summary(&self, store: &mut dyn Store) -> Result<StateSummary> {
        let name = self.name.to_string();
        let mut stored = StoredFile { store, name: &name };
        StateSummary::verify(&mut stored, &name, self.size, self.name.compressed)
    }
}

/// Reads the file of a partial state, which has no layers.
struct OneFile<'f> {
    store: &'f mut dyn Store,
    file: &'f PartialFile,
}

impl StateFiles for OneFile<'_> {
    fn read(
        &mut self,
        _snapshot: Stamp,
        size: u64,
        read: &mut dyn FnMut(StoredState<'_>) -> Result<()>,
    ) -> Result<()> {
        let name = self.file.name.to_string();
        let mut source = StoredFile { store: &mut *self.store, name: &name };
        let compressed = self.file.name.compressed;
        read(StoredState { source: &mut source, name: &name, size, compressed, meanwhile: &mut || () })
    }
}
