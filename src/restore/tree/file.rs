//! Writes files: the content, checked against its hash, and then the metadata.

use std::fs::File as Output;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use crate::contents::ContentReader;
use crate::entry::{Entry, File, FileType, extents};
use crate::error::{Error, Result};
use crate::job::Counter;
use crate::platform;

use super::metadata::first_mode;
use super::plan::Next;
use super::target_dir::TargetDir;
use super::{Tree, clash};

/// Bytes written at a time. The restore can be cancelled between two chunks.
const CHUNK: usize = 1 << 20;

impl Tree<'_, '_> {
    pub(super) fn file(&mut self, contents: &mut ContentReader, entry: &Entry, file: &File) -> Result<()> {
        let verdict = self.judge(entry)?;
        let Next::Create(_) = self.finish_without_file(entry, &verdict)? else {
            self.remember_existing(entry, &verdict);
            return Ok(());
        };
        match self.target.is_existing {
            true => self.replace_file(contents, entry, file, &verdict),
            false => self.create_file(contents, entry, file),
        }
    }

    /// Makes a new file with the content and metadata of an entry, under the name `name` in `target_dir`. `None` if the
    /// content is lost, which is reported. No file remains in that case and after an error.
    pub(super) fn write_file(
        &mut self,
        contents: &mut ContentReader,
        entry: &Entry,
        file: &File,
        (target_dir, name): (&TargetDir, &[u8]),
    ) -> Result<Option<Output>> {
        let output = target_dir.dir.create_file(name, first_mode(&entry.meta, FileType::File));
        let output = output.map_err(|e| clash(&e, "create", entry))?;
        self.wanted.prepare(&entry.meta, output.as_fd());
        let written = self.fill(contents, entry, file, &output).and_then(|loss| match loss {
            Some(loss) => Ok(Some(loss)),
            None => self.metadata(&entry.path, &entry.meta, output.as_fd()).map(|()| None),
        });
        match written.inspect_err(|_| drop(target_dir.dir.unlink(name)))? {
            None => Ok(Some(output)),
            Some(loss) => {
                target_dir.dir.unlink(name).map_err(|e| Error::io("remove", &entry.path, &e))?;
                self.lost(contents, entry, loss).map(|()| None)
            }
        }
    }

    /// Writes the extents of a file and checks the size and hash of the written data. Returns the reason if the
    /// content is lost. An error ends the restore.
    fn fill(
        &mut self,
        contents: &mut ContentReader,
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
        let read = contents.read(entry, &mut |bytes| bytes.chunks(CHUNK).try_for_each(&mut take))?;
        Ok(match read {
            Ok(()) if out.written == file.data_len() && file.hash == hasher.finalize().into() => None,
            Ok(()) => Some(contents.differs(entry, file)),
            Err(error) => Some(error),
        })
    }
}

/// Makes a file of a new tree durable, if no later sync of the file system reports the errors of its writes.
pub(super) fn sync_without_syncfs(output: &Output) -> io::Result<()> {
    if platform::has_syncfs() { Ok(()) } else { output.sync_all() }
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
