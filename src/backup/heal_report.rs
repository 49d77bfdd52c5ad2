//! What becomes of the parent's files whose contents the store has lost: notes about those that were stored again, and
//! problems about those that the source cannot give.

use std::collections::HashMap;

use crate::entry::{Entry, File, Metadata, Node, Path};
use crate::error::{Error, Kind, Result};
use crate::job::{Counter, Job, ProblemKind};

use super::heal::LostPart;
use super::spooled_entries::{SpooledEntries, bare_content};
use super::stored_contents::start_of;

/// Most notes about healed entries, and most problems about lost ones, that a report lists. The counters count all.
pub const LISTED_MAX: u64 = 1000;
/// Most lost contents that are remembered, in about 32 MiB of memory. Past them, a lost file may be reported although
/// another entry has its content.
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

/// The entries with lost contents whose paths have no such file any more, until the end shows whether another new entry
/// has the content: a further name of the file, or a copy. For a content whose hash is unknown, nothing shows that.
pub struct LostFiles {
    entries: SpooledEntries,
    /// The contents of the parent that are lost, by the first bytes of their hashes. True if a new entry has the
    /// content.
    contents: HashMap<u64, bool>,
}

impl LostFiles {
    pub fn new() -> Self {
        LostFiles { entries: SpooledEntries::new(IN_MEMORY), contents: HashMap::new() }
    }

    /// Adds a lost content of the parent by the first bytes of its hash. Call this for all of them before
    /// [`LostFiles::note_content`].
    pub fn add_content(&mut self, hash_start: Option<u64>) {
        if self.contents.len() < CONTENTS_MAX {
            self.contents.extend(hash_start.map(|start| (start, false)));
        }
    }

    /// Notes a content of the new state by the first bytes of its hash.
    pub fn note_content(&mut self, hash_start: Option<u64>) {
        if let Some(is_stored) = hash_start.and_then(|start| self.contents.get_mut(&start)) {
            *is_stored = true;
        }
    }

    /// Adds an entry of the parent whose content is lost.
    pub fn add(&mut self, old: &Entry) -> Result<()> {
        let bare = match &old.node {
            Node::File(file) => bare_content(&old.path, file, &old.place),
            node => Entry::new(old.path.clone(), node.clone(), Metadata::default(), old.place.clone()),
        };
        self.entries.add(&bare).map(drop)
    }

    /// Reports the entries whose contents no new entry has. `kind` gives the kind of the error of a lost entry.
    pub fn report(mut self, kind: impl Fn(&Entry) -> Kind, job: &mut Job) -> Result<()> {
        let mut at = 0;
        while at < self.entries.end() {
            let (entry, next) = self.entries.read_with_end(at)?;
            at = next;
            let is_stored = |file: &File| self.contents.get(&start_of(&file.hash)) == Some(&true);
            if !entry.file().is_some_and(is_stored) {
                report_lost(&entry.path, LossCause::Deleted, kind(&entry), job)?;
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

/// Reports a file of the parent whose content is lost, and which the source cannot give. `kind` is that of the error
/// because of which the content cannot be read.
pub fn report_lost(path: &Path, cause: LossCause, kind: Kind, job: &mut Job) -> Result<()> {
    job.report.count(Counter::Lost, 1);
    if job.report.counters.get(Counter::Lost) > LISTED_MAX {
        return Ok(());
    }
    let (fault, remedy) = match kind {
        Kind::Missing => ("is gone", "only another copy of the store brings it back"),
        // The medium refused to read. It proves nothing about the stored bytes.
        Kind::Io => (
            "cannot be read",
            "it comes back only if the store can be read again, or from another copy of it",
        ),
        _ => ("is damaged", "only another copy of the store brings it back"),
    };
    let why = match cause {
        LossCause::Deleted => "the source does not have it any more",
        LossCause::Kept => "the source cannot give it now, so its entry is kept",
        LossCause::Dropped => "the source cannot give it now, and this snapshot does not have it",
    };
    let detail = format!("its content in the store {fault}, and {why}; {remedy}");
    let error = Error::new(kind, "keep the last version of", detail).at(path);
    job.trouble(ProblemKind::Lost, path.as_bytes(), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Hash, Place, Range};
    use crate::job::{Cancel, Options, Silent};

    fn entry(path: &str, n: u64) -> Entry {
        let file = File { size: 5, hash: hash(n), holes: Vec::new() };
        let place = Place { content: vec![Range { archive: 0, offset: 0, len: 5 }], ..Place::default() };
        Entry::new(Path::new(path).unwrap(), Node::File(file), Metadata::default(), place)
    }

    fn hash(n: u64) -> Hash {
        blake3::hash(&n.to_le_bytes()).into()
    }

    #[test]
    fn however_many_contents_there_are_a_lost_one_with_another_name_is_not_reported() {
        let mut lost = LostFiles::new();
        (0..2).for_each(|n| lost.add_content(Some(start_of(&hash(n)))));
        (2..CONTENTS_MAX as u64 + 9).for_each(|start| lost.note_content(Some(start)));
        lost.note_content(Some(start_of(&hash(0))));
        lost.add(&entry("elsewhere", 0)).unwrap();
        lost.add(&entry("nowhere", 1)).unwrap();
        let (options, cancel, mut silent) = (Options::default(), Cancel::default(), Silent);
        let mut job = Job::new(&options, &cancel, &mut silent);
        lost.report(|_| Kind::Missing, &mut job).unwrap();
        let paths: Vec<_> = job.report.problems.iter().map(|problem| problem.path.clone().unwrap()).collect();
        assert_eq!(paths, [b"nowhere"]);
    }
}
