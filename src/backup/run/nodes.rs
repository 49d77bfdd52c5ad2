//! Entries of paths that are not files.

use std::io;
use std::os::fd::AsFd;

use crate::entry::{Entry, Metadata, Node, Path, Place};
use crate::error::{Error, Kind, Result};
use crate::job::ProblemKind;
use crate::platform::{self, Stat};
use crate::stamp::Time;

use super::super::new_entry::{StoredAs, judge};
use super::super::reading::{metadata, open_node};
use super::Run;

impl Run<'_, '_> {
    /// Makes the entry of a path that is not a file. `unseen` marks a directory that could not be listed
    /// whole.
    pub(super) fn node(
        &mut self,
        path: &Path,
        stat: &Stat,
        (target, unseen): (Vec<u8>, bool),
        old: Option<Entry>,
    ) -> Result<()> {
        if let Some(first) = self.first_name(path, stat)? {
            return self.link(path, stat, first, old.as_ref());
        }
        let old = match old {
            Some(old) if !unseen && self.seems_unchanged(&old, stat) => {
                return self.unchanged(old, stat);
            }
            old => old,
        };
        let Some(node) = Node::without_content(stat.kind, target, stat.rdev) else {
            return Err(Error::new(Kind::Panic, "store", "a file without its content").at(path));
        };
        let (meta, btime, dirty) = self.node_metadata(path, stat)?;
        let place = Place { ino: Some(stat.ino.into()), ctime: stat.ctime, btime, dirty, ..Place::default() };
        let entry = Entry::new(path.clone(), node, meta, place);
        let mut made = judge(entry, old.as_ref(), StoredAs::Same);
        made.entry.place.dirty |= unseen;
        self.write_linked(made, stat, old.as_ref())
    }

    /// Reads the metadata of an entry that is not a file. If the entry is gone or replaced by now, it gets
    /// the stat of the first pass, and is dirty.
    fn node_metadata(&mut self, path: &Path, stat: &Stat) -> Result<(Metadata, Option<Time>, bool)> {
        let opened = self.open(|source| open_node(source, path, stat.kind));
        let read = opened.and_then(|fd| {
            let now = platform::stat_fd(fd.as_fd())?;
            if (now.dev, now.ino, now.kind) != (stat.dev, stat.ino, stat.kind) {
                return Err(io::Error::other("it was replaced during the backup"));
            }
            Ok((metadata(stat, fd.as_fd(), &mut self.names)?, platform::birth_time(fd)))
        });
        read.map(|(meta, btime)| (meta, btime, false)).or_else(|error| {
            let told = Error::io("read the metadata of", path, &error);
            self.job.trouble(ProblemKind::Metadata, path.as_bytes(), told)?;
            Ok((stat.metadata(&mut self.names), None, true))
        })
    }
}
