//! Errors in the shape that the caller's clients read, whoever made them.

use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use axum::middleware::Next;
use axum::response::Response;

use crate::chat::{generate_content, messages};
use crate::http::admission::RequestId;
use crate::http::auth::{GOOGLES, GOOGLES_STABLE};
use crate::http::error::Kind;

/// The name of a request, as Anthropic's clients read it.
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// The most bytes of an error that are read to be said anew; what an upstream says of a refusal is bounded far below.
const MOST_ERROR_BYTES: usize = 1 << 20;

/// Whose clients ask, where those do not read OpenAI's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tongue {
    /// Anthropic's.
    Anthropic,
    /// Google's.
    Google,
}

impl Tongue {
    /// By the path, else by the headers that such clients send everywhere: Anthropic's name the version of the API that they know, Google's send
    /// the key in a header of their own.
    #[must_use]
    pub fn of(method: &Method, path: &str, headers: &HeaderMap) -> Option<Self> {
        let is_messages = path == "/v1/messages" || path.starts_with("/v1/messages/");
        if is_messages || headers.contains_key("anthropic-version") {
            return Some(Self::Anthropic);
        }
        // Nobody else's clients post to a model.
        let is_googles = path.starts_with(GOOGLES) || (method == Method::POST && path.starts_with(GOOGLES_STABLE));
        (is_googles || headers.contains_key("x-goog-api-key")).then_some(Self::Google)
    }
}

/// Says errors in Anthropic's shape to those who ask under `/v1/messages` or name a version of Anthropic's API, and puts the request's name
/// where Anthropic's clients look for it; in Google's to those who ask under Google's paths or send Google's header for a key.
pub async fn speak(request: Request<Body>, next: Next) -> Response {
    let tongue = Tongue::of(request.method(), request.uri().path(), request.headers());
    let Some(tongue) = tongue else { return next.run(request).await };
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let mut response = next.run(request).await;
    if response.extensions().get::<Kind>().is_some() {
        response = retell(response, tongue, &id).await;
    }
    if let (Tongue::Anthropic, Ok(id)) = (tongue, HeaderValue::from_str(&id)) {
        response.headers_mut().insert(ANTHROPIC_REQUEST_ID, id);
    }
    response
}

async fn retell(response: Response, tongue: Tongue, request_id: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let ours = to_bytes(body, MOST_ERROR_BYTES).await.unwrap_or_default();
    let status = parts.status.as_u16();
    let told = match tongue {
        Tongue::Anthropic => messages::error_body(status, &ours, request_id),
        Tongue::Google => generate_content::error_body(status, &ours),
    };
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(told.to_string()))
}
