//! Writes the content of a file, and reports a file whose content is lost.

use std::fs::File as Output;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use crate::contents;
use crate::contents::Contents;
use crate::entry::{Entry, File, HardLink, Path, extents};
use crate::error::{Error, Result};
use crate::job::Counter;
use crate::platform;
use crate::store::Store;

use super::batch::CompleteFile;
use super::existing::{EntryVerdict, Next};
use super::target_dir::FileId;
use super::{FirstName, Tree, clash};

/// Bytes written at a time. The restore can be cancelled between two chunks.
const CHUNK: usize = 1 << 20;

impl Tree<'_, '_> {
    pub(super) fn file(
        &mut self,
        store: &mut dyn Store,
        contents: &mut Contents,
        entry: &Entry,
        file: &File,
    ) -> Result<()> {
        let verdict = self.judge(entry)?;
        let Next::Create(_) = self.unless_right(entry, &verdict)? else {
            self.remember_existing(entry, &verdict);
            return Ok(());
        };
        match self.new_file(store, contents, entry, file, &verdict) {
            // The waiting files use disk space together with the files that they replace. Installing them frees that
            // space.
            Err(error) if is_out_of_room(&error) && !self.batch.is_empty() => {
                self.install_batch()?;
                self.new_file(store, contents, entry, file, &verdict)
            }
            done => done,
        }
    }

    /// Makes a file in the place that `verdict` describes. In an existing tree, the file gets its name when it is
    /// durable.
    fn new_file(
        &mut self,
        store: &mut dyn Store,
        contents: &mut Contents,
        entry: &Entry,
        file: &File,
        verdict: &EntryVerdict,
    ) -> Result<()> {
        let name = match self.target.is_existing {
            true => self.batch.next_name(&self.temp),
            false => entry.path.name().to_vec(),
        };
        let target_dir = self.target.target_dir(entry)?;
        let output = target_dir.dir.create_file(&name, 0o600).map_err(|e| clash(&e, "create", entry))?;
        let written = self.fill(store, contents, entry, file, &output).and_then(|loss| match loss {
            Some(loss) => Ok(Some(loss)),
            None => self.metadata(&entry.path, &entry.meta, output.as_fd()).map(|()| None),
        });
        let whole = self.target.is_existing && target_dir.syncs_whole();
        let written = written.and_then(|loss| match self.target.is_existing && !whole && loss.is_none() {
            true => output.sync_all().map_err(|e| Error::io("sync", &entry.path, &e)).map(|()| loss),
            false => Ok(loss),
        });
        if let Some(loss) = written.inspect_err(|_| drop(target_dir.dir.unlink(&name)))? {
            target_dir.dir.unlink(&name).map_err(|e| Error::io("remove", &entry.path, &e))?;
            return self.lost(contents, entry, loss);
        }
        let id = match self.target.is_existing && entry.link != HardLink::Single {
            true => {
                Some(platform::stat_file(&output).map_err(|e| Error::io("look at", &entry.path, &e))?.id())
            }
            false => None,
        };
        self.remember_first(entry, verdict, id);
        if !self.target.is_existing {
            return self.told(entry, verdict);
        }
        let (entry, verdict, dir) = (entry.clone(), *verdict, target_dir.id);
        let unsynced = whole.then_some(target_dir);
        self.install_later(CompleteFile { entry, verdict, temp: name, dir, unsynced })
    }

    /// Whether the inode was restored under another name of the same hard-link set.
    pub(super) fn is_further_name(&self, entry: &Entry) -> bool {
        entry.link_set().is_some_and(|set| self.firsts.contains_key(&set))
    }

    pub(super) fn remember_first(&mut self, entry: &Entry, verdict: &EntryVerdict, id: Option<FileId>) {
        let Some(set) = entry.link_set().filter(|set| !self.firsts.contains_key(set)) else { return };
        let made = matches!(verdict, EntryVerdict::Create | EntryVerdict::Replace(_));
        let is_believed = match verdict {
            EntryVerdict::Right(now) | EntryVerdict::Refresh(now) if entry.file().is_some() => {
                self.is_believed(entry, now)
            }
            _ => false,
        };
        let path = (entry.link != HardLink::First).then(|| entry.path.clone());
        self.firsts.insert(set, FirstName { path, id, made, is_believed });
    }

    /// Like [`Tree::remember_first`], for an entry that is not made, because it exists or in a dry run. A name that the
    /// policy keeps may differ from its hard-link set, so it does not become the set's first name.
    pub(super) fn remember_existing(&mut self, entry: &Entry, verdict: &EntryVerdict) {
        match verdict {
            EntryVerdict::Keep(_) => {}
            EntryVerdict::Right(now) | EntryVerdict::Refresh(now) => {
                self.remember_first(entry, verdict, Some(now.id()));
            }
            EntryVerdict::Create | EntryVerdict::Replace(_) => self.remember_first(entry, verdict, None),
        }
    }

    /// The first restored name of the entry's hard-link set, with its path.
    pub(super) fn first_restored<'a>(&'a self, entry: &'a Entry) -> Option<(&'a FirstName, &'a Path)> {
        let first = self.firsts.get(&entry.link_set()?)?;
        Some((first, first.path.as_ref().or(entry.first_name())?))
    }

    /// Forgets `entry` as the first restored name of its hard-link set, because `entry` is not restored.
    pub(super) fn forget_first(&mut self, entry: &Entry) {
        if self.first_restored(entry).is_some_and(|(_, path)| *path == entry.path) {
            entry.link_set().map(|set| self.firsts.remove(&set));
        }
    }

    /// Writes the extents of a file and checks the size and hash of the written data. Returns the reason if the
    /// content is lost. An error ends the restore.
    fn fill(
        &mut self,
        store: &mut dyn Store,
        contents: &mut Contents,
        entry: &Entry,
        file: &File,
        output: &Output,
    ) -> Result<Option<Error>> {
        let write_error = |e: io::Error| Error::io("write", &entry.path, &e);
        let mut hasher = blake3::Hasher::new();
        let mut out = ExtentWriter::new(output, file).map_err(write_error)?;
        let job = &mut *self.job;
        let mut take = |bytes: &[u8]| {
            hasher.update(bytes);
            out.write(bytes).map_err(write_error)?;
            job.report.count(Counter::BytesRead, bytes.len() as u64);
            job.report.count(Counter::BytesWritten, bytes.len() as u64);
            job.advance(bytes.len() as u64)
        };
        let read = contents.read(store, entry, &mut |bytes| bytes.chunks(CHUNK).try_for_each(&mut take))?;
        Ok(match read {
            Ok(()) if out.written == file.data_len() && file.hash == hasher.finalize().into() => None,
            Ok(()) => Some(contents.differs(entry, file)),
            Err(error) => Some(error),
        })
    }

    /// Lists a file whose content is lost as a problem: the file, the archive, the position and the reason.
    pub(super) fn lost(&mut self, contents: &Contents, entry: &Entry, error: Error) -> Result<()> {
        let (mut problem, told) = contents::lost("restore", contents, entry, error);
        problem.snapshot = self.job.report.snapshot;
        self.content_lost = true;
        self.job.problem(problem, told)
    }
}

/// Whether the file system or the user's quota is full.
fn is_out_of_room(error: &Error) -> bool {
    matches!(error.os_code, libc::ENOSPC | libc::EDQUOT)
}

/// Writes a stream of data into the extents of a file.
pub(super) struct ExtentWriter<'f> {
    output: &'f Output,
    extents: std::vec::IntoIter<(u64, u64)>,
    /// The offset of the next byte, and the bytes that remain in the current extent.
    now: (u64, u64),
    written: u64,
}

impl<'f> ExtentWriter<'f> {
    /// `output` must be a new, empty file.
    pub(super) fn new(output: &'f Output, file: &File) -> io::Result<Self> {
        if !file.holes.is_empty() {
            output.set_len(file.size)?;
        }
        let extents = extents(file.size, &file.holes).into_iter();
        Ok(ExtentWriter { output, extents, now: (0, 0), written: 0 })
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.now.1 == 0 {
                // The data is longer than the extents. The caller's length check reports that, so the bytes are only
                // counted.
                self.written += bytes.len() as u64;
                let Some(next) = self.extents.next() else { return Ok(()) };
                self.written -= bytes.len() as u64;
                self.now = next;
            }
            let fit = (bytes.len() as u64).min(self.now.1) as usize;
            self.output.write_all_at(&bytes[..fit], self.now.0)?;
            self.now = (self.now.0 + fit as u64, self.now.1 - fit as u64);
            self.written += fit as u64;
            bytes = &bytes[fit..];
        }
        Ok(())
    }
}
