//! The request path's end of the store: hands entries over, never waits, never fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::warn;

use crate::store::error::{FeedbackError, SyncError};
use crate::store::feedback::{FeedbackEntry, FeedbackReceipt};
use crate::store::record::{DecisionRecord, OutcomeRecord};
use crate::store::redact::PromptRetention;

/// The least time between two log lines about dropped entries.
const QUIET_MS: u64 = 10_000;

/// Hands decisions and outcomes to the writer. Cheap to clone.
///
/// The queue is bounded in entries and in bytes. When it is full, the new entry is dropped and counted: a slow disk costs records
/// and never an answer.
#[derive(Clone, Debug)]
pub struct Journal {
    entries: mpsc::Sender<Entry>,
    shared: Arc<Shared>,
}

/// Whether the store can write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum StoreHealth {
    /// The last batch was written, or none has been needed.
    Healthy,
    /// The last try failed. Serving goes on, entries are being lost, and the store recovers by itself.
    Degraded {
        /// Since when, milliseconds since 1970 in UTC.
        since_unix_ms: u64,
        /// What the disk or the database said.
        problem: String,
    },
}

/// What became of the entries so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JournalStats {
    /// Entries waiting or being written.
    pub queued: u64,
    /// Roughly the bytes they hold.
    pub queued_bytes: u64,
    /// Decisions, outcomes and reports committed since the start.
    pub written: u64,
    /// Entries refused because the queue was full or the store was closed.
    pub dropped: u64,
    /// Decisions and outcomes given up after repeated failures of the disk or the database. Reports are not among them: their
    /// callers are told.
    pub lost: u64,
}

/// What the handles and the writer both know.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) retention: PromptRetention,
    pub(super) queue_bytes: usize,
    pub(super) queued: AtomicU64,
    pub(super) queued_bytes: AtomicUsize,
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) health: watch::Sender<StoreHealth>,
    warned_at_ms: AtomicU64,
}

impl Shared {
    pub(super) fn new(retention: PromptRetention, queue_bytes: usize) -> Self {
        Self {
            retention,
            queue_bytes,
            queued: AtomicU64::new(0),
            queued_bytes: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            health: watch::Sender::new(StoreHealth::Healthy),
            warned_at_ms: AtomicU64::new(0),
        }
    }

    fn drop_one(&self) {
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        let now = unix_ms();
        let last = self.warned_at_ms.load(Ordering::Relaxed);
        let due = now.saturating_sub(last) >= QUIET_MS;
        if due && self.warned_at_ms.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            warn!(dropped, "the journal is full: entries are dropped and serving goes on");
        }
    }
}

/// What travels to the writer, in order.
#[derive(Debug)]
pub(super) enum Entry {
    Decision(Box<DecisionRecord>),
    Outcome(Box<OutcomeRecord>),
    Feedback(Box<Pending>),
    Sync(oneshot::Sender<Result<(), String>>),
    Close(oneshot::Sender<Result<(), String>>),
}

impl Entry {
    /// Whether somebody waits until it is dealt with.
    pub(super) const fn is_awaited(&self) -> bool {
        match self {
            Self::Decision(_) | Self::Outcome(_) => false,
            Self::Feedback(_) | Self::Sync(_) | Self::Close(_) => true,
        }
    }
}

/// A report whose caller waits.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) entry: FeedbackEntry,
    pub(super) reply: oneshot::Sender<Result<FeedbackReceipt, FeedbackError>>,
}

impl Entry {
    pub(super) fn footprint(&self) -> usize {
        match self {
            Self::Decision(decision) => decision.footprint(),
            Self::Outcome(outcome) => outcome.footprint(),
            // Reports and requests wait for their answer, so they are bounded by their callers.
            Self::Feedback(_) | Self::Sync(_) | Self::Close(_) => 0,
        }
    }
}

impl Journal {
    pub(super) fn new(entries: mpsc::Sender<Entry>, shared: Arc<Shared>) -> Self {
        Self { entries, shared }
    }

    /// Records a decision. Never waits and never fails; see [`Journal`] for what happens when the queue is full.
    pub fn record_decision(&self, mut decision: DecisionRecord) {
        if self.shared.retention == PromptRetention::None {
            decision.prompt = None;
        }
        self.offer(Entry::Decision(Box::new(decision)));
    }

    /// Records how a call ended. Never waits and never fails; see [`Journal`] for what happens when the queue is full.
    pub fn record_outcome(&self, outcome: OutcomeRecord) {
        self.offer(Entry::Outcome(Box::new(outcome)));
    }

    /// Entries refused so far because the queue was full or the store was closed.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// What became of the entries so far.
    #[must_use]
    pub fn stats(&self) -> JournalStats {
        JournalStats {
            queued: self.shared.queued.load(Ordering::Relaxed),
            queued_bytes: self.shared.queued_bytes.load(Ordering::Relaxed) as u64,
            written: self.shared.written.load(Ordering::Relaxed),
            dropped: self.shared.dropped.load(Ordering::Relaxed),
            lost: self.shared.lost.load(Ordering::Relaxed),
        }
    }

    /// Whether the store can write now.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        self.shared.health.borrow().clone()
    }

    /// Follows the health of the store.
    #[must_use]
    pub fn watch_health(&self) -> watch::Receiver<StoreHealth> {
        self.shared.health.subscribe()
    }

    fn offer(&self, entry: Entry) {
        let bytes = entry.footprint();
        let before = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.shared.queue_bytes;
        if !fits || self.entries.try_send(entry).is_err() {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
            self.shared.drop_one();
        }
    }

    /// Sends a report and waits for its receipt, for a place in the queue too.
    pub(super) async fn feedback(
        &self,
        entry: FeedbackEntry,
        deadline: Duration,
    ) -> Result<FeedbackReceipt, FeedbackError> {
        let unavailable = |problem: String| FeedbackError::Unavailable { problem };
        let ask = async {
            let (reply, answer) = oneshot::channel();
            self.send(Entry::Feedback(Box::new(Pending { entry, reply }))).await.ok()?;
            answer.await.ok()
        };
        match timeout(deadline, ask).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(unavailable("the store is closed".to_owned())),
            Err(_) => Err(unavailable(format!("nothing was written within {} ms", deadline.as_millis()))),
        }
    }

    /// Waits until everything recorded before this call is on disk. Entries given up earlier are in [`JournalStats::lost`].
    ///
    /// # Errors
    /// [`SyncError`] when the deadline passes, when the entries may still be written later, or when the store cannot write.
    pub async fn sync(&self, deadline: Duration) -> Result<(), SyncError> {
        self.request(Entry::Sync, deadline).await
    }

    /// As [`Journal::sync`], and the writer then ends.
    pub(super) async fn close(&self, deadline: Duration) -> Result<(), SyncError> {
        self.request(Entry::Close, deadline).await
    }

    async fn request(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<(), String>>) -> Entry,
        deadline: Duration,
    ) -> Result<(), SyncError> {
        let closed = || SyncError::Failed { problem: "the store is closed".to_owned() };
        let ask = async {
            let (reply, answer) = oneshot::channel();
            self.send(make(reply)).await.ok()?;
            answer.await.ok()
        };
        match timeout(deadline, ask).await {
            Ok(Some(answer)) => answer.map_err(|problem| SyncError::Failed { problem }),
            Ok(None) => Err(closed()),
            Err(_) => Err(SyncError::Deadline { millis: deadline.as_millis() }),
        }
    }

    async fn send(&self, entry: Entry) -> Result<(), mpsc::error::SendError<()>> {
        let permit = self.entries.reserve().await?;
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        permit.send(entry);
        Ok(())
    }
}

/// Now, in milliseconds since 1970.
pub(super) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
