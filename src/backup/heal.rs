//! The option heal: before an increment compares anything, it reads everything that the parent needs, as a verify does.
//! Contents and signatures that the store has lost are stored again, if the source still has the files.
//!
//! A read that its medium refuses (`EIO`) proves nothing: the same bytes may be readable later, from this store or from
//! a copy of the medium. Nevertheless the increment goes on and stores the file again, because from a bad sector no
//! later increment would get more. If the source cannot give the file now, the new state keeps the parent's entry.
//!
//! ```text
//! parent's entries --> contents, signatures against their hashes --> ParentLosses
//! pass 1, pass 2   --> an entry with a loss is not carried: its file is read and stored whole, or signed again
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::contents::{ContentCheck, RightContents};
use crate::entry::{Entry, File, Range, SigRef};
use crate::error::{Error, Kind, Result};
use crate::format::{ArchiveFile, StateReader};
use crate::job::{Counter, Job, Phase, Problem, ProblemKind};
use crate::pool::Pool;
use crate::store::Store;

use super::parent::{Parent, report_unneeded};

/// Most lost contents and signatures that are remembered one by one, in about 40 MiB of memory. Of further ones the
/// whole file of the archive counts as lost.
const LOST_MAX: usize = 1 << 20;

const OP: &str = "use the archive";

/// The contents and signatures of the parent that turned out to be lost although the store has their archives. The
/// option heal finds them, or a run that needs them.
#[derive(Default)]
pub struct ParentLosses {
    /// The contents that cannot be made of their ranges any more, each with the kind of the error.
    contents: HashMap<[u8; 16], Kind>,
    /// The signatures that neither the store nor the cache has.
    signatures: HashSet<[u8; 16]>,
    /// The signatures that only the cache has.
    cached_signatures: HashSet<[u8; 16]>,
}

impl ParentLosses {
    /// Why the content in these ranges of the parent's archives is lost; `None` if it is not.
    pub fn of_content(&self, ranges: &[Range]) -> Option<Kind> {
        // An entry without data has no ranges, and nothing to lose.
        let may_be_lost = !self.contents.is_empty() && !ranges.is_empty();
        self.contents.get(&may_be_lost.then(|| fingerprint(ranges))?).copied()
    }

    /// Whether the signature in these ranges is lost, in the store and in the cache.
    pub fn has_signature(&self, ranges: &[Range]) -> bool {
        has(&self.signatures, ranges)
    }

    pub fn has_contents(&self) -> bool {
        !self.contents.is_empty()
    }

    /// Whether the store has lost the signature in these ranges.
    pub fn has_stored_signature(&self, ranges: &[Range]) -> bool {
        has(&self.signatures, ranges) || has(&self.cached_signatures, ranges)
    }

    /// Notes that neither the store nor the cache has the signature in these ranges.
    pub fn add_signature(&mut self, ranges: &[Range]) {
        if self.len() < LOST_MAX {
            self.signatures.insert(fingerprint(ranges));
        }
    }

    fn len(&self) -> usize {
        self.contents.len() + self.signatures.len() + self.cached_signatures.len()
    }
}

fn has(lost: &HashSet<[u8; 16]>, ranges: &[Range]) -> bool {
    !lost.is_empty() && !ranges.is_empty() && lost.contains(&fingerprint(ranges))
}

/// Different ranges have different fingerprints, because 128 bits make a collision very unlikely.
fn fingerprint(ranges: &[Range]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for range in ranges {
        hasher.update(&range.archive.to_le_bytes());
        hasher.update(&range.offset.to_le_bytes());
        hasher.update(&range.len.to_le_bytes());
    }
    let mut short = [0; 16];
    hasher.finalize_xof().fill(&mut short);
    short
}

/// Reads all contents and signatures of the parent, and notes the lost ones in `parent`. Each file with a loss is a
/// problem.
///
/// Errors: an archive that cannot be read now, except for an error of its medium (`EIO`): the storage may be out of
/// reach, and nothing is stored again for that.
pub fn find_losses(
    store: &mut dyn Store,
    state: &mut StateReader,
    parent: &mut Parent,
    pool: &Arc<Pool>,
    job: &mut Job,
) -> Result<()> {
    let totals = &state.trailer().totals;
    job.phase(Phase::Verify, totals.entries, totals.bytes)?;
    // The counter has the bytes that were read from the source.
    let read = job.report.counters.get(Counter::BytesRead);
    let check = ContentCheck::new(parent.archives(), pool, job.cancel());
    let mut search =
        LossSearch { store, parent, job, check, right: RightContents::default(), found: BTreeMap::new() };
    search.files()?;
    for entry in state.entries()? {
        search.entry(&entry?)?;
    }
    search.report()?;
    job.report.counters.set(Counter::BytesRead, read);
    job.phase_done()
}

struct LossSearch<'r, 'j> {
    store: &'r mut dyn Store,
    parent: &'r mut Parent,
    job: &'r mut Job<'j>,
    check: ContentCheck,
    right: RightContents,
    /// The losses in each file, by its number among the files of the parent's archives.
    found: BTreeMap<u32, FileLosses>,
}

/// The losses that were found in one file of an archive.
#[derive(Default)]
struct FileLosses {
    contents: u64,
    signatures: u64,
    /// The reason for the first loss.
    first: Option<Error>,
}

impl LossSearch<'_, '_> {
    /// Finds the files of which no range can be read.
    fn files(&mut self) -> Result<()> {
        for file in 0..self.parent.files().files().count() as u32 {
            if self.parent.has_file(file)
                && let Err(error) = self.check.opens(self.store, file)?
            {
                let error = lost_now(error)?;
                self.parent.lose_file(file, error.kind);
                self.found.entry(file).or_default().first = Some(error);
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<()> {
        self.job.step(entry.path.as_bytes())?;
        let Some(file) = entry.file() else {
            // Nothing of an unknown entry can be checked, but it needs its files.
            self.count_known(&entry.place.content, |losses| losses.contents += 1);
            let sig = entry.place.sig.as_ref().map_or(&[][..], |sig| &sig.content);
            self.count_known(sig, |losses| losses.signatures += 1);
            return Ok(());
        };
        self.content(entry, file)?;
        match &entry.place.sig {
            Some(sig) => self.signature(entry, file, sig),
            None => Ok(()),
        }
    }

    fn content(&mut self, entry: &Entry, file: &File) -> Result<()> {
        let ranges = &entry.place.content;
        if !self.parent.has_content(entry) {
            self.count_known(ranges, |losses| losses.contents += 1);
            return self.job.advance(file.size);
        }
        let checked = self.check.content(self.store, (entry, file), &mut self.right, self.job)?;
        let Some(error) = checked.map(lost_now).transpose()? else { return Ok(()) };
        let blamed = self.blamed(ranges, &error);
        if self.parent.losses.len() < LOST_MAX {
            self.parent.losses.contents.insert(fingerprint(ranges), error.kind);
        } else {
            self.parent.lose_file(blamed, error.kind);
        }
        let found = self.found.entry(blamed).or_default();
        found.contents += 1;
        found.first.get_or_insert(error);
        Ok(())
    }

    /// Counts a loss in each file that is known to be lost, and that these ranges need.
    fn count_known(&mut self, ranges: &[Range], count: impl Fn(&mut FileLosses)) {
        let lost: BTreeSet<u32> = self.parent.lost_files_in(ranges).collect();
        for file in lost {
            if let Some(losses) = self.found.get_mut(&file) {
                count(losses);
            }
        }
    }

    fn signature(&mut self, entry: &Entry, file: &File, sig: &SigRef) -> Result<()> {
        if !self.parent.keeps_signature(entry) {
            self.count_known(&sig.content, |losses| losses.signatures += 1);
            return Ok(());
        }
        // A signature that cannot be checked does not count as lost.
        if sig.hash.known().is_none() {
            return Ok(());
        }
        let checked = self.check.signature(self.store, (entry, sig), &mut self.right, self.job)?;
        let Some(error) = checked.map(lost_now).transpose()? else { return Ok(()) };
        let blamed = self.blamed(&sig.content, &error);
        let kind = error.kind;
        let found = self.found.entry(blamed).or_default();
        found.signatures += 1;
        found.first.get_or_insert(error);
        let print = fingerprint(&sig.content);
        if self.parent.losses.len() >= LOST_MAX {
            self.parent.lose_file(blamed, kind);
            return Ok(());
        }
        self.parent.prefer_cache(sig);
        match self.parent.signature(self.store, sig, file.data_len(), self.job) {
            Ok(_) => self.parent.losses.cached_signatures.insert(print),
            Err(error) if error.ends_reading() => return Err(error),
            Err(_) => self.parent.losses.signatures.insert(print),
        };
        Ok(())
    }

    /// The number of the file that an error names, if `ranges` need that file; else that of the first file of the whole
    /// copy.
    fn blamed(&self, ranges: &[Range], error: &Error) -> u32 {
        let files = self.parent.files();
        let named = |file: &u32| {
            files.file(*file).is_ok_and(|file| error.path.as_deref() == Some(file.name.as_bytes()))
        };
        files.files_in(ranges).find(named).or(files.files_in(ranges).next()).unwrap_or(0)
    }

    /// Reports each file with losses. A lost part of which no entry needs a byte is only a note.
    fn report(self) -> Result<()> {
        let LossSearch { parent, job, found, .. } = self;
        for (number, losses) in found {
            let Ok(file) = parent.files().file(number) else { continue };
            if losses.is_empty() && parent.files().is_part(number) {
                let unknown = || (Kind::Corrupt, "it is damaged".to_string());
                let (kind, what) = losses.first.map_or_else(unknown, |error| (error.kind, error.detail));
                report_unneeded(file, kind, &what, job)?;
                continue;
            }
            let error = losses.error(file);
            let problem = Problem::of_whole(ProblemKind::of_stored(&error), &error);
            job.problem(problem.in_file(&file.name), error)?;
        }
        Ok(())
    }
}

impl FileLosses {
    fn is_empty(&self) -> bool {
        (self.contents, self.signatures) == (0, 0)
    }

    fn error(self, file: &ArchiveFile) -> Error {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let counted = match (self.contents, self.signatures) {
            (0, 0) => "it cannot be read".to_string(),
            (0, n) => format!("{n} signature{} in it cannot be read", plural(n)),
            (n, 0) => format!("{n} content{} cannot be read without damage", plural(n)),
            (n, m) => {
                format!(
                    "{n} content{} and {m} signature{} cannot be read without damage",
                    plural(n),
                    plural(m)
                )
            }
        };
        let first = self.first.unwrap_or_else(|| Error::new(Kind::Corrupt, OP, "it is damaged"));
        let older = match first.is_loss() {
            true => "older snapshots have lost it",
            false => "a verify tells whether older snapshots have lost it",
        };
        let detail = format!(
            "{counted}: {}; this increment stores again what the source still has; {older}",
            first.detail
        );
        Error { op: OP.into(), detail, ..first }.at(&file.name)
    }
}

/// Returns the error of stored bytes that count as lost: gone, damaged, or refused by their medium. Any other error
/// ends the increment.
fn lost_now(error: Error) -> Result<Error> {
    let is_medium = error.kind == Kind::Io && !error.is_own && error.os_code == libc::EIO;
    match error.is_loss() || is_medium {
        true => Ok(error),
        false => Err(error),
    }
}

/// The part of a file that the store has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostPart {
    Content,
    Signature,
}
