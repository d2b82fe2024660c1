//! `POST /v1/messages` and `POST /v1/messages/count_tokens`: Anthropic's Messages.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Request};
use axum::response::Response;
use serde_json::json;

use crate::chat::anthropic::BETAS;
use crate::chat::messages::MessagesRequest;
use crate::domain::api::Api;
use crate::http::admission::Admitted;
use crate::http::body::{parse, read_json};
use crate::http::dialect::{Incoming, serve};
use crate::http::error::ApiError;
use crate::http::state::Server;

/// Decides, calls the chosen model, and answers with a message.
///
/// # Errors
/// Everything that [`ApiError`] can say, in Anthropic's shape by [`speak`](crate::http::speak::speak).
pub async fn create(
    State(server): State<Arc<Server>>,
    Extension(admitted): Extension<Admitted>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let betas = betas(request.headers());
    let read = move |body: &[u8]| {
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
    let MessagesRequest { chat, reply: _ } = parse(body, MessagesRequest::parse).await?;
    let mut response = Response::new(Body::from(json!({ "input_tokens": chat.prompt.shape.input_tokens }).to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// What the caller would have of what Anthropic is still trying out, from one header or several.
fn betas(headers: &HeaderMap) -> Option<String> {
    let all: Vec<&str> = headers.get_all(BETAS).iter().filter_map(|value| value.to_str().ok()).collect();
    (!all.is_empty()).then(|| all.join(","))
}
