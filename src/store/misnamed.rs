//! States under the names of other snapshots: copies that a user made beside the files of a key, for example `copy of
//! docs.state.STAMP.json.zst`, and files that were renamed.

use super::{Catalog, StateFile, Store, StoredFile};
use crate::error::{Error, Result};
use crate::format::StateSummary;
use crate::format::names::{BackupFileKind, Name};

/// An undamaged state whose file has the name of another snapshot.
pub struct Misnamed {
    /// The name of the snapshot that the state records.
    pub own: Name,
    /// The file has the name of another key, and the store has a state with the own name: so this file is a copy, and
    /// there is no such key.
    pub is_copy: bool,
}

impl Misnamed {
    /// Looks at a state file of `key`, which does not verify under its name. `None` if it is damaged.
    pub fn find(store: &mut dyn Store, key: &str, file: &StateFile) -> Result<Option<Misnamed>> {
        let StateFile { name, size, stamp, compressed } = file;
        // A text that is not the name of a state is not compared with the recorded key and stamp.
        let unnamed = format!("{name} under any name");
        let mut stored = StoredFile { store: &mut *store, name };
        let header = match StateSummary::read(&mut stored, &unnamed, *size, *compressed) {
            Ok(summary) => summary.header,
            Err(error) if error.is_of_file() => return Ok(None),
            Err(error) => return Err(error),
        };
        let own = Name::new(&header.key, BackupFileKind::State, header.snapshot, *compressed);
        if own.key == key && own.stamp == *stamp {
            return Ok(None);
        }
        let is_copy = own.key != key && Catalog::read(store, &own.key)?.has_plain_state(own.stamp);
        Ok(Some(Misnamed { own, is_copy }))
    }

    /// The error about the file, in place of `error`, the one that it does not verify.
    pub fn describe(&self, error: Error) -> Error {
        let detail = match self.is_copy {
            true => format!("it is a copy of {} under another name, and nothing uses it", self.own),
            false => format!("it has the name of another snapshot: its own name is {}", self.own),
        };
        Error { detail, ..error }
    }
}
