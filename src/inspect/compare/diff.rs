//! Compares two snapshots by their states alone: two sorted streams of entries, merged by path.

use std::collections::HashMap;

use crate::entry::{Entry, LinkSet, Node, Path};
use crate::error::Result;
use crate::filter::Filter;
use crate::inspect::Snapshot;
use crate::job::{Counter, Job, Phase, change};
use crate::stamp::Time;
use crate::state::{Merge, Pair};
use crate::store::report::describe;

use super::metadata;
use super::recorded::RecordedEntries;

/// Reports the differences of the snapshot `after` from the snapshot `before`, in the order of paths. No content is
/// read: files are compared by size, hash and holes.
///
/// Globs and paths in the options limit the comparison, and patterns exclude entries on both sides. An entry that moved
/// is reported as deleted and created. The comparison ends early when the observer answers a change with
/// [`Flow::Stop`](crate::job::Flow::Stop).
///
/// Memory grows with the number of hard-linked files only. Errors: `NotFound` (a glob or path that matches on neither
/// side, after all changes), `Io` (temporary storage).
pub fn diff(before: &mut Snapshot, after: &mut Snapshot, job: &mut Job) -> Result<()> {
    job.report.date = Time::now();
    job.report.key = Some(after.summary().header.key.clone());
    job.report.snapshot = Some(after.stamp());
    job.report.digest = Some(after.tree_digest());
    job.report.snapshots = [before.summary(), after.summary()].map(describe).to_vec();
    job.phase(Phase::Verify, 0, 0)?;
    let excludes = &job.options.excludes;
    let filter = Filter::new(&job.options.includes, &job.options.paths)?;
    let old = RecordedEntries::new(before.state().entries()?, excludes)?;
    let new = RecordedEntries::new(after.state().entries()?, excludes)?;
    let mut diff = Diff { job, filter, links: DiffLinks::default() };
    for pair in Merge::new(old, new, |e: &Entry| e.path.as_bytes(), |e: &Entry| e.path.as_bytes()) {
        diff.pair(pair?)?;
        if diff.job.had_enough() {
            return diff.job.phase_done();
        }
    }
    diff.filter.check_used()?;
    diff.job.phase_done()
}

struct Diff<'d, 'j> {
    job: &'d mut Job<'j>,
    filter: Filter,
    links: DiffLinks,
}

impl Diff<'_, '_> {
    fn pair(&mut self, pair: Pair<Entry, Entry>) -> Result<()> {
        let path: &Path = match &pair {
            Pair::Old(entry) | Pair::New(entry) | Pair::Both(entry, _) => &entry.path,
        };
        if !self.filter.matches(path) {
            return self.job.pulse();
        }
        self.job.step(path.as_bytes())?;
        self.job.report.count(Counter::Entries, 1);
        let (what, counter) = match &pair {
            Pair::Old(_) => (change::DELETED, Counter::Deleted),
            Pair::New(_) => (change::CREATED, Counter::Created),
            Pair::Both(old, new) => match self.differences(old, new) {
                0 => (0, Counter::Unchanged),
                what if what & change::CONTENT != 0 => (what, Counter::Modified),
                what => (what, Counter::Metadata),
            },
        };
        self.job.report.count(counter, 1);
        match &pair {
            _ if what == 0 => Ok(()),
            Pair::Old(old) => self.job.change(what, Some(old), None),
            Pair::New(new) => self.job.change(what, None, Some(new)),
            Pair::Both(old, new) => self.job.change(what, Some(old), Some(new)),
        }
    }

    fn differences(&mut self, old: &Entry, new: &Entry) -> u32 {
        if old.node.file_type() != new.node.file_type() {
            return change::CONTENT;
        }
        let linked = if self.links.agree(old, new) { 0 } else { change::METADATA };
        let content = if same_content(&old.node, &new.node) { 0 } else { change::CONTENT };
        linked | content | metadata(old, new, true)
    }
}

/// True if two entries of one type certainly have the same content. The hash of a file does not cover its holes, so
/// the holes are compared too.
fn same_content(old: &Node, new: &Node) -> bool {
    match (old, new) {
        (Node::File(old), Node::File(new)) => {
            (old.size, old.hash, &old.holes) == (new.size, new.hash, &new.holes)
        }
        (old, new) => old == new,
    }
}

/// The hard-link sets of both snapshots, by the first name that both have.
#[derive(Default)]
struct DiffLinks {
    old: HashMap<LinkSet, u64>,
    new: HashMap<LinkSet, u64>,
    met: u64,
}

impl DiffLinks {
    /// Compares a name that has the same type in both snapshots. True if both link it to the same earlier name, or to
    /// none. Names that only one snapshot has do not matter.
    fn agree(&mut self, old: &Entry, new: &Entry) -> bool {
        self.met += 1;
        let met = self.met;
        let first = |sets: &mut HashMap<LinkSet, u64>, entry: &Entry| {
            entry.link_set().map_or(met, |set| *sets.entry(set).or_insert(met))
        };
        first(&mut self.old, old) == first(&mut self.new, new)
    }
}
