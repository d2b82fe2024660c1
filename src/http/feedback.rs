//! `POST /v1/feedback`: how well an answer did.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::Request;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::chat::error::ChatError;
use crate::domain::feedback::{Feedback, Rating};
use crate::domain::ids::{DecisionId, ModelName};
use crate::domain::probability::Probability;
use crate::domain::task::Task;
use crate::http::admission::Admitted;
use crate::http::body::{json_text, read_json};
use crate::http::drift;
use crate::http::error::{ApiError, Kind};
use crate::http::state::Server;
use crate::learn::learn;
use crate::store::{FeedbackEntry, FeedbackError, FeedbackRight};
use crate::telemetry::metrics::FeedbackResult;

/// The body. Every value is read loosely first, so that a wrong one is named.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    decision_id: Option<Value>,
    success: Option<Value>,
    score: Option<Value>,
    rating: Option<Value>,
    preferred_model: Option<Value>,
    label: Option<Value>,
    source: Option<Value>,
    comment: Option<Value>,
}

/// Stores feedback about a decision. The answer comes only when it is durable; new labels enter the running neighbour index at once.
///
/// The same `idempotency-key` with the same content is acknowledged again and stored once.
///
/// # Errors
/// 400 for values out of range, 404 for an unknown decision, 409 for a key used for something else, 503 where the store fails.
pub async fn create(
    State(server): State<Arc<Server>>,
    Extension(admitted): Extension<Admitted>,
    request: Request<Body>,
) -> Result<Json<Value>, ApiError> {
    let key = request.headers().get("idempotency-key").map(|value| {
        value
            .to_str()
            .map(str::to_owned)
            .map_err(|_| ApiError::new(Kind::InvalidRequest, "`idempotency-key` must be ASCII").at("idempotency-key"))
    });
    let idempotency_key = key.transpose()?;
    let body = read_json(request, server.body_limits).await?;
    let feedback = read(&body).inspect_err(|_| server.app.metrics.feedback(FeedbackResult::Invalid))?;
    let Some(store) = &server.store else {
        let message = "the store is switched off, so feedback cannot be kept; set `store.enabled = true`";
        return Err(ApiError::new(Kind::StoreUnavailable, message));
    };
    let right = if server.judges.contains(&admitted.caller) { FeedbackRight::Any } else { FeedbackRight::Own };
    let (caller, at_unix_ms) = (admitted.caller.clone(), admitted.at_unix_ms);
    let entry = FeedbackEntry { feedback, idempotency_key, caller, right, at_unix_ms };
    let result = store.feedback(entry).await;
    server.app.metrics.feedback(match &result {
        Ok(receipt) if receipt.replayed => FeedbackResult::Duplicate,
        Ok(_) => FeedbackResult::Stored,
        Err(FeedbackError::UnknownDecision(_)) => FeedbackResult::UnknownDecision,
        Err(FeedbackError::IdempotencyConflict { .. } | FeedbackError::TooLong { .. } | FeedbackError::Empty) => {
            FeedbackResult::Invalid
        }
        Err(FeedbackError::Unavailable { .. }) => FeedbackResult::Failed,
    });
    let receipt = result?;
    if !receipt.replayed {
        drift::judge(&server, store, &receipt.learnable).await;
    }
    let learned = !receipt.replayed && learn(&server.app, &receipt.learnable);
    Ok(Json(json!({
        "object": "feedback",
        "decision_id": receipt.learnable.decision_id,
        "replayed": receipt.replayed,
        "learned": learned,
    })))
}

fn read(body: &[u8]) -> Result<Feedback, ApiError> {
    let text = json_text(body)?;
    let wire: Wire = serde_json::from_str(text)
        .map_err(|error| ApiError::new(Kind::InvalidRequest, format!("the feedback cannot be read: {error}")))?;
    let id = wire.decision_id.ok_or_else(|| ChatError::Missing {
        field: "decision_id".to_owned(),
        fix: "send the id of a decision, as in the header `x-trimtab-decision-id`",
    })?;
    let id = id.as_str().and_then(DecisionId::parse);
    let feedback = Feedback {
        decision_id: id.ok_or_else(|| wrong("decision_id", "`dec_` and 32 hexadecimal digits"))?,
        success: field("success", wire.success, "true or false", Value::as_bool)?,
        score: field("score", wire.score, "a number from 0 to 1", |value| Probability::try_from(value.as_f64()?).ok())?,
        rating: field("rating", wire.rating, "a whole number from 1 to 5", |value| {
            Rating::try_from(u8::try_from(value.as_u64()?).ok()?).ok()
        })?,
        preferred_model: field("preferred_model", wire.preferred_model, "the name of a model", |value| {
            value.as_str().filter(|name| (1..=256).contains(&name.len())).map(ModelName::from)
        })?,
        label: field("label", wire.label, "a task such as `code_generation` or `open_qa`", |value| {
            Task::parse(value.as_str()?)
        })?,
        source: field("source", wire.source, "a text of 1 to 64 bytes", |value| short(value, 64))?,
        comment: field("comment", wire.comment, "a text of 1 to 4096 bytes", |value| short(value, 4096))?,
    };
    if feedback.says_something() {
        Ok(feedback)
    } else {
        let fix = "give at least one of `success`, `score`, `rating`, `preferred_model` and `label`";
        Err(ChatError::Missing { field: "score".to_owned(), fix }.into())
    }
}

fn short(value: &Value, most: usize) -> Option<String> {
    value.as_str().filter(|text| (1..=most).contains(&text.len())).map(str::to_owned)
}

/// Reads an optional field; null counts as absent.
fn field<T>(
    name: &str,
    value: Option<Value>,
    expected: &'static str,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, ChatError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => read(&value).map(Some).ok_or_else(|| wrong(name, expected)),
    }
}

fn wrong(field: &str, expected: &'static str) -> ChatError {
    ChatError::Wrong { field: field.to_owned(), expected }
}
