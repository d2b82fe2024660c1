//! What can go wrong in this room, each with its remedy.

use std::io;
use std::path::PathBuf;

use crate::domain::ids::DecisionId;

/// Why a store could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory or file cannot be written.
    #[error("the store `{path}` cannot be written ({source}); make its directory writable or set `store.path`")]
    NotWritable {
        /// What could not be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory or file cannot be made or read for another reason.
    #[error("the store `{path}` cannot be opened ({source}); check the path or set `store.path`")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process writes to this store.
    #[error(
        "the store `{path}` is in use by {holder} (it holds `{lock}`); stop that server or give this one its own `store.path`"
    )]
    Locked {
        /// The store.
        path: PathBuf,
        /// The lock file.
        lock: PathBuf,
        /// The other process, as far as it is known.
        holder: String,
    },
    /// The file is not a sound database. It is left exactly as it was.
    #[error(
        "the store `{path}` is damaged ({problem}); move it away or restore a copy, or set `store.path` to start afresh"
    )]
    Corrupt {
        /// The store.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file is a database of another program.
    #[error("`{path}` is a database of another program; set `store.path` to a file of its own")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version.
    #[error(
        "the store `{path}` has schema {found}, this version reads up to {known}; run the newer version or set `store.path`"
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The latest schema this build knows.
        known: i64,
    },
    /// There is no store to read.
    #[error("there is no store at `{path}`; start the server once or set `store.path`")]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The database refused for another reason.
    #[error("the store `{path}` failed: {source}")]
    Database {
        /// The store.
        path: PathBuf,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The writer thread could not be started or ended before it was ready.
    #[error("the writer of the store `{path}` could not be started: {problem}")]
    Writer {
        /// The store.
        path: PathBuf,
        /// Why.
        problem: String,
    },
}

/// Why a report was not acknowledged. Only [`FeedbackError::Unavailable`] may pass by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedbackError {
    /// No such decision is stored.
    #[error("decision `{0}` is not known; use the id of an answer's `x-trimtab-decision-id`")]
    UnknownDecision(DecisionId),
    /// The idempotency key was used for another report.
    #[error("idempotency key `{key}` was used for a different report; use a new key")]
    IdempotencyConflict {
        /// The key.
        key: String,
    },
    /// A text is longer than the store keeps.
    #[error("`{field}` is longer than {limit} bytes; shorten it")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// The most bytes it may have.
        limit: usize,
    },
    /// The report says nothing.
    #[error("the report holds no verdict; give `success`, `score`, `rating`, `preferred_model` or `label`")]
    Empty,
    /// The store cannot make anything durable now. The report may be sent again: an exact repeat is counted once.
    #[error("feedback cannot be stored now ({problem}); send it again later")]
    Unavailable {
        /// Why.
        problem: String,
    },
}

/// Why waiting entries could not be written in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// The deadline passed first.
    #[error("the store did not finish writing within {millis} ms")]
    Deadline {
        /// The deadline.
        millis: u128,
    },
    /// The writer gave up on entries, or has ended.
    #[error("the store could not write: {problem}")]
    Failed {
        /// Why.
        problem: String,
    },
}

/// Why an export failed. A file that was asked for by path is then absent, or what it was before.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The destination could not be written.
    #[error("the export to {target} failed ({source}); check space and permissions")]
    Write {
        /// Where it was going.
        target: String,
        /// What the system said.
        source: io::Error,
    },
    /// The Parquet writer refused.
    #[error("the Parquet export failed: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
}

impl StoreError {
    /// Sorts an error of the file system by its remedy.
    pub(super) fn from_io(path: PathBuf, source: io::Error) -> Self {
        let is_refused = matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem);
        if is_refused { Self::NotWritable { path, source } } else { Self::Io { path, source } }
    }

    /// Sorts an error of the database by its remedy.
    pub(super) fn from_sql(path: PathBuf, source: sqlx::Error) -> Self {
        match primary_code(&source) {
            Some(CORRUPT | NOT_A_DATABASE) => Self::Corrupt { path, problem: source.to_string() },
            Some(READ_ONLY) => Self::NotWritable { path, source: io::Error::other(source.to_string()) },
            Some(_) | None => Self::Database { path, source },
        }
    }
}

const READ_ONLY: i64 = 8;
const CORRUPT: i64 = 11;
const NOT_A_DATABASE: i64 = 26;

/// SQLite's primary result code, where the error came from SQLite.
fn primary_code(error: &sqlx::Error) -> Option<i64> {
    let code: i64 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}
