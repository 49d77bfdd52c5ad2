//! Writing entries into a new tree, beneath its descriptor: directories and files first, links then,
//! directories' metadata last.

use std::collections::HashMap;
use std::fs::File as Output;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use tempfile::SpooledTempFile;

use crate::entry::{extents, Entry, File, Metadata, Node, Path};
use crate::error::{Error, Kind, Result};
use crate::format::{parse_entry_line, write_entry_line};
use crate::job::{change, meta, Counter, Job, Problem, ProblemKind};
use crate::platform::{self, Dir, FileKind, Stat};
use crate::store::Store;

use super::contents::Contents;

/// Links and directories remembered in memory before an unlinked temporary file is used.
const DEFERRED_IN_MEMORY: usize = 16 << 20;

/// A tree under construction.
pub struct Tree<'t, 'j> {
    pub job: &'t mut Job<'j>,
    root: Dir,
    /// The directory worked in last.
    current: Option<(Vec<u8>, Dir)>,
    wanted: Wanted,
    links: Deferred,
    dirs: Deferred,
    /// The first restored name of each hard-link set, with its content.
    firsts: HashMap<u64, (Path, File)>,
}

/// Which metadata is set.
#[derive(Clone, Copy)]
struct Wanted {
    mask: u32,
    privileged: bool,
}

impl Wanted {
    fn has(self, bit: u32) -> bool {
        self.mask & bit != 0
    }
}

impl<'t, 'j> Tree<'t, 'j> {
    pub fn new(root: Dir, job: &'t mut Job<'j>) -> Self {
        let privileged = platform::is_privileged();
        let default = if privileged { meta::ALL } else { meta::ALL & !meta::OWNER };
        let wanted = Wanted { mask: job.options.restore_metadata.unwrap_or(default), privileged };
        let (links, dirs) = (Deferred::new(), Deferred::new());
        Tree { job, root, current: None, wanted, links, dirs, firsts: HashMap::new() }
    }

    /// Writes one entry, or remembers it for later.
    pub fn entry(&mut self, store: &mut dyn Store, contents: &mut Contents, entry: &Entry) -> Result<()> {
        self.job.step(entry.path.as_bytes())?;
        match &entry.node {
            Node::Dir => self.directory(entry),
            Node::Symlink(_) => self.links.push(entry),
            Node::File(file) => match self.firsts.get(&file.link) {
                Some((_, first)) if file.link != 0 && same_bytes(first, file) => self.links.push(entry),
                _ => self.file(store, contents, entry, file),
            },
            Node::Fifo => self.special(entry, FileKind::Fifo, 0),
            Node::Char(rdev) => self.special(entry, FileKind::Char, *rdev),
            Node::Block(rdev) => self.special(entry, FileKind::Block, *rdev),
        }
    }

    fn directory(&mut self, entry: &Entry) -> Result<()> {
        self.dirs.push(entry)?;
        if entry.path.is_root() {
            return self.restored(entry);
        }
        let made = self.parent(entry)?.mkdir(entry.path.name(), 0o700);
        made.map_err(|e| clash(&e, "make the directory", entry))?;
        self.restored(entry)
    }

    fn file(
        &mut self,
        store: &mut dyn Store,
        contents: &mut Contents,
        entry: &Entry,
        file: &File,
    ) -> Result<()> {
        let created = self.parent(entry)?.create_file(entry.path.name(), 0o600);
        let output = created.map_err(|e| clash(&e, "create", entry))?;
        if let Some(loss) = self.fill(store, contents, entry, file, &output)? {
            self.parent(entry)?
                .unlink(entry.path.name())
                .map_err(|e| Error::io("remove", &entry.path, &e))?;
            return self.lost(contents, entry, loss);
        }
        self.metadata(&entry.path, &entry.meta, output.as_fd())?;
        if file.link != 0 {
            self.firsts.entry(file.link).or_insert_with(|| (entry.path.clone(), file.clone()));
        }
        self.restored(entry)
    }

    /// Writes a file's extents and checks what was written against its size and hash. Returns why the
    /// content is lost, if it is; an error ends the restore.
    fn fill(
        &mut self,
        store: &mut dyn Store,
        contents: &mut Contents,
        entry: &Entry,
        file: &File,
        output: &Output,
    ) -> Result<Option<Error>> {
        let write_error = |e: io::Error| Error::io("write", &entry.path, &e);
        if !file.holes.is_empty() {
            output.set_len(file.size).map_err(write_error)?;
        }
        let mut hasher = blake3::Hasher::new();
        let mut out = ExtentWriter {
            output,
            extents: extents(file.size, &file.holes).into_iter(),
            now: (0, 0),
            written: 0,
        };
        let job = &mut *self.job;
        let mut stopped = None;
        let read = contents.read(store, entry, &mut |bytes| {
            hasher.update(bytes);
            let taken = out.write(bytes).map_err(write_error).and_then(|()| {
                job.report.count(Counter::BytesRead, bytes.len() as u64);
                job.report.count(Counter::BytesWritten, bytes.len() as u64);
                job.advance(bytes.len() as u64)
            });
            taken.inspect_err(|error| stopped = Some(error.clone()))
        });
        if let Some(error) = stopped {
            return Err(error);
        }
        match read {
            Ok(()) if out.written == file.data_len() && file.hash == hasher.finalize().into() => Ok(None),
            Ok(()) => Ok(Some(contents.differs(entry, file))),
            Err(error) if matches!(error.kind, Kind::Cancelled | Kind::Storage | Kind::Panic) => Err(error),
            Err(error) => Ok(Some(error)),
        }
    }

    /// Lists a file whose content is lost: which file, in which archive, where and why.
    fn lost(&mut self, contents: &Contents, entry: &Entry, error: Error) -> Result<()> {
        let kind = if error.kind == Kind::Missing { ProblemKind::Missing } else { ProblemKind::Damaged };
        let named = error.path.as_ref().map(|name| String::from_utf8_lossy(name).into_owned());
        let archive = named.or_else(|| contents.archive_of(entry).map(str::to_string)).unwrap_or_default();
        let detail = format!("{archive}: {}", error.detail);
        let told =
            Error { op: "restore".into(), path: Some(entry.path.as_bytes().to_vec()), detail, ..error };
        let mut problem = Problem::new(kind, entry.path.as_bytes(), &told).in_file(&archive);
        problem.snapshot = self.job.report.snapshot;
        self.job.problem(problem, told)
    }

    fn special(&mut self, entry: &Entry, kind: FileKind, rdev: u64) -> Result<()> {
        if !self.wanted.has(meta::SPECIAL) {
            return Ok(());
        }
        match self.parent(entry)?.mknod(entry.path.name(), kind, 0o600, rdev) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let error = Error::io(format!("make the {}", entry.node.word()), &entry.path, &error);
                return self.job.trouble(ProblemKind::Metadata, entry.path.as_bytes(), error);
            }
            Err(error) => return Err(clash(&error, "make", entry)),
        }
        self.metadata_by_path(entry)?;
        self.restored(entry)
    }

    /// Makes the links, now that nothing is written through names any more.
    pub fn make_links(&mut self, store: &mut dyn Store, contents: &mut Contents) -> Result<()> {
        let mut links = std::mem::replace(&mut self.links, Deferred::new());
        links.replay(|entry| {
            self.job.pulse()?;
            match &entry.node {
                Node::Symlink(target) => {
                    let made = self.parent(&entry)?.symlink(target, entry.path.name());
                    made.map_err(|e| clash(&e, "make the symbolic link", &entry))?;
                    self.metadata_by_path(&entry)?;
                }
                Node::File(file) => return self.hard_link(store, contents, &entry, file),
                _ => {}
            }
            self.restored(&entry)
        })
    }

    /// Links another name of a set. Where that cannot be (too many names, a file system without links), the
    /// name gets a file of its own, and that is a problem.
    fn hard_link(
        &mut self,
        store: &mut dyn Store,
        contents: &mut Contents,
        entry: &Entry,
        file: &File,
    ) -> Result<()> {
        let Some((first, _)) = self.firsts.get(&file.link) else { return Ok(()) };
        let first = first.clone();
        let from = self.root.open_dir(first.parent().unwrap_or(&[]));
        let from = from.map_err(|e| Error::io("open the directory of", &first, &e))?;
        match self.parent(entry)?.hard_link(&from, first.name(), entry.path.name()) {
            Ok(()) => self.restored(entry),
            Err(error) if cannot_link(&error) => {
                let told = Error::io("link to its first name", &entry.path, &error);
                self.job.trouble(ProblemKind::Metadata, entry.path.as_bytes(), told)?;
                self.file(store, contents, entry, file)
            }
            Err(error) => Err(clash(&error, "link", entry)),
        }
    }

    /// Sets the metadata of all directories but the root, each after everything below it, in the tree's
    /// final place. Returns the root's.
    pub fn finish_dirs(&mut self, root: Dir) -> Result<Metadata> {
        self.root = root;
        self.current = None;
        let mut dirs = std::mem::replace(&mut self.dirs, Deferred::new());
        // The open directories are prefixes of one path.
        let mut path = Path::root();
        let mut open: Vec<(usize, Metadata)> = Vec::new();
        dirs.replay(|entry| {
            while let Some((len, _)) =
                open.last().filter(|(len, _)| !entry.path.is_within(&path.as_bytes()[..*len]))
            {
                let dir = prefix(&path, *len)?;
                self.finish_dir(&dir, open.pop().map(|(_, meta)| meta))?;
            }
            open.push((entry.path.as_bytes().len(), entry.meta));
            path = entry.path;
            Ok(())
        })?;
        while let Some((len, meta)) = open.pop() {
            if len == 0 {
                return Ok(meta);
            }
            self.finish_dir(&prefix(&path, len)?, Some(meta))?;
        }
        Err(Error::new(Kind::Corrupt, "restore", "the snapshot has no root"))
    }

    /// Sets the root's own metadata: the last thing that is done to the tree.
    pub fn finish_root(&mut self, meta: Metadata) -> Result<()> {
        let root = self.root.try_clone().map_err(|e| Error::io("open the destination", b"", &e))?;
        self.metadata(&Path::root(), &meta, root.as_fd())
    }

    fn finish_dir(&mut self, path: &Path, meta: Option<Metadata>) -> Result<()> {
        let Some(meta) = meta else { return Ok(()) };
        self.job.pulse()?;
        let dir =
            self.root.open_dir(path.as_bytes()).map_err(|e| Error::io("open the directory", path, &e))?;
        self.metadata(path, &meta, dir.as_fd())
    }

    fn restored(&mut self, entry: &Entry) -> Result<()> {
        self.job.report.count(Counter::Restored, 1);
        self.job.change(change::CREATED, None, Some(entry))
    }

    /// The directory that holds `entry`. In path order most entries share it with the one before.
    fn parent(&mut self, entry: &Entry) -> Result<&Dir> {
        let wanted = entry.path.parent().unwrap_or(&[]);
        if self.current.as_ref().is_none_or(|(path, _)| path != wanted) {
            let below = self.current.as_ref().and_then(|(path, dir)| Some((dir, below(wanted, path)?)));
            let opened = match below {
                Some((dir, rest)) => dir.open_dir(rest),
                None => self.root.open_dir(wanted),
            };
            let dir = opened.map_err(|e| Error::io("open the directory of", &entry.path, &e))?;
            self.current = Some((wanted.to_vec(), dir));
        }
        match &self.current {
            Some((_, dir)) => Ok(dir),
            None => Ok(&self.root),
        }
    }

    /// Sets what is open: owner, extended attributes, mode, times, in this order, as each undoes part of
    /// the ones after it.
    fn metadata(&mut self, path: &Path, data: &Metadata, fd: BorrowedFd<'_>) -> Result<()> {
        self.attempt(path, meta::OWNER, "set the owner of", || platform::set_owner(fd, data.uid, data.gid))?;
        self.xattrs(path, data, fd)?;
        let mode = self.mode(data, || platform::stat_fd(fd));
        self.attempt(path, meta::MODE, "set the mode of", || platform::set_mode(fd, mode?))?;
        self.attempt(path, meta::TIMES, "set the times of", || platform::set_times(fd, data.mtime))
    }

    /// The same for what cannot be opened: links and special files.
    fn metadata_by_path(&mut self, entry: &Entry) -> Result<()> {
        let (path, name, data) = (&entry.path, entry.path.name(), &entry.meta);
        let dir = self.parent(entry)?.try_clone();
        let dir = dir.map_err(|e| Error::io("open the directory of", path, &e))?;
        let own = || dir.set_owner_of(name, data.uid, data.gid);
        self.attempt(path, meta::OWNER, "set the owner of", own)?;
        if !data.xattrs.is_empty() {
            let fd = dir.open_path(name).map_err(|e| Error::io("open", path, &e))?;
            self.xattrs(path, data, fd.as_fd())?;
        }
        if !matches!(entry.node, Node::Symlink(_)) {
            let mode = self.mode(data, || dir.stat(name));
            self.attempt(path, meta::MODE, "set the mode of", || dir.set_mode_of(name, mode?))?;
        }
        self.attempt(path, meta::TIMES, "set the times of", || dir.set_times_of(name, data.mtime))
    }

    /// setuid only with the owner, setgid only with the group that they were given with. On a directory
    /// setgid gives no right.
    fn mode(&self, data: &Metadata, now: impl FnOnce() -> io::Result<Stat>) -> io::Result<u32> {
        if data.mode & 0o6000 == 0 {
            return Ok(data.mode);
        }
        let now = now()?;
        let mut mode = data.mode;
        if !self.wanted.has(meta::SETID) || now.uid != data.uid {
            mode &= !0o4000;
        }
        if !self.wanted.has(meta::SETID) || (now.gid != data.gid && now.kind != FileKind::Dir) {
            mode &= !0o2000;
        }
        Ok(mode)
    }

    /// ACLs come last: they change the mode, and where it allows its owner no writing it allows no `user.*`.
    fn xattrs(&mut self, path: &Path, data: &Metadata, fd: BorrowedFd<'_>) -> Result<()> {
        let (acls, others): (Vec<_>, Vec<_>) =
            data.xattrs.iter().partition(|(name, _)| name.starts_with(b"system.posix_acl_"));
        for (name, value) in others.into_iter().chain(acls) {
            // Without privilege these can never be set, like owners.
            let reserved = name.starts_with(b"security.") || name.starts_with(b"trusted.");
            if reserved && !self.wanted.privileged {
                continue;
            }
            let set = || platform::set_xattr(fd, name, value);
            self.attempt(path, meta::XATTRS, "set an extended attribute of", set)?;
        }
        Ok(())
    }

    /// Sets one thing if it is wanted; a failure is a problem.
    fn attempt(
        &mut self,
        path: &Path,
        bit: u32,
        op: &str,
        set: impl FnOnce() -> io::Result<()>,
    ) -> Result<()> {
        if !self.wanted.has(bit) {
            return Ok(());
        }
        match set() {
            Ok(()) => Ok(()),
            Err(error) => {
                self.job.trouble(ProblemKind::Metadata, path.as_bytes(), Error::io(op, path, &error))
            }
        }
    }
}

fn prefix(path: &Path, len: usize) -> Result<Path> {
    Path::new(&path.as_bytes()[..len]).map_err(|what| Error::new(Kind::Panic, "restore", what))
}

/// Errors after which a hard link can be a file of its own.
fn cannot_link(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    matches!(code, Some(libc::EMLINK | libc::EPERM | libc::EOPNOTSUPP | libc::EXDEV | libc::ENOSYS))
}

/// `path` relative to `dir`, if it lies strictly below.
fn below<'p>(path: &'p [u8], dir: &[u8]) -> Option<&'p [u8]> {
    match dir {
        b"" => Some(path),
        _ => path.strip_prefix(dir)?.strip_prefix(b"/"),
    }
}

fn same_bytes(a: &File, b: &File) -> bool {
    a.hash == b.hash && a.size == b.size && a.holes == b.holes
}

/// On a file system that folds names, two entries can meet: an error that names the path, no silent merge.
fn clash(error: &io::Error, op: &str, entry: &Entry) -> Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let detail = "another entry already has this name here: the file system does not tell them apart";
            Error { os_code: error.raw_os_error().unwrap_or(0), ..Error::new(Kind::Exists, op, detail) }
                .at(&entry.path)
        }
        _ => Error::io(op, &entry.path, error),
    }
}

/// Writes a stream of data into a file's extents.
struct ExtentWriter<'f> {
    output: &'f Output,
    extents: std::vec::IntoIter<(u64, u64)>,
    /// Where the next byte goes, and how much room there is.
    now: (u64, u64),
    written: u64,
}

impl ExtentWriter<'_> {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.now.1 == 0 {
                // More data than extents: the length check tells.
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

/// Entries set aside for a later pass, as lines of a state.
struct Deferred {
    spool: SpooledTempFile,
    line: Vec<u8>,
}

impl Deferred {
    fn new() -> Self {
        Deferred { spool: SpooledTempFile::new(DEFERRED_IN_MEMORY), line: Vec::new() }
    }

    fn push(&mut self, entry: &Entry) -> Result<()> {
        self.line.clear();
        write_entry_line(entry, &mut self.line);
        self.line.push(b'\n');
        self.spool.write_all(&self.line).map_err(|e| Error::io("use a temporary file for", &entry.path, &e))
    }

    fn replay(&mut self, mut each: impl FnMut(Entry) -> Result<()>) -> Result<()> {
        let trouble = |e: &io::Error| Error::io("read a temporary file", b"", e);
        self.spool.seek(SeekFrom::Start(0)).map_err(|e| trouble(&e))?;
        let mut lines = BufReader::with_capacity(1 << 16, &mut self.spool);
        loop {
            self.line.clear();
            if lines.read_until(b'\n', &mut self.line).map_err(|e| trouble(&e))? == 0 {
                return Ok(());
            }
            self.line.pop();
            each(parse_entry_line(&self.line)?)?;
        }
    }
}
