//! One read of one file of the source: what it was when opened, its bytes, whether it held still.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use crate::entry::{data_len, extents, Metadata};
use crate::error::{Error, Result};
use crate::job::{Counter, Job};
use crate::platform::{self, FileKind, Names, Stat};

/// Bytes read at a time.
pub const CHUNK: usize = 256 << 10;
/// Holes recorded of one file; what lies beyond is stored as zeros. An entry's line stays small.
const HOLES_MAX: usize = 100_000;

/// Why a file could not be stored.
#[derive(Debug)]
pub enum Trouble {
    /// The source's fault: a problem of this entry.
    Source(io::Error),
    /// Everything else ends the backup.
    Fatal(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Fatal(error)
    }
}

pub type FileResult<T> = Result<T, Trouble>;

/// A file as it was just before it was read.
#[derive(Clone, Debug)]
pub struct Shape {
    pub stat: Stat,
    pub holes: Vec<(u64, u64)>,
    pub meta: Metadata,
    /// Not all of the metadata could be read.
    pub incomplete: bool,
}

impl Shape {
    /// What `file` is now, and why its extended attributes could not be read, if they could not.
    pub fn take(file: &File, names: &mut Names) -> io::Result<(Self, Option<io::Error>)> {
        let stat = platform::stat_file(file)?;
        if stat.kind != FileKind::File {
            return Err(io::Error::other("it is no longer a file"));
        }
        // Its count of blocks does not tell: blocks of attributes are among them.
        let mut holes = if stat.size > 0 { platform::holes(file, stat.size)? } else { Vec::new() };
        holes.truncate(HOLES_MAX);
        let (meta, error) = match metadata(&stat, file.as_fd(), names) {
            Ok(meta) => (meta, None),
            Err(error) => (plain_metadata(&stat, names), Some(error)),
        };
        Ok((Shape { stat, holes, meta, incomplete: error.is_some() }, error))
    }

    /// Bytes outside holes.
    pub fn data_len(&self) -> u64 {
        data_len(self.stat.size, &self.holes)
    }
}

/// The metadata of something that is open, if only as a path.
pub fn metadata(stat: &Stat, fd: BorrowedFd<'_>, names: &mut Names) -> io::Result<Metadata> {
    let xattrs = platform::read_xattrs(fd)?;
    Ok(Metadata { xattrs, ..plain_metadata(stat, names) })
}

/// Metadata without extended attributes.
pub fn plain_metadata(stat: &Stat, names: &mut Names) -> Metadata {
    Metadata {
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        user: names.user(stat.uid),
        group: names.group(stat.gid),
        mtime: stat.mtime,
        xattrs: Vec::new(),
    }
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// To the end, and the file held still.
    Still,
    /// To the end, but the file changed meanwhile.
    Changed,
    /// Not to the end: `feed` wanted no more.
    Stopped,
}

/// Reads the data of `file` in the shape it had, start to end, and hands it to `feed`, which says whether
/// to go on. What is missing at the end of a file that shrank is read as zeros.
pub fn read_data(
    file: &File,
    shape: &Shape,
    buf: &mut Vec<u8>,
    job: &mut Job,
    mut feed: impl FnMut(&[u8]) -> Result<bool>,
) -> FileResult<Read> {
    buf.resize(CHUNK, 0);
    let mut short = false;
    for (mut offset, mut len) in extents(shape.stat.size, &shape.holes) {
        while len > 0 {
            let want = len.min(CHUNK as u64) as usize;
            let mut got =
                if short { 0 } else { read_once(file, &mut buf[..want], offset).map_err(Trouble::Source)? };
            if got == 0 {
                short = true;
                buf[..want].fill(0);
                got = want;
            }
            job.report.count(Counter::BytesRead, got as u64);
            job.advance(got as u64)?;
            if !feed(&buf[..got])? {
                return Ok(Read::Stopped);
            }
            offset += got as u64;
            len -= got as u64;
        }
    }
    let still = !short && held_still(file, &shape.stat).map_err(Trouble::Source)?;
    Ok(if still { Read::Still } else { Read::Changed })
}

fn read_once(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buf, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn held_still(file: &File, before: &Stat) -> io::Result<bool> {
    let after = platform::stat_file(file)?;
    Ok(after.size == before.size && after.mtime == before.mtime && after.ctime == before.ctime)
}
