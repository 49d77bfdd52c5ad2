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
use crate::platform::{self, Dir, FileKind};
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
        self.metadata(entry, output.as_fd())?;
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

    /// Lists a file whose content is lost.
    fn lost(&mut self, contents: &Contents, entry: &Entry, error: Error) -> Result<()> {
        let kind = if error.kind == Kind::Missing { ProblemKind::Missing } else { ProblemKind::Damaged };
        let mut problem = Problem::new(kind, entry.path.as_bytes(), &error);
        let named = error.path.as_ref().map(|name| String::from_utf8_lossy(name).into_owned());
        problem.file = named.or_else(|| contents.archive_of(entry).map(str::to_string));
        problem.snapshot = self.job.report.snapshot;
        self.job.problem(problem, error)
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
    pub fn make_links(&mut self) -> Result<()> {
        let mut links = std::mem::replace(&mut self.links, Deferred::new());
        links.replay(|entry| {
            self.job.pulse()?;
            match &entry.node {
                Node::Symlink(target) => {
                    let made = self.parent(&entry)?.symlink(target, entry.path.name());
                    made.map_err(|e| clash(&e, "make the symbolic link", &entry))?;
                    self.metadata_by_path(&entry)?;
                }
                Node::File(file) => self.hard_link(&entry, file)?,
                _ => {}
            }
            self.restored(&entry)
        })
    }

    fn hard_link(&mut self, entry: &Entry, file: &File) -> Result<()> {
        let Some((first, _)) = self.firsts.get(&file.link) else { return Ok(()) };
        let first = first.clone();
        let from = self
            .root
            .open_dir(first.parent().unwrap_or(&[]))
            .map_err(|e| Error::io("open the directory of", &first, &e))?;
        let made = self.parent(entry)?.hard_link(&from, first.name(), entry.path.name());
        made.map_err(|e| clash(&e, "link", entry))
    }

    /// Sets the metadata of all directories, each after everything below it.
    pub fn finish_dirs(&mut self, root: Dir) -> Result<()> {
        self.root = root;
        self.current = None;
        let mut dirs = std::mem::replace(&mut self.dirs, Deferred::new());
        let mut open: Vec<Entry> = Vec::new();
        dirs.replay(|entry| {
            while open.last().is_some_and(|dir| !entry.path.is_within(dir.path.as_bytes())) {
                self.finish_dir(open.pop())?;
            }
            open.push(entry);
            Ok(())
        })?;
        while !open.is_empty() {
            self.finish_dir(open.pop())?;
        }
        Ok(())
    }

    fn finish_dir(&mut self, entry: Option<Entry>) -> Result<()> {
        let Some(entry) = entry else { return Ok(()) };
        self.job.pulse()?;
        let dir = self
            .root
            .open_dir(entry.path.as_bytes())
            .map_err(|e| Error::io("open the directory", &entry.path, &e))?;
        self.metadata(&entry, dir.as_fd())
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
    fn metadata(&mut self, entry: &Entry, fd: BorrowedFd<'_>) -> Result<()> {
        let data = &entry.meta;
        let owned = self.attempt(entry, meta::OWNER, "set the owner of", || {
            platform::set_owner(fd, data.uid, data.gid)
        })?;
        self.xattrs(entry, fd)?;
        let mode = self.mode(data, owned);
        self.attempt(entry, meta::MODE, "set the mode of", || platform::set_mode(fd, mode))?;
        self.attempt(entry, meta::TIMES, "set the times of", || platform::set_times(fd, data.mtime))?;
        Ok(())
    }

    /// The same for what cannot be opened: links and special files.
    fn metadata_by_path(&mut self, entry: &Entry) -> Result<()> {
        let name = entry.path.name();
        let data = &entry.meta;
        let dir = self
            .parent(entry)?
            .try_clone()
            .map_err(|e| Error::io("open the directory of", &entry.path, &e))?;
        let owned = self
            .attempt(entry, meta::OWNER, "set the owner of", || dir.set_owner_of(name, data.uid, data.gid))?;
        if !data.xattrs.is_empty() {
            let fd = dir.open_path(name).map_err(|e| Error::io("open", &entry.path, &e))?;
            self.xattrs(entry, fd.as_fd())?;
        }
        if !matches!(entry.node, Node::Symlink(_)) {
            let mode = self.mode(data, owned);
            self.attempt(entry, meta::MODE, "set the mode of", || dir.set_mode_of(name, mode))?;
        }
        self.attempt(entry, meta::TIMES, "set the times of", || dir.set_times_of(name, data.mtime))?;
        Ok(())
    }

    /// setuid and setgid only with the owner they were given by.
    fn mode(&self, data: &Metadata, owned: bool) -> u32 {
        let own = data.uid == platform::effective_uid();
        let setid = self.wanted.has(meta::SETID) && (owned || own);
        if setid {
            data.mode
        } else {
            data.mode & !0o6000
        }
    }

    fn xattrs(&mut self, entry: &Entry, fd: BorrowedFd<'_>) -> Result<()> {
        for (name, value) in &entry.meta.xattrs {
            // Without privilege these can never be set, like owners.
            let reserved = name.starts_with(b"security.") || name.starts_with(b"trusted.");
            if reserved && !self.wanted.privileged {
                continue;
            }
            self.attempt(entry, meta::XATTRS, "set an extended attribute of", || {
                platform::set_xattr(fd, name, value)
            })?;
        }
        Ok(())
    }

    /// Sets one thing if it is wanted; a failure is a problem. True if it was set.
    fn attempt(
        &mut self,
        entry: &Entry,
        bit: u32,
        op: &str,
        set: impl FnOnce() -> io::Result<()>,
    ) -> Result<bool> {
        if !self.wanted.has(bit) {
            return Ok(false);
        }
        match set() {
            Ok(()) => Ok(true),
            Err(error) => {
                self.job.trouble(
                    ProblemKind::Metadata,
                    entry.path.as_bytes(),
                    Error::io(op, &entry.path, &error),
                )?;
                Ok(false)
            }
        }
    }
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
