//! Counts and reports entries, changes and problems.

use crate::contents::ContentReader;
use crate::entry::{Entry, File, Hash, Metadata, Node, Path, Place};
use crate::error::{Error, Result};
use crate::job::{Counter, ProblemKind, change};
use crate::platform::Stat;

use super::Tree;
use super::plan::EntryVerdict;

impl Tree<'_, '_> {
    /// Counts an entry and reports it as a change. In a dry run, the change is the one that a restore would make. If
    /// files before this entry still wait in the batch, the entry is reported after them.
    pub(super) fn report(&mut self, entry: &Entry, verdict: &EntryVerdict) -> Result<()> {
        match self.batch.is_empty() {
            true => self.report_now(entry, verdict),
            false => self.report_later(entry, *verdict),
        }
    }

    pub(super) fn report_now(&mut self, entry: &Entry, verdict: &EntryVerdict) -> Result<()> {
        let (what, counter, before) = match verdict {
            EntryVerdict::Right(_) => {
                self.job.report.count(Counter::Unchanged, 1);
                return Ok(());
            }
            EntryVerdict::Create => (change::CREATED, Counter::Created, None),
            EntryVerdict::Replace(now) => (change::CONTENT, Counter::Modified, Some(now)),
            EntryVerdict::Refresh(now) => (change::METADATA, Counter::Metadata, Some(now)),
            EntryVerdict::Keep(now) => (change::KEPT, Counter::Unchanged, Some(now)),
        };
        self.job.report.count(counter, 1);
        if what != change::KEPT {
            self.job.report.count(Counter::Restored, 1);
        }
        if !self.job.wants_changes() {
            return Ok(());
        }
        let before = before.map(|now| seen(&entry.path, now));
        self.job.change(what, before.as_ref(), Some(entry))
    }

    /// Counts and reports a file or directory that is removed, or that a dry run would remove.
    pub(super) fn report_removed(&mut self, path: &Path, now: &Stat) -> Result<()> {
        self.job.report.count(Counter::Deleted, 1);
        self.job.change(change::DELETED, Some(&seen(path, now)), None)
    }

    /// Lists `error` as a problem of a path of the destination.
    pub(super) fn obstructed(&mut self, path: &Path, error: Error) -> Result<()> {
        self.job.trouble(ProblemKind::Obstructed, path.as_bytes(), error)
    }

    /// Lists a file whose content is lost as a problem: the file, the archive, the position and the reason.
    pub(super) fn lost(&mut self, contents: &ContentReader, entry: &Entry, error: Error) -> Result<()> {
        let (mut problem, error) = contents.lost("restore", entry, error);
        problem.snapshot = self.job.report.snapshot;
        self.content_lost = true;
        self.job.problem(problem, error)
    }
}

/// An existing file as an entry, to report it to the caller. Content and attributes are not read.
fn seen(path: &Path, now: &Stat) -> Entry {
    let node = Node::without_content(now.kind, Vec::new(), now.rdev)
        .unwrap_or_else(|| Node::File(File { size: now.size, hash: Hash::UNKNOWN, holes: Vec::new() }));
    let (mode, uid, gid) = (Some(now.mode), Some(now.uid), Some(now.gid));
    let meta = Metadata { mode, uid, gid, mtime: now.mtime, ..Metadata::default() };
    let place = Place { ino: Some(now.ino.into()), ctime: now.ctime, ..Place::default() };
    Entry::new(path.clone(), node, meta, place)
}
