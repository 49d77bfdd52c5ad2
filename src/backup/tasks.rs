//! The tasks that the first pass leaves to the second, in path order, in a private temporary file.

use std::io::{self, BufReader, Read, Write};

use crate::entry::{FileType, Path};
use crate::error::Result;
use crate::platform::Stat;
use crate::spool::{Spool, SpoolReader, spool_error};
use crate::stamp::Time;

/// Up to this many bytes of tasks stay in memory; more go to a temporary file.
const FINDINGS_IN_MEMORY: usize = 8 << 20;

/// A path of the source, as the first pass found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub path: Path,
    pub state: PathState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathState {
    Node {
        stat: Stat,
        /// The target of a symbolic link; else empty.
        target: Vec<u8>,
        /// The errno that broke off the listing of a directory.
        broken: Option<i32>,
    },
    /// A `stat` failed with this errno.
    Unreadable(i32),
    /// The directory listed the name, then the name was gone.
    Vanished,
    Socket(Stat),
}

/// The task for one path of the parent, the source or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Copy the parent's entry unchanged.
    Carry,
    /// Only the parent has the path.
    Old,
    /// Only the source has the path.
    New(Finding),
    Both(Finding),
}

/// Writes tasks in path order. The second pass reads them together with the parent's entries.
pub struct TasksWriter(Spool);

impl TasksWriter {
    pub fn new() -> Self {
        TasksWriter(Spool::new(FINDINGS_IN_MEMORY))
    }

    pub fn push(&mut self, task: &Task) -> Result<()> {
        let (kind, finding) = match task {
            Task::Carry => (0, None),
            Task::Old => (1, None),
            Task::New(finding) => (2, Some(finding)),
            Task::Both(finding) => (3, Some(finding)),
        };
        let written = self.0.write_all(&[kind]);
        written.and_then(|()| finding.map_or(Ok(()), |f| self.write(f))).map_err(|e| spool_error(&e))
    }

    fn write(&mut self, finding: &Finding) -> io::Result<()> {
        let out = &mut self.0;
        write_bytes(out, finding.path.as_bytes())?;
        match &finding.state {
            PathState::Node { stat, target, broken } => {
                out.write_all(&[0])?;
                write_stat(out, stat)?;
                write_bytes(out, target)?;
                out.write_all(&[u8::from(broken.is_some())])?;
                out.write_all(&broken.unwrap_or(0).to_le_bytes())
            }
            PathState::Unreadable(code) => {
                out.write_all(&[1])?;
                out.write_all(&code.to_le_bytes())
            }
            PathState::Vanished => out.write_all(&[2]),
            PathState::Socket(stat) => {
                out.write_all(&[3])?;
                write_stat(out, stat)
            }
        }
    }

    pub fn finish(self) -> Tasks {
        Tasks(BufReader::with_capacity(1 << 16, self.0.into_reader()))
    }
}

/// Reads the tasks in the order of writing.
pub struct Tasks(BufReader<SpoolReader<Spool>>);

impl Tasks {
    fn read(&mut self) -> io::Result<Task> {
        Ok(match read_array::<1>(&mut self.0)?[0] {
            0 => Task::Carry,
            1 => Task::Old,
            2 => Task::New(self.read_finding()?),
            _ => Task::Both(self.read_finding()?),
        })
    }

    fn read_finding(&mut self) -> io::Result<Finding> {
        let path = read_bytes(&mut self.0)?;
        let path = Path::new(path).map_err(io::Error::other)?;
        let state = match read_array::<1>(&mut self.0)?[0] {
            0 => {
                let stat = read_stat(&mut self.0)?;
                let target = read_bytes(&mut self.0)?;
                let is_broken = read_array::<1>(&mut self.0)?[0] != 0;
                let code = i32::from_le_bytes(read_array(&mut self.0)?);
                PathState::Node { stat, target, broken: is_broken.then_some(code) }
            }
            1 => PathState::Unreadable(i32::from_le_bytes(read_array(&mut self.0)?)),
            2 => PathState::Vanished,
            _ => PathState::Socket(read_stat(&mut self.0)?),
        };
        Ok(Finding { path, state })
    }
}

impl Iterator for Tasks {
    type Item = Result<Task>;

    fn next(&mut self) -> Option<Self::Item> {
        use std::io::BufRead;
        match self.0.fill_buf() {
            Ok([]) => None,
            Ok(_) => Some(self.read().map_err(|e| spool_error(&e))),
            Err(error) => Some(Err(spool_error(&error))),
        }
    }
}

fn write_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(&(bytes.len() as u32).to_le_bytes())?;
    out.write_all(bytes)
}

fn read_bytes(src: &mut impl Read) -> io::Result<Vec<u8>> {
    let len = u32::from_le_bytes(read_array(src)?);
    let mut bytes = vec![0; len as usize];
    src.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_array<const N: usize>(src: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    src.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Writes the eight-byte fields first, then the four-byte fields, all little-endian.
fn write_stat(out: &mut impl Write, stat: &Stat) -> io::Result<()> {
    let wide = [
        stat.size,
        stat.mtime.secs as u64,
        stat.ctime.secs as u64,
        stat.ino,
        stat.dev,
        stat.nlink,
        stat.rdev,
    ];
    for word in wide {
        out.write_all(&word.to_le_bytes())?;
    }
    for word in [
        stat.mode,
        stat.uid,
        stat.gid,
        stat.mtime.nanos,
        stat.ctime.nanos,
        KINDS.iter().position(|k| *k == stat.kind).unwrap_or(0) as u32,
    ] {
        out.write_all(&word.to_le_bytes())?;
    }
    Ok(())
}

/// All file types. A type is written as its index here.
const KINDS: [FileType; 7] = [
    FileType::File,
    FileType::Dir,
    FileType::Symlink,
    FileType::Fifo,
    FileType::Char,
    FileType::Block,
    FileType::Socket,
];

fn read_stat(src: &mut impl Read) -> io::Result<Stat> {
    let mut wide = [0u64; 7];
    for word in &mut wide {
        *word = u64::from_le_bytes(read_array(src)?);
    }
    let mut narrow = [0u32; 6];
    for word in &mut narrow {
        *word = u32::from_le_bytes(read_array(src)?);
    }
    let [size, mtime, ctime, ino, dev, nlink, rdev] = wide;
    let [mode, uid, gid, mtime_nanos, ctime_nanos, kind] = narrow;
    let kind = KINDS.get(kind as usize).copied();
    Ok(Stat {
        kind: kind.ok_or_else(|| io::Error::other("unknown type in a spool"))?,
        mode,
        uid,
        gid,
        size,
        mtime: Time { secs: mtime as i64, nanos: mtime_nanos },
        ctime: Time { secs: ctime as i64, nanos: ctime_nanos },
        ino,
        dev,
        nlink,
        rdev,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_come_back_as_they_went_in() {
        let time = Time { secs: -5, nanos: 999_999_999 };
        let stat = Stat {
            kind: FileType::Symlink,
            mode: 0o4755,
            uid: 1,
            gid: 2,
            size: u64::MAX,
            mtime: time,
            ctime: Time { secs: 9, nanos: 1 },
            ino: 4,
            dev: 5,
            nlink: 6,
            rdev: 7,
        };
        let node = |broken| PathState::Node { stat, target: b"t\xff".to_vec(), broken };
        let socket = PathState::Socket(Stat { kind: FileType::Socket, ..stat });
        let whats = [node(None), node(Some(5)), PathState::Unreadable(13), PathState::Vanished, socket];
        let findings = whats
            .into_iter()
            .enumerate()
            .map(|(n, state)| Finding { path: Path::new(vec![b'a' + n as u8]).unwrap(), state });
        let of = |finding: Finding| [Task::Carry, Task::New(finding.clone()), Task::Old, Task::Both(finding)];
        let all: Vec<_> = findings.flat_map(of).collect();
        let mut writer = TasksWriter::new();
        all.iter().for_each(|task| writer.push(task).unwrap());
        let back: Result<Vec<_>> = writer.finish().collect();
        assert_eq!(back.unwrap(), all);
    }
}
