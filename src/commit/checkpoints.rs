//! The partial states of a full backup that runs. From time to time the backup ends the current parts of its archives,
//! gives the parts their final names, and publishes a partial state: the entries so far, all of whose contents and
//! signatures are in these parts. If the backup does not end, the next full goes on from there.
//!
//! ```text
//! parts closed --> parts published, durable --> partial state published, durable --> the one before it deleted
//! ```

use super::archives::ClosedParts;
use super::{NewArchives, NewState, Published, totals};
use crate::error::{Error, Result};
use crate::format::names::PARTS_MAX;
use crate::format::{ArchiveRef, Header, Made, Trailer, WrittenState};
use crate::job::{Counter, Job, Level};
use crate::stamp::Time;
use crate::store::{Draft, Need, Store, report_left};

/// Bytes of the source that are read in about the time that storing one entry takes.
const ENTRY_COST: u64 = 16 << 10;
/// A partial state is written only if the backup did this much since the one before, for each entry that is written
/// again. So all partial states together take a small part of the time of the backup.
const REWRITE_COST: u64 = ENTRY_COST / 2;

/// The work of storing entries, in bytes of the source that are read in that time.
fn work(bytes: u64, entries: u64) -> u64 {
    bytes.saturating_add(entries.saturating_mul(ENTRY_COST))
}

/// Publishes the partial states of a full backup.
pub struct Checkpoints {
    /// The header of the partial states.
    header: Header,
    /// Bytes of the source that are read from one partial state to the next.
    every: u64,
    /// The work of those entries of the partial state that this full goes on from which it may still take over. A new
    /// partial state does not have them.
    ahead: u64,
    /// Entries that this full took over.
    taken_over: u64,
    /// The number of the last partial state.
    number: u32,
    /// The partial states that are not deleted yet.
    published: Vec<String>,
    /// Counters of the report at the last partial state.
    bytes_read: u64,
    entries: u64,
    has_ended: bool,
}

impl Checkpoints {
    /// For a full backup that will probably read `bytes` bytes and goes on from `basis`, if there is such a partial
    /// state. `None` if that is too little for a partial state, or if the store cannot delete, so that partial states
    /// would pile up. The archives must be divisible, and the state must keep its lines.
    pub fn new(
        header: &Header,
        bytes: u64,
        basis: Option<&Trailer>,
        store: &mut dyn Store,
        job: &Job,
    ) -> Option<Self> {
        let every = job.options.checkpoint;
        let is_wanted = every > 0 && bytes >= every && !job.options.dry_run;
        if !is_wanted || store.require(Need::Delete, "replace a partial state").is_err() {
            return None;
        }
        Some(Checkpoints {
            header: header.partial(),
            every,
            ahead: basis.map_or(0, |basis| work(basis.totals.bytes, basis.totals.entries)),
            taken_over: 0,
            number: 0,
            published: Vec::new(),
            bytes_read: 0,
            entries: 0,
            has_ended: false,
        })
    }

    /// Notes that the full took over an entry of `size` bytes.
    pub fn take_over(&mut self, size: u64) {
        self.leave_behind(size);
        self.taken_over += 1;
    }

    /// Notes that the full cannot take over an entry of `size` bytes any more.
    pub fn leave_behind(&mut self, size: u64) {
        self.ahead = self.ahead.saturating_sub(work(size, 1));
    }

    /// True if it is time for a partial state: the run did enough since the last one, and more than the work that the
    /// next full could not take over any more, because it uses only the newest partial state.
    pub fn is_due(&self, job: &Job) -> bool {
        let counters = &job.report.counters;
        let (bytes_read, entries) = (counters.get(Counter::BytesRead), counters.get(Counter::Entries));
        let read = bytes_read - self.bytes_read;
        !self.has_ended
            && read >= self.every
            && work(read, entries - self.entries) >= entries.saturating_mul(REWRITE_COST)
            && work(bytes_read, entries.saturating_sub(self.taken_over)) > self.ahead
    }

    /// Publishes a partial state. An error before it gets its name removes the parts that no partial state names.
    pub fn make(
        &mut self,
        store: &mut dyn Store,
        parents: &[ArchiveRef],
        archives: &mut NewArchives,
        state: &NewState,
        job: &mut Job,
    ) -> Result<()> {
        if !state.keeps_lines() {
            job.log(
                Level::Warn,
                "the temporary directory has no room for partial states: this backup makes no more",
            );
            self.has_ended = true;
            return Ok(());
        }
        let closed = if self.number < PARTS_MAX { archives.close_parts(parents)? } else { None };
        let Some(ClosedParts { references, drafts }) = closed else {
            self.has_ended = true;
            return Ok(());
        };
        let mut published = Published { store, names: Vec::new() };
        let made = self.publish(&mut published, &references, drafts, (archives, state), job);
        made.or_else(|error| published.remove(job).and(Err(error)))
    }

    /// Publishes the drafts of parts, and then the partial state. After an error, the archives in `published` are to be
    /// removed.
    fn publish(
        &mut self,
        published: &mut Published<'_>,
        references: &[ArchiveRef],
        mut drafts: Vec<Box<dyn Draft>>,
        (archives, state): (&NewArchives, &NewState),
        job: &mut Job,
    ) -> Result<()> {
        for draft in &mut drafts {
            job.pulse()?;
            draft.seal()?;
        }
        published.give_names(drafts)?;
        self.number += 1;
        let (name, frames) = archives.partial_draft(published.store, self.number)?;
        let made = Made { totals: &totals(job), problems: &[], finished_at: Time::now() };
        let WrittenState { file, .. } = state.write_so_far(frames, &self.header, references, &made)?;
        let (mut drafts, _) = file.out.into_drafts();
        drafts.iter_mut().try_for_each(|draft| draft.seal())?;
        job.pulse()?;
        // From here on the partial state may exist even if `publish` reports an error, so the parts must stay.
        published.names.clear();
        let store = &mut *published.store;
        drafts.into_iter().try_for_each(|draft| draft.publish())?;
        store.sync()?;
        let before = std::mem::replace(&mut self.published, vec![name]);
        for (name, error) in delete_all(store, before) {
            // The run tries again later.
            job.log(Level::Debug, &error.to_string());
            self.published.push(name);
        }
        let counters = &job.report.counters;
        (self.bytes_read, self.entries) = (counters.get(Counter::BytesRead), counters.get(Counter::Entries));
        let message = format!("a full backup that does not end goes on after {} entries", self.entries);
        job.log(Level::Debug, &message);
        Ok(())
    }

    /// The names of the partial states of this run that are still there.
    pub fn into_published(self) -> Vec<String> {
        self.published
    }
}

/// Deletes partial states that no full goes on from any more. Notes those that could not be deleted: they do no harm,
/// and a prune deletes them.
pub fn remove_partial_states(store: &mut dyn Store, names: Vec<String>, job: &mut Job) -> Result<()> {
    let left = delete_all(store, names);
    left.into_iter().try_for_each(|(name, error)| report_left(&name, error, job))
}

/// Deletes objects. Returns the names of those that could not be deleted, with the errors.
fn delete_all(store: &mut dyn Store, names: Vec<String>) -> Vec<(String, Error)> {
    let delete = |name: String| store.delete(&name).err().map(|error| (name, error));
    names.into_iter().filter_map(delete).collect()
}
