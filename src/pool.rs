//! Worker threads that live as long as one call of the library.
//!
//! The pool uses mutexes and condition variables instead of channels. The channels of the standard library
//! and of crossbeam create a handle for the calling thread that is never freed, so leak checkers would
//! report the program.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::{Error, Result};
use crate::platform;

type PoolTask = Box<dyn FnOnce() + Send>;

/// Descriptors that are left to the thread that started the pool: for backup files, temporary files, and the
/// directories and the file that this thread works on.
const DESCRIPTORS_OF_CALLER: usize = 16;
/// Descriptors for one thread. If few descriptors are free, the pool has fewer threads.
const DESCRIPTORS_OF_THREAD: usize = 4;
/// [`DESCRIPTORS_ENOUGH`] descriptors, and this many more for each thread, are enough for all tasks. Free descriptors
/// beyond that are not counted.
const ENOUGH_OF_THREAD: usize = 32;
const DESCRIPTORS_ENOUGH: usize = 256;

/// A fixed set of threads. Dropping the pool waits for all of them, so no thread outlives the pool.
pub struct Pool {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
    descriptors: usize,
}

#[derive(Default)]
struct Queue {
    tasks: Mutex<QueuedTasks>,
    changed: Condvar,
}

#[derive(Default)]
struct QueuedTasks {
    waiting: VecDeque<PoolTask>,
    closed: bool,
}

/// The future result of a task of a [`Pool`].
pub struct Pending<T>(Arc<ResultSlot<T>>);

struct ResultSlot<T> {
    result: Mutex<Option<std::thread::Result<T>>>,
    done: Condvar,
}

impl Pool {
    /// Starts the threads of one call; `threads` is the number in the call's options.
    pub fn start(threads: u32) -> Result<Arc<Self>> {
        Pool::new(threads as usize).map(Arc::new).map_err(|e| Error::own("start threads", &e))
    }

    /// `threads` 0 means one thread for each core that this process may use. If the system refuses more threads, or if
    /// few descriptors are left, the pool works with fewer threads. It fails only if no thread can be started. The
    /// threads block all signals except those of faulty instructions, because signals belong to the program that called
    /// the library.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let count = match threads {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        };
        let enough = count.saturating_mul(ENOUGH_OF_THREAD).saturating_add(DESCRIPTORS_ENOUGH);
        Pool::with_descriptors(count, platform::free_descriptors(enough))
    }

    /// A pool of `count` threads, or of fewer, in a process that can open `free` descriptors.
    pub(crate) fn with_descriptors(count: usize, free: usize) -> std::io::Result<Self> {
        let descriptors = free.saturating_sub(DESCRIPTORS_OF_CALLER).max(2);
        let count = count.min((descriptors / DESCRIPTORS_OF_THREAD).max(1));
        let mut pool = Pool { queue: Arc::default(), threads: Vec::with_capacity(count), descriptors };
        for _ in 0..count {
            let queue = pool.queue.clone();
            let work = move || {
                platform::block_signals_in_this_thread();
                while let Some(task) = queue.next() {
                    task();
                }
            };
            match std::thread::Builder::new().name("ibt".into()).spawn(work) {
                Ok(thread) => pool.threads.push(thread),
                // The result does not depend on the number of threads, so fewer threads are enough.
                Err(_) if !pool.threads.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(pool)
    }

    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// The most descriptors that the tasks of this pool, and the directories that are kept open for tasks, may use
    /// together. A task that would need more gets no descriptors, and the thread that started the pool does its work.
    pub fn descriptors(&self) -> usize {
        self.descriptors
    }

    /// Runs `task` on one of the threads. Tasks start in the order of the calls.
    pub fn run<T: Send + 'static>(&self, task: impl FnOnce() -> T + Send + 'static) -> Pending<T> {
        let slot = Arc::new(ResultSlot { result: Mutex::new(None), done: Condvar::new() });
        let theirs = slot.clone();
        lock(&self.queue.tasks).waiting.push_back(Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(task));
            *lock(&theirs.result) = Some(result);
            theirs.done.notify_one();
        }));
        self.queue.changed.notify_one();
        Pending(slot)
    }
}

impl Queue {
    /// Waits for the next task; `None` when the queue is empty and closed.
    fn next(&self) -> Option<PoolTask> {
        let mut tasks = lock(&self.tasks);
        loop {
            if let Some(task) = tasks.waiting.pop_front() {
                return Some(task);
            }
            if tasks.closed {
                return None;
            }
            tasks = self.changed.wait(tasks).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.queue.tasks).closed = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl<T> Pending<T> {
    /// Waits for the task and returns its result. If the task panicked, the panic continues in this thread.
    pub fn wait(self) -> T {
        let mut result = lock(&self.0.result);
        loop {
            match result.take() {
                Some(Ok(value)) => return value,
                Some(Err(panic)) => std::panic::resume_unwind(panic),
                None => result = self.0.done.wait(result).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Waits until the task has ended, and leaves its result in place. By then the task has closed its files.
    pub fn until_ended(&self) {
        let mut result = lock(&self.0.result);
        while result.is_none() {
            result = self.0.done.wait(result).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Returns the result if the task has ended, else gives the pending task back.
    pub fn try_wait(self) -> std::result::Result<T, Self> {
        if lock(&self.0.result).is_none() {
            return Err(self);
        }
        Ok(self.wait())
    }
}

/// Locks a mutex, poisoned or not: no task runs while a lock is held, so a panic leaves no data half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_back_to_whoever_waits_for_them() {
        let pool = Pool::new(3).unwrap();
        let pending: Vec<_> = (0..100u64).map(|n| pool.run(move || n * n)).collect();
        let squares: Vec<u64> = pending.into_iter().map(Pending::wait).collect();
        assert_eq!(squares, (0..100u64).map(|n| n * n).collect::<Vec<_>>());
    }

    #[test]
    fn few_descriptors_make_few_threads() {
        for (free, threads, descriptors) in [(0, 1, 2), (18, 1, 2), (26, 2, 10), (48, 8, 32), (80, 8, 64)] {
            let pool = Pool::with_descriptors(8, free).unwrap();
            assert_eq!((pool.threads(), pool.descriptors()), (threads, descriptors), "{free}");
        }
    }

    #[test]
    #[should_panic(expected = "deliberate")]
    fn a_panic_reaches_the_waiting_thread() {
        let pool = Pool::new(1).unwrap();
        pool.run(|| panic!("deliberate")).wait()
    }
}
