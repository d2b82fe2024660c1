//! `POST /v1beta/models/{model}:generateContent`, `:streamGenerateContent` and `:countTokens`, and the same under `/v1`: Google's API.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Request};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::chat::generate_content::{Delivery, Framing, GenerateContentRequest};
use crate::domain::api::Api;
use crate::http::admission::Admitted;
use crate::http::body::{parse, read_json};
use crate::http::dialect::{Incoming, serve};
use crate::http::error::{ApiError, Kind};
use crate::http::state::Server;

/// Does with a model what the end of the path says: answers with candidates, or counts tokens. The name of a model may hold colons itself.
///
/// # Errors
/// Everything that [`ApiError`] can say, in Google's shape by [`speak`](crate::http::speak::speak).
pub async fn create(
    State(server): State<Arc<Server>>,
    Extension(admitted): Extension<Admitted>,
    Path(call): Path<String>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let (model, verb) = call.rsplit_once(':').unwrap_or((&call, ""));
    let delivery = match verb {
        "generateContent" => Delivery::Whole,
        "streamGenerateContent" => Delivery::Stream(framing(&request)),
        "countTokens" => return count_tokens(&server, model, request).await,
        _ => {
            let message = "the path must end in `:generateContent`, `:streamGenerateContent` or `:countTokens`; other calls of Google's API are not offered here";
            return Err(ApiError::new(Kind::NotFound, message));
        }
    };
    let model = model.to_owned();
    let read = move |body: &[u8]| {
        let GenerateContentRequest { chat, reply } = GenerateContentRequest::parse(body, &model, delivery)?;
        Ok((chat, |naming| reply.writer(naming)))
    };
    let mut response = serve(&server, Incoming { admitted, request, api: Api::GenerateContent }, read).await?;
    if delivery == Delivery::Stream(Framing::List) {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(response)
}

/// Events where the address asks for them with `alt=sse`, else one list, as Google has it.
fn framing(request: &Request<Body>) -> Framing {
    let mut options = request.uri().query().unwrap_or_default().split('&');
    if options.any(|option| option == "alt=sse") { Framing::Events } else { Framing::List }
}

/// Estimates the input tokens of a request, as decisions do. Which tokeniser will count depends on the model that answers.
async fn count_tokens(server: &Server, model: &str, request: Request<Body>) -> Result<Response, ApiError> {
    let body = read_json(request, server.body_limits).await?;
    let model = model.to_owned();
    let read = move |body: &[u8]| GenerateContentRequest::parse_counted(body, &model);
    let GenerateContentRequest { chat, reply: _ } = parse(body, read).await?;
    Ok(Json(json!({ "totalTokens": chat.prompt.shape.input_tokens })).into_response())
}
