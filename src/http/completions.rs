//! `POST /v1/completions`: the legacy interface, answered by chat models.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::Request;
use axum::response::Response;

use crate::chat::completions::{LegacyWriter, to_chat};
use crate::domain::api::Api;
use crate::http::admission::Admitted;
use crate::http::dialect::{Incoming, serve};
use crate::http::error::ApiError;
use crate::http::state::Server;

/// Decides, calls the chosen model, and answers in the shape of legacy completions.
///
/// # Errors
/// Everything that [`ApiError`] can say; errors after the decision carry its headers.
pub async fn create(
    State(server): State<Arc<Server>>,
    Extension(admitted): Extension<Admitted>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let read = |body: &[u8]| Ok((to_chat(body)?, |_| LegacyWriter::default()));
    serve(&server, Incoming { admitted, request, api: Api::Completions }, read).await
}
