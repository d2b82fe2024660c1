//! The store: opened once, shared by everything that records or reads.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::domain::ids::DecisionId;
use crate::store::error::{FeedbackError, StoreError, SyncError};
use crate::store::feedback::{self, FeedbackEntry, FeedbackReceipt};
use crate::store::journal::{Entry, Journal, Shared, StoreHealth};
use crate::store::lock::StoreLock;
use crate::store::reader::{RecordedDecision, StoreReader};
use crate::store::redact::PromptRetention;
use crate::store::schema::{self, Standing, WriterOptions};
use crate::store::writer::Writer;

/// The longest queue, whatever the settings say.
const MOST_ENTRIES: usize = 1 << 24;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The database file. Its directory is created; `<path>.lock`, `<path>-wal` and `<path>-shm` lie beside it.
    pub path: PathBuf,
    /// What is kept of prompts.
    pub prompts: PromptRetention,
    /// Most entries that wait to be written. A further one is dropped and counted.
    pub queue: NonZeroUsize,
    /// Most bytes, roughly, that waiting entries may hold. A further one is dropped and counted.
    pub queue_bytes: usize,
    /// Most bytes the database may grow to; beyond it the store behaves as on a full disk. `None` leaves it to the disk.
    pub max_bytes: Option<u64>,
    /// How long a report may wait to become durable.
    pub feedback_deadline: Duration,
    /// How long a batch waits for another process that writes to the file, such as a shell. At most a minute.
    pub busy: Duration,
    /// How failed batches are tried again.
    pub retry: RetrySettings,
}

/// How often a batch is tried before its entries are lost. Each pause is four times the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Tries in all.
    pub attempts: NonZeroU32,
    /// The pause after the first failure.
    pub first_delay: Duration,
}

impl StoreSettings {
    /// The usual settings for a database file: prompts kept in full, 8,192 waiting entries of at most 64 MiB together.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            prompts: PromptRetention::Full,
            queue: NonZeroUsize::MIN.saturating_add(8_191),
            queue_bytes: 64 << 20,
            max_bytes: None,
            feedback_deadline: Duration::from_secs(5),
            busy: Duration::from_secs(1),
            retry: RetrySettings {
                attempts: NonZeroU32::MIN.saturating_add(3),
                first_delay: Duration::from_millis(100),
            },
        }
    }

    pub(super) fn writer_options(&self) -> WriterOptions {
        WriterOptions { busy: self.busy, max_bytes: self.max_bytes, creates: true }
    }
}

/// An open store. Cheap to clone; the last clone and the last [`Journal`] to go let the writer finish and free the lock.
/// Dropping never waits: use [`Store::close`] to know that everything is written.
#[derive(Clone, Debug)]
pub struct Store {
    journal: Journal,
    reader: StoreReader,
    feedback_deadline: Duration,
}

impl Store {
    /// Opens a store, creating it where there is none, and starts its writer. At most one process, and one store in it, writes to a path.
    ///
    /// # Errors
    /// A path that cannot be written, another server on it, a damaged, foreign or newer database. The file is left as it was.
    pub async fn open(mut settings: StoreSettings) -> Result<Self, StoreError> {
        settings.path = absolute(&settings.path)?;
        let path = settings.path.clone();
        let feedback_deadline = settings.feedback_deadline;
        let shared = Arc::new(Shared::new(settings.prompts, settings.queue_bytes));
        let (sender, entries) = mpsc::channel(settings.queue.get().min(MOST_ENTRIES));
        let journal = Journal::new(sender, Arc::clone(&shared));
        let (ready, opened) = oneshot::channel();
        let failed = |problem: String| StoreError::Writer { path: path.clone(), problem };
        thread::Builder::new()
            .name("trimtab-journal".to_owned())
            .spawn(move || write_on_this_thread((settings, shared), entries, ready))
            .map_err(|error| failed(error.to_string()))?;
        opened.await.map_err(|_| failed("it ended at once".to_owned()))??;
        Ok(Self { journal, reader: StoreReader::over(&path, schema::LATEST), feedback_deadline })
    }

    /// Opens a store to read while a server may be writing to it. Creates nothing and takes no lock.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is no store; a damaged, foreign or newer database.
    pub async fn open_read_only(path: &Path) -> Result<StoreReader, StoreError> {
        let path = absolute(path)?;
        match schema::inspect(&path).await? {
            Standing::Ours(version) => Ok(StoreReader::over(&path, version)),
            Standing::Absent => Err(StoreError::Missing { path }),
        }
    }

    /// The request path's end of the store.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The readers' end of the store.
    #[must_use]
    pub fn reader(&self) -> &StoreReader {
        &self.reader
    }

    /// Whether the store can write now.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        self.journal.health()
    }

    /// Stores a report and answers once it is on disk. It passes through the same queue as decisions, so the report finds a
    /// decision that was recorded before it, written yet or not. A report whose caller stops waiting may or may not be stored.
    ///
    /// # Errors
    /// See [`FeedbackError`].
    pub async fn feedback(&self, entry: FeedbackEntry) -> Result<FeedbackReceipt, FeedbackError> {
        feedback::check(&entry)?;
        self.journal.feedback(entry, self.feedback_deadline).await
    }

    /// One decision with its outcome and every report about it, including what is still waiting to be written.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn decision(&self, id: DecisionId) -> Result<Option<RecordedDecision>, StoreError> {
        let found = self.reader.decision(id).await?;
        if found.is_some() {
            return Ok(found);
        }
        // A caller may ask for a decision made a moment ago. If the writer cannot keep up, what is on disk is the answer.
        let _ = self.journal.sync(Duration::from_secs(1)).await;
        self.reader.decision(id).await
    }

    /// Waits until everything recorded before this call is on disk.
    ///
    /// # Errors
    /// [`SyncError`] when the deadline passes or the store cannot write.
    pub async fn sync(&self, deadline: Duration) -> Result<(), SyncError> {
        self.journal.sync(deadline).await
    }

    /// Writes what is waiting, ends the writer and frees the lock. Entries recorded afterwards are dropped and counted.
    ///
    /// # Errors
    /// [`SyncError`] when the deadline passes first or entries were lost in the end.
    pub async fn close(&self, deadline: Duration) -> Result<(), SyncError> {
        let started = Instant::now();
        // Readers go first, so that the writer is the last and folds the write-ahead log back.
        let readers_closed = timeout(deadline, self.reader.close()).await;
        self.journal.close(deadline.saturating_sub(started.elapsed())).await?;
        readers_closed.map_err(|_| SyncError::Deadline { millis: deadline.as_millis() })
    }
}

fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path).map_err(|source| StoreError::from_io(path.to_owned(), source))
}

/// The whole life of the writer thread.
fn write_on_this_thread(
    (settings, shared): (StoreSettings, Arc<Shared>),
    entries: mpsc::Receiver<Entry>,
    ready: oneshot::Sender<Result<(), StoreError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(StoreError::Writer { path: settings.path, problem: error.to_string() }));
            return;
        }
    };
    runtime.block_on(async move {
        match prepare(&settings).await {
            Ok(prepared) => {
                let writer = Writer::new(settings, shared, prepared);
                if ready.send(Ok(())).is_ok() {
                    writer.run(entries).await;
                }
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    });
}

/// Takes the lock, looks before touching, then brings the schema up to date.
async fn prepare(settings: &StoreSettings) -> Result<(SqliteConnection, StoreLock), StoreError> {
    let path = &settings.path;
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(|source| StoreError::from_io(directory.to_owned(), source))?;
    }
    let lock = StoreLock::take(path)?;
    let from = match schema::inspect(path).await? {
        Standing::Absent => 0,
        Standing::Ours(version) => version,
    };
    let failed = |source| StoreError::from_sql(path.clone(), source);
    check_writable(path)?;
    let mut connection = schema::connect(path, &settings.writer_options()).await.map_err(failed)?;
    schema::migrate(&mut connection, from).await.map_err(failed)?;
    Ok((connection, lock))
}

/// SQLite quietly opens a file that it may not write for reading; the refusal should come at the start and name the remedy.
fn check_writable(path: &Path) -> Result<(), StoreError> {
    match std::fs::OpenOptions::new().write(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StoreError::from_io(path.to_owned(), source)),
    }
}
