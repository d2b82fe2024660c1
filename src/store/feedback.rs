//! Feedback: checked, stored once, and acknowledged only when it is durable.

use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteConnection;

use crate::domain::feedback::Feedback;
use crate::domain::ids::{CallerId, DecisionId, ModelName, TierId};
use crate::domain::probability::Probability;
use crate::domain::task::Task;
use crate::store::error::FeedbackError;
use crate::store::record::floats_of_halves;
use crate::store::redact::PromptRetention;
use crate::store::sql::{self, Earlier, NewFeedback, Served};

const COMMENT_BYTES: usize = 4096;
const SOURCE_BYTES: usize = 64;
const KEY_BYTES: usize = 256;
const MODEL_BYTES: usize = 256;

/// One report as it arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedbackEntry {
    /// What is said about which decision.
    pub feedback: Feedback,
    /// The caller's name for this report, at most 256 bytes. The same key with the same content is the same report.
    pub idempotency_key: Option<String>,
    /// Who reports.
    pub caller: CallerId,
    /// Whose decisions the caller may report on.
    pub right: FeedbackRight,
    /// When it arrived, milliseconds since 1970 in UTC.
    pub at_unix_ms: u64,
}

/// Whose decisions a caller may report on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FeedbackRight {
    /// Those it asked for itself. Any other does not exist as far as it can tell.
    #[default]
    Own,
    /// Everybody's, as a judge or a verifier needs.
    Any,
}

/// The acknowledgement: the report is on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedbackReceipt {
    /// Which decision.
    pub decision_id: DecisionId,
    /// When the report was first stored, milliseconds since 1970 in UTC.
    pub at_unix_ms: u64,
    /// Whether the report had been stored before. It then counts once, and must not be learnt from again.
    pub replayed: bool,
    /// What the live index can learn.
    pub learnable: Learnable,
}

/// What one report teaches.
#[derive(Clone, Debug, PartialEq)]
pub struct Learnable {
    /// Which decision.
    pub decision_id: DecisionId,
    /// Who reports.
    pub caller: CallerId,
    /// The fast embedding of the ask, where one was recorded.
    pub embedding: Option<Vec<f32>>,
    /// The digest of the encoder that made it; an index of another encoder must not take it.
    pub encoder: Option<String>,
    /// The model that served, else the one chosen.
    pub model: ModelName,
    /// Its tier.
    pub tier: TierId,
    /// How well it did, where the report says so.
    pub verdict: Option<Probability>,
    /// The model whose answer was better, where the report says so.
    pub preferred_model: Option<ModelName>,
    /// What the task really was, where the report says so.
    pub label: Option<Task>,
}

/// Refuses reports that say nothing or are too long to keep.
pub(super) fn check(entry: &FeedbackEntry) -> Result<(), FeedbackError> {
    let feedback = &entry.feedback;
    let lengths = [
        ("comment", feedback.comment.as_deref(), COMMENT_BYTES),
        ("source", feedback.source.as_deref(), SOURCE_BYTES),
        ("idempotency_key", entry.idempotency_key.as_deref(), KEY_BYTES),
        ("preferred_model", feedback.preferred_model.as_ref().map(|model| model.as_str()), MODEL_BYTES),
    ];
    for (field, text, limit) in lengths {
        if text.is_some_and(|text| text.len() > limit) {
            return Err(FeedbackError::TooLong { field, limit });
        }
    }
    if feedback.says_something() { Ok(()) } else { Err(FeedbackError::Empty) }
}

/// Stores a report within the writer's transaction. The inner result is the caller's and holds once the transaction is committed.
///
/// # Errors
/// What the database says; the transaction is then rolled back and may be tried again.
pub(super) async fn store(
    connection: &mut SqliteConnection,
    entry: &FeedbackEntry,
    retention: PromptRetention,
) -> Result<Result<FeedbackReceipt, FeedbackError>, sqlx::Error> {
    let feedback = &entry.feedback;
    let digest = digest(feedback);
    let earlier = match find_earlier(connection, entry, &digest).await? {
        Ok(earlier) => earlier,
        Err(conflict) => return Ok(Err(conflict)),
    };
    let served = sql::served(connection, feedback.decision_id).await?;
    let may_report = |served: &Served| match entry.right {
        FeedbackRight::Own => served.caller == entry.caller.as_str(),
        FeedbackRight::Any => true,
    };
    // One answer for a decision that does not exist and for one of somebody else, or ids could be tried out.
    let Some(served) = served.filter(may_report) else {
        return Ok(Err(FeedbackError::UnknownDecision(feedback.decision_id)));
    };
    if earlier.is_none() {
        let comment = feedback.comment.as_deref().and_then(|comment| retention.apply(comment));
        let new = NewFeedback {
            at_unix_ms: entry.at_unix_ms,
            caller: &entry.caller,
            idempotency_key: entry.idempotency_key.as_deref(),
            digest: &digest,
            feedback,
            comment: comment.as_deref(),
        };
        sql::insert_feedback(connection, &new).await?;
    }
    Ok(Ok(FeedbackReceipt {
        decision_id: feedback.decision_id,
        at_unix_ms: earlier.unwrap_or(entry.at_unix_ms),
        replayed: earlier.is_some(),
        learnable: learnable(entry, served),
    }))
}

/// When the same report was stored before, if it was.
///
/// Under a key, the content must be the same. Without one, only an exact repeat of the caller's latest word counts as the same:
/// "good", "bad", "good" are three reports, or the second would stand for ever.
async fn find_earlier(
    connection: &mut SqliteConnection,
    entry: &FeedbackEntry,
    digest: &[u8],
) -> Result<Result<Option<u64>, FeedbackError>, sqlx::Error> {
    let at = |(at, _): Earlier| u64::try_from(at).unwrap_or(0);
    let Some(key) = &entry.idempotency_key else {
        let latest = sql::latest_feedback(connection, &entry.caller, entry.feedback.decision_id).await?;
        return Ok(Ok(latest.filter(|(_, known)| known == digest).map(at)));
    };
    match sql::feedback_under_key(connection, &entry.caller, key).await? {
        Some((_, known)) if known != digest => Ok(Err(FeedbackError::IdempotencyConflict { key: key.clone() })),
        found => Ok(Ok(found.map(at))),
    }
}

fn learnable(entry: &FeedbackEntry, served: Served) -> Learnable {
    let feedback = &entry.feedback;
    let model = ModelName::from(served.model);
    Learnable {
        caller: entry.caller.clone(),
        decision_id: feedback.decision_id,
        embedding: served.embedding.as_deref().and_then(floats_of_halves),
        encoder: served.encoder,
        verdict: feedback.verdict(&model),
        model,
        tier: TierId::from(served.tier),
        preferred_model: feedback.preferred_model.clone(),
        label: feedback.label,
    }
}

/// Tells two reports apart: SHA-256 of the report as JSON, whose fields have a fixed order.
fn digest(feedback: &Feedback) -> Vec<u8> {
    let json = serde_json::to_vec(feedback).unwrap_or_default();
    Sha256::digest(json).to_vec()
}
