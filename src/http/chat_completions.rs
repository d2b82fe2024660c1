//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Request};
use axum::response::{IntoResponse, Response};

use crate::chat::openai::ChatRequest;
use crate::chat::options::{CacheControl, RouterOptions};
use crate::domain::api::Api;
use crate::domain::ids::DecisionId;
use crate::domain::money::NanoUsd;
use crate::http::admission::Admitted;
use crate::http::alive::{Alive, Sign};
use crate::http::body::{parse, read_json};
use crate::http::error::ApiError;
use crate::http::headers::{
    ATTEMPTS, DEFERRED, DEGRADED, ESCALATED, Served, attempts_line, decision_headers, escalated_line,
};
use crate::http::state::Server;
use crate::pipeline::{Call, Routed, complete};
use crate::upstream::dispatch::Answer;

/// What clients of server-sent events skip.
const COMMENT: &[u8] = b": still here\n\n";

/// Decides, calls the chosen model, and answers as it answers.
///
/// # Errors
/// Everything that [`ApiError`] can say; errors after the decision carry its headers.
pub async fn create(
    State(server): State<Arc<Server>>,
    Extension(admitted): Extension<Admitted>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let chat = read_chat(&server, request).await?;
    let call = Call::now(admitted.to(Api::Chat), chat);
    let id = call.admission.id;
    match complete(&server.app, call, admitted.guard).await {
        Ok((routed, answer)) => Ok(respond(&server, (id, &routed), answer)),
        Err(failed) => Err(explain_failure(id, failed.routed.as_ref(), failed.error.into())),
    }
}

/// Reads a chat body and its headers.
///
/// # Errors
/// Everything that [`ApiError`] can say about a request.
pub async fn read_chat(server: &Server, request: Request<Body>) -> Result<ChatRequest, ApiError> {
    let headers = request.headers().clone();
    let body = read_json(request, server.body_limits).await?;
    read(parse(body, ChatRequest::parse).await?, &headers)
}

/// Fills the gaps of the body's options from the `x-trimtab-*` headers, and from `cache-control`.
///
/// # Errors
/// Headers whose values are out of range.
pub fn read(mut chat: ChatRequest, headers: &HeaderMap) -> Result<ChatRequest, ApiError> {
    let ours = headers.iter().filter_map(|(name, value)| {
        let option = name.as_str().strip_prefix("x-trimtab-")?;
        Some((option, value.to_str().ok()?))
    });
    let from_headers = RouterOptions::from_headers(ours)?;
    let from_http = headers.get(CACHE_CONTROL).and_then(|value| CacheControl::from_http(value.to_str().ok()?));
    let from_http = RouterOptions { cache: from_http, ..RouterOptions::default() };
    chat.options = chat.options.or(from_headers).or(from_http);
    Ok(chat)
}

/// The answer to a client: the decision's headers, and the body as it comes.
pub(crate) fn respond(server: &Server, (id, routed): (DecisionId, &Routed), answer: Answer) -> Response {
    let headers = answer_headers(id, routed, &answer);
    let sign = Sign { bytes: COMMENT, after: server.keep_alive };
    let body = if answer.stream { Body::new(Alive::new(answer.body, sign)) } else { Body::new(answer.body) };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response.into_response()
}

/// The headers of an answer: what tells of the decision, and what kind of body it has.
#[must_use]
pub fn answer_headers(id: DecisionId, routed: &Routed, answer: &Answer) -> HeaderMap {
    let streams = answer.stream;
    // What an answer costs that is kept or was checked is known before it is streamed.
    let cost = if answer.body.is_complete() { answer.cost } else { expected_cost(routed, answer.model.as_str()) };
    let served = Served { by: Some((answer.model.as_str(), answer.tier.as_str())), cost };
    let mut headers = decision_headers(id, routed, served);
    if let Some(degraded) = answer.degraded {
        headers.insert(DEGRADED, HeaderValue::from_static(degraded.as_str()));
        if let Some(age) = degraded.age() {
            headers.insert(AGE, HeaderValue::from(age.as_secs()));
        }
        let reference = degraded.reference().and_then(|id| HeaderValue::try_from(id.to_string()).ok());
        headers.extend(reference.map(|reference| (DEFERRED, reference)));
    }
    if let Some(line) = escalated_line(&answer.checks.failed) {
        headers.insert(ESCALATED, line);
    }
    if let Some(line) = attempts_line(&answer.attempts) {
        headers.insert(ATTEMPTS, line);
    }
    let kind = if streams { "text/event-stream" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if streams {
        // Proxies must not gather a stream up.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    headers
}

fn expected_cost(routed: &Routed, model: &str) -> Option<NanoUsd> {
    routed.decision.considered.iter().find(|one| one.model.as_str() == model)?.cost.map(|cost| cost.p50)
}

/// A failure with what was decided before it.
#[must_use]
pub fn explain_failure(id: DecisionId, routed: Option<&Routed>, error: ApiError) -> ApiError {
    match routed {
        Some(routed) => {
            error.with_headers(decision_headers(id, routed, Served { by: None, cost: Some(NanoUsd::ZERO) }))
        }
        None => error,
    }
}
