//! The partial states that a prune finds. The next full goes on from the newest one that can be used, so this one
//! stays, and so does every archive that it names. All others are deleted.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::format::ArchiveRef;
use crate::job::Job;
use crate::stamp::{Stamp, Time};
use crate::store::{Catalog, PartialFile, Store};

/// A partial state in the store.
pub struct FoundPartial {
    pub file: PartialFile,
    pub usability: Usability,
}

/// Whether the next full may use a partial state.
pub enum Usability {
    /// It may. The indices of the archives that the partial state names.
    Usable(Vec<usize>),
    /// It never does: a newer snapshot exists, or the file is damaged.
    Useless,
    /// An archive that it names is not in the listing.
    Incomplete,
    /// The file cannot be read now, or a newer version of libibt may have written it.
    Unknown(Error),
}

/// Reads the partial states of a key, in the order of their stamps and numbers. `newest` is the newest snapshot that
/// verifies. `numbers` has the indices of the archives, by name.
pub fn find_partials(
    store: &mut dyn Store,
    catalog: &Catalog,
    newest: Option<Stamp>,
    numbers: &HashMap<String, usize>,
    job: &mut Job,
) -> Result<Vec<FoundPartial>> {
    let now = Time::now();
    let mut found = Vec::new();
    for file in catalog.partial_states() {
        job.pulse()?;
        let usability = match file.is_current(newest, now) {
            true => use_of(&file, store, catalog, numbers)?,
            false => Usability::Useless,
        };
        found.push(FoundPartial { file, usability });
    }
    Ok(found)
}

fn use_of(
    file: &PartialFile,
    store: &mut dyn Store,
    catalog: &Catalog,
    numbers: &HashMap<String, usize>,
) -> Result<Usability> {
    let archives = match file.summary(store) {
        Ok(summary) => summary.trailer.archives.clone(),
        Err(error) if error.proves_damage() => return Ok(Usability::Useless),
        Err(error) if error.is_of_file() => return Ok(Usability::Unknown(error)),
        Err(error) => return Err(error),
    };
    if !catalog.has_all(&archives) {
        return Ok(Usability::Incomplete);
    }
    let files = archives.iter().flat_map(ArchiveRef::files);
    Ok(Usability::Usable(files.filter_map(|file| numbers.get(&file.name).copied()).collect()))
}
