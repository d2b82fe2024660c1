//! The threads that serve callers, each with a runtime of its own.
//!
//! A call is read, decided, sent, relayed and recorded by one thread, so that nothing of it moves between processors and no thread has to be
//! woken for it. With one runtime over all threads the same call woke a second thread five times, which took longer than the rest of it.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Most threads for blocking work that one serving thread has at a time; what is more waits for one of them.
const BLOCKING: usize = 64;

/// Threads that connections are given to. Dropping them without [`Threads::stop`] ends them too, without waiting.
#[derive(Debug)]
pub struct Threads {
    threads: Vec<Serving>,
    over: CancellationToken,
}

#[derive(Debug)]
struct Serving {
    runtime: Handle,
    /// How many connections it has.
    open: Arc<AtomicUsize>,
    /// Closed when the thread has ended. `None` for a runtime that is somebody else's.
    ended: Option<oneshot::Receiver<()>>,
}

/// One connection's place on a thread. Dropping it makes the place free.
#[derive(Debug)]
pub(super) struct Seat {
    /// The thread's runtime.
    pub(super) runtime: Handle,
    open: Arc<AtomicUsize>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Threads {
    /// Starts so many threads. `begin` is called first in each, with its number from 0.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue. Those that were started end again.
    pub fn start(count: NonZeroUsize, begin: fn(usize)) -> io::Result<Self> {
        let mut started = Self { threads: Vec::with_capacity(count.get()), over: CancellationToken::new() };
        for number in 0..count.get() {
            let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING).build()?;
            let handle = runtime.handle().clone();
            let (over, (ending, ended)) = (started.over.clone(), oneshot::channel::<()>());
            thread::Builder::new().name(format!("serve-{number}")).spawn(move || {
                begin(number);
                runtime.block_on(over.cancelled());
                // Closes the books of every call that is left, and waits for no blocking work.
                runtime.shutdown_background();
                drop(ending);
            })?;
            started.threads.push(Serving { runtime: handle, open: Arc::default(), ended: Some(ended) });
        }
        Ok(started)
    }

    /// The calling runtime alone, for what has few callers.
    #[must_use]
    pub fn here() -> Self {
        let serving = Serving { runtime: Handle::current(), open: Arc::default(), ended: None };
        Self { threads: vec![serving], over: CancellationToken::new() }
    }

    /// A place on the thread with the fewest connections, the first of equals: where there is little to do, one thread does it, whose connections to
    /// upstreams stay warm.
    pub(super) fn seat(&self) -> Option<Seat> {
        let least = self.threads.iter().min_by_key(|thread| thread.open.load(Ordering::Relaxed))?;
        least.open.fetch_add(1, Ordering::Relaxed);
        Some(Seat { runtime: least.runtime.clone(), open: Arc::clone(&least.open) })
    }

    /// Ends the threads with what they still do, and waits so long for it.
    ///
    /// Returns whether all of them ended in time.
    pub async fn stop(mut self, within: Duration) -> bool {
        self.over.cancel();
        let until = Instant::now() + within;
        let mut all = true;
        for ended in self.threads.iter_mut().filter_map(|thread| thread.ended.take()) {
            all &= timeout_at(until, ended).await.is_ok();
        }
        all
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }

    fn threads(count: usize) -> Threads {
        Threads::start(NonZeroUsize::new(count).unwrap(), |number| NUMBER.set(Some(number))).unwrap()
    }

    async fn number(seat: &Seat) -> usize {
        seat.runtime.spawn(async { NUMBER.get().unwrap() }).await.unwrap()
    }

    #[tokio::test]
    async fn a_connection_goes_to_the_thread_with_the_fewest() {
        let threads = threads(2);
        let seats: Vec<Seat> = std::iter::repeat_with(|| threads.seat().unwrap()).take(3).collect();
        let mut numbers = Vec::new();
        for seat in &seats {
            numbers.push(number(seat).await);
        }
        assert_eq!(numbers, [0, 1, 0]);

        // The two of the first thread go, so that it has the fewest.
        let mut seats = seats;
        seats.swap_remove(0);
        seats.swap_remove(0);
        assert_eq!(number(&threads.seat().unwrap()).await, 0);
    }

    #[tokio::test]
    async fn stopping_ends_what_the_threads_still_do() {
        let threads = threads(2);
        let seat = threads.seat().unwrap();
        let (held, dropped) = oneshot::channel::<()>();
        seat.runtime.spawn(async move {
            std::future::pending::<()>().await;
            drop(held);
        });

        assert!(threads.stop(Duration::from_secs(10)).await);
        assert!(dropped.await.is_err(), "the task was dropped");
    }

    #[tokio::test]
    async fn the_calling_runtime_may_serve() {
        let threads = Threads::here();

        assert_eq!(threads.seat().unwrap().runtime.id(), Handle::current().id());
        assert!(threads.stop(Duration::ZERO).await);
    }
}
