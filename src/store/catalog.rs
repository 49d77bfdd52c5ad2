//! The files of one key in a store: its states in the order of their stamps, and the size of every backup file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::{Dates, Object, Store, StoredFile, dates};
use crate::error::{Error, Kind, Result};
use crate::format::names::{BackupFileKind, Name, parse_any, parse_wrapped};
use crate::format::{AncestorName, StateSummary};
use crate::job::{Options, Select};
use crate::stamp::{Stamp, Time};

/// Number of stamps in the message about a snapshot that does not exist.
const NEAREST: usize = 3;
/// A catalog of at most this age is as good as a new one, where the store is looked at again after the next step.
const RECENT: Duration = Duration::from_secs(5);

/// The file of a state. It is a snapshot only if it verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFile {
    pub name: String,
    pub size: u64,
    pub stamp: Stamp,
    pub compressed: bool,
}

/// The probability that a file is the state of a snapshot, in ascending order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Trust {
    Damaged,
    /// A newer version of libibt may have written the file.
    Unknown,
    /// The file cannot be read now.
    Unread,
    Verified,
}

/// The error for a file in a form that this version cannot read, which stands for the snapshot that is needed.
fn only_newer(file: &str) -> Error {
    let detail = "only a newer libibt can read it, and no older snapshot takes its place; to use an older snapshot, \
                  select its stamp; if the file is only a copy or a broken upload, move it out of the store";
    Error::new(Kind::Format, "use the snapshot", detail).at(file)
}

impl StateFile {
    /// The file with the name of a state, and with `size` bytes.
    pub fn of(name: &Name, size: u64) -> Self {
        StateFile { name: name.to_string(), size, stamp: name.stamp, compressed: name.compressed }
    }

    fn trust(&self, store: &mut dyn Store) -> Trust {
        let mut stored = StoredFile { store, name: &self.name };
        match StateSummary::verify(&mut stored, &self.name, self.size, self.compressed) {
            Ok(_) => Trust::Verified,
            Err(error) if error.proves_damage() => Trust::Damaged,
            Err(error) if error.is_damage() => Trust::Unknown,
            Err(_) => Trust::Unread,
        }
    }
}

/// The result of one listing of a key.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    key: String,
    states: BTreeMap<Stamp, StateFile>,
    /// State files with a stamp that another state file has too, until [`Catalog::choose_of_twins`] chooses one of
    /// them.
    twins: Vec<StateFile>,
    /// The stamps of the marks in the store. Their snapshots are removed; their states may be layers of other
    /// snapshots.
    retired: BTreeSet<Stamp>,
    sizes: HashMap<String, u64>,
    /// The files that a newer version stored in a form that this version cannot read ([`parse_wrapped`]), each with the
    /// name before the word.
    wrapped: BTreeMap<String, Name>,
    /// The stamps of the states in `wrapped` that are copies: another state of the stamp has a summary that verifies.
    copied: BTreeSet<Stamp>,
    /// The key has files of the Python ancestor.
    has_ancestor: bool,
    /// True if [`Catalog::with_labels`] may have left out snapshots.
    is_filtered: bool,
    /// When the list was asked for.
    listed_at: Option<Instant>,
}

impl Catalog {
    pub fn read(store: &mut dyn Store, key: &str) -> Result<Self> {
        let listed_at = Some(Instant::now());
        let mut catalog = Catalog { key: key.to_string(), listed_at, ..Catalog::default() };
        for object in store.list(&format!("{key}."))? {
            if let Some(name) = Name::parse(&object.name).filter(|name| name.key == key) {
                catalog.add(name, object);
            } else if let Some(name) = parse_wrapped(&object.name).filter(|name| name.key == key) {
                catalog.wrapped.insert(object.name, name);
            } else if AncestorName::parse(&object.name).is_some_and(|name| name.key == key) {
                catalog.has_ancestor = true;
            }
        }
        catalog.complete(store);
        Ok(catalog)
    }

    /// The catalog of a key that an operation is about to lock for writing or deleting. If the key lacks what the
    /// operation needs, the operation ends before the lock leaves a trace in a store whose name was mistyped. `None` if
    /// the store has no locks, which then leave none: the caller reads the catalog after this call in any case.
    pub fn before_lock(store: &mut dyn Store, key: &str) -> Result<Option<Self>> {
        if store.has_locks() { Catalog::read(store, key).map(Some) } else { Ok(None) }
    }

    /// True if the store was listed a moment ago.
    pub fn is_recent(&self) -> bool {
        self.listed_at.is_some_and(|listed| listed.elapsed() <= RECENT)
    }

    /// Lists the store once and returns a catalog of every key that has a backup file, also of keys without a snapshot,
    /// and of keys that have only files of the Python ancestor. No key is locked during the listing, so an operation
    /// that locks a key later may find some of its states gone.
    pub fn all(store: &mut dyn Store) -> Result<BTreeMap<String, Catalog>> {
        let mut catalogs: BTreeMap<String, Catalog> = BTreeMap::new();
        for object in store.list("")? {
            let (key, name) = match parse_any(&object.name) {
                Some(name) => (name.key.clone(), Some(name)),
                None => match AncestorName::parse(&object.name) {
                    Some(of_ancestor) => (of_ancestor.key, None),
                    None => continue,
                },
            };
            let new = || Catalog { key: key.clone(), ..Catalog::default() };
            let catalog = catalogs.entry(key.clone()).or_insert_with(new);
            match name {
                None => catalog.has_ancestor = true,
                Some(name) if name.to_string() == object.name => catalog.add(name, object),
                Some(name) => drop(catalog.wrapped.insert(object.name, name)),
            }
        }
        catalogs.values_mut().for_each(|catalog| catalog.complete(store));
        Ok(catalogs)
    }

    fn add(&mut self, name: Name, object: Object) {
        if name.kind == BackupFileKind::State {
            let state = StateFile::of(&name, object.size);
            self.twins.extend(self.states.insert(name.stamp, state));
        }
        if name.kind == BackupFileKind::Retired {
            self.retired.insert(name.stamp);
        }
        self.sizes.insert(object.name, object.size);
    }

    /// Completes the catalog after every file was added.
    fn complete(&mut self, store: &mut dyn Store) {
        let Catalog { states, twins, retired, .. } = self;
        states.retain(|stamp, _| !retired.contains(stamp));
        twins.retain(|twin| !retired.contains(&twin.stamp));
        self.choose_of_twins(store);
        let wrapped = self.wrapped.values().filter(|name| name.kind == BackupFileKind::State);
        let wrapped: BTreeSet<Stamp> = wrapped.map(|name| name.stamp).collect();
        self.copied = wrapped.into_iter().filter(|stamp| self.has_summary(*stamp, store)).collect();
    }

    /// True if the key has a state of this stamp whose summary verifies. The snapshot may be removed.
    fn has_summary(&self, stamp: Stamp, store: &mut dyn Store) -> bool {
        self.plain_states(stamp).into_iter().any(|StateFile { name, size, compressed, .. }| {
            let mut stored = StoredFile { store: &mut *store, name: &name };
            StateSummary::read(&mut stored, &name, size, compressed).is_ok()
        })
    }

    /// The state files of this stamp that this version can read, unless they are damaged. There are at most two: a
    /// compressed and an uncompressed one.
    fn plain_states(&self, stamp: Stamp) -> Vec<StateFile> {
        let named = |compressed| {
            let name = Name::new(&self.key, BackupFileKind::State, stamp, compressed);
            let size = self.size_of(&name.to_string())?;
            Some(StateFile::of(&name, size))
        };
        [true, false].into_iter().filter_map(named).collect()
    }

    /// True if the store lists a state file of this stamp that this version can read, unless it is damaged. The
    /// snapshot may be removed.
    pub fn has_plain_state(&self, stamp: Stamp) -> bool {
        !self.plain_states(stamp).is_empty()
    }

    /// True if a mark says that the snapshot of this stamp is removed. Its state may still be there, as a layer of
    /// other snapshots.
    pub fn is_retired(&self, stamp: Stamp) -> bool {
        self.retired.contains(&stamp)
    }

    /// The stamps of snapshots and of marks that `before`, an earlier catalog of the key, has neither as a snapshot
    /// nor as a mark.
    pub fn new_stamps<'c>(&'c self, before: &'c Catalog) -> impl Iterator<Item = Stamp> + 'c {
        let is_known = |stamp: &Stamp| before.states.contains_key(stamp) || before.retired.contains(stamp);
        self.states.keys().chain(&self.retired).copied().filter(move |stamp| !is_known(stamp))
    }

    /// Chooses between two state files with the same stamp, a compressed file and an uncompressed file. One of them is
    /// the snapshot, and the other is foreign. Keeps the file that verifies.
    fn choose_of_twins(&mut self, store: &mut dyn Store) {
        for twin in std::mem::take(&mut self.twins) {
            let Some(state) = self.states.get_mut(&twin.stamp) else { continue };
            if twin.trust(store) > state.trust(store) {
                *state = twin;
            }
        }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// The file names and the stamps of states in a form that this version cannot read.
    fn all_wrapped(&self) -> impl Iterator<Item = (&str, Stamp)> {
        let states = self.wrapped.iter().filter(|(_, name)| name.kind == BackupFileKind::State);
        states.map(|(file, name)| (&**file, name.stamp))
    }

    /// The file names and the stamps of states that only a newer version can read. They may need any file of the key.
    pub fn wrapped_states(&self) -> impl Iterator<Item = (&str, Stamp)> {
        self.all_wrapped().filter(move |(_, stamp)| !self.copied.contains(stamp))
    }

    /// Like [`Catalog::wrapped_states`], but those that are copies of a state that this version can read. They need
    /// nothing else than that state.
    pub fn copied_states(&self) -> impl Iterator<Item = (&str, Stamp)> {
        self.all_wrapped().filter(move |(_, stamp)| self.copied.contains(stamp))
    }

    /// The file names and the stamps of snapshots that only a newer version can read.
    pub fn wrapped_snapshots(&self) -> impl Iterator<Item = (&str, Stamp)> {
        self.wrapped_states().filter(move |(_, stamp)| !self.is_retired(*stamp))
    }

    /// The file names and the stamps of partial states that only a newer version can read. They may need any archive of
    /// the key, and are no snapshots.
    pub fn wrapped_partials(&self) -> impl Iterator<Item = (&str, Stamp)> {
        let partials = self.wrapped.iter().filter(|(_, name)| name.kind == BackupFileKind::PartialState);
        partials.map(|(file, name)| (&**file, name.stamp))
    }

    /// `NotFound` if the key has no snapshot, not even one that only a newer version can read.
    pub fn check_any(&self) -> Result<()> {
        match self.states.is_empty() && self.wrapped_snapshots().next().is_none() {
            true => Err(self.not_found(Select::Newest)),
            false => Ok(()),
        }
    }

    /// `Format` if a snapshot that only a newer version can read is later than `newest`, the newest one that this
    /// version can read. No older snapshot may take the place of the newest one.
    pub fn check_newest(&self, newest: Option<Stamp>) -> Result<()> {
        self.check_readable(|stamp| newest.is_none_or(|newest| stamp > newest))
    }

    /// `Format` if a newer version may be able to read the snapshot whose state does not verify: the store has this
    /// state in another form, too. No older snapshot may take its place.
    pub fn check_damaged(&self, damaged: Stamp) -> Result<()> {
        let mut forms = self.all_wrapped();
        forms.find(|(_, stamp)| *stamp == damaged).map_or(Ok(()), |(file, _)| Err(only_newer(file)))
    }

    /// `Format` if `is_wanted` is true for the stamp of a snapshot that only a newer version can read.
    fn check_readable(&self, is_wanted: impl Fn(Stamp) -> bool) -> Result<()> {
        let mut snapshots = self.wrapped_snapshots();
        snapshots.find(|(_, stamp)| is_wanted(*stamp)).map_or(Ok(()), |(file, _)| Err(only_newer(file)))
    }

    /// The states of snapshots, oldest first.
    pub fn states(&self) -> impl DoubleEndedIterator<Item = &StateFile> {
        self.states.values()
    }

    /// The catalog with only the snapshots that pass the label filters. Reads the summary of each state if there is a
    /// filter. A state that is damaged or cannot be read now passes, because its labels are unknown: an operation that
    /// selects and opens this state then reports the error.
    pub fn with_labels(mut self, store: &mut dyn Store, options: &Options) -> Result<Catalog> {
        if options.label_filters.is_empty() {
            return Ok(self);
        }
        let mut refused = BTreeSet::new();
        for state in self.states() {
            let mut stored = StoredFile { store: &mut *store, name: &state.name };
            match StateSummary::read(&mut stored, &state.name, state.size, state.compressed) {
                Ok(summary) if options.accepts_labels(&summary.header.labels) => {}
                Ok(_) => drop(refused.insert(state.stamp)),
                Err(error) if error.is_of_file() => {}
                Err(error) => return Err(error),
            }
        }
        self.states.retain(|stamp, _| !refused.contains(stamp));
        self.is_filtered = true;
        Ok(self)
    }

    /// All files of the key with their sizes, sorted by stamp and then by kind. Unlike [`Catalog::states`], the list
    /// has both state files if two have the same stamp.
    pub fn files(&self) -> Vec<(Name, u64)> {
        let parsed = self.sizes.iter().filter_map(|(name, size)| Some((Name::parse(name)?, *size)));
        let mut files: Vec<_> = parsed.collect();
        files.sort_by(|(a, _), (b, _)| (a.stamp, a).cmp(&(b.stamp, b)));
        files
    }

    /// The stamps of all files of the key, not only of states, with those that only a newer version can read.
    pub fn stamps(&self) -> BTreeSet<Stamp> {
        let stamps = self.sizes.keys().filter_map(|name| Name::parse(name)).map(|name| name.stamp);
        stamps.chain(self.wrapped.values().map(|name| name.stamp)).collect()
    }

    pub fn size_of(&self, name: &str) -> Option<u64> {
        self.sizes.get(name).copied()
    }

    /// The state files of the stamp `snapshot` with `size` bytes. There are two if a foreign file has the same stamp
    /// and size and the other compression; the file that [`Catalog::states`] lists is first. The snapshot may be
    /// removed: a layer of other snapshots is found too.
    pub fn state_files(&self, snapshot: Stamp, size: u64) -> Vec<StateFile> {
        let listed = self.states.get(&snapshot).is_none_or(|state| state.compressed);
        let file = |compressed| {
            StateFile::of(&Name::new(&self.key, BackupFileKind::State, snapshot, compressed), size)
        };
        let files = [listed, !listed].map(file).into_iter();
        files.filter(|file| self.size_of(&file.name) == Some(size)).collect()
    }

    /// The error for a state that other states name as a layer, if there is no such file of `size` bytes.
    pub fn lost_layer(&self, snapshot: Stamp, size: u64) -> Error {
        let file = |compressed| Name::new(&self.key, BackupFileKind::State, snapshot, compressed).to_string();
        let (kind, what) = match [true, false].into_iter().find_map(|zstd| self.size_of(&file(zstd))) {
            None => (Kind::Missing, "is gone from the store".to_string()),
            Some(found) => (Kind::Corrupt, format!("has {found} bytes, not {size}")),
        };
        let what = format!("the state of {snapshot}, a layer, {what}");
        Error::new(kind, "read the states of key", what).at(&self.key)
    }

    /// The first of [`Catalog::state_files`].
    pub fn state_file(&self, snapshot: Stamp, size: u64) -> Option<StateFile> {
        self.state_files(snapshot, size).into_iter().next()
    }

    /// The state that `select` selects. `NotFound`, with the nearest stamps in the message, if there is none. `Format`
    /// if `select` selects a snapshot that only a newer version can read. Selecting by a time may read the headers of
    /// some states: see [`Dates`].
    pub fn select(&self, store: &mut dyn Store, select: Select) -> Result<&StateFile> {
        let found = match select {
            Select::Newest => {
                let found = self.states.values().next_back();
                self.check_newest(found.map(|found| found.stamp))?;
                found
            }
            Select::Exactly(wanted) => {
                let found = self.states.get(&wanted);
                self.check_readable(|stamp| found.is_none() && stamp == wanted)?;
                found
            }
            Select::AsOf(time) => {
                let found = Dates::of(Time::now()).as_of(store, self, time)?;
                self.check_readable(|stamp| dates::may_be_as_of(stamp, found, time))?;
                found.map(|(_, state)| state)
            }
        };
        found.ok_or_else(|| self.not_found(select))
    }

    /// True if the key has files of the Python ancestor.
    pub fn has_ancestor(&self) -> bool {
        self.has_ancestor
    }

    /// Says that the key has no snapshot, and what to do if it has backups of the Python ancestor.
    pub fn why_empty(&self) -> String {
        match self.has_ancestor {
            true => format!(
                "the store holds only backups of incremental-backups-tools: import them first (ibt import {}, \
                 ibt_import())",
                self.key
            ),
            false => "the store holds none".to_string(),
        }
    }

    fn not_found(&self, select: Select) -> Error {
        let op = format!("find a snapshot of key '{}'", self.key);
        let wanted = match select {
            _ if self.states.is_empty() && self.is_filtered => {
                return Error::new(Kind::NotFound, op, "none has the labels that the options ask for");
            }
            _ if self.states.is_empty() => return Error::new(Kind::NotFound, op, self.why_empty()),
            Select::Newest => None,
            Select::Exactly(stamp) => Some(stamp),
            Select::AsOf(time) => Some(Stamp::from_time(time)),
        };
        let mut near: Vec<Stamp> = self.states.keys().copied().collect();
        if let Some(wanted) = wanted {
            let nanos = |stamp: Stamp| stamp.to_time().to_nanos();
            near.sort_by_key(|stamp| (nanos(*stamp) - nanos(wanted)).abs());
            near.truncate(NEAREST);
            near.sort();
        }
        let near = near.iter().map(Stamp::to_string).collect::<Vec<_>>().join(", ");
        let what = match (select, wanted) {
            (Select::AsOf(_), Some(stamp)) => format!("none is as old as {stamp}"),
            (_, Some(stamp)) => format!("there is none with the stamp {stamp}"),
            (_, None) => "there is none".to_string(),
        };
        Error::new(Kind::NotFound, op, format!("{what}; the nearest: {near}"))
    }
}
