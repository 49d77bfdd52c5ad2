//! Changes the tree of one point into the tree of the next point.
//!
//! ```text
//! full        an empty tree --> every member of the full archive
//! increment   the tree before --> without the paths that the new state lacks
//!                             --> with its new directories
//!                             --> with the files of the archive "created"
//!                             --> with the deltas of the archive "updated" applied
//! both        --> modification times of the state
//! ```

use std::collections::BTreeSet;
use std::io::{BufWriter, Write};

use super::chain::{AncestorPoint, no_full};
use super::read::StoredStream;
use super::state::PointState;
use super::tgz::{Member, MemberKind, Tgz};
use super::tree::{Attributes, PointTree};
use crate::delta::patch_up_to;
use crate::entry::Path;
use crate::error::{Error, Kind, Result};
use crate::job::{Job, Phase};
use crate::stamp::Time;
use crate::store::{Object, Store};
use crate::text::encode_name;

const CREATE: &str = "restore the files of";
const UPDATE: &str = "apply the deltas of";
/// Bytes that are copied at a time.
const PIECE: usize = 64 << 10;

/// The part of a rebuild that every step needs.
pub struct Rebuild<'s, 'r, 'j> {
    pub store: &'s mut dyn Store,
    pub job: &'r mut Job<'j>,
    pub tree: &'r mut PointTree,
}

impl Rebuild<'_, '_, '_> {
    /// Makes the tree that of `point`, whose state is `state`. `before` is the state of the point before; `tree` has
    /// that point, or anything if `point` is a full.
    pub fn apply(
        &mut self,
        point: &AncestorPoint,
        state: &PointState,
        before: Option<&PointState>,
    ) -> Result<()> {
        self.job.phase(Phase::Read, 0, 0)?;
        self.job.step(point.state.name.as_bytes())?;
        match (&point.full, before) {
            (Some(full), _) => self.full(full, state)?,
            (None, Some(before)) => {
                self.tree.begin_point()?;
                self.increment(point, state, before)?;
            }
            (None, None) => return Err(no_full(&point.state)),
        }
        self.tree.end_point()
    }

    fn full(&mut self, archive: &Object, state: &PointState) -> Result<()> {
        self.tree.reset()?;
        let mut tgz = Tgz::new(&archive.name, StoredStream::new(self.store, archive));
        while let Some(member) = tgz.next_member()? {
            let made = full_member(&mut tgz, &member, self.tree, self.job);
            made.map_err(|error| in_archive(CREATE, archive, error))?;
        }
        for (path, mtime) in &state.files {
            let is_there = match mtime {
                Some(mtime) => self.tree.set_mtime(path, mtime.to_time())?,
                None => true,
            };
            if !is_there {
                return Err(lacks(archive, path));
            }
        }
        Ok(())
    }

    fn increment(&mut self, point: &AncestorPoint, state: &PointState, before: &PointState) -> Result<()> {
        let changes = Changes::between(before, state);
        changes.check_archives(point)?;
        for path in &changes.gone {
            self.tree.remove(path)?;
        }
        let time = point.stamp.to_time();
        for path in &changes.new_dirs {
            self.tree.make_dir(path, time)?;
        }
        let mut missing: BTreeSet<&Path> = changes.created.iter().chain(&changes.updated).copied().collect();
        if let Some(archive) = &point.created {
            self.created(archive, state, time, &mut missing)?;
        }
        if let Some(archive) = &point.updated {
            self.updated(archive, state, &mut missing)?;
        }
        match missing.first() {
            None => Ok(()),
            Some(path) => {
                let is_new = !before.files.contains_key(*path);
                let archive = if is_new { &point.created } else { &point.updated };
                Err(lacks(archive.as_ref().unwrap_or(&point.state), path))
            }
        }
    }

    /// Writes the whole files of an increment. A file that was there before may be among them: the ancestor stores a
    /// file whose name is not ASCII again with each increment. Early versions of its directory reader took symbolic
    /// links for files.
    fn created(
        &mut self,
        archive: &Object,
        state: &PointState,
        time: Time,
        missing: &mut BTreeSet<&Path>,
    ) -> Result<()> {
        let mut made = BTreeSet::new();
        let mut tgz = Tgz::new(&archive.name, StoredStream::new(self.store, archive));
        while let Some(member) = tgz.next_member()? {
            let path = &member.path;
            let mtime = known_file(archive, &member, state)?;
            if !made.insert(path.clone()) {
                return Err(wrong(archive, path, "is in it twice"));
            }
            if let Some(parent) = path.parent() {
                self.tree.make_dir(&Path::of_checked(parent), time)?;
            }
            let attributes = Attributes { mtime: mtime.unwrap_or(member.mtime), ..Attributes::of(&member) };
            match &member.kind {
                MemberKind::File => {
                    if self.tree.has_dir(path) {
                        self.tree.remove(path)?;
                    }
                    let done = copy_file(&mut tgz, path, attributes, false, self.tree, self.job);
                    done.map_err(|error| in_archive(CREATE, archive, error))?;
                }
                MemberKind::Symlink(_) => {
                    self.tree.remove(path)?;
                    self.tree.make_node(&member)?;
                }
                MemberKind::HardLink(first) if made.contains(first) => {
                    self.tree.remove(path)?;
                    let linked = self.tree.make_node(&member);
                    linked.map_err(|error| in_archive(CREATE, archive, error))?;
                }
                _ => return Err(wrong(archive, path, "is no regular file in it")),
            }
            missing.remove(path);
        }
        Ok(())
    }

    /// Applies the deltas of an increment.
    fn updated(&mut self, archive: &Object, state: &PointState, missing: &mut BTreeSet<&Path>) -> Result<()> {
        let mut tgz = Tgz::new(&archive.name, StoredStream::new(self.store, archive));
        while let Some(member) = tgz.next_member()? {
            let path = &member.path;
            let mtime = known_file(archive, &member, state)?;
            if !missing.remove(path) {
                return Err(wrong(archive, path, "has a delta in it, but its state records no change of it"));
            }
            if member.kind != MemberKind::File {
                return Err(wrong(archive, path, "is no delta in it"));
            }
            let done = patch_file(&mut tgz, path, mtime, self.tree, self.job);
            done.map_err(|error| in_archive(UPDATE, archive, error))?;
        }
        Ok(())
    }
}

/// The paths that differ between two states.
struct Changes<'s> {
    /// Files and directories to remove, each directory after everything in it.
    gone: Vec<&'s Path>,
    new_dirs: Vec<&'s Path>,
    created: Vec<&'s Path>,
    updated: Vec<&'s Path>,
}

impl<'s> Changes<'s> {
    fn between(before: &'s PointState, after: &'s PointState) -> Self {
        let mut gone: Vec<_> = before.files.keys().filter(|path| !after.files.contains_key(path)).collect();
        // A directory with files is there, also if it vanished while the ancestor listed the directories.
        let is_gone = |path: &&Path| !after.subdirs.contains(path) && !after.has_files_in(path);
        gone.extend(before.subdirs.iter().rev().filter(is_gone));
        let is_updated = |path: &&Path| before.files.get(path).is_some_and(|old| *old != after.files[path]);
        Changes {
            gone,
            new_dirs: after.subdirs.difference(&before.subdirs).collect(),
            created: after.files.keys().filter(|path| !before.files.contains_key(path)).collect(),
            updated: after.files.keys().filter(is_updated).collect(),
        }
    }

    /// `Missing` if the point lacks an archive that the changes need.
    fn check_archives(&self, point: &AncestorPoint) -> Result<()> {
        let lacks = |detail: String| Err(Error::new(Kind::Missing, "use", detail).at(&point.state.name));
        match (self.created.first(), self.updated.first()) {
            (Some(path), _) if point.created.is_none() => lacks(format!(
                "the archive \"created\" of its date, with {}, is gone",
                encode_name(path.as_bytes())
            )),
            (_, Some(path)) if point.updated.is_none() && point.created.is_none() => lacks(format!(
                "the archive \"updated\" of its date, with {}, is gone",
                encode_name(path.as_bytes())
            )),
            _ => Ok(()),
        }
    }
}

/// Checks that the archives are there that change `before` into `after`, the state of `point`.
pub fn check_archives(point: &AncestorPoint, before: Option<&PointState>, after: &PointState) -> Result<()> {
    match (&point.full, before) {
        (None, Some(before)) => Changes::between(before, after).check_archives(point),
        _ => Ok(()),
    }
}

/// Makes one member of a full archive.
fn full_member(
    tgz: &mut Tgz<StoredStream<'_>>,
    member: &Member,
    tree: &mut PointTree,
    job: &mut Job,
) -> Result<()> {
    let path = &member.path;
    job.step(path.as_bytes())?;
    if let Some(parent) = path.parent() {
        // A forged archive may have something else in the place of this directory.
        tree.make_missing_dir(&Path::of_checked(parent), member.mtime)?;
    }
    match &member.kind {
        MemberKind::Dir => {
            if !path.is_root() {
                tree.make_new_dir(path)?;
            }
            tree.set_dir(path, Attributes::of(member));
            Ok(())
        }
        MemberKind::File if std::str::from_utf8(path.as_bytes()).is_err() => {
            let detail = "the name of a file is not UTF-8, so no state can have it";
            Err(Error::corrupt(CREATE, path.as_bytes(), detail))
        }
        MemberKind::File => copy_file(tgz, path, Attributes::of(member), true, tree, job),
        _ => tree.make_node(member),
    }
}

/// Copies the data of a member into a file of the tree.
fn copy_file(
    tgz: &mut Tgz<StoredStream<'_>>,
    path: &Path,
    attributes: Attributes,
    is_new: bool,
    tree: &mut PointTree,
    job: &mut Job,
) -> Result<()> {
    let mut file = tree.begin_file()?;
    let mut piece = vec![0; PIECE];
    loop {
        let got = tgz.read_data(&mut piece)?;
        if got == 0 {
            break;
        }
        file.write_all(&piece[..got]).map_err(|error| Error::own("write a temporary file", &error))?;
        job.advance(got as u64)?;
    }
    tree.end_file(file, path, attributes, is_new)
}

/// Applies a delta to the file at `path`. Owner and permissions stay, because the delta has none.
fn patch_file(
    tgz: &mut Tgz<StoredStream<'_>>,
    path: &Path,
    mtime: Option<Time>,
    tree: &mut PointTree,
    job: &mut Job,
) -> Result<()> {
    let (mut basis, old) = tree.open_file(path)?;
    let len = basis.metadata().map_err(|error| Error::own("read a temporary file", &error))?.len();
    let new = tree.begin_file()?;
    let mut out = Output { file: BufWriter::with_capacity(PIECE, new), job };
    patch_up_to(&mut basis, tgz, len, &mut out, i64::MAX as u64).map_err(|error| delta_error(path, error))?;
    let new = out.file.into_inner().map_err(|error| Error::own("write a temporary file", error.error()))?;
    tree.end_file(new, path, Attributes { mtime: mtime.unwrap_or(old.mtime), ..old }, false)
}

/// The new content of a patched file. Writing it fails if the operation was cancelled.
struct Output<'r, 'j> {
    file: BufWriter<std::fs::File>,
    job: &'r mut Job<'j>,
}

impl Write for Output<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.job.advance(bytes.len() as u64).map_err(std::io::Error::other)?;
        let own = |error: std::io::Error| std::io::Error::other(Error::own("write a temporary file", &error));
        self.file.write(bytes).map_err(own)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

fn delta_error(path: &Path, error: crate::delta::Error) -> Error {
    let detail = match error {
        crate::delta::Error::Io(error) => match error.downcast::<Error>() {
            Ok(error) => return error,
            Err(error) => error.to_string(),
        },
        other => other.to_string(),
    };
    Error::corrupt("patch", path.as_bytes(), detail)
}

/// The modification time of a member in the state of its point. `Corrupt` if the state has no such file.
fn known_file(archive: &Object, member: &Member, state: &PointState) -> Result<Option<Time>> {
    match state.files.get(&member.path) {
        Some(mtime) => Ok(mtime.map(super::state::Mtime::to_time)),
        None => Err(wrong(archive, &member.path, "is in it, but not in the state of its date")),
    }
}

fn wrong(archive: &Object, path: &Path, what: &str) -> Error {
    Error::corrupt("use the archive", &archive.name, format!("{} {what}", encode_name(path.as_bytes())))
}

fn lacks(archive: &Object, path: &Path) -> Error {
    let detail = format!("it lacks {}, which the state of its date has", encode_name(path.as_bytes()));
    Error::new(Kind::Missing, "use the archive", detail).at(&archive.name)
}

/// Names the archive in an error about one of its members. An error of the store or of this process stays as it is.
fn in_archive(op: &str, archive: &Object, error: Error) -> Error {
    let is_of_archive = error.path.as_deref() == Some(archive.name.as_bytes());
    if is_of_archive || error.is_own || !matches!(error.kind, Kind::Corrupt | Kind::Missing) {
        return error;
    }
    let path = error.path.as_deref().map(encode_name).unwrap_or_default();
    Error::new(error.kind, op, format!("{path}: {}", error.detail)).at(&archive.name)
}
