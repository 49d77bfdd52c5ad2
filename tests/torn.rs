//! Files that are written while a backup reads them, without a time stamp that shows it: through a memory map, or
//! within one tick of the file system's clock. A content that is stored as good was the file's content at one moment.

mod support;

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ibt::job::{Counter, ProblemKind, Report, Select};
use support::series::{counter, problem_paths};
use support::tools::Mount;
use support::*;

/// A memory map of a whole file, for writing.
struct Map {
    words: *const AtomicU64,
    count: usize,
}

// SAFETY: the words are atomic, and mapped for as long as the value lives.
unsafe impl Sync for Map {}

impl Map {
    fn new(path: &Path) -> Map {
        let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let len = file.metadata().unwrap().len() as usize;
        // SAFETY: a new mapping of `len` bytes that the file has.
        let at = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), len, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        assert_ne!(at, libc::MAP_FAILED);
        Map { words: at.cast(), count: len / 8 }
    }

    /// Writes `round` into every word, from the first to the last.
    fn fill(&self, round: u64) {
        for at in 0..self.count {
            // SAFETY: inside the mapping.
            unsafe { &*self.words.add(at) }.store(round, Ordering::Relaxed);
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping of `new`, and no reference into it exists any more.
        unsafe { libc::munmap(self.words as *mut libc::c_void, self.count * 8) };
    }
}

/// The file is filled with one number after the other, from the first word to the last. True if the file can have had
/// these bytes at one moment: the newer number up to some word, and the number before it from there on.
fn is_of_one_moment(bytes: &[u8]) -> bool {
    let words: Vec<u64> =
        bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    let newer = words.iter().take_while(|&&word| word == words[0]).count();
    words[newer..].iter().all(|&word| word + 1 == words[0])
}

/// Calls `fill` with one number after the other while `work` runs.
fn while_filling<T>(fill: impl Fn(u64) + Sync, work: impl FnOnce() -> T) -> T {
    struct Stop<'s>(&'s AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            for round in 2.. {
                fill(round);
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        work()
    })
}

/// Makes `rounds` full backups while `write` changes the file `f`. Returns how many of them have a torn `f` that is not
/// listed. `is_whole` says whether bytes are those of one version.
fn torn_and_called_good(
    series: &Series,
    rounds: usize,
    write: impl Fn(u64) + Sync,
    is_whole: impl Fn(&[u8]) -> bool,
) -> usize {
    let mut torn = 0;
    for round in 0..rounds {
        let report = while_filling(&write, || series.full().ok());
        let is_told = !problem_paths(&report, ProblemKind::Changed).is_empty();
        let dest = series.beside("restored");
        series.restore(Select::Newest, &dest).whole();
        let bytes = fs::read(dest.join("f")).unwrap();
        let is_whole = is_whole(&bytes);
        torn += usize::from(!is_told && !is_whole);
        eprintln!("{} bytes, round {round}: told {is_told}, one version {is_whole}", bytes.len());
        series::remove(&dest);
    }
    torn
}

/// A file that is stored as good has the bytes of one moment. Any other file is listed.
fn assert_good_or_listed(series: &Series, report: &Report, doing: &str) {
    let entry = stored::entry(&stored::parse(&series.newest("state")), "f");
    let is_dirty = entry["at"]["dirty"] == true;
    let told: &[&str] = if is_dirty { &["f"] } else { &[] };
    assert_eq!(problem_paths(report, ProblemKind::Changed), told, "{doing}");
    let dest = series.beside("restored");
    series.restore(Select::Newest, &dest).whole();
    assert!(
        is_dirty || is_of_one_moment(&fs::read(dest.join("f")).unwrap()),
        "{doing}: torn, and called good"
    );
    series::remove(&dest);
}

/// Writes into a memory page that is already dirty change no time stamp.
#[test]
fn a_file_written_through_a_map_is_of_one_moment_or_marked() {
    let mut noticed = 0;
    for len in [4096, 400_000, 6 << 20] {
        let series = Series::new();
        let map = Map::new(&series.write("f", 1u64.to_le_bytes().repeat(len / 8)));
        for round in 0..6 {
            let report = while_filling(
                |word| map.fill(word),
                || match round {
                    0 => series.full().ok(),
                    _ => series.incremental().ok(),
                },
            );
            assert_good_or_listed(&series, &report, &format!("{len} bytes"));
            noticed += report.problems.len();
        }
        // The file does not change any more.
        series.incremental().whole();
        series.assert_newest_is_the_source();
    }
    assert!(noticed > 0, "no write was ever noticed");
}

/// With time stamps of whole seconds, all writes during a backup usually have the same time stamp.
#[test]
fn a_file_written_within_one_tick_is_of_one_moment_or_marked() {
    let kinds: [&[&str]; 3] = [&["-t", "ext4", "-I", "128"], &["-t", "ext2"], &["-t", "ext3"]];
    for kind in kinds {
        let series = Series::new();
        let at = series.source.clone();
        let Some(mount) = Mount::ext(&series.beside("image"), &at, kind) else {
            return support::tools::skip("no file system can be mounted here");
        };
        for (pause, len) in [(0, 3 << 20), (0, 600_000), (500, 600_000), (5000, 600_000), (20_000, 3 << 20)] {
            let path = series.write("f", 1u64.to_le_bytes().repeat(len / 8));
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            let write = |word: u64| {
                file.write_all_at(&word.to_le_bytes().repeat(len / 8), 0).unwrap();
                std::thread::sleep(Duration::from_micros(pause));
            };
            for _ in 0..3 {
                let report = while_filling(write, || series.full().ok());
                assert_good_or_listed(&series, &report, &format!("{kind:?}, {pause} us, {len} bytes"));
            }
        }
        drop(mount);
    }
}

/// A writer that the system stops in the middle of a write leaves half of each version for some milliseconds. Time
/// stamps of whole seconds do not show when the other half arrives, and two reads in a row agree. The machine decides
/// how long a writer is stopped, so a few torn files may stay unnoticed. Without a pause between the two reads, most
/// of them would.
#[test]
fn a_file_whose_writer_stops_half_way_is_one_version_or_marked() {
    const ROUNDS: usize = 12;
    for len in [16_384, 2 << 20] {
        let series = Series::new();
        let at = series.source.clone();
        let Some(mount) = Mount::ext(&series.beside("image"), &at, &["-t", "ext4", "-I", "128"]) else {
            return support::tools::skip("no file system can be mounted here");
        };
        let file = fs::OpenOptions::new().write(true).open(series.write("f", vec![0; len])).unwrap();
        let write = |round: u64| {
            let half = vec![round as u8; len / 2];
            for offset in [0, len / 2] {
                file.write_all_at(&half, offset as u64).unwrap();
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        let is_whole = |bytes: &[u8]| bytes.iter().all(|&byte| byte == bytes[0]);
        let torn = torn_and_called_good(&series, ROUNDS, write, is_whole);
        assert!(torn <= ROUNDS / 4, "{len} bytes: {torn} of {ROUNDS} are torn, and called good");
        drop(mount);
    }
}

/// A large file that is torn nearly all the time: the writer stops for some milliseconds between the first and the last
/// bytes of each version. Two reads in a row find the same bytes, and two reads with a pause between them do not.
#[test]
fn a_large_file_is_read_again_after_a_pause() {
    const ROUNDS: usize = 16;
    const LEN: usize = (1 << 20) + 4096;
    let series = Series::new();
    let at = series.source.clone();
    let Some(_mount) = Mount::ext(&series.beside("image"), &at, &["-t", "ext4", "-I", "128"]) else {
        return support::tools::skip("no file system can be mounted here");
    };
    let file = fs::OpenOptions::new().write(true).open(series.write("f", vec![0; LEN])).unwrap();
    let write = |round: u64| {
        file.write_all_at(&round.to_le_bytes(), 0).unwrap();
        std::thread::sleep(Duration::from_millis(8));
        file.write_all_at(&round.to_le_bytes(), LEN as u64 - 8).unwrap();
    };
    let torn = torn_and_called_good(&series, ROUNDS, write, |bytes| bytes[..8] == bytes[LEN - 8..]);
    assert!(torn <= ROUNDS / 2, "{torn} of {ROUNDS} are torn, and called good");
}

/// Only files that changed just now are read twice. The second read is not counted, and it is not needed for the
/// recorded content.
#[test]
fn a_file_that_holds_still_is_read_once_as_far_as_anybody_can_tell() {
    let series = Series::new();
    series.write("small", noise(1, 100_000));
    series.write("large", noise(2, 3 << 20));
    let size = (3 << 20) + 100_000;
    assert_eq!(counter(&series.full().whole(), Counter::BytesRead), size);
    assert_eq!(counter(&series.incremental().whole(), Counter::BytesRead), size, "too young to be unchanged");
}
