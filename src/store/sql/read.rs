//! What readers ask, and how rows become records again.

use serde::de::DeserializeOwned;
use sqlx::sqlite::{Sqlite, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

use crate::domain::api::Api;
use crate::domain::feedback::{Feedback, Rating};
use crate::domain::ids::{CallerId, DecisionId, ModelName};
use crate::domain::money::{NanoUsd, Usage};
use crate::domain::probability::Probability;
use crate::domain::task::Task;
use crate::store::record::{DecisionKind, DecisionRecord, FeedbackRecord, OutcomeRecord};
use crate::store::sql::{ADDED, DECISION_COLUMNS, OUTCOME_COLUMNS, id_bytes, int};

/// Where a page of decisions ended: time, then order of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct Cursor {
    pub(in crate::store) at_unix_ms: i64,
    pub(in crate::store) seq: i64,
}

/// A page: decisions after the cursor and before a time, oldest first.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct PageQuery {
    pub(in crate::store) after: Cursor,
    pub(in crate::store) until_unix_ms: i64,
    pub(in crate::store) only_with_feedback: bool,
    pub(in crate::store) limit: i64,
}

/// A decision as the database holds it, with its outcome.
#[derive(Debug)]
pub(in crate::store) struct Stored {
    pub(in crate::store) cursor: Cursor,
    pub(in crate::store) decision: DecisionRecord,
    pub(in crate::store) outcome: Option<OutcomeRecord>,
}

/// Where decisions are read.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Source<'a> {
    pub(in crate::store) pool: &'a SqlitePool,
    /// The schema of the file. What an older one does not have is read as unknown.
    pub(in crate::store) schema: i64,
}

impl Source<'_> {
    /// A query for decisions with their outcomes, whose columns bear the prefix `o_`. Every column is named, so that one that another
    /// process adds does not shift the others.
    fn select(&self, rest: &str) -> AssertSqlSafe<String> {
        let known = |column: &str| ADDED.iter().all(|(added, since)| *added != column || self.schema >= *since);
        let from =
            |table: &str, column: &str| if known(column) { format!("{table}.{column}") } else { "NULL".to_owned() };
        let decision = DECISION_COLUMNS.iter().map(|column| format!("{} AS {column}", from("d", column)));
        let outcome = OUTCOME_COLUMNS.iter().map(|column| format!("{} AS o_{column}", from("o", column)));
        let columns: Vec<String> = decision.chain(outcome).collect();
        AssertSqlSafe(format!(
            "SELECT d.seq AS seq, {} FROM decision d LEFT JOIN outcome o ON o.decision_id = d.id {rest}",
            columns.join(", ")
        ))
    }
}

/// One page of decisions with their outcomes.
pub(in crate::store) async fn page(source: Source<'_>, query: &PageQuery) -> Result<Vec<Stored>, sqlx::Error> {
    let rest = if query.only_with_feedback {
        "WHERE (d.at_unix_ms, d.seq) > (?, ?) AND d.at_unix_ms < ?
           AND EXISTS (SELECT 1 FROM feedback f WHERE f.decision_id = d.id)
         ORDER BY d.at_unix_ms, d.seq LIMIT ?"
    } else {
        "WHERE (d.at_unix_ms, d.seq) > (?, ?) AND d.at_unix_ms < ? ORDER BY d.at_unix_ms, d.seq LIMIT ?"
    };
    let rows = sqlx::query::<Sqlite>(source.select(rest))
        .bind(query.after.at_unix_ms)
        .bind(query.after.seq)
        .bind(query.until_unix_ms)
        .bind(query.limit)
        .fetch_all(source.pool)
        .await?;
    rows.iter().map(stored).collect()
}

/// The latest decisions, newest first.
pub(in crate::store) async fn recent(source: Source<'_>, limit: i64) -> Result<Vec<Stored>, sqlx::Error> {
    let sql = source.select("ORDER BY d.at_unix_ms DESC, d.seq DESC LIMIT ?");
    let rows = sqlx::query::<Sqlite>(sql).bind(limit).fetch_all(source.pool).await?;
    rows.iter().map(stored).collect()
}

/// One decision.
pub(in crate::store) async fn decision(source: Source<'_>, id: DecisionId) -> Result<Option<Stored>, sqlx::Error> {
    let sql = source.select("WHERE d.id = ?");
    let row = sqlx::query::<Sqlite>(sql).bind(id_bytes(id)).fetch_optional(source.pool).await?;
    row.as_ref().map(stored).transpose()
}

/// Every report about one decision, oldest first.
pub(in crate::store) async fn feedback(pool: &SqlitePool, id: DecisionId) -> Result<Vec<FeedbackRecord>, sqlx::Error> {
    let rows = sqlx::query("SELECT * FROM feedback WHERE decision_id = ? ORDER BY seq")
        .bind(id_bytes(id))
        .fetch_all(pool)
        .await?;
    rows.iter().map(feedback_record).collect()
}

/// Every report about the decisions after one cursor and up to another, oldest first.
pub(in crate::store) async fn feedback_between(
    pool: &SqlitePool,
    after: Cursor,
    last: Cursor,
) -> Result<Vec<FeedbackRecord>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT f.* FROM decision d JOIN feedback f ON f.decision_id = d.id
         WHERE (d.at_unix_ms, d.seq) > (?, ?) AND (d.at_unix_ms, d.seq) <= (?, ?) ORDER BY f.seq",
    )
    .bind(after.at_unix_ms)
    .bind(after.seq)
    .bind(last.at_unix_ms)
    .bind(last.seq)
    .fetch_all(pool)
    .await?;
    rows.iter().map(feedback_record).collect()
}

/// Decisions, outcomes, reports, and decisions with a report.
pub(in crate::store) async fn counts(pool: &SqlitePool) -> Result<(i64, i64, i64, i64), sqlx::Error> {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM decision), (SELECT count(*) FROM outcome), (SELECT count(*) FROM feedback),
                (SELECT count(DISTINCT decision_id) FROM feedback)",
    )
    .fetch_one(pool)
    .await
}

fn stored(row: &SqliteRow) -> Result<Stored, sqlx::Error> {
    let decision = decision_record(row)?;
    let outcome = match row.try_get::<Option<i64>, _>("o_at_unix_ms")? {
        Some(at) => Some(outcome_record(row, decision.id, at)?),
        None => None,
    };
    let cursor = Cursor { at_unix_ms: row.try_get("at_unix_ms")?, seq: row.try_get("seq")? };
    Ok(Stored { cursor, decision, outcome })
}

fn decision_record(row: &SqliteRow) -> Result<DecisionRecord, sqlx::Error> {
    let signals: Vec<u8> = row.try_get("signals")?;
    let (signals, _) = signals.as_chunks::<4>();
    let kind: String = row.try_get("kind")?;
    let task: Option<String> = row.try_get("task")?;
    let tags: Option<String> = row.try_get("tags")?;
    let api: Option<String> = row.try_get("api")?;
    Ok(DecisionRecord {
        version: row.try_get("version")?,
        id: id(row, "id")?,
        at_unix_ms: count(row, "at_unix_ms")?,
        kind: DecisionKind::parse(&kind).ok_or_else(|| foreign("kind", &kind))?,
        caller: text(row, "caller")?,
        policy: text(row, "policy")?,
        aim: json(row, "aim")?,
        // A threshold that is not a number is stored as nothing.
        threshold: row.try_get::<Option<f64>, _>("threshold")?.unwrap_or(f64::NAN),
        model: text(row, "model")?,
        tier: text(row, "tier")?,
        reason: row.try_get("reason")?,
        sentence: row.try_get("sentence")?,
        propensity: Probability::clamped(row.try_get("propensity")?),
        bundle: optional_text(row, "bundle")?,
        encoder: row.try_get("encoder")?,
        scorer: row.try_get("scorer")?,
        task: task.as_deref().and_then(Task::parse),
        task_p: probability(row, "task_p")?,
        difficulty: probability(row, "difficulty")?,
        input_tokens: count(row, "input_tokens")?,
        considered: json(row, "considered")?,
        signals: signals.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        signals_version: row.try_get("signals_version")?,
        embedding: row.try_get("embedding")?,
        prompt: row.try_get("prompt")?,
        route_us: count(row, "route_us")?,
        session: row.try_get("session")?,
        tags: tags.as_deref().map(|tags| read_json("tags", tags)).transpose()?,
        api: api.as_deref().and_then(Api::parse),
    })
}

fn outcome_record(row: &SqliteRow, decision_id: DecisionId, at: i64) -> Result<OutcomeRecord, sqlx::Error> {
    let class: String = row.try_get("o_class")?;
    let usage = match optional_count(row, "o_input_tokens")? {
        Some(input_tokens) => Some(Usage {
            input_tokens,
            cached_input_tokens: optional_count(row, "o_cached_input_tokens")?.unwrap_or(0),
            cache_write_tokens: 0,
            output_tokens: optional_count(row, "o_output_tokens")?.unwrap_or(0),
        }),
        None => None,
    };
    Ok(OutcomeRecord {
        version: row.try_get("o_version")?,
        decision_id,
        at_unix_ms: u64::try_from(at).unwrap_or(0),
        class: serde_json::from_value(class.clone().into()).map_err(|_| foreign("class", &class))?,
        served_by: optional_text(row, "o_served_by")?,
        tier: optional_text(row, "o_tier")?,
        upstream: optional_text(row, "o_upstream")?,
        usage,
        cost: optional_count(row, "o_cost_nano_usd")?.map(NanoUsd),
        attempts: json(row, "o_attempts")?,
        total_ms: count(row, "o_total_ms")?,
        first_byte_ms: optional_count(row, "o_first_byte_ms")?,
        stream: row.try_get("o_stream")?,
        usage_estimated: row.try_get("o_usage_estimated")?,
    })
}

fn feedback_record(row: &SqliteRow) -> Result<FeedbackRecord, sqlx::Error> {
    let rating: Option<u8> = row.try_get("rating")?;
    let label: Option<String> = row.try_get("label")?;
    Ok(FeedbackRecord {
        version: row.try_get("version")?,
        at_unix_ms: count(row, "at_unix_ms")?,
        caller: text::<CallerId>(row, "caller")?,
        feedback: Feedback {
            decision_id: id(row, "decision_id")?,
            success: row.try_get("success")?,
            score: probability(row, "score")?,
            rating: rating.and_then(|stars| Rating::try_from(stars).ok()),
            preferred_model: optional_text::<ModelName>(row, "preferred_model")?,
            label: label.as_deref().and_then(Task::parse),
            source: row.try_get("source")?,
            comment: row.try_get("comment")?,
        },
    })
}

fn id(row: &SqliteRow, column: &str) -> Result<DecisionId, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    let bits = <[u8; 16]>::try_from(bytes).map_err(|_| foreign(column, "an id of another length"))?;
    Ok(DecisionId::from_u128(u128::from_be_bytes(bits)))
}

fn text<T: From<String>>(row: &SqliteRow, column: &str) -> Result<T, sqlx::Error> {
    row.try_get::<String, _>(column).map(T::from)
}

fn optional_text<T: From<String>>(row: &SqliteRow, column: &str) -> Result<Option<T>, sqlx::Error> {
    Ok(row.try_get::<Option<String>, _>(column)?.map(T::from))
}

fn count(row: &SqliteRow, column: &str) -> Result<u64, sqlx::Error> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}

fn optional_count(row: &SqliteRow, column: &str) -> Result<Option<u64>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(|value| u64::try_from(value).unwrap_or(0)))
}

fn probability(row: &SqliteRow, column: &str) -> Result<Option<Probability>, sqlx::Error> {
    Ok(row.try_get::<Option<f64>, _>(column)?.map(Probability::clamped))
}

fn json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, sqlx::Error> {
    read_json(column, row.try_get(column)?)
}

fn read_json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text)
        .map_err(|source| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(source) })
}

fn foreign(column: &str, found: &str) -> sqlx::Error {
    let source = format!("`{found}` is not a value this version knows");
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: source.into() }
}

/// The cursor before everything from a time on.
pub(in crate::store) fn cursor_from(since_unix_ms: Option<u64>) -> Cursor {
    Cursor { at_unix_ms: since_unix_ms.map_or(i64::MIN, int), seq: i64::MIN }
}
