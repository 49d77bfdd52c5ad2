//! Walking ahead in threads.
//!
//! What is left of the walk is a list of pieces in order. The first ones are given to the threads; a piece
//! comes back as what was found and the pieces that take its place. So the order never depends on which
//! thread was quicker, and no task ever waits for another.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::platform::Dir;
use crate::pool::{Pending, Pool};

use super::cursor::{Cursor, Part};
use super::frame::HELD_MAX;
use super::Found;

#[cfg(test)]
mod tests;

/// How much one task does, and how far ahead all go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// About how many finds one task makes.
    pub batch: usize,
    /// How deep below its first directory a task goes, which bounds the directories that it leaves open.
    pub depth: usize,
    /// Finds waiting to be asked for, those that running tasks may make included. At this many only the
    /// task is started without which nothing goes on.
    pub waiting: usize,
    /// Larger exclude files (in bytes) are compiled only by the task without which nothing goes on: compiled they take
    /// some hundred times as much memory, and no more than those of one path are held.
    pub exclude_file: usize,
}

/// A task runs for a third of a millisecond; what waits takes 2 MB.
pub(super) const LIMITS: Limits = Limits { batch: 256, depth: 8, waiting: 8192, exclude_file: 16 << 10 };

enum Piece {
    /// Names of one directory, to be given to a thread.
    Todo(Cursor),
    Running(Pending<Part>),
    Found(Vec<Found>),
}

pub(super) struct Ahead {
    pool: Arc<Pool>,
    limits: Limits,
    /// In the order of the walk.
    pieces: VecDeque<Piece>,
    /// What was found before all of `pieces`.
    found: std::vec::IntoIter<Found>,
    /// Finds in `pieces`, a batch for each that is running.
    waiting: usize,
    /// How many of `pieces` hold a directory open.
    held: usize,
    /// How many of `pieces`, counted from the last, are known to hold none.
    closed: usize,
    /// The directory of the piece started last.
    last: Option<Arc<Dir>>,
    /// About how many finds a directory makes.
    dir_weight: usize,
}

impl Ahead {
    pub fn new(pool: Arc<Pool>, limits: Limits, cursor: Cursor) -> Ahead {
        let mut ahead = Ahead {
            pool,
            limits,
            pieces: VecDeque::from([Piece::Todo(cursor)]),
            found: Vec::new().into_iter(),
            waiting: 0,
            held: 0,
            closed: 0,
            last: None,
            dir_weight: 16,
        };
        ahead.look_ahead();
        ahead
    }

    /// Takes in what the threads have done and gives them more, in order: as many pieces as keep them busy
    /// until this is called again.
    fn look_ahead(&mut self) {
        let most = 2 * self.pool.threads() + 4;
        let mut at = 0;
        while at < most.min(self.pieces.len()) {
            match std::mem::replace(&mut self.pieces[at], Piece::Found(Vec::new())) {
                Piece::Found(found) => self.pieces[at] = Piece::Found(found),
                Piece::Running(pending) => match pending.try_wait() {
                    Ok(part) => self.done(at, part),
                    Err(pending) => self.pieces[at] = Piece::Running(pending),
                },
                Piece::Todo(cursor)
                    if at > 0
                        && (cursor.is_closed()
                            || cursor.awaits_excludes()
                            || self.waiting >= self.limits.waiting) =>
                {
                    self.pieces[at] = Piece::Todo(cursor);
                    return;
                }
                Piece::Todo(cursor) => self.begin(at, cursor),
            }
            at += 1;
        }
    }

    /// Gives the first names of the piece at `at`, which is `cursor`, to a thread.
    fn begin(&mut self, at: usize, mut cursor: Cursor) {
        if cursor.is_closed() {
            cursor.find_again(self.last.as_deref());
        } else if cursor.dir().is_some() {
            self.held -= 1;
        }
        self.last = cursor.dir().cloned();
        let Limits { batch, depth, exclude_file, .. } = self.limits;
        let exclude_max = if at == 0 { usize::MAX } else { exclude_file };
        let (first, rest) = cursor.split(batch, self.dir_weight);
        self.pieces[at] = Piece::Running(self.pool.run(move || first.run(batch, depth, exclude_max)));
        self.waiting += batch;
        if let Some(rest) = rest {
            self.insert(at + 1, rest);
        }
    }

    /// Puts what a task made of the piece at `at` in its place.
    fn done(&mut self, at: usize, part: Part) {
        self.waiting = self.waiting - self.limits.batch + part.found.len();
        if let Some(weight) = part.found.len().checked_div(part.opened) {
            self.dir_weight = (3 * self.dir_weight + weight).div_ceil(4);
        }
        self.pieces[at] = Piece::Found(part.found);
        for (n, cursor) in part.rest.into_iter().enumerate() {
            self.insert(at + 1 + n, cursor);
        }
        while self.held > HELD_MAX {
            self.close_last();
        }
    }

    /// Closes the directory that is needed last.
    fn close_last(&mut self) {
        let open = |piece: &Piece| matches!(piece, Piece::Todo(cursor) if cursor.dir().is_some());
        let may_be_open = self.pieces.len().saturating_sub(self.closed);
        let at = self.pieces.range(..may_be_open).rposition(open).unwrap_or(0);
        if let Some(Piece::Todo(cursor)) = self.pieces.get_mut(at) {
            cursor.close();
        }
        self.held -= 1;
        self.closed = self.pieces.len() - at;
    }

    fn insert(&mut self, at: usize, cursor: Cursor) {
        self.closed = self.closed.min(self.pieces.len() - at);
        self.held += usize::from(cursor.dir().is_some());
        self.pieces.insert(at, Piece::Todo(cursor));
    }
}

impl Iterator for Ahead {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            if let Some(found) = self.found.next() {
                return Some(found);
            }
            self.look_ahead();
            match self.pieces.pop_front()? {
                Piece::Found(found) => {
                    self.waiting -= found.len();
                    self.found = found.into_iter();
                }
                Piece::Running(pending) => {
                    self.pieces.push_front(Piece::Found(Vec::new()));
                    self.done(0, pending.wait());
                }
                // The first piece was begun just now.
                piece @ Piece::Todo(_) => self.pieces.push_front(piece),
            }
        }
    }
}
