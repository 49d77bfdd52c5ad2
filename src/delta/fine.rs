//! Compares new bytes with old bytes, byte by byte. A signature finds only whole blocks; this module finds common
//! ranges of [`MIN_MATCH`] bytes or more. The result is still a librsync delta.
//!
//! ```text
//! old bytes --> one table: the words at its positions --+
//!                                                       +--> matches --> copies and literals
//! new bytes --> the word at each position --------------+
//! ```

use std::io::{self, Write};
use std::ops::Range;

use super::encode::Encoder;

/// The shortest copy, in bytes. A copy command usually takes 4 to 9 bytes, which zstd hardly compresses. After zstd,
/// fewer literal bytes than this often take less room than a copy command.
pub const MIN_MATCH: usize = 32;

/// Bytes of a word. The table finds a position in the old bytes by the word that begins there.
const WORD: usize = 8;
/// The table has at most this many slots, so that it fits the processor's cache (1 MiB). If the old bytes have more
/// positions, only every second, third, ... of them is in the table.
const SLOTS_MAX: usize = 1 << 18;
/// The most old bytes of one comparison: 2 MiB. The table then has every eighth position, so a match of [`MIN_MATCH`]
/// bytes still contains at least three words of the table.
pub const OLD_MAX: usize = 8 * SLOTS_MAX;
/// While nothing matches, the search skips positions of the new bytes: the step to the next probe is 1, plus 1 for
/// every [`PATIENCE`] bytes since the last match, and at most [`STEP_MAX`].
const PATIENCE: usize = 128;
const STEP_MAX: usize = 8;
/// An empty slot of the table.
const EMPTY: u32 = u32::MAX;

/// A range of equal bytes, by its start in the old bytes and its start in the new bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    pub old: usize,
    pub new: usize,
    /// At least [`MIN_MATCH`].
    pub len: usize,
}

/// A run of equal bytes.
#[derive(Clone, Copy, Debug, Default)]
struct ByteRun {
    start: usize,
    /// Number of positions, counted in steps of the table's stride.
    len: usize,
}

/// Finds matches. Keeps the memory of its table from one comparison to the next.
#[derive(Default)]
pub struct FineSearch {
    /// The position of a word in the old bytes, by the hash of the word. If several words have the same hash, the table
    /// has the last position.
    table: Vec<u32>,
    /// For each byte value, the longest run of that byte in the old bytes. Words that repeat one byte are not in the
    /// table, because a search through long runs would then take quadratic time.
    runs: Vec<ByteRun>,
    /// Positions compared so far. The work is linear in this number, and the number is at most twice the number of new
    /// bytes, for any input.
    probes: u64,
}

impl FineSearch {
    /// Calls `found` for each match of `new` with `old`, in the order of `new`. Matches do not overlap in `new`.
    /// Compares only the first [`OLD_MAX`] bytes of `old`. `expected` is the position in `old` that probably
    /// corresponds to the first byte of `new`; it may lie outside of `old`.
    pub fn matches(&mut self, old: &[u8], new: &[u8], expected: isize, mut found: impl FnMut(Match)) {
        let old = &old[..old.len().min(OLD_MAX)];
        if old.len() < MIN_MATCH || new.len() < MIN_MATCH {
            return;
        }
        let stride = old.len().div_ceil(SLOTS_MAX);
        let shift = self.fill(old, stride);
        // Old position minus new position of the last match.
        let mut drift = expected;
        let (mut at, mut done) = (0, 0);
        while let Some(word) = word_at(new, at) {
            let likely = at.checked_add_signed(drift).filter(|&old_at| word_at(old, old_at) == Some(word));
            self.probes += 1;
            let mut longest = likely.map(|old_at| extend(old, new, old_at, at, done));
            if longest.is_none_or(|best| best.len < MIN_MATCH) {
                let old_at = match is_run(word) {
                    true => self.runs[usize::from(word as u8)].start,
                    false => self.table[slot(word, shift)] as usize,
                };
                self.probes += 1;
                if word_at(old, old_at) == Some(word) {
                    longest = Some(extend(old, new, old_at, at, done));
                }
            }
            match longest.filter(|best| best.len >= MIN_MATCH) {
                Some(best) => {
                    found(best);
                    (at, done) = (best.new + best.len, best.new + best.len);
                    drift = best.old as isize - best.new as isize;
                }
                // With a stride above 1, a longer step could miss all words of a match that are in the table.
                None if stride == 1 => at += 1 + ((at - done) / PATIENCE).min(STEP_MAX - 1),
                None => at += 1,
            }
        }
    }

    /// Like [`FineSearch::matches`], but also passes on the ranges between the matches. Together, the pieces are the
    /// whole of `new`, in order. No piece is empty.
    pub fn pieces(&mut self, old: &[u8], new: &[u8], expected: isize, mut each: impl FnMut(FinePiece)) {
        let mut done = 0;
        self.matches(old, new, expected, |found| {
            if done < found.new {
                each(FinePiece::Literal(done..found.new));
            }
            each(FinePiece::Copy(found));
            done = found.new + found.len;
        });
        if done < new.len() {
            each(FinePiece::Literal(done..new.len()));
        }
    }

    /// Positions that were compared so far.
    pub fn probes(&self) -> u64 {
        self.probes
    }

    /// Puts every `stride`-th position of `old` into the table. Returns the shift for [`slot`].
    fn fill(&mut self, old: &[u8], stride: usize) -> u32 {
        let slots = (old.len() / stride).next_power_of_two().clamp(1 << 8, SLOTS_MAX);
        let shift = u64::BITS - slots.trailing_zeros();
        self.table.clear();
        self.table.resize(slots, EMPTY);
        self.runs.clear();
        self.runs.resize(256, ByteRun::default());
        let (mut run, mut run_word) = (ByteRun::default(), 0);
        for (at, word) in old.windows(WORD).enumerate().step_by(stride) {
            let word = word_of(word);
            if !is_run(word) {
                self.table[slot(word, shift)] = at as u32;
                continue;
            }
            let goes_on = word == run_word && run.start + run.len * stride == at;
            run = if goes_on { ByteRun { len: run.len + 1, ..run } } else { ByteRun { start: at, len: 1 } };
            run_word = word;
            let longest = &mut self.runs[usize::from(word as u8)];
            if run.len > longest.len {
                *longest = run;
            }
        }
        shift
    }
}

/// A part of the new bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinePiece {
    /// Equal to a range of the old bytes.
    Copy(Match),
    /// A range of the new bytes for which no match was found.
    Literal(Range<usize>),
}

/// Makes the delta of `new` against the basis `old`. Compares with at most [`OLD_MAX`] bytes of `old`.
pub fn fine_delta<W: Write>(search: &mut FineSearch, old: &[u8], new: &[u8], out: W) -> io::Result<W> {
    let mut writer = FineWriter::new(out);
    writer.compare(search, (old, 0), new, 0)?;
    writer.finish()
}

/// Writes a delta out of copies, literals and comparisons, in the order of the new content.
pub struct FineWriter<W>(Encoder<W>);

impl<W: Write> FineWriter<W> {
    pub fn new(out: W) -> Self {
        FineWriter(Encoder::new(out))
    }

    /// Adds a copy of `len` bytes at `offset` of the basis.
    pub fn copy(&mut self, offset: u64, len: u64) -> io::Result<()> {
        self.0.copy(offset, len)
    }

    pub fn literal(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.literal(bytes)
    }

    /// Adds `new`: copies where it matches `old`, and literals elsewhere. `offset` is the offset of `old` in the basis,
    /// and `expected` is as in [`FineSearch::matches`]. Returns the number of bytes copied.
    pub fn compare(
        &mut self,
        search: &mut FineSearch,
        (old, offset): (&[u8], u64),
        new: &[u8],
        expected: isize,
    ) -> io::Result<u64> {
        let (mut copied, mut written) = (0, Ok(()));
        search.pieces(old, new, expected, |piece| {
            if written.is_err() {
                return;
            }
            written = match piece {
                FinePiece::Literal(range) => self.literal(&new[range]),
                FinePiece::Copy(found) => {
                    copied += found.len as u64;
                    self.copy(offset + found.old as u64, found.len as u64)
                }
            };
        });
        written.map(|()| copied)
    }

    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

/// The longest match that contains the equal words at `old_at` and `new_at`, and does not begin before `from` in `new`.
fn extend(old: &[u8], new: &[u8], old_at: usize, new_at: usize, from: usize) -> Match {
    let before = common_suffix(&old[..old_at], &new[from..new_at]);
    let after = WORD + common_prefix(&old[old_at + WORD..], &new[new_at + WORD..]);
    Match { old: old_at - before, new: new_at - before, len: before + after }
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let len = a.len().min(b.len());
    let (a, b) = (&a[..len], &b[..len]);
    let words = a.as_chunks::<WORD>().0.iter().zip(b.as_chunks::<WORD>().0);
    for (number, (a, b)) in words.enumerate() {
        let differs = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differs != 0 {
            return number * WORD + (differs.trailing_zeros() / 8) as usize;
        }
    }
    let rest = len / WORD * WORD;
    rest + a[rest..].iter().zip(&b[rest..]).take_while(|(a, b)| a == b).count()
}

fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(WORD)?).map(word_of)
}

fn word_of(bytes: &[u8]) -> u64 {
    bytes.as_chunks::<WORD>().0.first().map_or(0, |word| u64::from_le_bytes(*word))
}

fn is_run(word: u64) -> bool {
    word == word.rotate_left(8)
}

/// The slot of a word in the table. The multiplier is 2^64 divided by the golden ratio, so the highest bits of the
/// product depend on all bits of the word.
fn slot(word: u64, shift: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift) as usize
}
