//! Joins the archive tables of the files of one snapshot. The lines of each file refer to the table in its own
//! trailer.

use std::collections::HashMap;

use super::{ARCHIVES_MAX, ArchiveRef};
use crate::entry::Range;

/// Translates the archive numbers of one file's lines to numbers of the joined table.
#[derive(Clone, Debug, Default)]
pub(super) struct ArchiveNumbers {
    /// For each archive of the file, its number in the joined table; `None` if the snapshot does not need the archive.
    pub joined: Vec<Option<u32>>,
    /// True if every archive keeps its number.
    pub is_same: bool,
}

impl ArchiveNumbers {
    pub fn get(&self, archive: u32) -> Option<u32> {
        self.joined.get(archive as usize).copied().flatten()
    }

    /// Puts `ranges` with their new archive numbers into `out`. `None` if the snapshot does not need one of the
    /// archives.
    pub fn translate(&self, ranges: &[Range], out: &mut Vec<Range>) -> Option<()> {
        out.clear();
        for range in ranges {
            out.push(Range { archive: self.get(range.archive)?, ..*range });
        }
        Some(())
    }
}

/// The archives that a snapshot needs, each once.
#[derive(Debug, Default)]
pub(super) struct ArchiveTable {
    pub archives: Vec<ArchiveRef>,
    numbers: HashMap<String, u32>,
}

impl ArchiveTable {
    /// Adds the archives of one file's trailer that the snapshot `uses`. `Err` names the fault.
    pub fn add(&mut self, archives: &[ArchiveRef], uses: &[bool]) -> Result<ArchiveNumbers, String> {
        if uses.len() != archives.len() {
            return Err("uses has another number of archives than the layer".into());
        }
        let mut joined = Vec::with_capacity(archives.len());
        for (archive, used) in archives.iter().zip(uses) {
            joined.push(if *used { Some(self.number(archive)?) } else { None });
        }
        let is_same = (0u32..).zip(&joined).all(|(number, joined)| *joined == Some(number));
        Ok(ArchiveNumbers { joined, is_same })
    }

    fn number(&mut self, archive: &ArchiveRef) -> Result<u32, String> {
        if let Some(&number) = self.numbers.get(&archive.name) {
            return match self.archives[number as usize] == *archive {
                true => Ok(number),
                false => Err(format!("two layers have different sizes or digests of {}", archive.name)),
            };
        }
        let number = self.archives.len();
        if number == ARCHIVES_MAX {
            return Err("too many archives".into());
        }
        self.archives.push(archive.clone());
        self.numbers.insert(archive.name.clone(), number as u32);
        Ok(number as u32)
    }
}
