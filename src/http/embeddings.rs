//! `POST /v1/embeddings`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::Request;
use axum::response::Response;

use crate::chat::embeddings::EmbeddingsRequest;
use crate::domain::api::Api;
use crate::http::admission::Admitted;
use crate::http::body::{parse, read_json};
use crate::http::chat_completions::{explain_failure, respond};
use crate::http::error::ApiError;
use crate::http::state::Server;
use crate::pipeline::embeddings::{EmbeddingsCall, embed};

/// Calls the embedding model that the request names, or the only one, and answers as it answers. Nothing is decided.
///
/// # Errors
/// Everything that [`ApiError`] can say about a request, a name, or an upstream.
pub async fn create(
    State(server): State<Arc<Server>>,
    Extension(admitted): Extension<Admitted>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let body = read_json(request, server.body_limits).await?;
    let request = parse(body, EmbeddingsRequest::parse).await?;
    let call = EmbeddingsCall { admission: admitted.to(Api::Embeddings), request };
    let id = call.admission.id;
    match embed(&server.app, call, admitted.guard).await {
        Ok((routed, answer)) => Ok(respond(&server, (id, &routed), answer)),
        Err(failed) => Err(explain_failure(id, failed.routed.as_ref(), failed.error.into())),
    }
}
