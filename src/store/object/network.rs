//! The thread that talks to a service, and how the calling thread waits for it.
//!
//! The calling thread runs no asynchronous code: its stack may be small, and it must notice within a second that the
//! operation was cancelled, whatever the network does.

use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use object_store::Error as ServiceError;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::refusals::{is_unanswered, refusal};
use crate::error::{Error, Kind};
use crate::job::Cancel;
use crate::platform;
use crate::store::callbacks::{Answer, Refusal};

/// How often a waiting thread looks at the flag that cancels the operation.
const LOOK_AT_CANCEL: Duration = Duration::from_millis(50);

/// How often [`repeat`] sends a request at most.
const ATTEMPTS: u32 = 6;

/// How long requests that remove the traces of a cancelled operation may take, all together.
const CLEANUP_AFTER_CANCEL: Duration = Duration::from_millis(700);

/// A thread that runs requests. It starts with the storage and ends with it. Several requests may be on their way.
pub struct Network {
    handle: Handle,
    /// Ends the thread, and the thread. Taken when the value is dropped.
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    /// The process that started the thread: a child process after `fork` has no such thread.
    process: u32,
    watched: Mutex<WatchedCancel>,
}

/// The flag of the operation that uses the storage now.
#[derive(Default)]
struct WatchedCancel {
    flag: Cancel,
    /// When a request first found the flag set.
    noticed: Option<Instant>,
}

/// A request on its way. Dropping the value stops the request.
pub struct Request<T> {
    reply: Arc<Reply<T>>,
    task: AbortHandle,
}

struct Reply<T> {
    answer: Mutex<Option<Answer<T>>>,
    changed: Condvar,
}

/// Answers a request that ends without an answer: its task was stopped, or has panicked.
struct AnswerOnDrop<T>(Arc<Reply<T>>);

impl<T> Drop for AnswerOnDrop<T> {
    fn drop(&mut self) {
        let mut answer = lock(&self.0.answer);
        answer.get_or_insert_with(|| Err(refusal("libibt stopped the request")));
        self.0.changed.notify_one();
    }
}

impl Network {
    pub fn start() -> crate::error::Result<Self> {
        let own = |error: &std::io::Error| Error::own("start a thread for the network", error);
        let mut builder = Builder::new_current_thread();
        // Names are resolved on threads that end soon after.
        builder.enable_all().max_blocking_threads(4).thread_keep_alive(Duration::from_millis(100));
        builder.thread_name("ibt").on_thread_start(platform::block_signals_in_this_thread);
        let runtime = builder.build().map_err(|error| own(&error))?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let work = move || {
            platform::block_signals_in_this_thread();
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        };
        let thread =
            std::thread::Builder::new().name("ibt".into()).spawn(work).map_err(|error| own(&error))?;
        let process = std::process::id();
        Ok(Network { handle, thread: Some((end, thread)), process, watched: Mutex::default() })
    }

    /// Requests from now on belong to the operation that `cancel` cancels.
    pub fn watch(&self, cancel: &Cancel) {
        *lock(&self.watched) = WatchedCancel { flag: cancel.clone(), noticed: None };
    }

    /// Starts a request. It goes on while the calling thread does other work.
    pub fn start_request<T: Send + 'static>(
        &self,
        work: impl Future<Output = Answer<T>> + Send + 'static,
    ) -> Answer<Request<T>> {
        if std::process::id() != self.process {
            return Err(refusal("the process has forked since it opened the storage: open it again"));
        }
        let reply = Arc::new(Reply { answer: Mutex::new(None), changed: Condvar::new() });
        let theirs = AnswerOnDrop(reply.clone());
        let task = self.handle.spawn(async move {
            let answer = work.await;
            *lock(&theirs.0.answer) = Some(answer);
        });
        Ok(Request { reply, task: task.abort_handle() })
    }

    /// Waits for a request. `Cancelled` as soon as the operation is cancelled.
    pub fn wait<T>(&self, request: Request<T>) -> Answer<T> {
        self.wait_until(request, |network| network.noticed().is_some())
    }

    /// Runs a request and waits for it.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Answer<T>> + Send + 'static,
    ) -> Answer<T> {
        if self.noticed().is_some() {
            return Err(Refusal::of(Kind::Cancelled));
        }
        self.wait(self.start_request(work)?)
    }

    /// Runs a request that removes something. After a cancel, all such requests together get
    /// [`CLEANUP_AFTER_CANCEL`].
    pub fn run_cleanup<T: Send + 'static>(
        &self,
        work: impl Future<Output = Answer<T>> + Send + 'static,
    ) -> Answer<T> {
        let too_late =
            |network: &Network| network.noticed().is_some_and(|at| at.elapsed() > CLEANUP_AFTER_CANCEL);
        self.wait_until(self.start_request(work)?, too_late)
    }

    /// When a request first found that the operation is cancelled; `None` if it is not cancelled.
    fn noticed(&self) -> Option<Instant> {
        let mut watched = lock(&self.watched);
        if watched.noticed.is_none() && watched.flag.requested() {
            watched.noticed = Some(Instant::now());
        }
        watched.noticed
    }

    fn wait_until<T>(&self, request: Request<T>, stops: impl Fn(&Network) -> bool) -> Answer<T> {
        let mut answer = lock(&request.reply.answer);
        loop {
            if let Some(answer) = answer.take() {
                return answer;
            }
            if stops(self) {
                return Err(Refusal::of(Kind::Cancelled));
            }
            let waited = request.reply.changed.wait_timeout(answer, LOOK_AT_CANCEL);
            answer = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let Some((end, thread)) = self.thread.take() else { return };
        if std::process::id() != self.process {
            // A child process after `fork`: there is no thread to end or to wait for.
            std::mem::forget((end, thread));
            return;
        }
        let _ = end.send(());
        let _ = thread.join();
    }
}

impl<T> Drop for Request<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends a request, and sends it again if its answer is lost. The crate repeats only requests that read, or that did
/// not reach the service.
pub async fn repeat<T, F: Future<Output = Result<T, ServiceError>>>(
    send: impl Fn() -> F,
) -> Result<T, ServiceError> {
    for attempt in 1..ATTEMPTS {
        match send().await {
            Err(error) if is_unanswered(&error) => {
                // 0.1 seconds, 0.2 and so on.
                tokio::time::sleep(Duration::from_millis(100 << (attempt - 1))).await;
            }
            answer => return answer,
        }
    }
    send().await
}

/// Locks a mutex, poisoned or not: no code that can panic runs while a lock is held.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
