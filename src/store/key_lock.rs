//! The lock of a key as operations take it: waiting for it, the turn of a writer that waits, going on without one.

use std::time::{Duration, Instant};

use super::{Lock, LockMode, Store};
use crate::error::{Error, Kind, Result};
use crate::job::{Job, Level};

/// How often a lock that is held is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// A writer that waits keeps readers out for so long at first.
const FIRST_TURN: Duration = Duration::from_secs(1);
/// And never for longer than this at a time: a reader that waits for longer gets in.
const LONGEST_TURN: Duration = Duration::from_secs(256);

/// The lock of a key as an operation has it: none where nothing could be locked and that is allowed.
pub struct KeyLock {
    keeps_writers_out: bool,
    _held: Lock,
}

impl KeyLock {
    /// Whether no other writer can be at work. If not, what no state names may be the work of a run that has not ended.
    pub fn keeps_writers_out(&self) -> bool {
        self.keeps_writers_out
    }
}

/// The turn of a writer that waits for a key. No other writer has it meanwhile. Dropping it gives it up.
pub trait Turn {
    /// Keeps readers that come out of the key, or lets them in again. Keeping them out may take several tries.
    fn keep_readers_out(&mut self, out: bool);
}

/// Locks `key`, waiting as long as the options allow. `Busy` when that was not long enough. Where nothing can be
/// locked readers go on, and writers if the options allow it.
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
                if mode == LockMode::Exclusive {
                    wait_in_turn(store, key, &mut turn)?;
                }
                std::thread::sleep(LOCK_RETRY);
            }
            Err(error) if error.kind == Kind::Unsupported => return without_lock(error, mode, job),
            other => return Ok(KeyLock { keeps_writers_out: store.has_locks(), _held: other? }),
        }
    }
}

/// Takes the turn of a waiting writer if it is free, and keeps readers out or lets them in as its age says.
fn wait_in_turn(store: &mut dyn Store, key: &str, turn: &mut Option<(Box<dyn Turn>, Instant)>) -> Result<()> {
    if turn.is_none() {
        *turn = store.take_turn(key)?.map(|turn| (turn, Instant::now()));
    }
    if let Some((turn, since)) = turn {
        turn.keep_readers_out(keeps_readers_out(since.elapsed()));
    }
    Ok(())
}

/// Whether a writer that has had its turn for so long keeps readers out: for a second, then it lets them in for a second,
/// then each for twice as long, up to [`LONGEST_TURN`]. So readers in a row do not keep a writer waiting for ever, and a
/// writer that waits for one long reader does not keep all others out as long.
fn keeps_readers_out(age: Duration) -> bool {
    let (mut begin, mut turn) = (Duration::ZERO, FIRST_TURN);
    while age >= begin + 2 * turn {
        begin += 2 * turn;
        turn = LONGEST_TURN.min(2 * turn);
    }
    age < begin + turn
}

/// Goes on although nothing can be locked, if that is allowed.
fn without_lock(error: Error, mode: LockMode, job: &mut Job) -> Result<KeyLock> {
    if mode == LockMode::Exclusive && !job.options.allow_unlocked {
        return Err(error);
    }
    job.log(Level::Warn, &format!("{error}; going on without a lock"));
    Ok(KeyLock { keeps_writers_out: false, _held: Box::new(()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_writer_keeps_readers_out_and_lets_them_in_by_turns() {
        let at = |secs| keeps_readers_out(Duration::from_secs(secs));
        let first: Vec<_> = (0..15).map(at).collect();
        let (out, inn) = ([true; 4], [false; 4]);
        let expected = [&out[..1], &inn[..1], &out[..2], &inn[..2], &out[..], &inn[..], &out[..1]].concat();
        assert_eq!(first, expected);
        // However long it waits, no turn is longer, and none that is as long ever fails to come.
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
