//! Looks at the file or directory that already has an entry's name, and decides what happens to it.

use std::fs::File as Open;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use crate::entry::{Entry, File, FileType, Hash, Metadata, Node, Path, Place, extents, overlaps};
use crate::error::{Error, Kind, Result, is_shortage};
use crate::job::Overwrite;
use crate::platform::{self, Stat};
use crate::text::encode_name;

use super::Tree;
use super::target_dir::TargetDir;

/// The decision about one entry.
#[derive(Clone, Copy)]
pub(super) enum EntryVerdict {
    /// Nothing has the name: make the entry.
    Create,
    /// Replace the existing file or directory.
    Replace(Stat),
    /// The content is right. Set the metadata.
    Refresh(Stat),
    Right(Stat),
    /// The existing file or directory stays, because the policy says so.
    Keep(Stat),
}

/// The work that remains after a verdict.
pub(super) enum Next {
    Done,
    /// Make the entry. The value is the existing file or directory to replace.
    Create(Option<Stat>),
}

impl Tree<'_, '_> {
    /// The existing file or directory under an entry's name. `Exists` if it must not be touched.
    pub(super) fn standing(&mut self, entry: &Entry) -> Result<Option<Stat>> {
        if !self.target.is_existing {
            return Ok(None);
        }
        match self.target.stat(&entry.path) {
            Ok(stat) => {
                self.refuse_own(&entry.path, &stat)?;
                self.is_named_so(entry, &stat).map(|()| Some(stat))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // In a dry run, a file that would have been replaced by a directory still exists.
            Err(error) if self.job.options.dry_run && is_no_directory(&error) => Ok(None),
            Err(error) => Err(Error::io("look at", &entry.path, &error)),
        }
    }

    /// `Exists` if the file that was found has a different spelling of the name. On a file system that ignores case,
    /// one entry must not replace another, for example `a` must not replace `A`.
    fn is_named_so(&mut self, entry: &Entry, now: &Stat) -> Result<()> {
        if entry.path == self.target.base {
            return Ok(());
        }
        let trouble = |e: &io::Error| Error::io("look into the directory of", &entry.path, e);
        let target_dir = self.target.target_dir(entry)?;
        let Some(listed) = target_dir.names_if_case_ignored(entry.path.name()).map_err(|e| trouble(&e))?
        else {
            return Ok(());
        };
        if listed.contains(entry.path.name()) {
            return Ok(());
        }
        let is_it = |name: &[u8]| {
            // Some file systems give every spelling its own inode number.
            let same = || target_dir.dir.stat(name).is_ok_and(|stat| stat.id() == now.id());
            name.eq_ignore_ascii_case(entry.path.name()) || same()
        };
        let now_listed = target_dir.dir.list().names;
        let mut names = listed.iter().chain(now_listed.iter().map(|(name, _)| name));
        let other = names.find(|name| is_it(name)).map_or("?".into(), |name| encode_name(name));
        let detail = format!("the file system takes it for '{other}', which is there");
        let error = Error::new(Kind::Exists, "restore", detail).at(&entry.path);
        Err(Error { os_code: libc::EEXIST, ..error })
    }

    pub(super) fn judge(&mut self, entry: &Entry) -> Result<EntryVerdict> {
        let Some(now) = self.standing(entry)? else { return Ok(EntryVerdict::Create) };
        if entry.node == Node::Dir && now.kind == FileType::Dir {
            self.open_up(entry, &now)?;
        }
        if !self.may_replace(entry, &now) {
            return Ok(kept(entry, now));
        }
        let same = match &entry.node {
            _ if self.is_claimed(entry, &now) => false,
            Node::Dir => now.kind == FileType::Dir,
            Node::File(file) => self.is_file(entry, file, &now)?,
            Node::Symlink(target) => now.kind == FileType::Symlink && self.is_link_to(entry, target)?,
            Node::Fifo => now.kind == FileType::Fifo,
            Node::Char(rdev) => now.kind == FileType::Char && now.rdev == *rdev,
            Node::Block(rdev) => now.kind == FileType::Block && now.rdev == *rdev,
        };
        if !same {
            return self.check_way(entry, &now).map(|()| EntryVerdict::Replace(now));
        }
        self.claim(entry, &now);
        match self.has_attributes(entry, &now)? {
            true => Ok(EntryVerdict::Right(now)),
            // The inode has names that are not part of the snapshot. Their metadata must not change.
            false if self.has_further_names(entry, &now) => Ok(EntryVerdict::Replace(now)),
            false => Ok(EntryVerdict::Refresh(now)),
        }
    }

    /// The verdict on a further name of a hard-link set whose first name is restored. `made`: the first name is a new
    /// file.
    pub(super) fn judge_link(&mut self, entry: &Entry, first: &Path, made: bool) -> Result<EntryVerdict> {
        let Some(now) = self.standing(entry)? else { return Ok(EntryVerdict::Create) };
        if !self.may_replace(entry, &now) {
            return Ok(kept(entry, now));
        }
        let first = self.target.dir_of(first).and_then(|dir| dir.stat(first.name()));
        match first {
            // In a dry run, a first name that would be new still has its old inode, so equal inodes say nothing.
            Ok(first) if first.id() == now.id() && !(made && self.job.options.dry_run) => {
                Ok(EntryVerdict::Right(now))
            }
            _ => self.check_way(entry, &now).map(|()| EntryVerdict::Replace(now)),
        }
    }

    pub(super) fn may_replace(&self, entry: &Entry, now: &Stat) -> bool {
        let is_dir = entry.node == Node::Dir && now.kind == FileType::Dir;
        match self.job.options.overwrite {
            Overwrite::Keep => false,
            // A directory's time changes with every name that appears or disappears in it, also by this restore.
            Overwrite::IfOlder => is_dir || now.mtime < entry.meta.mtime,
            _ => true,
        }
    }

    /// Whether the existing inode stays for an entry outside of the entry's hard-link set. Two entries must not stay
    /// linked to each other unless they belong to the same set.
    fn is_claimed(&self, entry: &Entry, now: &Stat) -> bool {
        let claimed = self.claimed.get(&now.id());
        claimed.is_some_and(|set| set.is_none() || *set != entry.link_set())
    }

    fn claim(&mut self, entry: &Entry, now: &Stat) {
        let set = entry.link_set();
        if now.kind != FileType::Dir && (set.is_some() || now.nlink > 1) {
            self.claimed.insert(now.id(), set);
        }
    }

    /// Whether an existing file has the entry's content.
    fn is_file(&mut self, entry: &Entry, file: &File, now: &Stat) -> Result<bool> {
        if now.kind != FileType::File || now.size != file.size {
            return Ok(false);
        }
        Ok(self.is_believed(entry, now) || self.has_content(entry, file, now)?)
    }

    /// Whether an existing file with the size and time of `entry` counts as equal without being read.
    pub(super) fn is_believed(&self, entry: &Entry, now: &Stat) -> bool {
        let is_different = self.job.options.overwrite == Overwrite::IfDifferent;
        // A missing name of the set would be linked to this inode. If the content is wrong, one more name would get
        // it.
        let is_alone = || self.names.has_all(entry.link_set(), now.id());
        !self.may_replace(entry, now) || (is_different && now.mtime == entry.meta.mtime && is_alone())
    }

    /// Whether an existing inode has names that do not belong to the entry's hard-link set, in the destination or
    /// elsewhere.
    fn has_further_names(&self, entry: &Entry, now: &Stat) -> bool {
        let names = self.names.of_inode(entry.link_set(), now.id());
        let unlinked = self.unlinked.get(&now.id()).copied().unwrap_or(0);
        now.kind != FileType::Dir && now.nlink.saturating_sub(unlinked) > names
    }

    /// Compares the content of an existing file that has the right size. A file that cannot be read counts as
    /// different. A dry run must not make a file readable, so it believes the file's time instead.
    pub(super) fn has_content(&mut self, entry: &Entry, file: &File, now: &Stat) -> Result<bool> {
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

    /// Handles the verdicts that need no new file: nothing to do, or only metadata to set. In a dry run, handles
    /// every verdict, reports the change and writes nothing.
    pub(super) fn unless_right(&mut self, entry: &Entry, verdict: &EntryVerdict) -> Result<Next> {
        let now = match verdict {
            EntryVerdict::Create => None,
            EntryVerdict::Replace(now) => Some(*now),
            EntryVerdict::Refresh(now) if !self.job.options.dry_run => {
                self.metadata_by_name(entry, entry.path.name(), Some(now))?;
                self.told(entry, verdict)?;
                return Ok(Next::Done);
            }
            EntryVerdict::Right(_) | EntryVerdict::Refresh(_) | EntryVerdict::Keep(_) => {
                self.told(entry, verdict)?;
                return Ok(Next::Done);
            }
        };
        if self.job.options.dry_run {
            if now.is_some_and(|now| now.kind == FileType::Dir) && self.job.options.delete_extra {
                self.each_below(&entry.path, &mut |tree, path, now| tree.tell_removed(path, now))?;
            }
            self.would_make_way(entry, verdict);
            self.told(entry, verdict)?;
            return Ok(Next::Done);
        }
        Ok(Next::Create(now))
    }

    /// Notes that an existing inode will lose one name, or would lose it in a dry run.
    pub(super) fn would_make_way(&mut self, entry: &Entry, verdict: &EntryVerdict) {
        if let EntryVerdict::Replace(now) = verdict
            && now.kind != FileType::Dir
            && now.nlink > 1
        {
            self.names.remove(entry.link_set(), now.id());
            *self.unlinked.entry(now.id()).or_default() += 1;
        }
    }

    /// Takes that note back: the name is gone now, or it stays.
    pub(super) fn made_way(&mut self, now: &Stat) {
        if let Some(names) = self.unlinked.get_mut(&now.id()) {
            *names -= 1;
            if *names == 0 {
                self.unlinked.remove(&now.id());
            }
        }
    }

    /// Removes the file or directory under an entry's name, if a rename cannot replace it. A directory that is not
    /// empty goes only if `delete_extra` is set.
    pub(super) fn make_way(&mut self, entry: &Entry, now: &Stat) -> Result<()> {
        let (extra_goes, name) = (self.job.options.delete_extra, entry.path.name());
        let trouble = |e: &io::Error| Error::io("make way for", &entry.path, e);
        let target_dir = self.target.target_dir(entry)?;
        let is_dir = now.kind == FileType::Dir;
        let held = target_dir.hold(name, now).map_err(|e| trouble(&e))?;
        if is_dir && extra_goes {
            self.check_way(entry, now)?;
            self.each_below(&entry.path, &mut |tree, path, now| tree.tell_removed(path, now))?;
        }
        let is_held = target_dir.check_held(name, now, held.as_ref());
        let removed = is_held.and_then(|()| match (is_dir, extra_goes) {
            (true, true) => target_dir.dir.remove_tree(name),
            (true, false) => target_dir.dir.rmdir(name),
            (false, _) => target_dir.dir.unlink(name),
        });
        removed.map_err(|e| trouble(&e))
    }

    /// The name of a new entry until it is complete.
    pub(super) fn work_name(&self, entry: &Entry) -> Vec<u8> {
        if self.target.is_existing { &self.temp } else { entry.path.name() }.to_vec()
    }

    /// Renames a new entry from its temporary name to its own name, if `made` is a success. Removes the temporary
    /// name if not.
    pub(super) fn install<T>(&mut self, entry: &Entry, now: Option<&Stat>, made: Result<T>) -> Result<T> {
        if !self.target.is_existing {
            return made;
        }
        let temp = self.temp.clone();
        let renamed = made.and_then(|made| self.put_in_place(entry, now, &temp).map(|()| made));
        if renamed.is_err() {
            self.remove_temp(entry, &temp);
        }
        renamed
    }

    /// Renames `temp` to the name of `entry`. `now` is the file or directory that has this name.
    pub(super) fn put_in_place(&mut self, entry: &Entry, now: Option<&Stat>, temp: &[u8]) -> Result<()> {
        if let Some(now) = now.filter(|now| now.kind == FileType::Dir) {
            self.make_way(entry, now)?;
        }
        let dir = self.target.parent(entry)?;
        let renamed = match now {
            Some(_) => dir.rename(temp, dir, entry.path.name()),
            None => dir.rename_noreplace(temp, dir, entry.path.name()),
        };
        renamed.map_err(|e| Error::io("put in place", &entry.path, &e))
    }

    /// Removes a temporary name. The caller already reports the error that made this necessary.
    pub(super) fn remove_temp(&mut self, entry: &Entry, temp: &[u8]) {
        if let Ok(dir) = self.target.parent(entry) {
            let _ = dir.unlink(temp);
        }
    }
}

/// Whether an error comes from the state of the system and says nothing about the file.
fn is_trouble_of_now(error: &io::Error) -> bool {
    is_shortage(error) || error.raw_os_error() == Some(libc::EIO)
}

fn is_no_directory(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP))
}

/// The verdict on a file that the policy keeps. Equal kind, time and size count as unchanged, and are not reported as
/// kept.
fn kept(entry: &Entry, now: Stat) -> EntryVerdict {
    let kind = entry.node.file_type();
    let same_size = kind != FileType::File || now.size == entry.size();
    match kind == now.kind && now.mtime == entry.meta.mtime && same_size && kind != FileType::Dir {
        true => EntryVerdict::Right(now),
        false => EntryVerdict::Keep(now),
    }
}

/// An existing file as an entry, to report it to the caller. Content and attributes are not read.
pub(super) fn seen(path: &Path, now: &Stat) -> Entry {
    let node = Node::without_content(now.kind, Vec::new(), now.rdev)
        .unwrap_or_else(|| Node::File(File { size: now.size, hash: Hash::UNKNOWN, holes: Vec::new() }));
    let meta =
        Metadata { mode: now.mode, uid: now.uid, gid: now.gid, mtime: now.mtime, ..Metadata::default() };
    let place = Place { ino: Some(now.ino), ctime: now.ctime, ..Place::default() };
    Entry::new(path.clone(), node, meta, place)
}
