//! What a store holds of one key: its states in snapshot order, and every backup file's size.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Dates, Object, Store, StoredFile};
use crate::error::{Error, Kind, Result};
use crate::format::names::{Kind as FileKind, Name};
use crate::format::StateSummary;
use crate::job::Select;
use crate::stamp::{Stamp, Time};

/// Stamps named in the message about a snapshot that is not there.
const NEAREST: usize = 3;

/// A state's file. It is a snapshot only once it verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFile {
    pub name: String,
    pub size: u64,
    pub stamp: Stamp,
    pub compressed: bool,
}

/// How likely it is that a file is a snapshot's state.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Trust {
    Damaged,
    /// A newer version may have written it.
    Unknown,
    /// It cannot be read now.
    Unread,
    Verified,
}

impl StateFile {
    fn trust(&self, store: &mut dyn Store) -> Trust {
        let mut stored = StoredFile { store, name: &self.name };
        match StateSummary::read(&mut stored, &self.name, self.size, self.compressed) {
            Ok(_) => Trust::Verified,
            Err(error) if !error.is_damage() => Trust::Unread,
            Err(error) if error.kind == Kind::Format => Trust::Unknown,
            Err(_) => Trust::Damaged,
        }
    }
}

/// One listing of a key.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    key: String,
    states: BTreeMap<Stamp, StateFile>,
    /// State files whose stamp another state file has, until one of the two is chosen.
    twins: Vec<StateFile>,
    sizes: HashMap<String, u64>,
}

impl Catalog {
    pub fn read(store: &mut dyn Store, key: &str) -> Result<Self> {
        let mut catalog = Catalog { key: key.to_string(), ..Catalog::default() };
        for object in store.list(&format!("{key}."))? {
            if let Some(name) = Name::parse(&object.name).filter(|name| name.key == key) {
                catalog.add(name, object);
            }
        }
        catalog.choose_of_twins(store);
        Ok(catalog)
    }

    /// Every key that has a state in the store, by one listing. It is taken before any key is locked: whoever locks one
    /// then may find states of it gone.
    pub fn all(store: &mut dyn Store) -> Result<BTreeMap<String, Catalog>> {
        let mut catalogs: BTreeMap<String, Catalog> = BTreeMap::new();
        for object in store.list("")? {
            let Some(name) = Name::parse(&object.name) else { continue };
            let new = || Catalog { key: name.key.clone(), ..Catalog::default() };
            catalogs.entry(name.key.clone()).or_insert_with(new).add(name, object);
        }
        catalogs.values_mut().for_each(|catalog| catalog.choose_of_twins(store));
        catalogs.retain(|_, catalog| !catalog.states.is_empty());
        Ok(catalogs)
    }

    fn add(&mut self, name: Name, object: Object) {
        if name.kind == FileKind::State {
            let state = StateFile {
                name: object.name.clone(),
                size: object.size,
                stamp: name.stamp,
                compressed: name.compressed,
            };
            self.twins.extend(self.states.insert(name.stamp, state));
        }
        self.sizes.insert(object.name, object.size);
    }

    /// Of two state files with the same stamp, one compressed and one not, one is the snapshot and the other is foreign:
    /// the one that verifies is kept.
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

    /// The states, oldest first.
    pub fn states(&self) -> impl DoubleEndedIterator<Item = &StateFile> {
        self.states.values()
    }

    /// All files of the key with their sizes, oldest first, those of one stamp in the order of their kinds.
    /// Unlike [`Catalog::states`] it shows both where a stamp has two state files.
    pub fn files(&self) -> Vec<(Name, u64)> {
        let parsed = self.sizes.iter().filter_map(|(name, size)| Some((Name::parse(name)?, *size)));
        let mut files: Vec<_> = parsed.collect();
        files.sort_by(|(a, _), (b, _)| (a.stamp, a).cmp(&(b.stamp, b)));
        files
    }

    /// The stamps of all files of the key, states or not.
    pub fn stamps(&self) -> BTreeSet<Stamp> {
        self.sizes.keys().filter_map(|name| Name::parse(name)).map(|name| name.stamp).collect()
    }

    pub fn size_of(&self, name: &str) -> Option<u64> {
        self.sizes.get(name).copied()
    }

    /// The state that `select` means, or `NotFound` naming the nearest there are. A moment may have the beginnings
    /// of some states read: see [`Dates`].
    pub fn select(&self, store: &mut dyn Store, select: Select) -> Result<&StateFile> {
        let found = match select {
            Select::Newest => self.states.values().next_back(),
            Select::Exactly(stamp) => self.states.get(&stamp),
            Select::AsOf(time) => Dates::of(Time::now()).as_of(store, self, time)?,
        };
        found.ok_or_else(|| self.not_found(select))
    }

    fn not_found(&self, select: Select) -> Error {
        let op = format!("find a snapshot of key '{}'", self.key);
        let wanted = match select {
            _ if self.states.is_empty() => return Error::new(Kind::NotFound, op, "the store holds none"),
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
