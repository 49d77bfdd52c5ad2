//! Worker threads that live as long as one call of the library.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::thread::JoinHandle;

use crossbeam_channel::{bounded, unbounded, Receiver, Sender};

type Task = Box<dyn FnOnce() + Send>;

/// A fixed set of threads. Dropping the pool waits for them: none outlives it.
pub struct Pool {
    tasks: Option<Sender<Task>>,
    threads: Vec<JoinHandle<()>>,
}

/// The result of a task that was handed to a [`Pool`].
pub struct Pending<T>(Receiver<T>);

impl Pool {
    /// `threads` 0 means one for each core this process may use.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        Pool::prepared(threads, || ())
    }

    /// [`Pool::new`] with something that each thread does first.
    pub fn prepared(threads: usize, prepare: fn()) -> std::io::Result<Self> {
        let count = match threads {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        };
        let (tasks, queue) = unbounded::<Task>();
        let mut pool = Pool { tasks: Some(tasks), threads: Vec::with_capacity(count) };
        for _ in 0..count {
            let queue = queue.clone();
            let work = move || {
                prepare();
                queue.iter().for_each(|task| task());
            };
            pool.threads.push(std::thread::Builder::new().name("ibt".into()).spawn(work)?);
        }
        Ok(pool)
    }

    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Runs `task` on one of the threads; tasks start in the order in which they were handed over.
    pub fn run<T: Send + 'static>(&self, task: impl FnOnce() -> T + Send + 'static) -> Pending<T> {
        let (done, result) = bounded(1);
        let work = move || {
            // A panic drops `done`; `wait` then resumes it on the thread that wanted the result.
            if let Ok(value) = catch_unwind(AssertUnwindSafe(task)) {
                let _ = done.send(value);
            }
        };
        self.tasks
            .as_ref()
            .expect("the queue lives as long as the pool")
            .send(Box::new(work))
            .expect("the threads outlive the queue");
        Pending(result)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.tasks = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl<T> Pending<T> {
    /// Waits for the task. Panics if the task did.
    pub fn wait(self) -> T {
        self.0.recv().expect("a worker thread panicked")
    }

    /// The result if it is there already, else the pending task again.
    pub fn try_wait(self) -> Result<T, Self> {
        match self.0.try_recv() {
            Ok(value) => Ok(value),
            Err(crossbeam_channel::TryRecvError::Empty) => Err(self),
            Err(crossbeam_channel::TryRecvError::Disconnected) => panic!("a worker thread panicked"),
        }
    }
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
    #[should_panic(expected = "a worker thread panicked")]
    fn a_panic_reaches_the_waiting_thread() {
        let pool = Pool::new(1).unwrap();
        pool.run(|| panic!("deliberate")).wait()
    }
}
