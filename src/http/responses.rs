//! `POST /v1/responses`: OpenAI's Responses.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::Request;
use axum::response::Response;

use crate::chat::responses::ResponsesRequest;
use crate::http::admission::Admitted;
use crate::http::body::read_json;
use crate::http::chat_completions::{call, read};
use crate::http::dialect::{Asked, answer, naming};
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
    let headers = request.headers().clone();
    let body = read_json(request, server.body_limits).await?;
    let ResponsesRequest { chat, reply } = ResponsesRequest::parse(&body)?;
    let call = call(&admitted, read(chat, &headers)?);
    let writer = reply.writer(naming(&call));
    answer(&server, admitted.guard, Asked { call, writer }).await
}
