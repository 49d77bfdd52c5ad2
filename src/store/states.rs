//! The state files of one key. Each is read from the cache if the copy there equals the store's file, else from the
//! store. A layer that the store has lost is read from the cache.

use std::path::Path;

use super::{Catalog, KeyListing, LocalFile, Need, StateFile, Store, StoredFile, backup_file, cache};
use crate::error::{Error, Result};
use crate::format::names::{BackupFileKind, Name};
use crate::format::{PathSelector, ReadAt, StateFiles, StateReader, StoredState};
use crate::job::{Counter, Job, Problem, ProblemKind};
use crate::pool::Pool;
use crate::stamp::Stamp;

/// Before a cached copy is used, this number of bytes at its end is compared with the store's file. Usually these bytes
/// contain the seek table, and all of a small state.
const TAIL: u64 = 4096;
/// Bytes of the buffer for putting a layer back.
const COPY_BUFFER: usize = 256 << 10;

/// The state files of one key.
pub struct KeyStates<'k> {
    store: &'k mut dyn Store,
    listing: KeyListing<'k>,
    /// `None` if no cache is used. Otherwise the root of the cache; an inner `None` stands for the user's cache
    /// directory.
    cache: Option<Option<&'k Path>>,
    /// Every file is read from the store. The cache's copies are used only for files that the store has lost.
    reads_store: bool,
    /// See [`KeyStates::beside`].
    meanwhile: Option<&'k mut dyn FnMut()>,
    /// The snapshot that is being opened.
    opened: Option<Stamp>,
    lost: Vec<LostLayer>,
}

/// A layer that is missing or damaged in the store, and of which the cache has an undamaged copy.
pub struct LostLayer {
    name: String,
    copy: LocalFile,
    size: u64,
    /// The store lists no file of this name.
    is_gone: bool,
    /// The fault of the file in the store.
    fault: Error,
}

impl LostLayer {
    /// The name of the file in the store.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The fault of the file in the store: it is gone, or damaged.
    pub fn fault(&self) -> &Error {
        &self.fault
    }

    /// Puts the cache's copy into the store. The caller has locked the key for writing. A reader that needs the file at
    /// the same time finds the damaged file, no file, or the whole new file.
    pub fn put_back(mut self, store: &mut dyn Store, job: &mut Job) -> Result<()> {
        let mut draft = store.create(&self.name)?;
        let mut buf = vec![0; COPY_BUFFER];
        let mut at = 0;
        while at < self.size {
            let read = self.copy.read_at(at, &mut buf)?;
            if read == 0 {
                return Err(Error::corrupt(
                    "put back a layer",
                    &self.name,
                    "its copy in the cache became shorter",
                ));
            }
            draft.write(&buf[..read])?;
            at += read as u64;
            job.pulse()?;
        }
        draft.seal()?;
        // A storage that cannot delete still takes a file that nothing is replaced for. Elsewhere the name may have
        // something that no list shows, for example a symbolic link, and the copy takes its place.
        let replaces = !self.is_gone || store.require(Need::Delete, "put back a layer").is_ok();
        if replaces {
            draft.replace()?
        } else {
            draft.publish()?
        }
        store.sync()?;
        let LostLayer { name, size, fault, .. } = self;
        let put_back = if job.options.dry_run { "would be put back" } else { "was put back" };
        let detail = format!("{}; the copy in the cache {put_back}", fault.detail);
        let note = Error { op: "use the layer".into(), detail, ..fault }.at(&name);
        job.report.count(Counter::Healed, 1);
        job.report.count(Counter::BytesWritten, size);
        job.report.files.push(backup_file(store, name.clone(), BackupFileKind::State, size));
        job.problem(Problem::of_whole(ProblemKind::Healed, &note).in_file(&name), note)
    }
}

impl<'k> KeyStates<'k> {
    /// Reads every file from the store.
    pub fn new(store: &'k mut dyn Store, catalog: &'k Catalog) -> Self {
        KeyStates {
            store,
            listing: KeyListing::new(catalog),
            cache: None,
            reads_store: false,
            meanwhile: None,
            opened: None,
            lost: Vec::new(),
        }
    }

    /// Reads a file from the cache below `root` if the cache has an equal copy. Without `root`, uses the user's cache
    /// directory.
    pub fn cached(store: &'k mut dyn Store, catalog: &'k Catalog, root: Option<&'k Path>) -> Self {
        KeyStates { cache: Some(root), ..KeyStates::new(store, catalog) }
    }

    /// Reads every file from the store, so that its damage is found.
    pub fn from_store(self) -> Self {
        KeyStates { reads_store: true, ..self }
    }

    /// Calls `meanwhile` again and again while a file is read.
    pub fn beside(self, meanwhile: &'k mut dyn FnMut()) -> Self {
        KeyStates { meanwhile: Some(meanwhile), ..self }
    }

    /// Opens and verifies the state in `file` with its layers, as [`StateReader::open`] does.
    pub fn open(
        &mut self,
        file: &StateFile,
        pool: &Pool,
        selector: Option<PathSelector<'_>>,
    ) -> Result<StateReader> {
        self.opened = Some(file.stamp);
        self.lost.clear();
        StateReader::open(file.stamp, file.size, pool, selector, self)
    }

    /// The new list of the key's files, if the key was listed again because the first list lacked a layer.
    pub fn into_new_catalog(self) -> Option<Catalog> {
        self.listing.into_new()
    }

    /// The lost layers of the state that was opened last: only the cache has them.
    pub fn into_lost(self) -> Vec<LostLayer> {
        self.lost
    }

    /// The cache's copy of a file.
    fn copy_of(&self, name: &str, size: u64) -> Option<LocalFile> {
        cache::find_state(self.cache?, name, size).map(LocalFile::new)
    }

    /// Reads a layer from the cache, if its file in the store is gone or damaged. `None` if the cache has no undamaged
    /// copy: `read` fails unless the copy has the layer's digest.
    fn read_lost(
        &mut self,
        snapshot: Stamp,
        size: u64,
        read: &mut ReadState<'_>,
        fault: &Error,
    ) -> Option<()> {
        if self.opened == Some(snapshot) {
            // No other file records the digest of this state, so a copy cannot be checked.
            return None;
        }
        [true, false].into_iter().find_map(|compressed| {
            let name = Name::new(self.listing.catalog().key(), BackupFileKind::State, snapshot, compressed)
                .to_string();
            let mut copy = self.copy_of(&name, size)?;
            read(StoredState { source: &mut copy, name: &name, size, compressed, meanwhile: &mut || () })
                .ok()?;
            if self.lost.iter().all(|lost| lost.name != name) {
                let is_gone = self.listing.catalog().size_of(&name).is_none();
                self.lost.push(LostLayer { name, copy, size, is_gone, fault: fault.clone() });
            }
            Some(())
        })
    }
}

/// Reads a state from its stored file.
type ReadState<'r> = dyn FnMut(StoredState<'_>) -> Result<()> + 'r;

impl StateFiles for KeyStates<'_> {
    fn read(&mut self, snapshot: Stamp, size: u64, read: &mut ReadState<'_>) -> Result<()> {
        let files = self.listing.state_files(self.store, snapshot, size)?;
        let mut fault = self.listing.catalog().lost_layer(snapshot, size);
        for file in files {
            match self.read_file(&file, read) {
                Err(error) if error.proves_damage() => fault = error,
                result => return result,
            }
        }
        match self.read_lost(snapshot, size, read, &fault) {
            Some(()) => Ok(()),
            None => Err(fault),
        }
    }
}

impl KeyStates<'_> {
    fn read_file(&mut self, file: &StateFile, read: &mut ReadState<'_>) -> Result<()> {
        let StateFile { name, size, compressed, .. } = file;
        // If reading the store costs little, the file is read from the store, so that damage of it is found.
        let reads_store = self.reads_store || self.store.reads_cheaply()?;
        let copy = if reads_store { None } else { self.copy_of(name, *size) };
        let mut nothing = || ();
        let meanwhile: &mut dyn FnMut() = self.meanwhile.as_deref_mut().unwrap_or(&mut nothing);
        if let Some(mut copy) = copy {
            let is_it = same_tail(self.store, file, &mut copy)?;
            let stored = StoredState {
                source: &mut copy,
                name,
                size: *size,
                compressed: *compressed,
                meanwhile: &mut *meanwhile,
            };
            if is_it && read(stored).is_ok() {
                return Ok(());
            }
        }
        let source = &mut StoredFile { store: self.store, name };
        read(StoredState { source, name, size: *size, compressed: *compressed, meanwhile })
    }
}

fn same_tail(store: &mut dyn Store, state: &StateFile, copy: &mut LocalFile) -> Result<bool> {
    let from = state.size.saturating_sub(TAIL);
    let mut ours = vec![0; (state.size - from) as usize];
    let mut theirs = ours.clone();
    let read = copy.read_at(from, &mut ours).unwrap_or(0);
    Ok(store.read_at(&state.name, from, &mut theirs)? == read && ours == theirs)
}
