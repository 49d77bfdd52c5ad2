//! Locking a key for an operation: waiting for the lock, the turn of a waiting prune, and working without a lock.

use std::time::{Duration, Instant};

use super::{Lock, LockMode, Store};
use crate::error::{Error, Kind, Result};
use crate::job::{Job, Level, Problem, ProblemKind};

/// Time between two attempts to get a lock.
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// The time for which a waiting prune first keeps other operations out.
const FIRST_TURN: Duration = Duration::from_secs(1);
/// The longest time for which a waiting prune keeps other operations out without a pause. An operation that waits
/// longer gets in.
const LONGEST_TURN: Duration = Duration::from_secs(256);

/// An operation's lock on a key. Holds no lock if locks are impossible and the operation may go on without one.
pub struct KeyLock {
    keeps_writers_out: bool,
    _held: Lock,
}

impl KeyLock {
    /// True if no other operation can be writing, because this lock is a lock for writing or deleting. If false, a file
    /// that no state names may belong to a backup that is still running.
    pub fn keeps_writers_out(&self) -> bool {
        self.keeps_writers_out
    }
}

/// The turn of a prune that waits for a key: only one prune has the turn at a time. Dropping the value gives the turn
/// up.
pub trait Turn {
    /// Keeps operations that begin later away from the key (`out` is true), or lets them in again. The lock for this
    /// may be taken for a moment, so the caller repeats the call.
    fn keep_others_out(&mut self, out: bool);
}

/// Locks `key`, and waits for the lock as long as the options allow. `Busy` after that time. If locks are impossible,
/// an operation that only reads goes on without a lock and reports a problem. Other operations go on without a lock if
/// the options allow that, else they fail with `Unsupported`.
pub fn lock(store: &mut dyn Store, key: &str, mode: LockMode, job: &mut Job) -> Result<KeyLock> {
    let wait = job.options.lock_wait_ms;
    let start = Instant::now();
    let mut turn = None;
    loop {
        job.pulse()?;
        match store.lock(key, mode) {
            Err(error)
                if error.kind == Kind::Busy && (wait < 0 || start.elapsed().as_millis() < wait as u128) =>
            {
                if mode == LockMode::Delete {
                    wait_in_turn(store, key, &mut turn)?;
                }
                std::thread::sleep(LOCK_RETRY);
            }
            Err(error) if error.kind == Kind::Unsupported => return without_lock(error, mode, job),
            other => {
                let keeps_writers_out = !mode.only_reads() && store.has_locks();
                return Ok(KeyLock { keeps_writers_out, _held: other? });
            }
        }
    }
}

/// Takes the turn of a waiting prune if it is free. A prune that has the turn keeps others out or lets them in,
/// depending on the age of the turn.
fn wait_in_turn(store: &mut dyn Store, key: &str, turn: &mut Option<(Box<dyn Turn>, Instant)>) -> Result<()> {
    if turn.is_none() {
        *turn = store.take_turn(key)?.map(|turn| (turn, Instant::now()));
    }
    if let Some((turn, since)) = turn {
        turn.keep_others_out(keeps_others_out(since.elapsed()));
    }
    Ok(())
}

/// True if a prune keeps others out when its turn has this age. The prune keeps them out for 1 second and lets them in
/// for 1 second. Both times then double, up to [`LONGEST_TURN`]. So a series of readers or backups cannot delay a prune
/// for ever, and a prune that waits for one long restore does not exclude all others for all that time.
fn keeps_others_out(age: Duration) -> bool {
    let (mut begin, mut turn) = (Duration::ZERO, FIRST_TURN);
    while age >= begin + 2 * turn {
        begin += 2 * turn;
        turn = LONGEST_TURN.min(2 * turn);
    }
    age < begin + turn
}

/// Goes on without a lock, if that is allowed. For an operation that only reads, reports a problem, because the files
/// that it reads may be deleted meanwhile.
fn without_lock(error: Error, mode: LockMode, job: &mut Job) -> Result<KeyLock> {
    if !mode.only_reads() && !job.options.allow_unlocked {
        return Err(error);
    }
    let error = Error { detail: format!("{}; going on without a lock", error.detail), ..error };
    job.log(Level::Warn, &error.to_string());
    // The state of a snapshot lists the problems of its backup, and this one says nothing about the snapshot.
    if mode.only_reads() {
        job.report.add_problem(Problem::of_whole(ProblemKind::Unlocked, &error));
    }
    Ok(KeyLock { keeps_writers_out: false, _held: Box::new(()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_prune_keeps_others_out_and_lets_them_in_by_turns() {
        let at = |secs| keeps_others_out(Duration::from_secs(secs));
        let first: Vec<_> = (0..15).map(at).collect();
        let (out, inn) = ([true; 4], [false; 4]);
        let expected = [&out[..1], &inn[..1], &out[..2], &inn[..2], &out[..], &inn[..], &out[..1]].concat();
        assert_eq!(first, expected);
        // However long the prune waits, no period is longer than the longest, and periods of that length keep coming.
        let longest = LONGEST_TURN.as_secs();
        let (mut row, mut rows) = ((false, 0), Vec::new());
        for secs in 0..20 * longest {
            match at(secs) == row.0 {
                true => row.1 += 1,
                false => rows.push(std::mem::replace(&mut row, (at(secs), 1))),
            }
        }
        assert!(rows.iter().all(|(_, length)| *length <= longest));
        assert!(
            rows.len() > 16 && rows.iter().rev().take(10).all(|(_, length)| *length == longest),
            "{rows:?}"
        );
    }
}
