//! Creates the entries of a new tree. Other threads write the small files, in batches.

mod batches;
mod maker;

use std::sync::Arc;

use crate::contents::{ContentReader, FetchedContent};
use crate::entry::{Entry, File, Node};
use crate::error::{Error, Result};
use crate::job::Counter;
use crate::platform::{self, patiently};

use super::Tree;
use super::file::sync_without_syncfs;
use super::plan::EntryVerdict;
use super::target_dir::TargetDir;
pub(super) use batches::SmallFileBatches;
use maker::{BatchStep, SmallFile, StepOutcome, is_small};

/// The directory of a file, and its content as in [`SmallFile`].
type FetchedFile = (Arc<TargetDir>, Result<Option<FetchedContent>>);

impl Tree<'_, '_> {
    /// Makes an entry of a new tree, hands it to another thread, or keeps it for the pass that makes links.
    pub fn create(&mut self, contents: &mut ContentReader, entry: Entry) -> Result<()> {
        let Some(mut small_files) = self.small_files.take() else { return Ok(()) };
        let sent = self.make_or_queue(contents, &mut small_files, entry);
        self.small_files = Some(small_files);
        sent
    }

    /// Makes a file under its own name.
    pub fn create_file(&mut self, contents: &mut ContentReader, entry: &Entry, file: &File) -> Result<()> {
        let target_dir = self.target.target_dir(entry)?;
        let name = entry.path.name();
        let Some(output) = self.write_file(contents, entry, file, (&target_dir, name))? else {
            return Ok(());
        };
        sync_without_syncfs(&output).map_err(|e| Error::io("sync", &entry.path, &e))?;
        self.set_late(entry, platform::stat_file(&output))?;
        self.remember_first(entry, &EntryVerdict::Create, None);
        self.report(entry, &EntryVerdict::Create)
    }

    /// Makes an entry of a new tree, or adds the entry to the current batch.
    fn make_or_queue(
        &mut self,
        contents: &mut ContentReader,
        small_files: &mut SmallFileBatches,
        entry: Entry,
    ) -> Result<()> {
        if small_files.has_name_of(&entry) || self.link_sets.is_further_name(&entry) {
            // If the other name cannot be made, the pass that makes links makes this name.
            return self.push_link(&entry);
        }
        match &entry.node {
            Node::Dir => {}
            Node::Symlink(_) => return self.push_link(&entry),
            Node::File(file) => {
                if !is_small(&entry, file) {
                    self.collect_all(contents, small_files)?;
                    let done = patiently(Error::is_shortage, || self.file(contents, &entry, file));
                    return self.or_obstructed(&entry.path, false, done);
                }
            }
            Node::Fifo | Node::Char(_) | Node::Block(_) | Node::Unknown(_) => {
                self.collect_all(contents, small_files)?;
                let done = self.special(&entry);
                return self.or_obstructed(&entry.path, false, done);
            }
        }
        let step = match self.prepare(contents, &entry) {
            Err(error) if error.is_shortage() => {
                small_files.close_dirs();
                self.target.forget_current();
                patiently(Error::is_shortage, || self.prepare(contents, &entry))
            }
            step => step,
        };
        match step {
            Ok(Some((target_dir, content))) => {
                small_files.add(BatchStep::File(SmallFile { entry, target_dir, content }))
            }
            Ok(None) => small_files.add(BatchStep::Made(entry)),
            Err(error) => {
                // Reports the earlier entries before this error.
                self.collect_all(contents, small_files)?;
                return self.or_obstructed(&entry.path, entry.node == Node::Dir, Err(error));
            }
        }
        small_files.start_if_full();
        while small_files.is_over_limits() && self.collect_oldest(contents, small_files)? {}
        Ok(())
    }

    /// Makes a directory, or fetches the content of a file and opens its directory.
    fn prepare(&mut self, contents: &mut ContentReader, entry: &Entry) -> Result<Option<FetchedFile>> {
        if entry.node == Node::Dir {
            return self.make_dir(entry).map(|()| None);
        }
        let content = match contents.gather(entry) {
            Err(error) if error.ends_reading() => return Err(error),
            content => content,
        };
        Ok(Some((self.target.target_dir(entry)?, content)))
    }

    /// Starts the current batch and waits for all batches.
    pub fn collect_all(
        &mut self,
        contents: &mut ContentReader,
        small_files: &mut SmallFileBatches,
    ) -> Result<()> {
        small_files.start();
        while self.collect_oldest(contents, small_files)? {}
        Ok(())
    }

    /// Waits for the oldest batch and reports its entries. False if no batch is left.
    fn collect_oldest(
        &mut self,
        contents: &mut ContentReader,
        small_files: &mut SmallFileBatches,
    ) -> Result<bool> {
        let Some(results) = small_files.collect_oldest() else { return Ok(false) };
        for (entry, outcome) in results {
            match (outcome, entry.file()) {
                (StepOutcome::Made, _) | (_, None) => self.report(&entry, &EntryVerdict::Create)?,
                (StepOutcome::Written(failed, id), Some(file)) => {
                    if let Some(id) = id {
                        self.late.add(&entry.path, &entry.meta, id)?;
                    }
                    self.written(&entry, file, failed)?;
                }
                (StepOutcome::Lost(read, error), Some(_)) => {
                    self.job.report.count(Counter::BytesRead, read);
                    self.job.advance(read)?;
                    self.lost(contents, &entry, error)?;
                }
                (StepOutcome::Refused, Some(file)) => {
                    let mut done = self.file(contents, &entry, file);
                    if done.as_ref().is_err_and(Error::is_shortage) {
                        small_files.close_dirs();
                        done = patiently(Error::is_shortage, || self.file(contents, &entry, file));
                    }
                    self.or_obstructed(&entry.path, false, done)?;
                }
                (StepOutcome::Failed(error), _) => self.or_obstructed(&entry.path, false, Err(error))?,
            }
        }
        Ok(true)
    }

    fn written(&mut self, entry: &Entry, file: &File, failed: Vec<Error>) -> Result<()> {
        let len = file.data_len();
        self.job.report.count(Counter::BytesRead, len);
        self.job.report.count(Counter::BytesWritten, len);
        self.job.advance(len)?;
        self.not_set(&entry.path, failed)?;
        self.remember_first(entry, &EntryVerdict::Create, None);
        self.report(entry, &EntryVerdict::Create)
    }
}
