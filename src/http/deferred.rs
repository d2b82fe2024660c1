//! `GET` and `DELETE /v1/deferred/{id}`: what became of a request that no model answered at first.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::deferred::View;
use crate::domain::ids::{DecisionId, DeferredId, ModelName};
use crate::http::admission::Admitted;
use crate::http::body::Whole;
use crate::http::error::{ApiError, Kind};
use crate::http::state::Server;
use crate::pipeline::deferred::Unanswered;
use crate::upstream::heavy::heavy;

/// An entry as JSON. Times are seconds since 1970, as everywhere in OpenAI's dialect.
#[derive(Serialize)]
struct Shown<'a> {
    id: DeferredId,
    object: &'static str,
    status: &'static str,
    created: u64,
    expires: u64,
    attempts: u32,
    decision_id: Option<DecisionId>,
    model: Option<&'a ModelName>,
    cost_usd: Option<f64>,
    answer: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
}

impl<'a> Shown<'a> {
    fn new(id: DeferredId, view: &'a View) -> Self {
        let answer = view.answer.as_deref();
        Self {
            id,
            object: "deferred",
            status: view.status.as_str(),
            created: view.created_unix_ms / 1_000,
            expires: view.expires_unix_ms / 1_000,
            attempts: view.tries,
            decision_id: answer.map(|answer| answer.decision),
            model: answer.map(|answer| &answer.model),
            cost_usd: answer.and_then(|answer| answer.cost).map(|cost| cost.as_usd()),
            answer: answer.map(|answer| answer.body.as_ref()),
            error: view.problem.as_deref(),
        }
    }
}

/// How a deferred request stands, with its answer once there is one. It can be fetched as often as its caller likes until it expires.
/// Its place among the requests in flight is free when the last byte is sent.
///
/// # Errors
/// 404 for references that are not known, and for those of other callers alike.
pub async fn show(
    State(server): State<Arc<Server>>,
    Extension(admitted): Extension<Admitted>,
    Path(reference): Path<String>,
) -> Result<Response, ApiError> {
    let id = DeferredId::parse(&reference).ok_or_else(unknown)?;
    let queue = server.app.deferred.as_ref().ok_or_else(unknown)?;
    let view = queue.view(id, &admitted.caller, Instant::now()).ok_or_else(unknown)?;
    let bytes = view.answer.as_ref().map_or(0, |answer| answer.body.get().len());
    let body = heavy(bytes, move || serde_json::to_vec(&Shown::new(id, &view)).ok()).await.flatten();
    let body = body
        .ok_or_else(|| ApiError::new(Kind::Internal, "the entry could not be written as JSON; please report this"))?;
    let mut response = Response::new(Body::new(Whole::holding(body.into(), admitted.guard)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Takes a deferred request back, or forgets its answer. A call that is being made for it is cancelled.
///
/// # Errors
/// As [`show`].
pub async fn delete(
    State(server): State<Arc<Server>>,
    Extension(admitted): Extension<Admitted>,
    Path(reference): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = DeferredId::parse(&reference).ok_or_else(unknown)?;
    let queue = server.app.deferred.as_ref().ok_or_else(unknown)?;
    let was = queue.delete(id, &admitted.caller, Instant::now()).ok_or_else(unknown)?;
    Ok(Json(json!({ "id": id, "object": "deferred.deleted", "deleted": true, "status": was.as_str() })))
}

/// Why there is no answer, as the `error` of an entry.
#[must_use]
pub fn explain(why: Unanswered) -> Box<RawValue> {
    to_raw_value(&ApiError::from(why).object()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Has the metrics show what the queue holds and has done.
pub fn measure(server: &Server) {
    if let Some(queue) = &server.app.deferred {
        server.app.metrics.deferred(&queue.totals(Instant::now()));
    }
}

fn unknown() -> ApiError {
    ApiError::new(
        Kind::NotFound,
        "there is no such deferred request of yours: the reference is unknown, its time is over, or the server was restarted; send the request again",
    )
}

impl From<Unanswered> for ApiError {
    fn from(why: Unanswered) -> Self {
        let message = why.to_string();
        match why {
            Unanswered::Route(error) => error.into(),
            Unanswered::Untold(_) => Self::new(Kind::UpstreamFailed, message),
            Unanswered::Panicked => Self::new(Kind::Internal, message),
        }
    }
}
