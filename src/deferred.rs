//! Requests that no model answered, kept to be asked again: bounded in number and in bytes, in all and for each caller, in this process's memory, until
//! they expire.
//!
//! The queue knows neither how a request is asked nor what it says; [`crate::pipeline::deferred`] does. Nothing of it is written anywhere, so that
//! no prompt reaches a disk by this way and a restart forgets all of it. Time is an argument; one small lock guards the table and is never held
//! across an await.

mod entry;
mod holdings;
mod table;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::deferred::table::Table;
use crate::domain::deferred::{DeferredSettings, DeferredStatus, DeferredTotals, NotDeferred};
use crate::domain::ids::{CallerId, DecisionId, DeferredId, ModelName};
use crate::domain::money::NanoUsd;

/// How often is looked, at most, whether a request that waits is worth a try.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often that is under these settings.
fn look_every(settings: &DeferredSettings) -> Duration {
    settings.pause.min(LOOK_EVERY)
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
    /// Nothing yet, for this reason; it is worth another try, where it has one left.
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
    settings: DeferredSettings,
    table: Mutex<Table<R>>,
    /// Told when there is something new to ask.
    filled: Notify,
}

impl<R> Queue<R> {
    /// An empty queue.
    #[must_use]
    pub fn new(settings: DeferredSettings) -> Self {
        Self { settings, table: Mutex::new(Table::new(settings)), filled: Notify::new() }
    }

    /// Its bounds.
    #[must_use]
    pub const fn settings(&self) -> &DeferredSettings {
        &self.settings
    }

    /// Puts a request at its end. Its first turn comes after a pause.
    ///
    /// # Errors
    /// When it is full or closed, or its caller has as much in it as one may; the request is gone then. Entries whose time is over make room for one
    /// that fits.
    pub fn put(&self, new: New<R>, now: Instant) -> Result<(), NotDeferred> {
        self.table().put(new, now)?;
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until something was put into it since this was asked last.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// How often to look whether there is something to ask.
    #[must_use]
    pub fn look_every(&self) -> Duration {
        look_every(&self.settings)
    }

    /// A request that is due, among those that are worth a try now: of the caller with the fewest under way the one that is due for longest. It counts as
    /// tried. `None` too while answers take more bytes than there are.
    pub fn take(&self, now: Instant, is_worth: impl Fn(&R) -> bool) -> Option<Taken<R>> {
        loop {
            // A long look is taken in pieces, so that callers need not wait for all of it.
            if let ControlFlow::Break(taken) = self.table().take(now, &is_worth) {
                return taken;
            }
        }
    }

    /// Says what came of a try. Of a request that was taken back or whose time is over nobody wants to know. An answer is kept even where there is no
    /// room for it, since it was paid for; nothing is taken then until there is.
    pub fn settle(&self, id: DeferredId, ending: Ending, now: Instant) {
        self.table().settle(id, ending, now);
    }

    /// Has everything wait again that was taken and not settled, because whoever took it is gone.
    pub fn put_back(&self, now: Instant) {
        self.table().put_back(now);
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
