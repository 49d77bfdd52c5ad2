//! The contents of the parent that new entries point to. If the run finds a loss, it reads those of them that lie in
//! the same archives, and reports each new entry whose content is lost too.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::old_contents;
use super::parent::Parent;
use super::spooled_entries::{SpooledEntries, bare_content};
use crate::contents::{Contents, lost};
use crate::entry::{Entry, Hash, Path, Range};
use crate::error::{Error, Kind, Result};
use crate::job::{Job, ProblemKind};
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

/// The archives in which a loss was found.
enum Suspects {
    /// Archives by their numbers in the parent's state.
    Archives(HashSet<u32>),
    All,
}

impl PointedContents {
    pub fn new() -> Self {
        let suspects = Suspects::Archives(HashSet::new());
        PointedContents { entries: SpooledEntries::new(IN_MEMORY), suspects }
    }

    /// Notes that the new entry at `path` needs the content of `old`, an entry of the parent.
    pub fn add(&mut self, path: &Path, old: &Entry) -> Result<()> {
        let Some(file) = old.file() else { return Ok(()) };
        self.entries.add(&bare_content(path, file, &old.place)).map(drop)
    }

    /// Notes a loss in one of the archives of `old`, an entry of the parent; with `None`, in any archive.
    pub fn suspect(&mut self, old: Option<&Entry>) {
        match (&mut self.suspects, old) {
            (Suspects::Archives(archives), Some(old)) => {
                archives.extend(ranges_of(old).map(|range| range.archive));
            }
            (suspects, None) => *suspects = Suspects::All,
            (Suspects::All, _) => {}
        }
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
        // By the archive and the offset of the last part, which no two different contents share.
        let mut checked: HashMap<(u32, u64), Option<Error>> = HashMap::new();
        let mut at = 0;
        while at < self.entries.end() {
            let (entry, next) = self.entries.read_with_end(at)?;
            at = next;
            job.pulse()?;
            let last = entry.place.content.last().map(|range| (range.archive, range.offset));
            let Some(last) = last.filter(|_| self.suspects.concern(&entry)) else { continue };
            let known = checked.get(&last).cloned();
            let Some(contents) = own.as_mut().or(parent.contents.as_mut()) else { return Ok(()) };
            let loss = match known {
                Some(loss) => loss,
                None => read_to_check(contents, store, &entry)?,
            };
            if checked.len() < REMEMBERED_MAX {
                checked.insert(last, loss.clone());
            }
            match loss {
                Some(error) => report(contents, &entry, error, job)?,
                None => check_signature(parent, store, &entry, job)?,
            }
        }
        Ok(())
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

impl Suspects {
    fn any(&self) -> bool {
        !matches!(self, Suspects::Archives(archives) if archives.is_empty())
    }

    fn concern(&self, entry: &Entry) -> bool {
        match self {
            Suspects::Archives(archives) => ranges_of(entry).any(|range| archives.contains(&range.archive)),
            Suspects::All => true,
        }
    }
}

/// The ranges of the content and of the signature.
fn ranges_of(entry: &Entry) -> impl Iterator<Item = &Range> {
    entry.place.content.iter().chain(entry.place.sig.iter().flat_map(|sig| &sig.content))
}

/// Reads a content, and returns why it is lost. The outer error ends the backup.
fn read_to_check(contents: &mut Contents, store: &mut dyn Store, entry: &Entry) -> Result<Option<Error>> {
    let Some(file) = entry.file() else {
        return Err(Error::new(Kind::Panic, "check a content", "the entry is no file"));
    };
    let mut hasher = blake3::Hasher::new();
    let read = contents.read(store, entry, &mut |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    let is_it = Hash::from(hasher.finalize()) == file.hash;
    Ok(match read {
        Ok(()) if is_it => None,
        Ok(()) => Some(contents.differs(entry, file)),
        Err(error) => Some(error),
    })
}

fn check_signature(parent: &mut Parent, store: &mut dyn Store, entry: &Entry, job: &mut Job) -> Result<()> {
    let (Some(sig), Some(file)) = (&entry.place.sig, entry.file()) else { return Ok(()) };
    if !parent.keeps_signature(entry) {
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
