//! Health, metrics and the front door.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::http::admission::now_unix_ms;
use crate::http::cache;
use crate::http::deferred;
use crate::http::state::Server;
use crate::http::upstreams;
use crate::model::generation::CarefulStatus;

/// The process answers. Looks at nothing else.
pub async fn live() -> Json<serde_json::Value> {
    Json(json!({ "status": "live" }))
}

/// New requests are welcome: a bundle is loaded and the server is not draining.
///
/// The store does not count: requests are answered without it, and its state is shown and measured.
pub async fn ready(State(server): State<Arc<Server>>) -> Response {
    let bundle = server.app.models.current().map(|generation| generation.id().clone());
    let ready = bundle.is_some() && !server.is_draining();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let store =
        server.app.journal.as_ref().map_or_else(|| json!({ "state": "off" }), |journal| json!(journal.health()));
    let word = match (ready, server.is_draining()) {
        (true, _) => "ready",
        (false, true) => "draining",
        (false, false) => "no bundle is loaded; run `trimtab doctor`",
    };
    (status, Json(json!({ "status": word, "bundle": bundle, "store": store }))).into_response()
}

/// Which bundle serves and what it is.
pub async fn bundle(State(server): State<Arc<Server>>) -> Json<serde_json::Value> {
    let current = server.app.models.current();
    Json(json!(current.as_ref().map(|generation| json!({
        "id": generation.id(),
        "careful": careful(&generation.careful_status()),
        "operating": generation.operating(),
        "manifest": generation.manifest(),
    }))))
}

fn careful(status: &CarefulStatus) -> String {
    match status {
        CarefulStatus::Ready { placement } => format!("ready on {placement:?}"),
        CarefulStatus::NotTrained => "the bundle has no careful scorer".to_owned(),
        CarefulStatus::Off => "off by configuration".to_owned(),
        CarefulStatus::NotInstalled { problem } => problem.clone(),
    }
}

/// What is measured, as Prometheus reads it.
pub async fn metrics(State(server): State<Arc<Server>>) -> Response {
    server.app.metrics.drift(server.app.drift.look(now_unix_ms()).as_ref());
    upstreams::measure(&server);
    cache::measure(&server);
    deferred::measure(&server);
    let text = server.app.metrics.render();
    ([(CONTENT_TYPE, crate::telemetry::metrics::CONTENT_TYPE)], text).into_response()
}

/// What a person sees who opens the address in a browser.
pub async fn welcome() -> &'static str {
    "Trimtab is running.\n\n\
     POST /v1/route              a model decision for a chat body\n\
     POST /v1/chat/completions   the decision, and the completion by the chosen model\n\
     POST /v1/messages           the same in Anthropic's words\n\
     POST /v1/responses          the same as OpenAI's Responses\n\
     POST /v1beta/models/…       the same in Google's words\n\
     POST /v1/completions        the same in the legacy shape\n\
     POST /v1/embeddings         embeddings by the model that is named\n\
     POST /v1/feedback           how well an answer did\n\
     GET  /v1/models             what a request may name\n\
     GET  /health/ready          whether requests are welcome\n\
     GET  /metrics               what is measured\n"
}
