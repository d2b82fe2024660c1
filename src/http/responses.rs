//! `POST /v1/responses`: OpenAI's Responses.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::Request;
use axum::response::Response;

use crate::chat::responses::ResponsesRequest;
use crate::domain::api::Api;
use crate::http::admission::Admitted;
use crate::http::dialect::{Incoming, serve};
use crate::http::error::ApiError;
use crate::http::state::Server;

/// Decides, calls the chosen model, and answers with a response object.
///
/// # Errors
/// Everything that [`ApiError`] can say.
pub async fn create(
    State(server): State<Arc<Server>>,
    Extension(admitted): Extension<Admitted>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let read = |body: &[u8]| {
        let ResponsesRequest { chat, reply } = ResponsesRequest::parse(body)?;
        Ok((chat, |naming| reply.writer(naming)))
    };
    serve(&server, Incoming { admitted, request, api: Api::Responses }, read).await
}
