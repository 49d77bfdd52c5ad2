//! What becomes of the parent's files whose contents the store has lost: notes about those that were stored again, and
//! problems about those that the source cannot give.

use std::collections::HashSet;

use crate::entry::{Entry, Path};
use crate::error::{Error, Kind, Result};
use crate::job::{Counter, Job, ProblemKind};

use super::heal::LostPart;
use super::spooled_entries::{SpooledEntries, bare_content};
use super::stored_contents::start_of;

/// Most notes about healed entries, and most problems about lost ones, that a report lists. The counters count all.
pub const LISTED_MAX: u64 = 1000;
/// Most contents of new entries that are remembered, in about 16 MiB of memory. Past them, a lost file may be reported
/// although another entry has its content.
const CONTENTS_MAX: usize = 1 << 20;
/// Bytes of lost entries that are kept in memory before they move to a temporary file.
const IN_MEMORY: usize = 1 << 20;

/// Why a lost content stays lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossCause {
    /// The source does not have the file any more.
    Deleted,
    /// The source cannot give the file now. The new state has the parent's entry.
    Kept,
    /// The source cannot give the file now, and an archive of its content is gone, so no state can have the entry.
    Dropped,
}

/// The lost files whose paths have no such file any more, until the end shows whether another new entry has the content:
/// a further name of the file, or a copy.
pub struct LostFiles {
    files: SpooledEntries,
    /// The first bytes of the hashes of contents that new entries have.
    contents: HashSet<u64>,
}

impl LostFiles {
    pub fn new() -> Self {
        LostFiles { files: SpooledEntries::new(IN_MEMORY), contents: HashSet::new() }
    }

    /// Notes a content of the new state by the first bytes of its hash.
    pub fn note_content(&mut self, hash_start: Option<u64>) {
        if self.contents.len() < CONTENTS_MAX {
            self.contents.extend(hash_start);
        }
    }

    /// Adds an entry of the parent whose content is lost.
    pub fn add(&mut self, old: &Entry) -> Result<()> {
        let Some(file) = old.file() else { return Ok(()) };
        self.files.add(&bare_content(&old.path, file, &old.place)).map(drop)
    }

    /// Reports the files whose contents no new entry has.
    pub fn report(mut self, job: &mut Job) -> Result<()> {
        let mut at = 0;
        while at < self.files.end() {
            let (entry, next) = self.files.read_with_end(at)?;
            at = next;
            let is_stored = entry.file().is_some_and(|file| self.contents.contains(&start_of(&file.hash)));
            if !is_stored {
                report_lost(&entry.path, LossCause::Deleted, job)?;
            }
        }
        Ok(())
    }
}

/// Notes that the lost content or signature of a file was stored again.
pub fn report_healed(path: &Path, part: LostPart, job: &mut Job) -> Result<()> {
    job.report.count(Counter::Healed, 1);
    if job.report.counters.get(Counter::Healed) > LISTED_MAX {
        return Ok(());
    }
    let what = match (part, job.options.dry_run) {
        (LostPart::Content, false) => {
            "its last content in the store is damaged or gone; the source's content was stored"
        }
        (LostPart::Content, true) => {
            "its last content in the store is damaged or gone; the source's content would be stored"
        }
        (LostPart::Signature, false) => "the store has lost its signature; it was made again from the source",
        (LostPart::Signature, true) => {
            "the store has lost its signature; it would be made again from the source"
        }
    };
    let note = Error::new(Kind::Missing, "use what was stored of", what).at(path);
    job.trouble(ProblemKind::Healed, path.as_bytes(), note)
}

/// Reports a file of the parent whose content is lost, and which the source cannot give.
pub fn report_lost(path: &Path, cause: LossCause, job: &mut Job) -> Result<()> {
    job.report.count(Counter::Lost, 1);
    if job.report.counters.get(Counter::Lost) > LISTED_MAX {
        return Ok(());
    }
    let detail = match cause {
        LossCause::Deleted => {
            "its content in the store is damaged or gone, and the source does not have it any more; only another copy \
             of the store brings it back"
        }
        LossCause::Kept => {
            "its content in the store is damaged, and the source cannot give it now; its entry is kept, and a restore \
             needs another copy of the store for it"
        }
        LossCause::Dropped => {
            "the store has lost an archive that its content needs, and the source cannot give it now: this snapshot \
             does not have it; only another copy of the store brings it back"
        }
    };
    let error = Error::new(Kind::Missing, "keep the last version of", detail).at(path);
    job.trouble(ProblemKind::Lost, path.as_bytes(), error)
}
