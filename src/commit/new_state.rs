//! The state of a new snapshot while its entries are added.

use crate::entry::{Entry, Path};
use crate::error::{Error, Kind, Result};
use crate::format::names::BackupFileKind;
use crate::format::{
    ArchiveRef, FoldRule, FrameWriter, Header, Made, NeededArchives, Omissions, Recorded, StateChanges,
    StateReader, StateWriter, Trailer, WrittenState,
};
use crate::store::{DraftSink, Store};

use super::NewArchives;

/// The state of a new snapshot. The entries are added in their order.
pub enum NewState {
    /// Every entry is written as it comes.
    WholeState(Box<StateWriter<DraftSink>>),
    /// The state of an increment: it may need only the entries that changed, so it is written at the end.
    Changes(Box<StateChanges>),
}

impl NewState {
    /// Begins a whole state.
    pub fn whole(store: &mut dyn Store, archives: &NewArchives, header: &Header) -> Result<Self> {
        let frames = archives.draft(store, BackupFileKind::State, true)?;
        Ok(NewState::WholeState(Box::new(StateWriter::new(frames, header)?)))
    }

    /// Keeps the lines of all entries, for [`NewState::write_so_far`]. To be called before the first entry.
    pub fn keep_lines(&mut self) {
        if let NewState::WholeState(state) = self {
            state.keep_lines();
        }
    }

    /// False if there was no room to keep the lines.
    pub fn keeps_lines(&self) -> bool {
        match self {
            NewState::WholeState(state) => state.keeps_lines(),
            NewState::Changes(_) => false,
        }
    }

    /// Writes a partial state with the entries so far. `references` are the archives, as far as they are complete.
    pub fn write_so_far(
        &self,
        frames: FrameWriter<DraftSink>,
        header: &Header,
        references: &[ArchiveRef],
        made: &Made<'_>,
    ) -> Result<WrittenState<DraftSink>> {
        match self {
            NewState::WholeState(state) => state.write_so_far(frames, header, references, made),
            NewState::Changes(_) => Err(Error::new(
                Kind::Panic,
                "write a partial state",
                "bug in libibt: it is that of an increment",
            )),
        }
    }

    /// Names that the backup saw and did not store.
    pub fn omissions(&mut self) -> &mut Omissions {
        match self {
            NewState::WholeState(state) => &mut state.omissions,
            NewState::Changes(state) => &mut state.omissions,
        }
    }

    /// Adds an entry that equals the parent's entry of this path. `number` is called for each range of the entry: it
    /// takes the number of an archive in the parent, and returns the archive's number in the new state.
    pub fn keep(&mut self, recorded: &Recorded, mut number: impl FnMut(u32) -> u32) -> Result<()> {
        match self {
            NewState::WholeState(state) => state.carry(recorded, number),
            NewState::Changes(state) => {
                for range in recorded.ranges() {
                    number(range.archive);
                }
                state.keep(recorded)
            }
        }
    }

    /// Adds all entries of the parent, whose trailer is `parent`, in place of [`NewState::keep`] for each of them.
    /// False if this state needs every entry by itself.
    pub fn keep_all(&mut self, parent: &Trailer) -> bool {
        let NewState::Changes(state) = self else { return false };
        state.keep_all(parent);
        true
    }

    /// Adds an entry. `old` is the parent's entry of the same path, with the archive numbers of the new state.
    pub fn entry(&mut self, entry: &Entry, old: Option<&Entry>) -> Result<()> {
        match self {
            NewState::WholeState(state) => state.entry(entry),
            NewState::Changes(state) => state.entry(entry, old),
        }
    }

    /// Adds a path of the parent that has no entry in the new snapshot.
    pub fn gone(&mut self, path: &Path) -> Result<()> {
        match self {
            NewState::WholeState(_) => Ok(()),
            NewState::Changes(state) => state.gone(path),
        }
    }

    /// True if the new snapshot has the entries and the omissions of its parent, whose trailer is `parent`.
    pub fn is_unchanged(&self, parent: &Trailer) -> bool {
        match self {
            NewState::WholeState(_) => false,
            NewState::Changes(state) => state.is_empty() && state.omissions.is_same(&parent.omissions),
        }
    }

    /// Writes the file, which is not committed yet. `references` are the archives of the snapshot.
    pub fn finish(
        self,
        store: &mut dyn Store,
        header: &Header,
        parent: Option<&mut StateReader>,
        archives: &NewArchives,
        references: &[ArchiveRef],
        made: &Made<'_>,
    ) -> Result<WrittenState<DraftSink>> {
        let changes = match self {
            NewState::WholeState(state) => return state.finish(references, made),
            NewState::Changes(changes) => changes,
        };
        let none = || Error::new(Kind::Panic, "write the state", "bug in libibt: changes without a parent");
        let begin = || archives.draft(store, BackupFileKind::State, true);
        let needed = NeededArchives { all: references, inherited: &|parents| archives.inherited(parents) };
        let rule = FoldRule::default();
        changes.write(parent.ok_or_else(none)?, header.clone(), &rule, begin, &needed, made)
    }
}
