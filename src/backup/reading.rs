//! One read of one source file: its stat and holes before the read, its bytes, and whether it changed meanwhile.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use crate::entry::{FileType, Hash, InodeFlags, Metadata, Path, data_len, extents};
use crate::error::{Error, Result, is_shortage};
use crate::job::Job;
use crate::platform::{self, FlagsAndProject, Named, Names, Stat};
use crate::pool::Pool;
use crate::stamp::Time;
use crate::walk::{Devices, Source};

use super::chunk_pipeline::{ChunkPipeline, Purpose};

/// Bytes of one read.
pub const READ_LEN: usize = 256 << 10;
/// At most this many holes of a file are recorded, so that the line of an entry stays small. Holes behind
/// them are stored as zeros.
const HOLES_MAX: usize = 100_000;

/// A writer that waits for a CPU core almost always gets one within this time.
const WRITE_PAUSE: Duration = Duration::from_millis(10);
/// The backup does not wait for the writer of a file whose ctime is older than this.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// The coarsest resolution of times: some file systems record times in steps of one or two seconds.
const COARSEST_TICK: Duration = Duration::from_secs(2);

/// Why a file could not be stored.
#[derive(Debug)]
pub enum FileError {
    /// The source's fault: a problem of this entry.
    Source(io::Error),
    /// Any other error: ends the backup.
    Fatal(Error),
}

impl FileError {
    /// True if the cause is a shortage (see [`is_shortage`]).
    pub fn is_shortage(&self) -> bool {
        match self {
            FileError::Source(error) => is_shortage(error),
            FileError::Fatal(error) => error.is_shortage(),
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        FileError::Source(error)
    }
}

impl From<Error> for FileError {
    fn from(error: Error) -> Self {
        FileError::Fatal(error)
    }
}

pub type FileResult<T> = Result<T, FileError>;

/// The stat, holes, extended attributes and flags of a file, taken just before the file is read.
#[derive(Debug)]
pub struct FileAttributes {
    pub stat: Stat,
    pub holes: Vec<(u64, u64)>,
    pub xattrs: Xattrs,
    flags: FlagsAndProject,
    pub btime: Option<Time>,
    /// Why the extended attributes or the flags could not be read.
    pub incomplete: Option<io::Error>,
    /// An equal size and equal times after the read prove that the file did not change. If false, only a second read
    /// can prove that.
    pub is_settled: bool,
    /// The write that set the ctime may not have ended yet.
    is_just_written: bool,
}

type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

impl FileAttributes {
    /// Reads the attributes of `file` as it is now. If the extended attributes or flags cannot be read, the
    /// other fields are still valid.
    pub fn read(file: &File, devices: &Devices) -> FileResult<Self> {
        let now = Time::now();
        let stat = platform::stat_file(file)?;
        if stat.kind != FileType::File {
            return Err(io::Error::other("it is no longer a file").into());
        }
        let holes = holes(file, stat.size)?;
        let (mut incomplete, mut flags) = (None, FlagsAndProject::default());
        let xattrs = platform::read_xattrs(file.as_fd()).unwrap_or_else(|error| {
            incomplete = Some(error);
            Vec::new()
        });
        match platform::read_flags(file) {
            Ok(read) => flags = read,
            Err(error) => incomplete = Some(error),
        }
        let btime = platform::birth_time(file);
        let is_settled = devices.prove(&stat, now);
        let is_just_written = !is_settled && is_just_written(stat.ctime, now);
        Ok(FileAttributes { stat, holes, xattrs, flags, btime, incomplete, is_settled, is_just_written })
    }

    /// Pauses if the file was written just now, and returns whether it paused. Without a pause two reads in a
    /// row could find the same torn content: a writer that lost its core in the middle of a write has left
    /// half of each version.
    pub fn pause(&self) -> bool {
        if self.is_just_written {
            std::thread::sleep(WRITE_PAUSE);
        }
        self.is_just_written
    }

    /// True if `file` still has the same holes.
    pub fn has_holes_of(&self, file: &File) -> FileResult<bool> {
        Ok(holes(file, self.stat.size)? == self.holes)
    }

    /// Bytes outside holes.
    pub fn data_len(&self) -> u64 {
        data_len(self.stat.size, &self.holes)
    }

    pub fn metadata(&self, names: &mut Names) -> Metadata {
        let xattrs = self.xattrs.clone();
        with_flags(Metadata { xattrs, ..self.stat.metadata(names) }, self.flags)
    }
}

/// Whether the write that set `ctime` may not have ended yet: the kernel sets ctime when a write begins, and the
/// writer may be waiting for a CPU core. Even with many files there are few pauses: during a pause, the ctimes of the
/// other files become too old for another pause.
fn is_just_written(ctime: Time, now: Time) -> bool {
    let age = now.to_nanos() - ctime.to_nanos();
    let whole_seconds = if ctime.nanos == 0 { COARSEST_TICK } else { Duration::ZERO };
    // The clock of another machine may be ahead by up to `COARSEST_TICK`.
    (-(COARSEST_TICK.as_nanos() as i128)..(whole_seconds + LONGEST_WAIT).as_nanos() as i128).contains(&age)
}

fn holes(file: &File, size: u64) -> io::Result<Vec<(u64, u64)>> {
    // The stat's count of blocks cannot show holes, because blocks of attributes are included in it.
    let mut holes = if size > 0 { platform::holes(file, size)? } else { Vec::new() };
    holes.truncate(HOLES_MAX);
    Ok(holes)
}

/// Opens an entry that is not a regular file: a directory for reading, everything else only as a path (`O_PATH`).
pub fn open_node(source: &mut Source, path: &Path, kind: FileType) -> io::Result<OwnedFd> {
    let fd = source.open_path(path)?;
    if kind != FileType::Dir {
        return Ok(fd);
    }
    match Named::from(fd.as_fd()).open_for_reading() {
        // The first pass has reported this directory: it may not be read.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(fd),
        opened => opened,
    }
}

/// The metadata of an entry that is not a regular file. `fd` may be opened only as a path (`O_PATH`); a directory has
/// flags only if `fd` is open for reading.
pub fn metadata(stat: &Stat, fd: BorrowedFd<'_>, names: &mut Names) -> io::Result<Metadata> {
    let xattrs = platform::read_xattrs(fd)?;
    let flags = match stat.kind {
        FileType::Dir => platform::read_flags(fd).or_else(|error| match error.raw_os_error() {
            Some(libc::EBADF) => Ok(FlagsAndProject::default()),
            _ => Err(error),
        })?,
        _ => FlagsAndProject::default(),
    };
    Ok(with_flags(Metadata { xattrs, ..stat.metadata(names) }, flags))
}

fn with_flags(meta: Metadata, read: FlagsAndProject) -> Metadata {
    Metadata { flags: InodeFlags::of(read.flags), project: read.project, ..meta }
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// The read reached the end, and the file did not change meanwhile.
    Still,
    /// The read reached the end, but the file changed meanwhile.
    Changed,
    /// `feed` returned false before the end.
    Stopped,
}

/// Reads the data of `file` from start to end, with the size and holes of `attributes`, and hands each piece to
/// `feed`. The read stops when `feed` returns false. If the file has become shorter, the missing bytes are
/// read as zeros.
pub fn read_data(
    file: &File,
    attributes: &FileAttributes,
    buf: &mut Vec<u8>,
    mut feed: impl FnMut(&[u8]) -> Result<bool>,
) -> FileResult<ReadEnd> {
    buf.resize(READ_LEN, 0);
    let mut short = false;
    for (mut offset, mut len) in extents(attributes.stat.size, &attributes.holes) {
        while len > 0 {
            let want = len.min(READ_LEN as u64) as usize;
            let mut got = if short { 0 } else { read_once(file, &mut buf[..want], offset)? };
            if got == 0 {
                short = true;
                buf[..want].fill(0);
                got = want;
            }
            if !feed(&buf[..got])? {
                return Ok(ReadEnd::Stopped);
            }
            offset += got as u64;
            len -= got as u64;
        }
    }
    let still = !short && held_still(file, &attributes.stat)?;
    Ok(if still { ReadEnd::Still } else { ReadEnd::Changed })
}

/// Appends the data of `file` to `buf`, with the size and holes of `attributes`. If the file has become shorter, the
/// missing bytes are zeros. Returns whether the file did not change meanwhile.
pub fn read_into(file: &File, attributes: &FileAttributes, buf: &mut Vec<u8>) -> FileResult<bool> {
    let mut at = buf.len();
    buf.resize(at + attributes.data_len() as usize, 0);
    for (mut offset, mut len) in extents(attributes.stat.size, &attributes.holes) {
        while len > 0 {
            let got = read_once(file, &mut buf[at..at + len as usize], offset)?;
            if got == 0 {
                return Ok(false);
            }
            at += got;
            offset += got as u64;
            len -= got as u64;
        }
    }
    Ok(held_still(file, &attributes.stat)?)
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

/// Reads the file once more if its size and times do not prove that the file did not change. [`ReadEnd::Still`] if
/// the second read gives the same `hash`.
pub fn look_again(
    file: &File,
    attributes: &FileAttributes,
    hash: &Hash,
    job: &mut Job,
    pool: &Pool,
    buf: &mut Vec<u8>,
) -> FileResult<ReadEnd> {
    if attributes.is_settled {
        return Ok(ReadEnd::Still);
    }
    attributes.pause();
    let mut pipeline = ChunkPipeline::new(pool, Purpose::Hash);
    let read = read_data(file, attributes, buf, |piece| {
        // A second read counts neither as progress nor as bytes read.
        job.pulse()?;
        pipeline.update(piece)?;
        Ok(true)
    })?;
    let same = pipeline.finish()?.hash == *hash && attributes.has_holes_of(file)?;
    Ok(if same { read } else { ReadEnd::Changed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_may_be_going_on_for_a_moment_after_its_stamp() {
        let at = |secs, millis: u32| Time { secs, nanos: millis * 1_000_000 };
        let fine = |millis| is_just_written(at(50, 500), at(50, millis));
        assert!(fine(500) && fine(599) && !fine(600) && !fine(999));
        // A time in whole seconds hides the fraction of the second.
        let whole = |secs, millis| is_just_written(at(50, 0), at(secs, millis));
        assert!(whole(50, 0) && whole(51, 999) && whole(52, 99) && !whole(52, 100));
        assert!(whole(48, 0) && !whole(47, 999), "a clock that is ahead, and one that is wrong");
    }
}
