//! Walks in several threads, before the caller asks for the items.
//!
//! The rest of the walk is a list of pieces, in order. The threads work on the first pieces. A finished task returns
//! the items of its piece, and new pieces for the part that it did not walk. Both replace the piece. The order of the
//! items therefore never depends on the speed of the threads, and no task waits for another task.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::platform::Dir;
use crate::pool::{Pending, Pool};

use super::WalkItem;
use super::cursor::{Cursor, WalkPart};
use super::frame::HELD_MAX;

#[cfg(test)]
mod tests;

/// The amount of work of one task, and of all tasks together.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParallelLimits {
    /// Approximate number of items of one task.
    pub batch: usize,
    /// Most levels that a task goes down below its first directory. This limits the directories that the task leaves
    /// open.
    pub depth: usize,
    /// Most items that wait for the caller, with `batch` items counted for each running task. At the limit only the
    /// first piece is started, and only if no item is ready, because the walk cannot go on without it.
    pub waiting: usize,
    /// Largest exclude file, in bytes, that any task may compile. Only the task of the first piece compiles a larger
    /// one. Compiled patterns take about a hundred times as much memory as the file, so the large files in memory are
    /// those of one path only.
    pub exclude_file: usize,
    /// Most directories that wait open for a task.
    pub held: usize,
    /// Most tasks at a time, at least one. [`ParallelLimits::for_pool`] lowers the number to eight for each thread and
    /// 8 more, or fewer if few descriptors are left.
    pub tasks: usize,
}

/// With these limits a task runs for a third of a millisecond, and the waiting items take up to about 16 MB. So many
/// items are found while the caller reads a state of a hundred thousand entries.
pub(super) const PARALLEL_LIMITS: ParallelLimits = ParallelLimits {
    batch: 256,
    depth: 8,
    waiting: 65536,
    exclude_file: 16 << 10,
    held: HELD_MAX,
    tasks: usize::MAX,
};

impl ParallelLimits {
    /// The limits for the threads and the descriptors of `pool`. Two thirds of the descriptors are for the tasks: each
    /// holds one directory open for each level, and a file.
    fn for_pool(self, pool: &Pool) -> ParallelLimits {
        let descriptors = pool.descriptors();
        let depth = self.depth.min((descriptors / 8).max(1));
        let tasks = self.tasks.min(8 * pool.threads() + 8).min((descriptors * 2 / 3 / (depth + 2)).max(1));
        let held = self.held.min(descriptors.saturating_sub(tasks * (depth + 2)));
        ParallelLimits { depth, tasks, held, ..self }
    }
}

enum WalkPiece {
    /// Names of one directory that no thread has begun.
    Todo(Cursor),
    Running(Pending<WalkPart>),
    Found(Vec<WalkItem>),
}

pub(super) struct ParallelWalk {
    pool: Arc<Pool>,
    limits: ParallelLimits,
    /// The pieces of the rest of the walk, in order.
    pieces: VecDeque<WalkPiece>,
    /// The items that come before all `pieces`: those of each piece that was the first one.
    ready: VecDeque<Vec<WalkItem>>,
    /// The items that come before all in `ready`.
    found: std::vec::IntoIter<WalkItem>,
    /// Number of items in `ready` and `pieces`, with one batch counted for each running piece.
    waiting: usize,
    /// Number of running pieces.
    running: usize,
    /// Number of pieces to do that hold a directory open.
    held: usize,
    /// Number of pieces at the end that are known to hold no open directory.
    closed: usize,
    /// The directory of the piece that was started last.
    last: Option<Arc<Dir>>,
    /// Approximate number of items for each directory, estimated from the parts walked so far.
    dir_weight: usize,
}

impl ParallelWalk {
    pub fn new(pool: Arc<Pool>, limits: ParallelLimits, cursor: Cursor) -> ParallelWalk {
        let mut walk = ParallelWalk {
            limits: limits.for_pool(&pool),
            pool,
            pieces: VecDeque::from([WalkPiece::Todo(cursor)]),
            ready: VecDeque::new(),
            found: Vec::new().into_iter(),
            waiting: 0,
            running: 0,
            held: 0,
            closed: 0,
            last: None,
            dir_weight: 16,
        };
        walk.start_tasks();
        walk
    }

    /// Takes the results of finished tasks and starts further tasks, in order: enough to keep the threads busy
    /// until the next call.
    pub fn start_tasks(&mut self) {
        self.take_ready();
        self.start_pieces();
        self.take_ready();
    }

    /// Takes the first pieces out, as far as they are done.
    fn take_ready(&mut self) {
        while let Some(WalkPiece::Found(found)) = self.pieces.front_mut() {
            self.ready.push_back(std::mem::take(found));
            self.pieces.pop_front();
        }
    }

    fn start_pieces(&mut self) {
        let mut at = 0;
        while at < self.pieces.len() {
            match std::mem::replace(&mut self.pieces[at], WalkPiece::Found(Vec::new())) {
                WalkPiece::Found(found) => self.pieces[at] = WalkPiece::Found(found),
                WalkPiece::Running(pending) => match pending.try_wait() {
                    Ok(part) => self.done(at, part),
                    Err(pending) => self.pieces[at] = WalkPiece::Running(pending),
                },
                WalkPiece::Todo(cursor)
                    if at > 0 && (cursor.is_closed() || cursor.awaits_turn() || self.has_all_tasks())
                        || self.is_far_ahead() && (at > 0 || !self.ready.is_empty()) =>
                {
                    self.pieces[at] = WalkPiece::Todo(cursor);
                    return;
                }
                WalkPiece::Todo(cursor) => self.begin(at, cursor),
            }
            at += 1;
        }
    }

    /// True if as many items wait as may.
    fn is_far_ahead(&self) -> bool {
        self.waiting >= self.limits.waiting
    }

    /// True if no piece but the first one may start a task. One task is left to the first piece.
    fn has_all_tasks(&self) -> bool {
        let is_first_running = matches!(self.pieces.front(), Some(WalkPiece::Running(_)));
        self.running + usize::from(!is_first_running) >= self.limits.tasks
    }

    /// Gives the first names of `cursor`, the piece at index `at`, to a thread.
    fn begin(&mut self, at: usize, mut cursor: Cursor) {
        if cursor.is_closed() {
            cursor.find_again(self.last.as_deref());
        } else if cursor.dir().is_some() {
            self.held -= 1;
        }
        if cursor.is_short() {
            self.close_all();
            cursor.retry();
        }
        self.last = cursor.dir().cloned();
        let ParallelLimits { batch, depth, exclude_file, .. } = self.limits;
        let exclude_max = if at == 0 { usize::MAX } else { exclude_file };
        let (first, rest) = cursor.split(batch, self.dir_weight);
        self.pieces[at] = WalkPiece::Running(self.pool.run(move || first.run(batch, depth, exclude_max)));
        self.waiting += batch;
        self.running += 1;
        if let Some(rest) = rest {
            self.insert(at + 1, rest);
        }
    }

    /// Replaces the piece at index `at` by the result of its task.
    fn done(&mut self, at: usize, part: WalkPart) {
        self.waiting = self.waiting - self.limits.batch + part.found.len();
        self.running -= 1;
        if let Some(weight) = part.found.len().checked_div(part.opened) {
            self.dir_weight = (3 * self.dir_weight + weight).div_ceil(4);
        }
        self.pieces[at] = WalkPiece::Found(part.found);
        for (n, cursor) in part.rest.into_iter().enumerate() {
            self.insert(at + 1 + n, cursor);
        }
        while self.held > self.limits.held {
            self.close_last();
        }
    }

    /// Waits for all running tasks, and closes every directory that waits open for a task.
    fn close_all(&mut self) {
        let running = |piece: &WalkPiece| matches!(piece, WalkPiece::Running(_));
        while let Some(at) = self.pieces.iter().position(running) {
            if let WalkPiece::Running(pending) =
                std::mem::replace(&mut self.pieces[at], WalkPiece::Found(Vec::new()))
            {
                self.done(at, pending.wait());
            }
        }
        while self.held > 0 {
            self.close_last();
        }
        self.last = None;
    }

    /// Closes the open directory that the walk needs last.
    fn close_last(&mut self) {
        let open = |piece: &WalkPiece| matches!(piece, WalkPiece::Todo(cursor) if cursor.dir().is_some());
        let may_be_open = self.pieces.len().saturating_sub(self.closed);
        let at = self.pieces.range(..may_be_open).rposition(open).unwrap_or(0);
        if let Some(WalkPiece::Todo(cursor)) = self.pieces.get_mut(at) {
            cursor.close();
        }
        self.held -= 1;
        self.closed = self.pieces.len() - at;
    }

    fn insert(&mut self, at: usize, cursor: Cursor) {
        self.closed = self.closed.min(self.pieces.len() - at);
        self.held += usize::from(cursor.dir().is_some());
        self.pieces.insert(at, WalkPiece::Todo(cursor));
    }
}

impl Iterator for ParallelWalk {
    type Item = WalkItem;

    fn next(&mut self) -> Option<WalkItem> {
        loop {
            if let Some(found) = self.found.next() {
                return Some(found);
            }
            self.start_tasks();
            if let Some(found) = self.ready.pop_front() {
                self.waiting -= found.len();
                self.found = found.into_iter();
                continue;
            }
            match self.pieces.pop_front()? {
                WalkPiece::Running(pending) => {
                    self.pieces.push_front(WalkPiece::Found(Vec::new()));
                    self.done(0, pending.wait());
                }
                // Cannot happen: `start_tasks` started the first piece, or took it out.
                piece => self.pieces.push_front(piece),
            }
        }
    }
}
