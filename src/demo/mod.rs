//! The demo upstream: an honest stand-in that says that it is one, so that everything can be tried without a key. Imports
//! `chat`.

mod answer;

use std::convert::Infallible;
use std::io;

use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::demo::answer::{Question, Refusal};

/// The models of the demo, from weak to strong.
pub const MODELS: [&str; 3] = ["demo-small", "demo-medium", "demo-large"];

/// Most bytes of a request.
const BODY_LIMIT: usize = 64 << 20;

/// An OpenAI-compatible API under `/v1` whose answers say that no model was called.
pub fn router() -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat_completions))
        .route("/v1/models", get(models))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
}

/// Serves the demo until told to stop, then until the last answer is out.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
    // Words are small packets that must not wait for each other. A socket that refuses is merely slower.
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    axum::serve(listener, router()).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

async fn models() -> Json<Value> {
    let models = MODELS.map(|id| json!({ "id": id, "object": "model", "created": 0, "owned_by": "trimtab-demo" }));
    Json(json!({ "object": "list", "data": models }))
}

async fn chat_completions(body: Bytes) -> Response {
    match Question::read(&body) {
        Ok(question) if question.stream => {
            let events = question.events().map(Ok::<_, Infallible>);
            ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream::iter(events))).into_response()
        }
        Ok(question) => Json(question.completion()).into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

fn refuse(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::UnknownModel { .. } => StatusCode::NOT_FOUND,
        Refusal::NotJson | Refusal::Field { .. } => StatusCode::BAD_REQUEST,
    };
    let error = json!({
        "message": refusal.to_string(), "type": "invalid_request_error", "param": refusal.param(), "code": refusal.code(),
    });
    (status, Json(json!({ "error": error }))).into_response()
}

#[cfg(test)]
mod tests;
