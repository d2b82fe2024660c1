//! A bounded queue between callers, who never wait, and workers, who do.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::model::batch::{BatchLimits, plan};

/// Something that waits in a [`Queue`].
pub trait Entry {
    /// Its length in tokens, which decides what it costs in a batch.
    fn tokens(&self) -> usize;

    /// Whether nobody waits for it any more. Such an entry is dropped unworked.
    fn is_dead(&self) -> bool;
}

/// Why an entry was not taken. The entry comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// The queue holds as many as it may.
    Full(T),
    /// The workers are gone.
    Closed(T),
}

/// A bounded queue. Full: [`Queue::push`] refuses at once. Closed: what waited is dropped, and with it its reply channel.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    capacity: NonZeroUsize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T: Entry> Queue<T> {
    /// An empty queue that holds at most `capacity` entries.
    #[must_use]
    pub fn new(capacity: NonZeroUsize) -> Self {
        let state = State { waiting: VecDeque::new(), closed: false };
        Self { state: Mutex::new(state), filled: Condvar::new(), capacity }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Every change under the lock is complete in itself, so what a thread that unwound left behind is sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry without waiting. A full queue first lets go of the entries that nobody waits for.
    ///
    /// # Errors
    /// The queue is full or closed.
    pub fn push(&self, entry: T) -> Result<(), Refused<T>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed(entry));
        }
        if state.waiting.len() >= self.capacity.get() {
            state.waiting.retain(|waiting| !waiting.is_dead());
        }
        if state.waiting.len() >= self.capacity.get() {
            return Err(Refused::Full(entry));
        }
        state.waiting.push_back(entry);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for entries and takes the next batch. `None` once the queue is closed.
    ///
    /// The batch is whatever queued up while the worker was busy; there is no timer, so an idle worker adds no delay.
    #[must_use]
    pub fn take_batch(&self, limits: &BatchLimits) -> Option<Vec<T>> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            state.waiting.retain(|waiting| !waiting.is_dead());
            let count = plan(state.waiting.iter().map(Entry::tokens), limits);
            if count > 0 {
                let batch = state.waiting.drain(..count).collect();
                let more = !state.waiting.is_empty();
                drop(state);
                if more {
                    self.filled.notify_one();
                }
                return Some(batch);
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many entries wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops what waits and lets every worker end. Does not wait for them.
    pub fn close(&self) {
        let waiting = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        self.filled.notify_all();
        drop(waiting);
    }
}

#[cfg(test)]
mod tests;
