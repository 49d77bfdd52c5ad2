//! The side of the tree: the current entries.

use std::fs;
use std::io;
use std::os::fd::AsFd;

use crate::entry::{Entry, File, FileType, Hash, InodeFlags, Node, Path, Place};
use crate::error::{Result, is_shortage};
use crate::job::Job;
use crate::platform::{
    Dir, FlagsAndProject, Named, Names, Stat, patiently, read_flags, read_xattrs, stat_file,
};
use crate::stamp::Time;
use crate::walk::{Devices, Source, WalkedEntry};

use super::content::{LiveFileReader, ReadOutcome};
use super::links::ComparedLinks;

/// A file that changes while it is read is read at most this many times.
const TRIES: usize = 3;

pub struct LiveTree {
    root: Dir,
    source: Source,
    devices: Devices,
    names: Names,
    pub links: ComparedLinks,
    buf: Vec<u8>,
}

/// An open file of the tree.
struct OpenLiveFile {
    file: fs::File,
    stat: Stat,
    /// Whether an equal size and equal times after the read prove that the file did not change meanwhile.
    is_settled: bool,
}

/// A file that was read.
pub struct ComparedFile {
    pub entry: Entry,
    /// Whether the file has the recorded bytes.
    pub same: bool,
    /// Whether the file did not change while it was read.
    pub still: bool,
    /// The result of reading the extended attributes and flags.
    pub attributes: io::Result<()>,
}

impl LiveTree {
    pub fn new(root: Dir) -> io::Result<Self> {
        let (source, devices) = (Source::new(root.try_clone()?), Devices::default());
        Ok(LiveTree {
            root,
            source,
            devices,
            names: Names::new(),
            links: ComparedLinks::default(),
            buf: Vec::new(),
        })
    }

    /// Records the device and the times of an entry that the walk found. Call this function before the entry is
    /// examined.
    pub fn note(&mut self, walked: &WalkedEntry) {
        self.devices.see(&self.root, &walked.path, &walked.stat);
    }

    /// The entry that the walk found, without extended attributes and flags. The hash of a file is unknown.
    pub fn entry(&mut self, walked: &WalkedEntry) -> Entry {
        let stat = &walked.stat;
        let target = walked.target.clone().unwrap_or_default();
        let node = Node::without_content(stat.kind, target, stat.rdev)
            .unwrap_or_else(|| file_node(stat, Hash::UNKNOWN, &[]));
        self.make(&walked.path, stat, node)
    }

    fn make(&mut self, path: &Path, stat: &Stat, node: Node) -> Entry {
        let place = Place { ino: Some(stat.ino.into()), ctime: stat.ctime, ..Place::default() };
        let link = self.links.link(path, stat);
        Entry { link, ..Entry::new(path.clone(), node, stat.metadata(&mut self.names), place) }
    }

    /// Adds the extended attributes, and the flags of a file or directory. Opens a file or directory to read its
    /// flags. Does not open other entries, because opening a device or a FIFO can have an effect. Returns false if
    /// the flags are unknown, because the right to open the entry is missing.
    pub fn add_attributes(&mut self, entry: &mut Entry) -> io::Result<bool> {
        let fd = patiently(is_shortage, || self.source.open_path(&entry.path))?;
        entry.meta.xattrs = read_xattrs(fd.as_fd())?;
        if matches!(entry.node, Node::File(_) | Node::Dir) {
            match patiently(is_shortage, || Named::from(fd.as_fd()).open_for_reading()) {
                Ok(opened) => set_flags(entry, read_flags(opened)?),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Reads a file and compares it with `then`. A file of another size is not read. The inner error is an error of the
    /// file.
    pub fn compare(&mut self, path: &Path, then: &File, job: &mut Job) -> Result<io::Result<ComparedFile>> {
        let mut left = then.size;
        for last in (1..=TRIES).map(|try_no| try_no == TRIES) {
            let looked = match self.open(path) {
                Ok(opened) => self.compare_once(path, &opened, then, &mut left, job)?,
                Err(error) => Err(error),
            };
            match looked {
                Ok(looked) if !looked.still && !last => {}
                other => {
                    job.advance(left)?;
                    return Ok(other);
                }
            }
        }
        Ok(Err(io::Error::other("it changes all the time")))
    }

    fn open(&mut self, path: &Path) -> io::Result<OpenLiveFile> {
        let file = patiently(is_shortage, || self.source.open(path))?;
        let now = Time::now();
        let stat = stat_file(&file)?;
        match stat.kind {
            FileType::File => Ok(OpenLiveFile { is_settled: self.devices.prove(&stat, now), file, stat }),
            _ => Err(io::Error::other("it is no longer a file")),
        }
    }

    fn compare_once(
        &mut self,
        path: &Path,
        opened: &OpenLiveFile,
        then: &File,
        left: &mut u64,
        job: &mut Job,
    ) -> Result<io::Result<ComparedFile>> {
        let OpenLiveFile { file, stat, is_settled } = opened;
        let mut reader = LiveFileReader { job, buf: &mut self.buf, left: *left };
        let found = match (stat.size == then.size, self.links.content(stat)) {
            (false, _) => Ok(ReadOutcome::Differs),
            (true, Some(hash)) if then.holes.is_empty() => Ok(ReadOutcome::Hash(hash)),
            (true, _) => reader.read(file, then)?,
        };
        // Times that are not settled prove nothing, because a later write may leave the same times. So a second read
        // must find the same bytes. If the first read found the recorded content, no second read is needed: these
        // bytes are one version of the file.
        let again = match &found {
            Ok(ReadOutcome::Hash(hash)) if !is_settled && *hash != then.hash => reader.read(file, then)?,
            _ => found.as_ref().map_or(Ok(ReadOutcome::Shrunk), |found| Ok(*found)),
        };
        *left = reader.left;
        let (found, agree, after) =
            match found.and_then(|found| Ok((found, again? == found, stat_file(file)?))) {
                Ok(looked) => looked,
                Err(error) => return Ok(Err(error)),
            };
        let times = |stat: &Stat| (stat.size, stat.mtime, stat.ctime);
        let still = agree && found != ReadOutcome::Shrunk && times(stat) == times(&after);
        let node = match found {
            ReadOutcome::Hash(hash) => {
                if still && then.holes.is_empty() {
                    self.links.remember(path, stat, hash);
                }
                file_node(stat, hash, &then.holes)
            }
            ReadOutcome::Differs | ReadOutcome::Shrunk => file_node(stat, Hash::UNKNOWN, &[]),
        };
        let mut entry = self.make(path, stat, node);
        let attributes = read_xattrs(file.as_fd()).map(|xattrs| entry.meta.xattrs = xattrs);
        let attributes = attributes.and_then(|()| read_flags(file).map(|read| set_flags(&mut entry, read)));
        Ok(Ok(ComparedFile { entry, same: found == ReadOutcome::Hash(then.hash), still, attributes }))
    }
}

fn file_node(stat: &Stat, hash: Hash, holes: &[(u64, u64)]) -> Node {
    Node::File(File { size: stat.size, hash, holes: holes.to_vec() })
}

fn set_flags(entry: &mut Entry, read: FlagsAndProject) {
    (entry.meta.flags, entry.meta.project) = (InodeFlags::of(read.flags), read.project);
}
