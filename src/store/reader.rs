//! The readers' end of the store: connections of their own that never hold up the writer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};

use crate::domain::ids::DecisionId;
use crate::store::error::StoreError;
use crate::store::record::{DecisionRecord, FeedbackRecord, OutcomeRecord};
use crate::store::schema;
use crate::store::sql::read::{self, Source, Stored};

/// Reads a store. Cheap to clone; at most two reads run at once and a third waits up to five seconds.
#[derive(Clone, Debug)]
pub struct StoreReader {
    pool: SqlitePool,
    path: Arc<PathBuf>,
    /// Of the file when it was opened.
    schema: i64,
}

/// A decision and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordedDecision {
    /// The decision.
    pub decision: DecisionRecord,
    /// How its call ended, if it was recorded.
    pub outcome: Option<OutcomeRecord>,
    /// Every report about it, oldest first.
    pub feedback: Vec<FeedbackRecord>,
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Decisions.
    pub decisions: u64,
    /// Outcomes.
    pub outcomes: u64,
    /// Reports.
    pub feedback: u64,
    /// Decisions with at least one report.
    pub decisions_with_feedback: u64,
}

impl StoreReader {
    pub(super) fn over(path: &Path, schema: i64) -> Self {
        // No idle or lifetime limit: those need a background task, and these connections are local files.
        let pool = SqlitePoolOptions::new()
            .max_connections(2)
            .acquire_timeout(Duration::from_secs(5))
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(schema::reading(path));
        Self { pool, path: Arc::new(path.to_owned()), schema }
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One decision with its outcome and every report about it. `None` if it is not on disk (yet).
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn decision(&self, id: DecisionId) -> Result<Option<RecordedDecision>, StoreError> {
        let failed = |source| self.failure(source);
        let Some(stored) = read::decision(self.source(), id).await.map_err(failed)? else { return Ok(None) };
        let feedback = read::feedback(&self.pool, id).await.map_err(failed)?;
        Ok(Some(recorded(stored, feedback)))
    }

    /// The latest decisions, newest first, without their reports. At most 1,000.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn recent(&self, limit: usize) -> Result<Vec<RecordedDecision>, StoreError> {
        let limit = limit.min(1_000) as i64;
        let stored = read::recent(self.source(), limit).await.map_err(|source| self.failure(source))?;
        Ok(stored.into_iter().map(|stored| recorded(stored, Vec::new())).collect())
    }

    /// How much the store holds. Reads an index from end to end, so it takes a moment on a large store.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let counts = read::counts(&self.pool).await.map_err(|source| self.failure(source))?;
        let (decisions, outcomes, feedback, with_feedback) = counts;
        let count = |value: i64| u64::try_from(value).unwrap_or(0);
        Ok(Counts {
            decisions: count(decisions),
            outcomes: count(outcomes),
            feedback: count(feedback),
            decisions_with_feedback: count(with_feedback),
        })
    }

    pub(super) const fn source(&self) -> Source<'_> {
        Source { pool: &self.pool, schema: self.schema }
    }

    pub(super) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    pub(super) fn failure(&self, source: sqlx::Error) -> StoreError {
        StoreError::from_sql(self.path().to_owned(), source)
    }
}

fn recorded(stored: Stored, feedback: Vec<FeedbackRecord>) -> RecordedDecision {
    RecordedDecision { decision: stored.decision, outcome: stored.outcome, feedback }
}
