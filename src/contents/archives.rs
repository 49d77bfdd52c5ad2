//! The archives that a state names, their files, and the errors about damage in them. An archive in parts has several
//! files: only this module knows which ranges lie in which of them.

use crate::delta;
use crate::entry::{Entry, File, Range};
use crate::error::{Error, Kind, Result};
use crate::format::{ArchiveFile, ArchiveRef, FrameIndex, ReadAt};

/// Limit in bytes for the deltas of one content. Together, the deltas may be as long as the data of the content, or as
/// this limit if the limit is greater. So a damaged state cannot cause much work.
const DELTAS_LEN: u64 = 32 << 20;

/// The archives of one state, shared with the threads that make contents. All files of all archives are numbered from
/// 0, in the order of the archives and of their parts.
#[derive(Debug)]
pub struct StateArchives {
    files: Vec<PlacedFile>,
    /// For each archive, the number of its first file. The last element is the number of files.
    first: Vec<u32>,
}

/// A file and its place in its archive.
#[derive(Debug)]
struct PlacedFile {
    file: ArchiveFile,
    /// The number of the archive.
    archive: u32,
    /// The offset in the archive's stream at which the file's stream begins.
    start: u64,
    /// The offset of the file in the bytes of all parts, one part after the other.
    stored_start: u64,
}

/// A range of the stream of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRange {
    pub file: u32,
    pub offset: u64,
    pub len: u64,
}

/// In place of the number of a file: there is no such archive.
const NO_FILE: u32 = u32::MAX;

impl StateArchives {
    pub fn new(archives: &[ArchiveRef]) -> Self {
        let (mut files, mut first) =
            (Vec::with_capacity(archives.len()), Vec::with_capacity(archives.len() + 1));
        for (archive, named) in (0u32..).zip(archives) {
            first.push(files.len() as u32);
            let (mut start, mut stored_start) = (0, 0);
            for file in named.files() {
                let (stream, size) = (file.stream, file.size);
                files.push(PlacedFile { file, archive, start, stored_start });
                // The state was checked: the sums are those of the archive.
                (start, stored_start) = (start + stream, stored_start + size);
            }
        }
        first.push(files.len() as u32);
        StateArchives { files, first }
    }

    fn placed(&self, file: u32) -> Result<&PlacedFile> {
        let found = self.files.get(file as usize);
        found.ok_or_else(|| Error::new(Kind::Corrupt, "read", "the state names no such archive"))
    }

    pub fn file(&self, file: u32) -> Result<&ArchiveFile> {
        self.placed(file).map(|placed| &placed.file)
    }

    /// All files, in the order of their numbers.
    pub fn files(&self) -> impl Iterator<Item = &ArchiveFile> {
        self.files.iter().map(|placed| &placed.file)
    }

    /// The numbers of the files of an archive.
    pub fn files_of(&self, archive: u32) -> std::ops::Range<u32> {
        let at = archive as usize;
        self.first.get(at..at.saturating_add(2)).map_or(0..0, |pair| pair[0]..pair[1])
    }

    /// The number of the archive that a file belongs to.
    pub fn archive_of(&self, file: u32) -> Result<u32> {
        self.placed(file).map(|placed| placed.archive)
    }

    /// The offset of a file in a copy of its archive that has the bytes of all parts, one part after the other.
    pub fn start_in_joined(&self, file: u32) -> Result<u64> {
        self.placed(file).map(|placed| placed.stored_start)
    }

    /// Reads and checks the seek table of a file, whose bytes are those of `source`. A part must have exactly the
    /// recorded length, because ranges are looked up by the lengths of the parts.
    pub fn open(&self, source: &mut dyn ReadAt, number: u32) -> Result<FrameIndex> {
        let file = self.file(number)?;
        let index = FrameIndex::open(source, &file.name, file.size, file.compressed())?;
        self.check_stream(number, index.stream_len()).map(|()| index)
    }

    /// Checks the length of the stream that the frames of a file make. Only a part must have exactly the recorded
    /// length.
    pub fn check_stream(&self, number: u32, len: u64) -> Result<()> {
        let file = self.file(number)?;
        match len != file.stream && self.is_part(number) {
            true => {
                let detail = format!("its frames make {len} bytes, not {}", file.stream);
                Err(Error::corrupt("read", &file.name, detail))
            }
            false => Ok(()),
        }
    }

    /// True if the file is one of several parts of its archive.
    pub fn is_part(&self, file: u32) -> bool {
        self.archive_of(file).is_ok_and(|archive| self.files_of(archive).len() > 1)
    }

    /// Splits a range of an archive into ranges of its files, in order: at least one, also of an empty range. What lies
    /// beyond the archive's stream counts to its last file, whose reader then refuses the range.
    pub fn in_files(&self, range: Range) -> FileRanges<'_> {
        let files = self.files_of(range.archive);
        let placed = self.files.get(files.start as usize..files.end as usize).unwrap_or_default();
        let before = placed.partition_point(|placed| placed.start <= range.offset).saturating_sub(1);
        FileRanges {
            archives: self,
            file: files.start + before as u32,
            end: files.end,
            range,
            is_begun: false,
        }
    }

    /// The files with a part of the ranges. An entry needs the files in [`Place::ranges`](crate::entry::Place::ranges).
    pub fn files_in<'s>(
        &'s self,
        ranges: impl IntoIterator<Item = &'s Range> + 's,
    ) -> impl Iterator<Item = u32> + 's {
        ranges.into_iter().flat_map(|range| self.in_files(*range)).map(|range| range.file)
    }

    /// The name of the first file that an entry needs, for messages.
    pub fn of(&self, entry: &Entry) -> Option<&str> {
        let file = self.files_in(&entry.place.content).next()?;
        self.file(file).ok().map(|file| file.name.as_str())
    }

    /// The error for a content that was read completely and differs from the backed-up content.
    pub fn differs(&self, entry: &Entry, file: &File) -> Error {
        let detail =
            format!("the content of {:?} is not what was backed up (expected {})", entry.path, file.hash);
        match entry.place.content.first() {
            Some(range) => self.damaged(range, detail),
            None => Error::new(Kind::Corrupt, "read", detail),
        }
    }

    /// Checks that the deltas of `entry` make as many bytes as the file has outside of holes. `made` is the number of
    /// bytes that they make. Does nothing for an entry without deltas.
    pub fn check_len(&self, entry: &Entry, made: u64) -> Result<()> {
        let wanted = entry.file().map_or(0, File::data_len);
        match entry.place.content.get(1..).and_then(<[Range]>::last).filter(|_| made != wanted) {
            None => Ok(()),
            Some(last) => {
                let detail = format!("the deltas of {:?} make {made} bytes, not {wanted}", entry.path);
                Err(self.damaged(last, detail))
            }
        }
    }

    /// Checks that the deltas of `entry` keep the limit of [`DELTAS_LEN`]. A backup never stores longer deltas.
    pub fn check_deltas(&self, entry: &Entry, deltas: &[Range]) -> Result<()> {
        let limit = entry.file().map_or(0, File::data_len).max(DELTAS_LEN);
        let sum = deltas.iter().fold(0, |sum: u64, delta| sum.saturating_add(delta.len));
        match deltas.last().filter(|_| sum > limit) {
            None => Ok(()),
            Some(last) => {
                let detail = format!("the deltas of {:?} have {sum} bytes, more than {limit}", entry.path);
                Err(self.damaged(last, detail))
            }
        }
    }

    pub fn bad_delta(&self, entry: &Entry, delta: &Range, error: &delta::Error) -> Error {
        self.damaged(delta, format!("the delta of {:?} is damaged: {error}", entry.path))
    }

    fn damaged(&self, range: &Range, detail: String) -> Error {
        let first = self.in_files(*range).next();
        let name = first.and_then(|first| self.file(first.file).ok()).map_or("", |file| &file.name);
        let offset = first.map_or(range.offset, |first| first.offset);
        Error::corrupt("read", name, format!("at offset {offset}: {detail}"))
    }
}

/// See [`StateArchives::in_files`].
#[derive(Clone)]
pub struct FileRanges<'a> {
    archives: &'a StateArchives,
    /// The number of the next file, and of the first file of the next archive.
    file: u32,
    end: u32,
    /// The rest of the range.
    range: Range,
    is_begun: bool,
}

impl Iterator for FileRanges<'_> {
    type Item = FileRange;

    fn next(&mut self) -> Option<FileRange> {
        if self.is_begun && self.range.len == 0 {
            return None;
        }
        self.is_begun = true;
        let Range { offset, len, .. } = self.range;
        let Some(placed) = self.archives.files.get(self.file as usize).filter(|_| self.file < self.end)
        else {
            self.range.len = 0;
            return Some(FileRange { file: NO_FILE, offset, len });
        };
        let (file, from) = (self.file, offset - placed.start);
        let is_last = file + 1 == self.end;
        let here = if is_last { len } else { len.min(placed.file.stream - from) };
        self.file += 1;
        self.range = Range { offset: offset.saturating_add(here), len: len - here, ..self.range };
        Some(FileRange { file, offset: from, len: here })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::entry::Hash;
    use crate::format::{BackupFileKind, part_name};

    fn archive(number: usize, streams: &[u64]) -> ArchiveRef {
        let name = format!("k.full.2026112{number}T220530.123456Z.tar");
        let (kind, digest) = (BackupFileKind::Full, Hash([0; 32]));
        let part = |(number, &stream): (u32, &u64)| ArchiveFile {
            name: part_name(&name, number),
            kind,
            size: stream + 1,
            stream,
            digest,
        };
        let parts = if streams.len() > 1 { (1..).zip(streams).map(part).collect() } else { Vec::new() };
        let (stream, count) = (streams.iter().sum(), streams.len() as u64);
        ArchiveRef { name: name.clone(), kind, size: stream + count, stream, digest, parts }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        /// The bytes of a range, taken one by one from the joined streams, are those of its file ranges.
        #[test]
        fn the_ranges_in_files_are_the_range_in_the_joined_stream(
            streams in vec(vec(1..9u64, 1..5), 1..4), archive: prop::sample::Index, from: prop::sample::Index,
            len in 0..40u64,
        ) {
            let named: Vec<_> = streams.iter().enumerate().map(|(n, s)| super::tests::archive(n, s)).collect();
            let archives = StateArchives::new(&named);
            let number = archive.index(named.len());
            let joined: Vec<(u32, u64)> = archives
                .files_of(number as u32)
                .flat_map(|file| (0..archives.file(file).unwrap().stream).map(move |offset| (file, offset)))
                .collect();
            let from = from.index(joined.len());
            let len = len.min((joined.len() - from) as u64);
            let range = Range { archive: number as u32, offset: from as u64, len };
            let found: Vec<_> = archives.in_files(range).collect();
            let bytes: Vec<_> =
                found.iter().flat_map(|r| (r.offset..r.offset + r.len).map(|at| (r.file, at))).collect();
            prop_assert_eq!(&bytes[..], &joined[from..from + len as usize]);
            prop_assert!(!found.is_empty() && (len == 0 || found.iter().all(|range| range.len > 0)));
            let stored: Vec<u64> = archives
                .files_of(number as u32)
                .map(|file| archives.start_in_joined(file).unwrap() + archives.file(file).unwrap().size)
                .collect();
            prop_assert_eq!(*stored.last().unwrap(), named[number].size);
        }
    }

    #[test]
    fn a_range_outside_of_every_file_is_one_that_no_file_can_read() {
        let archives = StateArchives::new(&[archive(0, &[5]), archive(1, &[3, 4])]);
        let range = |archive, offset, len| Range { archive, offset, len };
        let all = |range| archives.in_files(range).collect::<Vec<_>>();
        assert_eq!(all(range(2, 0, 9)), [FileRange { file: NO_FILE, offset: 0, len: 9 }]);
        assert!(archives.file(NO_FILE).is_err());
        assert_eq!(all(range(0, 4, 9)), [FileRange { file: 0, offset: 4, len: 9 }]);
        let beyond = [FileRange { file: 1, offset: 2, len: 1 }, FileRange { file: 2, offset: 0, len: 9 }];
        assert_eq!(all(range(1, 2, 10)), beyond);
        assert_eq!(all(range(1, 9, 1)), [FileRange { file: 2, offset: 6, len: 1 }]);
        assert_eq!(all(range(1, 0, u64::MAX)).len(), 2);
    }
}
