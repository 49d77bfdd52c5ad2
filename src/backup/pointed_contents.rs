//! The contents of the parent that new entries point to. If the run finds a loss, it reads those of these contents
//! that lie in the same archives, and reports each new entry whose content is lost too.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::heal::LostPart;
use super::old_contents;
use super::parent::Parent;
use super::spooled_entries::{SpooledEntries, bare_content};
use crate::contents::{Contents, lost};
use crate::entry::{Entry, Path, Range};
use crate::error::{Error, Kind, Result};
use crate::job::{Job, Problem, ProblemKind};
use crate::pool::Pool;
use crate::store::{NEW_FULL, Store};

/// Bytes of entries that are kept in memory before they move to a temporary file.
const IN_MEMORY: usize = 1 << 20;
/// Most contents whose check is remembered. They take about 10 MB of memory, if all of them are lost.
const REMEMBERED_MAX: usize = 1 << 15;

/// The contents of the parent that new entries point to, or whose deltas they point to.
pub struct PointedContents {
    /// Each content, with the path of the new entry and the archive numbers of the parent's state.
    entries: SpooledEntries,
    suspects: Suspects,
}

/// The archives in which a loss was found. A loss of signatures says nothing about contents, and the other way round.
#[derive(Default)]
struct Suspects {
    /// Archives by their numbers in the parent's state.
    archives: HashSet<u32>,
    all_contents: bool,
    all_signatures: bool,
}

impl PointedContents {
    pub fn new() -> Self {
        PointedContents { entries: SpooledEntries::new(IN_MEMORY), suspects: Suspects::default() }
    }

    /// Notes that the new entry at `path` needs the content of `old`, an entry of the parent.
    pub fn add(&mut self, path: &Path, old: &Entry) -> Result<()> {
        let Some(file) = old.file() else { return Ok(()) };
        self.entries.add(&bare_content(path, file, &old.place)).map(drop)
    }

    /// Notes the loss of a part of `old`, an entry of the parent: its archives may have lost more. With `None`, any
    /// archive may have lost such parts.
    pub fn suspect(&mut self, old: Option<&Entry>, part: LostPart) {
        let Some(old) = old else {
            match part {
                LostPart::Content => self.suspects.all_contents = true,
                LostPart::Signature => self.suspects.all_signatures = true,
            }
            return;
        };
        let ranges = match part {
            LostPart::Content => old.place.content.as_slice(),
            LostPart::Signature => old.place.sig.as_ref().map_or(&[][..], |sig| &sig.content),
        };
        self.suspects.archives.extend(ranges.iter().map(|range| range.archive));
    }

    /// Reads the contents and the signatures that may be lost, and reports the new entries that need a lost one.
    pub fn check(
        mut self,
        parent: &mut Parent,
        store: &mut dyn Store,
        pool: &Arc<Pool>,
        job: &mut Job,
    ) -> Result<()> {
        if !self.suspects.any() {
            return Ok(());
        }
        let mut own = match parent.contents {
            Some(_) => None,
            None => Some(old_contents(parent.archives(), pool, job)),
        };
        let mut checked = CheckedContents::default();
        let mut at = 0;
        while at < self.entries.end() {
            let (entry, next) = self.entries.read_with_end(at)?;
            at = next;
            job.pulse()?;
            let Some(contents) = own.as_mut().or(parent.contents.as_mut()) else { return Ok(()) };
            let loss = match self.suspects.concern_content(&entry) {
                true => checked.check(contents, store, &entry, job)?,
                false => None,
            };
            match loss {
                Some(error) => report(contents, &entry, error, job)?,
                None if self.suspects.concern_signature(&entry) => {
                    check_signature(parent, store, &entry, job)?;
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// The contents that were read, by the archive and the offset of the last part: no two different contents share a
/// last part. A lost content has the error as its value.
#[derive(Default)]
struct CheckedContents(HashMap<(u32, u64), Option<Error>>);

impl CheckedContents {
    /// Returns why the content of `entry` is lost. Reads it if that is not known yet.
    fn check(
        &mut self,
        contents: &mut Contents,
        store: &mut dyn Store,
        entry: &Entry,
        job: &mut Job,
    ) -> Result<Option<Error>> {
        let Some(last) = entry.place.content.last() else { return Ok(None) };
        let last = (last.archive, last.offset);
        if let Some(known) = self.0.get(&last) {
            return Ok(known.clone());
        }
        let loss = read_to_check(contents, store, entry, job)?;
        if self.0.len() < REMEMBERED_MAX {
            self.0.insert(last, loss.clone());
        }
        Ok(loss)
    }
}

/// Reports that the content of a new entry is lost.
fn report(contents: &Contents, entry: &Entry, error: Error, job: &mut Job) -> Result<()> {
    let detail = format!(
        "{}; the new entry points to this content, which was of another path; {NEW_FULL}",
        error.detail
    );
    let (problem, error) = lost("keep", contents, entry, Error { detail, ..error });
    job.problem(problem, error)
}

/// The problem for the lost content of `old`, an entry of the parent. The file at `path` has the same content.
pub fn lost_source(contents: &Contents, old: &Entry, path: &Path, error: Error) -> (Problem, Error) {
    let detail = format!("{}; {path:?} has the same content, and was stored; {NEW_FULL}", error.detail);
    lost("keep", contents, old, Error { detail, ..error })
}

impl Suspects {
    fn any(&self) -> bool {
        self.all_contents || self.all_signatures || !self.archives.is_empty()
    }

    fn concern_content(&self, entry: &Entry) -> bool {
        self.all_contents || self.have(&entry.place.content)
    }

    fn concern_signature(&self, entry: &Entry) -> bool {
        entry.place.sig.as_ref().is_some_and(|sig| self.all_signatures || self.have(&sig.content))
    }

    fn have(&self, ranges: &[Range]) -> bool {
        ranges.iter().any(|range| self.archives.contains(&range.archive))
    }
}

/// Reads a content, and returns why it is lost. The outer error ends the backup.
pub fn read_to_check(
    contents: &mut Contents,
    store: &mut dyn Store,
    entry: &Entry,
    job: &mut Job,
) -> Result<Option<Error>> {
    let Some(file) = entry.file() else {
        return Err(Error::new(Kind::Panic, "check a content", "the entry is no file"));
    };
    Ok(match contents.hash(store, entry, &mut |_| job.pulse())? {
        Ok(hash) if hash == file.hash => None,
        Ok(_) => Some(contents.differs(entry, file)),
        Err(error) => Some(error),
    })
}

fn check_signature(parent: &mut Parent, store: &mut dyn Store, entry: &Entry, job: &mut Job) -> Result<()> {
    let (Some(sig), Some(file)) = (&entry.place.sig, entry.file()) else { return Ok(()) };
    if !parent.keeps_signature(entry) || !parent.has_signature(entry) {
        return Ok(());
    }
    match parent.signature(store, sig, file.data_len(), job) {
        Err(error) if !error.ends_reading() => {
            job.trouble(ProblemKind::of_stored(&error), entry.path.as_bytes(), error)
        }
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}
