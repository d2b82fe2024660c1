//! `POST /v1/route` and `/v1/route/batch`: the decision without the call.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Request};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::chat::error::ChatError;
use crate::chat::openai::ChatRequest;
use crate::domain::api::Api;
use crate::domain::ids::ModelName;
use crate::http::admission::Admitted;
use crate::http::body::{json_text, read_json};
use crate::http::chat_completions::{read, read_chat};
use crate::http::error::ApiError;
use crate::http::headers::{Served, decision_headers};
use crate::http::state::Server;
use crate::pipeline::{Call, Routed, route};
use crate::upstream::breaker::BreakerState;
use crate::view::{DecisionView, Shown};

/// Most requests in a batch.
const MAX_BATCH: usize = 1_000;

/// Decides for one chat body. The body is that of a chat completion; `model` may be left out.
///
/// # Errors
/// Everything that [`ApiError`] can say about a request body, a name, or a request that no model can serve.
pub async fn one(
    State(server): State<Arc<Server>>,
    Extension(admitted): Extension<Admitted>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let chat = read_chat(&server, request).await?;
    let call = Call::now(admitted.to(Api::Route), chat);
    let routed = route(&server.app, &call).await?;
    let expected =
        routed.decision.considered.iter().find(|one| one.model == routed.decision.model).and_then(|one| one.cost);
    let served = Served { by: None, cost: expected.map(|cost| cost.p50) };
    let headers = decision_headers(call.admission.id, &routed, served);
    let mut response = answer(&show(&server, &call, &routed));
    response.headers_mut().extend(headers);
    Ok(response)
}

/// Decides for many chat bodies. Each gets a decision or an error of its own, in order.
///
/// # Errors
/// A body that is not `{"requests": [...]}` with 1 to 1,000 entries.
pub async fn batch(
    State(server): State<Arc<Server>>,
    Extension(admitted): Extension<Admitted>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let body = read_json(request, server.body_limits).await?;
    let mut data = Vec::new();
    for request in entries(&body)? {
        data.push(match entry(&server, &admitted, &headers, request).await {
            Ok(decision) => decision,
            Err(error) => error.to_json(),
        });
    }
    Ok(answer(&json!({ "object": "list", "data": data })))
}

async fn entry(
    server: &Server,
    admitted: &Admitted,
    headers: &HeaderMap,
    request: &RawValue,
) -> Result<Value, ApiError> {
    let chat = read(ChatRequest::from_text(request.get())?, headers)?;
    let call = Call::now(admitted.to(Api::Route), chat);
    let routed = route(&server.app, &call).await?;
    Ok(json!(show(server, &call, &routed)))
}

fn entries(body: &[u8]) -> Result<Vec<&RawValue>, ApiError> {
    #[derive(Deserialize)]
    struct Batch<'a> {
        #[serde(borrow)]
        requests: Vec<&'a RawValue>,
    }
    let text = json_text(body)?;
    let expected = "a list of 1 to 1000 chat bodies";
    let wrong = || ChatError::Wrong { field: "requests".to_owned(), expected };
    let batch: Batch<'_> = serde_json::from_str(text).map_err(|_| wrong())?;
    if (1..=MAX_BATCH).contains(&batch.requests.len()) { Ok(batch.requests) } else { Err(wrong().into()) }
}

fn show<'a>(server: &Server, call: &'a Call, routed: &'a Routed) -> DecisionView<'a> {
    let now = Instant::now();
    let breaker = |model: &ModelName| server.app.catalog.breaker_of(model, now).map(BreakerState::as_str);
    let view = DecisionView::of(&Shown {
        id: call.admission.id,
        at_unix_ms: call.admission.at_unix_ms,
        prompt: &call.chat.prompt,
        routed,
        explain: call.chat.options.explain,
    });
    view.with_breakers(&routed.decision.considered, breaker)
}

fn answer(body: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => {
            let mut response = Response::new(Body::from(body));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(_) => ApiError::new(crate::http::error::Kind::Internal, "the answer could not be written").into_response(),
    }
}
