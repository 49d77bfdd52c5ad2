//! Contents that are stored already: those of the parent's entries, and those that this run stored before. A file of an
//! increment with such a content points to it, and nothing is stored again.
//!
//! ```text
//! pass 1   parent's files --> length, hash, offset of the line ----+
//!          new and changed files --> lengths ----------------------+--> contents of these lengths, in memory
//! pass 2   file read --> length, hash --> contents stored before in this run, then those of the parent
//! ```
//!
//! The constants below bound the memory. Contents beyond these limits are stored again. The lengths of long contents
//! take up to another 18 MB.

use std::collections::HashMap;
use std::io::{self, BufReader, Read};

use super::heal::LostPart;
use super::parent::Parent;
use super::pointed_contents::PointedContents;
use super::small::IN_MEMORY;
use super::spooled_entries::{SpooledEntries, bare_content};
use crate::entry::{Entry, File, Hash, Path, Place};
use crate::error::Result;
use crate::format::{EntryLookup, Recorded};
use crate::spool::{Spool, spool_error};

/// Most different lengths of new and changed files that are looked for. They take about 5 MB of memory.
const LENGTHS_MAX: usize = 1 << 17;
/// Most contents of the parent that are looked for. They take 8 MB of memory.
const RECORDED_MAX: usize = 1 << 19;
/// Most contents of this run that are looked for. They take about 13 MB of memory.
const MADE_MAX: usize = 1 << 18;
/// Bytes of temporary storage that are kept in memory before they move to a temporary file.
const SPOOL_IN_MEMORY: usize = 4 << 20;
/// Limit in bytes for extra reads of long files: such a read only looks for a stored content with the same hash. The
/// bytes of all extra reads without success, including the next one, may exceed the bytes of those with success by
/// this limit. So a longer file is stored again even if its content is stored already, unless earlier extra reads had
/// success.
const IN_VAIN_MAX: u64 = 256 << 20;
/// A flag in the offset of a parent's line: this run has read the content of the entry, and its hash is right.
const IS_RIGHT: u64 = 1 << 63;

/// Collects, in the first pass, the contents of the parent and the sizes of the files to store.
pub struct ContentScan {
    /// The sizes of new and changed files. True if several have this size.
    sizes: HashMap<u64, bool>,
    recorded: RecordedContents,
}

/// The contents of the parent, in temporary storage. Each takes about 14 bytes.
struct RecordedContents {
    spool: Spool,
    count: u64,
    /// The offset of the line of the content that was added last.
    last_line: u64,
    record: Vec<u8>,
}

/// A content of the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RecordedContent {
    size: u64,
    data_len: u64,
    /// The first bytes of the hash.
    hash_start: u64,
    /// The offset of the entry's line in the parent's state.
    line: u64,
}

impl RecordedContents {
    fn new() -> Self {
        RecordedContents { spool: Spool::new(SPOOL_IN_MEMORY), count: 0, last_line: 0, record: Vec::new() }
    }

    /// Adds a content whose line comes after those of the contents before.
    fn add(&mut self, content: &RecordedContent) -> Result<()> {
        let RecordedContent { size, data_len, hash_start, line } = *content;
        self.record.clear();
        self.record.extend_from_slice(&hash_start.to_le_bytes());
        for number in [line - self.last_line, data_len, size - data_len] {
            append_number(&mut self.record, number);
        }
        (self.count, self.last_line) = (self.count + 1, line);
        self.spool.append(&self.record)
    }

    fn each(self, mut take: impl FnMut(RecordedContent)) -> Result<()> {
        let mut source = BufReader::new(self.spool.into_reader());
        let mut line = 0;
        for _ in 0..self.count {
            let content = next_content(&mut source, line).map_err(|e| spool_error(&e))?;
            line = content.line;
            take(content);
        }
        Ok(())
    }
}

/// Reads a content. `before` is the offset of the line of the content before.
fn next_content(source: &mut impl Read, before: u64) -> io::Result<RecordedContent> {
    let mut hash_start = [0; 8];
    source.read_exact(&mut hash_start)?;
    let [line, data_len, holes] = [read_number(source)?, read_number(source)?, read_number(source)?];
    let hash_start = u64::from_le_bytes(hash_start);
    Ok(RecordedContent { size: data_len + holes, data_len, hash_start, line: before + line })
}

/// Appends a number as groups of 7 bits, the lowest first. Bit 7 of a byte says that another byte follows.
fn append_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 1 << 7 {
        out.push(number as u8 | 1 << 7);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(source: &mut impl Read) -> io::Result<u64> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let mut byte = [0];
        source.read_exact(&mut byte)?;
        number |= u64::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] < 1 << 7 || shift >= u64::BITS {
            return Ok(number);
        }
    }
}

impl ContentScan {
    #[allow(clippy::new_without_default)] // A default would suggest that there are other values to start from.
    pub fn new() -> Self {
        ContentScan { sizes: HashMap::new(), recorded: RecordedContents::new() }
    }

    /// Notes a file of the source whose content may be stored.
    pub fn add_file(&mut self, size: u64) {
        if let Some(several) = self.sizes.get_mut(&size) {
            *several = true;
        } else if size > 0 && self.sizes.len() < LENGTHS_MAX {
            self.sizes.insert(size, false);
        }
    }

    /// Notes the content of an entry of the parent. `line` is the offset of the entry's line. Leaves out contents that
    /// are lost, and those of dirty entries, which may be mixtures of versions.
    pub fn add_recorded(&mut self, recorded: &Recorded, line: u64, parent: &Parent) -> Result<()> {
        if recorded.content().is_empty() || recorded.is_dirty() || !parent.has_recorded_content(recorded) {
            return Ok(());
        }
        let Some(hash_start) = recorded.hash_start() else { return Ok(()) };
        let (size, data_len) = (recorded.size(), recorded.data_len());
        self.recorded.add(&RecordedContent { size, data_len, hash_start, line })
    }

    /// Keeps the contents that a new or changed file may have.
    pub fn finish<'s>(self) -> Result<StoredContents<'s>> {
        let ContentScan { sizes, recorded } = self;
        let mut stored = StoredContents { sizes, ..StoredContents::none() };
        if stored.sizes.is_empty() {
            return Ok(stored);
        }
        recorded.each(|content| {
            // The holes of a file are known only when it is opened.
            let is_wanted = [content.size, content.data_len].iter().any(|len| stored.sizes.contains_key(len));
            if is_wanted && stored.recorded.len() < RECORDED_MAX {
                stored.recorded.push((content.hash_start, content.line));
                stored.note_long(content.data_len);
            }
        })?;
        // The sort is stable: of several entries with one content, the first is used.
        stored.recorded.sort_by_key(|(hash_start, _)| *hash_start);
        stored.recorded.dedup_by_key(|(hash_start, _)| *hash_start);
        stored.recorded.shrink_to_fit();
        Ok(stored)
    }
}

/// Finds contents by length and hash.
pub struct StoredContents<'s> {
    /// As in [`ContentScan`].
    sizes: HashMap<u64, bool>,
    /// Contents of the parent: the first bytes of the hash, ascending, and the offset of the entry's line, perhaps with
    /// [`IS_RIGHT`].
    recorded: Vec<(u64, u64)>,
    /// Reads the entries of `recorded`.
    pub lines: Option<EntryLookup<'s>>,
    /// Contents that this run stored, by the first bytes of the hash.
    made: HashMap<u64, MadeContent>,
    /// The entries of `made`. If an entry needs a content of the parent, an entry with that content follows it.
    entries: SpooledEntries,
    /// How many contents of each length over [`IN_MEMORY`] there are, in both tables.
    long: HashMap<u64, u32>,
    /// Bytes of long files that were read only to look for a stored content, without success.
    in_vain: u64,
    /// Bytes of long files for which such a read found a stored content.
    found: u64,
    /// The run found a loss in the store. Other contents may be lost too, so no new entry points to a content of the
    /// parent.
    has_losses: bool,
    pointed: PointedContents,
}

/// A content that this run stored.
#[derive(Clone, Copy)]
struct MadeContent {
    /// The offset of the entry in [`StoredContents::entries`].
    at: u64,
    /// The content is a delta of a content of the parent, or is that content.
    needs_parent: bool,
}

/// A content that is stored already.
pub enum StoredContent {
    /// The content of an entry of the parent.
    OfParent {
        old: Entry,
        /// This run has read the content, and it is right.
        is_right: bool,
    },
    /// A content that this run stored, with its place in the new state.
    OfRun {
        place: Place,
        /// The content of the parent that this content needs, with the archive numbers of the parent's state.
        old: Option<Entry>,
    },
}

impl StoredContents<'_> {
    /// Finds nothing.
    pub fn none() -> Self {
        StoredContents {
            sizes: HashMap::new(),
            recorded: Vec::new(),
            lines: None,
            made: HashMap::new(),
            entries: SpooledEntries::new(SPOOL_IN_MEMORY),
            long: HashMap::new(),
            in_vain: 0,
            found: 0,
            has_losses: false,
            pointed: PointedContents::new(),
        }
    }

    /// Finds a content of `data_len` bytes with this hash.
    pub fn find(&mut self, hash: &Hash, data_len: u64) -> Result<Option<StoredContent>> {
        let is_it = |entry: &Entry| {
            let file = entry.file().filter(|_| !entry.place.dirty);
            file.is_some_and(|file| file.hash == *hash && file.data_len() == data_len)
        };
        let start = start_of(hash);
        if let Some(&MadeContent { at, needs_parent }) = self.made.get(&start) {
            let (entry, next) = self.entries.read_with_end(at)?;
            if is_it(&entry) {
                let old = if needs_parent { Some(self.entries.read(next)?) } else { None };
                return Ok(Some(StoredContent::OfRun { place: entry.place, old }));
            }
        }
        let index = self.recorded.binary_search_by_key(&start, |(start, _)| *start);
        let (Ok(index), Some(lines)) = (index, &self.lines) else { return Ok(None) };
        let line = self.recorded[index].1;
        let old = lines.entry_at(line & !IS_RIGHT)?;
        let is_right = line & IS_RIGHT != 0;
        Ok(is_it(&old).then_some(StoredContent::OfParent { old, is_right }))
    }

    /// Notes that the content of the parent that was found for this hash was read and is right.
    pub fn note_right(&mut self, hash: &Hash) {
        let start = start_of(hash);
        if let Ok(index) = self.recorded.binary_search_by_key(&start, |(start, _)| *start) {
            self.recorded[index].1 |= IS_RIGHT;
        }
    }

    /// Notes the content of a new entry, if a later file may have the same content. `old` is the entry of the parent
    /// whose content the new one needs.
    pub fn add(&mut self, entry: &Entry, old: Option<&Entry>) -> Result<()> {
        let Some(file) = entry.file().filter(|file| file.data_len() > 0 && !entry.place.dirty) else {
            return Ok(());
        };
        let is_repeated = self.sizes.get(&file.size) == Some(&true);
        let start = start_of(&file.hash);
        let is_uncertain = self.has_losses && old.is_some();
        if !is_repeated || is_uncertain || self.made.len() >= MADE_MAX || self.made.contains_key(&start) {
            return Ok(());
        }
        let at = self.entries.add(&bare_content(&entry.path, file, &entry.place))?;
        if let Some((old, file)) = old.and_then(|old| Some((old, old.file()?))) {
            // The signature of the new entry needs no check: it is whole, or a delta of a signature that was just read.
            let place = Place { sig: None, ..old.place.clone() };
            self.entries.add(&bare_content(&old.path, file, &place))?;
        }
        self.made.insert(start, MadeContent { at, needs_parent: old.is_some() });
        self.note_long(file.data_len());
        Ok(())
    }

    /// Notes that the new entry at `path` points to the content of `old`, an entry of the parent, or to a content that
    /// needs it.
    pub fn point(&mut self, path: &Path, old: &Entry) -> Result<()> {
        self.pointed.add(path, old)
    }

    /// Notes that a part of `old`, an entry of the parent, turned out to be lost; `None` if the entry is not known.
    /// From now on, only contents that this run stored whole are found.
    pub fn note_loss(&mut self, old: Option<&Entry>, part: LostPart) {
        self.has_losses = true;
        self.recorded = Vec::new();
        self.made.retain(|_, made| !made.needs_parent);
        self.long.clear();
        self.pointed.suspect(old, part);
    }

    /// The contents to check after the run.
    pub fn take_pointed(&mut self) -> PointedContents {
        std::mem::replace(&mut self.pointed, PointedContents::new())
    }

    fn note_long(&mut self, data_len: u64) {
        if data_len > IN_MEMORY {
            *self.long.entry(data_len).or_default() += 1;
        }
    }

    /// Whether a file of more than [`IN_MEMORY`] bytes is read only for its hash, to look for its content. `old` is the
    /// parent's version of the file, whose content it certainly does not have.
    pub fn is_worth_a_read(&self, data_len: u64, old: Option<&File>) -> bool {
        if data_len <= IN_MEMORY {
            // Most of the file is holes.
            return data_len > 0 && !(self.recorded.is_empty() && self.made.is_empty());
        }
        let own = u32::from(old.is_some_and(|old| old.data_len() == data_len));
        let others = self.long.get(&data_len).is_some_and(|&count| count > own);
        others && self.in_vain.saturating_add(data_len) <= self.found.saturating_add(IN_VAIN_MAX)
    }

    /// Counts a read of a long file only for its hash.
    pub fn count_read(&mut self, data_len: u64, is_found: bool) {
        let counter = if is_found { &mut self.found } else { &mut self.in_vain };
        *counter = counter.saturating_add(data_len);
    }
}

/// The first bytes of a hash, as a number. [`Recorded::hash_start`] gives the same.
pub fn start_of(hash: &Hash) -> u64 {
    u64::from_be_bytes(hash.0.as_chunks::<8>().0[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Metadata, Node, Range};

    fn entry(n: u64) -> Entry {
        let file = File { size: 5, hash: blake3::hash(&n.to_le_bytes()).into(), holes: Vec::new() };
        let place = Place { content: vec![Range { archive: 0, offset: 0, len: 5 }], ..Place::default() };
        Entry::new(Path::new("file").unwrap(), Node::File(file), Metadata::default(), place)
    }

    fn finds(stored: &mut StoredContents<'_>, n: u64) -> bool {
        let hash = entry(n).file().unwrap().hash;
        matches!(stored.find(&hash, 5), Ok(Some(StoredContent::OfRun { .. })))
    }

    /// A run with several new files of 5 bytes.
    fn two_files() -> StoredContents<'static> {
        let mut scan = ContentScan::new();
        (0..2).for_each(|_| scan.add_file(5));
        scan.finish().unwrap()
    }

    #[test]
    fn recorded_contents_are_read_as_they_were_added() {
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        let mut line = 0;
        let mut all = Vec::new();
        for size in numbers {
            for data_len in numbers.into_iter().filter(|&data_len| data_len <= size) {
                line += size >> 12;
                all.push(RecordedContent { size, data_len, hash_start: !size ^ data_len, line });
            }
            line = line.min(u64::from(u32::MAX));
        }
        all.sort_by_key(|content| content.line);
        let mut recorded = RecordedContents::new();
        all.iter().for_each(|content| recorded.add(content).unwrap());
        let mut read = Vec::new();
        recorded.each(|content| read.push(content)).unwrap();
        assert_eq!(read, all);
    }

    #[test]
    fn whatever_the_number_of_files_memory_is_bounded() {
        let mut scan = ContentScan::new();
        (0..2).for_each(|_| scan.add_file(5));
        (0..LENGTHS_MAX as u64 + 10).for_each(|size| scan.add_file(100 + size));
        for hash_start in 0..RECORDED_MAX as u64 + 10 {
            scan.recorded.add(&RecordedContent { size: 5, data_len: 5, hash_start, line: 0 }).unwrap();
        }
        let mut stored = scan.finish().unwrap();
        assert_eq!((stored.sizes.len(), stored.recorded.len()), (LENGTHS_MAX, RECORDED_MAX));
        let all = MADE_MAX as u64 + 10;
        (0..all).for_each(|n| stored.add(&entry(n), None).unwrap());
        assert_eq!(stored.made.len(), MADE_MAX);
        assert!(finds(&mut stored, 0) && finds(&mut stored, all - 11) && !finds(&mut stored, all - 1));
    }

    #[test]
    fn only_contents_of_repeated_lengths_are_kept_and_dirty_ones_never() {
        let mut scan = ContentScan::new();
        scan.add_file(5);
        let mut once = scan.finish().unwrap();
        once.add(&entry(1), None).unwrap();
        assert!(!finds(&mut once, 1), "no other file has this length");
        let mut twice = two_files();
        let mut dirty = entry(2);
        dirty.place.dirty = true;
        [entry(1), dirty].iter().for_each(|entry| twice.add(entry, None).unwrap());
        assert!(finds(&mut twice, 1) && !finds(&mut twice, 2));
    }

    #[test]
    fn after_a_loss_only_contents_stored_whole_in_this_run_are_found() {
        let mut stored = two_files();
        stored.add(&entry(1), None).unwrap();
        stored.add(&entry(2), Some(&entry(7))).unwrap();
        let hash = entry(2).file().unwrap().hash;
        let Ok(Some(StoredContent::OfRun { old: Some(old), .. })) = stored.find(&hash, 5) else {
            panic!("a content with what it needs")
        };
        assert_eq!(old.node, entry(7).node);
        stored.note_loss(Some(&entry(9)), LostPart::Content);
        stored.add(&entry(3), None).unwrap();
        stored.add(&entry(4), Some(&entry(7))).unwrap();
        assert_eq!([1, 2, 3, 4].map(|n| finds(&mut stored, n)), [true, false, true, false]);
    }

    #[test]
    fn reads_in_vain_are_bounded() {
        let len = 100 << 20;
        let mut stored = StoredContents::none();
        assert!(!stored.is_worth_a_read(len, None), "there is no such content");
        [len, IN_VAIN_MAX, IN_VAIN_MAX + 1].into_iter().for_each(|len| stored.note_long(len));
        let own = File { size: len, hash: Hash::UNKNOWN, holes: Vec::new() };
        assert!(stored.is_worth_a_read(len, None) && !stored.is_worth_a_read(len, Some(&own)));
        assert!(stored.is_worth_a_read(IN_VAIN_MAX, None) && !stored.is_worth_a_read(IN_VAIN_MAX + 1, None));
        (0..2).for_each(|_| stored.count_read(len, false));
        assert!(!stored.is_worth_a_read(len, None), "the third read would exceed the bound");
        stored.count_read(len, true);
        assert!(stored.is_worth_a_read(len, None));
    }
}
