//! What is remembered: decisions, outcomes and feedback in SQLite, and their export. Imports `domain`.
//!
//! One thread writes, in batches; the request path only ever hands entries over and never waits for a disk. Readers use
//! connections of their own. All SQL is in `sql.rs` and `sql/`, so that another database is two
//! files and one writer away.

mod columns;
mod error;
mod export;
mod feedback;
mod journal;
mod lock;
mod open;

mod reader;
mod record;
mod redact;
mod schema;
mod sql;
mod writer;

#[cfg(test)]
mod tests;

pub use error::{ExportError, FeedbackError, StoreError, SyncError};
pub use export::{EXPORT_SCHEMA, ExportFormat, ExportOptions, ExportReport, ExportRow, ExportWhich};
pub use feedback::{FeedbackEntry, FeedbackReceipt, FeedbackRight, Learnable};
pub use journal::{Journal, JournalStats, StoreHealth};
pub use open::{RetrySettings, Store, StoreSettings};
pub use reader::{Counts, RecordedDecision, StoreReader};
pub use record::{
    AimRecord, AttemptRecord, ConsideredRecord, DecisionKind, DecisionRecord, FeedbackRecord, OutcomeRecord,
    RECORD_VERSION, floats_of_halves, halves_of_floats,
};
pub use redact::{PromptRetention, redact};
