//! Every query of the room: the writer's here, the readers' in [`read`]. Another database means another copy of these two files
//! and of the connections.

pub(super) mod read;

use std::sync::LazyLock;

use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection};

use crate::domain::feedback::Feedback;
use crate::domain::ids::{CallerId, DecisionId};
use crate::store::record::{DecisionRecord, OutcomeRecord, RECORD_VERSION};

/// Rows per insert statement, largest first. One statement of many rows costs two thread switches instead of two per row, and a batch of any size
/// is a few of them.
const ROWS: [usize; 4] = [128, 32, 8, 1];

/// An insert statement for each of [`ROWS`].
type Inserts = [String; ROWS.len()];

const DECISION_COLUMNS: &[&str] = &[
    "id",
    "at_unix_ms",
    "version",
    "kind",
    "caller",
    "policy",
    "aim",
    "threshold",
    "model",
    "tier",
    "reason",
    "sentence",
    "propensity",
    "bundle",
    "encoder",
    "scorer",
    "task",
    "task_p",
    "difficulty",
    "input_tokens",
    "considered",
    "signals",
    "signals_version",
    "embedding",
    "prompt",
    "route_us",
    "session",
    "tags",
    "api",
];

const OUTCOME_COLUMNS: &[&str] = &[
    "decision_id",
    "at_unix_ms",
    "version",
    "class",
    "served_by",
    "tier",
    "upstream",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "cost_nano_usd",
    "attempts",
    "total_ms",
    "first_byte_ms",
    "stream",
    "usage_estimated",
];

/// Columns that stores of an older schema do not have, with the schema that brought them.
const ADDED: &[(&str, i64)] = &[("api", 2), ("usage_estimated", 2)];

static DECISIONS: LazyLock<Inserts> = LazyLock::new(|| inserts("decision", DECISION_COLUMNS));
static OUTCOMES: LazyLock<Inserts> = LazyLock::new(|| inserts("outcome", OUTCOME_COLUMNS));

/// The inserts of a table. A row that is there already stays, so that a batch may be written again.
fn inserts(table: &str, columns: &[&str]) -> Inserts {
    let row = format!("({})", vec!["?"; columns.len()].join(","));
    ROWS.map(|rows| {
        format!(
            "INSERT INTO {table} ({}) VALUES {} ON CONFLICT ({}) DO NOTHING",
            columns.join(","),
            vec![row.as_str(); rows].join(","),
            columns.first().copied().unwrap_or_default(),
        )
    })
}

type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Writes decisions. One that is stored already is left as it is.
pub(super) async fn insert_decisions(
    connection: &mut SqliteConnection,
    decisions: &[DecisionRecord],
) -> Result<(), sqlx::Error> {
    insert_rows(connection, (&DECISIONS, decisions), bind_decision).await
}

/// Writes outcomes. A second outcome of one decision is ignored.
pub(super) async fn insert_outcomes(
    connection: &mut SqliteConnection,
    outcomes: &[OutcomeRecord],
) -> Result<(), sqlx::Error> {
    insert_rows(connection, (&OUTCOMES, outcomes), bind_outcome).await
}

async fn insert_rows<T>(
    connection: &mut SqliteConnection,
    (inserts, mut rows): (&'static Inserts, &[T]),
    bind: impl for<'q> Fn(Bound<'q>, &T) -> Bound<'q>,
) -> Result<(), sqlx::Error> {
    for (insert, count) in inserts.iter().zip(ROWS) {
        let chunks = rows.chunks_exact(count);
        rows = chunks.remainder();
        for chunk in chunks {
            chunk.iter().fold(sqlx::query(insert.as_str()), &bind).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

fn bind_decision<'q>(query: Bound<'q>, one: &DecisionRecord) -> Bound<'q> {
    let signals: Vec<u8> = one.signals.iter().flat_map(|signal| signal.to_le_bytes()).collect();
    query
        .bind(id_bytes(one.id))
        .bind(int(one.at_unix_ms))
        .bind(one.version)
        .bind(one.kind.as_str())
        .bind(one.caller.as_str())
        .bind(one.policy.as_str())
        .bind(json(&one.aim))
        .bind(one.threshold)
        .bind(one.model.as_str())
        .bind(one.tier.as_str())
        .bind(one.reason.as_str())
        .bind(one.sentence.as_str())
        .bind(one.propensity.get())
        .bind(one.bundle.as_ref().map(|bundle| bundle.as_str()))
        .bind(one.encoder.as_deref())
        .bind(one.scorer.as_deref())
        .bind(one.task.map(|task| task.as_str()))
        .bind(one.task_p.map(|p| p.get()))
        .bind(one.difficulty.map(|difficulty| difficulty.get()))
        .bind(int(one.input_tokens))
        .bind(json(&one.considered))
        .bind(signals)
        .bind(one.signals_version)
        .bind(one.embedding.as_deref())
        .bind(one.prompt.as_deref())
        .bind(int(one.route_us))
        .bind(one.session.as_deref())
        .bind(one.tags.as_ref().map(json))
        .bind(one.api.map(|api| api.as_str()))
}

fn bind_outcome<'q>(query: Bound<'q>, one: &OutcomeRecord) -> Bound<'q> {
    query
        .bind(id_bytes(one.decision_id))
        .bind(int(one.at_unix_ms))
        .bind(one.version)
        .bind(one.class.as_str())
        .bind(one.served_by.as_ref().map(|model| model.as_str()))
        .bind(one.tier.as_ref().map(|tier| tier.as_str()))
        .bind(one.upstream.as_ref().map(|upstream| upstream.as_str()))
        .bind(one.usage.map(|usage| int(usage.input_tokens)))
        .bind(one.usage.map(|usage| int(usage.cached_input_tokens)))
        .bind(one.usage.map(|usage| int(usage.output_tokens)))
        .bind(one.cost.map(|cost| int(cost.0)))
        .bind(json(&one.attempts))
        .bind(int(one.total_ms))
        .bind(one.first_byte_ms.map(int))
        .bind(one.stream)
        .bind(one.usage_estimated)
}

/// What feedback needs of its decision: who served, and the embedding to learn with.
#[derive(Debug)]
pub(super) struct Served {
    /// The model that answered, else the one chosen.
    pub(super) model: String,
    /// The tier of that model.
    pub(super) tier: String,
    /// The packed embedding.
    pub(super) embedding: Option<Vec<u8>>,
    /// The digest of its encoder.
    pub(super) encoder: Option<String>,
    /// Who asked for the decision.
    pub(super) caller: String,
}

/// Finds a decision for feedback.
pub(super) async fn served(connection: &mut SqliteConnection, id: DecisionId) -> Result<Option<Served>, sqlx::Error> {
    type Row = (String, String, Option<Vec<u8>>, Option<String>, String);
    let row: Option<Row> = sqlx::query_as(
        "SELECT coalesce(o.served_by, d.model) AS model,
                CASE WHEN o.served_by IS NULL THEN d.tier ELSE coalesce(o.tier, d.tier) END AS tier,
                d.embedding, d.encoder, d.caller
         FROM decision d LEFT JOIN outcome o ON o.decision_id = d.id
         WHERE d.id = ?",
    )
    .bind(id_bytes(id))
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(model, tier, embedding, encoder, caller)| Served { model, tier, embedding, encoder, caller }))
}

/// An earlier report: when it came and the digest of what it said.
pub(super) type Earlier = (i64, Vec<u8>);

/// The report that a caller made under an idempotency key.
pub(super) async fn feedback_under_key(
    connection: &mut SqliteConnection,
    caller: &CallerId,
    key: &str,
) -> Result<Option<Earlier>, sqlx::Error> {
    sqlx::query_as("SELECT at_unix_ms, digest FROM feedback WHERE caller = ? AND idempotency_key = ?")
        .bind(caller.as_str())
        .bind(key)
        .fetch_optional(connection)
        .await
}

/// The latest report of a caller about a decision.
pub(super) async fn latest_feedback(
    connection: &mut SqliteConnection,
    caller: &CallerId,
    id: DecisionId,
) -> Result<Option<Earlier>, sqlx::Error> {
    sqlx::query_as(
        "SELECT at_unix_ms, digest FROM feedback WHERE decision_id = ? AND caller = ? ORDER BY seq DESC LIMIT 1",
    )
    .bind(id_bytes(id))
    .bind(caller.as_str())
    .fetch_optional(connection)
    .await
}

/// A report to be stored.
#[derive(Debug)]
pub(super) struct NewFeedback<'a> {
    pub(super) at_unix_ms: u64,
    pub(super) caller: &'a CallerId,
    pub(super) idempotency_key: Option<&'a str>,
    pub(super) digest: &'a [u8],
    pub(super) feedback: &'a Feedback,
    pub(super) comment: Option<&'a str>,
}

/// Writes a report.
pub(super) async fn insert_feedback(
    connection: &mut SqliteConnection,
    new: &NewFeedback<'_>,
) -> Result<(), sqlx::Error> {
    let feedback = new.feedback;
    sqlx::query(
        "INSERT INTO feedback (decision_id, at_unix_ms, version, caller, idempotency_key, digest, success, score,
                               rating, preferred_model, label, source, comment)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id_bytes(feedback.decision_id))
    .bind(int(new.at_unix_ms))
    .bind(RECORD_VERSION)
    .bind(new.caller.as_str())
    .bind(new.idempotency_key)
    .bind(new.digest)
    .bind(feedback.success)
    .bind(feedback.score.map(|score| score.get()))
    .bind(feedback.rating.map(u8::from))
    .bind(feedback.preferred_model.as_ref().map(|model| model.as_str()))
    .bind(feedback.label.map(|label| label.as_str()))
    .bind(feedback.source.as_deref())
    .bind(new.comment)
    .execute(connection)
    .await
    .map(drop)
}

/// The id as it is stored: sixteen bytes that sort by time.
pub(super) fn id_bytes(id: DecisionId) -> Vec<u8> {
    id.as_u128().to_be_bytes().to_vec()
}

/// SQLite has signed integers only; a number beyond them is not a real count.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Plain records cannot fail to become JSON; if one ever did, `null` is stored rather than the batch lost.
fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}
