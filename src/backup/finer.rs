//! Makes the delta of a long content finer. The delta by blocks is made first. Then each of its literals is compared
//! with the old bytes between the two copies beside it. Its copies stay.
//!
//! ```text
//! delta by blocks --> batches of copies and literals --> old bytes of each batch, read by the calling thread
//!     --> old bytes verified and compared by a worker --> finer delta, in order
//! ```

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::commit::MemberSpool;
use crate::contents::{Contents, Layout};
use crate::delta::{Command, Commands, FinePiece, FineSearch, FineWriter, MIN_MATCH, OLD_MAX};
use crate::error::{Error, Kind, Result};
use crate::job::Job;
use crate::pool::{Pending, Pool};
use crate::spool::spool_error;
use crate::store::Store;

use super::chunk_pipeline::{DeltaBasis, of_delta};

/// A longer literal is compared in parts of this many bytes.
const PART_MAX: usize = 256 << 10;
/// A batch goes to a worker when it has this many literal bytes, old bytes or steps.
const NEW_ENOUGH: usize = 512 << 10;
const OLD_ENOUGH: u64 = 1 << 20;
const STEPS_ENOUGH: usize = 1 << 14;
/// At most this many batches are in work at once.
const BATCHES_MAX: usize = 3;
/// The old bytes between two copies may be this many bytes longer than the literal between these copies. If they are
/// longer, the second copy takes its bytes from another place, and only the old bytes after the first copy are
/// compared.
const LONGER_BY: u64 = 64 << 10;
/// Where the literal does not lie between two copies, this many more old bytes on each side are compared.
const AROUND: u64 = 16 << 10;
/// After this many literal bytes without a gain, the rest of the content is not compared. A batch has a gain if at
/// least one in `GAIN` of its compared bytes is found in the old content.
const NO_GAIN_MAX: u64 = 16 << 20;
const GAIN: u64 = 64;
/// Frames of the old content are fetched again where the literals need them in another order. When the fetched bytes
/// reach twice the length of the old content plus this number, the rest of the content is not compared.
const FETCHED_MIN: u64 = 64 << 20;

/// The old content, as the store has it.
pub struct OldContentReader<'c> {
    pub contents: &'c mut Contents,
    pub store: &'c mut dyn Store,
    pub layout: Layout,
}

/// A finer delta.
pub struct FinerDelta {
    pub delta: MemberSpool,
    /// Copies and literals of the delta.
    pub commands: usize,
}

/// Makes `coarse`, a delta against the content of `basis`, finer. The outer error ends the backup. The inner error
/// means that the old content cannot be read, or is not the one of the signature.
pub fn finer(
    coarse: MemberSpool,
    basis: &Arc<DeltaBasis>,
    old: OldContentReader,
    pool: &Pool,
    job: &mut Job,
) -> Result<Result<FinerDelta>> {
    let writer = FineWriter::new(MemberSpool::new());
    let fetched = old.contents.fetched_bytes();
    let fetched_max = fetched.saturating_add(basis.len.saturating_mul(2)).saturating_add(FETCHED_MIN);
    let mut making = Making {
        basis,
        old,
        pool,
        batch: LiteralBatch::default(),
        open: 0,
        old_end: None,
        in_flight: VecDeque::new(),
        writer,
        commands: 0,
        without_gain: 0,
        fetched_max,
        is_over: false,
    };
    match making.run(coarse, job) {
        Ok(()) => {}
        Err(error) if error.ends_reading() => return Err(error),
        Err(error) => return Ok(Err(error)),
    }
    let delta = making.writer.finish().map_err(|e| spool_error(&e))?;
    Ok(Ok(FinerDelta { delta, commands: making.commands }))
}

struct Making<'f, 'c> {
    basis: &'f Arc<DeltaBasis>,
    old: OldContentReader<'c>,
    pool: &'f Pool,
    batch: LiteralBatch,
    /// The bytes of `batch.new` from here on belong to the literal that is being read.
    open: usize,
    /// The offset in the old content that corresponds to the next literal: the end of the last copy, plus the length
    /// of the literals since then. `None` before the first copy.
    old_end: Option<u64>,
    in_flight: VecDeque<Pending<Result<ComparedBatch>>>,
    writer: FineWriter<MemberSpool>,
    commands: usize,
    /// Bytes compared since the last batch with a gain.
    without_gain: u64,
    /// When the reader of the old content has fetched this many bytes, the comparison ends.
    fetched_max: u64,
    /// The rest of the content is not compared.
    is_over: bool,
}

/// Copies and literals of the delta by blocks, in order, with the old bytes for the literals.
#[derive(Default)]
struct LiteralBatch {
    steps: Vec<LiteralStep>,
    new: Vec<u8>,
    old: Vec<u8>,
    /// The parts of the old content that `old` gets.
    parts: Vec<Range<u64>>,
    old_len: u64,
}

enum LiteralStep {
    Copy {
        offset: u64,
        len: u64,
    },
    /// Bytes of `new`.
    Literal(Range<usize>),
    /// Bytes of `new`, to be compared with the next of the parts.
    Compare {
        new: Range<usize>,
        /// The offset in the old content that corresponds to the first of the new bytes.
        expected: u64,
    },
}

/// The commands that a worker made of a batch.
struct ComparedBatch {
    commands: Vec<FineCommand>,
    new: Vec<u8>,
    compared: u64,
    copied: u64,
}

enum FineCommand {
    Copy { offset: u64, len: u64 },
    Literal(Range<usize>),
}

impl Making<'_, '_> {
    fn run(&mut self, coarse: MemberSpool, job: &mut Job) -> Result<()> {
        let mut commands =
            Commands::new(coarse.into_reader(), self.basis.len, u64::MAX).map_err(|e| of_delta(&e))?;
        while let Some(command) = commands.next().map_err(|e| of_delta(&e))? {
            match command {
                Command::Literal { .. } => {
                    commands.write_literal(&mut self.batch.new).map_err(|e| of_delta(&e))?;
                    if self.batch.new.len() - self.open >= PART_MAX {
                        self.close_literal(None);
                    }
                }
                Command::Copy { offset, len } => {
                    self.close_literal(Some(offset));
                    self.batch.steps.push(LiteralStep::Copy { offset, len });
                    self.old_end = Some(offset + len);
                }
            }
            if self.open == self.batch.new.len() && self.batch.is_full() {
                job.pulse()?;
                self.hand_over()?;
            }
        }
        self.close_literal(None);
        self.hand_over()?;
        while let Some(batch) = self.in_flight.pop_front() {
            self.collect(batch)?;
        }
        Ok(())
    }

    /// Ends the literal that is being read. The copy after it, if there is one, begins at `next` of the old content.
    fn close_literal(&mut self, next: Option<u64>) {
        let new = self.open..self.batch.new.len();
        let len = new.len() as u64;
        self.open = new.end;
        if len == 0 {
            return;
        }
        let step = match self.old_part(len, next) {
            Some((part, expected)) => {
                self.batch.old_len += part.end - part.start;
                self.batch.parts.push(part);
                LiteralStep::Compare { new, expected }
            }
            None => LiteralStep::Literal(new),
        };
        self.batch.steps.push(step);
        self.old_end = Some(self.old_end.unwrap_or(0).saturating_add(len));
    }

    /// The part of the old content that a literal of `len` bytes is compared with, in whole blocks. Returns with it the
    /// offset in the old content that corresponds to the literal's start.
    fn old_part(&self, len: u64, next: Option<u64>) -> Option<(Range<u64>, u64)> {
        if self.is_over || len < MIN_MATCH as u64 {
            return None;
        }
        let (block, basis_len) = (u64::from(self.basis.signature.block_len()), self.basis.len);
        let (from, to) = match (self.old_end, next) {
            (Some(end), Some(next)) if (end..=end + len + LONGER_BY).contains(&next) => (end, next),
            (None, Some(next)) => (next.saturating_sub(len), next),
            (end, _) => (end.unwrap_or(0), end.unwrap_or(0) + len + AROUND),
        };
        let is_between = from < to && next == Some(to);
        let start = from.saturating_sub(if is_between { 0 } else { AROUND }) / block * block;
        let end = to.next_multiple_of(block).min(basis_len);
        let fits = start < end && end - start <= OLD_MAX as u64;
        fits.then_some((start..end, from))
    }

    /// Reads the old bytes for the literals of the batch, and hands the batch to a worker.
    fn hand_over(&mut self) -> Result<()> {
        let mut batch = std::mem::take(&mut self.batch);
        self.open = 0;
        let OldContentReader { contents, store, layout } = &mut self.old;
        let old = &mut batch.old;
        old.reserve_exact(batch.old_len as usize);
        layout.read_parts(contents, *store, &batch.parts, &mut |bytes| {
            old.extend_from_slice(bytes);
            Ok(())
        })?;
        if batch.old.len() as u64 != batch.old_len {
            return Err(not_of_the_signature());
        }
        self.is_over |= contents.fetched_bytes() >= self.fetched_max;
        if self.in_flight.len() >= BATCHES_MAX
            && let Some(batch) = self.in_flight.pop_front()
        {
            self.collect(batch)?;
        }
        let basis = self.basis.clone();
        self.in_flight.push_back(self.pool.run(move || batch.compare(&basis)));
        Ok(())
    }

    /// Waits for a batch, and appends its commands to the finer delta.
    fn collect(&mut self, batch: Pending<Result<ComparedBatch>>) -> Result<()> {
        let ComparedBatch { commands, new, compared, copied } = batch.wait()?;
        for command in &commands {
            match command {
                FineCommand::Copy { offset, len } => self.writer.copy(*offset, *len),
                FineCommand::Literal(bytes) => self.writer.literal(&new[bytes.clone()]),
            }
            .map_err(|e| spool_error(&e))?;
        }
        self.commands += commands.len();
        if copied > 0 && copied >= compared / GAIN {
            self.without_gain = 0;
        } else {
            self.without_gain += compared;
            self.is_over |= self.without_gain >= NO_GAIN_MAX;
        }
        Ok(())
    }
}

impl LiteralBatch {
    fn is_full(&self) -> bool {
        self.new.len() >= NEW_ENOUGH || self.old_len >= OLD_ENOUGH || self.steps.len() >= STEPS_ENOUGH
    }

    /// Compares the literals with the old bytes. Fails if the old bytes do not have the sums of the signature: a
    /// delta against other bytes would restore a wrong content.
    fn compare(self, basis: &DeltaBasis) -> Result<ComparedBatch> {
        let LiteralBatch { steps, new, old, parts, .. } = self;
        let block = u64::from(basis.signature.block_len());
        let mut search = FineSearch::default();
        let (mut commands, mut compared, mut copied) = (Vec::with_capacity(steps.len()), 0, 0);
        let (mut rest, mut parts) = (&old[..], parts.into_iter());
        for step in steps {
            let (range, expected) = match step {
                LiteralStep::Copy { offset, len } => {
                    commands.push(FineCommand::Copy { offset, len });
                    continue;
                }
                LiteralStep::Literal(range) => {
                    commands.push(FineCommand::Literal(range));
                    continue;
                }
                LiteralStep::Compare { new, expected } => (new, expected),
            };
            let part = parts.next().unwrap_or_default();
            let (old, later) = rest.split_at((part.end - part.start) as usize);
            rest = later;
            if !basis.signature.is_of(part.start / block, old) {
                return Err(not_of_the_signature());
            }
            compared += range.len() as u64;
            let likely = expected.wrapping_sub(part.start) as i64 as isize;
            search.pieces(old, &new[range.clone()], likely, |piece| {
                commands.push(match piece {
                    FinePiece::Literal(literal) => {
                        FineCommand::Literal(range.start + literal.start..range.start + literal.end)
                    }
                    FinePiece::Copy(found) => {
                        copied += found.len as u64;
                        FineCommand::Copy { offset: part.start + found.old as u64, len: found.len as u64 }
                    }
                });
            });
        }
        Ok(ComparedBatch { commands, new, compared, copied })
    }
}

fn not_of_the_signature() -> Error {
    Error::new(Kind::Corrupt, "compare with the old content", "the store has not the bytes of its signature")
}
