//! The one thread that writes. It takes whatever is waiting, writes it in one transaction, and comes back for more.
//!
//! A thread of its own with a runtime of its own: a slow disk holds up no worker that serves requests. No timer: a batch is what
//! arrived while the previous one was written, so an idle store writes at once and a busy one in large strokes.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};
use tracing::{error, info};

use crate::store::error::FeedbackError;
use crate::store::feedback::{self, FeedbackReceipt};
use crate::store::journal::{Entry, Pending, Shared, StoreHealth, unix_ms};
use crate::store::lock::StoreLock;
use crate::store::open::{RetrySettings, StoreSettings};
use crate::store::record::{DecisionRecord, OutcomeRecord};
use crate::store::redact::PromptRetention;
use crate::store::schema::{self, WriterOptions};
use crate::store::sql;

/// Most entries of one transaction. Beyond a few hundred a larger batch is no faster, and a failed one loses more.
const BATCH: usize = 512;

/// Records that nobody waits for are gathered for up to ten slices of this, so that a busy server commits fifty times a second and
/// leaves the processor to its requests. A report or a flush ends the gathering at the next slice.
const SLICE: Duration = Duration::from_millis(2);

/// The least time between two log lines about one outage.
const QUIET: Duration = Duration::from_secs(30);

const FILE_GONE: &str = "the database file was removed; put it back or restart the server";

type Receipts = Vec<Option<Result<FeedbackReceipt, FeedbackError>>>;

/// Everything the writer owns. The lock goes last, after the connection.
#[derive(Debug)]
pub(super) struct Writer {
    settings: StoreSettings,
    shared: Arc<Shared>,
    connection: Option<Open>,
    logged: Option<Instant>,
    lock: StoreLock,
}

/// A connection, and whether its commits wait for the disk.
#[derive(Debug)]
struct Open {
    connection: SqliteConnection,
    is_durable: bool,
}

impl Open {
    fn new(connection: SqliteConnection) -> Self {
        Self { connection, is_durable: false }
    }
}

impl Writer {
    pub(super) fn new(
        settings: StoreSettings,
        shared: Arc<Shared>,
        (connection, lock): (SqliteConnection, StoreLock),
    ) -> Self {
        Self { settings, shared, connection: Some(Open::new(connection)), logged: None, lock }
    }

    /// Writes until every handle is gone or one asked to close, and what was waiting then. Always ends with the lock free.
    pub(super) async fn run(mut self, mut entries: mpsc::Receiver<Entry>) {
        let _ending = Ending(Arc::clone(&self.shared));
        let mut waiting = Vec::with_capacity(BATCH);
        let mut closers = Vec::new();
        while entries.recv_many(&mut waiting, BATCH).await > 0 {
            gather(&mut entries, &mut waiting).await;
            let count = waiting.len() as u64;
            let mut batch = Batch::of(&mut waiting, self.shared.retention);
            closers.append(&mut batch.closers);
            if !closers.is_empty() {
                // Nothing new gets in; what is waiting is still taken.
                entries.close();
            }
            let bytes = batch.bytes;
            self.settle(batch).await;
            self.shared.queued.fetch_sub(count, Ordering::Relaxed);
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        if let Some(open) = self.connection.take() {
            // Folds the write-ahead log back, where no reader holds it.
            let _ = open.connection.close().await;
        }
        let outcome = self.standing();
        drop(self.lock);
        for closer in closers {
            let _ = closer.send(outcome.clone());
        }
    }

    /// Writes a batch or gives it up, and tells everyone who waits for it.
    async fn settle(&mut self, batch: Batch) {
        match self.write(&batch).await {
            Ok(receipts) => {
                self.shared.written.fetch_add(batch.written(&receipts) as u64, Ordering::Relaxed);
                for (pending, receipt) in batch.reports.into_iter().zip(receipts) {
                    // A report without a receipt is one whose caller had left.
                    if let Some(receipt) = receipt {
                        let _ = pending.reply.send(receipt);
                    }
                }
                for sync in batch.syncs {
                    let _ = sync.send(self.standing());
                }
            }
            Err(problem) => {
                // Whoever sent a report is told; decisions and outcomes have nobody to tell.
                let lost = batch.decisions.len() + batch.outcomes.len();
                self.shared.lost.fetch_add(lost as u64, Ordering::Relaxed);
                for pending in batch.reports {
                    let problem = problem.clone();
                    let _ = pending.reply.send(Err(FeedbackError::Unavailable { problem }));
                }
                for sync in batch.syncs {
                    let _ = sync.send(Err(problem.clone()));
                }
            }
        }
    }

    /// Whether the last entries were written. A batch of requests alone writes nothing, so it proves nothing about the disk.
    fn standing(&self) -> Result<(), String> {
        match &*self.shared.health.borrow() {
            StoreHealth::Healthy => Ok(()),
            StoreHealth::Degraded { problem, .. } => Err(problem.clone()),
        }
    }

    /// Tries a few times with growing pauses, while new entries wait in the bounded queue.
    async fn write(&mut self, batch: &Batch) -> Result<Receipts, String> {
        let RetrySettings { attempts, first_delay } = self.settings.retry;
        let mut delay = first_delay;
        for attempt in 1.. {
            match self.attempt(batch).await {
                Ok(receipts) => {
                    if batch.written(&receipts) > 0 {
                        self.report_success();
                    }
                    return Ok(receipts);
                }
                Err(source) => {
                    // Whatever state the connection is in, a fresh one has none.
                    if let Some(open) = self.connection.take() {
                        let _ = open.connection.close().await;
                    }
                    let problem = source.to_string();
                    self.report_failure(&problem);
                    if attempt >= attempts.get() {
                        return Err(problem);
                    }
                }
            }
            sleep(delay).await;
            delay = delay.saturating_mul(4);
        }
        Err("no attempt was made".to_owned())
    }

    /// One transaction. Acknowledgements leave only after it is committed and, for reports, forced to the disk.
    async fn attempt(&mut self, batch: &Batch) -> Result<Receipts, sqlx::Error> {
        // SQLite would go on writing to a removed file without a word, and every acknowledgement would be a lie.
        if !self.settings.path.exists() {
            return Err(sqlx::Error::Io(io::Error::new(ErrorKind::NotFound, FILE_GONE)));
        }
        let open = match &mut self.connection {
            Some(open) => open,
            gone @ None => {
                let options = WriterOptions { creates: false, ..self.settings.writer_options() };
                gone.insert(Open::new(schema::connect(&self.settings.path, &options).await?))
            }
        };
        let is_durable = !batch.reports.is_empty();
        if open.is_durable != is_durable {
            let mode = if is_durable { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            sqlx::raw_sql(mode).execute(&mut open.connection).await?;
            open.is_durable = is_durable;
        }
        let mut receipts = Vec::with_capacity(batch.reports.len());
        if !batch.is_empty() {
            let mut transaction = open.connection.begin_with("BEGIN IMMEDIATE").await?;
            sql::insert_decisions(&mut transaction, &batch.decisions).await?;
            sql::insert_outcomes(&mut transaction, &batch.outcomes).await?;
            for pending in &batch.reports {
                let is_awaited = !pending.reply.is_closed();
                receipts.push(if is_awaited {
                    Some(feedback::store(&mut transaction, &pending.entry, self.shared.retention).await?)
                } else {
                    None
                });
            }
            transaction.commit().await?;
        }
        if !batch.syncs.is_empty() {
            // Forces the log to the disk first, whatever the mode of the commits in it.
            sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut open.connection).await?;
        }
        Ok(receipts)
    }

    fn report_success(&mut self) {
        let recovered = self.shared.health.send_if_modified(|health| {
            let was_degraded = *health != StoreHealth::Healthy;
            *health = StoreHealth::Healthy;
            was_degraded
        });
        if recovered {
            self.logged = None;
            info!(store = %self.settings.path.display(), "the store writes again");
        }
    }

    fn report_failure(&mut self, problem: &str) {
        self.shared.health.send_modify(|health| {
            let since_unix_ms = match health {
                StoreHealth::Healthy => unix_ms(),
                StoreHealth::Degraded { since_unix_ms, .. } => *since_unix_ms,
            };
            *health = StoreHealth::Degraded { since_unix_ms, problem: problem.to_owned() };
        });
        if self.logged.is_none_or(|logged| logged.elapsed() >= QUIET) {
            self.logged = Some(Instant::now());
            error!(store = %self.settings.path.display(), problem, "the store cannot write; serving goes on without records");
        }
    }
}

/// Says so if the writer ends by a panic: the queue is closed then, and every entry is dropped and counted.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let problem = "the writer ended unexpectedly; restart the server".to_owned();
            self.0.health.send_replace(StoreHealth::Degraded { since_unix_ms: unix_ms(), problem });
        }
    }
}

/// Takes what else arrives within a few slices, until the batch is full or somebody in it waits for an answer.
async fn gather(entries: &mut mpsc::Receiver<Entry>, waiting: &mut Vec<Entry>) {
    const SLICES: usize = 10;
    let mut seen = 0;
    for _ in 0..SLICES {
        if waiting.len() >= BATCH || waiting.iter().skip(seen).any(Entry::is_awaited) {
            return;
        }
        seen = waiting.len();
        sleep(SLICE).await;
        while waiting.len() < BATCH
            && let Ok(entry) = entries.try_recv()
        {
            waiting.push(entry);
        }
    }
}

/// What is written together. Decisions and outcomes go before reports, so a report finds a decision that was recorded before it.
#[derive(Debug, Default)]
struct Batch {
    decisions: Vec<DecisionRecord>,
    outcomes: Vec<OutcomeRecord>,
    reports: Vec<Pending>,
    syncs: Vec<oneshot::Sender<Result<(), String>>>,
    closers: Vec<oneshot::Sender<Result<(), String>>>,
    bytes: usize,
}

impl Batch {
    fn of(entries: &mut Vec<Entry>, retention: PromptRetention) -> Self {
        let mut batch = Self::default();
        for entry in entries.drain(..) {
            batch.bytes += entry.footprint();
            match entry {
                Entry::Decision(mut decision) => {
                    decision.prompt = decision.prompt.as_deref().and_then(|prompt| retention.apply(prompt));
                    batch.decisions.push(*decision);
                }
                Entry::Outcome(outcome) => batch.outcomes.push(*outcome),
                Entry::Feedback(pending) => batch.reports.push(*pending),
                Entry::Sync(reply) => batch.syncs.push(reply),
                Entry::Close(reply) => batch.closers.push(reply),
            }
        }
        batch
    }

    /// How many entries a commit of this batch put on the disk: a repeated or refused report is none.
    fn written(&self, receipts: &Receipts) -> usize {
        let is_new = |receipt: &&Option<Result<FeedbackReceipt, FeedbackError>>| matches!(receipt, Some(Ok(receipt)) if !receipt.replayed);
        self.decisions.len() + self.outcomes.len() + receipts.iter().filter(is_new).count()
    }

    /// Whether there is nothing to write, only requests to answer.
    fn is_empty(&self) -> bool {
        self.decisions.is_empty() && self.outcomes.is_empty() && self.reports.is_empty()
    }
}
