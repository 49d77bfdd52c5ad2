//! Files of an existing tree that are complete but not yet under their own names.
//!
//! A name must not lead to content that a power cut can still destroy: later, the file's size and time would suggest
//! that the content is right. So each file waits under a temporary name. One sync of its file system makes the whole
//! batch durable, and the files are then renamed. Entries between the files are reported after the files before them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::entry::Entry;
use crate::error::{Error, Kind, Result, describe};
use crate::platform::Stat;

use crate::restore::tree::Tree;
use crate::restore::tree::plan::EntryVerdict;
use crate::restore::tree::target_dir::{FileId, TargetDir, replaced};

/// A batch has at most this many steps, and at most `FILES_MAX` of the steps are files.
const STEPS_MAX: usize = 4096;
const FILES_MAX: usize = 1024;
/// A batch ends when its entries take this many bytes of memory: holes and extended attributes can make one entry
/// large.
const ENTRY_BYTES_ENOUGH: usize = 4 << 20;
/// A batch ends when its files have this many bytes. Until then, the disk holds these files and the ones that they
/// replace.
const DATA_ENOUGH: u64 = 64 << 20;

/// Number of hexadecimal digits at the end of a temporary name.
const DIGITS: usize = 16;

/// Entries in path order. The first entry is a file.
#[derive(Default)]
pub struct InstallBatch {
    /// A temporary name, which ends in random digits.
    temp: Vec<u8>,
    steps: VecDeque<InstallStep>,
    files: usize,
    data: u64,
    /// Memory of the entries.
    entry_bytes: usize,
    /// Number of temporary names given out so far.
    named: u64,
    /// For each device with files that are not durable, the directory that was opened first there. `install_batch`
    /// syncs this directory: a descriptor reports only write-back errors that happen after its opening, and this
    /// descriptor is older than any write.
    unsynced: BTreeMap<u64, Arc<TargetDir>>,
}

enum InstallStep {
    /// An entry that is finished and still has to be reported.
    Done(Box<Entry>, EntryVerdict),
    File(Box<CompleteFile>),
}

/// A file under its temporary name, with its content and its metadata.
pub struct CompleteFile {
    pub entry: Entry,
    pub verdict: EntryVerdict,
    /// The identity of the file, if a later step needs it.
    pub id: Option<FileId>,
    pub temp: Vec<u8>,
    /// The directory that the file was created in.
    pub dir: FileId,
    /// The file's directory, if its file system must be synced before the file gets its name. `None` if the file is
    /// durable.
    pub unsynced: Option<Arc<TargetDir>>,
}

impl InstallBatch {
    /// `temp` must end in random digits.
    pub fn new(temp: &[u8]) -> Self {
        InstallBatch { temp: temp.to_vec(), ..InstallBatch::default() }
    }

    /// The temporary name of an entry that does not wait in the batch.
    pub fn temp_name(&self) -> &[u8] {
        &self.temp
    }

    /// A temporary name that differs from all earlier ones in its digits.
    pub fn next_name(&mut self) -> Vec<u8> {
        let (prefix, digits) = self.temp.split_at(self.temp.len().saturating_sub(DIGITS));
        let digits = std::str::from_utf8(digits).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
        self.named += 1;
        let next = digits.unwrap_or(0).wrapping_add(self.named);
        [prefix, format!("{next:016x}").as_bytes()].concat()
    }

    fn add(&mut self, step: InstallStep) {
        let entry = match &step {
            InstallStep::Done(entry, _) => entry,
            InstallStep::File(file) => {
                self.files += 1;
                self.data = self.data.saturating_add(file.entry.size());
                &file.entry
            }
        };
        self.entry_bytes += entry.heap_len();
        self.steps.push_back(step);
    }

    fn is_full(&self) -> bool {
        self.steps.len() >= STEPS_MAX
            || self.files >= FILES_MAX
            || self.data >= DATA_ENOUGH
            || self.entry_bytes >= ENTRY_BYTES_ENOUGH
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn next(&mut self) -> Option<InstallStep> {
        let step = self.steps.pop_front();
        if self.steps.is_empty() {
            (self.files, self.data, self.entry_bytes) = (0, 0, 0);
        }
        step
    }
}

impl Tree<'_, '_> {
    /// Installs a complete file as soon as it is durable.
    pub fn install_later(&mut self, mut file: CompleteFile) -> Result<()> {
        // The existing inode loses a name. The count changes now, as in a dry run, because later verdicts need it.
        self.link_sets.will_lose_name(&file.entry, &file.verdict);
        let unsynced = file.unsynced.take();
        let waits = unsynced.is_some();
        if let Some(target_dir) = unsynced {
            self.batch.unsynced.entry(target_dir.id.0).or_insert(target_dir);
        }
        self.batch.add(InstallStep::File(Box::new(file)));
        match waits && !self.batch.is_full() {
            true => Ok(()),
            false => self.install_batch(),
        }
    }

    /// Reports an entry after the files that wait before it.
    pub fn report_later(&mut self, entry: &Entry, verdict: EntryVerdict) -> Result<()> {
        self.batch.add(InstallStep::Done(Box::new(entry.clone()), verdict));
        match self.batch.is_full() {
            true => self.install_batch(),
            false => Ok(()),
        }
    }

    /// Makes the files that wait durable and gives them their names.
    pub fn install_batch(&mut self) -> Result<()> {
        for (_, target_dir) in std::mem::take(&mut self.batch.unsynced) {
            target_dir
                .dir
                .syncfs()
                .map_err(|e| Error::new(Kind::Io, "sync the destination", describe(&e)))?;
        }
        while let Some(step) = self.batch.next() {
            match step {
                InstallStep::Done(entry, verdict) => self.report_now(&entry, &verdict)?,
                InstallStep::File(file) => {
                    let done = self.install_file(&file);
                    self.or_obstructed(&file.entry.path, false, done)?;
                }
            }
        }
        Ok(())
    }

    fn install_file(&mut self, file: &CompleteFile) -> Result<()> {
        let CompleteFile { entry, verdict, temp, dir, .. } = file;
        if let EntryVerdict::Replace(now) = verdict {
            self.link_sets.has_lost_name(now);
        }
        let installed = self.target.target_dir(entry).and_then(|target_dir| {
            match target_dir.is_same(target_dir.id, *dir) {
                true => {
                    let now = self.still(entry, verdict)?;
                    self.put_in_place(entry, now.as_ref(), temp)
                }
                false => Err(Error::io("open the directory of", &entry.path, &replaced())),
            }
        });
        match installed {
            Ok(()) => {
                if let Some(id) = file.id {
                    self.late.add(&entry.path, &entry.meta, id)?;
                }
                self.report_now(entry, verdict)
            }
            Err(error) => {
                self.remove_temp(entry, temp);
                self.link_sets.forget_first(entry);
                Err(error)
            }
        }
    }

    /// Looks again at an entry's name before the rename. An error if the policy keeps the file that has the name now.
    fn still(&mut self, entry: &Entry, verdict: &EntryVerdict) -> Result<Option<Stat>> {
        let now = self.stat_existing(entry)?;
        let is_new = |now: &Stat| matches!(verdict, EntryVerdict::Create) || !self.may_replace(entry, now);
        match now.filter(is_new) {
            None => Ok(now),
            Some(_) => {
                let detail = "something else was put there meanwhile, which stays";
                let error = Error::new(Kind::Exists, "restore", detail).at(&entry.path);
                Err(Error { os_code: libc::EEXIST, ..error })
            }
        }
    }

    /// Removes the files that wait, after a failed restore.
    pub fn abandon_batch(&mut self) {
        while let Some(step) = self.batch.next() {
            if let InstallStep::File(file) = step {
                self.remove_temp(&file.entry, &file.temp);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{File, Hash, Metadata, Node, Path};

    fn file(size: u64, xattr: usize) -> Entry {
        let node = Node::File(File { size, hash: Hash::UNKNOWN, holes: Vec::new() });
        let xattrs = vec![(b"user.x".to_vec(), vec![0; xattr])];
        let meta = Metadata { xattrs, ..Metadata::default() };
        Entry::new(Path::new(*b"f").unwrap(), node, meta, Default::default())
    }

    fn complete(size: u64, xattr: usize) -> InstallStep {
        let (entry, verdict) = (file(size, xattr), EntryVerdict::Create);
        InstallStep::File(Box::new(CompleteFile {
            entry,
            verdict,
            id: None,
            temp: Vec::new(),
            dir: (0, 0),
            unsynced: None,
        }))
    }

    fn done(xattr: usize) -> InstallStep {
        InstallStep::Done(Box::new(file(0, xattr)), EntryVerdict::Create)
    }

    /// The number of steps after which a batch is full.
    fn steps_until_full(batch: &mut InstallBatch, step: impl Fn() -> InstallStep) -> usize {
        (1..1 << 20)
            .find(|_| {
                batch.add(step());
                batch.is_full()
            })
            .unwrap()
    }

    #[test]
    fn a_batch_is_bounded_by_steps_files_data_and_memory() {
        let mut batch = InstallBatch::default();
        // Twice, because an emptied batch begins from zero.
        for _ in 0..2 {
            for (step, steps) in [
                (&(|| done(0)) as &dyn Fn() -> InstallStep, STEPS_MAX..=STEPS_MAX),
                (&|| complete(1, 0), FILES_MAX..=FILES_MAX),
                (&|| complete(1 << 20, 0), 64..=64),
                (&|| complete(u64::MAX, 0), 1..=1),
                (&|| complete(1, 64 << 10), 60..=64),
                (&|| done(64 << 10), 60..=64),
            ] {
                assert!(steps.contains(&steps_until_full(&mut batch, step)), "{steps:?}");
                while batch.next().is_some() {}
                assert!(!batch.is_full());
            }
        }
    }
}
