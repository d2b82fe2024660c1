//! `POST /v1/messages` and `POST /v1/messages/count_tokens`: Anthropic's Messages.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;

use crate::chat::anthropic::BETAS;
use crate::chat::messages::{MessagesRequest, error_body};
use crate::domain::api::Api;
use crate::http::admission::{Admitted, RequestId};
use crate::http::body::read_json;
use crate::http::dialect::{Incoming, serve};
use crate::http::error::{ApiError, Kind};
use crate::http::state::Server;

/// The name of a request, as Anthropic's clients read it.
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// The most bytes of an error that are read to be said anew; what an upstream says of a refusal is bounded far below.
const MOST_ERROR_BYTES: usize = 1 << 20;

/// Decides, calls the chosen model, and answers with a message.
///
/// # Errors
/// Everything that [`ApiError`] can say, in Anthropic's shape by [`speak`].
pub async fn create(
    State(server): State<Arc<Server>>,
    Extension(admitted): Extension<Admitted>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let betas = betas(request.headers());
    let read = |body: &[u8]| {
        let request = MessagesRequest::parse(body)?;
        let MessagesRequest { chat, reply } = match &betas {
            Some(betas) => request.with_betas(betas),
            None => request,
        };
        Ok((chat, |naming| reply.writer(naming)))
    };
    serve(&server, Incoming { admitted, request, api: Api::Messages }, read).await
}

/// Estimates the input tokens of a request, as decisions do: a token for every four bytes of text and tools, some for each message and
/// image. Which tokeniser will count depends on the model that answers.
///
/// # Errors
/// Bodies that cannot be read.
pub async fn count_tokens(State(server): State<Arc<Server>>, request: Request<Body>) -> Result<Response, ApiError> {
    let body = read_json(request, server.body_limits).await?;
    let MessagesRequest { chat, reply: _ } = MessagesRequest::parse(&body)?;
    let mut response = Response::new(Body::from(json!({ "input_tokens": chat.prompt.shape.input_tokens }).to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// What the caller would have of what Anthropic is still trying out, from one header or several.
fn betas(headers: &HeaderMap) -> Option<String> {
    let all: Vec<&str> = headers.get_all(BETAS).iter().filter_map(|value| value.to_str().ok()).collect();
    (!all.is_empty()).then(|| all.join(","))
}

/// Whether a request comes from one of Anthropic's clients, which all name the version of the API that they know.
#[must_use]
pub fn is_anthropics(headers: &HeaderMap) -> bool {
    headers.contains_key("anthropic-version")
}

/// Says errors in Anthropic's shape, whoever made them, to those who ask under `/v1/messages` or name a version of Anthropic's API, and
/// puts the request's name where Anthropic's clients look for it.
pub async fn speak(request: Request<Body>, next: Next) -> Response {
    let path = request.uri().path();
    let is_messages = path == "/v1/messages" || path.starts_with("/v1/messages/");
    if !is_messages && !is_anthropics(request.headers()) {
        return next.run(request).await;
    }
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let mut response = next.run(request).await;
    if response.extensions().get::<Kind>().is_some() {
        response = retell(response, &id).await;
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(ANTHROPIC_REQUEST_ID, id);
    }
    response
}

async fn retell(response: Response, request_id: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let ours = to_bytes(body, MOST_ERROR_BYTES).await.unwrap_or_default();
    let told = error_body(parts.status.as_u16(), &ours, request_id);
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(told.to_string()))
}
