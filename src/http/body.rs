//! Bodies: those of requests are read within limits of size and time, whole answers hold what they must until they are sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::IgnoredAny;

use crate::chat::error::ChatError;
use crate::http::error::{ApiError, Kind};
use crate::upstream::heavy::heavy;

/// Limits of a request body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Most bytes.
    pub bytes: usize,
    /// Longest time from the headers to the last byte.
    pub time: Duration,
}

/// Reads a JSON body whole.
///
/// # Errors
/// A content type that is not JSON, a compressed body, a body over the limit or too slow, and a client that went away.
pub async fn read_json(request: Request<Body>, limits: BodyLimits) -> Result<Bytes, ApiError> {
    check_headers(request.headers(), limits)?;
    let limited = Limited::new(request.into_body(), limits.bytes);
    match tokio::time::timeout(limits.time, limited.collect()).await {
        Err(_) => Err(ApiError::new(
            Kind::RequestTimeout,
            format!("the body did not arrive within {} s; send it faster or smaller", limits.time.as_secs()),
        )),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limits)),
        Ok(Err(_)) => Err(ApiError::new(Kind::InvalidRequest, "the body ended early; send all of it")),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
    }
}

/// Reads what a body says; a large one on a thread of its own, so that other calls need not wait.
///
/// # Errors
/// What `parse` has to say of the body.
pub async fn parse<T, P>(body: Bytes, parse: P) -> Result<T, ApiError>
where
    T: Send + 'static,
    P: FnOnce(&[u8]) -> Result<T, ChatError> + Send + 'static,
{
    let lost = || ApiError::new(Kind::Overloaded, "the program is ending; ask again");
    Ok(heavy(body.len(), move || parse(&body)).await.ok_or_else(lost)??)
}

/// The text of a body that is JSON in UTF-8 from its first byte to its last. What it holds is the caller's to judge.
///
/// # Errors
/// Bytes that are not UTF-8 or not JSON, with the place.
pub fn json_text(body: &[u8]) -> Result<&str, ChatError> {
    let text = std::str::from_utf8(body).map_err(|error| ChatError::NotUtf8 { offset: error.valid_up_to() })?;
    let _: IgnoredAny =
        serde_json::from_str(text).map_err(|error| ChatError::NotJson { problem: error.to_string() })?;
    Ok(text)
}

/// A whole answer that holds something, such as its place among the requests in flight, until it is sent.
///
/// It is over when it is asked for more, and not with its last byte: a server lets go of a body that says so while it still has the bytes to send.
#[derive(Debug)]
pub(super) struct Whole<G> {
    bytes: Bytes,
    is_over: bool,
    _held: G,
}

impl<G> Whole<G> {
    pub(super) const fn holding(bytes: Bytes, held: G) -> Self {
        Self { bytes, is_over: false, _held: held }
    }
}

impl<G: Unpin> HttpBody for Whole<G> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.bytes);
        self.is_over = bytes.is_empty();
        Poll::Ready((!self.is_over).then_some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len().try_into().unwrap_or(u64::MAX))
    }
}

fn check_headers(headers: &HeaderMap, limits: BodyLimits) -> Result<(), ApiError> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("").to_ascii_lowercase());
    if let Some(kind) = text(CONTENT_TYPE) {
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if essence != "application/json" && !essence.ends_with("+json") {
            let message =
                "the content type must be application/json; with curl, add -H 'content-type: application/json'";
            return Err(ApiError::new(Kind::UnsupportedMediaType, message).at("content-type"));
        }
    }
    if text(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(ApiError::new(Kind::UnsupportedMediaType, "send the body uncompressed").at("content-encoding"));
    }
    let declared = text(CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limits.bytes) { Err(too_large(limits)) } else { Ok(()) }
}

fn too_large(limits: BodyLimits) -> ApiError {
    let message = format!(
        "the body is larger than {} bytes; send less, or raise `server.max_body_bytes` in the configuration",
        limits.bytes
    );
    ApiError::new(Kind::TooLarge, message)
}
