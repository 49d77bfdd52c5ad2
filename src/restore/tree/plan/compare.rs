//! Compares the contents of existing files with entries.

use std::fs::File as Open;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use crate::entry::{Entry, File, Node, Path, extents, overlaps};
use crate::error::{Error, Result, is_shortage};
use crate::platform::{self, Stat};

use crate::restore::tree::Tree;
use crate::restore::tree::target_dir::TargetDir;

impl Tree<'_, '_> {
    /// Whether an existing file has the entry's content, or an existing symbolic link the same target. The type and
    /// the size were compared before.
    pub fn has_same_content(&mut self, entry: &Entry, now: &Stat) -> Result<bool> {
        match &entry.node {
            Node::File(file) => Ok(self.is_believed(entry, now) || self.has_content(entry, file, now)?),
            Node::Symlink(target) => self.is_link_to(entry, target),
            Node::Dir | Node::Fifo | Node::Char(_) | Node::Block(_) | Node::Unknown(_) => Ok(true),
        }
    }

    /// Compares the content of an existing file that has the right size. A file that cannot be read counts as
    /// different. A dry run must not make a file readable, so it believes the file's time instead.
    pub fn has_content(&mut self, entry: &Entry, file: &File, now: &Stat) -> Result<bool> {
        let trouble = |e: &io::Error| Error::io("read", &entry.path, e);
        let target_dir = self.target.target_dir(entry)?;
        let open = match self.open_to_compare(&target_dir, entry, now) {
            Ok(open) => open,
            Err(error) if is_trouble_of_now(&error) => return Err(trouble(&error)),
            Err(_) => return Ok(self.job.options.dry_run && now.mtime == entry.meta.mtime),
        };
        if !target_dir.is_same(platform::stat_file(&open).map_err(|e| trouble(&e))?.id(), now.id()) {
            return Ok(false);
        }
        let open = (&open, &entry.path);
        let mut hasher = blake3::Hasher::new();
        for (offset, len) in extents(file.size, &file.holes) {
            let whole = self.each_block(open, offset, len, &mut |block| {
                hasher.update(block);
                true
            })?;
            if !whole {
                return Ok(false);
            }
        }
        Ok(file.hash == hasher.finalize().into() && self.has_zeros(open, file)?)
    }

    fn open_to_compare(&self, target_dir: &TargetDir, entry: &Entry, now: &Stat) -> io::Result<Open> {
        let named = target_dir.dir.open_path(entry.path.name())?;
        self.with_read_right(named.as_fd(), now, || target_dir.dir.open_file(entry.path.name()))
    }

    /// Whether an open file reads as zeros where `file` has holes.
    fn has_zeros(&mut self, open: (&Open, &Path), file: &File) -> Result<bool> {
        if file.holes.is_empty() {
            return Ok(true);
        }
        let there = match platform::holes(open.0, file.size) {
            Err(error) if is_trouble_of_now(&error) => return Err(Error::io("read", open.1, &error)),
            Err(_) => return Ok(false),
            Ok(there) => there,
        };
        // Data of the existing file that lies in a hole of the entry must be zeros.
        let mut zeros = |block: &[u8]| block.iter().all(|&b| b == 0);
        for (offset, len) in overlaps(extents(file.size, &there), file.holes.iter().copied()) {
            if !self.each_block(open, offset, len, &mut zeros)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Hands a range of a file to `each` in blocks, until `each` returns false. Returns false in that case, or if the
    /// file ends before the range does or cannot be read.
    fn each_block(
        &mut self,
        (open, path): (&Open, &Path),
        offset: u64,
        len: u64,
        each: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<bool> {
        let mut buf = vec![0; len.min(1 << 20) as usize];
        let mut done = 0;
        while done < len {
            let want = (len - done).min(buf.len() as u64) as usize;
            self.job.pulse()?;
            match open.read_at(&mut buf[..want], offset + done) {
                Ok(got) if got > 0 && each(&buf[..got]) => done += got as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_trouble_of_now(&error) => return Err(Error::io("read", path, &error)),
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    fn is_link_to(&mut self, entry: &Entry, target: &[u8]) -> Result<bool> {
        let now = self.target.parent(entry)?.read_link(entry.path.name());
        Ok(now.map_err(|e| Error::io("read the link", &entry.path, &e))? == target)
    }
}

/// Whether an error comes from the state of the system and says nothing about the file.
fn is_trouble_of_now(error: &io::Error) -> bool {
    is_shortage(error) || error.raw_os_error() == Some(libc::EIO)
}
