//! The steps of the second pass that only a full takes: it takes over entries from the partial state of an earlier
//! full, and publishes partial states itself.

use crate::entry::{Entry, FileType, Path};
use crate::error::Result;
use crate::job::Counter;
use crate::platform::Stat;
use crate::state::Pair;

use super::super::new_entry::{StoredAs, judge};
use super::super::parent::Parent;
use super::super::tasks::{Finding, PathState};
use super::{Recorded, Run};

impl Run<'_, '_> {
    /// Pairs the recorded entry of a path with the finding. A full takes over only files that are unchanged since the
    /// partial state. Every other path is new to it, as in a full from zero.
    pub(super) fn pair(&mut self, old: Entry, finding: Finding) -> Pair<Entry, Finding> {
        let is_taken_over = match &finding.state {
            PathState::Node { stat, .. } => {
                stat.kind == FileType::File && self.has_content(&old) && self.seems_unchanged(&old, stat)
            }
            _ => false,
        };
        if !self.archives.is_full() || is_taken_over {
            return Pair::Both(old, finding);
        }
        self.leave_behind(old.size());
        Pair::New(finding)
    }

    /// Notes that a full does not take over an entry of the partial state, whose size is `size`. The entry counts for
    /// nothing: a partial state is no tree, so nothing is deleted.
    pub(super) fn leave_behind(&mut self, size: u64) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.leave_behind(size);
        }
    }

    /// Takes over an entry of the partial state that the first pass found unchanged, and that has no further names.
    pub(super) fn take_over(&mut self, recorded: &Recorded) -> Result<()> {
        self.job.step(recorded.path())?;
        self.leave_unseen(recorded.path());
        let entry = self.taken_over(recorded.entry()?);
        self.write(judge(entry, None, StoredAs::Whole), None)
    }

    /// Takes over an unchanged file of the partial state. It may be a further name of an earlier file.
    pub(super) fn take_over_file(&mut self, path: &Path, stat: &Stat, old: Entry) -> Result<()> {
        if let Some(first) = self.first_name(path, stat)? {
            self.leave_behind(old.size());
            return self.link(path, stat, first, None);
        }
        let mut entry = self.taken_over(old);
        entry.place.ino = Some(stat.ino.into());
        self.write_linked(judge(entry, None, StoredAs::Whole), stat, None)
    }

    /// The entry with the archive numbers of the new state.
    fn taken_over(&mut self, mut entry: Entry) -> Entry {
        (entry.place.content, entry.place.sig) = self.archives.inherit(&entry.place, true);
        let stored = entry.file().map_or(0, |file| file.data_len());
        self.job.report.count(Counter::BytesAlreadyStored, stored);
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.take_over(entry.size());
        }
        entry
    }

    /// Publishes a partial state after the last entry, if it is time for one.
    pub(super) fn checkpoint(&mut self) -> Result<()> {
        let checkpoints = self.checkpoints.as_mut().filter(|checkpoints| checkpoints.is_due(self.job));
        let Some(checkpoints) = checkpoints else { return Ok(()) };
        let parents = self.parent.as_ref().map_or(&[][..], Parent::archives);
        checkpoints.make(self.store, parents, &mut self.archives, &self.state, self.job)
    }
}
