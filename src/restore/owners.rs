//! Owners by name: gives entries the numbers that their owners' names have on this machine.

use std::io;

use crate::entry::{Entry, Path};
use crate::error::{Error, Kind, Result};
use crate::job::{Job, ProblemKind};
use crate::platform::OwnerNumbers;

/// The longest name that is looked up, in bytes. No system has longer ones, and a forged state may have many.
const NAME_LEN_MAX: usize = 256;
/// At most this many different names are looked up. The entries with further names keep the recorded numbers.
const NAMES_MAX: usize = 100_000;

#[derive(Default)]
pub struct OwnerMap {
    numbers: OwnerNumbers,
    names: usize,
}

impl OwnerMap {
    /// Gives `entry` the numbers that the names of its owner and its group have here. A name that this machine does
    /// not have is reported once, as a note, and its entries keep the recorded numbers. An error if the system cannot
    /// say whether it has a name: the number may belong to another user on this machine.
    pub fn map(&mut self, entry: &mut Entry, job: &mut Job) -> Result<()> {
        let Entry { path, meta, .. } = entry;
        let path = &*path;
        if let Some(name) = meta.user.as_deref().filter(|name| self.is_sought(name)) {
            let failed = |e: io::Error| Error::io(format!("look up the user '{name}' of"), path, &e);
            let (number, is_new) = self.numbers.user(name).map_err(failed)?;
            meta.uid = self.found("user", name, number, meta.uid, is_new, path, job)?;
        }
        if let Some(name) = meta.group.as_deref().filter(|name| self.is_sought(name)) {
            let failed = |e: io::Error| Error::io(format!("look up the group '{name}' of"), path, &e);
            let (number, is_new) = self.numbers.group(name).map_err(failed)?;
            meta.gid = self.found("group", name, number, meta.gid, is_new, path, job)?;
        }
        Ok(())
    }

    fn is_sought(&self, name: &str) -> bool {
        !name.is_empty() && name.len() <= NAME_LEN_MAX && self.names < NAMES_MAX
    }

    #[allow(clippy::too_many_arguments)] // Everything that a message needs.
    fn found(
        &mut self,
        what: &str,
        name: &str,
        number: Option<u32>,
        recorded: Option<u32>,
        is_new: bool,
        path: &Path,
        job: &mut Job,
    ) -> Result<Option<u32>> {
        self.names += usize::from(is_new);
        if number.is_none() && is_new {
            let kept =
                recorded.map_or(String::new(), |number| format!("; its entries keep the number {number}"));
            let detail = format!("this machine has no {what} '{name}'{kept}");
            let error = Error::new(Kind::NotFound, "map the owner of", detail).at(path);
            job.trouble(ProblemKind::Skipped, path.as_bytes(), error)?;
        }
        Ok(number.or(recorded))
    }
}
