//! Requests that no model answered, kept to be asked again: bounded in number and in bytes, in this process's memory, until they expire.
//!
//! The queue knows neither how a request is asked nor what it says; [`crate::pipeline::deferred`] does. Nothing of it is written anywhere, so that
//! no prompt reaches a disk by this way and a restart forgets all of it. Time is an argument; one small lock guards the table and is never held
//! across an await.

mod table;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::deferred::table::Table;
use crate::domain::deferred::{DeferredStatus, DeferredTotals, NotDeferred};
use crate::domain::ids::{CallerId, DecisionId, DeferredId, ModelName};
use crate::domain::money::NanoUsd;

/// Bounds of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Most entries, however they stand.
    pub max_entries: NonZeroUsize,
    /// Most bytes of requests and answers together.
    pub max_bytes: usize,
    /// How long an entry is kept, answered or not.
    pub keep_for: Duration,
    /// How many are asked at once.
    pub at_once: NonZeroUsize,
    /// The pause before a request is asked again for the first time. It doubles with each further time, up to the longest.
    pub pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl QueueSettings {
    /// The pause before a request is asked that was asked so often.
    fn pause_after(&self, tries: u32) -> Duration {
        let doubled = 2_u32.checked_pow(tries).and_then(|factor| self.pause.checked_mul(factor));
        doubled.map_or(self.longest_pause, |pause| pause.min(self.longest_pause))
    }
}

/// A request for the queue.
#[derive(Debug)]
pub struct New<R> {
    /// What it will be found by.
    pub id: DeferredId,
    /// Who asked. Nobody else ever learns of it.
    pub caller: CallerId,
    /// When, on the wall clock, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// About how many bytes it takes in memory.
    pub bytes: usize,
    /// The request.
    pub request: R,
}

/// A request whose turn it is. Whoever takes it settles it.
#[derive(Debug)]
pub struct Taken<R> {
    /// Which one.
    pub id: DeferredId,
    /// The request.
    pub request: Arc<R>,
    /// When its time is over.
    pub expires: Instant,
    /// Cancelled when its answer is not wanted any more.
    pub cancel: CancellationToken,
}

/// What came of asking a request.
#[derive(Debug)]
pub enum Ending {
    /// An answer.
    Answered(Answer),
    /// Nothing yet, for this reason; it is worth another try.
    Again(Box<RawValue>),
    /// Nothing, for this reason, and there will be nothing.
    Failed(Box<RawValue>),
}

/// An answer that waits to be fetched.
#[derive(Debug)]
pub struct Answer {
    /// What the caller reads, in its own dialect.
    pub body: Box<RawValue>,
    /// The decision that it came from, for feedback.
    pub decision: DecisionId,
    /// The model that gave it.
    pub model: ModelName,
    /// What it cost, where that is known.
    pub cost: Option<NanoUsd>,
}

/// An entry as its caller sees it.
#[derive(Clone, Debug)]
pub struct View {
    /// How it stands.
    pub status: DeferredStatus,
    /// When it was put into the queue, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When its time is over, or was.
    pub expires_unix_ms: u64,
    /// How often it was asked again.
    pub tries: u32,
    /// The answer, once there is one.
    pub answer: Option<Arc<Answer>>,
    /// Why the last try gave none, as an error object.
    pub problem: Option<Arc<RawValue>>,
}

/// The queue.
#[derive(Debug)]
pub struct Queue<R> {
    settings: QueueSettings,
    table: Mutex<Table<R>>,
    /// Told when there is something new to ask.
    filled: Notify,
}

impl<R> Queue<R> {
    /// An empty queue.
    #[must_use]
    pub fn new(settings: QueueSettings) -> Self {
        Self { settings, table: Mutex::new(Table::new(settings)), filled: Notify::new() }
    }

    /// Its bounds.
    #[must_use]
    pub const fn settings(&self) -> &QueueSettings {
        &self.settings
    }

    /// Puts a request at its end. Its first turn comes after a pause.
    ///
    /// # Errors
    /// When it is full or closed; the request is gone then. Entries whose time is over make room first.
    pub fn put(&self, new: New<R>, now: Instant) -> Result<(), NotDeferred> {
        self.table().put(new, now)?;
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until something was put into it since this was asked last.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// The request whose turn came first, among those that are worth a try now. It counts as tried.
    pub fn take(&self, now: Instant, is_worth: impl Fn(&R) -> bool) -> Option<Taken<R>> {
        self.table().take(now, is_worth)
    }

    /// Says what came of a try. Of a request that was taken back or whose time is over nobody wants to know.
    ///
    /// # Errors
    /// An answer for which there are too few bytes left. The request is as if nothing had been said.
    pub fn settle(&self, id: DeferredId, ending: Ending, now: Instant) -> Result<(), NotDeferred> {
        self.table().settle(id, ending, now)
    }

    /// An entry of a caller; `None` for unknown ones and for those of others alike.
    #[must_use]
    pub fn view(&self, id: DeferredId, caller: &CallerId, now: Instant) -> Option<View> {
        self.table().view(id, caller, now)
    }

    /// Takes an entry of a caller out, and ends the call that is made for it. How it stood; `None` as for [`Queue::view`].
    pub fn delete(&self, id: DeferredId, caller: &CallerId, now: Instant) -> Option<DeferredStatus> {
        self.table().delete(id, caller, now)
    }

    /// Takes an entry out whose client left before it knew of it.
    pub fn abandon(&self, id: DeferredId) {
        self.table().abandon(id);
    }

    /// Drops everything and takes nothing more. How many there were that had no answer yet.
    pub fn close(&self) -> usize {
        self.table().close()
    }

    /// Whether there is nothing in it at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table().is_empty()
    }

    /// What it holds and has done.
    #[must_use]
    pub fn totals(&self, now: Instant) -> DeferredTotals {
        self.table().totals(now)
    }

    fn table(&self) -> MutexGuard<'_, Table<R>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
